//! The certificate that noclobber makes for itself. It lies in a folder of its user, with its key, and stays the same for as long as it can,
//! since clients keep it in mind. It is made anew only when it is about to expire, does not name all by which the machine is called now, or cannot
//! be read; the names that it had go over into the new one, so that a machine that comes and goes between networks does not need one each time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use jiff::ToSpan as _;
use jiff::tz::TimeZone;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::pki_types::ServerName;

use super::certificate::Certified;
use crate::http::request::host::names_of_machine;
use crate::os::addresses::addresses_of_machine;
use crate::os::{private_file, process};

/// For how long one is made, in days: Apple's systems take none that lasts longer than 825.
const DAYS: i64 = 800;

/// One that expires within this time is made anew.
const RENEWED_BEFORE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The most names and addresses in one.
const NAMES_MAX: usize = 100;

/// Where it lies.
#[derive(Clone, Debug)]
pub(super) struct OwnFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl OwnFiles {
    /// In this folder.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") }
    }

    /// Sees to it that there is one that names all of these and lasts; says why it was made, if it was and there had been one before.
    pub(super) fn keep(&self, names: &[String], now: SystemTime) -> anyhow::Result<Option<String>> {
        let mut names = names.to_vec();
        let is_new = !self.certificate.exists() && !self.key.exists();
        let why = match Certified::read(&self.certificate, &self.key, now) {
            _ if is_new => None,
            Err(why) => Some(why),
            Ok(found) => {
                let old = found.names();
                let missing: Vec<_> = names.iter().filter(|name| !old.contains(name)).cloned().collect();
                if missing.is_empty() && found.lasts(RENEWED_BEFORE, now) {
                    return Ok(None);
                }
                names.extend(old.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
                Some(if missing.is_empty() {
                    format!("it expires on {}", found.last_day())
                } else {
                    format!("it did not name {}", missing.join(", "))
                })
            }
        };
        names.truncate(NAMES_MAX);
        self.make(names, now)?;
        Ok(why)
    }

    fn make(&self, names: Vec<String>, now: SystemTime) -> anyhow::Result<()> {
        let (certificate, key) = made(names, now).context("cannot make a certificate")?;
        let cannot_keep = || format!("cannot keep the certificate {}", self.certificate.display());
        let folder = self.certificate.parent().unwrap_or(Path::new("."));
        private_file::make_folder(folder).with_context(cannot_keep)?;
        private_file::write(&self.key, key.as_bytes()).with_context(cannot_keep)?;
        private_file::write(&self.certificate, certificate.as_bytes()).with_context(cannot_keep)
    }
}

/// A certificate and its key, in PEM.
fn made(names: Vec<String>, now: SystemTime) -> anyhow::Result<(String, String)> {
    let mut about = CertificateParams::new(names)?;
    about.distinguished_name = DistinguishedName::new();
    about.distinguished_name.push(DnType::CommonName, format!("noclobber on {}", process::host_name()));
    about.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    about.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let today = jiff::Timestamp::try_from(now)?.to_zoned(TimeZone::UTC).date();
    let day = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    // A client whose clock is slow takes it, too.
    about.not_before = day(today.checked_sub(1.day())?);
    about.not_after = day(today.checked_add(DAYS.days())?);
    let key = KeyPair::generate()?;
    Ok((about.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// The names and addresses by which a machine can be called that listens on these addresses.
pub(super) fn names_to_certify(listening_on: &[SocketAddr], allowed: &[String]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    names.extend(names_of_machine(&process::host_name()));
    names.extend_from_slice(allowed);
    // Some of what a URL can hold is no name in a certificate.
    names.retain(|name| ServerName::try_from(name.as_str()).is_ok());
    let mut addresses = vec![IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    for address in listening_on.iter().map(|address| address.ip().to_canonical()) {
        if address.is_unspecified() {
            addresses.extend(addresses_of_machine());
        } else {
            addresses.push(address);
        }
    }
    names.extend(addresses.iter().map(IpAddr::to_string));
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// It stays the same for as long as it can, and says why when it cannot.
    #[test]
    fn it_is_made_anew_only_when_it_has_to_be() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = OwnFiles::in_folder(&folder.path().join("tls"));
        let now = SystemTime::now();
        let read = |now| Certified::read(&files.certificate, &files.key, now).expect("a certificate");
        let keep = |wanted: &[&str], now| files.keep(&names(wanted), now).expect("kept");
        assert_eq!(keep(&["localhost", "192.0.2.1"], now), None);
        let first = read(now).fingerprint();
        assert_eq!(keep(&["localhost"], now + DAY), None);
        assert_eq!(read(now).fingerprint(), first);

        // Another network, and back.
        assert_eq!(keep(&["localhost", "2001:db8::1"], now).as_deref(), Some("it did not name 2001:db8::1"));
        let second = read(now);
        assert_ne!(second.fingerprint(), first);
        assert_eq!(second.names(), ["localhost", "2001:db8::1", "192.0.2.1"]);
        assert_eq!(keep(&["localhost", "192.0.2.1"], now), None);

        let late = now + DAY * (DAYS as u32 - 20);
        assert!(keep(&["localhost"], late).is_some_and(|why| why.starts_with("it expires on ")));
        assert!(read(late).lasts(DAY * 700, late));
        std::fs::write(&files.certificate, "nothing").expect("written");
        assert!(keep(&["localhost"], now).is_some_and(|why| why.contains("certificate.pem")));
        read(now);
    }

    #[test]
    fn it_names_what_the_machine_is_called() {
        let listening: Vec<SocketAddr> =
            ["192.0.2.7:1", "[::ffff:192.0.2.8]:2"].map(|it| it.parse().expect("one")).into();
        let found = names_to_certify(&listening, &names(&["files.example.org", "under_score.example"]));
        for name in ["localhost", "127.0.0.1", "::1", "192.0.2.7", "192.0.2.8", "files.example.org"] {
            assert!(found.iter().any(|found| found == name), "{name}: {found:?}");
        }
    }
}
