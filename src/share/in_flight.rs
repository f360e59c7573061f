//! The uploads in flight, so that one whose validator has gone stale is told then and not after another gigabyte.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::path::SharePath;
use crate::model::stamp::Timestamp;
use crate::model::validators::Target;
use crate::model::verdict::Deed;

use super::listeners::{FeedListener, Listening};
use super::outcome::{Outcome, Refusal, Stop};
use super::request_context::RequestContext;
use super::shared_folder::Share;

/// An upload in flight, as whoever carries it out sees it; dropping it ends the watch.
pub struct UploadWatch {
    upload: Arc<InFlight>,
    _listening: Listening<Share>,
}

/// An upload in flight that names a version.
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
enum Judged {
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
        match &*self.upload.news.lock() {
            News::Stale(stop) => Some(stop.clone()),
            News::Nothing | News::InDoubt => None,
        }
    }

    /// Whether it takes the hash of a large file to say whether the upload can still succeed. Each doubt is told once; whoever is told has the
    /// file hashed and asks [`Share::may_go_on`](super::Share::may_go_on).
    pub fn is_in_doubt(&self) -> bool {
        let mut news = self.upload.news.lock();
        let is_in_doubt = matches!(*news, News::InDoubt);
        if is_in_doubt {
            *news = News::Nothing;
        }
        is_in_doubt
    }
}

impl FeedListener<Share> for InFlight {
    /// Judges the upload again, unless it was told already that it can no longer succeed.
    fn hear(&self, share: &Share, now: Timestamp) {
        if matches!(*self.news.lock(), News::Stale(_)) {
            return;
        }
        *self.news.lock() = match share.judge_in_flight(&self.path, &self.request.clone().at(now)) {
            Judged::Holds => return,
            Judged::InDoubt => News::InDoubt,
            Judged::Stale(stop) => News::Stale(stop),
        };
        (self.wake)();
    }
}

impl Share {
    /// Lets an upload in flight be told when its validator goes stale; `wake` is called then. This comes before
    /// [`Share::may_put`]: what changes between the two is seen by that look, what changes later is told.
    ///
    /// The upload is told of its own commit, too: once that has begun, what it is told means nothing.
    pub fn watch_upload(
        &self,
        path: &SharePath,
        request: &RequestContext,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> UploadWatch {
        let path = self.spelled(path).map_or_else(|_| path.clone(), Cow::into_owned);
        let upload = Arc::new(InFlight { path, request: request.clone(), news: Mutex::default(), wake });
        let _listening = self.feed.listen(&upload.path, Arc::clone(&upload) as Arc<dyn FeedListener<Self>>);
        UploadWatch { upload, _listening }
    }

    /// Says why an upload in flight can no longer succeed, after it was in doubt and the file it depends on was hashed.
    pub fn may_go_on(&self, path: &SharePath, request: &RequestContext) -> Outcome<()> {
        let path = self.spelled(path)?;
        self.stale_reason(&path, request).map_or(Ok(()), Err)
    }

    /// Judges an upload in flight, for whom others wait: no large file is hashed.
    fn judge_in_flight(&self, path: &SharePath, request: &RequestContext) -> Judged {
        let is_to_be_hashed = self.unhashed(path, None, request).is_ok_and(|files| !files.is_empty());
        if is_to_be_hashed || self.is_large_and_to_be_confirmed(path) {
            return Judged::InDoubt;
        }
        self.stale_reason(path, request).map_or(Judged::Holds, Judged::Stale)
    }

    /// Why the condition of an upload in flight no longer holds. What may be otherwise by the time of the commit does not count: a program
    /// that has the file open, a folder that is still to be made, a disk that fails.
    fn stale_reason(&self, path: &SharePath, request: &RequestContext) -> Option<Stop> {
        let stop = self.judge_early(path, Deed::Put, request, Duration::ZERO).err()?;
        match &stop {
            Stop::Refusal(Refusal::PreconditionFailed { .. }) => Some(stop),
            Stop::Refusal(Refusal::NoParent) => self.judge_conditions(path, request, &Target::Nothing).err(),
            Stop::Refusal(Refusal::IsCollection) => self.judge_conditions(path, request, &Target::Collection).err(),
            _ => None,
        }
    }

    /// Whether a look at what is there would have to hash a large file, because it is not sure whether that is still what it was.
    fn is_large_and_to_be_confirmed(&self, path: &SharePath) -> bool {
        let Ok(Some(status)) = self.status_of(path) else { return false };
        self.is_large(&status.stamp)
            && self.index.recall_unsettled(&status.stamp).is_some_and(|remembered| !remembered.is_settled)
    }
}

impl fmt::Debug for UploadWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.upload, f)
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("path", &self.path).field("news", &*self.news.lock()).finish_non_exhaustive()
    }
}
