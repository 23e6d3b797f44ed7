//! How many events of a recording name a file that was opened, or a program that was executed.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int32Type;
use datasets::Recording;
use record_bpf::{Class, Kind};

use crate::Result;

/// Opens of `path` and execs of it, in the classes that were recorded.
///
/// # Errors
/// Unreadable segments.
pub fn count(recording: &Recording, path: &str) -> Result<u64> {
    let recorded = |class: Class| recording.manifest().classes.iter().any(|name| name == class.name());
    let mut count = 0;
    for (class, kind, column) in [(Class::File, Kind::Open, "path"), (Class::Process, Kind::Exec, "exe")] {
        if !recorded(class) {
            continue;
        }
        for batch in recording.batches(class, Some(&["op", column]))? {
            let batch = batch?;
            let is = |column: usize, row: usize, text: &str| word(batch.column(column), row) == Some(text);
            count += (0..batch.num_rows()).filter(|row| is(0, *row, kind.op()) && is(1, *row, path)).count() as u64;
        }
    }
    Ok(count)
}

/// A text of a dictionary-coded column.
pub(crate) fn word(column: &dyn Array, row: usize) -> Option<&str> {
    let words = column.as_dictionary::<Int32Type>();
    words.key(row).map(|key| words.values().as_string::<i32>().value(key))
}
