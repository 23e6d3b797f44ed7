//! `eval wakeup`

use std::path::PathBuf;
use std::time::Duration;

use eval::error::{Error, Result};
use eval::wakeup::{Found, Plan, Wakeup, measure};

use super::text::table;
use super::{Format, Outcome, json};

const EXAMPLES: &str = "Examples:\n  \
    eval wakeup --batch 32,128 --seconds 5";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Events per CPU before the recorder is woken, one after the other
    #[arg(long, value_delimiter = ',', default_value = "1,8,32,128,512", value_name = "EVENTS", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Vec<u32>,
    /// The deadline beside them, ms
    #[arg(long, default_value_t = 50, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    deadline: u64,
    /// Deadlines to measure without any wake-up, ms
    #[arg(long, value_delimiter = ',', default_value = "1,5,50", value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    polling: Vec<u64>,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each run
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// System calls per second of the paced runs
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
    /// CPU that makes them; the recorder gets the others
    #[arg(long, default_value_t = 1, value_name = "CPU")]
    cpu: usize,
    /// Our recorder [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let dir = tempfile::tempdir().map_err(|error| Error::Workload { name: "set-up", reason: error.to_string() })?;
    let woken = args.batch.iter().map(|batch| Wakeup { batch: *batch, deadline_ms: args.deadline });
    let polling = args.polling.iter().map(|deadline| Wakeup { batch: u32::MAX, deadline_ms: *deadline });
    let found = measure(
        &Plan {
            variants: woken.chain(polling).collect(),
            rounds: args.rounds as usize,
            length: Duration::from_secs(args.seconds),
            rate: args.rate,
            cpu: args.cpu,
            record: args.record.clone().unwrap_or_else(super::own_recorder),
            dir: dir.path().to_owned(),
        },
        &|line| eprintln!("{line}"),
    )?;
    let text = match args.format {
        Format::Json => json(&found),
        Format::Table => render(&found),
    };
    Ok(Outcome { text, failed: Vec::new() })
}

fn render(found: &Found) -> String {
    let rows: Vec<_> = found
        .results
        .iter()
        .map(|result| {
            let Wakeup { batch, deadline_ms } = result.wakeup;
            vec![
                if batch == u32::MAX { "never".to_owned() } else { batch.to_string() },
                format!("{deadline_ms} ms"),
                format!("{:.1} %", result.cpu_share * 100.0),
                format!("{:.2} ms", result.lag_p50 * 1e3),
                format!("{:.2} ms", result.lag_p99 * 1e3),
                format!("{:.2}", result.overhead),
                format!("{:.0} ns", result.storm_cpu_ns),
            ]
        })
        .collect();
    let header = ["woken after", "deadline", "CPU", "lag, median", "lag, 99 %", "overhead", "CPU an event"];
    format!(
        "Medians of {} rounds. CPU (share of one core) and lag: {} system calls a second for {} s. Overhead (CPU time of a \
         call / {:.0} ns bare) and CPU of the recorder for an event: as many calls as there can be.\n{}",
        found.rounds,
        found.rate,
        found.seconds,
        found.bare_ns,
        table(&header, &rows, 0)
    )
}
