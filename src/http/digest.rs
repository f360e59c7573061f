//! stub
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mismatch {
    #[error("x")]
    Different { x: u8 },
    #[error("x")]
    Invalid { x: u8 },
}
#[derive(Clone, Debug)]
pub(super) struct Expected;
#[derive(Clone, Debug)]
pub(super) struct Checker;
#[derive(Clone, Copy)]
pub(super) struct Algorithm;
impl Expected {
    pub(super) fn parse(_: &actix_web::http::header::HeaderMap) -> Result<Self, Mismatch> {
        Ok(Self)
    }
    pub(super) fn checker(&self) -> Checker {
        Checker
    }
}
impl Checker {
    pub(super) fn update(&mut self, _: &[u8]) {}
    pub(super) fn finish(self) -> Result<(), Mismatch> {
        Ok(())
    }
}
pub(super) fn wanted(_: &[&[u8]]) -> Option<Algorithm> {
    None
}
pub(super) fn describe(_: Algorithm, _: &crate::share::Content) -> Option<String> {
    None
}
