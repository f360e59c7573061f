//! The validator on the wire: the entity tag of RFC 9110 §8.8.3, and what a tag of ours says by its form.
//!
//! | form | made from | judged by |
//! |---|---|---|
//! | `"<32 hex digits>"` | the first 128 bits of the content's BLAKE3 | the content |
//! | `"s<32 hex digits>"` | a digest of the stamp | the stamp |
//! | `W/"w<32 hex digits>"` | a digest of the stamp of a file that is being written | nothing: no If-Match can name it |

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::content_hash::ContentHash;
use super::stamp::Stamp;

/// An entity tag: opaque bytes, strong or weak.
#[derive(Clone, Serialize, Deserialize)]
pub struct EntityTag {
    weak: bool,
    opaque: Box<[u8]>,
}

/// What a strong tag says it was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagForm {
    /// The content: the first 128 bits of its hash.
    Content([u8; 16]),
    /// The stamp: its digest.
    Stamp([u8; 16]),
    /// Not one of ours.
    Foreign,
}

impl EntityTag {
    /// The tag of a file whose content is known.
    pub fn of_content(hash: &ContentHash) -> Self {
        Self { weak: false, opaque: hex("", &hash.short()) }
    }

    /// The tag of a file whose content is not known, and whose stamp is quiet and settled.
    pub fn of_stamp(stamp: &Stamp) -> Self {
        Self::of_stamp_digest(&stamp.digest())
    }

    /// As [`EntityTag::of_stamp`], for a stamp of which only the digest is remembered.
    pub fn of_stamp_digest(digest: &[u8; 16]) -> Self {
        Self { weak: false, opaque: hex("s", digest) }
    }

    /// The tag of a file that is being written just now.
    pub fn of_unsettled(stamp: &Stamp) -> Self {
        Self { weak: true, opaque: hex("w", &stamp.digest()) }
    }

    /// A tag as a client sent it; `opaque` is what stood between the quotes.
    pub fn received(weak: bool, opaque: &[u8]) -> Self {
        Self { weak, opaque: opaque.into() }
    }

    /// Whether it is weak.
    pub fn is_weak(&self) -> bool {
        self.weak
    }

    /// What stands between the quotes.
    pub fn opaque(&self) -> &[u8] {
        &self.opaque
    }

    /// What the tag says it was made from, whether it is weak or not.
    pub fn form(&self) -> TagForm {
        match &*self.opaque {
            digits if digits.len() == 32 => unhex(digits).map_or(TagForm::Foreign, TagForm::Content),
            [b's', digits @ ..] if digits.len() == 32 => unhex(digits).map_or(TagForm::Foreign, TagForm::Stamp),
            _ => TagForm::Foreign,
        }
    }

    /// Strong comparison (RFC 9110 §8.8.3.2): the same opaque bytes, and neither is weak.
    pub fn strong_eq(&self, other: &EntityTag) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison (RFC 9110 §8.8.3.2): the same opaque bytes.
    pub fn weak_eq(&self, other: &EntityTag) -> bool {
        self.opaque == other.opaque
    }
}

fn hex(prefix: &str, bytes: &[u8]) -> Box<[u8]> {
    let mut opaque = prefix.to_owned();
    HEXLOWER.encode_append(bytes, &mut opaque);
    opaque.into_bytes().into()
}

/// Of 32 digits. Lower case only: tags are compared octet by octet.
fn unhex(digits: &[u8]) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    HEXLOWER.decode_mut(digits, &mut bytes).ok().map(|_| bytes)
}

/// As it stands in a header, quotes and all.
impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\"{}\"", if self.weak { "W/" } else { "" }, String::from_utf8_lossy(&self.opaque))
    }
}

impl fmt::Debug for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_comparisons_of_the_standard() {
        let (weak, strong) = (
            |tag: &str| EntityTag::received(true, tag.as_bytes()),
            |tag: &str| EntityTag::received(false, tag.as_bytes()),
        );
        for (one, other, strongly, weakly) in [
            (weak("1"), weak("1"), false, true),
            (weak("1"), weak("2"), false, false),
            (weak("1"), strong("1"), false, true),
            (strong("1"), strong("1"), true, true),
            (strong("1"), strong("01"), false, false),
            (strong("1"), strong("1 "), false, false),
        ] {
            assert_eq!((one.strong_eq(&other), one.weak_eq(&other)), (strongly, weakly), "{one} {other}");
        }
    }

    #[test]
    fn a_tag_says_what_it_was_made_from() {
        let hash = ContentHash::of(b"x");
        assert_eq!(EntityTag::of_content(&hash).form(), TagForm::Content(hash.short()));
        for foreign in ["", "s", "abc", &"g".repeat(32), &"A".repeat(32), &"0".repeat(33)] {
            assert_eq!(EntityTag::received(false, foreign.as_bytes()).form(), TagForm::Foreign, "{foreign}");
        }
    }
}
