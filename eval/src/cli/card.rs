//! `eval card`

use std::path::PathBuf;

use datasets::{Recording, Splits};
use eval::card;
use eval::error::Result;

use super::Outcome;

const EXAMPLES: &str = "Examples:\n  \
    eval card rec/ -o rec/                           card.md and rates.svg beside the recording";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of a recording, or the name of one that ships
    recording: String,
    /// Directory to write card.md and rates.svg to; made if it is not there
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// The file that says which seeds are for what [default: the project's datasets/splits.toml]
    #[arg(long, value_name = "FILE")]
    splits: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let recording = Recording::find(&args.recording)?;
    let splits = match &args.splits {
        Some(path) => Splits::read(path)?,
        None => Splits::shipped()?,
    };
    let written = card::write(&recording, &splits, &args.output)?;
    Ok(Outcome { text: written.iter().map(|path| format!("{}\n", path.display())).collect(), failed: Vec::new() })
}
