//! Files: program, path segments, operation.
//!
//! Close is no operation of its own (the open said what was meant), and a call that failed because there was nothing
//! there is not one either: a search path would fill the tree with files that do not exist. A refused call counts.

use std::sync::Arc;

use datasets::{FileEvent, FileLook};
use record_bpf::Kind;

use super::{Context, Observation, Observer, container, row};
use crate::args::path::mask_path;
use crate::deviation::Tree;
use crate::profile::node::segment;

const O_ACCMODE: u32 = 0o3;
const O_DIRECTORY: u32 = 0o200_000;
const O_PATH: u32 = 0o10_000_000;
const EPERM: i32 = -1;
const EACCES: i32 = -13;
const EROFS: i32 = -30;

pub fn observe(event: &FileEvent, context: &Context<'_>, observer: &mut Observer, out: &mut Vec<Observation>) {
    let Some(op) = operation(&event.into()) else { return };
    let program: Arc<str> = context.processes.exe(event.common.exec_id);
    let mut push = |path: &Arc<str>, host_path: Option<&Arc<str>>, op: &'static str| {
        let steps = observer.steps(&program, op, path, || steps(&program, op, path));
        out.push(Observation {
            tree: Tree::File,
            ts: event.common.ts,
            container: container(&event.common),
            exec_id: event.common.exec_id,
            pid: event.common.pid,
            row: row(&event.common),
            steps,
            args: None,
            raw: Arc::clone(path),
            host_path: host_path.cloned(),
            reached: None,
        });
    };
    if let Some(path) = &event.path {
        push(path, event.host_path.as_ref(), op);
    }
    if let Some(path) = &event.new_path {
        push(path, None, if op == "denied" { op } else { "rename to" });
    }
}

fn steps(program: &str, op: &'static str, path: &str) -> Arc<[Arc<str>]> {
    let mut steps: Vec<Arc<str>> = vec![mask_path(program).into()];
    let masked = mask_path(path);
    steps.extend(masked.split('/').filter(|name| !name.is_empty()).map(|name| Arc::from(segment(name))));
    steps.push(op.into());
    steps.into()
}

/// The operation's step, or `None` for an event the file tree does not hold.
pub fn operation(event: &FileLook<'_>) -> Option<&'static str> {
    if matches!(event.kind, Kind::Close) {
        return None;
    }
    if event.ret < 0 {
        return matches!(event.ret, EPERM | EACCES | EROFS).then_some("denied");
    }
    match event.kind {
        Kind::Open => {
            let flags = event.flags.unwrap_or(0);
            Some(if flags & O_PATH != 0 {
                "locate"
            } else if flags & O_ACCMODE != 0 {
                "write"
            } else if flags & O_DIRECTORY != 0 {
                "list"
            } else {
                "read"
            })
        }
        Kind::Rename => Some("rename"),
        Kind::Unlink | Kind::Rmdir => Some("unlink"),
        Kind::Chmod => {
            let mode = event.mode.unwrap_or(0);
            Some(if mode & 0o6000 != 0 {
                "set id"
            } else if mode & 0o111 != 0 {
                "make executable"
            } else {
                "chmod"
            })
        }
        _ => None,
    }
}

/// The operation in a sentence: `<program> <verb> <path>`.
pub fn verb(op: &str) -> &str {
    match op {
        "locate" => "looks up",
        "write" => "writes",
        "list" => "lists",
        "read" => "reads",
        "rename" => "renames",
        "rename to" => "renames a file to",
        "unlink" => "deletes",
        "set id" => "sets the set-id bit of",
        "make executable" => "makes executable",
        "chmod" => "changes the mode of",
        "denied" => "is refused access to",
        other => other,
    }
}
