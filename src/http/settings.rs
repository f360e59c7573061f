//! What the server is told to do.

use crate::http::media::TrustedPages;
use crate::http::request::forwarded::TrustedProxy;
use actix_web::http::header::HeaderName;
use std::time::Duration;

/// What the server is told to do.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Whether passwords and tokens are taken from other machines over plain HTTP.
    pub plain_passwords: bool,
    /// The proxies whose word about the client behind them counts.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// The field in which such a proxy names the user who has signed in to it.
    pub user_header: Option<HeaderName>,
    /// The names of this server besides addresses and `localhost`, in small letters.
    pub own_names: Vec<String>,
    /// The origins of other pages that may read and write here, as browsers write them.
    pub allowed_origins: Vec<String>,
    /// How long an upload may send nothing.
    pub body_idle_max: Duration,
    /// How many bytes a second an upload must send, judged after its first minute.
    pub body_rate_min: u64,
    /// How large an upload may be, in bytes.
    pub upload_bytes_max: Option<u64>,
    /// Whether a PUT with `Content-Range` writes a part of a file (RFC 9110 §14.5).
    pub partial_put: bool,
    /// How many uploads may be written at once.
    pub uploads_max: usize,
    /// How many copies may be made at once.
    pub copies_max: usize,
    /// How many streams of events may be open at once.
    pub event_streams_max: usize,
    /// How many large files are hashed at once.
    pub hashing_max: usize,
    /// How much of small files is kept in memory, in bytes.
    pub cache_bytes: u64,
    /// How many members PROPFIND tells of everything below a folder.
    pub propfind_members_max: usize,
    /// The pages that are shown without a sandbox.
    pub trusted_pages: TrustedPages,
}
