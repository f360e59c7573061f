//! noclobber shares a folder over HTTP and WebDAV, and nobody's work is overwritten unseen.
//!
//! # The promise
//!
//! 1. A write that names the version it replaces happens only if that version is still the one on the disk at the instant of the swap.
//!    Otherwise: 412, nothing changed, and an answer that says what is there now and how to go on.
//! 2. That holds against other clients and against programs that write into the folder behind the server's back.
//! 3. A write that names no version is allowed, and what it replaces or deletes is kept in the history.
//! 4. An upload is all or nothing, and a 2xx means that the bytes are on the disk.
//! 5. An entity tag shown for a version never changes while that version lives.
//!
//! # The one idea
//!
//! Every change to the tree is a compare-and-swap from a state that was just seen: look, decide, swap; if the swap loses, look again.
//!
//! # The floors
//!
//! Nothing knows what lies above it; `tests/source/architecture.rs` holds the source to that.
//!
//! | floor | room | what lives there |
//! |---|---|---|
//! | 3 | [`http`] | requests and answers: the methods ([`http::methods`]) over the connections ([`http::wire`]); one room with status codes ([`http::reply`]) |
//! | edge | [`access`] | who may do what |
//! | edge | [`watch`] | what other programs do, as hints |
//! | 2 | [`share`] | the promise: [`share::Share`] reads, writes, lists, moves, locks, notes, restores; [`share::outcome`] says how it ended |
//! | 1 | [`store`] | the folder ([`store::local`]) and what is remembered beside it ([`store::catalog`]): [`store::local::commit`] swaps one name, [`store::local::history`] keeps what was displaced, [`store::local::staging`] holds uploads, [`store::catalog::index`] remembers tags and locks, [`store::catalog::properties`] keeps what clients note, [`store::catalog::checksums`] what clients compare, [`store::local::name_lock`] orders changes, [`store::local::touched`] tells what the server did from what programs did, all through the seam of [`store::local::disk`] |
//! | 0 | [`model`] | values: [`model::path`], [`model::stamp`], [`model::content_hash`], [`model::tag`], [`model::dating`], [`model::validators`], [`model::precondition`], [`model::state_list`], [`model::lock`], [`model::principal`], [`model::property`], [`model::version`], [`model::verdict`], [`model::keep_rule`], [`model::age_clock`] |
//! | 0 | [`os`] | open files and folders of the operating system, for rooms that know no file descriptor |
//!
//! [`config`] reads what the user wants, [`log`] writes what happens, [`server`] puts all of it together, [`mount_help`] says how to connect.
//!
//! # The words
//!
//! | word | meaning |
//! |---|---|
//! | share | the folder that is served, and all that the server knows about it |
//! | [`SharePath`](model::path::SharePath) | a path inside the share, proven clean as text |
//! | [`ContentHash`](model::content_hash::ContentHash) | the BLAKE3 of a file's bytes |
//! | [`Stamp`](model::stamp::Stamp) | the cheap identity of a file's state |
//! | [`EntityTag`](model::tag::EntityTag) | the validator on the wire |
//! | [`Seen`](store::local::commit::Seen) | what a look found at a name |
//! | exact date | one that no other version of the name can have been told with ([`model::dating`]) |
//! | settled | of a stamp: a change made from now on would show in it |
//! | [`Precondition`](model::precondition::Precondition) | the parsed conditional headers of one request |
//! | [`RequestContext`](share::RequestContext) | who asks, with which lock tokens and conditions, and when |
//! | [`Decision`](model::precondition::Decision) | proceed, not modified, or refuse |
//! | [`StateLists`](model::state_list::StateLists) | the parsed `If` header of one request |
//! | [`Lock`](model::lock::Lock) | the promise to one [`Principal`](model::principal::Principal) that nobody else changes something; it pins a version |
//! | refusal, fault | the client asked for what the state forbids; the disk failed us |
//! | staging, staged | an upload being written; complete, on the disk, its hash known |
//! | commit | the compare-and-swap of one name |
//! | displaced | what a commit took out of the tree |
//! | version | a displaced file or folder in the history |
//! | hint | word from the watcher that something may have changed |

pub mod access;
pub mod config;
pub mod http;
pub mod log;
pub mod model;
pub mod mount_help;
pub mod os;
pub mod server;
pub mod share;
pub mod store;
pub mod watch;
