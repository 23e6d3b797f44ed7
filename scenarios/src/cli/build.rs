//! `scenarios build`

use std::path::Path;

use super::{folder, load};
use crate::Outcome;

const EXAMPLES: &str = "Examples:\n  \
    sudo scenarios build                            the images of all scenarios\n  \
    sudo scenarios build xmrig webapp";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Names of scenarios [default: all]
    scenarios: Vec<String>,
}

pub fn run(from: Option<&Path>, args: &Args) -> anyhow::Result<Outcome> {
    let wanted = if args.scenarios.is_empty() {
        scenarios::list_from(&folder(from)?)?
    } else {
        args.scenarios.iter().map(|name| load(from, name)).collect::<Result<Vec<_>, _>>()?
    };
    let mut text = String::new();
    for scenario in &wanted {
        let images = scenarios::build(scenario, &|line| eprintln!("{}: {line}", scenario.name))?;
        text.push_str(&format!("{}: {images} images\n", scenario.name));
    }
    Ok(Outcome { text, code: 0 })
}
