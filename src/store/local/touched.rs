//! What the server itself has done to files besides writing them: a new name, a second one, another date. Each moves the ctime, as a write does,
//! and who is reading the file goes on; what a program did to it meanwhile is another matter.

use quick_cache::sync::Cache;

use crate::model::stamp::{FileId, Stamp, Timestamp};

/// How many files are remembered, and how many changes of each.
const FILES_MAX: usize = 4096;
const CHANGES_MAX: usize = 16;

/// The files that were changed of late.
#[derive(Debug)]
pub struct Touched(Cache<FileId, Vec<Timestamp>>);

impl Default for Touched {
    fn default() -> Self {
        Self(Cache::new(FILES_MAX))
    }
}

impl Touched {
    /// Remembers that the server made the one state of a file the other.
    pub fn note(&self, before: &Stamp, after: &Stamp) {
        let mut times = self.0.get(&after.id).filter(|times| times.last() == Some(&before.ctime)).unwrap_or_default();
        if times.is_empty() {
            times.push(before.ctime);
        }
        if times.len() > CHANGES_MAX {
            times.remove(0);
        }
        times.push(after.ctime);
        self.0.insert(after.id, times);
    }

    /// Whether nothing but the server has made the one state of a file the other.
    pub fn explains(&self, before: &Stamp, after: &Stamp) -> bool {
        let is_ours = |times: Vec<Timestamp>| times.contains(&before.ctime) && times.last() == Some(&after.ctime);
        before.same_content_as(after) && self.0.get(&after.id).is_some_and(is_ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unbroken_row_of_our_own_changes_explains_a_state() {
        let state = |ctime: i64| Stamp {
            id: FileId { inode: 7, generation: 1 },
            size: 3,
            mtime: Timestamp::new(1, 0),
            ctime: Timestamp::new(ctime, 0),
        };
        let touched = Touched::default();
        assert!(!touched.explains(&state(1), &state(2)));
        touched.note(&state(1), &state(2));
        touched.note(&state(2), &state(3));
        assert!(touched.explains(&state(1), &state(3)) && touched.explains(&state(2), &state(3)));
        assert!(!touched.explains(&state(1), &state(4)), "somebody else has changed it since");
        assert!(!touched.explains(&state(1), &Stamp { size: 4, ..state(3) }));
        touched.note(&state(4), &state(5));
        assert!(!touched.explains(&state(1), &state(5)), "somebody else has changed it in between");
        assert!(touched.explains(&state(4), &state(5)));
    }
}
