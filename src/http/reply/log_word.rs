//! The word that the request log has for an outcome.

use actix_web::http::StatusCode;

/// The word for the log.
pub(crate) fn outcome_word(status: StatusCode) -> &'static str {
    match status {
        StatusCode::OK => "sent",
        StatusCode::PARTIAL_CONTENT => "sent-part",
        StatusCode::CREATED => "created",
        StatusCode::MULTI_STATUS => "told",
        StatusCode::NO_CONTENT => "done",
        StatusCode::NOT_MODIFIED => "not-modified",
        StatusCode::PRECONDITION_FAILED => "stale",
        StatusCode::PRECONDITION_REQUIRED => "no-precondition",
        StatusCode::LOCKED => "in-use",
        StatusCode::INSUFFICIENT_STORAGE => "disk-full",
        StatusCode::NOT_FOUND => "not-found",
        StatusCode::CONFLICT => "conflict",
        status if status.is_server_error() => "fault",
        _ => "refused",
    }
}
