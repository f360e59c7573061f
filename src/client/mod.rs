//! A small HTTP/1.1 client, for the doctor and for whoever watches a server. It sends exactly what it is told: it never repeats a request on its own, follows a redirect or mends anything.

mod address;
mod answer;
mod connection;
mod request;
mod route;
mod tls;

pub use address::Address;
pub(crate) use answer::Answer;
pub(crate) use connection::{Connection, Sent, chunk};
pub(crate) use request::{Body, Request};
pub(crate) use route::Route;
pub use tls::Trust;
