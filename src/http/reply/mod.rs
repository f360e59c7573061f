//! What the outcomes are on the wire: the only room with status codes.
//!
//! A refusal explains itself in a problem document (RFC 9457); a fault says nothing of the disk.

mod allow;
mod bad_request;
mod dav;
mod described_author;
mod error;
mod from_memory;
mod links;
mod log_word;
mod problem;
mod refusal;
mod sign_in;
mod success;
mod uploads;

pub(crate) use allow::methods;
pub(crate) use bad_request::{rejected, wrong};
pub(crate) use dav::{CUT_SHORT, NOT_ENTERED, done_minimally, locked, multistatus, not_made, of_property};
pub(crate) use described_author::DescribedAuthor;
pub(crate) use error::{HandlerError, RequestError};
pub(crate) use from_memory::{hot_head, hot_status, on_the_wire};
pub(crate) use links::{links_of, made_link, no_link, revoked};
pub(crate) use log_word::outcome_word;
pub(crate) use refusal::stop;
pub(crate) use sign_in::{
    Challenge, SESSION_SCHEME, invitation_over, link_over, link_page, not_signed_in, opened, sign_in_first,
    sign_in_page, signed_in, signed_out,
};
pub(crate) use success::{
    DISPLACED, done, found, made, not_modified, options, partial, precondition_failed_with_current, relocated, removed,
    stored,
};

pub(crate) use uploads::{
    by_tus, chunk_stored, chunked_upload_made, chunks_of, half_done, limits_of_upload, located, options_of_tus,
    options_of_uploads, other_tus_version, resumption_supported, takes_uploads, too_large, tus_begun, tus_goes_on,
    tus_state, tus_told, upload_begun, upload_goes_on, upload_progress, upload_state, upload_stored, with_state,
};

#[cfg(test)]
mod tests {
    use actix_http::RequestHead;
    use actix_web::http::{Method, header};

    use super::allow::{ALLOWED_ON_COLLECTIONS, ALLOWED_ON_FILES};
    use super::*;
    use crate::http::request::method::Allowed;
    use crate::model::path::SharePath;
    use crate::model::precondition::Header;
    use crate::model::stamp::Timestamp;
    use crate::model::tag::EntityTag;
    use crate::share::Full;
    use crate::share::Occupant;
    use crate::share::outcome::{Current, End, Forbidden, LockRoot, Refusal, Stop, Subject};

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
            ("DELETE", Refusal::NotSeen, 404, None, false),
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
            ("PUT", Refusal::NotPermitted, 403, None, false),
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
            ("PATCH", Refusal::NoSuchRange { size: 1 }, 416, None, false),
            ("GET", Refusal::ShareGone, 503, None, true),
            ("GET", Refusal::Overloaded, 503, None, true),
            ("COPY", Refusal::CopyOutOfTurn, 503, None, true),
        ] {
            assert_eq!(status_of(method, refusal.clone()), (status, allow, may_be_tried_again), "{method} {refusal:?}");
        }
    }
}
