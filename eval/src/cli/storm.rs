//! `eval storm`, and the `eval calls` that it runs.

use std::path::PathBuf;
use std::time::Duration;

use eval::error::{Error, Result};
use eval::storm::counter::Counter;
use eval::storm::deed::Deed;
use eval::storm::{Plan, Storm, calls, storm};

use super::text::{NONE, count, percent, table};
use super::{Format, Outcome, json};

const EXAMPLES: &str = "Examples:\n  \
    eval storm                                       a million system calls a second for a minute\n  \
    eval storm --seconds 10 --rate 0                 as many as there can be";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// How long, s
    #[arg(long, default_value_t = 60.0, value_parser = seconds)]
    seconds: f64,
    /// System calls per second on each CPU; 0: as many as there can be
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    rate: u64,
    /// CPUs that make them; the recorder gets the others
    #[arg(long, default_value = "1", value_delimiter = ',', value_name = "CPU")]
    cpu: Vec<usize>,
    /// Exit with 1 if a smaller share of the calls is stored
    #[arg(long, default_value_t = 0.999, value_name = "SHARE")]
    least: f64,
    /// Have the calls counted by somebody else too
    #[arg(long, value_enum)]
    counter: Option<Counter>,
    /// Our recorder [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Where the recording is made; it is removed at the end [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// More options for the recorder
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct CallsArgs {
    #[arg(value_enum)]
    deed: Deed,
    #[arg(long, value_parser = seconds)]
    seconds: f64,
    #[arg(long)]
    rate: u64,
    #[arg(long, value_delimiter = ',')]
    cpu: Vec<usize>,
    /// Where what is needed for it was made
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Write the count to this file
    #[arg(long, value_name = "FILE")]
    result: PathBuf,
}

pub(super) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err("give seconds, up to a day".to_owned()),
    }
}

pub fn run(args: &Args) -> Result<Outcome> {
    let made = args.dir.as_ref().map_or_else(tempfile::tempdir, tempfile::tempdir_in);
    let dir = made.map_err(|error| Error::Workload { name: "set-up", reason: error.to_string() })?;
    let found = storm(&Plan {
        deed: Deed::Syscall,
        cpus: args.cpu.clone(),
        length: Duration::from_secs_f64(args.seconds),
        rate: args.rate,
        record: args.record.clone().unwrap_or_else(super::own_recorder),
        // Calls that are left out on purpose are not what is measured here.
        options: ["--sample", "off"].map(str::to_owned).into_iter().chain(args.options.clone()).collect(),
        counter: args.counter,
        dir: dir.path().to_owned(),
    })?;
    let text = match args.format {
        Format::Json => json(&found),
        Format::Table => render(&found),
    };
    Ok(Outcome { text, failed: failed(&found, Some(args.least)) })
}

/// What a storm did not keep, in words. `least`: share of the calls that must be stored.
pub(super) fn failed(found: &Storm, least: Option<f64>) -> Vec<String> {
    let mut failed = Vec::new();
    if let Some(least) = least.filter(|least| found.stored_share < *least) {
        failed.push(format!("{:.5} of the calls are stored, wanted {least}", found.stored_share));
    }
    if found.accounted_share < 1.0 {
        failed.push(format!("{:.7} of the calls are accounted for, wanted all", found.accounted_share));
    }
    if let Some(counted) = found.counted.filter(|counted| *counted < found.callers.calls) {
        failed
            .push(format!("the callers say that they made {} calls, and {counted} were counted", found.callers.calls));
    }
    if !found.verified {
        failed.push("the recording does not verify".to_owned());
    }
    failed
}

pub fn calls(args: &CallsArgs) -> Result<Outcome> {
    let failed = |error: std::io::Error| Error::Workload { name: "calls", reason: error.to_string() };
    let made = calls::run(args.deed, &args.dir, &args.cpu, Duration::from_secs_f64(args.seconds), args.rate)
        .map_err(failed)?;
    calls::report(&made, &args.result).map_err(failed)?;
    Ok(Outcome { text: String::new(), failed: Vec::new() })
}

fn render(found: &Storm) -> String {
    let last = found.memory_mib.len() / 2;
    let middle = found.memory_mib.get(last).copied().unwrap_or_default();
    let rows = [
        ("calls made", count(found.callers.calls)),
        ("calls per second", count(found.calls_per_second as u64)),
        ("not made in time", count(found.callers.behind)),
        ("counted by perf", found.counted.map_or_else(|| NONE.to_owned(), count)),
        ("stored", format!("{} ({})", count(found.stored), percent(Some(found.stored_share)))),
        ("dropped", count(found.dropped)),
        ("left out on purpose", count(found.left_out)),
        ("accounted for", percent(Some(found.accounted_share))),
        ("verified", if found.verified { "yes" } else { "NO" }.to_owned()),
        ("CPU of the recorder", format!("{:.2} s, {:.0} ns an event", found.cpu_seconds, found.cpu_ns_per_event)),
        ("bytes per event", format!("{:.2}", found.bytes_per_event)),
        ("memory", format!("{middle:.0} MiB half-way, {:.0} MiB at most", found.memory_peak_mib)),
        ("ring", format!("{:.1} MiB at most", found.ring_most_mib)),
        (
            "from kernel to row",
            format!(
                "{:.1} ms (median), {:.1} ms (99 %), {:.1} ms (most)",
                found.lag_p50 * 1e3,
                found.lag_p99 * 1e3,
                found.lag_max * 1e3
            ),
        ),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    table(&["", ""], &rows, 1)
}
