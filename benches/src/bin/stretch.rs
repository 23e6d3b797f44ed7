//! `stretch`: a recording, made longer and of more replicas.

use std::path::PathBuf;
use std::process::ExitCode;

use benches::stretch::{Day, Error, Plan, stretch};
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
    /// As many places for copies end to end as last so many days
    #[arg(long, value_name = "N", conflicts_with_all = ["times", "events"], value_parser = days)]
    days: Option<f64>,
    /// Give days a shape: from 0, every hour alike, to 1, nothing at 2 in the morning (UTC); what is left out are whole copies, by chance
    #[arg(long, value_name = "DEPTH", value_parser = share)]
    daily: Option<f64>,
    /// The chance of a copy at the day's height, 14 hours, when days have a shape
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, requires = "daily", value_parser = above)]
    keep: f64,
    /// Copies side by side: of the same images, on CPUs of their own, each begun at another moment
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    replicas: u16,
    /// Of the replicas' names, of when they begin, and of a day's copies
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
  stretch java-api-1 -o days --days 10 --daily 0.5 --keep 0.2
  datasets verify long

Exit codes: 0 ok; 2 usage; 4 the recording cannot be read or stretched; 5 the output cannot be written.";

fn rows(text: &str) -> Result<usize, String> {
    let rows = benches::amount(text)?;
    // Row numbers of a segment have 32 bits.
    usize::try_from(rows).ok().filter(|rows| (1..1 << 31).contains(rows)).ok_or_else(|| "1 to 2147483647".to_owned())
}

fn days(text: &str) -> Result<f64, String> {
    let days = text.parse::<f64>().ok().filter(|days| *days > 0.0 && *days <= 36_500.0);
    days.ok_or_else(|| "a number above 0 and at most 36500".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a number from 0 to 1".to_owned())
}

fn above(text: &str) -> Result<f64, String> {
    share(text).ok().filter(|share| *share > 0.0).ok_or_else(|| "a number above 0 and at most 1".to_owned())
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
    let times = match (options.times, options.events, options.days) {
        (Some(times), ..) => times,
        (None, Some(events), _) => Plan::times_for(&source, events, options.replicas)?,
        (None, None, Some(days)) => Plan::times_over(&source, days)?,
        (None, None, None) => 2,
    };
    let day = options.daily.map(|depth| Day { depth, keep: options.keep });
    let &Cli { replicas, seed, segment_rows, .. } = options;
    let rows = source.manifest().rows().saturating_mul(times).saturating_mul(u64::from(replicas));
    let bar = progress_bar(rows, "stretching");
    let made =
        stretch(&source, &options.output, Plan { times, replicas, seed, segment_rows, day }, |rows| bar.inc(rows));
    bar.finish_and_clear();
    let made = made?;
    Ok(format!(
        "{}: {} events, {times} {} end to end, {replicas} side by side, {} segments, {} bytes",
        options.output.display(),
        made.rows(),
        if day.is_some() { "places for copies" } else { "copies" },
        made.segments.len(),
        made.bytes()
    ))
}
