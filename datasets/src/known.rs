//! The filter of known behaviour: what images are known to do, exactly. `replay profile export` writes it, `record --known`
//! reads it.
//!
//! ```json
//! {
//!   "kind": "retroscope known behaviour",
//!   "version": 1,
//!   "learned_from": { "profile_sha256": "...", "recordings": ["webapp"] },
//!   "images": {
//!     "localhost/web:1": {
//!       "image_ids": ["2f0c..."],
//!       "file": { "/usr/sbin/nginx": { "read": ["/etc/hosts"], "list": ["/srv"] } },
//!       "not_expressed": [ { "program": "/bin/sh", "op": "rename", "path": "/tmp/<tmp>", "why": "..." } ]
//!     }
//!   }
//! }
//! ```
//!
//! Paths and programs are as the container sees them. There are no patterns: a path stands for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, hash};

/// Version of the file. It grows when an old reader would misread one.
const VERSION: u32 = 1;
const KIND: &str = "retroscope known behaviour";

/// Bytes of a path beyond which the kernel side does not look (KNOWN_LEN_MAX of bpf/known.h); its form there has one byte
/// less or as many.
pub const PATH_MAX: usize = 1024;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownBehaviour {
    pub kind: String,
    pub version: u32,
    pub learned_from: LearnedFrom,
    /// By image reference.
    pub images: BTreeMap<String, KnownImage>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedFrom {
    /// Hex.
    pub profile_sha256: String,
    /// Names of the recordings whose events were looked at.
    pub recordings: Vec<String>,
}

/// What one image is known for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownImage {
    /// Of the containers it was seen in. A container of another image id, as after an update, is not known, whatever its
    /// image is called.
    pub image_ids: BTreeSet<String>,
    /// program → operation → paths
    pub file: BTreeMap<String, BTreeMap<FileOp, BTreeSet<String>>>,
    /// What the profile knows and this file cannot say.
    #[serde(default)]
    pub not_expressed: Vec<NotExpressed>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotExpressed {
    pub program: String,
    pub op: String,
    pub path: String,
    pub why: String,
}

/// What a file is opened for, by the flags of the open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileOp {
    Read,
    /// O_WRONLY or O_RDWR
    Write,
    /// O_DIRECTORY
    List,
    /// O_PATH
    Locate,
}

const O_ACCMODE: u32 = 0o3;
const O_DIRECTORY: u32 = 0o200_000;
const O_PATH: u32 = 0o10_000_000;

impl FileOp {
    /// As `replay` and the kernel side tell them apart.
    pub fn of(flags: u32) -> FileOp {
        match flags {
            _ if flags & O_PATH != 0 => FileOp::Locate,
            _ if flags & O_ACCMODE != 0 => FileOp::Write,
            _ if flags & O_DIRECTORY != 0 => FileOp::List,
            _ => FileOp::Read,
        }
    }

    /// KNOWN_* of bpf/known.h.
    pub fn wire(self) -> u64 {
        match self {
            FileOp::Read => 1,
            FileOp::Write => 2,
            FileOp::List => 3,
            FileOp::Locate => 4,
        }
    }
}

impl KnownBehaviour {
    pub fn new(learned_from: LearnedFrom) -> KnownBehaviour {
        KnownBehaviour { kind: KIND.to_owned(), version: VERSION, learned_from, images: BTreeMap::new() }
    }

    /// Reads a file; its SHA-256, in hex, comes with it.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::ForeignFilter`] where it is not such a file.
    pub fn load(path: &Path) -> Result<(KnownBehaviour, String)> {
        let foreign = |reason: String| Error::ForeignFilter { path: path.to_owned(), reason };
        let bytes = std::fs::read(path).map_err(Error::read(path))?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| foreign(e.to_string()))?;
        if value.get("kind").and_then(|kind| kind.as_str()) != Some(KIND) {
            return Err(foreign(format!("its kind is not {KIND:?}")));
        }
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        if version != Some(VERSION.into()) {
            return Err(foreign(format!("version {}; this build reads {VERSION}", version.unwrap_or_default())));
        }
        let known = serde_json::from_value(value).map_err(|e| foreign(e.to_string()))?;
        Ok((known, hash::hex(&hash::of_bytes(&bytes))))
    }

    /// The same bytes for the same content.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("string keys and plain values serialize");
        text.push('\n');
        text
    }

    /// Behaviours of all images.
    pub fn entries(&self) -> usize {
        self.images.values().map(KnownImage::entries).sum()
    }
}

impl KnownImage {
    pub fn entries(&self) -> usize {
        self.file.values().flat_map(BTreeMap::values).map(BTreeSet::len).sum()
    }

    /// Enters a file that a program opens; why not, if the file's form has no way to say it.
    ///
    /// # Errors
    /// In words.
    pub fn insert(&mut self, program: &str, op: FileOp, path: &str) -> Result<(), &'static str> {
        for text in [program, path] {
            if !text.starts_with('/') {
                return Err("no absolute path");
            }
            // What is no UTF-8 was written as \xNN, which a name may also be called.
            if text.contains("\\x") {
                return Err("a name that may not be UTF-8");
            }
            if text.len() > PATH_MAX {
                return Err("longer than the kernel side looks at");
            }
        }
        let ops = self.file.entry(program.to_owned()).or_default();
        ops.entry(op).or_default().insert(path.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_back_as_it_was_and_a_foreign_one_is_named() {
        let mut known = KnownBehaviour::new(LearnedFrom::default());
        let image = known.images.entry("localhost/web:1".to_owned()).or_default();
        image.insert("/bin/app", FileOp::Write, "/var/log/app").unwrap();
        image.insert("/bin/app", FileOp::of(O_DIRECTORY), "/srv").unwrap();
        assert!(image.insert("/bin/app", FileOp::Read, "/tmp/caf\\xe9").is_err());
        assert!(image.insert("(unknown)", FileOp::Read, "/etc/hosts").is_err());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known.json");
        std::fs::write(&path, known.to_json()).unwrap();
        let (read, sha256) = KnownBehaviour::load(&path).unwrap();
        assert_eq!((&read, read.entries(), sha256.len()), (&known, 2, 64));
        for foreign in ["{", "{}", r#"{"kind":"retroscope known behaviour","version":9}"#] {
            std::fs::write(&path, foreign).unwrap();
            let error = KnownBehaviour::load(&path).unwrap_err();
            assert!(error.to_string().contains("known.json") && !error.hint().is_empty(), "{error}");
        }
    }
}
