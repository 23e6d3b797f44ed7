//! What the events of each class hold under Sigma's field names, and ours.

use std::borrow::Cow;
use std::sync::Arc;

use datasets::{
    Container, DnsEvent, Event, FileEvent, FlowEvent, NetworkEvent, NetworkLook, ProcessEvent, ResourceEvent,
    SecurityEvent, TlsEvent,
};
use record_bpf::Kind;
use rsigma_eval::EventValue;

use super::sight::{Word, place};
use super::sigma_fields::Field;
use crate::services::ports::{self, Service};

/// A field of the event's own, not of the process that did it.
pub(super) fn of_event<'a>(
    event: &'a Event,
    peer: Option<&'a Container>,
    domain: Option<&'a str>,
    field: Field,
) -> Option<EventValue<'a>> {
    match event {
        Event::Process(event) => process(event, field),
        Event::Security(event) => security(event, field),
        Event::File(event) => file(event, field).map(Held::value),
        Event::Network(event) if field == Field::DestinationHostname => hostnames(event, peer, domain),
        Event::Network(event) => network(&event.into(), field).map(Held::value),
        Event::Dns(event) => dns(event, field),
        Event::Tls(event) => tls(event, field),
        Event::Flow(event) => flow(event, field),
        Event::Resource(event) => resource(event, field),
        Event::Syscall(_) => None,
    }
}

pub(super) fn borrowed(value: &str) -> EventValue<'_> {
    EventValue::Str(Cow::Borrowed(value))
}

pub(super) fn text(value: Option<&Arc<str>>) -> Option<EventValue<'_>> {
    value.map(|value| borrowed(value))
}

fn number(value: impl TryInto<i64>) -> EventValue<'static> {
    EventValue::Int(value.try_into().unwrap_or(i64::MAX))
}

fn process(event: &ProcessEvent, field: Field) -> Option<EventValue<'_>> {
    match field {
        Field::ImageUpper => event.exe_upper.map(EventValue::Bool),
        Field::ExitCode => event.exit_code.map(number),
        Field::ExitSignal => event.exit_signal.map(number),
        _ => None,
    }
}

fn security(event: &SecurityEvent, field: Field) -> Option<EventValue<'_>> {
    match field {
        Field::Operation => Some(borrowed(event.common.kind.op())),
        Field::Request => text(event.request.as_ref()),
        Field::Result => Some(number(event.ret)),
        Field::TargetFilename => text(event.path.as_ref()),
        Field::SourceFilename => text(event.source.as_ref()),
        Field::FileSystem => text(event.fs_type.as_ref()),
        Field::ObjectName => text(event.name.as_ref()),
        Field::Signal => event.signal.map(number),
        Field::TargetPid => event.target_pid.map(number),
        Field::TargetIsSelf => event.target_pid.map(|pid| EventValue::Bool(pid == event.common.pid)),
        Field::TargetInContainer => {
            event.target_pid.map(|_| EventValue::Bool(event.target_container == event.common.container))
        }
        _ => None,
    }
}

/// What is said of an event depends on this of a field; `None`: on more than the event. Only of classes file and network.
pub(crate) fn word<'a>(event: &'a Event, field: Field, hold: impl FnMut(&'a Arc<str>)) -> Option<Word> {
    match event {
        Event::File(event) => Some(Held::word(file(event, field), hold)),
        Event::Network(event) => word_of_network(&event.into(), field, hold),
        _ => None,
    }
}

/// The same of an event of class network.
pub(crate) fn word_of_network<'a>(
    look: &NetworkLook<'a>,
    field: Field,
    hold: impl FnMut(&'a Arc<str>),
) -> Option<Word> {
    // Of an accepted connection no name is known.
    let named = field == Field::DestinationHostname && look.kind != Kind::Accept;
    (!named).then(|| Held::word(network(look, field), hold))
}

/// A value as an event holds it.
enum Held<'a> {
    Text(&'a Arc<str>),
    Number(i64),
    Truth(bool),
    /// As four octal digits.
    Mode(u32),
    /// What this port stands for.
    OfPort(u16, &'static str),
}

impl<'a> Held<'a> {
    fn number(number: impl TryInto<i64>) -> Held<'a> {
        Held::Number(number.try_into().unwrap_or(i64::MAX))
    }

    fn word(held: Option<Held<'a>>, mut hold: impl FnMut(&'a Arc<str>)) -> Word {
        match held {
            None => Word::Nothing,
            Some(Held::Text(text)) => {
                hold(text);
                Word::Text(place(text))
            }
            Some(Held::Number(number)) => Word::Number(number),
            Some(Held::Truth(truth)) => Word::Number(truth.into()),
            Some(Held::Mode(mode)) => Word::Number(mode.into()),
            Some(Held::OfPort(port, _)) => Word::Number(port.into()),
        }
    }

    fn value(self) -> EventValue<'a> {
        match self {
            Held::Text(text) => borrowed(text),
            Held::Number(number) => EventValue::Int(number),
            Held::Truth(truth) => EventValue::Bool(truth),
            Held::OfPort(_, text) => borrowed(text),
            Held::Mode(mode) => EventValue::Str(Cow::Owned(format!("{:04o}", mode & 0o7777))),
        }
    }
}

fn file(event: &FileEvent, field: Field) -> Option<Held<'_>> {
    let renamed = event.common.kind == Kind::Rename;
    match field {
        Field::TargetFilename if renamed => event.new_path.as_ref().map(Held::Text),
        Field::TargetFilename => event.path.as_ref().map(Held::Text),
        Field::SourceFilename if renamed => event.path.as_ref().map(Held::Text),
        Field::FileMode => event.mode.map(Held::Mode),
        Field::FileExecutable => event.mode.map(|mode| Held::Truth(mode & 0o111 != 0)),
        Field::Result => Some(Held::number(event.ret)),
        _ => None,
    }
}

/// Every name the peer goes by; a rule matches if any of them does.
fn hostnames<'a>(
    event: &'a NetworkEvent,
    peer: Option<&'a Container>,
    domain: Option<&'a str>,
) -> Option<EventValue<'a>> {
    if event.common.kind == Kind::Accept {
        return None;
    }
    let of_peer = peer.iter().flat_map(|peer| peer.aliases.iter().chain(&peer.name)).map(|name| borrowed(name));
    let names: Vec<_> = of_peer.chain(domain.map(borrowed)).collect();
    (!names.is_empty()).then_some(EventValue::Array(names))
}

fn network<'a>(look: &NetworkLook<'a>, field: Field) -> Option<Held<'a>> {
    // Of a socket that is closed or changes its state nobody says who began; its far end is the destination.
    let initiated = look.kind != Kind::Accept;
    let (local, remote) = ((look.local_addr, look.local_port), (look.peer_addr, look.peer_port));
    let (source, destination) = if initiated { (local, remote) } else { (remote, local) };
    match field {
        Field::Initiated => Some(Held::Truth(initiated)),
        Field::Protocol => look.protocol.map(Held::Text),
        Field::DestinationIp => destination.0.map(Held::Text),
        Field::DestinationPort => destination.1.map(Held::number),
        Field::SourceIp => source.0.map(Held::Text),
        Field::SourcePort => source.1.map(Held::number),
        Field::SocketType => look.socket_type.map(Held::Text),
        Field::BytesSent => look.bytes_sent.map(Held::number),
        Field::BytesReceived => look.bytes_received.map(Held::number),
        Field::TcpState => look.state.map(Held::Text),
        Field::TcpOldState => look.old_state.map(Held::Text),
        Field::ServiceName | Field::ServiceChannel | Field::ServiceCredentials | Field::ServiceStore => {
            destination.1.and_then(ports::service).map(|service| of_service(service, field))
        }
        Field::Result => Some(Held::number(look.ret)),
        _ => None,
    }
}

fn of_service(service: &'static Service, field: Field) -> Held<'static> {
    match field {
        Field::ServiceCredentials => Held::Truth(service.credentials),
        Field::ServiceStore => Held::Truth(service.store),
        Field::ServiceChannel => Held::OfPort(service.port, service.channel.name()),
        _ => Held::OfPort(service.port, service.name),
    }
}

fn dns(event: &DnsEvent, field: Field) -> Option<EventValue<'_>> {
    let name = event.question.as_deref();
    match field {
        Field::QueryName => name.map(borrowed),
        Field::QueryType => text(event.qtype.as_ref()),
        Field::QueryStatus => text(event.rcode.as_ref()),
        Field::QueryLabelLength => name.and_then(|name| name.split('.').map(str::len).max()).map(number),
        Field::QueryParent => name.and_then(parent).map(borrowed),
        Field::DestinationIp => text(event.peer_addr.as_ref()),
        Field::DestinationPort => Some(number(event.peer_port)),
        Field::Protocol => Some(borrowed(&event.protocol)),
        _ => None,
    }
}

/// The last two labels of a name that has more.
fn parent(name: &str) -> Option<&str> {
    let (front, _) = name.rsplit_once('.')?;
    let (_, second) = front.rsplit_once('.')?;
    Some(&name[name.len() - (name.len() - front.len()) - second.len()..])
}

fn tls(event: &TlsEvent, field: Field) -> Option<EventValue<'_>> {
    match field {
        Field::HttpMethod => text(event.http_method.as_ref()),
        Field::HttpPath => text(event.http_path.as_ref()),
        Field::HttpHost => text(event.http_host.as_ref()),
        Field::HttpStatus => event.http_status.map(number),
        _ => None,
    }
}

fn flow(event: &FlowEvent, field: Field) -> Option<EventValue<'_>> {
    match field {
        Field::Protocol => text(event.protocol.as_ref()),
        Field::SourceIp => text(event.src_addr.as_ref()),
        Field::SourcePort => event.src_port.map(number),
        Field::DestinationIp => text(event.dst_addr.as_ref()),
        Field::DestinationPort => event.dst_port.map(number),
        Field::FlowDirection => Some(borrowed(&event.direction)),
        Field::PacketCount => Some(number(event.packets)),
        Field::ByteCount => Some(number(event.bytes)),
        Field::SynCount => Some(number(event.syn)),
        Field::SynAckCount => Some(number(event.syn_ack)),
        Field::RstCount => Some(number(event.rst)),
        _ => None,
    }
}

fn resource(event: &ResourceEvent, field: Field) -> Option<EventValue<'_>> {
    match field {
        Field::MemoryBytes => event.memory.map(number),
        Field::ProcessCount => event.processes.map(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_names_parent_is_its_last_two_labels() {
        assert_eq!(parent("a.b.assets.example"), Some("assets.example"));
        assert_eq!(parent("x.assets.example"), Some("assets.example"));
        assert_eq!(parent("assets.example"), None);
        assert_eq!(parent("cache"), None);
    }
}
