//! 95 % intervals: the percentile bootstrap over recordings.
//!
//! Acts of one recording and its false alerts belong together, so whole recordings are drawn, with replacement: those with an attack
//! and those without apart, so that each resample has as many of either (Efron and Tibshirani 1993, chapters 8 and 13).

use std::collections::BTreeMap;

use super::metrics::{Counts, average_precision, pooled};
use super::outcome::Outcome;

/// Of the counts.
const RESAMPLES: usize = 2000;
/// Of the areas, which cost more.
const AREA_RESAMPLES: usize = 400;
/// The same resamples each time.
const SEED: u64 = 1;

pub type Interval = [f64; 2];

/// By metric; one that is not defined in most resamples has no interval.
pub fn intervals(outcomes: &[&Outcome], cut_off: f64) -> BTreeMap<&'static str, Interval> {
    let counts: Vec<Counts> = outcomes.iter().map(|outcome| Counts::of(outcome, cut_off)).collect();
    let strata = strata(outcomes);
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut values: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    for _ in 0..RESAMPLES {
        let mut sum = Counts::default();
        draw(&strata, &mut random, |at| sum.add(&counts[at]));
        let metrics = [
            ("detection_rate", sum.detection_rate()),
            ("alert_precision", sum.alert_precision()),
            ("false_alerts_per_container_hour", sum.false_per_hour()),
            ("event_precision", sum.events.precision()),
            ("event_recall", sum.events.recall()),
            ("event_f1", sum.events.f1()),
            ("event_mcc", sum.events.mcc()),
            ("process_precision", sum.processes.precision()),
            ("process_recall", sum.processes.recall()),
            ("process_f1", sum.processes.f1()),
            ("process_mcc", sum.processes.mcc()),
        ];
        for (name, value) in metrics {
            values.entry(name).or_default().extend(value);
        }
    }
    for _ in 0..AREA_RESAMPLES {
        let mut drawn = Vec::with_capacity(outcomes.len());
        draw(&strata, &mut random, |at| drawn.push(outcomes[at]));
        let events = average_precision(&pooled(drawn.iter().map(|outcome| &*outcome.events)));
        let processes = average_precision(&pooled(drawn.iter().map(|outcome| &*outcome.processes)));
        values.entry("event_pr_auc").or_default().extend(events);
        values.entry("process_pr_auc").or_default().extend(processes);
    }
    let least = |name: &str| if name.ends_with("_auc") { AREA_RESAMPLES / 2 } else { RESAMPLES / 2 };
    let enough = values.into_iter().filter(|(name, values)| values.len() > least(name));
    enough.map(|(name, values)| (name, percentiles(values))).collect()
}

/// Places of the recordings with an attack, and of those without.
fn strata(outcomes: &[&Outcome]) -> [Vec<usize>; 2] {
    let of = |attacked: bool| {
        let is = move |at: &usize| outcomes[*at].facts.acts.is_empty() != attacked;
        (0..outcomes.len()).filter(is).collect()
    };
    [of(true), of(false)]
}

fn draw(strata: &[Vec<usize>; 2], random: &mut fastrand::Rng, mut take: impl FnMut(usize)) {
    for stratum in strata {
        for _ in 0..stratum.len() {
            take(stratum[random.usize(..stratum.len())]);
        }
    }
}

fn percentiles(mut values: Vec<f64>) -> Interval {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    [at(0.025), at(0.975)]
}
