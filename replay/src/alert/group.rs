//! Deviations with their verdicts to alerts: one per process incarnation, scored in one place.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::Label;
use record_bpf::Class;

use super::{Alert, Ancestor, EngineScore, Finding, Place, Technique, Truth, action, command, incident, round};
use crate::convergence::seconds;
use crate::deviation::{Deviation, RowRef};
use crate::engines::{Engine, Peaks, Rating, Thresholds, Unanswered, Verdict, Weights, strongest};
use crate::observe::process::command_line;
use crate::output::text;
use crate::pipeline::World;

/// A deviation with what every engine says about it.
#[derive(Clone, Debug)]
pub struct Judged {
    pub deviation: Deviation,
    pub verdicts: Vec<Verdict>,
    /// Engines that should have spoken and did not.
    pub unanswered: Vec<Unanswered>,
}

/// Ground truth, by event, and when each act began.
#[derive(Debug, Default)]
pub struct GroundTruth {
    pub labels: BTreeMap<RowRef, Label>,
    /// Time of the first labelled event; Unix time, ns.
    pub begin: BTreeMap<Arc<str>, i64>,
}

impl GroundTruth {
    pub fn new(labels: Vec<Label>) -> Self {
        let by_row = |label: Label| (RowRef { class: label.class, cpu: label.cpu, seq: label.seq }, label);
        // What is ambiguous proves nothing, neither way.
        let sure = labels.into_iter().filter(|label| !label.ambiguous);
        Self { labels: sure.map(by_row).collect(), begin: BTreeMap::new() }
    }

    /// Notes the time of an event, if it is labelled.
    pub fn see(&mut self, class: Class, cpu: u16, seq: u64, ts: i64) {
        if let Some(label) = self.labels.get(&RowRef { class, cpu, seq }) {
            let begin = self.begin.entry(Arc::clone(&label.act)).or_insert(ts);
            *begin = ts.min(*begin);
        }
    }

    /// The act that most of the rows belong to, among those that had begun when the alert was raised: what was raised before
    /// had another reason.
    fn of<'a>(&self, rows: impl Iterator<Item = &'a RowRef>, raised_at: i64) -> Option<Truth> {
        let mut acts: BTreeMap<&Arc<str>, (usize, &Label)> = BTreeMap::new();
        let begun = |label: &&Label| self.begin.get(&label.act).is_none_or(|begin| *begin <= raised_at);
        for label in rows.filter_map(|row| self.labels.get(row)).filter(begun) {
            acts.entry(&label.act).or_insert((0, label)).0 += 1;
        }
        let (act, (_, label)) = acts.into_iter().reduce(|best, next| if next.1.0 > best.1.0 { next } else { best })?;
        let begin = self.begin.get(act).copied().unwrap_or(raised_at);
        let time_to_detect_ms = (seconds(raised_at - begin) * 1e6).round() / 1e3;
        Some(Truth { act: Arc::clone(act), technique: Arc::clone(&label.technique), time_to_detect_ms })
    }
}

/// Image, container, incarnation, and the process id where there is no incarnation.
type Doer = (Arc<str>, Arc<str>, Option<u64>, u32);

/// All alerts, in order of time, with ids and incidents. `lateral`: as [`incident::assign`].
pub fn alerts(
    judged: Vec<Judged>,
    world: &World,
    weights: Weights,
    bounds: Thresholds,
    truth: &GroundTruth,
    lateral: f64,
) -> Vec<Alert> {
    let mut alerts: Vec<Alert> = groups(judged, |judged| &judged.deviation)
        .iter()
        .enumerate()
        .map(|(i, group)| alert(format!("A{:04}", i + 1), group, world, weights, bounds, truth))
        .collect();
    incident::assign(&mut alerts, &world.processes, lateral);
    alerts
}

/// What is of one alert, each in order of time, and the alerts in order of their first.
pub fn groups<T>(mut all: Vec<T>, deviation: impl Fn(&T) -> &Deviation) -> Vec<Vec<T>> {
    all.sort_by(|a, b| order(deviation(a)).cmp(&order(deviation(b))));
    let mut groups: BTreeMap<Doer, Vec<T>> = BTreeMap::new();
    for one in all {
        let Deviation { image, container, exec_id, pid, .. } = deviation(&one);
        // Without an incarnation the process id has to do.
        let pid = if exec_id.is_some() { 0 } else { *pid };
        groups.entry((Arc::clone(image), Arc::clone(container), *exec_id, pid)).or_default().push(one);
    }
    let mut groups: Vec<Vec<T>> = groups.into_values().collect();
    groups.sort_by(|a, b| order(deviation(&a[0])).cmp(&order(deviation(&b[0]))));
    groups
}

/// Time, then the row: no two deviations of a recording begin at the same row in the same tree.
fn order(deviation: &Deviation) -> (i64, Option<&RowRef>, crate::deviation::Tree, &[Arc<str>]) {
    (deviation.ts, deviation.rows.first(), deviation.tree, &deviation.path)
}

fn alert(
    id: String,
    group: &[Judged],
    world: &World,
    weights: Weights,
    bounds: Thresholds,
    truth: &GroundTruth,
) -> Alert {
    let first = &group[0].deviation;
    let verdicts: Vec<Verdict> = group.iter().flat_map(|judged| judged.verdicts.iter().cloned()).collect();
    let peaks: Vec<(i64, Peaks)> =
        group.iter().map(|judged| (judged.deviation.ts, Peaks::of(&judged.verdicts))).collect();
    let Rating { score, severity, raised_at } = Rating::of(&peaks, weights, bounds);
    let engines = Engine::ALL.map(|engine| engine_score(engine, group, &verdicts, weights)).into();
    let technique = technique(&verdicts, weights);
    let container = world.containers.get(&first.container);
    let place = Place::new(container, Arc::clone(&first.image), Arc::clone(&first.container));
    let findings: Vec<Finding> = group.iter().map(Finding::from).collect();
    let ancestry = ancestry(world, first.exec_id);
    let process = ancestry.last().map_or_else(|| Arc::clone(&first.text), |process| Arc::clone(&process.command));
    let commands = command::suggest(severity, technique.as_ref(), &place, &id, first.pid);
    let Place { image, image_digest, container, container_name, runtime, pod, namespace, .. } = place;
    let name = container_name.as_deref().unwrap_or_else(|| text::short_id(&container));
    Alert {
        id,
        incident: String::new(),
        severity,
        score,
        ts: first.ts,
        time: text::time(first.ts),
        raised_at,
        pid: first.pid,
        exec_id: first.exec_id,
        process,
        ancestry,
        engines,
        rules: rules(&verdicts),
        recording: None,
        allowed: None,
        action: action::suggest(severity, technique.as_ref(), &findings, name, first.pid),
        commands,
        technique,
        truth: truth.of(findings.iter().flat_map(|found| &found.rows), raised_at),
        image,
        image_digest,
        container,
        container_name,
        runtime,
        pod,
        namespace,
        deviations: findings,
    }
}

fn engine_score(engine: Engine, group: &[Judged], verdicts: &[Verdict], weights: Weights) -> EngineScore {
    let weight = weights.of(engine);
    let silent: Vec<&Unanswered> =
        group.iter().filter_map(|judged| judged.unanswered.iter().find(|silent| silent.engine == engine)).collect();
    let no_answer = silent.first().map(|first| match group.len() {
        1 => format!("no answer: {}", first.why),
        all => format!("no answer about {} of {all} deviations: {}", silent.len(), first.why),
    });
    match strongest(verdicts, engine) {
        Some(verdict) => EngineScore {
            engine: engine.name(),
            points: round(weight * verdict.score, 2),
            weight,
            reason: verdict.reason.clone() + &no_answer.map_or_else(String::new, |text| format!("; {text}")),
            judge: verdict.judge.clone(),
        },
        None => EngineScore {
            engine: engine.name(),
            points: 0.0,
            weight,
            reason: no_answer.unwrap_or_else(|| "nothing to say".to_owned()),
            judge: silent.first().map_or_else(String::new, |first| first.judge.clone()),
        },
    }
}

/// Ids of the rules that hit, the highest score first, each once.
fn rules(verdicts: &[Verdict]) -> Vec<String> {
    let mut hits: Vec<&Verdict> =
        verdicts.iter().filter(|verdict| verdict.engine == Engine::Rules && verdict.score > 0.0).collect();
    hits.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut ids: Vec<String> = Vec::new();
    for hit in hits {
        if !ids.contains(&hit.judge) {
            ids.push(hit.judge.clone());
        }
    }
    ids
}

/// The technique that most points speak for; each judge counts once per technique, with its highest score.
pub fn technique(verdicts: &[Verdict], weights: Weights) -> Option<Technique> {
    let mut judges: BTreeMap<(&str, &str), f32> = BTreeMap::new();
    for verdict in verdicts {
        if let Some(id) = &verdict.technique {
            let points = weights.of(verdict.engine) * verdict.score;
            let best = judges.entry((id, &verdict.judge)).or_default();
            *best = best.max(points);
        }
    }
    let mut sums: BTreeMap<&str, f32> = BTreeMap::new();
    for ((id, _), points) in judges {
        *sums.entry(id).or_default() += points;
    }
    let best = sums.into_iter().filter(|(_, points)| *points > 0.0).reduce(|a, b| if b.1 > a.1 { b } else { a });
    best.map(|(id, _)| Technique::new(id))
}

fn ancestry(world: &World, exec_id: Option<u64>) -> Vec<Ancestor> {
    let mut chain = exec_id.map(|id| world.processes.ancestry(id)).unwrap_or_default();
    // The container runtime's own process, before it becomes the container's first program, has no file to name.
    let runtime = chain.iter().take_while(|process| process.exe.is_none()).count();
    if runtime < chain.len() {
        chain.drain(..runtime);
    }
    let ancestor = |process: &datasets::Process| {
        let exe = process.exe.clone().unwrap_or_else(|| "(unknown)".into());
        let argv = process.argv.as_deref().unwrap_or_default();
        let command = command_line(&exe, argv).into();
        Ancestor { exec_id: process.exec_id, pid: process.pid, exe, command }
    };
    chain.into_iter().map(ancestor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_raised_before_an_act_is_not_of_it() {
        let row = |seq| RowRef { class: Class::File, cpu: 0, seq };
        let label = |seq, act: &str| Label {
            class: Class::File,
            cpu: 0,
            seq,
            act: act.into(),
            step: "run".into(),
            technique: "T1005".into(),
            ambiguous: false,
        };
        let mut truth = GroundTruth::new(vec![label(1, "first"), label(2, "second"), label(3, "second")]);
        for (seq, ms) in [(1, 1), (2, 5), (3, 6)] {
            truth.see(Class::File, 0, seq, ms * 1_000_000);
        }
        let rows = [1, 2, 3].map(row);
        let of = |ms: i64| {
            truth.of(rows.iter(), ms * 1_000_000).map(|truth| (truth.act.to_string(), truth.time_to_detect_ms))
        };
        assert_eq!(of(0), None);
        assert_eq!(of(2), Some(("first".to_owned(), 1.0)));
        assert_eq!(of(7), Some(("second".to_owned(), 2.0)));
    }
}
