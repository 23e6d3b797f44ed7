//! Where a replay's time goes: `--profile-time`.
//!
//! A replay is a sequence of stages, each measured as it is: wall time, and CPU time of the whole process. The two that stream events
//! are taken apart. Reading and comparing are measured on the threads that do them, chunk by chunk. What happens for each event, as
//! the rules, is too short for a clock: one call in [`ONE_IN`] is measured and stands for all of them, and its share is taken off what
//! surrounds it. Off, all of it costs the reading of one flag for each call.
//!
//! There is one account for the process: it is meant for the program, which replays once.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// One call in so many is measured where a call is short. No power of two: what recurs by those would be seen always or never.
pub const ONE_IN: u64 = 61;

/// What a replay does one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Verify,
    Baseline,
    Tables,
    Stream,
    Statistics,
    Semantics,
    Alerts,
    Output,
}

impl Task {
    const ALL: [Task; 8] = [
        Task::Verify,
        Task::Baseline,
        Task::Tables,
        Task::Stream,
        Task::Statistics,
        Task::Semantics,
        Task::Alerts,
        Task::Output,
    ];

    fn name(self) -> &'static str {
        match self {
            Task::Verify => "open and verify",
            Task::Baseline => "learn the baseline",
            Task::Tables => "read the tables",
            Task::Stream => "replay the events",
            Task::Statistics => "statistics engine",
            Task::Semantics => "semantics engine",
            Task::Alerts => "alerts and incidents",
            Task::Output => "write the results",
        }
    }
}

/// What is done with the events of a stage, on any thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Read,
    Compare,
    Rules,
    Embed,
}

impl Part {
    const ALL: [Part; 4] = [Part::Read, Part::Compare, Part::Rules, Part::Embed];

    fn name(self) -> &'static str {
        match self {
            Part::Read => "read and decode",
            Part::Compare => "observe, learn, compare",
            Part::Rules => "rules engine",
            Part::Embed => "embed arguments",
        }
    }
}

struct Spent {
    /// ns
    wall: AtomicU64,
    /// ns
    cpu: AtomicU64,
}

impl Spent {
    const fn nothing() -> Spent {
        Spent { wall: AtomicU64::new(0), cpu: AtomicU64::new(0) }
    }

    fn add(&self, wall: u64, cpu: u64) {
        self.wall.fetch_add(wall, Relaxed);
        self.cpu.fetch_add(cpu, Relaxed);
    }

    /// s
    fn seconds(&self) -> (f64, f64) {
        (self.wall.load(Relaxed) as f64 / 1e9, self.cpu.load(Relaxed) as f64 / 1e9)
    }
}

const STAGE_COUNT: usize = Task::ALL.len();
const PART_COUNT: usize = Part::ALL.len();

type Parts = [Spent; PART_COUNT];

static ON: AtomicBool = AtomicBool::new(false);
/// The stage that parts are of.
static PRESENT: AtomicU8 = AtomicU8::new(Task::Stream as u8);
static STAGES: [Spent; STAGE_COUNT] = [const { Spent::nothing() }; STAGE_COUNT];
/// Wall time without that of parts within; by stage.
static PARTS: [Parts; STAGE_COUNT] = [const { [const { Spent::nothing() }; PART_COUNT] }; STAGE_COUNT];
/// With the parts within; by stage and outermost part.
static WHOLE: [Parts; STAGE_COUNT] = [const { [const { Spent::nothing() }; PART_COUNT] }; STAGE_COUNT];
static EVENTS: [AtomicU64; STAGE_COUNT] = [const { AtomicU64::new(0) }; STAGE_COUNT];

thread_local! {
    /// Parts that this thread is in.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Wall time of what is within the present part or call, ns.
    static WITHIN: Cell<u64> = const { Cell::new(0) };
    /// Wall time of the parts within the present measured call, ns: they are measured each time, and stand for themselves.
    static EXACT: Cell<u64> = const { Cell::new(0) };
    /// Calls that could have been measured.
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static CALL: Cell<Call> = const { Cell::new(Call::None) };
}

/// The call of [`each`] that a thread is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    None,
    Measured,
    PassedOver,
}

/// From here on time is accounted for.
pub fn start() {
    ON.store(true, Relaxed);
}

pub fn is_on() -> bool {
    ON.load(Relaxed)
}

fn clock(id: ClockId) -> Duration {
    // Both clocks are there on every Linux.
    clock_gettime(id).map_or(Duration::ZERO, Duration::from)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Does `work` as a stage. A stage within a stage is accounted for by both.
pub fn stage<T>(stage: Task, work: impl FnOnce() -> T) -> T {
    if !is_on() {
        return work();
    }
    let before = PRESENT.swap(stage as u8, Relaxed);
    let (begin, cpu) = (Instant::now(), clock(ClockId::CLOCK_PROCESS_CPUTIME_ID));
    let result = work();
    let cpu = clock(ClockId::CLOCK_PROCESS_CPUTIME_ID).saturating_sub(cpu);
    STAGES[stage as usize].add(nanoseconds(begin.elapsed()), nanoseconds(cpu));
    PRESENT.store(before, Relaxed);
    result
}

/// Until it is dropped, this thread is at that part of the present stage.
pub fn part(part: Part) -> AtWork {
    AtWork(is_on().then(|| {
        DEPTH.set(DEPTH.get() + 1);
        Begun { part, wall: Instant::now(), cpu: clock(ClockId::CLOCK_THREAD_CPUTIME_ID), before: WITHIN.replace(0) }
    }))
}

/// See [`part`].
#[must_use = "the part ends when this is dropped"]
pub struct AtWork(Option<Begun>);

struct Begun {
    part: Part,
    wall: Instant,
    cpu: Duration,
    /// Time within the surrounding part before this one began.
    before: u64,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let Some(Begun { part, wall, cpu, before }) = self.0.take() else { return };
        let stage = usize::from(PRESENT.load(Relaxed));
        let wall = nanoseconds(wall.elapsed());
        let within = WITHIN.replace(before + wall);
        if CALL.get() == Call::Measured {
            EXACT.set(EXACT.get() + wall);
        }
        PARTS[stage][part as usize].add(wall.saturating_sub(within), 0);
        let depth = DEPTH.get() - 1;
        DEPTH.set(depth);
        if depth == 0 {
            let cpu = clock(ClockId::CLOCK_THREAD_CPUTIME_ID).saturating_sub(cpu);
            WHOLE[stage][part as usize].add(wall, nanoseconds(cpu));
            WITHIN.set(0);
        }
    }
}

/// Does what is done for each event. The calls that are measured stand for those that are not, with the calls within them.
#[inline]
pub fn each<T>(part: Part, work: impl FnOnce() -> T) -> T {
    if is_on() { sampled(part, work) } else { work() }
}

fn sampled<T>(part: Part, work: impl FnOnce() -> T) -> T {
    let around = CALL.get();
    if around == Call::None {
        let calls = CALLS.get() + 1;
        CALLS.set(calls);
        CALL.set(if calls.is_multiple_of(ONE_IN) { Call::Measured } else { Call::PassedOver });
    }
    if CALL.get() == Call::PassedOver {
        let result = work();
        CALL.set(around);
        return result;
    }
    let before = WITHIN.replace(0);
    let begin = Instant::now();
    let result = work();
    let wall = nanoseconds(begin.elapsed());
    let own = wall.saturating_sub(WITHIN.get()) * ONE_IN;
    PARTS[usize::from(PRESENT.load(Relaxed))][part as usize].add(own, 0);
    if around == Call::None {
        let exact = EXACT.replace(0);
        WITHIN.set(before + wall.saturating_sub(exact) * ONE_IN + exact);
    } else {
        WITHIN.set(before + wall);
    }
    CALL.set(around);
    result
}

/// So many events were taken.
pub fn events(count: usize) {
    if is_on() {
        EVENTS[usize::from(PRESENT.load(Relaxed))].fetch_add(count as u64, Relaxed);
    }
}

/// Where the time went, so far.
#[derive(Clone, Debug, Serialize)]
pub struct Account {
    /// One call of the rules engine in so many was measured.
    pub one_in: u64,
    pub phases: Vec<Phase>,
}

/// A stage, or a part of the one before it.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    pub name: &'static str,
    /// Of the stage before it.
    pub is_part: bool,
    /// s; of a part: over all threads.
    pub wall_s: f64,
    /// s; of a stage: of the whole process; of a part: of the threads that do it, without those of the model's runtime.
    pub cpu_s: f64,
    /// Those that were taken; null where no events are streamed.
    pub events: Option<u64>,
    /// `events` by `cpu_s`; null without either.
    pub events_per_cpu_second: Option<f64>,
}

impl Phase {
    fn new(name: &'static str, is_part: bool, (wall, cpu): (f64, f64), events: Option<u64>) -> Phase {
        let micro = |seconds: f64| (seconds * 1e6).round() / 1e6;
        let rate = events.filter(|_| cpu > 0.0).map(|events| (events as f64 / cpu).round());
        Phase { name, is_part, wall_s: micro(wall), cpu_s: micro(cpu), events, events_per_cpu_second: rate }
    }
}

/// `None`: nothing was asked for.
pub fn account() -> Option<Account> {
    is_on().then(|| {
        let mut phases = Vec::new();
        for stage in Task::ALL {
            let spent = STAGES[stage as usize].seconds();
            let taken = Some(EVENTS[stage as usize].load(Relaxed)).filter(|events| *events > 0);
            if spent.0 > 0.0 {
                phases.push(Phase::new(stage.name(), false, spent, taken));
            }
            for part in Part::ALL {
                let (wall, _) = PARTS[stage as usize][part as usize].seconds();
                // What is within another part shares its threads' CPU time as it shares their time.
                let whole_of = |part: Part| WHOLE[stage as usize][part as usize].seconds();
                let outer = if part == Part::Read { Part::Read } else { Part::Compare };
                let (whole, cpu) = [whole_of(outer), whole_of(Part::Read)]
                    .into_iter()
                    .find(|(wall, _)| *wall > 0.0)
                    .unwrap_or_default();
                if wall > 0.0 {
                    let cpu = if whole > 0.0 { wall * cpu / whole } else { 0.0 };
                    phases.push(Phase::new(part.name(), true, (wall, cpu), taken));
                }
            }
        }
        Account { one_in: ONE_IN, phases }
    })
}

impl Account {
    /// A table for people.
    pub fn render(&self) -> String {
        let total: f64 = self.phases.iter().filter(|phase| !phase.is_part).map(|phase| phase.cpu_s).sum();
        let mut out = format!(
            "{:28} {:>9} {:>9} {:>6} {:>11} {:>14}\n",
            "where the time went", "wall s", "CPU s", "CPU", "events", "events/CPU s"
        );
        for phase in &self.phases {
            let Phase { name, is_part, wall_s, cpu_s, events, events_per_cpu_second } = phase;
            let name = format!("{}{name}", if *is_part { "  " } else { "" });
            let share = if total > 0.0 { format!("{:.1} %", 100.0 * cpu_s / total) } else { "-".to_owned() };
            let events = events.map_or("-".to_owned(), |events| events.to_string());
            let rate = events_per_cpu_second.map_or("-".to_owned(), |rate| format!("{rate:.0}"));
            out += &format!("{name:28} {wall_s:>9.3} {cpu_s:>9.3} {share:>6} {events:>11} {rate:>14}\n");
        }
        out
    }
}
