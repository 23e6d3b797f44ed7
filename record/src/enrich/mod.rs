//! From decoded records to the rows of a recording: container, process, names, and the last word of the filter.

mod changes;
mod dns;
mod file;
mod http;
mod judge;
mod network;
mod process;
mod refilter;
mod security;
mod strings;
mod syscall;
mod tls;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use datasets::{Address, Common, Container, Event, Masking, Origin, Process, SyscallEvent};
use record_bpf::Kind;
use record_bpf::abi::{Header, SEC_TARGET};

pub use changes::Changes;
use strings::Interner;

use crate::bpf::{OpenCallSet, Verdicts};
use crate::cgroup::Hierarchy;
use crate::decode::{self, Record};
use crate::error::Result;
use crate::filter::Filter;
use crate::identity::addresses::Watch;
use crate::identity::{Inspector, Resolver};
use crate::mask::rows::Masks;
use crate::mounts::HostView;
use crate::processes::ProcessTable;
use crate::tls::Sighting;

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

/// The dimension tables of a recording, and what was masked in all of it.
pub struct Tables {
    pub processes: Vec<Process>,
    pub containers: Vec<Container>,
    pub addresses: Vec<Address>,
    pub masking: Masking,
}

pub struct Enricher {
    /// Unix time minus CLOCK_BOOTTIME, ns.
    boot_offset: i64,
    hierarchy: Hierarchy,
    filter: Filter,
    verdicts: Verdicts,
    resolver: Resolver,
    inspector: Option<Inspector>,
    addresses: Watch,
    /// Cgroups of containers that no runtime's files name yet.
    unresolved: Vec<judge::Unresolved>,
    cgroups: HashMap<u64, Judged, foldhash::fast::RandomState>,
    containers: BTreeMap<Arc<str>, Container>,
    processes: ProcessTable,
    opened: file::Opened,
    host: HostView,
    dns: dns::Streams,
    strings: Interner,
    /// Where TLS code may be, for who asks; None: nobody does.
    sightings: Option<Vec<Sighting>>,
    call_names: syscall::Names,
    /// What [`call`](Self::call) gives out.
    call_row: SyscallEvent,
    masks: Masks,
    /// Containers that matched an earlier filter, and match no more.
    left: HashSet<Arc<str>>,
    told: changes::Told,
}

impl Enricher {
    pub fn new(
        boot_offset: i64,
        hierarchy: Hierarchy,
        filter: Filter,
        verdicts: Verdicts,
        resolver: Resolver,
        inspector: Option<Inspector>,
    ) -> Result<Enricher> {
        Ok(Enricher {
            boot_offset,
            hierarchy,
            filter,
            verdicts,
            resolver,
            inspector,
            addresses: Watch::start(boot_offset),
            unresolved: Vec::new(),
            cgroups: HashMap::default(),
            containers: BTreeMap::new(),
            processes: ProcessTable::default(),
            opened: file::Opened::default(),
            host: HostView::open()?,
            dns: dns::Streams::default(),
            strings: Interner::default(),
            sightings: None,
            call_names: syscall::Names::default(),
            call_row: syscall::scratch(),
            masks: Masks::new(true),
            left: HashSet::new(),
            told: changes::Told::default(),
        })
    }

    /// Judges every cgroup there is. Called before the programs run, and again after, for those made in between. Where a command is
    /// recorded, nothing but what it comes into is looked at: the other containers are not asked for.
    pub fn judge_existing(&mut self, now: i64) -> Result<()> {
        if !self.filter.by_cgroup() {
            return Ok(());
        }
        for (id, path) in self.hierarchy.walk() {
            if !self.cgroups.contains_key(&id) {
                self.judge(id, &path, now, None)?;
            }
        }
        Ok(())
    }

    /// All containers that were there have been judged.
    pub fn settle(&mut self) {
        self.resolver.settle();
    }

    /// Unix time minus CLOCK_BOOTTIME, ns.
    pub fn boot_offset(&self) -> i64 {
        self.boot_offset
    }

    /// Whether likely secrets are masked; they are, unless this says otherwise before the first record.
    pub fn mask(&mut self, on: bool) {
        self.masks = Masks::new(on);
        self.masks.prepare();
    }

    /// From now on notes where TLS code may be.
    pub fn watch_tls(&mut self) {
        let images = self.filter.by_cgroup().then(|| Sighting::Layers(self.resolver.layers()));
        self.sightings = Some(images.into_iter().collect());
    }

    /// What was noted since the last call.
    pub fn take_sightings(&mut self) -> Vec<Sighting> {
        self.sightings.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn sighted(&mut self, sighting: impl FnOnce() -> Sighting) {
        if let Some(sightings) = &mut self.sightings {
            sightings.push(sighting());
        }
    }

    /// Containers being followed.
    pub fn followed_containers(&self) -> usize {
        self.containers().count()
    }

    /// Containers by name, or id where they have none; `events` becomes a rate.
    pub fn named(&self, events: Vec<(Arc<str>, u64)>) -> Vec<(String, f64)> {
        let name = |id: &Arc<str>| self.containers.get(id).and_then(|container| container.name.clone());
        events.into_iter().map(|(id, count)| (name(&id).unwrap_or_else(|| id.to_string()), count as f64)).collect()
    }

    /// Rows in which something was masked, by class.
    pub fn masked(&self) -> &BTreeMap<String, u64> {
        self.masks.rows()
    }

    /// Those containers, with their cgroup paths.
    pub fn containers(&self) -> impl Iterator<Item = (&Arc<str>, &str)> {
        let followed = self.containers.values().filter(|container| !self.left.contains(&container.id));
        followed.map(|container| (&container.id, container.cgroup.as_str()))
    }

    /// The row of a system call to be stored, until the next one; None: anything else, which is for
    /// [`record`](Self::record). No other class has nearly as many events.
    #[inline]
    pub fn call(&mut self, bytes: &[u8]) -> Option<&SyscallEvent> {
        let wire = decode::call(bytes)?;
        let judged = self.cgroups.get(&wire.h.cgroup_id)?;
        if self.filter.by_cgroup() && !judged.follow {
            return None;
        }
        let ts = wire.h.ts.cast_signed() + self.boot_offset;
        syscall::fill(&mut self.call_row, ts, &wire, judged.container.as_ref(), &mut self.call_names);
        Some(&self.call_row)
    }

    pub fn record(&mut self, bytes: &[u8]) -> Result<Outcome> {
        let mut record = match decode::record(bytes) {
            Ok(record) => record,
            Err(_) => return Ok(Outcome::Undecodable(decode::header(bytes))),
        };
        let header = match &record {
            Record::Cgroup(header, path) => {
                let ts = self.unix(header.ts);
                self.judge(header.cgroup_id, path, ts, Some(header.pid))?;
                return Ok(Outcome::Control);
            }
            Record::Fork(fork) => fork.h,
            Record::Exec(program) | Record::Introduce(program) => program.wire.h,
            Record::Exit(exit) => exit.h,
            Record::File(file) => file.wire.h,
            Record::Tls(tls) => tls.wire.h,
            Record::Library(header, _) => *header,
            Record::Security(record) => record.wire.h,
            Record::Syscall(call) => call.h,
            Record::SyscallSet(set) => set.h,
            Record::Network(network) => network.wire.h,
            Record::Dns(dns) => dns.wire.h,
        };
        let judged = self.judged(header.cgroup_id, header.ts)?;
        // Pending when it was emitted, or judged in that very moment.
        if self.filter.by_cgroup() && !judged.follow {
            return Ok(match record {
                Record::Introduce(_) | Record::Library(..) => Outcome::Control,
                _ => Outcome::Filtered(header),
            });
        }
        match &record {
            Record::Exec(program) | Record::Introduce(program) => {
                let (pid, dev, inode) = (header.pid, program.wire.exe_dev, program.wire.exe_inode);
                self.sighted(|| Sighting::Program { pid, dev, inode });
            }
            Record::Library(header, path) => {
                self.sighted(|| Sighting::Library { pid: header.pid, path: path.into() });
            }
            _ => {}
        }
        let target = match &record {
            Record::Security(record) if record.wire.flags & SEC_TARGET != 0 => {
                self.judged(record.wire.target_cgroup, header.ts)?.container
            }
            _ => None,
        };
        self.masks.record(&mut record);
        Ok(match self.event(record, &header, judged.container, target) {
            Some(event) => Outcome::Store(event),
            None => Outcome::Control,
        })
    }

    /// What changed on the host since the last call.
    pub fn refresh(&mut self) {
        self.host.refresh();
    }

    /// The row of a set of calls that user space read itself; None if its process is not followed.
    pub fn call_set(&mut self, set: &OpenCallSet, common: impl FnOnce() -> Common) -> Result<Option<Event>> {
        let judged = self.judged(set.cgroup_id, 0)?;
        if self.filter.by_cgroup() && !judged.follow {
            return Ok(None);
        }
        let common = Common {
            container: judged.container,
            pid: set.pid,
            tid: set.pid,
            exec_id: (set.exec_id != 0).then_some(set.exec_id),
            ..common()
        };
        Ok(Some(Event::Syscall(syscall::set(common, &set.called, &mut self.strings))))
    }

    /// The dimension tables, complete.
    pub fn finish(mut self) -> Tables {
        if let Some(inspector) = self.inspector.take() {
            let answers = inspector.finish();
            self.apply(answers);
        }
        let addresses = self.addresses.finish();
        for row in &addresses {
            if let Some(container) = self.containers.get_mut(&row.container) {
                container.held(&row.address);
            }
        }
        let mut containers: Vec<_> = self.containers.into_values().collect();
        let masked = containers.iter_mut().filter_map(|one| self.masks.container(one).then_some(())).count();
        let (processes, masking) = (self.processes.into_rows(), self.masks.account(masked as u64));
        Tables { processes, containers, addresses, masking }
    }

    fn unix(&self, boottime: u64) -> i64 {
        boottime.cast_signed() + self.boot_offset
    }

    /// The row of an event; None for a record that only fills the process table. `target`: container of the other process.
    fn event(
        &mut self,
        record: Record,
        header: &Header,
        container: Option<Arc<str>>,
        target: Option<Arc<str>>,
    ) -> Option<Event> {
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
                Event::Process(process::fork(common, &fork))
            }
            Record::Exec(program) => {
                self.processes.program(&program, ts, Origin::Exec, container, &mut |text| strings.get(text));
                Event::Process(process::exec(common, &program, strings))
            }
            Record::Exit(exit) => {
                self.processes.exit(&exit, ts);
                self.opened.exited(header.pid);
                Event::Process(process::exit(common, &exit))
            }
            Record::File(file) => Event::File(file::event(common, &file, strings, &mut self.opened, &mut self.host)),
            Record::Network(network) => Event::Network(network::event(common, &network, strings)),
            Record::Tls(tls) => Event::Tls(tls::event(common, tls, strings)),
            Record::Security(record) => Event::Security(security::event(common, &record, target, strings)),
            Record::Syscall(call) => {
                let mut row = syscall::empty(common);
                syscall::fill(&mut row, ts, &call, container.as_ref(), &mut self.call_names);
                Event::Syscall(row)
            }
            Record::SyscallSet(set) => Event::Syscall(syscall::set(common, &set.called, strings)),
            Record::Dns(dns) => Event::Dns(self.dns.event(common, &dns, strings)),
            Record::Cgroup(..) | Record::Introduce(_) | Record::Library(..) => return None,
        })
    }
}
