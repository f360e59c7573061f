//! What identifies the version of a file that is there now, and what a condition can find at a place at all: nothing, a collection, or a
//! file with its validators. Conditional headers and the `If` header are both judged by these; neither is known here.

use std::borrow::Cow;

use super::dating::VersionDate;
use super::tag::{EntityTag, TagForm};

/// What is at a place, as far as a condition can ask.
#[derive(Clone, Debug, Default)]
pub enum Target<'a> {
    /// Nothing.
    #[default]
    Nothing,
    /// A collection, which has no tag and no date.
    Collection,
    /// Something else that has no tag and no date: a pipe or a device, or a file of which no version is known while a program writes it.
    Unidentified,
    /// A file.
    File(Cow<'a, Validators>),
}

/// What identifies the version of a file that is there now.
#[derive(Clone, Debug)]
pub struct Validators {
    /// The tag that is shown for it.
    pub shown: EntityTag,
    /// The first 128 bits of the content's hash, where it is known.
    pub content: Option<[u8; 16]>,
    /// The digest of its stamp, where the stamp is quiet and settled.
    pub stamp: Option<[u8; 16]>,
    /// Its date, and what that proves.
    pub date: VersionDate,
}

impl Validators {
    /// Whether `tag` names this version by strong comparison: the tag that is shown, or the other form of it.
    pub fn strongly_match(&self, tag: &EntityTag) -> bool {
        !tag.is_weak() && (self.shown.strong_eq(tag) || self.is_made_from(tag))
    }

    /// Whether `tag` names this version by weak comparison.
    pub fn weakly_match(&self, tag: &EntityTag) -> bool {
        self.shown.weak_eq(tag) || self.is_made_from(tag)
    }

    fn is_made_from(&self, tag: &EntityTag) -> bool {
        match tag.form() {
            TagForm::Content(digits) => self.content == Some(digits),
            TagForm::Stamp(digits) => self.stamp == Some(digits),
            TagForm::Foreign => false,
        }
    }
}

impl<'a> From<&'a Validators> for Target<'a> {
    fn from(file: &'a Validators) -> Self {
        Self::File(Cow::Borrowed(file))
    }
}

impl From<Validators> for Target<'_> {
    fn from(file: Validators) -> Self {
        Self::File(Cow::Owned(file))
    }
}
