//! `enforce lsm`: what the processes of a cgroup run, open and connect to is asked of the policy by the kernel's security hooks, and
//! refused where it is not known (`bpf/lsm.bpf.c`).

mod paths;
mod refused;

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{Link, MapCore, MapFlags, OpenObject};
use serde_json::json;

use crate::cgroup::Cgroup;
use crate::cli::Format;
use crate::clock;
use crate::error::{Error, Result};
use crate::known;
use crate::policy::Policy;
use crate::signals::Signals;
use crate::tries::{self, Turned};
use crate::watch::{InForce, Said, print, watch};
use refused::{Act, Answers, Refused, Times, Totals, What};

#[allow(clippy::all, clippy::undocumented_unsafe_blocks, rust_2018_idioms)]
mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/lsm.skel.rs"));
}

/// Where the programs are attached.
pub const HOOKS: [&str; 4] = ["lsm/bprm_check_security", "lsm/file_open", "lsm/socket_connect", "lsm/socket_sendmsg"];

const KERNEL: &str = "this needs root and Linux 5.11 or newer with CONFIG_BPF_LSM and BTF; `enforce xdp` does without";
const NOT_AMONG: &str =
    "start the kernel with `lsm=LIST,bpf`, LIST being what /sys/kernel/security/lsm or CONFIG_LSM has";

const AFTER: &str = "\
Examples:
  enforce lsm app.bpf.json --cgroup /sys/fs/cgroup/machine.slice/libpod-1234.scope --dry-run
                                                       for a while, until nothing of ordinary life is reported
  enforce lsm app.bpf.json --cgroup machine.slice/libpod-1234.scope
  enforce lsm app.bpf.json --cgroup machine.slice/libpod-1234.scope --format json -d 1h > refused.jsonl

A container's cgroup: /proc/PID/cgroup of one of its processes (podman inspect --format '{{.State.Pid}}' NAME). The policy:
  replay policy export PROFILE --format bpf --image NAME -o app.bpf.json --addresses RECORDING

Judged: programs that are run, regular files and directories that are opened, peers that are connected to or sent
datagrams. What the policy does not know is refused with EPERM and counted. What was open or connected before stays so;
so apply it before the container's own program begins, or restart what is to be judged whole.

SIGHUP reads the policy again: the new one takes the old one's place between two questions. SIGUSR1 says now what was
refused. It ends at SIGINT, SIGTERM, after --duration, and when the cgroup is gone; with it ends the policy.";

/// Refuse the processes of a cgroup the programs, files and peers that their policy does not know
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// The image's policy, by `replay policy export --format bpf`
    #[arg(value_name = "POLICY.json")]
    policy: PathBuf,
    /// Cgroup of version 2 whose processes are judged, with those below it: a directory, or a path below the root
    #[arg(short, long, value_name = "CGROUP")]
    cgroup: PathBuf,
    /// Say what would be refused, and refuse nothing
    #[arg(long)]
    dry_run: bool,
    /// End after that time, as 10m [default: at Ctrl-C]
    #[arg(short, long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// How often what was refused is read, and with --format json printed
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// json: an object a line, while it runs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// A policy as the programs are told it.
struct Entries {
    paths: Vec<paths::Entry>,
    peers: Vec<known::Entry>,
}

/// Carries the command out until it is to end.
///
/// # Errors
/// The policy cannot be read, there is no such cgroup, or the kernel refuses the programs or does not ask them.
pub fn run(args: &Args) -> Result<ExitCode> {
    let (policy, entries) = load(&args.policy)?;
    let cgroup = Cgroup::open(&args.cgroup)?;
    let signals = Signals::take_over().map_err(|source| Error::Signals { source })?;
    let mut guard = Guard::load(args.dry_run, &cgroup)?;
    guard.put(&entries)?;
    guard.attach()?;
    let (said, refused) = (Said::new(args.format), Refused::default());
    let mut running = Running { args, cgroup, guard, said, refused };
    running.attached(&policy, &entries);
    let begun = clock::unix_ns();
    watch(&signals, args.duration, args.interval, &mut running)?;
    running.end(begun)?;
    Ok(ExitCode::SUCCESS)
}

fn load(path: &Path) -> Result<(Policy, Entries)> {
    let policy = Policy::load(path)?;
    let peers = known::entries(&policy).map_err(|why| Error::policy(path, why))?;
    let paths = paths::entries(&policy).map_err(|why| Error::policy(path, why))?;
    Ok((policy, Entries { paths, peers }))
}

struct Running<'a> {
    args: &'a Args,
    cgroup: Cgroup,
    guard: Guard,
    said: Said,
    refused: Refused,
}

impl InForce for Running<'_> {
    fn reload(&mut self) {
        let put =
            load(&self.args.policy).and_then(|(policy, entries)| self.guard.put(&entries).map(|()| (policy, entries)));
        match put {
            Ok((policy, entries)) => self.policy(&policy, &entries),
            Err(error) => self.said.policy_refused(&error),
        }
    }

    fn turn(&mut self) -> Result<()> {
        for (what, times) in self.guard.take()? {
            self.refused.add(&what, times);
            self.said.line(&refused::line(&what, &times));
        }
        Ok(())
    }

    fn gone(&self) -> Option<&'static str> {
        (!self.cgroup.path.is_dir()).then_some("cgroup")
    }

    fn said(&mut self) -> &mut Said {
        &mut self.said
    }
}

impl Running<'_> {
    /// `begun`: Unix time, ns.
    fn end(mut self, begun: i64) -> Result<()> {
        self.guard.detach();
        self.turn()?;
        let totals = self.guard.totals()?;
        let seconds = (clock::unix_ns() - begun) as f64 / 1e9;
        match self.args.format {
            Format::Json => {
                self.said.line(&json!({ "event": "ended", "seconds": seconds, "totals": totals }));
                Ok(())
            }
            Format::Table => print(&self.refused.table(&totals, begun, self.args.dry_run)).map_err(Error::Output),
        }
    }

    fn attached(&mut self, policy: &Policy, entries: &Entries) {
        ["process", "file", "network"].iter().for_each(|tree| policy.warn_of(tree, &self.args.policy));
        let (path, dry) = (&self.cgroup.path, self.args.dry_run);
        self.said.line(&json!({ "event": "attached", "cgroup": path, "dry_run": dry }));
        let how = if dry { "only saying what it would refuse" } else { "in force" };
        eprintln!("enforce: {how} in {}; Ctrl-C ends it", path.display());
        self.policy(policy, entries);
    }

    fn policy(&mut self, policy: &Policy, entries: &Entries) {
        let count = |paths: &crate::policy::Paths| paths.exact.len() + paths.prefixes.len();
        let [programs, reads, writes] = [&policy.programs, &policy.reads, &policy.writes].map(count);
        let line = json!({ "event": "policy", "file": self.args.policy, "image": policy.image, "programs": programs,
            "reads": reads, "writes": writes, "egress": policy.egress.len(),
            "entries": entries.paths.len() + entries.peers.len() });
        let text = format!(
            "policy of {}: programs {programs}, files read {reads}, written {writes}, rules outwards {}",
            policy.image_name(),
            policy.egress.len()
        );
        self.said.note(&text, &line);
    }
}

/// The loaded programs and their maps. They are detached when dropped.
struct Guard {
    skeleton: skeleton::LsmSkel<'static>,
    links: Vec<Link>,
    turned: Turned,
}

impl Guard {
    fn load(dry_run: bool, cgroup: &Cgroup) -> Result<Guard> {
        crate::quiet();
        let refused = |error: libbpf_rs::Error| {
            Error::prerequisite(format!("the kernel refused the programs of the security hooks: {error}"), KERNEL)
        };
        let storage: &'static mut MaybeUninit<OpenObject> = Box::leak(Box::new(MaybeUninit::uninit()));
        let mut open = skeleton::LsmSkelBuilder::default()
            .open(storage)
            .map_err(|source| Error::Bpf { what: "cannot open the programs of the security hooks", source })?;
        open.maps.rodata_data.as_deref_mut().expect("the programs have settings").dry_run = dry_run;
        let skeleton = open.load().map_err(refused)?;
        let fd = cgroup.file.as_raw_fd().to_ne_bytes();
        skeleton
            .maps
            .inside
            .update(&0u32.to_ne_bytes(), &fd, MapFlags::ANY)
            .map_err(|source| Error::Bpf { what: "cannot tell the programs the cgroup", source })?;
        Ok(Guard { skeleton, links: Vec::new(), turned: Turned::default() })
    }

    /// Puts a policy into force: paths, then peers; each question is answered by the old one or by the new one.
    fn put(&self, entries: &Entries) -> Result<()> {
        let maps = &self.skeleton.maps;
        let paths = tries::trie("paths", &maps.paths_nothing, entries.paths.iter().map(|entry| (entry.0, [1_u8])))?;
        let peers =
            tries::trie("known", &maps.known_nothing, entries.peers.iter().map(|entry| (entry.key, entry.value)))?;
        tries::set(&maps.paths, &paths)
            .and_then(|()| tries::set(&maps.known, &peers))
            .map_err(|source| Error::Bpf { what: "cannot put the policy into force", source })
    }

    /// Attaches the programs, and finds out whether the kernel asks them.
    fn attach(&mut self) -> Result<()> {
        let programs = &mut self.skeleton.progs;
        for program in [&mut programs.on_run, &mut programs.on_open, &mut programs.on_connect, &mut programs.on_send] {
            let link = program.attach_lsm().map_err(|error| {
                Error::prerequisite(
                    format!("the kernel does not attach the programs of the security hooks: {error}"),
                    KERNEL,
                )
            })?;
            self.links.push(link);
        }
        // Any opening of a file is asked about, whoever does it.
        let _ = fs::read("/proc/self/stat");
        let asked = self.skeleton.maps.bss_data.as_ref().map_or(0, |data| data.asked);
        if asked == 0 {
            return Err(Error::prerequisite(
                "the kernel asks no BPF program: bpf is not among its security modules",
                NOT_AMONG,
            ));
        }
        Ok(())
    }

    fn detach(&mut self) {
        self.links.clear();
    }

    /// What was refused since the last call, in order of time.
    fn take(&mut self) -> Result<Vec<(What, Times)>> {
        let maps = &self.skeleton.maps;
        let table = self.turned.take(&maps.refused, [&maps.refused_even, &maps.refused_odd])?;
        let boot = clock::boot_offset_ns();
        let mut found: Vec<(What, Times)> =
            table.iter().filter_map(|(key, value)| refused::entry(key, value, boot)).collect();
        found.sort_by(|(one, first), (other, second)| (first.first_ns, one).cmp(&(second.first_ns, other)));
        Ok(found)
    }

    fn totals(&self) -> Result<Totals> {
        let count = |at: usize| -> Result<u64> {
            let cpus = self.skeleton.maps.totals.lookup_percpu(&(at as u32).to_ne_bytes(), MapFlags::ANY);
            let cpus = cpus.map_err(|source| Error::Bpf { what: "cannot read the totals", source })?;
            Ok(cpus.iter().flatten().filter_map(|value| value.as_slice().try_into().ok().map(u64::from_ne_bytes)).sum())
        };
        let mut totals = Totals::new();
        for (at, act) in Act::ALL.into_iter().enumerate() {
            totals.insert(act, Answers { passed: count(at)?, refused: count(Act::ALL.len() + at)? });
        }
        Ok(totals)
    }
}
