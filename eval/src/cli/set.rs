//! `eval set`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use datasets::{Recording, Split, Splits};
use eval::error::{Error, Result};
use eval::set::{Plan, Report, Row, Said, survey};
use replay::cli::FailOn;
use replay::engines::Severity;

use super::text::{NONE, count, or_none, table};
use super::{Outcome, SplitName, json};

const EXAMPLES: &str = "Examples:\n  \
    eval set                                        the recordings that ship, as a table\n  \
    eval set --only port-scan xmrig --format json\n  \
    eval set datasets/full --config out/tune/chosen.toml";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder that holds the recordings [default: those that ship]
    folder: Option<PathBuf>,
    /// What it is tried on
    #[arg(long, value_enum, default_value = "test")]
    split: SplitName,
    /// The file that says which seeds are for what [default: the project's datasets/splits.toml]
    #[arg(long, value_name = "FILE")]
    splits: Option<PathBuf>,
    /// Try it on recordings of these scenarios alone
    #[arg(long, num_args = 1.., value_name = "NAME")]
    only: Vec<String>,
    /// Severity from which an act counts as found, and an alert without an act as false
    #[arg(long, value_enum, value_name = "SEVERITY", default_value = "medium")]
    at: FailOn,
    /// Replay with this configuration, a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Replay with this configuration value; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = SetFormat::Table)]
    format: SetFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SetFormat {
    /// For people
    Table,
    /// For programs: one JSON document
    Json,
    /// For documents; names link to NAME/card.md
    Markdown,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let splits = match &args.splits {
        Some(path) => Splits::read(path)?,
        None => Splits::shipped()?,
    };
    let plan = Plan {
        recordings: recordings(args.folder.as_deref())?,
        splits: &splits,
        split: Split::from(args.split),
        only: &args.only,
        at: Severity::from(args.at),
        config: args.config.as_deref(),
        sets: &args.sets,
    };
    for (_, recording) in
        plan.recordings.iter().filter(|(_, one)| splits.of_recording(one.manifest()) == Some(plan.split))
    {
        if let Some(why) = eval::tune::provenance::overlap(args.config.as_deref(), recording)? {
            eprintln!("warning: {why}");
            break;
        }
    }
    let report = survey(&plan, &|line| eprintln!("{line}"))?;
    let text = match args.format {
        SetFormat::Json => json(&report),
        SetFormat::Table => render(&report),
        SetFormat::Markdown => markdown(&report),
    };
    Ok(Outcome { text, failed: Vec::new() })
}

/// By their folders' names.
pub(super) fn recordings(folder: Option<&Path>) -> Result<Vec<(String, Recording)>> {
    let Some(folder) = folder else {
        let named = |name: String| Recording::shipped(&name).map(|recording| (name, recording));
        return datasets::shipped_names().into_iter().map(named).collect::<Result<_, _>>().map_err(Error::from);
    };
    let unreadable = |error| Error::Set { reason: format!("{}: {error}", folder.display()) };
    let mut found = Vec::new();
    for entry in folder.read_dir().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.path().join("manifest.json").is_file() {
            found.push((entry.file_name().to_string_lossy().into_owned(), Recording::open(entry.path())?));
        }
    }
    if found.is_empty() {
        return Err(Error::Set { reason: format!("{}: no recording in it", folder.display()) });
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

const HEADER: [&str; 15] = [
    "recording",
    "how",
    "life",
    "events",
    "labelled",
    "s",
    "kB",
    "by itself: found",
    "severity",
    "after",
    "false",
    "with the lives: found",
    "severity",
    "after",
    "false",
];
/// So many columns are text.
const LEFT: usize = 3;

fn cells(row: &Row) -> Vec<String> {
    let life = row.life.as_deref().map(|life| life.rsplit('/').next().unwrap_or(life).to_owned());
    let mut cells = vec![
        row.name.clone(),
        row.stealth.unwrap_or(NONE).to_owned(),
        or_none(life),
        count(row.events),
        count(row.labelled_events),
        format!("{:.0}", row.duration_s),
        count(row.bytes.div_ceil(1000)),
    ];
    cells.extend([&row.by_itself, &row.with_baseline].into_iter().flat_map(outcome));
    cells
}

fn outcome(said: &Said) -> [String; 4] {
    let found = match (said.acts, said.found) {
        (0, _) => NONE.to_owned(),
        (1, 0) => "missed".to_owned(),
        (1, _) => "found".to_owned(),
        (acts, found) => format!("{found} of {acts}"),
    };
    [
        found,
        said.severity.unwrap_or(NONE).to_owned(),
        or_none(said.time_to_detect_s.map(after)),
        count(said.false_alerts),
    ]
}

pub(super) fn after(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}

const TOTALS: [&str; 8] =
    ["all", "recordings", "container hours", "acts", "by itself: found", "false", "with the lives: found", "false"];

fn totals(report: &Report) -> Vec<Vec<String>> {
    let row = |(kind, total): (&&str, &eval::set::Total)| {
        vec![
            (*kind).to_owned(),
            count(total.recordings),
            format!("{:.2}", total.container_hours),
            count(total.acts),
            count(total.found_by_itself),
            count(total.false_alerts_by_itself),
            count(total.found_with_baseline),
            count(total.false_alerts_with_baseline),
        ]
    };
    report.totals.iter().map(row).collect()
}

fn about(report: &Report) -> String {
    format!(
        "Split {}; found and false: at {} or above. Learned from: {}.",
        report.split,
        report.detected_at,
        report.learned_from.join(", ")
    )
}

fn render(report: &Report) -> String {
    let rows: Vec<_> = report.recordings.iter().map(cells).collect();
    format!("{}\n\n{}\n{}", about(report), table(&HEADER, &rows, LEFT), table(&TOTALS, &totals(report), 1))
}

fn markdown(report: &Report) -> String {
    let rows = report.recordings.iter().map(|row| {
        let mut cells = cells(row);
        cells[0] = format!("[{0}]({0}/card.md)", row.name);
        cells
    });
    format!("{}\n\n{}\n{}", about(report), pipes(&HEADER, rows, LEFT), pipes(&TOTALS, totals(report).into_iter(), 1))
}

/// A Markdown table.
pub(super) fn pipes(header: &[&str], rows: impl Iterator<Item = Vec<String>>, left: usize) -> String {
    let mut out = format!("| {} |\n|", header.join(" | "));
    for at in 0..header.len() {
        out.push_str(if at < left { "---|" } else { "--:|" });
    }
    out.push('\n');
    for row in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    out
}
