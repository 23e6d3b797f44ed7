//! Whom rules of high confidence hit, before anything is learned.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use datasets::{Event, Given, Recording};
use foldhash::fast::RandomState;
use rayon::prelude::*;
use record_bpf::Class;

use super::actors::Actors;
use super::alike::{FileKey, RuleKey, of_one_process};
use super::ruling::Rules;
use super::{CHUNK, World, columns};
use crate::engines::sight::{FieldSet, Sight};
use crate::engines::sigma_fields::Known;
use crate::error::Result;

/// The classes in which a rule may hit what is not to be learned.
const RULED: [Class; 5] = [Class::Process, Class::File, Class::Network, Class::Dns, Class::Security];

/// Kinds of events remembered before all are forgotten: some tens of megabytes.
const MOST: usize = 1 << 16;

/// The incarnations of a recording that a rule of high confidence hits sooner or later, but for the long-lived ones that a
/// container begins with: of a service, what came before the hit is still its own doing.
///
/// # Errors
/// Unreadable events.
pub fn hit_by_rules(recording: &Recording, world: &World, rules: &dyn Rules) -> Result<BTreeSet<u64>> {
    let (mut hit, mut harmless) = (BTreeSet::new(), Harmless::default());
    let mut events = recording.events_with(&RULED, columns::of).given();
    loop {
        let (mut taken, mut asked) = (0, Vec::new());
        for event in events.by_ref().take(CHUNK) {
            taken += 1;
            asked.extend(harmless.ask(event?, world, rules));
        }
        if taken == 0 {
            return Ok(hit);
        }
        let judge = |Asked { event, .. }: &Asked| {
            let hits = rules.hits(event, Known::default());
            hits.iter().any(|hit| !hit.silent && hit.level.is_high_confidence())
        };
        let severe: Vec<bool> = asked.par_iter().map(judge).collect();
        for (asked, severe) in asked.into_iter().zip(severe) {
            if !severe {
                harmless.remember(asked);
            } else if let Some(id) = asked.event.common().exec_id.filter(|id| world.processes.was_started(*id)) {
                hit.insert(id);
            }
        }
    }
}

/// Events that were judged before, and that no rule of high confidence hit.
#[derive(Default)]
struct Harmless {
    actors: Actors,
    /// With the texts that the keys name.
    known: HashMap<Key, Box<[Arc<str>]>, RandomState>,
}

#[derive(PartialEq, Eq, Hash)]
enum Key {
    File(FileKey),
    Other(RuleKey),
}

/// An event to judge, and what others are like it by.
struct Asked {
    event: Event,
    key: Option<(Key, FieldSet)>,
}

impl Harmless {
    /// The event, if it is not known what rules say of it.
    fn ask(&mut self, given: Given, world: &World, rules: &dyn Rules) -> Option<Asked> {
        let Harmless { actors, known } = self;
        let sight = match &given {
            Given::File(row) => rules.sight_of_file(&row.look()),
            Given::Network(row) => rules.sight_of_network(&row.look()),
            Given::Event(event) => rules.sight(event),
        };
        let fields = match sight {
            Sight::Nothing => return None,
            Sight::Fields(fields) if !of_one_process(fields) => Some(fields),
            Sight::Fields(_) | Sight::Everything => None,
        };
        let key = fields.and_then(|fields| {
            let key = match &given {
                Given::File(row) => Key::File(FileKey::of(&row.look(), fields, actors, &world.processes)),
                Given::Network(row) => Key::Other(RuleKey::of_network(&row.look(), fields, actors, &world.processes)?),
                Given::Event(event) => Key::Other(RuleKey::of(event, fields, None, actors, &world.processes)?),
            };
            Some((key, fields))
        });
        if key.as_ref().is_some_and(|(key, _)| known.contains_key(key)) {
            return None;
        }
        Some(Asked { event: given.into_event(), key })
    }

    fn remember(&mut self, Asked { event, key }: Asked) {
        let Some((key, fields)) = key else { return };
        let held = match &event {
            Event::File(file) => {
                let texts = [&file.path, &file.new_path, &file.common.container];
                texts.into_iter().flatten().cloned().collect()
            }
            event => RuleKey::held(event, fields),
        };
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(key, held.into());
    }
}
