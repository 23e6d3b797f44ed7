//! A recording stretched to any length: copies of a recorded one end to end, and side by side as replicas, at the recorded rates.
//!
//! A copy keeps what its events are and how they follow each other. New are, so that it is a recording like any other:
//!
//! - **time**: copy by copy later by the length of the recording; a replica begins at a random moment within that length;
//! - **processes**: incarnations and process ids are each copy's own. A container lives on from copy to copy, as one that is
//!   restarted;
//! - **replicas**: containers with ids, names, pods and private addresses of their own, on CPUs of their own, of the same images. The
//!   names in command lines, paths and labels stay;
//! - **a day's shape**, if it is asked for: a place in the row of copies has one or stays empty, by a chance that follows the hour, for
//!   all replicas alike. In an empty place nothing happens;
//! - **sequence numbers**: each copy has the source's, gaps included, after those of the copy before, so that the account holds for
//!   each CPU and class.
//!
//! Rows are rewritten as columns, batch by batch, and written by [`RecordingWriter`]. Memory does not depend on the length: the
//! source's rows, if they are few, and an open segment of each class.

mod account;
mod census;
mod day;
mod names;
mod rows;
mod tables;

use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::array::RecordBatch;
use datasets::{Manifest, Moment, Recorder, Recording, RecordingWriter, Rotation, State, Storage};
use record_bpf::Class;

pub use day::Day;

use census::Census;
use names::Names;

/// What to make.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Copies end to end; of a day with a shape, places for them.
    pub times: u64,
    /// Copies side by side.
    pub replicas: u16,
    /// Of the replicas' names, and of when they begin.
    pub seed: u64,
    /// Rows of a segment.
    pub segment_rows: usize,
    /// None: every place has a copy.
    pub day: Option<Day>,
}

impl Plan {
    /// So many copies end to end that there are at least `events`.
    ///
    /// # Errors
    /// The recording has no events.
    pub fn times_for(source: &Recording, events: u64, replicas: u16) -> Result<u64> {
        let rows = source.manifest().rows().saturating_mul(u64::from(replicas));
        if rows == 0 {
            return Err(unsuited(source, "it has no events"));
        }
        Ok(events.div_ceil(rows).max(1))
    }

    /// So many copies end to end that they last at least so many days.
    ///
    /// # Errors
    /// The recording is not complete, or has no events.
    pub fn times_over(source: &Recording, days: f64) -> Result<u64> {
        let (_, _, period) = extent(source)?;
        Ok(((days * 86_400e9 / period as f64).ceil() as u64).max(1))
    }
}

/// A recording that cannot be stretched, or a stretched one that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Recording(#[from] datasets::Error),
    /// Of the source.
    #[error("{}: it cannot be stretched: {reason}", path.display())]
    Unsuited { path: PathBuf, reason: String },
    #[error("a batch of class {class} could not be rewritten: {source}")]
    Columns { class: Class, source: arrow::error::ArrowError },
}

impl Error {
    /// One line on the way out.
    pub fn hint(&self) -> &'static str {
        match self {
            Error::Recording(error) => error.hint(),
            Error::Unsuited { .. } => "take a complete recording, as one that ships, and fewer copies or replicas",
            Error::Columns { .. } => "`datasets verify` the source; if it is intact this is a bug",
        }
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

fn unsuited(source: &Recording, reason: impl Into<String>) -> Error {
    Error::Unsuited { path: source.dir().to_owned(), reason: reason.into() }
}

/// Memory that the source's rows may take to be read once and not once for each copy, bytes.
const KEPT: usize = 256 << 20;

/// Which copy it is.
#[derive(Clone, Copy, Debug)]
struct Repeat {
    /// End to end, from 0.
    at: u64,
    /// Side by side, from 0.
    replica: u16,
    /// Of all copies, from 0.
    number: u64,
    /// Later than the source by, ns.
    shift: i64,
}

/// The source, and how its copies differ.
struct Source<'a> {
    recording: &'a Recording,
    census: Census,
    /// By replica.
    names: Vec<Names>,
    /// When each replica begins, ns after the first.
    begins: Vec<i64>,
    /// From a place for a copy to the next, ns.
    period: i64,
    /// The place of each copy, from 0; with one for each of `plan.times`.
    places: Vec<u64>,
    plan: Plan,
}

impl Source<'_> {
    fn copy(&self, at: u64, replica: u16) -> Repeat {
        let shift = self.begins[usize::from(replica)] + self.period * self.places[at as usize] as i64;
        Repeat { at, replica, number: at * u64::from(self.plan.replicas) + u64::from(replica), shift }
    }

    /// In the order of time, but for when replicas begin.
    fn copies(&self) -> impl Iterator<Item = Repeat> + '_ {
        (0..self.plan.times).flat_map(move |at| (0..self.plan.replicas).map(move |replica| self.copy(at, replica)))
    }
}

/// Writes the stretched recording to `dir`, which must not exist or be empty. `progress` is told of events written since the last
/// call.
///
/// # Errors
/// A source that is not complete, lost its oldest segments, or has too many processes or CPUs for so many copies; one that cannot be
/// read, or a directory that cannot be written to.
pub fn stretch(recording: &Recording, dir: &Path, plan: Plan, mut progress: impl FnMut(u64)) -> Result<Manifest> {
    let manifest = recording.manifest();
    let (begin, end, period) = extent(recording)?;
    if manifest.pruned.is_some() {
        return Err(unsuited(recording, "its oldest segments were removed"));
    }
    let accounting =
        manifest.accounting.clone().ok_or_else(|| unsuited(recording, "it has no account of its events"))?;
    let whole = i64::try_from(plan.times).ok().and_then(|times| period.checked_mul(times));
    let whole = whole.and_then(|whole| begin.checked_add(whole)?.checked_add(period));
    whole.ok_or_else(|| unsuited(recording, "so many copies last beyond the year 2262"))?;

    let end = end + period * (plan.times as i64 - 1);
    let places = day::places(&plan, begin, period);
    if places.is_empty() {
        return Err(unsuited(recording, "the day's shape leaves no copy of it"));
    }
    let plan = Plan { times: places.len() as u64, ..plan };
    let kept = kept(recording)?;
    let census = Census::take(recording, &accounting, &plan)?;
    let names = (0..plan.replicas).map(|replica| Names::new(recording, replica, plan.seed)).collect::<Result<_>>()?;
    let begins = names::begins(plan, period);
    let source = Source { recording, census, names, begins, period, places, plan };

    let rotation = Rotation { time: Duration::MAX, bytes: usize::MAX, rows: plan.segment_rows };
    let storage = Storage { background: true, ..Storage::from(rotation) };
    let mut writer = RecordingWriter::create_with(dir, described(manifest, &source), storage)?;
    for at in 0..plan.times {
        for class in Class::ALL {
            let batches: Box<dyn Iterator<Item = datasets::Result<RecordBatch>>> = match &kept {
                Some(kept) => Box::new(kept[class as usize].iter().cloned().map(Ok)),
                None => Box::new(recording.batches(class, None)?),
            };
            for batch in batches {
                let batch = batch?;
                for replica in 0..plan.replicas {
                    let rows = rows::rewrite(class, &batch, &source, source.copy(at, replica));
                    writer.push_batch(class, &rows.map_err(|source| Error::Columns { class, source })?)?;
                    progress(batch.num_rows() as u64);
                }
            }
        }
        // Notes which segments have been written.
        writer.tick()?;
    }
    tables::write(&mut writer, &source)?;
    let end = end + source.begins.iter().max().copied().unwrap_or(0);
    Ok(writer.finish(account::of_copies(&accounting, &source), end)?)
}

/// Begin, end and length of a recording, ns. Where events are outside of what the manifest says, copies must not overlap either.
fn extent(recording: &Recording) -> Result<(i64, i64, i64)> {
    let manifest = recording.manifest();
    let (Some(ended), State::Complete) = (&manifest.ended, manifest.state) else {
        return Err(unsuited(recording, "it is not complete"));
    };
    let first = manifest.segments.iter().map(|segment| segment.first_ts).min();
    let last = manifest.segments.iter().map(|segment| segment.last_ts).max();
    let (Some(first), Some(last)) = (first, last) else { return Err(unsuited(recording, "it has no events")) };
    let (begin, end) = (manifest.started.ns.min(first), ended.ns.max(last + 1));
    Ok((begin, end, end - begin))
}

/// All rows, if they are few.
fn kept(recording: &Recording) -> Result<Option<Vec<Vec<RecordBatch>>>> {
    let mut all = Vec::new();
    let mut bytes = 0;
    for class in Class::ALL {
        let mut batches = Vec::new();
        for batch in recording.batches(class, None)? {
            let batch = batch?;
            bytes += batch.get_array_memory_size();
            if bytes > KEPT {
                return Ok(None);
            }
            batches.push(batch);
        }
        all.push(batches);
    }
    Ok(Some(all))
}

/// What the manifest says before the first event.
fn described(manifest: &Manifest, source: &Source<'_>) -> Manifest {
    let Plan { times, replicas, seed, day, .. } = source.plan;
    let recorder = Recorder { name: "stretch".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let mut filter = manifest.filter.clone();
    filter.push(format!(
        "stretched from the recording with the digest {}: {times} copies of {:.3} s end to end, {replicas} side by side, seed {seed}",
        manifest.digest,
        source.period as f64 / 1e9
    ));
    if let Some(Day { depth, keep }) = day {
        filter.push(format!(
            "a copy at a place with a chance that has a day's shape: depth {depth}, {keep} at the height"
        ));
    }
    let mut described = Manifest::new(recorder, manifest.kernel.clone(), manifest.started.ns, filter, &[]);
    described.classes.clone_from(&manifest.classes);
    described.hooks.clone_from(&manifest.hooks);
    described.known.clone_from(&manifest.known);
    described.masking = manifest.masking.clone().map(|mut masking| {
        let copies = times * u64::from(replicas);
        masking.rows.values_mut().for_each(|rows| *rows *= copies);
        masking
    });
    // Of the first replica: what was thinned on the others began when they did.
    described.sampling = manifest.sampling.clone().map(|mut sampling| {
        let changes = std::mem::take(&mut sampling.changes);
        sampling.changes = source
            .copies()
            .filter(|copy| copy.replica == 0)
            .flat_map(|copy| {
                let later = move |change: &datasets::SamplingChange| datasets::SamplingChange {
                    at: Moment::from_ns(change.at.ns + copy.shift),
                    ..change.clone()
                };
                changes.iter().map(later).collect::<Vec<_>>()
            })
            .collect();
        sampling
    });
    described
}
