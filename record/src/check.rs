//! `record check`: the facts of this kernel, and what each event class will use of them.

use std::path::Path;

use comfy_table::{ContentArrangement, Table, presets};
use record_bpf::{Class, Kind};
use serde::Serialize;

use crate::bpf::{Programs, Settings, SyscallForm};
use crate::cgroup::Hierarchy;
use crate::error::{Error, Result};
use crate::hooks;
use crate::identity::{self, Places, Podman, Sighting, Storage};
use crate::probe;

const BTF: &str = "/sys/kernel/btf/vmlinux";

#[derive(Debug, Serialize)]
pub struct Report {
    /// Everything needed to record is there.
    pub ready: bool,
    pub facts: Vec<Fact>,
    pub classes: Vec<ClassPlan>,
}

#[derive(Debug, Serialize)]
pub struct Fact {
    pub name: &'static str,
    pub ok: bool,
    /// Recording is impossible without it.
    pub required: bool,
    pub found: String,
    pub hint: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct ClassPlan {
    pub class: &'static str,
    pub events: Vec<&'static str>,
    pub hooks: Vec<&'static str>,
    /// What these hooks cannot give.
    pub limits: &'static str,
}

/// What must hold before a recording starts. The first thing missing, with the way out.
pub fn require() -> Result<()> {
    [root(), btf(), machine()].into_iter().find(|fact| !fact.ok).map_or(Ok(()), |fact| {
        Err(Error::prerequisite(format!("{}: {}", fact.name, fact.found), fact.hint.unwrap_or_default()))
    })
}

pub fn report(podman: &Podman) -> Report {
    let mut facts = vec![machine(), root(), btf(), cgroups()];
    facts.push(programs());
    facts.push(fentry());
    facts.push(containers(podman));
    let classes = Class::ALL.map(|class| ClassPlan {
        class: class.name(),
        events: Kind::ALL.iter().filter(|kind| kind.class() == class).map(|kind| kind.op()).collect(),
        hooks: hooks::of(class),
        limits: limits(class),
    });
    Report { ready: facts.iter().all(|fact| fact.ok || !fact.required), facts, classes: classes.into() }
}

fn limits(class: Class) -> &'static str {
    match class {
        Class::Process => "argv beyond 128 KiB is cut and marked; which layer a program comes from: overlayfs only",
        Class::Security => {
            "mounts, keys, refused calls: paths and names as the caller passed them; memory written first and made \
             executable later, never both at once, is no event; mprotect: no file; init_module: no name; a group signal \
             that is refused: no target"
        }
        Class::Syscall => {
            "numbers and pointers, not what they point to; no duration for a call that began before it was followed or \
             that seccomp refused; 32-bit calls are counted, not recorded"
        }
        Class::File => {
            "failed opens, and calls by name that no fentry serves: path as the caller passed it; no host's view of calls by name; a file system that \
             the host has not mounted has no host path; what mmap and io_uring move is not seen; paths beyond 4,096 \
             bytes are cut and marked; descriptors from 1024 up have no implicit close"
        }
        Class::Flow => {
            "only at interfaces named with --interface, and all packets there, whoever they belong to; xdp sees what is \
             received; a recorder that was killed leaves its tc filters: tc qdisc del dev IFACE clsact"
        }
        Class::Resource => {
            "a container shorter than a second may have no sample; memory only where the container has a memory \
             controller; of a command, shared memory counts in each of its processes, and ended processes need the \
             process class"
        }
        Class::Tls => {
            "OpenSSL (libssl, or linked statically with its symbols) and Go's crypto/tls from 1.17 on; not GnuTLS, NSS, rustls, \
             BoringSSL without symbols, kernel TLS, early data; what a program sends before its code is found is missed; \
             secrets are masked in HTTP/1, forms, JSON and known tokens, not in HTTP/2's compressed headers"
        }
        Class::Network => {
            "system calls only: what io_uring does to sockets is not seen; state and retransmit name the process that \
             connected, listened or accepted, also after it passed the socket on; no retransmitted SYN-ACK; a datagram's \
             sender is known if the caller asked for it; unix datagrams have no peer rows"
        }
        Class::Dns => {
            "port 53 only: no mDNS or LLMNR, no DNS over TLS or HTTPS; the first 4,096 bytes of a message, 16 messages of \
             one sendmmsg or recvmmsg; over TCP, a connection from before the recording has no beginning of messages; \
             bytes sent by splice, sendfile or io_uring are not seen"
        }
    }
}

fn fact(name: &'static str, ok: bool, required: bool, found: impl Into<String>, hint: &str) -> Fact {
    Fact { name, ok, required, found: found.into(), hint: (!ok).then(|| hint.to_owned()) }
}

fn machine() -> Fact {
    let machine = std::env::consts::ARCH;
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let hint = "system call numbers are known for x86-64 only";
    fact("kernel", machine == "x86_64", true, format!("{} on {machine}", release.trim()), hint)
}

fn root() -> Fact {
    // SAFETY: geteuid has no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    let found = if root { "running as root" } else { "not running as root" };
    fact("privileges", root, true, found, "run it with sudo: loading BPF programs needs CAP_BPF and CAP_PERFMON")
}

fn btf() -> Fact {
    let there = Path::new(BTF).exists();
    let found = if there { BTF.to_owned() } else { format!("{BTF} is not there") };
    fact("kernel BTF", there, true, found, "use a kernel built with CONFIG_DEBUG_INFO_BTF=y (5.10 or later)")
}

fn cgroups() -> Fact {
    match Hierarchy::detect() {
        Ok(h) => fact("cgroups", true, true, format!("{} at {}", h.name, h.mount.display()), ""),
        Err(error) => fact("cgroups", false, true, error.to_string(), &error.hint()),
    }
}

/// The most that can be asked of the programs.
pub fn widest() -> Settings {
    Settings {
        follow_tree: true,
        follow_cgroups: true,
        classes: Class::ALL.into(),
        file_io_calls: true,
        ring_bytes: 1 << 20,
        wakeup_batch: 128,
        flow_entries: 1,
        tls_bytes: crate::tls::DEFAULT_BYTES,
        syscalls: SyscallForm::Calls,
        thin: true,
        known: Some(([0; 2], 1)),
    }
}

/// Loads the programs for real; nothing is attached.
fn programs() -> Fact {
    match Hierarchy::detect().and_then(|hierarchy| Programs::load(&widest(), &hierarchy)) {
        Ok(_) => fact("BPF programs", true, true, "loaded and verified", ""),
        Err(error) => {
            let hint =
                "the kernel must allow BTF raw tracepoints: root, CONFIG_BPF_EVENTS, no lockdown=confidentiality";
            fact("BPF programs", false, true, format!("{error}"), hint)
        }
    }
}

fn fentry() -> Fact {
    let answers = probe::fentry();
    let refused: Vec<_> =
        answers.iter().filter_map(|(target, answer)| Some((target, answer.as_ref().err()?))).collect();
    let found = match &refused[..] {
        [] => format!("programs attach to all of {} kernel functions", answers.len()),
        [(target, why), ..] => {
            format!("{} of {} kernel functions refuse programs; {target}: {why}", refused.len(), answers.len())
        }
    };
    let hint =
        "paths of calls by name (as rename, unlink, chmod) come from the caller's memory instead of the kernel's";
    fact("fentry", refused.is_empty(), false, found, hint)
}

/// Whose containers get names: the runtimes whose files are here.
fn containers(podman: &Podman) -> Fact {
    let version = podman.version();
    let mut storage = Storage::find(podman);
    storage.ask(podman);
    let sightings = identity::sightings(Some(&storage), &Places::find());
    let mut runtimes: Vec<String> = version.iter().map(|version| format!("podman {version}")).collect();
    runtimes.extend(sightings.iter().map(|Sighting { runtime, path, error }| match error {
        Some(error) => format!("{runtime}: {} cannot be read: {error}", path.display()),
        None => format!("{runtime}: {}", path.display()),
    }));
    let unreadable = sightings.iter().any(|sighting| sighting.error.is_some());
    let hint = if unreadable {
        "what cannot be read leaves containers without name and image: they are recorded by their id"
    } else {
        "container ids are recorded all the same; names and images come from a runtime's files, and scenarios need podman: \
         run ./dev setup"
    };
    let found = if runtimes.is_empty() { "no runtime's files".to_owned() } else { runtimes.join("\n") };
    fact("containers", !runtimes.is_empty() && !unreadable, false, found, hint)
}

pub fn table(report: &Report) -> String {
    let mut facts = new_table();
    facts.set_header(["this machine", "", "found"]);
    for fact in &report.facts {
        let mark = if fact.ok { "ok" } else { "missing" };
        let hint = fact.hint.as_ref().map(|hint| format!("\n→ {hint}")).unwrap_or_default();
        facts.add_row([fact.name, mark, &format!("{}{hint}", fact.found)]);
    }
    let mut classes = new_table();
    classes.set_header(["class", "events", "hooks", "limits"]);
    for plan in &report.classes {
        classes.add_row([plan.class, &plan.events.join(", "), &plan.hooks.join(", "), plan.limits]);
    }
    let verdict = if report.ready { "ready to record" } else { "cannot record here: see what is missing above" };
    format!("{facts}\n\n{classes}\n{verdict}\n")
}

/// As wide as the terminal, and of a readable width in a pipe.
pub(crate) fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(100);
    }
    table
}
