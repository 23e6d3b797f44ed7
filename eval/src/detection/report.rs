//! What the benchmark says, with everything that a table or a file needs.

use std::collections::BTreeMap;

use replay::config::Config;
use serde::Serialize;

use super::bench::{Parts, Results};
use super::choice;
use super::confusion::{Confusion, confusion};
use super::interval::{Interval, intervals};
use super::methods::{Group, Method};
use super::metrics::{Counts, Metrics, measure};
use super::outcome::Outcome;
use super::stide::Alphabet;
use crate::Result;

#[derive(Debug, Serialize)]
pub struct Report {
    pub learned_from: Vec<String>,
    pub validation: Vec<String>,
    /// h
    pub validation_container_hours: f64,
    pub test: Vec<String>,
    /// Seeds of the recordings of test.
    pub seeds: Vec<u64>,
    pub stide_alphabet: Alphabet,
    pub budgets: Vec<Budget>,
    pub methods: Vec<MethodReport>,
}

/// How many false alerts validation may have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Budget {
    pub per_container_hour: f64,
    /// That many in all of validation, rounded down.
    pub allowed: u64,
}

#[derive(Debug, Serialize)]
pub struct MethodReport {
    pub name: &'static str,
    pub group: Group,
    pub about: &'static str,
    pub settings: &'static [&'static str],
    /// At the cut-off that the method comes with, if it has one.
    pub own: Option<Point>,
    /// At the cut-off chosen on validation, for each budget. The first is the one that tables show.
    pub chosen: Vec<Point>,
}

/// A cut-off, and what the method does on test there.
#[derive(Debug, Serialize)]
pub struct Point {
    pub cut_off: f64,
    pub validation_false_alerts: u64,
    pub metrics: Metrics,
    /// Bootstrap, 95 %.
    pub intervals: BTreeMap<&'static str, Interval>,
    /// Of the detection rate, 95 % after Wilson: a bootstrap of nothing but hits has no width.
    pub detection_rate_wilson: Option<Interval>,
    pub seeds: Vec<Seed>,
    pub spread: Option<Spread>,
    pub confusion: Confusion,
    pub acts: Vec<ActRow>,
    /// In `recordings.parquet` alone.
    #[serde(skip)]
    pub recordings: Vec<RecordingRow>,
}

/// The runs of one seed.
#[derive(Debug, Serialize)]
pub struct Seed {
    pub seed: u64,
    pub recordings: u64,
    pub detection_rate: Option<f64>,
    pub false_alerts_per_container_hour: Option<f64>,
    pub event_f1: Option<f64>,
}

/// Mean and standard deviation over seeds; of at least two.
#[derive(Debug, Serialize)]
pub struct Spread {
    pub detection_rate: [f64; 2],
    pub false_alerts_per_container_hour: [f64; 2],
}

#[derive(Clone, Debug, Serialize)]
pub struct ActRow {
    pub recording: String,
    pub scenario: Option<String>,
    pub seed: Option<u64>,
    pub act: String,
    pub stealth: Option<&'static str>,
    pub techniques: Vec<String>,
    pub events: u64,
    pub detected: bool,
    /// Event time from the act's first event, s.
    pub after_s: Option<f64>,
    /// The highest score of an alert that shows it, raised or not.
    pub highest: f64,
    pub technique_labelled: Option<String>,
    pub technique_alert: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct RecordingRow {
    pub recording: String,
    pub scenario: Option<String>,
    pub seed: Option<u64>,
    pub container_hours: f64,
    pub acts: u64,
    pub detected: u64,
    pub true_alerts: u64,
    pub false_alerts: u64,
    pub false_bursts: u64,
    /// True positives, false positives, false negatives, true negatives.
    pub events: [u64; 4],
    pub processes: [u64; 4],
}

/// Chooses, and measures. `budgets`: false alerts per container hour of validation; at least one.
///
/// # Errors
/// A configuration of a method that is not one.
pub fn report(
    parts: &Parts<'_>,
    results: &Results,
    methods: &[&'static Method],
    config: &Config,
    budgets: &[f64],
) -> Result<Report> {
    let names = |part: &[&(String, datasets::Recording)]| part.iter().map(|(name, _)| name.clone()).collect();
    let hours = results
        .validation
        .first()
        .map_or(0.0, |outcomes| outcomes.iter().map(|outcome| outcome.facts.container_hours).sum());
    let budgets: Vec<Budget> = budgets
        .iter()
        .map(|per_hour| Budget { per_container_hour: *per_hour, allowed: (per_hour * hours).floor() as u64 })
        .collect();
    let mut seeds: Vec<u64> =
        results.test.first().into_iter().flatten().filter_map(|outcome| outcome.facts.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let mut reports = Vec::new();
    for (at, method) in methods.iter().enumerate() {
        let validation: Vec<&Outcome> = results.validation[at].iter().collect();
        let test: Vec<&Outcome> = results.test[at].iter().collect();
        let own = method.own_cut_off(&super::bench::over(config, method.sets)?);
        let chosen = budgets.iter().map(|budget| choice::choose(&validation, method.resolution(), budget.allowed));
        reports.push(MethodReport {
            name: method.name,
            group: method.group,
            about: method.about,
            settings: method.sets,
            own: own.map(|cut_off| point(&validation, &test, cut_off, &seeds)),
            chosen: chosen.map(|cut_off| point(&validation, &test, cut_off, &seeds)).collect(),
        });
    }
    Ok(Report {
        learned_from: names(&parts.lives),
        validation: names(&parts.validation),
        validation_container_hours: hours,
        test: names(&parts.test),
        seeds,
        stide_alphabet: results.alphabet,
        budgets,
        methods: reports,
    })
}

fn point(validation: &[&Outcome], test: &[&Outcome], cut_off: f64, seeds: &[u64]) -> Point {
    let metrics = measure(test, cut_off);
    let rate = replay::ablate::Rate { hits: metrics.detected as usize, all: metrics.acts as usize };
    let wilson = (metrics.acts > 0).then(|| replay::ablate::wilson(rate));
    let seeds: Vec<Seed> = seeds.iter().map(|seed| of_seed(test, cut_off, *seed)).collect();
    Point {
        cut_off,
        validation_false_alerts: choice::false_alerts(validation, cut_off),
        metrics,
        intervals: intervals(test, cut_off),
        detection_rate_wilson: wilson.map(|interval| [interval.low, interval.high]),
        spread: spread(&seeds),
        seeds,
        confusion: confusion(test, cut_off),
        acts: test.iter().flat_map(|outcome| acts(outcome, cut_off)).collect(),
        recordings: test.iter().map(|outcome| recording(outcome, cut_off)).collect(),
    }
}

fn of_seed(test: &[&Outcome], cut_off: f64, seed: u64) -> Seed {
    let runs = test.iter().filter(|outcome| outcome.facts.seed == Some(seed));
    let mut sum = Counts::default();
    let mut recordings = 0;
    for outcome in runs {
        sum.add(&Counts::of(outcome, cut_off));
        recordings += 1;
    }
    Seed {
        seed,
        recordings,
        detection_rate: sum.detection_rate(),
        false_alerts_per_container_hour: sum.false_per_hour(),
        event_f1: sum.events.f1(),
    }
}

fn spread(seeds: &[Seed]) -> Option<Spread> {
    let of = |value: fn(&Seed) -> Option<f64>| -> Option<[f64; 2]> {
        let values: Vec<f64> = seeds.iter().filter_map(value).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (values.len() >= 2).then(|| [mean, (squares / (n - 1.0)).sqrt()])
    };
    Some(Spread {
        detection_rate: of(|seed| seed.detection_rate)?,
        false_alerts_per_container_hour: of(|seed| seed.false_alerts_per_container_hour)?,
    })
}

fn acts(outcome: &Outcome, cut_off: f64) -> Vec<ActRow> {
    let facts = &outcome.facts;
    let rows = facts.acts.iter().zip(outcome.detected(cut_off)).enumerate().map(|(at, (act, detected))| ActRow {
        recording: facts.recording.clone(),
        scenario: facts.scenario.clone(),
        seed: facts.seed,
        act: act.act.clone(),
        stealth: act.stealth,
        techniques: act.techniques.clone(),
        events: act.events,
        detected: detected.is_some(),
        after_s: detected.as_ref().map(|detected| detected.after_s),
        highest: outcome.highest(at),
        technique_labelled: detected.as_ref().and_then(|detected| act.techniques.get(detected.technique).cloned()),
        technique_alert: detected.and_then(|detected| outcome.alerts[detected.alert].technique.clone()),
    });
    rows.collect()
}

fn recording(outcome: &Outcome, cut_off: f64) -> RecordingRow {
    let counts = Counts::of(outcome, cut_off);
    let four = |confusion: super::metrics::Confusion| [confusion.tp, confusion.fp, confusion.fn_, confusion.tn];
    RecordingRow {
        recording: outcome.facts.recording.clone(),
        scenario: outcome.facts.scenario.clone(),
        seed: outcome.facts.seed,
        container_hours: counts.container_hours,
        acts: counts.acts,
        detected: counts.detected,
        true_alerts: counts.true_alerts,
        false_alerts: counts.false_alerts,
        false_bursts: counts.false_bursts,
        events: four(counts.events),
        processes: four(counts.processes),
    }
}
