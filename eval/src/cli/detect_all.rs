//! `eval detect --all`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use datasets::Splits;
use eval::detection::bench::{self, Plan, Watch};
use eval::detection::methods::{self, Method};
use eval::detection::report::{self, Report};
use eval::detection::run_file::{self, Arguments, Files};
use eval::error::{Error, Result};
use eval::machine::Machine;
use indicatif::{ProgressBar, ProgressStyle};
use replay::config::Config;

use super::set::{SetFormat, recordings};
use super::{Outcome, detect_tables, json};

/// What goes with `--all`.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "With --all")]
pub struct Options {
    /// Of test, recordings of these scenarios alone
    #[arg(long, num_args = 1.., value_name = "NAME", requires = "all")]
    only: Vec<String>,
    /// These methods alone; "list" names them [default: all]
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "NAME", requires = "all")]
    methods: Vec<String>,
    /// False alerts per container hour that validation may have, for which a cut-off is chosen; the tables show the first
    #[arg(long, value_delimiter = ',', value_name = "N,...", default_value = "0,5,20", requires = "all")]
    false_per_hour: Vec<f64>,
    /// Write run.json, acts.parquet and recordings.parquet to this directory
    #[arg(short, long, value_name = "DIR", requires = "all")]
    output: Option<PathBuf>,
}

pub fn run(
    folder: Option<PathBuf>,
    splits: Option<&Path>,
    file: Option<&Path>,
    sets: &[String],
    format: SetFormat,
    options: &Options,
) -> Result<Outcome> {
    if options.methods.iter().any(|name| name == "list") {
        let lines = methods::ALL.iter().map(|method| format!("{:<20} {}\n", method.name, method.about));
        return Ok(Outcome { text: lines.collect(), failed: Vec::new() });
    }
    if options.false_per_hour.iter().any(|n| !n.is_finite() || *n < 0.0) || options.false_per_hour.is_empty() {
        return Err(Error::Usage { reason: "--false-per-hour: numbers from 0 on".to_owned() });
    }
    let config = replay::config::load(file, sets)?;
    let arguments = Arguments {
        folder,
        splits: splits.map(Path::to_owned),
        only: options.only.clone(),
        methods: options.methods.clone(),
        false_per_hour: options.false_per_hour.clone(),
    };
    let done = bench(&arguments, &config, file)?;
    if let Some(dir) = &options.output {
        done.files.write(dir)?;
    }
    let text = match format {
        SetFormat::Json => json(&done.report),
        SetFormat::Table => detect_tables::terminal(&done.report),
        SetFormat::Markdown => detect_tables::markdown(&done.report),
    };
    Ok(Outcome { text, failed: Vec::new() })
}

/// What came of a benchmark.
pub struct Done {
    pub report: Report,
    pub files: Files,
}

/// Runs one, with a progress bar on a terminal. `file`: of the configuration, to see what it was tuned on.
pub fn bench(arguments: &Arguments, config: &Config, file: Option<&Path>) -> Result<Done> {
    let recordings = recordings(arguments.folder.as_deref())?;
    let splits = match &arguments.splits {
        Some(path) => Splits::read(path)?,
        None => Splits::shipped()?,
    };
    let methods = chosen(&arguments.methods)?;
    let plan = Plan { recordings: &recordings, splits: &splits, only: &arguments.only, methods: &methods, config };
    let parts = plan.parts()?;
    for (_, recording) in &parts.test {
        if let Some(why) = eval::tune::provenance::overlap(file, recording)? {
            eprintln!("warning: {why}");
            break;
        }
    }
    let machine = Machine::look();
    let bar = Bar(bar());
    let results = bench::run(&plan, &parts, &bar)?;
    bar.0.set_message("intervals");
    let report = report::report(&parts, &results, &methods, config, &arguments.false_per_hour)?;
    let curves = eval::detection::curve::curves(&results, &methods);
    bar.0.finish_and_clear();
    let used = parts.lives.iter().chain(&parts.validation).chain(&parts.test);
    let inputs = run_file::inputs(used.copied())?;
    let files = Files::new(arguments, config, &results.model, &inputs, &machine, &report, &curves)?;
    Ok(Done { report, files })
}

fn chosen(names: &[String]) -> Result<Vec<&'static Method>> {
    let find = |name: &String| {
        methods::ALL
            .iter()
            .find(|method| method.name == name)
            .ok_or_else(|| Error::Usage { reason: format!("no method is called {name:?}; --methods list names them") })
    };
    if names.is_empty() { Ok(methods::ALL.iter().collect()) } else { names.iter().map(find).collect() }
}

struct Bar(ProgressBar);

fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {percent} %, {eta} left: {msg}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

impl Watch for Bar {
    fn begin(&self, events: u64) {
        self.0.set_length(events);
    }

    fn doing(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    fn done(&self, events: u64) {
        self.0.inc(events);
    }
}
