//! Checks of scenario folders: what a person would look for in a review, as far as a program can.
//!
//! Nothing here runs anything. What a definition must hold to be read at all is in `check`.

mod rules;
mod safety;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::catalog;
use crate::definition;
use crate::error::Error;

/// Something that is wrong with a scenario's folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    pub path: PathBuf,
    /// `line` or `line:column` in the file, or the name of the definition's entry.
    pub place: String,
    /// What kind: `definition`, `attack-id`, `text`, `label`, `name`, `outside`, `build`, `seed`, `binary`, `readme`, `split`.
    pub rule: &'static str,
    pub message: String,
}

/// What was looked at and found.
#[derive(Debug)]
pub struct Report {
    /// Scenario folders that were checked, bases included.
    pub folders: usize,
    /// Sorted by path.
    pub findings: Vec<Finding>,
}

/// Checks a scenario's folder, or every one below `folder`.
///
/// # Errors
/// [`Error::NoCatalog`] where there is no scenario; [`Error::Read`].
pub fn lint(folder: &Path) -> Result<Report, Error> {
    let folder = std::path::absolute(folder).map_err(Error::read(folder))?;
    let (root, names) = match catalog::root_of(&folder) {
        Some((root, name)) => (root, vec![name]),
        None => {
            let names = catalog::names_and_bases(&folder)?;
            (folder, names)
        }
    };
    if names.is_empty() {
        return Err(Error::NoCatalog { path: root });
    }
    let mut findings = Vec::new();
    for name in &names {
        check(&root, name, &mut findings)?;
    }
    // A single folder has nothing to do with the splits of all.
    if names.len() > 1
        && let Err(datasets::Error::Splits { path, reason }) = datasets::Splits::shipped()
    {
        findings.push(Finding { path, place: "1".into(), rule: "split", message: reason });
    }
    findings.sort();
    findings.dedup();
    Ok(Report { folders: names.len(), findings })
}

fn check(root: &Path, name: &str, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let folder = root.join(name);
    let scenario = match definition::read(root, name) {
        Ok(scenario) => scenario,
        Err(Error::Definition { path, place, message }) => {
            findings.push(Finding { path, place, rule: "definition", message });
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    rules::check(&folder, &scenario, name.contains('/'), findings)?;
    safety::check(root, &folder, &scenario, findings)
}
