//! What a start finds of the process before it, whether that was killed or ended in good order while something was still to be done: nothing
//! that a commit has left stays as it is, and what a program wrote into a displaced file appears beside it.

use noclobber::store::disk::Tier;

use crate::harness::explore::Story as _;
use crate::harness::moves::{Move, Moving};
use crate::harness::stories::share_path;
use crate::harness::stranger::Act;

/// The file that tells a start to look for what commits have left.
const RUNNING: &str = ".noclobber/running";

#[test]
fn a_server_that_ends_in_the_middle_of_a_commit_says_so() {
    let (disk, tree) = Moving::of(Move::FileOverFile, Tier::C).set_up();
    let site = tree.site(&share_path("d/a")).unwrap().expect("not the share itself");
    let place = tree.history().place(&site.path, site.mount, disk.now()).unwrap();
    let uploads = tree.history().swap(&site.path, site.mount).unwrap();
    tree.close().unwrap();
    assert!(disk.exists(RUNNING), "a commit is under way");
    drop(place);
    tree.close().unwrap();
    assert!(disk.exists(RUNNING), "an upload may have a name still");
    drop(uploads);
    tree.close().unwrap();
    assert!(!disk.exists(RUNNING));
    let _place = tree.history().place(&site.path, site.mount, disk.now()).unwrap();
    assert!(disk.exists(RUNNING), "one that begins afterwards says it again");
}

/// Another disk is plugged in where one was, or somebody has moved the folder away.
#[test]
fn a_folder_of_noclobbers_own_that_another_took_the_place_of_is_begun_anew() {
    let (disk, tree) = Moving::of(Move::FileOverFile, Tier::A).set_up();
    let site = tree.site(&share_path("d/a")).unwrap().expect("not the share itself");
    let displace = || drop(tree.history().place(&site.path, site.mount, disk.now()).unwrap());
    displace();
    assert!(disk.exists(RUNNING));
    disk.act(&Act::rename(".noclobber", "away"));
    displace();
    assert!(disk.exists(RUNNING));
}
