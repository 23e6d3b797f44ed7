//! Which sequence numbers of each CPU are there, and between which times the others are missing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::{TimestampNanosecondType, UInt16Type, UInt64Type};
use record_bpf::{Class, schema};
use roaring::RoaringTreemap;

use crate::losses::Loss;
use crate::manifest::{ClassAccount, Manifest, Moment};
use crate::parquet_read::Batches;
use crate::report::{CpuReport, Gap, GapCause};

/// Gaps named for each CPU, the largest; all of them are counted.
const GAPS_NAMED: usize = 1000;

/// How much before its loss is counted an event may have got its time stamp, ns: the run time of a kernel program, and what
/// interrupts it.
const SLACK: i64 = 10_000_000;

/// The sequence numbers seen, by CPU.
#[derive(Default)]
pub(crate) struct Seqs {
    cpus: BTreeMap<u16, Cpu>,
}

#[derive(Default)]
struct Cpu {
    seqs: RoaringTreemap,
    duplicates: u64,
    rows: BTreeMap<Class, u64>,
}

impl Seqs {
    pub(crate) fn insert(&mut self, cpu: u16, class: Class, seq: u64) {
        let cpu = self.cpus.entry(cpu).or_default();
        *cpu.rows.entry(class).or_default() += 1;
        if !cpu.seqs.insert(seq) {
            cpu.duplicates += 1;
        }
    }

    /// Gives back memory: runs without a gap take a few bytes. Called after each segment.
    pub(crate) fn compact(&mut self) {
        for cpu in self.cpus.values_mut() {
            cpu.seqs.optimize();
        }
    }

    pub(crate) fn contains(&self, cpu: u16, seq: u64) -> bool {
        self.cpus.get(&cpu).is_some_and(|cpu| cpu.seqs.contains(seq))
    }

    /// CPUs that have any, with how many rows repeat a number.
    pub(crate) fn duplicates(&self) -> Vec<(u16, u64)> {
        self.cpus.iter().filter(|(_, c)| c.duplicates > 0).map(|(cpu, c)| (*cpu, c.duplicates)).collect()
    }

    pub(crate) fn rows_by_class(&self) -> BTreeMap<(u16, &'static str), u64> {
        let rows = self.cpus.iter().flat_map(|(cpu, c)| c.rows.iter().map(|(class, n)| ((*cpu, class.name()), *n)));
        rows.collect()
    }

    /// (numbers below `next_seq` that are missing, numbers at or above it that are there)
    pub(crate) fn missing_below(&self, cpu: u16, next_seq: u64) -> (u64, u64) {
        let Some(cpu) = self.cpus.get(&cpu) else { return (next_seq, 0) };
        let below = next_seq.checked_sub(1).map_or(0, |last| cpu.seqs.rank(last));
        (next_seq - below, cpu.seqs.len() - below)
    }

    /// What each CPU stored and lost, with the times around its gaps read from the segments once more.
    pub(crate) fn report(&self, dir: &Path, manifest: &Manifest, losses: Option<&[Loss]>) -> Vec<CpuReport> {
        let accounts: BTreeMap<u16, _> =
            manifest.accounting.iter().flat_map(|accounting| &accounting.cpus).map(|cpu| (cpu.cpu, cpu)).collect();
        let mut cpus: Vec<u16> = self.cpus.keys().chain(accounts.keys()).copied().collect();
        cpus.sort_unstable();
        cpus.dedup();

        let none = Cpu::default();
        let mut reports: Vec<CpuReport> = cpus
            .into_iter()
            .map(|cpu| {
                let seen = self.cpus.get(&cpu).unwrap_or(&none);
                let account = accounts.get(&cpu);
                let sum = |count: fn(&ClassAccount) -> u64| {
                    let classes = account.into_iter().flat_map(|account| account.classes.values());
                    classes.map(count).fold(0, u64::saturating_add)
                };
                let next_seq = account.map(|account| account.next_seq);
                let (gaps, gap_count, missing) = gaps(&seen.seqs, next_seq);
                CpuReport {
                    cpu,
                    next_seq,
                    rows: seen.rows.values().sum(),
                    missing,
                    dropped: sum(|counts| counts.dropped.total()),
                    filtered: sum(|counts| counts.filtered),
                    sampled_out: sum(|counts| counts.sampled_out),
                    known: sum(|counts| counts.known),
                    duplicates: seen.duplicates,
                    gap_count,
                    gaps,
                }
            })
            .collect();
        date(&mut reports, dir, manifest);
        explain(&mut reports, losses.unwrap_or_default(), manifest);
        reports
    }
}

/// The gaps below `end` (or the last number, if there is no account), how many there are, and their sum.
fn gaps(seqs: &RoaringTreemap, end: Option<u64>) -> (Vec<Gap>, u64, u64) {
    // (length, from), the smallest of the named ones on top; of equal ones the later goes first.
    let mut named: BinaryHeap<Reverse<(u64, Reverse<u64>)>> = BinaryHeap::new();
    let (mut count, mut sum) = (0, 0);
    let mut expected = 0;
    let mut gap = |from: u64, to: u64| {
        named.push(Reverse((to - from + 1, Reverse(from))));
        if named.len() > GAPS_NAMED {
            named.pop();
        }
        count += 1;
        sum += to - from + 1;
    };
    for seq in seqs {
        if end.is_some_and(|end| seq >= end) {
            break;
        }
        if seq > expected {
            gap(expected, seq - 1);
        }
        expected = seq.saturating_add(1);
    }
    if let Some(end) = end
        && end > expected
    {
        gap(expected, end - 1);
    }
    let gap = |Reverse((length, Reverse(from))): Reverse<(u64, Reverse<u64>)>| Gap {
        from,
        to: from + (length - 1),
        after: None,
        before: None,
        causes: Vec::new(),
    };
    let mut named: Vec<Gap> = named.into_iter().map(gap).collect();
    named.sort_by_key(|gap| gap.from);
    (named, count, sum)
}

/// Names what took the rows of each gap: the losses, and the removal of segments, that fall into its time.
fn explain(reports: &mut [CpuReport], losses: &[Loss], manifest: &Manifest) {
    let pruned = manifest.pruned.as_ref();
    for report in reports {
        let losses: Vec<&Loss> = losses.iter().filter(|loss| loss.cpu == report.cpu).collect();
        for gap in &mut report.gaps {
            let after = gap.after.as_ref().map_or(i64::MIN, |moment| moment.ns.saturating_sub(SLACK));
            let before = gap.before.as_ref().map_or(i64::MAX, |moment| moment.ns.saturating_add(SLACK));
            let causes = losses.iter().filter(|loss| loss.to >= after && loss.from <= before);
            let causes: BTreeSet<GapCause> =
                causes.map(|loss| GapCause { class: loss.class.name(), cause: loss.cause.name() }).collect();
            gap.causes = causes.into_iter().collect();
            if let Some(pruned) = pruned.filter(|pruned| pruned.last_ts >= after && pruned.first_ts <= before) {
                let classes = pruned.cpus.get(&report.cpu).into_iter().flat_map(|classes| classes.keys());
                let classes = classes.filter_map(|name| Class::from_name(name));
                gap.causes.extend(classes.map(|class| GapCause { class: class.name(), cause: "pruned" }));
            }
        }
    }
}

/// Finds the times of the rows next to each gap.
fn date(reports: &mut [CpuReport], dir: &Path, manifest: &Manifest) {
    let mut times: HashMap<(u16, u64), Option<i64>> = HashMap::new();
    for report in &*reports {
        for gap in &report.gaps {
            times.extend(gap.neighbours().into_iter().flatten().map(|seq| ((report.cpu, seq), None)));
        }
    }
    if times.is_empty() {
        return;
    }
    for segment in &manifest.segments {
        let Ok(batches) = Batches::open(&dir.join(&segment.file), &schema::COMMON[..3]) else { continue };
        // What cannot be read was reported before; here it only leaves a gap undated.
        for batch in batches.map_while(Result::ok) {
            let columns = (
                batch.column(0).as_primitive_opt::<TimestampNanosecondType>(),
                batch.column(1).as_primitive_opt::<UInt16Type>(),
                batch.column(2).as_primitive_opt::<UInt64Type>(),
            );
            let (Some(ts), Some(cpu), Some(seq)) = columns else { continue };
            for row in 0..batch.num_rows() {
                if let Some(time) = times.get_mut(&(cpu.value(row), seq.value(row))) {
                    *time = Some(ts.value(row));
                }
            }
        }
    }
    for report in reports {
        let cpu = report.cpu;
        let time = |seq: Option<u64>| times.get(&(cpu, seq?)).copied().flatten().map(Moment::from_ns);
        for gap in &mut report.gaps {
            let [after, before] = gap.neighbours();
            (gap.after, gap.before) = (time(after), time(before));
        }
    }
}
