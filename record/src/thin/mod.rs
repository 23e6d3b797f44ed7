//! What is left out on purpose: the sampler, which thins classes under load, and the filter of known behaviour.
//!
//! The kernel side (bpf/thin.h, bpf/known.h) does the leaving out and counts it. Here a thread of its own looks at the load
//! and sets the levels: the threads that drain and write are the ones that cannot keep up.

pub mod cli;
pub mod control;
pub mod known;
pub mod ring;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use datasets::{Moment, Sampling, SamplingChange, SamplingMode};
use record_bpf::Class;
use record_bpf::abi::{CLASS_MAX, Counters};

use crate::bpf::{Programs, Streams};
use crate::clock;
use crate::drain::QUEUED;
use crate::error::{Error, Result};

use cli::Sample;
use control::{Change, Controller, Load, TICK};
use ring::{Levels, RingFill};

/// Below this share of the ring, and with nothing thinned, the thread does not ask for the kernel's counters.
const IDLE: f64 = 0.05;

/// The manifest's entry at the begin.
pub fn begun(sample: &Sample) -> Sampling {
    let mode = match sample {
        Sample::Auto => SamplingMode::Auto,
        Sample::Off => SamplingMode::Off,
        Sample::Fixed(_) => SamplingMode::Fixed,
    };
    Sampling { mode, changes: Vec::new() }
}

/// The sampler while a recording runs.
pub struct Sampler {
    running: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    changes: Receiver<SamplingChange>,
}

/// What the thread looks at and acts on.
struct Watch {
    ring: RingFill,
    levels: Levels,
    streams: Streams,
    queued: Arc<AtomicUsize>,
}

impl Sampler {
    /// None where nothing is to be thinned. `queued`: chunks between the draining and the writing thread; `ring_bytes`: size of
    /// the ring.
    pub fn start(
        sample: &Sample,
        programs: &Programs,
        ring_bytes: u32,
        queued: Arc<AtomicUsize>,
        classes: &[Class],
    ) -> Result<Option<Sampler>> {
        let shared = |source| Error::System { what: "cannot share memory with the kernel", source };
        let (sender, changes) = mpsc::channel();
        let running = Arc::new(AtomicBool::new(true));
        let thread = match sample {
            Sample::Off => return Ok(None),
            Sample::Fixed(fixed) => {
                let levels = Levels::open(&programs.thin_levels()?).map_err(shared)?;
                for (class, level) in fixed.iter().filter(|(class, level)| *level > 0 && classes.contains(class)) {
                    apply(Change { class: *class, from: 0, to: *level }, &levels, &sender);
                }
                None
            }
            Sample::Auto => {
                let watch = Watch {
                    ring: RingFill::open(&programs.ring()?, ring_bytes).map_err(shared)?,
                    levels: Levels::open(&programs.thin_levels()?).map_err(shared)?,
                    streams: programs.streams()?,
                    queued,
                };
                let (controller, flag) = (Controller::new(classes), running.clone());
                Some(thread::spawn(move || control(controller, &watch, &flag, &sender)))
            }
        };
        Ok(Some(Sampler { running, thread, changes }))
    }

    /// What has changed since the last call.
    pub fn changes(&self) -> impl Iterator<Item = SamplingChange> + '_ {
        self.changes.try_iter()
    }

    /// No change comes after this; returns the last ones.
    pub fn stop(&mut self) -> Vec<SamplingChange> {
        self.running.store(false, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A controller that panicked leaves the levels as they are, and the manifest says which.
            let _ = thread.join();
        }
        self.changes.try_iter().collect()
    }
}

fn control(mut controller: Controller, watch: &Watch, running: &AtomicBool, changes: &Sender<SamplingChange>) {
    let mut before: Option<(Instant, Totals)> = None;
    while running.load(Ordering::Acquire) {
        thread::sleep(TICK);
        let fill = watch.ring.fill();
        if fill < IDLE && control::THINNED.iter().all(|class| controller.level(*class) == 0) {
            before = None;
            continue;
        }
        // Counters that cannot be read now may be at the next tick; without them nothing can be decided.
        let Ok(counters) = watch.streams.counters() else { continue };
        let (now, totals) = (Instant::now(), Totals::of(&counters));
        let queue = watch.queued.load(Ordering::Relaxed) as f64 / QUEUED as f64;
        if let Some((then, last)) = before.replace((now, totals)) {
            let load = totals.since(&last, now - then, fill, queue);
            if let Some(change) = controller.tick(&load) {
                apply(change, &watch.levels, changes);
            }
        }
    }
}

fn apply(change: Change, levels: &Levels, changes: &Sender<SamplingChange>) {
    levels.set(change.class, change.to);
    // The session may have gone.
    let _ = changes.send(SamplingChange {
        at: Moment::from_ns(clock::unix_ns()),
        class: change.class.name().to_owned(),
        from: 1 << change.from,
        to: 1 << change.to,
    });
}

/// Sums over all streams.
#[derive(Clone, Copy, Default)]
struct Totals {
    emitted: [u64; CLASS_MAX],
    sampled_out: [u64; CLASS_MAX],
    dropped: u64,
}

impl Totals {
    fn of(counters: &[(u16, Counters)]) -> Totals {
        let mut totals = Totals::default();
        for (_, counter) in counters {
            for class in 0..CLASS_MAX {
                totals.emitted[class] += counter.emitted[class];
                // Known behaviour does not come through the ring either.
                totals.sampled_out[class] += counter.sampled_out[class] + counter.known[class];
                totals.dropped += counter.dropped_ring[class];
            }
        }
        totals
    }

    fn since(&self, last: &Totals, elapsed: std::time::Duration, fill: f64, queue: f64) -> Load {
        let since = |now: &[u64; CLASS_MAX], then: &[u64; CLASS_MAX]| {
            std::array::from_fn(|class| now[class].saturating_sub(then[class]))
        };
        Load {
            elapsed,
            fill,
            queue,
            dropped: self.dropped.saturating_sub(last.dropped),
            emitted: since(&self.emitted, &last.emitted),
            sampled_out: since(&self.sampled_out, &last.sampled_out),
        }
    }
}
