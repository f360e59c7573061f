//! The XML of answers: multistatus, properties, locks and errors, appended to one buffer.
//!
//! Whatever goes in, what comes out is well-formed. The prefix of WebDAV's own namespace is `D` everywhere and there is no space between
//! elements, because some clients read nothing else. Which status something deserves is never decided here.

use std::collections::HashMap;
use std::fmt::{self, Display, Write as _};
use std::sync::Arc;

use actix_web::http::StatusCode;

use crate::model::lock::Scope;
use crate::model::lock_token::LockToken;
use crate::model::property::{DAV, DeadProperty, PropertyName};

use super::document::XML_NAMESPACE;
use super::escape::{TextContext, escaped};

/// What all answers say they are (RFC 4918 §8.2).
pub(crate) const CONTENT_TYPE: &str = "application/xml; charset=utf-8";

/// What ends every multistatus.
pub(crate) const END_OF_MULTISTATUS: &str = "</D:multistatus>";

const PROLOG: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n";

/// A multistatus while it is written (RFC 4918 §14.16).
///
/// It can be sent in parts: [`Multistatus::take`] gives what has been written since the last time.
#[derive(Debug)]
pub(crate) struct Multistatus {
    out: Vec<u8>,
    namespaces: Namespaces,
}

/// The namespaces that have been declared on the root: the first is `n1`.
#[derive(Clone, Debug, Default)]
struct Namespaces {
    in_order: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, usize>,
}

/// One `response` while it is written: what is told of one resource.
#[derive(Debug)]
pub(crate) struct ResponseWriter<'m> {
    out: &'m mut Vec<u8>,
    namespaces: &'m Namespaces,
}

/// The `prop` of one `propstat` while it is written.
#[derive(Debug)]
pub(crate) struct PropWriter<'m> {
    out: &'m mut Vec<u8>,
    namespaces: &'m Namespaces,
}

/// The conditions that a `DAV:error` names (RFC 4918 §16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition<'a> {
    /// A token that this needs is missing; the roots of the locks, at least one.
    LockTokenSubmitted(&'a [&'a str]),
    /// Others hold locks that stand against it; their roots, as far as they may be told.
    NoConflictingLock(&'a [&'a str]),
    /// The token is not of a lock on this resource.
    LockTokenMatchesRequestUri,
    /// The body has a document type declaration.
    NoExternalEntities,
    /// There is more than is told at once (RFC 6578 §3.6).
    NumberOfMatchesWithinLimits,
    /// Only the server sets this property.
    CannotModifyProtectedProperty,
    /// The disk is full (RFC 4331 §6).
    SufficientDiskSpace,
    /// There is no such type of resource (RFC 5689 §3.3).
    ValidResourceType,
    /// There is no such report (RFC 3253 §3.6).
    SupportedReport,
    /// The permission is missing (RFC 3744 §7.1.1).
    NeedPrivileges,
    /// What happened since the token cannot be told (RFC 6578 §3.2).
    ValidSyncToken,
    /// What is in this folder is not told here (RFC 6578 §3.3).
    SyncTraversalSupported,
}

/// A lock as its holder, and everybody who asks, is told of it (RFC 4918 §14.1).
#[derive(Clone, Debug)]
pub(crate) struct ActiveLock {
    /// Whether others may lock it too.
    pub(crate) scope: Scope,
    /// Whether it reaches everything below its root.
    pub(crate) is_deep: bool,
    /// The complete `owner` element, as the reader gave it.
    pub(crate) owner: Option<Box<str>>,
    /// The seconds that are left; `None` is for ever.
    pub(crate) timeout: Option<u64>,
    pub(crate) token: LockToken,
    /// The path of the resource that was locked, encoded for a URL. Some old clients stumble over it, so it can be left out.
    pub(crate) root: Option<String>,
}

impl Multistatus {
    /// Begins one. The namespaces of these names are declared once for all, so that an answer that repeats them stays short.
    pub(crate) fn new<'n>(names: impl IntoIterator<Item = &'n PropertyName>) -> Self {
        let namespaces = Namespaces::of(names);
        let mut out = Vec::with_capacity(1024);
        begin_document(&mut out, "multistatus", &namespaces);
        Self { out, namespaces }
    }

    /// Tells of the properties of one resource. The `href` is a path that is already encoded for a URL.
    ///
    /// If nothing is told, that itself is told, as an empty list (RFC 8144 §2.1).
    pub(crate) fn response(&mut self, href: &str, write: impl FnOnce(&mut ResponseWriter<'_>)) {
        push(&mut self.out, "<D:response>");
        push_href(&mut self.out, href);
        write_propstats(&mut self.out, &self.namespaces, write);
        push(&mut self.out, "</D:response>");
    }

    /// Tells how it went for whole resources, as DELETE, COPY, MOVE and LOCK do where only some of them failed.
    pub(crate) fn status(
        &mut self,
        hrefs: &[&str],
        status: StatusCode,
        condition: Option<&Condition<'_>>,
        description: Option<&str>,
    ) {
        push(&mut self.out, "<D:response>");
        hrefs.iter().for_each(|href| push_href(&mut self.out, href));
        push_status(&mut self.out, status);
        push_explanation(&mut self.out, condition, description);
        push(&mut self.out, "</D:response>");
    }

    /// Tells the token of what was told (RFC 6578 §6.2).
    pub(crate) fn sync_token(&mut self, token: &str) {
        begin_dav(&mut self.out, "sync-token");
        push_escaped(&mut self.out, token, TextContext::Text);
        end_dav(&mut self.out, "sync-token");
    }

    /// How many bytes wait to be taken.
    pub(crate) fn waiting(&self) -> usize {
        self.out.len()
    }

    /// What has been written since it was last taken.
    pub(crate) fn written(&self) -> &[u8] {
        &self.out
    }

    /// Forgets that.
    pub(crate) fn clear(&mut self) {
        self.out.clear();
    }

    /// Takes what has been written since the last time. What follows belongs behind it.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let room = Vec::with_capacity(self.out.capacity());
        std::mem::replace(&mut self.out, room)
    }

    /// Ends it, and gives what has been written since the last time.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        push(&mut self.out, END_OF_MULTISTATUS);
        self.out
    }
}

impl ResponseWriter<'_> {
    /// Tells of the properties that share a status. Those without any are left out.
    pub(crate) fn propstat(&mut self, status: StatusCode, write: impl FnOnce(&mut PropWriter<'_>)) {
        self.propstat_because(status, None, None, write);
    }

    /// Tells of the properties that share a status, and why they have it.
    pub(crate) fn propstat_because(
        &mut self,
        status: StatusCode,
        condition: Option<&Condition<'_>>,
        description: Option<&str>,
        write: impl FnOnce(&mut PropWriter<'_>),
    ) {
        let before = self.out.len();
        push(self.out, "<D:propstat><D:prop>");
        let empty = self.out.len();
        write(&mut PropWriter { out: self.out, namespaces: self.namespaces });
        if self.out.len() == empty {
            self.out.truncate(before);
            return;
        }
        push(self.out, "</D:prop>");
        push_status(self.out, status);
        push_explanation(self.out, condition, description);
        push(self.out, "</D:propstat>");
    }
}

impl PropWriter<'_> {
    /// A property of WebDAV with a text in it.
    pub(crate) fn text(&mut self, local: &str, text: &str) {
        begin_dav(self.out, local);
        push_escaped(self.out, text, TextContext::Text);
        end_dav(self.out, local);
    }

    /// A property of WebDAV with something in it that can be shown as text.
    pub(crate) fn shown(&mut self, local: &str, what: &dyn Display) {
        begin_dav(self.out, local);
        write!(EscapingWriter(self.out), "{what}").expect("memory takes everything");
        end_dav(self.out, local);
    }

    /// A property of WebDAV with a number in it.
    pub(crate) fn number(&mut self, local: &str, number: u64) {
        begin_dav(self.out, local);
        push_number(self.out, number);
        end_dav(self.out, local);
    }

    /// A property of WebDAV with elements in it, written as they are: they have to be well-formed, and may use the prefix `D`.
    pub(crate) fn elements(&mut self, local: &str, xml: &str) {
        begin_dav(self.out, local);
        push(self.out, xml);
        end_dav(self.out, local);
    }

    /// The name of any property, with nothing in it.
    pub(crate) fn name(&mut self, name: &PropertyName) {
        self.named(name, None);
    }

    /// Any property with a text in it.
    pub(crate) fn named_text(&mut self, name: &PropertyName, text: &str) {
        self.named(name, Some(text));
    }

    /// Any property with one element with a text in it.
    pub(crate) fn nested(&mut self, name: &PropertyName, inner: &PropertyName, text: &str) {
        push(self.out, "<");
        if !self.namespaces.push_tag(self.out, name) {
            push(self.out, " xmlns:n=\"");
            push_escaped(self.out, name.namespace(), TextContext::Attribute);
            push(self.out, "\"");
        }
        push(self.out, ">");
        self.named(inner, Some(text));
        push(self.out, "</");
        self.namespaces.push_tag(self.out, name);
        push(self.out, ">");
    }

    /// A dead property, as it was set.
    pub(crate) fn dead(&mut self, property: &DeadProperty) {
        push(self.out, property.xml());
    }

    /// What kind of resource it is.
    pub(crate) fn resource_type(&mut self, is_collection: bool) {
        let kind = if is_collection { "<D:resourcetype><D:collection/></D:resourcetype>" } else { "<D:resourcetype/>" };
        push(self.out, kind);
    }

    /// Which locks can be had: exclusive and shared ones, for writing.
    pub(crate) fn supported_lock(&mut self) {
        push(
            self.out,
            "<D:supportedlock><D:lockentry><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>\
             <D:lockentry><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry></D:supportedlock>",
        );
    }

    /// Which locks there are; empty where there are none.
    pub(crate) fn lock_discovery<'l>(&mut self, locks: impl IntoIterator<Item = &'l ActiveLock>) {
        push_lock_discovery(self.out, locks);
    }

    fn named(&mut self, name: &PropertyName, text: Option<&str>) {
        let text = text.filter(|text| !text.is_empty());
        push(self.out, "<");
        let declared = self.namespaces.push_tag(self.out, name);
        if !declared {
            push(self.out, " xmlns:n=\"");
            push_escaped(self.out, name.namespace(), TextContext::Attribute);
            push(self.out, "\"");
        }
        let Some(text) = text else { return push(self.out, "/>") };
        push(self.out, ">");
        push_escaped(self.out, text, TextContext::Text);
        push(self.out, "</");
        self.namespaces.push_tag(self.out, name);
        push(self.out, ">");
    }
}

impl Condition<'_> {
    fn parts(&self) -> (&'static str, &[&str]) {
        match self {
            Self::LockTokenSubmitted(roots) => ("lock-token-submitted", roots),
            Self::NoConflictingLock(roots) => ("no-conflicting-lock", roots),
            Self::LockTokenMatchesRequestUri => ("lock-token-matches-request-uri", &[]),
            Self::NoExternalEntities => ("no-external-entities", &[]),
            Self::NumberOfMatchesWithinLimits => ("number-of-matches-within-limits", &[]),
            Self::CannotModifyProtectedProperty => ("cannot-modify-protected-property", &[]),
            Self::SufficientDiskSpace => ("sufficient-disk-space", &[]),
            Self::ValidResourceType => ("valid-resourcetype", &[]),
            Self::SupportedReport => ("supported-report", &[]),
            Self::NeedPrivileges => ("need-privileges", &[]),
            Self::ValidSyncToken => ("valid-sync-token", &[]),
            Self::SyncTraversalSupported => ("sync-traversal-supported", &[]),
        }
    }
}

impl Namespaces {
    fn of<'n>(names: impl IntoIterator<Item = &'n PropertyName>) -> Self {
        let mut found = Self::default();
        for namespace in names.into_iter().map(PropertyName::namespace) {
            if !matches!(namespace, DAV | XML_NAMESPACE | "") && !found.numbers.contains_key(namespace) {
                let namespace: Arc<str> = namespace.into();
                found.in_order.push(Arc::clone(&namespace));
                found.numbers.insert(namespace, found.in_order.len());
            }
        }
        found
    }

    /// Writes a name with its prefix. Says whether that is declared: if not, it is `n`, and the caller's to declare.
    fn push_tag(&self, out: &mut Vec<u8>, name: &PropertyName) -> bool {
        let mut is_declared = true;
        match name.namespace() {
            DAV => push(out, "D:"),
            // No other prefix may stand for it, and this one for nothing else (Namespaces in XML 1.0 §3).
            XML_NAMESPACE => push(out, "xml:"),
            "" => {}
            namespace => {
                push(out, "n");
                let number = self.numbers.get(namespace);
                is_declared = number.is_some();
                number.into_iter().for_each(|number| push_number(out, *number as u64));
                push(out, ":");
            }
        }
        push(out, name.local());
        is_declared
    }
}

/// The answer to a LOCK: the locks of the resource, the new or refreshed one among them.
pub(crate) fn lock_answer<'l>(locks: impl IntoIterator<Item = &'l ActiveLock>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    begin_document(&mut out, "prop", &Namespaces::default());
    push_lock_discovery(&mut out, locks);
    push(&mut out, "</D:prop>");
    out
}

/// The body of a refusal: the conditions that do not hold, at least one, and a sentence for a person.
pub(crate) fn error(conditions: &[Condition<'_>], description: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    begin_document(&mut out, "error", &Namespaces::default());
    conditions.iter().for_each(|condition| push_condition(&mut out, condition));
    push_description(&mut out, description);
    push(&mut out, "</D:error>");
    out
}

/// The answer to an extended MKCOL that failed, or that its client wants told (RFC 5689 §3.1).
pub(crate) fn mkcol_response<'n>(
    names: impl IntoIterator<Item = &'n PropertyName>,
    write: impl FnOnce(&mut ResponseWriter<'_>),
) -> Vec<u8> {
    let namespaces = Namespaces::of(names);
    let mut out = Vec::with_capacity(512);
    begin_document(&mut out, "mkcol-response", &namespaces);
    write_propstats(&mut out, &namespaces, write);
    push(&mut out, "</D:mkcol-response>");
    out
}

/// Takes text, and escapes it on its way.
struct EscapingWriter<'m>(&'m mut Vec<u8>);

impl fmt::Write for EscapingWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_escaped(self.0, text, TextContext::Text);
        Ok(())
    }
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn push_escaped(out: &mut Vec<u8>, text: &str, place: TextContext) {
    escaped(text, place).for_each(|piece| push(out, piece));
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    let (mut digits, mut at, mut rest) = ([0; 20], 20, number);
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).expect("a digit is less than ten");
        rest /= 10;
        if rest == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

fn begin_document(out: &mut Vec<u8>, root: &str, namespaces: &Namespaces) {
    for part in [PROLOG, "<D:", root, " xmlns:D=\"DAV:\""] {
        push(out, part);
    }
    for (number, namespace) in (1..).zip(&namespaces.in_order) {
        push(out, " xmlns:n");
        push_number(out, number);
        push(out, "=\"");
        push_escaped(out, namespace, TextContext::Attribute);
        push(out, "\"");
    }
    push(out, ">");
}

fn begin_dav(out: &mut Vec<u8>, local: &str) {
    push(out, "<D:");
    push(out, local);
    push(out, ">");
}

fn end_dav(out: &mut Vec<u8>, local: &str) {
    push(out, "</D:");
    push(out, local);
    push(out, ">");
}

fn push_href(out: &mut Vec<u8>, href: &str) {
    push(out, "<D:href>");
    push_escaped(out, href, TextContext::Text);
    push(out, "</D:href>");
}

fn write_propstats(out: &mut Vec<u8>, namespaces: &Namespaces, write: impl FnOnce(&mut ResponseWriter<'_>)) {
    let before = out.len();
    write(&mut ResponseWriter { out, namespaces });
    if out.len() == before {
        push(out, "<D:propstat><D:prop/>");
        // The default is 200; a status of its own has no place in this room.
        push_status(out, StatusCode::default());
        push(out, "</D:propstat>");
    }
}

fn push_status(out: &mut Vec<u8>, status: StatusCode) {
    for part in ["<D:status>HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or("-"), "</D:status>"] {
        push(out, part);
    }
}

fn push_explanation(out: &mut Vec<u8>, condition: Option<&Condition<'_>>, description: Option<&str>) {
    if let Some(condition) = condition {
        push(out, "<D:error>");
        push_condition(out, condition);
        push(out, "</D:error>");
    }
    push_description(out, description);
}

fn push_description(out: &mut Vec<u8>, description: Option<&str>) {
    let Some(description) = description else { return };
    begin_dav(out, "responsedescription");
    push_escaped(out, description, TextContext::Text);
    end_dav(out, "responsedescription");
}

fn push_condition(out: &mut Vec<u8>, condition: &Condition<'_>) {
    let (name, hrefs) = condition.parts();
    push(out, "<D:");
    push(out, name);
    if hrefs.is_empty() {
        return push(out, "/>");
    }
    push(out, ">");
    hrefs.iter().for_each(|href| push_href(out, href));
    end_dav(out, name);
}

fn push_lock_discovery<'l>(out: &mut Vec<u8>, locks: impl IntoIterator<Item = &'l ActiveLock>) {
    let mut locks = locks.into_iter().peekable();
    if locks.peek().is_none() {
        return push(out, "<D:lockdiscovery/>");
    }
    push(out, "<D:lockdiscovery>");
    locks.for_each(|lock| push_active_lock(out, lock));
    push(out, "</D:lockdiscovery>");
}

fn push_active_lock(out: &mut Vec<u8>, lock: &ActiveLock) {
    push(out, "<D:activelock><D:locktype><D:write/></D:locktype>");
    push(
        out,
        match lock.scope {
            Scope::Exclusive => "<D:lockscope><D:exclusive/></D:lockscope>",
            Scope::Shared => "<D:lockscope><D:shared/></D:lockscope>",
        },
    );
    push(out, if lock.is_deep { "<D:depth>infinity</D:depth>" } else { "<D:depth>0</D:depth>" });
    push(out, lock.owner.as_deref().unwrap_or_default());
    match lock.timeout {
        Some(seconds) => {
            push(out, "<D:timeout>Second-");
            push_number(out, seconds);
            push(out, "</D:timeout>");
        }
        None => push(out, "<D:timeout>Infinite</D:timeout>"),
    }
    push(out, "<D:locktoken>");
    push_href(out, lock.token.as_str());
    push(out, "</D:locktoken>");
    if let Some(root) = &lock.root {
        push(out, "<D:lockroot>");
        push_href(out, root);
        push(out, "</D:lockroot>");
    }
    push(out, "</D:activelock>");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::read::{Instruction, Propfind, Proppatch};
    use super::*;
    use proptest::prelude::*;

    /// The answer without its prolog, and with `#` for the version of HTTP.
    #[track_caller]
    fn assert_answer(answer: &[u8], expected: &str) {
        let text = str::from_utf8(answer).unwrap();
        let inner = text.strip_prefix("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n").unwrap();
        assert_eq!(inner.replace("HTTP/1.1 ", "#"), expected);
        super::super::read::check(answer).unwrap();
    }

    fn a_lock() -> ActiveLock {
        ActiveLock {
            scope: Scope::Exclusive,
            is_deep: false,
            owner: Some("<D:owner xmlns:D=\"DAV:\">A &amp; B</D:owner>".into()),
            timeout: Some(3600),
            token: LockToken::parse("urn:uuid:1").unwrap(),
            root: Some("/a&b".to_owned()),
        }
    }

    #[test]
    fn properties_are_told_by_their_status() {
        let asked = [
            PropertyName::dav("getetag"),
            PropertyName::new("urn:\"x\"", "a"),
            PropertyName::new("", "b"),
            PropertyName::new("urn:\"x\"", "c"),
            PropertyName::new("urn:y", "d"),
        ];
        let mut answer = Multistatus::new(&asked[..4]);
        answer.response("/a/", |response| {
            response.propstat(StatusCode::OK, |properties| {
                properties.resource_type(true);
                properties.text("getetag", "\"1<2\"");
                properties.number("getcontentlength", u64::MAX);
                properties.elements("current-user-principal", "<D:href>/me&amp;you</D:href>");
                properties.elements("quota", "<D:x/>");
                properties.dead(&DeadProperty::new(asked[2].clone(), "<b>c</b>"));
            });
            response.propstat(StatusCode::NOT_FOUND, |properties| asked.iter().for_each(|name| properties.name(name)));
            response.propstat(StatusCode::FORBIDDEN, |_| {});
        });
        let first = answer.take();
        assert_eq!(answer.waiting(), 0);
        answer.response("/%3C", |response| {
            let why = Some(&Condition::CannotModifyProtectedProperty);
            response.propstat_because(StatusCode::FORBIDDEN, why, Some("no <way>"), |properties| {
                properties.named_text(&asked[1], "1 & 2");
                properties.named_text(&asked[4], "\u{0}");
                properties.named_text(&asked[0], "");
            });
        });
        answer.response("/c", |_| {});
        assert_answer(
            &[first, answer.finish()].concat(),
            "<D:multistatus xmlns:D=\"DAV:\" xmlns:n1=\"urn:&quot;x&quot;\"><D:response><D:href>/a/</D:href>\
             <D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype><D:getetag>\"1&lt;2\"</D:getetag>\
             <D:getcontentlength>18446744073709551615</D:getcontentlength>\
             <D:current-user-principal><D:href>/me&amp;you</D:href></D:current-user-principal><D:quota><D:x/></D:quota><b>c</b></D:prop>\
             <D:status>#200 OK</D:status></D:propstat>\
             <D:propstat><D:prop><D:getetag/><n1:a/><b/><n1:c/><n:d xmlns:n=\"urn:y\"/></D:prop><D:status>#404 Not Found</D:status></D:propstat>\
             </D:response><D:response><D:href>/%3C</D:href><D:propstat><D:prop><n1:a>1 &amp; 2</n1:a><n:d xmlns:n=\"urn:y\">\u{FFFD}</n:d>\
             <D:getetag/></D:prop><D:status>#403 Forbidden</D:status><D:error><D:cannot-modify-protected-property/></D:error>\
             <D:responsedescription>no &lt;way&gt;</D:responsedescription></D:propstat></D:response>\
             <D:response><D:href>/c</D:href><D:propstat><D:prop/><D:status>#200 OK</D:status></D:propstat></D:response></D:multistatus>",
        );
    }

    #[test]
    fn whole_resources_have_a_status() {
        let mut answer = Multistatus::new(&[]);
        answer.status(&["/a"], StatusCode::LOCKED, Some(&Condition::LockTokenSubmitted(&["/b&c", "/d"])), None);
        answer.status(&["/e", "/f"], StatusCode::FAILED_DEPENDENCY, None, Some("later"));
        assert_answer(
            &answer.finish(),
            "<D:multistatus xmlns:D=\"DAV:\"><D:response><D:href>/a</D:href><D:status>#423 Locked</D:status><D:error>\
             <D:lock-token-submitted><D:href>/b&amp;c</D:href><D:href>/d</D:href></D:lock-token-submitted></D:error></D:response>\
             <D:response><D:href>/e</D:href><D:href>/f</D:href><D:status>#424 Failed Dependency</D:status>\
             <D:responsedescription>later</D:responsedescription></D:response></D:multistatus>",
        );
    }

    #[test]
    fn locks_are_told_in_full() {
        let shared =
            ActiveLock { scope: Scope::Shared, is_deep: true, owner: None, timeout: None, root: None, ..a_lock() };
        assert_answer(
            &lock_answer([&a_lock(), &shared]),
            "<D:prop xmlns:D=\"DAV:\"><D:lockdiscovery><D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:exclusive/></D:lockscope>\
             <D:depth>0</D:depth><D:owner xmlns:D=\"DAV:\">A &amp; B</D:owner><D:timeout>Second-3600</D:timeout>\
             <D:locktoken><D:href>urn:uuid:1</D:href></D:locktoken><D:lockroot><D:href>/a&amp;b</D:href></D:lockroot></D:activelock>\
             <D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:shared/></D:lockscope><D:depth>infinity</D:depth>\
             <D:timeout>Infinite</D:timeout><D:locktoken><D:href>urn:uuid:1</D:href></D:locktoken></D:activelock></D:lockdiscovery></D:prop>",
        );
        let mut answer = Multistatus::new(&[]);
        answer.response("/", |response| {
            response.propstat(StatusCode::OK, |properties| {
                properties.lock_discovery([]);
                properties.supported_lock();
            });
        });
        assert_answer(
            &answer.finish(),
            "<D:multistatus xmlns:D=\"DAV:\"><D:response><D:href>/</D:href><D:propstat><D:prop><D:lockdiscovery/><D:supportedlock>\
             <D:lockentry><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>\
             <D:lockentry><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry></D:supportedlock></D:prop>\
             <D:status>#200 OK</D:status></D:propstat></D:response></D:multistatus>",
        );
    }

    #[test]
    fn refusals_name_their_conditions() {
        let conditions = [
            Condition::NoConflictingLock(&["/a"]),
            Condition::NoConflictingLock(&[]),
            Condition::NumberOfMatchesWithinLimits,
        ];
        assert_answer(
            &error(&conditions, Some("a & b")),
            "<D:error xmlns:D=\"DAV:\"><D:no-conflicting-lock><D:href>/a</D:href></D:no-conflicting-lock><D:no-conflicting-lock/>\
             <D:number-of-matches-within-limits/><D:responsedescription>a &amp; b</D:responsedescription></D:error>",
        );
        let name = PropertyName::new("urn:x", "a");
        let answer = mkcol_response([&name], |response| {
            let why = Some(&Condition::ValidResourceType);
            response.propstat_because(StatusCode::FORBIDDEN, why, None, |properties| {
                properties.name(&PropertyName::dav("resourcetype"))
            });
            response.propstat(StatusCode::FAILED_DEPENDENCY, |properties| properties.name(&name));
        });
        assert_answer(
            &answer,
            "<D:mkcol-response xmlns:D=\"DAV:\" xmlns:n1=\"urn:x\"><D:propstat><D:prop><D:resourcetype/></D:prop><D:status>#403 Forbidden</D:status>\
             <D:error><D:valid-resourcetype/></D:error></D:propstat><D:propstat><D:prop><n1:a/></D:prop>\
             <D:status>#424 Failed Dependency</D:status></D:propstat></D:mkcol-response>",
        );
    }

    fn names() -> impl Strategy<Value = PropertyName> {
        ("(DAV:|urn:[a-z&<\"']{0,3}|)", "[a-zé][a-z0-9.-]{0,4}")
            .prop_map(|(namespace, local)| PropertyName::new(namespace, local))
    }

    proptest! {
        #[test]
        fn whatever_is_told_can_be_read(told in prop::collection::vec((names(), any::<String>()), 0..8), declared in 0..8_usize) {
            let mut answer = Multistatus::new(told.iter().take(declared).map(|(name, _)| name));
            answer.response("/", |response| {
                response.propstat(StatusCode::OK, |properties| {
                    told.iter().for_each(|(name, text)| properties.named_text(name, text));
                });
            });
            let text = String::from_utf8(answer.finish()).unwrap();
            let declared = text.split_once("<D:multistatus").unwrap().1.split_once('>').unwrap().0;
            let inner = text.split_once("<D:prop>").map_or("", |(_, rest)| rest.rsplit_once("</D:prop>").unwrap().0);

            let asked = Propfind::parse(format!("<D:propfind{declared}><D:prop>{inner}</D:prop></D:propfind>").as_bytes());
            let mut once: Vec<PropertyName> = Vec::new();
            told.iter().for_each(|(name, _)| if !once.contains(name) { once.push(name.clone()) });
            prop_assert_eq!(asked, Ok(Propfind::Prop(once)));

            let body = format!("<D:propertyupdate{declared}><D:set><D:prop>{inner}</D:prop></D:set></D:propertyupdate>");
            let read: Vec<(PropertyName, String)> = Proppatch::parse(body.as_bytes()).unwrap().0.iter().map(|step| {
                let Instruction::Set(property) = step else { panic!("{step:?}") };
                (property.name().clone(), property.text().unwrap().into_owned())
            }).collect();
            let meant: Vec<(PropertyName, String)> = told.iter().map(|(name, text)| (name.clone(), text.chars().map(in_xml).collect())).collect();
            prop_assert_eq!(read, meant);
        }
    }

    fn in_xml(c: char) -> char {
        let is_forbidden = c < ' ' && !matches!(c, '\t' | '\n' | '\r') || matches!(c, '\u{FFFE}' | '\u{FFFF}');
        if is_forbidden { '\u{FFFD}' } else { c }
    }
}
