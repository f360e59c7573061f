//! The framing of a body in chunks (RFC 9112 §7.1): where it ends, and that it is one. Followed byte by byte, wherever the bytes are cut.
//! It keeps to the grammar to the letter, for whoever reads a body otherwise than its sender means it takes a part of it for a request. What
//! extensions and trailers say is read over.

/// How much there may be of extensions and trailers in one body, together, in bytes.
const AROUND_BYTES_MAX: usize = 8 * 1024;

/// The digits of the largest size there is.
const DIGITS_MAX: u8 = 16;

/// How far a body in chunks has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chunks {
    place: ChunkPart,
    around: usize,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug)]
enum ChunkPart {
    /// A digit of a size, of which there are some; or what follows the size.
    Size {
        digits: u8,
        size: u64,
    },
    /// Behind a size, or behind an extension that is complete: white space that only a further extension may follow.
    BeforeExtension {
        size: u64,
    },
    /// The first byte of an extension's name, or white space before it.
    ExtensionName {
        size: u64,
    },
    /// Within the name, or what follows it.
    InExtensionName {
        size: u64,
    },
    /// Behind the name: white space that `=` or a further extension may follow.
    AfterExtensionName {
        size: u64,
    },
    /// The first byte of an extension's value, or white space before it.
    ExtensionValue {
        size: u64,
    },
    /// Within a value that is a token, or what follows it.
    InToken {
        size: u64,
    },
    /// Within a value in quotes.
    InQuotes {
        size: u64,
    },
    /// Behind a backslash in quotes.
    InQuotesEscaped {
        size: u64,
    },
    /// What follows the closing quote.
    AfterQuotes {
        size: u64,
    },
    /// The line feed that ends the line of the size.
    SizeLineFeed {
        size: u64,
    },
    /// So many bytes of the body.
    Data {
        left: u64,
    },
    /// The end of the line behind the bytes of a chunk.
    DataReturn,
    DataLineFeed,
    /// The first byte of a line behind the last chunk.
    Trailer,
    InTrailerName,
    InTrailerValue,
    TrailerLineFeed,
    /// The line feed that ends the body.
    LastLineFeed,
    /// Nothing: the body is complete.
    Complete,
}

impl Default for ChunkPart {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0 }
    }
}

/// What bytes are in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Followed {
    /// All of them belong to it, and it goes on.
    All,
    /// It ends after so many.
    Complete(usize),
    /// Only so many can belong to it: what follows them is not allowed there.
    Malformed(usize),
}

impl Chunks {
    /// Follows the body through these bytes.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Followed {
        let mut at = 0;
        while at < bytes.len() {
            if let ChunkPart::Data { left } = self.place {
                let passed = left.min((bytes.len() - at) as u64);
                at += passed as usize;
                self.place =
                    if passed == left { ChunkPart::DataReturn } else { ChunkPart::Data { left: left - passed } };
                continue;
            }
            let Some(next) = self.step(bytes[at]) else { return Followed::Malformed(at) };
            self.place = next;
            at += 1;
            if matches!(next, ChunkPart::Complete) {
                return Followed::Complete(at);
            }
        }
        Followed::All
    }

    fn step(&mut self, byte: u8) -> Option<ChunkPart> {
        use ChunkPart::*;
        if matches!(self.place, Size { .. } | SizeLineFeed { .. } | DataReturn | DataLineFeed) {
            return self.step_between(byte);
        }
        self.around += 1;
        if self.around > AROUND_BYTES_MAX {
            return None;
        }
        Some(match (self.place, byte) {
            (BeforeExtension { size }, b' ' | b'\t') => BeforeExtension { size },
            (AfterExtensionName { size }, b' ' | b'\t') => AfterExtensionName { size },
            (BeforeExtension { size } | AfterExtensionName { size }, b';') => ExtensionName { size },
            (AfterExtensionName { size }, b'=') => ExtensionValue { size },

            (ExtensionName { size }, b' ' | b'\t') => ExtensionName { size },
            (ExtensionName { size }, byte) if is_of_token(byte) => InExtensionName { size },
            (InExtensionName { size }, byte) if is_of_token(byte) => InExtensionName { size },
            (InExtensionName { size }, b' ' | b'\t') => AfterExtensionName { size },
            (InExtensionName { size }, b'=') => ExtensionValue { size },

            (ExtensionValue { size }, b' ' | b'\t') => ExtensionValue { size },
            (ExtensionValue { size }, b'"') => InQuotes { size },
            (ExtensionValue { size } | InToken { size }, byte) if is_of_token(byte) => InToken { size },
            (InQuotes { size }, b'"') => AfterQuotes { size },
            (InQuotes { size }, b'\\') => InQuotesEscaped { size },
            (InQuotes { size } | InQuotesEscaped { size }, byte) if is_of_text(byte) => InQuotes { size },

            (InToken { size } | AfterQuotes { size }, b' ' | b'\t') => BeforeExtension { size },
            (InExtensionName { size } | InToken { size } | AfterQuotes { size }, b';') => ExtensionName { size },
            (InExtensionName { size } | InToken { size } | AfterQuotes { size }, b'\r') => SizeLineFeed { size },

            (Trailer, b'\r') => LastLineFeed,
            (Trailer | InTrailerName, byte) if is_of_token(byte) => InTrailerName,
            (InTrailerName, b':') => InTrailerValue,
            (InTrailerValue, byte) if is_of_text(byte) => InTrailerValue,
            (InTrailerValue, b'\r') => TrailerLineFeed,
            (TrailerLineFeed, b'\n') => Trailer,
            (LastLineFeed, b'\n') => Complete,
            _ => return None,
        })
    }

    /// A step through what every chunk has.
    fn step_between(&self, byte: u8) -> Option<ChunkPart> {
        use ChunkPart::*;
        Some(match (self.place, byte) {
            (Size { digits, size }, byte) if byte.is_ascii_hexdigit() && digits < DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Size { digits: digits + 1, size: size << 4 | u64::from(digit) }
            }
            (Size { digits: 1.., size }, b'\r') => SizeLineFeed { size },
            (Size { digits: 1.., size }, b';') => ExtensionName { size },
            (Size { digits: 1.., size }, b' ' | b'\t') => BeforeExtension { size },
            (SizeLineFeed { size: 0 }, b'\n') => Trailer,
            (SizeLineFeed { size }, b'\n') => Data { left: size },
            (DataReturn, b'\r') => DataLineFeed,
            (DataLineFeed, b'\n') => ChunkPart::default(),
            _ => return None,
        })
    }
}

/// Whether a byte can be part of a token (RFC 9110 §5.6.2).
pub(crate) fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a byte can be part of a field's value, or of a text in quotes (RFC 9110 §5.5, §5.6.4).
fn is_of_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows a body that comes in two pieces.
    fn follow(bytes: &[u8], cut: usize) -> Followed {
        let mut chunks = Chunks::default();
        match chunks.follow(&bytes[..cut]) {
            Followed::All => match chunks.follow(&bytes[cut..]) {
                Followed::All => Followed::All,
                Followed::Complete(length) => Followed::Complete(cut + length),
                Followed::Malformed(length) => Followed::Malformed(cut + length),
            },
            ended => ended,
        }
    }

    /// However the bytes are cut, a body ends at the same byte.
    #[test]
    fn a_body_ends_where_its_last_chunk_says() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "a\r\n0123456789\r\nB\r\n0\r\n\r\nGET /b\r\n0\r\n\r\n",
            "0005\r\nhello\r\n00\r\n\r\n",
            "1;a\r\nx\r\n0;b=c\r\n\r\n",
            "1 ; a = \"b \\\" ; c\" ;d=e;f\r\nx\r\n0\r\n\r\n",
            "1;a=\"\"\r\nx\r\n0\r\n\r\n",
            "0\r\nA: b\r\nC:\r\nD-e:\tf\u{fc}\r\n\r\n",
            "0;a\r\nA: b\r\n\r\n",
        ] {
            let bytes = [body.as_bytes(), b"GET /a HTTP/1.1\r\n"].concat();
            for cut in 0..bytes.len() {
                assert_eq!(follow(&bytes, cut), Followed::Complete(body.len()), "{cut}: {body:?}");
                let begun = &bytes[..cut.min(body.len() - 1)];
                assert_eq!(follow(begun, begun.len() / 2), Followed::All, "{cut}: {body:?}");
            }
        }
    }

    /// What no body can be is known at the very byte, however the bytes are cut.
    #[test]
    fn what_is_no_body_is_known_at_once() {
        for (good, bad, why) in [
            ("", "\r\n", "no size"),
            ("", "g\r\n", "no digit"),
            ("", ";a\r\n", "an extension without a size"),
            ("", " 5\r\nhello", "blanks before a size"),
            ("", "-5\r\n", "a sign"),
            ("", "+5\r\n", "a sign"),
            ("0", "x5\r\nhello", "a prefix"),
            ("5", "\nhello", "a line that ends in a line feed alone"),
            ("5\r", "hello", "a line that ends in a return alone"),
            ("5 ", "\r\nhello", "blanks at the end"),
            ("5\t ", "6\r\nhello", "blanks within a size"),
            ("5;", "\r\nhello", "an extension without a name"),
            ("5; ", "\r\nhello", "an extension without a name"),
            ("5;", ";a\r\nhello", "an extension without a name"),
            ("5;", "=a\r\nhello", "an extension without a name"),
            ("5;a=", "\r\nhello", "no value"),
            ("5;a=", ";b\r\nhello", "no value"),
            ("5;a ", "\r\nhello", "blanks at the end"),
            ("5;a=b ", "\r\nhello", "blanks at the end"),
            ("5;a=\"b\" ", "\r\nhello", "blanks at the end"),
            ("5;a=\"b\"", "c\r\nhello", "a value that goes on behind its quotes"),
            ("5;a=\"b", "\r\nhello", "a line that ends in quotes"),
            ("5;a=\"b", "\nhello", "a line that ends in quotes"),
            ("5;a", "\nhello", "a line that ends in a line feed alone"),
            ("5;a", "\0\r\nhello", "a control character"),
            ("5;a", "(\r\nhello", "a mark that is not of a token"),
            ("2\r\nxx", "x\r\n0\r\n\r\n", "more than was said"),
            ("2\r\nxx", "\n0\r\n\r\n", "a line that ends in a line feed alone"),
            ("2\r\nxx\r", "0\r\n\r\n", "a line that ends in a return alone"),
            ("2\r\nxx\r\n", "\r\n0\r\n\r\n", "an empty line between chunks"),
            ("ffffffffffffffff", "f\r\n", "a size that no number holds"),
            ("0000000000000000", "0\r\n\r\n", "more digits than a number has"),
            ("0\r\n", "\n", "a line that ends in a line feed alone"),
            ("0\r\n\r", "GET", "a line that ends in a return alone"),
            ("0\r\n", " A: b\r\n\r\n", "a line that begins with blanks"),
            ("0\r\nA: b\r\n", " c\r\n\r\n", "a folded line"),
            ("0\r\nA", "\r\n\r\n", "a trailer without a colon"),
            ("0\r\nA", " : b\r\n\r\n", "blanks before the colon"),
            ("0\r\n", ": b\r\n\r\n", "a trailer without a name"),
            ("0\r\nA: b", "\nC: d\r\n\r\n", "a line that ends in a line feed alone"),
            ("0\r\nA: b\r", "C: d\r\n\r\n", "a line that ends in a return alone"),
            ("0\r\nA: b", "\0\r\n\r\n", "a control character"),
            ("0\r\nGET", " /a HTTP/1.1\r\n\r\n", "a request in place of a trailer"),
        ] {
            let bytes = [good.as_bytes(), bad.as_bytes()].concat();
            for cut in 0..=bytes.len() {
                assert_eq!(follow(&bytes, cut), Followed::Malformed(good.len()), "{why}, {cut}: {good:?} {bad:?}");
            }
        }
    }

    /// However they are spread over the chunks of one body.
    #[test]
    fn extensions_and_trailers_have_a_bound_together() {
        let extension = |length: usize| format!("1;{}\r\nx\r\n", "a".repeat(length));
        let trailer = |length: usize| format!("0\r\nA:{}\r\n", "b".repeat(length));
        for (body, is_fine) in [
            (extension(4000) + &trailer(4000), true),
            (extension(8200), false),
            (trailer(8200), false),
            (extension(100).repeat(100), false),
            (extension(4100) + &trailer(4100), false),
            (format!("0\r\n{}", "A:\r\n".repeat(3000)), false),
            (format!("1{}", " ".repeat(8200)), false),
        ] {
            let followed = Chunks::default().follow(body.as_bytes());
            assert_eq!(followed == Followed::All, is_fine, "{followed:?}: {}", &body[..40]);
        }
        let many = "1\r\nx\r\n".repeat(10_000);
        assert_eq!(Chunks::default().follow(many.as_bytes()), Followed::All);
    }
}
