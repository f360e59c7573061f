//! The entries of a directory: their names read by one thread, and looked at by two where there are many.
//!
//! Nearly all of the time goes into the looks, one `statx` for each entry, and those of a large directory wait for memory more than for
//! anything else. What is told is told on the caller's thread, and no more is held than a few batches.

use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread::{Builder, Scope, available_parallelism, scope};

use rustix::fs::{OFlags, RawDir};
use rustix::io::Errno;

use super::errno::failed;
use super::handle::{fd, openat_again};
use crate::model::path::Name;
use crate::store::disk_error::Result;
use crate::store::handle::Dir;
use crate::store::status::Entry;

/// The buffer that names are read into, in bytes.
const NAME_BYTES: usize = 64 * 1024;

/// How many names are read, looked at and told of at a time.
const BATCH: usize = 256;

/// How many batches one thread looks at before it asks for help.
const ALONE: usize = 4;

/// How many batches may wait for the helper.
const WAITING: usize = 2;

/// How many threads help in this process: never more than there are other cores.
static HELPERS: AtomicUsize = AtomicUsize::new(0);
static HELPERS_MAX: LazyLock<usize> = LazyLock::new(|| available_parallelism().map_or(0, |cores| cores.get() - 1));

/// What becomes of a walk.
type Course = Result<ControlFlow<()>>;

/// What is found at a name in the directory; `None` if that has vanished meanwhile.
type Look<'a> = &'a (dyn Fn(Name) -> Result<Option<Entry>> + Sync);

/// Calls `each` for every entry of a directory, in no order, until it breaks; `look` says what an entry is.
pub(super) fn walk(dir: &Dir, look: Look<'_>, each: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<()> {
    let listed = open_to_list(dir)?;
    let mut buffer = vec![MaybeUninit::uninit(); NAME_BYTES];
    let mut entries = RawDir::new(listed, &mut buffer);
    let mut tell = |looked: &mut dyn Iterator<Item = Result<Option<Entry>>>| -> Course {
        for entry in looked {
            if let Some(entry) = entry?
                && each(entry).is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    scope(|scope| {
        let mut helper = None;
        for batch in 1.. {
            let names = next_names(&mut entries)?;
            let was_last = names.len() < BATCH;
            if batch == ALONE && !was_last {
                helper = Helper::hire(scope, look);
            }
            let looked_at_here = match &helper {
                Some(helper) => helper.give(names),
                None => names,
            };
            let mut looked = looked_at_here.into_iter().map(look);
            if tell(&mut looked)?.is_break() {
                return Ok(());
            }
            for looked in helper.iter().flat_map(|helper| helper.done.try_iter()) {
                if tell(&mut looked.into_iter())?.is_break() {
                    return Ok(());
                }
            }
            if was_last {
                break;
            }
        }
        for looked in helper.into_iter().flat_map(Helper::finish) {
            if tell(&mut looked.into_iter())?.is_break() {
                break;
            }
        }
        Ok(())
    })
}

/// Calls `each` for every name in a directory, in no order, until it breaks.
pub(super) fn names(dir: &Dir, each: &mut dyn FnMut(Name) -> ControlFlow<()>) -> Result<()> {
    let mut buffer = vec![MaybeUninit::uninit(); NAME_BYTES];
    let mut entries = RawDir::new(open_to_list(dir)?, &mut buffer);
    loop {
        let names = next_names(&mut entries)?;
        let was_last = names.len() < BATCH;
        if names.into_iter().try_for_each(&mut *each).is_break() || was_last {
            return Ok(());
        }
    }
}

/// A description of its own: the place in the directory belongs to it, and the handle's clones are many.
fn open_to_list(dir: &Dir) -> Result<OwnedFd> {
    let listed = openat_again(fd(&dir.0)?, c".", OFlags::RDONLY | OFlags::DIRECTORY);
    listed.map_err(|errno| failed("list", b"", errno))
}

/// The next batch of names; a smaller one is the last.
fn next_names(entries: &mut RawDir<'_, OwnedFd>) -> Result<Vec<Name>> {
    let mut names = Vec::with_capacity(BATCH);
    while names.len() < BATCH {
        match entries.next() {
            None => break,
            Some(Err(Errno::INTR)) => {}
            Some(Err(errno)) => return Err(failed("list", b"", errno)),
            // `.` and `..` are no names, and neither is one longer than any client could send back.
            Some(Ok(entry)) => names.extend(Name::new(entry.file_name().to_bytes())),
        }
    }
    Ok(names)
}

/// A thread that looks at what it is given, for as long as it is given anything.
struct Helper {
    work: SyncSender<Vec<Name>>,
    done: Receiver<Vec<Result<Option<Entry>>>>,
}

impl Helper {
    /// `None` if all the cores have enough to do, or no thread is to be had.
    fn hire<'scope>(scope: &'scope Scope<'scope, '_>, look: Look<'scope>) -> Option<Self> {
        let permit = Permit::take()?;
        let (work, given) = sync_channel::<Vec<Name>>(WAITING);
        let (ready, done) = channel();
        let help = move || {
            let _permit = permit;
            for names in given {
                let looked = names.into_iter().map(look).collect();
                if ready.send(looked).is_err() {
                    break;
                }
            }
        };
        Builder::new().name("listing".to_owned()).spawn_scoped(scope, help).ok()?;
        Some(Self { work, done })
    }

    /// Gives it names to look at, and says which it has no time for.
    fn give(&self, names: Vec<Name>) -> Vec<Name> {
        match self.work.try_send(names) {
            Ok(()) => Vec::new(),
            Err(TrySendError::Full(names) | TrySendError::Disconnected(names)) => names,
        }
    }

    /// Gives it nothing more, and waits for what it still has.
    fn finish(self) -> impl Iterator<Item = Vec<Result<Option<Entry>>>> {
        drop(self.work);
        self.done.into_iter()
    }
}

/// One of the threads that may help at once.
struct Permit;

impl Permit {
    fn take() -> Option<Self> {
        let more = |helpers| (helpers < *HELPERS_MAX).then_some(helpers + 1);
        HELPERS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        HELPERS.fetch_sub(1, Ordering::Relaxed);
    }
}
