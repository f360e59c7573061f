//! A half-done upload in the hands of whoever writes at it. Letting it go leaves it where the next can take it up: what was written is brought
//! to the disk, and then it counts.

use std::sync::Arc;

use crate::model::stamp::Timestamp;
use crate::store::disk_error::Result;
use crate::store::local::staging::{Mark, Note, Point};

use super::super::half_done::{Begun, Entry, Hands, Place, UploadState};

/// How much may be written before it is brought to the disk, so that a server that is killed has not lost more; in bytes.
const UNSYNCED_MAX: u64 = 64 << 20;

/// An upload at which somebody writes, and nobody else.
#[derive(Debug)]
pub struct HeldUpload {
    pub(super) entry: Arc<Entry>,
    /// Without these it is not left at rest: it has become a file, or is lost.
    pub(super) hands: Option<Box<Hands>>,
    /// Back to where it goes unless all that comes is right.
    pub(super) only_whole: Option<Point>,
}

impl HeldUpload {
    /// What is kept of the request that began it.
    pub fn begun(&self) -> &Arc<Begun> {
        &self.entry.begun
    }

    /// How it stands. What was written and is not on the disk does not count.
    pub fn state(&self) -> UploadState {
        self.entry.told()
    }

    /// How many bytes have been written.
    pub fn written(&self) -> u64 {
        self.hands.as_ref().map_or(0, |hands| hands.staging.written())
    }

    /// Whether somebody else wants to write at it, or it was cancelled.
    pub fn is_to_stop(&self) -> bool {
        matches!(&self.entry.state.lock().place, Place::Held(holder) if holder.is_to_stop)
    }

    /// Says who is to be told that.
    pub fn tell_when_to_stop(&self, wake: Box<dyn Fn() + Send>) {
        if let Place::Held(holder) = &mut self.entry.state.lock().place {
            if holder.is_to_stop {
                wake();
            }
            holder.wake = Some(wake);
        }
    }

    /// From now on what is written counts as a whole, or not at all.
    pub fn begin_whole(&mut self) {
        self.only_whole = self.hands.as_ref().map(|hands| hands.staging.point());
    }

    /// What was written since [`HeldUpload::begin_whole`] is right, and counts.
    pub fn end_whole(&mut self) {
        self.only_whole = None;
    }

    /// Notes how long it is to become, as far as that is known.
    pub(super) fn note_length(&self, length: Option<u64>) {
        let mut state = self.entry.state.lock();
        state.mark.length = state.mark.length.or(length);
    }

    pub(super) fn touch(&self, now: Timestamp) {
        let mut state = self.entry.state.lock();
        state.touched = state.touched.max(now);
    }

    /// Brings to the disk what was written, if that is much.
    pub(super) fn checkpoint_if_due(&mut self) -> Result<()> {
        let is_due = self.written() - self.entry.state.lock().mark.offset >= UNSYNCED_MAX;
        if is_due && self.only_whole.is_none() { self.checkpoint() } else { Ok(()) }
    }

    /// Brings to the disk what was written; then it counts.
    pub fn checkpoint(&mut self) -> Result<()> {
        let Some(hands) = &mut self.hands else { return Ok(()) };
        let known = self.entry.state.lock().mark;
        let mark = Mark { offset: hands.staging.written(), ..known };
        if mark.offset > known.offset {
            hands.staging.sync()?;
        }
        hands.note.acknowledge(mark)?;
        self.entry.state.lock().mark = mark;
        Ok(())
    }

    /// So many bytes count: they are on the disk, in a file that is not open any more.
    pub(super) fn counts(&self, mut note: Note, offset: u64) {
        let mark = Mark { offset, ..self.entry.state.lock().mark };
        if note.acknowledge(mark).is_ok() {
            self.entry.state.lock().mark = mark;
        }
    }

    /// It has become a file of so many bytes.
    pub(super) fn is_whole(&self, bytes: u64) {
        self.entry.state.lock().mark = Mark { offset: bytes, length: Some(bytes) };
    }

    /// It comes to this, and is let go.
    pub(super) fn comes_to(mut self, place: Place) {
        self.hands = None;
        self.entry.comes_to(place);
    }
}

impl Drop for HeldUpload {
    fn drop(&mut self) {
        if !matches!(self.entry.state.lock().place, Place::Held(_)) {
            return;
        }
        if let (Some(point), Some(hands)) = (self.only_whole.take(), &mut self.hands)
            && hands.staging.back_to(point).is_err()
        {
            self.hands = None;
        }
        // After an error the file is opened anew before it is written on: it must not be synced again.
        let rests = self.hands.is_some() && self.checkpoint().is_ok();
        let place = match self.hands.take() {
            Some(hands) if rests => Place::Resting(Box::new(hands.staging.point())),
            _ => Place::OnDisk,
        };
        self.entry.comes_to(place);
    }
}
