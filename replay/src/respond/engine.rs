//! podman and docker: the same words for what is done here.

use std::process::Command;

use serde_json::Value;

use super::log::Network;
use crate::alert::Alert;
use crate::alert::command::is_name;

/// A container, and who runs it.
pub struct Engine {
    program: String,
    /// 64 hex digits: a name could be another container's by now.
    id: String,
}

impl Engine {
    /// # Errors
    /// Another runtime, or an id that none would give.
    pub fn of(alert: &Alert) -> Result<Engine, String> {
        Engine::new(alert.runtime.as_deref().unwrap_or("an unknown runtime"), &alert.container)
    }

    /// # Errors
    /// As [`of`](Self::of).
    pub fn new(runtime: &str, id: &str) -> Result<Engine, String> {
        if !matches!(runtime, "podman" | "docker") {
            return Err(format!("of {runtime}, which this cannot be asked of; the alert's commands are for a person"));
        }
        if id.len() != 64 || !is_name(id) {
            return Err("the container's id is none that podman or docker gives".to_owned());
        }
        Ok(Engine { program: runtime.to_owned(), id: id.to_owned() })
    }

    /// # Errors
    /// What the engine said.
    pub fn pause(&self) -> Result<(), String> {
        self.run(&["pause", &self.id]).map(drop)
    }

    /// # Errors
    /// What the engine said.
    pub fn unpause(&self) -> Result<(), String> {
        self.run(&["unpause", &self.id]).map(drop)
    }

    /// The networks that it is on.
    ///
    /// # Errors
    /// What the engine said; the container has no networks of its own.
    pub fn networks(&self) -> Result<Vec<Network>, String> {
        let text = self.run(&["inspect", "--format", "{{json .NetworkSettings.Networks}}", &self.id])?;
        let value: Value = serde_json::from_str(&text).map_err(|error| format!("{} inspect: {error}", self.program))?;
        let networks: Vec<Network> =
            value.as_object().into_iter().flatten().map(|(name, own)| network(name, own, &self.id)).collect();
        if networks.is_empty() {
            return Err("it is on no network that it could be taken off".to_owned());
        }
        Ok(networks)
    }

    /// # Errors
    /// What the engine said.
    pub fn disconnect(&self, network: &str) -> Result<(), String> {
        self.run(&["network", "disconnect", "--force", network, &self.id]).map(drop)
    }

    /// Puts it on a network again, with the addresses and names it had there.
    ///
    /// # Errors
    /// What the engine said.
    pub fn connect(&self, network: &Network) -> Result<(), String> {
        let mut words = vec!["network".to_owned(), "connect".to_owned()];
        words.extend(network.ip.iter().map(|ip| format!("--ip={ip}")));
        words.extend(network.ip6.iter().map(|ip| format!("--ip6={ip}")));
        words.extend(network.aliases.iter().map(|alias| format!("--alias={alias}")));
        words.extend([network.name.clone(), self.id.clone()]);
        self.run(&words.iter().map(String::as_str).collect::<Vec<_>>()).map(drop)
    }

    fn run(&self, words: &[&str]) -> Result<String, String> {
        let output = Command::new(&self.program).args(words).output();
        let output = output.map_err(|error| format!("{}: {error}", self.program))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        Err(format!("{} {}: {last}", self.program, words[0]))
    }
}

/// Of `inspect`. The engine names every container by the beginning of its id itself.
fn network(name: &str, own: &Value, id: &str) -> Network {
    let text = |key: &str| own[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let aliases = own["Aliases"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Network {
        name: name.to_owned(),
        ip: text("IPAddress"),
        ip6: text("GlobalIPv6Address"),
        aliases: aliases.filter(|alias| !id.starts_with(alias)).map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_kept_with_what_is_the_containers_own() {
        let id = "ab".repeat(32);
        let own = serde_json::json!({
            "IPAddress": "10.89.0.12", "GlobalIPv6Address": "", "Aliases": ["app", id[..12]], "Gateway": "10.89.0.1",
        });
        let aliases = vec!["app".to_owned()];
        assert_eq!(
            network("shop", &own, &id),
            Network { name: "shop".into(), ip: Some("10.89.0.12".into()), ip6: None, aliases }
        );
        assert_eq!(network("shop", &Value::Null, &id).aliases, Vec::<String>::new());
    }

    #[test]
    fn only_what_is_surely_a_container_is_touched() {
        let id = "ab".repeat(32);
        assert!(Engine::new("podman", &id).is_ok() && Engine::new("docker", &id).is_ok());
        for (runtime, id) in [("containerd", &*id), ("podman", "web"), ("podman", "--all"), ("docker", "")] {
            assert!(Engine::new(runtime, id).is_err(), "{runtime} {id}");
        }
    }
}
