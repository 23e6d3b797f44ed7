//! One run of a scenario: recorded, its containers under policies or not, labelled by what there is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use datasets::{Label, Recording};
use record_bpf::Class;
use scenarios::{RunOptions, Runner, Scenario, Timeline};
use serde::{Deserialize, Serialize};

use super::applied::{Applied, Seen};
use super::refused::Step;
use crate::error::{Error, Result};
use crate::recorder::Recorder;

/// Words by which a line of a container's log tells of something wrong.
const WRONG: [&str; 6] = ["error", "exception", "traceback", "denied", "not permitted", "failed"];

/// What is to be run.
pub struct Run<'a> {
    pub scenario: Scenario,
    pub seed: u64,
    /// Of ordinary life: before the attack, or all of it.
    pub benign: Duration,
    pub applied: Arc<Applied>,
    /// How the recorder takes system calls: `bitmap`, or `calls`, which tells refused ones.
    pub calls: &'static str,
    pub record: &'a Path,
    pub options: &'a [String],
    /// For the recording.
    pub output: PathBuf,
}

/// What came of it.
pub struct Ran {
    pub recording: Recording,
    /// None: it did not come to its end.
    pub timeline: Option<Timeline>,
    pub labels: HashMap<(Class, u16, u64), Label>,
    /// Labelled events by act and step: how many, and the time of the first.
    pub events: BTreeMap<Step, (u64, i64)>,
    pub seen: Vec<Seen>,
    pub health: Health,
}

/// How the services were.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Health {
    /// Why the run did not come to its end, as a service that did not come up.
    pub ended: Option<String>,
    /// What customers got: outcome to number.
    pub responses: BTreeMap<String, u64>,
    /// Of them, those that are none of what they wanted: a server's error, no answer, a command that failed.
    pub unanswered: u64,
    /// Health checks and what else recurs: runs and failed runs.
    pub activities: u64,
    pub activities_failed: u64,
    /// Lines of the containers' logs that tell of something wrong, by service.
    pub log_lines: BTreeMap<String, u64>,
}

impl Run<'_> {
    /// # Errors
    /// The scenario cannot be set up, or the recorder cannot be run.
    pub fn carry_out(self, stop: &AtomicBool, say: &(dyn Fn(&str) + Sync)) -> Result<Ran> {
        let Run { scenario, seed, benign, applied, calls, record, options, output } = self;
        let run_options = RunOptions { seed, benign: Some(benign) };
        let mut runner = Runner::attended(scenario, run_options, Arc::clone(&applied) as _, say)?;
        applied.know(&runner.containers());
        let classes = with(&["process", "security", "file", "network", "dns", "syscall"], &runner.scenario().events);
        let mut all = vec!["--events".to_owned(), classes, "--syscalls".to_owned(), calls.to_owned()];
        // Thinned calls would be taken for calls that were not made.
        all.extend(["--sample".to_owned(), "off".to_owned(), "--ring".to_owned(), "256".to_owned()]);
        all.extend_from_slice(options);
        let mut recorder = Recorder::begin(record, &all, &runner.container_glob(), &output, None)?;
        recorder.wait_until_it_records()?;
        let played = runner.run(stop, say);
        // What is still in the ring belongs to the run.
        recorder.interrupt();
        recorder.finish()?;
        let log_lines = logs(&runner);
        let described = played.as_ref().ok().map(|timeline| scenarios::describe(runner.scenario(), timeline));
        runner.cleanup()?;
        let (timeline, ended) = match played {
            Ok(timeline) if timeline.interrupted => return Err(Error::run("the scenario", "it was interrupted")),
            Ok(timeline) => (Some(timeline), None),
            // These are what a policy may bring about.
            Err(error @ (scenarios::Error::NotReady { .. } | scenarios::Error::Podman { .. })) => {
                (None, Some(error.to_string()))
            }
            Err(error) => return Err(error.into()),
        };
        if let (Some(timeline), Some(described)) = (&timeline, described) {
            let labels = scenarios::label(&Recording::open(&output)?, &timeline.clone().lenient())?;
            datasets::add_labels(&output, &labels, described?)?;
        }
        let recording = Recording::open(&output)?;
        let labels =
            recording.labels()?.into_iter().map(|label| ((label.class, label.cpu, label.seq), label)).collect();
        let events = events(&recording, &labels)?;
        let health = Health::of(timeline.as_ref(), ended, log_lines);
        Ok(Ran { recording, timeline, labels, events, seen: applied.seen()?, health })
    }
}

fn events(recording: &Recording, labels: &HashMap<(Class, u16, u64), Label>) -> Result<BTreeMap<Step, (u64, i64)>> {
    let mut found: BTreeMap<Step, (u64, i64)> = BTreeMap::new();
    if labels.is_empty() {
        return Ok(found);
    }
    for event in recording.events() {
        let event = event?;
        let common = event.common();
        let Some(label) = labels.get(&(event.class(), common.cpu, common.seq)) else { continue };
        let of = found.entry((label.act.to_string(), label.step.to_string())).or_insert((0, common.ts));
        *of = (of.0 + 1, of.1.min(common.ts));
    }
    Ok(found)
}

/// Names of classes, with those that a scenario needs beyond them.
fn with(usual: &[&str], needed: &[Class]) -> String {
    let all: BTreeSet<&str> = usual.iter().copied().chain(needed.iter().map(|class| class.name())).collect();
    all.into_iter().collect::<Vec<_>>().join(",")
}

/// Lines that tell of something wrong, of the watched containers that are there.
fn logs(runner: &Runner) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for container in runner.containers().into_iter().filter(|container| !container.outside && !container.removed) {
        let mut command = runner.podman_env().command();
        let Ok(output) = command.args(["logs", &container.id]).output() else { continue };
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).to_lowercase();
        let wrong = text.lines().filter(|line| WRONG.iter().any(|word| line.contains(word))).count();
        *found.entry(container.service).or_default() += wrong as u64;
    }
    found
}

impl Health {
    fn of(timeline: Option<&Timeline>, ended: Option<String>, log_lines: BTreeMap<String, u64>) -> Health {
        let responses = timeline.map(|timeline| timeline.responses.clone()).unwrap_or_default();
        let unanswered = responses.iter().filter(|(outcome, _)| !is_answer(outcome)).map(|(_, count)| count).sum();
        let runs = || timeline.into_iter().flat_map(|timeline| timeline.activities.values());
        Health {
            ended,
            unanswered,
            activities: runs().map(|runs| runs.done).sum(),
            activities_failed: runs().map(|runs| runs.failed).sum(),
            log_lines,
            responses,
        }
    }

    pub fn requests(&self) -> u64 {
        self.responses.values().sum()
    }

    pub fn log_lines(&self) -> u64 {
        self.log_lines.values().sum()
    }
}

/// Whether an outcome that a load generator counts is what a customer wants: an HTTP status below 500, exit code 0, a word that is no
/// exception's.
fn is_answer(outcome: &str) -> bool {
    match outcome.parse::<u32>() {
        Ok(number) => number == 0 || (100..500).contains(&number),
        Err(_) => {
            let lower = outcome.to_lowercase();
            !["reconnect", "lost", "error", "exception", "timeout", "refused"].iter().any(|word| lower.contains(word))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_customers_want_is_told_from_what_they_get() {
        for good in ["200", "404", "0", "stored"] {
            assert!(is_answer(good), "{good}");
        }
        for bad in ["502", "1", "reconnect", "lost", "ConnectionRefusedError", "timeout"] {
            assert!(!is_answer(bad), "{bad}");
        }
        assert_eq!(with(&["process", "file"], &[Class::Tls, Class::File]), "file,process,tls");
    }
}
