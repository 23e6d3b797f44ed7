//! `patterns.toml`: the patterns, and the table of them in the docs.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

const PATTERNS: &str = include_str!("patterns.toml");

/// The file as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    parts: BTreeMap<String, String>,
    pub pattern: Vec<Pattern>,
}

/// One thing that is masked, with examples of what is and what is not.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// What stands in the secret's place: `<masked:LABEL>`.
    pub label: String,
    pub what: String,
    /// With the parts put in.
    #[serde(rename = "match")]
    pub expression: String,
    /// None: both.
    pub scope: Option<Scope>,
    pub unless: Option<String>,
    /// Before and after.
    pub masks: Vec<(Example, Example)>,
    pub keeps: Vec<Example>,
}

/// Where a pattern is looked for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Argv,
    Text,
}

impl Pattern {
    pub fn is_for(&self, scope: Scope) -> bool {
        self.scope.is_none_or(|only| only == scope)
    }
}

/// A text, or an argument vector.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Example {
    Text(String),
    Argv(Vec<String>),
}

/// The patterns that are built in.
pub fn table() -> Table {
    let mut table: Table = toml::from_str(PATTERNS).expect("a file of this crate, which the tests read too");
    for pattern in &mut table.pattern {
        for (name, part) in &table.parts {
            pattern.expression = pattern.expression.replace(&format!("<<{name}>>"), part);
        }
    }
    table
}

/// The table of the docs, in Markdown: what is masked, and an example of each side.
pub fn markdown(table: &Table) -> String {
    let mut text = String::from("| masked | as | example | stays as it is |\n|---|---|---|---|\n");
    let code = |example: &Example| match example {
        Example::Text(text) => quoted(text),
        Example::Argv(argv) => quoted(&argv.join(" ")),
    };
    for pattern in &table.pattern {
        let example = pattern.masks.first().map(|(_, after)| code(after)).unwrap_or_default();
        let keeps: Vec<_> = pattern.keeps.iter().take(2).map(code).collect();
        let what = pattern.what.replace('|', "\\|").replace('<', "&lt;");
        let _ = writeln!(text, "| {what} | `{}` | {example} | {} |", pattern.label, keeps.join(", "));
    }
    text
}

/// A code span within a table.
fn quoted(text: &str) -> String {
    let line = text.replace("\r\n", "⏎").replace('\n', "⏎").replace('|', "\\|");
    if line.contains('`') { format!("`` {line} ``") } else { format!("`{line}`") }
}
