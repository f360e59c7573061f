//! What the documents name is there.

use std::fs;
use std::path::Path;

/// What stands in backticks in a text and is a path of the source, such as `model::stamp::Stamp`.
fn named_in(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|word| word.contains("::") && word.chars().all(|c| c.is_alphanumeric() || "_:".contains(c))).collect()
}

/// Whether a path of the source is a module, or leads to a type in one.
fn is_there(named: &str) -> bool {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let text_of = |module: &str| {
        let path = source.join(module.replace("::", "/"));
        fs::read_to_string(path.with_extension("rs")).or_else(|_| fs::read_to_string(path.join("mod.rs"))).ok()
    };
    if text_of(named).is_some() {
        return true;
    }
    let Some((module, name)) = named.rsplit_once("::") else { return false };
    // Made there, or made known there.
    let is_word = |text: String| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
    name.starts_with(char::is_uppercase) && text_of(module).is_some_and(is_word)
}

#[test]
fn what_the_glossary_names_is_there() {
    let glossary = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/glossary.md");
    let text = fs::read_to_string(glossary).unwrap();
    let named = named_in(&text);
    let missing: Vec<&&str> = named.iter().filter(|named| !is_there(named)).collect();
    assert!(named.len() > 20 && missing.is_empty(), "of {} names the source has not: {missing:?}", named.len());
}

#[test]
fn what_is_not_there_is_found() {
    assert_eq!(named_in("`model::stamp::Stamp`, `If-Match`, `x` and `a::b`"), ["model::stamp::Stamp", "a::b"]);
    for there in ["model::stamp::Stamp", "share::pins", "share::Share", "store::local::staging"] {
        assert!(is_there(there), "{there}");
    }
    for missing in ["model::stamp::Stump", "model::stump", "share::nothing::Share", "model::stamp::new"] {
        assert!(!is_there(missing), "{missing}");
    }
}
