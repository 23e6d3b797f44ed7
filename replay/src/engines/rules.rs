//! The rules engine: Sigma rules on single events, through rsigma, and what correlations make of their hits.
//!
//! Rules are the project's own (`replay/rules/`, built in) and those of a directory that the user names; a user's rule
//! with the id of a built-in one replaces it. Fields and categories are those of [`super::sigma_fields`].
//!
//! Every event passes here, during learning too, so answers are remembered by the values of the fields that the
//! category's rules name: an event that looks like an earlier one costs a hash.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use datasets::{Event, FileLook, NetworkLook};
use foldhash::quality::RandomState;
use rsigma_eval::{EvaluationResult, EventValue};

use super::correlation::{Correlations, Feed};
use super::logs::Logs;
use super::rules_load::{Folder, Listed, bad};
use super::sight::Sight;
use super::sigma_fields::{Category, EventView, Field, SigmaEvent};
use super::{Engine, Level, Verdict};

/// Remembered answers, over all shards, before a shard is emptied. An answer is a few machine words; the whole stays
/// below some 30 MB.
const MEMO: usize = 1 << 18;
const SHARDS: usize = 64;

/// Characters of a field's value quoted in a reason.
const QUOTED: usize = 120;

/// A rule that an event matches.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleHit {
    pub id: Arc<str>,
    pub title: Arc<str>,
    pub level: Level,
    /// The rule's first ATT&CK technique, as T1059.004.
    pub technique: Option<Arc<str>>,
    /// Title and the values that matched.
    pub reason: Arc<str>,
    /// It only serves a correlation.
    pub silent: bool,
    /// Correlations that it counts for.
    pub feeds: Arc<[Feed]>,
}

impl RuleHit {
    pub fn verdict(&self) -> Verdict {
        Verdict {
            engine: Engine::Rules,
            score: self.level.score(),
            reason: self.reason.to_string(),
            technique: self.technique.as_deref().map(str::to_owned),
            judge: self.id.to_string(),
            level: Some(self.level),
            grounds: super::Grounds::Level,
        }
    }
}

/// Why rules could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    #[error("cannot read rules from {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("bad Sigma rule in {}: {reason}", path.display())]
    Bad { path: PathBuf, reason: String },
}

/// Remembered answers, by key.
type Shard = HashMap<u128, Arc<[RuleHit]>, RandomState>;

/// Rules, compiled and sorted by category.
pub struct RuleEngine {
    categories: Vec<Compiled>,
    /// By category.
    sights: [Sight; Category::ALL.len()],
    /// What is about logs instead of categories.
    logs: Logs,
    correlations: Correlations,
    listed: Vec<Listed>,
    memo: Vec<Mutex<Shard>>,
    /// Of the keys of `memo`: random, for the values are an attacker's to choose.
    seeds: [RandomState; 2],
}

struct Compiled {
    category: Category,
    engine: rsigma_eval::Engine,
    /// Fields that any of its rules names.
    fields: Vec<Field>,
}

impl RuleEngine {
    /// The built-in rules, and those below `directory` (`*.yml`, `*.yaml`, in order of path).
    ///
    /// # Errors
    /// An unreadable directory, or a file that is no valid Sigma; the message names it. Documents that are valid but have
    /// no meaning here (other products, unknown categories, filters) are in the [list](RuleEngine::listed).
    pub fn load(directory: Option<&Path>) -> Result<RuleEngine, RuleError> {
        let Folder { rules, correlations, listed, .. } = Folder::read(directory)?;
        let logs = Logs::compile(&rules)?;
        let mut categories = Vec::new();
        let mut sights = [Sight::Nothing; Category::ALL.len()];
        for category in Category::ALL.iter().copied() {
            let mut compiled = Compiled { category, engine: rsigma_eval::Engine::new(), fields: Vec::new() };
            for loaded in
                rules.iter().filter(|loaded| loaded.rule.logsource.category.as_deref() == Some(category.name()))
            {
                compiled.engine.add_rule(&loaded.rule).map_err(|error| bad(&loaded.path, error))?;
                compiled.fields.extend(&loaded.fields);
                let sight = match loaded.searches {
                    true => Sight::Everything,
                    false => Sight::Fields(loaded.fields.iter().copied().collect()),
                };
                sights[category as usize] = sights[category as usize].and(sight);
            }
            compiled.fields.sort_unstable();
            compiled.fields.dedup();
            if compiled.engine.rule_count() > 0 {
                categories.push(compiled);
            }
        }
        let memo = (0..SHARDS).map(|_| Mutex::default()).collect();
        let seeds = [RandomState::default(), RandomState::default()];
        Ok(RuleEngine { categories, sights, logs, correlations, listed, memo, seeds })
    }

    /// Number of rules and correlations that can speak.
    pub fn len(&self) -> usize {
        let rules: usize = self.categories.iter().map(|compiled| compiled.engine.rule_count()).sum();
        rules + self.logs.len() + self.correlations.documents().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All documents, in the order they were read.
    pub fn listed(&self) -> &[Listed] {
        &self.listed
    }

    pub fn correlations(&self) -> &Correlations {
        &self.correlations
    }

    /// Whether any rule asks for events of a category.
    pub fn asks_for(&self, category: Category) -> bool {
        self.categories.iter().any(|compiled| compiled.category == category)
    }

    /// Whether any rule can speak of an event that is no deviation.
    pub fn asks_about(&self, event: &Event) -> bool {
        Category::of(event).iter().any(|category| self.asks_for(*category)) || self.logs.ask_for(event)
    }

    /// What the rules say of an event that is no deviation depends on.
    pub fn sight(&self, event: &Event) -> Sight {
        if self.logs.ask_for(event) {
            return Sight::Everything;
        }
        self.sight_of(Category::of(event))
    }

    /// As [`sight`](RuleEngine::sight) of an event of class file.
    pub fn sight_of_file(&self, look: &FileLook<'_>) -> Sight {
        if self.logs.ask_for_file(look) {
            return Sight::Everything;
        }
        self.sight_of(Category::of_file(look))
    }

    /// As [`sight`](RuleEngine::sight) of an event of class network.
    pub fn sight_of_network(&self, look: &NetworkLook<'_>) -> Sight {
        if self.logs.ask_for_kind(look.kind) {
            return Sight::Everything;
        }
        self.sight_of(Category::of_network(look))
    }

    fn sight_of(&self, categories: &[Category]) -> Sight {
        categories.iter().map(|category| self.sights[*category as usize]).fold(Sight::Nothing, Sight::and)
    }

    /// The rules that the event matches, by id. Depends on the view alone.
    pub fn evaluate(&self, view: &EventView<'_>) -> Vec<RuleHit> {
        let mut hits = Vec::new();
        for category in view.categories() {
            let Some(compiled) = self.categories.iter().find(|compiled| compiled.category == *category) else {
                continue;
            };
            hits.extend(self.remembered(compiled, view).iter().cloned());
        }
        if view.known.deviation.is_none() && self.logs.ask_for(view.event) {
            let said = self.logs.evaluate(view, |key, engine, entry| {
                self.recalled(key, || {
                    (engine.evaluate(entry).iter().map(|result| hit(result, &self.correlations)).collect(), true)
                })
            });
            hits.extend(said);
        }
        hits.sort_by(|a, b| a.id.cmp(&b.id));
        hits.dedup_by(|a, b| a.id == b.id);
        hits
    }

    fn remembered(&self, compiled: &Compiled, view: &EventView<'_>) -> Arc<[RuleHit]> {
        let event = SigmaEvent::new(view);
        self.recalled(compiled.key(&event, &self.seeds), || {
            let hits = compiled.engine.evaluate(&event).iter().map(|result| hit(result, &self.correlations)).collect();
            // A keyword search reads fields that are not in the key.
            (hits, !event.searched_all.get())
        })
    }

    /// What was said under this key, else what `evaluate` says now, with whether that is to be remembered.
    fn recalled(&self, key: u128, evaluate: impl FnOnce() -> (Arc<[RuleHit]>, bool)) -> Arc<[RuleHit]> {
        let shard = &self.memo[key as usize % SHARDS];
        if let Some(hits) = shard.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(hits);
        }
        let (hits, keep) = evaluate();
        if keep {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            if shard.len() >= MEMO / SHARDS {
                shard.clear();
            }
            shard.insert(key, Arc::clone(&hits));
        }
        hits
    }
}

impl Compiled {
    /// 128 bits over the values that the rules can see; two different inputs do not meet in practice.
    fn key(&self, event: &SigmaEvent<'_>, seeds: &[RandomState; 2]) -> u128 {
        let mut halves = [seeds[0].build_hasher(), seeds[1].build_hasher()];
        for hasher in &mut halves {
            (self.category as u8).hash(hasher);
        }
        for field in &self.fields {
            // A command line is made of its words, and they are there already.
            if let Some(argv) = event.words_of(*field) {
                halves.iter_mut().for_each(|hasher| (7u8, argv).hash(hasher));
                continue;
            }
            let value = event.field(*field);
            for hasher in &mut halves {
                hash_value(value.as_ref(), hasher);
            }
        }
        let [high, low] = halves.map(|hasher| u128::from(hasher.finish()));
        high << 64 | low
    }
}

fn hash_value(value: Option<&EventValue<'_>>, hasher: &mut impl Hasher) {
    match value {
        None => 0u8.hash(hasher),
        Some(EventValue::Str(text)) => (1u8, text).hash(hasher),
        Some(EventValue::Int(number)) => (2u8, number).hash(hasher),
        Some(EventValue::Bool(truth)) => (3u8, truth).hash(hasher),
        Some(EventValue::Array(values)) => {
            (4u8, values.len()).hash(hasher);
            values.iter().for_each(|value| hash_value(Some(value), hasher));
        }
        Some(EventValue::Float(number)) => (5u8, number.to_bits()).hash(hasher),
        Some(EventValue::Null | EventValue::Map(_)) => 6u8.hash(hasher),
    }
}

fn hit(result: &EvaluationResult, correlations: &Correlations) -> RuleHit {
    let header = &result.header;
    let fields = result.as_detection().map(|body| body.matched_fields.as_slice()).unwrap_or_default();
    let mut quoted: Vec<String> = Vec::new();
    for field in fields {
        let value = field.value.as_str().map_or_else(|| field.value.to_string(), str::to_owned);
        let short: String = value.chars().take(QUOTED).collect();
        let ellipsis = if short.len() < value.len() { "…" } else { "" };
        let text = format!("{} {short}{ellipsis}", field.field);
        if !quoted.contains(&text) {
            quoted.push(text);
        }
    }
    quoted.sort();
    let id = header.rule_id.as_deref().unwrap_or(&header.rule_title);
    let roles = correlations.roles(id);
    RuleHit {
        id: id.into(),
        title: header.rule_title.as_str().into(),
        level: level(header.level),
        technique: technique(&header.tags).map(Into::into),
        reason: match quoted.is_empty() {
            true => header.rule_title.as_str().into(),
            false => format!("{}: {}", header.rule_title, quoted.join(", ")).into(),
        },
        silent: roles.silent,
        feeds: roles.feeds,
    }
}

/// A rule without a level is one whose author did not claim anything: it is low.
pub(super) fn level(level: Option<rsigma_parser::Level>) -> Level {
    match level {
        Some(rsigma_parser::Level::Critical) => Level::Critical,
        Some(rsigma_parser::Level::High) => Level::High,
        Some(rsigma_parser::Level::Medium) => Level::Medium,
        Some(rsigma_parser::Level::Low) | None => Level::Low,
        Some(rsigma_parser::Level::Informational) => Level::Informational,
    }
}

/// `attack.t1059.004` → `T1059.004`; tactics (`attack.execution`) are passed over.
pub(super) fn technique(tags: &[String]) -> Option<String> {
    tags.iter().find_map(|tag| {
        let id = tag.strip_prefix("attack.t")?;
        id.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("T{id}"))
    })
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
