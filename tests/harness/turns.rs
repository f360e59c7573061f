//! Two requests at once on the simulated disk, one call at a time, in every order.
//!
//! Each thread waits for its turn before every call of the disk that the other could notice; a schedule says whose turn it is, and all schedules are tried, depth
//! first. A thread that waits for another's mutex has no turn to take: that it sleeps is read from the system, never guessed by time.

use std::cell::Cell;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::sim_disk::{Pace, Plan, SimDisk};

/// How many schedules there were, and the longest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Schedules {
    /// How many.
    pub count: usize,
    /// The most turns in one.
    pub turns_max: usize,
}

/// More turns than there are in any schedule.
const TURNS_MAX: usize = 10_000;

/// How often both are looked at in vain, a millisecond apart, until it is said that neither can go on.
const LOOKS_IN_VAIN_MAX: usize = 20_000;

/// Runs two pieces of work on a fresh disk in every order in which their calls can follow each other. `set_up` gives the disk, what
/// the work needs and what else is to happen, `work` makes the two, and `judge` looks at what came of it and says what is wrong.
///
/// # Panics
/// If anything is wrong, with the trace; or if there are more than `count_max` schedules, since none is to be left out silently.
pub fn in_every_order<C: Sync, T: Send>(
    count_max: usize,
    set_up: impl Fn() -> (SimDisk, C, Plan),
    work: impl Fn(&SimDisk, &C, usize) -> T + Sync,
    judge: impl Fn(&SimDisk, &C, [T; 2]) -> Option<String>,
) -> Schedules {
    let mut schedules = Schedules::default();
    let mut next = Some(Vec::new());
    while let Some(schedule) = next {
        let taken = in_order(Turns::default(), &schedule, &set_up, &work, &judge);
        schedules.add(&taken);
        assert!(schedules.count <= count_max, "more than {count_max} schedules");
        next = following(&taken);
    }
    schedules
}

/// As [`in_every_order`], for work of so many calls that there are too many orders, and where calls matter that are no turns there, such as looks
/// at the server's own folder: before each call of the one the other runs as far as it can, once, and the same the other way round.
///
/// # Panics
/// If anything is wrong, with the trace.
pub fn with_the_other_at_every_step<C: Sync, T: Send>(
    set_up: impl Fn() -> (SimDisk, C, Plan),
    work: impl Fn(&SimDisk, &C, usize) -> T + Sync,
    judge: impl Fn(&SimDisk, &C, [T; 2]) -> Option<String>,
) -> Schedules {
    let mut schedules = Schedules::default();
    for who in [0, 1] {
        for steps in 0.. {
            let schedule = [vec![who; steps], vec![1 - who; TURNS_MAX]].concat();
            let turns = Turns { counts_all: true, ..Turns::default() };
            let taken = in_order(turns, &schedule, &set_up, &work, &judge);
            schedules.add(&taken);
            if taken.iter().filter(|turn| turn.who == who).count() <= steps {
                break;
            }
        }
    }
    schedules
}

/// Runs the two on a fresh disk in the order of a schedule; says whose turns there were.
fn in_order<C: Sync, T: Send>(
    turns: Turns,
    schedule: &[usize],
    set_up: impl Fn() -> (SimDisk, C, Plan),
    work: impl Fn(&SimDisk, &C, usize) -> T + Sync,
    judge: impl Fn(&SimDisk, &C, [T; 2]) -> Option<String>,
) -> Vec<Turn> {
    let (disk, context, plan) = set_up();
    let turns = Arc::new(turns);
    disk.begin(plan);
    disk.set_pace(Some(Arc::clone(&turns) as Arc<dyn Pace>));
    let (outcomes, taken) = thread::scope(|scope| {
        let threads = [0, 1].map(|who| {
            let (turns, disk, context, work) = (Arc::clone(&turns), &disk, &context, &work);
            scope.spawn(move || {
                let _present = Present::enter(&turns, who);
                work(disk, context, who)
            })
        });
        let taken = turns.conduct(schedule, &disk);
        (threads.map(|thread| thread.join().expect("a request does not panic")), taken)
    });
    disk.set_pace(None);
    assert!(taken.len() < TURNS_MAX, "{} turns are more than a schedule has", taken.len());
    if let Some(wrong) = judge(&disk, &context, outcomes) {
        panic!("{wrong}\n    {}", disk.trace().join("\n    "));
    }
    taken
}

impl Schedules {
    fn add(&mut self, taken: &[Turn]) {
        self.count += 1;
        self.turns_max = self.turns_max.max(taken.len());
    }
}

/// Whose turn it was, and whether the other could have had it.
#[derive(Clone, Copy, Debug)]
struct Turn {
    who: usize,
    other_could: bool,
}

/// The next schedule, depth first: the last turn that can still go to the other one does.
fn following(taken: &[Turn]) -> Option<Vec<usize>> {
    // The default is thread 0 wherever it can; so a turn that went to 0 is the one to change.
    let last = taken.iter().rposition(|turn| turn.who == 0 && turn.other_could)?;
    let mut schedule: Vec<_> = taken[..last].iter().map(|turn| turn.who).collect();
    schedule.push(1);
    Some(schedule)
}

thread_local! {
    static WHO: Cell<Option<usize>> = const { Cell::new(None) };
}

#[derive(Default)]
struct Turns {
    seats: Mutex<[Seat; 2]>,
    changed: Condvar,
    /// Whether every call of the disk is a turn.
    counts_all: bool,
    /// Whether nobody waits for turns any more, since it has gone wrong.
    are_free: AtomicBool,
}

#[derive(Clone, Debug, Default)]
struct Seat {
    /// Where the system tells of the thread.
    status: Option<String>,
    state: SeatState,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SeatState {
    #[default]
    Absent,
    Waiting,
    /// It was given its turn and has not woken yet.
    Called,
    Running,
    Done,
}

/// A thread that takes part; leaving is its end, whatever way.
struct Present<'a>(&'a Turns, usize);

impl<'a> Present<'a> {
    fn enter(turns: &'a Turns, who: usize) -> Self {
        WHO.set(Some(who));
        let link = fs::read_link("/proc/thread-self").expect("Linux tells of threads");
        let status = format!("/proc/{}/status", link.display());
        turns.lock()[who] = Seat { status: Some(status), state: SeatState::Running };
        turns.wait_for_turn(who);
        Self(turns, who)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        WHO.set(None);
        self.0.set(self.1, SeatState::Done);
    }
}

impl Pace for Turns {
    fn before_step(&self) {
        if let Some(who) = WHO.get() {
            self.wait_for_turn(who);
        }
    }

    fn counts_all(&self) -> bool {
        self.counts_all
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, [Seat; 2]> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, who: usize, state: SeatState) {
        self.lock()[who].state = state;
        self.changed.notify_all();
    }

    fn wait_for_turn(&self, who: usize) {
        let mut seats = self.lock();
        seats[who].state = SeatState::Waiting;
        self.changed.notify_all();
        while seats[who].state == SeatState::Waiting && !self.are_free.load(Ordering::Acquire) {
            seats = self.changed.wait(seats).unwrap_or_else(PoisonError::into_inner);
        }
        seats[who].state = SeatState::Running;
    }

    /// Gives turns by the schedule, and after its end to the first who can, until both are done.
    fn conduct(&self, schedule: &[usize], disk: &SimDisk) -> Vec<Turn> {
        let (mut taken, mut looked_in_vain) = (Vec::new(), 0);
        loop {
            let seats = self.settle();
            let can = |who: usize| seats[who] == SeatState::Waiting;
            if seats.iter().all(|state| *state == SeatState::Done) {
                return taken;
            }
            if !can(0) && !can(1) {
                // Whoever sleeps may have laid himself down for a moment, and not in a mutex.
                looked_in_vain += 1;
                if looked_in_vain < LOOKS_IN_VAIN_MAX {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                }
                self.are_free.store(true, Ordering::Release);
                self.changed.notify_all();
                panic!("nobody can go on\n    {}", disk.trace().join("\n    "));
            }
            looked_in_vain = 0;
            let wished = schedule.get(taken.len()).copied().filter(|who| can(*who));
            let who = wished.unwrap_or(usize::from(!can(0)));
            taken.push(Turn { who, other_could: can(1 - who) });
            disk.note(format!("   {}:", ["one", "other"][who]));
            self.set(who, SeatState::Called);
        }
    }

    /// Waits until each thread waits for its turn, is done, or sleeps in a mutex.
    fn settle(&self) -> [SeatState; 2] {
        loop {
            let mut seats = self.lock();
            if seats.iter().any(|seat| !matches!(seat.state, SeatState::Waiting | SeatState::Done)) {
                let short = Duration::from_micros(200);
                seats = self.changed.wait_timeout(seats, short).unwrap_or_else(PoisonError::into_inner).0;
            }
            let snapshot = seats.clone();
            drop(seats);
            let asleep = |seat: &Seat| seat.state == SeatState::Running && seat.sleeps();
            let settled = |seat: &Seat| matches!(seat.state, SeatState::Waiting | SeatState::Done) || asleep(seat);
            let somebody = snapshot.iter().any(|seat| matches!(seat.state, SeatState::Waiting | SeatState::Done));
            if somebody
                && snapshot.iter().all(settled)
                && self.lock().iter().zip(&snapshot).all(|(a, b)| a.state == b.state)
            {
                return snapshot.map(|seat| seat.state);
            }
        }
    }
}

impl Seat {
    /// Whether the thread sleeps, and has not run between two looks.
    fn sleeps(&self) -> bool {
        let Some(status) = &self.status else { return false };
        let look = || {
            let text = fs::read_to_string(status).unwrap_or_default();
            let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
            (
                line("State:").contains("(sleeping)"),
                line("voluntary_ctxt_switches:"),
                line("nonvoluntary_ctxt_switches:"),
            )
        };
        let first = look();
        first.0 && {
            thread::sleep(Duration::from_micros(50));
            look() == first
        }
    }
}
