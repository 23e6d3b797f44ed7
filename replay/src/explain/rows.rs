//! The rows of a recording that an alert names as its evidence.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, TimestampNanosecondType, UInt16Type, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datasets::Recording;
use record_bpf::Class;
use serde_json::{Map, Value};

use super::Place;
use super::stored::{File, StoredAlert};
use crate::deviation::RowRef;
use crate::error::{Error, Result};
use crate::input;

/// A row: its columns that are not null, in the order of the schema. Times are Unix time in ns.
pub type Row = Map<String, Value>;

#[derive(Debug, Default)]
pub struct Rows(BTreeMap<RowRef, Row>);

impl Rows {
    /// The rows of one deviation, in the order it names them.
    pub fn of(&self, wanted: &[RowRef]) -> Vec<Row> {
        wanted.iter().filter_map(|row| self.0.get(row).cloned()).collect()
    }
}

/// Reads the evidence of all alerts. `places`: the recordings in the order of their numbers, with the files that were replayed;
/// of the classes that are read their hashes are compared with what is there now.
///
/// # Errors
/// No recording there; another one; an unreadable file; a row that is not in it.
pub fn read(places: &[Place<'_>], alerts: &[StoredAlert]) -> Result<Rows> {
    let mut rows = Rows::default();
    for (at, place) in places.iter().enumerate() {
        let of_place = |row: &&RowRef| row.recording().map_or(0, |number| number - 1) == at;
        let all = alerts.iter().flat_map(|alert| &alert.deviations).flat_map(|found| &found.rows);
        read_one(place, all.filter(of_place), &mut rows)?;
    }
    Ok(rows)
}

fn read_one<'a>(place: &Place<'_>, evidence: impl Iterator<Item = &'a RowRef>, rows: &mut Rows) -> Result<()> {
    let mut wanted: BTreeMap<Class, BTreeMap<(u16, u64), RowRef>> = BTreeMap::new();
    for row in evidence {
        wanted.entry(row.class).or_default().insert((row.cpu, row.own_seq()), *row);
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let recording = Recording::find(&place.dir)?;
    for (class, mut wanted) in wanted {
        same_files(&recording, class, place.files)?;
        for batch in recording.batches(class, None)? {
            if wanted.is_empty() {
                break;
            }
            take(&batch?, class, &mut wanted, rows).map_err(|reason| {
                Error::input(format!("{}: {reason}", recording.dir().display()), "check the recording")
            })?;
        }
        if let Some(((cpu, seq), _)) = wanted.first_key_value() {
            return Err(Error::input(
                format!("{} has no row {class} {cpu} {seq}", recording.dir().display()),
                "the evidence is of another recording",
            ));
        }
    }
    Ok(())
}

/// The class's segments are those that were replayed, byte for byte.
fn same_files(recording: &Recording, class: Class, files: &[File]) -> Result<()> {
    for segment in recording.manifest().class_segments(class) {
        let path = recording.dir().join(&segment.file);
        let (sha256, _) = input::digest(&path, [])?;
        // A recording that was followed had no hashes yet; then what its manifest says now must hold.
        let replayed = files.iter().any(|file| file.file == segment.file && file.sha256 == sha256);
        if !replayed && (!files.is_empty() || segment.sha256 != sha256) {
            return Err(Error::input(
                format!("{}: its content is not what was replayed (SHA-256 differs)", path.display()),
                "name the recording that was replayed with --recording DIR, or replay this one",
            ));
        }
    }
    Ok(())
}

/// Moves the wanted rows of a batch out of `wanted` into `rows`.
fn take(
    batch: &RecordBatch,
    class: Class,
    wanted: &mut BTreeMap<(u16, u64), RowRef>,
    rows: &mut Rows,
) -> std::result::Result<(), String> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("{class} has no column {name}"));
    let (cpus, seqs) = (column("cpu")?, column("seq")?);
    let cpus = cpus.as_primitive_opt::<UInt16Type>().ok_or("cpu is no u16")?;
    let seqs = seqs.as_primitive_opt::<UInt64Type>().ok_or("seq is no u64")?;
    for index in 0..batch.num_rows() {
        let (cpu, seq) = (cpus.value(index), seqs.value(index));
        if let Some(found) = wanted.remove(&(cpu, seq)) {
            rows.0.insert(found, row(batch, class, index)?);
        }
    }
    Ok(())
}

fn row(batch: &RecordBatch, class: Class, index: usize) -> std::result::Result<Row, String> {
    let mut out = Row::new();
    out.insert("class".to_owned(), class.name().into());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if column.is_null(index) {
            continue;
        }
        if let Some(times) = column.as_primitive_opt::<TimestampNanosecondType>() {
            out.insert(field.name().clone(), times.value(index).into());
            continue;
        }
        let options = FormatOptions::default();
        let text =
            ArrayFormatter::try_new(column, &options).and_then(|formatter| formatter.value(index).try_to_string());
        let text = text.map_err(|error| format!("column {}: {error}", field.name()))?;
        out.insert(field.name().clone(), value(field.data_type(), text));
    }
    Ok(out)
}

fn value(kind: &DataType, text: String) -> Value {
    let plain = kind.is_integer() || *kind == DataType::Boolean;
    if plain { serde_json::from_str(&text).unwrap_or(Value::String(text)) } else { Value::String(text) }
}
