//! How values are written down in the catalog: the version of the format in one byte, then the value in the wire format of postcard.
//!
//! What is of another version, or is not exactly one value, is nothing.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of the format: another one for every change of a type that is written down. Properties are no cache, so whoever changes it reads
/// those of the version before, too.
const FORMAT: u8 = 1;

/// A value as bytes.
pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![FORMAT]).expect("memory takes whatever is written")
}

/// The value that these bytes are.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (&FORMAT, bytes) = bytes.split_first()? else { return None };
    let (value, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::model::lock::Reach::{Below, Itself};
    use crate::model::lock::Scope::{Exclusive, Shared};
    use crate::model::lock::{Lock, Pins, Reach, Scope};
    use crate::model::lock_token::LockToken;
    use crate::model::path::SharePath;
    use crate::model::principal::Principal;
    use crate::model::stamp::{FileId, Stamp, Timestamp};
    use crate::model::tag::EntityTag;

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
            made: None,
        }
    }

    #[test]
    fn junk_is_no_lock() {
        let whole = encode(&lock());
        assert!(decode::<Lock>(&whole).is_some());
        assert!(decode::<Lock>(&[]).is_none());
        for end in 0..whole.len() {
            assert!(decode::<Lock>(&whole[..end]).is_none(), "cut at {end}");
        }
        assert!(decode::<Lock>(&[&whole[..], &[0]].concat()).is_none(), "something behind it");
        assert!(decode::<Lock>(&[&[FORMAT + 1], &whole[1..]].concat()).is_none(), "another format");
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
            let mut pins_below = Pins::default();
            let pin = pin.map(|(weak, opaque)| EntityTag::received(weak, &opaque));
            pins_below.set(&path("a/b"), pin.clone(), usize::MAX);
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
                pin,
                pins_below,
                made: (seconds % 3 == 0).then(|| {
                    let time = Timestamp::new(seconds, nanoseconds);
                    let id = FileId { inode: seconds.unsigned_abs(), generation: u64::from(nanoseconds) };
                    Stamp { id, size: 0, mtime: time, ctime: time }
                }),
            }
        }
    }

    proptest! {
        #[test]
        fn a_lock_comes_back_from_its_bytes(lock in any_lock()) {
            let again = decode::<Lock>(&encode(&lock));
            prop_assert_eq!(format!("{again:?}"), format!("{:?}", Some(&lock)));
            prop_assert_eq!(again.map(|again| encode(&again)), Some(encode(&lock)));
        }

        #[test]
        fn no_bytes_make_it_stumble(bytes in prop::collection::vec(any::<u8>(), 0..80), lock in any_lock(), at: prop::sample::Index) {
            let _ = decode::<Lock>(&bytes);
            let mut spoilt = encode(&lock);
            let at = at.index(spoilt.len());
            spoilt[at] ^= 0x41;
            let _ = decode::<Lock>(&spoilt);
        }
    }
}
