//! The process: its command line, its bounds, the doctor, its log, the local network, its start and its end, its state, the watcher, the command that watches, and how much memory it takes.

mod cli;
mod confinement;
mod doctor;
mod guessing;
mod lan;
mod listing_hammer;
mod logging;
mod memory;
mod secrets;
mod soak;
mod start;
mod state;
mod watch;
mod watching;
