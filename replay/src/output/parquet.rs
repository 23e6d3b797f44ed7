//! `alerts.parquet`: one row per alert, flat where analysis filters, lists where an alert holds several.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, Float32Builder, Float64Builder, ListBuilder, RecordBatch, StringBuilder, StructBuilder,
    TimestampNanosecondBuilder, UInt16Builder, UInt32Builder, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::alert::tactic::Tactic;
use crate::alert::{Alert, Finding};
use crate::error::{Error, Result};
use crate::output::verdicts;

/// The alerts as a Parquet file.
///
/// # Errors
/// The Parquet library fails; nothing the alerts hold makes it.
pub fn encode(alerts: &[Alert]) -> Result<Vec<u8>> {
    let failed =
        |error: &dyn std::fmt::Display| Error::input(format!("alerts.parquet: {error}"), "report this as a bug");
    let batch = batch(alerts).map_err(|error| failed(&error))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).map_err(|error| failed(&error))?))
        .build();
    let mut bytes = Vec::new();
    let mut writer =
        ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).map_err(|error| failed(&error))?;
    writer.write(&batch).and_then(|()| writer.close()).map_err(|error| failed(&error))?;
    Ok(bytes)
}

/// The alerts as a record batch, one row each.
///
/// # Errors
/// The Arrow library refuses its own columns; nothing the alerts hold makes it.
pub fn batch(alerts: &[Alert]) -> std::result::Result<RecordBatch, arrow::error::ArrowError> {
    let text = |value: fn(&Alert) -> &str| strings(alerts.iter().map(|alert| Some(value(alert))));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", text(|alert| &alert.id)),
        ("incident", text(|alert| &alert.incident)),
        ("severity", strings(alerts.iter().map(|alert| Some(alert.severity.name())))),
        ("score", floats(alerts.iter().map(|alert| alert.score))),
        ("ts", timestamps(alerts.iter().map(|alert| alert.ts))),
        ("raised_at", timestamps(alerts.iter().map(|alert| alert.raised_at))),
        ("image", text(|alert| &alert.image)),
        ("container", text(|alert| &alert.container)),
        ("container_name", strings(alerts.iter().map(|alert| alert.container_name.as_deref()))),
        ("image_digest", strings(alerts.iter().map(|alert| alert.image_digest.as_deref()))),
        ("runtime", strings(alerts.iter().map(|alert| alert.runtime.as_deref()))),
        ("pod", strings(alerts.iter().map(|alert| alert.pod.as_deref()))),
        ("namespace", strings(alerts.iter().map(|alert| alert.namespace.as_deref()))),
        ("pid", pids(alerts)),
        ("exec_id", exec_ids(alerts)),
        ("process", text(|alert| &alert.process)),
        ("ancestry", lists(alerts, |alert| alert.ancestry.iter().map(|process| process.command.to_string()).collect())),
        ("technique", strings(alerts.iter().map(|alert| alert.technique.as_ref().map(|t| t.id.as_str())))),
        ("tactics", lists(alerts, |alert| tactics(alert).map(|tactic| tactic.name.to_owned()).collect())),
        ("action", text(|alert| &alert.action)),
        ("commands", lists(alerts, |alert| alert.commands.iter().map(|command| command.run.clone()).collect())),
        ("score_rules", engine_points(alerts, "rules")),
        ("score_statistics", engine_points(alerts, "statistics")),
        ("score_semantics", engine_points(alerts, "semantics")),
        (
            "reasons",
            lists(alerts, |alert| alert.engines.iter().map(|e| format!("{}: {}", e.engine, e.reason)).collect()),
        ),
        ("deviations", lists(alerts, |alert| alert.deviations.iter().map(|found| found.text.to_string()).collect())),
        ("paths", lists(alerts, |alert| alert.deviations.iter().map(Finding::marked_path).collect())),
        (
            "host_paths",
            lists(alerts, |alert| {
                alert.deviations.iter().filter_map(|found| found.host_path.as_deref().map(str::to_owned)).collect()
            }),
        ),
        ("kinds", lists(alerts, |alert| alert.deviations.iter().map(|found| found.what().to_owned()).collect())),
        ("tiers", lists(alerts, |alert| alert.deviations.iter().map(|found| found.tier_name().to_owned()).collect())),
        ("evidence", evidence(alerts)),
        ("rules", lists(alerts, |alert| alert.rules.clone())),
        ("allowed", strings(alerts.iter().map(|alert| alert.allowed.as_ref().map(|allowed| &*allowed.reason)))),
        ("verdicts", verdicts::column(alerts)),
        ("truth_act", strings(alerts.iter().map(|alert| alert.truth.as_ref().map(|truth| &*truth.act)))),
        ("time_to_detect_ms", times_to_detect(alerts)),
    ];
    let of_several = ("recording", strings(alerts.iter().map(|alert| alert.recording.as_deref())));
    let columns: Vec<(&str, ArrayRef)> = columns.into_iter().chain(several(alerts).then_some(of_several)).collect();
    let fields: Fields = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), NULLABLE.contains(name)))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

const NULLABLE: &[&str] = &[
    "container_name",
    "image_digest",
    "runtime",
    "pod",
    "namespace",
    "exec_id",
    "technique",
    "allowed",
    "truth_act",
    "time_to_detect_ms",
    "recording",
];

/// Whether the alerts are of several recordings; only then there are columns for which.
fn several(alerts: &[Alert]) -> bool {
    alerts.iter().any(|alert| alert.recording.is_some())
}

fn tactics(alert: &Alert) -> impl Iterator<Item = &'static Tactic> {
    alert.technique.iter().flat_map(|technique| technique.tactics)
}

fn strings<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    let mut builder = StringBuilder::new();
    values.for_each(|value| builder.append_option(value));
    Arc::new(builder.finish())
}

fn floats(values: impl Iterator<Item = f32>) -> ArrayRef {
    let mut builder = Float32Builder::new();
    values.for_each(|value| builder.append_value(value));
    Arc::new(builder.finish())
}

fn timestamps(values: impl Iterator<Item = i64>) -> ArrayRef {
    let mut builder = TimestampNanosecondBuilder::new().with_timezone("UTC");
    values.for_each(|value| builder.append_value(value));
    Arc::new(builder.finish())
}

fn pids(alerts: &[Alert]) -> ArrayRef {
    let mut builder = UInt32Builder::new();
    alerts.iter().for_each(|alert| builder.append_value(alert.pid));
    Arc::new(builder.finish())
}

fn exec_ids(alerts: &[Alert]) -> ArrayRef {
    let mut builder = UInt64Builder::new();
    alerts.iter().for_each(|alert| builder.append_option(alert.exec_id));
    Arc::new(builder.finish())
}

fn times_to_detect(alerts: &[Alert]) -> ArrayRef {
    let mut builder = Float64Builder::new();
    alerts.iter().for_each(|alert| builder.append_option(alert.truth.as_ref().map(|truth| truth.time_to_detect_ms)));
    Arc::new(builder.finish())
}

fn engine_points(alerts: &[Alert], engine: &str) -> ArrayRef {
    let points = |alert: &Alert| alert.engines.iter().find(|e| e.engine == engine).map_or(0.0, |e| e.points);
    floats(alerts.iter().map(points))
}

fn lists(alerts: &[Alert], values: fn(&Alert) -> Vec<String>) -> ArrayRef {
    let item = Field::new("item", DataType::Utf8, false);
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(item);
    for alert in alerts {
        for value in values(alert) {
            builder.values().append_value(value);
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// The rows of all deviations: `(class, cpu, seq)` finds them in the recording, of several in the one of that number.
fn evidence(alerts: &[Alert]) -> ArrayRef {
    let mut fields = vec![
        Field::new("class", DataType::Utf8, false),
        Field::new("cpu", DataType::UInt16, false),
        Field::new("seq", DataType::UInt64, false),
    ];
    let mut builders: Vec<Box<dyn ArrayBuilder>> =
        vec![Box::new(StringBuilder::new()), Box::new(UInt16Builder::new()), Box::new(UInt64Builder::new())];
    if several(alerts) {
        fields.push(Field::new("recording", DataType::UInt16, false));
        builders.push(Box::new(UInt16Builder::new()));
    }
    let fields = Fields::from(fields);
    let item = Field::new("item", DataType::Struct(fields.clone()), false);
    let rows = StructBuilder::new(fields, builders);
    let mut builder = ListBuilder::new(rows).with_field(item);
    for alert in alerts {
        for row in alert.rows() {
            let rows = builder.values();
            let (class, cpu, seq) = (row.class.name(), row.cpu, row.own_seq());
            if let Some(field) = rows.field_builder::<StringBuilder>(0) {
                field.append_value(class);
            }
            if let Some(field) = rows.field_builder::<UInt16Builder>(1) {
                field.append_value(cpu);
            }
            if let Some(field) = rows.field_builder::<UInt64Builder>(2) {
                field.append_value(seq);
            }
            if let Some(number) = row.recording()
                && let Some(field) = rows.field_builder::<UInt16Builder>(3)
            {
                field.append_value(number as u16);
            }
            rows.append(true);
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}
