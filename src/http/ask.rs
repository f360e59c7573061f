//! How the methods ask the share, whose answers may wait for the disk.

use std::sync::Arc;

use crate::share::Share;
use crate::share::outcome::Outcome;

/// Asks the share on the blocking pool. Once begun it runs to its end, whether or not the client is still there.
pub(crate) async fn ask<T: Send + 'static>(
    share: &Arc<Share>,
    question: impl FnOnce(&Share) -> Outcome<T> + Send + 'static,
) -> Outcome<T> {
    let share = Arc::clone(share);
    match tokio::task::spawn_blocking(move || question(&share)).await {
        Ok(outcome) => outcome,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
