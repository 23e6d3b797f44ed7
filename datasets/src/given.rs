//! Events as a reader hands them on that looks at most of them once: those of class file, of which there are the most, stay in
//! their columns, and nothing is copied of one that is like another seen before.

use std::sync::Arc;

use record_bpf::{Class, Kind};

use crate::codec::Codec;
use crate::model::{Event, FileEvent};
use crate::tables::FileEventReader;

/// An event, or where it lies.
#[derive(Clone)]
pub enum Given {
    /// Of class file.
    File(FileRow),
    Event(Box<Event>),
}

/// A row of class file. While it is held the batch that it lies in stays in memory.
#[derive(Clone)]
pub struct FileRow {
    rows: Arc<FileEventReader>,
    row: usize,
}

/// What of an event of class file decides whether it is like another.
#[derive(Clone, Copy, Debug)]
pub struct FileLook<'a> {
    /// Unix time, ns.
    pub ts: i64,
    pub kind: Kind,
    pub container: Option<&'a Arc<str>>,
    pub exec_id: Option<u64>,
    pub path: Option<&'a Arc<str>>,
    pub new_path: Option<&'a Arc<str>>,
    pub ret: i32,
    pub flags: Option<u32>,
    pub mode: Option<u32>,
}

impl FileRow {
    pub(crate) fn new(rows: Arc<FileEventReader>, row: usize) -> FileRow {
        FileRow { rows, row }
    }

    /// All of it.
    pub fn event(&self) -> FileEvent {
        FileEvent::get(&self.rows, self.row)
    }

    #[inline]
    pub fn look(&self) -> FileLook<'_> {
        let (rows, row) = (&*self.rows, self.row);
        let common = &rows.common;
        FileLook {
            ts: i64::get(&common.ts, row),
            kind: common.kind[row],
            container: common.container.get(row),
            exec_id: Option::<u64>::get(&common.exec_id, row),
            path: rows.path.get(row),
            new_path: rows.new_path.get(row),
            ret: i32::get(&rows.ret, row),
            flags: Option::<u32>::get(&rows.flags, row),
            mode: Option::<u32>::get(&rows.mode, row),
        }
    }
}

impl<'a> From<&'a FileEvent> for FileLook<'a> {
    fn from(event: &'a FileEvent) -> FileLook<'a> {
        FileLook {
            ts: event.common.ts,
            kind: event.common.kind,
            container: event.common.container.as_ref(),
            exec_id: event.common.exec_id,
            path: event.path.as_ref(),
            new_path: event.new_path.as_ref(),
            ret: event.ret,
            flags: event.flags,
            mode: event.mode,
        }
    }
}

impl Given {
    #[inline]
    pub fn class(&self) -> Class {
        match self {
            Given::File(_) => Class::File,
            Given::Event(event) => event.class(),
        }
    }

    /// Unix time, ns.
    #[inline]
    pub fn ts(&self) -> i64 {
        match self {
            Given::File(FileRow { rows, row }) => i64::get(&rows.common.ts, *row),
            Given::Event(event) => event.common().ts,
        }
    }

    pub fn cpu(&self) -> u16 {
        match self {
            Given::File(FileRow { rows, row }) => u16::get(&rows.common.cpu, *row),
            Given::Event(event) => event.common().cpu,
        }
    }

    pub fn seq(&self) -> u64 {
        match self {
            Given::File(FileRow { rows, row }) => u64::get(&rows.common.seq, *row),
            Given::Event(event) => event.common().seq,
        }
    }

    #[inline]
    pub fn container(&self) -> Option<&Arc<str>> {
        match self {
            Given::File(FileRow { rows, row }) => rows.common.container.get(*row),
            Given::Event(event) => event.common().container.as_ref(),
        }
    }

    /// All of it.
    pub fn into_event(self) -> Event {
        match self {
            Given::File(row) => Event::File(row.event()),
            Given::Event(event) => *event,
        }
    }
}

impl From<Event> for Given {
    fn from(event: Event) -> Given {
        Given::Event(Box::new(event))
    }
}
