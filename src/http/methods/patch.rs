//! Writing a part of a file: PATCH in the manner of SabreDAV, and PUT with `Content-Range` where that is turned on. What the head says is read here, and
//! the part is written when all of its bytes have come; how they come is as for any upload.

use std::sync::Arc;

use actix_http::RequestHead;
use actix_web::http::header::{self, HeaderMap};
use bytes::Bytes;
use tokio::runtime::Handle;

use crate::http::clock::now;
use crate::http::context::RequestScope;
use crate::http::headers::digest::Expected;
use crate::http::headers::field;
use crate::http::headers::update_range::{self, AskedPart, BadPart};
use crate::http::headers::upload_fields;
use crate::http::reply::{HandlerError, RequestError};
use crate::http::request::method::DavMethod;
use crate::model::path::SharePath;
use crate::model::stamp::Timestamp;
use crate::model::update_range::UpdateRange;
use crate::share::outcome::Outcome;
use crate::share::{CopyLimit, PartBytes, PartialWrite, RequestContext, Share, Stored, Upload};

/// Which part of the file a body is; `None` if it is all of it.
pub(super) fn part(app: &RequestScope, head: &RequestHead) -> Result<Option<AskedPart>, RequestError> {
    let headers = &head.headers;
    let has_range = headers.contains_key(header::CONTENT_RANGE);
    let part = match DavMethod::of(&head.method) {
        DavMethod::Patch if !is_patch(headers) => return Err(RequestError::NoPatch),
        DavMethod::Patch if has_range || is_first_of_several(headers) => return Err(RequestError::PartialPut),
        DavMethod::Patch => update_range::update_range(headers),
        _ if headers.contains_key(update_range::X_UPDATE_RANGE) || is_perhaps_a_part(headers) => {
            return Err(RequestError::PartialPut);
        }
        _ if has_range && app.settings.partial_put => update_range::content_range(headers),
        _ if has_range => return Err(RequestError::PartialPut),
        _ => return Ok(None),
    };
    part.map(Some).map_err(|bad| match bad {
        BadPart::Form => RequestError::NoPart,
        BadPart::Backwards => RequestError::PartOfOtherLength,
    })
}

/// Where a part goes, if a body of the announced length can be it, and if what is said of its digests can be compared: those of a PATCH speak of what
/// is sent (RFC 9530 §3.1), and those of a PUT of the whole, but for `Content-Digest`.
pub(super) fn place_of(
    part: AskedPart,
    head: &RequestHead,
    announced: Option<u64>,
    expected: &Expected,
) -> Result<UpdateRange, RequestError> {
    let announced = announced.ok_or(RequestError::NoLengthOfPart)?;
    if !part.fits(announced) {
        return Err(RequestError::PartOfOtherLength);
    }
    if DavMethod::of(&head.method) == DavMethod::Put && expected.speaks_of_the_whole() {
        return Err(RequestError::DigestOfWhole);
    }
    Ok(part.range)
}

/// Whether the body is a patch of the one kind that is known (RFC 5789 §2.2).
fn is_patch(headers: &HeaderMap) -> bool {
    let media_type = field::text(headers, header::CONTENT_TYPE).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(update_range::MEDIA_TYPE)
}

/// Whether more parts of the same are to come (`Upload-Complete: ?0` of the draft for resumable uploads).
fn is_first_of_several(headers: &HeaderMap) -> bool {
    headers.contains_key(upload_fields::COMPLETE) && upload_fields::complete(headers) != Some(true)
}

/// Whether it cannot be read if it is the first of several.
fn is_perhaps_a_part(headers: &HeaderMap) -> bool {
    headers.contains_key(upload_fields::COMPLETE) && upload_fields::complete(headers).is_none()
}

/// A part that has come whole, and where it goes.
pub(super) struct Part {
    pub(super) path: SharePath,
    pub(super) context: RequestContext,
    pub(super) range: UpdateRange,
    pub(super) dated: Option<Timestamp>,
    pub(super) bytes: CameAs,
}

/// How its bytes have come.
pub(super) enum CameAs {
    Bytes(Bytes),
    Upload(Box<Upload>),
}

impl Part {
    fn write(&self, share: &Share, size_max: Option<u64>, limit: CopyLimit<'_>) -> Outcome<Stored> {
        let bytes = match &self.bytes {
            CameAs::Bytes(bytes) => PartBytes::InMemory(bytes),
            CameAs::Upload(upload) => PartBytes::Uploaded(upload),
        };
        let write = PartialWrite { range: self.range, bytes, dated: self.dated, size_max };
        share.patch(&self.path, &write, &self.context.clone().at(now()), limit)
    }
}

/// Writes a part into its file, in turn with others of the same file, and with long copies. What is refused waits for nobody.
pub(super) async fn write(app: &RequestScope, part: Part) -> Result<Stored, HandlerError> {
    let part = LetGo(Some(Arc::new(part)));
    let Part { path, context, range, .. } = part.part();
    app.hashings.have_hashed(path, None, context).await?;
    let turn = match app.patches.turn_now(path) {
        Some(turn) => turn,
        None => {
            let (path, context, range) = (path.clone(), context.clone(), *range);
            app.ask(move |share| share.may_patch(&path, range, None, &context.at(now()))).await?;
            app.patches.turn(&part.part().path).await?
        }
    };
    let (again, size_max) = (part.clone(), app.settings.upload_bytes_max);
    let written = app.copies.ask(app.origin.address, move |share, limit| again.part().write(share, size_max, limit));
    let written = written.await?;
    drop(turn);
    Ok(written)
}

/// Lets go of a part on the blocking pool: the file that it has come as may be large.
#[derive(Clone)]
struct LetGo(Option<Arc<Part>>);

impl LetGo {
    fn part(&self) -> &Part {
        self.0.as_ref().expect("it is taken by the end alone")
    }
}

impl Drop for LetGo {
    fn drop(&mut self) {
        let part = self.0.take();
        // Where there is no runtime any more the server is ending, and it is dropped here.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn_blocking(move || drop(part));
        }
    }
}
