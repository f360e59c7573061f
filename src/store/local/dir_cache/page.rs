//! Some members of a folder that lie beside each other in the order of their names, with what was written of them. A page that is changed is
//! another page: whoever holds one goes on with what it was.

use super::kept_forms::KeptForms;
use crate::model::path::Name;
use crate::store::status::{Entry, Kind, Status};

/// How many members a page has when it is made; 128 of them are about 48 KiB of XML.
pub(super) const MEMBERS: usize = 128;

/// How many it may come to have before it is divided.
const MEMBERS_MAX: usize = MEMBERS * 3 / 2;

/// What one member takes besides its name, in bytes.
const MEMBER_BYTES: usize = size_of::<Member>() + 16;

/// Members that lie beside each other.
#[derive(Clone, Debug)]
pub struct Page {
    members: Vec<Member>,
    /// What the members take, in bytes.
    weight: usize,
    forms: KeptForms,
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) entry: Entry,
    /// Whether what changes it may be told to nobody, so that it is looked at whenever it is told of.
    pub(super) is_looked_at_each_time: bool,
}

impl Page {
    /// The members, in the order of their names.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.members.iter().map(|member| &member.entry)
    }

    /// What was written of all of them.
    pub fn forms(&self) -> &KeptForms {
        &self.forms
    }

    pub(super) fn new(members: Vec<Member>) -> Self {
        Self { weight: weigh(&members), members, forms: KeptForms::default() }
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Where a member of this name is, or would be.
    pub(super) fn place_of(&self, name: &Name) -> Result<usize, usize> {
        self.members.binary_search_by(|member| member.entry.name.cmp(name))
    }

    /// What is at a place from now on: another member, one more, or one less.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Vec<Member>)) {
        self.forms.clear();
        change(&mut self.members);
        self.weight = weigh(&self.members);
    }

    /// The second half, if it has become too large.
    pub(super) fn divide(&mut self) -> Option<Self> {
        let second = (self.members.len() > MEMBERS_MAX).then(|| self.members.split_off(self.members.len() / 2))?;
        self.weight = weigh(&self.members);
        Some(Self::new(second))
    }

    pub(super) fn weight(&self) -> usize {
        self.weight + self.forms.weight()
    }
}

fn weigh(members: &[Member]) -> usize {
    members.iter().map(|member| weight(&member.entry)).sum()
}

/// How much a member takes in memory, in bytes.
pub(super) fn weight(entry: &Entry) -> usize {
    MEMBER_BYTES + entry.name.as_bytes().len()
}

impl Member {
    /// What was found at a name where this was before.
    pub(super) fn new(entry: Entry, before: Option<&Member>) -> Self {
        let Status { kind, links, is_mount_point, stamp, .. } = &entry.status;
        // What has had another name may have it again, or somebody may write by what he opened there.
        let was = before.is_some_and(|it| it.is_looked_at_each_time && it.entry.status.stamp.id == stamp.id);
        let is_looked_at_each_time = was || *kind != Kind::File || *links > 1 || *is_mount_point || entry.is_linked;
        Self { entry, is_looked_at_each_time }
    }

    /// Whether the same is told of it as of what was found now. When blocks are given to a file nobody is told, and it is told to nobody.
    pub(super) fn is_still(&self, found: &Entry) -> bool {
        self.entry.name == found.name && self.has_still(&found.status) && self.entry.is_linked == found.is_linked
    }

    /// Whether what is told of its status is what was found now.
    pub(super) fn has_still(&self, found: &Status) -> bool {
        Status { allocated: found.allocated, ..self.entry.status } == *found
    }

    /// Whether a link is at its name, which is followed or leads nowhere.
    pub(super) fn may_be_a_link(&self) -> bool {
        self.entry.is_linked || self.entry.status.kind == Kind::Link
    }
}
