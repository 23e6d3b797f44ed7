//! `replay --follow`: what is printed while a recording is written, and when it has ended.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use replay::cli::{Alerting, Format, Replay, Responding};
use replay::config::Config;
use replay::error::{Error, Result};
use replay::follow::{self, Changed, Ended, Report, Signals, Told, What};
use replay::output::text::clean;
use replay::output::{OutputDir, incidents, table};
use replay::respond::Responder;
use replay::run;
use replay::sink::Dispatcher;

use crate::{alerting, colours, print, verdict, write};

/// Follows, and prints each alert as it comes.
pub fn follow(options: &Replay, alerting: &Alerting, responding: &Responding, config: &Config) -> Result<ExitCode> {
    let dir = Path::new(options.recording.as_deref().unwrap_or("."));
    let default = || Path::new("out").join(run::base_name(dir));
    let output = OutputDir::create(&options.output.clone().unwrap_or_else(default))?;
    let mut sinks = Dispatcher::start(alerting::chosen(config, &alerting.sinks)?, &run::base_name(dir))?;
    let mut responder = Responder::new(responding, output.path(), true)?;
    let mut unlogged = None;
    let signals = Signals::catch()?;
    let (width, colour) = (table::terminal_width(), colours());
    let mut tell = |told: &Told| {
        // Before anybody is told: that takes time.
        match responder.as_mut().map(|responder| responder.told(told)) {
            Some(Ok(lines)) => lines.iter().for_each(|line| eprintln!("{line}")),
            // What cannot be logged could not be taken back: nothing more is done.
            Some(Err(error)) => {
                eprintln!("error: {error}; no more responses");
                (unlogged, responder) = (Some(error), None);
            }
            None => {}
        }
        sinks.raise(&told.alert);
        // Where nobody can be told here, the sinks still are, and the results at the end have everything.
        let _ = match options.format {
            Format::Json => write(&line(told)),
            Format::Table => write(&block(told, width, colour)),
        };
    };
    let mut followed = follow::follow(options, dir, config, &signals, &mut tell)?;
    // What was told is known to the sinks; the rest, and the incidents, are news.
    let sinks = followed.outcome.raise(sinks);
    let page = followed.outcome.write(&output)?;
    output.write("follow.json", followed.report.to_json().as_bytes())?;
    let delivered = alerting::finish(sinks, &mut followed.outcome, &output)?;
    match options.format {
        Format::Json => print(&line(&End { live: "end", report: &followed.report })),
        Format::Table => {
            print(&incidents::render(&followed.outcome.incidents, width, colour));
            print(&describe(&followed.report));
            print(&table::summary(&followed.outcome.run, &page, width));
        }
    }
    if let Some(error) = unlogged {
        return Err(error);
    }
    if followed.report.ended == Ended::RecorderKilled {
        return Err(Error::input(
            format!("{}: its recorder was killed; the results are of what it left", dir.display()),
            format!("`datasets recover {0}` completes it, then `replay {0}` has everything", dir.display()),
        ));
    }
    Ok(verdict(options.fail_on, alerting, &followed.outcome.alerts, delivered))
}

/// The last line.
#[derive(serde::Serialize)]
struct End<'a> {
    live: &'static str,
    #[serde(flatten)]
    report: &'a Report,
}

fn line(content: &impl serde::Serialize) -> String {
    let text = serde_json::to_string(content).expect("string keys and plain values serialize");
    format!("{text}\n")
}

fn block(told: &Told, width: Option<u16>, colour: bool) -> String {
    let Told { number, latency_ms, was, alert, .. } = told;
    let what = match (told.live, was) {
        (What::Update, Some(was)) => format!("alert {number} was {was} and is {}", alert.severity),
        _ => format!("alert {number}"),
    };
    let blocks = table::render(std::slice::from_ref(alert), width, colour);
    format!("{what} (provisional; {latency_ms:.0} ms after its event)\n{blocks}")
}

fn describe(report: &Report) -> String {
    let mut out = String::new();
    let why = match report.ended {
        Ended::Complete => "the recording is complete, and was replayed as a whole",
        Ended::RecorderKilled => "the recorder was killed",
        Ended::Asked => "asked to end while it was recorded",
    };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "followed {} events, told {} alerts; {why}", report.events, report.told);
    let latency = &report.latency_ms;
    if let (Some(p50), Some(p99), Some(max)) = (latency.p50, latency.p99, latency.max) {
        let _ = writeln!(out, "from event to line: p50 {p50:.0} ms, p99 {p99:.0} ms, max {max:.0} ms");
    }
    if report.segments_gone > 0 {
        let _ = writeln!(out, "{} segments were removed before they were read", report.segments_gone);
    }
    for Changed { number, id, told, holds, process } in &report.changed {
        let told = match (number, told) {
            (Some(number), Some(told)) => format!("alert {number} was told as {told}"),
            _ => "not told".to_owned(),
        };
        let holds = match (id, holds) {
            (Some(id), Some(holds)) => format!("{id}, {holds}"),
            _ => "not among the results".to_owned(),
        };
        let _ = writeln!(out, "changed: {told}; now {holds}: {}", clean(process));
    }
    out
}
