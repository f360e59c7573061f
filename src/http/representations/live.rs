//! The live properties: those that the server itself knows of a resource (RFC 4918 §15, and a few that clients ask for besides).
//!
//! One table says which there are, who may set them, and how each is written. Dead properties are notes, and not known here.

use crate::http::media;
use crate::http::reply;
use crate::http::xml::write::{ActiveLock, PropWriter};
use crate::model::property::PropertyName;
use crate::model::rights::Rights;
use crate::share::{Kind, ListedMember};

const APACHE: &str = "http://apache.org/dav/props/";

pub(crate) const MICROSOFT: &str = "urn:schemas-microsoft-com:";

const OWNCLOUD: &str = "http://owncloud.org/ns";

/// A live property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Live {
    CreationDate,
    DisplayName,
    ContentLength,
    ContentType,
    Etag,
    LastModified,
    LockDiscovery,
    ResourceType,
    SupportedLock,
    QuotaAvailable,
    QuotaUsed,
    SupportedMethods,
    PrivilegeSet,
    CurrentPrincipal,
    Executable,
    /// Windows' date of last change.
    WindowsModified,
    /// ownCloud's date of last change, in seconds.
    SecondsModified,
    Checksums,
    SyncToken,
    SupportedReports,
}

/// All of them; first those that `allprop` brings.
static ALL: [Live; 20] = [
    Live::ResourceType,
    Live::DisplayName,
    Live::CreationDate,
    Live::ContentLength,
    Live::ContentType,
    Live::Etag,
    Live::LastModified,
    Live::SupportedLock,
    Live::LockDiscovery,
    Live::QuotaAvailable,
    Live::QuotaUsed,
    Live::SupportedMethods,
    Live::PrivilegeSet,
    Live::CurrentPrincipal,
    Live::Executable,
    Live::WindowsModified,
    Live::SecondsModified,
    Live::Checksums,
    Live::SyncToken,
    Live::SupportedReports,
];

/// What `allprop` brings to Windows, which takes no more than a million bytes for a whole folder, and looks at nothing else.
pub(crate) const OF_ALLPROP_ON_WINDOWS: [Live; 6] =
    [Live::ResourceType, Live::DisplayName, Live::CreationDate, Live::ContentLength, Live::Etag, Live::LastModified];

/// How many `allprop` brings: those of RFC 4918 (§9.1).
const OF_ALLPROP: usize = 9;

/// What is known of a resource, for writing its properties.
pub(crate) struct Facts<'a> {
    pub(crate) resource: &'a ListedMember,
    /// When it was last changed, as an HTTP-date.
    pub(crate) modified: &'a str,
    /// Whether it is the share itself.
    pub(crate) is_root: bool,
    /// How many bytes are free, and how many are used, if that was asked.
    pub(crate) room: Option<(u64, u64)>,
    /// The locks that cover it.
    pub(crate) locks: &'a [ActiveLock],
    /// The name that somebody gave it to be shown, if one did.
    pub(crate) has_noted_name: bool,
    /// What the reader may do with it, if that was asked.
    pub(crate) rights: Rights,
    /// What was noted of its checksums.
    pub(crate) checksums: Option<&'a str>,
    /// Of a folder, by what to ask for what becomes of it, if that was asked.
    pub(crate) sync_token: Option<&'a str>,
}

impl Live {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        ALL.iter().copied()
    }

    /// Those that `allprop` brings.
    pub(crate) fn of_allprop() -> &'static [Self] {
        &ALL[..OF_ALLPROP]
    }

    /// The live property of this name.
    pub(crate) fn of(name: &PropertyName) -> Option<Self> {
        Self::all().find(|live| {
            let (namespace, local) = live.parts();
            name.local() == local && name.namespace() == namespace
        })
    }

    pub(crate) fn name(self) -> PropertyName {
        let (namespace, local) = self.parts();
        PropertyName::new(namespace, local)
    }

    /// Whether only the server sets it (RFC 4918 §15). A name to be shown is a note; dates and modes can be set.
    pub(crate) fn is_protected(self) -> bool {
        !matches!(self, Self::DisplayName | Self::Executable | Self::WindowsModified | Self::SecondsModified)
    }

    fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::CreationDate => ("DAV:", "creationdate"),
            Self::DisplayName => ("DAV:", "displayname"),
            Self::ContentLength => ("DAV:", "getcontentlength"),
            Self::ContentType => ("DAV:", "getcontenttype"),
            Self::Etag => ("DAV:", "getetag"),
            Self::LastModified => ("DAV:", "getlastmodified"),
            Self::LockDiscovery => ("DAV:", "lockdiscovery"),
            Self::ResourceType => ("DAV:", "resourcetype"),
            Self::SupportedLock => ("DAV:", "supportedlock"),
            Self::QuotaAvailable => ("DAV:", "quota-available-bytes"),
            Self::QuotaUsed => ("DAV:", "quota-used-bytes"),
            Self::SupportedMethods => ("DAV:", "supported-method-set"),
            Self::PrivilegeSet => ("DAV:", "current-user-privilege-set"),
            Self::CurrentPrincipal => ("DAV:", "current-user-principal"),
            Self::Executable => (APACHE, "executable"),
            Self::WindowsModified => (MICROSOFT, "Win32LastModifiedTime"),
            Self::SecondsModified => ("DAV:", "lastmodified"),
            Self::Checksums => (OWNCLOUD, "checksums"),
            Self::SyncToken => ("DAV:", "sync-token"),
            Self::SupportedReports => ("DAV:", "supported-report-set"),
        }
    }

    /// Whether this resource has it.
    pub(crate) fn is_of(self, facts: &Facts<'_>) -> bool {
        let is_file = facts.resource.kind == Kind::File;
        match self {
            Self::CreationDate => facts.resource.born.is_some(),
            Self::DisplayName => !facts.is_root && !facts.has_noted_name,
            Self::Etag => facts.resource.tag.is_some(),
            Self::ContentLength | Self::Executable | Self::WindowsModified | Self::SecondsModified => is_file,
            Self::QuotaAvailable | Self::QuotaUsed => !is_file && facts.room.is_some(),
            Self::Checksums => facts.checksums.is_some(),
            Self::SyncToken => facts.sync_token.is_some(),
            Self::ContentType
            | Self::LastModified
            | Self::LockDiscovery
            | Self::ResourceType
            | Self::SupportedLock
            | Self::SupportedMethods
            | Self::PrivilegeSet
            | Self::SupportedReports
            | Self::CurrentPrincipal => true,
        }
    }

    /// Writes it, of a resource that has it.
    pub(crate) fn write(self, out: &mut PropWriter<'_>, facts: &Facts<'_>) {
        let resource = facts.resource;
        let is_collection = resource.kind == Kind::Dir;
        let (free, used) = facts.room.unwrap_or_default();
        match self {
            Self::CreationDate => {
                out.text("creationdate", &resource.born.unwrap_or_default().format("%Y-%m-%dT%H:%M:%SZ"))
            }
            Self::DisplayName => out.text("displayname", &resource.name.to_text()),
            Self::ContentLength => out.number("getcontentlength", resource.size),
            Self::ContentType if is_collection => out.text("getcontenttype", "httpd/unix-directory"),
            Self::ContentType => {
                let media_type = media::media_type(resource.name.as_bytes());
                out.text("getcontenttype", media_type.to_str().unwrap_or("application/octet-stream"));
            }
            Self::Etag => resource.tag.iter().for_each(|tag| out.shown("getetag", tag)),
            Self::LastModified => out.text("getlastmodified", facts.modified),
            Self::LockDiscovery => out.lock_discovery(facts.locks),
            Self::ResourceType => out.resource_type(is_collection),
            Self::SupportedLock => out.supported_lock(),
            Self::QuotaAvailable => out.number("quota-available-bytes", free),
            Self::QuotaUsed => out.number("quota-used-bytes", used),
            Self::SupportedMethods => out.elements("supported-method-set", &methods(is_collection)),
            Self::PrivilegeSet => out.elements("current-user-privilege-set", &privileges(facts.rights)),
            Self::CurrentPrincipal => out.elements("current-user-principal", "<D:unauthenticated/>"),
            Self::Executable => out.named_text(&self.name(), if resource.is_executable { "T" } else { "F" }),
            Self::WindowsModified => out.named_text(&self.name(), facts.modified),
            Self::SecondsModified => out.text("lastmodified", &resource.modified.seconds().to_string()),
            Self::SyncToken => out.text("sync-token", facts.sync_token.unwrap_or_default()),
            Self::SupportedReports => out.elements("supported-report-set", reports(is_collection)),
            Self::Checksums => {
                let checksum = PropertyName::new(OWNCLOUD, "checksum");
                out.nested(&self.name(), &checksum, facts.checksums.unwrap_or_default());
            }
        }
    }
}

/// The privileges of RFC 3744 §3 that these rights come to.
fn privileges(rights: Rights) -> String {
    let told = [
        ("read", Rights::LOOK),
        ("write", Rights::CREATE | Rights::OVERWRITE | Rights::DELETE),
        ("write-properties", Rights::OVERWRITE),
        ("write-content", Rights::OVERWRITE),
        ("bind", Rights::CREATE),
        ("unbind", Rights::DELETE),
        ("unlock", Rights::CREATE),
        ("read-current-user-privilege-set", Rights::LIST),
    ];
    let told = told.iter().filter(|(_, needed)| rights.contains(*needed));
    told.map(|(name, _)| format!("<D:privilege><D:{name}/></D:privilege>")).collect()
}

/// The reports that there are about a resource (RFC 3253 §3.1.5).
fn reports(is_collection: bool) -> &'static str {
    if is_collection {
        "<D:supported-report><D:report><D:sync-collection/></D:report></D:supported-report>"
    } else {
        ""
    }
}

fn methods(is_collection: bool) -> String {
    let names = reply::methods(is_collection).split(", ");
    names.map(|name| format!("<D:supported-method name=\"{name}\"/>")).collect()
}
