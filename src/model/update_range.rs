//! Where a partial write puts its bytes.

/// Where the bytes of a partial write go in the file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateRange {
    /// From this byte on, counted from 0. It may lie behind the end of the file: then zeros fill what is between.
    From(u64),
    /// From so many bytes before the end on.
    FromEnd(u64),
    /// Behind the end.
    Append,
}

impl UpdateRange {
    /// The first byte, in a file of this size; `None` if the file has none so far before its end.
    pub fn start(self, size: u64) -> Option<u64> {
        match self {
            Self::From(first) => Some(first),
            Self::FromEnd(back) => size.checked_sub(back),
            Self::Append => Some(size),
        }
    }

    /// How long a file of this size becomes by so many bytes; `None` if they have no place in it, or no file could be so long. No bytes change nothing.
    pub fn size_after(self, size: u64, bytes: u64) -> Option<u64> {
        let start = self.start(size)?;
        if bytes == 0 {
            return Some(size);
        }
        start.checked_add(bytes).map(|end| end.max(size))
    }
}

#[cfg(test)]
mod tests {
    use super::UpdateRange::{Append, From, FromEnd};

    #[test]
    fn where_four_bytes_go_in_ten() {
        for (range, start, size) in [
            (From(0), Some(0), Some(10)),
            (From(6), Some(6), Some(10)),
            (From(7), Some(7), Some(11)),
            (From(12), Some(12), Some(16)),
            (From(u64::MAX), Some(u64::MAX), None),
            (FromEnd(4), Some(6), Some(10)),
            (FromEnd(2), Some(8), Some(12)),
            (FromEnd(10), Some(0), Some(10)),
            (FromEnd(0), Some(10), Some(14)),
            (FromEnd(11), None, None),
            (Append, Some(10), Some(14)),
        ] {
            assert_eq!((range.start(10), range.size_after(10, 4)), (start, size), "{range:?}");
            assert_eq!(range.size_after(10, 0), start.map(|_| 10), "{range:?}, and no bytes");
        }
    }
}
