//! Falco's JSON output (`json_output`): of system calls, what has the fields that a row needs. They are those that the rule's output
//! names, with what `append_output` adds: an alert without `proc.pid` and `evt.type` gives no row. Field names and meanings as in
//! Falco's list of supported fields; not checked against logs that Falco made.

use std::net::IpAddr;
use std::sync::Arc;

use record_bpf::Kind;
use serde_json::{Map, Value};

use super::Malformed;
use super::build::{Builder, Who};
use super::tetragon::{nanoseconds, number, string};
use crate::Result;
use crate::model::{Container, Event, FileEvent, NetworkEvent};

/// The names in `evt.arg.flags` that are flags of open(2) (asm-generic/fcntl.h). Falco adds names of its own, which are none.
const FLAGS: [(&str, u32); 10] = [
    ("O_RDONLY", 0),
    ("O_WRONLY", 0o1),
    ("O_RDWR", 0o2),
    ("O_CREAT", 0o100),
    ("O_EXCL", 0o200),
    ("O_TRUNC", 0o1000),
    ("O_APPEND", 0o2000),
    ("O_NONBLOCK", 0o4000),
    ("O_DIRECTORY", 0o200_000),
    ("O_CLOEXEC", 0o2_000_000),
];

pub(super) fn line(text: &str, builder: &mut Builder) -> Result<Result<(), Malformed>> {
    let object: Value = match serde_json::from_str(text) {
        Ok(object) => object,
        Err(error) => return Ok(Err(error.to_string())),
    };
    if !object["rule"].is_string() {
        return Ok(Err("no rule".to_owned()));
    }
    // As with `json_include_output_fields_property: false`.
    let Some(fields) = object["output_fields"].as_object() else {
        builder.leave_out("alert without output_fields");
        return Ok(Ok(()));
    };
    let time = fields.get("evt.rawtime").or_else(|| fields.get("evt.time")).and_then(Value::as_i64);
    let Some(ts) = time.or_else(|| nanoseconds(object["time"].as_str()?)) else {
        return Ok(Err("no evt.time in ns, and no time".to_owned()));
    };
    if object["source"].as_str().is_some_and(|source| source != "syscall") {
        builder.leave_out(&format!("alert of source {}", object["source"].as_str().unwrap_or("?")));
        return Ok(Ok(()));
    }
    let text = |name: &str| string(fields.get(name).unwrap_or(&Value::Null)).filter(|text| &**text != "<NA>");
    let Some(what) = text("evt.type") else {
        builder.leave_out("alert without evt.type");
        return Ok(Ok(()));
    };
    let id = |name: &str| fields.get(name).and_then(number);
    let Some(pid) = id("proc.pid") else {
        builder.leave_out("alert without proc.pid");
        return Ok(Ok(()));
    };
    let who = Who {
        pid,
        tid: id("thread.tid"),
        ppid: id("proc.ppid"),
        container: container(ts, fields, builder),
        exe: text("proc.exepath"),
        comm: text("proc.name"),
        argv: text("proc.cmdline").map(|line| line.split(' ').filter(|word| !word.is_empty()).map(Arc::from).collect()),
        cwd: text("proc.cwd"),
        uid: id("user.uid"),
        gid: id("group.gid"),
    };
    let result = fields.get("evt.rawres").and_then(Value::as_i64).map_or(0, |ret| ret as i32);
    let fd = fields.get("fd.num").and_then(Value::as_i64).filter(|fd| *fd >= 0).map(|fd| fd as i32);
    match &*what {
        "execve" | "execveat" if result != 0 => builder.leave_out("exec that failed"),
        "execve" | "execveat" => builder.exec(ts, &who)?,
        "open" | "openat" | "openat2" | "creat" => {
            let mut row = FileEvent::new(builder.common(ts, Kind::Open, &who));
            row.path = text("fd.name");
            // What the caller gave, made absolute; links are not followed.
            row.path_from_user = true;
            (row.ret, row.fd, row.flags) = (result, fd, text("evt.arg.flags").map(|names| flags(&names)));
            row.path_truncated = row.path.as_deref().is_none_or(|path| !path.starts_with('/'));
            builder.push(Event::File(row))?;
        }
        "connect" | "accept" | "accept4" => {
            let kind = if &*what == "connect" { Kind::Connect } else { Kind::Accept };
            let Some(mut row) = connection(builder, ts, kind, &who, fields, &text("fd.l4proto")) else {
                builder.leave_out(&format!("{what} of no address"));
                return Ok(Ok(()));
            };
            (row.ret, row.fd) = (result, fd.unwrap_or(-1));
            builder.push(Event::Network(row))?;
        }
        other => builder.leave_out(&format!("evt.type {other}")),
    }
    Ok(Ok(()))
}

fn flags(names: &str) -> u32 {
    let value = |name: &str| FLAGS.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    names.split(['|', ' ']).filter_map(value).fold(0, |all, flag| all | flag)
}

/// By `fd.cip`, `fd.sip` and their ports (client, server), else by `fd.name`: `CLIENT:PORT->SERVER:PORT`.
fn connection(
    builder: &mut Builder,
    ts: i64,
    kind: Kind,
    who: &Who,
    fields: &Map<String, Value>,
    protocol: &Option<Arc<str>>,
) -> Option<NetworkEvent> {
    let (client, server) = fields.get("fd.name").and_then(Value::as_str).and_then(|name| name.split_once("->")).unzip();
    let end = |text: &str| {
        let (address, port) = text.rsplit_once(':')?;
        let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
        Some((address, port.parse::<u16>().ok()?))
    };
    let field = |address: &str, port: &str| {
        let address: IpAddr = fields.get(address)?.as_str()?.parse().ok()?;
        Some((address, u16::try_from(fields.get(port)?.as_u64()?).ok()?))
    };
    let client = field("fd.cip", "fd.cport").or_else(|| end(client?))?;
    let server = field("fd.sip", "fd.sport").or_else(|| end(server?))?;
    let (local, peer) = if kind == Kind::Connect { (client, server) } else { (server, client) };
    let family = if peer.0.is_ipv6() { "inet6" } else { "inet" };
    let protocol = protocol.as_deref().filter(|name| matches!(*name, "tcp" | "udp")).unwrap_or("unknown");
    let mut row = NetworkEvent::new(builder.common(ts, kind, who), family, protocol);
    (row.local_addr, row.local_port) = (Some(local.0.to_string().into()), Some(local.1));
    (row.peer_addr, row.peer_port) = (Some(peer.0.to_string().into()), Some(peer.1));
    Some(row)
}

fn container(ts: i64, fields: &Map<String, Value>, builder: &mut Builder) -> Option<Arc<str>> {
    let text = |name: &str| fields.get(name)?.as_str().filter(|text| !matches!(*text, "" | "<NA>")).map(str::to_owned);
    let id: Arc<str> = text("container.id").filter(|id| id != "host")?.into();
    let tag = text("container.image.tag").map_or_else(String::new, |tag| format!(":{tag}"));
    let image = text("container.image.repository").map(|image| format!("{image}{tag}"));
    builder.container(Container {
        id: id.clone(),
        name: text("container.name"),
        identity: Some(if image.is_some() { "falco" } else { "unresolved" }.to_owned()),
        image,
        pod: text("k8s.pod.name"),
        namespace: text("k8s.ns.name"),
        first_seen: ts,
        ..Container::default()
    });
    Some(id)
}
