//! Holds the source to the drawing: which room may use which, what must not be anywhere, and what must be everywhere. Each
//! rule is shown to fail on a small bad piece of source before it is asked of the real one. Comments, texts in quotes and
//! the test modules at the end of files are not looked at, unless a rule says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

#[test]
fn the_source_keeps_to_the_drawing() {
    let mut wrong = Vec::new();
    for (path, text) in files_beneath("src", "rs") {
        wrong.extend(violations(&path, &text));
    }
    assert_none(&wrong);
}

#[test]
fn every_source_file_is_listed_by_its_room() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests"] {
        let files = files_beneath(folder, "rs");
        wrong.extend(forgotten(&files));
        wrong.extend(files.iter().flat_map(|(path, text)| everywhere(path, text)));
    }
    assert_none(&wrong);
}

/// Files of one room may build on each other, and rooms on rooms; but whoever reads one must be able to begin somewhere.
#[test]
fn no_files_and_no_rooms_use_each_other_in_a_circle() {
    assert_none(&circles(&files_beneath("src", "rs")));
}

/// What a reader of the repository has no use for: where it was built, and from where its parts came.
#[test]
fn nothing_tells_of_the_machine_it_was_built_on() {
    let mut wrong = Vec::new();
    for (path, text) in files_beneath(".", "") {
        wrong.extend(foreign_words(&path, &text));
    }
    assert_none(&wrong);
}

#[test]
fn a_room_that_reaches_too_far_is_found() {
    for (path, text, line, word) in [
        ("src/model/path.rs", "//! A.\nuse std::fs;", 2, "std::fs"),
        ("src/model/path.rs", "//! A.\nuse std::{fmt,\n    fs::File};", 3, "std::fs"),
        ("src/model/path.rs", "//! A.\nfn a() { let now = std::time::SystemTime::now(); }", 2, "clock"),
        ("src/model/tag.rs", "//! A.\nuse std::time::Instant;\nfn a() { Instant::now(); }", 3, "clock"),
        ("src/model/tag.rs", "//! A.\nuse crate::store::local::disk::Disk;", 2, "crate::store"),
        ("src/model/tag.rs", "//! A.\nuse super::super::store::local::disk::Disk;", 2, "crate::store"),
        ("src/model/tag.rs", "//! A.\nuse crate::{model::path, http::reply};", 2, "crate::http"),
        ("src/model/tag.rs", "//! A.\nuse actix_web::http::header;", 2, "actix_web"),
        ("src/store/local/commit.rs", "//! A.\nfn a() { tokio::spawn(b) }", 2, "tokio"),
        ("src/store/local/commit.rs", "//! A.\nuse crate::model::precondition::Precondition;", 2, "precondition"),
        ("src/store/local/commit.rs", "//! A.\nuse crate::model::lock;", 2, "crate::model::lock"),
        ("src/store/local/history.rs", "//! A.\nuse std::fs;", 2, "std::fs"),
        ("src/store/local/history.rs", "//! A.\nuse crate::share::read;", 2, "crate::share"),
        ("src/share/upload.rs", "//! A.\nuse std::fs::File;", 2, "std::fs"),
        ("src/share/upload.rs", "//! A.\nuse notify::Watcher;", 2, "notify"),
        ("src/share/upload.rs", "//! A.\nuse crate::store::local::disk::Disk;", 2, "crate::store::local::disk"),
        (
            "src/share/upload.rs",
            "//! A.\nfn a() { crate::store::local::os_disk::b() }",
            2,
            "crate::store::local::os_disk",
        ),
        ("src/share/upload.rs", "//! A.\nfn a() { Timestamp::from_system(SystemTime::now()) }", 2, "clock"),
        ("src/share/mod.rs", "//! A.\nuse super::http::reply;", 2, "crate::http"),
        ("src/watch.rs", "//! A.\nuse crate::store::local::disk::Disk;", 2, "crate::store"),
        ("src/watch.rs", "//! A.\nuse crate::http::events;", 2, "crate::http"),
        ("src/http/methods/put.rs", "//! A.\nuse crate::store::local::commit;", 2, "crate::store"),
        ("src/http/methods/put.rs", "//! A.\nfn a() { std::fs::read(b) }", 2, "std::fs"),
        ("src/http/xml/read.rs", "//! A.\nuse notify::Event;", 2, "notify"),
        ("src/access/mod.rs", "//! A.\nuse crate::http::request::target;", 2, "crate::http"),
        ("src/client/route.rs", "//! A.\nuse crate::doctor::report;", 2, "crate::doctor"),
        ("src/doctor/visit.rs", "//! A.\nuse crate::http::xml;", 2, "crate::http"),
        ("src/doctor/visit.rs", "//! A.\nuse crate::share::Share;", 2, "crate::share"),
        ("src/model/tag.rs", "//! A.\n#[cfg(test)]\nmod tests {\n    fn a() {}\n}\nuse std::fs;", 6, "std::fs"),
        ("src/model/tag.rs", "//! A.\n#[cfg(test)]\nmod tests;\nuse std::fs;", 4, "std::fs"),
    ] {
        assert_found(path, text, line, word);
    }
}

#[test]
fn a_stray_change_to_the_tree_is_found() {
    for (path, text, line, word) in [
        ("src/store/local/history.rs", "//! A.\nfn a() { disk.exchange(b, c) }", 2, ".exchange("),
        ("src/store/local/history.rs", "//! A.\nfn a() {\n    disk\n        .rename_over(b, c)\n}", 4, ".rename_over("),
        ("src/store/local/history.rs", "//! A.\nfn a() { upload.name_publicly(b, c) }", 2, ".name_publicly("),
        ("src/share/upload.rs", "//! A.\nfn a() { upload.name_over(b, c) }", 2, ".name_over("),
        ("src/share/upload.rs", "//! A.\nfn a() { disk.link(b, c, d) }", 2, ".link("),
        ("src/store/catalog/index.rs", "//! A.\nfn a() { disk.rename_new(b, c) }", 2, ".rename_new("),
        ("src/http/methods/mkcol.rs", "//! A.\nfn a() { disk.make_dir(b, c, false) }", 2, ".make_dir("),
        ("src/store/local/commit.rs", "//! A.\nfn a() { disk.unlink(b, c) }", 2, ".unlink("),
        ("src/share/relocate.rs", "//! A.\nfn a() { disk.remove_dir(b, c) }", 2, ".remove_dir("),
        ("src/store/local/commit.rs", "//! A.\nfn a() { rustix::fs::renameat(b, c, d, e) }", 2, "renameat"),
        ("src/share/upload.rs", "//! A.\nfn a() { fs::remove_file(b) }", 2, "remove_file"),
    ] {
        assert_found(path, text, line, word);
    }
}

#[test]
fn what_must_not_be_anywhere_is_found() {
    for (path, text, line, word) in [
        ("src/model/path.rs", "use std::fmt;", 1, "//!"),
        ("src/model/path.rs", "//! not a sentence\n", 1, "//!"),
        ("src/model/path.rs", "//! A.\nfn a() { dbg!(b); }", 2, "dbg!"),
        ("src/model/path.rs", "//! A.\nfn a() { todo!() }", 2, "todo!"),
        ("tests/cli.rs", "//! A.\nfn a() { unimplemented!() }", 2, "unimplemented!"),
        ("tests/cli.rs", "//! A.\nfn a() { Command::new(b).output() }", 2, ".output()"),
        ("tests/harness/server.rs", "//! A.\nfn a() {\n    command\n        .spawn()\n}", 4, ".spawn()"),
        ("src/store/local/os_disk.rs", "//! A.\nfn a() { unsafe { b() } }", 2, "unsafe"),
        ("src/http/wire/body.rs", "//! A.\nuse std::os::fd::BorrowedFd;", 2, "Unix"),
        ("src/watch/folders.rs", "//! A.\nfn a() { rustix::fs::fstat(b) }", 2, "Unix"),
        ("src/watch/folders.rs", "//! A.\nfn a() { nix::unistd::getuid() }", 2, "Unix"),
        ("src/http/methods/get.rs", "//! A.\nfn a() { RequestContext::unconditional(b) }", 2, "RequestContext"),
        ("src/http/methods/put.rs", "//! A.\nfn a() { HttpResponse::new(StatusCode::OK) }", 2, "StatusCode::"),
        (
            "src/http/methods/put.rs",
            "//! A.\nfn a() { HttpResponse::NoContent().finish() }",
            2,
            "HttpResponse::NoContent",
        ),
        ("src/http/methods/put.rs", "//! A.\nfn a() { builder.status(412) }", 2, "412"),
        ("src/server.rs", "//! A.\nfn a() { socket.write(b\"HTTP/1.1 503 x\") }", 2, "HTTP/1.1 503"),
    ] {
        assert_found(path, text, line, word);
    }
}

#[test]
fn what_is_allowed_is_let_through() {
    for (path, text) in [
        ("src/model/path.rs", "//! A.\n// std::fs, tokio and StatusCode::OK are only spoken of.\n"),
        ("src/model/path.rs", "//! A.\nconst A: &str = \"use std::fs; tokio::spawn\";\nconst B: char = '\"';\n"),
        ("src/model/path.rs", "//! A.\nfn a<'a>(b: &'a str) -> &'a str { b.now() }\n"),
        ("src/model/path.rs", "//! A.\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n"),
        (
            "src/store/local/commit.rs",
            "//! A.\nfn a() { disk.exchange(b, c)?; disk.link(d, e, f)?; disk.rename_over(g, h) }\n",
        ),
        ("src/store/local/history.rs", "//! A.\nfn a() { disk.unlink(b, c)?; disk.make_dir(f, g, true) }\n"),
        ("src/store/local/os_disk.rs", "//! A.\nuse std::fs;\nfn a() { fs::unlinkat(b, c) }\n"),
        ("src/store/local/lease.rs", "//! A.\nfn a() { unsafe { b() } }\n"),
        ("src/store/local/os_disk/write_out.rs", "//! A.\nfn a() { unsafe { b() } }\n"),
        ("src/os/allocator.rs", "//! A.\nfn a() { unsafe { b() } }\n"),
        ("src/http/reply/success.rs", "//! A.\nfn a() -> StatusCode { StatusCode::OK }\n"),
        ("src/http/methods/put.rs", "//! A.\nfn a() { task.notify_one(); atomic.compare_exchange(1, 200, b, c) }\n"),
        ("tests/harness/programs.rs", "//! A.\nfn a() { command.spawn() }\n"),
        ("src/server.rs", "//! A.\nuse crate::{http, share, store, watch};\nfn a() { std::time::Instant::now() }\n"),
    ] {
        let mut found = violations(path, text);
        found.extend(everywhere(path, text));
        assert!(found.is_empty(), "{text}\n{found:#?}");
    }
}

#[test]
fn a_forgotten_file_is_found() {
    let files = |paths: &[(&str, &str)]| paths.iter().map(|(p, t)| (p.to_string(), t.to_string())).collect::<Vec<_>>();
    let complete = files(&[
        ("src/lib.rs", "pub mod model;"),
        ("src/main.rs", ""),
        ("src/model/mod.rs", "mod path;"),
        ("src/model/path.rs", ""),
        ("tests/main.rs", "mod cli;\nmod harness;"),
        ("tests/cli.rs", ""),
        ("tests/harness/mod.rs", "pub mod server;"),
        ("tests/harness/server.rs", ""),
    ]);
    assert_eq!(forgotten(&complete), Vec::<String>::new());
    for (stray, list) in [
        ("src/watch.rs", "src/lib.rs"),
        ("src/model/tag.rs", "src/model/mod.rs"),
        ("tests/race.rs", "tests/main.rs"),
        ("tests/harness/client.rs", "tests/harness/mod.rs"),
        ("src/http/methods/put.rs", "src/http/methods/mod.rs"),
    ] {
        let mut with_stray = complete.clone();
        with_stray.push((stray.to_owned(), "// mod race;".to_owned()));
        let found = forgotten(&with_stray);
        assert!(found.len() == 1 && found[0].contains(stray) && found[0].contains(list), "{stray}: {found:?}");
    }
}

#[test]
fn a_circle_is_found() {
    let source = |more: &[(&str, &str)]| {
        let tree = [
            ("src/lib.rs", "pub mod model; pub mod store;"),
            ("src/model/mod.rs", "pub mod path; pub mod tag;"),
            ("src/model/path.rs", "pub struct Name;"),
            ("src/model/tag.rs", "use super::path::Name;"),
            ("src/store/mod.rs", "pub mod disk; mod naming; pub use disk::Disk;"),
            ("src/store/disk.rs", "mod walk; use crate::model::path::Name; pub(super) use walk::Walk;"),
            ("src/store/disk/walk.rs", "pub struct Walk;"),
            ("src/store/naming.rs", "use super::disk::{Disk, Walk};"),
        ];
        let mut files: BTreeMap<_, _> = tree.into_iter().collect();
        files.extend(more.iter().copied());
        files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(circles(&source(&[])), Vec::<String>::new());
    for (more, told) in [
        // Two files, by `use` or by a path in the middle of the code.
        (&[("src/model/path.rs", "use super::tag::EntityTag;")][..], "src/model/path.rs -> src/model/tag.rs"),
        (&[("src/model/path.rs", "fn a() { crate::model::tag::b() }")], "src/model/tag.rs -> src/model/path.rs"),
        // A child that uses its parent, which uses it.
        (
            &[("src/store/disk.rs", "mod walk; use walk::Walk;"), ("src/store/disk/walk.rs", "use super::Disk;")],
            "src/store/disk/walk.rs -> src/store/disk.rs (crate::store::disk::Disk)",
        ),
        // By what the room passes on: that is a use of the file that it is from.
        (&[("src/store/disk.rs", "use super::naming::take;")], "src/store/naming.rs -> src/store/disk.rs"),
        (
            &[("src/store/disk/walk.rs", "use crate::store::Disk;"), ("src/store/disk.rs", "mod walk; walk::go()")],
            "walk.rs",
        ),
        // Rooms, without two files that use each other.
        (&[("src/model/path.rs", "use crate::store::disk::Disk;")], "src/model -> src/store"),
    ] {
        let found = circles(&source(more));
        assert!(found.iter().any(|line| line.contains(told)), "nothing says '{told}' of {more:?}\n{found:#?}");
    }
    // A test may use what it likes, and a parent may list its children and pass on what is in them.
    let tested = (
        "src/model/path.rs",
        "pub struct Name;\n#[cfg(test)]\nmod tests {\n    use crate::model::tag::EntityTag;\n}\n",
    );
    let listing = ("src/store/disk/walk.rs", "use super::super::naming::take;\npub struct Walk;");
    let naming = ("src/store/naming.rs", "pub(in crate::store) fn take() {}");
    assert_eq!(circles(&source(&[tested, listing, naming])), Vec::<String>::new());
}

#[test]
fn words_from_elsewhere_are_found() {
    for text in [concat!("see /wo", "rk/shared"), concat!("from index.crates", ".io"), concat!("in /tmp/", "wt/x")] {
        assert_eq!(foreign_words("README.md", &format!("fine\n{text}\n")).len(), 1, "{text}");
        assert!(foreign_words("README.md", &format!("fine\n{text}\n"))[0].starts_with("README.md:2: "));
    }
    let lock =
        |host: &str| format!("source = \"registry+https://{host}/rust-lang/{}-index\"", concat!("crates", ".io"));
    assert!(foreign_words("Cargo.lock", &lock("github.com")).is_empty());
    assert_eq!(foreign_words("Cargo.lock", &lock("mirror.example")).len(), 1);
}

#[track_caller]
fn assert_none(wrong: &[String]) {
    let mut text = String::new();
    wrong.iter().for_each(|line| writeln!(text, "{line}").expect("a String takes everything"));
    assert!(wrong.is_empty(), "\n{text}");
}

#[track_caller]
fn assert_found(path: &str, text: &str, line: usize, word: &str) {
    let mut found = violations(path, text);
    found.extend(everywhere(path, text));
    let place = format!("{path}:{line}: ");
    assert!(
        found.iter().any(|wrong| wrong.starts_with(&place) && wrong.contains(word)),
        "nothing says '{place}…{word}…' of\n{text}\n{found:#?}"
    );
}

/// What a room must not mention: the first segments of paths. `now` stands for every clock.
struct Rule {
    room: &'static str,
    forbidden: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        room: "src/model/",
        forbidden: &[
            "std::fs",
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::UdpSocket",
            "std::env",
            "std::process",
            "std::os",
            "now",
            "tokio",
            "actix",
            "notify",
            "rustix",
            "libc",
            "redb",
            "crate::store",
            "crate::share",
            "crate::watch",
            "crate::access",
            "crate::http",
            "crate::server",
            "crate::config",
            "crate::log",
        ],
    },
    Rule {
        room: "src/store/",
        forbidden: &[
            "tokio",
            "actix",
            "notify",
            "precondition",
            "crate::model::lock",
            "crate::model::lock_table",
            "crate::model::lock_token",
            "crate::model::submitted",
            "crate::share",
            "crate::watch",
            "crate::access",
            "crate::http",
            "crate::server",
            "crate::config",
        ],
    },
    Rule {
        room: "src/share/",
        forbidden: &[
            "std::fs",
            "now",
            "tokio",
            "actix",
            "notify",
            "rustix",
            "redb",
            "crate::store::local::disk",
            "crate::store::local::os_disk",
            "crate::watch",
            "crate::access",
            "crate::http",
            "crate::server",
            "crate::config",
        ],
    },
    Rule {
        room: "src/watch.rs",
        forbidden: &["crate::store", "crate::http", "crate::access", "crate::server", "actix"],
    },
    Rule { room: "src/watch/", forbidden: &["crate::store", "crate::http", "crate::access", "crate::server", "actix"] },
    Rule {
        room: "src/access/",
        forbidden: &["crate::store", "crate::share", "crate::http", "crate::server", "notify"],
    },
    // They have to find out over the network what anybody finds out.
    Rule {
        room: "src/client/",
        forbidden: &[
            "tokio",
            "actix",
            "notify",
            "redb",
            "crate::store",
            "crate::share",
            "crate::watch",
            "crate::access",
            "crate::http",
            "crate::server",
            "crate::config",
            "crate::cli",
            "crate::doctor",
        ],
    },
    Rule {
        room: "src/doctor/",
        forbidden: &[
            "tokio",
            "actix",
            "notify",
            "redb",
            "crate::store",
            "crate::share",
            "crate::watch",
            "crate::access",
            "crate::http",
            "crate::server",
            "crate::config",
            "crate::cli",
        ],
    },
    Rule { room: "src/server", forbidden: &["crate::cli", "crate::doctor"] },
    Rule { room: "src/config.rs", forbidden: &["crate::cli", "crate::server", "crate::share"] },
    Rule {
        room: "src/http/",
        forbidden: &["crate::store", "std::fs", "notify", "redb", "crate::watch", "crate::server"],
    },
];

/// The calls that change a name, and the only files that may make them. `os_disk.rs` is what is called. An upload in
/// `staging.rs` knows how to take a name; it is told to by the commit alone.
const CALLS: &[(&str, &[&str])] = &[
    (".exchange(", &["src/store/local/commit.rs", "src/store/local/commit/"]),
    (".name_over(", &["src/store/local/commit.rs", "src/store/local/commit/"]),
    (".name_publicly(", &["src/store/local/commit.rs", "src/store/local/commit/"]),
    (
        ".rename_over(",
        &[
            "src/store/local/commit.rs",
            "src/store/local/commit/",
            "src/store/local/naming.rs",
            "src/store/local/staging.rs",
            "src/store/local/staging/",
        ],
    ),
    (
        ".link(",
        &[
            "src/store/local/commit.rs",
            "src/store/local/commit/",
            "src/store/local/naming.rs",
            "src/store/local/staging.rs",
            "src/store/local/staging/",
        ],
    ),
    (
        ".rename_new(",
        &[
            "src/store/local/commit.rs",
            "src/store/local/commit/",
            "src/store/local/naming.rs",
            "src/store/local/staging.rs",
            "src/store/local/staging/",
        ],
    ),
    (
        ".make_dir(",
        &[
            "src/store/local/commit.rs",
            "src/store/local/commit/",
            "src/store/local/history.rs",
            "src/store/local/history/",
            "src/store/local/staging.rs",
            "src/store/local/staging/",
        ],
    ),
    (
        ".create_named(",
        &[
            "src/store/local/commit.rs",
            "src/store/local/commit/",
            "src/store/local/history.rs",
            "src/store/local/history/",
            "src/store/local/staging.rs",
            "src/store/local/staging/",
        ],
    ),
    (
        ".unlink(",
        &[
            "src/store/local/trees.rs",
            "src/store/local/history.rs",
            "src/store/local/history/",
            "src/store/local/naming.rs",
            "src/store/local/staging.rs",
            "src/store/local/staging/",
        ],
    ),
    (
        ".remove_dir(",
        &[
            "src/store/local/trees.rs",
            "src/store/local/history.rs",
            "src/store/local/history/",
            "src/store/local/staging.rs",
            "src/store/local/staging/",
        ],
    ),
];

/// The system's own ways to change a name. The index and the sockets lie outside of the share.
const SYSTEM_CALLS: &[&str] = &[
    "renameat",
    "renameat_with",
    "linkat",
    "unlinkat",
    "mkdirat",
    "symlinkat",
    "remove_file",
    "remove_dir",
    "remove_dir_all",
    "hard_link",
    "create_dir",
    "create_dir_all",
    "OpenOptions",
];
const MAY_CALL_THE_SYSTEM: &[&str] = &[
    "src/store/local/os_disk.rs",
    "src/store/local/os_disk/",
    "src/store/catalog/database.rs",
    "src/store/catalog/journal.rs",
    "src/os/",
    "src/server/listening.rs",
];

/// Where system calls and file descriptors of Unix are known: the socket, the operating system, and the disk. Who starts the server knows
/// what belongs to a user.
const MAY_BE_UNIX: &[&str] =
    &["src/http/wire/socket.rs", "src/os/", "src/store/", "src/server/", "src/cli/share_path.rs"];

/// The room that alone knows status codes.
const REPLY: &str = "src/http/reply/";

/// Where a request of a client gets its permissions: a context that is made elsewhere may do everything.
const CONTEXT: &str = "src/http/context.rs";

/// What is wrong with one source file, each with its line.
fn violations(path: &str, text: &str) -> Vec<String> {
    let code = &without_tests(code_of(text));
    let mentioned = paths_in(path, code);
    let mut wrong = Vec::new();
    let mut tell = |line: usize, what: String| wrong.push(format!("{path}:{line}: {what}"));

    for rule in RULES.iter().filter(|rule| path.starts_with(rule.room)) {
        for (line, segments) in &mentioned {
            for forbidden in rule.forbidden.iter().filter(|forbidden| is_mentioned(forbidden, segments)) {
                let what = if *forbidden == "now" { "a clock" } else { forbidden };
                tell(*line, format!("{} must not use {what}: {}", rule.room, segments.join("::")));
            }
        }
    }
    for (line, segments) in &mentioned {
        let is_inside_store = path.starts_with("src/store/");
        if is_inside_store && !is_one_of(MAY_CALL_THE_SYSTEM, path) && is_mentioned("std::fs", segments) {
            tell(*line, "in src/store/, std::fs is for os_disk.rs and for the database of the catalog".to_owned());
        }
        if !is_one_of(MAY_BE_UNIX, path)
            && ["std::os", "rustix", "libc", "nix"].iter().any(|unix| is_mentioned(unix, segments))
        {
            tell(*line, format!("what is Unix alone belongs into {}", MAY_BE_UNIX.join(", ")));
        }
        if path.starts_with("src/http/") && path != CONTEXT && makes_a_context(segments) {
            tell(*line, format!("what whoever asks may do comes into a RequestContext in {CONTEXT}"));
        }
        if !path.starts_with(REPLY) && names_a_status(segments) {
            tell(*line, format!("{} belongs into {REPLY}", segments.join("::")));
        }
        let last = segments.last().map_or("", String::as_str);
        if SYSTEM_CALLS.contains(&last) && segments.len() > 1 && !is_one_of(MAY_CALL_THE_SYSTEM, path) {
            tell(*line, format!("{last} belongs into src/store/local/os_disk.rs"));
        }
    }
    for (number, line) in (1..).zip(code.lines()) {
        for (call, callers) in CALLS {
            if line.contains(call) && !is_one_of(callers, path) && !path.starts_with("src/store/local/os_disk") {
                tell(number, format!("{call} is for {} alone", callers.join(" and ")));
            }
        }
        if !path.starts_with(REPLY) && (path.starts_with("src/http/") || path == "src/server.rs") {
            for call in [".status(", "from_u16(", "StatusCode("] {
                let argument = line.split(call).nth(1).unwrap_or("");
                if argument.chars().take_while(char::is_ascii_digit).count() == 3 {
                    tell(number, format!("{call}{} belongs into {REPLY}", &argument[..3]));
                }
            }
        }
    }
    // Texts are looked at here, so not the code but the lines as they are.
    for (number, line) in (1..).zip(text.lines()) {
        let status = line.split("HTTP/1.1 ").nth(1).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if let Some(rest) = status
            && !path.starts_with(REPLY)
            && !line.trim_start().starts_with("//")
        {
            tell(number, format!("HTTP/1.1 {} belongs into {REPLY}", &rest[..3.min(rest.len())]));
        }
    }
    wrong
}

/// What is wrong with a file of source or of tests, wherever it lies.
fn everywhere(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let opening = text.lines().take_while(|line| line.starts_with("//!")).collect::<String>();
    if !opening.contains('.') {
        wrong.push(format!("{path}:1: a file opens with `//!` sentences on what lives here"));
    }
    for (number, line) in (1..).zip(code_of(text).lines()) {
        let unsafe_here = ["src/store/local/lease.rs", "src/store/local/os_disk/write_out.rs", "src/os/allocator.rs"];
        let unwanted: [(&str, &[&str]); 4] =
            [("dbg!", &[]), ("todo!", &[]), ("unimplemented!", &[]), ("unsafe", &unsafe_here)];
        for (word, only) in unwanted {
            if !only.contains(&path)
                && words(line).any(|found| found == word.trim_end_matches('!'))
                && line.contains(word)
            {
                wrong.push(format!("{path}:{number}: {word} is not wanted here"));
            }
        }
        if let Some(call) = [".spawn()", ".output()", ".status()"].into_iter().find(|call| line.contains(call))
            && path.starts_with("tests/")
            && path != "tests/harness/programs.rs"
        {
            wrong.push(format!("{path}:{number}: {call} of a program is for tests/harness/programs.rs"));
        }
    }
    wrong
}

/// The files that no `mod` line of their room names, and so are never compiled.
fn forgotten(files: &[(String, String)]) -> Vec<String> {
    let is_root = |path: &str| ["src/lib.rs", "src/main.rs", "tests/main.rs"].contains(&path);
    let text_of = |path: &str| files.iter().find(|(name, _)| name == path).map_or("", |(_, text)| text);
    let lists = |list: &str, module: &str| {
        let code = code_of(text_of(list));
        code.lines().any(|line| {
            let line = line.trim();
            let line = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) ")).unwrap_or(line);
            line == format!("mod {module};")
        })
    };
    let mut wrong = Vec::new();
    for (path, _) in files.iter().filter(|(path, _)| !is_root(path)) {
        let module = path.strip_suffix("/mod.rs").or_else(|| path.strip_suffix(".rs")).unwrap_or(path);
        let (folder, name) = module.rsplit_once('/').unwrap_or(("", module));
        let list = match folder {
            "src" => "src/lib.rs".to_owned(),
            "tests" => "tests/main.rs".to_owned(),
            _ if text_of(&format!("{folder}.rs")).is_empty() => format!("{folder}/mod.rs"),
            _ => format!("{folder}.rs"),
        };
        let is_listed = lists(&list, name) || list == "src/lib.rs" && lists("src/main.rs", name);
        if !is_listed {
            wrong.push(format!("{path}:1: {list} does not list it"));
        }
    }
    wrong
}

/// The circles in which files, or rooms, use each other.
fn circles(files: &[(String, String)]) -> Vec<String> {
    let by_files = uses(files);
    let mut told = Vec::new();
    for graph in std::iter::once(by_files.clone()).chain(rooms(&by_files)) {
        for circle in circles_in(&graph) {
            let arrows = circle.iter().zip(circle.iter().cycle().skip(1));
            let arrows = arrows.map(|(from, to)| format!("{from} -> {to} ({})", graph[from][to]));
            told.push(format!("a circle: {}", arrows.collect::<Vec<_>>().join(", ")));
        }
    }
    told
}

/// From each unit (a file or a room) to those that it uses, with one path by which it does.
type Uses = BTreeMap<String, BTreeMap<String, String>>;

/// Which file uses which. That a file lists its children, or passes on what is in them, is no use.
fn uses(files: &[(String, String)]) -> Uses {
    let code_of_file = |text: &str| without_visibility(&without_tests(code_of(text)));
    let code: Vec<_> = files.iter().map(|(path, text)| (path, code_of_file(text))).collect();
    let modules: BTreeMap<_, _> = code.iter().map(|(path, _)| (module_of(path), path.as_str())).collect();
    let full = |path: &str, segments: Vec<String>| -> Option<Vec<String>> {
        if segments[0] == "crate" {
            return Some(segments[1..].to_vec());
        }
        let child: Vec<_> = module_of(path).into_iter().chain([segments[0].clone()]).collect();
        let is_child = segments.len() > 1 && modules.contains_key(&child);
        is_child.then(|| child.into_iter().chain(segments[1..].iter().cloned()).collect())
    };
    let mut passed_on = BTreeMap::new();
    for (path, code) in &code {
        let exports = code.match_indices("pub use ").map(|(at, _)| code[at..].split(';').next().unwrap_or(""));
        for (_, segments) in exports.flat_map(|export| paths_in(path, &export["pub use ".len()..])) {
            let Some(segments) = full(path, segments) else { continue };
            let name = segments.last().cloned();
            passed_on.insert(module_of(path).into_iter().chain(name).collect::<Vec<_>>(), segments);
        }
    }
    let mut uses = Uses::new();
    for (path, code) in &code {
        let own = module_of(path);
        let passes_on = |segments: &Vec<String>| {
            let name = segments.last().cloned();
            passed_on.get(&own.iter().cloned().chain(name).collect::<Vec<_>>()) == Some(segments)
        };
        for (_, segments) in paths_in(path, code) {
            let Some(segments) = full(path, segments).filter(|segments| !passes_on(segments)) else { continue };
            let used = file_of(&segments, &modules, &passed_on);
            if let Some(used) = used.filter(|used| used != path && *used != "src/lib.rs") {
                let how = format!("crate::{}", segments.join("::"));
                uses.entry((*path).clone()).or_default().entry(used.to_owned()).or_insert(how);
            }
        }
    }
    uses
}

/// The file that defines what a path leads to, through whatever passes it on.
fn file_of<'a>(
    segments: &[String],
    modules: &BTreeMap<Vec<String>, &'a str>,
    passed_on: &BTreeMap<Vec<String>, Vec<String>>,
) -> Option<&'a str> {
    let mut segments = segments.to_vec();
    for _ in 0..8 {
        let length = (0..=segments.len()).rev().find(|length| modules.contains_key(&segments[..*length]))?;
        match segments.get(..=length).and_then(|name| passed_on.get(name)) {
            Some(whence) => segments = [whence, &segments[length + 1..]].concat(),
            None => return modules.get(&segments[..length]).copied(),
        }
    }
    None
}

/// For each folder, which of the files and folders in it use which. A folder and the file of its name are one room.
fn rooms(by_files: &Uses) -> Vec<Uses> {
    let mut folders = BTreeMap::<String, Uses>::new();
    for (from, used) in by_files {
        for (to, how) in used {
            let (one, other): (Vec<_>, Vec<_>) = (from.split('/').collect(), to.split('/').collect());
            let Some(parted) = one.iter().zip(&other).position(|(one, other)| one != other) else { continue };
            let room = |parts: &[&str]| parts[..=parted].join("/").trim_end_matches(".rs").to_owned();
            let (from, to) = (room(&one), room(&other));
            // What a room says of itself, in mod.rs, is no room in it.
            if from != to && ![&from, &to].iter().any(|room| room.ends_with("/mod")) {
                let graph = folders.entry(one[..parted].join("/")).or_default();
                graph.entry(from).or_default().entry(to).or_insert_with(|| how.clone());
            }
        }
    }
    folders.into_values().collect()
}

/// A shortest circle through each unit that lies on one, each told once.
fn circles_in(graph: &Uses) -> BTreeSet<Vec<String>> {
    let mut circles = BTreeSet::new();
    for start in graph.keys() {
        let (mut ways, mut seen) = (vec![vec![start.clone()]], BTreeSet::new());
        'search: while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in &ways {
                for to in way.last().and_then(|last| graph.get(last)).into_iter().flat_map(BTreeMap::keys) {
                    if to == start {
                        let mut circle = way.clone();
                        let first = (0..circle.len()).min_by_key(|at| &circle[*at]).unwrap_or(0);
                        circle.rotate_left(first);
                        circles.insert(circle);
                        break 'search;
                    }
                    if seen.insert(to.clone()) {
                        longer.push(way.iter().cloned().chain([to.clone()]).collect());
                    }
                }
            }
            ways = longer;
        }
    }
    circles
}

/// The path of the module that a file is, from the top of the crate.
fn module_of(file: &str) -> Vec<String> {
    let module = file.trim_start_matches("src/").trim_end_matches(".rs");
    match module.strip_suffix("/mod").unwrap_or(module) {
        "lib" => Vec::new(),
        module => module.split('/').map(str::to_owned).collect(),
    }
}

/// The code with `pub` for `pub(crate)`, `pub(super)` and `pub(in …)`, whose paths are no use of anything.
fn without_visibility(code: &str) -> String {
    let mut pieces = code.split("pub(");
    let first = pieces.next().unwrap_or("").to_owned();
    pieces.fold(first, |code, piece| code + "pub" + piece.split_once(')').map_or(piece, |(_, rest)| rest))
}

/// Words that tell of one machine or of one registry. They are put together here so that this file does not hold them.
fn foreign_words(path: &str, text: &str) -> Vec<String> {
    const FOREIGN: &[&str] = &[
        concat!("/wo", "rk/"),
        concat!("/tmp/", "wt"),
        concat!("/tmp/", "target"),
        concat!("/ro", "ot/."),
        concat!("crates", ".io"),
        concat!("cargo", "-mirror"),
    ];
    const IN_EVERY_LOCK: &str = concat!("source = \"registry+https://github.com/rust-lang/crates", ".io-index\"");
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if path == "Cargo.lock" && line == IN_EVERY_LOCK {
            continue;
        }
        for word in FOREIGN.iter().filter(|word| line.contains(**word)) {
            wrong.push(format!("{path}:{number}: {word} has no meaning for a reader"));
        }
    }
    wrong
}

/// Whether it is one of these files, or lies in one of these folders.
fn is_one_of(places: &[&str], path: &str) -> bool {
    places.iter().any(|place| path == *place || place.ends_with('/') && path.starts_with(place))
}

fn names_a_status(segments: &[String]) -> bool {
    segments.windows(2).any(|pair| {
        let is_chosen = pair[1].starts_with(|c: char| c.is_ascii_uppercase());
        is_chosen && (pair[0] == "StatusCode" || pair[0] == "HttpResponse")
    })
}

fn makes_a_context(segments: &[String]) -> bool {
    let made_by = |name: &String| ["new", "unconditional", "default"].contains(&name.as_str());
    matches!(segments, [.., of, last] if of == "RequestContext" && made_by(last))
}

/// Whether a path goes through what is forbidden.
fn is_mentioned(forbidden: &str, segments: &[String]) -> bool {
    match forbidden {
        "now" => segments.len() > 1 && segments.last().is_some_and(|last| last == "now"),
        "actix" => segments.len() > 1 && segments[0].starts_with("actix"),
        "precondition" => segments.iter().any(|segment| segment.to_ascii_lowercase().contains("precondition")),
        path => {
            let wanted: Vec<&str> = path.split("::").collect();
            // A single word alone may be anybody's variable.
            segments.len() > 1 && segments.len() >= wanted.len() && wanted.iter().zip(segments).all(|(w, s)| w == s)
        }
    }
}

/// The paths that a piece of code mentions, with their lines: `use` trees unfolded, `super` and `self` worked out.
fn paths_in(file: &str, code: &str) -> Vec<(usize, Vec<String>)> {
    let tokens = tokens_of(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = unfold(&tokens, at, &[], &mut found).max(at + 1);
    }
    found.into_iter().map(|(line, segments)| (line, from_crate(file, segments))).collect()
}

#[derive(Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Colons,
    Sign(char),
}

fn tokens_of(code: &str) -> Vec<(usize, Token<'_>)> {
    let mut tokens = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            let (token, length) = match first {
                c if is_word(c) => (Token::Word(&rest[..length]), length),
                ':' if rest.starts_with("::") => (Token::Colons, 2),
                c => (Token::Sign(c), c.len_utf8()),
            };
            if !matches!(token, Token::Sign(c) if c.is_whitespace()) {
                tokens.push((number, token));
            }
            rest = &rest[length..];
        }
    }
    tokens
}

/// Reads one path from `at` on, with all the branches of its braces, and says where it ends.
fn unfold(
    tokens: &[(usize, Token<'_>)],
    mut at: usize,
    before: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut segments = before.to_vec();
    while let Some((line, Token::Word(word))) = tokens.get(at) {
        segments.push((*word).to_owned());
        at += 1;
        if !matches!(tokens.get(at), Some((_, Token::Colons))) {
            found.push((*line, segments));
            return at;
        }
        at += 1;
    }
    if !segments.is_empty() && matches!(tokens.get(at), Some((_, Token::Sign('{')))) {
        at += 1;
        while at < tokens.len() && tokens[at].1 != Token::Sign('}') {
            at = unfold(tokens, at, &segments, found);
            // Over the comma, and over `as NAME`.
            while at < tokens.len() && !matches!(tokens[at].1, Token::Sign('}' | ',')) {
                at += 1;
            }
            at += usize::from(tokens.get(at).is_some_and(|(_, token)| *token == Token::Sign(',')));
        }
        return at + 1;
    }
    if let Some((line, _)) = tokens.get(at)
        && segments.len() > before.len()
    {
        found.push((*line, segments));
    }
    at
}

/// Puts `crate::…` for `super::…` and `self::…`.
fn from_crate(file: &str, segments: Vec<String>) -> Vec<String> {
    let supers = segments.iter().take_while(|segment| *segment == "super").count();
    let selves = usize::from(supers == 0 && segments.len() > 1 && segments[0] == "self");
    if supers + selves == 0 {
        return segments;
    }
    let module = file.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let mut whole: Vec<String> = std::iter::once("crate").chain(module.split('/')).map(str::to_owned).collect();
    whole.truncate(whole.len().saturating_sub(supers).max(1));
    whole.extend(segments.into_iter().skip(supers + selves));
    whole
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

/// The code with blanks for its test modules.
fn without_tests(code: String) -> String {
    const TESTS: &str = "#[cfg(test)]\nmod ";
    let Some(begin) = code.find(TESTS) else { return code };
    let mut depth = 0;
    let end = code[begin..].char_indices().find_map(|(at, c)| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        (depth == 0 && (c == '}' || c == ';')).then_some(begin + at + 1)
    });
    let end = end.unwrap_or(code.len());
    let blank: String = code[begin..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
    without_tests([&code[..begin], &blank, &code[end..]].concat())
}

/// The source with blanks for its comments and for what stands in quotes; the lines stay where they are.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_after_word = code.ends_with(is_word);
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest),
            'r' if !is_after_word || code.ends_with('b') => raw_quoted(rest).unwrap_or(0),
            '\'' => character(rest).unwrap_or(0),
            _ => 0,
        };
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[length..];
    }
    code
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn quoted(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !is_escaped => return at + 1,
            _ => is_escaped = c == '\\' && !is_escaped,
        }
    }
    text.len()
}

fn raw_quoted(text: &str) -> Option<usize> {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let inner = 2 + hashes;
    Some(text[inner..].find(&end).map_or(text.len(), |at| inner + at + end.len()))
}

/// A character in quotes, and not a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut characters = text.char_indices().skip(1);
    let (_, first) = characters.next()?;
    if first == '\\' {
        let (escaped, _) = characters.next()?;
        return text[escaped + 1..].find('\'').map(|at| escaped + 1 + at + 1);
    }
    let (at, second) = characters.next()?;
    (second == '\'').then_some(at + 1)
}

/// The text files beneath a folder of this repository, with their paths in it. An empty extension: all of them.
fn files_beneath(folder: &str, extension: &str) -> Vec<(String, String)> {
    // The variable, which cargo sets when it runs a test too: so the rules can be held against another copy of the tree.
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let (mut files, mut folders) = (Vec::new(), vec![root.join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of this repository can be listed") {
            let path: PathBuf = entry.expect("an entry of this repository can be read").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            if path.is_dir() {
                folders.extend((!["target", ".git"].contains(&name)).then_some(path));
                continue;
            }
            let is_wanted =
                name != ".git" && (extension.is_empty() || path.extension().is_some_and(|e| e == extension));
            if let Some(text) = is_wanted.then(|| fs::read_to_string(&path).ok()).flatten() {
                let inside = path.strip_prefix(&root).expect("the walk began there");
                files.push((inside.to_str().unwrap_or("?").trim_start_matches("./").to_owned(), text));
            }
        }
    }
    assert!(!files.is_empty(), "{folder} holds no files to look at");
    files.sort();
    files
}
