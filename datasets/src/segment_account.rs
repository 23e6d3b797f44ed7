//! The account of a class inside each of its segments: whoever has one file alone sees what the recording lost until then.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{UInt16Type, UInt64Type};
use parquet::file::metadata::ParquetMetaDataReader;
use record_bpf::Class;
use serde::{Deserialize, Serialize};

use crate::manifest::{Accounting, ClassAccount, Moment};
use crate::parquet_read::guard;
use crate::store::Input;
use crate::{Error, Result};

/// The key in a segment's Parquet metadata (`key_value_metadata` of the footer); the value is [`SegmentAccounting`] as JSON.
pub const KEY: &str = "retroscope.accounting";

/// What had become of the events of a segment's class when the segment was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentAccounting {
    pub class: String,
    /// When the kernel's counters were read: at most a tick (200 ms) before the segment was closed, in the clock of `ts`.
    /// Absent where nobody counts, as in an import; then the only counts are those of rows.
    pub counted: Option<Moment>,
    /// CPUs that had emitted events of the class.
    pub cpus: Vec<SegmentCpu>,
}

/// One CPU's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentCpu {
    pub cpu: u16,
    /// In this segment.
    pub rows: u64,
    /// Smallest sequence number in this segment.
    pub first_seq: Option<u64>,
    /// Largest sequence number in this segment.
    pub last_seq: Option<u64>,
    /// From the recording's begin: `stored` and `write_failed` until this segment was closed, with its own rows; everything
    /// else until `counted`.
    #[serde(flatten)]
    pub account: ClassAccount,
    /// `emitted − stored − dropped − filtered − sampled_out − known`. Above 0: events on their way at `counted`, in the ring
    /// or in a queue, or waiting for the next segment. Below 0: so many rows were emitted after `counted`.
    pub in_flight: i64,
}

/// The newest counts a writer has been told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    /// CPU, class name → counts.
    accounts: BTreeMap<(u16, String), ClassAccount>,
    at: Option<i64>,
}

impl Counted {
    pub(crate) fn new(accounting: &Accounting, at: i64) -> Counted {
        let classes = |cpu: &crate::CpuAccount| {
            let cpu_number = cpu.cpu;
            let accounts = cpu.classes.clone().into_iter();
            accounts.map(move |(class, account)| ((cpu_number, class), account)).collect::<Vec<_>>()
        };
        Counted { accounts: accounting.cpus.iter().flat_map(classes).collect(), at: Some(at) }
    }

    /// The account of a segment about to be written.
    ///
    /// `batches`: the segment's columns, in the order of the schema. `before`: (rows in segments closed before, rows lost to
    /// failed writes) of every CPU.
    pub(crate) fn segment(
        &self,
        class: Class,
        batches: &[Vec<ArrayRef>],
        before: &BTreeMap<u16, (u64, u64)>,
    ) -> SegmentAccounting {
        let mut cpus: BTreeMap<u16, SegmentCpu> = BTreeMap::new();
        let accounts = self.accounts.iter().filter(|((_, name), _)| name == class.name());
        for ((cpu, _), account) in accounts.filter(|(_, account)| account.emitted > 0) {
            entry(&mut cpus, *cpu).account = *account;
        }
        for (cpu, (stored, failed)) in before {
            let account = &mut entry(&mut cpus, *cpu).account;
            account.stored = *stored;
            account.dropped.write_failed += failed;
        }
        // ts, cpu, seq come first in every event table.
        for columns in batches.iter().filter(|columns| columns.len() > 2) {
            let (numbers, seqs) = (columns[1].as_primitive::<UInt16Type>(), columns[2].as_primitive::<UInt64Type>());
            for (cpu, seq) in numbers.values().iter().zip(seqs.values()) {
                let entry = entry(&mut cpus, *cpu);
                entry.rows += 1;
                entry.account.stored += 1;
                entry.first_seq = Some(entry.first_seq.map_or(*seq, |first| first.min(*seq)));
                entry.last_seq = Some(entry.last_seq.map_or(*seq, |last| last.max(*seq)));
            }
        }
        for cpu in cpus.values_mut() {
            cpu.in_flight = in_flight(&cpu.account);
        }
        SegmentAccounting {
            class: class.name().to_owned(),
            counted: self.at.map(Moment::from_ns),
            cpus: cpus.into_values().collect(),
        }
    }
}

fn entry(cpus: &mut BTreeMap<u16, SegmentCpu>, cpu: u16) -> &mut SegmentCpu {
    cpus.entry(cpu).or_insert_with(|| SegmentCpu {
        cpu,
        rows: 0,
        first_seq: None,
        last_seq: None,
        account: ClassAccount::default(),
        in_flight: 0,
    })
}

pub(crate) fn in_flight(account: &ClassAccount) -> i64 {
    let known = account.stored.saturating_add(account.without_row());
    account.emitted.wrapping_sub(known).cast_signed()
}

impl SegmentAccounting {
    pub(crate) fn to_json(&self) -> String {
        // Integers and strings: serialization into memory has nothing that could fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The account in a segment's metadata; `None`: it has none, as in recordings made before there was one.
///
/// # Errors
/// Not a readable Parquet file, or an account that is not one.
pub fn read(path: &Path) -> Result<Option<SegmentAccounting>> {
    let file = Input::open(path)?;
    let damaged = |reason: String| Error::Parquet { path: path.to_owned(), reason };
    let metadata = guard(path, || ParquetMetaDataReader::new().parse_and_finish(&file))?
        .map_err(|error| file.fault().error(path, error.to_string()))?;
    let pairs = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    let Some(text) = pairs.filter(|pair| pair.key == KEY).find_map(|pair| pair.value.as_ref()) else {
        return Ok(None);
    };
    serde_json::from_str(text).map(Some).map_err(|error| damaged(format!("{KEY}: {error}")))
}
