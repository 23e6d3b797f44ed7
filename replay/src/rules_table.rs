//! What `replay rules` prints: every rule document with what becomes of it here.

use std::collections::BTreeMap;

use crate::engines::rules_load::{Listed, State, in_part};

/// Of one category: documents that speak in full, in part, and not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Count {
    pub full: usize,
    pub part: usize,
    pub skipped: usize,
}

/// By category.
pub fn counts(listed: &[&Listed]) -> BTreeMap<String, Count> {
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for document in listed {
        let count = counts.entry(document.category.clone()).or_default();
        match document.state {
            State::Loaded => count.full += 1,
            State::Partly { .. } => count.part += 1,
            State::Skipped { .. } => count.skipped += 1,
        }
    }
    counts
}

/// A line for each document and for each category, and the sum.
pub fn render(listed: &[&Listed]) -> String {
    let mut out = String::new();
    let width = listed.iter().map(|document| document.category.len()).max().unwrap_or(0).max(8);
    for Listed { file, title, category, level, technique, state, .. } in listed {
        let (mark, why) = match state {
            State::Loaded => ("loaded", String::new()),
            State::Partly { unmapped, note } => ("in part", format!(": {}", in_part(unmapped, *note))),
            State::Skipped { reason } => ("skipped", format!(": {reason}")),
        };
        let level = level.name();
        let technique = technique.as_deref().unwrap_or("-");
        let file = file.file_name().unwrap_or_default().to_string_lossy();
        out.push_str(&format!("{mark:7}  {category:width$}  {level:13}  {technique:9}  {file}: {title}{why}\n"));
    }
    out.push_str(&format!("\n{:width$}  {:>5}  {:>7}  {:>7}\n", "category", "full", "in part", "skipped"));
    let counts = counts(listed);
    let mut sum = Count::default();
    for (category, Count { full, part, skipped }) in &counts {
        out.push_str(&format!("{category:width$}  {full:5}  {part:7}  {skipped:7}\n"));
        sum = Count { full: sum.full + full, part: sum.part + part, skipped: sum.skipped + skipped };
    }
    out.push_str(&format!("{:width$}  {:5}  {:7}  {:7}\n", "all", sum.full, sum.part, sum.skipped));
    out
}

/// The same as JSON.
pub fn to_json(listed: &[&Listed]) -> String {
    let value = serde_json::json!({ "documents": listed, "categories": counts(listed) });
    format!("{}\n", serde_json::to_string_pretty(&value).expect("string keys and plain values serialize"))
}
