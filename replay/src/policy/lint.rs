//! What of a policy is broader than it should be, with why and what to do.

use std::sync::Arc;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::allowed::{Allowed, is_runtime};
use super::net::{Direction, Who};
use super::pattern::Pattern;
use crate::args::path::is_sensitive;
use crate::output::table::terminal_width;
use crate::output::text::clean;
use crate::profile::Profile;
use crate::profile::calls::Calls;

/// System calls that change what holds a container back; Docker's and podman's own profiles refuse most of them without a capability.
pub const DANGEROUS: &[(&str, &str)] = &[
    ("bpf", "loads programs into the kernel"),
    ("delete_module", "removes kernel modules"),
    ("finit_module", "loads kernel modules"),
    ("fsmount", "mounts file systems"),
    ("init_module", "loads kernel modules"),
    ("io_uring_setup", "does input and output past the filter of system calls"),
    ("kexec_file_load", "replaces the kernel"),
    ("kexec_load", "replaces the kernel"),
    ("keyctl", "reaches keys of other containers"),
    ("mount", "mounts file systems"),
    ("move_mount", "mounts file systems"),
    ("open_by_handle_at", "opens files beyond the container's root"),
    ("open_tree", "mounts file systems"),
    ("perf_event_open", "observes the kernel and other processes"),
    ("pidfd_getfd", "takes descriptors from other processes"),
    ("pivot_root", "changes the container's root"),
    ("process_vm_readv", "reads other processes' memory"),
    ("process_vm_writev", "writes other processes' memory"),
    ("ptrace", "controls other processes"),
    ("reboot", "reboots the host"),
    ("setns", "enters other namespaces"),
    ("swapon", "changes the host's memory"),
    ("umount2", "uncovers what is mounted over"),
    ("unshare", "makes namespaces, in which a user has all capabilities"),
    ("userfaultfd", "helps to win races in the kernel"),
];

/// Sockets by which a container can start others.
const RUNTIME_SOCKETS: &[&str] = &["docker.sock", "containerd.sock", "crio.sock", "podman.sock"];

/// Where anybody may write.
const SHARED: &[&str] = &["/tmp/", "/var/tmp/", "/dev/shm/"];

/// Devices that every program uses.
const DEVICES: &[&str] =
    &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/pts/", "/dev/shm/"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    High,
    Medium,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    /// The image, or the file.
    pub of: Arc<str>,
    /// A name of the check.
    pub check: &'static str,
    /// What is allowed.
    pub what: String,
    pub why: &'static str,
    pub hint: &'static str,
}

impl Finding {
    pub(super) fn new(
        level: Level,
        of: &Arc<str>,
        check: &'static str,
        what: impl ToString,
        why: &'static str,
        hint: &'static str,
    ) -> Finding {
        Finding { level, of: Arc::clone(of), check, what: what.to_string(), why, hint }
    }
}

pub fn profile(profile: &Profile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (image, entry) in &profile.images {
        let allowed = Allowed::new(image, entry);
        if !allowed.unlocked.is_empty() {
            findings.push(Finding::new(
                Level::Medium,
                image,
                "not-locked",
                allowed.unlocked.join(", "),
                "the tree was still learning: the policy refuses what it has not seen yet",
                "learn from longer or more recordings, until `replay learn` says that it has converged",
            ));
        }
        files(&allowed, &mut findings);
        connections(&allowed, &mut findings);
        calls(&allowed, &mut findings);
    }
    findings.sort_by(|a, b| (&a.of, a.level, a.check, &a.what).cmp(&(&b.of, b.level, b.check, &b.what)));
    findings
}

fn is_write(op: &str) -> bool {
    !matches!(op, "read" | "list" | "locate")
}

fn files(allowed: &Allowed<'_>, findings: &mut Vec<Finding>) {
    let of = &allowed.image;
    for program in allowed.executables.keys() {
        let text = program.to_string();
        if SHARED.iter().any(|directory| text.starts_with(directory)) {
            findings.push(Finding::new(
                Level::High,
                of,
                "executable-in-shared-directory",
                &text,
                "anybody in the container can put a program there",
                "run it from a directory of the image",
            ));
        }
    }
    for (path, ops) in &allowed.files {
        let text = path.to_string();
        let written = ops.keys().any(|op| is_write(op));
        let executed = |pattern: &Pattern| pattern.covers(path) || path.covers(pattern);
        if written && allowed.executables.keys().chain(&allowed.scripts).any(executed) {
            findings.push(Finding::new(
                Level::High,
                of,
                "writable-and-executable",
                &text,
                "what can write it can have its own code run",
                "write elsewhere, or mount the directory noexec",
            ));
        }
        let device = DEVICES.iter().any(|device| text.starts_with(device));
        let sensitive = is_sensitive(path.prefix().trim_end_matches('/')) && !device;
        if sensitive && path.literal().is_none() {
            findings.push(Finding::new(
                if written { Level::High } else { Level::Medium },
                of,
                "wildcard-in-sensitive-directory",
                &text,
                "any name is allowed where the name is the risk",
                "learn with a higher profile.collapse, or name the files in the policy",
            ));
        }
        if sensitive && written && !text.ends_with(".sock") {
            findings.push(Finding::new(
                Level::Medium,
                of,
                "writes-sensitive-directory",
                &text,
                "configuration, programs or devices can be changed",
                "make the root file system read-only, and give the container a volume for what it writes",
            ));
        }
        if credentials(&text) {
            findings.push(Finding::new(
                Level::Medium,
                of,
                "reads-credentials",
                &text,
                "an intruder in this container gets them, too",
                "mount the credentials only where they are needed",
            ));
        }
    }
}

fn credentials(path: &str) -> bool {
    let inside = ["/.ssh/", "/.aws/", "/secrets/", "/.kube/"];
    matches!(path, "/etc/shadow" | "/etc/gshadow") || inside.iter().any(|part| path.contains(part))
}

fn connections(allowed: &Allowed<'_>, findings: &mut Vec<Finding>) {
    let of = &allowed.image;
    for connection in allowed.connections.keys() {
        let out = connection.direction == Direction::Connect;
        let mut push = |level, check, why, hint| findings.push(Finding::new(level, of, check, connection, why, hint));
        match &connection.who {
            Who::Domain { public: true, .. } if out => push(
                Level::Medium,
                "any-destination-egress",
                "as NetworkPolicy, nftables and Tetragon, which know no domains, it is any public address at that port",
                "use the CiliumNetworkPolicy, or a proxy that knows names",
            ),
            Who::Block(block) if out && block.bits < 8 => push(
                Level::High,
                "any-destination-egress",
                "the block holds a large part of all addresses",
                "learn with a longer network.prefix_v4 or network.prefix_v6",
            ),
            Who::ContainerNetwork if out => push(
                Level::Medium,
                "any-container-egress",
                "any container of the network is reached at that port",
                "record the containers that are reached, so that they are known by image",
            ),
            Who::Metadata => push(
                Level::Medium,
                "metadata-service",
                "the cloud's metadata service gives out the machine's credentials",
                "refuse it, or have the service demand a token (IMDSv2) with a hop limit of 1",
            ),
            Who::Socket(path) if out && RUNTIME_SOCKETS.iter().any(|name| path.ends_with(name)) => push(
                Level::High,
                "runtime-socket",
                "whoever reaches it can start a container with all of the host",
                "do not mount it; if something has to be asked of the runtime, through a proxy that allows just that",
            ),
            Who::Own if connection.direction == Direction::Bind && &*connection.protocol == "udp" => push(
                Level::Medium,
                "any-source-ingress",
                "who sends to a UDP port is not learned: anyone may",
                "write the senders into the policy",
            ),
            _ => {}
        }
    }
}

fn calls(allowed: &Allowed<'_>, findings: &mut Vec<Finding>) {
    const HINT: &str = "see which program makes it (replay profile show), and give that program a container of its own";
    let of = &allowed.image;
    let Some(calls) = allowed.calls else { return };
    if calls.syscall.is_none() && calls.security.is_some() {
        findings.push(Finding::new(
            Level::Medium,
            of,
            "all-calls-but-guarded",
            "seccomp: defaultAction SCMP_ACT_ALLOW",
            "the class syscall was not recorded, so that most system calls have to be allowed",
            "record with --syscalls bitmap and learn again",
        ));
    }
    for made in [&calls.syscall, &calls.security].into_iter().flatten() {
        for (call, programs) in Calls::by_call(made) {
            let own = programs.iter().any(|program| !is_runtime(program));
            let name = if &**call == "umount" { "umount2" } else { &**call };
            let Some((_, why)) = DANGEROUS.iter().find(|(dangerous, _)| *dangerous == name && own) else { continue };
            let finding = Finding::new(Level::High, of, "dangerous-call", name, why, HINT);
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
}

pub fn render(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing over-broad found\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if let Some(width) = terminal_width() {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table.force_no_tty();
    table.set_header(["level", "of", "check", "what", "why", "hint"]);
    for Finding { level, of, check, what, why, hint } in findings {
        let level = if *level == Level::High { "high" } else { "medium" };
        table.add_row([
            level.to_owned(),
            clean(of),
            (*check).to_owned(),
            clean(what),
            (*why).to_owned(),
            (*hint).to_owned(),
        ]);
    }
    let lines: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    format!("{lines}{} findings\n", findings.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::allowed::tests::entry;

    #[test]
    fn each_check_finds_its_own_and_an_ordinary_image_is_clean() {
        let mut broad = entry(
            &["/tmp/x", "/opt/app/bin/tool"],
            &[
                ["app", "/opt/app/bin/tool", "write"],
                ["app", "/usr/share/**", "read"],
                ["app", "/etc/cron.d/job", "write"],
                ["app", "/etc/shadow", "read"],
                ["app", "/dev/null", "write"],
            ],
            &[
                ["app", "connect tcp", "domain api.example public", "443"],
                ["app", "connect tcp", "public 0.0.0.0/0", "443"],
                ["app", "connect tcp", "metadata", "80"],
                ["app", "connect unix", "socket /run/docker.sock", "-"],
                ["app", "bind udp", "any", "514"],
            ],
        );
        let security = [(Arc::from("/usr/bin/app"), [(Arc::from("ptrace"), 1)].into())].into();
        broad.trees.calls = Some(Calls { syscall: None, security: Some(security) });
        let mut images = Profile { images: [(Arc::from("broad"), broad)].into(), ..Profile::default() };
        let found = profile(&images);
        let mut checks: Vec<&str> = found.iter().map(|finding| finding.check).collect();
        checks.sort_unstable();
        checks.dedup();
        assert_eq!(
            checks,
            [
                "all-calls-but-guarded",
                "any-destination-egress",
                "any-source-ingress",
                "dangerous-call",
                "executable-in-shared-directory",
                "metadata-service",
                "not-locked",
                "reads-credentials",
                "runtime-socket",
                "wildcard-in-sensitive-directory",
                "writable-and-executable",
                "writes-sensitive-directory",
            ]
        );
        assert!(!found.iter().any(|finding| finding.what.contains("/dev/null")));

        let plain =
            entry(&["/usr/bin/app"], &[["app", "/srv/data", "write"]], &[["app", "connect tcp", "image db:1", "5432"]]);
        images.images = [(Arc::from("plain"), plain)].into();
        let found = profile(&images);
        assert!(found.iter().all(|finding| finding.check == "not-locked"), "{found:?}");
        assert!(render(&found).contains("1 findings"));
    }
}
