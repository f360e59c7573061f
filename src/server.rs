//! Puts the share, the watcher and HTTP together: opens the folder, says what was found, listens, and stops in good order.

mod announcement;
mod bounds;
mod certificate;
mod certificates;
pub(crate) mod explain;
pub(crate) mod feed_keeper;
pub(crate) mod housekeeping;
mod lan;
mod listening;
pub(crate) mod open_log;
pub(crate) mod open_share;
mod pass_phrase;
mod self_signed;
pub(crate) mod startup_lines;
pub(crate) mod state;

use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use crate::access::Access;
use crate::access::password::PasswordHash;
use crate::config::{Anonymous, Config};
use crate::http::context::AppState;
use crate::http::media::TrustedPages;
use crate::http::request::host::names_of_machine;
use crate::http::router::Router;
use crate::http::settings::HttpSettings;
use crate::http::urls;
use crate::http::wire::transport::{self, TransportSettings};
use crate::model::path::SharePath;
use crate::model::rights::Rights;
use crate::os::{allocator, process};

use announcement::names_beside;
use bounds::Bounds;
use certificates::Certificates;
use feed_keeper::FeedKeeper;
use housekeeping::{Housekeeping, close};
use lan::{Browser, Guest, share_on_lan};
use listening::{Listening, listen, remove_sockets};
use open_log::open_log;
use open_share::{Purpose, open_disk, open_share};
use startup_lines::{say, say_what_is_served};

/// How many members PROPFIND tells of everything below a folder, unless it may tell all.
const PROPFIND_MEMBERS_MAX: usize = 10_000;

/// How many streams of events may be open at once.
const EVENT_STREAMS_MAX: usize = 1000;

/// Serves the folder until asked to stop.
pub fn serve(config: Config) -> anyhow::Result<()> {
    allocator::keep_some_free_memory();
    // Ports below 1024 are root's to listen on, and nothing that follows is root's to do.
    let served = serve_on(listen(&config)?, &config);
    remove_sockets(&config.listen);
    served
}

fn serve_on(listening: Listening, config: &Config) -> anyhow::Result<()> {
    // No other thread is there yet, and each will be confined like the one that starts it.
    become_user(config)?;
    let disk = open_disk(config, Purpose::Serve)?;
    let guest = Guest::of(config)?;
    let browser = config.open.then(Browser::start);
    let bounds = Bounds::set(config);
    let log = Rc::new(open_log(config)?);
    let system = actix_rt::System::new();
    if config.log.file.is_some() {
        // From now on the signal does not end the process, which may be at it for long before it serves.
        let log = Rc::clone(&log);
        system.block_on(async { process::on_hangup(move || log.reopen()) })?;
    }
    if config.has_secrets() {
        process::leave_no_core();
    }
    let access = open_access(config, guest.as_ref())?;
    config.base_path.clone().take_effect();
    let share = Arc::new(open_share(config, disk)?);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    say_what_is_served(config, &share);
    bounds.say();
    let certificates = open_certificates(config, &listening)?;
    let handshake = certificates.as_ref().map(Certificates::handshake).transpose()?;
    let housekeeping = Housekeeping::start(Arc::clone(&share), certificates);
    let feed = FeedKeeper::start(Arc::clone(&share));
    let watch = config.watch.then(|| crate::watch::start(Arc::clone(&share), &config.folder));
    for address in &listening.addresses {
        // Of an address the URL is told, and of a socket its name.
        let url = address.strip_suffix('/').map(|server| server.to_owned() + &urls::of_folder(&SharePath::root()));
        say(&format!("Listening on {}", url.as_ref().unwrap_or(address)));
    }
    let announcement = share_on_lan(config, &listening, &access, guest.as_ref())?;
    say("Stop with Ctrl-C.");
    if let Some(browser) = browser {
        browser.open(&listening, &access, guest.as_ref())?;
    }
    drop(guest);
    let listeners = listening.listeners(handshake.as_ref());
    let app = Arc::new(AppState::new(Arc::clone(&share), access, http_settings(config)));
    let served = system.block_on(async {
        let stop = process::stop_on_signals()?;
        let mut also_stops = process::stop_on_signals()?;
        let streams = Arc::clone(&app);
        actix_rt::spawn(async move {
            if also_stops.recv().await.is_some() {
                streams.stop_streams();
            }
        });
        let served =
            transport::serve(transport_settings(config), listeners, move || Router::new(Arc::clone(&app)), stop).await;
        share.stop_what_takes_long();
        served
    });
    drop(announcement);
    drop(watch);
    housekeeping.stop();
    feed.stop();
    close(&share);
    served.context("the server cannot go on")?;
    say("Stopped.");
    Ok(())
}

/// Becomes the user who serves, if one was named.
pub(crate) fn become_user(config: &Config) -> anyhow::Result<()> {
    let Some(user) = &config.user else { return Ok(()) };
    user.become_it().with_context(|| format!("cannot become the user {user}"))
}

/// Who may come in, and who may do what.
fn open_access(config: &Config, guest: Option<&Guest>) -> anyhow::Result<Access> {
    let for_everybody = config.anonymous.map(Anonymous::rights);
    let links = state::links_file(config)?;
    match (&config.users, guest.map(Guest::credentials)) {
        (Some(file), _) => Ok(Access::of_file(file.clone(), for_everybody, links)?),
        (None, Some((name, phrase))) => {
            let hash = PasswordHash::of(phrase).map_err(|error| anyhow!("cannot hash the pass phrase: {error}"))?;
            Ok(Access::of_one_user(name, hash, for_everybody, links))
        }
        (None, None) => Ok(Access::for_anonymous(for_everybody.unwrap_or(Rights::all()))),
    }
}

/// The certificate of the addresses that speak HTTPS, if there are any.
fn open_certificates(config: &Config, listening: &Listening) -> anyhow::Result<Option<Arc<Certificates>>> {
    let Some(certificate) = &config.certificate else { return Ok(None) };
    let encrypted = listening.encrypted()?;
    if encrypted.is_empty() {
        tracing::warn!("no address speaks HTTPS, and nobody is shown the certificate");
        return Ok(None);
    }
    Certificates::open(config, certificate, &encrypted).map(Some)
}

/// The names by which the server answers.
fn own_names(config: &Config) -> Vec<String> {
    let mut names = config.allowed_hosts.clone();
    names.extend(names_of_machine(&process::host_name()));
    if config.lan.is_some() {
        names.extend(names_beside(&names));
    }
    names
}

fn http_settings(config: &Config) -> HttpSettings {
    let limits = &config.limits;
    HttpSettings {
        plain_passwords: config.plain_passwords,
        trusted_proxies: config.trusted_proxies.clone(),
        user_header: config.user_header.as_deref().and_then(|name| name.parse().ok()),
        own_names: own_names(config),
        allowed_origins: config.allowed_origins.clone(),
        body_idle_max: limits.body_idle_max,
        body_rate_min: limits.body_rate_min,
        upload_bytes_max: limits.upload_bytes_max.map(Into::into),
        partial_put: config.partial_put,
        uploads_max: limits.uploads_max.get(),
        copies_max: limits.copies_max,
        event_streams_max: EVENT_STREAMS_MAX,
        hashing_max: limits.hashing_max.get(),
        cache_bytes: limits.cache_bytes,
        propfind_members_max: if config.propfind_infinity { usize::MAX } else { PROPFIND_MEMBERS_MAX },
        trusted_pages: TrustedPages(config.trusted_html.clone()),
    }
}

fn transport_settings(config: &Config) -> TransportSettings {
    let limits = &config.limits;
    TransportSettings {
        workers: config.workers.get(),
        connections_max: limits.connections_max.get(),
        connections_per_address: limits.connections_per_address.get(),
        header_bytes_max: limits.header_bytes_max.get(),
        path_bytes_max: limits.path_bytes_max.get(),
        handshake_time: limits.handshake_time_max,
        header_time: limits.header_time_max,
        keep_alive: limits.keep_alive,
        ..TransportSettings::default()
    }
}
