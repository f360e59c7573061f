//! The way to a server: where it is, as whom, how it is trusted, and how long it is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::ClientConfig;

use crate::doctor::address::Address;

/// What every connection to one server has in common.
#[derive(Clone, Debug)]
pub(in crate::doctor) struct Route {
    pub(in crate::doctor) address: Address,
    /// The value of `Authorization`.
    pub(in crate::doctor) credentials: Option<String>,
    pub(in crate::doctor) tls: Option<Arc<ClientConfig>>,
    /// How long nothing may come or go before a connection is given up.
    pub(in crate::doctor) patience: Duration,
    /// Set when the user wants an end.
    pub(in crate::doctor) stop: Arc<AtomicBool>,
}

impl Route {
    pub(in crate::doctor) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}
