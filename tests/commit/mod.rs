//! The commit: on the simulated disk, where every step fails once, crashes once and is followed by another program's write, and where the
//! server is killed.

mod at_once;
mod chunks;
mod commit_model;
mod copying;
mod crash;
mod disk_refusals;
mod kill;
mod listings;
mod model;
mod moving;
mod moving_at_once;
mod order;
mod resumable;
mod sessions;
mod sim_disk;
mod strangers;
mod tidying;
