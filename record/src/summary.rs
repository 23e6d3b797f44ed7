//! What a recording came to, for people and for programs.

use std::path::Path;
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use datasets::Manifest;
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};

use crate::live::clock;
use crate::session::Finished;

/// Sums over CPUs of one class.
#[derive(Default)]
struct Totals {
    emitted: u64,
    stored: u64,
    dropped: u64,
    filtered: u64,
    sampled_out: u64,
    known: u64,
    bytes: u64,
}

fn totals(manifest: &Manifest, class: &str) -> Totals {
    let mut totals = Totals::default();
    for account in manifest.accounting.iter().flat_map(|a| &a.cpus).filter_map(|cpu| cpu.classes.get(class)) {
        totals.emitted += account.emitted;
        totals.stored += account.stored;
        totals.dropped += account.dropped.total();
        totals.filtered += account.filtered;
        totals.sampled_out += account.sampled_out;
        totals.known += account.known;
    }
    totals.bytes = manifest.segments.iter().filter(|segment| segment.class == class).map(|segment| segment.bytes).sum();
    totals
}

fn per_event(totals: &Totals) -> Option<f64> {
    (totals.stored > 0).then(|| totals.bytes as f64 / totals.stored as f64)
}

pub fn table(finished: &Finished, dir: &Path) -> String {
    let Finished { manifest, processes, containers, elapsed, lag, lags: _, ring_most, labels } = finished;
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    let classes: Vec<(&String, Totals)> =
        manifest.classes.iter().map(|class| (class, totals(manifest, class))).collect();
    // Off unless asked for: shown where there is something to show.
    type Count = fn(&Totals) -> u64;
    let thinned: [(&str, Count); 2] = [("sampled out", |t| t.sampled_out), ("known", |t| t.known)];
    let thinned: Vec<_> = thinned.into_iter().filter(|(_, of)| classes.iter().any(|(_, t)| of(t) > 0)).collect();
    let names = thinned.iter().map(|(name, _)| *name);
    table.set_header(
        ["class", "emitted", "stored", "lost", "filtered"].into_iter().chain(names).chain(["bytes", "bytes/event"]),
    );
    for (class, totals) in &classes {
        let per_event = per_event(totals).map_or("-".to_owned(), |bytes| format!("{bytes:.1}"));
        let count = |n: u64| HumanCount(n).to_string();
        let counts = [totals.emitted, totals.stored, totals.dropped, totals.filtered];
        let counts = counts.into_iter().chain(thinned.iter().map(|(_, of)| of(totals)));
        let sizes = [HumanBytes(totals.bytes).to_string(), per_event];
        table.add_row([(*class).clone()].into_iter().chain(counts.map(count)).chain(sizes));
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    let failures = manifest.accounting.iter().flat_map(|a| &a.failures).filter(|(_, count)| **count > 0);
    let failures: Vec<String> = failures.map(|(name, count)| format!("{name} {count}")).collect();
    let incomplete =
        if failures.is_empty() { String::new() } else { format!("incomplete fields: {}\n", failures.join(", ")) };
    let labels = labels.map(|n| format!("{} events labelled as attack\n", HumanCount(n as u64))).unwrap_or_default();
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let lag = match lag.count {
        0 => String::new(),
        _ => {
            let (p50, p99, max) = (ms(lag.p50), ms(lag.p99), ms(lag.max));
            format!(
                "from kernel to row: {p50} (median), {p99} (99 %), {max} (most); ring: {} at most\n",
                HumanBytes(*ring_most)
            )
        }
    };
    format!(
        "{table}\n{} recorded, {processes} processes in {containers} containers\n{labels}{lag}{incomplete}recording: {}\n",
        clock(*elapsed),
        dir.display(),
    )
}

pub fn json(finished: &Finished, dir: &Path) -> Value {
    let Finished { manifest, processes, containers, elapsed, lag, lags, ring_most, labels } = finished;
    let classes: serde_json::Map<String, Value> = manifest
        .classes
        .iter()
        .map(|class| {
            let t = totals(manifest, class);
            let value = json!({
                "emitted": t.emitted, "stored": t.stored, "lost": t.dropped, "filtered": t.filtered,
                "sampled_out": t.sampled_out, "known": t.known,
                "bytes": t.bytes, "bytes_per_event": per_event(&t),
            });
            (class.clone(), value)
        })
        .collect();
    json!({
        "recording": dir.display().to_string(),
        "elapsed_s": elapsed.as_secs_f64(),
        "classes": classes,
        "processes": processes,
        "containers": containers,
        "labels": labels,
        "lag_s": {
            "p50": lag.p50.as_secs_f64(), "p99": lag.p99.as_secs_f64(), "max": lag.max.as_secs_f64(),
            "histogram": lags.iter().map(|(bound, count)| json!([bound.as_secs_f64(), count])).collect::<Vec<_>>(),
        },
        "ring_most_bytes": ring_most,
        "failures": manifest.accounting.as_ref().map(|a| &a.failures),
    })
}
