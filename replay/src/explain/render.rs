//! An explanation as text.

use std::fmt::Write;

use super::{Explained, Explanation, Row};
use crate::alert::Finding;
use crate::engines::{Engine, Verdict};
use crate::output::text::{clean, short_id, shorten, time};

/// Characters of a value before it is cut; `--format json` has all of it.
const LONG: usize = 200;

/// Columns that head a row's line; the rest follow as `name=value`.
const HEAD: [&str; 5] = ["class", "ts", "cpu", "seq", "kind"];
/// Columns left out of a row's line: the alert says them already.
const KNOWN: [&str; 2] = ["container", "tid"];

pub fn render(explanation: &Explanation) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "run {}, recording {}", explanation.run.display(), explanation.recording.display());
    for explained in &explanation.alerts {
        alert(explained, explanation, &mut out);
    }
    out
}

fn alert(explained: &Explained, explanation: &Explanation, out: &mut String) {
    let alert = &explained.alert;
    let cut = explanation.cut_offs;
    let name = alert.container_name.as_deref().unwrap_or("(no name)");
    let _ = writeln!(out, "\n{} of incident {}: {} {:.2}", alert.id, alert.incident, alert.severity, alert.score);
    let _ = writeln!(
        out,
        "  {}  container {} ({})  pid {}  {}",
        alert.time,
        clean(name),
        clean(short_id(&alert.container)),
        alert.pid,
        shorten(&clean(&alert.process), LONG)
    );
    let _ = writeln!(out, "  score = Σ weight · highest score of the engine");
    let _ = writeln!(out, "        = {}", explained.sum);
    let _ = writeln!(
        out,
        "  critical from {}, high from {}, medium from {}: {}",
        cut.critical, cut.high, cut.medium, alert.severity
    );
    for line in &alert.engines {
        let about = match alert.counting(line.engine) {
            Some((index, verdict)) => format!("deviation {}, {}", index + 1, clean(&verdict.judge)),
            None => "adds nothing; its weight is not given to the others".to_owned(),
        };
        let _ = writeln!(
            out,
            "  {}: {:.2} of {} points ({about}): {}",
            line.engine.name(),
            line.points,
            line.weight,
            shorten(&clean(&line.reason), 2 * LONG)
        );
    }
    for (index, found) in alert.deviations.iter().enumerate() {
        let counts = |verdict: &Verdict, engine: Engine| {
            verdict.engine == engine
                && alert.counting(engine).is_some_and(|(i, best)| i == index && best.judge == verdict.judge)
        };
        let derivations = explained.derivations.get(index).map_or(&[][..], Vec::as_slice);
        let rows = explained.rows.get(index).map_or(&[][..], Vec::as_slice);
        let _ = writeln!(out, "\n  deviation {} of {}", index + 1, alert.deviations.len());
        deviation(found, out);
        for (verdict, derivation) in found.verdicts.iter().zip(derivations) {
            let counting = if counts(verdict, verdict.engine) { ", counts" } else { "" };
            let technique = verdict.technique.as_ref().map_or_else(String::new, |id| format!(", {id}"));
            let _ = writeln!(
                out,
                "    {} [{}]: {:.4}{counting}{}: {}",
                verdict.engine.name(),
                clean(&verdict.judge),
                verdict.score,
                clean(&technique),
                shorten(&clean(&verdict.reason), 2 * LONG)
            );
            for line in derivation {
                let _ = writeln!(out, "      {}", shorten(&clean(line), LONG));
            }
        }
        for silent in &found.unanswered {
            let (engine, why) = (silent.engine.name(), clean(&silent.why));
            let _ = writeln!(out, "    {engine} [{}]: no answer: {why}", clean(&silent.judge));
        }
        for line in rows {
            row(line, out);
        }
    }
}

fn deviation(found: &Finding, out: &mut String) {
    let _ = writeln!(out, "    {} [{}]: {}", found.what(), found.tier_name(), shorten(&clean(&found.text), 2 * LONG));
    let _ = writeln!(out, "    path: {}", shorten(&clean(&found.marked_path()), 2 * LONG));
    if let Some(risk) = found.risk {
        let changes = found.changes.iter().map(|change| clean(change)).collect::<Vec<_>>().join("; ");
        let _ = writeln!(out, "    risk of what the arguments add: {risk:.4}: {}", shorten(&changes, 2 * LONG));
    }
    if let Some(novelty) = found.token_novelty {
        let _ = writeln!(out, "    words never seen there: {:.1} %", novelty * 100.0);
    }
    if let Some(nearest) = &found.nearest {
        let pattern = shorten(&clean(&nearest.pattern), LONG);
        let _ = writeln!(out, "    nearest learned pattern: cosine {:.4}: {pattern}", nearest.cosine);
    }
    let kept = found.rows.len() as u64;
    let rest = if found.count > kept { format!(", the first {kept} are evidence") } else { String::new() };
    let _ = writeln!(out, "    {} events{rest}", found.count);
}

fn row(row: &Row, out: &mut String) {
    let text = |name: &str| match row.get(name) {
        Some(value) if name == "ts" => value.as_i64().map_or_else(String::new, time),
        value => value.map(plain).unwrap_or_default(),
    };
    let head = HEAD.map(text).join(" ");
    let rest = row.iter().filter(|(name, _)| !HEAD.contains(&name.as_str()) && !KNOWN.contains(&name.as_str()));
    let rest: Vec<String> =
        rest.map(|(name, value)| format!("{name}={}", shorten(&clean(&plain(value)), LONG))).collect();
    let _ = writeln!(out, "    row: {head} {}", rest.join(" "));
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
