//! A small HTTP/1.1 client that sends exactly what it is told: it never repeats a request on its own, follows a redirect or mends anything.

mod answer;
mod connection;
mod request;
mod route;
mod tls;

pub(super) use answer::Answer;
pub(super) use connection::{Connection, Sent, chunk};
pub(super) use request::{Body, Request};
pub(super) use route::Route;
pub use tls::Trust;
