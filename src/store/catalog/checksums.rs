//! Checksums of files' contents, for clients that compare them: by the tag of the version, in the database of the index.
//!
//! They are derived, so they may be lost at any time, and refuse nobody anything. They have a bound of their own, beyond which the oldest give
//! way; so nothing has to follow a file that moves or goes. What is new waits in memory until it is saved.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use redb::{ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition};

use crate::model::tag::EntityTag;

use super::database::{StateDatabase, table_if_any};

/// The tag of a version, without its quotes, to its checksums.
const CHECKSUMS: TableDefinition<'_, &[u8], &str> = TableDefinition::new("checksums");

/// Numbers in the order in which checksums came, to their tags.
const ORDER: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("checksums-order");

/// Of how many versions checksums are kept.
const KEPT_MAX: u64 = 500_000;

/// Of how many versions it is known in memory which checksums they have, or that they have none.
const IN_MEMORY: usize = 100_000;

/// How many may wait to be saved. What is beyond is not kept.
const UNSAVED_MAX: usize = 100_000;

/// The checksums of a share.
pub struct Checksums {
    memory: Cache<Tag, Option<Arc<str>>>,
    database: Arc<StateDatabase>,
    unsaved: Mutex<HashMap<Tag, Arc<str>>>,
    kept_max: u64,
}

type Tag = Vec<u8>;

impl Checksums {
    /// The checksums in this database.
    pub(super) fn new(database: Arc<StateDatabase>) -> Self {
        Self { memory: Cache::new(IN_MEMORY), database, unsaved: Mutex::default(), kept_max: KEPT_MAX }
    }

    /// Those of the version with this tag, if they are known.
    pub fn of(&self, tag: &EntityTag) -> Option<Arc<str>> {
        // A weak tag is that of a file that is being written.
        if tag.is_weak() {
            return None;
        }
        // What came meanwhile stays.
        self.memory.get_or_insert_with(tag.opaque(), || self.load(tag.opaque()).ok_or(())).ok().flatten()
    }

    /// As [`Checksums::of`], if it is known without the disk; `None` otherwise.
    pub fn of_now(&self, tag: &EntityTag) -> Option<Option<Arc<str>>> {
        if tag.is_weak() { Some(None) } else { self.memory.get(tag.opaque()) }
    }

    /// Keeps the checksums of the version with this tag.
    pub fn keep(&self, tag: &EntityTag, checksums: &str) {
        if tag.is_weak() {
            return;
        }
        let (tag, checksums) = (tag.opaque().to_vec(), Arc::<str>::from(checksums));
        let mut unsaved = self.unsaved.lock();
        if unsaved.len() < UNSAVED_MAX {
            unsaved.insert(tag.clone(), Arc::clone(&checksums));
        }
        drop(unsaved);
        self.memory.insert(tag, Some(checksums));
    }

    /// Writes to the database what is new. What cannot be written now waits.
    pub fn save(&self) -> Result<(), redb::Error> {
        let saving = self.unsaved.lock().clone();
        if saving.is_empty() {
            return Ok(());
        }
        self.write(&saving)?;
        self.unsaved.lock().retain(|tag, checksums| saving.get(tag) != Some(checksums));
        Ok(())
    }

    fn write(&self, saving: &HashMap<Tag, Arc<str>>) -> Result<(), redb::Error> {
        self.database.with(|database| {
            let writing = database.begin_write()?;
            let (mut table, mut order) = (writing.open_table(CHECKSUMS)?, writing.open_table(ORDER)?);
            let mut next = order.last()?.map_or(0, |(number, _)| number.value() + 1);
            for (tag, checksums) in saving {
                if table.insert(tag.as_slice(), &**checksums)?.is_none() {
                    order.insert(next, tag.as_slice())?;
                    next += 1;
                }
            }
            while table.len()? > self.kept_max {
                let Some((_, oldest)) = order.pop_first()? else { break };
                table.remove(oldest.value())?;
            }
            drop((table, order));
            Ok(writing.commit()?)
        })
    }

    /// What is saved of a version; `None` if that cannot be known now.
    fn load(&self, tag: &[u8]) -> Option<Option<Arc<str>>> {
        if let Some(checksums) = self.unsaved.lock().get(tag) {
            return Some(Some(Arc::clone(checksums)));
        }
        let loaded = self.database.with_what_there_is(|database| {
            let Some(table) = table_if_any(&database.begin_read()?, CHECKSUMS)? else { return Ok(None) };
            Ok(table.get(tag)?.map(|checksums| Arc::from(checksums.value())))
        });
        loaded.ok().map(Option::flatten)
    }
}

impl fmt::Debug for Checksums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checksums").field("in_memory", &self.memory.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::path::SharePath;
    use crate::model::property::{DeadProperty, PropertyName};
    use crate::store::catalog::index::Index;
    use crate::store::catalog::properties::{Noted, PropertyLimits};
    use crate::store::share_identity::ShareIdentity;

    fn tag(number: u32) -> EntityTag {
        EntityTag::received(false, format!("{number:032}").as_bytes())
    }

    fn opened(folder: &Path) -> Index {
        let share = ShareIdentity { path: folder.to_owned(), folder: [1; 16] };
        Index::open(&folder.join("index.redb"), &share).expect("an index")
    }

    fn told(checksums: &Checksums, number: u32) -> Option<String> {
        checksums.of(&tag(number)).map(|told| told.to_string())
    }

    /// What is kept is told, also after a restart, and what came last counts; beyond the bound the oldest give way.
    #[test]
    fn the_oldest_checksums_give_way() {
        let folder = tempfile::tempdir().expect("a folder");
        let index = opened(folder.path());
        let checksums = Checksums { kept_max: 3, ..index.checksums() };
        assert_eq!(told(&checksums, 0), None);
        for number in 0..5 {
            checksums.keep(&tag(number), "before");
            checksums.keep(&tag(number), &format!("of {number}"));
            assert_eq!(
                told(&checksums, number),
                Some(format!("of {number}")),
                "what was known not to be there has come"
            );
            checksums.save().expect("saved");
        }
        checksums.keep(&tag(3), "again");
        checksums.save().expect("saved");
        drop((checksums, index));
        let checksums = opened(folder.path()).checksums();
        let kept: Vec<_> = (0..5).map(|number| told(&checksums, number)).collect();
        assert_eq!(kept, [None, None, Some("of 2".into()), Some("again".into()), Some("of 4".into())]);
    }

    /// A file that is being written has no checksums, whatever it is told with.
    #[test]
    fn a_weak_tag_has_no_checksums() {
        let checksums = Index::in_memory().checksums();
        let weak = EntityTag::received(true, tag(1).opaque());
        checksums.keep(&weak, "of nothing");
        assert_eq!((checksums.of(&weak), checksums.of_now(&weak)), (None, Some(None)));
        assert_eq!(told(&checksums, 1), None);
    }

    /// Without the disk it is known what was kept or asked for lately, and nothing else.
    #[test]
    fn what_is_not_known_in_memory_is_not_known_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let index = opened(folder.path());
        let checksums = index.checksums();
        checksums.keep(&tag(1), "one");
        checksums.save().expect("saved");
        checksums.memory.clear();
        assert_eq!((checksums.of_now(&tag(1)), checksums.of_now(&tag(2))), (None, None));
        assert_eq!((told(&checksums, 1), told(&checksums, 2)), (Some("one".to_owned()), None));
        assert_eq!((checksums.of_now(&tag(1)), checksums.of_now(&tag(2))), (Some(Some("one".into())), Some(None)));
    }

    /// However many checksums are kept, people's properties have their whole room.
    #[test]
    fn checksums_take_no_room_from_properties() {
        let index = Index::in_memory();
        let limits = PropertyLimits { one_bytes_max: 1000, all_bytes_max: 100 };
        let (checksums, properties) = (index.checksums(), index.properties(false, limits));
        (0..1000).for_each(|number| checksums.keep(&tag(number), "SHA1:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"));
        checksums.save().expect("saved");
        let note = DeadProperty::new(PropertyName::new("urn:t", "a"), "<a>1</a>");
        let path = SharePath::parse_disk(b"a").expect("a path");
        assert_eq!(properties.update(&path, |notes| notes.push(note)).expect("noted"), Noted::Done);
    }
}
