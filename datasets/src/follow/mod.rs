//! Reading a recording while it is written.
//!
//! Rows come from the journal, twice a second, and those that a segment's file took before the journal's turn from there: each
//! once, in (ts, cpu, seq) order up to the moment of which the recorder says that everything before it is on disk. A row that
//! turns up later than that is given at once, and counted.
//!
//! Files are looked at, nothing is watched: it works wherever they can be read. What is in memory: the rows of the last
//! interval, a batch of each segment that is being read, and the sequence numbers given of segments that are not written yet.

mod merge;
mod tables;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use record_bpf::Class;

use crate::frame::Frames;
use crate::journal::{self, Flushed};
use crate::manifest::{Manifest, State};
use crate::model::Event;
use crate::read::class_columns;
use crate::write::segment_file;
use crate::{Error, Recording, Result, ipc, manifest_file, parquet_read, store};

use merge::{Given, Merge};
pub use tables::Grown;

/// When the recorder has said nothing for so long, it is asked after.
const SILENCE: Duration = Duration::from_secs(2);

/// What has come of a recording since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    Nothing,
    /// There may be further events.
    Grown,
    /// The recorder has completed it; the rest of the events can be taken.
    Complete,
    /// The recorder was killed; what it left can be taken.
    Killed,
}

/// Reads a recording that is being written.
pub struct Follow {
    dir: PathBuf,
    classes: Vec<Class>,
    manifest: Manifest,
    merge: Merge,
    /// The first segment of each class that was not looked at.
    next: BTreeMap<Class, u32>,
    /// Segments of which rows may be missing.
    unfinished: BTreeMap<(Class, u32), Unfinished>,
    tables: tables::Tables,
    grown: Grown,
    /// Unix time, ns: events before it are given out.
    until: i64,
    number: Option<u64>,
    heard: Instant,
    gone: u64,
}

/// How far the journal of a segment was read.
#[derive(Default)]
struct Unfinished {
    offset: u64,
    rows: u64,
    given: Given,
}

impl Follow {
    /// Begins with the first event that there is of these classes.
    ///
    /// # Errors
    /// Those of [`Recording::open`] but for missing segments, which may be removed while they are looked for.
    pub fn begin(dir: impl Into<PathBuf>, classes: &[Class]) -> Result<Follow> {
        let dir = dir.into();
        store::local_only(&dir, "following a recording while it is made")?;
        let mut follow = Follow {
            manifest: manifest_file::load(&dir)?,
            dir,
            classes: classes.to_vec(),
            merge: Merge::default(),
            next: BTreeMap::new(),
            unfinished: BTreeMap::new(),
            tables: tables::Tables::default(),
            grown: Grown::default(),
            until: i64::MIN,
            number: None,
            heard: Instant::now(),
            gone: 0,
        };
        let listed = follow.listed();
        for (class, index, ..) in &listed {
            follow.next.insert(*class, index + 1);
        }
        let dir = &follow.dir;
        let segments = listed.iter().map(|(class, index, ts)| (*ts, *class, dir.join(segment_file(*class, *index))));
        follow.merge.add_segments(segments);
        Ok(follow)
    }

    /// Class, number and first `ts` of the segments in the manifest.
    fn listed(&self) -> Vec<(Class, u32, i64)> {
        let mut listed = Vec::new();
        for class in &self.classes {
            for segment in self.manifest.class_segments(*class) {
                let name = segment.file.rsplit('/').next().and_then(|name| name.strip_suffix(".parquet"));
                // A file of another name is none that a recorder writes.
                let Some(index) = name.and_then(|name| name.parse().ok()) else { continue };
                listed.push((*class, index, segment.first_ts));
            }
        }
        listed
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The manifest as it was when this began; when the recording has ended, as it is then.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Looks at what is on disk.
    ///
    /// # Errors
    /// Unreadable or damaged files; [`Error::NoJournal`].
    pub fn poll(&mut self) -> Result<Growth> {
        let flushed = journal::last_flushed(&self.dir)?;
        let fresh = flushed.filter(|flushed| self.number != Some(flushed.number));
        let Some(flushed) = fresh else { return self.ask_after() };
        self.tables.read(&self.dir, &mut self.grown)?;
        if !self.read_along(&flushed)? {
            // What was said to be there is not to be seen yet, as may be on a network file system.
            return self.ask_after();
        }
        (self.number, self.until, self.heard) = (Some(flushed.number), self.until.max(flushed.until), Instant::now());
        Ok(Growth::Grown)
    }

    /// Nothing new is there: whether there ever will be.
    fn ask_after(&mut self) -> Result<Growth> {
        let has_journal = journal::folder(&self.dir).is_dir();
        if has_journal && self.heard.elapsed() < SILENCE {
            return Ok(Growth::Nothing);
        }
        let is_recorded = is_locked(&self.dir);
        // Only now: it may have ended in between.
        let manifest = manifest_file::load(&self.dir)?;
        if manifest.state != State::Recording {
            self.manifest = manifest;
            self.read_rest_of_complete()?;
            return Ok(Growth::Complete);
        }
        if is_recorded == Some(false) {
            self.manifest = manifest;
            self.read_rest_of_killed()?;
            return Ok(Growth::Killed);
        }
        if self.heard.elapsed() >= SILENCE {
            // One that is still starting has a journal with nothing in it.
            if self.number.is_none() && (!has_journal || journal::last_account(&self.dir)?.is_some()) {
                return Err(Error::NoJournal { path: self.dir.clone() });
            }
            self.heard = Instant::now();
        }
        Ok(Growth::Nothing)
    }

    /// Takes in everything up to what is said to be on disk; `false`: not all of it is to be seen.
    fn read_along(&mut self, flushed: &Flushed) -> Result<bool> {
        for class in self.classes.clone() {
            let sealed = flushed.sealed.get(class.name()).copied().unwrap_or(0);
            self.reach(class, sealed + 1);
            let waits = |index: u32| flushed.waiting.get(class.name()).is_some_and(|waiting| waiting.contains(&index));
            for index in self.unfinished_of(class) {
                if index < sealed && !waits(index) {
                    self.finish_segment(class, index)?;
                    continue;
                }
                let name = journal::rows_file(class, index);
                let Some(bytes) = flushed.files.get(&name).copied() else { continue };
                match self.read_journal(class, index, bytes)? {
                    // The segment has been listed since.
                    None => self.finish_segment(class, index)?,
                    Some(false) => return Ok(false),
                    Some(true) => {}
                }
            }
        }
        Ok(true)
    }

    /// From now on segments of a class below `next` are looked at.
    fn reach(&mut self, class: Class, next: u32) {
        let from = self.next.entry(class).or_default();
        for index in *from..next {
            self.unfinished.insert((class, index), Unfinished::default());
        }
        *from = next.max(*from);
    }

    fn unfinished_of(&self, class: Class) -> Vec<u32> {
        self.unfinished.range((class, 0)..=(class, u32::MAX)).map(|((_, index), _)| *index).collect()
    }

    /// Reads on in the journal of a segment. `None`: it is not there any more; false: it has no whole frames up to `bytes` yet.
    fn read_journal(&mut self, class: Class, index: u32, bytes: u64) -> Result<Option<bool>> {
        let Some(segment) = self.unfinished.get_mut(&(class, index)) else { return Ok(Some(true)) };
        if segment.offset >= bytes {
            return Ok(Some(true));
        }
        let path = journal::folder(&self.dir).join(journal::rows_file(class, index));
        let mut frames = match Frames::open_at(&path, segment.offset) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            frames => frames.map_err(Error::read(&path))?,
        };
        while let Some(payload) = frames.next().map_err(Error::read(&path))? {
            let (columns, _) = ipc::read(&payload, class_columns(class))
                .map_err(|e| Error::Journal { path: path.clone(), reason: e.to_string() })?;
            segment.rows += self.merge.add_batch(&path, class, columns, &mut segment.given)?;
            segment.offset += Frames::bytes(&payload);
        }
        Ok(Some(segment.offset >= bytes))
    }

    /// The segment's file is complete: what was not given of it is in there.
    fn finish_segment(&mut self, class: Class, index: u32) -> Result<()> {
        let Some(Unfinished { rows, given, .. }) = self.unfinished.remove(&(class, index)) else { return Ok(()) };
        let path = self.dir.join(segment_file(class, index));
        let added = match parquet_read::rows(&path) {
            Ok(all) if all == rows => Ok(()),
            Ok(_) => self.merge.add_rest(&path, class, given),
            Err(error) => Err(error),
        };
        match added {
            // Removed to make room, or it could not be written.
            Err(Error::MissingFile { .. }) => {
                self.gone += 1;
                Ok(())
            }
            added => added,
        }
    }

    fn read_rest_of_complete(&mut self) -> Result<()> {
        for (class, index, _) in self.listed() {
            self.reach(class, index + 1);
        }
        for (class, index) in self.unfinished.keys().copied().collect::<Vec<_>>() {
            let file = segment_file(class, index);
            if self.manifest.segments.iter().any(|segment| segment.file == file) {
                self.finish_segment(class, index)?;
            } else if self.unfinished.remove(&(class, index)).is_some_and(|left| left.rows == 0)
                && self.next.get(&class).is_some_and(|next| index + 1 < *next)
            {
                self.gone += 1;
            }
        }
        let recording = Recording::open(&self.dir)?;
        self.grown = Grown {
            processes: recording.processes()?,
            containers: recording.containers()?,
            addresses: recording.addresses()?,
        };
        self.until = i64::MAX;
        Ok(())
    }

    /// Whole frames and segments, whether or not the recorder had come to say that they are there.
    fn read_rest_of_killed(&mut self) -> Result<()> {
        self.tables.read(&self.dir, &mut self.grown)?;
        for class in self.classes.clone() {
            // A recorder that seals more than these between two words has no rows in them.
            let next = self.next.get(&class).copied().unwrap_or(0);
            let exists = |index: u32| {
                self.dir.join(segment_file(class, index)).exists()
                    || journal::folder(&self.dir).join(journal::rows_file(class, index)).exists()
            };
            let end = (next..).find(|index| !exists(*index)).unwrap_or(next);
            self.reach(class, end);
            for index in self.unfinished_of(class) {
                let path = self.dir.join(segment_file(class, index));
                if path.exists() {
                    self.finish_segment(class, index)?;
                } else {
                    self.read_journal(class, index, u64::MAX)?;
                    self.unfinished.remove(&(class, index));
                }
            }
        }
        self.until = i64::MAX;
        Ok(())
    }

    /// The events that can be given out now, in order.
    pub fn ready(&mut self) -> impl Iterator<Item = Result<Event>> {
        let mut failed = false;
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let next = self.merge.next(self.until);
            failed = next.is_err();
            next.transpose()
        })
    }

    /// What the tables have gained; with a complete recording, all of them as they are in the end.
    pub fn take_tables(&mut self) -> Grown {
        std::mem::take(&mut self.grown)
    }

    /// Unix time, ns: events before it have been given, or can be.
    pub fn until(&self) -> i64 {
        self.until
    }

    /// Events that were given out of their order: the recorder had not known of them when it should have.
    pub fn late(&self) -> u64 {
        self.merge.late()
    }

    /// Segments that were gone before they were read, to make room for newer ones; those that it had come to hear of.
    pub fn gone(&self) -> u64 {
        self.gone + self.merge.gone()
    }
}

/// Whether somebody writes the recording. `None`: the file system has no locks.
pub(crate) fn is_locked(dir: &Path) -> Option<bool> {
    match File::open(dir).ok()?.try_lock_shared() {
        Ok(()) => Some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    }
}
