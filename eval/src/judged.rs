//! Events joined with ground truth and alerts, and counted.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::*;

use crate::Result;
use crate::alerts::AlertRow;
use crate::detect::Flagging;
use crate::frames::{self, key};

/// The counts that all metrics of detection come from.
#[derive(Debug, Default)]
pub struct Judged {
    /// (labelled, level of the highest alert that flags it or 0, number of events)
    pub events: Vec<(bool, u32, u64)>,
    /// Per act: its events in the recording.
    pub acts: Vec<ActEvents>,
    /// Alerts with evidence that is labelled, sorted; without the `early` ones.
    pub hits: Vec<Hit>,
    /// Alerts that had been raised before the first act they show began, sorted: nothing of it had happened, so they are false.
    pub early: Vec<usize>,
    /// Events that the labels call ambiguous: they are in no other count.
    pub ambiguous_events: u64,
    /// Alerts all of whose evidence is ambiguous, sorted: neither true nor false.
    pub undecided: Vec<usize>,
    /// Labels that name no event of the recording.
    pub labels_without_event: u64,
    /// Evidence rows that name no event of the recording.
    pub evidence_without_event: u64,
    /// From first to last event, summed over containers; s.
    pub container_seconds: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActEvents {
    pub events: u64,
    /// Unix time of the first, ns; `None`: no event.
    pub begin: Option<i64>,
}

/// An alert that shows an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    pub act: usize,
    pub alert: usize,
    /// Unix time of the first evidence row that belongs to the act, ns.
    pub first: i64,
}

/// Joins and counts. `truth` has the columns of [`frames::truth`], `acts` is the number of acts in it; `ambiguous` those of
/// [`frames::ambiguous`].
///
/// # Errors
/// polars fails, which nothing in the data should make it do.
pub fn judge(
    events: DataFrame,
    truth: DataFrame,
    ambiguous: DataFrame,
    acts: usize,
    alerts: &[AlertRow],
    flagging: Flagging,
) -> Result<Judged> {
    let evidence = frames::evidence(alerts)?.lazy();
    let by_row = evidence.clone().group_by(key()).agg([col("level").max().alias("row_level")]);
    let by_process = frames::alerts(alerts)?
        .lazy()
        .filter(col("exec_id").is_not_null())
        .group_by([col("exec_id")])
        .agg([col("level").max().alias("process_level")]);
    let left = || JoinArgs::new(JoinType::Left);
    let all = events.lazy();
    let anti = || JoinArgs::new(JoinType::Anti);
    let decided = all.clone().join(ambiguous.clone().lazy(), key(), key(), anti());
    let mut judged = decided.join(truth.clone().lazy(), key(), key(), left()).join(by_row, key(), key(), left());
    let row_level = col("row_level").fill_null(lit(0u32));
    let level = match flagging {
        Flagging::Evidence => row_level,
        Flagging::Process => {
            judged = judged.join(by_process, [col("exec_id")], [col("exec_id")], left());
            let process_level = col("process_level").fill_null(lit(0u32));
            when(process_level.clone().gt(row_level.clone())).then(process_level).otherwise(row_level)
        }
    };
    let judged = judged.with_column(level.alias("flagged")).collect()?;

    let mut out = Judged { acts: vec![ActEvents::default(); acts], ..Judged::default() };
    let counts = judged
        .clone()
        .lazy()
        .group_by([col("act").is_not_null().alias("labelled"), col("flagged")])
        .agg([len().cast(DataType::UInt64).alias("events")])
        .collect()?;
    let (labelled, flagged, n) =
        (counts.column("labelled")?.bool()?, counts.column("flagged")?.u32()?, counts.column("events")?.u64()?);
    for ((labelled, flagged), n) in labelled.iter().zip(flagged.iter()).zip(n.iter()) {
        out.events.push((labelled.unwrap_or(false), flagged.unwrap_or(0), n.unwrap_or(0)));
    }
    out.events.sort_unstable();

    let labelled = judged.lazy().filter(col("act").is_not_null());
    let per_act = labelled
        .clone()
        .group_by([col("act")])
        .agg([len().cast(DataType::UInt64).alias("events"), col("ts").min().alias("begin")])
        .collect()?;
    let (act, n, begin) = (per_act.column("act")?.u32()?, per_act.column("events")?.u64()?, per_act.column("begin")?);
    for ((act, n), begin) in act.iter().zip(n.iter()).zip(begin.i64()?.iter()) {
        if let Some(slot) = act.and_then(|act| out.acts.get_mut(act as usize)) {
            *slot = ActEvents { events: n.unwrap_or(0), begin };
        }
    }

    let ours = labelled.select([col("class"), col("cpu"), col("seq"), col("ts"), col("act")]);
    let hits = evidence
        .clone()
        .join(ours, key(), key(), JoinArgs::new(JoinType::Inner))
        .group_by([col("act"), col("alert")])
        .agg([col("ts").min().alias("first")])
        .collect()?;
    let (act, alert, first) = (hits.column("act")?.u32()?, hits.column("alert")?.u32()?, hits.column("first")?.i64()?);
    for ((act, alert), first) in act.iter().zip(alert.iter()).zip(first.iter()) {
        if let (Some(act), Some(alert), Some(first)) = (act, alert, first) {
            out.hits.push(Hit { act: act as usize, alert: alert as usize, first });
        }
    }
    out.hits.sort_unstable();
    out.early = early(&out, alerts);
    let Judged { hits, early, .. } = &mut out;
    hits.retain(|hit| early.binary_search(&hit.alert).is_err());

    let doubtful = all.clone().join(ambiguous.clone().lazy(), key(), key(), JoinArgs::new(JoinType::Semi));
    out.ambiguous_events = doubtful.collect()?.height() as u64;
    let with = |args| evidence.clone().join(ambiguous.clone().lazy(), key(), key(), args);
    let alerts_of = |rows: LazyFrame| -> Result<BTreeSet<usize>> {
        let rows = rows.collect()?;
        Ok(rows.column("alert")?.u32()?.iter().flatten().map(|alert| alert as usize).collect())
    };
    let clear = alerts_of(with(anti()))?;
    let doubtful = alerts_of(with(JoinArgs::new(JoinType::Semi)))?;
    out.undecided = doubtful.difference(&clear).copied().collect();

    out.labels_without_event = absent(truth.lazy(), &all)? + absent(ambiguous.lazy(), &all)?;
    out.evidence_without_event = absent(evidence, &all)?;
    let spans = all
        .group_by([col("container")])
        .agg([col("ts").min().alias("first"), col("ts").max().alias("last")])
        .collect()?;
    let (first, last) = (spans.column("first")?.i64()?, spans.column("last")?.i64()?);
    let spans = first.iter().zip(last.iter()).filter_map(|(first, last)| Some(last? - first?));
    out.container_seconds = spans.map(|ns| ns as f64 / 1e9).sum();
    Ok(out)
}

/// Alerts that were raised before any act of which they have evidence.
fn early(judged: &Judged, alerts: &[AlertRow]) -> Vec<usize> {
    let mut begins: BTreeMap<usize, i64> = BTreeMap::new();
    for hit in &judged.hits {
        let begin = judged.acts[hit.act].begin.unwrap_or(hit.first);
        let first = begins.entry(hit.alert).or_insert(begin);
        *first = begin.min(*first);
    }
    begins.into_iter().filter(|(alert, begin)| alerts[*alert].raised_at < *begin).map(|(alert, _)| alert).collect()
}

/// Rows of `what` whose event is not among `all`.
fn absent(what: LazyFrame, all: &LazyFrame) -> Result<u64> {
    let absent = what.join(all.clone(), key(), key(), JoinArgs::new(JoinType::Anti)).collect()?;
    Ok(absent.height() as u64)
}
