//! What a request asks for: its method, path, query and conditions, taken out of the raw head once; and whether it may come from a page
//! that somebody else's server wrote.
//!
//! Everything here looks at the head alone. It decides nothing about files.

use std::net::SocketAddr;

use actix_http::RequestHead;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::http::{Method, Version};

use crate::model::lock_token::LockToken;
use crate::model::path::{PathError, SharePath};
use crate::model::precondition::{ConditionalFields, Header, Malformed, Precondition};
use crate::model::principal::{Client, Principal};
use crate::model::submitted::Submitted;

use crate::http::headers::dav_headers;
use crate::http::headers::if_header;
use crate::http::reply::Wrong;
use crate::http::request::host::Host;
use crate::http::request::origin;
use crate::http::request::query::Query;

/// The methods of HTTP and WebDAV that exist but are not served.
const KNOWN_METHODS: &[&str] = &["TRACE", "PATCH", "REPORT", "SEARCH", "ACL"];

/// What is asked to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// GET or HEAD.
    Get,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// MKCOL.
    MakeCollection,
    /// PROPFIND.
    Propfind,
    /// PROPPATCH.
    Proppatch,
    /// COPY.
    Copy,
    /// MOVE.
    Move,
    /// LOCK.
    Lock,
    /// UNLOCK.
    Unlock,
    /// REPORT, of which there is none.
    Report,
    /// POST.
    Post,
    /// OPTIONS.
    Options,
    /// CONNECT, whose target is no path.
    Connect,
    /// Another method of HTTP or WebDAV that is not served.
    Unserved,
    /// Any other word.
    Unknown,
}

/// A request's target, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Where.
    pub(crate) path: SharePath,
    /// Whether the URL ends in a slash.
    pub(crate) names_a_collection: bool,
    /// The options in the query.
    pub(crate) query: Query,
}

/// A request target that is none for its method (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTarget {
    /// It is neither an absolute path nor a URL of HTTP.
    #[error("it is neither an absolute path nor a URL of HTTP")]
    Form,
    /// `*`, with another method than OPTIONS.
    #[error("* goes with OPTIONS alone")]
    Asterisk,
    /// A URL that names a user (RFC 9110 §4.2.4).
    #[error("it names a user, which a URL of HTTP must not")]
    User,
    /// Its path is none of a share.
    #[error("its path holds {0}")]
    Path(#[from] PathError),
}

/// Why a request is turned away by its head alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwelcome {
    /// It has no Host, more than one, or one that cannot be one (RFC 9112 §3.2).
    NoHost,
    /// The Host is none of ours (DNS rebinding).
    ForeignHost,
    /// A page of another origin makes the browser send it.
    CrossSite,
}

impl Verb {
    pub(crate) fn of(method: &Method) -> Self {
        match method.as_str() {
            "GET" | "HEAD" => Self::Get,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "MKCOL" => Self::MakeCollection,
            "PROPFIND" => Self::Propfind,
            "PROPPATCH" => Self::Proppatch,
            "COPY" => Self::Copy,
            "MOVE" => Self::Move,
            "LOCK" => Self::Lock,
            "UNLOCK" => Self::Unlock,
            "REPORT" => Self::Report,
            "POST" => Self::Post,
            "OPTIONS" => Self::Options,
            "CONNECT" => Self::Connect,
            other if KNOWN_METHODS.contains(&other) => Self::Unserved,
            _ => Self::Unknown,
        }
    }

    /// How `Allow` lists it; nothing for what is not served.
    pub(crate) fn listed(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::MakeCollection => "MKCOL",
            Self::Propfind => "PROPFIND",
            Self::Proppatch => "PROPPATCH",
            Self::Copy => "COPY",
            Self::Move => "MOVE",
            Self::Lock => "LOCK",
            Self::Unlock => "UNLOCK",
            Self::Post => "POST",
            Self::Options => "OPTIONS",
            Self::Report | Self::Connect | Self::Unserved | Self::Unknown => "",
        }
    }

    /// Whether it does more than read.
    pub(crate) fn changes_something(self) -> bool {
        !matches!(self, Self::Get | Self::Options | Self::Propfind | Self::Report)
    }
}

impl Asked {
    pub(crate) fn parse(head: &RequestHead) -> Result<Self, Wrong> {
        let (uri, url_path) = (&head.uri, head.uri.path());
        if url_path == "*" {
            return Err(Wrong::Target(BadTarget::Asterisk));
        }
        match (uri.scheme_str(), uri.authority()) {
            (None, None) => {}
            (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
                return Err(Wrong::Target(BadTarget::User));
            }
            (Some("http" | "https"), Some(_)) => {}
            _ => return Err(Wrong::Target(BadTarget::Form)),
        }
        let query = uri.query().unwrap_or_default();
        Ok(Self {
            path: SharePath::parse_url(url_path).map_err(|error| Wrong::Target(error.into()))?,
            names_a_collection: SharePath::url_names_a_collection(url_path),
            query: Query::parse(query).map_err(Wrong::Query)?,
        })
    }
}

/// The conditional headers of RFC 9110, parsed from the raw field lines.
pub(crate) fn conditional_headers(headers: &HeaderMap) -> Result<Precondition, Malformed> {
    Precondition::parse(&ConditionalFields {
        if_match: lines(headers, &header::IF_MATCH),
        if_none_match: lines(headers, &header::IF_NONE_MATCH),
        if_modified_since: lines(headers, &header::IF_MODIFIED_SINCE),
        if_unmodified_since: lines(headers, &header::IF_UNMODIFIED_SINCE),
    })
}

/// Everything that a request demands of the state it is to find: the conditional headers, the `If` header, and the lock tokens in it and
/// in `Lock-Token`, where Office puts the one it writes with.
pub(crate) fn precondition(head: &RequestHead, asked: &Asked) -> Result<(Precondition, Submitted), Malformed> {
    let headers = &head.headers;
    let conditions = conditional_headers(headers)?;
    let token = dav_headers::lock_token(headers).map_err(|_| Malformed(Header::LockToken))?;
    let ifs = lines(headers, &HeaderName::from_static("if"));
    let held = match &token {
        // Office names the lock that it writes with here and nowhere else. One that is no more would protect nothing: it has to be there.
        Some(token) if ifs.is_empty() && matches!(Verb::of(&head.method), Verb::Put | Verb::Delete) => {
            format!("(<{token}>)")
        }
        _ => String::new(),
    };
    let ifs = if held.is_empty() { ifs } else { vec![held.as_bytes()] };
    let states = if_header::parse(&ifs).map_err(|_| Malformed(Header::If))?;
    let in_states = states.iter().flat_map(|states| states.tokens());
    let submitted = Submitted::new(in_states.chain(token.iter().map(LockToken::as_str)));
    let conditions = match states {
        Some(states) => conditions.with_states(states, asked.path.clone()),
        None => conditions,
    };
    Ok((conditions, submitted))
}

/// Where a request comes from.
pub(crate) fn client(head: &RequestHead) -> Client {
    let address = head.peer_addr.map(|peer| peer.ip());
    Client::new(Principal::Anonymous, address, text(&head.headers, header::USER_AGENT))
}

/// The raw field lines of a header, in the order they came.
pub(crate) fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a [u8]> {
    headers.get_all(name).map(|value| value.as_bytes()).collect()
}

/// A header's only line, as text.
pub(crate) fn text(headers: &HeaderMap, name: impl AsRef<str>) -> Option<&str> {
    headers.get(name.as_ref())?.to_str().ok()
}

/// Whether the body is coded, so that it is not what it says (`Content-Encoding`, RFC 9110 §8.4).
pub(crate) fn is_coded(headers: &HeaderMap) -> bool {
    let codings =
        headers.get_all(header::CONTENT_ENCODING).flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    codings.map(<[u8]>::trim_ascii).any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// The announced length of the body, in bytes.
pub(crate) fn announced_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, header::CONTENT_LENGTH)?.trim().parse().ok()
}

/// Whether a preference was stated (RFC 7240), for instance `return=representation`.
pub(crate) fn prefers(headers: &HeaderMap, preference: &str) -> bool {
    let stated = headers.get_all("prefer").filter_map(|value| value.to_str().ok()).flat_map(|line| line.split(','));
    stated.map(|one| one.split(';').next().unwrap_or_default().trim()).any(|one| one.eq_ignore_ascii_case(preference))
}

/// Whether a request may be looked at at all: it has one host, which is one of ours, and a change does not come from a page of another
/// site. No page can reach a Unix socket, which may be called by any name.
pub(crate) fn welcome(head: &RequestHead, own_names: &[String], allowed_origins: &[String]) -> Result<(), Unwelcome> {
    let fields = lines(&head.headers, &header::HOST);
    let field = match fields[..] {
        [] if head.version < Version::HTTP_11 => None,
        [field] => Some(str::from_utf8(field).map_err(|_| Unwelcome::NoHost)?),
        _ => return Err(Unwelcome::NoHost),
    };
    if field.is_some_and(|field| Host::parse(field).is_none()) {
        return Err(Unwelcome::NoHost);
    }
    // Where the target is a whole URL, its host counts (RFC 9112 §3.2.2).
    let target = head.uri.scheme().and(head.uri.authority()).map(|authority| authority.as_str());
    let named = target.map(|target| target.rsplit_once('@').map_or(target, |(_, host)| host)).or(field);
    if let Some(named) = named
        && !is_welcome_host(Host::parse(named).ok_or(Unwelcome::NoHost)?, head.peer_addr, own_names)?
    {
        return Err(Unwelcome::ForeignHost);
    }
    if Verb::of(&head.method).changes_something() && origin::is_foreign(head, named, allowed_origins) {
        return Err(Unwelcome::CrossSite);
    }
    Ok(())
}

/// Whether a host is one by which a client may call us. A Unix socket, where clients have no address, may be called by every name, and by none.
pub(crate) fn is_welcome_host(
    host: Host<'_>,
    peer: Option<SocketAddr>,
    own_names: &[String],
) -> Result<bool, Unwelcome> {
    match (host.is_empty(), peer) {
        (_, None) => Ok(true),
        (true, Some(_)) => Err(Unwelcome::NoHost),
        (false, Some(_)) => Ok(host.is_ours(own_names)),
    }
}
