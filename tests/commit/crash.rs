//! Every step of every request fails once and crashes once, on every tier: old or new and whole, and every 2xx is there.

use noclobber::store::disk_error::Cause;

use crate::harness::explore::{crash_at_every_step, fail_every_step, finish};
use crate::harness::stories::{Asking, Request};

fn all() -> impl Iterator<Item = Asking> {
    Request::ALL.into_iter().flat_map(Asking::everywhere)
}

/// The requests that displace something while nothing is kept.
fn all_without_history() -> impl Iterator<Item = Asking> {
    let requests = [Request::PutNamed, Request::Put, Request::DeleteNamed, Request::Delete, Request::DeleteFolder];
    requests.into_iter().flat_map(Asking::everywhere).map(Asking::without_history)
}

#[test]
fn every_step_fails_once() {
    let causes = [Cause::Failed, Cause::NoSpace, Cause::ReadOnly, Cause::TooManyOpen];
    finish(all().map(|story| fail_every_step(&story, &causes)).collect());
}

#[test]
fn every_step_crashes_once() {
    finish(all().map(|story| crash_at_every_step(&story)).collect());
}

#[test]
fn every_step_fails_once_while_the_history_is_off() {
    finish(all_without_history().map(|story| fail_every_step(&story, &[Cause::Failed])).collect());
}

/// Nothing of noclobber's own stays for ever, and nothing goes that somebody has seen and nobody asked to go.
#[test]
fn every_step_crashes_once_while_the_history_is_off() {
    finish(all_without_history().map(|story| crash_at_every_step(&story)).collect());
}
