//! The folder of a sweep: what it is of, and its trials, a line each as they are made.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bench::write;
use super::metrics::Metrics;
use crate::{Error, Result};

/// A configuration that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// 0: the one that the sweep starts from.
    pub number: usize,
    /// One for each parameter, as after `--set key=`.
    pub values: Vec<String>,
    /// `None`: it was refused.
    pub metrics: Option<Metrics>,
    /// Why it is no configuration.
    pub refused: Option<String>,
}

/// What a sweep is of: two with the same are the same.
const STUDY: &str = "sweep.json";
const TRIALS: &str = "trials.jsonl";

/// An open log.
pub struct Log {
    file: File,
    path: PathBuf,
    /// Those of before.
    pub past: Vec<Trial>,
}

impl Log {
    /// Goes on in `folder`, or begins there. `study`: everything that its results depend on. `fresh`: what is there goes.
    ///
    /// # Errors
    /// [`Error::Study`]: another sweep is there, or at work there. [`Error::Output`].
    pub fn open(folder: &Path, study: &Value, fresh: bool) -> Result<Log> {
        let path = folder.join(TRIALS);
        let failed = |error| Error::output(&path, error);
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Study {
                    folder: folder.to_owned(),
                    reason: "another sweep is writing to it".to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(Error::output(&path, error)),
            Ok(()) => {}
        }
        let about = folder.join(STUDY);
        let there = std::fs::read_to_string(&about).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let mut past = Vec::new();
        match there {
            Some(there) if !fresh => {
                if let Some(field) = difference(&there, study) {
                    let reason = format!("it has a sweep that differs in {field}");
                    return Err(Error::Study { folder: folder.to_owned(), reason });
                }
                let text = std::fs::read_to_string(&path).map_err(|error| Error::output(&path, error))?;
                // A line that was not finished is tried again.
                let (mut kept, mut numbers) = (0u64, 0usize..);
                for line in text.split_inclusive('\n') {
                    let trial = line.strip_suffix('\n').and_then(|line| serde_json::from_str::<Trial>(line).ok());
                    let Some(trial) = trial.filter(|trial| Some(trial.number) == numbers.next()) else { break };
                    kept += line.len() as u64;
                    past.push(trial);
                }
                file.set_len(kept).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
            }
            _ => {
                file.set_len(0).map_err(failed)?;
                let text = serde_json::to_string_pretty(study).expect("string keys and plain values serialize");
                write(&about, &(text + "\n"))?;
            }
        }
        Ok(Log { file, path, past })
    }

    /// # Errors
    /// [`Error::Output`].
    pub fn add(&mut self, trial: &Trial) -> Result<()> {
        let line = serde_json::to_string(trial).expect("string keys and plain values serialize") + "\n";
        self.file.write_all(line.as_bytes()).map_err(|error| Error::output(&self.path, error))
    }
}

/// The first field in which two differ.
fn difference(there: &Value, study: &Value) -> Option<String> {
    let (there, study) = (there.as_object()?, study.as_object()?);
    let differs = |key: &&String| there.get(*key) != study.get(*key);
    study.keys().chain(there.keys()).find(differs).cloned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trial(number: usize) -> Trial {
        Trial { number, values: vec!["1".to_owned()], metrics: Some(Metrics::default()), refused: None }
    }

    #[test]
    fn a_log_goes_on_where_it_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let study = json!({"seed": 1, "keys": ["a"]});
        let mut log = Log::open(folder.path(), &study, false).unwrap();
        (0..3).for_each(|number| log.add(&trial(number)).unwrap());
        log.file.write_all(b"{\"number\":3,\"val").unwrap();
        assert!(matches!(Log::open(folder.path(), &study, false), Err(Error::Study { .. })), "two at once");
        drop(log);
        let mut log = Log::open(folder.path(), &study, false).unwrap();
        assert_eq!(log.past, [trial(0), trial(1), trial(2)]);
        log.add(&trial(3)).unwrap();
        drop(log);
        assert_eq!(Log::open(folder.path(), &study, false).unwrap().past.len(), 4);
        let error = Log::open(folder.path(), &json!({"seed": 2, "keys": ["a"]}), false).err().unwrap();
        assert!(error.to_string().contains("differs in seed"), "{error}");
        assert!(Log::open(folder.path(), &json!({"seed": 2}), true).unwrap().past.is_empty());
    }
}
