#!/usr/bin/env python3
"""How fast servers take an upload of 1 GiB that replaces another one, on a quiet disk, in an order that changes from round to round.

A server that lets the old file go gives its memory back to the system, and the next in turn writes faster for it, most of all in a virtual
machine whose host takes free memory away. So before each upload everything is synced, and as much memory as it may take is used and freed;
with --as-it-is that is left out. Needs curl, and room for 3 GiB in /dev/shm.

    benches/put_large.py [--rounds 5] [--as-it-is] NAME=COMMAND...     (in COMMAND, {dir} and {port} stand for the folder and the port)
"""

import argparse
import os
import pathlib
import random
import shlex
import signal
import socket
import statistics
import subprocess
import tempfile
import time

SHARED_MEMORY = "/dev/shm"
MEBIBYTE = 1 << 20
SIZE = 1024 * MEBIBYTE


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


def fill(path, piece):
    with open(path, "wb", buffering=0) as file:
        for _ in range(0, SIZE, len(piece)):
            file.write(piece)


def wait_until_written():
    """Until nothing waits to be written to the disk, or next to nothing."""
    os.sync()
    while True:
        waiting = sum(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith(("Dirty:", "Writeback:")))
        if waiting < 2000:
            return
        time.sleep(0.1)


def use_and_free_memory():
    with tempfile.TemporaryDirectory(prefix="put-large-", dir=SHARED_MEMORY) as place:
        for name in ("one", "other"):
            fill(f"{place}/{name}", bytes(MEBIBYTE))


def upload(body, port):
    """MiB a second; the answer has to say that it was stored."""
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{time_total}", "-T", body, f"http://127.0.0.1:{port}/large.bin"]
    status, seconds = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    if not status.startswith("2"):
        raise SystemExit(f"port {port} answered {status}")
    return SIZE / MEBIBYTE / float(seconds)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("servers", nargs="+")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--as-it-is", action="store_true")
    options = options.parse_args()
    seen, ports, running = {}, {}, []
    with tempfile.TemporaryDirectory(prefix="put-large-") as place, tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as memory:
        pathlib.Path(place).chmod(0o755)
        body = f"{memory}/body"
        fill(body, os.urandom(MEBIBYTE))
        try:
            for server in options.servers:
                name, command = server.split("=", 1)
                folder = pathlib.Path(place, name)
                folder.mkdir()
                folder.chmod(0o777)
                seen[name], ports[name] = [], free_port()
                running.append(start(shlex.split(command.format(dir=folder, port=ports[name]))))
                wait_until_up(ports[name])
                upload(body, ports[name])
            names = list(ports)
            order = random.Random(1)
            for _ in range(options.rounds):
                order.shuffle(names)
                for name in names:
                    if not options.as_it_is:
                        wait_until_written()
                        use_and_free_memory()
                    seen[name].append(upload(body, ports[name]))
        finally:
            for process in running:
                stop(process)
    first = statistics.median(next(iter(seen.values())))
    print(f"PUT of 1 GiB over another, MiB a second, medians of {options.rounds} rounds (least to most):")
    for name, rates in seen.items():
        middle = statistics.median(rates)
        print(f"{name}: {middle:,.0f} ({min(rates):,.0f} to {max(rates):,.0f}), the first is {first / middle:.2f} times as fast")


main()
