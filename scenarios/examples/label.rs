//! Prints the labels of a recording from a timeline: `cargo run -p scenarios --example label -- DIR TIMELINE.json`.
//!
//! One line per act, step, technique and class, with the number of events.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

/// Count the events of each step of an attack.
#[derive(Parser)]
struct Options {
    recording: PathBuf,
    /// As the `run` example prints it
    timeline: PathBuf,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(hint) = error.downcast_ref::<scenarios::Error>().and_then(scenarios::Error::hint) {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let Options { recording, timeline } = Options::parse();
    let text = std::fs::read_to_string(&timeline).with_context(|| timeline.display().to_string())?;
    let timeline = serde_json::from_str(&text).context("not a timeline")?;
    let labels = scenarios::label(&datasets::Recording::open(&recording)?, &timeline)?;
    let mut counts = BTreeMap::new();
    for label in &labels {
        *counts.entry((&label.act, &label.step, &label.technique, label.class)).or_insert(0u64) += 1;
    }
    for ((act, step, technique, class), count) in counts {
        println!("{act:18} {step:18} {technique:10} {class:8} {count:6}");
    }
    Ok(())
}
