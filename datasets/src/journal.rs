//! The journal: rows that are in no segment yet, on disk twice a second, so that killing the recorder loses no more.
//!
//! ```text
//! DIR/journal/file-00003.rows     rows of the segment file/00003.parquet; gone when the manifest lists that segment
//! DIR/journal/processes.rows      rows of processes.parquet as they came and changed; a later row replaces an earlier one
//! DIR/journal/ended.rows          rows of processes that ended, for good: the recorder does not hold them any more
//! DIR/journal/containers.rows, addresses.rows
//! DIR/journal/account-0, -1       the counters, in turns: the newest whole one counts
//! DIR/journal/flushed             up to when everything is on disk, and where; written last, for those who read along
//! DIR/journal/reserve-*           room that is given back when the disk is full
//! ```
//!
//! What was written is safe from the end of this process at once, and from a power cut when the kernel has brought it to
//! the disk, which a thread asks for about once a second.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Fields, Schema};
use record_bpf::Class;
use record_bpf::schema::{self, Column};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::frame::{Frame, Frames, append};
use crate::manifest::{Accounting, FilterChange, Manifest, Masking, Moment};
use crate::manifest_file::make_dir;
use crate::model::{Address, Container, Process};
use crate::open::Columns;
use crate::read::class_columns;
use crate::thinning::Sampling;
use crate::{Error, Result, ipc};

/// The folder of the journal, inside a recording.
pub(crate) const FOLDER: &str = "journal";
pub(crate) const PROCESSES: &str = "processes.rows";
pub(crate) const ENDED: &str = "ended.rows";
pub(crate) const CONTAINERS: &str = "containers.rows";
pub(crate) const ADDRESSES: &str = "addresses.rows";
pub(crate) const FLUSHED: &str = "flushed";

/// How often files are synced at most; a slow disk is asked less often.
const SYNC: Duration = Duration::from_secs(1);

/// What the recorder knew of the account when it last looked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// Grows by one each time.
    pub(crate) number: u64,
    pub(crate) at: Moment,
    pub(crate) accounting: Accounting,
    pub(crate) masking: Option<Masking>,
    pub(crate) sampling: Option<Sampling>,
    #[serde(default)]
    pub(crate) filter_changes: Vec<FilterChange>,
}

/// What is on disk, for those who read a recording while it is written. Nothing of it is needed to recover one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Flushed {
    /// Grows by one each time.
    pub(crate) number: u64,
    /// Unix time, ns: every event before it that has a row is on disk.
    pub(crate) until: i64,
    /// Bytes of each file of the journal.
    pub(crate) files: BTreeMap<String, u64>,
    /// Segments of each class that take no more rows.
    pub(crate) sealed: BTreeMap<String, u32>,
    /// Of these, the ones that are not written yet: all their rows are in the journal.
    pub(crate) waiting: BTreeMap<String, Vec<u32>>,
}

pub(crate) fn folder(dir: &Path) -> PathBuf {
    dir.join(FOLDER)
}

/// The file for the rows of a class's segment.
pub(crate) fn rows_file(class: Class, index: u32) -> String {
    format!("{}-{index:05}.rows", class.name())
}

/// The class and segment whose rows a file of the journal holds.
pub(crate) fn segment_of(name: &str) -> Option<(Class, u32)> {
    let (class, index) = name.strip_suffix(".rows")?.rsplit_once('-')?;
    Some((Class::from_name(class)?, index.parse().ok()?))
}

/// The writing side.
pub(crate) struct Journal {
    folder: PathBuf,
    sync: Syncer,
    /// Bytes of each file.
    sizes: BTreeMap<String, u64>,
    snapshots: u64,
}

impl Journal {
    /// Makes the folder in `dir`.
    pub(crate) fn create(dir: &Path) -> Result<Journal> {
        let folder = folder(dir);
        make_dir(&folder)?;
        let sync = Syncer::start().map_err(Error::write(&folder))?;
        Ok(Journal { folder, sync, sizes: BTreeMap::new(), snapshots: 0 })
    }

    /// Bytes of all its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.sizes.values().sum()
    }

    /// Adds rows of a segment that is not written yet.
    pub(crate) fn rows(&mut self, class: Class, index: u32, batches: &[Columns]) -> Result<()> {
        batches.iter().try_for_each(|columns| self.batch(rows_file(class, index), class_columns(class), columns))
    }

    /// Adds rows of the process table: new ones, and changed ones whole.
    pub(crate) fn processes(&mut self, rows: &[Process]) -> Result<()> {
        self.table(PROCESSES, schema::PROCESSES, rows)
    }

    /// As [`Journal::processes`], in place of all that were added before.
    pub(crate) fn processes_anew(&mut self, rows: &[Process]) -> Result<()> {
        let path = self.folder.join(PROCESSES);
        let part = format!("{PROCESSES}.part");
        self.table(&part, schema::PROCESSES, rows)?;
        if let Some(size) = self.sizes.remove(&part) {
            fs::rename(self.folder.join(part), &path).map_err(Error::write(&path))?;
            self.sizes.insert(PROCESSES.to_owned(), size);
            self.sync.due(path);
        }
        Ok(())
    }

    /// Bytes of the process table's journal.
    pub(crate) fn processes_bytes(&self) -> u64 {
        self.sizes.get(PROCESSES).copied().unwrap_or(0)
    }

    /// Adds rows of the process table that will not change any more.
    pub(crate) fn ended(&mut self, rows: &[Process]) -> Result<()> {
        self.table(ENDED, schema::PROCESSES, rows)
    }

    /// As [`Journal::processes`], of the container table.
    pub(crate) fn containers(&mut self, rows: &[Container]) -> Result<()> {
        self.table(CONTAINERS, schema::CONTAINERS, rows)
    }

    /// As [`Journal::processes`], of the address table.
    pub(crate) fn addresses(&mut self, rows: &[Address]) -> Result<()> {
        self.table(ADDRESSES, schema::ADDRESSES, rows)
    }

    fn table<C: Codec<Value = C>>(&mut self, name: &str, columns: &[Column], rows: &[C]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.batch(name.to_owned(), columns, &to_columns(rows))
    }

    fn batch<'a>(
        &mut self,
        name: String,
        columns: impl IntoIterator<Item = &'a Column>,
        arrays: &[ArrayRef],
    ) -> Result<()> {
        let path = self.folder.join(&name);
        let mut frame = Frame::new();
        let written = ipc::write(&mut frame, columns, arrays).and_then(|()| frame.seal()).and_then(|sealed| {
            // Only the first write makes the file: one that has gone since must be noticed.
            append(&path, &sealed, !self.sizes.contains_key(&name))?;
            Ok(sealed.len() as u64)
        });
        *self.sizes.entry(name).or_default() += written.map_err(Error::write(&path))?;
        self.sync.due(path);
        Ok(())
    }

    /// Notes the account. To be called before the rows that were taken until then are written: so no row that is on disk
    /// is beyond the newest account, if a process is killed.
    pub(crate) fn account(&mut self, accounting: Accounting, at: Moment, manifest: &Manifest) -> Result<()> {
        let name = format!("account-{}", self.snapshots % 2);
        let (masking, sampling) = (manifest.masking.clone(), manifest.sampling.clone());
        let filter_changes = manifest.filter_changes.clone();
        let snapshot = Snapshot { number: self.snapshots, at, accounting, masking, sampling, filter_changes };
        let path = self.put(name, &snapshot)?;
        self.snapshots += 1;
        self.sync.due(path);
        Ok(())
    }

    /// Says that all rows are written which were taken until `flushed.until`; its number and files are filled in.
    pub(crate) fn flushed(&mut self, flushed: Flushed) -> Result<()> {
        let files = self.sizes.iter().filter(|(name, _)| name.ends_with(".rows"));
        let files = files.map(|(name, bytes)| (name.clone(), *bytes)).collect();
        // Not brought to the disk: after a power cut nobody reads along.
        self.put(FLUSHED.to_owned(), &Flushed { number: self.snapshots, files, ..flushed }).map(drop)
    }

    /// Writes a file that is one frame in its place: a shorter one leaves the end of the longer one behind, which its own length
    /// tells apart.
    fn put(&mut self, name: String, content: &impl Serialize) -> Result<PathBuf> {
        let path = self.folder.join(&name);
        let mut frame = Frame::new();
        let written = serde_json::to_writer(&mut frame, content).map_err(io::Error::other);
        let written = written.and_then(|()| frame.seal()).and_then(|sealed| {
            let first = !self.sizes.contains_key(&name);
            let mut options = OpenOptions::new();
            options.write(true).truncate(false).create(first).mode(0o600);
            options.open(&path)?.write_all(&sealed)?;
            Ok(sealed.len() as u64)
        });
        self.sizes.insert(name, written.map_err(Error::write(&path))?);
        Ok(path)
    }

    /// The segment is in the manifest.
    pub(crate) fn done(&mut self, class: Class, index: u32) {
        let name = rows_file(class, index);
        if self.sizes.remove(&name).is_some() {
            let _ = fs::remove_file(self.folder.join(name));
        }
    }

    /// Gives up the rows of all segments: they are in memory, and their room is needed.
    pub(crate) fn give_up_rows(&mut self) {
        let names: Vec<String> = self.sizes.keys().filter(|name| segment_of(name).is_some()).cloned().collect();
        for name in names {
            self.sizes.remove(&name);
            let _ = fs::remove_file(self.folder.join(name));
        }
    }

    /// What went wrong while files were brought to the disk.
    pub(crate) fn sync_error(&self) -> Option<Error> {
        self.sync.error.lock().ok()?.take().map(|(path, source)| Error::Write { path, source })
    }
}

/// The columns of some rows.
pub(crate) fn to_columns<C: Codec<Value = C>>(rows: &[C]) -> Columns {
    let mut builder = C::Builder::default();
    for row in rows {
        C::append(&mut builder, row);
    }
    let mut columns = Vec::new();
    C::finish(&mut builder, &mut columns);
    columns
}

/// The thread that brings files to the disk.
struct Syncer {
    due: Sender<PathBuf>,
    error: Arc<Mutex<Option<(PathBuf, io::Error)>>>,
}

impl Syncer {
    fn start() -> io::Result<Syncer> {
        let (due, paths) = mpsc::channel::<PathBuf>();
        let error = Arc::new(Mutex::new(None));
        let failed = error.clone();
        thread::Builder::new().name("sync".to_owned()).spawn(move || {
            while let Ok(first) = paths.recv() {
                let began = Instant::now();
                // The counters first, by name: rows should not be on the disk without them.
                let due: BTreeSet<PathBuf> = paths.try_iter().chain([first]).collect();
                for path in due {
                    let synced = File::open(&path).and_then(|file| file.sync_data());
                    match synced {
                        // Its segment is complete, and it is gone.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => {
                            if let Ok(mut failed) = failed.lock() {
                                *failed = Some((path, error));
                            }
                        }
                        Ok(()) => {}
                    }
                }
                thread::sleep(SYNC.saturating_sub(began.elapsed()));
            }
        })?;
        Ok(Syncer { due, error })
    }

    fn due(&self, path: PathBuf) {
        // The thread ends when this does, or by a panic.
        let _ = self.due.send(path);
    }
}

/// The columns of some rows as a batch, for [`crate::codec`].
pub(crate) fn record_batch<'a>(
    path: &Path,
    columns: impl IntoIterator<Item = &'a Column>,
    arrays: Columns,
) -> Result<RecordBatch> {
    let field = |(column, array): (&Column, &ArrayRef)| Field::new(column.name, array.data_type().clone(), true);
    let schema = Schema::new(columns.into_iter().zip(&arrays).map(field).collect::<Fields>());
    RecordBatch::try_new(schema.into(), arrays)
        .map_err(|e| Error::Journal { path: path.to_owned(), reason: e.to_string() })
}

/// What a file of the journal with one frame says; `None`: it is not there, or being written.
fn one_frame<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let payload = match Frames::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        frames => frames.and_then(|mut frames| frames.next()).map_err(Error::read(path))?,
    };
    let parse = |payload: Vec<u8>| serde_json::from_slice(&payload);
    payload.map(parse).transpose().map_err(|e| Error::Journal { path: path.to_owned(), reason: e.to_string() })
}

/// What a recorder says is on disk; `None`: nothing yet, or it is saying it.
pub(crate) fn last_flushed(dir: &Path) -> Result<Option<Flushed>> {
    one_frame(&folder(dir).join(FLUSHED))
}

/// The newest whole account of a recording's journal.
pub(crate) fn last_account(dir: &Path) -> Result<Option<Snapshot>> {
    let mut newest: Option<Snapshot> = None;
    for slot in ["account-0", "account-1"] {
        let Some(snapshot) = one_frame::<Snapshot>(&folder(dir).join(slot))? else { continue };
        if newest.as_ref().is_none_or(|newest| newest.number < snapshot.number) {
            newest = Some(snapshot);
        }
    }
    Ok(newest)
}

/// Reads a journal file batch by batch.
pub(crate) struct BatchReader {
    path: PathBuf,
    frames: Option<Frames>,
    columns: &'static [Column],
}

impl BatchReader {
    /// A file that is not there has no batches.
    pub(crate) fn open(path: PathBuf, columns: &'static [Column]) -> Result<BatchReader> {
        let frames = match Frames::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            frames => Some(frames.map_err(Error::read(&path))?),
        };
        Ok(BatchReader { path, frames, columns })
    }

    pub(crate) fn torn(&self) -> u64 {
        self.frames.as_ref().map_or(0, Frames::torn)
    }
}

impl Iterator for BatchReader {
    type Item = Result<Columns>;

    fn next(&mut self) -> Option<Self::Item> {
        let frames = self.frames.as_mut()?;
        let payload = match frames.next() {
            Ok(payload) => payload?,
            Err(source) => return Some(Err(Error::Read { path: self.path.clone(), source })),
        };
        let read = ipc::read(&payload, self.columns).map(|(columns, _)| columns);
        Some(read.map_err(|e| Error::Journal { path: self.path.clone(), reason: e.to_string() }))
    }
}

/// The batches of a journal file, and the bytes of its torn end.
pub(crate) fn batches<'a>(
    path: &Path,
    columns: impl IntoIterator<Item = &'a Column> + Clone,
) -> Result<(Vec<Columns>, u64)> {
    let mut frames = match Frames::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        frames => frames.map_err(Error::read(path))?,
    };
    let mut batches = Vec::new();
    while let Some(payload) = frames.next().map_err(Error::read(path))? {
        let (batch, _) = ipc::read(&payload, columns.clone())
            .map_err(|e| Error::Journal { path: path.to_owned(), reason: e.to_string() })?;
        batches.push(batch);
    }
    Ok((batches, frames.torn()))
}

/// Takes the journal away: everything is in the recording.
pub(crate) fn remove(dir: &Path) -> Result<()> {
    let folder = folder(dir);
    match fs::remove_dir_all(&folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(Error::write(&folder)),
    }
}

/// Room on the disk that is kept for the end.
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// Takes `bytes` of room. Written, not only promised: a hole takes no room.
    pub(crate) fn take(dir: &Path, name: &str, bytes: u64) -> Result<Reserve> {
        make_dir(&folder(dir))?;
        let path = folder(dir).join(format!("reserve-{name}"));
        let mut reserve = Reserve { path, bytes: 0 };
        reserve.grow(bytes)?;
        Ok(reserve)
    }

    /// To at least `bytes`.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<()> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let fill = || -> io::Result<()> {
            let first = self.bytes == 0;
            let mut file = OpenOptions::new().append(true).create(first).mode(0o600).open(&self.path)?;
            io::copy(&mut io::repeat(0).take(bytes - self.bytes), &mut file)?;
            Ok(())
        };
        fill().map_err(Error::write(&self.path))?;
        self.bytes = bytes;
        Ok(())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn give_back(&mut self) {
        self.bytes = 0;
        let _ = fs::remove_file(&self.path);
    }
}
