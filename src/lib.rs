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
//! | edge | [`client`] | a small HTTP client |
//! | edge | [`doctor`] | tries out with it, over the network, what any server does |
//! | 2 | [`share`] | the promise: [`share::Share`] reads, writes, lists, moves, locks, notes, restores; uploads go on after their connection broke; [`share::outcome`] says how it ended |
//! | 1 | [`store`] | the folder ([`store::local`]) and what is remembered beside it ([`store::catalog`]): [`store::local::commit`] swaps one name, [`store::local::history`] keeps what was displaced, [`store::local::staging`] holds uploads, [`store::catalog::index`] remembers tags and locks, [`store::catalog::properties`] keeps what clients note, [`store::catalog::checksums`] what clients compare, [`store::catalog::last_changes`] who last changed what, [`store::catalog::changes`] what the feed has told, [`store::local::name_lock`] orders changes, [`store::local::touched`] tells what the server did from what programs did, [`store::local::dir_cache`] remembers folders that are listed again and again, all through the seam of [`store::local::disk`] |
//! | 0 | [`model`] | values: [`model::author`], [`model::change`], [`model::chunk_name`], [`model::cursor`], [`model::path`], [`model::stamp`], [`model::content_hash`], [`model::tag`], [`model::dating`], [`model::validators`], [`model::precondition`], [`model::state_list`], [`model::lock`], [`model::principal`], [`model::rules`], [`model::grants`], [`model::permissions`], [`model::property`], [`model::version`], [`model::verdict`], [`model::keep_rule`], [`model::age_clock`] |
//! | 0 | [`os`] | open files and folders of the operating system, for rooms that know no file descriptor |
//!
//! [`cli`] reads what the user wants, as a [`config`], [`log`] writes what happens, and [`server`] puts all of it together.
//!
//! # The words
//!
//! One word for one thing: `docs/glossary.md` has them all, `docs/design.md` the reasons.

pub mod access;
pub mod cli;
pub mod client;
pub mod config;
pub mod doctor;
pub mod http;
pub mod log;
pub mod model;
pub mod os;
pub mod server;
pub mod share;
pub mod store;
pub mod watch;
