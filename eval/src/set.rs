//! What a replay says of each recording of a set: by itself, and with what the set's ordinary lives teach.
//!
//! The baseline is the union of what is learned from each recording of train that shows no attack. It is tried on the recordings of
//! another split (or of train, to see what was learned), and [`Splits::may_learn`] has to allow each pair.

use std::collections::BTreeMap;
use std::path::Path;

use datasets::{Recording, Split, Splits};
use replay::config::Config;
use replay::engines::Severity;
use replay::profile::Profile;
use scenarios::definition::Stealth;
use serde::Serialize;

use crate::alerts::{self, AlertRow};
use crate::detect::{Detection, Flagging, detect};
use crate::{Error, Result};

/// What to do.
pub struct Plan<'a> {
    pub recordings: Vec<(String, Recording)>,
    pub splits: &'a Splits,
    pub split: Split,
    /// Tried on recordings of these scenarios alone; empty: all.
    pub only: &'a [String],
    /// An act is found, and an alert is counted, from this severity on.
    pub at: Severity,
    /// As `replay --config` and `--set`.
    pub config: Option<&'a Path>,
    pub sets: &'a [String],
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    pub split: Split,
    pub detected_at: &'static str,
    /// The recordings that the baseline was learned from.
    pub learned_from: Vec<String>,
    pub recordings: Vec<Row>,
    /// Over all recordings, by how much the attack hides; `benign`: the lives.
    pub totals: BTreeMap<&'static str, Total>,
}

/// A recording of the split.
#[derive(Debug, Serialize)]
pub struct Row {
    pub name: String,
    pub scenario: String,
    pub seed: u64,
    /// The scenario, or the base, whose life it takes over.
    pub life: Option<String>,
    /// `loud`, `quiet` or `mimicry`; null: no attack, or the scenario is not here to ask.
    pub stealth: Option<&'static str>,
    pub events: u64,
    pub labelled_events: u64,
    /// From the first event to the last, s.
    pub duration_s: f64,
    /// Of segments and tables.
    pub bytes: u64,
    /// From first to last event, summed over containers; h.
    pub container_hours: f64,
    pub by_itself: Said,
    pub with_baseline: Said,
}

/// What one replay says.
#[derive(Clone, Debug, Serialize)]
pub struct Said {
    pub acts: u64,
    /// Acts with a true alert of `detected_at` or above.
    pub found: u64,
    pub missed: Vec<String>,
    /// The highest severity of a true alert, raised or not.
    pub severity: Option<&'static str>,
    /// Of the act that was found soonest after it began: event time, s.
    pub time_to_detect_s: Option<f64>,
    /// Of `detected_at` and above.
    pub false_alerts: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Total {
    pub recordings: u64,
    pub container_hours: f64,
    pub acts: u64,
    pub found_by_itself: u64,
    pub found_with_baseline: u64,
    pub false_alerts_by_itself: u64,
    pub false_alerts_with_baseline: u64,
}

/// Replays every recording of the split twice. `say` gets a line for people before each.
///
/// # Errors
/// Those of the replay; [`Error::Snooped`]; [`Error::Set`]: nothing to learn from, or to try it on.
pub fn survey(plan: &Plan<'_>, say: &dyn Fn(&str)) -> Result<Report> {
    let config = replay::config::load(plan.config, plan.sets)?;
    let of = |split| {
        let is = move |recording: &Recording| plan.splits.of_recording(recording.manifest()) == Some(split);
        plan.recordings.iter().filter(move |(_, recording)| is(recording))
    };
    let lives: Vec<&(String, Recording)> = of(Split::Train).filter(|(_, recording)| is_benign(recording)).collect();
    let tried: Vec<&(String, Recording)> =
        of(plan.split).filter(|(_, recording)| is_wanted(recording, plan.only)).collect();
    if lives.is_empty() || tried.is_empty() {
        let reason = match lives.is_empty() {
            true => "nothing to learn from: it has no recording of train without an attack".to_owned(),
            false => format!("none of those asked for is of {}", plan.split),
        };
        return Err(Error::Set { reason });
    }
    for (name, life) in &lives {
        for (_, recording) in &tried {
            let may = plan.splits.may_learn(life.manifest(), recording.manifest());
            may.map_err(|reason| Error::Snooped { baseline: name.clone(), reason })?;
        }
    }
    let folder = tempfile::tempdir().map_err(|error| Error::output(Path::new("a temporary directory"), error))?;
    let file = folder.path().join("profile.json");
    let baseline = learn(&lives, &config, say)?;
    std::fs::write(&file, baseline.to_json()).map_err(|error| Error::output(&file, error))?;

    let known = scenarios::list().unwrap_or_default();
    let mut rows = Vec::new();
    for (i, (name, recording)) in tried.iter().enumerate() {
        say(&format!("[{}/{}] {name}", i + 1, tried.len()));
        let replayed = |learn: Option<&Path>| {
            let alerts = alerts::replay_now(&options(plan, recording, learn))?;
            judged(recording, &alerts, plan.at)
        };
        let (alone, with) = (replayed(None)?, replayed(Some(&file))?);
        let shown = recording.manifest().scenario.clone().unwrap_or_default();
        let scenario = known.iter().find(|scenario| scenario.name == shown.name);
        rows.push(row(name, recording, &shown, scenario, &alone, &with));
    }
    rows.sort_by(|a, b| order(a).cmp(&order(b)));
    Ok(Report {
        split: plan.split,
        detected_at: plan.at.name(),
        learned_from: lives.iter().map(|(name, _)| name.clone()).collect(),
        totals: totals(&rows),
        recordings: rows,
    })
}

/// Lives first, then attacks by the life they happen in.
fn order(row: &Row) -> (bool, Option<&str>, &str) {
    (row.by_itself.acts > 0, row.life.as_deref(), &row.name)
}

fn is_wanted(recording: &Recording, only: &[String]) -> bool {
    let scenario = recording.manifest().scenario.as_ref();
    only.is_empty() || scenario.is_some_and(|scenario| only.contains(&scenario.name))
}

fn is_benign(recording: &Recording) -> bool {
    recording.manifest().scenario.as_ref().is_some_and(|scenario| scenario.steps.is_empty())
}

fn learn(lives: &[&(String, Recording)], config: &Config, say: &dyn Fn(&str)) -> Result<Profile> {
    let mut baseline = Profile::default();
    for (name, life) in lives {
        say(&format!("learning from {name}"));
        baseline.merge(replay::run::learn(Recording::open(life.dir())?, config, 0)?, config);
    }
    Ok(baseline)
}

fn options(plan: &Plan<'_>, recording: &Recording, learn: Option<&Path>) -> replay::cli::Replay {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    replay::cli::Replay {
        recording: Some(text(recording.dir())),
        learn: learn.map(text),
        config: plan.config.map(Path::to_owned),
        sets: plan.sets.to_vec(),
        ..replay::cli::Replay::default()
    }
}

fn judged(recording: &Recording, alerts: &[AlertRow], at: Severity) -> Result<Detection> {
    detect(recording, alerts, Flagging::Process, at)
}

fn row(
    name: &str,
    recording: &Recording,
    shown: &datasets::Scenario,
    scenario: Option<&scenarios::Scenario>,
    alone: &Detection,
    with: &Detection,
) -> Row {
    let manifest = recording.manifest();
    let first = manifest.segments.iter().map(|segment| segment.first_ts).min().unwrap_or_default();
    let last = manifest.segments.iter().map(|segment| segment.last_ts).max().unwrap_or_default();
    let tables: u64 = manifest.tables.iter().map(|table| table.bytes).sum();
    let stealth = scenario.and_then(|scenario| scenario.acts.iter().find_map(|act| act.stealth));
    Row {
        name: name.to_owned(),
        scenario: shown.name.clone(),
        seed: shown.seed,
        life: scenario.and_then(|scenario| scenario.extends.clone()),
        stealth: stealth.filter(|_| !shown.steps.is_empty()).map(|stealth| match stealth {
            Stealth::Loud => "loud",
            Stealth::Quiet => "quiet",
            Stealth::Mimicry => "mimicry",
        }),
        events: alone.events + alone.ambiguous_events,
        labelled_events: alone.malicious_events,
        duration_s: (last - first) as f64 / 1e9,
        bytes: manifest.bytes() + tables,
        container_hours: alone.container_hours,
        by_itself: said(alone),
        with_baseline: said(with),
    }
}

fn said(found: &Detection) -> Said {
    let severities = found.acts.iter().filter_map(|act| Severity::from_name(act.highest?));
    let times = found.acts.iter().filter_map(|act| act.time_to_detect_s);
    Said {
        acts: found.acts.len() as u64,
        found: found.acts.iter().filter(|act| act.detected).count() as u64,
        missed: found.acts.iter().filter(|act| !act.detected).map(|act| act.act.clone()).collect(),
        severity: severities.max().map(Severity::name),
        time_to_detect_s: times.min_by(f64::total_cmp),
        false_alerts: found.false_alerts(),
    }
}

fn totals(rows: &[Row]) -> BTreeMap<&'static str, Total> {
    let mut totals: BTreeMap<&'static str, Total> = BTreeMap::new();
    for row in rows {
        let kind = if row.by_itself.acts == 0 { "benign" } else { row.stealth.unwrap_or("attack") };
        let total = totals.entry(kind).or_default();
        total.recordings += 1;
        total.container_hours += row.container_hours;
        total.acts += row.by_itself.acts;
        total.found_by_itself += row.by_itself.found;
        total.found_with_baseline += row.with_baseline.found;
        total.false_alerts_by_itself += row.by_itself.false_alerts;
        total.false_alerts_with_baseline += row.with_baseline.false_alerts;
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(acts: u64, found: u64, false_alerts: u64) -> Said {
        Said { acts, found, missed: Vec::new(), severity: None, time_to_detect_s: None, false_alerts }
    }

    fn row(name: &str, life: Option<&str>, stealth: Option<&'static str>, alone: Said, with: Said) -> Row {
        Row {
            name: name.to_owned(),
            scenario: name.to_owned(),
            seed: 21,
            life: life.map(str::to_owned),
            stealth,
            events: 10,
            labelled_events: 1,
            duration_s: 60.0,
            bytes: 1000,
            container_hours: 0.5,
            by_itself: alone,
            with_baseline: with,
        }
    }

    #[test]
    fn lives_come_first_and_totals_go_by_how_much_an_attack_hides() {
        let mut rows = vec![
            row("theft", Some("node"), Some("loud"), said(1, 0, 0), said(1, 1, 2)),
            row("beacon", Some("shop"), Some("quiet"), said(1, 0, 1), said(1, 0, 0)),
            row("sweep", Some("node"), Some("loud"), said(2, 1, 0), said(2, 2, 0)),
            row("node", None, None, said(0, 0, 3), said(0, 0, 4)),
        ];
        rows.sort_by(|a, b| order(a).cmp(&order(b)));
        assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["node", "sweep", "theft", "beacon"]);
        let totals = totals(&rows);
        assert_eq!(totals.keys().copied().collect::<Vec<_>>(), ["benign", "loud", "quiet"]);
        let loud = Total {
            recordings: 2,
            container_hours: 1.0,
            acts: 3,
            found_by_itself: 1,
            found_with_baseline: 3,
            false_alerts_by_itself: 0,
            false_alerts_with_baseline: 2,
        };
        assert_eq!(totals["loud"], loud);
        assert_eq!((totals["benign"].acts, totals["benign"].false_alerts_with_baseline), (0, 4));
    }
}
