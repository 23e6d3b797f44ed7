//! The learning curves as a Parquet file: one row per image, tree and sample.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::{Image, LearnedTree, Report};
use crate::convergence::curve::Sample;
use crate::error::{Error, Result};

/// # Errors
/// The Parquet library fails; nothing a report holds makes it.
pub fn encode(report: &Report) -> Result<Vec<u8>> {
    let failed =
        |error: &dyn std::fmt::Display| Error::input(format!("learning curve: {error}"), "report this as a bug");
    let batch = batch(report).map_err(|error| failed(&error))?;
    let level = ZstdLevel::try_new(3).map_err(|error| failed(&error))?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let mut bytes = Vec::new();
    let mut writer =
        ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).map_err(|error| failed(&error))?;
    writer.write(&batch).and_then(|()| writer.close()).map_err(|error| failed(&error))?;
    Ok(bytes)
}

type Row<'a> = (&'a Image, &'a LearnedTree, &'a Sample);

fn batch(report: &Report) -> std::result::Result<RecordBatch, arrow::error::ArrowError> {
    let rows: Vec<Row<'_>> = report
        .images
        .iter()
        .flat_map(|image| image.trees.iter().map(move |tree| (image, tree)))
        .flat_map(|(image, tree)| tree.curve.iter().map(move |sample| (image, tree, sample)))
        .collect();
    let text = |value: fn(&Row<'_>) -> String| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(value(row))).collect::<StringArray>())
    };
    let count = |value: fn(&Sample) -> u64| -> ArrayRef {
        Arc::new(rows.iter().map(|(_, _, sample)| value(sample)).collect::<UInt64Array>())
    };
    let number = |value: fn(&Sample) -> f64| -> ArrayRef {
        Arc::new(rows.iter().map(|(_, _, sample)| value(sample)).collect::<Float64Array>())
    };
    let converged = |(_, tree, sample): &Row<'_>| {
        Some(tree.converged.as_ref().is_some_and(|converged| converged.after_s <= sample.at_s))
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("image", text(|(image, _, _)| image.image.to_string())),
        ("tree", text(|(_, tree, _)| tree.tree.name().to_owned())),
        ("at_s", number(|sample| sample.at_s)),
        ("observations", count(|sample| sample.observations)),
        ("new_patterns", count(|sample| sample.new_patterns)),
        ("patterns", count(|sample| sample.patterns)),
        ("nodes", count(|sample| sample.nodes)),
        ("window_events", count(|sample| sample.window.events)),
        ("window_new_patterns", count(|sample| sample.window.new_patterns)),
        ("window_singletons", count(|sample| sample.window.singletons)),
        ("unseen_mass", number(|sample| sample.window.unseen_mass)),
        ("upper_bound", number(|sample| sample.window.upper_bound)),
        ("converged", Arc::new(rows.iter().map(converged).collect::<BooleanArray>())),
    ];
    let field = |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), false);
    let fields: Fields = columns.iter().map(field).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect())
}
