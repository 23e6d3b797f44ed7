//! Alerts with a score instead of a severity, so that a cut-off can be chosen afterwards.
//!
//! Whoever detects, an alert is of one process incarnation, and its score only grows while events come.

use std::sync::Arc;

use replay::alert::group::{self, Judged};
use replay::alert::round;
use replay::deviation::{Deviation, DeviationKind, RowRef, Tree};
use replay::engines::{Peaks, Verdict, Weights};
use replay::pipeline::fold::Folded;

/// What speaks against one process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scored {
    pub exec_id: Option<u64>,
    pub container: Arc<str>,
    /// (Unix time in ns, the score from then on), both growing.
    pub steps: Vec<(i64, f64)>,
    /// The rows that prove it.
    pub rows: Vec<RowRef>,
    /// ATT&CK id, where whoever detects names one.
    pub technique: Option<String>,
}

impl Scored {
    /// At its end; 0: nothing speaks against it.
    pub fn score(&self) -> f64 {
        self.steps.last().map_or(0.0, |(_, score)| *score)
    }

    /// Notes a score, if it is higher than that of before.
    pub fn rise(&mut self, ts: i64, score: f64) {
        if score > self.score() {
            self.steps.push((ts, score));
        }
    }
}

/// When a score that took these steps reached the cut-off; Unix time, ns.
pub fn raised_at(steps: &[(i64, f64)], cut_off: f64) -> Option<i64> {
    steps.iter().find(|(_, score)| *score >= cut_off).map(|(ts, _)| *ts)
}

/// Rounds to a multiple of a score's resolution, so that what is compared is what is printed.
pub fn to_resolution(score: f64, resolution: f64) -> f64 {
    let per_one = (1.0 / resolution).round();
    (score * per_one).round() / per_one
}

/// Resolution of points, the sum of the engines' weighted scores: a replay rounds them to hundredths.
pub const POINTS: f64 = 0.01;

/// One alert for each process, as a replay makes them, with the points of the given weights.
pub fn by_engines(judged: &[Judged], weights: &Weights) -> Vec<Scored> {
    by_process(
        judged,
        |judged| &judged.deviation,
        |scored, group| {
            let mut peaks = Peaks::default();
            let mut verdicts: Vec<Verdict> = Vec::new();
            for judged in group {
                peaks = peaks.join(Peaks::of(&judged.verdicts));
                verdicts.extend(judged.verdicts.iter().cloned());
                let points = round(weights.points(&peaks), 2);
                scored.rise(judged.deviation.ts, to_resolution(points.into(), POINTS));
            }
            scored.technique = group::technique(&verdicts, *weights).map(|technique| technique.id.to_string());
        },
    )
}

/// As many points as a process has distinct deviations.
pub fn by_count(folded: &[Folded]) -> Vec<Scored> {
    by_process(
        folded,
        |folded| &folded.deviation,
        |scored, group| {
            for (folded, count) in group.iter().zip(1u32..) {
                scored.rise(folded.deviation.ts, f64::from(count));
            }
        },
    )
}

/// Resolution of a distance.
pub const DISTANCE: f64 = 0.0001;

/// Of command lines alone: 1 less the cosine to the nearest that was learned, 1 where there is nothing to compare with.
pub fn by_distance(folded: &[Folded]) -> Vec<Scored> {
    let commands: Vec<&Folded> = folded.iter().filter(|folded| folded.deviation.tree == Tree::Process).collect();
    by_process(
        &commands,
        |folded| &folded.deviation,
        |scored, group| {
            for Folded { deviation, .. } in group {
                let nearest = deviation.nearest.as_ref().filter(|_| deviation.kind == DeviationKind::NewArguments);
                let distance = nearest.map_or(1.0, |nearest| f64::from(1.0 - nearest.cosine).clamp(0.0, 1.0));
                scored.rise(deviation.ts, to_resolution(distance, DISTANCE));
            }
        },
    )
}

/// What a replay makes one alert of, each as one score.
fn by_process<T>(all: &[T], deviation: impl Fn(&T) -> &Deviation, fill: impl Fn(&mut Scored, &[&T])) -> Vec<Scored> {
    let groups = group::groups(all.iter().collect(), |one: &&T| deviation(one));
    let scored = groups.into_iter().map(|group| {
        let Deviation { container, exec_id, .. } = deviation(group[0]);
        let rows = group.iter().flat_map(|one| deviation(one).rows.iter().copied()).collect();
        let mut scored = Scored { exec_id: *exec_id, container: Arc::clone(container), rows, ..Scored::default() };
        fill(&mut scored, &group);
        scored
    });
    scored.filter(|scored| !scored.steps.is_empty()).collect()
}
