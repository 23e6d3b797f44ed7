//! `stretch`: a recording, made longer and of more replicas.

use std::path::PathBuf;
use std::process::ExitCode;

use benches::stretch::{Error, Plan, stretch};
use clap::Parser;
use datasets::Recording;
use replay::run::progress_bar;

/// Stretch a recording to any length: copies of it end to end, and side by side as replicas, at the recorded rates.
///
/// Each copy has times, processes and sequence numbers of its own, each replica containers, pods and addresses of its own: the
/// result is a recording that `datasets verify` finds intact and `replay` reads. The same arguments give the same bytes.
#[derive(Debug, Parser)]
#[command(name = "stretch", version, after_help = AFTER)]
struct Cli {
    /// Directory of a recording, or the name of one that ships
    recording: String,
    /// Directory for the stretched one; new or empty
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Copies end to end
    #[arg(long, value_name = "N", conflicts_with = "events", value_parser = clap::value_parser!(u64).range(1..))]
    times: Option<u64>,
    /// As many copies end to end as give at least so many events, as 250000, 10M or 1G [default: twice the recording's]
    #[arg(long, value_name = "COUNT", value_parser = benches::amount)]
    events: Option<u64>,
    /// Copies side by side: of the same images, on CPUs of their own, each begun at another moment
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    replicas: u16,
    /// Of the replicas' names, and of when they begin
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Rows of a segment; memory grows with it
    #[arg(long, value_name = "ROWS", default_value_t = 1 << 18, value_parser = rows)]
    segment_rows: usize,
}

const AFTER: &str = "\
Examples:
  stretch webapp-1 -o long --times 100
  stretch rec/ -o /tmp/rec-100M --events 100M
  stretch redis-pair-1 -o fleet --events 1M --replicas 20 --seed 7
  datasets verify long

Exit codes: 0 ok; 2 usage; 4 the recording cannot be read or stretched; 5 the output cannot be written.";

fn rows(text: &str) -> Result<usize, String> {
    let rows = benches::amount(text)?;
    // Row numbers of a segment have 32 bits.
    usize::try_from(rows).ok().filter(|rows| (1..1 << 31).contains(rows)).ok_or_else(|| "1 to 2147483647".to_owned())
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}\nhint: {}", error.hint());
            let output = matches!(&error, Error::Recording(error) if error.is_output());
            ExitCode::from(if output { 5 } else { 4 })
        }
    }
}

fn run(options: &Cli) -> Result<String, Error> {
    let source = Recording::find(&options.recording)?;
    let times = match (options.times, options.events) {
        (Some(times), _) => times,
        (None, Some(events)) => Plan::times_for(&source, events, options.replicas)?,
        (None, None) => 2,
    };
    let &Cli { replicas, seed, segment_rows, .. } = options;
    let rows = source.manifest().rows().saturating_mul(times).saturating_mul(u64::from(replicas));
    let bar = progress_bar(rows, "stretching");
    let made = stretch(&source, &options.output, Plan { times, replicas, seed, segment_rows }, |rows| bar.inc(rows));
    bar.finish_and_clear();
    let made = made?;
    Ok(format!(
        "{}: {} events, {times} copies end to end, {replicas} side by side, {} segments, {} bytes",
        options.output.display(),
        made.rows(),
        made.segments.len(),
        made.bytes()
    ))
}
