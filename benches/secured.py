#!/usr/bin/env python3
"""What users, rules and TLS cost, in one run: whoever has signed in beside a server without users, and HTTPS beside nginx with the same certificate.

In every round all take their turn once, in an order that is mixed anew. Rates are medians, ratios are medians of what was in one round, and what
stands behind the ratio is its standard error. Needs wrk, curl, openssl and nginx (Debian: nginx-light).

    benches/secured.py target/release/noclobber [--rounds 9] [--seconds 1] [--only users,tls,idle]
"""

import argparse
import base64
import contextlib
import json
import os
import pathlib
import random
import re
import resource
import signal
import socket
import ssl
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

NGINX = """
user root; worker_processes 1; daemon off; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; keepalive_timeout 600s;
  open_file_cache max=1000 inactive=60s; open_file_cache_valid 60s;
  client_max_body_size 0; client_body_temp_path {place}/body;
  ssl_certificate {place}/certificate.pem; ssl_certificate_key {place}/key.pem;
  ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites {cipher};
  server {{ listen 127.0.0.1:{port} ssl; root {folder}; location / {{ dav_methods PUT; }} }}
}}
"""

CIPHER = "TLS_AES_256_GCM_SHA384"
ONE_RULE = '\n[[rules]]\npath = "/"\nwho = "signed-in"\nmay = "write"\n'
RULES = "".join(f'\n[[rules]]\npath = "/folder {number}/inside"\nwho = "signed-in"\nmay = "read"\n' for number in range(999)) + ONE_RULE
IDLE = 1000
MIB = 1024


class Server:
    """A server that runs, with its own folder and its own state."""

    def __init__(self, place, name, command, scheme="http"):
        self.folder = place / name
        self.folder.mkdir()
        for file, size in (("1k", 1 << 10), ("16k", 16 << 10)):
            (self.folder / file).write_bytes(os.urandom(size))
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = taken.getsockname()[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command(self), start_new_session=True, **quiet)
        for _ in range(100):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise SystemExit(f"{name} does not listen")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()

    def processes(self, pid=None):
        pid = pid or self.process.pid
        found = [pid]
        for thread in os.listdir(f"/proc/{pid}/task"):
            for child in open(f"/proc/{pid}/task/{thread}/children").read().split():
                found += self.processes(int(child))
        return found

    def used(self):
        """Seconds of processor time: the kernel's clock of a process is named by its number (clock_getcpuclockid(3))."""
        return sum(time.clock_gettime((~one << 3) | 2) for one in self.processes())

    def resident(self):
        """KiB."""
        return sum(int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{one}/status").read())[1]) for one in self.processes())


def small(server, file, headers, seconds):
    """Requests a second."""
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", f"{server.url}/{file}"] + [word for line in headers for word in ("-H", line)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"{server.url}: {said}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]), int(re.search(r"(\d+) requests in", said)[1])


def curl(*words):
    """Seconds."""
    command = ["curl", "-s", "-k", "-f", "-o", "/dev/null", "--tls13-ciphers", CIPHER, "-w", "%{time_total}", *words]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def take_turns(title, unit, turns, rounds):
    """`turns`: a name, its server, and what gives a rate and how many units it took. The first is what the others are divided by."""
    rates, costs = {name: [] for name, _, _ in turns}, {name: [] for name, _, _ in turns}
    for _ in range(rounds):
        for name, server, measure in random.sample(turns, len(turns)):
            before = server.used()
            rate, count = measure()
            rates[name].append(rate)
            costs[name].append((server.used() - before) * 1e6 / count)
    first = turns[0][0]
    for name in rates:
        ratios = [one / other for one, other in zip(rates[name], rates[first])]
        error = statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else 0
        cost = statistics.median(one / other for one, other in zip(costs[first], costs[name]))
        print(f"| {title}, {name} | {statistics.median(rates[name]):,.0f} {unit} | {statistics.median(ratios):.2f} ± {error:.2f} "
              f"| {statistics.median(costs[name]):.2f} µs, {cost:.2f} |", flush=True)


def cookie_of(server):
    """The session of whoever signs in."""
    body = json.dumps({"name": "ada", "password": "pw"}).encode()
    asked = urllib.request.Request(f"{server.url}/?sign-in", body, {"content-type": "application/json"})

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    try:
        answer = urllib.request.build_opener(Stay).open(asked)
    except urllib.error.HTTPError as redirected:
        answer = redirected
    return answer.headers["set-cookie"].split(";")[0]


def users(place, program, options, serve):
    one, many = place / "one-rule.toml", place / "many-rules.toml"
    subprocess.run([program, "user", "add", "ada", "--users", one], input="pw\n", text=True, check=True, stdout=subprocess.DEVNULL)
    token = subprocess.run([program, "user", "token", "ada", "t", "--users", one], capture_output=True, text=True, check=True).stdout.strip()
    text = one.read_text()
    for file, rules in ((one, ONE_RULE), (many, RULES)):
        file.write_text(text + rules)
        file.chmod(0o600)
    basic = ["Authorization: Basic " + base64.b64encode(b"ada:pw").decode()]
    with contextlib.ExitStack() as running:
        none = running.enter_context(serve("none"))
        few = running.enter_context(serve("one-rule", "--users", one))
        lots = running.enter_context(serve("many-rules", "--users", many))
        cases = [("none", none, []), ("Basic, one rule", few, basic), ("token, one rule", few, [f"Authorization: Bearer {token}"]),
                 ("cookie, one rule", few, [f"Cookie: {cookie_of(few)}"]), ("Basic, 1,000 rules", lots, basic),
                 ("token, 1,000 rules", lots, [f"Authorization: Bearer {token}"]), ("cookie, 1,000 rules", lots, [f"Cookie: {cookie_of(lots)}"])]
        for _, server, headers in cases:
            curl(*[word for line in headers for word in ("-H", line)], f"{server.url}/1k")
        turns = [(name, server, lambda server=server, headers=headers: small(server, "1k", headers, options.seconds))
                 for name, server, headers in cases]
        take_turns("GET 1 KiB", "requests/s", turns, options.rounds)


def large(server, upload=None):
    """MiB a second, and how many."""
    took = curl("-T", upload, f"{server.url}/up") if upload else curl(f"{server.url}/1g")
    return MIB / took, MIB


def encrypted(place, options, serve, nginx):
    gibibyte = place / "1g"
    with open(gibibyte, "wb") as file:
        for _ in range(MIB):
            file.write(os.urandom(1 << 20))
    with serve("tls", "--tls-cert", place / "certificate.pem", "--tls-key", place / "key.pem", scheme="https") as ours, nginx() as theirs:
        both = [("nginx", theirs), ("noclobber", ours)]
        for _, server in both:
            os.link(gibibyte, server.folder / "1g")
        for title, unit, measure in (
            ("GET 1 KiB", "requests/s", lambda server: small(server, "1k", [], options.seconds)),
            ("GET 16 KiB", "requests/s", lambda server: small(server, "16k", [], options.seconds)),
            ("GET 1 GiB", "MiB/s", large),
            ("PUT 1 GiB", "MiB/s", lambda server: large(server, gibibyte)),
        ):
            turns = [(name, server, lambda server=server, measure=measure: measure(server)) for name, server in both]
            for _, server in both:
                measure(server)
            take_turns(f"HTTPS, {title}", unit, turns, options.rounds)


def idle(place, serve, nginx):
    """What 1,000 connections take that were used once, while they wait."""
    wanted = IDLE + 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)), hard))
    context = ssl._create_unverified_context()
    ours = lambda: serve("idle", "--tls-cert", place / "certificate.pem", "--tls-key", place / "key.pem", scheme="https")
    for name, start in (("noclobber", ours), ("nginx", lambda: nginx("idle-nginx"))):
        with start() as server:
            def connect():
                wrapped = context.wrap_socket(socket.create_connection(("127.0.0.1", server.port)))
                wrapped.sendall(b"GET /1k HTTP/1.1\r\nHost: localhost\r\n\r\n")
                got = b""
                while len(got.partition(b"\r\n\r\n")[2]) < 1024:
                    got += wrapped.recv(4096)
                return wrapped

            for _ in range(20):
                connect().close()
            time.sleep(0.5)
            before = server.resident()
            kept = [connect() for _ in range(IDLE)]
            time.sleep(2)
            print(f"| {IDLE:,} idle HTTPS connections, {name} | {(server.resident() - before) / IDLE:.1f} KiB each | | |", flush=True)
            for one in kept:
                one.close()


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("program")
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--seconds", type=int, default=1)
    options.add_argument("--only", default="users,tls,idle")
    options = options.parse_args()
    program, only = os.path.abspath(options.program), options.only.split(",")
    with tempfile.TemporaryDirectory(prefix="secured-") as place:
        place = pathlib.Path(place)
        place.chmod(0o755)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", place / "key.pem", "-out",
                        place / "certificate.pem"], check=True, capture_output=True)
        (place / "body").mkdir()

        def serve(name, *words, scheme="http"):
            # As nginx, which neither syncs nor keeps anything.
            rest = ["--no-sync", "--no-history"] if scheme == "https" else []
            return Server(place, name, lambda server: [program, "--listen", f"127.0.0.1:{server.port}", "--state", place / f"{name}-state",
                                                       "--log-level", "off", *rest, *words, server.folder], scheme)

        def nginx(name="nginx"):
            def command(server):
                configuration = place / f"{name}.conf"
                configuration.write_text(NGINX.format(place=place, port=server.port, folder=server.folder, cipher=CIPHER))
                return ["/usr/sbin/nginx", "-c", configuration]

            return Server(place, name, command, "https")

        print("| case | rate | divided by the first | processor time of the server; that of the first divided by it |\n|---|---|---|---|")
        if "users" in only:
            users(place, program, options, serve)
        if "tls" in only:
            encrypted(place, options, serve, nginx)
        if "idle" in only:
            idle(place, serve, nginx)


main()
