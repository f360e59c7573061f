//! The conditional headers: whatever they say, a change is let through only by what names the version that is there.

#![no_main]

use libfuzzer_sys::fuzz_target;
use noclobber::model::dating::VersionDate;
use noclobber::model::precondition::{ConditionalFields, Decision, Intent, Precondition};
use noclobber::model::validators::{Target, Validators};
use noclobber::model::stamp::Timestamp;
use noclobber::model::tag::EntityTag;

const TAG: &[u8] = b"cur";

/// Each field: nothing, or lines parted by line breaks.
type Field<'a> = Option<&'a [u8]>;

fuzz_target!(|input: (Field<'_>, Field<'_>, Field<'_>, Field<'_>)| {
    let (if_match, if_none_match, if_modified_since, if_unmodified_since) = input;
    let fields = ConditionalFields {
        if_match: lines(if_match),
        if_none_match: lines(if_none_match),
        if_modified_since: lines(if_modified_since),
        if_unmodified_since: lines(if_unmodified_since),
    };
    let Ok(precondition) = Precondition::parse(&fields) else { return };
    let file = Validators {
        shown: EntityTag::received(false, TAG),
        content: None,
        stamp: None,
        date: VersionDate {
            modified: Timestamp::new(784_111_777, 0),
            is_exact: true,
            last_arrival: Some(784_111_777),
            now: 800_000_000,
        },
    };
    for target in [Target::Nothing, Target::Collection, Target::from(&file)] {
        for intent in [Intent::Read, Intent::Change] {
            let decision = precondition.decide(&target, intent);
            assert!(intent == Intent::Read || decision != Decision::NotModified);
            let Some(bytes) = if_match else { continue };
            if decision == Decision::Proceed {
                assert!(!matches!(target, Target::Nothing), "If-Match holds where nothing is");
                let names_it = bytes.windows(TAG.len()).any(|window| window == TAG);
                assert!(names_it || bytes.contains(&b'*'), "If-Match holds for a tag that it does not name");
            }
        }
    }
    if precondition.demands_nothing_there() {
        assert_ne!(precondition.decide(&Target::from(&file), Intent::Change), Decision::Proceed);
    }
});

fn lines(field: Field<'_>) -> Vec<&[u8]> {
    field.map_or_else(Vec::new, |bytes| bytes.split(|byte| *byte == b'\n').collect())
}
