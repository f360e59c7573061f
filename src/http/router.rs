//! The router: takes requests from the wire, sends each to the function for its method, and has one line written about it in the log.
//!
//! Every request passes the wall of [`welcome`] and of `authorize`; the methods parse, ask the share, and reply.

use crate::access::Action;
use crate::http::access_log::{Asking, log, log_answer, log_is_on};
use crate::http::bodies::{has_no_body, reads_away};
use crate::http::context::parse;
use crate::http::context::{Verbs, allowed, permit};
use crate::http::methods::copy_move::Act;
use crate::http::methods::{copy_move, get, lock, propfind, proppatch, put};
use crate::http::methods::{delete, mkcol, options, restore};
use crate::http::reply;
use crate::http::reply::Trouble;
use crate::http::reply::Wrong;
use crate::http::representations::file;
use crate::http::representations::versions;
use crate::http::request::host::Host;
use crate::http::request::method::{Allowed, Verb};
use crate::http::request::{origin, welcome};
use crate::http::settings::Settings;
use crate::http::wire::fast_path::{Plain, Reads, Say};
use crate::http::wire::rejection::Rejection;
use crate::http::wire::transport::Handler;
use std::time::Instant;

use actix_http::{Payload, Request, RequestHead, Response};
use actix_web::body::{BodySize, BoxBody, MessageBody as _};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

impl Verbs {
    async fn carry_out(&self, request: &HttpRequest, body: &mut Payload) -> Result<HttpResponse, Trouble> {
        let head = request.head();
        if Verb::of(&head.method) == Verb::Connect {
            return Err(Wrong::Method(Allowed::Somewhere).into());
        }
        self.check_in(head)?;
        if head.uri.path() == "*" && Verb::of(&head.method) == Verb::Options {
            return Ok(reply::options(Allowed::Somewhere, None));
        }
        let asked = parse(self, head).await?;
        if Verb::of(&head.method) == Verb::Get {
            get::judge_states(self, head, &asked).await?;
        }
        let restores = asked.query.restore.is_some();
        match Verb::of(&head.method) {
            Verb::Delete | Verb::Copy | Verb::Move | Verb::Unlock => has_no_body(self, head, body).await?,
            Verb::Post if restores => has_no_body(self, head, body).await?,
            _ => {}
        }
        match Verb::of(&head.method) {
            Verb::Get | Verb::Options | Verb::Post if reads_away(body).await.is_err() => Err(Wrong::BrokenBody.into()),
            Verb::Get if asked.query.versions => versions::list(self, &asked).await,
            Verb::Get if asked.query.deleted => versions::deleted(self, &asked).await,
            Verb::Get if asked.query.version.is_some() => versions::get(self, request, &asked).await,
            Verb::Get => get::get(self, request, &asked).await,
            Verb::Put => put::put(self, head, body, &asked).await,
            Verb::Delete => delete::delete(self, head, &asked).await,
            Verb::MakeCollection => mkcol::make_collection(self, head, body, &asked).await,
            Verb::Post if restores => restore::restore(self, head, &asked).await,
            Verb::Propfind => propfind::propfind(self, request, body, &asked).await,
            Verb::Proppatch => proppatch::proppatch(self, head, body, &asked).await,
            Verb::Copy if asked.query.version.is_some() => copy_move::copy_version(self, head, &asked).await,
            Verb::Copy => copy_move::relocate(self, head, &asked, Act::Copy).await,
            Verb::Move => copy_move::relocate(self, head, &asked, Act::Move).await,
            Verb::Lock => lock::lock(self, head, body, &asked).await,
            Verb::Unlock => lock::unlock(self, head, &asked).await,
            Verb::Report => Err(options::report(self, &asked).await),
            Verb::Options => options::options(self, &asked).await,
            Verb::Post | Verb::Connect | Verb::Unserved => Err(Wrong::Method(allowed(self, &asked).await).into()),
            Verb::Unknown => Err(Wrong::UnknownMethod.into()),
        }
    }

    fn check_in(&self, head: &RequestHead) -> Result<(), Trouble> {
        let Settings { own_names, allowed_origins, .. } = &*self.settings;
        welcome::welcome(head, own_names, allowed_origins).map_err(|unwelcome| Wrong::Unwelcome(unwelcome).into())
    }

    /// Says with an answer whose pages may use it.
    fn describe(&self, head: &RequestHead, answer: &mut HttpResponse) {
        origin::describe(head, answer.headers_mut(), &self.settings.allowed_origins);
    }
}

impl Handler for Verbs {
    fn at_the_edge(&self, plain: &Plain<'_>, say: &mut Say<'_>) -> bool {
        let logged = log_is_on().then(Instant::now);
        let host = Host::parse(plain.host);
        if !host.is_some_and(|host| welcome::is_welcome_host(host, plain.peer, &self.settings.own_names) == Ok(true)) {
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
            let bytes = if found.modified { found.file.bytes.len() as u64 } else { 0 };
            let asked = Asking { method: plain.reads.as_str(), path: plain.path, peer: plain.peer };
            log(&asked, reply::hot_status(found.modified), bytes, begun);
        }
        true
    }

    fn hot(&self, request: &Request) -> Option<Response<BoxBody>> {
        let begun = Instant::now();
        let head = request.head();
        self.check_in(head).ok()?;
        let mut answer = self.hot.answer(&self.share, head)?;
        origin::describe(head, answer.headers_mut(), &self.settings.allowed_origins);
        if log_is_on() {
            let bytes = match answer.body().size() {
                BodySize::Sized(bytes) => bytes,
                _ => 0,
            };
            log(&Asking::of(request.head()), answer.status(), bytes, begun);
        }
        Some(answer)
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
    verbs: &Verbs,
    request: Option<&HttpRequest>,
    head: &RequestHead,
    trouble: Trouble,
) -> HttpResponse {
    match trouble {
        Trouble::Wrong(wrong) => reply::wrong(head, &wrong),
        Trouble::Stop(stop) => {
            let stop = stop.as_far_as(|path| permit(Action::Read, path).is_ok());
            if let Some(request) = request
                && let Some(answer) = file::instead_of_412(verbs, request, &stop).await
            {
                return answer;
            }
            reply::stop(head, &stop)
        }
    }
}
