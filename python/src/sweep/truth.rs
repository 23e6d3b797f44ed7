//! What a recording's ground truth says of alerts. Counts are those of `eval detect`: an act is found by an alert that shows a
//! row of it and was raised after its act had begun; an alert that shows none is false, unless nobody can say what it shows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datasets::{Event, Label, Recording};
use replay::alert::Alert;
use replay::deviation::RowRef;
use replay::engines::Severity;
use replay::pipeline::JUDGED;

use super::metrics::Metrics;
use crate::error::Failure;

/// Events of a recording that are kept decoded; some 300 bytes each. Of longer ones every stage that reads does so from disk.
const KEPT: u64 = 500_000;

/// Ground truth by event.
pub struct Truth {
    acts: u64,
    labelled: HashMap<RowRef, (Arc<str>, i64)>,
    ambiguous: BTreeSet<RowRef>,
    /// When each act began; Unix time, ns.
    begins: BTreeMap<Arc<str>, i64>,
    /// From first to last event, summed over containers; h.
    container_hours: f64,
}

impl Truth {
    /// With the events that a replay looks at, if they are not too many to keep.
    pub fn read(recording: &Recording) -> Result<(Self, Option<Vec<Event>>), Failure> {
        let labels = recording.labels()?;
        let row = |label: &Label| RowRef { class: label.class, cpu: label.cpu, seq: label.seq };
        let ambiguous: BTreeSet<RowRef> = labels.iter().filter(|label| label.ambiguous).map(row).collect();
        let acts: BTreeSet<&Arc<str>> =
            labels.iter().filter(|label| !label.ambiguous).map(|label| &label.act).collect();
        let acts = acts.len() as u64;
        let sure: HashMap<RowRef, Arc<str>> = labels
            .iter()
            .filter(|label| !label.ambiguous)
            .map(|label| (row(label), Arc::clone(&label.act)))
            .filter(|(row, _)| !ambiguous.contains(row))
            .collect();
        let mut labelled = HashMap::new();
        let mut begins: BTreeMap<Arc<str>, i64> = BTreeMap::new();
        let mut spans: HashMap<Option<Arc<str>>, (i64, i64)> = HashMap::new();
        let mut events = (recording.manifest().rows() <= KEPT).then(Vec::new);
        for event in recording.events() {
            let event = event?;
            let common = event.common();
            let span = spans.entry(common.container.clone()).or_insert((common.ts, common.ts));
            *span = (span.0.min(common.ts), span.1.max(common.ts));
            let row = RowRef { class: event.class(), cpu: common.cpu, seq: common.seq };
            if let Some(act) = sure.get(&row) {
                let begin = begins.entry(Arc::clone(act)).or_insert(common.ts);
                *begin = common.ts.min(*begin);
                labelled.insert(row, (Arc::clone(act), common.ts));
            }
            if let Some(events) = events.as_mut().filter(|_| JUDGED.contains(&event.class())) {
                events.push(event);
            }
        }
        let container_hours = spans.values().map(|(first, last)| (last - first) as f64 / 1e9).sum::<f64>() / 3600.0;
        Ok((Self { acts, labelled, ambiguous, begins, container_hours }, events))
    }

    /// Fills in what the alerts of severity `at` and above find, and what of them is false.
    pub fn count(&self, alerts: &[Alert], at: Severity, metrics: &mut Metrics) {
        let mut found: BTreeMap<&Arc<str>, i64> = BTreeMap::new();
        for alert in alerts.iter().filter(|alert| alert.severity >= at && alert.allowed.is_none()) {
            let mut acts: BTreeMap<&Arc<str>, i64> = BTreeMap::new();
            let (mut clear, mut doubtful) = (false, false);
            for row in alert.rows() {
                match self.ambiguous.contains(row) {
                    true => doubtful = true,
                    false => clear = true,
                }
                if let Some((act, ts)) = self.labelled.get(row) {
                    let first = acts.entry(act).or_insert(*ts);
                    *first = (*ts).min(*first);
                }
            }
            let begin = acts.keys().filter_map(|act| self.begins.get(*act)).min();
            // What was raised before any of it had begun had another reason.
            if begin.is_some_and(|begin| alert.raised_at >= *begin) {
                for (act, first) in acts {
                    let when = alert.raised_at.max(first);
                    let soonest = found.entry(act).or_insert(when);
                    *soonest = when.min(*soonest);
                }
            } else if begin.is_some() || !doubtful || clear {
                metrics.false_alerts += 1;
            }
        }
        metrics.acts = self.acts;
        metrics.found = found.len() as u64;
        metrics.container_hours = self.container_hours;
        let after = found.into_iter().filter_map(|(act, when)| Some((when - self.begins.get(act)?) as f64 / 1e9));
        metrics.times_to_detect = after.collect();
    }
}
