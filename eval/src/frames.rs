//! Recordings and alerts as polars frames.
//!
//! Columns that name an event: `class` (the class's number), `cpu`, `seq`. Recordings are read through `datasets`, whose
//! errors name the file and the column; polars joins and counts.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{ArrowPrimitiveType, Int32Type, TimestampNanosecondType, UInt16Type, UInt64Type};
use datasets::{Label, Recording};
use polars::prelude::*;
use record_bpf::Class;

use crate::Result;
use crate::alerts::AlertRow;

/// What names an event.
pub const KEY: [&str; 3] = ["class", "cpu", "seq"];

pub fn key() -> [Expr; 3] {
    KEY.map(col)
}

const COLUMNS: &[&str] = &["ts", "cpu", "seq", "container", "exec_id"];

/// Every event: the key, `ts` (Unix ns), `container` (a number; null outside containers), `exec_id`.
///
/// # Errors
/// Unreadable segments.
pub fn events(recording: &Recording) -> Result<DataFrame> {
    let rows = recording.manifest().rows() as usize;
    let mut columns = EventColumns::with_capacity(rows);
    for class in Class::ALL {
        for batch in recording.batches(class, Some(COLUMNS))? {
            columns.append(class, &batch?);
        }
    }
    let EventColumns { class, cpu, seq, ts, container, exec_id, .. } = columns;
    Ok(df!("class" => class, "cpu" => cpu, "seq" => seq, "ts" => ts, "container" => container, "exec_id" => exec_id)?)
}

#[derive(Default)]
struct EventColumns {
    class: Vec<u32>,
    cpu: Vec<u32>,
    seq: Vec<u64>,
    ts: Vec<i64>,
    container: Vec<Option<u32>>,
    exec_id: Vec<Option<u64>>,
    containers: HashMap<String, u32>,
}

impl EventColumns {
    fn with_capacity(rows: usize) -> Self {
        EventColumns {
            class: Vec::with_capacity(rows),
            cpu: Vec::with_capacity(rows),
            seq: Vec::with_capacity(rows),
            ts: Vec::with_capacity(rows),
            container: Vec::with_capacity(rows),
            exec_id: Vec::with_capacity(rows),
            containers: HashMap::new(),
        }
    }

    /// The reader gives exactly [`COLUMNS`], in the types of the schema.
    fn append(&mut self, class: Class, batch: &RecordBatch) {
        self.class.extend(std::iter::repeat_n(class as u32, batch.num_rows()));
        self.ts.extend(values::<TimestampNanosecondType>(batch, 0).map(Option::unwrap_or_default));
        self.cpu.extend(values::<UInt16Type>(batch, 1).map(|cpu| u32::from(cpu.unwrap_or_default())));
        self.seq.extend(values::<UInt64Type>(batch, 2).map(Option::unwrap_or_default));
        self.exec_id.extend(values::<UInt64Type>(batch, 4));
        let containers = batch.column(3).as_dictionary::<Int32Type>();
        let names = containers.values().as_string::<i32>();
        let ids: Vec<Option<u32>> = (0..names.len())
            .map(|at| {
                let next = self.containers.len() as u32;
                names.is_valid(at).then(|| *self.containers.entry(names.value(at).to_owned()).or_insert(next))
            })
            .collect();
        let id = |key: Option<i32>| key.and_then(|key| ids.get(key as usize).copied().flatten());
        self.container.extend(containers.keys().iter().map(id));
    }
}

fn values<T: ArrowPrimitiveType>(batch: &RecordBatch, at: usize) -> impl Iterator<Item = Option<T::Native>> + '_ {
    batch.column(at).as_primitive::<T>().iter()
}

/// The key of every event that the labels call ambiguous.
pub fn ambiguous(labels: &[Label]) -> Result<DataFrame> {
    let of = || labels.iter().filter(|label| label.ambiguous);
    let frame = df!(
        "class" => of().map(|label| label.class as u32).collect::<Vec<_>>(),
        "cpu" => of().map(|label| u32::from(label.cpu)).collect::<Vec<_>>(),
        "seq" => of().map(|label| label.seq).collect::<Vec<_>>(),
    )?;
    Ok(frame.lazy().unique_stable(None, UniqueKeepStrategy::First).collect()?)
}

/// Ground truth: the key and `act`, an index into the names that are returned with it, which are sorted. What is ambiguous
/// is left out.
pub fn truth(labels: &[Label]) -> Result<(DataFrame, Vec<String>)> {
    let labels: Vec<&Label> = labels.iter().filter(|label| !label.ambiguous).collect();
    let mut names: Vec<String> = labels.iter().map(|label| label.act.to_string()).collect();
    names.sort();
    names.dedup();
    let act = |label: &&Label| names.binary_search_by(|name| name.as_str().cmp(&label.act)).map_or(0, |at| at as u32);
    let frame = df!(
        "class" => labels.iter().map(|label| label.class as u32).collect::<Vec<_>>(),
        "cpu" => labels.iter().map(|label| u32::from(label.cpu)).collect::<Vec<_>>(),
        "seq" => labels.iter().map(|label| label.seq).collect::<Vec<_>>(),
        "act" => labels.iter().map(act).collect::<Vec<_>>(),
    )?;
    // An event has one label; of several the first counts.
    let frame = frame.lazy().group_by_stable(key()).agg([col("act").first()]).collect()?;
    Ok((frame, names))
}

/// Severity as a number that grows with it; 0 is left for "not flagged".
pub fn level(severity: replay::engines::Severity) -> u32 {
    severity as u32 + 1
}

/// Alerts: `alert` (index), `level`, `exec_id`.
pub fn alerts(alerts: &[AlertRow]) -> Result<DataFrame> {
    Ok(df!(
        "alert" => (0..alerts.len() as u32).collect::<Vec<_>>(),
        "level" => alerts.iter().map(|alert| level(alert.severity)).collect::<Vec<_>>(),
        "exec_id" => alerts.iter().map(|alert| alert.exec_id).collect::<Vec<_>>(),
    )?)
}

/// Evidence: `alert` (index), `level`, and the key of the row.
pub fn evidence(alerts: &[AlertRow]) -> Result<DataFrame> {
    let rows =
        || alerts.iter().zip(0u32..).flat_map(|(alert, at)| alert.evidence.iter().map(move |row| (at, alert, row)));
    Ok(df!(
        "alert" => rows().map(|(at, ..)| at).collect::<Vec<_>>(),
        "level" => rows().map(|(_, alert, _)| level(alert.severity)).collect::<Vec<_>>(),
        "class" => rows().map(|(.., row)| row.class as u32).collect::<Vec<_>>(),
        "cpu" => rows().map(|(.., row)| u32::from(row.cpu)).collect::<Vec<_>>(),
        "seq" => rows().map(|(.., row)| row.seq).collect::<Vec<_>>(),
    )?)
}
