//! Which images are of which part.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int32Type;
use datasets::Recording;
use serde::{Deserialize, Serialize};

use super::Part;
use crate::error::{Error, Result};
use crate::observe::{HOST, peers};
use crate::pipeline::{Images, JUDGED};

/// Most parts of a plan.
const MOST: u32 = 65_536;

/// An image of a part, with its events in all recordings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedImage {
    pub image: Arc<str>,
    /// Rows of the classes that a replay reads.
    pub events: u64,
}

/// Images of each of `n` parts, in order of their names: the image with the most events goes to the part with the fewest so far
/// (ties by name, and to the first part), which leaves no part more than 4/3 of what the best plan would give its largest (R. L.
/// Graham, "Bounds on Multiprocessing Timing Anomalies", SIAM Journal on Applied Mathematics 17, 1969). With fewer images than
/// parts some are empty. One column of the recordings is read.
///
/// # Errors
/// No part at all, or more than 65,536; unreadable recordings.
pub fn plan(recordings: &[Recording], n: u32) -> Result<Vec<Vec<PlannedImage>>> {
    if !(1..=MOST).contains(&n) {
        return Err(Error::config(format!("a plan of {n} parts"), format!("give a number from 1 to {MOST}")));
    }
    let mut images: Vec<PlannedImage> =
        events(recordings)?.into_iter().map(|(image, events)| PlannedImage { image, events }).collect();
    images.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.image.cmp(&b.image)));
    // Parts beyond the images are empty, however many are asked for.
    let used = (n as usize).min(images.len().max(1));
    let mut parts: Vec<(u64, Vec<PlannedImage>)> = vec![(0, Vec::new()); used];
    for image in images {
        let least = parts.iter_mut().min_by_key(|(events, _)| *events);
        if let Some((events, part)) = least {
            *events += image.events;
            part.push(image);
        }
    }
    let mut parts: Vec<Vec<PlannedImage>> = parts.into_iter().map(|(_, part)| part).collect();
    parts.iter_mut().for_each(|part| part.sort_by(|a, b| a.image.cmp(&b.image)));
    parts.resize(n as usize, Vec::new());
    Ok(parts)
}

/// The images of one part of the plan.
///
/// # Errors
/// As [`plan`].
pub(super) fn images_of(recordings: &[Recording], part: Part) -> Result<Arc<Images>> {
    let Part { index, of } = Part::new(part.index, part.of)?;
    let parts = plan(recordings, of)?;
    Ok(super::images_of(&parts[index as usize - 1]))
}

/// Events by image.
fn events(recordings: &[Recording]) -> Result<BTreeMap<Arc<str>, u64>> {
    let mut by_container: BTreeMap<Option<Arc<str>>, u64> = BTreeMap::new();
    // A container is of the image that the first recording says that has it.
    let mut images: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
    for recording in recordings {
        for container in recording.containers()? {
            let image = peers::image_of(&container);
            images.entry(container.id).or_insert(image);
        }
        for class in JUDGED {
            for batch in recording.batches(class, Some(&["container"]))? {
                count(batch?.column(0).as_ref(), &mut by_container).map_err(|reason| {
                    Error::input(
                        format!("{}: column container of class {class}: {reason}", recording.dir().display()),
                        "`datasets verify DIR` names everything that is damaged",
                    )
                })?;
            }
        }
    }
    let mut by_image: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    for (container, events) in by_container {
        let image = match container {
            None => HOST.into(),
            Some(id) => images.get(&id).cloned().unwrap_or(id),
        };
        *by_image.entry(image).or_default() += events;
    }
    Ok(by_image)
}

/// Adds the rows of each container.
fn count(column: &dyn Array, counts: &mut BTreeMap<Option<Arc<str>>, u64>) -> std::result::Result<(), &'static str> {
    let column = column.as_dictionary_opt::<Int32Type>().ok_or("it is no dictionary")?;
    let names = column.values().as_string_opt::<i32>().ok_or("its values are no text")?;
    let mut rows = vec![0u64; names.len()];
    let mut none = 0u64;
    for key in column.keys() {
        match key.and_then(|key| usize::try_from(key).ok()).filter(|key| !names.is_null(*key)) {
            Some(key) => *rows.get_mut(key).ok_or("a key is beyond its values")? += 1,
            None => none += 1,
        }
    }
    let named = rows.into_iter().enumerate().map(|(key, rows)| (Some(names.value(key)), rows));
    for (name, rows) in named.chain([(None, none)]).filter(|(_, rows)| *rows > 0) {
        *counts.entry(name.map(Arc::from)).or_default() += rows;
    }
    Ok(())
}
