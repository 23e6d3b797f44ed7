//! `replay respond undo LOG`: takes back what a log says was done, the last thing first.

use std::path::Path;

use super::Action;
use super::engine::Engine;
use super::log::{self, Before, Entry};
use crate::error::{Error, Result};
use crate::output::text::clean;

/// What became of each thing that there was to take back.
#[derive(Debug)]
pub struct Undone {
    /// For people.
    pub lines: Vec<String>,
    /// All of it was.
    pub whole: bool,
}

/// Takes back all that can be and was not yet, and writes into the log that it was. `dry`: only says what there is.
///
/// # Errors
/// The log cannot be read or written.
pub fn undo(path: &Path, dry: bool) -> Result<Undone> {
    let mut entries = log::read(path)?;
    let mut undone = Undone { lines: Vec::new(), whole: true };
    for at in (0..entries.len()).rev() {
        let entry = &entries[at];
        if entry.action == Action::Kill && entry.done {
            undone.lines.push(format!("killed stays killed: {} processes of {}", entry.killed.len(), place(entry)));
        }
        if !entry.can_be_undone() {
            continue;
        }
        let what = format!("{} of {}", entry.action.name(), place(entry));
        if dry {
            undone.lines.push(format!("{what}: would be taken back"));
            continue;
        }
        match take_back(&mut entries[at]) {
            Ok(()) => {
                entries[at].undone = true;
                undone.lines.push(format!("{what}: taken back"));
            }
            Err(why) => {
                undone.whole = false;
                undone.lines.push(format!("{what}: NOT taken back: {}", clean(&why)));
            }
        }
        // After each: what is interrupted goes on from there.
        store(path, &entries)?;
    }
    if undone.lines.is_empty() {
        undone.lines.push("nothing was done that could be taken back".to_owned());
    }
    Ok(undone)
}

fn place(entry: &Entry) -> String {
    clean(entry.container_name.as_deref().unwrap_or(&entry.container))
}

fn take_back(entry: &mut Entry) -> std::result::Result<(), String> {
    let engine = Engine::new(entry.runtime.as_deref().unwrap_or_default(), &entry.container)?;
    match entry.action {
        Action::Pause => engine.unpause(),
        Action::Isolate => {
            let Some(Before { networks }) = &mut entry.before else { return Ok(()) };
            // Each that it is on again is let go: a second try has only the rest to do.
            while let Some(network) = networks.first() {
                engine.connect(network)?;
                networks.remove(0);
            }
            Ok(())
        }
        Action::Kill => Ok(()),
    }
}

/// The log as a whole, under another name first.
fn store(path: &Path, entries: &[Entry]) -> Result<()> {
    let line = |entry| serde_json::to_string(entry).expect("string keys and plain values serialize") + "\n";
    let text: String = entries.iter().map(line).collect();
    let part = path.with_extension("jsonl.part");
    let written = std::fs::write(&part, text)
        .and_then(|()| std::fs::set_permissions(&part, std::os::unix::fs::PermissionsExt::from_mode(0o600)))
        .and_then(|()| std::fs::rename(&part, path));
    written.map_err(|error| Error::output(path, error))
}
