//! `eval detect`

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::ValueEnum;
use datasets::{Recording, Split, Splits};
use eval::alerts;
use eval::detect::{Act, Detection, Flagging, SeverityCount, Threshold, detect};
use eval::error::{Error, Result};
use replay::cli::FailOn;
use replay::engines::Severity;

use super::set::SetFormat;
use super::text::{clean, count, or_none, percent, table};
use super::{Outcome, SplitName, detect_all, json};

const EXAMPLES: &str = "Examples:\n  \
    eval detect xmrig                               replay a shipped recording, compare with its labels\n  \
    eval detect rec/ --alerts out/rec               the same with alerts that `replay rec/ -o out/rec` wrote\n  \
    eval detect xmrig --fail-under 1 --fail-over 0  as a check: every act found at high, no false alert there\n  \
    eval detect --all --methods retroscope,rules-alone -o out/detect";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of a recording, or the name of a shipped one [default: xmrig]; with --all a folder of recordings
    recording: Option<String>,
    /// Directory that `replay RECORDING -o DIR` wrote; without it the recording is replayed now
    #[arg(long, value_name = "DIR", conflicts_with_all = ["learn", "config", "sets"])]
    alerts: Option<PathBuf>,
    /// Replay with this baseline (a recording, or a saved profile.json)
    #[arg(long, value_name = "BASELINE")]
    learn: Option<String>,
    /// Replay with this configuration, a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Replay with this configuration value; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Refuse a recording that is not of this split
    #[arg(long, value_enum)]
    split: Option<SplitName>,
    /// The file that says which seeds are for what [default: the project's datasets/splits.toml]
    #[arg(long, value_name = "FILE")]
    splits: Option<PathBuf>,
    /// Which events an alert flags
    #[arg(long, value_enum, default_value_t = Flag::Process)]
    flag: Flag,
    /// Severity from which an act counts as detected; also what the two checks look at
    #[arg(long, value_enum, value_name = "SEVERITY", default_value = "high")]
    at: FailOn,
    /// Exit with 1 if a smaller share of the acts is detected, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    fail_under: Option<f64>,
    /// Exit with 1 if there are more false alerts
    #[arg(long, value_name = "COUNT")]
    fail_over: Option<u64>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = SetFormat::Table)]
    format: SetFormat,
    /// Benchmark a whole set: learn on train, choose on validation, report on test
    #[arg(long, conflicts_with_all = ["alerts", "learn", "split", "flag", "at", "fail_under", "fail_over"])]
    all: bool,
    #[command(flatten)]
    set: detect_all::Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Flag {
    /// Its evidence, and every event of the process incarnation that it is about
    Process,
    /// Its evidence alone
    Evidence,
}

fn parse_share(text: &str) -> std::result::Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a number from 0 to 1".to_owned())
}

pub fn run(args: &Args) -> Result<Outcome> {
    if args.all {
        let folder = args.recording.as_ref().map(PathBuf::from);
        return detect_all::run(
            folder,
            args.splits.as_deref(),
            args.config.as_deref(),
            &args.sets,
            args.format,
            &args.set,
        );
    }
    let recording = Recording::find(args.recording.as_deref().unwrap_or("xmrig"))?;
    let split = check_splits(args, &recording)?;
    if let Some(why) = eval::tune::provenance::overlap(args.config.as_deref(), &recording)? {
        eprintln!("warning: {why}");
    }
    let alerts = match &args.alerts {
        Some(dir) => alerts::read(dir, &recording)?,
        None => alerts::replay_now(&options(args, &recording))?,
    };
    let flagging = match args.flag {
        Flag::Process => Flagging::Process,
        Flag::Evidence => Flagging::Evidence,
    };
    let mut found = detect(&recording, &alerts, flagging, Severity::from(args.at))?;
    found.split = split.map(Split::name);
    let failed = failed(args, &found, &recording)?;
    let text = match args.format {
        SetFormat::Json => json(&found),
        SetFormat::Table => render(&found),
        SetFormat::Markdown => {
            return Err(Error::Usage { reason: "--format markdown is there with --all alone".to_owned() });
        }
    };
    Ok(Outcome { text, failed })
}

/// What the recording is for. Refuses one of another split than asked for, and a baseline that is not there to learn from.
fn check_splits(args: &Args, recording: &Recording) -> Result<Option<Split>> {
    let splits = match &args.splits {
        Some(path) => Splits::read(path)?,
        None => Splits::shipped()?,
    };
    let split = splits.of_recording(recording.manifest());
    if let Some(wanted) = args.split.map(Split::from).filter(|wanted| split != Some(*wanted)) {
        let found = split.map_or("no split".to_owned(), |split| format!("the split {split}"));
        return Err(Error::OtherSplit { path: recording.dir().to_owned(), found, wanted: wanted.name() });
    }
    // A saved profile does not say what it was learned from; what is no recording either, the replay refuses.
    let baseline = args.learn.as_ref().and_then(|name| Recording::find(name).ok().map(|baseline| (name, baseline)));
    if let Some((name, baseline)) = baseline {
        let may = splits.may_learn(baseline.manifest(), recording.manifest());
        may.map_err(|reason| Error::Snooped { baseline: name.clone(), reason })?;
    }
    Ok(split)
}

/// The replay of the recording that was found, whatever its name.
fn options(args: &Args, recording: &Recording) -> replay::cli::Replay {
    replay::cli::Replay {
        recording: Some(recording.dir().to_string_lossy().into_owned()),
        learn: args.learn.clone(),
        config: args.config.clone(),
        sets: args.sets.clone(),
        ..replay::cli::Replay::default()
    }
}

fn failed(args: &Args, found: &Detection, recording: &Recording) -> Result<Vec<String>> {
    let mut failed = Vec::new();
    if let Some(least) = args.fail_under {
        let rate = found.detection_rate().ok_or_else(|| Error::NoTruth { path: recording.dir().to_owned() })?;
        if rate < least {
            failed.push(format!("{rate:.3} of the acts detected at {} or above, wanted {least}", found.detected_at));
        }
    }
    if let Some(most) = args.fail_over.filter(|most| found.false_alerts() > *most) {
        let n = found.false_alerts();
        failed.push(format!("{n} false alerts at {} or above, wanted at most {most}", found.detected_at));
    }
    Ok(failed)
}

fn render(found: &Detection) -> String {
    let mut out = format!("{}\n", clean(&found.recording));
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "  {} events: {} malicious, {} benign; {:.3} container hours; {} alerts",
        count(found.events),
        count(found.malicious_events),
        count(found.benign_events),
        found.container_hours,
        count(found.alerts),
    );
    if let Some(split) = found.split {
        let _ = writeln!(out, "  Split: {split}.");
    }
    if !found.labelled {
        let _ = writeln!(out, "  No ground truth: every event counts as benign.");
    }
    if found.ambiguous_events > 0 {
        let _ = writeln!(
            out,
            "  {} ambiguous events count nowhere; {} alerts of nothing else are neither true nor false.",
            count(found.ambiguous_events),
            count(found.undecided_alerts),
        );
    }
    if found.early_alerts > 0 {
        let n = count(found.early_alerts);
        let _ = writeln!(out, "  {n} alerts with evidence of an act were raised before it began: they are false.");
    }
    if found.labels_without_event > 0 {
        let _ = writeln!(out, "  {} labels name no event and count nowhere.", count(found.labels_without_event));
    }
    if !found.acts.is_empty() {
        let rows: Vec<_> = found.acts.iter().map(act).collect();
        let header = ["act", "technique", "detected", "by", "severity", "highest", "events", "time to detect"];
        let _ = write!(out, "\nActs, detected at {} or above\n{}", found.detected_at, table(&header, &rows, 6));
    }
    let rule = match found.flagging {
        Flagging::Process => "flagged = evidence of an alert, or done by the process it is about",
        Flagging::Evidence => "flagged = evidence of an alert",
    };
    let rows: Vec<_> = found.thresholds.iter().map(threshold).collect();
    let header = ["alerts from", "flagged", "malicious", "benign", "missed", "precision", "recall"];
    let _ = write!(out, "\nEvents ({rule})\n{}", table(&header, &rows, 1));
    let rows: Vec<_> = found.severities.iter().map(severity).collect();
    let header = ["severity", "alerts", "true", "false", "false/benign event", "false/container hour"];
    let _ = write!(
        out,
        "\nAlerts (true = at least one row of its evidence is malicious, and the act had begun)\n{}",
        table(&header, &rows, 1)
    );
    out
}

fn act(act: &Act) -> Vec<String> {
    vec![
        clean(&act.act),
        clean(&act.techniques.join(" ")),
        if act.detected { "yes" } else { "no" }.to_owned(),
        or_none(act.detected_by.as_deref().map(clean)),
        or_none(act.severity.map(str::to_owned)),
        or_none(act.highest.map(str::to_owned)),
        count(act.events),
        or_none(act.time_to_detect_s.map(|s| format!("{s:.6} s"))),
    ]
}

fn threshold(threshold: &Threshold) -> Vec<String> {
    vec![
        threshold.at_or_above.to_owned(),
        count(threshold.flagged),
        count(threshold.true_positives),
        count(threshold.false_positives),
        count(threshold.false_negatives),
        percent(threshold.precision),
        percent(threshold.recall),
    ]
}

fn severity(severity: &SeverityCount) -> Vec<String> {
    vec![
        severity.severity.to_owned(),
        count(severity.alerts),
        count(severity.true_alerts),
        count(severity.false_alerts),
        percent(severity.false_alerts_per_benign_event),
        or_none(severity.false_alerts_per_container_hour.map(|n| format!("{n:.2}"))),
    ]
}
