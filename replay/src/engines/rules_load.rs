//! Rule files: which of their documents can speak here, and why the others cannot.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rsigma_parser::{Detection, Modifier, SigmaRule, parse_sigma_yaml};

use super::Level;
use super::built_in::BUILT_IN;
use super::correlation::{Correlations, Names, Refused, Source};
use super::logs::{COMMAND_LINES, Log};
use super::reach::Reach;
use super::rules::{RuleError, level, technique};
use super::sigma_fields::{Category, Field};

/// What became of a document.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    Loaded,
    /// It asks for fields that no event here has, and what it says of those never holds; or it is asked about a part of what it is
    /// about.
    Partly {
        unmapped: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'static str>,
    },
    Skipped {
        reason: String,
    },
}

/// A document of a rule file.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Listed {
    pub file: PathBuf,
    pub built_in: bool,
    pub id: Option<String>,
    pub title: String,
    /// `logsource.category`, as `correlation`, `filter`, or the service's name where there is only that.
    pub category: String,
    pub level: Level,
    pub technique: Option<String>,
    #[serde(flatten)]
    pub state: State,
}

/// A parsed rule with where it came from.
pub(super) struct Loaded {
    pub path: PathBuf,
    pub rule: SigmaRule,
    /// Fields that it can see.
    pub fields: Vec<Field>,
    /// It looks for words in all of them.
    pub searches: bool,
    listed: usize,
}

/// All documents, read.
#[derive(Default)]
pub(super) struct Folder {
    pub rules: Vec<Loaded>,
    pub correlations: Correlations,
    pub listed: Vec<Listed>,
    sources: Vec<(usize, Source)>,
}

impl Folder {
    /// The built-in documents, and those below `directory`.
    pub fn read(directory: Option<&Path>) -> Result<Folder, RuleError> {
        let mut folder = Folder::default();
        for (name, text) in BUILT_IN {
            folder.parse(Path::new(name), text, true)?;
        }
        if let Some(directory) = directory {
            for path in rule_files(directory)? {
                let text =
                    std::fs::read_to_string(&path).map_err(|source| RuleError::Read { path: path.clone(), source })?;
                folder.parse(&path, &text, false)?;
            }
        }
        folder.resolve();
        Ok(folder)
    }

    fn parse(&mut self, path: &Path, text: &str, built_in: bool) -> Result<(), RuleError> {
        let collection = parse_sigma_yaml(text).map_err(|error| bad(path, error))?;
        let collection = collection.into_result().map_err(|errors| bad(path, errors.join("; ")))?;
        let file = || path.to_path_buf();
        for mut rule in collection.rules {
            // Hits are told apart, and referred to, by it.
            rule.id = rule.id.or_else(|| rule.name.clone());
            rule.detection.named.values_mut().for_each(find_words);
            let fields = visible(&rule, text);
            let searches = rule.detection.named.values().any(searches);
            let listed = self.list(Listed {
                file: file(),
                built_in,
                id: rule.id.clone(),
                title: rule.title.clone(),
                category: category(&rule),
                level: level(rule.level),
                technique: technique(&rule.tags),
                state: state(&rule),
            });
            if matches!(self.listed[listed].state, State::Skipped { .. }) {
                continue;
            }
            if let Some(id) = &rule.id {
                let (replaced, kept) = std::mem::take(&mut self.rules)
                    .into_iter()
                    .partition(|other: &Loaded| other.rule.id.as_ref() == Some(id));
                self.rules = kept;
                for other in replaced {
                    self.replaced(other.listed, path);
                }
            }
            self.rules.push(Loaded { path: file(), rule, fields, searches, listed });
        }
        for rule in collection.correlations {
            let listed = self.list(Listed {
                file: file(),
                built_in,
                id: rule.id.clone().or_else(|| rule.name.clone()),
                title: rule.title.clone(),
                category: "correlation".to_owned(),
                level: level(rule.level),
                technique: technique(&rule.tags),
                state: State::Loaded,
            });
            if rule.id.is_some() {
                let same = |(_, other): &(usize, Source)| other.rule.id == rule.id;
                let replaced: Vec<usize> = self.sources.iter().filter(|other| same(other)).map(|(at, _)| *at).collect();
                self.sources.retain(|other| !same(other));
                replaced.into_iter().for_each(|at| self.replaced(at, path));
            }
            self.sources.push((listed, Source { file: file(), rule }));
        }
        for filter in collection.filters {
            self.list(Listed {
                file: file(),
                built_in,
                id: filter.id.clone(),
                title: filter.title.clone(),
                category: "filter".to_owned(),
                level: Level::Informational,
                technique: None,
                state: State::Skipped { reason: "Sigma filters are not supported".to_owned() },
            });
        }
        Ok(())
    }

    fn list(&mut self, listed: Listed) -> usize {
        self.listed.push(listed);
        self.listed.len() - 1
    }

    fn replaced(&mut self, listed: usize, by: &Path) {
        let reason = format!("{} has a document with the same id", by.display());
        self.listed[listed].state = State::Skipped { reason };
    }

    /// Correlations may refer to what any file holds.
    fn resolve(&mut self) {
        let mut names = Names::new();
        for Loaded { path, rule, .. } in &self.rules {
            let Some(id) = &rule.id else { continue };
            for name in [Some(id), rule.name.as_ref()].into_iter().flatten() {
                names.insert(name.as_str(), (id.clone(), path.as_path()));
            }
        }
        let on_deviations =
            |loaded: &&Loaded| loaded.rule.logsource.category.as_deref() == Some(Category::Deviation.name());
        let deviations = self.rules.iter().filter(on_deviations).filter_map(|loaded| loaded.rule.id.clone()).collect();
        let (listed, sources): (Vec<usize>, Vec<Source>) = std::mem::take(&mut self.sources).into_iter().unzip();
        let (correlations, refused) = Correlations::resolve(&sources, &names, &deviations);
        self.correlations = correlations;
        for (source, Refused { reason }) in refused {
            self.listed[listed[source]].state = State::Skipped { reason };
        }
    }
}

/// Single documents that are warned of; more are summed up.
const WARNED: usize = 8;

/// One line for each document of the user's that cannot speak in full, or one for all of them.
pub fn warnings(listed: &[Listed]) -> Vec<String> {
    let own = || listed.iter().filter(|listed| !listed.built_in);
    let lines: Vec<String> = own()
        .filter_map(|Listed { file, title, state, .. }| match state {
            State::Loaded => None,
            State::Partly { unmapped, note } => {
                let why = in_part(unmapped, *note);
                Some(format!("rule in part without effect: {}: {title}: {why}", file.display()))
            }
            State::Skipped { reason } => Some(format!("rule skipped: {}: {title}: {reason}", file.display())),
        })
        .collect();
    if lines.len() <= WARNED {
        return lines;
    }
    let partly = own().filter(|listed| matches!(listed.state, State::Partly { .. })).count();
    let skipped = lines.len() - partly;
    vec![format!(
        "of {} rules given, {} speak in full, {partly} in part, {skipped} not at all; `replay rules` lists each with the reason",
        own().count(),
        own().count() - lines.len(),
    )]
}

/// Why a rule speaks in part.
pub(crate) fn in_part(unmapped: &[String], note: Option<&str>) -> String {
    let fields = (!unmapped.is_empty()).then(|| format!("no event has {}", unmapped.join(", ")));
    fields.into_iter().chain(note.map(str::to_owned)).collect::<Vec<_>>().join("; ")
}

fn category(rule: &SigmaRule) -> String {
    let source = &rule.logsource;
    let named = source.category.as_ref().or(source.service.as_ref()).or(source.product.as_ref());
    named.map_or_else(|| "none".to_owned(), Clone::clone)
}

fn state(rule: &SigmaRule) -> State {
    let source = &rule.logsource;
    if let Some(product) = source.product.as_deref().filter(|product| *product != "linux") {
        return State::Skipped { reason: format!("for product {product}") };
    }
    let log = Log::of(source);
    if log.is_none() {
        if let Some(service) = &source.service {
            return State::Skipped { reason: format!("no events of service {service}") };
        }
        let Some(category) = &source.category else {
            return State::Skipped { reason: "it names no category of events".to_owned() };
        };
        if Category::ALL.iter().all(|known| known.name() != category) {
            return State::Skipped { reason: format!("no events of category {category}") };
        }
    }
    let Reach { mut lacks, possible } = Reach::of(rule, &|item| match log {
        Some(log) => log.lacks(item),
        None => item.field.name.clone().filter(|name| Field::from_name(name).is_none()),
    });
    if log.is_none() {
        lacks.extend(names(rule).into_iter().filter(|name| Field::from_name(name).is_none()).map(str::to_owned));
    }
    let unmapped: Vec<String> = lacks.into_iter().collect();
    if !possible {
        return State::Skipped { reason: format!("it always asks for {}, which no event has", unmapped.join(", ")) };
    }
    let note = (log == Some(Log::Any)).then_some(COMMAND_LINES);
    if unmapped.is_empty() && note.is_none() { State::Loaded } else { State::Partly { unmapped, note } }
}

/// Fields that a rule's answer depends on.
fn visible(rule: &SigmaRule, text: &str) -> Vec<Field> {
    // A value may be another field's name.
    if text.contains("|fieldref") {
        return Field::ALL.iter().copied().filter(|field| text.contains(field.name())).collect();
    }
    names(rule).into_iter().filter_map(Field::from_name).collect()
}

fn names(rule: &SigmaRule) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    rule.detection.named.values().for_each(|detection| asked(detection, &mut names));
    names
}

/// Words without a field are looked for within texts, those of a list with `|all`, too, which the library compares with whole
/// texts.
fn find_words(detection: &mut Detection) {
    match detection {
        Detection::AllOf(items) => {
            for item in items.iter_mut().filter(|item| item.field.name.as_deref().is_none_or(str::is_empty)) {
                if item.field.modifiers == [Modifier::All] {
                    item.field.modifiers.insert(0, Modifier::Contains);
                }
            }
        }
        Detection::AnyOf(parts) | Detection::And(parts) => parts.iter_mut().for_each(find_words),
        Detection::Keywords(_) | Detection::ArrayMatch { .. } | Detection::Conditional { .. } => {}
    }
}

/// Names of the event's own fields that a detection asks for. Within an array's element names are the element's.
fn asked<'a>(detection: &'a Detection, names: &mut BTreeSet<&'a str>) {
    match detection {
        Detection::AllOf(items) => names.extend(items.iter().filter_map(|item| item.field.name.as_deref())),
        Detection::AnyOf(parts) | Detection::And(parts) => parts.iter().for_each(|part| asked(part, names)),
        Detection::ArrayMatch { field, .. } => names.extend([field.as_str()]),
        Detection::Conditional { named, .. } => named.values().for_each(|part| asked(part, names)),
        Detection::Keywords(_) => {}
    }
}

/// Whether a detection may look at more than the fields that it names.
fn searches(detection: &Detection) -> bool {
    match detection {
        Detection::AllOf(items) => items.iter().any(|item| item.field.name.as_deref().is_none_or(str::is_empty)),
        Detection::AnyOf(parts) | Detection::And(parts) => parts.iter().any(searches),
        Detection::Keywords(_) | Detection::ArrayMatch { .. } | Detection::Conditional { .. } => true,
    }
}

pub(super) fn bad(path: &Path, error: impl std::fmt::Display) -> RuleError {
    // Parsers point into the text over several lines; ours is one line.
    let reason = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    RuleError::Bad { path: path.to_path_buf(), reason }
}

/// Rule files below a directory, sorted.
pub(crate) fn rule_files(directory: &Path) -> Result<Vec<PathBuf>, RuleError> {
    let failed = |path: &Path, source| RuleError::Read { path: path.to_path_buf(), source };
    let mut files = Vec::new();
    let mut pending = vec![directory.to_path_buf()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| failed(&folder, error))? {
            let entry = entry.map_err(|error| failed(&folder, error))?;
            let path = entry.path();
            // Links to directories are not followed: they could lead round in a circle.
            if entry.file_type().map_err(|error| failed(&path, error))?.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
