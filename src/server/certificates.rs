//! The certificate that is shown to clients: read at the start, and read again when its files change, without a connection being dropped. Where
//! the new one is not fit to be shown the old one stays, and that is said.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use std::{fmt, fs};

use anyhow::Context as _;
use parking_lot::{Mutex, RwLock};
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::certificate::Certified;
use super::self_signed::{OwnFiles, names_to_certify};
use super::startup_lines::say;
use super::state;
use crate::config::{Certificate, Config, WrongSetting};

/// How often one that was made here is looked at, whether it is about to expire.
const RENEWAL: Duration = Duration::from_secs(60 * 60);

/// The certificate that is shown, and where it comes from.
pub(super) struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    made: Option<MadeHere>,
    shown: RwLock<Arc<CertifiedKey>>,
    seen: Mutex<Seen>,
}

/// What is known of one that was made here.
struct MadeHere {
    files: OwnFiles,
    names: Vec<String>,
    looked: Mutex<Instant>,
}

/// The files as they were when they were last read, and as they were found since.
struct Seen {
    read: FilesState,
    found: FilesState,
}

/// Device, inode, size and times of two files, or of those that are there.
type FilesState = [Option<(u64, u64, u64, i64, i64, i64, i64)>; 2];

impl Certificates {
    /// Reads the certificate of a server that listens on these addresses, makes it where that was asked for, and says which it is.
    ///
    /// # Errors
    /// [`WrongSetting`] where what was named is not fit to be shown.
    pub(super) fn open(
        config: &Config,
        setting: &Certificate,
        listening_on: &[SocketAddr],
    ) -> anyhow::Result<Arc<Self>> {
        let now = SystemTime::now();
        let (certificate, key, made) = match setting {
            Certificate::Files { certificate, key } => (certificate.clone(), key.clone(), None),
            Certificate::Made(folder) => {
                let made = MadeHere {
                    files: OwnFiles::in_folder(&state::tls_folder(config, folder.as_deref())?),
                    names: names_to_certify(listening_on, &config.allowed_hosts),
                    looked: Mutex::new(Instant::now()),
                };
                made.keep(now)?;
                (made.files.certificate.clone(), made.files.key.clone(), Some(made))
            }
        };
        let read = state_of([&certificate, &key]);
        let found = Certified::read(&certificate, &key, now).map_err(WrongSetting)?;
        let how = if made.is_some() { "signed by itself, " } else { "" };
        say(&format!("Certificate: {}, {how}until {}", certificate.display(), found.last_day()));
        say(&format!("Its SHA-256 fingerprint: {}", found.fingerprint()));
        let (shown, seen) = (RwLock::new(Arc::new(found.shown)), Mutex::new(Seen { read, found: read }));
        Ok(Arc::new(Self { certificate, key, made, shown, seen }))
    }

    /// How the handshake is made with it.
    pub(super) fn handshake(self: &Arc<Self>) -> anyhow::Result<Arc<rustls::ServerConfig>> {
        let versions = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12]);
        let certified = versions.context("cannot speak TLS")?.with_no_client_auth();
        let mut config = certified.with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Clients that come again bring the session with them, and nothing is kept of those that do not.
        config.ticketer = ring::Ticketer::new().context("cannot speak TLS")?;
        Ok(Arc::new(config))
    }

    /// Looks whether the files have changed, and reads them if so. To be called now and then; costs two calls of the system.
    pub(super) fn look(&self) {
        self.renew();
        let found = state_of([&self.certificate, &self.key]);
        let mut seen = self.seen.lock();
        // Two files are seldom replaced at the same instant: they are read when they have come to rest.
        let is_at_rest = std::mem::replace(&mut seen.found, found) == found;
        if !is_at_rest || seen.read == found {
            return;
        }
        seen.read = found;
        drop(seen);
        match Certified::read(&self.certificate, &self.key, SystemTime::now()) {
            Ok(new) => {
                let (fingerprint, last_day) = (new.fingerprint(), new.last_day());
                *self.shown.write() = Arc::new(new.shown);
                tracing::info!(
                    "the certificate in {} is shown from now on, until {last_day}; its SHA-256 fingerprint: {fingerprint}",
                    self.certificate.display()
                );
            }
            Err(why) => tracing::warn!("{why}; the certificate from before is still shown"),
        }
    }

    fn renew(&self) {
        let Some(made) = &self.made else { return };
        if made.looked.lock().elapsed() < RENEWAL {
            return;
        }
        *made.looked.lock() = Instant::now();
        if let Err(error) = made.keep(SystemTime::now()) {
            tracing::warn!("{error:#}; the certificate from before is still shown");
        }
    }
}

impl MadeHere {
    fn keep(&self, now: SystemTime) -> anyhow::Result<()> {
        if let Some(why) = self.files.keep(&self.names, now)? {
            tracing::warn!("the certificate was made anew, and clients have to be told to trust it again: {why}");
        }
        Ok(())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read()))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

fn state_of(paths: [&PathBuf; 2]) -> FilesState {
    paths.map(|path| {
        let found = fs::metadata(path).ok()?;
        let (changed, modified) = ((found.ctime(), found.ctime_nsec()), (found.mtime(), found.mtime_nsec()));
        Some((found.dev(), found.ino(), found.size(), changed.0, changed.1, modified.0, modified.1))
    })
}
