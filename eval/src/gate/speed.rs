//! How fast a replay is beside a plain reading of the same bytes, on one thread, in turns.

use std::fs::File;
use std::time::Instant;

use datasets::Recording;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use replay::args::vectors::LazyModel;
use replay::config::Config;
use replay::judge::Judges;
use replay::pipeline::{Stage, Start, World, stream};
use replay::profile::Profile;

use crate::overhead::stats::median;
use crate::{Error, Result};

/// Pairs that the median is of.
const PAIRS: usize = 9;

/// Median over pairs of: time to read the recording, compare it with the baseline and ask the rules / time to read all columns of
/// the same files with the parquet crate. Both on one thread.
///
/// # Errors
/// Those of a replay.
pub fn ratio(recording: &Recording, baseline: &Profile, config: &Config) -> Result<f64> {
    let model = LazyModel::new(&config.model, 1);
    let judges = Judges::open(config)?;
    let ratios = replay::run::pooled(1, |_| {
        let once = || -> Result<f64> {
            let begin = Instant::now();
            scan(recording)?;
            let scanned = begin.elapsed();
            let begin = Instant::now();
            let world = World::load(recording, config)?;
            let rules = judges.of(&world);
            let start = Start::Baseline(baseline);
            let stage = Stage { world: &world, start, config, vectors: &model, rules: &rules };
            stream(recording, &stage, |_| {})?;
            Ok(begin.elapsed().as_secs_f64() / scanned.as_secs_f64())
        };
        Ok((|| {
            // The first pair reads files that are in no cache, and opens what is opened once.
            once()?;
            (0..PAIRS).map(|_| once()).collect::<Result<Vec<f64>>>()
        })())
    })?;
    Ok(median(&ratios?))
}

/// Reads every column of every segment, and keeps nothing.
fn scan(recording: &Recording) -> Result<u64> {
    let mut rows = 0;
    for segment in &recording.manifest().segments {
        let path = recording.dir().join(&segment.file);
        let failed = |error: &dyn std::fmt::Display| Error::Set { reason: format!("{}: {error}", path.display()) };
        let file = File::open(&path).map_err(|error| failed(&error))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|reader| reader.build());
        for batch in reader.map_err(|error| failed(&error))? {
            rows += batch.map_err(|error| failed(&error))?.num_rows() as u64;
        }
    }
    Ok(rows)
}
