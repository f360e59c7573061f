//! The files and folders that the feed has told of, in the state in which it did: what a look at the disk is compared with, so that nothing is told
//! twice and nothing is left out. It lies in the database; what came since that was last written lies over it, in layers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use redb::{ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize};

use super::codec::{decode, encode};
use crate::model::path::{Name, SharePath};
use crate::model::stamp::Stamp;
use crate::model::tag::EntityTag;

/// The folder of a member and its name to what is known of it.
pub(super) const MEMBERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("known-members");

/// How many rows are moved or removed at once.
const ROWS_AT_ONCE: usize = 1000;

/// A file or a folder, as the feed last told it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum KnownMember {
    /// A file.
    File {
        /// Its state.
        stamp: Stamp,
        /// Whether a change made since would show in that.
        is_settled: bool,
        /// Its tag, if it was told.
        tag: Option<EntityTag>,
    },
    /// A folder.
    Folder,
}

/// What has come since the database was last written: first a change of a whole tree, then members one by one.
#[derive(Debug, Default)]
pub(super) struct Layer {
    first: Option<TreeChange>,
    members: HashMap<SharePath, Option<KnownMember>>,
}

/// A change of a member and all that is known below it.
#[derive(Clone, Debug)]
pub(super) enum TreeChange {
    Gone(SharePath),
    Moved { from: SharePath, to: SharePath },
}

/// The layers, oldest first: those that are being written to the database, and those that have come since.
#[derive(Debug, Default)]
pub(super) struct Layers {
    being_saved: Option<Arc<Vec<Layer>>>,
    fresh: Vec<Layer>,
}

/// What the layers know of a path.
#[derive(Debug)]
pub(super) enum InLayers {
    Known(Option<KnownMember>),
    /// What the database knows of this path.
    Saved(SharePath),
}

impl Layers {
    /// From now on this is known of a path, and of no other.
    pub(super) fn set(&mut self, path: SharePath, member: Option<KnownMember>) {
        if self.fresh.is_empty() {
            self.fresh.push(Layer::default());
        }
        let layer = self.fresh.last_mut().expect("one was made");
        layer.members.insert(path, member);
    }

    pub(super) fn change_tree(&mut self, change: TreeChange) {
        self.fresh.push(Layer { first: Some(change), members: HashMap::new() });
    }

    pub(super) fn look_up(&self, path: &SharePath) -> InLayers {
        let mut path = Cow::Borrowed(path);
        let being_saved = self.being_saved.iter().flat_map(|layers| layers.iter());
        for layer in being_saved.chain(&self.fresh).rev() {
            if let Some(member) = layer.members.get(&*path) {
                return InLayers::Known(member.clone());
            }
            match &layer.first {
                Some(TreeChange::Gone(gone)) if path.is_within(gone) => return InLayers::Known(None),
                Some(TreeChange::Moved { from, .. }) if path.is_within(from) => return InLayers::Known(None),
                Some(TreeChange::Moved { from, to }) if path.is_within(to) => {
                    path = Cow::Owned(path.moved(to, from));
                }
                _ => {}
            }
        }
        InLayers::Saved(path.into_owned())
    }

    /// How many members wait to be written.
    pub(super) fn len(&self) -> usize {
        self.fresh.iter().map(|layer| layer.members.len() + 1).sum()
    }

    pub(super) fn layers(&self) -> usize {
        self.fresh.len()
    }

    /// What is to be written now; [`Layers::saved`] or [`Layers::not_saved`] comes next.
    pub(super) fn begin_save(&mut self) -> Arc<Vec<Layer>> {
        let saving = Arc::new(std::mem::take(&mut self.fresh));
        self.being_saved = Some(Arc::clone(&saving));
        saving
    }

    pub(super) fn saved(&mut self) {
        self.being_saved = None;
    }

    /// What could not be written waits. Nobody else holds it any more.
    pub(super) fn not_saved(&mut self) {
        let Some(layers) = self.being_saved.take().and_then(Arc::into_inner) else { return };
        self.fresh = layers.into_iter().chain(std::mem::take(&mut self.fresh)).collect();
    }
}

impl Layer {
    /// Writes it over what is in the table.
    pub(super) fn write(&self, table: &mut redb::Table<'_, &'static [u8], &'static [u8]>) -> Result<(), redb::Error> {
        match &self.first {
            Some(TreeChange::Gone(path)) => remove_tree(table, path)?,
            Some(TreeChange::Moved { from, to }) => {
                remove_tree(table, to)?;
                move_tree(table, from, to)?;
            }
            None => {}
        }
        for (path, member) in &self.members {
            let Some(key) = key_of(path) else { continue };
            match member {
                Some(member) => table.insert(&*key, &*encode(member))?,
                None => table.remove(&*key)?,
            };
        }
        Ok(())
    }
}

/// What is saved of a path.
pub(super) fn load(
    table: &impl redb::ReadableTable<&'static [u8], &'static [u8]>,
    path: &SharePath,
) -> Result<Option<KnownMember>, redb::Error> {
    let Some(key) = key_of(path) else { return Ok(Some(KnownMember::Folder)) };
    Ok(table.get(&*key)?.and_then(|row| decode(row.value())))
}

/// The names that are saved as those of members of a folder, from behind `after` on, at most `count`.
pub(super) fn saved_names(
    table: &impl redb::ReadableTable<&'static [u8], &'static [u8]>,
    folder: &SharePath,
    after: Option<&Name>,
    count: usize,
) -> Result<Vec<Name>, redb::Error> {
    let begin = [folder.as_bytes(), b"\0"].concat();
    let from = after.map_or_else(|| begin.clone(), |name| [&*begin, name.as_bytes(), b"\0"].concat());
    let end = [folder.as_bytes(), b"\x01"].concat();
    let mut names = Vec::new();
    for row in table.range::<&[u8]>(&*from..&*end)?.take(count) {
        let (key, _) = row?;
        names.extend(Name::new(&key.value()[begin.len()..]));
    }
    Ok(names)
}

/// The members of one folder have keys that follow one another, and so has all that is below a folder, in two rows of its own.
fn key_of(path: &SharePath) -> Option<Vec<u8>> {
    let (folder, name) = path.split()?;
    Some([folder.as_bytes(), b"\0", name.as_bytes()].concat())
}

/// From which key to which.
type Keys = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// Where the keys of all that is below a folder are.
fn below(folder: &SharePath) -> [Keys; 2] {
    let between = |from: &[u8], to: &[u8]| {
        let from = Bound::Included([folder.as_bytes(), from].concat());
        (from, Bound::Excluded([folder.as_bytes(), to].concat()))
    };
    [between(b"\0", b"\x01"), between(b"/", b"0")]
}

fn as_slices<'b>((from, to): &'b Keys) -> impl RangeBounds<&'b [u8]> + 'b {
    (from.as_ref().map(|key| &**key), to.as_ref().map(|key| &**key))
}

fn remove_tree(table: &mut redb::Table<'_, &'static [u8], &'static [u8]>, path: &SharePath) -> Result<(), redb::Error> {
    if let Some(key) = key_of(path) {
        table.remove(&*key)?;
    }
    for range in &below(path) {
        table.retain_in(as_slices(range), |_, _| false)?;
    }
    Ok(())
}

fn move_tree(
    table: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
    from: &SharePath,
    to: &SharePath,
) -> Result<(), redb::Error> {
    let (Some(old), Some(new)) = (key_of(from), key_of(to)) else { return Ok(()) };
    let top = table.remove(&*old)?.map(|row| row.value().to_vec());
    if let Some(top) = top {
        table.insert(&*new, &*top)?;
    }
    for range in &below(from) {
        loop {
            let mut rows = Vec::new();
            for row in table.range(as_slices(range))?.take(ROWS_AT_ONCE) {
                let (key, value) = row?;
                rows.push((key.value().to_vec(), value.value().to_vec()));
            }
            for (key, value) in &rows {
                table.remove(&**key)?;
                table.insert(&*[to.as_bytes(), &key[from.as_bytes().len()..]].concat(), &**value)?;
            }
            if rows.len() < ROWS_AT_ONCE {
                break;
            }
        }
    }
    Ok(())
}
