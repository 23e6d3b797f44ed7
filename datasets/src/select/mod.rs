//! A part of a recording: by time, class, container, image and process tree.

mod time;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use record_bpf::Class;

use crate::manifest::Moment;
use crate::model::{Container, Event, Process};
use crate::read::Recording;
use crate::{Error, Result};

pub use time::moment;

/// What stands for processes outside containers among [`Selection::containers`].
pub const HOST: &str = "host";

/// What is wanted of a recording. Of one kind any is enough, and all kinds must hold; an empty kind asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub classes: Vec<Class>,
    /// Not before; Unix time, ns.
    pub from: Option<i64>,
    /// Before; Unix time, ns.
    pub to: Option<i64>,
    /// Names, or the beginnings of ids; [`HOST`]: outside containers.
    pub containers: Vec<String>,
    pub images: Vec<String>,
    /// Process ids or incarnations: they and all that descends from them.
    pub trees: Vec<u64>,
}

/// A [`Selection`] that knows the recording's names.
#[derive(Clone, Debug)]
pub struct Chosen {
    classes: [bool; Class::ALL.len()],
    from: Option<i64>,
    to: Option<i64>,
    containers: Option<HashSet<Option<Arc<str>>>>,
    incarnations: Option<HashSet<u64>>,
}

impl Selection {
    /// Whether everything is wanted.
    pub fn is_all(&self) -> bool {
        *self == Selection::default()
    }

    /// Looks names and numbers up in the recording's tables.
    ///
    /// # Errors
    /// [`Error::Selection`] for a container, an image or a process that is not in it; tables that cannot be read.
    pub fn resolve(&self, recording: &Recording) -> Result<Chosen> {
        let wanted = |class: &Class| self.classes.is_empty() || self.classes.contains(class);
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            return Err(Error::Selection {
                reason: "nothing is between --from and --to: --to is not later".to_owned(),
            });
        }
        let by_container = !self.containers.is_empty() || !self.images.is_empty();
        let containers = by_container.then(|| self.containers(&recording.containers()?)).transpose()?;
        let incarnations = (!self.trees.is_empty()).then(|| self.descendants(&recording.processes()?)).transpose()?;
        Ok(Chosen {
            classes: Class::ALL.map(|class| wanted(&class)),
            from: self.from,
            to: self.to,
            containers,
            incarnations,
        })
    }

    fn containers(&self, table: &[Container]) -> Result<HashSet<Option<Arc<str>>>> {
        let (name, image): (Called, Called) = (|row| row.name.as_deref(), |row| row.image.as_deref());
        let mut named: HashSet<Option<Arc<str>>> = HashSet::new();
        for wanted in &self.containers {
            let is = |row: &Container| name(row) == Some(wanted.as_str()) || row.id.starts_with(wanted.as_str());
            if wanted == HOST && !table.iter().any(is) {
                named.insert(None);
            } else {
                named.extend(find(table, "container", wanted, is, name)?);
            }
        }
        let mut imaged: HashSet<Option<Arc<str>>> = HashSet::new();
        for wanted in &self.images {
            imaged.extend(find(table, "image", wanted, |row| image(row) == Some(wanted.as_str()), image)?);
        }
        Ok(match (self.containers.is_empty(), self.images.is_empty()) {
            (false, false) => named.intersection(&imaged).cloned().collect(),
            (false, true) => named,
            _ => imaged,
        })
    }

    /// The incarnations of the wanted processes and of all that descends from them.
    fn descendants(&self, table: &[Process]) -> Result<HashSet<u64>> {
        let mut next: HashMap<u64, Vec<u64>> = HashMap::new();
        for row in table {
            for before in [row.parent_exec_id, row.prev_exec_id].into_iter().flatten() {
                next.entry(before).or_default().push(row.exec_id);
            }
        }
        let mut found = HashSet::new();
        for wanted in &self.trees {
            let is = |row: &&Process| row.exec_id == *wanted || u64::from(row.pid) == *wanted;
            let mut todo: Vec<u64> = table.iter().filter(is).map(|row| row.exec_id).collect();
            if todo.is_empty() {
                let reason = format!("no process {wanted} here; `datasets tree` prints the process ids that there are");
                return Err(Error::Selection { reason });
            }
            while let Some(id) = todo.pop() {
                if found.insert(id) {
                    todo.extend(next.get(&id).into_iter().flatten());
                }
            }
        }
        Ok(found)
    }

    /// The conditions in words, as they are kept with what was selected.
    pub fn conditions(&self) -> Vec<String> {
        let mut said = Vec::new();
        let names = |values: &[String]| values.join(", ");
        if !self.classes.is_empty() {
            let classes: Vec<&str> = self.classes.iter().map(|class| class.name()).collect();
            said.push(format!("class {}", classes.join(", ")));
        }
        said.extend(self.from.map(|ns| format!("from {}", Moment::from_ns(ns).utc)));
        said.extend(self.to.map(|ns| format!("to {}", Moment::from_ns(ns).utc)));
        if !self.containers.is_empty() {
            said.push(format!("container {}", names(&self.containers)));
        }
        if !self.images.is_empty() {
            said.push(format!("image {}", names(&self.images)));
        }
        if !self.trees.is_empty() {
            let trees: Vec<String> = self.trees.iter().map(u64::to_string).collect();
            said.push(format!("tree {}", trees.join(", ")));
        }
        said
    }
}

/// What a container, or its image, is called.
type Called = fn(&Container) -> Option<&str>;

/// The ids of the containers that are meant; which there are, if none is.
fn find(
    table: &[Container],
    what: &str,
    wanted: &str,
    is: impl Fn(&Container) -> bool,
    called: Called,
) -> Result<Vec<Option<Arc<str>>>> {
    let ids: Vec<Option<Arc<str>>> = table.iter().filter(|row| is(row)).map(|row| Some(row.id.clone())).collect();
    if !ids.is_empty() {
        return Ok(ids);
    }
    let mut names: Vec<&str> = table.iter().filter_map(called).collect();
    names.sort_unstable();
    names.dedup();
    let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Err(Error::Selection { reason: format!("no {what} {wanted:?} here; there are: {there}") })
}

impl Chosen {
    /// The classes that may have rows of it.
    pub fn classes(&self) -> Vec<Class> {
        Class::ALL.into_iter().filter(|class| self.classes[*class as usize]).collect()
    }

    pub fn keeps(&self, event: &Event) -> bool {
        let common = event.common();
        self.classes[event.class() as usize]
            && self.from.is_none_or(|from| common.ts >= from)
            && self.to.is_none_or(|to| common.ts < to)
            && self.containers.as_ref().is_none_or(|ids| ids.contains(&common.container))
            && self.incarnations.as_ref().is_none_or(|ids| common.exec_id.is_some_and(|id| ids.contains(&id)))
    }

    /// The events it has, in (ts, cpu, seq) order; segments of other times and classes are not read.
    pub fn events(&self, recording: &Recording) -> impl Iterator<Item = Result<Event>> + use<> {
        let chosen = self.clone();
        let events = recording.events_between(&self.classes(), self.from, self.to);
        events.filter(move |event| event.as_ref().map_or(true, |event| chosen.keeps(event)))
    }
}
