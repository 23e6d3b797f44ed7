//! A row as the line that Falco prints for an alert with `json_output: true`: <https://falco.org/docs/concepts/outputs/>. The
//! fields are those of <https://falco.org/docs/reference/rules/supported-fields/>, as far as the recording has what they say.

use serde_json::{Map, Value, json};

use super::base;
use crate::manifest::Moment;
use crate::model::{Container, Event, FileEvent, NetworkEvent, Process};
use crate::rows::{Names, Row, summary};

/// What is sampled is no event of Falco's.
pub(super) fn line(row: &Row<'_>, names: &Names) -> Option<Value> {
    let event = row.event;
    if matches!(event, Event::Resource(_) | Event::Flow(_)) {
        return None;
    }
    let common = event.common();
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            fields.insert(name.to_owned(), value);
        }
    };
    put("evt.time", common.ts.into());
    put("evt.type", kind(event).into());
    put("evt.cpu", common.cpu.into());
    put("thread.tid", common.tid.into());
    container(&mut put, event, names.container(event));
    process(&mut put, event, names);
    match event {
        Event::File(event) => file(&mut put, event),
        Event::Network(event) => network(&mut put, event),
        Event::Dns(event) => {
            put("fd.type", "ipv4".into());
            put("fd.l4proto", (*event.protocol).into());
            put("fd.name", tuple(&event.local_addr, Some(event.local_port), &event.peer_addr, Some(event.peer_port)));
        }
        Event::Security(event) => {
            put("evt.res", event.ret.into());
            put("fs.path.name", json!(event.path.as_deref()));
            put("fs.path.source", json!(event.source.as_deref()));
            put("evt.arg.sig", json!(event.signal));
        }
        Event::Syscall(event) => put("evt.res", json!(event.ret)),
        Event::Process(_) | Event::Tls(_) | Event::Flow(_) | Event::Resource(_) => {}
    }
    let label = names.label(event);
    let tags: Vec<&str> = label.map(|label| &*label.technique).into_iter().collect();
    let time = Moment::from_ns(common.ts).utc;
    let clock = time.split('T').nth(1).unwrap_or(&time).trim_end_matches('Z');
    let place = names.place(event).unwrap_or("host");
    let who = names.process(event).and_then(|process| process.exe.as_deref()).map_or("<NA>", base);
    let output = format!(
        "{clock}: Informational {} {} (process={who} pid={} container={place}) {}",
        event.class(),
        common.kind.op(),
        common.pid,
        summary(event)
    );
    Some(json!({
        "output": output.trim_end(),
        "priority": "Informational",
        "rule": format!("Recorded {} {}", event.class(), common.kind.op()),
        "source": "syscall",
        "tags": tags,
        "time": time,
        "output_fields": fields,
    }))
}

/// Falco's name of what happened, where it has another.
fn kind(event: &Event) -> &str {
    match event {
        Event::Process(event) => match event.common.kind.op() {
            "exec" => "execve",
            "fork" => "clone",
            _ => "procexit",
        },
        Event::Syscall(event) => event.name.as_deref().unwrap_or("unknown"),
        Event::Security(event) if event.common.kind.op() == "umount" => "umount2",
        Event::Dns(event) => {
            if &*event.direction == "sent" {
                "sendto"
            } else {
                "recvfrom"
            }
        }
        other => other.common().kind.op(),
    }
}

fn container(put: &mut impl FnMut(&str, Value), event: &Event, row: Option<&Container>) {
    let id = event.common().container.as_deref();
    // Falco's word for processes outside containers.
    put("container.id", id.map_or("host", crate::rows::short_id).into());
    put("container.full_id", json!(id));
    let Some(row) = row else { return };
    put("container.name", json!(row.name));
    put("container.type", json!(row.runtime));
    put("container.image", json!(row.image));
    if let Some(image) = &row.image {
        // A colon before a slash is a registry's port.
        let name = image.split_once('@').map_or(image.as_str(), |(name, _)| name);
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (name, None),
        };
        put("container.image.repository", repository.into());
        put("container.image.tag", json!(tag));
    }
    put("container.image.digest", json!(row.image_digest));
    put("k8s.pod.name", json!(row.pod));
    put("k8s.ns.name", json!(row.namespace));
    put("k8s.pod.uid", json!(row.pod_uid));
}

fn process(put: &mut impl FnMut(&str, Value), event: &Event, names: &Names) {
    put("proc.pid", event.common().pid.into());
    let Some(row) = names.process(event) else { return };
    let name = |row: &Process| json!(row.comm.as_deref().or_else(|| row.exe.as_deref().map(base)));
    put("proc.name", name(row));
    put("proc.exepath", json!(row.exe.as_deref()));
    put("proc.vpid", json!(row.ns_pid));
    put("proc.cwd", json!(row.cwd.as_deref()));
    if let Some([first, rest @ ..]) = row.argv.as_deref() {
        put("proc.exe", (**first).into());
        put("proc.args", rest.iter().map(|arg| &**arg).collect::<Vec<_>>().join(" ").into());
        // Falco's command line has the process's name in the place of argv[0].
        let mut line = name(row).as_str().unwrap_or(first).to_owned();
        rest.iter().for_each(|arg| {
            line.push(' ');
            line.push_str(arg);
        });
        put("proc.cmdline", line.into());
    }
    put("user.uid", json!(row.uid));
    put("group.gid", json!(row.gid));
    if let Some(parent) = names.parent(row) {
        put("proc.ppid", parent.pid.into());
        put("proc.pname", name(parent));
        put("proc.pexepath", json!(parent.exe.as_deref()));
    }
}

fn file(put: &mut impl FnMut(&str, Value), event: &FileEvent) {
    put("fd.type", "file".into());
    put("fd.typechar", "f".into());
    put("fd.num", json!(event.fd));
    put("fd.name", json!(event.path.as_deref()));
    put("evt.res", event.ret.into());
    put("evt.arg.flags", json!(event.flags));
    put("evt.arg.mode", json!(event.mode));
    if event.new_path.is_some() {
        put("fs.path.source", json!(event.path.as_deref()));
        put("fs.path.target", json!(event.new_path.as_deref()));
    }
}

fn network(put: &mut impl FnMut(&str, Value), event: &NetworkEvent) {
    let (ty, char) = match &*event.family {
        "inet" => ("ipv4", "4"),
        "inet6" => ("ipv6", "6"),
        "unix" => ("unix", "u"),
        other => (other, "o"),
    };
    put("fd.type", ty.into());
    put("fd.typechar", char.into());
    put("fd.num", (event.fd >= 0).then_some(event.fd).into());
    put("evt.res", event.ret.into());
    if ty == "unix" {
        put("fd.name", json!(event.unix_path.as_deref().or(event.unix_peer.as_deref())));
        return;
    }
    put("fd.l4proto", (*event.protocol).into());
    put("fd.lip", json!(event.local_addr.as_deref()));
    put("fd.lport", json!(event.local_port));
    put("fd.rip", json!(event.peer_addr.as_deref()));
    put("fd.rport", json!(event.peer_port));
    put("fd.name", tuple(&event.local_addr, event.local_port, &event.peer_addr, event.peer_port));
}

/// As Falco names a connection; null where one end is not known.
fn tuple(
    local: &Option<std::sync::Arc<str>>,
    local_port: Option<u16>,
    peer: &Option<std::sync::Arc<str>>,
    peer_port: Option<u16>,
) -> Value {
    match (local, local_port, peer, peer_port) {
        (Some(local), Some(local_port), Some(peer), Some(peer_port)) => {
            format!("{local}:{local_port}->{peer}:{peer_port}").into()
        }
        _ => Value::Null,
    }
}
