#!/usr/bin/env python3
"""How long small requests wait beside a large download: noclobber and nginx, one worker each, in turns.

While one client takes a file of 1 GiB again and again, eight others ask for one of 1 KiB. Needs nginx, wrk and curl.

    benches/beside.py target/release/noclobber [--rounds 7] [--seconds 2]
"""

import argparse
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time

NGINX = """
worker_processes 1; daemon off; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
  open_file_cache max=1000 inactive=60s; open_file_cache_valid 60s;
  server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""

MILLISECONDS = {"us": 0.001, "ms": 1, "s": 1000}


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def start(command):
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            start_new_session=True)


def stop(process):
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()


def wait_until_up(port):
    for _ in range(100):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"nothing listens on port {port}")


def measure(url, seconds):
    """The median and the 99th percentile of the small requests, in milliseconds."""
    downloads = start(["sh", "-c", f"while curl -s -o /dev/null {url}/large; do :; done"])
    time.sleep(0.3)
    try:
        said = subprocess.run(["wrk", "-t1", "-c8", f"-d{seconds}s", "--latency", f"{url}/small"], capture_output=True, text=True,
                              check=True).stdout
    finally:
        stop(downloads)
    found = [re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", said) for percent in (50, 99)]
    return [float(match[1]) * MILLISECONDS[match[2]] for match in found]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("program")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--seconds", type=int, default=2)
    options = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="beside-") as place:
        place = pathlib.Path(place)
        place.chmod(0o755)
        folder = place / "share"
        folder.mkdir()
        (folder / "small").write_bytes(os.urandom(1024))
        with open(folder / "large", "wb") as large:
            for _ in range(1024):
                large.write(os.urandom(1 << 20))
        ports = {"noclobber": free_port(), "nginx": free_port()}
        (place / "nginx.conf").write_text(NGINX.format(place=place, port=ports["nginx"], folder=folder))
        commands = {
            "noclobber": [options.program, "--workers", "1", "--listen", f"127.0.0.1:{ports['noclobber']}", "--log-level", "off",
                          "--no-state", str(folder)],
            "nginx": ["/usr/sbin/nginx", "-c", str(place / "nginx.conf")],
        }
        running = [start(command) for command in commands.values()]
        try:
            seen = {name: [] for name in ports}
            for port in ports.values():
                wait_until_up(port)
            for _ in range(options.rounds):
                for name, port in ports.items():
                    seen[name].append(measure(f"http://127.0.0.1:{port}", options.seconds))
        finally:
            for process in running:
                stop(process)
    print(f"1 KiB beside a download of 1 GiB, one worker each; milliseconds, medians of {options.rounds} rounds (least to most):")
    for name, rounds in seen.items():
        half, most = (f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})" for values in zip(*rounds))
        print(f"{name}: half within {half}, 99 of 100 within {most}")


main()
