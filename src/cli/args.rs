//! The words of the command line, as clap reads them.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand};
use glob::Pattern;

use super::changes_to_watch::ChangesToWatch;
use super::link::LinkTask;
use super::mount_help::Address;
use super::rules::AskRules;
use super::user::UserTask;
use crate::config::{Anonymous, Listen};
use crate::http::media::trusted_pages;
use crate::http::request::forwarded::TrustedProxy;
use crate::http::request::origin;
use crate::http::urls::BasePath;
use crate::log::{LogFormat, LogLevel};
use crate::os::account::Account;

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

/// What to examine.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Examine {
    #[allow(rustdoc::bare_urls, reason = "it is what the help says")]
    /// The folder on a server, like https://files.example.org/team/; a folder for the tests is made in it and removed again. It may name a
    /// user (https://ada@…), never a password
    #[arg(value_name = "URL")]
    pub url: String,
    /// Who asks. The password is asked for, or read from standard input if that is no terminal, or taken from NOCLOBBER_PASSWORD
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Print JSON, one object, with the requests and answers of what fails
    #[arg(long)]
    pub json: bool,
    /// How large the large upload is, like 64M or 2G; 0: none
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = size)]
    pub large: u64,
    /// Leave out what takes long: the slow uploads
    #[arg(long)]
    pub quick: bool,
    /// Trust the authorities in this file of PEM certificates, and not those of the machine
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub cacert: Option<PathBuf>,
    /// Take whatever certificate the server has; whoever stands between can then read the password
    #[arg(long)]
    pub insecure: bool,
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
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,

    /// The folder to share [default: the current one]
    #[arg(value_name = "FOLDER", help_heading = SERVED)]
    pub(super) folder: Option<PathBuf>,
    /// Follow symbolic links, as long as they stay inside the folder
    #[arg(long, help_heading = SERVED)]
    pub(super) follow_symlinks: bool,
    /// Tell PROPFIND everything below a folder at once (Depth: infinity), and not only 10,000 members
    #[arg(long, help_heading = SERVED)]
    pub(super) propfind_infinity: bool,
    /// Let the scripts of these pages run, like wiki/*.html or **/*.html: they may read and change everything in the folder; may be given
    /// more than once
    #[arg(long, value_name = "GLOB", value_parser = trusted_pages, help_heading = SERVED)]
    pub(super) trust_html: Vec<Pattern>,
    /// Take these permissions, in octal, from new files and folders, like 027 [default: as noclobber is started]
    #[arg(long, value_name = "MASK", value_parser = umask, help_heading = SERVED)]
    pub(super) umask: Option<u32>,
    /// Give new files these permissions, in octal, like 0640, whatever the umask is; a file that is replaced keeps its own
    /// [default: what the umask leaves of 0666]
    #[arg(long, value_name = "MODE", value_parser = file_mode, help_heading = SERVED)]
    pub(super) file_mode: Option<u32>,
    /// Give new folders these permissions, in octal, like 2770, whatever the umask is [default: what the umask leaves of 0777]
    #[arg(long, value_name = "MODE", value_parser = dir_mode, help_heading = SERVED)]
    pub(super) dir_mode: Option<u32>,
    /// Read settings from this TOML file; its keys are the options without the dashes in front
    #[arg(long, value_name = "FILE", help_heading = SERVED)]
    pub(super) config: Option<PathBuf>,
    /// Keep the index, which remembers the files' tags, in this folder; it must be this share's alone
    /// [default: one for each share in the user's state folder]
    #[arg(long, value_name = "DIR", overrides_with = "no_state", help_heading = SERVED)]
    pub(super) state: Option<PathBuf>,
    /// Keep the index in memory; what it remembers is worked out again after the next start
    #[arg(long, overrides_with = "state", help_heading = SERVED)]
    pub(super) no_state: bool,
    /// Do not watch the folder for changes by other programs; they are then noticed at the next request
    #[arg(long, help_heading = SERVED)]
    pub(super) no_watch: bool,

    #[allow(rustdoc::broken_intra_doc_links, reason = "[::1] is an address")]
    /// Listen on this address: 127.0.0.1:4918, [::1]:80, unix:/path for a Unix socket, or systemd for the sockets
    /// that it hands over; may be given more than once. Port 0 takes a free one. With a certificate an address speaks HTTPS,
    /// unless it begins with http:// [default: 127.0.0.1:4918]
    #[arg(long, value_name = "ADDR", help_heading = LISTENING)]
    pub(super) listen: Vec<Listen>,
    /// Share on the local network: listen on all addresses unless --listen names some, let in a guest with a pass phrase made for this run, which is printed with the
    /// addresses and a code to scan, and announce the folder (mDNS). Over plain HTTP unless --tls is there, too
    #[arg(long, help_heading = LISTENING)]
    pub(super) lan: bool,
    /// Keep the pass phrase of --lan in the user's state folder, or in that of --state, so that the next run has the same
    #[arg(long, help_heading = LISTENING)]
    pub(super) remember: bool,
    /// Open the folder in a browser; the guest of --lan is signed in there
    #[arg(long, help_heading = LISTENING)]
    pub(super) open: bool,
    /// Speak HTTPS, with a certificate for this machine's names and addresses that is made once and kept in the user's state folder, or in that
    /// of --state
    #[arg(long, help_heading = LISTENING)]
    pub(super) tls: bool,
    /// Speak HTTPS with this certificate, in PEM, with those behind it that vouch for it; it is read again when it changes
    #[arg(long, value_name = "FILE", help_heading = LISTENING)]
    pub(super) tls_cert: Option<PathBuf>,
    /// The key of that certificate, in PEM; nobody but its owner may read it
    #[arg(long, value_name = "FILE", help_heading = LISTENING)]
    pub(super) tls_key: Option<PathBuf>,
    /// What everybody who can reach the server may do: read alone; create, too, but replace and remove nothing; or write. Needed
    /// to listen beyond this machine [default without a word: write]
    #[arg(
        long,
        value_name = "MAY",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "write",
        help_heading = LISTENING
    )]
    pub(super) anonymous: Option<Anonymous>,
    /// Let the users of this TOML file in, by the rules in it, and nobody else; 'noclobber user' writes it. The file of --config may hold them,
    /// too [default: nobody has to say who they are]
    #[arg(long, value_name = "FILE", help_heading = LISTENING)]
    pub(super) users: Option<PathBuf>,
    /// Take passwords and tokens from other machines over plain HTTP, where whoever can read the network can read them
    #[arg(long, help_heading = LISTENING)]
    pub(super) plain_passwords: bool,
    /// Serve the folder below this path, like /files, where a proxy hands over that part of a site; the proxy must not take it off
    /// [default: /]
    #[arg(long, value_name = "PATH", value_parser = BasePath::parse, help_heading = LISTENING)]
    pub(super) base_path: Option<BasePath>,
    /// Believe the proxy at this address or in this network (10.0.0.0/8), or behind a Unix socket (unix), what it says of the client in
    /// Forwarded or X-Forwarded-For, -Proto and -Host; may be given more than once
    #[arg(long, value_name = "ADDR", help_heading = LISTENING)]
    pub(super) trusted_proxy: Vec<TrustedProxy>,
    /// Believe a trusted proxy that the user whom this header names has signed in, like Remote-User; from anywhere else it is ignored
    #[arg(long, value_name = "NAME", value_parser = field_name, help_heading = LISTENING)]
    pub(super) user_header: Option<String>,
    /// Serve as this user of the machine, once the addresses are listened on as root; the folder and the state are opened as that user
    /// [default: whoever starts noclobber]
    #[arg(long, value_name = "NAME", help_heading = LISTENING)]
    pub(super) user: Option<Account>,
    /// Answer to this host name besides localhost, IP addresses and the machine's own name; may be given more than once
    #[arg(long, value_name = "NAME", value_parser = host_name, help_heading = LISTENING)]
    pub(super) allow_host: Vec<String>,
    /// Let pages of this origin, its scheme, host and port, read and write here; may be given more than once
    #[arg(long, value_name = "ORIGIN", value_parser = origin::parse, help_heading = LISTENING)]
    pub(super) allow_origin: Vec<String>,
    /// How many threads answer requests [default: one for each core but one, which is left to the disk]
    #[arg(long, value_name = "N", help_heading = LISTENING)]
    pub(super) workers: Option<NonZeroUsize>,

    /// Refuse (428) every write that does not name the version it replaces
    #[arg(long, help_heading = SAFETY)]
    pub(super) require_preconditions: bool,
    /// Take a PUT with Content-Range for one that writes a part of a file; without it such a PUT is refused (400)
    #[arg(long, help_heading = SAFETY)]
    pub(super) partial_put: bool,
    /// Let clients lock the folder that is shared itself, and so keep everybody else from writing at all
    #[arg(long, help_heading = SAFETY)]
    pub(super) allow_root_lock: bool,
    /// Do not start where less can be promised: A can hold off programs that have a file open, B and C cannot
    #[arg(long, value_name = "TIER", ignore_case = true, value_parser = ["A", "B", "C"], help_heading = SAFETY)]
    pub(super) require_tier: Option<String>,
    /// Promise no more than this tier, whatever the disk can do; for tests
    #[arg(long, value_name = "TIER", ignore_case = true, value_parser = ["B", "C", "D"], help_heading = SAFETY, hide = true)]
    pub(super) force_tier: Option<String>,
    /// Keep times no finer than this many milliseconds, whatever the disk can do; for tests
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=10_000), help_heading = SAFETY, hide = true)]
    pub(super) force_time_grain: Option<u64>,
    /// Do not confine the process to the folder and what is kept beside it; without it the kernel does, where it has Landlock
    #[arg(long, help_heading = SAFETY)]
    pub(super) no_landlock: bool,
    /// Answer before the bytes are on the disk: a power cut then loses what was confirmed. For measuring only
    #[arg(long, help_heading = SAFETY)]
    pub(super) no_sync: bool,

    /// Let a kept version go after this many days; until then they get fewer with age [default: 30]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500), help_heading = HISTORY)]
    pub(super) history_days: Option<u32>,
    /// Let versions go when all of them take more than this share of the file system's blocks or inodes, in percent [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=100), help_heading = HISTORY)]
    pub(super) history_percent: Option<u8>,
    /// Keep nothing: what a write without a condition replaces, and what is deleted, is gone
    #[arg(long, help_heading = HISTORY)]
    pub(super) no_history: bool,

    /// The longest request head, in bytes [default: 32768]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(super) header_bytes_max: Option<NonZeroUsize>,
    /// How long the handshake of TLS may take, in seconds [default: 10]
    #[arg(long, value_name = "N", value_parser = seconds(1), help_heading = LIMITS)]
    pub(super) handshake_seconds: Option<u64>,
    /// How long a request head may take to arrive, in seconds [default: 10]
    #[arg(long, value_name = "N", value_parser = seconds(1), help_heading = LIMITS)]
    pub(super) header_seconds: Option<u64>,
    /// How long a body may pause, in seconds [default: 30]
    #[arg(long, value_name = "N", value_parser = seconds(1), help_heading = LIMITS)]
    pub(super) body_idle_seconds: Option<u64>,
    /// How fast a body must arrive, in bytes a second, judged over 60 seconds; 0: no matter [default: 1024]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(super) body_rate_min: Option<u64>,
    /// How long an idle connection is kept open, in seconds; 0: not at all [default: 75]
    #[arg(long, value_name = "N", value_parser = seconds(0), help_heading = LIMITS)]
    pub(super) keep_alive_seconds: Option<u64>,
    /// How many connections there may be at once [default: 4096]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(super) connections_max: Option<NonZeroUsize>,
    /// How many of them one client address may have; this machine, where a proxy may be, has them all [default: 1024]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(super) connections_per_address: Option<NonZeroUsize>,
    /// How many uploads may be written to the disk at once; the others wait their turn [default: 64]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(super) uploads_max: Option<NonZeroUsize>,
    /// How many long copies may be made at once, half of them for one client address; the others wait their turn; 1 to 32 [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32), help_heading = LIMITS)]
    pub(super) copies_max: Option<u16>,
    /// How many files may be hashed at once [default: one for each core]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(super) hashing_max: Option<NonZeroUsize>,
    /// The longest path in a request, in bytes [default: 4096]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(super) path_bytes_max: Option<NonZeroUsize>,
    /// The largest upload, in bytes [default: whatever fits on the disk]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(super) upload_bytes_max: Option<NonZeroU64>,
    /// How much memory small files may take to be served from, in bytes; 0: none [default: 67108864]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(super) cache_bytes: Option<u64>,
    /// How much the properties that clients set on files and folders may take together, in bytes [default: 67108864]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(super) properties_bytes_max: Option<u64>,
    /// How many changes of the folder are kept for whoever asks what has happened (?changes, ?events); who was away for longer looks
    /// again [default: 100000]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(super) feed_changes_max: Option<NonZeroU64>,
    /// For how many days they are kept at most [default: 30]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500), help_heading = LIMITS)]
    pub(super) feed_days: Option<u32>,
    /// Do not hash a file larger than this before answering, in bytes; its tag then stands for its size and times
    /// [default: 8388608]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(super) tag_threshold: Option<u64>,

    /// How much to log; info is one line a request [default: info]
    #[arg(long, value_name = "LEVEL", help_heading = LOGS)]
    pub(super) log_level: Option<LogLevel>,
    /// What a line of the log looks like [default: text]
    #[arg(long, value_name = "FORMAT", help_heading = LOGS)]
    pub(super) log_format: Option<LogFormat>,
    /// The file to log to, instead of standard error; SIGHUP has it opened anew
    #[arg(long, value_name = "FILE", help_heading = LOGS)]
    pub(super) log_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// List the versions that are kept of a file, a folder or the whole share
    History(ShowHistory),
    /// Bring a kept version back; what it replaces is kept in its turn
    Restore(RestoreVersion),
    /// Add, list and remove the users who may come in, and change their passwords and tokens
    #[command(subcommand)]
    User(UserTask),
    /// Show what somebody may do at a path, and which line says so
    Rules(AskRules),
    /// Make a link by which somebody comes to one file or folder without being a user; list and revoke links
    Link(LinkTask),
    /// Try out a server over the network: whether conditions, tags, methods and names arrive through all that stands between
    Doctor(Examine),
    /// Print what changes in a folder, one line a change, as it happens
    Watch(ChangesToWatch),
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

/// Everything clap knows about the command line: for the completions, the manual page, and tests.
pub fn command() -> clap::Command {
    Cli::command()
}

/// A day is longer than any client waits, and short enough for every clock to reckon with.
fn seconds(least: u64) -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(least..=86_400)
}

/// A number of bytes, with a letter for the powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || "a size is wanted, like 500K, 64M or 2G".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

fn umask(text: &str) -> Result<u32, String> {
    let mask = octal(text, 0o777)?;
    if mask & 0o700 == 0 { Ok(mask) } else { Err("it must leave the owner all permissions, as 077 does".to_owned()) }
}

fn file_mode(text: &str) -> Result<u32, String> {
    mode_with(octal(text, 0o777)?, 0o600)
}

/// The group that is handed on, and the bit that keeps others from removing what is not theirs, are a folder's to have.
fn dir_mode(text: &str) -> Result<u32, String> {
    mode_with(octal(text, 0o3777)?, 0o700)
}

fn mode_with(mode: u32, owners: u32) -> Result<u32, String> {
    if mode & owners == owners {
        return Ok(mode);
    }
    Err(format!("the server itself needs the owner's permissions, {owners:04o}"))
}

fn octal(text: &str, max: u32) -> Result<u32, String> {
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let number = if is_octal { u32::from_str_radix(text, 8).ok() } else { None };
    number
        .filter(|number| *number <= max)
        .ok_or_else(|| format!("three or four octal digits are wanted, at most {max:04o}"))
}

/// The name of a header field (RFC 9110 §5.1), in small letters.
fn field_name(text: &str) -> Result<String, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_fit = !text.is_empty() && text.bytes().all(is_token);
    if is_fit {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("the name of a header is wanted, like Remote-User".to_owned())
    }
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
