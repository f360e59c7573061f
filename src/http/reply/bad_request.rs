//! What a request itself gets wrong, whatever is on the disk.

use crate::access::Denied;
use crate::http::headers::dav_headers::BadUrl;
use crate::http::headers::upload_fields::OFFSET;
use crate::http::headers::{range, update_range};
use crate::http::reply::RequestError;
use crate::http::reply::dav::{dav_error, no_sync_token, not_permitted};
use crate::http::reply::problem::{Problem, bodiless_for_head, later, long_name, with_allow, with_header};
use crate::http::reply::refusal::stop;
use crate::http::reply::sign_in::not_proven;
use crate::http::reply::success::ACCEPT_PATCH;
use crate::http::reply::uploads::checksum_mismatch;
use crate::http::request::site_check::SiteRefusal;
use crate::http::request::target::BadTarget;
use crate::http::wire::rejection::Rejection;
use crate::http::xml::XmlError;
use crate::http::xml::write::Condition;
use crate::model::path::PathError;
use crate::share::LostPlace;
use crate::share::outcome::Refusal;
use actix_http::RequestHead;
use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderName};
use actix_web::http::{Method, StatusCode};

/// Of what cannot be read: the usual reasons, for what is wrong with it is not known any more.
pub(super) const NO_REQUEST: &str = "This is no request of HTTP/1.1. In the target everything but ASCII is percent-encoded, and blanks and control \
    characters are; there is exactly one Host, and one framing of the body: one Content-Length, or Transfer-Encoding: chunked.";

/// Whether this makes something at its target.
pub(super) fn makes_something(method: &Method) -> bool {
    matches!(method.as_str(), "PUT" | "MKCOL" | "LOCK")
}

/// Answers a request that is wrong in itself.
pub(crate) fn wrong(head: &RequestHead, wrong: &RequestError) -> HttpResponse {
    let bad = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail).send();
    let answer = match wrong {
        RequestError::Target(BadTarget::Path(PathError::LongName)) if makes_something(&head.method) => long_name(),
        RequestError::Destination(BadUrl::Path(PathError::LongName)) => long_name(),
        RequestError::Target(BadTarget::OutsideBase) => Problem::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Not found",
            "Nothing is served here: what is shared is below another path of this server.",
        )
        .send(),
        RequestError::Target(BadTarget::Path(PathError::Reserved | PathError::LongName)) => {
            Problem::new(StatusCode::NOT_FOUND, "not-found", "Not found", "Nothing is here.").send()
        }
        RequestError::Target(BadTarget::Query(error)) => bad(&format!("The query cannot be understood: {error}. Nothing was changed.")),
        RequestError::Target(error) => bad(&format!("The target of the request is not one that is served: {error}.")),
        RequestError::Word(word, there) => with_allow(
            head,
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                format!("This method does nothing with ?{word}; Allow lists those that do. Nothing was changed."),
            ),
            *there,
        ),
        RequestError::Condition(header) => {
            bad(&format!("{header} is malformed, and a condition that cannot be read never lets a change through."))
        }
        RequestError::Site(SiteRefusal::NoHost) => {
            bad("A request names one host in its Host header, and this one names none, more than one, or what cannot be one.")
        }
        RequestError::Site(SiteRefusal::ForeignHost) => Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "foreign-host",
            "Not a name of this server",
            "The Host header names another server. If this is a name of this one, start it with --allow-host.",
        )
        .send(),
        RequestError::Site(SiteRefusal::CrossSite) => Problem::new(
            StatusCode::FORBIDDEN,
            "cross-site",
            "Sent by another site",
            "A page of another site made the browser send this. Changes are taken from pages of this server, and of those that it was \
             started to allow with --allow-origin; and nothing is shown in frames of other pages.",
        )
        .send(),
        RequestError::Form => bad("A name and a password are wanted: as a form, or as JSON with these two texts."),
        RequestError::LinkForm(why) => {
            bad(&format!("A link is asked for by JSON, like {{\"may\": \"read\", \"expires\": \"7d\"}}: {why}. Nothing was changed."))
        }
        RequestError::NotLinkable => Problem::new(
            StatusCode::CONFLICT,
            "not-linkable",
            "No link can lead here",
            "No link can lead here: this is a symbolic link, or a name that some file system takes for none. Nothing was changed.",
        )
        .send(),
        RequestError::DropOnFile => Problem::new(
            StatusCode::CONFLICT,
            "no-folder",
            "Not a folder",
            "A link that files are dropped by leads to a folder, and none is here. Nothing was changed.",
        )
        .send(),
        RequestError::Denied(Denied::NotThere) => stop(head, &Refusal::NotFound.into()),
        RequestError::Denied(Denied::NotPermitted | Denied::SignIn) => not_permitted(),
        RequestError::Unproven(unproven) => not_proven(*unproven),
        RequestError::NoReport => dav_error(
            StatusCode::FORBIDDEN,
            &[Condition::SupportedReport],
            "There is no such report here. Of folders there is sync-collection (RFC 6578).",
        ),
        RequestError::UnknownMethod => Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "unknown-method",
            "Unknown method",
            "This method is not known here.",
        )
        .send(),
        RequestError::Method(allowed) => with_allow(
            head,
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                "This method is not served here; Allow lists those that are.",
            ),
            *allowed,
        ),
        RequestError::Body => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unexpected-body",
            "Unexpected body",
            "A body came with a method that has none here, and might mean something that is not known. Nothing was changed.",
        )
        .send(),
        RequestError::PartialPut => {
            bad("This would store a part as the whole (RFC 9110 §14.5). A part of a file is sent by PATCH with X-Update-Range, or, where the server was started with --partial-put, by PUT with Content-Range. Nothing was changed.")
        }
        RequestError::NoLength => Problem::new(
            StatusCode::LENGTH_REQUIRED,
            "no-length",
            "No length",
            "An upload has a Content-Length, also if it is empty, or is sent in chunks. Nothing was changed.",
        )
        .send(),
        RequestError::NoLengthOfPart => Problem::new(
            StatusCode::LENGTH_REQUIRED,
            "no-length",
            "No length",
            "A part of a file has a Content-Length: without it nobody can tell whether all of it has come. Nothing was changed.",
        )
        .send(),
        RequestError::NoPart => {
            bad("Where the bytes go cannot be read. It is told once: X-Update-Range with PATCH, as append, bytes=FIRST-LAST, bytes=FIRST- or bytes=-COUNT; Content-Range with PUT, as bytes FIRST-LAST/SIZE. Nothing was changed.")
        }
        RequestError::PartOfOtherLength => Problem::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "range",
            "Range not satisfiable",
            "The range ends before it begins, or the body is not as long as it. Nothing was changed.",
        )
        .send(),
        RequestError::NoPatch => {
            let detail = "A PATCH is bytes that are written into a file, as application/x-sabredav-partialupdate. Nothing was changed.";
            let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "no-patch", "Not a patch", detail);
            with_header(problem.send(), ACCEPT_PATCH, update_range::MEDIA_TYPE)
        }
        RequestError::DigestOfWhole => {
            bad("Repr-Digest and OC-Checksum of a part that is PUT speak of the whole file, which is not compared. Content-Digest speaks of the part. Nothing was changed.")
        }
        RequestError::TwoLengths => {
            bad("Content-Length is not the length that the upload is said to have in another header. Nothing was stored.")
        }
        RequestError::CodedBody => {
            let problem = Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "coded-body",
                "Coded body",
                "The body has a Content-Encoding, which is not taken off here: it would be read or stored as something else than it is. Send it as it is. Nothing was changed.",
            );
            with_header(problem.send(), header::ACCEPT_ENCODING, "identity")
        }
        RequestError::Digest(mismatch) => {
            let problem = digest("digest-mismatched-values", "The digest does not fit", &mismatch.to_string());
            ask_for_digest(problem.with("provided_digest", mismatch.provided.clone()).send())
        }
        RequestError::InvalidDigest(invalid) => {
            ask_for_digest(digest("digest-invalid-values", "The digest cannot be one", &invalid.to_string()).send())
        }
        RequestError::Header("Depth") => bad(
            "This Depth is none that the method takes: LOCK and COPY of a folder take 0 and infinity, MOVE and DELETE of a folder infinity, PROPFIND 0, 1 and infinity, REPORT 0 (how far down it reaches its sync-level says). Nothing was changed.",
        ),
        RequestError::NamesACollection => Problem::new(
            StatusCode::CONFLICT,
            "names-a-folder",
            "This names a folder",
            "The path ends in a slash, which names a folder, and no folder is here. PUT makes files: leave the slash out, or make a folder with MKCOL. Nothing was stored.",
        )
        .send(),
        RequestError::Header(name) => bad(&format!("The header {name} is missing or cannot be read. Nothing was changed.")),
        RequestError::Destination(BadUrl::Path(PathError::Reserved)) => Problem::new(
            StatusCode::FORBIDDEN,
            "reserved-name",
            "A reserved name",
            "This name is the server's own. Nothing was changed.",
        )
        .send(),
        RequestError::Destination(error) => bad(&format!("The Destination leads nowhere: {error}. Nothing was changed.")),
        RequestError::ForeignDestination => Problem::new(
            StatusCode::BAD_GATEWAY,
            "foreign-destination",
            "Another server",
            "The Destination is not a URL of HTTP, and nothing is sent from here to anywhere else.",
        )
        .send(),
        RequestError::Xml(error) => xml_error(*error),
        RequestError::NotXml => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-xml",
            "Not XML",
            "The body of this method is XML, as application/xml or text/xml.",
        )
        .send(),
        RequestError::BrokenBody => {
            bad("The body ended too early, was longer than announced, or broke off. Nothing was stored.")
        }
        RequestError::SlowBody => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow-body",
            "Too slow",
            "The body came too slowly. Nothing was stored.",
        )
        .send(),
        RequestError::LargeBody => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "Too large",
            "This server takes no body as large as this. Nothing was stored.",
        )
        .send(),
        RequestError::TooManyUploads => later(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-uploads",
            "Too many uploads",
            "As many uploads as this server takes at once are under way. Nothing was stored. Try again.",
        )),
        RequestError::TakenOver => Problem::new(
            StatusCode::CONFLICT,
            "taken-over",
            "Another request goes on with this upload",
            "Another request asked for this upload meanwhile, and the newer one has it: it is sent over one connection at a time. What had come counts.",
        )
        .send(),
        RequestError::UploadOffset { expected, provided } => {
            let problem = Problem::new(
                StatusCode::CONFLICT,
                "mismatching-upload-offset",
                "Another offset",
                "The upload goes on where Upload-Offset says. Nothing was written.",
            );
            let problem = problem.with("expected-offset", *expected).with("provided-offset", *provided);
            with_header(problem.send(), OFFSET, &expected.to_string())
        }
        RequestError::NoChunkName => stop(head, &Refusal::NoChunk.into()),
        RequestError::TusChecksum => Problem::new(
            checksum_mismatch(),
            "checksum-mismatch",
            "The checksum does not fit",
            "The bytes that came do not have the checksum that Upload-Checksum names. Nothing of them was kept.",
        )
        .send(),
        RequestError::NoPartOfAnUpload(media_type) => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "no-part-of-an-upload",
            "Not a part of an upload",
            format!("What goes on with this upload comes as {media_type}, without a Content-Encoding. Nothing was written."),
        )
        .send(),
        RequestError::TooManyBodies => later(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-bodies",
            "Too many large requests",
            "As many large bodies as this server holds in memory are on their way.",
        )),
        RequestError::VersionId => {
            Problem::new(StatusCode::NOT_FOUND, "no-version", "No such version", "No version is called like this.")
                .send()
        }
        RequestError::Range(size) => {
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
        RequestError::LostPlace(LostPlace::Unreadable) | RequestError::NoSyncToken(LostPlace::Unreadable) => later(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "changes-unreadable",
            "Not to be read now",
            "What has happened cannot be read now. Try again.",
        )),
        RequestError::NoSyncToken(lost) => no_sync_token(*lost),
        RequestError::LostPlace(lost) => Problem::new(
            StatusCode::CONFLICT,
            "lost-place",
            "Look again",
            format!("The cursor leads nowhere: {lost}. Ask without since= for a new one, then list the folder again, and go on from there."),
        )
        .send(),
        RequestError::VersionIsCollection => bad("This version is a folder; it can be restored, not sent."),
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
        Rejection::WithoutTls(here) => Problem::new(
            StatusCode::BAD_REQUEST,
            "without-tls",
            "This port speaks HTTPS",
            format!("This is a request of HTTP, and this port speaks HTTPS: https://{here}/. Nothing was done."),
        ),
    };
    bodiless_for_head(head, answer.send())
}

pub(super) fn xml_error(error: XmlError) -> HttpResponse {
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

pub(super) fn digest(kind: &'static str, title: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, kind, title, format!("{detail}. Nothing was stored."))
}

pub(super) fn ask_for_digest(answer: HttpResponse) -> HttpResponse {
    with_header(answer, HeaderName::from_static("want-repr-digest"), "sha-256=10, sha-512=3")
}
