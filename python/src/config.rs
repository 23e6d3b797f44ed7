//! Configurations: the path of a TOML file, or a mapping of keys to values, over the documented defaults.

use std::path::PathBuf;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};
use replay::config::{self, Config};

use crate::error::Failure;

/// A configuration as it was given: a file, or values for keys.
#[derive(Clone, Debug, Default)]
pub struct Given {
    file: Option<PathBuf>,
    /// Key, dots between its parts, and value.
    values: Vec<(String, toml::Value)>,
}

impl Given {
    /// Of `None`, a path, or a mapping whose keys are dotted or nested or both.
    pub fn of(config: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let Some(config) = config.filter(|config| !config.is_none()) else { return Ok(Self::default()) };
        if let Ok(mapping) = config.cast::<PyMapping>() {
            let mut values = Vec::new();
            flatten("", mapping, &mut values)?;
            return Ok(Self { file: None, values });
        }
        let file = config.extract::<PathBuf>().map_err(|_| {
            PyTypeError::new_err("config is the path of a TOML file, or a mapping as {\"severity.high\": 55}")
        })?;
        Ok(Self { file: Some(file), values: Vec::new() })
    }

    /// Keys and values that were given one by one.
    pub fn values(&self) -> &[(String, toml::Value)] {
        &self.values
    }

    /// This, and `other`'s values over it.
    pub fn with(&self, other: &Given) -> Given {
        let values = self.values.iter().chain(&other.values).cloned().collect();
        Given { file: self.file.clone(), values }
    }

    pub fn load(&self) -> Result<Config, Failure> {
        let sets: Vec<String> = self.values.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let loaded = config::load(self.file.as_deref(), &sets).map_err(Failure::from);
        loaded.map_err(|failure| match &self.file {
            Some(file) => failure.at(file),
            None => failure,
        })
    }
}

fn flatten(prefix: &str, mapping: &Bound<'_, PyMapping>, out: &mut Vec<(String, toml::Value)>) -> PyResult<()> {
    for item in mapping.items()?.iter() {
        let (key, value): (String, Bound<'_, PyAny>) = item.extract()?;
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value.cast::<PyMapping>() {
            Ok(below) => flatten(&key, below, out)?,
            Err(_) => {
                let value = plain(&value)?.ok_or_else(|| {
                    let what = value.get_type().to_string();
                    PyTypeError::new_err(format!("config key {key}: {what} is no bool, number, text or list of these"))
                })?;
                out.push((key, value));
            }
        }
    }
    Ok(())
}

/// The value in TOML's terms; `None`: it has none.
fn plain(value: &Bound<'_, PyAny>) -> PyResult<Option<toml::Value>> {
    // A bool is an int to Python.
    if value.is_instance_of::<PyBool>() {
        return Ok(Some(toml::Value::Boolean(value.extract()?)));
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(Some(toml::Value::Integer(value.extract()?)));
    }
    if value.is_instance_of::<PyString>() {
        return Ok(Some(toml::Value::String(value.extract()?)));
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let mut all = Vec::new();
        for item in value.try_iter()? {
            match plain(&item?)? {
                Some(item) => all.push(item),
                None => return Ok(None),
            }
        }
        return Ok(Some(toml::Value::Array(all)));
    }
    // numpy's numbers are of other types that know how to be a float.
    if value.is_instance_of::<PyFloat>() || value.hasattr("__float__")? {
        return Ok(Some(toml::Value::Float(value.extract()?)));
    }
    Ok(None)
}
