//! All events of a recording in one order: a merge of sorted segments, each opened when its time comes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use record_bpf::Class;
use record_bpf::schema::Column;

use crate::codec::{BadColumn, Codec, Source, Strings};
use crate::given::{FileRow, Given, NetworkRow};
use crate::manifest::{Manifest, Segment};
use crate::model::{
    DnsEvent, Event, FileEvent, FlowEvent, NetworkEvent, ProcessEvent, ResourceEvent, SecurityEvent, SyscallEvent,
    TlsEvent, for_each_class,
};
use crate::parquet_read::Batches;
use crate::read::{bad_value, class_columns};
use crate::{Error, Result, store};

/// Where an event stands in the recording's order.
pub(crate) type Key = (i64, u16, u64);

/// The names of the columns that are read of a class. Of the others an event has nothing: `None`, 0, false, empty.
pub type Columns = fn(Class) -> &'static [&'static str];

/// Read whatever is asked for: they give an event its place and its kind.
const ALWAYS: [&str; 4] = ["ts", "cpu", "seq", "op"];

/// A segment that may be opened later: nothing in it is before `first_ts`.
struct Waiting {
    first_ts: i64,
    class: Class,
    path: PathBuf,
}

/// Iterator over the events of a recording in (ts, cpu, seq) order. See [`Recording::events`](crate::Recording::events).
pub struct Events {
    /// By `first_ts`.
    waiting: VecDeque<Waiting>,
    /// Slots of finished segments are used again.
    open: Vec<Option<Cursor>>,
    heap: BinaryHeap<Reverse<(Key, usize)>>,
    strings: [Strings; Class::ALL.len()],
    columns: Option<Columns>,
    failed: bool,
}

impl Events {
    /// `columns`: `None` reads all.
    pub(crate) fn new(dir: &Path, manifest: &Manifest, classes: &[Class], columns: Option<Columns>) -> Events {
        Events { columns, ..Events::of(dir, manifest, classes, |_| true) }
    }

    /// With all columns, of the segments that `keeps` wants.
    pub(crate) fn of(dir: &Path, manifest: &Manifest, classes: &[Class], keeps: impl Fn(&Segment) -> bool) -> Events {
        let mut waiting: Vec<Waiting> = classes
            .iter()
            .flat_map(|class| manifest.class_segments(*class).map(move |segment| (*class, segment)))
            .filter(|(_, segment)| keeps(segment))
            .map(|(class, segment)| Waiting { first_ts: segment.first_ts, class, path: dir.join(&segment.file) })
            .collect();
        waiting.sort_by_key(|segment| segment.first_ts);
        Events {
            waiting: waiting.into(),
            open: Vec::new(),
            heap: BinaryHeap::new(),
            strings: Default::default(),
            columns: None,
            failed: false,
        }
    }

    /// Opens every segment that may hold the next event.
    fn open_due(&mut self) -> Result<()> {
        while let Some(next) = self.waiting.front() {
            if self.heap.peek().is_some_and(|Reverse(((ts, ..), _))| *ts < next.first_ts) {
                break;
            }
            store::ahead(self.waiting.iter().map(|waiting| waiting.path.as_path()));
            let Some(Waiting { first_ts, class, path }) = self.waiting.pop_front() else { break };
            let cursor = Cursor::open(&path, class, first_ts, self.columns, strings(&mut self.strings, class))?;
            let Some(cursor) = cursor else { continue };
            let key = cursor.key();
            let slot = match self.open.iter().position(Option::is_none) {
                Some(slot) => slot,
                None => {
                    self.open.push(None);
                    self.open.len() - 1
                }
            };
            self.open[slot] = Some(cursor);
            self.heap.push(Reverse((key, slot)));
        }
        Ok(())
    }

    /// The same events, those of which there are the most as they lie in their columns.
    pub fn given(mut self) -> impl Iterator<Item = Result<Given>> {
        std::iter::from_fn(move || self.next_given())
    }

    /// The next one of [`given`](Self::given).
    pub fn next_given(&mut self) -> Option<Result<Given>> {
        self.next_of(Cursor::given)
    }

    fn next_of<T>(&mut self, take: impl FnOnce(&Cursor) -> T) -> Option<Result<T>> {
        if self.failed {
            return None;
        }
        let step = self.step(take);
        self.failed = step.is_err();
        step.transpose()
    }

    #[inline]
    fn step<T>(&mut self, take: impl FnOnce(&Cursor) -> T) -> Result<Option<T>> {
        self.open_due()?;
        let Some(mut top) = self.heap.peek_mut() else { return Ok(None) };
        let slot = top.0.1;
        // A slot on the heap is always filled; were it not, there is nothing more to give.
        let Some(cursor) = self.open[slot].as_mut() else { return Ok(None) };
        let event = take(cursor);
        if cursor.advance(strings(&mut self.strings, cursor.class))? {
            top.0.0 = cursor.key();
        } else {
            std::collections::binary_heap::PeekMut::pop(top);
            self.open[slot] = None;
        }
        Ok(Some(event))
    }
}

fn strings(all: &mut [Strings; Class::ALL.len()], class: Class) -> &mut Strings {
    &mut all[class as usize]
}

impl Iterator for Events {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_of(Cursor::event)
    }
}

/// A place in an open segment; always at a row.
pub(crate) struct Cursor {
    class: Class,
    batches: Batches,
    rows: Rows,
    row: usize,
    /// Of that row.
    key: Key,
    rows_in_batch: usize,
    /// Rows of the batches before this one.
    before: u64,
}

macro_rules! rows {
    ($($class:ident $row:ident $field:ident,)*) => {
        /// The columns of a batch, each checked against the schema.
        pub(crate) enum Rows { $($class(Arc<<$row as Codec>::Reader>),)* }

        impl Rows {
            fn read(source: &mut Source<'_>, class: Class) -> Result<Rows, BadColumn> {
                Ok(match class { $(Class::$class => Rows::$class(Arc::new($row::reader(source)?)),)* })
            }

            pub(crate) fn key(&self, row: usize) -> Key {
                match self { $(Rows::$class(rows) => rows.common.key(row),)* }
            }

            pub(crate) fn event(&self, row: usize) -> Event {
                match self { $(Rows::$class(rows) => Event::$class($row::get(rows, row)),)* }
            }
        }
    };
}
for_each_class!(rows);

impl Cursor {
    /// `None`: the segment has no rows. `columns`: as of [`Events::new`].
    pub(crate) fn open(
        path: &Path,
        class: Class,
        first_ts: i64,
        columns: Option<Columns>,
        strings: &mut Strings,
    ) -> Result<Option<Cursor>> {
        let names = columns.map(|columns| columns(class));
        let wanted =
            |column: &Column| names.is_none_or(|names| ALWAYS.contains(&column.name) || names.contains(&column.name));
        let mut batches = Batches::open_some(path, class_columns(class), &wanted)?;
        let Some((rows, rows_in_batch)) = decode(&mut batches, class, strings)? else { return Ok(None) };
        let key = rows.key(0);
        let cursor = Cursor { class, batches, rows, row: 0, key, rows_in_batch, before: 0 };
        // The merge opened this segment on the manifest's word.
        if cursor.key().0 < first_ts {
            return Err(Error::Order { path: path.to_owned(), row: 0 });
        }
        Ok(Some(cursor))
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    pub(crate) fn event(&self) -> Event {
        self.rows.event(self.row)
    }

    fn given(&self) -> Given {
        match &self.rows {
            Rows::File(rows) => Given::File(FileRow::new(Arc::clone(rows), self.row)),
            Rows::Network(rows) if NetworkRow::is_given(rows, self.row) => {
                Given::Network(NetworkRow::new(Arc::clone(rows), self.row))
            }
            rows => Given::Event(Box::new(rows.event(self.row))),
        }
    }

    /// Moves to the next row; `false`: there is none.
    pub(crate) fn advance(&mut self, strings: &mut Strings) -> Result<bool> {
        let last = self.key;
        self.row += 1;
        if self.row == self.rows_in_batch {
            let Some((rows, rows_in_batch)) = decode(&mut self.batches, self.class, strings)? else { return Ok(false) };
            self.before += self.rows_in_batch as u64;
            (self.rows, self.rows_in_batch, self.row) = (rows, rows_in_batch, 0);
        }
        self.key = self.rows.key(self.row);
        if self.key < last {
            let row = self.before + self.row as u64;
            return Err(Error::Order { path: self.batches.path().to_owned(), row });
        }
        Ok(true)
    }
}

/// The next batch that has rows.
pub(crate) fn decode(batches: &mut Batches, class: Class, strings: &mut Strings) -> Result<Option<(Rows, usize)>> {
    let batch = match batches.find(|batch| batch.as_ref().map_or(true, |batch| batch.num_rows() > 0)) {
        Some(batch) => batch?,
        None => return Ok(None),
    };
    let rows = read_rows(&batch, class, strings).map_err(|bad| bad_value(batches.path(), bad))?;
    Ok(Some((rows, batch.num_rows())))
}

pub(crate) fn read_rows(batch: &RecordBatch, class: Class, strings: &mut Strings) -> Result<Rows, BadColumn> {
    Rows::read(&mut Source { batch, next: 0, class: Some(class), strings }, class)
}
