//! `scenarios list`

use std::path::Path;

use scenarios::Scenario;
use serde::Serialize;

use super::text::{clock, table};
use super::{Format, folder};
use crate::Outcome;

const EXAMPLES: &str = "Examples:\n  \
    scenarios list\n  \
    scenarios list --format json | jq -r '.[].name'";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// A scenario as `--format json` lists it.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    title: &'a str,
    description: &'a str,
    extends: Option<&'a str>,
    /// Watched services; those outside are left out.
    services: Vec<&'a str>,
    acts: Vec<&'a str>,
    /// ATT&CK ids, sorted.
    techniques: Vec<&'a str>,
    /// Whether nothing bad happens in it.
    benign: bool,
    /// Ordinary life before the first act; the whole run where there is none; s.
    benign_s: u64,
    /// s, the start of the containers not included
    duration_s: u64,
    /// As a recording's manifest has it; null: a file of an image cannot be read.
    definition: Option<String>,
}

impl<'a> From<&'a Scenario> for Entry<'a> {
    fn from(scenario: &'a Scenario) -> Self {
        Entry {
            name: &scenario.name,
            title: &scenario.title,
            description: &scenario.description,
            extends: scenario.extends.as_deref(),
            services: scenario.services.iter().filter(|s| !s.outside).map(|s| s.name.as_str()).collect(),
            acts: scenario.acts.iter().map(|act| act.name.as_str()).collect(),
            techniques: scenario.techniques().into_iter().collect(),
            benign: scenario.acts.is_empty(),
            benign_s: scenario.benign.as_secs(),
            duration_s: scenario.expected_duration().as_secs(),
            definition: scenario.fingerprint().ok(),
        }
    }
}

pub fn run(from: Option<&Path>, args: &Args) -> anyhow::Result<Outcome> {
    let scenarios = scenarios::list_from(&folder(from)?)?;
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&scenarios.iter().map(Entry::from).collect::<Vec<_>>())? + "\n",
        Format::Table => render(&scenarios),
    };
    Ok(Outcome { text, code: 0 })
}

fn render(scenarios: &[Scenario]) -> String {
    let row = |scenario: &Scenario| {
        let Entry { services, acts, techniques, .. } = Entry::from(scenario);
        let techniques = if techniques.is_empty() { "benign".to_owned() } else { techniques.join(" ") };
        let duration = clock(scenario.expected_duration());
        vec![
            scenario.name.clone(),
            scenario.title.clone(),
            services.join(" "),
            acts.len().to_string(),
            techniques,
            duration,
        ]
    };
    table(
        &["name", "title", "watched services", "acts", "techniques", "min"],
        &scenarios.iter().map(row).collect::<Vec<_>>(),
    )
}
