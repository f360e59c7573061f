//! The uploads in flight, so that one whose validator has gone stale is told then and not after another gigabyte.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::path::{Name, SharePath};

use super::hints::Hint;
use super::outcome::Stop;
use super::request_context::RequestContext;

/// All uploads in flight that name a version. What some file system takes for one name is one here: who is told for nothing looks once.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    by_path: Mutex<HashMap<Folded, Vec<Arc<InFlight>>>>,
}

/// The names of a path, folded.
type Folded = Vec<Box<[u8]>>;

/// An upload in flight, as the share sees it; dropping it takes it off the list.
pub struct UploadWatch {
    uploads: Arc<Uploads>,
    upload: Arc<InFlight>,
}

struct InFlight {
    path: SharePath,
    request: RequestContext,
    news: Mutex<News>,
    wake: Box<dyn Fn() + Send + Sync>,
}

/// What an upload in flight has been told of its condition.
#[derive(Debug, Default)]
enum News {
    #[default]
    Nothing,
    InDoubt,
    Stale(Stop),
}

/// What has become of the condition of an upload in flight.
#[derive(Debug)]
pub(super) enum Judged {
    /// It holds, as far as can be said.
    Holds,
    /// A large file has to be hashed to say so.
    InDoubt,
    /// It does not, and this is why.
    Stale(Stop),
}

impl UploadWatch {
    /// Why the upload can no longer succeed, if it was told.
    pub fn told(&self) -> Option<Stop> {
        match &*lock(&self.upload.news) {
            News::Stale(stop) => Some(stop.clone()),
            News::Nothing | News::InDoubt => None,
        }
    }

    /// Whether it takes the hash of a large file to say whether the upload can still succeed. Each doubt is told once; whoever is told has the
    /// file hashed and asks [`Share::may_go_on`](super::Share::may_go_on).
    pub fn is_in_doubt(&self) -> bool {
        let mut news = lock(&self.upload.news);
        let is_in_doubt = matches!(*news, News::InDoubt);
        if is_in_doubt {
            *news = News::Nothing;
        }
        is_in_doubt
    }
}

impl Uploads {
    /// Puts an upload on the list.
    pub(super) fn watch(
        self: &Arc<Self>,
        path: &SharePath,
        request: &RequestContext,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> UploadWatch {
        let (path, request) = (path.clone(), request.clone());
        let upload = Arc::new(InFlight { path, request, news: Mutex::default(), wake });
        lock(&self.by_path).entry(folded(&upload.path)).or_default().push(Arc::clone(&upload));
        UploadWatch { uploads: Arc::clone(self), upload }
    }

    /// Judges again every upload that a hint speaks of and that was not told yet that it can no longer succeed.
    pub(super) fn recheck(&self, hint: &Hint, judge: impl Fn(&SharePath, &RequestContext) -> Judged) {
        let concerned: Vec<_> = {
            let by_path = lock(&self.by_path);
            if by_path.is_empty() {
                return;
            }
            let top = hint.top().map(folded).unwrap_or_default();
            let all = by_path.iter().filter(|(path, _)| hint.concerns(&top, path)).flat_map(|(_, uploads)| uploads);
            all.filter(|upload| !matches!(*lock(&upload.news), News::Stale(_))).map(Arc::clone).collect()
        };
        for upload in concerned {
            *lock(&upload.news) = match judge(&upload.path, &upload.request) {
                Judged::Holds => continue,
                Judged::InDoubt => News::InDoubt,
                Judged::Stale(stop) => News::Stale(stop),
            };
            (upload.wake)();
        }
    }
}

impl Hint {
    fn top(&self) -> Option<&SharePath> {
        match self {
            Self::Path(path) | Self::Subtree(path) => Some(path),
            Self::Anywhere => None,
        }
    }

    /// Whether it speaks of a path. `top` is its own, folded.
    fn concerns(&self, top: &Folded, path: &Folded) -> bool {
        match self {
            Self::Path(_) => path == top,
            Self::Subtree(_) => path.starts_with(top),
            Self::Anywhere => true,
        }
    }
}

fn folded(path: &SharePath) -> Folded {
    path.names().map(|name: Name| name.folded(|folded| folded.into())).collect()
}

impl Drop for UploadWatch {
    fn drop(&mut self) {
        let mut by_path = lock(&self.uploads.by_path);
        let path = folded(&self.upload.path);
        if let Some(uploads) = by_path.get_mut(&path) {
            uploads.retain(|other| !Arc::ptr_eq(other, &self.upload));
            if uploads.is_empty() {
                by_path.remove(&path);
            }
        }
    }
}

impl fmt::Debug for UploadWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.upload, f)
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("path", &self.path).field("news", &*lock(&self.news)).finish_non_exhaustive()
    }
}

/// Lists are whole whatever thread panicked beside them.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
