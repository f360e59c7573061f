//! Links by HTTP: `POST PATH?links` makes one, `GET PATH?links` lists those that lead to a path and below, `POST PATH?revoke=ID` takes one away. Each
//! user has their own.

use std::num::NonZeroU32;
use std::sync::Arc;

use actix_http::Payload;
use actix_web::HttpResponse;
use bytes::BytesMut;
use serde::Deserialize;

use crate::access::link::{Life, LinkMay, NewLink, Place};
use crate::access::password::may_be_a_password;
use crate::access::{Denied, Principal};
use crate::http::bodies::SHORT_TIME_MAX;
use crate::http::context::{RequestScope, permit, reader};
use crate::http::limits::pace::Pace;
use crate::http::reply::{self, HandlerError, RequestError};
use crate::http::request::target::RequestTarget;
use crate::model::path::SharePath;
use crate::model::rights::Rights;
use crate::share::Occupant;
use crate::share::outcome::{Refusal, Stop};

/// The longest wish, in bytes.
const WISH_BYTES_MAX: usize = 16 << 10;

/// What is wanted of a link.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    may: LinkMay,
    expires: Option<String>,
    uses: Option<NonZeroU32>,
    password: Option<String>,
}

/// Makes a link to what is at the path.
pub(crate) async fn make(
    app: &RequestScope,
    body: &mut Payload,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let owner = user(app)?;
    let wish = wish(app, body).await?;
    permit_all(app, wish.may.rights(), &asked.path)?;
    let place = place(app, asked).await?;
    if wish.may == LinkMay::Drop && !place.is_folder {
        return Err(RequestError::DropOnFile.into());
    }
    let life = wish.expires.as_deref().map(str::parse).transpose().map_err(RequestError::LinkForm)?;
    let new = NewLink {
        place,
        may: wish.may,
        owner: None,
        life: life.unwrap_or_else(Life::default),
        uses: wish.uses.map(NonZeroU32::get),
        password: None,
    };
    Ok(match app.access.make_link(owner, new, wish.password).await {
        Ok((secret, link)) => reply::made_link(&secret, &link),
        Err(error) => reply::no_link(&error),
    })
}

/// Lists the links of whoever asks that lead to the path and below.
pub(crate) fn list(app: &RequestScope, asked: &RequestTarget) -> Result<HttpResponse, HandlerError> {
    let owner = user(app)?;
    Ok(match app.access.links_of(&owner) {
        Ok(mut links) => {
            links.retain(|link| link.place.path.is_within(&asked.path));
            links.sort_by(|one, other| (&one.place.path, &one.id).cmp(&(&other.place.path, &other.id)));
            reply::links_of(&links)
        }
        Err(error) => reply::no_link(&error),
    })
}

/// Takes a link away.
pub(crate) async fn revoke(app: &RequestScope, asked: &RequestTarget) -> Result<HttpResponse, HandlerError> {
    let (owner, id) = (user(app)?, asked.query.revoke.clone().unwrap_or_default());
    Ok(match app.access.revoke_link(id, owner).await {
        Ok(()) => reply::revoked(),
        Err(error) => reply::no_link(&error),
    })
}

/// The user who asks. Whoever comes by a link makes none.
fn user(app: &RequestScope) -> Result<Arc<str>, HandlerError> {
    match app.caller.principal() {
        Principal::Named(name) => Ok(Arc::clone(name)),
        _ if app.caller.can_sign_in() => Err(RequestError::Denied(Denied::SignIn).into()),
        _ => Err(RequestError::Denied(Denied::NotPermitted).into()),
    }
}

/// Refuses whoever has not all of these rights at a path.
fn permit_all(app: &RequestScope, rights: Rights, path: &SharePath) -> Result<(), HandlerError> {
    rights.iter().try_for_each(|right| permit(app, right, path))
}

/// What is there where the link is to lead.
async fn place(app: &RequestScope, asked: &RequestTarget) -> Result<Place, HandlerError> {
    let (path, reader) = (asked.path.clone(), reader(app));
    let occupant = app.ask(move |share| share.occupant(&path, &reader)).await?;
    let is_folder = match occupant {
        Occupant::Collection => true,
        Occupant::File if !asked.has_trailing_slash => false,
        Occupant::LinkedCollection | Occupant::LinkedFile => return Err(RequestError::NotLinkable.into()),
        _ => return Err(Stop::from(Refusal::NotFound).into()),
    };
    let place = Place::new(asked.path.clone(), is_folder);
    if place.can_be_linked_to() { Ok(place) } else { Err(RequestError::NotLinkable.into()) }
}

async fn wish(app: &RequestScope, body: &mut Payload) -> Result<Wish, HandlerError> {
    let mut pace = Pace::of_short_body(&app.settings, WISH_BYTES_MAX as u64, SHORT_TIME_MAX);
    let mut bytes = BytesMut::new();
    while let Some(chunk) = pace.next(body).await? {
        bytes.extend_from_slice(&chunk);
    }
    let said = if bytes.is_empty() { b"{}" } else { &bytes[..] };
    let wish: Wish = serde_json::from_slice(said).map_err(|error| RequestError::LinkForm(error.to_string()))?;
    if wish.password.as_ref().is_some_and(|password| !may_be_a_password(password)) {
        return Err(RequestError::LinkForm("this cannot be a password".to_owned()).into());
    }
    Ok(wish)
}
