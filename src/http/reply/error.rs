//! Why a request is not carried out: it is wrong in itself, or the share refuses it.

use crate::access::{Denied, Unproven};
use crate::http::headers::dav_headers::{BadHeader, BadUrl};
use crate::http::headers::digest::{Invalid, Mismatch};
use crate::http::request::method::Allowed;
use crate::http::request::site_check::SiteRefusal;
use crate::http::request::target::BadTarget;
use crate::http::xml::XmlError;
use crate::model::precondition::Header;
use crate::share::LostPlace;
use crate::share::outcome::Stop;

/// Why a request ends without having been carried out.
#[derive(Debug)]
pub(crate) enum HandlerError {
    /// It is wrong in itself.
    RequestError(RequestError),
    /// The share did not carry it out.
    Stop(Stop),
}

impl From<RequestError> for HandlerError {
    fn from(wrong: RequestError) -> Self {
        Self::RequestError(wrong)
    }
}

impl From<BadTarget> for HandlerError {
    fn from(bad: BadTarget) -> Self {
        Self::RequestError(RequestError::Target(bad))
    }
}

impl From<BadHeader> for HandlerError {
    fn from(bad: BadHeader) -> Self {
        Self::RequestError(RequestError::Header(bad.0))
    }
}

impl From<XmlError> for HandlerError {
    fn from(error: XmlError) -> Self {
        Self::RequestError(RequestError::Xml(error))
    }
}

impl From<Stop> for HandlerError {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// What the request itself gets wrong, whatever is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestError {
    Target(BadTarget),
    /// A word in it that means nothing to the method.
    Word(&'static str, Allowed),
    /// A conditional header cannot be understood.
    Condition(Header),
    /// Its head turns it away.
    Site(SiteRefusal),
    /// It has no permission.
    Denied(Denied),
    /// It does not prove who makes it.
    Unproven(Unproven),
    /// A report that there is not (RFC 3253 §3.6).
    NoReport,
    /// No server knows this method.
    UnknownMethod,
    /// This one does not serve it here.
    Method(Allowed),
    /// A body where none is defined.
    Body,
    /// A part of a file (`Content-Range`).
    PartialPut,
    /// A part of a file that does not say how long it is.
    NoLengthOfPart,
    /// A part of which nobody can tell where it goes.
    NoPart,
    /// A part that is not as long as its range.
    PartOfOtherLength,
    /// A PATCH of a kind that is not known (RFC 5789 §2.2).
    NoPatch,
    /// A part that comes with a digest of the whole.
    DigestOfWhole,
    /// An upload that does not say where it ends.
    NoLength,
    /// An upload that says of two lengths that it has them.
    TwoLengths,
    /// A coded body (`Content-Encoding`).
    CodedBody,
    /// A file is to be made, and the path ends in a slash.
    NamesACollection,
    /// A digest that does not fit what was sent.
    Digest(Mismatch),
    /// A digest that cannot be one.
    InvalidDigest(Invalid),
    /// A header of WebDAV cannot be read, or is missing.
    Header(&'static str),
    /// The URL of the destination.
    Destination(BadUrl),
    /// The destination is nothing that HTTP serves.
    ForeignDestination,
    /// The XML of the body.
    Xml(XmlError),
    /// A form that is none.
    Form,
    /// What is wanted of a link cannot be read.
    LinkForm(String),
    /// A link is to lead to a symbolic link, or to a name that some file system takes for none.
    NotLinkable,
    /// A link is to take files where there is no folder to put them.
    DropOnFile,
    /// A body that should be XML and does not say so.
    NotXml,
    /// A body shorter, longer or otherwise other than announced.
    BrokenBody,
    /// A body that came too slowly.
    SlowBody,
    /// A body larger than allowed.
    LargeBody,
    /// Too many uploads at once.
    TooManyUploads,
    /// Another request goes on with the upload.
    TakenOver,
    /// An upload goes on elsewhere than the server has it.
    UploadOffset {
        /// How many bytes the server has.
        expected: u64,
        /// How many the client said.
        provided: u64,
    },
    /// What is sent is called as no chunk of an upload is.
    NoChunkName,
    /// The bytes of a part are not those that the client spoke of.
    TusChecksum,
    /// A part of an upload that does not say that it is one.
    NoPartOfAnUpload(&'static str),
    /// Too many large bodies in memory at once.
    TooManyBodies,
    /// A version that cannot be.
    VersionId,
    /// What happened since a place in the feed cannot be told.
    LostPlace(LostPlace),
    /// What happened in a folder since a token cannot be told.
    NoSyncToken(LostPlace),
    /// Not one range can be satisfied.
    Range(u64),
    /// A folder was asked for by name and version where only a file can be sent.
    VersionIsCollection,
}
