//! Who says what is usual: the seasonal model of `replay forecast`, the same without what its width is tried out on, the naive
//! seasonal forecast, and the plain bound of `network.volume_*`.

use replay::config::Network;
use replay::forecast::model::{self, Expected};
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    Seasonal,
    /// With ETS's own width.
    Untried,
    /// As a season ago; the width by what differed from season to season (Hyndman and Athanasopoulos, *Forecasting: Principles and
    /// Practice*, 3rd edition, 5.5), in roots of bytes as the others.
    Naive,
    /// Nothing is too little, and too much is `volume_factor` times the most that was learned, or `volume_known` if that is more.
    Plain,
}

impl Method {
    pub const ALL: [Method; 4] = [Method::Seasonal, Method::Untried, Method::Naive, Method::Plain];

    pub const fn name(self) -> &'static str {
        match self {
            Method::Seasonal => "seasonal",
            Method::Untried => "seasonal, width untried",
            Method::Naive => "as a season ago",
            Method::Plain => "plain bound",
        }
    }

    /// What is expected of the buckets after `learned`; None: it does not say. `season`: in buckets.
    pub fn predict(
        self,
        learned: &[Option<f64>],
        season: usize,
        level: f64,
        horizon: usize,
        network: &Network,
    ) -> Option<Vec<Expected>> {
        let predicted = |most| model::predict_tried(learned, &[season], level, horizon, most).ok();
        match self {
            Method::Seasonal => model::predict(learned, &[season], level, horizon).ok().map(|found| found.expected),
            Method::Untried => predicted(0).map(|found| found.expected),
            Method::Naive => naive(learned, season, level, horizon),
            Method::Plain => {
                let most = learned.iter().flatten().copied().fold(0.0, f64::max);
                let high = (most * network.volume_factor).max(network.volume_known as f64);
                Some(vec![Expected { point: most, low: 0.0, high }; horizon])
            }
        }
    }
}

fn naive(learned: &[Option<f64>], season: usize, level: f64, horizon: usize) -> Option<Vec<Expected>> {
    let root = |at: usize| learned.get(at).copied().flatten().map(f64::sqrt);
    let differences: Vec<f64> = (season..learned.len()).filter_map(|at| Some(root(at)? - root(at - season)?)).collect();
    // The differences' mean is not a season's: only their spread counts.
    let sum: f64 = differences.iter().map(|difference| difference * difference).sum();
    let sigma = (sum / differences.len().checked_sub(1).filter(|n| *n > 0)? as f64).sqrt();
    let z = distrs::Normal::ppf(0.5 + level / 2.0, 0.0, 1.0);
    (0..horizon)
        .map(|at| {
            // The same hour of the last day that has it.
            let back = (1..=learned.len() / season)
                .find_map(|back| root((learned.len() + at % season).checked_sub(back * season)?));
            let (point, half) = (back?, z * sigma * ((at / season + 1) as f64).sqrt());
            let square = |root: f64| root.max(0.0).powi(2);
            Some(Expected { point: square(point), low: square(point - half), high: square(point + half) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_season_ago_with_a_width_that_grows() {
        let learned: Vec<_> = [100.0, 400.0, 121.0, 361.0].map(Some).into();
        let found = naive(&learned, 2, 0.9, 4).unwrap();
        assert_eq!(found.iter().map(|e| e.point.round()).collect::<Vec<_>>(), [121.0, 361.0, 121.0, 361.0]);
        // Roots differ by 1 and -1: their spread is √2.
        let half = 1.644_854 * 2f64.sqrt();
        assert!((found[0].high - (11.0 + half).powi(2)).abs() < 0.1, "{found:?}");
        assert!((found[2].high - (11.0 + half * 2f64.sqrt()).powi(2)).abs() < 0.1, "{found:?}");
        assert!(naive(&learned[..2], 2, 0.9, 1).is_none());
    }
}
