//! Starts the built program on a free port with a folder and a state folder of its own, and stops it when dropped.
//! It stops only what it started, by its process id, and removes only the folders it made.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::canaries;
use super::eventually;
use super::programs::{StartProgram as _, while_none_starts};

/// How long the program may take to be ready, on a machine that is busy with other tests.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take to stop when asked: uploads in flight get ten seconds.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

/// The log is written by a thread of its own; what it still has to say about a test that failed comes within this.
const WRITES_ITS_LOG_WITHIN: Duration = Duration::from_millis(500);
/// The user that `unprivileged` runs the program as.
pub const NOBODY: u32 = 65534;

/// The grain that every server of this run has which is given none, in milliseconds (`NOCLOBBER_TEST_GRAIN`).
pub fn grain_of_all() -> Option<u64> {
    std::env::var("NOCLOBBER_TEST_GRAIN").ok()?.parse().ok()
}

/// A running server; dropping it stops it and removes its folders.
#[derive(Debug)]
pub struct Server {
    options: Options,
    places: Arc<Places>,
    child: Option<Child>,
    address: SocketAddr,
    printed: Arc<Mutex<String>>,
    log: Arc<Mutex<String>>,
}

/// How a server is to be started.
#[derive(Clone, Debug, Default)]
#[must_use = "a server is started by `start`"]
pub struct Options {
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    under: Vec<OsString>,
    folder: Option<PathBuf>,
    state: Option<PathBuf>,
    without_state: bool,
    unprivileged: bool,
}

/// The folders of a server, those that were made for it and those that were given.
#[derive(Debug)]
struct Places {
    folder: PathBuf,
    state: PathBuf,
    program: PathBuf,
    // Held only to be removed when the server is gone.
    _made: Vec<TempDir>,
}

impl Options {
    /// Adds a word to the command line, such as `--no-watch`.
    pub fn option(mut self, word: impl Into<OsString>) -> Self {
        self.arguments.push(word.into());
        self
    }

    /// Adds an option with its value.
    pub fn value(self, name: &str, value: impl ToString) -> Self {
        self.option(name).option(value.to_string())
    }

    /// Sets a variable of the environment.
    pub fn environment(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Serves as if the disk's clock had this grain, in milliseconds.
    pub fn time_grain(self, milliseconds: u64) -> Self {
        self.value("--force-time-grain", milliseconds)
    }

    /// Serves this folder, which stays when the server is gone, rather than one made for it.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Keeps the state in this folder, which stays when the server is gone, rather than in one made for it.
    pub fn state(mut self, state: impl Into<PathBuf>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// Gives no `--state` at all.
    pub fn without_state(mut self) -> Self {
        self.without_state = true;
        self
    }

    /// Runs the program as nobody, with what is in the folder given to nobody; it takes root.
    pub fn unprivileged(mut self) -> Self {
        self.unprivileged = true;
        self
    }

    /// Runs the program under another one, which has to become it or have it as its own child (`prlimit`, `strace -D`).
    pub fn under<W: Into<OsString>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.under.extend(words.into_iter().map(Into::into));
        self
    }

    /// Starts the server and waits until it is ready.
    #[track_caller]
    pub fn start(self) -> Server {
        let places = Arc::new(Places::make(&self));
        let started = start(&self, &places);
        Server::from_started(self, places, started)
    }

    /// Starts the program, which has to end on its own, and gives its exit status and all it printed.
    #[track_caller]
    pub fn start_in_vain(self) -> (ExitStatus, String) {
        let places = Places::make(&self);
        let output = command(&self, &places).run().expect("the program can be run");
        let printed = [output.stdout, output.stderr].concat();
        (output.status, String::from_utf8_lossy(&printed).into_owned())
    }
}

impl Server {
    /// A server with an empty folder and nothing out of the ordinary.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A server to be started with options.
    pub fn builder() -> Options {
        Options::default()
    }

    /// A server to be started with one more word on its command line.
    pub fn with(word: impl Into<OsString>) -> Options {
        Options::default().option(word)
    }

    /// A server that serves a folder which is there already.
    #[track_caller]
    pub fn on(folder: impl Into<PathBuf>) -> Self {
        Options::default().folder(folder).start()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder that is served.
    pub fn folder(&self) -> &Path {
        &self.places.folder
    }

    /// Its state folder.
    pub fn state(&self) -> &Path {
        &self.places.state
    }

    /// A path inside the folder, as a local program sees it.
    pub fn local(&self, path: impl AsRef<Path>) -> PathBuf {
        self.places.folder.join(path)
    }

    /// Writes a file as a local program would, making its folders.
    #[track_caller]
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let local = self.local(path);
        fs::create_dir_all(local.parent().expect("a folder above")).expect("the folders can be made");
        while_none_starts(|| fs::write(&local, content)).expect("the file can be written");
        local
    }

    /// Reads a file as a local program would.
    #[track_caller]
    pub fn read(&self, path: impl AsRef<Path>) -> String {
        let local = self.local(path);
        let content = fs::read(&local).unwrap_or_else(|error| panic!("{}: {error}", local.display()));
        String::from_utf8_lossy(&content).into_owned()
    }

    /// The names in the folder as a local program sees them, sorted, without the reserved one.
    #[track_caller]
    pub fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.local(path))
            .expect("the folder can be listed")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| name != ".noclobber")
            .collect();
        names.sort();
        names
    }

    /// Every file that the history holds on the disk, or the swap folder: its path under `.noclobber` and its content.
    pub fn kept_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        for area in ["history", "swap", "uploads"] {
            collect_files(&self.local(".noclobber").join(area), &mut found);
        }
        found
    }

    /// The folder in which the versions of a path are kept.
    pub fn versions_of(&self, path: &str) -> PathBuf {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.local(".noclobber/history").join(folder).join(".noclobber").join(name)
    }

    /// What it has printed to the terminal so far.
    pub fn greeting(&self) -> String {
        self.printed.lock().expect("nobody panics with the text").clone()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("nobody panics with the log").clone()
    }

    /// Waits until these words stand in the log or among the start-up lines.
    #[track_caller]
    pub fn wait_until_it_says(&self, words: &str) {
        eventually(Duration::from_secs(10), &format!("{words:?} to be said"), || {
            (self.greeting() + &self.log()).contains(words).then_some(())
        });
    }

    /// Waits until the log has a line with these words. Lines are written by a thread of their own, after the answer.
    #[track_caller]
    pub fn wait_for_log(&self, words: &str) {
        eventually(Duration::from_secs(10), &format!("{words:?} in the log"), || {
            self.log().contains(words).then_some(())
        });
    }

    /// The process id.
    #[track_caller]
    pub fn process_id(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Asks it to stop (SIGTERM) and gives its exit status.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(STOPPED_WITHIN)
    }

    /// Kills it (SIGKILL), as a crash would.
    #[track_caller]
    pub fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.wait(STOPPED_WITHIN)
    }

    /// Sends a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), signal).expect("the server can be signalled");
    }

    /// Waits until it has ended on its own.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("the server runs");
        let status = wait_for(&mut child, limit);
        let Some(status) = status else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the server did not stop within {limit:?}; its log:\n{}", self.log());
        };
        status
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Starts it again on the same folder and state, with the same options, on another port.
    #[track_caller]
    pub fn start_again(&mut self) {
        let options = self.options.clone();
        self.start_again_with(options);
    }

    /// Starts it again on the same folder and state with other options.
    #[track_caller]
    pub fn start_again_with(&mut self, options: Options) {
        assert!(self.child.is_none(), "the server still runs");
        let started = start(&options, &self.places);
        (self.child, self.address) = (Some(started.child), started.address);
        (self.printed, self.log) = (started.printed, started.log);
    }

    /// A number of bytes from `/proc/PID/smaps_rollup` or `status`, such as `Anonymous` or `VmHWM`. What
    /// `Pss` counts of a program that several processes run grows when one of them ends.
    #[track_caller]
    pub fn memory(&self, what: &str) -> u64 {
        let file = if what.starts_with("Vm") { "status" } else { "smaps_rollup" };
        let path = format!("/proc/{}/{file}", self.process_id());
        let lines = fs::read_to_string(&path).expect("the memory of a process can be read");
        let line = lines.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':')).expect("a known field");
        let number = line.trim().trim_end_matches("kB").trim();
        number.parse::<u64>().expect("a number of kilobytes") * 1024
    }

    /// How many bytes it has read from files and sockets so far (`rchar`), and from the device (`read_bytes`).
    #[track_caller]
    pub fn bytes_read(&self) -> u64 {
        let lines = fs::read_to_string(format!("/proc/{}/io", self.process_id())).expect("the counters can be read");
        let line = lines.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("a known field");
        line.parse().expect("a number")
    }

    /// How many bytes it has written to files and sockets so far (`wchar`).
    #[track_caller]
    pub fn bytes_written(&self) -> u64 {
        let lines = fs::read_to_string(format!("/proc/{}/io", self.process_id())).expect("the counters can be read");
        let line = lines.lines().find_map(|line| line.strip_prefix("wchar: ")).expect("a known field");
        line.parse().expect("a number")
    }

    /// How many files, sockets and the like it has open.
    #[track_caller]
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process_id())).expect("its open files can be listed").count()
    }

    fn from_started(options: Options, places: Arc<Places>, started: Started) -> Self {
        let Started { child, address, printed, log } = started;
        Self { options, places, child: Some(child), address, printed, log }
    }
}

/// A program that is ready.
struct Started {
    child: Child,
    address: SocketAddr,
    printed: Arc<Mutex<String>>,
    log: Arc<Mutex<String>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if std::thread::panicking() {
                std::thread::sleep(WRITES_ITS_LOG_WITHIN);
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        if !std::thread::panicking() {
            canaries::are_not_in("the log", self.log().as_bytes());
            canaries::are_not_below(&self.places.state);
            canaries::are_not_below(&self.local(".noclobber"));
        } else {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("the end of the server's log:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}

impl Places {
    fn make(options: &Options) -> Self {
        let mut made = Vec::new();
        let mut place = |given: &Option<PathBuf>, what: &str| {
            given.clone().unwrap_or_else(|| {
                let folder = tempfile::Builder::new().prefix(what).tempdir().expect("a temporary folder");
                let path = folder.path().to_owned();
                made.push(folder);
                path
            })
        };
        let folder = place(&options.folder, "noclobber-share-");
        let state = place(&options.state, "noclobber-state-");
        let mut program = PathBuf::from(env!("CARGO_BIN_EXE_noclobber"));
        if options.unprivileged {
            // Nobody may not be let into the folder where the program was built.
            let copy = place(&None, "noclobber-program-").join("noclobber");
            fs::copy(&program, &copy).expect("the program can be copied");
            program = copy;
            for place in [&folder, &state, &program, program.parent().expect("its folder")] {
                give_to_nobody(place);
            }
        }
        Self { folder, state, program, _made: made }
    }
}

fn command(options: &Options, places: &Places) -> Command {
    let mut words: Vec<OsString> = Vec::new();
    if options.unprivileged {
        words.extend(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].map(Into::into));
    }
    words.extend(options.under.iter().cloned());
    words.push(places.program.clone().into());
    words.extend(["--listen", "127.0.0.1:0"].map(Into::into));
    if !options.without_state {
        words.extend(["--state".into(), places.state.clone().into()]);
    }
    words.extend(options.arguments.iter().cloned());
    if let Some(grain) = grain_of_all()
        && !options.arguments.iter().any(|word| word == "--force-time-grain")
    {
        words.extend(["--force-time-grain".into(), grain.to_string().into()]);
    }
    words.push(places.folder.clone().into());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("NOCLOBBER_")) {
        command.env_remove(name);
    }
    command.envs(options.environment.iter().cloned()).stdin(Stdio::null());
    command
}

#[track_caller]
fn start(options: &Options, places: &Places) -> Started {
    let mut command = command(options, places);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.start().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (printed, log) = (Arc::default(), Arc::default());
    collect_log(child.stderr.take().expect("a pipe"), Arc::clone(&log));
    let lines = lines_of(child.stdout.take().expect("a pipe"), Arc::clone(&printed));
    let begun = Instant::now();
    loop {
        let left = READY_WITHIN.saturating_sub(begun.elapsed());
        match lines.recv_timeout(left) {
            Ok(line) => {
                let url = line.trim().strip_prefix("Listening on ");
                let rest = url.and_then(|url| url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")));
                let address = rest.and_then(|rest| rest.split('/').next());
                if let Some(address) = address.and_then(|address| address.parse().ok()) {
                    return Started { child, address, printed, log };
                }
            }
            Err(error) => {
                let _ = child.kill();
                let status = child.wait();
                let why = if error == RecvTimeoutError::Timeout { "was not ready in time" } else { "ended" };
                let (printed, log) = (printed.lock().expect("no panic"), log.lock().expect("no panic"));
                panic!("{command:?} {why} ({status:?}); it printed:\n{printed}{log}");
            }
        }
    }
}

/// Reads the log as it comes, so that the program never waits for room in the pipe.
fn collect_log(mut from: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 8192];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            into.lock().expect("nobody panics with the log").push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    });
}

/// Reads what it prints to the end, whether anybody still waits for a line or not.
fn lines_of(from: impl Read + Send + 'static, into: Arc<Mutex<String>>) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            into.lock().expect("nobody panics with the text").push_str(&format!("{line}\n"));
            let _ = sender.send(line);
        }
    });
    receiver
}

fn wait_for(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

fn collect_files(folder: &Path, into: &mut Vec<(PathBuf, Vec<u8>)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect_files(&path, into),
            Ok(kind) if kind.is_file() => into.extend(fs::read(&path).ok().map(|content| (path, content))),
            _ => {}
        }
    }
}

fn give_to_nobody(path: &Path) {
    std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).expect("the owner can be changed, as root");
    if !path.is_symlink() && path.is_dir() {
        for entry in fs::read_dir(path).expect("the folder can be listed").flatten() {
            give_to_nobody(&entry.path());
        }
    }
}
