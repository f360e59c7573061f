//! Runs other people's programs: each in a folder of its own, with nothing of the environment but the search path, and never
//! longer than it is allowed. When the folder is dropped, what is mounted beneath it is unmounted and every process that was
//! started in it is ended, by its id, even if the test panics.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use super::served::within;
use crate::harness::programs::StartProgram as _;
use crate::harness::{has_program, left_out};

/// How long a program may take for one thing, on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The variable by which a process is known to be ours, however far down it was started.
const MARK: &str = "NOCLOBBER_TEST_SCRATCH";

/// Whether all of these programs are installed; says what is missing, as a test that is left out. A name with a slash is a file.
pub fn has_all(test: &str, programs: &[&str]) -> bool {
    let is_there =
        |program: &str| if program.contains('/') { Path::new(program).exists() } else { has_program(program) };
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !is_there(program)).collect();
    if !missing.is_empty() {
        left_out(test, &format!("{} is not installed", missing.join(", ")));
    }
    missing.is_empty()
}

/// Whether this machine lets us mount with FUSE; says so if not.
pub fn can_mount(test: &str) -> bool {
    let can = crate::harness::is_root() && File::options().read(true).write(true).open("/dev/fuse").is_ok();
    if !can {
        left_out(test, "it takes root and /dev/fuse");
    }
    can
}

/// A folder for a client: its home, its settings and its caches.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    calls: AtomicU32,
}

/// What a program said, and how it ended.
#[derive(Debug)]
pub struct Said {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub output: Vec<u8>,
    /// What it wrote to its standard error.
    pub errors: String,
    /// The command line, for messages.
    command: String,
}

impl Scratch {
    /// A folder of its own.
    pub fn new(client: &str) -> Self {
        let prefix = format!("noclobber-{client}-");
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir().expect("a temporary folder");
        // davfs2 gives up root, and must still get in.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("its mode can be set");
        let scratch = Self { folder, calls: AtomicU32::new(0) };
        fs::set_permissions(scratch.folder("run"), fs::Permissions::from_mode(0o700)).expect("its mode can be set");
        scratch.folder("home");
        scratch
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder in it, made if it is not there.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a folder can be made");
        path
    }

    /// A file in it with this content.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file can be written");
        path
    }

    /// A program that lives in it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env(MARK, self.folder.path()).env("LC_ALL", "C.UTF-8");
        command
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("TMPDIR", self.folder.path());
        command.current_dir(self.folder.path()).process_group(0);
        command
    }

    /// Runs a program to its end with this input; one that does not end is ended, and the test fails.
    ///
    /// What it says goes through files: a pipe would stay open for as long as anything lives that it left behind.
    #[track_caller]
    pub fn run(&self, command: &mut Command, input: &[u8]) -> Said {
        self.run_within(PATIENCE, command, input)
    }

    /// As [`Scratch::run`], for what takes longer.
    #[track_caller]
    pub fn run_within(&self, limit: Duration, command: &mut Command, input: &[u8]) -> Said {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let [said, errors] = ["output", "errors"].map(|what| self.path(&format!("{call}.{what}")));
        let make = |path: &Path| File::create(path).expect("a file for what it says");
        command.stdin(Stdio::piped()).stdout(make(&said)).stderr(make(&errors));
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let shown = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let mut child = command.start().unwrap_or_else(|error| panic!("{shown}: {error}"));
        let mut pipe = child.stdin.take().expect("a pipe");
        let input = input.to_vec();
        std::thread::spawn(move || drop(pipe.write_all(&input)));
        let status = wait(&mut child, limit);
        let errors_said = String::from_utf8_lossy(&fs::read(&errors).unwrap_or_default()).into_owned();
        let output = fs::read(&said).unwrap_or_default();
        let (_, _) = (fs::remove_file(said), fs::remove_file(errors));
        let Some(status) = status else {
            end_group(&mut child);
            panic!("{shown} did not end within {limit:?}: {}{errors_said}", String::from_utf8_lossy(&output));
        };
        Said { status, output, errors: errors_said, command: shown }
    }

    /// Starts a program that stays, until it or the folder is dropped; what it says is in `NAME.log`.
    #[track_caller]
    pub fn start(&self, name: &str, command: &mut Command) -> Running {
        let log = self.path(&format!("{name}.log"));
        let file = File::create(&log).expect("a file for what it says");
        command.stdin(Stdio::piped()).stdout(file.try_clone().expect("a second handle")).stderr(file);
        let child = command.start().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Running { child, log }
    }

    fn unmount_all(&self) {
        for point in mounted_beneath(self.folder.path()) {
            // It waits for uploads, so it is given time; what then still hangs is cut off.
            let polite = Command::new("umount").arg(&point).stdin(Stdio::null()).stderr(Stdio::null()).start();
            let ended = polite.is_ok_and(|mut child| wait_or_end(&mut child, Duration::from_secs(20)));
            if !ended || mounted_beneath(&point).contains(&point) {
                let lazy = Command::new("umount").args(["--lazy", "--force"]).arg(&point).stderr(Stdio::null()).start();
                let _ = lazy.is_ok_and(|mut child| wait_or_end(&mut child, Duration::from_secs(5)));
            }
        }
    }

    /// The processes that were started in it and still live.
    fn processes(&self) -> Vec<Pid> {
        let mark = format!("{MARK}={}\0", self.folder.path().display()).into_bytes();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let ours = pids.filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.windows(mark.len()).any(|window| window == mark)
        });
        ours.filter_map(Pid::from_raw).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.unmount_all();
        for signal in [Signal::TERM, Signal::KILL] {
            if self.processes().is_empty() {
                break;
            }
            for pid in self.processes() {
                let _ = kill_process(pid, signal);
            }
            within(Duration::from_secs(2), || self.processes().is_empty());
        }
        // The folder is removed next, and nothing of the server's must be beneath it.
        let left = mounted_beneath(self.folder.path());
        if !left.is_empty() {
            self.folder.disable_cleanup(true);
            eprintln!("still mounted: {left:?}");
        }
    }
}

impl Said {
    /// Fails unless it ended well.
    #[track_caller]
    pub fn well(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    /// Fails unless it ended badly.
    #[track_caller]
    pub fn badly(self) -> Self {
        assert!(!self.status.success(), "it should have failed: {self}");
        self
    }

    /// Its output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ended with {}\n{}{}", self.command, self.status, self.text(), self.errors)
    }
}

/// A program that stays; it is ended when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// What it has said so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How much it has said so far.
    pub fn log_length(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |log| log.len())
    }

    /// Waits until it has said one of these words since then; gives all it has said since.
    pub fn wait_for(&self, since: u64, words: &[&str]) -> Result<String, String> {
        let mut said = Vec::new();
        let has_said = within(PATIENCE, || {
            let Ok(mut log) = File::open(&self.log) else { return false };
            said.clear();
            let _ = log.seek(SeekFrom::Start(since)).and_then(|_| log.read_to_end(&mut said));
            words.iter().any(|word| String::from_utf8_lossy(&said).contains(word))
        });
        let said = String::from_utf8_lossy(&said).into_owned();
        if has_said { Ok(said) } else { Err(said) }
    }

    /// Types a line into it, and waits until it has said one of these words once more.
    #[track_caller]
    pub fn type_line(&mut self, line: &str, words: &[&str]) -> String {
        let since = self.log_length();
        let input = self.child.stdin.as_mut().expect("a pipe");
        input.write_all(format!("{line}\n").as_bytes()).expect("it still listens");
        self.wait_for(since, words).unwrap_or_else(|said| panic!("{line}: {said}"))
    }

    /// Its process id.
    pub fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
        if self.is_running() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        }
        if wait(&mut self.child, Duration::from_secs(5)).is_none() {
            end_group(&mut self.child);
        }
    }
}

/// Waits for a program, or not longer than this.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

fn wait_or_end(child: &mut Child, limit: Duration) -> bool {
    let ended = wait(child, limit).is_some();
    if !ended {
        end_group(child);
    }
    ended
}

fn end_group(child: &mut Child) {
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.kill();
    let _ = wait(child, Duration::from_secs(5));
}

/// Where something is mounted beneath a folder or on it, the deepest first.
fn mounted_beneath(folder: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut beneath: Vec<PathBuf> = points.filter(|point| point.starts_with(folder)).collect();
    beneath.sort();
    beneath.reverse();
    beneath
}
