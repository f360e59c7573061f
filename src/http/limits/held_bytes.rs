//! How much memory answers on their way hold that a cache gave them: it may have other bytes by now, and slow clients would hold the old ones for as
//! long as they like. Where it is too much, an answer goes out piece by piece.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How much all answers may hold, in bytes.
const HELD_MAX: usize = 128 << 20;

static HELD: AtomicUsize = AtomicUsize::new(0);

/// What one answer holds; given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct HeldBytes(usize);

impl HeldBytes {
    /// So many more, if that is not too much.
    pub(crate) fn add(&mut self, bytes: usize) -> bool {
        let more = |held: usize| held.checked_add(bytes).filter(|held| *held <= HELD_MAX);
        let is_added = HELD.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        self.0 += if is_added { bytes } else { 0 };
        is_added
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        HELD.fetch_sub(self.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_not_held_and_what_was_held_comes_back() {
        let (mut one, mut other) = (HeldBytes::default(), HeldBytes::default());
        assert!(!one.add(HELD_MAX + 1));
        assert!(one.add(HELD_MAX / 2));
        assert!(!other.add(HELD_MAX / 2 + 1));
        drop(one);
        assert!(other.add(HELD_MAX / 2 + 1));
    }
}
