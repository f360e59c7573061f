//! The router: takes requests from the wire, sends each to the function for its method, and has one line written about it in the log.
//!
//! Every request passes [`site_check`] and [`callers::identify`]; the methods ask for permission, parse, ask the share, and reply.

use crate::access::{Caller, Denied, Unproven};
use crate::http::access_log::{Unanswered, log_answer, log_is_on, log_plain};
use crate::http::bodies::{has_no_body, reads_away};
use crate::http::callers::{self, LastLookAtUsers, credentials_of};
use crate::http::context::parse;
use crate::http::context::{AppState, RequestScope, allowed};
use crate::http::methods::copy_move::CopyOrMove;
use crate::http::methods::{changes, copy_move, events, get, links, lock, propfind, proppatch, put, sign_in, uploads};
use crate::http::methods::{delete, mkcol, options, report, restore};
use crate::http::reply;
use crate::http::reply::HandlerError;
use crate::http::reply::RequestError;
use crate::http::representations::file;
use crate::http::representations::versions;
use crate::http::request::forwarded;
use crate::http::request::host::Host;
use crate::http::request::method::{Allowed, DavMethod};
use crate::http::request::target::RequestTarget;
use crate::http::request::{origin, service_url, site_check};
use crate::http::settings::HttpSettings;
use crate::http::small_files::LastLook;
use crate::http::urls;
use crate::http::wire::encrypted::Encrypted;
use crate::http::wire::fast_path::{Plain, Reads, Say};
use crate::http::wire::rejection::Rejection;
use crate::http::wire::transport::Handler;
use crate::model::path::SharePath;
use crate::model::rights::Rights;
use crate::share::outcome::{Refusal, Stop};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use actix_http::{Payload, Request, RequestHead, Response};
use actix_web::body::BoxBody;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};
use bytes::Bytes;

/// The router of one worker.
#[derive(Debug)]
pub struct Router {
    app: Arc<AppState>,
    last_look: LastLook,
    last_look_at_users: LastLookAtUsers,
}

impl Router {
    /// A router for one worker.
    pub fn new(app: Arc<AppState>) -> Self {
        Self { app, last_look: LastLook::default(), last_look_at_users: LastLookAtUsers::default() }
    }

    async fn carry_out(
        &self,
        app: &RequestScope,
        request: &HttpRequest,
        body: &mut Payload,
    ) -> Result<HttpResponse, HandlerError> {
        let head = request.head();
        if DavMethod::of(&head.method) == DavMethod::Options && callers::is_asked_at_once(&app.caller, head) {
            return Err(RequestError::Denied(Denied::SignIn).into());
        }
        // Windows asks the top of a server, wherever the share is on it.
        if DavMethod::of(&head.method) == DavMethod::Options
            && (head.uri.path() == "*" || urls::is_above(head.uri.path()))
        {
            return Ok(reply::options(Allowed::Somewhere, None));
        }
        if let Some(opened) = sign_in::open(app, head) {
            return Ok(opened);
        }
        if let Some((folder, service)) = service_url::parse(head) {
            return Box::pin(uploads::serve(app, request, body, &folder, &service)).await;
        }
        let asked = parse(app, head).await?;
        let method = DavMethod::of(&head.method);
        if method == DavMethod::Get {
            get::judge_states(app, head, &asked).await?;
        }
        let restores = asked.query.restore.is_some();
        match method {
            DavMethod::Delete | DavMethod::Copy | DavMethod::Move | DavMethod::Unlock => {
                has_no_body(app, head, body).await?
            }
            DavMethod::Post if restores => has_no_body(app, head, body).await?,
            DavMethod::Post if asked.query.sign_in || asked.query.links => {}
            DavMethod::Get | DavMethod::Options | DavMethod::Post if reads_away(body).await.is_err() => {
                return Err(RequestError::BrokenBody.into());
            }
            _ => {}
        }
        answer_of(app, request, body, &asked).await
    }

    /// What the methods have at hand for a request, and whether it is let in: it has to be meant for this server, and who makes it must be who it
    /// says. `before` is who was found to make it when it asked whether to go on.
    async fn scope(
        &self,
        head: &RequestHead,
        before: Option<Arc<Caller>>,
        is_encrypted: bool,
    ) -> (RequestScope, Result<(), HandlerError>) {
        let AppState { settings, access, .. } = &*self.app;
        let HttpSettings { own_names, allowed_origins, .. } = &**settings;
        let origin = forwarded::origin(head, is_encrypted, &settings.trusted_proxies);
        let is_let_in = if DavMethod::of(&head.method) == DavMethod::Connect {
            Err(RequestError::Method(Allowed::Somewhere))
        } else {
            site_check::check_site(head, origin.host.as_deref(), own_names, allowed_origins).map_err(RequestError::Site)
        };
        let caller = match (is_let_in, before) {
            (Err(wrong), _) => Err(wrong),
            (Ok(()), Some(caller)) => Ok(caller),
            (Ok(()), None) => callers::identify(access, settings, head, &origin).await.map_err(RequestError::Unproven),
        };
        let caller = match caller {
            // Whoever signs in, or out, need not be anybody yet.
            Err(RequestError::Unproven(_)) if is_about_sessions(head) => Ok(access.unnamed()),
            caller => caller,
        };
        match caller {
            Ok(caller) => (RequestScope::new(&self.app, caller, origin), Ok(())),
            Err(wrong) => (RequestScope::new(&self.app, access.unnamed(), origin), Err(wrong.into())),
        }
    }

    /// Who makes a plain request, if that is known at once.
    fn caller_of(&self, plain: &Plain<'_>) -> Option<Arc<Caller>> {
        callers::known(&self.app.access, &self.app.settings, plain, &self.last_look_at_users)
    }

    /// Says with an answer whose pages may use it.
    fn describe(&self, head: &RequestHead, answer: &mut HttpResponse) {
        origin::describe(head, answer.headers_mut(), &self.app.settings.allowed_origins);
    }
}

/// What a method answers. Each is a future of its own on the heap: together in one they take as much as the largest, on every connection and for
/// the smallest.
type Answering<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HandlerError>> + 'a>>;

/// Sends a request to the function for its method.
fn answer_of<'a>(
    app: &'a RequestScope,
    request: &'a HttpRequest,
    body: &'a mut Payload,
    asked: &'a RequestTarget,
) -> Answering<'a> {
    let head = request.head();
    match DavMethod::of(&head.method) {
        DavMethod::Get => answer_of_get(app, request, asked),
        DavMethod::Post => answer_of_post(app, head, body, asked),
        DavMethod::Put if uploads::begins(head) => Box::pin(uploads::begin(app, request, body, asked)),
        DavMethod::Put | DavMethod::Patch => Box::pin(put::put(app, head, body, asked)),
        DavMethod::Delete => Box::pin(delete::delete(app, head, asked)),
        DavMethod::MakeCollection => Box::pin(mkcol::make_collection(app, head, body, asked)),
        DavMethod::Propfind => Box::pin(propfind::propfind(app, request, body, asked)),
        DavMethod::Proppatch => Box::pin(proppatch::proppatch(app, head, body, asked)),
        DavMethod::Copy if asked.query.version.is_some() => Box::pin(copy_move::copy_version(app, head, asked)),
        DavMethod::Copy => Box::pin(copy_move::relocate(app, head, asked, CopyOrMove::Copy)),
        DavMethod::Move => Box::pin(copy_move::relocate(app, head, asked, CopyOrMove::Move)),
        DavMethod::Lock => Box::pin(lock::lock(app, head, body, asked)),
        DavMethod::Unlock => Box::pin(lock::unlock(app, head, asked)),
        DavMethod::Report => Box::pin(report::report(app, request, body, asked)),
        DavMethod::Options => Box::pin(options::options(app, asked)),
        DavMethod::Connect | DavMethod::Unserved => Box::pin(not_served(app, asked)),
        DavMethod::Unknown => at_once(Err(RequestError::UnknownMethod.into())),
    }
}

fn answer_of_get<'a>(app: &'a RequestScope, request: &'a HttpRequest, asked: &'a RequestTarget) -> Answering<'a> {
    let (head, query) = (request.head(), &asked.query);
    if query.sign_in && !credentials_of(app).is_private {
        at_once(Err(RequestError::Unproven(Unproven::Unprotected).into()))
    } else if query.sign_in {
        at_once(match &query.invitation {
            Some(invitation) => sign_in::accept(app, head, asked, invitation),
            None => Ok(sign_in::page(asked)),
        })
    } else if query.links {
        at_once(links::list(app, asked))
    } else if query.versions {
        Box::pin(versions::list(app, asked))
    } else if query.deleted {
        Box::pin(versions::deleted(app, asked))
    } else if query.changes {
        Box::pin(changes::list(app, head, asked))
    } else if query.events {
        Box::pin(events::stream(app, head, asked))
    } else if query.version.is_some() {
        Box::pin(versions::get(app, request, asked))
    } else {
        Box::pin(get::get(app, request, asked))
    }
}

fn answer_of_post<'a>(
    app: &'a RequestScope,
    head: &'a RequestHead,
    body: &'a mut Payload,
    asked: &'a RequestTarget,
) -> Answering<'a> {
    let query = &asked.query;
    if query.sign_in {
        Box::pin(sign_in::sign_in(app, head, body, asked))
    } else if query.links {
        Box::pin(links::make(app, body, asked))
    } else if query.revoke.is_some() {
        Box::pin(links::revoke(app, asked))
    } else if query.restore.is_some() {
        Box::pin(restore::restore(app, head, asked))
    } else if query.sign_out {
        at_once(Ok(sign_in::sign_out(app, head, asked)))
    } else {
        Box::pin(not_served(app, asked))
    }
}

fn at_once<'a>(answer: Result<HttpResponse, HandlerError>) -> Answering<'a> {
    Box::pin(std::future::ready(answer))
}

async fn not_served(app: &RequestScope, asked: &RequestTarget) -> Result<HttpResponse, HandlerError> {
    Err(RequestError::Method(allowed(app, asked).await).into())
}

impl Handler for Router {
    fn at_the_edge(&self, plain: &Plain<'_>, say: &mut Say<'_>) -> bool {
        let logged = log_is_on().then(Instant::now);
        let host = Host::parse(plain.host);
        if !host.is_some_and(|host| site_check::is_own_host(host, plain.peer, &self.app.settings.own_names) == Ok(true))
        {
            return false;
        }
        let Some(found) = self.app.hot.find(&self.app.share, plain, &self.last_look) else { return false };
        let Some(caller) = self.caller_of(plain) else { return false };
        if caller.authorize(Rights::READ, found.file.spot.path()).is_err() {
            return false;
        }
        let nothing = Bytes::new();
        let sends = found.modified && plain.reads == Reads::Get;
        say(&found.head(), if sends { &found.file.bytes } else { &nothing });
        if let Some(begun) = logged {
            let bytes = if sends { found.file.bytes.len() as u64 } else { 0 };
            log_plain(plain, reply::hot_status(found.modified), bytes, &caller, begun);
        }
        true
    }

    async fn early(&self, request: &Request) -> Result<(), Response<BoxBody>> {
        let begun = Instant::now();
        let head = request.head();
        let (scope, checked) = self.scope(head, None, is_encrypted(request.conn_data())).await;
        let judged = match checked {
            Ok(()) => match service_url::parse(head) {
                Some((folder, service)) => Box::pin(uploads::early(&scope, head, &folder, &service)).await,
                None => put::early(&scope, head).await.map(|()| None),
            },
            Err(trouble) => Err(trouble),
        };
        let mut answer = match judged {
            Ok(None) => {
                request.extensions_mut().insert(Arc::clone(&scope.caller));
                return Ok(());
            }
            Ok(Some(answer)) => answer,
            Err(trouble) => explain(&scope, None, head, trouble).await,
        };
        self.describe(head, &mut answer);
        log_answer(&scope, head, &answer, begun);
        Err(answer.into())
    }

    async fn handle(&self, request: HttpRequest, body: &mut Payload) -> HttpResponse {
        let begun = Instant::now();
        let head = request.head();
        let before = request.extensions_mut().remove::<Arc<Caller>>();
        let (scope, checked) = self.scope(head, before, is_encrypted(request.conn_data())).await;
        let unanswered = Unanswered::new(&scope, head, begun);
        let carried_out = match checked {
            Ok(()) => self.carry_out(&scope, &request, body).await,
            Err(trouble) => Err(trouble),
        };
        let mut answer = match carried_out {
            Ok(answer) => answer,
            Err(trouble) => explain(&scope, Some(&request), head, trouble).await,
        };
        self.describe(head, &mut answer);
        unanswered.answered(&answer);
        answer
    }

    fn reject(&self, request: &Request, rejection: Rejection) -> Response<BoxBody> {
        let begun = Instant::now();
        let mut answer = reply::rejected(request.head(), rejection);
        self.describe(request.head(), &mut answer);
        let origin =
            forwarded::origin(request.head(), is_encrypted(request.conn_data()), &self.app.settings.trusted_proxies);
        let scope = RequestScope::new(&self.app, self.app.access.unnamed(), origin);
        log_answer(&scope, request.head(), &answer, begun);
        answer.into()
    }
}

/// Whether a request begins or ends a session.
fn is_about_sessions(head: &RequestHead) -> bool {
    RequestTarget::parse(head).is_ok_and(|asked| asked.query.sign_in || asked.query.sign_out)
}

/// Whether a request came over TLS.
fn is_encrypted(connection: Option<&Encrypted>) -> bool {
    connection.is_some_and(|Encrypted(is_encrypted)| *is_encrypted)
}

/// The answer to a request that was not carried out. Whoever has not said who they are is asked to, where that may help. A client that prefers so
/// gets the current file with its 412.
async fn explain(
    app: &RequestScope,
    request: Option<&HttpRequest>,
    head: &RequestHead,
    trouble: HandlerError,
) -> HttpResponse {
    let asked = service_url::place(head).map_or_else(SharePath::root, |asked| asked.path);
    let trouble = match trouble {
        HandlerError::Stop(stop) => {
            HandlerError::Stop(stop.as_far_as(&asked, |path| app.caller.permissions().at(path)))
        }
        wrong @ HandlerError::RequestError(_) => wrong,
    };
    let unproven = match &trouble {
        HandlerError::RequestError(RequestError::Unproven(unproven)) => Some(Some(*unproven)),
        HandlerError::RequestError(RequestError::Denied(Denied::SignIn)) => Some(None),
        HandlerError::Stop(Stop::Refusal(Refusal::NotPermitted | Refusal::NotSeen | Refusal::NoUpload))
            if app.caller.can_sign_in() =>
        {
            Some(None)
        }
        // It was good when the request began.
        _ if app.caller.has_ended() => Some(Some(Unproven::Wrong)),
        _ => None,
    };
    if let Some(unproven) = unproven {
        if let Some(answer) = unproven.and_then(|unproven| sign_in::not_opened(head, unproven)) {
            return answer;
        }
        return reply::sign_in_first(head, unproven, &callers::challenge(app, head, unproven));
    }
    match trouble {
        HandlerError::RequestError(wrong) => reply::wrong(head, &wrong),
        HandlerError::Stop(stop) => {
            if let Some(request) = request
                && let Some(answer) = file::instead_of_412(app, request, &stop).await
            {
                return answer;
            }
            reply::stop(head, &stop)
        }
    }
}
