//! `eval overhead`, and the `eval workload` and `eval named` that it runs.

use std::path::{Path, PathBuf};

use datasets::Recording;
use eval::error::{Error, Result};
use eval::overhead::adapter::Adapter;
use eval::overhead::{Overhead, Plan, chart, measure, store};
use eval::workload::Workload;
use eval::{named, picture};

use super::overhead_text::render;
use super::{Format, Outcome, json};

const EXAMPLES: &str = "Examples:\n  \
    eval overhead --rounds 5 -o out/overhead\n  \
    eval overhead --recorder retroscope,strace --workload storm --scale 0.1\n  \
    eval overhead --from out/overhead/run.json       its tables again";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Recorders to measure: names of shipped adapters, or adapter files (.toml) [default: every shipped one]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    recorder: Vec<String>,
    /// Workloads to measure them on [default: all]
    #[arg(long, value_enum, value_name = "NAME", value_delimiter = ',')]
    workload: Vec<Workload>,
    /// Rounds; in each, every workload runs bare and under every recorder
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Share of the usual amount of work: 0.1 for a quick look
    #[arg(long, default_value_t = 1.0, value_parser = scale)]
    scale: f64,
    /// Our recorder [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Fail unless every ratio of the recorder `retroscope` is at most this
    #[arg(long, value_name = "RATIO")]
    fail_over: Option<f64>,
    /// Directory for run.json, overhead.parquet and overhead.svg
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Measure nothing: show what was kept, a run.json or what `--format json` printed. Of further ones, the recorders that the
    /// first lacks are added
    #[arg(long, value_name = "FILE", conflicts_with_all = ["recorder", "workload", "rounds", "scale", "record"])]
    from: Vec<PathBuf>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(scale) if scale > 0.0 && scale <= 100.0 => Ok(scale),
        _ => Err("give a number above 0, up to 100".to_owned()),
    }
}

pub fn run(args: &Args) -> Result<Outcome> {
    let found = match args.from.split_first() {
        Some((first, more)) => joined(first, more)?,
        None => measured(args)?,
    };
    if let Some(dir) = &args.output {
        let (run, table, drawn) = (json(&found), store::parquet(&found)?, chart::draw(&found)?);
        let files = [("run.json", run.as_bytes()), ("overhead.parquet", &table), ("overhead.svg", drawn.as_bytes())];
        picture::write(dir, &files)?;
    }
    let text = match args.format {
        Format::Json => json(&found),
        Format::Table => render(&found),
    };
    Ok(Outcome { text, failed: args.fail_over.map_or_else(Vec::new, |limit| over(&found, limit)) })
}

fn measured(args: &Args) -> Result<Overhead> {
    let named: Vec<String> =
        if args.recorder.is_empty() { Adapter::shipped().map(str::to_owned).collect() } else { args.recorder.clone() };
    let dir = tempfile::tempdir().map_err(|error| Error::Workload { name: "set-up", reason: error.to_string() })?;
    let plan = Plan {
        workloads: if args.workload.is_empty() { Workload::ALL.into() } else { args.workload.clone() },
        adapters: named.iter().map(|name| Adapter::find(name)).collect::<Result<_>>()?,
        rounds: args.rounds as usize,
        scale: args.scale,
        record: args.record.clone().unwrap_or_else(super::own_recorder),
        dir: dir.path().to_owned(),
    };
    measure(&plan, &|line| eprintln!("{line}"))
}

fn joined(first: &Path, more: &[PathBuf]) -> Result<Overhead> {
    let mut found = Overhead::read(first)?;
    for file in more {
        found.join(Overhead::read(file)?);
    }
    Ok(found)
}

fn over(found: &Overhead, limit: f64) -> Vec<String> {
    let own = found.recorders.iter().filter(|recorder| recorder.name == "retroscope");
    let results = own.flat_map(|recorder| &recorder.results).filter(|result| result.ratio > limit);
    results.map(|r| format!("{}: {:.2} times the bare run, more than {limit}", r.workload.name(), r.ratio)).collect()
}

#[derive(Debug, clap::Args)]
pub struct WorkloadArgs {
    #[arg(value_enum)]
    workload: Workload,
    /// Directory that it was prepared in
    dir: PathBuf,
    #[arg(long, default_value_t = 1.0, value_parser = scale)]
    scale: f64,
    /// Write the measurement to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    result: Option<PathBuf>,
    /// Make what it needs in the directory first
    #[arg(long)]
    prepare: bool,
}

pub fn workload(args: &WorkloadArgs) -> Result<Outcome> {
    if args.prepare {
        args.workload.prepare(&args.dir)?;
    }
    let text = json(&args.workload.run(&args.dir, args.scale)?);
    let Some(file) = &args.result else { return Ok(Outcome { text, failed: Vec::new() }) };
    std::fs::write(file, text)
        .map_err(|error| Error::Workload { name: args.workload.name(), reason: error.to_string() })?;
    Ok(Outcome { text: String::new(), failed: Vec::new() })
}

#[derive(Debug, clap::Args)]
pub struct NamedArgs {
    /// Directory of a recording
    recording: String,
    /// A file that was opened, or a program that was executed
    path: String,
}

pub fn named(args: &NamedArgs) -> Result<Outcome> {
    let count = named::count(&Recording::find(&args.recording)?, &args.path)?;
    Ok(Outcome { text: format!("{count}\n"), failed: Vec::new() })
}
