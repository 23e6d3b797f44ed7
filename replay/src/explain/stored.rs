//! What a replay wrote, as far as explaining needs it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::alert::Finding;
use crate::engines::{Engine, Severity, Verdict, strongest};
use crate::error::{Error, Result};

/// Of `run.json`.
#[derive(Debug, Deserialize)]
pub struct Run {
    pub recording: Recording,
    /// Where there were several.
    #[serde(default)]
    pub recordings: Vec<Recording>,
    pub config: Config,
}

#[derive(Debug, Deserialize)]
pub struct Recording {
    pub dir: Option<String>,
    pub files: Vec<File>,
}

#[derive(Debug, Deserialize)]
pub struct File {
    pub file: String,
    pub sha256: String,
}

#[derive(Debug, Deserialize)]
pub struct Config {
    pub severity: CutOffs,
}

/// Points from which an alert has a severity.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CutOffs {
    pub critical: f32,
    pub high: f32,
    pub medium: f32,
}

/// Of a line of `alerts.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoredAlert {
    pub id: String,
    pub incident: String,
    pub severity: Severity,
    pub score: f32,
    pub time: String,
    pub image: String,
    pub container: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<String>,
    pub container_name: Option<String>,
    pub pid: u32,
    pub process: String,
    pub engines: Vec<EngineLine>,
    pub deviations: Vec<Finding>,
}

/// What an engine gave to the sum.
#[derive(Debug, Serialize, Deserialize)]
pub struct EngineLine {
    pub engine: Engine,
    pub points: f32,
    pub weight: f32,
    pub reason: String,
    pub judge: String,
}

impl StoredAlert {
    /// The verdict of an engine that counts, and the deviation it is about.
    pub fn counting(&self, engine: Engine) -> Option<(usize, &Verdict)> {
        let best =
            self.deviations.iter().enumerate().filter_map(|(i, found)| Some((i, strongest(&found.verdicts, engine)?)));
        best.reduce(|best, next| if next.1.score > best.1.score { next } else { best })
    }

    /// `40 · 1.0000 (rules) + … = 87.50`.
    pub fn sum(&self) -> String {
        let terms = self.engines.iter().map(|line| match self.counting(line.engine) {
            Some((_, verdict)) => format!("{} · {:.4} ({})", line.weight, verdict.score, line.engine.name()),
            None => format!(
                "0 ({}: {})",
                line.engine.name(),
                if line.judge.is_empty() { "nothing to say" } else { "no answer" }
            ),
        });
        format!("{} = {:.2}", terms.collect::<Vec<_>>().join(" + "), self.score)
    }
}

impl Run {
    pub fn read(dir: &Path) -> Result<Run> {
        let path = dir.join("run.json");
        let text = fs::read_to_string(&path).map_err(|error| {
            Error::input(
                format!("{}: cannot read: {error}", path.display()),
                "name the directory that a replay wrote its results to, as out/xmrig",
            )
        })?;
        serde_json::from_str(&text).map_err(|error| not_ours(&path, &error))
    }

    /// The recordings in the order of the numbers that rows have, or the only one.
    pub fn recorded(&self) -> &[Recording] {
        if self.recordings.is_empty() { std::slice::from_ref(&self.recording) } else { &self.recordings }
    }
}

fn not_ours(path: &Path, error: &serde_json::Error) -> Error {
    Error::input(
        format!("{}: not what this version of replay writes: {error}", path.display()),
        "replay the recording again, and explain that",
    )
}

/// The alert `id`, or all of the incident `id`.
pub fn alerts(dir: &Path, id: &str) -> Result<Vec<StoredAlert>> {
    #[derive(Deserialize)]
    struct Ids {
        id: String,
        incident: String,
    }
    let path = dir.join("alerts.jsonl");
    let text = fs::read_to_string(&path).map_err(|error| {
        Error::input(format!("{}: cannot read: {error}", path.display()), "replay the recording again")
    })?;
    let (mut found, mut last) = (Vec::new(), None);
    for line in text.lines() {
        let ids: Ids = serde_json::from_str(line).map_err(|error| not_ours(&path, &error))?;
        if ids.id.eq_ignore_ascii_case(id) || ids.incident.eq_ignore_ascii_case(id) {
            found.push(serde_json::from_str(line).map_err(|error| not_ours(&path, &error))?);
        }
        last = Some(ids.id);
    }
    if found.is_empty() {
        let known = last.map_or_else(|| "it has none".to_owned(), |last| format!("it has A0001 to {last}"));
        return Err(Error::config(
            format!("{} has no alert or incident {id:?}", path.display()),
            format!("{known}; incidents are called I0001 and so on"),
        ));
    }
    Ok(found)
}

/// The directory in `out` whose `run.json` is the newest.
pub fn last_run() -> Result<PathBuf> {
    let runs = fs::read_dir("out").into_iter().flatten().flatten().filter_map(|entry| {
        let written = fs::metadata(entry.path().join("run.json")).and_then(|file| file.modified()).ok()?;
        Some((written, entry.path()))
    });
    runs.max()
        .map(|(_, dir)| dir)
        .ok_or_else(|| Error::config("no results of a replay in out/", "name the directory: replay explain A0001 DIR"))
}
