//! A data card: what somebody must know of a recording before using it, and pictures of it.

mod chart;
mod text;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, TimestampNanosecondType};
use datasets::{Label, Recording, Split, Splits};
use record_bpf::Class;

use crate::{Error, Result};

const CARD: &str = "card.md";
const RATES: &str = "rates.svg";

/// What is counted from the rows.
struct Counts {
    /// Unix time of the first and the last event, ns.
    span: (i64, i64),
    /// Events by class and second from the span's first.
    per_second: BTreeMap<Class, Vec<u64>>,
    /// Events by container's name and class; no container: by an empty name.
    per_container: BTreeMap<String, BTreeMap<Class, u64>>,
    labels: Vec<Label>,
    split: Option<Split>,
}

/// Writes `card.md` and `rates.svg` into `folder`, replacing earlier ones. Returns their paths.
///
/// # Errors
/// Unreadable segments; [`Error::Output`].
pub fn write(recording: &Recording, splits: &Splits, folder: &Path) -> Result<Vec<PathBuf>> {
    let counts = count(recording, splits)?;
    fs::create_dir_all(folder).map_err(|error| Error::output(folder, error))?;
    let mut written = Vec::new();
    let texts = [(RATES, chart::rates(&counts, recording.manifest())?), (CARD, text::card(recording, &counts, RATES)?)];
    for (name, text) in texts {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| Error::output(&path, error))?;
        written.push(path);
    }
    Ok(written)
}

fn count(recording: &Recording, splits: &Splits) -> Result<Counts> {
    let manifest = recording.manifest();
    let first = manifest.segments.iter().map(|segment| segment.first_ts).min().unwrap_or(manifest.started.ns);
    let last = manifest.segments.iter().map(|segment| segment.last_ts).max().unwrap_or(first);
    let seconds = usize::try_from((last - first) / 1_000_000_000).unwrap_or_default() + 1;
    let names: BTreeMap<Arc<str>, String> = recording
        .containers()?
        .into_iter()
        .map(|container| {
            (container.id.clone(), container.name.unwrap_or_else(|| container.id.chars().take(12).collect()))
        })
        .collect();
    let mut counts = Counts {
        span: (first, last),
        per_second: BTreeMap::new(),
        per_container: BTreeMap::new(),
        labels: recording.labels()?,
        split: splits.of_recording(manifest),
    };
    for class in Class::ALL {
        if manifest.class_segments(class).next().is_none() {
            continue;
        }
        let per_second = counts.per_second.entry(class).or_insert_with(|| vec![0; seconds]);
        for batch in recording.batches(class, Some(&["ts", "container"]))? {
            let batch = batch?;
            // The reader gives exactly these columns, in the types of the schema.
            for ts in batch.column(0).as_primitive::<TimestampNanosecondType>().iter().flatten() {
                let second = usize::try_from((ts - first) / 1_000_000_000).unwrap_or_default();
                if let Some(n) = per_second.get_mut(second) {
                    *n += 1;
                }
            }
            let containers = batch.column(1).as_dictionary::<Int32Type>();
            let ids = containers.values().as_string::<i32>();
            // By the dictionary's entry; without a container by `None`.
            let mut rows: BTreeMap<Option<usize>, u64> = BTreeMap::new();
            for key in containers.keys() {
                let entry = key.and_then(|key| usize::try_from(key).ok()).filter(|entry| ids.is_valid(*entry));
                *rows.entry(entry).or_default() += 1;
            }
            for (entry, n) in rows {
                let id = entry.map(|entry| ids.value(entry));
                let name = id.map_or("", |id| names.get(id).map_or(id, String::as_str));
                *counts.per_container.entry(name.to_owned()).or_default().entry(class).or_default() += n;
            }
        }
    }
    Ok(counts)
}
