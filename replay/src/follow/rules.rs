//! The user's rules and allow-list, read again when their files change.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::engines::rules_load::rule_files;
use crate::input::hex;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

/// Rules that held from some event on.
#[derive(Clone, Debug, Serialize)]
pub struct RuleSet {
    /// Unix time of the first event that they may have judged, ns; null: all.
    pub from: Option<i64>,
    /// Rules that can speak, the built-in ones included.
    pub rules: usize,
    /// SHA-256 over the names and contents of the user's files, hex.
    pub sha256: String,
}

/// A file as a look at the directory shows it.
type Stamp = (PathBuf, u64, Option<SystemTime>);

/// Notices that files have changed: a folder of rules, or one file.
pub struct Watch {
    path: Option<PathBuf>,
    stamps: Vec<Stamp>,
    sha256: String,
    looked: Instant,
}

impl Watch {
    /// `path`: empty where the configuration names none.
    pub fn new(path: &str) -> Watch {
        let path = (!path.is_empty()).then(|| PathBuf::from(path));
        let stamps = path.as_deref().map(stamps).unwrap_or_default();
        let sha256 = sum(&stamps);
        Watch { path, stamps, sha256, looked: Instant::now() }
    }

    /// What the files say, as one sum.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Whether there is something new to read. `asked`: look now.
    pub fn has_changed(&mut self, asked: bool) -> bool {
        let Some(path) = self.path.as_deref() else { return false };
        if !asked && self.looked.elapsed() < LOOK {
            return false;
        }
        self.looked = Instant::now();
        let stamps = stamps(path);
        if !asked && stamps == self.stamps {
            return false;
        }
        let sha256 = sum(&stamps);
        let changed = sha256 != self.sha256;
        (self.stamps, self.sha256) = (stamps, sha256);
        // Who asks is answered, also where nothing has changed: the last try may have failed.
        changed || asked
    }
}

/// A file that goes while it is looked at will be missed at the next look.
fn stamps(path: &Path) -> Vec<Stamp> {
    let stamp = |path: PathBuf| {
        let meta = path.metadata().ok();
        let bytes = meta.as_ref().map_or(0, |meta| meta.len());
        (path, bytes, meta.and_then(|meta| meta.modified().ok()))
    };
    let files = if path.is_dir() { rule_files(path).unwrap_or_default() } else { vec![path.to_owned()] };
    files.into_iter().map(stamp).collect()
}

fn sum(stamps: &[Stamp]) -> String {
    let mut hasher = Sha256::new();
    for (path, ..) in stamps {
        let content = std::fs::read(path).unwrap_or_default();
        for part in [path.as_os_str().as_encoded_bytes(), &content] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    hex(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_noticed_once_by_what_the_files_say() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.yml");
        std::fs::write(&file, "title: one").unwrap();
        let mut watch = Watch::new(dir.path().to_str().unwrap());
        let first = watch.sha256().to_owned();
        let look = |watch: &mut Watch| {
            watch.looked = Instant::now() - LOOK;
            watch.has_changed(false)
        };
        assert!(!look(&mut watch));
        std::fs::write(&file, "title: three").unwrap();
        assert!(look(&mut watch) && !look(&mut watch));
        assert_ne!(watch.sha256(), first);
        std::fs::write(dir.path().join("b.yml"), "title: another").unwrap();
        assert!(look(&mut watch));
        std::fs::remove_file(dir.path().join("b.yml")).unwrap();
        std::fs::write(&file, "title: one").unwrap();
        assert!(look(&mut watch));
        assert_eq!(watch.sha256(), first, "as it was");
        assert!(watch.has_changed(true) && !watch.has_changed(false), "asked for, and too soon");
        assert!(!Watch::new("").has_changed(true));
    }
}
