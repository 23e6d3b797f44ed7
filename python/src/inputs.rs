//! Recordings and profiles as arguments: an object of this package, a path, or the name of what ships.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use replay::error::Error;
use replay::input::{self, Baseline};
use replay::profile;
use replay::run::Sources;
use tempfile::TempDir;

use crate::error::Failure;
use crate::profile::Profile;
use crate::recording::Recording;

/// Opens by path or name; what should be done with it before use becomes a Python warning.
pub fn open(py: Python<'_>, name: &str) -> PyResult<Recording> {
    let opened = py.detach(|| datasets::Recording::find(name));
    let opened = opened.map_err(|error| Failure::from(error).at(name.as_ref()))?;
    if let Some(advice) = opened.advice() {
        let category = py.get_type::<pyo3::exceptions::PyUserWarning>();
        PyErr::warn(py, &category, &std::ffi::CString::new(advice)?, 2)?;
    }
    Ok(Recording { inner: Arc::new(opened) })
}

/// A recording, by object, path or name; `what` names the argument.
pub fn recording(given: &Bound<'_, PyAny>, what: &str) -> PyResult<Recording> {
    if let Ok(recording) = given.cast::<Recording>() {
        return Ok(Recording { inner: Arc::clone(&recording.get().inner) });
    }
    let path = given
        .extract::<PathBuf>()
        .map_err(|_| PyTypeError::new_err(format!("{what} is a Recording, its path, or the name of one that ships")))?;
    open(given.py(), &path.to_string_lossy())
}

/// One recording or an iterable of them.
pub fn recordings(given: &Bound<'_, PyAny>, what: &str) -> PyResult<Vec<Recording>> {
    let one = given.is_instance_of::<Recording>() || given.extract::<PathBuf>().is_ok();
    let all: Vec<Bound<'_, PyAny>> = match one {
        true => vec![given.clone()],
        false => given.try_iter()?.collect::<PyResult<_>>()?,
    };
    if all.is_empty() {
        return Err(Failure::config(format!("{what}: no recording given"), "give one, or a list of them").into());
    }
    all.iter().map(|given| recording(given, what)).collect()
}

/// Recordings with their own names, as learning takes them.
pub fn named(recordings: &[Recording]) -> Vec<(String, datasets::Recording)> {
    recordings.iter().map(|recording| (recording.name(), (*recording.inner).clone())).collect()
}

/// What a replay compares with.
pub enum Learn {
    /// With the name of its file.
    Profile(Arc<profile::Profile>, String),
    /// Path or name of a profile or a recording.
    Named(String),
}

impl Learn {
    pub fn of(given: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Self>> {
        let Some(given) = given.filter(|given| !given.is_none()) else { return Ok(None) };
        if let Ok(profile) = given.cast::<Profile>() {
            let profile = profile.get();
            return Ok(Some(Learn::Profile(Arc::clone(&profile.inner), profile.file.clone())));
        }
        if let Ok(recording) = given.cast::<Recording>() {
            return Ok(Some(Learn::Named(recording.get().address())));
        }
        let path = given.extract::<PathBuf>().map_err(|_| {
            PyTypeError::new_err(
                "learn is a Profile, a Recording, the path of one, or the name of a recording that ships",
            )
        })?;
        Ok(Some(Learn::Named(path.to_string_lossy().into_owned())))
    }

    /// Opened.
    pub fn open(self) -> Result<Opened, Failure> {
        match self {
            Learn::Profile(profile, _) => Ok(Opened::Profile(profile)),
            Learn::Named(name) => {
                match input::baseline(&name).map_err(|error| Failure::from(error).at(name.as_ref()))? {
                    Baseline::Profile(profile, _) => Ok(Opened::Profile(Arc::new(profile))),
                    Baseline::Recording(recording) => Ok(Opened::Recording(recording)),
                }
            }
        }
    }

    /// By a name that the program `replay` would take too; a profile that has none gets one for as long as the folder is kept.
    fn named(&self) -> Result<(String, Option<TempDir>), Failure> {
        match self {
            Learn::Named(name) => Ok((name.clone(), None)),
            Learn::Profile(profile, name) => {
                let folder = TempDir::new().map_err(|error| Error::output(&std::env::temp_dir(), error))?;
                let file = folder.path().join(name);
                std::fs::write(&file, profile.to_json()).map_err(|error| Error::output(&file, error))?;
                Ok((file.to_string_lossy().into_owned(), Some(folder)))
            }
        }
    }
}

/// A baseline that a sweep learns from, or that is learned already.
pub enum Opened {
    Profile(Arc<profile::Profile>),
    Recording(Box<datasets::Recording>),
}

/// What a replay reads, opened as the program opens it.
pub fn sources(recordings: &[Recording], learn: Option<&Learn>) -> Result<Sources, Failure> {
    // It is read when it is opened, so that the folder may go.
    let (learn, _folder) = learn.map(Learn::named).transpose()?.unzip();
    let recordings: Vec<String> = recordings.iter().map(Recording::address).collect();
    Ok(Sources::of(&recordings, learn.as_deref())?)
}
