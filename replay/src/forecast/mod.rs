//! How much each container and its peers exchange, forecast from what they did so far, and when it was otherwise.
//!
//! One pass over the recordings sums bytes per bucket ([`series`]); what was learned of each pair is forecast ([`model`]) and compared
//! with the rest. Bytes count when a socket is closed.

pub mod model;
mod picture;
mod render;
pub mod series;

use std::ops::Range;

use datasets::{Recording, select};
use jiff::{Span, SpanRelativeTo, Unit};
use rayon::prelude::*;
use record_bpf::Class;
use serde::Serialize;

use self::model::{Expected, Predicted};
use self::series::{Buckets, MOST, Pair, Way};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::run::progress_of;

pub use picture::draw;
pub use render::{render, to_json};

/// ns
const HOUR: i64 = 3_600_000_000_000;

/// What is to be forecast.
#[derive(Clone, Debug)]
pub struct Options {
    /// ns
    pub bucket: i64,
    /// ns, each a whole number of buckets, and at least two. Empty: the hour and the day, if they are.
    pub seasons: Vec<i64>,
    /// Share of buckets that the interval shall have.
    pub level: f64,
    /// End of what is learned: a moment, or `+` and the time since the begin. None: after three quarters.
    pub until: Option<String>,
}

/// What was forecast, and what came.
#[derive(Clone, Debug, Serialize)]
pub struct Forecasts {
    pub recordings: Vec<String>,
    pub bucket_s: f64,
    pub level: f64,
    /// Begin and end of what was learned, and end of what was held back; Unix time, ns.
    pub from: i64,
    pub until: i64,
    pub to: i64,
    pub lines: Vec<Line>,
    /// What cannot be seen in these recordings.
    pub limits: Vec<String>,
}

/// One way between a container and a peer.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    #[serde(flatten)]
    pub pair: Pair,
    pub way: Way,
    /// Bytes of each bucket; null: it was not recorded whole.
    pub learned: Vec<Option<f64>>,
    pub held_back: Vec<Held>,
    /// Seasons in the forecast, s.
    pub seasons_s: Vec<f64>,
    /// Seasons that the interval's width was tried on; 0: it is the model's own, which is too narrow as a rule.
    pub tried: usize,
    /// Why there is no forecast.
    pub unfit: Option<String>,
}

/// A bucket that was held back.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Held {
    /// Unix time, ns.
    pub begin: i64,
    /// Null: it was not recorded whole.
    pub bytes: Option<f64>,
    pub expected: Option<Expected>,
}

impl Held {
    /// By how many bytes it is above the interval, or, negative, below it; None: it is within, or there is nothing to compare.
    pub fn beyond(&self) -> Option<f64> {
        let (bytes, expected) = (self.bytes?, self.expected?);
        match bytes {
            _ if bytes > expected.high => Some(bytes - expected.high),
            _ if bytes < expected.low => Some(bytes - expected.low),
            _ => None,
        }
    }
}

impl Line {
    /// Bytes that went this way, learned and held back.
    pub fn bytes(&self) -> f64 {
        self.learned.iter().chain(self.held_back.iter().map(|held| &held.bytes)).flatten().sum()
    }

    /// Buckets that were compared, and of these the ones outside of the interval.
    pub fn outside(&self) -> (usize, usize) {
        let compared = self.held_back.iter().filter(|held| held.bytes.is_some() && held.expected.is_some()).count();
        (compared, self.held_back.iter().filter(|held| held.beyond().is_some()).count())
    }
}

/// What was read of recordings.
#[derive(Debug)]
pub struct Traffic {
    recordings: Vec<String>,
    buckets: Buckets,
    limits: Vec<String>,
}

/// Sums the recordings' traffic and forecasts each line of it.
///
/// # Errors
/// Unreadable recordings; options that do not go together with each other or with the recordings.
pub fn forecast(recordings: &[(String, Recording)], options: &Options, config: &Config) -> Result<Forecasts> {
    // Said before the recordings are read.
    seasons(options)?;
    of(&read(recordings, options.bucket, config)?, options)
}

/// Sums the recordings' traffic over buckets of `width` ns.
///
/// # Errors
/// Unreadable recordings.
pub fn read(recordings: &[(String, Recording)], width: i64, config: &Config) -> Result<Traffic> {
    let mut buckets = Buckets::new(width);
    let mut limits = Vec::new();
    for (name, recording) in recordings {
        if !recording.manifest().classes.iter().any(|class| class == Class::Network.name()) {
            limits.push(format!("{name}: class network was not recorded: nothing of it is forecast"));
        }
        buckets.read(recording, config)?;
    }
    Ok(Traffic { recordings: recordings.iter().map(|(name, _)| name.clone()).collect(), buckets, limits })
}

/// Forecasts each line of what was read with the same width of buckets.
///
/// # Errors
/// Options that do not go together with each other or with the recordings.
pub fn of(traffic: &Traffic, options: &Options) -> Result<Forecasts> {
    let Traffic { recordings, buckets, limits } = traffic;
    let seasons = seasons(options)?;
    let (from, until, to) = parts(buckets, options)?;
    let ways = buckets.sums.keys().flat_map(|pair| Way::BOTH.map(|way| (pair, way)));
    let ways: Vec<(&Pair, Way)> = ways.collect();
    let bar = progress_of(ways.len() as u64, "forecasting", "ways");
    let lines = ways.par_iter().map(|(pair, way)| {
        let values = buckets.values(pair, *way, from..to);
        let line = line(pair, *way, &values, (until - from) as usize, &seasons, options, from);
        bar.inc(1);
        line
    });
    let mut lines: Vec<Line> = lines.collect();
    bar.finish_and_clear();
    // A way on which nothing ever went says nothing.
    lines.retain(|line| line.bytes() > 0.0);
    Ok(Forecasts {
        recordings: recordings.clone(),
        bucket_s: options.bucket as f64 / 1e9,
        level: options.level,
        from: from * options.bucket,
        until: until * options.bucket,
        to: to * options.bucket,
        lines,
        limits: limits.clone(),
    })
}

/// Lengths of the seasons in buckets.
fn seasons(options: &Options) -> Result<Vec<usize>> {
    let bucket = options.bucket;
    let hint = "choose --bucket and --season so that one is a multiple of the other";
    let length = |season: i64| (season % bucket == 0 && season / bucket >= 2).then_some((season / bucket) as usize);
    if options.seasons.is_empty() {
        let found: Vec<usize> = [HOUR, 24 * HOUR].into_iter().filter_map(length).collect();
        let message = || format!("neither an hour nor a day is two or more whole buckets of {} s", bucket as f64 / 1e9);
        return if found.is_empty() { Err(Error::config(message(), hint)) } else { Ok(found) };
    }
    let checked = |season: &i64| {
        length(*season).ok_or_else(|| {
            let (season, bucket) = (*season as f64 / 1e9, bucket as f64 / 1e9);
            Error::config(format!("a season of {season} s is not two or more whole buckets of {bucket} s"), hint)
        })
    };
    options.seasons.iter().map(checked).collect()
}

/// The first bucket, the first that is held back, and the end, in buckets.
fn parts(buckets: &Buckets, options: &Options) -> Result<(i64, i64, i64)> {
    let width = options.bucket;
    let shorter = "give longer recordings, or shorter buckets, as --bucket 1s --season 20s";
    let Some(Range { start, end }) = buckets.span().filter(|span| span.end - span.start >= 2) else {
        let message = format!("less than two buckets of {} s were recorded from begin to end", width as f64 / 1e9);
        return Err(Error::input(message, shorter));
    };
    if end - start > MOST {
        let message = format!("{} buckets of {} s are more than {MOST}", end - start, width as f64 / 1e9);
        return Err(Error::config(message, "choose a longer --bucket"));
    }
    let until = match &options.until {
        None => start + ((end - start) * 3 / 4).max(1),
        Some(text) => {
            let begin = start * width;
            let later = text.strip_prefix('+').and_then(|since| begin.checked_add(duration(since).ok()?));
            let moment = later.map_or_else(|| select::moment(text, begin), Ok);
            let hint = "as --until +7d, or as --until 2026-11-22T10:00:00Z";
            buckets.of(moment.map_err(|why| Error::config(format!("--until: {why}"), hint))?)
        }
    };
    if !(start < until && until < end) {
        let time = |bucket: i64| crate::output::text::time(bucket * width);
        let message = format!("--until {} leaves nothing to learn, or nothing to compare", time(until));
        return Err(Error::config(
            message,
            format!("choose a moment between {} and {}", time(start + 1), time(end - 1)),
        ));
    }
    Ok((start, until, end))
}

fn line(
    pair: &Pair,
    way: Way,
    values: &[Option<f64>],
    learned: usize,
    seasons: &[usize],
    options: &Options,
    from: i64,
) -> Line {
    let (learned, held_back) = values.split_at(learned);
    let predicted = model::predict(learned, seasons, options.level, held_back.len());
    let (expected, seasons, tried, unfit) = match predicted {
        Ok(Predicted { expected, seasons, tried }) => (expected, seasons, tried, None),
        Err(unfit) => (Vec::new(), Vec::new(), 0, Some(unfit.to_string())),
    };
    let held = |(at, bytes): (usize, &Option<f64>)| Held {
        begin: (from + (learned.len() + at) as i64) * options.bucket,
        bytes: *bytes,
        expected: expected.get(at).copied(),
    };
    Line {
        pair: pair.clone(),
        way,
        held_back: held_back.iter().enumerate().map(held).collect(),
        learned: learned.to_vec(),
        seasons_s: seasons.iter().map(|season| *season as f64 * options.bucket as f64 / 1e9).collect(),
        tried,
        unfit,
    }
}

/// A length of time as people write it (`90s`, `10m`, `1h30m`, `1d`, `1w`), in ns; a day has 24 hours.
///
/// # Errors
/// What is wrong with it, in words.
pub fn duration(text: &str) -> std::result::Result<i64, String> {
    let days = SpanRelativeTo::days_are_24_hours();
    let span = text.parse::<Span>().ok().and_then(|span| span.total((Unit::Nanosecond, days)).ok());
    let whole = span.filter(|ns| (1e6..9.2e18).contains(ns)).map(|ns| ns.round() as i64);
    whole.ok_or_else(|| "a length of time from 1ms on, as 30s, 10m, 1h30m or 1d".to_owned())
}

/// A share of buckets, above 0 and below 1.
///
/// # Errors
/// It is none, in words.
pub fn level(text: &str) -> std::result::Result<f64, String> {
    let level = text.parse::<f64>().ok().filter(|level| *level > 0.0 && *level < 1.0);
    level.ok_or_else(|| "a share above 0 and below 1, as 0.99".to_owned())
}

#[cfg(test)]
mod tests;
