//! REPORT (RFC 3253 §3.6): of folders there is `sync-collection` (RFC 6578), which tells all that is in a folder, and later what has become of it since.
//! What is told is streamed as it is looked at, as a PROPFIND is.

use std::ops::ControlFlow;
use std::sync::Arc;

use actix_http::Payload;
use actix_web::{HttpRequest, HttpResponse};

use crate::http::bodies::{parse_xml, xml_body};
use crate::http::clock::now;
use crate::http::context::{RequestScope, reader, request_context};
use crate::http::headers::dav_headers;
use crate::http::headers::dav_headers::Depth;
use crate::http::methods::propfind::{Answer, Needs, PropfindRequest};
use crate::http::quirks::Quirks;
use crate::http::reply;
use crate::http::reply::{HandlerError, RequestError};
use crate::http::representations::listing::{Listing, Output};
use crate::http::request::target::RequestTarget;
use crate::http::urls::View;
use crate::http::xml::read::{Propfind, Report, SyncCollection};
use crate::model::path::SharePath;
use crate::model::sync_token::SyncToken;
use crate::share::outcome::{Outcome, Refusal};
use crate::share::{Kind, LostPlace, Share, SyncMember, SyncPage, SyncWish, WalkReach};

/// Makes a report.
pub(crate) async fn report(
    app: &RequestScope,
    request: &HttpRequest,
    body: &mut Payload,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let head = request.head();
    let depth = dav_headers::depth(&head.headers)?;
    let context = request_context(app, head, asked)?.that_must_match();
    let report = parse_xml(xml_body(app, head, body).await?, Report::parse).await?;
    let (path, has_trailing_slash) = (asked.path.clone(), asked.has_trailing_slash);
    let is_collection = app.ask(move |share| {
        let target = share.resource(&path, false, &context)?;
        if has_trailing_slash && target.kind != Kind::Dir {
            return Err(Refusal::NotFound.into());
        }
        share.judge_read(&path, &context.at(now()))?;
        Ok(target.kind == Kind::Dir)
    });
    let is_collection = is_collection.await?;
    let Report::SyncCollection(sync) = report else { return Err(RequestError::NoReport.into()) };
    if !is_collection {
        return Err(RequestError::NoReport.into());
    }
    // How far it reaches is said in the body (RFC 6578 §3.3).
    if depth.is_some_and(|asked| asked.depth != Depth::Zero) {
        return Err(RequestError::Header("Depth").into());
    }
    sync_collection(app, request, asked, sync).await
}

async fn sync_collection(
    app: &RequestScope,
    request: &HttpRequest,
    asked: &RequestTarget,
    sync: SyncCollection,
) -> Result<HttpResponse, HandlerError> {
    let since = match &sync.token {
        None => None,
        Some(token) => Some(SyncToken::parse(token).ok_or(RequestError::NoSyncToken(LostPlace::Foreign))?),
    };
    let (reach, count_max) = match sync.is_infinite {
        true => (WalkReach::Everything, app.settings.propfind_members_max),
        false => (WalkReach::Members, usize::MAX),
    };
    let count_max = sync.count_max.unwrap_or(usize::MAX).min(count_max).max(1);
    let wish = SyncWish { folder: asked.path.clone(), reach, count_max };
    let context = reader(app);
    let page = app.ask(move |share| share.sync_page(&wish, since.as_ref(), &context)).await?;
    let page = page.map_err(RequestError::NoSyncToken)?;
    let head = request.head();
    let asked_for = Propfind::Prop(sync.names);
    let properties = PropfindRequest {
        path: asked.path.clone(),
        view: View::of(head.uri.path()),
        needs: Needs::new(&asked_for),
        asked_for,
        reach: Depth::Zero,
        members_max: usize::MAX,
        without_root: true,
        is_minimal: dav_headers::prefers_minimal(&head.headers),
        quirks: Quirks::of(head),
        reader: reader(app),
    };
    let (is_minimal, share) = (properties.is_minimal, Arc::clone(&app.share));
    let listing = Listing::begin(move |output| tell(&share, &properties, &page, output)).await?;
    let mut answer = reply::multistatus();
    if is_minimal {
        answer.insert_header(("preference-applied", "return=minimal"));
    }
    Ok(answer.body(listing))
}

/// Writes the whole answer.
fn tell(share: &Share, properties: &PropfindRequest, page: &SyncPage, output: &mut Output) -> Outcome<()> {
    let (reader, view) = (properties.reader.clone().at(now()), &properties.view);
    let mut answer = Answer::new(properties, share, reader.now)?;
    let told = share.tell_sync(page, properties.tags(), &reader, &mut |path, member| {
        match member {
            SyncMember::There(member) => {
                answer.tell(&href(view, path, member.kind == Kind::Dir), &member, || share.place_of(path))?;
            }
            SyncMember::NotEntered => answer.not_entered(&view.url_of_folder(path)),
            SyncMember::Gone { is_folder } => answer.gone(&href(view, path, is_folder)),
        }
        Ok(answer.pass_on(output))
    })?;
    if output.go_on() == ControlFlow::Continue(()) {
        answer.finish_with_token(&told, output);
    }
    Ok(())
}

fn href(view: &View, path: &SharePath, is_folder: bool) -> String {
    if is_folder { view.url_of_folder(path) } else { view.url(path) }
}
