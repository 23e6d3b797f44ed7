//! `eval growth`

use std::path::PathBuf;
use std::time::Duration;

use eval::error::{Error, Result};
use eval::growth::{COSTS, Growth, Over, Plan, Point, Series, chart, measure, store};
use eval::picture;
use eval::storm::deed::Deed;

use super::storm::seconds;
use super::text::{NONE, clean, count, table};
use super::{Format, Outcome, json};

const EXAMPLES: &str = "Examples:\n  \
    eval growth -o out/growth\n  \
    eval growth --lengths 60,240,960,3600 -o out/growth";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Class, by what is done to fill it
    #[arg(long = "class", value_enum, default_value = "file", value_name = "CLASS")]
    deed: Deed,
    /// How often a second it is done, one recording after the other
    #[arg(long, value_delimiter = ',', default_value = "2000,8000,32000,128000", value_name = "N,N", value_parser = clap::value_parser!(u64).range(1..))]
    rates: Vec<u64>,
    /// Length of those recordings, s
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Lengths of recordings at one rate, s; for a long run 60,240,960,3600
    #[arg(long, value_delimiter = ',', default_value = "2,4,8,16", value_name = "S,S", value_parser = seconds)]
    lengths: Vec<f64>,
    /// Their rate, a second
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
    /// Rounds; in each every recording is made once
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// CPU that makes the events; the recorder gets the others [default: the last]
    #[arg(long, value_name = "CPU")]
    cpu: Option<usize>,
    /// Our recorder [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Where the recordings are made; each is removed before the next [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Directory for growth.json, growth.parquet and growth.svg
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// More options for the recorder
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let made = args.dir.as_ref().map_or_else(tempfile::tempdir, tempfile::tempdir_in);
    let made = made.map_err(|error| Error::Workload { name: "set-up", reason: error.to_string() })?;
    let last = std::thread::available_parallelism().map_or(1, usize::from) - 1;
    let found = measure(
        &Plan {
            deed: args.deed,
            cpu: args.cpu.unwrap_or(last),
            rates: args.rates.clone(),
            length: Duration::from_secs_f64(args.seconds),
            lengths: args.lengths.iter().copied().map(Duration::from_secs_f64).collect(),
            rate: args.rate,
            rounds: args.rounds as usize,
            record: args.record.clone().unwrap_or_else(super::own_recorder),
            // What is left out on purpose costs less.
            options: ["--sample", "off"].map(str::to_owned).into_iter().chain(args.options.clone()).collect(),
            dir: made.path().to_owned(),
        },
        &|line| eprintln!("{line}"),
    )?;
    if let Some(dir) = &args.output {
        let (text, table, drawn) = (json(&found), store::parquet(&found)?, chart::draw(&found)?);
        let files = [("growth.json", text.as_bytes()), ("growth.parquet", &table), ("growth.svg", drawn.as_bytes())];
        picture::write(dir, &files)?;
    }
    let text = match args.format {
        Format::Json => json(&found),
        Format::Table => render(&found),
    };
    Ok(Outcome { text, failed: failed(&found) })
}

fn failed(found: &Growth) -> Vec<String> {
    let points = || found.series.iter().flat_map(|series| &series.points);
    let lost: u64 = points().map(|point| point.dropped).sum();
    let mut failed = Vec::new();
    if lost > 0 {
        failed.push(format!("{} events were lost: what was not stored has cost less", count(lost)));
    }
    let unverified = points().filter(|point| !point.verified).count();
    if unverified > 0 {
        failed.push(format!("{unverified} recordings do not verify"));
    }
    failed
}

fn render(found: &Growth) -> String {
    let machine = &found.machine;
    let mut out = format!(
        "kernel {}, {} CPUs ({}), class {}, {} rounds; a recording of next to nothing takes {:.2} s of CPU time\n",
        clean(&machine.kernel),
        machine.cpus,
        clean(&machine.cpu),
        found.deed.name(),
        found.rounds,
        found.idle_cpu_seconds
    );
    if let Some(noise) = machine.noise() {
        out += &format!("A NOISY MACHINE: {noise}\n");
    }
    for series in &found.series {
        out += &format!("\n{}", points(series));
        let row = |fit: &eval::growth::Fit| {
            let power = fit.power.map(|p| {
                [format!("{:.2}", p.exponent), format!("[{:.2}, {:.2}]", p.low, p.high), count(p.of_points as u64)]
            });
            let cells = power.unwrap_or_else(|| [NONE, NONE, "0"].map(str::to_owned));
            std::iter::once(fit.cost.clone()).chain(cells).collect()
        };
        let name = format!("grows with {}", series.over.name());
        let rows: Vec<_> = series.fits.iter().map(row).collect();
        out += &format!("\n{}", table(&[&name, "to the power of", "95 %", "points"], &rows, 1));
    }
    out
}

/// The recordings, those that were to be the same beside each other.
fn points(series: &Series) -> String {
    let of = |point: &Point| match series.over {
        Over::Rate => count(point.events_per_second as u64),
        Over::Length => format!("{:.1}", point.seconds),
    };
    let header: Vec<&str> =
        [series.over.name(), "round", "events"].into_iter().chain(COSTS.map(|cost| cost.name)).collect();
    let mut sorted: Vec<&Point> = series.points.iter().collect();
    sorted.sort_by(|a, b| series.over.of(a).total_cmp(&series.over.of(b)));
    let row = |point: &&Point| {
        vec![
            of(point),
            point.round.to_string(),
            count(point.events),
            format!("{:.3}", point.cpu_seconds),
            format!("{:.1}", point.memory_mib),
            count(point.bytes),
            count(point.segments),
        ]
    };
    table(&header, &sorted.iter().map(row).collect::<Vec<_>>(), 0)
}
