//! `eval curve`

use std::path::{Path, PathBuf};
use std::time::Duration;

use eval::curve::{Curve, Plan, chart, measure, store};
use eval::error::{Error, Result};
use eval::picture;
use eval::storm::counter::Counter;
use eval::storm::deed::Deed;

use super::text::{clean, count, or_none, percent, table};
use super::{Format, Outcome, json, storm};

const EXAMPLES: &str = "Examples:\n  \
    eval curve -o out/curve";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Classes, by what is done to fill them; may be repeated [default: all]
    #[arg(long = "class", value_enum, value_name = "CLASS", value_delimiter = ',')]
    deeds: Vec<Deed>,
    /// CPUs that make the events, as 1 or 0,1; the recorder gets the others; may be repeated [default: the last one, and all]
    #[arg(long = "cpu", value_name = "CPUS", value_parser = set)]
    cpus: Vec<Set>,
    /// Times per second and CPU, as 1000,50000,0; 0: as often as can be [default: of each class its own]
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    rates: Option<Vec<u64>>,
    /// Length of one point, s
    #[arg(long, default_value_t = 5.0, value_parser = storm::seconds)]
    seconds: f64,
    /// Exit with 1 if a smaller share is stored anywhere
    #[arg(long, value_name = "SHARE")]
    least: Option<f64>,
    /// Have the kernel count too, beside who makes the events; that takes some of their time
    #[arg(long, value_enum)]
    counter: Option<Counter>,
    /// Our recorder [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Directory for curve.json, curve.parquet and curve.svg
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// More options for the recorder
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

/// A wrapper, for else clap would take a list for a repeated value.
#[derive(Clone, Debug)]
struct Set(Vec<usize>);

fn set(text: &str) -> Result<Set, String> {
    let cpus: Result<Vec<usize>, _> = text.split(',').map(str::parse).collect();
    cpus.map(Set).map_err(|_| "give numbers of CPUs, as 0,1".to_owned())
}

pub fn run(args: &Args) -> Result<Outcome> {
    let made = tempfile::tempdir().map_err(|error| Error::Workload { name: "set-up", reason: error.to_string() })?;
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let mut cpus: Vec<Vec<usize>> = args.cpus.iter().map(|set| set.0.clone()).collect();
    if cpus.is_empty() {
        cpus = vec![vec![all - 1], (0..all).collect()];
        cpus.dedup();
    }
    let found = measure(
        &Plan {
            deeds: if args.deeds.is_empty() { Deed::ALL.to_vec() } else { args.deeds.clone() },
            cpus,
            rates: args.rates.clone(),
            length: Duration::from_secs_f64(args.seconds),
            record: args.record.clone().unwrap_or_else(super::own_recorder),
            // What is left out on purpose is not what is measured here.
            options: ["--sample", "off"].map(str::to_owned).into_iter().chain(args.options.clone()).collect(),
            counter: args.counter,
            dir: made.path().to_owned(),
        },
        &|line| eprintln!("{line}"),
    )?;
    if let Some(dir) = &args.output {
        write(&found, dir)?;
    }
    let text = match args.format {
        Format::Json => json(&found),
        Format::Table => render(&found),
    };
    Ok(Outcome { text, failed: failed(&found, args.least) })
}

fn write(found: &Curve, dir: &Path) -> Result<()> {
    picture::write(
        dir,
        &[
            ("curve.json", json(found).as_bytes()),
            ("curve.parquet", &store::parquet(found)?),
            ("curve.svg", chart::draw(found)?.as_bytes()),
        ],
    )
}

fn failed(found: &Curve, least: Option<f64>) -> Vec<String> {
    let of = |point: &eval::curve::Point| {
        let what = format!("{} on CPU {}, {} a second", point.deed.name(), chart::cpus(&point.cpus), point.rate);
        storm::failed(&point.storm, least).into_iter().map(|why| format!("{what}: {why}")).collect::<Vec<_>>()
    };
    found.points.iter().flat_map(of).collect()
}

/// The column before which that of the counter comes.
const STORED: usize = 4;

fn render(found: &Curve) -> String {
    let machine = &found.machine;
    let mut out = format!(
        "kernel {}, {} CPUs ({}), {} s a point\n",
        clean(&machine.kernel),
        machine.cpus,
        clean(&machine.cpu),
        found.seconds
    );
    if let Some(noise) = machine.noise() {
        out += &format!("A NOISY MACHINE: {noise}\n");
    }
    let mut header = vec![
        "class",
        "made on CPU",
        "asked/s",
        "made/s",
        "stored",
        "lost",
        "accounted",
        "fields",
        "B/event",
        "CPU",
        "lag 50 %",
        "lag 99 %",
    ];
    if found.counter.is_some() {
        header.insert(STORED, "counted - made");
    }
    let row = |point: &eval::curve::Point| {
        let storm = &point.storm;
        let mut row = vec![
            point.deed.name().to_owned(),
            chart::cpus(&point.cpus),
            if point.rate == 0 { "most".to_owned() } else { count(point.rate * point.cpus.len() as u64) },
            count(storm.calls_per_second as u64),
            percent(Some(storm.stored_share)),
            count(storm.dropped),
            percent(Some(storm.accounted_share)),
            or_none(storm.complete.map(|share| percent(Some(share)))),
            format!("{:.1}", storm.bytes_per_event),
            format!("{:.0} %", point.cpu_share() * 100.0),
            format!("{:.1} ms", storm.lag_p50 * 1e3),
            format!("{:.1} ms", storm.lag_p99 * 1e3),
        ];
        if found.counter.is_some() {
            let more = storm.counted.map(|counted| i128::from(counted) - i128::from(storm.callers.calls));
            row.insert(STORED, or_none(more.map(|more| more.to_string())));
        }
        row
    };
    let rows: Vec<_> = found.points.iter().map(row).collect();
    out + "\n" + &table(&header, &rows, 2)
}
