#!/usr/bin/env python3
"""Race file servers at listing folders: again and again, with subfolders, while the folder is written to, and once.

Each server serves its own copy of the same tree on loopback. In every round the servers take turns in an order mixed anew, so that a machine that
slows down slows all of them; the ratio is the median of the ratios within a round, with its standard error.
Usage: listings.py [--rounds 7] [--seconds 2] [--cases 'a;b'] NAME=COMMAND..., where COMMAND has {dir} and {port}. Needs wrk.
"""
import argparse, http.client, os, random, re, shlex, shutil, signal, statistics, subprocess, sys, tempfile, threading, time

BODY = ('<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/><D:getcontentlength/><D:getlastmodified/>'
        '<D:getetag/><D:displayname/></D:prop></D:propfind>')
LUA = ('wrk.method="PROPFIND"; wrk.headers["Depth"]="1"; wrk.headers["Content-Type"]="application/xml"; wrk.body=\'' + BODY + "'")
LISTED_ONCE = '1,000 files, listed once'
ONCE = 300  # folders of 1,000 files, of which each is listed once


def make_tree(folder, cases):
    for name, count in (('k', 1000), ('tenk', 10000), ('busy', 1000)):
        os.makedirs(f'{folder}/{name}')
        for number in range(count):
            with open(f'{folder}/{name}/file {number:05}.txt', 'wb') as file:
                file.write(b'hello')
    for number in range(1000):
        os.makedirs(f'{folder}/folders/folder {number:05}')
    for number in range(ONCE if LISTED_ONCE in cases else 0):
        os.makedirs(f'{folder}/once/{number}')
        for member in range(1000):
            open(f'{folder}/once/{number}/file {member:05}.txt', 'wb').close()
    long_ago = time.time() - 86400
    for place, folders, files in os.walk(folder):
        for name in folders + files:
            os.utime(f'{place}/{name}', (long_ago, long_ago))


def wrk(server, path, seconds, connections=4):
    script = tempfile.NamedTemporaryFile('w', suffix='.lua')
    script.write(LUA)
    script.flush()
    command = ['wrk', '-t1', f'-c{connections}', f'-d{seconds}s', '--timeout', '30s', '-s', script.name, server.url + path]
    printed = subprocess.run(command, capture_output=True, text=True).stdout
    if 'Non-2xx' in printed:
        sys.exit(f'{server.name}: {printed}')
    return float(re.search(r'Requests/sec:\s+([\d.]+)', printed)[1])


def all_properties(server, seconds):
    """One client that asks for everything, as curl does without a body."""
    return ask(server, ['/tenk/'] * 10000, seconds, None)


def ask(server, paths, seconds, body):
    connection = http.client.HTTPConnection('127.0.0.1', server.port)
    began = time.time()
    for count, path in enumerate(paths, 1):
        connection.request('PROPFIND', path, body, {'Depth': '1', 'Content-Type': 'application/xml'})
        answer = connection.getresponse()
        while answer.read(1 << 20):
            pass
        if seconds and time.time() - began > seconds:
            break
    return count / (time.time() - began)


def once(server, seconds):
    """Every folder of some is listed for the first time; a round takes the next ones."""
    paths = [f'/once/{number}/' for number in range(server.listed, server.listed + 30)]
    server.listed += 30
    return ask(server, paths, None, BODY) if server.listed <= ONCE else None


def busy(server, seconds):
    """A program writes into one file of the folder a thousand times a second."""
    is_over = threading.Event()

    def write():
        with open(f'{server.folder}/busy/file 00500.txt', 'r+b') as file:
            while not is_over.wait(0.001):
                os.pwrite(file.fileno(), b'HELLO', 0)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        return wrk(server, '/busy/', seconds)
    finally:
        is_over.set()
        writer.join()


CASES = {
    '1,000 files': lambda server, seconds: wrk(server, '/k/', seconds),
    '1,000 files, one client': lambda server, seconds: wrk(server, '/k/', seconds, 1),
    '10,000 files': lambda server, seconds: wrk(server, '/tenk/', seconds),
    '10,000 files, all properties, one client': all_properties,
    '1,000 folders': lambda server, seconds: wrk(server, '/folders/', seconds),
    '1,000 files, one of them written': busy,
    LISTED_ONCE: once,
}


class Server:
    def __init__(self, name, command, folder, port):
        self.name, self.folder, self.port, self.listed = name, folder, port, 0
        self.url = f'http://127.0.0.1:{port}'
        command = shlex.split(command.format(dir=folder, port=port))
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        for _ in range(200):
            try:
                http.client.HTTPConnection('127.0.0.1', port, timeout=1).connect()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit(f'{name} does not start')

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()


def error_of(ratios):
    return statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else 0.0


def race(servers, case, rounds, seconds):
    figures = {server.name: [] for server in servers}
    if case != LISTED_ONCE:
        for server in servers:
            CASES[case](server, 1)
    for _ in range(rounds):
        for server in random.sample(servers, len(servers)):
            figures[server.name].append(CASES[case](server, seconds))
    first = figures[servers[0].name]
    cells = []
    for server in servers:
        own = figures[server.name]
        cell = f'{statistics.median(own):,.1f}'
        if server is not servers[0]:
            ratios = [one / other for one, other in zip(first, own)]
            cell += f' ({statistics.median(ratios):.2f}x ± {error_of(ratios):.2f})'
        cells.append(cell)
    print(f'| {case} | ' + ' | '.join(cells) + ' |', flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('servers', nargs='+')
    options.add_argument('--rounds', type=int, default=7)
    options.add_argument('--seconds', type=int, default=2)
    options.add_argument('--cases', default=None, help='some of them, by their names')
    options.add_argument('--base-port', type=int, default=9500)
    options = options.parse_args()
    work = tempfile.mkdtemp(prefix='listings-')
    os.chmod(work, 0o755)
    servers = []
    try:
        cases = [case for case in CASES if options.cases is None or case in options.cases.split(';')]
        make_tree(f'{work}/master', cases)
        for number, given in enumerate(options.servers):
            name, _, command = given.partition('=')
            subprocess.run(['cp', '-a', '--reflink=auto', f'{work}/master', f'{work}/{name}'], check=True)
            subprocess.run(['chmod', '-R', 'a+rwX', f'{work}/{name}'], check=True)
            servers.append(Server(name, command, f'{work}/{name}', options.base_port + number))
        time.sleep(1)
        print('| listings a second | ' + ' | '.join(server.name for server in servers) + ' |')
        print('|---|' + '---|' * len(servers))
        for case in cases:
            race(servers, case, min(options.rounds, 10), options.seconds)
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(work, ignore_errors=True)


main()
