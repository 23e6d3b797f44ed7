//! Our events under Sigma's field names. Rules about logs (auditd) are in `logs.rs`.
//!
//! | category              | our event                                   | fields besides the common ones |
//! |-----------------------|---------------------------------------------|--------------------------------|
//! | `process_creation`    | exec                                        | CurrentDirectory, ImageMemfd, ImageDeleted, ImageUpper (not part of the image) |
//! | `process_termination` | exit                                        | ExitCode, ExitSignal |
//! | `file_event`          | open for writing; rename, for the new name  | TargetFilename |
//! | `file_access`         | open for reading only                       | TargetFilename |
//! | `file_rename`         | rename                                      | SourceFilename, TargetFilename |
//! | `file_delete`         | unlink, rmdir                               | TargetFilename |
//! | `file_change`         | chmod                                       | TargetFilename, FileMode (octal), FileExecutable |
//! | `network_connection`  | connect, accept                             | Initiated, Protocol, SocketType, DestinationIp, DestinationPort, DestinationHostname (the names of the container that has the address, and the name that it was asked for under in class dns), SourceIp, SourcePort, Result, ServiceName, ServiceChannel (encrypted, cleartext, either), ServiceCredentials (passwords are said in it), ServiceStore (it keeps data): what the destination's port stands for, see `services/ports.rs` |
//! | `dns_query`           | a query, or an answer that was received     | QueryName, QueryType, QueryStatus (answers: NOERROR, NXDOMAIN, …), QueryLabelLength (of the longest label), QueryParent (last two labels), DestinationIp |
//! | `network_socket` *    | socket                                      | Protocol, SocketType |
//! | `network_close` *     | a socket's close                            | those of `network_connection` but for the hostname, BytesSent, BytesReceived, BytesBeyondProfile (by which all that was sent to the peer within the minute is beyond what the locked profile allows) |
//! | `network_state` *     | a TCP state change                          | those of `network_connection` but for the hostname, TcpState, TcpOldState |
//! | `security` *          | any of class security                       | Operation (as in the schema), Request, Result, TargetFilename (path), SourceFilename, FileSystem, ObjectName, Signal, TargetPid, TargetIsSelf, TargetInContainer (the other process is in the same container) |
//! | `tls` *               | an HTTP/1 message within TLS                | HttpMethod, HttpPath, HttpHost, HttpStatus |
//! | `flow` *              | a 5-tuple's interval                        | Protocol, Source…, Destination…, FlowDirection, PacketCount, ByteCount, SynCount, SynAckCount, RstCount |
//! | `resource` *          | a container's sample, once a second         | CpuPercent (of one CPU, since the sample before), MemoryBytes, ProcessCount |
//! | `deviation` *         | an event that left a locked profile         | DeviationTree, DeviationKind, and those of the event |
//!
//! Categories with a star are ours; Sigma has no name for them. Common fields: Image, CommandLine, User, ParentImage,
//! ParentCommandLine, ContainerImage, ContainerName, ContainerId, ProcessGuid (the incarnation), ProcessTree. User is `root`
//! for uid 0 and the number otherwise, as names are the container's own matter. CommandLine is argv joined by spaces.
//! ProcessTree numbers the tree within the container that a process belongs to: see
//! [`ProcessTable::tree`](crate::observe::ProcessTable::tree). FileMode, FileExecutable, ImageMemfd, ImageDeleted, ImageUpper and the
//! container's fields are our additions; booleans are true and false. Failed calls are left out, except for connect (a
//! refused connection was tried) and `security` (Result is negative).

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use datasets::{Container, Event, FileLook, NetworkLook, Process};
use record_bpf::{Class, Kind};
use rsigma_eval::EventValue;

use super::sigma_values::{borrowed, of_event, text};
use crate::deviation::{DeviationKind, Tree};
use crate::observe::{HOST, ProcessTable};

// From the kernel's include/uapi/asm-generic/fcntl.h.
const O_ACCMODE: u32 = 0o3;
const O_CREAT: u32 = 0o100;
const O_TRUNC: u32 = 0o1000;

/// An event with what is known around it.
#[derive(Clone, Copy, Debug)]
pub struct EventView<'a> {
    pub event: &'a Event,
    /// The incarnation that did it; for exec the new one.
    pub process: Option<&'a Process>,
    pub parent: Option<&'a Process>,
    pub container: Option<&'a Container>,
    /// The container that has the peer's address, if one has.
    pub peer: Option<&'a Container>,
    /// Says to which tree of its container a process belongs.
    pub processes: Option<&'a ProcessTable>,
    pub known: Known<'a>,
}

/// What the lane of an image knows about an event besides.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Known<'a> {
    /// How it left the profile: then it is seen as a deviation, and as nothing else.
    pub deviation: Option<(Tree, DeviationKind)>,
    /// Of one CPU, since the container's sample before.
    pub cpu_percent: Option<i64>,
    /// Bytes that a closed connection's minute is beyond what the profile allows.
    pub beyond: Option<u64>,
    /// The name that the peer's address was asked for under.
    pub domain: Option<&'a str>,
}

impl<'a> EventView<'a> {
    /// Of which nothing else is known.
    pub fn new(event: &'a Event) -> Self {
        EventView {
            event,
            process: None,
            parent: None,
            container: None,
            peer: None,
            processes: None,
            known: Known::default(),
        }
    }

    /// The categories that it is evaluated under.
    pub fn categories(&self) -> &'static [Category] {
        if self.known.deviation.is_some() { &[Category::Deviation] } else { Category::of(self.event) }
    }
}

macro_rules! categories {
    ($($variant:ident $name:literal,)*) => {
        /// `logsource.category`, those that we have events for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Category { $($variant),* }

        impl Category {
            pub const ALL: &[Category] = &[$(Category::$variant),*];

            pub const fn name(self) -> &'static str {
                match self { $(Category::$variant => $name),* }
            }
        }
    };
}

categories! {
    ProcessCreation "process_creation",
    ProcessTermination "process_termination",
    FileEvent "file_event",
    FileAccess "file_access",
    FileRename "file_rename",
    FileDelete "file_delete",
    FileChange "file_change",
    NetworkConnection "network_connection",
    NetworkSocket "network_socket",
    NetworkClose "network_close",
    NetworkState "network_state",
    DnsQuery "dns_query",
    Security "security",
    Tls "tls",
    Flow "flow",
    Resource "resource",
    Deviation "deviation",
}

impl Category {
    /// The categories an event belongs to; none for events that no rule can ask for.
    pub fn of(event: &Event) -> &'static [Category] {
        let kind = event.common().kind;
        match (event, kind) {
            (Event::Process(_), Kind::Exec) => &[Category::ProcessCreation],
            (Event::Process(_), Kind::Exit) => &[Category::ProcessTermination],
            (Event::Network(event), _) => Category::of_network(&event.into()),
            (Event::File(event), _) => Category::of_file(&event.into()),
            // A query that was received is its sender's.
            (Event::Dns(event), Kind::DnsQuery) if &*event.direction == "sent" => &[Category::DnsQuery],
            (Event::Dns(event), Kind::DnsAnswer) if &*event.direction == "received" => &[Category::DnsQuery],
            (Event::Security(_), _) => &[Category::Security],
            (Event::Tls(event), _) if event.http_method.is_some() || event.http_status.is_some() => &[Category::Tls],
            (Event::Flow(_), _) => &[Category::Flow],
            (Event::Resource(_), _) => &[Category::Resource],
            _ => &[],
        }
    }

    /// As [`of`](Category::of) an event of class network.
    pub fn of_network(look: &NetworkLook<'_>) -> &'static [Category] {
        match look.kind {
            Kind::Connect => &[Category::NetworkConnection],
            Kind::Accept if look.ret >= 0 => &[Category::NetworkConnection],
            Kind::Socket if look.ret >= 0 => &[Category::NetworkSocket],
            Kind::NetClose => &[Category::NetworkClose],
            Kind::TcpState => &[Category::NetworkState],
            _ => &[],
        }
    }

    /// Whether events of a kind can belong to it; those of any kind can deviate.
    pub fn is_of(self, kind: Kind) -> bool {
        match self {
            Category::ProcessCreation => kind == Kind::Exec,
            Category::ProcessTermination => kind == Kind::Exit,
            Category::FileEvent => matches!(kind, Kind::Open | Kind::Rename),
            Category::FileAccess => kind == Kind::Open,
            Category::FileRename => kind == Kind::Rename,
            Category::FileDelete => matches!(kind, Kind::Unlink | Kind::Rmdir),
            Category::FileChange => kind == Kind::Chmod,
            Category::NetworkConnection => matches!(kind, Kind::Connect | Kind::Accept),
            Category::NetworkSocket => kind == Kind::Socket,
            Category::NetworkClose => kind == Kind::NetClose,
            Category::NetworkState => kind == Kind::TcpState,
            Category::DnsQuery => matches!(kind, Kind::DnsQuery | Kind::DnsAnswer),
            Category::Security => kind.class() == Class::Security,
            Category::Tls => kind.class() == Class::Tls,
            Category::Flow => kind.class() == Class::Flow,
            Category::Resource => kind.class() == Class::Resource,
            Category::Deviation => true,
        }
    }

    /// As [`of`](Category::of) an event of class file.
    pub fn of_file(look: &FileLook<'_>) -> &'static [Category] {
        match look.kind {
            _ if look.ret < 0 => &[],
            Kind::Open if writes(look.flags) => &[Category::FileEvent],
            Kind::Open => &[Category::FileAccess],
            Kind::Rename => &[Category::FileRename, Category::FileEvent],
            Kind::Unlink | Kind::Rmdir => &[Category::FileDelete],
            Kind::Chmod => &[Category::FileChange],
            _ => &[],
        }
    }
}

fn writes(flags: Option<u32>) -> bool {
    flags.is_some_and(|flags| flags & O_ACCMODE != 0 || flags & (O_CREAT | O_TRUNC) != 0)
}

macro_rules! fields {
    ($($name:ident)*) => {
        /// A field that a rule can ask for; the names are Sigma's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field { $($name),* }

        impl Field {
            pub const ALL: &[Field] = &[$(Field::$name),*];

            pub const fn name(self) -> &'static str {
                match self { $(Field::$name => stringify!($name)),* }
            }

            pub fn from_name(name: &str) -> Option<Field> {
                match name { $(stringify!($name) => Some(Field::$name),)* _ => None }
            }
        }
    };
}

fields! {
    Image CommandLine User CurrentDirectory ImageMemfd ImageDeleted ImageUpper ParentImage ParentCommandLine ContainerImage
    ContainerName ContainerId ProcessGuid ProcessTree TargetFilename SourceFilename FileMode FileExecutable Initiated
    Protocol SocketType DestinationIp DestinationPort DestinationHostname SourceIp SourcePort Result BytesSent BytesReceived
    TcpState TcpOldState QueryName QueryType QueryStatus QueryLabelLength QueryParent Operation Request FileSystem
    ObjectName Signal TargetPid TargetIsSelf TargetInContainer ExitCode ExitSignal BytesBeyondProfile HttpMethod HttpPath HttpHost HttpStatus
    FlowDirection PacketCount ByteCount SynCount SynAckCount RstCount CpuPercent MemoryBytes ProcessCount DeviationTree
    DeviationKind ServiceName ServiceChannel ServiceCredentials ServiceStore
}

impl Field {
    /// Whether events that have the same value are of one container, or of one image.
    pub const fn is_of_one_container(self) -> bool {
        matches!(
            self,
            Field::ContainerId | Field::ContainerName | Field::ContainerImage | Field::ProcessGuid | Field::ProcessTree
        )
    }
}

/// A view as rsigma reads it.
pub(super) struct SigmaEvent<'a> {
    view: &'a EventView<'a>,
    /// Some rule searched all values: the result depends on more than the fields that rules name.
    pub searched_all: Cell<bool>,
}

impl<'a> SigmaEvent<'a> {
    pub fn new(view: &'a EventView<'a>) -> Self {
        SigmaEvent { view, searched_all: Cell::new(false) }
    }

    pub fn field(&self, field: Field) -> Option<EventValue<'a>> {
        let EventView { event, process, parent, container, peer, processes, known } = *self.view;
        let exec = match event {
            Event::Process(event) => Some(event),
            _ => None,
        };
        match field {
            Field::Image => text(exec.and_then(|e| e.exe.as_ref()).or_else(|| process?.exe.as_ref())),
            Field::CommandLine | Field::ParentCommandLine => line(self.words_of(field)),
            Field::User => exec.and_then(|e| e.uid).or(process.and_then(|p| p.uid)).map(user),
            Field::CurrentDirectory => text(exec.and_then(|e| e.cwd.as_ref()).or_else(|| process?.cwd.as_ref())),
            Field::ImageMemfd => exec.and_then(|e| e.exe_memfd).or(process.map(|p| p.exe_memfd)).map(EventValue::Bool),
            Field::ImageDeleted => {
                exec.and_then(|e| e.exe_deleted).or(process.map(|p| p.exe_deleted)).map(EventValue::Bool)
            }
            Field::ParentImage => text(parent?.exe.as_ref()),
            Field::ContainerImage => container?.image.as_deref().map(borrowed),
            Field::ContainerName => container?.name.as_deref().map(borrowed),
            Field::ContainerId => Some(event.common().container.as_deref().map_or_else(|| borrowed(HOST), borrowed)),
            Field::ProcessGuid => event.common().exec_id.and_then(|id| i64::try_from(id).ok()).map(EventValue::Int),
            Field::ProcessTree => {
                let tree = processes?.tree(event.common().exec_id?)?;
                i64::try_from(tree).ok().map(EventValue::Int)
            }
            Field::BytesBeyondProfile => {
                known.beyond.map(|bytes| EventValue::Int(i64::try_from(bytes).unwrap_or(i64::MAX)))
            }
            Field::CpuPercent => known.cpu_percent.map(EventValue::Int),
            Field::DeviationTree => known.deviation.map(|(tree, _)| borrowed(tree.name())),
            Field::DeviationKind => known.deviation.map(|(_, kind)| borrowed(kind.name())),
            own => of_event(event, peer, known.domain, own),
        }
    }

    /// The arguments that a field is made of.
    pub fn words_of(&self, field: Field) -> Option<&'a [Arc<str>]> {
        let EventView { event, process, parent, .. } = *self.view;
        match (field, event) {
            (Field::CommandLine, Event::Process(exec)) if exec.argv.is_some() => exec.argv.as_deref(),
            (Field::CommandLine, _) => process?.argv.as_deref(),
            (Field::ParentCommandLine, _) => parent?.argv.as_deref(),
            _ => None,
        }
    }

    fn values(&self) -> impl Iterator<Item = (Field, EventValue<'a>)> {
        Field::ALL.iter().filter_map(|field| Some((*field, self.field(*field)?)))
    }
}

fn line(argv: Option<&[Arc<str>]>) -> Option<EventValue<'_>> {
    match argv? {
        [] => None,
        [one] => Some(borrowed(one)),
        many => Some(EventValue::Str(Cow::Owned(many.join(" ")))),
    }
}

fn user(uid: u32) -> EventValue<'static> {
    EventValue::Str(if uid == 0 { Cow::Borrowed("root") } else { Cow::Owned(uid.to_string()) })
}

impl rsigma_eval::Event for SigmaEvent<'_> {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        self.field(Field::from_name(path)?)
    }

    fn any_string_value(&self, predicate: &dyn Fn(&str) -> bool) -> bool {
        self.all_string_values().iter().any(|value| predicate(value))
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        self.searched_all.set(true);
        self.values().flat_map(|(_, value)| strings(value)).collect()
    }

    fn to_json(&self) -> serde_json::Value {
        self.values().map(|(field, value)| (field.name().to_owned(), value.to_json())).collect()
    }
}

fn strings(value: EventValue<'_>) -> Vec<Cow<'_, str>> {
    match value {
        EventValue::Str(text) => vec![text],
        EventValue::Array(values) => values.into_iter().flat_map(strings).collect(),
        EventValue::Int(_) | EventValue::Float(_) | EventValue::Bool(_) | EventValue::Null | EventValue::Map(_) => {
            Vec::new()
        }
    }
}
