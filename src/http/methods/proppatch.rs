//! PROPPATCH (RFC 4918 §9.2), and the properties that an extended MKCOL begins with (RFC 5689): all instructions are carried out, or none.

use std::collections::HashSet;

use actix_http::{Payload, RequestHead};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use crate::http::bodies::{parse_xml, xml_body};
use crate::http::clock::now;
use crate::http::context::{RequestScope, reader, request_context};
use crate::http::headers::dav_headers;
use crate::http::reply;
use crate::http::reply::{HandlerError, of_property};
use crate::http::representations::live::{Live, MICROSOFT};
use crate::http::request::target::RequestTarget;
use crate::http::urls::View;
use crate::http::xml::read::{Instruction, Proppatch};
use crate::http::xml::write::{Condition, Multistatus, ResponseWriter};
use crate::model::dating::ASKED_AHEAD_MAX;
use crate::model::http_date;
use crate::model::path::SharePath;
use crate::model::property::{DeadProperty, PropertyName};
use crate::model::stamp::Timestamp;
use crate::share::outcome::Refusal;
use crate::share::{Notes, PropertyUpdate};

/// Why an instruction cannot be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Only the server sets this.
    Protected,
    /// This cannot be its value.
    BadValue,
}

pub(crate) async fn proppatch(
    app: &RequestScope,
    head: &RequestHead,
    body: &mut Payload,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let context = request_context(app, head, asked)?;
    let Proppatch(instructions) = parse_xml(xml_body(app, head, body).await?, Proppatch::parse).await?;
    let (path, has_trailing_slash, reader) = (asked.path.clone(), asked.has_trailing_slash, reader(app));
    app.hashings.have_hashed(&path, None, &context).await?;
    let is_collection = app.ask(move |share| {
        let is_collection = share.is_collection(&path, &reader)?;
        if has_trailing_slash && !is_collection { Err(Refusal::NotFound.into()) } else { Ok(is_collection) }
    });
    let is_collection = is_collection.await?;
    let asked_at = now();
    let plans: Vec<_> = instructions.into_iter().map(|step| plan(step, is_collection, asked_at)).collect();
    let names: Vec<_> = plans.iter().map(|(name, _)| name.clone()).collect();
    let faults: Vec<_> = plans.iter().map(|(_, plan)| plan.as_ref().err().copied()).collect();
    let view = View::of(head.uri.path());
    let url = if is_collection { view.url_of_folder(&asked.path) } else { view.url(&asked.path) };
    // Windows sets the dates and attributes of files that others have locked, and gives the file up if it may not.
    let is_of_windows = !names.is_empty() && names.iter().all(|name| name.namespace() == MICROSOFT);
    if faults.iter().any(Option::is_some) {
        // A condition that is false, or a lock in the way, is told before what could not have been changed anyway.
        let path = asked.path.clone();
        app.ask(move |share| share.amend(&path, &[], &context.at(now()), is_of_windows)).await?;
        return Ok(multistatus(&url, &names, |response| tell_faults(response, &names, &faults)));
    }
    let amendments: Vec<_> = plans.into_iter().filter_map(|(_, plan)| plan.ok().flatten()).collect();
    let path: SharePath = asked.path.clone();
    app.ask(move |share| share.amend(&path, &amendments, &context.at(now()), is_of_windows)).await?;
    if dav_headers::prefers_minimal(&head.headers) {
        return Ok(reply::done_minimally());
    }
    if names.is_empty() {
        let mut xml = Multistatus::new([]);
        xml.status(&[&url], of_property::DONE, None, None);
        return Ok(reply::multistatus().body(xml.finish()));
    }
    Ok(multistatus(&url, &names, |response| tell(response, of_property::DONE, None, &names)))
}

/// What an instruction comes to for a file or a folder; nothing, where it asks for a date that cannot be kept: who copies a file would give all
/// of it up for that.
pub(crate) fn plan(
    instruction: Instruction,
    is_collection: bool,
    now: Timestamp,
) -> (PropertyName, Result<Option<PropertyUpdate>, Fault>) {
    let (name, property) = match instruction {
        Instruction::Set(property) => (property.name().clone(), Some(property)),
        Instruction::Remove(name) => (name, None),
    };
    let plan = match (Live::of(&name), property) {
        _ if Notes::are_our_own(&name) => Err(Fault::Protected),
        (Some(live), _) if live.is_protected() => Err(Fault::Protected),
        (Some(Live::Executable | Live::WindowsModified | Live::SecondsModified), None) if !is_collection => {
            Err(Fault::Protected)
        }
        (Some(live @ (Live::Executable | Live::WindowsModified | Live::SecondsModified)), Some(property))
            if !is_collection =>
        {
            set_live(live, &property, now)
        }
        (_, Some(property)) => Ok(Some(PropertyUpdate::Note(property))),
        (_, None) => Ok(Some(PropertyUpdate::Forget(name.clone()))),
    };
    (name, plan)
}

fn set_live(live: Live, property: &DeadProperty, now: Timestamp) -> Result<Option<PropertyUpdate>, Fault> {
    let text = property.text().ok_or(Fault::BadValue)?;
    let text = text.trim();
    if live == Live::Executable {
        return match text {
            "T" => Ok(Some(PropertyUpdate::Executable(true))),
            "F" => Ok(Some(PropertyUpdate::Executable(false))),
            _ => Err(Fault::BadValue),
        };
    }
    let seconds = http_date::parse(text.as_bytes()).or_else(|| text.parse().ok()).ok_or(Fault::BadValue)?;
    let can_be_kept = |date: &Timestamp| *date <= now.plus(ASKED_AHEAD_MAX);
    let date = Timestamp::new(seconds, 0).that_a_disk_keeps().filter(can_be_kept);
    Ok(date.map(PropertyUpdate::Modified))
}

fn multistatus(url: &str, names: &[PropertyName], write: impl FnOnce(&mut ResponseWriter<'_>)) -> HttpResponse {
    let mut xml = Multistatus::new(names);
    xml.response(url, write);
    reply::multistatus().body(xml.finish())
}

/// Each property in the `propstat` of its fault, and every other as one that depended on them (RFC 4918 §9.2.1).
pub(crate) fn tell_faults(response: &mut ResponseWriter<'_>, names: &[PropertyName], faults: &[Option<Fault>]) {
    let with = |fault: Option<Fault>| -> Vec<_> {
        let mine = names.iter().zip(faults).filter(|(_, other)| **other == fault);
        mine.map(|(name, _)| name.clone()).collect()
    };
    let protected = Condition::CannotModifyProtectedProperty;
    tell(response, of_property::PROTECTED, Some(&protected), &with(Some(Fault::Protected)));
    tell(response, of_property::BAD_VALUE, None, &with(Some(Fault::BadValue)));
    tell(response, of_property::DEPENDENT, None, &with(None));
}

fn tell(
    response: &mut ResponseWriter<'_>,
    status: StatusCode,
    condition: Option<&Condition<'_>>,
    names: &[PropertyName],
) {
    response.propstat_because(status, condition, None, |out| {
        let mut told = HashSet::new();
        names.iter().filter(|name| told.insert(*name)).for_each(|name| out.name(name));
    });
}
