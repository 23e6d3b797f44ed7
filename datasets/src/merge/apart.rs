//! Keeping sources apart: CPUs, sequence numbers and incarnations of their own.

use std::collections::BTreeSet;

use record_bpf::event::SAMPLED_CPU;

use crate::derive::CpuRange;
use crate::model::{Event, Label, Process};
use crate::read::Recording;
use crate::{Error, Result};

/// Streams of events in softirq have the CPU's number and one of these.
const SOFTIRQ: [u16; 2] = [0x8000, 0xc000];

/// An incarnation's id has the CPU that made it in the high 16 bits.
const CPU_SHIFT: u32 = 48;

/// Where the rows of a source go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) range: CpuRange,
}

/// # Errors
/// [`Error::Merge`]
pub(super) fn places(sources: &[Recording], tables: &[Vec<Process>]) -> Result<Vec<Place>> {
    if sources.len() < 2 {
        return Err(Error::Merge { reason: "there must be two recordings or more".to_owned() });
    }
    let mut seen = BTreeSet::new();
    let (mut first, mut sampled_from) = (0_u32, 0_u64);
    let mut places = Vec::new();
    for (source, table) in sources.iter().zip(tables) {
        let manifest = source.manifest();
        if !seen.insert((manifest.chain_head(), manifest.started.ns)) {
            return Err(Error::Merge { reason: format!("{} is given twice", source.dir().display()) });
        }
        let accounts = || manifest.accounting.iter().flat_map(|accounting| &accounting.cpus);
        let cpus = accounts().filter(|account| account.cpu != SAMPLED_CPU).map(|account| base(account.cpu));
        let makers = table.iter().map(|row| (row.exec_id >> CPU_SHIFT) as u16);
        let count = cpus.chain(makers).max().map_or(1, |last| u32::from(last) + 1);
        if first + count >= u32::from(SOFTIRQ[1] - SOFTIRQ[0]) - 1 {
            let reason = format!("together they have more than {first} CPUs, and there is no room for more");
            return Err(Error::Merge { reason });
        }
        // Both are below 16,384.
        let range = CpuRange { first: first as u16, count: count as u16, sampled_from };
        places.push(Place { range });
        first += count;
        let sampled = accounts().find(|account| account.cpu == SAMPLED_CPU).map_or(0, |account| account.next_seq);
        sampled_from = sampled_from.saturating_add(sampled);
    }
    Ok(places)
}

/// The CPU that a stream belongs to.
fn base(cpu: u16) -> u16 {
    SOFTIRQ.iter().rev().find(|level| cpu >= **level).map_or(cpu, |level| cpu - level)
}

impl Place {
    pub(super) fn cpu(&self, cpu: u16) -> u16 {
        if cpu == SAMPLED_CPU { cpu } else { cpu + self.range.first }
    }

    fn seq(&self, cpu: u16, seq: u64) -> u64 {
        if cpu == SAMPLED_CPU { seq + self.range.sampled_from } else { seq }
    }

    fn exec_id(&self, id: u64) -> u64 {
        id.wrapping_add(u64::from(self.range.first) << CPU_SHIFT)
    }

    /// # Errors
    /// [`Error::Merge`]: the row has a CPU or an incarnation that neither its account nor its process table knows.
    pub(super) fn event(&self, event: &mut Event) -> Result<()> {
        if let Event::Process(event) = event {
            for id in [&mut event.child_exec_id, &mut event.parent_exec_id].into_iter().flatten() {
                *id = self.checked(*id)?;
            }
        }
        let common = event.common_mut();
        if common.cpu != SAMPLED_CPU && base(common.cpu) >= self.range.count {
            let reason = format!("a row of cpu {} is in no account: verify the recordings first", common.cpu);
            return Err(Error::Merge { reason });
        }
        common.seq = self.seq(common.cpu, common.seq);
        common.cpu = self.cpu(common.cpu);
        if let Some(id) = &mut common.exec_id {
            *id = self.checked(*id)?;
        }
        Ok(())
    }

    fn checked(&self, id: u64) -> Result<u64> {
        if id >> CPU_SHIFT >= u64::from(self.range.count) {
            let reason = format!("incarnation {id} is of a CPU that has no account: verify the recordings first");
            return Err(Error::Merge { reason });
        }
        Ok(self.exec_id(id))
    }

    pub(super) fn process(&self, mut row: Process) -> Process {
        row.exec_id = self.exec_id(row.exec_id);
        for id in [&mut row.parent_exec_id, &mut row.prev_exec_id].into_iter().flatten() {
            *id = self.exec_id(*id);
        }
        row
    }

    pub(super) fn label(&self, mut label: Label) -> Label {
        label.seq = self.seq(label.cpu, label.seq);
        label.cpu = self.cpu(label.cpu);
        label
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_of_a_cpu_moves_with_it_and_the_sampled_one_goes_on() {
        let place = Place { range: CpuRange { first: 4, count: 2, sampled_from: 100 } };
        assert_eq!([1, 0x8001, 0xc001, SAMPLED_CPU].map(|cpu| place.cpu(cpu)), [5, 0x8005, 0xc005, SAMPLED_CPU]);
        assert_eq!([(1, 7), (SAMPLED_CPU, 7)].map(|(cpu, seq)| place.seq(cpu, seq)), [7, 107]);
        assert_eq!([0, 0x7fff, 0x8000, 0xc002].map(base), [0, 0x7fff, 0, 2]);
        assert_eq!(place.checked(1 << 48 | 9).unwrap(), 5 << 48 | 9);
        assert!(place.checked(2 << 48).is_err());
    }
}
