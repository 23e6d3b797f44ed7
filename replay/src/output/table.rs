//! The terminal's view of a run: a block per raised alert, then one summary.

use std::fmt::Write;

use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::run_json::{Input, Run, TreeState};
use super::text::{clean, count, fold, short_id, shorten};
use crate::alert::allow::Applied;
use crate::alert::{Alert, Finding, Technique};
use crate::engines::Severity;
use crate::profile::siblings::Siblings;

/// Narrowest and widest table; in between it follows the terminal.
pub const WIDTH: std::ops::RangeInclusive<u16> = 80..=120;
/// Width of the column with the names of what follows.
const LABELS: u16 = 12;
/// Characters of a command line or path before it is cut; the files hold all of it.
const LONG: usize = 320;
/// Rows named in a block.
const ROWS: usize = 3;
/// Deviations named in a block; the rest are counted.
const NAMED: usize = 4;

/// The raised alerts as text. `colour`: with ANSI colours.
pub fn render(alerts: &[Alert], width: Option<u16>, colour: bool) -> String {
    let width = width.unwrap_or(100).clamp(*WIDTH.start(), *WIDTH.end());
    let mut out = String::new();
    for alert in alerts.iter().filter(|alert| alert.is_raised()) {
        render_block(alert, width, colour, &mut out);
        out.push('\n');
    }
    out
}

/// Columns of the terminal on stdout, if it is one.
pub fn terminal_width() -> Option<u16> {
    Table::new().width()
}

fn render_block(alert: &Alert, width: u16, colour: bool, out: &mut String) {
    let severity = alert.severity.name().to_uppercase();
    let head = format!("{severity} {:.1}", alert.score);
    let rest = format!("  {}  incident {}  {}", alert.id, alert.incident, alert.time);
    let painted = if colour { format!("\u{1b}[1;{}m{head}\u{1b}[0m", ansi(alert.severity)) } else { head };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{painted}{rest}");
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    if colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    for (label, text) in lines(alert) {
        let label = Cell::new(label);
        let label = if colour { label.fg(Color::Cyan) } else { label };
        table.add_row(vec![label, Cell::new(text)]);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(LABELS)));
    }
    for line in table.lines() {
        let _ = writeln!(out, "{}", line.trim_end());
    }
    // Not wrapped: a command is copied whole.
    for command in &alert.commands {
        let _ = writeln!(out, "  $ {}  # {}", clean(&command.run), command.why);
    }
}

pub fn ansi(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "31",
        Severity::High => "35",
        Severity::Medium => "33",
        _ => "37",
    }
}

fn lines(alert: &Alert) -> Vec<(String, String)> {
    let label = |text: &str| text.to_owned();
    let name = alert.container_name.as_deref().unwrap_or("(no name)");
    let runtime = alert.runtime.as_deref().map_or_else(String::new, |runtime| format!(", {runtime}"));
    let digest = alert.image_digest.as_deref().map_or_else(String::new, |digest| format!("  {}", short_digest(digest)));
    let mut lines = vec![
        (label("container"), clean(&format!("{name} ({}{runtime})", short_id(&alert.container)))),
        (label("image"), clean(&format!("{}{digest}", alert.image))),
    ];
    if let Some(recording) = &alert.recording {
        lines.push((label("recording"), clean(recording)));
    }
    if let Some(pod) = alert.pod_name() {
        lines.push((label("pod"), clean(&pod)));
    }
    lines.push((label("process"), format!("pid {}  {}", alert.pid, shorten(&clean(&alert.process), LONG))));
    lines.push((label("ancestry"), ancestry(alert)));
    for (i, found) in alert.deviations.iter().take(NAMED).enumerate() {
        lines.push((label(if i == 0 { "deviation" } else { "" }), deviation(found)));
    }
    if alert.deviations.len() > NAMED {
        lines.push((String::new(), format!("and {} more", alert.deviations.len() - NAMED)));
    }
    for engine in &alert.engines {
        let judge = if engine.judge.is_empty() { String::new() } else { format!("  [{}]", engine.judge) };
        let score = format!("{:>4.1}/{:.0}  {}{judge}", engine.points, engine.weight, engine.reason);
        lines.push((label(engine.engine), shorten(&clean(&score), LONG)));
    }
    lines.push((label("evidence"), evidence(alert)));
    lines.push((label("technique"), alert.technique.as_ref().map_or_else(|| "none named".to_owned(), technique)));
    lines.push((label("action"), clean(&alert.action)));
    if let Some(truth) = &alert.truth {
        let text = format!("{}, {:.1} ms after its first event", truth.act, truth.time_to_detect_ms);
        lines.push((label("labels"), clean(&text)));
    }
    lines
}

/// `T1053.003 Scheduled Task/Job: Cron (Execution, Persistence)`.
pub fn technique(technique: &Technique) -> String {
    let tactics = technique.tactic_names();
    if tactics.is_empty() { technique.to_string() } else { format!("{technique} ({tactics})") }
}

/// The algorithm and the first twelve digits.
fn short_digest(digest: &str) -> &str {
    let algorithm = digest.find(':').map_or(0, |colon| colon + 1);
    digest.get(..algorithm + 12).unwrap_or(digest)
}

/// The first rows, as class/cpu/seq, of several recordings with the recording's number before.
fn evidence(alert: &Alert) -> String {
    let all = alert.rows().count();
    let rows = alert.rows().take(ROWS).map(ToString::to_string).collect::<Vec<_>>().join(" ");
    if all > ROWS { format!("{rows} and {} more rows", all - ROWS) } else { rows }
}

fn ancestry(alert: &Alert) -> String {
    let chain =
        alert.ancestry.iter().map(|process| format!("{} ({})", shorten(&clean(&process.command), 60), process.pid));
    let chain: Vec<_> = chain.collect();
    if chain.is_empty() { "(not recorded)".to_owned() } else { chain.join(" › ") }
}

fn deviation(found: &Finding) -> String {
    let mut text = format!("{} [{}", found.what(), found.tier_name());
    if let (Some(risk), Some(change)) = (found.risk, found.changes.first()) {
        let _ = write!(text, ", risk {risk:.2}: {}", shorten(&clean(change), 60));
    }
    if let Some(novelty) = found.token_novelty {
        let _ = write!(text, ", {:.0} % new words", novelty * 100.0);
    }
    if let Some(nearest) = &found.nearest {
        let _ = write!(text, ", cosine {:.3} to `{}`", nearest.cosine, shorten(&clean(&nearest.pattern), 60));
    }
    let times = if found.count > 1 { format!(" ×{}", found.count) } else { String::new() };
    let _ = write!(text, "]{times}: {}", shorten(&clean(&found.marked_path()), LONG));
    if let Some(path) = &found.host_path {
        let _ = write!(text, ", on the host {}", shorten(&clean(path), LONG));
    }
    text
}

/// The lines after the blocks.
pub fn summary(run: &Run, report: &std::path::Path, width: Option<u16>) -> String {
    let width = usize::from(width.unwrap_or(100).clamp(*WIDTH.start(), *WIDTH.end()));
    let counts = &run.counts;
    let mut out = String::new();
    let by = |severity: &str| counts.alerts.get(severity).copied().unwrap_or(0);
    let _ = writeln!(
        out,
        "{} events → {} observations → {} deviations → {} critical, {} high, {} medium alerts ({} low kept{}) in {} \
         incidents",
        count(counts.events),
        count(counts.observations),
        count(counts.deviations),
        by("critical"),
        by("high"),
        by("medium"),
        by("low"),
        if run.allowed.alerts > 0 { format!(", {} allowed", run.allowed.alerts) } else { String::new() },
        counts.incidents,
    );
    for image in &run.images {
        let trees = image.trees.iter().map(|tree| match tree.locked_after_s {
            Some(after) => format!("{} locked at {after:.0} s", tree.tree),
            None if tree.locked => format!("{} from baseline", tree.tree),
            None => format!("{} still learning", tree.tree),
        });
        let _ = writeln!(out, "  {}: {}", clean(&image.image), trees.collect::<Vec<_>>().join(", "));
        let failed = |tree: &&TreeState| tree.since_lock.is_some_and(|since| !since.holds);
        for tree in image.trees.iter().filter(failed) {
            let (tree, since) = (tree.tree, tree.since_lock.map_or((0, 0), |s| (s.new_patterns, s.observations)));
            let _ = writeln!(
                out,
                "    the lock of the {tree} tree did not hold: {} new patterns in {} observations since",
                count(since.0),
                count(since.1)
            );
        }
        if image.tuned + image.on_probation + image.grave > 0 {
            let [tuned, waiting, grave] = [image.tuned, image.on_probation, image.grave].map(count);
            let _ = writeln!(out, "    taken in {tuned}, on probation {waiting}, never to be taken in {grave} events");
        }
        for replica in image.siblings.iter().flat_map(Siblings::outliers) {
            let first = replica.branches.first().map_or_else(String::new, |branch| branch.text());
            let _ = writeln!(
                out,
                "    replica {} stands out: {} branches of its own (p = {:.4}), as {}",
                clean(&replica.name),
                count(replica.own),
                replica.p_value.unwrap_or(0.0),
                shorten(&clean(&first), 120),
            );
        }
    }
    run.allowed.entries.iter().for_each(|entry| {
        let _ = writeln!(out, "{}", allowed(entry));
    });
    run.sinks.iter().for_each(|sink| {
        let _ = writeln!(out, "{}", clean(&sink.describe()));
    });
    let _ = writeln!(out, "convergence rule: {}", run.convergence_rule);
    std::iter::once(&run.recording).chain(&run.recordings).for_each(|input| lacks(&mut out, input));
    let mut wrapped: String = out.lines().map(|line| wrap(line, width)).collect();
    // A path is copied whole.
    let _ = writeln!(wrapped, "report: {}", report.display());
    wrapped
}

/// What engines go without in a recording that is not a recorder's of containers with the classes that profiles are learned from;
/// rules that ask for classes that are off unless asked for are in `run.json`.
fn lacks(out: &mut String, input: &Input) {
    if input.lacks.iter().all(|lack| lack.engine == "rules") {
        return;
    }
    let _ = writeln!(out, "not in {}:", clean(&input.name));
    for lack in &input.lacks {
        let _ = writeln!(out, "    {}", clean(&lack.describe()));
    }
}

/// What became of an entry of the allow-list.
fn allowed(entry: &Applied) -> String {
    let mut text = format!("allow-list {} ({}): ", entry.entry, shorten(&clean(&entry.describe()), 160));
    let until = clean(&entry.until);
    if !entry.alerts.is_empty() {
        let reason = shorten(&clean(&entry.reason), 160);
        let _ = write!(text, "{} allowed until {until}: {reason}", entry.alerts.join(", "));
    }
    if !entry.expired.is_empty() {
        let both = if entry.alerts.is_empty() { "" } else { "; " };
        let _ = write!(text, "{both}expired {until}, before {}", entry.expired.join(", "));
    }
    if entry.matched_nothing() {
        text.push_str("matched nothing");
    }
    text
}

/// A line broken at spaces, further lines indented.
fn wrap(line: &str, width: usize) -> String {
    fold(line, width, 4)
}
