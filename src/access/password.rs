//! Passwords, hashed by Argon2id (RFC 9106), and the thread that verifies them: one after the other and behind everything else that the machine
//! has to do, so that guessing exhausts nothing.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::thread;

use argon2::password_hash::phc::PasswordHash as Parsed;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use unicode_normalization::UnicodeNormalization as _;

/// The longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// How many passwords wait to be verified at most.
const WAITING_MAX: usize = 64;

/// Whether a password may be this: not empty, without control characters, and at most [`PASSWORD_BYTES_MAX`] bytes long.
pub fn may_be_a_password(text: &str) -> bool {
    !text.is_empty() && text.len() <= PASSWORD_BYTES_MAX && !text.contains(char::is_control)
}

/// The hash of a password, as a PHC string.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PasswordHash(Arc<str>);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

impl From<PasswordHash> for String {
    fn from(hash: PasswordHash) -> Self {
        hash.as_str().to_owned()
    }
}

impl TryFrom<String> for PasswordHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl PasswordHash {
    /// A hash as it is written in a file.
    ///
    /// # Errors
    /// That it is none by Argon2id.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match Parsed::new(text) {
            Ok(hash) if hash.algorithm.as_str() == "argon2id" && hash.hash.is_some() => Ok(Self(text.into())),
            _ => Err("this is no hash by Argon2id; 'noclobber user password NAME' writes one"),
        }
    }

    /// Hashes a password with a new salt.
    ///
    /// # Errors
    /// What the hashing says.
    pub fn of(password: &str) -> Result<Self, argon2::password_hash::Error> {
        Ok(Self(Argon2::default().hash_password(composed(password).as_bytes())?.to_string().into()))
    }

    /// As it is written in a file.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn verifies(&self, password: &str) -> bool {
        let Ok(hash) = Parsed::new(&self.0) else { return false };
        Argon2::default().verify_password(composed(password).as_bytes(), &hash).is_ok()
    }
}

/// A password as it is hashed, however the client composes its letters (RFC 8265 §4.2).
pub(super) fn composed(password: &str) -> String {
    password.nfc().collect()
}

/// A hash that no password has, so that a name nobody has takes as long as one that somebody has.
fn nobodys() -> &'static PasswordHash {
    static HASH: LazyLock<PasswordHash> = LazyLock::new(|| {
        let secret: [u8; 16] = crate::os::random::bytes();
        PasswordHash::of(&data_encoding::HEXLOWER.encode(&secret)).expect("the parameters are those of the library")
    });
    &HASH
}

/// A password that is to be verified.
struct Question {
    password: String,
    /// `None` of a user who is not there, or has no password.
    hash: Option<PasswordHash>,
    answer: oneshot::Sender<bool>,
}

#[derive(Default)]
struct Queues {
    /// From this machine: these are first.
    near: VecDeque<Question>,
    far: VecDeque<Question>,
    is_over: bool,
}

#[derive(Default)]
struct Desk {
    queues: Mutex<Queues>,
    came: Condvar,
}

/// The thread that verifies passwords.
pub(super) struct Verifier(Arc<Desk>);

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

/// Too many passwords wait to be verified.
#[derive(Debug)]
pub(super) struct Busy;

impl Verifier {
    pub(super) fn start() -> Self {
        let desk = Arc::new(Desk::default());
        let served = Arc::clone(&desk);
        let thread = thread::Builder::new().name("passwords".to_owned());
        if let Err(error) = thread.spawn(move || serve(&served)) {
            tracing::error!("no thread verifies passwords, so that nobody signs in: {error}");
            desk.queues.lock().is_over = true;
        }
        Self(desk)
    }

    /// Asks whether a password is the one of this hash; the answer comes later.
    pub(super) fn ask(
        &self,
        password: String,
        hash: Option<PasswordHash>,
        is_near: bool,
    ) -> Result<oneshot::Receiver<bool>, Busy> {
        let (answer, receiver) = oneshot::channel();
        let mut queues = self.0.queues.lock();
        let is_over = queues.is_over;
        let queue = if is_near { &mut queues.near } else { &mut queues.far };
        if is_over || queue.len() >= WAITING_MAX {
            return Err(Busy);
        }
        queue.push_back(Question { password, hash, answer });
        self.0.came.notify_one();
        Ok(receiver)
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        self.0.queues.lock().is_over = true;
        self.0.came.notify_one();
    }
}

fn serve(desk: &Desk) {
    crate::os::process::give_way_to_others();
    nobodys();
    loop {
        let mut queues = desk.queues.lock();
        let question = loop {
            if queues.is_over {
                return;
            }
            if let Some(question) = queues.near.pop_front().or_else(|| queues.far.pop_front()) {
                break question;
            }
            desk.came.wait(&mut queues);
        };
        drop(queues);
        // Who has gone meanwhile needs no answer.
        if question.answer.is_closed() {
            continue;
        }
        let is_right = question.hash.as_ref().unwrap_or_else(|| nobodys()).verifies(&question.password);
        let _ = question.answer.send(is_right && question.hash.is_some());
    }
}
