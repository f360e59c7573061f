//! The watches of folders: one inotify instance of the process for all of them (inotify(7)).
//!
//! An event is in its queue when the call that caused it returns, so whoever asks afterwards is told. Only its queue is read, and no more than
//! was in it at the beginning: a program that writes without pause holds nobody up.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::{Errno, ioctl_fionread};

use super::super::disk::{FolderChange, WatchId};
use super::probe;

/// How much is read from the queue at once, in bytes.
const EVENT_BYTES: usize = 16 * 1024;

/// How long an event without a name is, in bytes; with a name it is longer than both together.
const EVENT_BYTES_MIN: u64 = 16;

/// The watches, and the queue of what happens in the folders.
#[derive(Debug, Default)]
pub(super) struct Watches(OnceLock<OwnedFd>);

impl Watches {
    /// Watches a folder; `None` where no watch is to be had, or it would miss what others do there.
    pub(super) fn begin(&self, folder: BorrowedFd<'_>) -> Option<WatchId> {
        if !probe::tells_changes(folder) {
            return None;
        }
        // By its handle: a path could lead elsewhere by now.
        let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
        inotify::add_watch(self.instance()?, path, asked_for()).ok().map(WatchId)
    }

    /// Ends a watch; one that has ended already is no matter.
    pub(super) fn end(&self, watch: WatchId) {
        if let Some(instance) = self.0.get() {
            let _ = inotify::remove_watch(instance, watch.0);
        }
    }

    /// Calls `each` for what has happened.
    pub(super) fn changes(&self, each: &mut dyn FnMut(FolderChange<'_>)) {
        let Some(instance) = self.0.get() else { return };
        let Ok(mut left) = ioctl_fionread(instance) else { return each(FolderChange::Lost) };
        if left == 0 {
            return;
        }
        let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES];
        let mut reader = Reader::new(instance, &mut buffer);
        // What was read has to be told of, or it would be lost.
        while left > 0 || !reader.is_buffer_empty() {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map_or(&b""[..], |name| name.to_bytes());
                    left = left.saturating_sub(EVENT_BYTES_MIN + name.len() as u64);
                    tell(WatchId(event.wd()), event.events(), name, each);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return each(FolderChange::Lost),
            }
        }
    }

    /// The instance, which is made when it is first needed.
    fn instance(&self) -> Option<&OwnedFd> {
        if let Some(instance) = self.0.get() {
            return Some(instance);
        }
        let made = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
        Some(self.0.get_or_init(|| made))
    }
}

/// Whatever a look at a member could find changed.
fn asked_for() -> WatchFlags {
    WatchFlags::MODIFY
        | WatchFlags::ATTRIB
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::DELETE_SELF
        | WatchFlags::ONLYDIR
}

fn tell(watch: WatchId, what: ReadFlags, name: &[u8], each: &mut dyn FnMut(FolderChange<'_>)) {
    if what.contains(ReadFlags::QUEUE_OVERFLOW) {
        each(FolderChange::Lost);
    } else if what.intersects(ReadFlags::IGNORED | ReadFlags::UNMOUNT | ReadFlags::DELETE_SELF) {
        each(FolderChange::Ended(watch));
    } else if !name.is_empty() {
        each(FolderChange::At(watch, name));
    }
}
