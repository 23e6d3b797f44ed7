//! The open segment of every class: rows as columns, in memory.

use std::time::Instant;

use arrow::array::{Array, ArrayRef};
use record_bpf::Class;

use crate::codec::Codec;
use crate::join::join;
use crate::model::{
    DnsEvent, Event, FileEvent, FlowEvent, NetworkEvent, ProcessEvent, ResourceEvent, Row, SecurityEvent, SyscallEvent,
    TlsEvent, for_each_class,
};
use crate::write::Rotation;

/// Columns of some rows, in the order of the class's schema.
pub(crate) type Columns = Vec<ArrayRef>;

/// So many batches, once they are in the journal, become one: a journal that is written twice a second would leave a quiet
/// minute in thousands of arrays of a few rows, and the holes between these, not the rows, would be what grows.
const JOINED: usize = 8;

/// Batches that would make more rows than this are left as they are.
const JOINED_ROWS: usize = 1 << 14;

/// Rows of each CPU, in the order in which the CPUs came. No table by number: what user space sampled has CPU numbers of its own, up
/// to 65,535.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowsByCpu {
    counts: Vec<(u16, u64)>,
    /// Of the last row.
    last: usize,
}

impl RowsByCpu {
    #[inline]
    fn add(&mut self, cpu: u16) {
        // Rows of a CPU mostly come in runs.
        if self.counts.get(self.last).is_none_or(|(number, _)| *number != cpu) {
            self.last = self.counts.iter().position(|(number, _)| *number == cpu).unwrap_or_else(|| {
                self.counts.push((cpu, 0));
                self.counts.len() - 1
            });
        }
        self.counts[self.last].1 += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, u64)> {
        self.counts.iter().copied()
    }
}

/// A segment that takes no more rows.
pub(crate) struct Sealed {
    pub(crate) class: Class,
    pub(crate) batches: Vec<Columns>,
    /// How many of the batches are in the journal.
    pub(crate) journaled: usize,
    pub(crate) rows: u64,
    pub(crate) cpus: RowsByCpu,
    /// Memory of the batches.
    pub(crate) bytes: usize,
}

macro_rules! buffers {
    ($($class:ident $row:ident $field:ident,)*) => {
        /// The open segment of every class.
        pub(crate) struct Buffers { $(pub(crate) $field: Buffer<$row>,)* }

        impl Buffers {
            pub(crate) fn new() -> Buffers {
                Buffers { $($field: Buffer::new(Class::$class),)* }
            }

            /// Returns whether the segment is full, and the memory that the row took.
            pub(crate) fn push(&mut self, event: &Event, rotation: &Rotation) -> (bool, usize) {
                match event { $(Event::$class(row) => self.$field.push(row, rotation),)* }
            }

            /// Makes a batch of the rows that are none yet.
            pub(crate) fn cut(&mut self, class: Class) {
                match class { $(Class::$class => self.$field.cut(),)* }
            }

            /// Takes the segment, if it has rows, and starts the next one.
            pub(crate) fn seal(&mut self, class: Class) -> Option<Sealed> {
                match class { $(Class::$class => self.$field.seal(),)* }
            }

            /// The batches that are not in the journal, which from now on are held to be there.
            pub(crate) fn take_unjournaled(&mut self, class: Class) -> Vec<Columns> {
                match class { $(Class::$class => self.$field.take_unjournaled(),)* }
            }

            pub(crate) fn rows(&self, class: Class) -> usize {
                match class { $(Class::$class => self.$field.rows,)* }
            }

            pub(crate) fn bytes(&self, class: Class) -> usize {
                match class { $(Class::$class => self.$field.bytes(),)* }
            }

            pub(crate) fn since(&self, class: Class) -> Option<Instant> {
                match class { $(Class::$class => self.$field.since,)* }
            }
        }
    };
}
for_each_class!(buffers);

pub(crate) struct Buffer<C: Codec> {
    class: Class,
    builder: C::Builder,
    /// Rows in the builder, and the memory they take, bytes.
    building: usize,
    building_bytes: usize,
    batches: Vec<Columns>,
    /// How often the rows of each batch have been joined.
    joins: Vec<u8>,
    batches_bytes: usize,
    journaled: usize,
    rows: usize,
    /// When the oldest row came.
    since: Option<Instant>,
    cpus: RowsByCpu,
}

impl<C: Codec> Buffer<C>
where
    C::Value: Row,
{
    fn new(class: Class) -> Buffer<C> {
        Buffer {
            class,
            builder: C::Builder::default(),
            building: 0,
            building_bytes: 0,
            batches: Vec::new(),
            joins: Vec::new(),
            batches_bytes: 0,
            journaled: 0,
            rows: 0,
            since: None,
            cpus: RowsByCpu::default(),
        }
    }

    fn bytes(&self) -> usize {
        self.building_bytes + self.batches_bytes
    }

    pub(crate) fn push(&mut self, row: &C::Value, rotation: &Rotation) -> (bool, usize) {
        let bytes = C::append(&mut self.builder, row);
        self.building_bytes += bytes;
        self.building += 1;
        self.rows += 1;
        self.cpus.add(row.common().cpu);
        let since = *self.since.get_or_insert_with(Instant::now);
        // A busy class keeps the time itself; reading the clock for every row would cost more than storing it.
        let old = self.rows.is_multiple_of(1024) && since.elapsed() >= rotation.time;
        (old || self.rows >= rotation.rows || self.bytes() >= rotation.bytes, bytes)
    }

    fn cut(&mut self) {
        if self.building == 0 {
            return;
        }
        let mut columns = Vec::new();
        C::finish(&mut self.builder, &mut columns);
        // A builder has room for 1,024 rows at least, and up to twice what it holds.
        columns.iter_mut().for_each(|column| column.shrink_to_fit());
        self.batches_bytes += memory(&columns);
        self.batches.push(columns);
        self.joins.push(0);
        (self.building, self.building_bytes) = (0, 0);
    }

    fn seal(&mut self) -> Option<Sealed> {
        self.cut();
        let bytes = std::mem::take(&mut self.batches_bytes);
        let batches = std::mem::take(&mut self.batches);
        self.joins.clear();
        let journaled = std::mem::take(&mut self.journaled);
        let rows = std::mem::take(&mut self.rows) as u64;
        let cpus = std::mem::take(&mut self.cpus);
        self.since = None;
        (rows > 0).then_some(Sealed { class: self.class, batches, journaled, rows, cpus, bytes })
    }

    fn take_unjournaled(&mut self) -> Vec<Columns> {
        let fresh = self.batches[self.journaled..].to_vec();
        self.journaled = self.batches.len();
        self.join();
        fresh
    }

    /// Joins the last batches where enough of them were joined equally often, so that a row is copied once for each power of
    /// [`JOINED`]. All batches must be in the journal.
    fn join(&mut self) {
        while let Some(&joins) = self.joins.last()
            && let Some(first) = self.batches.len().checked_sub(JOINED)
            && self.joins[first..].iter().all(|of| *of == joins)
        {
            let parts = &self.batches[first..];
            let rows: usize = parts.iter().map(|columns| columns[0].len()).sum();
            let Some(joined) = (rows <= JOINED_ROWS).then(|| join(parts)).flatten() else { return };
            self.batches_bytes -= parts.iter().map(memory).sum::<usize>();
            self.batches_bytes += memory(&joined);
            self.batches.truncate(first);
            self.batches.push(joined);
            self.joins.truncate(first);
            self.joins.push(joins + 1);
            self.journaled = self.batches.len();
        }
    }
}

/// Of a batch, bytes.
fn memory(columns: &Columns) -> usize {
    columns.iter().map(|column| column.get_array_memory_size()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_by_cpu_and_a_large_number_costs_no_more_than_a_small_one() {
        let mut rows = RowsByCpu::default();
        for cpu in [1, 1, 0, u16::MAX, 1, u16::MAX] {
            rows.add(cpu);
        }
        assert_eq!(rows.iter().collect::<Vec<_>>(), [(1, 3), (0, 1), (u16::MAX, 2)]);
        assert!(rows.counts.capacity() < 16, "{}", rows.counts.capacity());
    }
}
