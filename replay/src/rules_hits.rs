//! What rules hit in recordings, without profiles: each event is judged as a replay judges it, and what a rule says of
//! deviations is not here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datasets::Recording;
use rayon::prelude::*;

use crate::config::Config;
use crate::deviation::RowRef;
use crate::engines::correlation::Correlator;
use crate::engines::rules_load::{Listed, State};
use crate::error::Result;
use crate::judge::Judges;
use crate::observe::Context;
use crate::pipeline::ruling::{Memory, Rules, Ruling, Said};
use crate::pipeline::{World, judged};
use crate::run::progress_bar;

/// Of one rule in one recording: hits on the events of labelled acts, and on others.
pub type Hits = BTreeMap<String, [u64; 2]>;

/// What was found in one recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub recording: String,
    /// By the rule's id.
    pub hits: Hits,
    /// It has labelled acts.
    pub attack: bool,
    pub events: u64,
}

/// Hits by rule.
///
/// # Errors
/// Damaged input.
pub fn hits(name: &str, recording: &Recording, judges: &Judges, config: &Config) -> Result<Found> {
    let world = World::load(recording, config)?;
    let rules = judges.of(&world);
    // What is ambiguous may be the attack's.
    let labels: BTreeSet<RowRef> = recording
        .labels()?
        .into_iter()
        .map(|label| RowRef { class: label.class, cpu: label.cpu, seq: label.seq })
        .collect();
    let context = Context { processes: &world.processes, peers: &world.peers, config };
    let mut lanes: HashMap<Arc<str>, Memory> = HashMap::new();
    let mut across = Correlator::default();
    let mut found = Hits::new();
    let mut events = 0;
    for event in judged(recording) {
        let event = event?;
        events += 1;
        let common = event.common();
        let row = RowRef { class: event.class(), cpu: common.cpu, seq: common.seq };
        let lane = lanes.entry(world.image(common.container.as_ref())).or_default();
        let Ruling { verdicts, rows, .. } = lane.judge(&event, Said::default(), &rules, &context);
        let mut count = |id: String, rows: &[RowRef]| {
            let attack = labels.contains(&row) || rows.iter().any(|row| labels.contains(row));
            found.entry(id).or_default()[usize::from(!attack)] += 1;
        };
        verdicts.into_iter().for_each(|verdict| count(verdict.judge, &rows));
        for contribution in lane.abroad.drain(..) {
            if let Some(met) = rules.correlations().and_then(|known| across.join(known, contribution)) {
                count(met.hit.id.to_string(), &met.rows);
            }
        }
    }
    Ok(Found { recording: name.to_owned(), hits: found, attack: !labels.is_empty(), events })
}

/// The same for several recordings, in parallel; in the order of their names.
///
/// # Errors
/// As [`hits`]; a name that is no recording.
pub fn all(names: &[String], judges: &Judges, config: &Config) -> Result<Vec<Found>> {
    let recordings = names.iter().map(|name| Ok((name, crate::input::recording(name)?))).collect::<Result<Vec<_>>>()?;
    let bar = progress_bar(recordings.iter().map(|(_, recording)| recording.manifest().rows()).sum(), "judging");
    let found = recordings.par_iter().map(|(name, recording)| {
        let found = hits(name, recording, judges, config);
        bar.inc(recording.manifest().rows());
        found
    });
    let mut found = found.collect::<Result<Vec<_>>>()?;
    bar.finish_and_clear();
    found.sort_by(|a, b| a.recording.cmp(&b.recording));
    Ok(found)
}

/// What one rule hits in all recordings.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Line<'a> {
    pub file: &'a std::path::Path,
    pub title: &'a str,
    pub level: &'static str,
    pub category: &'a str,
    /// Hits on events of labelled acts, and the recordings that have some.
    pub attack: u64,
    pub attack_recordings: Vec<&'a str>,
    /// On other events.
    pub other: u64,
    pub other_recordings: Vec<&'a str>,
}

/// A line for each document that speaks, most other hits first.
pub fn lines<'a>(listed: &[&'a Listed], found: &'a [Found]) -> Vec<Line<'a>> {
    let speaks = listed.iter().filter(|listed| !matches!(listed.state, State::Skipped { .. }));
    let line = |listed: &&'a Listed| {
        let id = listed.id.as_deref().unwrap_or(&listed.title);
        let of = |which: usize| {
            let some = found.iter().filter_map(move |found| Some((found, found.hits.get(id)?[which])));
            let some: Vec<_> = some.filter(|(_, count)| *count > 0).collect();
            let names: Vec<&str> = some.iter().map(|(found, _)| found.recording.as_str()).collect();
            (some.iter().map(|(_, count)| count).sum(), names)
        };
        let ((attack, attack_recordings), (other, other_recordings)) = (of(0), of(1));
        Line {
            file: &listed.file,
            title: &listed.title,
            level: listed.level.name(),
            category: &listed.category,
            attack,
            attack_recordings,
            other,
            other_recordings,
        }
    };
    let mut lines: Vec<Line<'_>> = speaks.map(line).collect();
    lines.sort_by(|a, b| (b.other, b.attack, a.file).cmp(&(a.other, a.attack, b.file)));
    lines
}

/// A table of those that hit something, and how many hit nothing.
pub fn render(listed: &[&Listed], found: &[Found]) -> String {
    let lines = lines(listed, found);
    let (some, none): (Vec<&Line<'_>>, Vec<_>) = lines.iter().partition(|line| line.attack + line.other > 0);
    let (events, attacks): (u64, usize) =
        (found.iter().map(|found| found.events).sum(), found.iter().filter(|found| found.attack).count());
    let mut out = String::from("attack (recordings)  other (recordings)  level          rule\n");
    for Line { file, title, level, attack, attack_recordings, other, other_recordings, .. } in &some {
        let file = file.file_name().unwrap_or_default().to_string_lossy();
        let attack = format!("{attack} ({})", attack_recordings.len());
        let other = format!("{other} ({})", other_recordings.len());
        out.push_str(&format!("{attack:>19}  {other:>18}  {level:13}  {file}: {title}\n"));
    }
    out.push_str(&format!(
        "\n{} of {} rules hit something in {} recordings, {attacks} of them with labelled acts, {events} events; {} hit nothing\n",
        some.len(),
        lines.len(),
        found.len(),
        none.len(),
    ));
    out
}

/// The same as JSON, with the names of the recordings.
pub fn to_json(listed: &[&Listed], found: &[Found]) -> String {
    let recordings: Vec<_> = found.iter().map(|found| &found.recording).collect();
    let value = serde_json::json!({ "recordings": recordings, "rules": lines(listed, found) });
    format!("{}\n", serde_json::to_string_pretty(&value).expect("string keys and plain values serialize"))
}
