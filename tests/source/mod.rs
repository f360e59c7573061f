//! The source and the harness: what the tests and the drawing lean on.

mod architecture;
mod documents;
mod harness_itself;
