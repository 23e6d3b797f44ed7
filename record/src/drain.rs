//! The drain thread: copies records out of the ring as fast as it can, and does nothing else.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::Duration;

use libbpf_rs::{MapCore, MapHandle};

use crate::error::{Error, Result};
use crate::ring::{Ring, records};

/// Records back to back in one allocation, as they were in the ring.
#[derive(Default)]
pub struct Chunk(Vec<u8>);

impl Chunk {
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        records(&self.0)
    }

    /// What they took in the ring.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Empties it, and keeps little memory.
    fn slim(&mut self) {
        self.0.clear();
        self.0.shrink_to(SPARE_BYTES);
    }
}

/// A chunk is handed over at this size, or when the ring is empty; [`QUEUED`] of them are 16 MiB.
const CHUNK_BYTES: usize = 256 << 10;
pub const QUEUED: usize = 64;

/// After a look that found at least this much the next one waits for [`PAUSE`]: a storm fills chunks meanwhile, and is not
/// disturbed for every few records. At 1 M system calls per second that is a tenth of a millisecond's worth.
const BUSY_BYTES: usize = 16 << 10;
const PAUSE: Duration = Duration::from_millis(1);

/// Chunks kept for the next look once it is calm again, and the memory of each: while nobody could take chunks, as while a slow
/// disk is waited for, all [`QUEUED`] may have been in use, each at its full size.
const SPARE: usize = 2;
const SPARE_BYTES: usize = 4 * BUSY_BYTES;

/// The running thread, seen from the one that takes its chunks.
pub struct Drain {
    running: Arc<AtomicBool>,
    chunks: Receiver<Chunk>,
    used: Sender<Chunk>,
    waiting: Arc<AtomicUsize>,
    filled: Arc<AtomicU64>,
}

impl Drain {
    /// `deadline`: the ring is looked at at least this often, whether or not the kernel wakes us.
    pub fn start(map: MapHandle, deadline: Duration) -> Result<Drain> {
        let size = map.max_entries() as usize;
        let ring = Ring::open(map, size).map_err(|source| Error::Read { path: "the ring buffer".into(), source })?;
        let (sender, chunks) = mpsc::sync_channel(QUEUED);
        let (used, emptied) = mpsc::channel();
        let running = Arc::new(AtomicBool::new(true));
        let waiting = Arc::new(AtomicUsize::new(0));
        let filled = Arc::new(AtomicU64::new(0));
        let thread = Thread {
            ring,
            sender,
            pool: Pool { emptied, kept: Vec::new() },
            running: running.clone(),
            waiting: waiting.clone(),
            filled: filled.clone(),
            deadline,
            spare: Chunk::default(),
        };
        let named = thread::Builder::new().name("drain".to_owned());
        named.spawn(move || thread.run()).map_err(|source| Error::System { what: "cannot start a thread", source })?;
        Ok(Drain { running, chunks, used, waiting, filled })
    }

    pub fn next(&self, timeout: Duration) -> Result<Chunk, RecvTimeoutError> {
        self.chunks.recv_timeout(timeout).inspect(|_| self.took())
    }

    /// Asks the thread for one last look at the ring; [`Drain::last`] has the rest.
    pub fn stop(&self) {
        self.running.store(false, Ordering::Release);
    }

    /// The next chunk after [`Drain::stop`]; None when the thread has ended.
    pub fn last(&self) -> Option<Chunk> {
        self.chunks.recv().ok().inspect(|_| self.took())
    }

    /// A chunk whose records were taken, to be filled again: fresh memory costs more than the copy into it.
    pub fn give_back(&self, chunk: Chunk) {
        let _ = self.used.send(chunk);
    }

    /// Chunks handed over and not taken yet; at most [`QUEUED`], and one that waits for room.
    pub fn waiting(&self) -> Arc<AtomicUsize> {
        self.waiting.clone()
    }

    /// The most bytes that any look has found in the ring.
    pub fn most_filled(&self) -> u64 {
        self.filled.load(Ordering::Relaxed)
    }

    fn took(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Thread<M: AsFd> {
    ring: Ring<M>,
    sender: SyncSender<Chunk>,
    pool: Pool,
    running: Arc<AtomicBool>,
    waiting: Arc<AtomicUsize>,
    filled: Arc<AtomicU64>,
    deadline: Duration,
    /// The chunk that is filled next.
    spare: Chunk,
}

/// Chunks to be filled again.
struct Pool {
    /// As they come back.
    emptied: Receiver<Chunk>,
    kept: Vec<Chunk>,
}

impl Pool {
    fn next(&mut self) -> Chunk {
        self.kept.pop().or_else(|| self.emptied.try_recv().ok()).unwrap_or_default()
    }

    /// Frees what a storm, or a wait, has left.
    fn slim(&mut self) {
        self.kept.extend(self.emptied.try_iter());
        self.kept.truncate(SPARE);
        self.kept.iter_mut().for_each(Chunk::slim);
    }
}

impl<M: AsFd> Thread<M> {
    fn run(mut self) {
        loop {
            let last = !self.running.load(Ordering::Acquire);
            let found = self.look();
            if last {
                break;
            }
            if found >= BUSY_BYTES || (found == 0 && self.ring.filled() > 0) {
                // The latter: a record that is still being written, which poll(2) takes for one to read.
                thread::sleep(PAUSE);
            } else {
                self.pool.slim();
                self.spare.slim();
                self.ring.wait(self.deadline);
            }
        }
    }

    /// Takes what there is; returns how many bytes.
    fn look(&mut self) -> usize {
        self.filled.fetch_max(self.ring.filled(), Ordering::Relaxed);
        let mut found = 0;
        loop {
            self.spare.0.clear();
            let length = self.ring.take(CHUNK_BYTES, &mut self.spare.0);
            if length == 0 {
                return found;
            }
            found += length;
            let chunk = std::mem::replace(&mut self.spare, self.pool.next());
            self.waiting.fetch_add(1, Ordering::Relaxed);
            // Blocks while the queue is full: the ring then fills, and the kernel counts. An error means nobody takes chunks
            // any more.
            let _ = self.sender.send(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_wait_has_left_is_freed() {
        let (used, emptied) = mpsc::channel();
        let mut pool = Pool { emptied, kept: Vec::new() };
        for _ in 0..QUEUED {
            used.send(Chunk(vec![1; CHUNK_BYTES])).unwrap();
        }
        assert_eq!(pool.next().bytes(), CHUNK_BYTES, "filled again as it is while there is much to take");
        pool.slim();
        let left: Vec<Chunk> =
            std::iter::from_fn(|| Some(pool.next()).filter(|chunk| chunk.0.capacity() > 0)).collect();
        assert_eq!(left.len(), SPARE);
        assert!(left.iter().all(|chunk| chunk.bytes() == 0 && chunk.0.capacity() <= 2 * SPARE_BYTES));
    }
}
