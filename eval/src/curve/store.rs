//! The points as a Parquet table, for a dataframe.

use polars::prelude::*;

use super::{Curve, Point};
use crate::Result;

/// Bytes of a Parquet file: a row for each point. Rates are a second, lags and CPU time s, memory MiB.
///
/// # Errors
/// The table cannot be encoded.
pub fn parquet(curve: &Curve) -> Result<Vec<u8>> {
    let points = &curve.points;
    let column = |of: fn(&Point) -> f64| points.iter().map(of).collect::<Vec<f64>>();
    let number = |of: fn(&Point) -> u64| points.iter().map(of).collect::<Vec<u64>>();
    let cpus: Vec<String> = points.iter().map(|point| super::chart::cpus(&point.cpus)).collect();
    let mut frame = df!(
        "class" => points.iter().map(|point| point.deed.name()).collect::<Vec<_>>(),
        "cpus" => cpus,
        "rate_asked" => number(|point| point.rate),
        "calls" => number(|point| point.storm.callers.calls),
        "calls_per_second" => column(|point| point.storm.calls_per_second),
        "counted" => points.iter().map(|point| point.storm.counted).collect::<Vec<_>>(),
        "stored" => number(|point| point.storm.stored),
        "stored_share" => column(|point| point.storm.stored_share),
        "dropped" => number(|point| point.storm.dropped),
        "accounted_share" => column(|point| point.storm.accounted_share),
        "verified" => points.iter().map(|point| point.storm.verified).collect::<Vec<_>>(),
        "complete_share" => points.iter().map(|point| point.storm.complete).collect::<Vec<_>>(),
        "bytes_per_event" => column(|point| point.storm.bytes_per_event),
        "cpu_seconds" => column(|point| point.storm.cpu_seconds),
        "cpu_share" => column(Point::cpu_share),
        "memory_peak_mib" => column(|point| point.storm.memory_peak_mib),
        "ring_most_mib" => column(|point| point.storm.ring_most_mib),
        "lag_p50" => column(|point| point.storm.lag_p50),
        "lag_p99" => column(|point| point.storm.lag_p99),
        "lag_max" => column(|point| point.storm.lag_max),
    )?;
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame)?;
    Ok(bytes)
}
