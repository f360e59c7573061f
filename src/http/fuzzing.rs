//! The parsers of this room, as the fuzz targets call them: raw bytes in, and what must hold of whatever comes out is asserted here.
//! No part of the program, and of no use to anybody else.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use super::digest::{self, Expected};
use super::range::{self, Ranges};
use super::xml::XmlError;
use super::xml::read::{self, Instruction, LockInfo, MakeCollection, Propfind, Proppatch};
use super::xml::write::Multistatus;
use crate::model::precondition::Validators;
use crate::model::property::{DeadProperty, PropertyName};
use crate::model::stamp::Timestamp;
use crate::model::tag::EntityTag;

/// `Range` and `If-Range`; lines are parted by line breaks.
pub fn range(bytes: &[u8], size: u64) {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    if let Ranges::Parts(parts) = range::parse(&lines, size) {
        assert!((1..=16).contains(&parts.len()));
        assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
        assert!(parts.iter().map(|part| u128::from(part.end - part.start)).sum::<u128>() <= u128::from(size));
    }
    let validators = Validators {
        shown: EntityTag::received(false, b"cur"),
        content: None,
        stamp: None,
        modified: Timestamp::new(784_111_777, 0),
        date_is_exact: true,
    };
    if range::if_range_holds(Some(bytes), &validators, Timestamp::new(784_111_778, 0)) {
        let text = String::from_utf8_lossy(bytes);
        assert!(text.trim() == "\"cur\"" || text.contains("08:49:37"), "{text}");
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
