//! The records of the catalog and the places in the feed, as the fuzz target calls them: raw bytes in, and what must hold of whatever comes out is
//! asserted here. No part of the program, and of no use to anybody else.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::changes::SavedState;
use super::codec::{decode, encode};
use super::known_members::KnownMember;
use crate::model::change::Change;
use crate::model::cursor::Cursor;

/// A record of the journal, a place in the feed, or neither. What is read is read again from what is written of it, as the same.
pub fn journal(bytes: &[u8]) {
    comes_back::<Change>(bytes);
    comes_back::<KnownMember>(bytes);
    comes_back::<SavedState>(bytes);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(cursor) = Cursor::parse(text)
    {
        assert_eq!(cursor.to_string(), text);
    }
}

fn comes_back<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Some(value) = decode::<T>(bytes) {
        let written = encode(&value);
        let again = decode::<T>(&written).expect("what was written can be read");
        assert_eq!(encode(&again), written);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_must_hold_of_the_journal_does(rest: Vec<u8>) {
            journal(&rest);
            // The version of the format, and a time.
            journal(&[&[1, 0, 0][..], &rest].concat());
        }
    }
}
