//! Who listens at a path: the hints of the watcher go in, and the changes of requests, and whoever listens there is told at once. Nothing is kept: who
//! listens later hears of nothing earlier.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::path::{Name, SharePath};
use crate::model::stamp::Timestamp;

use super::hints::Hint;

/// What has happened, or may have.
#[derive(Clone, Debug)]
pub(super) enum Happened {
    /// A request has changed what is at this path, or below it.
    Changed(SharePath),
    /// Another program may have changed something.
    Hinted(Hint),
}

/// Whoever is told of what happens at a path. `S` is the share, by which a listener can look at what is there now.
pub(super) trait FeedListener<S>: Send + Sync {
    /// Something has happened there, or above it. Nothing is held meanwhile that a commit would wait for; the next listener waits.
    fn hear(&self, share: &S, now: Timestamp);
}

/// All who listen, by what they listen at. What some file system takes for one name is one here: who is told for nothing looks once.
pub(super) struct Feed<S> {
    by_path: Mutex<ByPath<S>>,
}

type ByPath<S> = HashMap<Folded, Vec<Arc<dyn FeedListener<S>>>>;

/// The names of a path, folded.
type Folded = Vec<Box<[u8]>>;

/// Somebody who listens; dropping it ends that.
pub(super) struct Listening<S> {
    feed: Arc<Feed<S>>,
    at: Folded,
    listener: Arc<dyn FeedListener<S>>,
}

impl<S> Feed<S> {
    /// Tells `listener` from now on of whatever concerns a path.
    pub(super) fn listen(self: &Arc<Self>, path: &SharePath, listener: Arc<dyn FeedListener<S>>) -> Listening<S> {
        let at = folded(path);
        self.by_path.lock().entry(at.clone()).or_default().push(Arc::clone(&listener));
        Listening { feed: Arc::clone(self), at, listener }
    }

    /// Tells everybody whom it concerns.
    pub(super) fn tell(&self, share: &S, what: &Happened, now: Timestamp) {
        let concerned: Vec<_> = {
            let by_path = self.by_path.lock();
            if by_path.is_empty() {
                return;
            }
            let place = what.path().map(folded).unwrap_or_default();
            let listening = by_path.iter().filter(|(at, _)| what.concerns(&place, at));
            listening.flat_map(|(_, listeners)| listeners).map(Arc::clone).collect()
        };
        for listener in concerned {
            listener.hear(share, now);
        }
    }
}

impl Happened {
    fn path(&self) -> Option<&SharePath> {
        match self {
            Self::Changed(path) | Self::Hinted(Hint::Path(path) | Hint::Subtree(path)) => Some(path),
            Self::Hinted(Hint::Anywhere) => None,
        }
    }

    /// Whether it concerns who listens there. `place` is its own path, folded.
    fn concerns(&self, place: &Folded, at: &Folded) -> bool {
        match self {
            Self::Hinted(Hint::Path(_)) => at == place,
            Self::Changed(_) | Self::Hinted(Hint::Subtree(_)) => at.starts_with(place),
            Self::Hinted(Hint::Anywhere) => true,
        }
    }
}

fn folded(path: &SharePath) -> Folded {
    path.names().map(|name: Name| name.folded(|folded| folded.into())).collect()
}

impl<S> Drop for Listening<S> {
    fn drop(&mut self) {
        let mut by_path = self.feed.by_path.lock();
        if let Some(listeners) = by_path.get_mut(&self.at) {
            listeners.retain(|other| !Arc::ptr_eq(other, &self.listener));
            if listeners.is_empty() {
                by_path.remove(&self.at);
            }
        }
    }
}

impl<S> Default for Feed<S> {
    fn default() -> Self {
        Self { by_path: Mutex::default() }
    }
}

impl<S> fmt::Debug for Feed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("paths", &self.by_path.lock().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts what it hears.
    #[derive(Default)]
    struct Count(Mutex<u32>);

    impl FeedListener<()> for Count {
        fn hear(&self, (): &(), _: Timestamp) {
            *self.0.lock() += 1;
        }
    }

    fn path(text: &str) -> SharePath {
        SharePath::parse_disk(text.as_bytes()).expect(text)
    }

    /// Who listens at a path hears of what happens right there, of what happens to a folder above, and of what may have happened anywhere.
    #[test]
    fn a_listener_hears_what_concerns_its_path_and_nothing_else() {
        for (what, hears) in [
            (Happened::Changed(path("d/a")), true),
            (Happened::Changed(path("D/A")), true),
            (Happened::Changed(path("d")), true),
            (Happened::Changed(SharePath::root()), true),
            (Happened::Changed(path("d/a/below")), false),
            (Happened::Changed(path("d/b")), false),
            (Happened::Changed(path("d/ab")), false),
            (Happened::Hinted(Hint::Path(path("d/a"))), true),
            (Happened::Hinted(Hint::Path(path("d"))), false),
            (Happened::Hinted(Hint::Subtree(path("d"))), true),
            (Happened::Hinted(Hint::Subtree(path("e"))), false),
            (Happened::Hinted(Hint::Anywhere), true),
        ] {
            let (feed, count) = (Arc::new(Feed::default()), Arc::new(Count::default()));
            let _listening = feed.listen(&path("d/a"), Arc::clone(&count) as Arc<dyn FeedListener<()>>);
            feed.tell(&(), &what, Timestamp::default());
            assert_eq!(*count.0.lock(), u32::from(hears), "{what:?}");
        }
    }

    /// Who has ended listening hears nothing more, and leaves nothing behind; others at the same path go on.
    #[test]
    fn who_listens_no_more_hears_nothing() {
        let feed = Arc::new(Feed::default());
        let (one, other) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let first = feed.listen(&path("a"), Arc::clone(&one) as Arc<dyn FeedListener<()>>);
        let second = feed.listen(&path("a"), Arc::clone(&other) as Arc<dyn FeedListener<()>>);
        drop(first);
        feed.tell(&(), &Happened::Changed(path("a")), Timestamp::default());
        let heard = |count: &Count| *count.0.lock();
        assert_eq!((heard(&one), heard(&other)), (0, 1));
        drop(second);
        assert!(feed.by_path.lock().is_empty());
    }
}
