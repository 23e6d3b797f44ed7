//! The objects that OCSF's classes have in common.

use std::sync::Arc;

use serde_json::{Value, json};

use super::base;
use crate::manifest::Manifest;
use crate::model::{Container, Event, FileEvent, Process, ProcessEvent};
use crate::rows::Names;

/// Ancestors that are told, at most.
const ANCESTORS: usize = 8;

/// The machine that was recorded. Its name is not in a recording: the recording stands for it.
pub(super) fn device(manifest: &Manifest) -> Value {
    json!({
        "type_id": 0,
        "type": "Unknown",
        "uid": manifest.chain_head(),
        "os": { "name": "Linux", "type_id": 200, "type": "Linux", "kernel_release": manifest.kernel.release },
    })
}

/// The process that did it, with those above it.
pub(super) fn actor(event: &Event, names: &Names) -> Value {
    let common = event.common();
    match names.process(event) {
        Some(row) => with_parents(row, names, ANCESTORS, None),
        None => json!({
            "pid": common.pid,
            "tid": common.tid,
            "uid": common.exec_id.map(|id| id.to_string()),
            "container": container(names.container(event), common.container.as_ref()),
        }),
    }
}

/// A process without those above it.
pub(super) fn process(row: &Process, names: &Names) -> Value {
    with_parents(row, names, 0, None)
}

/// `child`: of which it is a parent; its container is told once for both.
fn with_parents(row: &Process, names: &Names, left: usize, child: Option<&Process>) -> Value {
    let parent = names.parent(row).filter(|_| left > 0);
    let parent = parent.map(|parent| with_parents(parent, names, left - 1, Some(row)));
    let elsewhere = child.is_none_or(|child| child.container != row.container);
    json!({
        "pid": row.pid,
        "uid": row.exec_id.to_string(),
        "name": row.exe.as_deref().map(base).or(row.comm.as_deref()),
        "cmd_line": row.argv.as_ref().map(|argv| line(argv)),
        "working_directory": row.cwd.as_deref(),
        "created_time": row.start.map(|ns| ns / 1_000_000),
        "file": row.exe.as_deref().map(|path| file(path, None)),
        "user": row.uid.map(|uid| json!({ "uid": uid.to_string() })),
        "container": container(names.container_of(row.container.as_ref()), row.container.as_ref().filter(|_| elsewhere)),
        "namespace_pid": row.ns_pid,
        "parent_process": parent,
    })
}

/// A process as an exec's own row tells it, which says more than the table.
pub(super) fn started(row: &ProcessEvent, event: &Event, names: &Names) -> Value {
    let mut process = actor(event, names);
    let own = json!({
        "name": row.exe.as_deref().map(base),
        "cmd_line": row.argv.as_ref().map(|argv| line(argv)),
        "working_directory": row.cwd.as_deref(),
        "file": row.exe.as_deref().map(|path| file(path, None)),
        "user": row.uid.map(|uid| json!({ "uid": uid.to_string() })),
    });
    if let (Value::Object(process), Value::Object(own)) = (&mut process, own) {
        process.extend(own.into_iter().filter(|(_, value)| !value.is_null()));
    }
    process
}

fn line(argv: &[Arc<str>]) -> String {
    argv.iter().map(|arg| &**arg).collect::<Vec<_>>().join(" ")
}

fn container(row: Option<&Container>, id: Option<&Arc<str>>) -> Option<Value> {
    let id = id?;
    let image = row.and_then(|row| {
        let name = row.image.as_deref()?;
        Some(json!({ "uid": row.image_digest.as_deref().or(row.image_id.as_deref()).unwrap_or(name), "name": name }))
    });
    Some(json!({
        "uid": &**id,
        "name": row.and_then(|row| row.name.as_deref()),
        "runtime": row.and_then(|row| row.runtime.as_deref()),
        "image": image,
        "pod_uuid": row.and_then(|row| row.pod_uid.as_deref()),
        "orchestrator": row.and_then(|row| row.namespace.as_deref()).map(|_| "kubernetes"),
    }))
}

/// `row`: of which it is the file, for its kind.
pub(super) fn file(path: &str, row: Option<&FileEvent>) -> Value {
    // The file type's bits of st_mode.
    let kind = row.and_then(|row| row.mode).map_or(0, |mode| match mode & 0o170_000 {
        0o100_000 => 1,
        0o040_000 => 2,
        0o020_000 => 3,
        0o060_000 => 4,
        0o140_000 => 5,
        0o010_000 => 6,
        0o120_000 => 7,
        _ => 0,
    });
    let parent = path.rsplit_once('/').map(|(parent, _)| if parent.is_empty() { "/" } else { parent });
    json!({ "name": base(path), "path": path, "parent_folder": parent.filter(|_| path.len() > 1), "type_id": kind })
}

/// An end of a connection; null where nothing is known of it.
pub(super) fn endpoint(address: Option<&str>, port: Option<u16>, name: Option<&str>) -> Value {
    if address.is_none() && name.is_none() {
        return Value::Null;
    }
    json!({ "ip": address, "port": port, "name": name })
}

/// Numbers of IP protocols as IANA assigns them.
pub(super) fn connection(protocol: &str, family: &str, direction: (u32, &str)) -> Value {
    let number = match protocol {
        "icmp" => Some(1),
        "tcp" => Some(6),
        "udp" => Some(17),
        "icmp6" => Some(58),
        "sctp" => Some(132),
        _ => None,
    };
    let version = match family {
        "inet" => Some(4),
        "inet6" => Some(6),
        _ => None,
    };
    json!({
        "protocol_name": (!protocol.is_empty()).then_some(protocol),
        "protocol_num": number,
        "protocol_ver_id": version,
        "direction_id": direction.0,
        "direction": direction.1,
    })
}

/// The number that DNS has for an answer's code; OCSF's numbers are the same.
pub(super) fn rcode(name: &str) -> u32 {
    const NAMES: [&str; 11] = [
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
        "NOTZONE",
    ];
    let known = NAMES.iter().position(|known| *known == name).map(|at| at as u32);
    known.or_else(|| name.parse().ok().filter(|n| *n <= 10)).unwrap_or(99)
}
