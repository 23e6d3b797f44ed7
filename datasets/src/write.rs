//! Writing a recording: rows to segments, segments to the manifest.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use record_bpf::{Class, schema};

use crate::codec::Codec;
use crate::manifest::{Accounting, CpuAccount, Manifest, Masking, Moment, Scenario, Segment, State, Table};
use crate::manifest_file::{make_dir, make_dirs};
use crate::model::{
    Address, Container, DnsEvent, Event, FileEvent, FlowEvent, Label, NetworkEvent, Process, ProcessEvent,
    ResourceEvent, Row, SecurityEvent, SyscallEvent, TlsEvent, for_each_class,
};
use crate::thinning::SamplingChange;
use crate::{Error, Result, hash, manifest_file, parquet_write};

pub(crate) const PROCESSES: &str = "processes.parquet";
pub(crate) const CONTAINERS: &str = "containers.parquet";
pub(crate) const ADDRESSES: &str = "addresses.parquet";
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

/// Writes a recording, segment by segment.
///
/// Rows wait in memory, as columns, until their segment is closed; so what a crash loses is the open segments, at most
/// [`Rotation::time`] old, and memory is bounded by [`Rotation::bytes`] per class (twice that while a segment is sorted
/// and encoded). Whatever the manifest on disk lists is complete and synced.
///
/// After an [`Error::Write`] the rows of that segment are gone and counted as `write_failed`; everything before stays
/// readable, and [`finish`](Self::finish) can still be tried.
pub struct RecordingWriter {
    dir: PathBuf,
    manifest: Manifest,
    rotation: Rotation,
    open: Buffers,
    chain: hash::Hash,
    /// (stored, lost to failed writes) by CPU and class.
    counts: BTreeMap<(u16, Class), (u64, u64)>,
}

impl RecordingWriter {
    /// Begins a recording in `dir`, which must not exist or be empty. Directories get mode 0700, files 0600.
    ///
    /// # Errors
    /// [`Error::Exists`], or [`Error::Write`] when `dir` cannot be made or written to.
    pub fn create(dir: impl Into<PathBuf>, manifest: Manifest) -> Result<RecordingWriter> {
        RecordingWriter::create_with(dir, manifest, Rotation::default())
    }

    /// As [`create`](Self::create), with other bounds for a segment.
    pub fn create_with(dir: impl Into<PathBuf>, mut manifest: Manifest, rotation: Rotation) -> Result<RecordingWriter> {
        let dir = dir.into();
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
        manifest.state = State::Recording;
        manifest_file::store(&dir, &mut manifest)?;
        Ok(RecordingWriter {
            dir,
            manifest,
            rotation,
            open: Buffers::new(),
            chain: hash::CHAIN_START,
            counts: BTreeMap::new(),
        })
    }

    /// The directory being written to.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The manifest as it is on disk: what it lists is safe.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Rows pushed and not yet in a segment.
    pub fn pending_rows(&self) -> usize {
        Class::ALL.into_iter().map(|class| self.open.rows(class)).sum()
    }

    /// Takes a row. Rows may come in any order within a segment.
    ///
    /// # Errors
    /// [`Error::Write`] when this row closed a segment and that failed.
    pub fn push(&mut self, event: &Event) -> Result<()> {
        let full = self.open.push(event, &self.rotation);
        if full { self.close_segment(event.class()) } else { Ok(()) }
    }

    /// Closes the segments whose oldest row is older than [`Rotation::time`]. To be called about once a second: a class
    /// without new rows would never notice by itself.
    pub fn tick(&mut self) -> Result<()> {
        let due = |class: &Class| self.open.since(*class).is_some_and(|since| since.elapsed() >= self.rotation.time);
        let due: Vec<Class> = Class::ALL.into_iter().filter(due).collect();
        self.close_all(due)
    }

    /// Closes every open segment now.
    pub fn flush(&mut self) -> Result<()> {
        self.close_all(Class::ALL)
    }

    /// Tries all of them, and returns the first error.
    fn close_all(&mut self, classes: impl IntoIterator<Item = Class>) -> Result<()> {
        classes.into_iter().map(|class| self.close_segment(class)).fold(Ok(()), Result::and)
    }

    fn close_segment(&mut self, class: Class) -> Result<()> {
        let index = self.manifest.class_segments(class).count();
        let file = format!("{}/{index:05}.parquet", class.name());
        let path = self.dir.join(&file);
        let closed = self.open.close(class, &path);
        let Some(Closed { rows, cpus, written }) = closed else { return Ok(()) };
        let recorded = written.and_then(|(segment, (first_ts, last_ts))| {
            let chain = hash::chain(&self.chain, &segment.sha256);
            self.manifest.segments.push(Segment {
                file,
                class: class.name().to_owned(),
                rows,
                first_ts,
                last_ts,
                bytes: segment.bytes,
                sha256: hash::hex(&segment.sha256),
                chain: hash::hex(&chain),
            });
            manifest_file::store(&self.dir, &mut self.manifest).map(|()| chain).inspect_err(|_| {
                // The manifest on disk does not list it: it must not be there for whoever globs the directory.
                self.manifest.segments.pop();
                let _ = fs::remove_file(&path);
            })
        });
        for (cpu, n) in (0..=u16::MAX).zip(cpus).filter(|(_, n)| *n > 0) {
            let (stored, failed) = self.counts.entry((cpu, class)).or_default();
            if recorded.is_ok() {
                *stored += n;
            } else {
                *failed += n;
            }
        }
        self.chain = recorded?;
        Ok(())
    }

    /// Writes `processes.parquet`, replacing an earlier one.
    pub fn write_processes(&mut self, rows: &[Process]) -> Result<()> {
        let table = write_table(&self.dir, PROCESSES, schema::PROCESSES, rows)?;
        self.set_table(table)
    }

    /// Writes `containers.parquet`, replacing an earlier one.
    pub fn write_containers(&mut self, rows: &[Container]) -> Result<()> {
        let table = write_table(&self.dir, CONTAINERS, schema::CONTAINERS, rows)?;
        self.set_table(table)
    }

    /// Writes `addresses.parquet`, replacing an earlier one.
    pub fn write_addresses(&mut self, rows: &[Address]) -> Result<()> {
        let table = write_table(&self.dir, ADDRESSES, schema::ADDRESSES, rows)?;
        self.set_table(table)
    }

    /// Writes `labels.parquet`, replacing an earlier one.
    pub fn write_labels(&mut self, rows: &[Label]) -> Result<()> {
        let table = write_table(&self.dir, LABELS, schema::LABELS, rows)?;
        self.set_table(table)
    }

    /// Enters the scenario that is being recorded in the manifest; on disk with the next segment or table.
    pub fn set_scenario(&mut self, scenario: Scenario) {
        self.manifest.scenario = Some(scenario);
    }

    /// Enters what was masked in the manifest; on disk with the next segment or table.
    pub fn set_masking(&mut self, masking: Masking) {
        self.manifest.masking = Some(masking);
    }

    /// Enters a change of the sampler in the manifest; on disk with the next segment or table.
    pub fn sampling_changed(&mut self, change: SamplingChange) {
        self.manifest.sampling.get_or_insert_default().changes.push(change);
    }

    fn set_table(&mut self, table: Table) -> Result<()> {
        put_table(&mut self.manifest, table);
        manifest_file::store(&self.dir, &mut self.manifest)
    }

    /// Closes the last segments and completes the manifest. `ended_ns`: Unix time, ns.
    ///
    /// `stored` and `write_failed` of the accounting are this writer's own counts, whatever the caller put there; CPUs
    /// and classes that have rows are added where the caller left them out.
    ///
    /// # Errors
    /// [`Error::Write`]; the recording then stays in the state it has on disk.
    pub fn finish(mut self, accounting: Accounting, ended_ns: i64) -> Result<Manifest> {
        // A last segment that cannot be written is counted, and does not keep the rest from being completed.
        let flushed = self.flush();
        self.manifest.accounting = Some(self.complete(accounting));
        self.manifest.ended = Some(Moment::from_ns(ended_ns));
        self.manifest.state = State::Complete;
        manifest_file::store(&self.dir, &mut self.manifest)?;
        flushed.map(|()| self.manifest)
    }

    fn complete(&self, mut accounting: Accounting) -> Accounting {
        for account in accounting.cpus.iter_mut().flat_map(|cpu| cpu.classes.values_mut()) {
            account.stored = 0;
            account.dropped.write_failed = 0;
        }
        for ((cpu, class), (stored, failed)) in &self.counts {
            let at = match accounting.cpus.iter().position(|account| account.cpu == *cpu) {
                Some(at) => at,
                None => {
                    accounting.cpus.push(CpuAccount { cpu: *cpu, ..CpuAccount::default() });
                    accounting.cpus.len() - 1
                }
            };
            let account = accounting.cpus[at].classes.entry(class.name().to_owned()).or_default();
            account.stored = *stored;
            account.dropped.write_failed = *failed;
        }
        accounting.cpus.sort_by_key(|account| account.cpu);
        accounting
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

fn put_table(manifest: &mut Manifest, table: Table) {
    match manifest.tables.iter_mut().find(|old| old.file == table.file) {
        Some(old) => *old = table,
        None => manifest.tables.push(table),
    }
}

fn write_table<C>(dir: &Path, file: &str, columns: &'static [schema::Column], rows: &[C]) -> Result<Table>
where
    C: Codec<Value = C>,
{
    let mut builder = C::Builder::default();
    for row in rows {
        C::append(&mut builder, row);
    }
    let mut arrays = Vec::with_capacity(columns.len());
    C::finish(&mut builder, &mut arrays);
    let written = parquet_write::write(&dir.join(file), &schema::schema(columns), arrays)?;
    let sha256 = hash::hex(&written.sha256);
    Ok(Table { file: file.to_owned(), rows: rows.len() as u64, bytes: written.bytes, sha256 })
}

macro_rules! buffers {
    ($($class:ident $row:ident $field:ident,)*) => {
        /// The open segment of every class.
        struct Buffers { $($field: Buffer<$row>,)* }

        impl Buffers {
            fn new() -> Buffers {
                Buffers { $($field: Buffer::new(Class::$class),)* }
            }

            fn push(&mut self, event: &Event, rotation: &Rotation) -> bool {
                match event { $(Event::$class(row) => self.$field.push(row, rotation),)* }
            }

            fn close(&mut self, class: Class, path: &Path) -> Option<Closed> {
                match class { $(Class::$class => self.$field.close(path),)* }
            }

            fn rows(&self, class: Class) -> usize {
                match class { $(Class::$class => self.$field.rows,)* }
            }

            fn since(&self, class: Class) -> Option<Instant> {
                match class { $(Class::$class => self.$field.since,)* }
            }
        }
    };
}
for_each_class!(buffers);

/// The rows of an open segment, as columns.
struct Buffer<C: Codec> {
    class: Class,
    builder: C::Builder,
    rows: usize,
    bytes: usize,
    /// When the oldest row came.
    since: Option<Instant>,
    /// Rows of each CPU.
    cpus: Vec<u64>,
}

struct Closed {
    rows: u64,
    cpus: Vec<u64>,
    written: Result<(parquet_write::Written, (i64, i64))>,
}

impl<C: Codec> Buffer<C>
where
    C::Value: Row,
{
    fn new(class: Class) -> Buffer<C> {
        Buffer { class, builder: C::Builder::default(), rows: 0, bytes: 0, since: None, cpus: Vec::new() }
    }

    /// Returns whether the segment is full.
    fn push(&mut self, row: &C::Value, rotation: &Rotation) -> bool {
        self.bytes += C::append(&mut self.builder, row);
        self.rows += 1;
        let cpu = usize::from(row.common().cpu);
        if self.cpus.len() <= cpu {
            self.cpus.resize(cpu + 1, 0);
        }
        self.cpus[cpu] += 1;
        let since = *self.since.get_or_insert_with(Instant::now);
        // A busy class keeps the time itself; reading the clock for every row would cost more than storing it.
        let old = self.rows.is_multiple_of(1024) && since.elapsed() >= rotation.time;
        old || self.rows >= rotation.rows || self.bytes >= rotation.bytes
    }

    /// Writes the segment, if it has rows, and starts the next one.
    fn close(&mut self, path: &Path) -> Option<Closed> {
        if self.rows == 0 {
            return None;
        }
        let schema = schema::class_schema(self.class);
        let mut columns = Vec::with_capacity(schema.fields().len());
        C::finish(&mut self.builder, &mut columns);
        let rows = std::mem::take(&mut self.rows) as u64;
        let cpus = std::mem::take(&mut self.cpus);
        self.bytes = 0;
        self.since = None;
        let written = path.parent().map_or(Ok(()), make_dir).and_then(|()| {
            let range = parquet_write::sort_events(&mut columns).map_err(Error::write(path))?;
            Ok((parquet_write::write(path, &schema, columns)?, range))
        });
        Some(Closed { rows, cpus, written })
    }
}
