//! What a half-done upload is called: a secret for who began it, and on the disk a digest of that.

use std::fmt;

use data_encoding::HEXLOWER;

use crate::model::principal::Principal;

/// The name of a half-done upload: whoever has it, and is who began it, may go on with the upload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UploadId([u8; 16]);

impl UploadId {
    /// The name that is made of 16 random bytes.
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads the 32 lower-case hexadecimal digits of a name; `None` if these are none.
    pub fn parse(text: &str) -> Option<Self> {
        HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }

    /// As it stands in a URL. It is a secret.
    pub fn to_text(self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// What the upload is called on the disk, from which nobody learns its name.
    pub(super) fn stem(self) -> Box<str> {
        let mut hasher = blake3::Hasher::new_derive_key("noclobber 2026-11-27 names of half-done uploads on the disk");
        hasher.update(&self.0);
        HEXLOWER.encode(&hasher.finalize().as_bytes()[..16]).into()
    }
}

/// The name of a half-done upload that its client chose: it is known by that to its owner alone.
#[derive(Clone, PartialEq, Eq)]
pub struct ChosenId(Box<str>);

impl ChosenId {
    /// The upload that a client of this principal calls so.
    pub fn new(owner: &Principal, name: &[&str]) -> Self {
        let named = postcard::to_allocvec(&(owner, name)).expect("memory takes whatever is written");
        let mut hasher = blake3::Hasher::new_derive_key("noclobber 2026-11-27 names that clients choose for uploads");
        hasher.update(&named);
        Self(HEXLOWER.encode(&hasher.finalize().as_bytes()[..16]).into())
    }

    /// What the upload is called on the disk, from which nobody learns its name.
    pub(super) fn stem(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ChosenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChosenId(a secret)")
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UploadId(a secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_from_its_text_and_stays_out_of_the_disk() {
        let id = UploadId::from_random(std::array::from_fn(|at| at as u8));
        assert_eq!(UploadId::parse(&id.to_text()), Some(id));
        assert!(!id.stem().contains(&id.to_text()) && !format!("{id:?}").contains(&id.to_text()));
        let of = |owner: &Principal, name: &str| ChosenId::new(owner, &["user", name]);
        let (alice, nobody) = (Principal::named("alice"), Principal::Anonymous);
        assert_eq!(of(&alice, "up"), of(&alice, "up"));
        assert!(of(&alice, "up") != of(&nobody, "up") && of(&alice, "up") != of(&alice, "up2"));
        assert_ne!(ChosenId::new(&alice, &["a", "bc"]), ChosenId::new(&alice, &["ab", "c"]));
        for wrong in
            ["", "0", "000102030405060708090A0b0c0d0e0f", "000102030405060708090a0b0c0d0e0f0", "../etc/passwd/xx"]
        {
            assert_eq!(UploadId::parse(wrong), None, "{wrong}");
        }
    }
}
