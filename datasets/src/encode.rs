//! A sealed segment to its Parquet file. One at a time, in a thread of its own where the caller must not wait.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use record_bpf::{Class, schema};

use crate::manifest_file::make_dir;
use crate::packed::Batches;
use crate::segment_account::Counted;
use crate::{Error, Result, parquet_write, segment_account};

/// What is to be written where.
pub(crate) struct Job {
    pub(crate) class: Class,
    pub(crate) path: PathBuf,
    pub(crate) batches: Batches,
    /// For the account in its metadata, if it has one.
    pub(crate) known: Option<Before>,
    /// Rows of a row group; `None`: the segment is one.
    pub(crate) group_rows: Option<NonZeroUsize>,
}

/// What was known when a segment was closed.
pub(crate) struct Before {
    pub(crate) counted: Counted,
    /// As [`Counted::segment`] takes it.
    pub(crate) rows: BTreeMap<u16, (u64, u64)>,
}

/// What became of a [`Job`]: the file and its first and last `ts`, or what went wrong.
pub(crate) type Outcome = Result<(parquet_write::Written, (i64, i64)), Box<Failed>>;

/// A segment that could not be written, and its rows for another try.
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) batches: Batches,
    pub(crate) known: Option<Before>,
    /// First and last `ts` of the rows, if they are known.
    pub(crate) times: Option<(i64, i64)>,
}

impl Failed {
    /// The encoding thread is gone, and the rows with it.
    pub(crate) fn lost(dir: &Path) -> Box<Failed> {
        let source = std::io::Error::other("the thread that encodes segments has ended");
        Failed::unreadable(Error::Write { path: dir.to_owned(), source })
    }

    /// The rows are not to be had.
    fn unreadable(error: Error) -> Box<Failed> {
        Box::new(Failed { error, batches: Batches::default(), known: None, times: None })
    }

    /// There was no room, and another try would have something to write.
    pub(crate) fn is_full(&self) -> bool {
        !self.batches.is_empty() && self.error.is_full()
    }
}

/// Sorts and writes a segment. What is packed is unpacked here, one segment at a time, and freed column by column before the file
/// is brought to the disk: that may take long.
pub(crate) fn encode(
    class: Class,
    path: &Path,
    batches: Batches,
    known: Option<Before>,
    group_rows: Option<NonZeroUsize>,
) -> Outcome {
    let unreadable = |source| Failed::unreadable(Error::Write { path: path.to_owned(), source });
    let columns = batches.columns(class).map_err(unreadable)?;
    let (order, range) = parquet_write::order_of(&columns);
    let account = |known: &Before| known.counted.segment(class, &columns, &known.rows).to_json();
    let note = known.as_ref().map(|known| (segment_account::KEY, account(known)));
    let made = path.parent().map_or(Ok(()), make_dir);
    let schema = schema::class_schema(class);
    match made.and_then(|()| parquet_write::write_batches(path, &schema, columns, order.as_deref(), note, group_rows)) {
        Ok(written) => Ok((written, range)),
        Err(error) => Err(Box::new(Failed { error, batches, known, times: Some(range) })),
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
        let thread = thread::Builder::new().name("encode".to_owned());
        let spawned = thread.spawn(move || {
            for Job { class, path, batches, known, group_rows } in waiting {
                if done.send(encode(class, &path, batches, known, group_rows)).is_err() {
                    break;
                }
            }
        });
        match spawned {
            Ok(_) => Encoder::Thread { jobs, outcomes },
            Err(_) => Encoder::Inline(VecDeque::new()),
        }
    }

    /// Waits while one is being encoded and another waits.
    pub(crate) fn submit(&mut self, job: Job) {
        match self {
            Encoder::Inline(outcomes) => {
                outcomes.push_back(encode(job.class, &job.path, job.batches, job.known, job.group_rows));
            }
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
