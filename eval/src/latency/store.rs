//! The histograms as a Parquet table, for a dataframe.

use polars::prelude::*;

use super::Latency;
use crate::Result;

/// Bytes of a Parquet file: a row for each step of each stage's histogram. `up_to` is its upper bound, s.
///
/// # Errors
/// The table cannot be encoded.
pub fn parquet(found: &Latency) -> Result<Vec<u8>> {
    let rows = || found.stages.iter().flat_map(|stage| stage.histogram.iter().map(move |step| (&*stage.name, step)));
    let mut frame = df!(
        "stage" => rows().map(|(name, _)| name).collect::<Vec<_>>(),
        "up_to" => rows().map(|(_, (bound, _))| *bound).collect::<Vec<_>>(),
        "events" => rows().map(|(_, (_, count))| *count).collect::<Vec<_>>(),
    )?;
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame)?;
    Ok(bytes)
}
