//! What a client is told of its request before the answer (RFC 9110 §15.2): heads that leave as soon as nothing else of the connection's is on its
//! way, and always before the answer.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};

/// Where heads wait that are to leave before the answer. Shared by the connection, which sends them, and the methods.
#[derive(Clone, Debug, Default)]
pub struct Interims(Rc<RefCell<BytesMut>>);

impl Interims {
    /// Lets a head leave, once the connection has its turn.
    pub(crate) async fn say(&self, head: &[u8]) {
        self.0.borrow_mut().extend_from_slice(head);
        // What carries the connection on is what waits for this: it looks here when it goes on.
        tokio::task::yield_now().await;
    }

    /// Takes what is to leave, if there is anything.
    pub(crate) fn take(&self) -> Option<Bytes> {
        let mut waiting = self.0.borrow_mut();
        (!waiting.is_empty()).then(|| waiting.split().freeze())
    }
}
