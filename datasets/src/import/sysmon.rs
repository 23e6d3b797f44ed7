//! Sysmon for Linux: its `<Event>` as XML, a line each, alone or behind what syslog puts before it. Event ids and the names of their data as
//! in Sysmon's own schema; not checked against logs that Sysmon made.

use std::collections::BTreeMap;
use std::sync::Arc;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event as Xml};
use quick_xml::{Reader, XmlVersion};
use record_bpf::Kind;

use super::Malformed;
use super::build::{Builder, Who};
use super::tetragon::nanoseconds;
use crate::Result;
use crate::model::{Event, FileEvent, NetworkEvent};

/// fcntl.h
const O_CREAT: u32 = 0o100;

/// What an event holds: its id, its time, and its data by name.
#[derive(Default)]
struct Told {
    id: String,
    time: String,
    data: BTreeMap<String, String>,
}

pub(super) fn line(text: &str, builder: &mut Builder) -> Result<Result<(), Malformed>> {
    // Of another program, in a syslog.
    let Some(begin) = text.find("<Event>") else {
        builder.leave_out("line without an event of Sysmon");
        return Ok(Ok(()));
    };
    let told = match read(text[begin..].trim_end()) {
        Ok(told) => told,
        Err(why) => return Ok(Err(why)),
    };
    let Some(ts) = nanoseconds(&told.time) else {
        return Ok(Err(format!("no TimeCreated, or not a time: {:?}", told.time)));
    };
    let text = |name: &str| told.data.get(name).map(String::as_str).filter(|text| !matches!(*text, "" | "-"));
    let shared = |name: &str| text(name).map(Arc::<str>::from);
    let id = |name: &str| text(name).and_then(|text| text.parse::<u32>().ok());
    let Some(pid) = id("ProcessId") else {
        builder.leave_out(&format!("event {} without ProcessId", told.id));
        return Ok(Ok(()));
    };
    let who = Who { pid, ppid: id("ParentProcessId"), exe: shared("Image"), ..Who::default() };
    match told.id.as_str() {
        "1" => {
            let argv = text("CommandLine").map(|line| line.split(' ').filter(|word| !word.is_empty()).map(Arc::from));
            builder.exec(ts, &Who { argv: argv.map(Iterator::collect), cwd: shared("CurrentDirectory"), ..who })?;
        }
        "3" => {
            let kind = if text("Initiated") == Some("false") { Kind::Accept } else { Kind::Connect };
            let family = if text("DestinationIsIpv6") == Some("true") { "inet6" } else { "inet" };
            let protocol = text("Protocol").filter(|name| matches!(*name, "tcp" | "udp")).unwrap_or("unknown");
            let mut row = NetworkEvent::new(builder.common(ts, kind, &who), family, protocol);
            let port = |name: &str| text(name).and_then(|port| port.parse().ok());
            let end = |side: &str| (shared(&format!("{side}Ip")), port(&format!("{side}Port")));
            // Source is who connects, whichever of the two this is.
            let (local, peer) = match kind {
                Kind::Accept => (end("Destination"), end("Source")),
                _ => (end("Source"), end("Destination")),
            };
            ((row.local_addr, row.local_port), (row.peer_addr, row.peer_port)) = (local, peer);
            row.fd = -1;
            builder.push(Event::Network(row))?;
        }
        "5" => builder.exit(ts, &who, None, None)?,
        "11" => {
            let mut row = FileEvent::new(builder.common(ts, Kind::Open, &who));
            (row.path, row.flags) = (shared("TargetFilename"), Some(O_CREAT));
            row.path_from_user = true;
            row.path_truncated = row.path.as_deref().is_none_or(|path| !path.starts_with('/'));
            builder.push(Event::File(row))?;
        }
        "23" => {
            let mut row = FileEvent::new(builder.common(ts, Kind::Unlink, &who));
            row.path = shared("TargetFilename");
            row.path_from_user = true;
            row.path_truncated = row.path.as_deref().is_none_or(|path| !path.starts_with('/'));
            builder.push(Event::File(row))?;
        }
        other => builder.leave_out(&format!("event {other}")),
    }
    Ok(Ok(()))
}

fn read(xml: &str) -> Result<Told, Malformed> {
    let bad = |error: &dyn std::fmt::Display| format!("not XML: {error}");
    let mut reader = Reader::from_str(xml);
    let mut told = Told::default();
    // Where text goes: the name of a datum, or the event's id.
    let (mut into, mut text) = (None::<Goal>, String::new());
    loop {
        match reader.read_event().map_err(|error| bad(&error))? {
            Xml::Start(tag) if tag.name().as_ref() == b"Data" => into = Some(Goal::Data(attribute(&tag, "Name")?)),
            Xml::Start(tag) if tag.name().as_ref() == b"EventID" => into = Some(Goal::Id),
            Xml::Start(tag) | Xml::Empty(tag) if tag.name().as_ref() == b"TimeCreated" => {
                told.time = attribute(&tag, "SystemTime")?;
            }
            Xml::Text(piece) if into.is_some() => text += &piece.decode().map_err(|error| bad(&error))?,
            Xml::GeneralRef(entity) if into.is_some() => {
                match entity.resolve_char_ref().map_err(|error| bad(&error))? {
                    Some(c) => text.push(c),
                    None => {
                        let name = entity.decode().map_err(|error| bad(&error))?;
                        text += resolve_predefined_entity(&name).ok_or_else(|| format!("unknown entity &{name};"))?;
                    }
                }
            }
            Xml::End(tag) if tag.name().as_ref() == b"Event" => break,
            Xml::End(_) => match into.take() {
                Some(Goal::Data(name)) => drop(told.data.insert(name, std::mem::take(&mut text))),
                Some(Goal::Id) => told.id = std::mem::take(&mut text),
                None => {}
            },
            Xml::Eof => return Err("not XML: it ends before </Event>".to_owned()),
            _ => {}
        }
    }
    if told.id.is_empty() { Err("no EventID".to_owned()) } else { Ok(told) }
}

/// What the text of an element is.
enum Goal {
    Data(String),
    Id,
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<String, Malformed> {
    let found = tag.try_get_attribute(name).map_err(|error| format!("not XML: {error}"))?;
    let value = found.ok_or_else(|| format!("an element without {name}"))?;
    value
        .normalized_value(XmlVersion::Implicit1_0)
        .map(|text| text.into_owned())
        .map_err(|error| format!("not XML: {error}"))
}
