//! How good forecasts of traffic are: learned on the first days of recordings, compared with the days held back.
//!
//! *Inside* is the share of held-back buckets that are within the interval, *above* the share beyond its upper end: what would be
//! evidence against ordinary life. *Width* is the interval's, in means of a learned bucket. *Found* is the share of held-back buckets
//! that would be above if a volume had been sent in them on top of what was; each way and bucket in turn, so that nothing is drawn.

pub mod methods;

use datasets::Recording;
use rayon::prelude::*;
use replay::config::Config;
use replay::forecast::{self, Line, Options};
use serde::Serialize;

use crate::Result;
use methods::Method;

/// A volume on top of what was sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Volume {
    /// Of the mean learned bucket of the way.
    Times(f64),
    Bytes(f64),
}

impl std::str::FromStr for Volume {
    type Err = String;

    /// `3x`, or bytes as `20000`, `64k`, `1M`, `2G`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let number = |text: &str, unit: f64| text.parse::<f64>().ok().map(|number| number * unit);
        let sound = |number: &f64| *number > 0.0 && number.is_finite();
        let found = match text.char_indices().last() {
            Some((at, 'x')) => number(&text[..at], 1.0).filter(sound).map(Volume::Times),
            Some((at, 'k')) => number(&text[..at], 1e3).filter(sound).map(Volume::Bytes),
            Some((at, 'M')) => number(&text[..at], 1e6).filter(sound).map(Volume::Bytes),
            Some((at, 'G')) => number(&text[..at], 1e9).filter(sound).map(Volume::Bytes),
            _ => number(text, 1.0).filter(sound).map(Volume::Bytes),
        };
        found.ok_or_else(|| "times the usual, as 3x, or bytes, as 64k or 1M".to_owned())
    }
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// ns
    pub bucket: i64,
    /// ns
    pub season: i64,
    pub levels: Vec<f64>,
    pub until: Option<String>,
    /// As they were written, with what they mean.
    pub volumes: Vec<(String, Volume)>,
}

/// The measurement.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub recordings: Vec<String>,
    pub bucket_s: f64,
    pub season_s: f64,
    /// Buckets of each recording.
    pub learned: Vec<usize>,
    pub held_back: Vec<usize>,
    /// Ways that every method has a forecast of, and others.
    pub ways: usize,
    pub left_out: usize,
    pub volumes: Vec<String>,
    pub rows: Vec<Row>,
}

/// One method at one level, over all ways and held-back buckets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub level: f64,
    pub method: Method,
    /// Buckets that were compared.
    pub buckets: usize,
    pub inside: f64,
    pub above: f64,
    pub width: f64,
    /// Of each volume.
    pub found: Vec<f64>,
}

/// Sums of one way.
#[derive(Clone, Debug, Default)]
struct Tally {
    buckets: usize,
    inside: usize,
    above: usize,
    width: f64,
    found: Vec<usize>,
}

/// Reads, forecasts and compares each recording by itself.
///
/// # Errors
/// As [`forecast::forecast`].
pub fn measure(recordings: &[(String, Recording)], plan: &Plan, config: &Config) -> Result<Measured> {
    let mut measured = Measured {
        recordings: recordings.iter().map(|(name, _)| name.clone()).collect(),
        bucket_s: plan.bucket as f64 / 1e9,
        season_s: plan.season as f64 / 1e9,
        learned: Vec::new(),
        held_back: Vec::new(),
        ways: 0,
        left_out: 0,
        volumes: plan.volumes.iter().map(|(text, _)| text.clone()).collect(),
        rows: Vec::new(),
    };
    let mut tallies: Vec<Vec<[Tally; 4]>> = vec![Vec::new(); plan.levels.len()];
    for recording in recordings {
        let traffic = forecast::read(std::slice::from_ref(recording), plan.bucket, config)?;
        for (at, &level) in plan.levels.iter().enumerate() {
            let options = Options { bucket: plan.bucket, seasons: vec![plan.season], level, until: plan.until.clone() };
            let found = forecast::of(&traffic, &options)?;
            let compared = compare(&found.lines, level, plan, config);
            if at == 0 {
                let buckets = |from: i64, to: i64| ((to - from) / plan.bucket) as usize;
                measured.learned.push(buckets(found.from, found.until));
                measured.held_back.push(buckets(found.until, found.to));
                measured.ways += compared.len();
                measured.left_out += found.lines.len() - compared.len();
            }
            tallies[at].extend(compared);
        }
    }
    for (level, tallies) in plan.levels.iter().zip(&tallies) {
        measured.rows.extend(
            Method::ALL.iter().enumerate().map(|(at, method)| {
                row(*level, *method, tallies.iter().map(|tallies| &tallies[at]), plan.volumes.len())
            }),
        );
    }
    Ok(measured)
}

/// Each way that all methods have a forecast of, by method.
fn compare(lines: &[Line], level: f64, plan: &Plan, config: &Config) -> Vec<[Tally; 4]> {
    let season = (plan.season / plan.bucket) as usize;
    // On a way that got nothing while it was learned any byte is news, to all methods.
    let told = |line: &&Line| line.unfit.is_none() && line.learned.iter().flatten().any(|bytes| *bytes > 0.0);
    let lines: Vec<&Line> = lines.iter().filter(told).collect();
    let tallies = lines.par_iter().map(|line| {
        let tallied = Method::ALL.map(|method| tally(method, line, season, level, plan, config));
        tallied.iter().all(Option::is_some).then(|| tallied.map(Option::unwrap_or_default))
    });
    let tallies: Vec<Option<[Tally; 4]>> = tallies.collect();
    tallies.into_iter().flatten().collect()
}

fn tally(method: Method, line: &Line, season: usize, level: f64, plan: &Plan, config: &Config) -> Option<Tally> {
    let horizon = line.held_back.len();
    let expected = match method {
        // It is there already.
        Method::Seasonal => line.held_back.iter().map(|held| held.expected).collect::<Option<Vec<_>>>()?,
        _ => method.predict(&line.learned, season, level, horizon, &config.network)?,
    };
    let learned: Vec<f64> = line.learned.iter().flatten().copied().collect();
    let mean = learned.iter().sum::<f64>() / learned.len() as f64;
    let mut tally = Tally { found: vec![0; plan.volumes.len()], ..Tally::default() };
    for (held, expected) in line.held_back.iter().zip(expected) {
        let Some(bytes) = held.bytes else { continue };
        tally.buckets += 1;
        tally.inside += usize::from(expected.holds(bytes));
        tally.above += usize::from(bytes > expected.high);
        tally.width += (expected.high - expected.low) / mean;
        for (found, (_, volume)) in tally.found.iter_mut().zip(&plan.volumes) {
            let more = match volume {
                Volume::Times(times) => times * mean,
                Volume::Bytes(bytes) => *bytes,
            };
            *found += usize::from(bytes + more > expected.high);
        }
    }
    Some(tally)
}

fn row<'a>(level: f64, method: Method, tallies: impl Iterator<Item = &'a Tally>, volumes: usize) -> Row {
    let mut all = Tally { found: vec![0; volumes], ..Tally::default() };
    for Tally { buckets, inside, above, width, found } in tallies {
        all.buckets += buckets;
        all.inside += inside;
        all.above += above;
        all.width += width;
        all.found.iter_mut().zip(found).for_each(|(all, found)| *all += found);
    }
    let share = |count: usize| count as f64 / all.buckets.max(1) as f64;
    Row {
        level,
        method,
        buckets: all.buckets,
        inside: share(all.inside),
        above: share(all.above),
        width: all.width / all.buckets.max(1) as f64,
        found: all.found.iter().map(|found| share(*found)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_times_or_bytes() {
        let read = |text: &str| text.parse::<Volume>();
        assert_eq!((read("3x"), read("0.5x")), (Ok(Volume::Times(3.0)), Ok(Volume::Times(0.5))));
        assert_eq!((read("20000"), read("1.5M")), (Ok(Volume::Bytes(2e4)), Ok(Volume::Bytes(1.5e6))));
        for bad in ["", "x", "0x", "-1k", "nan", "1T"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_inside_above_and_found_is_counted() {
        let expected = |high| Some(forecast::model::Expected { point: 50.0, low: 10.0, high });
        let held = |bytes, high| forecast::Held { begin: 0, bytes, expected: expected(high) };
        let pair = forecast::series::Pair {
            container: "c".into(),
            image: "i".into(),
            peer: "p".to_owned(),
            protocol: "tcp".to_owned(),
            port: Some(1),
            client: true,
        };
        let line = Line {
            pair,
            way: forecast::series::Way::Out,
            learned: vec![Some(30.0), None, Some(70.0)],
            held_back: vec![held(Some(50.0), 100.0), held(Some(120.0), 110.0), held(None, 1.0), held(Some(5.0), 60.0)],
            seasons_s: vec![2.0],
            tried: 0,
            unfit: None,
        };
        let volumes = [("1x", Volume::Times(1.0)), ("70", Volume::Bytes(70.0))];
        let volumes = volumes.map(|(text, volume)| (text.to_owned(), volume)).to_vec();
        let plan = Plan { bucket: 1, season: 2, levels: vec![0.9], until: None, volumes };
        let config = replay::config::load(None, &[]).unwrap();
        let tally = tally(Method::Seasonal, &line, 2, 0.9, &plan, &config).unwrap();
        let row = row(0.9, Method::Seasonal, [&tally, &tally].into_iter(), 2);
        assert_eq!((row.buckets, row.inside, row.above), (6, 1.0 / 3.0, 1.0 / 3.0));
        // The mean of what was learned is 50: on top of 50, 120 and 5, of which the last stays below 60.
        assert_eq!(row.found, [1.0 / 3.0, 1.0]);
        assert_eq!(row.width, (90.0 + 100.0 + 50.0) / 50.0 / 3.0);
    }
}
