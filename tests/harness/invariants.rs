//! What must hold at the end of a story, whatever failed, crashed or was done by strangers in it.
//!
//! The names are those of the model of the commit: I1 to I9 are invariants; `carried`, `I3p` and `raised` are known limits, which
//! need two acts of local programs within one swap. A test says which of them its tier promises; nothing is left out silently.
//!
//! | name | broken when |
//! |---|---|
//! | I1 | something owed is lost |
//! | window | as I1 to I3, by what was saved between the last look and a rename over it (tier D) |
//! | I1s | a late write in place is only in the history: neither at the name nor beside it |
//! | I2 | a conditional success displaced something else than the version it named |
//! | I3 | after a refusal the name does not hold the strangers' newest content |
//! | I3c | an upload that nobody was told of stands over a version that it did not name |
//! | I4 | the server unlinked a file that somebody had used |
//! | I5 | after a crash the name is missing, or an acknowledged upload is |
//! | I8 | other programs found the name missing because of the server |
//! | I9 | success, although a program already waited to write into what was displaced |
//! | torn | a file shows bytes that were never synced |
//! | whole | nothing interfered, and the folder is not as the answer says |
//! | stray | something is left in noclobber's own folder that recovery should have settled |
//! | leak | a handle or a lease is still open |

use super::sim_disk::{Account, Crash, Deed, LeaseRecord, SimDisk, TORN};
use super::stranger::Act;

/// How a request was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 2xx.
    Done,
    /// 404, 409, 412, 423: everything is as it was.
    Refused(String),
    /// 5xx.
    Fault(String),
}

/// What was asked, and what the folder held before.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The name in question.
    pub path: &'static str,
    /// What the request wants to put there; `None`: it removes.
    pub upload: Option<&'static str>,
    /// What was there before.
    pub before: Option<&'static str>,
    /// Whether the request names the version it replaces.
    pub conditional: bool,
    /// Whether the name may be missing for an instant (tier C).
    pub takes_out: bool,
    /// Where what is put there was before, if it is moved.
    pub source: Option<&'static str>,
    /// Whether what comes between the last look and the rename may be overridden (tier D).
    pub renames_over: bool,
}

/// How a story ended.
#[derive(Clone, Debug)]
pub struct End {
    /// The answer, if there was time for one.
    pub answer: Option<Answer>,
    /// The crash, if there was one.
    pub crash: Option<Crash>,
    /// What strangers did.
    pub acts: Vec<Act>,
    /// Whether a call was made to fail.
    pub failed: bool,
    /// Whether noclobber was started again since.
    pub restarted: bool,
}

/// An invariant that does not hold, and how one can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its name.
    pub invariant: &'static str,
    /// What was found.
    pub found: String,
}

/// Everything that an invariant is judged by.
struct Scene<'a> {
    asked: &'a Asked,
    end: &'a End,
    account: Account,
    at: Option<Vec<u8>>,
    newest: Option<Vec<u8>>,
    visible: Vec<(String, Vec<u8>)>,
    leases: Vec<LeaseRecord>,
    /// Whether a folder could not be synced: then nobody can say what is on the disk, and either is right.
    is_unsure: bool,
}

/// Judges one ended story, when nothing is under way any more and all second looks were taken.
pub fn judge(disk: &SimDisk, asked: &Asked, end: &End) -> Vec<Broken> {
    let account = disk.account();
    let scene = Scene {
        asked,
        end,
        at: disk.bytes_at(asked.path),
        newest: account.newest.get(asked.path).cloned().flatten(),
        visible: disk.visible_contents(),
        leases: disk.leases(),
        is_unsure: disk.failed_to_sync_a_folder(),
        account,
    };
    let everywhere = disk.contents_everywhere();
    let mut broken = Vec::new();
    broken.extend(scene.lost(&everywhere));
    let mut check = |invariant, found: Option<String>| broken.extend(found.map(|found| Broken { invariant, found }));
    let is_torn = |(path, bytes): &&(String, Vec<u8>)| bytes.ends_with(TORN) && !is_half_done(path);
    check("torn", everywhere.iter().find(is_torn).map(|(path, _)| path.clone()));
    if end.restarted || !end.failed {
        check("stray", everywhere.iter().map(|(path, _)| path).find(|path| is_stray(path)).cloned());
    }
    check("leak", Some(disk.open_handles()).filter(|count| *count > 0).map(|count| format!("{count} open")));
    check("I4", scene.unlinked_in_use());
    if end.crash.is_none() {
        check("I1s", scene.hidden_in_the_history());
        check("I8", scene.emptied());
        check("I9", scene.ignored_a_waiting_writer());
        check("whole", scene.not_as_answered());
        broken.extend(scene.displaced_another());
        broken.extend(scene.not_the_newest());
    } else {
        check("I5", scene.missing_after_crash());
        broken.extend(scene.unanswered_upload());
    }
    broken
}

impl Scene<'_> {
    fn was_cut(&self) -> bool {
        matches!(self.end.crash, Some(Crash::PowerCut { .. }))
    }

    fn owed(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.account.owed.difference(&self.account.disowned)
    }

    fn is_upload(&self, bytes: Option<&Vec<u8>>) -> bool {
        self.asked.upload.is_some() && self.asked.upload.map(str::as_bytes) == bytes.map(Vec::as_slice)
    }

    fn is_before(&self, bytes: Option<&Vec<u8>>) -> bool {
        self.asked.before.map(str::as_bytes) == bytes.map(Vec::as_slice)
    }

    fn is_refused(&self) -> bool {
        matches!(self.end.answer, Some(Answer::Refused(_)))
    }

    fn is_done(&self) -> bool {
        self.end.answer == Some(Answer::Done)
    }

    /// The last thing that was taken out for the upload.
    fn out(&self) -> Option<&Deed> {
        let of_strangers =
            |deed: &&Deed| deed.path == self.asked.path && deed.for_upload && !self.is_upload(Some(&deed.bytes));
        self.account.taken.iter().rev().find(of_strangers)
    }

    fn moved(&self) -> bool {
        self.end.acts.iter().any(|act| matches!(act, Act::Rename { .. }))
    }

    fn name_was_removed(&self) -> bool {
        self.end.acts.iter().any(|act| matches!(act, Act::Rename { .. } | Act::Unlink { .. }))
    }

    /// A power cut also undoes what strangers had not synced: then only the client's own two contents are owed.
    fn lost(&self, everywhere: &[(String, Vec<u8>)]) -> Vec<Broken> {
        let kept = |bytes: &&Vec<u8>| everywhere.iter().any(|(_, kept)| kept == *bytes);
        let counts = |bytes: &&Vec<u8>| !self.was_cut() || self.is_before(Some(bytes)) || self.is_upload(Some(bytes));
        let lost = self.owed().filter(counts).filter(|bytes| !kept(bytes));
        lost.map(|bytes| self.unless_unseen("I1", Some(bytes), text(Some(bytes)))).collect()
    }

    /// What no look could have seen before it was renamed over breaks nothing but what tier D cannot promise.
    fn unless_unseen(&self, invariant: &'static str, bytes: Option<&Vec<u8>>, found: String) -> Broken {
        let destroyed = |deed: &Deed| deed.unseen && Some(&deed.bytes) == bytes;
        let unseen = self.asked.renames_over && self.account.overwritten.iter().any(destroyed);
        Broken { invariant: if unseen { "window" } else { invariant }, found }
    }

    fn unlinked_in_use(&self) -> Option<String> {
        let known = |deed: &Deed| {
            self.account
                .taken
                .iter()
                .any(|taken| taken.inode == deed.inode && taken.bytes == deed.bytes && taken.for_upload)
        };
        let used = self.account.unlinked.iter().find(|deed| deed.used && deed.last_name && !known(deed));
        used.map(|deed| format!("{} with {}", deed.path, text(Some(&deed.bytes))))
    }

    fn hidden_in_the_history(&self) -> Option<String> {
        let newest = self.newest.as_ref()?;
        let late = self.account.written.contains(newest) && self.owed().any(|bytes| bytes == newest);
        let shown = self.visible.iter().any(|(_, bytes)| bytes == newest);
        let known = self.out().is_some_and(|deed| deed.bytes == *newest);
        (late && !shown && !known).then(|| text(Some(newest)))
    }

    fn displaced_another(&self) -> Option<Broken> {
        if !self.is_done() || !self.asked.conditional {
            return None;
        }
        let out = self.displaced();
        let found = format!("{} was displaced", text(out));
        if out.is_none() && self.name_was_removed() && self.asked.renames_over {
            return Some(Broken { invariant: "window", found });
        }
        (!self.is_before(out)).then(|| self.unless_unseen("I2", out, found))
    }

    /// What the upload took the place of, in whatever way.
    fn displaced(&self) -> Option<&Vec<u8>> {
        let over = self.account.overwritten.iter().rev().find(|deed| deed.path == self.asked.path);
        self.out().or(over).map(|deed| &deed.bytes)
    }

    fn emptied(&self) -> Option<String> {
        let may = self.asked.upload.is_none() || self.asked.takes_out;
        let deed = self.account.emptied.iter().find(|deed| deed.path == self.asked.path && !may)?;
        Some(format!("at step {}", deed.step))
    }

    /// A program waited before the last check could be made, which comes after the last sync.
    fn ignored_a_waiting_writer(&self) -> Option<String> {
        if !self.is_done() {
            return None;
        }
        let out = self.out()?;
        let lease = self.leases.iter().rev().find(|lease| lease.inode == out.inode && lease.taken < out.step)?;
        let (broken, dropped) = (lease.broken?, lease.dropped.unwrap_or(usize::MAX));
        let synced = self.account.synced.iter().rev().find(|step| **step < dropped).copied().unwrap_or(0);
        let could_know = lease.asked.unwrap_or(0).max(synced);
        (broken < could_know).then(|| format!("broken at step {broken}, could be known at step {could_know}"))
    }

    /// With nobody about, and at most one call that failed, the folder is as the answer says.
    fn not_as_answered(&self) -> Option<String> {
        if !self.end.acts.is_empty() {
            return None;
        }
        let is = |expected: Option<&str>| self.at.as_deref() == expected.map(str::as_bytes);
        let right = match self.end.answer.as_ref()? {
            Answer::Done => is(self.asked.upload),
            _ if self.is_unsure => is(self.asked.before) || is(self.asked.upload),
            Answer::Refused(_) | Answer::Fault(_) => is(self.asked.before),
        };
        (!right).then(|| format!("{:?} was answered, {} is there", self.end.answer, text(self.at.as_ref())))
    }

    fn not_the_newest(&self) -> Option<Broken> {
        if !self.is_refused() {
            return None;
        }
        let carried = self.visible.iter().any(|(path, bytes)| {
            // What is to be moved is not the server's: whoever carries it away has it from its own name.
            path != self.asked.path
                && self.asked.source.is_none()
                && !path.contains("(conflict ")
                && self.is_upload(Some(bytes))
        });
        let found = format!("{} is there, {} is the newest", text(self.at.as_ref()), text(self.newest.as_ref()));
        if self.at == self.newest {
            return carried.then_some(Broken { invariant: "carried", found });
        }
        let beside = |newest: &Vec<u8>| {
            self.visible.iter().any(|(path, bytes)| path.contains("(conflict ") && bytes == newest)
                || !self.owed().any(|bytes| bytes == newest)
        };
        let shown = self.account.taken.iter().any(|deed| self.is_upload(Some(&deed.bytes)));
        let invariant = if self.newest.as_ref().is_some_and(beside) {
            "I3p"
        } else if carried || (shown && self.moved()) {
            "carried"
        } else if self.newest.is_none() && (self.asked.upload.is_none() || self.asked.takes_out) {
            "raised"
        } else {
            "I3"
        };
        Some(if invariant == "I3" {
            self.unless_unseen(invariant, self.newest.as_ref(), found)
        } else {
            Broken { invariant, found }
        })
    }

    fn unanswered_upload(&self) -> Option<Broken> {
        let found = self.stands_unanswered()?;
        Some(self.unless_unseen("I3c", self.displaced(), found))
    }

    fn stands_unanswered(&self) -> Option<String> {
        let out = self.displaced();
        let other = out.is_some() && !self.is_before(out);
        let shows = self.is_upload(self.at.as_ref());
        if shows && self.is_refused() {
            return Some("a refused upload is back".to_owned());
        }
        if shows && self.end.answer.is_none() && self.asked.conditional && other {
            return Some(format!("over {}", text(out)));
        }
        let removed = self.end.answer.is_none() && self.at.is_none() && self.asked.upload.is_none();
        let undone = self.was_cut() && self.name_was_removed();
        (removed && self.asked.conditional && other && self.newest.is_some() && !undone)
            .then(|| format!("{} was removed", text(out)))
    }

    fn missing_after_crash(&self) -> Option<String> {
        let cut = self.was_cut();
        let removes = self.asked.upload.is_none();
        let out = self.out().map(|deed| &deed.bytes);
        let removed_rightly = removes && (out.is_none() || self.is_before(out) || !self.asked.conditional);
        if self.at.is_none() && self.newest.is_some() && !removed_rightly && !cut {
            return Some("the name is missing".to_owned());
        }
        if cut && self.at.is_none() && self.asked.before.is_some() && !self.name_was_removed() && !removes {
            return Some("the name is missing".to_owned());
        }
        if self.end.acts.is_empty() && !removes && self.asked.before.is_some() {
            let whole = self.is_upload(self.at.as_ref()) || self.is_before(self.at.as_ref());
            if !whole {
                return Some(format!("{} is there", text(self.at.as_ref())));
            }
        }
        let destroyed = self.asked.upload.is_some_and(|bytes| self.account.disowned.contains(bytes.as_bytes()));
        let old =
            if removes { self.end.acts.is_empty() && self.at.is_some() } else { self.is_before(self.at.as_ref()) };
        let undone = self.is_done() && old && cut && !destroyed && !self.name_was_removed();
        undone.then(|| "what was answered is undone".to_owned())
    }
}

/// Whether it is an upload that goes on, or its note: what of them was not synced does not count.
fn is_half_done(path: &str) -> bool {
    path.starts_with(".noclobber/uploads/lasting-")
}

/// What recovery and the end of an upload leave in noclobber's own folder: versions, and nothing else. Where nothing is kept, a refused
/// upload that somebody may have seen, and nothing else.
fn is_stray(path: &str) -> bool {
    let displaced = path.starts_with(".noclobber/swap/") && !path.ends_with(" (upload)");
    displaced || path.starts_with(".noclobber/") && (path.contains('~') || path.contains("/unfinished-"))
}

fn text(bytes: Option<&Vec<u8>>) -> String {
    bytes.map_or("nothing".to_owned(), |bytes| format!("{:?}", String::from_utf8_lossy(bytes)))
}
