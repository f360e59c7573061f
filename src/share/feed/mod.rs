//! The feed: every change of the tree that a request makes, or that is noticed, is told once, in one order, and kept for a while in the journal.
//!
//! A request tells what it has changed under the mutex of the name ([`telling`]). What others do is found by looking: where a hint says so, and
//! everywhere below a folder where one cannot say more ([`noticing`], [`comparison`]); what a look finds is compared with what was told. Both
//! orders are one, since a look takes the mutex of the name as well. What a client is shown of a change goes by what it may see
//! ([`showing`]).

mod comparison;
mod noticing;
mod showing;
mod telling;
