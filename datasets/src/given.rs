//! Events as a reader hands them on that looks at most of them once: those of which there are the most stay in their columns, and
//! nothing is copied of one that is like another seen before.

use std::sync::Arc;

use record_bpf::{Class, Kind};

use crate::codec::Codec;
use crate::model::{Common, Event, FileEvent, NetworkEvent};
use crate::tables::{CommonReader, FileEventReader, NetworkEventReader};

/// An event, or where it lies.
#[derive(Clone)]
pub enum Given {
    /// Of class file.
    File(FileRow),
    /// Of class network: a socket that is made, or changes its state.
    Network(NetworkRow),
    Event(Box<Event>),
}

/// A row of class file. While it is held the batch that it lies in stays in memory.
#[derive(Clone)]
pub struct FileRow {
    rows: Arc<FileEventReader>,
    row: usize,
}

/// A row of class network. While it is held the batch that it lies in stays in memory.
#[derive(Clone)]
pub struct NetworkRow {
    rows: Arc<NetworkEventReader>,
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

/// What of an event of class network rules look at.
#[derive(Clone, Copy, Debug)]
pub struct NetworkLook<'a> {
    /// Unix time, ns.
    pub ts: i64,
    pub kind: Kind,
    pub container: Option<&'a Arc<str>>,
    pub exec_id: Option<u64>,
    pub protocol: Option<&'a Arc<str>>,
    pub local_addr: Option<&'a Arc<str>>,
    pub local_port: Option<u16>,
    pub peer_addr: Option<&'a Arc<str>>,
    pub peer_port: Option<u16>,
    pub ret: i32,
    pub bytes_received: Option<u64>,
    pub bytes_sent: Option<u64>,
    pub socket_type: Option<&'a Arc<str>>,
    pub old_state: Option<&'a Arc<str>>,
    pub state: Option<&'a Arc<str>>,
}

impl NetworkRow {
    pub(crate) fn new(rows: Arc<NetworkEventReader>, row: usize) -> NetworkRow {
        NetworkRow { rows, row }
    }

    /// Whether it is of a kind that is given so.
    pub(crate) fn is_given(rows: &NetworkEventReader, row: usize) -> bool {
        matches!(rows.common.kind[row], Kind::Socket | Kind::TcpState)
    }

    /// All of it.
    pub fn event(&self) -> NetworkEvent {
        NetworkEvent::get(&self.rows, self.row)
    }

    #[inline]
    pub fn look(&self) -> NetworkLook<'_> {
        let (rows, row) = (&*self.rows, self.row);
        let common = &rows.common;
        NetworkLook {
            ts: i64::get(&common.ts, row),
            kind: common.kind[row],
            container: common.container.get(row),
            exec_id: Option::<u64>::get(&common.exec_id, row),
            protocol: rows.protocol.get(row),
            local_addr: rows.local_addr.get(row),
            local_port: Option::<u16>::get(&rows.local_port, row),
            peer_addr: rows.peer_addr.get(row),
            peer_port: Option::<u16>::get(&rows.peer_port, row),
            ret: i32::get(&rows.ret, row),
            bytes_received: Option::<u64>::get(&rows.bytes_received, row),
            bytes_sent: Option::<u64>::get(&rows.bytes_sent, row),
            socket_type: rows.socket_type.get(row),
            old_state: rows.old_state.get(row),
            state: rows.state.get(row),
        }
    }
}

impl<'a> From<&'a NetworkEvent> for NetworkLook<'a> {
    #[inline]
    fn from(event: &'a NetworkEvent) -> NetworkLook<'a> {
        NetworkLook {
            ts: event.common.ts,
            kind: event.common.kind,
            container: event.common.container.as_ref(),
            exec_id: event.common.exec_id,
            protocol: Some(&event.protocol),
            local_addr: event.local_addr.as_ref(),
            local_port: event.local_port,
            peer_addr: event.peer_addr.as_ref(),
            peer_port: event.peer_port,
            ret: event.ret,
            bytes_received: event.bytes_received,
            bytes_sent: event.bytes_sent,
            socket_type: event.socket_type.as_ref(),
            old_state: event.old_state.as_ref(),
            state: event.state.as_ref(),
        }
    }
}

/// A row among others, or a row of its own.
enum Place<'a> {
    Row(&'a CommonReader, usize),
    Own(&'a Common),
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
    /// Where it stands, and what all classes have of it.
    fn place(&self) -> Place<'_> {
        match self {
            Given::File(FileRow { rows, row }) => Place::Row(&rows.common, *row),
            Given::Network(NetworkRow { rows, row }) => Place::Row(&rows.common, *row),
            Given::Event(event) => Place::Own(event.common()),
        }
    }

    #[inline]
    pub fn class(&self) -> Class {
        match self {
            Given::File(_) => Class::File,
            Given::Network(_) => Class::Network,
            Given::Event(event) => event.class(),
        }
    }

    /// Unix time, ns.
    #[inline]
    pub fn ts(&self) -> i64 {
        match self.place() {
            Place::Row(rows, row) => i64::get(&rows.ts, row),
            Place::Own(common) => common.ts,
        }
    }

    pub fn cpu(&self) -> u16 {
        match self.place() {
            Place::Row(rows, row) => u16::get(&rows.cpu, row),
            Place::Own(common) => common.cpu,
        }
    }

    pub fn seq(&self) -> u64 {
        match self.place() {
            Place::Row(rows, row) => u64::get(&rows.seq, row),
            Place::Own(common) => common.seq,
        }
    }

    #[inline]
    pub fn container(&self) -> Option<&Arc<str>> {
        match self.place() {
            Place::Row(rows, row) => rows.container.get(row),
            Place::Own(common) => common.container.as_ref(),
        }
    }

    /// All of it.
    pub fn into_event(self) -> Event {
        match self {
            Given::File(row) => Event::File(row.event()),
            Given::Network(row) => Event::Network(row.event()),
            Given::Event(event) => *event,
        }
    }
}

impl From<Event> for Given {
    fn from(event: Event) -> Given {
        Given::Event(Box::new(event))
    }
}
