//! Dictionaries of structured fields (RFC 9651), as the digest fields use them. Parsing is strict: a field is right as a whole or not at
//! all. Fields that are older than structured fields (`ETag`, `If-Match`, `Range`) never come here.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Padding may be missing, and its bits need not be zero (RFC 9651 §4.2.7).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The value of a member, as far as anybody here asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A whole number.
    Integer(i64),
    /// A byte sequence.
    Bytes(Vec<u8>),
    /// Anything else that is right.
    Other,
}

/// A member of a dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Its key.
    pub(super) key: String,
    /// Its value; its parameters mean nothing here.
    pub(super) value: Item,
}

/// Reads the field lines of a dictionary (RFC 9651 §4.2.2); `None` if they are not one. Of members with the same key the last one counts.
pub(super) fn dictionary(lines: &[&[u8]]) -> Option<Vec<Member>> {
    let joined = lines.join(&b", "[..]);
    let mut rest = Rest(joined.trim_ascii());
    let mut members: Vec<Member> = Vec::new();
    while !rest.is_empty() {
        let key = rest.key()?;
        let value = if rest.take(b'=') { rest.value()? } else { Item::Other };
        rest.parameters()?;
        match members.iter_mut().find(|member| member.key == key) {
            Some(member) => member.value = value,
            None => members.push(Member { key, value }),
        }
        rest.skip(b" \t");
        if rest.is_empty() {
            break;
        }
        if !rest.take(b',') {
            return None;
        }
        rest.skip(b" \t");
        if rest.is_empty() {
            return None;
        }
    }
    Some(members)
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, byte: u8) -> bool {
        let Some(rest) = self.0.strip_prefix(&[byte]) else { return false };
        self.0 = rest;
        true
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn skip(&mut self, bytes: &[u8]) {
        self.take_while(|byte| bytes.contains(&byte));
    }

    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !belongs(*byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn key(&mut self) -> Option<String> {
        let key =
            self.take_while(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*')).to_vec();
        let begins_well = matches!(key.first(), Some(b'a'..=b'z' | b'*'));
        begins_well.then(|| String::from_utf8(key).ok()).flatten()
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            self.skip(b" ");
            self.key()?;
            if self.take(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    /// An item without its parameters, or a list in parentheses.
    fn value(&mut self) -> Option<Item> {
        if !self.take(b'(') {
            return self.bare_item();
        }
        loop {
            self.skip(b" ");
            if self.take(b')') {
                return Some(Item::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            if !matches!(self.0.first(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    fn bare_item(&mut self) -> Option<Item> {
        match self.0.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
                self.take_while(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
                Some(Item::Other)
            }
            b':' => self.byte_sequence(),
            b'?' => {
                self.next();
                (self.take(b'0') || self.take(b'1')).then_some(Item::Other)
            }
            b'@' => {
                self.next();
                matches!(self.number()?, Item::Integer(_)).then_some(Item::Other)
            }
            b'%' => self.display_string(),
            _ => None,
        }
    }

    /// An integer of at most 15 digits, or a decimal of at most 12 and 3.
    fn number(&mut self) -> Option<Item> {
        let is_negative = self.take(b'-');
        let whole = self.take_while(|byte| byte.is_ascii_digit());
        if self.take(b'.') {
            let fraction = self.take_while(|byte| byte.is_ascii_digit());
            let fits = (1..=12).contains(&whole.len()) && (1..=3).contains(&fraction.len());
            return fits.then_some(Item::Other);
        }
        if whole.len() > 15 {
            return None;
        }
        let value: i64 = str::from_utf8(whole).ok()?.parse().ok()?;
        Some(Item::Integer(if is_negative { -value } else { value }))
    }

    fn string(&mut self) -> Option<Item> {
        self.next();
        loop {
            match self.next()? {
                b'"' => return Some(Item::Other),
                b'\\' => matches!(self.next()?, b'"' | b'\\').then_some(())?,
                b' '..=b'~' => {}
                _ => return None,
            }
        }
    }

    fn byte_sequence(&mut self) -> Option<Item> {
        self.next();
        let text = self.take_while(|byte| byte != b':');
        self.take(b':').then_some(())?;
        Some(Item::Bytes(BASE64.decode(text).ok()?))
    }

    fn display_string(&mut self) -> Option<Item> {
        self.next();
        self.take(b'"').then_some(())?;
        let mut decoded = Vec::new();
        loop {
            match self.next()? {
                b'"' => return str::from_utf8(&decoded).is_ok().then_some(Item::Other),
                b'%' => decoded.push(hex(self.next()?)? << 4 | hex(self.next()?)?),
                byte @ b' '..=b'~' => decoded.push(byte),
                _ => return None,
            }
        }
    }
}

/// A digit of a display string: lower case only.
fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Option<Vec<(String, Item)>> {
        Some(dictionary(&[line.as_bytes()])?.into_iter().map(|member| (member.key, member.value)).collect())
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
            let line = format!("sha-256=:{}:", BASE64.encode(&bytes));
            prop_assert_eq!(read(&line), Some(vec![("sha-256".to_owned(), Item::Bytes(bytes))]));
        }
    }
}
