//! The end of a recording.

use record_bpf::schema;

use super::RecordingWriter;
use super::tables::LOSSES;
use crate::manifest::{Accounting, CpuAccount, Manifest, Moment, State};
use crate::{End, Result, journal};

impl RecordingWriter {
    /// Closes the last segments and completes the manifest. `ended_ns`: Unix time, ns.
    ///
    /// `stored` and `pruned` of the accounting are this writer's own counts, whatever the caller put there, and what it could
    /// not write is added to `write_failed`; CPUs and classes that have rows are added where the caller left them out.
    ///
    /// # Errors
    /// [`Error::Write`]; if it was the manifest that could not be written, the recording stays in the state it has on disk.
    pub fn finish(mut self, accounting: Accounting, ended_ns: i64) -> Result<Manifest> {
        // A last segment that cannot be written is counted, and does not keep the rest from being completed.
        let flushed = self.flush();
        let accounting = self.complete(accounting);
        self.losses.complete(&accounting, (self.manifest.started.ns, ended_ns));
        let losses = std::mem::take(&mut self.losses);
        let flushed = flushed.and(self.write_table(LOSSES, schema::LOSSES, losses.rows()));
        self.manifest.accounting = Some(accounting);
        self.manifest.ended = Some(Moment::from_ns(ended_ns));
        self.manifest.state = State::Complete;
        if let Err(error) = &flushed {
            self.manifest.end = Some(End::WriteFailed(error.to_string()));
        }
        let stored = self.store_manifest();
        if self.store.unlisted.is_empty() {
            journal::remove(&self.dir)?;
        }
        self.manifest.segments.unpack();
        flushed.and(stored).map(|()| self.manifest)
    }

    pub(super) fn complete(&self, mut accounting: Accounting) -> Accounting {
        for account in accounting.cpus.iter_mut().flat_map(|cpu| cpu.classes.values_mut()) {
            (account.stored, account.pruned) = (0, 0);
        }
        for ((cpu, class), counts) in &self.counts {
            let account = account_of(&mut accounting, *cpu).classes.entry(class.name().to_owned()).or_default();
            (account.stored, account.pruned) = (counts.stored, counts.pruned);
            account.dropped.write_failed += counts.failed;
        }
        accounting.cpus.sort_by_key(|account| account.cpu);
        accounting
    }
}

/// The account of a CPU, made if it is not there.
pub(crate) fn account_of(accounting: &mut Accounting, cpu: u16) -> &mut CpuAccount {
    let at = match accounting.cpus.iter().position(|account| account.cpu == cpu) {
        Some(at) => at,
        None => {
            accounting.cpus.push(CpuAccount { cpu, ..CpuAccount::default() });
            accounting.cpus.len() - 1
        }
    };
    &mut accounting.cpus[at]
}
