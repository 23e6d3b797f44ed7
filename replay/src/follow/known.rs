//! What is known of processes, containers and addresses while a recording is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::{Address, Container, Grown};

use crate::config::Network;
use crate::observe::{Peers, ProcessTable};
use crate::pipeline::World;

/// The tables so far, and the world that the stream sees.
#[derive(Default)]
pub struct KnownSoFar {
    pub world: World,
    containers: BTreeMap<Arc<str>, Container>,
    /// By address, container and the span's begin.
    addresses: BTreeMap<(String, Arc<str>, i64), Address>,
}

impl KnownSoFar {
    /// Takes in what the tables have gained. Processes are let go never: whoever comes from one names it.
    pub fn grow(&mut self, grown: Grown, network: &Network) {
        let Grown { processes, containers, addresses } = grown;
        self.world.processes.extend(processes);
        if containers.is_empty() && addresses.is_empty() {
            return;
        }
        for mut container in containers {
            if let Some(known) = self.containers.get(&container.id) {
                known.addresses.iter().for_each(|address| container.held(address));
            }
            self.containers.insert(Arc::clone(&container.id), container);
        }
        for row in addresses {
            if let Some(container) = self.containers.get_mut(&row.container) {
                container.held(&row.address);
            }
            self.addresses.insert((row.address.clone(), Arc::clone(&row.container), row.since), row);
        }
        let containers: Vec<Container> = self.containers.values().cloned().collect();
        let addresses: Vec<Address> = self.addresses.values().cloned().collect();
        self.world.peers = Peers::new(&containers, &addresses, network);
        self.world.containers = self.containers.clone();
    }
}

impl Default for World {
    fn default() -> Self {
        World { processes: ProcessTable::new([]), peers: Peers::default(), containers: BTreeMap::new() }
    }
}
