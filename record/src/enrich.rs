//! From decoded records to the rows of a recording: container, process, names, and the last word of the filter.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use datasets::{Common, Container, Event, FileEvent, NetworkEvent, Origin, Process, ProcessEvent};
use record_bpf::Kind;
use record_bpf::abi::{self, Header};

use crate::bpf::Verdicts;
use crate::cgroup::{self, Hierarchy};
use crate::decode::{self, FileRecord, Program, Record};
use crate::error::Result;
use crate::filter::Filter;
use crate::identity::{Inspected, Inspector, Storage};
use crate::processes::{self, ProcessTable};

/// What became of one record.
#[expect(clippy::large_enum_variant, reason = "nearly every record is one to store; a box each would cost more")]
pub enum Outcome {
    Store(Event),
    /// An event whose container turned out not to match.
    Filtered(Header),
    /// A record that is no event.
    Control,
    /// Does not fit its definition; the header is there if that much was readable.
    Undecodable(Option<Header>),
}

/// A judged cgroup.
#[derive(Clone)]
struct Judged {
    follow: bool,
    container: Option<Arc<str>>,
}

pub struct Enricher {
    /// Unix time minus CLOCK_BOOTTIME, ns.
    boot_offset: i64,
    hierarchy: Hierarchy,
    filter: Filter,
    verdicts: Verdicts,
    storage: Option<Storage>,
    inspector: Option<Inspector>,
    cgroups: HashMap<u64, Judged>,
    containers: BTreeMap<Arc<str>, Container>,
    processes: ProcessTable,
    /// Path of each descriptor opened, for closes that the kernel sees too late to name: (pid, fd) → (inode, path).
    opened: HashMap<(u32, i32), (u64, Arc<str>)>,
    strings: Interner,
}

/// Shares equal strings.
#[derive(Default)]
struct Interner {
    known: std::collections::HashSet<Arc<str>>,
}

/// Distinct strings kept before the set is emptied: it only saves memory, and must not grow without bound.
const INTERNED_MAX: usize = 200_000;

impl Interner {
    fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        if self.known.len() >= INTERNED_MAX {
            self.known.clear();
        }
        let fresh: Arc<str> = text.into();
        self.known.insert(fresh.clone());
        fresh
    }
}

impl Enricher {
    pub fn new(
        boot_offset: i64,
        hierarchy: Hierarchy,
        filter: Filter,
        verdicts: Verdicts,
        storage: Option<Storage>,
        inspector: Option<Inspector>,
    ) -> Enricher {
        Enricher {
            boot_offset,
            hierarchy,
            filter,
            verdicts,
            storage,
            inspector,
            cgroups: HashMap::new(),
            containers: BTreeMap::new(),
            processes: ProcessTable::default(),
            opened: HashMap::new(),
            strings: Interner::default(),
        }
    }

    /// Judges every cgroup there is. Called before the programs run, and again after, for those made in between.
    pub fn judge_existing(&mut self, now: i64) -> Result<()> {
        for (id, path) in self.hierarchy.walk() {
            if !self.cgroups.contains_key(&id) {
                self.judge(id, &path, now)?;
            }
        }
        Ok(())
    }

    /// Containers being followed.
    pub fn followed_containers(&self) -> usize {
        self.containers.len()
    }

    pub fn record(&mut self, bytes: &[u8]) -> Result<Outcome> {
        let record = match decode::record(bytes) {
            Ok(record) => record,
            Err(_) => return Ok(Outcome::Undecodable(decode::header(bytes))),
        };
        let header = match &record {
            Record::Cgroup(header, path) => {
                let ts = self.unix(header.ts);
                self.judge(header.cgroup_id, path, ts)?;
                return Ok(Outcome::Control);
            }
            Record::Fork(fork) => fork.h,
            Record::Exec(program) | Record::Introduce(program) => program.wire.h,
            Record::Exit(exit) => exit.h,
            Record::File(file) => file.wire.h,
            Record::Network(network) => network.h,
        };
        let judged = self.judged(&header)?;
        // Pending when it was emitted, or judged in that very moment.
        if self.filter.by_cgroup() && !judged.follow {
            return Ok(match record {
                Record::Introduce(_) => Outcome::Control,
                _ => Outcome::Filtered(header),
            });
        }
        Ok(match self.event(record, &header, judged.container) {
            Some(event) => Outcome::Store(event),
            None => Outcome::Control,
        })
    }

    /// Takes in what podman said of containers since the last call.
    pub fn take_answers(&mut self) {
        let Some(inspector) = &self.inspector else { return };
        let answers: Vec<_> = inspector.answers().collect();
        self.apply(answers);
    }

    /// The dimension tables, complete.
    pub fn finish(mut self) -> (Vec<Process>, Vec<Container>) {
        if let Some(inspector) = self.inspector.take() {
            let answers = inspector.finish();
            self.apply(answers);
        }
        (self.processes.into_rows(), self.containers.into_values().collect())
    }

    fn apply(&mut self, answers: Vec<(String, Inspected)>) {
        for (id, Inspected { addresses, aliases, labels }) in answers {
            if let Some(container) = self.containers.get_mut(id.as_str()) {
                (container.addresses, container.aliases, container.labels) = (addresses, aliases, labels);
            }
        }
    }

    fn unix(&self, boottime: u64) -> i64 {
        boottime.cast_signed() + self.boot_offset
    }

    fn judged(&mut self, header: &Header) -> Result<Judged> {
        if let Some(judged) = self.cgroups.get(&header.cgroup_id) {
            return Ok(judged.clone());
        }
        // Its announcement was lost, or it is gone: look for it, once.
        let ts = self.unix(header.ts);
        let path = self.hierarchy.walk().into_iter().find(|(id, _)| *id == header.cgroup_id).map(|(_, path)| path);
        self.judge(header.cgroup_id, path.as_deref().unwrap_or_default(), ts)
    }

    /// Decides about a cgroup and tells the kernel.
    fn judge(&mut self, id: u64, path: &str, ts: i64) -> Result<Judged> {
        let container_id = cgroup::container_id(path);
        let container = container_id.map(|container_id| {
            self.containers.get(container_id).cloned().unwrap_or_else(|| {
                let stored = self.storage.as_ref().and_then(|storage| storage.lookup(container_id));
                Container {
                    id: self.strings.get(container_id),
                    runtime: stored.is_some().then(|| "podman".to_owned()),
                    name: stored.as_ref().and_then(|s| s.name.clone()),
                    image: stored.as_ref().and_then(|s| s.image.clone()),
                    image_id: stored.and_then(|s| s.image_id),
                    addresses: Vec::new(),
                    aliases: Vec::new(),
                    labels: None,
                    cgroup: path.to_owned(),
                    first_seen: ts,
                }
            })
        });
        let judged = Judged {
            follow: self.filter.follows(path, container.as_ref()),
            container: container.as_ref().map(|container| container.id.clone()),
        };
        if self.filter.by_cgroup() {
            self.verdicts.set(id, judged.follow)?;
        }
        if let Some(container) = container
            && judged.follow
            && !self.containers.contains_key(&container.id)
        {
            if let (Some(inspector), true) = (&self.inspector, container.runtime.is_some()) {
                inspector.ask(&container.id);
            }
            self.containers.insert(container.id.clone(), container);
        }
        self.cgroups.insert(id, judged.clone());
        Ok(judged)
    }

    /// The row of an event; None for a record that only fills the process table.
    fn event(&mut self, record: Record, header: &Header, container: Option<Arc<str>>) -> Option<Event> {
        let ts = self.unix(header.ts);
        let strings = &mut self.strings;
        let kind = Kind::from_wire(header.kind);
        if let Record::Introduce(program) = &record {
            self.processes.program(program, ts, Origin::Snapshot, container, &mut |text| strings.get(text));
            return None;
        }
        let common = Common {
            ts,
            cpu: header.cpu,
            seq: header.seq,
            kind: kind?,
            container: container.clone(),
            pid: header.pid,
            tid: header.tid,
            exec_id: (header.exec_id != 0).then_some(header.exec_id),
        };
        Some(match record {
            Record::Fork(fork) => {
                self.processes.fork(&fork, ts, container);
                let mut event = ProcessEvent::new(common);
                event.child_exec_id = Some(fork.child_exec_id);
                event.child_pid = Some(fork.child_pid);
                Event::Process(event)
            }
            Record::Exec(program) => {
                self.processes.program(&program, ts, Origin::Exec, container, &mut |text| strings.get(text));
                Event::Process(exec_event(common, &program, strings))
            }
            Record::Exit(exit) => {
                self.processes.exit(&exit, ts);
                self.opened.retain(|(pid, _), _| *pid != header.pid);
                let mut event = ProcessEvent::new(common);
                (event.exit_code, event.exit_signal) = processes::exit_parts(exit.status);
                event.cpu_user = Some(exit.utime);
                event.cpu_system = Some(exit.stime);
                event.max_rss = Some(exit.max_rss * page_size());
                Event::Process(event)
            }
            Record::File(file) => Event::File(file_event(common, &file, strings, &mut self.opened)),
            Record::Network(network) => Event::Network(network_event(common, &network, strings)),
            Record::Cgroup(..) | Record::Introduce(_) => return None,
        })
    }
}

fn page_size() -> u64 {
    // SAFETY: sysconf has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}

fn exec_event(common: Common, program: &Program, strings: &mut Interner) -> ProcessEvent {
    let wire = &program.wire;
    ProcessEvent {
        parent_exec_id: (wire.parent_exec_id != 0).then_some(wire.parent_exec_id),
        exe: program.exe.as_deref().map(|exe| strings.get(exe)),
        exe_inode: Some(wire.exe_inode),
        exe_dev: Some(wire.exe_dev),
        exe_memfd: Some(wire.flags & abi::EXEC_MEMFD != 0),
        exe_deleted: Some(wire.flags & abi::EXEC_DELETED != 0),
        argv: Some(program.argv.iter().map(|argument| strings.get(argument)).collect()),
        argv_truncated: Some(processes::argv_truncated(wire)),
        cwd: program.cwd.as_deref().map(|cwd| strings.get(cwd)),
        uid: Some(wire.uid),
        gid: Some(wire.gid),
        ..ProcessEvent::new(common)
    }
}

fn file_event(
    common: Common,
    file: &FileRecord,
    strings: &mut Interner,
    opened: &mut HashMap<(u32, i32), (u64, Arc<str>)>,
) -> FileEvent {
    let wire = &file.wire;
    let has = |flag: u32| wire.flags & flag != 0;
    let mut path = file.path.as_deref().map(|path| strings.get(path));
    match common.kind {
        Kind::Open if wire.ret >= 0 => {
            if let Some(path) = &path {
                opened.insert((common.pid, wire.fd), (wire.inode, path.clone()));
            }
        }
        Kind::Close => {
            let open = opened.remove(&(common.pid, wire.fd));
            path = path.or_else(|| open.filter(|(inode, _)| *inode == wire.inode).map(|(_, path)| path));
        }
        _ => {}
    }
    let (is_open, is_close) = (common.kind == Kind::Open, common.kind == Kind::Close);
    let is_chmod = common.kind == Kind::Chmod;
    // A file without a name was not reached: the call failed, or went by name only.
    let identified = wire.inode != 0;
    FileEvent {
        new_path: file.new_path.as_deref().map(|path| strings.get(path)),
        path_from_user: has(abi::FILE_PATH_USER),
        path_truncated: has(abi::FILE_PATH_TRUNCATED | abi::FILE_PATH_FAULT),
        deleted: has(abi::FILE_PATH_DELETED),
        ret: wire.ret,
        fd: (wire.fd >= 0).then_some(wire.fd),
        flags: (is_open || is_close).then_some(wire.open_flags),
        mode: (is_chmod || identified).then_some(wire.mode),
        inode: identified.then_some(wire.inode),
        dev: identified.then_some(wire.dev),
        bytes_read: is_close.then_some(wire.bytes_read),
        bytes_written: is_close.then_some(wire.bytes_written),
        reads: is_close.then_some(wire.reads),
        writes: is_close.then_some(wire.writes),
        implicit: has(abi::FILE_IMPLICIT_CLOSE),
        path,
        common,
    }
}

fn network_event(common: Common, wire: &abi::Network, strings: &mut Interner) -> NetworkEvent {
    let has = |flag: u32| wire.flags & flag != 0;
    let family = i32::from(wire.family);
    let is_close = common.kind == Kind::NetClose;
    let is_listen = common.kind == Kind::Listen;
    let address = |bytes: &[u8; 16]| match family {
        libc::AF_INET => Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).to_string()),
        // An IPv4 peer of a dual-stack socket is the same peer.
        libc::AF_INET6 => Some(Ipv6Addr::from(*bytes).to_canonical().to_string()),
        _ => None,
    };
    let is_inet = family != libc::AF_UNIX;
    // A listening or unconnected socket has no peer: port 0 cannot be one.
    let has_peer = is_inet && (wire.peer_port != 0 || wire.peer_addr != [0; 16]);
    let unix_path = (wire.unix_len > 0).then(|| {
        let bytes = &wire.unix_path[..usize::from(wire.unix_len).min(abi::UNIX_PATH_MAX)];
        match bytes.split_first() {
            Some((0, name)) => format!("@{}", decode::text(name)),
            _ => decode::text(decode::until_nul(bytes)),
        }
    });
    NetworkEvent {
        family: strings.get(match family {
            libc::AF_INET => "inet",
            libc::AF_INET6 => "inet6",
            _ => "unix",
        }),
        protocol: strings.get(&protocol(is_inet, wire.protocol.into(), wire.sock_type.into())),
        local_addr: address(&wire.local_addr).map(|a| strings.get(&a)),
        local_port: is_inet.then_some(wire.local_port),
        peer_addr: has_peer.then(|| address(&wire.peer_addr)).flatten().map(|a| strings.get(&a)),
        peer_port: has_peer.then_some(wire.peer_port),
        unix_path: unix_path.map(|path| strings.get(&path)),
        ret: wire.ret,
        fd: wire.fd,
        backlog: is_listen.then_some(wire.backlog),
        inode: (wire.inode != 0).then_some(wire.inode),
        bytes_received: is_close.then_some(wire.bytes_received),
        bytes_sent: is_close.then_some(wire.bytes_sent),
        peer_from_user: has(abi::NET_ADDR_USER),
        implicit: has(abi::NET_IMPLICIT_CLOSE),
        common,
    }
}

fn protocol(is_inet: bool, protocol: i32, sock_type: i32) -> String {
    let name = match (is_inet, protocol, sock_type) {
        (true, libc::IPPROTO_TCP, _) => "tcp",
        (true, libc::IPPROTO_UDP, _) => "udp",
        (true, libc::IPPROTO_ICMP, _) => "icmp",
        (true, libc::IPPROTO_ICMPV6, _) => "icmpv6",
        (true, other, _) => return other.to_string(),
        (false, _, libc::SOCK_STREAM) => "stream",
        (false, _, libc::SOCK_DGRAM) => "dgram",
        (false, _, libc::SOCK_SEQPACKET) => "seqpacket",
        (false, _, other) => return other.to_string(),
    };
    name.to_owned()
}
