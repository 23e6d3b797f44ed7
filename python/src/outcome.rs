//! Replays for Python.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use replay::output::{OutputDir, parquet};
use replay::run;

use crate::config::Given;
use crate::error::Failure;
use crate::inputs::Learn;
use crate::profile::Profile;
use crate::recording::loads;
use crate::table::Table;
use crate::{inputs, work};

#[pyclass(frozen, module = "retroscope")]
pub struct Outcome {
    inner: run::Outcome,
}

impl Outcome {
    pub fn new(inner: run::Outcome) -> Self {
        Self { inner }
    }

    /// Writes its files, if there is a place for them.
    pub fn write_to(&self, py: Python<'_>, output: Option<&OutputDir>) -> PyResult<()> {
        let Some(output) = output else { return Ok(()) };
        py.detach(|| self.inner.write(output)).map_err(Failure::from)?;
        Ok(())
    }
}

/// Replays one recording, or several as one.
#[pyfunction]
#[pyo3(name = "replay", signature = (recordings, learn = None, config = None, *, threads = 0, output = None, progress = false))]
pub fn run_replay(
    py: Python<'_>,
    recordings: &Bound<'_, PyAny>,
    learn: Option<&Bound<'_, PyAny>>,
    config: Option<&Bound<'_, PyAny>>,
    threads: u16,
    output: Option<PathBuf>,
    progress: bool,
) -> PyResult<Outcome> {
    let recordings = inputs::recordings(recordings, "recordings")?;
    let learn = Learn::of(learn)?;
    let config = Given::of(config)?.load()?;
    // Whether it can be written is better known before the work than after.
    let output = output.map(|path| OutputDir::create(&path)).transpose().map_err(Failure::from)?;
    let inner = work::run(py, progress, move || {
        let sources = inputs::sources(&recordings, learn.as_ref())?;
        Ok(run::run(&sources, &config, threads.into())?)
    })?;
    let outcome = Outcome::new(inner);
    outcome.write_to(py, output.as_ref())?;
    Ok(outcome)
}

#[pymethods]
impl Outcome {
    #[getter]
    fn alerts(&self) -> PyResult<Table> {
        let batch = parquet::batch(&self.inner.alerts).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(Table::of("alerts", batch.schema(), vec![batch]))
    }

    #[getter]
    fn incidents<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let lines = self.inner.incidents_jsonl();
        loads(py, &format!("[{}]", lines.lines().collect::<Vec<_>>().join(",")))
    }

    #[getter]
    fn profile(&self) -> Profile {
        Profile::new(self.inner.profile.clone())
    }

    #[getter]
    fn run<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        loads(py, &self.inner.run.to_json())
    }

    /// Writes what the program `replay` writes; the report's path.
    fn write(&self, py: Python<'_>, output: PathBuf) -> PyResult<PathBuf> {
        let written = py.detach(|| OutputDir::create(&output).and_then(|output| self.inner.write(&output)));
        Ok(written.map_err(Failure::from)?)
    }

    fn __repr__(&self) -> String {
        let raised = self.inner.alerts.iter().filter(|alert| alert.severity.is_raised() && alert.allowed.is_none());
        format!("<retroscope.Outcome: {} alerts, {} of them raised>", self.inner.alerts.len(), raised.count())
    }
}
