#!/usr/bin/env python3
"""How long the GETs of one user take while 200 others guess passwords at once, and while nobody does; the two take turns.

Each guesser has an address and a user of its own, so that as much is computed as can be; all send at once, and again when the last has an answer.
Usage: guessing.py PROGRAM [--rounds 6] [--seconds 3]     (PROGRAM: noclobber, built for release)
"""
import argparse, base64, multiprocessing, os, re, socket, statistics, subprocess, tempfile, time

GUESSERS = 200


def request(address, name, password):
    credentials = base64.b64encode(f"{name}:{password}".encode()).decode()
    return (f"GET /f HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {address}\r\nX-Forwarded-Proto: https\r\n"
            f"Authorization: Basic {credentials}\r\n\r\n").encode()


def answer(connection):
    """Reads one answer whole; gives its status."""
    read = b""
    while b"\r\n\r\n" not in read:
        read += connection.recv(65536)
    head, _, body = read.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head)[1])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split(b" ")[1])


def guess(port, is_on, is_over, statuses):
    connections, turn, seen = [socket.create_connection(("127.0.0.1", port)) for _ in range(GUESSERS)], 0, {}
    while not is_over.is_set():
        if not is_on.wait(0.1):
            continue
        turn += 1
        for number, connection in enumerate(connections):
            connection.sendall(request(f"10.{turn // 256}.{turn % 256}.{number}", f"user-{turn}-{number}", "guess"))
        for connection in connections:
            status = answer(connection)
            seen[status] = seen.get(status, 0) + 1
    statuses.put(seen)


def measure(connection, seconds):
    times, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        begun = time.perf_counter()
        connection.sendall(request("192.0.2.2", "bob", "the password of bob"))
        assert answer(connection) == 200
        times.append((time.perf_counter() - begun) * 1e6)
        time.sleep(0.001)
    return times


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("program")
    options.add_argument("--rounds", type=int, default=6)
    options.add_argument("--seconds", type=float, default=3)
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        users, share = f"{place}/users.toml", f"{place}/share"
        os.mkdir(share)
        open(f"{share}/f", "w").write("x" * 1024)
        subprocess.run([options.program, "user", "add", "bob", "--users", users], input=b"the password of bob\n", check=True, stdout=subprocess.DEVNULL)
        server = subprocess.Popen(
            [options.program, "--listen", "127.0.0.1:0", "--no-state", "--users", users, "--trusted-proxy", "127.0.0.1", share],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            port = next(int(found[1]) for line in server.stdout if (found := re.match(r"Listening on http://127.0.0.1:(\d+)/", line)))
            is_on, is_over, statuses = multiprocessing.Event(), multiprocessing.Event(), multiprocessing.Queue()
            guessers = multiprocessing.Process(target=guess, args=(port, is_on, is_over, statuses))
            guessers.start()
            connection = socket.create_connection(("127.0.0.1", port))
            measure(connection, 1)
            quiet, loud = [], []
            for _ in range(options.rounds):
                quiet += measure(connection, options.seconds)
                is_on.set()
                loud += measure(connection, options.seconds)
                is_on.clear()
                time.sleep(0.5)
            is_over.set()
            seen = statuses.get(timeout=30)
            guessers.join()
        finally:
            server.terminate()
            server.wait()
    for name, times in (("nobody guesses", quiet), ("200 guess at once", loud)):
        hundredths = statistics.quantiles(times, n=100)
        print(f"{name}: median {statistics.median(times):.0f} µs, 99th of a hundred {hundredths[98]:.0f} µs, {len(times)} requests")
    print(f"ratio of the medians: {statistics.median(loud) / statistics.median(quiet):.2f}; answers to the guessers: {seen}")


main()
