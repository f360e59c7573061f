//! What is promised: nothing is overwritten unseen, what was displaced comes back, and every refusal says what happened.

mod after_refusals;
mod aliases;
mod authors;
mod conditions;
mod dates;
mod feed;
mod history;
mod outside_changes;
mod partial;
mod race;
mod refusals;
mod writing;
