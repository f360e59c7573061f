//! OPTIONS, and REPORT, of which there is none.

use crate::http::context::{RequestScope, allowed};
use crate::http::reply;
use crate::http::reply::{HandlerError, RequestError};
use crate::http::request::method::Allowed;
use crate::http::request::target::RequestTarget;
use crate::share::outcome::{Refusal, Stop};
use actix_web::HttpResponse;

/// Why no REPORT is made: there is none about what is there.
pub(crate) async fn report(app: &RequestScope, asked: &RequestTarget) -> HandlerError {
    match allowed(app, asked).await {
        Allowed::OnFiles | Allowed::OnCollections | Allowed::OnLinkedFiles | Allowed::OnLinkedCollections => {
            RequestError::NoReport.into()
        }
        Allowed::Upload
        | Allowed::Chunks
        | Allowed::OnNothing
        | Allowed::OnNoCollection
        | Allowed::WithoutParent
        | Allowed::Nowhere
        | Allowed::Somewhere => Stop::from(Refusal::NotFound).into(),
    }
}

pub(crate) async fn options(app: &RequestScope, asked: &RequestTarget) -> Result<HttpResponse, HandlerError> {
    let there = allowed(app, asked).await;
    let answer = reply::options(there, asked.query.taken);
    // An upload that goes on begins by PUT.
    Ok(match there {
        Allowed::OnFiles | Allowed::OnNothing => reply::takes_uploads(answer, app.settings.upload_bytes_max),
        _ => answer,
    })
}
