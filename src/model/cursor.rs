//! A place in the feed of a share: whoever has one has heard of all that happened before it.

use std::fmt;

use data_encoding::BASE32_DNSSEC;

/// A place in the feed of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Of which feed.
    pub feed: FeedId,
    /// The number of the last change before it; 0 where there is none.
    pub number: u64,
}

/// Which feed it is: another one where what happened is not known any more, so that no place in the old one means anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FeedId(pub [u8; 10]);

impl Cursor {
    /// Reads a cursor, just as it was given out; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (feed, number) = text.split_once('-')?;
        let feed = FeedId(BASE32_DNSSEC.decode(feed.as_bytes()).ok()?.try_into().ok()?);
        let cursor = Self { feed, number: number.parse().ok()? };
        (cursor.to_string() == text).then_some(cursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", BASE32_DNSSEC.encode(&self.feed.0), self.number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_quite_a_cursor_is_none() {
        let whole = Cursor { feed: FeedId([7; 10]), number: 12 }.to_string();
        assert!(Cursor::parse(&whole).is_some(), "{whole}");
        let upper = whole.to_uppercase();
        let long = format!("{whole}0000000000000000000000");
        let signed = whole.replace('-', "-+");
        let padded = whole.replace('-', "-0");
        for other in ["", "-", "1", "-1", "a-1", &whole[1..], &upper, &long, &signed, &padded, &format!("{whole} ")] {
            assert_eq!(Cursor::parse(other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_from_its_text(feed: [u8; 10], number: u64) {
            let cursor = Cursor { feed: FeedId(feed), number };
            prop_assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }

        #[test]
        fn no_text_makes_it_stumble(text in "\\PC{0,40}") {
            let _ = Cursor::parse(&text);
        }
    }
}
