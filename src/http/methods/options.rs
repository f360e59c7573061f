//! OPTIONS, and REPORT, of which there is none.

use crate::http::context::{Verbs, allowed};
use crate::http::reply;
use crate::http::reply::{Trouble, Wrong};
use crate::http::request::method::Allowed;
use crate::http::request::target::Asked;
use crate::share::outcome::{Refusal, Stop};
use actix_web::HttpResponse;

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

/// Answers OPTIONS.
pub(crate) async fn options(verbs: &Verbs, asked: &Asked) -> Result<HttpResponse, Trouble> {
    Ok(reply::options(allowed(verbs, asked).await, asked.query.taken))
}
