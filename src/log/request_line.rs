//! The line about a request, in each of its forms. It is written straight into a buffer, byte by byte: there may be two hundred thousand of them
//! a second. Nothing is allocated for one, unless the buffer grows.

use std::cell::RefCell;
use std::fmt;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::escaped::{escaped, is_plain};

/// What the log says of a request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// The method, as it was sent.
    pub method: &'a str,
    /// The path as it was sent, without the query.
    pub path: &'a str,
    /// The query, without the question mark.
    pub query: Option<&'a str>,
    /// The version of HTTP, as it stands in a request.
    pub version: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// One word for how the request ended.
    pub outcome: &'a str,
    /// How many bytes the body of the answer has.
    pub bytes: u64,
    /// How long it took until the head of the answer was known.
    pub took: Duration,
    /// The address of the client; a Unix socket has none.
    pub peer: Option<IpAddr>,
    /// Who the client is, if that is known.
    pub user: Option<&'a str>,
    /// `Referer`.
    pub referer: Option<&'a [u8]>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// What the request changes, or was to change; `None` of one that only reads.
    pub change: Option<ChangeLine<'a>>,
}

/// What the line about a request says besides where that changes something, so that it can be told later who changed what.
#[derive(Clone, Copy, Debug)]
pub struct ChangeLine<'a> {
    /// The word for how it is known who the client is.
    pub way_in: &'a str,
    /// The path of `Destination`, without the query.
    pub destination: Option<&'a str>,
    /// The version that was to come back.
    pub restores: Option<&'a str>,
    /// The version that what was displaced has become.
    pub displaced: Option<&'a str>,
}

impl<'a> ChangeLine<'a> {
    /// The fields that it has, in their order, with those of the request's user.
    fn fields(&self, user: Option<&'a str>) -> impl Iterator<Item = (&'static str, &'a str)> {
        let fields = [
            ("user", user),
            ("way_in", Some(self.way_in)),
            ("destination", self.destination),
            ("restores", self.restores),
            ("displaced", self.displaced),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// What the line about a request looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineForm {
    Text { in_colour: bool },
    Json,
    Common,
    Combined,
}

impl RequestLine<'_> {
    /// Writes the line, with the present time, behind what is in `out`.
    pub(super) fn write(&self, form: LineForm, out: &mut Vec<u8>) {
        match form {
            LineForm::Text { in_colour: false } => self.write_fields(&TEXT, push_text, &TEXT_CHANGE, out),
            LineForm::Text { in_colour: true } => self.write_fields(&COLOURED, push_text, &COLOURED_CHANGE, out),
            LineForm::Json => self.write_fields(&JSON, push_json, &JSON_CHANGE, out),
            LineForm::Common => self.write_common(out),
            LineForm::Combined => {
                self.write_common(out);
                let (scheme, place) = without_secrets(self.referer.unwrap_or(b"-"));
                for field in [[scheme, place], [b"", self.user_agent.unwrap_or(b"-")]] {
                    out.extend_from_slice(b" \"");
                    field.iter().for_each(|piece| push_quoted(out, piece));
                    out.push(b'"');
                }
            }
        }
        out.push(b'\n');
    }

    /// As `tracing` writes its lines.
    fn write_fields(
        &self,
        between: &Between,
        push_path: fn(&mut Vec<u8>, &str),
        around: &[&'static str; 3],
        out: &mut Vec<u8>,
    ) {
        let [before, method, path, status, bytes, took, outcome, peer, behind_peer, end] = between;
        out.extend_from_slice(before.as_bytes());
        push_time(out, TimeForm::Iso);
        out.extend_from_slice(method.as_bytes());
        push_path(out, self.method);
        out.extend_from_slice(path.as_bytes());
        push_path(out, self.path);
        out.extend_from_slice(status.as_bytes());
        push_number(out, u64::from(self.status));
        out.extend_from_slice(bytes.as_bytes());
        push_number(out, self.bytes);
        out.extend_from_slice(took.as_bytes());
        push_number(out, u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX));
        out.extend_from_slice(outcome.as_bytes());
        out.extend_from_slice(self.outcome.as_bytes());
        out.extend_from_slice(peer.as_bytes());
        push_address(out, self.peer.unwrap_or(IpAddr::from([0, 0, 0, 0])));
        out.extend_from_slice(behind_peer.as_bytes());
        let [before, equals, behind] = around;
        for (name, value) in self.change.iter().flat_map(|change| change.fields(self.user)) {
            for piece in [before, name, equals] {
                out.extend_from_slice(piece.as_bytes());
            }
            push_json(out, value);
            out.extend_from_slice(behind.as_bytes());
        }
        out.extend_from_slice(end.as_bytes());
    }

    /// The Common Log Format, as Apache (`mod_log_config`) and nginx (`ngx_http_log_module`) write it.
    fn write_common(&self, out: &mut Vec<u8>) {
        match self.peer {
            Some(peer) => push_address(out, peer),
            None => out.push(b'-'),
        }
        out.extend_from_slice(b" - ");
        // A space would end the field.
        for piece in self.user.unwrap_or("-").split_inclusive(' ') {
            match piece.strip_suffix(' ') {
                Some(word) => {
                    push_quoted(out, word.as_bytes());
                    out.extend_from_slice(b"\\x20");
                }
                None => push_quoted(out, piece.as_bytes()),
            }
        }
        out.extend_from_slice(b" [");
        push_time(out, TimeForm::Common);
        out.extend_from_slice(b" +0000] \"");
        push_quoted(out, self.method.as_bytes());
        out.push(b' ');
        push_quoted(out, self.path.as_bytes());
        if let Some(query) = self.query {
            out.push(b'?');
            push_quoted(out, query.as_bytes());
        }
        out.push(b' ');
        out.extend_from_slice(self.version.as_bytes());
        out.extend_from_slice(b"\" ");
        push_number(out, u64::from(self.status));
        out.push(b' ');
        push_number(out, self.bytes);
    }
}

/// A URL without what may be secret in it: its scheme, and its host and path. The name and the password are left out that stand before the host,
/// and the query, in which a secret may stand under any name.
fn without_secrets(url: &[u8]) -> (&[u8], &[u8]) {
    let end = url.iter().position(|byte| b"?#".contains(byte)).unwrap_or(url.len());
    let url = &url[..end];
    let host = url.windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(host);
    let path = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    let host = rest[..path].iter().rposition(|byte| *byte == b'@').map_or(0, |at| at + 1);
    (scheme, &rest[host..])
}

/// What stands before the name of a field of a change, before its value, and behind that.
const TEXT_CHANGE: [&str; 3] = [" ", "=\"", "\""];
const COLOURED_CHANGE: [&str; 3] = [" \x1b[3m", "\x1b[0m\x1b[2m=\x1b[0m\"", "\""];
const JSON_CHANGE: [&str; 3] = [",\"", "\":\"", "\""];

/// What stands before the time, between the fields, and at the end.
type Between = [&'static str; 10];

const TEXT: Between =
    ["", "  INFO method=\"", "\" path=", " status=", " bytes=", " microseconds=", " outcome=\"", "\" peer=", "", ""];

const COLOURED: Between = [
    "\x1b[2m",
    "\x1b[0m \x1b[32m INFO\x1b[0m \x1b[3mmethod\x1b[0m\x1b[2m=\x1b[0m\"",
    "\" \x1b[3mpath\x1b[0m\x1b[2m=\x1b[0m",
    " \x1b[3mstatus\x1b[0m\x1b[2m=\x1b[0m",
    " \x1b[3mbytes\x1b[0m\x1b[2m=\x1b[0m",
    " \x1b[3mmicroseconds\x1b[0m\x1b[2m=\x1b[0m",
    " \x1b[3moutcome\x1b[0m\x1b[2m=\x1b[0m\"",
    "\" \x1b[3mpeer\x1b[0m\x1b[2m=\x1b[0m",
    "",
    "",
];

const JSON: Between = [
    "{\"timestamp\":\"",
    "\",\"level\":\"INFO\",\"method\":\"",
    "\",\"path\":\"",
    "\",\"status\":",
    ",\"bytes\":",
    ",\"microseconds\":",
    ",\"outcome\":\"",
    "\",\"peer\":\"",
    "\"",
    "}",
];

fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        write!(out, "{address}").expect("a buffer takes everything");
        return;
    };
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            out.push(b'.');
        }
        push_number(out, u64::from(octet));
    }
}

/// As [`escaped`].
fn push_text(out: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        out.extend_from_slice(text.as_bytes());
    } else {
        write!(out, "{}", escaped(text)).expect("a buffer takes everything");
    }
}

/// As [`escaped`], in a JSON string: what JSON has escaped besides quotes and backslashes is escaped already.
fn push_json(out: &mut Vec<u8>, text: &str) {
    struct Json<'a>(&'a mut Vec<u8>);
    impl fmt::Write for Json<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for byte in text.bytes() {
                if matches!(byte, b'"' | b'\\') {
                    self.0.push(b'\\');
                }
                self.0.push(byte);
            }
            Ok(())
        }
    }
    if is_plain(text) && !text.contains('"') {
        out.extend_from_slice(text.as_bytes());
    } else {
        fmt::write(&mut Json(out), format_args!("{}", escaped(text))).expect("a buffer takes everything");
    }
}

/// As nginx escapes what stands between quotes: whatever is a quote, a backslash, a control character or no ASCII becomes `\xHH`.
fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f..=0xff => {
                let (high, low) = (DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'x', high, low]);
            }
            byte => out.push(byte),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeForm {
    /// RFC 3339, to the microsecond.
    Iso,
    /// Day, month and year as the Common Log Format has them, without the zone.
    Common,
}

/// The present time in UTC. What it says of the second is made once a second by each thread.
fn push_time(out: &mut Vec<u8>, form: TimeForm) {
    thread_local! {
        static WRITTEN: RefCell<(TimeForm, u64, Vec<u8>)> = const { RefCell::new((TimeForm::Iso, u64::MAX, Vec::new())) };
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let second = now.as_secs();
    WRITTEN.with_borrow_mut(|(of_form, of_second, text)| {
        if (*of_form, *of_second) != (form, second) {
            let time = jiff::Timestamp::from_second(i64::try_from(second).unwrap_or_default()).unwrap_or_default();
            let how = if form == TimeForm::Iso { "%Y-%m-%dT%H:%M:%S." } else { "%d/%b/%Y:%H:%M:%S" };
            text.clear();
            write!(text, "{}", time.strftime(how)).expect("a buffer takes everything");
            (*of_form, *of_second) = (form, second);
        }
        out.extend_from_slice(text);
    });
    if form == TimeForm::Iso {
        let mut micros = now.subsec_micros();
        let mut digits = *b"000000Z";
        for digit in digits[..6].iter_mut().rev() {
            *digit = b'0' + (micros % 10) as u8;
            micros /= 10;
        }
        out.extend_from_slice(&digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_in_a_referer_is_left_out() {
        for (url, told) in [
            ("http://nas/a/b.txt", "http://nas/a/b.txt"),
            ("http://bob:secret@nas:80/a@b", "http://nas:80/a@b"),
            ("http://bob:sec@ret@nas", "http://nas"),
            ("http://nas/?sign-in=secret", "http://nas/"),
            ("http://nas?token=secret", "http://nas"),
            ("https://nas/a#secret", "https://nas/a"),
            ("/a?secret", "/a"),
            ("bob:secret@nas/a", "nas/a"),
            ("-", "-"),
            ("", ""),
        ] {
            let (scheme, place) = without_secrets(url.as_bytes());
            assert_eq!([scheme, place].concat(), told.as_bytes(), "{url}");
        }
    }

    const LINE: RequestLine<'_> = RequestLine {
        method: "GET",
        path: "/a%20b",
        query: Some("versions&limit=2"),
        version: "HTTP/1.1",
        status: 206,
        outcome: "ok",
        bytes: 1_234_567,
        took: Duration::from_micros(89),
        peer: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 250))),
        user: None,
        referer: Some(b"http://a/\"x\""),
        user_agent: Some(b"curl/8\\\x07\xff"),
        change: None,
    };

    fn written(line: &RequestLine<'_>, form: LineForm) -> String {
        let mut out = b"before\n".to_vec();
        line.write(form, &mut out);
        let line = String::from_utf8(out).expect("UTF-8");
        line.strip_prefix("before\n").and_then(|line| line.strip_suffix('\n')).expect("one line").to_owned()
    }

    #[test]
    fn a_line_of_text_is_what_tracing_writes() {
        let line = written(&LINE, LineForm::Text { in_colour: false });
        let (time, rest) = line.split_once(' ').expect("a time");
        let read: jiff::Timestamp = time.parse().expect(time);
        assert!(jiff::Timestamp::now().duration_since(read).abs().as_secs() < 60 && time.len() == 27, "{time}");
        let fields =
            r#" INFO method="GET" path=/a%20b status=206 bytes=1234567 microseconds=89 outcome="ok" peer=192.0.2.250"#;
        assert_eq!(rest, fields);
        let mut bare = String::new();
        let coloured = written(&LINE, LineForm::Text { in_colour: true });
        let mut pieces = coloured.split("\x1b[");
        bare.push_str(pieces.next().expect("a piece"));
        pieces.for_each(|piece| bare.push_str(piece.split_once('m').expect("the end of a colour").1));
        assert_eq!(bare.split_once(' ').expect("a time").1, rest);
    }

    #[test]
    fn a_line_of_json_is_an_object_whatever_is_in_it() {
        for path in ["/a", "/\"", "/\\", "/a\x1b[2J\n\u{202e}b\"\\", "/\u{1f642}"] {
            for peer in ["192.0.2.250", "::1", "::ffff:192.0.2.1"] {
                let line = RequestLine { path, peer: peer.parse().ok(), ..LINE };
                let read: serde_json::Value = serde_json::from_str(&written(&line, LineForm::Json)).expect(path);
                assert_eq!(read["path"], escaped(path).to_string());
                assert_eq!(
                    (&read["peer"], &read["status"], &read["level"]),
                    (&peer.into(), &206.into(), &"INFO".into())
                );
            }
        }
    }

    const CHANGE: ChangeLine<'_> = ChangeLine {
        way_in: "link",
        destination: Some("/x\" displaced=\"y\nz\\"),
        restores: None,
        displaced: Some("2026-11-22T14-35-07.123456Z"),
    };

    /// A name that somebody chose adds no field and no line.
    #[test]
    fn the_line_of_a_change_says_who_made_it() {
        let line = RequestLine { change: Some(CHANGE), user: Some("Änne"), ..LINE };
        let fields = r#" peer=192.0.2.250 user="Änne" way_in="link" destination="/x\" displaced=\"y\\nz\\\\" displaced="2026-11-22T14-35-07.123456Z""#;
        let text = written(&line, LineForm::Text { in_colour: false });
        assert!(text.ends_with(fields), "{text}");
        let read: serde_json::Value = serde_json::from_str(&written(&line, LineForm::Json)).expect("an object");
        assert_eq!((&read["user"], &read["way_in"]), (&"Änne".into(), &"link".into()));
        assert_eq!(read["destination"], r#"/x" displaced="y\nz\\"#);
        assert_eq!(read["displaced"], "2026-11-22T14-35-07.123456Z");
        assert_eq!(read["restores"], serde_json::Value::Null);
        let common = written(&line, LineForm::Common);
        assert_eq!(
            common.split_once('[').map(|parts| parts.0),
            written(&RequestLine { change: None, ..line }, LineForm::Common).split_once('[').map(|parts| parts.0)
        );
    }

    #[test]
    fn the_common_and_the_combined_form_are_those_of_other_servers() {
        let line = written(&LINE, LineForm::Common);
        let (client, rest) = line.split_once(" [").expect("a time");
        let (time, rest) = rest.split_once("] ").expect("a time");
        assert_eq!(client, "192.0.2.250 - -");
        let read = jiff::fmt::strtime::parse("%d/%b/%Y:%H:%M:%S %z", time).and_then(|time| time.to_timestamp());
        assert!(jiff::Timestamp::now().duration_since(read.expect(time)).abs().as_secs() < 60, "{time}");
        assert_eq!(rest, r#""GET /a%20b?versions&limit=2 HTTP/1.1" 206 1234567"#);
        let combined = written(&LINE, LineForm::Combined);
        assert!(combined.ends_with(r#" 206 1234567 "http://a/\x22x\x22" "curl/8\x5C\x07\xFF""#), "{combined}");
        let bare =
            RequestLine { referer: None, user_agent: None, query: None, peer: None, user: Some("Ann B"), ..LINE };
        let bare = written(&bare, LineForm::Combined);
        assert!(bare.starts_with("- - Ann\\x20B [") && bare.ends_with(r#" HTTP/1.1" 206 1234567 "-" "-""#), "{bare}");
    }
}
