//! Walks through a story: every step fails, crashes, or is followed by a stranger's act, and the end of each is judged.
//!
//! A [`Story`] is run once to see how many steps it has, and then once for each thing that can happen in it, with nothing random and
//! no point left out. Each run starts from a fresh disk. What breaks is shown by its shortest trace.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use noclobber::store::disk_error::Cause;

use super::invariants::{Answer, Broken, End};
use super::sim_disk::{Crash, Crashed, Event, Matters, Plan, SimDisk, When};
use super::stranger::{Act, Script};

/// Longer than a displaced file is kept in sight.
const A_WHILE: Duration = Duration::from_secs(11);

/// One request on a small folder, and what must hold afterwards.
pub trait Story {
    /// What answers requests.
    type Server;
    /// What it is called in the summary.
    fn name(&self) -> String;
    /// A disk with the folder, and a server on it, before the request.
    fn set_up(&self) -> (SimDisk, Self::Server);
    /// A server on a disk that may have seen a crash.
    fn start(&self, disk: &SimDisk) -> Self::Server;
    /// The request.
    fn operate(&self, disk: &SimDisk, server: &Self::Server) -> Answer;
    /// The second look at everything that is due.
    fn look_again(&self, disk: &SimDisk, server: &Self::Server);
    /// What does not hold, once all is quiet.
    fn judge(&self, disk: &SimDisk, end: &End) -> Vec<Broken>;
    /// Whether this is a known limit of the tier: counted, not failed.
    fn is_known(&self, broken: &Broken, end: &End) -> bool;
    /// The request was answered with success: what it brought is owed from now on.
    fn owe(&self, disk: &SimDisk);
}

/// What was walked through, and what was found.
#[derive(Debug, Default)]
pub struct Tally {
    name: String,
    points: usize,
    answers: BTreeMap<String, usize>,
    known: BTreeMap<&'static str, usize>,
    broken: BTreeMap<&'static str, Worst>,
}

/// The steps of one run.
#[derive(Debug)]
struct Steps {
    matters: Vec<Matters>,
    crashes: Vec<usize>,
}

#[derive(Debug)]
struct Worst {
    count: usize,
    found: String,
    trace: Vec<String>,
}

/// Every call fails once, with each of `causes`, and a sync or a write also after it did its work.
pub fn fail_every_step<S: Story>(story: &S, causes: &[Cause]) -> Tally {
    let mut tally = Tally::of(story, "every step fails");
    let rehearsed = rehearse(story, &[], &[]);
    let trace = rehearsed.trace();
    for at in 1..=rehearsed.steps() {
        for &cause in causes {
            tally.point(story, vec![Event::Fail { at, cause }], &[]);
        }
        let may_have_worked = |line: &&String| {
            line.starts_with(&format!("{at:4} "))
                && ["sync_", "write", "reserve"].iter().any(|call| line[5..].starts_with(call))
        };
        if trace.iter().any(|line| may_have_worked(&line)) {
            tally.point(story, vec![Event::FailAfter { at, cause: Cause::Failed }], &[]);
        }
    }
    tally
}

/// The server dies before every step and after the last: killed, or by a power cut with every prefix of the names. What it left is
/// recovered, and the recovery dies at every step of its own once, too. Where a step only looked, a crash after it leaves what one
/// before it leaves, and is not tried again.
pub fn crash_at_every_step<S: Story>(story: &S) -> Tally {
    let mut tally = Tally::of(story, "every step crashes");
    for crash in Steps::of(&rehearse(story, &[], &[])).crashes() {
        tally.crash(story, crash, Depth { cuts: true, again: true });
    }
    tally
}

/// A stranger begins at every step, goes on at every later one, and the server dies at every step: killed, and if `cuts` also by a power
/// cut with every prefix of the names.
pub fn crash_among_strangers<S: Story>(story: &S, scripts: &[Script], cuts: bool) -> Tally {
    let mut tally = Tally::of(story, "strangers, and every step crashes");
    for script in scripts {
        place(&[], &script.acts, cuts, &mut |plan, rest| {
            let steps = Steps::of(&rehearse(story, plan, rest));
            for crash in steps.crashes() {
                tally.crash(story, [plan, &later(rest), &crash[..]].concat(), Depth { cuts, again: false });
            }
            steps
        });
    }
    tally
}

/// A stranger begins at every step, and each of his later acts falls on every later step.
pub fn strangers_at_every_step<S: Story>(story: &S, scripts: &[Script]) -> Tally {
    let mut tally = Tally::of(story, "strangers at every step");
    for script in scripts {
        place(&[], &script.acts, false, &mut |plan, rest| tally.point(story, plan.to_vec(), rest));
    }
    tally
}

/// Two strangers at once, for every way in which their acts can follow each other. `both` says which pairs.
pub fn two_strangers_at_every_step<S: Story>(
    story: &S,
    (ones, others): (&[Script], &[Script]),
    both: impl Fn(&Script, &Script) -> bool,
) -> Tally {
    let mut tally = Tally::of(story, "two strangers at every step");
    for (number, one) in ones.iter().enumerate() {
        for other in others[number.min(others.len())..].iter().filter(|other| both(one, other)) {
            for acts in interleavings(&one.acts, &other.acts) {
                place(&[], &acts, false, &mut |plan, rest| tally.point(story, plan.to_vec(), rest));
            }
        }
    }
    tally
}

/// A stranger acts at every step, and every call fails once.
pub fn fail_among_strangers<S: Story>(story: &S, scripts: &[Script]) -> Tally {
    let mut tally = Tally::of(story, "strangers, and every step fails");
    for script in scripts {
        place(&[], &script.acts, false, &mut |plan, rest| {
            let steps = Steps::of(&rehearse(story, plan, rest));
            for at in 1..=steps.matters.len() {
                tally.point(story, [plan, &[Event::Fail { at, cause: Cause::Failed }]].concat(), rest);
            }
            steps
        });
    }
    tally
}

/// Prints what was walked through and fails if anything was found.
pub fn finish(tallies: Vec<Tally>) {
    let mut complaint = String::new();
    for tally in tallies {
        println!("{}", tally.summary());
        for (invariant, worst) in &tally.broken {
            let Worst { count, found, trace } = worst;
            let trace = trace.join("\n    ");
            let _ =
                write!(complaint, "\n{}: {invariant} is broken at {count} points: {found}\n    {trace}\n", tally.name);
        }
    }
    assert!(complaint.is_empty(), "{complaint}");
}

/// What is tried after a crash.
#[derive(Clone, Copy, Debug)]
struct Depth {
    /// Power cuts, too.
    cuts: bool,
    /// The recovery dies, too.
    again: bool,
}

impl Steps {
    fn of(disk: &SimDisk) -> Self {
        Self { matters: disk.matters(), crashes: disk.crashes_that_matter() }
    }

    /// A plan for each crash that leaves something else than another one, and the last one, in which the request is answered first.
    fn crashes(&self) -> impl Iterator<Item = Plan> {
        let before = |at: &usize| vec![Event::Crash { at: *at, when: When::Before }];
        self.crashes.iter().map(before).chain(std::iter::once(vec![]))
    }
}

impl Tally {
    fn of<S: Story>(story: &S, what: &str) -> Self {
        Self { name: format!("{}, {what}", story.name()), ..Self::default() }
    }

    /// One run that is not crashed; `rest` are the acts that come after the answer. Says which steps it had.
    fn point<S: Story>(&mut self, story: &S, plan: Plan, rest: &[Act]) -> Steps {
        let (disk, server) = story.set_up();
        let failed = plan.iter().any(|event| matches!(event, Event::Fail { .. } | Event::FailAfter { .. }));
        let acts = acts_of(&plan, rest);
        disk.begin([&plan[..], &later(rest)].concat());
        let answer = self.operate(story, &disk, &server);
        let steps = Steps::of(&disk);
        finish_story(story, &disk, &server, disk.acts_to_come());
        drop(server);
        if failed {
            let end = End { answer: Some(answer.clone()), crash: None, acts: acts.clone(), failed, restarted: false };
            self.judge(story, &disk, &end);
            // What a fault left under way is settled at the next start.
            disk.note("     -- noclobber starts again");
            disk.resume(vec![]);
            let server = story.start(&disk);
            finish_story(story, &disk, &server, vec![]);
        }
        let end = End { answer: Some(answer), crash: None, acts, failed, restarted: failed };
        self.judge(story, &disk, &end);
        steps
    }

    /// One run that crashes by the plan, and everything that can be left of it.
    fn crash<S: Story>(&mut self, story: &S, plan: Plan, depth: Depth) {
        let (disk, server) = story.set_up();
        let acts = acts_of(&plan, &[]);
        let dies = plan.iter().any(|event| matches!(event, Event::Crash { .. }));
        disk.begin(plan);
        let ended = catch_unwind(AssertUnwindSafe(|| story.operate(&disk, &server)));
        let answer = match ended {
            Ok(answer) => Some(answer),
            Err(payload) if payload.is::<Crashed>() => None,
            Err(payload) => resume_unwind(payload),
        };
        if answer == Some(Answer::Done) {
            story.owe(&disk);
        }
        assert!(answer.is_some() || dies, "only a planned crash ends a story");
        let to_come = disk.acts_to_come();
        let unsynced = disk.unsynced_changes();
        let cuts = (0..=unsynced).filter(|_| depth.cuts).map(|changes| Crash::PowerCut { changes });
        for crash in std::iter::once(Crash::Kill).chain(cuts) {
            let end =
                End { answer: answer.clone(), crash: Some(crash), acts: acts.clone(), failed: false, restarted: true };
            let to_come = if crash == Crash::Kill { to_come.clone() } else { vec![] };
            let left = disk.after_crash(crash);
            left.resume(vec![]);
            let server = story.start(&left);
            let crashes = left.crashes_that_matter();
            finish_story(story, &left, &server, to_come.clone());
            drop(server);
            self.judge(story, &left, &end);
            if depth.again {
                self.crash_again(story, &disk, crash, &end, &crashes);
            }
        }
        drop(server);
    }

    /// The recovery dies at each of its steps, too, and the next one has to do.
    fn crash_again<S: Story>(&mut self, story: &S, disk: &SimDisk, crash: Crash, end: &End, crashes: &[usize]) {
        for &at in crashes {
            let left = disk.after_crash(crash);
            left.resume(vec![Event::Crash { at, when: When::Before }]);
            let died = catch_unwind(AssertUnwindSafe(|| drop(story.start(&left))));
            assert!(died.is_err_and(|payload| payload.is::<Crashed>()), "the recovery is the same each time");
            for again in [Crash::Kill, Crash::PowerCut { changes: 0 }] {
                let left = left.after_crash(again);
                left.resume(vec![]);
                let server = story.start(&left);
                finish_story(story, &left, &server, vec![]);
                drop(server);
                let crash = if again == Crash::Kill { end.crash } else { Some(again) };
                self.judge(story, &left, &End { crash, ..end.clone() });
            }
        }
    }

    fn operate<S: Story>(&mut self, story: &S, disk: &SimDisk, server: &S::Server) -> Answer {
        let answer = catch_unwind(AssertUnwindSafe(|| story.operate(disk, server))).unwrap_or_else(|payload| {
            eprintln!("{}\n    {}", self.name, disk.trace().join("\n    "));
            resume_unwind(payload)
        });
        if answer == Answer::Done {
            story.owe(disk);
        }
        disk.note(format!("     -- {answer:?}"));
        answer
    }

    fn judge<S: Story>(&mut self, story: &S, disk: &SimDisk, end: &End) {
        self.points += 1;
        let word = match &end.answer {
            None => "unanswered".to_owned(),
            Some(Answer::Done) => "done".to_owned(),
            Some(Answer::Refused(why)) => why.clone(),
            Some(Answer::Fault(_)) => "fault".to_owned(),
        };
        *self.answers.entry(word).or_default() += 1;
        for broken in story.judge(disk, end) {
            let known = story.is_known(&broken, end);
            let Broken { invariant, found } = broken;
            if known {
                *self.known.entry(invariant).or_default() += 1;
                continue;
            }
            let mut trace = disk.trace();
            trace.extend(
                disk.contents_everywhere()
                    .into_iter()
                    .map(|(path, bytes)| format!("     at the end {path}: {:?}", String::from_utf8_lossy(&bytes))),
            );
            let worst = Worst { count: 0, found, trace };
            let before = self.broken.entry(invariant).or_insert_with(|| Worst {
                trace: worst.trace.clone(),
                found: worst.found.clone(),
                count: 0,
            });
            before.count += 1;
            if worst.trace.len() < before.trace.len() {
                (before.found, before.trace) = (worst.found, worst.trace);
            }
        }
    }

    fn summary(&self) -> String {
        let list = |counts: &mut dyn Iterator<Item = (String, usize)>| {
            counts.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        };
        let answers = list(&mut self.answers.iter().map(|(name, count)| (name.clone(), *count)));
        let known = list(&mut self.known.iter().map(|(name, count)| ((*name).to_owned(), *count)));
        let known = if known.is_empty() { known } else { format!("; known limits met: {known}") };
        format!("{}: {} points ({answers}){known}", self.name, self.points)
    }
}

/// Between a stranger's late acts, and after them, displaced files are looked at again; but not while somebody is just about to open
/// one, which takes him less than the ten seconds.
fn finish_story<S: Story>(story: &S, disk: &SimDisk, server: &S::Server, acts: Vec<Act>) {
    let look = || {
        disk.advance(A_WHILE);
        if !disk.somebody_is_on_his_way() {
            story.look_again(disk, server);
        }
    };
    for act in acts {
        look();
        disk.act(&act);
    }
    look();
    look();
}

/// Tries every placement of the acts: the first on every step, each later one on every step from there, and what is left after the
/// end; but for the steps where it would come to the same as just after them. `cuts` says whether the power is cut too. `run` is given a
/// plan and the rest, and says which steps there were.
fn place(plan: &[Event], acts: &[Act], cuts: bool, run: &mut dyn FnMut(&[Event], &[Act]) -> Steps) {
    let steps = run(plan, acts);
    let Some((next, rest)) = acts.split_first() else { return };
    let placed = plan.iter().filter_map(|event| match event {
        Event::Stranger { at, .. } => Some(*at),
        _ => None,
    });
    let from = placed.max().unwrap_or(1);
    let places = (1..).zip(&steps.matters).filter(|(at, matters)| *at >= from && matters.to(next, cuts));
    for (at, _) in places {
        let event = Event::Stranger { at, when: When::Before, act: next.clone() };
        place(&[plan, &[event]].concat(), rest, cuts, run);
    }
}

fn interleavings(one: &[Act], other: &[Act]) -> Vec<Vec<Act>> {
    match (one.split_first(), other.split_first()) {
        (None, _) => vec![other.to_vec()],
        (_, None) => vec![one.to_vec()],
        (Some((first, one_rest)), Some((second, other_rest))) => {
            let begun = |act: &Act, rest: Vec<Vec<Act>>| {
                rest.into_iter().map(|acts| [std::slice::from_ref(act), &acts].concat()).collect::<Vec<_>>()
            };
            [begun(first, interleavings(one_rest, other)), begun(second, interleavings(one, other_rest))].concat()
        }
    }
}

/// Runs a story once to see which steps it has. What is returned has seen the request and nothing more.
fn rehearse<S: Story>(story: &S, plan: &[Event], rest: &[Act]) -> SimDisk {
    let (disk, server) = story.set_up();
    disk.begin([plan, &later(rest)].concat());
    story.operate(&disk, &server);
    disk
}

/// Acts that come after every step.
fn later(acts: &[Act]) -> Plan {
    acts.iter().map(|act| Event::Stranger { at: usize::MAX, when: When::Before, act: act.clone() }).collect()
}

fn acts_of(plan: &[Event], rest: &[Act]) -> Vec<Act> {
    let planned = plan.iter().filter_map(|event| match event {
        Event::Stranger { act, .. } => Some(act.clone()),
        _ => None,
    });
    planned.chain(rest.iter().cloned()).collect()
}
