//! A `multistatus` body (RFC 4918 §14.16), as far as checks ask for it.

use percent_encoding::percent_decode_str;
use quick_xml::escape::unescape;
use quick_xml::events::Event;
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

/// What is said of one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Member {
    /// As it was sent.
    pub(super) href: String,
    /// The properties with their status; values that are XML stay as they are written.
    pub(super) properties: Vec<Property>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) value: String,
    pub(super) status: u16,
}

impl Member {
    /// The path of the reference, without scheme and host.
    pub(super) fn path(&self) -> &str {
        let Some((_, rest)) = self.href.split_once("://") else { return &self.href };
        rest.find('/').map_or("/", |at| &rest[at..])
    }

    /// The path with its percent signs resolved, without the slash at its end.
    pub(super) fn name(&self) -> Vec<u8> {
        let path: Vec<u8> = percent_decode_str(self.path()).collect();
        path.strip_suffix(b"/").unwrap_or(&path).to_vec()
    }

    /// The value of a property that is there.
    pub(super) fn value(&self, namespace: &str, name: &str) -> Option<&str> {
        let found = self.properties.iter().find(|property| {
            property.namespace == namespace && property.name == name && (200..300).contains(&property.status)
        });
        found.map(|property| property.value.trim())
    }
}

/// Reads a body.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Member>, String> {
    let text = str::from_utf8(body).map_err(|_| "the answer is not UTF-8".to_owned())?;
    let mut reader = NsReader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let (mut members, mut has_root, mut undecided, mut is_in_prop) = (Vec::new(), false, 0, false);
    loop {
        let wrong = |error: &dyn std::fmt::Display| format!("the answer is not XML: {error}");
        let (resolved, event) = reader.read_resolved_event().map_err(|error| wrong(&error))?;
        let namespace = match resolved {
            ResolveResult::Bound(namespace) => namespace.into_inner().to_owned(),
            _ => String::new(),
        };
        match event {
            Event::Start(start) => {
                let name = start.local_name().into_inner().to_owned();
                has_root |= name == "multistatus" && namespace == "DAV:";
                let mut value = || -> Result<String, String> {
                    let raw = reader.read_text(start.name()).map_err(|error| wrong(&error))?.into_inner();
                    Ok(unescape(raw.trim()).map_or_else(|_| raw.trim().to_owned(), |text| text.into_owned()))
                };
                match (name.as_str(), members.last_mut()) {
                    ("response", _) if namespace == "DAV:" => {
                        members.push(Member::default());
                        undecided = 0;
                    }
                    (_, Some(Member { properties, .. })) if is_in_prop => {
                        properties.push(Property { namespace, value: value()?, name, status: 0 });
                    }
                    ("prop", Some(_)) => is_in_prop = true,
                    ("href", Some(member)) if member.href.is_empty() => member.href = value()?,
                    ("status", Some(member)) => {
                        let status = value()?.split(' ').nth(1).and_then(|status| status.parse().ok());
                        let told = member.properties[undecided..].iter_mut();
                        told.for_each(|property| property.status = status.unwrap_or_default());
                        undecided = member.properties.len();
                    }
                    _ => {}
                }
            }
            Event::End(end) if end.local_name().into_inner() == "prop" => is_in_prop = false,
            Event::Eof if has_root => return Ok(members),
            Event::Eof => return Err("the answer is no multistatus".to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_send_is_read() {
        let body = br#"<?xml version="1.0"?><x:multistatus xmlns:x="DAV:" xmlns:n="urn:n"><x:response>
            <x:href>http://h:1/a%20b/&amp;</x:href><x:propstat><x:prop><x:getetag>&quot;1&quot;</x:getetag><n:p/></x:prop>
            <x:status>HTTP/1.0 200 OK</x:status></x:propstat><x:propstat><x:prop><x:owner/></x:prop><x:status>HTTP/1.0 404 Not Found</x:status>
            </x:propstat></x:response><x:response><x:href>/c</x:href><x:status>HTTP/1.0 423 Locked</x:status></x:response></x:multistatus>"#;
        let members = parse(body).expect("a multistatus");
        assert_eq!(members.len(), 2);
        assert_eq!((members[0].path(), members[0].name()), ("/a%20b/&", b"/a b/&".to_vec()));
        assert_eq!(members[0].value("DAV:", "getetag"), Some("\"1\""));
        assert_eq!(members[0].value("urn:n", "p"), Some(""));
        assert_eq!(members[0].value("DAV:", "owner"), None);
        assert_eq!((members[1].href.as_str(), members[1].properties.len()), ("/c", 0));
        for wrong in [&b"<html/>"[..], b"<a", b"", b"\xff", b"<multistatus/>"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
