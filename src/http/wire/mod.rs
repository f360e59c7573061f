//! The wire: connections that carry requests and answers. It hands on one request of a connection after the other, follows the
//! framing of bodies and bounds what a client can hold. It knows no share.

pub mod body;
pub(crate) mod chunks;
pub mod connection;
pub(crate) mod crowd;
pub mod encrypted;
mod entrance;
mod farewell;
pub(crate) mod fast_path;
pub(crate) mod handshake;
pub(crate) mod heads;
pub(crate) mod interim;
pub mod rejection;
pub(crate) mod request_gate;
mod send_file;
pub mod socket;
pub mod source;
mod timers;
pub(crate) mod tls_socket;
pub mod transport;
