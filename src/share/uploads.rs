//! The uploads in flight, so that one whose validator has gone stale is told then and not after another gigabyte.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::path::{Name, SharePath};
use crate::model::precondition::Precondition;

use super::Hint;
use super::outcome::Stop;

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
    precondition: Precondition,
    told: Mutex<Option<Stop>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl UploadWatch {
    /// Why the upload can no longer succeed, if it was told.
    pub fn told(&self) -> Option<Stop> {
        lock(&self.upload.told).clone()
    }
}

impl Uploads {
    /// Puts an upload on the list.
    pub(super) fn watch(
        self: &Arc<Self>,
        path: &SharePath,
        precondition: &Precondition,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> UploadWatch {
        let (path, precondition) = (path.clone(), precondition.clone());
        let upload = Arc::new(InFlight { path, precondition, told: Mutex::default(), wake });
        lock(&self.by_path).entry(folded(&upload.path)).or_default().push(Arc::clone(&upload));
        UploadWatch { uploads: Arc::clone(self), upload }
    }

    /// Judges again every upload that a hint speaks of and that was not told yet; `judge` says why it can no longer succeed.
    pub(super) fn recheck(&self, hint: &Hint, judge: impl Fn(&SharePath, &Precondition) -> Option<Stop>) {
        let concerned: Vec<_> = {
            let by_path = lock(&self.by_path);
            if by_path.is_empty() {
                return;
            }
            let top = hint.top().map(folded).unwrap_or_default();
            let all = by_path.iter().filter(|(path, _)| hint.concerns(&top, path)).flat_map(|(_, uploads)| uploads);
            all.filter(|upload| lock(&upload.told).is_none()).map(Arc::clone).collect()
        };
        for upload in concerned {
            if let Some(stop) = judge(&upload.path, &upload.precondition) {
                *lock(&upload.told) = Some(stop);
                (upload.wake)();
            }
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
        f.debug_struct("InFlight").field("path", &self.path).field("told", &*lock(&self.told)).finish_non_exhaustive()
    }
}

/// Lists are whole whatever thread panicked beside them.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
