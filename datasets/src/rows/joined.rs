//! Columns that a row does not have itself: what the dimension tables say of it, under names of their own.

use serde_json::{Value, json};

use super::names::command;
use super::{Names, Row, summary};
use crate::manifest::Moment;
use crate::model::Process;

/// Names and meanings.
pub const JOINED: &[(&str, &str)] = &[
    ("time", "ts as RFC 3339, UTC"),
    ("class", "event class"),
    ("clock", "time of day, UTC, to the microsecond"),
    ("event", "class and op"),
    ("container_name", "name of the container, or the first 12 digits of its id; null: outside containers"),
    ("image", "its image"),
    ("pod", "its pod, as namespace/name"),
    ("process", "executable of the process that did it"),
    ("program", "the last part of that"),
    ("command", "its command line"),
    ("parent", "executable of the process that forked it"),
    ("label", "act/step technique of the attack it belongs to"),
    ("what", "what happened, in a line"),
];

/// The value of a column of [`JOINED`], null where the tables do not say. `None`: it is none of them.
pub fn joined(name: &str, row: &Row<'_>, names: &Names) -> Option<Value> {
    let event = row.event;
    let process = || names.process(event);
    Some(match name {
        "time" => Moment::from_ns(event.common().ts).utc.into(),
        "clock" => {
            Moment::from_ns(event.common().ts / 1000 * 1000 + 1).utc.get(11..26).map_or(Value::Null, Value::from)
        }
        "class" => event.class().name().into(),
        "event" => format!("{} {}", event.class(), event.common().kind.op()).into(),
        "container_name" => json!(names.place(event)),
        "image" => json!(names.container(event).and_then(|container| container.image.as_deref())),
        "pod" => {
            let container = names.container(event);
            let pod = container.and_then(|container| Some((container.namespace.as_deref(), container.pod.as_deref()?)));
            json!(pod.map(|(namespace, pod)| match namespace {
                Some(namespace) => format!("{namespace}/{pod}"),
                None => pod.to_owned(),
            }))
        }
        "process" => json!(process().and_then(program)),
        "program" => json!(process().and_then(program).and_then(|path| path.rsplit('/').next())),
        "command" => json!(process().map(command)),
        "parent" => {
            let parent = process().and_then(|process| names.parent(process));
            json!(parent.and_then(program))
        }
        "label" => json!(names.label(event).map(|label| {
            let sure = if label.ambiguous { " (ambiguous)" } else { "" };
            format!("{}/{} {}{sure}", label.act, label.step, label.technique)
        })),
        "what" => summary(event).into(),
        _ => return None,
    })
}

fn program(process: &Process) -> Option<&str> {
    process.exe.as_deref().or(process.comm.as_deref())
}
