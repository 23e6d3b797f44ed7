//! `run.json`: what a benchmark was made of and what came of it, so that it can be repeated and compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datasets::Recording;
use replay::config::Config;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::curve::MethodCurve;
use super::report::Report;
use super::store;
use crate::machine::Machine;
use crate::{Error, Result};

pub const KIND: &str = "retroscope detection benchmark";
const VERSION: u32 = 1;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arguments {
    /// Null: the recordings that ship.
    pub folder: Option<PathBuf>,
    /// Null: those of the project.
    pub splits: Option<PathBuf>,
    pub only: Vec<String>,
    pub methods: Vec<String>,
    pub false_per_hour: Vec<f64>,
}

/// A recording, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    pub name: String,
    /// Of its manifest, which holds the hashes of all its files.
    pub manifest_sha256: String,
}

#[derive(Serialize)]
struct RunFile<'a> {
    kind: &'static str,
    version: u32,
    arguments: &'a Arguments,
    config: &'a Config,
    eval: &'static str,
    model: &'a Option<String>,
    machine: &'a Machine,
    recordings: &'a [Input],
    tables: BTreeMap<&'static str, String>,
    results: &'a Report,
    curves: &'a [MethodCurve],
}

/// What a run was made of, read back.
#[derive(Debug, Deserialize)]
pub struct Earlier {
    version: u32,
    pub arguments: Arguments,
    pub config: Config,
    pub eval: String,
    pub model: Option<String>,
    pub recordings: Vec<Input>,
    pub tables: BTreeMap<String, String>,
    pub results: Value,
    /// Null: written by a version that kept none.
    #[serde(default)]
    pub curves: Value,
}

/// Hashes of recordings, by name.
///
/// # Errors
/// An unreadable manifest.
pub fn inputs<'a>(recordings: impl Iterator<Item = &'a (String, Recording)>) -> Result<Vec<Input>> {
    let input = |(name, recording): &(String, Recording)| {
        let path = recording.dir().join("manifest.json");
        let hashed = replay::input::hash(&path);
        let (manifest_sha256, _) =
            hashed.map_err(|error| Error::Set { reason: format!("{}: {error}", path.display()) })?;
        Ok(Input { name: name.clone(), manifest_sha256 })
    };
    recordings.map(input).collect()
}

/// The files of a run: name and content, `run.json` last.
pub struct Files(pub Vec<(&'static str, Vec<u8>)>);

impl Files {
    /// # Errors
    /// A table that cannot be encoded.
    pub fn new(
        arguments: &Arguments,
        config: &Config,
        model: &Option<String>,
        recordings: &[Input],
        machine: &Machine,
        report: &Report,
        curves: &[MethodCurve],
    ) -> Result<Files> {
        let mut files =
            vec![("acts.parquet", store::acts(report)?), ("recordings.parquet", store::recordings(report)?)];
        let hash = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let run = RunFile {
            kind: KIND,
            version: VERSION,
            arguments,
            config,
            eval: env!("CARGO_PKG_VERSION"),
            model,
            machine,
            recordings,
            tables: files.iter().map(|(name, bytes)| (*name, hash(bytes))).collect(),
            results: report,
            curves,
        };
        let text = serde_json::to_string_pretty(&run).expect("string keys and plain values serialize") + "\n";
        files.push(("run.json", text.into_bytes()));
        Ok(Files(files))
    }

    /// # Errors
    /// [`Error::Output`].
    pub fn write(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(|error| Error::output(dir, error))?;
        for (name, bytes) in &self.0 {
            let path = dir.join(name);
            std::fs::write(&path, bytes).map_err(|error| Error::output(&path, error))?;
        }
        Ok(())
    }

    /// `run.json`, as it would be read.
    ///
    /// # Errors
    /// None, unless the file is not what was written.
    pub fn read_back(&self) -> Result<Earlier> {
        let text = self.0.last().map(|(_, bytes)| String::from_utf8_lossy(bytes)).unwrap_or_default();
        parse(&text, Path::new("run.json"))
    }
}

/// # Errors
/// [`Error::RunFile`]: it cannot be read, or is no such file.
pub fn read(path: &Path) -> Result<Earlier> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::RunFile { path: path.to_owned(), reason: format!("cannot read: {error}") })?;
    parse(&text, path)
}

fn parse(text: &str, path: &Path) -> Result<Earlier> {
    let failed = |reason: String| Error::RunFile { path: path.to_owned(), reason };
    let value: Value = serde_json::from_str(text).map_err(|error| failed(format!("not JSON: {error}")))?;
    if value.get("kind").and_then(Value::as_str) != Some(KIND) {
        return Err(failed(format!("its kind is not {KIND:?}")));
    }
    let earlier: Earlier = serde_json::from_value(value).map_err(|error| failed(error.to_string()))?;
    match earlier.version {
        VERSION => Ok(earlier),
        other => Err(failed(format!("it is of version {other}, and this program knows {VERSION}"))),
    }
}

/// Everything in which a run differs from an earlier one, a line each.
pub fn differences(earlier: &Earlier, now: &Earlier) -> Vec<String> {
    let Earlier { version: _, arguments: _, config: _, eval: _, model, recordings, tables, results, curves } = earlier;
    let mut found = Vec::new();
    for input in recordings {
        match now.recordings.iter().find(|other| other.name == input.name) {
            None => found.push(format!("recordings: {} is not there", input.name)),
            Some(other) if other != input => found.push(format!("recordings: {} is another one now", input.name)),
            Some(_) => {}
        }
    }
    let new = now.recordings.iter().filter(|other| recordings.iter().all(|input| input.name != other.name));
    found.extend(new.map(|other| format!("recordings: {} was not there", other.name)));
    if *model != now.model {
        found.push(format!("model: {model:?} then, {:?} now", now.model));
    }
    values("results", results, &now.results, &mut found);
    if !curves.is_null() {
        values("curves", curves, &now.curves, &mut found);
    }
    for (table, hash) in tables {
        if now.tables.get(table) != Some(hash) {
            found.push(format!("{table}: other bytes"));
        }
    }
    found
}

fn values(path: &str, then: &Value, now: &Value, found: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            for (key, value) in then {
                values(&format!("{path}.{key}"), value, now.get(key).unwrap_or(&Value::Null), found);
            }
            let new = now.keys().filter(|key| !then.contains_key(*key));
            found.extend(new.map(|key| format!("{path}.{key}: was not there")));
        }
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => {
            for (at, (then, now)) in then.iter().zip(now).enumerate() {
                values(&format!("{path}[{}]", label(then).unwrap_or_else(|| at.to_string())), then, now, found);
            }
        }
        (Value::Array(then), Value::Array(now)) => {
            found.push(format!("{path}: {} of them then, {} now", then.len(), now.len()));
        }
        (then, now) if then != now => found.push(format!("{path}: {then} then, {now} now")),
        _ => {}
    }
}

/// What an element of a list is called, so that people find it.
fn label(value: &Value) -> Option<String> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    match (text("recording"), text("act")) {
        (Some(recording), Some(act)) => Some(format!("{recording} {act}")),
        _ => text("name").map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_difference_is_named_by_its_place() {
        let then = json!({"methods": [{"name": "stide", "found": 3, "rate": null}], "seeds": [1, 2]});
        let now = json!({"methods": [{"name": "stide", "found": 4, "rate": 0.5}], "seeds": [1]});
        let mut found = Vec::new();
        values("results", &then, &now, &mut found);
        assert_eq!(
            found,
            [
                "results.methods[stide].found: 3 then, 4 now",
                "results.methods[stide].rate: null then, 0.5 now",
                "results.seeds: 2 of them then, 1 now"
            ]
        );
        let mut same = Vec::new();
        values("results", &then, &then, &mut same);
        assert!(same.is_empty());
    }
}
