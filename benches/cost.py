#!/usr/bin/env python3
"""What a request costs each of several running servers in processor time, and how many they answer; they take turns.

On a machine that is busy with other things throughput says little, and the time that a server's processes have used still says much.
Usage: cost.py [--rounds 5] [--seconds 1] [--header LINE] NAME=PID=URL...     (PID: the server, with its workers; needs wrk)
For instance: cost.py noclobber=4711=http://127.0.0.1:4918/a.txt nginx=4712=http://127.0.0.1:8080/a.txt
"""
import argparse, os, re, statistics, subprocess, time


def family(pid):
    """The process and all that it has started."""
    found = [pid]
    for thread in os.listdir(f"/proc/{pid}/task"):
        for child in open(f"/proc/{pid}/task/{thread}/children").read().split():
            found += family(int(child))
    return found


def used(pid):
    """Seconds of processor time, to the nanosecond: the kernel's clock of a process is named by its number (clock_getcpuclockid(3))."""
    return sum(time.clock_gettime((~one << 3) | 2) for one in family(pid))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("servers", nargs="+")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=1)
    options.add_argument("--header", action="append", default=[])
    options = options.parse_args()
    servers = [server.split("=", 2) for server in options.servers]
    seen = {name: [] for name, _, _ in servers}
    for _ in range(options.rounds):
        for name, pid, url in servers:
            command = ["wrk", "-t1", "-c32", f"-d{options.seconds}s", url]
            for header in options.header:
                command += ["-H", header]
            before = used(int(pid))
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            count = int(re.search(r"(\d+) requests in", said)[1])
            rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
            seen[name].append(((used(int(pid)) - before) * 1e6 / count, rate))
    first = None
    for name, rounds in seen.items():
        cost, rate = (statistics.median(values) for values in zip(*rounds))
        first = first or (cost, rate)
        print(f"{name}: {cost:.2f} µs a request, {rate:,.0f} requests/s ({first[0] / cost:.2f}x, {first[1] / rate:.2f}x)")
    print(f"(x): {servers[0][0]} divided by that server")


main()
