//! Rows as events of the Open Cybersecurity Schema Framework, <https://schema.ocsf.io/1.5.0>: which class and activity a row is.

use record_bpf::Kind;
use serde_json::{Value, json};

use super::ocsf_objects as objects;
use super::prune;
use crate::manifest::Manifest;
use crate::model::{
    DnsEvent, Event, FileEvent, FlowEvent, NetworkEvent, ProcessEvent, SecurityEvent, SyscallEvent, TlsEvent,
};
use crate::rows::{Names, short_id, summary};

/// The version whose classes and attributes these are; the one that alerts are in, too.
pub const VERSION: &str = "1.5.0";

/// -EINPROGRESS: a connection that is being made, and no failure.
const IN_PROGRESS: i32 = -115;

/// A class, an activity of it, and the attributes that are its own.
struct Act {
    class: (u32, &'static str),
    activity: (u32, &'static str),
    own: Value,
}

const FILE: (u32, &str) = (1001, "File System Activity");
const KERNEL_EXTENSION: (u32, &str) = (1002, "Kernel Extension Activity");
const KERNEL: (u32, &str) = (1003, "Kernel Activity");
const MEMORY: (u32, &str) = (1004, "Memory Activity");
const PROCESS: (u32, &str) = (1007, "Process Activity");
const NETWORK: (u32, &str) = (4001, "Network Activity");
const HTTP: (u32, &str) = (4002, "HTTP Activity");
const DNS: (u32, &str) = (4003, "DNS Activity");

/// `None`: what containers use of the machine is no event of OCSF's.
pub(super) fn event(event: &Event, names: &Names, manifest: &Manifest) -> Option<Value> {
    let act = match event {
        Event::Process(row) => process(row, event, names),
        Event::Security(row) => security(row, event, names),
        Event::File(row) => file(row),
        Event::Network(row) => network(row),
        Event::Dns(row) => dns(row),
        Event::Tls(row) => tls(row),
        Event::Flow(row) => flow(row),
        Event::Syscall(row) => syscall(row),
        Event::Resource(_) => return None,
    };
    let common = event.common();
    let category = act.class.0 / 1000;
    let failed = ret(event).is_some_and(|ret| ret < 0 && ret != i64::from(IN_PROGRESS));
    let label = names.label(event);
    let mut whole = json!({
        "activity_id": act.activity.0,
        "activity_name": act.activity.1,
        "category_uid": category,
        "category_name": if category == 1 { "System Activity" } else { "Network Activity" },
        "class_uid": act.class.0,
        "class_name": act.class.1,
        "type_uid": act.class.0 * 100 + act.activity.0,
        "type_name": format!("{}: {}", act.class.1, act.activity.1),
        "time": common.ts / 1_000_000,
        "severity_id": 1,
        "severity": "Informational",
        "status_id": ret(event).map(|_| if failed { 2 } else { 1 }),
        "status": ret(event).map(|_| if failed { "Failure" } else { "Success" }),
        "status_code": ret(event).filter(|_| failed).map(|ret| ret.to_string()),
        "message": format!("{} {} {}", event.class(), common.kind.op(), summary(event)).trim_end(),
        "metadata": {
            "version": VERSION,
            "uid": format!("{}/{}/{}/{}", short_id(&manifest.chain_head()), event.class(), common.cpu, common.seq),
            "original_time": common.ts.to_string(),
            "sequence": common.seq,
            "event_code": format!("{} {}", event.class(), common.kind.op()),
            "labels": label.map(|label| {
                vec![format!("attack:{}/{}", label.act, label.step), format!("technique:{}", label.technique)]
            }),
            "profiles": if category == 1 { vec!["container"] } else { vec!["container", "host"] },
            "product": { "name": "record", "vendor_name": "Retroscope", "version": manifest.recorder.version },
        },
        "device": objects::device(manifest),
        "actor": { "process": objects::actor(event, names) },
    });
    if let (Value::Object(whole), Value::Object(own)) = (&mut whole, act.own) {
        whole.extend(own);
    }
    prune(&mut whole);
    Some(whole)
}

/// What a call returned, of rows that have it.
fn ret(event: &Event) -> Option<i64> {
    match event {
        Event::File(row) => Some(row.ret.into()),
        Event::Network(row) => Some(row.ret.into()),
        Event::Security(row) => Some(row.ret.into()),
        Event::Syscall(row) => row.ret,
        Event::Process(_) | Event::Dns(_) | Event::Tls(_) | Event::Flow(_) | Event::Resource(_) => None,
    }
}

fn process(row: &ProcessEvent, event: &Event, names: &Names) -> Act {
    let (activity, own) = match row.common.kind {
        // A fork runs no other program: it is no launch.
        Kind::Fork => {
            let child = names.incarnation(row.child_exec_id);
            let known = child.map(|child| objects::process(child, names));
            let known = known
                .unwrap_or_else(|| json!({ "pid": row.child_pid, "uid": row.child_exec_id.map(|id| id.to_string()) }));
            ((99, "Fork"), json!({ "process": known }))
        }
        Kind::Exec => ((1, "Launch"), json!({ "process": objects::started(row, event, names) })),
        _ => {
            let code = row.exit_code.or(row.exit_signal.map(|signal| 128 + signal));
            ((2, "Terminate"), json!({ "process": objects::actor(event, names), "exit_code": code }))
        }
    };
    Act { class: PROCESS, activity, own }
}

fn security(row: &SecurityEvent, event: &Event, names: &Names) -> Act {
    let path = || json!(row.path.as_deref().map(|path| objects::file(path, None)));
    let memory = |activity| {
        let own = json!({
            "process": objects::actor(event, names),
            "base_address": row.address.map(|at| format!("{at:#x}")),
            "size": row.length,
        });
        Act { class: MEMORY, activity, own }
    };
    match row.common.kind {
        Kind::Setuid if row.ret >= 0 => {
            let own = json!({ "process": objects::actor(event, names) });
            Act { class: PROCESS, activity: (5, "Set User ID"), own }
        }
        Kind::Mount | Kind::Umount if row.path.is_some() => {
            let activity = if row.common.kind == Kind::Mount { (12, "Mount") } else { (13, "Unmount") };
            Act { class: FILE, activity, own: json!({ "file": path() }) }
        }
        Kind::Mmap => memory((1, "Allocate Page")),
        Kind::Mprotect => memory((2, "Modify Page")),
        Kind::ModuleLoad | Kind::ModuleUnload if row.path.is_some() || row.name.is_some() => {
            let name = row.path.as_deref().or(row.name.as_deref()).unwrap_or_default();
            let activity = if row.common.kind == Kind::ModuleLoad { (1, "Load") } else { (2, "Unload") };
            Act { class: KERNEL_EXTENSION, activity, own: json!({ "driver": { "file": objects::file(name, None) } }) }
        }
        kind => invoked(kind.op(), row.request.as_deref()),
    }
}

/// A system call.
fn invoked(name: &str, how: Option<&str>) -> Act {
    let own = json!({ "kernel": { "name": name, "type_id": 2, "type": "System Call", "system_call": how } });
    Act { class: KERNEL, activity: (4, "Invoke"), own }
}

fn syscall(row: &SyscallEvent) -> Act {
    match (&row.name, row.nr) {
        (Some(name), _) => invoked(name, None),
        (None, Some(nr)) => invoked(&format!("system call {nr}"), None),
        (None, None) => invoked("set of system calls", row.calls.as_ref().map(|calls| calls.join(" ")).as_deref()),
    }
}

fn file(row: &FileEvent) -> Act {
    let activity = match row.common.kind {
        Kind::Open => (14, "Open"),
        Kind::Read => (2, "Read"),
        Kind::Write | Kind::Truncate | Kind::Fallocate => (3, "Update"),
        Kind::Unlink | Kind::Rmdir => (4, "Delete"),
        Kind::Rename => (5, "Rename"),
        Kind::Setxattr | Kind::Removexattr => (6, "Set Attributes"),
        Kind::Chmod | Kind::Chown => (7, "Set Security"),
        Kind::Mkdir | Kind::Mknod | Kind::Link | Kind::Symlink => (1, "Create"),
        _ => (99, "Close"),
    };
    // A symlink's path is what it points to; what came to be is the new name.
    let (path, result) = match row.common.kind {
        Kind::Symlink | Kind::Link => (row.new_path.as_deref().or(row.path.as_deref()), None),
        _ => (row.path.as_deref(), row.new_path.as_deref()),
    };
    let own = json!({
        "file": objects::file(path.unwrap_or("unknown"), Some(row)),
        "file_result": result.map(|path| objects::file(path, None)),
        "access_mask": row.flags,
    });
    Act { class: FILE, activity, own }
}

fn network(row: &NetworkEvent) -> Act {
    let failed = row.ret < 0 && row.ret != IN_PROGRESS;
    let activity = match row.common.kind {
        Kind::Connect | Kind::Accept if failed => (4, "Fail"),
        Kind::Connect | Kind::Accept => (1, "Open"),
        Kind::NetClose => (2, "Close"),
        Kind::Listen => (7, "Listen"),
        Kind::Peer | Kind::Retransmit => (6, "Traffic"),
        Kind::Bind => (99, "Bind"),
        Kind::Socket => (99, "Socket"),
        _ => (99, "State"),
    };
    let local = objects::endpoint(row.local_addr.as_deref(), row.local_port, row.unix_local.as_deref());
    let peer_name = row.unix_peer.as_deref().or(row.unix_path.as_deref());
    let peer = objects::endpoint(row.peer_addr.as_deref(), row.peer_port, peer_name);
    // Who asked: the peer where it was accepted, or sent.
    let inbound = row.common.kind == Kind::Accept || row.direction.as_deref() == Some("received");
    let outbound = row.common.kind == Kind::Connect || row.direction.as_deref() == Some("sent");
    let (source, destination) = if inbound { (peer, local) } else { (local, peer) };
    let direction = if inbound || outbound { direction(inbound) } else { (0, "Unknown") };
    let own = json!({
        "src_endpoint": source,
        "dst_endpoint": destination,
        "connection_info": objects::connection(&row.protocol, &row.family, direction),
        "traffic": { "bytes_in": row.bytes_received, "bytes_out": row.bytes_sent },
    });
    Act { class: NETWORK, activity, own }
}

fn dns(row: &DnsEvent) -> Act {
    let activity = match row.common.kind {
        Kind::DnsQuery => (1, "Query"),
        Kind::DnsAnswer => (2, "Response"),
        _ => (6, "Traffic"),
    };
    let sent = &*row.direction == "sent";
    let local = objects::endpoint(row.local_addr.as_deref(), Some(row.local_port), None);
    let peer = objects::endpoint(row.peer_addr.as_deref(), Some(row.peer_port), None);
    // The one that asks is the source, of the answer too.
    let (source, destination) =
        if sent == (row.common.kind != Kind::DnsAnswer) { (local, peer) } else { (peer, local) };
    let rcode = row.rcode.as_deref().map(|name| (objects::rcode(name), name));
    let answers = row.answers.iter().flatten().map(|answer| {
        let mut parts = answer.splitn(3, ' ').skip(1);
        let (ty, data) = (parts.next(), parts.next());
        json!({ "type": ty, "rdata": data.or(ty).unwrap_or(answer) })
    });
    let own = json!({
        "query": row.question.as_deref().map(|name| {
            json!({ "hostname": name, "type": row.qtype.as_deref(), "packet_uid": row.id })
        }),
        "answers": answers.collect::<Vec<_>>(),
        "rcode_id": rcode.map(|(id, _)| id),
        "rcode": rcode.map(|(_, name)| name),
        "src_endpoint": source,
        "dst_endpoint": destination,
        "connection_info": objects::connection(&row.protocol, "", direction(!sent)),
    });
    Act { class: DNS, activity, own }
}

/// Plaintext that begins an HTTP/1 message is HTTP activity, other plaintext traffic.
fn tls(row: &TlsEvent) -> Act {
    let sent = row.common.kind == Kind::TlsWrite;
    let own = json!({
        "connection_info": objects::connection("tcp", "", direction(!sent)),
        "traffic": if sent { json!({ "bytes_out": row.bytes }) } else { json!({ "bytes_in": row.bytes }) },
        "dst_endpoint": row.http_host.as_deref().map(|host| json!({ "hostname": host })),
        "http_request": row.http_method.as_deref().map(|method| json!({
            "http_method": method,
            "version": row.http_version.as_deref(),
            "url": { "hostname": row.http_host.as_deref(), "path": row.http_path.as_deref() },
        })),
        "http_response": row.http_status.map(|code| json!({ "code": code })),
    });
    let Some(method) = row.http_method.as_deref() else {
        return Act { class: NETWORK, activity: (6, "Traffic"), own };
    };
    let activity = match method {
        "CONNECT" => (1, "Connect"),
        "DELETE" => (2, "Delete"),
        "GET" => (3, "Get"),
        "HEAD" => (4, "Head"),
        "OPTIONS" => (5, "Options"),
        "POST" => (6, "Post"),
        "PUT" => (7, "Put"),
        "TRACE" => (8, "Trace"),
        _ => (99, "Other"),
    };
    Act { class: HTTP, activity, own }
}

fn direction(inbound: bool) -> (u32, &'static str) {
    if inbound { (1, "Inbound") } else { (2, "Outbound") }
}

fn flow(row: &FlowEvent) -> Act {
    let inbound = &*row.direction == "in";
    let own = json!({
        "src_endpoint": objects::endpoint(row.src_addr.as_deref(), row.src_port, None),
        "dst_endpoint": objects::endpoint(row.dst_addr.as_deref(), row.dst_port, None),
        "connection_info": objects::connection(row.protocol.as_deref().unwrap_or(""), &row.family, direction(inbound)),
        "traffic": { "packets": row.packets, "bytes": row.bytes },
        "start_time": row.start / 1_000_000,
        "end_time": row.common.ts / 1_000_000,
    });
    Act { class: NETWORK, activity: (6, "Traffic"), own }
}
