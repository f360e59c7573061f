//! Which kept versions go: those that are too many for their age, those that take more than their part of the disk, and those whose room is
//! needed. Everything here is a pure function of what is kept and of the time.
//!
//! What nobody's upload can take is the floor: of each path the newest version of the last day, and the path as it was a day ago.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

use super::stamp::Timestamp;

/// Versions younger than this stay: a second look at them is still to come.
pub const YOUNG: Duration = Duration::from_secs(30);

/// Versions younger than this stay where nobody can say whether a program has them open and is still to write.
pub const YOUNG_UNSEEN: Duration = Duration::from_secs(3600);

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// At most this part of all versions goes by age at once, and always this many: whatever the clock says, not all of it goes before somebody
/// can have noticed.
const BY_AGE_PART: usize = 10;
const BY_AGE_LEAST: usize = 16;

/// Room on a disk: what a version takes, what is free, or what is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes, in whole blocks.
    pub bytes: u64,
    /// Inodes: a file takes one, and so does a folder.
    pub files: u64,
}

/// A version as the keep rule sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which path it is a version of: a number that only its versions share.
    pub path: usize,
    /// When it was displaced.
    pub since: Timestamp,
    /// For how long after that it stays in any case: [`YOUNG`] or [`YOUNG_UNSEEN`].
    pub young_for: Duration,
    /// How much room it gives back when it goes.
    pub room: Room,
    /// What is in it.
    pub content: KeptContent,
}

/// What is in a version, as far as the keep rule has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptContent {
    /// Bytes, in a file or in the files of a folder.
    Bytes,
    /// Bytes, and the next version of the path has the same.
    SameAsNext,
    /// A file without a byte, or a folder in which there is none.
    Empty,
    /// Folders, and no file.
    Folders,
}

/// How long versions are kept, and how much room they may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepRule {
    /// Versions older than this are let go.
    pub age_max: Duration,
    /// All versions together take at most this much.
    pub room_max: Room,
}

impl KeepRule {
    /// Which of `versions`, sorted by age with the oldest first, are let go by their age: all that are too old; of the others all of the last
    /// hour stay, then of each path the first of each hour for a day, and after that the first of each day. The first to be displaced in an
    /// hour is what was there when it began. Of versions in a row with the same content the last stays, and so does the newest of each path.
    ///
    /// Only a part of them goes at once.
    pub fn outlived(&self, versions: &[Kept], now: Timestamp) -> Vec<usize> {
        let newest: BTreeMap<_, _> = versions.iter().map(|version| (version.path, version.since)).collect();
        let mut first_of = BTreeSet::new();
        let goes = |version: &Kept| {
            let age = now.since(version.since);
            let span = match age {
                _ if age > self.age_max => return true,
                _ if age <= HOUR => return false,
                _ if age <= DAY => HOUR,
                _ => DAY,
            };
            if version.content == KeptContent::SameAsNext {
                return true;
            }
            let seconds = span.as_secs().cast_signed();
            let is_first = first_of.insert((version.path, seconds, version.since.seconds().div_euclid(seconds)));
            !is_first && newest.get(&version.path) != Some(&version.since)
        };
        let mut outlived: Vec<_> = indices_of(versions, goes);
        outlived.truncate(BY_AGE_LEAST.max(versions.len() / BY_AGE_PART));
        outlived
    }

    /// Which of `versions`, sorted as for [`KeepRule::outlived`], are let go because together they take too much room. The path whose versions
    /// take most gives first, its oldest first. The floor stays.
    pub fn exceeding(&self, versions: &[Kept], now: Timestamp) -> Vec<usize> {
        let all: Room = versions.iter().map(|version| version.room).fold(Room::default(), Add::add);
        let mut taking = Taking::new(versions, now);
        taking.heaviest_first(|taken| all.bytes - taken.bytes <= self.room_max.bytes, |room| room.bytes);
        taking.heaviest_first(|taken| all.files - taken.files <= self.room_max.files, |room| room.files);
        taking.order
    }
}

/// Which of `versions`, sorted by age with the oldest first, are to go so that `wanted` is given back, and no more than has to; nothing if all
/// that may go would not suffice. The floor stays.
pub fn giving(versions: &[Kept], wanted: Room, now: Timestamp) -> Option<Vec<usize>> {
    let mut taking = Taking::new(versions, now);
    taking.heaviest_first(|taken| taken.bytes >= wanted.bytes, |room| room.bytes);
    taking.heaviest_first(|taken| taken.files >= wanted.files, |room| room.files);
    taking.give_back_what_is_not_needed(wanted);
    taking.taken.covers(wanted).then_some(taking.order)
}

/// How much room all of `versions` would give back, but for the floor.
pub fn could_give(versions: &[Kept], now: Timestamp) -> Room {
    let may_go = may_go(versions, now);
    versions
        .iter()
        .zip(may_go)
        .filter(|(_, may_go)| *may_go)
        .map(|(version, _)| version.room)
        .fold(Room::default(), Add::add)
}

impl Kept {
    /// Whether it stays because somebody may still be about to write into it.
    pub fn is_young(&self, now: Timestamp) -> bool {
        now.since(self.since) <= self.young_for
    }
}

/// Whether it is old enough for versions like it to get fewer.
pub fn is_past_its_first_hour(version: &Kept, now: Timestamp) -> bool {
    now.since(version.since) > HOUR
}

/// Which versions an upload may take.
fn may_go(versions: &[Kept], now: Timestamp) -> Vec<bool> {
    let mut may_go: Vec<_> =
        versions.iter().map(|version| version.content == KeptContent::Folders || !version.is_young(now)).collect();
    let mut of_the_day = BTreeMap::<usize, (usize, usize)>::new();
    for (index, version) in versions.iter().enumerate() {
        if matches!(version.content, KeptContent::Bytes | KeptContent::SameAsNext) && now.since(version.since) <= DAY {
            of_the_day.entry(version.path).and_modify(|(_, newest)| *newest = index).or_insert((index, index));
        }
    }
    for (oldest, newest) in of_the_day.into_values() {
        (may_go[oldest], may_go[newest]) = (false, false);
    }
    may_go
}

fn indices_of(versions: &[Kept], mut goes: impl FnMut(&Kept) -> bool) -> Vec<usize> {
    versions.iter().enumerate().filter(|(_, version)| goes(version)).map(|(index, _)| index).collect()
}

/// Versions that are being chosen.
struct Taking<'a> {
    versions: &'a [Kept],
    may_go: Vec<bool>,
    order: Vec<usize>,
    taken: Room,
}

impl<'a> Taking<'a> {
    fn new(versions: &'a [Kept], now: Timestamp) -> Self {
        Self { versions, may_go: may_go(versions, now), order: Vec::new(), taken: Room::default() }
    }

    /// Takes versions until it is enough, or there are none that may go; what a path weighs, and what its versions give, is for `measure` to
    /// say.
    fn heaviest_first(&mut self, enough: impl Fn(Room) -> bool, measure: impl Fn(Room) -> u64) {
        let mut paths = BTreeMap::<usize, (u64, VecDeque<usize>)>::new();
        let taken: BTreeSet<_> = self.order.iter().copied().collect();
        for (index, version) in self.versions.iter().enumerate().filter(|(index, _)| !taken.contains(index)) {
            let (weight, queue) = paths.entry(version.path).or_default();
            *weight += measure(version.room);
            if self.may_go[index] && measure(version.room) > 0 {
                queue.push_back(index);
            }
        }
        let mut heaviest: BinaryHeap<_> = paths.iter().map(|(path, (weight, _))| (*weight, Reverse(*path))).collect();
        while !enough(self.taken) {
            let Some((_, Reverse(path))) = heaviest.pop() else { return };
            let (weight, queue) = paths.get_mut(&path).expect("every path in the heap is in the map");
            let Some(index) = queue.pop_front() else { continue };
            *weight -= measure(self.versions[index].room);
            self.taken += self.versions[index].room;
            self.order.push(index);
            heaviest.push((*weight, Reverse(path)));
        }
    }

    /// What was taken in vain, because something larger had to be taken after it, stays; but no older version of a path where a newer one goes,
    /// whose room is that of the path's folders too.
    fn give_back_what_is_not_needed(&mut self, wanted: Room) {
        let (mut kept, mut paths) = (Vec::new(), BTreeSet::new());
        for index in std::mem::take(&mut self.order).into_iter().rev() {
            let Kept { path, room, .. } = self.versions[index];
            if self.taken.covers(wanted + room) && !paths.contains(&path) {
                self.taken -= room;
            } else {
                paths.insert(path);
                kept.push(index);
            }
        }
        kept.reverse();
        self.order = kept;
    }
}

impl Room {
    /// No room limit: what a file system has that does not count.
    pub const UNLIMITED: Self = Self { bytes: u64::MAX, files: u64::MAX };

    /// Whether it is at least as much as `other`, in bytes and in inodes.
    pub fn covers(self, other: Self) -> bool {
        self.bytes >= other.bytes && self.files >= other.files
    }
}

impl Add for Room {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(more.bytes), files: self.files.saturating_add(more.files) }
    }
}

impl Sub for Room {
    type Output = Self;

    fn sub(self, less: Self) -> Self {
        Self { bytes: self.bytes.saturating_sub(less.bytes), files: self.files.saturating_sub(less.files) }
    }
}

impl AddAssign for Room {
    fn add_assign(&mut self, more: Self) {
        *self = *self + more;
    }
}

impl SubAssign for Room {
    fn sub_assign(&mut self, less: Self) {
        *self = *self - less;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: KeepRule = KeepRule { age_max: Duration::from_secs(30 * 86_400), room_max: Room::UNLIMITED };

    /// 2026-11-22 14:35:00 UTC.
    fn today() -> Timestamp {
        Timestamp::new(1_795_358_100, 0)
    }

    fn ago(seconds: i64) -> Timestamp {
        Timestamp::new(today().seconds() - seconds, 0)
    }

    fn kept(path: usize, seconds_ago: i64, bytes: u64) -> Kept {
        let room = Room { bytes, files: 1 };
        Kept { path, since: ago(seconds_ago), young_for: YOUNG, room, content: KeptContent::Bytes }
    }

    fn bytes(bytes: u64) -> Room {
        Room { bytes, files: 0 }
    }

    /// Sorts as the functions want it, and gives back what stays, as seconds ago.
    fn staying(mut versions: Vec<Kept>, chosen: impl Fn(&[Kept]) -> Vec<usize>) -> Vec<(usize, u64)> {
        versions.sort_by_key(|version| version.since);
        let gone = chosen(&versions);
        let stays = (0..versions.len()).filter(|index| !gone.contains(index));
        stays.map(|index| (versions[index].path, today().since(versions[index].since).as_secs())).collect()
    }

    #[test]
    fn versions_get_fewer_with_age() {
        // An hour began 35 minutes ago.
        for (what, ages, stay) in [
            ("all of the last hour", vec![0, 1, 2, 3599, 3600], vec![3600, 3599, 2, 1, 0]),
            ("the first of an hour", vec![5700, 5701, 5699, 3605, 10], vec![5701, 5700, 10]),
            ("the first of a day", vec![86_401, 86_500, 87_000, 200_000, 10], vec![200_000, 87_000, 10]),
            ("the newest of all, however old it is", vec![86_401, 86_500, 87_000], vec![87_000, 86_401]),
            ("but what is too old goes", vec![30 * 86_400 + 2, 30 * 86_400 + 1], vec![]),
        ] {
            let versions = ages.iter().map(|age| kept(0, *age, 1)).collect();
            let left: Vec<_> =
                staying(versions, |versions| RULE.outlived(versions, today())).iter().map(|(_, age)| *age).collect();
            assert_eq!(left, stay, "{what}");
        }
    }

    #[test]
    fn each_path_is_thinned_by_itself() {
        let versions = vec![kept(0, 7200, 1), kept(1, 7199, 1), kept(2, 7198, 1), kept(0, 7197, 1), kept(0, 10, 1)];
        let left = staying(versions, |versions| RULE.outlived(versions, today()));
        assert_eq!(left, [(0, 7200), (1, 7199), (2, 7198), (0, 10)]);
    }

    #[test]
    fn the_same_content_in_a_row_is_kept_once() {
        let same = |age| Kept { content: KeptContent::SameAsNext, ..kept(0, age, 1) };
        let left = staying(vec![same(20_000), same(10_000), kept(0, 4000, 1), same(10)], |versions| {
            RULE.outlived(versions, today())
        });
        assert_eq!(left, [(0, 4000), (0, 10)], "but in the last hour all stay");
    }

    #[test]
    fn not_all_goes_by_age_at_once() {
        let versions: Vec<_> = (0..1000).map(|path| kept(path, 40 * 86_400, 1)).collect();
        assert_eq!(RULE.outlived(&versions, today()).len(), 100);
        assert_eq!(RULE.outlived(&versions[..20], today()).len(), 16);
    }

    #[test]
    fn the_path_that_takes_most_gives_first_and_its_oldest_goes() {
        let day = 86_400;
        let rule = KeepRule { room_max: bytes(10).with_files(100), ..RULE };
        let hog = (0..9).map(|number| kept(7, 9 * day - number, 2));
        let others = [kept(1, 20 * day, 1), kept(2, 19 * day, 1)];
        let left = staying(hog.chain(others).collect(), |versions| rule.exceeding(versions, today()));
        assert_eq!(left.iter().filter(|(path, _)| *path != 7).count(), 2, "nobody else's goes: {left:?}");
        assert_eq!(left.len(), 2 + 4, "no more goes than has to: {left:?}");
        assert!(
            left.contains(&(7, 9 * day as u64 - 8)) && !left.contains(&(7, 9 * day as u64)),
            "the oldest goes first"
        );
        // Inodes count alike.
        let rule = KeepRule { room_max: Room { bytes: u64::MAX, files: 3 }, ..RULE };
        let left = staying((0..8).map(|number| kept(number / 4, 2 * day, 0)).collect(), |versions| {
            rule.exceeding(versions, today())
        });
        assert_eq!(left.len(), 3);
    }

    #[test]
    fn room_is_given_if_that_suffices_or_not_at_all() {
        let (day, free) = (86_400, |versions: &[Kept], wanted| giving(versions, wanted, today()));
        let old = [kept(0, 9 * day, 4), kept(0, 8 * day, 4), kept(1, 7 * day, 1), kept(2, 6 * day, 20)];
        for (what, versions, wanted, given) in [
            ("nothing is wanted", &old[..], bytes(0), Some(vec![])),
            ("too much is wanted", &old[..], bytes(30), None),
            ("all is wanted", &old[..], bytes(29), Some(vec![3, 0, 1, 2])),
            ("the heaviest path gives", &old[..3], bytes(3), Some(vec![0])),
            ("one is enough in the end", &old[1..], bytes(20), Some(vec![2])),
            ("inodes are wanted", &old[..], Room { bytes: 0, files: 2 }, Some(vec![0, 1])),
            ("too many inodes are wanted", &old[..], Room { bytes: 0, files: 5 }, None),
            ("an hour ago is within the floor", &[kept(0, 3600, 9)], bytes(1), None),
        ] {
            assert_eq!(free(versions, wanted), given, "{what}");
        }
    }

    #[test]
    fn the_floor_is_the_newest_of_each_path_and_how_it_was_a_day_ago() {
        let day = 86_400;
        let versions = [
            kept(0, 5 * day, 1), // older than a day: may go
            kept(0, 80_000, 1),  // the path as it was a day ago
            kept(0, 70_000, 1),
            kept(0, 60_000, 1), // its newest
            Kept { content: KeptContent::Empty, ..kept(1, 50_000, 1) },
            Kept { content: KeptContent::Folders, ..kept(2, 1, 1) },
            Kept { content: KeptContent::Empty, ..kept(3, 1, 1) }, // too young
            Kept { content: KeptContent::Empty, young_for: YOUNG_UNSEEN, ..kept(4, 3600, 1) }, // too young where nobody sees who writes
        ];
        assert_eq!(could_give(&versions, today()), Room { bytes: 4, files: 4 });
        let mut gone = giving(&versions, bytes(4), today()).expect("so much there is");
        gone.sort_unstable();
        assert_eq!(gone, [0, 2, 4, 5]);
        assert_eq!(giving(&versions, bytes(5), today()), None);
    }

    impl Room {
        fn with_files(self, files: u64) -> Self {
            Self { files, ..self }
        }
    }

    fn histories() -> impl Strategy<Value = Vec<Kept>> {
        let content = prop_oneof![
            4 => Just(KeptContent::Bytes),
            1 => Just(KeptContent::SameAsNext),
            1 => Just(KeptContent::Empty),
            1 => Just(KeptContent::Folders)
        ];
        let version = (0_usize..4, 0_i64..3_000_000, 0_u64..20, content)
            .prop_map(|(path, age, bytes, content)| Kept { content, ..kept(path, age, bytes) });
        proptest::collection::vec(version, 0..60).prop_map(|mut versions| {
            versions.sort_by_key(|version| version.since);
            versions
        })
    }

    fn given(versions: &[Kept], gone: &[usize]) -> Room {
        gone.iter().map(|index| versions[*index].room).fold(Room::default(), Add::add)
    }

    proptest! {
        #[test]
        fn giving_gives_enough_and_not_one_version_too_many(versions in histories(), wanted in 0_u64..200, files in 0_u64..20) {
            let wanted = Room { bytes: wanted, files };
            let Some(gone) = giving(&versions, wanted, today()) else {
                prop_assert!(!could_give(&versions, today()).covers(wanted));
                return Ok(());
            };
            prop_assert!(given(&versions, &gone).covers(wanted));
            for one in &gone {
                let is_another = |other: &usize| other != one && versions[*other].path == versions[*one].path;
                if gone.iter().any(is_another) {
                    continue;
                }
                let rest: Vec<_> = gone.iter().copied().filter(|other| other != one).collect();
                prop_assert!(!given(&versions, &rest).covers(wanted), "{one} of {gone:?} need not go");
            }
        }

        #[test]
        fn the_floor_always_stays(versions in histories(), limit in 0_u64..100) {
            let rule = KeepRule { room_max: Room { bytes: limit, files: limit / 4 }, ..RULE };
            let gone = rule.exceeding(&versions, today());
            for path in 0..4 {
                let of_the_day = |version: &&Kept| {
                    version.path == path
                        && today().since(version.since) <= DAY
                        && matches!(version.content, KeptContent::Bytes | KeptContent::SameAsNext)
                };
                if let Some(newest) = versions.iter().rev().find(of_the_day) {
                    prop_assert!(!gone.iter().any(|index| std::ptr::eq(&versions[*index], newest)));
                }
            }
            let left = given(&versions, &(0..versions.len()).filter(|index| !gone.contains(index)).collect::<Vec<_>>());
            let could = could_give(&versions, today());
            prop_assert!(rule.room_max.covers(left) || could.bytes <= given(&versions, &gone).bytes || could.files <= given(&versions, &gone).files);
        }

        /// Thinning again at once changes nothing more, once it has come to its end.
        #[test]
        fn thinning_comes_to_an_end(versions in histories()) {
            let mut left = versions;
            loop {
                let gone = RULE.outlived(&left, today());
                if gone.is_empty() { break }
                left = left.iter().enumerate().filter(|(index, _)| !gone.contains(index)).map(|(_, version)| *version).collect();
            }
            let hours: Vec<_> = left.iter().filter(|version| {
                let age = today().since(version.since);
                let is_newest = left.iter().all(|other| other.path != version.path || other.since <= version.since);
                age > HOUR && age <= DAY && !is_newest
            }).map(|version| (version.path, version.since.seconds().div_euclid(3600))).collect();
            prop_assert_eq!(hours.iter().collect::<BTreeSet<_>>().len(), hours.len());
        }
    }
}
