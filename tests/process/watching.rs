//! What other programs do behind the server's back wakes the share up, soon and once; and nothing that is promised needs it to.
//! The share is a real folder on the real disk, opened in this process.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use noclobber::model::content_hash::ContentHash;
use noclobber::model::path::SharePath;
use noclobber::model::precondition::{ConditionalFields, Header, Precondition};
use noclobber::model::stamp::Timestamp;
use noclobber::model::tag::EntityTag;
use noclobber::share::outcome::{Refusal, Stop};
use noclobber::share::{OpenResource, RequestContext, Share, ShareSettings, UploadWatch};
use noclobber::store::catalog::index::Index;
use noclobber::store::local::commit::Tree;
use noclobber::store::local::os_disk::{FolderLock, Options};
use noclobber::watch::{self, Reason, Watch, WatchState};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

use crate::harness::programs::{self, StartProgram as _, open_disk, while_none_starts};
use crate::harness::{Server, eventually, full, has_program, heavy, left_out, report};

/// Until a change is noticed, on a machine that is busy with other tests. Alone it takes about an eighth of a second.
const SOON: Duration = Duration::from_secs(10);

/// Files larger than this many bytes are not hashed before they are answered.
const THRESHOLD: u64 = 1 << 20;

/// How often the watch looks whether its folder is still the one that is served.
const LOOKS_EVERY: Duration = Duration::from_secs(2);

/// Set in the process in which a test that needs limits of its own runs once more.
const CONFINED: &str = "NOCLOBBER_TEST_CONFINED";

#[test]
fn an_upload_whose_file_is_changed_is_told() {
    let shared = Shared::with(&[("renamed", "1"), ("written", "1"), ("removed", "1"), ("touched", "1")]);
    let _watch = shared.watch();
    let renamed = shared.upload_of("renamed");
    let written = shared.upload_of("written");
    let removed = shared.upload_of("removed");
    let created = shared.upload_of_new("created");
    let touched = shared.upload_of("touched");

    let began = Instant::now();
    shared.write("beside", "2");
    fs::rename(shared.at("beside"), shared.at("renamed")).unwrap();
    renamed.is_told(Header::IfMatch);
    report(&format!("watching: a save by rename told an upload after {} ms", began.elapsed().as_millis()));
    shared.write("written", "2");
    written.is_told(Header::IfMatch);
    fs::remove_file(shared.at("removed")).unwrap();
    removed.is_told(Header::IfMatch);
    shared.write("created", "2");
    created.is_told(Header::IfNoneMatch);

    // The bytes of this one stay. Of two changes that come one after the other, both have been looked at when the second is told.
    let touch = || fs::File::options().append(true).open(shared.at("touched"))?.set_modified(SystemTime::now());
    while_none_starts(touch).unwrap();
    shared.change_is_told("renamed");
    shared.change_is_told("renamed");
    assert!(touched.told().is_none(), "{:?}", touched.told());
}

/// The watch looks now and then whether its folder is still the one that is served. That takes no descriptor, so it goes on while none is left.
#[test]
fn a_process_without_descriptors_goes_on_watching() {
    const NAME: &str = "a_process_without_descriptors_goes_on_watching";
    if std::env::var_os(CONFINED).is_none_or(|confined| confined != NAME) {
        return run_alone(Command::new(std::env::current_exe().unwrap()), NAME);
    }
    let shared = Shared::with(&[("a", "1")]);
    let watch = shared.watch();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let few = rustix::process::Rlimit { current: Some(64), ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, few).unwrap();
    let taken: Vec<fs::File> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
    let until = Instant::now() + 3 * LOOKS_EVERY;
    while Instant::now() < until {
        assert_eq!(watch.state(), WatchState::Watching);
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(taken);
    shared.change_is_told("a");
}

/// While a program has the file open nobody can say what it will be, and the upload goes on. That it is closed brings a look.
#[test]
fn an_upload_is_told_when_a_program_closes_what_it_wrote() {
    let shared = Shared::with(&[("open", "1"), ("other", "1")]);
    let _watch = shared.watch();
    let upload = shared.upload_of("open");
    let new = shared.upload_of_new("open");
    let mut file = fs::File::options().write(true).open(shared.at("open")).unwrap();
    file.write_all(b"2").unwrap();
    new.is_told(Header::IfNoneMatch);
    shared.change_is_told("other");
    shared.change_is_told("other");
    assert!(upload.told().is_none(), "{:?}", upload.told());
    drop(file);
    upload.is_told(Header::IfMatch);
}

/// Its content has to be read to say whether it still is the version that was named: whoever wants to know it has it hashed when he is told.
#[test]
fn an_upload_that_replaces_a_large_file_is_told() {
    let large = "x".repeat(2 * THRESHOLD as usize);
    let shared = Shared::with(&[("large", &large), ("small", "1")]);
    let _watch = shared.watch();
    let OpenResource::File(_, identity) =
        shared.share.read_hashed(&share_path("large"), &RequestContext::unconditional(now())).unwrap()
    else {
        panic!()
    };
    let tag = EntityTag::of_content(&identity.hash.unwrap()).to_string();
    let fields = ConditionalFields { if_match: vec![tag.as_bytes()], ..Default::default() };
    let upload = shared.upload("large", &fields);
    let look_again = || {
        eventually(SOON, "a doubt", || upload.watch.is_in_doubt().then_some(()));
        let (path, precondition) = (share_path("large"), Precondition::parse(&fields).unwrap());
        for file in shared.share.unhashed(&path, None, &RequestContext::new(precondition.clone(), now())).unwrap() {
            shared.share.hash(&file, &|| true, now()).unwrap();
        }
        shared.share.may_go_on(&path, &RequestContext::new(precondition.clone(), now()))
    };
    shared.write("beside", &large);
    fs::rename(shared.at("beside"), shared.at("large")).unwrap();
    assert!(look_again().is_ok(), "the bytes are the same");
    shared.change_is_told("small");
    shared.change_is_told("small");
    assert!(upload.told().is_none());
    fs::File::options().append(true).open(shared.at("large")).unwrap().write_all(b"y").unwrap();
    // Of one change there may be two hints.
    let stop = eventually(SOON, "a stale upload", || look_again().err());
    assert!(refuses(Some(&stop), Header::IfMatch), "{stop:?}");
}

/// Hints wait for no large file, however long it would take to read it, nor does whoever stops the server.
#[test]
fn a_large_file_delays_no_hint() {
    let shared = Shared::with(&[("huge", ""), ("small", "1")]);
    let watch = shared.watch();
    let huge = fs::File::options().write(true).open(shared.at("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    drop(huge);
    let of_some_content = EntityTag::of_content(&ContentHash::from_bytes([1; 32])).to_string();
    let fields = ConditionalFields { if_match: vec![of_some_content.as_bytes()], ..Default::default() };
    let upload = shared.upload("huge", &fields);
    let age = || fs::File::options().append(true).open(shared.at("huge"))?.set_modified(SystemTime::UNIX_EPOCH);
    while_none_starts(age).unwrap();
    eventually(SOON, "a doubt", || (upload.woken.load(Ordering::SeqCst) > 0).then_some(()));
    shared.change_is_told("small");
    assert!(upload.watch.is_in_doubt() && upload.told().is_none());
    drop(watch);
}

/// Whatever is being hashed ends when the server stops, and what was not read to its end is not taken for known.
#[test]
fn hashing_ends_when_the_server_stops() {
    let shared = Shared::with(&[("huge", "")]);
    let huge = fs::File::options().write(true).open(shared.at("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    drop(huge);
    std::thread::scope(|scope| {
        let hashing =
            scope.spawn(|| shared.share.read_hashed(&share_path("huge"), &RequestContext::unconditional(now())));
        shared.share.stop_what_takes_long();
        let Ok(OpenResource::File(_, identity)) = hashing.join().unwrap() else { panic!("it can be read") };
        assert_eq!(identity.hash, None);
    });
}

/// The folders that an upload asks for are made while it is on the list. Each of them is a change, and none of them makes it stale.
#[test]
fn an_upload_is_not_stale_while_its_own_folders_are_made() {
    let shared = Shared::empty();
    let _watch = shared.watch();
    let upload = shared.upload_of_new("a/b/c/file");
    let _folders = shared.share.make_parents(&share_path("a/b/c/file"), &RequestContext::unconditional(now())).unwrap();
    assert!(upload.told().is_none(), "{:?}", upload.told());
    shared.write("a/b/c/file", "2");
    upload.is_told(Header::IfNoneMatch);
}

#[test]
fn a_file_in_folders_that_were_made_at_once_is_noticed() {
    let shared = Shared::empty();
    let _watch = shared.watch();
    for round in 0..40 {
        let name = format!("{round}/b/c/file");
        let upload = shared.upload_of_new(&name);
        fs::create_dir_all(shared.at(&name).parent().unwrap()).unwrap();
        shared.write(&name, "here");
        upload.is_told(Header::IfNoneMatch);
        let again = shared.upload_of(&name);
        shared.write(&name, "changed");
        again.is_told(Header::IfMatch);
    }
}

#[test]
fn folders_are_followed_wherever_they_are_moved() {
    let shared = Shared::with(&[("a/deep/file", "a"), ("b/deep/file", "b"), ("empty/file", "e")]);
    let elsewhere = tempfile::tempdir_in(shared.folder.path().parent().unwrap()).unwrap();
    fs::remove_file(shared.at("empty/file")).unwrap();
    let _watch = shared.watch();

    let upload = shared.upload_of("a/deep/file");
    fs::rename(shared.at("a"), shared.at("moved")).unwrap();
    upload.is_told(Header::IfMatch);
    shared.change_is_told("moved/deep/file");

    let uploads = [shared.upload_of("moved/deep/file"), shared.upload_of("b/deep/file")];
    renameat_with(CWD, shared.at("moved"), CWD, shared.at("b"), RenameFlags::EXCHANGE).unwrap();
    uploads.iter().for_each(|upload| upload.is_told(Header::IfMatch));
    shared.change_is_told("moved/deep/file");
    shared.change_is_told("b/deep/file");

    let upload = shared.upload_of("b/deep/file");
    fs::rename(shared.at("b"), elsewhere.path().join("b")).unwrap();
    upload.is_told(Header::IfMatch);
    fs::write(elsewhere.path().join("b/deep/file"), "written outside").unwrap();
    fs::rename(elsewhere.path().join("b"), shared.at("back")).unwrap();
    shared.change_is_told("back/deep/file");

    // Over an empty folder that was watched itself.
    fs::rename(shared.at("back"), shared.at("empty")).unwrap();
    shared.change_is_told("empty/deep/file");

    fs::remove_dir_all(shared.at("empty")).unwrap();
    fs::create_dir_all(shared.at("empty/deep")).unwrap();
    shared.write("empty/deep/file", "anew");
    shared.change_is_told("empty/deep/file");
}

#[test]
fn links_lead_nowhere_and_the_history_takes_no_watches() {
    let shared = Shared::with(&[("a/b/file", "1"), (".noclobber/history/a/b/file/version", "0")]);
    symlink("/", shared.at("a/everything")).unwrap();
    symlink("..", shared.at("a/b/itself")).unwrap();
    symlink("nowhere", shared.at("dangling")).unwrap();
    let _watch = shared.watch();
    assert_eq!(shared.watches(), 3, "the share, a, and a/b");

    symlink("/", shared.at("a/later")).unwrap();
    fs::create_dir_all(shared.at(".noclobber/history/a/later")).unwrap();
    fs::create_dir_all(shared.at("c/.NoClobber/history")).unwrap();
    shared.change_is_told("a/b/file");
    eventually(SOON, "the fourth watch", || (shared.watches() == 4).then_some(()));
}

#[test]
fn a_share_behind_a_link_is_watched() {
    let shared = Shared::with(&[("a/file", "1")]);
    let beside = tempfile::tempdir().unwrap();
    let link = beside.path().join("link");
    symlink(shared.folder.path(), &link).unwrap();
    let watch = watch::start(Arc::clone(&shared.share), &link);
    shared.wait_for(&watch);
    shared.change_is_told("a/file");
}

#[test]
fn a_share_that_is_removed_and_made_again_is_watched_again() {
    let shared = Shared::with(&[("top/file", "1")]);
    let top = shared.at("top");
    let inner = Shared::on(top.clone());
    let watch = inner.watch();
    fs::remove_dir_all(&top).unwrap();
    eventually(SOON, "the folder to be missed", || {
        (watch.state() == WatchState::Degraded(Reason::FolderGone)).then_some(())
    });
    fs::create_dir_all(top.join("sub")).unwrap();
    fs::write(top.join("sub/file"), "2").unwrap();
    inner.wait_for(&watch);
    inner.change_is_told("sub/file");
    assert_eq!(log_lines(&top), 0, "that a folder is gone is not about watching");
}

/// Where the share's path leads to a folder that cannot be served, because another process serves it, that is not watched in its place.
#[test]
fn only_what_is_served_is_watched() {
    let shared = Shared::with(&[("served/file", "1"), ("other/file", "1")]);
    let disk = open_disk(&shared.at("served"), Options::default()).unwrap();
    let theirs = open_disk(&shared.at("other"), Options::default()).unwrap();
    if [&disk, &theirs].map(|disk| disk.lock_share().unwrap()) != [FolderLock::Held; 2] {
        return left_out("only_what_is_served_is_watched", "the file system has no locks");
    }
    let share =
        Arc::new(Share::open(Tree::on(Arc::new(disk)), Index::in_memory(), ShareSettings::default(), now()).unwrap());
    let watch = watch::start(share, &shared.at("served"));
    let is_watching = || (watch.state() == WatchState::Watching).then_some(());
    eventually(SOON, "all folders to be watched", is_watching);
    fs::rename(shared.at("served"), shared.at("aside")).unwrap();
    fs::rename(shared.at("other"), shared.at("served")).unwrap();
    let is_gone = || (watch.state() == WatchState::Degraded(Reason::FolderGone)).then_some(());
    eventually(SOON, "the folder to be missed", is_gone);
    drop(theirs);
    eventually(SOON, "the folder that is served now to be watched", is_watching);
}

#[test]
fn twenty_thousand_files_at_once_lose_nothing() {
    let _turn = heavy();
    let shared = Shared::with(&[("file", "1")]);
    let watch = shared.watch();
    for folder in ["x", "y"] {
        fs::create_dir(shared.at(folder)).unwrap();
    }
    let (upload, new) = (shared.upload_of("file"), shared.upload_of_new("y/9999"));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for folder in ["x", "y"] {
            let folder = shared.at(folder);
            scope.spawn(move || (0..10_000).for_each(|n| drop(fs::File::create(folder.join(n.to_string())).unwrap())));
        }
        shared.write("file", "2");
    });
    report(&format!("watching: 20,000 files were made in {} ms", began.elapsed().as_millis()));
    upload.is_told(Header::IfMatch);
    new.is_told(Header::IfNoneMatch);
    assert_eq!(shared.read("file"), b"2");
    eventually(SOON, "the watch to be whole again", || (watch.state() == WatchState::Watching).then_some(()));
    shared.change_is_told("y/9999");
    assert!(log_lines(shared.folder.path()) <= 1);
}

#[test]
fn too_few_watches_are_told_once_and_harm_nothing() {
    let name = "too_few_watches_are_told_once_and_harm_nothing";
    if !confined(name, "max_inotify_watches", 20) {
        return;
    }
    let shared = Shared::with(&[("file", "1")]);
    for folder in 0..100 {
        fs::create_dir_all(shared.at(&format!("{folder}/sub"))).unwrap();
        shared.write(&format!("{folder}/sub/file"), "1");
    }
    let watch = shared.start();
    eventually(SOON, "the watches to run out", || {
        (watch.state() == WatchState::Degraded(Reason::TooFewWatches)).then_some(())
    });
    fs::create_dir_all(shared.at("one/more")).unwrap();
    // The folder at the top has a watch, and the others need none to be right.
    shared.change_is_told("file");
    for folder in 0..100 {
        shared.is_right_without_hints(&format!("{folder}/sub/file"));
    }
    assert_eq!(watch.state(), WatchState::Degraded(Reason::TooFewWatches));
    assert_eq!(log_lines(shared.folder.path()), 1);
}

#[test]
fn a_watcher_that_cannot_be_had_is_told_once_and_harms_nothing() {
    let name = "a_watcher_that_cannot_be_had_is_told_once_and_harms_nothing";
    if !confined(name, "max_inotify_instances", 0) {
        return;
    }
    let shared = Shared::with(&[("file", "1")]);
    let watch = shared.start();
    eventually(SOON, "the watcher to be refused", || {
        matches!(watch.state(), WatchState::Degraded(Reason::Unavailable(_))).then_some(())
    });
    shared.is_right_without_hints("file");
    drop(watch);
    assert_eq!(log_lines(shared.folder.path()), 1);
}

/// A thousand edits that neither the size nor the date betrays, and no watcher: each is seen by the next look.
#[test]
fn without_a_watcher_every_edit_is_seen() {
    let shared = Shared::with(&[("file", "000000")]);
    for _ in 0..1000 {
        shared.is_right_without_hints("file");
    }
}

#[test]
fn a_watch_that_is_dropped_gives_no_more_hints() {
    let shared = Shared::with(&[("file", "1")]);
    let upload = shared.upload_of("file");
    let held = Arc::strong_count(&shared.share);
    drop(shared.watch());
    // The thread that sets the watches may be looking at it for the last time.
    eventually(SOON, "the share to be let go", || (Arc::strong_count(&shared.share) == held).then_some(()));
    shared.write("file", "2");
    eventually(SOON, "the watches to be given back", || (shared.watches() == 0).then_some(()));
    assert!(upload.told().is_none());
}

#[test]
fn a_large_tree_delays_nobody() {
    let _turn = heavy();
    let shared = Shared::empty();
    let folders = if full() { 100_000 } else { 5_000 };
    for folder in 0..folders / 100 {
        (0..99).for_each(|sub| fs::create_dir_all(shared.at(&format!("{folder}/{sub}"))).unwrap());
    }
    let began = Instant::now();
    let watch = shared.start();
    let started = began.elapsed();
    eventually(Duration::from_secs(60), "all watches", || match watch.state() {
        WatchState::Setting => None,
        state => Some(state),
    });
    let watched = began.elapsed();
    report(&format!("watching: {folders} folders: started in {started:.1?}, watched after {watched:.1?}"));
    assert!(started < Duration::from_secs(1), "{started:?}");
    if watch.state() == WatchState::Watching {
        assert_eq!(shared.watches(), folders + 1);
    }
}

/// The folders that a request makes on its way were taken for a reason to refuse its own body, once there were two of them.
#[test]
fn a_large_new_file_is_put_with_its_folders() {
    let server = Server::start();
    server.put("/a/b/c/large?mkdirs").if_none_match("*").body(vec![b'x'; 1 << 20]).expect(201);
}

/// A folder that is shared in this process.
struct Shared {
    folder: Folder,
    share: Arc<Share>,
}

enum Folder {
    Made(TempDir),
    Given(PathBuf),
}

/// An upload in flight that names a version.
struct InFlight {
    path: String,
    watch: UploadWatch,
    woken: Arc<AtomicUsize>,
}

impl Shared {
    fn empty() -> Self {
        Self::with(&[])
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            while_none_starts(|| fs::write(path, text)).unwrap();
        }
        let share = open(folder.path());
        Self { folder: Folder::Made(folder), share }
    }

    fn on(folder: PathBuf) -> Self {
        Self { share: open(&folder), folder: Folder::Given(folder) }
    }

    fn start(&self) -> Watch {
        listen_to_the_log();
        watch::start(Arc::clone(&self.share), self.folder.path())
    }

    /// Watches, and waits until that has begun.
    fn watch(&self) -> Watch {
        let watch = self.start();
        self.wait_for(&watch);
        watch
    }

    /// The first hint speaks of everything, so an upload of a version that never was is told by it.
    fn wait_for(&self, watch: &Watch) {
        let upload = self.upload(".first", &ConditionalFields { if_match: vec![b"\"never\""], ..Default::default() });
        eventually(SOON, "all folders to be watched", || (watch.state() == WatchState::Watching).then_some(()));
        upload.is_told(Header::IfMatch);
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        while_none_starts(|| fs::write(self.at(path), text)).unwrap();
    }

    fn tag(&self, path: &str) -> Vec<u8> {
        programs::have_started();
        match self.share.read(&share_path(path), &RequestContext::unconditional(now())).unwrap() {
            OpenResource::File(_, identity) => format!("{}", identity.validators.shown).into_bytes(),
            other => panic!("{path} is {other:?}"),
        }
    }

    fn read(&self, path: &str) -> Vec<u8> {
        let OpenResource::File(content, _) =
            self.share.read(&share_path(path), &RequestContext::unconditional(now())).unwrap()
        else {
            panic!("{path}")
        };
        let mut bytes = vec![0; content.size() as usize];
        let count = content.read_at(0, &mut bytes).unwrap();
        bytes.truncate(count);
        bytes
    }

    /// An upload that replaces what is at a path now.
    fn upload_of(&self, path: &str) -> InFlight {
        let tag = self.tag(path);
        let upload = self.upload(path, &ConditionalFields { if_match: vec![&tag], ..Default::default() });
        assert!(
            self.share.may_put(&share_path(path), &RequestContext::new(upload_of_tag(&tag), now()), None).is_ok(),
            "{path}"
        );
        upload
    }

    /// An upload that makes a new file.
    fn upload_of_new(&self, path: &str) -> InFlight {
        self.upload(path, &ConditionalFields { if_none_match: vec![b"*"], ..Default::default() })
    }

    fn upload(&self, path: &str, fields: &ConditionalFields<'_>) -> InFlight {
        let woken = Arc::new(AtomicUsize::new(0));
        let wakes = Arc::clone(&woken);
        let wake = Box::new(move || {
            wakes.fetch_add(1, Ordering::SeqCst);
        });
        let watch = self.share.watch_upload(
            &share_path(path),
            &RequestContext::new(Precondition::parse(fields).unwrap(), Timestamp::default()),
            wake,
        );
        InFlight { path: path.to_owned(), watch, woken }
    }

    #[track_caller]
    fn change_is_told(&self, path: &str) {
        let upload = self.upload_of(path);
        let mut text = self.read(path);
        text.push(b'+');
        while_none_starts(|| fs::write(self.at(path), text)).unwrap();
        upload.is_told(Header::IfMatch);
    }

    /// Edits a file so that only its ctime shows it, and asks for it at once.
    #[track_caller]
    fn is_right_without_hints(&self, path: &str) {
        let before = self.tag(path);
        let mut text = self.read(path);
        text.iter_mut().for_each(|byte| *byte = if *byte == b'9' { b'0' } else { *byte + 1 });
        let mut file = fs::File::options().write(true).open(self.at(path)).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.write_all(&text).unwrap();
        file.set_modified(modified).unwrap();
        drop(file);
        assert_eq!(self.read(path), text);
        assert_ne!(self.tag(path), before, "the old tag is shown for the new bytes");
        let stale = self.share.may_put(&share_path(path), &RequestContext::new(upload_of_tag(&before), now()), None);
        assert!(refuses(stale.as_ref().err(), Header::IfMatch), "{stale:?}");
    }

    /// How many watches the watcher of this share has, as the kernel tells it.
    fn watches(&self) -> usize {
        let inode = format!(" ino:{:x} ", self.folder.path().metadata().unwrap().ino());
        let instances = fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
        let texts = instances.filter_map(|entry| fs::read_to_string(entry.path()).ok());
        let ours = texts.filter(|text| text.contains("inotify wd:") && text.contains(&inode));
        ours.map(|text| text.matches("inotify wd:").count()).sum()
    }
}

impl InFlight {
    fn told(&self) -> Option<Stop> {
        self.watch.told()
    }

    /// Waits until it is woken and told that this header is false.
    #[track_caller]
    fn is_told(&self, header: Header) {
        let what = format!("{header} to be false for {}", self.path);
        let stop = eventually(SOON, &what, || self.told().filter(|_| self.woken.load(Ordering::SeqCst) > 0));
        assert!(refuses(Some(&stop), header), "{}: {stop:?}", self.path);
    }
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Made(folder) => folder.path(),
            Self::Given(folder) => folder,
        }
    }
}

fn open(folder: &Path) -> Arc<Share> {
    let disk = open_disk(folder, Options::default()).unwrap();
    let settings = ShareSettings {
        keep: None,
        require_preconditions: false,
        tag_threshold: THRESHOLD,
        hashing_max: 2,
        syncs: true,
        ..ShareSettings::default()
    };
    Arc::new(Share::open(Tree::on(Arc::new(disk)), Index::in_memory(), settings, now()).unwrap())
}

fn share_path(path: &str) -> SharePath {
    SharePath::parse_disk(path.as_bytes()).unwrap()
}

fn upload_of_tag(tag: &[u8]) -> Precondition {
    Precondition::parse(&ConditionalFields { if_match: vec![tag], ..Default::default() }).unwrap()
}

fn refuses(stop: Option<&Stop>, by: Header) -> bool {
    matches!(stop, Some(Stop::Refusal(Refusal::PreconditionFailed { header, .. })) if *header == by)
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// Whether this process is the one with the limit. If not it runs the test in one that is, in a user namespace of its own, or says
/// that the test is left out.
fn confined(name: &str, limit: &str, value: u32) -> bool {
    if std::env::var_os(CONFINED).is_some_and(|confined| confined == name) {
        return true;
    }
    let set = format!("echo {value} > /proc/sys/user/{limit}");
    let may = Command::new("unshare").args(["-Ur", "sh", "-c", &set]).run();
    if !has_program("unshare") || !may.is_ok_and(|may| may.status.success()) {
        left_out(name, "no user namespace with limits of its own is to be had (unshare -Ur)");
        return false;
    }
    let mut run = Command::new("unshare");
    run.args(["-Ur", "sh", "-c", &format!("{set} && exec \"$0\" \"$@\"")]).arg(std::env::current_exe().unwrap());
    run_alone(run, name);
    false
}

/// Runs one test of this file in a process of its own, which this command starts.
fn run_alone(mut command: Command, name: &str) {
    command.args(["--exact", &crate::whole_name!(name), "--nocapture"]).env(CONFINED, name);
    let run = command.run().unwrap();
    let printed = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    assert!(run.status.success() && printed.contains("1 passed"), "{printed}");
}

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct ToTheLog;

impl std::io::Write for ToTheLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn listen_to_the_log() {
    static LISTENS: OnceLock<()> = OnceLock::new();
    LISTENS.get_or_init(|| {
        let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false);
        lines.with_writer(|| ToTheLog).init();
    });
}

/// How many lines of the log speak of this folder.
fn log_lines(folder: &Path) -> usize {
    let log = LOG.lock().unwrap();
    String::from_utf8_lossy(&log).lines().filter(|line| line.contains(&*folder.to_string_lossy())).count()
}
