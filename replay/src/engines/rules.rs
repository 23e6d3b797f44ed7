//! The rules engine: Sigma rules on single events, through rsigma.
//!
//! Rules are the project's own (`replay/rules/`, built in) and those of a directory that the user names; a user's rule
//! with the id of a built-in one replaces it. Fields and categories are those of [`super::sigma_fields`].
//!
//! Every event passes here, during learning too, so answers are remembered by the values of the fields that the
//! category's rules name: an event that looks like an earlier one costs a hash.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rsigma_eval::{EvaluationResult, EventValue};
use rsigma_parser::{Detection, SigmaRule, parse_sigma_yaml};

use super::sigma_fields::{Category, EventView, Field, SigmaEvent};
use super::{Engine, Level, Verdict};

macro_rules! built_in {
    ($($file:literal)*) => {
        /// `(file name, text)` of the rules that ship.
        const BUILT_IN: &[(&str, &str)] = &[$(($file, include_str!(concat!("../../rules/", $file)))),*];
    };
}

built_in! {
    "account_command.yml" "account_file_write.yml" "capability_granted.yml" "chmod_command_in_temp.yml"
    "chmod_in_temp.yml" "cloud_metadata.yml" "command_injection.yml" "container_recon_tool.yml"
    "credential_file_read.yml" "credential_search.yml" "cron_persistence.yml" "debugger_attached.yml"
    "decode_to_shell.yml" "deleted_executable.yml" "destruction_command.yml" "download_to_shell.yml"
    "download_to_temp.yml" "encryption_command.yml" "escape_chroot.yml" "escape_kernel_helper.yml" "escape_mount.yml"
    "escape_nsenter.yml" "escape_runtime_socket.yml" "fileless_execution.yml" "firewall_flushed.yml" "fork_bomb.yml"
    "history_command.yml" "history_deleted.yml" "immutable_attribute.yml" "kernel_module_command.yml"
    "log_deleted.yml" "log_emptied.yml" "login_module_written.yml" "miner_command_line.yml" "mining_pool.yml"
    "mining_port.yml" "network_scanner.yml" "onion_service.yml" "preload_hijack.yml" "private_key_read.yml"
    "process_memory_read.yml" "raw_disk_read.yml" "raw_disk_write.yml" "reverse_shell.yml" "security_tool_stopped.yml"
    "service_account_token_read.yml" "service_written.yml" "setuid_set.yml" "shadow_read.yml"
    "shell_from_web_server.yml" "shell_profile_written.yml" "ssh_forwarding.yml" "ssh_key_write.yml"
    "temp_execution.yml" "timestamp_set.yml" "tunnel_tool.yml" "upload_command.yml" "web_script_written.yml"
}

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

/// A document of a rule file that can never speak here, or not in full, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Skipped {
    pub path: PathBuf,
    pub title: String,
    pub reason: String,
}

/// Rules, compiled and sorted by category.
pub struct RuleEngine {
    categories: Vec<Compiled>,
    skipped: Vec<Skipped>,
    unmapped: Vec<Skipped>,
    memo: Vec<Mutex<HashMap<u128, Arc<[RuleHit]>>>>,
}

struct Compiled {
    category: Category,
    engine: rsigma_eval::Engine,
    /// Fields that any of its rules names.
    fields: Vec<Field>,
}

/// A parsed rule with where it came from.
struct Loaded {
    path: PathBuf,
    rule: SigmaRule,
    fields: Vec<Field>,
}

impl RuleEngine {
    /// The built-in rules, and those below `directory` (`*.yml`, `*.yaml`, in order of path).
    ///
    /// # Errors
    /// An unreadable directory, or a file that is no valid Sigma; the message names it. Documents that are valid but have
    /// no meaning here (other products, unknown categories, correlations, filters) are listed by [`RuleEngine::skipped`].
    pub fn load(directory: Option<&Path>) -> Result<RuleEngine, RuleError> {
        let mut loaded = Vec::new();
        let mut skipped = Vec::new();
        for (name, text) in BUILT_IN {
            parse(Path::new(name), text, &mut loaded, &mut skipped)?;
        }
        if let Some(directory) = directory {
            for path in rule_files(directory)? {
                let text =
                    std::fs::read_to_string(&path).map_err(|source| RuleError::Read { path: path.clone(), source })?;
                parse(&path, &text, &mut loaded, &mut skipped)?;
            }
        }
        let unmapped = loaded.iter().filter_map(unmapped).collect();
        let mut categories = Vec::new();
        for category in Category::ALL {
            let mut compiled = Compiled { category, engine: rsigma_eval::Engine::new(), fields: Vec::new() };
            for rule in loaded.iter().filter(|rule| rule.rule.logsource.category.as_deref() == Some(category.name())) {
                let bad = |error: rsigma_eval::EvalError| bad(&rule.path, error);
                compiled.engine.add_rule(&rule.rule).map_err(bad)?;
                compiled.fields.extend(&rule.fields);
            }
            compiled.fields.sort_unstable();
            compiled.fields.dedup();
            if compiled.engine.rule_count() > 0 {
                categories.push(compiled);
            }
        }
        let memo = (0..SHARDS).map(|_| Mutex::new(HashMap::new())).collect();
        Ok(RuleEngine { categories, skipped, unmapped, memo })
    }

    /// Number of rules that can speak.
    pub fn len(&self) -> usize {
        self.categories.iter().map(|compiled| compiled.engine.rule_count()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Rules that are loaded, and ask for fields that no event here has: what they say of those never holds.
    pub fn unmapped(&self) -> &[Skipped] {
        &self.unmapped
    }

    /// The rules that the event matches, by id. Depends on the view alone.
    pub fn evaluate(&self, view: &EventView<'_>) -> Vec<RuleHit> {
        let mut hits = Vec::new();
        for category in Category::of(view.event) {
            let Some(compiled) = self.categories.iter().find(|compiled| compiled.category == *category) else {
                continue;
            };
            hits.extend(self.remembered(compiled, view).iter().cloned());
        }
        hits.sort_by(|a, b| a.id.cmp(&b.id));
        hits.dedup_by(|a, b| a.id == b.id);
        hits
    }

    fn remembered(&self, compiled: &Compiled, view: &EventView<'_>) -> Arc<[RuleHit]> {
        let event = SigmaEvent::new(view);
        let key = compiled.key(&event);
        let shard = &self.memo[key as usize % SHARDS];
        if let Some(hits) = shard.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(hits);
        }
        let hits: Arc<[RuleHit]> = compiled.engine.evaluate(&event).iter().map(hit).collect();
        // A keyword search reads fields that are not in the key.
        if !event.searched_all.get() {
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
    /// 128 bits of SipHash over the values that the rules can see; two different inputs do not meet in practice.
    fn key(&self, event: &SigmaEvent<'_>) -> u128 {
        let mut halves = [DefaultHasher::new(), DefaultHasher::new()];
        for (salt, hasher) in halves.iter_mut().enumerate() {
            (salt, self.category as u8).hash(hasher);
        }
        for field in &self.fields {
            let value = event.field(*field);
            for hasher in &mut halves {
                hash_value(value.as_ref(), hasher);
            }
        }
        let [high, low] = halves.map(|hasher| u128::from(hasher.finish()));
        high << 64 | low
    }
}

fn hash_value(value: Option<&EventValue<'_>>, hasher: &mut DefaultHasher) {
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

fn parse(path: &Path, text: &str, loaded: &mut Vec<Loaded>, skipped: &mut Vec<Skipped>) -> Result<(), RuleError> {
    let collection = parse_sigma_yaml(text).map_err(|error| bad(path, error))?;
    let collection = collection.into_result().map_err(|errors| bad(path, errors.join("; ")))?;
    let mut skip = |title: &str, reason: String| {
        skipped.push(Skipped { path: path.to_path_buf(), title: title.to_owned(), reason });
    };
    for correlation in &collection.correlations {
        skip(&correlation.title, "correlations over several events are not supported".to_owned());
    }
    for filter in &collection.filters {
        skip(&filter.title, "Sigma filters are not supported".to_owned());
    }
    // A name that does not occur in the text cannot be asked for; one that does only widens the key.
    let fields: Vec<Field> = Field::ALL.iter().copied().filter(|field| text.contains(field.name())).collect();
    for rule in collection.rules {
        let source = &rule.logsource;
        let category = source.category.as_deref().unwrap_or("none");
        if source.product.as_deref().is_some_and(|product| product != "linux") {
            skip(&rule.title, format!("for product {}", source.product.as_deref().unwrap_or_default()));
        } else if source.service.is_some() || Category::ALL.iter().all(|known| known.name() != category) {
            skip(
                &rule.title,
                format!("no events for category {category}, service {}", source.service.as_deref().unwrap_or("none")),
            );
        } else {
            if rule.id.is_some() {
                loaded.retain(|other| other.rule.id != rule.id);
            }
            loaded.push(Loaded { path: path.to_path_buf(), rule, fields: fields.clone() });
        }
    }
    Ok(())
}

fn unmapped(loaded: &Loaded) -> Option<Skipped> {
    let mut names = BTreeSet::new();
    loaded.rule.detection.named.values().for_each(|detection| asked(detection, &mut names));
    names.retain(|name| Field::from_name(name).is_none());
    let reason = format!("no event has {}", names.iter().copied().collect::<Vec<_>>().join(", "));
    (!names.is_empty()).then(|| Skipped { path: loaded.path.clone(), title: loaded.rule.title.clone(), reason })
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

fn bad(path: &Path, error: impl std::fmt::Display) -> RuleError {
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

fn hit(result: &EvaluationResult) -> RuleHit {
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
    RuleHit {
        id: header.rule_id.as_deref().unwrap_or(&header.rule_title).into(),
        title: header.rule_title.as_str().into(),
        level: level(header.level),
        technique: technique(&header.tags).map(Into::into),
        reason: match quoted.is_empty() {
            true => header.rule_title.as_str().into(),
            false => format!("{}: {}", header.rule_title, quoted.join(", ")).into(),
        },
    }
}

/// A rule without a level is one whose author did not claim anything: it is low.
fn level(level: Option<rsigma_parser::Level>) -> Level {
    match level {
        Some(rsigma_parser::Level::Critical) => Level::Critical,
        Some(rsigma_parser::Level::High) => Level::High,
        Some(rsigma_parser::Level::Medium) => Level::Medium,
        Some(rsigma_parser::Level::Low) | None => Level::Low,
        Some(rsigma_parser::Level::Informational) => Level::Informational,
    }
}

/// `attack.t1059.004` → `T1059.004`; tactics (`attack.execution`) are passed over.
fn technique(tags: &[String]) -> Option<String> {
    tags.iter().find_map(|tag| {
        let id = tag.strip_prefix("attack.t")?;
        id.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("T{id}"))
    })
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
