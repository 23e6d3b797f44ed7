//! The network and the containers of a run: created, started, taken down.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::definition::{LOAD_SERVICE, Scenario, Service, Volume};
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
    pub containers: Vec<RunContainer>,
    /// Held for as long as the stage stands; the kernel frees it even when the process is killed.
    _lock: File,
}

impl Stage {
    /// Takes the scenario's lock and removes what a run that was killed left behind.
    pub fn claim(podman: PodmanEnv, scenario: &str) -> Result<Stage, Error> {
        let path = Path::new(STATE).join(format!("{scenario}.lock"));
        let lock = File::create(&path).map_err(Error::io(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(Error::Busy { scenario: scenario.to_owned() }),
            Err(std::fs::TryLockError::Error(source)) => return Err(Error::Io { path, source }),
        }
        let stage = Stage { podman, scenario: scenario.to_owned(), containers: Vec::new(), _lock: lock };
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
            command: Vec::new(),
            ready: Vec::new(),
            volumes: Vec::new(),
            caps: Vec::new(),
        };
        let services = scenario.services.iter().chain([&load]);
        let addresses = (0u32..).map(|offset| Ipv4Addr::from(u32::from(first) + offset).to_string());
        let services: Vec<(&Service, String)> = services.zip(addresses).collect();
        let names: BTreeMap<&String, &String> = services
            .iter()
            .flat_map(|(service, address)| service.aliases.iter().map(move |alias| (alias, address)))
            .collect();
        let names = serde_json::to_string(&names).unwrap_or_default();
        // The definition's checks have made the first service the name server.
        let dns = first.to_string();

        let volumes: BTreeSet<&String> =
            scenario.services.iter().flat_map(|service| &service.volumes).map(|volume| &volume.name).collect();
        for volume in volumes {
            self.podman(&["volume", "create", "--label", &self.label(), &self.volume(volume)])?;
        }
        for (service, address) in &services {
            let place = if service.outside { "outside-" } else { "" };
            let name = format!("retroscope-{place}{}-{}", self.scenario, service.name);
            let image = &images[&service.image];
            let mut command = self.podman.command();
            command.args(["create", "--name", &name, "--hostname", &service.name, "--network", &network]);
            command.args(["--ip", address, "--dns", &dns, "--dns-search", "."]);
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
                let phases = serde_json::to_string(&scenario.load.phases).unwrap_or_default();
                command.args(["--env", &format!("RETROSCOPE_PHASES={phases}")]);
            }
            command.arg(image).args(&service.command);
            let id = output(command)?;
            self.containers.push(RunContainer {
                service: service.name.clone(),
                name,
                id,
                image: image.clone(),
                outside: service.outside,
                aliases: service.aliases.clone(),
                address: address.clone(),
            });
        }
        Ok(())
    }

    /// The container of a service that the definition's checks have seen.
    pub fn container(&self, service: &str) -> Result<&RunContainer, Error> {
        self.containers.iter().find(|container| container.service == service).ok_or_else(|| Error::Podman {
            command: "podman container exists".into(),
            message: format!("service '{service}' has no container"),
        })
    }

    /// Starts a service and waits until `ready` succeeds inside it.
    pub fn start(&self, service: &str, ready: &[String]) -> Result<(), Error> {
        let name = &self.container(service)?.name;
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
    pub fn dead_service(&self) -> Option<&RunContainer> {
        self.containers.iter().find(|each| each.service != LOAD_SERVICE && !self.is_running(&each.name))
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
