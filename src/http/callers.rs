//! Who makes a request: what its head says about that, and how it is asked.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use actix_http::RequestHead;
use actix_web::http::header;

use crate::access::{Access, Caller, Credentials, REALM, Recognized, Unproven};
use crate::http::context::RequestScope;
use crate::http::headers::field;
use crate::http::quirks::Quirks;
use crate::http::reply::{Challenge, SESSION_SCHEME};
use crate::http::request::forwarded::Origin;
use crate::http::request::query::LinkSecret;
use crate::http::request::service_url;
use crate::http::settings::HttpSettings;
use crate::http::wire::fast_path::Plain;

/// Finds out who makes a request that comes from there.
pub(crate) async fn identify(
    access: &Access,
    settings: &HttpSettings,
    head: &RequestHead,
    origin: &Origin,
) -> Result<Arc<Caller>, Unproven> {
    let (authorizations, cookies) = (field::lines(&head.headers, &header::AUTHORIZATION), cookies(head));
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    let may_have_a_link = head.uri.query().is_some() || !cookies.is_empty();
    let asked = may_have_a_link.then(|| service_url::place(head)).flatten();
    let link = asked.as_ref().and_then(|asked| asked.query.shown_link());
    // Two that differ say nothing.
    if authorizations.len() > 1 {
        return Err(Unproven::Wrong);
    }
    let credentials = Credentials {
        link: link.map(|LinkSecret(secret)| &**secret),
        authorization: authorizations.first().copied(),
        cookie: (!cookies.is_empty()).then_some(&*cookies),
        method: head.method.as_str(),
        target,
        address: guesser(origin),
        is_near: is_near(origin),
        is_private: is_private(settings, origin),
    };
    access.look_again();
    let by_proxy = user_of_proxy(settings, head, origin)?.map(|name| access.by_word_of_a_proxy(name)).transpose()?;
    let by_itself = async || prove(access, &credentials).await;
    let visitors = || asked.iter().flat_map(|asked| access.visitors(&credentials, &asked.path)).collect::<Vec<_>>();
    match (by_proxy, link) {
        (Some(user), Some(_)) => Ok(user.with(vec![by_itself().await?])),
        (Some(user), None) => Ok(user.with(visitors())),
        (None, Some(_)) => by_itself().await,
        (None, None) => match by_itself().await {
            Ok(known) => Ok(known.with(visitors())),
            // Whoever was signed in comes by the links that are left.
            Err(Unproven::SessionOver) => match visitors() {
                none if none.is_empty() => Err(Unproven::SessionOver),
                some => Ok(access.unnamed().with(some)),
            },
            Err(unproven) => Err(unproven),
        },
    }
}

/// Who makes a request by what it brings along.
async fn prove(access: &Access, credentials: &Credentials<'_>) -> Result<Arc<Caller>, Unproven> {
    match access.recognize(credentials)? {
        Recognized::Caller(caller) => Ok(caller),
        Recognized::NotYet => access.verify(credentials).await,
    }
}

/// The user whom a trusted proxy names.
fn user_of_proxy<'a>(
    settings: &HttpSettings,
    head: &'a RequestHead,
    origin: &Origin,
) -> Result<Option<&'a str>, Unproven> {
    let Some(field) = settings.user_header.as_ref().filter(|_| origin.is_by_proxy) else { return Ok(None) };
    match field::lines(&head.headers, field)[..] {
        // Of whoever has not signed in, Apache's mod_headers names nobody.
        [] | [b""] => Ok(None),
        [name] => str::from_utf8(name).map(Some).map_err(|_| Unproven::Wrong),
        _ => Err(Unproven::Wrong),
    }
}

/// What a request of this scope brings along besides what it says in its body.
pub(crate) fn credentials_of(app: &RequestScope) -> Credentials<'static> {
    let is_private = is_private(&app.settings, &app.origin);
    Credentials { address: guesser(&app.origin), is_near: is_near(&app.origin), is_private, ..Credentials::default() }
}

/// In which of its rounds a worker has looked whether the users have changed.
#[derive(Debug, Default)]
pub(crate) struct LastLookAtUsers(Cell<Option<u64>>);

impl LastLookAtUsers {
    /// Sees to it that what has changed about the users before this request has come is in force. One look is enough for all requests of a round.
    fn look_again(&self, access: &Access, plain: &Plain<'_>) {
        if self.0.replace(plain.round) != plain.round || plain.round.is_none() {
            access.look_again();
        }
    }
}

/// Who makes a plain request, if that is known at once.
pub(crate) fn known(
    access: &Access,
    settings: &HttpSettings,
    plain: &Plain<'_>,
    last: &LastLookAtUsers,
) -> Option<Arc<Caller>> {
    // What a proxy says of a client is not plain.
    if !settings.trusted_proxies.is_empty() {
        return None;
    }
    // A digest proves one request, and is looked at where it is carried out in any case.
    if plain.authorization.is_some_and(|given| given.get(..6).is_some_and(|word| word.eq_ignore_ascii_case(b"digest")))
    {
        return None;
    }
    let credentials = Credentials {
        link: None,
        authorization: plain.authorization,
        cookie: plain.cookie,
        method: plain.reads.as_str(),
        target: plain.path,
        address: plain.peer.map(|peer| peer.ip()),
        is_near: is_loopback(plain.peer.map(|peer| peer.ip())),
        is_private: settings.plain_passwords || plain.is_encrypted || is_loopback(plain.peer.map(|peer| peer.ip())),
    };
    last.look_again(access, plain);
    match access.recognize(&credentials) {
        Ok(Recognized::Caller(caller)) => Some(caller),
        Ok(Recognized::NotYet) | Err(_) => None,
    }
}

/// How a client is asked who it is: not at all where others could read what it answers. Clients that take the wrong one of two schemes get one:
/// those of Windows and macOS give no password by Basic over plain HTTP. A script of a page is not asked, since the browser would ask in its stead.
pub(crate) fn challenge(app: &RequestScope, head: &RequestHead, unproven: Option<Unproven>) -> Challenge {
    let RequestScope { origin, .. } = app;
    if !app.access.has_users() || !is_private(&app.settings, origin) {
        return Challenge::default();
    }
    if field::text(&head.headers, "sec-fetch-dest") == Some("empty") {
        return Challenge { schemes: vec![SESSION_SCHEME.to_owned()] };
    }
    let basic = format!("Basic realm=\"{REALM}\", charset=\"UTF-8\"");
    let is_confused = Quirks::of(head).are_confused_by_two_schemes;
    let nonce = app.access.nonce().filter(|_| !is_confused || origin.is_https != Some(true));
    let Some(nonce) = nonce else { return Challenge { schemes: vec![basic] } };
    let stale = if unproven == Some(Unproven::Stale) { ", stale=true" } else { "" };
    let digest = |algorithm: &str| {
        format!(
            "Digest realm=\"{REALM}\", qop=\"auth\", algorithm={algorithm}, nonce=\"{nonce}\", charset=UTF-8{stale}"
        )
    };
    let (sha256, md5) = (digest("SHA-256"), digest("MD5"));
    Challenge { schemes: if is_confused { vec![md5] } else { vec![basic, sha256, md5] } }
}

/// Whether a client has to be asked who it is before it has tried anything: a drive of Windows that may look without a name never signs in.
pub(crate) fn is_asked_at_once(caller: &Caller, head: &RequestHead) -> bool {
    caller.can_sign_in() && Quirks::of(head).are_of_windows
}

fn cookies(head: &RequestHead) -> Vec<u8> {
    field::lines(&head.headers, &header::COOKIE).join(&b"; "[..])
}

/// From where somebody signs in, or guesses. Whom a proxy does not name is nobody at this machine, wherever the proxy is.
fn guesser(origin: &Origin) -> Option<IpAddr> {
    if origin.is_by_proxy && !origin.is_told { Some(Ipv4Addr::UNSPECIFIED.into()) } else { origin.address }
}

/// Whether nobody on the way can read what a client sends, or that does not matter. Of a proxy that does not say how it was reached it is not known.
fn is_private(settings: &HttpSettings, origin: &Origin) -> bool {
    settings.plain_passwords || origin.is_https == Some(true) || is_near(origin)
}

/// Whether a request comes from this machine. Of one that a proxy hands on that is not known.
fn is_near(origin: &Origin) -> bool {
    !origin.is_by_proxy && is_loopback(origin.address)
}

fn is_loopback(address: Option<IpAddr>) -> bool {
    address.is_none_or(|address| address.to_canonical().is_loopback())
}
