//! The answer to a query as lines.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use datasets::rows::printable;
use datasets::{Error, Result};
use jiff::Timestamp;
use polars::prelude::{AnyValue, DataFrame, ParquetWriter, TimeUnit};
use serde_json::{Map, Value};

use super::super::columns::Columns;
use super::super::out::Out;
use super::super::text::{plain, quoted};
use super::query_error;

/// Rows that tell how wide columns are.
const FIRST: usize = 512;

pub fn table(answer: &DataFrame, mut out: Out) -> Result<()> {
    let names = names(answer);
    let cells = |row: Vec<Value>| row.into_iter().map(|cell| printable(&plain(cell, " ")).into_owned()).collect();
    let first: Vec<Vec<String>> = rows(answer).take(FIRST).map(cells).collect();
    let layout = Columns::new(&names, &first);
    out.line(&layout.header())?;
    rows(answer).map(cells).try_for_each(|row| out.line(&layout.line(&row)))?;
    out.done()
}

pub fn json(answer: &DataFrame, mut out: Out) -> Result<()> {
    let names = names(answer);
    for row in rows(answer) {
        let cells = names.iter().map(|name| (*name).to_owned()).zip(row).filter(|(_, cell)| !cell.is_null());
        out.line(&Value::Object(cells.collect::<Map<_, _>>()).to_string())?;
    }
    out.done()
}

pub fn csv(answer: &DataFrame, mut out: Out) -> Result<()> {
    let line = |cells: &mut dyn Iterator<Item = String>| cells.collect::<Vec<_>>().join(",");
    out.line(&line(&mut names(answer).into_iter().map(quoted)))?;
    let cell = |value: Value| match value {
        list @ Value::Array(_) => quoted(&list.to_string()),
        other => quoted(&plain(other, " ")),
    };
    rows(answer).try_for_each(|row| out.line(&line(&mut row.into_iter().map(cell))))?;
    out.done()
}

/// A new file that only its owner can read.
pub fn parquet(answer: &mut DataFrame, path: &Path) -> Result<()> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    ParquetWriter::new(&file).finish(answer).map_err(|error| match error {
        error @ polars::error::PolarsError::IO { .. } => failed(std::io::Error::other(error.to_string())),
        other => query_error(&other, ""),
    })?;
    file.sync_all().map_err(failed)
}

fn names(answer: &DataFrame) -> Vec<&str> {
    answer.get_column_names().into_iter().map(|name| name.as_str()).collect()
}

fn rows(answer: &DataFrame) -> impl Iterator<Item = Vec<Value>> + '_ {
    (0..answer.height()).map(|at| answer.columns().iter().map(|column| value(column.get(at).ok())).collect())
}

fn value(cell: Option<AnyValue<'_>>) -> Value {
    let Some(cell) = cell else { return Value::Null };
    match cell {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(flag) => flag.into(),
        AnyValue::UInt32(n) => n.into(),
        AnyValue::UInt64(n) => n.into(),
        AnyValue::Int32(n) => n.into(),
        AnyValue::Int64(n) => n.into(),
        AnyValue::Float32(x) => f64::from(x).into(),
        AnyValue::Float64(x) => x.into(),
        AnyValue::String(text) => text.into(),
        AnyValue::StringOwned(text) => text.as_str().into(),
        AnyValue::Binary(bytes) => String::from_utf8_lossy(bytes).into(),
        AnyValue::BinaryOwned(bytes) => String::from_utf8_lossy(&bytes).into(),
        AnyValue::Datetime(at, unit, _) => moment(at, unit),
        AnyValue::DatetimeOwned(at, unit, _) => moment(at, unit),
        AnyValue::List(items) => items.iter().map(|item| value(Some(item))).collect(),
        other => other.to_string().into(),
    }
}

/// RFC 3339, UTC.
fn moment(at: i64, unit: TimeUnit) -> Value {
    let per_unit = match unit {
        TimeUnit::Nanoseconds => 1,
        TimeUnit::Microseconds => 1_000,
        TimeUnit::Milliseconds => 1_000_000,
    };
    Timestamp::from_nanosecond(i128::from(at) * per_unit).map_or(Value::Null, |time| time.to_string().into())
}
