//! Whether a connection is encrypted, for whoever has to know it of a request.

/// Whether a connection is encrypted by this server. It is among the data of every connection
/// ([`conn_data`](actix_web::HttpRequest::conn_data)), and a plain request says it in
/// [`Plain::is_encrypted`](crate::http::wire::transport::Plain::is_encrypted). Of what a proxy in front does nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encrypted(pub bool);
