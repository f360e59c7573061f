//! Finding an upload for whoever asks: who may, by which name, and once nobody else writes at it.

use std::sync::Arc;
use std::time::Duration;

use actix_http::RequestHead;
use actix_web::HttpResponse;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::http::clock::now;
use crate::http::context::{RequestScope, permit};
use crate::http::methods::put::look_again;
use crate::http::reply::{self, HandlerError, RequestError};
use crate::model::path::SharePath;
use crate::model::principal::Principal;
use crate::model::rights::Rights;
use crate::share::outcome::{Outcome, Refusal, Stop};
use crate::share::{Dialect, HeldUpload, Share, UploadId, UploadName, UploadState};

use super::kept::Ending;

/// How long a request waits for the one before it to leave an upload at rest.
const FREE_WAIT: Duration = Duration::from_secs(30);

/// For whom an upload is kept.
pub(super) fn owner(app: &RequestScope) -> Principal {
    app.caller.principal().clone()
}

/// How an upload is called in a URL: by its secret, or by the name under which it is listed.
#[derive(Clone, Debug)]
pub(super) struct Named {
    secret: Option<UploadId>,
    listed: String,
}

impl Named {
    pub(super) fn of(id: UploadId) -> Self {
        Self { secret: Some(id), listed: String::new() }
    }

    pub(super) fn new(text: &str) -> Self {
        Self { secret: UploadId::parse(text), listed: text.to_owned() }
    }

    /// Asks of the upload by the one name, and by the other if there is none of that.
    pub(super) fn ask<T>(&self, mut question: impl FnMut(UploadName<'_>) -> Outcome<T>) -> Outcome<T> {
        if let Some(secret) = &self.secret {
            match question(UploadName::Secret(secret)) {
                Err(Stop::Refusal(Refusal::NoUpload)) => {}
                asked => return asked,
            }
        }
        question(UploadName::Listed(&self.listed))
    }
}

/// Asks of an upload until nobody writes at it, or for as long as anybody waits.
pub(super) async fn when_free<T: Send + 'static>(
    app: &RequestScope,
    question: impl Fn(&Share, Box<dyn FnOnce() + Send>) -> Outcome<Option<T>> + Clone + Send + 'static,
) -> Result<T, HandlerError> {
    let asking = async {
        loop {
            let free = Arc::new(Notify::new());
            let (tell, question) = (Arc::clone(&free), question.clone());
            let told = Box::new(move || tell.notify_one());
            if let Some(found) = app.ask(move |share| question(share, told)).await? {
                return Ok(found);
            }
            free.notified().await;
        }
    };
    timeout(FREE_WAIT, asking).await.unwrap_or_else(|_| Err(RequestError::TooManyUploads.into()))
}

/// How an upload stands, once nobody writes at it: what is told holds until somebody does again.
pub(super) async fn state(app: &RequestScope, name: &Named, dialect: Dialect) -> Result<UploadState, HandlerError> {
    let (name, owner) = (name.clone(), owner(app));
    let now = now();
    // Whoever is told to free it is told once, by whichever name it is found.
    let found = when_free(app, move |share, free| {
        let mut free = Some(free);
        name.ask(|name| {
            let free = free.take().unwrap_or_else(|| Box::new(|| {}));
            share.find_upload(name, &owner, dialect, now, free)
        })
    });
    let found = found.await?;
    permit_upload(app, &found.begun.path)?;
    Ok(found)
}

/// Lets an upload go, with its bytes.
pub(super) async fn let_go(app: &RequestScope, name: &Named, dialect: Dialect) -> Result<(), HandlerError> {
    let (name, owner) = (name.clone(), owner(app));
    when_free(app, move |share, free| {
        let mut free = Some(free);
        name.ask(|name| {
            let free = free.take().unwrap_or_else(|| Box::new(|| {}));
            share.cancel_upload(name, &owner, dialect, free)
        })
    })
    .await
}

/// What it takes to store something at a path, whatever is there, holds at each contact.
fn permit_upload(app: &RequestScope, path: &SharePath) -> Result<(), HandlerError> {
    permit(app, Rights::CREATE | Rights::OVERWRITE, path)
}

/// Below what the URL of an upload is: the folder that it is for, or its very path where a link leads to no more.
pub(super) fn place_of_url(app: &RequestScope, path: &SharePath) -> SharePath {
    let folder = path.split().map_or_else(SharePath::root, |(folder, _)| folder);
    if app.caller.authorize(Rights::CREATE | Rights::OVERWRITE, &folder).is_ok() { folder } else { path.clone() }
}

/// The answer to a request about an upload that was refused, which tells how that stands.
pub(super) fn refused(app: &RequestScope, head: &RequestHead, path: &SharePath, stop: Stop) -> HttpResponse {
    let stop = stop.as_far_as(path, |path| app.caller.permissions().at(path));
    reply::stop(head, &stop)
}

/// Takes an upload up, from whoever writes at it.
pub(super) async fn take_up(app: &RequestScope, name: &Named, dialect: Dialect) -> Result<HeldUpload, HandlerError> {
    let (name, owner) = (name.clone(), owner(app));
    when_free(app, move |share, free| {
        let mut free = Some(free);
        name.ask(|name| {
            let free = free.take().unwrap_or_else(|| Box::new(|| {}));
            share.take_up_upload(name, &owner, dialect, free)
        })
    })
    .await
}

/// Why an upload could not become a file any more, as far as its conditions say.
pub(super) async fn stale(app: &RequestScope, ending: &Ending) -> Option<Stop> {
    let (path, context) = (ending.path.clone(), ending.demands.context.clone());
    match look_again(app, path, context).await {
        Err(HandlerError::Stop(stop)) => Some(stop),
        _ => None,
    }
}
