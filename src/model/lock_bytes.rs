//! A lock as bytes, to remember it over a restart. The first byte is the version of the format.

use std::time::Duration;

use super::lock::{Lock, Pins, Reach, Scope};
use super::lock_token::LockToken;
use super::path::SharePath;
use super::principal::Principal;
use super::stamp::Timestamp;
use super::tag::EntityTag;

/// The first byte of a lock that is written down.
const FORMAT: u8 = 2;

/// What is left of the bytes of a lock.
struct LockReader<'a>(&'a [u8]);

impl<'a> LockReader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn nanoseconds(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes).filter(|nanoseconds| *nanoseconds < 1_000_000_000)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(length.try_into().ok()?)
    }

    fn tag(&mut self) -> Option<EntityTag> {
        let is_weak = self.flag()?;
        Some(EntityTag::received(is_weak, self.text()?))
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }
}

fn write_text(bytes: &mut Vec<u8>, text: &[u8]) {
    let length = u32::try_from(text.len()).expect("every text in a lock came through a bounded header or body");
    bytes.extend(length.to_le_bytes());
    bytes.extend(text);
}

fn write_tag(bytes: &mut Vec<u8>, tag: &EntityTag) {
    bytes.push(u8::from(tag.is_weak()));
    write_text(bytes, tag.opaque());
}

fn write_option<T>(bytes: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    bytes.push(u8::from(value.is_some()));
    if let Some(value) = value {
        write(bytes, value);
    }
}

impl Lock {
    /// The lock, to remember it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        write_text(&mut bytes, self.token.as_str().as_bytes());
        write_text(&mut bytes, self.root.as_bytes());
        bytes.push(u8::from(self.scope == Scope::Shared));
        bytes.push(u8::from(self.reach == Reach::Below));
        write_option(&mut bytes, self.owner.as_deref(), |bytes, owner| write_text(bytes, owner.as_bytes()));
        let name = match &self.holder {
            Principal::Anonymous => None,
            Principal::Named(name) => Some(&**name),
        };
        write_option(&mut bytes, name, |bytes, name| write_text(bytes, name.as_bytes()));
        let address = self.taken_from.map(|address| address.to_string());
        write_option(&mut bytes, address.as_deref(), |bytes, address| write_text(bytes, address.as_bytes()));
        write_option(&mut bytes, self.timeout, |bytes, timeout| {
            bytes.extend(timeout.as_secs().to_le_bytes());
            bytes.extend(timeout.subsec_nanos().to_le_bytes());
        });
        bytes.extend(self.expires.seconds().to_le_bytes());
        bytes.extend(self.expires.subsecond_nanoseconds().to_le_bytes());
        write_option(&mut bytes, self.pin.as_ref(), write_tag);
        bytes.extend((self.pins_below.0.len() as u32).to_le_bytes());
        for (path, tag) in &self.pins_below.0 {
            write_text(&mut bytes, path.as_bytes());
            write_tag(&mut bytes, tag);
        }
        bytes
    }

    /// A lock that was remembered. `None` for bytes that are not exactly one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = LockReader(bytes);
        if rest.byte()? != FORMAT {
            return None;
        }
        let mut lock = Self {
            token: LockToken::parse(str::from_utf8(rest.text()?).ok()?)?,
            root: SharePath::parse_disk(rest.text()?).ok()?,
            scope: if rest.flag()? { Scope::Shared } else { Scope::Exclusive },
            reach: if rest.flag()? { Reach::Below } else { Reach::Itself },
            owner: rest.option(|rest| Some(str::from_utf8(rest.text()?).ok()?.into()))?,
            holder: rest
                .option(|rest| Some(Principal::named(str::from_utf8(rest.text()?).ok()?)))?
                .unwrap_or(Principal::Anonymous),
            taken_from: rest.option(|rest| str::from_utf8(rest.text()?).ok()?.parse().ok())?,
            timeout: rest.option(|rest| {
                let (seconds, nanoseconds) = (u64::from_le_bytes(rest.array()?), rest.nanoseconds()?);
                Some(Duration::new(seconds, nanoseconds))
            })?,
            expires: Timestamp::new(i64::from_le_bytes(rest.array()?), rest.nanoseconds()?),
            pin: rest.option(LockReader::tag)?,
            pins_below: Pins::default(),
        };
        for _ in 0..u32::from_le_bytes(rest.array()?) {
            let path = SharePath::parse_disk(rest.text()?).ok()?;
            lock.pins_below.0.push((path, rest.tag()?));
        }
        rest.0.is_empty().then_some(lock)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::net::IpAddr;

    use super::*;
    use crate::model::lock::Reach::{Below, Itself};
    use crate::model::lock::Scope::{Exclusive, Shared};

    fn path(text: &str) -> SharePath {
        SharePath::parse_disk(text.as_bytes()).expect(text)
    }

    fn lock() -> Lock {
        Lock {
            token: LockToken::from_random([1; 16]),
            root: path("a"),
            scope: Shared,
            reach: Below,
            owner: None,
            holder: Principal::Anonymous,
            taken_from: None,
            timeout: Some(Duration::from_secs(3600)),
            expires: Timestamp::new(3600, 0),
            pin: None,
            pins_below: Pins::default(),
        }
    }

    #[test]
    fn junk_is_no_lock() {
        let whole = lock().to_bytes();
        assert!(Lock::from_bytes(&whole).is_some());
        assert!(Lock::from_bytes(&[]).is_none());
        for end in 0..whole.len() {
            assert!(Lock::from_bytes(&whole[..end]).is_none(), "cut at {end}");
        }
        assert!(Lock::from_bytes(&[&whole[..], &[0]].concat()).is_none(), "something behind it");
        assert!(Lock::from_bytes(&[&[FORMAT + 1], &whole[1..]].concat()).is_none(), "another format");
    }

    fn any_scope() -> impl Strategy<Value = Scope> {
        prop_oneof![Just(Exclusive), Just(Shared)]
    }

    fn any_reach() -> impl Strategy<Value = Reach> {
        prop_oneof![Just(Itself), Just(Below)]
    }

    prop_compose! {
        fn any_lock()(
            random: [u8; 16],
            root in prop::sample::select(vec!["", "a", "a/b", "a-b/c", "é/\u{1f600}"]),
            scope in any_scope(),
            reach in any_reach(),
            owner in prop::option::of("\\PC{0,20}"),
            name in prop::option::of("\\PC{0,20}"),
            timeout in prop::option::of((any::<u64>(), 0..1_000_000_000_u32)),
            (seconds, nanoseconds) in (-9_000_000_000..9_000_000_000_i64, 0..1_000_000_000_u32),
            pin in prop::option::of((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40))),
        ) -> Lock {
            Lock {
                token: LockToken::from_random(random),
                root: path(root),
                scope,
                reach,
                owner: owner.map(Into::into),
                holder: name.map_or(Principal::Anonymous, |name| Principal::named(&name)),
                taken_from: (seconds % 2 == 0).then_some(IpAddr::from(random)),
                timeout: timeout.map(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds)),
                expires: Timestamp::new(seconds, nanoseconds),
                pins_below: Pins(pin.iter().map(|(weak, opaque)| (path("a/b"), EntityTag::received(*weak, opaque))).collect()),
                pin: pin.map(|(weak, opaque)| EntityTag::received(weak, &opaque)),
            }
        }
    }

    proptest! {
        #[test]
        fn a_lock_comes_back_from_its_bytes(lock in any_lock()) {
            let again = Lock::from_bytes(&lock.to_bytes());
            prop_assert_eq!(format!("{again:?}"), format!("{:?}", Some(&lock)));
            prop_assert_eq!(again.map(|again| again.to_bytes()), Some(lock.to_bytes()));
        }

        #[test]
        fn no_bytes_make_it_stumble(bytes in prop::collection::vec(any::<u8>(), 0..80), lock in any_lock(), at: prop::sample::Index) {
            let _ = Lock::from_bytes(&bytes);
            let mut spoilt = lock.to_bytes();
            let at = at.index(spoilt.len());
            spoilt[at] ^= 0x41;
            let _ = Lock::from_bytes(&spoilt);
        }
    }
}
