//! Who is told: the sinks of a run, `replay sinks` and `replay allow`.

use std::io::Write;
use std::process::ExitCode;

use replay::alert::allow::{self, AllowList, Pattern};
use replay::cli::{Allow, SinksCommand};
use replay::config::{self, Config};
use replay::error::{Error, Result, exit};
use replay::output::OutputDir;
use replay::run::Outcome;
use replay::sink::{Dispatcher, SinkConfig, probe};
use serde_json::Value;

use crate::print;

/// Stands for no sink at all.
const NONE: &str = "none";

/// The sinks that `wanted` names, all of the configuration where it names none.
pub fn chosen(config: &Config, wanted: &[String]) -> Result<Vec<(String, SinkConfig)>> {
    if wanted.is_empty() {
        return Ok(config.sinks.iter().map(|(name, sink)| (name.clone(), sink.clone())).collect());
    }
    let wanted = wanted.iter().filter(|name| *name != NONE);
    wanted.map(|name| one(config, name)).collect()
}

fn one(config: &Config, name: &str) -> Result<(String, SinkConfig)> {
    if let Some((kind, target)) = name.split_once('=') {
        let sink = SinkConfig::of_flag(kind, target).map_err(|why| {
            Error::config(format!("--sink {kind}=…: {why}"), "replay/sinks.md has an example of every type")
        })?;
        return Ok((kind.to_owned(), sink));
    }
    let names: Vec<_> = config.sinks.keys().map(String::as_str).collect();
    let known = if names.is_empty() { "has none".to_owned() } else { format!("has {}", names.join(", ")) };
    let sink = config.sinks.get(name).ok_or_else(|| {
        Error::config(
            format!("no sink {name} in the configuration, which {known}"),
            "write [sinks.NAME] in the file of --config",
        )
    })?;
    Ok((name.to_owned(), sink.clone()))
}

/// Waits for the sinks, each until its deadline, and writes down what came of it. True: all alerts were sent.
pub fn finish(sinks: Dispatcher, outcome: &mut Outcome, output: &OutputDir) -> Result<bool> {
    if sinks.is_empty() {
        return Ok(true);
    }
    outcome.run.sinks = sinks.finish();
    outcome.run.timings.profile = replay::timing::account();
    output.write("run.json", outcome.run.to_json().as_bytes())?;
    let mut whole = true;
    for delivery in outcome.run.sinks.iter().filter(|delivery| !delivery.is_whole()) {
        whole = false;
        eprintln!("warning: {}", delivery.describe());
        eprintln!("hint: replay sinks test {} tries it out; alerts.jsonl has all alerts", delivery.name);
    }
    Ok(whole)
}

pub fn sinks(command: &SinksCommand) -> Result<ExitCode> {
    let SinksCommand::Test { names, config, sets, sinks } = command;
    let config = config::load(config.as_deref(), sets)?;
    let wanted: Vec<String> = names.iter().chain(sinks).cloned().collect();
    let chosen = chosen(&config, &wanted)?;
    if chosen.is_empty() {
        return Err(Error::config("no sink to test", "name one with --config FILE, or give --sink TYPE=TARGET"));
    }
    let mut whole = true;
    for (name, sink) in chosen {
        let messages = [(sink.alerts, probe::message as fn(_) -> _), (sink.incidents, probe::incident)];
        let severity = sink.min_severity;
        let mut dispatcher = Dispatcher::start([(name, sink)], "test")?;
        messages.iter().filter(|(wanted, _)| *wanted).for_each(|(_, make)| dispatcher.hand_over(&make(severity)));
        for delivery in dispatcher.finish() {
            whole &= delivery.is_whole();
            print(&format!("{}\n", delivery.describe()));
        }
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(exit::CHECK_FAILED) })
}

/// Adds an entry for an alert to an allow-list.
pub fn allow(options: &Allow) -> Result<ExitCode> {
    let path = if options.from.is_dir() { options.from.join("alerts.jsonl") } else { options.from.clone() };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Error::input(
            format!("{}: cannot read: {error}", path.display()),
            "give the directory that a replay wrote with --from",
        )
    })?;
    let alerts = text.lines().map(serde_json::from_str::<Value>);
    let alert = alerts.flatten().find(|alert| alert["id"] == *options.alert).ok_or_else(|| {
        Error::input(
            format!("{}: no alert {}", path.display(), options.alert),
            "its lines have the ids; they are those of one replay",
        )
    })?;
    let literal = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(allow::literal);
    let pattern = Pattern {
        image: literal(&alert["image"]),
        process: literal(&alert["process"]),
        rule: alert["rules"].as_array().filter(|rules| rules.len() == 1).and_then(|rules| literal(&rules[0])),
        ..Pattern::default()
    };
    let entry = allow::entry(&pattern, &options.reason, &options.until, options.author.as_deref())?;
    if options.file.exists() {
        // An entry at the end of a file that does not parse would be lost.
        AllowList::load(&options.file)?;
    }
    let mut file = std::fs::OpenOptions::new();
    let file = file.create(true).append(true).open(&options.file);
    let written = file.and_then(|mut file| file.write_all(entry.as_bytes()));
    written.map_err(|error| Error::output(&options.file, error))?;
    print(&format!("{}\nadded to {}\n", entry.trim(), options.file.display()));
    Ok(ExitCode::SUCCESS)
}
