//! Properties over WebDAV (RFC 4918 §9.1, §9.2, §15, and the small RFCs beside it): what is asked, what is noted, and what stays of it.
//! The numbers in front of a story are those of the rules it holds the server to. Bodies of XML that are wrong are here too.

use crate::harness::client::tag_of;
use crate::harness::dav::{Element, NAMESPACES};
use crate::harness::{Answer, Server};

/// The properties of RFC 4918 that every file has here.
const OF_FILES: [&str; 8] = [
    "D:resourcetype",
    "D:displayname",
    "D:getcontentlength",
    "D:getcontenttype",
    "D:getetag",
    "D:getlastmodified",
    "D:supportedlock",
    "D:lockdiscovery",
];

/// What `allprop` must not bring, and `propname` has to name.
const BESIDES: [&str; 5] = [
    "D:quota-available-bytes",
    "D:quota-used-bytes",
    "D:supported-method-set",
    "D:current-user-privilege-set",
    "D:current-user-principal",
];

fn set(properties: &str) -> String {
    format!("<D:set><D:prop>{properties}</D:prop></D:set>")
}

fn remove(properties: &str) -> String {
    format!("<D:remove><D:prop>{properties}</D:prop></D:remove>")
}

fn propfind(server: &Server, target: &str, inside: &str) -> Answer {
    server.propfind(target, "0").xml(format!("<D:propfind {NAMESPACES}>{inside}</D:propfind>")).send()
}

/// A server with `/d`, `/d/a.txt` and `/d/e/b.txt`.
fn with_a_tree() -> Server {
    let server = Server::start();
    server.mkcol("/d").expect(201);
    server.mkcol("/d/e").expect(201);
    server.put("/d/a.txt").body("text").expect(201);
    server.put("/d/e/b.txt").body("deeper").expect(201);
    server
}

/// 8.1: what a client may rely on stands in OPTIONS, on files, folders, and names that are free.
#[test]
fn the_classes_are_promised_everywhere() {
    let server = with_a_tree();
    for target in ["/", "/d", "/d/a.txt", "/free.txt", "*"] {
        let answer = server.options(target).expect(200);
        let classes: Vec<&str> = answer.field("dav").split(',').map(str::trim).collect();
        for class in ["1", "2", "3", "extended-mkcol", "sabredav-partialupdate"] {
            assert!(classes.contains(&class), "{class} for {target}: {answer}");
        }
        assert!(!classes.contains(&"access-control"), "{answer}");
        assert_eq!(answer.field("ms-author-via"), "DAV");
        let allowed: Vec<&str> = answer.field("allow").split(',').map(str::trim).collect();
        assert!(allowed.contains(&"LOCK") && !allowed.contains(&"SEARCH"), "{answer}");
    }
}

/// 9.1.4, 8.3: each resource once, its URL in one form, collections with a slash, whichever way they were named.
#[test]
fn depth_says_how_far_a_propfind_reaches() {
    let server = with_a_tree();
    for target in ["/d", "/d/"] {
        let answer = server.propfind(target, "0").expect(207);
        assert_eq!(answer.multistatus().hrefs(), ["/d/"]);
        let content_location = answer.header("content-location");
        assert_eq!(content_location, if target == "/d" { Some("/d/") } else { None });
        let mut hrefs: Vec<String> = server
            .propfind(target, "1")
            .expect(207)
            .multistatus()
            .hrefs()
            .iter()
            .map(|href| (*href).to_owned())
            .collect();
        assert_eq!(hrefs.remove(0), "/d/", "the target comes first");
        hrefs.sort();
        assert_eq!(hrefs, ["/d/a.txt", "/d/e/"]);
    }
    assert_eq!(server.propfind("/d/a.txt", "1").expect(207).multistatus().hrefs(), ["/d/a.txt"]);
    assert_eq!(server.request("PROPFIND", "/d/a.txt").expect(207).multistatus().hrefs(), ["/d/a.txt"]);
    server.propfind("/d", "2").expect(400);
    server.propfind("/none", "0").expect(404);
    server.propfind("/d/a.txt/", "0").expect(404);
}

/// 9.1.5: everything below a folder is told, also where nobody said how deep, in one whole answer as long as it is of a decent length.
#[test]
fn everything_below_a_folder_is_told() {
    let server = with_a_tree();
    for request in
        [server.request("PROPFIND", "/d"), server.propfind("/d/", "infinity"), server.propfind("/d", "Infinity")]
    {
        let told = request.expect(207).multistatus();
        let mut hrefs = told.hrefs();
        hrefs.sort_unstable();
        assert_eq!(hrefs, ["/d/", "/d/a.txt", "/d/e/", "/d/e/b.txt"]);
    }
    server.request("PROPFIND", "/d/a.txt").expect(207);
}

/// Ten thousand members are told. That there are more, and what to do about it, stands at the end of the answer; an option lifts the bound.
#[test]
fn an_answer_that_is_cut_short_says_so() {
    let mut server = Server::start();
    for number in 0..10_000 {
        server.write(format!("d/{}/{number}.txt", number % 4), "");
    }
    // Exactly as many as are told: 4 folders with 2,499 files.
    for number in 9_996..10_000 {
        std::fs::remove_file(server.local(format!("d/{}/{number}.txt", number % 4))).unwrap();
    }
    let ask = |server: &Server| server.request("PROPFIND", "/d/").xml(NAMES_ONLY).expect(207);
    let whole = ask(&server);
    assert_eq!(whole.multistatus().hrefs().len(), 1 + 10_000);
    assert!(!whole.text().contains("HTTP/1.1 507"), "it is whole");
    server.write("d/one-more.txt", "");
    for _ in 0..2 {
        let cut = ask(&server);
        let text = cut.text();
        assert_eq!(text.matches("<D:propstat>").count(), 1 + 10_000);
        assert_eq!(text.matches("HTTP/1.1 507 ").count(), 1);
        let end = &text[text.len() - 1000..];
        assert!(end.contains("<D:number-of-matches-within-limits/>") && end.contains("Depth: 1"), "{end}");
    }
    // Another depth is not bounded.
    for number in 0..10_001 {
        server.write(format!("wide/{number}"), "");
    }
    assert_eq!(server.propfind("/wide/", "1").xml(NAMES_ONLY).expect(207).multistatus().hrefs().len(), 1 + 10_001);
    server.stop();
    server.start_again_with(Server::with("--propfind-infinity"));
    let answer = server.request("PROPFIND", "/").xml(NAMES_ONLY).expect(207);
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"), "it is streamed");
    assert_eq!(answer.multistatus().hrefs().len(), 1 + 1 + 10_001 + 1 + 10_001);
}

const NAMES_ONLY: &str = "<propfind xmlns=\"DAV:\"><prop><resourcetype/></prop></propfind>";

/// 9.1.2, 9.1.8: an empty body and `allprop` ask for the same, which is the RFC's properties and the dead ones, and nothing that costs.
#[test]
fn allprop_brings_what_the_rfc_says() {
    let server = with_a_tree();
    server.note("/d/a.txt", "<t:color>red</t:color>");
    let empty = server.propfind("/d/a.txt", "0").expect(207).multistatus();
    let asked = propfind(&server, "/d/a.txt", "<D:allprop/>").multistatus();
    assert_eq!(empty.only().names(200), asked.only().names(200));
    let told = asked.only();
    for name in OF_FILES.iter().chain(&["{urn:t}color"]) {
        told.found(name);
    }
    for name in BESIDES {
        assert_eq!(told.status_of(name), None, "{name}");
    }
    let more = propfind(&server, "/d/a.txt", "<D:allprop/><D:include><D:current-user-principal/><t:none/></D:include>");
    let more = more.multistatus();
    more.only().found("D:current-user-principal");
    more.only().found("D:getetag");
    assert_eq!(more.only().status_of("{urn:t}none"), Some(404));
}

/// 9.1.7, 14.1.2: `propname` names all there are, and no values.
#[test]
fn propname_brings_names_alone() {
    let server = with_a_tree();
    server.note("/d", "<t:color>red</t:color>");
    let told = propfind(&server, "/d", "<D:propname/>").multistatus();
    let told = told.only();
    for name in BESIDES.iter().chain(&["{urn:t}color", "D:resourcetype"]) {
        assert!(told.found(name).nodes.is_empty(), "{name} has a value");
    }
    assert_eq!(told.propstats.len(), 1);
}

/// 9.1.6: nothing that was asked for is passed over in silence.
#[test]
fn what_is_not_there_is_told() {
    let server = with_a_tree();
    let told = server.properties("/d/a.txt", "<D:getetag/><t:none/><none xmlns=\"\"/><D:quota-used-bytes/>");
    assert_eq!(told.value("D:getetag"), tag_of("text"));
    for name in ["{urn:t}none", "{}none", "D:quota-used-bytes"] {
        assert_eq!(told.status_of(name), Some(404), "{name}");
    }
    let nothing = server.ask("/d/a.txt", "0", "").expect(207).multistatus();
    assert_eq!(nothing.only().names(200).len(), 0);
}

/// 9.2.1: a property that is a header of GET is that header, and the others are what the table says.
#[test]
fn live_properties_are_what_get_says() {
    let server = with_a_tree();
    let get = server.get("/d/a.txt").expect(200);
    let told = server.propfind("/d/a.txt", "0").expect(207).multistatus();
    let told = told.only();
    for (name, header) in [
        ("D:getetag", "etag"),
        ("D:getlastmodified", "last-modified"),
        ("D:getcontenttype", "content-type"),
        ("D:getcontentlength", "content-length"),
    ] {
        assert_eq!(told.value(name), get.field(header), "{name}");
    }
    assert!(told.found("D:resourcetype").nodes.is_empty());
    assert!(told.found("D:lockdiscovery").nodes.is_empty());
    assert_eq!(told.value("D:displayname"), "a.txt");
    let locks = told.found("D:supportedlock");
    let scopes: Vec<_> = locks.elements().map(|entry| entry.at(&["D:lockscope"]).names().concat()).collect();
    assert_eq!(scopes, ["D:exclusive", "D:shared"]);
    assert!(locks.elements().all(|entry| entry.at(&["D:locktype"]).names() == ["D:write"]));
    let born = told.value("D:creationdate");
    assert!(born.ends_with('Z') && born.len() == 20, "{born}");

    let told = server.propfind("/d", "0").expect(207).multistatus();
    assert_eq!(told.only().found("D:resourcetype").names(), ["D:collection"]);
    assert_eq!(told.only().status_of("D:getcontentlength"), None);
    assert_eq!(told.only().status_of("D:getetag"), None);
}

/// 9.2.2, 9.4.4: one protected property fails the whole change, and the answer says which it was.
#[test]
fn protected_properties_stay_what_they_are() {
    let server = with_a_tree();
    for name in [
        "D:getetag",
        "D:getcontentlength",
        "D:getlastmodified",
        "D:creationdate",
        "D:resourcetype",
        "D:lockdiscovery",
        "D:supportedlock",
        "D:getcontenttype",
        "D:quota-used-bytes",
        "D:quota-available-bytes",
        "D:current-user-principal",
        "D:supported-method-set",
        "D:current-user-privilege-set",
    ] {
        for change in
            [set(&format!("<t:color>red</t:color><{name}>x</{name}>")), remove(&format!("<t:color/><{name}/>"))]
        {
            let told = server.proppatch("/d/a.txt", &change).expect(207).multistatus();
            let told = told.only();
            assert_eq!(told.status_of(name), Some(403), "{name}");
            assert_eq!(told.status_of("{urn:t}color"), Some(424), "{name}");
            let refused = told.propstats.iter().find(|propstat| propstat.status == 403).unwrap();
            assert_eq!(refused.error.as_ref().unwrap().names(), ["D:cannot-modify-protected-property"]);
            assert!(refused.properties.iter().all(|property| property.nodes.is_empty()), "names alone");
        }
    }
    assert_eq!(server.properties("/d/a.txt", "<t:color/>").status_of("{urn:t}color"), Some(404));
}

/// What the server notes for itself lies in a namespace where no client sets, removes or reads anything: it vouches for what it tells of it.
#[test]
fn nobody_forges_what_the_server_notes() {
    let server = with_a_tree();
    let tag = tag_of("text");
    let forged = format!("{tag} SHA1:0000000000000000000000000000000000000000");
    let of_checksums = |namespace: &str| format!("<n:checksums xmlns:n='{namespace}'>{forged}</n:checksums>");
    let name = |namespace: &str| format!("{{{namespace}}}checksums");
    for namespace in ["urn:noclobber:note", "urn:noclobber:", "urn:noclobber:other", "URN:NoClobber:note"] {
        for change in [set(&of_checksums(namespace)), remove(&of_checksums(namespace))] {
            for target in ["/d/a.txt", "/d", "/"] {
                let told = server.proppatch(target, &change).expect(207).multistatus();
                let refused = &told.only().propstats[0];
                assert_eq!((told.only().status_of(&name(namespace)), refused.status), (Some(403), 403), "{target}");
                assert_eq!(refused.error.as_ref().unwrap().names(), ["D:cannot-modify-protected-property"]);
            }
        }
        let body = format!("<D:mkcol {NAMESPACES}>{}</D:mkcol>", {
            set(&format!("<D:resourcetype><D:collection/></D:resourcetype>{}", of_checksums(namespace)))
        });
        server.request("MKCOL", "/new").xml(body).expect_any(&[403, 424]);
        server.get("/new").expect(404);
    }
    let told = server.ask("/d/a.txt", "0", "<oc:checksums/>").expect(207).text();
    assert!(
        !told.contains("SHA1:0000000000") && told.contains("SHA1:372ea08cab33e71c02c651dbc83a474d32c676ea"),
        "{told}"
    );
}

/// 9.4.2, 9.4.5: instructions are carried out in the order in which they stand.
#[test]
fn instructions_run_in_their_order() {
    let server = with_a_tree();
    for (instructions, value) in [
        (remove("<t:a/>") + &set("<t:a>1</t:a>"), Some("1")),
        (set("<t:a>2</t:a>") + &remove("<t:a/>"), None),
        (set("<t:a>3</t:a><t:a>4</t:a>"), Some("4")),
        (remove("<t:a/>"), None),
        (remove("<t:a/><t:never/>"), None),
        (set("<t:a/>"), Some("")),
    ] {
        let told = server.proppatch("/d", &instructions).expect(207).multistatus();
        assert!(told.only().propstats.iter().all(|propstat| propstat.status == 200), "{instructions}");
        assert!(told.only().propstats[0].properties.iter().all(|property| property.nodes.is_empty()), "names alone");
        let told = server.properties("/d", "<t:a/>");
        match value {
            Some(value) => assert_eq!(told.value("{urn:t}a"), value, "{instructions}"),
            None => assert_eq!(told.status_of("{urn:t}a"), Some(404), "{instructions}"),
        }
    }
}

/// 9.4.1, 9.4.3: to nothing nothing can be noted, and what is wrong with one instruction stops all of them.
#[test]
fn a_change_of_properties_is_made_whole_or_not_at_all() {
    let server = with_a_tree();
    server.proppatch("/none", &set("<t:a>1</t:a>")).expect(404);
    server.request("PROPPATCH", "/d/a.txt").expect(400);
    server.request("PROPPATCH", "/d/a.txt").body("").expect(400);
    server.proppatch("/d/a.txt/", &set("<t:a>1</t:a>")).expect(404);
    server.note("/d/a.txt", "<t:a>1</t:a>");
    let before = server.properties("/d/a.txt", "<D:getlastmodified/>").value("D:getlastmodified");
    let steps = remove("<t:a/>") + &set("<Z:Win32LastModifiedTime>no date</Z:Win32LastModifiedTime><t:b>2</t:b>");
    let told = server.proppatch("/d/a.txt", &steps).expect(207).multistatus();
    assert_eq!(told.only().status_of("{urn:schemas-microsoft-com:}Win32LastModifiedTime"), Some(409));
    assert_eq!(told.only().status_of("{urn:t}a"), Some(424));
    assert_eq!(told.only().status_of("{urn:t}b"), Some(424));
    let after = server.properties("/d/a.txt", "<t:a/><t:b/><D:getlastmodified/>");
    assert_eq!(after.value("{urn:t}a"), "1");
    assert_eq!(after.status_of("{urn:t}b"), Some(404));
    assert_eq!(after.value("D:getlastmodified"), before);
    // More than is kept of one resource: nothing of it is.
    let large = format!("<t:c>{}</t:c>", "x".repeat(200 << 10));
    server.note("/d/a.txt", &large);
    server
        .proppatch("/d/a.txt", &(remove("<t:a/>") + &set(&large.replace("t:c", "t:d"))))
        .expect(507)
        .dav_error("D:sufficient-disk-space");
    let after = server.properties("/d/a.txt", "<t:a/><t:d/>");
    assert_eq!((after.status_of("{urn:t}a"), after.status_of("{urn:t}d")), (Some(200), Some(404)));
}

/// A change whose condition is false, or that a lock stands in the way of, is no change.
#[test]
fn conditions_and_locks_hold_for_properties() {
    let server = with_a_tree();
    let patch = || server.proppatch("/d/a.txt", &set("<t:a>1</t:a>"));
    patch().if_match("\"stale\"").expect(412);
    patch().if_none_match("*").expect(412);
    patch().states("([\"stale\"])").expect(412);
    let token = server.locked("/d/a.txt", "0");
    patch().expect(423).dav_error("D:lock-token-submitted");
    server.proppatch("/d/a.txt", &set("<D:getetag>x</D:getetag>")).expect(423);
    assert_eq!(server.properties("/d/a.txt", "<t:a/>").status_of("{urn:t}a"), Some(404));
    patch().holding(&token).if_match(tag_of("text")).expect(207);
    assert_eq!(server.properties("/d/a.txt", "<t:a/>").value("{urn:t}a"), "1");
    assert_eq!(server.get("/d/a.txt").expect(200).tag(), tag_of("text"), "a property makes no other version");
}

/// Properties that many clients set at once are all kept, on a folder, a file, and the share itself.
#[test]
fn changes_at_once_lose_nothing() {
    let server = with_a_tree();
    for target in ["/", "/d", "/d/a.txt"] {
        std::thread::scope(|scope| {
            for client in 0..8 {
                let server = &server;
                scope.spawn(move || {
                    for round in 0..4 {
                        server.note(target, &format!("<t:p{client}-{round}>x</t:p{client}-{round}>"));
                    }
                });
            }
        });
        let told = server.propfind(target, "0").expect(207).multistatus();
        let kept = told.only().names(200).iter().filter(|name| name.starts_with("{urn:t}p")).count();
        assert_eq!(kept, 32, "{target}");
    }
}

/// 9.3.2 to 9.3.8: what comes back is what was sent: names, language, elements, attributes, text, in their order.
#[test]
fn dead_properties_come_back_as_they_were_sent() {
    let server = with_a_tree();
    let rows: &[(&str, &str)] = &[
        ("<t:a>plain</t:a>", "{urn:t}a"),
        ("<t:a></t:a>", "{urn:t}a"),
        ("<t:a> \n\t spaces \n </t:a>", "{urn:t}a"),
        ("<a xmlns=\"\">no namespace</a>", "{}a"),
        ("<a xmlns=\"\"><t:b/><c>d</c></a>", "{}a"),
        (
            "<x:a xmlns:x=\"urn:x\" x:b=\"1\" c=\"&lt;&quot;&amp;&#10;\"><x:d/>text<y xmlns=\"urn:y\">e</y>tail</x:a>",
            "{urn:x}a",
        ),
        (
            "<a xmlns=\"http://example.org/?a=1&amp;b=2\">&lt;escaped&gt; &amp; &#65536;\u{10000}\u{1f600}</a>",
            "{http://example.org/?a=1&b=2}a",
        ),
        ("<t:a><![CDATA[<not an element> & so on]]></t:a>", "{urn:t}a"),
        ("<t:a>one<!-- a comment --> two<?a b?></t:a>", "{urn:t}a"),
        ("<t:a><D:href>/d</D:href><D:unknown/></t:a>", "{urn:t}a"),
        ("<D:unknown>in DAV:</D:unknown>", "D:unknown"),
        ("<t:a xml:lang=\"de\">Farbe</t:a>", "{urn:t}a"),
        ("<t:\u{e4}\u{f6}>umlauts</t:\u{e4}\u{f6}>", "{urn:t}\u{e4}\u{f6}"),
        ("<prop0:a xmlns:prop0=\"urn:0\"><D:b xmlns:D=\"urn:other\"/></prop0:a>", "{urn:0}a"),
    ];
    for (sent, name) in rows {
        server.note("/d/a.txt", sent);
        let body = format!("<all {NAMESPACES}>{sent}</all>");
        let sent = Element::parse(&body).elements().next().unwrap().clone();
        let all = server.propfind("/d/a.txt", "0").expect(207).multistatus();
        assert_eq!(all.only().found(name), &sent, "{body}");
        let names = propfind(&server, "/d/a.txt", "<D:propname/>").multistatus();
        assert!(names.only().names(200).contains(name), "{body}");
    }
}

/// 9.3.4: a language that was said above the property is the property's.
#[test]
fn a_language_from_above_stays_with_the_property() {
    let server = with_a_tree();
    let body = format!(
        "<D:propertyupdate {NAMESPACES} xml:lang=\"en\"><D:set><D:prop xml:lang=\"fr\"><t:a>couleur</t:a></D:prop></D:set>\
         <D:set><D:prop><t:b>color</t:b><t:c xml:lang=\"\">x</t:c></D:prop></D:set></D:propertyupdate>"
    );
    server.request("PROPPATCH", "/d/a.txt").xml(body).expect(207);
    let told = server.properties("/d/a.txt", "<t:a/><t:b/><t:c/>");
    assert_eq!(told.found("{urn:t}a").attribute("xml:lang"), Some("fr"));
    assert_eq!(told.found("{urn:t}b").attribute("xml:lang"), Some("en"));
    assert!(matches!(told.found("{urn:t}c").attribute("xml:lang"), Some("") | None));
}

/// 9.3.3: a prefix that only the content of a property uses still means the same when it comes back.
#[test]
fn prefixes_inside_of_a_value_keep_their_meaning() {
    let server = with_a_tree();
    server.note("/d/a.txt", "<t:a xmlns:q=\"urn:q\">q:name</t:a>");
    let answer = server.ask("/d/a.txt", "0", "<t:a/>").expect(207);
    answer.multistatus();
    let text = answer.text();
    assert!(text.contains("=\"urn:q\"") && text.contains("xmlns:q"), "{text}");
}

/// 9.3.1, 9.3.9: notes outlive a restart and a PUT, go with a MOVE, are doubled by a COPY, and end with a DELETE.
#[test]
fn notes_stay_with_what_they_were_made_on() {
    let mut server = with_a_tree();
    server.note("/d/a.txt", "<t:a>1</t:a>");
    server.note("/d/e", "<t:a>2</t:a>");
    server.note("/d/e/b.txt", "<t:a>3</t:a>");
    server.stop();
    server.start_again();
    let value = |target: &str| {
        let told = server.properties(target, "<t:a/>");
        (told.status_of("{urn:t}a") == Some(200)).then(|| told.value("{urn:t}a"))
    };
    let some = |value: &str| Some(value.to_owned());
    assert_eq!((value("/d/a.txt"), value("/d/e"), value("/d/e/b.txt")), (some("1"), some("2"), some("3")));
    server.put("/d/a.txt").body("another").expect(204);
    assert_eq!(value("/d/a.txt"), some("1"), "a PUT keeps them");

    server.copying("/d/a.txt", "/copy.txt").expect(201);
    assert_eq!((value("/d/a.txt"), value("/copy.txt")), (some("1"), some("1")));
    server.put("/over.txt").body("x").expect(201);
    server.note("/over.txt", "<t:a>old</t:a>");
    server.put("/bare.txt").body("x").expect(201);
    server.copying("/bare.txt", "/over.txt").expect(204);
    assert_eq!(value("/over.txt"), None, "9.3.10: those of what was replaced are gone");
    server.note("/over.txt", "<t:a>old</t:a>");
    server.moving("/copy.txt", "/over.txt").expect(204);
    assert_eq!(value("/over.txt"), some("1"));
    server.put("/copy.txt").body("x").expect(201);
    assert_eq!(value("/copy.txt"), None, "moved away");

    server.moving("/d/e", "/d/f").expect(201);
    assert_eq!((value("/d/f"), value("/d/f/b.txt")), (some("2"), some("3")));
    server.mkcol("/d/e").expect(201);
    server.put("/d/e/b.txt").body("x").expect(201);
    assert_eq!((value("/d/e"), value("/d/e/b.txt")), (None, None));

    server.delete("/d/f").expect(204);
    server.mkcol("/d/f").expect(201);
    server.put("/d/f/b.txt").body("x").expect(201);
    assert_eq!((value("/d/f"), value("/d/f/b.txt")), (None, None), "nothing is raised from the dead");
    server.delete("/over.txt").expect(204);
    server.lock("/over.txt", "exclusive", "0").expect(201);
    assert_eq!(value("/over.txt"), None);
}

/// 9.3.9, 9.3.10: a folder is copied with all that is noted on it and below it.
#[test]
fn notes_are_copied_with_a_folder() {
    let server = with_a_tree();
    server.note("/d", "<t:a>1</t:a>");
    server.note("/d/e/b.txt", "<t:a>2</t:a>");
    server.mkcol("/to").expect(201);
    server.put("/to/old.txt").body("x").expect(201);
    server.note("/to", "<t:b>old</t:b>");
    server.copying("/d", "/to").expect(204);
    let told = server.properties("/to", "<t:a/><t:b/>");
    assert_eq!((told.value("{urn:t}a"), told.status_of("{urn:t}b")), ("1".to_owned(), Some(404)));
    assert_eq!(server.properties("/to/e/b.txt", "<t:a/>").value("{urn:t}a"), "2");
    assert_eq!(server.properties("/d/e/b.txt", "<t:a/>").value("{urn:t}a"), "2");
}

/// 9.2, `displayname`: it is the name, until somebody notes another, which goes where the file goes.
#[test]
fn a_name_to_be_shown_can_be_given() {
    let server = with_a_tree();
    server.note("/d/a.txt", "<D:displayname>A letter</D:displayname>");
    assert_eq!(server.properties("/d/a.txt", "<D:displayname/>").value("D:displayname"), "A letter");
    server.moving("/d/a.txt", "/b.txt").expect(201);
    assert_eq!(server.propfind("/b.txt", "0").expect(207).multistatus().only().value("D:displayname"), "A letter");
    server.proppatch("/b.txt", &remove("<D:displayname/>")).expect(207);
    assert_eq!(server.properties("/b.txt", "<D:displayname/>").value("D:displayname"), "b.txt");
}

/// 14.1.1, RFC 4331: how much room there is, on folders alone; nobody can set it.
#[test]
fn quotas_are_what_the_disk_has() {
    let server = with_a_tree();
    let told = server.properties("/d", "<D:quota-available-bytes/><D:quota-used-bytes/>");
    let number = |name: &str| told.value(name).parse::<u64>().unwrap();
    assert!(number("D:quota-available-bytes") > 0 && number("D:quota-used-bytes") > 0);
}

/// 14: who is asked, what he may do, and which methods there are.
#[test]
fn clients_learn_who_they_are_and_what_they_may_do() {
    let server = with_a_tree();
    let names = "<D:current-user-principal/><D:current-user-privilege-set/><D:supported-method-set/>";
    let told = server.properties("/d/a.txt", names);
    assert_eq!(told.found("D:current-user-principal").names(), ["D:unauthenticated"]);
    let privileges: Vec<_> =
        told.found("D:current-user-privilege-set").elements().map(|one| one.names().concat()).collect();
    for privilege in [
        "read",
        "write",
        "bind",
        "unbind",
        "write-properties",
        "write-content",
        "unlock",
        "read-current-user-privilege-set",
    ] {
        assert!(privileges.contains(&format!("D:{privilege}")), "{privilege} in {privileges:?}");
    }
    for target in ["/d/a.txt", "/d"] {
        let told = server.properties(target, "<D:supported-method-set/>");
        let methods: Vec<_> =
            told.found("D:supported-method-set").elements().filter_map(|method| method.attribute("{}name")).collect();
        assert_eq!(methods.join(", "), server.options(target).expect(200).field("allow"), "{target}");
    }
}

/// Windows sets four properties after every upload, the date among them; refusing one would break every copy.
#[test]
fn windows_sets_dates_and_attributes() {
    let server = with_a_tree();
    let tag = server.get("/d/a.txt").expect(200).tag();
    server.note(
        "/d/a.txt",
        "<Z:Win32CreationTime>Sun, 06 Nov 1994 08:49:37 GMT</Z:Win32CreationTime>\
         <Z:Win32LastAccessTime>Sun, 06 Nov 1994 08:49:37 GMT</Z:Win32LastAccessTime>\
         <Z:Win32LastModifiedTime>Sun, 06 Nov 1994 08:49:37 GMT</Z:Win32LastModifiedTime>\
         <Z:Win32FileAttributes>00000020</Z:Win32FileAttributes>",
    );
    let names =
        "<D:getlastmodified/><Z:Win32LastModifiedTime/><Z:Win32FileAttributes/><Z:Win32CreationTime/><D:lastmodified/>";
    let told = server.properties("/d/a.txt", names);
    assert_eq!(told.value("D:getlastmodified"), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(told.value("{urn:schemas-microsoft-com:}Win32LastModifiedTime"), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(told.value("{urn:schemas-microsoft-com:}Win32FileAttributes"), "00000020");
    assert_eq!(told.value("{urn:schemas-microsoft-com:}Win32CreationTime"), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(told.value("D:lastmodified"), "784111777");
    let get = server.get("/d/a.txt").expect(200);
    assert_eq!((get.tag(), get.field("last-modified")), (tag, "Sun, 06 Nov 1994 08:49:37 GMT"));
}

/// davfs2 marks programs, and KDE sets dates, by properties.
#[test]
fn modes_and_dates_are_set_by_properties() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = with_a_tree();
    let is_executable = || server.local("d/a.txt").metadata().unwrap().permissions().mode() & 0o111 != 0;
    let executable =
        || server.properties("/d/a.txt", "<A:executable/>").value("{http://apache.org/dav/props/}executable");
    assert_eq!((executable(), is_executable()), ("F".to_owned(), false));
    server.note("/d/a.txt", "<A:executable>T</A:executable>");
    assert_eq!((executable(), is_executable()), ("T".to_owned(), true));
    server.note("/d/a.txt", "<A:executable>F</A:executable><D:lastmodified>784111777</D:lastmodified>");
    assert_eq!((executable(), is_executable()), ("F".to_owned(), false));
    assert_eq!(server.get("/d/a.txt").expect(200).field("last-modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
    for wrong in [
        "<A:executable>yes</A:executable>",
        "<D:lastmodified>soon</D:lastmodified>",
        "<D:lastmodified>1 January 1970</D:lastmodified>",
    ] {
        let told = server.proppatch("/d/a.txt", &set(wrong)).expect(207).multistatus();
        assert_eq!(told.only().propstats[0].status, 409, "{wrong}");
    }
    assert_eq!(
        server.properties("/d", "<A:executable/>").status_of("{http://apache.org/dav/props/}executable"),
        Some(404)
    );
}

/// ownCloud's clients ask for checksums, and compare either of two: who has sent one is told both, for as long as it is that version, in a
/// PROPFIND and with a GET.
#[test]
fn checksums_are_told_of_the_version_they_came_with() {
    let mut server = Server::start();
    let of_hello = "SHA1:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d MD5:5d41402abc4b2a76b9719d911017c592";
    let (sha1, md5) = of_hello.split_once(' ').unwrap();
    server
        .put("/a.txt")
        .header("OC-Checksum", "SHA1:0000000000000000000000000000000000000000")
        .body("hello")
        .expect(400);
    for sent in [sha1, md5, of_hello] {
        server.put("/a.txt").header("OC-Checksum", sent).body("hello").expect_any(&[201, 204]);
        assert_eq!(checksums(&server, "/a.txt").as_deref(), Some(of_hello), "{sent}");
        for _ in 0..2 {
            assert_eq!(server.get("/a.txt").expect(200).field("oc-checksum"), of_hello);
        }
        server.stop();
        server.start_again();
        assert_eq!(checksums(&server, "/a.txt").as_deref(), Some(of_hello), "over a restart");
        assert_eq!(server.request("HEAD", "/a.txt").expect(200).field("oc-checksum"), of_hello);
    }
    let all = server.propfind("/a.txt", "0").expect(207).text();
    assert!(!all.contains("urn:noclobber"), "what is noted for ourselves is told nobody: {all}");
    server.note("/a.txt", "<t:a>1</t:a>");
    assert_eq!(checksums(&server, "/a.txt").as_deref(), Some(of_hello));
    server.put("/a.txt").body("changed").expect(204);
    assert!(server.get("/a.txt").expect(200).header("oc-checksum").is_none(), "they were those of another version");
    assert_ne!(checksums(&server, "/a.txt").as_deref(), Some(of_hello));
    assert_eq!(server.properties("/a.txt", "<t:a/>").value("{urn:t}a"), "1");
    let large = "x".repeat(1_000_000);
    server.put("/large").header("OC-Checksum", "MD5:bc1e9d8cd1e1f6c5d7ba1ee0e2d4e1f9").body(&large).expect(400);
    server.copying("/a.txt", "/b.txt").expect(201);
    assert_eq!(checksums(&server, "/b.txt"), checksums(&server, "/a.txt"));
}

/// What came without any checksum is read for whoever asks, once, if it is small; also what a local program wrote, and what it writes then.
#[test]
fn checksums_are_worked_out_for_who_asks() {
    let server = Server::start();
    server.write("d/a.txt", "hello");
    server.put("/d/b.txt").body("hello").expect(201);
    let of_hello = "SHA1:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d MD5:5d41402abc4b2a76b9719d911017c592";
    let paths = ["/d/a.txt", "/d/b.txt"];
    for path in paths {
        assert!(server.get(path).expect(200).header("oc-checksum").is_none(), "nobody has asked yet");
    }
    for path in paths {
        let told = || checksums(&server, path);
        crate::harness::eventually(std::time::Duration::from_secs(10), "a tag that stays", told);
        assert_eq!(told().as_deref(), Some(of_hello));
        assert_eq!(server.get(format!("{path}?download")).expect(200).field("oc-checksum"), of_hello);
    }
    let body = format!("<D:propfind {NAMESPACES}><D:prop><oc:checksums/></D:prop></D:propfind>");
    let all = server.propfind("/d/", "1").xml(body).expect(207).text();
    assert_eq!(all.matches(of_hello).count(), 2, "{all}");
    assert!(!server.propfind("/d/", "1").expect(207).text().contains("checksum"), "nobody has asked");
    server.write("d/a.txt", "hullo");
    assert_ne!(checksums(&server, "/d/a.txt").as_deref(), Some(of_hello));
    std::fs::File::create(server.local("d/large")).unwrap().set_len(100 << 20).unwrap();
    assert_eq!(checksums(&server, "/d/large"), None, "it is too large to be read for a listing");
}

/// What is worked out for whoever compares takes no room from what people note, and stands in nobody's way.
#[test]
fn checksums_take_no_room_from_properties() {
    let server = Server::with("--properties-bytes-max=1000").start();
    for number in 0..50 {
        server.write(format!("d/{number}.txt"), "text");
    }
    let body = format!("<D:propfind {NAMESPACES}><D:prop><oc:checksums/></D:prop></D:propfind>");
    crate::harness::eventually(std::time::Duration::from_secs(10), "tags that stay", || {
        let told = server.propfind("/d/", "1").xml(&body).expect(207).text();
        (told.matches("SHA1:").count() == 50).then_some(())
    });
    let value = "x".repeat(300);
    server.note("/d/1.txt", &format!("<t:a>{value}</t:a>"));
    server.copying("/d/1.txt", "/d/2.txt").expect(204);
    assert_eq!(server.properties("/d/2.txt", "<t:a/>").value("{urn:t}a"), value);
}

#[track_caller]
fn checksums(server: &Server, path: &str) -> Option<String> {
    let told = server.properties(path, "<oc:checksums/>");
    let name = "{http://owncloud.org/ns}checksums";
    (told.status_of(name) == Some(200)).then(|| told.found(name).at(&["{http://owncloud.org/ns}checksum"]).text())
}

/// 14.1.7, 14.1.8: who asks for less gets less; in a failure everything is said.
#[test]
fn minimal_answers_leave_out_what_is_missing() {
    let server = with_a_tree();
    for (name, value) in [("Prefer", "return=minimal"), ("Brief", "t"), ("Prefer", "foo, return=minimal; x=y")] {
        let answer = server.ask("/d/a.txt", "0", "<D:getetag/><t:none/>").header(name, value).expect(207);
        let told = answer.multistatus();
        assert_eq!(
            (told.only().status_of("D:getetag"), told.only().status_of("{urn:t}none")),
            (Some(200), None),
            "{name}"
        );
        assert_eq!(answer.field("preference-applied"), "return=minimal");
        assert!(answer.field("vary").contains("Prefer"), "{answer}");
        let nothing = server.ask("/d/a.txt", "0", "<t:none/>").header(name, value).expect(207).multistatus();
        assert_eq!(nothing.only().names(200).len(), 0, "an empty prop stays");
        server.proppatch("/d/a.txt", &set("<t:a>1</t:a>")).header(name, value).expect_any(&[200, 204]);
        let told = server
            .proppatch("/d/a.txt", &set("<D:getetag>x</D:getetag>"))
            .header(name, value)
            .expect(207)
            .multistatus();
        assert_eq!(told.only().status_of("D:getetag"), Some(403));
    }
}

/// 14.1.10: the members without the folder, in three spellings.
#[test]
fn the_root_can_be_left_out() {
    let server = with_a_tree();
    let hrefs = |answer: Answer| {
        let mut hrefs: Vec<_> = answer.multistatus().hrefs().iter().map(|href| (*href).to_owned()).collect();
        hrefs.sort();
        hrefs
    };
    let members = ["/d/a.txt", "/d/e/"];
    assert_eq!(hrefs(server.propfind("/d", "1").header("Prefer", "depth-noroot").expect(207)), members);
    assert_eq!(hrefs(server.propfind("/d", "1,noroot").expect(207)), members);
    assert_eq!(hrefs(server.propfind("/d", "1").header("Prefer", "return=minimal, depth-noroot").expect(207)), members);
    assert_eq!(hrefs(server.propfind("/d", "0").header("Prefer", "depth-noroot").expect(207)), ["/d/"]);
}

/// Links that are followed may lead in a circle, and in more than one.
#[test]
fn everything_below_a_folder_has_an_end_where_links_go_in_circles() {
    let server = Server::with("--follow-symlinks").option("--propfind-infinity").start();
    server.mkcol("/d").expect(201);
    server.put("/d/a.txt").body("a").expect(201);
    for (name, target) in [("here", "."), ("up", ".."), ("again", ".."), ("other", "../d")] {
        std::os::unix::fs::symlink(target, server.local("d").join(name)).unwrap();
    }
    let told = server.propfind("/", "infinity").expect(207).multistatus();
    let told = told.hrefs();
    assert!(told.contains(&"/d/a.txt") && told.contains(&"/d/other/"), "{told:?}");
    assert!(told.len() < 60, "{} resources, of which there are three", told.len());
}

/// 14.1.13, RFC 5689: a folder that begins with properties, or does not begin at all.
#[test]
fn a_folder_can_begin_with_properties() {
    let server = Server::start();
    let mkcol = |target: &str, properties: &str| {
        let body = format!("<D:mkcol {NAMESPACES}>{}</D:mkcol>", set(properties));
        server.mkcol(target).xml(body).send()
    };
    let collection = "<D:resourcetype><D:collection/></D:resourcetype>";
    mkcol("/a", &format!("{collection}<D:displayname>Letters</D:displayname><t:a>1</t:a>")).expect(201);
    let told = server.properties("/a", "<D:displayname/><t:a/>");
    assert_eq!((told.value("D:displayname"), told.value("{urn:t}a")), ("Letters".to_owned(), "1".to_owned()));

    let refused = mkcol("/b", "<D:resourcetype><D:collection/><t:calendar/></D:resourcetype><t:a>1</t:a>").expect(403);
    let root = refused.xml();
    assert_eq!(root.name, "D:mkcol-response", "{refused}");
    assert!(refused.text().contains("valid-resourcetype"), "{refused}");
    let statuses: Vec<_> = root.elements().map(|propstat| propstat.at(&["D:status"]).text()).collect();
    assert!(statuses.iter().any(|status| status.contains("424")), "{refused}");
    let refused = mkcol("/b", &format!("{collection}<D:getetag>x</D:getetag>")).expect(403);
    assert!(refused.text().contains("cannot-modify-protected-property"), "{refused}");
    assert!(!server.local("b").exists());
    mkcol("/a", collection).expect(405);
    let body = format!("<D:mkcol {NAMESPACES}>{}</D:mkcol>", set(&format!("{collection}<t:a>1</t:a>")));
    server.mkcol("/only-new").if_none_match("*").xml(&body).expect(201);
    assert_eq!(server.properties("/only-new", "<t:a/>").value("{urn:t}a"), "1");
    mkcol("/none/b", collection).expect(409);
    // More than there is room for: nothing is made.
    let large = "x".repeat(200 << 10);
    mkcol("/b", &format!("{collection}<t:a>{large}</t:a><t:b>{large}</t:b>")).expect(507);
    assert!(!server.local("b").exists());
    server.mkcol("/b").expect(201);
    assert_eq!(server.properties("/b", "<t:a/>").status_of("{urn:t}a"), Some(404));
    std::fs::remove_dir(server.local("b")).unwrap();
    server.mkcol("/b").xml(format!("<D:propertyupdate {NAMESPACES}/>")).expect(415);
    server.mkcol("/b").xml("<D:mkcol").expect(400);
    assert!(!server.local("b").exists());
}

/// 8.2: bodies that are wrong, and why: not well-formed, in the wrong namespace, of the wrong type, or asking for what cannot be.
#[test]
fn xml_that_is_wrong_is_told_apart() {
    let server = with_a_tree();
    let dav = "xmlns:D=\"DAV:\"";
    let rows: &[(&str, u16)] = &[
        ("<D:propfind", 400),
        ("<D:propfind xmlns:D=\"DAV:\"><D:allprop/>", 400),
        ("<D:propfind><D:allprop/></D:propfind>", 400),
        ("<D:propfind xmlns:D=\"\"><D:allprop/></D:propfind>", 400),
        ("<D:propfind xmlns:D=\"DAV:\" a=\"1\" a=\"2\"><D:allprop/></D:propfind>", 400),
        ("<D:propfind xmlns:D=\"DAV:\" xmlns:E=\"DAV:\" D:a=\"1\" E:a=\"2\"><D:allprop/></D:propfind>", 400),
        ("<D:propfind xmlns:D=\"DAV:\" xmlns:xml=\"urn:x\"><D:allprop/></D:propfind>", 400),
        ("<D:propfind xmlns:D=\"DAV:\" xmlns:xmlns=\"urn:x\"><D:allprop/></D:propfind>", 400),
        ("<D:propfind xmlns:D=\"DAV:\"><D:allprop/></D:propfind><D:more xmlns:D=\"DAV:\"/>", 400),
        ("<D:propfind xmlns:D=\"DAV:\"><D:allprop/><D:propname/></D:propfind>", 400),
        ("<D:propfind xmlns:D=\"DAV:\"><D:prop/><D:allprop/></D:propfind>", 400),
        ("<D:propfind xmlns:D=\"DAV:\"/>", 400),
        ("<D:propfind xmlns:D=\"DAV:\"><x/></D:propfind>", 400),
        ("<D:propfind xmlns:D=\"urn:other\"><D:allprop/></D:propfind>", 400),
        ("<propfind><allprop/></propfind>", 400),
        ("<D:prop xmlns:D=\"DAV:\"/>", 400),
        ("<D:propfind xmlns:D=\"DAV:\"><D:prop><D:getetag>&none;</D:getetag></D:prop></D:propfind>", 400),
        ("<!DOCTYPE a [<!ENTITY b \"c\">]><D:propfind xmlns:D=\"DAV:\"><D:allprop/></D:propfind>", 403),
        ("<!DOCTYPE a SYSTEM \"http://127.0.0.1:1/a.dtd\"><D:propfind xmlns:D=\"DAV:\"><D:allprop/></D:propfind>", 403),
        ("<D:propfind xmlns:D=\"DAV:\">\u{1}<D:allprop/></D:propfind>", 400),
        ("not XML at all", 400),
        (
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- a --><D:propfind xmlns:D=\"DAV:\"><?pi b?><D:allprop/></D:propfind>\n",
            207,
        ),
        ("<propfind xmlns=\"DAV:\"><allprop/></propfind>", 207),
        ("<other:propfind xmlns:other=\"DAV:\"><other:allprop/><x/></other:propfind>", 207),
        ("<D:propfind xmlns:D=\"DAV:\" future=\"1\"><new><D:propname/></new><D:allprop/></D:propfind>", 207),
    ];
    for (body, status) in rows {
        let answer = server.propfind("/d/a.txt", "0").xml(body).send();
        assert_eq!(answer.status, *status, "{body}: {answer}");
        if *status == 403 {
            answer.dav_error("D:no-external-entities");
        }
    }
    let good = format!("<D:propfind {dav}><D:allprop/></D:propfind>");
    let bare = || server.propfind("/d/a.txt", "0");
    bare().body(&good).expect(207);
    bare().header("Content-Type", "text/xml").body(&good).expect(207);
    bare().header("Content-Type", "application/xml;charset=\"utf-8\"").body(&good).expect(207);
    // Libraries send XML under other types; what it is, the parser says.
    bare().header("Content-Type", "text/plain").body(&good).expect(207);
    bare().header("Content-Type", "application/json").body("{}").expect(400);
    bare().xml(b"\xff\xfe").expect(400);
    bare().xml(b"<D:propfind xmlns:D=\"DAV:\"><D:\xff/></D:propfind>").expect(400);
    for little in [true, false] {
        let units = std::iter::once(0xfeff)
            .chain("<?xml version=\"1.0\" encoding=\"utf-16\"?>".encode_utf16())
            .chain(good.encode_utf16());
        let bytes: Vec<u8> =
            units.flat_map(|unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect();
        bare().header("Content-Type", "application/xml; charset=utf-16").body(bytes).expect(207);
    }
    // Two byte order marks, and characters of several bytes behind them: it was read from the middle of a character once.
    for body in [format!("\u{feff}\u{feff}{good}"), "\u{feff}\u{feff}\u{aab0}\u{b001}".to_owned()] {
        bare().xml(&body).expect(400);
        let bytes: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
        bare().xml(bytes).expect(400);
    }
    bare().xml(format!("\u{feff}{good}")).expect(207);
    // A change of nothing is done; properties without a word on what to do with them are a mistake.
    for (instructions, status) in [("", 207), ("<D:set/>", 400), ("<x/>", 207), ("<D:set><D:prop/></D:set>", 207)] {
        let answer = server.proppatch("/d/a.txt", instructions).send();
        assert_eq!(answer.status, status, "{instructions}: {answer}");
    }
    server.request("PROPPATCH", "/d/a.txt").expect(400);
    server.request("PROPPATCH", "/d/a.txt").xml(&good).expect(400);
}

/// 8.3.2, 8.3.6: names that need it are escaped in URLs and in XML, and each is told of once, however it was asked for.
#[test]
fn names_of_all_kinds_come_back_as_urls() {
    let server = Server::start();
    let composed = "caf\u{e9}.txt";
    let decomposed = "cafe\u{301}.txt";
    for name in ["a b.txt", "100%.txt", "a&b<c>.txt", "q?#.txt", "'\"+;.txt", composed, "\u{1f600}.txt"] {
        server.write(format!("d/{name}"), "text");
    }
    let told = server.propfind("/d", "1").expect(207).multistatus();
    assert_eq!(told.0.len(), 8);
    for response in &told.0 {
        let again = server.propfind(&response.href, "0").expect(207).multistatus();
        assert_eq!(again.hrefs(), [&*response.href], "an href can be asked for as it is");
        assert!(response.href.is_ascii());
    }
    let url = |name: &str| format!("/d/{}", crate::harness::client::percent_encode(name.as_bytes()));
    let told = server.ask(url(decomposed), "0", "<D:getetag/>").expect(207).multistatus();
    assert_eq!(told.only().value("D:getetag"), server.get(url(composed)).expect(200).tag());
    server.note(&url(decomposed), "<t:a>1</t:a>");
    assert_eq!(server.properties(&url(composed), "<t:a/>").value("{urn:t}a"), "1", "one file, one set of properties");
    let token = server.locked(&url(decomposed), "0");
    server.put(url(composed)).body("x").expect(423);
    server.put(url(composed)).holding(&token).body("x").expect(204);
    assert_eq!(server.names("d").len(), 7);
}

/// 9.1: a PROPFIND that demands a state is held to it.
#[test]
fn a_propfind_can_have_conditions() {
    let server = with_a_tree();
    server.propfind("/d/a.txt", "0").if_match(tag_of("text")).expect(207);
    server.propfind("/d/a.txt", "0").if_match("\"stale\"").expect(412);
    server.propfind("/d/a.txt", "0").states(format!("([{}])", tag_of("text"))).expect(207);
    server.propfind("/d/a.txt", "0").states("([\"stale\"])").expect(412);
    server.propfind("/d/a.txt", "0").states("(").expect(400);
}

/// What was noted on a file belongs to it: it goes into the history with it, waits there, and comes back with it.
#[test]
fn what_was_noted_comes_back_with_what_was_deleted() {
    let mut server = Server::start();
    let noted = |server: &Server, target: &str| {
        let answer = server.ask(target, "0", "<a xmlns='urn:t'/>").expect(207).multistatus();
        let only = answer.only();
        (only.status_of("{urn:t}a") == Some(200)).then(|| only.value("{urn:t}a"))
    };
    for path in ["file", "plain", "tree/deep/member", "over"] {
        server.write(path, path);
    }
    for (target, note) in [("/file", "of the file"), ("/tree/", "of the tree"), ("/tree/deep/member", "of the member")]
    {
        server.note(target, &format!("<a xmlns='urn:t'>{note}</a>"));
    }
    let id = |answer: &Answer| answer.field("noclobber-displaced").to_owned();
    let file = id(&server.delete("/file").expect(204));
    let tree = id(&server.delete("/tree/").expect(204));
    // Another one of the name has no notes, and leaves none.
    server.put("/file").body("another").expect(201);
    assert_eq!(noted(&server, "/file"), None);
    server.note("/file", "<a xmlns='urn:t'>of another</a>");
    server.stop();
    server.start_again();
    let another = id(&server.post(format!("/file?restore={file}")).expect(204));
    assert_eq!(noted(&server, "/file").as_deref(), Some("of the file"));
    server.post(format!("/tree?restore={tree}")).expect(201);
    assert_eq!(noted(&server, "/tree/").as_deref(), Some("of the tree"));
    assert_eq!(noted(&server, "/tree/deep/member").as_deref(), Some("of the member"));
    // What a restore, a move or a copy displaces keeps its notes in the same way, and a file can come back twice.
    server.post(format!("/file?restore={another}")).expect(204);
    assert_eq!(noted(&server, "/file").as_deref(), Some("of another"));
    for method in ["COPY", "MOVE"] {
        let over = id(&server.request(method, "/over").header("Destination", "/file").expect(204));
        assert_eq!(noted(&server, "/file"), None, "{method}");
        server.delete("/file").expect(204);
        server.post(format!("/file?restore={over}")).expect(201);
        assert_eq!(noted(&server, "/file").as_deref(), Some("of another"), "{method}");
    }
    // A copy of a version is one with its notes.
    server.request("COPY", format!("/file?version={file}")).header("Destination", "/plain").expect(204);
    assert_eq!(noted(&server, "/plain").as_deref(), Some("of the file"));
    // What a PUT replaces leaves its notes to what replaces it, and so does what a restore of it replaces.
    let before = id(&server.put("/plain").body("newer").expect(204));
    server.note("/plain", "<a xmlns='urn:t'>later</a>");
    server.post(format!("/plain?restore={before}")).expect(204);
    assert_eq!(noted(&server, "/plain").as_deref(), Some("later"));
}

/// What is noted on a copy, on a file that came back or on one that was just made is not taken away again by what follows the copy: whoever sees
/// it may note something on it.
#[test]
fn what_is_noted_as_soon_as_a_copy_is_there_stays() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use noclobber::model::extent::Extent;
    use noclobber::model::precondition::Precondition;
    use noclobber::model::property::{DeadProperty, PropertyName};
    use noclobber::share::{CopyLimit, PropertyUpdate, Relocation, RequestContext, Share, ShareSettings};
    use noclobber::store::abilities::Tier;
    use noclobber::store::catalog::index::Index;
    use noclobber::store::local::commit::Tree;

    use crate::harness::sim_disk::{Features, SimDisk};
    use crate::harness::stories::share_path;

    let note = |name: &str| {
        let xml = format!("<{name} xmlns=\"urn:t\">x</{name}>");
        PropertyUpdate::Note(DeadProperty::new(PropertyName::new("urn:t", name), xml))
    };
    let nothing = Precondition::default();
    for round in 0..200 {
        let disk = SimDisk::new(Features::of(Tier::A));
        disk.place("a", "a");
        let share =
            Share::open(Tree::on(Arc::new(disk.clone())), Index::in_memory(), ShareSettings::default(), disk.now())
                .unwrap();
        share
            .amend(&share_path("a"), &[note("first")], &RequestContext::new(nothing.clone(), disk.now()), false)
            .unwrap();
        let noted = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !disk.exists("b") {
                    std::thread::yield_now();
                }
                let done = share.amend(
                    &share_path("b"),
                    &[note("second")],
                    &RequestContext::new(nothing.clone(), disk.now()),
                    false,
                );
                noted.store(done.is_ok(), Ordering::SeqCst);
            });
            let wanted = Relocation { from: share_path("a"), to: share_path("b"), may_replace: true, dated: None };
            share
                .copy(&wanted, Extent::Tree, &RequestContext::new(nothing.clone(), disk.now()), CopyLimit::UNLIMITED)
                .unwrap();
        });
        let names: Vec<_> = share.notes().unwrap().of(&share_path("b")).unwrap();
        let has = |name: &str| names.iter().any(|note| *note.name() == PropertyName::new("urn:t", name));
        assert!(noted.load(Ordering::SeqCst) && has("second") && has("first"), "round {round}");
    }
}

/// Another file system in the share is not mounted while versions are let go: those on it are not gone, and neither is what was noted on them.
#[test]
fn what_is_noted_on_a_version_outlives_that_its_file_system_is_not_mounted() {
    use std::sync::Arc;
    use std::time::Duration;

    use noclobber::model::precondition::Precondition;
    use noclobber::model::property::{DeadProperty, PropertyName};
    use noclobber::model::stamp::Timestamp;
    use noclobber::share::{CopyLimit, PageRequest, PropertyUpdate, RequestContext, Share, ShareSettings};
    use noclobber::store::catalog::index::Index;
    use noclobber::store::local::history::KeepLimits;
    use noclobber::store::local::os_disk::Options;

    use crate::harness::disk_images::{Bound, DiskImage};
    use crate::harness::left_out;
    use crate::harness::programs::open_disk;
    use crate::harness::stories::share_path;

    const TEST: &str = "what_is_noted_on_a_version_outlives_that_its_file_system_is_not_mounted";
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("media/disk");
    std::fs::create_dir_all(&place).unwrap();
    let mounted = DiskImage::tmpfs("size=8m").and_then(|disk| Ok((Bound::at(&place, disk.path())?, disk)));
    let (bound, disk) = match mounted {
        Ok(mounted) => mounted,
        Err(why) => return left_out(TEST, &why),
    };
    std::fs::write(place.join("a"), "text").unwrap();
    std::fs::write(folder.path().join("media/b"), "text").unwrap();
    let keep = Some(KeepLimits { age_max: Duration::from_secs(1 << 20), percent_max: 90 });
    let os_disk = Arc::new(open_disk(folder.path(), Options::default()).unwrap());
    let now = Timestamp::from_system(std::time::SystemTime::now());
    let settings = ShareSettings { keep, ..ShareSettings::default() };
    let share =
        Share::open(noclobber::store::local::commit::Tree::on(os_disk), Index::in_memory(), settings, now).unwrap();
    let nothing = Precondition::default();
    let name = PropertyName::new("urn:t", "note");
    let note = PropertyUpdate::Note(DeadProperty::new(name.clone(), "<note xmlns=\"urn:t\">x</note>".to_owned()));
    for path in ["media/disk/a", "media/b"].map(share_path) {
        share.amend(&path, std::slice::from_ref(&note), &RequestContext::new(nothing.clone(), now), false).unwrap();
        share.delete(&path, &RequestContext::new(nothing.clone(), now)).unwrap();
    }
    drop(bound);
    share.prune(now).unwrap();
    let _bound = Bound::at(&place, disk.path()).unwrap();
    for path in ["media/disk/a", "media/b"].map(share_path) {
        let page = share.versions_below(&path, PageRequest { before: None, count: 1 }).unwrap();
        share
            .restore(
                &path,
                &page.items[0].version.id,
                false,
                &RequestContext::new(nothing.clone(), now),
                CopyLimit::UNLIMITED,
            )
            .unwrap();
        let notes = share.notes().unwrap().of(&path).unwrap();
        assert!(notes.iter().any(|note| *note.name() == name), "{}", path.to_text());
    }
}

/// What a property is set on, or a lock is taken on, is shown with the tag of its content, like any small file: also where a program saved it, or
/// where the file system moved its times after the upload, so that nothing is remembered of it.
#[test]
fn a_file_that_is_only_noted_on_keeps_the_tag_of_its_content() {
    let server = Server::start();
    for (path, request) in [
        ("/noted", server.proppatch("/noted", "<D:set><D:prop><t:a>1</t:a></D:prop></D:set>")),
        ("/locked", server.lock("/locked", "exclusive", "0")),
    ] {
        server.write(&path[1..], "a small file");
        request.send();
        assert_eq!(server.head(path).expect(200).tag(), tag_of("a small file"), "{path}");
    }
}
