//! `scenarios new`

use std::path::Path;

use super::folder;
use crate::Outcome;

#[derive(Debug, clap::Args)]
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
