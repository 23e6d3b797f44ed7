//! The statistics engine: how rare is a deviation, among siblings and in time?
//!
//! Deviations are clustered by what they are (tree, kind, path up to the first element that the profile does not have),
//! over containers, images and time. With `n` replicas of the image, `k` of which show the cluster:
//!
//! ```text
//! rarity     = 1 - (k - 1) / (n - 1)              one of many: 1; all of them, as after a release: 0
//! confidence = (n - 1) / (n - 1 + 2)              how much siblings can say: n = 1: 0, n = 3: 1/2, n = 100: 0.98
//! own        = burst · (1 + novelty) / 2          what the container says by itself
//! score      = (confidence · rarity + (1 - confidence) · own) · (1 - spread / 2)
//! ```
//!
//! - `burst = x / (x + 3)`, where `x` is the number of distinct clusters of the container within half a minute before or
//!   after, less the number usual for a minute of that container: the median over the other minutes of the recording. An
//!   intrusion is many new things at once, from a container that was quiet; a container that deviates all day long raises
//!   nobody's eyebrows with one deviation more. It is the median, as an intrusion's first burst must not make its second
//!   one look usual.
//! - `novelty` is the share of tokens never seen at that leaf where arguments were compared, and 1 where the tree itself
//!   had no such element.
//! - `spread = (i - 1) / (m - 1)`, where `i` of the recording's `m` images show the cluster. What happens in all images
//!   at once is the platform's doing more often than an intruder's, but an intruder moves from image to image too:
//!   it takes away half at most, and nothing with fewer than [`SPREAD_IMAGES`] images.
//!
//! Limits: with one replica a release and an intrusion look alike to this engine. An intruder that reaches every replica
//! of an image within the recording looks like a release.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Engine, Verdict};
use crate::deviation::{Deviation, DeviationKind, Tree};

/// Pseudo-count of the shrinkage towards the container's own evidence: with two siblings more than itself, a replica's
/// siblings and its own history weigh the same.
const PRIOR_REPLICAS: f64 = 2.0;

/// Half of the burst window, ns of event time.
const HALF_WINDOW: i64 = 30_000_000_000;

/// Distinct deviations, above the expected, at which the burst term is one half.
const BURST_HALF: f64 = 3.0;

/// Images that must be in the recording before presence in all of them means anything.
pub const SPREAD_IMAGES: usize = 3;

/// Everything that could have deviated.
#[derive(Clone, Debug, Default)]
pub struct Population {
    /// Container ids by image.
    replicas: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Unix time of the first and last event, ns.
    span: Option<(i64, i64)>,
}

impl Population {
    /// A population of the given image and container id pairs, over a recording from `first` to `last` (Unix time, ns).
    pub fn new(replicas: impl IntoIterator<Item = (Arc<str>, Arc<str>)>, span: Option<(i64, i64)>) -> Population {
        let mut population = Population { replicas: BTreeMap::new(), span };
        for (image, container) in replicas {
            population.replicas.entry(image).or_default().insert(container);
        }
        population
    }

    /// Replicas of an image; at least 1.
    fn replicas(&self, image: &str) -> usize {
        self.replicas.get(image).map_or(1, BTreeSet::len).max(1)
    }
}

/// What makes two deviations the same one, wherever they happen.
type What<'a> = (Tree, DeviationKind, &'a [Arc<str>]);

fn what(deviation: &Deviation) -> What<'_> {
    // The path begins with the image, which is not part of what happened.
    let end = deviation.path.len().min(deviation.at + 1).max(1);
    (deviation.tree, deviation.kind, deviation.path.get(1..end).unwrap_or_default())
}

/// The clusters of a set of deviations.
struct Clusters<'a> {
    /// Containers by cluster and image.
    containers: BTreeMap<What<'a>, BTreeMap<&'a str, BTreeSet<&'a str>>>,
    /// Time of the first event of each distinct cluster, by container, sorted.
    times: BTreeMap<&'a str, Vec<i64>>,
}

impl<'a> Clusters<'a> {
    fn new(deviations: &[&'a Deviation]) -> Clusters<'a> {
        let mut containers: BTreeMap<What<'a>, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
        let mut first: BTreeMap<(&str, What<'a>), i64> = BTreeMap::new();
        for deviation in deviations {
            let (what, container) = (what(deviation), &*deviation.container);
            containers.entry(what).or_default().entry(&deviation.image).or_default().insert(container);
            let time = first.entry((container, what)).or_insert(deviation.ts);
            *time = deviation.ts.min(*time);
        }
        let mut times: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for ((container, _), time) in first {
            times.entry(container).or_default().push(time);
        }
        times.values_mut().for_each(|times| times.sort_unstable());
        Clusters { containers, times }
    }

    /// Distinct clusters of the container within half a window of `time`, and what is usual for one of its windows.
    fn around(&self, container: &str, time: i64, span: Option<(i64, i64)>) -> (usize, usize) {
        let times = self.times.get(container).map_or(&[][..], Vec::as_slice);
        let from = times.partition_point(|t| *t < time.saturating_sub(HALF_WINDOW));
        let to = times.partition_point(|t| *t <= time.saturating_add(HALF_WINDOW));
        let others = times[..from].iter().chain(&times[to..]);
        (to - from, span.map_or(0, |span| usual(others, span)))
    }
}

/// The lower median of the number of clusters over the windows of the recording, the window in question left out.
fn usual<'a>(others: impl Iterator<Item = &'a i64>, (first, last): (i64, i64)) -> usize {
    let windows = (last.saturating_sub(first) / (2 * HALF_WINDOW) - 1).max(0) as usize;
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for time in others {
        *counts.entry(time.saturating_sub(first) / (2 * HALF_WINDOW)).or_default() += 1;
    }
    let mut occupied: Vec<usize> = counts.into_values().collect();
    occupied.sort_unstable();
    // Most windows are empty, and there may be very many of them: they are counted, not listed.
    let empty = windows.saturating_sub(occupied.len());
    let middle = windows.saturating_sub(1) / 2;
    if windows < 2 || middle < empty { 0 } else { occupied.get(middle - empty).copied().unwrap_or(0) }
}

/// One verdict for each deviation, in order. Depends on the set of deviations, not on their order.
pub fn judge<D: Borrow<Deviation>>(deviations: &[D], population: &Population) -> Vec<Verdict> {
    let deviations: Vec<&Deviation> = deviations.iter().map(Borrow::borrow).collect();
    let clusters = Clusters::new(&deviations);
    deviations.iter().map(|deviation| verdict(deviation, &clusters, population)).collect()
}

fn verdict(deviation: &Deviation, clusters: &Clusters<'_>, population: &Population) -> Verdict {
    let images = &clusters.containers[&what(deviation)];
    let n = population.replicas(&deviation.image);
    let k = images[&*deviation.image].len().min(n);
    let siblings = (n - 1) as f64;
    let rarity = if n > 1 { 1.0 - (k - 1) as f64 / siblings } else { 1.0 };
    let confidence = siblings / (siblings + PRIOR_REPLICAS);

    let (here, usual) = clusters.around(&deviation.container, deviation.ts, population.span);
    let excess = here.saturating_sub(usual) as f64;
    let burst = excess / (excess + BURST_HALF);
    let novelty = deviation.token_novelty.map_or(1.0, f64::from).clamp(0.0, 1.0);
    let own = burst * (1.0 + novelty) / 2.0;

    let m = population.replicas.len();
    let spread = if m >= SPREAD_IMAGES { (images.len() - 1) as f64 / (m - 1) as f64 } else { 0.0 };
    let score = (confidence * rarity + (1.0 - confidence) * own) * (1.0 - spread.min(1.0) / 2.0);

    let siblings = match n {
        1 => "no sibling replica to compare with".to_owned(),
        _ => format!("{k} of {n} replicas of the image show it"),
    };
    let usual = if usual > 0 { format!(", where {usual} are usual") } else { String::new() };
    let across = if spread > 0.0 { format!("; in {} of {m} images", images.len()) } else { String::new() };
    Verdict {
        engine: Engine::Statistics,
        score: score.clamp(0.0, 1.0) as f32,
        reason: format!("{siblings}; {here} new behaviours of the container within a minute{usual}{across}"),
        technique: None,
        judge: "rarity".to_owned(),
        level: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deviation::Tier;

    const SECOND: i64 = 1_000_000_000;

    fn deviation(image: &str, container: &str, seconds: i64, program: &str) -> Deviation {
        let path: Vec<Arc<str>> = [image, "/bin/sh", program, "--now"].map(Arc::from).to_vec();
        Deviation {
            ts: seconds * SECOND,
            tree: Tree::Process,
            kind: DeviationKind::NewProcess,
            image: image.into(),
            container: container.into(),
            exec_id: None,
            pid: 1,
            path,
            at: 2,
            text: program.into(),
            host_path: None,
            reached: BTreeMap::new(),
            tier: Tier::Structure,
            risk: None,
            changes: Vec::new(),
            token_novelty: None,
            nearest: None,
            count: 1,
            rows: vec![],
        }
    }

    fn population(image: &str, replicas: usize) -> Population {
        let names = (0..replicas).map(|i| (Arc::from(image), Arc::from(format!("c{i}"))));
        Population::new(names, Some((0, 3_600 * SECOND)))
    }

    fn scores(deviations: &[Deviation], population: &Population) -> Vec<f32> {
        judge(deviations, population).into_iter().map(|verdict| verdict.score).collect()
    }

    #[test]
    fn one_of_a_hundred_scores_and_a_release_does_not() {
        let population = population("web", 100);
        let one = scores(&[deviation("web", "c7", 100, "/opt/new")], &population);
        assert!(one[0] > 0.95, "{one:?}");
        let all: Vec<_> = (0..100).map(|i| deviation("web", &format!("c{i}"), 100 + i, "/opt/new")).collect();
        let all = scores(&all, &population);
        assert!(all.iter().all(|score| *score < 0.05), "{all:?}");
        let half: Vec<_> = (0..50).map(|i| deviation("web", &format!("c{i}"), 100, "/opt/new")).collect();
        let half = scores(&half, &population)[0];
        assert!(one[0] > half && half > all[0], "{half}");
    }

    #[test]
    fn a_rollout_does_not_hide_what_only_one_replica_does() {
        let mut all: Vec<_> = (0..10).map(|i| deviation("web", &format!("c{i}"), 100, "/opt/new")).collect();
        all.push(deviation("web", "c3", 110, "/opt/other"));
        let scores = scores(&all, &population("web", 10));
        assert!(scores[10] > 0.8 && scores[3] < 0.1, "{scores:?}");
    }

    #[test]
    fn without_siblings_a_burst_counts_more_than_one_oddity() {
        let population = population("web", 1);
        let alone = scores(&[deviation("web", "c0", 100, "/opt/a")], &population)[0];
        let burst: Vec<_> = (0..9).map(|i| deviation("web", "c0", 100 + i, &format!("/opt/{i}"))).collect();
        let burst = scores(&burst, &population)[0];
        assert!(alone <= 0.25 && burst >= 0.7, "{alone} {burst}");
        // The same number of oddities, spread over the hour, is no burst.
        let calm: Vec<_> = (0..9).map(|i| deviation("web", "c0", 100 + 360 * i, &format!("/opt/{i}"))).collect();
        assert!(scores(&calm, &population)[0] <= alone);
        // A second burst is as telling as the first.
        let twice: Vec<_> =
            (0..18).map(|i| deviation("web", "c0", 100 + i + i / 9 * 120, &format!("/opt/{i}"))).collect();
        let short = Population { span: Some((0, 400 * SECOND)), ..population.clone() };
        assert_eq!(scores(&twice, &short)[17], burst);
        // One more in a container where nine a minute are usual is none.
        let noisy: Vec<_> = (0..540).map(|i| deviation("web", "c0", i * 60 / 9, &format!("/opt/{i}"))).collect();
        assert!(scores(&noisy, &population)[270] < 0.3);
    }

    #[test]
    fn repeating_the_same_thing_is_no_burst_and_familiar_words_weaken_it() {
        let population = population("web", 1);
        let repeated: Vec<_> = (0..9).map(|i| deviation("web", "c0", 100 + i, "/opt/a")).collect();
        assert!(scores(&repeated, &population)[0] <= 0.25);
        let mut familiar = deviation("web", "c0", 100, "/opt/a");
        let unfamiliar = familiar.clone();
        familiar.token_novelty = Some(0.0);
        assert_eq!(scores(&[familiar], &population)[0] * 2.0, scores(&[unfamiliar], &population)[0]);
    }

    #[test]
    fn the_same_in_every_image_is_the_platforms_doing() {
        let images = ["a", "b", "c", "d"];
        let names = images.map(|image| (Arc::from(image), Arc::from(format!("{image}0"))));
        let population = Population::new(names, Some((0, 3_600 * SECOND)));
        let everywhere: Vec<_> = images.map(|image| deviation(image, &format!("{image}0"), 5, "/opt/agent")).to_vec();
        let one = scores(&everywhere[..1], &population)[0];
        assert_eq!(scores(&everywhere, &population)[0] * 2.0, one);
    }

    #[test]
    fn order_does_not_matter_and_odd_input_does_not_panic() {
        let mut deviations: Vec<_> =
            (0..20).map(|i| deviation("web", &format!("c{}", i % 4), i * 7, &format!("/opt/{}", i % 6))).collect();
        let forward = scores(&deviations, &population("web", 4));
        deviations.reverse();
        let mut backward = scores(&deviations, &population("web", 4));
        backward.reverse();
        assert_eq!(forward, backward);
        // Unknown to the population, an index past the path, extreme times.
        let mut odd = deviation("nowhere", "c", 0, "x");
        odd.at = 99;
        odd.ts = i64::MIN;
        let mut other = odd.clone();
        other.path.clear();
        other.ts = i64::MAX;
        let span = Some((i64::MIN, i64::MAX));
        let verdicts = judge(&[odd, other], &Population::new([], span));
        assert!(verdicts.iter().all(|verdict| (0.0..=1.0).contains(&verdict.score)));
        assert!(judge::<Deviation>(&[], &Population::default()).is_empty());
    }
}
