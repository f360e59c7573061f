//! Which folders are remembered when they are listed: those that were listed before, a while ago at most. A client that goes through the whole
//! tree once turns nothing over.

use std::collections::VecDeque;
use std::time::Duration;

use super::folder_key::FolderKey;
use crate::model::stamp::Timestamp;

/// How many folders wait to be listed again.
const WAITING_MAX: usize = 1024;

/// How long a folder waits for that.
const WAITING_TIME: Duration = Duration::from_secs(300);

/// How long a folder is not tried again of which nothing can be remembered: no watch is to be had for it, or it has too many members.
const TURNED_AWAY_TIME: Duration = Duration::from_secs(60);

/// The folders that have come lately, oldest first.
#[derive(Debug, Default)]
pub(super) struct Newcomers(VecDeque<Newcomer>);

#[derive(Debug)]
struct Newcomer {
    folder: FolderKey,
    since: Timestamp,
    is_turned_away: bool,
}

impl Newcomers {
    /// Whether a folder that is listed now was listed before; if so it waits no more.
    pub(super) fn comes_again(&mut self, folder: FolderKey, now: Timestamp) -> bool {
        let Some(place) = self.0.iter().position(|newcomer| newcomer.folder == folder) else {
            self.add(folder, now, false);
            return false;
        };
        let Newcomer { since, is_turned_away, .. } = self.0[place];
        let longest = if is_turned_away { TURNED_AWAY_TIME } else { WAITING_TIME };
        // A request may ask twice.
        if since == now {
            return false;
        }
        let is_over = since > now || now.since(since) > longest;
        if is_turned_away && !is_over {
            return false;
        }
        self.0.remove(place);
        if is_over {
            self.add(folder, now, false);
        }
        !is_over
    }

    /// Nothing can be remembered of a folder for now.
    pub(super) fn turn_away(&mut self, folder: FolderKey, now: Timestamp) {
        self.0.retain(|newcomer| newcomer.folder != folder);
        self.add(folder, now, true);
    }

    fn add(&mut self, folder: FolderKey, since: Timestamp, is_turned_away: bool) {
        if self.0.len() == WAITING_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Newcomer { folder, since, is_turned_away });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stamp::FileId;

    fn folder(inode: u64) -> FolderKey {
        FolderKey { device: 1, mount: 1, id: FileId { inode, generation: 0 } }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::new(seconds, 0)
    }

    #[test]
    fn a_folder_is_taken_when_it_comes_again_soon() {
        let mut newcomers = Newcomers::default();
        assert!(!newcomers.comes_again(folder(1), at(0)));
        assert!(!newcomers.comes_again(folder(1), at(0)), "it is the same request");
        assert!(!newcomers.comes_again(folder(2), at(1)));
        assert!(newcomers.comes_again(folder(1), at(300)));
        assert!(!newcomers.comes_again(folder(1), at(301)), "it does not wait any more");
        assert!(!newcomers.comes_again(folder(2), at(302)), "too late");
        assert!(newcomers.comes_again(folder(2), at(303)));
    }

    #[test]
    fn what_was_turned_away_is_not_tried_for_a_while() {
        let mut newcomers = Newcomers::default();
        newcomers.turn_away(folder(1), at(0));
        assert!(!newcomers.comes_again(folder(1), at(60)));
        assert!(!newcomers.comes_again(folder(1), at(61)), "as if it came for the first time");
        assert!(newcomers.comes_again(folder(1), at(62)));
    }

    #[test]
    fn only_so_many_wait() {
        let mut newcomers = Newcomers::default();
        for inode in 0..=WAITING_MAX as u64 {
            newcomers.comes_again(folder(inode), at(0));
        }
        assert_eq!(newcomers.0.len(), WAITING_MAX);
        assert!(newcomers.comes_again(folder(1), at(1)) && !newcomers.comes_again(folder(0), at(1)));
    }
}
