//! STIDE, "sequence time-delay embedding": short sequences of calls that a program never made before.
//!
//! S. A. Hofmeyr, S. Forrest, A. Somayaji, "Intrusion detection using sequences of system calls", Journal of Computer Security 6,
//! 1998: of each program the set of all sequences of [`LENGTH`] consecutive calls of a process. What is not in the set is a
//! mismatch. C. Warrender, S. Forrest, B. Pearlmutter, "Detecting intrusions using system calls: alternative data models",
//! IEEE Symposium on Security and Privacy, 1999: mismatches come in bursts, so that a process scores as the most of them among
//! [`FRAME`] sequences in a row, its *locality frame*, and is anomalous from a threshold on.
//!
//! Programs are those of an image: two images share no set. A trace that is shorter than a sequence is one sequence by itself.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use datasets::{Event, Recording};
use record_bpf::Class;
use replay::deviation::RowRef;
use replay::observe::HOST;
use replay::pipeline::World;
use serde::Serialize;

use super::scored::Scored;
use super::truth::{Loaded, row_of};
use crate::Result;

/// Calls in a sequence (Hofmeyr et al.: 6).
pub const LENGTH: usize = 6;
/// Sequences in a locality frame (Warrender et al.: 20).
pub const FRAME: usize = 20;
/// The score counts sequences.
pub const RESOLUTION: f64 = 1.0;

/// What stands for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Alphabet {
    /// The numbers of system calls: class syscall.
    SystemCalls,
    /// The kinds of recorded events of the classes process, security, file and network: where system calls were not recorded one by
    /// one. It is coarser: reads and writes are summed up, and calls of no class are not seen.
    EventKinds,
}

impl Alphabet {
    /// System calls if all the recordings have them.
    pub fn of<'a>(mut recordings: impl Iterator<Item = &'a Recording>) -> Alphabet {
        let has = |recording: &Recording| recording.manifest().class_segments(Class::Syscall).next().is_some();
        if recordings.all(has) { Alphabet::SystemCalls } else { Alphabet::EventKinds }
    }

    fn classes(self) -> &'static [Class] {
        match self {
            Alphabet::SystemCalls => &[Class::Syscall],
            Alphabet::EventKinds => &[Class::Process, Class::Security, Class::File, Class::Network],
        }
    }

    fn symbol(self, event: &Event) -> Option<u16> {
        match (self, event) {
            (Alphabet::SystemCalls, Event::Syscall(call)) => call.nr,
            (Alphabet::EventKinds, event) if self.classes().contains(&event.class()) => {
                Some(event.common().kind as u16)
            }
            _ => None,
        }
    }
}

/// Image and executable.
type Program = (Arc<str>, Arc<str>);

/// The calls of one process incarnation, in order.
pub struct Trace {
    exec_id: u64,
    program: Program,
    container: Arc<str>,
    calls: Vec<(u16, i64, RowRef)>,
}

/// The sequences that each program made.
pub struct Stide {
    length: usize,
    frame: usize,
    known: HashMap<Program, HashSet<Box<[u16]>>>,
}

impl Default for Stide {
    fn default() -> Self {
        Stide { length: LENGTH, frame: FRAME, known: HashMap::new() }
    }
}

/// The traces of a recording; calls whose process is not known are in none.
///
/// # Errors
/// Unreadable tables or events.
fn traces(
    recording: &Recording,
    events: impl Iterator<Item = datasets::Result<Event>>,
    alphabet: Alphabet,
) -> Result<Vec<Trace>> {
    let config = replay::config::load(None, &[])?;
    let world = World::load(recording, &config)?;
    let mut traces: BTreeMap<u64, Trace> = BTreeMap::new();
    for event in events {
        let event = event?;
        let common = event.common();
        let (Some(exec_id), Some(symbol)) = (common.exec_id, alphabet.symbol(&event)) else { continue };
        let trace = traces.entry(exec_id).or_insert_with(|| Trace {
            exec_id,
            program: (world.image(common.container.as_ref()), world.processes.exe(Some(exec_id))),
            container: common.container.clone().unwrap_or_else(|| HOST.into()),
            calls: Vec::new(),
        });
        trace.calls.push((symbol, common.ts, row_of(&event)));
    }
    Ok(traces.into_values().collect())
}

impl Stide {
    /// Learns the sequences of a recording.
    ///
    /// # Errors
    /// Unreadable tables or events.
    pub fn learn(&mut self, recording: &Recording, alphabet: Alphabet) -> Result<()> {
        for trace in traces(recording, recording.events_of(alphabet.classes()), alphabet)? {
            self.learn_trace(&trace);
        }
        Ok(())
    }

    fn learn_trace(&mut self, trace: &Trace) {
        let symbols: Vec<u16> = trace.calls.iter().map(|(symbol, ..)| *symbol).collect();
        let known = self.known.entry(trace.program.clone()).or_default();
        known.extend(sequences(&symbols, self.length).map(Box::from));
    }

    /// Every process of a recording with a mismatch.
    ///
    /// # Errors
    /// Unreadable tables.
    pub fn score(&self, loaded: &Loaded, alphabet: Alphabet) -> Result<Vec<Scored>> {
        let events = loaded.events.iter().map(|event| Ok(event.clone()));
        let traces = traces(&loaded.recording, events, alphabet)?;
        Ok(traces.iter().map(|trace| self.score_trace(trace)).filter(|scored| !scored.steps.is_empty()).collect())
    }

    fn score_trace(&self, trace: &Trace) -> Scored {
        let symbols: Vec<u16> = trace.calls.iter().map(|(symbol, ..)| *symbol).collect();
        let known = self.known.get(&trace.program);
        let container = Arc::clone(&trace.container);
        let mut scored = Scored { exec_id: Some(trace.exec_id), container, ..Scored::default() };
        let mut mismatches: Vec<bool> = Vec::new();
        let mut in_frame = 0u32;
        for (at, sequence) in sequences(&symbols, self.length).enumerate() {
            let mismatch = known.is_none_or(|known| !known.contains(sequence));
            mismatches.push(mismatch);
            in_frame += u32::from(mismatch);
            if at >= self.frame {
                in_frame -= u32::from(mismatches[at - self.frame]);
            }
            if mismatch {
                // The last call completes the sequence, and is what is new about it.
                let (_, ts, row) = trace.calls[at + sequence.len() - 1];
                scored.rise(ts, f64::from(in_frame));
                scored.rows.push(row);
            }
        }
        scored
    }
}

/// All runs of `length` symbols; of a shorter trace, the whole.
fn sequences(symbols: &[u16], length: usize) -> impl Iterator<Item = &[u16]> {
    symbols.windows(length.min(symbols.len()).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(program: &str, symbols: &[u16]) -> Trace {
        let row = |seq| RowRef { class: Class::Syscall, cpu: 0, seq };
        let calls = symbols.iter().zip(0u32..).map(|(symbol, at)| (*symbol, i64::from(at), row(at.into())));
        Trace { exec_id: 7, program: ("image".into(), program.into()), container: "c".into(), calls: calls.collect() }
    }

    fn stide(length: usize, frame: usize) -> Stide {
        Stide { length, frame, known: HashMap::new() }
    }

    /// By hand. open 1, read 2, mmap 3, close 4. Learned `1 2 3 3 1 4`: the sequences of three are 123 233 331 314. Of
    /// `1 2 3 1 4 4` they are 123 (known), 231, 314 (known), 144: two mismatches, at the fourth and the sixth call.
    #[test]
    fn mismatches_are_the_sequences_never_made() {
        let mut stide = stide(3, 20);
        stide.learn_trace(&trace("app", &[1, 2, 3, 3, 1, 4]));
        assert_eq!(stide.known.values().next().unwrap().len(), 4);
        let scored = stide.score_trace(&trace("app", &[1, 2, 3, 1, 4, 4]));
        assert_eq!(scored.steps, [(3, 1.0), (5, 2.0)]);
        assert_eq!(scored.rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [3, 5]);
        assert_eq!(stide.score_trace(&trace("app", &[2, 3, 3, 1, 4])).steps, []);
    }

    /// By hand: with a frame of two, mismatches at the first, the third and the fourth sequence are 1, 1 and 2 at a time.
    #[test]
    fn the_score_is_the_most_in_a_locality_frame() {
        let mut stide = stide(1, 2);
        stide.learn_trace(&trace("app", &[1]));
        assert_eq!(stide.score_trace(&trace("app", &[9, 1, 9, 9, 1, 1, 9])).steps, [(0, 1.0), (3, 2.0)]);
    }

    #[test]
    fn each_program_has_its_own_set_and_a_short_trace_is_one_sequence() {
        let mut stide = stide(LENGTH, FRAME);
        stide.learn_trace(&trace("app", &[1, 2]));
        assert_eq!(stide.score_trace(&trace("app", &[1, 2])).score(), 0.0);
        assert_eq!(stide.score_trace(&trace("app", &[1, 2, 3])).score(), 1.0);
        assert_eq!(stide.score_trace(&trace("other", &[1, 2])).score(), 1.0);
        assert_eq!(stide.score_trace(&trace("app", &[])).score(), 0.0);
    }

    /// 95 mismatches in a row, of which a frame holds 20.
    #[test]
    fn of_a_program_never_seen_every_sequence_is_a_mismatch() {
        let stide = stide(LENGTH, FRAME);
        let symbols: Vec<u16> = (0..100).collect();
        assert_eq!(stide.score_trace(&trace("new", &symbols)).score(), FRAME as f64);
    }
}
