//! Rows as named values, for people and for other programs: a page of events at a time, with what the tables of processes,
//! containers and labels say of each.

mod cell;
mod joined;
mod names;
mod summary;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use record_bpf::Class;
use serde_json::Value;

use crate::model::Event;
use crate::segment;

pub use cell::printable;
pub use joined::{JOINED, joined};
pub use names::{Names, short_id};
pub use summary::summary;

/// Some events, each of which can be asked for its columns by name.
pub struct Page {
    events: Vec<Event>,
    batches: BTreeMap<Class, RecordBatch>,
    /// Of each event: its row in the batch of its class.
    at: Vec<usize>,
}

/// An event and its columns.
pub struct Row<'a> {
    pub event: &'a Event,
    batch: &'a RecordBatch,
    at: usize,
}

impl Page {
    pub fn new(events: Vec<Event>) -> Page {
        let mut rows: BTreeMap<Class, usize> = BTreeMap::new();
        let mut place = |event: &Event| {
            let next = rows.entry(event.class()).or_default();
            *next += 1;
            *next - 1
        };
        let at = events.iter().map(&mut place).collect();
        let of = |class| events.iter().filter(move |event| event.class() == class);
        let batches = rows.into_keys().map(|class| (class, segment::batch(class, of(class)))).collect();
        Page { events, batches, at }
    }

    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.events
            .iter()
            .zip(&self.at)
            .filter_map(|(event, at)| Some(Row { event, batch: self.batches.get(&event.class())?, at: *at }))
    }
}

impl Row<'_> {
    /// The value of a column of the schema: numbers as such, times as Unix ns, lists as arrays, bytes as text with `\xNN` for
    /// what is not UTF-8. `None`: the class has no such column.
    pub fn value(&self, column: &str) -> Option<Value> {
        Some(cell::cell(self.batch.column_by_name(column)?.as_ref(), self.at))
    }

    /// Every column of the class with its value, in the order of the schema.
    pub fn columns(&self) -> impl Iterator<Item = (&str, Value)> {
        let fields = self.batch.schema_ref().fields().iter();
        fields
            .zip(self.batch.columns())
            .map(|(field, array)| (field.name().as_str(), cell::cell(array.as_ref(), self.at)))
    }
}
