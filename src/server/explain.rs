//! Why something could not be done with the share, for a person at the machine.

use crate::share::outcome::Stop;

pub(crate) fn explain(stop: Stop) -> anyhow::Error {
    match stop {
        Stop::Refusal(refusal) => anyhow::anyhow!("{refusal}"),
        Stop::Fault(fault) => fault.into(),
    }
}
