//! Recorded answers: a file of JSON lines, by the hash of model and prompt. It makes a replay repeatable, and offline possible.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::answer::Answer;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: String,
    model: String,
    answer: Answer,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("verdict store {}: {source}", path.display())]
pub struct StoreError {
    path: PathBuf,
    source: std::io::Error,
}

/// The file and what is in it.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    answers: HashMap<String, Answer>,
    /// Lines that are none of ours.
    pub damaged: usize,
    /// The last line has no end, as after a crash.
    torn: bool,
}

impl Store {
    /// Reads what is there; a file that is not there yet is empty. Of two lines with one key the first holds.
    ///
    /// # Errors
    /// It cannot be read, or, unless `offline`, not be written.
    pub fn open(path: &Path, offline: bool) -> Result<Store, StoreError> {
        let failed = |source| StoreError { path: path.to_owned(), source };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        let mut store = Store {
            path: path.to_owned(),
            answers: HashMap::new(),
            damaged: 0,
            torn: !text.is_empty() && !text.ends_with('\n'),
        };
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            match serde_json::from_str::<Line>(line) {
                Ok(Line { key, answer, .. }) => drop(store.answers.entry(key).or_insert(answer)),
                Err(_) => store.damaged += 1,
            }
        }
        if !offline {
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                fs::create_dir_all(folder).map_err(failed)?;
            }
            store.file().map_err(failed)?;
        }
        Ok(store)
    }

    pub fn get(&self, key: &str) -> Option<&Answer> {
        self.answers.get(key)
    }

    /// Records an answer: one write of one line, so that several processes may use the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&mut self, key: String, model: &str, answer: Answer) -> Result<(), StoreError> {
        let line = Line { key, model: model.to_owned(), answer };
        let text = serde_json::to_string(&line).expect("string keys and plain values serialize");
        let begin = if std::mem::take(&mut self.torn) { "\n" } else { "" };
        let written = self.file().and_then(|mut file| file.write_all(format!("{begin}{text}\n").as_bytes()));
        written.map_err(|source| StoreError { path: self.path.clone(), source })?;
        self.answers.entry(line.key).or_insert(line.answer);
        Ok(())
    }

    /// Readable by its owner alone: a reason may quote what was recorded.
    fn file(&self) -> std::io::Result<fs::File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)
    }
}
