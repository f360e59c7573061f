//! Judging: what a look found, by the headers of the request and by the locks; and the loop of every change.
//!
//! The headers come first, then the policy of required preconditions, then the locks, and last the version that a lock was taken on. What is
//! judged here before an upload is judged again under the mutex, in the instant before the swap.

use std::borrow::Cow;
use std::time::Duration;

use crate::model::content_hash::ContentHash;
use crate::model::lock::{LockToken, Touches};
use crate::model::path::{Name, SharePath};
use crate::model::precondition::{Decision, Header, Intent, Precondition, States, Target};
use crate::model::stamp::{Stamp, Timestamp};
use crate::model::state_list::{Standing, There};
use crate::store::commit::{Changed, Claim, Inside, LastLink, Seen, Site, Swap};
use crate::store::disk::{Cause, Leased, Opened};
use crate::store::staging;

use super::Share;
use super::identity::{Effort, Identity};
use super::locks::Pinned;
use super::outcome::{Current, End, Forbidden, Outcome, Refusal, Stop, Subject};
use super::under_way::UnderWay;
use super::write::{A_NAME, current};

/// How often a change looks again before it gives up.
pub(super) const LOOKS_MAX: usize = 16;

/// How often large files are hashed for one change, which keep changing meanwhile.
pub(super) const HASHINGS_MAX: usize = 3;

/// What kind of change is to be made, as far as judging it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// A file is made or replaced.
    Put,
    /// A version becomes the file again that it was, whatever it is called.
    Restore,
    /// A copy takes the place of whatever is there.
    Copy,
    /// A file or folder is taken away.
    Remove,
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
}

/// What a look found and the headers and locks allow to be changed, for as long as this is held.
pub(super) struct Looked<'a> {
    pub(super) claim: Claim<'a>,
    pub(super) seen: Seen,
    _under_way: UnderWay<'a>,
}

/// What a look and the headers together say.
enum Judged {
    /// What is to be changed; and of a folder that goes, the files in it that it goes with and no others.
    Go(Seen, Vec<Inside>),
    /// Large files have to be hashed first, outside the mutex.
    HashFirst(Vec<SharePath>),
}

impl Deed {
    /// Why it could not be done whatever the conditions and locks say. That is told, and not that a condition failed (RFC 9110 §13.2.1).
    fn refuses(self, seen: &Seen, name: &Name) -> Option<Refusal> {
        match (self, seen) {
            (Self::Remove | Self::Amend | Self::AmendDespiteLocks, Seen::Nothing) => Some(Refusal::NotFound),
            (Self::Put | Self::MakeCollection | Self::Lock, Seen::Nothing) if !name.may_be_made() => {
                Some(Refusal::BadName)
            }
            (Self::MakeCollection | Self::BringBack, Seen::Nothing) => None,
            (Self::MakeCollection, Seen::Link) => Some(Refusal::NotAllowed(Forbidden::Link)),
            (Self::MakeCollection, Seen::Special) => Some(Refusal::NotAllowed(Forbidden::Special)),
            (Self::MakeCollection, seen) => {
                Some(Refusal::Exists { is_collection: matches!(seen, Seen::Collection(_)) })
            }
            (Self::BringBack, _) | (Self::Restore, Seen::Collection(_)) => Some(Refusal::NotFree),
            (Self::Put, Seen::Collection(_)) => Some(Refusal::IsCollection),
            (deed, seen) if deed.displaces() && seen.is_mount_point() => {
                Some(Refusal::NotAllowed(Forbidden::MountPoint))
            }
            _ => None,
        }
    }

    /// Whether a file that is there makes way for another, or for nothing.
    fn displaces(self) -> bool {
        matches!(self, Self::Put | Self::Restore | Self::Copy | Self::Remove)
    }

    fn makes_something(self) -> bool {
        !matches!(self, Self::Remove | Self::Amend | Self::AmendDespiteLocks)
    }

    /// Whether a file stays what it is.
    fn leaves_what_is_there(self) -> bool {
        self.amends() || self == Self::Lock
    }

    fn amends(self) -> bool {
        matches!(self, Self::Amend | Self::AmendDespiteLocks)
    }

    /// Whether locks stand in its way by themselves. Whether they stand in the way of another lock, their table says.
    fn asks_locks(self) -> bool {
        !matches!(self, Self::Lock | Self::AmendDespiteLocks)
    }

    fn touches(self, seen: &Seen) -> Touches {
        match (self, seen) {
            (Self::Remove, _) => Touches::Tree,
            (Self::Copy, seen) if !matches!(seen, Seen::Nothing) => Touches::Tree,
            (Self::Put | Self::Restore | Self::Copy | Self::Lock, Seen::Nothing) => Touches::Membership,
            (Self::MakeCollection | Self::BringBack, Seen::Nothing) => Touches::Membership,
            _ => Touches::Itself,
        }
    }
}

fn there(seen: &Seen, identity: Option<&Identity>) -> There {
    match (seen, identity) {
        (_, Some(known)) => There::File(known.validators.clone()),
        (Seen::Nothing | Seen::Link, None) => There::Nothing,
        _ => There::Collection,
    }
}

/// A folder that other file systems are mounted in does not go: they would be carried along.
pub(super) fn judge_mounts(claim: &Claim<'_>, seen: &Seen) -> Outcome<()> {
    if claim.holds_mounts(seen)? { Err(Refusal::NotAllowed(Forbidden::HoldsMounts).into()) } else { Ok(()) }
}

impl Share {
    /// Judges whether the file system can hold a name that is to be made. Where it is not known to hold every name, an odd one is tried.
    pub(super) fn judge_new_name(&self, site: &Site) -> Outcome<()> {
        if !site.name.may_be_made() {
            return Err(Refusal::BadName.into());
        }
        self.judge_held(site)
    }

    /// As [`Share::judge_new_name`], for the name of something that there has been already.
    pub(super) fn judge_held(&self, site: &Site) -> Outcome<()> {
        let disk = self.tree.disk();
        let holds_all = disk.abilities().nameless && disk.dir_status(&disk.root()?)?.mount == site.mount;
        if holds_all || site.name.is_portable() {
            return Ok(());
        }
        Ok(staging::try_name(disk, self.tree.history().swap(&site.path, site.mount)?, &site.name)?)
    }

    /// The loop of every change: look, decide, swap; if the swap lost, look again.
    pub(super) fn look_until_done<'a, T>(
        &'a self,
        path: &SharePath,
        precondition: &Precondition,
        deed: Deed,
        now: Timestamp,
        mut swap: impl FnMut(&Claim<'a>, Seen) -> Outcome<(Swap<'a>, T)>,
    ) -> Outcome<(Changed<'a>, T)> {
        let mut made_room = false;
        for _ in 0..LOOKS_MAX {
            let Looked { claim, seen, _under_way } = self.look_and_judge(path, precondition, deed, now)?;
            match swap(&claim, seen) {
                Ok((Swap::Done(changed), also)) => return Ok((changed, also)),
                Ok((Swap::Lost, _)) => {}
                Ok((Swap::Busy, _)) => return Err(Refusal::OpenForWriting.into()),
                Ok((Swap::Spoilt, _)) => return Err(Refusal::ChangedMeanwhile.into()),
                Err(stop) if let (false, Some(full)) = (made_room, stop.full()) => {
                    let at = claim.site().parent.clone();
                    drop((_under_way, claim));
                    made_room = true;
                    if !self.tree.history().make_room(&at, A_NAME, full, now) {
                        return Err(stop);
                    }
                }
                Err(stop) => return Err(stop),
            }
        }
        Err(Refusal::ChangedMeanwhile.into())
    }

    /// Takes the mutex of a path, looks, and judges.
    pub(super) fn look_and_judge<'a>(
        &'a self,
        path: &SharePath,
        precondition: &Precondition,
        deed: Deed,
        now: Timestamp,
    ) -> Outcome<Looked<'a>> {
        for _ in 0..=HASHINGS_MAX {
            let claim = self.tree.claim(path).map_err(|error| self.stop(error, Refusal::NoParent))?;
            let Some(mut claim) = claim else { return Err(Refusal::NotAllowed(Forbidden::Root).into()) };
            let seen = claim.look()?;
            if matches!((deed, &seen), (Deed::Remove | Deed::Amend | Deed::AmendDespiteLocks, Seen::Link)) {
                return Err(self.refusal_of_link(&claim.site().path).into());
            }
            if let Some(refusal) = deed.refuses(&seen, &claim.site().name) {
                return Err(refusal.into());
            }
            if deed.makes_something() && matches!(seen, Seen::Nothing) {
                self.judge_held(claim.site())?;
            }
            if matches!(deed, Deed::Remove | Deed::Copy) {
                judge_mounts(&claim, &seen)?;
            }
            let under_way = self.locks.begin_change();
            match self.judge(&claim.site().path, seen, precondition, deed, now)? {
                Judged::Go(seen, inside) => {
                    claim.goes_only_with(inside);
                    return Ok(Looked { claim, seen, _under_way: under_way });
                }
                Judged::HashFirst(files) => {
                    drop((under_way, claim));
                    files.iter().try_for_each(|file| self.read_hashed(file, now).map(drop))?;
                }
            }
        }
        Err(Refusal::ChangedMeanwhile.into())
    }

    /// Judges what a look found. A file that a program is writing is refused before the headers are, since waiting may help.
    fn judge(
        &self,
        path: &SharePath,
        seen: Seen,
        precondition: &Precondition,
        deed: Deed,
        now: Timestamp,
    ) -> Outcome<Judged> {
        let elsewhere = self.places_to_be_hashed(&[path], precondition, now)?;
        if !elsewhere.is_empty() {
            return Ok(Judged::HashFirst(elsewhere));
        }
        let mut identity = None;
        match &seen {
            Seen::File(file) => {
                let asks = self.asks_for_content_at(path, precondition, now);
                if asks && file.is_quiet() && self.is_to_be_hashed(path, &file.status.stamp, now) {
                    return Ok(Judged::HashFirst(vec![path.clone()]));
                }
                let effort = match (asks, deed.leaves_what_is_there()) {
                    (true, _) => Effort::Hash,
                    // It will be shown again: not by another tag than that of its content because of this.
                    (false, true) => Effort::HashSmall,
                    (false, false) => Effort::Recall,
                };
                let known = self.identify_seen(path, file, effort, now)?;
                self.decide(path, precondition, Some(&known), deed, now)?;
                identity = Some(known);
            }
            Seen::Nothing => self.decide(path, precondition, None, deed, now)?,
            Seen::Busy(_) if precondition.demands_nothing_there() => {
                self.judge_conditions(path, precondition, Target::Collection, None, now)?;
            }
            Seen::Busy(_) if deed.amends() => {
                self.judge_conditions(path, precondition, Target::Collection, None, now)?
            }
            Seen::Busy(_) => return Err(Refusal::OpenForWriting.into()),
            Seen::Collection(_) => self.judge_conditions(path, precondition, Target::Collection, None, now)?,
            Seen::Link | Seen::Special => return Ok(Judged::Go(seen, Vec::new())),
        }
        if deed.asks_locks() {
            self.judge_locks(path, precondition, deed.touches(&seen), now)?;
        }
        let mut inside = Vec::new();
        if deed.displaces() {
            match &seen {
                Seen::Collection(_) => match self.judge_pins_inside(path, precondition, now)? {
                    Pinned::AsTheyWere(files) => inside = files,
                    Pinned::Unhashed(files) => return Ok(Judged::HashFirst(files)),
                },
                _ => self.judge_pins(path, precondition, identity.as_ref(), now)?,
            }
        }
        if let (Deed::Remove, Some(known)) = (deed, &identity) {
            self.judge_removal(path, precondition, known, now)?;
        }
        Ok(Judged::Go(seen, inside))
    }

    /// Judges a change of the share's own folder, which is in no other.
    pub(super) fn judge_root(&self, precondition: &Precondition, deed: Deed, now: Timestamp) -> Outcome<UnderWay<'_>> {
        let under_way = self.locks.begin_change();
        let root = SharePath::root();
        self.judge_conditions(&root, precondition, Target::Collection, None, now)?;
        if deed.asks_locks() {
            self.judge_locks(&root, precondition, Touches::Itself, now)?;
        }
        Ok(under_way)
    }

    /// The conditional headers first, then the policy of required preconditions: 428 is for a header that is absent, 412 for one that
    /// is false. Properties and locks replace no version.
    pub(super) fn decide(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        identity: Option<&Identity>,
        deed: Deed,
        now: Timestamp,
    ) -> Outcome<()> {
        let target = identity.map_or(Target::Nothing, |identity| Target::File(&identity.validators));
        self.judge_conditions(path, precondition, target, identity, now)?;
        // A copy that finds nothing replaces nothing. Whoever writes anew says so, since it may be an old version that is written.
        let takes_a_version = deed.displaces() && (deed != Deed::Copy || identity.is_some());
        if takes_a_version && !precondition.names_a_version(now) {
            let end = if deed == Deed::Copy { End::Destination } else { End::Target };
            self.judge_named((path, end), precondition, identity, now)?;
        }
        Ok(())
    }

    /// Judges by the policy of required preconditions whether the version of a file is named that a change takes away, where the conditional
    /// headers of RFC 9110 do not name it.
    fn judge_named(
        &self,
        (path, end): (&SharePath, End),
        precondition: &Precondition,
        identity: Option<&Identity>,
        now: Timestamp,
    ) -> Outcome<()> {
        let is_named = || self.states_name(path, precondition) || self.is_pinned(path, precondition, now);
        if !self.settings.require_preconditions || is_named() {
            return Ok(());
        }
        let (of, current) = (Subject::file(path), identity.map(current));
        Err(Refusal::PreconditionRequired { of, end, current }.into())
    }

    /// Whether `If` names the version of what is at a path by its tag.
    pub(super) fn states_name(&self, path: &SharePath, precondition: &Precondition) -> bool {
        let is_it = |place: &SharePath| self.spelled_to_read(place).is_ok_and(|place| *place == *path);
        precondition.states().is_some_and(|states| states.lists.names_a_version(&states.asked, is_it))
    }

    /// Judges what two looks found, for a MOVE: the headers by the source, the locks of both, and the versions that submitted locks were
    /// taken on. `If` may ask about both, and about anything else. Gives the files with which alone a folder at the target may go.
    pub(super) fn judge_move(
        &self,
        (from, source): (&SharePath, &Seen),
        (to, target): (&SharePath, &Seen),
        precondition: &Precondition,
        may_replace: bool,
        now: Timestamp,
    ) -> Outcome<Vec<Inside>> {
        // What has changed since it was hashed is hashed outside the mutexes again.
        let mut has_to_be_hashed = !self.places_to_be_hashed(&[from, to], precondition, now)?.is_empty();
        for (path, seen) in [(from, source), (to, target)] {
            has_to_be_hashed |= matches!(seen, Seen::File(file) if self.asks_for_content_at(path, precondition, now)
                && file.is_quiet() && self.is_to_be_hashed(path, &file.status.stamp, now));
        }
        if has_to_be_hashed {
            return Err(Refusal::ChangedMeanwhile.into());
        }
        let known_source = self.identify_for(from, source, precondition, now)?;
        let known_target = self.identify_for(to, target, precondition, now)?;
        let by_source = there(source, known_source.as_ref());
        if let Decision::Refuse(header) = precondition.decide(by_source.target(), Intent::Change) {
            let (of, current) = (Subject::judged(from, by_source.target()), known_source.as_ref().map(current));
            return Err(Refusal::PreconditionFailed { header, of, current }.into());
        }
        if let Some(states) = precondition.states() {
            let holds = states.lists.hold(&states.asked, |place| {
                let place = self.spelled_to_read(place)?;
                let tokens = self.tokens_on(&place, now);
                match &*place {
                    place if place == from => Ok(Standing { tokens, there: by_source.clone() }),
                    place if place == to => Ok(Standing { tokens, there: there(target, known_target.as_ref()) }),
                    place => self.standing(place, states.lists.asks_for_content(&states.asked, place), now),
                }
            });
            if !holds? {
                let by_target = there(target, known_target.as_ref());
                let judged = [(from, &by_source, &known_source), (to, &by_target, &known_target)];
                return Err(self.states_failed(states, &judged));
            }
        }
        if known_source.is_some() && !precondition.names_a_version(now) {
            self.judge_named((from, End::Target), precondition, known_source.as_ref(), now)?;
        }
        if known_target.is_some() && may_replace {
            self.judge_named((to, End::Destination), precondition, known_target.as_ref(), now)?;
        }
        if !may_replace && !matches!(target, Seen::Nothing) {
            let by_target = there(target, known_target.as_ref());
            let (of, current) = (Subject::judged(to, by_target.target()), known_target.as_ref().map(current));
            return Err(Refusal::PreconditionFailed { header: Header::Overwrite, of, current }.into());
        }
        self.judge_locks(from, precondition, Touches::Tree, now)?;
        let touches = if matches!(target, Seen::Nothing) { Touches::Membership } else { Touches::Tree };
        self.judge_locks(to, precondition, touches, now)?;
        let mut inside = Vec::new();
        for (path, seen, known) in [(from, source, &known_source), (to, target, &known_target)] {
            inside = match seen {
                Seen::Collection(_) => self.judge_pins_inside(path, precondition, now)?.into_files()?,
                _ => self.judge_pins(path, precondition, known.as_ref(), now).map(|()| Vec::new())?,
            };
        }
        Ok(inside)
    }

    /// Hashes the large files whose content a MOVE asks for before any mutex is taken: what is remembered of them then is enough under it.
    pub(super) fn hash_beforehand(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) {
        let itself = if self.asks_for_content_at(path, precondition, now) { vec![path.clone()] } else { Vec::new() };
        let inside = self.pinned_contents_inside(path, precondition, now);
        let elsewhere = self.places_to_be_hashed(&[path], precondition, now).unwrap_or_default();
        for file in itself.into_iter().chain(inside).chain(elsewhere) {
            // Whatever is wrong with it is told by the look.
            let _ = self.read_hashed(&file, now);
        }
    }

    /// Which version a file is that a look found; hashed whatever its size if the headers or the locks ask for its content.
    fn identify_for(
        &self,
        path: &SharePath,
        seen: &Seen,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<Option<Identity>> {
        let Seen::File(file) = seen else { return Ok(None) };
        let asks = self.asks_for_content_at(path, precondition, now);
        let effort = if asks { Effort::Hash } else { Effort::HashSmall };
        Ok(Some(self.identify_seen(path, file, effort, now)?))
    }

    /// Whether the content of what is at a path has to be known to judge the headers and the locks.
    fn asks_for_content_at(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> bool {
        let is_it = |place: &&SharePath| self.spelled_to_read(place).is_ok_and(|place| *place == *path);
        let by_states = |states: &States| {
            let places = states.lists.paths(&states.asked);
            places.into_iter().filter(is_it).any(|place| states.lists.asks_for_content(&states.asked, place))
        };
        precondition.asks_for_content()
            || precondition.states().is_some_and(by_states)
            || self.pins_ask_for_content(path, precondition, now)
    }

    /// Whether a large file still has to be hashed before its content is known, for which no mutex is held. What was hashed in the very state that
    /// it is in, and cannot be told from another that the same second may bring, is never known any better.
    pub(super) fn is_to_be_hashed(&self, path: &SharePath, stamp: &Stamp, now: Timestamp) -> bool {
        let was_hashed = || self.index.recall_unsettled(stamp).is_some_and(|known| known.hash.is_some());
        self.is_large(stamp) && self.recall(path, stamp, Effort::Hash, now).is_none() && !was_hashed()
    }

    /// The large files that `If` asks for, at other places than those whose mutexes are held, and that still have to be hashed. What a program
    /// is writing has no hash yet, and fulfils no condition that names one.
    fn places_to_be_hashed(
        &self,
        held: &[&SharePath],
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<Vec<SharePath>> {
        let Some(states) = precondition.states() else { return Ok(Vec::new()) };
        let disk = self.tree.disk();
        let mut places = Vec::new();
        for place in states.lists.paths(&states.asked) {
            let spelled = self.spelled_to_read(place)?;
            if held.contains(&&*spelled) || !states.lists.asks_for_content(&states.asked, place) {
                continue;
            }
            let opened = self.tree.steadily_beside(&spelled, || disk.open_path(&disk.root()?, spelled.as_bytes()));
            // Whatever is wrong with it is told when it is judged.
            if let Ok(Opened::File(file, status)) = opened
                && self.is_to_be_hashed(&spelled, &status.stamp, now)
                && !matches!(disk.lease(&file, Duration::ZERO), Ok(Leased::Busy))
            {
                places.push(spelled.into_owned());
            }
        }
        Ok(places)
    }

    /// Judges the conditional headers where nothing is there.
    pub(super) fn judge_nothing_there(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<()> {
        self.judge_conditions(path, precondition, Target::Nothing, None, now)
    }

    pub(super) fn judge_conditions(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        target: Target<'_>,
        identity: Option<&Identity>,
        now: Timestamp,
    ) -> Outcome<()> {
        let current = || identity.map(current);
        match precondition.decide(target, Intent::Change) {
            Decision::Proceed => {}
            Decision::Refuse(header) => {
                let of = Subject::judged(path, target);
                return Err(Refusal::PreconditionFailed { header, of, current: current() }.into());
            }
            Decision::NotModified => unreachable!("only a read is told that nothing has changed"),
        }
        let Some(states) = precondition.states() else { return Ok(()) };
        if self.states_hold(path, states, target, now)? {
            return Ok(());
        }
        Err(self.states_failed(states, &[(path, &There::from(target), &identity.cloned())]))
    }

    /// Judges the conditional headers, but for `If`, by what is at a path that no mutex is held of: the source of a COPY, and what a lock is on that
    /// is refreshed or given back.
    pub(super) fn judge_headers(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> Outcome<()> {
        let there = self.standing(path, precondition.asks_for_content(), now)?.there;
        let Decision::Refuse(header) = precondition.decide(there.target(), Intent::Change) else { return Ok(()) };
        let of = Subject::judged(path, there.target());
        Err(Refusal::PreconditionFailed { header, of, current: self.describe_at(path, now) }.into())
    }

    /// Judges the conditional headers of a COPY by what was copied: the source may have changed since it was judged.
    pub(super) fn judge_copied(
        &self,
        path: &SharePath,
        of: &Stamp,
        hash: &ContentHash,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<()> {
        let known = self.identity_with_hash(path, of, hash, now);
        match precondition.decide(Target::File(&known.validators), Intent::Change) {
            Decision::Refuse(header) => {
                let (of, current) = (Subject::file(path), Some(current(&known)));
                Err(Refusal::PreconditionFailed { header, of, current }.into())
            }
            _ => Ok(()),
        }
    }

    /// Judges what a PROPFIND demands: `If-Match` and `If`. The other conditional headers are not heeded there.
    pub fn judge_read(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> Outcome<()> {
        let path = &*self.spelled_to_read(path)?;
        let standing = self.standing(path, precondition.asks_for_content(), now)?;
        if !precondition.if_match_holds(standing.there.target()) {
            let (of, current) = (Subject::judged(path, standing.there.target()), self.describe_at(path, now));
            return Err(Refusal::PreconditionFailed { header: Header::IfMatch, of, current }.into());
        }
        self.judge_states_alone(path, precondition, now)
    }

    /// Judges the `If` header of a GET.
    pub fn judge_states(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> Outcome<()> {
        let path = &*self.spelled(path)?;
        self.judge_states_alone(path, precondition, now)
    }

    /// Judges the `If` header of a request that replaces nothing.
    pub(super) fn judge_states_alone(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<()> {
        let Some(states) = precondition.states() else { return Ok(()) };
        let look = |place: &SharePath| self.standing(place, states.lists.asks_for_content(&states.asked, place), now);
        if states.lists.hold(path, look)? {
            return Ok(());
        }
        Err(self.states_failed(states, &[]))
    }

    /// Why an `If` header does not hold: the first place that it asks about, with what was judged there.
    fn states_failed(&self, states: &States, judged: &[(&SharePath, &There, &Option<Identity>)]) -> Stop {
        let place = states.lists.first_path(&states.asked).unwrap_or(&states.asked);
        let place = self.spelled(place).unwrap_or(Cow::Borrowed(place));
        let found = judged.iter().find(|(path, ..)| **path == *place);
        let of = found.map_or_else(|| Subject::file(&place), |(path, there, _)| Subject::judged(path, there.target()));
        let current = found.and_then(|(.., identity)| identity.as_ref().map(current));
        Refusal::PreconditionFailed { header: Header::If, of, current }.into()
    }

    /// What is at a path that no mutex is held of, for a client that is refused.
    fn describe_at(&self, path: &SharePath, now: Timestamp) -> Option<Current> {
        let listed = self.resource(path, true, now).ok()?;
        Some(Current { tag: listed.tag?, modified: listed.modified, size: listed.size })
    }

    /// Whether the `If` header holds: what it asks of the target is judged by what was just seen there, other places are looked at.
    fn states_hold(&self, path: &SharePath, states: &States, target: Target<'_>, now: Timestamp) -> Outcome<bool> {
        states.lists.hold(&states.asked, |place| {
            let spelled = self.spelled_to_read(place)?;
            let asks_for_content = states.lists.asks_for_content(&states.asked, place);
            // Named by another path, it was looked at without knowing what would be asked of its content.
            if *spelled == *path && (*place == states.asked || !asks_for_content) {
                return Ok(Standing { tokens: self.tokens_on(path, now), there: There::from(target) });
            }
            self.standing(&spelled, asks_for_content, now)
        })
    }

    /// What an `If` header can ask about a place that is not the target.
    fn standing(&self, path: &SharePath, asks_for_content: bool, now: Timestamp) -> Outcome<Standing> {
        let disk = self.tree.disk();
        let place = self.tree.spelled(path, LastLink::Followed);
        let path = place.as_deref().unwrap_or(path);
        let opened = match &place {
            Ok(path) => self.tree.steadily_beside(path, || disk.open_path(&disk.root()?, path.as_bytes())),
            Err(error) => Err(error.clone()),
        };
        let there = match opened {
            Ok(Opened::Dir(_)) => There::Collection,
            Ok(Opened::File(file, status)) => {
                let effort = if asks_for_content { Effort::Hash } else { Effort::HashSmall };
                There::File(self.identify(path, &file, &status, effort, now)?.validators)
            }
            Ok(Opened::Nothing | Opened::Link) => There::Nothing,
            // It is there, and has no tag.
            Ok(Opened::Special) => There::Collection,
            Err(error)
                if matches!(error.cause, Cause::NotFound | Cause::NotADirectory | Cause::Escapes | Cause::Reserved) =>
            {
                There::Nothing
            }
            // What cannot be looked at must not make a condition true that asks for nothing to be there.
            Err(error) => return Err(error.into()),
        };
        Ok(Standing { tokens: self.tokens_on(path, now), there })
    }

    fn tokens_on(&self, path: &SharePath, now: Timestamp) -> Vec<LockToken> {
        self.locks_covering(path, now).iter().map(|lock| lock.token.clone()).collect()
    }
}
