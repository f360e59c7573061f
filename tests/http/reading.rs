//! GET and HEAD of files: the bytes, the validators, the media type, and what a browser must not do with them.
//! The bytes of one answer are of one version, and its tag is theirs.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::harness::client::{Connection, percent_encode, tag_of};
use crate::harness::{Answer, Dice, Server};

/// Somebody opens a small text file: the bytes come with everything a careful client needs to write it back.
#[test]
fn a_file_comes_with_its_validators() {
    let server = Server::start();
    server.write("a.txt", "hello");
    let answer = server.get("/a.txt").expect_body("hello");
    assert_eq!(answer.tag(), tag_of("hello"));
    assert_eq!(answer.field("content-length"), "5");
    assert_eq!(answer.field("content-type").to_ascii_lowercase(), "text/plain; charset=utf-8");
    assert_eq!(answer.field("accept-ranges"), "bytes");
    assert_eq!(answer.field("x-content-type-options"), "nosniff");
    assert!(answer.field("cache-control").contains("no-cache"), "{answer}");
    httpdate::parse_http_date(answer.field("date")).expect("a date");
    let modified = httpdate::parse_http_date(answer.field("last-modified")).expect("a date");
    let on_disk = std::fs::metadata(server.local("a.txt")).unwrap().modified().unwrap();
    let difference = on_disk.duration_since(modified).expect("rounded down");
    assert!(difference < Duration::from_secs(1), "{difference:?}");
}

/// HEAD says word for word what GET says, at every size that takes another way through the server, and sends no bytes.
#[test]
fn head_says_what_get_says() {
    let server = Server::start();
    for size in [0, 1, 1024, 200 * 1024, 3 * 1024 * 1024, 9 * 1024 * 1024] {
        server.write("a.bin", Dice::new(size as u64).bytes(size));
        // A process that another test starts just now may hold the handle that wrote the file, until it runs its own program.
        while server.head("/a.bin").expect(200).field("etag").starts_with("W/") {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let mut connection = server.connect();
        let head = connection.send(&server.head("/a.bin")).expect(200);
        let get = connection.send(&server.get("/a.bin")).expect(200);
        assert_eq!(without_date(&head), without_date(&get), "{size} bytes");
        assert_eq!(head.field("content-length"), size.to_string());
        assert_eq!(get.body.len(), size);
        let again = connection.send(&server.head("/a.bin?download")).expect(200);
        assert_eq!(again.field("content-length"), size.to_string(), "the connection is still in step");
    }
}

/// A large file arrives byte for byte, and the connection can be used again after it.
#[test]
fn a_large_file_arrives_whole() {
    let server = Server::start();
    let content = Dice::new(7).bytes(20 * 1024 * 1024 + 13);
    server.write("large.bin", &content);
    let mut connection = server.connect();
    for _ in 0..2 {
        let answer = connection.send(&server.get("/large.bin")).expect(200);
        assert!(answer.body == content, "the bytes differ");
    }
}

/// A client sends five requests at once; the answers come in the same order, small and large mixed.
#[test]
fn answers_come_in_the_order_of_the_requests() {
    let server = Server::start();
    let large = Dice::new(8).bytes(2 * 1024 * 1024);
    server.write("large.bin", &large);
    server.write("small.txt", "small");
    let order = ["/small.txt", "/large.bin", "/missing", "/large.bin", "/small.txt"];
    let mut connection = server.connect();
    let requests: Vec<u8> = order.iter().flat_map(|target| server.get(target).head()).collect();
    connection.write(requests);
    for target in order {
        let answer = connection.answer("GET");
        match target {
            "/small.txt" => assert_eq!(answer.expect(200).text(), "small"),
            "/large.bin" => assert!(answer.expect(200).body == large),
            _ => drop(answer.expect(404)),
        }
    }
}

/// What can carry script is shown in a sandbox; text is not sniffed into something else; unknown bytes stay bytes.
#[test]
fn a_page_that_somebody_uploaded_is_kept_in_a_sandbox() {
    let server = Server::start();
    for name in ["evil.html", "evil.htm", "evil.xhtml", "evil.svg", "evil.xml"] {
        server.write(name, "<script>alert(1)</script>");
        let answer = server.get(format!("/{name}")).expect(200);
        assert!(answer.field("content-security-policy").contains("sandbox"), "{answer}");
        assert_eq!(answer.field("x-content-type-options"), "nosniff", "{answer}");
    }
    for (name, media_type) in [("a.png", "image/png"), ("a.pdf", "application/pdf"), ("a", "application/octet-stream")]
    {
        server.write(name, "x");
        let answer = server.get(format!("/{name}")).expect(200);
        assert_eq!(answer.field("content-type"), media_type);
    }
}

/// Every answer carries the two words that keep a browser from making something else of it, refusals too.
#[test]
fn refusals_are_not_sniffed_either() {
    let server = Server::start();
    for answer in [server.get("/missing").expect(404), server.request("BREW", "/").expect(501)] {
        assert_eq!(answer.field("x-content-type-options"), "nosniff", "{answer}");
    }
}

/// Names of every kind that a file system allows can be asked for, encoded as the standard says.
#[test]
fn names_of_every_kind_are_found() {
    let server = Server::start();
    let long = "n".repeat(255);
    for name in
        ["a b", "50%", "what?", "#1", "é", "e\u{301}", "日本語", "🦀", "a;b", "a&b=c", "+", "%41", "~", "a'b\"c", &long]
    {
        server.write(name, name);
        server.get(format!("/{}", percent_encode(name.as_bytes()))).expect_body(name);
    }
    // Decoded once: the file is called `%41`, and `A` is another name.
    server.get("/%41").expect(404);
}

/// `?download` asks the browser to save, under a name that no browser can misread.
#[test]
fn a_download_has_a_name() {
    let server = Server::start();
    server.write("plain.txt", "x");
    let plain = server.get("/plain.txt?download").expect(200);
    let disposition = plain.field("content-disposition");
    assert!(disposition.starts_with("attachment") && disposition.contains("filename=\"plain.txt\""), "{disposition}");

    server.write("na\u{ef}ve \"quote\".txt", "x");
    let odd = server.get("/na%C3%AFve%20%22quote%22.txt?download").expect(200);
    let disposition = odd.field("content-disposition");
    assert!(disposition.contains("filename*=UTF-8''na%C3%AFve%20%22quote%22.txt"), "{disposition}");
    assert!(server.get("/plain.txt").expect(200).header("content-disposition").is_none());
}

/// A clock ran ahead and left a file from tomorrow. Last-Modified is never later than the answer's own date.
#[test]
fn no_answer_is_modified_in_the_future() {
    let server = Server::start();
    let path = server.write("a.txt", "x");
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(SystemTime::now() + Duration::from_secs(86_400))
        .unwrap();
    let answer = server.get("/a.txt").expect(200);
    let date = httpdate::parse_http_date(answer.field("date")).unwrap();
    if let Some(modified) = answer.header("last-modified") {
        assert!(httpdate::parse_http_date(modified).unwrap() <= date, "{answer}");
    }
}

/// A client that checks what it got asks for a digest, and gets the one the standard gives for these bytes.
#[test]
fn a_digest_is_given_when_asked_for() {
    let server = Server::start();
    server.write("hello.json", "{\"hello\": \"world\"}\n");
    let answer = server.get("/hello.json").header("Want-Repr-Digest", "sha-256=10").expect(200);
    assert_eq!(answer.field("repr-digest"), "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:");
    let answer = server.get("/hello.json").header("Want-Repr-Digest", "sha-512=10").expect(200);
    let sha_512 = "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";
    assert_eq!(answer.field("repr-digest"), sha_512);
    assert!(server.get("/hello.json").expect(200).header("repr-digest").is_none());
}

/// A share that is only read finds nothing new in its folder, and nothing about its files changed.
#[test]
fn reading_leaves_no_trace() {
    let server = Server::start();
    let path = server.write("a.txt", "x");
    let before = changed(&path);
    for target in ["/", "/a.txt", "/missing", "/?json"] {
        server.get(target).send();
        server.head(target).send();
    }
    assert_eq!(changed(&path), before);
    assert!(!server.local(".noclobber").exists());
}

/// Somebody deletes a file while it is being sent: the answer is the whole old file, not a torso.
#[test]
fn a_deleted_file_is_sent_to_its_end() {
    let server = Server::start();
    let content = Dice::new(9).bytes(32 * 1024 * 1024);
    server.write("large.bin", &content);
    let mut slow = server.connect();
    slow.write(server.get("/large.bin").head());
    assert!(slow.is_answered_within(Duration::from_secs(20)));
    server.delete("/large.bin").expect(204);
    server.get("/large.bin").expect(404);
    assert!(slow.answer("GET").expect(200).body == content, "the bytes differ");
}

/// HTTP/1.0 clients and those that say `close` get their answer, and then the end.
#[test]
fn the_connection_ends_when_the_client_says_so() {
    let server = Server::start();
    server.write("a.txt", "x");
    let mut connection = server.connect();
    let answer = connection.send(&server.get("/a.txt").header("Connection", "close")).expect(200);
    assert_eq!(answer.text(), "x");
    assert!(connection.is_closed_within(Duration::from_secs(5)));

    let mut old = Connection::open(server.address()).unwrap();
    old.write("GET /a.txt HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer("GET").expect(200).text(), "x");
    assert!(old.is_closed_within(Duration::from_secs(5)));
}

fn without_date(answer: &Answer) -> Vec<(String, String)> {
    let mut headers: Vec<_> = answer.headers.iter().filter(|(name, _)| name != "date").cloned().collect();
    headers.sort();
    headers
}

fn changed(path: &std::path::Path) -> (i64, i64) {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).unwrap();
    (metadata.ctime(), metadata.ctime_nsec())
}

/// A request on a connection that is kept may be answered before actix-web sees it, and the first of a connection never is. Whatever is asked,
/// and in whatever words, both say the same.
#[test]
fn a_kept_connection_gets_the_answer_that_a_new_one_gets() {
    let server = Server::with("--allow-host=files.example").start();
    server.write("a.txt", "hello");
    server.write("folder/b.html", "<p>");
    server.write("empty", "");
    server.write("large.bin", vec![b'x'; 200_000]);
    let tag = tag_of("hello");
    let targets = [
        "/a.txt",
        "/a.txt",
        "/a.txt",
        "/folder/b.html",
        "/empty",
        "/large.bin",
        "/folder/",
        "/none",
        "/a%2Etxt",
        "/a.txt?download",
    ];
    let hosts = ["127.0.0.1", "localhost:80", "files.example", "evil.example"];
    let fields = [
        ("If-None-Match", tag.as_str()),
        ("If-None-Match", "\"other\""),
        ("If-None-Match", "*"),
        ("If-None-Match", "W/\"weak\""),
        ("If-None-Match", "nonsense"),
        ("If-Match", "\"other\""),
        ("If-Modified-Since", "Sun, 22 Nov 2099 00:00:00 GMT"),
        ("Range", "bytes=1-2"),
        ("Want-Repr-Digest", "sha-256=1"),
        ("Accept", "application/json"),
        ("Accept-Encoding", "gzip, br"),
        ("User-Agent", "\u{e9}"),
        ("Connection", "keep-alive"),
        ("X-Anything", ""),
    ];
    let mut dice = Dice::new(22);
    let mut below = |limit: usize| (dice.roll() % limit as u64) as usize;
    let mut kept = server.connect();
    kept.send(&server.get("/a.txt"));
    for _ in 0..600 {
        let method = ["GET", "GET", "HEAD", "OPTIONS"][below(4)];
        let mut request = server.request(method, targets[below(targets.len())]).host(hosts[below(hosts.len())]);
        for _ in 0..below(4) {
            let (name, value) = fields[below(fields.len())];
            request = request.header(name, value);
        }
        let said = |answer: Answer| {
            let mut headers = answer.headers.clone();
            headers.retain(|(name, _)| name != "date");
            headers.sort();
            (answer.status, headers, answer.body)
        };
        let alone = said(server.connect().send(&request));
        match kept.try_send(&request) {
            Ok(answer) => assert_eq!(said(answer), alone, "{}", request.head().escape_ascii()),
            Err(error) => panic!("{error}: {}", request.head().escape_ascii()),
        }
    }
}

/// While a crowd asks for a file all the time, a program saves it again and again, and whoever asks after that gets what was saved: the looks
/// that the server takes for the crowd are none for those who ask later.
#[test]
fn a_crowd_of_readers_does_not_hide_a_change() {
    let server = Server::builder().value("--workers", 1).start();
    server.write("a.txt", "0");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut connection = server.connect();
                while !over.load(Ordering::Relaxed) {
                    connection.send(&server.get("/a.txt")).expect(200);
                }
            });
        }
        let mut connection = server.connect();
        for number in 1..=500 {
            server.write("new", number.to_string());
            std::fs::rename(server.local("new"), server.local("a.txt")).unwrap();
            let answer = connection.send(&server.get("/a.txt"));
            if answer.text() != number.to_string() {
                over.store(true, Ordering::Relaxed);
            }
            assert_eq!(answer.text(), number.to_string());
            // Once more, from memory.
            assert_eq!(connection.send(&server.get("/a.txt")).text(), number.to_string());
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// While a crowd asks for the files of a folder all the time, another folder or a link comes to its name again and again, and whoever asks
/// after that gets what lies there now: the walk that the server takes to a folder for a crowd is none for those who ask later.
#[test]
fn a_crowd_of_readers_does_not_hide_another_folder() {
    for (folder, changes) in [("at", "at"), ("above/at", "above/at"), ("above/at", "above")] {
        let server = Server::builder().value("--workers", 1).start();
        for (root, text) in [("", "one"), ("other/", "two")] {
            for name in 0..20 {
                server.write(format!("{root}{folder}/{name}.txt"), text);
            }
        }
        let (place, other) = (server.local(changes), server.local("other").join(changes));
        symlink(&other, server.local("link")).unwrap();
        let path = |name: usize| format!("/{folder}/{}.txt", name % 20);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for begin in 0..8 {
                let (server, over) = (&server, &over);
                scope.spawn(move || {
                    let mut connection = server.connect();
                    for name in (begin..).take_while(|_| !over.load(Ordering::Relaxed)) {
                        connection.send(&server.get(path(name)));
                    }
                });
            }
            let ended = std::panic::catch_unwind(AssertUnwindSafe(|| {
                let mut connection = server.connect();
                for round in 0..200 {
                    for (with, status, text) in
                        [(&other, 200, "two"), (&other, 200, "one"), (&server.local("link"), 404, "")]
                    {
                        renameat_with(CWD, &place, CWD, with, RenameFlags::EXCHANGE).unwrap();
                        for name in [round, round + 7, round] {
                            let answer = connection.send(&server.get(path(name)));
                            assert_eq!(answer.status, status, "{folder}, {changes}, {round}: {answer}");
                            assert!(status != 200 || answer.text() == text, "{folder}, {changes}, {round}: {answer}");
                        }
                    }
                    renameat_with(CWD, &place, CWD, server.local("link"), RenameFlags::EXCHANGE).unwrap();
                }
            }));
            over.store(true, Ordering::Relaxed);
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    }
}

/// Pages that are programs of their own (a notebook in one file) are trusted by name, and by nothing but the option. A trusted name does not
/// make another kind of file trusted, nor an old version.
#[test]
fn pages_are_trusted_by_name() {
    let server = Server::builder().value("--trust-html", "wiki/**/*.html").value("--trust-html", "/one.htm").start();
    let sandbox = |target: &str| {
        let answer = server.get(target).expect(200);
        assert_eq!(answer.field("x-content-type-options"), "nosniff", "{answer}");
        answer.header("content-security-policy").is_some_and(|policy| policy.contains("sandbox"))
    };
    let page = "<script>save()</script>";
    for (name, is_trusted) in [
        ("wiki/notes.html", true),
        ("wiki/deep/er/notes.html", true),
        ("one.htm", true),
        ("wiki/notes.htm", false),
        ("wiki/notes.svg", false),
        ("notes.html", false),
        ("other/wiki/notes.html", false),
        ("other/one.htm", false),
        ("wiki2/notes.html", false),
    ] {
        server.write(name, page);
        for target in [format!("/{name}"), format!("//{name}"), format!("/{name}?download"), format!("/{name}")] {
            assert_eq!(sandbox(&target), !is_trusted, "{target}");
        }
        let part = server.get(format!("/{name}")).range("bytes=0-3").expect(206);
        assert_eq!(part.header("content-security-policy").is_none(), is_trusted, "{part}");
    }
    server.put("/one.htm").body("<p>new</p>").expect(204);
    let versions = server.get("/one.htm?versions").expect(200).text();
    let version = versions.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert!(sandbox(&format!("/one.htm?version={version}")), "an old version is nobody's program");
    let (status, printed) = Server::builder().value("--trust-html", "a[").start_in_vain();
    assert_eq!(status.code(), Some(2), "{printed}");
    assert!(printed.contains("--trust-html"), "{printed}");
}

/// What comes behind a body in chunks is answered in its turn, whatever the answers are made of: a file that the kernel sends, one out of
/// memory, an answer that is streamed, one without a body. All of it is asked for in one write, so that everything has come before the
/// first answer leaves.
#[test]
fn answers_behind_a_body_in_chunks_come_in_order_whatever_they_are_made_of() {
    let server = Server::start();
    let large: Vec<u8> = (0..30_000_000_u32).map(|number| number as u8).collect();
    server.write("large", &large);
    server.write("small", "all of the small one");
    (0..2000).for_each(|number| drop(server.write(format!("folder/{number}"), "x")));
    let chunked = |method: &str, path: &str, body: &str| {
        let head = server.request(method, path).header("Transfer-Encoding", "chunked").head();
        [&head[..], format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes()].concat()
    };
    let put = chunked("PUT", "/new", "abc");
    let allprop = chunked("PROPFIND", "/folder/", "<propfind xmlns=\"DAV:\"><allprop/></propfind>");
    let (get_large, get_small) = (server.get("/large").head(), server.get("/small").head());
    let head_chunked =
        [server.head("/small").header("Transfer-Encoding", "chunked").head(), b"0\r\n\r\n".to_vec()].concat();
    let listing = server.request("PROPFIND", "/folder/").header("Depth", "1").head();
    for _ in 0..5 {
        let mut connection = server.connect();
        let asked =
            [&put, &get_large, &get_small, &put, &listing, &get_small, &allprop, &get_small, &head_chunked, &get_small];
        connection.write(asked.map(|one| &one[..]).concat());
        connection.answer("PUT").expect_any(&[201, 204]);
        assert!(
            connection.answer("GET").expect(200).body == large,
            "the large file is whole, and nothing else is in it"
        );
        connection.answer("GET").expect(200).expect_body("all of the small one");
        connection.answer("PUT").expect(204);
        let listed = connection.answer("PROPFIND").expect(207).text();
        assert_eq!(listed.matches("<D:response>").count(), 2001);
        connection.answer("GET").expect(200).expect_body("all of the small one");
        let listed = connection.answer("PROPFIND").expect(207).text();
        assert_eq!(listed.matches("<D:response>").count(), 2001, "everything below, asked for in chunks");
        connection.answer("GET").expect(200).expect_body("all of the small one");
        connection.answer("HEAD").expect(200);
        connection.answer("GET").expect(200).expect_body("all of the small one");
    }
    // A `#` behind chunks cuts no path short.
    server.mkcol("/kept").expect(201);
    let mut connection = server.connect();
    connection.write([put, b"DELETE /kept/#x HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()].concat());
    connection.answer("PUT").expect(204);
    connection.answer("DELETE").expect(400);
    assert!(server.local("kept").is_dir());
}
