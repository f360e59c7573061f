//! Whole sessions at random: several clients with stale knowledge, local programs that act in the middle of a request, calls of the disk
//! that fail, kills, power cuts, and a clock that jumps. Whatever happens, nothing that a client was told is stored, and nothing that a
//! program saved, is lost; no tag ever stands for two contents; and a condition that held displaced exactly what it named.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use noclobber::model::extent::Extent;
use noclobber::model::lock::{Reach, Scope};
use noclobber::model::lock_token::LockToken;
use noclobber::model::precondition::Precondition;
use noclobber::model::stamp::Timestamp;
use noclobber::model::submitted::Submitted;
use noclobber::share::outcome::{Outcome, Refusal, Stop};
use noclobber::share::{
    CopyLimit, LockRequest, OpenResource, PageRequest, Relocation, RequestContext, Share, ShareSettings,
};
use noclobber::store::abilities::Tier;
use noclobber::store::catalog::index::Index;
use noclobber::store::disk_error::Cause;
use noclobber::store::local::history::KeepLimits;

use crate::harness::sim_disk::{Crash, Crashed, Event, Features, SimDisk, When};
use crate::harness::stories::{if_match, share_path};
use crate::harness::stranger::Act;

const PATHS: [&str; 7] = ["a", "b", "d/a", "d/b", "d/e/a", "e", "e/a"];
const CAUSES: [Cause; 6] =
    [Cause::Failed, Cause::NoSpace, Cause::NotPermitted, Cause::TooManyOpen, Cause::ReadOnly, Cause::Unsupported];

/// How many of the last steps are shown when something breaks; of the earlier ones those of clients and programs.
const TRACED: usize = 60;

/// How many sessions the normal run has, and for how long the slow one goes on.
const SESSIONS: u64 = 1500;
const FOR_LONG: Duration = Duration::from_secs(30 * 60);

#[test]
fn nothing_is_lost_in_any_session() {
    for seed in 0..SESSIONS {
        session(seed);
    }
}

/// `NOCLOBBER_TEST_SEED` begins elsewhere.
#[test]
#[ignore = "it goes on for half an hour"]
fn nothing_is_lost_in_half_an_hour_of_sessions() {
    let begun = Instant::now();
    let mut seed = std::env::var("NOCLOBBER_TEST_SEED").map_or(SESSIONS, |text| text.parse().expect("a number"));
    let first = seed;
    while begun.elapsed() < FOR_LONG {
        session(seed);
        seed += 1;
    }
    println!("{} sessions", seed - first);
}

/// A small generator of its own, so that a seed says all (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }

    fn happens(&mut self, percent: usize) -> bool {
        self.roll(100) < percent
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }
}

/// What one client remembers of a path: the tag it was shown, and the content that came with it.
type Seen = BTreeMap<&'static str, (String, Vec<u8>)>;

struct Session {
    seed: u64,
    dice: Dice,
    disk: SimDisk,
    share: Option<Share>,
    clients: [Seen; 2],
    tokens: Vec<(&'static str, LockToken)>,
    /// Every tag that was ever shown, with its content.
    tags: BTreeMap<String, Vec<u8>>,
    /// What clients were told is stored.
    stored: Vec<Vec<u8>>,
    next: usize,
    threshold: u64,
}

fn session(seed: u64) {
    let mut session = Session::begin(seed);
    let length = 5 + session.dice.roll(40);
    for _ in 0..length {
        session.step();
    }
    session.end();
}

impl Session {
    fn begin(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut features = match dice.roll(8) {
            0 => Features::of(Tier::B),
            1 => Features::of(Tier::C),
            2 => Features::with_links_only(),
            _ => Features::of(Tier::A),
        };
        features.abilities.time_grain = Duration::from_millis(dice.pick(&[0, 0, 0, 4, 10, 1000]));
        let disk = SimDisk::new(features);
        for folder in ["d", "d/e", "e"] {
            disk.place_folder(folder);
        }
        disk.begin(vec![]);
        let threshold = dice.pick(&[0, 12, 1 << 20]);
        let mut session = Self {
            seed,
            dice,
            disk,
            share: None,
            clients: [Seen::new(), Seen::new()],
            tokens: Vec::new(),
            tags: BTreeMap::new(),
            stored: Vec::new(),
            next: 0,
            threshold,
        };
        session.open();
        session
    }

    fn open(&mut self) {
        let keep = KeepLimits { age_max: Duration::from_secs(36_500 * 86_400), percent_max: 100 };
        let settings = ShareSettings {
            keep: Some(keep),
            require_preconditions: false,
            tag_threshold: self.threshold,
            hashing_max: 1,
            syncs: true,
            ..ShareSettings::default()
        };
        self.disk.resume(vec![]);
        let opened = Share::open(
            noclobber::store::local::commit::Tree::on(Arc::new(self.disk.clone())),
            Index::in_memory(),
            settings,
            self.disk.now(),
        );
        self.share = Some(opened.unwrap_or_else(|error| self.broken(&format!("it does not start: {error:?}"))));
    }

    #[track_caller]
    fn broken(&self, what: &str) -> ! {
        let trace = self.disk.trace();
        let tail = trace.len().saturating_sub(TRACED);
        let is_act = |line: &String| line.starts_with("     ");
        let before: Vec<_> = trace[..tail].iter().filter(|line| is_act(line)).map(String::as_str).collect();
        panic!("seed {}: {what}\n{}\n...\n{}", self.seed, before.join("\n"), trace[tail..].join("\n"))
    }

    fn fresh(&mut self) -> Vec<u8> {
        self.next += 1;
        // Of different sizes, so that some are above the threshold.
        format!("content {:0width$}", self.next, width = self.dice.pick(&[1, 1, 12])).into_bytes()
    }

    fn now(&self) -> Timestamp {
        self.disk.now()
    }

    fn step(&mut self) {
        match self.dice.roll(20) {
            0 => self.time_passes(),
            1 => self.crash(),
            2..=4 => {
                let act = self.act();
                self.disk.note(format!("     -- alone: {act:?}"));
                self.disk.act(&act);
            }
            _ => self.request(),
        }
        self.nothing_is_lost();
    }

    fn time_passes(&mut self) {
        let seconds = self.dice.pick(&[0, 1, 11, 60, 3_600, 86_400 * 40]);
        self.disk.note(format!("     -- {seconds} s pass"));
        // Whoever walks a path has opened the file long before a second look is due.
        if self.disk.somebody_is_on_his_way() {
            (0..2).for_each(|hand| self.disk.act(&Act::Open { hand }));
        }
        self.disk.advance(Duration::from_secs(seconds));
        self.plan();
        self.with_share(|share, now, _| {
            share.tick(now);
            Ok(())
        });
    }

    fn crash(&mut self) {
        let crash = if self.dice.happens(60) {
            Crash::Kill
        } else {
            Crash::PowerCut { changes: self.dice.roll(self.disk.unsynced_changes() + 1) }
        };
        self.start_again(crash);
    }

    fn start_again(&mut self, crash: Crash) {
        self.share = None;
        self.disk = self.disk.after_crash(crash);
        if let Crash::PowerCut { .. } = crash {
            // What programs had not synced is theirs to lose.
            let lost: Vec<_> = self.disk.lost().into_iter().filter(|bytes| !self.stored.contains(bytes)).collect();
            lost.iter().for_each(|bytes| self.disk.disown(bytes));
        }
        self.tokens.clear();
        // Tags are kept: those of content for ever, and those of stamps must not come to mean something else.
        self.open();
    }

    /// What a local program does.
    fn act(&mut self) -> Act {
        let path = self.dice.pick(&PATHS);
        let text = String::from_utf8(self.fresh()).expect("plain text");
        let hand = self.dice.roll(2) as u8;
        match self.dice.roll(9) {
            0 | 1 => Act::save(path, &text),
            2 => Act::create(path, &text),
            3 => Act::unlink(path),
            4 => Act::rename(path, self.dice.pick(&PATHS)),
            5 => Act::find(hand, path),
            6 => Act::Open { hand },
            7 => Act::write(hand, &text),
            _ => Act::Close { hand },
        }
    }

    /// What will happen in the middle of the next request.
    fn plan(&mut self) {
        let mut plan = Vec::new();
        if self.dice.happens(15) {
            let (at, cause) = (1 + self.dice.roll(60), self.dice.pick(&CAUSES));
            plan.push(if self.dice.happens(70) { Event::Fail { at, cause } } else { Event::FailAfter { at, cause } });
        }
        let mut at = 0;
        while self.dice.happens(30) {
            at += 1 + self.dice.roll(30);
            plan.push(Event::Stranger { at, when: When::Before, act: self.act() });
        }
        if self.dice.happens(5) {
            plan.push(Event::Crash { at: 1 + self.dice.roll(60), when: When::Before });
        }
        self.disk.resume(plan);
    }

    /// Does something with the share, in which it may be killed; says what came of it.
    fn with_share<T>(&mut self, ask: impl FnOnce(&Share, Timestamp, &SimDisk) -> Outcome<T>) -> Option<Outcome<T>> {
        let share = self.share.take().expect("it is open");
        let (now, disk) = (self.now(), self.disk.clone());
        let done = catch_unwind(AssertUnwindSafe(|| {
            let outcome = ask(&share, now, &disk);
            (share, outcome)
        }));
        match done {
            Ok((share, outcome)) => {
                self.disk.finish_strangers();
                self.share = Some(share);
                Some(outcome)
            }
            Err(thrown) if thrown.is::<Crashed>() => {
                let crash = if self.dice.happens(70) {
                    Crash::Kill
                } else {
                    Crash::PowerCut { changes: self.dice.roll(self.disk.unsynced_changes() + 1) }
                };
                self.start_again(crash);
                None
            }
            Err(thrown) => {
                let said = thrown
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| thrown.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                self.broken(&format!("it panicked: {said:?}"))
            }
        }
    }

    fn request(&mut self) {
        let client = self.dice.roll(2);
        let path = self.dice.pick(&PATHS);
        match self.dice.roll(14) {
            0..=4 => self.put(client, path),
            5 | 6 => self.delete(client, path),
            7 | 8 => self.read(client, path),
            9 => self.relocate(client, path, true),
            10 => self.relocate(client, path, false),
            11 => self.restore(path),
            12 => self.lock(path),
            _ => {
                self.plan();
                let at = share_path(path);
                self.with_share(|share, now, _| share.make_collection(&at, &[], &RequestContext::unconditional(now)));
            }
        }
    }

    /// What a request asks on conditions, and the content that these name, if it names one.
    fn asks(&mut self, client: usize, path: &'static str) -> (RequestContext, Option<Vec<u8>>) {
        let (precondition, named) = match (self.dice.roll(4), self.clients[client].get(path)) {
            (0 | 1, Some((tag, content))) => (if_match(tag), Some(content.clone())),
            (2, _) => (Precondition::nothing_there(), None),
            _ => (Precondition::default(), None),
        };
        let request = RequestContext::new(precondition, self.now());
        if self.tokens.is_empty() || self.dice.happens(30) {
            return (request, named);
        }
        let tokens = self.tokens.iter().map(|(_, token)| token.as_str());
        (RequestContext { tokens: Submitted::new(tokens), ..request }, named)
    }

    fn put(&mut self, client: usize, path: &'static str) {
        let bytes = self.fresh();
        let (request, named) = self.asks(client, path);
        let at = share_path(path);
        let dated = self.dice.happens(20).then(|| self.now().plus(Duration::from_secs(self.dice.pick(&[0, 1, 100]))));
        self.disk.note(format!("     -- PUT {path} {:?} {:?}", String::from_utf8_lossy(&bytes), request.precondition));
        self.plan();
        let sent = bytes.clone();
        let outcome = self.with_share(|share, now, disk| {
            share.may_put(&at, &request.clone().at(now), Some(sent.len() as u64))?;
            let mut upload = share.begin_upload(&at, Some(sent.len() as u64), disk.now())?;
            share.write(&mut upload, &sent, disk.now())?;
            share.put(&at, upload, dated, &request.at(disk.now()))
        });
        if let Some(Ok(stored)) = &outcome {
            self.is_stored(&bytes);
            self.shows(&stored.tag.to_string(), &bytes);
            self.clients[client].insert(path, (stored.tag.to_string(), bytes));
            if let Some(named) = named {
                self.displaced_what_was_named(path, stored.displaced.as_ref(), &named);
            }
        }
        self.says_no_more_than_it_must(outcome.map(|outcome| outcome.map(drop)));
    }

    fn delete(&mut self, client: usize, path: &'static str) {
        let (request, named) = self.asks(client, path);
        let at = share_path(path);
        self.disk.note(format!("     -- DELETE {path} {:?}", request.precondition));
        self.plan();
        let outcome = self.with_share(|share, now, _| share.delete(&at, &request.clone().at(now)));
        if let (Some(Ok(removed)), Some(named)) = (&outcome, named) {
            self.displaced_what_was_named(path, removed.displaced.as_ref(), &named);
        }
        self.says_no_more_than_it_must(outcome.map(|outcome| outcome.map(drop)));
    }

    fn relocate(&mut self, client: usize, path: &'static str, moves: bool) {
        let to = self.dice.pick(&PATHS);
        let (request, _) = self.asks(client, path);
        let (may_replace, is_wanted) = (self.dice.happens(70), self.waiting());
        let wanted = Relocation { from: share_path(path), to: share_path(to), may_replace, dated: None };
        self.disk.note(format!(
            "     -- {} {path} to {to} {:?}",
            if moves { "MOVE" } else { "COPY" },
            request.precondition
        ));
        self.plan();
        let outcome = self.with_share(|share, now, _| {
            if moves {
                share.relocate(&wanted, &request.clone().at(now), CopyLimit::WhileWanted(&is_wanted)).map(drop)
            } else {
                share
                    .copy(&wanted, Extent::Tree, &request.clone().at(now), CopyLimit::WhileWanted(&is_wanted))
                    .map(drop)
            }
        });
        self.says_no_more_than_it_must(outcome);
    }

    /// A client that waits for a copy, and now and then leaves in the middle of it.
    fn waiting(&mut self) -> impl Fn() -> bool + use<> {
        let patience = Cell::new(if self.dice.happens(15) { self.dice.roll(8) } else { usize::MAX });
        move || {
            patience.set(patience.get().saturating_sub(1));
            patience.get() > 0
        }
    }

    fn read(&mut self, client: usize, path: &'static str) {
        let at = share_path(path);
        self.disk.note(format!("     -- GET {path}"));
        self.plan();
        let outcome = self.with_share(|share, now, _| match share.read(&at, &RequestContext::unconditional(now))? {
            OpenResource::File(content, identity) => {
                let mut bytes = vec![0; content.size() as usize];
                let count = content.read_at(0, &mut bytes).unwrap_or_default();
                // The bodies of answers withhold the end of a file that is not what it was any more: nobody has that for the version.
                let is_whole = count == bytes.len() && content.is_unchanged();
                Ok(is_whole.then(|| (identity.validators.shown.clone(), bytes)))
            }
            OpenResource::Collection(_) => Ok(None),
        });
        if let Some(Ok(Some((tag, bytes)))) = outcome
            && !tag.is_weak()
        {
            self.shows(&tag.to_string(), &bytes);
            self.clients[client].insert(path, (tag.to_string(), bytes));
        }
    }

    fn restore(&mut self, path: &'static str) {
        let at = share_path(path);
        let which = self.dice.roll(4);
        self.disk.note(format!("     -- restore {path}"));
        let is_wanted = self.waiting();
        self.plan();
        let outcome = self.with_share(|share, now, _| {
            let versions = share
                .versions(
                    &at,
                    PageRequest { before: None, count: usize::MAX },
                    &RequestContext::default(),
                    &mut || ControlFlow::Continue(()),
                )?
                .items;
            let Some(version) = versions.get(which) else { return Ok(()) };
            share
                .restore(
                    &at,
                    &version.id,
                    false,
                    &RequestContext::unconditional(now),
                    CopyLimit::WhileWanted(&is_wanted),
                )
                .map(drop)
        });
        self.says_no_more_than_it_must(outcome);
    }

    fn lock(&mut self, path: &'static str) {
        let at = share_path(path);
        let token = LockToken::from_random([self.dice.roll(256) as u8; 16]);
        let wish = LockRequest {
            token: token.clone(),
            scope: Scope::Exclusive,
            reach: Reach::Below,
            owner: None,
            timeout: Some(Duration::from_secs(600)),
        };
        self.disk.note(format!("     -- LOCK {path}"));
        self.plan();
        let outcome = self.with_share(|share, now, _| share.lock(&at, wish, &RequestContext::unconditional(now)));
        if let Some(Ok(_)) = outcome {
            self.tokens.push((path, token));
        }
    }

    /// The client was told: from now on it is owed.
    fn is_stored(&mut self, bytes: &[u8]) {
        self.disk.owe(bytes);
        self.stored.push(bytes.to_vec());
    }

    /// A tag stands for one content, for ever.
    fn shows(&mut self, tag: &str, bytes: &[u8]) {
        if let Some(other) = self.tags.insert(tag.to_owned(), bytes.to_vec())
            && other != bytes
        {
            self.broken(&format!("{tag} stands for {:?} and {:?}", text(&other), text(bytes)));
        }
    }

    fn displaced_what_was_named(
        &mut self,
        path: &'static str,
        id: Option<&noclobber::model::version::VersionId>,
        named: &[u8],
    ) {
        let Some(id) = id else { self.broken("a condition named a version, and nothing was displaced") };
        let (at, id) = (share_path(path), id.clone());
        self.disk.resume(vec![]);
        let kept = self.with_share(|share, now, _| {
            match share.read_version(&at, &id, &RequestContext::unconditional(now))? {
                OpenResource::File(content, _) => {
                    let mut bytes = vec![0; content.size() as usize];
                    content.read_at(0, &mut bytes).map(|_| bytes).map_err(|_| Stop::from(Refusal::NotFound))
                }
                OpenResource::Collection(_) => Err(Refusal::IsCollection.into()),
            }
        });
        // A program that had it open may have written into it since: then its own words are there.
        let written = self.disk.account().written;
        match kept {
            Some(Ok(bytes)) if bytes == named || written.contains(&bytes) => {}
            other => self.broken(&format!("{:?} was named, and {other:?} displaced", text(named))),
        }
    }

    /// With nothing in its way a request is not answered by a fault.
    fn says_no_more_than_it_must(&self, outcome: Option<Outcome<()>>) {
        if let Some(Err(Stop::Fault(error))) = outcome
            && !error.message.contains("simulated")
        {
            self.broken(&format!("a fault of its own: {error:?}"));
        }
    }

    fn nothing_is_lost(&self) {
        let (mut lost, written) = (self.disk.lost(), self.disk.account().written);
        // What a program writes into a file that a program has replaced or removed is theirs to lose.
        lost.retain(|bytes| !written.contains(bytes) || self.disk.server_took_the_last_name_of(bytes));
        if !lost.is_empty() {
            self.broken(&format!("lost: {:?}", lost.iter().map(|bytes| text(bytes)).collect::<Vec<_>>()));
        }
    }

    /// When everybody has closed what was open and time has passed, nothing is under way any more.
    fn end(&mut self) {
        self.disk.resume(vec![]);
        for hand in 0..2 {
            self.disk.act(&Act::Close { hand });
        }
        for _ in 0..3 {
            self.disk.advance(Duration::from_secs(11));
            self.with_share(|share, now, _| {
                share.tick(now);
                Ok(())
            });
            self.nothing_is_lost();
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
