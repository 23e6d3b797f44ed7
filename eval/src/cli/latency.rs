//! `eval latency`, and the `eval life` that it records.

use std::path::PathBuf;
use std::time::Duration;

use eval::error::{Error, Result};
use eval::latency::{Latency, Plan, ages::Stage, chart, life, measure, store};
use eval::picture;

use super::storm::seconds;
use super::text::{NONE, clean, count, table};
use super::{Format, Outcome, json};

const EXAMPLES: &str = "Examples:\n  \
    eval latency -o out/latency\n  \
    eval latency --seconds 10 --attacks 5";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Length of the ordinary life that is recorded, s
    #[arg(long, default_value_t = 30.0, value_parser = seconds)]
    seconds: f64,
    /// Files opened and closed, a second, beside ten commands
    #[arg(long, default_value_t = 1000, value_name = "N")]
    rate: u64,
    /// Attacks after it, of which `replay --follow` is to tell; 0: none follows
    #[arg(long, default_value_t = 20, value_name = "N")]
    attacks: usize,
    /// The age at which the recorder closes a segment, s
    #[arg(long, default_value_t = 10.0, value_name = "S", value_parser = segment)]
    segment_time: f64,
    /// Our recorder [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// The replay that follows [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Directory for latency.json, latency.parquet and latency.svg
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// More options for the recorder
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

fn segment(text: &str) -> Result<f64, String> {
    seconds(text).and_then(|time| if time >= 1.0 { Ok(time) } else { Err("give 1 or more".to_owned()) })
}

pub fn run(args: &Args) -> Result<Outcome> {
    let made = tempfile::tempdir().map_err(|error| Error::Workload { name: "set-up", reason: error.to_string() })?;
    let found = measure(
        &Plan {
            length: Duration::from_secs_f64(args.seconds),
            rate: args.rate,
            attacks: args.attacks,
            segment: Duration::from_secs_f64(args.segment_time),
            record: args.record.clone().unwrap_or_else(super::own_recorder),
            replay: args.replay.clone().unwrap_or_else(|| super::own_recorder().with_file_name("replay")),
            options: args.options.clone(),
            dir: made.path().to_owned(),
        },
        &|line| eprintln!("{line}"),
    )?;
    if let Some(dir) = &args.output {
        let (text, table, drawn) = (json(&found), store::parquet(&found)?, chart::draw(&found)?);
        let files = [("latency.json", text.as_bytes()), ("latency.parquet", &table), ("latency.svg", drawn.as_bytes())];
        picture::write(dir, &files)?;
    }
    let text = match args.format {
        Format::Json => json(&found),
        Format::Table => render(&found),
    };
    Ok(Outcome { text, failed: failed(&found) })
}

fn failed(found: &Latency) -> Vec<String> {
    let mut failed = Vec::new();
    if found.dropped > 0 {
        failed.push(format!("{} events were lost, wanted none", count(found.dropped)));
    }
    if found.told != found.attacks {
        failed.push(format!("alerts told of {} of {} attacks while they were recorded", found.told, found.attacks));
    }
    failed
}

fn render(found: &Latency) -> String {
    let machine = &found.machine;
    let mut out = format!(
        "kernel {}, {} CPUs ({}), {} events in {} s, segments of {} s\n",
        clean(&machine.kernel),
        machine.cpus,
        clean(&machine.cpu),
        count(found.events),
        found.seconds,
        found.segment
    );
    if let Some(noise) = machine.noise() {
        out += &format!("A NOISY MACHINE: {noise}\n");
    }
    let ms = |seconds: Option<f64>| seconds.map_or_else(|| NONE.to_owned(), |s| format!("{:.1}", s * 1e3));
    let row = |stage: &Stage| {
        vec![
            stage.name.clone(),
            stage.place.clone(),
            count(stage.count),
            ms(stage.p50),
            ms(stage.p90),
            ms(stage.p99),
            ms(stage.max),
        ]
    };
    let rows: Vec<_> = found.stages.iter().map(row).collect();
    out + "\nfrom the kernel's time stamp; of file, from when it was due; ms\n"
        + &table(&["to", "", "events", "50 %", "90 %", "99 %", "most"], &rows, 2)
}

#[derive(Debug, clap::Args)]
pub struct LifeArgs {
    /// Directory for its file
    dir: PathBuf,
    #[arg(long, value_parser = seconds)]
    seconds: f64,
    #[arg(long)]
    rate: u64,
    #[arg(long)]
    attacks: usize,
}

pub fn life(args: &LifeArgs) -> Result<Outcome> {
    life::live(&args.dir, Duration::from_secs_f64(args.seconds), args.rate, args.attacks)
        .map_err(|error| Error::Workload { name: "life", reason: error.to_string() })?;
    Ok(Outcome { text: String::new(), failed: Vec::new() })
}
