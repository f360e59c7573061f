//! A client's side of TLS: a stream over a socket that waits, for clients that say byte for byte what they are told to. It trusts one certificate,
//! and takes an end without `close_notify` for the error that it is.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

/// Both versions that are spoken.
pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// A stream in TLS.
#[derive(Debug)]
pub struct TlsStream(StreamOwned<ClientConnection, TcpStream>);

impl TlsStream {
    /// Makes the handshake, to its end.
    pub fn open(mut tcp: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut tcp)?;
        }
        Ok(Self(StreamOwned::new(session, tcp)))
    }

    /// What was agreed on.
    pub fn session(&self) -> &ClientConnection {
        &self.0.conn
    }

    /// The socket underneath.
    pub fn tcp(&self) -> &TcpStream {
        &self.0.sock
    }

    /// Says that nothing follows, and closes this side.
    pub fn finish_writing(&mut self) {
        self.0.conn.send_close_notify();
        let _ = self.0.flush();
        let _ = self.0.sock.shutdown(Shutdown::Write);
    }
}

impl Read for TlsStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A client that trusts the certificates in this file and no other, and speaks these versions.
#[track_caller]
pub fn trusting(pem: &Path, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let pem = fs::read(pem).expect("a certificate");
    let certificates = CertificateDer::pem_slice_iter(&pem).map(|certificate| certificate.expect("a certificate"));
    trusting_these(certificates, versions)
}

fn trusting_these(
    certificates: impl Iterator<Item = CertificateDer<'static>>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut trusted = RootCertStore::empty();
    certificates.for_each(|certificate| trusted.add(certificate).expect("one that can be trusted"));
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_protocol_versions(versions).expect("versions");
    config.with_root_certificates(trusted).with_no_client_auth()
}

/// Two sides of TLS that know each other, for a server within the tests.
pub fn both_sides() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let server = server.with_protocol_versions(&VERSIONS).expect("versions").with_no_client_auth();
    let server = server.with_single_cert(vec![certificate.clone()], key).expect("they fit");
    (Arc::new(server), Arc::new(trusting_these([certificate].into_iter(), &VERSIONS)))
}
