"""The drive of tests/clients/scripted.rs with Python's webdav4: one request a line, one answer a line."""

import base64
import io
import json
import sys

from webdav4.client import Client

client = Client(sys.argv[1])


def make_folder(path):
    client.mkdir(path)


def write(path, content):
    client.upload_fileobj(io.BytesIO(base64.b64decode(content)), path, overwrite=True)


def read(path):
    into = io.BytesIO()
    client.download_fileobj(path, into)
    return {"content": base64.b64encode(into.getvalue()).decode()}


def names(path):
    return {"names": [entry.rsplit("/", 1)[-1] for entry in client.ls(path, detail=False)]}


def rename(path, to):
    client.move(path, to, overwrite=True)


def remove(path):
    client.remove(path)


remove_folder = remove


def say(answer):
    print(json.dumps(answer), flush=True)


say({"ok": True})
for line in sys.stdin:
    request = json.loads(line)
    try:
        say({"ok": True, **(globals()[request.pop("do")](**request) or {})})
    except Exception as error:
        say({"ok": False, "why": repr(error)})
