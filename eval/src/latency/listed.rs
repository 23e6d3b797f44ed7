//! When segments are finished: when the manifest lists them, and how old their rows are then.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use arrow::array::AsArray;
use arrow::datatypes::TimestampNanosecondType;
use datasets::Manifest;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::ages::Ages;
use super::now;
use crate::error::{Error, Result};

/// Between looks at the manifest's time stamp.
const LOOK: Duration = Duration::from_millis(2);

#[derive(Default)]
pub(super) struct Listed {
    /// Every row of the segments that were closed by age or size.
    pub rows: Ages,
    /// Each segment, from when its oldest row was as old as a segment may be.
    pub due: Ages,
}

/// Notes when each segment is listed, until it is over; then looks into those that were listed while it was recorded.
pub(super) fn watch(dir: &Path, segment: Duration, over: &AtomicBool) -> Result<Listed> {
    let path = dir.join("manifest.json");
    let mut seen: BTreeMap<String, i64> = BTreeMap::new();
    let mut changed: Option<SystemTime> = None;
    while !over.load(Ordering::Relaxed) {
        let at = fs::metadata(&path).and_then(|meta| meta.modified()).ok();
        if at.is_some() && at != changed {
            let found = now();
            // It is replaced whole: one that is there can be read.
            if let Some(manifest) = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Manifest>(&text).ok())
            {
                if manifest.state != datasets::State::Recording {
                    break; // the rest was closed because of the end
                }
                for segment in manifest.segments {
                    seen.entry(segment.file).or_insert(found);
                }
                changed = at;
            }
        }
        thread::sleep(LOOK);
    }
    let mut listed = Listed::default();
    for (file, at) in seen {
        let stamps = stamps(&dir.join(file))?;
        let due = stamps.iter().min().map(|oldest| oldest + segment.as_nanos() as i64);
        // One that was closed by its size was not due yet.
        due.into_iter().filter(|due| *due <= at).for_each(|due| listed.due.add(at - due));
        stamps.into_iter().for_each(|ts| listed.rows.add(at - ts));
    }
    Ok(listed)
}

/// Of a segment's rows, Unix ns.
fn stamps(file: &Path) -> Result<Vec<i64>> {
    let failed = |reason: &dyn std::fmt::Display| Error::run(&file.display().to_string(), reason);
    let opened = fs::File::open(file).map_err(|error| failed(&error))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(|error| failed(&error))?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["ts"]);
    let batches = builder.with_projection(mask).build().map_err(|error| failed(&error))?;
    let mut stamps = Vec::new();
    for batch in batches {
        let batch = batch.map_err(|error| failed(&error))?;
        stamps.extend(batch.column(0).as_primitive::<TimestampNanosecondType>().values());
    }
    Ok(stamps)
}
