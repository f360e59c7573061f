//! Whether a request may be looked at at all: whom it is for, and whether a page of another site sends it. It decides nothing about files.

use crate::http::headers::field::lines;
use crate::http::request::host::Host;
use crate::http::request::method::DavMethod;
use crate::http::request::origin;
use std::net::SocketAddr;

use actix_http::RequestHead;
use actix_web::http::{Version, header};

/// Why a request is turned away by its head alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SiteRefusal {
    /// It has no Host, more than one, or one that cannot be one (RFC 9112 §3.2).
    NoHost,
    /// The Host is none of ours (DNS rebinding).
    ForeignHost,
    /// A page of another origin makes the browser send it, to change something or to show it in a frame.
    CrossSite,
}

/// Whether a request may be looked at at all: it has one host, which is one of ours, and neither does a change come from a page of another site nor
/// is it for a frame in one. No page can reach a Unix socket, which may be called by any name. `forwarded_host` is what a trusted proxy was called, and it has to be
/// ours as well.
pub(crate) fn check_site(
    head: &RequestHead,
    forwarded_host: Option<&str>,
    own_names: &[String],
    allowed_origins: &[String],
) -> Result<(), SiteRefusal> {
    let fields = lines(&head.headers, &header::HOST);
    let field = match fields[..] {
        [] if head.version < Version::HTTP_11 => None,
        [field] => Some(str::from_utf8(field).map_err(|_| SiteRefusal::NoHost)?),
        _ => return Err(SiteRefusal::NoHost),
    };
    if field.is_some_and(|field| Host::parse(field).is_none()) {
        return Err(SiteRefusal::NoHost);
    }
    // Where the target is a whole URL, its host counts (RFC 9112 §3.2.2).
    let target = head.uri.scheme().and(head.uri.authority()).map(|authority| authority.as_str());
    let named = target.map(|target| target.rsplit_once('@').map_or(target, |(_, host)| host)).or(field);
    for named in named.into_iter().chain(forwarded_host) {
        if !is_own_host(Host::parse(named).ok_or(SiteRefusal::NoHost)?, head.peer_addr, own_names)? {
            return Err(SiteRefusal::ForeignHost);
        }
    }
    let named = forwarded_host.or(named);
    let changes = !DavMethod::of(&head.method).is_safe();
    if changes && origin::is_foreign(head, named, allowed_origins) || origin::is_in_foreign_frame(head) {
        return Err(SiteRefusal::CrossSite);
    }
    Ok(())
}

/// Whether a host is one by which a client may call us. A Unix socket, where clients have no address, may be called by every name, and by none.
pub(crate) fn is_own_host(host: Host<'_>, peer: Option<SocketAddr>, own_names: &[String]) -> Result<bool, SiteRefusal> {
    match (host.is_empty(), peer) {
        (_, None) => Ok(true),
        (true, Some(_)) => Err(SiteRefusal::NoHost),
        (false, Some(_)) => Ok(host.is_ours(own_names)),
    }
}
