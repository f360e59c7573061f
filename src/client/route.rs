//! The way to a server: where it is, as whom, how it is trusted, and how long it is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::ClientConfig;

use crate::client::Address;

/// What every connection to one server has in common.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) address: Address,
    /// Who asks, for `User-Agent`.
    pub(crate) program: &'static str,
    /// The value of `Authorization`.
    pub(crate) credentials: Option<String>,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// How long nothing may come or go before a connection is given up.
    pub(crate) patience: Duration,
    /// Set when the user wants an end.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Route {
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}
