//! The runs as a Parquet table, for a dataframe.

use polars::prelude::*;

use super::{Once, Overhead};
use crate::Result;

/// A run of a workload: bare, or under a recorder.
struct Row<'a> {
    workload: &'static str,
    recorder: Option<&'a str>,
    round: u32,
    seconds: f64,
    run: Option<&'a Once>,
}

/// Bytes of a Parquet file: a row for each run. `recorder` is null of bare runs, and what is the recorder's with it; CPU time in s,
/// memory in MiB.
///
/// # Errors
/// The table cannot be encoded.
pub fn parquet(found: &Overhead) -> Result<Vec<u8>> {
    let mut rows = Vec::new();
    for bare in &found.bare {
        let runs = bare.seconds.iter().zip(1..);
        rows.extend(runs.map(|(seconds, round)| Row {
            workload: bare.workload.name(),
            recorder: None,
            round,
            seconds: *seconds,
            run: None,
        }));
    }
    for recorder in &found.recorders {
        for result in &recorder.results {
            let runs = result.seconds.iter().enumerate().zip(1..);
            rows.extend(runs.map(|((at, seconds), round)| Row {
                workload: result.workload.name(),
                recorder: Some(&recorder.name),
                round,
                seconds: *seconds,
                run: result.runs.get(at),
            }));
        }
    }
    let number = |of: fn(&Once) -> Option<f64>| rows.iter().map(|row| row.run.and_then(of)).collect::<Vec<_>>();
    let mut frame = df!(
        "workload" => rows.iter().map(|row| row.workload).collect::<Vec<_>>(),
        "recorder" => rows.iter().map(|row| row.recorder).collect::<Vec<_>>(),
        "round" => rows.iter().map(|row| row.round).collect::<Vec<_>>(),
        "seconds" => rows.iter().map(|row| row.seconds).collect::<Vec<_>>(),
        "cpu_seconds" => number(|run| Some(run.cpu_seconds)),
        "memory_mib" => number(|run| Some(run.memory_mib)),
        "events" => number(|run| run.events),
        "dropped" => number(|run| run.dropped),
        "named" => number(|run| run.named),
        "bytes" => rows.iter().map(|row| row.run.map(|run| run.bytes)).collect::<Vec<_>>(),
    )?;
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame)?;
    Ok(bytes)
}
