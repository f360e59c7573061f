#!/usr/bin/env python3
"""What it costs that an upload can go on: a plain PUT beside the same bytes as an upload by the draft, whole, in pieces, and cut in the middle.

Each round uploads the same file in every way, in an order mixed anew; the ratio is the median of the ratios to the plain PUT of the same round, with its
standard error. Usage: uploads.py [--bytes 1G] [--rounds 7] [--folder PLACE] NOCLOBBER
"""
import argparse, http.client, os, random, shutil, signal, socket, statistics, subprocess, tempfile, time

PIECE = 1 << 20


class Server:
    def __init__(self, program, place):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.port = free.getsockname()[1]
        command = [program, f'{place}/share', '--listen', f'127.0.0.1:{self.port}', '--state', f'{place}/state', '--no-history']
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(('127.0.0.1', self.port)).close()
                break
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit(f'{program} has ended: {self.process.returncode}')
                time.sleep(0.01)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def send(self, method, target, fields, count, announced=None):
        """Sends so many bytes as a body; gives the answer, or None if it breaks off before all that it announces."""
        wire = socket.create_connection(('127.0.0.1', self.port))
        head = f'{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {announced or count}\r\n'
        wire.sendall((head + ''.join(f'{name}: {value}\r\n' for name, value in fields.items()) + '\r\n').encode())
        while count:
            piece = CONTENT[:min(PIECE, count)]
            wire.sendall(piece)
            count -= len(piece)
        if announced:
            wire.close()
            return None
        answer = http.client.HTTPResponse(wire, method=method)
        answer.begin()
        answer.read()
        assert answer.status < 300, (method, target, answer.status)
        return answer


CONTENT = os.urandom(PIECE)
PART = {'Content-Type': 'application/partial-upload'}


def plain(server, count):
    server.send('PUT', '/file', {}, count)


def whole(server, count):
    server.send('PUT', '/file', {'Upload-Complete': '?1', 'Upload-Draft-Interop-Version': '8'}, count)


def begun(server, count):
    return server.send('PUT', '/file', {'Upload-Complete': '?0', 'Upload-Length': count}, 0).headers['location']


def in_pieces(server, count):
    piece = 16 << 20
    url = begun(server, count)
    for at in range(0, count, piece):
        size = min(piece, count - at)
        ends = '?1' if at + size == count else '?0'
        server.send('PATCH', url, PART | {'Upload-Offset': at, 'Upload-Complete': ends}, size)


def cut(server, count):
    url = begun(server, count)
    server.send('PATCH', url, PART | {'Upload-Offset': 0, 'Upload-Complete': '?1'}, count // 2, announced=count)
    told = http.client.HTTPConnection('127.0.0.1', server.port)
    told.request('HEAD', url)
    offset = int(told.getresponse().headers['upload-offset'])
    server.send('PATCH', url, PART | {'Upload-Offset': offset, 'Upload-Complete': '?1'}, count - offset)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--bytes', default='1G')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--folder', default=None)
    parser.add_argument('program', metavar='NOCLOBBER')
    asked = parser.parse_args()
    count = int(asked.bytes[:-1]) << {'M': 20, 'G': 30}[asked.bytes[-1]]
    ways = {'plain': plain, 'whole': whole, 'in pieces of 16 MiB': in_pieces, 'cut in the middle': cut}
    ratios = {name: [] for name in ways}
    place = tempfile.mkdtemp(prefix='noclobber-uploads-', dir=asked.folder)
    os.mkdir(f'{place}/share')
    server = Server(os.path.abspath(asked.program), place)
    try:
        for _ in range(asked.rounds + 1):
            times = {}
            for name in random.sample(list(ways), len(ways)):
                os.sync()
                began = time.monotonic()
                ways[name](server, count)
                times[name] = time.monotonic() - began
            for name, took in times.items():
                ratios[name].append(took / times['plain'])
    finally:
        server.stop()
        shutil.rmtree(place)
    for name, found in ratios.items():
        found = found[1:]  # the first round warms up
        error = statistics.stdev(found) / len(found) ** 0.5
        print(f'{name}: {statistics.median(found):.2f} ± {error:.2f} of a plain PUT')


if __name__ == '__main__':
    main()
