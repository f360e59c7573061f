//! The permissions of what is made: `--umask`, `--file-mode` and `--dir-mode`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use crate::harness::Server;

const LOCK: &str = "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";

/// In octal.
fn mode(server: &Server, path: &str) -> String {
    format!("{:o}", fs::metadata(server.local(path)).unwrap().permissions().mode() & 0o7777)
}

/// Makes files and folders in every way in which something new comes to be; gives the permissions of each file and each folder.
fn modes_of_what_is_new(server: &Server) -> (Vec<String>, Vec<String>) {
    server.put("/put").body("x").expect(201);
    server.put("/long").body(vec![7; 3 << 20]).expect(201);
    server.put("/chunks").chunks(["x", "y"]).expect(201);
    server.put("/above/of/it?mkdirs").body("x").expect(201);
    server.request("LOCK", "/locked").header("content-type", "application/xml").body(LOCK).expect(201);
    server.request("MKCOL", "/made").expect(201);
    let files = ["put", "long", "chunks", "above/of/it", "locked"].map(|path| mode(server, path));
    let folders = ["above", "above/of", "made"].map(|path| mode(server, path));
    (files.into(), folders.into())
}

#[test]
fn what_is_new_has_the_permissions_that_were_asked_for() {
    for (words, file, folder) in [
        (&["--umask=027"][..], "640", "750"),
        (&["--umask=077"], "600", "700"),
        (&["--umask=077", "--file-mode=0664", "--dir-mode=2775"], "664", "2775"),
        (&["--file-mode=600", "--dir-mode=700"], "600", "700"),
    ] {
        let server = words.iter().fold(Server::builder(), |options, word| options.option(*word)).start();
        let (files, folders) = modes_of_what_is_new(&server);
        assert!(files.iter().all(|mode| *mode == file), "{words:?}: {files:?}");
        assert!(folders.iter().all(|mode| *mode == folder), "{words:?}: {folders:?}");
        server.put("/put").body("y").expect(204);
        assert_eq!(mode(&server, ".noclobber"), "700", "{words:?}: the history is the server's alone");
    }
}

/// Who has shut or opened a file keeps it so.
#[test]
fn what_is_replaced_copied_or_moved_keeps_its_permissions() {
    let server = Server::with("--file-mode=0600").option("--dir-mode=0700").start();
    fs::create_dir(server.local("d")).unwrap();
    fs::set_permissions(server.local("d"), Permissions::from_mode(0o755)).unwrap();
    for path in ["f", "d/f"] {
        fs::write(server.local(path), "x").unwrap();
        fs::set_permissions(server.local(path), Permissions::from_mode(0o644)).unwrap();
    }
    server.put("/f").body("y").expect(204);
    assert_eq!(mode(&server, "f"), "644", "replaced");
    for (method, from, to) in [("COPY", "/f", "/copy"), ("COPY", "/d", "/tree"), ("MOVE", "/f", "/moved")] {
        server.request(method, from).header("destination", to).expect(201);
    }
    let modes = ["copy", "tree", "tree/f", "moved"].map(|path| mode(&server, path));
    assert_eq!(modes, ["644", "755", "644", "644"], "{modes:?}");
    let versions = server.get("/f?versions").expect(200).json();
    let id = versions["versions"][0]["id"].as_str().unwrap().to_owned();
    server.post(format!("/f?restore={id}")).expect(201);
    assert_eq!(mode(&server, "f"), "644", "brought back");
}
