//! A closed segment's way to its file and into the manifest.

use std::collections::BTreeMap;

use record_bpf::Class;

use super::{Pending, RecordingWriter};
use crate::encode::{self, Before, Failed, Job, Outcome};
use crate::keep::Keep;
use crate::losses::{Cause, Loss};
use crate::manifest::Segment;
use crate::open::Sealed;
use crate::{Result, hash};

impl RecordingWriter {
    pub(super) fn close_segment(&mut self, class: Class) -> Result<()> {
        let Some(Sealed { class, batches, journaled, rows, cpus, bytes }) = self.open.seal(class) else {
            return Ok(());
        };
        self.count_open_bytes();
        let mut result = Ok(());
        // One is encoded at a time, and what waits for it is bounded.
        while let Some(encoding) = self.pending.iter().map(|segment| segment.bytes).reduce(|a, b| a + b)
            && self.storage.memory > 0
            && encoding + bytes > self.storage.memory / 2
        {
            result = result.and(self.collect_one(true));
        }
        let index = self.next[class as usize];
        self.next[class as usize] += 1;
        let known = Before { counted: self.counted.clone(), rows: self.rows_before(class) };
        let unjournaled = if self.journal.is_some() { batches.last[journaled..].to_vec() } else { Vec::new() };
        self.pending.push_back(Pending { class, index, rows, cpus, bytes, unjournaled });
        self.encoder.submit(Job {
            class,
            path: self.dir.join(segment_file(class, index)),
            batches,
            known: Some(known),
            group_rows: self.group_rows,
        });
        result.and(self.collect(false))
    }

    /// (rows in closed segments, rows that could not be written) of each CPU.
    pub(super) fn rows_before(&self, class: Class) -> BTreeMap<u16, (u64, u64)> {
        let counts = self.counts.iter().filter(|((_, of), _)| *of == class);
        let mut before: BTreeMap<u16, (u64, u64)> =
            counts.map(|((cpu, _), counts)| (*cpu, (counts.stored + counts.pruned, counts.failed))).collect();
        for segment in self.pending.iter().filter(|segment| segment.class == class) {
            for (cpu, n) in segment.cpus.iter() {
                before.entry(cpu).or_default().0 += n;
            }
        }
        before
    }

    pub(super) fn count_open_bytes(&mut self) {
        self.open_bytes = Class::ALL.into_iter().map(|class| self.open.bytes(class)).sum();
    }

    /// Enters the segments that have been written in the manifest. `wait`: for all of them.
    pub(super) fn collect(&mut self, wait: bool) -> Result<()> {
        let mut result = Ok(());
        loop {
            let before = self.pending.len();
            result = result.and(self.collect_one(wait));
            if self.pending.len() == before || self.pending.is_empty() {
                return result;
            }
        }
    }

    pub(super) fn collect_one(&mut self, wait: bool) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let outcome = match self.encoder.outcome(wait) {
            Some(outcome) => outcome,
            None if wait => Err(Failed::lost(&self.dir)),
            None => return Ok(()),
        };
        let Some(segment) = self.pending.pop_front() else { return Ok(()) };
        self.enter(segment, outcome)
    }

    /// Enters a segment in the manifest, or its rows in the account.
    pub(super) fn enter(&mut self, segment: Pending, outcome: Outcome) -> Result<()> {
        let Pending { class, index, rows, cpus, .. } = segment;
        let file = segment_file(class, index);
        let mut full = Ok(());
        let outcome = match outcome {
            Err(failed) if failed.is_full() && self.make_room() => {
                // Its rows are still there; what stood for them on the disk is not any more.
                let Failed { error, batches, known, .. } = *failed;
                full = Err(error);
                encode::encode(class, &self.dir.join(&file), batches, known, self.group_rows)
            }
            outcome => outcome,
        };
        for (cpu, n) in cpus.iter() {
            let counts = self.counts.entry((cpu, class)).or_default();
            if let Err(failed) = &outcome {
                counts.failed += n;
                let (from, to) = failed.times.unwrap_or((self.manifest.started.ns, i64::MAX));
                self.losses.add(Loss { cpu, class, cause: Cause::WriteFailed, from, to, count: n });
            } else {
                counts.stored += n;
            }
        }
        let (written, (first_ts, last_ts)) = match outcome {
            Ok(written) => written,
            Err(failed) => {
                // Its rows stay in the journal: if the manifest cannot be stored either, they can be recovered.
                return full.and(Err(failed.error));
            }
        };
        self.chain = hash::chain(&self.chain, &written.sha256);
        self.manifest.segments.push(Segment {
            file,
            class: class.name().to_owned(),
            rows,
            first_ts,
            last_ts,
            bytes: written.bytes,
            sha256: hash::hex(&written.sha256),
            chain: hash::hex(&self.chain),
            blocks: Some(written.blocks),
        });
        match self.storage.keep {
            Keep::Newest { .. } => self.rows_by_cpu.push_back(cpus),
            // None of them goes: those that were written long ago need not be at hand.
            Keep::All | Keep::Oldest(_) => self.manifest.segments.pack(),
        }
        self.store.unlisted.push((class, index));
        self.prune();
        full.and(self.store_if_due())
    }
}

/// Relative to the recording.
pub(crate) fn segment_file(class: Class, index: u32) -> String {
    format!("{}/{index:05}.parquet", class.name())
}
