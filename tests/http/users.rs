//! Who asks: credentials that are right, wrong, late or stolen; the file of users while it changes; guessing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::harness::programs::StartProgram as _;
use crate::harness::users::{UsersFile, Way, basic, digest, nonce_in, password_of, signed, token_of, users};
use crate::harness::{Request, Server};

const READ: &str = "[[rules]]\npath = \"/\"\nwho = \"signed-in\"\nmay = \"write\"\n";

fn serve(users: &UsersFile, options: &[&str]) -> Server {
    let options = options.iter().fold(Server::builder(), |server, word| server.option(*word));
    let server = options.value("--users", users.path().display()).start();
    server.write("f", "text");
    server
}

/// Whatever is wrong about it, it is told in the same words; and whoever says nothing is asked.
#[test]
fn credentials_that_are_not_right_are_told_so_and_no_more() {
    let users = UsersFile::make(READ);
    let server = serve(&users, &[]);
    let asked = server.get("/f").expect(401);
    assert!(asked.field("www-authenticate").starts_with("Basic realm=\"noclobber\", charset=\"UTF-8\""), "{asked}");
    let right = basic("bob", &password_of("bob"));
    let mut told = Vec::new();
    for wrong in [
        basic("bob", "wrong"),
        basic("nobody-of-that-name", "wrong"),
        basic("bob", ""),
        basic("", ""),
        right.replace("Basic ", "Basic"),
        right.replace("Basic ", "Bearer "),
        right.replace("Basic ", "Unknown "),
        format!("Basic {}", STANDARD.encode("nocolon")),
        format!("Basic {}", STANDARD.encode(b"\xff:\xff")),
        "Basic".to_owned(),
        "Basic ****".to_owned(),
        "Bearer".to_owned(),
        format!("Bearer {}x", token_of("bob")),
        "Digest".to_owned(),
        "Digest username=\"bob\"".to_owned(),
        String::new(),
    ] {
        let answer = server.get("/f").header("authorization", &wrong).send();
        assert_eq!(answer.status, 401, "{wrong}: {answer}");
        let text = answer.text();
        assert!(!text.contains("bob") && !text.contains("wrong\""), "{wrong}: {text}");
        told.push(text);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    let twice = server.get("/f").header("authorization", &right).header("authorization", &right);
    twice.expect(401);
    for (name, way) in [("bob", Way::Basic), ("bob", Way::Token), ("bob", Way::Digest), ("bob", Way::Session)] {
        for _ in 0..3 {
            signed(server.get("/f"), name, way, &users).expect_body("text");
        }
    }
    let prefixed = basic("HOME\\bob", &password_of("bob"));
    server.get("/f").header("authorization", prefixed).expect_body("text");
}

/// A name that nobody has takes as long as one that somebody has.
#[test]
fn a_name_that_nobody_has_takes_as_long() {
    let users = UsersFile::make(READ);
    let server = serve(&users, &[]);
    let time_of = |name: &str, nth: u32| {
        let begun = Instant::now();
        server.get("/f").header("authorization", basic(name, &format!("wrong {nth}"))).expect(401);
        begun.elapsed()
    };
    time_of("bob", 99);
    // In turn, and the best of each: what else the machine does makes some of them longer, and none shorter.
    let (mut there, mut nobody) = (Duration::MAX, Duration::MAX);
    for nth in 0..12 {
        there = there.min(time_of("bob", nth));
        nobody = nobody.min(time_of("nobody", nth));
    }
    let ratio = nobody.as_secs_f64() / there.as_secs_f64();
    assert!((0.4..2.5).contains(&ratio), "{there:?} for a user, {nobody:?} for nobody");
}

/// A request that is signed by Digest is signed for itself alone, and once.
#[test]
fn a_digest_is_good_once_and_for_its_own_request() {
    let users = UsersFile::make(READ);
    let server = serve(&users, &[]);
    let nonce = nonce_in(&server.get("/f").expect(401));
    let sign = |request: Request, count| {
        let signature = digest(&request, "bob", &nonce, count);
        request.header("authorization", signature)
    };
    sign(server.get("/f"), 1).expect(200);
    let again = sign(server.get("/f"), 1).expect(401);
    assert!(again.to_string().contains("stale=true"), "{again}");
    sign(server.get("/f"), 3).expect(200);
    sign(server.get("/f"), 2).expect(200);
    sign(server.get("/f"), 2).expect(401);
    let of_another = digest(&server.get("/f"), "bob", &nonce, 4);
    server.delete("/f").header("authorization", &of_another).expect(401);
    server.get("/g").header("authorization", &of_another).expect(401);
    let foreign = digest(&server.get("/f"), "bob", &"0".repeat(96), 5);
    assert!(server.get("/f").header("authorization", foreign).expect(401).to_string().contains("stale=true"));
    let put = server.put("/new").body_when_asked("uploaded");
    sign(put, 6).expect(201);
    let windows =
        server.get("/f").header("user-agent", "Microsoft-WebDAV-MiniRedir/10.0.19045").expect(401).to_string();
    assert!(
        windows.contains("algorithm=MD5") && !windows.contains("Basic"),
        "one scheme, and over plain HTTP: {windows}"
    );
    server.options("/").header("user-agent", "Microsoft-WebDAV-MiniRedir/10.0.19045").expect(401);
    server.options("/").expect(200);
}

/// What has changed in the file holds for the next request; a file that cannot be used changes nothing, and is told with its line.
#[test]
fn a_change_of_the_file_holds_at_once() {
    let users = UsersFile::make(READ);
    let server = serve(&users, &[]);
    let get = |way| signed(server.get("/f"), "bob", way, &users);
    let text = users.text();
    for round in 0..20 {
        users.write(&text.replace("\"write\"", if round % 2 == 0 { "\"none\"" } else { "\"read\"" }));
        for way in [Way::Basic, Way::Token, Way::Session] {
            get(way).expect(if round % 2 == 0 { 404 } else { 200 });
        }
    }
    for broken in
        ["[users", "[[rules]]\npath = \"/\"\n", "x = 1\n[[rules]]\npath = \"/\"\nwho = \"user:none\"\nmay = \"read\"\n"]
    {
        users.write(broken);
        get(Way::Basic).expect(200);
        get(Way::Token).expect(200);
    }
    server.wait_for_log("users.toml:");
    users.write(text.split("[[rules]]").next().unwrap());
    get(Way::Basic).expect(404);
    server.wait_for_log("no rules any more");
    users.write(&text);
    get(Way::Basic).expect(200);
    fs::remove_file(users.path()).unwrap();
    get(Way::Basic).expect(200);
    server.wait_for_log("is gone");
    users.write(&text.replace("[users.bob]", "[users.bobby]").replace("[[users.bob.", "[[users.bobby."));
    for way in [Way::Basic, Way::Session] {
        get(way).expect(401);
    }
    get(Way::Token).expect(200);
    users.write(&text);
    get(Way::Basic).expect(200);
}

/// While a crowd reads all the time, what has changed in the file holds for whoever asks after that: the looks that the server takes for the crowd
/// are none for those who ask later.
#[test]
fn a_crowd_does_not_hide_a_change_of_the_file() {
    let users = UsersFile::make(READ);
    let server = serve(&users, &["--workers=1"]);
    let over = AtomicBool::new(false);
    let get = || signed(server.get("/f"), "bob", Way::Token, &users);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut connection = server.connect();
                while !over.load(Ordering::Relaxed) {
                    connection.send(&signed(server.get("/f"), "alice", Way::Token, &users)).expect_any(&[200, 404]);
                }
            });
        }
        let text = users.text();
        let mut connection = server.connect();
        let wrong = (0..300).find_map(|round| {
            let (may, status) = if round % 2 == 0 { ("\"none\"", 404) } else { ("\"read\"", 200) };
            users.write(&text.replace("\"write\"", may));
            let answers = [connection.send(&get()), connection.send(&get())];
            answers.into_iter().find(|answer| answer.status != status).map(|answer| format!("{round}: {answer}"))
        });
        over.store(true, Ordering::Relaxed);
        assert_eq!(wrong, None);
    });
}

/// A right, a user or a password that goes while an upload is under way goes for that, too.
#[test]
fn an_upload_that_has_begun_is_committed_by_what_holds_then() {
    let users = UsersFile::make(READ);
    let server = serve(&users, &[]);
    let text = users.text();
    let other = crate::harness::users::users().lines().find(|line| line.starts_with("password")).unwrap().to_owned();
    let without_bob = text.replace("[users.bob]", "[users.bobby]").replace("[[users.bob.", "[[users.bobby.");
    let with_another_password = {
        let own = text.split("[users.bob]\n").nth(1).unwrap().lines().next().unwrap().to_owned();
        let of_alice = text.split("[users.alice]\n").nth(1).unwrap().lines().next().unwrap().to_owned();
        assert!(own != of_alice && other.starts_with("password"));
        text.replace(&own, &of_alice)
    };
    for (nth, changed) in [text.replace("\"write\"", "\"read\""), without_bob, with_another_password].iter().enumerate()
    {
        users.write(&text);
        let mut connection = server.connect();
        let request = signed(server.put("/f"), "bob", Way::Basic, &users).header("content-length", "2000000");
        connection.write(request.head());
        connection.write(vec![b'x'; 1_000_000]);
        std::thread::sleep(Duration::from_millis(100));
        users.write(changed);
        connection.write(vec![b'x'; 1_000_000]);
        let answer = connection.answer("PUT");
        assert!([401, 403, 404].contains(&answer.status), "{nth}: {answer}");
        assert_eq!(server.read("f"), "text", "{nth}");
    }
}

/// Signing in on a page begins a session, which no script sees and no other site can use or begin.
#[test]
fn a_session_is_begun_and_ended() {
    let users = UsersFile::make(READ);
    let server = serve(&users, &[]);
    assert!(server.get("/?sign-in").expect(200).text().contains("<form"));
    let form = format!(
        "name=bob&password={}",
        password_of("bob").replace(' ', "+").replace(':', "%3A").replace('ä', "%C3%A4")
    );
    let sign_in = || server.post("/?sign-in").header("content-type", "application/x-www-form-urlencoded").body(&form);
    let answer = sign_in().header("origin", format!("http://{}", server.address())).expect(303);
    let cookie = answer.field("set-cookie").to_owned();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    sign_in().header("origin", "https://evil.example").expect(403);
    sign_in().header("sec-fetch-site", "cross-site").expect(403);
    let again = server.post("/?sign-in").body("name=bob&password=wrong").expect(401);
    assert!(
        again.text().contains("are not right. Sign in with") && !again.field("www-authenticate").contains("Basic"),
        "{again}"
    );
    server.post("/?sign-in").body("nonsense").expect(400);
    server.post("/?sign-in").body("x".repeat(100_000)).expect(413);
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let get = |cookie: &str| server.get("/f").header("cookie", cookie);
    get(&cookie).expect_body("text");
    get(&format!("a=b; {cookie}; c=d")).expect_body("text");
    server.put("/f").header("cookie", &cookie).header("origin", "https://evil.example").body("evil").expect(403);
    get(&format!("{cookie}x")).expect(401);
    server.post("/?sign-out").header("cookie", &cookie).header("origin", "https://evil.example").expect(403);
    get(&cookie).expect_body("text");
    server.post("/?sign-out").header("cookie", &cookie).expect(303);
    let over = get(&cookie).expect(401);
    assert!(over.field("set-cookie").contains("Max-Age=0"), "{over}");
    server.get("/?sign-in").header("cookie", &cookie).expect(200);
    sign_in().header("cookie", &cookie).expect(303);
    let script = server.get("/f").header("sec-fetch-dest", "empty").expect(401).to_string();
    assert!(!script.contains("Basic"), "a browser would ask in place of the page: {script}");
}

/// From one address few guesses are computed, whatever the names; whoever is signed in goes on, and whoever sits at the machine is not kept out.
#[test]
fn guessing_is_slowed() {
    let users = UsersFile::make(READ);
    let server = serve(&users, &["--trusted-proxy=127.0.0.1"]);
    let from = |address: &str, name: &str, password: &str| {
        let request = server.get("/f").header("x-forwarded-for", address).header("x-forwarded-proto", "https");
        request.header("authorization", basic(name, password)).send().status
    };
    // Five at once and thirty in all are computed, and more as time goes by: on a slow machine these requests take a while.
    let began = Instant::now();
    let of_an_address = || 5 + began.elapsed().as_secs() as usize / 12;
    let of_a_user = || 30 + began.elapsed().as_secs() as usize / 6;
    let guesses: Vec<u16> = (0..100).map(|nth| from("192.0.2.1", &format!("user-{nth}"), "guess")).collect();
    let computed = guesses.iter().filter(|status| **status == 401).count();
    assert!((1..=of_an_address()).contains(&computed), "{computed} of {guesses:?}");
    assert!(guesses.iter().all(|status| [401, 429].contains(status)), "{guesses:?}");
    assert_eq!(from("192.0.2.1", "bob", &password_of("bob")), 429, "right or wrong, it is not looked at");
    assert_eq!(from("192.0.2.2", "bob", &password_of("bob")), 200);
    let hidden: Vec<u16> = (0..60).map(|nth| from("_hidden", "alice", &format!("guess {nth}"))).collect();
    assert!(
        hidden.iter().filter(|status| **status == 401).count() <= of_an_address(),
        "whoever is not known is one: {hidden:?}"
    );
    let direct = serve(&users, &[]);
    for nth in 0..60 {
        direct.get("/f").header("authorization", basic("alice", &format!("guess {nth}"))).expect(401);
    }
    signed(direct.get("/f"), "alice", Way::Basic, &users).expect(200);
    let many: Vec<u16> =
        (0..100).map(|nth| from(&format!("198.51.100.{nth}"), "bob", &format!("guess {nth}"))).collect();
    assert!(many.iter().filter(|status| **status == 401).count() <= of_a_user(), "{many:?}");
    assert_eq!(from("192.0.2.2", "bob", &password_of("bob")), 200, "where bob was right before");
    let retry = server.get("/f").header("x-forwarded-for", "192.0.2.1").header("x-forwarded-proto", "https");
    let retry = retry.header("authorization", basic("x", "y")).expect(429);
    assert!(retry.field("retry-after").parse::<u32>().unwrap() <= 60);
}

/// Passwords, tokens and sessions are in no log and no file but the hashes in that of the users.
#[test]
fn no_secret_is_written_anywhere() {
    let users = UsersFile::make(READ);
    let log = tempfile::tempdir().unwrap();
    let file = log.path().join("log");
    let server = serve(&users, &["--log-level=trace", &format!("--log-file={}", file.display())]);
    let mut secrets = vec![password_of("bob"), token_of("bob"), "canary-wrong-password".to_owned()];
    for way in [Way::Basic, Way::Token, Way::Digest, Way::Session] {
        signed(server.put("/f"), "bob", way, &users).body("text").expect(204);
    }
    server.get("/f").header("authorization", basic("bob", "canary-wrong-password")).expect(401);
    let form = serde_json::json!({ "name": "bob", "password": password_of("bob") }).to_string();
    let session = server.post("/?sign-in").header("content-type", "application/json").body(form).expect(204);
    secrets.push(session.field("set-cookie").split(['=', ';']).nth(1).unwrap().to_owned());
    let encoded: Vec<String> = secrets.iter().map(|secret| STANDARD.encode(secret)).collect();
    secrets.extend(encoded);
    let mut places = vec![fs::read(&file).unwrap(), server.log().into_bytes(), users.text().into_bytes()];
    places.extend(server.kept_files().into_iter().map(|(_, bytes)| bytes));
    for entry in fs::read_dir(server.state()).unwrap() {
        places.push(fs::read(entry.unwrap().path()).unwrap_or_default());
    }
    for secret in secrets {
        let is_in = |place: &Vec<u8>| place.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!places.iter().any(is_in), "'{secret}' was written somewhere");
    }
}

/// What cannot be meant is told with file and line, and the server does not start.
#[test]
fn a_file_that_cannot_be_meant_keeps_the_server_from_starting() {
    let one = users();
    let rule =
        |path: &str, who: &str, may: &str| format!("{one}\n[[rules]]\npath = {path:?}\nwho = {who:?}\nmay = {may}\n");
    for (text, words) in [
        (rule("/", "everybody", "\"fly\""), "'fly' is not the name of a right"),
        (rule("/", "everybody", "[\"read\", \"fly\"]"), "'fly' is not the name of a right"),
        (rule("/", "user:nobody-here", "\"read\""), "no user"),
        (rule("/", "group:nobody-here", "\"read\""), "nobody is in a group"),
        (rule("/", "somebody", "\"read\""), "is nobody"),
        (rule("a", "everybody", "\"read\""), "begins with a slash"),
        (rule("/../a", "everybody", "\"read\""), "not one in the folder"),
        (rule("/.noclobber", "everybody", "\"read\""), "not one in the folder"),
        (
            format!(
                "{}{}",
                rule("/", "everybody", "\"read\""),
                "[[rules]]\npath = \"/\"\nwho = \"everybody\"\nmay = \"list\"\n"
            ),
            "another rule",
        ),
        (format!("{one}\n[users.\"a/b\"]\n"), "cannot be the name"),
        (format!("{one}\n[users.Bob]\n"), "takes for"),
        (format!("{one}\n[users.x]\npassword = \"plain\"\n"), "Argon2id"),
        (format!("{one}\n[users.x]\npasword = \"x\"\n"), "unknown field"),
        (rule("/", "everybody", "\"read\"").replace("[[rules]]", "[[rule]]"), "'rule' is no table"),
        ("[users".to_owned(), "users.toml:1"),
    ] {
        let users = UsersFile::make("");
        users.write(&text);
        let (status, printed) = Server::builder().value("--users", users.path().display()).start_in_vain();
        assert_eq!(status.code(), Some(2), "{words}: {printed}");
        assert!(printed.contains(words) && printed.contains("users.toml:"), "{words}: {printed}");
    }
    let users = UsersFile::make(READ);
    fs::set_permissions(users.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let (status, printed) = Server::builder().value("--users", users.path().display()).start_in_vain();
    assert!(status.code() == Some(2) && printed.contains("others can read"), "{printed}");
}

/// Runs the program with this on its standard input; gives its exit code and what it said.
fn noclobber(words: &[&str], input: &str) -> (Option<i32>, String) {
    let mut program = Command::new("sh");
    program.args(["-c", "printf %s \"$0\" | \"$@\"", input, env!("CARGO_BIN_EXE_noclobber")]).args(words);
    let output = program.run().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// The command changes what it is asked to, and keeps what else is written; two at once lose nothing.
#[test]
fn users_are_added_changed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("u.toml");
    let file = format!("--users={}", path.display());
    let run = |words: &[&str], input: &str| {
        let words: Vec<&str> = ["user"].into_iter().chain(words.iter().copied()).chain([file.as_str()]).collect();
        noclobber(&words, input)
    };
    assert_eq!(run(&["add", "ann", "--group", "staff"], "one\n").0, Some(0));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    let text = format!("# kept\n{text}\n[[rules]] # kept, too\npath = \"/\"\nwho = \"user:ann\"\nmay = \"read\"\n");
    fs::write(&path, &text).unwrap();
    assert_eq!(run(&["add", "ann"], "two\n").0, Some(1), "there is one");
    assert_eq!(run(&["add", "a/b"], "two\n").0, Some(1));
    assert_eq!(run(&["add", "ben"], "\n").0, Some(1), "no password");
    std::thread::scope(|scope| {
        (0..4)
            .for_each(|nth| drop(scope.spawn(move || assert_eq!(run(&["add", &format!("u{nth}")], "x\n").0, Some(0)))));
    });
    let server = Server::builder().option(&file).start();
    server.write("f", "text");
    let get = |password: &str| server.get("/f").header("authorization", basic("ann", password));
    get("one").expect(200);
    assert_eq!(run(&["password", "ann"], "two\n").0, Some(0));
    get("one").expect(401);
    get("two").expect(200);
    let (_, token) = run(&["token", "ann", "script"], "");
    let with_token = || server.get("/f").header("authorization", format!("Bearer {}", token.trim()));
    with_token().expect(200);
    assert_eq!(run(&["revoke", "ann", "script"], "").0, Some(0));
    with_token().expect(401);
    let (_, listed) = run(&["list"], "");
    assert!(listed.contains("ann  in staff") && listed.contains("u3"), "{listed}");
    let (_, told) = noclobber(&["rules", "/f", "--as", "ann", &file], "");
    assert!(told.starts_with("list, read\n") && told.contains("u.toml:"), "{told}");
    assert_eq!(run(&["remove", "ann"], "").0, Some(0));
    get("two").expect(401);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("# kept\n") && !text.contains("ann"), "{text}");
}
