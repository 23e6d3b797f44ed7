//! The largest gaps of a verified recording, as a table that fits 80 columns.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use datasets::{Gap, Verdict, VerifyReport};

use super::text::{self, count};

/// Gaps printed; the JSON has up to 1,000 of each CPU.
const SHOWN: usize = 10;

/// Characters of the reason; the JSON has all of it.
const WHY: usize = 27;

/// Empty where nothing is missing.
pub fn table(report: &VerifyReport) -> String {
    let mut gaps: Vec<(u16, &Gap)> =
        report.cpus.iter().flat_map(|cpu| cpu.gaps.iter().map(move |gap| (cpu.cpu, gap))).collect();
    if gaps.is_empty() {
        return String::new();
    }
    gaps.sort_by_key(|(cpu, gap)| (std::cmp::Reverse(missing(gap)), *cpu, gap.from));
    gaps.truncate(SHOWN);
    let rows: Vec<Vec<String>> = gaps
        .into_iter()
        .map(|(cpu, gap)| {
            vec![
                cpu.to_string(),
                gap.from.to_string(),
                count(missing(gap)),
                began(gap, report.started.ns),
                lasted(gap),
                why(gap, report.verdict),
            ]
        })
        .collect();
    let total: u64 = report.cpus.iter().map(|cpu| cpu.gap_count).sum();
    let mut out = if total > SHOWN as u64 {
        format!("\n  The {SHOWN} largest of {} gaps, at s since the start:\n", count(total))
    } else {
        "\n  Gaps, at s since the start:\n".to_owned()
    };
    // Writing to a String cannot fail.
    let _ = write!(out, "{}", text::table(&["cpu", "seq", "missing", "at", "lasting", "why"], &rows, &[0, 1, 2, 3, 4]));
    out
}

fn missing(gap: &Gap) -> u64 {
    gap.to - gap.from + 1
}

/// The row before it, or the one after if it is the first.
fn began(gap: &Gap, started: i64) -> String {
    let moment = gap.after.as_ref().or(gap.before.as_ref());
    moment.map_or("?".to_owned(), |moment| format!("{:+.3}", moment.ns.saturating_sub(started) as f64 / 1e9))
}

/// From the row before to the row after.
fn lasted(gap: &Gap) -> String {
    let (Some(after), Some(before)) = (&gap.after, &gap.before) else { return "?".to_owned() };
    match before.ns.saturating_sub(after.ns).max(0) {
        ns @ 0..10_000_000 => format!("{} us", ns / 1000),
        ns @ 10_000_000..10_000_000_000 => format!("{} ms", ns / 1_000_000),
        ns => format!("{} s", ns / 1_000_000_000),
    }
}

/// `ring_full (file, process)`, cause by cause.
fn why(gap: &Gap, verdict: Verdict) -> String {
    let mut causes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for loss in &gap.causes {
        causes.entry(loss.cause).or_default().push(loss.class);
    }
    if causes.is_empty() {
        // Where the recording is intact its counts cover every gap; what is not there is when which of them happened.
        let counted = matches!(verdict, Verdict::Intact | Verdict::Recovered);
        return if counted { "counted, but not when" } else { "unexplained" }.to_owned();
    }
    let causes: Vec<String> =
        causes.iter().map(|(cause, classes)| format!("{cause} ({})", classes.join(", "))).collect();
    let causes = causes.join("; ");
    match causes.char_indices().nth(WHY) {
        Some((end, _)) => format!("{}...", &causes[..end]),
        None => causes,
    }
}
