//! Scored alerts against ground truth: everything that any cut-off can be judged by, small enough to keep for every method.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use replay::deviation::RowRef;

use super::scored::{Scored, raised_at};
use super::truth::{Facts, Mark, Mix, Truth};

/// What one method says of one recording.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub facts: Arc<Facts>,
    pub alerts: Vec<Alert>,
    /// Events by the highest score of an alert that flags them, from the highest on; the last are those of 0. An alert
    /// flags its evidence and all events of its process.
    pub events: Vec<Graded>,
    /// Incarnations likewise. One is malicious if any of its events is; of ambiguous ones alone it is in no count.
    pub processes: Vec<Graded>,
}

/// So many of a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Graded {
    pub score: f64,
    pub mix: Mix,
}

/// An alert, held against the truth.
#[derive(Clone, Debug)]
pub struct Alert {
    pub container: Arc<str>,
    pub steps: Vec<(i64, f64)>,
    pub technique: Option<String>,
    /// The acts that its evidence shows.
    pub hits: Vec<Hit>,
    /// All of its evidence is ambiguous.
    pub undecided: bool,
}

/// An act that an alert shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Place in [`Facts::acts`].
    pub act: usize,
    /// Unix time of the first row of it, ns.
    pub first: i64,
    /// The technique that most of these rows are labelled with, by its place in the act's.
    pub technique: usize,
}

/// What an alert is worth at a cut-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    NotRaised,
    True,
    /// It shows nothing of an act, or was raised before any act that it shows had begun.
    False,
    Undecided,
}

/// How an act came out at a cut-off.
#[derive(Clone, Debug, PartialEq)]
pub struct Detected {
    /// Place of the alert that showed it first.
    pub alert: usize,
    /// Event time from its first event, s.
    pub after_s: f64,
    /// Place of the label's technique among the act's.
    pub technique: usize,
}

impl Outcome {
    pub fn new(truth: &Truth, scored: &[Scored]) -> Outcome {
        let alerts = scored.iter().map(|scored| alert(truth, scored)).collect();
        let mut by_process: HashMap<u64, f64> = HashMap::new();
        let mut by_row: HashMap<RowRef, f64> = HashMap::new();
        for scored in scored {
            let score = scored.score();
            if let Some(id) = scored.exec_id {
                let best = by_process.entry(id).or_default();
                *best = best.max(score);
            }
            for row in &scored.rows {
                let best = by_row.entry(*row).or_default();
                *best = best.max(score);
            }
        }
        let of = |id: Option<u64>| id.and_then(|id| by_process.get(&id).copied()).unwrap_or(0.0);
        let (mut events, mut processes) = (Grades::default(), Grades::default());
        for (id, mix) in &truth.by_process {
            events.add(of(*id), *mix);
            if id.is_some() && (mix.malicious > 0 || mix.benign > 0) {
                let malicious = u64::from(mix.malicious > 0);
                processes.add(of(*id), Mix { malicious, benign: 1 - malicious });
            }
        }
        // Evidence of an alert that is of another process.
        for (row, score) in by_row {
            let Some(seen) = truth.rows.get(&row) else { continue };
            let held = of(seen.exec_id);
            if score > held {
                let mut one = Mix::default();
                one.add(seen.mark, 1);
                events.take(held, one);
                events.add(score, one);
            }
        }
        Outcome { facts: Arc::clone(&truth.facts), alerts, events: events.sorted(), processes: processes.sorted() }
    }

    pub fn standing(&self, alert: &Alert, cut_off: f64) -> Standing {
        let Some(raised) = raised_at(&alert.steps, cut_off) else { return Standing::NotRaised };
        let begins = alert.hits.iter().map(|hit| self.facts.acts[hit.act].begin.unwrap_or(hit.first));
        match begins.min() {
            Some(begin) if raised >= begin => Standing::True,
            None if alert.undecided => Standing::Undecided,
            _ => Standing::False,
        }
    }

    /// How each act came out, in their order; `None`: missed.
    pub fn detected(&self, cut_off: f64) -> Vec<Option<Detected>> {
        let mut found: Vec<Option<(i64, usize, usize)>> = vec![None; self.facts.acts.len()];
        for (at, alert) in self.alerts.iter().enumerate() {
            if self.standing(alert, cut_off) != Standing::True {
                continue;
            }
            let Some(raised) = raised_at(&alert.steps, cut_off) else { continue };
            for hit in &alert.hits {
                let seen = (raised.max(hit.first), at, hit.technique);
                let first = found[hit.act].get_or_insert(seen);
                *first = seen.min(*first);
            }
        }
        let detected = found.into_iter().zip(&self.facts.acts).map(|(found, act)| {
            let (when, alert, technique) = found?;
            Some(Detected { alert, after_s: (when - act.begin.unwrap_or(when)) as f64 / 1e9, technique })
        });
        detected.collect()
    }

    /// The highest score of an alert that shows the act, raised or not.
    pub fn highest(&self, act: usize) -> f64 {
        let shows = self.alerts.iter().filter(|alert| alert.hits.iter().any(|hit| hit.act == act));
        shows.filter_map(|alert| alert.steps.last()).map(|(_, score)| *score).fold(0.0, f64::max)
    }
}

fn alert(truth: &Truth, scored: &Scored) -> Alert {
    // By act: the first row, and how often each technique is named.
    let mut hits: BTreeMap<usize, (i64, BTreeMap<usize, usize>)> = BTreeMap::new();
    let (mut ambiguous, mut clear) = (false, false);
    for seen in scored.rows.iter().filter_map(|row| truth.rows.get(row)) {
        match seen.mark {
            Mark::Act { act, technique } => {
                let (first, techniques) = hits.entry(act).or_insert((seen.ts, BTreeMap::new()));
                *first = seen.ts.min(*first);
                *techniques.entry(technique).or_default() += 1;
                clear = true;
            }
            Mark::Ambiguous => ambiguous = true,
            Mark::Benign => clear = true,
        }
    }
    let hit = |(act, (first, techniques)): (usize, (i64, BTreeMap<usize, usize>))| {
        let most = techniques.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best });
        Hit { act, first, technique: most.map_or(0, |(technique, _)| technique) }
    };
    Alert {
        container: Arc::clone(&scored.container),
        steps: scored.steps.clone(),
        technique: scored.technique.clone(),
        hits: hits.into_iter().map(hit).collect(),
        undecided: ambiguous && !clear,
    }
}

/// Counts by score. Scores are not negative, so that their bits are in their order.
#[derive(Default)]
struct Grades(BTreeMap<u64, Mix>);

impl Grades {
    fn add(&mut self, score: f64, mix: Mix) {
        let held = self.0.entry(score.to_bits()).or_default();
        held.malicious += mix.malicious;
        held.benign += mix.benign;
    }

    fn take(&mut self, score: f64, mix: Mix) {
        let held = self.0.entry(score.to_bits()).or_default();
        held.malicious -= mix.malicious;
        held.benign -= mix.benign;
    }

    fn sorted(self) -> Vec<Graded> {
        let graded = self.0.into_iter().rev().map(|(bits, mix)| Graded { score: f64::from_bits(bits), mix });
        graded.filter(|graded| graded.mix != Mix::default()).collect()
    }
}
