//! What numbers the source has used, so that each copy gets its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::AsArray;
use arrow::datatypes::{UInt32Type, UInt64Type};
use datasets::{Accounting, Recording};
use record_bpf::{Class, schema};

use super::{Plan, Repeat, Result, unsuited};

/// Columns with the id of a process or thread in the initial pid namespace.
pub(super) const PIDS: [&str; 5] = ["pid", "tid", "child_pid", "target_pid", "peer_pid"];
/// Columns with an incarnation.
pub(super) const INCARNATIONS: [&str; 3] = ["exec_id", "child_exec_id", "parent_exec_id"];

/// The kernel's least id for a process that is not its own, and one past the largest (`RESERVED_PIDS` and `PID_MAX_LIMIT` of 64-bit
/// kernels, include/linux/threads.h and kernel/pid.c).
const PID_FIRST: u64 = 300;
const PID_END: u64 = 1 << 22;

/// The stream of what the recorder itself samples, which has no CPU.
const SAMPLED: u16 = u16::MAX;
/// A stream's number has its CPU in the low 14 bits (record_bpf::schema, column `cpu`).
const CPU_BITS: u16 = (1 << 14) - 1;
/// An incarnation has the CPU in its high 16 bits and a counter below.
const COUNTER_BITS: u64 = (1 << 48) - 1;

pub(super) struct Census {
    /// Place of each process id, from 0.
    pids: HashMap<u32, u64>,
    /// One past the largest counter of an incarnation.
    incarnations: u64,
    /// By CPU.
    next_seq: BTreeMap<u16, u64>,
    /// One past the largest CPU.
    cpus: u16,
}

impl Census {
    pub(super) fn take(recording: &Recording, accounting: &Accounting, plan: &Plan) -> Result<Census> {
        let next_seq: BTreeMap<u16, u64> = accounting.cpus.iter().map(|cpu| (cpu.cpu, cpu.next_seq)).collect();
        let (mut pids, mut largest) = (BTreeSet::new(), 0);
        for class in Class::ALL {
            let columns = || schema::COMMON.iter().chain(schema::class_columns(class)).map(|column| column.name);
            let wanted: Vec<&str> =
                columns().filter(|name| PIDS.contains(name) || INCARNATIONS.contains(name)).collect();
            for batch in recording.batches(class, Some(&wanted))? {
                for (name, column) in wanted.iter().zip(batch?.columns()) {
                    if PIDS.contains(name) {
                        pids.extend(column.as_primitive::<UInt32Type>().iter().flatten());
                    } else {
                        let ids = column.as_primitive::<UInt64Type>().iter().flatten();
                        largest = ids.map(|id| id & COUNTER_BITS).fold(largest, u64::max);
                    }
                }
            }
        }
        for process in recording.processes()? {
            pids.insert(process.pid);
            let ids = [Some(process.exec_id), process.parent_exec_id, process.prev_exec_id];
            largest = ids.into_iter().flatten().map(|id| id & COUNTER_BITS).fold(largest, u64::max);
        }
        let pids: HashMap<u32, u64> = pids.into_iter().filter(|pid| *pid > 1).zip(0..).collect();
        let cpus =
            next_seq.keys().filter(|cpu| **cpu != SAMPLED).map(|cpu| cpu & CPU_BITS).max().map_or(1, |cpu| cpu + 1);

        let (copies, replicas) = (plan.times * u64::from(plan.replicas), u64::from(plan.replicas));
        let incarnations = largest + 1;
        // The last of all is the samples' own stream.
        if u64::from(cpus) * replicas >= u64::from(CPU_BITS) {
            return Err(unsuited(
                recording,
                format!("{replicas} replicas of {cpus} CPUs are more CPUs than there are numbers"),
            ));
        }
        if pids.len() as u64 * replicas > PID_END - PID_FIRST {
            let reason =
                format!("{replicas} replicas of {} processes and threads are more than there are ids", pids.len());
            return Err(unsuited(recording, reason));
        }
        if incarnations.checked_mul(copies).is_none_or(|all| all > COUNTER_BITS) {
            return Err(unsuited(recording, format!("{copies} copies have more incarnations than there are ids")));
        }
        if next_seq.values().any(|next| next.checked_mul(copies).is_none()) {
            return Err(unsuited(recording, format!("{copies} copies have more events than there are numbers")));
        }
        Ok(Census { pids, incarnations, next_seq, cpus })
    }

    /// Whether a stream is that of all replicas.
    pub(super) fn is_shared(&self, cpu: u16) -> bool {
        cpu == SAMPLED
    }

    /// A replica's CPUs are its own.
    pub(super) fn cpu(&self, cpu: u16, copy: Repeat) -> u16 {
        if self.is_shared(cpu) { cpu } else { cpu + copy.replica * self.cpus }
    }

    /// What to add to the sequence numbers of a CPU.
    pub(super) fn seq_after(&self, cpu: u16, copy: Repeat) -> u64 {
        let before = if self.is_shared(cpu) { copy.number } else { copy.at };
        self.next_seq.get(&cpu).map_or(0, |next| next * before)
    }

    pub(super) fn incarnation(&self, id: u64, copy: Repeat) -> u64 {
        id.wrapping_add(self.incarnations * copy.number)
    }

    /// Ids come around again, as the kernel's do; 0 and 1 stay.
    pub(super) fn pid(&self, pid: u32, copy: Repeat) -> u32 {
        let Some(place) = self.pids.get(&pid) else { return pid };
        let all = copy.number as u128 * self.pids.len() as u128 + u128::from(*place);
        (u128::from(PID_FIRST) + all % u128::from(PID_END - PID_FIRST)) as u32
    }
}
