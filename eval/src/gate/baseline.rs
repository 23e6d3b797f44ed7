//! The committed file that a gate compares with.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Figure;
use crate::machine::Machine;
use crate::{Error, Result};

const VERSION: u32 = 1;
/// To so much are values written, and so much is no difference.
const ROUNDING: f64 = 1e-6;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    pub version: u32,
    /// By name.
    #[serde(default)]
    pub figure: BTreeMap<String, Entry>,
}

/// Which way a figure gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    More,
    Less,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub value: f64,
    pub better: Better,
    /// It may be worse by so much, in its unit, and by so large a share of the value: the sum of the two.
    pub slack: f64,
    pub share: f64,
    pub unit: String,
    pub how: String,
    /// Where, and when the machine was how busy.
    #[serde(default)]
    pub measured: String,
}

impl Entry {
    /// How much worse `value` is; negative: better.
    pub fn worse_by(&self, value: f64) -> f64 {
        match self.better {
            Better::More => self.value - value,
            Better::Less => value - self.value,
        }
    }

    pub fn limit(&self) -> f64 {
        self.slack + self.share * self.value.abs() + ROUNDING
    }
}

impl Default for Baseline {
    fn default() -> Self {
        Baseline { version: VERSION, figure: BTreeMap::new() }
    }
}

impl Baseline {
    /// # Errors
    /// [`Error::Gate`]: cannot be read, or is no baseline.
    pub fn read(path: &Path) -> Result<Baseline> {
        let failed = |reason: String| Error::Gate { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        Baseline::parse(&text).map_err(failed)
    }

    pub(super) fn parse(text: &str) -> Result<Baseline, String> {
        let baseline: Baseline = toml::from_str(text).map_err(|error| error.message().replace('\n', " "))?;
        if baseline.version != VERSION {
            return Err(format!("version {}, and this program reads {VERSION}", baseline.version));
        }
        let odd = |entry: &Entry| !(entry.value.is_finite() && entry.slack >= 0.0 && entry.share >= 0.0);
        match baseline.figure.iter().find(|(_, entry)| odd(entry)) {
            Some((name, _)) => Err(format!("{name}: value must be a number, slack and share must not be below 0")),
            None => Ok(baseline),
        }
    }

    /// Takes over what was measured; tolerances that are there stay.
    pub fn update(&mut self, figures: &[Figure], machine: &Machine) {
        let Machine { kernel, cpu, cpus, load_before, .. } = machine;
        let measured = format!("{cpus} CPUs ({cpu}), kernel {kernel}, load {load_before:.1}");
        for figure in figures {
            let Some(value) = figure.value.filter(|value| value.is_finite()) else { continue };
            let (slack, share) =
                self.figure.get(&figure.name).map_or((figure.slack, figure.share), |old| (old.slack, old.share));
            let entry = Entry {
                // More digits than mean something make every update a change.
                value: (value * 1e6).round() / 1e6,
                better: figure.better,
                slack,
                share,
                unit: figure.unit.clone(),
                how: figure.how.clone(),
                measured: measured.clone(),
            };
            self.figure.insert(figure.name.clone(), entry);
        }
    }

    /// # Errors
    /// [`Error::Output`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self).expect("plain values are TOML");
        let about = "# What `eval gate` compares with. Written by `eval gate --update --baseline FILE`; slack (in the unit) and share (of the\n\
                     # value) say how much worse a figure may be, and are kept by --update.\n";
        std::fs::write(path, format!("{about}{text}")).map_err(|error| Error::output(path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_keeps_tolerances_and_what_was_not_measured() {
        let figure = |name: &str, value| Figure {
            name: name.to_owned(),
            value,
            absent: None,
            unit: "acts".to_owned(),
            how: "counted".to_owned(),
            better: Better::More,
            slack: 1.0,
            share: 0.0,
        };
        let mut baseline = Baseline::default();
        baseline.update(&[figure("a", Some(3.0)), figure("b", Some(4.0))], &Machine::look());
        baseline.figure.get_mut("a").unwrap().slack = 2.0;
        baseline.update(&[figure("a", Some(5.000_000_04)), figure("b", None)], &Machine::look());
        assert_eq!((baseline.figure["a"].value, baseline.figure["a"].slack), (5.0, 2.0));
        assert_eq!(baseline.figure["b"].value, 4.0);
        let file = tempfile::NamedTempFile::new().unwrap();
        baseline.write(file.path()).unwrap();
        assert_eq!(Baseline::read(file.path()).unwrap(), baseline);
        for text in ["version = 2", "version = 1\n[figure.a]\nvalue = 1", "nonsense"] {
            assert!(Baseline::parse(text).is_err(), "{text}");
        }
    }
}
