//! Who makes a request: what its head says about that, and how it is asked.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_http::RequestHead;
use actix_web::http::header;

use crate::access::{Access, Caller, Credentials, REALM, Recognized, Unproven};
use crate::http::headers::field;
use crate::http::quirks::Quirks;
use crate::http::reply::Challenge;
use crate::http::settings::HttpSettings;
use crate::http::wire::fast_path::Plain;

/// Finds out who makes a request.
pub(crate) async fn identify(
    access: &Access,
    settings: &HttpSettings,
    head: &RequestHead,
) -> Result<Arc<Caller>, Unproven> {
    let (authorizations, cookies) = (field::lines(&head.headers, &header::AUTHORIZATION), cookies(head));
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    // Two that differ say nothing.
    if authorizations.len() > 1 {
        return Err(Unproven::Wrong);
    }
    let credentials = Credentials {
        authorization: authorizations.first().copied(),
        cookie: (!cookies.is_empty()).then_some(&*cookies),
        method: head.method.as_str(),
        target,
        address: head.peer_addr.map(|peer| peer.ip()),
        is_private: is_private(settings, head.peer_addr),
    };
    match access.recognize(&credentials)? {
        Recognized::Caller(caller) => Ok(caller),
        Recognized::NotYet => access.verify(&credentials).await,
    }
}

/// Who makes a plain request, if that is known at once.
pub(crate) fn known(access: &Access, settings: &HttpSettings, plain: &Plain<'_>) -> Option<Arc<Caller>> {
    // A digest proves one request, and is looked at where it is carried out in any case.
    if plain.authorization.is_some_and(|given| given.get(..6).is_some_and(|word| word.eq_ignore_ascii_case(b"digest")))
    {
        return None;
    }
    let credentials = Credentials {
        authorization: plain.authorization,
        cookie: plain.cookie,
        method: plain.reads.as_str(),
        target: plain.path,
        address: plain.peer.map(|peer| peer.ip()),
        is_private: is_private(settings, plain.peer),
    };
    match access.recognize(&credentials) {
        Ok(Recognized::Caller(caller)) => Some(caller),
        Ok(Recognized::NotYet) | Err(_) => None,
    }
}

/// How a client is asked who it is: not at all where others could read what it answers. Clients that take the wrong one of two schemes get one:
/// those of Windows and macOS give no password by Basic over plain HTTP.
pub(crate) fn challenge(
    access: &Access,
    settings: &HttpSettings,
    head: &RequestHead,
    unproven: Option<Unproven>,
) -> Challenge {
    if !access.has_users() || !is_private(settings, head.peer_addr) {
        return Challenge::default();
    }
    let basic = format!("Basic realm=\"{REALM}\", charset=\"UTF-8\"");
    let Some(nonce) = access.nonce() else { return Challenge { schemes: vec![basic] } };
    let stale = if unproven == Some(Unproven::Stale) { ", stale=true" } else { "" };
    let digest = |algorithm: &str| {
        format!(
            "Digest realm=\"{REALM}\", qop=\"auth\", algorithm={algorithm}, nonce=\"{nonce}\", charset=UTF-8{stale}"
        )
    };
    let (sha256, md5) = (digest("SHA-256"), digest("MD5"));
    let schemes = if Quirks::of(head).are_confused_by_two_schemes { vec![md5] } else { vec![basic, sha256, md5] };
    Challenge { schemes }
}

/// Whether a client has to be asked who it is before it has tried anything: a drive of Windows that may look without a name never signs in.
pub(crate) fn is_asked_at_once(caller: &Caller, head: &RequestHead) -> bool {
    caller.can_sign_in() && Quirks::of(head).are_of_windows
}

fn cookies(head: &RequestHead) -> Vec<u8> {
    field::lines(&head.headers, &header::COOKIE).join(&b"; "[..])
}

fn is_private(settings: &HttpSettings, peer: Option<SocketAddr>) -> bool {
    settings.plain_passwords || peer.is_none_or(|peer| peer.ip().to_canonical().is_loopback())
}
