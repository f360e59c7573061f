//! The methods of HTTP and WebDAV, and which of them could succeed where.

use crate::share::Occupant;
use actix_web::http::Method;

/// The methods of HTTP and WebDAV that exist but are not served.
const KNOWN_METHODS: &[&str] = &["TRACE", "SEARCH", "ACL"];

/// What is asked to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DavMethod {
    /// GET or HEAD.
    Get,
    Put,
    Patch,
    Delete,
    MakeCollection,
    Propfind,
    Proppatch,
    Copy,
    Move,
    Lock,
    Unlock,
    Report,
    Post,
    Options,
    /// CONNECT, whose target is no path.
    Connect,
    /// Another method of HTTP or WebDAV that is not served.
    Unserved,
    /// Any other word.
    Unknown,
}

impl DavMethod {
    pub(crate) fn of(method: &Method) -> Self {
        match method.as_str() {
            "GET" | "HEAD" => Self::Get,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "MKCOL" => Self::MakeCollection,
            "PROPFIND" => Self::Propfind,
            "PROPPATCH" => Self::Proppatch,
            "COPY" => Self::Copy,
            "MOVE" => Self::Move,
            "LOCK" => Self::Lock,
            "UNLOCK" => Self::Unlock,
            "REPORT" => Self::Report,
            "POST" => Self::Post,
            "OPTIONS" => Self::Options,
            "CONNECT" => Self::Connect,
            other if KNOWN_METHODS.contains(&other) => Self::Unserved,
            _ => Self::Unknown,
        }
    }

    /// How `Allow` lists it; nothing for what is not served.
    pub(crate) fn listed(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::MakeCollection => "MKCOL",
            Self::Propfind => "PROPFIND",
            Self::Report => "REPORT",
            Self::Proppatch => "PROPPATCH",
            Self::Copy => "COPY",
            Self::Move => "MOVE",
            Self::Lock => "LOCK",
            Self::Unlock => "UNLOCK",
            Self::Post => "POST",
            Self::Options => "OPTIONS",
            Self::Connect | Self::Unserved | Self::Unknown => "",
        }
    }

    /// Whether it only reads (RFC 9110 §9.2.1).
    pub(crate) fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Options | Self::Propfind | Self::Report)
    }
}

/// What the request went to, and so which methods could succeed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    OnFiles,
    OnCollections,
    /// A link that is followed to a file: it is read, and never changed.
    OnLinkedFiles,
    /// The same, to a folder.
    OnLinkedCollections,
    /// A half-done upload, or the place where they begin.
    Upload,
    /// An upload in chunks, or a chunk of one.
    Chunks,
    /// A free name.
    OnNothing,
    /// A free name that a slash makes one of a folder.
    OnNoCollection,
    /// The folder above is missing.
    WithoutParent,
    /// What is neither served nor replaced, or what cannot be.
    Nowhere,
    Somewhere,
}

impl Allowed {
    /// What a URL leads to; with a slash at its end it names a folder, and leads to no file.
    pub(crate) fn at(occupant: Occupant, has_trailing_slash: bool) -> Self {
        match occupant {
            Occupant::Collection => Self::OnCollections,
            Occupant::LinkedCollection => Self::OnLinkedCollections,
            Occupant::File => Self::on_file(has_trailing_slash),
            Occupant::LinkedFile if !has_trailing_slash => Self::OnLinkedFiles,
            Occupant::Nothing if !has_trailing_slash => Self::OnNothing,
            Occupant::Nothing => Self::OnNoCollection,
            Occupant::NoParent if !has_trailing_slash => Self::WithoutParent,
            Occupant::LinkedFile | Occupant::NoParent | Occupant::Unserved => Self::Nowhere,
        }
    }

    pub(crate) fn on_file(has_trailing_slash: bool) -> Self {
        if has_trailing_slash { Self::Nowhere } else { Self::OnFiles }
    }
}
