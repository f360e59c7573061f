//! stub
use crate::{
    model::{path::SharePath, stamp::Timestamp},
    share::Share,
    store::disk::Kind,
};
use actix_web::{HttpResponse, HttpResponseBuilder};
use std::sync::Arc;
pub(super) fn json(mut a: HttpResponseBuilder, _: Arc<Share>, _: &SharePath, _: Timestamp, _: bool) -> HttpResponse {
    a.finish()
}
pub(super) fn html(mut a: HttpResponseBuilder, _: Arc<Share>, _: &SharePath, _: Timestamp, _: bool) -> HttpResponse {
    a.finish()
}
pub(super) fn kind(_: Kind) -> &'static str {
    "file"
}
pub(super) fn time(_: Timestamp) -> String {
    String::new()
}
