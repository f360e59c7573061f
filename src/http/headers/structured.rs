//! Dictionaries of structured fields (RFC 9651 §3.2), as the digest fields use them. A field is right as a whole or not at all. Fields that
//! are older than structured fields (`ETag`, `If-Match`, `Range`) never come here.

use sfv::{BareItem, Dictionary, ListEntry, Parser};

/// The most members of a dictionary, by the commas between them. A digest field has one for each algorithm.
const MEMBERS_MAX: usize = 64;

/// Reads the field lines of a dictionary (RFC 9651 §4.2.2); `None` if they are not one, or one of more than [`MEMBERS_MAX`] members. Of
/// members with the same key the last one counts.
pub(crate) fn dictionary(lines: &[&[u8]]) -> Option<Dictionary> {
    let joined = lines.join(&b", "[..]);
    let commas = joined.iter().filter(|byte| **byte == b',').count();
    if commas < MEMBERS_MAX { Parser::new(&joined).parse().ok() } else { None }
}

/// The value of a member, if it is there and no list.
pub(crate) fn item<'a>(dictionary: &'a Dictionary, key: &str) -> Option<&'a BareItem> {
    match dictionary.get(key)? {
        ListEntry::Item(item) => Some(&item.bare_item),
        ListEntry::InnerList(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    /// The value of a member, as far as the digest fields ask.
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Item {
        Integer(i64),
        Bytes(Vec<u8>),
        Other,
    }

    fn read(line: &str) -> Option<Vec<(String, Item)>> {
        let members = dictionary(&[line.as_bytes()])?;
        let read = |key: &str| match item(&members, key) {
            Some(BareItem::Integer(number)) => Item::Integer((*number).into()),
            Some(BareItem::ByteSequence(bytes)) => Item::Bytes(bytes.clone()),
            _ => Item::Other,
        };
        Some(members.keys().map(|key| (key.to_string(), read(key.as_str()))).collect())
    }

    #[test]
    fn right_dictionaries() {
        let bytes = |text: &str| Item::Bytes(text.as_bytes().to_vec());
        for (line, members) in [
            ("", vec![]),
            ("  ", vec![]),
            ("a=:aGk=:", vec![("a", bytes("hi"))]),
            ("a=:aGk:", vec![("a", bytes("hi"))]),
            ("a=::", vec![("a", bytes(""))]),
            ("a=1,b=-2", vec![("a", Item::Integer(1)), ("b", Item::Integer(-2))]),
            ("a=999999999999999", vec![("a", Item::Integer(999_999_999_999_999))]),
            ("a=1 \t,\t b=2 ", vec![("a", Item::Integer(1)), ("b", Item::Integer(2))]),
            ("a=1, b=2, a=3", vec![("a", Item::Integer(3)), ("b", Item::Integer(2))]),
            ("a", vec![("a", Item::Other)]),
            ("a;x;y=1;z=:aGk=:, b", vec![("a", Item::Other), ("b", Item::Other)]),
            ("a=1;  q=0.5", vec![("a", Item::Integer(1))]),
            ("*-_.9=?1", vec![("*-_.9", Item::Other)]),
            ("a=\"x\\\"\\\\,\", b=tok/en:*, c=@-1, d=%\"f%c3%bc\"", {
                vec![("a", Item::Other), ("b", Item::Other), ("c", Item::Other), ("d", Item::Other)]
            }),
            ("a=(), b=( 1  \"x\";q=1 ), c=1.5", vec![("a", Item::Other), ("b", Item::Other), ("c", Item::Other)]),
        ] {
            let members: Vec<_> = members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            assert_eq!(read(line), Some(members), "{line}");
        }
        let joined = dictionary(&[b"a=1", b"b=2"]).expect("two lines are one field");
        assert_eq!(joined.len(), 2);
    }

    #[test]
    fn wrong_dictionaries() {
        for line in [
            ",",
            "a=1,",
            "a=1,,b=2",
            "a=1 b=2",
            "A=1",
            "1a=1",
            "=1",
            "a=",
            "a= 1",
            "a =1",
            "a=:a",
            "a=:a*b:",
            "a=:a:",
            "a=1000000000000000",
            "a=-",
            "a=--1",
            "a=1.",
            "a=.5",
            "a=1.2345",
            "a=?2",
            "a=@1.5",
            "a=\"x",
            "a=\"\\x\"",
            "a=\"é\"",
            "a=(1",
            "a=(1,2)",
            "a=(1\"x\")",
            "a=1;",
            "a=1;A",
            "a=%\"%C3\"",
            "a=%\"%c3\"",
            "a=%x",
            "a=[1]",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    /// Nobody has more members read than there are algorithms in the world.
    #[test]
    fn too_many_members_are_no_dictionary() {
        let with = |members: usize| (0..members).map(|number| format!("k{number}=1")).collect::<Vec<_>>().join(",");
        assert_eq!(read(&with(MEMBERS_MAX)).map(|members| members.len()), Some(MEMBERS_MAX));
        assert_eq!(read(&with(MEMBERS_MAX + 1)), None);
        let lines = vec![&b"a=1"[..]; MEMBERS_MAX + 1];
        assert_eq!(dictionary(&lines), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(line: Vec<u8>) {
            dictionary(&[&line]);
        }

        #[test]
        fn near_misses_are_read_or_refused(line in "[a-c=:;,()?@%\"\\\\ .*0-9-]{0,40}") {
            dictionary(&[line.as_bytes()]);
        }

        #[test]
        fn bytes_come_back(bytes: Vec<u8>) {
            let line = format!("sha-256=:{}:", STANDARD.encode(&bytes));
            prop_assert_eq!(read(&line), Some(vec![("sha-256".to_owned(), Item::Bytes(bytes))]));
        }
    }
}
