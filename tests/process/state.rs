//! What is kept beside the share, of its locks and of what clients note: whose it is, who may read it, how much it may become, and what
//! happens when its disk fails.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use crate::harness::disk_images::DiskImage;
use crate::harness::{Server, eventually, has_program, is_root, left_out};

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set(property: &str) -> String {
    format!("<D:set><D:prop>{property}</D:prop></D:set>")
}

/// A property of so many bytes.
fn large(name: &str, bytes: usize) -> String {
    format!("<t:{name}>{}</t:{name}>", "x".repeat(bytes))
}

/// Two servers with one state folder: the second does not start, and says why; the first loses nothing by it, not even over a restart.
#[test]
fn a_state_that_is_in_use_is_left_alone() {
    let mut first = Server::start();
    first.put("/a.txt").body("text").expect(201);
    first.note("/a.txt", "<t:color>red</t:color>");
    first.locked("/a.txt", "0");
    let (status, printed) = Server::builder().state(first.state()).start_in_vain();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains("in use by another noclobber") && printed.contains("--state"), "{printed}");
    for kill in [false, true] {
        if kill {
            first.kill()
        } else {
            first.stop()
        };
        first.start_again();
        first.put("/a.txt").body("other").expect(423);
        assert_eq!(first.properties("/a.txt", "<t:color/>").value("{urn:t}color"), "red");
    }
    let names: Vec<_> = fs::read_dir(first.state()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("broken")), "{names:?}");
}

/// A state in the share would be served with everything else: its lock tokens could be read, and its tags replaced.
#[test]
fn a_state_in_the_share_is_refused_or_hidden() {
    let place = tempfile::tempdir().unwrap();
    let share = place.path().join("share");
    fs::create_dir_all(share.join("below")).unwrap();
    symlink(&share, place.path().join("link")).unwrap();
    for state in ["share", "share/below/new/state", "link/state", "share/.noclobber/state", "new/../share/state"] {
        let (status, printed) = Server::builder().folder(&share).state(place.path().join(state)).start_in_vain();
        assert_eq!(status.code(), Some(1), "{state}: {printed}");
        assert!(printed.contains("in the folder that is shared") && printed.contains("--state"), "{state}: {printed}");
    }
    let made = ["share/below/new", "share/state", "new"].iter().find(|path| place.path().join(path).exists());
    assert_eq!(made, None);
    // Whoever shares his home has it where nobody comes to.
    let mut server =
        Server::builder().folder(&share).without_state().environment("XDG_STATE_HOME", share.join("below")).start();
    let token = server.put("/a.txt").body("text").expect(201).tag();
    server.locked("/a.txt", "0");
    assert!(share.join(".noclobber/state").is_dir());
    assert!(fs::read_dir(share.join("below")).unwrap().next().is_none());
    server.get("/.noclobber/state/").expect_any(&[403, 404]);
    server.delete("/.noclobber/").expect_any(&[403, 404, 405]);
    server.stop();
    server.start_again();
    server.put("/a.txt").if_match(&token).body("other").expect(423);
}

/// What was noted of one share is not taken for another's. A share that was moved is the same share.
#[test]
fn a_state_of_another_share_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (here, there) = (place.path().join("here"), place.path().join("there"));
    fs::create_dir(&here).unwrap();
    let state = place.path().join("state");
    let mut server = Server::builder().folder(&here).state(&state).start();
    server.put("/a.txt").body("text").expect(201);
    server.note("/a.txt", "<t:color>red</t:color>");
    server.stop();
    let (status, printed) = Server::builder().state(&state).start_in_vain();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains("belongs to another share") && printed.contains("here"), "{printed}");
    fs::rename(&here, &there).unwrap();
    let server = Server::builder().folder(&there).state(&state).start();
    assert_eq!(server.properties("/a.txt", "<t:color/>").value("{urn:t}color"), "red");
}

/// A state that cannot be had now is no broken one: the server does not start without its locks, and touches nothing.
#[test]
fn a_state_that_cannot_be_had_now_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "a file").unwrap();
    for state in [file.clone(), file.join("below")] {
        let (status, printed) = Server::builder().state(&state).start_in_vain();
        assert_eq!(status.code(), Some(1), "{printed}");
        assert!(printed.contains(file.to_str().unwrap()), "{printed}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "a file");
    if has_program("strace") {
        for (errno, calls) in [("EACCES", "openat"), ("EMFILE", "openat"), ("EIO", "pread64,read")] {
            let state = tempfile::tempdir().unwrap();
            let mut server = Server::builder().state(state.path()).start();
            server.put("/a.txt").body("text").expect(201);
            server.locked("/a.txt", "0");
            server.kill();
            let index = state.path().join("index.redb");
            let inject = format!("inject={calls}:error={errno}");
            let strace = ["strace", "-f", "-qq", "-D", "-o/dev/null", "-P", index.to_str().unwrap(), "-e", &inject];
            let (status, printed) =
                Server::builder().folder(server.folder()).state(state.path()).under(strace).start_in_vain();
            assert_eq!(status.code(), Some(1), "{errno}: {printed}");
            assert!(printed.contains("index.redb"), "{errno}: {printed}");
            server.start_again();
            server.put("/a.txt").body("other").expect(423);
        }
    } else {
        left_out("a_state_that_cannot_be_had_now_is_refused", "strace is not installed");
    }
}

/// What is no index at all is set aside, and the server says what that means. What a link leads to stays what it is.
#[test]
fn what_is_no_index_is_set_aside() {
    let place = tempfile::tempdir().unwrap();
    let other = place.path().join("other");
    fs::write(&other, "another's file").unwrap();
    let index = |state: &Path| state.join("index.redb");
    let spoilers: [&dyn Fn(&Path); 4] = [
        &|state| fs::write(index(state), "this is no index").unwrap(),
        &|state| fs::write(index(state), vec![0; 100_000]).unwrap(),
        &|state| symlink(&other, index(state)).unwrap(),
        &|state| fs::create_dir(index(state)).unwrap(),
    ];
    for (number, spoil) in spoilers.iter().enumerate() {
        let state = tempfile::tempdir().unwrap();
        spoil(state.path());
        let server = Server::builder().state(state.path()).start();
        server.wait_for_log("set aside");
        server.put("/a.txt").body("text").expect(201);
        assert!(index(state.path()).is_file() && !index(state.path()).is_symlink(), "{number}");
        assert_eq!(fs::read_to_string(&other).unwrap(), "another's file");
    }
}

/// Lock tokens and properties are for the server's own user, also in a folder and in files that were open to all before.
#[test]
fn nobody_else_reads_the_state() {
    let place = tempfile::tempdir().unwrap();
    let fresh = place.path().join("a/b");
    let open = place.path().join("open");
    let shared = place.path().join("shared");
    for folder in [&open, &shared] {
        fs::create_dir(folder).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(shared.join("another's"), "file").unwrap();
    for (state, mode) in [(&fresh, 0o700), (&open, 0o700), (&shared, 0o755)] {
        let mut server = Server::builder().state(state).start();
        server.put("/a.txt").body("text").expect(201);
        server.locked("/a.txt", "0");
        for again in [false, true] {
            assert_eq!(mode_of(state), mode, "{state:?}");
            for entry in fs::read_dir(state).unwrap().flatten().filter(|entry| entry.file_name() != "another's") {
                assert_eq!(mode_of(&entry.path()), 0o600, "{entry:?}");
                fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o644)).unwrap();
            }
            if !again {
                server.kill();
                server.start_again();
            }
        }
    }
}

/// Properties have a bound of their own, on one resource and on all, in memory and on the disk; beyond it 507 says so and nothing changes.
/// What is removed gives room again, and a folder cannot be copied beyond it.
#[test]
fn properties_have_a_bound() {
    for options in [
        Server::with("--properties-bytes-max=1000000"),
        Server::with("--properties-bytes-max=1000000").option("--no-state").without_state(),
    ] {
        let server = options.start();
        server.mkcol("/d").expect(201);
        let refused = (0..10).find(|number| {
            let path = format!("/d/{number}.txt");
            server.put(&path).body("text").expect(201);
            server.proppatch(&path, &set(&large("a", 200_000))).expect_any(&[207, 507]).status == 507
        });
        assert_eq!(refused, Some(4), "four times 200,000 bytes fit");
        let answer = server.proppatch("/d/4.txt", &set(&large("a", 200_000))).expect(507);
        answer.dav_error("D:sufficient-disk-space");
        assert!(
            answer.text().contains("properties of all files") && !answer.text().contains("disk is full"),
            "{answer}"
        );
        assert_eq!(server.properties("/d/4.txt", "<t:a/>").status_of("{urn:t}a"), Some(404));
        // On one there may be less.
        let answer = server.proppatch("/d/0.txt", &set(&large("b", 100_000))).expect(507);
        assert!(answer.text().contains("256 KiB"), "{answer}");
        server.copying("/d/", "/e/").expect(507);
        server.get("/e").expect(404);
        server.copying("/d/0.txt", "/d/1.txt").expect(204);
        server.copying("/d/4.txt", "/d/5.txt").expect(201);
        let body = format!("<D:mkcol {}>{}</D:mkcol>", crate::harness::dav::NAMESPACES, {
            set(&format!("<D:resourcetype><D:collection/></D:resourcetype>{}", large("a", 200_000)))
        });
        server.request("MKCOL", "/f").xml(&body).expect(507);
        server.get("/f").expect(404);
        // Each of what is noted has its path with it: at a long one it may be too much.
        server.proppatch("/d/4.txt", &set(&large("a", 195_000))).expect(207);
        let deep = (0..10).fold(String::new(), |above, _| {
            let path = format!("{above}/{}", "x".repeat(250));
            server.mkcol(&path).expect(201);
            path
        });
        server.moving("/d/", format!("{deep}/d/")).expect(507).dav_error("D:sufficient-disk-space");
        server.get("/d/4.txt").expect_body("text");
        server.proppatch("/d/4.txt", "<D:remove><D:prop><t:a/></D:prop></D:remove>").expect(207);
        server.moving("/d/", "/a-folder-with-a-longer-name/").expect(201);
        server.moving("/a-folder-with-a-longer-name/", "/d/").expect(201);
        server.proppatch("/d/0.txt", "<D:remove><D:prop><t:a/></D:prop></D:remove>").expect(207);
        server.proppatch("/d/4.txt", &set(&large("a", 200_000))).expect(207);
        server.delete("/d").expect(204);
        server.request("MKCOL", "/f").xml(&body).expect(201);
        let kept = server.properties("/f", "<t:a/>");
        assert_eq!(kept.value("{urn:t}a").len(), 200_000);
    }
}

/// The disk of the state is full: what would be noted is refused, everything else goes on and is answered as what it was; and when there is
/// room again, all is well without a restart, and what was noted has followed its file.
#[test]
fn a_full_disk_of_the_state_passes() {
    let disk = match DiskImage::tmpfs("size=3m") {
        Ok(disk) => disk,
        Err(why) => return left_out("a_full_disk_of_the_state_passes", &why),
    };
    let server = Server::builder().state(disk.path()).start();
    for number in 0..30 {
        server.put(format!("/{number}.txt")).body("text").expect(201);
    }
    server.note("/0.txt", "<t:color>red</t:color>");
    server.note("/1.txt", "<t:color>green</t:color>");
    let filler = disk.path().join("filler");
    let _ = fs::write(&filler, vec![0; 8 << 20]);
    let refused = (2..30).find(|number| {
        let answer = server.proppatch(format!("/{number}.txt"), &set(&large("a", 200_000))).send();
        assert!([207, 507].contains(&answer.status), "{answer}");
        answer.status == 507
    });
    let refused = refused.expect("the disk is full");
    let answer = server.proppatch(format!("/{refused}.txt"), &set(&large("a", 200_000))).expect(507);
    assert!(answer.text().contains("keeps properties"), "{answer}");
    // Nothing else is turned by it.
    server.moving("/0.txt", "/moved.txt").expect(201);
    server.get("/0.txt").expect(404);
    server.get("/moved.txt").expect_body("text");
    server.delete("/1.txt").expect(204);
    server.put("/1.txt").body("new").expect(201);
    server.mkcol("/folder").expect(201);
    server.copying("/moved.txt", "/copied.txt").expect(201);
    server.propfind("/", "1").expect(207);
    for number in 0..400 {
        let token = server.locked(&format!("/{}.txt", 2 + number % 20), "0");
        server.unlock(format!("/{}.txt", 2 + number % 20), &token).expect(204);
    }
    std::thread::sleep(Duration::from_secs(6));
    let files = fs::read_dir(disk.path()).unwrap().count();
    assert!(files < 10, "{files} files of a state whose disk is full");
    let said = server.log().matches("properties do not follow").count();
    assert!(said <= 2, "said {said} times: {}", server.log());
    fs::remove_file(&filler).unwrap();
    eventually(Duration::from_secs(5), "properties to be noted again", || {
        (server.proppatch("/2.txt", &set("<t:size>large</t:size>")).send().status == 207).then_some(())
    });
    assert_eq!(server.properties("/moved.txt", "<t:color/>").value("{urn:t}color"), "red");
    assert_eq!(server.properties("/copied.txt", "<t:color/>").value("{urn:t}color"), "red");
    assert_eq!(server.properties("/1.txt", "<t:color/>").status_of("{urn:t}color"), Some(404), "it is another file");
    let mut server = server;
    server.locked("/3.txt", "0");
    eventually(Duration::from_secs(15), "the index to be saved again", || {
        server.log().contains("saved again").then_some(())
    });
    server.kill();
    server.start_again();
    server.put("/3.txt").body("x").expect(423);
    assert_eq!(server.properties("/moved.txt", "<t:color/>").value("{urn:t}color"), "red");
}

/// A file system without file locks is served, and the server says what that means. A folder that is served already is another matter.
#[test]
fn a_folder_that_cannot_be_locked_is_served() {
    if !has_program("strace") || !is_root() {
        return left_out("a_folder_that_cannot_be_locked_is_served", "strace is not installed");
    }
    for errno in ["EOPNOTSUPP", "ENOLCK", "ENOSYS"] {
        let inject = format!("inject=flock:error={errno}");
        let server = Server::with("--no-state")
            .without_state()
            .under(["strace", "-f", "-qq", "-D", "-o/dev/null", "-e", &inject])
            .start();
        server.put("/a.txt").body("text").expect(201);
        server.wait_for_log("no file locks");
    }
}
