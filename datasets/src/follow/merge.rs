//! Rows from journals and segments in one order, up to a moment.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::path::{Path, PathBuf};

use record_bpf::Class;
use roaring::RoaringTreemap;

use crate::codec::Strings;
use crate::events::{Cursor, Key, Rows, read_rows};
use crate::model::Event;
use crate::open::Columns;
use crate::read::{bad_value, class_columns};
use crate::{Error, Result, journal};

/// Sequence numbers by CPU: rows that were given out already.
pub(super) type Given = BTreeMap<u16, RoaringTreemap>;

#[derive(Default)]
pub(super) struct Merge {
    /// Segments of which nothing was given yet, by their first `ts`: opened when their time comes.
    waiting: VecDeque<(i64, Class, PathBuf)>,
    /// Slots of finished sources are used again.
    sources: Vec<Option<Source>>,
    heap: BinaryHeap<Reverse<(Key, usize)>>,
    strings: [Strings; Class::ALL.len()],
    last: Option<Key>,
    late: u64,
    gone: u64,
}

/// A place in a source; always at a row.
enum Source {
    Segment {
        class: Class,
        cursor: Box<Cursor>,
        given: Given,
    },
    /// A batch of a journal, in the order of `order`.
    Batch {
        rows: Rows,
        order: Vec<u32>,
        at: usize,
    },
}

impl Source {
    fn key(&self) -> Key {
        match self {
            Source::Segment { cursor, .. } => cursor.key(),
            Source::Batch { rows, order, at } => rows.key(order[*at] as usize),
        }
    }

    fn event(&self) -> Event {
        match self {
            Source::Segment { cursor, .. } => cursor.event(),
            Source::Batch { rows, order, at } => rows.event(order[*at] as usize),
        }
    }

    /// Moves to the next row that was not given; `false`: there is none.
    fn advance(&mut self, strings: &mut [Strings; Class::ALL.len()]) -> Result<bool> {
        match self {
            Source::Batch { order, at, .. } => {
                *at += 1;
                Ok(*at < order.len())
            }
            Source::Segment { class, cursor, given } => {
                while cursor.advance(&mut strings[*class as usize])? {
                    if !was_given(given, cursor.key()) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

fn was_given(given: &Given, (_, cpu, seq): Key) -> bool {
    given.get(&cpu).is_some_and(|seqs| seqs.contains(seq))
}

impl Merge {
    /// Adds whole segments: class, first `ts` and file.
    pub(super) fn add_segments(&mut self, segments: impl IntoIterator<Item = (i64, Class, PathBuf)>) {
        self.waiting.extend(segments);
        self.waiting.make_contiguous().sort_unstable_by_key(|(first_ts, ..)| *first_ts);
    }

    /// Adds what is left of a segment.
    pub(super) fn add_rest(&mut self, path: &Path, class: Class, given: Given) -> Result<()> {
        let Some(cursor) = Cursor::open(path, class, i64::MIN, None, &mut self.strings[class as usize])? else {
            return Ok(());
        };
        let first_is_given = was_given(&given, cursor.key());
        let mut source = Source::Segment { class, cursor: Box::new(cursor), given };
        if !first_is_given || source.advance(&mut self.strings)? {
            self.add(source);
        }
        Ok(())
    }

    /// Adds rows of a journal, and notes in `given` that they are; returns how many there were.
    pub(super) fn add_batch(&mut self, path: &Path, class: Class, columns: Columns, given: &mut Given) -> Result<u64> {
        let batch = journal::record_batch(path, class_columns(class), columns)?;
        let rows = read_rows(&batch, class, &mut self.strings[class as usize]).map_err(|bad| bad_value(path, bad))?;
        let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
        order.sort_by_key(|row| rows.key(*row as usize));
        for row in &order {
            let (_, cpu, seq) = rows.key(*row as usize);
            given.entry(cpu).or_default().insert(seq);
        }
        let count = order.len() as u64;
        if count > 0 {
            self.add(Source::Batch { rows, order, at: 0 });
        }
        Ok(count)
    }

    fn add(&mut self, source: Source) {
        let slot = self.sources.iter().position(Option::is_none).unwrap_or_else(|| {
            self.sources.push(None);
            self.sources.len() - 1
        });
        self.heap.push(Reverse((source.key(), slot)));
        self.sources[slot] = Some(source);
    }

    /// The next event before `until`, Unix time, ns.
    pub(super) fn next(&mut self, until: i64) -> Result<Option<Event>> {
        while let Some((first_ts, ..)) = self.waiting.front()
            && *first_ts < until
            && self.heap.peek().is_none_or(|Reverse(((ts, ..), _))| first_ts <= ts)
            && let Some((_, class, path)) = self.waiting.pop_front()
        {
            match self.add_rest(&path, class, Given::new()) {
                Err(Error::MissingFile { .. }) => self.gone += 1,
                added => added?,
            }
        }
        let Some(mut top) = self.heap.peek_mut() else { return Ok(None) };
        let Reverse((key, slot)) = *top;
        if key.0 >= until {
            return Ok(None);
        }
        // A slot on the heap is always filled; were it not, there is nothing more to give.
        let Some(source) = self.sources[slot].as_mut() else { return Ok(None) };
        let event = source.event();
        if source.advance(&mut self.strings)? {
            top.0.0 = source.key();
        } else {
            std::collections::binary_heap::PeekMut::pop(top);
            self.sources[slot] = None;
        }
        if self.last.is_some_and(|last| key < last) {
            self.late += 1;
        } else {
            self.last = Some(key);
        }
        Ok(Some(event))
    }

    /// Segments that were removed, to make room, before their time came.
    pub(super) fn gone(&self) -> u64 {
        self.gone
    }

    /// Events given after others that come later in time: they were not on disk when they should have been.
    pub(super) fn late(&self) -> u64 {
        self.late
    }
}
