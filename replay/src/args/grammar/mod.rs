//! The grammar of a leaf: what its command lines are made of, learned, whatever their order; and what a new one adds.
//!
//! A command line that differs from every learned one is compared part by part with all of them. A part that was learned says
//! nothing. A new one has a risk from 0 to 1 by what it is (`replay/args/risk.toml`): another number or a file beside the known
//! ones hardly any, a flag little, a destination outside, a command, a credential or a switch of security much. The line's risk
//! is its riskiest change, and some more for each further one. So structure learns with the leaf, and only risk is news.

mod changes;
mod facts;
mod hosts;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use super::Canonical;
use super::knowledge::program_key;

pub use changes::Change;
pub use facts::Fact;

/// What one leaf's command lines are made of.
#[derive(Clone, Debug, Default)]
pub struct Grammar {
    facts: BTreeSet<Fact>,
    /// Values by command; for those under an option or key, by that as well.
    values: BTreeMap<String, BTreeSet<String>>,
    slots: BTreeMap<(String, String), BTreeSet<String>>,
    commands: BTreeSet<String>,
    /// Options, by command, that every learned line had.
    always: Option<BTreeSet<(String, String)>>,
}

/// What a command line adds to a leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct Novelty {
    /// 0 to 1.
    pub risk: f32,
    /// The changes, the riskiest first.
    pub changes: Vec<Change>,
}

/// Part of what further changes add to the riskiest one. At 1, they would be taken as independent.
const FURTHER: f32 = 0.3;

impl Grammar {
    /// Learns what `program` was run with.
    pub fn learn(&mut self, program: &str, canonical: &Canonical) {
        let facts = facts::facts(program, canonical);
        let options: BTreeSet<_> = facts.iter().filter_map(option).collect();
        match &mut self.always {
            Some(always) => always.retain(|option| options.contains(option)),
            None => self.always = Some(options),
        }
        for fact in facts {
            match &fact {
                Fact::Value { command, slot, value } => {
                    self.values.entry(command.clone()).or_default().insert(value.clone());
                    self.slots.entry((command.clone(), slot.clone())).or_default().insert(value.clone());
                }
                Fact::Command { name, .. } => {
                    self.commands.insert(name.clone());
                }
                _ => {}
            }
            self.facts.insert(fact);
        }
    }

    /// How risky it is that `program` is run with this.
    pub fn compare(&self, program: &str, canonical: &Canonical) -> Novelty {
        let facts = facts::facts(program, canonical);
        let mut changes = changes::changes(self, program_key(program), &facts);
        changes.sort_by(|a, b| b.risk.total_cmp(&a.risk).then_with(|| a.what.cmp(&b.what)));
        changes.dedup_by(|a, b| a.what == b.what);
        let Some((first, rest)) = changes.split_first() else { return Novelty { risk: 0.0, changes } };
        let none_of_rest: f32 = rest.iter().map(|change| 1.0 - change.risk).product();
        let risk = first.risk + FURTHER * (1.0 - first.risk) * (1.0 - none_of_rest);
        Novelty { risk, changes }
    }

    fn knows(&self, fact: &Fact) -> bool {
        self.facts.contains(fact)
    }

    /// Learned values of a command under an option or key.
    fn slot(&self, command: &str, slot: &str) -> impl Iterator<Item = &str> {
        self.slots.get(&(command.to_owned(), slot.to_owned())).into_iter().flatten().map(String::as_str)
    }

    /// All learned values of a command.
    fn values(&self, command: &str) -> impl Iterator<Item = &str> {
        self.values.get(command).into_iter().flatten().map(String::as_str)
    }
}

fn option(fact: &Fact) -> Option<(String, String)> {
    match fact {
        Fact::Option { command, name } => Some((command.clone(), name.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
