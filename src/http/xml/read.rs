//! The bodies of PROPFIND, PROPPATCH, REPORT, LOCK and extended MKCOL, parsed into values.
//!
//! Elements are known by their namespace and name, never by a prefix, and whatever else stands in a body is left out as if it were not
//! there (RFC 4918 §17), though it has to be well-formed. What the values mean for a resource is never decided here.

use std::collections::HashSet;

use crate::model::lock::Scope;
use crate::model::property::{DeadProperty, PropertyName};

use super::XmlError::{self, TooLarge, Unexpected, Unprocessable};
use super::document::{Decoded, Document, Element};

/// The most properties that one body names. An answer may repeat each of them for every resource.
pub(crate) const PROPERTIES_MAX: usize = 1024;

/// The most bytes that the names of these properties come to.
const NAMES_BYTES_MAX: usize = 32 * 1024;

/// The longest token, level or number, in bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// What a PROPFIND asks for (RFC 4918 §14.20).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Propfind {
    /// Every property that RFC 4918 defines and every dead one, and some others besides.
    AllProp {
        /// The others, each once.
        include: Vec<PropertyName>,
    },
    /// The names of all properties there are.
    PropName,
    /// These properties, each once, in the order in which they were asked for.
    Prop(Vec<PropertyName>),
}

/// One step of a PROPPATCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Instruction {
    /// Sets a property, whether or not it is there.
    Set(DeadProperty),
    /// Removes a property, whether or not it is there.
    Remove(PropertyName),
}

/// The steps of a PROPPATCH, in the order in which they are to be done (RFC 4918 §9.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proppatch(pub(crate) Vec<Instruction>);

/// What a LOCK with a body asks for (RFC 4918 §14.11). There are no locks but write locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LockInfo {
    /// Whether others may lock it too.
    pub(crate) scope: Scope,
    /// The `owner` element as it was sent, complete and self-contained: `<D:owner …>…</D:owner>`.
    pub(crate) owner: Option<Box<str>>,
}

/// What a REPORT asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// What is in a folder, or has become of it.
    SyncCollection(SyncCollection),
    /// One that is not known here.
    Another,
}

/// What a client asks for that follows a folder (RFC 6578 §6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyncCollection {
    /// The token that it was given last; none at the beginning.
    pub(crate) token: Option<Box<str>>,
    /// Whether all below the folder is meant, and not the members alone.
    pub(crate) is_infinite: bool,
    /// How many words it wants at most.
    pub(crate) count_max: Option<usize>,
    /// The properties of what is there.
    pub(crate) names: Vec<PropertyName>,
}

/// What an extended MKCOL asks for (RFC 5689 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MakeCollection {
    /// The types it is to have, if that is said.
    pub(crate) resource_type: Option<Vec<PropertyName>>,
    /// The properties it begins with; the type is not among them.
    pub(crate) properties: Vec<DeadProperty>,
}

impl Propfind {
    /// Parses the body of a PROPFIND; an empty one asks for everything (RFC 4918 §9.1).
    pub(crate) fn parse(body: &[u8]) -> Result<Self, XmlError> {
        if body.is_empty() {
            return Ok(Self::AllProp { include: Vec::new() });
        }
        with_document(body, "propfind", |document| {
            let (mut kinds, mut include) = (Vec::new(), Names::default());
            while let Some(child) = document.child()? {
                match child.as_dav() {
                    Some("prop") => kinds.push(Self::Prop(Names::of_children(document)?.list)),
                    Some("include") => include.add_children(document)?,
                    Some("allprop") => {
                        document.skip()?;
                        kinds.push(Self::AllProp { include: Vec::new() });
                    }
                    Some("propname") => {
                        document.skip()?;
                        kinds.push(Self::PropName);
                    }
                    _ => document.skip()?,
                }
            }
            let kind = kinds.pop().ok_or(Unexpected("none of prop, allprop and propname"))?;
            match kind {
                _ if !kinds.is_empty() => Err(Unexpected("more than one of prop, allprop and propname")),
                Self::AllProp { .. } => Ok(Self::AllProp { include: include.list }),
                other => Ok(other),
            }
        })
    }
}

impl Proppatch {
    /// Parses the body of a PROPPATCH.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, XmlError> {
        with_document(body, "propertyupdate", |document| {
            let (mut steps, mut has_instruction, mut has_other) = (Vec::new(), false, false);
            while let Some(child) = document.child()? {
                let is_set = match child.as_dav() {
                    Some("set") => true,
                    Some("remove") => false,
                    other => {
                        has_other |= other.is_some();
                        document.skip()?;
                        continue;
                    }
                };
                has_instruction = true;
                each_property(document, |document, property| {
                    room_for_one(steps.len())?;
                    let name = name_of(&property);
                    steps.push(if is_set {
                        Instruction::Set(DeadProperty::new(name, document.copy(&property)?))
                    } else {
                        document.skip()?;
                        Instruction::Remove(name)
                    });
                    Ok(())
                })?;
            }
            // Nothing at all is nothing to be done; properties without a word on what to do with them are a mistake.
            if has_other && !has_instruction { Err(Unexpected("neither set nor remove")) } else { Ok(Self(steps)) }
        })
    }
}

impl LockInfo {
    /// Parses the body of a LOCK. An empty body is a refresh, which is for the caller to see.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, XmlError> {
        with_document(body, "lockinfo", |document| {
            let (mut scopes, mut types, mut owner) = (None, None, None);
            while let Some(child) = document.child()? {
                match child.as_dav() {
                    Some("lockscope") if scopes.is_none() => scopes = Some(dav_children(document)?),
                    Some("locktype") if types.is_none() => types = Some(dav_children(document)?),
                    Some("owner") if owner.is_none() => owner = Some(document.copy_with_prefix(&child)?),
                    _ => document.skip()?,
                }
            }
            let scopes = scopes.ok_or(Unexpected("no lockscope"))?;
            let types = types.ok_or(Unexpected("no locktype"))?;
            let scope = match scopes[..] {
                ["exclusive"] => Scope::Exclusive,
                ["shared"] => Scope::Shared,
                _ => return Err(Unprocessable("a lock that is neither exclusive nor shared")),
            };
            if types[..] == ["write"] {
                Ok(Self { scope, owner })
            } else {
                Err(Unprocessable("a lock that is not for writing"))
            }
        })
    }
}

impl Report {
    /// Parses the body of a REPORT. An empty one is of no report.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, XmlError> {
        if body.is_empty() {
            return Ok(Self::Another);
        }
        let decoded = Decoded::new(body)?;
        let mut document = Document::new(&decoded);
        let report = if document.root()?.as_dav() == Some("sync-collection") {
            Self::SyncCollection(SyncCollection::read(&mut document)?)
        } else {
            document.skip()?;
            Self::Another
        };
        document.finish()?;
        Ok(report)
    }
}

impl SyncCollection {
    fn read(document: &mut Document<'_>) -> Result<Self, XmlError> {
        let (mut token, mut level, mut count_max, mut names) = (None, None, None, None);
        while let Some(child) = document.child()? {
            match child.as_dav() {
                Some("sync-token") if token.is_none() => token = Some(document.text(TEXT_BYTES_MAX)?),
                Some("sync-level") if level.is_none() => level = Some(document.text(TEXT_BYTES_MAX)?),
                Some("limit") if count_max.is_none() => count_max = Some(read_limit(document)?),
                Some("prop") if names.is_none() => names = Some(Names::of_children(document)?.list),
                Some("sync-token" | "sync-level" | "limit" | "prop") => {
                    return Err(Unexpected("one of its elements twice"));
                }
                _ => document.skip()?,
            }
        }
        let token = token.ok_or(Unexpected("no sync-token"))?;
        let is_infinite = match level.as_deref() {
            Some("1") => false,
            Some("infinite" | "infinity") => true,
            _ => return Err(Unexpected("a sync-level that is neither 1 nor infinite")),
        };
        let names = names.ok_or(Unexpected("no prop"))?;
        let token = (!token.is_empty()).then(|| token.into());
        Ok(Self { token, is_infinite, count_max, names })
    }
}

/// The number in a `limit` (RFC 5323 §5.17).
fn read_limit(document: &mut Document<'_>) -> Result<usize, XmlError> {
    let mut count = None;
    while let Some(child) = document.child()? {
        match child.as_dav() {
            Some("nresults") if count.is_none() => count = Some(document.text(TEXT_BYTES_MAX)?),
            Some("nresults") => return Err(Unexpected("two limits")),
            _ => document.skip()?,
        }
    }
    let count = count.filter(|count| !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit()));
    let count = count.ok_or(Unexpected("a limit without a number"))?;
    match count.trim_start_matches('0') {
        "" => Err(Unexpected("a limit of nothing")),
        // More than can be counted is no limit.
        count => Ok(count.parse().unwrap_or(usize::MAX)),
    }
}

impl MakeCollection {
    /// Parses the body of an extended MKCOL. An empty body is an ordinary MKCOL, which is for the caller to see.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, XmlError> {
        with_document(body, "mkcol", |document| {
            let mut wanted = Self { resource_type: None, properties: Vec::new() };
            let mut has_set = false;
            while let Some(child) = document.child()? {
                if child.as_dav() != Some("set") {
                    document.skip()?;
                    continue;
                }
                has_set = true;
                each_property(document, |document, property| {
                    room_for_one(wanted.properties.len())?;
                    if property.as_dav() == Some("resourcetype") {
                        wanted.resource_type = Some(Names::of_children(document)?.list);
                    } else {
                        let xml = document.copy(&property)?;
                        wanted.properties.push(DeadProperty::new(name_of(&property), xml));
                    }
                    Ok(())
                })?;
            }
            if has_set { Ok(wanted) } else { Err(Unexpected("no set")) }
        })
    }

    /// Whether what it asks for is a collection and nothing more.
    pub(crate) fn is_plain_collection(&self) -> bool {
        let types = self.resource_type.as_deref().unwrap_or_default();
        types.len() == 1 && types[0].as_dav() == Some("collection")
    }
}

/// Whether a body is well-formed and inside of the limits, whatever it is about.
pub(crate) fn check(body: &[u8]) -> Result<(), XmlError> {
    let decoded = Decoded::new(body)?;
    let mut document = Document::new(&decoded);
    document.root()?;
    document.skip()?;
    document.finish()
}

/// Names in the order in which they came, each once.
#[derive(Default)]
struct Names {
    list: Vec<PropertyName>,
    met: HashSet<PropertyName>,
    bytes: usize,
}

impl Names {
    fn of_children(document: &mut Document<'_>) -> Result<Self, XmlError> {
        let mut names = Self::default();
        names.add_children(document)?;
        Ok(names)
    }

    /// Reads the names of the elements inside of the one that is open, to its end.
    fn add_children(&mut self, document: &mut Document<'_>) -> Result<(), XmlError> {
        while let Some(child) = document.child()? {
            let name = name_of(&child);
            document.skip()?;
            if self.met.contains(&name) {
                continue;
            }
            room_for_one(self.list.len())?;
            self.bytes += name.namespace().len() + name.local().len();
            if self.bytes > NAMES_BYTES_MAX {
                return Err(TooLarge("names of properties that are too long"));
            }
            self.met.insert(name.clone());
            self.list.push(name);
        }
        Ok(())
    }
}

/// Reads a whole document of this root.
fn with_document<T>(
    body: &[u8],
    root: &'static str,
    read: impl FnOnce(&mut Document<'_>) -> Result<T, XmlError>,
) -> Result<T, XmlError> {
    let decoded = Decoded::new(body)?;
    let mut document = Document::new(&decoded);
    if document.root()?.as_dav() != Some(root) {
        // What is not well-formed further on is worse than a wrong root.
        document.skip()?;
        document.finish()?;
        return Err(Unexpected("another root"));
    }
    let value = read(&mut document)?;
    document.finish()?;
    Ok(value)
}

/// Goes through the properties in the `prop` elements of the `set` or `remove` that is open. What is called reads each to its end.
fn each_property<'x>(
    document: &mut Document<'x>,
    mut take: impl FnMut(&mut Document<'x>, Element<'x>) -> Result<(), XmlError>,
) -> Result<(), XmlError> {
    let mut has_prop = false;
    while let Some(child) = document.child()? {
        if child.as_dav() != Some("prop") {
            document.skip()?;
            continue;
        }
        has_prop = true;
        while let Some(property) = document.child()? {
            take(document, property)?;
        }
    }
    if has_prop { Ok(()) } else { Err(Unexpected("an instruction without prop")) }
}

/// The elements of WebDAV inside of the one that is open, read to its end.
fn dav_children<'x>(document: &mut Document<'x>) -> Result<Vec<&'x str>, XmlError> {
    let mut names = Vec::new();
    while let Some(child) = document.child()? {
        names.extend(child.as_dav());
        document.skip()?;
    }
    Ok(names)
}

fn name_of(element: &Element<'_>) -> PropertyName {
    PropertyName::new(element.namespace().clone(), element.local())
}

fn room_for_one(count: usize) -> Result<(), XmlError> {
    if count < PROPERTIES_MAX { Ok(()) } else { Err(TooLarge("too many properties")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::XmlError::Malformed;
    use super::*;

    fn name(namespace: &str, local: &str) -> PropertyName {
        PropertyName::new(namespace, local)
    }

    fn dav(locals: &[&str]) -> Vec<PropertyName> {
        locals.iter().map(|local| PropertyName::dav(local)).collect()
    }

    /// What a PROPPATCH sets one property to, and as which name.
    fn set(properties: &str) -> (PropertyName, String) {
        let body = format!("<D:propertyupdate xmlns:D=\"DAV:\"><D:set>{properties}</D:set></D:propertyupdate>");
        match &Proppatch::parse(body.as_bytes()).unwrap().0[..] {
            [Instruction::Set(property)] => (property.name().clone(), property.xml().to_owned()),
            other => panic!("{other:?}"),
        }
    }

    /// However a body is made, reading it takes a time that grows as its length does: attributes, prefixes and long namespaces are compared no
    /// more often than there are some. Measured against a body of an eighth, with a wide margin.
    #[test]
    fn reading_takes_no_longer_than_its_length_says() {
        let attributes: String = (0..58).map(|n| format!(" a{n}=''")).collect();
        let prefixed: String = (0..28).map(|n| format!(" xmlns:p{n}='urn:{n}' p{n}:a=''")).collect();
        let of_long_namespaces: String = (0..30).map(|n| format!(" p:a{n}='' q:a{n}=''")).collect();
        let namespace = |last: &str| format!("urn:{}{last}", "x".repeat(900));
        let (one, other) = (namespace("1"), namespace("2"));
        type Body<'a> = (&'a str, Box<dyn Fn(usize) -> String + 'a>);
        let bodies: [Body<'_>; 4] = [
            ("attributes", Box::new(|count| format!("<a{attributes}/>").repeat(count))),
            ("prefixes", Box::new(|count| format!("<a{prefixed}/>").repeat(count))),
            ("long namespaces", Box::new(|count| format!("<a{of_long_namespaces}/>").repeat(count))),
            ("long names", Box::new(|count| "<p:a/>".repeat(count))),
        ];
        for (what, inside) in bodies {
            let body = |count| {
                let inside = inside(count);
                format!(
                    "<D:propfind xmlns:D='DAV:' xmlns:p='{one}' xmlns:q='{other}'><D:prop>{inside}</D:prop></D:propfind>"
                )
            };
            let time = |count| {
                let body = body(count);
                // What else the machine does counts for nothing.
                let clock = || {
                    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
                    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
                };
                let once = || {
                    let begun = clock();
                    let _ = Propfind::parse(body.as_bytes());
                    clock() - begun
                };
                (0..5).map(|_| once()).min().unwrap()
            };
            let (few, many) = (time(50), time(400));
            assert!(many < few * 32, "{what}: {few:?} for 50 elements, {many:?} for 400");
        }
    }

    /// A namespace is compared and remembered for every name in it, so that a long one is refused.
    #[test]
    fn a_namespace_has_an_end() {
        let body = |length: usize| {
            format!("<D:propfind xmlns:D='DAV:'><D:prop><a xmlns='{}'/></D:prop></D:propfind>", "x".repeat(length))
        };
        assert!(Propfind::parse(body(1024).as_bytes()).is_ok());
        assert_eq!(Propfind::parse(body(1025).as_bytes()), Err(TooLarge("a namespace that is too long")));
    }

    #[test]
    fn what_a_propfind_asks_for() {
        let all = |include: &[&str]| Propfind::AllProp { include: dav(include) };
        let prop = |locals: &[&str]| Propfind::Prop(dav(locals));
        for (body, asked) in [
            ("", all(&[])),
            ("<D:propfind xmlns:D='DAV:'><D:allprop/></D:propfind>", all(&[])),
            ("<propfind xmlns='DAV:'><propname/></propfind>", Propfind::PropName),
            ("<x:propfind xmlns:x='DAV:'><x:prop><x:a/><b xmlns='DAV:'/></x:prop></x:propfind>", prop(&["a", "b"])),
            ("<propfind xmlns='DAV:'><prop><a/><b/><a>c</a></prop></propfind>", prop(&["a", "b"])),
            ("<propfind xmlns='DAV:'><prop/></propfind>", prop(&[])),
            ("<propfind xmlns='DAV:'><prop><a><b/></a></prop></propfind>", prop(&["a"])),
            (
                "<propfind xmlns='DAV:'><include><a/></include><allprop/><include><b/><a/></include></propfind>",
                all(&["a", "b"]),
            ),
            ("<propfind xmlns='DAV:'><allprop>x<propname/></allprop>y</propfind>", all(&[])),
            // Unknown ones are as if they were not there (RFC 4918 §17): litmus' propextended.
            ("<propfind xmlns='DAV:'><prop2 xmlns='urn:x'/><foobar/><allprop/></propfind>", all(&[])),
            (
                "<propfind xmlns='DAV:'><prop><a/></prop><foo><prop/></foo><x:prop xmlns:x='urn:x'/></propfind>",
                prop(&["a"]),
            ),
            ("<propfind xmlns='DAV:' a='b'><include><b/></include><prop><a/></prop></propfind>", prop(&["a"])),
        ] {
            assert_eq!(Propfind::parse(body.as_bytes()), Ok(asked), "{body}");
        }
        let body = "<D:propfind xmlns:D='DAV:'><D:prop><a/><b xmlns='urn:&amp;x'/><c:d xmlns:c='urn:y'/></D:prop></D:propfind>";
        let asked = vec![name("", "a"), name("urn:&x", "b"), name("urn:y", "d")];
        assert_eq!(Propfind::parse(body.as_bytes()), Ok(Propfind::Prop(asked)));
    }

    #[test]
    fn what_no_propfind_is() {
        for body in [
            "<propfind/>",
            "<D:prop xmlns:D='DAV:'/>",
            "<D:propfind xmlns:D='DAV'><D:allprop/></D:propfind>",
            "<D:PROPFIND xmlns:D='DAV:'><D:allprop/></D:PROPFIND>",
            "<propfind xmlns='DAV:'/>",
            "<propfind xmlns='DAV:'><foo/></propfind>",
            "<propfind xmlns='DAV:'><include><a/></include></propfind>",
            "<propfind xmlns='DAV:'><allprop/><propname/></propfind>",
            "<propfind xmlns='DAV:'><prop/><allprop/></propfind>",
            "<propfind xmlns='DAV:'><propname/><prop/></propfind>",
            "<propfind xmlns='DAV:'><prop/><prop/></propfind>",
        ] {
            let parsed = Propfind::parse(body.as_bytes());
            assert!(matches!(parsed, Err(Unexpected(_))), "{body}: {parsed:?}");
        }
        for body in [
            " ",
            // litmus' propfind_invalid and propfind_invalid2.
            "<foo>",
            "<D:propfind xmlns:D=\"DAV:\"><D:prop><bar:foo xmlns:bar=\"\"/></D:prop></D:propfind>",
            "<foo/><bar/>",
            "<foo><bar></foo>",
            "<propfind xmlns='DAV:'><allprop/></propfind>x",
            "<propfind xmlns='DAV:'><allprop/>",
            "<propfind xmlns='DAV:'><foo><p:bar/></foo><allprop/></propfind>",
        ] {
            let parsed = Propfind::parse(body.as_bytes());
            assert!(matches!(parsed, Err(Malformed(_))), "{body}: {parsed:?}");
        }
        let many = (0..=PROPERTIES_MAX).map(|number| format!("<p{number}/>")).collect::<String>();
        let long = format!("<{0}/><{0}b/>", "p".repeat(NAMES_BYTES_MAX / 2));
        for names in [many, long] {
            let body = format!("<D:propfind xmlns:D='DAV:'><D:prop>{names}</D:prop></D:propfind>");
            assert!(matches!(Propfind::parse(body.as_bytes()), Err(TooLarge(_))));
        }
        let doctype = b"<!DOCTYPE propfind><propfind xmlns='DAV:'><allprop/></propfind>";
        assert_eq!(Propfind::parse(doctype), Err(XmlError::Doctype));
    }

    #[test]
    fn instructions_stay_in_their_order() {
        let body = "<?xml version=\"1.0\"?><D:propertyupdate xmlns:D=\"DAV:\" xmlns:x=\"urn:x\">
            <D:remove><D:prop><x:a/><x:b>left out</x:b></D:prop></D:remove>
            <D:unknown><D:prop><x:z/></D:prop></D:unknown>
            <D:set><D:prop><x:a>1</x:a></D:prop><other/><D:prop><x:a/><c/></D:prop></D:set>
            <D:remove><D:prop/></D:remove>
            </D:propertyupdate>";
        let steps = Proppatch::parse(body.as_bytes()).unwrap().0;
        let told: Vec<String> = steps
            .iter()
            .map(|step| match step {
                Instruction::Set(property) => format!("{} = {:?}", property.name(), property.text()),
                Instruction::Remove(name) => format!("no {name}"),
            })
            .collect();
        let expected =
            ["no {urn:x}a", "no {urn:x}b", "{urn:x}a = Some(\"1\")", "{urn:x}a = Some(\"\")", "{}c = Some(\"\")"];
        assert_eq!(told, expected);
        assert_eq!(
            Proppatch::parse(b"<propertyupdate xmlns='DAV:'><set><prop/></set></propertyupdate>").unwrap().0,
            []
        );
        assert_eq!(
            Proppatch::parse(b"<propertyupdate xmlns='DAV:'><x xmlns='urn:x'/></propertyupdate>").unwrap().0,
            []
        );
        assert_eq!(Proppatch::parse(b"<propertyupdate xmlns='DAV:'/>").unwrap().0, []);
    }

    #[test]
    fn what_no_proppatch_is() {
        for body in [
            "<propertyupdate xmlns='DAV:'><prop><a/></prop></propertyupdate>",
            "<propertyupdate xmlns='DAV:'><set/></propertyupdate>",
            "<propertyupdate xmlns='DAV:'><set><a/></set></propertyupdate>",
            "<propfind xmlns='DAV:'><set><prop><a/></prop></set></propfind>",
        ] {
            let parsed = Proppatch::parse(body.as_bytes());
            assert!(matches!(parsed, Err(Unexpected(_))), "{body}: {parsed:?}");
        }
        assert!(matches!(Proppatch::parse(b""), Err(Malformed(_))));
        let many = "<a/>".repeat(PROPERTIES_MAX + 1);
        let body =
            format!("<D:propertyupdate xmlns:D='DAV:'><D:set><D:prop>{many}</D:prop></D:set></D:propertyupdate>");
        assert!(matches!(Proppatch::parse(body.as_bytes()), Err(TooLarge("too many properties"))));
        // Each property brings the namespaces in scope along, and a few long ones would be many long ones.
        let long = format!("urn:{}", "x".repeat(1000));
        let body = format!(
            "<D:propertyupdate xmlns:D='DAV:' xmlns:x='{long}'><D:set><D:prop>{}</D:prop></D:set></D:propertyupdate>",
            "<a/>".repeat(1000)
        );
        assert!(matches!(Proppatch::parse(body.as_bytes()), Err(TooLarge("values that are too long"))));
    }

    /// What litmus sets, and what becomes of it: complete elements that can stand anywhere.
    #[test]
    fn a_dead_property_needs_nothing_around_it() {
        for (sent, in_namespace, local, kept) in [
            // propset
            (
                "<D:prop><prop0 xmlns='http://example.com/neon/litmus/'>value0</prop0></D:prop>",
                "http://example.com/neon/litmus/",
                "prop0",
                "<prop0 xmlns:D=\"DAV:\" xmlns=\"http://example.com/neon/litmus/\">value0</prop0>",
            ),
            // propnullns
            (
                "<D:prop><nonamespace xmlns=''>randomvalue</nonamespace></D:prop>",
                "",
                "nonamespace",
                "<nonamespace xmlns:D=\"DAV:\">randomvalue</nonamespace>",
            ),
            // prophighunicode
            (
                "<D:prop><high-unicode xmlns='urn:x'>&#65536;</high-unicode></D:prop>",
                "urn:x",
                "high-unicode",
                "<high-unicode xmlns:D=\"DAV:\" xmlns=\"urn:x\">\u{10000}</high-unicode>",
            ),
            // propvalnspace
            (
                "<D:prop><t:valnspace xmlns:t='urn:t'><foo xmlns='bar'/></t:valnspace></D:prop>",
                "urn:t",
                "valnspace",
                "<t:valnspace xmlns:D=\"DAV:\" xmlns:t=\"urn:t\"><foo xmlns=\"bar\"/></t:valnspace>",
            ),
            // The prefix of a name inside of a text is declared far outside, and the language too (RFC 4918 §4.3).
            (
                "<D:prop xmlns:q='urn:q' xml:lang='de'><a>q:name</a></D:prop>",
                "",
                "a",
                "<a xmlns:D=\"DAV:\" xmlns:q=\"urn:q\" xml:lang=\"de\">q:name</a>",
            ),
            ("<D:prop xml:lang='de'><a xml:lang='en'/></D:prop>", "", "a", "<a xmlns:D=\"DAV:\" xml:lang=\"en\"/>"),
            ("<D:prop xml:lang=''><a/></D:prop>", "", "a", "<a xmlns:D=\"DAV:\"/>"),
            // What is declared again hides what was declared before.
            (
                "<D:prop xmlns='urn:x' xmlns:p='urn:y'><p:a xmlns='' xmlns:p='urn:z'><b/></p:a></D:prop>",
                "urn:z",
                "a",
                "<p:a xmlns:D=\"DAV:\" xmlns:p=\"urn:z\"><b/></p:a>",
            ),
            ("<D:prop xmlns:D='DAV:'><D:a/></D:prop>", "DAV:", "a", "<D:a xmlns:D=\"DAV:\"/>"),
            // What others inside of the same body declare is not in scope.
            (
                "<x xmlns:x='urn:x'/><D:prop><a> <b c='d'/>\n e</a></D:prop>",
                "",
                "a",
                "<a xmlns:D=\"DAV:\"> <b c=\"d\"/>\n e</a>",
            ),
        ] {
            assert_eq!(set(sent), (name(in_namespace, local), kept.to_owned()), "{sent}");
            assert_eq!(
                set(&format!("<D:prop>{kept}</D:prop>")),
                (name(in_namespace, local), kept.to_owned()),
                "{kept}"
            );
        }
    }

    #[test]
    fn what_a_lock_asks_for() {
        let windows = "<?xml version=\"1.0\" encoding=\"utf-8\" ?><D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope>\
            <D:locktype><D:write/></D:locktype><D:owner><D:href>PC\\us&amp;er</D:href></D:owner></D:lockinfo>";
        let davfs = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<lockinfo xmlns='DAV:'>\n <lockscope><exclusive/></lockscope>\n\
            <locktype><write/></locktype><owner>davfs2 1.6.1</owner>\n</lockinfo>\n";
        let shared = "<x:lockinfo xmlns:x='DAV:' xml:lang='de'><x:owner a='b'>A<c/>B</x:owner><x:lockscope><y/><x:shared/></x:lockscope>\
            <x:locktype><x:write/></x:locktype></x:lockinfo>";
        let taken = "<d:lockinfo xmlns:d='DAV:' xmlns:D='urn:x'><d:lockscope><d:shared/></d:lockscope><d:locktype><d:write/></d:locktype>\
            <d:owner/></d:lockinfo>";
        let nobody =
            "<lockinfo xmlns='DAV:'><locktype><write/></locktype><lockscope><exclusive/></lockscope></lockinfo>";
        for (body, scope, owner) in [
            (windows, Scope::Exclusive, Some("<D:owner xmlns:D=\"DAV:\"><D:href>PC\\us&amp;er</D:href></D:owner>")),
            (davfs, Scope::Exclusive, Some("<D:owner xmlns=\"DAV:\" xmlns:D=\"DAV:\">davfs2 1.6.1</D:owner>")),
            (
                shared,
                Scope::Shared,
                Some("<D:owner xmlns:x=\"DAV:\" xmlns:D=\"DAV:\" a=\"b\" xml:lang=\"de\">A<c/>B</D:owner>"),
            ),
            (taken, Scope::Shared, Some("<d:owner xmlns:d=\"DAV:\" xmlns:D=\"urn:x\"/>")),
            (nobody, Scope::Exclusive, None),
        ] {
            let expected = LockInfo { scope, owner: owner.map(Into::into) };
            assert_eq!(LockInfo::parse(body.as_bytes()), Ok(expected), "{body}");
        }
        let lock = |inner: &str| LockInfo::parse(format!("<lockinfo xmlns='DAV:'>{inner}</lockinfo>").as_bytes());
        for inner in ["", "<lockscope><shared/></lockscope>", "<locktype><write/></locktype>"] {
            assert!(matches!(lock(inner), Err(Unexpected(_))), "{inner}");
        }
        for inner in [
            "<lockscope/><locktype><write/></locktype>",
            "<lockscope><shared/><exclusive/></lockscope><locktype><write/></locktype>",
            "<lockscope><mine/></lockscope><locktype><write/></locktype>",
            "<lockscope><shared/></lockscope><locktype/>",
            "<lockscope><shared/></lockscope><locktype><read/></locktype>",
            "<lockscope><shared/></lockscope><locktype><write xmlns='urn:x'/></locktype>",
        ] {
            assert!(matches!(lock(inner), Err(Unprocessable(_))), "{inner}");
        }
        assert!(matches!(LockInfo::parse(b"<lockinfo/>"), Err(Unexpected(_))));
    }

    #[test]
    fn what_an_extended_mkcol_asks_for() {
        let mkcol =
            |inner: &str| MakeCollection::parse(format!("<D:mkcol xmlns:D='DAV:'>{inner}</D:mkcol>").as_bytes());
        let wanted = mkcol(
            "<D:set><D:prop><D:resourcetype><D:collection/></D:resourcetype><D:displayname>A</D:displayname></D:prop></D:set>\
             <D:set><D:prop><b/></D:prop></D:set><D:remove><D:prop><c/></D:prop></D:remove>",
        );
        let wanted = wanted.unwrap();
        assert!(wanted.is_plain_collection());
        let told: Vec<_> = wanted.properties.iter().map(|property| property.name().to_string()).collect();
        assert_eq!(told, ["{DAV:}displayname", "{}b"]);
        for (types, is_plain) in [
            ("", false),
            ("<D:resourcetype/>", false),
            ("<D:resourcetype><D:collection/><x/></D:resourcetype>", false),
            ("<D:resourcetype><collection/></D:resourcetype>", false),
        ] {
            let wanted = mkcol(&format!("<D:set><D:prop>{types}</D:prop></D:set>")).unwrap();
            assert_eq!(wanted.is_plain_collection(), is_plain, "{types}");
        }
        for inner in ["", "<D:set/>", "<D:prop/>"] {
            assert!(matches!(mkcol(inner), Err(Unexpected(_))), "{inner}");
        }
    }
}
