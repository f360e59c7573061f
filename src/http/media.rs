//! stub
use actix_web::http::header::HeaderValue;
pub(super) fn content_type(_: &[u8]) -> HeaderValue {
    HeaderValue::from_static("application/octet-stream")
}
pub(super) fn content_policy(_: &[u8]) -> Option<HeaderValue> {
    None
}
pub(super) fn attachment(_: &[u8]) -> HeaderValue {
    HeaderValue::from_static("attachment")
}
