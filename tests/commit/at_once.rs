//! Two requests at once for one name, in every order in which their calls of the disk can follow each other. The model of the commit
//! leaves this out and trusts the mutex; here it is the real one.

use std::collections::BTreeSet;
use std::time::Duration;

use noclobber::model::lock::{Reach, Scope};
use noclobber::model::lock_token::LockToken;
use noclobber::model::precondition::Precondition;
use noclobber::model::property::{DeadProperty, PropertyName};
use noclobber::model::update_range::UpdateRange;
use noclobber::model::version::VersionId;
use noclobber::share::outcome::{Outcome, Refusal, Stop};
use noclobber::share::{
    CopyLimit, LockRequest, OpenResource, PartBytes, PartialWrite, PropertyUpdate, RequestContext, Share, Upload,
};
use noclobber::store::abilities::Tier;

use crate::harness::explore::Story as _;
use crate::harness::full;
use crate::harness::sim_disk::{Event, Plan, SimDisk};
use crate::harness::stories::{Asking, BEFORE, INSIDE, PATH, Request, if_match, share_path, tag_of};
use crate::harness::stranger::Act;
use crate::harness::turns::{in_every_order, with_the_other_at_every_step};

/// The folder in which [`INSIDE`] lies.
const FOLDER: &str = "d/f";

const TIERS: [Tier; 3] = [Tier::A, Tier::B, Tier::C];

/// Two uploads that both wait to be committed.
struct Scene {
    share: Share,
    uploads: [std::sync::Mutex<Option<Upload>>; 2],
}

const UPLOADS: [&str; 2] = ["first", "second"];

fn scene(tier: Tier, request: Request, uploads: [bool; 2]) -> (SimDisk, Scene, Plan) {
    let asking = Asking::short(request, tier);
    let (disk, server) = asking.set_up();
    let share = server.share;
    let upload = |number: usize| {
        uploads[number].then(|| {
            let now = disk.now();
            let bytes = UPLOADS[number].as_bytes();
            let mut upload = share.begin_upload(&share_path(PATH), Some(bytes.len() as u64), now).expect("begun");
            share.write(&mut upload, bytes, now).expect("written");
            upload
        })
    };
    let uploads = [0, 1].map(|number| std::sync::Mutex::new(upload(number)));
    (disk, Scene { share, uploads }, vec![])
}

impl Scene {
    fn put(&self, disk: &SimDisk, number: usize, tag: Option<&str>) -> Outcome<()> {
        let upload = self.uploads[number].lock().expect("whole").take().expect("an upload is ready");
        let precondition = tag.map_or_else(Default::default, if_match);
        self.share
            .put(&share_path(PATH), upload, None, &RequestContext::new(precondition.clone(), disk.now()))
            .map(drop)
    }
}

impl Scene {
    /// Writes what the upload of this number would bring behind what is there.
    fn append(&self, disk: &SimDisk, number: usize, tag: Option<&str>) -> Outcome<()> {
        let precondition = tag.map_or_else(Default::default, if_match);
        let bytes = PartBytes::InMemory(UPLOADS[number].as_bytes());
        let write = PartialWrite { range: UpdateRange::Append, bytes, dated: None, size_max: None };
        let request = RequestContext::new(precondition, disk.now());
        self.share.patch(&share_path(PATH), &write, &request, CopyLimit::UNLIMITED).map(drop)
    }

    /// Locks what has this tag; the version that the lock is pinned to.
    fn lock(&self, disk: &SimDisk, tag: &str) -> Outcome<String> {
        let wish = LockRequest {
            token: LockToken::from_random([7; 16]),
            scope: Scope::Exclusive,
            reach: Reach::Itself,
            owner: None,
            timeout: None,
        };
        let taken = self.share.lock(&share_path(PATH), wish, &RequestContext::new(if_match(tag), disk.now()))?;
        Ok(taken.lock.pin.as_ref().expect("a file is there").to_string())
    }
}

fn is_refused(outcome: &Outcome<()>) -> bool {
    matches!(outcome, Err(Stop::Refusal(Refusal::PreconditionFailed { .. })))
}

/// All contents are somewhere, and nothing is left under way.
fn is_whole(disk: &SimDisk, expected: &[&str]) -> Option<String> {
    let contents: BTreeSet<_> = disk.contents_everywhere().into_iter().map(|(_, bytes)| bytes).collect();
    let missing = expected.iter().find(|bytes| !contents.contains(bytes.as_bytes()));
    let stray = disk
        .contents_everywhere()
        .into_iter()
        .find(|(path, bytes)| path.contains('~') && bytes != UPLOADS[0].as_bytes());
    match (missing, stray) {
        (Some(missing), _) => Some(format!("{missing} is lost")),
        (None, Some((path, _))) => Some(format!("{path} is left under way")),
        (None, None) => None,
    }
}

#[test]
fn of_two_uploads_that_name_one_version_exactly_one_wins() {
    for tier in TIERS {
        let schedules = in_every_order(
            200_000,
            || scene(tier, Request::PutNamed, [true, true]),
            |disk, scene, who| scene.put(disk, who, Some(&tag_of(BEFORE))),
            |disk, _, outcomes| {
                let winner = outcomes.iter().position(Result::is_ok);
                let (Some(winner), true) = (winner, outcomes.iter().any(is_refused)) else {
                    return Some(format!("one wins and one is refused, not {outcomes:?}"));
                };
                if disk.bytes_at(PATH).as_deref() != Some(UPLOADS[winner].as_bytes()) {
                    return Some(format!("the winner is {winner}"));
                }
                is_whole(disk, &[BEFORE, UPLOADS[winner]])
            },
        );
        println!("two uploads that name one version, tier {tier}: {schedules:?}");
    }
}

/// Versions are in the order in which they were displaced, although the request that displaced the later one began before the other.
#[test]
fn a_request_that_takes_long_names_no_version_earlier() {
    let (disk, scene, _) = scene(Tier::A, Request::Put, [true, true]);
    let began = disk.now();
    disk.advance(Duration::from_millis(700));
    let put = |number: usize, now| {
        let upload = scene.uploads[number].lock().expect("whole").take().expect("an upload is ready");
        let stored =
            scene.share.put(&share_path(PATH), upload, None, &RequestContext::unconditional(now)).expect("stored");
        stored.displaced.expect("something was there")
    };
    let (first, second) = (put(0, disk.now()), put(1, began));
    assert!(second > first, "{second:?} was displaced after {first:?}");
}

#[test]
fn of_two_uploads_that_name_nothing_both_are_kept() {
    for tier in TIERS {
        for request in [Request::Put, Request::PutNew] {
            let before = if request == Request::Put { vec![BEFORE] } else { vec![] };
            let schedules = in_every_order(
                200_000,
                || scene(tier, request, [true, true]),
                |disk, scene, who| scene.put(disk, who, None),
                |disk, _, outcomes| match outcomes.iter().find(|outcome| outcome.is_err()) {
                    Some(error) => Some(format!("both succeed, not {error:?}")),
                    None => is_whole(disk, &[&UPLOADS[..], &before].concat()),
                },
            );
            println!("two uploads that name nothing, {request:?}, tier {tier}: {schedules:?}");
        }
    }
}

/// Two append at once and name no version: both come to the file, in some order, each whole, and what was there between them is kept.
#[test]
fn of_two_that_append_at_once_both_are_in_the_file() {
    for tier in TIERS {
        let schedules = with_the_other_at_every_step(
            || scene(tier, Request::Put, [false, false]),
            |disk, scene, who| scene.append(disk, who, None),
            |disk, _, outcomes| {
                let [one, other] = UPLOADS;
                let orders = [format!("{BEFORE}{one}{other}"), format!("{BEFORE}{other}{one}")];
                let there = disk.bytes_at(PATH).and_then(|bytes| String::from_utf8(bytes).ok());
                match there.filter(|there| orders.contains(there)) {
                    Some(there) if outcomes.iter().all(Result::is_ok) => {
                        let between =
                            if there == orders[0] { format!("{BEFORE}{one}") } else { format!("{BEFORE}{other}") };
                        is_whole(disk, &[BEFORE, &between])
                    }
                    there => Some(format!("both are there, not {there:?} after {outcomes:?}")),
                }
            },
        );
        println!("two that append, tier {tier}: {schedules:?}");
    }
}

/// Of two that append to the version that they name, one does.
#[test]
fn of_two_that_append_to_one_version_exactly_one_does() {
    for tier in TIERS {
        let schedules = with_the_other_at_every_step(
            || scene(tier, Request::PutNamed, [false, false]),
            |disk, scene, who| scene.append(disk, who, Some(&tag_of(BEFORE))),
            |disk, _, outcomes| {
                let winner = outcomes.iter().position(Result::is_ok);
                let (Some(winner), true) = (winner, outcomes.iter().any(is_refused)) else {
                    return Some(format!("one does and one is refused, not {outcomes:?}"));
                };
                let expected = format!("{BEFORE}{}", UPLOADS[winner]);
                if disk.bytes_at(PATH) != Some(expected.clone().into_bytes()) {
                    return Some(format!("the winner is {winner}"));
                }
                is_whole(disk, &[BEFORE, &expected])
            },
        );
        println!("two that append to one version, tier {tier}: {schedules:?}");
    }
}

#[test]
fn an_upload_and_a_removal_that_name_one_version_do_not_both_win() {
    for tier in TIERS {
        let schedules = in_every_order(
            200_000,
            || scene(tier, Request::PutNamed, [true, false]),
            |disk, scene, who| match who {
                0 => scene.put(disk, 0, Some(&tag_of(BEFORE))),
                _ => scene
                    .share
                    .delete(&share_path(PATH), &RequestContext::new(if_match(&tag_of(BEFORE)), disk.now()))
                    .map(drop),
            },
            |disk, _, outcomes| {
                let expected = match &outcomes {
                    [Ok(()), Err(_)] => Some(UPLOADS[0].as_bytes().to_vec()),
                    [Err(_), Ok(())] => None,
                    _ => return Some(format!("exactly one wins, not {outcomes:?}")),
                };
                if disk.bytes_at(PATH) != expected {
                    return Some(format!("{outcomes:?}, and the folder says otherwise"));
                }
                is_whole(disk, &[BEFORE])
            },
        );
        println!("an upload and a removal, tier {tier}: {schedules:?}");
    }
}

/// A LOCK that names a version pins that one, or is refused: its holder has seen no other, and may write over the one that is pinned.
#[test]
fn a_lock_that_names_a_version_is_on_that_version() {
    for tier in TIERS {
        let schedules = in_every_order(
            200_000,
            || scene(tier, Request::PutNamed, [true, false]),
            |disk, scene, who| match who {
                0 => scene.put(disk, 0, Some(&tag_of(BEFORE))).map(|()| None),
                _ => scene.lock(disk, &tag_of(BEFORE)).map(Some),
            },
            |disk, _, outcomes| match &outcomes {
                [Ok(None), Ok(Some(pin))] if *pin != tag_of(BEFORE) => Some(format!("the lock is on {pin}")),
                [Ok(None), Err(error)] if !matches!(error, Stop::Refusal(Refusal::PreconditionFailed { .. })) => {
                    Some(format!("the lock got {error:?}"))
                }
                [Ok(None), Ok(Some(_))] | [Err(_), Err(_)] => Some(format!("one wins, not {outcomes:?}")),
                _ => is_whole(disk, &[BEFORE]),
            },
        );
        println!("an upload and a lock, tier {tier}: {schedules:?}");
    }
}

#[test]
fn a_reader_sees_the_old_file_or_the_new_one_whole_and_never_none() {
    for tier in if full() { TIERS.to_vec() } else { vec![Tier::A] } {
        let schedules = in_every_order(
            200_000,
            || scene(tier, Request::PutNamed, [true, false]),
            |disk, scene, who| match who {
                0 => scene.put(disk, 0, Some(&tag_of(BEFORE))).map(|()| None),
                _ => scene
                    .share
                    .read(&share_path(PATH), &RequestContext::unconditional(disk.now()))
                    .map(|target| Some(read(target))),
            },
            |disk, _, [written, seen]| {
                let Ok(Some((bytes, tag))) = &seen else { return Some(format!("a reader got {seen:?}")) };
                if written.is_err() {
                    // The reader's own look can stand in the way of nobody.
                    return Some(format!("the upload got {written:?}"));
                }
                // A file that is displaced while it is being hashed gets a weak tag: its stamp has moved.
                let is = |text: &str| text.as_bytes() == bytes && (tag.starts_with("W/") || tag_of(text) == *tag);
                let right = [BEFORE, UPLOADS[0]].into_iter().any(is);
                if !right {
                    return Some(format!("a reader saw {:?} as {tag}", String::from_utf8_lossy(bytes)));
                }
                is_whole(disk, &[BEFORE, UPLOADS[0]])
            },
        );
        println!("an upload and a reader, tier {tier}: {schedules:?}");
    }
}

/// A program is about to write into the old file when the upload takes its place: the upload is refused and undone, and no reader may
/// have been shown it.
#[test]
fn a_reader_is_never_shown_an_upload_that_is_refused() {
    let schedules = in_every_order(
        200_000,
        || {
            let (disk, scene, _) = scene(Tier::A, Request::PutNamed, [true, false]);
            disk.act(&Act::find(1, PATH));
            let open = Event::StrangerAfter { operation: "exchange", act: Act::Open { hand: 1 } };
            (disk, scene, vec![open])
        },
        |disk, scene, who| match who {
            0 => scene.put(disk, 0, Some(&tag_of(BEFORE))).map(|()| None),
            _ => scene
                .share
                .read(&share_path(PATH), &RequestContext::unconditional(disk.now()))
                .map(|target| Some(read(target))),
        },
        |disk, _, [written, seen]| {
            if !matches!(written, Err(Stop::Refusal(Refusal::OpenForWriting))) {
                return Some(format!("the upload got {written:?}"));
            }
            match seen {
                Ok(Some((bytes, _))) if bytes == BEFORE.as_bytes() => is_whole(disk, &[BEFORE]),
                seen => Some(format!("a reader saw {seen:?}")),
            }
        },
    );
    println!("a refused upload and a reader, tier A: {schedules:?}");
}

/// A folder that was deleted, with what was noted on it and on the file in it.
fn deleted_folder_with_notes(tier: Tier) -> (SimDisk, (Share, VersionId)) {
    let (disk, server) = Asking::short(Request::RestoreFolder, tier).set_up_for_moves();
    let (share, nothing) = (server.share, Precondition::default());
    disk.place(INSIDE, BEFORE);
    for path in [FOLDER, INSIDE].map(share_path) {
        let note = DeadProperty::new(PropertyName::new("urn:t", "note"), "<note xmlns=\"urn:t\">x</note>".to_owned());
        share
            .amend(&path, &[PropertyUpdate::Note(note)], &RequestContext::new(nothing.clone(), disk.now()), false)
            .expect("noted");
    }
    let removed =
        share.delete(&share_path(FOLDER), &RequestContext::new(nothing.clone(), disk.now())).expect("deleted");
    disk.advance(Duration::from_secs(11));
    share.tick(disk.now());
    (disk, (share, removed.displaced.expect("it is kept")))
}

/// What is noted on a version that is no more is forgotten when versions are let go. A version that is just coming back is not found in the
/// history any more, and not yet known to be back: what is noted on it comes back with it all the same.
#[test]
fn what_was_noted_on_a_folder_outlives_that_versions_go_while_it_comes_back() {
    for tier in TIERS {
        let schedules = with_the_other_at_every_step(
            || {
                let (disk, scene) = deleted_folder_with_notes(tier);
                (disk, scene, vec![])
            },
            |disk, (share, version), who| match who {
                0 => share
                    .restore(
                        &share_path(FOLDER),
                        version,
                        false,
                        &RequestContext::unconditional(disk.now()),
                        CopyLimit::UNLIMITED,
                    )
                    .map(drop),
                _ => share.prune(disk.now()).map(drop),
            },
            |_, (share, _), outcomes| {
                if outcomes.iter().any(Result::is_err) {
                    return Some(format!("both succeed, not {outcomes:?}"));
                }
                let notes = share.notes().expect("readable");
                let bare =
                    [FOLDER, INSIDE].into_iter().find(|path| notes.of(&share_path(path)).expect("readable").is_empty());
                bare.map(|path| format!("what was noted on {path} is forgotten"))
            },
        );
        println!("a folder that comes back and versions that go, tier {tier}: {schedules:?}");
    }
}

/// What a client would get: the bytes and the tag.
fn read(target: OpenResource) -> (Vec<u8>, String) {
    let OpenResource::File(content, identity) = target else { return (b"a folder".to_vec(), String::new()) };
    let mut bytes = vec![0; content.size() as usize];
    let count = content.read_at(0, &mut bytes).expect("readable");
    bytes.truncate(count);
    (bytes, identity.validators.shown.to_string())
}
