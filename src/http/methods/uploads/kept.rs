//! What is kept of the request that began an upload: the header fields that its end is judged by, as they came. They are read again at every
//! contact by the same functions that read those of a PUT.

use actix_http::RequestHead;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::http::clock::now;
use crate::http::context::{RequestScope, permit, permit_elsewhere};
use crate::http::headers::dav_headers::{self, UrlTarget};
use crate::http::methods::put::{Demands, demands};
use crate::http::reply::{HandlerError, RequestError};
use crate::http::request::query::Query;
use crate::http::request::target::RequestTarget;
use crate::http::urls;
use crate::model::path::SharePath;
use crate::model::rights::Rights;
use crate::share::{Begun, Dialect};

/// What demands something of the state that is to be found. A request to an upload that carries one of these, or names a `Destination`, puts
/// what it carries in place of all that were kept.
const CONDITIONS: [&str; 6] = ["if-match", "if-none-match", "if-unmodified-since", "if", "lock-token", "overwrite"];

/// What says something of the file besides.
const DESCRIPTIONS: [&str; 3] = ["x-oc-mtime", "oc-checksum", "repr-digest"];

/// What is kept of a request that begins an upload for a path.
pub(super) fn begun(
    app: &RequestScope,
    headers: &HeaderMap,
    dialect: Dialect,
    path: &SharePath,
    make_parents: bool,
) -> Begun {
    let names = CONDITIONS.iter().chain(&DESCRIPTIONS).copied();
    let fields = names.flat_map(|name| headers.get_all(name).map(move |value| (name.into(), value.as_bytes().into())));
    let owner = app.caller.principal().clone();
    Begun { dialect, owner, path: path.clone(), make_parents, fields: fields.collect(), at: now() }
}

/// How an upload is to end, by what was kept of its beginning and by the request that goes on with it now.
pub(super) struct Ending {
    pub(super) path: SharePath,
    pub(super) make_parents: bool,
    pub(super) demands: Demands,
    /// The head of the PUT that it amounts to.
    pub(super) head: RequestHead,
}

/// How an upload is to end, as it was begun.
pub(super) fn ending_as_begun(app: &RequestScope, begun: &Begun, head: &RequestHead) -> Result<Ending, HandlerError> {
    ends(app, begun, head, None, false)
}

/// How an upload is to end, if it ends by this request: as it was begun, unless the request says otherwise.
pub(super) fn ending(app: &RequestScope, begun: &Begun, head: &RequestHead) -> Result<Ending, HandlerError> {
    let destination = destination(head)?;
    let replaces_conditions = destination.is_some() || CONDITIONS.iter().any(|name| head.headers.contains_key(*name));
    ends(app, begun, head, destination, replaces_conditions)
}

/// How an upload in chunks is to end by the MOVE that ends it: at its destination, on its conditions if it has any, else on those of the beginning.
pub(super) fn ending_by_move(
    app: &RequestScope,
    begun: &Begun,
    head: &RequestHead,
    destination: SharePath,
) -> Result<Ending, HandlerError> {
    let has_conditions = CONDITIONS.iter().any(|name| head.headers.contains_key(*name));
    let is_of_the_move = |name: &str| head.headers.contains_key(name);
    let mut begun = begun.clone();
    begun.fields.retain(|(name, _)| !is_of_the_move(name));
    for name in DESCRIPTIONS {
        let values = head.headers.get_all(name).map(|value| (name.into(), value.as_bytes().into()));
        begun.fields.extend(values);
    }
    ends(app, &begun, head, Some(destination), has_conditions)
}

fn ends(
    app: &RequestScope,
    begun: &Begun,
    head: &RequestHead,
    destination: Option<SharePath>,
    replaces_conditions: bool,
) -> Result<Ending, HandlerError> {
    let path = match destination {
        Some(path) => {
            permit_elsewhere(app, Rights::CREATE | Rights::OVERWRITE, &path)?;
            path
        }
        None => {
            permit(app, Rights::CREATE | Rights::OVERWRITE, &begun.path)?;
            begun.path.clone()
        }
    };
    let mut put = RequestHead::default();
    put.method = Method::PUT;
    put.uri = urls::of(&path).parse().map_err(|_| RequestError::Header("Destination"))?;
    put.peer_addr = head.peer_addr;
    if let Some(program) = head.headers.get(header::USER_AGENT) {
        put.headers.insert(header::USER_AGENT, program.clone());
    }
    for (name, value) in &begun.fields {
        let is_condition = CONDITIONS.contains(&&**name);
        if let (false, Ok(name), Ok(value)) =
            (is_condition && replaces_conditions, HeaderName::try_from(&**name), HeaderValue::from_bytes(value))
        {
            put.headers.append(name, value);
        }
    }
    if replaces_conditions {
        for name in CONDITIONS {
            head.headers.get_all(name).for_each(|value| {
                put.headers.append(HeaderName::from_static(name), value.clone());
            });
        }
    }
    let query = Query { make_parents: begun.make_parents, ..Query::default() };
    let asked = RequestTarget { path, has_trailing_slash: false, query };
    let demands = demands(app, &put, &asked)?;
    Ok(Ending { path: asked.path, make_parents: begun.make_parents, demands, head: put })
}

/// Where an upload is to end instead of where it was begun for.
pub(super) fn destination(head: &RequestHead) -> Result<Option<SharePath>, HandlerError> {
    if !head.headers.contains_key("destination") {
        return Ok(None);
    }
    match dav_headers::destination(&head.headers).map_err(RequestError::Destination)? {
        UrlTarget::Here { path, has_trailing_slash: false } => Ok(Some(path)),
        UrlTarget::Here { .. } => Err(RequestError::NamesACollection.into()),
        UrlTarget::Elsewhere => Err(RequestError::ForeignDestination.into()),
    }
}
