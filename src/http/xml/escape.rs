//! Escaping text for XML.

/// The bytes that no plain piece holds. U+FFFE and U+FFFF begin with 0xEF.
const MAY_NEED_ESCAPE: [bool; 256] = {
    let mut table = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = true;
        control += 1;
    }
    let special = [b'&', b'<', b'>', b'"', 0xEF];
    let mut at = 0;
    while at < special.len() {
        table[special[at] as usize] = true;
        at += 1;
    }
    table
};

/// Where text is going to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextContext {
    /// Between tags.
    Text,
    /// Between double quotes.
    Attribute,
}

/// The text in pieces, with whatever means something to XML escaped. A character that XML cannot hold at all becomes U+FFFD.
pub(super) fn escaped(text: &str, place: TextContext) -> EscapedXml<'_> {
    EscapedXml { rest: text, place }
}

/// The pieces of an escaped text.
#[derive(Debug)]
pub(super) struct EscapedXml<'t> {
    rest: &'t str,
    place: TextContext,
}

impl<'t> Iterator for EscapedXml<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let plain = self.rest.bytes().position(|byte| MAY_NEED_ESCAPE[usize::from(byte)]).unwrap_or(self.rest.len());
        if plain > 0 {
            let (piece, rest) = self.rest.split_at(plain);
            self.rest = rest;
            return Some(piece);
        }
        let first = self.rest.chars().next()?;
        let (piece, rest) = self.rest.split_at(first.len_utf8());
        self.rest = rest;
        Some(match (first, self.place) {
            ('&', _) => "&amp;",
            ('<', _) => "&lt;",
            ('>', _) => "&gt;",
            ('\r', _) => "&#13;",
            ('"', TextContext::Attribute) => "&quot;",
            ('\t', TextContext::Attribute) => "&#9;",
            ('\n', TextContext::Attribute) => "&#10;",
            ('\t' | '\n', TextContext::Text) => piece,
            ('\0'..=' ' | '\u{FFFE}' | '\u{FFFF}', _) => "\u{FFFD}",
            _ => piece,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_breaks_nothing() {
        for (place, text, expected) in [
            (TextContext::Text, "a<b>&\"c'\t\n\r", "a&lt;b&gt;&amp;\"c'\t\n&#13;"),
            (TextContext::Attribute, "a<b>&\"c'\t\n\r", "a&lt;b&gt;&amp;&quot;c'&#9;&#10;&#13;"),
            (
                TextContext::Text,
                "\0\u{1}\u{1F}\u{7F}\u{FFFD}\u{FFFE}\u{FFFF}\u{FF00}\u{10FFFF}",
                "\u{FFFD}\u{FFFD}\u{FFFD}\u{7F}\u{FFFD}\u{FFFD}\u{FFFD}\u{FF00}\u{10FFFF}",
            ),
            (TextContext::Text, "", ""),
        ] {
            assert_eq!(escaped(text, place).collect::<String>(), expected, "{text:?}");
        }
    }
}
