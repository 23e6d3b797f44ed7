//! Errors of the libraries as Python exceptions. The classes are Python's (`retroscope/_errors.py`), so that they can be pickled.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;

/// What an exception is made of.
#[derive(Debug)]
pub struct Failure {
    class: &'static str,
    message: String,
    hint: String,
    path: Option<PathBuf>,
}

impl Failure {
    /// A bad argument of the caller's.
    pub fn config(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { class: "ConfigError", message: message.into(), hint: hint.into(), path: None }
    }

    /// What was to be read.
    pub fn at(self, path: &Path) -> Self {
        Self { path: Some(path.to_owned()), ..self }
    }

    /// As text for those who only pass text on.
    pub fn one_line(&self) -> String {
        format!("{}; hint: {}", self.message, self.hint)
    }
}

impl From<replay::error::Error> for Failure {
    fn from(error: replay::error::Error) -> Self {
        use replay::error::Error;
        let (message, hint) = (error.to_string(), error.hint().to_owned());
        let (class, path) = match error {
            Error::Config { .. } => ("ConfigError", None),
            Error::Prerequisite { .. } => ("PrerequisiteError", None),
            Error::Input { .. } => ("InputError", None),
            Error::Output { path, .. } => ("OutputError", Some(path)),
        };
        Self { class, message, hint, path }
    }
}

impl From<datasets::Error> for Failure {
    fn from(error: datasets::Error) -> Self {
        replay::error::Error::from(error).into()
    }
}

impl From<Failure> for PyErr {
    fn from(Failure { class, message, hint, path }: Failure) -> Self {
        let made = Python::attach(|py| {
            let class = py.import("retroscope._errors")?.getattr(class)?;
            Ok(PyErr::from_value(class.call1((message, hint, path))?))
        });
        made.unwrap_or_else(|error| error)
    }
}
