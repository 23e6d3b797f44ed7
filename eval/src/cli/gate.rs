//! `eval gate`

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::ValueEnum;
use datasets::Splits;
use eval::error::{Error, Result};
use eval::gate::baseline::Baseline;
use eval::gate::measure::{Plan, measure};
use eval::gate::report::{HEADER, cells, junit, markdown};
use eval::gate::{Figure, Line, compare};
use eval::machine::Machine;
use eval::overhead::adapter::Adapter;

use super::text::{clean, table};
use super::{Outcome, json};

const EXAMPLES: &str = "Examples:\n  \
    eval gate --baseline eval/gate.toml --short      without root, in a minute\n  \
    eval gate --baseline eval/gate.toml --format markdown --junit gate.xml\n  \
    eval gate --baseline eval/gate.toml --update";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to compare with; the project's own is eval/gate.toml
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// Leave out what needs root or minutes: storm, overhead and instructions
    #[arg(long)]
    short: bool,
    /// Figures whose name begins so, as accuracy or overhead.storm; may be repeated
    #[arg(long, value_name = "PREFIX")]
    only: Vec<String>,
    /// Measure, and write the values into the baseline instead of comparing; tolerances that are there stay
    #[arg(long, conflicts_with = "measured")]
    update: bool,
    /// Compare what another run wrote with --output, and measure nothing
    #[arg(long, value_name = "FILE")]
    measured: Option<PathBuf>,
    /// Write what was measured to this file, JSON
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Exit with 1 also where a figure of the baseline could not be measured
    #[arg(long)]
    strict: bool,
    /// Replay with this configuration, a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Replay with this configuration value; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Recorder whose overhead is measured: a shipped adapter's name, or an adapter file
    #[arg(long, value_name = "NAME", default_value = "retroscope")]
    recorder: String,
    /// Our recorder [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Rounds of the overhead
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Share of the usual work of the overhead's workloads
    #[arg(long, default_value_t = 0.3, value_parser = scale)]
    scale: f64,
    /// How long the storm lasts, s
    #[arg(long, default_value_t = 5.0, value_parser = super::storm::seconds)]
    seconds: f64,
    /// The file that says which seeds are for what [default: the project's datasets/splits.toml]
    #[arg(long, value_name = "FILE")]
    splits: Option<PathBuf>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = GateFormat::Table)]
    format: GateFormat,
    /// More options for the recorder in the storm
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GateFormat {
    /// For people
    Table,
    /// For programs: one JSON document
    Json,
    /// For a pull request
    Markdown,
}

fn scale(text: &str) -> std::result::Result<f64, String> {
    let scale = text.parse::<f64>().ok().filter(|scale| *scale > 0.0 && *scale <= 100.0);
    scale.ok_or_else(|| "give a number above 0, up to 100".to_owned())
}

pub fn run(args: &Args) -> Result<Outcome> {
    let mut baseline = match (args.update, args.baseline.exists()) {
        (true, false) => Baseline::default(),
        _ => Baseline::read(&args.baseline)?,
    };
    let machine = Machine::look();
    let figures = match &args.measured {
        Some(path) => read(path)?,
        None => measure_now(args)?,
    };
    if let Some(path) = &args.output {
        write(path, &json(&figures))?;
    }
    if args.update {
        baseline.update(&figures, &machine);
        baseline.write(&args.baseline)?;
    }
    let lines = compare(&figures, &baseline);
    if let Some(path) = &args.junit {
        let xml = junit(&lines).map_err(|reason| Error::Run { what: "the JUnit XML".to_owned(), reason })?;
        write(path, &xml)?;
    }
    let text = match args.format {
        GateFormat::Json => json(&lines),
        GateFormat::Markdown => markdown(&lines),
        GateFormat::Table => render(&lines),
    };
    let mut failed: Vec<String> = lines.iter().filter_map(Line::failure).collect();
    if args.strict {
        let known = |line: &&Line| line.figure.value.is_none() && line.baseline.is_some();
        failed.extend(lines.iter().filter(known).map(|line| format!("{} was not measured", line.figure.name)));
    }
    Ok(Outcome { text, failed })
}

fn measure_now(args: &Args) -> Result<Vec<Figure>> {
    let config = replay::config::load(args.config.as_deref(), &args.sets)?;
    let splits = match &args.splits {
        Some(path) => Splits::read(path)?,
        None => Splits::shipped()?,
    };
    let record = args.record.clone().unwrap_or_else(super::own_recorder);
    let plan = Plan {
        only: &args.only,
        short: args.short,
        config: &config,
        splits: &splits,
        replay: std::env::current_exe().map(|own| own.with_file_name("replay")).unwrap_or_default(),
        record,
        adapter: Adapter::find(&args.recorder)?,
        rounds: args.rounds as usize,
        scale: args.scale,
        seconds: args.seconds,
        options: args.options.clone(),
    };
    measure(&plan, &|line| eprintln!("{line}"))
}

fn read(path: &PathBuf) -> Result<Vec<Figure>> {
    let failed = |reason: String| Error::Gate { path: path.clone(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| failed(format!("not what --output writes: {error}")))
}

fn write(path: &PathBuf, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|source| Error::Output { path: path.clone(), source })
}

fn render(lines: &[Line]) -> String {
    let rows: Vec<Vec<String>> =
        lines.iter().map(|line| cells(line).iter().map(|cell| clean(cell)).collect()).collect();
    let mut out = table(&HEADER, &rows, 2);
    for line in lines {
        if let Some(why) = &line.figure.absent {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "  not measured: {}: {}", line.figure.name, clean(why));
        }
    }
    out
}
