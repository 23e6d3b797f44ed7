//! exec: parent program, program, arguments.

use std::collections::HashMap;
use std::sync::Arc;

use datasets::ProcessEvent;
use foldhash::quality::RandomState;
use record_bpf::Kind;

use super::{Context, Observation, container, row};
use crate::args::Canonical;
use crate::args::path::mask_path;
use crate::config::Config;
use crate::deviation::Tree;

/// Command lines already taken apart, by parent, program and arguments: a service runs few different ones.
#[derive(Default)]
pub struct Commands {
    known: HashMap<Command, Taken, RandomState>,
}

/// Parent, program, arguments, and whether these were cut.
type Command = (Arc<str>, Arc<str>, Box<[Arc<str>]>, bool);

#[derive(Clone)]
struct Taken {
    steps: Arc<[Arc<str>]>,
    args: Canonical,
    raw: Arc<str>,
}

/// Command lines remembered before all are forgotten, and words of one that is: some tens of megabytes.
const MOST: usize = 1 << 14;
const WORDS: usize = 64;

impl Commands {
    fn take_apart(&mut self, command: Command, config: &Config) -> Taken {
        if let Some(taken) = self.known.get(&command) {
            return taken.clone();
        }
        let (parent, exe, argv, truncated) = &command;
        let args = if config.args.canonical {
            Canonical::new(exe, argv, *truncated)
        } else {
            Canonical::verbatim(argv, *truncated)
        };
        let steps = [mask_path(parent).into(), mask_path(exe).into()].into();
        let taken = Taken { steps, args, raw: command_line(exe, argv).into() };
        if argv.len() <= WORDS {
            if self.known.len() >= MOST {
                self.known.clear();
            }
            self.known.insert(command, taken.clone());
        }
        taken
    }
}

pub fn observe(event: &ProcessEvent, context: &Context<'_>, commands: &mut Commands) -> Option<Observation> {
    if event.common.kind != Kind::Exec {
        return None;
    }
    let process = event.common.exec_id.and_then(|id| context.processes.get(id));
    let exe = event.exe.clone().or_else(|| process?.exe.clone()).unwrap_or_else(|| super::table::UNKNOWN.into());
    let parent_id = event.parent_exec_id.or_else(|| process?.parent_exec_id);
    let parent = context.processes.parent_exe(parent_id, event.common.container.as_ref());
    let argv: &[Arc<str>] =
        event.argv.as_deref().or_else(|| process.and_then(|process| process.argv.as_deref())).unwrap_or_default();
    let truncated = event.argv_truncated.unwrap_or(false);
    let Taken { steps, args, raw } = commands.take_apart((parent, exe, argv.into(), truncated), context.config);
    Some(Observation {
        tree: Tree::Process,
        ts: event.common.ts,
        container: container(&event.common),
        exec_id: event.common.exec_id,
        pid: event.common.pid,
        row: row(&event.common),
        steps,
        args: Some(args),
        raw,
        host_path: None,
        reached: None,
    })
}

/// The command as it was typed, with the true executable where argv\[0\] hides its directory.
pub fn command_line<S: AsRef<str>>(exe: &str, argv: &[S]) -> String {
    let mut line = exe.to_owned();
    for arg in argv.iter().skip(1).map(AsRef::as_ref) {
        line.push(' ');
        if arg.is_empty() || arg.contains(char::is_whitespace) {
            line.push('\'');
            line.push_str(arg);
            line.push('\'');
        } else {
            line.push_str(arg);
        }
    }
    line
}
