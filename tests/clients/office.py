"""The drive of tests/clients/scripted.rs with LibreOffice: starts it without a screen, with a profile of its own, and tells it
through UNO what to do. One request a line, one answer a line; it ends LibreOffice when its input ends."""

import base64
import json
import os
import subprocess
import sys
import time
from urllib.parse import quote

import uno
import unohelper
from com.sun.star.beans import PropertyValue
from com.sun.star.task import XInteractionHandler

url, profile = sys.argv[1:3]
who = sys.argv[3:5]
pipe = f"noclobber{os.getpid()}"
office = subprocess.Popen(
    ["soffice", "--headless", "--norestore", "--nofirststartwizard", "--nologo", f"-env:UserInstallation=file://{profile}",
     f"--accept=pipe,name={pipe};urp"],
    stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr)


def connect():
    local = uno.getComponentContext()
    resolver = local.ServiceManager.createInstanceWithContext("com.sun.star.bridge.UnoUrlResolver", local)
    for _ in range(240):
        try:
            return resolver.resolve(f"uno:pipe,name={pipe};urp;StarOffice.ComponentContext")
        except Exception:
            if office.poll() is not None:
                raise SystemExit("LibreOffice ended while it was starting")
            time.sleep(0.25)
    raise SystemExit("LibreOffice does not answer")


context = connect()
service = lambda name: context.ServiceManager.createInstanceWithContext(name, context)
desktop = service("com.sun.star.frame.Desktop")
files = service("com.sun.star.ucb.SimpleFileAccess")
document = None


class Person(unohelper.Base, XInteractionHandler):
    """Answers what LibreOffice asks in one act: says a name and a password six times at most (it asks anew for each connection), and that a certificate is right."""

    def __init__(self):
        self.said = 0

    def handle(self, request):
        ways = request.getContinuations()
        asks = [way for way in ways if hasattr(way, "setPassword")]
        if asks and self.said < 6:
            self.said += 1
            asks[0].setUserName(who[0])
            asks[0].setPassword(who[1])
            return asks[0].select()
        kind = uno.getTypeByName("com.sun.star.task." + ("XInteractionAbort" if asks else "XInteractionApprove"))
        for way in ways:
            if kind in way.getTypes():
                return way.select()


def asked():
    return named("InteractionHandler", Person())


def at(path):
    return url + quote(path)


def named(name, value):
    property = PropertyValue()
    property.Name, property.Value = name, value
    return property


def hidden():
    return (named("Hidden", True), asked())


def make_folder(path):
    files.createFolder(at(path))


def write(path, content):
    stream = service("com.sun.star.io.SequenceInputStream")
    stream.initialize((uno.ByteSequence(base64.b64decode(content)),))
    files.writeFile(at(path), stream)


def read(path):
    stream = files.openFileRead(at(path))
    content = b""
    while True:
        count, piece = stream.readBytes(None, 65536)
        content += piece.value
        if count < 65536:
            break
    stream.closeInput()
    return {"content": base64.b64encode(content).decode()}


def names(path):
    from urllib.parse import unquote
    entries = files.getFolderContents(at(path), True)
    return {"names": [unquote(entry.rstrip("/").rsplit("/", 1)[-1]) for entry in entries]}


def rename(path, to):
    files.move(at(path), at(to))


def remove(path):
    files.kill(at(path))


remove_folder = remove


def save_as(path, text):
    new = desktop.loadComponentFromURL("private:factory/swriter", "_blank", 0, hidden())
    new.Text.setString(text)
    new.storeAsURL(at(path), (named("FilterName", "writer8"), asked()))
    new.close(True)


def open(path):
    global document
    document = desktop.loadComponentFromURL(at(path), "_blank", 0, hidden())
    return {"text": document.Text.getString(), "readonly": document.isReadonly()}


def edit(text):
    document.Text.setString(text)


def save():
    document.store()


def close():
    document.close(True)


def say(answer):
    print(json.dumps(answer), flush=True)


say({"ok": True})
for line in sys.stdin:
    request = json.loads(line)
    files.setInteractionHandler(Person())
    try:
        say({"ok": True, **(globals()[request.pop("do")](**request) or {})})
    except Exception as error:
        say({"ok": False, "why": repr(error)})
try:
    desktop.terminate()
except Exception:
    pass
try:
    office.wait(10)
except subprocess.TimeoutExpired:
    office.kill()
