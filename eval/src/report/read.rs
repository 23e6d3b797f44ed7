//! Which result a file holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::curve::Curve;
use crate::detection::curve::MethodCurve;
use crate::detection::run_file;
use crate::error::{Error, Result};
use crate::growth::Growth;
use crate::latency::Latency;
use crate::machine::Machine;
use crate::overhead::Overhead;
use crate::soak::Soak;

/// In a directory the first of these is taken.
const FILES: [&str; 5] = ["run.json", "curve.json", "soak.json", "latency.json", "growth.json"];

pub struct Input {
    /// The shortest end of the path that no other input has.
    pub name: String,
    pub path: PathBuf,
    pub kind: Kind,
}

pub enum Kind {
    Detection(Box<Detection>),
    Overhead(Box<Overhead>),
    Curve(Box<Curve>),
    Soak(Box<Soak>),
    Latency(Box<Latency>),
    Growth(Box<Growth>),
}

impl Kind {
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Detection(_) => "detection",
            Kind::Overhead(_) => "overhead",
            Kind::Curve(_) => "capture over rates",
            Kind::Soak(_) => "a long recording",
            Kind::Latency(_) => "latency",
            Kind::Growth(_) => "growth of cost",
        }
    }
}

impl Input {
    /// Where it was measured, and under which load.
    pub fn machine(&self) -> String {
        let machine = match &self.kind {
            Kind::Detection(found) => &found.machine,
            Kind::Overhead(found) => &found.machine,
            Kind::Curve(found) => &found.machine,
            Kind::Soak(found) => &found.machine,
            Kind::Latency(found) => &found.machine,
            Kind::Growth(found) => &found.machine,
        };
        let Machine { kernel, cpu, cpus, memory_mib, load_before, .. } = machine;
        format!("{cpus} CPUs ({cpu}), {memory_mib} MiB, kernel {kernel}, load average before it {load_before:.1}")
    }
}

/// What the page shows of a detection benchmark's `run.json`.
#[derive(Deserialize)]
pub struct Detection {
    pub machine: Machine,
    pub model: Option<String>,
    pub results: Results,
    /// None: written by a version that kept none.
    #[serde(default)]
    pub curves: Vec<MethodCurve>,
}

#[derive(Deserialize)]
pub struct Results {
    pub learned_from: Vec<String>,
    pub validation: Vec<String>,
    pub test: Vec<String>,
    pub budgets: Vec<Budget>,
    pub methods: Vec<Method>,
}

#[derive(Deserialize)]
pub struct Budget {
    pub per_container_hour: f64,
}

#[derive(Deserialize)]
pub struct Method {
    pub name: String,
    pub group: String,
    pub own: Option<Point>,
    pub chosen: Vec<Point>,
}

#[derive(Deserialize)]
pub struct Point {
    pub cut_off: f64,
    pub metrics: Metrics,
    pub intervals: BTreeMap<String, [f64; 2]>,
    pub detection_rate_wilson: Option<[f64; 2]>,
    pub acts: Vec<Act>,
}

#[derive(Deserialize)]
pub struct Metrics {
    pub acts: u64,
    pub detected: u64,
    pub detection_rate: Option<f64>,
    pub alert_precision: Option<f64>,
    pub false_alerts_per_container_hour: Option<f64>,
    pub events: Quality,
    pub adp: Option<f64>,
    pub time_to_detect: Delay,
}

#[derive(Deserialize)]
pub struct Quality {
    pub f1: Option<f64>,
    pub pr_auc: Option<f64>,
    pub roc_auc: Option<f64>,
}

#[derive(Deserialize)]
pub struct Delay {
    pub median_s: Option<f64>,
}

#[derive(Deserialize)]
pub struct Act {
    pub recording: String,
    pub scenario: Option<String>,
    pub detected: bool,
    pub after_s: Option<f64>,
}

/// # Errors
/// [`Error::Unreported`].
pub fn input(given: &Path) -> Result<Input> {
    let bad = |path: &Path, reason: String| Error::Unreported { path: path.to_owned(), reason };
    let path = if given.is_dir() {
        let held = FILES.iter().map(|name| given.join(name)).find(|path| path.is_file());
        held.ok_or_else(|| bad(given, format!("holds none of {}", FILES.join(", "))))?
    } else {
        given.to_owned()
    };
    let text = std::fs::read(&path).map_err(|error| bad(&path, format!("cannot read: {error}")))?;
    let value: Value = serde_json::from_slice(&text).map_err(|error| bad(&path, format!("not JSON: {error}")))?;
    let kind = kind(value).map_err(|reason| bad(&path, reason))?;
    Ok(Input { name: given.display().to_string(), path, kind })
}

/// By the fields that one kind alone has.
fn kind(value: Value) -> std::result::Result<Kind, String> {
    fn typed<T: DeserializeOwned>(value: Value, what: &str) -> std::result::Result<Box<T>, String> {
        serde_json::from_value(value).map(Box::new).map_err(|error| format!("damaged, or no {what}: {error}"))
    }
    let has = |keys: &[&str]| keys.iter().all(|key| value.get(key).is_some());
    if value.get("kind").and_then(Value::as_str) == Some(run_file::KIND) {
        return typed(value, "result of a detection benchmark").map(Kind::Detection);
    }
    if has(&["bare", "recorders"]) {
        return typed(value, "result of `eval overhead`").map(Kind::Overhead);
    }
    if has(&["scenario", "turns", "long"]) {
        return typed(value, "result of `eval soak`").map(Kind::Soak);
    }
    if has(&["stages", "told"]) {
        return typed(value, "result of `eval latency`").map(Kind::Latency);
    }
    if has(&["series", "idle_cpu_seconds"]) {
        return typed(value, "result of `eval growth`").map(Kind::Growth);
    }
    if has(&["points", "options", "seconds"]) {
        return typed(value, "result of `eval curve`").map(Kind::Curve);
    }
    Err("not a result that a report is made of".to_owned())
}

/// Shortens names to the last parts of the paths, as many as tell them apart.
pub fn tell_apart(inputs: &mut [Input]) {
    let parts: Vec<Vec<String>> = inputs
        .iter()
        .map(|input| input.name.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect())
        .collect();
    let end = |parts: &[String], n: usize| parts[parts.len().saturating_sub(n)..].join("/");
    let most = parts.iter().map(Vec::len).max().unwrap_or(1);
    let differ = |n: &usize| {
        let mut names: Vec<String> = parts.iter().map(|parts| end(parts, *n)).collect();
        names.sort_unstable();
        names.windows(2).all(|pair| pair[0] != pair[1])
    };
    let n = (1..=most).find(differ).unwrap_or(most);
    for (input, parts) in inputs.iter_mut().zip(&parts) {
        input.name = end(parts, n);
    }
}
