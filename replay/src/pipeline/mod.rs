//! The stream of events through learning and comparing, images in parallel.
//!
//! Events are read in (ts, cpu, seq) order in chunks; each image takes its own part of a chunk in that order, on any
//! thread. Images share nothing that they write, so the result does not depend on the number of threads, and memory is
//! bounded by a chunk and by what the profiles hold.

pub mod fold;
pub mod image;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datasets::{Container, Event, Recording};
use rayon::prelude::*;
use record_bpf::Class;

use crate::args::Tiers;
use crate::args::vectors::Vectors;
use crate::config::Config;
use crate::error::Result;
use crate::observe::{Context, HOST, Peers, ProcessTable, peers};
use crate::profile::Profile;
use image::{ImageState, Rules, Surroundings};

/// Events in memory at once.
const CHUNK: usize = 1 << 16;

/// The classes that a profile is learned from and that rules judge.
const JUDGED: [Class; 3] = [Class::Process, Class::File, Class::Network];

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
            processes: ProcessTable::new(recording.processes()?),
            peers: Peers::new(&containers, &recording.addresses()?, &config.network),
            containers: containers.into_iter().map(|container| (Arc::clone(&container.id), container)).collect(),
        })
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

/// Runs all events of a recording through their images' states. `watch` sees every event, in order.
///
/// # Errors
/// Unreadable events; a needed model that is missing.
pub fn stream(
    recording: &Recording,
    world: &World,
    start: &Start<'_>,
    config: &Config,
    vectors: &dyn Vectors,
    rules: &Rules<'_>,
    mut watch: impl FnMut(&Event),
) -> Result<Streamed> {
    let around = || Surroundings {
        context: Context { processes: &world.processes, peers: &world.peers, config },
        tiers: Tiers { config: &config.args, vectors },
        config,
        rules,
    };
    let mut lanes: BTreeMap<Arc<str>, Lane> = BTreeMap::new();
    let mut image_of: HashMap<Option<Arc<str>>, Arc<str>> = HashMap::new();
    let mut per_second: BTreeMap<i64, u64> = BTreeMap::new();
    let mut span: Option<(i64, i64)> = None;
    let mut events = recording.events_of(&JUDGED);
    loop {
        let mut read = false;
        for event in events.by_ref().take(CHUNK) {
            let event = event?;
            watch(&event);
            let ts = event.common().ts;
            span = Some(span.map_or((ts, ts), |(first, _)| (first, ts)));
            *per_second.entry(ts.div_euclid(1_000_000_000)).or_default() += 1;
            let container = &event.common().container;
            let image = match image_of.get(container) {
                Some(image) => image,
                None => image_of.entry(container.clone()).or_insert_with(|| world.image(container.as_ref())),
            };
            match lanes.get_mut(image) {
                Some(lane) => lane.queue.push(event),
                None => {
                    let state = begin(Arc::clone(image), start, config);
                    lanes.insert(Arc::clone(image), Lane { state, queue: vec![event] });
                }
            }
            read = true;
        }
        if !read {
            break;
        }
        let mut busy: Vec<&mut Lane> = lanes.values_mut().filter(|lane| !lane.queue.is_empty()).collect();
        // The longest first: with few images the order is what balances the threads.
        busy.sort_by_key(|lane| std::cmp::Reverse(lane.queue.len()));
        let results: Vec<Result<()>> = busy.into_par_iter().with_max_len(1).map(|lane| lane.drain(&around())).collect();
        results.into_iter().collect::<Result<()>>()?;
    }
    let end = span.map_or(0, |(_, last)| last);
    let images = lanes.into_values().map(|lane| {
        let mut state = lane.state;
        state.finish(end, config);
        state
    });
    Ok(Streamed { images: images.collect(), per_second, span })
}

fn begin(image: Arc<str>, start: &Start<'_>, config: &Config) -> ImageState {
    match start {
        Start::Learn => ImageState::learning(image, config, true),
        Start::LearnAll => ImageState::learning(image, config, false),
        Start::Baseline(profile) => {
            let entry = profile.images.get(&image);
            ImageState::with_baseline(image, config, entry)
        }
    }
}

/// An image with its part of the present chunk.
struct Lane {
    state: ImageState,
    queue: Vec<Event>,
}

impl Lane {
    fn drain(&mut self, around: &Surroundings<'_>) -> Result<()> {
        for event in self.queue.drain(..) {
            self.state.process(&event, around)?;
        }
        Ok(())
    }
}
