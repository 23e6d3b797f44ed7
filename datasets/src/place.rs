//! What a part of a Parquet file holds.

use std::ops::Range;
use std::path::Path;

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader as _, Length as _};

use crate::parquet_read::guard;
use crate::store::Input;

/// Bytes behind the footer: its length, u32, and the magic.
const TAIL: u64 = 8;

/// Names what some bytes of the file are: row groups and columns, or the footer. `None`: the footer is among them, or cannot be
/// read; then nothing in the file says what is where.
pub(crate) fn describe(path: &Path, ranges: &[Range<u64>]) -> Option<String> {
    let file = Input::open(path).ok()?;
    let bytes = file.len();
    let length = file.get_bytes(bytes.checked_sub(TAIL)?, 4).ok()?;
    let length: [u8; 4] = length.as_ref().try_into().ok()?;
    let footer = bytes.checked_sub(u64::from(u32::from_le_bytes(length)) + TAIL)?;
    if ranges.iter().any(|range| range.end > footer) {
        return None;
    }
    let metadata = guard(path, || ParquetMetaDataReader::new().parse_and_finish(&file)).ok()?.ok()?;
    // A footer that somebody made up may say that a column begins before the file: the Parquet crate panics at that.
    let parts: Vec<String> =
        guard(path, || (0..metadata.num_row_groups()).filter_map(|group| part(&metadata, group, ranges)).collect())
            .ok()?;
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// A row group's columns that have bytes in the ranges: the first and the last of each run.
fn part(metadata: &ParquetMetaData, group: usize, ranges: &[Range<u64>]) -> Option<String> {
    let columns = metadata.row_group(group).columns();
    let touched = |at: usize| {
        let (start, length) = columns[at].byte_range();
        ranges.iter().any(|range| range.start < start.saturating_add(length) && start < range.end)
    };
    let touched: Vec<usize> = (0..columns.len()).filter(|at| touched(*at)).collect();
    let name = |at: usize| columns[at].column_path().parts().first().cloned().unwrap_or_default();
    let runs: Vec<String> = touched
        .chunk_by(|a, b| a + 1 == *b)
        .map(|run| match run {
            [one] => name(*one),
            run => format!("{} to {}", name(run[0]), name(run[run.len() - 1])),
        })
        .collect();
    let plural = if touched.len() == 1 { "column" } else { "columns" };
    (!runs.is_empty()).then(|| format!("row group {group}, {plural} {}", runs.join(", ")))
}
