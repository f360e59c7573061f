//! Users for the tests: a file of them, whose passwords are hashed once for all, and requests that are signed in the ways there are.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;
use noclobber::access::digest::hashes_of;
use noclobber::access::password::PasswordHash;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{Answer, Request, canaries};

/// The users, each with the groups.
pub const USERS: [(&str, &[&str]); 7] =
    [("bob", &[]), ("alice", &["staff"]), ("admin", &[]), ("carl", &[]), ("dora", &[]), ("hugo", &[]), ("nina", &[])];

/// How a request says who makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    Basic,
    Digest,
    Token,
    Session,
    /// By the word of a proxy in front, which is trusted.
    Proxy,
}

/// A file of users and rules.
pub struct UsersFile {
    _folder: TempDir,
    path: PathBuf,
    sessions: Mutex<HashMap<String, String>>,
    nonces: Mutex<HashMap<String, (String, u32)>>,
}

/// The password of a user.
pub fn password_of(name: &str) -> String {
    format!("{name}'s pässword: 1")
}

/// The bearer token of a user.
pub fn token_of(name: &str) -> String {
    format!("nc_token-of-{name}")
}

impl UsersFile {
    /// A file of all users, with these rules.
    pub fn make(rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        let file = Self { _folder: folder, path, sessions: Mutex::default(), nonces: Mutex::default() };
        file.write(&format!("{}{rules}", users()));
        file
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes it anew, whole.
    pub fn write(&self, text: &str) {
        let beside = self.path.with_extension("new");
        fs::write(&beside, text).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(beside, &self.path).unwrap();
    }

    /// What is in it.
    pub fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }
}

/// The tables of all users.
pub fn users() -> String {
    static HASHES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let hash = |(name, _): &(&str, _)| PasswordHash::of(&password_of(name)).unwrap().as_str().to_owned();
        USERS.iter().map(hash).collect()
    });
    for (name, _) in USERS {
        canaries::note(&password_of(name));
        canaries::note(&token_of(name));
        canaries::note(&format!("{name}:{}", password_of(name)));
    }
    let table = |((name, groups), hash): (&(&str, &[&str]), &String)| {
        let digest = hashes_of(name, &password_of(name));
        let token = HEXLOWER.encode(blake3::hash(token_of(name).as_bytes()).as_bytes());
        format!(
            "[users.{name}]\npassword = \"{hash}\"\ngroups = {groups:?}\ndigest_sha256 = \"{}\"\ndigest_md5 = \"{}\"\n\
             [[users.{name}.tokens]]\nname = \"test\"\nhash = \"{token}\"\n",
            digest.sha256, digest.md5
        )
    };
    USERS.iter().zip(HASHES.iter()).map(table).collect()
}

/// A request as this user makes it in this way; as it is if the name is empty.
#[track_caller]
pub fn signed(request: Request, name: &str, way: Way, users: &UsersFile) -> Request {
    if name.is_empty() {
        return if way == Way::Proxy { request.header("x-forwarded-proto", "https") } else { request };
    }
    match way {
        Way::Basic => request.header("authorization", basic(name, &password_of(name))),
        Way::Token => request.header("authorization", format!("Bearer {}", token_of(name))),
        Way::Proxy => request.header("remote-user", name).header("x-forwarded-proto", "https"),
        Way::Session => {
            let cookie = users.session(&request, name);
            request.header("cookie", cookie)
        }
        Way::Digest => {
            let (nonce, count) = users.nonce(&request, name);
            let signature = digest(&request, name, &nonce, count);
            request.header("authorization", signature)
        }
    }
}

/// `Authorization` of Basic.
pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// `Authorization` of Digest by SHA-256.
pub fn digest(request: &Request, name: &str, nonce: &str, count: u32) -> String {
    let head = String::from_utf8(request.head()).unwrap();
    let (method, rest) = head.split_once(' ').unwrap();
    let target = rest.split_once(" HTTP/1.1").unwrap().0;
    let hash = |text: String| HEXLOWER.encode(&Sha256::digest(text));
    let of_password = hashes_of(name, &password_of(name)).sha256;
    let of_request = hash(format!("{method}:{target}"));
    let response = hash(format!("{of_password}:{nonce}:{count:08x}:c:auth:{of_request}"));
    format!(
        "Digest username=\"{name}\", realm=\"noclobber\", nonce=\"{nonce}\", uri=\"{target}\", algorithm=SHA-256, qop=auth, \
         nc={count:08x}, cnonce=\"c\", response=\"{response}\""
    )
}

/// The nonce in the challenge of an answer.
pub fn nonce_in(answer: &Answer) -> String {
    let text = answer.to_string().replace('\\', "");
    let (_, rest) = text.split_once("nonce=\"").expect("a nonce");
    rest.split_once('"').unwrap().0.to_owned()
}

impl UsersFile {
    fn session(&self, request: &Request, name: &str) -> String {
        let mut sessions = self.sessions.lock().unwrap();
        let begin = || {
            let form = serde_json::json!({ "name": name, "password": password_of(name) }).to_string();
            let sign_in =
                Request::new(request.address(), "POST", "/?sign-in").header("content-type", "application/json");
            let answer = sign_in.body(form).expect(204);
            answer.field("set-cookie").split(';').next().unwrap().to_owned()
        };
        sessions.entry(name.to_owned()).or_insert_with(begin).clone()
    }

    fn nonce(&self, request: &Request, name: &str) -> (String, u32) {
        let mut nonces = self.nonces.lock().unwrap();
        let entry = nonces.entry(name.to_owned()).or_insert_with(|| {
            let answer = Request::new(request.address(), "GET", "/?versions").send();
            (nonce_in(&answer.expect(401)), 0)
        });
        entry.1 += 1;
        entry.clone()
    }
}
