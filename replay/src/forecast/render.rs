//! Forecasts as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use super::series::{Pair, Way};
use super::{Forecasts, Held, Line};
use crate::output::table::WIDTH;
use crate::output::text::{clean, count, shorten, time};
use crate::services::short_end;

/// Characters of a container's name before it is cut.
const NAME: usize = 24;
/// Buckets outside that are listed; the JSON has all.
const LISTED: usize = 20;

/// A line for each way that has a forecast, the buckets outside of it, and what has none and why.
pub fn render(forecasts: &Forecasts, width: Option<u16>) -> String {
    let Forecasts { bucket_s, level, from, until, to, lines, limits, .. } = forecasts;
    let short = |ns: i64| time(ns).get(..16).unwrap_or_default().replace('T', " ");
    let mut out = format!(
        "learned {} to {}, compared to {} (UTC), buckets of {bucket_s} s, level {level}\n\n",
        short(*from),
        short(*until),
        short(*to)
    );
    let fitted: Vec<&Line> = lines.iter().filter(|line| line.unfit.is_none()).collect();
    if lines.is_empty() {
        out += "nobody exchanged anything that was told\n";
    } else if !fitted.is_empty() {
        out += &table(&fitted, width);
        out += &outside(&fitted);
        let own = fitted.iter().filter(|line| line.tried == 0).count();
        if own > 0 {
            let _ = writeln!(
                out,
                "\n{own} of {} have less than three seasons behind them: their intervals are the model's own, and rather too narrow",
                fitted.len()
            );
        }
    }
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    lines.iter().filter_map(|line| line.unfit.as_deref()).for_each(|reason| *reasons.entry(reason).or_default() += 1);
    let all = lines.len() as u64;
    if !reasons.is_empty() {
        out += "\nno forecast:\n";
        reasons.iter().for_each(|(reason, lines)| {
            let _ = writeln!(out, "  {} of {} ways: {reason}", count(*lines), count(all));
        });
    }
    let seen: String = limits.iter().map(|limit| format!("  {}\n", clean(limit))).collect();
    if seen.is_empty() { out } else { format!("{out}\nnot seen:\n{seen}") }
}

fn table(lines: &[&Line], width: Option<u16>) -> String {
    let mut table = Table::new();
    let width = width.unwrap_or(100).clamp(*WIDTH.start(), *WIDTH.end());
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.force_no_tty();
    table.set_header(["container", "peer", "service", "way", "learned", "forecast", "outside"]);
    for line in lines {
        let learned: Vec<f64> = line.learned.iter().flatten().copied().collect();
        let expected = || line.held_back.iter().filter_map(|held| held.expected);
        let ends = [mean(expected().map(|e| e.low)), mean(expected().map(|e| e.high))].map(bytes);
        let (compared, outside) = line.outside();
        table.add_row(
            [
                shorten(&clean(&line.pair.container), NAME),
                short_end(&line.pair.peer),
                service(&line.pair),
                line.way.name().to_owned(),
                bytes(mean(learned.into_iter())),
                format!("{} to {}", ends[0], ends[1]),
                format!("{outside} of {compared}"),
            ]
            .map(Cell::new),
        );
    }
    for at in [4, 6] {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    lines + "learned, forecast: means of a bucket, of the ends of the interval\n"
}

/// The buckets outside, the furthest first.
fn outside(lines: &[&Line]) -> String {
    let mut found: Vec<(&Line, &Held, f64)> = lines
        .iter()
        .flat_map(|line| line.held_back.iter().filter_map(|held| Some((*line, held, held.beyond()?))))
        .collect();
    found.sort_by(|(a, at, far), (b, bt, further)| {
        let key = |line: &Line| (line.pair.clone(), line.way);
        further.abs().total_cmp(&far.abs()).then(at.begin.cmp(&bt.begin)).then_with(|| key(a).cmp(&key(b)))
    });
    if found.is_empty() {
        return "\nnothing was outside of its forecast\n".to_owned();
    }
    let mut out = "\noutside, the furthest first:\n".to_owned();
    for (line, held, _) in found.iter().take(LISTED) {
        let (Some(came), Some(expected)) = (held.bytes, held.expected) else { continue };
        let (pair, arrow) = (&line.pair, if line.way == Way::Out { "→" } else { "←" });
        let _ = writeln!(
            out,
            "  {} {} {arrow} {} {}: {}, forecast {} ({} to {})",
            time(held.begin).get(5..19).unwrap_or_default().replace('T', " "),
            shorten(&clean(&pair.container), NAME),
            short_end(&pair.peer),
            service(pair),
            bytes(came),
            bytes(expected.point),
            bytes(expected.low),
            bytes(expected.high)
        );
    }
    if found.len() > LISTED {
        let _ = writeln!(out, "  and {} more, which --format json has", count((found.len() - LISTED) as u64));
    }
    out
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0u64, 0.0), |(count, sum), value| (count + 1, sum + value));
    if count > 0 { sum / count as f64 } else { 0.0 }
}

fn service(pair: &Pair) -> String {
    let port = pair.port.map_or_else(|| "ephemeral".to_owned(), |port| port.to_string());
    format!("{}{}/{port}", if pair.client { "" } else { "own " }, clean(&pair.protocol))
}

fn bytes(bytes: f64) -> String {
    indicatif::HumanBytes(bytes.round() as u64).to_string()
}

/// All of it.
pub fn to_json(forecasts: &Forecasts) -> String {
    format!("{}\n", serde_json::to_string_pretty(forecasts).expect("string keys and plain values serialize"))
}
