//! What a recording's ground truth says of deviations, and what alerts of them come to. Counts are those of [`crate::detect`], which
//! a test holds them to; they are made without alerts, so that a configuration costs microseconds where only scores change.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use datasets::Recording;
use polars::prelude::*;
use record_bpf::Class;
use replay::deviation::RowRef;
use replay::engines::{Peaks, Rating, Severity, Thresholds, Weights};

use super::metrics::Metrics;
use crate::Result;
use crate::frames::{self, key};

/// Ground truth by event.
pub struct Truth {
    /// Sorted.
    pub acts: Vec<String>,
    /// Act and time (Unix, ns) of an event that is surely an attack's.
    labelled: HashMap<RowRef, (usize, i64)>,
    ambiguous: BTreeSet<RowRef>,
    /// When each act began; `None`: it has no event.
    begins: Vec<Option<i64>>,
    /// From first to last event, summed over containers; h.
    pub container_hours: f64,
}

impl Truth {
    /// # Errors
    /// Unreadable segments or labels.
    pub fn of(recording: &Recording) -> Result<Truth> {
        let labels = recording.labels()?;
        let (truth, acts) = frames::truth(&labels)?;
        let events = frames::events(recording)?;
        let row = |label: &datasets::Label| RowRef { class: label.class, cpu: label.cpu, seq: label.seq };
        let ambiguous: BTreeSet<RowRef> = labels.iter().filter(|label| label.ambiguous).map(row).collect();
        let found = events.clone().lazy().join(truth.lazy(), key(), key(), JoinArgs::new(JoinType::Inner)).collect()?;
        let mut labelled = HashMap::new();
        let mut begins = vec![None; acts.len()];
        let (class, cpu, seq) =
            (found.column("class")?.u32()?, found.column("cpu")?.u32()?, found.column("seq")?.u64()?);
        let (ts, act) = (found.column("ts")?.i64()?, found.column("act")?.u32()?);
        for i in 0..found.height() {
            let (Some(class), Some(cpu), Some(seq)) = (class.get(i), cpu.get(i), seq.get(i)) else { continue };
            let (Some(ts), Some(act)) = (ts.get(i), act.get(i)) else { continue };
            let Some(class) = Class::ALL.into_iter().find(|known| *known as u32 == class) else { continue };
            let row = RowRef { class, cpu: cpu as u16, seq };
            if !ambiguous.contains(&row) {
                labelled.insert(row, (act as usize, ts));
                let begin: &mut Option<i64> = &mut begins[act as usize];
                *begin = Some(begin.map_or(ts, |begin| begin.min(ts)));
            }
        }
        let spans = events
            .lazy()
            .group_by([col("container")])
            .agg([col("ts").min().alias("first"), col("ts").max().alias("last")])
            .collect()?;
        let (first, last) = (spans.column("first")?.i64()?, spans.column("last")?.i64()?);
        let spans = first.iter().zip(last.iter()).filter_map(|(first, last)| Some(last? - first?));
        let container_hours = spans.map(|ns| ns as f64 / 1e9).sum::<f64>() / 3600.0;
        Ok(Truth { acts, labelled, ambiguous, begins, container_hours })
    }

    /// What `evidence`, the rows of one alert's deviations, shows.
    pub fn of_alert<'a>(&self, evidence: impl Iterator<Item = &'a RowRef>) -> Shown {
        let mut acts: BTreeMap<usize, i64> = BTreeMap::new();
        let (mut clear, mut doubtful) = (false, false);
        for row in evidence {
            match self.ambiguous.contains(row) {
                true => doubtful = true,
                false => clear = true,
            }
            if let Some((act, ts)) = self.labelled.get(row) {
                let first = acts.entry(*act).or_insert(*ts);
                *first = (*ts).min(*first);
            }
        }
        Shown { acts: acts.into_iter().collect(), undecided: doubtful && !clear }
    }
}

/// What an alert's evidence shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// Acts, each with the time of the first row that is its own; Unix time, ns.
    acts: Vec<(usize, i64)>,
    /// Nothing but what nobody can say.
    undecided: bool,
}

/// The deviations of one alert, in order of time.
#[derive(Clone, Debug)]
pub struct Group {
    pub deviations: Vec<(i64, Peaks)>,
    pub shown: Shown,
}

/// Adds what the alerts of a recording come to. An act is found, and an alert is counted as false, from severity `at` on.
pub fn count(groups: &[Group], truth: &Truth, weights: Weights, bounds: Thresholds, at: Severity, all: &mut Metrics) {
    let mut found: BTreeMap<usize, i64> = BTreeMap::new();
    for Group { deviations, shown } in groups {
        let Rating { severity, raised_at, .. } = Rating::of(deviations, weights, bounds);
        if severity < at {
            continue;
        }
        let begin = shown.acts.iter().map(|(act, first)| truth.begins[*act].unwrap_or(*first)).min();
        // What was raised before any of it had begun had another reason.
        if begin.is_some_and(|begin| raised_at >= begin) {
            for (act, first) in &shown.acts {
                let when = raised_at.max(*first);
                let soonest = found.entry(*act).or_insert(when);
                *soonest = when.min(*soonest);
            }
        } else if begin.is_some() || !shown.undecided {
            all.false_alerts += 1;
        }
    }
    all.acts += truth.acts.len() as u64;
    all.found += found.len() as u64;
    all.container_hours += truth.container_hours;
    let after = found.into_iter().filter_map(|(act, when)| Some((when - truth.begins[act]?) as f64 / 1e9));
    all.times_to_detect.extend(after);
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn row(seq: u64) -> RowRef {
        RowRef { class: Class::File, cpu: 0, seq }
    }

    /// Rows 1 and 2 are of an act, 3 is ambiguous.
    fn truth() -> Truth {
        Truth {
            acts: vec!["theft".to_owned()],
            labelled: [(row(1), (0, 10 * S)), (row(2), (0, 12 * S))].into(),
            ambiguous: [row(3)].into(),
            begins: vec![Some(10 * S)],
            container_hours: 0.5,
        }
    }

    fn metrics(evidence: &[u64], deviations: &[(i64, f32)]) -> Metrics {
        let truth = truth();
        let rows: Vec<RowRef> = evidence.iter().map(|seq| row(*seq)).collect();
        let deviations = deviations.iter().map(|(s, rules)| (s * S, Peaks([*rules, 0.0, 0.0]))).collect();
        let group = Group { deviations, shown: truth.of_alert(rows.iter()) };
        let mut all = Metrics::default();
        count(&[group], &truth, Weights::default(), Thresholds::default(), Severity::Medium, &mut all);
        all
    }

    #[test]
    fn an_act_is_found_by_what_is_raised_after_it_began() {
        let said = |evidence: &[u64], deviations: &[(i64, f32)]| {
            let all = metrics(evidence, deviations);
            (all.found, all.false_alerts, all.times_to_detect)
        };
        assert_eq!(said(&[2, 9], &[(12, 1.0)]), (1, 0, vec![2.0]));
        assert_eq!(said(&[1], &[(9, 1.0)]), (0, 1, vec![]), "raised before it began");
        assert_eq!(said(&[1], &[(9, 0.5), (11, 1.0)]), (1, 0, vec![1.0]), "raised by the second deviation");
        assert_eq!(said(&[1], &[(12, 0.9)]), (0, 0, vec![]), "below medium");
        assert_eq!(said(&[3], &[(12, 1.0)]), (0, 0, vec![]), "nobody can say");
        assert_eq!(said(&[3, 9], &[(12, 1.0)]), (0, 1, vec![]));
        assert_eq!(metrics(&[9], &[(1, 1.0)]).container_hours, 0.5);
    }
}
