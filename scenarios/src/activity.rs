//! What recurs while a scenario runs: health checks, reloads, an operator's looks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::definition::Activity;
use crate::podman::output;
use crate::stage::Stage;
use crate::timeline::Runs;

/// Runs every activity at its interval until `done`. The intervals follow from `seed`; a failed run is counted.
pub(crate) fn run(stage: &Stage, activities: &[Activity], seed: u64, done: &AtomicBool) -> BTreeMap<String, Runs> {
    let mut random = SplitMix(seed);
    let mut runs: BTreeMap<String, Runs> = activities.iter().map(|each| (each.name.clone(), Runs::default())).collect();
    let begin = Instant::now();
    // The first runs are spread over the first interval.
    let mut due: Vec<f64> = activities.iter().map(|activity| activity.every_s * random.unit()).collect();
    while !done.load(Ordering::Relaxed) {
        for (activity, due) in activities.iter().zip(&mut due) {
            if begin.elapsed().as_secs_f64() < *due || done.load(Ordering::Relaxed) {
                continue;
            }
            *due += activity.every_s * (1.0 + activity.jitter * (2.0 * random.unit() - 1.0));
            let result = stage.exec(&activity.service, &activity.command).and_then(output);
            let count = runs.entry(activity.name.clone()).or_default();
            count.done += 1;
            count.failed += u64::from(result.is_err());
        }
        sleep(Duration::from_millis(100));
    }
    runs
}

/// SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
pub(crate) struct SplitMix(pub u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 up to, but not, 1.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // First outputs for seed 0, from the authors' reference implementation.
        let mut random = SplitMix(0);
        assert_eq!(random.next(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.next(), 0x6e78_9e6a_a1b9_65f4);
        assert!((0..1000).all(|_| (0.0..1.0).contains(&random.unit())));
    }
}
