//! What the share refused, or could not do. The matches have no arm for the rest, so a new refusal does not compile until somebody decides
//! its status.

use crate::http::headers::range;
use crate::http::reply::dav::{dav_error, locked_inside, not_permitted};
use crate::http::reply::problem::{Problem, bodiless_for_head, later, long_name, with_allow, with_current};
use crate::http::request::method::Allowed;
use crate::http::request::service_url::without_secrets;
use crate::http::urls;
use crate::http::xml::write::Condition;
use crate::log::escaped;
use crate::model::path::SharePath;
use crate::model::precondition::Header;
use crate::share::Cause;
use crate::share::outcome::{Current, End, Forbidden, NotesBound, Refusal, Stop, Subject};
use actix_http::RequestHead;
use actix_web::HttpResponse;
use actix_web::http::{Method, StatusCode, header};
use serde_json::json;

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
            tracing::error!("{} {}: {fault}", head.method, escaped(without_secrets(head.uri.path())));
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

/// Whether only clients of WebDAV send this.
pub(super) fn is_of_webdav(method: &Method) -> bool {
    matches!(method.as_str(), "PROPPATCH" | "MKCOL" | "COPY" | "MOVE" | "LOCK")
}

pub(super) fn refuse(head: &RequestHead, refusal: &Refusal) -> HttpResponse {
    let method = &head.method;
    let plain = |status, kind, title, detail: &str| Problem::new(status, kind, title, detail);
    let relocates = matches!(method.as_str(), "COPY" | "MOVE");
    let has_trailing_slash = SharePath::url_names_a_collection(head.uri.path());
    match refusal {
        Refusal::NotFound | Refusal::NotSeen => plain(StatusCode::NOT_FOUND, "not-found", "Not found", "Nothing is here.").send(),
        Refusal::NoUpload => plain(
            StatusCode::NOT_FOUND,
            "no-upload",
            "No such upload",
            "There is no half-done upload of that name, or it is not yours. Begin again.",
        )
        .send(),
        Refusal::UploadOver => plain(
            StatusCode::GONE,
            "upload-over",
            "The upload is over",
            "This upload was cancelled, was not gone on with in time, or its bytes are lost. Begin again.",
        )
        .send(),
        Refusal::UploadComplete => plain(
            StatusCode::BAD_REQUEST,
            "completed-upload",
            "The upload is complete",
            "This upload has become a file, and takes no more. Nothing was changed.",
        )
        .send(),
        Refusal::InconsistentLength => plain(
            StatusCode::BAD_REQUEST,
            "inconsistent-upload-length",
            "Another length",
            "The upload was said to have another length, or more came than that. What was acknowledged before is as it was.",
        )
        .send(),
        Refusal::UploadExists => with_allow(
            head,
            plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "upload-exists",
                "The upload is there already",
                "An upload of this name is half done. Go on with it, or cancel it first. Nothing was changed.",
            ),
            Allowed::Chunks,
        ),
        Refusal::UploadIsEnding => later(plain(
            StatusCode::LOCKED,
            "upload-is-ending",
            "The upload is being put together",
            "The file is being made of the chunks of this upload, and none comes or goes meanwhile. Nothing was changed.",
        )),
        Refusal::MissingChunks(missing) => plain(
            StatusCode::CONFLICT,
            "missing-chunks",
            "Chunks are missing",
            "Not all of the file has come; \"missing\" names the first chunks that are not there. Send them, and then this again. The upload is as it was.",
        )
        .with("missing", missing.iter().map(|name| &**name).collect::<Vec<_>>())
        .send(),
        Refusal::NoChunk => plain(
            StatusCode::BAD_REQUEST,
            "no-chunk",
            "Not a chunk of this upload",
            "A chunk is called by a number, like 00001, or by its first and last byte, like 000000000000000-000000005242879, and is as long as \
             that says; all chunks of an upload are called in the same way. The upload is as it was.",
        )
        .send(),
        Refusal::TooManyChunks => plain(
            StatusCode::FORBIDDEN,
            "too-many-chunks",
            "Too many chunks",
            "An upload has 10,000 chunks at most. Send larger ones. The upload is as it was.",
        )
        .send(),
        Refusal::TooManyUploads => later(plain(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-half-done",
            "Too many half-done uploads",
            "As many uploads are half done as this server keeps. Finish or cancel one of yours, or send the file in one request. Nothing was stored.",
        )),
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
            Allowed::on_file(has_trailing_slash),
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
            Allowed::on_file(has_trailing_slash),
        ),
        Refusal::NotFree => plain(
            StatusCode::CONFLICT,
            "not-free",
            "Something is here already",
            "A folder comes back from the history only where nothing is, and a file only where nothing or a file is. Move or delete what is here, and restore again.",
        )
        .send(),
        Refusal::Locked { by } => {
            let roots: Vec<_> = by.iter().map(urls::of_lock_root).collect();
            let roots: Vec<_> = roots.iter().map(String::as_str).collect();
            dav_error(
                StatusCode::LOCKED,
                &[Condition::LockTokenSubmitted(&roots)],
                "This is locked, and the request does not name the lock. Nothing was changed.",
            )
        }
        Refusal::LockConflict { with, .. } => {
            let root = urls::of_lock_root(with);
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
        Refusal::RefusedLately { of, current } => refused_lately(of, current.as_ref()),
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
        Refusal::NotPermitted => not_permitted(),
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
            "The file system, or this server, holds no file as large as this. Nothing was stored.",
        )
        .send(),
        Refusal::NoSuchRange { size } => {
            let detail = "The file is shorter than that: so far before its end it has no byte. Nothing was changed.";
            let problem = plain(StatusCode::RANGE_NOT_SATISFIABLE, "range", "Range not satisfiable", detail);
            let mut answer = problem.send();
            answer.headers_mut().insert(header::CONTENT_RANGE, range::unsatisfied_range(*size));
            answer
        }
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

pub(super) fn forbidden(why: Forbidden) -> &'static str {
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
pub(super) fn changed_meanwhile() -> HttpResponse {
    later(Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "changed-meanwhile",
        "Changed meanwhile",
        "What is here changed again and again while the request was tried. Nothing was done, and nothing that was saved is lost. Look, and try again.",
    ))
}

/// 412 (RFC 9110 §15.5.13): which header failed, by which resource, what is there now, and how to go on.
pub(super) fn precondition_failed(header: Header, of: &Subject, current: Option<&Current>) -> HttpResponse {
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
    let resource = if of.is_collection { urls::of_folder(&of.path) } else { urls::of(&of.path) };
    let problem = Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", "Precondition failed", detail)
        .with("failed_header", header.to_string())
        .with("resource", resource)
        .with("retry", retry)
        .describing(current)
        .stored_by(of.stored_by.as_ref());
    with_current(problem.send(), current)
}

/// 412 for a DELETE that names no version, by a client that could not store something here a moment ago.
pub(super) fn refused_lately(of: &Subject, current: Option<&Current>) -> HttpResponse {
    let detail = "Less than a minute ago a PUT, MOVE or COPY of this client to this name was refused or broke off. Some programs \
        then delete what they take for half of their own file. What is here is whole, and is not that. Nothing was deleted.";
    let retry = "To delete it all the same, send If-Match with its ETag, the current_etag, or wait a minute.";
    let problem = Problem::new(StatusCode::PRECONDITION_FAILED, "refused-lately", "An upload was refused here", detail)
        .with("retry", retry)
        .describing(current)
        .stored_by(of.stored_by.as_ref());
    with_current(problem.send(), current)
}

/// 428 (RFC 6585 §3): which header to send, and where to get its value.
///
/// The conditional headers of a COPY or MOVE are judged by its source (RFC 4918 §9.8, §9.9): its destination is named in `If`.
pub(super) fn precondition_required(of: &Subject, end: End, current: Option<&Current>) -> HttpResponse {
    let (header, retry) = match (end, current) {
        (End::Target, Some(_)) => (
            "If-Match",
            "Send the request again with If-Match and the ETag of the version that it is meant to replace, move or delete.".to_owned(),
        ),
        (End::Target, None) => {
            ("If-None-Match", "Nothing is here. Send the request again with If-None-Match: *.".to_owned())
        }
        (End::Destination, _) => {
            let (url, tag) = (urls::of(&of.path), current.map_or_else(|| "ETag".to_owned(), |there| there.tag.to_string()));
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
            .with("resource", urls::of(&of.path))
            .with("retry", retry)
            .describing(current);
    with_current(problem.send(), current)
}

/// 207 for a lock on a whole tree, in which another lock is in the way (RFC 4918 §9.10.3): which one, and that nothing was locked.
/// Why properties cannot be noted; files are another matter.
pub(super) fn no_room_for_notes(bound: NotesBound) -> &'static str {
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
