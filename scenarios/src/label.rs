//! Ground truth: which events of a recording are the attack's.
//!
//! The rule, in one sentence: everything done by a process tree whose root a step's matcher names, from the fork that
//! created the root to the end of its last descendant, plus the file events that a step names by path. Where trees nest,
//! the innermost root gives the label.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use datasets::{Event, FileEvent, Label, Origin, Process, Recording};

use crate::definition::{FileMatcher, RootMatcher};
use crate::error::Error;
use crate::timeline::{StepRun, Timeline};

/// How far the clock of the runner and that of the recorder (boot time turned into Unix time) may differ, ns.
const CLOCK_SLACK: i64 = 250_000_000;

/// `O_ACCMODE`: the access mode within open flags; 0 is `O_RDONLY`.
const ACCESS_MODE: u32 = 0o3;

/// What an event of the attack is called.
#[derive(Clone)]
struct Mark {
    act: Arc<str>,
    step: Arc<str>,
    technique: Arc<str>,
}

impl Mark {
    fn new(step: &StepRun, technique: Option<&String>) -> Mark {
        let technique = technique.unwrap_or(&step.technique);
        Mark { act: step.act.as_str().into(), step: step.step.as_str().into(), technique: technique.as_str().into() }
    }
}

/// The labels of a finished recording of this run, in the order of its events.
///
/// # Errors
/// [`Error::Recording`]; [`Error::NoTrace`] when a step of the timeline left nothing to label, which means that the
/// recording does not show the run (other containers, another time) or that the attack did not take place.
pub fn label(recording: &Recording, timeline: &Timeline) -> Result<Vec<Label>, Error> {
    if timeline.steps.is_empty() {
        return Ok(Vec::new());
    }
    let processes = recording.processes()?;
    let tree = Tree::new(&processes);
    let marks = tree.marks(timeline)?;

    let files: Vec<_> =
        timeline.steps.iter().flat_map(|step| step.files.iter().map(move |matcher| (step, matcher))).collect();
    let mut file_hits = vec![false; files.len()];
    let mut file_events = false;

    let mut labels = Vec::new();
    for event in recording.events() {
        let event = event?;
        let mark = tree.mark_of(&event, &marks).or_else(|| {
            let Event::File(file) = &event else { return None };
            file_events = true;
            let hit = files.iter().position(|(step, matcher)| tree.file_matches(timeline, step, matcher, file))?;
            file_hits[hit] = true;
            Some(Mark::new(files[hit].0, None))
        });
        if let Some(Mark { act, step, technique }) = mark {
            let common = event.common();
            labels.push(Label { class: event.class(), cpu: common.cpu, seq: common.seq, act, step, technique });
        }
    }
    // A recording without the file class cannot show what a file matcher asks for.
    match files.iter().zip(&file_hits).find(|(_, hit)| file_events && !**hit) {
        Some(((step, matcher), _)) => {
            Err(Error::NoTrace { step: step.step.clone(), matcher: format!("file {}", matcher.path) })
        }
        None => Ok(labels),
    }
}

/// The process table with its edges.
struct Tree<'a> {
    by_id: HashMap<u64, &'a Process>,
    all: &'a [Process],
}

impl<'a> Tree<'a> {
    fn new(all: &'a [Process]) -> Tree<'a> {
        Tree { by_id: all.iter().map(|process| (process.exec_id, process)).collect(), all }
    }

    /// The incarnations that belong to the attack.
    fn marks(&self, timeline: &Timeline) -> Result<HashMap<u64, Mark>, Error> {
        let mut marks = HashMap::new();
        for step in &timeline.steps {
            for matcher in &step.roots {
                let id = container_id(timeline, &matcher.service);
                let found: Vec<_> =
                    self.all.iter().filter(|process| self.is_root(process, step, matcher, id)).collect();
                if found.is_empty() {
                    let matcher = format!("process {} {}", matcher.exe, matcher.argv_contains.join(" "));
                    return Err(Error::NoTrace { step: step.step.clone(), matcher });
                }
                for process in found {
                    let mark = Mark::new(step, matcher.technique.as_ref());
                    // The fork that became the root by exec belongs to it.
                    if let Some(forked) = self.get(process.prev_exec_id).filter(|prev| prev.origin == Origin::Fork) {
                        marks.entry(forked.exec_id).or_insert_with(|| mark.clone());
                    }
                    marks.insert(process.exec_id, mark);
                }
            }
        }
        self.spread(&mut marks);
        Ok(marks)
    }

    /// Gives every descendant the mark of the incarnation it comes from, unless it has one of its own.
    fn spread(&self, marks: &mut HashMap<u64, Mark>) {
        let mut children: HashMap<u64, Vec<u64>> = HashMap::new();
        for process in self.all {
            let from = self.get(process.prev_exec_id).or_else(|| self.get(process.parent_exec_id));
            if let Some(from) = from {
                children.entry(from.exec_id).or_default().push(process.exec_id);
            }
        }
        let mut queue: VecDeque<u64> = marks.keys().copied().collect();
        let own: HashSet<u64> = queue.iter().copied().collect();
        while let Some(id) = queue.pop_front() {
            for child in children.get(&id).into_iter().flatten() {
                // Each incarnation comes from exactly one other: a second visit would be a damaged table's circle.
                if !own.contains(child) && !marks.contains_key(child) {
                    let mark = marks[&id].clone();
                    marks.insert(*child, mark);
                    queue.push_back(*child);
                }
            }
        }
    }

    fn is_root(&self, process: &Process, step: &StepRun, matcher: &RootMatcher, container: Option<&str>) -> bool {
        let RootMatcher { service: _, exe, parent_exe, argv_contains, technique: _ } = matcher;
        let Some(start) = process.start else { return false };
        let parent_fits = || match parent_exe {
            Some(pattern) => self
                .get(process.parent_exec_id)
                .and_then(|parent| self.exe(parent))
                .is_some_and(|exe| fits(pattern, exe)),
            None => true,
        };
        process.origin == Origin::Exec
            && container.is_some()
            && process.container.as_deref() == container
            && in_window(step, start)
            && process.exe.as_deref().is_some_and(|path| fits(exe, path))
            && process.argv.as_ref().is_some_and(|argv| {
                let line = argv.join(" ");
                argv_contains.iter().all(|part| line.contains(part.as_str()))
            })
            && parent_fits()
    }

    /// The executable; a fork runs its parent's.
    fn exe(&self, process: &'a Process) -> Option<&'a str> {
        let mut at = process;
        // A bound instead of a set of visited ones: a damaged table may hold a circle.
        for _ in 0..64 {
            match &at.exe {
                Some(exe) => return Some(exe),
                None => at = self.get(at.parent_exec_id).filter(|_| at.origin == Origin::Fork)?,
            }
        }
        None
    }

    fn mark_of(&self, event: &Event, marks: &HashMap<u64, Mark>) -> Option<Mark> {
        // The fork that begins a marked tree happens in a process outside it.
        let child = match event {
            Event::Process(process) => process.child_exec_id,
            _ => None,
        };
        let own = || event.common().exec_id.and_then(|id| marks.get(&id));
        child.and_then(|id| marks.get(&id)).or_else(own).cloned()
    }

    fn file_matches(&self, timeline: &Timeline, step: &StepRun, matcher: &FileMatcher, event: &FileEvent) -> bool {
        let FileMatcher { service, path, ops, exe, write } = matcher;
        let container = container_id(timeline, service);
        let process = || self.get(event.common.exec_id).and_then(|process| self.exe(process));
        in_window(step, event.common.ts)
            && container.is_some()
            && event.common.container.as_deref() == container
            && event.path.as_deref().is_some_and(|each| fits(path, each))
            && ops.iter().any(|op| op == event.common.kind.op())
            && (!write || event.flags.is_some_and(|flags| flags & ACCESS_MODE != 0))
            && exe.as_ref().is_none_or(|pattern| process().is_some_and(|exe| fits(pattern, exe)))
    }

    fn get(&self, id: Option<u64>) -> Option<&'a Process> {
        id.and_then(|id| self.by_id.get(&id).copied())
    }
}

fn container_id<'t>(timeline: &'t Timeline, service: &str) -> Option<&'t str> {
    timeline.containers.iter().find(|container| container.service == service).map(|container| container.id.as_str())
}

fn in_window(step: &StepRun, ts: i64) -> bool {
    ts >= step.start_ns.saturating_sub(CLOCK_SLACK) && ts <= step.end_ns.saturating_add(CLOCK_SLACK)
}

/// Whether `text` is what `pattern` says, where `*` stands for any run of characters.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').map_or((None, rest), |(middle, tail)| (Some(middle), tail));
    for part in middle.into_iter().flat_map(|middle| middle.split('*')) {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn stars_stand_for_any_run() {
        let yes = [("/usr/bin/*sh", "/usr/bin/dash"), ("/a", "/a"), ("*", ""), ("a*b*c", "axbxbxc"), ("a**c", "ac")];
        for (pattern, text) in yes {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        let no =
            [("/usr/bin/*sh", "/bin/sh"), ("/a", "/ab"), ("a*b*c", "axc"), ("ab*ba", "aba"), ("a*", "b"), ("", "a")];
        for (pattern, text) in no {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}
