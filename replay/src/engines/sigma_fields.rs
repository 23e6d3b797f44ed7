//! Our events under Sigma's field names.
//!
//! | Sigma category       | our event                                   | fields besides the common ones |
//! |----------------------|---------------------------------------------|--------------------------------|
//! | `process_creation`   | exec                                        | CurrentDirectory, ImageMemfd, ImageDeleted |
//! | `file_event`         | open for writing; rename, for the new name  | TargetFilename |
//! | `file_access`        | open for reading only                       | TargetFilename |
//! | `file_rename`        | rename                                      | SourceFilename, TargetFilename |
//! | `file_delete`        | unlink, rmdir                               | TargetFilename |
//! | `file_change`        | chmod                                       | TargetFilename, FileMode (octal), FileExecutable |
//! | `network_connection` | connect, accept                             | Initiated, Protocol, DestinationIp, DestinationPort, DestinationHostname, SourceIp, SourcePort |
//!
//! Common fields: Image, CommandLine, User, ParentImage, ParentCommandLine, ContainerImage, ContainerName. User is `root`
//! for uid 0 and the number otherwise, as names are the container's own matter. CommandLine is argv joined by spaces.
//! FileMode, FileExecutable, ImageMemfd, ImageDeleted and the container's fields are our additions; booleans are true and
//! false. Failed calls are left out, except for connect: a refused connection was tried.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use datasets::{Container, Event, FileEvent, NetworkEvent, Process};
use record_bpf::Kind;
use rsigma_eval::EventValue;

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
}

/// Sigma's `logsource.category`, those that we have events for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    ProcessCreation,
    FileEvent,
    FileAccess,
    FileRename,
    FileDelete,
    FileChange,
    NetworkConnection,
}

impl Category {
    pub const ALL: [Category; 7] = [
        Category::ProcessCreation,
        Category::FileEvent,
        Category::FileAccess,
        Category::FileRename,
        Category::FileDelete,
        Category::FileChange,
        Category::NetworkConnection,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Category::ProcessCreation => "process_creation",
            Category::FileEvent => "file_event",
            Category::FileAccess => "file_access",
            Category::FileRename => "file_rename",
            Category::FileDelete => "file_delete",
            Category::FileChange => "file_change",
            Category::NetworkConnection => "network_connection",
        }
    }

    /// The categories an event belongs to; none for events that no Sigma category describes.
    pub fn of(event: &Event) -> &'static [Category] {
        let kind = event.common().kind;
        match (event, kind) {
            (Event::Process(_), Kind::Exec) => &[Category::ProcessCreation],
            (Event::Network(_), Kind::Connect) => &[Category::NetworkConnection],
            (Event::Network(event), Kind::Accept) if event.ret >= 0 => &[Category::NetworkConnection],
            (Event::File(event), _) if event.ret < 0 => &[],
            (Event::File(event), Kind::Open) if writes(event.flags) => &[Category::FileEvent],
            (Event::File(_), Kind::Open) => &[Category::FileAccess],
            (Event::File(_), Kind::Rename) => &[Category::FileRename, Category::FileEvent],
            (Event::File(_), Kind::Unlink | Kind::Rmdir) => &[Category::FileDelete],
            (Event::File(_), Kind::Chmod) => &[Category::FileChange],
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
    Image CommandLine User CurrentDirectory ImageMemfd ImageDeleted ParentImage ParentCommandLine ContainerImage
    ContainerName TargetFilename SourceFilename FileMode FileExecutable Initiated Protocol DestinationIp DestinationPort
    DestinationHostname SourceIp SourcePort
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
        let EventView { event, process, parent, container, .. } = *self.view;
        let exec = match event {
            Event::Process(event) => Some(event),
            _ => None,
        };
        match field {
            Field::Image => text(exec.and_then(|e| e.exe.as_ref()).or_else(|| process?.exe.as_ref())),
            Field::CommandLine => {
                line(exec.and_then(|e| e.argv.as_deref()).or_else(|| process.and_then(|p| p.argv.as_deref())))
            }
            Field::User => exec.and_then(|e| e.uid).or(process.and_then(|p| p.uid)).map(user),
            Field::CurrentDirectory => text(exec.and_then(|e| e.cwd.as_ref()).or_else(|| process?.cwd.as_ref())),
            Field::ImageMemfd => exec.and_then(|e| e.exe_memfd).or(process.map(|p| p.exe_memfd)).map(EventValue::Bool),
            Field::ImageDeleted => {
                exec.and_then(|e| e.exe_deleted).or(process.map(|p| p.exe_deleted)).map(EventValue::Bool)
            }
            Field::ParentImage => text(parent?.exe.as_ref()),
            Field::ParentCommandLine => line(parent?.argv.as_deref()),
            Field::ContainerImage => container?.image.as_deref().map(borrowed),
            Field::ContainerName => container?.name.as_deref().map(borrowed),
            Field::TargetFilename | Field::SourceFilename | Field::FileMode | Field::FileExecutable => match event {
                Event::File(event) => file_field(event, field),
                _ => None,
            },
            Field::Initiated
            | Field::Protocol
            | Field::DestinationIp
            | Field::DestinationPort
            | Field::DestinationHostname
            | Field::SourceIp
            | Field::SourcePort => match event {
                Event::Network(event) => network_field(event, self.view.peer, field),
                _ => None,
            },
        }
    }

    fn values(&self) -> impl Iterator<Item = (Field, EventValue<'a>)> {
        Field::ALL.iter().filter_map(|field| Some((*field, self.field(*field)?)))
    }
}

fn borrowed(value: &str) -> EventValue<'_> {
    EventValue::Str(Cow::Borrowed(value))
}

fn text(value: Option<&Arc<str>>) -> Option<EventValue<'_>> {
    value.map(|value| borrowed(value))
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

fn file_field(event: &FileEvent, field: Field) -> Option<EventValue<'_>> {
    let renamed = event.common.kind == Kind::Rename;
    match field {
        Field::TargetFilename if renamed => text(event.new_path.as_ref()),
        Field::TargetFilename => text(event.path.as_ref()),
        Field::SourceFilename if renamed => text(event.path.as_ref()),
        Field::FileMode => event.mode.map(|mode| EventValue::Str(Cow::Owned(format!("{:04o}", mode & 0o7777)))),
        Field::FileExecutable => event.mode.map(|mode| EventValue::Bool(mode & 0o111 != 0)),
        _ => None,
    }
}

fn network_field<'a>(event: &'a NetworkEvent, peer: Option<&'a Container>, field: Field) -> Option<EventValue<'a>> {
    let initiated = event.common.kind == Kind::Connect;
    let local = (event.local_addr.as_ref(), event.local_port);
    let remote = (event.peer_addr.as_ref(), event.peer_port);
    let (source, destination) = if initiated { (local, remote) } else { (remote, local) };
    match field {
        Field::Initiated => Some(EventValue::Bool(initiated)),
        Field::Protocol => Some(borrowed(&event.protocol)),
        Field::DestinationIp => text(destination.0),
        Field::DestinationPort => destination.1.map(|port| EventValue::Int(port.into())),
        Field::SourceIp => text(source.0),
        Field::SourcePort => source.1.map(|port| EventValue::Int(port.into())),
        // Every name the peer goes by; a rule matches if any of them does.
        Field::DestinationHostname if initiated => {
            let peer = peer?;
            let names = peer.aliases.iter().chain(&peer.name).map(|name| borrowed(name)).collect();
            Some(EventValue::Array(names))
        }
        _ => None,
    }
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
