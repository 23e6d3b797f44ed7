//! `scenarios label`

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::text::table;
use crate::Outcome;

const EXAMPLES: &str = "Examples:\n  \
    sudo scenarios run xmrig > timeline.json        while `record --container 'retroscope-xmrig-*' -o rec` records\n  \
    scenarios label rec timeline.json";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of a recording that was made while the scenario ran
    recording: PathBuf,
    /// What `scenarios run` printed
    timeline: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let Args { recording, timeline } = args;
    let recording = datasets::Recording::open(recording).map_err(scenarios::Error::from)?;
    let text = std::fs::read_to_string(timeline)
        .map_err(|source| scenarios::Error::Read { path: timeline.to_owned(), source })?;
    let timeline = serde_json::from_str(&text)
        .map_err(|error| scenarios::Error::Timeline { path: timeline.to_owned(), reason: error.to_string() })?;
    let labels = scenarios::label(&recording, &timeline)?;
    let mut counts: BTreeMap<_, u64> = BTreeMap::new();
    for label in &labels {
        *counts.entry((&label.act, &label.step, &label.technique, label.class)).or_default() += 1;
    }
    let rows: Vec<Vec<String>> = counts
        .into_iter()
        .map(|((act, step, technique, class), events)| {
            vec![act.to_string(), step.to_string(), technique.to_string(), class.to_string(), events.to_string()]
        })
        .collect();
    Ok(Outcome { text: table(&["act", "step", "technique", "class", "events"], &rows), code: 0 })
}
