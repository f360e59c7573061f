//! How much clients may note.

/// How much may be noted. When there are users, what each of them may note has its place here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PropertyLimits {
    /// On one resource, in bytes of XML.
    pub one_bytes_max: usize,
    /// On all resources together, in bytes with their names and paths.
    pub all_bytes_max: u64,
}

/// What became of something that was to be noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Noted {
    /// It is noted.
    Done,
    /// The resource would have more than one may; nothing was changed.
    TooMuchOnOne,
    /// All would have more than all may; nothing was changed.
    TooMuchOnAll,
}

impl Default for PropertyLimits {
    /// 256 KiB on one resource, 64 MiB on all.
    fn default() -> Self {
        Self { one_bytes_max: 256 << 10, all_bytes_max: 64 << 20 }
    }
}
