//! What a request asks for: its method, path, query and conditions, taken out of the raw head once; and whether it may come from a page
//! that somebody else's server wrote.
//!
//! Everything here looks at the head alone. It decides nothing about files.

use actix_http::RequestHead;

use crate::http::request::query::{BadQuery, Query};
use crate::http::urls;
use crate::model::path::{PathError, SharePath};

/// A request's target, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct RequestTarget {
    pub(crate) path: SharePath,
    /// Whether the URL ends in a slash.
    pub(crate) has_trailing_slash: bool,
    /// The options in the query.
    pub(crate) query: Query,
}

/// A request target that is none for its method (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTarget {
    /// It is neither an absolute path nor a URL of HTTP.
    #[error("it is neither an absolute path nor a URL of HTTP")]
    Form,
    /// It is not below the base path.
    #[error("it is not below the base path")]
    OutsideBase,
    /// `*`, with another method than OPTIONS.
    #[error("* goes with OPTIONS alone")]
    Asterisk,
    /// A URL that names a user (RFC 9110 §4.2.4).
    #[error("it names a user, which a URL of HTTP must not")]
    User,
    /// Its path is none of a share.
    #[error("its path holds {0}")]
    Path(#[from] PathError),
    /// Its query cannot be understood.
    #[error(transparent)]
    Query(#[from] BadQuery),
}

impl RequestTarget {
    pub(crate) fn parse(head: &RequestHead) -> Result<Self, BadTarget> {
        let (uri, url_path) = (&head.uri, head.uri.path());
        if url_path == "*" {
            return Err(BadTarget::Asterisk);
        }
        match (uri.scheme_str(), uri.authority()) {
            (None, None) => {}
            (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
                return Err(BadTarget::User);
            }
            (Some("http" | "https"), Some(_)) => {}
            _ => return Err(BadTarget::Form),
        }
        let url_path = urls::inside(url_path).ok_or(BadTarget::OutsideBase)?;
        let query = uri.query().unwrap_or_default();
        Ok(Self {
            path: SharePath::parse_url(url_path)?,
            has_trailing_slash: SharePath::url_names_a_collection(url_path),
            query: Query::parse(query)?,
        })
    }
}
