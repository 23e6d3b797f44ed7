//! The results as Parquet: a row for each method, cut-off and act, and for each method, cut-off and recording.

use polars::prelude::*;

use super::report::{ActRow, MethodReport, Point, RecordingRow, Report};
use crate::Result;

/// `own` or `validation`: where a cut-off is from; the budget of one that was chosen.
type Cut<'a> = (&'a MethodReport, &'static str, Option<f64>, &'a Point);

fn cuts(report: &Report) -> Vec<Cut<'_>> {
    let mut cuts: Vec<Cut<'_>> = Vec::new();
    for method in &report.methods {
        cuts.extend(method.own.iter().map(|point| (method, "own", None, point)));
        let budgets = report.budgets.iter().map(|budget| Some(budget.per_container_hour));
        cuts.extend(method.chosen.iter().zip(budgets).map(|(point, budget)| (method, "validation", budget, point)));
    }
    cuts
}

/// `acts.parquet`.
///
/// # Errors
/// The table cannot be encoded.
pub fn acts(report: &Report) -> Result<Vec<u8>> {
    let cuts = cuts(report);
    let rows: Vec<(&Cut<'_>, &ActRow)> =
        cuts.iter().flat_map(|cut| cut.3.acts.iter().map(move |row| (cut, row))).collect();
    let text = |of: fn(&ActRow) -> Option<&str>| rows.iter().map(|(_, row)| of(row)).collect::<Vec<Option<&str>>>();
    encode(df!(
        "method" => rows.iter().map(|(cut, _)| cut.0.name).collect::<Vec<_>>(),
        "cut_off_of" => rows.iter().map(|(cut, _)| cut.1).collect::<Vec<_>>(),
        "false_per_hour_allowed" => rows.iter().map(|(cut, _)| cut.2).collect::<Vec<_>>(),
        "cut_off" => rows.iter().map(|(cut, _)| cut.3.cut_off).collect::<Vec<_>>(),
        "recording" => text(|row| Some(&row.recording)),
        "scenario" => text(|row| row.scenario.as_deref()),
        "seed" => rows.iter().map(|(_, row)| row.seed).collect::<Vec<_>>(),
        "act" => text(|row| Some(&row.act)),
        "stealth" => text(|row| row.stealth),
        "techniques" => rows.iter().map(|(_, row)| row.techniques.join(" ")).collect::<Vec<_>>(),
        "events" => rows.iter().map(|(_, row)| row.events).collect::<Vec<_>>(),
        "detected" => rows.iter().map(|(_, row)| row.detected).collect::<Vec<_>>(),
        "time_to_detect_s" => rows.iter().map(|(_, row)| row.after_s).collect::<Vec<_>>(),
        "highest_score" => rows.iter().map(|(_, row)| row.highest).collect::<Vec<_>>(),
        "technique_labelled" => text(|row| row.technique_labelled.as_deref()),
        "technique_alert" => text(|row| row.technique_alert.as_deref()),
    )?)
}

/// `recordings.parquet`.
///
/// # Errors
/// The table cannot be encoded.
pub fn recordings(report: &Report) -> Result<Vec<u8>> {
    let cuts = cuts(report);
    let rows: Vec<(&Cut<'_>, &RecordingRow)> =
        cuts.iter().flat_map(|cut| cut.3.recordings.iter().map(move |row| (cut, row))).collect();
    let number = |of: &dyn Fn(&RecordingRow) -> u64| rows.iter().map(|(_, row)| of(row)).collect::<Vec<u64>>();
    encode(df!(
        "method" => rows.iter().map(|(cut, _)| cut.0.name).collect::<Vec<_>>(),
        "cut_off_of" => rows.iter().map(|(cut, _)| cut.1).collect::<Vec<_>>(),
        "false_per_hour_allowed" => rows.iter().map(|(cut, _)| cut.2).collect::<Vec<_>>(),
        "cut_off" => rows.iter().map(|(cut, _)| cut.3.cut_off).collect::<Vec<_>>(),
        "recording" => rows.iter().map(|(_, row)| row.recording.as_str()).collect::<Vec<_>>(),
        "scenario" => rows.iter().map(|(_, row)| row.scenario.as_deref()).collect::<Vec<_>>(),
        "seed" => rows.iter().map(|(_, row)| row.seed).collect::<Vec<_>>(),
        "container_hours" => rows.iter().map(|(_, row)| row.container_hours).collect::<Vec<_>>(),
        "acts" => number(&|row| row.acts),
        "detected" => number(&|row| row.detected),
        "true_alerts" => number(&|row| row.true_alerts),
        "false_alerts" => number(&|row| row.false_alerts),
        "false_bursts" => number(&|row| row.false_bursts),
        "event_tp" => number(&|row| row.events[0]),
        "event_fp" => number(&|row| row.events[1]),
        "event_fn" => number(&|row| row.events[2]),
        "event_tn" => number(&|row| row.events[3]),
        "process_tp" => number(&|row| row.processes[0]),
        "process_fp" => number(&|row| row.processes[1]),
        "process_fn" => number(&|row| row.processes[2]),
        "process_tn" => number(&|row| row.processes[3]),
    )?)
}

fn encode(mut frame: DataFrame) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame)?;
    Ok(bytes)
}
