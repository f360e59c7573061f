//! Pages of other sites in a real browser whose person is signed in, with a cookie, with a password that the browser holds, or with both; or where
//! nobody has to sign in. They try all that a page can: nothing is changed and nothing is read. The same attempts, against a site without
//! protection and by a page that is allowed to, succeed. Files of the share run no script in its name.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::browser::Browser;
use super::foreign_site::{File, ForeignSite};
use super::has_all;
use super::served::encoded;
use crate::harness::server::Options;
use crate::harness::users::{UsersFile, basic, password_of};
use crate::harness::{Request, Server, eventually, full, heavy};

/// What a page of another site must not get hold of stands in all of these.
const FILES: &[File] = &[
    ("kept.txt", "text/plain", b"canary text"),
    ("code.js", "text/javascript", b"self.leaked = 'canary script'"),
    ("module.mjs", "text/javascript", b"export const leaked = 'canary module'"),
    ("data.json", "application/json", b"[\"canary json\"]"),
    ("style.css", "text/css", b"body { --leaked: canary }"),
    ("picture.png", "image/png", PICTURE),
    (
        "drawing.svg",
        "image/svg+xml",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='3' height='2'><text>canary</text></svg>",
    ),
    ("page.html", "text/html", b"<!doctype html><p>canary page<iframe srcdoc=x></iframe>"),
    ("captions.vtt", "text/vtt", b"WEBVTT\n\n00:00.000 --> 00:01.000\ncanary captions\n"),
    ("clip.wav", "audio/wav", SOUND),
    ("", "text/html", b"<!doctype html><p>canary listing"),
];

/// One pixel.
const PICTURE: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0, 1, 8, 0,
    0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55, 0, 0, 0, 10, b'I', b'D', b'A', b'T', 0x78, 0x9c, 0x63, 0, 0, 0, 2, 0, 1, 0x48,
    0xaf, 0xa4, 0x71, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];

/// Eight samples of silence.
const SOUND: &[u8] = b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x08\0\0\0\x80\x80\x80\x80\x80\x80\x80\x80";

/// Attempts that read where nothing is protected.
const READ_ELSEWHERE: &[&str] = &[
    "fetch-PROPFIND-include-cors",
    "get-kept.txt-include-cors",
    "get--include-cors",
    "redirected-data.json-include-cors",
    "xhr-GET",
    "import",
    "worker",
    "script",
    "style",
    "captions",
    "performance",
    "img-picture.png-",
];

/// Asks for what a foreign page would have left besides files.
const LOCKS_AND_NOTES: &str =
    "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:lockdiscovery/><x xmlns=\"e\"/></D:prop></D:propfind>";

/// What the browser of the person holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holding {
    /// Nobody has to sign in.
    Nothing,
    Cookie,
    Password,
    Both,
}

/// Alice's share, and the attacker, who has an account too.
struct Share {
    server: Server,
    users: Option<UsersFile>,
    version: String,
}

impl Share {
    fn start(holding: Holding, options: Options) -> Self {
        let options = options.value("--allow-host", "share.example");
        let rules = "[[rules]]\npath = \"/\"\nwho = \"user:alice\"\nmay = [\"write\", \"history\"]\n";
        let users = (holding != Holding::Nothing).then(|| UsersFile::make(rules));
        let options = users.iter().fold(options, |options, users| options.value("--users", users.path().display()));
        let server = options.start();
        for (name, _, content) in FILES.iter().filter(|(name, ..)| !name.is_empty()) {
            server.write(name, content);
        }
        let mut share = Self { server, users, version: String::new() };
        share.by_alice("PUT", "/kept.txt").body("canary text, once").expect(204);
        share.by_alice("PUT", "/kept.txt").body("canary text").expect(204);
        let versions = share.by_alice("GET", "/kept.txt?versions&json").expect(200).json();
        share.version = versions["versions"][0]["id"].as_str().expect("an identifier").to_owned();
        share
    }

    /// A request of Alice's that comes through no browser.
    fn by_alice(&self, method: &str, target: &str) -> Request {
        let request = self.server.request(method, target);
        if self.users.is_some() {
            request.header("authorization", basic("alice", &password_of("alice")))
        } else {
            request
        }
    }

    /// Makes a victim for each attempt that wants one.
    fn make_victims(&self, ids: &[String]) {
        for id in ids {
            self.server.write(format!("victims/{id}.txt"), "victim");
        }
    }

    /// All that somebody could have changed: the files and the history byte for byte, and what is locked and noted.
    fn state(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.server.folder().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("it can be listed").flatten() {
                let path = entry.path();
                // Files that are made in advance for uploads, and by which the clock is read.
                if path.ends_with(".noclobber/spare") || path.ends_with(".noclobber/clock") {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path.clone());
                }
                found.insert(path.display().to_string(), std::fs::read(path).unwrap_or_default());
            }
        }
        for folder in ["/", "/victims/"] {
            let told = self.by_alice("PROPFIND", folder).header("Depth", "1").body(LOCKS_AND_NOTES).expect(207);
            found.insert(format!("properties of {folder}"), told.body);
        }
        found
    }

    /// The same, once nothing is tidied up any more.
    fn settled_state(&self) -> BTreeMap<String, Vec<u8>> {
        eventually(Duration::from_secs(10), "the history to come to rest", || {
            let before = self.state();
            std::thread::sleep(Duration::from_millis(700));
            (self.state() == before).then_some(before)
        })
    }

    /// Alice signs in with the browser, by every name that the server has.
    fn sign_in(&self, browser: &mut Browser, holding: Holding) {
        let port = self.server.address().port();
        for host in ["127.0.0.1", "share.example"] {
            if matches!(holding, Holding::Cookie | Holding::Both) {
                browser.open(&format!("http://{host}:{port}/?sign-in"));
                let fill = |field, value: &str| format!("document.forms[0].{field}.value = {};", json!(value));
                let password = fill("password", &password_of("alice"));
                browser.evaluate(&format!("{}{password}document.forms[0].submit()", fill("name", "alice")));
                browser.wait_until("document.body?.innerText.includes('kept.txt') ?? false");
            }
            if matches!(holding, Holding::Password | Holding::Both) {
                browser.open(&format!("http://alice:{}@{host}:{port}/", encoded(&password_of("alice"))));
            } else {
                browser.open(&format!("http://{host}:{port}/"));
            }
            browser.wait_until("document.body?.innerText.includes('kept.txt') ?? false");
        }
    }
}

/// Opens the attacker's page at this origin, and lets it try everything against that one.
fn attack(browser: &mut Browser, from: &str, target: &str, version: &str) -> Value {
    browser.open(&format!("{from}/attack"));
    browser.wait_until("typeof attack === 'function'");
    let secrets = json!({ "name": "bob", "password": password_of("bob"), "version": version });
    browser.evaluate(&format!("attack({}, {secrets})", json!(target)))
}

/// The attempts of an attack that got hold of something.
fn got_hold_of(report: &Value) -> Vec<&str> {
    let reads = report["reads"].as_object().expect("what was read");
    reads.iter().filter(|(_, text)| text.to_string().contains("canary")).map(|(attempt, _)| attempt.as_str()).collect()
}

/// The names of all changes that an attack tries.
fn ids_of(report: &Value) -> Vec<String> {
    let ids = report["changes"].as_array().expect("its changes").iter();
    ids.map(|id| id.as_str().expect("a name").to_owned()).collect()
}

/// The attempts are real: a site that protects nothing is read and changed by each of them.
fn ids_of_real_attempts() -> Vec<String> {
    let succeed = |from: &str, to: &str, wants_password: bool| {
        let (attacker, naive) = (ForeignSite::start(FILES, false), ForeignSite::start(FILES, wants_password));
        let mut browser = Browser::start();
        browser.open(&format!("http://alice:pw@{to}:{}/", naive.port()));
        browser.wait_until("document.body?.innerText.includes('canary') ?? false");
        let report = attack(
            &mut browser,
            &format!("http://{from}:{}", attacker.port()),
            &format!("http://{to}:{}", naive.port()),
            "1",
        );
        (report, naive.changes())
    };
    let (report, changes) = succeed("evil.example", "127.0.0.1", false);
    let ids = ids_of(&report);
    each_arrives(ids.iter(), &changes);
    reads_all(&report, &["sandboxed-get", "data-url-get"]);
    // With a password that it holds, Chromium helps only pages of the same site, and no reports.
    let (report, changes) = succeed("www.share.example", "share.example", true);
    let comes_without =
        |id: &&String| ["sandboxed", "data-url", "policy-report"].iter().any(|page| id.starts_with(page));
    each_arrives(ids.iter().filter(|id| !comes_without(id)), &changes);
    reads_all(&report, &[]);
    ids
}

fn each_arrives<'a>(ids: impl Iterator<Item = &'a String>, changes: &[String]) {
    let failed: Vec<_> = ids.filter(|id| !changes.iter().any(|change| change.contains(*id))).collect();
    assert!(failed.is_empty(), "these attempts never arrive: {failed:?}\n{changes:#?}");
}

fn reads_all(report: &Value, besides: &[&str]) {
    let got = got_hold_of(report);
    for attempt in READ_ELSEWHERE.iter().chain(besides) {
        assert!(got.contains(attempt), "{attempt} never reads: {got:?}\n{:#}", report["reads"][attempt]);
    }
    let told = report["told"].as_object().expect("what it was told").values();
    assert!(told.filter(|told| told[0] != told[1]).count() > 10, "what is there looks like what is not: {report:#}");
}

/// Whoever is signed in, and however: no page of another site changes or reads anything, nor finds out what is there.
#[test]
fn no_page_of_another_site_changes_or_reads_anything() {
    if !has_all("no_page_of_another_site_changes_or_reads_anything", &["chromium"]) {
        return;
    }
    let _turn = heavy();
    let ids = ids_of_real_attempts();
    // Browsers say more to this machine (Sec-Fetch-Site) than to names that are reached over plain HTTP.
    let pairs = [
        ("evil.example", "127.0.0.1"),
        ("evil.example", "share.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("www.share.example", "share.example"),
    ];
    for (nth, holding) in [Holding::Nothing, Holding::Cookie, Holding::Password, Holding::Both].into_iter().enumerate()
    {
        // All of them with both; of each other case one, unless all are asked for, since each takes seconds.
        let pairs = if full() || holding == Holding::Both { &pairs[..] } else { &pairs[nth..=nth] };
        let share = Share::start(holding, Server::builder());
        share.make_victims(&ids);
        let (attacker, mut browser) = (ForeignSite::start(FILES, false), Browser::start());
        share.sign_in(&mut browser, holding);
        let (before, cookies) = (share.settled_state(), browser.cookies());
        let port = share.server.address().port();
        for (from, to) in pairs.iter().copied() {
            let report = attack(
                &mut browser,
                &format!("http://{from}:{}", attacker.port()),
                &format!("http://{to}:{port}"),
                &share.version,
            );
            let case = format!("{holding:?}, {from} to {to}");
            assert_eq!(got_hold_of(&report), Vec::<&str>::new(), "{case}: {:#}", report["reads"]);
            let told = report["told"].as_object().expect("what it was told");
            // Over plain HTTP from another machine a browser does not say that it asks for a frame; what an <object> falls back to is seen.
            let is_unseen = |kind: &str| !(to == "share.example" && kind.starts_with("object-"));
            let differ: Vec<_> = told.iter().filter(|(kind, told)| is_unseen(kind) && told[0] != told[1]).collect();
            assert!(differ.is_empty(), "{case}: it can tell what is there: {differ:#?}");
            let after = share.state();
            let changed: Vec<_> = after.iter().filter(|(name, content)| before.get(*name) != Some(content)).collect();
            assert!(changed.is_empty() && after.len() == before.len(), "{case}: {changed:?}");
            assert_eq!(browser.cookies(), cookies, "{case}: she is signed out, or signed in as somebody else");
        }
        browser.open(&format!("http://127.0.0.1:{port}/"));
        browser.wait_until("document.body?.innerText.includes('kept.txt') ?? false");
    }
}

/// What a page of a named origin does: every method, and the fields of each answer that it needs.
const BY_A_NAMED_PAGE: &str = r#"(async (share) => {
    const told = {};
    const send = async (name, method, path, headers = {}, body = undefined) => {
        const answer = await fetch(share + path, { method, headers, body, credentials: 'include' });
        told[name] = { status: answer.status, text: await answer.text(), fields: Object.fromEntries(answer.headers) };
        return told[name];
    };
    await send('options', 'OPTIONS', '/');
    await send('get', 'GET', '/kept.txt');
    await send('range', 'GET', '/kept.txt', { Range: 'bytes=0-2' });
    await send('mkcol', 'MKCOL', '/desk/');
    const made = await send('put', 'PUT', '/desk/new.txt', { 'If-None-Match': '*' }, 'by a page');
    await send('overwritten', 'PUT', '/desk/new.txt', { 'If-Match': made.fields.etag }, 'by a page again');
    await send('stale', 'PUT', '/desk/new.txt', { 'If-Match': made.fields.etag }, 'too late');
    await send('propfind', 'PROPFIND', '/desk/', { Depth: '1' });
    await send('proppatch', 'PROPPATCH', '/desk/new.txt', {}, DAV.PROPPATCH);
    const lock = await send('lock', 'LOCK', '/desk/new.txt', { Timeout: 'Second-60' }, DAV.LOCK);
    await send('unlock', 'UNLOCK', '/desk/new.txt', { 'Lock-Token': lock.fields['lock-token'] });
    await send('copy', 'COPY', '/desk/new.txt', { Destination: share + '/desk/copy.txt', Overwrite: 'F' });
    await send('move', 'MOVE', '/desk/copy.txt', { Destination: share + '/desk/moved.txt' });
    await send('delete', 'DELETE', '/desk/moved.txt');
    await send('sign-out', 'POST', '/?sign-out', { 'Content-Type': 'application/json' });
    return told;
})"#;

/// A page of a named origin works with the credentials that the browser holds, and may read what an answer says; one of another origin may not.
#[test]
fn a_page_of_a_named_origin_works_with_what_the_browser_holds() {
    if !has_all("a_page_of_a_named_origin_works_with_what_the_browser_holds", &["chromium"]) {
        return;
    }
    let _turn = heavy();
    for holding in [Holding::Nothing, Holding::Cookie, Holding::Password] {
        let site = ForeignSite::start(FILES, false);
        let named = format!("http://www.share.example:{}", site.port());
        let share = Share::start(holding, Server::builder().value("--allow-origin", &named));
        let mut browser = Browser::start();
        share.sign_in(&mut browser, holding);
        let target = format!("http://share.example:{}", share.server.address().port());
        browser.open(&format!("{named}/attack"));
        browser.wait_until("typeof attack === 'function'");
        let told = browser.evaluate(&format!("{BY_A_NAMED_PAGE}({})", json!(target)));
        for (name, status, field) in [
            ("options", 200, "dav"),
            ("get", 200, "etag"),
            ("range", 206, "content-range"),
            ("mkcol", 201, "date"),
            ("put", 201, "etag"),
            ("overwritten", 204, "noclobber-displaced"),
            ("stale", 412, "etag"),
            ("propfind", 207, "content-type"),
            ("proppatch", 207, "content-type"),
            ("lock", 200, "lock-token"),
            ("unlock", 204, "date"),
            ("copy", 201, "date"),
            ("move", 201, "date"),
            ("delete", 204, "noclobber-displaced"),
            ("sign-out", 204, "date"),
        ] {
            let answer = &told[name];
            assert_eq!(answer["status"], status, "{holding:?} {name}: {answer:#}");
            assert!(answer["fields"][field].is_string(), "{holding:?} {name}, {field}: {answer:#}");
        }
        assert_eq!(told["get"]["text"], "canary text");
        assert_eq!(share.server.read("desk/new.txt"), "by a page again");
        browser.open(&format!("http://evil.example:{}/attack", site.port()));
        let read =
            format!("fetch('{target}/kept.txt', {{ credentials: 'include' }}).then((a) => a.text(), () => 'refused')");
        assert_eq!(browser.evaluate(&read), "refused", "{holding:?}");
    }
}

/// Another name that somebody makes lead here (DNS rebinding): its page is of the same origin as what it asks for, and gets nothing.
#[test]
fn no_page_reaches_the_share_by_a_name_of_its_own() {
    if !has_all("no_page_reaches_the_share_by_a_name_of_its_own", &["chromium"]) {
        return;
    }
    let _turn = heavy();
    for (holding, allowed, status) in [
        (Holding::Nothing, "share.example", 421),
        (Holding::Both, "share.example", 421),
        (Holding::Nothing, "rebind.example", 200),
    ] {
        let share = Share::start(holding, Server::builder().value("--allow-host", allowed));
        share.make_victims(&["victim".to_owned()]);
        let before = share.settled_state();
        let mut browser = Browser::start();
        share.sign_in(&mut browser, holding);
        let port = share.server.address().port();
        // The page came from another server, before the name led here.
        browser.plant("/attack", "<!doctype html><title>attack</title>");
        browser.open(&format!("http://rebind.example:{port}/attack"));
        browser.wait_until("document.title === 'attack'");
        let password = json!(basic("alice", &password_of("alice")));
        let statuses = browser.evaluate(&format!(
            "Promise.all(['GET', 'PROPFIND', 'PUT', 'DELETE', 'OPTIONS', 'POST'].flatMap((method) => [{{}}, {{ Authorization: {password} }}].map(
                (headers) => fetch('/victims/victim.txt' + (method === 'POST' ? '?sign-out' : ''), {{ method, headers }}).then(async (answer) =>
                    [method, answer.status, (await answer.text()).includes('victim')]))))"
        ));
        let is_let_in = status == 200;
        for answer in statuses.as_array().expect("an answer each") {
            let is_refused = answer[1] == 421 && answer[2] == false;
            assert_eq!(is_refused, !is_let_in, "{holding:?}, {allowed}: {answer}");
        }
        let after = share.state();
        let changed: Vec<_> = after.iter().filter(|(name, content)| before.get(*name) != Some(content)).collect();
        assert_eq!(
            changed.is_empty() && after.len() == before.len(),
            !is_let_in,
            "{holding:?}, {allowed}: {changed:?}"
        );
    }
}

/// Files that would run script, had a browser its way; each tries to leave a file and to name its page.
const PROGRAMS: &[(&str, &str)] = &[
    ("page.html", "<!doctype html><script>ACT</script>"),
    ("page.htm", "<svg/onload=\"ACT\">"),
    ("page.xhtml", "<html xmlns='http://www.w3.org/1999/xhtml'><script>ACT</script></html>"),
    ("page.xht", "<html xmlns='http://www.w3.org/1999/xhtml'><body onload='ACT'/></html>"),
    ("drawing.svg", "<svg xmlns='http://www.w3.org/2000/svg'><script>ACT</script></svg>"),
    ("loaded.svg", "<svg xmlns='http://www.w3.org/2000/svg' onload='ACT'/>"),
    ("feed.xml", "<x><script xmlns='http://www.w3.org/1999/xhtml'>ACT</script></x>"),
    ("feed.rss", "<?xml version='1.0'?><x><script xmlns='http://www.w3.org/1999/xhtml'>ACT</script></x>"),
    ("feed.atom", "<?xml version='1.0'?><x><script xmlns='http://www.w3.org/1999/xhtml'>ACT</script></x>"),
    (
        "formula.mml",
        "<math xmlns='http://www.w3.org/1998/Math/MathML'><script xmlns='http://www.w3.org/1999/xhtml'>ACT</script></math>",
    ),
    ("sheet.xsl", "<x><script xmlns='http://www.w3.org/1999/xhtml'>ACT</script></x>"),
    ("any.rdf", "<x><script xmlns='http://www.w3.org/1999/xhtml'>ACT</script></x>"),
    ("archive.mhtml", "MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<script>ACT</script>"),
    ("nameless", "<!doctype html><script>ACT</script>"),
    ("unknown.zzz", "<!doctype html><script>ACT</script>"),
    ("text.txt", "<!doctype html><script>ACT</script>"),
    ("picture.png", "<!doctype html><script>ACT</script>"),
    ("code.js", "ACT"),
    ("<img src=x onerror=ACT>.html", "<!doctype html><script>ACT</script>"),
];

/// A page in the share is somebody's file and no program of ours: opened by whoever is signed in, it runs nothing. One that is trusted by name does.
#[test]
fn no_file_of_the_share_acts_in_its_name() {
    if !has_all("no_file_of_the_share_acts_in_its_name", &["chromium"]) {
        return;
    }
    let _turn = heavy();
    const ACT: &str = "document.title='ran',fetch('/left.txt',{method:'PUT',body:'x',credentials:'include'})";
    for trusted in [None, Some("page.html")] {
        let options = trusted.iter().fold(Server::builder(), |options, page| options.value("--trust-html", page));
        let share = Share::start(Holding::Both, options);
        let mut browser = Browser::start();
        share.sign_in(&mut browser, Holding::Both);
        let names: Vec<String> = PROGRAMS.iter().map(|(name, _)| name.replace("ACT", "alert(1)")).collect();
        for (name, (_, content)) in names.iter().zip(PROGRAMS) {
            share.server.write(name, content.replace("ACT", ACT));
        }
        let base = format!("http://127.0.0.1:{}/", share.server.address().port());
        let shown = names.iter().filter(|name| trusted.is_none_or(|page| page == *name));
        for target in shown.map(|name| encoded(name)) {
            browser.open_or_save(&format!("{base}{target}"));
            if trusted.is_some_and(|page| page == target) {
                browser.wait_until("document.title === 'ran'");
            }
            std::thread::sleep(Duration::from_millis(300));
            let has_run = browser.is_true("document.title === 'ran'") || share.server.local("left.txt").exists();
            assert_eq!(has_run, trusted.is_some(), "{target}");
        }
    }
}
