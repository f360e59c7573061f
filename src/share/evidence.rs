//! The evidence for the verdict on a change: what is at each name that is changed, and the answers to what [`verdict::judge`] asks about it, each
//! found out when it is asked.

use crate::model::extent::Extent;
use crate::model::lock_table::Touches;
use crate::model::path::SharePath;
use crate::model::precondition::{Decision, Intent};
use crate::model::rights::Rights;
use crate::model::state_list::Standing;
use crate::model::validators::Target;
use crate::model::verdict::{self, Change, Deed, Evidence, Found, Obstacle};
use crate::store::disk_error::DiskError;
use crate::store::local::commit::{Inside, Seen, Site};

use super::identity::{Effort, Identity};
use super::outcome::{End, Forbidden, Outcome, Refusal, Stop, Subject};
use super::pins::Pinned;
use super::request_context::RequestContext;
use super::shared_folder::Share;

/// A name that is to be changed, and what is known of it.
pub(super) struct AtName<'a> {
    pub(super) change: Change,
    pub(super) path: &'a SharePath,
    /// Where that is; `None` for the share itself, and for a path whose folder is not there.
    pub(super) site: Option<&'a Site>,
    /// What a look found, under the mutex of the name.
    pub(super) seen: Option<&'a Seen>,
    /// What the request demands of it.
    pub(super) request: &'a RequestContext,
    /// Which version the file there is, once that is known.
    pub(super) identity: Option<Identity>,
}

/// When a change is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before the body of an upload has come: what takes a large file's hash to say is left to the commit.
    Early,
    /// Under the mutexes, in the instant before the swap.
    Commit,
}

/// Why a change is not made now.
#[derive(Debug)]
pub(super) enum Halt {
    /// Not at all.
    Stop(Stop),
    /// Large files have to be hashed first, outside the mutexes.
    HashFirst(Vec<SharePath>),
}

impl AtName<'_> {
    /// What is there, as a condition can ask about it.
    fn target(&self) -> Target<'_> {
        match (self.change.found, &self.identity) {
            (_, Some(known)) => Target::from(&known.validators),
            (Found::Nothing | Found::Link, None) => Target::Nothing,
            (Found::Collection, None) => Target::Collection,
            (Found::File | Found::BusyFile | Found::Special, None) => Target::Unidentified,
        }
    }

    /// Which end of the request it is.
    fn end(&self) -> End {
        if matches!(self.change.deed, Deed::Copy | Deed::MoveOnto) { End::Destination } else { End::Target }
    }
}

/// What a look found, for the verdict.
pub(super) fn found(seen: &Seen) -> Found {
    match seen {
        Seen::Nothing => Found::Nothing,
        Seen::Collection(_) => Found::Collection,
        Seen::File(_) => Found::File,
        Seen::Busy(_) => Found::BusyFile,
        Seen::Link => Found::Link,
        Seen::Special => Found::Special,
    }
}

/// What is found out about the names that one request changes.
struct Gathered<'a> {
    share: &'a Share,
    names: Vec<AtName<'a>>,
    /// Of each name that leads to a folder which goes, the files that it goes with and no others.
    inside: Vec<Vec<Inside>>,
    moment: Moment,
}

impl Share {
    /// Judges a change. Says of each folder that goes with which files alone it may go.
    pub(super) fn judge(&self, names: Vec<AtName<'_>>, moment: Moment) -> Result<Vec<Vec<Inside>>, Halt> {
        if let (Moment::Commit, Some(name)) = (moment, names.first()) {
            name.request.permissions.look_again();
        }
        let changes: Vec<Change> = names.iter().map(|name| name.change).collect();
        let inside = names.iter().map(|_| Vec::new()).collect();
        let mut gathered = Gathered { share: self, names, inside, moment };
        verdict::judge(&changes, &mut gathered)?;
        Ok(gathered.inside)
    }

    /// Judges a change where neither anything nor a folder for it is.
    pub(super) fn judge_where_nothing_is(&self, path: &SharePath, request: &RequestContext, deed: Deed) -> Outcome<()> {
        let is_fit_name = path.split().is_some_and(|(_, name)| name.may_be_made());
        let change = Change { deed, found: Found::Nothing, is_mount_point: false, is_fit_name, brings_folder: false };
        let name = AtName { change, path, site: None, seen: None, request, identity: None };
        Ok(self.judge(vec![name], Moment::Early).map(drop)?)
    }

    /// Judges by the policy of required preconditions whether the version of a file is named that a change takes away, where the conditional
    /// headers of RFC 9110 do not name it.
    fn judge_named(&self, name: &AtName<'_>) -> Outcome<()> {
        let AtName { path, request, identity, .. } = name;
        let is_named = || self.states_name(path, request) || self.is_pinned(path, request);
        if !self.settings.require_preconditions || request.precondition.names_a_version(request.now) || is_named() {
            return Ok(());
        }
        let (of, current) = (Subject::file(path), identity.as_ref().map(Identity::current));
        Err(Refusal::PreconditionRequired { of, end: name.end(), current }.into())
    }
}

impl Gathered<'_> {
    /// Finds out which version the file at a name is, as far as the headers and the locks ask.
    fn identify(&mut self, at: usize) -> Result<(), Halt> {
        let share = self.share;
        let AtName { path, request, seen, change, identity, .. } = &mut self.names[at];
        let Some(Seen::File(file)) = seen else { return Ok(()) };
        let asks = share.asks_for_content_at(path, request);
        if asks && file.is_unbroken() && share.is_to_be_hashed(path, &file.status.stamp, request.now) {
            return Err(Halt::HashFirst(vec![path.clone()]));
        }
        let effort = match (asks, change.deed.tells_of_what_is_there()) {
            (true, _) => Effort::Hash,
            (false, true) => Effort::HashSmall,
            (false, false) => Effort::Recall,
        };
        *identity = Some(share.identify_seen(path, file, effort, request.now)?);
        Ok(())
    }

    /// Whether it is an upload to the very file that a LOCK of the same principal has made, and to which nothing has happened since: many
    /// clients lock a name before they store something there.
    fn fills_what_its_lock_made(&self, at: usize) -> bool {
        let AtName { path, request, change, seen, identity, .. } = &self.names[at];
        let stamp = match seen {
            Some(Seen::File(file)) => Some(file.status.stamp),
            _ => identity.as_ref().map(|known| known.stamp),
        };
        let Some(stamp) = stamp.filter(|_| change.deed == Deed::Put) else { return false };
        request.permissions.at(path).contains(Rights::CREATE)
            && self.share.submitted_on(path, request).iter().any(|lock| lock.has_made(path, &stamp))
    }

    /// Whether something is left to the commit, since it takes the hash of a large file.
    fn is_left(&self, at: usize, asks_for_content: impl FnOnce() -> bool) -> bool {
        let is_unhashed = self.names[at].identity.as_ref().is_some_and(|known| known.hash.is_none());
        self.moment == Moment::Early && is_unhashed && asks_for_content()
    }
}

impl Evidence for Gathered<'_> {
    type Refusal = Halt;

    fn refusal_of(&self, at: usize, obstacle: Obstacle) -> Halt {
        let AtName { change, path, request, .. } = &self.names[at];
        let refusal = match obstacle {
            Obstacle::NothingThere => Refusal::NotFound,
            Obstacle::BadName => Refusal::BadName,
            Obstacle::Exists => Refusal::Exists { is_collection: change.found == Found::Collection },
            Obstacle::IsCollection => Refusal::IsCollection,
            Obstacle::NotFree => Refusal::NotFree,
            Obstacle::Link if change.deed.means_links_themselves() => self.share.refusal_of_link(path, request),
            Obstacle::Link => Refusal::NotAllowed(Forbidden::Link),
            Obstacle::Special => Refusal::NotAllowed(Forbidden::Special),
            Obstacle::MountPoint => Refusal::NotAllowed(Forbidden::MountPoint),
            Obstacle::OpenForWriting => Refusal::OpenForWriting,
        };
        refusal.into()
    }

    fn is_known(&mut self, at: usize) -> Result<(), Halt> {
        let AtName { path, request, .. } = &self.names[at];
        // Whoever may make something there finds out whether something is there already.
        Ok(self.share.is_permitted(path, Rights::all().difference(Rights::HISTORY), request)?)
    }

    fn is_permitted(&mut self, at: usize, rights: Rights, extent: Extent) -> Result<(), Halt> {
        let AtName { path, request, .. } = &self.names[at];
        let lacking = rights.difference(request.permissions.over(extent, path));
        if lacking.is_empty() || (lacking == Rights::OVERWRITE && self.fills_what_its_lock_made(at)) {
            return Ok(());
        }
        Err(Refusal::NotPermitted.into())
    }

    fn demands_nothing_there(&self, at: usize) -> bool {
        self.names[at].request.precondition.demands_nothing_there()
    }

    fn disk_allows(&mut self, at: usize) -> Result<(), Halt> {
        let AtName { change, site, .. } = &self.names[at];
        let Some(site) = site else { return Ok(()) };
        match change.found {
            Found::Nothing if change.deed.makes_something() => self.share.judge_held(site)?,
            Found::Collection if change.deed.takes_trees() => self.share.judge_mounts(site)?,
            _ => {}
        }
        Ok(())
    }

    fn headers_hold(&mut self, at: usize) -> Result<(), Halt> {
        self.identify(at)?;
        let name = &self.names[at];
        if self.is_left(at, || name.request.precondition.asks_for_content()) {
            return Ok(());
        }
        let target = name.target();
        match name.request.precondition.decide(&target, Intent::Change) {
            Decision::Proceed => Ok(()),
            Decision::Refuse(header) => {
                let of = self.share.subject(name.path, &target, name.identity.as_ref());
                let current = name.identity.as_ref().map(Identity::current);
                Err(Refusal::PreconditionFailed { header, of, current }.into())
            }
            Decision::NotModified => unreachable!("only a read is told that nothing has changed"),
        }
    }

    fn states_hold(&mut self) -> Result<(), Halt> {
        let Self { share, ref names, moment, .. } = *self;
        // It is one header, whichever of the names it is asked of.
        let request = names[0].request;
        let Some(states) = request.precondition.states() else { return Ok(()) };
        if self.is_left(0, || request.precondition.asks_for_content()) {
            return Ok(());
        }
        let paths: Vec<&SharePath> = names.iter().map(|name| name.path).collect();
        if moment == Moment::Commit {
            let elsewhere = share.places_to_be_hashed(&paths, request)?;
            if !elsewhere.is_empty() {
                return Err(Halt::HashFirst(elsewhere));
            }
        }
        let holds = states.lists.hold(&states.asked, |place| {
            let spelled = share.spelled_to_read(place)?;
            let asks_for_content = states.lists.asks_for_content(&states.asked, place);
            // Early, what has another path was looked at without knowing what would be asked of its content.
            let is_known = moment == Moment::Commit || *place == states.asked || !asks_for_content;
            let standing = match names.iter().find(|name| *name.path == *spelled).filter(|_| is_known) {
                Some(name) => {
                    let (tokens, there) = (share.tokens_on(&spelled, request.now), name.target());
                    Standing { tokens, there, ..Standing::default() }
                }
                None => share.standing(&spelled, asks_for_content, request)?,
            };
            Ok(share.with_sync_tokens(standing, &spelled, &states.lists, &paths, request))
        });
        if holds.map_err(|stop: Stop| stop)? {
            return Ok(());
        }
        let judged = names.iter().map(|name| (name.path, name.target(), name.identity.as_ref()));
        Err(share.states_failed(states, &judged.collect::<Vec<_>>()).into())
    }

    fn version_is_named(&mut self, at: usize) -> Result<(), Halt> {
        let request = self.names[at].request;
        // Whoever asks for what cannot be judged yet is told of that first.
        if self.is_left(at, || request.precondition.asks_for_content()) {
            return Ok(());
        }
        Ok(self.share.judge_named(&self.names[at])?)
    }

    fn locks_are_submitted(&mut self, at: usize, touches: Touches) -> Result<(), Halt> {
        let name = &self.names[at];
        Ok(self.share.judge_locks(name.path, name.request, touches)?)
    }

    fn pins_hold(&mut self, at: usize) -> Result<(), Halt> {
        let Self { share, ref names, .. } = *self;
        let AtName { path, request, change, identity, .. } = &names[at];
        if change.found == Found::Collection {
            match share.judge_pins_inside(path, request)? {
                Pinned::AsTheyWere(files) => self.inside[at] = files,
                Pinned::Unhashed(files) => return Err(Halt::HashFirst(files)),
            }
            return Ok(());
        }
        if self.is_left(at, || share.pins_ask_for_content(path, request)) {
            return Ok(());
        }
        Ok(share.judge_pins(path, request, identity.as_ref())?)
    }

    fn nothing_was_refused_lately(&mut self, at: usize) -> Result<(), Halt> {
        let AtName { path, request, identity, .. } = &self.names[at];
        let Some(known) = identity else { return Ok(()) };
        Ok(self.share.judge_removal(path, request, known)?)
    }
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Stop(refusal.into())
    }
}

impl From<DiskError> for Halt {
    fn from(error: DiskError) -> Self {
        Self::Stop(error.into())
    }
}

impl From<Halt> for Stop {
    /// What cannot be hashed now has changed since it was.
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Stop(stop) => stop,
            Halt::HashFirst(_) => Refusal::ChangedMeanwhile.into(),
        }
    }
}
