//! Reads the XML of answers as a client does that knows namespaces: the responses of a multistatus, and the lock in the answer to a LOCK.
//! An answer that is not well-formed, or not in the shape of RFC 4918, fails the test.

use quick_xml::events::Event;
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use crate::harness::Answer;

/// An element with what is in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Element {
    /// `{namespace}local`, without the braces for `DAV:`.
    pub(super) name: String,
    /// The text right in it.
    pub(super) text: String,
    /// The elements right in it.
    pub(super) children: Vec<Self>,
}

/// What a multistatus tells of one resource.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// Where it is.
    pub(super) href: String,
    /// The properties with their statuses.
    pub(super) properties: Vec<(u16, Element)>,
}

/// A 207, read.
#[derive(Clone, Debug)]
pub(super) struct Multistatus(pub(super) Vec<Told>);

/// A lock, as a client reads it out of `lockdiscovery`.
#[derive(Clone, Debug)]
pub(super) struct Lock {
    pub(super) token: String,
    pub(super) seconds: u64,
    pub(super) depth: String,
    pub(super) scope: String,
    pub(super) owner: Element,
    pub(super) has_root: bool,
}

impl Element {
    /// Reads the document in an answer.
    #[track_caller]
    pub(super) fn of(answer: &Answer) -> Self {
        let kind = answer.field("content-type");
        assert!(["application/xml; charset=utf-8", "text/xml; charset=utf-8"].contains(&kind), "{answer}");
        Self::parse(&answer.text())
    }

    #[track_caller]
    fn parse(text: &str) -> Self {
        let mut reader = NsReader::from_str(text);
        let mut open = vec![Self::default()];
        loop {
            match reader.read_resolved_event().expect("well-formed XML") {
                (namespace, Event::Start(start)) => {
                    let local = start.local_name().as_ref().to_owned();
                    open.push(Self { name: named(&namespace, &local), ..Self::default() });
                }
                (namespace, Event::Empty(start)) => {
                    let local = start.local_name().as_ref().to_owned();
                    let element = Self { name: named(&namespace, &local), ..Self::default() };
                    open.last_mut().expect("the document").children.push(element);
                }
                (_, Event::End(_)) => {
                    let closed = open.pop().expect("a start for every end");
                    open.last_mut().expect("the document").children.push(closed);
                }
                (_, Event::Text(text)) => {
                    open.last_mut().expect("the document").text.push_str(text.as_ref());
                }
                (_, Event::GeneralRef(reference)) => {
                    open.last_mut().expect("the document").text.push_str(match AsRef::<str>::as_ref(&reference) {
                        "amp" => "&",
                        "lt" => "<",
                        "gt" => ">",
                        "quot" => "\"",
                        "apos" => "'",
                        other => panic!("the reference {other}"),
                    });
                }
                (_, Event::Eof) => break,
                (_, _) => {}
            }
        }
        assert_eq!(open.len(), 1, "an element was not closed: {text}");
        open.remove(0).children.pop().expect("an element at the top")
    }

    /// The first child of this name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The first element of this name in the path of names.
    #[track_caller]
    pub(super) fn at(&self, path: &str) -> &Self {
        path.split('/').fold(self, |element, name| match element.child(name) {
            Some(child) => child,
            None => panic!("no {name} in {element:?}"),
        })
    }

    fn count(&self, name: &str) -> usize {
        usize::from(self.name == name) + self.children.iter().map(|child| child.count(name)).sum::<usize>()
    }
}

impl Multistatus {
    /// Reads a 207, checking on the way what every client needs of it: no validator on it, each href an absolute path, each property once
    /// and under one status, and nothing in those that are missing.
    #[track_caller]
    pub(super) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 207, "{answer}");
        for field in ["etag", "last-modified"] {
            assert!(answer.header(field).is_none(), "a {field} on a 207: {answer}");
        }
        // Windows of old and some embedded clients look for these very letters.
        assert!(answer.text().contains("<D:multistatus xmlns:D=\"DAV:\""), "{answer}");
        let top = Element::of(answer);
        assert_eq!(top.name, "multistatus");
        Self(top.children.iter().filter(|child| child.name == "response").map(Told::read).collect())
    }

    /// Where the resources are, in the order they are told.
    pub(super) fn hrefs(&self) -> Vec<&str> {
        self.0.iter().map(|told| told.href.as_str()).collect()
    }

    /// What is told of one resource.
    #[track_caller]
    pub(super) fn told(&self, href: &str) -> &Told {
        match self.0.iter().find(|told| told.href == href) {
            Some(told) => told,
            None => panic!("{href} is not told of, but {:?}", self.hrefs()),
        }
    }

    /// What is told of the only resource.
    #[track_caller]
    pub(super) fn only(&self) -> &Told {
        assert_eq!(self.0.len(), 1, "{:?}", self.hrefs());
        &self.0[0]
    }
}

impl Told {
    #[track_caller]
    fn read(response: &Element) -> Self {
        assert_eq!(response.children[0].name, "href", "the href comes first: {response:?}");
        let href = response.children[0].text.clone();
        assert!(href.starts_with('/'), "{href}");
        let mut properties: Vec<(u16, Element)> = Vec::new();
        for propstat in response.children.iter().filter(|child| child.name == "propstat") {
            let line = &propstat.at("status").text;
            let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest[..3].parse().ok()).expect("a status");
            for property in &propstat.at("prop").children {
                if status != 200 {
                    let is_empty = property.text.is_empty() && property.children.is_empty();
                    assert!(is_empty, "macOS would take this for a value: {property:?}");
                }
                let twice = properties.iter().any(|(_, other)| other.name == property.name);
                assert!(!twice, "{} is told twice of {href}", property.name);
                properties.push((status, property.clone()));
            }
        }
        Self { href, properties }
    }

    /// A property that is there.
    #[track_caller]
    pub(super) fn property(&self, name: &str) -> &Element {
        match self.properties.iter().find(|(status, property)| *status == 200 && property.name == name) {
            Some((_, property)) => property,
            None => panic!("no {name} of {}: {:?}", self.href, self.properties),
        }
    }

    /// The text of a property that is there.
    #[track_caller]
    pub(super) fn text(&self, name: &str) -> &str {
        &self.property(name).text
    }

    /// The status of a property that was asked for.
    #[track_caller]
    pub(super) fn status(&self, name: &str) -> u16 {
        match self.properties.iter().find(|(_, property)| property.name == name) {
            Some((status, _)) => *status,
            None => panic!("{name} was asked for and is not told of: {:?}", self.properties),
        }
    }

    /// Fails unless all properties are told of with this status, and there are so many.
    #[track_caller]
    pub(super) fn all(&self, status: u16, count: usize) {
        assert_eq!(self.properties.len(), count, "{:?}", self.properties);
        assert!(self.properties.iter().all(|(other, _)| *other == status), "{:?}", self.properties);
    }

    /// Whether it is a folder; its href has to say the same, and the element has to come first.
    #[track_caller]
    pub(super) fn is_collection(&self) -> bool {
        let kind = self.property("resourcetype");
        let is_collection = kind.children.first().is_some_and(|first| first.name == "collection");
        assert_eq!(is_collection, self.href.ends_with('/'), "{self:?}");
        is_collection
    }
}

impl Lock {
    /// Reads the answer to a LOCK, in the shape that neon, Windows and macOS look for.
    #[track_caller]
    pub(super) fn of(answer: &Answer) -> Self {
        let top = Element::of(answer);
        assert_eq!(top.name, "prop", "{answer}");
        assert_eq!(top.at("lockdiscovery").count("activelock"), 1, "{answer}");
        Self::read(top.at("lockdiscovery/activelock"))
    }

    #[track_caller]
    pub(super) fn read(lock: &Element) -> Self {
        let timeout = &lock.at("timeout").text;
        let scope = lock.at("lockscope").children[0].name.clone();
        lock.at("locktype/write");
        Self {
            token: lock.at("locktoken/href").text.clone(),
            seconds: timeout.strip_prefix("Second-").and_then(|rest| rest.parse().ok()).expect("Second-"),
            depth: lock.at("depth").text.clone(),
            scope,
            owner: lock.child("owner").cloned().unwrap_or_default(),
            has_root: lock.child("lockroot").is_some(),
        }
    }
}

/// How many elements of this name an answer holds, whatever its namespace: some clients just count.
pub(super) fn count(answer: &Answer, name: &str) -> usize {
    Element::of(answer).count(name)
}

fn named(namespace: &ResolveResult<'_>, local: &str) -> String {
    match namespace {
        ResolveResult::Bound(bound) if bound.as_ref() == "DAV:" => local.to_owned(),
        ResolveResult::Bound(bound) => format!("{{{}}}{local}", bound.as_ref()),
        ResolveResult::Unbound => format!("{{}}{local}"),
        ResolveResult::Unknown(prefix) => panic!("the prefix {} is bound to nothing", prefix),
    }
}
