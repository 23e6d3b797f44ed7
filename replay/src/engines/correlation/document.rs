//! A Sigma correlation document, resolved: which rules it joins, and by which of our fields.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rsigma_eval::EventValue;
use rsigma_parser::{ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType, WindowMode};

use super::window::{Entry, Value};
use super::{WINDOW, hit};
use crate::engines::rules::{RuleHit, level, technique};
use crate::engines::sigma_fields::{Field, SigmaEvent};

static EDITION: AtomicU64 = AtomicU64::new(0);

/// Where a correlation's events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In one container.
    Container,
    Everywhere,
}

/// A hit of a rule goes to this document, as its rule number `reference`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feed {
    pub document: usize,
    pub reference: u16,
}

/// A correlation that cannot be evaluated here, and why.
#[derive(Clone, Debug)]
pub struct Refused {
    pub reason: String,
}

/// What correlations make of a rule.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    /// It only serves a correlation.
    pub silent: bool,
    pub feeds: Arc<[Feed]>,
}

/// A correlation with the name of the file it is from.
pub struct Source {
    pub file: PathBuf,
    pub rule: CorrelationRule,
}

pub struct Document {
    pub title: Arc<str>,
    pub scope: Scope,
    pub kind: CorrelationType,
    /// Number of rules it joins.
    pub references: u16,
    /// ns
    pub timespan: i64,
    /// Without a reason of its own.
    pub hit: RuleHit,
    /// It joins, over whatever others, what left the profile: it weighs on alerts, and says nothing of what may be learned.
    pub of_deviations: bool,
    /// For each field the field of each rule.
    group_by: Vec<Vec<Field>>,
    field: Option<Field>,
    predicates: Vec<(ConditionOperator, u64)>,
}

/// All correlations.
#[derive(Default)]
pub struct Correlations {
    /// Which loading of the rules this is: what was seen under other documents means nothing under these.
    pub edition: u64,
    documents: Vec<Document>,
    /// By id.
    roles: HashMap<String, Roles>,
}

/// What a correlation may refer to: names and ids, with the id that its hits have, and the file it is in.
pub type Names<'a> = HashMap<&'a str, (String, &'a Path)>;

impl Correlations {
    /// Resolves documents. `rules`: what can be referred to besides the documents themselves.
    /// `deviations`: the rules on deviations, by id.
    pub fn resolve<'a>(
        sources: &'a [Source],
        known: &Names<'a>,
        deviations: &HashSet<String>,
    ) -> (Correlations, Vec<(usize, Refused)>) {
        let mut refused = Vec::new();
        // Which documents stand: one that refers to a refused one is refused, too.
        let mut standing: Vec<usize> = (0..sources.len()).collect();
        let names = loop {
            let mut names = known.clone();
            for index in &standing {
                let Source { file, rule } = &sources[*index];
                for name in [&rule.id, &rule.name].into_iter().flatten() {
                    names.insert(name, (id(rule).to_owned(), file));
                }
            }
            let bad = standing.iter().find_map(|index| {
                let reason = check(&sources[*index].rule, &names, sources, &standing)?;
                Some((*index, Refused { reason }))
            });
            let Some((index, why)) = bad else { break names };
            standing.retain(|other| *other != index);
            refused.push((index, why));
        };
        let edition = EDITION.fetch_add(1, Ordering::Relaxed) + 1;
        let mut correlations = Correlations { edition, ..Correlations::default() };
        let mut feeds: HashMap<String, Vec<Feed>> = HashMap::new();
        let mut silent: HashSet<String> = HashSet::new();
        let mut joins = Vec::new();
        for index in standing {
            let Source { file, rule } = &sources[index];
            for (reference, name) in rule.rules.iter().enumerate() {
                let Some((id, from)) = names.get(name.as_str()) else { continue };
                let feed = Feed { document: correlations.documents.len(), reference: reference as u16 };
                feeds.entry(id.clone()).or_default().push(feed);
                // A stranger's correlation must not silence a rule that stands for itself.
                if !rule.generate && *from == file.as_path() {
                    silent.insert(id.clone());
                }
            }
            let ids = rule.rules.iter().filter_map(|name| names.get(name.as_str())).map(|(id, _)| id.clone());
            correlations.documents.push(document(rule));
            joins.push(ids.collect::<Vec<_>>());
        }
        // As deep as correlations are chained.
        let mut departed = deviations.clone();
        for _ in 0..correlations.documents.len() {
            for (document, ids) in correlations.documents.iter_mut().zip(&joins) {
                document.of_deviations |= ids.iter().any(|id| departed.contains(id));
                if document.of_deviations {
                    departed.insert(document.hit.id.to_string());
                }
            }
        }
        let role = |(id, feeds): (String, Vec<Feed>)| {
            let silent = silent.contains(&id);
            (id, Roles { silent, feeds: feeds.into() })
        };
        correlations.roles = feeds.into_iter().map(role).collect();
        for document in &mut correlations.documents {
            if let Some(role) = correlations.roles.get(&*document.hit.id) {
                (document.hit.silent, document.hit.feeds) = (role.silent, Arc::clone(&role.feeds));
            }
        }
        (correlations, refused)
    }

    pub fn document(&self, index: usize) -> &Document {
        &self.documents[index]
    }

    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    pub fn roles(&self, id: &str) -> Roles {
        self.roles.get(id).cloned().unwrap_or_default()
    }
}

fn id(rule: &CorrelationRule) -> &str {
    rule.id.as_deref().or(rule.name.as_deref()).unwrap_or(&rule.title)
}

/// Why a document cannot be evaluated.
fn check(rule: &CorrelationRule, names: &Names<'_>, sources: &[Source], standing: &[usize]) -> Option<String> {
    if let Some(missing) = rule.rules.iter().find(|name| !names.contains_key(name.as_str())) {
        return Some(format!("it refers to {missing}, which is no rule that is loaded"));
    }
    if rule.rules.is_empty() || rule.rules.len() > 64 {
        return Some("it must refer to 1 to 64 rules".to_owned());
    }
    if matches!(rule.correlation_type, CorrelationType::ValuePercentile | CorrelationType::ValueMedian) {
        return Some(format!("{} is not supported", rule.correlation_type.as_str()));
    }
    if rule.window != WindowMode::Sliding {
        return Some(format!("the window {} is not supported", rule.window.as_str()));
    }
    let CorrelationCondition::Threshold { predicates, field, .. } = &rule.condition else {
        return Some("conditions in words are not supported".to_owned());
    };
    let fields = rule.group_by.iter().flat_map(|name| match rule.aliases.iter().find(|alias| alias.alias == *name) {
        Some(alias) => alias.mapping.values().collect(),
        None => vec![name],
    });
    let mut fields = fields.chain(field.iter().flatten());
    if let Some(unknown) = fields.find(|name| Field::from_name(name).is_none()) {
        return Some(format!("no event has {unknown}"));
    }
    let counts = matches!(rule.correlation_type, CorrelationType::EventCount | CorrelationType::ValueCount);
    if counts && predicates.iter().any(|(_, value)| *value > WINDOW as u64) {
        return Some(format!("its condition asks for more than {WINDOW} events"));
    }
    let valued = matches!(
        rule.correlation_type,
        CorrelationType::ValueCount | CorrelationType::ValueSum | CorrelationType::ValueAvg
    );
    if valued && field.as_ref().is_none_or(|fields| fields.len() != 1) {
        return Some("its condition must name one field".to_owned());
    }
    // A circle: it refers to something that refers, over any number, to itself.
    let mut below = vec![id(rule).to_owned()];
    let mut seen = HashSet::new();
    while let Some(next) = below.pop() {
        let inner = standing.iter().map(|index| &sources[*index].rule).find(|rule| id(rule) == next);
        for name in inner.iter().flat_map(|inner| &inner.rules) {
            let Some((target, _)) = names.get(name.as_str()) else { continue };
            if target == id(rule) {
                return Some("it refers to itself".to_owned());
            }
            if seen.insert(target.clone()) {
                below.push(target.clone());
            }
        }
    }
    // What is found among all containers belongs to no event of its own.
    let everywhere = |name: &&String| {
        let target = names.get(name.as_str()).map(|(target, _)| target);
        let inner = standing
            .iter()
            .map(|index| &sources[*index].rule)
            .find(|rule| Some(id(rule)) == target.map(String::as_str));
        inner.is_some_and(|inner| scope(inner) == Scope::Everywhere)
    };
    rule.rules.iter().find(everywhere).map(|name| format!("{name}, which it refers to, is not of one container"))
}

fn scope(rule: &CorrelationRule) -> Scope {
    let of_container = rule.group_by.iter().filter_map(|name| Field::from_name(name)).any(Field::is_of_one_container);
    if of_container { Scope::Container } else { Scope::Everywhere }
}

/// A document that [`check`] found nothing wrong with.
fn document(rule: &CorrelationRule) -> Document {
    let (predicates, field) = match &rule.condition {
        CorrelationCondition::Threshold { predicates, field, .. } => (predicates.clone(), field.clone()),
        CorrelationCondition::Extended(_) => (Vec::new(), None),
    };
    let field_of = |name: &String, reference: &String| {
        let alias = rule.aliases.iter().find(|alias| alias.alias == *name);
        let name = alias.and_then(|alias| alias.mapping.get(reference)).unwrap_or(name);
        Field::from_name(name)
    };
    let group_by = rule.group_by.iter().map(|name| rule.rules.iter().filter_map(|rule| field_of(name, rule)).collect());
    // Temporal ones without a condition ask for all their rules.
    let all = || vec![(ConditionOperator::Gte, rule.rules.len() as u64)];
    let seconds = i64::try_from(rule.timespan.seconds).unwrap_or(i64::MAX);
    Document {
        title: rule.title.as_str().into(),
        scope: scope(rule),
        kind: rule.correlation_type,
        references: rule.rules.len() as u16,
        timespan: seconds.saturating_mul(1_000_000_000),
        hit: hit(id(rule), &rule.title, level(rule.level), technique(&rule.tags)),
        of_deviations: false,
        group_by: group_by.collect(),
        field: field.and_then(|fields| Field::from_name(fields.first()?)),
        predicates: if predicates.is_empty() { all() } else { predicates },
    }
}

impl Document {
    /// The group of an event that rule number `reference` hit; None if it lacks a field.
    pub(super) fn group(&self, event: &SigmaEvent<'_>, reference: u16) -> Option<Box<str>> {
        let mut group = String::new();
        for fields in &self.group_by {
            let value = event.field(*fields.get(usize::from(reference))?)?;
            group.push_str(&text(&value)?);
            group.push('\0');
        }
        Some(group.into())
    }

    /// What is counted or summed of an event; None if it has no such thing.
    pub(super) fn value(&self, event: &SigmaEvent<'_>) -> Option<Value> {
        let Some(field) = self.field else { return Some(Value::Nothing) };
        let value = event.field(field)?;
        match self.kind {
            CorrelationType::ValueCount => text(&value).map(|text| Value::Text(text.into())),
            CorrelationType::ValueSum | CorrelationType::ValueAvg => match value {
                EventValue::Int(number) => Some(Value::Number(number)),
                _ => None,
            },
            _ => Some(Value::Nothing),
        }
    }

    pub fn condition(&self, value: f64) -> bool {
        self.predicates.iter().all(|(operator, bound)| {
            let bound = *bound as f64;
            match operator {
                ConditionOperator::Lt => value < bound,
                ConditionOperator::Lte => value <= bound,
                ConditionOperator::Gt => value > bound,
                ConditionOperator::Gte => value >= bound,
                ConditionOperator::Eq => value == bound,
                ConditionOperator::Neq => value != bound,
            }
        })
    }

    /// What was measured, in words.
    pub fn measured(&self, value: f64, joined: &[&Entry]) -> String {
        let span = match (joined.first(), joined.last()) {
            (Some(first), Some(last)) => (last.ts - first.ts) as f64 / 1e9,
            _ => 0.0,
        };
        let field = self.field.map_or("", Field::name);
        match self.kind {
            CorrelationType::ValueCount => format!("{value} different {field} in {span:.1} s"),
            CorrelationType::ValueSum => format!("{value} {field} in {span:.1} s"),
            CorrelationType::ValueAvg => format!("{value:.1} {field} on average in {span:.1} s"),
            CorrelationType::EventCount => format!("{value} times in {span:.1} s"),
            _ => format!("{} hits in {span:.1} s", joined.len()),
        }
    }
}

fn text(value: &EventValue<'_>) -> Option<String> {
    match value {
        EventValue::Str(text) => Some(text.to_string()),
        EventValue::Int(number) => Some(number.to_string()),
        EventValue::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}
