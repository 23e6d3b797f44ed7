//! The embedding model's section.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::embed::{Device, Options, Place, default_place};

/// Where the cache is, when it is nowhere.
pub const OFF: &str = "off";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub path: String,
    pub file: String,
    pub prompt: String,
    pub device: Device,
    pub batch: usize,
    pub cache: String,
    pub cache_mb: u64,
}

impl Model {
    /// What to open. `threads`: texts embedded at once.
    pub fn options(&self, threads: usize) -> Options {
        let folder = match self.cache.as_str() {
            OFF => None,
            "" => default_place(),
            folder => Some(PathBuf::from(folder)),
        };
        let limit = self.cache_mb * 1_000_000;
        Options {
            folder: named(&self.path).map(PathBuf::from),
            file: named(&self.file).map(PathBuf::from),
            prompt: named(&self.prompt).map(str::to_owned),
            device: self.device,
            rows: (self.batch > 0).then_some(self.batch),
            cache: folder.map(|folder| Place { folder, limit }),
            threads,
        }
    }
}

/// An empty text names nothing.
fn named(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
