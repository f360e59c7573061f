//! The bodies of PROPFIND, PROPPATCH, LOCK and extended MKCOL, parsed into values.
//!
//! Elements are known by their namespace and name, never by a prefix, and whatever else stands in a body is left out as if it were not
//! there (RFC 4918 §17), though it has to be well-formed. What the values mean for a resource is never decided here.

use std::collections::HashSet;

use crate::model::property::{DeadProperty, PropertyName};

use super::XmlError::{self, TooLarge, Unexpected, Unprocessable};
use super::document::{Decoded, Document, Element};

/// The most properties that one body names. An answer may repeat each of them for every resource.
pub(crate) const PROPERTIES_MAX: usize = 1024;

/// The most bytes that the names of these properties come to.
const NAMES_BYTES_MAX: usize = 32 * 1024;

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

/// Who else may hold a lock at the same time (RFC 4918 §14.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockScope {
    /// Nobody.
    Exclusive,
    /// Others that share it.
    Shared,
}

/// What a LOCK with a body asks for (RFC 4918 §14.11). There are no locks but write locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LockInfo {
    /// Whether others may lock it too.
    pub(crate) scope: LockScope,
    /// The `owner` element as it was sent, complete and self-contained: `<D:owner …>…</D:owner>`.
    pub(crate) owner: Option<Box<str>>,
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
            let (mut steps, mut has_instruction) = (Vec::new(), false);
            while let Some(child) = document.child()? {
                let is_set = match child.as_dav() {
                    Some("set") => true,
                    Some("remove") => false,
                    _ => {
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
            if has_instruction { Ok(Self(steps)) } else { Err(Unexpected("neither set nor remove")) }
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
                ["exclusive"] => LockScope::Exclusive,
                ["shared"] => LockScope::Shared,
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
