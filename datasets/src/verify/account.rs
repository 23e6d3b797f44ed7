//! The account against the rows.

use std::collections::BTreeMap;

use super::Check;
use crate::losses::Cause;
use crate::manifest::{Accounting, ClassAccount, State};
use crate::manifest_file;
use crate::report::FindingKind;
use crate::write::LOSSES;

impl Check<'_> {
    /// The losses of each CPU, class and cause are those of the accounting.
    pub(super) fn losses(&mut self, accounting: &Accounting) {
        // Recordings made before there was such a table have none; one that was taken away is missing or unlisted.
        let Some(losses) = &self.losses else { return };
        let mut sums: BTreeMap<(u16, &str, &str), u64> = BTreeMap::new();
        for loss in losses {
            let sum = sums.entry((loss.cpu, loss.class.name(), loss.cause.name())).or_default();
            *sum = sum.saturating_add(loss.count);
        }
        let mut wrong = Vec::new();
        for account in &accounting.cpus {
            for (class, counts) in &account.classes {
                for cause in Cause::ALL {
                    let (said, found) =
                        (cause.of(counts), sums.remove(&(account.cpu, class, cause.name())).unwrap_or(0));
                    if said != found {
                        wrong.push((account.cpu, class.clone(), cause.name(), said, found));
                    }
                }
            }
        }
        wrong.extend(sums.into_iter().map(|((cpu, class, cause), n)| (cpu, class.to_owned(), cause, 0, n)));
        for (cpu, class, cause, said, found) in wrong {
            let detail = format!("{cause} of cpu {cpu}, {class}: {said} in the manifest, {found} in the table");
            self.findings.add(FindingKind::Miscounted, LOSSES, detail);
        }
    }

    pub(super) fn accounting(&mut self) {
        for (cpu, duplicates) in self.seqs.duplicates() {
            let detail = format!("{duplicates} rows repeat a sequence number");
            self.findings.add(FindingKind::Duplicate, &format!("cpu {cpu}"), detail);
        }
        if self.manifest.state == State::Recording {
            return;
        }
        let Some(accounting) = &self.manifest.accounting else {
            self.findings.add(FindingKind::Miscounted, manifest_file::MANIFEST, "it is complete, without accounting");
            return;
        };
        self.losses(accounting);
        let mut rows: BTreeMap<(u16, &str), u64> = self.seqs.rows_by_class();
        for account in &accounting.cpus {
            let cpu = account.cpu;
            let mut emitted = account.unattributed;
            let mut unstored = account.unattributed;
            for (class, counts) in &account.classes {
                let place = format!("cpu {cpu}, {class}");
                let stored = rows.remove(&(cpu, class.as_str())).unwrap_or(0);
                self.expect_count(&place, "stored", counts.stored, "rows in the segments", stored);
                if !counts.holds() {
                    let ClassAccount { emitted, stored, dropped, filtered, sampled_out, known, pruned } = *counts;
                    let detail = format!(
                        "emitted {emitted} is not stored {stored} + dropped {} + filtered {filtered} + sampled out \
                         {sampled_out} + known {known} + pruned {pruned}",
                        dropped.total()
                    );
                    self.findings.add(FindingKind::Miscounted, &place, detail);
                }
                emitted = emitted.saturating_add(counts.emitted);
                unstored = unstored.saturating_add(counts.without_row());
            }
            let place = format!("cpu {cpu}");
            self.expect_count(&place, "next_seq", account.next_seq, "emitted in all classes", emitted);
            let (missing, beyond) = self.seqs.missing_below(cpu, account.next_seq);
            if beyond > 0 {
                let detail = format!("{beyond} rows have a sequence number of {} or more", account.next_seq);
                self.findings.add(FindingKind::Miscounted, &place, detail);
            }
            self.expect_count(
                &place,
                "dropped + filtered + sampled out + known",
                unstored,
                "missing sequence numbers",
                missing,
            );
        }
        for ((cpu, class), n) in rows {
            let detail = format!("{n} rows, and the accounting does not know them");
            self.findings.add(FindingKind::Miscounted, &format!("cpu {cpu}, {class}"), detail);
        }
    }

    pub(super) fn expect_count(&mut self, place: &str, what: &str, said: u64, versus: &str, found: u64) {
        if said != found {
            let detail = format!("{what} {said} in the manifest, {found} {versus}");
            self.findings.add(FindingKind::Miscounted, place, detail);
        }
    }
}
