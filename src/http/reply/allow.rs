//! The methods that `Allow` lists (RFC 9110 §10.2.1): those that could succeed at the target.

use crate::http::request::method::{Allowed, DavMethod};
use crate::http::request::query::TakenWord;
use std::borrow::Cow;

pub(super) const ALLOWED_ON_FILES: &str =
    "OPTIONS, GET, HEAD, PUT, PATCH, DELETE, PROPFIND, PROPPATCH, COPY, MOVE, LOCK, UNLOCK";

pub(super) const ALLOWED_ON_COLLECTIONS: &str =
    "OPTIONS, GET, HEAD, DELETE, PROPFIND, PROPPATCH, REPORT, COPY, MOVE, LOCK, UNLOCK";

pub(super) const ALLOWED_ON_LINKED_FILES: &str = "OPTIONS, GET, HEAD, PROPFIND, COPY";

pub(super) const ALLOWED_ON_LINKED_COLLECTIONS: &str = "OPTIONS, GET, HEAD, PROPFIND, REPORT, COPY";

pub(super) const ALLOWED_ON_NOTHING: &str = "OPTIONS, PUT, MKCOL, LOCK";

pub(super) const ALLOWED_ON_NO_COLLECTION: &str = "OPTIONS, MKCOL";

pub(super) const ALLOWED_NOWHERE: &str = "OPTIONS";

pub(super) const ALLOWED_SOMEWHERE: &str =
    "OPTIONS, GET, HEAD, PUT, PATCH, DELETE, MKCOL, PROPFIND, PROPPATCH, REPORT, COPY, MOVE, LOCK, UNLOCK";

pub(super) const ALLOWED_ON_UPLOADS: &str = "OPTIONS, GET, HEAD, POST, PATCH, DELETE";

pub(super) const ALLOWED_ON_CHUNKS: &str = "OPTIONS, PUT, DELETE, MKCOL, PROPFIND, MOVE";

/// What is served on a file or a folder, for `supported-method-set`.
pub(crate) fn methods(is_collection: bool) -> &'static str {
    if is_collection { ALLOWED_ON_COLLECTIONS } else { ALLOWED_ON_FILES }
}

/// The methods that are served here and take these words of a query.
pub(super) fn allow(there: Allowed, words: Option<TakenWord>) -> Cow<'static, str> {
    if let Some(words) = words {
        let methods = [DavMethod::Options].iter().chain(words.served(there)).map(|method| method.listed());
        return Cow::Owned(methods.collect::<Vec<_>>().join(", "));
    }
    Cow::Borrowed(match there {
        Allowed::OnFiles => ALLOWED_ON_FILES,
        Allowed::OnCollections => ALLOWED_ON_COLLECTIONS,
        Allowed::OnLinkedFiles => ALLOWED_ON_LINKED_FILES,
        Allowed::OnLinkedCollections => ALLOWED_ON_LINKED_COLLECTIONS,
        Allowed::OnNothing => ALLOWED_ON_NOTHING,
        Allowed::OnNoCollection => ALLOWED_ON_NO_COLLECTION,
        Allowed::WithoutParent | Allowed::Nowhere => ALLOWED_NOWHERE,
        Allowed::Upload => ALLOWED_ON_UPLOADS,
        Allowed::Chunks => ALLOWED_ON_CHUNKS,
        Allowed::Somewhere => ALLOWED_SOMEWHERE,
    })
}
