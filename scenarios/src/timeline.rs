//! What happened when: the hand-over from a run to its labels.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::definition::{Matchers, Scenario};
use crate::error::Error;

/// The attack as it was carried out. Serializable, so that a recording can be labelled later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    pub scenario: String,
    pub seed: u64,
    /// When the services were up and ordinary life began; Unix time, ns.
    pub start_ns: i64,
    /// When the load ended; Unix time, ns.
    pub end_ns: i64,
    /// Stopped before its end: steps may be missing.
    pub interrupted: bool,
    /// What customers got: HTTP status (or "reconnect") to number of requests.
    pub responses: BTreeMap<String, u64>,
    /// What was done to services as a whole, in order of time.
    #[serde(default)]
    pub operations: Vec<OperationRun>,
    /// Activities by name: runs and failed runs.
    pub activities: BTreeMap<String, Runs>,
    /// In order of time. Empty: everything is benign.
    pub steps: Vec<StepRun>,
    pub containers: Vec<RunContainer>,
}

impl Timeline {
    /// The same run, of which any part may have left no trace: labels are then given to what there is.
    #[must_use]
    pub fn lenient(mut self) -> Timeline {
        for Matchers { roots, files, network, dns, tls, expect } in self.steps.iter_mut().map(|step| &mut step.matchers)
        {
            roots.iter_mut().for_each(|each| each.optional = true);
            files.iter_mut().for_each(|each| each.optional = true);
            network.iter_mut().for_each(|each| each.optional = true);
            dns.iter_mut().for_each(|each| each.optional = true);
            tls.iter_mut().for_each(|each| each.optional = true);
            expect.clear();
        }
        self
    }
}

/// A container of the run. Its id and addresses are those of this run alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunContainer {
    /// As in the scenario; "client" is the load generator.
    pub service: String,
    pub name: String,
    /// 64 hex digits.
    pub id: String,
    /// Image reference.
    pub image: String,
    /// Not part of the watched host: customers, attackers, their servers.
    pub outside: bool,
    /// DNS names on the scenario's network.
    pub aliases: Vec<String>,
    /// IPv4 address on the scenario's network.
    pub address: String,
    /// It was removed while the scenario ran.
    #[serde(default)]
    pub removed: bool,
}

/// An operation as it was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationRun {
    pub name: String,
    pub service: String,
    /// Unix time, ns.
    pub start_ns: i64,
    /// Unix time, ns.
    pub end_ns: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    pub done: u64,
    pub failed: u64,
}

/// One step of the attack, with the window in which its processes begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRun {
    pub act: String,
    pub step: String,
    /// MITRE ATT&CK id.
    pub technique: String,
    pub description: String,
    /// Unix time, ns.
    pub start_ns: i64,
    /// Unix time, ns.
    pub end_ns: i64,
    /// Name of the container that was attacked.
    pub container: String,
    /// Name of the container from which the attacker acted.
    pub attacker: String,
    /// Nobody can say of any of its events whether they are the attack's.
    #[serde(default)]
    pub ambiguous: bool,
    #[serde(default)]
    pub matchers: Matchers,
}

/// The account of a run in the manifest of its recording.
///
/// # Errors
/// [`Error::Io`]: a file of an image cannot be read.
pub fn describe(scenario: &Scenario, timeline: &Timeline) -> Result<datasets::Scenario, Error> {
    Ok(datasets::Scenario {
        name: scenario.name.clone(),
        description: scenario.description.clone(),
        seed: timeline.seed,
        time_compression: scenario.time_compression,
        benign_s: Some(scenario.benign.as_secs()),
        definition: Some(scenario.fingerprint()?),
        steps: timeline
            .steps
            .iter()
            .map(|step| datasets::Step {
                act: step.act.clone(),
                step: step.step.clone(),
                technique: step.technique.clone(),
                start_ns: step.start_ns,
                end_ns: step.end_ns,
                container: Some(step.container.clone()),
                description: step.description.clone(),
                ambiguous: step.ambiguous,
            })
            .collect(),
    })
}

/// Unix time, ns.
pub(crate) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
