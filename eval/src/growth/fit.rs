//! The power that a cost follows: a straight line through logarithms, and how sure it is.

use serde::{Deserialize, Serialize};

/// y = factor · x ^ exponent
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Power {
    pub exponent: f64,
    /// 95 % interval of it.
    pub low: f64,
    pub high: f64,
    pub factor: f64,
    /// How many points it is of: those with both above 0.
    pub of_points: usize,
}

const RESAMPLES: usize = 4_000;

/// `groups`: points that were to have the same x. The exponent is by least squares through the logarithms of all of them; its interval is
/// the percentile bootstrap, each group drawn from by itself, since the places of x were chosen (Efron and Tibshirani 1993, chapters
/// 9 and 13). None: fewer than two different x.
pub fn power(groups: &[Vec<(f64, f64)>]) -> Option<Power> {
    let log = |(x, y): &(f64, f64)| (*x > 0.0 && *y > 0.0).then(|| (x.ln(), y.ln()));
    let logs: Vec<Vec<(f64, f64)>> = groups.iter().map(|group| group.iter().filter_map(log).collect()).collect();
    let all = logs.concat();
    let (exponent, offset) = line(&all)?;
    let mut random = fastrand::Rng::with_seed(1);
    let mut drawn: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let draw = logs
                .iter()
                .flat_map(|group| group.iter().map(|_| group[random.usize(..group.len())]).collect::<Vec<_>>());
            line(&draw.collect::<Vec<_>>()).map(|(exponent, _)| exponent)
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    let at = |share: f64| drawn.get((drawn.len() as f64 * share) as usize).copied().unwrap_or(exponent);
    Some(Power { exponent, low: at(0.025), high: at(0.975), factor: offset.exp(), of_points: all.len() })
}

/// Slope and offset of the line with the least squares of distances in y.
fn line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    // Of one x, but for rounding.
    if spread.is_nan() || spread < 1e-9 {
        return None;
    }
    let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
    Some((slope, y - slope * x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_found() {
        let groups: Vec<_> = [1e3, 1e4, 1e5].map(|x: f64| vec![(x, 0.5 * x.powf(0.75)); 2]).into();
        let found = power(&groups).unwrap();
        assert!((found.exponent - 0.75).abs() < 1e-9 && (found.factor - 0.5).abs() < 1e-9, "{found:?}");
        assert!((found.low - 0.75).abs() < 1e-9 && (found.high - 0.75).abs() < 1e-9, "{found:?}");
        assert_eq!(found.of_points, 6);
    }

    #[test]
    fn the_interval_holds_the_exponent_and_grows_with_noise() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut noisy = |strength: f64| -> Vec<Vec<(f64, f64)>> {
            let mut point = |x: f64| (x, x * (strength * (random.f64() - 0.5)).exp());
            (0..5).map(|i| (0..6).map(|_| point(10f64.powi(i))).collect()).collect()
        };
        let (small, large) = (power(&noisy(0.05)).unwrap(), power(&noisy(1.0)).unwrap());
        for found in [small, large] {
            assert!(found.low <= found.exponent && found.exponent <= found.high, "{found:?}");
            assert!((found.exponent - 1.0).abs() < 0.1, "{found:?}");
        }
        assert!(large.high - large.low > small.high - small.low);
    }

    #[test]
    fn what_has_no_power_has_none() {
        assert_eq!(power(&[vec![(1.0, 1.0), (1.0, 2.0)]]), None, "one x");
        assert_eq!(power(&[vec![(1.0, 0.0)], vec![(2.0, -1.0)]]), None, "no logarithm");
        assert_eq!(power(&[]), None);
        let flat = power(&[vec![(1.0, 3.0)], vec![(10.0, 3.0)], vec![(100.0, 3.0)]]).unwrap();
        assert!(flat.exponent.abs() < 1e-12, "{flat:?}");
    }
}
