//! CPU time and memory: of containers from their cgroups, of a command from its processes.
//!
//! All figures are totals since the container or command began, not differences.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datasets::{Common, Event, ProcessEvent, ResourceEvent};
use record_bpf::Kind;

use super::{Every, Stream};
use crate::cgroup::mount_of;
use crate::error::{Error, Result};

/// How often resource use is sampled.
const INTERVAL: Duration = Duration::from_secs(1);

/// Resource use of whatever is recorded.
#[derive(Debug)]
pub struct Usage {
    cgroups: Cgroups,
    /// The command, where one is recorded.
    tree: Option<Tree>,
    every: Every,
}

impl Usage {
    /// # Errors
    /// The mount table cannot be read.
    pub fn new() -> Result<Usage> {
        let path = PathBuf::from("/proc/self/mountinfo");
        let mountinfo = fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
        Ok(Usage { cgroups: Cgroups::new(&mountinfo), tree: None, every: Every::new(INTERVAL) })
    }

    /// The recording is of this process and its descendants.
    pub fn follow(&mut self, root: u32) {
        self.tree = Some(Tree::new(root));
    }

    pub fn due(&mut self) -> bool {
        self.every.due()
    }

    /// Every recorded event passes by here: those of a command's processes that end are counted.
    pub fn saw(&mut self, event: &Event) {
        if let (Event::Process(row), Some(tree)) = (event, &mut self.tree)
            && row.common.kind == Kind::Exit
        {
            tree.ended(row);
        }
    }

    /// A row for the command or, where none is recorded, for each of the containers (id, cgroup path). `ts`: Unix time, ns;
    /// `living`: the command's processes.
    pub fn rows<'a>(
        &self,
        stream: &mut Stream,
        ts: i64,
        containers: impl Iterator<Item = (&'a Arc<str>, &'a str)>,
        living: impl FnOnce() -> Vec<u32>,
    ) -> Vec<ResourceEvent> {
        if let Some(tree) = &self.tree {
            return vec![tree.usage(stream, ts, &living())];
        }
        let usage = |(id, path): (&Arc<str>, &str)| {
            let common = || Common { container: Some(id.clone()), ..stream.common(Kind::Usage, ts) };
            self.cgroups.usage(common, path)
        };
        containers.filter_map(usage).collect()
    }
}

/// Where the figures of a cgroup are found.
#[derive(Debug)]
struct Cgroups {
    v2: Option<PathBuf>,
    cpuacct: Option<PathBuf>,
    cpu: Option<PathBuf>,
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
    v1_source: Arc<str>,
    v2_source: Arc<str>,
}

impl Cgroups {
    /// From `/proc/self/mountinfo`.
    fn new(mountinfo: &str) -> Cgroups {
        let v1 = |controller| mount_of(mountinfo, "cgroup", Some(controller));
        Cgroups {
            v2: mount_of(mountinfo, "cgroup2", None),
            cpuacct: v1("cpuacct"),
            cpu: v1("cpu"),
            memory: v1("memory"),
            pids: v1("pids"),
            v1_source: "cgroup v1".into(),
            v2_source: "cgroup v2".into(),
        }
    }

    /// The usage of a container whose cgroup has this path, or None when it is gone.
    fn usage(&self, common: impl FnOnce() -> Common, path: &str) -> Option<ResourceEvent> {
        let path = path.trim_start_matches('/');
        let under = |mount: &Option<PathBuf>| mount.as_ref().map(|mount| mount.join(path));
        let (v2, cpuacct, cpu) = (under(&self.v2), under(&self.cpuacct), under(&self.cpu));
        let (memory, pids) = (under(&self.memory), under(&self.pids));
        let from_v1 = number(&cpuacct, "cpuacct.usage");
        let v2_cpu = |key, of: &Option<PathBuf>| keyed(of, "cpu.stat", key).map(|us| us * 1_000);
        let (cpu_total, cpu_user, cpu_system, source) = match from_v1 {
            Some(total) => {
                let ticks = |key| keyed(&cpuacct, "cpuacct.stat", key).map(|ticks| ticks * (1_000_000_000 / tick_hz()));
                (total, ticks("user"), ticks("system"), &self.v1_source)
            }
            None => {
                let total = v2_cpu("usage_usec", &v2)?;
                (total, v2_cpu("user_usec", &v2), v2_cpu("system_usec", &v2), &self.v2_source)
            }
        };
        Some(ResourceEvent {
            cpu_total: Some(cpu_total),
            cpu_user,
            cpu_system,
            cpu_throttled: keyed(&cpu, "cpu.stat", "throttled_time").or_else(|| v2_cpu("throttled_usec", &v2)),
            memory: number(&memory, "memory.usage_in_bytes").or_else(|| number(&v2, "memory.current")),
            memory_anon: keyed(&memory, "memory.stat", "total_rss").or_else(|| keyed(&v2, "memory.stat", "anon")),
            memory_file: keyed(&memory, "memory.stat", "total_cache").or_else(|| keyed(&v2, "memory.stat", "file")),
            processes: number(&pids, "pids.current")
                .or_else(|| number(&v2, "pids.current"))
                .and_then(|n| u32::try_from(n).ok()),
            source: source.clone(),
            common: common(),
        })
    }
}

/// The processes of a recorded command: those that ended are counted by their exit rows, those that live by /proc.
#[derive(Debug)]
struct Tree {
    root: u32,
    /// ns, of processes that ended
    ended_user: u64,
    ended_system: u64,
    source: Arc<str>,
}

impl Tree {
    fn new(root: u32) -> Tree {
        Tree { root, ended_user: 0, ended_system: 0, source: "process".into() }
    }

    fn ended(&mut self, exit: &ProcessEvent) {
        self.ended_user += exit.cpu_user.unwrap_or_default();
        self.ended_system += exit.cpu_system.unwrap_or_default();
    }

    /// `living`: the process ids of the tree now.
    fn usage(&self, stream: &mut Stream, ts: i64, living: &[u32]) -> ResourceEvent {
        let stats: Vec<Stat> = living.iter().filter_map(|pid| Stat::read(*pid)).collect();
        let user = self.ended_user + stats.iter().map(|stat| stat.user).sum::<u64>();
        let system = self.ended_system + stats.iter().map(|stat| stat.system).sum::<u64>();
        let common = Common { pid: self.root, tid: self.root, ..stream.common(Kind::Usage, ts) };
        ResourceEvent {
            common,
            cpu_total: Some(user + system),
            cpu_user: Some(user),
            cpu_system: Some(system),
            cpu_throttled: None,
            memory: None,
            memory_anon: Some(stats.iter().map(|stat| stat.rss).sum()),
            memory_file: None,
            processes: u32::try_from(stats.len()).ok(),
            source: self.source.clone(),
        }
    }
}

/// The fields of `/proc/PID/stat` used here (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// ns
    user: u64,
    /// ns
    system: u64,
    /// bytes
    rss: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Stat> {
        // The name may hold anything, and ends at the last parenthesis; utime is field 14, stime 15, rss 24.
        let (_, after) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let tick = 1_000_000_000 / tick_hz();
        Some(Stat { user: field(14)? * tick, system: field(15)? * tick, rss: field(24)? * page_size() })
    }
}

fn number(dir: &Option<PathBuf>, file: &str) -> Option<u64> {
    fs::read_to_string(dir.as_deref()?.join(file)).ok()?.trim().parse().ok()
}

/// A value out of a file of `key value` lines.
fn keyed(dir: &Option<PathBuf>, file: &str, key: &str) -> Option<u64> {
    let text = read(dir.as_deref()?, file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

fn read(dir: &Path, file: &str) -> Option<String> {
    fs::read_to_string(dir.join(file)).ok()
}

/// The clock that /proc and v1 cgroups count CPU time in, per second.
fn tick_hz() -> u64 {
    sysconf(libc::_SC_CLK_TCK, 100)
}

pub fn page_size() -> u64 {
    sysconf(libc::_SC_PAGESIZE, 4096)
}

fn sysconf(name: i32, otherwise: u64) -> u64 {
    // SAFETY: sysconf has no preconditions.
    u64::try_from(unsafe { libc::sysconf(name) }).unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_any_name() {
        let text = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 10 1000 3 18446744073709551615";
        let tick = 1_000_000_000 / tick_hz();
        assert_eq!(Stat::parse(text), Some(Stat { user: 250 * tick, system: 50 * tick, rss: 3 * page_size() }));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }

    #[test]
    fn figures_come_from_v1_where_it_has_them_and_else_from_v2() {
        let dir = tempfile::tempdir().unwrap();
        let id = "0".repeat(64);
        let make = |hierarchy: &str, files: &[(&str, &str)]| {
            let cgroup = dir.path().join(hierarchy).join(&id);
            fs::create_dir_all(&cgroup).unwrap();
            files.iter().for_each(|(file, text)| fs::write(cgroup.join(file), text).unwrap());
        };
        make("v2", &[("cpu.stat", "usage_usec 5\nuser_usec 3\nsystem_usec 2\n"), ("memory.current", "4096\n")]);
        let mountinfo = |with_v1: bool| {
            let root = dir.path().display();
            let v2 = format!("30 20 0:26 / {root}/v2 rw - cgroup2 cgroup2 rw\n");
            if with_v1 { format!("{v2}31 20 0:27 / {root}/acct rw - cgroup cgroup rw,cpuacct\n") } else { v2 }
        };
        let usage = |mountinfo: &str| {
            let mut stream = Stream::default();
            Cgroups::new(mountinfo).usage(|| stream.common(Kind::Usage, 1), &format!("/{id}"))
        };
        let row = usage(&mountinfo(false)).unwrap();
        assert_eq!((row.cpu_total, row.cpu_user, row.cpu_system), (Some(5_000), Some(3_000), Some(2_000)));
        assert_eq!((row.memory, row.memory_anon, row.processes, &*row.source), (Some(4096), None, None, "cgroup v2"));
        make("acct", &[("cpuacct.usage", "77\n"), ("cpuacct.stat", "user 1\nsystem 0\n")]);
        let row = usage(&mountinfo(true)).unwrap();
        assert_eq!((row.cpu_total, row.cpu_user), (Some(77), Some(1_000_000_000 / tick_hz())));
        assert_eq!((row.memory, &*row.source), (Some(4096), "cgroup v1"));
        fs::remove_dir_all(dir.path().join("v2")).unwrap();
        fs::remove_dir_all(dir.path().join("acct")).unwrap();
        assert!(usage(&mountinfo(true)).is_none(), "a container that is gone has no row");
    }
}
