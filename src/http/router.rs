//! The router: takes requests from the wire, sends each to the function for its method, and has one line written about it in the log.
//!
//! Every request passes [`site_check`] and `authorize`; the methods parse, ask the share, and reply.

use crate::access::Action;
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
use crate::http::request::host::Host;
use crate::http::request::method::{Allowed, DavMethod};
use crate::http::request::{origin, site_check};
use crate::http::settings::HttpSettings;
use crate::http::wire::fast_path::{Plain, Reads, Say};
use crate::http::wire::rejection::Rejection;
use crate::http::wire::transport::Handler;
use std::time::Instant;

use actix_http::{Payload, Request, RequestHead, Response};
use actix_web::body::BoxBody;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

impl AppState {
    async fn carry_out(&self, request: &HttpRequest, body: &mut Payload) -> Result<HttpResponse, HandlerError> {
        let head = request.head();
        if DavMethod::of(&head.method) == DavMethod::Connect {
            return Err(RequestError::Method(Allowed::Somewhere).into());
        }
        self.check_in(head)?;
        if head.uri.path() == "*" && DavMethod::of(&head.method) == DavMethod::Options {
            return Ok(reply::options(Allowed::Somewhere, None));
        }
        let asked = parse(self, head).await?;
        if DavMethod::of(&head.method) == DavMethod::Get {
            get::judge_states(self, head, &asked).await?;
        }
        let restores = asked.query.restore.is_some();
        match DavMethod::of(&head.method) {
            DavMethod::Delete | DavMethod::Copy | DavMethod::Move | DavMethod::Unlock => {
                has_no_body(self, head, body).await?
            }
            DavMethod::Post if restores => has_no_body(self, head, body).await?,
            _ => {}
        }
        match DavMethod::of(&head.method) {
            DavMethod::Get | DavMethod::Options | DavMethod::Post if reads_away(body).await.is_err() => {
                Err(RequestError::BrokenBody.into())
            }
            DavMethod::Get if asked.query.versions => versions::list(self, &asked).await,
            DavMethod::Get if asked.query.deleted => versions::deleted(self, &asked).await,
            DavMethod::Get if asked.query.version.is_some() => versions::get(self, request, &asked).await,
            DavMethod::Get => get::get(self, request, &asked).await,
            DavMethod::Put => put::put(self, head, body, &asked).await,
            DavMethod::Delete => delete::delete(self, head, &asked).await,
            DavMethod::MakeCollection => mkcol::make_collection(self, head, body, &asked).await,
            DavMethod::Post if restores => restore::restore(self, head, &asked).await,
            DavMethod::Propfind => propfind::propfind(self, request, body, &asked).await,
            DavMethod::Proppatch => proppatch::proppatch(self, head, body, &asked).await,
            DavMethod::Copy if asked.query.version.is_some() => copy_move::copy_version(self, head, &asked).await,
            DavMethod::Copy => copy_move::relocate(self, head, &asked, CopyOrMove::Copy).await,
            DavMethod::Move => copy_move::relocate(self, head, &asked, CopyOrMove::Move).await,
            DavMethod::Lock => lock::lock(self, head, body, &asked).await,
            DavMethod::Unlock => lock::unlock(self, head, &asked).await,
            DavMethod::Report => Err(options::report(self, &asked).await),
            DavMethod::Options => options::options(self, &asked).await,
            DavMethod::Post | DavMethod::Connect | DavMethod::Unserved => {
                Err(RequestError::Method(allowed(self, &asked).await).into())
            }
            DavMethod::Unknown => Err(RequestError::UnknownMethod.into()),
        }
    }

    fn check_in(&self, head: &RequestHead) -> Result<(), HandlerError> {
        let HttpSettings { own_names, allowed_origins, .. } = &*self.settings;
        site_check::check_site(head, own_names, allowed_origins).map_err(|refusal| RequestError::Site(refusal).into())
    }

    /// Says with an answer whose pages may use it.
    fn describe(&self, head: &RequestHead, answer: &mut HttpResponse) {
        origin::describe(head, answer.headers_mut(), &self.settings.allowed_origins);
    }
}

impl Handler for AppState {
    fn at_the_edge(&self, plain: &Plain<'_>, say: &mut Say<'_>) -> bool {
        let logged = log_is_on().then(Instant::now);
        let host = Host::parse(plain.host);
        if !host.is_some_and(|host| site_check::is_own_host(host, plain.peer, &self.settings.own_names) == Ok(true)) {
            return false;
        }
        let Some(found) = self.hot.find(&self.share, plain, &self.last_look) else { return false };
        if permit(Action::Read, found.file.spot.path()).is_err() {
            return false;
        }
        let nothing = Bytes::new();
        let sends = found.modified && plain.reads == Reads::Get;
        say(found.on_the_wire(), if sends { &found.file.bytes } else { &nothing });
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
            Ok(()) => put::early(self, head).await,
            trouble => trouble,
        };
        let Err(trouble) = trouble else { return Ok(()) };
        let mut answer = explain(self, None, head, trouble).await;
        self.describe(head, &mut answer);
        log_answer(head, &answer, begun);
        Err(answer.into())
    }

    async fn handle(&self, request: HttpRequest, body: &mut Payload) -> HttpResponse {
        let begun = Instant::now();
        let mut answer = match self.carry_out(&request, body).await {
            Ok(answer) => answer,
            Err(trouble) => explain(self, Some(&request), request.head(), trouble).await,
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
            let stop = stop.as_far_as(|path| permit(Action::Read, path).is_ok());
            if let Some(request) = request
                && let Some(answer) = file::instead_of_412(app, request, &stop).await
            {
                return answer;
            }
            reply::stop(head, &stop)
        }
    }
}
