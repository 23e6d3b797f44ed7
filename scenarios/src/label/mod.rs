//! Ground truth: which events of a recording are the attack's.
//!
//! The rule, in one sentence: everything done by a process tree whose root a step's matcher names, from the fork that
//! created the root to the end of its last descendant, plus the events of other processes that a step names: files by
//! path, connections by peer, DNS by question, TLS by plaintext. Where trees nest, the innermost root gives the label; a
//! tree goes before what is named.

mod effects;
mod tree;

use std::collections::HashSet;
use std::sync::Arc;

use datasets::{Label, Recording};
use record_bpf::Kind;

use crate::error::Error;
use crate::timeline::{StepRun, Timeline};
use effects::Effects;
use tree::Tree;

/// How far the clock of the runner and that of the recorder (boot time turned into Unix time) may differ, ns.
const CLOCK_SLACK: i64 = 250_000_000;

/// What an event of the attack is called.
#[derive(Clone)]
struct Mark {
    act: Arc<str>,
    step: Arc<str>,
    technique: Arc<str>,
    ambiguous: bool,
}

impl Mark {
    fn new(step: &StepRun, technique: Option<&String>, ambiguous: bool) -> Mark {
        let technique = technique.unwrap_or(&step.technique);
        Mark {
            act: step.act.as_str().into(),
            step: step.step.as_str().into(),
            technique: technique.as_str().into(),
            ambiguous: ambiguous || step.ambiguous,
        }
    }
}

/// The labels of a finished recording of this run, in the order of its events.
///
/// # Errors
/// [`Error::Recording`]; [`Error::NoTrace`] when a step of the timeline left nothing to label, which means that the
/// recording does not show the run (other containers, another time) or that the attack did not take place.
pub fn label(recording: &Recording, timeline: &Timeline) -> Result<Vec<Label>, Error> {
    if timeline.steps.is_empty() {
        return Ok(Vec::new());
    }
    let processes = recording.processes()?;
    let tree = Tree::new(&processes);
    let mut marks = tree.roots(timeline)?;
    let mut effects = Effects::new(timeline, &tree);
    effects.connections(recording, &mut marks)?;
    tree.spread(&mut marks);

    let mut labels = Vec::new();
    let mut seen: HashSet<(Arc<str>, Arc<str>, Kind)> = HashSet::new();
    for event in recording.events() {
        let event = event?;
        let mark = tree.mark_of(&event, &marks).or_else(|| effects.mark_of(&event));
        if let Some(Mark { act, step, technique, ambiguous }) = mark {
            let common = event.common();
            seen.insert((act.clone(), step.clone(), common.kind));
            labels.push(Label {
                class: event.class(),
                cpu: common.cpu,
                seq: common.seq,
                act,
                step,
                technique,
                ambiguous,
            });
        }
    }
    let recorded = |class: &str| recording.manifest().classes.iter().any(|name| name == class);
    effects.check(recorded)?;
    for step in &timeline.steps {
        for expected in &step.matchers.expect {
            let found = seen
                .iter()
                .any(|(act, name, kind)| **act == *step.act && **name == *step.step && *expected == kind_name(*kind));
            if !found && recorded(expected.split('.').next().unwrap_or_default()) {
                return Err(Error::NoTrace { step: step.step.clone(), matcher: format!("expected {expected}") });
            }
        }
    }
    Ok(labels)
}

/// As `network.connect`.
pub(crate) fn kind_name(kind: Kind) -> String {
    format!("{}.{}", kind.class(), kind.op())
}

/// Whether a container is one of the service's; a service that was deployed anew or scaled had several.
fn is_of(timeline: &Timeline, service: &str, container: Option<&str>) -> bool {
    container.is_some_and(|id| timeline.containers.iter().any(|each| each.service == service && each.id == id))
}

fn in_window(step: &StepRun, ts: i64) -> bool {
    ts >= step.start_ns.saturating_sub(CLOCK_SLACK) && ts <= step.end_ns.saturating_add(CLOCK_SLACK)
}
