//! What an image did before, so that the same again costs a look-up: no path is taken apart, no tree walked, no rule asked.
//!
//! Most events of a service are of this kind. Only what no rule spoke of and all trees knew is remembered, by everything that
//! the answers depend on (who acts, as [`Actors`] tell them apart; the container; the values that rules and trees look at),
//! so it is exact. What an event adds to the counts of trees is owed, and paid before a tree grows: then it may be another path
//! that the events belong to.

use std::collections::HashMap;
use std::sync::Arc;

use datasets::{Event, FileEvent};
use foldhash::fast::RandomState;
use record_bpf::Kind;

use super::{ImageState, Phase, Surroundings};
use crate::config::After;
use crate::deviation::Tree;
use crate::engines::sight::{FieldSet, Sight, Word, place};
use crate::engines::sigma_fields::Field;
use crate::engines::sigma_values::word;
use crate::observe::{self, HOST};
use crate::pipeline::actors::Actors;
use crate::pipeline::ruling::{Ruling, Said};
use crate::profile::Learned;
use crate::timing::{self, Part};

/// Doings remembered before all are forgotten: some tens of megabytes.
const MOST: usize = 1 << 16;
/// Values that rules look at, at most; an event of which they see more is shown to them.
const WORDS: usize = 8;

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

/// What of an event of class file its paths and the rules' answers depend on. Texts by their place.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileKey {
    kind: Kind,
    actor: u64,
    container: usize,
    path: usize,
    new_path: usize,
    ret: i32,
    flags: Option<u32>,
    mode: Option<u32>,
}

/// What of an event the rules' answers depend on.
#[derive(PartialEq, Eq, Hash)]
struct RuleKey {
    kind: Kind,
    actor: u64,
    container: usize,
    beyond: Option<u64>,
    words: [Word; WORDS],
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
    /// What the rules can see of an event; `None`: more than can be told.
    fn rule_key(
        &mut self,
        event: &Event,
        fields: FieldSet,
        beyond: Option<u64>,
        around: &Surroundings<'_>,
    ) -> Option<RuleKey> {
        if of_one_process(fields) {
            return None;
        }
        let common = event.common();
        let mut words = [Word::Nothing; WORDS];
        let mut places = words.iter_mut();
        for field in fields.iter() {
            *places.next()? = word(event, field, |_| ())?;
        }
        Some(RuleKey {
            kind: common.kind,
            actor: self.actors.number(common.exec_id, around.context.processes),
            container: common.container.as_ref().map_or(0, place),
            beyond,
            words,
        })
    }

    /// No rule spoke of an event.
    fn was_silent(&mut self, event: &Event, fields: FieldSet, key: RuleKey) {
        if self.silent.len() >= MOST {
            self.silent.clear();
        }
        let mut held: Vec<Arc<str>> = event.common().container.iter().cloned().collect();
        for field in fields.iter() {
            word(event, field, |text| held.push(Arc::clone(text)));
        }
        self.silent.insert(key, held.into());
    }

    fn file_key(&mut self, event: &FileEvent, fields: FieldSet, around: &Surroundings<'_>) -> FileKey {
        let common = &event.common;
        let succeeded = event.ret >= 0 && !fields.contains(Field::Result);
        FileKey {
            kind: common.kind,
            actor: self.actors.number(common.exec_id, around.context.processes),
            container: common.container.as_ref().map_or(0, place),
            path: event.path.as_ref().map_or(0, place),
            new_path: event.new_path.as_ref().map_or(0, place),
            ret: if succeeded { 0 } else { event.ret },
            flags: event.flags,
            mode: event.mode,
        }
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

/// Whether answers hang on which process it is, and not on what it looks like alone.
fn of_one_process(fields: FieldSet) -> bool {
    fields.contains(Field::ProcessGuid) || fields.contains(Field::ProcessTree)
}

impl ImageState {
    /// Takes an event of class file that is like one before.
    pub(super) fn recall(&mut self, event: &Event, around: &Surroundings<'_>) -> Recall {
        let Event::File(file) = event else { return Recall::New(None) };
        let fields = match around.rules.sight(event) {
            // A close, mostly: neither tree nor rule wants it.
            Sight::Nothing if observe::file::operation(file).is_none() => return Recall::Taken,
            Sight::Nothing => FieldSet::default(),
            Sight::Fields(fields) if !of_one_process(fields) => fields,
            Sight::Fields(_) | Sight::Everything => return Recall::New(None),
        };
        if self.unknown {
            return Recall::New(None);
        }
        let key = self.doings.file_key(file, fields, around);
        let Some(&at) = self.doings.files.get(&key) else { return Recall::New(Some(key)) };
        if self.doings.known[at].paths.is_empty() {
            return Recall::Taken;
        }
        let common = &file.common;
        let taint = self.taint(common.exec_id, around);
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
            self.tuning.heard(container, common.ts);
        }
        match self.phases.get_mut(&Tree::File) {
            Some(Phase::Learning(tracker)) => {
                self.counts.learned += events;
                for Seen { species, .. } in paths {
                    let learned = Learned { new: false, grew: false, species: *species };
                    tracker.observe(common.ts - self.shift, learned);
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

    /// What the rules say of an event. `beyond`: bytes that were sent beyond what the profile allows.
    pub(super) fn ruling(&mut self, event: &Event, beyond: Option<u64>, around: &Surroundings<'_>) -> Ruling {
        let fields = match (event, around.rules.sight(event)) {
            (Event::Network(_), Sight::Fields(fields)) => Some(fields),
            _ => None,
        };
        let key = fields.and_then(|fields| Some((fields, self.doings.rule_key(event, fields, beyond, around)?)));
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
