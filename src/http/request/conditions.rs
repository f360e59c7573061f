//! What a request demands of the state it is to find, out of its conditional headers, its `If` header and its lock tokens.

use crate::http::headers::field::lines;
use crate::http::headers::{dav_headers, if_header};
use crate::http::request::method::DavMethod;
use crate::http::request::target::RequestTarget;
use crate::model::lock_token::LockToken;
use crate::model::precondition::{ConditionalFields, Header, Malformed, Precondition};
use crate::model::submitted::Submitted;
use actix_http::RequestHead;
use actix_web::http::header::{self, HeaderMap, HeaderName};

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
pub(crate) fn precondition(head: &RequestHead, asked: &RequestTarget) -> Result<(Precondition, Submitted), Malformed> {
    let headers = &head.headers;
    let conditions = conditional_headers(headers)?;
    let token = dav_headers::lock_token(headers).map_err(|_| Malformed(Header::LockToken))?;
    let ifs = lines(headers, &HeaderName::from_static("if"));
    let held = match &token {
        // Office names the lock that it writes with here and nowhere else. One that is no more would protect nothing: it has to be there.
        Some(token) if ifs.is_empty() && matches!(DavMethod::of(&head.method), DavMethod::Put | DavMethod::Delete) => {
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
