//! What is known of a recording: which event is of which act, and what an alert is held against.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datasets::{Event, Label, Recording};
use record_bpf::Class;
use replay::deviation::RowRef;
use scenarios::definition::Stealth;
use serde::Serialize;

use crate::Result;

/// A recording in numbers; nothing in it depends on who detects.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Facts {
    pub recording: String,
    pub scenario: Option<String>,
    pub seed: Option<u64>,
    pub acts: Vec<ActFacts>,
    pub malicious_events: u64,
    pub benign_events: u64,
    /// In no other count.
    pub ambiguous_events: u64,
    /// From first to last event, summed over containers; h.
    pub container_hours: f64,
}

/// An act, as the labels have it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ActFacts {
    pub act: String,
    pub techniques: Vec<String>,
    pub events: u64,
    /// Unix time of its first event, ns; null: the recording has none.
    pub begin: Option<i64>,
    /// `loud`, `quiet` or `mimicry`; null: the scenario does not say, or is not here to ask.
    pub stealth: Option<&'static str>,
}

/// Whose an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Benign,
    /// Nobody can say.
    Ambiguous,
    /// Of the act with this place in [`Facts::acts`]; the technique by its place in the act's.
    Act {
        act: usize,
        technique: usize,
    },
}

/// Events of one kind or another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    pub malicious: u64,
    pub benign: u64,
}

impl Mix {
    pub fn add(&mut self, mark: Mark, events: u64) {
        match mark {
            Mark::Benign => self.benign += events,
            Mark::Act { .. } => self.malicious += events,
            Mark::Ambiguous => {}
        }
    }
}

/// An event, as far as judging alerts needs it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub exec_id: Option<u64>,
    /// Unix time, ns.
    pub ts: i64,
    pub mark: Mark,
}

/// The ground truth of one recording, joined with its events.
pub struct Truth {
    pub facts: Arc<Facts>,
    pub rows: HashMap<RowRef, Seen>,
    /// The events of each incarnation; `None`: of unknown ones.
    pub by_process: BTreeMap<Option<u64>, Mix>,
}

pub fn row_of(event: &Event) -> RowRef {
    let common = event.common();
    RowRef { class: event.class(), cpu: common.cpu, seq: common.seq }
}

impl Truth {
    /// Joins the labels of a recording with its events, which are all there are.
    ///
    /// # Errors
    /// Unreadable labels.
    pub fn new(name: &str, recording: &Recording, events: &[Event]) -> Result<Truth> {
        let labels = recording.labels()?;
        let mut acts = acts(&labels);
        let marks = marks(&labels, &acts);
        let mut rows = HashMap::with_capacity(events.len());
        let mut by_process: BTreeMap<Option<u64>, Mix> = BTreeMap::new();
        let mut spans: BTreeMap<Option<&Arc<str>>, (i64, i64)> = BTreeMap::new();
        let (mut all, mut ambiguous_events) = (Mix::default(), 0);
        for event in events {
            let common = event.common();
            let row = row_of(event);
            let mark = marks.get(&row).copied().unwrap_or(Mark::Benign);
            if let Mark::Act { act, .. } = mark {
                acts[act].events += 1;
                let begin = acts[act].begin.get_or_insert(common.ts);
                *begin = common.ts.min(*begin);
            }
            ambiguous_events += u64::from(mark == Mark::Ambiguous);
            all.add(mark, 1);
            by_process.entry(common.exec_id).or_default().add(mark, 1);
            rows.insert(row, Seen { exec_id: common.exec_id, ts: common.ts, mark });
            let span = spans.entry(common.container.as_ref()).or_insert((common.ts, common.ts));
            *span = (span.0.min(common.ts), span.1.max(common.ts));
        }
        let scenario = recording.manifest().scenario.as_ref();
        if let Some(scenario) = scenario {
            name_stealth(&mut acts, &scenario.name);
        }
        let seconds: f64 = spans.values().map(|(first, last)| (last - first) as f64 / 1e9).sum();
        let facts = Facts {
            recording: name.to_owned(),
            scenario: scenario.map(|scenario| scenario.name.clone()),
            seed: scenario.map(|scenario| scenario.seed),
            acts,
            malicious_events: all.malicious,
            benign_events: all.benign,
            ambiguous_events,
            container_hours: seconds / 3600.0,
        };
        Ok(Truth { facts: Arc::new(facts), rows, by_process })
    }
}

/// The acts that any sure label names, by name.
fn acts(labels: &[Label]) -> Vec<ActFacts> {
    let mut techniques: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for label in labels.iter().filter(|label| !label.ambiguous) {
        let of_act = techniques.entry(&label.act).or_default();
        if !of_act.iter().any(|other| **other == *label.technique) {
            of_act.push(label.technique.to_string());
        }
    }
    let act = |(act, mut techniques): (&str, Vec<String>)| {
        techniques.sort();
        ActFacts { act: act.to_owned(), techniques, ..ActFacts::default() }
    };
    techniques.into_iter().map(act).collect()
}

/// An event has one mark: ambiguous where any label says so, else that of its first label.
fn marks(labels: &[Label], acts: &[ActFacts]) -> HashMap<RowRef, Mark> {
    let mut marks: HashMap<RowRef, Mark> = HashMap::with_capacity(labels.len());
    for label in labels {
        let row = RowRef { class: label.class, cpu: label.cpu, seq: label.seq };
        if label.ambiguous {
            marks.insert(row, Mark::Ambiguous);
            continue;
        }
        let Ok(act) = acts.binary_search_by(|other| other.act.as_str().cmp(&label.act)) else { continue };
        let technique = acts[act].techniques.binary_search_by(|other| other.as_str().cmp(&label.technique));
        marks.entry(row).or_insert(Mark::Act { act, technique: technique.unwrap_or_default() });
    }
    marks
}

fn name_stealth(acts: &mut [ActFacts], scenario: &str) {
    let known = scenarios::list().unwrap_or_default();
    let Some(definition) = known.iter().find(|known| known.name == scenario) else { return };
    for act in acts {
        let defined = definition.acts.iter().find(|defined| defined.name == act.act);
        act.stealth = defined.and_then(|defined| defined.stealth).map(|stealth| match stealth {
            Stealth::Loud => "loud",
            Stealth::Quiet => "quiet",
            Stealth::Mimicry => "mimicry",
        });
    }
}

/// A recording in memory: what every configuration reads alike.
pub struct Loaded {
    pub name: String,
    pub recording: Recording,
    /// In (ts, cpu, seq) order, of all classes.
    pub events: Vec<Event>,
    pub truth: Truth,
}

impl Loaded {
    /// Checks every file's SHA-256 and reads all events.
    ///
    /// # Errors
    /// Damaged or unreadable input.
    pub fn open(name: &str, recording: &Recording) -> Result<Loaded> {
        replay::input::verify(recording)?;
        let events = recording.events_of(&Class::ALL).collect::<datasets::Result<Vec<Event>>>()?;
        let truth = Truth::new(name, recording, &events)?;
        let recording = Recording::open(recording.dir())?;
        Ok(Loaded { name: name.to_owned(), recording, events, truth })
    }
}
