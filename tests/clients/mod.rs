//! The programs that people mount and copy with, each put through the same workout against the built binary: what ends up on the
//! server's disk is compared byte for byte and name for name. A client that is not installed is left out by name, and whatever
//! is started, mounted or written for it is gone when its test ends. Nothing here decides what a client should have sent.

mod browser;
mod cadaver;
mod chromium;
mod cross_site;
mod curl;
mod cutting;
mod davfs2;
mod event_source;
mod foreign_site;
mod gvfs;
mod kio;
mod libraries;
mod litmus;
mod mounted;
mod office;
mod program;
mod proxies;
mod proxy;
mod rclone;
mod restic;
mod scripted;
mod served;
mod session;
mod signed_in;
mod uploads;
mod workout;

use program::{Scratch, has_all};
use served::Served;
use signed_in::{BOTH, SignedIn};
use workout::{Drive, work_out, work_out_without};
