//! Which stage of a replay a configuration key belongs to, and the hash by which a stage's result is known again.

use std::collections::BTreeMap;

use replay::config::{After, Config, JudgeKind};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

/// The stages, in order. A key belongs to the first that reads it: when its value changes, that one and all after it run anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The baseline is learned from the recordings of train.
    Learn,
    /// Each recording is compared with it, command lines by what they say to the embedding model too; equal deviations are folded.
    Compare,
    /// Thresholds of command lines: compared anew only where a decision would be another one.
    Threshold,
    /// Semantics and statistics judge what deviated.
    Judge,
    /// Weights and severities make alerts of the verdicts.
    Score,
    /// Read by nothing that metrics are made of.
    Nothing,
}

impl Stage {
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Learn => "learn",
            Stage::Compare => "compare",
            Stage::Threshold => "threshold",
            Stage::Judge => "judge",
            Stage::Score => "score",
            Stage::Nothing => "nothing",
        }
    }
}

/// Keys by their beginning. What is not here, a key of tomorrow too, belongs to the first stage: that is slow, and never wrong.
const STAGES: &[(&str, Stage)] = &[
    ("args.grammar.accept", Stage::Threshold),
    ("args.grammar.reject", Stage::Threshold),
    ("args.novelty.accept", Stage::Threshold),
    ("args.novelty.reject", Stage::Threshold),
    ("args.embedding.threshold", Stage::Threshold),
    ("args.grammar.", Stage::Compare),
    ("args.novelty.", Stage::Compare),
    ("args.embedding.", Stage::Compare),
    ("model.cache", Stage::Nothing),
    ("model.", Stage::Compare),
    ("convergence.", Stage::Compare),
    ("tuning.", Stage::Compare),
    ("alerts.evidence_rows", Stage::Compare),
    ("alerts.lateral", Stage::Nothing),
    ("engines.statistics.", Stage::Judge),
    ("engines.judge", Stage::Judge),
    ("engines.exemplars", Stage::Judge),
    ("engines.llm.", Stage::Judge),
    ("engines.weights.", Stage::Score),
    ("severity.", Stage::Score),
];

/// The stage that reads `key` first.
pub fn stage(key: &str) -> Stage {
    STAGES.iter().find(|(prefix, _)| key.starts_with(prefix)).map_or(Stage::Learn, |(_, stage)| *stage)
}

/// The stage that reads `key` first under this configuration: of a baseline that goes on learning, what it waits for is part.
fn stage_in(key: &str, config: &Config) -> Stage {
    match stage(key) {
        Stage::Compare | Stage::Threshold if config.convergence.after == After::Tune && !key.starts_with("model.") => {
            Stage::Learn
        }
        // What the llm judge is asked first, when its budget is short, goes by the points of the others.
        Stage::Score if config.engines.judge == JudgeKind::Llm && key.starts_with("engines.weights.") => Stage::Judge,
        // Without weight the judge is not asked.
        Stage::Score if key == "engines.weights.semantics" && config.engines.weights.semantics <= 0.0 => Stage::Judge,
        stage => stage,
    }
}

/// Every key of a configuration with its value, in order.
pub fn leaves(config: &Config) -> Vec<(String, Value)> {
    let table = Table::try_from(config).expect("a configuration is a table");
    let mut all = Vec::new();
    collect(&table, "", &mut all);
    all
}

fn collect(table: &Table, prefix: &str, all: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(table) => collect(table, &key, all),
            value => all.push((key, value.clone())),
        }
    }
}

/// What each stage reads of one configuration.
pub struct Reads(BTreeMap<Stage, String>);

impl Reads {
    pub fn of(config: &Config) -> Self {
        let mut texts: BTreeMap<Stage, String> = BTreeMap::new();
        for (key, value) in leaves(config) {
            *texts.entry(stage_in(&key, config)).or_default() += &format!("{key}={value}\n");
        }
        Reads(texts)
    }

    /// SHA-256 in hex of what names a stage's result: its inputs, named likewise, and the keys of the configuration that it reads.
    pub fn key(&self, stage: Stage, inputs: &[&str]) -> String {
        let mut hash = Sha256::new();
        hash.update(stage.name());
        for input in inputs {
            hash.update("\n");
            hash.update(input);
        }
        hash.update("\n\n");
        hash.update(self.0.get(&stage).map_or("", String::as_str));
        hex(&hash.finalize())
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(set: &str) -> Config {
        let sets: Vec<String> = set.split_whitespace().map(str::to_owned).collect();
        replay::config::load(None, &sets).unwrap()
    }

    #[test]
    fn a_key_changes_its_own_stage_and_no_other() {
        let stages = [Stage::Learn, Stage::Compare, Stage::Judge, Stage::Score];
        let key_of = |stage, inputs: &[&str], set: &str| Reads::of(&config(set)).key(stage, inputs);
        let same = |set: &str| stages.map(|stage| key_of(stage, &["x"], "") == key_of(stage, &["x"], set));
        assert_eq!(same("profile.collapse=9"), [false, true, true, true]);
        assert_eq!(same("convergence.window=9"), [true, false, true, true]);
        assert_eq!(same("engines.statistics.half=9"), [true, true, false, true]);
        assert_eq!(same("severity.high=55"), [true, true, true, false]);
        assert_eq!(same("args.grammar.accept=0.1"), [true; 4], "a threshold tells by what it was asked");
        assert_eq!(same("engines.weights.semantics=7"), [true, true, true, false]);
        assert_eq!(same("engines.weights.semantics=0"), [true, true, false, false]);
        assert_ne!(key_of(Stage::Learn, &["x"], ""), key_of(Stage::Learn, &["y"], ""));
        let slow = |set: &str| key_of(Stage::Learn, &[], &format!("convergence.after=tune {set}"));
        assert_ne!(slow(""), slow("tuning.apart=3600 tuning.forget=90000"), "a baseline has its candidates");
        assert_ne!(slow(""), slow("args.grammar.accept=0.1"));
    }

    #[test]
    fn every_prefix_is_of_a_key() {
        let all = leaves(&config(""));
        for (prefix, _) in STAGES {
            assert!(all.iter().any(|(key, _)| key.starts_with(prefix)), "{prefix}");
        }
    }
}
