//! Falco's JSON output (`json_output`): of system calls, what has the fields that a row needs. They are those that the rule's output
//! names, with what `append_output` adds: an alert without `proc.pid` and `evt.type` gives no row. Field names and meanings as in
//! Falco's list of supported fields; not checked against logs that Falco made.

use std::sync::Arc;

use record_bpf::Kind;
use serde_json::{Map, Value};

use super::Malformed;
use super::build::{Builder, Who};
use super::tetragon::{nanoseconds, number, string};
use crate::Result;
use crate::model::{Container, Event, FileEvent, NetworkEvent};

pub(super) fn line(text: &str, builder: &mut Builder) -> Result<Result<(), Malformed>> {
    let object: Value = match serde_json::from_str(text) {
        Ok(object) => object,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let Some(fields) = object["output_fields"].as_object() else { return Ok(Err("no output_fields".to_owned())) };
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
    match &*what {
        "execve" | "execveat" => builder.exec(ts, &who)?,
        "open" | "openat" | "openat2" | "creat" => {
            let mut row = FileEvent::new(builder.common(ts, Kind::Open, &who));
            row.path = text("fd.name");
            row.path_truncated = row.path.as_deref().is_none_or(|path| !path.starts_with('/'));
            builder.push(Event::File(row))?;
        }
        "connect" | "accept" | "accept4" => {
            let kind = if &*what == "connect" { Kind::Connect } else { Kind::Accept };
            let Some(row) = connection(builder, ts, kind, &who, &text("fd.name"), &text("fd.l4proto")) else {
                builder.leave_out(&format!("{what} of no address"));
                return Ok(Ok(()));
            };
            builder.push(Event::Network(row))?;
        }
        other => builder.leave_out(&format!("evt.type {other}")),
    }
    Ok(Ok(()))
}

/// `fd.name` of a connection: `CLIENT:PORT->SERVER:PORT`.
fn connection(
    builder: &mut Builder,
    ts: i64,
    kind: Kind,
    who: &Who,
    name: &Option<Arc<str>>,
    protocol: &Option<Arc<str>>,
) -> Option<NetworkEvent> {
    let (client, server) = name.as_deref()?.split_once("->")?;
    let end = |text: &str| {
        let (address, port) = text.rsplit_once(':')?;
        let address: std::net::IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
        Some((address, port.parse::<u16>().ok()?))
    };
    let (client, server) = (end(client)?, end(server)?);
    let (local, peer) = if kind == Kind::Connect { (client, server) } else { (server, client) };
    let family = if peer.0.is_ipv6() { "inet6" } else { "inet" };
    let protocol = protocol.as_deref().filter(|name| matches!(*name, "tcp" | "udp")).unwrap_or("unknown");
    let mut row = NetworkEvent::new(builder.common(ts, kind, who), family, protocol);
    (row.local_addr, row.local_port) = (Some(local.0.to_string().into()), Some(local.1));
    (row.peer_addr, row.peer_port) = (Some(peer.0.to_string().into()), Some(peer.1));
    row.fd = -1;
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
