//! `eval tune`

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use datasets::Splits;
use eval::error::{Error, Result};
use eval::tune::metrics::Metrics;
use eval::tune::recordings;
use eval::tune::sampler::Method;
use eval::tune::space::Parameter;
use eval::tune::{Plan, Progress, Report, Trial, draw};
use indicatif::{ProgressBar, ProgressStyle};
use replay::cli::FailOn;
use replay::engines::Severity;

use super::text::{NONE, clean, count, or_none, percent, table};
use super::{Format, Outcome, json};

const EXAMPLES: &str = "Examples:\n  \
    eval tune --grid severity.medium=30,40,50 --grid convergence.rule=window,timer\n  \
    eval tune --range args.grammar.accept=0..0.5 --range args.grammar.reject=0.5..1 --trials 1000\n  \
    eval tune datasets/full --range severity.high=40..80 --method bayes --trials 1000\n  \
    replay rec/ --config out/tune/chosen.toml       with what was chosen";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Recordings, or folders of recordings, by path or name [default: those that ship]. Test is left alone; ordinary life of
    /// train is learned from
    recordings: Vec<String>,
    /// A configuration key with the values to try, as convergence.rule=window,timer; may be repeated
    #[arg(long, value_name = "KEY=A,B,C")]
    grid: Vec<String>,
    /// A key with the range to try, as severity.high=40..80; :log at its end for even steps of the logarithm. May be repeated
    #[arg(long, value_name = "KEY=LOW..HIGH")]
    range: Vec<String>,
    /// How values are chosen [default: grid, or random where there is a --range]
    #[arg(long, value_enum)]
    method: Option<MethodName>,
    /// Configurations to try [default: 100, of a grid all]
    #[arg(long, value_name = "N")]
    trials: Option<usize>,
    /// Values that a grid has of a --range
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..))]
    steps: u16,
    /// The same seed tries the same values
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Severity from which an act counts as found, and an alert without an act as false
    #[arg(long, value_enum, value_name = "SEVERITY", default_value = "medium")]
    at: FailOn,
    /// False alerts that one missed act weighs as much as: what is searched for, and chosen by
    #[arg(long, value_name = "ALERTS", default_value_t = 10.0, value_parser = parse_cost)]
    miss_cost: f64,
    /// Compare each recording with what it taught itself, instead of with a baseline
    #[arg(long)]
    by_itself: bool,
    /// Start from this configuration, a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Start from this configuration value; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// The file that says which seeds are for what [default: the project's datasets/splits.toml]
    #[arg(long, value_name = "FILE")]
    splits: Option<PathBuf>,
    /// Folder for trials.jsonl, front.svg, chosen.toml and what was learned
    #[arg(short, long, value_name = "DIR", default_value = "out/tune")]
    output: PathBuf,
    /// Begin anew, also where the folder has a sweep
    #[arg(long)]
    fresh: bool,
    /// Worker threads; 0: one per core. The result is the same for any number
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    threads: u16,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MethodName {
    /// Every combination
    Grid,
    /// Evenly at random
    Random,
    /// By a tree-structured Parzen estimator of where it was good so far
    Bayes,
}

fn parse_cost(text: &str) -> std::result::Result<f64, String> {
    let cost = text.parse::<f64>().ok().filter(|cost| (0.0..=1e6).contains(cost));
    cost.ok_or_else(|| "a number from 0 to 1,000,000".to_owned())
}

pub fn run(args: Args) -> Result<Outcome> {
    let base = replay::config::load(args.config.as_deref(), &args.sets)?;
    let mut parameters = args.grid.iter().map(|text| Parameter::grid(text, &base)).collect::<Result<Vec<_>>>()?;
    for text in &args.range {
        parameters.push(Parameter::range(text, &base)?);
    }
    let mut keys: Vec<&str> = parameters.iter().map(|parameter| &*parameter.key).collect();
    keys.sort_unstable();
    if let Some(twice) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::Sweep { reason: format!("{} is there twice", twice[0]) });
    }
    if parameters.is_empty() {
        return Err(Error::Sweep { reason: "no key to sweep over: give --grid or --range".to_owned() });
    }
    let method = match args.method {
        Some(MethodName::Grid) => Method::Grid,
        Some(MethodName::Random) => Method::Random,
        Some(MethodName::Bayes) => Method::Bayes,
        None if args.range.is_empty() => Method::Grid,
        None => Method::Random,
    };
    let splits = match &args.splits {
        Some(path) => Splits::read(path)?,
        None => Splits::shipped()?,
    };
    let chosen = recordings::choose(&args.recordings, &splits)?;
    if chosen.left_out > 0 {
        eprintln!("{} recordings of test are left alone", chosen.left_out);
    }
    let plan = Plan {
        recordings: chosen,
        by_itself: args.by_itself,
        config: args.config.as_deref(),
        sets: &args.sets,
        parameters: parameters.clone(),
        method,
        trials: args.trials,
        steps: args.steps.into(),
        seed: args.seed,
        at: Severity::from(args.at),
        miss_cost: args.miss_cost,
        folder: &args.output,
        fresh: args.fresh,
        threads: args.threads.into(),
        command: command(),
    };
    let mut shown = Shown::new();
    let (report, trials) = eval::tune::run(plan, &|line| eprintln!("{line}"), &mut |progress| shown.see(progress))?;
    shown.end();
    let acts = report.first.metrics.as_ref().map_or(0, |metrics| metrics.acts);
    if acts < FEW_ACTS {
        eprintln!("warning: {acts} acts are too few to choose by: what says least looks best");
        eprintln!("hint: give a folder with attacks of validation; ./dev datasets --full records each");
    }
    let svg =
        draw(&report, &trials).map_err(|error| Error::Run { what: "the picture".into(), reason: error.to_string() })?;
    let picture = args.output.join("front.svg");
    std::fs::write(&picture, svg).map_err(|source| Error::Output { path: picture.clone(), source })?;
    let text = match args.format {
        Format::Json => json(&report),
        Format::Table => render(&report, &parameters, &picture),
    };
    Ok(Outcome { text, failed: Vec::new() })
}

/// With fewer acts, a share of them tells next to nothing: at 20, one more or less is 5 %.
const FEW_ACTS: u64 = 20;

/// As it was typed, without the place of the program.
fn command() -> String {
    let args: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    format!("eval {}", args.join(" "))
}

/// A bar on a terminal; elsewhere a line every ten seconds.
struct Shown {
    bar: Option<ProgressBar>,
    last: Instant,
}

const EVERY: Duration = Duration::from_secs(10);

impl Shown {
    fn new() -> Self {
        Shown { bar: None, last: Instant::now() }
    }

    fn see(&mut self, progress: &Progress<'_>) {
        let best = progress
            .best
            .map(|best| format!("best: {} of {} found, {} false", best.found, best.acts, best.false_alerts));
        let best = best.unwrap_or_default();
        let left = progress.left().map_or(String::new(), |left| format!("{} left", duration(left)));
        if std::io::stderr().is_terminal() {
            let bar = self.bar.get_or_insert_with(|| {
                let style = ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} configurations, {msg}");
                ProgressBar::new(progress.total as u64)
                    .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            });
            bar.set_message(format!("{left}, {best}"));
            bar.set_position(progress.done as u64);
        } else if self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            eprintln!("{} of {} configurations, {left}, {best}", progress.done, progress.total);
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn duration(left: Duration) -> String {
    match left.as_secs() {
        s if s < 100 => format!("{s} s"),
        s if s < 6000 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}

/// Rows of the front that are shown; trials.jsonl has all.
const SHOWN: usize = 20;

fn render(report: &Report, parameters: &[Parameter], picture: &Path) -> String {
    let mut out = format!(
        "Tried on {} recordings, learned from {}; found and false: at {} or above.\n",
        report.tried_on.len(),
        report.learned_from.len(),
        report.found_at
    );
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{} configurations ({} of before, {} refused) in {:.1} s, method {}, seed {}.\n",
        count(report.trials as u64),
        count(report.resumed as u64),
        count(report.refused as u64),
        report.seconds,
        report.method,
        report.seed
    );
    let mut header = vec!["", "trial"];
    header.extend(parameters.iter().map(|parameter| &*parameter.key));
    header.extend(["found", "share", "false", "per container hour", "time to detect"]);
    let mut rows: Vec<(&str, &Trial)> = vec![("chosen", &report.chosen), ("first", &report.first)];
    rows.extend(report.front.iter().take(SHOWN).map(|trial| ("front", trial)));
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(what, trial)| cells(what, trial)).collect();
    out += &table(&header, &rows, 1);
    if report.front.len() > SHOWN {
        let _ = writeln!(out, "\nand {} more of the front", report.front.len() - SHOWN);
    }
    out.push('\n');
    let stages: Vec<Vec<String>> = report
        .stages
        .iter()
        .map(|stage| {
            let each = stage.seconds * 1e3 / stage.runs.max(1) as f64;
            vec![stage.stage.to_owned(), count(stage.runs), format!("{each:.3}"), format!("{:.2}", stage.seconds)]
        })
        .collect();
    out += &table(&["stage", "runs", "ms each", "s in all"], &stages, 1);
    let _ = writeln!(
        out,
        "\n{} and {}; replay --config {}",
        report.config.display(),
        picture.display(),
        report.config.display()
    );
    out
}

fn cells(what: &str, trial: &Trial) -> Vec<String> {
    let mut cells = vec![what.to_owned(), count(trial.number as u64)];
    cells.extend(trial.values.iter().map(|value| clean(value)));
    match &trial.metrics {
        Some(metrics) => cells.extend(figures(metrics)),
        None => cells.extend([NONE, NONE, NONE, NONE, NONE].map(str::to_owned)),
    }
    cells
}

fn figures(metrics: &Metrics) -> [String; 5] {
    [
        format!("{} of {}", metrics.found, metrics.acts),
        percent(metrics.detection_rate()),
        count(metrics.false_alerts),
        or_none(metrics.false_alerts_per_container_hour().map(|rate| format!("{rate:.2}"))),
        or_none(metrics.median_time_to_detect().map(|s| format!("{s:.3} s"))),
    ]
}
