//! When one event is like another: by everything that the answers of rules and trees depend on. Who acts, as [`Actors`] tell them
//! apart; the container; the values that are looked at. Texts by their place, which says something as long as they are held.

use std::sync::Arc;

use datasets::{Event, FileLook, NetworkLook};
use record_bpf::Kind;

use super::actors::Actors;
use crate::engines::sight::{FieldSet, Word, place};
use crate::engines::sigma_fields::Field;
use crate::engines::sigma_values::{word, word_of_network};
use crate::observe::ProcessTable;

/// Values that rules look at, at most; an event of which they see more is shown to them.
const WORDS: usize = 8;

/// What of an event of class file its paths and the rules' answers depend on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileKey {
    kind: Kind,
    actor: u64,
    container: usize,
    path: usize,
    new_path: usize,
    ret: i32,
    flags: Option<u32>,
    mode: Option<u32>,
}

impl FileKey {
    pub fn of(look: &FileLook<'_>, fields: FieldSet, actors: &mut Actors, processes: &ProcessTable) -> FileKey {
        let succeeded = look.ret >= 0 && !fields.contains(Field::Result);
        FileKey {
            kind: look.kind,
            actor: actors.number(look.exec_id, processes),
            container: look.container.map_or(0, place),
            path: look.path.map_or(0, place),
            new_path: look.new_path.map_or(0, place),
            ret: if succeeded { 0 } else { look.ret },
            flags: look.flags,
            mode: look.mode,
        }
    }
}

/// What of an event the rules' answers depend on.
#[derive(PartialEq, Eq, Hash)]
pub struct RuleKey {
    kind: Kind,
    actor: u64,
    container: usize,
    beyond: Option<u64>,
    words: [Word; WORDS],
}

impl RuleKey {
    /// `None`: they see more than can be told.
    pub fn of(
        event: &Event,
        fields: FieldSet,
        beyond: Option<u64>,
        actors: &mut Actors,
        processes: &ProcessTable,
    ) -> Option<RuleKey> {
        let words = words(fields, |field| word(event, field, |_| ()))?;
        let common = event.common();
        Some(RuleKey {
            kind: common.kind,
            actor: actors.number(common.exec_id, processes),
            container: common.container.as_ref().map_or(0, place),
            beyond,
            words,
        })
    }

    /// The same of an event of class network by which nothing was sent.
    pub fn of_network(
        look: &NetworkLook<'_>,
        fields: FieldSet,
        actors: &mut Actors,
        processes: &ProcessTable,
    ) -> Option<RuleKey> {
        Some(RuleKey {
            words: words(fields, |field| word_of_network(look, field, |_| ()))?,
            kind: look.kind,
            actor: actors.number(look.exec_id, processes),
            container: look.container.map_or(0, place),
            beyond: None,
        })
    }

    /// The texts that the key of an event names.
    pub fn held(event: &Event, fields: FieldSet) -> Vec<Arc<str>> {
        let mut held: Vec<Arc<str>> = event.common().container.iter().cloned().collect();
        for field in fields.iter() {
            word(event, field, |text| held.push(Arc::clone(text)));
        }
        held
    }
}

fn words(fields: FieldSet, word: impl Fn(Field) -> Option<Word>) -> Option<[Word; WORDS]> {
    if of_one_process(fields) {
        return None;
    }
    let mut words = [Word::Nothing; WORDS];
    let mut places = words.iter_mut();
    for field in fields.iter() {
        *places.next()? = word(field)?;
    }
    Some(words)
}

/// Whether answers hang on which process it is, and not on what it looks like alone.
pub fn of_one_process(fields: FieldSet) -> bool {
    fields.contains(Field::ProcessGuid) || fields.contains(Field::ProcessTree)
}
