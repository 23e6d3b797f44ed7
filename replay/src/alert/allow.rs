//! The allow-list: alerts that somebody has looked at and wants to hear no more of, for a reason and for a time.
//!
//! An allowed alert is kept and marked, and not raised. An entry holds for what happened before its expiry, in the time of
//! the recording: a replay says the same today and in a year, and of last year's recording what held last year.

use std::path::Path;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::Alert;
use crate::deviation::Tree;
use crate::error::{Error, Result};

/// Entries of a file, in its order.
#[derive(Clone, Debug, Default)]
pub struct AllowList {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    pattern: Pattern,
    reason: String,
    author: Option<String>,
    until: String,
    /// The first moment at which it holds no more; Unix time, ns.
    end: i64,
}

/// What an entry matches; all of what it names must hold. `*` stands for any characters, `?` for one, `\` takes the next as
/// it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The container's name, or its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// Every deviation's file (its path), peer or command line; one that does not match keeps the alert raised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Id of a rule. Every rule that hit must match it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// ATT&CK id; a technique stands for its sub-techniques too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub technique: Option<String>,
}

/// On an alert that an entry allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Allowed {
    /// Number of the entry in its file, from 1.
    pub entry: usize,
    pub reason: String,
    pub until: String,
    pub author: Option<String>,
}

/// What became of an entry in a run.
#[derive(Clone, Debug, Serialize)]
pub struct Applied {
    /// Number of the entry in its file, from 1.
    pub entry: usize,
    #[serde(rename = "match")]
    pub pattern: Pattern,
    pub reason: String,
    pub until: String,
    pub author: Option<String>,
    /// Alerts that it allows.
    pub alerts: Vec<String>,
    /// Alerts that it would allow, had it not expired before they happened.
    pub expired: Vec<String>,
}

impl Applied {
    pub fn matched_nothing(&self) -> bool {
        self.alerts.is_empty() && self.expired.is_empty()
    }

    /// What it matches, as `image = shop:*, rule = 1c7…`.
    pub fn describe(&self) -> String {
        self.pattern.keys().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ")
    }
}

impl Pattern {
    /// Its keys that are given.
    pub fn keys(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { image, container, process, path, rule, technique } = self;
        let keys = [
            ("image", image),
            ("container", container),
            ("process", process),
            ("path", path),
            ("rule", rule),
            ("technique", technique),
        ];
        keys.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)))
    }

    fn matches(&self, alert: &Alert) -> bool {
        self.keys().all(|(key, wanted)| match key {
            "image" => wild(wanted, &alert.image),
            "container" => {
                wild(wanted, &alert.container) || alert.container_name.as_ref().is_some_and(|name| wild(wanted, name))
            }
            "process" => wild(wanted, &alert.process),
            "path" => alert.deviations.iter().all(|found| {
                let file = (found.tree == Tree::File).then(|| super::file_of(&found.text)).flatten();
                wild(wanted, &found.text) || file.is_some_and(|file| wild(wanted, file))
            }),
            "rule" => !alert.rules.is_empty() && alert.rules.iter().all(|rule| wild(wanted, rule)),
            _ => alert.technique.as_ref().is_some_and(|technique| {
                let wanted = wanted.to_ascii_uppercase();
                technique.id == wanted || technique.family() == wanted
            }),
        })
    }
}

impl AllowList {
    /// # Errors
    /// A file that cannot be read, is no TOML, or has an entry without a reason, an expiry or anything to match.
    pub fn load(path: &Path) -> Result<Self> {
        let failed = |message: String, hint: &str| Error::config(format!("{}: {message}", path.display()), hint);
        let text = std::fs::read_to_string(path)
            .map_err(|error| failed(format!("cannot read the allow-list: {error}"), "check the path of --allow"))?;
        Self::parse(&text).map_err(|message| failed(message, "replay/README.md shows what an entry looks like"))
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(default)]
            allow: Vec<toml::Table>,
        }
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].lines().count().max(1));
            format!("line {line}: {}", error.message())
        })?;
        let entry = |(i, table)| Entry::new(table).map_err(|message| format!("entry {}: {message}", i + 1));
        Ok(Self { entries: file.allow.into_iter().enumerate().map(entry).collect::<std::result::Result<_, _>>()? })
    }

    /// Marks the alerts that an entry allows, the first that does, and says what became of every entry.
    pub fn apply(&self, alerts: &mut [Alert]) -> Vec<Applied> {
        let applied = |(i, entry): (usize, &Entry)| Applied {
            entry: i + 1,
            pattern: entry.pattern.clone(),
            reason: entry.reason.clone(),
            until: entry.until.clone(),
            author: entry.author.clone(),
            alerts: Vec::new(),
            expired: Vec::new(),
        };
        let mut all: Vec<Applied> = self.entries.iter().enumerate().map(applied).collect();
        for alert in alerts {
            alert.allowed = None;
            for (entry, applied) in self.entries.iter().zip(&mut all) {
                if !entry.pattern.matches(alert) {
                    continue;
                }
                // All of it must have happened in time.
                if alert.deviations.iter().any(|found| found.ts >= entry.end) {
                    applied.expired.push(alert.id.clone());
                    continue;
                }
                applied.alerts.push(alert.id.clone());
                let Applied { entry, reason, until, author, .. } = &*applied;
                let allowed =
                    Allowed { entry: *entry, reason: reason.clone(), until: until.clone(), author: author.clone() };
                alert.allowed.get_or_insert(allowed);
            }
        }
        all
    }
}

impl Entry {
    fn new(mut table: toml::Table) -> std::result::Result<Self, String> {
        let mut word = |key: &str| match table.remove(key) {
            None => Ok(None),
            Some(toml::Value::String(text)) if !text.trim().is_empty() => Ok(Some(text)),
            Some(toml::Value::Datetime(moment)) if key == "until" => Ok(Some(moment.to_string())),
            Some(_) => Err(format!("`{key}` must be text that is not empty")),
        };
        let reason = word("reason")?.ok_or("`reason` is missing: say why this is allowed")?;
        let until = word("until")?.ok_or("`until` is missing: say when it must be looked at again, as 2027-01-31")?;
        let author = word("author")?;
        let pattern = Pattern {
            image: word("image")?,
            container: word("container")?,
            process: word("process")?,
            path: word("path")?,
            rule: word("rule")?,
            technique: word("technique")?,
        };
        if let Some(unknown) = table.keys().next() {
            return Err(format!(
                "unknown key `{unknown}`; known are image, container, process, path, rule, technique, reason, until, author"
            ));
        }
        if pattern.keys().next().is_none() {
            return Err(
                "it would allow everything: name an image, container, process, path, rule or technique".to_owned()
            );
        }
        Ok(Self { end: end(&until)?, pattern, reason, author, until })
    }
}

/// The first moment after an expiry, Unix ns: a day holds to its end in UTC.
fn end(until: &str) -> std::result::Result<i64, String> {
    let day = until.parse::<Date>().ok().filter(|_| until.len() <= 10);
    let after = day.and_then(|day| day.checked_add(1.day()).ok()?.to_zoned(TimeZone::UTC).ok());
    let moment = after.map(|zoned| zoned.timestamp()).or_else(|| until.parse::<Timestamp>().ok());
    let ns = moment.and_then(|moment| i64::try_from(moment.as_nanosecond()).ok());
    ns.ok_or_else(|| format!("`until` is {until}; write a day as 2027-01-31, or a time as 2027-01-31T12:00:00Z"))
}

/// Whether `text` is as `pattern`, in which `*` stands for any characters, `?` for one, and `\` takes the next as it is.
pub fn wild(pattern: &str, text: &str) -> bool {
    enum Part {
        Any,
        One,
        Is(char),
    }
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '*' => Part::Any,
            '?' => Part::One,
            '\\' => Part::Is(chars.next().unwrap_or('\\')),
            c => Part::Is(c),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: it takes one character more.
    let mut again: Option<(usize, usize)> = None;
    while t < text.len() {
        match parts.get(p) {
            Some(Part::Any) => {
                again = Some((p, t));
                p += 1;
                continue;
            }
            Some(Part::One) => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            Some(Part::Is(c)) if *c == text[t] => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            _ => {}
        }
        let Some((star, from)) = again else { return false };
        again = Some((star, from + 1));
        (p, t) = (star + 1, from + 1);
    }
    parts[p.min(parts.len())..].iter().all(|part| matches!(part, Part::Any))
}

/// `text` as a pattern that means itself alone.
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// An entry as TOML, to be put at the end of a file.
///
/// # Errors
/// What [`AllowList::load`] would not take.
pub fn entry(pattern: &Pattern, reason: &str, until: &str, author: Option<&str>) -> Result<String> {
    let mut table = toml::Table::new();
    for (key, value) in pattern.keys() {
        table.insert(key.to_owned(), value.into());
    }
    table.insert("reason".to_owned(), reason.into());
    table.insert("until".to_owned(), until.into());
    table.extend(author.map(|author| ("author".to_owned(), author.into())));
    Entry::new(table.clone()).map_err(|message| Error::config(message, "see replay allow --help"))?;
    let text = toml::to_string(&table).expect("text values serialize");
    Ok(format!("\n[[allow]]\n{text}"))
}

#[cfg(test)]
#[path = "allow_tests.rs"]
mod tests;
