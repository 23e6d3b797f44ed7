//! Medians and how sure they are.

/// The middle value; of an even number, the mean of the middle two. NaN of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// Median of the absolute distances from the median, as a share of it: how noisy a machine is.
pub fn spread(values: &[f64]) -> f64 {
    let middle = median(values);
    median(&values.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>()) / middle
}

/// Resamples drawn for an interval.
const RESAMPLES: usize = 10_000;

/// The 95 % interval of `median(with) / median(without)` by the percentile bootstrap over rounds (Efron and Tibshirani 1993,
/// chapter 13). A round's two runs stay together: they shared the machine's mood.
pub fn ratio_interval(with: &[f64], without: &[f64]) -> (f64, f64) {
    let n = with.len().min(without.len());
    if n == 0 {
        return (f64::NAN, f64::NAN);
    }
    let mut random = fastrand::Rng::with_seed(1);
    let mut ratios: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn: Vec<usize> = (0..n).map(|_| random.usize(..n)).collect();
            let of = |values: &[f64]| median(&drawn.iter().map(|i| values[*i]).collect::<Vec<_>>());
            of(with) / of(without)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    (ratios[RESAMPLES / 40], ratios[RESAMPLES - RESAMPLES / 40 - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_spread() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        assert_eq!(spread(&[9.0, 10.0, 12.0]), 0.1);
    }

    #[test]
    fn an_interval_holds_the_ratio_and_grows_with_noise() {
        let without = [1.0, 1.1, 0.9, 1.05, 0.95];
        let with = without.map(|seconds| seconds * 1.5);
        let (low, high) = ratio_interval(&with, &without);
        assert!((low - 1.5).abs() < 1e-9 && (high - 1.5).abs() < 1e-9, "paired noise cancels: {low} {high}");
        let (low, high) = ratio_interval(&[1.2, 1.6, 1.5, 1.9, 1.4], &without);
        assert!(low < 1.5 && high > 1.5);
    }
}
