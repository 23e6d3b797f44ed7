//! What the tables have gained since it was last asked, for the journal.

use std::collections::HashMap;
use std::sync::Arc;

use datasets::{Address, Container, Masking, Process};

use super::Enricher;

/// Rows of the dimension tables.
pub struct Changes {
    /// New or changed; or every one that was not let go.
    pub processes: Vec<Process>,
    /// Ended for good, and not held any more.
    pub ended: Vec<Process>,
    pub containers: Vec<Container>,
    /// Spans that began or ended.
    pub addresses: Vec<Address>,
}

/// The containers as they were told last, and whether something of them was masked.
pub(super) type Told = HashMap<Arc<str>, (Container, bool)>;

impl Enricher {
    /// `now`: Unix time, ns. `all_processes`: not only those that changed.
    pub fn changes(&mut self, now: i64, all_processes: bool) -> Changes {
        let ended = self.processes.settle(now);
        let processes = self.processes.take_changed(all_processes);
        let new = |container: &&Container| self.told.get(&container.id).is_none_or(|(told, _)| told != *container);
        let mut containers: Vec<Container> = self.containers.values().filter(new).cloned().collect();
        for container in &mut containers {
            let plain = container.clone();
            let masked = self.masks.container(container);
            self.told.insert(container.id.clone(), (plain, masked));
        }
        Changes { processes, ended, containers, addresses: self.addresses.changes() }
    }

    /// What was masked in the rows so far, and in the containers that were told.
    pub fn masking(&self) -> Masking {
        self.masks.account(self.told.values().filter(|(_, masked)| *masked).count() as u64)
    }

    /// Process incarnations seen.
    pub fn processes_seen(&self) -> usize {
        self.processes.count()
    }
}
