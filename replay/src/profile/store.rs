//! Profiles on disk: versioned JSON, sorted, the same bytes for the same profile.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ImageProfile;
use crate::config;
use crate::deviation::Tree;
use crate::error::{Error, Result};

/// Version of `profile.json`. It grows when an old reader would misread the file.
const VERSION: u32 = 1;
const KIND: &str = "retroscope profile";

/// Profiles of images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub kind: String,
    pub version: u32,
    /// By image reference.
    pub images: BTreeMap<Arc<str>, Entry>,
}

/// One image's profile, and how far its learning came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Trees that converged; the others were still learning when they were saved.
    pub locked: BTreeMap<Tree, LockedTree>,
    pub trees: ImageProfile,
}

/// When and why a tree was locked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedTree {
    /// Unix time of the event stream, ns; null for a baseline that was locked as it was loaded.
    pub at: Option<i64>,
    /// The rule that decided, with its numbers.
    pub decided_by: String,
    /// Observations learned.
    pub learned: u64,
}

impl Default for Profile {
    fn default() -> Self {
        Self { kind: KIND.to_owned(), version: VERSION, images: BTreeMap::new() }
    }
}

impl Profile {
    /// Reads a saved profile.
    ///
    /// # Errors
    /// Unreadable, not a profile, or of a version this build does not know.
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::input(format!("{name}: cannot read: {error}"), "--learn takes a recording or a profile.json")
        })?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
            Error::input(format!("{name}: not a profile: {error}"), "give the profile.json of a replay")
        })?;
        if value.get("kind").and_then(serde_json::Value::as_str) != Some(KIND) {
            return Err(Error::input(
                format!("{name}: not a profile: its kind is not {KIND:?}"),
                "give the profile.json of a replay",
            ));
        }
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(VERSION)) {
            return Err(Error::input(
                format!("{name}: profile version {}; this build reads {VERSION}", version.unwrap_or(0)),
                "learn it again with this version",
            ));
        }
        serde_json::from_value(value)
            .map_err(|error| Error::input(format!("{name}: damaged profile: {error}"), "learn it again"))
    }

    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("string keys and plain values serialize");
        text.push('\n');
        text
    }

    /// Adds what `other` learned; a tree is locked in the union only if it is locked in every part that has the image.
    pub fn merge(&mut self, other: Profile, bounds: &config::Profile) {
        for (image, entry) in other.images {
            let Some(own) = self.images.get_mut(&image) else {
                self.images.insert(image, entry);
                continue;
            };
            own.trees.merge(entry.trees, bounds);
            let mut theirs = entry.locked;
            own.locked.retain(|tree, locked| match theirs.remove(tree) {
                Some(other) => {
                    locked.learned += other.learned;
                    locked.at = locked.at.max(other.at);
                    true
                }
                None => false,
            });
        }
    }
}
