//! A certificate with its key, as they lie on the disk in PEM: read, and found fit to be shown. A key that others may read is none.

use std::path::Path;
use std::time::{Duration, SystemTime};

use data_encoding::HEXUPPER;
use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::os::private_file;

/// A certificate that can be shown.
#[derive(Debug)]
pub(super) struct Certified {
    /// As it is shown, with its key.
    pub(super) shown: CertifiedKey,
    /// When it expires.
    pub(super) expires: SystemTime,
    parsed: x509_cert::Certificate,
}

impl Certified {
    /// Reads a certificate and its key, and looks whether they are fit to be shown now.
    ///
    /// # Errors
    /// Why not, naming the file.
    pub(super) fn read(certificate: &Path, key: &Path, now: SystemTime) -> Result<Self, String> {
        let chain = chain(certificate)?;
        let first =
            chain.first().ok_or_else(|| format!("there is no certificate in {}, in PEM", certificate.display()))?;
        let cannot_be_read =
            |why: &dyn std::fmt::Display| format!("the certificate in {} cannot be read: {why}", certificate.display());
        let parsed = x509_cert::Certificate::from_der(first).map_err(|error| cannot_be_read(&error))?;
        let expires = parsed.tbs_certificate.validity.not_after.to_system_time();
        if expires <= now {
            return Err(format!("the certificate in {} has expired on {}", certificate.display(), day(expires)));
        }
        let secret = secret(key)?;
        let shown = CertifiedKey::from_der(chain, secret, &ring::default_provider());
        let shown = shown.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                format!("the key in {} is not that of the certificate in {}", key.display(), certificate.display())
            }
            rustls::Error::InvalidCertificate(error) => cannot_be_read(&error),
            error => format!("the key in {} cannot be used: {error}", key.display()),
        })?;
        Ok(Self { shown, expires, parsed })
    }

    /// Its SHA-256, as browsers show it.
    pub(super) fn fingerprint(&self) -> String {
        let pairs: Vec<_> = Sha256::digest(&self.shown.cert[0]).iter().map(|byte| HEXUPPER.encode(&[*byte])).collect();
        pairs.join(":")
    }

    /// The day on which it expires.
    pub(super) fn last_day(&self) -> String {
        day(self.expires)
    }

    /// Whether it is good for so long.
    pub(super) fn lasts(&self, time: Duration, now: SystemTime) -> bool {
        now + time < self.expires
    }

    /// The names and addresses that it is for.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.parsed.tbs_certificate.get::<SubjectAltName>().ok().flatten();
        let names = names.map(|(_, SubjectAltName(names))| names).unwrap_or_default();
        names.iter().filter_map(name).collect()
    }
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
            v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string())).ok()
        }
        _ => None,
    }
}

fn chain(certificate: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let file = private_file::read(certificate)
        .map_err(|error| format!("cannot read the certificate {}: {error}", certificate.display()))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&file.bytes).collect();
    chain.map_err(|error| format!("the certificate in {} cannot be read: {error}", certificate.display()))
}

fn secret(key: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let file = private_file::read(key).map_err(|error| format!("cannot read the key {}: {error}", key.display()))?;
    if file.is_open_to_others {
        return Err(format!(
            "the key {} can be read by others than its owner; 'chmod 600' takes that from them, and if they may have read it, it is to be \
             made anew",
            key.display()
        ));
    }
    PrivateKeyDer::from_pem_slice(&file.bytes)
        .map_err(|error| format!("the key in {} cannot be read: {error}", key.display()))
}

fn day(time: SystemTime) -> String {
    Timestamp::try_from(time)
        .map_or_else(|_| "a day out of reach".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}
