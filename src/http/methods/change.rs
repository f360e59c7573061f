//! DELETE, MKCOL and OPTIONS: parse, ask the share, reply.

use actix_http::{Payload, RequestHead};
use actix_web::HttpResponse;

use crate::model::property::PropertyName;
use crate::share::Amendment;
use crate::share::outcome::{Refusal, Stop};

use crate::http::clock::now;
use crate::http::context::{Trouble, Verbs, parse_xml, request_context, xml_body};
use crate::http::headers::dav_headers::{self, BadHeader, Depth};
use crate::http::methods::proppatch;
use crate::http::reply::{self, Allowed, Wrong, of_property};
use crate::http::request::target::Asked;
use crate::http::xml::XmlError;
use crate::http::xml::read::{Instruction, MakeCollection};
use crate::http::xml::write::{Condition, Properties};

/// Answers DELETE of a file, or of a folder with all that is in it.
pub(crate) async fn delete(verbs: &Verbs, head: &RequestHead, asked: &Asked) -> Result<HttpResponse, Trouble> {
    let depth = dav_headers::depth_of_change(&head.headers);
    let context = request_context(head, asked)?;
    let path = asked.path.clone();
    // A folder goes with all that is in it. Of a file nothing lies below.
    if !matches!(depth, Ok(None | Some(Depth::Infinity))) && matches!(is_collection(verbs, asked).await, Ok(true)) {
        return Err(BadHeader("Depth").into());
    }
    if asked.names_a_collection && matches!(is_collection(verbs, asked).await, Ok(false)) {
        return Err(Stop::from(Refusal::NotFound).into());
    }
    verbs.have_hashed(&path, None, &context).await?;
    let removed = verbs.ask(move |share| share.delete(&path, &context.at(now()))).await?;
    Ok(reply::removed(&removed))
}

/// Why no REPORT is made: there is none about what is there.
pub(crate) async fn report(verbs: &Verbs, asked: &Asked) -> Trouble {
    match allowed(verbs, asked).await {
        Allowed::OnFiles | Allowed::OnCollections | Allowed::OnLinkedFiles | Allowed::OnLinkedCollections => {
            Wrong::NoReport.into()
        }
        Allowed::OnNothing
        | Allowed::OnNoCollection
        | Allowed::WithoutParent
        | Allowed::Nowhere
        | Allowed::Somewhere => Stop::from(Refusal::NotFound).into(),
    }
}

/// Answers MKCOL, with properties for the folder to begin with if the body has some (RFC 5689).
pub(crate) async fn make_collection(
    verbs: &Verbs,
    head: &RequestHead,
    body: &mut Payload,
    asked: &Asked,
) -> Result<HttpResponse, Trouble> {
    let context = request_context(head, asked)?;
    let wanted = match xml_body(verbs, head, body).await? {
        empty if empty.is_empty() => None,
        // A body that is XML and no `mkcol` is one of another type (RFC 4918 §9.3).
        body => Some(parse_xml(body, MakeCollection::parse).await.map_err(|error| match error {
            XmlError::Unexpected(_) => Trouble::from(Wrong::Body),
            error => error.into(),
        })?),
    };
    let amendments = match wanted {
        None => Vec::new(),
        Some(wanted) => match amendments(wanted) {
            Ok(amendments) => amendments,
            Err(refused) => return Ok(*refused),
        },
    };
    let path = asked.path.clone();
    verbs.have_hashed(&path, None, &context).await?;
    verbs.ask(move |share| share.make_collection(&path, &amendments, &context.at(now()))).await?;
    Ok(reply::made(&asked.path))
}

/// What an extended MKCOL asks for, or the answer that says why it cannot be had: then nothing is made.
fn amendments(wanted: MakeCollection) -> Result<Vec<Amendment>, Box<HttpResponse>> {
    let is_collection = wanted.is_plain_collection();
    let plans: Vec<_> = wanted
        .properties
        .into_iter()
        .map(|property| proppatch::plan(Instruction::Set(property), true, now()))
        .collect();
    let names: Vec<_> = plans.iter().map(|(name, _)| name.clone()).collect();
    let faults: Vec<_> = plans.iter().map(|(_, plan)| plan.as_ref().err().copied()).collect();
    if is_collection && faults.iter().all(Option::is_none) {
        return Ok(plans.into_iter().filter_map(|(_, plan)| plan.ok().flatten()).collect());
    }
    let resource_type = PropertyName::dav("resourcetype");
    Err(Box::new(reply::not_made(&names, |response| {
        if !is_collection {
            let condition = Condition::ValidResourceType;
            let tell = |out: &mut Properties<'_>| out.name(&resource_type);
            response.propstat_because(of_property::PROTECTED, Some(&condition), None, tell);
        }
        proppatch::tell_faults(response, &names, &faults);
    })))
}

/// Answers OPTIONS.
pub(crate) async fn options(verbs: &Verbs, asked: &Asked) -> Result<HttpResponse, Trouble> {
    Ok(reply::options(allowed(verbs, asked).await, asked.query.taken))
}

/// Whether a folder is there where the request went, and not a file.
pub(crate) async fn is_collection(verbs: &Verbs, asked: &Asked) -> Result<bool, Trouble> {
    let path = asked.path.clone();
    verbs.ask(move |share| share.is_collection(&path)).await
}

/// What is there where the request went, and so what is served.
pub(crate) async fn allowed(verbs: &Verbs, asked: &Asked) -> Allowed {
    let path = asked.path.clone();
    match verbs.ask(move |share| share.occupant(&path)).await {
        Ok(occupant) => Allowed::at(occupant, asked.names_a_collection),
        Err(_) => Allowed::Nowhere,
    }
}
