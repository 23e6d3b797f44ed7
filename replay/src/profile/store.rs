//! Profiles on disk: versioned JSON, sorted, the same bytes for the same profile.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ImageProfile;
use super::tuning::{Candidate, Probation, Tuned};
use crate::config::Config;
use crate::deviation::Tree;
use crate::error::{Error, Result};

/// Version of `profile.json`. It grows when an old reader would misread the file.
///
/// 1: trees and locks. 2: what was taken in after the lock, and what is on probation. 3: the most bytes
/// sent to each peer. 4: the system calls. 5: volumes over time.
const VERSION: u32 = 5;
/// The oldest version that this build reads; what it lacks is empty.
const OLDEST: u32 = 1;
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
    /// What locked trees took in, in order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tuned: Vec<Tuned>,
    /// What was seen since the lock and is not taken in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probation: Vec<Candidate>,
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
        Self::from_json(&text, &name.to_string())
    }

    /// Reads one from its text; `name` is for errors.
    ///
    /// # Errors
    /// Not a profile, or of a version this build does not know.
    pub fn from_json(text: &str, name: &str) -> Result<Self> {
        let value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
            Error::input(format!("{name}: not a profile: {error}"), "give the profile.json of a replay")
        })?;
        if value.get("kind").and_then(serde_json::Value::as_str) != Some(KIND) {
            return Err(Error::input(
                format!("{name}: not a profile: its kind is not {KIND:?}"),
                "give the profile.json of a replay",
            ));
        }
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        if !version.is_some_and(|version| (u64::from(OLDEST)..=u64::from(VERSION)).contains(&version)) {
            return Err(Error::input(
                format!("{name}: profile version {}; this build reads {OLDEST} to {VERSION}", version.unwrap_or(0)),
                "learn it again with this version",
            ));
        }
        let profile: Profile = serde_json::from_value(value)
            .map_err(|error| Error::input(format!("{name}: damaged profile: {error}"), "learn it again"))?;
        // It is saved as what it is now.
        Ok(Profile { version: VERSION, ..profile })
    }

    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("string keys and plain values serialize");
        text.push('\n');
        text
    }

    /// Adds what `other` learned; a tree is locked in the union only if it is locked in every part that has the image.
    pub fn merge(&mut self, other: Profile, config: &Config) {
        for (image, entry) in other.images {
            let Some(own) = self.images.get_mut(&image) else {
                self.images.insert(image, entry);
                continue;
            };
            let Entry { locked: mut theirs, trees, tuned, probation } = entry;
            own.trees.merge(trees, &config.profile);
            own.probation = Probation::merge(std::mem::take(&mut own.probation), probation, &config.tuning);
            own.tuned.extend(tuned);
            own.tuned.sort_by(|a, b| (&a.behaviour, a.at).cmp(&(&b.behaviour, b.at)));
            own.tuned.dedup_by(|later, first| later.behaviour == first.behaviour);
            own.tuned.sort_by(|a, b| (a.at, &a.behaviour).cmp(&(b.at, &b.behaviour)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_version_loads_and_is_saved_as_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("profile.json");
        let text = r#"{"kind": "retroscope profile", "version": 1, "images": {"web": {"locked": {},
            "trees": {"process": {}, "file": {"children": {"app": {"children": {"read": {"count": 2}}}}}, "network": {}}}}}"#;
        std::fs::write(&path, text).unwrap();
        let profile = Profile::load(&path).unwrap();
        assert_eq!((profile.version, profile.images["web"].trees.file.patterns()), (VERSION, 1));
        std::fs::write(&path, profile.to_json()).unwrap();
        assert_eq!(Profile::load(&path).unwrap(), profile);
    }
}
