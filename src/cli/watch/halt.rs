//! Why watching ends before somebody wants it to.

/// Why it ends.
#[derive(Debug)]
pub(super) enum Halt {
    /// What happened since the place that was given cannot be told.
    LostPlace(String),
    /// Anything else.
    Fault(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Halt {
    fn from(fault: E) -> Self {
        Self::Fault(fault.into())
    }
}
