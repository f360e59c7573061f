//! MKCOL, with properties for the folder to begin with if the body has some (RFC 5689).

use crate::http::bodies::{parse_xml, xml_body};
use crate::http::clock::now;
use crate::http::context::{RequestScope, request_context};
use crate::http::methods::proppatch;
use crate::http::reply;
use crate::http::reply::{HandlerError, RequestError, of_property};
use crate::http::request::target::RequestTarget;
use crate::http::xml::XmlError;
use crate::http::xml::read::{Instruction, MakeCollection};
use crate::http::xml::write::{Condition, PropWriter};
use crate::model::property::PropertyName;
use crate::share::PropertyUpdate;
use actix_http::{Payload, RequestHead};
use actix_web::HttpResponse;

/// Answers MKCOL, with properties for the folder to begin with if the body has some (RFC 5689).
pub(crate) async fn make_collection(
    app: &RequestScope,
    head: &RequestHead,
    body: &mut Payload,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let context = request_context(app, head, asked)?;
    let wanted = match xml_body(app, head, body).await? {
        empty if empty.is_empty() => None,
        // A body that is XML and no `mkcol` is one of another type (RFC 4918 §9.3).
        body => Some(parse_xml(body, MakeCollection::parse).await.map_err(|error| match error {
            XmlError::Unexpected(_) => HandlerError::from(RequestError::Body),
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
    app.hashings.have_hashed(&path, None, &context).await?;
    app.ask(move |share| share.make_collection(&path, &amendments, &context.at(now()))).await?;
    Ok(reply::made(&asked.path))
}

/// What an extended MKCOL asks for, or the answer that says why it cannot be had: then nothing is made.
fn amendments(wanted: MakeCollection) -> Result<Vec<PropertyUpdate>, Box<HttpResponse>> {
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
            let tell = |out: &mut PropWriter<'_>| out.name(&resource_type);
            response.propstat_because(of_property::PROTECTED, Some(&condition), None, tell);
        }
        proppatch::tell_faults(response, &names, &faults);
    })))
}
