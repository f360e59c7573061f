#!/usr/bin/env python3
"""What the feed costs and how soon it tells: events of requests and of programs, many streams, and the start of a large share.

    latency   from the answer to a PUT, and from a program's save, until an open stream has the event: medians and the slowest of twenty, in ms
    streams   what each of many open streams holds of the server's memory, in KiB, and how many times as slow a PUT is beside them
    start     a share of many files: from the start until the first answer, until the comparison behind it has ended, and what was read, with
              and without a change while no server ran

Times are of this machine; ratios are of rounds that take turns. Usage: feed.py [--streams 1000] [--files 100000] [CASE...] NOCLOBBER
"""
import argparse, http.client, json, os, resource, selectors, shutil, signal, socket, statistics, subprocess, sys, tempfile, threading, time


class Server:
    def __init__(self, program, folder, state):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.port = free.getsockname()[1]
        self.began = time.monotonic()
        # Soft limits of this script are none of the server's.
        self.process = subprocess.Popen([program, folder, '--listen', f'127.0.0.1:{self.port}', '--state', state], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                self.get('/?changes')
                break
            except OSError:
                time.sleep(0.001)
        self.answers_after = time.monotonic() - self.began

    def get(self, target):
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=60)
        connection.request('GET', target)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def changes(self, since=None):
        return json.loads(self.get('/?changes' + (f'&since={since}' if since else ''))[1])

    def memory(self):
        """Its anonymous memory, in KiB."""
        with open(f'/proc/{self.process.pid}/status') as status:
            return next(int(line.split()[1]) for line in status if line.startswith('RssAnon'))

    def read(self):
        """What it has read of files and folders, in bytes."""
        with open(f'/proc/{self.process.pid}/io') as counts:
            return next(int(line.split()[1]) for line in counts if line.startswith('rchar'))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Stream:
    """An open stream of events."""

    def __init__(self, port):
        self.socket = socket.create_connection(('127.0.0.1', port))
        self.socket.sendall(b'GET /?events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
        self.text = b''

    def wait_for(self, words, limit=30):
        self.socket.settimeout(limit)
        while words not in self.text:
            self.text += self.socket.recv(1 << 16)
        self.text = self.text.split(words, 1)[1]
        return time.monotonic()


def shown(times):
    times = sorted(time * 1000 for time in times)
    return f'median {statistics.median(times):.1f} ms, slowest of twenty {times[len(times) * 19 // 20]:.1f} ms ({len(times)} times)'


def latency(program, place, _):
    server = Server(program, f'{place}/share', f'{place}/state')
    stream = Stream(server.port)
    stream.wait_for(b'event: begin')
    connection = http.client.HTTPConnection('127.0.0.1', server.port)
    by_request, by_program = [], []
    for number in range(200):
        # As somebody does who works, not as fast as can be.
        time.sleep(0.02)
        connection.request('PUT', f'/{number}.txt', b'x' * 1000)
        connection.getresponse().read()
        answered = time.monotonic()
        by_request.append(max(0.0, stream.wait_for(f'"/{number}.txt"'.encode()) - answered))
    for number in range(200):
        time.sleep(0.02)
        with open(f'{place}/share/.saving', 'wb') as file:
            file.write(b'y' * 1000)
        os.rename(f'{place}/share/.saving', f'{place}/share/saved {number}.txt')
        saved = time.monotonic()
        by_program.append(max(0.0, stream.wait_for(f'saved%20{number}.txt"'.encode()) - saved))
    print(f'event of a PUT:      {shown(by_request)}')
    print(f'event of a program:  {shown(by_program)}')
    server.stop()


def puts(port, seconds, name):
    connection = http.client.HTTPConnection('127.0.0.1', port)
    ends, count = time.monotonic() + seconds, 0
    began = time.monotonic()
    while time.monotonic() < ends:
        connection.request('PUT', f'/busy/{name} {count % 500}.txt'.replace(' ', '%20'), b'z' * 1000)
        connection.getresponse().read()
        count += 1
    return count / (time.monotonic() - began)


def listen(port, count, ready, over):
    """A process of its own reads what the streams bring."""
    selector = selectors.DefaultSelector()
    for _ in range(count):
        stream = Stream(port)
        stream.socket.setblocking(False)
        selector.register(stream.socket, selectors.EVENT_READ)
    os.write(ready, b'.')
    selector.register(over, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj == over:
                os._exit(0)
            try:
                key.fileobj.recv(1 << 16)
            except BlockingIOError:
                pass


class Listeners:
    def __init__(self, port, count):
        (ready, is_ready), (over, self.ends) = os.pipe(), os.pipe()
        self.child = os.fork()
        if self.child == 0:
            listen(port, count, is_ready, over)
        os.read(ready, 1)

    def stop(self):
        os.write(self.ends, b'.')
        os.waitpid(self.child, 0)


def streams(program, place, asked):
    server = Server(program, f'{place}/share', f'{place}/state')
    os.mkdir(f'{place}/share/busy')
    puts(server.port, 2, 'warm')
    before = server.memory()
    listeners = Listeners(server.port, asked.streams)
    time.sleep(1)
    at_rest = server.memory()
    puts(server.port, 5, 'busy')
    busy = server.memory()
    listeners.stop()
    print(f'{asked.streams} streams: {(at_rest - before) / asked.streams:.1f} KiB each at rest, {(busy - before) / asked.streams:.1f} KiB each while the folder is written to')
    for count in (1, asked.streams):
        ratios = []
        for _ in range(5):
            # Longer than streams rest that have been told much.
            alone = puts(server.port, 12, 'busy')
            listeners = Listeners(server.port, count)
            time.sleep(0.5)
            beside = puts(server.port, 12, 'busy')
            listeners.stop()
            time.sleep(0.5)
            ratios.append(alone / beside)
        error = statistics.stdev(ratios) / len(ratios) ** 0.5
        print(f'a PUT beside {count} streams: {statistics.median(ratios):.2f} ± {error:.2f} times as slow')
    server.stop()


def start(program, place, asked):
    for number in range(asked.files):
        folder = f'{place}/share/{number // 1000}'
        if number % 1000 == 0:
            os.mkdir(folder)
        with open(f'{folder}/{number % 1000}.txt', 'wb') as file:
            file.write(b'x' * 2000)
    since = None
    for what in ('the first start', 'nothing changed', 'ten files changed'):
        if what.startswith('ten'):
            for number in range(10):
                with open(f'{place}/share/{number}/1.txt', 'wb') as file:
                    file.write(b'changed')
        server = Server(program, f'{place}/share', f'{place}/state')
        told = server.changes(since)
        while not told['complete']:
            time.sleep(0.01)
            told = server.changes(since)
        complete_after = time.monotonic() - server.began
        of_files = asked.files * 2000
        print(f'{what}: answers after {server.answers_after:.2f} s, compared after {complete_after:.2f} s; '
              f'{server.read() / 1e6:.0f} MB read of {of_files / 1e6:.0f} MB in files; {len(told["changes"])} changes told')
        time.sleep(2)
        since = server.changes()['cursor']
        server.stop()


def main():
    cases = {'latency': latency, 'streams': streams, 'start': start}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--streams', type=int, default=1000)
    parser.add_argument('--files', type=int, default=100_000)
    parser.add_argument('cases', nargs='*', metavar='CASE')
    parser.add_argument('program', metavar='NOCLOBBER')
    asked = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    for case in asked.cases or cases:
        place = tempfile.mkdtemp(prefix='noclobber-feed-')
        os.mkdir(f'{place}/share')
        try:
            cases[case](os.path.abspath(asked.program), place, asked)
        finally:
            shutil.rmtree(place)


if __name__ == '__main__':
    main()
