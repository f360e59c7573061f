//! The router: takes requests from the wire, sends each to the function for its method, and has one line written about it in the log.
//!
//! Every request passes [`site_check`] and [`permit`]; the methods parse, ask the share, and reply.

use crate::access::Principal;
use crate::http::access_log::{log_answer, log_is_on, log_plain};
use crate::http::bodies::{has_no_body, reads_away};
use crate::http::context::parse;
use crate::http::context::{AppState, allowed, permit};
use crate::http::methods::copy_move::CopyOrMove;
use crate::http::methods::{copy_move, get, lock, propfind, proppatch, put};
use crate::http::methods::{delete, mkcol, options, restore};
use crate::http::reply;
use crate::http::reply::HandlerError;
use crate::http::reply::RequestError;
use crate::http::representations::file;
use crate::http::representations::versions;
use crate::http::request::client::principal;
use crate::http::request::host::Host;
use crate::http::request::method::{Allowed, DavMethod};
use crate::http::request::{origin, site_check};
use crate::http::settings::HttpSettings;
use crate::http::small_files::LastLook;
use crate::http::wire::fast_path::{Plain, Reads, Say};
use crate::http::wire::rejection::Rejection;
use crate::http::wire::transport::Handler;
use crate::model::rights::Rights;
use std::time::Instant;

use actix_http::{Payload, Request, RequestHead, Response};
use actix_web::body::BoxBody;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

/// The router of one worker.
#[derive(Debug)]
pub struct Router {
    app: AppState,
    last_look: LastLook,
}

impl Router {
    /// A router for one worker.
    pub fn new(app: AppState) -> Self {
        Self { app, last_look: LastLook::default() }
    }

    async fn carry_out(&self, request: &HttpRequest, body: &mut Payload) -> Result<HttpResponse, HandlerError> {
        let (app, head) = (&self.app, request.head());
        if DavMethod::of(&head.method) == DavMethod::Connect {
            return Err(RequestError::Method(Allowed::Somewhere).into());
        }
        self.check_in(head)?;
        if head.uri.path() == "*" && DavMethod::of(&head.method) == DavMethod::Options {
            return Ok(reply::options(Allowed::Somewhere, None));
        }
        let asked = parse(app, head).await?;
        if DavMethod::of(&head.method) == DavMethod::Get {
            get::judge_states(app, head, &asked).await?;
        }
        let restores = asked.query.restore.is_some();
        match DavMethod::of(&head.method) {
            DavMethod::Delete | DavMethod::Copy | DavMethod::Move | DavMethod::Unlock => {
                has_no_body(app, head, body).await?
            }
            DavMethod::Post if restores => has_no_body(app, head, body).await?,
            _ => {}
        }
        match DavMethod::of(&head.method) {
            DavMethod::Get | DavMethod::Options | DavMethod::Post if reads_away(body).await.is_err() => {
                Err(RequestError::BrokenBody.into())
            }
            DavMethod::Get if asked.query.versions => versions::list(app, &asked).await,
            DavMethod::Get if asked.query.deleted => versions::deleted(app, &asked).await,
            DavMethod::Get if asked.query.version.is_some() => versions::get(app, request, &asked).await,
            DavMethod::Get => get::get(app, request, &asked).await,
            DavMethod::Put => put::put(app, head, body, &asked).await,
            DavMethod::Delete => delete::delete(app, head, &asked).await,
            DavMethod::MakeCollection => mkcol::make_collection(app, head, body, &asked).await,
            DavMethod::Post if restores => restore::restore(app, head, &asked).await,
            DavMethod::Propfind => propfind::propfind(app, request, body, &asked).await,
            DavMethod::Proppatch => proppatch::proppatch(app, head, body, &asked).await,
            DavMethod::Copy if asked.query.version.is_some() => copy_move::copy_version(app, head, &asked).await,
            DavMethod::Copy => copy_move::relocate(app, head, &asked, CopyOrMove::Copy).await,
            DavMethod::Move => copy_move::relocate(app, head, &asked, CopyOrMove::Move).await,
            DavMethod::Lock => lock::lock(app, head, body, &asked).await,
            DavMethod::Unlock => lock::unlock(app, head, &asked).await,
            DavMethod::Report => Err(options::report(app, &asked).await),
            DavMethod::Options => options::options(app, &asked).await,
            DavMethod::Post | DavMethod::Connect | DavMethod::Unserved => {
                Err(RequestError::Method(allowed(app, &asked).await).into())
            }
            DavMethod::Unknown => Err(RequestError::UnknownMethod.into()),
        }
    }

    fn check_in(&self, head: &RequestHead) -> Result<(), HandlerError> {
        let HttpSettings { own_names, allowed_origins, .. } = &*self.app.settings;
        site_check::check_site(head, own_names, allowed_origins).map_err(|refusal| RequestError::Site(refusal).into())
    }

    /// Says with an answer whose pages may use it.
    fn describe(&self, head: &RequestHead, answer: &mut HttpResponse) {
        origin::describe(head, answer.headers_mut(), &self.app.settings.allowed_origins);
    }
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
        if permit(&self.app, &Principal::Anonymous, Rights::READ, found.file.spot.path()).is_err() {
            return false;
        }
        let nothing = Bytes::new();
        let sends = found.modified && plain.reads == Reads::Get;
        say(&found.head(), if sends { &found.file.bytes } else { &nothing });
        if let Some(begun) = logged {
            let bytes = if sends { found.file.bytes.len() as u64 } else { 0 };
            log_plain(plain, reply::hot_status(found.modified), bytes, begun);
        }
        true
    }

    async fn early(&self, request: &Request) -> Result<(), Response<BoxBody>> {
        let begun = Instant::now();
        let head = request.head();
        let trouble = match self.check_in(head) {
            Ok(()) => put::early(&self.app, head).await,
            trouble => trouble,
        };
        let Err(trouble) = trouble else { return Ok(()) };
        let mut answer = explain(&self.app, None, head, trouble).await;
        self.describe(head, &mut answer);
        log_answer(head, &answer, begun);
        Err(answer.into())
    }

    async fn handle(&self, request: HttpRequest, body: &mut Payload) -> HttpResponse {
        let begun = Instant::now();
        let mut answer = match self.carry_out(&request, body).await {
            Ok(answer) => answer,
            Err(trouble) => explain(&self.app, Some(&request), request.head(), trouble).await,
        };
        self.describe(request.head(), &mut answer);
        log_answer(request.head(), &answer, begun);
        answer
    }

    fn reject(&self, request: &Request, rejection: Rejection) -> Response<BoxBody> {
        let begun = Instant::now();
        let mut answer = reply::rejected(request.head(), rejection);
        self.describe(request.head(), &mut answer);
        log_answer(request.head(), &answer, begun);
        answer.into()
    }
}

/// The answer to a request that was not carried out. A client that prefers so gets the current file with its 412.
pub(super) async fn explain(
    app: &AppState,
    request: Option<&HttpRequest>,
    head: &RequestHead,
    trouble: HandlerError,
) -> HttpResponse {
    match trouble {
        HandlerError::RequestError(wrong) => reply::wrong(head, &wrong),
        HandlerError::Stop(stop) => {
            let principal = principal(head);
            let stop = stop.as_far_as(|path| permit(app, &principal, Rights::READ, path).is_ok());
            if let Some(request) = request
                && let Some(answer) = file::instead_of_412(app, request, &stop).await
            {
                return answer;
            }
            reply::stop(head, &stop)
        }
    }
}
