//! The choice of a cut-off on validation recordings.

use super::metrics::Counts;
use super::outcome::Outcome;
use super::scored::to_resolution;

/// The lowest cut-off at and above which validation has at most `allowed` false alerts. The labels of attacks have no part in
/// it beyond telling what is false: most sets have no attack in validation.
pub fn choose(validation: &[&Outcome], resolution: f64, allowed: u64) -> f64 {
    let scores = validation.iter().flat_map(|outcome| &outcome.alerts).filter_map(|alert| alert.steps.last());
    // Just above each score that there is, and the least that is more than nothing.
    let above = scores.map(|(_, score)| to_resolution(score + resolution, resolution));
    let mut cut_offs: Vec<f64> = above.chain([resolution]).collect();
    cut_offs.sort_by(|a, b| b.total_cmp(a));
    cut_offs.dedup();
    let mut chosen = cut_offs[0];
    for cut_off in cut_offs {
        if false_alerts(validation, cut_off) > allowed {
            break;
        }
        chosen = cut_off;
    }
    chosen
}

/// False alerts of all at a cut-off.
pub fn false_alerts(outcomes: &[&Outcome], cut_off: f64) -> u64 {
    outcomes.iter().map(|outcome| Counts::of(outcome, cut_off).false_alerts).sum()
}
