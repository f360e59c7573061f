//! What the user asked for: the command line, the `NOCLOBBER_*` variables and the file of `--config` become one [`Config`] of
//! checked values. A variable and a key of the file say the same things as the option of that name, and are turned into its
//! words, so that there is one parser and one set of messages. Nothing is opened or probed here but the file of `--config`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::ArgAction;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use glob::Pattern;
use toml::Spanned;

use crate::http::media::trusted_pages;
use crate::http::request::origin;
use crate::log::{Log, LogFormat, LogLevel};
use crate::mount_help::Address;
use crate::store::abilities::Tier;

/// What every variable begins with; the rest is the option's name in capitals, with `_` for `-`.
const VARIABLE: &str = "NOCLOBBER_";

/// The one setting that is not an option: on the command line it is the word without a name.
const FOLDER: &str = "folder";

/// A Unix socket's path must fit into the kernel's `sun_path`, with a NUL behind it (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// What the program is to do.
#[derive(Debug)]
pub enum ProgramTask {
    /// Serve a folder.
    Serve(Box<Config>),
    /// List what is kept in a share's history.
    History(ShowHistory),
    /// Bring a kept version back, in a folder that is served with these settings.
    Restore(RestoreVersion, Box<Config>),
    /// Print how to connect to a server at this address.
    MountHelp(Address),
    /// Print a completion script.
    Completions(clap_complete::Shell),
    /// Print the manual page.
    Man,
}

/// How a folder is to be served: checked values, all of them final but what depends on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder to be shared, as it was given.
    pub folder: PathBuf,
    /// Where to listen; never empty.
    pub listen: Vec<Listen>,
    /// Anybody who reaches an address beyond this machine may read and write.
    pub anonymous: bool,
    /// The names, in lower case and without a port, that a `Host` header may carry besides `localhost`, IP addresses and the machine's own.
    pub allowed_hosts: Vec<String>,
    /// The origins of other sites' pages that may read and write, as browsers write them.
    pub allowed_origins: Vec<String>,
    /// Where the index is kept.
    pub state: StateFolder,
    /// What the history keeps; `None`: there is none.
    pub history: Option<Keep>,
    /// A write that names no version is refused.
    pub require_preconditions: bool,
    /// The least tier to start on.
    pub require_tier: Option<Tier>,
    /// The most that is made of the disk's abilities; for tests.
    pub force_tier: Option<Tier>,
    /// The grain that the disk's clock is taken to have; for tests.
    pub force_time_grain: Option<Duration>,
    /// A write is on the disk before it is answered. Only a measurement turns this off.
    pub sync: bool,
    /// The folder is watched for changes by other programs.
    pub watch: bool,
    /// Symbolic links that stay inside the share are followed.
    pub follow_symlinks: bool,
    /// Whether PROPFIND tells everything below a folder, however much it is.
    pub propfind_infinity: bool,
    /// The pages that are shown without a sandbox, by their paths in the share.
    pub trusted_html: Vec<Pattern>,
    /// Whether clients may lock the share itself.
    pub root_locks: bool,
    /// How many threads answer requests.
    pub workers: NonZeroUsize,
    /// The bounds on everything a client can make grow.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: Log,
    /// What the user should hear about the settings themselves; said once, when the server starts.
    pub warnings: Vec<String>,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// TCP; port 0 lets the system choose one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Where the index is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateFolder {
    /// In this very folder, which is this share's alone.
    In(PathBuf),
    /// In a folder beneath this one, called by the share's identity.
    Beneath(PathBuf),
    /// Nowhere: in memory, and gone with the process. Asked for, or the user has no home.
    Memory,
}

/// The keep rule's two numbers: a version is let go when it is older, or when the history takes more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The greatest age.
    pub age_max: Duration,
    /// The greatest share of the file system, in percent; 1 to 100.
    pub percent_max: u8,
}

/// The bounds on what clients can make grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest request head, in bytes.
    pub header_bytes_max: NonZeroUsize,
    /// The longest wait for a whole request head.
    pub header_time_max: Duration,
    /// The longest wait for the next bytes of a body.
    pub body_idle_max: Duration,
    /// The slowest body, in bytes a second; 0: as slow as it likes.
    pub body_rate_min: u64,
    /// The most connections at once.
    pub connections_max: NonZeroUsize,
    /// The most connections at once from one address beyond this machine.
    pub connections_per_address: NonZeroUsize,
    /// The most uploads that are written at once.
    pub uploads_max: NonZeroUsize,
    /// The most long copies that are made at once; they hold threads that others need too, and so there are few.
    pub copies_max: usize,
    /// The most files hashed at once.
    pub hashing_max: NonZeroUsize,
    /// The longest path of a request, in bytes once decoded.
    pub path_bytes_max: NonZeroUsize,
    /// The largest upload, in bytes; `None`: whatever fits.
    pub upload_bytes_max: Option<NonZeroU64>,
    /// How much memory small files may take to be served from, in bytes; 0: none.
    pub cache_bytes: u64,
    /// The most that the properties which clients set may take on all files together, in bytes.
    pub properties_bytes_max: u64,
    /// How long an idle connection is kept; zero: not at all.
    pub keep_alive: Duration,
    /// A file larger than this is not hashed before it is answered, in bytes.
    pub tag_threshold: u64,
}

/// Which history to list.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct ShowHistory {
    /// A file or folder inside the share; without it, all of the share
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
    /// The folder that is shared [default: the current one]
    #[arg(long, value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub folder: PathBuf,
    /// Print JSON, one array of versions
    #[arg(long)]
    pub json: bool,
}

/// Which version to bring back.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct RestoreVersion {
    /// The file or folder inside the share that is to be as it was
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The version, as `noclobber history` shows it
    #[arg(value_name = "VERSION")]
    pub version: String,
    /// The folder that is shared [default: the one in the settings of the server, else the current one]
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// The file of settings, if the server was started with --config; the variables of the server count, too
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the server keeps the index, if it was started with --state
    #[arg(long, value_name = "DIR", conflicts_with = "no_state")]
    pub state: Option<PathBuf>,
    /// Do without the index: properties do not come back, and locks are not heeded
    #[arg(long)]
    pub no_state: bool,
}

/// Why the program does not start.
#[derive(Debug)]
pub enum UsageError {
    /// The words of the command line are wrong, or ask for the help or the version.
    Words(clap::Error),
    /// A setting is wrong; the text says which, where it stands, and why.
    Setting(String),
}

const SERVED: &str = "What is served";
const LISTENING: &str = "Where it listens";
const SAFETY: &str = "Safety";
const HISTORY: &str = "History";
const LIMITS: &str = "Limits";
const LOGS: &str = "Logs";

/// The words of the command line.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "noclobber",
    version,
    about = "Shares a folder over HTTP, and nobody's work is overwritten unseen",
    after_help = "Every option can also be set by a variable (NOCLOBBER_HISTORY_DAYS=7) and by a key in the file of --config \
                  (history-days = 7). An option beats a variable, and a variable beats the file.\n\
                  \n\
                  A folder that is called like a command is reached as ./history.\n\
                  Exit codes: 0 stopped on request, 1 fault, 2 bad usage.",
    args_conflicts_with_subcommands = true,
    args_override_self = true,
    disable_help_subcommand = true,
    max_term_width = 110
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    /// The folder to share [default: the current one]
    #[arg(value_name = "FOLDER", help_heading = SERVED)]
    folder: Option<PathBuf>,
    /// Follow symbolic links, as long as they stay inside the folder
    #[arg(long, help_heading = SERVED)]
    follow_symlinks: bool,
    /// Tell PROPFIND everything below a folder at once (Depth: infinity), and not only 10,000 members
    #[arg(long, help_heading = SERVED)]
    propfind_infinity: bool,
    /// Let the scripts of these pages run, like wiki/*.html or **/*.html: they may read and change everything in the folder; may be given
    /// more than once
    #[arg(long, value_name = "GLOB", value_parser = trusted_pages, help_heading = SERVED)]
    trust_html: Vec<Pattern>,
    /// Read settings from this TOML file; its keys are the options without the dashes in front
    #[arg(long, value_name = "FILE", help_heading = SERVED)]
    config: Option<PathBuf>,
    /// Keep the index, which remembers the files' tags, in this folder; it must be this share's alone
    /// [default: one for each share in the user's state folder]
    #[arg(long, value_name = "DIR", overrides_with = "no_state", help_heading = SERVED)]
    state: Option<PathBuf>,
    /// Keep the index in memory; what it remembers is worked out again after the next start
    #[arg(long, overrides_with = "state", help_heading = SERVED)]
    no_state: bool,
    /// Do not watch the folder for changes by other programs; they are then noticed at the next request
    #[arg(long, help_heading = SERVED)]
    no_watch: bool,

    #[allow(rustdoc::broken_intra_doc_links, reason = "[::1] is an address")]
    /// Listen on this address: 127.0.0.1:4918, [::1]:80, or unix:/path for a Unix socket; may be given more than once. Port
    /// 0 takes a free one [default: 127.0.0.1:4918]
    #[arg(long, value_name = "ADDR", help_heading = LISTENING)]
    listen: Vec<Listen>,
    /// Let everybody who can reach the server read and write; needed to listen beyond this machine
    #[arg(long, help_heading = LISTENING)]
    anonymous: bool,
    /// Answer to this host name besides localhost, IP addresses and the machine's own name; may be given more than once
    #[arg(long, value_name = "NAME", value_parser = host_name, help_heading = LISTENING)]
    allow_host: Vec<String>,
    /// Let pages of this origin, its scheme, host and port, read and write here; may be given more than once
    #[arg(long, value_name = "ORIGIN", value_parser = origin::parse, help_heading = LISTENING)]
    allow_origin: Vec<String>,
    /// How many threads answer requests [default: one for each core but one, which is left to the disk]
    #[arg(long, value_name = "N", help_heading = LISTENING)]
    workers: Option<NonZeroUsize>,

    /// Refuse (428) every write that does not name the version it replaces
    #[arg(long, help_heading = SAFETY)]
    require_preconditions: bool,
    /// Let clients lock the folder that is shared itself, and so keep everybody else from writing at all
    #[arg(long, help_heading = SAFETY)]
    allow_root_lock: bool,
    /// Do not start where less can be promised: A can hold off programs that have a file open, B and C cannot
    #[arg(long, value_name = "TIER", ignore_case = true, value_parser = ["A", "B", "C"], help_heading = SAFETY)]
    require_tier: Option<String>,
    /// Promise no more than this tier, whatever the disk can do; for tests
    #[arg(long, value_name = "TIER", ignore_case = true, value_parser = ["B", "C", "D"], help_heading = SAFETY, hide = true)]
    force_tier: Option<String>,
    /// Keep times no finer than this many milliseconds, whatever the disk can do; for tests
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=10_000), help_heading = SAFETY, hide = true)]
    force_time_grain: Option<u64>,
    /// Answer before the bytes are on the disk: a power cut then loses what was confirmed. For measuring only
    #[arg(long, help_heading = SAFETY)]
    no_sync: bool,

    /// Let a kept version go after this many days; until then they get fewer with age [default: 30]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500), help_heading = HISTORY)]
    history_days: Option<u32>,
    /// Let versions go when all of them take more than this share of the file system's blocks or inodes, in percent [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=100), help_heading = HISTORY)]
    history_percent: Option<u8>,
    /// Keep nothing: what a write without a condition replaces, and what is deleted, is gone
    #[arg(long, help_heading = HISTORY)]
    no_history: bool,

    /// The longest request head, in bytes [default: 32768]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    header_bytes_max: Option<NonZeroUsize>,
    /// How long a request head may take to arrive, in seconds [default: 10]
    #[arg(long, value_name = "N", value_parser = seconds(1), help_heading = LIMITS)]
    header_seconds: Option<u64>,
    /// How long a body may pause, in seconds [default: 30]
    #[arg(long, value_name = "N", value_parser = seconds(1), help_heading = LIMITS)]
    body_idle_seconds: Option<u64>,
    /// How fast a body must arrive, in bytes a second, judged over 60 seconds; 0: no matter [default: 1024]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    body_rate_min: Option<u64>,
    /// How long an idle connection is kept open, in seconds; 0: not at all [default: 75]
    #[arg(long, value_name = "N", value_parser = seconds(0), help_heading = LIMITS)]
    keep_alive_seconds: Option<u64>,
    /// How many connections there may be at once [default: 4096]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    connections_max: Option<NonZeroUsize>,
    /// How many of them one client address may have; this machine, where a proxy may be, has them all [default: 1024]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    connections_per_address: Option<NonZeroUsize>,
    /// How many uploads may be written to the disk at once; the others wait their turn [default: 64]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    uploads_max: Option<NonZeroUsize>,
    /// How many long copies may be made at once, half of them for one client address; the others wait their turn; 1 to 32 [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32), help_heading = LIMITS)]
    copies_max: Option<u16>,
    /// How many files may be hashed at once [default: one for each core]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    hashing_max: Option<NonZeroUsize>,
    /// The longest path in a request, in bytes [default: 4096]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    path_bytes_max: Option<NonZeroUsize>,
    /// The largest upload, in bytes [default: whatever fits on the disk]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    upload_bytes_max: Option<NonZeroU64>,
    /// How much memory small files may take to be served from, in bytes; 0: none [default: 67108864]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    cache_bytes: Option<u64>,
    /// How much the properties that clients set on files and folders may take together, in bytes [default: 67108864]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    properties_bytes_max: Option<u64>,
    /// Do not hash a file larger than this before answering, in bytes; its tag then stands for its size and times
    /// [default: 8388608]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    tag_threshold: Option<u64>,

    /// How much to log; info is one line a request [default: info]
    #[arg(long, value_name = "LEVEL", help_heading = LOGS)]
    log_level: Option<LogLevel>,
    /// What a line of the log looks like [default: text]
    #[arg(long, value_name = "FORMAT", help_heading = LOGS)]
    log_format: Option<LogFormat>,
    /// The file to log to, instead of standard error; SIGHUP has it opened anew
    #[arg(long, value_name = "FILE", help_heading = LOGS)]
    log_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// List the versions that are kept of a file, a folder or the whole share
    History(ShowHistory),
    /// Bring a kept version back; what it replaces is kept in its turn
    Restore(RestoreVersion),
    /// Print how to connect from Windows, macOS, GNOME, KDE, davfs2, rclone, LibreOffice and phones
    MountHelp {
        /// Where the server is reached [default: http://127.0.0.1:4918/]
        #[arg(value_name = "URL")]
        address: Option<Address>,
    },
    /// Print the completion script of a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Reads the words of the command line and the variables, and the file that either of them names.
///
/// The words begin with the program's name. Only serving, and a restore in its stead, look at the variables and the file.
pub fn read(
    words: impl IntoIterator<Item = impl Into<OsString>>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<ProgramTask, UsageError> {
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    let matches = Cli::command().try_get_matches_from(&words)?;
    let given = Cli::from_arg_matches(&matches)?;
    match given.command {
        Some(Command::History(which)) => return Ok(ProgramTask::History(which)),
        Some(Command::Restore(which)) => {
            let config = to_restore(&which, variables)?;
            return Ok(ProgramTask::Restore(which, Box::new(config)));
        }
        Some(Command::MountHelp { address }) => return Ok(ProgramTask::MountHelp(address.unwrap_or_default())),
        Some(Command::Completions { shell }) => return Ok(ProgramTask::Completions(shell)),
        Some(Command::Man) => return Ok(ProgramTask::Man),
        None => {}
    }
    if let Some(name) = given.folder.as_deref().and_then(Path::to_str)
        && Cli::command().find_subcommand(name).is_some()
    {
        let text = format!("'{name}' is a command and takes none of these options; a folder of that name is ./{name}");
        return Err(UsageError::Setting(text));
    }
    let variables: BTreeMap<OsString, OsString> = variables.into_iter().collect();
    let (from_variables, mut warnings) = settings_of_variables(&variables)?;
    let named = given.config.or_else(|| variable(&variables, "NOCLOBBER_CONFIG").map(PathBuf::from));
    let from_file = named.as_deref().map_or_else(|| Ok(Vec::new()), settings_of_file)?;

    // The file first, then the variables, then the command line: of two options that rule each other out, the later wins.
    let on_command_line = |name: &str| matches.value_source(&id_of(name)) == Some(ValueSource::CommandLine);
    let mut settings = from_file;
    settings.retain(|setting| !from_variables.iter().any(|above| above.name == setting.name));
    settings.extend(from_variables);
    settings.retain(|setting| !on_command_line(&setting.name));

    let folder = settings.iter().find(|setting| setting.name == FOLDER).and_then(|setting| setting.values.first());
    let folder = given.folder.or_else(|| folder.map(PathBuf::from)).unwrap_or_else(|| PathBuf::from("."));
    let mut all_words = vec![words.first().cloned().unwrap_or_else(|| "noclobber".into())];
    all_words.extend(settings.iter().flat_map(Setting::words));
    all_words.extend(words.into_iter().skip(1));
    let cli = Cli::try_parse_from(all_words)?;
    if cli.no_sync {
        warnings.push("--no-sync: writes are confirmed before they are on the disk; a power cut loses them".to_owned());
    }
    Ok(ProgramTask::Serve(Box::new(check(cli, folder, home_of_state(&variables), warnings)?)))
}

/// The settings that hold for this folder when nothing else is said, with nothing kept outside of it.
pub fn plain(folder: &Path) -> Result<Config, UsageError> {
    to_serve(vec!["--no-state".into(), "--".into(), folder.into()], Vec::new())
}

/// As a server has them, but for what is about clients: none is listened for, a person at the machine names no version and is told what there is
/// to tell, and what a restore replaces is kept.
fn to_restore(
    which: &RestoreVersion,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config, UsageError> {
    let option = |name: &str, value: &PathBuf| [OsStr::new(name), value.as_os_str()].into_iter().collect::<OsString>();
    let mut words = vec!["--listen=127.0.0.1:0".into(), "--log-level=info".into(), "--log-format=text".into()];
    words.extend(which.config.as_ref().map(|file| option("--config=", file)));
    words.extend(which.state.as_ref().map(|folder| option("--state=", folder)));
    words.extend(which.no_state.then(|| "--no-state".into()));
    words.push("--".into());
    words.extend(which.folder.as_ref().map(OsString::from));
    let mut config = to_serve(words, variables.into_iter().collect())?;
    config.require_preconditions = false;
    config.log.file = None;
    config.history.get_or_insert(Keep::of(None, None));
    Ok(config)
}

fn to_serve(words: Vec<OsString>, variables: Vec<(OsString, OsString)>) -> Result<Config, UsageError> {
    match read(std::iter::once("noclobber".into()).chain(words), variables)? {
        ProgramTask::Serve(config) => Ok(*config),
        _ => unreachable!("no command was given"),
    }
}

/// Everything clap knows about the command line: for the completions, the manual page, and tests.
pub fn command() -> clap::Command {
    Cli::command()
}

impl UsageError {
    /// Tells the user, and gives back the exit code: 2, or 0 where the help or the version was asked for.
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Words(error) => {
                // The terminal may be gone already; then nobody is there to be told.
                let _ = error.print();
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
            }
            Self::Setting(text) => {
                eprintln!("error: {text}\n\nFor more information, try '--help'.");
                ExitCode::from(2)
            }
        }
    }
}

impl Keep {
    /// With the defaults for what is not said.
    fn of(days: Option<u32>, percent: Option<u8>) -> Self {
        let age_max = Duration::from_secs(u64::from(days.unwrap_or(30)) * 24 * 60 * 60);
        Self { age_max, percent_max: percent.unwrap_or(10) }
    }
}

impl Listen {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
        }
    }
}

/// As it is given with `--listen`.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.len() {
                0 => Err("a path must follow 'unix:'".to_owned()),
                1..=SOCKET_PATH_BYTES_MAX => Ok(Self::Unix(path.into())),
                _ => Err(format!("the path of a Unix socket has at most {SOCKET_PATH_BYTES_MAX} bytes")),
            };
        }
        text.parse()
            .map(Self::Tcp)
            .map_err(|_| "not an address with a port, like 127.0.0.1:4918 or [::1]:80, nor unix: and a path".to_owned())
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(error) => error.fmt(f),
            Self::Setting(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for UsageError {}

impl From<clap::Error> for UsageError {
    fn from(error: clap::Error) -> Self {
        Self::Words(error)
    }
}

/// A setting from the file or from a variable, not yet looked into.
struct Setting {
    /// The option without its dashes.
    name: String,
    values: Vec<OsString>,
}

impl Setting {
    /// The setting as words of the command line; none for a flag that is off, and none for the folder.
    fn words(&self) -> Vec<OsString> {
        if self.name == FOLDER {
            return Vec::new();
        }
        let option = |value: &OsString| {
            let mut word = OsString::from(format!("--{}=", self.name));
            word.push(value);
            word
        };
        match is_flag(&self.name) {
            false => self.values.iter().map(option).collect(),
            true if self.values == ["true"] => vec![format!("--{}", self.name).into()],
            true => Vec::new(),
        }
    }

    /// Asks the parser of the command line what it thinks of this setting alone; `place` says where it stands.
    fn checked(self, place: &str) -> Result<Self, UsageError> {
        let words = std::iter::once(OsString::from("noclobber")).chain(self.words());
        match Cli::command().try_get_matches_from(words) {
            Ok(_) => Ok(self),
            Err(error) => Err(UsageError::Setting(format!("{place}: {}", reason(&error)))),
        }
    }
}

/// What clap says, without its "error:" and without the usage behind it, in one line.
fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let lines: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    lines.join(" ")
}

/// The id that clap gives to an option.
fn id_of(name: &str) -> String {
    name.replace('-', "_")
}

fn option_of(name: &str) -> Option<clap::Arg> {
    Cli::command().get_arguments().find(|argument| argument.get_long() == Some(name)).cloned()
}

fn is_flag(name: &str) -> bool {
    option_of(name).is_some_and(|option| matches!(option.get_action(), ArgAction::SetTrue))
}

fn is_list(name: &str) -> bool {
    option_of(name).is_some_and(|option| matches!(option.get_action(), ArgAction::Append))
}

/// The value of a variable; an empty one counts as not set.
fn variable<'a>(variables: &'a BTreeMap<OsString, OsString>, name: &str) -> Option<&'a OsStr> {
    variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
}

/// The settings that variables make, and a warning for each that makes none.
///
/// An unknown one does not stop the start: a container's surroundings set variables of their own for everything that is
/// called `noclobber` (`NOCLOBBER_PORT`, `NOCLOBBER_SERVICE_HOST`).
fn settings_of_variables(variables: &BTreeMap<OsString, OsString>) -> Result<(Vec<Setting>, Vec<String>), UsageError> {
    let (mut settings, mut warnings) = (Vec::new(), Vec::new());
    for (variable, value) in variables {
        let Some(end) = variable.to_str().and_then(|text| text.strip_prefix(VARIABLE)) else { continue };
        let name = end.to_ascii_lowercase().replace('_', "-");
        let is_known = name == FOLDER || option_of(&name).is_some();
        if !is_known || end != end.to_ascii_uppercase() {
            warnings.push(format!("{VARIABLE}{} is not the name of a setting; it is ignored", end.escape_default()));
            continue;
        }
        if value.is_empty() || name == "config" {
            continue;
        }
        let place = format!("{VARIABLE}{end}");
        let values = values_of_variable(&name, value).map_err(|why| UsageError::Setting(format!("{place}: {why}")))?;
        settings.push(Setting { name, values }.checked(&place)?);
    }
    Ok((settings, warnings))
}

fn values_of_variable(name: &str, value: &OsStr) -> Result<Vec<OsString>, String> {
    if is_flag(name) {
        return match value.to_str() {
            Some("true" | "1") => Ok(vec!["true".into()]),
            Some("false" | "0") => Ok(vec!["false".into()]),
            _ => Err(format!("'{}' is neither true nor false", value.display())),
        };
    }
    match value.to_str() {
        Some(list) if is_list(name) => {
            Ok(list.split([',', ' ']).filter(|item| !item.is_empty()).map(OsString::from).collect())
        }
        _ => Ok(vec![value.to_owned()]),
    }
}

/// The settings of a file; an error names the file and the line.
fn settings_of_file(path: &Path) -> Result<Vec<Setting>, UsageError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| UsageError::Setting(format!("cannot read {}: {error}", path.display())))?;
    let place = |at: usize| {
        let line = 1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
        format!("{}:{line}", path.display())
    };
    let keys: BTreeMap<Spanned<String>, Spanned<toml::Value>> = toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        UsageError::Setting(format!("{}: {}", place(at), error.message()))
    })?;
    keys.into_iter().map(|(key, value)| setting_of_key(&key, &value, place(key.span().start))).collect()
}

fn setting_of_key(key: &Spanned<String>, value: &Spanned<toml::Value>, place: String) -> Result<Setting, UsageError> {
    let name = key.get_ref();
    let wrong = |why: String| UsageError::Setting(format!("{place}: {why}"));
    if name == "config" {
        return Err(wrong("the file cannot name another file".to_owned()));
    }
    if name != FOLDER && option_of(name).is_none() {
        let why = format!("'{}' is not the name of a setting; 'noclobber --help' lists them", name.escape_default());
        return Err(wrong(why));
    }
    let values = match value.get_ref() {
        toml::Value::Boolean(on) if is_flag(name) => vec![on.to_string().into()],
        _ if is_flag(name) => return Err(wrong(format!("'{name}' is either true or false, without quotes"))),
        toml::Value::Array(items) if is_list(name) => {
            let texts = items.iter().map(|item| item.as_str().map(OsString::from));
            texts.collect::<Option<_>>().ok_or_else(|| wrong(format!("'{name}' is a list of texts in quotes")))?
        }
        toml::Value::String(text) => vec![text.into()],
        toml::Value::Integer(number) => vec![number.to_string().into()],
        other => return Err(wrong(format!("'{name}' cannot be {}", indefinite(other)))),
    };
    Setting { name: name.clone(), values }.checked(&place)
}

fn indefinite(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::String(_) => "a text",
        toml::Value::Integer(_) => "a whole number",
        toml::Value::Float(_) => "a number with a point",
        toml::Value::Boolean(_) => "true or false",
        toml::Value::Datetime(_) => "a date",
        toml::Value::Array(_) => "a list",
        toml::Value::Table(_) => "a table",
    }
}

/// The folder in which each share has its own state (XDG Base Directory Specification); `None` if the user has no home.
fn home_of_state(variables: &BTreeMap<OsString, OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(variables, name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("noclobber"))
}

/// Makes checked values of words that were parsed one by one.
fn check(cli: Cli, folder: PathBuf, state_home: Option<PathBuf>, warnings: Vec<String>) -> Result<Config, UsageError> {
    let listen = match cli.listen {
        given if given.is_empty() => vec![Listen::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4918))],
        given => given,
    };
    if let Some(open) = listen.iter().find(|address| !address.is_local() && !cli.anonymous) {
        return Err(UsageError::Setting(format!(
            "--listen {open} can be reached from other machines, and noclobber does not ask for passwords yet\n\n\
             Listen on 127.0.0.1 and let a proxy with passwords or a tunnel (ssh -L) in front of it,\n\
             or add --anonymous if everybody on that network may read and change what is in the folder."
        )));
    }
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let all_but_one = NonZeroUsize::new(cores.get() - 1).unwrap_or(cores);
    let state = match (cli.no_state, cli.state, state_home) {
        (true, _, _) | (false, None, None) => StateFolder::Memory,
        (false, Some(folder), _) => StateFolder::In(folder),
        (false, None, Some(home)) => StateFolder::Beneath(home),
    };
    let keep = Keep::of(cli.history_days, cli.history_percent);
    let limits = Limits {
        header_bytes_max: cli.header_bytes_max.unwrap_or(const { NonZeroUsize::new(32 * 1024).unwrap() }),
        header_time_max: Duration::from_secs(cli.header_seconds.unwrap_or(10)),
        body_idle_max: Duration::from_secs(cli.body_idle_seconds.unwrap_or(30)),
        body_rate_min: cli.body_rate_min.unwrap_or(1024),
        connections_max: cli.connections_max.unwrap_or(const { NonZeroUsize::new(4096).unwrap() }),
        connections_per_address: cli.connections_per_address.unwrap_or(const { NonZeroUsize::new(1024).unwrap() }),
        uploads_max: cli.uploads_max.unwrap_or(const { NonZeroUsize::new(64).unwrap() }),
        copies_max: cli.copies_max.unwrap_or(16).into(),
        hashing_max: cli.hashing_max.unwrap_or(cores),
        path_bytes_max: cli.path_bytes_max.unwrap_or(const { NonZeroUsize::new(4096).unwrap() }),
        upload_bytes_max: cli.upload_bytes_max,
        cache_bytes: cli.cache_bytes.unwrap_or(64 * 1024 * 1024),
        properties_bytes_max: cli.properties_bytes_max.unwrap_or(64 * 1024 * 1024),
        keep_alive: Duration::from_secs(cli.keep_alive_seconds.unwrap_or(75)),
        tag_threshold: cli.tag_threshold.unwrap_or(8 * 1024 * 1024),
    };
    Ok(Config {
        folder,
        listen,
        anonymous: cli.anonymous,
        allowed_hosts: cli.allow_host,
        allowed_origins: cli.allow_origin,
        state,
        history: (!cli.no_history).then_some(keep),
        require_preconditions: cli.require_preconditions,
        require_tier: cli.require_tier.as_deref().map(tier),
        force_tier: cli.force_tier.as_deref().map(tier),
        force_time_grain: cli.force_time_grain.map(Duration::from_millis),
        sync: !cli.no_sync,
        watch: !cli.no_watch,
        follow_symlinks: cli.follow_symlinks,
        propfind_infinity: cli.propfind_infinity,
        trusted_html: cli.trust_html,
        root_locks: cli.allow_root_lock,
        workers: cli.workers.unwrap_or(all_but_one),
        limits,
        log: Log {
            level: cli.log_level.unwrap_or(LogLevel::Info),
            format: cli.log_format.unwrap_or(LogFormat::Text),
            file: cli.log_file,
        },
        warnings,
    })
}

/// The parser has let one of four letters through, in either case.
fn tier(letter: &str) -> Tier {
    match letter {
        "A" | "a" => Tier::A,
        "B" | "b" => Tier::B,
        "C" | "c" => Tier::C,
        _ => Tier::D,
    }
}

/// A day is longer than any client waits, and short enough for every clock to reckon with.
fn seconds(least: u64) -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(least..=86_400)
}

/// A host name as it stands in a `Host` header, without the port: letters, digits, hyphens and dots (RFC 1123 §2.1).
fn host_name(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if text.len() <= 253 && text.split('.').all(label) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("a host name is wanted, like files.example.org, without a scheme, a port or a path".to_owned())
}
