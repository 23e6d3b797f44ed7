//! `eval speed`

use std::path::PathBuf;

use eval::error::Result;
use eval::speed::{Speed, Timed, measure};
use replay::config;
use replay::input::{self, Baseline};

use super::text::{clean, count, table};
use super::{Format, Outcome, json};

const EXAMPLES: &str = "Examples:\n  \
    eval speed webapp-1                              what it teaches, and is then compared with\n  \
    eval speed long/ --learn webapp-1 --fail-over 3  a long one against a baseline, as a check";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of a recording, or the name of one that ships; short ones tell of little but their beginning
    recording: String,
    /// What to compare with: a recording or a saved profile.json [default: what the recording itself teaches]
    #[arg(long, value_name = "BASELINE")]
    learn: Option<String>,
    /// Rounds; in each everything is done once, in turns
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Replay with this configuration, a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Replay with this configuration value; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Exit with 1 where comparing takes more than so many times the scan
    #[arg(long, value_name = "TIMES")]
    fail_over: Option<f64>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub fn run(args: &Args) -> Result<Outcome> {
    // The model's speed is its own: how many command lines it is asked about hangs on the recording.
    let without_model = "args.embedding.enabled=false".to_owned();
    let sets: Vec<String> = std::iter::once(without_model).chain(args.sets.iter().cloned()).collect();
    let config = config::load(args.config.as_deref(), &sets)?;
    let recording = input::recording(&args.recording)?;
    let baseline = args.learn.as_deref().map(|name| match input::baseline(name)? {
        Baseline::Profile(profile, _) => Ok(profile),
        Baseline::Recording(recording) => replay::run::learn(*recording, &config, 1),
    });
    let say = |line: &str| eprintln!("{line}");
    let found = measure(&args.recording, &recording, baseline.transpose()?, &config, args.rounds as usize, &say)?;
    let failed = found.works.iter().filter_map(|timed| over(timed, args.fail_over?)).collect();
    let text = match args.format {
        Format::Json => json(&found),
        Format::Table => render(&found),
    };
    Ok(Outcome { text, failed })
}

fn over(timed: &Timed, most: f64) -> Option<String> {
    let is_over = timed.work == eval::speed::Work::Detect && timed.to_scan > most;
    is_over.then(|| format!("comparing takes {:.2} times the scan, and {most} is the most", timed.to_scan))
}

fn render(found: &Speed) -> String {
    let mut out = format!(
        "{}: {} events, {} rounds, one thread, {} build; {} CPUs ({})\n",
        clean(&found.recording),
        count(found.events),
        found.rounds,
        found.build,
        found.machine.cpus,
        clean(&found.machine.cpu)
    );
    if let Some(noise) = found.machine.noise() {
        out += &format!("A NOISY MACHINE: {noise}\n");
    }
    let row = |timed: &Timed| {
        let [middle, least, most] = timed.events_per_second.map(|rate| format!("{:.2} M", rate / 1e6));
        let (low, high) = timed.to_scan_interval;
        let (ratio, interval) = (format!("{:.2}", timed.to_scan), format!("[{low:.2}, {high:.2}]"));
        vec![timed.work.name().to_owned(), middle, least, most, ratio, interval]
    };
    let rows: Vec<_> = found.works.iter().map(row).collect();
    out += &table(&["", "events/s", "least", "most", "times scan", "95 %"], &rows, 1);
    out
}
