//! What the chunks of an upload are called: by a number that puts them in order, or by the bytes that they are.

use std::fmt;

/// How many digits a number may have in the name of a chunk.
const DIGITS_MAX: usize = 18;

/// The name of a chunk. Numbers count, not how they are written: `1` and `00001` are the same chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChunkName {
    /// `00001`: before all with a higher number.
    Number(u64),
    /// `000000000000000-000000005242879`: from the first of these bytes to the last.
    Bytes {
        /// Which byte of the file it begins with.
        first: u64,
        /// Which it ends with.
        last: u64,
    },
}

impl ChunkName {
    /// Reads the name of a chunk; `None` if it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('-') {
            None => number(text).map(Self::Number),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Bytes { first, last })
            }
        }
    }

    /// How long the chunk is, in bytes, if its name says so.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::Number(_) => None,
            Self::Bytes { first, last } => Some(last - first + 1),
        }
    }

    /// Whether two chunks may belong to one upload: in one, all are called in the same way.
    pub fn goes_with(self, other: Self) -> bool {
        matches!((self, other), (Self::Number(_), Self::Number(_)) | (Self::Bytes { .. }, Self::Bytes { .. }))
    }
}

impl fmt::Display for ChunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number:05}"),
            Self::Bytes { first, last } => write!(f, "{first:015}-{last:015}"),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.len() <= DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_names() {
        let bytes = |first, last| Some(ChunkName::Bytes { first, last });
        for (text, expected) in [
            ("1", Some(ChunkName::Number(1))),
            ("00001", Some(ChunkName::Number(1))),
            ("10000", Some(ChunkName::Number(10_000))),
            ("000000000000000-000000005242879", bytes(0, 5_242_879)),
            ("5-5", bytes(5, 5)),
            ("6-5", None),
            ("", None),
            ("-", None),
            ("1-", None),
            ("-1", None),
            ("1-2-3", None),
            ("+1", None),
            ("1.0", None),
            (".file", None),
            ("9999999999999999999", None),
        ] {
            let name = ChunkName::parse(text);
            assert_eq!(name, expected, "{text}");
            assert_eq!(name.and_then(|name| ChunkName::parse(&name.to_string())), name, "{text}");
        }
        assert!(ChunkName::Number(2) < ChunkName::Number(10));
        assert!(bytes(2, 9) < bytes(10, 11));
        assert_eq!(ChunkName::parse("3-5").and_then(ChunkName::bytes), Some(3));
    }
}
