//! What the manifest says of where a recording comes from.

use std::collections::BTreeMap;
use std::fmt;

use record_bpf::Kind;
use serde::{Deserialize, Serialize};

use crate::manifest::{Kernel, Manifest, Moment, Recorder, State};

/// That a recording was made from others, how, and what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Derived {
    /// `slice`, `merge`, `anonymise`, or `import of` a tool, which has no sources.
    pub by: String,
    /// Of the program that made it.
    pub version: String,
    /// What rows had to meet, in words, of a slice; what became of its lines and what it cannot have, of an import.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
    /// Rows of the sources that were left out, by class. In the accounting they are among `filtered`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cut: BTreeMap<String, u64>,
    /// What the source of an import can tell: operations, by class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tells: BTreeMap<String, Vec<String>>,
    pub sources: Vec<Source>,
}

/// A recording that another was made from. Its name and place are not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The end of its chain, hex: whoever has the source can tell that it is this one.
    pub chain: String,
    /// SHA-256 of its manifest, hex, as it says itself.
    pub digest: String,
    pub rows: u64,
    pub started: Moment,
    pub ended: Option<Moment>,
    pub state: State,
    pub schema_version: String,
    pub recorder: Recorder,
    pub kernel: Kernel,
    /// Its public key, hex, if it was signed. The signature itself is of the source, and not carried on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// Its name and seed, if it shows a scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<(String, u64)>,
    /// Which CPUs of a merged recording are its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<CpuRange>,
    /// What it was made from itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived: Option<Box<Derived>>,
}

/// CPUs `first` to `first + count - 1`; the softirq streams of these are theirs, as everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuRange {
    pub first: u16,
    pub count: u16,
    /// Sequence numbers of the sampled stream (cpu 65535) from here on are this source's.
    pub sampled_from: u64,
}

impl Derived {
    pub(crate) fn new(by: &str, sources: Vec<Source>) -> Derived {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Derived { by: by.to_owned(), version, sources, ..Derived::default() }
    }

    /// Whether it can have events of a kind, if it is an import.
    pub fn tells(&self, kind: Kind) -> bool {
        self.tells.get(kind.class().name()).is_some_and(|ops| ops.iter().any(|op| op == kind.op()))
    }
}

/// In words: `slice of the 64901 rows begun 2026-11-22T01:12:38Z (chain 1f3a…); kept: class process; 62488 rows cut`.
impl fmt::Display for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Derived { by, version: _, conditions, cut, tells: _, sources } = self;
        if sources.is_empty() {
            return write!(f, "{by}; {}", conditions.join("; "));
        }
        write!(f, "{by} of ")?;
        for (at, source) in sources.iter().enumerate() {
            let between = if at == 0 { "" } else { " and " };
            write!(f, "{between}the {} rows begun {} (chain {:.12}…)", source.rows, source.started.utc, source.chain)?;
            if let Some(earlier) = &source.derived {
                write!(f, ", itself {earlier}")?;
            }
        }
        if !conditions.is_empty() {
            write!(f, "; kept: {}", conditions.join(", "))?;
        }
        match cut.values().sum::<u64>() {
            0 => Ok(()),
            rows => write!(f, "; {rows} rows cut"),
        }
    }
}

impl Source {
    pub(crate) fn of(manifest: &Manifest) -> Source {
        Source {
            chain: manifest.chain_end(),
            digest: manifest.digest.clone(),
            rows: manifest.rows(),
            started: manifest.started.clone(),
            ended: manifest.ended.clone(),
            state: manifest.state,
            schema_version: manifest.schema_version.clone(),
            recorder: manifest.recorder.clone(),
            kernel: manifest.kernel.clone(),
            signed_by: manifest.signature.as_ref().map(|signature| signature.public_key.clone()),
            scenario: manifest.scenario.as_ref().map(|scenario| (scenario.name.clone(), scenario.seed)),
            cpus: None,
            derived: manifest.derived.clone().map(Box::new),
        }
    }
}
