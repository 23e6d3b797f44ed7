//! The run in numbers: `run.json`, and what the charts of the report show.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use datasets::Manifest;

use crate::alert::Alert;
use crate::alert::group::GroundTruth;
use crate::config::{Config, Rule};
use crate::convergence::{events_needed, seconds};
use crate::engines::Severity;
use crate::input::InputFile;
use crate::output::report::timeline::{Lane, Mark, Point, Timeline, TreeLane};
use crate::output::run_json::{
    Act, AllowedAlerts, BaselineInput, Counts, Image, Input, Run, Timings, TreeState, Versions,
};
use crate::output::text;
use crate::pipeline::image::{ImageState, Phase};
use crate::pipeline::{Streamed, World};
use crate::run::by_severity;

/// What a run was made from.
pub struct Inputs<'a> {
    pub name: String,
    pub dir: PathBuf,
    pub manifest: &'a Manifest,
    pub files: Vec<InputFile>,
    pub baseline: Option<BaselineInput>,
}

/// Who spoke.
pub struct Engines {
    pub model: Option<String>,
    pub judge: String,
}

/// Everything `run.json` says.
#[expect(clippy::too_many_arguments, reason = "it gathers the results of every stage")]
pub fn run(
    inputs: Inputs<'_>,
    engines: Engines,
    config: &Config,
    streamed: &Streamed,
    world: &World,
    alerts: &[Alert],
    deviations: u64,
    truth: &GroundTruth,
    mut timings: Timings,
) -> Run {
    let Inputs { name, dir, manifest, files, baseline } = inputs;
    let Engines { model, judge } = engines;
    let mut counts = Counts { deviations, alerts: by_severity(alerts), ..Counts::default() };
    for state in &streamed.images {
        counts.events += state.counts.events;
        counts.observations += state.counts.observations;
        counts.learned += state.counts.learned;
        counts.withheld += state.counts.withheld;
        counts.deviating += state.counts.deviating;
    }
    let raised = alerts.iter().filter(|alert| alert.is_raised());
    counts.incidents = raised.map(|alert| &alert.incident).collect::<BTreeSet<_>>().len() as u64;
    if timings.stream_ms > 0.0 {
        timings.events_per_second = (counts.events as f64 / timings.stream_ms * 1e3).round();
    }
    Run {
        kind: "retroscope replay",
        versions: Versions { replay: env!("CARGO_PKG_VERSION"), schema: record_bpf::schema::VERSION },
        recording: Input {
            name,
            dir,
            scenario: manifest.scenario.as_ref().map(|scenario| scenario.name.clone()),
            kernel: format!("{} {}", manifest.kernel.release, manifest.kernel.machine),
            started: manifest.started.utc.clone(),
            ended: manifest.ended.as_ref().map(|moment| moment.utc.clone()),
            files,
        },
        baseline,
        config: config.clone(),
        convergence_rule: rule(config),
        counts,
        images: streamed.images.iter().map(|state| image(state, streamed, world, config)).collect(),
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

fn image(state: &ImageState, streamed: &Streamed, world: &World, config: &Config) -> Image {
    let begin = streamed.span.map_or(0, |(begin, _)| begin);
    let trees = state.phases.iter().map(|(tree, phase)| {
        let patterns = state.profile.patterns(*tree);
        match phase {
            Phase::Learning(tracker) => TreeState {
                tree: tree.name(),
                locked: false,
                locked_after_s: None,
                decided_by: None,
                learned: tracker.learned(),
                patterns,
                since_lock: state.lock_test(*tree, config),
            },
            Phase::Locked(locked) => TreeState {
                tree: tree.name(),
                locked: true,
                locked_after_s: locked.at.map(|at| (seconds(at - begin) * 1e3).round() / 1e3),
                decided_by: Some(locked.decided_by.clone()),
                learned: locked.learned,
                patterns,
                since_lock: state.lock_test(*tree, config),
            },
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
        tuned: state.tuned().len() as u64,
        on_probation: state.on_probation() as u64,
        grave: state.counts.grave,
        siblings: state.siblings(config, &|id| world.container_name(id)),
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
pub fn timeline(streamed: &Streamed, alerts: &[Alert]) -> Timeline {
    let (begin, end) = streamed.span.unwrap_or((0, 0));
    let locked = |phase: &Phase| match phase {
        Phase::Learning(_) => None,
        // A baseline is locked from the start.
        Phase::Locked(locked) => Some(locked.at.unwrap_or(begin)),
    };
    let points = |state: &ImageState, tree| {
        let (Some(curve), Some((first, _))) = (state.curve(), state.span) else { return Vec::new() };
        let points = curve.samples(tree).iter().map(|sample| Point {
            ts: first.saturating_add((sample.at_s * 1e9) as i64),
            observations: sample.observations,
            patterns: sample.patterns,
            nodes: sample.nodes,
            unseen: sample.window.upper_bound,
        });
        points.collect()
    };
    let lanes = streamed.images.iter().map(|state| Lane {
        image: state.image.to_string(),
        trees: state
            .phases
            .iter()
            .map(|(tree, phase)| TreeLane { tree: tree.name(), locked: locked(phase), samples: points(state, *tree) })
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
