//! Writing a recording: rows to segments, segments to the manifest.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use record_bpf::{Class, schema};

use crate::codec::Codec;
use crate::encode::{self, Encoder, Failed, Job, Outcome};
use crate::journal::{self, BatchReader, Journal, Reserve};
use crate::keep::Keep;
use crate::losses::{Cause, Loss, Losses};
use crate::manifest::{
    Accounting, CpuAccount, FilterChange, Manifest, Masking, Moment, Scenario, Segment, State, Table,
};
use crate::manifest_file::make_dirs;
use crate::model::{Address, Container, Event, Label, Process, SyscallEvent};
use crate::open::{Buffers, Columns, Sealed};
use crate::parquet_write::Written;
use crate::segment_account::Counted;
use crate::signature::Signer;
use crate::thinning::SamplingChange;
use crate::{End, Error, Memory, Result, hash, manifest_file, parquet_write};

pub(crate) const PROCESSES: &str = "processes.parquet";
pub(crate) const CONTAINERS: &str = "containers.parquet";
pub(crate) const ADDRESSES: &str = "addresses.parquet";
/// Events without a row; see [`Losses`].
pub(crate) const LOSSES: &str = "losses.parquet";
pub(crate) const LABELS: &str = "labels.parquet";

/// When a segment is closed, whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Age of its oldest row, by the wall.
    pub time: Duration,
    /// Memory its rows take, bytes; the file is several times smaller.
    pub bytes: usize,
    pub rows: usize,
}

impl Default for Rotation {
    fn default() -> Self {
        Rotation { time: Duration::from_secs(60), bytes: 64 << 20, rows: 1_000_000 }
    }
}

/// How a recording is written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Storage {
    pub rotation: Rotation,
    /// Memory of all rows that wait, bytes: half of it for open segments, half for those being encoded. 0: no bound but
    /// [`Rotation::bytes`] for each class.
    pub memory: usize,
    /// How often rows go to the journal; what a killed recorder loses. `None`: there is no journal, and it loses the open
    /// segments.
    pub journal: Option<Duration>,
    /// Encode segments in a thread of its own.
    pub background: bool,
    /// Keep room on the disk for the tables and the manifest of the end: 4.25 MiB and more as the manifest grows.
    pub reserve: bool,
    pub keep: Keep,
}

impl From<Rotation> for Storage {
    fn from(rotation: Rotation) -> Storage {
        Storage { rotation, ..Storage::default() }
    }
}

/// What a recorder knows beside the rows, for the journal.
pub struct Known<'a> {
    /// Unix time, ns, at which the counters were read.
    pub at_ns: i64,
    /// As for [`RecordingWriter::finish`].
    pub accounting: Accounting,
    /// Rows of the tables that are new or have changed since the last call.
    pub processes: &'a [Process],
    /// `processes` are all there are but for those that ended, as [`RecordingWriter::wants_all_processes`] asked for.
    pub all_processes: bool,
    /// Rows of processes that ended, which will not change any more and are not given again.
    pub ended: &'a [Process],
    pub containers: &'a [Container],
    pub addresses: &'a [Address],
}

/// Room for the tables of the end on a full disk, and the least room for the manifest; bytes.
const TABLES_RESERVE: u64 = 4 << 20;
const MANIFEST_RESERVE: u64 = 256 << 10;

/// The journal of the process table is written anew at this size, bytes.
const PROCESSES_JOURNAL: u64 = 8 << 20;

/// A Parquet file with the columns of a class, before its first row, at most; bytes.
const LEAST_SEGMENT: u64 = 8 << 10;

/// Writes a recording, segment by segment.
///
/// Rows wait in memory, as columns, until their segment is closed, and go to a journal until then if
/// [`Storage::journal`] says so. Whatever the manifest on disk lists is complete and synced.
///
/// After an [`Error::Write`] the rows of that segment are gone and counted as `write_failed`; everything before stays
/// readable, and [`finish`](Self::finish) can still be tried. On a full disk the journal goes first, to make room for the
/// rows it stands for.
pub struct RecordingWriter {
    dir: PathBuf,
    manifest: Manifest,
    storage: Storage,
    open: Buffers,
    /// Memory of the open segments, bytes.
    open_bytes: usize,
    encoder: Encoder,
    /// Sealed and not yet in the manifest, in the order they were sealed.
    pending: VecDeque<Pending>,
    /// Number of the next segment of each class.
    next: [u32; Class::ALL.len()],
    chain: hash::Hash,
    counts: BTreeMap<(u16, Class), Counts>,
    counted: Counted,
    losses: Losses,
    signer: Option<Signer>,
    /// Rows by CPU of each segment in the manifest.
    rows_by_cpu: VecDeque<Vec<u64>>,
    journal: Option<Journal>,
    journaled_at: Instant,
    /// Given back when the disk is full: for the tables, and for the manifest.
    reserves: Option<[Reserve; 2]>,
    store: Store,
    _lock: Option<File>,
}

/// Rows of a CPU and class.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    stored: u64,
    failed: u64,
    pruned: u64,
}

/// A sealed segment.
struct Pending {
    class: Class,
    index: u32,
    rows: u64,
    cpus: Vec<u64>,
    bytes: usize,
    /// Batches that are not in the journal; until it is written, or the journal's turn comes.
    unjournaled: Vec<Columns>,
}

/// When the manifest was stored last, and what waits for the next time.
struct Store {
    at: Instant,
    took: Duration,
    /// Segments in the manifest in memory only.
    unlisted: Vec<(Class, u32)>,
    /// Removed from the manifest in memory only.
    pruned: Vec<PathBuf>,
}

/// The manifest is replaced after each segment, but not more often than lets it take a hundredth of the time: a recording
/// of many thousand segments has a manifest of megabytes. Until then their rows stay in the journal.
const STORE_SHARE: u32 = 100;

impl RecordingWriter {
    /// Begins a recording in `dir`, which must not exist or be empty. Directories get mode 0700, files 0600.
    ///
    /// # Errors
    /// [`Error::Exists`], or [`Error::Write`] when `dir` cannot be made or written to.
    pub fn create(dir: impl Into<PathBuf>, manifest: Manifest) -> Result<RecordingWriter> {
        RecordingWriter::create_with(dir, manifest, Storage::default())
    }

    /// As [`create`](Self::create), with other bounds for a segment, a journal, or bounds for the whole.
    pub fn create_with(
        dir: impl Into<PathBuf>,
        mut manifest: Manifest,
        storage: impl Into<Storage>,
    ) -> Result<RecordingWriter> {
        let (dir, storage) = (dir.into(), storage.into());
        match fs::read_dir(&dir) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(Error::Exists { path: dir });
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => make_dirs(&dir)?,
            Err(_) if dir.is_file() => return Err(Error::Exists { path: dir }),
            Err(source) => return Err(Error::Write { path: dir, source }),
        }
        let lock = lock(&dir)?;
        manifest.state = State::Recording;
        manifest_file::store(&dir, &mut manifest)?;
        let journal = storage.journal.map(|_| Journal::create(&dir)).transpose()?;
        let reserves = if storage.reserve {
            let take = |name, bytes| Reserve::take(&dir, name, bytes);
            Some([take("tables", TABLES_RESERVE)?, take("manifest", MANIFEST_RESERVE)?])
        } else {
            None
        };
        Ok(RecordingWriter {
            dir,
            manifest,
            storage,
            open: Buffers::new(),
            open_bytes: 0,
            encoder: Encoder::new(storage.background),
            pending: VecDeque::new(),
            next: [0; Class::ALL.len()],
            chain: hash::CHAIN_START,
            counts: BTreeMap::new(),
            counted: Counted::default(),
            losses: Losses::default(),
            signer: None,
            rows_by_cpu: VecDeque::new(),
            journal,
            journaled_at: Instant::now(),
            reserves,
            store: Store { at: Instant::now(), took: Duration::ZERO, unlisted: Vec::new(), pruned: Vec::new() },
            _lock: lock,
        })
    }

    /// The directory being written to.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The manifest; but for the segments of the last second, as it is on disk.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Signs the manifest now, and each time that it is written.
    pub fn sign_with(&mut self, signer: Signer) -> Result<()> {
        self.signer = Some(signer);
        self.store_manifest()
    }

    /// Says what has become of all events until now, for the metadata of the segments that are closed from here on.
    ///
    /// `at`: when the kernel's counters were read, in the clock of `ts`; Unix time, ns. What the writer itself counts,
    /// `stored` and its part of `write_failed`, is added to it.
    pub fn set_accounting(&mut self, accounting: &Accounting, at: i64) {
        self.counted = Counted::new(accounting, at);
    }

    /// What was not stored, and when: `losses.parquet` when the recording is finished. Rows that could not be written are
    /// entered by the writer.
    pub fn losses(&mut self) -> &mut Losses {
        &mut self.losses
    }

    /// Rows pushed and not yet in a segment.
    pub fn pending_rows(&self) -> usize {
        let sealed: u64 = self.pending.iter().map(|segment| segment.rows).sum();
        Class::ALL.into_iter().map(|class| self.open.rows(class)).sum::<usize>() + sealed as usize
    }

    /// Bytes of the recording on disk, the journal and the room kept for the end included.
    pub fn bytes(&self) -> u64 {
        self.bytes_with(0)
    }

    fn bytes_with(&self, rows: u64) -> u64 {
        let tables: u64 = self.manifest.tables.iter().map(|table| table.bytes).sum();
        let reserves: u64 = self.reserves.iter().flatten().map(Reserve::bytes).sum();
        let journal = self.journal.as_ref().map_or(0, Journal::bytes);
        self.manifest.bytes() + tables + reserves + manifest_file::size(&self.manifest) + journal.max(rows)
    }

    /// Whether the recording has the size it may have, so that it should be finished.
    pub fn is_full(&self) -> bool {
        let Keep::Oldest(_) = self.storage.keep else { return false };
        // What is known of the files to come: that they are not larger than their rows in memory, or than the least file.
        let sealed: usize = self.pending.iter().map(|segment| segment.bytes).sum();
        let open = Class::ALL.into_iter().filter(|class| self.open.rows(*class) > 0).count() as u64;
        let rows = (self.open_bytes + sealed) as u64 + (open + self.pending.len() as u64) * LEAST_SEGMENT;
        self.storage.keep.is_full(self.bytes_with(rows))
    }

    /// Takes a row. Rows may come in any order within a segment.
    ///
    /// # Errors
    /// [`Error::Write`] when this row closed a segment and that failed, or one closed before did.
    pub fn push(&mut self, event: &Event) -> Result<()> {
        let (full, bytes) = self.open.push(event, &self.storage.rotation);
        self.pushed(event.class(), full, bytes)
    }

    /// As [`push`](Self::push), for a row that the caller uses again.
    ///
    /// # Errors
    /// Those of [`push`](Self::push).
    pub fn push_call(&mut self, row: &SyscallEvent) -> Result<()> {
        let (full, bytes) = self.open.syscall.push(row, &self.storage.rotation);
        self.pushed(Class::Syscall, full, bytes)
    }

    fn pushed(&mut self, class: Class, full: bool, bytes: usize) -> Result<()> {
        self.open_bytes += bytes;
        if full {
            return self.close_segment(class);
        }
        if self.storage.memory > 0 && self.open_bytes > self.storage.memory / 2 {
            let largest = Class::ALL.into_iter().max_by_key(|class| self.open.bytes(*class));
            return largest.map_or(Ok(()), |class| self.close_segment(class));
        }
        Ok(())
    }

    /// Closes the segments whose oldest row is older than [`Rotation::time`], and takes note of those that have been
    /// written. To be called a few times a second: a class without new rows would never notice by itself.
    pub fn tick(&mut self) -> Result<()> {
        let mut result = self.collect(false);
        let time = self.storage.rotation.time;
        let due = |class: &Class| self.open.since(*class).is_some_and(|since| since.elapsed() >= time);
        let due: Vec<Class> = Class::ALL.into_iter().filter(due).collect();
        result = result.and(self.close_all(due));
        if !self.store.unlisted.is_empty() {
            result = result.and(self.store_if_due());
        }
        result
    }

    /// Closes every open segment now, and waits until all are written.
    pub fn flush(&mut self) -> Result<()> {
        let closed = self.close_all(Class::ALL);
        let collected = closed.and(self.collect(true));
        if self.store.unlisted.is_empty() { collected } else { collected.and(self.store_manifest()) }
    }

    /// Tries all of them, and returns the first error.
    fn close_all(&mut self, classes: impl IntoIterator<Item = Class>) -> Result<()> {
        classes.into_iter().map(|class| self.close_segment(class)).fold(Ok(()), Result::and)
    }

    fn close_segment(&mut self, class: Class) -> Result<()> {
        let Some(Sealed { class, batches, journaled, rows, cpus, bytes }) = self.open.seal(class) else {
            return Ok(());
        };
        self.count_open_bytes();
        let mut result = Ok(());
        // One is encoded at a time, and what waits for it is bounded.
        while let Some(encoding) = self.pending.iter().map(|segment| segment.bytes).reduce(|a, b| a + b)
            && self.storage.memory > 0
            && encoding + bytes > self.storage.memory / 2
        {
            result = result.and(self.collect_one(true));
        }
        let index = self.next[class as usize];
        self.next[class as usize] += 1;
        let note = self.counted.segment(class, &batches, &self.rows_before(class)).to_json();
        let unjournaled = if self.journal.is_some() { batches[journaled..].to_vec() } else { Vec::new() };
        self.pending.push_back(Pending { class, index, rows, cpus, bytes, unjournaled });
        self.encoder.submit(Job { class, path: self.dir.join(segment_file(class, index)), batches, note: Some(note) });
        result.and(self.collect(false))
    }

    /// (rows in closed segments, rows that could not be written) of each CPU.
    fn rows_before(&self, class: Class) -> BTreeMap<u16, (u64, u64)> {
        let counts = self.counts.iter().filter(|((_, of), _)| *of == class);
        let mut before: BTreeMap<u16, (u64, u64)> =
            counts.map(|((cpu, _), counts)| (*cpu, (counts.stored + counts.pruned, counts.failed))).collect();
        for segment in self.pending.iter().filter(|segment| segment.class == class) {
            for (cpu, n) in (0..=u16::MAX).zip(&segment.cpus).filter(|(_, n)| **n > 0) {
                before.entry(cpu).or_default().0 += n;
            }
        }
        before
    }

    fn count_open_bytes(&mut self) {
        self.open_bytes = Class::ALL.into_iter().map(|class| self.open.bytes(class)).sum();
    }

    /// Enters the segments that have been written in the manifest. `wait`: for all of them.
    fn collect(&mut self, wait: bool) -> Result<()> {
        let mut result = Ok(());
        loop {
            let before = self.pending.len();
            result = result.and(self.collect_one(wait));
            if self.pending.len() == before || self.pending.is_empty() {
                return result;
            }
        }
    }

    fn collect_one(&mut self, wait: bool) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let outcome = match self.encoder.outcome(wait) {
            Some(outcome) => outcome,
            None if wait => Err(Failed::lost(&self.dir)),
            None => return Ok(()),
        };
        let Some(segment) = self.pending.pop_front() else { return Ok(()) };
        self.enter(segment, outcome)
    }

    /// Enters a segment in the manifest, or its rows in the account.
    fn enter(&mut self, segment: Pending, outcome: Outcome) -> Result<()> {
        let Pending { class, index, rows, cpus, .. } = segment;
        let file = segment_file(class, index);
        let mut full = Ok(());
        let outcome = match outcome {
            Err(failed) if failed.is_full() && self.make_room() => {
                // Its rows are still there; what stood for them on the disk is not any more.
                let Failed { error, batches, note } = *failed;
                full = Err(error);
                encode::encode(class, &self.dir.join(&file), batches, note)
            }
            outcome => outcome,
        };
        for (cpu, n) in (0..=u16::MAX).zip(&cpus).filter(|(_, n)| **n > 0) {
            let counts = self.counts.entry((cpu, class)).or_default();
            if let Err(failed) = &outcome {
                counts.failed += n;
                let (from, to) = failed.times().unwrap_or((self.manifest.started.ns, i64::MAX));
                self.losses.add(Loss { cpu, class, cause: Cause::WriteFailed, from, to, count: *n });
            } else {
                counts.stored += n;
            }
        }
        let (written, (first_ts, last_ts)) = match outcome {
            Ok(written) => written,
            Err(failed) => {
                // Its rows stay in the journal: if the manifest cannot be stored either, they can be recovered.
                return full.and(Err(failed.error));
            }
        };
        self.chain = hash::chain(&self.chain, &written.sha256);
        self.manifest.segments.push(Segment {
            file,
            class: class.name().to_owned(),
            rows,
            first_ts,
            last_ts,
            bytes: written.bytes,
            sha256: hash::hex(&written.sha256),
            chain: hash::hex(&self.chain),
            blocks: Some(written.blocks),
        });
        self.rows_by_cpu.push_back(cpus);
        self.store.unlisted.push((class, index));
        self.prune();
        full.and(self.store_if_due())
    }

    /// Removes the oldest segments that are not to be kept; their files go when the manifest on disk says so.
    fn prune(&mut self) {
        while self.storage.keep.is_to_go(&self.manifest.segments, self.bytes()) {
            let segment = self.manifest.segments.remove(0);
            let cpus = self.rows_by_cpu.pop_front().unwrap_or_default();
            let class = Class::from_name(&segment.class);
            for (cpu, n) in (0..=u16::MAX).zip(cpus) {
                if let Some(counts) = class.and_then(|class| self.counts.get_mut(&(cpu, class))) {
                    counts.stored -= n;
                    counts.pruned += n;
                }
            }
            self.store.pruned.push(self.dir.join(&segment.file));
            self.manifest.pruned.get_or_insert_default().add(&segment);
        }
        if let Some(pruned) = &mut self.manifest.pruned {
            let rows = self.counts.iter().filter(|(_, counts)| counts.pruned > 0);
            for ((cpu, class), counts) in rows {
                pruned.cpus.entry(*cpu).or_default().insert(class.name().to_owned(), counts.pruned);
            }
        }
    }

    fn store_if_due(&mut self) -> Result<()> {
        if self.storage.background && self.store.at.elapsed() < self.store.took * STORE_SHARE {
            return Ok(());
        }
        self.store_manifest()
    }

    fn store_manifest(&mut self) -> Result<()> {
        let began = Instant::now();
        let mut stored = manifest_file::store_signed(&self.dir, &mut self.manifest, self.signer.as_ref());
        if stored.as_ref().is_err_and(Error::is_full) {
            self.make_room();
            if manifest_file::store_signed(&self.dir, &mut self.manifest, self.signer.as_ref()).is_err() {
                self.give_back(1);
                let last = manifest_file::store_signed(&self.dir, &mut self.manifest, self.signer.as_ref());
                // It had to be made room for: the recording should end, with everything in it.
                if last.is_err() {
                    stored = last;
                }
            }
        }
        let on_disk = match &stored {
            Ok(()) => true,
            Err(_) => manifest_file::load(&self.dir).is_ok_and(|manifest| manifest.digest == self.manifest.digest),
        };
        if on_disk {
            for (class, index) in self.store.unlisted.drain(..) {
                self.journal.iter_mut().for_each(|journal| journal.done(class, index));
            }
            for file in self.store.pruned.drain(..) {
                let _ = fs::remove_file(file);
            }
            (self.store.at, self.store.took) = (Instant::now(), began.elapsed());
        }
        stored
    }

    /// Frees what the journal takes, whose rows are in memory. Returns whether there was anything.
    fn make_room(&mut self) -> bool {
        match self.journal.take() {
            Some(mut journal) => {
                journal.give_up_rows();
                true
            }
            None => false,
        }
    }

    /// Frees the room kept for the tables (0) or the manifest (1).
    fn give_back(&mut self, which: usize) {
        self.reserves.iter_mut().for_each(|reserves| reserves[which].give_back());
    }

    /// Whether [`journal`](Self::journal) should be called.
    pub fn journal_due(&self) -> bool {
        let every = self.storage.journal.filter(|_| self.journal.is_some());
        every.is_some_and(|every| self.journaled_at.elapsed() >= every)
    }

    /// Whether the next call of [`journal`](Self::journal) should bring every process that has not ended, so that the journal
    /// of the table does not grow for ever.
    pub fn wants_all_processes(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.processes_bytes() > PROCESSES_JOURNAL)
    }

    /// Brings the rows that are in no segment yet, and what else the recorder knows, to the journal.
    ///
    /// # Errors
    /// [`Error::Write`]: there is no journal from then on, and the recording should be finished.
    pub fn journal(&mut self, known: Known<'_>) -> Result<()> {
        self.journaled_at = Instant::now();
        let accounting = self.complete(known.accounting);
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let write = || {
            journal.account(accounting, Moment::from_ns(known.at_ns), &self.manifest)?;
            journal.ended(known.ended)?;
            if known.all_processes {
                journal.processes_anew(known.processes)?;
            } else {
                journal.processes(known.processes)?;
            }
            journal.containers(known.containers)?;
            journal.addresses(known.addresses)?;
            for segment in &mut self.pending {
                let batches = std::mem::take(&mut segment.unjournaled);
                journal.rows(segment.class, segment.index, &batches)?;
            }
            for class in Class::ALL {
                self.open.cut(class);
                journal.rows(class, self.next[class as usize], &self.open.take_unjournaled(class))?;
            }
            journal.sync_error().map_or(Ok(()), Err)
        };
        let mut written = write();
        self.count_open_bytes();
        if written.is_ok()
            && let Some([_, manifest]) = &mut self.reserves
        {
            // Room for the manifest as it is and its successor, side by side.
            let wanted = 2 * manifest_file::size(&self.manifest).max(MANIFEST_RESERVE / 2);
            written = manifest.grow(wanted);
        }
        if written.is_err() {
            self.make_room();
        }
        written
    }

    /// Writes `processes.parquet`, replacing an earlier one: those that have [ended](Known::ended), and these.
    pub fn write_processes(&mut self, rows: &[Process]) -> Result<()> {
        let mut table = write_processes(&self.dir, rows);
        if table.as_ref().is_err_and(Error::is_full) {
            self.make_room();
            self.give_back(0);
            table = write_processes(&self.dir, rows);
        }
        let (table, _) = table?;
        put_table(&mut self.manifest, table);
        self.store_manifest()
    }

    /// Writes `containers.parquet`, replacing an earlier one.
    pub fn write_containers(&mut self, rows: &[Container]) -> Result<()> {
        self.write_table(CONTAINERS, schema::CONTAINERS, rows)
    }

    /// Writes `addresses.parquet`, replacing an earlier one.
    pub fn write_addresses(&mut self, rows: &[Address]) -> Result<()> {
        self.write_table(ADDRESSES, schema::ADDRESSES, rows)
    }

    /// Writes `labels.parquet`, replacing an earlier one.
    pub fn write_labels(&mut self, rows: &[Label]) -> Result<()> {
        self.write_table(LABELS, schema::LABELS, rows)
    }

    fn write_table<C: Codec<Value = C>>(
        &mut self,
        file: &str,
        columns: &'static [schema::Column],
        rows: &[C],
    ) -> Result<()> {
        let mut table = write_table(&self.dir, file, columns, rows);
        if table.as_ref().is_err_and(Error::is_full) {
            self.make_room();
            self.give_back(0);
            table = write_table(&self.dir, file, columns, rows);
        }
        put_table(&mut self.manifest, table?);
        self.store_manifest()
    }

    /// Enters the scenario that is being recorded in the manifest; on disk with the next segment or table.
    pub fn set_scenario(&mut self, scenario: Scenario) {
        self.manifest.scenario = Some(scenario);
    }

    /// Enters what was masked in the manifest; on disk with the next segment or table, and in the journal.
    pub fn set_masking(&mut self, masking: Masking) {
        self.manifest.masking = Some(masking);
    }

    /// Enters a change of the sampler in the manifest; on disk with the next segment or table, and in the journal.
    pub fn sampling_changed(&mut self, change: SamplingChange) {
        self.manifest.sampling.get_or_insert_default().changes.push(change);
    }

    /// Enters another filter in the manifest; on disk with the next segment or table.
    pub fn filter_changed(&mut self, change: FilterChange) {
        self.manifest.filter_changes.push(change);
    }

    /// Enters why the recording ends.
    pub fn set_end(&mut self, end: End) {
        self.manifest.end = Some(end);
    }

    /// Enters what the recording took.
    pub fn set_memory(&mut self, memory: Memory) {
        self.manifest.memory = Some(memory);
    }

    /// Closes the last segments and completes the manifest. `ended_ns`: Unix time, ns.
    ///
    /// `stored` and `pruned` of the accounting are this writer's own counts, whatever the caller put there, and what it could
    /// not write is added to `write_failed`; CPUs and classes that have rows are added where the caller left them out.
    ///
    /// # Errors
    /// [`Error::Write`]; if it was the manifest that could not be written, the recording stays in the state it has on disk.
    pub fn finish(mut self, accounting: Accounting, ended_ns: i64) -> Result<Manifest> {
        // A last segment that cannot be written is counted, and does not keep the rest from being completed.
        let flushed = self.flush();
        let accounting = self.complete(accounting);
        self.losses.complete(&accounting, (self.manifest.started.ns, ended_ns));
        let losses = std::mem::take(&mut self.losses);
        let flushed = flushed.and(self.write_table(LOSSES, schema::LOSSES, losses.rows()));
        self.manifest.accounting = Some(accounting);
        self.manifest.ended = Some(Moment::from_ns(ended_ns));
        self.manifest.state = State::Complete;
        if let Err(error) = &flushed {
            self.manifest.end = Some(End::WriteFailed(error.to_string()));
        }
        let stored = self.store_manifest();
        if self.store.unlisted.is_empty() {
            journal::remove(&self.dir)?;
        }
        flushed.and(stored).map(|()| self.manifest)
    }

    fn complete(&self, mut accounting: Accounting) -> Accounting {
        for account in accounting.cpus.iter_mut().flat_map(|cpu| cpu.classes.values_mut()) {
            (account.stored, account.pruned) = (0, 0);
        }
        for ((cpu, class), counts) in &self.counts {
            let account = account_of(&mut accounting, *cpu).classes.entry(class.name().to_owned()).or_default();
            (account.stored, account.pruned) = (counts.stored, counts.pruned);
            account.dropped.write_failed += counts.failed;
        }
        accounting.cpus.sort_by_key(|account| account.cpu);
        accounting
    }
}

/// The account of a CPU, made if it is not there.
pub(crate) fn account_of(accounting: &mut Accounting, cpu: u16) -> &mut CpuAccount {
    let at = match accounting.cpus.iter().position(|account| account.cpu == cpu) {
        Some(at) => at,
        None => {
            accounting.cpus.push(CpuAccount { cpu, ..CpuAccount::default() });
            accounting.cpus.len() - 1
        }
    };
    &mut accounting.cpus[at]
}

/// Relative to the recording.
pub(crate) fn segment_file(class: Class, index: u32) -> String {
    format!("{}/{index:05}.parquet", class.name())
}

/// Keeps others from writing to the recording while this one does, also from completing it; the end of the process frees it.
/// `None`: the file system has no locks.
pub(crate) fn lock(dir: &Path) -> Result<Option<File>> {
    let folder = File::open(dir).map_err(Error::write(dir))?;
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(Error::Busy { path: dir.to_owned() }),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Writes `labels.parquet` into a finished recording, replacing an earlier one, and enters the scenario in its manifest.
///
/// # Errors
/// Those of [`Recording::open`](crate::Recording::open) and [`Error::Write`].
pub fn add_labels(dir: &Path, labels: &[Label], scenario: Scenario) -> Result<Manifest> {
    let mut manifest = manifest_file::load(dir)?;
    let table = write_table(dir, LABELS, schema::LABELS, labels)?;
    put_table(&mut manifest, table);
    manifest.scenario = Some(scenario);
    manifest_file::store(dir, &mut manifest)?;
    Ok(manifest)
}

pub(crate) fn put_table(manifest: &mut Manifest, table: Table) {
    match manifest.tables.iter_mut().find(|old| old.file == table.file) {
        Some(old) => *old = table,
        None => manifest.tables.push(table),
    }
}

/// Rows of the process table in a row group, where they come out of the journal.
const GROUP_ROWS: usize = 1 << 16;

/// Writes the process table: the rows of the journal that are final, and these. Memory: a row group. Returns the torn bytes
/// of the journal, too.
pub(crate) fn write_processes(dir: &Path, rows: &[Process]) -> Result<(Table, u64)> {
    let mut ended = BatchReader::open(journal::folder(dir).join(journal::ENDED), schema::PROCESSES)?;
    let path = dir.join(PROCESSES);
    let mut count = rows.len();
    let mut rest = (!rows.is_empty()).then(|| journal::to_columns(rows));
    let groups = std::iter::from_fn(|| {
        let mut group = Vec::new();
        let mut in_group = 0;
        while in_group < GROUP_ROWS {
            match ended.next() {
                Some(Ok(columns)) => {
                    in_group += columns.first().map_or(0, |column| column.len());
                    group.push(columns);
                }
                Some(Err(error)) => return Some(Err(io::Error::other(error))),
                None => {
                    group.extend(rest.take());
                    break;
                }
            }
        }
        count += in_group;
        (!group.is_empty()).then_some(Ok(group))
    });
    let written = parquet_write::write_groups(&path, &schema::schema(schema::PROCESSES), groups)?;
    Ok((table(PROCESSES, count, written), ended.torn()))
}

pub(crate) fn write_table<C>(dir: &Path, file: &str, columns: &'static [schema::Column], rows: &[C]) -> Result<Table>
where
    C: Codec<Value = C>,
{
    let written = parquet_write::write(&dir.join(file), &schema::schema(columns), journal::to_columns(rows))?;
    Ok(table(file, rows.len(), written))
}

fn table(file: &str, rows: usize, written: Written) -> Table {
    let Written { bytes, sha256, blocks } = written;
    Table { file: file.to_owned(), rows: rows as u64, bytes, sha256: hash::hex(&sha256), blocks: Some(blocks) }
}
