//! The ablation as a table, and the pairs that were judged wrongly.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use super::statistics::{self, Interval, Rate, auc, wilson};
use super::{Label, Outcome, Pair};

/// Share of malicious pairs that may be missed where a threshold is chosen.
const MISSES: f64 = 0.03;

/// Scores of one label.
pub(super) fn scores(outcome: &Outcome, pairs: &[Pair], label: Label) -> Vec<f64> {
    pairs.iter().zip(&outcome.judged).filter(|(pair, _)| pair.label == label).map(|(_, judged)| judged.score).collect()
}

/// Pairs of a label that were flagged.
pub(super) fn flagged(outcome: &Outcome, pairs: &[Pair], label: Label) -> Rate {
    let mut rate = Rate { hits: 0, all: 0 };
    for (_, judged) in pairs.iter().zip(&outcome.judged).filter(|(pair, _)| pair.label == label) {
        rate.all += 1;
        rate.hits += usize::from(judged.flagged);
    }
    rate
}

/// The table; with `errors` the wrongly judged pairs of the last variant below it.
pub fn render(pairs: &[Pair], outcomes: &[Outcome], errors: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["tiers", "AUC (95 %)", "benign flagged", "malicious missed", "at ≤ 3 % missed"]);
    for column in 1..5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for outcome in outcomes {
        let (benign, malicious) = (scores(outcome, pairs, Label::Benign), scores(outcome, pairs, Label::Malicious));
        let missed = flagged(outcome, pairs, Label::Malicious);
        let missed = Rate { hits: missed.all - missed.hits, all: missed.all };
        let (bound, wrong, _) = statistics::threshold(&benign, &malicious, MISSES);
        let Interval { value, low, high } = auc(&benign, &malicious);
        table.add_row([
            outcome.variant.name().to_owned(),
            format!("{value:.3} ({low:.3}–{high:.3})"),
            rate(flagged(outcome, pairs, Label::Benign)),
            rate(missed),
            format!("{:.0} % from {bound:.3}", 100.0 * wrong.hits as f64 / wrong.all.max(1) as f64),
        ]);
    }
    let count = |label| pairs.iter().filter(|pair| pair.label == label).count();
    let mut out = format!("{} benign and {} malicious pairs\n", count(Label::Benign), count(Label::Malicious));
    table.lines().for_each(|line| out.push_str(&format!("{}\n", line.trim_end())));
    if let Some(last) = outcomes.last() {
        by_kind(pairs, last, &mut out);
        if errors {
            wrong(pairs, last, &mut out);
        }
    }
    out
}

fn rate(rate: Rate) -> String {
    let Interval { value, low, high } = wilson(rate);
    format!("{}/{} {:.1} % ({:.1}–{:.1})", rate.hits, rate.all, value * 100.0, low * 100.0, high * 100.0)
}

/// Writing to a String cannot fail.
fn by_kind(pairs: &[Pair], outcome: &Outcome, out: &mut String) {
    let mut kinds: Vec<(Label, &str)> = pairs.iter().map(|pair| (pair.label, &*pair.kind)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let _ = write!(out, "{}, flagged by kind:", outcome.variant.name());
    for (label, kind) in kinds {
        let of_kind = pairs.iter().zip(&outcome.judged).filter(|(pair, _)| (pair.label, &*pair.kind) == (label, kind));
        let (mut hits, mut all) = (0, 0);
        of_kind.for_each(|(_, judged)| {
            all += 1;
            hits += u32::from(judged.flagged);
        });
        let label = if label == Label::Benign { "benign" } else { "malicious" };
        let _ = write!(out, " {label} {kind} {hits}/{all};");
    }
    out.pop();
    out.push('\n');
}

fn wrong(pairs: &[Pair], outcome: &Outcome, out: &mut String) {
    for (pair, judged) in pairs.iter().zip(&outcome.judged) {
        if judged.flagged == (pair.label == Label::Malicious) {
            continue;
        }
        let what = if judged.flagged { "flagged" } else { "missed" };
        let (learned, new) = &pair.text;
        let _ = writeln!(out, "{what} {:.2}  {learned}\n              {new}", judged.score);
        let _ = writeln!(out, "              {}", judged.comparison.changes.join("; "));
    }
}
