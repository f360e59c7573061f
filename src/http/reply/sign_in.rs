//! The answers to whoever has not said who they are, or is not believed (RFC 9110 §11, §15.5.2).
//!
//! They are the same whether or not there is a user of the name.

use actix_http::RequestHead;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::access::link::Place;
use crate::access::{COOKIE, LINK_COOKIE, Unproven, Visit};
use crate::http::reply::problem::{Problem, bodiless_for_head};
use crate::http::request::query::LinkSecret;
use crate::http::urls;
use crate::model::path::SharePath;

/// The `Content-Security-Policy` of the form.
const PAGE_POLICY: &str = "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// How a script of a page is asked who it is, in whose stead a browser would ask by any other scheme.
pub(crate) const SESSION_SCHEME: &str = "Session realm=\"noclobber\"";

/// How a client is asked who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// The values of `WWW-Authenticate`, the one that is preferred first; none where passwords are not taken.
    pub(crate) schemes: Vec<String>,
}

/// Asks who it is. `unproven` says why what it has said was not believed.
pub(crate) fn sign_in_first(head: &RequestHead, unproven: Option<Unproven>, challenge: &Challenge) -> HttpResponse {
    let mut answer = match unproven {
        Some(unproven @ (Unproven::TooMany(_) | Unproven::Busy | Unproven::Unprotected)) => not_proven(unproven),
        _ if challenge.schemes.is_empty() => not_proven(Unproven::Unprotected),
        None => Problem::new(
            StatusCode::UNAUTHORIZED,
            "sign-in",
            "Who is asking?",
            "Whoever runs this server lets in who signs in with a name and a password. Nothing was changed.",
        )
        .send(),
        Some(unproven) => not_proven(unproven),
    };
    if answer.status() == StatusCode::UNAUTHORIZED {
        for scheme in &challenge.schemes {
            if let Ok(scheme) = HeaderValue::from_str(scheme) {
                answer.headers_mut().append(header::WWW_AUTHENTICATE, scheme);
            }
        }
    }
    bodiless_for_head(head, answer)
}

/// A form to sign in with, which needs no script.
pub(crate) fn sign_in_page() -> HttpResponse {
    form(StatusCode::OK, include_str!("../../../static/sign-in.html").to_owned())
}

/// The same form, for whoever got it wrong.
pub(crate) fn not_signed_in() -> HttpResponse {
    let page = sign_in_page_that_says("The name and the password are not right.");
    with_session_scheme(form(StatusCode::UNAUTHORIZED, page))
}

/// Somebody has come with the invitation, or it is too old: a person can still sign in with a name and a password.
pub(crate) fn invitation_over() -> HttpResponse {
    form(StatusCode::GONE, sign_in_page_that_says("This link has been used, or is too old."))
}

fn sign_in_page_that_says(why: &str) -> String {
    let page = include_str!("../../../static/sign-in.html");
    page.replacen("<form", &format!("<p>{why} Sign in with the name and the password.\n<form"), 1)
}

fn form(status: StatusCode, page: String) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_SECURITY_POLICY, PAGE_POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "same-origin"))
        .body(page)
}

/// A form for the password of a link. A browser shows it, since it knows no such scheme.
pub(crate) fn link_page(LinkSecret(secret): &LinkSecret, is_wrong: bool) -> HttpResponse {
    let page = include_str!("../../../static/link.html").replacen("SECRET", &escaped_in_query(secret), 1);
    let page = if is_wrong { page.replacen("<form", "<p>That is not the password.\n<form", 1) } else { page };
    let mut answer = with_session_scheme(form(StatusCode::UNAUTHORIZED, page));
    // The address has the secret in it. Without any Referer browsers would leave out the Origin, too.
    answer.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("strict-origin"));
    answer
}

/// A link that is good no more, or never was, on a page: a person can still sign in with a name and a password.
pub(crate) fn link_over() -> HttpResponse {
    with_session_scheme(form(
        StatusCode::UNAUTHORIZED,
        sign_in_page_that_says("This link is good no more, or never was."),
    ))
}

fn with_session_scheme(mut answer: HttpResponse) -> HttpResponse {
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(SESSION_SCHEME));
    answer
}

fn escaped_in_query(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
    utf8_percent_encode(text, KEPT).to_string()
}

/// Somebody has opened a link: the browser keeps the secret of the visit, and goes on without that of the link, which would stand in its history and
/// wherever the address is copied to. It sends the cookie along when a page of another site leads here, too, since that is where links stand;
/// nothing is changed by that.
pub(crate) fn opened(visit: &Visit, location: &str, is_https: bool) -> HttpResponse {
    let secure = if is_https { "; Secure" } else { "" };
    let cookie = link_cookie(&visit.place, &visit.secret, &format!("Max-Age=604800{secure}"));
    HttpResponse::build(StatusCode::SEE_OTHER)
        .insert_header((header::LOCATION, location))
        .insert_header((header::SET_COOKIE, cookie))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .finish()
}

fn link_cookie(place: &Place, secret: &str, life: &str) -> String {
    let path = if place.path.is_root() { urls::share().to_owned() } else { urls::of(&place.path) };
    format!("{LINK_COOKIE}={secret}; Path={path}; HttpOnly; SameSite=Lax; {life}")
}

/// The session has begun: the browser keeps its secret, shows it to no script, and sends it with nothing that another site asks for.
pub(crate) fn signed_in(back_to: Option<&SharePath>, secret: &str, is_https: bool) -> HttpResponse {
    let secure = if is_https { "; Secure" } else { "" };
    done_with(back_to, &cookie(secret, &format!("Max-Age=604800{secure}")))
}

/// The session is over, and the browser forgets the links that it has opened.
pub(crate) fn signed_out(back_to: Option<&SharePath>, visited: &[Place]) -> HttpResponse {
    let mut answer = done_with(back_to, &cookie("", "Max-Age=0"));
    for place in visited {
        if let Ok(cookie) = HeaderValue::try_from(link_cookie(place, "", "Max-Age=0")) {
            answer.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    answer
}

fn cookie(secret: &str, life: &str) -> String {
    format!("{COOKIE}={secret}; Path={}; HttpOnly; SameSite=Strict; {life}", urls::share())
}

/// A form sends the browser on; a script goes on by itself.
fn done_with(back_to: Option<&SharePath>, cookie: &str) -> HttpResponse {
    let mut answer = HttpResponse::build(back_to.map_or(StatusCode::NO_CONTENT, |_| StatusCode::SEE_OTHER));
    if let Some(path) = back_to {
        answer.insert_header((header::LOCATION, urls::of_folder(path)));
    }
    answer.insert_header((header::SET_COOKIE, cookie)).insert_header((header::CACHE_CONTROL, "no-store")).finish()
}

/// Why it is not believed.
pub(super) fn not_proven(unproven: Unproven) -> HttpResponse {
    match unproven {
        Unproven::Wrong => Problem::new(
            StatusCode::UNAUTHORIZED,
            "wrong-credentials",
            "Not signed in",
            "The name and the password, the token or the link are not right, or good no more. Nothing was changed.",
        )
        .send(),
        Unproven::LinkPassword => Problem::new(
            StatusCode::UNAUTHORIZED,
            "link-password",
            "The link takes a password",
            "Whoever made this link has given it a password; send it by Basic, with any name. Nothing was changed.",
        )
        .send(),
        Unproven::Stale => Problem::new(
            StatusCode::UNAUTHORIZED,
            "stale-nonce",
            "The nonce is not good any more",
            "Sign the request with the nonce that comes with this answer. Nothing was changed.",
        )
        .send(),
        Unproven::SessionOver => {
            let mut answer = Problem::new(
                StatusCode::UNAUTHORIZED,
                "session-over",
                "The session is over",
                "Sign in again. Nothing was changed.",
            )
            .send();
            if let Ok(cookie) = HeaderValue::try_from(cookie("", "Max-Age=0")) {
                answer.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            answer
        }
        Unproven::TooMany(wait) => with_retry_after(
            Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-guesses",
                "Too many wrong passwords",
                "Too many wrong passwords came from this address or for this user. Wait, and try again. Nothing was changed.",
            ),
            wait.as_secs() + 1,
        ),
        Unproven::Busy => with_retry_after(
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "Too many sign in at once",
                "Too many sign in at once. Try again in a moment. Nothing was changed.",
            ),
            1,
        ),
        Unproven::Unprotected => Problem::new(
            StatusCode::FORBIDDEN,
            "unprotected",
            "This connection is not private",
            "Passwords and tokens are not taken over plain HTTP from another machine, where others could read them. Use https, or have whoever \
             runs this server look at --tls and --plain-passwords. Nothing was changed.",
        )
        .send(),
    }
}

fn with_retry_after(problem: Problem, seconds: u64) -> HttpResponse {
    let mut answer = problem.send();
    answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    answer
}
