//! A server that lets in one user, over plain HTTP on this machine or over HTTPS, and what a client does that has signed in. The password is one that
//! clients get wrong: it holds a letter beyond ASCII and a colon. A client that has another one fails, and changes nothing.

use std::path::PathBuf;

use super::served::encoded;
use super::{Drive, Served};
use crate::harness::one_user::OneUserFile;

/// The user.
pub const NAME: &str = "alice";
/// The password.
pub const PASSWORD: &str = "gr\u{fc}n:T\u{fc}r";
/// Another password.
pub const WRONG: &str = "gr\u{fc}n";
/// What is there, and stays.
pub const KEPT: &str = "kept.txt";

/// How a client speaks with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Plain HTTP, on this machine.
    Plain,
    /// HTTPS; the client is told to trust the certificate.
    Tls,
}

/// Both of them.
pub const BOTH: [Over; 2] = [Over::Plain, Over::Tls];

/// A server that lets in one user, by Basic and by Digest.
#[derive(Debug)]
pub struct SignedIn {
    served: Served,
    over: Over,
    users: OneUserFile,
}

impl SignedIn {
    /// Starts one.
    #[track_caller]
    pub fn start(over: Over) -> Self {
        let users = OneUserFile::with(NAME, PASSWORD, &["--digest"]);
        let options = if over == Over::Tls { users.options().option("--tls") } else { users.options() };
        let served = Served::own(options);
        served.write(KEPT, b"kept");
        let signed = Self { served, over, users };
        if let Some(certificate) = signed.certificate() {
            // Some clients read it as another user, who may not look into the state.
            let server = signed.served.server().expect("it is ours");
            std::fs::copy(server.state().join("tls/certificate.pem"), &certificate).expect("the certificate was made");
            let open = || std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(signed.users.folder(), open()).expect("its mode can be set");
            std::fs::set_permissions(certificate, open()).expect("its mode can be set");
        }
        signed
    }

    /// The server.
    pub fn served(&self) -> &Served {
        &self.served
    }

    /// The certificate that a client is to trust, over HTTPS.
    pub fn certificate(&self) -> Option<PathBuf> {
        (self.over == Over::Tls).then(|| self.users.folder().join("certificate.pem"))
    }

    /// The address with a name and a password in it, for clients that take them so.
    pub fn url_with(&self, password: &str) -> String {
        self.served.url().replace("://", &format!("://{NAME}:{}@", encoded(password)))
    }

    /// Lists, uploads, overwrites, downloads and deletes.
    #[track_caller]
    pub fn work(&self, drive: &mut dyn Drive) {
        let (path, first, second) =
            ("desk/Z\u{fc}rich notes.txt", &b"the first"[..], &b"the second, a little longer"[..]);
        drive.make_folder("desk");
        for content in [first, second] {
            drive.write(path, content);
            self.served.expect(path, content);
            assert_eq!(drive.read(path), content);
        }
        assert_eq!(drive.names("desk"), ["Z\u{fc}rich notes.txt"]);
        drive.remove(path);
        self.served.expect_gone(path);
        drive.remove_folder("desk");
        self.is_unchanged();
    }

    /// Fails unless what is there is what there was.
    #[track_caller]
    pub fn is_unchanged(&self) {
        self.served.expect_names("", &[KEPT]);
        self.served.expect(KEPT, b"kept");
    }

    /// Fails unless the server has refused somebody, and let nobody in.
    #[track_caller]
    pub fn has_refused(&self) {
        self.is_unchanged();
        let server = self.served.server().expect("it is ours");
        server.wait_for_log("status=401");
        // What it can do at all a server says to everybody.
        let log = server.log();
        let let_in = log.lines().find(|line| line.contains("status=20") && !line.contains("method=\"OPTIONS\""));
        assert_eq!(let_in, None, "{log}");
    }
}
