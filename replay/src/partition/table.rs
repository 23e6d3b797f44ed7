//! A plan on the terminal.

use std::fmt::Write;

use serde_json::json;

use super::PlannedImage;
use crate::output::text::{clean, count};

/// A line per part with its share, and one per image.
pub fn render(plan: &[Vec<PlannedImage>]) -> String {
    let sum = |part: &[PlannedImage]| part.iter().map(|image| image.events).sum::<u64>();
    let all: u64 = plan.iter().map(|part| sum(part)).sum();
    let mut out = String::new();
    for (i, part) in plan.iter().enumerate() {
        let share = sum(part) as f64 * 100.0 / all.max(1) as f64;
        let (index, of) = (i + 1, plan.len());
        let _ = writeln!(out, "{index}/{of}  {} events, {share:.0} %, {} images", count(sum(part)), part.len());
        for PlannedImage { image, events } in part {
            let _ = writeln!(out, "  {:>14}  {}", count(*events), clean(image));
        }
    }
    out
}

/// The same as an array of `{part, of, events, images: [{image, events}]}`.
pub fn to_json(plan: &[Vec<PlannedImage>]) -> String {
    let parts = plan.iter().enumerate().map(|(i, part)| {
        let events: u64 = part.iter().map(|image| image.events).sum();
        json!({ "part": i + 1, "of": plan.len(), "events": events, "images": part })
    });
    let mut text = serde_json::to_string_pretty(&parts.collect::<Vec<_>>()).expect("plain values serialize");
    text.push('\n');
    text
}
