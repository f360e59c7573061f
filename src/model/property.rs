//! What a property is called and, for the ones a client made, what it holds.
//!
//! A [`DeadProperty`] is kept as the text of one complete element that needs nothing around it: it can be written into any answer as it
//! is, and whoever reads it there finds what was sent. What a property means, and whether it may be changed, is never decided here.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

/// The namespace of the properties that WebDAV itself defines.
pub const DAV: &str = "DAV:";

static SHARED_DAV: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(DAV));

/// The name of a property: a namespace and a name in it (RFC 4918 §4.5). Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PropertyName {
    namespace: Arc<str>,
    local: Arc<str>,
}

impl PropertyName {
    /// A name from its two parts; an empty namespace is none. The local part has to be a name without a colon (`NCName`).
    pub fn new(namespace: impl Into<Arc<str>>, local: impl Into<Arc<str>>) -> Self {
        let (namespace, local) = (namespace.into(), local.into());
        debug_assert!(!local.is_empty() && !local.contains([':', '<', '>', '&', ' ']), "{local} is no name");
        Self { namespace, local }
    }

    /// A name in the namespace `DAV:`.
    pub fn dav(local: &str) -> Self {
        Self::new(SHARED_DAV.clone(), local)
    }

    /// The namespace; empty where the name is in none.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name in its namespace.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The local name, if the namespace is `DAV:`.
    pub fn as_dav(&self) -> Option<&str> {
        (&*self.namespace == DAV).then_some(&*self.local)
    }
}

impl fmt::Display for PropertyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{{{}}}{}", self.namespace, self.local)
    }
}

impl fmt::Debug for PropertyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A property that the server only keeps for its clients (RFC 4918 §4.3).
///
/// The element holds neither comments, processing instructions nor `CDATA`; in its text `<`, `>` and `&` are escaped, and in its
/// attributes the quotes too. All prefixes that were in scope where it was set are declared on its root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadProperty {
    name: PropertyName,
    xml: Box<str>,
}

impl DeadProperty {
    /// A property from its name and the complete element, as the reader of request bodies wrote it.
    pub fn new(name: PropertyName, xml: impl Into<Box<str>>) -> Self {
        let xml = xml.into();
        debug_assert!(xml.starts_with('<') && xml.ends_with('>'), "{xml} is no element");
        Self { name, xml }
    }

    /// What it is called.
    pub fn name(&self) -> &PropertyName {
        &self.name
    }

    /// The complete element, its own name as the root.
    pub fn xml(&self) -> &str {
        &self.xml
    }

    /// What it holds, if that is plain text: `None` where there are elements in it.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        // A `>` stands nowhere but at the ends of tags.
        let (tag, rest) = self.xml.split_once('>')?;
        if tag.ends_with('/') {
            return Some(Cow::Borrowed(""));
        }
        let (text, _) = rest.rsplit_once("</")?;
        if text.contains('<') {
            return None;
        }
        Some(if text.contains('&') { Cow::Owned(unescape(text)) } else { Cow::Borrowed(text) })
    }
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escaped)) = rest.split_once('&') {
        plain.push_str(before);
        let (reference, after) = escaped.split_once(';').unwrap_or((escaped, ""));
        plain.push(match reference {
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#9" => '\t',
            "#10" => '\n',
            "#13" => '\r',
            _ => '&',
        });
        rest = after;
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_namespace_and_its_local_part() {
        let name = PropertyName::dav("getetag");
        assert_eq!((name.namespace(), name.local(), name.as_dav()), ("DAV:", "getetag", Some("getetag")));
        assert_eq!(name, PropertyName::new("DAV:", "getetag"));
        assert_ne!(name, PropertyName::new("", "getetag"));
        assert_eq!(PropertyName::new("", "a").as_dav(), None);
        assert_eq!(format!("{name} {:?}", PropertyName::new("urn:x", "a")), "{DAV:}getetag {urn:x}a");
    }

    #[test]
    fn plain_text_is_found_where_there_is_nothing_else() {
        for (xml, text) in [
            ("<a/>", Some("")),
            ("<a></a>", Some("")),
            (r#"<p:a xmlns:p="urn:x" b="1&gt;2"> T </p:a>"#, Some(" T ")),
            ("<a>1 &lt; 2 &amp;amp; 3 &gt; 2&#13;\n&amp;</a>", Some("1 < 2 &amp; 3 > 2\r\n&")),
            ("<a>\u{10000}</a>", Some("\u{10000}")),
            ("<a><b/></a>", None),
            ("<a>b<b>c</b></a>", None),
        ] {
            let property = DeadProperty::new(PropertyName::new("", "a"), xml);
            assert_eq!(property.text().as_deref(), text, "{xml}");
        }
    }
}
