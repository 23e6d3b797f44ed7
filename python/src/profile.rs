//! Profiles and learning for Python.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use replay::error::Error;
use replay::{learn, profile};

use crate::config::Given;
use crate::error::Failure;
use crate::recording::loads;
use crate::{inputs, work};

#[pyclass(frozen, module = "retroscope")]
pub struct Profile {
    pub inner: Arc<profile::Profile>,
    /// What its file is called, which `run.json` says of a baseline.
    pub file: String,
    /// Of the learning, as JSON; none where it was loaded or is of a replay.
    report: Option<String>,
}

impl Profile {
    pub fn new(profile: profile::Profile) -> Self {
        Self { inner: Arc::new(profile), file: FILE.to_owned(), report: None }
    }
}

/// As a replay calls it.
const FILE: &str = "profile.json";

/// Learns from one recording or several.
#[pyfunction]
#[pyo3(name = "learn", signature = (recordings, config = None, *, threads = 0, progress = false))]
pub fn run_learn(
    py: Python<'_>,
    recordings: &Bound<'_, PyAny>,
    config: Option<&Bound<'_, PyAny>>,
    threads: u16,
    progress: bool,
) -> PyResult<Profile> {
    let recordings = inputs::named(&inputs::recordings(recordings, "recordings")?);
    let config = Given::of(config)?.load()?;
    work::run(py, progress, move || {
        let learn::Learned { profile, report } = learn::learn(recordings, &config, threads.into())?;
        Ok(Profile { report: Some(report.to_json()), ..Profile::new(profile) })
    })
}

#[pymethods]
impl Profile {
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Profile> {
        let path = if path.is_dir() { path.join(FILE) } else { path };
        let loaded = py.detach(|| profile::Profile::load(&path)).map_err(|error| Failure::from(error).at(&path))?;
        let file = path.file_name().map_or_else(|| FILE.to_owned(), |file| file.to_string_lossy().into_owned());
        Ok(Profile { file, ..Profile::new(loaded) })
    }

    #[staticmethod]
    #[pyo3(signature = (text, file = None))]
    fn from_json(text: &str, file: Option<String>) -> PyResult<Profile> {
        let file = file.unwrap_or_else(|| FILE.to_owned());
        let profile = profile::Profile::from_json(text, &file).map_err(Failure::from)?;
        Ok(Profile { file, ..Profile::new(profile) })
    }

    fn to_json(&self) -> String {
        self.inner.to_json()
    }

    fn save(&self, path: PathBuf) -> PyResult<()> {
        let written = std::fs::write(&path, self.inner.to_json());
        Ok(written.map_err(|error| Failure::from(Error::output(&path, error)))?)
    }

    /// As indented text, of the images whose name holds `image`.
    #[pyo3(signature = (image = None))]
    fn show(&self, image: Option<&str>) -> String {
        let mut shown = (*self.inner).clone();
        shown.images.retain(|name, _| image.is_none_or(|wanted| name.contains(wanted)));
        profile::show::render(&shown)
    }

    #[getter]
    fn images(&self) -> Vec<String> {
        self.inner.images.keys().map(ToString::to_string).collect()
    }

    #[getter]
    fn locked(&self) -> std::collections::BTreeMap<String, Vec<&'static str>> {
        let trees = self.inner.images.iter();
        trees.map(|(image, entry)| (image.to_string(), entry.locked.keys().map(|tree| tree.name()).collect())).collect()
    }

    #[getter]
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.report.as_deref().map(|report| loads(py, report)).transpose()
    }

    /// The union of this and another.
    #[pyo3(signature = (other, config = None))]
    fn merge(&self, other: &Bound<'_, Profile>, config: Option<&Bound<'_, PyAny>>) -> PyResult<Profile> {
        let config = Given::of(config)?.load()?;
        let mut merged = (*self.inner).clone();
        merged.merge((*other.get().inner).clone(), &config);
        Ok(Profile::new(merged))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Profile>().is_ok_and(|other| other.get().inner == self.inner)
    }

    fn __repr__(&self) -> String {
        format!("<retroscope.Profile of {} images>", self.inner.images.len())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (String, String))> {
        Ok((py.get_type::<Profile>().getattr("from_json")?, (self.to_json(), self.file.clone())))
    }
}
