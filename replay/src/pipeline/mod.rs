//! The stream of events through learning and comparing, images in parallel.
//!
//! Events are read in (ts, cpu, seq) order in chunks; each image takes its own part of a chunk in that order, on any
//! thread. Images share nothing that they write, so the result does not depend on the number of threads, and memory is
//! bounded by a chunk and by what the profiles hold.

mod actors;
mod alike;
pub mod apart;
pub mod columns;
pub mod ended;
pub mod fold;
mod hits;
pub mod image;
mod routes;
pub mod ruling;
mod tune;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datasets::{Container, Given, Recording};
use rayon::prelude::*;
use record_bpf::Class;

use crate::args::Tiers;
use crate::args::vectors::Vectors;
use crate::config::Config;
use crate::engines::correlation::{Contribution, Correlator};
use crate::error::Result;
use crate::many;
use crate::observe::{Context, HOST, Peers, ProcessTable, peers};
use crate::profile::Profile;
use crate::timing::{self, Part};
use apart::{Abroad, Apart};
pub use columns::judged;
use ended::EndedImage;
use fold::Folded;
pub use hits::hit_by_rules;
use image::{ImageState, Surroundings};
use routes::Routes;
use ruling::{Rules, Ruling};

/// Events in memory at once.
const CHUNK: usize = 1 << 16;
/// As many are read before they are taken where there is one thread: then they are still in the cache.
const AT_HAND: usize = 1 << 10;

/// The classes that a replay reads: rules judge them all.
pub const JUDGED: [Class; 8] = [
    Class::Process,
    Class::File,
    Class::Network,
    Class::Dns,
    Class::Security,
    Class::Tls,
    Class::Flow,
    Class::Resource,
];
/// The classes that a profile is learned from; DNS answers give addresses their names. The others do not tell the time of
/// learning.
const fn is_learned(class: Class) -> bool {
    matches!(class, Class::Process | Class::File | Class::Network | Class::Dns)
}

/// What a recording says about processes and containers.
pub struct World {
    pub processes: ProcessTable,
    pub peers: Peers,
    pub containers: BTreeMap<Arc<str>, Container>,
}

impl World {
    /// # Errors
    /// The tables cannot be read.
    pub fn load(recording: &Recording, config: &Config) -> Result<Self> {
        let containers = recording.containers()?;
        Ok(Self {
            processes: ProcessTable::read(recording)?,
            peers: Peers::new(&containers, &recording.addresses()?, &config.network),
            containers: containers.into_iter().map(|container| (Arc::clone(&container.id), container)).collect(),
        })
    }

    /// What several recordings say, or one: processes numbered for the replay, addresses by recording, and each container as
    /// the first says that has it.
    ///
    /// # Errors
    /// As [`World::load`]; process numbers that leave no room for the recording's.
    pub fn of(recordings: &[Recording], config: &Config) -> Result<Self> {
        if let [only] = recordings {
            return Self::load(only, config);
        }
        let (mut processes, mut peers, mut containers) = (ProcessTable::new([]), Vec::new(), BTreeMap::new());
        for (number, recording) in many::numbers(recordings) {
            processes.extend(many::processes(number, recording)?);
            let own = recording.containers()?;
            peers.push(Peers::new(&own, &recording.addresses()?, &config.network));
            for container in own {
                containers.entry(Arc::clone(&container.id)).or_insert(container);
            }
        }
        Ok(Self { processes, peers: Peers::of_many(peers), containers })
    }

    /// The name of a container for people: its own, else the beginning of its id.
    pub fn container_name(&self, id: &str) -> String {
        let name = self.containers.get(id).and_then(|container| container.name.clone());
        name.unwrap_or_else(|| crate::output::text::short_id(id).to_owned())
    }

    /// How many containers run each image.
    fn replicas(&self) -> BTreeMap<Arc<str>, usize> {
        let mut replicas = BTreeMap::new();
        self.containers.values().for_each(|container| *replicas.entry(peers::image_of(container)).or_default() += 1);
        replicas
    }

    /// The image that a container's events are learned under.
    pub fn image(&self, container: Option<&Arc<str>>) -> Arc<str> {
        match container {
            None => HOST.into(),
            Some(id) => self.containers.get(id).map_or_else(|| Arc::clone(id), peers::image_of),
        }
    }
}

/// How images begin.
#[derive(Clone, Copy)]
pub enum Start<'a> {
    /// Each learns, and is locked when it has converged.
    Learn,
    /// Each learns to the end: the recording is a baseline.
    LearnAll,
    /// Each is locked from the start with what the baseline holds of it.
    Baseline(&'a Profile),
}

/// The stream, taken in.
pub struct Streamed {
    /// By image.
    pub images: Vec<ImageState>,
    /// Events per second of event time, by Unix second.
    pub per_second: BTreeMap<i64, u64>,
    /// First and last event; Unix time, ns.
    pub span: Option<(i64, i64)>,
}

impl Streamed {
    pub fn profile(&self) -> Profile {
        let entries = self.images.iter().map(|state| (Arc::clone(&state.image), state.entry()));
        Profile { images: entries.collect(), ..Profile::default() }
    }
}

/// What the stream needs besides events.
#[derive(Clone, Copy)]
pub struct Stage<'a> {
    pub world: &'a World,
    pub start: Start<'a>,
    pub config: &'a Config,
    pub vectors: &'a dyn Vectors,
    pub rules: &'a dyn Rules,
}

/// Runs all events of a recording through their images' states. `watch` sees every event, in order.
///
/// # Errors
/// Unreadable events; a needed model that is missing.
pub fn stream(recording: &Recording, stage: &Stage<'_>, watch: impl FnMut(&Given)) -> Result<Streamed> {
    let mut lanes = Lanes::default();
    lanes.take(judged(recording).given(), stage, watch)?;
    Ok(lanes.end(stage))
}

/// What was seen of a stream.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Events per second of event time, by Unix second.
    pub per_second: BTreeMap<i64, u64>,
    /// First and last event; Unix time, ns.
    pub span: Option<(i64, i64)>,
}

impl Seen {
    fn see(&mut self, ts: i64) {
        self.span = Some(self.span.map_or((ts, ts), |(first, _)| (first, ts)));
        *self.per_second.entry(ts.div_euclid(1_000_000_000)).or_default() += 1;
    }
}

/// The images of one recording, or of several one after the other.
#[derive(Default)]
pub struct Lanes {
    lanes: BTreeMap<Arc<str>, Lane>,
    /// Images of which more than one container was seen, in whatever recording.
    replicated: BTreeSet<Arc<str>>,
    /// Incarnations of the present recording that nothing is learned from.
    withheld: BTreeSet<u64>,
    /// Of the present recording.
    seen: Seen,
    /// What is correlated over containers.
    across: Correlator,
    /// The images that are worked on; None: all.
    only: Option<Arc<Images>>,
    /// Where what is correlated over containers is not, but kept.
    apart: Option<KeptApart>,
}

/// A set of images.
pub type Images = BTreeSet<Arc<str>>;

/// Hits for correlations over containers, and the number of the present chunk.
#[derive(Default)]
struct KeptApart {
    chunk: u32,
    abroad: Vec<Abroad>,
}

/// The images of a part, ended, with what joins them to the others: see [`apart`].
pub struct StreamedApart {
    /// By image; also those that only other parts' hits can make something of.
    pub images: Vec<(EndedImage, Apart)>,
    pub abroad: Vec<Abroad>,
    /// Of all images' events.
    pub seen: Seen,
}

impl Lanes {
    /// Works on some images only. The events of all are read, for they tell the time.
    pub fn only(images: Arc<Images>) -> Self {
        Self { only: Some(images), ..Self::default() }
    }

    /// The same, and keeps for others what depends on the rest.
    pub fn kept_apart(images: Arc<Images>) -> Self {
        Self { apart: Some(KeptApart::default()), ..Self::only(images) }
    }

    /// The stream of a part, ended.
    pub fn end_apart(mut self, stage: &Stage<'_>) -> StreamedApart {
        let seen = std::mem::take(&mut self.seen);
        let end = seen.span.map_or(0, |(_, last)| last);
        let abroad = self.apart.take().unwrap_or_default().abroad;
        let images = self.lanes.into_values().map(|lane| {
            let mut state = lane.state;
            state.finish(end, stage.config);
            state.settle(&stage.world.processes, stage.config);
            let apart = state.take_apart();
            (EndedImage::new(state, stage.world, stage.config), apart)
        });
        StreamedApart { images: images.collect(), abroad, seen }
    }

    /// Says which images will be found to have replicas, where that is known of more than one recording.
    pub fn expect_replicas(&mut self, images: BTreeSet<Arc<str>>) {
        self.replicated = images;
    }

    /// The next recording of several begins, `withheld` as [`ImageState::begin_recording`].
    pub fn begin_recording(&mut self, withheld: BTreeSet<u64>) {
        self.lanes.values_mut().for_each(|lane| lane.state.begin_recording(&withheld));
        self.withheld = withheld;
        self.seen = Seen::default();
        self.across = Correlator::default();
    }

    /// It ends, at `end` of its own time.
    pub fn end_recording(&mut self, end: i64, config: &Config) {
        self.lanes.values_mut().for_each(|lane| lane.state.end_recording(end, config));
    }

    /// What was seen of the present recording.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The deviations of all images so far.
    pub fn folded(&self) -> Vec<Folded> {
        self.lanes.values().flat_map(|lane| lane.state.folded().iter().cloned()).collect()
    }

    /// Whether there are others since the last call.
    pub fn take_changed(&mut self) -> bool {
        // Each is asked, and asked once.
        self.lanes.values_mut().fold(false, |changed, lane| lane.state.take_changed() | changed)
    }

    /// The states, ended.
    pub fn finish(self, end: i64, config: &Config) -> Vec<ImageState> {
        let seen = self.lanes.into_values().filter(|lane| !lane.state.is_empty());
        let states = seen.map(|lane| {
            let mut state = lane.state;
            state.finish(end, config);
            state
        });
        states.collect()
    }

    /// The stream of one recording, ended.
    pub fn end(mut self, stage: &Stage<'_>) -> Streamed {
        let Seen { per_second, span } = std::mem::take(&mut self.seen);
        let end = span.map_or(0, |(_, last)| last);
        let mut images = self.finish(end, stage.config);
        images.iter_mut().for_each(|state| state.settle(&stage.world.processes, stage.config));
        Streamed { images, per_second, span }
    }

    /// Takes the next events of the recording, which may come in any number of pieces. `watch` sees each, in order.
    ///
    /// # Errors
    /// As [`stream`].
    pub fn take(
        &mut self,
        mut events: impl Iterator<Item = datasets::Result<impl Into<Given>>>,
        stage: &Stage<'_>,
        mut watch: impl FnMut(&Given),
    ) -> Result<()> {
        let Stage { world, start, config, vectors, rules } = *stage;
        let around = || Surroundings {
            context: Context { processes: &world.processes, peers: &world.peers, config },
            tiers: Tiers { config: &config.args, vectors },
            config,
            rules,
        };
        let replicas = world.replicas();
        self.replicated.extend(replicas.iter().filter(|(_, count)| **count > 1).map(|(image, _)| Arc::clone(image)));
        let Self { lanes, replicated, withheld, seen, across, only, apart } = self;
        // The world, and the rules, may be others than they were.
        lanes.values_mut().for_each(|lane| lane.state.forget_doings());
        let mut routes = Routes::default();
        let at_hand = if rayon::current_num_threads() == 1 { AT_HAND } else { CHUNK };
        let is_ours = |image: &Arc<str>| only.as_ref().is_none_or(|only| only.contains(image));
        loop {
            // Events of the present chunk.
            let mut taken = 0;
            if let Some(apart) = apart {
                lanes.values_mut().for_each(|lane| lane.state.at_chunk(apart.chunk));
            }
            while taken < CHUNK {
                let (reading, before) = (timing::part(Part::Read), taken);
                for event in events.by_ref().take(at_hand) {
                    taken += 1;
                    let event: Given = event?.into();
                    watch(&event);
                    if is_learned(event.class()) {
                        seen.see(event.ts());
                    }
                    let container = event.container();
                    // Of an image that another part works on there is none.
                    let image = routes.image(container, || Some(world.image(container)).filter(is_ours));
                    let Some(image) = image else { continue };
                    match lanes.get_mut(image) {
                        Some(lane) => lane.queue.push(event),
                        None => {
                            let mut state = begin(Arc::clone(image), start, config, replicated.contains(image));
                            state.begin_recording(withheld);
                            state.expect_replicas(replicas.get(image).copied().unwrap_or(1));
                            if let Some(apart) = apart {
                                state.keep_apart(apart.chunk);
                            }
                            lanes.insert(Arc::clone(image), Lane { state, queue: vec![event] });
                        }
                    }
                }
                drop(reading);
                if taken == before {
                    break;
                }
                let mut busy: Vec<&mut Lane> = lanes.values_mut().filter(|lane| !lane.queue.is_empty()).collect();
                // The longest first: with few images the order is what balances the threads.
                busy.sort_by_key(|lane| std::cmp::Reverse(lane.queue.len()));
                let results: Vec<Result<()>> =
                    busy.into_par_iter().with_max_len(1).map(|lane| lane.drain(&around())).collect();
                results.into_iter().collect::<Result<()>>()?;
            }
            if taken == 0 {
                lanes.values_mut().for_each(|lane| lane.state.settle_owed());
                return Ok(());
            }
            match apart {
                Some(apart) => apart.take(lanes),
                None => join(lanes, across, world, rules),
            }
        }
    }
}

impl KeptApart {
    /// Takes the hits of the present chunk; the next one begins.
    fn take(&mut self, lanes: &mut BTreeMap<Arc<str>, Lane>) {
        let chunk = self.chunk;
        let hits = lanes.values_mut().flat_map(|lane| std::mem::take(&mut lane.state.memory.abroad));
        self.abroad.extend(hits.map(|contribution| Abroad { chunk, contribution }));
        self.chunk += 1;
    }
}

/// Correlates what containers did with each other, in order. What is met is told, and nothing else: learning must not
/// depend on where a chunk ends.
fn join(lanes: &mut BTreeMap<Arc<str>, Lane>, across: &mut Correlator, world: &World, rules: &dyn Rules) {
    let Some(correlations) = rules.correlations() else { return };
    let mut abroad: Vec<Contribution> =
        lanes.values_mut().flat_map(|lane| std::mem::take(&mut lane.state.memory.abroad)).collect();
    abroad.sort_by_key(Contribution::order);
    for mut contribution in abroad {
        let observation = contribution.observation.take();
        let (Some(met), Some(observation)) = (across.join(correlations, contribution), observation) else { continue };
        let container = Some(&observation.container).filter(|id| ***id != *HOST);
        if let Some(lane) = lanes.get_mut(&world.image(container)) {
            lane.state.fold_hit(&observation, &Ruling::of_met(met));
        }
    }
}

fn begin(image: Arc<str>, start: Start<'_>, config: &Config, replicated: bool) -> ImageState {
    let state = match start {
        Start::Learn => ImageState::learning(image, config, true),
        Start::LearnAll => ImageState::learning(image, config, false),
        Start::Baseline(profile) => {
            let entry = profile.images.get(&image);
            ImageState::with_baseline(image, config, entry)
        }
    };
    if replicated { state.with_replicas() } else { state }
}

/// An image with its part of the present chunk.
struct Lane {
    state: ImageState,
    queue: Vec<Given>,
}

impl Lane {
    fn drain(&mut self, around: &Surroundings<'_>) -> Result<()> {
        let _comparing = timing::part(Part::Compare);
        timing::events(self.queue.len());
        for event in self.queue.drain(..) {
            match event {
                Given::Event(event) if !is_learned(event.class()) => self.state.rule(&event, around),
                event => self.state.process(event, around)?,
            }
        }
        Ok(())
    }
}
