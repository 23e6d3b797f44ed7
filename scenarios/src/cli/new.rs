//! `scenarios new`

use std::path::Path;

use super::folder;
use crate::Outcome;

const EXAMPLES: &str = "Examples:\n  \
    scenarios new mine --extends webapp             the life of the web shop, with an attack to be written\n  \
    scenarios --from ~/scenarios new mine --extends webapp";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Name of the new scenario: lower-case letters, digits and '-'
    name: String,
    /// The scenario whose life it takes over
    #[arg(long, value_name = "BASE")]
    extends: String,
}

pub fn run(from: Option<&Path>, args: &Args) -> anyhow::Result<Outcome> {
    let Args { name, extends } = args;
    let path = scenarios::begin(&folder(from)?, name, extends)?;
    let text = format!(
        "{}\nNext: edit {}/scenario.toml, then\n  scenarios lint {}\n  sudo scenarios run {name} --benign 5\n",
        path.display(),
        path.display(),
        path.display(),
    );
    Ok(Outcome { text, code: 0 })
}
