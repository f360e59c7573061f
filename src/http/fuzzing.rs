//! The parsers of this room, as the fuzz targets call them: raw bytes in, and what must hold of whatever comes out is asserted here.
//! No part of the program, and of no use to anybody else.

use actix_codec::Decoder as _;
use actix_http::Payload;
use actix_http::h1::{Codec, Message, MessageType};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use tokio::task::LocalSet;

use crate::http::headers::dav_headers::{self, TIMEOUT_MAX, TIMEOUT_MIN, UrlTarget};
use crate::http::headers::digest::{self, Expected};
use crate::http::headers::if_header;
use crate::http::headers::range::{self, Ranges};
use crate::http::headers::update_range;
use crate::http::headers::{tus_fields, upload_fields};
use crate::http::wire::chunks::{Chunks, Followed};
use crate::http::wire::heads::{Head, HeadSeen};
use crate::http::wire::request_gate::{Admitted, RequestGate};
use crate::http::xml::XmlError;
use crate::http::xml::read::{self, Instruction, LockInfo, MakeCollection, Propfind, Proppatch, Report};
use crate::http::xml::write::Multistatus;
use crate::model::dating::VersionDate;
use crate::model::http_date;
use crate::model::path::SharePath;
use crate::model::property::{DeadProperty, PropertyName};
use crate::model::stamp::Timestamp;
use crate::model::state_list::{Resource, Standing, State};
use crate::model::sync_token::SyncToken;
use crate::model::tag::EntityTag;
use crate::model::validators::{Target, Validators};

/// `Range` and `If-Range`; lines are parted by line breaks.
pub fn range(bytes: &[u8], size: u64) {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    if let Ranges::Parts(parts) = range::parse(&lines, size) {
        assert!((1..=16).contains(&parts.len()));
        assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
        assert!(parts.iter().map(|part| u128::from(part.end - part.start)).sum::<u128>() <= u128::from(size));
    }
    let validators = a_file();
    if range::if_range_holds(Some(bytes), &validators) {
        let text = String::from_utf8_lossy(bytes);
        assert!(text.trim() == "\"cur\"" || text.contains("08:49:37"), "{text}");
    }
}

/// `X-Update-Range` and `Content-Range` of a part that is written; lines are parted by line breaks. What is read has its place in a file of this size, or is
/// told to have none.
pub fn update_range(bytes: &[u8], size: u64) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(HeaderName::from_static(update_range::X_UPDATE_RANGE), value.clone());
        headers.append(header::CONTENT_RANGE, value);
    }
    let read = [update_range::update_range(&headers), update_range::content_range(&headers)];
    for part in read.into_iter().flatten() {
        assert_eq!(headers.len(), 2, "of several lines nobody can tell which one is meant");
        let length = part.length.unwrap_or(4);
        assert!(length > 0 && part.fits(length));
        if let Some(becomes) = part.range.size_after(size, length) {
            let start = part.range.start(size).expect("it has a place");
            assert!(becomes >= size && start + length <= becomes);
        }
    }
}

/// A head, and a body in chunks, that come in two pieces: the first byte says where they are cut, and that changes nothing.
pub fn framing(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let cut = usize::from(*cut).min(bytes.len());
    let (mut chunks, mut in_two) = (Chunks::default(), Chunks::default());
    let followed = match in_two.follow(&bytes[..cut]) {
        Followed::All => match in_two.follow(&bytes[cut..]) {
            Followed::All => Followed::All,
            Followed::Complete(length) => Followed::Complete(cut + length),
            Followed::Malformed(length) => Followed::Malformed(cut + length),
        },
        followed => followed,
    };
    assert_eq!(followed, chunks.follow(bytes));
    let (mut text, mut head) = (bytes.to_vec(), Head::default());
    let looked = match head.look(&mut text[..cut], 1000) {
        HeadSeen::Begun => head.look(&mut text, 1000),
        looked => looked,
    };
    match (looked, Head::default().look(&mut bytes.to_vec(), 1000)) {
        // What the parser would refuse is known earlier where it comes in pieces.
        (HeadSeen::Refused(_), HeadSeen::Complete(..) | HeadSeen::Refused(_)) => {}
        (in_two, in_one) => assert_eq!(in_two, in_one),
    }
}

/// All that comes on a connection, in pieces of a size that the first byte says: whatever it is, the parser is given one request at a time, which
/// ends for it at the very byte at which it ends for the turn, and how it is cut changes no request.
pub fn connection(bytes: &[u8]) {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    // The parser has a clock beside it, which is never asked.
    let clock = LocalSet::new();
    let _entered = clock.enter();
    let (in_pieces, at_once) = (read_connection(bytes, usize::from(*piece) + 1), read_connection(bytes, usize::MAX));
    assert_eq!(in_pieces, at_once, "{}", bytes.escape_ascii());
}

/// The requests on a connection, as the parser reads them: their lines and bodies. What breaks off, or is none, ends it.
fn read_connection(bytes: &[u8], piece: usize) -> Vec<(String, Vec<u8>)> {
    let (turn, mut codec) = (RequestGate::new(2000), Codec::default());
    let (mut rest, mut held, mut given) = (bytes, BytesMut::new(), BytesMut::new());
    let (mut requests, mut body) = (Vec::new(), Vec::new());
    loop {
        while held.len() > turn.looked_at() {
            let length = match turn.admit(&mut held) {
                Admitted::Bytes(length) => length,
                Admitted::Begun => break,
                Admitted::Refused(_) => return requests,
            };
            given.extend_from_slice(&held.split_to(length));
            if turn.is_given() {
                let Ok(read) = codec.decode(&mut given) else { return requests };
                let Some(Message::Item(mut request)) = read else { panic!("a whole head is none to the parser") };
                if codec.message_type() != MessageType::None {
                    *request.payload() = Payload::H1 { payload: actix_http::h1::Payload::create(false).1 };
                }
                turn.begin(&mut request);
                requests.push((format!("{} {}", request.method(), request.uri()), Vec::new()));
            }
            let mut is_complete = codec.message_type() == MessageType::None;
            while !is_complete && let Ok(Some(Message::Chunk(chunk))) = codec.decode(&mut given) {
                is_complete = chunk.is_none();
                body.extend_from_slice(&chunk.unwrap_or_default());
            }
            if turn.to_throw_away().is_some() {
                return requests;
            }
            assert_eq!(is_complete, turn.is_ours(), "{}", bytes.escape_ascii());
            if is_complete {
                assert!(given.is_empty(), "{}", bytes.escape_ascii());
                requests.last_mut().expect("one has begun").1 = std::mem::take(&mut body);
                // An answer goes through the codec, too, and leaves.
                drop(turn.until_answered());
                codec = Codec::default();
            }
        }
        if rest.is_empty() {
            return requests;
        }
        let (next, after) = rest.split_at(piece.min(rest.len()));
        held.extend_from_slice(next);
        rest = after;
    }
}

/// Dates of HTTP: what is read as one is written as one, of the same second, in each of the forms that tell its century.
pub fn dates(bytes: &[u8]) {
    let Some(seconds) = http_date::parse(bytes) else { return };
    let written = http_date::format(Timestamp::new(seconds, 0));
    assert_eq!(http_date::parse(written.as_bytes()), Some(seconds), "{}", bytes.escape_ascii());
    assert_eq!(written.len(), "Sun, 06 Nov 1994 08:49:37 GMT".len(), "{written}");
    let text = str::from_utf8(bytes).expect("letters and digits").trim_matches([' ', '\t']);
    assert!(text.is_ascii() && text.len() >= "Sun Nov  6 08:49:37 1994".len(), "{text}");
    // Where the year has four digits in front of the time it is the same text.
    if text.ends_with(" GMT") && !text.contains('-') {
        assert_eq!(written, text);
    }
}

/// `Content-Digest`, `Repr-Digest`, `OC-Checksum` and `Want-Repr-Digest`; the first byte chooses, and lines are parted by line breaks.
pub fn digests(bytes: &[u8]) {
    const NAMES: [&str; 4] = ["content-digest", "repr-digest", "oc-checksum", "want-repr-digest"];
    let Some((first, rest)) = bytes.split_first() else { return };
    let mut headers = HeaderMap::new();
    for line in rest.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(HeaderName::from_static(NAMES[usize::from(*first) % NAMES.len()]), value);
    }
    digest::wanted(&headers);
    let Ok(expected) = Expected::from_headers(&headers) else { return };
    let holds_for = |expected: Expected, contents: &[&[u8]]| {
        let mut checker = expected.checker();
        contents.iter().for_each(|content| checker.update(content));
        checker.finish().is_ok()
    };
    // Nothing holds its own digest, so these bytes are only right where any are: where there was nothing to check.
    assert_eq!(holds_for(expected.clone(), &[bytes]), holds_for(expected, &[bytes, b"more"]));
}

/// The fields of uploads that go on: the first byte says which one, and the rest are its lines. What is read is read again from what is written
/// of it.
pub fn uploads(bytes: &[u8]) {
    let names = [
        upload_fields::COMPLETE,
        upload_fields::OFFSET,
        upload_fields::LENGTH,
        tus_fields::METADATA,
        tus_fields::CHECKSUM,
    ];
    let Some((first, rest)) = bytes.split_first() else { return };
    let name = &names[usize::from(*first) % names.len()];
    let mut headers = HeaderMap::new();
    for line in rest.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(name.clone(), value);
    }
    let several = headers.get_all(name).count() > 1;
    let numbers = [upload_fields::offset(&headers), upload_fields::length(&headers)];
    assert!(numbers.into_iter().flatten().all(|number| !several && number < 1_000_000_000_000_000));
    assert!(upload_fields::complete(&headers).is_none() || !several);
    if let Some(digits) = tus_fields::number(&headers, name) {
        let mut again = HeaderMap::new();
        again.insert(name.clone(), HeaderValue::from(digits));
        assert_eq!(tus_fields::number(&again, name), Some(digits));
    }
    if let Some(pairs) = tus_fields::metadata(&headers) {
        let written = pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value)));
        let mut again = HeaderMap::new();
        let written = HeaderValue::try_from(written.collect::<Vec<_>>().join(",")).expect("letters and base 64");
        again.insert(tus_fields::METADATA, written);
        assert_eq!(tus_fields::metadata(&again), Some(pairs));
    }
    if let Ok(Some((algorithm, digest))) = tus_fields::checksum(&headers) {
        let _ = Expected::of_part(&algorithm, digest);
    }
}

/// `If`; lines are parted by line breaks. What is understood is understood again from what is written of it, and holds for a file only if it
/// says something that is true of it.
pub fn if_header(bytes: &[u8]) {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let Ok(Some(lists)) = if_header::parse(&lines) else { return };
    assert!(lines.len() == 1 && !lists.lists.is_empty());
    assert!(lists.lists.iter().all(|list| !list.conditions.is_empty()));
    let untagged = lists.lists.iter().filter(|list| list.resource == Resource::Asked).count();
    assert!(untagged == 0 || untagged == lists.lists.len());
    let written = lists.to_string();
    let again = if_header::parse(&[written.as_bytes()]).map(|again| format!("{again:?}"));
    assert_eq!(again, Ok(format!("{:?}", Some(&lists))), "{written}");

    let (asked, mut looks) = (SharePath::root(), 0);
    let held = lists.hold(&asked, |_| {
        looks += 1;
        Ok::<_, ()>(Standing { there: Target::from(a_file()), ..Standing::default() })
    });
    assert!(looks <= lists.paths(&asked).len());
    if held == Ok(true) {
        let mut conditions = lists.lists.iter().flat_map(|list| &list.conditions);
        assert!(conditions.any(|condition| match &condition.state {
            State::Token(_) => condition.not,
            State::Tag(tag) => condition.not || tag.opaque() == b"cur",
            State::AnyTag => true,
        }));
    }
}

/// `Destination`: what leads into the share is a clean path, and comes back from the URL that is made of it.
pub fn destination(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let mut headers = HeaderMap::new();
    headers.append(HeaderName::from_static("destination"), value);
    let Ok(UrlTarget::Here { path, has_trailing_slash }) = dav_headers::destination(&headers) else { return };
    assert_eq!(SharePath::parse_disk(path.as_bytes()).as_ref(), Ok(&path));
    assert!(!bytes.contains(&b'?') && !bytes.contains(&b'#'));
    let url = if has_trailing_slash { path.to_collection_url() } else { path.to_url() };
    let is_root = path.is_root();
    let again = UrlTarget::Here { path, has_trailing_slash: has_trailing_slash || is_root };
    assert_eq!(dav_headers::place(&url), Ok(again));
}

/// `Timeout`, and the other headers of WebDAV that are a word or a number; lines are parted by line breaks.
pub fn timeout(bytes: &[u8]) {
    const NAMES: [&str; 6] = ["timeout", "depth", "overwrite", "lock-token", "x-oc-mtime", "x-expected-entity-length"];
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        NAMES.iter().for_each(|name| headers.append(HeaderName::from_static(name), value.clone()));
    }
    assert!((TIMEOUT_MIN..=TIMEOUT_MAX).contains(&dav_headers::timeout(&headers)));
    let text = String::from_utf8_lossy(bytes);
    if let Ok(Some(token)) = dav_headers::lock_token(&headers) {
        assert!(text.contains(token.as_str()) && token.as_str().contains(':'));
    }
    if dav_headers::asked_mtime(&headers).is_some() {
        assert!(text.trim().starts_with(|c: char| c.is_ascii_digit() || c == '-'));
    }
    if let Ok(Some(length)) = dav_headers::expected_length(&headers) {
        assert!(text.trim().trim_start_matches('0').is_empty() && length == 0 || text.contains(&length.to_string()));
    }
    let _ = (dav_headers::depth(&headers), dav_headers::overwrite(&headers));
}

fn a_file() -> Validators {
    Validators {
        shown: EntityTag::received(false, b"cur"),
        content: None,
        stamp: None,
        date: VersionDate {
            modified: Timestamp::new(784_111_777, 0),
            is_exact: true,
            last_arrival: Some(784_111_777),
            now: 800_000_000,
        },
    }
}

/// The bodies of PROPFIND, PROPPATCH, LOCK and MKCOL; the first byte chooses. Whatever is kept of them has to stay what it is wherever
/// it is written.
pub fn xml(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else { return };
    match first % 4 {
        0 => match Propfind::parse(body) {
            Ok(Propfind::Prop(names) | Propfind::AllProp { include: names }) => names_are_told(&names),
            Ok(Propfind::PropName) | Err(_) => {}
        },
        1 => {
            let Ok(Proppatch(steps)) = Proppatch::parse(body) else { return };
            for step in &steps {
                match step {
                    Instruction::Set(property) => is_kept(property),
                    Instruction::Remove(name) => names_are_told(std::slice::from_ref(name)),
                }
            }
        }
        2 => {
            let Ok(LockInfo { owner: Some(owner), .. }) = LockInfo::parse(body) else { return };
            assert!(!matches!(read::check(owner.as_bytes()), Err(XmlError::Malformed(_))), "{owner}");
        }
        _ => {
            let Ok(wanted) = MakeCollection::parse(body) else { return };
            wanted.properties.iter().for_each(is_kept);
        }
    }
}

/// Whether an answer with these names can be read, and holds them.
/// The body of a REPORT. A token in it that is understood is understood again, as it was written.
pub fn report(bytes: &[u8]) {
    let Ok(Report::SyncCollection(sync)) = Report::parse(bytes) else { return };
    assert!(sync.count_max != Some(0));
    if let Some(token) = &sync.token
        && let Some(read) = SyncToken::parse(token)
    {
        assert_eq!(read.to_string(), **token);
    }
    names_are_told(&sync.names);
}

fn names_are_told(names: &[PropertyName]) {
    for declared in [names, &[]] {
        let mut answer = Multistatus::new(declared);
        answer.response("/", |response| {
            response.propstat(StatusCode::default(), |properties| names.iter().for_each(|name| properties.name(name)));
        });
        let answer = answer.finish();
        // It may well be too large to be a body of a request.
        assert!(matches!(read::check(&answer), Ok(()) | Err(XmlError::TooLarge(_))), "{names:?}");
        let text = String::from_utf8(answer).expect("an answer is UTF-8");
        let root = text.split_once("<D:multistatus").and_then(|(_, rest)| rest.split_once('>')).map(|(root, _)| root);
        let told =
            text.split_once("<D:prop>").and_then(|(_, rest)| rest.rsplit_once("</D:prop>")).map(|(told, _)| told);
        let (root, told) = (root.expect("there is a root"), told.unwrap_or_default());
        match Propfind::parse(format!("<D:propfind{root}><D:prop>{told}</D:prop></D:propfind>").as_bytes()) {
            Ok(Propfind::Prop(again)) => assert_eq!(again, names),
            other => assert!(matches!(other, Err(XmlError::TooLarge(_))), "{other:?}"),
        }
    }
}

/// Whether a property is the same when it is set again from how it is written, apart from what the new surroundings declare.
fn is_kept(property: &DeadProperty) {
    let xml = property.xml();
    let body =
        format!("<zz:propertyupdate xmlns:zz='DAV:'><zz:set><zz:prop>{xml}</zz:prop></zz:set></zz:propertyupdate>");
    let steps = match Proppatch::parse(body.as_bytes()) {
        Ok(Proppatch(steps)) => steps,
        Err(error) => return assert!(matches!(error, XmlError::TooLarge(_)), "{error}: {xml}"),
    };
    let [Instruction::Set(again)] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!((again.name(), again.text()), (property.name(), property.text()));
    let tag_end = xml.find([' ', '>', '/']).expect("an element has a tag");
    if !xml.contains(" xmlns:zz=") {
        assert_eq!(again.xml(), format!("{} xmlns:zz=\"DAV:\"{}", &xml[..tag_end], &xml[tag_end..]));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes in which the words that mean something come often.
    fn bytes(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
        let word = prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec());
        let piece = prop_oneof![6 => word, 1 => prop::collection::vec(any::<u8>(), 1..3)];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    const IF_WORDS: &[&str] = &[
        "(",
        "(",
        ")",
        ")",
        "<",
        ">",
        "[",
        "]",
        "\"",
        "W/",
        "*",
        "Not ",
        "not",
        " ",
        "\t",
        "cur",
        "\"cur\"",
        "[\"cur\"]",
        "([\"x\"])",
        "<a:b>",
        "<DAV:no-lock>",
        "</a> ",
        "<http://here.example/a>",
        "<http://b/c>",
        "%41",
        "\n",
        "(<a:b>)",
    ];
    const URL_WORDS: &[&str] = &[
        "/",
        "/",
        "a",
        "%41",
        "%2f",
        "..",
        ".",
        "http://",
        "here.example",
        ":80",
        "@",
        "[::1]",
        "#",
        "?",
        "é",
        " ",
        "//",
        ".noclobber",
        "https",
        ":",
        "%",
    ];
    const CONNECTION_WORDS: &[&str] = &[
        "GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD /b HTTP/1.0\r\n\r\n",
        "PUT /c HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        "PUT /d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "PUT /d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "PUT /e HTTP/1.2\r\nHost: a\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /f HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
        "GET /",
        " HTTP/1.1\r\n",
        "Host: a\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 03\r\n",
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding:\tChunked \r\n",
        "Transfer-Encoding: identity\r\n",
        "Connection: close, upgrade\r\n",
        "Expect: 100-continue\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "0\r\n\r\n",
        "3\r\nabc\r\n",
        "2;a=\"b\"\r\nxy\r\n",
        "0\r\na: b\r\n\r\n",
        "abc",
        "#",
    ];
    const DATE_WORDS: &[&str] = &[
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Wed, ",
        "31 Dec 1969 ",
        "23:59:59",
        "23:59:60",
        " GMT",
        "Thursday, ",
        "01-Jan-70 ",
        "Thu Jan  1 ",
        "00:00:00 ",
        "1970",
        " ",
        "\t",
    ];
    const TIMEOUT_WORDS: &[&str] =
        &["Second-", "Infinite", "1", "0", "99999999999", ",", " ", "\n", "<", ">", "a:b", ".", "-", "infinity", "T"];

    proptest! {
        #[test]
        fn what_must_hold_of_the_headers_does(
            an_if in bytes(IF_WORDS),
            a_url in bytes(URL_WORDS),
            a_timeout in bytes(TIMEOUT_WORDS),
            a_date in bytes(DATE_WORDS),
        ) {
            if_header(&an_if);
            destination(&a_url);
            timeout(&a_timeout);
            dates(&a_date);
        }

        #[test]
        fn what_must_hold_of_a_connection_does(piece: u8, sent in bytes(CONNECTION_WORDS)) {
            connection(&[&[piece][..], &sent].concat());
            framing(&[&[piece][..], &sent].concat());
        }
    }
}
