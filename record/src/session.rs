//! A recording from start to end: ring → decode → enrich → batches → segments → manifest.
//!
//! Two threads. One drains the ring and copies what it finds into chunks; the other decodes, enriches and writes. The
//! queue between them is bounded: when writing falls behind, the ring fills, and the kernel counts what it drops.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use datasets::{
    Accounting, End, Event, FilterChange, Kernel, Known as Journaled, Manifest, Masking, Moment, Recorder,
    RecordingWriter,
};
use record_bpf::{Class, Kind};

use crate::accounting::{self, TurnedAway};
use crate::bpf::{Programs, Settings, SyscallForm};
use crate::cgroup::Hierarchy;
use crate::clock;
use crate::decode;
use crate::drain::{Chunk, Drain};
use crate::enrich::{Changes, Enricher, Outcome, Tables};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::filter_file::Reload;
use crate::hooks;
use crate::identity::{Inspector, Podman, Resolver};
use crate::lag::{self, Ages};
use crate::live::status::{Own, Ring, Status, Tally};
use crate::live::{self, Live};
use crate::losses::Tracker;
use crate::memory::Gauge;
use crate::sample::flow::{FlowOptions, Flows};
use crate::sample::resource::Usage;
use crate::sample::{Every, Stream};
use crate::taken::Taken;
use crate::thin::cli::Sample;
use crate::thin::known::Known;
use crate::thin::ring::RingFill;
use crate::thin::{self, Sampler};
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
    /// Likely secrets are replaced before anything is written.
    pub mask: bool,
    pub sample: Sample,
    /// File with the filter of known behaviour.
    pub known: Option<PathBuf>,
    pub storage: datasets::Storage,
    pub signer: Option<datasets::Signer>,
}

/// A recording that has begun: the programs run, and events are being written.
pub struct Session {
    programs: Programs,
    drain: Drain,
    enricher: Enricher,
    writer: RecordingWriter,
    classes: Vec<Class>,
    tally: Tally,
    ages: Ages,
    ring: RingFill,
    ring_bytes: u32,
    show: Every,
    turned_away: TurnedAway,
    tracker: Tracker,
    /// Records that took a sequence number and came out of the ring.
    received: u64,
    taken: Taken,
    tls: Option<Watcher>,
    started: Instant,
    sampled: Stream,
    usage: Option<Usage>,
    flows: Option<Flows>,
    sampler: Option<Sampler>,
    /// A filter that can be read again while recording.
    pub reload: Option<Reload>,
    gauge: Gauge,
    end: End,
}

/// What a recording came to.
pub struct Finished {
    pub manifest: Manifest,
    pub processes: usize,
    pub containers: usize,
    pub elapsed: Duration,
    /// From the kernel's time stamp to the row in memory.
    pub lag: lag::Summary,
    /// The same as a histogram: upper bounds, and how many events.
    pub lags: Vec<(Duration, u64)>,
    /// The most bytes that waited in the ring.
    pub ring_most: u64,
    /// Events of the attack, for a scenario.
    pub labels: Option<usize>,
}

const TICK: Duration = Duration::from_millis(200);

/// At the end: how long to wait for records that are known to be under way.
const LAST_RECORDS: Duration = Duration::from_secs(2);

impl Session {
    /// Loads and attaches the programs. From the return of this call on, everything that matches is recorded.
    pub fn begin(options: Options) -> Result<Session> {
        let hierarchy = Hierarchy::detect()?;
        let known = options.known.as_deref().map(Known::load).transpose()?;
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
            thin: options.sample != Sample::Off,
            known: known.as_ref().map(|known| (known.key(), known.hashes().len() as u32)),
        };
        // The output comes first: without it there is nothing to do.
        // From here on Unix time is what the boot clock says and this offset: steps of the wall clock move nothing.
        let boot_offset = clock::boot_offset_ns();
        let started_ns = clock::boottime_ns() + boot_offset;
        let recorder = Recorder { name: "record".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let mut manifest = Manifest::new(recorder, kernel()?, started_ns, options.filter.text(), &options.classes);
        manifest.hooks = hooks::by_class(&options.classes);
        manifest.masking = Some(Masking { on: options.mask, ..Masking::default() });
        manifest.sampling = Some(thin::begun(&options.sample));
        manifest.known = known.as_ref().map(Known::entry);
        if let Some(FlowOptions { hook, interfaces, .. }) = &options.flow {
            let at = format!("{} at {}", hook.name(), interfaces.join(", "));
            manifest.hooks.insert(Class::Flow.name().to_owned(), vec![at]);
        }
        let mut writer = RecordingWriter::create_with(options.output, manifest, options.storage)?;
        options.signer.map_or(Ok(()), |signer| writer.sign_with(signer))?;

        let mut programs = Programs::load(&settings, &hierarchy)?;
        if let Some(known) = &known {
            programs.know(known)?;
        }
        let profiles = known.as_ref().map(Known::profiles).unwrap_or_default();
        let inspector = options.podman.is_installed().then(|| Inspector::start(options.podman.clone()));
        let mut enricher = Enricher::new(
            boot_offset,
            hierarchy,
            options.filter,
            programs.verdicts(profiles)?,
            Resolver::new(options.podman),
            inspector,
        )?;
        enricher.mask(options.mask);
        let tls = options.classes.contains(&Class::Tls).then(Watcher::default);
        if tls.is_some() {
            enricher.watch_tls();
        }
        enricher.judge_existing(started_ns)?;

        let drain = Drain::start(programs.ring()?, options.wakeup_deadline)?;
        let (sample, ring_bytes) = (&options.sample, options.ring_bytes);
        let sampler = Sampler::start(sample, &programs, ring_bytes, drain.waiting(), &options.classes)?;
        let ring = RingFill::open(&programs.ring()?, options.ring_bytes)
            .map_err(|source| Error::Read { path: "the ring buffer".into(), source })?;
        programs.attach()?;
        // Its system calls also show the programs the recorder's own root (learn_host_root in filter.h).
        enricher.judge_existing(clock::boottime_ns() + boot_offset)?;
        enricher.settle();
        let begin = |flow| Flows::begin(flow, programs.flow_parts()?, clock::boottime_ns() + boot_offset);
        let flows = options.flow.as_ref().map(begin).transpose()?;
        let usage = options.classes.contains(&Class::Resource).then(Usage::new).transpose()?;
        let gauge = Gauge::new(programs.object(), options.storage.memory as u64);
        let mut session = Session {
            programs,
            drain,
            enricher,
            writer,
            classes: options.classes,
            tally: Tally::default(),
            ages: Ages::default(),
            ring,
            ring_bytes,
            show: Every::new(live::INTERVAL),
            turned_away: TurnedAway::new(boot_offset),
            tracker: Tracker::new(started_ns),
            received: 0,
            taken: Taken::default(),
            tls,
            started: Instant::now(),
            sampled: Stream::default(),
            usage,
            flows,
            sampler,
            reload: None,
            gauge,
            end: End::Asked,
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
            usage.follow(pid);
        }
        self.programs.follow_tree(pid)
    }

    /// Records until `until` says so. An error in writing ends it too; what was written before stays.
    pub fn run(&mut self, live: &mut Live, mut until: impl FnMut(&mut Live) -> bool) -> Result<()> {
        let result = self.record(live, &mut until);
        match &result {
            Err(Error::Recording(error)) if error.is_output() => self.end = End::WriteFailed(error.to_string()),
            Err(error) => self.end = End::Failed(error.to_string()),
            Ok(()) => {}
        }
        result
    }

    fn record(&mut self, live: &mut Live, until: &mut impl FnMut(&mut Live) -> bool) -> Result<()> {
        let mut next_tick = Instant::now();
        while !until(live) {
            match self.drain.next(TICK) {
                Ok(chunk) => {
                    self.take(&chunk)?;
                    self.drain.give_back(chunk);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            if next_tick <= Instant::now() {
                next_tick = Instant::now() + TICK;
                self.tick(live)?;
                if self.writer.is_full() {
                    self.end = End::MaxSize;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Brings to the journal what a recorder that is killed now should not have lost.
    fn journal(&mut self, accounting: Accounting, at_ns: i64) -> Result<()> {
        let all_processes = self.writer.wants_all_processes();
        let Changes { processes, ended, containers, addresses } = self.enricher.changes(at_ns, all_processes);
        self.writer.set_masking(self.enricher.masking());
        self.taken.look(self.now(), self.ring.reserved());
        Ok(self.writer.journal(Journaled {
            at_ns,
            until_ns: self.taken.until(),
            accounting,
            processes: &processes,
            all_processes,
            ended: &ended,
            containers: &containers,
            addresses: &addresses,
        })?)
    }

    fn tick(&mut self, live: &mut Live) -> Result<()> {
        self.writer.tick()?;
        self.gauge.look();
        for change in self.sampler.iter().flat_map(Sampler::changes) {
            self.writer.sampling_changed(change);
        }
        self.reread_filter()?;
        self.enricher.take_answers()?;
        self.enricher.refresh();
        let at_ns = self.now();
        let accounting = self.account()?;
        if live.wants() && self.show.due() {
            live.update(self.status(&accounting)?);
        }
        if self.writer.journal_due() {
            self.journal(accounting, at_ns)?;
        }
        if self.usage.as_mut().is_some_and(|usage| usage.due()) {
            self.sample_usage()?;
        }
        if self.flows.as_mut().is_some_and(|flows| flows.every.due()) {
            self.sample_flows()?;
        }
        Ok(())
    }

    /// Takes the filter file as it is now, if SIGHUP asked for it. A broken one changes nothing.
    fn reread_filter(&mut self) -> Result<()> {
        let Some(reload) = self.reload.as_ref().filter(|reload| reload.is_asked()) else { return Ok(()) };
        match reload.read() {
            Ok(filter) => {
                let (text, now) = (filter.text(), clock::unix_ns());
                self.enricher.refilter(filter, now)?;
                eprintln!("filters read again: {}", text.join(", "));
                self.writer.filter_changed(FilterChange { at: Moment::from_ns(now), filter: text });
            }
            Err(error) => eprintln!("filters stay as they are: {error}"),
        }
        Ok(())
    }

    /// Where the recording stands. The rates and the lag are since the last call.
    fn status(&mut self, accounting: &Accounting) -> Result<Status> {
        let manifest = self.writer.manifest();
        let mut status = Status {
            elapsed: self.started.elapsed(),
            ring: Ring { used: (self.ring.fill() * f64::from(self.ring_bytes)) as u64, size: self.ring_bytes.into() },
            queued: self.drain.waiting().load(std::sync::atomic::Ordering::Relaxed),
            lag: self.tally.lag.take(),
            segments: manifest.segments.len() as u64,
            written: manifest.bytes(),
            pending: self.writer.pending_rows() as u64,
            followed: self.enricher.followed_containers(),
            busiest: self.enricher.named(self.tally.take_busiest()),
            masked: self.enricher.masked().clone(),
            own: Own::read(),
            ..Status::default()
        };
        status.enter(accounting, |class| self.tally.of(class));
        Ok(status)
    }

    /// Unix time, ns, in the clock of the events' time stamps.
    fn now(&self) -> i64 {
        clock::boottime_ns() + self.enricher.boot_offset()
    }

    /// Reads the kernel's counters, and tells the writer what has become of all events until now.
    fn account(&mut self) -> Result<Accounting> {
        let before = self.now();
        let counters = self.programs.counters()?;
        let after = self.now();
        let mut accounting = accounting::of(&counters, &self.classes);
        accounting.cpus.extend(self.sampled.account());
        self.turned_away.enter(&mut accounting);
        self.tracker.see(&accounting, &mut self.turned_away, (before, after), self.writer.losses());
        self.writer.set_accounting(&accounting, before);
        Ok(accounting)
    }

    /// The rows of the interval that ends now.
    fn sample_flows(&mut self) -> Result<()> {
        let Some(flows) = &mut self.flows else { return Ok(()) };
        let rows = flows.turn(&mut self.sampled, self.enricher.boot_offset())?;
        self.store_all(rows)
    }

    /// A row of the resource class for every container, or for the command.
    fn sample_usage(&mut self) -> Result<()> {
        let Some(usage) = &self.usage else { return Ok(()) };
        let ts = clock::boottime_ns() + self.enricher.boot_offset();
        let living = || self.programs.tree();
        let rows = usage.rows(&mut self.sampled, ts, self.enricher.containers(), living);
        self.store_all(rows.into_iter().map(Event::Resource))
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

    /// Rows that are numbered already: those after one that could not be stored are in the account too.
    fn store_all(&mut self, rows: impl IntoIterator<Item = Event>) -> Result<()> {
        let mut rows = rows.into_iter();
        let result = rows.by_ref().try_for_each(|row| self.store(row));
        rows.for_each(|row| self.turned_away.unwritten_row(&row));
        result
    }

    /// After an error the row is in the writer's account, as one that could not be written.
    fn store(&mut self, event: Event) -> Result<()> {
        self.tally.stored(event.class(), event.common().container.as_ref());
        Ok(self.writer.push(&event)?)
    }

    /// After an error the rest of the chunk is in the account, as what could not be written.
    fn take(&mut self, chunk: &Chunk) -> Result<()> {
        let mut records = chunk.records();
        let result = records.by_ref().try_for_each(|record| self.take_one(record));
        self.ages.taken(&mut self.tally.lag);
        self.taken.took(chunk.bytes());
        self.taken.look(self.now(), self.ring.reserved());
        records.for_each(|record| self.leave(record));
        result
    }

    /// Counts a record that nothing is done with.
    fn leave(&mut self, record: &[u8]) {
        self.received += u64::from(decode::header(record).is_none_or(|header| accounting::is_event(&header)));
        self.turned_away.unwritten(record);
    }

    fn take_one(&mut self, record: &[u8]) -> Result<()> {
        self.ages.saw(record);
        if let Some(row) = self.enricher.call(record) {
            self.received += 1;
            self.tally.stored(Class::Syscall, row.common.container.as_ref());
            return Ok(self.writer.push_call(row)?);
        }
        let outcome = match self.enricher.record(record) {
            Ok(outcome) => outcome,
            Err(error) => {
                self.leave(record);
                return Err(error);
            }
        };
        self.watch_tls();
        match outcome {
            Outcome::Store(event) => {
                self.received += 1;
                if let Some(usage) = &mut self.usage {
                    usage.saw(&event);
                }
                self.store(event)?;
            }
            Outcome::Control => {}
            Outcome::Filtered(header) => {
                self.received += 1;
                self.turned_away.filtered(&header);
            }
            Outcome::Undecodable(header) => {
                self.received += u64::from(header.as_ref().is_none_or(accounting::is_event));
                self.turned_away.undecodable(header.as_ref());
            }
        }
        Ok(())
    }

    /// Waits for the last records: a program that was interrupted by the detach may have taken a number and not yet filled
    /// its record, and the ring shows nothing behind a record that is being filled.
    fn take_rest(&mut self) -> Result<()> {
        let end = Instant::now() + LAST_RECORDS;
        let mut result = Ok(());
        while self.received < accounting::submitted(&self.programs.counters()?) && Instant::now() < end {
            match self.drain.next(Duration::from_millis(20)) {
                Ok(chunk) => result = result.and(self.take(&chunk)),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        result
    }

    /// Stops emission, takes what is still in the ring, and completes the recording.
    pub fn finish(mut self) -> Result<Finished> {
        self.programs.detach();
        if let Some(flows) = &mut self.flows {
            flows.detach();
        }
        // A program that had started before the detach may still be submitting; it needs microseconds.
        thread::sleep(Duration::from_millis(20));
        let ended_ns = self.now();
        let mut result = self.take_rest();
        for change in self.sampler.iter_mut().flat_map(Sampler::stop) {
            self.writer.sampling_changed(change);
        }
        self.drain.stop();
        while let Some(chunk) = self.drain.last() {
            // After a failed write the rest is still taken from the queue: the drain thread can end, and all is counted.
            match result {
                Ok(()) => result = self.take(&chunk),
                Err(_) => chunk.records().for_each(|record| self.leave(record)),
            }
        }
        // The last word on every container that is still there; a short recording has at least this.
        if result.is_ok() {
            result = self.sample_usage().and_then(|()| self.sample_flows());
            result = result.and_then(|()| self.take_open_call_sets(ended_ns));
        }
        let mut accounting = self.account()?;
        let not_watched = self.tls.as_ref().map(|tls| ("tls_files_not_watched", tls.failed));
        let skipped = ("skipped_runs", self.programs.skipped_runs());
        let moved = ("clock_moved_ms", (clock::unix_ns() - self.now()).unsigned_abs() / 1_000_000);
        let failures = not_watched.into_iter().chain([skipped, moved]);
        accounting.failures.extend(failures.map(|(name, count)| (name.to_owned(), count)));
        let elapsed = self.started.elapsed();
        let processes_seen = self.enricher.processes_seen();
        let Tables { processes, containers, addresses, masking } = self.enricher.finish();
        self.writer.set_masking(masking);
        self.gauge.look();
        self.writer.set_memory(self.gauge.memory());
        self.writer.set_end(self.end);
        // One that cannot be written does not keep the others from being completed.
        let tables = self.writer.write_processes(&processes);
        let tables = tables.and(self.writer.write_containers(&containers));
        let tables = tables.and(self.writer.write_addresses(&addresses));
        let finished = self.writer.finish(accounting, ended_ns);
        result?;
        tables?;
        let manifest = finished?;
        let (lag, lags) = self.ages.finish();
        Ok(Finished {
            manifest,
            processes: processes_seen,
            containers: containers.len(),
            elapsed,
            lag,
            lags,
            ring_most: self.drain.most_filled(),
            labels: None,
        })
    }
}

fn kernel() -> Result<Kernel> {
    let read = |name: &str| {
        let path = PathBuf::from("/proc/sys/kernel").join(name);
        std::fs::read_to_string(&path).map(|text| text.trim().to_owned()).map_err(|source| Error::Read { path, source })
    };
    Ok(Kernel { release: read("osrelease")?, machine: std::env::consts::ARCH.to_owned() })
}
