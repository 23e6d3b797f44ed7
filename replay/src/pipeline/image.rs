//! One image through its stream of events: learn until converged, then compare, and take in slowly what recurs.

mod doings;
mod end;
mod outside;
mod volume;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use datasets::{Event, Given};
use foldhash::quality::RandomState;

use self::doings::{Doings, Recall, Seen};
use super::fold::Folds;
use super::ruling::{Memory, Rules, Ruling, Said};
use super::tune::{Fate, Tuning};
use crate::args::Tiers;
use crate::config::{After, Config};
use crate::convergence::{self, Curve, Since, Tracker};
use crate::deviation::{DeviationKind, Tree};
use crate::error::Result;
use crate::observe::{Context, Observation, Observer};
use crate::profile::siblings::Replicas;
use crate::profile::{Departure, ImageProfile, Learned, LockedTree, store};
use crate::timing::{self, Part};

/// Convergence is judged at most this often, in ns of event time, and always before the event that ends a silence.
const CHECK: i64 = 250_000_000;

/// What one image needs from outside, for every event.
pub struct Surroundings<'a> {
    pub context: Context<'a>,
    pub tiers: Tiers<'a>,
    pub config: &'a Config,
    pub rules: &'a dyn Rules,
}

/// What happened to the events of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    pub events: u64,
    /// Paths through the trees that the events made (a rename makes two, a close none).
    pub observations: u64,
    pub learned: u64,
    /// Not learned: a rule had hit the process or an ancestor, or it ran as a deviation.
    pub withheld: u64,
    /// Observations that left the profile, before equal ones were folded.
    pub deviating: u64,
    /// Of these, what slow tuning may never take in.
    pub grave: u64,
}

/// How a tree stands at the end.
#[derive(Clone, Debug)]
pub enum Phase {
    Learning(Tracker),
    Locked(LockedTree),
}

/// The state of one image.
pub struct ImageState {
    pub image: Arc<str>,
    pub profile: ImageProfile,
    pub phases: BTreeMap<Tree, Phase>,
    pub counts: Counts,
    /// Time of the image's first and last event; Unix time, ns.
    pub span: Option<(i64, i64)>,
    /// Converged trees are locked; off while a baseline is learned.
    converges: bool,
    /// There is a baseline and this image is not in it.
    unknown: bool,
    observer: Observer,
    folds: Folds,
    /// Incarnations whose doings are not learned, with whether a rule hit them.
    tainted: BTreeMap<u64, bool>,
    clean: HashSet<u64, RandomState>,
    next_check: i64,
    scratch: Vec<Observation>,
    /// Between event time and the time of learning, ns: of several recordings, one begins where the other ended.
    shift: i64,
    /// Time of learning at the end of the last recording that had events of the image.
    ended: Option<i64>,
    /// An event of the present recording was seen.
    begun: bool,
    /// While it learns, and what is left of it then.
    curve: Option<Curve>,
    /// Only where the image has replicas to compare.
    replicas: Option<Replicas>,
    tuning: Tuning,
    /// What locked trees saw.
    since: BTreeMap<Tree, Since>,
    volumes: volume::Volumes,
    /// Of rules' hits.
    pub memory: Memory,
    doings: Doings,
}

impl ImageState {
    /// An image that learns from its own stream.
    pub fn learning(image: Arc<str>, config: &Config, converges: bool) -> Self {
        Self {
            folds: Folds::new(Arc::clone(&image), config.alerts.evidence_rows),
            image,
            profile: ImageProfile::default(),
            phases: BTreeMap::new(),
            counts: Counts::default(),
            span: None,
            converges,
            unknown: false,
            observer: Observer::new(),
            tainted: BTreeMap::new(),
            clean: HashSet::default(),
            next_check: i64::MIN,
            scratch: Vec::new(),
            shift: 0,
            ended: None,
            begun: false,
            curve: None,
            replicas: None,
            tuning: Tuning::default(),
            since: BTreeMap::new(),
            volumes: volume::Volumes::default(),
            memory: Memory::default(),
            doings: Doings::default(),
        }
    }

    /// Compares the image's replicas with each other.
    pub fn with_replicas(mut self) -> Self {
        self.replicas = Some(Replicas::default());
        self
    }

    /// How many containers of the recording run the image.
    pub fn expect_replicas(&mut self, replicas: usize) {
        self.tuning.expect_replicas(replicas);
    }

    /// The next recording of several begins. `withheld`: incarnations that a rule hits in it, sooner or later.
    pub fn begin_recording(&mut self, withheld: &BTreeSet<u64>) {
        self.forget_doings();
        // Incarnations are numbered within a recording.
        self.tainted = withheld.iter().map(|id| (*id, true)).collect();
        self.clean.clear();
        self.observer = Observer::new();
        self.volumes.forget();
        self.memory.clear();
        self.begun = false;
    }

    /// An image with a baseline: locked from the start. Without an entry it is unknown: said once, then learned.
    pub fn with_baseline(image: Arc<str>, config: &Config, entry: Option<&store::Entry>) -> Self {
        let mut state = Self::learning(image, config, true);
        match entry {
            Some(entry) => {
                state.profile = entry.trees.clone();
                state.tuning = Tuning::load(entry);
                state.phases = Tree::ALL
                    .map(|tree| {
                        let learned = entry.locked.get(&tree).map_or(0, |locked| locked.learned);
                        let decided_by = match entry.locked.get(&tree) {
                            Some(locked) => format!("baseline ({})", locked.decided_by),
                            None => "baseline (had not converged)".to_owned(),
                        };
                        (tree, Phase::Locked(LockedTree { at: None, decided_by, learned }))
                    })
                    .into();
            }
            None => state.unknown = true,
        }
        state
    }

    /// Takes the next event of the image.
    ///
    /// # Errors
    /// The embedding model is needed and missing, or the rules fail.
    pub fn process(&mut self, given: Given, around: &Surroundings<'_>) -> Result<()> {
        match given {
            Given::File(row) => {
                let look = row.look();
                self.begin_event(look.ts, around.config);
                match self.recall(&look, around) {
                    Recall::Taken => Ok(()),
                    recall => self.look_at(&Event::File(row.event()), recall, around),
                }
            }
            Given::Network(row) => {
                let look = row.look();
                self.begin_event(look.ts, around.config);
                match self.is_silent(&look, around) {
                    true => Ok(()),
                    false => self.look_at(&Event::Network(row.event()), Recall::New(None), around),
                }
            }
            Given::Event(event) => {
                self.begin_event(event.common().ts, around.config);
                let recall = match &*event {
                    Event::File(file) => self.recall(&file.into(), around),
                    _ => Recall::New(None),
                };
                match recall {
                    Recall::Taken => Ok(()),
                    recall => self.look_at(&event, recall, around),
                }
            }
        }
    }

    /// Brings learning up to the time of the next event.
    fn begin_event(&mut self, ts: i64, config: &Config) {
        self.counts.events += 1;
        self.span = Some(self.span.map_or((ts, ts), |(first, _)| (first, ts)));
        if !self.begun {
            self.begun = true;
            self.volumes.begin(ts);
            self.shift = self.ended.map_or(0, |ended| ts - ended);
        }
        let now = ts - self.shift;
        if self.phases.is_empty() {
            self.phases = Tree::ALL.map(|tree| (tree, Phase::Learning(Tracker::new(now)))).into();
            self.curve = Some(Curve::new(now, &config.convergence));
        }
        self.sample(now, config);
        if now >= self.next_check {
            self.check(now, config);
            self.next_check = now.saturating_add(CHECK);
        }
    }

    /// Takes an event that is not like one before.
    fn look_at(&mut self, event: &Event, recall: Recall, around: &Surroundings<'_>) -> Result<()> {
        if matches!((event, &recall), (Event::File(_), Recall::New(_))) {
            // The trees may grow by it.
            self.settle_owed();
        }
        let mut observations = std::mem::take(&mut self.scratch);
        self.observer.observe(event, &around.context, &mut observations);
        let beyond = self.volume(event, around);
        let ruling = self.ruling(event, beyond.minute, around);
        if observations.is_empty() {
            self.outside(event, &ruling, around);
            self.beyond_forecast(event, beyond, around);
        }
        let (mut seen, mut known) = (Vec::new(), !ruling.heard);
        let edition = self.doings.edition;
        for observation in observations.drain(..) {
            match self.take(event, &observation, &ruling, around)? {
                Some(species) => seen.push(Seen { steps: observation.steps, species }),
                None => known = false,
            }
        }
        self.scratch = observations;
        // What the second path of a rename makes of the tree may change the pattern of the first.
        known &= seen.len() < 2 || edition == self.doings.edition;
        if let Event::File(file) = event
            && known
        {
            self.remember(file, recall, &seen);
        }
        Ok(())
    }

    /// The pattern that the observation belongs to, if the tree knows it from now on and nothing is to be said of it; only that
    /// of a tree that learns means something.
    fn take(
        &mut self,
        event: &Event,
        observation: &Observation,
        ruling: &Ruling,
        around: &Surroundings<'_>,
    ) -> Result<Option<u64>> {
        let hit = ruling.is_high_confidence();
        self.counts.observations += 1;
        if let Some(replicas) = &mut self.replicas {
            replicas.see(observation, around.config);
        }
        let tunes = self.converges && around.config.convergence.after == After::Tune;
        if tunes {
            self.tuning.heard(&observation.container, observation.ts);
        }
        if self.unknown {
            self.folds.add(observation, Departure::plain(DeviationKind::UnknownImage, 0), ruling);
            self.unknown = false;
        }
        let locked = matches!(self.phases.get(&observation.tree), Some(Phase::Locked(_)));
        if locked {
            self.since.entry(observation.tree).or_default().see();
        }
        let taint = self.taint(observation.exec_id, around);
        if !locked && !hit && taint.is_none() {
            let learned = self.learn(observation, around.config);
            if ruling.met {
                self.folds.add(observation, known_but_hit(observation), ruling);
            }
            return Ok(Some(learned.species));
        }
        let mut departure = None;
        // While a baseline is learned, nobody asks.
        if locked || (self.converges && (hit || taint == Some(true))) {
            departure = self.profile.departure(observation, &around.tiers)?;
        }
        if !locked {
            self.counts.withheld += 1;
        }
        let mut ruling = Cow::Borrowed(ruling);
        if let Some(departure) = departure.as_ref().filter(|_| around.rules.judges_deviations()) {
            let what = Said { deviation: Some((observation.tree, departure.kind)), beyond: None };
            let further = timing::each(Part::Rules, || self.memory.judge(event, what, around.rules, &around.context));
            if !further.verdicts.is_empty() {
                ruling.to_mut().extend(further);
            }
        }
        let (ruling, hit) = (&*ruling, ruling.is_high_confidence());
        if departure.is_none() && (hit || ruling.met) {
            departure = Some(known_but_hit(observation));
        }
        let Some(departure) = departure else { return Ok(locked.then_some(0)) };
        self.counts.deviating += 1;
        if let Some(since) = self.since.get_mut(&observation.tree).filter(|_| locked && !hit && taint != Some(true)) {
            since.departed(observation);
        }
        if hit || observation.tree == Tree::Process {
            self.strike(observation, hit, around);
        }
        if tunes && locked && !ruling.is_suspect() && taint != Some(true) {
            let config = &around.config.tuning;
            match self.tuning.see(observation, departure.kind, around.context.processes, config) {
                Fate::Grave => self.counts.grave += 1,
                Fate::Waits => {}
                Fate::TakenIn => {
                    self.profile.learn(observation, around.config);
                }
            }
        }
        self.folds.add(observation, departure, ruling);
        Ok(None)
    }

    fn learn(&mut self, observation: &Observation, config: &Config) -> Learned {
        self.counts.learned += 1;
        let learned = self.profile.learn(observation, config);
        self.doings.edition += u64::from(learned.grew && observation.tree == Tree::File);
        if let Some(Phase::Learning(tracker)) = self.phases.get_mut(&observation.tree) {
            tracker.observe(observation.ts - self.shift, learned);
        }
        learned
    }

    /// Locks the trees that have converged at `now`, a time of learning; of a baseline, notes that they have.
    fn check(&mut self, now: i64, config: &Config) {
        let learns = self.learns_traffic();
        self.check_trees(now, config);
        if learns && !self.learns_traffic() {
            self.traffic_learned(now + self.shift);
            self.seal_traffic(config);
        }
    }

    fn learns_traffic(&self) -> bool {
        matches!(self.phases.get(&Tree::Network), Some(Phase::Learning(_)))
    }

    fn check_trees(&mut self, now: i64, config: &Config) {
        for (tree, phase) in &mut self.phases {
            let Phase::Learning(tracker) = phase else { continue };
            if !self.converges {
                if let Some(curve) = &mut self.curve {
                    curve.ask(now, *tree, tracker, &config.convergence);
                }
                continue;
            }
            tracker.trim(now, &config.convergence);
            if let Some(decided_by) = convergence::decide(tracker, now, &config.convergence) {
                if let Some(curve) = &mut self.curve {
                    curve.sample(now, std::iter::once((*tree, &mut *tracker)), &self.profile, &config.convergence);
                }
                if *tree == Tree::Process && config.convergence.after == After::Tune {
                    self.tuning.lock(&self.profile.process);
                }
                *phase = Phase::Locked(LockedTree { at: Some(now), decided_by, learned: tracker.learned() });
            }
        }
    }

    /// Brings the learning curve up to `now`, a time of learning.
    fn sample(&mut self, now: i64, config: &Config) {
        let Some(curve) = &mut self.curve else { return };
        while let Some(at) = curve.due(now) {
            if self.phases.values().all(|phase| matches!(phase, Phase::Locked(_))) {
                return curve.end();
            }
            let trackers = self.phases.iter_mut().filter_map(|(tree, phase)| match phase {
                Phase::Learning(tracker) => Some((*tree, tracker)),
                Phase::Locked(_) => None,
            });
            curve.sample(at, trackers, &self.profile, &config.convergence);
        }
    }
}

/// A rule hit something that the profile knows: the last step is what it hit.
fn known_but_hit(observation: &Observation) -> Departure {
    let (kind, at) = match observation.tree {
        Tree::Process => (DeviationKind::NewArguments, 3),
        Tree::File => (DeviationKind::NewFileOperation, observation.steps.len()),
        Tree::Network => (DeviationKind::NewPeer, 3),
    };
    Departure::plain(kind, at)
}
