//! Events as lines for other programs.

mod falco;
mod jsonl;
mod ocsf;
mod ocsf_objects;

use serde_json::Value;

use crate::Result;
use crate::manifest::Manifest;
use crate::read::Recording;
use crate::rows::{Names, Row};

pub use ocsf::VERSION as OCSF_VERSION;

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The row's columns, with what the tables say of it.
    Jsonl,
    /// An OCSF event of the class that fits.
    Ocsf,
    /// As Falco prints an alert with `json_output`.
    Falco,
}

/// Makes lines of a recording's rows.
pub struct Exporter {
    form: Form,
    names: Names,
    manifest: Manifest,
}

impl Exporter {
    /// # Errors
    /// A table that cannot be read.
    pub fn new(recording: &Recording, form: Form) -> Result<Exporter> {
        Ok(Exporter { form, names: Names::read(recording)?, manifest: recording.manifest().clone() })
    }

    /// What the tables say of the recording's rows.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The line of a row, as a JSON object. `None`: the form has nothing that it could be.
    pub fn line(&self, row: &Row<'_>) -> Option<Value> {
        match self.form {
            Form::Jsonl => Some(jsonl::line(row, &self.names)),
            Form::Falco => falco::line(row, &self.names),
            Form::Ocsf => ocsf::event(row.event, &self.names, &self.manifest),
        }
    }
}

/// Takes out what is not known: nulls, and the lists and objects that nothing is left of.
fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(prune);
            map.retain(|_, value| !is_nothing(value));
        }
        Value::Array(items) => {
            items.iter_mut().for_each(prune);
            items.retain(|value| !is_nothing(value));
        }
        _ => {}
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path)
}
