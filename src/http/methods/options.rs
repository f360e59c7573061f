//! OPTIONS: what could be done at a URL.

use crate::http::context::{RequestScope, allowed};
use crate::http::reply;
use crate::http::reply::HandlerError;
use crate::http::request::method::Allowed;
use crate::http::request::target::RequestTarget;
use actix_web::HttpResponse;

pub(crate) async fn options(app: &RequestScope, asked: &RequestTarget) -> Result<HttpResponse, HandlerError> {
    let there = allowed(app, asked).await;
    let answer = reply::options(there, asked.query.taken);
    // An upload that goes on begins by PUT.
    Ok(match there {
        Allowed::OnFiles | Allowed::OnNothing => reply::takes_uploads(answer, app.settings.upload_bytes_max),
        _ => answer,
    })
}
