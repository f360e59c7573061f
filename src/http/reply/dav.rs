//! The answers that only WebDAV has: multistatus, its error elements, and the locks that were taken.

use crate::http::urls;
use crate::http::xml::write;
use crate::http::xml::write::{ActiveLock, Condition, Multistatus, ResponseWriter};
use crate::model::lock_token::LockToken;
use crate::model::path::SharePath;
use crate::model::property::PropertyName;
use crate::share::LostPlace;
use crate::share::outcome::LockRoot;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder};

/// The statuses of single properties within an answer (RFC 4918 §9.1, §9.2.1).
pub(crate) mod of_property {
    use actix_web::http::StatusCode;

    /// It is there, or was changed.
    pub(in crate::http) const DONE: StatusCode = StatusCode::OK;
    /// It is not there.
    pub(in crate::http) const MISSING: StatusCode = StatusCode::NOT_FOUND;
    /// Only the server sets it.
    pub(in crate::http) const PROTECTED: StatusCode = StatusCode::FORBIDDEN;
    /// This cannot be its value.
    pub(in crate::http) const BAD_VALUE: StatusCode = StatusCode::CONFLICT;
    /// Nothing was done about it, because of another.
    pub(in crate::http) const DEPENDENT: StatusCode = StatusCode::FAILED_DEPENDENCY;
}

/// Of a folder in an answer that does not tell all that lies below it (RFC 6578 §3.6).
pub(crate) const CUT_SHORT: StatusCode = StatusCode::INSUFFICIENT_STORAGE;

/// Of a folder of which what is in it is not told with it (RFC 6578 §3.3).
pub(crate) const NOT_ENTERED: StatusCode = StatusCode::FORBIDDEN;

/// 403 for a token since which nobody knows what has happened (RFC 6578 §3.2).
pub(super) fn no_sync_token(lost: LostPlace) -> HttpResponse {
    let detail = format!(
        "What happened since this token cannot be told: {lost}. Begin again with an empty sync-token, and compare what is told with what you have."
    );
    dav_error(StatusCode::FORBIDDEN, &[Condition::ValidSyncToken], &detail)
}

pub(super) fn locked_inside(target: &str, root: &LockRoot) -> HttpResponse {
    let mut xml = Multistatus::new([]);
    let href = urls::of_lock_root(root);
    xml.status(&[&href], StatusCode::LOCKED, Some(&Condition::NoConflictingLock(&[])), None);
    // What has members is a folder, however it was named.
    let inside = urls::inside(target).and_then(|inside| SharePath::parse_url(inside).ok());
    let target = inside.map_or_else(|| target.to_owned(), |path| urls::of_folder(&path));
    let nothing = Some("Another lock is in the way. Nothing was locked.");
    xml.status(&[&target], StatusCode::FAILED_DEPENDENCY, None, nothing);
    multistatus().body(xml.finish())
}

/// A refusal that WebDAV has an element for (RFC 4918 §16).
pub(super) fn dav_error(status: StatusCode, conditions: &[Condition<'_>], description: &str) -> HttpResponse {
    let mut answer = HttpResponse::build(status);
    answer.content_type(write::CONTENT_TYPE).insert_header((header::CACHE_CONTROL, "no-store"));
    answer.body(write::error(conditions, Some(description)))
}

/// 403 for whoever may not do that here.
pub(super) fn not_permitted() -> HttpResponse {
    dav_error(
        StatusCode::FORBIDDEN,
        &[Condition::NeedPrivileges],
        "You may not do that here: whoever runs this server has not permitted it. Nothing was changed.",
    )
}

/// 207, and the answer that is sent with it. It has no validator: what it tells of has many (RFC 4918 §8.8).
pub(crate) fn multistatus() -> HttpResponseBuilder {
    let mut answer = HttpResponse::build(StatusCode::MULTI_STATUS);
    answer.content_type(write::CONTENT_TYPE).insert_header((header::CACHE_CONTROL, "no-cache"));
    answer.insert_header((header::VARY, "Prefer"));
    answer
}

/// 403 for an extended MKCOL that asked for what cannot be had (RFC 5689 §3): which properties were the reason.
pub(crate) fn not_made(names: &[PropertyName], tell: impl FnOnce(&mut ResponseWriter<'_>)) -> HttpResponse {
    let mut answer = HttpResponse::build(StatusCode::FORBIDDEN);
    answer.content_type(write::CONTENT_TYPE).insert_header((header::CACHE_CONTROL, "no-store"));
    answer.body(write::mkcol_response(names, tell))
}

/// 200, or 201 where an empty file was made, for a lock that was taken or granted more time.
pub(crate) fn locked(token: Option<&LockToken>, created: bool, locks: &[ActiveLock]) -> HttpResponse {
    let mut answer = HttpResponse::build(if created { StatusCode::CREATED } else { StatusCode::OK });
    answer.content_type(write::CONTENT_TYPE).insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(token) = token {
        answer.insert_header(("lock-token", format!("<{token}>")));
    }
    answer.body(write::lock_answer(locks))
}

/// 204 for a client that wants to hear of failures alone (RFC 8144 §2.2).
pub(crate) fn done_minimally() -> HttpResponse {
    HttpResponse::build(StatusCode::NO_CONTENT).insert_header(("preference-applied", "return=minimal")).finish()
}

/// 207 for a folder that was copied without some of its members (RFC 4918 §9.8.5): which, and why.
pub(super) fn left_out(members: &[SharePath]) -> HttpResponse {
    let mut xml = Multistatus::new([]);
    let why = "A symbolic link leads to this folder, so it was left out. Everything else was copied.";
    for member in members {
        xml.status(&[&urls::of_folder(member)], StatusCode::FORBIDDEN, None, Some(why));
    }
    multistatus().body(xml.finish())
}
