//! What the user asked for: the words of the command line, the variables and the file, made into checked values.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum as _};

use super::args::{Cli, Command, Examine, RestoreVersion, ShowHistory};
use super::changes_to_watch::{ChangesToWatch, Secrets};
use super::lan;
use super::link::{LinkTask, ShareOfLinks};
use super::mount_help::Address;
use super::password::Password;
use super::rules::AskRules;
use super::settings::{FOLDER, Setting, holds_users, id_of, settings_of_file, settings_of_variables, variable};
use super::usage_error::UsageError;
use super::user::UserTask;
use crate::access::file::AccessFile;
use crate::config::{Anonymous, Certificate, Config, Keep, Lan, Limits, Listen, Scheme, StateFolder};
use crate::log::{Log, LogFormat, LogLevel};
use crate::store::abilities::Tier;

/// The variables that may hold what proves to a server who asks.
const PASSWORD: &str = "NOCLOBBER_PASSWORD";
const TOKEN: &str = "NOCLOBBER_TOKEN";

/// What the program is to do.
#[derive(Debug)]
pub enum ProgramTask {
    /// Serve a folder.
    Serve(Box<Config>),
    /// List what is kept in a share's history.
    History(ShowHistory),
    /// Bring a kept version back, in a folder that is served with these settings.
    Restore(RestoreVersion, Box<Config>),
    /// Change the users of a file.
    User(UserTask),
    /// Show what somebody may do at a path.
    Rules(AskRules),
    /// Make, list or revoke links to what is in a folder that is served with these settings.
    Link(LinkTask, Box<Config>),
    /// Examine a server, with this password if a variable has it.
    Doctor(Examine, Option<Password>),
    /// Print what changes, with what the variables say to prove who asks.
    Watch(ChangesToWatch, Secrets),
    /// Print how to connect to a server at this address.
    MountHelp(Address),
    /// Print a completion script.
    Completions(clap_complete::Shell),
    /// Print the manual page.
    Man,
}

/// Reads the words of the command line and the variables, and the file that either of them names.
///
/// The words begin with the program's name. Only serving, and a restore in its stead, look at the variables and the file.
pub fn read(
    words: impl IntoIterator<Item = impl Into<OsString>>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<ProgramTask, UsageError> {
    let words = with_words_of_anonymous_joined(words.into_iter().map(Into::into));
    let matches = Cli::command().try_get_matches_from(&words)?;
    let given = Cli::from_arg_matches(&matches)?;
    match given.command {
        Some(Command::History(which)) => return Ok(ProgramTask::History(which)),
        Some(Command::Restore(which)) => {
            let config = to_restore(&which, variables)?;
            return Ok(ProgramTask::Restore(which, Box::new(config)));
        }
        Some(Command::User(task)) => return Ok(ProgramTask::User(task)),
        Some(Command::Rules(asked)) => return Ok(ProgramTask::Rules(asked)),
        Some(Command::Link(task)) => {
            let config = served_with(task.of().into(), variables)?;
            return Ok(ProgramTask::Link(task, Box::new(config)));
        }
        Some(Command::Doctor(which)) => {
            let variables: Vec<_> = variables.into_iter().collect();
            return Ok(ProgramTask::Doctor(which, Password::in_variable(PASSWORD, &variables)));
        }
        Some(Command::Watch(which)) => {
            let variables: Vec<_> = variables.into_iter().collect();
            if which.lacks_a_server() {
                let text = "--since, --user, --cacert and --insecure are for servers: a folder is told of from now on";
                return Err(Cli::command().error(ErrorKind::ArgumentConflict, text).into());
            }
            let [password, token] = [PASSWORD, TOKEN].map(|name| Password::in_variable(name, &variables));
            return Ok(ProgramTask::Watch(which, Secrets { password, token }));
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
    let own_users = named.filter(|file| holds_users(file));
    Ok(ProgramTask::Serve(Box::new(check(cli, folder, home_of_state(&variables), own_users, warnings)?)))
}

/// `--anonymous` may stand alone, so that only a word that it knows belongs to it, and any other is the folder.
fn with_words_of_anonymous_joined(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut joined = Vec::<OsString>::new();
    let mut are_options = true;
    for word in words {
        let may = word.to_str().filter(|word| are_options && Anonymous::from_str(word, false).is_ok());
        match joined.last_mut() {
            Some(last) if last == "--anonymous" && may.is_some() => {
                last.push("=");
                last.push(word);
            }
            _ => {
                are_options &= word != "--";
                joined.push(word);
            }
        }
    }
    joined
}

/// The settings that hold for this folder when nothing else is said, with nothing kept outside of it.
pub(super) fn plain(folder: &Path) -> Result<Config, UsageError> {
    to_serve(vec!["--no-state".into(), "--".into(), folder.into()], Vec::new())
}

/// As a server has them, but for what is about clients: none is listened for, a person at the machine names no version and is told what there is
/// to tell, and what a restore replaces is kept.
fn to_restore(
    which: &RestoreVersion,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config, UsageError> {
    let RestoreVersion { folder, config, state, no_state, .. } = which;
    let served = Served {
        folder: folder.as_ref(),
        config: config.as_ref(),
        state: state.as_ref(),
        users: None,
        no_state: *no_state,
    };
    let mut config = served_with(served, variables)?;
    config.require_preconditions = false;
    config.log.file = None;
    config.history.get_or_insert(Keep::of(None, None));
    Ok(config)
}

/// How a folder is served, as far as a command says it that does not serve.
#[derive(Clone, Copy, Default)]
struct Served<'a> {
    folder: Option<&'a PathBuf>,
    config: Option<&'a PathBuf>,
    state: Option<&'a PathBuf>,
    users: Option<&'a PathBuf>,
    no_state: bool,
}

impl<'a> From<&'a ShareOfLinks> for Served<'a> {
    fn from(ShareOfLinks { folder, config, state, users }: &'a ShareOfLinks) -> Self {
        Self {
            folder: folder.as_ref(),
            config: config.as_ref(),
            state: state.as_ref(),
            users: users.as_ref(),
            no_state: false,
        }
    }
}

/// The settings of the server of a folder, none of which has it listen where others reach it.
fn served_with(
    served: Served<'_>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config, UsageError> {
    let option = |name: &str, value: &PathBuf| [OsStr::new(name), value.as_os_str()].into_iter().collect::<OsString>();
    let mut words = vec!["--listen=127.0.0.1:0".into(), "--log-level=info".into(), "--log-format=text".into()];
    words.extend(served.config.map(|file| option("--config=", file)));
    words.extend(served.state.map(|folder| option("--state=", folder)));
    words.extend(served.users.map(|file| option("--users=", file)));
    words.extend(served.no_state.then(|| "--no-state".into()));
    words.push("--".into());
    words.extend(served.folder.map(OsString::from));
    to_serve(words, variables.into_iter().collect())
}

fn to_serve(words: Vec<OsString>, variables: Vec<(OsString, OsString)>) -> Result<Config, UsageError> {
    match read(std::iter::once("noclobber".into()).chain(words), variables)? {
        ProgramTask::Serve(config) => Ok(*config),
        _ => unreachable!("no command was given"),
    }
}

/// The folder in which each share has its own state (XDG Base Directory Specification); `None` if the user has no home.
fn home_of_state(variables: &BTreeMap<OsString, OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(variables, name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").map(|state| state.join("noclobber"));
    state.or_else(|| Some(beneath_home(&absolute("HOME")?)))
}

fn beneath_home(home: &Path) -> PathBuf {
    home.join(".local/state/noclobber")
}

/// Makes checked values of words that were parsed one by one.
fn check(
    cli: Cli,
    folder: PathBuf,
    state_home: Option<PathBuf>,
    own_users: Option<PathBuf>,
    warnings: Vec<String>,
) -> Result<Config, UsageError> {
    let users = match (cli.users, own_users) {
        (Some(users), Some(own)) if users != own => {
            let text = format!("{} holds users, too: it is either that or --users {}", own.display(), users.display());
            return Err(UsageError::Setting(text));
        }
        (users, own) => users.or(own),
    };
    if let Some(file) = &users {
        AccessFile::read(file, cli.anonymous.map(Anonymous::rights))
            .map_err(|bad| UsageError::Setting(bad.to_string()))?;
    }
    let listen = match cli.listen {
        given if given.is_empty() && cli.lan => lan::everywhere(),
        given if given.is_empty() => vec![Listen::Tcp(None, SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4918))],
        given => given,
    };
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let all_but_one = NonZeroUsize::new(cores.get() - 1).unwrap_or(cores);
    // What the variables say is of whoever starts the program.
    let state_home = match &cli.user {
        Some(user) => Some(beneath_home(&user.home)),
        None => state_home,
    };
    let kept_in = cli.state.clone().or_else(|| state_home.clone());
    let lan = lan::lan(cli.lan, cli.remember, users.is_some(), kept_in.as_deref())?;
    let certificate = certificate(cli.tls, cli.tls_cert, cli.tls_key, kept_in)?;
    let is_https = |listen: &&Listen| matches!(listen, Listen::Tcp(Some(Scheme::Https), _));
    if let (Some(https), None) = (listen.iter().find(is_https), &certificate) {
        return Err(UsageError::Setting(format!(
            "--listen {https} takes a certificate: add --tls, or --tls-cert and --tls-key"
        )));
    }
    let state = match (cli.no_state, cli.state, state_home) {
        (true, _, _) | (false, None, None) => StateFolder::Memory,
        (false, Some(folder), _) => StateFolder::In(folder),
        (false, None, Some(home)) => StateFolder::Beneath(home),
    };
    let keep = Keep::of(cli.history_days, cli.history_percent);
    let limits = Limits {
        header_bytes_max: cli.header_bytes_max.unwrap_or(const { NonZeroUsize::new(32 * 1024).unwrap() }),
        handshake_time_max: Duration::from_secs(cli.handshake_seconds.unwrap_or(10)),
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
        feed_changes_max: cli.feed_changes_max.unwrap_or(const { NonZeroU64::new(100_000).unwrap() }),
        feed_age_max: Duration::from_secs(u64::from(cli.feed_days.unwrap_or(30)) * 24 * 60 * 60),
        keep_alive: Duration::from_secs(cli.keep_alive_seconds.unwrap_or(75)),
        tag_threshold: cli.tag_threshold.unwrap_or(8 * 1024 * 1024),
    };
    // The pass phrase of a guest is good for one run, and the start says who can read it. Passwords of users are worth more.
    let guests_phrase_is_readable = matches!(lan, Some(Lan::Guest(_))) && certificate.is_none();
    let config = Config {
        folder,
        listen,
        certificate,
        anonymous: cli.anonymous,
        lan,
        open: cli.open,
        users,
        plain_passwords: cli.plain_passwords || guests_phrase_is_readable,
        base_path: cli.base_path.unwrap_or_default(),
        trusted_proxies: cli.trusted_proxy,
        user_header: cli.user_header,
        confined: !cli.no_landlock,
        user: cli.user,
        allowed_hosts: cli.allow_host,
        allowed_origins: cli.allow_origin,
        state,
        history: (!cli.no_history).then_some(keep),
        require_preconditions: cli.require_preconditions,
        partial_put: cli.partial_put,
        require_tier: cli.require_tier.as_deref().map(tier),
        force_tier: cli.force_tier.as_deref().map(tier),
        force_time_grain: cli.force_time_grain.map(Duration::from_millis),
        umask: cli.umask,
        file_mode: cli.file_mode,
        dir_mode: cli.dir_mode,
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
    };
    let is_closed = |listen: &&Listen| match listen {
        Listen::Tcp(said, _) => !listen.is_local() && !config.lets_somebody_in(config.scheme(*said)),
        Listen::Unix(_) | Listen::Inherited => false,
    };
    match config.listen.iter().find(is_closed) {
        Some(open) => Err(UsageError::Setting(why_not_there(open, config.has_users()))),
        None => Ok(config),
    }
}

/// Why nobody is let in at an address that other machines can reach.
fn why_not_there(open: &Listen, has_users: bool) -> String {
    let besides = "or add --anonymous read if everybody on that network may read what is in the folder,\n\
                   create if they may add to it, too, or write if they may do everything.";
    if has_users {
        return format!(
            "--listen {open} can be reached from other machines, and passwords would cross the network for all to read\n\n\
             Add --tls, let a proxy with TLS or a tunnel (ssh -L) in front of it (--trusted-proxy), add --plain-passwords if that\n\
             does not matter there,\n{besides}"
        );
    }
    format!(
        "--listen {open} can be reached from other machines, and there are no users\n\n\
         Make one with 'noclobber user add NAME --users FILE' and start with --users FILE,\n\
         listen on 127.0.0.1 and let a proxy with passwords or a tunnel (ssh -L) in front of it,\n{besides}"
    )
}

/// The certificate that was asked for; one that is made is kept beneath this folder.
fn certificate(
    is_made: bool,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    kept_in: Option<PathBuf>,
) -> Result<Option<Certificate>, UsageError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(Certificate::Files { certificate, key })),
        (None, None) => Ok(is_made.then_some(Certificate::Made(kept_in))),
        (Some(_), None) => {
            Err(UsageError::Setting("--tls-cert takes --tls-key, too: the key of the certificate".to_owned()))
        }
        (None, Some(_)) => {
            Err(UsageError::Setting("--tls-key takes --tls-cert, too: the certificate of the key".to_owned()))
        }
    }
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
