//! Metrics of detection, from outcomes and a cut-off. `eval/README.md` defines each with its unit.

use std::collections::BTreeMap;

use serde::Serialize;

use super::outcome::{Graded, Outcome, Standing};
use super::scored::raised_at;
use crate::overhead::stats::median;

/// False alerts of a container that follow each other within so long, with no true one between, are one burst; ns.
const BURST: i64 = 60_000_000_000;
/// The target of the time to detect, s of event time.
const SOON: f64 = 1.0;

/// Right and wrong, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    pub tp: u64,
    pub fp: u64,
    pub fn_: u64,
    pub tn: u64,
}

impl Confusion {
    pub fn of(graded: &[Graded], cut_off: f64) -> Confusion {
        let mut counts = Confusion::default();
        for Graded { score, mix } in graded {
            if *score >= cut_off {
                counts.tp += mix.malicious;
                counts.fp += mix.benign;
            } else {
                counts.fn_ += mix.malicious;
                counts.tn += mix.benign;
            }
        }
        counts
    }

    pub fn add(&mut self, other: Confusion) {
        let Confusion { tp, fp, fn_, tn } = other;
        self.tp += tp;
        self.fp += fp;
        self.fn_ += fn_;
        self.tn += tn;
    }

    pub fn precision(&self) -> Option<f64> {
        share(self.tp, self.tp + self.fp)
    }

    pub fn recall(&self) -> Option<f64> {
        share(self.tp, self.tp + self.fn_)
    }

    /// 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall; `None`: nothing malicious and nothing flagged.
    pub fn f1(&self) -> Option<f64> {
        share(2 * self.tp, 2 * self.tp + self.fp + self.fn_)
    }

    /// Matthews' correlation coefficient, -1 to 1; `None`: a margin of the table is empty.
    pub fn mcc(&self) -> Option<f64> {
        let [tp, fp, fn_, tn] = [self.tp, self.fp, self.fn_, self.tn].map(|n| n as f64);
        let margins = (tp + fp) * (tp + fn_) * (tn + fp) * (tn + fn_);
        (margins > 0.0).then(|| (tp * tn - fp * fn_) / margins.sqrt())
    }
}

/// Counts of one recording at a cut-off; they add up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub acts: u64,
    pub detected: u64,
    pub true_alerts: u64,
    pub false_alerts: u64,
    pub false_bursts: u64,
    pub benign_events: u64,
    pub container_hours: f64,
    pub events: Confusion,
    pub processes: Confusion,
}

impl Counts {
    pub fn of(outcome: &Outcome, cut_off: f64) -> Counts {
        let detected = outcome.detected(cut_off);
        let count = |wanted| {
            let of = outcome.alerts.iter().filter(|alert| outcome.standing(alert, cut_off) == wanted);
            of.count() as u64
        };
        Counts {
            acts: detected.len() as u64,
            detected: detected.iter().flatten().count() as u64,
            true_alerts: count(Standing::True),
            false_alerts: count(Standing::False),
            false_bursts: bursts(outcome, cut_off),
            benign_events: outcome.facts.benign_events,
            container_hours: outcome.facts.container_hours,
            events: Confusion::of(&outcome.events, cut_off),
            processes: Confusion::of(&outcome.processes, cut_off),
        }
    }

    pub fn add(&mut self, other: &Counts) {
        let Counts {
            acts,
            detected,
            true_alerts,
            false_alerts,
            false_bursts,
            benign_events,
            container_hours,
            events,
            processes,
        } = other;
        self.acts += acts;
        self.detected += detected;
        self.true_alerts += true_alerts;
        self.false_alerts += false_alerts;
        self.false_bursts += false_bursts;
        self.benign_events += benign_events;
        self.container_hours += container_hours;
        self.events.add(*events);
        self.processes.add(*processes);
    }

    pub fn detection_rate(&self) -> Option<f64> {
        share(self.detected, self.acts)
    }

    pub fn alert_precision(&self) -> Option<f64> {
        share(self.true_alerts, self.true_alerts + self.false_alerts)
    }

    pub fn false_per_hour(&self) -> Option<f64> {
        (self.container_hours > 0.0).then(|| self.false_alerts as f64 / self.container_hours)
    }
}

/// Runs of false alerts, each counted once.
fn bursts(outcome: &Outcome, cut_off: f64) -> u64 {
    let mut raised: BTreeMap<&str, Vec<(i64, bool)>> = BTreeMap::new();
    for alert in &outcome.alerts {
        let Some(at) = raised_at(&alert.steps, cut_off) else { continue };
        let is_false = match outcome.standing(alert, cut_off) {
            Standing::True => false,
            Standing::False => true,
            Standing::Undecided | Standing::NotRaised => continue,
        };
        raised.entry(&alert.container).or_default().push((at, is_false));
    }
    let runs = raised.into_values().map(|mut alerts| {
        alerts.sort_unstable();
        let mut last: Option<i64> = None;
        let mut runs = 0;
        for (at, is_false) in alerts {
            runs += u64::from(is_false && last.is_none_or(|last| at - last > BURST));
            last = is_false.then_some(at);
        }
        runs
    });
    runs.sum()
}

/// Right and wrong of one kind of thing, with what follows from it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quality {
    pub true_positives: u64,
    pub false_positives: u64,
    pub false_negatives: u64,
    pub true_negatives: u64,
    pub precision: Option<f64>,
    pub recall: Option<f64>,
    pub f1: Option<f64>,
    pub mcc: Option<f64>,
    /// Over all cut-offs.
    pub pr_auc: Option<f64>,
    pub roc_auc: Option<f64>,
}

impl Quality {
    fn new(counts: &Confusion, graded: &[Graded]) -> Quality {
        Quality {
            true_positives: counts.tp,
            false_positives: counts.fp,
            false_negatives: counts.fn_,
            true_negatives: counts.tn,
            precision: counts.precision(),
            recall: counts.recall(),
            f1: counts.f1(),
            mcc: counts.mcc(),
            pr_auc: average_precision(graded),
            roc_auc: roc_auc(graded),
        }
    }
}

/// How long acts went on unseen, over the detected ones; event time, s.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Delay {
    pub median_s: Option<f64>,
    pub max_s: Option<f64>,
    /// Of the detected acts, those after at most a second.
    pub within_1s: u64,
}

/// Everything at one cut-off.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metrics {
    pub recordings: u64,
    pub acts: u64,
    pub detected: u64,
    pub detection_rate: Option<f64>,
    /// By how much an act hides: detected, of so many.
    pub by_stealth: BTreeMap<&'static str, [u64; 2]>,
    pub true_alerts: u64,
    pub false_alerts: u64,
    /// With what follows each other counted once.
    pub false_bursts: u64,
    pub alert_precision: Option<f64>,
    pub container_hours: f64,
    pub false_alerts_per_container_hour: Option<f64>,
    pub false_alerts_per_benign_event: Option<f64>,
    pub events: Quality,
    pub processes: Quality,
    /// Attack detection precision, over all cut-offs.
    pub adp: Option<f64>,
    pub time_to_detect: Delay,
}

/// The metrics of all recordings together.
pub fn measure(outcomes: &[&Outcome], cut_off: f64) -> Metrics {
    let mut sum = Counts::default();
    let mut by_stealth: BTreeMap<&'static str, [u64; 2]> = BTreeMap::new();
    let mut delays = Vec::new();
    for outcome in outcomes {
        sum.add(&Counts::of(outcome, cut_off));
        for (act, detected) in outcome.facts.acts.iter().zip(outcome.detected(cut_off)) {
            let [found, all] = by_stealth.entry(act.stealth.unwrap_or("not said")).or_default();
            *found += u64::from(detected.is_some());
            *all += 1;
            delays.extend(detected.map(|detected| detected.after_s));
        }
    }
    Metrics {
        recordings: outcomes.len() as u64,
        acts: sum.acts,
        detected: sum.detected,
        detection_rate: sum.detection_rate(),
        by_stealth,
        true_alerts: sum.true_alerts,
        false_alerts: sum.false_alerts,
        false_bursts: sum.false_bursts,
        alert_precision: sum.alert_precision(),
        container_hours: sum.container_hours,
        false_alerts_per_container_hour: sum.false_per_hour(),
        false_alerts_per_benign_event: share(sum.false_alerts, sum.benign_events),
        events: Quality::new(&sum.events, &pooled(outcomes.iter().map(|outcome| &*outcome.events))),
        processes: Quality::new(&sum.processes, &pooled(outcomes.iter().map(|outcome| &*outcome.processes))),
        adp: adp(outcomes),
        time_to_detect: Delay {
            median_s: (!delays.is_empty()).then(|| median(&delays)),
            max_s: delays.iter().copied().max_by(f64::total_cmp),
            within_1s: delays.iter().filter(|delay| **delay <= SOON).count() as u64,
        },
    }
}

/// Counts of several recordings as one, from the highest score on.
pub fn pooled<'a>(parts: impl Iterator<Item = &'a [Graded]>) -> Vec<Graded> {
    let mut all: Vec<Graded> = parts.flatten().copied().collect();
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all.dedup_by(|next, kept| {
        let same = next.score == kept.score;
        if same {
            kept.mix.malicious += next.mix.malicious;
            kept.mix.benign += next.mix.benign;
        }
        same
    });
    all
}

/// Area under the precision-recall curve as the average precision, Σ (R(n) − R(n−1)) · P(n) over the scores from the highest
/// down, equal ones at once; without interpolation, as scikit-learn has it. What nobody scored is the last step.
pub fn average_precision(graded: &[Graded]) -> Option<f64> {
    let malicious: u64 = graded.iter().map(|graded| graded.mix.malicious).sum();
    let (mut tp, mut fp, mut area) = (0u64, 0u64, 0.0);
    for Graded { mix, .. } in graded {
        tp += mix.malicious;
        fp += mix.benign;
        if mix.malicious > 0 {
            area += mix.malicious as f64 / malicious as f64 * (tp as f64 / (tp + fp) as f64);
        }
    }
    (malicious > 0).then_some(area)
}

/// How often something malicious scores above something benign, ties as half.
pub fn roc_auc(graded: &[Graded]) -> Option<f64> {
    let malicious: u64 = graded.iter().map(|graded| graded.mix.malicious).sum();
    let benign: u64 = graded.iter().map(|graded| graded.mix.benign).sum();
    let (mut above, mut area) = (0u64, 0.0);
    for Graded { mix, .. } in graded {
        area += mix.benign as f64 * (above as f64 + mix.malicious as f64 / 2.0);
        above += mix.malicious;
    }
    (malicious > 0 && benign > 0).then(|| area / (malicious as f64 * benign as f64))
}

/// Attack detection precision: the area under the share of acts that are detected with alerts of a precision of at least p,
/// for p from 0 to 1. After T. Bilot et al., "Sometimes simpler is better: a comprehensive analysis of state-of-the-art
/// provenance-based intrusion detection systems", USENIX Security 2025, who have nodes where this has alerts.
pub fn adp(outcomes: &[&Outcome]) -> Option<f64> {
    let scores = outcomes.iter().flat_map(|outcome| &outcome.alerts).filter_map(|alert| alert.steps.last());
    let mut scores: Vec<f64> = scores.map(|(_, score)| *score).collect();
    scores.sort_by(f64::total_cmp);
    scores.dedup();
    let acts: usize = outcomes.iter().map(|outcome| outcome.facts.acts.len()).sum();
    if acts == 0 {
        return None;
    }
    let mut points: Vec<(f64, f64)> = scores
        .iter()
        .filter_map(|cut_off| {
            let mut sum = Counts::default();
            outcomes.iter().for_each(|outcome| sum.add(&Counts::of(outcome, *cut_off)));
            Some((sum.alert_precision()?, sum.detection_rate()?))
        })
        .collect();
    points.sort_by(|a, b| b.0.total_cmp(&a.0));
    // From the highest precision down, the best share so far holds to the next lower precision.
    let (mut area, mut best) = (0.0, 0.0f64);
    for (at, (precision, detected)) in points.iter().enumerate() {
        best = best.max(*detected);
        let next = points.get(at + 1).map_or(0.0, |(next, _)| *next);
        area += best * (precision - next);
    }
    Some(area)
}

pub fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
