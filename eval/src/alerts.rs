//! The alerts of a replay: read from the directory it wrote, or made by replaying now.

use std::fs::{self, File};
use std::path::Path;

use arrow::array::{
    Array, AsArray, ListArray, PrimitiveArray, RecordBatch, StringArray, StructArray, UInt16Array, UInt64Array,
};
use arrow::datatypes::{ArrowPrimitiveType, TimestampNanosecondType, UInt16Type, UInt64Type};
use datasets::{Manifest, Recording};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use record_bpf::Class;
use replay::deviation::RowRef;
use replay::engines::Severity;

use crate::{Error, Result};

const ALERTS: &str = "alerts.parquet";
const RUN: &str = "run.json";

/// What an experiment needs of an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRow {
    pub id: String,
    /// Low for one that the replay's allow-list kept from being raised.
    pub severity: Severity,
    /// Unix time of the event that brought the score to the severity, ns.
    pub raised_at: i64,
    /// Incarnation of the process it is about; `None` where the recorder did not know it.
    pub exec_id: Option<u64>,
    /// The rows of the recording that prove it.
    pub evidence: Vec<RowRef>,
}

impl From<&replay::alert::Alert> for AlertRow {
    fn from(alert: &replay::alert::Alert) -> Self {
        AlertRow {
            id: alert.id.clone(),
            severity: if alert.allowed.is_some() { Severity::Low } else { alert.severity },
            raised_at: alert.raised_at,
            exec_id: alert.exec_id,
            evidence: alert.deviations.iter().flat_map(|found| &found.rows).copied().collect(),
        }
    }
}

/// Replays the recording named in `options`, with its baseline and configuration. Writes nothing.
///
/// # Errors
/// Those of the replay: bad configuration, a missing model, damaged input.
pub fn replay_now(options: &replay::cli::Replay) -> Result<Vec<AlertRow>> {
    let config = replay::config::load(options.config.as_deref(), &options.sets)?;
    let sources = replay::run::Sources::open(options)?;
    let outcome = replay::run::run(&sources, &config, options.threads.into())?;
    Ok(outcome.alerts.iter().map(AlertRow::from).collect())
}

/// Reads the alerts that a replay of `recording` wrote to `dir`. Where there is a `run.json`, it must name the same
/// segments by SHA-256.
///
/// # Errors
/// [`Error::Alerts`], [`Error::OtherRecording`].
pub fn read(dir: &Path, recording: &Recording) -> Result<Vec<AlertRow>> {
    let path = dir.join(ALERTS);
    let failed = |reason: String| Error::Alerts { path: path.clone(), reason };
    let file = File::open(&path).map_err(|error| failed(format!("cannot read: {error}")))?;
    same_recording(&dir.join(RUN), recording)?;
    let parquet = |error: &dyn std::fmt::Display| failed(format!("not a readable Parquet file: {error}"));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| parquet(&error))?;
    let reader = reader.build().map_err(|error| parquet(&error))?;
    let mut alerts = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|error| parquet(&error))?;
        append(&batch, &mut alerts).map_err(failed)?;
    }
    Ok(alerts)
}

/// Labels may have come or changed since the replay, so only the events count.
fn same_recording(path: &Path, recording: &Recording) -> Result<()> {
    let failed = |reason: String| Error::Alerts { path: path.to_owned(), reason };
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(|error| failed(format!("cannot read: {error}")))?,
    };
    let run: serde_json::Value = serde_json::from_str(&text).map_err(|error| failed(format!("not JSON: {error}")))?;
    let files = run.pointer("/recording/files").and_then(serde_json::Value::as_array);
    let files = files.ok_or_else(|| failed("it has no recording.files; not a replay's run.json".to_owned()))?;
    let replayed = |file: &str| {
        let entry = files.iter().find(|entry| entry.get("file").and_then(serde_json::Value::as_str) == Some(file))?;
        entry.get("sha256").and_then(serde_json::Value::as_str)
    };
    let Manifest { segments, .. } = recording.manifest();
    match segments.iter().find(|segment| replayed(&segment.file) != Some(&segment.sha256)) {
        Some(segment) => Err(Error::OtherRecording {
            recording: recording.dir().to_owned(),
            reason: format!("{} was not replayed with this content", segment.file),
        }),
        None => Ok(()),
    }
}

/// Adds the alerts of a batch; an error names the column.
fn append(batch: &RecordBatch, out: &mut Vec<AlertRow>) -> Result<(), String> {
    let ids = text(batch, "id")?;
    let severities = text(batch, "severity")?;
    let raised: &PrimitiveArray<TimestampNanosecondType> = numbers(batch, "raised_at", false)?;
    let exec_ids: &PrimitiveArray<UInt64Type> = numbers(batch, "exec_id", true)?;
    let evidence = Evidence::of(batch)?;
    // Replays before there was an allow-list have no such column.
    let is_allowed = |row| batch.column_by_name("allowed").is_some_and(|column| column.is_valid(row));
    for row in 0..batch.num_rows() {
        let name = severities.value(row);
        let severity = Severity::from_name(name).ok_or_else(|| format!("column severity: unknown value {name:?}"))?;
        out.push(AlertRow {
            id: ids.value(row).to_owned(),
            severity: if is_allowed(row) { Severity::Low } else { severity },
            raised_at: raised.value(row),
            exec_id: exec_ids.is_valid(row).then(|| exec_ids.value(row)),
            evidence: evidence.rows(row)?,
        });
    }
    Ok(())
}

/// The `evidence` column: a list of (class, cpu, seq).
struct Evidence<'a> {
    lists: &'a ListArray,
    class: &'a StringArray,
    cpu: &'a UInt16Array,
    seq: &'a UInt64Array,
}

impl<'a> Evidence<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, String> {
        let column = column(batch, "evidence", false)?;
        let foreign = || format!("column evidence: expected a list of (class, cpu, seq), found {}", column.data_type());
        let lists = column.as_list_opt::<i32>().ok_or_else(foreign)?;
        let rows: &StructArray = lists.values().as_struct_opt().ok_or_else(foreign)?;
        let field = |name: &str| rows.column_by_name(name).filter(|field| field.null_count() == 0);
        Ok(Evidence {
            lists,
            class: field("class").and_then(|field| field.as_string_opt()).ok_or_else(foreign)?,
            cpu: field("cpu").and_then(|field| field.as_primitive_opt::<UInt16Type>()).ok_or_else(foreign)?,
            seq: field("seq").and_then(|field| field.as_primitive_opt::<UInt64Type>()).ok_or_else(foreign)?,
        })
    }

    fn rows(&self, row: usize) -> Result<Vec<RowRef>, String> {
        let offsets = self.lists.value_offsets();
        let range = offsets[row] as usize..offsets[row + 1] as usize;
        let of = |at: usize| {
            let name = self.class.value(at);
            let class = Class::from_name(name).ok_or_else(|| format!("column evidence: unknown class {name:?}"))?;
            Ok(RowRef { class, cpu: self.cpu.value(at), seq: self.seq.value(at) })
        };
        range.map(of).collect()
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str, nullable: bool) -> Result<&'a dyn Array, String> {
    let column = batch.column_by_name(name).ok_or_else(|| format!("column {name} is missing"))?;
    if !nullable && column.null_count() > 0 {
        return Err(format!("column {name}: has a null, and must not"));
    }
    Ok(column.as_ref())
}

fn text<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray, String> {
    let column = column(batch, name, false)?;
    column.as_string_opt().ok_or_else(|| format!("column {name}: expected Utf8, found {}", column.data_type()))
}

fn numbers<'a, T: ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
    nullable: bool,
) -> Result<&'a PrimitiveArray<T>, String> {
    let column = column(batch, name, nullable)?;
    let found = || format!("column {name}: expected {}, found {}", T::DATA_TYPE, column.data_type());
    column.as_primitive_opt().ok_or_else(found)
}
