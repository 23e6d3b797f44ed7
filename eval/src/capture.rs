//! What a recorder stored, lost and left incomplete.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::Int32Type;
use datasets::{ClassAccount, Recording};
use record_bpf::{Class, Kind};
use serde::Serialize;

use crate::Result;

/// What `eval capture` says.
#[derive(Debug, Serialize)]
pub struct Capture {
    pub recording: String,
    /// Whether the recorder finished; if not, nobody counted what it lost.
    pub finished: bool,
    pub classes: Vec<ClassCapture>,
    /// All classes.
    pub total: ClassCapture,
    pub fields: Vec<FieldCompleteness>,
    /// Helper failures of the recorder that are not zero, by name.
    pub failures: BTreeMap<String, u64>,
    /// The dimension tables, bytes.
    pub table_bytes: u64,
}

/// The account of one class over all CPUs. What only the recorder can know is null if it did not finish.
#[derive(Debug, PartialEq, Serialize)]
pub struct ClassCapture {
    pub class: &'static str,
    /// Events that took a sequence number.
    pub emitted: Option<u64>,
    /// Rows in the segments.
    pub stored: u64,
    pub dropped: Option<u64>,
    /// Discarded because the filter did not ask for them.
    pub filtered: Option<u64>,
    /// Left out in the kernel by the adaptive sampler: asked for, and not stored.
    pub sampled_out: Option<u64>,
    /// Left out in the kernel as known behaviour, which was not asked for.
    pub known: Option<u64>,
    /// stored / (emitted − filtered − known); null: nothing was to be stored.
    pub capture_rate: Option<f64>,
    /// Segment files.
    pub bytes: u64,
    pub bytes_per_event: Option<f64>,
}

/// How many rows hold what they should.
#[derive(Debug, PartialEq, Serialize)]
pub struct FieldCompleteness {
    pub rows_of: &'static str,
    pub fields: &'static str,
    pub rows: u64,
    /// Fields are there and not cut off.
    pub complete: u64,
    /// complete / rows; null: no rows.
    pub share: Option<f64>,
}

/// # Errors
/// An unreadable recording.
pub fn capture(recording: &Recording) -> Result<Capture> {
    replay::input::verify(recording)?;
    let manifest = recording.manifest();
    let recorded: Vec<Class> =
        Class::ALL.into_iter().filter(|class| manifest.classes.iter().any(|name| name == class.name())).collect();
    let account = |class: Class| -> Option<ClassAccount> {
        let cpus = &manifest.accounting.as_ref()?.cpus;
        Some(cpus.iter().filter_map(|cpu| cpu.classes.get(class.name())).fold(ClassAccount::default(), add))
    };
    let rows = |class: Class| manifest.class_segments(class).map(|segment| segment.rows).sum();
    let bytes = |class: Class| manifest.class_segments(class).map(|segment| segment.bytes).sum();
    let classes: Vec<_> =
        recorded.iter().map(|class| entry(class.name(), account(*class), rows(*class), bytes(*class))).collect();
    let total = recorded.iter().try_fold(ClassAccount::default(), |sum, class| Some(add(sum, &account(*class)?)));
    let mut fields = Vec::new();
    for class in Class::ALL.iter().filter(|class| recorded.contains(class)) {
        fields.extend(completeness(recording, *class)?);
    }
    let failures = manifest.accounting.iter().flat_map(|accounting| &accounting.failures).filter(|(_, n)| **n > 0);
    Ok(Capture {
        recording: recording.dir().display().to_string(),
        finished: manifest.accounting.is_some(),
        classes,
        total: entry("all", total, manifest.rows(), manifest.bytes()),
        fields,
        failures: failures.map(|(name, n)| (name.clone(), *n)).collect(),
        table_bytes: manifest.tables.iter().map(|table| table.bytes).sum(),
    })
}

/// What is promised of the rows of a class, and how many keep it.
///
/// # Errors
/// Unreadable segments.
pub fn completeness(recording: &Recording, class: Class) -> Result<Vec<FieldCompleteness>> {
    CHECKS.iter().filter(|check| check.class == class).map(|check| check.run(recording)).collect()
}

fn add(mut sum: ClassAccount, other: &ClassAccount) -> ClassAccount {
    sum.emitted = sum.emitted.saturating_add(other.emitted);
    sum.stored = sum.stored.saturating_add(other.stored);
    sum.filtered = sum.filtered.saturating_add(other.filtered);
    sum.sampled_out = sum.sampled_out.saturating_add(other.sampled_out);
    sum.known = sum.known.saturating_add(other.known);
    sum.dropped.ring_full = sum.dropped.ring_full.saturating_add(other.dropped.total());
    sum
}

fn entry(class: &'static str, account: Option<ClassAccount>, rows: u64, bytes: u64) -> ClassCapture {
    let rate = |account: ClassAccount| {
        let wanted = account.emitted.saturating_sub(account.filtered).saturating_sub(account.known);
        (wanted > 0).then(|| rows as f64 / wanted as f64)
    };
    ClassCapture {
        class,
        emitted: account.map(|account| account.emitted),
        stored: rows,
        dropped: account.map(|account| account.dropped.total()),
        filtered: account.map(|account| account.filtered),
        sampled_out: account.map(|account| account.sampled_out),
        known: account.map(|account| account.known),
        capture_rate: account.and_then(rate),
        bytes,
        bytes_per_event: (rows > 0).then(|| bytes as f64 / rows as f64),
    }
}

/// A promise about some rows of a class.
struct Check {
    rows_of: &'static str,
    fields: &'static str,
    class: Class,
    /// `op` first.
    columns: &'static [&'static str],
    applies: fn(&Row<'_>) -> bool,
    complete: fn(&Row<'_>) -> bool,
}

const CHECKS: [Check; 3] = [
    Check {
        rows_of: "process: exec",
        fields: "exe and argv",
        class: Class::Process,
        columns: &["op", "exe", "argv", "argv_truncated"],
        applies: |row| row.is(0, Kind::Exec.op()),
        complete: |row| row.has(1) && row.has(2) && !row.flag(3),
    },
    Check {
        rows_of: "file: all",
        fields: "path",
        class: Class::File,
        columns: &["op", "path", "path_truncated"],
        applies: |_| true,
        complete: |row| row.has(1) && !row.flag(2),
    },
    Check {
        rows_of: "network: connect and accept over IP",
        fields: "peer address",
        class: Class::Network,
        columns: &["op", "family", "peer_addr"],
        applies: |row| {
            let connects = row.is(0, Kind::Connect.op()) || row.is(0, Kind::Accept.op());
            connects && (row.is(1, "inet") || row.is(1, "inet6"))
        },
        complete: |row| row.has(2),
    },
];

impl Check {
    fn run(&self, recording: &Recording) -> Result<FieldCompleteness> {
        let (mut rows, mut complete) = (0, 0);
        for batch in recording.batches(self.class, Some(self.columns))? {
            let batch = batch?;
            let all = (0..batch.num_rows()).map(|at| Row { batch: &batch, at });
            for row in all.filter(self.applies) {
                rows += 1;
                complete += u64::from((self.complete)(&row));
            }
        }
        let share = (rows > 0).then(|| complete as f64 / rows as f64);
        Ok(FieldCompleteness { rows_of: self.rows_of, fields: self.fields, rows, complete, share })
    }
}

/// A row of a batch, its columns by their place in [`Check::columns`].
struct Row<'a> {
    batch: &'a RecordBatch,
    at: usize,
}

impl Row<'_> {
    fn column(&self, column: usize) -> &ArrayRef {
        self.batch.column(column)
    }

    fn has(&self, column: usize) -> bool {
        self.column(column).is_valid(self.at)
    }

    fn flag(&self, column: usize) -> bool {
        self.has(column) && self.column(column).as_boolean().value(self.at)
    }

    /// Text columns come dictionary-coded.
    fn is(&self, column: usize, text: &str) -> bool {
        let words = self.column(column).as_dictionary::<Int32Type>();
        words.key(self.at).is_some_and(|key| words.values().as_string::<i32>().value(key) == text)
    }
}
