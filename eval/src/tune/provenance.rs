//! A configuration with where it comes from, in comments that are read again: so that nobody reports what was tuned on what it is
//! reported on.

use std::fmt::Write as _;
use std::path::Path;

use datasets::{Recording, Split};
use replay::config::Config;
use replay::engines::Severity;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::compared::hash;
use super::keys::leaves;
use super::log::Trial;
use super::metrics::Metrics;
use super::sampler::Method;
use super::space::Parameter;
use crate::Result;

/// Begins a line that has an [`Origin`] as JSON.
const TUNED_ON: &str = "# tuned-on: ";
const LEARNED_FROM: &str = "# learned-from: ";

/// A recording that had a part in a choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub recording: String,
    pub split: Option<Split>,
    pub scenario: Option<String>,
    pub seed: Option<u64>,
    /// Of its manifest, hex.
    pub sha256: String,
    /// First and last event; Unix time, ns.
    pub from: i64,
    pub to: i64,
}

impl Origin {
    /// # Errors
    /// Its manifest cannot be read.
    pub fn of(name: &str, split: Option<Split>, recording: &Recording) -> Result<Origin> {
        let manifest = recording.manifest();
        let scenario = manifest.scenario.as_ref();
        Ok(Origin {
            recording: name.to_owned(),
            split,
            scenario: scenario.map(|scenario| scenario.name.clone()),
            seed: scenario.map(|scenario| scenario.seed),
            sha256: hash(recording)?,
            from: manifest.segments.iter().map(|segment| segment.first_ts).min().unwrap_or(manifest.started.ns),
            to: manifest.segments.iter().map(|segment| segment.last_ts).max().unwrap_or(manifest.started.ns),
        })
    }

    /// What the two have in common, if anything.
    fn overlap(&self, other: &Origin) -> Option<String> {
        let Origin { recording, .. } = self;
        if self.sha256 == other.sha256 {
            return Some("on this very recording".to_owned());
        }
        if self.from < other.to && other.from < self.to {
            return Some(format!("on {recording}, which shows the same moments"));
        }
        // The same seed gives the same load, whatever the scenario.
        let seed = self.seed.filter(|seed| Some(*seed) == other.seed)?;
        Some(format!("on {recording}, which has the same seed {seed}"))
    }
}

/// What is written with a configuration.
pub struct Provenance<'a> {
    pub command: &'a str,
    pub method: Method,
    pub seed: u64,
    pub at: Severity,
    pub miss_cost: f64,
    pub trials: usize,
    pub parameters: &'a [Parameter],
    pub chosen: &'a Trial,
    pub first: &'a Trial,
    pub tuned_on: &'a [Origin],
    pub learned_from: &'a [Origin],
}

impl Provenance<'_> {
    /// TOML for `replay --config`: what differs from the defaults, below comments.
    pub fn render(&self, config: &Config) -> String {
        let Provenance { chosen, first, at, .. } = self;
        let mut out = format!("# Written by eval tune {}. For replay --config.\n", env!("CARGO_PKG_VERSION"));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# command: {}", one_line(self.command));
        let _ = writeln!(
            out,
            "# method {}, seed {}: trial {} of {}; found, and false, at {} and above; a missed act weighs {} false alerts",
            self.method.name(),
            self.seed,
            chosen.number,
            self.trials,
            at.name(),
            self.miss_cost
        );
        for parameter in self.parameters {
            let domain = serde_json::to_string(&parameter.domain).expect("plain values serialize");
            let _ = writeln!(out, "# swept: {} {}", parameter.key, one_line(&domain));
        }
        let _ = writeln!(out, "# here: {}", metrics(chosen.metrics.as_ref()));
        let _ = writeln!(out, "# where it started: {}", metrics(first.metrics.as_ref()));
        out.push_str("# These are the figures it was chosen by, and no result: that is for recordings of test.\n");
        for (begin, origins) in [(TUNED_ON, self.tuned_on), (LEARNED_FROM, self.learned_from)] {
            for origin in origins {
                let json = serde_json::to_string(origin).expect("plain values serialize");
                let _ = writeln!(out, "{begin}{}", one_line(&json));
            }
        }
        out.push('\n');
        out.push_str(&toml::to_string(&changed(config)).expect("a table of plain values is TOML"));
        out
    }
}

/// Comments end with the line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn metrics(metrics: Option<&Metrics>) -> String {
    let Some(metrics) = metrics else { return "not tried".to_owned() };
    let Metrics { acts, found, false_alerts, container_hours, .. } = metrics;
    format!("{found} of {acts} acts found, {false_alerts} false alerts in {container_hours:.3} container hours")
}

/// The keys that are not at their default, as nested tables.
fn changed(config: &Config) -> Table {
    let defaults = replay::config::load(None, &[]).expect("the defaults are a configuration");
    let defaults = leaves(&defaults);
    let mut table = Table::new();
    for ((key, value), (_, default)) in leaves(config).into_iter().zip(defaults) {
        if value != default {
            insert(&mut table, &key, short(value));
        }
    }
    table
}

/// A number of half the width as it was written: 0.48, and not 0.47999998927116394.
fn short(value: Value) -> Value {
    match value {
        Value::Float(number) if f64::from(number as f32) == number => {
            Value::Float(format!("{}", number as f32).parse().unwrap_or(number))
        }
        value => value,
    }
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((head, rest)) => {
            let below = table.entry(head).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(below) = below {
                insert(below, rest, value);
            }
        }
    }
}

/// What a configuration file says that it was tuned on; nothing where it says nothing.
pub fn tuned_on(config: &Path) -> Vec<Origin> {
    // Whoever replays with it says what is wrong with a file that cannot be read.
    let text = std::fs::read_to_string(config).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix(TUNED_ON)?).ok()).collect()
}

/// Why what a configuration finds in `recording` is no result: it was tuned on it, or on something that shares moments or seed.
///
/// # Errors
/// The recording's manifest cannot be read.
pub fn overlap(config: Option<&Path>, recording: &Recording) -> Result<Option<String>> {
    let Some(config) = config else { return Ok(None) };
    let origins = tuned_on(config);
    if origins.is_empty() {
        return Ok(None);
    }
    let own = Origin::of("", None, recording)?;
    let why = origins.iter().find_map(|origin| origin.overlap(&own));
    Ok(why.map(|why| format!("{} was tuned {why}: what it finds here is no result", config.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(name: &str, seed: u64, sha256: &str, from: i64) -> Origin {
        let (sha256, scenario) = (sha256.to_owned(), Some("webapp".to_owned()));
        let split = Some(Split::Validation);
        Origin { recording: name.to_owned(), split, scenario, seed: Some(seed), sha256, from, to: from + 10 }
    }

    #[test]
    fn a_configuration_says_what_it_was_tuned_on_and_loads() {
        let sets = ["severity.high=55.5", "args.grammar.accept=0.3", "convergence.rule=window"].map(str::to_owned);
        let config = replay::config::load(None, &sets).unwrap();
        let parameters = [Parameter::range("severity.high=40..70", &config).unwrap()];
        let metrics = Some(Metrics { acts: 6, found: 5, ..Metrics::default() });
        let trial = Trial { number: 7, values: vec!["55.5".to_owned()], metrics, refused: None };
        let origins = [origin("webapp-11", 11, "aa", 0), origin("odd\nname", 12, "bb", 50)];
        let text = Provenance {
            command: "eval tune --range severity.high=40..70",
            method: Method::Random,
            seed: 3,
            at: Severity::Medium,
            miss_cost: 10.0,
            trials: 20,
            parameters: &parameters,
            chosen: &trial,
            first: &trial,
            tuned_on: &origins,
            learned_from: &[origin("webapp-1", 1, "cc", 100)],
        }
        .render(&config);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        assert_eq!(replay::config::load(Some(file.path()), &[]).unwrap(), config, "{text}");
        assert!(
            text.contains("high = 55.5") && text.contains("accept = 0.3\n") && text.contains("5 of 6 acts"),
            "{text}"
        );
        assert_eq!(tuned_on(file.path()), origins);
        let same = origins[0].overlap(&origin("other", 21, "aa", 500));
        assert!(same.unwrap().contains("this very recording"));
        assert!(origins[0].overlap(&origin("other", 21, "dd", 5)).unwrap().contains("same moments"));
        assert!(origins[0].overlap(&origin("other", 11, "dd", 500)).unwrap().contains("same seed"));
        assert_eq!(origins[0].overlap(&origin("other", 21, "dd", 10)), None);
    }
}
