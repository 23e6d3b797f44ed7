//! What only podman itself tells of a container, asked for in the background: the names it answers to on its networks, and
//! from podman 5 on, which keeps them in SQLite, its labels.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::helper::Helper;
use super::podman::Podman;

/// What only `podman container inspect` tells, once the container's network is up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    pub addresses: Vec<String>,
    pub aliases: Vec<String>,
    /// A JSON object.
    pub labels: Option<String>,
}

/// Asks podman about containers on a thread of its own: podman takes its time and locks the container while it starts.
pub struct Inspector {
    requests: Option<Sender<String>>,
    answers: Receiver<(String, Inspected)>,
    thread: Option<thread::JoinHandle<()>>,
}

/// A container gets its address a moment after its cgroup.
const SETTLE: Duration = Duration::from_millis(1500);
const TRIES: u32 = 3;

impl Inspector {
    pub fn start(podman: Podman) -> Inspector {
        let (requests, incoming) = mpsc::channel::<String>();
        let (outgoing, answers) = mpsc::channel();
        let helper = Helper::start(&podman);
        let thread = thread::spawn(move || {
            let Ok(mut helper) = helper else { return };
            let mut waiting: Vec<(Instant, u32, String)> = Vec::new();
            let mut open = true;
            while open || !waiting.is_empty() {
                let request = match waiting.is_empty() {
                    true => incoming.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
                    false => incoming.recv_timeout(Duration::from_millis(200)),
                };
                match request {
                    Ok(id) => waiting.push((Instant::now() + SETTLE, TRIES, id)),
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Err(mpsc::RecvTimeoutError::Disconnected) => open = false,
                }
                // At the end there is no time left to settle.
                let due = |at: &Instant| !open || *at <= Instant::now();
                let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(at, _, _)| due(at));
                waiting = later;
                for (_, tries, id) in now {
                    match inspect(&mut helper, &id) {
                        Some(found) if !found.addresses.is_empty() || tries == 1 || !open => {
                            let _ = outgoing.send((id, found)); // the recorder may have gone
                        }
                        Some(_) => waiting.push((Instant::now() + SETTLE, tries - 1, id)),
                        None => {} // removed already
                    }
                }
            }
        });
        Inspector { requests: Some(requests), answers, thread: Some(thread) }
    }

    pub fn ask(&self, id: &str) {
        if let Some(requests) = &self.requests {
            let _ = requests.send(id.to_owned()); // a dead thread only leaves fields empty
        }
    }

    /// The answers that have come in.
    pub fn answers(&self) -> impl Iterator<Item = (String, Inspected)> + '_ {
        self.answers.try_iter()
    }

    /// Waits for the last answers.
    pub fn finish(mut self) -> Vec<(String, Inspected)> {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.answers.try_iter().collect()
    }
}

fn inspect(helper: &mut Helper, id: &str) -> Option<Inspected> {
    let text = helper.inspect(id)?;
    let found: serde_json::Value = serde_json::from_str(&text).ok()?;
    let container = found.get(0)?;
    let network = container.get("NetworkSettings");
    let networks = network.and_then(|n| n.get("Networks")).and_then(|n| n.as_object());
    let mut result = Inspected::default();
    let mut address = |value: Option<&serde_json::Value>, key: &str| {
        if let Some(text) = value.and_then(|v| v.get(key)).and_then(|v| v.as_str()).filter(|text| !text.is_empty())
            && !result.addresses.iter().any(|known| known == text)
        {
            result.addresses.push(text.to_owned());
        }
    };
    for key in ["IPAddress", "GlobalIPv6Address"] {
        address(network, key);
        networks.into_iter().flatten().for_each(|(_, one)| address(Some(one), key));
    }
    let aliases = networks.into_iter().flatten().filter_map(|(_, one)| one.get("Aliases")?.as_array());
    result.aliases = aliases.flatten().filter_map(|alias| alias.as_str().map(str::to_owned)).collect();
    result.aliases.sort();
    result.aliases.dedup();
    let labels = container.get("Config").and_then(|config| config.get("Labels")).filter(|labels| labels.is_object());
    result.labels = labels.map(ToString::to_string);
    Some(result)
}
