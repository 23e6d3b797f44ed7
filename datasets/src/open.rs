//! The open segment of every class: rows as columns, in memory.

use std::time::Instant;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::UInt16Type;
use record_bpf::Class;

use crate::codec::Codec;
use crate::model::{
    DnsEvent, Event, FileEvent, FlowEvent, NetworkEvent, ProcessEvent, ResourceEvent, Row, SecurityEvent, SyscallEvent,
    TlsEvent, for_each_class,
};
use crate::packed::{Batches, Packed};
use crate::write::Rotation;

/// Columns of some rows, in the order of the class's schema.
pub(crate) type Columns = Vec<ArrayRef>;

/// So many batches, once they are in the journal, are packed: a journal that is written twice a second would leave a quiet
/// minute in thousands of arrays of a few rows, and the holes between these, not the rows, would be what grows.
const PACKED: usize = 8;

/// Of more rows than these the arrays are large, and packing them would cost a busy recorder time.
const PACKED_ROWS: usize = 1 << 14;

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
    pub(crate) batches: Batches,
    /// How many of the unpacked batches are in the journal; the packed ones are.
    pub(crate) journaled: usize,
    pub(crate) rows: u64,
    pub(crate) cpus: RowsByCpu,
    /// Memory of the columns of all, unpacked.
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

            /// As [`push`](Self::push), for columns of a class's rows.
            pub(crate) fn push_columns(&mut self, class: Class, rows: Columns, rotation: &Rotation) -> (bool, usize) {
                match class { $(Class::$class => self.$field.push_columns(rows, rotation),)* }
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
    /// The packed ones are all in the journal.
    batches: Batches,
    /// Memory that the columns of all take, or took before they were packed.
    batches_bytes: usize,
    /// How many of the unpacked ones are in the journal.
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
            batches: Batches::default(),
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

    /// Takes rows that are columns already, a batch of their own.
    fn push_columns(&mut self, columns: Columns, rotation: &Rotation) -> (bool, usize) {
        self.cut();
        // ts, cpu, seq come first in every event table.
        let Some(cpus) = columns.get(1).and_then(|column| column.as_primitive_opt::<UInt16Type>()) else {
            return (false, 0);
        };
        cpus.values().iter().for_each(|cpu| self.cpus.add(*cpu));
        self.rows += cpus.len();
        let bytes = columns.iter().map(|column| column.get_array_memory_size()).sum();
        self.batches_bytes += bytes;
        self.batches.last.push(columns);
        let since = *self.since.get_or_insert_with(Instant::now);
        let full = self.rows >= rotation.rows || self.bytes() >= rotation.bytes || since.elapsed() >= rotation.time;
        (full, bytes)
    }

    fn cut(&mut self) {
        if self.building == 0 {
            return;
        }
        let mut columns = Vec::new();
        C::finish(&mut self.builder, &mut columns);
        // A builder has room for 1,024 rows at least, and up to twice what it holds.
        columns.iter_mut().for_each(|column| column.shrink_to_fit());
        self.batches_bytes += columns.iter().map(|column| column.get_array_memory_size()).sum::<usize>();
        self.batches.last.push(columns);
        (self.building, self.building_bytes) = (0, 0);
    }

    fn seal(&mut self) -> Option<Sealed> {
        self.cut();
        let bytes = std::mem::take(&mut self.batches_bytes);
        let batches = std::mem::take(&mut self.batches);
        let journaled = std::mem::take(&mut self.journaled);
        let rows = std::mem::take(&mut self.rows) as u64;
        let cpus = std::mem::take(&mut self.cpus);
        self.since = None;
        (rows > 0).then_some(Sealed { class: self.class, batches, journaled, rows, cpus, bytes })
    }

    fn take_unjournaled(&mut self) -> Vec<Columns> {
        let fresh = self.batches.last[self.journaled..].to_vec();
        self.journaled = self.batches.last.len();
        self.pack();
        fresh
    }

    /// Packs the batches, which are all in the journal, if they are many and small.
    fn pack(&mut self) {
        let Batches { packed, last } = &mut self.batches;
        let rows: usize = last.iter().filter_map(|columns| columns.first()).map(|column| column.len()).sum();
        if last.len() >= PACKED
            && rows <= PACKED_ROWS
            && let Some(whole) = Packed::new(self.class, last)
        {
            packed.push(whole);
            last.clear();
            self.journaled = 0;
        }
    }
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
