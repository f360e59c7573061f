//! Problem documents (RFC 9457): how a request that is not carried out is explained.

use crate::http::reply::allow::allow;
use crate::http::reply::described_author::DescribedAuthor;
use crate::http::request::method::Allowed;
use crate::http::request::query::Query;
use crate::http::wire::body::LengthOnly;
use crate::log::escaped;
use crate::model::http_date;
use crate::model::stamp::Timestamp;
use crate::share::outcome::{Current, StoredBy};
use actix_http::RequestHead;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::{Map, Value, json};

/// What the problem types of noclobber begin with.
pub(super) const PROBLEMS: &str = "urn:noclobber:problem:";

/// What the problem types begin with that the drafts on digest fields and on resumable uploads register.
pub(super) const REGISTERED_PROBLEMS: &str = "https://iana.org/assignments/http-problem-types#";

/// When to try again, in seconds, where that may help.
pub(super) const RETRY_AFTER: &str = "2";

/// A problem document (RFC 9457): the body of an answer that says no, for people (title, detail) and for programs (type, members).
pub(super) struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    more: Map<String, Value>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, title, detail: detail.into(), more: Map::new() }
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn describing(self, current: Option<&Current>) -> Self {
        let Some(current) = current else { return self };
        let described = self.with("current_etag", current.tag.to_string()).with("current_length", current.size);
        described.with("current_last_modified", http_date::format(current.modified))
    }

    /// Who stored what is there now, for people and for programs.
    pub(super) fn stored_by(mut self, stored_by: Option<&StoredBy>) -> Self {
        let Some(StoredBy { by, at }) = stored_by else { return self };
        let at = at.map(Timestamp::rfc_3339);
        let when = at.as_ref().map_or_else(String::new, |at| format!(" at {at}"));
        self.detail = format!("{} What is here was stored by {}{when}.", self.detail, escaped(&by.to_string()));
        let by = serde_json::to_value(DescribedAuthor::new(by)).expect("texts are JSON");
        self.with("last_change", json!({ "by": by, "at": at }))
    }

    pub(super) fn answer(self) -> HttpResponseBuilder {
        HttpResponse::build(self.status)
    }

    pub(super) fn send(self) -> HttpResponse {
        let base = if is_registered(self.kind) { REGISTERED_PROBLEMS } else { PROBLEMS };
        let mut document = Map::new();
        document.insert("type".to_owned(), json!(format!("{base}{}", self.kind)));
        document.insert("title".to_owned(), json!(self.title));
        document.insert("status".to_owned(), json!(self.status.as_u16()));
        document.insert("detail".to_owned(), json!(self.detail));
        document.extend(self.more.clone());
        let text = Value::Object(document).to_string() + "\n";
        let mut answer = self.answer();
        answer.content_type("application/problem+json").insert_header((header::CACHE_CONTROL, "no-store"));
        answer.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        answer.body(text)
    }
}

/// Whether a problem type is one that everybody knows.
fn is_registered(kind: &str) -> bool {
    kind.starts_with("digest-")
        || matches!(kind, "mismatching-upload-offset" | "completed-upload" | "inconsistent-upload-length")
}

/// 400 for a name that is to be made.
pub(super) fn long_name() -> HttpResponse {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "long-name",
        "The name is too long",
        "A name may have 255 bytes as UTF-8, on some file systems less, and the whole path 4096. Choose a shorter one. Nothing was changed.",
    )
    .send()
}

pub(super) fn with_allow(head: &RequestHead, problem: Problem, there: Allowed) -> HttpResponse {
    let words = Query::parse(head.uri.query().unwrap_or_default()).ok().and_then(|query| query.taken);
    with_header(problem.send(), header::ALLOW, &allow(there, words))
}

pub(super) fn later(problem: Problem) -> HttpResponse {
    with_header(problem.send(), header::RETRY_AFTER, RETRY_AFTER)
}

pub(super) fn with_current(mut answer: HttpResponse, current: Option<&Current>) -> HttpResponse {
    let Some(current) = current else { return answer };
    answer = with_header(answer, header::ETAG, &current.tag.to_string());
    with_header(answer, header::LAST_MODIFIED, &http_date::format(current.modified))
}

pub(super) fn with_header(mut answer: HttpResponse, name: HeaderName, value: &str) -> HttpResponse {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// To HEAD an answer says how long it would be, and sends nothing.
pub(super) fn bodiless_for_head(head: &RequestHead, answer: HttpResponse) -> HttpResponse {
    use actix_web::body::{BodySize, BoxBody, MessageBody as _};
    if head.method != Method::HEAD {
        return answer;
    }
    match answer.body().size() {
        BodySize::Sized(length) => answer.set_body(BoxBody::new(LengthOnly(length))),
        _ => answer,
    }
}
