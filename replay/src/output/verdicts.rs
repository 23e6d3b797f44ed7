//! The column of `alerts.parquet` that holds what every engine said of every deviation.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Builder, ListBuilder, StringBuilder, StructBuilder, UInt32Builder};
use arrow::datatypes::{DataType, Field, Fields};

use crate::alert::Alert;

/// A list of structs: `deviation` is the index in the alert's deviations, `grounds` the numbers of the score as JSON.
pub fn column(alerts: &[Alert]) -> ArrayRef {
    let fields = Fields::from(vec![
        Field::new("deviation", DataType::UInt32, false),
        Field::new("engine", DataType::Utf8, false),
        Field::new("judge", DataType::Utf8, false),
        Field::new("score", DataType::Float32, false),
        Field::new("technique", DataType::Utf8, true),
        Field::new("reason", DataType::Utf8, false),
        Field::new("grounds", DataType::Utf8, false),
    ]);
    let text = || Box::new(StringBuilder::new());
    let item = Field::new("item", DataType::Struct(fields.clone()), false);
    let columns: Vec<Box<dyn arrow::array::ArrayBuilder>> =
        vec![Box::new(UInt32Builder::new()), text(), text(), Box::new(Float32Builder::new()), text(), text(), text()];
    let mut builder = ListBuilder::new(StructBuilder::new(fields, columns)).with_field(item);
    for alert in alerts {
        for (index, found) in alert.deviations.iter().enumerate() {
            for verdict in &found.verdicts {
                let row = builder.values();
                if let Some(field) = row.field_builder::<UInt32Builder>(0) {
                    field.append_value(index as u32);
                }
                if let Some(field) = row.field_builder::<Float32Builder>(3) {
                    field.append_value(verdict.score);
                }
                let grounds = serde_json::to_string(&verdict.grounds).expect("plain values serialize");
                let texts = [
                    (1, Some(verdict.engine.name())),
                    (2, Some(verdict.judge.as_str())),
                    (4, verdict.technique.as_deref()),
                    (5, Some(verdict.reason.as_str())),
                    (6, Some(grounds.as_str())),
                ];
                for (column, text) in texts {
                    if let Some(field) = row.field_builder::<StringBuilder>(column) {
                        field.append_option(text);
                    }
                }
                row.append(true);
            }
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}
