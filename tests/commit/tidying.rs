//! Housekeeping at every step of every request: a second look at what was displaced, and the removal of folders of the history that are empty. It
//! takes nothing away from a request that is under way, on disks that know a folder which was removed no more, too.

use std::time::Duration;

use noclobber::store::abilities::Tier;

use crate::harness::copies::{Duplicating, Kind};
use crate::harness::explore::Story;
use crate::harness::moves::{Move, Moving};
use crate::harness::sim_disk::Features;
use crate::harness::stories::{Asking, Request};
use crate::harness::turns::with_the_other_at_every_step;

const TIERS: [Tier; 4] = [Tier::A, Tier::B, Tier::C, Tier::D];

/// As long as anything waits for its second look.
const DUE_AFTER: Duration = Duration::from_secs(11);

/// The request is answered as it is where nobody tidies.
fn is_answered_the_same<S>(story: &S)
where
    S: Story + Sync,
    S::Server: Sync,
{
    let alone = {
        let (disk, server) = story.set_up();
        story.operate(&disk, &server)
    };
    let schedules = with_the_other_at_every_step(
        || {
            let (disk, server) = story.set_up();
            (disk, server, vec![])
        },
        |disk, server, who| match who {
            0 => Some(story.operate(disk, server)),
            _ => {
                disk.advance(DUE_AFTER);
                story.look_again(disk, server);
                None
            }
        },
        |_, _, [answer, _]| {
            (answer.as_ref() != Some(&alone)).then(|| format!("{}: {answer:?}, and {alone:?} alone", story.name()))
        },
    );
    println!("{}: {alone:?}, {schedules:?}", story.name());
}

#[test]
fn a_move_keeps_the_folders_that_it_goes_by() {
    for what in Move::ALL {
        for tier in TIERS {
            is_answered_the_same(&Moving::of(what, tier));
            is_answered_the_same(&Moving::of(what, tier).without_links());
        }
        is_answered_the_same(&Moving { features: Features::with_links_only(), ..Moving::of(what, Tier::C) });
    }
}

#[test]
fn a_copy_keeps_the_folders_that_it_goes_by() {
    for what in Kind::ALL {
        for tier in TIERS {
            is_answered_the_same(&Duplicating::of(what, tier));
        }
    }
}

#[test]
fn every_other_request_keeps_the_folders_that_it_goes_by() {
    for request in Request::ALL {
        Asking::everywhere(request).iter().for_each(is_answered_the_same);
    }
}
