//! The announcement of the share on the local network (DNS-SD over multicast DNS, RFC 6762 and 6763): file managers list it among the machines
//! around. It follows the machine's addresses as they come and go, and is withdrawn in the end. It is a courtesy: where it fails the share is
//! served all the same.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mdns_sd::{DaemonEvent, IfKind, IfPredicate, ServiceDaemon, ServiceInfo};

use crate::config::Scheme;
use crate::os::addresses::addresses_of_machine;

/// The longest name of an instance, in bytes (RFC 6763 §4.1.1).
const NAME_BYTES_MAX: usize = 63;

/// How often the machine's name may be taken already.
const NAMESAKES_MAX: u32 = 9;

/// How long it may take to withdraw it.
const WITHDRAWN_WITHIN: Duration = Duration::from_secs(2);

/// What is announced.
#[derive(Debug)]
pub(super) struct Announced<'a> {
    /// What people see of it in a list.
    pub(super) name: String,
    /// The machine's name, which ends in `.local`.
    pub(super) host: &'a str,
    /// Where it listens; the first address gives the port.
    pub(super) listening: &'a [SocketAddr],
    /// What is spoken there.
    pub(super) scheme: Scheme,
    /// The path of the share on the server.
    pub(super) path: &'a str,
    /// The user to sign in as, if it is one.
    pub(super) user: Option<&'a str>,
}

/// An announcement that holds until this is dropped.
pub(super) struct Announcement {
    daemon: ServiceDaemon,
    full_names: Vec<String>,
}

impl Announcement {
    /// Begins it.
    pub(super) fn begin(what: &Announced<'_>) -> Result<Self, mdns_sd::Error> {
        let daemon = ServiceDaemon::new()?;
        daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
        tell_of_trouble(&daemon);
        let mut announcement = Self { daemon, full_names: Vec::new() };
        let kinds: &[&str] = match what.scheme {
            Scheme::Http => &["_webdav._tcp.local.", "_http._tcp.local."],
            Scheme::Https => &["_webdavs._tcp.local."],
        };
        for kind in kinds {
            announcement.add(kind, what)?;
        }
        Ok(announcement)
    }

    fn add(&mut self, kind: &str, what: &Announced<'_>) -> Result<(), mdns_sd::Error> {
        let mut about = vec![("path", what.path)];
        about.extend(what.user.map(|user| ("u", user)));
        let port = what.listening.first().map_or(0, SocketAddr::port);
        let host = format!("{}.", what.host);
        let mut service = ServiceInfo::new(kind, &what.name, &host, "", port, &about[..])?.enable_addr_auto();
        let listening: Vec<IpAddr> = what.listening.iter().map(SocketAddr::ip).collect();
        service.set_interfaces(vec![IfKind::Predicate(IfPredicate::new(move |interface| {
            // What is told to a person: no temporary addresses, and none that are good on one wire alone.
            let is_told = || addresses_of_machine().contains(&interface.ip());
            listening.iter().any(|at| reaches(*at, interface.ip())) && is_told()
        }))]);
        self.full_names.push(service.get_fullname().to_owned());
        self.daemon.register(service)
    }
}

impl Drop for Announcement {
    /// Tells everybody that it is over.
    fn drop(&mut self) {
        let withdrawn: Vec<_> = self.full_names.iter().filter_map(|name| self.daemon.unregister(name).ok()).collect();
        for answer in withdrawn {
            let _ = answer.recv_timeout(WITHDRAWN_WITHIN);
        }
        if let Ok(over) = self.daemon.shutdown() {
            let _ = over.recv_timeout(WITHDRAWN_WITHIN);
        }
    }
}

/// Whether whoever listens there is reached at this address.
fn reaches(listening: IpAddr, address: IpAddr) -> bool {
    listening == address || listening.is_unspecified() && listening.is_ipv4() == address.is_ipv4()
}

/// Has the log say what goes wrong from now on.
fn tell_of_trouble(daemon: &ServiceDaemon) {
    let Ok(events) = daemon.monitor() else { return };
    let watch = move || {
        for event in events.iter() {
            match event {
                DaemonEvent::Error(error) => tracing::warn!("announcing on the local network: {error}"),
                DaemonEvent::NameChange(change) => tracing::warn!(
                    "{} is taken on the local network; it is announced as {}",
                    change.original,
                    change.new_name
                ),
                _ => {}
            }
        }
    };
    let thread = std::thread::Builder::new().name("announcement".to_owned());
    if let Err(error) = thread.spawn(watch) {
        tracing::warn!("nobody hears what goes wrong with the announcement: {error}");
    }
}

/// What the machine is announced as where another one has its name: with a number (RFC 6762 §9).
pub(super) fn names_beside(names: &[String]) -> Vec<String> {
    let labels = names.iter().filter_map(|name| name.strip_suffix(".local"));
    labels.flat_map(|label| (2..=NAMESAKES_MAX).map(move |number| format!("{label}-{number}.local"))).collect()
}

/// What people see of a folder on a machine, cut to what fits.
pub(super) fn name_of(folder: &str, machine: &str) -> String {
    let on_machine = format!(" on {machine}");
    let room = NAME_BYTES_MAX.saturating_sub(on_machine.len());
    let mut name: String = folder.chars().filter(|c| !c.is_control()).collect();
    name.truncate(name.floor_char_boundary(room));
    name + &on_machine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_and_is_whole() {
        assert_eq!(name_of("Fotos", "nas"), "Fotos on nas");
        assert_eq!(name_of("a\nb\u{7}", "nas"), "ab on nas");
        let long = name_of(&"ü".repeat(100), "nas");
        assert!(long.len() <= 63 && long.ends_with("ü on nas"), "{long}");
        assert_eq!(name_of("", "nas"), " on nas");
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let names = names_beside(&["nas".to_owned(), "nas.local".to_owned()]);
        assert!(names.len() == 8 && names[0] == "nas-2.local" && names[7] == "nas-9.local", "{names:?}");
    }

    #[test]
    fn only_what_is_listened_on_is_announced() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        for (listening, address, expected) in [
            ("0.0.0.0", "192.0.2.1", true),
            ("0.0.0.0", "2001:db8::1", false),
            ("::", "2001:db8::1", true),
            ("::", "192.0.2.1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            assert_eq!(reaches(ip(listening), ip(address)), expected, "{listening} {address}");
        }
    }
}
