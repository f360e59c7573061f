//! HTTP (RFC 9110, 9112): reading, ranges, what requests are made of, and what a connection bears.

mod anonymous;
mod base_path;
mod behind_proxy;
mod changes;
mod chunks;
mod connection;
mod cross_site;
mod hashing;
mod hostile_paths;
mod limits;
mod links;
mod query_words;
mod ranges;
mod reading;
mod request_targets;
mod resumable;
mod rules;
mod tls;
mod transport;
mod tus;
mod users;
