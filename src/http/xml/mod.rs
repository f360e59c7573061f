//! The XML of WebDAV, as values: [`read`] takes the bodies of requests apart, [`mod@write`] puts those of answers together.
//!
//! Whatever a client sends costs no more than the limits of [`document`] allow, nothing outside of the body is ever looked at, and
//! whatever is written is well-formed. Nothing here knows of a share or of a disk.

mod document;
mod escape;
pub(crate) mod read;
pub(crate) mod write;

/// The longest body that is read, in bytes. Whoever collects it may stop there.
pub(crate) const BODY_BYTES_MAX: usize = 512 * 1024;

/// Why a body is not what it should be. What it is called in an answer is for the caller to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum XmlError {
    /// It is not well-formed, or its namespaces are not (RFC 4918 §8.2).
    #[error("the body is not well-formed XML: {0}")]
    Malformed(&'static str),
    /// It holds a document type declaration (RFC 4918 §20.6).
    #[error("the body holds a document type declaration")]
    Doctype,
    /// It is more than one of the limits allows.
    #[error("the body holds too much: {0}")]
    TooLarge(&'static str),
    /// It is well-formed, but no document of this kind: a wrong root, or something that must be there is missing.
    #[error("the body is not what this method takes: {0}")]
    Unexpected(&'static str),
    /// It is of the right kind, and asks for what there is not (RFC 4918 §11.2).
    #[error("the body asks for what there is not: {0}")]
    Unprocessable(&'static str),
}
