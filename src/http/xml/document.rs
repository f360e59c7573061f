//! One XML document, read from front to back: a stream of elements and text in which everything is checked and resolved.
//!
//! What comes out is well-formed, in its namespaces too, and inside of all the limits below. Nothing is ever fetched, and no entity is
//! expanded beyond the five that XML itself has: a document type declaration ends the reading at once.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use quick_xml::events::Event;
use quick_xml::reader::Reader;

use crate::model::property::DAV;

use super::BODY_BYTES_MAX;
use super::XmlError::{self, Malformed, TooLarge};
use super::escape::{TextContext, escaped};

/// The most elements in one another.
pub(super) const DEPTH_MAX: usize = 64;

/// The most attributes of one element, declarations of namespaces among them.
pub(super) const ATTRIBUTES_MAX: usize = 64;

/// The most elements in one body.
pub(super) const ELEMENTS_MAX: usize = 4096;

/// The most declarations of namespaces in scope at once.
pub(super) const NAMESPACES_MAX: usize = 64;

/// The longest namespace, in bytes: it is compared and remembered wherever a name in it stands.
pub(super) const NAMESPACE_BYTES_MAX: usize = 1024;

/// The longest name of an element, with its prefix, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 1024;

/// The most that the copied elements of one body may come to, in bytes.
pub(super) const COPIES_BYTES_MAX: usize = BODY_BYTES_MAX;

pub(super) const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS_NAMESPACE: &str = "http://www.w3.org/2000/xmlns/";

static NO_NAMESPACE: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));

/// The characters of a body, and how they came.
#[derive(Debug)]
pub(super) struct Decoded<'x> {
    text: Cow<'x, str>,
    is_utf16: bool,
}

/// A document while it is read.
#[derive(Debug)]
pub(super) struct Document<'x> {
    text: &'x str,
    is_utf16: bool,
    reader: Reader<&'x [u8]>,
    bindings: Vec<Binding<'x>>,
    languages: Vec<(usize, Cow<'x, str>)>,
    depth: usize,
    has_root: bool,
    elements: usize,
    copied: usize,
}

/// What comes next.
#[derive(Debug)]
enum Node<'x> {
    Start(Element<'x>),
    End,
    Text(Cow<'x, str>),
    Nothing,
}

/// An element that has just begun.
#[derive(Debug)]
pub(super) struct Element<'x> {
    namespace: Arc<str>,
    local: &'x str,
    tag: &'x str,
    attributes: Vec<Attribute<'x>>,
}

#[derive(Debug)]
struct Attribute<'x> {
    name: &'x str,
    value: Cow<'x, str>,
}

/// A prefix and what it stands for; an empty prefix is the default one, an empty namespace is none.
#[derive(Debug)]
struct Binding<'x> {
    prefix: &'x str,
    namespace: Arc<str>,
    depth: usize,
}

impl<'x> Decoded<'x> {
    /// Finds the characters in the bytes: UTF-8, or UTF-16 that says so by its byte order mark.
    pub(super) fn new(body: &'x [u8]) -> Result<Self, XmlError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(TooLarge("too many bytes"));
        }
        let (text, is_utf16) = match body {
            [0xFE, 0xFF, rest @ ..] => (Cow::Owned(utf16(rest, u16::from_be_bytes)?), true),
            [0xFF, 0xFE, rest @ ..] => (Cow::Owned(utf16(rest, u16::from_le_bytes)?), true),
            _ => {
                let bytes = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
                let text = str::from_utf8(bytes).map_err(|_| Malformed("neither UTF-8 nor UTF-16"))?;
                (Cow::Borrowed(text), false)
            }
        };
        if has_forbidden_character(&text) {
            return Err(Malformed("a character that XML forbids"));
        }
        // The reader would pass over it as over the first, and count from behind it.
        if text.starts_with('\u{feff}') {
            return Err(Malformed("two byte order marks"));
        }
        Ok(Self { text, is_utf16 })
    }
}

impl<'x> Document<'x> {
    pub(super) fn new(decoded: &'x Decoded<'_>) -> Self {
        let mut reader = Reader::from_str(&decoded.text);
        let config = reader.config_mut();
        config.check_comments = true;
        config.expand_empty_elements = true;
        Self {
            text: &decoded.text,
            is_utf16: decoded.is_utf16,
            reader,
            bindings: Vec::new(),
            languages: Vec::new(),
            depth: 0,
            has_root: false,
            elements: 0,
            copied: 0,
        }
    }

    pub(super) fn root(&mut self) -> Result<Element<'x>, XmlError> {
        loop {
            match self.next()? {
                Node::Start(element) => return Ok(element),
                Node::Text(_) | Node::End => {}
                Node::Nothing => return Err(Malformed("no element")),
            }
        }
    }

    /// The next element inside of the one that is open, or `None` once that one has ended. What is returned is to be read to its end,
    /// or skipped.
    pub(super) fn child(&mut self) -> Result<Option<Element<'x>>, XmlError> {
        loop {
            match self.next()? {
                Node::Start(element) => return Ok(Some(element)),
                Node::Text(_) => {}
                Node::End | Node::Nothing => return Ok(None),
            }
        }
    }

    /// Reads to the end of the element that is open.
    pub(super) fn skip(&mut self) -> Result<(), XmlError> {
        let outside = self.depth - 1;
        while self.depth > outside {
            self.next()?;
        }
        Ok(())
    }

    /// Reads the text of the element that is open, to its end: of at most so many bytes, without the blanks around it. Elements in it are skipped.
    pub(super) fn text(&mut self, bytes_max: usize) -> Result<String, XmlError> {
        let outside = self.depth - 1;
        let mut text = String::new();
        while self.depth > outside {
            match self.next()? {
                Node::Text(more) if self.depth == outside + 1 => text.push_str(&more),
                Node::Start(_) | Node::Text(_) | Node::End => {}
                Node::Nothing => break,
            }
            if text.len() > bytes_max {
                return Err(TooLarge("a text that is too long"));
            }
        }
        Ok(text.trim_matches([' ', '\t', '\r', '\n']).to_owned())
    }

    /// Reads what stands behind the root.
    pub(super) fn finish(&mut self) -> Result<(), XmlError> {
        while !matches!(self.next()?, Node::Nothing) {}
        Ok(())
    }

    /// Reads to the end of the element that has just begun and writes it so that it can stand anywhere: with the declarations and the
    /// language that are in scope.
    ///
    /// Comments and processing instructions are left out, and `CDATA` becomes text (RFC 4918 §4.3).
    pub(super) fn copy(&mut self, element: &Element<'x>) -> Result<Box<str>, XmlError> {
        self.copy_called(element, element.tag)
    }

    /// As [`Document::copy`], for an element of the namespace `DAV:`; its prefix becomes `D`, unless `D` stands for something else. Some
    /// clients know no other.
    pub(super) fn copy_with_prefix(&mut self, element: &Element<'x>) -> Result<Box<str>, XmlError> {
        if self.namespace_of("D").is_some_and(|found| &**found != DAV) {
            return self.copy(element);
        }
        self.copy_called(element, &format!("D:{}", element.local))
    }

    fn copy_called(&mut self, element: &Element<'x>, tag: &str) -> Result<Box<str>, XmlError> {
        let mut copy = Copy { out: String::new(), bytes_max: COPIES_BYTES_MAX - self.copied, is_tag_open: false };
        let outside = self.depth - 1;
        self.copy_root(element, tag, &mut copy)?;
        let mut open = vec![tag];
        while self.depth > outside {
            match self.next()? {
                Node::Start(element) => {
                    copy.begin(element.tag)?;
                    element.attributes.iter().try_for_each(|own| copy.attribute(own.name, "", &own.value))?;
                    open.push(element.tag);
                }
                Node::Text(text) => copy.text(&text)?,
                Node::End => copy.end(open.pop().unwrap_or_default())?,
                Node::Nothing => break,
            }
        }
        self.copied += copy.out.len();
        Ok(copy.out.into_boxed_str())
    }

    fn copy_root(&self, element: &Element<'x>, tag: &str, copy: &mut Copy) -> Result<(), XmlError> {
        copy.begin(tag)?;
        for (at, binding) in self.bindings.iter().enumerate() {
            let is_hidden = self.bindings[at + 1..].iter().any(|later| later.prefix == binding.prefix);
            if is_hidden || binding.namespace.is_empty() {
                continue;
            }
            let name = if binding.prefix.is_empty() { "xmlns" } else { "xmlns:" };
            copy.attribute(name, binding.prefix, &binding.namespace)?;
        }
        if tag != element.tag && self.namespace_of("D").is_none() {
            copy.attribute("xmlns:", "D", DAV)?;
        }
        let own = element.attributes.iter().filter(|attribute| declared_prefix(attribute.name).is_none());
        for attribute in own {
            copy.attribute(attribute.name, "", &attribute.value)?;
        }
        match self.languages.last() {
            Some((depth, language)) if *depth < self.depth && !language.is_empty() => {
                copy.attribute("xml:lang", "", language)
            }
            _ => Ok(()),
        }
    }

    fn next(&mut self) -> Result<Node<'x>, XmlError> {
        loop {
            let begin = self.position();
            if self.text[begin..].starts_with("<!D") || self.text[begin..].starts_with("<!d") {
                return Err(XmlError::Doctype);
            }
            // Before the reader copies it.
            if has_long_name(&self.text.as_bytes()[begin..]) {
                return Err(TooLarge("a name that is too long"));
            }
            let event =
                self.reader.read_event().map_err(|_| Malformed("tags, comments or references do not add up"))?;
            let raw = &self.text[begin..self.position()];
            match event {
                Event::Start(_) => return self.start(raw).map(Node::Start),
                Event::End(_) => {
                    self.end();
                    return Ok(Node::End);
                }
                Event::Text(text) => {
                    if raw.contains("]]>") {
                        return Err(Malformed("']]>' in text"));
                    }
                    self.check_inside(raw.bytes().all(is_space))?;
                    return Ok(Node::Text(text.xml10_content()));
                }
                Event::CData(data) => {
                    self.check_inside(false)?;
                    return Ok(Node::Text(data.xml10_content()));
                }
                Event::GeneralRef(reference) => {
                    self.check_inside(false)?;
                    let character = referred(&reference.into_inner())?;
                    return Ok(Node::Text(Cow::Owned(character.into())));
                }
                Event::Comment(_) => {}
                Event::PI(instruction) => check_instruction(instruction.target())?,
                Event::Decl(_) if begin == 0 => check_declaration(raw, self.is_utf16, self.text)?,
                Event::Decl(_) => return Err(Malformed("an XML declaration that is not at the beginning")),
                Event::DocType(_) => return Err(XmlError::Doctype),
                Event::Eof if self.depth == 0 && self.has_root => return Ok(Node::Nothing),
                Event::Eof if self.depth == 0 => return Err(Malformed("no element")),
                Event::Eof | Event::Empty(_) => return Err(Malformed("an element does not end")),
            }
        }
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    fn check_inside(&self, is_space: bool) -> Result<(), XmlError> {
        if self.depth > 0 || is_space { Ok(()) } else { Err(Malformed("text outside of the root")) }
    }

    /// Takes a tag in, `<` and `>` included.
    fn start(&mut self, raw: &'x str) -> Result<Element<'x>, XmlError> {
        if self.depth == 0 && self.has_root {
            return Err(Malformed("two roots"));
        }
        self.has_root = true;
        (self.depth, self.elements) = (self.depth + 1, self.elements + 1);
        if self.depth > DEPTH_MAX {
            return Err(TooLarge("too many elements in one another"));
        }
        if self.elements > ELEMENTS_MAX {
            return Err(TooLarge("too many elements"));
        }
        let inner = raw.strip_prefix('<').and_then(|raw| raw.strip_suffix('>')).ok_or(Malformed("no tag"))?;
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let (tag, rest) = inner.split_at(inner.bytes().position(is_space).unwrap_or(inner.len()));
        let attributes = attributes(rest)?;
        self.declare(&attributes)?;
        let (prefix, local) = split_name(tag)?;
        let namespace = match self.namespace_of(prefix) {
            Some(namespace) => namespace.clone(),
            None if prefix.is_empty() => NO_NAMESPACE.clone(),
            None if prefix == "xml" => Arc::from(XML_NAMESPACE),
            None => return Err(Malformed("a prefix that is not declared")),
        };
        self.check_unique(&attributes)?;
        Ok(Element { namespace, local, tag, attributes })
    }

    /// Takes the declarations and the language of a tag in (Namespaces in XML 1.0 §3).
    fn declare(&mut self, attributes: &[Attribute<'x>]) -> Result<(), XmlError> {
        for Attribute { name, value } in attributes {
            if *name == "xml:lang" {
                self.languages.push((self.depth, value.clone()));
            }
            let Some(prefix) = declared_prefix(name) else { continue };
            match (prefix, &**value) {
                ("xml", XML_NAMESPACE) => continue,
                ("xml" | "xmlns", _) | (_, XML_NAMESPACE | XMLNS_NAMESPACE) => {
                    return Err(Malformed("xml or xmlns declared as something else"));
                }
                (prefix, "") if !prefix.is_empty() => return Err(Malformed("a prefix declared as nothing")),
                _ => {}
            }
            if value.len() > NAMESPACE_BYTES_MAX {
                return Err(TooLarge("a namespace that is too long"));
            }
            if self.bindings.len() == NAMESPACES_MAX {
                return Err(TooLarge("too many declarations of namespaces"));
            }
            self.bindings.push(Binding { prefix, namespace: Arc::from(&**value), depth: self.depth });
        }
        Ok(())
    }

    /// Looks for attributes that are the same once their prefixes are resolved, and for prefixes that cannot be.
    fn check_unique(&self, attributes: &[Attribute<'x>]) -> Result<(), XmlError> {
        let mut names: Vec<(&str, &str)> = Vec::with_capacity(attributes.len());
        for Attribute { name, .. } in attributes {
            let (prefix, local) = split_name(name)?;
            let namespace = match prefix {
                "" => "",
                "xml" => XML_NAMESPACE,
                "xmlns" => XMLNS_NAMESPACE,
                _ => self.namespace_of(prefix).ok_or(Malformed("a prefix that is not declared"))?,
            };
            names.push((local, namespace));
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) { Err(Malformed("an attribute twice")) } else { Ok(()) }
    }

    fn namespace_of(&self, prefix: &str) -> Option<&Arc<str>> {
        let binding = self.bindings.iter().rev().find(|binding| binding.prefix == prefix)?;
        Some(&binding.namespace)
    }

    fn end(&mut self) {
        self.bindings.truncate(self.bindings.iter().take_while(|binding| binding.depth < self.depth).count());
        self.languages.truncate(self.languages.iter().take_while(|(depth, _)| *depth < self.depth).count());
        self.depth -= 1;
    }
}

impl<'x> Element<'x> {
    /// What it is called in the namespace `DAV:`, or nothing if it is in another.
    pub(super) fn as_dav(&self) -> Option<&'x str> {
        (&*self.namespace == DAV).then_some(self.local)
    }

    /// The namespace, empty if it is in none.
    pub(super) fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }

    /// The name in that namespace.
    pub(super) fn local(&self) -> &'x str {
        self.local
    }
}

/// An element while it is copied.
struct Copy {
    out: String,
    bytes_max: usize,
    /// Whether the last tag still waits for its `>`.
    is_tag_open: bool,
}

impl Copy {
    fn begin(&mut self, tag: &str) -> Result<(), XmlError> {
        self.close_tag()?;
        self.push("<")?;
        self.is_tag_open = true;
        self.push(tag)
    }

    fn attribute(&mut self, name: &str, prefix: &str, value: &str) -> Result<(), XmlError> {
        for part in [" ", name, prefix, "=\""] {
            self.push(part)?;
        }
        escaped(value, TextContext::Attribute).try_for_each(|piece| self.push(piece))?;
        self.push("\"")
    }

    fn text(&mut self, text: &str) -> Result<(), XmlError> {
        if text.is_empty() {
            return Ok(());
        }
        self.close_tag()?;
        escaped(text, TextContext::Text).try_for_each(|piece| self.push(piece))
    }

    fn end(&mut self, tag: &str) -> Result<(), XmlError> {
        if std::mem::take(&mut self.is_tag_open) {
            return self.push("/>");
        }
        ["</", tag, ">"].iter().try_for_each(|part| self.push(part))
    }

    fn close_tag(&mut self) -> Result<(), XmlError> {
        if std::mem::take(&mut self.is_tag_open) { self.push(">") } else { Ok(()) }
    }

    fn push(&mut self, text: &str) -> Result<(), XmlError> {
        if self.out.len() + text.len() > self.bytes_max {
            return Err(TooLarge("values that are too long"));
        }
        self.out.push_str(text);
        Ok(())
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, XmlError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Malformed("half a character"));
    }
    let mut text = String::with_capacity(bytes.len() / 2);
    for character in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        text.push(character.map_err(|_| Malformed("neither UTF-8 nor UTF-16"))?);
    }
    Ok(text)
}

/// Whether one of the characters is none that XML knows (XML 1.0 §2.2). A text of Rust's holds no surrogates.
fn has_forbidden_character(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().any(|byte| *byte < 0x20 && !is_space(*byte))
        || bytes.windows(3).any(|window| matches!(window, [0xEF, 0xBF, 0xBE | 0xBF]))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The prefix that an attribute declares, if it declares one: the empty one is the default.
fn declared_prefix(name: &str) -> Option<&str> {
    if name == "xmlns" { Some("") } else { name.strip_prefix("xmlns:") }
}

/// Takes a qualified name apart (Namespaces in XML 1.0 §4).
fn split_name(name: &str) -> Result<(&str, &str), XmlError> {
    let (prefix, local) = name.split_once(':').unwrap_or(("", name));
    let is_prefix = is_simple_name(prefix) || local.len() == name.len();
    if is_prefix && is_simple_name(local) { Ok((prefix, local)) } else { Err(Malformed("not a name")) }
}

/// Whether this is a name without a colon (`NCName`).
fn is_simple_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(begins_name) && characters.all(continues_name)
}

fn begins_name(c: char) -> bool {
    matches!(c,
        'A'..='Z' | '_' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
        | '\u{10000}'..='\u{EFFFF}')
}

fn continues_name(c: char) -> bool {
    let is_mark = matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}');
    is_mark || begins_name(c)
}

/// Whether a tag begins here whose name goes on for longer than a name may.
fn has_long_name(text: &[u8]) -> bool {
    let Some(name) = text.strip_prefix(b"<").filter(|name| !name.starts_with(b"!") && !name.starts_with(b"?")) else {
        return false;
    };
    let name = name.strip_prefix(b"/").unwrap_or(name);
    let ends = |byte: &u8| is_space(*byte) || matches!(byte, b'/' | b'>' | b'<');
    name.len() > NAME_BYTES_MAX && !name[..=NAME_BYTES_MAX].iter().any(ends)
}

/// Takes what stands in a tag behind its name apart.
fn attributes(text: &str) -> Result<Vec<Attribute<'_>>, XmlError> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let trimmed = rest.trim_start_matches(is_space_character);
        if trimmed.is_empty() {
            return Ok(found);
        }
        if trimmed.len() == rest.len() {
            return Err(Malformed("no space between attributes"));
        }
        if found.len() == ATTRIBUTES_MAX {
            return Err(TooLarge("too many attributes"));
        }
        let (name, behind) = trimmed.split_once('=').ok_or(Malformed("an attribute without a value"))?;
        let name = name.trim_end_matches(is_space_character);
        let behind = behind.trim_start_matches(is_space_character);
        let quote = behind.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or(Malformed("no quotes"))?;
        let (value, behind) = behind[1..].split_once(quote).ok_or(Malformed("a quote does not end"))?;
        found.push(Attribute { name, value: attribute_value(value)? });
        rest = behind;
    }
}

fn is_space_character(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// The value of an attribute as XML normalizes it (XML 1.0 §3.3.3).
fn attribute_value(raw: &str) -> Result<Cow<'_, str>, XmlError> {
    let Some(first) = raw.find(['<', '&', '\t', '\r', '\n']) else { return Ok(Cow::Borrowed(raw)) };
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    let mut next = Some(first);
    while let Some(at) = next {
        value.push_str(&rest[..at]);
        let special = &rest[at..];
        rest = match special.as_bytes()[0] {
            b'<' => return Err(Malformed("a '<' in an attribute")),
            b'&' => {
                let (reference, behind) = special[1..].split_once(';').ok_or(Malformed("a reference without end"))?;
                value.push(referred(reference)?);
                behind
            }
            _ => {
                value.push(' ');
                special.strip_prefix("\r\n").unwrap_or(&special[1..])
            }
        };
        next = rest.find(['<', '&', '\t', '\r', '\n']);
    }
    value.push_str(rest);
    Ok(Cow::Owned(value))
}

/// The character that a reference stands for: a number, or one of the five names that need no declaration.
fn referred(reference: &str) -> Result<char, XmlError> {
    let number = match reference {
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "amp" => return Ok('&'),
        "apos" => return Ok('\''),
        "quot" => return Ok('"'),
        name => name.strip_prefix('#').ok_or(Malformed("an entity that is not declared"))?,
    };
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
    let is_number = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let code = u32::from_str_radix(digits, radix).ok().filter(|_| is_number);
    code.and_then(char::from_u32).filter(|c| is_character(*c)).ok_or(Malformed("a reference to no character"))
}

fn is_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Checks what a processing instruction is called; nothing is done with it.
fn check_instruction(target: &str) -> Result<(), XmlError> {
    if is_simple_name(target) && !target.eq_ignore_ascii_case("xml") {
        return Ok(());
    }
    Err(Malformed("a processing instruction without a name of its own"))
}

/// Checks an XML declaration (XML 1.0 §2.8), and that the encoding it names is the one that was met.
fn check_declaration(raw: &str, is_utf16: bool, text: &str) -> Result<(), XmlError> {
    let inner = raw.strip_prefix("<?xml").and_then(|raw| raw.strip_suffix("?>")).unwrap_or_default();
    let found = attributes(inner)?;
    let names: Vec<&str> = found.iter().map(|attribute| attribute.name).collect();
    if !matches!(names[..], ["version", ref rest @ ..] if matches!(rest, [] | ["encoding"] | ["standalone"] | ["encoding", "standalone"]))
    {
        return Err(Malformed("not an XML declaration"));
    }
    for Attribute { name, value } in &found {
        let is_right = match *name {
            "version" => value
                .strip_prefix("1.")
                .is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|digit| digit.is_ascii_digit())),
            "encoding" => is_encoding(value, is_utf16, text),
            _ => matches!(&**value, "yes" | "no"),
        };
        if !is_right {
            return Err(Malformed("an XML declaration that is not true of the body"));
        }
    }
    Ok(())
}

fn is_encoding(name: &str, is_utf16: bool, text: &str) -> bool {
    let name = name.to_ascii_lowercase();
    match &*name {
        "utf-8" | "utf8" => !is_utf16,
        "us-ascii" | "ascii" => !is_utf16 && text.is_ascii(),
        "utf-16" | "utf-16le" | "utf-16be" => is_utf16,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    /// Reads all of a body, and says in how many steps: tags, texts and references.
    fn read(body: &[u8]) -> (Result<(), XmlError>, usize) {
        let decoded = match Decoded::new(body) {
            Ok(decoded) => decoded,
            Err(error) => return (Err(error), 0),
        };
        let mut document = Document::new(&decoded);
        let mut steps = 0;
        loop {
            steps += 1;
            match document.next() {
                Ok(Node::Nothing) => return (Ok(()), steps),
                Ok(_) => {}
                Err(error) => return (Err(error), steps),
            }
        }
    }

    /// The document copied from its root on.
    fn copy(text: &str) -> Result<String, XmlError> {
        let decoded = Decoded::new(text.as_bytes())?;
        let mut document = Document::new(&decoded);
        let root = document.root()?;
        let copy = document.copy(&root)?;
        document.finish()?;
        Ok(copy.into())
    }

    #[test]
    fn what_is_well_formed_is_read() {
        for body in [
            "<a/>",
            "\u{FEFF}<a/>",
            "<?xml version='1.0' ?>\n<!-- - --><?b c?><a\n/> <?b?><!---->\n",
            "<?xml version=\"1.1\" encoding=\"UTF-8\" standalone=\"yes\"?><a></a >",
            "<?xml version='1.0' encoding='us-ascii'?><a>&#228;</a>",
            "<?xml-stylesheet href='a'?><a/>",
            "<a b='\"' c=\"'\" d = '>/>'/>",
            "<a>&lt;&gt;&amp;&apos;&quot;&#x10000;&#65536;&#9;&#xD;]]</a>",
            "<a><![CDATA[<b>&c;]]]]><![CDATA[>]]></a>",
            "<a xmlns=''/>",
            "<a xmlns='urn:x'><b xmlns=''/></a>",
            "<p:a xmlns:p='urn:x' xmlns:q='urn:y' b='1' p:b='2' q:b='3'/>",
            "<a xmlns='urn:x' xmlns:p='urn:x' b='1' p:b='2'/>",
            "<xml:a xml:lang='de' xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
            "<äöü_-.7·/>",
            "<a>\u{FFFD}\u{10FFFF}\u{7F}\u{85}</a>",
        ] {
            assert_eq!(read(body.as_bytes()).0, Ok(()), "{body}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for body in [
            // Nothing, or not only one root.
            "",
            " ",
            "\u{FEFF}",
            "a",
            "<?xml version='1.0'?>",
            "<!-- -->",
            "<a/><b/>",
            "<a/>b",
            "a<a/>",
            "<a/>&#32;",
            "<a/>&amp;",
            "<a/><![CDATA[ ]]>",
            "<![CDATA[]]><a/>",
            "<a/></a>",
            // Tags.
            "<",
            "<a",
            "<a>",
            "<a/",
            "<a b",
            "<a></b>",
            "<a></a",
            "</a>",
            "<a><b></a></b>",
            "<a></p:a>",
            "< a/>",
            "<a></ a>",
            "<a></a b='c'>",
            "<1/>",
            "<-a/>",
            "<a'/>",
            "<a<b/>",
            "<a/b/>",
            "<a:/>",
            "<:a/>",
            "<a:b:c xmlns:a='urn:x' xmlns:b='urn:y'/>",
            "<\u{D7}/>",
            "</>",
            "<>",
            // Attributes.
            "<a b/>",
            "<a b=/>",
            "<a b=c/>",
            "<a b='c/>",
            "<a ='c'/>",
            "<a b='1'c='2'/>",
            "<a b='1' b='1'/>",
            "<a 1='2'/>",
            "<a b='<'/>",
            "<a b=\"1'/>",
            "<a b='&'/>",
            "<a b='&c'/>",
            "<a b='&c;'/>",
            "<a b='&#0;'/>",
            "<a b='1' /b='2'/>",
            // Namespaces.
            "<p:a/>",
            "<a p:b='1'/>",
            "<a xmlns:p=''/>",
            "<a xmlns:p='urn:x'><b xmlns:p=''/></a>",
            "<a><b xmlns:p='urn:x'/><p:c/></a>",
            "<a xmlns:p='urn:x' xmlns:p='urn:y'/>",
            "<a xmlns='urn:x' xmlns='urn:y'/>",
            "<a xmlns:p='urn:x' xmlns:q='urn:x' p:b='1' q:b='2'/>",
            "<a xmlns:p='urn:&#120;' xmlns:q='urn:x' p:b='1' q:b='2'/>",
            "<a xmlns:xml='urn:x'/>",
            "<a xmlns:xmlns='urn:x'/>",
            "<a xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>",
            "<xmlns:a/>",
            "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>",
            "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
            "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>",
            "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
            "<a xmlns:='urn:x'/>",
            // References.
            "<a>&</a>",
            "<a>& </a>",
            "<a>&b;</a>",
            "<a>&nbsp;</a>",
            "<a>&;</a>",
            "<a>&#;</a>",
            "<a>&#x;</a>",
            "<a>&#xg;</a>",
            "<a>&#+9;</a>",
            "<a>&#0;</a>",
            "<a>&#8;</a>",
            "<a>&#xD800;</a>",
            "<a>&#xFFFE;</a>",
            "<a>&#x110000;</a>",
            "<a>&#99999999999;</a>",
            "<a>&#X41;</a>",
            "<a>&LT;</a>",
            "<a>&amp</a>",
            // Characters.
            "<a>\0</a>",
            "<a>\u{1}</a>",
            "<a b='\u{1F}'/>",
            "<a>\u{FFFE}</a>",
            "<!--\u{FFFF}--><a/>",
            "<a>]]></a>",
            // Comments, instructions, declarations.
            "<!-- -- --><a/>",
            "<!-- --->",
            "<!-- ---><a/>",
            "<!--><a/>",
            "<a><!--</a>",
            "<a><![CDATA[</a>",
            "<a><![cdata[]]></a>",
            "<!a><a/>",
            "<!><a/>",
            "<?xml?><a/>",
            "<?xml version='2.0'?><a/>",
            "<?xml version='1.'?><a/>",
            "<?xml encoding='utf-8'?><a/>",
            " <?xml version='1.0'?><a/>",
            "<a><?xml version='1.0'?></a>",
            "<?xml version='1.0'standalone='no'?><a/>",
            "<?xml version='1.0' standalone='maybe'?><a/>",
            "<?xml version='1.0' standalone='no' encoding='utf-8'?><a/>",
            "<?xml version='1.0' a='b'?><a/>",
            "<?XML version='1.0'?><a/>",
            "<??><a/>",
            "<? a?><a/>",
            "<?a><a/>",
            "<a><?b</a>",
            "<?1 ?><a/>",
            // Encodings that are not what they say.
            "<?xml version='1.0' encoding='utf-16'?><a/>",
            "<?xml version='1.0' encoding='iso-8859-1'?><a/>",
            "<?xml version='1.0' encoding=''?><a/>",
            "<?xml version='1.0' encoding='us-ascii'?><ä/>",
        ] {
            let (end, _) = read(body.as_bytes());
            assert!(matches!(end, Err(Malformed(_))), "{body}: {end:?}");
        }
        for bytes in [
            &b"\xFF"[..],
            b"<a>\xC3</a>",
            b"<a>\xC0\x80</a>",
            b"<a>\xED\xA0\x80</a>",
            b"<a>\xE4</a>",
            b"\0<\0a\0/\0>",
            b"<\0a\0/\0>\0",
        ] {
            let (end, _) = read(bytes);
            assert!(matches!(end, Err(Malformed(_))), "{bytes:x?}: {end:?}");
        }
    }

    #[test]
    fn a_document_type_ends_the_reading() {
        let bomb = "<!DOCTYPE a [<!ENTITY b 'bbbbbbbbbb'><!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]><a>&c;</a>";
        let outside = "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>";
        let mut endless = String::from("<!DOCTYPE a [");
        (0..9000).for_each(|number| endless.push_str(&format!("<!ENTITY e{number} '{}'>", "x".repeat(40))));
        for body in [
            bomb,
            outside,
            "<!DOCTYPE a><a/>",
            "<!-- --><!DOCTYPE a><a/>",
            "<!doctype a>",
            "<!DOCTYPE",
            "<a><!DOCTYPE b></a>",
            &endless,
        ] {
            let (end, steps) = read(body.as_bytes());
            assert_eq!(end, Err(XmlError::Doctype), "{}", &body[..40.min(body.len())]);
            assert!(steps <= 2, "{steps} steps for {}", &body[..40.min(body.len())]);
        }
    }

    /// What is too much is seen when it begins, not at its end: the work is counted in steps.
    #[test]
    fn too_much_is_refused_early() {
        let declarations =
            (0..=NAMESPACES_MAX).map(|number| format!("<a xmlns:p{number}='urn:x'>")).collect::<String>();
        for (body, steps_max) in [
            ("<a>".repeat(100_000), DEPTH_MAX + 1),
            (format!("<a>{}", "<b/>".repeat(100_000)), 2 * ELEMENTS_MAX + 2),
            (format!("<a {}/>", "b='' ".repeat(100_000)), 1),
            (format!("<a {}/>", (0..50_000).map(|number| format!("b{number}='' ")).collect::<String>()), 1),
            (format!("<a {}/>", (0..20_000).map(|number| format!("xmlns:p{number}='urn:x' ")).collect::<String>()), 1),
            (declarations, DEPTH_MAX + 1),
            (format!("<a><{}/></a>", "b".repeat(NAME_BYTES_MAX + 1)), 2),
            (format!("<{}", "b".repeat(250_000)), 1),
            (format!("<a></{}", "b".repeat(250_000)), 2),
            (format!("<a>{}</a>", "b".repeat(BODY_BYTES_MAX)), 0),
        ] {
            let (end, steps) = read(body.as_bytes());
            assert!(matches!(end, Err(TooLarge(_))), "{}: {end:?}", &body[..40]);
            assert!(steps <= steps_max, "{steps} steps for {}", &body[..40]);
        }
        for body in [
            format!("{}{}", "<a>".repeat(DEPTH_MAX), "</a>".repeat(DEPTH_MAX)),
            format!("<a {}/>", (0..ATTRIBUTES_MAX).map(|number| format!("b{number}='' ")).collect::<String>()),
            format!("<a>{}</a>", "<b/>".repeat(ELEMENTS_MAX - 1)),
            format!("<{0}></{0}>", "b".repeat(NAME_BYTES_MAX)),
        ] {
            assert_eq!(read(body.as_bytes()).0, Ok(()), "{}", &body[..40]);
        }
    }

    /// A value can be longer than what was sent: each character of CDATA may need five, and each property brings its namespaces along.
    #[test]
    fn copies_are_bounded_too() {
        let special = format!("<a><![CDATA[{}]]></a>", "<".repeat(400_000));
        assert_eq!(copy(&special).unwrap_err(), TooLarge("values that are too long"));
        assert_eq!(copy(&special[..100]).unwrap_err(), Malformed("tags, comments or references do not add up"));
        assert_eq!(copy(&format!("<a>{}</a>", "b".repeat(400_000))).unwrap().len(), 400_007);
    }

    #[test]
    fn utf_16_is_understood() {
        let text = "<?xml version='1.0' encoding='UTF-16'?><a>\u{10000}ä</a>";
        let little: Vec<u8> = "\u{FEFF}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "\u{FEFF}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
        for body in [little, big] {
            assert_eq!(read(&body).0, Ok(()));
            assert!(matches!(read(&body[..body.len() - 1]).0, Err(Malformed("half a character"))));
            assert!(read(&body[2..]).0.is_err());
        }
        assert_eq!(read(b"\xFE\xFF\0<\0a\0/\0>").0, Ok(()));
        for bad in
            [&b"\xFE\xFF\0<\0a\0>\xD8\0\0<\0/\0a\0>"[..], b"\xFF\xFE\0\0<\0\0\0a\0\0\0/\0\0\0>\0\0\0", b"\xFE\xFF"]
        {
            assert!(matches!(read(bad).0, Err(Malformed(_))), "{bad:x?}");
        }
        let lie: Vec<u8> =
            "\u{FEFF}<?xml version='1.0' encoding='utf-8'?><a/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(matches!(read(&lie).0, Err(Malformed(_))));
    }

    #[test]
    fn a_copy_means_what_was_sent() {
        for (sent, copied) in [
            ("<a></a>", "<a/>"),
            ("<a> <b/>c </a>", "<a> <b/>c </a>"),
            ("<a>1\r\n2\r3&#13;\n</a>", "<a>1\n2\n3&#13;\n</a>"),
            ("<a b='1\r\n2\t3&#9;&#10;&#13;\"&gt;'/>", "<a b=\"1 2 3&#9;&#10;&#13;&quot;&gt;\"/>"),
            ("<a><!-- b --><?c d?>e<![CDATA[<f>&g;]]></a>", "<a>e&lt;f&gt;&amp;g;</a>"),
            ("<a><![CDATA[]]></a>", "<a/>"),
            ("<a>&#x1F600;&apos;</a>", "<a>\u{1F600}'</a>"),
            (
                "<p:a xmlns:p='urn:&amp;x'><q:b xmlns:q='urn:y' p:c='1'/></p:a>",
                "<p:a xmlns:p=\"urn:&amp;x\"><q:b xmlns:q=\"urn:y\" p:c=\"1\"/></p:a>",
            ),
            ("<a xmlns=''/>", "<a/>"),
            ("<a xml:lang='de'/>", "<a xml:lang=\"de\"/>"),
            ("<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>", "<a/>"),
        ] {
            assert_eq!(copy(sent).as_deref(), Ok(copied), "{sent}");
            assert_eq!(copy(copied).as_deref(), Ok(copied), "{sent}");
        }
    }

    /// An element as it is meant: names resolved, neighbouring texts joined.
    #[derive(Clone, Debug, PartialEq)]
    struct Tree {
        namespace: usize,
        local: String,
        attributes: Vec<(String, String)>,
        children: Vec<Child>,
    }

    #[derive(Clone, Debug, PartialEq)]
    enum Child {
        Text(String),
        Element(Tree),
    }

    /// The first is none; the last needs escaping.
    const NAMESPACES: [&str; 4] = ["", "urn:x", "DAV:", "http://example.org/?a='&\"<>\u{e9}"];

    fn texts() -> impl Strategy<Value = String> {
        let special = prop::sample::select("<>&\"' \t\r\n]\u{FFFD}\u{10000}".chars().collect::<Vec<_>>());
        let other = any::<char>().prop_filter("one that XML knows", |c| is_character(*c));
        prop::collection::vec(prop_oneof![special, other], 0..8).prop_map(|characters| characters.into_iter().collect())
    }

    fn trees() -> impl Strategy<Value = Tree> {
        let node = |children: BoxedStrategy<Vec<Child>>| {
            let attributes = prop::collection::btree_map("[a-zé_][a-z.-]{0,3}", texts(), 0..3);
            (0..NAMESPACES.len(), "[a-zA-Zé_][a-z0-9.-]{0,4}", attributes, children).prop_map(
                |(namespace, local, attributes, children)| {
                    let attributes = attributes.into_iter().filter(|(name, _)| name != "xmlns").collect();
                    Tree { namespace, local, attributes, children: joined(children) }
                },
            )
        };
        let leaf = node(prop::collection::vec(texts().prop_map(Child::Text), 0..2).boxed());
        leaf.prop_recursive(4, 24, 4, move |inner| {
            let child = prop_oneof![texts().prop_map(Child::Text), inner.prop_map(Child::Element)];
            node(prop::collection::vec(child, 0..4).boxed())
        })
    }

    fn joined(children: Vec<Child>) -> Vec<Child> {
        let mut whole = Vec::<Child>::new();
        for child in children {
            match (whole.last_mut(), child) {
                (_, Child::Text(text)) if text.is_empty() => {}
                (Some(Child::Text(before)), Child::Text(text)) => before.push_str(&text),
                (_, child) => whole.push(child),
            }
        }
        whole
    }

    /// Writes a tree in one of the many ways to do so: texts as CDATA where that can be, or each character as a number.
    fn write(tree: &Tree, outer: usize, out: &mut String) {
        let numbers = |text: &str| text.chars().map(|c| format!("&#x{:x};", u32::from(c))).collect::<String>();
        let tag =
            if tree.namespace % 2 == 1 { format!("p{}:{}", tree.namespace, tree.local) } else { tree.local.clone() };
        out.push_str(&format!("<{tag}"));
        let namespace = numbers(NAMESPACES[tree.namespace]);
        if tree.namespace % 2 == 1 {
            out.push_str(&format!(" xmlns:p{}='{namespace}'", tree.namespace));
        } else if tree.namespace != outer {
            out.push_str(&format!(" xmlns='{namespace}'"));
        }
        tree.attributes.iter().for_each(|(name, value)| out.push_str(&format!("\n{name} = '{}'", numbers(value))));
        out.push('>');
        for child in &tree.children {
            match child {
                Child::Element(inner) => {
                    write(inner, if tree.namespace % 2 == 1 { outer } else { tree.namespace }, out)
                }
                Child::Text(text) if text.contains("]]>") || text.contains('\r') => out.push_str(&numbers(text)),
                Child::Text(text) => out.push_str(&format!("<!-- --><![CDATA[{text}]]>")),
            }
        }
        out.push_str(&format!("</{tag} >"));
    }

    fn tree_of(document: &mut Document<'_>, element: Element<'_>) -> Tree {
        let own = element.attributes.iter().filter(|attribute| declared_prefix(attribute.name).is_none());
        let attributes = own.map(|attribute| (attribute.name.to_owned(), attribute.value.to_string())).collect();
        let mut children = Vec::new();
        loop {
            match document.next().unwrap() {
                Node::Start(inner) => children.push(Child::Element(tree_of(document, inner))),
                Node::Text(text) => children.push(Child::Text(text.into())),
                Node::End | Node::Nothing => break,
            }
        }
        let namespace = NAMESPACES.iter().position(|known| *known == &*element.namespace).unwrap();
        Tree { namespace, local: element.local.to_owned(), attributes, children: joined(children) }
    }

    fn parse(text: &str) -> Tree {
        let decoded = Decoded::new(text.as_bytes()).unwrap();
        let mut document = Document::new(&decoded);
        let root = document.root().unwrap();
        let tree = tree_of(&mut document, root);
        document.finish().unwrap();
        tree
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_still_the_same_when_it_is_copied(tree in trees()) {
            let mut sent = String::new();
            write(&tree, 0, &mut sent);
            prop_assert_eq!(&parse(&sent), &tree, "{}", sent);
            let copied = copy(&sent).unwrap();
            prop_assert_eq!(&parse(&copied), &tree, "{}", copied);
            prop_assert_eq!(copy(&copied).unwrap(), copied);
        }

        #[test]
        fn whatever_comes_is_read_or_refused(text in "[<>/a-c:='\" &;!?\\[\\]#x0-9-]{0,40}", bytes in any::<Vec<u8>>()) {
            let _ = read(text.as_bytes());
            let _ = read(&bytes);
        }
    }
}
