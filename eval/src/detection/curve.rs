//! What a method does at any cut-off: the points of ROC, precision-recall and threshold curves, few enough to keep in `run.json`.

use serde::{Deserialize, Serialize};

use super::bench::Results;
use super::methods::Method;
use super::metrics::Counts;
use super::outcome::Outcome;

/// Points of one method at most; of more cut-offs, those at even places in their order are kept, the ends among them.
const POINTS: usize = 121;

/// One method over its cut-offs, on test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodCurve {
    pub name: String,
    pub acts: u64,
    /// h
    pub container_hours: f64,
    /// Malicious and benign ones.
    pub events: [u64; 2],
    pub processes: [u64; 2],
    /// From the highest cut-off down.
    pub points: Vec<CurvePoint>,
}

/// Counts at a cut-off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    pub cut_off: f64,
    /// Acts.
    pub detected: u64,
    pub false_alerts: u64,
    /// True and false positives.
    pub events: [u64; 2],
    pub processes: [u64; 2],
}

/// The curve of each method, in their order.
pub fn curves(results: &Results, methods: &[&'static Method]) -> Vec<MethodCurve> {
    methods.iter().zip(&results.test).map(|(method, test)| curve(method.name, test)).collect()
}

fn curve(name: &str, test: &[Outcome]) -> MethodCurve {
    let scores = test.iter().flat_map(|outcome| &outcome.alerts).filter_map(|alert| alert.steps.last());
    let mut scores: Vec<f64> = scores.map(|(_, score)| *score).filter(|score| *score > 0.0).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    scores.dedup();
    let at = |cut_off: f64| {
        let mut sum = Counts::default();
        test.iter().for_each(|outcome| sum.add(&Counts::of(outcome, cut_off)));
        sum
    };
    let all = at(f64::INFINITY);
    let point = |cut_off: f64| {
        let sum = at(cut_off);
        CurvePoint {
            cut_off,
            detected: sum.detected,
            false_alerts: sum.false_alerts,
            events: [sum.events.tp, sum.events.fp],
            processes: [sum.processes.tp, sum.processes.fp],
        }
    };
    MethodCurve {
        name: name.to_owned(),
        acts: all.acts,
        container_hours: all.container_hours,
        // Nothing is flagged at an infinite cut-off.
        events: [all.events.fn_, all.events.tn],
        processes: [all.processes.fn_, all.processes.tn],
        points: thinned(&scores).into_iter().map(point).collect(),
    }
}

/// At most [`POINTS`] of them, the first and the last too.
fn thinned(scores: &[f64]) -> Vec<f64> {
    if scores.len() <= POINTS {
        return scores.to_vec();
    }
    (0..POINTS).map(|at| scores[at * (scores.len() - 1) / (POINTS - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_cut_offs_are_thinned_and_the_ends_stay() {
        let scores: Vec<f64> = (0..1000).rev().map(f64::from).collect();
        let kept = thinned(&scores);
        assert_eq!((kept.len(), kept[0], kept[POINTS - 1]), (POINTS, 999.0, 0.0));
        assert!(kept.windows(2).all(|pair| pair[0] > pair[1]));
        assert_eq!(thinned(&scores[..3]), [999.0, 998.0, 997.0]);
    }
}
