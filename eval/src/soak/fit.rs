//! A line through points, robust against outliers.

/// Slope per unit of x with its 95 % interval: the median of the slopes of all pairs of points, and the interval that Kendall's
/// statistic gives (P. K. Sen 1968, "Estimates of the regression coefficient based on Kendall's tau"). `None` of fewer than 4
/// points. Assumes that points are independent of each other: the caller spaces them.
pub fn slope(points: &[(f64, f64)]) -> Option<(f64, f64, f64)> {
    let n = points.len();
    if n < 4 {
        return None;
    }
    let pairs = points.iter().enumerate().flat_map(|(i, a)| points[i + 1..].iter().map(move |b| (a, b)));
    let mut slopes: Vec<f64> = pairs.filter(|(a, b)| a.0 != b.0).map(|(a, b)| (b.1 - a.1) / (b.0 - a.0)).collect();
    slopes.sort_by(f64::total_cmp);
    let (count, last) = (slopes.len() as f64, slopes.len().checked_sub(1)?);
    // Variance of Kendall's S without ties.
    let variance = (n * (n - 1) * (2 * n + 5)) as f64 / 18.0;
    let reach = 1.96 * variance.sqrt();
    let at = |rank: f64| slopes[(rank.max(0.0) as usize).min(last)];
    let (low, high) = (((count - reach) / 2.0).floor(), ((count + reach) / 2.0).ceil());
    Some((crate::overhead::stats::median(&slopes), at(low - 1.0), at(high)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_outliers_do_not_move_it() {
        let mut points: Vec<(f64, f64)> = (0..50).map(|i| (f64::from(i), 10.0 + 0.5 * f64::from(i))).collect();
        points[7].1 = 900.0;
        let (slope, low, high) = super::slope(&points).unwrap();
        assert!((slope - 0.5).abs() < 1e-9 && low <= 0.5 && high >= 0.5 && high - low < 0.1, "{slope} {low} {high}");
        assert_eq!(super::slope(&points[..3]), None);
    }

    #[test]
    fn the_interval_holds_the_slope_19_times_in_20() {
        let mut random = fastrand::Rng::with_seed(4);
        let held = (0..400).filter(|_| {
            let noise = |random: &mut fastrand::Rng| (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
            let points: Vec<_> = (0..30).map(|i| (f64::from(i), 0.1 * f64::from(i) + noise(&mut random))).collect();
            let (_, low, high) = slope(&points).unwrap();
            low <= 0.1 && 0.1 <= high
        });
        let held = held.count();
        assert!((370..=395).contains(&held), "{held} of 400");
    }
}
