//! A sealed segment to its Parquet file: batches joined, sorted, encoded. One segment at a time, in a thread of its own
//! where the caller must not wait.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use record_bpf::{Class, schema};

use crate::manifest_file::make_dir;
use crate::open::Columns;
use crate::{Error, Result, parquet_write};

/// What is to be written where.
pub(crate) struct Job {
    pub(crate) class: Class,
    pub(crate) path: PathBuf,
    pub(crate) batches: Vec<Columns>,
}

/// What became of a [`Job`]: the file and its first and last `ts`, or what went wrong.
pub(crate) type Outcome = Result<(parquet_write::Written, (i64, i64)), Box<Failed>>;

/// A segment that could not be written, and its rows for another try.
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) columns: Columns,
    pub(crate) range: (i64, i64),
}

impl Failed {
    fn early(error: Error) -> Failed {
        Failed { error, columns: Vec::new(), range: (0, 0) }
    }

    /// The encoding thread is gone, and the rows with it.
    pub(crate) fn lost(dir: &Path) -> Failed {
        let source = std::io::Error::other("the thread that encodes segments has ended");
        Failed::early(Error::Write { path: dir.to_owned(), source })
    }

    /// There was no room, and another try would have something to write.
    pub(crate) fn is_full(&self) -> bool {
        !self.columns.is_empty() && self.error.is_full()
    }
}

/// Joins, sorts and writes a segment.
pub(crate) fn encode(class: Class, path: &Path, batches: Vec<Columns>) -> Outcome {
    let joined = join(batches).and_then(|mut columns| {
        let range = parquet_write::sort_events(&mut columns)?;
        Ok((columns, range))
    });
    let (columns, range) = joined.map_err(Error::write(path)).map_err(|error| Box::new(Failed::early(error)))?;
    write(class, path, columns, range)
}

/// Writes a segment whose rows are in order.
pub(crate) fn write(class: Class, path: &Path, columns: Columns, range: (i64, i64)) -> Outcome {
    let made = path.parent().map_or(Ok(()), make_dir);
    // The copy is one of pointers.
    let written = made.and_then(|()| parquet_write::write(path, &schema::class_schema(class), columns.clone()));
    written.map(|written| (written, range)).map_err(|error| Box::new(Failed { error, columns, range }))
}

/// Column by column, each freed when it has been copied: never more than one is there twice.
fn join(mut batches: Vec<Columns>) -> std::io::Result<Columns> {
    if batches.len() < 2 {
        return Ok(batches.pop().unwrap_or_default());
    }
    let mut parts: Vec<_> = batches.into_iter().map(Vec::into_iter).collect();
    let mut columns = Vec::new();
    loop {
        let column: Vec<ArrayRef> = parts.iter_mut().filter_map(Iterator::next).collect();
        if column.is_empty() {
            return Ok(columns);
        }
        let column: Vec<&dyn Array> = column.iter().map(|part| part.as_ref()).collect();
        columns.push(concat(&column).map_err(std::io::Error::other)?);
    }
}

/// Where segments are encoded.
pub(crate) enum Encoder {
    /// Here and now.
    Inline(VecDeque<Outcome>),
    Thread {
        jobs: SyncSender<Job>,
        outcomes: Receiver<Outcome>,
    },
}

impl Encoder {
    pub(crate) fn new(background: bool) -> Encoder {
        if !background {
            return Encoder::Inline(VecDeque::new());
        }
        let (jobs, waiting) = mpsc::sync_channel::<Job>(1);
        let (done, outcomes) = mpsc::channel();
        thread::spawn(move || {
            for Job { class, path, batches } in waiting {
                if done.send(encode(class, &path, batches)).is_err() {
                    break;
                }
            }
        });
        Encoder::Thread { jobs, outcomes }
    }

    /// Waits while one is being encoded and another waits.
    pub(crate) fn submit(&mut self, job: Job) {
        match self {
            Encoder::Inline(outcomes) => outcomes.push_back(encode(job.class, &job.path, job.batches)),
            // The thread ends when this is dropped, not before, or by a panic; then no outcome comes either.
            Encoder::Thread { jobs, .. } => drop(jobs.send(job)),
        }
    }

    /// The next outcome, in the order of the jobs. `wait`: for one that is not there yet.
    pub(crate) fn outcome(&mut self, wait: bool) -> Option<Outcome> {
        match self {
            Encoder::Inline(outcomes) => outcomes.pop_front(),
            Encoder::Thread { outcomes, .. } if wait => outcomes.recv().ok(),
            Encoder::Thread { outcomes, .. } => outcomes.try_recv().ok(),
        }
    }
}
