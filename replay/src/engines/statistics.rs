//! The statistics engine: how rare is a deviation, among siblings and in time?
//!
//! Deviations are clustered by what they are, over containers, images and time ([`super::clusters`]). With `n` replicas of the
//! image, `k` of which are in the cluster:
//!
//! ```text
//! rarity     = 1 - (k - 1) / (n - 1)              one of many: 1; all of them, as after a release: 0
//! confidence = (n - 1) / (n - 1 + siblings)       how much siblings can say: n = 1: 0, n = 3: 1/2, n = 100: 0.98
//! own        = burst · (1 + novelty) / 2          what the container says by itself
//! own        = max(own, excess)                   where more was sent than forecast
//! score      = (confidence · rarity + (1 - confidence) · own) · (1 - spread / 2)
//! ```
//!
//! - `burst = x / (x + half)`, where `x` is the number of distinct behaviours of the container within half a window before or
//!   after, less the number usual for a window of that container: the median over the other windows of the recording. An
//!   intrusion is many new things at once, from a container that was quiet; a container that deviates all day long raises
//!   nobody's eyebrows with one deviation more. It is the median, as an intrusion's first burst must not make its second
//!   one look usual. Behaviours are told apart by equality here: a hundred files of like names are a burst.
//! - `excess = 1 - most / bytes`, where `bytes` were sent to the peer within the hour and `most` is the upper end of the forecast's interval
//!   ([`crate::profile::traffic`]): twice the most that is to be expected gives 1/2.
//! - `novelty` is the share of tokens never seen at that leaf where arguments were compared, and 1 where the tree itself
//!   had no such element.
//! - `spread = (i - 1) / (m - 1)`, where `i` of the recording's `m` images are in the cluster. What happens in all images
//!   at once is the platform's doing more often than an intruder's, but an intruder moves from image to image too:
//!   it takes away half at most, and nothing with fewer than [`SPREAD_IMAGES`] images.
//!
//! `siblings`, `half` and the window are `engines.statistics.*` of the configuration, as are the cosine and the gap of clusters.
//!
//! Limits: with one replica a release and an intrusion look alike to this engine. An intruder that reaches every replica
//! of an image, none longer than the gap after the one before, looks like a release; and so does, on the one replica, what is
//! called much like what a release does on all of them. A canary, a release on few replicas that others follow later than the
//! gap, looks like an intrusion.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::clusters::{Cluster, Clusters, What, what};
use super::grounds::rounded;
use super::{Engine, Grounds, Verdict};
use crate::config::Statistics;
use crate::deviation::Deviation;
use crate::profile::Volume;

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

/// What a score was made of: the terms of the formula above.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rarity {
    /// Replicas of the image, and those in the cluster.
    pub n: usize,
    pub k: usize,
    /// Spellings in the cluster, and from its first deviation to its last, s.
    pub variants: usize,
    pub over: f64,
    pub rarity: f64,
    pub siblings: f64,
    pub confidence: f64,
    /// Behaviours of the container around this one, and what is usual.
    pub here: usize,
    pub usual: usize,
    pub half: f64,
    pub burst: f64,
    pub novelty: f64,
    /// Only of what was sent beyond its forecast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
    pub own: f64,
    /// Images of the recording, and those in the cluster.
    pub m: usize,
    pub i: usize,
    pub spread: f64,
}

impl Rarity {
    fn score(&self) -> f64 {
        let Rarity { confidence, rarity, own, spread, .. } = self;
        ((confidence * rarity + (1.0 - confidence) * own) * (1.0 - spread / 2.0)).clamp(0.0, 1.0)
    }

    /// See [`Verdict::derivation`].
    pub fn derivation(&self) -> Vec<String> {
        let Rarity {
            n,
            k,
            variants,
            over,
            rarity,
            siblings,
            confidence,
            here,
            usual,
            half,
            burst,
            novelty,
            volume,
            own,
            m,
            i,
            spread,
        } = self;
        let rare = match n {
            1 => "rarity = 1, without siblings".to_owned(),
            _ => format!("rarity = 1 - (k - 1) / (n - 1) = 1 - ({k} - 1) / ({n} - 1) = {rarity:.4}"),
        };
        let spread_line = match spread {
            0.0 => "spread = 0".to_owned(),
            _ => format!("spread = (i - 1) / (m - 1) = ({i} - 1) / ({m} - 1) = {spread:.4}"),
        };
        vec![
            "score = (confidence · rarity + (1 - confidence) · own) · (1 - spread / 2)".to_owned(),
            format!("cluster: {k} of {n} replicas, {i} of {m} images, {variants} spellings, over {over} s"),
            rare,
            format!("confidence = (n - 1) / (n - 1 + siblings) = ({n} - 1) / ({n} - 1 + {siblings}) = {confidence:.4}"),
            format!("burst = x / (x + half), x = {here} - {usual}: {burst:.4} (half = {half})"),
            match volume {
                None => format!("own = burst · (1 + novelty) / 2 = {burst:.4} · (1 + {novelty:.4}) / 2 = {own:.4}"),
                Some(Volume { bytes, most, .. }) => format!(
                    "own = max(burst · (1 + novelty) / 2, 1 - most / bytes) = max({burst:.4} · (1 + {novelty:.4}) / 2, 1 - {most} / {bytes}) = {own:.4}"
                ),
            },
            spread_line,
            format!(
                "score = ({confidence:.4} · {rarity:.4} + (1 - {confidence:.4}) · {own:.4}) · (1 - {spread:.4} / 2) = {:.4}",
                self.score()
            ),
        ]
    }

    fn reason(&self, window: f64) -> String {
        let Rarity { n, k, variants, over, here, usual, m, i, spread, volume, .. } = self;
        let spellings = if *variants > 1 { format!(" in {variants} spellings") } else { String::new() };
        let over = if *k > 1 && *over >= 1.0 { format!(" within {over:.0} s") } else { String::new() };
        let siblings = match n {
            1 => "no sibling replica to compare with".to_owned(),
            _ => format!("{k} of {n} replicas of the image show it{spellings}{over}"),
        };
        let usual = if *usual > 0 { format!(", where {usual} are usual") } else { String::new() };
        let across = if *spread > 0.0 { format!("; in {i} of {m} images") } else { String::new() };
        let window = if window == 60.0 { "a minute".to_owned() } else { format!("{window} s") };
        let volume = volume.as_ref().map_or_else(String::new, |Volume { bytes, most, usual, bucket }| {
            format!(
                "{bytes} bytes sent within {bucket} s, where {usual} are usual and {most} the most to be expected; "
            )
        });
        format!("{volume}{siblings}; {here} new behaviours of the container within {window}{usual}{across}")
    }
}

/// When each container did something new.
struct Bursts<'a> {
    /// Time of the first event of each distinct behaviour, by container, sorted.
    times: BTreeMap<&'a str, Vec<i64>>,
    /// ns of event time.
    half_window: i64,
}

impl<'a> Bursts<'a> {
    fn new(deviations: &[&'a Deviation], window: f64) -> Bursts<'a> {
        let mut first: BTreeMap<(&str, What<'a>), i64> = BTreeMap::new();
        for deviation in deviations {
            let time = first.entry((&deviation.container, what(deviation))).or_insert(deviation.ts);
            *time = deviation.ts.min(*time);
        }
        let mut times: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for ((container, _), time) in first {
            times.entry(container).or_default().push(time);
        }
        times.values_mut().for_each(|times| times.sort_unstable());
        Bursts { times, half_window: ((window * 5e8) as i64).max(1) }
    }

    /// Distinct behaviours of the container within half a window of `time`, and what is usual for one of its windows.
    fn around(&self, container: &str, time: i64, span: Option<(i64, i64)>) -> (usize, usize) {
        let times = self.times.get(container).map_or(&[][..], Vec::as_slice);
        let from = times.partition_point(|t| *t < time.saturating_sub(self.half_window));
        let to = times.partition_point(|t| *t <= time.saturating_add(self.half_window));
        let others = times[..from].iter().chain(&times[to..]);
        (to - from, span.map_or(0, |span| self.usual(others, span)))
    }

    /// The lower median of the number of behaviours over the windows of the recording, the window in question left out.
    fn usual<'t>(&self, others: impl Iterator<Item = &'t i64>, (first, last): (i64, i64)) -> usize {
        let window = self.half_window.saturating_mul(2);
        let windows = (last.saturating_sub(first) / window - 1).max(0) as usize;
        let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
        for time in others {
            *counts.entry(time.saturating_sub(first) / window).or_default() += 1;
        }
        let mut occupied: Vec<usize> = counts.into_values().collect();
        occupied.sort_unstable();
        // Most windows are empty, and there may be very many of them: they are counted, not listed.
        let empty = windows.saturating_sub(occupied.len());
        let middle = windows.saturating_sub(1) / 2;
        if windows < 2 || middle < empty { 0 } else { occupied.get(middle - empty).copied().unwrap_or(0) }
    }
}

/// One verdict for each deviation, in order. Depends on the set of deviations, not on their order.
pub fn judge<D: Borrow<Deviation>>(deviations: &[D], population: &Population, config: &Statistics) -> Vec<Verdict> {
    let deviations: Vec<&Deviation> = deviations.iter().map(Borrow::borrow).collect();
    let clusters = Clusters::new(&deviations, config.similar, (config.gap * 1e9) as i64);
    let bursts = Bursts::new(&deviations, config.window);
    let verdicts = deviations.iter().zip(&clusters.of).map(|(deviation, cluster)| {
        let rarity = rarity(deviation, &clusters.clusters[*cluster], &bursts, population, config);
        Verdict {
            engine: Engine::Statistics,
            score: rarity.score() as f32,
            reason: rarity.reason(config.window),
            technique: None,
            judge: "rarity".to_owned(),
            level: None,
            grounds: Grounds::Rarity(rarity),
        }
    });
    verdicts.collect()
}

fn rarity(
    deviation: &Deviation,
    cluster: &Cluster<'_>,
    bursts: &Bursts<'_>,
    population: &Population,
    config: &Statistics,
) -> Rarity {
    let n = population.replicas(&deviation.image);
    let k = cluster.containers[&*deviation.image].len().min(n);
    let others = (n - 1) as f64;
    let confidence = rounded(others / (others + config.siblings));

    let (here, usual) = bursts.around(&deviation.container, deviation.ts, population.span);
    let excess = here.saturating_sub(usual) as f64;
    let burst = rounded(excess / (excess + config.half));
    let novelty = rounded(deviation.token_novelty.map_or(1.0, f64::from).clamp(0.0, 1.0));

    let (m, i) = (population.replicas.len(), cluster.containers.len());
    let spread = if m >= SPREAD_IMAGES { rounded((i - 1) as f64 / (m - 1) as f64).min(1.0) } else { 0.0 };
    Rarity {
        n,
        k,
        variants: cluster.variants,
        over: rounded(cluster.last.saturating_sub(cluster.first) as f64 / 1e9),
        rarity: if n > 1 { rounded(1.0 - (k - 1) as f64 / others) } else { 1.0 },
        siblings: config.siblings,
        confidence,
        here,
        usual,
        half: config.half,
        burst,
        novelty,
        own: rounded((burst * (1.0 + novelty) / 2.0).max(deviation.volume.as_ref().map_or(0.0, Volume::excess))),
        volume: deviation.volume.clone(),
        m,
        i,
        spread,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::deviation::{DeviationKind, Tier, Tree};

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
            volume: None,
            count: 1,
            rows: vec![],
        }
    }

    fn population(image: &str, replicas: usize) -> Population {
        let names = (0..replicas).map(|i| (Arc::from(image), Arc::from(format!("c{i}"))));
        Population::new(names, Some((0, 3_600 * SECOND)))
    }

    fn settings() -> Statistics {
        config::load(None, &[]).unwrap().engines.statistics
    }

    fn scores(deviations: &[Deviation], population: &Population) -> Vec<f32> {
        judge(deviations, population, &settings()).into_iter().map(|verdict| verdict.score).collect()
    }

    #[test]
    fn the_more_is_sent_beyond_the_forecast_the_more_it_says() {
        let sent = |bytes: u64| Deviation {
            kind: DeviationKind::NewVolume,
            volume: Some(Volume { bytes, most: 100_000, usual: 40_000, bucket: 3600 }),
            ..deviation("web", "c0", 100, "db:5432")
        };
        let plain = scores(&[deviation("web", "c0", 100, "db:5432")], &population("web", 1))[0];
        let of = |bytes: u64| scores(&[sent(bytes)], &population("web", 1))[0];
        assert_eq!(of(110_000), plain, "a tenth more says less than that it is new");
        assert!((of(200_000) - 0.5).abs() < 1e-6 && of(1_000_000) > 0.89, "{} {}", of(200_000), of(1_000_000));
        let verdict = &judge(&[sent(200_000)], &population("web", 1), &settings())[0];
        assert!(
            verdict.reason.starts_with("200000 bytes sent within 3600 s, where 40000 are usual"),
            "{}",
            verdict.reason
        );
        let derivation = verdict.derivation().join("\n");
        assert!(derivation.contains("1 - 100000 / 200000) = 0.5000"), "{derivation}");
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
        let verdicts = judge(&[odd, other], &Population::new([], span), &settings());
        assert!(verdicts.iter().all(|verdict| (0.0..=1.0).contains(&verdict.score)));
        assert!(judge::<Deviation>(&[], &Population::default(), &settings()).is_empty());
    }

    #[test]
    fn a_release_with_a_name_of_its_own_on_each_replica_is_one_and_its_gap_ends_it() {
        let letters =
            |i: usize| -> String { [i / 10, i % 10, i * 7 % 10].map(|d| char::from(b'p' + d as u8)).iter().collect() };
        let population = population("web", 100);
        // Staggered over ten minutes.
        let mut all: Vec<_> = (0..100)
            .map(|i| {
                deviation(
                    "web",
                    &format!("c{i}"),
                    100 + 6 * i as i64,
                    &format!("/srv/shop/releases/{}/migrate", letters(i)),
                )
            })
            .collect();
        // The same two hours earlier, on one.
        all.push(deviation("web", "c7", 100 - 7_200, "/srv/shop/releases/www/migrate"));
        let verdicts = judge(&all, &population, &settings());
        assert!(verdicts[..100].iter().all(|verdict| verdict.score < 0.05), "{:?}", verdicts[3]);
        assert!(
            verdicts[3].reason.contains("100 of 100") && verdicts[3].reason.contains("100 spellings"),
            "{:?}",
            verdicts[3]
        );
        assert!(verdicts[100].score > 0.95, "{:?}", verdicts[100]);
        // Told apart by equality alone, each would be a stranger.
        let exact = Statistics { similar: 2.0, ..settings() };
        assert!(judge(&all, &population, &exact)[..100].iter().all(|verdict| verdict.score > 0.9));
    }

    #[test]
    fn the_stored_terms_give_the_score() {
        let deviations: Vec<_> =
            (0..7).map(|i| deviation("web", &format!("c{}", i % 3), 100 + i, &format!("/opt/{}", i % 2))).collect();
        for verdict in judge(&deviations, &population("web", 5), &settings()) {
            let stored: Verdict = serde_json::from_str(&serde_json::to_string(&verdict).unwrap()).unwrap();
            assert_eq!(stored, verdict);
            let Grounds::Rarity(rarity) = &stored.grounds else { panic!("{stored:?}") };
            assert_eq!(rarity.score() as f32, stored.score);
            let last = stored.derivation().pop().unwrap();
            assert!(last.ends_with(&format!("= {:.4}", stored.score)), "{last}");
        }
    }

    #[test]
    fn thousands_of_deviations_are_clustered_at_once() {
        let names = (0..6_000u64).map(|i| format!("/srv/{:x}/run", i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let many: Vec<_> =
            names.enumerate().map(|(i, name)| deviation("web", &format!("c{}", i % 100), i as i64, &name)).collect();
        let begin = std::time::Instant::now();
        let verdicts = judge(&many, &population("web", 100), &settings());
        println!("{} deviations with as many names: {:.0?}", many.len(), begin.elapsed());
        // At the bound, where names are compared.
        let begin = std::time::Instant::now();
        let bound = judge(&many[..1_000], &population("web", 100), &settings());
        println!("{} deviations, all compared: {:.0?}", bound.len(), begin.elapsed());
        assert!(verdicts.len() == 6_000 && bound.len() == 1_000);
    }
}
