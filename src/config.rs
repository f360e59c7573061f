//! How a folder is to be served: checked values, whoever has read them from wherever.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use glob::Pattern;

use crate::http::request::forwarded::TrustedProxy;
use crate::http::urls::BasePath;
use crate::log::Log;
use crate::model::rights::Rights;
use crate::os::account::Account;
use crate::store::abilities::Tier;

/// A Unix socket's path must fit into the kernel's `sun_path`, with a NUL behind it (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// How a folder is to be served: checked values, all of them final but what depends on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder to be shared, as it was given.
    pub folder: PathBuf,
    /// Where to listen; never empty.
    pub listen: Vec<Listen>,
    /// What an address shows that speaks HTTPS; `None`: there is no such address.
    pub certificate: Option<Certificate>,
    /// What may be done by whoever has not said who they are; `None`: everything, and nobody from another machine is let in.
    pub anonymous: Option<Anonymous>,
    /// Who comes in from the local network, where the folder is announced; `None`: it is not.
    pub lan: Option<Lan>,
    /// A browser is opened on the folder.
    pub open: bool,
    /// The file of users and rules; `None`: there are no users but the guest of the local network.
    pub users: Option<PathBuf>,
    /// Passwords and tokens are taken from other machines over plain HTTP.
    pub plain_passwords: bool,
    /// The path on the server below which everything is.
    pub base_path: BasePath,
    /// The proxies whose word about the client behind them counts.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// The field in which such a proxy names the user who has signed in to it.
    pub user_header: Option<String>,
    /// The process is held to the folder and what is kept beside it, where the system can do that.
    pub confined: bool,
    /// Who serves once the sockets are open; `None`: whoever has started the program.
    pub user: Option<Account>,
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
    /// A PUT with `Content-Range` writes a part of a file.
    pub partial_put: bool,
    /// The least tier to start on.
    pub require_tier: Option<Tier>,
    /// The most that is made of the disk's abilities; for tests.
    pub force_tier: Option<Tier>,
    /// The grain that the disk's clock is taken to have; for tests.
    pub force_time_grain: Option<Duration>,
    /// Which permissions new files and folders do not get; `None`: as the process was started.
    pub umask: Option<u32>,
    /// The permissions of new files, whatever the umask.
    pub file_mode: Option<u32>,
    /// The permissions of new folders, whatever the umask.
    pub dir_mode: Option<u32>,
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

/// What may be done by whoever has not said who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Anonymous {
    /// Look around and read.
    Read,
    /// Add to what is there, besides: nothing is replaced, changed or removed.
    Create,
    /// Everything.
    Write,
}

impl Anonymous {
    /// The rights that it comes to, everywhere in the share.
    pub fn rights(self) -> Rights {
        match self {
            Self::Read => Rights::LOOK,
            Self::Create => Rights::ADD,
            Self::Write => Rights::all(),
        }
    }
}

/// Who comes in from the local network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lan {
    /// The users of the file.
    Users,
    /// One user who is made for it.
    Guest(PassPhrase),
}

/// The pass phrase of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassPhrase {
    /// One that is made for this run.
    OfThisRun,
    /// One that is made once, and kept beneath this folder; `None`: the user has no home, and named none.
    Kept(Option<PathBuf>),
}

/// What is spoken at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP as it is.
    Http,
    /// HTTP in TLS.
    Https,
}

/// The certificate by which clients know the server, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// One that is made here, signed by itself, and kept beneath this folder; `None`: the user has no home, and named none.
    Made(Option<PathBuf>),
    /// One that somebody else has made: two files in PEM.
    Files {
        /// The certificate, and behind it those that vouch for it.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
}

/// A setting is wrong, which only a look at what it names could show.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongSetting(pub String);

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// TCP; port 0 lets the system choose one. Where nothing else is said it speaks HTTPS if there is a certificate.
    Tcp(Option<Scheme>, SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
    /// The sockets that whoever starts the program has opened for it (sd_listen_fds(3)).
    Inherited,
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
    /// The longest wait for the handshake of TLS.
    pub handshake_time_max: Duration,
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
    /// The most changes that the feed keeps.
    pub feed_changes_max: NonZeroU64,
    /// The age up to which it keeps them.
    pub feed_age_max: Duration,
    /// How long an idle connection is kept; zero: not at all.
    pub keep_alive: Duration,
    /// A file larger than this is not hashed before it is answered, in bytes.
    pub tag_threshold: u64,
}

impl Keep {
    /// With the defaults for what is not said.
    pub(crate) fn of(days: Option<u32>, percent: Option<u8>) -> Self {
        let age_max = Duration::from_secs(u64::from(days.unwrap_or(30)) * 24 * 60 * 60);
        Self { age_max, percent_max: percent.unwrap_or(10) }
    }
}

impl Config {
    /// Whether the process has in its memory what nobody else may know: passwords that people come with, and the key of a certificate.
    pub fn has_secrets(&self) -> bool {
        self.users.is_some() || self.lan.is_some() || self.certificate.is_some()
    }

    /// What is spoken where this is all that was said of an address.
    pub fn scheme(&self, said: Option<Scheme>) -> Scheme {
        said.unwrap_or(if self.certificate.is_some() { Scheme::Https } else { Scheme::Http })
    }

    /// Whether anybody from another machine is let in where this is spoken: everybody, or users whose passwords nobody reads on the way.
    pub fn lets_somebody_in(&self, scheme: Scheme) -> bool {
        let is_private = scheme == Scheme::Https || self.plain_passwords || !self.trusted_proxies.is_empty();
        self.anonymous.is_some() || self.has_users() && is_private
    }

    /// Whether there is anybody who may sign in.
    pub fn has_users(&self) -> bool {
        self.users.is_some() || matches!(self.lan, Some(Lan::Guest(_)))
    }
}

impl Listen {
    /// Whether only this machine can reach it, as far as that is known: of sockets that are handed over it is when they are there.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Inherited => true,
            Self::Tcp(_, address) => address.ip().to_canonical().is_loopback(),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// As it is given with `--listen`.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(None, address) => address.fmt(f),
            Self::Tcp(Some(scheme), address) => write!(f, "{scheme}://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inherited => f.write_str("systemd"),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "systemd" {
            return Ok(Self::Inherited);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.len() {
                0 => Err("a path must follow 'unix:'".to_owned()),
                1..=SOCKET_PATH_BYTES_MAX => Ok(Self::Unix(path.into())),
                _ => Err(format!("the path of a Unix socket has at most {SOCKET_PATH_BYTES_MAX} bytes")),
            };
        }
        let (scheme, address) = match text.split_once("://") {
            None => (None, text),
            Some(("http", rest)) => (Some(Scheme::Http), rest.strip_suffix('/').unwrap_or(rest)),
            Some(("https", rest)) => (Some(Scheme::Https), rest.strip_suffix('/').unwrap_or(rest)),
            Some(_) => return Err("an address begins with http:// or https://, or with neither".to_owned()),
        };
        let address = address.parse();
        address
            .map(|address| Self::Tcp(scheme, address))
            .map_err(|_| "not an address with a port, like 127.0.0.1:4918 or [::1]:80, nor unix: and a path".to_owned())
    }
}
