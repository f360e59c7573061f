//! Puts the share, the watcher and HTTP together: opens the folder, says what was found, listens, and stops in good order.

mod state;

use std::fs;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail};

use crate::config::{Config, Keep, Listen, RestoreVersion, ShowHistory, StateFolder, plain};
use crate::http::context::AppState;
use crate::http::media::TrustedPages;
use crate::http::representations::versions::Described;
use crate::http::request::host::names_of_machine;
use crate::http::settings;
use crate::http::wire::socket::Listener;
use crate::http::wire::transport;
use crate::log::{self, LogGuard, escaped};
use crate::model::path::SharePath;
use crate::model::stamp::Timestamp;
use crate::model::version::VersionId;
use crate::os::process;
use crate::share::outcome::Stop;
use crate::share::{Cause, CopyLimit, KeptAt, KeptVersion, PageRequest, RequestContext, Share, ShareSettings};
use crate::store::abilities::Tier;
use crate::store::catalog::index::Index;
use crate::store::catalog::properties::PropertyLimits;
use crate::store::local::commit::Tree;
use crate::store::local::history::KeepLimits;
use crate::store::local::os_disk::{FolderLock, FollowLinks, Options, OsDisk};
use crate::store::notice::Notice;
use crate::store::status::Kind;

/// How many members PROPFIND tells of everything below a folder, unless it may tell all.
const PROPFIND_MEMBERS_MAX: usize = 10_000;

/// How many versions the command line reads at once.
const PAGE: usize = 10_000;

/// How often displaced files are looked at again, where it is time.
const TICK: Duration = Duration::from_secs(1);

/// How often what is remembered is saved.
const SAVE: Duration = Duration::from_secs(5);

/// How often the keep rule is applied.
const PRUNE: Duration = Duration::from_secs(600);

/// Serves the folder until asked to stop.
pub fn serve(config: Config) -> anyhow::Result<()> {
    let log = Rc::new(open_log(&config)?);
    let share = Arc::new(open_share(&config, Purpose::Serve)?);
    let (listeners, addresses) = listen(&config.listen)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    say_what_is_served(&config, &share);
    let housekeeping = Housekeeping::start(Arc::clone(&share));
    let watch = config.watch.then(|| crate::watch::start(Arc::clone(&share), &config.folder));
    for address in &addresses {
        say(&format!("Listening on {address}"));
    }
    say("Stop with Ctrl-C.");
    let app = AppState::new(Arc::clone(&share), http_settings(&config));
    let served = actix_rt::System::new().block_on(async {
        let stop = process::stop_on_signals()?;
        if config.log.file.is_some() {
            let log = Rc::clone(&log);
            process::on_hangup(move || log.reopen())?;
        }
        let served = transport::serve(transport_settings(&config), listeners, move || app.clone(), stop).await;
        share.stop_what_takes_long();
        served
    });
    drop(watch);
    housekeeping.stop();
    close(&share);
    remove_sockets(&config.listen);
    served.context("the server cannot go on")?;
    say("Stopped.");
    Ok(())
}

/// Prints the versions that are kept of a path and everything below it.
pub fn show_history(which: &ShowHistory) -> anyhow::Result<()> {
    let share = open_share(&plain(&which.folder)?, Purpose::Look)?;
    let path = share_path(&which.folder, which.path.as_deref())?;
    let mut out = io::stdout().lock();
    if which.json {
        return print_json(&mut out, &share, &path);
    }
    let count = each_version(&share, &path, |KeptAt { path, version }| {
        writeln!(out, "{}  {:>12}  {}", version.id.as_str(), describe_size(version), escaped(&path.to_text()))?;
        Ok(())
    })?;
    if count == 0 {
        writeln!(out, "Nothing is kept of {}.", escaped(&path.to_text()))?;
    }
    Ok(())
}

/// One array, a version a line.
fn print_json(out: &mut impl io::Write, share: &Share, path: &SharePath) -> anyhow::Result<()> {
    write!(out, "[")?;
    let mut separator = "\n";
    let count = each_version(share, path, |version| {
        write!(out, "{separator}{}", serde_json::to_string(&Described::with_path(version))?)?;
        separator = ",\n";
        Ok(())
    })?;
    writeln!(out, "{}]", if count == 0 { "" } else { "\n" })?;
    Ok(())
}

/// Calls `each` for the versions of a path and of all below, the newest first, and says how many there were. No more than a page of them is
/// held at once.
fn each_version(
    share: &Share,
    path: &SharePath,
    mut each: impl FnMut(&KeptAt) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let (mut count, mut before) = (0, None);
    loop {
        let page = share.versions_below(path, PageRequest { before, count: PAGE }).map_err(explain)?;
        page.items.iter().try_for_each(&mut each)?;
        count += page.items.len();
        before = page.items.last().map(|last| (last.version.id.clone(), last.path.clone()));
        if !page.goes_on {
            return Ok(count);
        }
    }
}

/// Brings a version back, while no server has the share; what is there now goes into the history. Locks are heeded and properties come back as
/// by a server with these settings, where the index is that they speak of.
pub fn restore(which: &RestoreVersion, config: &Config) -> anyhow::Result<()> {
    let _log = open_log(config)?;
    let path = share_path(&config.folder, Some(&which.path))?;
    let Some(id) = VersionId::parse(&which.version) else {
        bail!("{} is not the name of a version", escaped(&which.version))
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if config.state == StateFolder::Memory && !which.no_state {
        tracing::warn!(
            "neither HOME nor XDG_STATE_HOME says where the index is: locks are not heeded, and properties that clients have set do not come \
             back; --state names it"
        );
    }
    let share = open_share(config, Purpose::Restore)?;
    let restored = share.restore(&path, &id, true, &RequestContext::unconditional(now()), CopyLimit::NONE);
    close(&share);
    match restored.map_err(explain)?.and_then(|stored| stored.displaced) {
        Some(displaced) => {
            say(&format!("{} is back. What was there is kept as {}.", escaped(&path.to_text()), displaced.as_str()))
        }
        None => say(&format!("{} is back.", escaped(&path.to_text()))),
    }
    Ok(())
}

fn open_log(config: &Config) -> anyhow::Result<LogGuard> {
    let Some(file) = &config.log.file else { return Ok(log::start(&config.log)?) };
    if state::lies_in(file, &config.folder).with_context(|| format!("cannot log to {}", file.display()))? {
        bail!(
            "the log would lie in the folder that is shared, where everybody could read and replace it: {}\n\
             --log-file names a file outside of it",
            file.display()
        );
    }
    log::start(&config.log).with_context(|| format!("cannot log to {}", file.display()))
}

/// What a share is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Serve,
    /// One change, while nobody serves it.
    Restore,
    /// To list what another process may be serving.
    Look,
}

fn open_share(config: &Config, purpose: Purpose) -> anyhow::Result<Share> {
    let folder = &config.folder;
    let links = if config.follow_symlinks { FollowLinks::Inside } else { FollowLinks::Never };
    let (at_most, time_grain) = (config.force_tier, config.force_time_grain);
    let options = Options { links, at_most, time_grain, syncs: config.sync };
    let disk = OsDisk::open(folder, options).with_context(|| format!("cannot share {}", folder.display()))?;
    if purpose != Purpose::Look {
        lock_share(&disk, folder, purpose)?;
    }
    let tier = crate::store::local::disk::Disk::abilities(&disk).tier();
    if let Some(required) = config.require_tier
        && tier < required
    {
        bail!("{} lies on a file system of tier {tier}, and tier {required} is required", folder.display());
    }
    let settings = ShareSettings {
        keep: config.history.map(|Keep { age_max, percent_max }| KeepLimits { age_max, percent_max }),
        require_preconditions: config.require_preconditions,
        tag_threshold: config.limits.tag_threshold,
        hashing_max: config.limits.hashing_max.get(),
        syncs: config.sync,
        root_locks: config.root_locks,
        properties: PropertyLimits { all_bytes_max: config.limits.properties_bytes_max, ..PropertyLimits::default() },
    };
    let index = match purpose {
        Purpose::Serve => state::open_index(config, &disk.share_identity()?, now())?,
        Purpose::Restore => state::open_index_that_is_there(config, &disk.share_identity()?)?,
        Purpose::Look => return Ok(Share::open_read_only(Tree::on(Arc::new(disk)), Index::in_memory(), settings)),
    };
    let share = Share::open(Tree::on(Arc::new(disk)), index, settings, now()).map_err(explain)?;
    tell(share.tick(now()));
    Ok(share)
}

fn lock_share(disk: &OsDisk, folder: &Path, purpose: Purpose) -> anyhow::Result<()> {
    match disk.lock_share() {
        Ok(FolderLock::Held) => Ok(()),
        Ok(FolderLock::Unavailable) => {
            tracing::warn!(
                "the file system of {} has no file locks: that no second noclobber serves it is for you to see to",
                folder.display()
            );
            Ok(())
        }
        Err(error) if error.cause == Cause::InUse && purpose == Purpose::Restore => {
            Err(error).context("nothing was changed; a server that runs brings a version back by POST with ?restore=ID")
        }
        Err(error) => Err(error.into()),
    }
}

fn listen(wanted: &[Listen]) -> anyhow::Result<(Vec<Listener>, Vec<String>)> {
    let mut listeners = Vec::new();
    let mut addresses = Vec::new();
    for listen in wanted {
        match listen {
            Listen::Tcp(address) => {
                let socket = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
                addresses.push(format!("http://{}/", socket.local_addr()?));
                listeners.push(Listener::Tcp(socket));
            }
            Listen::Unix(path) => {
                remove_stale_socket(path);
                let socket =
                    UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
                addresses.push(format!("unix:{}", path.display()));
                listeners.push(Listener::Unix(socket));
            }
        }
    }
    Ok((listeners, addresses))
}

/// A socket that nobody answers on is what an earlier server left.
fn remove_stale_socket(path: &Path) {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        let _ = fs::remove_file(path);
    }
}

fn remove_sockets(listen: &[Listen]) {
    for listen in listen {
        if let Listen::Unix(path) = listen {
            let _ = fs::remove_file(path);
        }
    }
}

fn http_settings(config: &Config) -> settings::HttpSettings {
    let limits = &config.limits;
    settings::HttpSettings {
        own_names: config.allowed_hosts.iter().cloned().chain(names_of_this_machine()).collect(),
        allowed_origins: config.allowed_origins.clone(),
        body_idle_max: limits.body_idle_max,
        body_rate_min: limits.body_rate_min,
        upload_bytes_max: limits.upload_bytes_max.map(Into::into),
        uploads_max: limits.uploads_max.get(),
        copies_max: limits.copies_max,
        hashing_max: limits.hashing_max.get(),
        cache_bytes: limits.cache_bytes,
        propfind_members_max: if config.propfind_infinity { usize::MAX } else { PROPFIND_MEMBERS_MAX },
        trusted_pages: TrustedPages(config.trusted_html.clone()),
    }
}

fn names_of_this_machine() -> Vec<String> {
    names_of_machine(&process::host_name())
}

fn transport_settings(config: &Config) -> transport::TransportSettings {
    let limits = &config.limits;
    transport::TransportSettings {
        workers: config.workers.get(),
        connections_max: limits.connections_max.get(),
        connections_per_address: limits.connections_per_address.get(),
        header_bytes_max: limits.header_bytes_max.get(),
        path_bytes_max: limits.path_bytes_max.get(),
        header_time: limits.header_time_max,
        keep_alive: limits.keep_alive,
        ..transport::TransportSettings::default()
    }
}

/// What a person who starts the server wants to know.
fn say_what_is_served(config: &Config, share: &Share) {
    let folder = fs::canonicalize(&config.folder).unwrap_or_else(|_| config.folder.clone());
    say(&format!("noclobber {} shares {}", env!("CARGO_PKG_VERSION"), escaped(&folder.to_string_lossy())));
    let tier = share.abilities().tier();
    say(&format!("Tier {tier}: {}", meaning(tier)));
    if share.abilities().time_grain >= COARSE_GRAIN {
        say(
            "Times: this file system keeps them to the second or coarser, so small files are read again until that is over, and dates of what other programs save name no version",
        );
    }
    match config.history {
        Some(keep) => say(&format!(
            "History: on, in .noclobber/history; kept for {} days, in at most {} % of the disk",
            keep.age_max.as_secs() / 86_400,
            keep.percent_max
        )),
        None => say("History: off; what is replaced without a condition is gone"),
    }
    if config.require_preconditions {
        say("Preconditions: required; a change must name the version it replaces");
    }
}

/// From this grain of the disk's clock on a person is told of it.
const COARSE_GRAIN: Duration = Duration::from_secs(1);

fn meaning(tier: Tier) -> &'static str {
    match tier {
        Tier::A => {
            "nothing that another program saves here is overwritten unseen, not even by one that writes in place"
        }
        Tier::B => {
            "nothing that another program saves here is overwritten unseen; one that keeps a file open and writes on later is noticed within ten seconds only"
        }
        Tier::C => {
            "nothing that another program saves here is overwritten unseen, but a file that is replaced is missing for an instant to other programs"
        }
        Tier::D => {
            "clients never overwrite each other unseen; but this file system cannot take a name only if it is free, and what another program saves in the instant of a write here is destroyed"
        }
    }
}

/// The thread that does what is to be done now and then.
struct Housekeeping {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Housekeeping {
    fn start(share: Arc<Share>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            // The keep rule is applied at once: a server that never runs for long applies it too.
            let began = Instant::now();
            share.keep_time(now(), began.elapsed());
            prune(&share);
            let mut cannot_save = false;
            let (mut saved, mut pruned) = (Instant::now(), Instant::now());
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                share.keep_time(now(), began.elapsed());
                tell(share.tick(now()));
                if saved.elapsed() >= SAVE {
                    save(&share, &mut cannot_save);
                    saved = Instant::now();
                }
                if pruned.elapsed() >= PRUNE {
                    prune(&share);
                    pruned = Instant::now();
                }
            }
        });
        Self { stop, thread }
    }

    fn stop(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}

fn close(share: &Share) {
    tell(share.tick(now()));
    save(share, &mut false);
    if let Err(stop) = share.close() {
        tracing::warn!("{}", explain(stop));
    }
}

/// Saves what is remembered; says once that it cannot be, and once that it can be again.
fn save(share: &Share, cannot: &mut bool) {
    match share.save_index() {
        Ok(()) if std::mem::take(cannot) => tracing::info!("what is remembered is saved again"),
        Err(error) if !std::mem::replace(cannot, true) => {
            tracing::warn!("what is remembered cannot be saved now: {error}; it is tried again");
        }
        _ => {}
    }
}

fn prune(share: &Share) {
    match share.prune(now()) {
        Ok(0) => {}
        Ok(count) => tracing::info!("the history let {count} versions go"),
        Err(stop) => tracing::warn!("the history cannot be pruned: {}", explain(stop)),
    }
}

fn tell(notices: Vec<Notice>) {
    for notice in notices {
        match notice {
            Notice::ConflictCopy { of, copy } => tracing::warn!(
                "a program went on writing into {} after it was replaced; what it wrote is in {}",
                escaped(&of.to_text()),
                escaped(&copy.to_text())
            ),
            Notice::Recovered { path, how } => {
                tracing::warn!("after an interruption, {}: {how}", escaped(&path.to_text()))
            }
            Notice::NotNoted { path, why } => tracing::warn!("{}: {why}", escaped(&path.to_text())),
            Notice::Stuck { path, why } => {
                tracing::warn!(
                    "the history of {}: {why}; what is there stays, and is not tried again",
                    escaped(&path.to_text())
                );
            }
            Notice::GaveRoom { versions, bytes } => {
                tracing::warn!("the disk is full: the history gave {versions} versions, {bytes} bytes");
            }
            Notice::Open { why } => {
                tracing::warn!("others may look into .noclobber, and that cannot be changed: {why}");
            }
            Notice::Postponed { path, why } => tracing::warn!("{}: {why}; it is tried again", escaped(&path.to_text())),
        }
    }
}

/// A path on the command line: inside the share, or given from where the user stands.
fn share_path(folder: &Path, path: Option<&Path>) -> anyhow::Result<SharePath> {
    let Some(path) = path else { return Ok(SharePath::root()) };
    let inside = match path.strip_prefix(folder) {
        Ok(inside) => inside,
        Err(_) => path.strip_prefix("/").unwrap_or(path),
    };
    let inside = inside.strip_prefix("./").unwrap_or(inside);
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(inside.as_os_str());
    let bytes = bytes.strip_suffix(b"/").unwrap_or(bytes);
    SharePath::parse_disk(bytes).with_context(|| format!("{} is not a path inside the share", path.display()))
}

fn describe_size(version: &KeptVersion) -> String {
    if version.kind == Kind::File { version.size.to_string() } else { "folder".to_owned() }
}

fn explain(stop: Stop) -> anyhow::Error {
    match stop {
        Stop::Refusal(refusal) => anyhow::anyhow!("{refusal}"),
        Stop::Fault(fault) => fault.into(),
    }
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// Standard output that nobody reads is no reason to stop serving.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
