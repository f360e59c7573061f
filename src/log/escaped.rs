//! Texts that strangers chose, shown such that they stay in their line.

use std::fmt::{self, Write};

/// Shows a text that a stranger chose in one line, and such that it cannot move the cursor, change a colour, or turn the
/// direction of what follows: such characters become `\u{1b}`, and a backslash is doubled.
///
/// ```
/// assert_eq!(noclobber::log::escaped("a\x1b[2J\nb\\").to_string(), r"a\u{1b}[2J\nb\\");
/// assert_eq!(noclobber::log::escaped("Übersicht 2026.odt").to_string(), "Übersicht 2026.odt");
/// ```
pub fn escaped(text: &str) -> impl fmt::Display {
    LogText(text)
}

/// Whether [`escaped`] would show a text as it is, as far as that is seen at once.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\')
}

struct LogText<'a>(&'a str);

impl fmt::Display for LogText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' | '\n' | '\r' | '\t' => c.escape_default().fmt(f),
            c if c.is_control() || turns_or_breaks_the_line(c) => c.escape_unicode().fmt(f),
            c => f.write_char(c),
        })
    }
}

/// The marks that change the direction of text, and the separators of lines and paragraphs.
fn turns_or_breaks_the_line(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
