//! `eval report`

use std::path::PathBuf;

use eval::error::{Error, Result};
use eval::report;

use super::Outcome;

const EXAMPLES: &str = "Examples:\n  \
    eval report out/detect -o report.html\n  \
    eval report out/before out/after -o report.html  two runs of a kind side by side";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directories that --output of `detect --all`, `overhead`, `curve`, `soak`, `latency` or `growth` made, or their JSON files;
    /// those of one kind are compared with the first of it
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// The page; one that is there is replaced
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let page = report::page(&args.inputs)?;
    std::fs::write(&args.output, page).map_err(|source| Error::Output { path: args.output.clone(), source })?;
    Ok(Outcome { text: format!("{}\n", args.output.display()), failed: Vec::new() })
}
