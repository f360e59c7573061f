//! The watcher: what other programs do to the folder becomes hints, which wake the share up.
//!
//! Events wake us up; they never tell us the truth. The truth is what the share sees when it looks, so every promise holds with the
//! watcher off, blind or overwhelmed. Setting watches never delays anybody: it happens on a thread of its own.
//!
//! It sees what the kernel tells this machine: nothing that others do to a network or FUSE file system from elsewhere, no stores into
//! a mapped file until it is closed, no writes by a hard link outside of the share, nothing below a file system that is mounted into
//! the share later; and what is reached by a link it sees at its own path only.

mod folders;
mod gathering;
mod nameless;
mod settling;
mod state;

use std::collections::BTreeSet;
use std::mem::{Discriminant, discriminant};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use notify::Event;
use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RemoveKind};
use parking_lot::{Condvar, Mutex};

use crate::log::escaped;
use crate::model::path::SharePath;
use crate::model::stamp::Timestamp;
use crate::os::open_folder::FolderIdentity;
use crate::share::{Hint, Share};

use folders::Folders;
use gathering::Gathering;
use nameless::NamelessFiles;
use settling::Settling;

pub use state::{Reason, WatchState};

/// How often it is asked whether the folder that is served is still the one that is watched. No event tells of a mount.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long to wait before all watches are set anew, at least; and how many times as long as setting them took, so that a large
/// folder in which much goes on does not keep a core busy.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_FACTOR: u32 = 10;

/// How long to wait for a watcher where none could be had.
const RETRY_EVERY: Duration = Duration::from_secs(60);

/// How many folders wait to be watched before all watches are set anew.
const FOLDERS_MAX: usize = 16 * 1024;

/// A share that is being watched; dropping it stops that, and no hint is given any more.
#[derive(Debug)]
#[must_use = "watching stops when this is dropped"]
pub struct Watch {
    inbox: Arc<Inbox>,
    hints: Option<JoinHandle<()>>,
}

/// Watches the folder of a share. Returns at once; see [`Watch::state`].
pub fn start(share: Arc<Share>, folder: &Path) -> Watch {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let inbox = Arc::new(Inbox::of(folder));
    let watched = Arc::downgrade(&share);
    let hints = spawn("hints", &inbox, move |inbox| give_hints(&share, inbox));
    // It is not waited for at the end: it may be in the middle of a large folder.
    spawn("watches", &inbox, move |inbox| keep_watching(&watched, inbox));
    Watch { inbox, hints }
}

impl Watch {
    /// How far it has come.
    pub fn state(&self) -> WatchState {
        self.inbox.contents.lock().state.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.inbox.contents.lock().stops = true;
        self.inbox.hints.notify_all();
        self.inbox.folders.notify_all();
        if let Some(hints) = self.hints.take() {
            // A panic in there has been told of by the panic itself.
            let _ = hints.join();
        }
    }
}

/// Where the thread of the watcher, which must not wait for what is done about events, puts what the two of ours take out.
#[derive(Debug)]
struct Inbox {
    /// The folder's path, to tell of it.
    folder: PathBuf,
    contents: Mutex<Contents>,
    /// Not among the contents, since a file system may be long in answering when it is asked for a name.
    nameless: Mutex<NamelessFiles>,
    hints: Condvar,
    folders: Condvar,
}

#[derive(Debug, Default)]
struct Contents {
    settling: Settling,
    /// Where a folder may have come or gone.
    folders: BTreeSet<SharePath>,
    events_lost: bool,
    stops: bool,
    state: WatchState,
    told: Vec<Discriminant<Reason>>,
}

impl Inbox {
    fn of(folder: PathBuf) -> Self {
        let (hints, folders) = (Condvar::new(), Condvar::new());
        Self { folder, contents: Mutex::default(), nameless: Mutex::default(), hints, folders }
    }

    /// Takes in one event, in which paths begin with `top`. Lost events come with or without paths, so that is asked first.
    fn take_in(&self, top: &Path, event: notify::Result<Event>) {
        let Ok(event) = event else { return self.lose_events() };
        if event.need_rescan() {
            self.lose_events();
        }
        let Some(kind) = FileEvent::of(&event.kind) else { return };
        for path in &event.paths {
            if kind != FileEvent::Written {
                self.nameless.lock().came_or_went(path);
            } else if self.nameless.lock().contain(path) {
                continue;
            }
            // What is noclobber's own does not parse.
            let Some(path) = share_path(top, path) else { continue };
            match kind {
                FileEvent::Written | FileEvent::CameOrWent => self.hint(Hint::Path(path)),
                FileEvent::MaybeFolder => {
                    self.follow(path.clone());
                    self.hint(Hint::Subtree(path));
                }
            }
        }
    }

    /// Hints settle before they are given. Whoever waits for the first needs no waking for the next, which cannot be due earlier.
    fn hint(&self, hint: Hint) {
        let mut contents = self.contents.lock();
        if contents.settling.is_empty() {
            self.hints.notify_one();
        }
        contents.settling.take_in(hint, Instant::now());
    }

    /// Has it looked at whether a folder must be watched there.
    fn follow(&self, path: SharePath) {
        let mut contents = self.contents.lock();
        if contents.folders.len() < FOLDERS_MAX || contents.folders.contains(&path) {
            contents.folders.insert(path);
            self.folders.notify_one();
        } else {
            drop(contents);
            self.lose_events();
        }
    }

    fn lose_events(&self) {
        self.degrade(Reason::EventsLost);
        self.contents.lock().events_lost = true;
        self.nameless.lock().clear();
        self.folders.notify_one();
        self.hint(Hint::Anywhere);
    }

    /// Says each reason once in the log, but for the folder that is gone: that is not about watching.
    fn degrade(&self, reason: Reason) {
        let mut contents = self.contents.lock();
        contents.state = WatchState::Degraded(reason.clone());
        let kind = discriminant(&reason);
        if contents.told.contains(&kind) || reason == Reason::FolderGone {
            return;
        }
        contents.told.push(kind);
        drop(contents);
        let folder = self.folder.to_string_lossy();
        tracing::warn!(
            "what other programs do in {} is not all noticed at once: {reason}; no promise depends on that",
            escaped(&folder)
        );
    }

    /// Waits for hints that have settled; `None` at the end.
    fn next_hints(&self) -> Option<Vec<Hint>> {
        let mut contents = self.contents.lock();
        while !contents.stops {
            let now = Instant::now();
            match contents.settling.next_due() {
                Some(due) if due <= now => return Some(contents.settling.settled(now)),
                Some(due) => drop(self.hints.wait_for(&mut contents, due - now)),
                None => self.hints.wait(&mut contents),
            }
        }
        None
    }

    /// Waits until a folder may have come or gone, at most until `until`; takes out where. Once events were lost it waits only until
    /// the watches may be set anew.
    fn next_folders(&self, until: Instant, again_from: Instant) -> BTreeSet<SharePath> {
        let mut contents = self.contents.lock();
        while !contents.stops && contents.folders.is_empty() {
            let until = if contents.events_lost { until.min(again_from) } else { until };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.folders.wait_for(&mut contents, left);
        }
        std::mem::take(&mut contents.folders)
    }

    fn pause(&self, until: Instant) {
        let mut contents = self.contents.lock();
        while !contents.stops && Instant::now() < until {
            self.folders.wait_for(&mut contents, until.saturating_duration_since(Instant::now()));
        }
    }

    fn goes_on(&self) -> bool {
        !self.contents.lock().stops
    }

    fn has_lost_events(&self) -> bool {
        self.contents.lock().events_lost
    }
}

/// Gives the share every hint that has settled.
fn give_hints(share: &Share, inbox: &Inbox) {
    while let Some(hints) = inbox.next_hints() {
        for hint in hints {
            if !inbox.goes_on() {
                return;
            }
            share.noticed(&hint, Timestamp::from_system(SystemTime::now()));
        }
    }
}

/// Has the folder watched, by one watcher after the other: events that were lost may have told of folders.
fn keep_watching(share: &Weak<Share>, inbox: &Arc<Inbox>) {
    while inbox.goes_on() {
        let began = Instant::now();
        let again_after = match set_up(share, inbox) {
            Ok(folders) => {
                let pause = PAUSE_MIN.max(began.elapsed() * PAUSE_FACTOR);
                follow_changes(share, inbox, folders, Instant::now() + pause);
                continue;
            }
            Err(Reason::FolderGone) => {
                inbox.degrade(Reason::FolderGone);
                LOOK_EVERY
            }
            Err(reason) => {
                inbox.degrade(reason);
                RETRY_EVERY
            }
        };
        inbox.pause(began + again_after);
    }
}

/// Watches every folder there is. What happened before its watch was there may have gone unnoticed, so anything may have.
fn set_up(share: &Weak<Share>, inbox: &Arc<Inbox>) -> Result<Folders, Reason> {
    let taking_in = Arc::clone(inbox);
    let opened = share.upgrade().map_or(Ok(None), |share| share.open_folder());
    let folder = opened.map_err(|error| Reason::Unavailable(error.to_string()))?.ok_or(Reason::FolderGone)?;
    let mut gathering = Gathering::new(Instant::now());
    let mut folders = Folders::begin(folder, move |top, event| {
        if let Some(pause) = gathering.pause(Instant::now()) {
            std::thread::sleep(pause);
            gathering.have_gathered(Instant::now());
        }
        taking_in.take_in(top, event);
        gathering.took_in(Instant::now());
    })?;
    inbox.contents.lock().events_lost = false;
    inbox.nameless.lock().clear();
    match folders.watch_below(vec![SharePath::root()], || inbox.goes_on()) {
        // Better some hints than none.
        Err(Reason::TooFewWatches) => inbox.degrade(Reason::TooFewWatches),
        Err(reason) => return Err(reason),
        Ok(()) if inbox.has_lost_events() => {}
        Ok(()) => inbox.contents.lock().state = WatchState::Watching,
    }
    inbox.hint(Hint::Anywhere);
    Ok(folders)
}

/// Which folder is served, if one is.
fn served(share: &Weak<Share>) -> Option<FolderIdentity> {
    share.upgrade()?.folder_identity()
}

/// Goes on watching the folders that come, until events are lost or another folder is served.
fn follow_changes(share: &Weak<Share>, inbox: &Inbox, mut folders: Folders, again_from: Instant) {
    while inbox.goes_on() {
        let changed = inbox.next_folders(Instant::now() + LOOK_EVERY, again_from);
        if !served(share).is_some_and(|folder| folders.are_of(folder)) {
            inbox.contents.lock().state = WatchState::Setting;
            inbox.hint(Hint::Anywhere);
            break;
        }
        if inbox.has_lost_events() && Instant::now() >= again_from {
            break;
        }
        let found = folders.only_folders(&changed);
        if let Err(reason) = folders.watch_below(found.clone(), || inbox.goes_on()) {
            inbox.degrade(reason);
        }
        // They are looked at once more now that nothing in them goes unnoticed.
        found.into_iter().for_each(|folder| inbox.hint(Hint::Subtree(folder)));
    }
    folders.end();
}

/// What an event tells, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileEvent {
    /// The bytes of something, or what is known about it, have changed; or whoever wrote it has closed it.
    Written,
    /// A name that is no folder's was made or removed.
    CameOrWent,
    /// A name was made or removed, and it may be a folder's.
    MaybeFolder,
}

impl FileEvent {
    /// `None` if nothing has changed.
    fn of(kind: &EventKind) -> Option<Self> {
        Some(match kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Self::Written,
            EventKind::Access(_) => return None,
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => Self::Written,
            EventKind::Create(CreateKind::File) | EventKind::Remove(RemoveKind::File) => Self::CameOrWent,
            _ => Self::MaybeFolder,
        })
    }
}

fn share_path(top: &Path, path: &Path) -> Option<SharePath> {
    let inside = path.strip_prefix(top).ok()?;
    SharePath::parse_disk(inside.as_os_str().as_encoded_bytes()).ok()
}

/// Starts a thread; if none can be had the reason is told.
fn spawn(name: &str, inbox: &Arc<Inbox>, run: impl FnOnce(&Arc<Inbox>) + Send + 'static) -> Option<JoinHandle<()>> {
    let its_inbox = Arc::clone(inbox);
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&its_inbox));
    thread.map_err(|error| inbox.degrade(Reason::Unavailable(error.to_string()))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::ShareSettings;
    use crate::store::catalog::index::Index;
    use crate::store::local::commit::Tree;
    use crate::store::local::os_disk::{Options, OsDisk};
    use notify::event::{DataChange, Flag, MetadataKind, RenameMode};

    /// So long may a machine that is busy with other tests take.
    const LIMIT: Duration = Duration::from_secs(30);

    fn watch_of(folder: &Path) -> Watch {
        let disk = OsDisk::open(folder, Options::default()).expect("the folder is there");
        let settings = ShareSettings {
            keep: None,
            require_preconditions: false,
            tag_threshold: 1,
            hashing_max: 1,
            syncs: true,
            ..ShareSettings::default()
        };
        let now = Timestamp::from_system(SystemTime::now());
        let share = Share::open(Tree::on(Arc::new(disk)), Index::in_memory(), settings, now).expect("it can be shared");
        start(Arc::new(share), folder)
    }

    fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(began.elapsed() < LIMIT, "still waiting for {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn an_event_becomes_a_hint() {
        let made = tempfile::tempdir().expect("a folder can be made");
        std::fs::write(made.path().join("#12"), "a file that is called so").expect("it can be written");
        let path = |text: &str| SharePath::parse_disk(text.as_bytes()).expect(text);
        let data = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let metadata = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
        let renamed = |mode| EventKind::Modify(ModifyKind::Name(mode));
        let closed = |mode| EventKind::Access(AccessKind::Close(mode));
        for (kind, at, expected) in [
            (data, &["a/b"] as &[&str], vec![Hint::Path(path("a/b"))]),
            (metadata, &["a"], vec![Hint::Path(path("a"))]),
            (metadata, &[""], vec![Hint::Path(path(""))]),
            (closed(AccessMode::Write), &["a"], vec![Hint::Path(path("a"))]),
            (closed(AccessMode::Read), &["a"], vec![]),
            (EventKind::Create(CreateKind::File), &["a"], vec![Hint::Path(path("a"))]),
            (EventKind::Create(CreateKind::Folder), &["a"], vec![Hint::Subtree(path("a"))]),
            (EventKind::Remove(RemoveKind::File), &["a"], vec![Hint::Path(path("a"))]),
            (EventKind::Remove(RemoveKind::Folder), &["a"], vec![Hint::Subtree(path("a"))]),
            (EventKind::Remove(RemoveKind::Other), &["a"], vec![Hint::Subtree(path("a"))]),
            (EventKind::Any, &["a"], vec![Hint::Subtree(path("a"))]),
            (renamed(RenameMode::From), &["a"], vec![Hint::Subtree(path("a"))]),
            (renamed(RenameMode::Both), &["a", ".noclobber/history/a/1"], vec![Hint::Subtree(path("a"))]),
            (data, &["sub/.NoClobber/swap/x"], vec![]),
            (data, &["#11"], vec![]),
            (closed(AccessMode::Write), &["#11"], vec![]),
            (data, &["#12"], vec![Hint::Path(path("#12"))]),
            (data, &["#x"], vec![Hint::Path(path("#x"))]),
            (EventKind::Remove(RemoveKind::File), &["#11"], vec![Hint::Path(path("#11"))]),
        ] {
            let inbox = Inbox::of(made.path().to_owned());
            let paths = at.iter().map(|path| made.path().join(path));
            inbox.take_in(made.path(), Ok(paths.fold(Event::new(kind), Event::add_path)));
            assert_eq!(inbox.contents.lock().settling.settled(Instant::now() + LIMIT), expected, "{kind:?} {at:?}");
            assert!(inbox.contents.lock().told.is_empty());
        }
        let inbox = Inbox::of(made.path().to_owned());
        inbox.take_in(made.path(), Ok(Event::new(data).add_path("/elsewhere/a".into())));
        assert!(inbox.contents.lock().settling.is_empty());
    }

    #[test]
    fn lost_events_are_hints_of_everything_with_or_without_a_path() {
        let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        let failed = notify::Error::generic("the queue cannot be read");
        for event in [Ok(lost.clone()), Ok(lost.add_path("/share/a".into())), Err(failed)] {
            let inbox = Inbox::of("/share".into());
            inbox.take_in(Path::new("/share"), event);
            let contents = inbox.contents.lock();
            assert!(contents.events_lost);
            assert_eq!(contents.state, WatchState::Degraded(Reason::EventsLost));
            drop(contents);
            assert_eq!(inbox.contents.lock().settling.settled(Instant::now() + LIMIT), [Hint::Anywhere]);
        }
    }

    #[test]
    fn more_folders_than_can_wait_are_lost_events() {
        let top = Path::new("/share");
        let inbox = Inbox::of(top.to_owned());
        for number in 0..FOLDERS_MAX {
            inbox.take_in(top, Ok(Event::new(EventKind::Any).add_path(format!("/share/{number}").into())));
        }
        assert!(!inbox.has_lost_events());
        inbox.take_in(top, Ok(Event::new(EventKind::Any).add_path("/share/one more".into())));
        assert!(inbox.has_lost_events());
        assert_eq!(inbox.contents.lock().folders.len(), FOLDERS_MAX);
    }

    /// The thread of the watcher is held up while more happens than the kernel's queue holds. The folders whose events were lost are
    /// watched all the same in the end, and the log speaks of it once.
    #[test]
    fn a_queue_that_overflows_is_made_good() {
        let queue = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
        let queue: usize = queue.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(16_384);
        if queue > 50_000 {
            println!("left out: a_queue_that_overflows_is_made_good: the kernel's queue holds {queue} events");
            return;
        }
        let made = tempfile::tempdir().expect("a folder can be made");
        // The kernel drops an event that is the same as the last, so two files take turns.
        let files = ["one", "two"].map(|name| std::fs::File::create(made.path().join(name)).expect("it can be made"));
        let watch = watch_of(made.path());
        for round in 0..2 {
            eventually("all folders to be watched", || watch.state() == WatchState::Watching);
            let held_up = watch.inbox.contents.lock();
            // More than fit, and more than the watcher has taken out already.
            for number in 0..queue + 1000 {
                files[number % 2].set_modified(SystemTime::now()).expect("it can be touched");
            }
            let lost = format!("lost-{round}/below");
            std::fs::create_dir_all(made.path().join(&lost)).expect("a folder can be made");
            drop(held_up);
            eventually("the overflow", || watch.inbox.contents.lock().told == [discriminant(&Reason::EventsLost)]);
            eventually("a hint of what happens in the folder", || {
                std::fs::write(made.path().join(&lost).join("file"), "x").expect("it can be written");
                let path = SharePath::parse_disk(lost.as_bytes()).expect("a clean path");
                let contents = watch.inbox.contents.lock();
                contents.settling.waits_within(&path)
            });
        }
        assert_eq!(watch.inbox.contents.lock().told, [discriminant(&Reason::EventsLost)]);
    }
}
