//! What a part was made of, so that parts of different replays are not joined.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{PlannedImage, plan};
use crate::config::Config;
use crate::engines::rules_load::rule_files;
use crate::error::{Error, Result};
use crate::input::{Baseline, InputFile, hex};
use crate::run::{Sources, base_name};

/// Recordings, baseline, configuration and plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub recordings: Vec<Source>,
    pub baseline: Option<Source>,
    /// What the parts depend on: SHA-256, hex.
    pub fingerprint: String,
    /// All of it.
    pub config: Config,
    pub plan: Vec<Vec<PlannedImage>>,
}

/// A recording, or a saved profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Source {
    pub name: String,
    /// Where it was, as it was given.
    pub address: String,
    /// SHA-256 over names and contents of its files, hex; of a recording also over its chain.
    pub content: String,
}

impl Identity {
    /// `files`: of each recording, read and compared with its manifest.
    ///
    /// # Errors
    /// Files of rules or of the baseline that cannot be read.
    pub fn new(
        sources: &Sources,
        config: &Config,
        of: u32,
        files: &[Vec<InputFile>],
        baseline: Option<&[InputFile]>,
    ) -> Result<Self> {
        let recordings = sources.recordings().iter().zip(sources.names()).zip(files);
        let recordings = recordings.map(|((recording, name), files)| Source {
            name: name.clone(),
            address: recording.dir().to_string_lossy().into_owned(),
            content: content(&recording.manifest().chain_head(), files),
        });
        let baseline = sources.baseline().zip(baseline).map(|((name, baseline), files)| {
            let (chain, dir) = match baseline {
                Baseline::Recording(recording) => {
                    (recording.manifest().chain_head(), recording.dir().to_string_lossy().into_owned())
                }
                Baseline::Profile(..) => (String::new(), name.clone()),
            };
            Source {
                name: name.clone(),
                address: sources.learn().map_or(dir, str::to_owned),
                content: content(&chain, files),
            }
        });
        Ok(Self {
            recordings: recordings.collect(),
            baseline,
            fingerprint: fingerprint(config)?,
            config: Config { sinks: Default::default(), ..config.clone() },
            plan: plan(sources.recordings(), of)?,
        })
    }

    /// Says what differs between two identities, if anything that matters does. Where files are does not.
    pub fn differs(&self, other: &Identity) -> Option<String> {
        let names =
            |sources: &[Source]| sources.iter().map(|source| source.name.clone()).collect::<Vec<_>>().join(", ");
        let contents = |sources: &[Source]| sources.iter().map(|source| source.content.clone()).collect::<Vec<_>>();
        if contents(&self.recordings) != contents(&other.recordings) {
            let (own, others) = (names(&self.recordings), names(&other.recordings));
            let same = if own == others { ", of the same name and other content or order" } else { "" };
            return Some(format!("it is of the recordings {others}, not {own}{same}"));
        }
        // Acts of several recordings go by their names.
        let called = |sources: &[Source]| sources.iter().map(|source| source.name.clone()).collect::<Vec<_>>();
        if self.recordings.len() > 1 && called(&self.recordings) != called(&other.recordings) {
            let (own, others) = (names(&self.recordings), names(&other.recordings));
            return Some(format!("it calls the recordings {others}, and here they are {own}"));
        }
        let baseline = |source: &Option<Source>| source.as_ref().map(|source| source.content.clone());
        if baseline(&self.baseline) != baseline(&other.baseline) {
            let name = |source: &Option<Source>| source.as_ref().map_or("none", |source| &source.name).to_owned();
            let (own, others) = (name(&self.baseline), name(&other.baseline));
            return Some(format!("its baseline is {others}, and here it is {own}, or other content of that name"));
        }
        if self.fingerprint != other.fingerprint {
            return Some("it was made with another configuration, other rules or another version".to_owned());
        }
        (self.plan != other.plan)
            .then(|| format!("it is of a plan of {} parts, not {}", other.plan.len(), self.plan.len()))
    }
}

fn content(chain: &str, files: &[InputFile]) -> String {
    let mut hasher = Sha256::new();
    let parts = files.iter().flat_map(|file| [file.file.as_bytes(), file.sha256.as_bytes()]);
    for part in [chain.as_bytes()].into_iter().chain(parts) {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex(&hasher.finalize())
}

/// Of what the lanes of a part depend on. How deviations are judged and alerts scored is no part of it: that is done at the merge,
/// and may be done otherwise than when the parts were made. Neither is where things are.
fn fingerprint(config: &Config) -> Result<String> {
    let Config { profile, network, forecast, args, model, convergence, tuning, engines, severity: _, alerts, sinks: _ } =
        config;
    let text = serde_json::to_vec(&(
        (profile, network, forecast, args, convergence, tuning),
        (&model.file, &model.prompt),
        alerts.evidence_rows,
        (env!("CARGO_PKG_VERSION"), record_bpf::schema::VERSION),
    ))
    .expect("string keys and plain values serialize");
    let mut hasher = Sha256::new();
    hasher.update(text);
    if !engines.rules.is_empty() {
        let folder = Path::new(&engines.rules);
        let unreadable = |path: &Path, why: &dyn std::fmt::Display| {
            Error::config(format!("{}: cannot read: {why}", path.display()), "mend the rule, or change engines.rules")
        };
        let files = rule_files(folder).map_err(|error| Error::config(error.to_string(), "change engines.rules"))?;
        for path in files {
            let text = std::fs::read(&path).map_err(|error| unreadable(&path, &error))?;
            let name = path.strip_prefix(folder).map_or_else(|_| base_name(&path), |name| name.display().to_string());
            for part in [name.as_bytes(), &text] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
    }
    Ok(hex(&hasher.finalize()))
}
