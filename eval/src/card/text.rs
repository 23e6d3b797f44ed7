//! The card's words and tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use datasets::{Cause, Manifest, Recording, Scenario, State};
use record_bpf::Class;
use scenarios::definition::WITHOUT_ATTACK;

use super::Counts;
use crate::Result;

/// Markdown. `rates`: file name of the picture.
pub(super) fn card(recording: &Recording, counts: &Counts, rates: &str) -> Result<String> {
    let manifest = recording.manifest();
    let scenario = manifest.scenario.as_ref();
    let name = scenario.map_or("A recording", |scenario| &scenario.name);
    let mut out = format!("# {name}\n\n");
    // Writing to a String cannot fail.
    if let Some(scenario) = scenario {
        let _ = writeln!(out, "{}\n", scenario.description);
    }
    made(&mut out, manifest, counts);
    let _ = write!(out, "\n## Events over time\n\n![events of each class over time]({rates})\n\n");
    out.push_str(match scenario.is_some_and(|scenario| !scenario.steps.is_empty()) {
        true => "Shaded: the steps of the attack.\n",
        false => "Nothing in it is an attack.\n",
    });
    classes(&mut out, manifest);
    containers(&mut out, counts);
    if let Some(scenario) = scenario {
        attack(&mut out, scenario, counts);
    }
    gaps(&mut out, recording)?;
    let digest = if manifest.digest.is_empty() { "none" } else { &manifest.digest };
    let _ = write!(out, "\n## Identity\n\nDigest of the manifest, which has the SHA-256 of every file: `{digest}`\n");
    Ok(out)
}

fn made(out: &mut String, manifest: &Manifest, counts: &Counts) {
    let _ = write!(out, "## How it was made\n\n| | |\n|---|---|\n");
    let mut row = |name: &str, value: String| {
        let _ = writeln!(out, "| {name} | {value} |");
    };
    if let Some(scenario) = &manifest.scenario {
        let benign = scenario.benign_s.map_or(String::new(), |seconds| format!(" --benign {seconds}"));
        let attack = if scenario.description.starts_with(WITHOUT_ATTACK) { " --no-attack" } else { "" };
        row("command", format!("`record --scenario {} --seed {}{benign}{attack}`", scenario.name, scenario.seed));
        row("split", counts.split.map_or("none", |split| split.name()).to_owned());
        let compression = scenario.time_compression.map(|factor| {
            format!("1 s stands for {factor} s of what recurs by the clock; requests come in their own time")
        });
        row("time", compression.unwrap_or_else(|| "not compressed, or not noted".to_owned()));
        if let Some(definition) = &scenario.definition {
            row("definition", format!("`{definition}`"));
        }
    }
    let ended = manifest.ended.as_ref().map_or("unknown", |ended| &ended.utc);
    row("when", format!("{} to {ended}", manifest.started.utc));
    row("kernel", format!("{} {}", manifest.kernel.release, manifest.kernel.machine));
    row(
        "recorder",
        format!("{} {}, schema {}", manifest.recorder.name, manifest.recorder.version, manifest.schema_version),
    );
    row("filter", manifest.filter.join("; "));
    let masked = manifest.masking.as_ref().map(|masking| if masking.on { "masked" } else { "stored as they were" });
    row("secrets", masked.unwrap_or("unknown").to_owned());
}

fn classes(out: &mut String, manifest: &Manifest) {
    let _ = write!(
        out,
        "\n## Classes\n\n| class | events | bytes | emitted | dropped | filtered | hooks |\n|---|--:|--:|--:|--:|--:|---|\n"
    );
    for class in Class::ALL.into_iter().filter(|class| manifest.classes.iter().any(|name| name == class.name())) {
        let (mut rows, mut bytes) = (0, 0);
        for segment in manifest.class_segments(class) {
            rows += segment.rows;
            bytes += segment.bytes;
        }
        let accounts =
            || manifest.accounting.iter().flat_map(|all| &all.cpus).filter_map(|cpu| cpu.classes.get(class.name()));
        let (mut emitted, mut dropped, mut filtered) = (0, 0, 0);
        for account in accounts() {
            emitted += account.emitted;
            dropped += account.dropped.total();
            filtered += account.filtered;
        }
        let hooks = manifest.hooks.get(class.name()).map_or(String::new(), |hooks| hooks.len().to_string());
        let _ = writeln!(out, "| {class} | {rows} | {bytes} | {emitted} | {dropped} | {filtered} | {hooks} |");
    }
}

fn containers(out: &mut String, counts: &Counts) {
    let classes: Vec<Class> = counts.per_second.keys().copied().collect();
    let _ = write!(out, "\n## Containers\n\n| container |");
    for class in &classes {
        let _ = write!(out, " {class} |");
    }
    let _ = write!(out, "\n|---|{}\n", "--:|".repeat(classes.len()));
    for (name, of) in &counts.per_container {
        let name = if name.is_empty() { "(none)" } else { name };
        let _ = write!(out, "| {name} |");
        for class in &classes {
            let _ = write!(out, " {} |", of.get(class).copied().unwrap_or_default());
        }
        out.push('\n');
    }
}

fn attack(out: &mut String, scenario: &Scenario, counts: &Counts) {
    if scenario.steps.is_empty() {
        return;
    }
    let mut labelled: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for label in &counts.labels {
        let (sure, ambiguous) = labelled.entry((&label.act, &label.step)).or_default();
        *if label.ambiguous { ambiguous } else { sure } += 1;
    }
    let _ = write!(
        out,
        "\n## The attack\n\n| act | step | technique | from, s | to, s | labelled events | ambiguous |\n|---|---|---|--:|--:|--:|--:|\n"
    );
    let since = |ns: i64| (ns - counts.span.0) as f64 / 1e9;
    for step in &scenario.steps {
        let (sure, ambiguous) = labelled.get(&(step.act.as_str(), step.step.as_str())).copied().unwrap_or_default();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {:.1} | {:.1} | {sure} | {ambiguous} |",
            step.act,
            step.step,
            step.technique,
            since(step.start_ns),
            since(step.end_ns),
        );
    }
}

/// What is not in it, as far as it is known.
fn gaps(out: &mut String, recording: &Recording) -> Result<()> {
    let manifest = recording.manifest();
    let _ = write!(out, "\n## Known gaps\n\n");
    let mut gap = |text: String| {
        let _ = writeln!(out, "- {text}");
    };
    let absent: Vec<&str> = Class::ALL
        .iter()
        .map(|class| class.name())
        .filter(|name| !manifest.classes.iter().any(|other| other == name))
        .collect();
    if !absent.is_empty() {
        gap(format!("Not recorded: {}.", absent.join(", ")));
    }
    let mut lost: BTreeMap<String, u64> = BTreeMap::new();
    // What the filter and the known-behaviour filter leave out was not asked for.
    for loss in recording.losses()?.iter().filter(|loss| !matches!(loss.cause, Cause::Filtered | Cause::Known)) {
        *lost.entry(format!("{} events of class {}", loss.cause.name(), loss.class)).or_default() += loss.count;
    }
    for (what, count) in &lost {
        gap(format!("{what}: {count}."));
    }
    if manifest.state != State::Complete {
        gap("It was not finished by its recorder: `datasets info` tells what is known.".to_owned());
    }
    let failures = manifest.accounting.iter().flat_map(|accounting| &accounting.failures).filter(|(_, n)| **n > 0);
    for (name, n) in failures {
        gap(format!("`{name}`: {n}."));
    }
    if manifest.scenario.is_some() {
        gap("Containers that stand for the world outside (visitors, attackers, the name server) are not recorded."
            .to_owned());
        gap("Scripted life is more regular than real life, and shorter; one kernel, one machine.".to_owned());
        gap("A container's first events are its runtime's (`runc init`), with paths of podman's storage.".to_owned());
    }
    Ok(())
}
