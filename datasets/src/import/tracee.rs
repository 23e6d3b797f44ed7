//! Tracee's JSON output: `sched_process_exec`, `_fork`, `_exit` and `security_socket_connect`. The fields
//! are those of its `types/trace`; of each event's arguments its documentation of events.

use std::sync::Arc;

use record_bpf::Kind;
use serde_json::Value;

use super::Malformed;
use super::build::{Builder, Who};
use super::tetragon::{number, string};
use crate::Result;
use crate::model::{Container, Event, NetworkEvent};

pub(super) fn line(text: &str, builder: &mut Builder) -> Result<Result<(), Malformed>> {
    let object: Value = match serde_json::from_str(text) {
        Ok(object) => object,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let (Some(name), Some(ts)) = (object["eventName"].as_str(), object["timestamp"].as_i64()) else {
        return Ok(Err("no eventName, or no timestamp in ns".to_owned()));
    };
    let Some(who) = who(ts, &object, builder) else { return Ok(Err("no hostProcessId".to_owned())) };
    match name {
        "sched_process_exec" => {
            let argv = argument(&object, "argv").and_then(Value::as_array);
            let argv = argv.map(|words| words.iter().filter_map(|word| word.as_str().map(Into::into)).collect());
            let exe = argument(&object, "pathname").and_then(string).or(who.exe.clone());
            builder.exec(ts, &Who { exe, argv, ..who })?;
        }
        // A new thread is of the same process.
        "sched_process_fork" => {
            let child = |name: &str| argument(&object, name).and_then(number);
            match (child("child_pid"), child("child_tid")) {
                (Some(pid), Some(tid)) if pid == tid => builder.fork(ts, &who, pid)?,
                (Some(_), Some(_)) => builder.leave_out("sched_process_fork of a thread"),
                // Older versions name threads only.
                _ => builder.leave_out("sched_process_fork without child_pid and child_tid"),
            }
        }
        "sched_process_exit" => match argument(&object, "process_group_exit").and_then(Value::as_bool) {
            Some(false) => builder.leave_out("sched_process_exit of a thread"),
            // Its exit_code is not taken: whether it is the code or the kernel's raw status is not certain.
            _ => builder.exit(ts, &who, None, None)?,
        },
        "security_socket_connect" => {
            let peer = argument(&object, "remote_addr").unwrap_or(&Value::Null);
            let (family, addr, port) = match peer["sa_family"].as_str() {
                Some("AF_INET") => ("inet", &peer["sin_addr"], &peer["sin_port"]),
                Some("AF_INET6") => ("inet6", &peer["sin6_addr"], &peer["sin6_port"]),
                Some("AF_UNIX") => ("unix", &Value::Null, &Value::Null),
                _ => return Ok(Err("security_socket_connect without remote_addr of a known sa_family".to_owned())),
            };
            let port = port.as_u64().or_else(|| port.as_str().and_then(|port| port.parse().ok()));
            let mut row = NetworkEvent::new(builder.common(ts, Kind::Connect, &who), family, "unknown");
            row.peer_addr = string(addr);
            row.peer_port = port.and_then(|port| u16::try_from(port).ok());
            row.unix_path = string(&peer["sun_path"]);
            row.fd = argument(&object, "sockfd").and_then(Value::as_i64).map_or(-1, |fd| fd as i32);
            builder.push(Event::Network(row))?;
        }
        _ => builder.leave_out(name),
    }
    Ok(Ok(()))
}

fn argument<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object["args"].as_array()?.iter().find(|arg| arg["name"] == name).map(|arg| &arg["value"])
}

fn who(ts: i64, object: &Value, builder: &mut Builder) -> Option<Who> {
    Some(Who {
        pid: number(&object["hostProcessId"])?,
        tid: number(&object["hostThreadId"]),
        ppid: number(&object["hostParentProcessId"]),
        container: container(ts, object, builder),
        exe: string(&object["executable"]["path"]),
        comm: string(&object["processName"]),
        uid: number(&object["userId"]),
        ..Who::default()
    })
}

fn container(ts: i64, object: &Value, builder: &mut Builder) -> Option<Arc<str>> {
    let (inside, pod) = (&object["container"], &object["kubernetes"]);
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let id = string(&inside["id"]).or_else(|| string(&object["containerId"]))?;
    // In older versions these stood beside the process's fields.
    let image = text(&inside["image"]).or_else(|| text(&object["containerImage"]));
    builder.container(Container {
        id: id.clone(),
        name: text(&inside["name"]).or_else(|| text(&object["containerName"])),
        identity: Some(if image.is_some() { "tracee" } else { "unresolved" }.to_owned()),
        image,
        image_digest: text(&inside["imageDigest"]),
        pod: text(&pod["podName"]).or_else(|| text(&object["podName"])),
        namespace: text(&pod["podNamespace"]).or_else(|| text(&object["podNamespace"])),
        pod_uid: text(&pod["podUID"]).or_else(|| text(&object["podUID"])),
        first_seen: ts,
        ..Container::default()
    });
    Some(id)
}
