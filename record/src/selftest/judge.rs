//! Facts against rows.

use std::path::Path;

use datasets::Recording;
use serde_json::Value;

use super::rows::Recorded;
use super::{Case, Facts, Rows};
use crate::error::{Error, Result};

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    /// The row was missing, or a field was wrong.
    Wrong(String),
    /// This machine lacks what the case needs.
    Skipped(String),
}

pub struct Verdict {
    pub case: Case,
    pub outcome: Outcome,
}

/// Checks every one of `cases` against a recording. `facts`: the file that [`trigger`](super::trigger()) wrote.
pub fn judge(cases: &[Case], recording: &Recording, facts: &Path) -> Result<Vec<Verdict>> {
    let text = std::fs::read_to_string(facts).map_err(|source| Error::Read { path: facts.to_owned(), source })?;
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let recorded = Recorded::read(recording)?;
    let verdict = |case: &Case| {
        let line = lines.iter().find(|line| line["case"] == case.name);
        Verdict { case: *case, outcome: outcome(case, line, &recorded) }
    };
    Ok(cases.iter().map(verdict).collect())
}

fn outcome(case: &Case, line: Option<&Value>, recorded: &Recorded) -> Outcome {
    let Some(line) = line else { return Outcome::Wrong("its trigger did not run".to_owned()) };
    if let Some(why) = line["skipped"].as_str() {
        return Outcome::Skipped(why.to_owned());
    }
    if let Some(why) = line["failed"].as_str() {
        return Outcome::Wrong(format!("its trigger failed: {why}"));
    }
    let Some(rows) = Rows::of_case(case.name, recorded) else {
        return Outcome::Wrong("the process that ran it is not in the process table".to_owned());
    };
    let facts = Facts(line["facts"].clone());
    // A check that panics is wrong itself; the other cases are still worth knowing.
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (case.check)(&rows, &facts)));
    match checked {
        Ok(Ok(())) => Outcome::Ok,
        Ok(Err(what)) => Outcome::Wrong(what),
        Err(_) => Outcome::Wrong("its check panicked: see above".to_owned()),
    }
}
