//! The process table with its edges, and what follows from a root.

use std::collections::{HashMap, HashSet, VecDeque};

use datasets::{Event, Origin, Process};

use super::{Mark, in_window, is_of};
use crate::error::Error;
use crate::matchers::{RootMatcher, fits};
use crate::timeline::{StepRun, Timeline};

/// Marks by incarnation.
pub(super) type Marks = HashMap<u64, Mark>;

pub(super) struct Tree<'a> {
    by_id: HashMap<u64, &'a Process>,
    all: &'a [Process],
}

impl<'a> Tree<'a> {
    pub(super) fn new(all: &'a [Process]) -> Tree<'a> {
        Tree { by_id: all.iter().map(|process| (process.exec_id, process)).collect(), all }
    }

    /// The roots, and the forks that became them.
    pub(super) fn roots(&self, timeline: &Timeline) -> Result<Marks, Error> {
        let mut marks = HashMap::new();
        for step in &timeline.steps {
            for matcher in &step.matchers.roots {
                let found: Vec<_> =
                    self.all.iter().filter(|process| self.is_root(process, step, matcher, timeline)).collect();
                if found.is_empty() && !matcher.optional {
                    let matcher = format!("process {} {}", matcher.exe, matcher.argv_contains.join(" "));
                    return Err(Error::NoTrace { step: step.step.clone(), matcher });
                }
                for process in found {
                    let mark = Mark::new(step, matcher.technique.as_ref(), matcher.ambiguous);
                    // The fork that became the root by exec belongs to it.
                    if let Some(forked) = self.get(process.prev_exec_id).filter(|prev| prev.origin == Origin::Fork) {
                        marks.entry(forked.exec_id).or_insert_with(|| mark.clone());
                    }
                    marks.insert(process.exec_id, mark);
                }
            }
        }
        Ok(marks)
    }

    /// Gives every descendant the mark of the incarnation it comes from, unless it has one of its own.
    pub(super) fn spread(&self, marks: &mut Marks) {
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

    fn is_root(&self, process: &Process, step: &StepRun, matcher: &RootMatcher, timeline: &Timeline) -> bool {
        let RootMatcher { service, exe, parent_exe, argv_contains, technique: _, ambiguous: _, optional: _ } = matcher;
        let Some(start) = process.start else { return false };
        let parent_fits = || match parent_exe {
            Some(pattern) => self.exe_of(process.parent_exec_id).is_some_and(|exe| fits(pattern, exe)),
            None => true,
        };
        process.origin == Origin::Exec
            && is_of(timeline, service, process.container.as_deref())
            && in_window(step, start)
            && process.exe.as_deref().is_some_and(|path| fits(exe, path))
            && process.argv.as_ref().is_some_and(|argv| {
                let line = argv.join(" ");
                argv_contains.iter().all(|part| line.contains(part.as_str()))
            })
            && parent_fits()
    }

    /// The executable of an incarnation; a fork runs its parent's.
    pub(super) fn exe_of(&self, id: Option<u64>) -> Option<&'a str> {
        let mut at = self.get(id)?;
        // A bound instead of a set of visited ones: a damaged table may hold a circle.
        for _ in 0..64 {
            match &at.exe {
                Some(exe) => return Some(exe),
                None => at = self.get(at.parent_exec_id).filter(|_| at.origin == Origin::Fork)?,
            }
        }
        None
    }

    pub(super) fn mark_of(&self, event: &Event, marks: &Marks) -> Option<Mark> {
        // The fork that begins a marked tree happens in a process outside it.
        let child = match event {
            Event::Process(process) => process.child_exec_id,
            _ => None,
        };
        let own = || event.common().exec_id.and_then(|id| marks.get(&id));
        child.and_then(|id| marks.get(&id)).or_else(own).cloned()
    }

    /// The first incarnation that `parent` forked between two points in time, ns.
    pub(super) fn first_fork(&self, parent: u64, from: i64, to: i64) -> Option<u64> {
        let born = |process: &&Process| process.start.filter(|start| (from..=to).contains(start));
        let forked = self.all.iter().filter(|process| {
            process.origin == Origin::Fork && process.parent_exec_id == Some(parent) && born(process).is_some()
        });
        forked.min_by_key(|process| process.start).map(|process| process.exec_id)
    }

    fn get(&self, id: Option<u64>) -> Option<&'a Process> {
        id.and_then(|id| self.by_id.get(&id).copied())
    }
}
