//! Writing a recording: rows to segments, segments to the manifest.

mod finish;
mod journaling;
mod lock;
mod manifest_store;
mod prune;
mod rotate;
mod row_batches;
mod segments;
mod storage;
mod tables;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use record_bpf::Class;

use crate::derive::Derived;
use crate::encode::Encoder;
use crate::journal::{Journal, Reserve};
use crate::keep::Keep;
use crate::losses::Losses;
use crate::manifest::{Accounting, FilterChange, Manifest, Masking, Scenario, State};
use crate::manifest_file::make_empty_dir;
use crate::model::{Event, SyscallEvent};
use crate::open::{Buffers, Columns, RowsByCpu};
use crate::segment_account::Counted;
use crate::signature::Signer;
use crate::thinning::SamplingChange;
use crate::{End, Memory, Result, hash, manifest_file, store};

pub(crate) use finish::account_of;
pub use journaling::Known;
pub(crate) use lock::lock;
use manifest_store::Store;
pub(crate) use segments::segment_file;
pub use storage::{Rotation, Storage};
pub use tables::add_labels;
pub(crate) use tables::{ADDRESSES, CONTAINERS, LABELS, LOSSES, PROCESSES, put_table, write_processes, write_table};

/// Room for the tables of the end on a full disk, and the least room for the manifest; bytes.
const TABLES_RESERVE: u64 = 4 << 20;
const MANIFEST_RESERVE: u64 = 256 << 10;

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
    /// Rows of a row group; `None`: a segment is one.
    group_rows: Option<NonZeroUsize>,
    /// Sealed and not yet in the manifest, in the order they were sealed.
    pending: VecDeque<Pending>,
    /// Number of the next segment of each class.
    next: [u32; Class::ALL.len()],
    chain: hash::Hash,
    counts: BTreeMap<(u16, Class), Counts>,
    counted: Counted,
    losses: Losses,
    signer: Option<Signer>,
    /// Rows by CPU of each segment in the manifest, where segments are removed again.
    rows_by_cpu: VecDeque<RowsByCpu>,
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
    cpus: RowsByCpu,
    bytes: usize,
    /// Batches that are not in the journal; until it is written, or the journal's turn comes.
    unjournaled: Vec<Columns>,
}

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
        store::local_only(&dir, "recording, which lives on fsync and rename,")?;
        make_empty_dir(&dir)?;
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
            group_rows: None,
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

    pub(super) fn bytes_with(&self, rows: u64) -> u64 {
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

    /// Enters what it was made from.
    pub(crate) fn set_derived(&mut self, derived: Derived) {
        self.manifest.derived = Some(derived);
    }

    /// Enters what the recording took.
    pub fn set_memory(&mut self, memory: Memory) {
        self.manifest.memory = Some(memory);
    }
}
