//! What the tests of WebDAV share: requests with bodies of XML, and answers of XML taken apart by namespaces, never by prefixes.
//! Every multistatus that is read here is held to the rules that hold for all of them. It never decides what a property should be.

use std::collections::BTreeSet;

use quick_xml::events::Event;
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use super::client::Answer;
use super::{Request, Server};

/// An element: its name is `D:name` in the namespace `DAV:`, and `{namespace}name` in any other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub nodes: Vec<Node>,
}

/// What an element holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Element(Element),
    Text(String),
}

/// A multistatus.
#[derive(Clone, Debug)]
pub struct Multistatus(pub Vec<Response>);

/// What a multistatus says of one resource.
#[derive(Clone, Debug)]
pub struct Response {
    pub href: String,
    pub status: Option<u16>,
    pub propstats: Vec<Propstat>,
    pub error: Option<Element>,
}

/// Properties of one status.
#[derive(Clone, Debug)]
pub struct Propstat {
    pub status: u16,
    pub properties: Vec<Element>,
    pub error: Option<Element>,
}

impl Element {
    /// Parses a document, which has to be well-formed in its namespaces too.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let mut reader = NsReader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut open = vec![Self::default()];
        loop {
            let event = reader.read_event().unwrap_or_else(|error| panic!("{error} in {text}"));
            match event {
                Event::Start(start) => {
                    let (namespace, local) = reader.resolver().resolve_element(start.name());
                    let mut element = Self { name: clark(&namespace, local.as_ref(), text), ..Self::default() };
                    for attribute in start.attributes() {
                        let attribute = attribute.unwrap_or_else(|error| panic!("{error} in {text}"));
                        let (namespace, local) = reader.resolver().resolve_attribute(attribute.key);
                        let name = clark(&namespace, local.as_ref(), text);
                        if attribute.key.as_namespace_binding().is_some() {
                            let is_bound_to_nothing = attribute.value.is_empty() && attribute.key.0 != "xmlns";
                            assert!(!is_bound_to_nothing, "a prefix is bound to nothing in {text}");
                            continue;
                        }
                        element.attributes.push((name, unescaped(&attribute.value)));
                    }
                    open.push(element);
                }
                Event::End(_) => {
                    let done = open.pop().expect("an open element");
                    open.last_mut().expect("what it is in").nodes.push(Node::Element(done));
                }
                Event::Text(text) => open.last_mut().expect("an element").add_text(&text),
                Event::CData(text) => open.last_mut().expect("an element").add_text(&text),
                Event::GeneralRef(reference) => {
                    let text = unescaped(&format!("&{};", &*reference));
                    open.last_mut().expect("an element").add_text(&text);
                }
                Event::Eof => break,
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::DocType(_) => panic!("a document type in {text}"),
            }
        }
        let top = open.pop().expect("the document");
        assert!(open.is_empty(), "an element does not end in {text}");
        let mut elements = top.elements().cloned();
        let root = elements.next().unwrap_or_else(|| panic!("no element in {text}"));
        assert!(elements.next().is_none(), "more than one root in {text}");
        root
    }

    fn add_text(&mut self, text: &str) {
        match self.nodes.last_mut() {
            Some(Node::Text(before)) => before.push_str(text),
            _ => self.nodes.push(Node::Text(text.to_owned())),
        }
    }

    /// The elements in it.
    pub fn elements(&self) -> impl Iterator<Item = &Self> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first element in it of this name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.elements().find(|element| element.name == name)
    }

    /// The element at the end of these names, which has to be there.
    #[track_caller]
    pub fn at(&self, names: &[&str]) -> &Self {
        names.iter().fold(self, |element, name| match element.child(name) {
            Some(child) => child,
            None => panic!("no {name} in {element:?}"),
        })
    }

    /// All text in it, and in the elements in it.
    pub fn text(&self) -> String {
        self.nodes
            .iter()
            .map(|node| match node {
                Node::Element(element) => element.text(),
                Node::Text(text) => text.clone(),
            })
            .collect()
    }

    /// The names of the elements in it.
    pub fn names(&self) -> Vec<&str> {
        self.elements().map(|element| &*element.name).collect()
    }

    /// An attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

impl Multistatus {
    /// Takes a multistatus apart, and holds it to the rules of RFC 4918 §14.24 and §13.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let root = Element::parse(text);
        assert_eq!(root.name, "D:multistatus", "{text}");
        let responses: Vec<Response> =
            root.elements().filter(|child| child.name == "D:response").map(Response::of).collect();
        let mut hrefs = BTreeSet::new();
        for response in &responses {
            assert!(hrefs.insert(&response.href), "{} comes twice: {text}", response.href);
            assert!(response.status.is_some() == response.propstats.is_empty(), "a status, or propstats: {text}");
            let (mut names, mut statuses) = (BTreeSet::new(), BTreeSet::new());
            for propstat in &response.propstats {
                assert!(statuses.insert(propstat.status), "two propstats of one status: {text}");
                for property in &propstat.properties {
                    assert!(names.insert(&property.name), "{} comes twice: {text}", property.name);
                }
            }
        }
        let absolute = responses.iter().filter(|response| response.href.starts_with('/')).count();
        assert!(absolute == responses.len(), "all hrefs have one form, the absolute path: {text}");
        Self(responses)
    }

    /// The URLs it tells of.
    pub fn hrefs(&self) -> Vec<&str> {
        self.0.iter().map(|response| &*response.href).collect()
    }

    /// What it says of a URL.
    #[track_caller]
    pub fn of(&self, href: &str) -> &Response {
        match self.0.iter().find(|response| response.href == href) {
            Some(response) => response,
            None => panic!("nothing about {href} in {self:?}"),
        }
    }

    /// What it says, if that is about one resource alone.
    #[track_caller]
    pub fn only(&self) -> &Response {
        assert_eq!(self.0.len(), 1, "{self:?}");
        &self.0[0]
    }
}

impl Response {
    #[track_caller]
    fn of(element: &Element) -> Self {
        let propstats = element.elements().filter(|child| child.name == "D:propstat").map(|propstat| Propstat {
            status: status_of(&propstat.at(&["D:status"]).text()),
            properties: propstat.at(&["D:prop"]).elements().cloned().collect(),
            error: propstat.child("D:error").cloned(),
        });
        Self {
            href: element.at(&["D:href"]).text(),
            status: element.child("D:status").map(|status| status_of(&status.text())),
            propstats: propstats.collect(),
            error: element.child("D:error").cloned(),
        }
    }

    /// A property that has to be there.
    #[track_caller]
    pub fn found(&self, name: &str) -> &Element {
        let found =
            self.propstats.iter().filter(|propstat| propstat.status == 200).flat_map(|propstat| &propstat.properties);
        match found.into_iter().find(|property| property.name == name) {
            Some(property) => property,
            None => panic!("no {name} in {self:?}"),
        }
    }

    /// The text of a property that has to be there.
    #[track_caller]
    pub fn value(&self, name: &str) -> String {
        self.found(name).text()
    }

    /// The status of a property; `None` where nothing is said of it.
    pub fn status_of(&self, name: &str) -> Option<u16> {
        let has = |propstat: &&Propstat| propstat.properties.iter().any(|property| property.name == name);
        self.propstats.iter().find(has).map(|propstat| propstat.status)
    }

    /// The names of the properties of a status.
    pub fn names(&self, status: u16) -> Vec<&str> {
        let of = self.propstats.iter().filter(|propstat| propstat.status == status);
        of.flat_map(|propstat| &propstat.properties).map(|property| &*property.name).collect()
    }
}

impl Answer {
    /// The content as XML, with the media type of XML.
    #[track_caller]
    pub fn xml(&self) -> Element {
        let media_type = self.field("content-type").to_ascii_lowercase();
        assert!(media_type.starts_with("application/xml"), "wanted XML in {self}");
        assert!(media_type.contains("utf-8"), "wanted a charset in {self}");
        Element::parse(&self.text())
    }

    /// The content as a multistatus.
    #[track_caller]
    pub fn multistatus(&self) -> Multistatus {
        assert_eq!(self.status, 207, "{self}");
        self.xml();
        Multistatus::parse(&self.text())
    }

    /// The condition element in a body `DAV:error` (RFC 4918 §16), which has to be this one.
    #[track_caller]
    pub fn dav_error(&self, condition: &str) -> Element {
        let root = self.xml();
        assert_eq!(root.name, "D:error", "{self}");
        match root.child(condition) {
            Some(found) => found.clone(),
            None => panic!("no {condition} in {self}"),
        }
    }

    /// The token in `Lock-Token`, without its brackets.
    #[track_caller]
    pub fn token(&self) -> String {
        let field = self.field("lock-token");
        let token = field.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
        token.unwrap_or_else(|| panic!("no token in {self}")).to_owned()
    }

    /// The `activelock` of a LOCK, the only one in it.
    #[track_caller]
    pub fn active_lock(&self) -> Element {
        let root = self.xml();
        assert_eq!(root.name, "D:prop", "{self}");
        let discovery = root.at(&["D:lockdiscovery"]);
        assert_eq!(discovery.names(), ["D:activelock"], "{self}");
        discovery.at(&["D:activelock"]).clone()
    }
}

impl Request {
    /// A body of XML.
    pub fn xml(self, body: impl AsRef<[u8]>) -> Self {
        self.header("Content-Type", "application/xml; charset=utf-8").body(body)
    }

    /// The depth.
    pub fn depth(self, depth: &str) -> Self {
        self.header("Depth", depth)
    }

    /// An `If` header.
    pub fn states(self, value: impl AsRef<[u8]>) -> Self {
        self.header("If", value)
    }

    /// An `If` header that submits a token.
    pub fn holding(self, token: &str) -> Self {
        self.states(format!("(<{token}>)"))
    }
}

impl Server {
    /// PROPFIND for everything.
    pub fn propfind(&self, target: impl AsRef<[u8]>, depth: &str) -> Request {
        self.request("PROPFIND", target).depth(depth)
    }

    /// PROPFIND of these properties; the prefixes `D`, `t` (`urn:t`), `u` (`urn:u`), `A` (Apache), `Z` (Windows) and `oc` are declared.
    pub fn ask(&self, target: impl AsRef<[u8]>, depth: &str, properties: &str) -> Request {
        self.propfind(target, depth).xml(format!("<D:propfind {NAMESPACES}><D:prop>{properties}</D:prop></D:propfind>"))
    }

    /// The properties of one resource.
    #[track_caller]
    pub fn properties(&self, target: &str, properties: &str) -> Response {
        self.ask(target, "0", properties).expect(207).multistatus().only().clone()
    }

    /// PROPPATCH with these instructions, the same prefixes declared.
    pub fn proppatch(&self, target: impl AsRef<[u8]>, instructions: &str) -> Request {
        let body = format!("<D:propertyupdate {NAMESPACES}>{instructions}</D:propertyupdate>");
        self.request("PROPPATCH", target).xml(body)
    }

    /// Sets properties, which has to succeed.
    #[track_caller]
    pub fn note(&self, target: &str, properties: &str) {
        let answer = self.proppatch(target, &format!("<D:set><D:prop>{properties}</D:prop></D:set>")).expect(207);
        let told = answer.multistatus();
        assert!(told.only().propstats.iter().all(|propstat| propstat.status == 200), "{answer}");
    }

    /// LOCK of a scope (`exclusive` or `shared`) and a depth (`0` or `infinity`).
    pub fn lock(&self, target: impl AsRef<[u8]>, scope: &str, depth: &str) -> Request {
        self.request("LOCK", target).depth(depth).xml(lock_info(scope, "<D:owner>somebody</D:owner>"))
    }

    /// Takes an exclusive lock, which has to succeed, and gives its token.
    #[track_caller]
    pub fn locked(&self, target: &str, depth: &str) -> String {
        self.lock(target, "exclusive", depth).expect_any(&[200, 201]).token()
    }

    /// LOCK without a body.
    pub fn refresh(&self, target: impl AsRef<[u8]>, token: &str) -> Request {
        self.request("LOCK", target).holding(token)
    }

    /// UNLOCK.
    pub fn unlock(&self, target: impl AsRef<[u8]>, token: &str) -> Request {
        self.request("UNLOCK", target).header("Lock-Token", format!("<{token}>"))
    }

    /// MOVE to a path.
    pub fn moving(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Request {
        self.request("MOVE", from).header("Destination", to)
    }

    /// COPY to a path.
    pub fn copying(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Request {
        self.request("COPY", from).header("Destination", to)
    }

    /// The tokens of the locks that a resource is under, as PROPFIND tells.
    #[track_caller]
    pub fn tokens_on(&self, target: &str) -> Vec<String> {
        let told = self.properties(target, "<D:lockdiscovery/>");
        told.found("D:lockdiscovery").elements().map(|lock| lock.at(&["D:locktoken", "D:href"]).text()).collect()
    }
}

/// The prefixes that bodies made here may use.
pub const NAMESPACES: &str = "xmlns:D=\"DAV:\" xmlns:t=\"urn:t\" xmlns:u=\"urn:u\" \
     xmlns:A=\"http://apache.org/dav/props/\" xmlns:Z=\"urn:schemas-microsoft-com:\" xmlns:oc=\"http://owncloud.org/ns\"";

/// The body of a LOCK.
pub fn lock_info(scope: &str, owner: &str) -> String {
    format!(
        "<D:lockinfo {NAMESPACES}><D:lockscope><D:{scope}/></D:lockscope><D:locktype><D:write/></D:locktype>{owner}</D:lockinfo>"
    )
}

fn clark(namespace: &ResolveResult<'_>, local: &str, text: &str) -> String {
    match namespace {
        ResolveResult::Bound(namespace) => match &*unescaped(namespace.0) {
            "DAV:" => format!("D:{local}"),
            "http://www.w3.org/XML/1998/namespace" => format!("xml:{local}"),
            other => format!("{{{other}}}{local}"),
        },
        ResolveResult::Unbound => format!("{{}}{local}"),
        ResolveResult::Unknown(_) => panic!("a prefix that is not declared in {text}"),
    }
}

/// A status line, as a multistatus has it (RFC 4918 §14.28).
#[track_caller]
fn status_of(line: &str) -> u16 {
    let rest = line.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("no status line: {line:?}"));
    let (code, reason) = rest.split_once(' ').unwrap_or_else(|| panic!("no status line: {line:?}"));
    assert!(!reason.is_empty(), "no reason in {line:?}");
    let code = code.parse().unwrap_or_else(|_| panic!("no status line: {line:?}"));
    assert!(code >= 200, "an interim status in {line:?}");
    code
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, escaped)) = rest.split_once('&') {
        plain.push_str(before);
        let (reference, after) = escaped.split_once(';').expect("a whole reference");
        let number = match reference.strip_prefix('#') {
            Some(digits) => match digits.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16).ok(),
                None => digits.parse().ok(),
            },
            None => None,
        };
        plain.push(match reference {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => number.and_then(char::from_u32).unwrap_or_else(|| panic!("&{reference}; is not known")),
        });
        rest = after;
    }
    plain.push_str(rest);
    plain
}
