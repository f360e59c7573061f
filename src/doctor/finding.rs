//! What a check found out.

use std::io;

use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is as it has to be.
    Ok,
    /// It can be lived with.
    Warn,
    /// It could not be tried here.
    Skip,
    /// Work can be lost by it, or a client will not get through.
    Fail,
}

/// How a check ended, and why.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) outcome: Outcome,
    pub(super) detail: String,
    /// What to change, where it is not what the check itself advises.
    pub(super) advice: Option<&'static str>,
}

/// The course of a check: `?` ends it with whatever was found, which need not be bad.
pub(super) type Checked<T = ()> = Result<T, Finding>;

impl Finding {
    fn new(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self { outcome, detail: detail.into(), advice: None }
    }

    pub(super) fn advise(self, advice: &'static str) -> Self {
        Self { advice: Some(advice), ..self }
    }
}

/// All is well, with a word on how.
pub(super) fn note(detail: impl Into<String>) -> Finding {
    Finding::new(Outcome::Ok, detail)
}

pub(super) fn warn(detail: impl Into<String>) -> Finding {
    Finding::new(Outcome::Warn, detail)
}

pub(super) fn skip(detail: impl Into<String>) -> Finding {
    Finding::new(Outcome::Skip, detail)
}

pub(super) fn fail(detail: impl Into<String>) -> Finding {
    Finding::new(Outcome::Fail, detail)
}

impl From<io::Error> for Finding {
    fn from(error: io::Error) -> Self {
        fail(error.to_string())
    }
}
