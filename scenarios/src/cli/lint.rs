//! `scenarios lint`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use scenarios::lint::{Finding, lint};

use super::{Format, folder};
use crate::{FOUND, Outcome};

const EXAMPLES: &str = "Examples:\n  \
    scenarios lint                                  every scenario\n  \
    scenarios lint ./mine --format json";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A scenario's folder, or one that holds several [default: all]
    folder: Option<PathBuf>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub fn run(from: Option<&Path>, args: &Args) -> anyhow::Result<Outcome> {
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => folder(from)?,
    };
    let report = lint(&folder)?;
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&report.findings)? + "\n",
        Format::Table => render(&report.findings, report.folders),
    };
    Ok(Outcome { text, code: if report.findings.is_empty() { 0 } else { FOUND } })
}

/// A line each, as compilers print them, so that editors can jump to the place.
fn render(findings: &[Finding], folders: usize) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    for Finding { path, place, rule, message } in findings {
        let _ = writeln!(out, "{}:{place}: {message} [{rule}]", path.display());
    }
    let _ = writeln!(out, "{folders} scenario folders, {} findings", findings.len());
    out
}
