//! Parts of a learning or a replay for Python, each with some of the images, and their union.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use replay::output::OutputDir;
use replay::partition::{self, Part, Partial};
use replay::profile;

use crate::config::Given;
use crate::error::Failure;
use crate::inputs::Learn;
use crate::outcome::Outcome;
use crate::profile::Profile;
use crate::{inputs, work};

/// Images of each of `parts` parts, with their events.
#[pyfunction]
#[pyo3(signature = (recordings, parts))]
pub fn partition_plan(py: Python<'_>, recordings: &Bound<'_, PyAny>, parts: u32) -> PyResult<Vec<Vec<(String, u64)>>> {
    let recordings = inputs::recordings(recordings, "recordings")?;
    work::run(py, false, move || {
        let recordings: Vec<datasets::Recording> = recordings.iter().map(|one| (*one.inner).clone()).collect();
        let planned = partition::plan(&recordings, parts)?.into_iter();
        let images =
            planned.map(|part| part.into_iter().map(|image| (image.image.to_string(), image.events)).collect());
        Ok(images.collect())
    })
}

/// Part `index`, from 1, of `parts`: what `partition_merge` needs of it.
#[pyfunction]
#[pyo3(signature = (recordings, index, parts, learn = None, config = None, *, threads = 0))]
pub fn partition_run<'py>(
    py: Python<'py>,
    recordings: &Bound<'py, PyAny>,
    index: u32,
    parts: u32,
    learn: Option<&Bound<'py, PyAny>>,
    config: Option<&Bound<'py, PyAny>>,
    threads: u16,
) -> PyResult<Bound<'py, PyBytes>> {
    let recordings = inputs::recordings(recordings, "recordings")?;
    let (learn, config, part) = (Learn::of(learn)?, Given::of(config)?.load()?, part(index, parts)?);
    let bytes = work::run(py, false, move || {
        let sources = inputs::sources(&recordings, learn.as_ref())?;
        Ok(partition::run(&sources, &config, threads.into(), part)?.to_bytes()?)
    })?;
    Ok(PyBytes::new(py, &bytes))
}

/// The outcome of all parts, given in any order with what they were made with.
#[pyfunction]
#[pyo3(signature = (recordings, parts, learn = None, config = None, *, threads = 0, output = None))]
pub fn partition_merge(
    py: Python<'_>,
    recordings: &Bound<'_, PyAny>,
    parts: Vec<PyBackedBytes>,
    learn: Option<&Bound<'_, PyAny>>,
    config: Option<&Bound<'_, PyAny>>,
    threads: u16,
    output: Option<PathBuf>,
) -> PyResult<Outcome> {
    let recordings = inputs::recordings(recordings, "recordings")?;
    let (learn, config) = (Learn::of(learn)?, Given::of(config)?.load()?);
    let output = output.map(|path| OutputDir::create(&path)).transpose().map_err(Failure::from)?;
    let outcome = work::run(py, false, move || {
        let parts = parts.iter().map(|bytes| Partial::from_bytes(bytes)).collect::<Result<_, _>>()?;
        let sources = inputs::sources(&recordings, learn.as_ref())?;
        Ok(Outcome::new(partition::merge(&sources, &config, threads.into(), parts)?))
    })?;
    outcome.write_to(py, output.as_ref())?;
    Ok(outcome)
}

/// What learning learns of a part's images.
#[pyfunction]
#[pyo3(signature = (recordings, index, parts, config = None, *, threads = 0))]
pub fn partition_learn(
    py: Python<'_>,
    recordings: &Bound<'_, PyAny>,
    index: u32,
    parts: u32,
    config: Option<&Bound<'_, PyAny>>,
    threads: u16,
) -> PyResult<Profile> {
    let recordings = inputs::named(&inputs::recordings(recordings, "recordings")?);
    let (config, part) = (Given::of(config)?.load()?, part(index, parts)?);
    work::run(py, false, move || Ok(Profile::new(partition::learn(recordings, &config, threads.into(), part)?)))
}

/// The profile of all parts' profiles.
#[pyfunction]
pub fn partition_union(profiles: Vec<Bound<'_, Profile>>) -> PyResult<Profile> {
    let profiles: Vec<profile::Profile> = profiles.iter().map(|one| (*one.get().inner).clone()).collect();
    Ok(Profile::new(partition::union(profiles).map_err(Failure::from)?))
}

fn part(index: u32, of: u32) -> Result<Part, Failure> {
    if index == 0 || index > of {
        return Err(Failure::config(format!("there is no part {index} of {of}"), "parts are counted from 1"));
    }
    Ok(Part { index, of })
}
