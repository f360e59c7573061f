#!/usr/bin/env python3
"""An explicit-state model of the commit: one request of the server against programs that write into the same folder.

Every system call is one atomic step. The checker walks all interleavings (breadth first, so that a counterexample is as short as
can be) of one request, one or two strangers, an HTTP reader that takes no mutex, and a kill or a power cut at any step with the
recovery that follows. Nothing is random. `commit.md` beside this file names the steps in the same words.

    commit_model.py            the protocol, what each step is for, and the weaker tiers
    commit_model.py --quick    the protocol alone, within smaller bounds
    commit_model.py -v         with one shortest schedule for each broken invariant

It ends with 1 if the protocol breaks an invariant, or if taking out a step breaks other invariants than `ABLATIONS` says.

A name holds an inode, and an inode holds one content: S is the version that the client named, N is the upload, all others are a
stranger's. `owed` are the contents that must still be found at the end; what a stranger does to a file himself takes its content off
the list. `newest` is what would be at the name had the server never been there.

I1   Nothing owed is lost.
I1s  ... and what was written in place late is not hidden in the history: it is at the name, or in a conflict copy.
I2   A conditional 2xx displaced the version that it named, and nothing else.
I3   After a refusal the name holds the newest content of the strangers.
I3c  I3, and the name is not the unanswered upload over a version that it did not name, also after a crash and its recovery.
I4   The server unlinks only what it has verified, at that moment, to be its own.
I5   After a crash the name is there unless a stranger removed it; an answered upload is there, or a stranger displaced it.
I6   Every path ends; what ends at the bound keeps I1.
I7   No HTTP reader is given content that is rolled back afterwards.
I8   Other programs never find the name missing because of us (in a replacement; a DELETE means to remove it).
I9   No 2xx while a program already waits, up to the last check, to write into what was displaced.

Three known limits are counted and are no invariants:
carried  A stranger's link or rename caught a refused upload in the instant in which it was visible.
I3p      A stranger opened a refused upload for writing in that instant: what he wrote is in a conflict copy, not at the name.
raised   DELETE lost its race and put back what it took, after a stranger had saved and deleted a newer file there.

The clock is not modelled, but one assumption about it is: with `patient` the second look comes when nobody any more has the file open
for writing (a read lease says so) or stands between its path walk and its open; without, it may come too early. Data is durable when
it is written. Names are durable in their order (one journal): any prefix since the last sync may survive a power cut.
"""

import sys
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Optional

# The names of the model.
NAME = "name"  # the public name that the request changes
SOURCE = "source"  # the public name that a MOVE comes from
ENTRY = "entry"  # the private name: the entry of the history, with its tail
TAKEN = "taken"  # the private name for what a MOVE found at its source
AWAY = "away"  # where a stranger renames the name to
ELSEWHERE = "elsewhere"  # where a stranger links the file to

LOST, BUSY, BOUND = "lost", "busy", "bound"  # why a swap is undone
REFUSALS = (404, 409, 412, 423)
STATES_MAX = 6_000_000


@dataclass(frozen=True)
class Protocol:
    """The protocol under test. The defaults are what noclobber does on tier A; each suite changes some."""

    request: str = "put"  # put (over what is there), create (If-None-Match: *), delete, move
    conditional: bool = True  # the request names the version S
    swap: str = "exchange"  # exchange, take_out, rename_over, link_and_rename_over
    lease: bool = True  # a read lease is taken before the look is judged
    asks_lease: bool = True  # F_GETLEASE is asked after the swap
    asks_after_sync: bool = True  # ... and not before the folders are synced
    rollback: str = "until it is ours"  # or once, none
    undo_max: int = 4  # how often an exchange is undone before what is held is put beside the name
    looks_max: int = 2  # how often a lost swap is tried again
    second_look: bool = True
    patient: bool = True  # the second look waits until nobody can be about to write
    history: bool = True
    syncs_refusals: bool = True  # the folders are synced before a refusal too
    counter: bool = True  # GET starts over when a commit of this name was under way
    tail: bool = True  # the private name says which file was expected and which is the upload
    restores_missing: bool = False  # recovery without the tail puts back whatever is missing
    accepts: bool = False  # a request without a condition keeps whatever came out, if nobody writes it
    reader: bool = False  # an HTTP reader takes part
    crash: Optional[str] = None  # kill, cut


class State:
    """Everything at one instant: the disk, the request, the strangers, the reader, and what is owed."""

    __slots__ = (
        "names", "content", "writers", "durable",  # the disk
        "step", "request", "lease", "counter", "history", "beside", "watched", "result",  # the server
        "strangers", "reader",
        "owed", "newest", "epoch", "flags",  # what the invariants ask
    )  # fmt: skip

    def copy(self):
        other = State.__new__(State)
        for field in State.__slots__:
            setattr(other, field, getattr(self, field))
        other.names = dict(self.names)
        other.content = list(self.content)
        other.writers = list(self.writers)
        other.request = dict(self.request)
        other.strangers = list(self.strangers)
        return other

    def key(self):
        return (
            tuple(sorted(self.names.items())), tuple(self.content), tuple(self.writers), self.durable,
            self.step, tuple(sorted(self.request.items())), self.lease, self.counter, self.history, self.beside, self.watched,
            self.result, tuple(self.strangers), self.reader, self.owed, self.newest, self.epoch, self.flags,
        )  # fmt: skip

    def durable_names(self):
        return (tuple(sorted(self.names.items())), self.history, self.beside)

    def flag(self, word):
        self.flags = self.flags | {word}

    def new_inode(self, content):
        self.content.append(content)
        self.writers.append(0)
        return len(self.content) - 1

    def content_of(self, inode):
        return "none" if inode is None else self.content[inode]

    def has_another_name(self, inode):
        """Whether a stranger's act on one name leaves the file another. Our own second links do not count."""
        if inode == self.request["upload"]:
            return any(self.names.get(name) == inode for name in (NAME, AWAY, ELSEWHERE))
        return inode in self.names.values() or inode in self.history or inode in self.beside

    def disown(self, inode):
        """A stranger replaced or removed this himself."""
        self.owed = self.owed - {self.content[inode]}
        if self.content[inode] == "N":
            self.flag("upload displaced")


# ---- the server ------------------------------------------------------------------------------------------------------------


class Server:
    """The request, one step at a time. Each method is one step; it changes the state and returns what it did, in words."""

    def __init__(self, state, protocol):
        self.state = state
        self.protocol = protocol
        self.request = state.request

    def step(self):
        return getattr(self, "step_" + self.state.step.replace(" ", "_"))()

    def goto(self, step, **also):
        self.state.step = step
        self.request.update(also)

    def finish(self, code):
        self.state.result = code
        self.state.lease = None
        self.goto("end")

    def keep(self, inode):
        self.state.history = self.state.history + (inode,)

    def forget(self, inode):
        self.state.history = tuple(kept for kept in self.state.history if kept != inode)

    def watch(self, inode, why):
        """Something we hold and must look at again: the inode, its content when we first knew it, and why we hold it."""
        ours = why in ("upload", "link")
        first_seen = "N" if ours else self.request.get(f"first seen {inode}", self.state.content[inode])
        self.state.watched = self.state.watched + ((inode, first_seen, why),)

    def note_first_sight(self):
        inode = self.state.names[ENTRY]
        if inode != self.request["upload"]:
            self.request.setdefault(f"first seen {inode}", self.state.content[inode])

    def exchange(self):
        names = self.state.names
        names[NAME], names[ENTRY] = names[ENTRY], names[NAME]

    def begin_change(self):
        if self.protocol.counter and self.state.counter % 2 == 0:
            self.state.counter += 1

    def end_change(self):
        if self.protocol.counter and self.state.counter % 2 == 1:
            self.state.counter += 1

    def sync(self):
        self.state.durable = self.state.durable_names()

    def is_what_was_seen(self, inode):
        state, protocol = self.state, self.protocol
        if inode == self.request["seen"] and state.content[inode] == self.request["named"]:
            return True
        return protocol.accepts and not protocol.conditional and state.writers[inode] == 0

    def somebody_waits(self):
        return bool(self.protocol.lease and self.protocol.asks_lease and self.state.lease and self.state.lease[1])

    def look_again(self):
        state = self.state
        state.lease = None
        state.flags = state.flags - {"waited"}
        if self.request["looks"] >= self.protocol.looks_max:
            self.finish(409)
        else:
            self.goto("look", looks=self.request["looks"] + 1)

    # The look.

    def step_look(self):
        state, protocol = self.state, self.protocol
        inode = state.names.get(NAME)
        self.request["seen"] = inode
        if inode is None:
            if protocol.request in ("delete", "move") or (protocol.request == "put" and protocol.conditional):
                self.finish(412)
            else:
                self.goto("create")
        elif protocol.request == "create":
            self.finish(412)
        else:
            self.goto("lease" if protocol.lease else "judge")
        return f"open the name for reading -> {state.content_of(inode)}"

    def step_lease(self):
        inode = self.request["seen"]
        if self.state.writers[inode]:
            self.finish(423)
            return "read lease refused (open for writing) -> 423"
        self.state.lease = (inode, False)
        self.goto("judge")
        return "read lease taken"

    def step_judge(self):
        protocol = self.protocol
        self.request["named"] = self.state.content[self.request["seen"]]
        if protocol.conditional and self.request["named"] != "S":
            self.finish(412)
            return "not the version named -> 412"
        first_step = {
            "exchange": "link privately",
            "take_out": "take out",
            "rename_over": "rename over",
            "link_and_rename_over": "keep by link",
        }
        self.goto("take out" if protocol.request == "delete" else first_step[protocol.swap])
        return "the version named is there; decide to go on"

    # Nothing there: step 4.

    def step_create(self):
        state = self.state
        if NAME in state.names:
            if self.protocol.request == "create":
                self.finish(412)
            else:
                self.look_again()
            return "linkat(upload, name) -> EEXIST"
        state.names[NAME] = self.request["upload"]
        self.request["out"] = "none"
        self.goto("sync and answer")
        return "linkat(upload, name)"

    # The exchange: steps 5 to 9.

    def step_link_privately(self):
        state, upload = self.state, self.request["upload"]
        if self.protocol.request == "move":
            if SOURCE not in state.names:
                self.finish(404)
                return "the source has gone"
            if state.names[SOURCE] != upload:
                self.finish(409)
                return "the source is another file now"
        state.names[ENTRY] = upload
        self.goto("exchange")
        self.begin_change()
        return "link the upload at its private name"

    def step_exchange(self):
        state = self.state
        if NAME not in state.names:
            self.after_rollback(LOST)
            return "EXCHANGE -> ENOENT"
        self.exchange()
        self.request["was visible"] = True
        self.request["out"] = state.content[state.names[ENTRY]]
        self.note_first_sight()
        self.goto("verify")
        return f"EXCHANGE, out comes {self.request['out']}"

    def step_verify(self):
        if not self.is_what_was_seen(self.state.names[ENTRY]):
            self.goto("exchange back", why=LOST, undone=0, placed=self.request["upload"])
            return "what came out is not what was seen"
        self.goto("sync" if self.protocol.asks_after_sync else "ask the lease")
        return "what came out is what was seen"

    def step_sync(self):
        self.sync()
        self.goto("ask the lease")
        return "sync the folders"

    def step_ask_the_lease(self):
        if self.somebody_waits():
            self.goto("exchange back", why=BUSY, undone=0, placed=self.request["upload"])
            return "F_GETLEASE: somebody waits to write"
        self.goto("settle")
        return "F_GETLEASE: unbroken"

    def step_settle(self):
        state, protocol, upload = self.state, self.protocol, self.request["upload"]
        displaced = state.names.pop(ENTRY)
        self.forget(upload)
        state.watched = tuple(one for one in state.watched if one[0] != upload)
        if protocol.history or protocol.second_look:
            self.keep(displaced)
        else:
            state.owed = state.owed - {self.request["out"]}
        if protocol.second_look:
            self.watch(displaced, "displaced")
        self.end_change()
        synced = protocol.asks_after_sync and (protocol.swap == "exchange" or protocol.request == "delete")
        if protocol.request == "move":
            self.goto("take the source out")
        else:
            self.goto("answer" if synced else "sync and answer")
        return "give it its final name in the history"

    def step_sync_and_answer(self):
        self.sync()
        self.goto("answer")
        return "sync the folders"

    def step_answer(self):
        state, protocol, out = self.state, self.protocol, self.request["out"]
        if protocol.request == "delete":
            if out != "none" and not protocol.history:
                state.owed = state.owed - {out}
        elif "upload displaced" not in state.flags:
            state.owed = state.owed | {"N"}
        if "waited" in state.flags:
            state.flag("I9")
        if protocol.conditional and protocol.request != "create" and out != "S":
            state.flag("I2")
        self.finish(200)
        return "answer 2xx, drop the lease"

    # A MOVE takes its source out when the target is right.

    def step_take_the_source_out(self):
        inode = self.state.names.pop(SOURCE, None)
        if inode is not None and inode != self.request["upload"]:
            self.state.names[TAKEN] = inode
            self.goto("put the source back")
            return "take the source name out: not the file that was moved"
        self.goto("sync and answer")
        return "take the source name out"

    def step_put_the_source_back(self):
        inode = self.state.names.pop(TAKEN)
        if SOURCE in self.state.names:
            self.keep(inode)
        else:
            self.state.names[SOURCE] = inode
        self.goto("sync and answer")
        return "put it back, no-replace"

    # The rollback: steps 10 and 11.

    def step_exchange_back(self):
        state, protocol, request = self.state, self.protocol, self.request
        if protocol.rollback == "none":
            state.names.pop(ENTRY)
            self.after_rollback(request["why"])
            return "gives up"
        if NAME not in state.names:
            self.after_rollback(request["why"])
            return "EXCHANGE back -> ENOENT, somebody removed the name"
        puts_in = state.names[ENTRY]
        self.exchange()
        self.note_first_sight()
        out = state.names[ENTRY]
        undone = request["undone"] + 1
        text = f"EXCHANGE back, out comes {state.content[out]}"
        if out == request["placed"]:
            self.after_rollback(request["why"])
            return text
        if protocol.rollback == "once":
            state.flag("I4")
            del state.names[ENTRY]
            self.after_rollback(request["why"])
            return text + ", taken for ours and unlinked"
        if undone >= protocol.undo_max:
            request["spoilt"] = True
            self.after_rollback(BOUND)
            return text + " (bound)"
        self.goto("exchange back", undone=undone, placed=puts_in)
        return text

    def after_rollback(self, why):
        """The entry is ours again, or keeps somebody's version."""
        state, protocol, request, upload = self.state, self.protocol, self.request, self.request["upload"]
        inode = state.names.get(ENTRY)
        request["undone"] = 0
        if inode is not None:
            is_watched = any(one[0] == inode for one in state.watched)
            if protocol.second_look and (inode != upload or request["was visible"]) and not is_watched:
                # A link of the user's own file is never unlinked as if it were an upload.
                is_move = protocol.request == "move"
                self.watch(inode, "kept" if inode != upload else "link" if is_move else "upload")
            del state.names[ENTRY]
            if inode == upload:
                self.give_up_the_upload(inode)
            else:
                self.keep_what_is_held(inode, why)
        if protocol.syncs_refusals and request["was visible"]:
            self.goto("sync the refusal", why=why)
        else:
            self.refuse(why)

    def give_up_the_upload(self, inode):
        state, protocol, request = self.state, self.protocol, self.request
        was_used = state.content[inode] != "N" or state.writers[inode] > 0
        if protocol.second_look and request["was visible"]:
            if inode not in state.history:
                self.keep(inode)
        elif protocol.request != "move":
            if was_used:
                state.flag("I4")
        elif state.names.get(SOURCE) != inode and not state.has_another_name(inode):
            self.keep(inode)
        if was_used:
            request["spoilt"] = True

    def keep_what_is_held(self, inode, why):
        state, protocol = self.state, self.protocol
        self.keep(inode)
        if why == BOUND:
            # It is the newest: beside the name, for all to see.
            state.beside = state.beside + (inode,)
        if protocol.history or protocol.second_look:
            # The upload is at a stranger's mercy: not ours to place twice.
            self.request["spoilt"] = True
        else:
            state.history = state.history[:-1]

    def step_sync_the_refusal(self):
        self.sync()
        self.refuse(self.request["why"])
        return "sync the folders"

    def refuse(self, why):
        self.end_change()
        self.state.lease = None
        if why == BUSY:
            self.finish(423)
        elif why == BOUND:
            self.state.flag("bound")
            self.finish(409)
        elif self.request.get("spoilt"):
            self.finish(409)
        else:
            self.look_again()

    # Taking out: DELETE, and the replacement of tier C.

    def step_take_out(self):
        state = self.state
        if NAME not in state.names:
            self.look_again()
            return "rename(name, private) -> ENOENT"
        self.begin_change()
        state.names[ENTRY] = state.names.pop(NAME)
        self.note_first_sight()
        self.request["out"] = state.content[state.names[ENTRY]]
        if self.protocol.request != "delete":
            state.flag("I8")
        self.goto("verify what was taken out")
        return f"rename(name, private): out comes {self.request['out']}"

    def step_verify_what_was_taken_out(self):
        protocol = self.protocol
        if not self.is_what_was_seen(self.state.names[ENTRY]):
            self.goto("put back", why=LOST)
            return "what came out is not what was seen"
        if self.somebody_waits():
            self.goto("put back", why=BUSY)
            return "somebody waits to write"
        if protocol.request != "delete":
            self.goto("put in")
        else:
            self.goto("sync the removal" if protocol.asks_after_sync else "settle")
        return "what came out is what was seen"

    def step_sync_the_removal(self):
        self.sync()
        self.goto("ask the lease of the removal")
        return "sync the folders"

    def step_ask_the_lease_of_the_removal(self):
        if self.somebody_waits():
            self.goto("put back", why=BUSY)
            return "F_GETLEASE: somebody waits to write"
        self.goto("settle")
        return "F_GETLEASE: unbroken"

    def step_put_back(self):
        state = self.state
        inode = state.names.pop(ENTRY)
        if NAME in state.names:
            self.keep(inode)
            if self.protocol.second_look:
                self.watch(inode, "kept")
            how = "EEXIST: kept in the history"
        else:
            state.names[NAME] = inode
            how = "done"
        self.request["was visible"] = True
        if self.protocol.syncs_refusals:
            self.goto("sync the refusal")
        else:
            self.refuse(self.request["why"])
        return f"put it back, no-replace: {how}"

    def step_put_in(self):
        state = self.state
        if NAME in state.names:
            inode = state.names.pop(ENTRY)
            self.keep(inode)
            if self.protocol.second_look:
                self.watch(inode, "kept")
            self.request["was visible"] = True
            self.goto("sync the refusal", why=BOUND)
            return "put the upload in, no-replace -> EEXIST"
        state.names[NAME] = self.request["upload"]
        self.goto("settle")
        return "put the upload in, no-replace"

    # The replacements that leave a window, for comparison.

    def step_keep_by_link(self):
        inode = self.state.names.get(NAME)
        if inode is None:
            self.look_again()
            return "link(name, history) -> ENOENT"
        self.state.names[ENTRY] = inode
        self.goto("verify what is kept")
        return f"link(name, history) keeps {self.state.content[inode]}"

    def step_verify_what_is_kept(self):
        state, request = self.state, self.request
        inode = state.names[ENTRY]
        if inode != request["seen"] or state.content[inode] != request["named"]:
            self.keep(state.names.pop(ENTRY))
            self.look_again()
            return "not what was seen: look again"
        self.goto("rename over")
        return "what is kept is what was seen"

    def step_rename_over(self):
        state, request = self.state, self.request
        inode = state.names.get(NAME)
        if inode is not None:
            request["out"] = state.content[inode]
        elif self.protocol.conditional:
            request["out"] = "none"
        state.names[NAME] = request["upload"]
        kept = state.names.pop(ENTRY, None)
        if kept is not None:
            self.keep(kept)
            if self.protocol.second_look:
                self.watch(kept, "displaced")
        self.goto("sync and answer")
        return f"rename(upload, name) over {request.get('out', 'none')}"

    # The second look: step 12.

    def second_look(self):
        """Looks again at one thing that is held; `None` while each may still be written."""
        state, protocol = self.state, self.protocol
        for at, (inode, first_seen, why) in enumerate(state.watched):
            about_to_write = any(one[2] in ("resolved", "waiting", "open") and one[3] == inode for one in state.strangers)
            if protocol.patient and (state.writers[inode] or about_to_write):
                continue
            state.watched = state.watched[:at] + state.watched[at + 1 :]
            if state.content[inode] != first_seen:
                state.beside = state.beside + (state.new_inode(state.content[inode]),)
                how = "was written: conflict copy"
            elif why == "link" and (state.names.get(SOURCE) == inode or state.has_another_name(inode)):
                self.forget(inode)
                how = "one link too many: unlinked"
            elif why == "upload" and inode in state.history and protocol.patient:
                self.forget(inode)
                how = "an upload nobody touched: unlinked"
            elif why == "displaced" and not protocol.history:
                self.forget(inode)
                state.owed = state.owed - {first_seen}
                how = "quiet: let go (history is off)"
            else:
                how = "quiet"
            return f"second look at {first_seen}: {how}"
        return None

    # Recovery: step R.

    def step_recover(self):
        state, protocol, request = self.state, self.protocol, self.request
        state.result = "crash"
        entry, name, upload = state.names.get(ENTRY), state.names.get(NAME), request["upload"]
        if TAKEN in state.names:
            inode = state.names.pop(TAKEN)
            if SOURCE in state.names:
                self.keep(inode)
            else:
                state.names[SOURCE] = inode
        if entry is None:
            self.goto("end")
            return "nothing in the middle"
        takes_out = protocol.request == "delete" or protocol.swap == "take_out"
        was_expected = entry == request.get("seen") and state.content[entry] == request["named"]
        if not protocol.tail:
            how = "what lay in the middle is kept in the history"
            if protocol.restores_missing and name is None:
                state.names[NAME] = entry
            else:
                self.keep(entry)
        elif entry == upload:
            how = "an unanswered upload, kept as such"
            self.keep(entry)
        elif takes_out and name is None:
            how = "put back, no-replace"
            state.names[NAME] = entry
        elif takes_out:
            how = "the name is taken again: kept in the history"
            self.keep(entry)
        elif was_expected:
            how = "the swap was right: kept in the history"
            self.keep(entry)
        elif name == upload:
            self.exchange()
            return "a lost swap: EXCHANGE back"
        else:
            how = "kept in the history"
            self.keep(entry)
        del state.names[ENTRY]
        self.goto("end")
        return how


# ---- the strangers ---------------------------------------------------------------------------------------------------------
# A stranger is (script, position, phase, inode, epoch); a script is a tuple of (verb, content).


class Stranger:
    """A program that writes into the folder, one system call at a time."""

    def __init__(self, state, which):
        self.state = state
        self.which = which
        self.script, self.at, self.phase, self.inode, self.epoch = state.strangers[which]

    def step(self):
        verb, content = self.script[self.at]
        text = getattr(self, verb)(content)
        return text and f"{'AB'[self.which]}: {text}"

    def next_act(self):
        self.state.strangers[self.which] = (self.script, self.at + 1, "", -1, -1)

    def next_phase(self, phase, inode, epoch):
        self.state.strangers[self.which] = (self.script, self.at, phase, inode, epoch)

    def has_changed_the_name(self, newest):
        self.state.newest = newest
        self.state.epoch += 1

    def displaces(self, inode):
        if inode is not None and not self.state.has_another_name(inode):
            self.state.disown(inode)

    def save(self, content):
        text = self.rename_over(NAME, content)
        self.has_changed_the_name(content)
        return text

    def save_source(self, content):
        return self.rename_over(SOURCE, content)

    def rename_over(self, name, content):
        state = self.state
        old = state.names.get(name)
        state.names[name] = state.new_inode(content)
        self.displaces(old)
        state.owed = state.owed | {content}
        self.next_act()
        return f"rename(temp {content}, {name}) over {state.content_of(old)}"

    def unlink(self, _):
        self.next_act()
        inode = self.state.names.pop(NAME, None)
        if inode is None:
            return "unlink -> ENOENT"
        self.displaces(inode)
        self.has_changed_the_name(None)
        return f"unlink the name ({self.state.content[inode]})"

    def create(self, content):
        self.next_act()
        if NAME in self.state.names:
            return "create -> EEXIST"
        self.state.names[NAME] = self.state.new_inode(content)
        self.state.owed = self.state.owed | {content}
        self.has_changed_the_name(content)
        return f"create {content}"

    def link(self, _):
        self.next_act()
        names = self.state.names
        if NAME in names and ELSEWHERE not in names:
            names[ELSEWHERE] = names[NAME]
        return "link the file elsewhere"

    def away(self, for_good):
        state = self.state
        self.next_act()
        if NAME not in state.names:
            return "rename away -> ENOENT"
        old = state.names.get(AWAY)
        inode = state.names[AWAY] = state.names.pop(NAME)
        self.displaces(old)
        if for_good:
            self.has_changed_the_name(None)
        else:
            state.request["saved"] = state.newest
            state.newest = None
        return f"rename the name away ({state.content[inode]})"

    def home(self, _):
        state = self.state
        self.next_act()
        if AWAY not in state.names:
            return "rename home -> ENOENT"
        old = state.names.get(NAME)
        inode = state.names[NAME] = state.names.pop(AWAY)
        self.displaces(old)
        state.newest = state.content[inode] if inode != state.request["upload"] else state.request.get("saved")
        state.epoch += old is not None
        return f"rename it home ({state.content[inode]}) over {state.content_of(old)}"

    def write(self, content):
        """In place: the path walk, the open, the write, the close."""
        state, inode = self.state, self.inode
        leased = bool(state.lease) and state.lease[0] == inode
        if self.phase == "":
            found = state.names.get(NAME)
            if found is None:
                self.next_act()
                return "open -> ENOENT"
            self.next_phase("resolved", found, state.epoch)
            return f"path walk finds {state.content[found]}"
        if self.phase == "resolved":
            if leased:
                self.break_lease()
            state.writers[inode] += 1
            self.next_phase("waiting" if leased else "open", inode, self.epoch)
            return "open for writing waits, lease broken" if leased else f"opens {state.content[inode]} for writing"
        if self.phase == "waiting":
            if leased:
                return None
            self.next_phase("open", inode, self.epoch)
            return f"open goes on, in {state.content[inode]}"
        if self.phase == "open":
            old = state.content[inode]
            state.disown(inode)
            state.content[inode] = content
            if state.epoch == self.epoch:
                state.owed = state.owed | {content}
                state.newest = content
            self.next_phase("wrote", inode, self.epoch)
            return f"writes {content} over {old}"
        state.writers[inode] -= 1
        self.next_act()
        return "close"

    def write_or_give_up(self, content):
        """As `write`, with O_NONBLOCK: the open fails where it would wait, and breaks the lease all the same."""
        state = self.state
        if self.phase == "resolved" and state.lease and state.lease[0] == self.inode:
            self.break_lease()
            self.next_act()
            return "open(O_NONBLOCK) -> EAGAIN, lease broken"
        return self.write(content)

    def break_lease(self):
        self.state.lease = (self.inode, True)
        if self.state.step in STEPS_BEFORE_THE_LAST_QUESTION:
            self.state.flag("waited")


STEPS_BEFORE_THE_LAST_QUESTION = (
    "judge", "link privately", "exchange", "verify", "sync", "ask the lease",
    "take out", "verify what was taken out", "sync the removal", "ask the lease of the removal",
)  # fmt: skip


def reader_step(state, protocol):
    """An HTTP reader: read the counter, open, read the counter again. It is (phase, counter, what it was given)."""
    phase, counter, given = state.reader
    if phase == 0:
        if protocol.counter and state.counter % 2:
            return None  # it waits for the mutex instead
        state.reader = (1, state.counter, "")
        return "GET: the counter is even"
    if phase == 1:
        given = state.content_of(state.names.get(NAME))
        state.reader = (2, counter, given)
        return f"GET: open finds {given}"
    is_same = not protocol.counter or counter == state.counter
    state.reader = (3, 0, given if is_same else "")
    return f"GET: answers {state.reader[2] or 'nothing, starts over'}"


# ---- the checker -----------------------------------------------------------------------------------------------------------


def first_state(protocol, scripts, at_the_name):
    state = State.__new__(State)
    state.names, state.content, state.writers = {}, [], []
    state.step, state.lease, state.counter = "look", None, 0
    state.request = {"looks": 0, "was visible": False}
    state.strangers = [(tuple(script), 0, "", -1, -1) for script in scripts]
    state.owed, state.newest, state.epoch, state.flags = frozenset(), None, 0, frozenset()
    state.history, state.beside, state.watched, state.result = (), (), (), None
    state.reader = (0, 0, "") if protocol.reader else (3, 0, "")
    upload = state.request["upload"] = state.new_inode("N")
    if protocol.request == "move":
        state.names[SOURCE] = upload
        state.owed = state.owed | {"N"}
    if at_the_name:
        state.names[NAME] = state.new_inode(at_the_name)
        state.owed = state.owed | {at_the_name}
        state.newest = at_the_name
    state.durable = state.durable_names()
    return state


def successors(state, protocol):
    if state.step != "end":
        after = state.copy()
        if text := Server(after, protocol).step():
            yield ("recovery: " if state.step == "recover" else "server: ") + text, after
    elif state.watched and state.result != "crash" and protocol.second_look:
        after = state.copy()
        if text := Server(after, protocol).second_look():
            yield "server: " + text, after
    for which, (script, at, *_) in enumerate(state.strangers):
        if at < len(script):
            after = state.copy()
            if text := Stranger(after, which).step():
                yield text, after
    if state.reader[0] < 3:
        after = state.copy()
        if text := reader_step(after, protocol):
            yield text, after
    if protocol.crash and "crashed" not in state.flags and state.step != "recover":
        yield from crashes(state, protocol)


def crashes(state, protocol):
    crashed = state.copy()
    crashed.flag("crashed")
    crashed.reader = (3, 0, state.reader[2] if state.reader[0] == 3 else "")
    crashed.lease, crashed.watched, crashed.step = None, (), "recover"
    if protocol.crash == "kill":
        if state.step != "end":
            yield "KILL of the server", crashed
        return
    for (names, history, beside), when in ((state.durable, "at the last sync"), (state.durable_names(), "now")):
        after = crashed.copy()
        after.names, after.history, after.beside = dict(names), history, beside
        after.strangers = [(one[0], len(one[0]), "", -1, -1) for one in after.strangers]
        after.writers = [0] * len(after.writers)
        if state.result is not None:
            after.flag(f"answered {state.result}")
        after.flag("power cut")
        yield f"POWER CUT, the disk is as it was {when}", after
    if state.durable_names() != state.durable:
        after = state.copy()
        after.durable = after.durable_names()
        yield "the journal is written", after


def broken_invariants(state, protocol):
    """What is broken when everybody has ended."""
    broken = {flag for flag in state.flags if flag in ("I2", "I4", "I8", "I9")}
    power_cut, crashed = "power cut" in state.flags, "crashed" in state.flags
    removes, takes_out = protocol.request == "delete", protocol.swap == "take_out"
    inode, upload = state.names.get(NAME), state.request["upload"]
    content = None if inode is None else state.content[inode]
    out = state.request.get("out")
    acts = [verb for script, *_ in state.strangers for verb, _ in script]
    written_in_place = {text for script, *_ in state.strangers for verb, text in script if verb.startswith("write")}
    held = set(state.names.values()) | set(state.history) | set(state.beside)
    kept = {state.content[one] for one in held}
    code = state.result
    if code == "crash":
        code = next((int(flag[9:]) for flag in state.flags if flag.startswith("answered ")), "crash")
    refused = code in REFUSALS

    if power_cut:  # It also undoes what strangers had not synced.
        if {one for one in ("S", "N") if one in state.owed} - kept:
            broken.add("I1")
    else:
        if state.owed - kept:
            broken.add("I1")
        others = {state.content[state.names[name]] for name in (AWAY, ELSEWHERE) if name in state.names}
        shown = {content} | {state.content[one] for one in state.beside} | others
        known = {out, state.request.get("named")}
        if (state.owed & written_in_place & {state.newest}) - shown - known and code != "crash":
            broken.add("I1s")
        if refused and content != state.newest:
            broken.add(kind_of_stale_name(state, protocol, acts))

    if crashed:
        name_was_removed = any(verb in ("unlink", "away") for verb in acts)
        meant_to_go = removes and out in ("S", None)
        if content is None and state.newest is not None and not meant_to_go and not power_cut:
            broken.add("I5")
        if power_cut and content is None and not name_was_removed and not removes:
            broken.add("I5")
        if code == 200 and power_cut and not removes and content == "S":
            broken.add("I5")
        if refused and inode == upload and protocol.request != "move":
            broken.add("I3c")
        unanswered = code == "crash"
        if unanswered and inode == upload and content == "N" and protocol.conditional and out not in ("S", "none", None):
            broken.add("I3c")
        wrongly_gone = content is None and removes and out not in ("S", None) and state.newest is not None
        if unanswered and wrongly_gone and not (power_cut and name_was_removed):
            broken.add("I3c")

    if refused and protocol.request != "move" and upload in (state.names.get(AWAY), state.names.get(ELSEWHERE)):
        broken.add("carried")
    given = state.reader[2]
    if given == "N" and refused:
        broken.add("I7")
    found_missing = given == "none" and "I8" in state.flags and code != 200 and state.newest is not None
    if found_missing and not any(verb in ("unlink", "away") for verb in acts):
        broken.add("I7")
    return broken


def kind_of_stale_name(state, protocol, acts):
    """After a refusal the name is not the newest: a known limit, or I3."""
    in_a_copy = state.newest in {state.content[one] for one in state.beside}
    if in_a_copy or (state.newest is not None and state.newest not in state.owed):
        return "I3p"
    if state.request["was visible"] and ("away" in acts or "home" in acts):
        return "carried"
    if state.newest is None and (protocol.request == "delete" or protocol.swap == "take_out"):
        return "raised"
    return "I3b" if "bound" in state.flags else "I3"


@dataclass
class Explored:
    """What all interleavings of one set of scripts come to."""

    states: int
    ends: int
    beside: int  # ends with a 2xx and a conflict copy
    schedules: dict  # a shortest schedule for each broken invariant


def explore(protocol, scripts, at_the_name):
    first = first_state(protocol, scripts, at_the_name)
    came_from = {first.key(): None}
    todo = deque([first])
    ends = beside = 0
    broken = {}
    while todo:
        state = todo.popleft()
        key = state.key()
        goes_on = False
        for text, after in successors(state, protocol):
            goes_on = True
            after_key = after.key()
            if after_key not in came_from:
                came_from[after_key] = (key, text)
                todo.append(after)
                if len(came_from) > STATES_MAX:
                    raise SystemExit("the state space is larger than the limit")
        if goes_on:
            continue
        ends += 1
        if state.step != "end" or any(one[1] < len(one[0]) for one in state.strangers):
            broken.setdefault("I6", key)
        beside += state.result == 200 and bool(state.beside)
        for invariant in broken_invariants(state, protocol):
            broken.setdefault(invariant, key)

    def schedule(key):
        texts = []
        while came_from[key]:
            key, text = came_from[key]
            texts.append(text)
        return texts[::-1]

    return Explored(len(came_from), ends, beside, {invariant: schedule(key) for invariant, key in broken.items()})


# ---- the suites ------------------------------------------------------------------------------------------------------------

ONE = {
    "save": [("save", "x")],
    "save save": [("save", "x"), ("save", "y")],
    "write": [("write", "w")],
    "write_or_give_up": [("write_or_give_up", "w")],
    "unlink": [("unlink", "")],
    "unlink create": [("unlink", ""), ("create", "c")],
    "create": [("create", "c")],
    "away home": [("away", ""), ("home", "")],
    "away": [("away", "for good")],
    "away create": [("away", "for good"), ("create", "c")],
    "link": [("link", "")],
    "save write": [("save", "x"), ("write", "w")],
    "write save": [("write", "w"), ("save", "x")],
    "write write": [("write", "w"), ("write", "v")],
}
QUICK = ("save", "write", "unlink", "create", "away home", "away", "link")
WHOLE = ("save", "save save", "write", "write_or_give_up", "unlink create", "away home", "away", "link", "save write")
SMALL = ("save", "write", "unlink", "create")
KNOWN_LIMITS = frozenset({"carried", "I3p", "raised"})

PUT = Protocol()
PLAIN_PUT = Protocol(conditional=False)
CREATE = Protocol(request="create")
DELETE = Protocol(request="delete")
MOVE = Protocol(request="move")
TIER_B = dict(lease=False, patient=False)


def singles():
    return [[script] for script in ONE.values()]


def pairs(names):
    """Each script beside each, the second one with contents of its own."""

    def second(script):
        return [(verb, text if verb == "away" else text.upper()) for verb, text in script]

    return [[ONE[one], second(ONE[other])] for at, one in enumerate(names) for other in names[at:]]


class Suites:
    """Runs suites, prints a line for each, and counts those that did not come out as they should."""

    def __init__(self, shows_schedules):
        self.shows_schedules = shows_schedules
        self.passed = self.failed = 0

    def run(self, title, protocol, scripts, at_the_name="S", breaks=frozenset(), also_known=frozenset()):
        """`breaks` must come out broken, all of it and nothing else; the known limits may."""
        began = time.monotonic()
        states = ends = beside = 0
        shortest = {}
        for script in scripts:
            explored = explore(protocol, script, at_the_name)
            states, ends, beside = states + explored.states, ends + explored.ends, beside + explored.beside
            for invariant, schedule in explored.schedules.items():
                if invariant not in shortest or len(schedule) < len(shortest[invariant][1]):
                    shortest[invariant] = (script, schedule)
        known = KNOWN_LIMITS | also_known
        broken = set(shortest) - known
        is_right = broken == set(breaks)
        self.passed += is_right
        self.failed += not is_right
        limits = sorted(set(shortest) & known)
        print(
            f"{'ok  ' if is_right else 'FAIL'} {title:66} runs {len(scripts):4} states {states:8} ends {ends:7} "
            f"{time.monotonic() - began:5.0f}s  {' '.join(sorted(broken)) or 'all hold'}"
            f"{'  (known: ' + ' '.join(limits) + ')' if limits else ''}  2xx with a copy beside: {beside}",
            flush=True,
        )
        if not is_right and breaks:
            print(f"       must break {' '.join(sorted(breaks))}")
        if self.shows_schedules or not is_right:
            for invariant in sorted(shortest):
                script, schedule = shortest[invariant]
                print(f"       {invariant}, strangers {script}:")
                for text in schedule:
                    print("          " + text)


def the_protocol(run, names):
    whole, crashes_too = singles() + pairs(names), singles() + pairs(SMALL)
    run("PUT If-Match", PUT, whole)
    run("PUT If-Match, an HTTP reader", replace(PUT, reader=True), crashes_too)
    run("PUT If-Match, history off", replace(PUT, history=False), whole)
    run("PUT If-Match, kill at any step", replace(PUT, crash="kill"), crashes_too)
    run("PUT If-Match, power cut at any step", replace(PUT, crash="cut"), crashes_too)
    run("PUT If-Match, the bound at 1", replace(PUT, undo_max=1), whole, also_known=frozenset({"I3b"}))
    run("PUT without a condition", PLAIN_PUT, whole)
    run("PUT without a condition, kill", replace(PLAIN_PUT, crash="kill"), crashes_too)
    run("PUT without a condition, what came out is accepted", replace(PLAIN_PUT, accepts=True), whole)
    run("PUT If-None-Match: *, nothing there", CREATE, whole, at_the_name=None)
    run("PUT If-None-Match: *, something there", CREATE, whole)
    run("PUT without a condition, nothing there", PLAIN_PUT, whole, at_the_name=None)
    run("DELETE If-Match", DELETE, whole)
    run("DELETE If-Match, an HTTP reader", replace(DELETE, reader=True), crashes_too)
    run("DELETE If-Match, kill", replace(DELETE, crash="kill"), crashes_too)
    run("DELETE If-Match, power cut", replace(DELETE, crash="cut"), crashes_too)
    run("DELETE without a condition", replace(DELETE, conditional=False), whole)
    move_scripts = singles() + [[script, [("save_source", "Z")]] for script in ONE.values()]
    run("MOVE over a target (If on the target)", MOVE, move_scripts)
    run("MOVE over a target, kill", replace(MOVE, crash="kill"), move_scripts)


# What is taken out of the protocol, whether few scripts are enough, and what that breaks.
ABLATIONS = (
    ("no exchange back", replace(PUT, rollback="none"), False, "I1 I1s I3"),
    ("exchange back once only", replace(PUT, rollback="once"), False, "I1 I1s I3 I4"),
    ("no lease", replace(PUT, **TIER_B), False, "I1s I3"),
    ("lease, but F_GETLEASE not asked", replace(PUT, asks_lease=False), False, "I9"),
    ("DELETE, F_GETLEASE not asked", replace(DELETE, asks_lease=False), False, "I9"),
    ("DELETE, F_GETLEASE asked before the sync only", replace(DELETE, asks_after_sync=False), False, ""),
    ("no second look", replace(PUT, second_look=False), False, "I1 I1s I3 I4"),
    ("no second look, history off", replace(PUT, second_look=False, history=False), False, "I1 I1s I3 I4"),
    ("a refused swap is not synced, power cut", replace(PUT, syncs_refusals=False, crash="cut"), True, "I3c"),
    ("no tail, kill", replace(PUT, tail=False, crash="kill"), True, "I3c"),
    ("no tail, a missing name is restored, kill", replace(PUT, tail=False, restores_missing=True, crash="kill"), True, "I3c"),
    ("no tail, DELETE, kill", replace(DELETE, tail=False, crash="kill"), True, "I3c I5"),
    ("GET without the counter", replace(PUT, counter=False, reader=True), True, "I7"),
    ("lease asked before the sync, not after", replace(PUT, asks_after_sync=False), False, ""),
)

TIER_C = (
    ("C1 verify, rename over", "rename_over", "I1 I1s I2", "I1 I1s I2", "I1 I1s I2 I3c", "I1 I2 I3c I5"),
    ("C2 link into the history, verify, rename over", "link_and_rename_over", "I1 I1s I2", "I1 I1s I2", "I1 I1s I2 I3c", "I2 I3c I5"),
    ("C3 take out, verify, put in no-replace", "take_out", "I1s I8", "I1s I8", "I1s I8", "I8"),
)


def what_each_step_is_for(run):
    whole, few = singles() + pairs(WHOLE), singles() + pairs(SMALL)
    for title, protocol, with_few, breaks in ABLATIONS:
        run(title, protocol, few if with_few else whole, breaks=frozenset(breaks.split()))


def the_weaker_tiers(run):
    whole, few = singles() + pairs(WHOLE), singles() + pairs(SMALL)
    tier_b = replace(PUT, **TIER_B)
    run("B: PUT If-Match", tier_b, whole, breaks={"I1s", "I3"})
    run("B: PUT If-Match, history off", replace(tier_b, history=False), whole, breaks={"I1", "I1s", "I3"})
    run("B: DELETE If-Match", replace(DELETE, **TIER_B), whole, breaks={"I1s"})
    run("B: PUT If-Match, kill", replace(tier_b, crash="kill"), few, breaks={"I1s", "I3"})
    for title, swap, plain, reader, kill, cut in TIER_C:
        protocol = replace(PUT, swap=swap, **TIER_B)
        run(title, protocol, whole, breaks=set(plain.split()))
        run(title + ", reader", replace(protocol, reader=True), few, breaks=set(reader.split()))
        run(title + ", kill", replace(protocol, crash="kill"), few, breaks=set(kill.split()))
        run(title + ", power cut", replace(protocol, crash="cut"), few, breaks=set(cut.split()))


def main():
    quick = "--quick" in sys.argv
    suites = Suites(shows_schedules="-v" in sys.argv)
    print("== the protocol")
    the_protocol(suites.run, QUICK if quick else WHOLE)
    if not quick:
        print("== what each step is for: the same without it")
        what_each_step_is_for(suites.run)
        print("== the weaker tiers")
        the_weaker_tiers(suites.run)
    print(f"{suites.passed} passed, {suites.failed} failed")
    sys.exit(suites.failed > 0)


if __name__ == "__main__":
    main()
