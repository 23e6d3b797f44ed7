//! A seasonal model of bytes per bucket, and how far from it they may be.
//!
//! The series is taken apart by MSTL (Bandara, Hyndman and Bergmeir, arXiv:2107.13462): a component for each season, and the rest, which
//! exponential smoothing (ETS; Hyndman, Koehler, Ord and Snyder, *Forecasting with Exponential Smoothing*, 2008) carries on; both are
//! the crates `augurs-mstl` and `augurs-ets`. What is modelled is the square root: of sums of a random number of messages the variance
//! grows with the mean, and the root's does not (Bartlett, *The Use of Transformations*, Biometrics 3, 1947). The forecast is so the
//! median, and no interval reaches below 0.
//!
//! **The interval** is ETS's, for additive errors (the library draws random numbers for some others), with its width corrected by what
//! was learned: seasons at the end of the learned part are forecast from what was before them, and the width is scaled such that
//! the wanted share of them is inside, above and below apart (split conformal prediction: Lei et al., *Distribution-Free Predictive
//! Inference for Regression*, JASA 113, 2018). It takes three whole seasons; with two the width is ETS's alone, which counts on errors
//! that are normal and on a season that is known exactly, and is too narrow as a rule.

use augurs_core::{Fit, ForecastIntervals, Predict};
use augurs_ets::AutoETS;
use augurs_mstl::{MSTLModel, NaiveTrend, TrendModel};
use serde::Serialize;

/// Fewest buckets that anything is learned from: the criterion by which ETS chooses a model (AICc) is not defined for much fewer.
pub const LEAST: usize = 16;
/// Seasons at the end of the learned part that are tried out.
const TRIED: usize = 4;
/// Least half width, as a root of bytes: where every bucket was like any other, a few bytes more are no news.
const NARROW: f64 = 1.0;

/// What is expected of a bucket, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Expected {
    /// The median.
    pub point: f64,
    /// Ends of the interval.
    pub low: f64,
    pub high: f64,
}

impl Expected {
    /// Whether the interval has the value.
    pub fn holds(&self, bytes: f64) -> bool {
        (self.low..=self.high).contains(&bytes)
    }
}

/// A forecast.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicted {
    /// Of the buckets that follow the learned ones.
    pub expected: Vec<Expected>,
    /// Seasons in it, in buckets, ascending.
    pub seasons: Vec<usize>,
    /// Seasons that were tried out for the width; 0: it is ETS's alone.
    pub tried: usize,
}

/// Why there is no forecast.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// In buckets.
    #[error(
        "{learned} buckets were learned, and the shortest season takes {needed}: twice its length, and at least {LEAST}"
    )]
    TooShort { learned: usize, needed: usize },
    #[error("a third or more of what was learned is gaps: {gaps} of {learned} buckets were not recorded whole")]
    Gaps { gaps: usize, learned: usize },
    #[error("no model fits: {0}")]
    Failed(String),
}

/// Forecasts the `horizon` buckets after `learned`, in bytes; a None is a bucket that was not recorded. `seasons`: lengths in buckets;
/// those that do not fit in twice are left out. `level`: share of buckets that the interval shall have, above 0 and below 1.
///
/// # Errors
/// Too little to learn from, or numbers that no model fits.
pub fn predict(learned: &[Option<f64>], seasons: &[usize], level: f64, horizon: usize) -> Result<Predicted, Unfit> {
    predict_tried(learned, seasons, level, horizon, TRIED)
}

/// The same with the width tried out on at most so many seasons; 0: as ETS has it.
///
/// # Errors
/// As [`predict`].
pub fn predict_tried(
    learned: &[Option<f64>],
    seasons: &[usize],
    level: f64,
    horizon: usize,
    most: usize,
) -> Result<Predicted, Unfit> {
    let needed = |season: usize| (2 * season).max(LEAST);
    let mut fitting: Vec<usize> =
        seasons.iter().copied().filter(|season| *season >= 2 && needed(*season) <= learned.len()).collect();
    fitting.sort_unstable();
    fitting.dedup();
    let Some(&longest) = fitting.last() else {
        let needed = seasons.iter().map(|season| needed(*season)).min().unwrap_or(LEAST);
        return Err(Unfit::TooShort { learned: learned.len(), needed });
    };
    let gaps = learned.iter().filter(|value| value.is_none()).count();
    if gaps * 3 >= learned.len() {
        return Err(Unfit::Gaps { gaps, learned: learned.len() });
    }
    let roots = filled(&learned.iter().map(|value| value.map(f64::sqrt)).collect::<Vec<_>>(), longest);

    // What is tried out is forecast from two whole seasons and more.
    let tried = (learned.len() / longest).saturating_sub(2).min(most);
    let (mut above, mut below) = (Vec::new(), Vec::new());
    for back in (1..=tried).rev() {
        let from = learned.len() - back * longest;
        for (at, band) in bands(&roots[..from], &fitting, level, longest)?.into_iter().enumerate() {
            if learned[from + at].is_some() {
                let off = roots[from + at] - band.middle;
                above.push(off / band.half);
                below.push(-off / band.half);
            }
        }
    }
    let (up, down) = (factor(above, level), factor(below, level));
    let expected = bands(&roots, &fitting, level, horizon)?.into_iter().map(|Band { middle, half }| Expected {
        point: square(middle),
        low: square(middle - half * down),
        high: square(middle + half * up),
    });
    Ok(Predicted { expected: expected.collect(), seasons: fitting, tried })
}

/// In roots of bytes.
struct Band {
    middle: f64,
    half: f64,
}

/// By how much the width is to be multiplied, so that `level` is inside: half of what may be outside is on each side. Where too few
/// buckets were tried out to tell, it is not made narrower.
fn factor(mut scores: Vec<f64>, level: f64) -> f64 {
    scores.sort_unstable_by(f64::total_cmp);
    let Some(largest) = scores.last() else { return 1.0 };
    let rank = ((scores.len() + 1) as f64 * (1.0 + level) / 2.0).ceil() as usize;
    scores.get(rank.saturating_sub(1)).copied().unwrap_or(largest.max(1.0)).max(0.0)
}

fn square(root: f64) -> f64 {
    root.max(0.0).powi(2)
}

/// Gaps get the mean of the same place in the other seasons, else that of all.
fn filled(values: &[Option<f64>], season: usize) -> Vec<f64> {
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        let (count, sum) = values.fold((0u64, 0.0), |(count, sum), value| (count + 1, sum + value));
        (count > 0).then(|| sum / count as f64)
    };
    let all = mean(&mut values.iter().flatten().copied()).unwrap_or(0.0);
    let like = |at: usize| mean(&mut values.iter().skip(at % season).step_by(season).flatten().copied()).unwrap_or(all);
    values.iter().enumerate().map(|(at, value)| value.unwrap_or_else(|| like(at))).collect()
}

fn bands(roots: &[f64], seasons: &[usize], level: f64, horizon: usize) -> Result<Vec<Band>, Unfit> {
    if let Some(first) = roots.first()
        && roots.iter().all(|root| root == first)
    {
        return Ok((0..horizon).map(|_| Band { middle: *first, half: NARROW }).collect());
    }
    // What repeats itself exactly leaves ETS no error to choose a model by.
    with_trend(roots, seasons, ets(), level, horizon)
        .or_else(|_| with_trend(roots, seasons, NaiveTrend::new(), level, horizon))
}

/// Additive errors; without a trend, with one, or with one that fades, by AICc.
fn ets() -> impl TrendModel {
    AutoETS::new(1, "AZN").expect("a specification of the library's own").into_trend_model()
}

fn with_trend(
    roots: &[f64],
    seasons: &[usize],
    trend: impl TrendModel,
    level: f64,
    horizon: usize,
) -> Result<Vec<Band>, Unfit> {
    let failed = |error: augurs_mstl::Error| Unfit::Failed(error.to_string());
    let model = MSTLModel::new(seasons.to_vec(), trend).fit(roots).map_err(failed)?;
    let forecast = model.predict(horizon, level).map_err(failed)?;
    let Some(ForecastIntervals { upper, .. }) = forecast.intervals else {
        return Err(Unfit::Failed("the library gave no interval".to_owned()));
    };
    let ends = || forecast.point.iter().zip(&upper);
    if upper.len() != horizon || !ends().all(|(point, upper)| point.is_finite() && upper.is_finite()) {
        return Err(Unfit::Failed("the forecast is no number".to_owned()));
    }
    Ok(ends().map(|(point, upper)| Band { middle: *point, half: (upper - point).max(NARROW) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uniform in 0..1, from a fixed seed (SplitMix64: Steele, Lea and Flood, OOPSLA 2014).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    const DAY: usize = 24;

    /// A day's shape: 40 messages an hour, 60 % more at its height, of 500 to 1500 bytes each.
    fn hours(seed: u64, count: usize) -> Vec<f64> {
        let mut random = Random(seed);
        let hour = |at: usize| {
            let rate = 40.0 * (1.0 + 0.6 * (at as f64 / DAY as f64 * std::f64::consts::TAU).sin());
            // A binomial number of 200 chances is near enough to Poisson's.
            let messages = (0..200).filter(|_| random.next() < rate / 200.0).count();
            (0..messages).map(|_| 500.0 + 1000.0 * random.next()).sum::<f64>().round()
        };
        (0..count).map(hour).collect()
    }

    fn known(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn the_interval_has_the_share_it_is_asked_for() {
        let (mut inside, mut all, mut wide) = (0, 0, 0.0);
        for seed in 0..12 {
            let values = hours(seed, 10 * DAY);
            let predicted = predict(&known(&values[..7 * DAY]), &[DAY], 0.9, 3 * DAY).unwrap();
            assert_eq!((predicted.expected.len(), predicted.tried), (3 * DAY, 4));
            for (expected, value) in predicted.expected.iter().zip(&values[7 * DAY..]) {
                inside += usize::from(expected.holds(*value));
                all += 1;
                wide += expected.high - expected.low;
            }
        }
        let (share, wide) = (f64::from(inside as u32) / f64::from(all as u32), wide / f64::from(all as u32));
        println!("{share:.3} of {all} inside at 0.9, {wide:.0} bytes wide");
        assert!((0.86..=0.95).contains(&share), "{share}");
        // The truth: 90 % of a sum of 40 messages of 1000 bytes lie within 2 · 1.64 · √(40 · 1083333), 21,600 bytes.
        assert!((17_000.0..32_000.0).contains(&wide), "{wide}");
    }

    #[test]
    fn the_season_is_in_it_and_a_spike_is_out() {
        let values = hours(99, 9 * DAY);
        let Predicted { expected, seasons, .. } =
            predict(&known(&values[..7 * DAY]), &[DAY, 7 * DAY], 0.99, 2 * DAY).unwrap();
        assert_eq!(seasons, [DAY], "a week is not in it twice");
        let (high, low) = (expected[6], expected[18]);
        assert!(high.point > 2.0 * low.point, "{high:?} {low:?}");
        // What is usual at the day's height is too much at its depth.
        assert!(expected[18].high < expected[6].point, "{high:?} {low:?}");
        assert!(!expected[18].holds(64_000.0) && expected[6].holds(64_000.0), "{high:?} {low:?}");
        assert!(expected.iter().all(|expected| 0.0 <= expected.low && expected.low <= expected.point));
        assert!(expected.iter().all(|expected| expected.point <= expected.high));
    }

    #[test]
    fn two_seasons_are_enough_and_the_width_is_then_the_models() {
        let values = hours(3, 2 * DAY);
        let predicted = predict(&known(&values), &[DAY], 0.9, DAY).unwrap();
        assert_eq!(predicted.tried, 0);
        let short = predict(&known(&values[1..]), &[DAY], 0.9, DAY).unwrap_err();
        assert_eq!(short, Unfit::TooShort { learned: 47, needed: 48 });
        assert!(short.to_string().contains("47 buckets"), "{short}");
        assert_eq!(predict(&[], &[DAY, 3], 0.9, 1), Err(Unfit::TooShort { learned: 0, needed: 16 }));
        assert_eq!(predict(&[], &[], 0.9, 1), Err(Unfit::TooShort { learned: 0, needed: 16 }));
    }

    #[test]
    fn quiet_constant_and_exactly_periodic_series_have_a_forecast() {
        let nothing = predict(&[Some(0.0); 72], &[DAY], 0.99, DAY).unwrap();
        assert!(nothing.expected.iter().all(|expected| expected.holds(0.0) && !expected.holds(10.0)));
        let constant = predict(&[Some(1e6); 72], &[DAY], 0.99, DAY).unwrap();
        assert!(constant.expected.iter().all(|expected| expected.holds(1e6) && !expected.holds(1.1e6)));
        let exact: Vec<_> = (0..72).map(|at| Some(if at % DAY == 5 { 9e6 } else { 0.0 })).collect();
        let exact = predict(&exact, &[DAY], 0.99, DAY).unwrap();
        for (at, expected) in exact.expected.iter().enumerate() {
            assert_eq!(expected.holds(9e6), at == 5, "{at}: {expected:?}");
        }
        // A peer that is asked once in a while, and mostly not.
        let mut random = Random(5);
        let rare: Vec<_> = (0..10 * DAY).map(|_| Some(if random.next() < 0.05 { 2_000.0 } else { 0.0 })).collect();
        let rare = predict(&rare, &[DAY], 0.99, DAY).unwrap();
        assert!(rare.expected.iter().all(|expected| expected.holds(0.0) && expected.high < 200_000.0), "{rare:?}");
    }

    #[test]
    fn gaps_are_bridged_until_they_are_too_many() {
        let values = hours(11, 8 * DAY);
        let mut learned = known(&values[..7 * DAY]);
        (30..50).chain([80, 100, 101]).for_each(|at| learned[at] = None);
        let bridged = predict(&learned, &[DAY], 0.99, DAY).unwrap();
        let whole = predict(&known(&values[..7 * DAY]), &[DAY], 0.99, DAY).unwrap();
        let inside = bridged.expected.iter().zip(&values[7 * DAY..]).filter(|(e, v)| e.holds(**v)).count();
        assert!(inside >= DAY - 2, "{inside}");
        for (bridged, whole) in bridged.expected.iter().zip(&whole.expected) {
            assert!((bridged.point / whole.point - 1.0).abs() < 0.25, "{bridged:?} {whole:?}");
        }
        (0..60).for_each(|at| learned[at] = None);
        assert!(matches!(predict(&learned, &[DAY], 0.99, DAY), Err(Unfit::Gaps { learned: 168, .. })));
    }

    #[test]
    fn the_same_series_gives_the_same_forecast() {
        let values = known(&hours(21, 5 * DAY));
        let once = predict(&values, &[DAY], 0.95, 2 * DAY).unwrap();
        assert_eq!(once, predict(&values, &[DAY], 0.95, 2 * DAY).unwrap());
        assert!(predict(&values, &[DAY], 0.95, 0).unwrap().expected.is_empty());
    }
}
