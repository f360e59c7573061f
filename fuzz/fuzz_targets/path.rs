//! Paths of URLs: whatever is accepted stays inside the share, and comes back from the URL that is made of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use noclobber::model::path::{RESERVED, SharePath};

fuzz_target!(|url: &str| {
    let Ok(path) = SharePath::parse_url(url) else { return };
    assert_eq!(SharePath::parse_url(&path.to_url()).as_ref(), Ok(&path));
    assert_eq!(SharePath::parse_url(&path.to_collection_url()).as_ref(), Ok(&path));
    assert_eq!(SharePath::parse_disk(path.as_bytes()).as_ref(), Ok(&path));
    assert!(path.is_within(&SharePath::root()));
    assert!(!path.as_bytes().contains(&0));
    for name in path.names() {
        let name = name.as_bytes();
        assert!(!name.is_empty() && name != b"." && name != b".." && name.len() <= 255);
        assert!(!name.contains(&b'/') && !name.eq_ignore_ascii_case(RESERVED.as_bytes()));
    }
});
