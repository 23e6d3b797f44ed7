//! The network and the containers of a run: created, started, taken down.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::attendant::Attendant;
use crate::definition::{LOAD_SERVICE, Operation, Scenario, Service, Volume};
use crate::error::Error;
use crate::podman::{PodmanEnv, STATE, output};
use crate::timeline::RunContainer;

/// Every container and network of a run carries it; its value is the scenario's name.
const RUN_LABEL: &str = "io.retroscope.run";

/// How long a service may take to answer after its start.
const READY: Duration = Duration::from_secs(40);

/// Offset of the first container's address in the subnet; the addresses below are the gateway's and podman's own.
const FIRST_ADDRESS: u32 = 10;

/// What stands ready for a scenario. Only one stage of a scenario exists on a host at a time.
pub(crate) struct Stage {
    pub podman: PodmanEnv,
    scenario: String,
    /// Every service that has or may get a container, with its address.
    services: Vec<(Service, String)>,
    /// References by the names that services use.
    images: BTreeMap<String, String>,
    environment: Environment,
    pub attendant: Option<Arc<dyn Attendant>>,
    containers: Mutex<Vec<RunContainer>>,
    /// Held for as long as the stage stands; the kernel frees it even when the process is killed.
    _lock: File,
}

/// What containers are told.
#[derive(Default)]
struct Environment {
    /// JSON: name to address.
    names: String,
    /// JSON: the load's phases.
    phases: String,
    /// Address of the name server.
    dns: String,
    seed: u64,
}

impl Stage {
    /// Takes the scenario's lock and removes what a run that was killed left behind.
    pub fn claim(podman: PodmanEnv, scenario: &str) -> Result<Stage, Error> {
        let path = Path::new(STATE).join(format!("{scenario}.lock"));
        let lock = File::create(&path).map_err(Error::write(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(Error::Busy { scenario: scenario.to_owned() }),
            Err(std::fs::TryLockError::Error(source)) => return Err(Error::Write { path, source }),
        }
        let stage = Stage {
            podman,
            scenario: scenario.to_owned(),
            services: Vec::new(),
            images: BTreeMap::new(),
            environment: Environment::default(),
            attendant: None,
            containers: Mutex::default(),
            _lock: lock,
        };
        stage.clear()?;
        Ok(stage)
    }

    /// Creates the internal network and all containers; nothing runs yet.
    pub fn build(&mut self, scenario: &Scenario, images: &BTreeMap<String, String>, seed: u64) -> Result<(), Error> {
        let network = self.network();
        // Internal: no route to anywhere but the containers on it. And no podman name server either: it would pass unknown
        // names on to the host's, and aardvark-dns 1.4 loses questions while containers start and stop.
        self.podman(&["network", "create", "--internal", "--disable-dns", "--label", &self.label(), &network])?;
        let format = "{{(index .Subnets 0).Subnet}}";
        let subnet = self.podman(&["network", "inspect", "--format", format, &network])?;
        let first = first_address(&subnet).ok_or_else(|| Error::Podman {
            command: "podman network inspect".into(),
            message: format!("'{subnet}' is not an IPv4 subnet"),
        })?;

        let load = Service {
            name: LOAD_SERVICE.to_owned(),
            image: scenario.load.image.clone(),
            outside: true,
            dns: false,
            aliases: Vec::new(),
            command: scenario.load.command.clone(),
            ready: Vec::new(),
            volumes: scenario.load.volumes.clone(),
            caps: Vec::new(),
        };
        let replicas = scenario.operations.iter().flat_map(|operation| replicas(scenario, operation));
        let mut known: Vec<Service> = scenario.services.iter().cloned().chain([load]).collect();
        for replica in replicas {
            if !known.iter().any(|service| service.name == replica.name) {
                known.push(replica);
            }
        }
        let addresses = (0u32..).map(|offset| Ipv4Addr::from(u32::from(first) + offset).to_string());
        self.services = known.into_iter().zip(addresses).collect();
        let names: BTreeMap<&String, &String> = self
            .services
            .iter()
            .flat_map(|(service, address)| service.aliases.iter().map(move |alias| (alias, address)))
            .collect();
        self.environment = Environment {
            names: serde_json::to_string(&names).unwrap_or_default(),
            phases: serde_json::to_string(&scenario.load.phases).unwrap_or_default(),
            // The definition's checks have made the first service the name server.
            dns: first.to_string(),
            seed,
        };
        self.images = images.clone();

        let volumes: BTreeSet<&String> =
            self.services.iter().flat_map(|(service, _)| &service.volumes).map(|volume| &volume.name).collect();
        for volume in volumes {
            self.podman(&["volume", "create", "--label", &self.label(), &self.volume(volume)])?;
        }
        for service in scenario.services.iter().map(|service| service.name.as_str()).chain([LOAD_SERVICE]) {
            self.create(service, None)?;
        }
        Ok(())
    }

    /// Creates the container of a service, of another image than its own if so asked.
    pub fn create(&self, name: &str, image: Option<&str>) -> Result<(), Error> {
        let Some((service, address)) = self.services.iter().find(|(service, _)| service.name == name) else {
            return Err(self.no_container(name));
        };
        let Environment { names, phases, dns, seed } = &self.environment;
        let image = &self.images[image.unwrap_or(&service.image)];
        let place = if service.outside { "outside-" } else { "" };
        let name = format!("retroscope-{place}{}-{}", self.scenario, service.name);
        let mut command = self.podman.command();
        command.args(["create", "--name", &name, "--hostname", &service.name, "--network", &self.network()]);
        command.args(["--ip", address, "--dns", dns, "--dns-search", "."]);
        command.args(["--label", &self.label(), "--http-proxy=false", "--stop-timeout", "5", "--pull", "never"]);
        for alias in &service.aliases {
            command.args(["--network-alias", alias]);
        }
        if service.dns {
            command.args(["--env", &format!("RETROSCOPE_NAMES={names}")]);
        }
        for Volume { name, at } in &service.volumes {
            command.args(["--volume", &format!("{}:{at}", self.volume(name))]);
        }
        for cap in &service.caps {
            command.args(["--cap-add", cap]);
        }
        command.args(["--env", &format!("RETROSCOPE_SEED={seed}")]);
        if service.name == LOAD_SERVICE {
            command.args(["--env", &format!("RETROSCOPE_PHASES={phases}")]);
        }
        if let Some(attendant) = self.attendant.as_ref().filter(|_| !service.outside) {
            command.args(attendant.options(image));
        }
        command.arg(image).args(&service.command);
        let id = output(command)?;
        self.known().push(RunContainer {
            service: service.name.clone(),
            name,
            id,
            image: image.clone(),
            outside: service.outside,
            aliases: service.aliases.clone(),
            address: address.clone(),
            removed: false,
        });
        Ok(())
    }

    /// Stops and removes the container of a service.
    pub fn remove(&self, service: &str) -> Result<(), Error> {
        let id = self.container(service)?.id;
        self.podman(&["rm", "--force", "--time", "5", &id])?;
        for container in self.known().iter_mut().filter(|container| container.id == id) {
            container.removed = true;
        }
        Ok(())
    }

    /// All containers there are and were, in the order they were created.
    pub fn containers(&self) -> Vec<RunContainer> {
        self.known().clone()
    }

    /// A thread that panicked while it held the list left it whole: each change is one step.
    fn known(&self) -> MutexGuard<'_, Vec<RunContainer>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn no_container(&self, service: &str) -> Error {
        Error::Podman {
            command: "podman container exists".into(),
            message: format!("service '{service}' has no container"),
        }
    }

    /// The container that a service has now.
    pub fn container(&self, service: &str) -> Result<RunContainer, Error> {
        let found = self.known().iter().find(|each| each.service == service && !each.removed).cloned();
        found.ok_or_else(|| self.no_container(service))
    }

    /// What must succeed in a service before it counts as up.
    pub fn ready(&self, service: &str) -> Vec<String> {
        self.services
            .iter()
            .find(|(each, _)| each.name == service)
            .map(|(each, _)| each.ready.clone())
            .unwrap_or_default()
    }

    /// SIGTERM, SIGKILL after a while.
    pub fn stop(&self, service: &str) -> Result<(), Error> {
        self.podman(&["stop", &self.container(service)?.name]).map(drop)
    }

    /// SIGKILL to the first process, and with it to all of them.
    pub fn kill(&self, service: &str) -> Result<(), Error> {
        self.podman(&["kill", "--signal", "KILL", &self.container(service)?.name]).map(drop)
    }

    /// Starts a service and waits until `ready` succeeds inside it.
    pub fn start(&self, service: &str, ready: &[String]) -> Result<(), Error> {
        let container = self.container(service)?;
        self.attend(&container)?;
        let name = &container.name;
        self.podman(&["start", name])?;
        let begin = Instant::now();
        while !ready.is_empty() {
            let message = match output(self.exec(service, ready)?) {
                Ok(_) => break,
                Err(error) => error.to_string(),
            };
            let running = self.is_running(name);
            if begin.elapsed() > READY || !running {
                let message = if running { message } else { format!("it ended: {}", self.log_end(name)) };
                let service = service.to_owned();
                return Err(Error::NotReady { service, seconds: begin.elapsed().as_secs(), message });
            }
            sleep(Duration::from_millis(300));
        }
        Ok(())
    }

    /// Shows a container to the attendant before any of its programs runs.
    fn attend(&self, container: &RunContainer) -> Result<(), Error> {
        let Some(attendant) = self.attendant.as_ref().filter(|_| !container.outside) else { return Ok(()) };
        self.podman(&["init", &container.name])?;
        let pid = self.podman(&["inspect", "--format", "{{.State.Pid}}", &container.name])?;
        let failed = |message| Error::Podman { command: format!("setting up '{}'", container.service), message };
        let pid = pid.parse().map_err(|_| failed(format!("'{pid}' is no process id")))?;
        attendant.starting(container, pid).map_err(failed)
    }

    /// Ends a service with SIGTERM and returns the last line it printed.
    pub fn finish(&self, service: &str) -> Result<String, Error> {
        let name = &self.container(service)?.name;
        self.podman(&["stop", name])?;
        Ok(self.log_end(name))
    }

    /// A command that runs `arguments` in the service's container.
    pub fn exec(&self, service: &str, arguments: &[String]) -> Result<Command, Error> {
        let mut command = self.podman.command();
        command.args(["exec", &self.container(service)?.name]).args(arguments);
        Ok(command)
    }

    /// The first service that no longer runs.
    pub fn dead_service(&self) -> Option<RunContainer> {
        let live = self.containers().into_iter().filter(|each| !each.removed && each.service != LOAD_SERVICE);
        live.into_iter().find(|each| !self.is_running(&each.name))
    }

    /// The last line a container printed.
    pub fn log_end(&self, name: &str) -> String {
        let mut command = self.podman.command();
        // Both streams on one, so that neither's last line hides the other's.
        command.args(["logs", "--tail", "1", name]);
        output(command).unwrap_or_default()
    }

    fn is_running(&self, name: &str) -> bool {
        self.podman(&["inspect", "--format", "{{.State.Running}}", name]).is_ok_and(|text| text == "true")
    }

    /// Removes every container, network and volume of this scenario.
    pub fn clear(&self) -> Result<(), Error> {
        let filter = format!("label={}", self.label());
        let containers = self.podman(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter])?;
        for id in containers.lines() {
            self.podman(&["rm", "--force", "--time", "2", "--volumes", id])?;
        }
        let networks = self.podman(&["network", "ls", "--quiet", "--filter", &filter])?;
        for name in networks.lines() {
            self.podman(&["network", "rm", "--force", name])?;
        }
        let volumes = self.podman(&["volume", "ls", "--quiet", "--filter", &filter])?;
        for name in volumes.lines() {
            self.podman(&["volume", "rm", "--force", name])?;
        }
        Ok(())
    }

    fn podman(&self, arguments: &[&str]) -> Result<String, Error> {
        let mut command = self.podman.command();
        command.args(arguments);
        output(command)
    }

    fn network(&self) -> String {
        format!("retroscope-{}", self.scenario)
    }

    fn volume(&self, name: &str) -> String {
        format!("retroscope-{}-{name}", self.scenario)
    }

    fn label(&self) -> String {
        format!("{RUN_LABEL}={}", self.scenario)
    }
}

/// The further containers that an operation starts, as services SERVICE-2 and so on, known by those names.
fn replicas(scenario: &Scenario, operation: &Operation) -> Vec<Service> {
    let Some(model) = scenario.services.iter().find(|service| service.name == operation.service) else {
        return Vec::new();
    };
    let replica = |number| {
        let name = format!("{}-{number}", model.name);
        Service { aliases: vec![name.clone()], name, ..model.clone() }
    };
    (2..=operation.replicas.unwrap_or(1)).map(replica).collect()
}

/// `10.89.0.0/24` gives `10.89.0.10`.
fn first_address(subnet: &str) -> Option<Ipv4Addr> {
    let network: Ipv4Addr = subnet.split_once('/')?.0.parse().ok()?;
    Some(Ipv4Addr::from(u32::from(network).checked_add(FIRST_ADDRESS)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_start_in_the_subnet() {
        assert_eq!(first_address("10.89.3.0/24"), Some(Ipv4Addr::new(10, 89, 3, 10)));
        for bad in ["", "10.89.3.0", "fd00::/64", "255.255.255.255/32"] {
            assert_eq!(first_address(bad), None, "{bad}");
        }
    }
}
