//! The verdict on a change: what is asked before it is made, and in which order, so that of several reasons against it the same one is always
//! told.
//!
//! [`judge`] is the one place that knows the order. It asks one question at a time, and a later one only if all before it were answered well:
//! what is dear to find out (the hash of a large file, the locks of a tree) is found out only when it decides.

use super::extent::Extent;
use super::lock_table::Touches;
use super::rights::Rights;

/// What kind of change is to be made at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A file is made or replaced.
    Put,
    /// A part of a file is written.
    Patch,
    /// A version becomes the file again that it was, whatever it is called.
    Restore,
    /// A copy takes the place of whatever is there.
    Copy,
    /// A file or folder is taken away.
    Remove,
    /// A file or folder is taken away, and comes to another name.
    MoveAway,
    /// What is moved takes the place of whatever is there.
    MoveOnto,
    /// A folder is made.
    MakeCollection,
    /// A folder takes the place again that it had, whatever it is called.
    BringBack,
    /// Properties are changed.
    Amend,
    /// Properties are changed that a lock does not protect.
    AmendDespiteLocks,
    /// A lock is taken.
    Lock,
    /// A lock is taken on what is there and on everything in it.
    LockTree,
}

/// What a look found at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A file.
    File,
    /// A file that a program has open for writing.
    BusyFile,
    /// A folder.
    Collection,
    /// A link that is not followed.
    Link,
    /// A pipe, a socket or a device.
    Special,
}

/// A change of one name; a MOVE changes two.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// What is to be done there.
    pub deed: Deed,
    /// What is there.
    pub found: Found,
    /// Whether something is mounted right there.
    pub is_mount_point: bool,
    /// Whether what is new there may have this name.
    pub is_fit_name: bool,
    /// Whether a folder comes there, with all that is in it.
    pub brings_folder: bool,
}

/// Why a change cannot be made whatever headers come along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Nothing is there.
    NothingThere,
    /// A file of this name may not be made.
    BadName,
    /// Something is there, and the change makes something new.
    Exists,
    /// A folder is there, and the change is for files.
    IsCollection,
    /// What is there is nothing that a version can take the place of.
    NotFree,
    /// A link is there.
    Link,
    /// A pipe, a socket or a device is there.
    Special,
    /// Something is mounted right there.
    MountPoint,
    /// A program has the file open for writing: waiting may help.
    OpenForWriting,
}

/// What the verdict asks about. Each question is answered with the refusal, if it has to be one. `at` says of which of the changes it is asked.
pub trait Evidence {
    /// Why the change is not made.
    type Refusal;

    /// The refusal for an obstacle.
    fn refusal_of(&self, at: usize, obstacle: Obstacle) -> Self::Refusal;

    /// Whether whoever asks may know what is there: if not, it is not told why else the change could not be made.
    fn is_known(&mut self, at: usize) -> Result<(), Self::Refusal>;

    /// Whether whoever asks has these rights there, or there and everywhere below.
    fn is_permitted(&mut self, at: usize, rights: Rights, extent: Extent) -> Result<(), Self::Refusal>;

    /// Whether the headers demand that nothing is there.
    fn demands_nothing_there(&self, at: usize) -> bool;

    /// Whether the file system can hold the name, and nothing is mounted in a folder that goes.
    fn disk_allows(&mut self, at: usize) -> Result<(), Self::Refusal>;

    /// Whether the conditional headers (RFC 9110 §13) and `Overwrite` hold for what is there.
    fn headers_hold(&mut self, at: usize) -> Result<(), Self::Refusal>;

    /// Whether the `If` header holds (RFC 4918 §10.4), which may ask about any place.
    fn states_hold(&mut self) -> Result<(), Self::Refusal>;

    /// Whether the version that goes is named, if the share demands that (RFC 6585 §3).
    fn version_is_named(&mut self, at: usize) -> Result<(), Self::Refusal>;

    /// Whether the tokens of all locks in the way came along (RFC 4918 §7).
    fn locks_are_submitted(&mut self, at: usize, touches: Touches) -> Result<(), Self::Refusal>;

    /// Whether what is there is what the submitted locks were taken on.
    fn pins_hold(&mut self, at: usize) -> Result<(), Self::Refusal>;

    /// Whether the client was refused nothing here a moment ago, or names what it removes.
    fn nothing_was_refused_lately(&mut self, at: usize) -> Result<(), Self::Refusal>;
}

/// Judges the changes that one request makes: the first reason against any of them, in this order.
///
/// 1. Places that whoever asks may know nothing of; then obstacles, since no other headers would help (RFC 9110 §13.2.1).
/// 2. Rights that whoever asks does not have.
/// 3. What the disk cannot do; and a program that is writing, unless nothing may be there anyway.
/// 4. The conditional headers, then `If`. A header that is false is told before one that is missing.
/// 5. The policy that a version has to be named.
/// 6. Locks whose tokens are missing.
/// 7. The versions that submitted locks were taken on.
/// 8. What the client was refused here a moment ago.
pub fn judge<E: Evidence>(changes: &[Change], evidence: &mut E) -> Result<(), E::Refusal> {
    let all = || changes.iter().enumerate();
    for (at, _) in all() {
        evidence.is_known(at)?;
    }
    for (at, change) in all() {
        if let Some(obstacle) = change.obstacle() {
            return Err(evidence.refusal_of(at, obstacle));
        }
    }
    for (at, change) in all() {
        let (rights, extent) = change.needs();
        evidence.is_permitted(at, rights, extent)?;
    }
    for (at, _) in all() {
        evidence.disk_allows(at)?;
    }
    for (at, change) in all() {
        if change.waits_for_writers() && !evidence.demands_nothing_there(at) {
            return Err(evidence.refusal_of(at, Obstacle::OpenForWriting));
        }
    }
    for (at, _) in all() {
        evidence.headers_hold(at)?;
    }
    evidence.states_hold()?;
    for (at, _) in all().filter(|(_, change)| change.takes_a_version()) {
        evidence.version_is_named(at)?;
    }
    for (at, change) in all().filter(|(_, change)| change.deed.heeds_locks()) {
        evidence.locks_are_submitted(at, change.touches())?;
    }
    for (at, _) in all().filter(|(_, change)| change.deed.displaces()) {
        evidence.pins_hold(at)?;
    }
    for (at, _) in all().filter(|(_, change)| change.may_take_back()) {
        evidence.nothing_was_refused_lately(at)?;
    }
    Ok(())
}

impl Deed {
    /// Whether what is there makes way for something else, or for nothing.
    pub fn displaces(self) -> bool {
        matches!(
            self,
            Self::Put | Self::Patch | Self::Restore | Self::Copy | Self::Remove | Self::MoveAway | Self::MoveOnto
        )
    }

    /// Whether something new comes to the name if nothing is there.
    pub fn makes_something(self) -> bool {
        !matches!(self, Self::Remove | Self::MoveAway | Self::Patch) && !self.amends()
    }

    /// Whether it takes a folder away with all that is in it.
    pub fn takes_trees(self) -> bool {
        matches!(self, Self::Remove | Self::Copy | Self::MoveAway | Self::MoveOnto)
    }

    /// Whether clients will be told of the file that is there again, so that a small one is hashed: it shall not be shown by another tag than that
    /// of its content because of this.
    pub fn tells_of_what_is_there(self) -> bool {
        self.amends() || matches!(self, Self::Lock | Self::LockTree | Self::MoveAway | Self::MoveOnto)
    }

    /// Whether it is about the link itself where a link is.
    pub fn means_links_themselves(self) -> bool {
        self.amends() || matches!(self, Self::Remove | Self::MoveAway)
    }

    fn amends(self) -> bool {
        matches!(self, Self::Amend | Self::AmendDespiteLocks)
    }

    /// Whether locks stand in its way by themselves. Whether they stand in the way of another lock, their table says.
    fn heeds_locks(self) -> bool {
        !matches!(self, Self::Lock | Self::LockTree | Self::AmendDespiteLocks)
    }
}

impl Change {
    /// Why it cannot be made at all.
    pub fn obstacle(&self) -> Option<Obstacle> {
        use Deed::{Amend, AmendDespiteLocks, BringBack, MakeCollection, MoveAway, Patch, Put, Remove, Restore};
        match (self.deed, self.found) {
            (Remove | MoveAway | Patch | Amend | AmendDespiteLocks, Found::Nothing) => Some(Obstacle::NothingThere),
            (Restore | BringBack, Found::Nothing) => None,
            (_, Found::Nothing) if !self.is_fit_name => Some(Obstacle::BadName),
            (_, Found::Nothing) => None,
            (BringBack, _) | (Restore, Found::Collection) => Some(Obstacle::NotFree),
            (_, Found::Link) => Some(Obstacle::Link),
            (_, Found::Special) => Some(Obstacle::Special),
            (MakeCollection, _) => Some(Obstacle::Exists),
            (Put | Patch, Found::Collection) => Some(Obstacle::IsCollection),
            (deed, _) if deed.displaces() && self.is_mount_point => Some(Obstacle::MountPoint),
            _ => None,
        }
    }

    /// The rights that it takes, and whether at the name alone or for everything in it, too. What replaces a folder takes away what is in that, and
    /// what is moved or brought back can be read at its new place.
    pub fn needs(&self) -> (Rights, Extent) {
        let rights = match (self.deed, self.found) {
            (Deed::Remove, _) => Rights::DELETE,
            (Deed::MoveAway, _) => Rights::DELETE | Rights::LOOK,
            // The tag of the whole is told, and so what the rest of it is.
            (Deed::Patch, _) => Rights::OVERWRITE | Rights::READ,
            (Deed::BringBack, _) | (Deed::Restore, Found::Nothing) => Rights::CREATE | Rights::HISTORY,
            (Deed::Restore, _) => Rights::OVERWRITE | Rights::HISTORY,
            (deed, Found::Nothing) if deed.makes_something() => Rights::CREATE,
            (Deed::Copy | Deed::MoveOnto, Found::Collection) => Rights::CREATE | Rights::OVERWRITE | Rights::DELETE,
            _ if self.brings_folder => Rights::CREATE | Rights::OVERWRITE,
            _ => Rights::OVERWRITE,
        };
        let is_of_a_tree = self.deed.takes_trees() || matches!(self.deed, Deed::BringBack | Deed::LockTree);
        (rights, if is_of_a_tree { Extent::Tree } else { Extent::Itself })
    }

    fn waits_for_writers(&self) -> bool {
        self.found == Found::BusyFile && !self.deed.amends()
    }

    /// Whether the policy of required preconditions asks for the version. Whoever writes anew says so, since it may be an old version that is
    /// written; what is copied or moved to where nothing is replaces nothing.
    fn takes_a_version(&self) -> bool {
        match self.found {
            Found::File => self.deed.displaces(),
            Found::Nothing => matches!(self.deed, Deed::Put | Deed::Restore),
            Found::BusyFile | Found::Collection | Found::Link | Found::Special => false,
        }
    }

    fn touches(&self) -> Touches {
        match (self.deed, self.found) {
            (Deed::Remove | Deed::MoveAway, _) => Touches::Tree,
            (deed, Found::Nothing) if deed.makes_something() => Touches::Membership,
            (Deed::Copy | Deed::MoveOnto, _) => Touches::Tree,
            _ => Touches::Itself,
        }
    }

    /// Whether it may be what some clients do after a request that failed, to take back what they believe to be half of their own file.
    fn may_take_back(&self) -> bool {
        self.deed == Deed::Remove && self.found == Found::File
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY_DEED: [Deed; 13] = [
        Deed::Put,
        Deed::Patch,
        Deed::Restore,
        Deed::Copy,
        Deed::Remove,
        Deed::MoveAway,
        Deed::MoveOnto,
        Deed::MakeCollection,
        Deed::BringBack,
        Deed::Amend,
        Deed::AmendDespiteLocks,
        Deed::Lock,
        Deed::LockTree,
    ];

    /// Why a change may be refused, in the order in which it is told.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Reason {
        Obstacle(Obstacle),
        /// It is not permitted.
        Right,
        /// The disk cannot do it.
        Disk,
        /// A conditional header is false.
        Header,
        /// The `If` header is false.
        If,
        /// No version is named.
        Policy,
        /// The token of a lock is missing.
        Lock,
        /// It is not what a lock was taken on.
        Pin,
        /// Something was refused here lately.
        Lately,
    }

    /// These reasons stand against the change at this place, and nothing else.
    struct Against {
        reasons: Vec<Reason>,
        at: usize,
        demands_nothing_there: bool,
        asked: Vec<Reason>,
    }

    impl Against {
        fn ask(&mut self, at: usize, reason: Reason) -> Result<(), Reason> {
            self.asked.push(reason);
            if at == self.at && self.reasons.contains(&reason) { Err(reason) } else { Ok(()) }
        }
    }

    impl Evidence for Against {
        type Refusal = Reason;

        fn refusal_of(&self, _: usize, obstacle: Obstacle) -> Reason {
            Reason::Obstacle(obstacle)
        }

        fn is_known(&mut self, _: usize) -> Result<(), Reason> {
            Ok(())
        }

        fn is_permitted(&mut self, at: usize, _: Rights, _: Extent) -> Result<(), Reason> {
            self.ask(at, Reason::Right)
        }

        fn demands_nothing_there(&self, _: usize) -> bool {
            self.demands_nothing_there
        }

        fn disk_allows(&mut self, at: usize) -> Result<(), Reason> {
            self.ask(at, Reason::Disk)
        }

        fn headers_hold(&mut self, at: usize) -> Result<(), Reason> {
            self.ask(at, Reason::Header)
        }

        fn states_hold(&mut self) -> Result<(), Reason> {
            self.ask(self.at, Reason::If)
        }

        fn version_is_named(&mut self, at: usize) -> Result<(), Reason> {
            self.ask(at, Reason::Policy)
        }

        fn locks_are_submitted(&mut self, at: usize, _: Touches) -> Result<(), Reason> {
            self.ask(at, Reason::Lock)
        }

        fn pins_hold(&mut self, at: usize) -> Result<(), Reason> {
            self.ask(at, Reason::Pin)
        }

        fn nothing_was_refused_lately(&mut self, at: usize) -> Result<(), Reason> {
            self.ask(at, Reason::Lately)
        }
    }

    fn change(deed: Deed, found: Found) -> Change {
        Change { deed, found, is_mount_point: false, is_fit_name: true, brings_folder: false }
    }

    fn against(reasons: &[Reason], at: usize) -> Against {
        Against { reasons: reasons.to_vec(), at, demands_nothing_there: false, asked: Vec::new() }
    }

    /// The questions that are asked about a change that nothing stands against, in their order.
    fn asked_about(change: Change) -> Vec<Reason> {
        let mut evidence = against(&[], 0);
        assert_eq!(judge(&[change], &mut evidence), Ok(()), "{change:?}");
        evidence.asked
    }

    /// Of two reasons against a change the same one is told, whatever kind of change it is; and the later question is not even asked.
    #[test]
    fn of_two_reasons_the_first_in_one_order_is_told() {
        use Reason::{Disk, Header, If, Lately, Lock, Pin, Policy, Right};
        let order = [Right, Disk, Header, If, Policy, Lock, Pin, Lately];
        for (first, one) in order.iter().enumerate() {
            for other in &order[first + 1..] {
                let mut evidence = against(&[*other, *one], 0);
                let told = judge(&[change(Deed::Remove, Found::File)], &mut evidence);
                assert_eq!(told, Err(*one), "{one:?} and {other:?}");
                assert!(!evidence.asked.contains(other), "{other:?} is found out though {one:?} decides");
            }
        }
    }

    /// A MOVE is refused for one reason at either end before it is for a later one at the other.
    #[test]
    fn both_ends_of_a_move_are_judged_in_one_order() {
        use Reason::{Disk, Header, If, Lock, Pin, Policy, Right};
        let order = [Right, Disk, Header, If, Policy, Lock, Pin];
        let ends = [change(Deed::MoveAway, Found::File), change(Deed::MoveOnto, Found::File)];
        for at in [0, 1] {
            for (first, one) in order.iter().enumerate() {
                let mut evidence = against(&order[first..], at);
                assert_eq!(judge(&ends, &mut evidence), Err(*one), "at end {at}");
            }
        }
        let missing = [change(Deed::MoveAway, Found::Nothing), change(Deed::MoveOnto, Found::Link)];
        let told = judge(&missing, &mut against(&[Header], 0));
        assert_eq!(told, Err(Reason::Obstacle(Obstacle::NothingThere)), "obstacles come first, the source's before");
    }

    /// What is asked about each kind of change, beyond the disk, the headers and `If`, which are asked about all.
    #[test]
    fn each_change_is_asked_what_concerns_it() {
        use Reason::{Lately, Lock, Pin, Policy};
        for (deed, found, expected) in [
            (Deed::Put, Found::File, &[Policy, Lock, Pin][..]),
            (Deed::Put, Found::Nothing, &[Policy, Lock, Pin]),
            (Deed::Patch, Found::File, &[Policy, Lock, Pin]),
            (Deed::Restore, Found::File, &[Policy, Lock, Pin]),
            (Deed::Restore, Found::Nothing, &[Policy, Lock, Pin]),
            (Deed::Copy, Found::File, &[Policy, Lock, Pin]),
            (Deed::Copy, Found::Nothing, &[Lock, Pin]),
            (Deed::Copy, Found::Collection, &[Lock, Pin]),
            (Deed::Remove, Found::File, &[Policy, Lock, Pin, Lately]),
            (Deed::Remove, Found::Collection, &[Lock, Pin]),
            (Deed::MoveAway, Found::File, &[Policy, Lock, Pin]),
            (Deed::MoveAway, Found::Collection, &[Lock, Pin]),
            (Deed::MoveOnto, Found::File, &[Policy, Lock, Pin]),
            (Deed::MoveOnto, Found::Nothing, &[Lock, Pin]),
            (Deed::MakeCollection, Found::Nothing, &[Lock]),
            (Deed::BringBack, Found::Nothing, &[Lock]),
            (Deed::Amend, Found::File, &[Lock]),
            (Deed::Amend, Found::BusyFile, &[Lock]),
            (Deed::AmendDespiteLocks, Found::Collection, &[]),
            (Deed::Lock, Found::Nothing, &[]),
            (Deed::Lock, Found::File, &[]),
        ] {
            let asked = asked_about(change(deed, found));
            let of_all = [Reason::Right, Reason::Disk, Reason::Header, Reason::If];
            assert_eq!(asked[..4], of_all, "{deed:?} of {found:?}");
            assert_eq!(asked[4..], *expected, "{deed:?} of {found:?}");
        }
    }

    /// What whoever makes each kind of change has to be permitted, where nothing else stands against it.
    #[test]
    fn each_change_takes_its_rights() {
        const CREATE: Rights = Rights::CREATE;
        const OVERWRITE: Rights = Rights::OVERWRITE;
        const DELETE: Rights = Rights::DELETE;
        let kinds = [Found::Nothing, Found::File, Found::BusyFile, Found::Collection];
        const FROM_HISTORY: Rights = Rights::HISTORY;
        const LOOK: Rights = Rights::LOOK;
        const ALL_OF_IT: Option<Rights> = Some(CREATE.union(OVERWRITE).union(DELETE));
        use Extent::{Itself, Tree};
        for (deed, extent, expected) in [
            (Deed::Put, Itself, [Some(CREATE), Some(OVERWRITE), Some(OVERWRITE), None]),
            (Deed::Patch, Itself, [None, Some(OVERWRITE | Rights::READ), Some(OVERWRITE | Rights::READ), None]),
            (
                Deed::Restore,
                Itself,
                [Some(CREATE | FROM_HISTORY), Some(OVERWRITE | FROM_HISTORY), Some(OVERWRITE | FROM_HISTORY), None],
            ),
            (Deed::Copy, Tree, [Some(CREATE), Some(OVERWRITE), Some(OVERWRITE), ALL_OF_IT]),
            (Deed::Remove, Tree, [None, Some(DELETE), Some(DELETE), Some(DELETE)]),
            (Deed::MoveAway, Tree, [None, Some(DELETE | LOOK), Some(DELETE | LOOK), Some(DELETE | LOOK)]),
            (Deed::MoveOnto, Tree, [Some(CREATE), Some(OVERWRITE), Some(OVERWRITE), ALL_OF_IT]),
            (Deed::MakeCollection, Itself, [Some(CREATE), None, None, None]),
            (Deed::BringBack, Tree, [Some(CREATE | FROM_HISTORY), None, None, None]),
            (Deed::Amend, Itself, [None, Some(OVERWRITE), Some(OVERWRITE), Some(OVERWRITE)]),
            (Deed::AmendDespiteLocks, Itself, [None, Some(OVERWRITE), Some(OVERWRITE), Some(OVERWRITE)]),
            (Deed::Lock, Itself, [Some(CREATE), Some(OVERWRITE), Some(OVERWRITE), Some(OVERWRITE)]),
            (Deed::LockTree, Tree, [Some(CREATE), Some(OVERWRITE), Some(OVERWRITE), Some(OVERWRITE)]),
        ] {
            for (found, expected) in kinds.into_iter().zip(expected) {
                let change = change(deed, found);
                let needs = change.obstacle().is_none().then(|| change.needs());
                assert_eq!(needs, expected.map(|rights| (rights, extent)), "{deed:?} of {found:?}");
            }
        }
    }

    /// What stands in the way of each kind of change, whatever is there: in the columns nothing, a file, a folder, a link, a pipe.
    #[test]
    fn each_change_has_its_obstacles() {
        use Obstacle::{Exists, IsCollection, Link, NotFree, NothingThere, Special};
        let taken = [None, None, None, Some(Link), Some(Special)];
        let of_what_is_there = [Some(NothingThere), None, None, Some(Link), Some(Special)];
        for deed in EVERY_DEED {
            let expected = match deed {
                Deed::Put => [None, None, Some(IsCollection), Some(Link), Some(Special)],
                Deed::Patch => [Some(NothingThere), None, Some(IsCollection), Some(Link), Some(Special)],
                Deed::Restore => [None, None, Some(NotFree), Some(Link), Some(Special)],
                Deed::Copy | Deed::MoveOnto | Deed::Lock | Deed::LockTree => taken,
                Deed::Remove | Deed::MoveAway | Deed::Amend | Deed::AmendDespiteLocks => of_what_is_there,
                Deed::MakeCollection => [None, Some(Exists), Some(Exists), Some(Link), Some(Special)],
                Deed::BringBack => [None, Some(NotFree), Some(NotFree), Some(NotFree), Some(NotFree)],
            };
            let columns = [Found::Nothing, Found::File, Found::Collection, Found::Link, Found::Special];
            for (found, expected) in columns.into_iter().zip(expected) {
                assert_eq!(change(deed, found).obstacle(), expected, "{deed:?} of {found:?}");
            }
            let busy = change(deed, Found::BusyFile).obstacle();
            assert_eq!(busy, change(deed, Found::File).obstacle(), "{deed:?}: a file that is written is a file");
        }
    }

    /// A name that may not be made stands in the way of what would make it, and of nothing that had it before.
    #[test]
    fn an_unfit_name_is_refused_where_it_would_be_new() {
        for deed in EVERY_DEED {
            let unfit = |found| Change { is_fit_name: false, ..change(deed, found) }.obstacle();
            let makes_it = matches!(
                deed,
                Deed::Put | Deed::Copy | Deed::MoveOnto | Deed::MakeCollection | Deed::Lock | Deed::LockTree
            );
            assert_eq!(unfit(Found::Nothing) == Some(Obstacle::BadName), makes_it, "{deed:?}");
            assert_ne!(unfit(Found::File), Some(Obstacle::BadName), "{deed:?}: it has that name already");
        }
    }

    /// A mount point is never displaced.
    #[test]
    fn a_mount_point_stays() {
        for deed in EVERY_DEED {
            let mounted = Change { is_mount_point: true, ..change(deed, Found::File) };
            assert_eq!(mounted.obstacle() == Some(Obstacle::MountPoint), deed.displaces(), "{deed:?}");
        }
    }

    /// A program that is writing is told before the headers are judged, since waiting may help; but not to a client that demands that nothing is
    /// there, which no waiting makes true.
    #[test]
    fn who_waits_for_a_writer_is_told_so() {
        for (deed, waits) in [
            (Deed::Put, true),
            (Deed::Patch, true),
            (Deed::Remove, true),
            (Deed::MoveAway, true),
            (Deed::MoveOnto, true),
            (Deed::Lock, true),
            (Deed::Amend, false),
        ] {
            let busy = [change(deed, Found::BusyFile)];
            let told = judge(&busy, &mut against(&[Reason::Header], 0));
            let expected = if waits { Reason::Obstacle(Obstacle::OpenForWriting) } else { Reason::Header };
            assert_eq!(told, Err(expected), "{deed:?}");
            let mut nothing = Against { demands_nothing_there: true, ..against(&[Reason::Header], 0) };
            assert_eq!(judge(&busy, &mut nothing), Err(Reason::Header), "{deed:?}");
        }
    }

    /// How far a change reaches decides which locks it needs.
    #[test]
    fn each_change_touches_what_it_changes() {
        for (deed, found, expected) in [
            (Deed::Put, Found::Nothing, Touches::Membership),
            (Deed::Put, Found::File, Touches::Itself),
            (Deed::Patch, Found::File, Touches::Itself),
            (Deed::Restore, Found::Nothing, Touches::Membership),
            (Deed::Copy, Found::Nothing, Touches::Membership),
            (Deed::Copy, Found::Collection, Touches::Tree),
            (Deed::MoveOnto, Found::Nothing, Touches::Membership),
            (Deed::MoveOnto, Found::File, Touches::Tree),
            (Deed::MoveAway, Found::File, Touches::Tree),
            (Deed::Remove, Found::Collection, Touches::Tree),
            (Deed::MakeCollection, Found::Nothing, Touches::Membership),
            (Deed::BringBack, Found::Nothing, Touches::Membership),
            (Deed::Amend, Found::Collection, Touches::Itself),
        ] {
            assert_eq!(change(deed, found).touches(), expected, "{deed:?} of {found:?}");
        }
    }
}
