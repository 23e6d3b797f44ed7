//! What goes to the journal, and when.

use std::collections::BTreeMap;
use std::time::Instant;

use record_bpf::Class;

use super::{MANIFEST_RESERVE, RecordingWriter};
use crate::journal::Flushed;
use crate::manifest::{Accounting, Moment};
use crate::model::{Address, Container, Process};
use crate::{Result, manifest_file};

/// What a recorder knows beside the rows, for the journal.
pub struct Known<'a> {
    /// Unix time, ns, at which the counters were read.
    pub at_ns: i64,
    /// Unix time, ns: every event before it that will have a row has been pushed.
    pub until_ns: i64,
    /// As for [`RecordingWriter::finish`].
    pub accounting: Accounting,
    /// Rows of the tables that are new or have changed since the last call.
    pub processes: &'a [Process],
    /// `processes` are all there are but for those that ended, as [`RecordingWriter::wants_all_processes`] asked for.
    pub all_processes: bool,
    /// Rows of processes that ended, which will not change any more and are not given again.
    pub ended: &'a [Process],
    pub containers: &'a [Container],
    pub addresses: &'a [Address],
}

/// The journal of the process table is written anew at this size, bytes.
const PROCESSES_JOURNAL: u64 = 8 << 20;

impl RecordingWriter {
    /// Whether [`journal`](Self::journal) should be called.
    pub fn journal_due(&self) -> bool {
        let every = self.storage.journal.filter(|_| self.journal.is_some());
        every.is_some_and(|every| self.journaled_at.elapsed() >= every)
    }

    /// Whether the next call of [`journal`](Self::journal) should bring every process that has not ended, so that the journal
    /// of the table does not grow for ever.
    pub fn wants_all_processes(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.processes_bytes() > PROCESSES_JOURNAL)
    }

    /// Brings the rows that are in no segment yet, and what else the recorder knows, to the journal.
    ///
    /// # Errors
    /// [`Error::Write`]: there is no journal from then on, and the recording should be finished.
    pub fn journal(&mut self, known: Known<'_>) -> Result<()> {
        self.journaled_at = Instant::now();
        let accounting = self.complete(known.accounting);
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let write = || {
            journal.account(accounting, Moment::from_ns(known.at_ns), &self.manifest)?;
            journal.ended(known.ended)?;
            if known.all_processes {
                journal.processes_anew(known.processes)?;
            } else {
                journal.processes(known.processes)?;
            }
            journal.containers(known.containers)?;
            journal.addresses(known.addresses)?;
            for segment in &mut self.pending {
                let batches = std::mem::take(&mut segment.unjournaled);
                journal.rows(segment.class, segment.index, &batches)?;
            }
            for class in Class::ALL {
                self.open.cut(class);
                journal.rows(class, self.next[class as usize], &self.open.take_unjournaled(class))?;
            }
            let sealed = Class::ALL.map(|class| (class.name().to_owned(), self.next[class as usize]));
            let mut waiting: BTreeMap<String, Vec<u32>> = BTreeMap::new();
            for segment in &self.pending {
                waiting.entry(segment.class.name().to_owned()).or_default().push(segment.index);
            }
            let sealed = sealed.into();
            journal.flushed(Flushed { until: known.until_ns, sealed, waiting, ..Flushed::default() })?;
            journal.sync_error().map_or(Ok(()), Err)
        };
        let mut written = write();
        self.count_open_bytes();
        if written.is_ok()
            && let Some([_, manifest]) = &mut self.reserves
        {
            // Room for the manifest as it is and its successor, side by side.
            let wanted = 2 * manifest_file::size(&self.manifest).max(MANIFEST_RESERVE / 2);
            written = manifest.grow(wanted);
        }
        if written.is_err() {
            self.make_room();
        }
        written
    }
}
