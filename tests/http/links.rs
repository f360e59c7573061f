//! Links: a secret that gives rights on one file or folder for a time, made by HTTP and on the command line.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::programs::StartProgram as _;
use crate::harness::server::NOBODY;
use crate::harness::users::{UsersFile, Way, basic, signed};
use crate::harness::{Answer, Request, Server, canaries, eventually};

/// Everybody writes everywhere but alice in `/mine`, which is hers, and in `/mine/secret`, where she may read alone.
const RULES: &str = "[[rules]]\npath = \"/\"\nwho = \"signed-in\"\nmay = \"write\"\n\
    [[rules]]\npath = \"/mine\"\nwho = \"everybody\"\nmay = \"none\"\n\
    [[rules]]\npath = \"/mine\"\nwho = \"user:alice\"\nmay = \"write\"\n\
    [[rules]]\npath = \"/mine/secret\"\nwho = \"user:alice\"\nmay = \"none\"\n";

fn serve(users: &UsersFile) -> Server {
    serve_with(users, &[])
}

fn serve_with(users: &UsersFile, options: &[&str]) -> Server {
    let options = options.iter().fold(Server::builder(), |server, word| server.option(*word));
    let server = options.value("--users", users.path().display()).start();
    for folder in ["mine", "mine/sub", "mine/secret", "inbox", "other"] {
        std::fs::create_dir_all(server.local(folder)).unwrap();
    }
    for file in ["mine/f", "mine/sub/g", "mine/secret/s", "inbox/of-another", "other/o", "top"] {
        server.write(file, file);
    }
    server
}

/// Makes a link by HTTP; gives the answer.
#[track_caller]
fn made(server: &Server, users: &UsersFile, who: &str, path: &str, wish: &Value) -> Answer {
    signed(server.post(format!("{path}?links")), who, Way::Token, users).body(wish.to_string()).send()
}

/// The identifier and the secret.
#[track_caller]
fn link(server: &Server, users: &UsersFile, who: &str, path: &str, wish: &Value) -> (String, String) {
    let told = made(server, users, who, path, wish).expect(201).json();
    let href = told["href"].as_str().unwrap();
    let (place, secret) = href.split_once("?link=").unwrap();
    assert_eq!((place, told["path"].as_str()), (path, Some(path)));
    assert!(secret.len() >= 22, "128 bits: {secret}");
    canaries::note(secret);
    (told["id"].as_str().unwrap().to_owned(), secret.to_owned())
}

/// A request by a link, in both ways that are not a browser's.
fn by_link(server: &Server, method: &str, path: &str, secret: &str, way: usize) -> Request {
    match way {
        0 => server.request(method, format!("{path}?link={secret}")),
        _ => server.request(method, path).header("authorization", basic(secret, "")),
    }
}

/// What each kind gives, and where, is as written here by hand: a link gives that below its place and nothing anywhere else.
#[test]
fn a_link_gives_its_rights_below_its_place_and_nowhere_else() {
    let users = UsersFile::make(RULES);
    let server = serve(&users);
    let statuses = |may: &str, way: usize| {
        let (_, secret) = link(&server, &users, "alice", "/mine/", &json!({ "may": may }));
        let send = |method: &str, path: &str| by_link(&server, method, path, &secret, way);
        let to = |path: &str| format!("http://{}{path}", server.address());
        let mut statuses = vec![
            send("GET", "/mine/f").send().status,
            send("PROPFIND", "/mine/").header("depth", "1").send().status,
            send("GET", "/mine/secret/s").send().status,
            send("GET", "/mine/none").send().status,
            send("GET", "/top").send().status,
            send("GET", "/none").send().status,
            send("GET", "/").send().status,
            send("PROPFIND", "/").header("depth", "0").send().status,
            send("PUT", "/new").body("x").send().status,
            send("COPY", "/mine/f").header("destination", to("/copied")).send().status,
            send("COPY", "/other/o").header("destination", to("/mine/copied")).send().status,
            send("MOVE", "/mine/f").header("destination", to("/moved")).send().status,
            send("PUT", &format!("/mine/{may}-{way}")).body("new").send().status,
            send("PUT", "/mine/sub/g").body("again").send().status,
            send("PUT", "/mine/secret/new").body("new").send().status,
            send("MKCOL", &format!("/mine/folder-{may}-{way}")).send().status,
            send("PROPPATCH", "/mine/sub/g").body(SET).send().status,
            send("DELETE", &format!("/mine/{may}-{way}")).send().status,
            send("DELETE", "/mine/").send().status,
        ];
        for query in ["versions", "links"] {
            let target = if way == 0 { format!("/mine/f?{query}&link={secret}") } else { format!("/mine/f?{query}") };
            statuses.push(by_query(&server, "GET", &target, &secret, way).send().status);
        }
        let target = if way == 0 { format!("/mine/?links&link={secret}") } else { "/mine/?links".to_owned() };
        statuses.push(by_query(&server, "POST", &target, &secret, way).body("{}").send().status);
        statuses
    };
    for way in [0, 1] {
        assert_eq!(
            statuses("read", way),
            [
                200, 207, 404, 404, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 404, 403, 403, 403, 403, 403,
                403, 403
            ],
            "read {way}"
        );
        assert_eq!(
            statuses("drop", way),
            [
                404, 403, 404, 404, 403, 403, 403, 403, 403, 404, 403, 404, 201, 403, 404, 201, 404, 404, 403, 404,
                403, 403
            ],
            "drop {way}"
        );
        assert_eq!(
            statuses("write", way),
            [
                200, 207, 404, 404, 403, 403, 403, 403, 403, 403, 403, 403, 201, 204, 404, 201, 207, 204, 403, 403,
                403, 403
            ],
            "write {way}"
        );
    }
    assert_eq!((server.read("mine/f"), server.read("top")), ("mine/f".to_owned(), "top".to_owned()));
}

const SET: &str =
    "<D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop><x xmlns=\"urn:x\">1</x></D:prop></D:set></D:propertyupdate>";

fn by_query(server: &Server, method: &str, target: &str, secret: &str, way: usize) -> Request {
    let request = server.request(method, target);
    if way == 0 { request } else { request.header("authorization", basic(secret, "")) }
}

/// A link to a file reaches that file, and what lies beside it is not told.
#[test]
fn a_link_to_a_file_reaches_that_file() {
    let users = UsersFile::make(RULES);
    let server = serve(&users);
    let (_, secret) = link(&server, &users, "alice", "/mine/f", &json!({}));
    for way in [0, 1] {
        by_link(&server, "GET", "/mine/f", &secret, way).expect_body("mine/f");
        by_link(&server, "HEAD", "/mine/f", &secret, way).expect(200);
        by_link(&server, "GET", "/mine/sub/g", &secret, way).expect(403);
        by_link(&server, "GET", "/mine/", &secret, way).expect(403);
        for spelling in ["/mine/F", "/MINE/f", "/mine//f", "/mine/f/", "/mine/f.", "/mine/./f", "/mine/%66"] {
            let answer = by_link(&server, "GET", spelling, &secret, way).send();
            let is_the_file = ["/mine//f", "/mine/./f", "/mine/%66"].contains(&spelling);
            assert!(answer.status >= 400 || is_the_file, "{spelling}: {answer}");
        }
    }
}

/// What others have dropped is not seen, not replaced and not told by a refusal.
#[test]
fn whoever_drops_sees_nothing_of_what_others_dropped() {
    let users = UsersFile::make(RULES);
    let server = serve(&users);
    let (_, secret) = link(&server, &users, "bob", "/inbox/", &json!({ "may": "drop" }));
    let put = |name: &str| server.put(format!("/inbox/{name}?link={secret}"));
    put("mine").body("first").expect(201);
    put("mine").body("second").expect(403);
    put("of-another").body("mine now").expect(403);
    std::fs::create_dir_all(server.local("inbox/folder")).unwrap();
    // Nothing tells what is there without leaving something: not the condition, and not the kind.
    for name in ["of-another", "folder", "none"] {
        let told = put(name).if_match("*").body("mine now").expect(403).text();
        assert!(!told.contains("kind") && !told.contains("folder"), "{name}: {told}");
        put(name).if_match("\"a\"").body("mine now").expect(403);
        put(name).header("if", "([\"a\"])").body("mine now").expect(403);
    }
    let told = put("folder").body("x").expect(403).text();
    assert_eq!(told, put("of-another").body("x").expect(403).text());
    let told_folder = |name: &str| server.mkcol(format!("/inbox/{name}?link={secret}")).expect(403).text();
    assert_eq!((told_folder("folder"), told_folder("of-another")), (told.clone(), told));
    for name in ["of-another", "none", "mine"] {
        let told = server.get(format!("/inbox/{name}?link={secret}")).expect(404);
        let other = server.get(format!("/inbox/nothing-here?link={secret}")).expect(404);
        assert_eq!(told.text(), other.text());
        server.request("PROPFIND", format!("/inbox/{name}?link={secret}")).header("depth", "0").expect(404);
        server.delete(format!("/inbox/{name}?link={secret}")).expect(404);
    }
    assert_eq!(
        (server.read("inbox/of-another"), server.read("inbox/mine")),
        ("inbox/of-another".into(), "first".into())
    );
    made(&server, &users, "bob", "/inbox/of-another", &json!({ "may": "drop" })).expect(409);
}

/// Whoever may not do something cannot give it away, and what an owner loses the link loses at its next request and at the commit of what it has begun.
#[test]
fn a_link_never_gives_more_than_its_owner_may() {
    let users = UsersFile::make(RULES);
    let server = serve(&users);
    made(&server, &users, "bob", "/mine/", &json!({})).expect(404);
    made(&server, &users, "alice", "/mine/secret/", &json!({})).expect(404);
    server.post("/mine/?links").body("{}").expect(401);
    let (_, secret) = link(&server, &users, "alice", "/mine/", &json!({ "may": "write" }));
    let get = || server.get(format!("/mine/f?link={secret}"));
    get().expect_body("mine/f");
    let text = users.text();
    let reads = text.replace("who = \"user:alice\"\nmay = \"write\"", "who = \"user:alice\"\nmay = \"read\"");
    users.write(&reads);
    made(&server, &users, "alice", "/mine/", &json!({ "may": "write" })).expect(403);
    get().expect_body("mine/f");
    server.put(format!("/mine/f?link={secret}")).body("x").expect(403);
    users.write(&text);
    let mut connection = server.connect();
    connection.write(server.put(format!("/mine/f?link={secret}")).header("content-length", "2000000").head());
    connection.write(vec![b'x'; 1_000_000]);
    std::thread::sleep(Duration::from_millis(100));
    users.write(&reads);
    connection.write(vec![b'x'; 1_000_000]);
    assert_eq!(connection.answer("PUT").status, 403);
    users.write(
        &text
            .replace("[users.alice]", "[users.alba]")
            .replace("[[users.alice.", "[[users.alba.")
            .replace("user:alice", "user:alba"),
    );
    get().expect(401);
    users.write(&text);
    get().expect_body("mine/f");
    // Another password of the owner is no reason to end it.
    let password =
        |name: &str| text.split(&format!("[users.{name}]\n")).nth(1).unwrap().lines().next().unwrap().to_owned();
    users.write(&text.replace(&password("alice"), &password("bob")));
    get().expect_body("mine/f");
    assert_eq!(server.read("mine/f"), "mine/f");
}

/// A link that is revoked is good for nothing from the next request on, also for whoever has opened it and for an upload that has begun.
#[test]
fn a_link_that_is_revoked_is_over() {
    let users = UsersFile::make(RULES);
    let server = serve(&users);
    let (id, secret) = link(&server, &users, "alice", "/mine/", &json!({ "may": "write" }));
    let (other, kept) = link(&server, &users, "alice", "/mine/sub/", &json!({}));
    let cookie = visit(&server, "/mine/", &secret);
    for _ in 0..3 {
        by_link(&server, "GET", "/mine/f", &secret, 1).expect_body("mine/f");
    }
    let list = |path: &str, who: &str| {
        let told = signed(server.get(format!("{path}?links")), who, Way::Token, &users).expect(200).json();
        let ids = told["links"].as_array().unwrap().iter().map(|link| link["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(list("/", "alice"), [&*id, &*other]);
    assert_eq!((list("/mine/sub/", "alice"), list("/", "bob")), (vec![other.clone()], vec![]));
    let mut connection = server.connect();
    connection.write(server.put(format!("/mine/f?link={secret}")).header("content-length", "2000000").head());
    connection.write(vec![b'x'; 1_000_000]);
    std::thread::sleep(Duration::from_millis(100));
    let revoke =
        |who: &str, id: &str| signed(server.post(format!("/?revoke={id}")), who, Way::Token, &users).send().status;
    assert_eq!(
        (revoke("bob", &id), revoke("alice", "none"), revoke("alice", &id), revoke("alice", &id)),
        (404, 404, 204, 404)
    );
    connection.write(vec![b'x'; 1_000_000]);
    assert!([401, 403, 404].contains(&connection.answer("PUT").status));
    for way in [1, 0] {
        by_link(&server, "GET", "/mine/f", &secret, way).expect(401);
        by_link(&server, "GET", "/mine/sub/g", &kept, way).expect_body("mine/sub/g");
    }
    server.get("/mine/f").header("cookie", &cookie).expect(401);
    assert_eq!((list("/", "alice"), server.read("mine/f")), (vec![other], "mine/f".to_owned()));
}

/// Opens a link as a browser does; gives the cookie.
#[track_caller]
fn visit(server: &Server, path: &str, secret: &str) -> String {
    let answer = server.get(format!("{path}?json&link={secret}")).header("sec-fetch-mode", "navigate").expect(303);
    assert_eq!(answer.field("location"), format!("{path}?json"), "the address that is shown has no secret");
    let cookie = answer.field("set-cookie").to_owned();
    let place = path.trim_end_matches('/');
    for word in ["HttpOnly", "SameSite=Lax", &format!("Path={place};")] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert!(!cookie.contains(secret));
    cookie.split(';').next().unwrap().to_owned()
}

/// A browser gets a cookie, by which it comes where the link leads and nowhere else, whoever it is signed in as.
#[test]
fn a_browser_opens_a_link_once() {
    let users = UsersFile::make(RULES);
    let server = serve(&users);
    let (_, secret) = link(&server, &users, "alice", "/mine/", &json!({}));
    let cookie = visit(&server, "/mine/", &secret);
    let get = |path: &str, cookie: &str| server.get(path).header("cookie", cookie);
    get("/mine/f", &cookie).expect_body("mine/f");
    get("/top", &cookie).expect(401);
    get("/mine/secret/s", &cookie).expect(404);
    server.put("/mine/f").header("cookie", &cookie).body("x").expect(403);
    get("/mine/f", &format!("{cookie}x")).expect(401);
    let form = json!({ "name": "bob", "password": crate::harness::users::password_of("bob") }).to_string();
    let session = server.post("/?sign-in").header("content-type", "application/json").body(form).expect(204);
    let session = session.field("set-cookie").split(';').next().unwrap().to_owned();
    let both = format!("{session}; {cookie}");
    get("/mine/f", &session).expect(404);
    get("/mine/f", &both).expect_body("mine/f");
    get("/top", &both).expect_body("top");
    get("/mine/f", &format!("noclobber-session=over; {cookie}")).expect_body("mine/f");
    let (_, of_bob) = link(&server, &users, "bob", "/other/", &json!({}));
    let visits = format!("{session}; {}", visit(&server, "/other/", &of_bob));
    server.put("/other/o").header("cookie", &visits).body("his own").expect(204);
    // Old browsers say no more than that they want a page; a browser that is refused is shown one, and is not asked for a password by itself.
    server.get(format!("/mine/?link={secret}")).header("accept", "text/html,*/*;q=0.8").expect(303);
    let over = server.get("/mine/?link=0000000000000000000000").header("sec-fetch-mode", "navigate").expect(401);
    assert!(over.text().contains("good no more") && !over.field("www-authenticate").contains("Basic"), "{over}");
    server.get("/mine/?link=0000000000000000000000").expect(401);
    server.get(format!("/mine/f?link={secret}&link=0000000000000000000000")).expect(401);
    server.get("/mine/f?link=").expect(401);
}

/// A password is asked for: on a page by a form, of other programs by Basic.
#[test]
fn a_link_may_take_a_password() {
    let users = UsersFile::make(RULES);
    let server = serve_with(&users, &["--log-level=trace"]);
    let wish = json!({ "password": "canary ü:1" });
    // The form has the secret in it, and so it is not noted.
    let told = made(&server, &users, "alice", "/mine/", &wish).expect(201).json();
    let secret = told["href"].as_str().unwrap().split_once("?link=").unwrap().1.to_owned();
    let target = format!("/mine/f?link={secret}");
    server.get(&target).expect(401);
    server.get(&target).header("authorization", basic("anybody", "canary ü:1")).expect_body("mine/f");
    server.get("/mine/f").header("authorization", basic(&secret, "canary ü:1")).expect_body("mine/f");
    for wrong in ["", "canary", "canary u:1"] {
        server.get(&target).header("authorization", basic("anybody", wrong)).expect(401);
        server.get("/mine/f").header("authorization", basic(&secret, wrong)).expect(401);
    }
    let page = server.get(format!("/mine/?link={secret}")).header("sec-fetch-mode", "navigate").expect(401);
    assert!(page.text().contains("<form") && page.text().contains(&format!("?sign-in&amp;link={secret}")), "{page}");
    let form = |password: &str| {
        let post = server.post(format!("/mine/?sign-in&link={secret}"));
        post.header("content-type", "application/x-www-form-urlencoded").body(format!("password={password}"))
    };
    assert!(form("wrong").expect(401).text().contains("not the password"));
    form("canary+%C3%BC%3A1").header("origin", "https://evil.example").expect(403);
    let opened = form("canary+%C3%BC%3A1").expect(303);
    assert_eq!(opened.field("location"), "/mine/");
    let cookie = opened.field("set-cookie").split(';').next().unwrap().to_owned();
    server.get("/mine/f").header("cookie", cookie).expect_body("mine/f");
    let json = server.post(format!("/mine/?sign-in&link={secret}")).header("content-type", "application/json");
    json.body(json!({ "password": "canary ü:1" }).to_string()).expect_any(&[204, 303]);
    // Whoever visits by another link does not come by this one without the password.
    let (_, other) = link(&server, &users, "alice", "/mine/sub/", &json!({}));
    let visiting = visit(&server, "/mine/sub/", &other);
    for query in ["sign-in&", ""] {
        let open = server.get(format!("/mine/sub/?{query}link={secret}")).header("sec-fetch-mode", "navigate");
        let answer = open.header("cookie", &visiting).expect(401);
        assert!(answer.header("set-cookie").is_none(), "{answer}");
    }
    for cannot in [json!({ "password": "" }), json!({ "password": "a\u{7}" }), json!({ "password": "x".repeat(2000) })]
    {
        made(&server, &users, "alice", "/mine/", &cannot).expect(400);
    }
    let kept = std::fs::read_to_string(server.state().join("links.json")).unwrap();
    assert!(!kept.contains("canary") && !kept.contains(&secret), "{kept}");
    assert!(!server.log().contains(&secret) && !server.log().contains("canary"), "{}", server.log());
}

/// One that can be used so often is used up by so many, at once and after a restart; a browser goes on with its visit.
#[test]
fn a_link_may_be_good_a_number_of_times() {
    let users = UsersFile::make(RULES);
    let mut server = serve(&users);
    let (_, secret) = link(&server, &users, "alice", "/mine/", &json!({ "uses": 5 }));
    let cookie = visit(&server, "/mine/", &secret);
    let target = format!("/mine/f?link={secret}");
    server.head(&target).expect(200);
    server.get(&target).expect(200);
    server.stop();
    server.start_again();
    server.get("/mine/f").header("cookie", &cookie).expect(401);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..12).map(|_| scope.spawn(|| server.get(&target).send().status)).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 3, "{statuses:?}");
    server.head(&target).expect(401);
    server.options(&target).expect_any(&[200, 401]);
    // Whoever came by the last use stays, whatever becomes of other links.
    let (_, last) = link(&server, &users, "alice", "/mine/", &json!({ "uses": 1 }));
    let cookie = visit(&server, "/mine/", &last);
    server.get(format!("/mine/f?link={last}")).expect(401);
    link(&server, &users, "alice", "/mine/f", &json!({}));
    server.get("/mine/f").header("cookie", &cookie).expect_body("mine/f");
    server.get("/mine/f").header("authorization", basic(&secret, "")).expect(401);
    for cannot in [
        json!({ "uses": 0 }),
        json!({ "uses": -1 }),
        json!({ "expires": "soon" }),
        json!({ "may": "fly" }),
        json!({ "mai": "read" }),
    ] {
        made(&server, &users, "alice", "/mine/", &cannot).expect(400);
    }
    made(&server, &users, "alice", "/mine/none", &json!({})).expect(404);
    made(&server, &users, "alice", "/mine/f/", &json!({})).expect(404);
}

/// It ends by itself, also for whoever has opened it.
#[test]
fn a_link_ends() {
    let users = UsersFile::make(RULES);
    let server = serve(&users);
    let (_, secret) = link(&server, &users, "alice", "/mine/", &json!({ "expires": "3s" }));
    let (_, lasting) = link(&server, &users, "alice", "/mine/", &json!({ "expires": "never" }));
    let cookie = visit(&server, "/mine/", &secret);
    server.get(format!("/mine/f?link={secret}")).expect(200);
    let remembered = || by_link(&server, "GET", "/mine/f", &secret, 1);
    remembered().expect(200);
    server.get("/mine/f").header("cookie", &cookie).expect(200);
    eventually(Duration::from_secs(10), "the link ends", || (remembered().send().status == 401).then_some(()));
    server.get(format!("/mine/f?link={secret}")).expect(401);
    server.get("/mine/f").header("cookie", &cookie).expect(401);
    server.get(format!("/mine/f?link={lasting}")).expect(200);
}

/// On the command line links are made for whoever runs the server or for a user, listed and revoked; a server that runs heeds it at once.
#[test]
fn links_are_made_on_the_command_line() {
    let users = UsersFile::make(RULES);
    let server = serve(&users);
    std::os::unix::fs::symlink("other", server.local("linked")).unwrap();
    let run = |words: &[&str], input: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_noclobber"));
        command.arg("link").args(words).arg("--folder").arg(server.folder()).arg("--state").arg(server.state());
        command.env("NOCLOBBER_USERS", users.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).start().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let said = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (said.status.success(), text(&said.stdout), text(&said.stderr))
    };
    let (_, told, _) = run(&["mine/secret"], "");
    let (path, secret) = told.trim().split_once("?link=").unwrap();
    assert_eq!(path, "/mine/secret/");
    server.get(format!("/mine/secret/s?link={secret}")).expect_body("mine/secret/s");
    server.get(format!("/mine/f?link={secret}")).expect(403);
    let (_, of_alice, _) =
        run(&["mine/", "--as", "alice", "--may", "write", "--url", "https://files.example.org/"], "");
    let secret_of_alice = of_alice.trim().split_once("?link=").unwrap().1.to_owned();
    assert!(of_alice.starts_with("https://files.example.org/mine/?link="), "{of_alice}");
    server.get(format!("/mine/f?link={secret_of_alice}")).expect_body("mine/f");
    server.get(format!("/mine/secret/s?link={secret_of_alice}")).expect(404);
    let (_, closed, _) = run(&["top", "--password", "--expires", "never", "--uses", "2"], "canary word\n");
    let closed = closed.trim().to_owned();
    server.get(&closed).expect(401);
    server.get(&closed).header("authorization", basic("x", "canary word")).expect_body("top");
    let (_, list, _) = run(&["list"], "");
    assert_eq!(list.lines().count(), 3, "{list}");
    assert!(list.contains("as alice") && list.contains("with a password") && list.contains("without end"), "{list}");
    assert!(!list.contains(secret), "{list}");
    let id = list.lines().next().unwrap().split(' ').next().unwrap();
    assert!(run(&["revoke", id], "").0);
    server.get(format!("/mine/secret/s?link={secret}")).expect(401);
    for (words, why) in [
        (&["revoke", "none"][..], "no such link"),
        (&["nothing-here"], "cannot be linked to"),
        (&["top", "--may", "drop"], "leads to a folder"),
        (&["top", "--as", "nobody-here"], "no user"),
        (&["mine", "--as", "bob"], "may not do that there"),
        (&["linked"], "no link can lead to"),
        (&["top", "--expires", "soon"], "a time is wanted"),
        (&["top", "--uses", "0"], "--uses"),
        (&["../outside"], "not a path inside the share"),
        (&[], "<PATH>"),
    ] {
        let (is_done, _, said) = run(words, "");
        assert!(!is_done && said.contains(why), "{words:?}: {said}");
    }
}

/// Where no server has kept its state no link is made, which would be good for nothing.
#[test]
fn a_link_takes_the_state_of_a_server() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f"), "x").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_noclobber"));
    command.args(["link", "f", "--folder"]).arg(folder.path()).env("XDG_STATE_HOME", folder.path().join("none"));
    let said = command.run().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.status.success() && text.contains("no server keeps its state"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A file of links that is broken, or that others can read, leaves the old ones in force and is told of.
#[test]
fn a_file_that_cannot_be_used_leaves_the_links_in_force() {
    let users = UsersFile::make(RULES);
    let server = serve(&users);
    let (_, secret) = link(&server, &users, "alice", "/mine/", &json!({}));
    let get = || server.get(format!("/mine/f?link={secret}"));
    get().expect(200);
    let file = server.state().join("links.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "{\"links\":[").unwrap();
    get().expect(200);
    server.wait_for_log("these are no links");
    made(&server, &users, "alice", "/mine/", &json!({})).expect(500);
    std::fs::write(&file, text.replace(&*text.split("\"id\": \"").nth(1).unwrap()[..8].to_owned(), "00000000"))
        .unwrap();
    get().expect(200);
    let open = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(&file, open(0o666)).unwrap();
    made(&server, &users, "alice", "/mine/", &json!({})).expect(500);
    get().expect(200);
    std::fs::set_permissions(&file, open(0o600)).unwrap();
    std::fs::remove_file(&file).unwrap();
    get().expect(401);
}

/// The user of a link who is removed is another one if somebody of that name is added later.
#[test]
fn another_user_of_the_name_does_not_have_the_link() {
    let users = UsersFile::make(RULES);
    let added = |date: &str| users.text().replace("[users.alice]\n", &format!("[users.alice]\nadded = {date}\n"));
    let text = added("2026-11-01T10:00:00Z");
    let other = added("2026-11-02T10:00:00Z");
    users.write(&text);
    let server = serve(&users);
    let (_, secret) = link(&server, &users, "alice", "/mine/", &json!({}));
    let cookie = visit(&server, "/mine/", &secret);
    let get = || server.get(format!("/mine/f?link={secret}"));
    get().expect(200);
    users.write(&other);
    get().expect(401);
    server.get("/mine/f").header("cookie", &cookie).expect(401);
    let told = signed(server.get("/?links"), "alice", Way::Token, &users).expect(200).json();
    assert_eq!(told["links"], json!([]));
    users.write(&text);
    get().expect(200);
}

/// A link is to a file or to a folder: of what comes there instead it gives nothing.
#[test]
fn a_link_to_a_file_is_none_to_a_folder_of_its_name() {
    let users = UsersFile::make(RULES);
    let server = serve_with(&users, &["--follow-symlinks"]);
    let (_, secret) = link(&server, &users, "alice", "/mine/f", &json!({ "may": "write" }));
    let ask = |method: &str, path: &str| server.request(method, format!("{path}?link={secret}"));
    ask("PUT", "/mine/f").body("again").expect(204);
    ask("DELETE", "/mine/f").expect(403);
    std::fs::remove_file(server.local("mine/f")).unwrap();
    ask("MKCOL", "/mine/f").expect(403);
    ask("PUT", "/mine/f").body("made").expect(403);
    server.write("mine/f/inside", "inside");
    ask("GET", "/mine/f/inside").expect_any(&[403, 404]);
    ask("PUT", "/mine/f/new").body("x").expect_any(&[403, 404]);
    ask("DELETE", "/mine/f/").expect_any(&[403, 404]);
    assert!(!ask("PROPFIND", "/mine/f/").header("depth", "1").send().text().contains("inside"));
    std::os::unix::fs::symlink("other", server.local("linked")).unwrap();
    made(&server, &users, "bob", "/linked/", &json!({})).expect(409);
    std::fs::create_dir_all(server.local("\u{202e}")).unwrap();
    made(&server, &users, "bob", "/%E2%80%AE/", &json!({})).expect(409);
}

/// Nobody loses by a link what they may do without it: whoever has opened one has what both give.
#[test]
fn whoever_opens_a_link_loses_nothing_by_it() {
    let users = UsersFile::make(
        "[[rules]]\npath = \"/\"\nwho = \"signed-in\"\nmay = \"write\"\n[[rules]]\npath = \"/\"\nwho = \"everybody\"\nmay = \"read\"\n\
         [[rules]]\npath = \"/inbox\"\nwho = \"user:carl\"\nmay = \"drop\"\n",
    );
    let server = serve(&users);
    let (_, drops) = link(&server, &users, "bob", "/inbox/", &json!({ "may": "drop" }));
    let (_, reads) = link(&server, &users, "bob", "/inbox/", &json!({}));
    let (drops, reads) = (visit(&server, "/inbox/", &drops), visit(&server, "/inbox/", &reads));
    server.get("/inbox/of-another").header("cookie", &drops).expect_body("inbox/of-another");
    server.put("/inbox/dropped").header("cookie", &drops).body("x").expect(201);
    for both in [format!("{drops}; {reads}"), format!("{reads}; {drops}")] {
        server.get("/inbox/of-another").header("cookie", &both).expect_body("inbox/of-another");
        server
            .put(format!("/inbox/{}", both.len() % 7 + usize::from(both.starts_with(&drops))))
            .header("cookie", &both)
            .body("x")
            .expect(201);
    }
    let form = json!({ "name": "carl", "password": crate::harness::users::password_of("carl") }).to_string();
    let session = server.post("/?sign-in").header("content-type", "application/json").body(form).expect(204);
    let session = session.field("set-cookie").split(';').next().unwrap().to_owned();
    server.get("/inbox/of-another").header("cookie", &session).expect(404);
    let all = format!("{session}; {reads}");
    server.get("/inbox/of-another").header("cookie", &all).expect_body("inbox/of-another");
    server.put("/inbox/by-carl").header("cookie", &all).body("x").expect(201);
    let (_, writes) = link(&server, &users, "bob", "/other/", &json!({ "may": "write" }));
    let both = format!(
        "{session}; {}; {}",
        visit(&server, "/other/", &writes),
        visit(&server, "/inbox/", &link(&server, &users, "bob", "/inbox/", &json!({ "may": "write" })).1)
    );
    // What takes two rights, of which each gives one.
    let onto = format!("http://{}/inbox/moved", server.address());
    server.request("MOVE", "/other/o").header("cookie", &both).header("destination", onto).expect(201);
    // By Basic, too, which a browser sends along with its cookies.
    let carl = crate::harness::users::password_of("carl");
    let by_basic = || server.get("/inbox/of-another").header("authorization", basic("carl", &carl));
    by_basic().expect(404);
    by_basic().header("cookie", &reads).expect_body("inbox/of-another");
    // Signing out, the browser forgets the links, too.
    let out = server.post("/?sign-out").header("cookie", &all).expect(303);
    let gone = out.headers.iter().filter(|(name, value)| name == "set-cookie" && value.contains("Max-Age=0"));
    assert!(gone.clone().count() == 2 && gone.clone().any(|(_, cookie)| cookie.contains("Path=/inbox;")), "{out}");
}

/// Whoever has signed in, and may read and replace, still may after opening a link by which one drops; and so may everybody who may.
#[test]
fn a_weaker_link_takes_nothing_away() {
    let users = UsersFile::make(
        "[[rules]]\npath = \"/\"\nwho = \"user:bob\"\nmay = \"write\"\n[[rules]]\npath = \"/inbox\"\nwho = \"everybody\"\n\
         may = [\"read\", \"overwrite\"]\n[[rules]]\npath = \"/inbox\"\nwho = \"user:bob\"\nmay = \"write\"\n",
    );
    let server = serve(&users);
    let (_, drops) = link(&server, &users, "bob", "/inbox/", &json!({ "may": "drop" }));
    let cookie = visit(&server, "/inbox/", &drops);
    let form = json!({ "name": "alice", "password": crate::harness::users::password_of("alice") }).to_string();
    let session = server.post("/?sign-in").header("content-type", "application/json").body(form).expect(204);
    let session = session.field("set-cookie").split(';').next().unwrap().to_owned();
    for cookies in [cookie.clone(), format!("{session}; {cookie}")] {
        let with = |request: Request| request.header("cookie", &cookies);
        with(server.put("/inbox/of-another")).body("replaced").expect(204);
        with(server.put("/inbox/of-another")).if_match("\"other\"").body("x").expect(412);
        with(server.put(format!("/inbox/new-{}", cookies.len()))).body("dropped").expect(201);
        with(server.get("/inbox/of-another")).expect_body("replaced");
        with(server.delete("/inbox/of-another")).expect_any(&[401, 403]);
    }
    let proxied = serve_with(&users, &["--trusted-proxy=127.0.0.1", "--user-header=remote-user"]);
    let by_proxy = |request: Request| request.header("remote-user", "alice").header("x-forwarded-proto", "https");
    by_proxy(proxied.put("/inbox/n")).body("x").expect(403);
    let made = signed(proxied.post("/inbox/?links"), "bob", Way::Proxy, &users).body("{\"may\":\"drop\"}").expect(201);
    let href = made.json()["href"].as_str().unwrap().to_owned();
    let secret = href.split_once("?link=").unwrap().1;
    canaries::note(secret);
    by_proxy(proxied.put(format!("/inbox/n?link={secret}"))).body("x").expect(201);
    by_proxy(proxied.put(format!("/inbox/f?link={}", "0".repeat(22)))).body("x").expect(401);
}

/// Each user has a bounded number of links, and nobody's keep another from having some.
#[test]
fn links_are_bounded_for_each_user() {
    let users = UsersFile::make(RULES);
    let server = serve(&users);
    signed(server.post("/other/?links"), "carl", Way::Token, &users).expect(201);
    let make = |who: &str| made(&server, &users, who, "/other/", &json!({ "expires": "never" })).status;
    let made: Vec<u16> = (0..101).map(|_| make("bob")).collect();
    assert_eq!(made.iter().filter(|status| **status == 201).count(), 100, "{made:?}");
    assert_eq!((made[100], make("alice")), (409, 201));
}

/// Who changed something by a link stands in the history.
#[test]
fn who_changed_something_by_a_link_is_noted() {
    let users = UsersFile::make(RULES);
    let server = serve(&users);
    let (id, secret) = link(&server, &users, "alice", "/mine/", &json!({ "may": "write" }));
    server.put(format!("/mine/f?link={secret}")).body("by the link").expect(204);
    let told = signed(server.get("/mine/f?versions"), "alice", Way::Token, &users).expect(200).json();
    let by = &told["versions"][0]["displaced_by"];
    assert!(by.to_string().contains(&id) && by.to_string().contains("link"), "{told}");
    server.wait_for_log(&id);
}

/// Root makes, lists and revokes links as whoever the state belongs to, so that a link that is put there leads root nowhere.
#[test]
fn root_writes_nowhere_else() {
    if !rustix::process::geteuid().is_root() {
        return crate::harness::left_out("root_writes_nowhere_else", "it takes root");
    }
    let users = UsersFile::make(RULES);
    let server = serve(&users);
    let (state, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(own.path().join("written"), state.path().join("links.json")).unwrap();
    for folder in [state.path(), state.path().parent().unwrap()] {
        assert!(folder.exists());
    }
    std::os::unix::fs::chown(state.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    for words in [&["revoke", "00000000"][..], &["top"], &["list"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_noclobber"));
        command.arg("link").args(words).arg("--folder").arg(server.folder()).arg("--state").arg(state.path());
        let _ = command.run().unwrap();
        assert_eq!(std::fs::read_dir(own.path()).unwrap().count(), 0, "{words:?}");
    }
}
