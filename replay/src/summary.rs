//! The run in numbers: `run.json`, and what the charts of the report show.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use datasets::{Manifest, Moment};

use crate::alert::Alert;
use crate::alert::group::GroundTruth;
use crate::config::{Config, Rule};
use crate::convergence::{events_needed, seconds};
use crate::engines::Severity;
use crate::engines::rules_load::Listed;
use crate::input::InputFile;
use crate::lacking::{Lack, lacks};
use crate::many;
use crate::output::report::timeline::{Lane, Mark, Point, Timeline, TreeLane};
use crate::output::run_json::{
    Act, AllowedAlerts, BaselineInput, Counts, Image, Input, Run, Timings, TreeState, Versions,
};
use crate::output::text;
use crate::pipeline::World;
use crate::pipeline::ended::{Ended, EndedImage, EndedTree};
use crate::run::by_severity;

/// What a run was made from.
pub struct Inputs<'a> {
    /// One, or several in the order of their numbers.
    pub recordings: Vec<Recorded<'a>>,
    pub baseline: Option<BaselineInput>,
}

/// A recording that was replayed.
pub struct Recorded<'a> {
    pub name: String,
    pub dir: PathBuf,
    pub manifest: &'a Manifest,
    pub files: Vec<InputFile>,
}

impl Recorded<'_> {
    fn input(self, lacks: impl Fn(&Manifest) -> Vec<Lack>) -> Input {
        let Recorded { name, dir, manifest, files } = self;
        Input {
            name,
            dir,
            scenario: manifest.scenario.as_ref().map(|scenario| scenario.name.clone()),
            kernel: format!("{} {}", manifest.kernel.release, manifest.kernel.machine),
            started: manifest.started.utc.clone(),
            ended: manifest.ended.as_ref().map(|moment| moment.utc.clone()),
            files,
            lacks: lacks(manifest),
        }
    }
}

/// One recording, or what is said of several in its place, and these.
fn recorded(mut recordings: Vec<Recorded<'_>>, lacks: impl Fn(&Manifest) -> Vec<Lack>) -> (Input, Vec<Input>) {
    if recordings.len() == 1
        && let Some(only) = recordings.pop()
    {
        return (only.input(lacks), Vec::new());
    }
    let names: Vec<String> = recordings.iter().map(|recorded| recorded.name.clone()).collect();
    let dir = recordings.first().map_or_else(PathBuf::new, |first| first.dir.clone());
    let manifests = || recordings.iter().map(|recorded| recorded.manifest);
    let started = manifests().map(|manifest| &manifest.started).min_by_key(|moment| moment.ns);
    let ends: Option<Vec<&Moment>> = manifests().map(|manifest| manifest.ended.as_ref()).collect();
    let ended = ends.and_then(|ends| ends.into_iter().max_by_key(|moment| moment.ns)).map(|end| end.utc.clone());
    let started = started.map_or_else(String::new, |moment| moment.utc.clone());
    let each: Vec<Input> = recordings.into_iter().map(|recorded| recorded.input(&lacks)).collect();
    let kernels: BTreeSet<&str> = each.iter().map(|input| input.kernel.as_str()).collect();
    let scenarios: BTreeSet<&str> = each.iter().filter_map(|input| input.scenario.as_deref()).collect();
    let listed = |texts: BTreeSet<&str>| texts.into_iter().collect::<Vec<_>>().join(", ");
    let scenario = (!scenarios.is_empty()).then(|| listed(scenarios));
    let kernel = listed(kernels);
    let name = many::joined(&names);
    (Input { name, dir, scenario, kernel, started, ended, files: Vec::new(), lacks: Vec::new() }, each)
}

/// Who spoke.
pub struct Engines<'a> {
    pub model: Option<String>,
    pub judge: String,
    /// All documents.
    pub rules: &'a [Listed],
}

/// Everything `run.json` says.
#[expect(clippy::too_many_arguments, reason = "it gathers the results of every stage")]
pub fn run(
    inputs: Inputs<'_>,
    engines: Engines<'_>,
    config: &Config,
    ended: &Ended,
    world: &World,
    alerts: &[Alert],
    deviations: u64,
    truth: &GroundTruth,
    mut timings: Timings,
) -> Run {
    let Inputs { recordings, baseline } = inputs;
    let Engines { model, judge, rules } = engines;
    let containers = !world.containers.is_empty();
    let (recording, recordings) = recorded(recordings, |manifest| lacks(manifest, rules, containers));
    let mut counts = Counts { deviations, alerts: by_severity(alerts), ..Counts::default() };
    for image in &ended.images {
        counts.events += image.counts.events;
        counts.observations += image.counts.observations;
        counts.learned += image.counts.learned;
        counts.withheld += image.counts.withheld;
        counts.deviating += image.counts.deviating;
    }
    let raised = alerts.iter().filter(|alert| alert.is_raised());
    counts.incidents = raised.map(|alert| &alert.incident).collect::<BTreeSet<_>>().len() as u64;
    if timings.stream_ms > 0.0 {
        timings.events_per_second = (counts.events as f64 / timings.stream_ms * 1e3).round();
    }
    Run {
        kind: "retroscope replay",
        versions: Versions { replay: env!("CARGO_PKG_VERSION"), schema: record_bpf::schema::VERSION },
        recording,
        recordings,
        baseline,
        config: config.clone(),
        convergence_rule: rule(config),
        counts,
        images: ended.images.iter().map(|state| image(state, ended, world)).collect(),
        model,
        judge,
        acts: acts(alerts, truth),
        allowed: AllowedAlerts {
            alerts: alerts.iter().filter(|alert| alert.allowed.is_some()).count() as u64,
            entries: Vec::new(),
        },
        sinks: Vec::new(),
        timings,
    }
}

/// The stopping rule in words.
pub fn rule(config: &Config) -> String {
    let convergence = &config.convergence;
    let unseen = format!(
        "upper bound of the unseen mass at most {} over {} s (a quiet window where fewer than {} events came)",
        convergence.epsilon,
        convergence.window,
        text::count(events_needed(convergence).max(convergence.min_events)),
    );
    let window = format!("at most {} new patterns in {} s", convergence.max_new, convergence.window);
    match convergence.rule {
        Rule::UnseenMass => unseen,
        Rule::Window => window,
        Rule::Both => format!("{unseen}, and {window}"),
        Rule::Timer => format!("a timer of {} s", convergence.timer),
    }
}

fn image(state: &EndedImage, ended: &Ended, world: &World) -> Image {
    let begin = ended.span.map_or(0, |(begin, _)| begin);
    let trees = state.trees.iter().map(|EndedTree { tree, locked, learned, patterns, since_lock, samples: _ }| {
        let at = locked.as_ref().and_then(|locked| locked.at);
        TreeState {
            tree: tree.name(),
            locked: locked.is_some(),
            locked_after_s: at.map(|at| (seconds(at - begin) * 1e3).round() / 1e3),
            decided_by: locked.as_ref().map(|locked| locked.decided_by.clone()),
            learned: *learned,
            patterns: *patterns,
            since_lock: *since_lock,
        }
    });
    let containers =
        world.containers.values().filter(|container| crate::observe::peers::image_of(container) == state.image);
    let named =
        containers.map(|container| container.name.clone().unwrap_or_else(|| text::short_id(&container.id).to_owned()));
    Image {
        image: state.image.to_string(),
        containers: named.collect::<BTreeSet<_>>().into_iter().collect(),
        events: state.counts.events,
        observations: state.counts.observations,
        learned: state.counts.learned,
        withheld: state.counts.withheld,
        deviating: state.counts.deviating,
        trees: trees.collect(),
        tuned: state.tuned,
        on_probation: state.on_probation,
        grave: state.counts.grave,
        siblings: state.siblings.clone(),
    }
}

fn acts(alerts: &[Alert], truth: &GroundTruth) -> Vec<Act> {
    let mut acts: BTreeMap<&str, Act> = BTreeMap::new();
    for label in truth.labels.values() {
        let act = acts.entry(&label.act).or_insert_with(|| Act {
            act: label.act.to_string(),
            techniques: Vec::new(),
            events: 0,
            severity: None,
            alerts: Vec::new(),
            time_to_detect_ms: None,
        });
        act.events += 1;
        if !act.techniques.iter().any(|known| **known == *label.technique) {
            act.techniques.push(label.technique.to_string());
        }
    }
    for act in acts.values_mut() {
        act.techniques.sort();
        let of_act: Vec<&Alert> =
            alerts.iter().filter(|alert| alert.truth.as_ref().is_some_and(|truth| *truth.act == *act.act)).collect();
        act.severity = of_act.iter().map(|alert| alert.severity).max().map(Severity::name);
        let raised = of_act.iter().filter(|alert| alert.is_raised());
        act.alerts = raised.clone().map(|alert| alert.id.clone()).collect();
        let first = raised.filter_map(|alert| alert.truth.as_ref()).map(|truth| truth.time_to_detect_ms);
        act.time_to_detect_ms = first.min_by(f64::total_cmp);
    }
    acts.into_values().collect()
}

/// What the charts show.
pub fn timeline(ended: &Ended, alerts: &[Alert]) -> Timeline {
    let (begin, end) = ended.span.unwrap_or((0, 0));
    // A baseline is locked from the start.
    let locked = |tree: &EndedTree| tree.locked.as_ref().map(|locked| locked.at.unwrap_or(begin));
    let points = |image: &EndedImage, tree: &EndedTree| {
        let Some((first, _)) = image.span else { return Vec::new() };
        let points = tree.samples.iter().map(|sample| Point {
            ts: first.saturating_add((sample.at_s * 1e9) as i64),
            observations: sample.observations,
            patterns: sample.patterns,
            nodes: sample.nodes,
            unseen: sample.window.upper_bound,
        });
        points.collect()
    };
    let lanes = ended.images.iter().map(|image| Lane {
        image: image.image.to_string(),
        trees: image
            .trees
            .iter()
            .map(|tree| TreeLane { tree: tree.tree.name(), locked: locked(tree), samples: points(image, tree) })
            .collect(),
    });
    let raised = alerts.iter().filter(|alert| alert.is_raised());
    Timeline {
        begin,
        end,
        lanes: lanes.collect(),
        alerts: raised
            .map(|alert| Mark {
                ts: alert.ts,
                severity: alert.severity,
                id: alert.id.clone(),
                image: alert.image.to_string(),
            })
            .collect(),
    }
}
