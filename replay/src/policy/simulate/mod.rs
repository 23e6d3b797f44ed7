//! What policies would have stopped, and what they would have broken, told from a recording alone.
//!
//! Every event of a container whose image has a profile is judged by itself. That is what a recording can tell, and no more: what an
//! attacker would have done instead, and what a program does after a refusal, is not in it.

mod judge;
mod table;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use datasets::{Event, Label, Recording};
use record_bpf::Class;
use serde::Serialize;

use super::Format;
use super::allowed::{Allowed, is_runtime};
use crate::config::Config;
use crate::deviation::RowRef;
use crate::error::Result;
use crate::input;
use crate::observe::Context;
use crate::pipeline::World;
use crate::profile::Profile;
use judge::{Judge, Past, Refusal};

pub use table::render;

/// The formats that refuse something, or hold it back; Falco and Tetragon's default report.
pub const REFUSING: [Format; 6] =
    [Format::Seccomp, Format::Apparmor, Format::NetworkPolicy, Format::Cilium, Format::Nftables, Format::Tc];

/// What a policy may have a say in; dns tells names.
const JUDGED: [Class; 6] = [Class::Process, Class::Security, Class::File, Class::Network, Class::Dns, Class::Syscall];

/// Kinds of broken things told apart of one recording; all further ones are one.
const GROUPS: usize = 10_000;
const FURTHER: &str = "further things";

/// One recording, tried.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    pub recording: String,
    /// Images that are under policy, with their containers' names.
    pub images: BTreeMap<Arc<str>, Vec<String>>,
    /// Images of the recording that the profile does not have.
    pub without: Vec<Arc<str>>,
    /// Why there is no policy of a format, by image.
    pub missing: BTreeMap<Arc<str>, BTreeMap<&'static str, String>>,
    /// In order of their first labelled events.
    pub steps: Vec<Step>,
    /// By format, of what belongs to no attack.
    pub benign: BTreeMap<&'static str, Benign>,
}

/// A step of an attack.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub act: Arc<str>,
    pub step: Arc<str>,
    pub technique: Arc<str>,
    /// Labelled events of containers under policy.
    pub events: u64,
    /// Labelled events of other containers.
    pub elsewhere: u64,
    /// Of formats that would have refused something of it.
    pub blocked: BTreeMap<&'static str, Block>,
    /// Of the first labelled event; Unix time, ns.
    #[serde(skip)]
    first: i64,
}

/// How a step would have been stopped.
#[derive(Clone, Debug, Serialize)]
pub struct Block {
    /// From the step's first labelled event to the first that is refused, ns.
    pub after_ns: i64,
    /// Labelled events that are refused.
    pub refused: u64,
    pub what: String,
    pub rule: String,
    pub row: RowRef,
}

/// What a format would have done to ordinary life.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Benign {
    /// Events that the policy has a say in.
    pub decided: u64,
    pub refused: u64,
    /// The most frequent first.
    pub broken: Vec<Broken>,
}

/// Equal things that would have been refused.
#[derive(Clone, Debug, Serialize)]
pub struct Broken {
    pub image: Arc<str>,
    pub what: String,
    pub rule: String,
    pub count: u64,
    pub row: RowRef,
}

/// Tries the policies of a profile on a recording.
///
/// # Errors
/// Damaged input.
pub fn simulate(name: &str, recording: &Recording, profile: &Profile, config: &Config) -> Result<Trial> {
    input::verify(recording)?;
    let world = World::load(recording, config)?;
    let context = Context { processes: &world.processes, peers: &world.peers, config };
    let labels: HashMap<(Class, u16, u64), Label> =
        recording.labels()?.into_iter().map(|label| ((label.class, label.cpu, label.seq), label)).collect();

    let mut trial = Trial {
        recording: name.to_owned(),
        images: BTreeMap::new(),
        without: Vec::new(),
        missing: BTreeMap::new(),
        steps: Vec::new(),
        benign: REFUSING.iter().map(|format| (format.name(), Benign::default())).collect(),
    };
    let mut judges: HashMap<Arc<str>, Judge> = HashMap::new();
    let mut without: HashSet<Arc<str>> = HashSet::new();
    for id in world.containers.keys() {
        let image = world.image(Some(id));
        let Some(entry) = profile.images.get(&image) else {
            without.insert(image);
            continue;
        };
        let judge =
            judges.entry(Arc::clone(&image)).or_insert_with(|| Judge::new(&Allowed::new(&image, entry), config));
        for format in REFUSING {
            if let Some(why) = judge.missing(format) {
                trial.missing.entry(Arc::clone(&image)).or_default().insert(format.name(), why);
            }
        }
        trial.images.entry(image).or_default().push(world.container_name(id));
    }
    trial.without = without.into_iter().collect();
    trial.without.sort();

    let mut past = Past::default();
    let mut steps: HashMap<(Arc<str>, Arc<str>), Step> = HashMap::new();
    let mut broken: HashMap<(Format, Arc<str>, String), Broken> = HashMap::new();
    for event in recording.events_of(&JUDGED) {
        let event = event?;
        if let Event::Dns(dns) = &event {
            past.domains.see(dns, &context);
        }
        let common = event.common();
        let row = RowRef { class: event.class(), cpu: common.cpu, seq: common.seq };
        let label = labels.get(&(row.class, row.cpu, row.seq));
        if label.is_some_and(|label| label.ambiguous) {
            continue;
        }
        let step = label.map(|label| {
            steps.entry((Arc::clone(&label.act), Arc::clone(&label.step))).or_insert_with(|| Step {
                act: Arc::clone(&label.act),
                step: Arc::clone(&label.step),
                technique: Arc::clone(&label.technique),
                events: 0,
                elsewhere: 0,
                blocked: BTreeMap::new(),
                first: common.ts,
            })
        });
        let image = world.image(common.container.as_ref());
        let Some(judge) = judges.get_mut(&image) else {
            step.into_iter().for_each(|step| step.elsewhere += 1);
            continue;
        };
        // What sets the container up is not under its policies.
        if is_runtime(&world.processes.exe(common.exec_id)) {
            continue;
        }
        let verdicts = judge.judge(&event, &mut past, &context);
        let Some(step) = step else {
            for verdict in verdicts {
                let benign = trial.benign.entry(verdict.format.name()).or_default();
                benign.decided += 1;
                if let Some(refusal) = verdict.refused {
                    benign.refused += 1;
                    tally(&mut broken, verdict.format, &image, refusal, row);
                }
            }
            continue;
        };
        step.events += 1;
        for verdict in verdicts {
            let Some(Refusal { what, rule }) = verdict.refused else { continue };
            let after_ns = common.ts - step.first;
            let block = step.blocked.entry(verdict.format.name());
            block.or_insert_with(|| Block { after_ns, refused: 0, what, rule, row }).refused += 1;
        }
    }
    trial.steps = steps.into_values().collect();
    trial.steps.sort_by(|a, b| (a.first, &a.act, &a.step).cmp(&(b.first, &b.act, &b.step)));
    for ((format, _, _), group) in broken {
        trial.benign.entry(format.name()).or_default().broken.push(group);
    }
    for benign in trial.benign.values_mut() {
        benign.broken.sort_by(|a, b| (b.count, &a.image, &a.what).cmp(&(a.count, &b.image, &b.what)));
    }
    Ok(trial)
}

fn tally(
    broken: &mut HashMap<(Format, Arc<str>, String), Broken>,
    format: Format,
    image: &Arc<str>,
    refusal: Refusal,
    row: RowRef,
) {
    let Refusal { what, rule } = refusal;
    let mut key = (format, Arc::clone(image), what);
    if broken.len() >= GROUPS && !broken.contains_key(&key) {
        key.2 = FURTHER.to_owned();
    }
    let what = key.2.clone();
    let group = broken.entry(key);
    group.or_insert_with(|| Broken { image: Arc::clone(image), what, rule, count: 0, row }).count += 1;
}
