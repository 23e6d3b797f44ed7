//! From decoded records to the rows of a recording: container, process, names, and the last word of the filter.

mod dns;
mod file;
mod http;
mod network;
mod process;
mod security;
mod strings;
mod syscall;
mod tls;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datasets::{Common, Container, Event, Masking, Origin, Process};
use record_bpf::Kind;
use record_bpf::abi::{Header, SEC_TARGET};

use strings::Interner;

use crate::bpf::{OpenCallSet, Verdicts};
use crate::cgroup::{self, Hierarchy};
use crate::decode::{self, Record};
use crate::error::Result;
use crate::filter::Filter;
use crate::identity::{Inspected, Inspector, Storage};
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
    opened: file::Opened,
    host: HostView,
    dns: dns::Streams,
    strings: Interner,
    /// Where TLS code may be, for who asks; None: nobody does.
    sightings: Option<Vec<Sighting>>,
    call_names: syscall::Names,
    masks: Masks,
}

impl Enricher {
    pub fn new(
        boot_offset: i64,
        hierarchy: Hierarchy,
        filter: Filter,
        verdicts: Verdicts,
        storage: Option<Storage>,
        inspector: Option<Inspector>,
    ) -> Result<Enricher> {
        Ok(Enricher {
            boot_offset,
            hierarchy,
            filter,
            verdicts,
            storage,
            inspector,
            cgroups: HashMap::new(),
            containers: BTreeMap::new(),
            processes: ProcessTable::default(),
            opened: file::Opened::default(),
            host: HostView::open()?,
            dns: dns::Streams::default(),
            strings: Interner::default(),
            sightings: None,
            call_names: syscall::Names::default(),
            masks: Masks::new(true),
        })
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

    /// Unix time minus CLOCK_BOOTTIME, ns.
    pub fn boot_offset(&self) -> i64 {
        self.boot_offset
    }

    /// Whether likely secrets are masked; they are, unless this says otherwise before the first record.
    pub fn mask(&mut self, on: bool) {
        self.masks = Masks::new(on);
    }

    /// From now on notes where TLS code may be.
    pub fn watch_tls(&mut self) {
        let images = self.storage.as_ref().filter(|_| self.filter.by_cgroup());
        self.sightings = Some(images.map(|storage| Sighting::Layers(storage.layers())).into_iter().collect());
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
        self.containers.len()
    }

    /// Those containers, with their cgroup paths.
    pub fn containers(&self) -> impl Iterator<Item = (&Arc<str>, &str)> {
        self.containers.values().map(|container| (&container.id, container.cgroup.as_str()))
    }

    pub fn record(&mut self, bytes: &[u8]) -> Result<Outcome> {
        let mut record = match decode::record(bytes) {
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

    /// Takes in what podman said of containers since the last call.
    pub fn take_answers(&mut self) {
        let Some(inspector) = &self.inspector else { return };
        let answers: Vec<_> = inspector.answers().collect();
        self.apply(answers);
    }

    /// The dimension tables, complete.
    pub fn finish(mut self) -> (Vec<Process>, Vec<Container>, Masking) {
        if let Some(inspector) = self.inspector.take() {
            let answers = inspector.finish();
            self.apply(answers);
        }
        let mut containers: Vec<_> = self.containers.into_values().collect();
        let masked = containers.iter_mut().filter_map(|one| self.masks.container(one).then_some(())).count();
        (self.processes.into_rows(), containers, self.masks.account(masked as u64))
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

    /// `boottime`: of the event that names the cgroup.
    fn judged(&mut self, cgroup_id: u64, boottime: u64) -> Result<Judged> {
        if let Some(judged) = self.cgroups.get(&cgroup_id) {
            return Ok(judged.clone());
        }
        // Its announcement was lost, or it is gone: look for it, once.
        let ts = self.unix(boottime);
        let path = self.hierarchy.walk().into_iter().find(|(id, _)| *id == cgroup_id).map(|(_, path)| path);
        self.judge(cgroup_id, path.as_deref().unwrap_or_default(), ts)
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
                    image_digest: None,
                    pod: None,
                    namespace: None,
                    pod_uid: None,
                    identity: None,
                }
            })
        });
        let judged = Judged {
            follow: self.filter.follows(path, container.as_ref()),
            container: container.as_ref().map(|container| container.id.clone()),
        };
        if self.filter.by_cgroup() {
            self.verdicts.set(id, judged.follow, container.as_ref())?;
        }
        if judged.follow {
            let pids = || self.hierarchy.processes(path);
            let bundle = || self.storage.as_ref()?.bundle(cgroup::container_id(path)?);
            if let Some(sightings) = &mut self.sightings {
                sightings.push(Sighting::Container { bundle: bundle(), pids: pids() });
            }
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
            Record::Syscall(call) => Event::Syscall(syscall::call(common, &call, &mut self.call_names)),
            Record::SyscallSet(set) => Event::Syscall(syscall::set(common, &set.called, strings)),
            Record::Dns(dns) => Event::Dns(self.dns.event(common, &dns, strings)),
            Record::Cgroup(..) | Record::Introduce(_) | Record::Library(..) => return None,
        })
    }
}
