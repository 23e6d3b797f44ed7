//! Many configurations over one recording, each stage done as often as a configuration makes a difference to it.

mod metrics;
mod stages;
mod truth;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::datatypes::{Field, Fields, Schema};
use arrow::error::ArrowError;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use replay::engines::Severity;

use crate::config::Given;
use crate::error::Failure;
use crate::inputs::Learn;
use crate::table::Table;
use crate::{inputs, work};
use metrics::Metrics;

/// Tries every configuration of `configs`, each over `config`, on one recording.
#[pyfunction]
#[pyo3(
    name = "sweep",
    signature = (recording, configs, learn = None, config = None, *, at = "medium", threads = 0, progress = false)
)]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub fn run_sweep(
    py: Python<'_>,
    recording: &Bound<'_, PyAny>,
    configs: &Bound<'_, PyAny>,
    learn: Option<&Bound<'_, PyAny>>,
    config: Option<&Bound<'_, PyAny>>,
    at: &str,
    threads: u16,
    progress: bool,
) -> PyResult<Table> {
    let recording = inputs::recording(recording, "recording")?;
    let learn = Learn::of(learn)?;
    let base = Given::of(config)?;
    let given: Vec<Given> = configs.try_iter()?.map(|one| Given::of(Some(&one?))).collect::<PyResult<_>>()?;
    let at = Severity::from_name(at)
        .ok_or_else(|| Failure::config(format!("at={at:?} is no severity"), "it is low, medium, high or critical"))?;
    let loaded = given.iter().map(|one| base.with(one).load()).collect::<Result<Vec<_>, Failure>>()?;
    let metrics = work::run(py, progress, move || {
        let learn = learn.map(Learn::open).transpose()?;
        stages::run(&recording.inner, learn.as_ref(), &loaded, at, threads.into())
    })?;
    let batch = batch(&given, &metrics).map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(Table::of("sweep", batch.schema(), vec![batch]))
}

/// One row for each configuration: its number, the keys that were given, and what came of it.
fn batch(given: &[Given], metrics: &[Metrics]) -> Result<RecordBatch, ArrowError> {
    let mut columns: Vec<(String, bool, ArrayRef)> = Vec::new();
    columns.push(("config".to_owned(), false, Arc::new(UInt32Array::from_iter_values(0..metrics.len() as u32))));
    let keys: BTreeSet<&str> = given.iter().flat_map(Given::values).map(|(key, _)| key.as_str()).collect();
    columns.extend(keys.into_iter().map(|key| (key.to_owned(), true, values(given, key))));
    let mut count = |name: &str, of: fn(&Metrics) -> u64| {
        let counts = UInt64Array::from_iter_values(metrics.iter().map(of));
        columns.push((name.to_owned(), false, Arc::new(counts)));
    };
    count("deviations", |metrics| metrics.deviations);
    count("critical", |metrics| metrics.alerts[Severity::Critical as usize]);
    count("high", |metrics| metrics.alerts[Severity::High as usize]);
    count("medium", |metrics| metrics.alerts[Severity::Medium as usize]);
    count("low", |metrics| metrics.alerts[Severity::Low as usize]);
    count("incidents", |metrics| metrics.incidents);
    count("acts", |metrics| metrics.acts);
    count("found", |metrics| metrics.found);
    count("false_alerts", |metrics| metrics.false_alerts);
    let mut number = |name: &str, of: fn(&Metrics) -> Option<f64>| {
        let numbers: Float64Array = metrics.iter().map(of).collect();
        columns.push((name.to_owned(), true, Arc::new(numbers)));
    };
    number("false_alerts_per_container_hour", Metrics::false_alerts_per_container_hour);
    number("time_to_detect_s", Metrics::median_time_to_detect);
    let fields: Fields =
        columns.iter().map(|(name, nullable, array)| Field::new(name, array.data_type().clone(), *nullable)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, _, array)| array).collect())
}

/// A key's values: numbers or bools where all of them are, else text as TOML has it. Null where it was not given.
fn values(given: &[Given], key: &str) -> ArrayRef {
    // Of a key that was given twice the last counts.
    let of = |given: &Given| given.values().iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let all: Vec<Option<toml::Value>> = given.iter().map(of).collect();
    let is = |test: fn(&toml::Value) -> bool| all.iter().flatten().all(test);
    if is(|value| value.is_float() || value.is_integer()) {
        let number = |value: &toml::Value| value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
        return Arc::new(all.iter().map(|value| value.as_ref().and_then(number)).collect::<Float64Array>());
    }
    if is(toml::Value::is_bool) {
        return Arc::new(all.iter().map(|value| value.as_ref()?.as_bool()).collect::<BooleanArray>());
    }
    let text = |value: &toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Arc::new(all.iter().map(|value| value.as_ref().map(text)).collect::<StringArray>())
}
