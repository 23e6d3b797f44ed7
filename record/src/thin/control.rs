//! When to thin which class: a controller that sees the load and answers with levels. Pure: the same ticks give the same
//! answers.
//!
//! It acts late and lets go slowly. Late, because a ring that is filling may yet be emptied in time, and then nothing was
//! to be left out; slowly, because a level that comes and goes with every burst gives rates that nobody can scale up.

use std::time::Duration;

use record_bpf::Class;
use record_bpf::abi::CLASS_MAX;

/// What may be thinned. Of these classes the critical kinds never are (`bpf/thin.h`).
pub const THINNED: [Class; 3] = [Class::File, Class::Network, Class::Syscall];

/// One event in `2^MAX_LEVEL` is kept at the least.
pub const MAX_LEVEL: u8 = 10;

/// How often the controller looks. A ring of 64 MiB that gets 200 MB a second is full after 335 ms.
pub const TICK: Duration = Duration::from_millis(20);

/// Share of the ring from which on a class is thinned, while it fills further. The kernel side keeps the last eighth for
/// critical kinds (`bpf/thin.h`), so that what is left between the two is 12 ticks of that load.
const HIGH: f64 = 0.5;
/// Share of the ring below which a level may go down again.
const LOW: f64 = 0.2;
/// How long the ring must have stayed below [`LOW`].
const HOLD: Duration = Duration::from_secs(1);
/// The hold grows to this when lowering proved to be early.
const HOLD_MAX: Duration = Duration::from_secs(16);

/// The load between two looks.
#[derive(Clone, Debug)]
pub struct Load {
    /// Since the tick before.
    pub elapsed: Duration,
    /// Share of the ring that is taken, 0 to 1.
    pub fill: f64,
    /// Share of the queue behind it that is taken, 0 to 1.
    pub queue: f64,
    /// Events that found no room since the tick before.
    pub dropped: u64,
    /// By class: events since the tick before, kept or not.
    pub emitted: [u64; CLASS_MAX],
    /// By class: of those, the ones left out by the sampler.
    pub sampled_out: [u64; CLASS_MAX],
}

/// A class is kept at another rate from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub class: Class,
    /// One event in `2^from` was kept before.
    pub from: u8,
    pub to: u8,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    level: u8,
    /// Events per second when it was first thinned: what the kernel's ring could not take.
    too_much: f64,
}

/// See the module's text.
#[derive(Debug)]
pub struct Controller {
    classes: [State; THINNED.len()],
    recorded: [bool; THINNED.len()],
    last_fill: f64,
    calm: Duration,
    hold: Duration,
    /// Since a level went down.
    since_lowered: Duration,
}

impl Controller {
    /// `recorded`: the classes of this recording.
    pub fn new(recorded: &[Class]) -> Controller {
        Controller {
            classes: Default::default(),
            recorded: THINNED.map(|class| recorded.contains(&class)),
            last_fill: 0.0,
            calm: Duration::ZERO,
            hold: HOLD,
            since_lowered: HOLD_MAX,
        }
    }

    /// The present level of a class.
    pub fn level(&self, class: Class) -> u8 {
        THINNED.iter().position(|thinned| *thinned == class).map_or(0, |at| self.classes[at].level)
    }

    /// Takes a tick's load; what has to change, if anything.
    pub fn tick(&mut self, load: &Load) -> Option<Change> {
        let filling = load.fill >= self.last_fill;
        self.last_fill = load.fill;
        self.since_lowered = self.since_lowered.saturating_add(load.elapsed);
        let crowded = load.dropped > 0 || (load.fill >= HIGH && filling);
        if crowded {
            self.calm = Duration::ZERO;
            return self.raise(load);
        }
        if load.fill > LOW || load.queue > 0.5 {
            self.calm = Duration::ZERO;
            return None;
        }
        self.calm = self.calm.saturating_add(load.elapsed);
        if self.calm < self.hold {
            return None;
        }
        self.lower(load)
    }

    /// One step for the class that fills the ring most; the first of equals.
    fn raise(&mut self, load: &Load) -> Option<Change> {
        if self.since_lowered < HOLD * 2 && self.classes.iter().any(|state| state.level > 0) {
            self.hold = (self.hold * 2).min(HOLD_MAX);
            self.since_lowered = HOLD_MAX; // one mistake, one lesson
        }
        let kept = |at: usize| {
            let index = THINNED[at] as usize;
            load.emitted[index].saturating_sub(load.sampled_out[index])
        };
        let may = |at: &usize| self.recorded[*at] && self.classes[*at].level < MAX_LEVEL && kept(*at) > 0;
        let at = (0..THINNED.len()).filter(may).max_by_key(|at| (kept(*at), std::cmp::Reverse(*at)))?;
        let state = &mut self.classes[at];
        if state.level == 0 {
            state.too_much = rate(load, at);
        }
        let from = state.level;
        state.level += 1;
        Some(Change { class: THINNED[at], from, to: state.level })
    }

    /// The class that is thinned most; down to nothing if what it was thinned for is over, else by one step.
    fn lower(&mut self, load: &Load) -> Option<Change> {
        let thinned = |at: &usize| self.classes[*at].level > 0;
        let Some(at) = (0..THINNED.len()).filter(thinned).max_by_key(|at| self.classes[*at].level) else {
            self.hold = HOLD;
            return None;
        };
        let state = &mut self.classes[at];
        let over = rate(load, at) < state.too_much / 2.0;
        let from = state.level;
        state.level = if over { 0 } else { from - 1 };
        self.calm = Duration::ZERO;
        self.since_lowered = Duration::ZERO;
        Some(Change { class: THINNED[at], from, to: state.level })
    }
}

/// Events per second of a class, kept or not.
fn rate(load: &Load, at: usize) -> f64 {
    load.emitted[THINNED[at] as usize] as f64 / load.elapsed.as_secs_f64().max(1e-6)
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
