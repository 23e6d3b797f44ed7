//! `eval rerun`

use std::path::PathBuf;

use eval::detection::run_file;
use eval::error::Result;

use super::{Outcome, detect_all};

/// Differences that are shown; the rest are counted.
const SHOWN: usize = 20;

const EXAMPLES: &str = "Examples:\n  \
    eval rerun out/detect/run.json                  does it give the same numbers?\n  \
    eval rerun out/detect/run.json -o out/again";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The run.json that `eval detect --all -o DIR` wrote
    run: PathBuf,
    /// Write the new run's files to this directory
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let earlier = run_file::read(&args.run)?;
    if earlier.eval != env!("CARGO_PKG_VERSION") {
        eprintln!("note: that run was made by eval {}, this is {}", earlier.eval, env!("CARGO_PKG_VERSION"));
    }
    let done = detect_all::bench(&earlier.arguments, &earlier.config, None)?;
    if let Some(dir) = &args.output {
        done.files.write(dir)?;
    }
    let differ = run_file::differences(&earlier, &done.files.read_back()?);
    if differ.is_empty() {
        let text = format!(
            "the same: {} recordings, {} methods, every number and every table\n",
            earlier.recordings.len(),
            done.report.methods.len()
        );
        return Ok(Outcome { text, failed: Vec::new() });
    }
    let mut failed: Vec<String> = differ.iter().take(SHOWN).cloned().collect();
    if differ.len() > SHOWN {
        failed.push(format!("and {} more", differ.len() - SHOWN));
    }
    Ok(Outcome { text: format!("{} differences\n", differ.len()), failed })
}
