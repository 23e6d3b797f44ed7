//! Commands that a person can run about an alert, in the words of the container's runtime.
//!
//! Names come from the recording, so whoever names a container could try to have something else run: every value is
//! quoted for a POSIX shell, a name that the runtime itself would not accept is replaced by the container's id, and no
//! value can be taken for an option.

use serde::Serialize;

use super::{Place, Technique};
use crate::engines::Severity;

/// A command line for a POSIX shell, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Command {
    pub why: &'static str,
    pub run: String,
}

/// Pod label that a NetworkPolicy can select to cut a pod off.
const QUARANTINE: &str = "retroscope/quarantine";

/// The commands for an alert, in the order to run them. From high on they stop and keep; at medium they only look.
pub fn suggest(
    severity: Severity,
    technique: Option<&Technique>,
    place: &Place,
    alert: &str,
    pid: u32,
) -> Vec<Command> {
    if !severity.is_raised() {
        return Vec::new();
    }
    let stop = severity >= Severity::High;
    if let Some(pod) = Pod::of(place) {
        return kubernetes(&pod, stop, technique, alert);
    }
    if place.is_host() {
        return host(pid, stop);
    }
    let id = &*place.container;
    // An id that no runtime would give could be taken for something else.
    if !is_name(id) {
        return Vec::new();
    }
    let name = place.container_name.as_deref().filter(|name| is_name(name)).unwrap_or(id);
    match place.runtime.as_deref() {
        Some(engine @ ("podman" | "docker")) => engine_commands(engine, name, stop),
        Some("containerd") => containerd(place, id, stop),
        Some("cri-o") => crictl(id, stop),
        Some(runtime @ ("runc" | "crun" | "youki")) => oci(runtime, id, stop),
        // Without a runtime's name there is no command that would be sure to mean this container.
        _ => Vec::new(),
    }
}

fn command(why: &'static str, run: String) -> Command {
    Command { why, run }
}

/// podman and docker share these words.
fn engine_commands(engine: &str, name: &str, stop: bool) -> Vec<Command> {
    if !stop {
        return vec![
            command("what it changed in its files", format!("{engine} diff {name}")),
            command("what runs in it", format!("{engine} top {name}")),
            command("what it printed", format!("{engine} logs --timestamps {name}")),
        ];
    }
    let networks = "{{range $network, $_ := .NetworkSettings.Networks}}{{println $network}}{{end}}";
    vec![
        command("freeze it, memory and all", format!("{engine} pause {name}")),
        command(
            "cut it off from every network",
            format!(
                "{engine} inspect --format '{networks}' {name} | xargs -r -I NETWORK {engine} network disconnect --force \
                 NETWORK {name}"
            ),
        ),
        command("keep its files", format!("{engine} export --output {name}.tar {name}")),
        command("what it changed in its files", format!("{engine} diff {name}")),
    ]
}

fn containerd(place: &Place, id: &str, stop: bool) -> Vec<Command> {
    let ctr = format!("ctr {}", quote(&format!("--namespace={}", containerd_namespace(place))));
    if !stop {
        return vec![
            command("what it is", format!("{ctr} containers info {id}")),
            command("what runs in it", format!("{ctr} tasks ps {id}")),
        ];
    }
    vec![
        command("freeze it, memory and all", format!("{ctr} tasks pause {id}")),
        command("keep its state", format!("{ctr} containers checkpoint --rw {id} retroscope/evidence:{id}")),
    ]
}

/// The containerd namespace: nerdctl's label says it; ctr's cgroups are `/<namespace>/<id>`; else ctr's own default.
fn containerd_namespace(place: &Place) -> String {
    let from_cgroup = || {
        let mut parts = place.cgroup.trim_matches('/').rsplit('/');
        let id = parts.next()?;
        let namespace = parts.next().filter(|_| id == &*place.container)?;
        (parts.next().is_none() && !namespace.ends_with(".slice")).then(|| namespace.to_owned())
    };
    place.label("nerdctl/namespace").or_else(from_cgroup).unwrap_or_else(|| "default".to_owned())
}

fn crictl(id: &str, stop: bool) -> Vec<Command> {
    let mut commands = vec![
        command("what it is", format!("crictl inspect {id}")),
        command("what it printed", format!("crictl logs --timestamps {id}")),
    ];
    if stop {
        commands.push(command("keep its state", format!("crictl checkpoint --export={id}.tar {id}")));
        commands.push(command("stop it", format!("crictl stop {id}")));
    }
    commands
}

fn oci(runtime: &str, id: &str, stop: bool) -> Vec<Command> {
    let mut commands = vec![command("what runs in it", format!("{runtime} ps {id}"))];
    if stop {
        commands.insert(0, command("freeze it, memory and all", format!("{runtime} pause {id}")));
    }
    commands
}

/// Process ids are used again: by the time somebody reads this, another process may have it.
fn host(pid: u32, stop: bool) -> Vec<Command> {
    let mut commands =
        vec![command("whether it is still that process", format!("ps -o pid,lstart,user,args -p {pid}"))];
    if stop {
        commands.push(command("freeze it, memory and all", format!("kill -STOP {pid}")));
    }
    commands
}

struct Pod {
    /// `--namespace=...`
    namespace: String,
    /// `pod/...`
    name: String,
    /// The file that evidence is written to.
    file: String,
}

impl Pod {
    fn of(place: &Place) -> Option<Self> {
        let name = place.pod.as_deref()?;
        let namespace = place.namespace.as_deref().unwrap_or("default");
        let file = if is_name(name) { name } else { "pod" };
        Some(Self {
            namespace: quote(&format!("--namespace={namespace}")),
            name: quote(&format!("pod/{name}")),
            file: format!("{file}.log"),
        })
    }
}

fn kubernetes(pod: &Pod, stop: bool, technique: Option<&Technique>, alert: &str) -> Vec<Command> {
    let Pod { namespace, name, file } = pod;
    let mut commands = vec![
        command(
            "leave a note on it for others",
            format!("kubectl annotate {namespace} {name} retroscope/alert={alert} --overwrite"),
        ),
        command(
            "keep what it printed",
            format!("kubectl logs {namespace} {name} --all-containers --timestamps > {file}"),
        ),
    ];
    if !stop {
        commands.push(command("what it is", format!("kubectl describe {namespace} {name}")));
        return commands;
    }
    commands.push(command(
        "cut it off: a NetworkPolicy that denies all for this label does the rest",
        format!("kubectl label {namespace} {name} {QUARANTINE}=true --overwrite"),
    ));
    let family = technique.map_or("", Technique::family);
    if matches!(family, "T1611" | "T1068" | "T1610" | "T1014" | "T1547") {
        commands.push(command(
            "put nothing more on its node, whose border may be broken",
            format!("kubectl cordon \"$(kubectl get {namespace} {name} --output=jsonpath='{{.spec.nodeName}}')\""),
        ));
    }
    commands.push(command(
        "who made it; that is what to scale to zero, with kubectl scale --replicas=0",
        format!("kubectl get {namespace} {name} --output=jsonpath='{{.metadata.ownerReferences[*].kind}}/{{.metadata.ownerReferences[*].name}}'"),
    ));
    commands
}

/// What podman and docker accept as a name, and containerd as an id: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
pub fn is_name(text: &str) -> bool {
    let good = |(i, byte): (usize, u8)| byte.is_ascii_alphanumeric() || (i > 0 && b"_.-".contains(&byte));
    !text.is_empty() && text.bytes().enumerate().all(good)
}

/// One word of a POSIX shell: plain words as they are, anything else in single quotes.
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:=@%+-,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
