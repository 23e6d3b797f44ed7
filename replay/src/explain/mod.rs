//! `replay explain`: how an alert's score came to be, out of what the replay stored, and the rows of the recording that prove it.
//!
//! Nothing is judged again: verdicts and the numbers they were made of come from `alerts.jsonl`, weights and cut-offs from
//! `run.json`, rows from the recording, whose files must be the ones that were replayed.

mod render;
mod rows;
mod stored;

use std::path::PathBuf;

use serde::Serialize;

use crate::error::{Error, Result};

pub use render::render;
use rows::Row;
pub use stored::{EngineLine, StoredAlert};

/// One alert explained, or all of an incident.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The directory that was read.
    pub run: PathBuf,
    pub recording: PathBuf,
    /// Points from which an alert is critical, high, medium.
    pub cut_offs: stored::CutOffs,
    pub alerts: Vec<Explained>,
}

#[derive(Debug, Serialize)]
pub struct Explained {
    pub alert: StoredAlert,
    /// How the points add up, in numbers.
    pub sum: String,
    /// Per deviation of the alert, per verdict: the formula and its numbers.
    pub derivations: Vec<Vec<Vec<String>>>,
    /// Per deviation; empty with `--no-rows`.
    pub rows: Vec<Vec<Row>>,
}

/// A recording that was replayed.
struct Place<'a> {
    dir: String,
    files: &'a [stored::File],
}

/// What to explain.
#[derive(Debug)]
pub struct Wanted {
    /// Of an alert, as A0014, or of an incident, as I0003.
    pub id: String,
    /// Directory of a replay's results; `None`: the last one in `out`.
    pub run: Option<PathBuf>,
    /// Where the recording is; `None`: where it was when it was replayed.
    pub recording: Option<String>,
    pub rows: bool,
}

/// # Errors
/// No such run, alert or recording; a file that cannot be read; a recording other than the one that was replayed.
pub fn explain(wanted: &Wanted) -> Result<Explanation> {
    let dir = match &wanted.run {
        Some(dir) => dir.clone(),
        None => stored::last_run()?,
    };
    let run = stored::Run::read(&dir)?;
    let alerts = stored::alerts(&dir, &wanted.id)?;
    let recorded = run.recorded();
    if recorded.len() > 1 && wanted.recording.is_some() {
        return Err(Error::config(
            format!("{}: {} recordings were replayed together", dir.display(), recorded.len()),
            "leave --recording out: they are read where run.json says that they were",
        ));
    }
    let places = recorded.iter().map(|recorded| {
        let named = wanted.recording.clone().or_else(|| recorded.dir.clone());
        let dir = named.ok_or_else(|| {
            Error::input(
                format!("{}: run.json does not say where the recording was", dir.display()),
                "give it with --recording DIR",
            )
        })?;
        Ok(Place { dir, files: &recorded.files })
    });
    let places = places.collect::<Result<Vec<_>>>()?;
    let rows = if wanted.rows {
        let found = rows::read(&places, &alerts);
        found.map_err(|error| match error {
            Error::Input { message, .. } if wanted.recording.is_none() => {
                Error::input(message, "say where it is with --recording DIR, or leave its rows out with --no-rows")
            }
            other => other,
        })?
    } else {
        rows::Rows::default()
    };
    let explained = alerts.into_iter().map(|alert| {
        let of_each = alert.deviations.iter();
        Explained {
            sum: alert.sum(),
            derivations: of_each
                .clone()
                .map(|found| found.verdicts.iter().map(crate::engines::Verdict::derivation).collect())
                .collect(),
            rows: if wanted.rows { of_each.map(|found| rows.of(&found.rows)).collect() } else { Vec::new() },
            alert,
        }
    });
    let recording = places[0].dir.clone().into();
    Ok(Explanation { run: dir, recording, cut_offs: run.config.severity, alerts: explained.collect() })
}

impl Explanation {
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("string keys and plain values serialize");
        text.push('\n');
        text
    }
}
