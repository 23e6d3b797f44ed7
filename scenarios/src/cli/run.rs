//! `scenarios run`

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use scenarios::{RunOptions, Runner};

use super::load;
use crate::{INTERRUPTED, Outcome};

const EXAMPLES: &str = "Examples:\n  \
    sudo scenarios run xmrig --benign 60 > timeline.json\n  \
    sudo scenarios run webapp --seed 7              the same life with other customers\n  \
    sudo scenarios run web-shell --no-attack";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Name of the scenario
    scenario: String,
    /// The same seed gives the same load and the same intervals
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Length of ordinary life before the first act, s
    #[arg(long, value_name = "SECONDS")]
    benign: Option<u64>,
    /// Ordinary life alone: leave the attack out
    #[arg(long)]
    no_attack: bool,
}

pub fn run(from: Option<&Path>, args: &Args) -> anyhow::Result<Outcome> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;
    let mut scenario = load(from, &args.scenario)?;
    if args.no_attack {
        scenario = scenario.without_attack();
    }
    let options = RunOptions { seed: args.seed, benign: args.benign.map(Duration::from_secs) };

    // Hidden where stderr is no terminal; the lines are printed all the same.
    let bar = ProgressBar::new(0);
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} s  {msg}").unwrap_or(ProgressStyle::default_bar()),
    );
    let begin = Instant::now();
    let say = |line: &str| {
        let line = format!("{:6.1} s  {line}", begin.elapsed().as_secs_f64());
        if bar.is_hidden() { eprintln!("{line}") } else { bar.println(line) }
    };
    let mut runner = Runner::prepare(scenario, options, &say)?;
    say(&format!("watched: {}", runner.container_glob()));
    bar.set_length(runner.expected_duration().as_secs());

    let done = AtomicBool::new(false);
    let timeline = std::thread::scope(|scope| {
        scope.spawn(|| {
            let begin = Instant::now();
            while !done.load(Ordering::Relaxed) {
                bar.set_position(begin.elapsed().as_secs());
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let timeline = runner.run(&stop, &say);
        done.store(true, Ordering::Relaxed);
        timeline
    })?;
    runner.cleanup()?;
    say("cleaned up");
    bar.finish_and_clear();
    let text = serde_json::to_string_pretty(&timeline)? + "\n";
    Ok(Outcome { text, code: if timeline.interrupted { INTERRUPTED } else { 0 } })
}
