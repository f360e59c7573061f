//! Other file systems mounted inside a share: each does what it can itself, whatever the file system around it or the ones beside it can. It takes
//! root to mount them.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::harness::client::tag_of;
use crate::harness::disk_images::{Bound, DiskImage, FuseDisk, Kind};
use crate::harness::{Server, left_out};

/// A file system that is to lie in a share, or under one.
enum Disk {
    Image(DiskImage),
    Fuse(FuseDisk),
}

impl Disk {
    fn path(&self) -> &Path {
        match self {
            Self::Image(image) => image.path(),
            Self::Fuse(fuse) => fuse.path(),
        }
    }
}

/// The file systems that can be had here, by their names.
fn disks(test: &str) -> Vec<(String, Disk)> {
    let images = Kind::ALL.map(|kind| (format!("{kind:?}"), DiskImage::mount(kind, 64).map(Disk::Image)));
    let fuse = [
        ("exFAT", FuseDisk::exfat()),
        ("NTFS", FuseDisk::ntfs_that_folds()),
        ("a folder behind a program", FuseDisk::bindfs()),
    ];
    let fuse = fuse.map(|(name, disk)| (name.to_owned(), disk.map(Disk::Fuse)));
    let had = images.into_iter().chain(fuse).filter_map(|(name, disk)| match disk {
        Ok(disk) => Some((name, disk)),
        Err(why) => {
            left_out(&format!("{test}, {name}"), &why);
            None
        }
    });
    had.collect()
}

/// A folder with another one in it that is on another file system.
struct Nested {
    // It is unmounted before what is around it goes.
    _bound: Bound,
    _outer: Option<TempDir>,
    top: PathBuf,
}

impl Nested {
    /// `inner` at `docs/inner` in `around`, or in a folder of this machine.
    fn new(around: Option<&Path>, inner: &Path) -> Result<Self, String> {
        let outer = match around {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("noclobber-share-").tempdir().unwrap()),
        };
        let top = around.or(outer.as_ref().map(TempDir::path)).expect("one of them").to_owned();
        let place = top.join("docs/inner");
        fs::create_dir_all(&place).map_err(|error| error.to_string())?;
        Ok(Self { _bound: Bound::at(&place, inner)?, _outer: outer, top })
    }
}

/// Files and folders come, are replaced, moved, copied, deleted and brought back in the inner file system and over its border.
fn goes_through_its_life(server: &mut Server) {
    let inner = |path: &str| format!("/docs/inner/{path}");
    let tag = server.put(inner("a.txt")).if_none_match("*").body("one").expect(201).tag();
    server.put(inner("a.txt")).if_none_match("*").body("other").expect(412);
    let tag = server.put(inner("a.txt")).if_match(tag).body("two").expect(204).tag();
    server.write("docs/inner/saved", "hers");
    fs::rename(server.local("docs/inner/saved"), server.local("docs/inner/a.txt")).unwrap();
    server.put(inner("a.txt")).if_match(&tag).body("unseen").expect(412);
    server.put(inner("a.txt")).body("three").expect(204);
    server.versions(&inner("a.txt")).expect(["hers", "one"]);
    let large = vec![b'x'; 5 << 20];
    server.put(inner("large")).body(&large).expect(201);
    server.put(inner("large")).body_when_asked(&large[1..]).expect(204);
    assert_eq!(server.get(inner("large")).expect(200).body.len(), large.len() - 1);

    let patch = |range: &str| {
        let kind = "application/x-sabredav-partialupdate";
        server.request("PATCH", inner("large")).header("Content-Type", kind).header("X-Update-Range", range)
    };
    patch("append").body("y").expect(204);
    patch("bytes=0-2").body("abc").expect(204);
    let patched = [b"abc", &large[4..], b"y"].concat();
    assert!(server.get(inner("large")).expect(200).body == patched);

    server.mkcol(inner("d")).expect(201);
    server.put(inner("d/e/f.txt?mkdirs")).body("f").expect(201);
    server.copying(inner("d"), inner("copy")).expect(201);
    server.moving(inner("copy"), inner("moved")).expect(201);
    server.get(inner("moved/e/f.txt")).expect_body("f");
    server.moving(inner("moved/e/f.txt"), inner("a.txt")).if_match(tag_of("f")).expect(204);
    server.get(inner("a.txt")).expect_body("f");
    server.copying(inner("a.txt"), inner("d/e/f.txt")).expect(204);

    let token = server.locked(&inner("locked.txt"), "0");
    server.put(inner("locked.txt")).body("without").expect(423);
    server.put(inner("locked.txt")).holding(&token).body("with").expect(204);
    server.unlock(inner("locked.txt"), &token).expect(204);

    server.put("/docs/outer.txt").body("outer").expect(201);
    server.moving("/docs/outer.txt", inner("came.txt")).if_match(tag_of("outer")).expect(201);
    server.get(inner("came.txt")).expect_body("outer");
    server.moving(inner("came.txt"), "/docs/back.txt").expect(201);
    server.get("/docs/back.txt").expect_body("outer");
    server.copying("/docs/back.txt", inner("a.txt")).expect(204);
    server.copying(inner("d"), "/docs/d").expect(201);
    server.copying("/docs/d", inner("d")).expect(204);
    server.get(inner("d/e/f.txt")).expect_body("f");

    server.delete(inner("a.txt")).if_match(tag_of("outer")).expect(204);
    let versions = server.versions(&inner("a.txt"));
    server.post(format!("{}?restore={}", inner("a.txt"), versions.0[0].id)).expect(201);
    server.get(inner("a.txt")).expect_body("outer");
    server.delete(inner("d/")).expect(204);
    let folder = server.versions(&inner("d")).0[0].id.clone();
    server.post(format!("{}?restore={folder}", inner("d"))).expect(201);
    server.kill();
    server.start_again();
    server.get(inner("d/e/f.txt")).expect_body("f");
    for path in ["d/", "moved/", "a.txt", "large", "locked.txt"] {
        server.delete(inner(path)).expect(204);
    }
    assert!(server.names("docs/inner").iter().all(|name| name == "lost+found"), "{:?}", server.names("docs/inner"));
}

/// What a file system can do was once found out at the share's top and taken for granted on all that is mounted inside: an upload to an exFAT stick
/// in a share on ext4 failed.
#[test]
fn every_file_system_in_a_share_does_what_it_can() {
    const TEST: &str = "every_file_system_in_a_share_does_what_it_can";
    for (name, disk) in disks(TEST) {
        let nested = match Nested::new(None, disk.path()) {
            Ok(nested) => nested,
            Err(why) => return left_out(TEST, &why),
        };
        println!("{name}, in a folder of this machine");
        goes_through_its_life(&mut Server::on(&nested.top));
    }
}

/// The other way round: what the top cannot do is done where it can be.
#[test]
fn a_poor_top_makes_nothing_poor_that_is_mounted_in_it() {
    const TEST: &str = "a_poor_top_makes_nothing_poor_that_is_mounted_in_it";
    for (name, disk) in disks(TEST) {
        let inner = match DiskImage::mount(Kind::Ext4, 64) {
            Ok(inner) => inner,
            Err(why) => return left_out(TEST, &why),
        };
        let Ok(nested) = Nested::new(Some(disk.path()), inner.path()) else { continue };
        println!("ext4 in {name}");
        let mut server = Server::on(&nested.top);
        goes_through_its_life(&mut server);
        // Nobody who has it open for writing is overlooked: that takes a lease.
        server.write("docs/inner/open.txt", "draft");
        let open = fs::File::options().append(true).open(server.local("docs/inner/open.txt")).unwrap();
        server.put("/docs/inner/open.txt").body("over it").expect(423);
        drop(open);
        server.put("/docs/inner/open.txt").body("over it").expect(204);
    }
}

/// A clock that is coarse is so for the files that it dates. On a file system whose times a program can set as it likes, two versions of one size
/// may look the same; within the grain they are told apart by their bytes.
#[test]
fn what_a_coarse_clock_dates_is_not_taken_for_settled() {
    const TEST: &str = "what_a_coarse_clock_dates_is_not_taken_for_settled";
    let disk = match FuseDisk::exfat() {
        Ok(disk) => disk,
        Err(why) => return left_out(TEST, &why),
    };
    let nested = Nested::new(None, disk.path()).unwrap();
    let server = Server::on(&nested.top);
    let tag = server.put("/docs/inner/a.txt").body("one").expect(201).tag();
    let local = server.local("docs/inner/a.txt");
    let dated = fs::metadata(&local).unwrap().modified().unwrap();
    fs::write(&local, "two").unwrap();
    fs::File::options().write(true).open(&local).unwrap().set_modified(dated).unwrap();
    server.put("/docs/inner/a.txt").if_match(&tag).body("unseen").expect(412);
    assert_eq!(server.get("/docs/inner/a.txt").expect_body("two").tag(), tag_of("two"));
}
