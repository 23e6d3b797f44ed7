//! The recordings as a Parquet table, for a dataframe.

use polars::prelude::*;

use super::{Growth, Over, Point};
use crate::Result;

/// Bytes of a Parquet file: a row for each recording. CPU time in s, memory in MiB.
///
/// # Errors
/// The table cannot be encoded.
pub fn parquet(found: &Growth) -> Result<Vec<u8>> {
    let rows: Vec<(Over, &Point)> =
        found.series.iter().flat_map(|series| series.points.iter().map(move |point| (series.over, point))).collect();
    let column = |of: fn(&Point) -> f64| rows.iter().map(|(_, point)| of(point)).collect::<Vec<f64>>();
    let number = |of: fn(&Point) -> u64| rows.iter().map(|(_, point)| of(point)).collect::<Vec<u64>>();
    let over = |over: &Over| match over {
        Over::Rate => "rate",
        Over::Length => "length",
    };
    let mut frame = df!(
        "over" => rows.iter().map(|(at, _)| over(at)).collect::<Vec<_>>(),
        "asked" => column(|point| point.asked),
        "round" => number(|point| point.round as u64),
        "seconds" => column(|point| point.seconds),
        "events" => number(|point| point.events),
        "events_per_second" => column(|point| point.events_per_second),
        "dropped" => number(|point| point.dropped),
        "verified" => rows.iter().map(|(_, point)| point.verified).collect::<Vec<_>>(),
        "cpu_seconds" => column(|point| point.cpu_seconds),
        "memory_mib" => column(|point| point.memory_mib),
        "bytes" => number(|point| point.bytes),
        "segments" => number(|point| point.segments),
    )?;
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame)?;
    Ok(bytes)
}
