//! Area under the ROC curve with bootstrap intervals, and rates with Wilson's.

/// A number with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// `hits` of `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub hits: usize,
    pub all: usize,
}

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2000;
/// 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_964;

/// How often a malicious score lies above a benign one, ties as half (Mann–Whitney), with the percentile interval of a
/// bootstrap that resamples benign and malicious pairs apart (B. Efron, "Bootstrap methods", Ann. Statist. 7, 1979). The
/// resamples are the same each time.
pub fn auc(benign: &[f64], malicious: &[f64]) -> Interval {
    let value = area(benign, malicious);
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut sample = |from: &[f64]| -> Vec<f64> {
        from.iter().map(|_| from[(next(&mut state) % from.len() as u64) as usize]).collect()
    };
    let mut areas: Vec<f64> = (0..RESAMPLES).map(|_| area(&sample(benign), &sample(malicious))).collect();
    areas.sort_by(f64::total_cmp);
    let at = |share: f64| areas[((RESAMPLES - 1) as f64 * share).round() as usize];
    Interval { value, low: at(0.025), high: at(0.975) }
}

/// xorshift64* (S. Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016).
fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
}

fn area(benign: &[f64], malicious: &[f64]) -> f64 {
    if benign.is_empty() || malicious.is_empty() {
        return f64::NAN;
    }
    let mut sorted = benign.to_vec();
    sorted.sort_by(f64::total_cmp);
    let above = |score: &f64| {
        let below = sorted.partition_point(|other| other < score);
        let upto = sorted.partition_point(|other| other <= score);
        (below + upto) as f64 / 2.0
    };
    malicious.iter().map(above).sum::<f64>() / (benign.len() * malicious.len()) as f64
}

/// Wilson's 95 % interval of a share (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927).
pub fn wilson(rate: Rate) -> Interval {
    let n = rate.all.max(1) as f64;
    let share = rate.hits as f64 / n;
    let centre = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    Interval { value: share, low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
}

/// The threshold that misses at most `misses` of the malicious scores and flags fewest of the benign; from it on a score is
/// flagged. Also the two rates there.
pub fn threshold(benign: &[f64], malicious: &[f64], misses: f64) -> (f64, Rate, Rate) {
    let mut candidates: Vec<f64> = malicious.to_vec();
    candidates.sort_by(f64::total_cmp);
    let may_miss = (malicious.len() as f64 * misses).floor() as usize;
    let bound = candidates.get(may_miss).copied().unwrap_or(0.0);
    let flagged = benign.iter().filter(|score| **score >= bound).count();
    let missed = malicious.iter().filter(|score| **score < bound).count();
    (bound, Rate { hits: flagged, all: benign.len() }, Rate { hits: missed, all: malicious.len() })
}

/// Points of the ROC curve, (share of benign flagged, share of malicious flagged), from the strictest threshold on.
pub fn curve(benign: &[f64], malicious: &[f64]) -> Vec<(f64, f64)> {
    let mut bounds: Vec<f64> = benign.iter().chain(malicious).copied().collect();
    bounds.sort_by(|a, b| b.total_cmp(a));
    bounds.dedup();
    let share = |scores: &[f64], bound: f64| {
        scores.iter().filter(|score| **score >= bound).count() as f64 / scores.len().max(1) as f64
    };
    std::iter::once((0.0, 0.0))
        .chain(bounds.iter().map(|bound| (share(benign, *bound), share(malicious, *bound))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_counts_ties_as_half() {
        assert_eq!(area(&[0.0, 0.0], &[1.0]), 1.0);
        assert_eq!(area(&[0.0, 1.0], &[1.0, 0.5]), 0.625);
        assert_eq!(area(&[0.3], &[0.3]), 0.5);
        assert!(area(&[], &[0.3]).is_nan());
    }

    #[test]
    fn intervals_hold_their_value() {
        let (benign, malicious): (Vec<f64>, Vec<f64>) =
            ((0..60).map(|i| f64::from(i) / 60.0).collect(), (0..60).map(|i| 0.4 + f64::from(i) / 60.0).collect());
        let found = auc(&benign, &malicious);
        assert!(found.low < found.value && found.value < found.high && found.high < 1.0, "{found:?}");
        assert_eq!(found, auc(&benign, &malicious), "the same resamples");
        // By hand: 3 of 64, z = 1.96.
        let wilson = wilson(Rate { hits: 3, all: 64 });
        assert!((wilson.low - 0.0161).abs() < 5e-4 && (wilson.high - 0.1290).abs() < 5e-4, "{wilson:?}");
    }

    #[test]
    fn the_threshold_misses_no_more_than_asked() {
        let (bound, flagged, missed) = threshold(&[0.1, 0.2, 0.9], &[0.05, 0.5, 0.6, 0.7], 0.25);
        assert_eq!((bound, flagged.hits, missed.hits), (0.5, 1, 1));
        let curve = curve(&[0.1, 0.9], &[0.5, 0.95]);
        assert_eq!(curve, [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]);
    }
}
