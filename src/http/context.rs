//! What the functions for all methods share, and what they ask of a request first.

use crate::access::{Access, Caller, Denied};
use crate::http::ask::ask;
use crate::http::clock::now;
use crate::http::event_steps::EventSteps;
use crate::http::headers::field;
use crate::http::limits::copies::Copies;
use crate::http::limits::event_streams::EventStreams;
use crate::http::limits::hashing::Hashings;
use crate::http::limits::patches::Patches;
use crate::http::reply::{HandlerError, RequestError};
use crate::http::request::forwarded::Origin;
use crate::http::request::method::{Allowed, DavMethod};
use crate::http::request::query::{BadQuery, Query};
use crate::http::request::target::RequestTarget;
use crate::http::request::{conditions, query};
use crate::http::settings::HttpSettings;
use crate::http::small_files::HotCache;
use crate::model::path::SharePath;
use crate::model::precondition::Precondition;
use crate::model::principal::Client;
use crate::model::rights::Rights;
use crate::share::outcome::{Outcome, Refusal, Stop};
use crate::share::{RequestContext, Share};
use std::ops::Deref;
use std::sync::Arc;

use actix_http::RequestHead;
use actix_web::http::header;
use tokio::sync::Semaphore;

/// What all workers share.
#[derive(Debug)]
pub struct AppState {
    pub(crate) share: Arc<Share>,
    pub(crate) access: Access,
    pub(crate) settings: Arc<HttpSettings>,
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) hot: Arc<HotCache>,
    pub(crate) hashings: Arc<Hashings>,
    pub(crate) copies: Arc<Copies>,
    pub(crate) events: Arc<EventStreams>,
    pub(crate) event_steps: EventSteps,
    pub(crate) patches: Patches,
}

impl AppState {
    /// What is needed to serve a share.
    pub fn new(share: Arc<Share>, access: Access, settings: HttpSettings) -> Self {
        let hot = Arc::new(HotCache::new(settings.cache_bytes));
        let uploads = Arc::new(Semaphore::new(settings.uploads_max));
        let hashings = Arc::new(Hashings::new(Arc::clone(&share), settings.hashing_max));
        let copies = Arc::new(Copies::new(Arc::clone(&share), settings.copies_max));
        let events = EventStreams::new(&share, settings.event_streams_max);
        let settings = Arc::new(settings);
        let (event_steps, patches) = (EventSteps::default(), Patches::default());
        Self { share, access, settings, uploads, hot, hashings, copies, events, event_steps, patches }
    }

    /// Ends what would go on for ever.
    pub fn stop_streams(&self) {
        self.events.stop();
    }

    /// Asks the share on the blocking pool. Once begun it runs to its end, whether or not the client is still there.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Share) -> Outcome<T> + Send + 'static,
    ) -> Result<T, HandlerError> {
        Ok(ask(&self.share, question).await?)
    }
}

/// What the methods have at hand for one request: what all share, and who asks.
#[derive(Clone, Debug)]
pub(crate) struct RequestScope {
    app: Arc<AppState>,
    pub(crate) caller: Arc<Caller>,
    /// From where it comes.
    pub(crate) origin: Origin,
}

impl RequestScope {
    /// For a request of this caller, from there.
    pub(crate) fn new(app: &Arc<AppState>, caller: Arc<Caller>, origin: Origin) -> Self {
        Self { app: Arc::clone(app), caller, origin }
    }
}

impl Deref for RequestScope {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.app
    }
}

/// The path, with the permission to use it, and a query that means something to the method.
pub(crate) async fn parse(app: &RequestScope, head: &RequestHead) -> Result<RequestTarget, HandlerError> {
    let (asked, method) = (RequestTarget::parse(head)?, DavMethod::of(&head.method));
    permit(app, rights_for(method, &asked.query), &asked.path)?;
    if !method.is_safe()
        && method != DavMethod::Unknown
        && let Some(word) = head.uri.query().and_then(query::misspelt)
    {
        return Err(RequestError::Target(BadQuery::Misspelt(word).into()).into());
    }
    match asked.query.means_nothing_to(method) {
        Some(word) => Err(RequestError::Word(word, allowed(app, &asked).await).into()),
        None => Ok(asked),
    }
}

/// The rights of which a method takes one at its target, whatever is there; for what it takes besides, the share is told what may be done. A COPY
/// takes its rights at the destination by itself.
fn rights_for(method: DavMethod, query: &Query) -> Rights {
    // Of a link it is asked by what it is to give.
    if query.sign_in || query.sign_out || query.links || query.revoke.is_some() {
        return Rights::empty();
    }
    if query.versions || query.deleted || query.version.is_some() || query.restore.is_some() {
        return Rights::HISTORY;
    }
    if query.changes || query.events {
        return Rights::LIST;
    }
    match method {
        DavMethod::Get => Rights::LOOK,
        DavMethod::Propfind | DavMethod::Report => Rights::LIST,
        DavMethod::Copy => Rights::READ,
        DavMethod::Put | DavMethod::Lock | DavMethod::Unlock => Rights::CREATE | Rights::OVERWRITE,
        DavMethod::MakeCollection => Rights::CREATE,
        DavMethod::Proppatch | DavMethod::Patch => Rights::OVERWRITE,
        DavMethod::Delete | DavMethod::Move => Rights::DELETE,
        DavMethod::Options | DavMethod::Post | DavMethod::Connect | DavMethod::Unserved | DavMethod::Unknown => {
            Rights::empty()
        }
    }
}

/// As [`permit`], for a place that is not the target: that it is refused tells nothing of what is there.
pub(crate) fn permit_elsewhere(app: &RequestScope, one_of: Rights, path: &SharePath) -> Result<(), HandlerError> {
    let denied = |denied| if denied == Denied::NotThere { Denied::NotPermitted } else { denied };
    app.caller.authorize(one_of, path).map_err(|why| RequestError::Denied(denied(why)).into())
}

/// Refuses a caller who has none of these rights at a path. Every way in asks it, for each place that a request names.
pub(crate) fn permit(app: &RequestScope, one_of: Rights, path: &SharePath) -> Result<(), HandlerError> {
    app.caller.authorize(one_of, path).map_err(|denied| RequestError::Denied(denied).into())
}

/// The conditional headers of a request that changes nothing.
pub(crate) fn conditions(head: &RequestHead) -> Result<Precondition, HandlerError> {
    conditions::conditional_headers(&head.headers).map_err(|malformed| RequestError::Condition(malformed.0).into())
}

/// Who makes a request, and what it demands of the state that it is to find. Every place that it names has to be permitted.
pub(crate) fn request_context(
    app: &RequestScope,
    head: &RequestHead,
    asked: &RequestTarget,
) -> Result<RequestContext, HandlerError> {
    let (precondition, tokens) =
        conditions::precondition(head, asked).map_err(|malformed| RequestError::Condition(malformed.0))?;
    let client = client(app, head);
    if let Some(states) = precondition.states() {
        let paths = states.lists.paths(&states.asked);
        // For the target the method says what it takes.
        paths
            .into_iter()
            .filter(|path| **path != asked.path)
            .try_for_each(|path| permit_elsewhere(app, Rights::LOOK, path))?;
    }
    // Without users everybody is nobody, and that is not worth a note.
    let by = app.access.has_users().then(|| Arc::clone(app.caller.author()));
    let permissions = app.caller.permissions().clone();
    Ok(RequestContext { client, by, permissions, tokens, precondition, now: now() })
}

/// Whether a folder is there where the request went, and not a file.
pub(crate) async fn is_collection(app: &RequestScope, asked: &RequestTarget) -> Result<bool, HandlerError> {
    let (path, reader) = (asked.path.clone(), reader(app));
    app.ask(move |share| share.is_collection(&path, &reader)).await
}

/// Refuses a request for a folder where none is.
pub(crate) async fn is_folder(app: &RequestScope, asked: &RequestTarget) -> Result<(), HandlerError> {
    if is_collection(app, asked).await? { Ok(()) } else { Err(Stop::from(Refusal::NotFound).into()) }
}

/// What is there where the request went, and so what is served.
pub(crate) async fn allowed(app: &RequestScope, asked: &RequestTarget) -> Allowed {
    if permit(app, Rights::LOOK, &asked.path).is_err() {
        return Allowed::Somewhere;
    }
    let (path, reader) = (asked.path.clone(), reader(app));
    match app.ask(move |share| share.occupant(&path, &reader)).await {
        Ok(occupant) => Allowed::at(occupant, asked.has_trailing_slash),
        Err(_) => Allowed::Nowhere,
    }
}

/// Where a request comes from, as far as others are told from it.
pub(crate) fn client(app: &RequestScope, head: &RequestHead) -> Client {
    let program = field::text(&head.headers, header::USER_AGENT);
    Client::new(app.caller.principal().clone(), app.origin.address, program)
}

/// Who reads, and when, where nothing is demanded of what is there.
pub(crate) fn reader(app: &RequestScope) -> RequestContext {
    let client = Client { principal: app.caller.principal().clone(), ..Client::default() };
    RequestContext { client, permissions: app.caller.permissions().clone(), ..RequestContext::unconditional(now()) }
}
