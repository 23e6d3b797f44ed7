//! Who acts: incarnations that are the same to every rule and tree have one number.

use std::collections::HashMap;
use std::sync::Arc;

use datasets::Process;
use foldhash::quality::RandomState;

use crate::observe::ProcessTable;

/// Incarnations, and what they look like, remembered before each is forgotten: some tens of megabytes at most.
const MOST: usize = 1 << 16;

/// Numbers for actors. A number is never given twice.
#[derive(Default)]
pub struct Actors {
    by_id: HashMap<u64, u64, RandomState>,
    by_look: HashMap<Look, u64, RandomState>,
    given: u64,
}

/// What rules and trees can see of a process, but for which one it is.
#[derive(PartialEq, Eq, Hash)]
struct Look {
    own: Option<Own>,
    parent: Option<Command>,
}

#[derive(PartialEq, Eq, Hash)]
struct Own {
    command: Command,
    cwd: Option<Arc<str>>,
    comm: Option<Arc<str>>,
    uid: Option<u32>,
    memfd: bool,
    deleted: bool,
}

/// Program and arguments.
type Command = (Option<Arc<str>>, Option<Vec<Arc<str>>>);

impl Actors {
    /// The number of an incarnation; 0: there is none.
    pub fn number(&mut self, exec_id: Option<u64>, processes: &ProcessTable) -> u64 {
        let Some(id) = exec_id else { return 0 };
        if let Some(number) = self.by_id.get(&id) {
            return *number;
        }
        let look = Look::of(processes.get(id), processes);
        if self.by_id.len() >= MOST {
            self.by_id.clear();
        }
        if self.by_look.len() >= MOST {
            self.by_look.clear();
        }
        let number = *self.by_look.entry(look).or_insert_with(|| {
            self.given += 1;
            self.given
        });
        self.by_id.insert(id, number);
        number
    }

    /// Forgets whom it knows.
    pub fn clear(&mut self) {
        self.by_id.clear();
        self.by_look.clear();
    }
}

impl Look {
    fn of(process: Option<&Process>, processes: &ProcessTable) -> Look {
        let command = |process: &Process| (process.exe.clone(), process.argv.clone());
        let own = |process: &Process| Own {
            command: command(process),
            cwd: process.cwd.clone(),
            comm: process.comm.clone(),
            uid: process.uid,
            memfd: process.exe_memfd,
            deleted: process.exe_deleted,
        };
        let parent = process.and_then(|process| process.parent_exec_id).and_then(|id| processes.get(id));
        Look { own: process.map(own), parent: parent.map(command) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datasets::Origin;

    fn process(exec_id: u64, parent: u64, exe: &str, uid: u32) -> Process {
        Process {
            exec_id,
            parent_exec_id: Some(parent),
            prev_exec_id: None,
            origin: Origin::Exec,
            container: None,
            pid: exec_id as u32,
            ns_pid: None,
            start: Some(exec_id as i64),
            end: None,
            exe: Some(exe.into()),
            argv: None,
            cwd: None,
            comm: None,
            uid: Some(uid),
            gid: None,
            exe_memfd: false,
            exe_deleted: false,
            argv_truncated: false,
            exit_code: None,
            exit_signal: None,
        }
    }

    #[test]
    fn who_looks_the_same_is_the_same() {
        let rows = [(1, 0, "a", 0), (2, 1, "b", 0), (3, 1, "b", 0), (4, 1, "b", 7), (5, 2, "b", 0)];
        let table = ProcessTable::new(rows.map(|(id, parent, exe, uid)| process(id, parent, exe, uid)));
        let mut actors = Actors::default();
        let mut number = |id| actors.number(Some(id), &table);
        assert_eq!(number(2), number(3));
        assert_ne!(number(2), number(4), "another user");
        assert_ne!(number(2), number(5), "another parent");
        assert_eq!(number(8), number(9), "of neither anything is known");
        let before = number(2);
        actors.clear();
        assert!(actors.number(Some(2), &table) > before, "no number is given twice");
        assert_eq!(actors.number(None, &table), 0);
    }
}
