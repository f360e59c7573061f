//! The thread that keeps the feed.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::http::clock::now;
use crate::share::Share;

/// The thread that keeps the feed, for as long as the share is served.
pub(crate) struct FeedKeeper {
    share: Arc<Share>,
    thread: JoinHandle<()>,
}

impl FeedKeeper {
    pub(crate) fn start(share: Arc<Share>) -> Self {
        let kept = Arc::clone(&share);
        Self { share, thread: thread::spawn(move || kept.keep_feed(&now)) }
    }

    pub(crate) fn stop(self) {
        self.share.stop_feed();
        let _ = self.thread.join();
    }
}
