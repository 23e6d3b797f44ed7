//! Learning in parts.

use std::sync::Arc;

use datasets::Recording;

use super::Part;
use super::plan::images_of;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::learn;
use crate::pipeline::Images;
use crate::profile::Profile;

/// What `replay learn` learns of the images of one part. Recordings by name, in any order. `threads`: 0 for one per core.
///
/// Besides its own images' events a part asks the rules about all of them: a process that changes its container may be hit in one
/// image for what it did in another.
///
/// # Errors
/// No such part; damaged input; rules that cannot be loaded.
pub fn learn(recordings: Vec<(String, Recording)>, config: &Config, threads: usize, part: Part) -> Result<Profile> {
    Ok(learn::learn_part(recordings, config, threads, part)?.profile)
}

/// The images of a part of what is learned from named recordings.
pub(crate) fn images_to_learn(recordings: &[(String, Recording)], part: Part) -> Result<Arc<Images>> {
    let recordings: Vec<Recording> = recordings.iter().map(|(_, recording)| recording.clone()).collect();
    images_of(&recordings, part)
}

/// The profile of all parts.
///
/// # Errors
/// An image that two of them have.
pub fn union(parts: Vec<Profile>) -> Result<Profile> {
    let mut all = Profile::default();
    for part in parts {
        for (image, entry) in part.images {
            if all.images.contains_key(&image) {
                return Err(Error::input(
                    format!("two profiles have the image {image}"),
                    "give each part of one plan once; `replay profile merge` joins any profiles",
                ));
            }
            all.images.insert(image, entry);
        }
    }
    Ok(all)
}
