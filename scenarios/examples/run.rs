//! Runs a scenario without recording it: `cargo run -p scenarios --example run -- xmrig --benign 60`.
//!
//! The timeline goes to standard output as JSON, progress to standard error.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use scenarios::{RunOptions, Runner};

/// Run a scenario in its containers.
#[derive(Parser)]
struct Options {
    /// Name of the scenario; without it, the known ones are listed
    scenario: Option<String>,
    /// Length of ordinary life before the first act, s
    #[arg(long)]
    benign: Option<u64>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
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
    let options = Options::parse();
    let Some(name) = options.scenario else {
        for scenario in scenarios::list()? {
            println!("{:10} {}", scenario.name, scenario.title);
        }
        return Ok(());
    };
    let begin = Instant::now();
    let say = |line: &str| eprintln!("{:6.1} s  {line}", begin.elapsed().as_secs_f64());
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;

    let run_options = RunOptions { seed: options.seed, benign: options.benign.map(Duration::from_secs) };
    let mut runner = Runner::prepare(scenarios::load(&name)?, run_options, &say)?;
    say(&format!("watched: {}", runner.container_glob()));
    let timeline = runner.run(&stop, &say)?;
    runner.cleanup()?;
    say("cleaned up");
    println!("{}", serde_json::to_string_pretty(&timeline)?);
    Ok(())
}
