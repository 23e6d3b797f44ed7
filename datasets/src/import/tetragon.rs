//! Tetragon's JSON export: `process_exec`, `process_exit`, and `process_kprobe` of `tcp_connect`. The fields are those of its
//! `api/v1/tetragon/tetragon.proto`; `flags` is explained in its documentation of the process lifecycle.

use std::sync::Arc;

use record_bpf::Kind;
use serde_json::Value;

use super::Malformed;
use super::build::{Builder, Who};
use crate::Result;
use crate::model::{Container, Event, NetworkEvent};

/// The signals that `process_exit` names, by number.
const SIGNALS: [(&str, i32); 12] = [
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGILL", 4),
    ("SIGTRAP", 5),
    ("SIGABRT", 6),
    ("SIGBUS", 7),
    ("SIGFPE", 8),
    ("SIGKILL", 9),
    ("SIGSEGV", 11),
    ("SIGPIPE", 13),
    ("SIGTERM", 15),
];

pub(super) fn line(text: &str, builder: &mut Builder) -> Result<Result<(), Malformed>> {
    match parse(text) {
        Err(why) => Ok(Err(why)),
        Ok((name, ts, object)) => event(&name, ts, &object[&name], builder),
    }
}

fn parse(text: &str) -> Result<(String, i64, Value), Malformed> {
    let object: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let time = object["time"].as_str().ok_or("no time")?;
    let ts = nanoseconds(time).ok_or_else(|| format!("not a time: {time:?}"))?;
    let keys = object.as_object().into_iter().flatten().map(|(key, _)| key);
    let name = keys.into_iter().find(|key| key.starts_with("process_")).ok_or("no process_… in it")?.clone();
    Ok((name, ts, object))
}

fn event(name: &str, ts: i64, body: &Value, builder: &mut Builder) -> Result<Result<(), Malformed>> {
    let Some(who) = who(ts, &body["process"], &body["parent"], builder) else {
        return Ok(Err(format!("{name} without process.pid")));
    };
    match name {
        // What ran when Tetragon started, read from /proc: no exec happened then.
        "process_exec" if flags(&body["process"]).any(|flag| flag == "procFS") => {
            builder.present(&who);
            builder.leave_out("process_exec of a process that ran before (procFS)");
        }
        "process_exec" => builder.exec(ts, &who)?,
        "process_exit" => {
            let signal = body["signal"].as_str().filter(|name| !name.is_empty());
            let number = signal.and_then(|name| SIGNALS.iter().find(|(known, _)| *known == name)).map(|(_, n)| *n);
            // The status is left out where it is 0.
            let code = signal.is_none().then(|| body["status"].as_i64().unwrap_or(0) as i32);
            builder.exit(ts, &who, code, number)?;
        }
        "process_kprobe" if body["function_name"] == "tcp_connect" => {
            let args = body["args"].as_array().into_iter().flatten();
            let Some(sock) = args.map(|arg| &arg["sock_arg"]).find(|sock| sock.is_object()) else {
                return Ok(Err("tcp_connect without sock_arg".to_owned()));
            };
            let family = if sock["family"] == "AF_INET6" { "inet6" } else { "inet" };
            let mut row = NetworkEvent::new(builder.common(ts, Kind::Connect, &who), family, "tcp");
            let port = |name: &str| sock[name].as_u64().and_then(|port| u16::try_from(port).ok());
            (row.local_addr, row.local_port) = (string(&sock["saddr"]), port("sport"));
            (row.peer_addr, row.peer_port) = (string(&sock["daddr"]), port("dport"));
            builder.push(Event::Network(row))?;
        }
        "process_kprobe" => {
            builder.leave_out(&format!("process_kprobe {}", body["function_name"].as_str().unwrap_or("?")));
        }
        _ => builder.leave_out(name),
    }
    Ok(Ok(()))
}

fn flags(process: &Value) -> impl Iterator<Item = &str> {
    process["flags"].as_str().unwrap_or_default().split(' ')
}

fn who(ts: i64, process: &Value, parent: &Value, builder: &mut Builder) -> Option<Who> {
    let exe = string(&process["binary"]);
    let mut argv: Vec<Arc<str>> = exe.iter().cloned().collect();
    argv.extend(words(process["arguments"].as_str().unwrap_or_default()));
    Some(Who {
        pid: number(&process["pid"])?,
        tid: number(&process["tid"]),
        ppid: number(&parent["pid"]),
        container: container(ts, process, builder),
        comm: None,
        argv: exe.is_some().then_some(argv),
        cwd: string(&process["cwd"]),
        uid: number(&process["uid"]),
        gid: None,
        exe,
    })
}

fn container(ts: i64, process: &Value, builder: &mut Builder) -> Option<Arc<str>> {
    let pod = &process["pod"];
    let inside = &pod["container"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let whole = inside["id"].as_str().or_else(|| process["docker"].as_str()).filter(|id| !id.is_empty())?;
    let (runtime, id) = whole.split_once("://").map_or((None, whole), |(runtime, id)| (Some(runtime), id));
    builder.container(Container {
        id: id.into(),
        runtime: runtime.map(str::to_owned),
        name: text(&inside["name"]),
        image: text(&inside["image"]["name"]),
        image_id: text(&inside["image"]["id"]),
        pod: text(&pod["name"]),
        namespace: text(&pod["namespace"]),
        pod_uid: text(&pod["uid"]),
        first_seen: ts,
        identity: Some(if inside["image"]["name"].is_string() { "tetragon" } else { "unresolved" }.to_owned()),
        ..Container::default()
    });
    Some(id.into())
}

/// The arguments are one text; those with spaces stand in double quotes.
fn words(text: &str) -> Vec<Arc<str>> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for c in text.chars() {
        match c {
            '"' => (quoted, any) = (!quoted, true),
            ' ' if !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word).into());
                }
                any = false;
            }
            c => word.push(c),
        }
    }
    if any || !word.is_empty() {
        words.push(word.into());
    }
    words
}

pub(super) fn nanoseconds(time: &str) -> Option<i64> {
    time.parse::<jiff::Timestamp>().ok().and_then(|time| i64::try_from(time.as_nanosecond()).ok())
}

pub(super) fn string(value: &Value) -> Option<Arc<str>> {
    value.as_str().filter(|text| !text.is_empty()).map(Into::into)
}

pub(super) fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok())
}
