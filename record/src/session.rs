//! A recording from start to end: ring → decode → enrich → batches → segments → manifest.
//!
//! Two threads. One drains the ring and copies what it finds into chunks; the other decodes, enriches and writes. The
//! queue between them is bounded: when writing falls behind, the ring fills, and the kernel counts what it drops.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use datasets::{
    Accounting, ClassAccount, Common, CpuAccount, Event, Kernel, Manifest, Recorder, RecordingWriter, ResourceEvent,
};
use record_bpf::abi::Counters;
use record_bpf::{Class, Kind};

use crate::bpf::{Programs, Settings, SyscallForm};
use crate::cgroup::Hierarchy;
use crate::clock;
use crate::drain::{Chunk, Drain};
use crate::enrich::{Enricher, Outcome};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::hooks;
use crate::identity::{Inspector, Podman, Storage};
use crate::live::{Live, Progress};
use crate::sample::flow::{FlowOptions, Flows};
use crate::sample::resource::{Cgroups, Tree};
use crate::sample::{Every, Stream};
use crate::tls::Watcher;

/// What to record, where to, and how.
pub struct Options {
    pub output: PathBuf,
    pub filter: Filter,
    pub classes: Vec<Class>,
    /// An event per read and write, besides the sums at close.
    pub file_io_calls: bool,
    pub ring_bytes: u32,
    /// Events per CPU before the drain thread is woken.
    pub wakeup_batch: u32,
    /// The drain thread looks at the ring at least this often.
    pub wakeup_deadline: Duration,
    pub podman: Podman,
    /// Where to count flows; None: nowhere.
    pub flow: Option<FlowOptions>,
    /// Class tls: plaintext kept of each call, bytes.
    pub tls_bytes: u32,
    pub syscalls: SyscallForm,
}

/// A recording that has begun: the programs run, and events are being written.
pub struct Session {
    programs: Programs,
    drain: Drain,
    enricher: Enricher,
    writer: RecordingWriter,
    classes: Vec<Class>,
    progress: Progress,
    filtered: BTreeMap<(u16, Class), u64>,
    undecodable: BTreeMap<(u16, Class), u64>,
    decode_errors: u64,
    tls: Option<Watcher>,
    started: Instant,
    sampled: Stream,
    usage: Option<Usage>,
    flows: Option<Flows>,
}

/// Resource use, where that class was asked for.
struct Usage {
    cgroups: Cgroups,
    /// The command, where one is recorded.
    tree: Option<Tree>,
    every: Every,
}

/// What a recording came to.
pub struct Finished {
    pub manifest: Manifest,
    pub processes: usize,
    pub containers: usize,
    pub elapsed: Duration,
    /// Events of the attack, for a scenario.
    pub labels: Option<usize>,
}

const TICK: Duration = Duration::from_millis(200);

/// How often resource use is sampled.
const USAGE_INTERVAL: Duration = Duration::from_secs(1);

impl Session {
    /// Loads and attaches the programs. From the return of this call on, everything that matches is recorded.
    pub fn begin(options: Options) -> Result<Session> {
        let hierarchy = Hierarchy::detect()?;
        let settings = Settings {
            follow_tree: options.filter.tree,
            follow_cgroups: options.filter.by_cgroup(),
            classes: options.classes.clone(),
            file_io_calls: options.file_io_calls,
            ring_bytes: options.ring_bytes,
            wakeup_batch: options.wakeup_batch,
            flow_entries: options.flow.as_ref().map_or(1, |flow| flow.entries),
            tls_bytes: options.tls_bytes,
            syscalls: options.syscalls,
        };
        // The output comes first: without it there is nothing to do.
        let started_ns = clock::unix_ns();
        let recorder = Recorder { name: "record".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let mut manifest = Manifest::new(recorder, kernel()?, started_ns, options.filter.text(), &options.classes);
        manifest.hooks = hooks::by_class(&options.classes);
        if let Some(FlowOptions { hook, interfaces, .. }) = &options.flow {
            let at = format!("{} at {}", hook.name(), interfaces.join(", "));
            manifest.hooks.insert(Class::Flow.name().to_owned(), vec![at]);
        }
        let writer = RecordingWriter::create(options.output, manifest)?;

        let mut programs = Programs::load(&settings, &hierarchy)?;
        let has_podman = options.podman.version().is_some();
        let mut enricher = Enricher::new(
            clock::boot_offset_ns(),
            hierarchy,
            options.filter,
            programs.verdicts()?,
            has_podman.then(|| Storage::find(&options.podman)),
            has_podman.then(|| Inspector::start(options.podman)),
        )?;
        let tls = options.classes.contains(&Class::Tls).then(Watcher::default);
        if tls.is_some() {
            enricher.watch_tls();
        }
        enricher.judge_existing(started_ns)?;

        let drain = Drain::start(programs.ring()?, options.wakeup_deadline)?;
        programs.attach()?;
        // Its system calls also show the programs the recorder's own root (learn_host_root in filter.h).
        enricher.judge_existing(clock::unix_ns())?;
        let begin = |flow| Flows::begin(flow, programs.flow_parts()?, clock::unix_ns());
        let flows = options.flow.as_ref().map(begin).transpose()?;
        let usage = options.classes.contains(&Class::Resource).then(Usage::new).transpose()?;
        let mut session = Session {
            programs,
            drain,
            enricher,
            writer,
            classes: options.classes,
            progress: Progress::default(),
            filtered: BTreeMap::new(),
            undecodable: BTreeMap::new(),
            decode_errors: 0,
            tls,
            started: Instant::now(),
            sampled: Stream::default(),
            usage,
            flows,
        };
        session.watch_tls();
        Ok(session)
    }

    /// A command is about to be executed by `pid`: its TLS code is watched before it runs.
    pub fn expect_command(&mut self, pid: u32, argv0: &str) {
        if let Some(tls) = &mut self.tls {
            tls.command(pid, argv0, &mut self.programs);
        }
    }

    fn watch_tls(&mut self) {
        if let Some(tls) = &mut self.tls {
            for sighting in self.enricher.take_sightings() {
                tls.see(&sighting, &mut self.programs);
            }
        }
    }

    /// Follows a process and its descendants; for [`Filter::command`].
    pub fn follow(&mut self, pid: u32) -> Result<()> {
        if let Some(usage) = &mut self.usage {
            usage.tree = Some(Tree::new(pid));
        }
        self.programs.follow_tree(pid)
    }

    /// Records until `until` says so. An error in writing ends it too; what was written before stays.
    pub fn run(&mut self, live: &mut Live, mut until: impl FnMut(&mut Live) -> bool) -> Result<()> {
        let mut next_tick = Instant::now();
        while !until(live) {
            match self.drain.next(TICK) {
                Ok(chunk) => self.take(&chunk)?,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            if next_tick <= Instant::now() {
                next_tick = Instant::now() + TICK;
                self.tick(live)?;
            }
        }
        Ok(())
    }

    fn tick(&mut self, live: &mut Live) -> Result<()> {
        self.writer.tick()?;
        self.enricher.take_answers();
        self.enricher.refresh();
        self.progress.lost = lost(&self.programs.counters()?);
        self.progress.containers = self.enricher.followed_containers();
        live.update(&self.progress, self.started.elapsed());
        if self.usage.as_mut().is_some_and(|usage| usage.every.due()) {
            self.sample_usage()?;
        }
        if self.flows.as_mut().is_some_and(|flows| flows.every.due()) {
            self.sample_flows()?;
        }
        Ok(())
    }

    /// The rows of the interval that ends now.
    fn sample_flows(&mut self) -> Result<()> {
        let Some(flows) = &mut self.flows else { return Ok(()) };
        let rows = flows.turn(&mut self.sampled, self.enricher.boot_offset())?;
        rows.into_iter().try_for_each(|row| self.store(row))
    }

    /// A row of the resource class for every container, or for the command.
    fn sample_usage(&mut self) -> Result<()> {
        let Some(Usage { cgroups, tree, .. }) = &self.usage else { return Ok(()) };
        let ts = clock::boottime_ns() + self.enricher.boot_offset();
        let stream = &mut self.sampled;
        let rows: Vec<ResourceEvent> = match tree {
            Some(tree) => vec![tree.usage(stream, ts, &self.programs.tree())],
            None => {
                let usage = |(id, path): (&Arc<str>, &str)| {
                    let common = || Common { container: Some(id.clone()), ..stream.common(Kind::Usage, ts) };
                    cgroups.usage(common, path)
                };
                self.enricher.containers().filter_map(usage).collect()
            }
        };
        for row in rows {
            self.store(Event::Resource(row))?;
        }
        Ok(())
    }

    /// A row for every process that outlives the recording: what it called, in the bitmap form.
    fn take_open_call_sets(&mut self, ts: i64) -> Result<()> {
        for set in self.programs.open_call_sets() {
            let stream = &mut self.sampled;
            if let Some(event) = self.enricher.call_set(&set, || stream.common(Kind::CallSet, ts))? {
                self.store(event)?;
            }
        }
        Ok(())
    }

    fn store(&mut self, event: Event) -> Result<()> {
        self.progress.stored += 1;
        Ok(self.writer.push(&event)?)
    }

    fn take(&mut self, chunk: &Chunk) -> Result<()> {
        for record in chunk.records() {
            let outcome = self.enricher.record(record)?;
            self.watch_tls();
            let (counts, header) = match outcome {
                Outcome::Store(event) => {
                    if let (Event::Process(row), Some(Usage { tree: Some(tree), .. })) = (&event, &mut self.usage)
                        && row.common.kind == Kind::Exit
                    {
                        tree.ended(row);
                    }
                    self.store(event)?;
                    continue;
                }
                Outcome::Control => continue,
                Outcome::Filtered(header) => (&mut self.filtered, Some(header)),
                Outcome::Undecodable(header) => {
                    self.decode_errors += 1;
                    (&mut self.undecodable, header)
                }
            };
            if let Some((cpu, kind)) = header.and_then(|h| Some((h.cpu, Kind::from_wire(h.kind)?))) {
                *counts.entry((cpu, kind.class())).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Stops emission, takes what is still in the ring, and completes the recording.
    pub fn finish(mut self) -> Result<Finished> {
        self.programs.detach();
        if let Some(flows) = &mut self.flows {
            flows.detach();
        }
        // A program that had started before the detach may still be submitting; it needs microseconds.
        thread::sleep(Duration::from_millis(20));
        let ended_ns = clock::unix_ns();
        self.drain.stop();
        let mut result = Ok(());
        while let Some(chunk) = self.drain.last() {
            // After a failed write the rest is still taken from the queue, so that the drain thread can end.
            if result.is_ok() {
                result = self.take(&chunk);
            }
        }
        // The last word on every container that is still there; a short recording has at least this.
        if result.is_ok() {
            result = self.sample_usage().and_then(|()| self.sample_flows());
            result = result.and_then(|()| self.take_open_call_sets(ended_ns));
        }
        let counters = self.programs.counters()?;
        let accounting = self.accounting(&counters);
        let elapsed = self.started.elapsed();
        let (processes, containers) = self.enricher.finish();
        self.writer.write_processes(&processes)?;
        self.writer.write_containers(&containers)?;
        let manifest = self.writer.finish(accounting, ended_ns)?;
        result.map(|()| Finished {
            manifest,
            processes: processes.len(),
            containers: containers.len(),
            elapsed,
            labels: None,
        })
    }

    fn accounting(&self, counters: &[(u16, Counters)]) -> Accounting {
        let mut accounting = Accounting::default();
        for &(cpu, counter) in counters {
            let classes = self.classes.iter().map(|class| {
                let index = *class as usize;
                let key = (cpu, *class);
                let mut account = ClassAccount { emitted: counter.emitted[index], ..ClassAccount::default() };
                account.dropped.ring_full = counter.dropped_ring[index];
                account.dropped.undecodable = self.undecodable.get(&key).copied().unwrap_or_default();
                account.filtered = self.filtered.get(&key).copied().unwrap_or_default();
                (class.name().to_owned(), account)
            });
            let classes = classes.collect();
            accounting.cpus.push(CpuAccount { cpu, next_seq: counter.next_seq, classes });
            let Counters {
                next_seq: _,
                emitted: _,
                dropped_ring: _,
                control_dropped,
                fd_table_full,
                proc_table_full,
                path_truncated,
                argv_truncated,
                read_fault,
                compat_syscalls,
                tls_calls_lost,
                sock_table_full,
                messages_skipped,
            } = counter;
            for (name, count) in [
                ("control_dropped", control_dropped),
                ("fd_table_full", fd_table_full),
                ("proc_table_full", proc_table_full),
                ("path_truncated", path_truncated),
                ("argv_truncated", argv_truncated),
                ("read_fault", read_fault),
                ("compat_syscalls", compat_syscalls),
                ("tls_calls_lost", tls_calls_lost),
                ("sock_table_full", sock_table_full),
                ("messages_skipped", messages_skipped),
            ] {
                *accounting.failures.entry(name.to_owned()).or_default() += count;
            }
        }
        accounting.cpus.extend(self.sampled.account());
        if let Some(tls) = &self.tls {
            accounting.failures.insert("tls_files_not_watched".to_owned(), tls.failed);
        }
        accounting.failures.insert("skipped_runs".to_owned(), self.programs.skipped_runs());
        accounting.failures.insert("decode_errors".to_owned(), self.decode_errors);
        accounting
    }
}

impl Usage {
    fn new() -> Result<Usage> {
        let path = PathBuf::from("/proc/self/mountinfo");
        let mountinfo = std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
        Ok(Usage { cgroups: Cgroups::new(&mountinfo), tree: None, every: Every::new(USAGE_INTERVAL) })
    }
}

fn lost(counters: &[(u16, Counters)]) -> u64 {
    counters.iter().flat_map(|(_, counter)| counter.dropped_ring).sum()
}

fn kernel() -> Result<Kernel> {
    let read = |name: &str| {
        let path = PathBuf::from("/proc/sys/kernel").join(name);
        std::fs::read_to_string(&path).map(|text| text.trim().to_owned()).map_err(|source| Error::Read { path, source })
    };
    Ok(Kernel { release: read("osrelease")?, machine: std::env::consts::ARCH.to_owned() })
}
