//! `SimDisk`: a disk in memory, on which the real commit runs and every call can fail, crash, or be followed by a stranger's act.
//!
//! It keeps what the doc comments of [`Disk`] promise, counts every call as one step, and remembers what the invariants are judged
//! by: which contents are owed, what strangers gave up themselves, what the server took out and unlinked. It never acts on its
//! own: what happens at which step is said by the [`Plan`].

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::panic;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use noclobber::model::path::{Name, SharePath};
use noclobber::model::stamp::{FileId, Stamp, Timestamp};
use noclobber::store::abilities::{Abilities, Tier};
use noclobber::store::disk_error::{Cause, DiskError, Result};
use noclobber::store::handle::{Dir, File, Opened, RawHandle};
use noclobber::store::lease::{Lease, Leased};
use noclobber::store::local::disk::{Disk, FolderChange, Folding, WatchId};
use noclobber::store::space::Space;
use noclobber::store::status::{Entry, Kind, Status};

use super::stranger::{Act, Hand};

/// What a power cut leaves of a file that was never synced.
pub const TORN: &[u8] = b"\0torn";

/// The user that the simulated server runs as.
pub const USER: u32 = 1000;

/// The folder of noclobber's own: what lies in there is not visible to anybody.
const OWN: &str = ".noclobber";

/// The number of all files, where they have one.
const NUMBER_OF_ALL: u64 = 1 << 40;

/// What the simulated file system can do, and how much room it has.
#[derive(Clone, Debug)]
pub struct Features {
    /// As the probe would find them.
    pub abilities: Abilities,
    /// Whether blocks can be shared.
    pub reflinks: bool,
    /// Whether files have a birth time, which tells a reused inode number apart.
    pub births: bool,
    /// Whether all files have one number, as they may where several file systems are put together by a program.
    pub one_number: bool,
    /// Whether names that differ in the case of letters are one.
    pub folds: bool,
    /// How many bytes of files fit.
    pub capacity: u64,
    /// How many bytes of its own files the server may have, whatever is free; of all files if it is root.
    pub quota: u64,
    /// Whether the server is root.
    pub root: bool,
    /// Whether what was removed is free only after a sync of the file system.
    pub frees_late: bool,
    /// How far the clock moves at every change and every step.
    pub tick: Duration,
    /// How many folders can be watched at once.
    pub watches: usize,
    /// How many changes wait to be asked for before word is lost.
    pub told_max: usize,
}

/// When, in relation to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Just before it is carried out.
    Before,
    /// Just after.
    After,
}

/// Something that happens at a step; the first step is 1.
#[derive(Clone, Debug)]
pub enum Event {
    /// The call fails and does nothing.
    Fail { at: usize, cause: Cause },
    /// The call does what it should, or half of it if it is a write, and then fails.
    FailAfter { at: usize, cause: Cause },
    /// The server dies.
    Crash { at: usize, when: When },
    /// Another program acts.
    Stranger { at: usize, when: When, act: Act },
    /// Another program acts right after the first call of this name.
    StrangerAfter { operation: &'static str, act: Act },
}

/// All that happens during one run.
pub type Plan = Vec<Event>;

/// What the server's thread panics with when the plan kills it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crashed;

/// How the server died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process was killed: the tree stays as it is.
    Kill,
    /// The power went: of the changes to names since the last directory sync, the first `changes` are on the disk.
    PowerCut { changes: usize },
}

/// Waits for its turn before every step; how a test puts two threads in order.
pub trait Pace: Send + Sync {
    /// Returns when the calling thread may do its next step, which is one that another thread could notice.
    fn before_step(&self);

    /// Whether also those steps count that two threads cannot tell in which order they are done.
    fn counts_all(&self) -> bool {
        false
    }
}

/// The simulated disk. A clone is the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    pace: Mutex<Option<Arc<dyn Pace>>>,
}

/// A line of the trace, put into words only when somebody reads it.
#[derive(Clone, Debug)]
enum Line {
    Step { step: usize, operation: &'static str, label: String, failure: Option<Cause> },
    Said(String),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { step, operation, label, failure: None } => write!(f, "{step:4} {operation} {label}"),
            Self::Step { step, operation, label, failure: Some(cause) } => {
                write!(f, "{step:4} {operation} {label} -> {cause:?}")
            }
            Self::Said(line) => f.write_str(line),
        }
    }
}

/// A directory's names, by the directory's inode. Trees share the names that did not change between them.
type Tree = BTreeMap<u64, Arc<BTreeMap<Vec<u8>, u64>>>;

/// The names in one directory, to be changed; those of earlier trees stay as they are.
fn names(tree: &mut Tree, dir: u64) -> &mut BTreeMap<Vec<u8>, u64> {
    Arc::make_mut(tree.entry(dir).or_default())
}

#[derive(Clone)]
struct State {
    features: Features,
    inodes: BTreeMap<u64, Inode>,
    /// The trees since the last directory sync, oldest first; the last one is now.
    journal: Vec<Tree>,
    now: Timestamp,
    next: u64,
    steps: usize,
    /// When the last step was over.
    stepped: Timestamp,
    /// For each step, to which of the strangers' acts its side matters.
    matters: Vec<Matters>,
    /// Counts what changes anything that a crash leaves.
    changes: usize,
    /// What was counted just before each step, after the strangers who act before it.
    changes_before: Vec<usize>,
    trace: Vec<Line>,
    plan: Plan,
    dead: bool,
    read_only: bool,
    vanished: bool,
    links: bool,
    leases: Vec<LeaseRecord>,
    leased_handles: BTreeSet<u64>,
    hands: BTreeMap<Hand, OpenHand>,
    account: Account,
    watches: Watches,
}

/// The folders that are watched, and what has happened in them.
#[derive(Clone, Default)]
struct Watches {
    /// The folder of each.
    folders: BTreeMap<i32, u64>,
    last: i32,
    told: Vec<Told>,
}

/// What is told of a watched folder.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    At(i32, Vec<u8>),
    Ended(i32),
    Lost,
}

#[derive(Clone)]
struct Inode {
    kind: Kind,
    bytes: Vec<u8>,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Timestamp,
    ctime: Timestamp,
    born: Timestamp,
    /// Whether a power cut leaves the bytes as they are.
    durable: bool,
    /// What the last sync brought to the disk: a power cut leaves of it what was not written since.
    synced: Vec<u8>,
    /// A sync failed: no later one can be believed.
    doomed: bool,
    /// A nameless file may be given its first name.
    linkable: bool,
    by_server: bool,
    by_stranger: bool,
    in_snapshot: bool,
    is_freed_late: bool,
    reserved: u64,
    handles: usize,
    writers: usize,
}

#[derive(Clone)]
struct OpenHand {
    path: String,
    epoch: usize,
    inode: Option<u64>,
    state: HandState,
    queued: Vec<Act>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HandState {
    Found,
    Waiting,
    Open,
    Done,
}

/// One lease and what became of it, by step.
#[derive(Clone, Debug)]
pub struct LeaseRecord {
    /// The inode it was held on.
    pub inode: u64,
    /// When it was had.
    pub taken: usize,
    /// When somebody first wanted to write.
    pub broken: Option<usize>,
    /// When it was last asked whether somebody waits.
    pub asked: Option<usize>,
    /// When it was dropped.
    pub dropped: Option<usize>,
}

/// Something the server did to a name that is told to the judge.
#[derive(Clone, Debug)]
pub struct Deed {
    /// At which step.
    pub step: usize,
    /// To which name.
    pub path: String,
    /// What the file held then.
    pub bytes: Vec<u8>,
    /// What the files in it held, if it is a folder.
    pub inside: Vec<Vec<u8>>,
    /// Which file.
    pub inode: u64,
    /// Whether a stranger had written into it or has it open for writing.
    pub used: bool,
    /// Whether it has no other name.
    pub last_name: bool,
    /// Whether nothing, or a file that the server made, took its place.
    pub for_upload: bool,
    /// Whether it came there, or was written, after the server's step before this one: no look could have seen that.
    pub unseen: bool,
}

/// What the invariants are judged by.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Contents that a stranger or a client saw under a name.
    pub owed: BTreeSet<Vec<u8>>,
    /// Contents that a stranger replaced or removed himself.
    pub disowned: BTreeSet<Vec<u8>>,
    /// Contents that strangers wrote in place.
    pub written: BTreeSet<Vec<u8>>,
    /// What would be at a name, had the server never been there.
    pub newest: BTreeMap<String, Option<Vec<u8>>>,
    /// Files that the server took out of a visible name into its own folder.
    pub taken: Vec<Deed>,
    /// Files whose name the server removed, wherever it was.
    pub unlinked: Vec<Deed>,
    /// Files that the server renamed over, so that they lost this name.
    pub overwritten: Vec<Deed>,
    /// Visible names that the server left empty, with what was there.
    pub emptied: Vec<Deed>,
    /// The steps at which a directory was synced.
    pub synced: Vec<usize>,
    /// A change of strangers' own to a name: a writer that found the file before does not own the name any more.
    epochs: BTreeMap<String, usize>,
}

// ---- what a test does with it ---------------------------------------------------------------------------------------------

impl Features {
    /// What a file system can do that has links, but neither exchanges names nor refuses to rename over one.
    pub fn with_links_only() -> Self {
        let mut features = Self::of(Tier::D);
        features.abilities.link = true;
        features
    }

    /// What a file system of this tier can do.
    pub fn of(tier: Tier) -> Self {
        let all = Abilities {
            lease: true,
            exchange: true,
            no_replace: true,
            link: true,
            nameless: true,
            time_grain: Duration::ZERO,
        };
        Self {
            abilities: all.at_most(tier),
            reflinks: true,
            births: true,
            one_number: false,
            folds: false,
            capacity: 1 << 20,
            quota: u64::MAX,
            root: false,
            frees_late: false,
            tick: Duration::from_micros(1),
            watches: 64,
            told_max: 16_384,
        }
    }
}

impl Account {
    /// Contents stay owed; what was done is forgotten.
    fn forget_deeds(&mut self) {
        for deeds in [&mut self.taken, &mut self.unlinked, &mut self.overwritten, &mut self.emptied] {
            deeds.clear();
        }
        self.synced.clear();
    }
}

impl SimDisk {
    /// An empty folder.
    pub fn new(features: Features) -> Self {
        quieten_crashes();
        let now = Timestamp::new(1_795_349_700, 123_456_000);
        let mut state = State {
            features,
            inodes: BTreeMap::new(),
            journal: vec![Tree::new()],
            now,
            next: ROOT,
            steps: 0,
            stepped: now,
            matters: Vec::new(),
            changes: 0,
            changes_before: Vec::new(),
            trace: Vec::new(),
            plan: Plan::new(),
            dead: false,
            read_only: false,
            vanished: false,
            links: true,
            leases: Vec::new(),
            leased_handles: BTreeSet::new(),
            hands: BTreeMap::new(),
            account: Account::default(),
            watches: Watches::default(),
        };
        let root = state.new_inode(Kind::Dir, 0o755);
        state.journal[0].insert(root, Arc::default());
        Self::from_state(state)
    }

    /// A disk of this tier with one file.
    pub fn with_file(tier: Tier, path: &str, bytes: &str) -> Self {
        let disk = Self::new(Features::of(tier));
        disk.place(path, bytes);
        disk
    }

    /// Puts a file there before the story begins, making the folders above it.
    pub fn place(&self, path: &str, bytes: &str) {
        let mut state = self.lock();
        if let Some((folders, _)) = path.rsplit_once('/') {
            state.make_folders(folders);
        }
        state.act(&Act::save(path, bytes));
        state.settle();
    }

    /// What the server is asked to move is the server's to name: strangers who replace it under its new name know what they do.
    pub fn is_to_be_moved(&self, path: &str) {
        let mut state = self.lock();
        let inode = state.find(path).expect("the file is there");
        state.inode_mut(inode).by_server = true;
    }

    /// Makes a folder, and those above it, before the story begins.
    pub fn place_folder(&self, path: &str) {
        let mut state = self.lock();
        state.make_folders(path);
        state.settle();
    }

    /// Puts a symbolic link, or a pipe, there before the story begins.
    pub fn place_other(&self, path: &str, kind: Kind) {
        let mut state = self.lock();
        let (dir, name) = state.find_parent(path).expect("the folder above is there");
        let inode = state.new_inode(kind, 0o777);
        state.change(|tree| names(tree, dir).insert(name, inode));
        state.settle();
    }

    /// Makes the file somebody else's, so that no lease can be had on it.
    pub fn give_away(&self, path: &str) {
        let mut state = self.lock();
        let inode = state.find(path).expect("the file is there");
        state.inode_mut(inode).uid = USER + 1;
    }

    /// Begins the story: counts steps from 1 and lets happen what the plan says. The tree so far is on the disk.
    pub fn begin(&self, plan: Plan) {
        let mut state = self.lock();
        state.settle();
        assert!(state.leases.iter().all(|lease| lease.dropped.is_some()), "no lease is held between stories");
        state.steps = 0;
        state.matters.clear();
        state.changes_before.clear();
        state.trace.clear();
        state.leases.clear();
        state.account.forget_deeds();
        state.plan = plan;
    }

    /// Goes on with the story after a crash or a restart: counts from 1 again, and forgets nothing.
    pub fn resume(&self, plan: Plan) {
        let mut state = self.lock();
        state.steps = 0;
        state.matters.clear();
        state.changes_before.clear();
        state.plan = plan;
    }

    /// How many steps there were since [`SimDisk::begin`].
    pub fn steps(&self) -> usize {
        self.lock().steps
    }

    /// For each step, to which of the strangers' acts its side matters.
    pub fn matters(&self) -> Vec<Matters> {
        self.lock().matters.clone()
    }

    /// The steps before which a crash leaves something else than before the step in front: between two of them the server has only
    /// looked, and nobody has acted.
    pub fn crashes_that_matter(&self) -> Vec<usize> {
        let state = self.lock();
        let before = &state.changes_before;
        (1..=before.len()).filter(|step| *step == 1 || before[step - 1] != before[step - 2]).collect()
    }

    /// One line for each step and each stranger's act since [`SimDisk::begin`].
    pub fn trace(&self) -> Vec<String> {
        self.lock().trace.iter().map(Line::to_string).collect()
    }

    /// Whether a directory could not be brought to the disk since [`SimDisk::begin`].
    pub fn failed_to_sync_a_folder(&self) -> bool {
        let failed = |line: &Line| matches!(line, Line::Step { operation: "sync_dir", failure: Some(_), .. });
        self.lock().trace.iter().any(failed)
    }

    /// Adds a line of the test's own to the trace.
    pub fn note(&self, line: impl Into<String>) {
        self.lock().trace.push(Line::Said(line.into()));
    }

    /// Lets a stranger act now.
    pub fn act(&self, act: &Act) {
        self.lock().act(act);
    }

    /// Lets the strangers of the plan whose step never came act now, in order.
    pub fn finish_strangers(&self) {
        for act in self.acts_to_come() {
            self.act(&act);
        }
    }

    /// Puts every later step of every thread in the order that `pace` says.
    pub fn set_pace(&self, pace: Option<Arc<dyn Pace>>) {
        *lock(&self.0.pace) = pace;
    }

    /// How many changes to names a power cut could undo now.
    pub fn unsynced_changes(&self) -> usize {
        self.lock().journal.len() - 1
    }

    /// Whether a program has found a file and not yet opened it. The second look counts on time, which is not simulated: it comes
    /// when nobody is on his way any more.
    pub fn somebody_is_on_his_way(&self) -> bool {
        self.lock().hands.values().any(|hand| hand.state == HandState::Found)
    }

    /// Takes the acts out of the plan whose step never came, in order.
    pub fn acts_to_come(&self) -> Vec<Act> {
        let mut state = self.lock();
        let steps = state.steps;
        let acts = std::mem::take(&mut state.plan).into_iter().filter_map(|event| match event {
            Event::Stranger { at, act, .. } if at > steps => Some(act),
            _ => None,
        });
        acts.collect()
    }

    /// The disk as the next start finds it. This one stays dead: what still runs on it changes nothing.
    pub fn after_crash(&self, crash: Crash) -> SimDisk {
        let mut state = {
            let mut old = self.lock();
            old.dead = true;
            old.clone()
        };
        state.dead = false;
        state.plan.clear();
        state.watches = Watches::default();
        state.leased_handles.clear();
        let step = state.steps;
        for lease in &mut state.leases {
            lease.dropped.get_or_insert(step);
        }
        for inode in state.inodes.values_mut() {
            inode.handles = 0;
            inode.writers = 0;
        }
        match crash {
            Crash::Kill => state.wake(|_| true),
            Crash::PowerCut { changes } => state.cut_power(changes),
        }
        state.trace.push(Line::Said(format!("     -- {crash:?}; noclobber starts again")));
        Self::from_state(state)
    }

    /// From now on every change is refused.
    pub fn set_read_only(&self, read_only: bool) {
        self.lock().read_only = read_only;
    }

    /// The whole folder is gone, or is there again.
    pub fn set_vanished(&self, vanished: bool) {
        self.lock().vanished = vanished;
    }

    /// Whether a file can be given a second name. The one that a nameless file is given is its first.
    pub fn set_links(&self, links: bool) {
        self.lock().links = links;
    }

    /// Changes how much fits.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().features.capacity = bytes;
    }

    /// Takes a snapshot: what is there now goes on taking its blocks, whoever removes it.
    pub fn take_snapshot(&self) {
        self.lock().inodes.values_mut().for_each(|inode| inode.in_snapshot = true);
    }

    /// How many folders are watched.
    pub fn watched(&self) -> usize {
        self.lock().watches.folders.len()
    }

    /// A file system is unmounted that a watched folder lay on, as far as its watch is concerned.
    pub fn end_watches(&self) {
        let mut state = self.lock();
        let ended = std::mem::take(&mut state.watches.folders);
        ended.into_keys().for_each(|watch| state.tell(Told::Ended(watch)));
    }

    /// Writes into a file as through a mapping: its date moves, and nobody is told.
    pub fn write_unheard(&self, path: &str, bytes: &str) {
        let mut state = self.lock();
        let now = state.tick();
        let inode = state.find(path).expect("the file is there");
        let file = state.inode_mut(inode);
        (file.bytes, file.mtime, file.ctime) = (bytes.as_bytes().to_vec(), now, now);
    }

    /// The disk's clock.
    pub fn now(&self) -> Timestamp {
        self.lock().now
    }

    /// Lets time pass.
    pub fn advance(&self, while_: Duration) {
        let mut state = self.lock();
        state.now = state.now.plus(while_);
    }

    /// What the file at this path holds.
    pub fn bytes_at(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let inode = state.find(path)?;
        (state.inodes[&inode].kind == Kind::File).then(|| state.inodes[&inode].bytes.clone())
    }

    /// The permission bits of what has this name.
    pub fn mode_at(&self, path: &str) -> Option<u32> {
        let state = self.lock();
        state.find(path).map(|inode| state.inodes[&inode].mode & 0o777)
    }

    /// Whether anything has this name.
    pub fn exists(&self, path: &str) -> bool {
        self.lock().find(path).is_some()
    }

    /// The stamp of what has this name.
    pub fn stamp_at(&self, path: &str) -> Option<Stamp> {
        let state = self.lock();
        state.find(path).map(|inode| state.status(inode).stamp)
    }

    /// All names and what the files there hold, also in the folder of noclobber's own.
    pub fn contents_everywhere(&self) -> Vec<(String, Vec<u8>)> {
        let state = self.lock();
        let files = state.walk().into_iter().filter(|(_, inode)| state.inodes[inode].kind == Kind::File);
        files.map(|(path, inode)| (path, state.inodes[&inode].bytes.clone())).collect()
    }

    /// As [`SimDisk::contents_everywhere`], without noclobber's own folder.
    pub fn visible_contents(&self) -> Vec<(String, Vec<u8>)> {
        self.contents_everywhere().into_iter().filter(|(path, _)| is_visible(path)).collect()
    }

    /// All names of folders, also in the folder of noclobber's own.
    pub fn folders(&self) -> Vec<String> {
        let state = self.lock();
        let dirs = state.walk().into_iter().filter(|(_, inode)| state.inodes[inode].kind == Kind::Dir);
        dirs.map(|(path, _)| path).collect()
    }

    /// How many handles and leases the server still has open.
    pub fn open_handles(&self) -> usize {
        let state = self.lock();
        let leases = state.leases.iter().filter(|lease| lease.dropped.is_none()).count();
        state.inodes.values().map(|inode| inode.handles).sum::<usize>() + leases
    }

    /// What the invariants are judged by.
    pub fn account(&self) -> Account {
        self.lock().account.clone()
    }

    /// The leases that were held, oldest first.
    pub fn leases(&self) -> Vec<LeaseRecord> {
        self.lock().leases.clone()
    }

    /// A client was told that this is stored: from now on it is owed.
    pub fn owe(&self, bytes: &[u8]) {
        self.lock().account.owed.insert(bytes.to_vec());
    }

    /// Its owner gave this up.
    pub fn disown(&self, bytes: &[u8]) {
        self.lock().account.disowned.insert(bytes.to_vec());
    }

    /// A client replaced or removed what was taken out or renamed over for it, and nobody keeps that.
    pub fn disown_what_was_taken(&self) {
        self.disown_what_was_taken_at(|_| true);
    }

    /// A client replaced what he named by a rename over it, and nobody keeps that: with the rename it is done, whatever comes after.
    pub fn disown_what_was_renamed_over(&self) {
        let mut state = self.lock();
        let seen = state.account.overwritten.iter().filter(|deed| !deed.unseen);
        let gone: Vec<_> = seen.flat_map(|deed| [std::slice::from_ref(&deed.bytes), &deed.inside].concat()).collect();
        state.account.disowned.extend(gone);
    }

    /// As [`SimDisk::disown_what_was_taken`], of some names only.
    pub fn disown_what_was_taken_at(&self, counts: impl Fn(&str) -> bool) {
        let mut state = self.lock();
        let Account { taken, overwritten, .. } = &state.account;
        let taken = taken.iter().filter(|deed| deed.for_upload && counts(&deed.path));
        let overwritten = overwritten.iter().filter(|deed| !deed.unseen && counts(&deed.path));
        let gone = taken.chain(overwritten).flat_map(|deed| [std::slice::from_ref(&deed.bytes), &deed.inside].concat());
        let gone: Vec<_> = gone.collect();
        state.account.disowned.extend(gone);
    }

    /// What the server itself did to a name before the story is what is there now.
    pub fn forget_newest(&self, path: &str) {
        self.lock().account.newest.remove(path);
    }

    /// What is owed, was not given up by its owner, and is nowhere on the disk.
    pub fn lost(&self) -> Vec<Vec<u8>> {
        let kept: BTreeSet<_> = self.contents_everywhere().into_iter().map(|(_, bytes)| bytes).collect();
        let account = self.account();
        account.owed.difference(&account.disowned).filter(|bytes| !kept.contains(*bytes)).cloned().collect()
    }

    /// Whether it was the server that took the last name of a file with these bytes away, and not a program by an act of its own.
    pub fn server_took_the_last_name_of(&self, bytes: &[u8]) -> bool {
        let state = self.lock();
        let deeds = state.account.unlinked.iter().chain(&state.account.overwritten);
        let taken: BTreeSet<u64> = deeds.filter(|deed| deed.last_name).map(|deed| deed.inode).collect();
        state.inodes.iter().any(|(number, inode)| inode.bytes == bytes && taken.contains(number))
    }

    fn from_state(state: State) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(state), pace: Mutex::new(None) }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// One step: whatever the plan says, and the call itself unless it is to fail.
    fn step<T>(
        &self,
        operation: &'static str,
        name: &str,
        label: impl FnOnce(&State) -> String,
        call: impl FnOnce(&mut State) -> std::result::Result<T, Cause>,
    ) -> Result<T> {
        let label = label(&self.lock());
        let matters = Matters::of(operation, &label);
        let pace = lock(&self.0.pace).clone();
        // Bytes do not change, nobody asks for a second lease in vain, and nothing crashes while two threads take turns.
        let unnoticed = matters != Matters::Always || matches!(operation, "read" | "is_unbroken");
        if let Some(pace) = pace.filter(|pace| pace.counts_all() || !unnoticed) {
            pace.before_step();
        }
        let fault =
            |cause| DiskError { operation, name: name.to_owned(), cause, message: format!("{cause:?}, simulated") };
        // What the call made is dropped after the lock is let go, since handles take the lock themselves.
        let (made, failure, crash) = {
            let mut state = self.lock();
            if state.dead {
                return Err(fault(Cause::Failed));
            }
            state.steps += 1;
            let step = state.steps;
            state.strangers(step, When::Before);
            let changes = state.changes;
            state.changes_before.push(changes);
            if state.crashes(step, When::Before) {
                state.dead = true;
                state.trace.push(Line::Said(format!("{step:4} -- crash")));
                (None, None, true)
            } else {
                state.matters.push(matters);
                state.changes += usize::from(!only_looks(operation));
                state.tick();
                let (made, failure) = match state.failure(step) {
                    Some((When::Before, cause)) => (None, Some(cause)),
                    Some((When::After, cause)) => (call(&mut state).ok(), Some(cause)),
                    None => match call(&mut state) {
                        Ok(made) => (Some(made), None),
                        Err(cause) => (None, Some(cause)),
                    },
                };
                state.trace.push(Line::Step { step, operation, label, failure });
                state.stepped = state.now;
                state.strangers(step, When::After);
                state.strangers_after(operation);
                let crash = state.crashes(step, When::After);
                if crash {
                    state.dead = true;
                    state.trace.push(Line::Said(format!("{step:4} -- crash")));
                }
                (made, failure, crash)
            }
        };
        if crash {
            drop(made);
            panic::panic_any(Crashed);
        }
        match (failure, made) {
            (Some(cause), _) => Err(fault(cause)),
            (None, Some(made)) => Ok(made),
            (None, None) => unreachable!("a call that did not fail made something"),
        }
    }

    /// A step that changes the disk: refused when it is read-only.
    fn change<T>(
        &self,
        operation: &'static str,
        name: &str,
        label: impl FnOnce(&State) -> String,
        call: impl FnOnce(&mut State) -> std::result::Result<T, Cause>,
    ) -> Result<T> {
        self.step(operation, name, label, |state| if state.read_only { Err(Cause::ReadOnly) } else { call(state) })
    }

    fn hand_out(&self, state: &mut State, inode: u64, writing: bool) -> Arc<SimHandle> {
        let id = state.next;
        state.next += 1;
        let file = state.inode_mut(inode);
        file.handles += 1;
        file.writers += usize::from(writing);
        Arc::new(SimHandle { id, inode, writing, disk: Arc::clone(&self.0) })
    }

    fn open_inode(&self, state: &mut State, inode: Option<u64>) -> Opened {
        let Some(inode) = inode else { return Opened::Nothing };
        let status = state.status(inode);
        match status.kind {
            Kind::File => Opened::File(File(self.hand_out(state, inode, false)), status),
            Kind::Dir => Opened::Dir(status),
            Kind::Link => Opened::Link,
            Kind::Special => Opened::Special,
        }
    }
}

// ---- the disk -------------------------------------------------------------------------------------------------------------

impl Disk for SimDisk {
    fn top_abilities(&self) -> Abilities {
        self.lock().features.abilities
    }

    fn abilities(&self, _at: &Dir) -> Result<Abilities> {
        Ok(self.lock().features.abilities)
    }

    fn has_other_mounts(&self) -> bool {
        false
    }

    fn root_afresh(&self) -> Result<Dir> {
        self.root()
    }

    fn root(&self) -> Result<Dir> {
        self.step(
            "root",
            "",
            |_| String::new(),
            |state| {
                if state.vanished {
                    return Err(Cause::NotFound);
                }
                Ok(Dir(self.hand_out(state, ROOT, false)))
            },
        )
    }

    fn open_dir(&self, from: &Dir, path: &[u8]) -> Result<Dir> {
        let text = String::from_utf8_lossy(path).into_owned();
        self.step(
            "open_dir",
            &text,
            |state| state.label(from, path),
            |state| {
                let inode = state.resolve(id(&from.0), path)?.ok_or(Cause::NotFound)?;
                match state.inodes[&inode].kind {
                    Kind::Dir => Ok(Dir(self.hand_out(state, inode, false))),
                    Kind::Link => Err(Cause::Escapes),
                    _ => Err(Cause::NotADirectory),
                }
            },
        )
    }

    fn dir_status(&self, dir: &Dir) -> Result<Status> {
        self.step("dir_status", "", |state| state.label(dir, b""), |state| Ok(state.status(id(&dir.0))))
    }

    fn look(&self, at: &Dir, name: &Name) -> Result<Option<Status>> {
        self.look_path(at, name.as_bytes())
    }

    fn look_path(&self, from: &Dir, path: &[u8]) -> Result<Option<Status>> {
        let text = String::from_utf8_lossy(path).into_owned();
        self.step(
            "look",
            &text,
            |state| state.label(from, path),
            |state| Ok(state.resolve(id(&from.0), path)?.map(|inode| state.status(inode))),
        )
    }

    fn has_one_path(&self, _: &Status) -> bool {
        !self.lock().features.folds
    }

    fn is_the_only_path(&self, from: &Dir, path: &SharePath) -> Result<bool> {
        let text = path.to_text();
        let label = |state: &State| state.label(from, path.as_bytes());
        self.step("is_the_only_path", &text, label, |state| Ok(!state.features.folds))
    }

    fn folding(&self, _: &Dir) -> Folding {
        if self.lock().features.folds { Folding::Perhaps } else { Folding::Never }
    }

    fn link_target(&self, _: &Dir, _: &Name) -> Result<Option<Box<[u8]>>> {
        Ok(None)
    }

    fn names(&self, dir: &Dir, each: &mut dyn FnMut(Name) -> ControlFlow<()>) -> Result<()> {
        self.list(dir, &mut |entry| each(entry.name))
    }

    fn open(&self, at: &Dir, name: &Name) -> Result<Opened> {
        self.open_path(at, name.as_bytes())
    }

    fn open_path(&self, from: &Dir, path: &[u8]) -> Result<Opened> {
        let text = String::from_utf8_lossy(path).into_owned();
        self.step(
            "open",
            &text,
            |state| state.label(from, path),
            |state| {
                let inode = state.resolve(id(&from.0), path)?;
                Ok(self.open_inode(state, inode))
            },
        )
    }

    fn status(&self, file: &File) -> Result<Status> {
        self.step("status", "", |state| state.file_label(file), |state| Ok(state.status(id(&file.0))))
    }

    fn read(&self, file: &File, offset: u64, into: &mut [u8]) -> Result<usize> {
        self.step(
            "read",
            "",
            |state| state.file_label(file),
            |state| {
                let bytes = &state.inodes[&id(&file.0)].bytes;
                let rest = bytes.get(offset as usize..).unwrap_or_default();
                let count = rest.len().min(into.len());
                into[..count].copy_from_slice(&rest[..count]);
                Ok(count)
            },
        )
    }

    fn list(&self, dir: &Dir, each: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<()> {
        let entries = self.step(
            "list",
            "",
            |state| state.label(dir, b""),
            |state| {
                let names = state.tree().get(&id(&dir.0)).ok_or(Cause::NotFound)?;
                let entry = |(name, inode): (&Vec<u8>, &u64)| {
                    let name = Name::new(name.as_slice()).expect("names are made from names");
                    Entry { name, status: state.status(*inode), is_linked: false }
                };
                Ok(names.iter().map(entry).collect::<Vec<_>>())
            },
        )?;
        for entry in entries {
            if each(entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn entry(&self, dir: &Dir, name: &Name) -> Result<Option<Entry>> {
        let status = self.look(dir, name)?;
        Ok(status.map(|status| Entry { name: name.clone(), status, is_linked: false }))
    }

    fn watch(&self, dir: &Dir) -> Option<WatchId> {
        let label = |state: &State| state.label(dir, b"");
        let watched = self.step("watch", "", label, |state| {
            let folder = id(&dir.0);
            let Watches { folders, last, .. } = &mut state.watches;
            if let Some((watch, _)) = folders.iter().find(|(_, it)| **it == folder) {
                return Ok(WatchId(*watch));
            }
            if folders.len() >= state.features.watches {
                return Err(Cause::NoSpace);
            }
            *last += 1;
            folders.insert(*last, folder);
            Ok(WatchId(*last))
        });
        watched.ok()
    }

    fn unwatch(&self, watch: WatchId) {
        let ended = self.step(
            "unwatch",
            "",
            |_| watch.0.to_string(),
            |state| {
                if state.watches.folders.remove(&watch.0).is_some() {
                    state.tell(Told::Ended(watch.0));
                }
                Ok(())
            },
        );
        let _ = ended;
    }

    fn changes(&self, each: &mut dyn FnMut(FolderChange<'_>)) {
        let told = self.step("changes", "", |_| String::new(), |state| Ok(std::mem::take(&mut state.watches.told)));
        let Ok(told) = told else { return each(FolderChange::Lost) };
        for told in &told {
            each(match told {
                Told::At(watch, name) => FolderChange::At(WatchId(*watch), name),
                Told::Ended(watch) => FolderChange::Ended(WatchId(*watch)),
                Told::Lost => FolderChange::Lost,
            });
        }
    }

    fn create_nameless(&self, at: &Dir) -> Result<File> {
        self.change(
            "create_nameless",
            "",
            |state| state.label(at, b""),
            |state| {
                if !state.features.abilities.nameless {
                    return Err(Cause::Unsupported);
                }
                state.live_dir(at)?;
                let inode = state.new_inode(Kind::File, 0o600);
                state.inode_mut(inode).linkable = true;
                state.inode_mut(inode).by_server = true;
                Ok(File(self.hand_out(state, inode, true)))
            },
        )
    }

    fn create_named(&self, at: &Dir, name: &Name) -> Result<File> {
        self.change(
            "create_named",
            &name.to_text(),
            |state| state.label(at, name.as_bytes()),
            |state| {
                let dir = state.free_place(at, name)?;
                let inode = state.new_inode(Kind::File, 0o600);
                state.inode_mut(inode).by_server = true;
                state.insert(dir, name, inode);
                Ok(File(self.hand_out(state, inode, true)))
            },
        )
    }

    fn open_to_write(&self, at: &Dir, name: &Name) -> Result<File> {
        self.step(
            "open_to_write",
            &name.to_text(),
            |state| state.label(at, name.as_bytes()),
            |state| {
                let inode = state.at((at, name))?;
                if state.inodes[&inode].kind != Kind::File {
                    return Err(Cause::NotFound);
                }
                Ok(File(self.hand_out(state, inode, true)))
            },
        )
    }

    fn cut(&self, file: &File, bytes: u64) -> Result<()> {
        let label = |state: &State| format!("{} to {bytes}", state.file_label(file));
        self.change("cut", "", label, |state| {
            assert!(raw(&file.0).writing, "a cut through a handle that only reads");
            let now = state.tick();
            let file = state.inode_mut(id(&file.0));
            file.bytes.resize(bytes as usize, 0);
            (file.mtime, file.ctime, file.durable) = (now, now, false);
            Ok(())
        })
    }

    fn reserve(&self, file: &File, bytes: std::ops::Range<u64>) -> Result<()> {
        let label = |state: &State| format!("{} bytes {bytes:?}", state.file_label(file));
        self.change("reserve", "", label, |state| {
            state.make_room(id(&file.0), bytes.end)?;
            let inode = state.inode_mut(id(&file.0));
            inode.reserved = inode.reserved.max(bytes.end);
            Ok(())
        })
    }

    fn write(&self, file: &File, offset: u64, bytes: &[u8]) -> Result<()> {
        let label = |state: &State| {
            format!(
                "{} at {offset}: {:?}",
                state.file_label(file),
                String::from_utf8_lossy(&bytes[..bytes.len().min(24)])
            )
        };
        self.change("write", "", label, |state| {
            assert!(raw(&file.0).writing, "a write through a handle that only reads");
            let half = matches!(state.failure(state.steps), Some((When::After, _)));
            let bytes = if half { &bytes[..bytes.len() / 2] } else { bytes };
            let inode = id(&file.0);
            let end = offset + bytes.len() as u64;
            state.make_room(inode, end)?;
            let now = state.tick();
            let file = state.inode_mut(inode);
            file.bytes.resize(file.bytes.len().max(end as usize), 0);
            file.bytes[offset as usize..end as usize].copy_from_slice(bytes);
            (file.mtime, file.ctime, file.durable) = (now, now, false);
            state.tell_of_file(inode);
            Ok(())
        })
    }

    fn share_blocks(&self, from: &File, to: &File) -> Result<()> {
        let label = |state: &State| format!("{} -> {}", state.file_label(from), state.file_label(to));
        self.change("share_blocks", "", label, |state| {
            if !state.features.reflinks {
                return Err(Cause::Unsupported);
            }
            let bytes = state.inodes[&id(&from.0)].bytes.clone();
            let now = state.tick();
            let number = id(&to.0);
            let to = state.inode_mut(number);
            (to.bytes, to.mtime, to.ctime, to.durable) = (bytes, now, now, false);
            state.tell_of_file(number);
            Ok(())
        })
    }

    fn copy_attributes(&self, from: &File, to: &File) -> Result<()> {
        let label = |state: &State| format!("{} -> {}", state.file_label(from), state.file_label(to));
        self.change("copy_attributes", "", label, |state| {
            let (mode, gid) = {
                let from = &state.inodes[&id(&from.0)];
                (from.mode & 0o1777, from.gid)
            };
            let now = state.tick();
            let number = id(&to.0);
            let to = state.inode_mut(number);
            (to.mode, to.gid, to.ctime) = (mode, gid, now);
            state.tell_of_file(number);
            Ok(())
        })
    }

    fn copy_dir_attributes(&self, from: &Dir, to: &Dir) -> Result<()> {
        let label = |state: &State| format!("{} -> {}", state.label(from, b""), state.label(to, b""));
        self.change("copy_dir_attributes", "", label, |state| {
            let mode = state.inodes[&id(&from.0)].mode & 0o1777;
            let now = state.tick();
            let to = state.inode_mut(id(&to.0));
            (to.mode, to.ctime) = (mode, now);
            Ok(())
        })
    }

    fn inherit_group(&self, _folder: &Dir, _to: &File) -> Result<()> {
        Ok(())
    }

    fn inherit_dir_group(&self, _folder: &Dir, _to: &Dir) -> Result<()> {
        Ok(())
    }

    fn set_dir_mtime(&self, _dir: &Dir, _mtime: Timestamp) -> Result<()> {
        Ok(())
    }

    fn set_mtime(&self, file: &File, mtime: Timestamp) -> Result<()> {
        self.change(
            "set_mtime",
            "",
            |state| state.file_label(file),
            |state| {
                let now = state.tick();
                let number = id(&file.0);
                let file = state.inode_mut(number);
                (file.mtime, file.ctime) = (mtime, now);
                state.tell_of_file(number);
                Ok(())
            },
        )
    }

    fn set_permissions(&self, file: &File, bits: u32) -> Result<()> {
        self.change(
            "set_permissions",
            "",
            |state| state.file_label(file),
            |state| {
                let now = state.tick();
                let number = id(&file.0);
                let file = state.inode_mut(number);
                file.mode = file.mode & !0o777 | bits & 0o777;
                file.ctime = now;
                state.tell_of_file(number);
                Ok(())
            },
        )
    }

    fn sync_file(&self, file: &File) -> Result<()> {
        self.change(
            "sync_file",
            "",
            |state| state.file_label(file),
            |state| {
                let fails = state.failure(state.steps).is_some();
                let file = state.inode_mut(id(&file.0));
                file.doomed |= fails;
                file.durable |= !file.doomed;
                if !file.doomed {
                    file.synced.clone_from(&file.bytes);
                }
                Ok(())
            },
        )
    }

    /// File systems in user space know a directory that was removed no more; others have nothing to sync of it.
    fn sync_dir(&self, dir: &Dir) -> Result<()> {
        self.change(
            "sync_dir",
            "",
            |state| state.label(dir, b""),
            |state| {
                state.live_dir(dir)?;
                state.settle();
                let step = state.steps;
                state.account.synced.push(step);
                Ok(())
            },
        )
    }

    fn sync_file_system(&self, dir: &Dir) -> Result<()> {
        self.change(
            "sync_file_system",
            "",
            |state| state.label(dir, b""),
            |state| {
                state.settle();
                state.free_what_was_removed();
                Ok(())
            },
        )
    }

    fn finish_writing(&self, file: File) -> Result<File> {
        let result = self.step(
            "finish_writing",
            "",
            |state| state.file_label(&file),
            |state| Ok(File(self.hand_out(state, id(&file.0), false))),
        );
        assert_eq!(Arc::strong_count(&file.0), 1, "the writing handle is closed for good");
        result
    }

    fn link(&self, file: &File, at: &Dir, name: &Name) -> Result<()> {
        let label = |state: &State| format!("{} at {}", state.file_label(file), state.label(at, name.as_bytes()));
        self.change("link", &name.to_text(), label, |state| {
            if !state.features.abilities.link {
                return Err(Cause::Unsupported);
            }
            let inode = id(&file.0);
            if !state.links && !state.inodes[&inode].linkable {
                return Err(Cause::NotPermitted);
            }
            let dir = state.free_place(at, name)?;
            if !state.inodes[&inode].linkable && state.links(inode) == 0 {
                return Err(Cause::NotFound);
            }
            state.inode_mut(inode).linkable = false;
            state.insert(dir, name, inode);
            Ok(())
        })
    }

    fn rename_new(&self, from: (&Dir, &Name), to: (&Dir, &Name)) -> Result<()> {
        self.change(
            "rename_new",
            &to.1.to_text(),
            |state| state.two_labels(from, to),
            |state| {
                if !state.features.abilities.no_replace {
                    return Err(Cause::Unsupported);
                }
                let inode = state.at(from)?;
                let dir = state.free_place(to.0, to.1)?;
                state.not_into_itself(inode, dir)?;
                state.rename(from, (dir, to.1), inode);
                Ok(())
            },
        )
    }

    fn rename_over(&self, from: (&Dir, &Name), to: (&Dir, &Name)) -> Result<()> {
        self.change(
            "rename_over",
            &to.1.to_text(),
            |state| state.two_labels(from, to),
            |state| {
                let inode = state.at(from)?;
                let dir = state.live_dir(to.0)?;
                state.not_into_itself(inode, dir)?;
                let old = state.named(dir, to.1.as_bytes());
                match old {
                    Some(old) if old == inode => return Ok(()),
                    Some(old) => state.may_replace(inode, old)?,
                    None => {}
                }
                let deed = old.map(|old| state.deed(&state.path(dir, to.1.as_bytes()), old));
                state.account.overwritten.extend(deed);
                state.rename(from, (dir, to.1), inode);
                Ok(())
            },
        )
    }

    fn exchange(&self, one: (&Dir, &Name), other: (&Dir, &Name)) -> Result<()> {
        self.change(
            "exchange",
            &one.1.to_text(),
            |state| state.two_labels(one, other),
            |state| {
                if !state.features.abilities.exchange {
                    return Err(Cause::Unsupported);
                }
                let (first, second) = (state.at(one)?, state.at(other)?);
                let (here, there) = (state.live_dir(one.0)?, state.live_dir(other.0)?);
                state.not_into_itself(first, there)?;
                state.not_into_itself(second, here)?;
                for (out, dir, name, to, in_) in
                    [(first, here, one.1, there, second), (second, there, other.1, here, first)]
                {
                    let for_upload = state.inodes[&in_].by_server;
                    state.note_taken(out, (dir, name), to, for_upload);
                }
                let (one, other) = (state.spelling(here, one.1.as_bytes()), state.spelling(there, other.1.as_bytes()));
                state.change(|tree| {
                    names(tree, here).insert(one, second);
                    names(tree, there).insert(other, first);
                });
                state.touch(&[first, second], &[here, there]);
                Ok(())
            },
        )
    }

    fn make_dir(&self, at: &Dir, name: &Name, private: bool) -> Result<()> {
        self.change(
            "make_dir",
            &name.to_text(),
            |state| state.label(at, name.as_bytes()),
            |state| {
                let dir = state.free_place(at, name)?;
                let inode = state.new_inode(Kind::Dir, if private { 0o700 } else { 0o755 });
                state.inode_mut(inode).by_server = true;
                state.insert(dir, name, inode);
                Ok(())
            },
        )
    }

    fn make_private(&self, dir: &Dir) -> Result<()> {
        self.change(
            "make_private",
            "",
            |state| state.label(dir, b""),
            |state| {
                let dir = state.inode_mut(id(&dir.0));
                dir.mode = 0o700;
                Ok(())
            },
        )
    }

    fn user(&self) -> u32 {
        if self.lock().features.root { 0 } else { USER }
    }

    fn unlink(&self, at: &Dir, name: &Name) -> Result<()> {
        self.change(
            "unlink",
            &name.to_text(),
            |state| state.label(at, name.as_bytes()),
            |state| {
                let inode = state.at((at, name))?;
                if state.inodes[&inode].kind == Kind::Dir {
                    return Err(Cause::IsADirectory);
                }
                let dir = id(&at.0);
                let path = state.path(dir, name.as_bytes());
                let deed = state.deed(&path, inode);
                if is_visible(&path) {
                    state.account.emptied.push(deed.clone());
                }
                state.account.unlinked.push(deed);
                state.inode_mut(inode).is_freed_late = state.features.frees_late;
                state.remove(dir, name.as_bytes());
                state.touch(&[inode], &[dir]);
                Ok(())
            },
        )
    }

    fn remove_dir(&self, at: &Dir, name: &Name) -> Result<()> {
        self.change(
            "remove_dir",
            &name.to_text(),
            |state| state.label(at, name.as_bytes()),
            |state| {
                let inode = state.at((at, name))?;
                let names = state.tree().get(&inode).ok_or(Cause::NotADirectory)?;
                if !names.is_empty() {
                    return Err(Cause::NotEmpty);
                }
                let dir = id(&at.0);
                state.remove(dir, name.as_bytes());
                state.touch(&[], &[dir]);
                Ok(())
            },
        )
    }

    fn has_mounts_below(&self, _at: &Dir, _name: &Name) -> Result<bool> {
        Ok(false)
    }

    fn lease(&self, file: &File, _patience: Duration) -> Result<Leased> {
        let handle = raw(&file.0);
        // `patience` passes at once: whoever is to close his file in the meantime does so before the step.
        let lease = self.step(
            "lease",
            "",
            |state| state.file_label(file),
            |state| {
                assert!(!state.leased_handles.contains(&handle.id), "never a second lease on a handle that held one");
                let inode = &state.inodes[&handle.inode];
                if !state.features.abilities.lease || inode.uid != USER {
                    return Ok(None);
                }
                if inode.writers > 0 || state.is_open_for_writing(handle.inode) {
                    return Ok(Some(None));
                }
                state.leased_handles.insert(handle.id);
                let taken = state.steps;
                state.leases.push(LeaseRecord { inode: handle.inode, taken, broken: None, asked: None, dropped: None });
                Ok(Some(Some(state.leases.len() - 1)))
            },
        )?;
        Ok(match lease {
            None => Leased::Unavailable,
            Some(None) => Leased::Busy,
            Some(Some(at)) => Leased::Held(Box::new(SimLease { at, disk: self.clone(), _file: file.clone() })),
        })
    }

    fn space(&self, dir: &Dir) -> Result<Space> {
        self.step(
            "space",
            "",
            |state| state.label(dir, b""),
            |state| {
                let total = state.features.capacity;
                let free = total.saturating_sub(state.used());
                Ok(Space { total, free, files_total: 0, files_free: 0, file_system: 1 })
            },
        )
    }

    fn wait(&self, while_: Duration) {
        self.advance(while_);
    }

    fn clock(&self, dir: &Dir) -> Result<Timestamp> {
        self.step("clock", "", |state| state.label(dir, b""), |state| Ok(state.tick()))
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

// ---- handles and leases ---------------------------------------------------------------------------------------------------

struct SimHandle {
    id: u64,
    inode: u64,
    writing: bool,
    disk: Arc<Shared>,
}

impl RawHandle for SimHandle {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl fmt::Debug for SimHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.inode)
    }
}

impl Drop for SimHandle {
    fn drop(&mut self) {
        let mut state = lock(&self.disk.state);
        if state.dead {
            return;
        }
        let inode = state.inode_mut(self.inode);
        inode.handles -= 1;
        inode.writers -= usize::from(self.writing);
    }
}

struct SimLease {
    at: usize,
    disk: SimDisk,
    _file: File,
}

impl Lease for SimLease {
    fn is_unbroken(&self) -> bool {
        let label = |state: &State| format!("#{}", state.leases[self.at].inode);
        let asked = self.disk.step("is_unbroken", "", label, |state| {
            let step = state.steps;
            let lease = &mut state.leases[self.at];
            lease.asked = Some(step);
            Ok(lease.broken.is_none())
        });
        // A lease that cannot be asked is as good as broken.
        asked.unwrap_or(false)
    }
}

impl Drop for SimLease {
    fn drop(&mut self) {
        let mut state = self.disk.lock();
        if state.dead {
            return;
        }
        let step = state.steps;
        let lease = &mut state.leases[self.at];
        lease.dropped = Some(step);
        let inode = lease.inode;
        state.trace.push(Line::Said(format!("     lease on #{inode} dropped")));
        state.wake(|waiting| waiting == inode);
    }
}

// ---- what lies below ------------------------------------------------------------------------------------------------------

const ROOT: u64 = 1;

impl State {
    fn tree(&self) -> &Tree {
        self.journal.last().expect("the tree of now is always there")
    }

    /// Changes names: one more entry of the journal.
    fn change<T>(&mut self, how: impl FnOnce(&mut Tree) -> T) {
        let mut tree = self.tree().clone();
        how(&mut tree);
        self.tell_of_names(&tree);
        self.journal.push(tree);
    }

    /// Tells of every name in a watched folder that is another one's in the next tree.
    fn tell_of_names(&mut self, next: &Tree) {
        let mut told = Vec::new();
        for (watch, folder) in &self.watches.folders {
            let (before, after) = (&self.tree()[folder], &next[folder]);
            if Arc::ptr_eq(before, after) {
                continue;
            }
            let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
            let others = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
            told.extend(others.map(|name| Told::At(*watch, name.clone())));
        }
        told.into_iter().for_each(|told| self.tell(told));
    }

    /// Tells of a change of a file itself: only at the first of its names, as the file would be opened by one of them.
    fn tell_of_file(&mut self, inode: u64) {
        let Some((folder, name)) = self.place_of(inode).map(|(folder, name)| (folder, name.to_vec())) else { return };
        let watch = self.watches.folders.iter().find(|(_, it)| **it == folder).map(|(watch, _)| *watch);
        watch.into_iter().for_each(|watch| self.tell(Told::At(watch, name.clone())));
    }

    fn tell(&mut self, told: Told) {
        let queue = &mut self.watches.told;
        if queue.len() < self.features.told_max {
            queue.push(told);
        } else if queue.last() != Some(&Told::Lost) {
            queue.push(Told::Lost);
        }
    }

    /// The names of now are on the disk.
    fn settle(&mut self) {
        self.journal.drain(..self.journal.len() - 1);
    }

    fn cut_power(&mut self, changes: usize) {
        assert!(changes < self.journal.len(), "no more changes than there were");
        self.journal.truncate(changes + 1);
        self.settle();
        self.hands.clear();
        let named: BTreeSet<u64> = self.tree().values().flat_map(|names| names.values().copied()).collect();
        for (number, inode) in &mut self.inodes {
            inode.linkable = false;
            if named.contains(number) && inode.kind == Kind::File && !inode.durable {
                // What was synced and not written since stays; the rest is anything.
                let mut left = inode.synced.clone();
                for (at, byte) in left.iter_mut().enumerate() {
                    if inode.bytes.get(at) != Some(byte) {
                        *byte = 0xff;
                    }
                }
                left.extend_from_slice(TORN);
                (inode.bytes, inode.durable) = (left, true);
            }
        }
    }

    /// Moves the clock and says what it is: no two changes at the same moment.
    fn tick(&mut self) -> Timestamp {
        self.now = self.now.plus(self.features.tick);
        let grain = self.features.abilities.time_grain.as_nanos() as i64;
        if grain == 0 {
            return self.now;
        }
        let whole = self.now.nanoseconds().div_euclid(grain) * grain;
        Timestamp::new(whole.div_euclid(1_000_000_000), whole.rem_euclid(1_000_000_000) as u32)
    }

    fn new_inode(&mut self, kind: Kind, mode: u32) -> u64 {
        let number = self.next;
        self.next += 1;
        let now = self.tick();
        let inode = Inode {
            kind,
            bytes: Vec::new(),
            mode,
            uid: USER,
            gid: USER,
            mtime: now,
            ctime: now,
            born: now,
            durable: true,
            synced: Vec::new(),
            doomed: false,
            linkable: false,
            by_server: false,
            by_stranger: false,
            in_snapshot: false,
            is_freed_late: false,
            reserved: 0,
            handles: 0,
            writers: 0,
        };
        self.inodes.insert(number, inode);
        if kind == Kind::Dir && number != ROOT {
            // Nobody can see an empty folder without a name, so it needs no entry of its own in the journal.
            self.journal.last_mut().expect("the tree of now is always there").insert(number, Arc::default());
        }
        number
    }

    fn inode_mut(&mut self, number: u64) -> &mut Inode {
        self.inodes.get_mut(&number).expect("inodes are never forgotten")
    }

    fn status(&self, number: u64) -> Status {
        let inode = &self.inodes[&number];
        let shown = if self.features.one_number && inode.kind == Kind::File { NUMBER_OF_ALL } else { number };
        let generation = if self.features.births { inode.born.nanoseconds() as u64 } else { 0 };
        Status {
            kind: inode.kind,
            stamp: Stamp {
                id: FileId { inode: shown, generation },
                size: inode.bytes.len() as u64,
                mtime: inode.mtime,
                ctime: inode.ctime,
            },
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            links: if inode.kind == Kind::Dir { 2 } else { self.links(number) as u32 },
            allocated: inode.reserved.max(inode.bytes.len() as u64),
            mount: 1,
            device: 1,
            is_mount_point: false,
            born: self.features.births.then_some(inode.born),
        }
    }

    fn links(&self, number: u64) -> usize {
        self.tree().values().flat_map(|names| names.values()).filter(|inode| **inode == number).count()
    }

    fn used(&self) -> u64 {
        self.used_by(|_| true)
    }

    fn used_by(&self, is_meant: impl Fn(&Inode) -> bool) -> u64 {
        let is_kept = |inode: &Inode| inode.handles > 0 || inode.in_snapshot || inode.is_freed_late;
        let counts = |number: &u64, inode: &Inode| is_meant(inode) && (is_kept(inode) || self.links(*number) > 0);
        let files = self.inodes.iter().filter(|(number, inode)| counts(number, inode));
        files.map(|(_, inode)| inode.reserved.max(inode.bytes.len() as u64)).sum()
    }

    fn free_what_was_removed(&mut self) {
        self.inodes.values_mut().for_each(|inode| inode.is_freed_late = false);
    }

    fn make_room(&mut self, number: u64, size: u64) -> std::result::Result<(), Cause> {
        let has = |inode: &Inode| inode.reserved.max(inode.bytes.len() as u64);
        let more = size.saturating_sub(has(&self.inodes[&number]));
        if self.used() + more > self.features.capacity {
            self.free_what_was_removed();
        }
        let inode = &self.inodes[&number];
        if self.used() + more > self.features.capacity {
            return Err(Cause::NoSpace);
        }
        let counts = |inode: &Inode| self.features.root || inode.uid == USER;
        let own = if counts(inode) { self.used_by(counts) + more } else { 0 };
        if own > self.features.quota { Err(Cause::OverQuota) } else { Ok(()) }
    }

    fn resolve(&self, from: u64, path: &[u8]) -> std::result::Result<Option<u64>, Cause> {
        let mut inode = from;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            match self.inodes[&inode].kind {
                Kind::Dir => {}
                Kind::Link => return Err(Cause::Escapes),
                _ => return Err(Cause::NotADirectory),
            }
            let Some(next) = self.named(inode, name) else { return Ok(None) };
            inode = next;
        }
        Ok(Some(inode))
    }

    fn find(&self, path: &str) -> Option<u64> {
        self.resolve(ROOT, path.as_bytes()).ok().flatten()
    }

    fn find_parent(&self, path: &str) -> Option<(u64, Vec<u8>)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = self.find(parent)?;
        (self.inodes[&dir].kind == Kind::Dir).then(|| (dir, name.as_bytes().to_vec()))
    }

    fn at(&self, (dir, name): (&Dir, &Name)) -> std::result::Result<u64, Cause> {
        self.named(id(&dir.0), name.as_bytes()).ok_or(Cause::NotFound)
    }

    /// What has a name in a directory, in whatever spelling.
    fn named(&self, dir: u64, name: &[u8]) -> Option<u64> {
        self.tree().get(&dir)?.get(&self.spelling(dir, name)).copied()
    }

    /// A name as it stands in a directory.
    fn spelling(&self, dir: u64, name: &[u8]) -> Vec<u8> {
        let alike = |other: &&Vec<u8>| self.features.folds && other.eq_ignore_ascii_case(name);
        let other = self.tree().get(&dir).and_then(|names| names.keys().find(alike));
        other.map_or_else(|| name.to_vec(), Clone::clone)
    }

    /// A directory that was removed takes no more names.
    fn live_dir(&self, dir: &Dir) -> std::result::Result<u64, Cause> {
        let number = id(&dir.0);
        if number == ROOT || self.links(number) > 0 { Ok(number) } else { Err(Cause::NotFound) }
    }

    fn free_place(&self, dir: &Dir, name: &Name) -> std::result::Result<u64, Cause> {
        let number = self.live_dir(dir)?;
        if self.named(number, name.as_bytes()).is_some() { Err(Cause::Exists) } else { Ok(number) }
    }

    fn not_into_itself(&self, inode: u64, dir: u64) -> std::result::Result<(), Cause> {
        let mut above = Some(dir);
        while let Some(number) = above {
            if number == inode {
                return Err(Cause::Failed);
            }
            above = self.place_of(number).map(|(parent, _)| parent);
        }
        Ok(())
    }

    fn may_replace(&self, new: u64, old: u64) -> std::result::Result<(), Cause> {
        match (self.inodes[&new].kind == Kind::Dir, self.inodes[&old].kind == Kind::Dir) {
            (false, true) => Err(Cause::IsADirectory),
            (true, false) => Err(Cause::NotADirectory),
            (true, true) if !self.tree()[&old].is_empty() => Err(Cause::NotEmpty),
            _ => Ok(()),
        }
    }

    fn insert(&mut self, dir: u64, name: &Name, inode: u64) {
        self.change(|tree| names(tree, dir).insert(name.as_bytes().to_vec(), inode));
        self.touch(&[inode], &[dir]);
    }

    fn remove(&mut self, dir: u64, name: &[u8]) {
        let name = self.spelling(dir, name);
        self.change(|tree| names(tree, dir).remove(&name));
    }

    /// The server renames: the deed is told to the judge.
    fn rename(&mut self, from: (&Dir, &Name), (to, name): (u64, &Name), inode: u64) {
        let dir = id(&from.0.0);
        self.note_taken(inode, (dir, from.1), to, true);
        let path = self.path(dir, from.1.as_bytes());
        if is_visible(&path) {
            let deed = self.deed(&path, inode);
            self.account.emptied.push(deed);
        }
        let (here, there) = (self.spelling(dir, from.1.as_bytes()), self.spelling(to, name.as_bytes()));
        self.change(|tree| {
            names(tree, dir).remove(&here);
            names(tree, to).remove(&there);
            names(tree, to).insert(name.as_bytes().to_vec(), inode);
        });
        self.touch(&[inode], &[dir, to]);
    }

    fn note_taken(&mut self, inode: u64, (dir, name): (u64, &Name), to: u64, for_upload: bool) {
        let path = self.path(dir, name.as_bytes());
        if is_visible(&path) && !is_visible(&self.path(to, b"x")) {
            let deed = Deed { for_upload, ..self.deed(&path, inode) };
            self.account.taken.push(deed);
        }
    }

    fn deed(&self, path: &str, inode: u64) -> Deed {
        let file = &self.inodes[&inode];
        Deed {
            step: self.steps,
            path: path.to_owned(),
            bytes: file.bytes.clone(),
            inside: self.files_below(inode).iter().map(|inode| self.inodes[inode].bytes.clone()).collect(),
            inode,
            used: file.by_stranger || self.is_open_for_writing(inode),
            last_name: self.links(inode) == 1,
            for_upload: true,
            unseen: file.ctime > self.stepped,
        }
    }

    /// A rename or a link moves the ctime of what it names, and both times of the folder.
    fn touch(&mut self, inodes: &[u64], dirs: &[u64]) {
        let now = self.tick();
        for inode in inodes {
            self.inode_mut(*inode).ctime = now;
        }
        for dir in dirs {
            let dir = self.inode_mut(*dir);
            (dir.mtime, dir.ctime) = (now, now);
        }
    }

    fn place_of(&self, inode: u64) -> Option<(u64, &[u8])> {
        let entries = self.tree().iter().flat_map(|(dir, names)| names.iter().map(move |(name, it)| (*dir, name, *it)));
        entries.into_iter().find(|(_, _, it)| *it == inode).map(|(dir, name, _)| (dir, name.as_slice()))
    }

    /// The path of a name in a directory, for people.
    fn path(&self, mut dir: u64, name: &[u8]) -> String {
        let mut above = Vec::new();
        let mut start = "";
        let removed;
        while dir != ROOT {
            let Some((parent, name)) = self.place_of(dir) else {
                removed = format!("(removed #{dir})");
                start = &removed;
                break;
            };
            above.push(name);
            dir = parent;
        }
        let mut path = start.to_owned();
        for name in above.into_iter().rev().chain((!name.is_empty()).then_some(name)) {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(&String::from_utf8_lossy(name));
        }
        path
    }

    fn label(&self, dir: &Dir, path: &[u8]) -> String {
        let path = self.path(id(&dir.0), path);
        if path.is_empty() { "/".to_owned() } else { path }
    }

    fn two_labels(&self, from: (&Dir, &Name), to: (&Dir, &Name)) -> String {
        format!("{} , {}", self.label(from.0, from.1.as_bytes()), self.label(to.0, to.1.as_bytes()))
    }

    fn file_label(&self, file: &File) -> String {
        let inode = id(&file.0);
        let place = self.place_of(inode).map_or("no name".to_owned(), |(dir, name)| self.path(dir, name));
        format!("#{inode} ({place})")
    }

    fn walk(&self) -> Vec<(String, u64)> {
        let (mut found, mut todo) = (Vec::new(), vec![(String::new(), ROOT)]);
        while let Some((path, dir)) = todo.pop() {
            for (name, inode) in self.tree().get(&dir).into_iter().flat_map(|names| names.iter()) {
                let name = String::from_utf8_lossy(name);
                let path = if path.is_empty() { name.into_owned() } else { format!("{path}/{name}") };
                if self.inodes[inode].kind == Kind::Dir {
                    todo.push((path.clone(), *inode));
                }
                found.push((path, *inode));
            }
        }
        found.sort();
        found
    }

    fn files_below(&self, folder: u64) -> Vec<u64> {
        let (mut files, mut todo) = (Vec::new(), vec![folder]);
        while let Some(folder) = todo.pop() {
            for inode in self.tree().get(&folder).into_iter().flat_map(|names| names.values()) {
                let found = if self.inodes[inode].kind == Kind::Dir { &mut todo } else { &mut files };
                found.push(*inode);
            }
        }
        files
    }

    fn make_folders(&mut self, path: &str) {
        let mut dir = ROOT;
        for name in path.split('/') {
            let known = self.tree()[&dir].get(name.as_bytes()).copied();
            dir = known.unwrap_or_else(|| {
                let made = self.new_inode(Kind::Dir, 0o755);
                self.change(|tree| names(tree, dir).insert(name.as_bytes().to_vec(), made));
                made
            });
        }
    }

    // what the plan says

    fn crashes(&self, step: usize, moment: When) -> bool {
        self.plan.iter().any(|event| matches!(event, Event::Crash { at, when } if *at == step && *when == moment))
    }

    fn failure(&self, step: usize) -> Option<(When, Cause)> {
        self.plan.iter().find_map(|event| match event {
            Event::Fail { at, cause } if *at == step => Some((When::Before, *cause)),
            Event::FailAfter { at, cause } if *at == step => Some((When::After, *cause)),
            _ => None,
        })
    }

    fn strangers(&mut self, step: usize, moment: When) {
        let due = |event: &Event| match event {
            Event::Stranger { at, when, act } if *at == step && *when == moment => Some(act.clone()),
            _ => None,
        };
        let acts: Vec<Act> = self.plan.iter().filter_map(due).collect();
        for act in acts {
            self.act(&act);
        }
    }

    fn strangers_after(&mut self, called: &str) {
        let due = |event: &mut Event| matches!(event, Event::StrangerAfter { operation, .. } if *operation == called);
        let acts: Vec<_> = self.plan.extract_if(.., due).collect();
        for event in acts {
            if let Event::StrangerAfter { act, .. } = event {
                self.act(&act);
            }
        }
    }

    // the strangers

    fn act(&mut self, act: &Act) {
        self.tick();
        self.changes += 1;
        let outcome = match act {
            Act::Save { path, bytes } => self.save(path, bytes),
            Act::Create { path, bytes } if self.find(path).is_none() => self.save(path, bytes),
            Act::Create { .. } => Err("taken"),
            Act::Unlink { path } => self.unlink_by_stranger(path),
            Act::Rename { from, to } => self.rename_by_stranger(from, to),
            Act::Link { path, to } => self.link_by_stranger(path, to),
            Act::Chmod { path, mode } => self.chmod(path, *mode),
            Act::MakeFolder { path } if self.find(path).is_none() => {
                self.make_folders(path);
                Ok("done")
            }
            Act::MakeFolder { .. } => Err("taken"),
            Act::Find { hand, path } => self.find_by_stranger(*hand, path),
            Act::Open { hand } => self.open_by_stranger(*hand, true),
            Act::OpenOrLeave { hand } => self.open_by_stranger(*hand, false),
            Act::Write { hand, .. } | Act::Close { hand } | Act::WriteAndClose { hand, .. } => {
                self.use_by_stranger(*hand, act)
            }
        };
        let outcome = outcome.unwrap_or_else(|why| why);
        self.trace.push(Line::Said(format!("     stranger: {act:?}: {outcome}")));
    }

    fn save(&mut self, path: &str, bytes: &str) -> Acted {
        let (dir, name) = self.find_parent(path).ok_or("no such folder")?;
        let old = self.tree()[&dir].get(&name).copied();
        if old.is_some_and(|old| self.inodes[&old].kind == Kind::Dir) {
            return Err("a folder is there");
        }
        let new = self.new_inode(Kind::File, 0o644);
        let file = self.inode_mut(new);
        (file.bytes, file.durable) = (bytes.as_bytes().to_vec(), true);
        self.change(|tree| names(tree, dir).insert(name, new));
        self.touch(&[new], &[dir]);
        if let Some(old) = old {
            self.disown_unless_linked(old);
        }
        self.account.owed.insert(bytes.as_bytes().to_vec());
        self.set_newest(path, Some(bytes.as_bytes().to_vec()));
        Ok("done")
    }

    fn unlink_by_stranger(&mut self, path: &str) -> Acted {
        let (dir, name) = self.find_parent(path).ok_or("no such folder")?;
        let old = *self.tree()[&dir].get(&name).ok_or("nothing there")?;
        if self.inodes[&old].kind == Kind::Dir {
            return Err("a folder is there");
        }
        self.remove(dir, &name);
        self.touch(&[old], &[dir]);
        self.disown_unless_linked(old);
        self.set_newest(path, None);
        Ok("done")
    }

    fn rename_by_stranger(&mut self, from: &str, to: &str) -> Acted {
        let (dir, name) = self.find_parent(from).ok_or("no such folder")?;
        let (into, new_name) = self.find_parent(to).ok_or("no such folder")?;
        let inode = *self.tree()[&dir].get(&name).ok_or("nothing there")?;
        let old = self.tree()[&into].get(&new_name).copied();
        if old == Some(inode) || self.not_into_itself(inode, into).is_err() {
            return Err("nothing to do");
        }
        if old.is_some_and(|old| self.may_replace(inode, old).is_err()) {
            return Err("a folder is in the way");
        }
        self.change(|tree| {
            names(tree, dir).remove(&name);
            names(tree, into).insert(new_name, inode);
        });
        self.touch(&[inode], &[dir, into]);
        // Had the server not been there, the file that moves would be the strangers' newest, not an upload that is visible for
        // an instant.
        let newest = self.account.newest.insert(from.to_owned(), None).flatten();
        let file = &self.inodes[&inode];
        let moved = if file.by_server { newest } else { Some(file.bytes.clone()) };
        self.account.newest.insert(to.to_owned(), moved);
        if let Some(old) = old {
            self.disown_unless_linked(old);
            *self.account.epochs.entry(to.to_owned()).or_default() += 1;
        }
        self.follow(from, to);
        Ok("done")
    }

    /// Writers that have the file follow it to its new name.
    fn follow(&mut self, from: &str, to: &str) {
        let epoch = |state: &State, path: &str| state.account.epochs.get(path).copied().unwrap_or(0);
        let (here, there) = (epoch(self, from), epoch(self, to));
        for hand in self.hands.values_mut().filter(|hand| hand.path == from && hand.epoch == here) {
            (hand.path, hand.epoch) = (to.to_owned(), there);
        }
    }

    fn link_by_stranger(&mut self, path: &str, to: &str) -> Acted {
        let inode = self.find(path).ok_or("nothing there")?;
        let (dir, name) = self.find_parent(to).ok_or("no such folder")?;
        if self.inodes[&inode].kind != Kind::File || self.tree()[&dir].contains_key(&name) {
            return Err("not to be had");
        }
        self.change(|tree| names(tree, dir).insert(name, inode));
        self.touch(&[inode], &[dir]);
        Ok("done")
    }

    fn chmod(&mut self, path: &str, mode: u32) -> Acted {
        let inode = self.find(path).ok_or("nothing there")?;
        let now = self.tick();
        let file = self.inode_mut(inode);
        (file.mode, file.ctime) = (mode, now);
        self.tell_of_file(inode);
        Ok("done")
    }

    fn find_by_stranger(&mut self, hand: Hand, path: &str) -> Acted {
        let inode = self.find(path).filter(|inode| self.inodes[inode].kind == Kind::File);
        let epoch = self.account.epochs.get(path).copied().unwrap_or(0);
        let state = if inode.is_some() { HandState::Found } else { HandState::Done };
        self.hands.insert(hand, OpenHand { path: path.to_owned(), epoch, inode, state, queued: Vec::new() });
        inode.map(|_| "found").ok_or("nothing there")
    }

    fn open_by_stranger(&mut self, hand: Hand, waits: bool) -> Acted {
        let Some(OpenHand { inode: Some(inode), state: HandState::Found, .. }) = self.hands.get(&hand) else {
            return Err("never found it");
        };
        let inode = *inode;
        let step = self.steps;
        let held = self.leases.iter_mut().filter(|lease| lease.inode == inode && lease.dropped.is_none());
        let broken = held.map(|lease| lease.broken.get_or_insert(step)).count() > 0;
        let hand = self.hands.get_mut(&hand).expect("it was there a moment ago");
        let (state, outcome) = match (broken, waits) {
            (false, _) => (HandState::Open, "open"),
            (true, true) => (HandState::Waiting, "waits, the lease is broken"),
            (true, false) => (HandState::Done, "leaves, the lease is broken"),
        };
        hand.state = state;
        Ok(outcome)
    }

    fn use_by_stranger(&mut self, hand: Hand, act: &Act) -> Acted {
        let it = self.hands.get_mut(&hand).ok_or("never found it")?;
        match it.state {
            HandState::Found | HandState::Done => return Err("not open"),
            HandState::Waiting => {
                it.queued.push(act.clone());
                return Ok("waits");
            }
            HandState::Open => {}
        }
        if !matches!(act, Act::Write { .. }) {
            it.state = HandState::Done;
        }
        let (Act::Write { bytes, .. } | Act::WriteAndClose { bytes, .. }) = act else { return Ok("done") };
        let (inode, path, epoch) = (it.inode.expect("what is open was found"), it.path.clone(), it.epoch);
        let bytes = bytes.as_bytes().to_vec();
        let now = self.tick();
        let file = self.inode_mut(inode);
        let old = std::mem::replace(&mut file.bytes, bytes.clone());
        (file.mtime, file.ctime, file.by_stranger, file.durable) = (now, now, true, true);
        self.tell_of_file(inode);
        self.account.disowned.insert(old);
        if self.account.epochs.get(&path).copied().unwrap_or(0) == epoch {
            self.account.owed.insert(bytes.clone());
            self.account.written.insert(bytes.clone());
            self.account.newest.insert(path, Some(bytes));
        }
        Ok("done")
    }

    /// Lets those who wait to write into an inode go on.
    fn wake(&mut self, may_go_on: impl Fn(u64) -> bool) {
        let held: BTreeSet<u64> =
            self.leases.iter().filter(|lease| lease.dropped.is_none()).map(|lease| lease.inode).collect();
        let mut queued = Vec::new();
        for hand in self.hands.values_mut() {
            let Some(inode) = hand.inode else { continue };
            if hand.state == HandState::Waiting && may_go_on(inode) && !held.contains(&inode) {
                hand.state = HandState::Open;
                queued.append(&mut hand.queued);
            }
        }
        for act in queued {
            self.act(&act);
        }
    }

    fn is_open_for_writing(&self, inode: u64) -> bool {
        let writes = |hand: &OpenHand| matches!(hand.state, HandState::Open | HandState::Waiting);
        self.hands.values().any(|hand| hand.inode == Some(inode) && writes(hand))
    }

    /// A stranger replaced or removed a name of this file himself. A second link of our own does not keep it.
    fn disown_unless_linked(&mut self, inode: u64) {
        let linked = self.walk().iter().any(|(path, it)| *it == inode && is_visible(path));
        if !linked {
            self.account.disowned.insert(self.inodes[&inode].bytes.clone());
        }
    }

    fn set_newest(&mut self, path: &str, bytes: Option<Vec<u8>>) {
        self.account.newest.insert(path.to_owned(), bytes);
        *self.account.epochs.entry(path.to_owned()).or_default() += 1;
    }
}

/// What became of a stranger's act, in a word for the trace; either way it is over.
type Acted = std::result::Result<&'static str, &'static str>;

/// Whether it matters to a stranger's act on which side of a step it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matters {
    /// It may.
    Always,
    /// Only if the power is cut afterwards.
    ToCuts,
    /// The step neither sees nor changes anything that the act could: it is about noclobber's own folder, about a file without a name, or
    /// about which folder it is.
    Never,
}

impl Matters {
    /// Whether to act just before the step and just after it can come to different ends. A change of mode is seen by steps that see
    /// nothing else of a file.
    pub fn to(self, act: &Act, cuts: bool) -> bool {
        match self {
            _ if matches!(act, Act::Chmod { .. }) => true,
            Self::Always => true,
            Self::ToCuts => cuts,
            Self::Never => false,
        }
    }

    fn of(operation: &str, label: &str) -> Self {
        let is_own = |path: &str| path == OWN || path.starts_with(".noclobber/");
        let never = match operation {
            "root" | "open_dir" | "dir_status" | "is_the_only_path" | "space" | "clock" | "copy_attributes"
            | "watch" | "unwatch" => true,
            "look" | "list" | "make_dir" | "create_named" => is_own(label),
            "link" => label.contains(" at .noclobber/"),
            "rename_new" => label.split(" , ").all(is_own),
            "create_nameless" | "reserve" => true,
            "write" | "set_mtime" | "sync_file" | "finish_writing" | "status" | "lease" | "is_unbroken" => {
                label.contains("(no name)")
            }
            _ => false,
        };
        match operation {
            _ if never => Self::Never,
            "sync_dir" => Self::ToCuts,
            _ => Self::Always,
        }
    }
}

/// Whether a step leaves the disk as it is, and everything that would be left of it.
fn only_looks(operation: &str) -> bool {
    matches!(
        operation,
        "root"
            | "open_dir"
            | "dir_status"
            | "look"
            | "is_the_only_path"
            | "open"
            | "status"
            | "read"
            | "list"
            | "lease"
            | "is_unbroken"
            | "space"
            | "clock"
            | "watch"
            | "unwatch"
            | "changes"
    )
}

fn is_visible(path: &str) -> bool {
    !path.split('/').any(|name| name == OWN)
}

fn raw(handle: &Arc<dyn RawHandle>) -> &SimHandle {
    let handle: &dyn Any = &**handle;
    handle.downcast_ref().expect("a handle of this disk")
}

fn id(handle: &Arc<dyn RawHandle>) -> u64 {
    raw(handle).inode
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A planned crash is no news: only other panics are printed.
fn quieten_crashes() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<Crashed>().is_none() {
                print(info);
            }
        }));
    });
}
