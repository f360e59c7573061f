//! What the outcomes are on the wire: the only file with status codes.
//!
//! The matches have no arm for the rest, so a new outcome does not compile until somebody decides its status. A refusal explains itself
//! in a problem document (RFC 9457); a fault says nothing of the disk.

use std::borrow::Cow;

use actix_http::RequestHead;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::{Map, Value, json};

use crate::http::wire::body::LengthOnly;
use crate::model::http_date;
use crate::model::lock_token::LockToken;
use crate::model::path::{PathError, SharePath};
use crate::model::precondition::Header;
use crate::model::property::PropertyName;
use crate::model::stamp::Timestamp;
use crate::model::version::VersionId;
use crate::share::outcome::{Current, End, Forbidden, LockRoot, NotesBound, Refusal, Stop, Subject};
use crate::share::{Cause, Occupant, Relocated, Removed, Stored};

use crate::http::headers::dav_headers::BadUrl;
use crate::http::headers::digest::{Invalid, Mismatch};
use crate::http::headers::range;
use crate::http::methods::lock::{self, ToldLock};
use crate::http::request::query::{BadQuery, Query, Taken};
use crate::http::request::target::{BadTarget, Unwelcome, Verb};
use crate::http::wire::transport::Rejection;
use crate::http::xml::XmlError;
use crate::http::xml::write::{self, Condition, Multistatus, Response};

/// What the problem types of noclobber begin with.
const PROBLEMS: &str = "urn:noclobber:problem:";

/// The problem types that the draft on digest fields registers.
const DIGEST_PROBLEMS: &str = "https://iana.org/assignments/http-problem-types#";

/// Names the version that a change has displaced.
const DISPLACED: HeaderName = HeaderName::from_static("noclobber-displaced");

/// When to try again, in seconds, where that may help.
const RETRY_AFTER: &str = "2";

const ALLOWED_ON_FILES: &str = "OPTIONS, GET, HEAD, PUT, DELETE, PROPFIND, PROPPATCH, COPY, MOVE, LOCK, UNLOCK";
const ALLOWED_ON_COLLECTIONS: &str = "OPTIONS, GET, HEAD, DELETE, PROPFIND, PROPPATCH, COPY, MOVE, LOCK, UNLOCK";
const ALLOWED_ON_LINKS: &str = "OPTIONS, GET, HEAD, PROPFIND, COPY";
const ALLOWED_ON_NOTHING: &str = "OPTIONS, PUT, MKCOL, LOCK";
const ALLOWED_ON_NO_COLLECTION: &str = "OPTIONS, MKCOL";
const ALLOWED_NOWHERE: &str = "OPTIONS";
const ALLOWED_SOMEWHERE: &str = "OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, PROPFIND, PROPPATCH, COPY, MOVE, LOCK, UNLOCK";

/// Of what cannot be read: the usual reasons, for what is wrong with it is not known any more.
const NO_REQUEST: &str = "This is no request of HTTP/1.1. In the target everything but ASCII is percent-encoded, and blanks and control \
    characters are; there is exactly one Host, and one framing of the body: one Content-Length, or Transfer-Encoding: chunked.";

/// The classes of WebDAV that are served (RFC 4918 §18), and the extended MKCOL of RFC 5689.
const CLASSES: &str = "1, 2, 3, extended-mkcol";

/// What the request itself gets wrong, whatever is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The target.
    Target(BadTarget),
    /// The query.
    Query(BadQuery),
    /// A word in it that means nothing to the method.
    Word(&'static str, Allowed),
    /// A conditional header cannot be understood.
    Condition(Header),
    /// Its head turns it away.
    Unwelcome(Unwelcome),
    /// It has no permission.
    Denied,
    /// A report that there is not (RFC 3253 §3.6).
    NoReport,
    /// No server knows this method.
    UnknownMethod,
    /// This one does not serve it here.
    Method(Allowed),
    /// A body where none is defined.
    Body,
    /// A part of a file (`Content-Range`).
    PartialPut,
    /// An upload that does not say where it ends.
    NoLength,
    /// An upload that says of two lengths that it has them.
    TwoLengths,
    /// A coded body (`Content-Encoding`).
    CodedBody,
    /// A file is to be made, and the path ends in a slash.
    NamesACollection,
    /// A digest that does not fit what was sent.
    Digest(Mismatch),
    /// A digest that cannot be one.
    InvalidDigest(Invalid),
    /// A header of WebDAV cannot be read, or is missing.
    Header(&'static str),
    /// The URL of the destination.
    Destination(BadUrl),
    /// The destination is nothing that HTTP serves.
    ForeignDestination,
    /// The XML of the body.
    Xml(XmlError),
    /// A body that should be XML and does not say so.
    NotXml,
    /// A body shorter, longer or otherwise other than announced.
    BrokenBody,
    /// A body that came too slowly.
    SlowBody,
    /// A body larger than allowed.
    LargeBody,
    /// Too many uploads at once.
    TooManyUploads,
    /// Too many large bodies in memory at once.
    TooManyBodies,
    /// A version that cannot be.
    VersionId,
    /// Not one range can be satisfied.
    Range(u64),
    /// A folder was asked for by name and version where only a file can be sent.
    VersionIsCollection,
}

/// What the request went to, and so which methods could succeed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    OnFiles,
    OnCollections,
    /// A link that is followed to a file: it is read, and never changed.
    OnLinkedFiles,
    /// The same, to a folder.
    OnLinkedCollections,
    /// A free name.
    OnNothing,
    /// A free name that a slash makes one of a folder.
    OnNoCollection,
    /// The folder above is missing.
    WithoutParent,
    /// What is neither served nor replaced, or what cannot be.
    Nowhere,
    Somewhere,
}

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

/// What a 412 or 428 says besides its words.
struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    more: Map<String, Value>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, title, detail: detail.into(), more: Map::new() }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    fn describing(self, current: Option<&Current>) -> Self {
        let Some(current) = current else { return self };
        let described = self.with("current_etag", current.tag.to_string()).with("current_length", current.size);
        described.with("current_last_modified", http_date::format(current.modified))
    }

    fn answer(self) -> HttpResponseBuilder {
        HttpResponse::build(self.status)
    }

    fn send(self) -> HttpResponse {
        let base = if self.kind.starts_with("digest-") { DIGEST_PROBLEMS } else { PROBLEMS };
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

/// Answers a request that the share did not carry out.
pub(crate) fn stop(head: &RequestHead, stop: &Stop) -> HttpResponse {
    let answer = match stop {
        Stop::Refusal(Refusal::LockConflict { with, inside: true }) => locked_inside(head.uri.path(), with),
        Stop::Refusal(Refusal::NoSpace(_)) if is_of_webdav(&head.method) => dav_error(
            StatusCode::INSUFFICIENT_STORAGE,
            &[Condition::SufficientDiskSpace],
            "There is no room for this on the disk or in the quota, and the history had none left to give. What was here is untouched.",
        ),
        Stop::Refusal(Refusal::NoRoomForNotes(bound)) if is_of_webdav(&head.method) => {
            dav_error(StatusCode::INSUFFICIENT_STORAGE, &[Condition::SufficientDiskSpace], no_room_for_notes(*bound))
        }
        Stop::Refusal(refusal) => refuse(head, refusal),
        Stop::Fault(fault) => {
            tracing::error!("{fault}");
            let detail = match fault.cause {
                Cause::Unsure => {
                    "It was done, but could not be brought to the disk: a power cut may undo it. The server's log says why. Look what is here."
                }
                _ => {
                    "The disk failed; the server's log says how. What was here before is not lost: look what is here, then try again."
                }
            };
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "disk-fault", "The disk failed", detail).send()
        }
    };
    bodiless_for_head(head, answer)
}

/// Whether this makes something at its target.
fn makes_something(method: &Method) -> bool {
    matches!(method.as_str(), "PUT" | "MKCOL" | "LOCK")
}

/// Whether only clients of WebDAV send this.
fn is_of_webdav(method: &Method) -> bool {
    matches!(method.as_str(), "PROPPATCH" | "MKCOL" | "COPY" | "MOVE" | "LOCK")
}

fn refuse(head: &RequestHead, refusal: &Refusal) -> HttpResponse {
    let method = &head.method;
    let plain = |status, kind, title, detail: &str| Problem::new(status, kind, title, detail);
    let relocates = matches!(method.as_str(), "COPY" | "MOVE");
    let names_a_collection = SharePath::url_names_a_collection(head.uri.path());
    match refusal {
        Refusal::NotFound => plain(StatusCode::NOT_FOUND, "not-found", "Not found", "Nothing is here.").send(),
        Refusal::NoParent => {
            let detail = match method.as_str() {
                "PUT" => {
                    "The folder that this would lie in is not there, or a file has its name. If it is not there, make it with MKCOL, or add ?mkdirs to the PUT. Nothing was stored."
                }
                "COPY" | "MOVE" => {
                    "The folder that the destination lies in is not there, or a file has its name. If it is not there, make it with MKCOL first. Nothing was changed."
                }
                _ => "The folder that this would lie in is not there, or a file has its name. If it is not there, make it with MKCOL first. Nothing was changed.",
            };
            plain(StatusCode::CONFLICT, "no-parent", "The folder is missing", detail).send()
        }
        Refusal::IsCollection => with_allow(
            head,
            plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "is-folder",
                "A folder is here",
                "A folder is here, and what was asked is for files. Nothing was changed.",
            )
            .with("current_kind", "folder"),
            Allowed::OnCollections,
        ),
        Refusal::NotACollection => with_allow(
            head,
            plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "is-file",
                "A file is here",
                "A file is here, and what was asked is for folders. Nothing was changed.",
            )
            .with("current_kind", "file"),
            Allowed::on_file(names_a_collection),
        ),
        Refusal::Exists { is_collection: true } => with_allow(
            head,
            plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "exists",
                "A folder is here already",
                "This makes a folder, and a folder of this name is here already. Nothing was changed.",
            )
            .with("current_kind", "folder"),
            Allowed::OnCollections,
        ),
        Refusal::Exists { is_collection: false } => with_allow(
            head,
            plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "exists",
                "A file is here already",
                "This makes a folder, and a file of this name is here already. Choose another name, or delete the file first. Nothing was changed.",
            )
            .with("current_kind", "file"),
            Allowed::on_file(names_a_collection),
        ),
        Refusal::NotFree => plain(
            StatusCode::CONFLICT,
            "not-free",
            "Something is here already",
            "A folder comes back from the history only where nothing is, and a file only where nothing or a file is. Move or delete what is here, and restore again.",
        )
        .send(),
        Refusal::Locked { by } => {
            let roots: Vec<_> = by.iter().map(lock::href).collect();
            let roots: Vec<_> = roots.iter().map(String::as_str).collect();
            dav_error(
                StatusCode::LOCKED,
                &[Condition::LockTokenSubmitted(&roots)],
                "This is locked, and the request does not name the lock. Nothing was changed.",
            )
        }
        Refusal::LockConflict { with, .. } => {
            let root = lock::href(with);
            dav_error(
                StatusCode::LOCKED,
                &[Condition::NoConflictingLock(&[&root])],
                "Another lock is in the way. Nothing was locked.",
            )
        }
        Refusal::UnknownToken => dav_error(
            StatusCode::PRECONDITION_FAILED,
            &[Condition::LockTokenMatchesRequestUri],
            "There is no such lock here. It may have run out; lock anew.",
        ),
        Refusal::ForeignToken => dav_error(
            StatusCode::CONFLICT,
            &[Condition::LockTokenMatchesRequestUri],
            "The lock of this token does not cover this, or has run out. Nothing was unlocked.",
        ),
        Refusal::NotYours => {
            plain(StatusCode::FORBIDDEN, "not-yours", "Somebody else's lock", "The lock belongs to somebody else. Nothing was unlocked.").send()
        }
        Refusal::TooManyLocks => later(plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-locks",
            "Too many locks",
            "There are as many locks as this server keeps, in all or for one address. Try again when some have run out. Nothing was locked.",
        )),
        Refusal::LongOwner => plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            "long-owner",
            "Too much about the owner",
            "What a lock says of its owner may take 8 KiB. Say less. Nothing was locked.",
        )
        .send(),
        Refusal::OtherMount => plain(
            StatusCode::FORBIDDEN,
            "other-file-system",
            "Another file system",
            "Source and destination lie on different file systems, between which nothing can be moved in one step. Copy it, and delete the source.",
        )
        .send(),
        Refusal::WithinItself => plain(
            StatusCode::FORBIDDEN,
            "within-itself",
            "Within itself",
            "Source and destination are the same, or one lies within the other. Nothing was changed.",
        )
        .send(),
        Refusal::PreconditionFailed { header, of, current } => precondition_failed(*header, of, current.as_ref()),
        Refusal::PreconditionRequired { of, end, current } => precondition_required(of, *end, current.as_ref()),
        Refusal::RefusedLately { current, .. } => refused_lately(current.as_ref()),
        Refusal::OpenForWriting => later(plain(
            StatusCode::LOCKED,
            "open-for-writing",
            "A program is writing this file",
            "A program on the server has this file open for writing. Nothing was changed. Try again when it has closed the file.",
        )),
        // A client that is told of a conflict may take away what it believes to be its own half: this one may try again.
        Refusal::ChangedMeanwhile => changed_meanwhile(),
        Refusal::FolderChanged if relocates => changed_meanwhile(),
        Refusal::FolderChanged => plain(
            StatusCode::CONFLICT,
            "folder-changed",
            "The folder was moved",
            "The folder was moved, replaced or removed while the request was under way. Nothing was stored.",
        )
        .send(),
        Refusal::NotAllowed(why) => plain(StatusCode::FORBIDDEN, "not-allowed", "Not allowed", forbidden(*why)).send(),
        Refusal::NotReadable { name } => {
            let what = if name.is_empty() { "this".to_owned() } else { format!("{name:?}") };
            let detail = format!("The server may not read {what}: its permissions do not allow it. Nothing was changed.");
            plain(StatusCode::FORBIDDEN, "not-readable", "Not readable", &detail).send()
        }
        Refusal::BadName => plain(
            StatusCode::BAD_REQUEST,
            "bad-name",
            "Not a name for something new",
            "A new name is UTF-8, without control characters. Nothing was changed.",
        )
        .send(),
        Refusal::NameNotHeld => plain(
            StatusCode::BAD_REQUEST,
            "name-not-held",
            "This file system cannot hold this name",
            "The file system that the share lies on refuses this name, as many do for : ? * \" < > | and for a dot or a blank at the end. Choose another. Nothing was changed.",
        )
        .send(),
        Refusal::LongName => long_name(),
        Refusal::FolderFull => plain(
            StatusCode::INSUFFICIENT_STORAGE,
            "folder-full",
            "The folder is full",
            "The file system can hold no more folders in this folder, or no more names of this file. Nothing was changed.",
        )
        .send(),
        Refusal::NoRoomForNotes(bound) => plain(
            StatusCode::INSUFFICIENT_STORAGE,
            "no-room-for-properties",
            "There is no room for these properties",
            no_room_for_notes(*bound),
        )
        .send(),
        Refusal::NoSpace(_) => plain(
            StatusCode::INSUFFICIENT_STORAGE,
            "no-space",
            "The disk is full",
            "There is no room for this on the disk or in the quota, and the history had none left to give. What was here is untouched.",
        )
        .send(),
        Refusal::TooLarge => plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "Too large",
            "The file system cannot hold a file as large as this.",
        )
        .send(),
        Refusal::ShareGone => later(plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "share-gone",
            "The shared folder is not there",
            "The folder that is served was moved, removed or unmounted. It is served again when it is back.",
        )),
        Refusal::CopyOutOfTurn => later(plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-copies",
            "Too many copies",
            "As many long copies as this server makes at once are being made. Nothing was changed. Try again.",
        )),
        Refusal::Overloaded => later(plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "Too busy",
            "The system is short of something at the moment, such as open files, or another change of the same name takes long. Nothing was changed. Try again.",
        )),
    }
}

fn forbidden(why: Forbidden) -> &'static str {
    match why {
        Forbidden::Root => "This is the shared folder itself. Nothing was changed.",
        Forbidden::RootLock => {
            "A lock on the shared folder itself would keep everybody else from writing. Lock the file or the folder that you work on; or start the server with --allow-root-lock."
        }
        Forbidden::Special => "This is a pipe, a socket or a device, which is never opened. Nothing was changed.",
        Forbidden::Link => {
            "This is a symbolic link: it is never changed, nor is anything put in its place. Nothing was changed."
        }
        Forbidden::ReadOnly => "The file system is mounted read-only. Nothing was changed.",
        Forbidden::NotWritable => {
            "The server may not change this: the permissions of the file, or of the folder it lies in, do not allow it. Nothing was changed."
        }
        Forbidden::MountPoint => {
            "This is a mount point: another file system, or a single file, is mounted right here. Unmount it first. Nothing was changed."
        }
        Forbidden::HoldsMounts => {
            "Another file system is mounted inside this folder, and would be taken along. Unmount it first. Nothing was changed."
        }
    }
}

/// 503: the request may be tried again as it is.
fn changed_meanwhile() -> HttpResponse {
    later(Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "changed-meanwhile",
        "Changed meanwhile",
        "What is here changed again and again while the request was tried. Nothing was done, and nothing that was saved is lost. Look, and try again.",
    ))
}

/// 400 for a name that is to be made.
fn long_name() -> HttpResponse {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "long-name",
        "The name is too long",
        "A name may have 255 bytes as UTF-8, on some file systems less, and the whole path 4096. Choose a shorter one. Nothing was changed.",
    )
    .send()
}

/// 412 (RFC 9110 §15.5.13): which header failed, by which resource, what is there now, and how to go on.
fn precondition_failed(header: Header, of: &Subject, current: Option<&Current>) -> HttpResponse {
    let (found, retry) = match (header, of.is_collection, current) {
        (Header::Overwrite, true, _) => (
            "a folder is here already, and Overwrite: F keeps it",
            "Choose another name, or send Overwrite: T: the folder then goes as a whole.",
        ),
        (Header::Overwrite, false, _) => {
            ("something is here already, and Overwrite: F keeps it", "Choose another name, or send Overwrite: T.")
        }
        (Header::IfNoneMatch, true, _) => {
            ("a folder is here already", "Choose another name, or leave the condition out.")
        }
        (Header::IfNoneMatch, false, _) => (
            "something is here already, and the request asks that it is not",
            "GET it; to replace it, send If-Match with its ETag.",
        ),
        (_, true, _) => (
            "a folder is here, and folders have no tags or dates to name",
            "Leave the condition out, or name a lock token in If.",
        ),
        (Header::LockToken, false, Some(_)) => (
            "the file is not the one that was locked: somebody has changed it since",
            "GET the file, bring your change and this version together, unlock, lock anew, and send the result.",
        ),
        (_, false, Some(_)) => (
            "the file is not in the state that the request names",
            "GET the file, bring your change and this version together, and send the result with If-Match and this current_etag.",
        ),
        (Header::If, false, None) => (
            "this resource, or the lock on it, is not in the state that the request names",
            "Look what is here and which locks there are (PROPFIND), and name those.",
        ),
        (_, false, None) => (
            "Nothing is here, or nothing with a state that could be named",
            "Look what is here. To make it anew, send If-None-Match: *.",
        ),
    };
    let detail = format!("{header} does not hold: {found}. Nothing was changed.");
    let resource = if of.is_collection { of.path.to_collection_url() } else { of.path.to_url() };
    let problem = Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", "Precondition failed", detail)
        .with("failed_header", header.to_string())
        .with("resource", resource)
        .with("retry", retry)
        .describing(current);
    with_current(problem.send(), current)
}

/// 412 for a DELETE that names no version, by a client that could not store something here a moment ago.
fn refused_lately(current: Option<&Current>) -> HttpResponse {
    let detail = "Less than a minute ago a PUT, MOVE or COPY of this client to this name was refused or broke off. Some programs \
        then delete what they take for half of their own file. What is here is whole, and is not that. Nothing was deleted.";
    let retry = "To delete it all the same, send If-Match with its ETag, the current_etag, or wait a minute.";
    let problem = Problem::new(StatusCode::PRECONDITION_FAILED, "refused-lately", "An upload was refused here", detail)
        .with("retry", retry)
        .describing(current);
    with_current(problem.send(), current)
}

/// 428 (RFC 6585 §3): which header to send, and where to get its value.
///
/// The conditional headers of a COPY or MOVE are judged by its source (RFC 4918 §9.8, §9.9): its destination is named in `If`.
fn precondition_required(of: &Subject, end: End, current: Option<&Current>) -> HttpResponse {
    let (header, retry) = match (end, current) {
        (End::Target, Some(_)) => (
            "If-Match",
            "Send the request again with If-Match and the ETag of the version that it is meant to replace, move or delete.".to_owned(),
        ),
        (End::Target, None) => {
            ("If-None-Match", "Nothing is here. Send the request again with If-None-Match: *.".to_owned())
        }
        (End::Destination, _) => {
            let (url, tag) = (of.path.to_url(), current.map_or_else(|| "ETag".to_owned(), |there| there.tag.to_string()));
            let retry = format!(
                "Send the request again with If and the ETag of the file at the destination that it is meant to replace, as If: <{url}> \
                ([{tag}]), or with the token of a lock that was taken on that version. If-Match would name the version of the source."
            );
            ("If", retry)
        }
    };
    let detail = "This server changes a file only for a request that names the version it replaces.";
    let problem =
        Problem::new(StatusCode::PRECONDITION_REQUIRED, "precondition-required", "Precondition required", detail)
            .with("required_headers", json!([header]))
            .with("resource", of.path.to_url())
            .with("retry", retry)
            .describing(current);
    with_current(problem.send(), current)
}

/// Answers a request that is wrong in itself.
pub(crate) fn wrong(head: &RequestHead, wrong: &Wrong) -> HttpResponse {
    let bad = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail).send();
    let answer = match wrong {
        Wrong::Target(BadTarget::Path(PathError::LongName)) if makes_something(&head.method) => long_name(),
        Wrong::Destination(BadUrl::Path(PathError::LongName)) => long_name(),
        Wrong::Target(BadTarget::Path(PathError::Reserved | PathError::LongName)) => {
            Problem::new(StatusCode::NOT_FOUND, "not-found", "Not found", "Nothing is here.").send()
        }
        Wrong::Target(error) => bad(&format!("The target of the request is not one that is served: {error}.")),
        Wrong::Word(word, there) => with_allow(
            head,
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                format!("This method does nothing with ?{word}; Allow lists those that do. Nothing was changed."),
            ),
            *there,
        ),
        Wrong::Query(error) => bad(&format!("The query cannot be understood: {error}. Nothing was changed.")),
        Wrong::Condition(header) => {
            bad(&format!("{header} is malformed, and a condition that cannot be read never lets a change through."))
        }
        Wrong::Unwelcome(Unwelcome::NoHost) => {
            bad("A request names one host in its Host header, and this one names none, more than one, or what cannot be one.")
        }
        Wrong::Unwelcome(Unwelcome::ForeignHost) => Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "foreign-host",
            "Not a name of this server",
            "The Host header names another server. If this is a name of this one, start it with --allow-host.",
        )
        .send(),
        Wrong::Unwelcome(Unwelcome::CrossSite) => Problem::new(
            StatusCode::FORBIDDEN,
            "cross-site",
            "Sent by another site",
            "A page of another site made the browser send this. Changes are taken from pages of this server, and of those that it was \
             started to allow with --allow-origin.",
        )
        .send(),
        Wrong::Denied => dav_error(StatusCode::FORBIDDEN, &[Condition::NeedPrivileges], "This is not allowed to you."),
        Wrong::NoReport => dav_error(
            StatusCode::FORBIDDEN,
            &[Condition::SupportedReport],
            "There are no reports about files and folders.",
        ),
        Wrong::UnknownMethod => Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "unknown-method",
            "Unknown method",
            "This method is not known here.",
        )
        .send(),
        Wrong::Method(allowed) => with_allow(
            head,
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                "This method is not served here; Allow lists those that are.",
            ),
            *allowed,
        ),
        Wrong::Body => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unexpected-body",
            "Unexpected body",
            "A body came with a method that has none here, and might mean something that is not known. Nothing was changed.",
        )
        .send(),
        Wrong::PartialPut => {
            bad("Content-Range, X-Update-Range or Upload-Complete: ?0 on a PUT would store a part as the whole (RFC 9110 §14.5). Nothing was changed.")
        }
        Wrong::NoLength => Problem::new(
            StatusCode::LENGTH_REQUIRED,
            "no-length",
            "No length",
            "An upload has a Content-Length, also if it is empty, or is sent in chunks. Nothing was changed.",
        )
        .send(),
        Wrong::TwoLengths => {
            bad("Content-Length is not the length that the upload is said to have in another header. Nothing was stored.")
        }
        Wrong::CodedBody => {
            let problem = Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "coded-body",
                "Coded body",
                "The body has a Content-Encoding, which is not taken off here: it would be read or stored as something else than it is. Send it as it is. Nothing was changed.",
            );
            with_header(problem.send(), header::ACCEPT_ENCODING, "identity")
        }
        Wrong::Digest(mismatch) => {
            let problem = digest("digest-mismatched-values", "The digest does not fit", &mismatch.to_string());
            ask_for_digest(problem.with("provided_digest", mismatch.provided.clone()).send())
        }
        Wrong::InvalidDigest(invalid) => {
            ask_for_digest(digest("digest-invalid-values", "The digest cannot be one", &invalid.to_string()).send())
        }
        Wrong::Header("Depth") => bad(
            "This Depth is none that the method takes: LOCK and COPY of a folder take 0 and infinity, MOVE and DELETE of a folder infinity, PROPFIND 0, 1 and infinity. Nothing was changed.",
        ),
        Wrong::NamesACollection => Problem::new(
            StatusCode::CONFLICT,
            "names-a-folder",
            "This names a folder",
            "The path ends in a slash, which names a folder, and no folder is here. PUT makes files: leave the slash out, or make a folder with MKCOL. Nothing was stored.",
        )
        .send(),
        Wrong::Header(name) => bad(&format!("The header {name} is missing or cannot be read. Nothing was changed.")),
        Wrong::Destination(BadUrl::Path(PathError::Reserved)) => Problem::new(
            StatusCode::FORBIDDEN,
            "reserved-name",
            "A reserved name",
            "This name is the server's own. Nothing was changed.",
        )
        .send(),
        Wrong::Destination(error) => bad(&format!("The Destination leads nowhere: {error}. Nothing was changed.")),
        Wrong::ForeignDestination => Problem::new(
            StatusCode::BAD_GATEWAY,
            "foreign-destination",
            "Another server",
            "The Destination is not a URL of HTTP, and nothing is sent from here to anywhere else.",
        )
        .send(),
        Wrong::Xml(error) => xml_error(*error),
        Wrong::NotXml => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-xml",
            "Not XML",
            "The body of this method is XML, as application/xml or text/xml.",
        )
        .send(),
        Wrong::BrokenBody => {
            bad("The body ended too early, was longer than announced, or broke off. Nothing was stored.")
        }
        Wrong::SlowBody => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow-body",
            "Too slow",
            "The body came too slowly. Nothing was stored.",
        )
        .send(),
        Wrong::LargeBody => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "Too large",
            "This server takes no body as large as this. Nothing was stored.",
        )
        .send(),
        Wrong::TooManyUploads => later(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-uploads",
            "Too many uploads",
            "As many uploads as this server takes at once are under way. Nothing was stored. Try again.",
        )),
        Wrong::TooManyBodies => later(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-bodies",
            "Too many large requests",
            "As many large bodies as this server holds in memory are on their way.",
        )),
        Wrong::VersionId => {
            Problem::new(StatusCode::NOT_FOUND, "no-version", "No such version", "No version is called like this.")
                .send()
        }
        Wrong::Range(size) => {
            let problem = Problem::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range",
                "Range not satisfiable",
                "The file has no such bytes.",
            );
            let mut answer = problem.send();
            answer.headers_mut().insert(header::CONTENT_RANGE, range::unsatisfied_range(*size));
            answer
        }
        Wrong::VersionIsCollection => bad("This version is a folder; it can be restored, not sent."),
    };
    bodiless_for_head(head, answer)
}

/// Answers what the transport turned away.
pub(crate) fn rejected(head: &RequestHead, rejection: Rejection) -> HttpResponse {
    let answer = match rejection {
        Rejection::HeadersTooLarge => Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers-too-large",
            "Header fields too large",
            "The header fields are larger than this server takes.",
        ),
        Rejection::TargetTooLong => Problem::new(
            StatusCode::URI_TOO_LONG,
            "target-too-long",
            "Target too long",
            "The target is longer than this server takes.",
        ),
        Rejection::FragmentInTarget => Problem::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "Bad request",
            "The target holds a #, behind which everything would be lost. Encode it as %23.",
        ),
        Rejection::Malformed => Problem::new(StatusCode::BAD_REQUEST, "bad-request", "Bad request", NO_REQUEST),
        Rejection::SlowHead => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow-head",
            "Too slow",
            "The head of the request did not come to its end in time. Nothing was done.",
        ),
    };
    bodiless_for_head(head, answer.send())
}

/// 207 for a lock on a whole tree, in which another lock is in the way (RFC 4918 §9.10.3): which one, and that nothing was locked.
/// Why properties cannot be noted; files are another matter.
fn no_room_for_notes(bound: NotesBound) -> &'static str {
    match bound {
        NotesBound::OnOne => {
            "The properties of one file or folder may take 256 KiB together, and these would take more. Remove some of them. Nothing was changed."
        }
        NotesBound::OnAll => {
            "The properties of all files and folders together take what this server was told that they may. Remove some. Nothing was changed."
        }
        NotesBound::Disk => {
            "The disk on which the server keeps properties is full. Nothing was changed. Try again when there is room."
        }
    }
}

fn locked_inside(target: &str, root: &LockRoot) -> HttpResponse {
    let mut xml = Multistatus::new([]);
    let href = lock::href(root);
    xml.status(&[&href], StatusCode::LOCKED, Some(&Condition::NoConflictingLock(&[])), None);
    // What has members is a folder, however it was named.
    let target = SharePath::parse_url(target).map_or_else(|_| target.to_owned(), |path| path.to_collection_url());
    let nothing = Some("Another lock is in the way. Nothing was locked.");
    xml.status(&[&target], StatusCode::FAILED_DEPENDENCY, None, nothing);
    multistatus().body(xml.finish())
}

/// A refusal that WebDAV has an element for (RFC 4918 §16).
fn dav_error(status: StatusCode, conditions: &[Condition<'_>], description: &str) -> HttpResponse {
    let mut answer = HttpResponse::build(status);
    answer.content_type(write::CONTENT_TYPE).insert_header((header::CACHE_CONTROL, "no-store"));
    answer.body(write::error(conditions, Some(description)))
}

fn xml_error(error: XmlError) -> HttpResponse {
    let (status, kind, title) = match error {
        XmlError::Malformed(_) | XmlError::Unexpected(_) => (StatusCode::BAD_REQUEST, "bad-request", "Bad request"),
        XmlError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large"),
        XmlError::Unprocessable(_) => (StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "Not to be had"),
        XmlError::Doctype => {
            let detail = "A document type declaration is refused. Nothing was fetched or changed.";
            return dav_error(StatusCode::FORBIDDEN, &[Condition::NoExternalEntities], detail);
        }
    };
    Problem::new(status, kind, title, format!("{error}. Nothing was changed.")).send()
}

fn digest(kind: &'static str, title: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, kind, title, format!("{detail}. Nothing was stored."))
}

fn ask_for_digest(answer: HttpResponse) -> HttpResponse {
    with_header(answer, HeaderName::from_static("want-repr-digest"), "sha-256=10, sha-512=3")
}

/// 201 or 204 for what was stored, with the validators of exactly what was sent (RFC 9110 §9.3.4).
pub(crate) fn stored(path: &SharePath, stored: &Stored, now: Timestamp) -> HttpResponse {
    let status = if stored.created { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    let mut answer = HttpResponse::build(status);
    answer.insert_header((header::ETAG, stored.tag.to_string()));
    // The very date, or none: the client is to find what it was told when it reads.
    if stored.modified.seconds() <= now.seconds() {
        answer.insert_header((header::LAST_MODIFIED, http_date::format(stored.modified)));
    }
    if stored.created {
        answer.insert_header((header::LOCATION, path.to_url()));
    }
    if stored.is_dated_as_asked {
        answer.insert_header(("x-oc-mtime", "accepted"));
    }
    name_displaced(&mut answer, stored.displaced.as_ref());
    answer.finish()
}

/// 207, and the answer that is sent with it. It has no validator: what it tells of has many (RFC 4918 §8.8).
pub(crate) fn multistatus() -> HttpResponseBuilder {
    let mut answer = HttpResponse::build(StatusCode::MULTI_STATUS);
    answer.content_type(write::CONTENT_TYPE).insert_header((header::CACHE_CONTROL, "no-cache"));
    answer.insert_header((header::VARY, "Prefer"));
    answer
}

/// 403 for an extended MKCOL that asked for what cannot be had (RFC 5689 §3): which properties were the reason.
pub(crate) fn not_made(names: &[PropertyName], tell: impl FnOnce(&mut Response<'_>)) -> HttpResponse {
    let mut answer = HttpResponse::build(StatusCode::FORBIDDEN);
    answer.content_type(write::CONTENT_TYPE).insert_header((header::CACHE_CONTROL, "no-store"));
    answer.body(write::mkcol_response(names, tell))
}

/// 200, or 201 where an empty file was made, for a lock that was taken or granted more time.
pub(crate) fn locked(token: Option<&LockToken>, created: bool, locks: &[ToldLock]) -> HttpResponse {
    let mut answer = HttpResponse::build(if created { StatusCode::CREATED } else { StatusCode::OK });
    answer.content_type(write::CONTENT_TYPE).insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(token) = token {
        answer.insert_header(("lock-token", format!("<{token}>")));
    }
    answer.body(write::lock_answer(locks.iter().map(ToldLock::active)))
}

/// 204 for a client that wants to hear of failures alone (RFC 8144 §2.2).
pub(crate) fn done_minimally() -> HttpResponse {
    HttpResponse::build(StatusCode::NO_CONTENT).insert_header(("preference-applied", "return=minimal")).finish()
}

/// What is served on a file or a folder, for `supported-method-set`.
pub(crate) fn methods(is_collection: bool) -> &'static str {
    if is_collection { ALLOWED_ON_COLLECTIONS } else { ALLOWED_ON_FILES }
}

/// 201 for a new folder.
pub(crate) fn made(path: &SharePath) -> HttpResponse {
    HttpResponse::build(StatusCode::CREATED).insert_header((header::LOCATION, path.to_collection_url())).finish()
}

/// 201 or 204 for what was moved or copied.
pub(crate) fn relocated(to: &SharePath, is_collection: bool, relocated: &Relocated) -> HttpResponse {
    if !relocated.left_out.is_empty() {
        return left_out(&relocated.left_out);
    }
    let status = if relocated.created { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    let mut answer = HttpResponse::build(status);
    if relocated.created {
        answer.insert_header((header::LOCATION, if is_collection { to.to_collection_url() } else { to.to_url() }));
    }
    if let Some(tag) = &relocated.tag {
        answer.insert_header((header::ETAG, tag.to_string()));
    }
    if relocated.is_dated_as_asked {
        answer.insert_header(("x-oc-mtime", "accepted"));
    }
    name_displaced(&mut answer, relocated.displaced.as_ref());
    answer.finish()
}

/// 207 for a folder that was copied without some of its members (RFC 4918 §9.8.5): which, and why.
fn left_out(members: &[SharePath]) -> HttpResponse {
    let mut xml = Multistatus::new([]);
    let why = "A symbolic link leads to this folder, so it was left out. Everything else was copied.";
    for member in members {
        xml.status(&[&member.to_collection_url()], StatusCode::FORBIDDEN, None, Some(why));
    }
    multistatus().body(xml.finish())
}

/// 204: done, and nothing to say.
pub(crate) fn done() -> HttpResponse {
    HttpResponse::build(StatusCode::NO_CONTENT).finish()
}

/// 204 for what was removed.
pub(crate) fn removed(removed: &Removed) -> HttpResponse {
    let mut answer = HttpResponse::build(StatusCode::NO_CONTENT);
    name_displaced(&mut answer, removed.displaced.as_ref());
    answer.finish()
}

/// Names the version that what was there has become: it opens with `?version=` at the path that was changed, and comes back with
/// `?restore=`.
fn name_displaced(answer: &mut HttpResponseBuilder, displaced: Option<&VersionId>) {
    if let Some(id) = displaced {
        answer.insert_header((DISPLACED, id.as_str()));
    }
}

/// 200 with what is served here: old clients take no 204 for it.
pub(crate) fn options(there: Allowed, words: Option<Taken>) -> HttpResponse {
    let mut answer = HttpResponse::build(StatusCode::OK);
    answer.insert_header(("dav", CLASSES)).insert_header(("ms-author-via", "DAV"));
    answer.insert_header((header::ALLOW, &*there.methods(words))).insert_header((header::CACHE_CONTROL, "no-store"));
    answer.insert_header((header::ACCEPT_RANGES, "bytes")).finish()
}

/// 200.
pub(crate) fn found() -> HttpResponseBuilder {
    HttpResponse::build(StatusCode::OK)
}

/// 206.
pub(crate) fn partial() -> HttpResponseBuilder {
    HttpResponse::build(StatusCode::PARTIAL_CONTENT)
}

/// 304.
pub(crate) fn not_modified() -> HttpResponseBuilder {
    HttpResponse::build(StatusCode::NOT_MODIFIED)
}

/// 412 that brings the current representation along (RFC 8144 §3.2).
pub(crate) fn precondition_failed_with_current() -> HttpResponseBuilder {
    let mut answer = HttpResponse::build(StatusCode::PRECONDITION_FAILED);
    answer.insert_header(("preference-applied", "return=representation"));
    answer
}

/// 200 or 304 from the cache of small files.
pub(crate) fn hot<B>(modified: bool, body: B) -> actix_http::Response<B> {
    actix_http::Response::with_body(hot_status(modified), body)
}

/// The head of the same answers as it is on the wire, up to `Date`: 200 for so many bytes, or 304.
pub(crate) fn hot_on_the_wire<'a>(
    length: Option<usize>,
    headers: impl Iterator<Item = &'a (HeaderName, HeaderValue)>,
) -> Box<[u8]> {
    let mut head = match length {
        Some(length) => format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n").into_bytes(),
        None => b"HTTP/1.1 304 Not Modified\r\n".to_vec(),
    };
    for (name, value) in headers {
        head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head.into()
}

/// The status of an answer from the cache of small files.
pub(crate) fn hot_status(modified: bool) -> StatusCode {
    if modified { StatusCode::OK } else { StatusCode::NOT_MODIFIED }
}

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

impl Allowed {
    /// What a URL leads to; with a slash at its end it names a folder, and leads to no file.
    pub(crate) fn at(occupant: Occupant, names_a_collection: bool) -> Self {
        match occupant {
            Occupant::Collection => Self::OnCollections,
            Occupant::LinkedCollection => Self::OnLinkedCollections,
            Occupant::File => Self::on_file(names_a_collection),
            Occupant::LinkedFile if !names_a_collection => Self::OnLinkedFiles,
            Occupant::Nothing if !names_a_collection => Self::OnNothing,
            Occupant::Nothing => Self::OnNoCollection,
            Occupant::NoParent if !names_a_collection => Self::WithoutParent,
            Occupant::LinkedFile | Occupant::NoParent | Occupant::Unserved => Self::Nowhere,
        }
    }

    fn on_file(names_a_collection: bool) -> Self {
        if names_a_collection { Self::Nowhere } else { Self::OnFiles }
    }

    /// The methods that are served here and take these words of a query.
    fn methods(self, words: Option<Taken>) -> Cow<'static, str> {
        if let Some(words) = words {
            let verbs = [Verb::Options].iter().chain(words.served(self)).map(|verb| verb.listed());
            return Cow::Owned(verbs.collect::<Vec<_>>().join(", "));
        }
        Cow::Borrowed(match self {
            Self::OnFiles => ALLOWED_ON_FILES,
            Self::OnCollections => ALLOWED_ON_COLLECTIONS,
            Self::OnLinkedFiles | Self::OnLinkedCollections => ALLOWED_ON_LINKS,
            Self::OnNothing => ALLOWED_ON_NOTHING,
            Self::OnNoCollection => ALLOWED_ON_NO_COLLECTION,
            Self::WithoutParent | Self::Nowhere => ALLOWED_NOWHERE,
            Self::Somewhere => ALLOWED_SOMEWHERE,
        })
    }
}

fn with_allow(head: &RequestHead, problem: Problem, there: Allowed) -> HttpResponse {
    let words = Query::parse(head.uri.query().unwrap_or_default()).ok().and_then(|query| query.taken);
    with_header(problem.send(), header::ALLOW, &there.methods(words))
}

fn later(problem: Problem) -> HttpResponse {
    with_header(problem.send(), header::RETRY_AFTER, RETRY_AFTER)
}

fn with_current(mut answer: HttpResponse, current: Option<&Current>) -> HttpResponse {
    let Some(current) = current else { return answer };
    answer = with_header(answer, header::ETAG, &current.tag.to_string());
    with_header(answer, header::LAST_MODIFIED, &http_date::format(current.modified))
}

fn with_header(mut answer: HttpResponse, name: HeaderName, value: &str) -> HttpResponse {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// To HEAD an answer says how long it would be, and sends nothing.
fn bodiless_for_head(head: &RequestHead, answer: HttpResponse) -> HttpResponse {
    use actix_web::body::{BodySize, BoxBody, MessageBody as _};
    if head.method != Method::HEAD {
        return answer;
    }
    match answer.body().size() {
        BodySize::Sized(length) => answer.set_body(BoxBody::new(LengthOnly(length))),
        _ => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tag::EntityTag;
    use crate::share::Full;

    fn path(text: &str) -> SharePath {
        SharePath::parse_url(text).expect("a path")
    }

    fn status_of(method: &str, refusal: Refusal) -> (u16, Option<String>, bool) {
        let mut head = RequestHead::default();
        head.method = Method::from_bytes(method.as_bytes()).expect("a method");
        head.uri = "/f".parse().expect("a path");
        let answer = stop(&head, &Stop::Refusal(refusal));
        let field = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        (answer.status().as_u16(), field(header::ALLOW), field(header::RETRY_AFTER).is_some())
    }

    #[test]
    fn what_could_succeed_goes_by_what_is_there_and_by_the_slash() {
        for (occupant, plain, with_slash) in [
            (Occupant::File, Allowed::OnFiles, Allowed::Nowhere),
            (Occupant::Collection, Allowed::OnCollections, Allowed::OnCollections),
            (Occupant::LinkedFile, Allowed::OnLinkedFiles, Allowed::Nowhere),
            (Occupant::LinkedCollection, Allowed::OnLinkedCollections, Allowed::OnLinkedCollections),
            (Occupant::Nothing, Allowed::OnNothing, Allowed::OnNoCollection),
            (Occupant::NoParent, Allowed::WithoutParent, Allowed::Nowhere),
            (Occupant::Unserved, Allowed::Nowhere, Allowed::Nowhere),
        ] {
            assert_eq!(
                (Allowed::at(occupant, false), Allowed::at(occupant, true)),
                (plain, with_slash),
                "{occupant:?}"
            );
        }
    }

    #[test]
    fn every_refusal_has_its_status() {
        let of = || Subject::file(&path("/f"));
        let current =
            || Some(Current { tag: EntityTag::received(false, b"a"), modified: Timestamp::new(0, 0), size: 1 });
        let root = || LockRoot { path: path("/f"), is_collection: false };
        let on_files = Some(ALLOWED_ON_FILES.to_owned());
        let on_folders = Some(ALLOWED_ON_COLLECTIONS.to_owned());
        for (method, refusal, status, allow, may_be_tried_again) in [
            ("DELETE", Refusal::NotFound, 404, None, false),
            ("PUT", Refusal::NoParent, 409, None, false),
            ("MOVE", Refusal::NoParent, 409, None, false),
            ("PUT", Refusal::IsCollection, 405, on_folders.clone(), false),
            ("GET", Refusal::NotACollection, 405, on_files.clone(), false),
            ("POST", Refusal::NotFree, 409, None, false),
            ("MKCOL", Refusal::Exists { is_collection: true }, 405, on_folders, false),
            ("MKCOL", Refusal::Exists { is_collection: false }, 405, on_files, false),
            (
                "PUT",
                Refusal::PreconditionFailed { header: Header::IfMatch, of: of(), current: current() },
                412,
                None,
                false,
            ),
            ("PUT", Refusal::PreconditionRequired { of: of(), end: End::Target, current: current() }, 428, None, false),
            ("DELETE", Refusal::RefusedLately { of: of(), current: current() }, 412, None, false),
            ("PUT", Refusal::Locked { by: vec![root()] }, 423, None, false),
            ("LOCK", Refusal::LockConflict { with: root(), inside: false }, 423, None, false),
            ("LOCK", Refusal::LockConflict { with: root(), inside: true }, 207, None, false),
            ("LOCK", Refusal::UnknownToken, 412, None, false),
            ("UNLOCK", Refusal::ForeignToken, 409, None, false),
            ("UNLOCK", Refusal::NotYours, 403, None, false),
            ("LOCK", Refusal::TooManyLocks, 503, None, true),
            ("LOCK", Refusal::LongOwner, 413, None, false),
            ("MOVE", Refusal::OtherMount, 403, None, false),
            ("MOVE", Refusal::WithinItself, 403, None, false),
            ("PUT", Refusal::OpenForWriting, 423, None, true),
            ("PUT", Refusal::ChangedMeanwhile, 503, None, true),
            ("MOVE", Refusal::ChangedMeanwhile, 503, None, true),
            ("PUT", Refusal::FolderChanged, 409, None, false),
            ("COPY", Refusal::FolderChanged, 503, None, true),
            ("MOVE", Refusal::FolderChanged, 503, None, true),
            ("PUT", Refusal::NotAllowed(Forbidden::ReadOnly), 403, None, false),
            ("PUT", Refusal::NotAllowed(Forbidden::NotWritable), 403, None, false),
            ("DELETE", Refusal::NotAllowed(Forbidden::MountPoint), 403, None, false),
            ("DELETE", Refusal::NotAllowed(Forbidden::HoldsMounts), 403, None, false),
            ("COPY", Refusal::NotReadable { name: "a/b".to_owned() }, 403, None, false),
            ("PUT", Refusal::BadName, 400, None, false),
            ("PUT", Refusal::NameNotHeld, 400, None, false),
            ("PUT", Refusal::LongName, 400, None, false),
            ("MKCOL", Refusal::FolderFull, 507, None, false),
            ("PUT", Refusal::NoSpace(Full::Disk), 507, None, false),
            ("COPY", Refusal::NoSpace(Full::Quota), 507, None, false),
            ("PUT", Refusal::TooLarge, 413, None, false),
            ("GET", Refusal::ShareGone, 503, None, true),
            ("GET", Refusal::Overloaded, 503, None, true),
            ("COPY", Refusal::CopyOutOfTurn, 503, None, true),
        ] {
            assert_eq!(status_of(method, refusal.clone()), (status, allow, may_be_tried_again), "{method} {refusal:?}");
        }
    }
}
