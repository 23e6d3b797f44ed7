//! What an image did before, so that the same again costs a look-up: no path is taken apart, no tree walked, no rule asked.
//!
//! Most events of a service are of this kind. Only what no rule spoke of and all trees knew is remembered, by everything that
//! the answers depend on (who acts, as [`Actors`] tell them apart; the container; the values that rules and trees look at),
//! so it is exact. What an event adds to the counts of trees is owed, and paid before a tree grows: then it may be another path
//! that the events belong to.

use std::collections::HashMap;
use std::sync::Arc;

use datasets::{Event, FileEvent, FileLook, NetworkLook};
use foldhash::fast::RandomState;

use super::{ImageState, Phase, Surroundings};
use crate::config::After;
use crate::deviation::Tree;
use crate::engines::sight::{FieldSet, Sight};
use crate::observe::{self, HOST};
use crate::pipeline::actors::Actors;
use crate::pipeline::alike::{FileKey, RuleKey, of_one_process};
use crate::pipeline::ruling::{Ruling, Said};
use crate::profile::Learned;
use crate::timing::{self, Part};

/// Doings remembered before all are forgotten: some tens of megabytes.
const MOST: usize = 1 << 16;

/// What an image did.
#[derive(Default)]
pub(super) struct Doings {
    actors: Actors,
    files: HashMap<FileKey, usize, RandomState>,
    known: Vec<Doing>,
    /// Of `known`, those that owe events.
    debtors: Vec<usize>,
    /// Of the file tree: another one each time that it grows.
    pub(super) edition: u64,
    /// Events that no rule spoke of, with the texts that their keys name.
    silent: HashMap<RuleKey, Box<[Arc<str>]>, RandomState>,
}

/// An event of class file that was seen before.
struct Doing {
    /// The texts that its key names.
    _held: [Option<Arc<str>>; 3],
    container: Arc<str>,
    /// What it is in the file tree.
    paths: Box<[Seen]>,
    /// The edition that the species are of.
    edition: u64,
    /// Events that the image's tree, and the replica's, do not count yet.
    owed: u64,
    owed_to_replica: u64,
}

/// A path through the tree, and the pattern that it belongs to while the tree is learned.
#[derive(Clone)]
pub(super) struct Seen {
    pub steps: Arc<[Arc<str>]>,
    pub species: u64,
}

/// Whether an event was seen before.
pub(super) enum Recall {
    /// It was, and is taken.
    Taken,
    /// It was; the tree grew since.
    Known(usize),
    /// It was not, or too much hangs on it.
    New(Option<FileKey>),
}

impl Doings {
    /// No rule spoke of an event.
    fn was_silent(&mut self, event: &Event, fields: FieldSet, key: RuleKey) {
        if self.silent.len() >= MOST {
            self.silent.clear();
        }
        self.silent.insert(key, RuleKey::held(event, fields).into());
    }

    fn owe(&mut self, at: usize, tree: bool, replica: bool) {
        let doing = &mut self.known[at];
        if doing.owed == 0 && doing.owed_to_replica == 0 && (tree || replica) {
            self.debtors.push(at);
        }
        doing.owed += u64::from(tree);
        doing.owed_to_replica += u64::from(replica);
    }
}

impl ImageState {
    /// Takes an event of class file that is like one before.
    pub(super) fn recall(&mut self, look: &FileLook<'_>, around: &Surroundings<'_>) -> Recall {
        let fields = match around.rules.sight_of_file(look) {
            // A close, mostly: neither tree nor rule wants it.
            Sight::Nothing if observe::file::operation(look).is_none() => return Recall::Taken,
            Sight::Nothing => FieldSet::default(),
            Sight::Fields(fields) if !of_one_process(fields) => fields,
            Sight::Fields(_) | Sight::Everything => return Recall::New(None),
        };
        if self.unknown {
            return Recall::New(None);
        }
        let key = FileKey::of(look, fields, &mut self.doings.actors, around.context.processes);
        let Some(&at) = self.doings.files.get(&key) else { return Recall::New(Some(key)) };
        if self.doings.known[at].paths.is_empty() {
            return Recall::Taken;
        }
        let taint = self.taint(look.exec_id, around);
        let learns = match self.phases.get(&Tree::File) {
            Some(Phase::Locked(_)) => false,
            Some(Phase::Learning(_)) if taint.is_none() => true,
            _ => return Recall::Known(at),
        };
        if learns && self.doings.known[at].edition != self.doings.edition {
            return Recall::Known(at);
        }
        self.doings.owe(at, learns, self.replicas.is_some());
        let Doing { paths, container, .. } = &self.doings.known[at];
        let events = paths.len() as u64;
        self.counts.observations += events;
        if self.converges && around.config.convergence.after == After::Tune {
            self.tuning.heard(container, look.ts);
        }
        match self.phases.get_mut(&Tree::File) {
            Some(Phase::Learning(tracker)) => {
                self.counts.learned += events;
                for Seen { species, .. } in paths {
                    let learned = Learned { new: false, grew: false, species: *species };
                    tracker.observe(look.ts - self.shift, learned);
                }
            }
            _ => {
                let since = self.since.entry(Tree::File).or_default();
                paths.iter().for_each(|_| since.see());
            }
        }
        Recall::Taken
    }

    /// Remembers an event of class file that no rule spoke of and the tree knew; `seen`: its paths.
    pub(super) fn remember(&mut self, event: &FileEvent, recall: Recall, seen: &[Seen]) {
        let doings = &mut self.doings;
        match recall {
            Recall::Taken | Recall::New(None) => {}
            Recall::Known(at) => {
                let doing = &mut doings.known[at];
                doing.edition = doings.edition;
                doing.paths = seen.into();
            }
            Recall::New(Some(key)) => {
                if doings.known.len() >= MOST {
                    self.forget_doings();
                }
                let doings = &mut self.doings;
                let container = event.common.container.clone();
                doings.files.insert(key, doings.known.len());
                doings.known.push(Doing {
                    container: container.clone().unwrap_or_else(|| HOST.into()),
                    _held: [event.path.clone(), event.new_path.clone(), container],
                    paths: seen.into(),
                    edition: doings.edition,
                    owed: 0,
                    owed_to_replica: 0,
                });
            }
        }
    }

    /// Adds what is owed to the trees.
    pub fn settle_owed(&mut self) {
        while let Some(at) = self.doings.debtors.pop() {
            let Doing { container, paths, owed, owed_to_replica, .. } = &mut self.doings.known[at];
            let (owed, owed_to_replica) = (std::mem::take(owed), std::mem::take(owed_to_replica));
            for Seen { steps, .. } in paths {
                if owed > 0 {
                    self.profile.count(Tree::File, steps, owed);
                }
                if let Some(replicas) = self.replicas.as_mut().filter(|_| owed_to_replica > 0) {
                    replicas.count(container, Tree::File, steps, owed_to_replica);
                }
            }
        }
    }

    /// Forgets what it did, as what is known of processes, or the rules, may be others from now on.
    pub fn forget_doings(&mut self) {
        self.settle_owed();
        self.observer.forget_words();
        let Doings { actors, files, known, debtors: _, edition: _, silent } = &mut self.doings;
        actors.clear();
        files.clear();
        known.clear();
        silent.clear();
    }

    /// Whether no rule speaks of an event that no tree describes, as none spoke of one like it.
    pub(super) fn is_silent(&mut self, look: &NetworkLook<'_>, around: &Surroundings<'_>) -> bool {
        let fields = match around.rules.sight_of_network(look) {
            Sight::Nothing => return true,
            Sight::Fields(fields) => fields,
            Sight::Everything => return false,
        };
        let key = RuleKey::of_network(look, fields, &mut self.doings.actors, around.context.processes);
        key.is_some_and(|key| self.doings.silent.contains_key(&key))
    }

    /// What the rules say of an event. `beyond`: bytes that were sent beyond what the profile allows.
    pub(super) fn ruling(&mut self, event: &Event, beyond: Option<u64>, around: &Surroundings<'_>) -> Ruling {
        let fields = match (event, around.rules.sight(event)) {
            (Event::Network(_), Sight::Fields(fields)) => Some(fields),
            _ => None,
        };
        let (actors, processes) = (&mut self.doings.actors, around.context.processes);
        let key = fields.and_then(|fields| Some((fields, RuleKey::of(event, fields, beyond, actors, processes)?)));
        if key.as_ref().is_some_and(|(_, key)| self.doings.silent.contains_key(key)) {
            return Ruling::default();
        }
        let said = Said { deviation: None, beyond };
        let ruling = timing::each(Part::Rules, || self.memory.judge(event, said, around.rules, &around.context));
        if let Some((fields, key)) = key.filter(|_| !ruling.heard) {
            self.doings.was_silent(event, fields, key);
        }
        ruling
    }
}
