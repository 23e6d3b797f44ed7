//! The drain thread: copies records out of the ring as fast as it can, and does nothing else.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use libbpf_rs::{MapHandle, RingBufferBuilder};

use crate::error::{Error, Result};

/// Records back to back in one allocation.
#[derive(Default)]
pub struct Chunk {
    bytes: Vec<u8>,
    /// Where the i-th record ends.
    ends: Vec<usize>,
}

impl Chunk {
    fn push(&mut self, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len());
    }

    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

/// A chunk is handed over at this size, or when the ring is empty; [`QUEUED`] of them are 64 MiB.
const CHUNK_BYTES: usize = 256 << 10;
pub const QUEUED: usize = 256;

/// The running thread, seen from the one that takes its chunks.
pub struct Drain {
    running: Arc<AtomicBool>,
    chunks: Receiver<Chunk>,
    waiting: Arc<AtomicUsize>,
}

impl Drain {
    /// `deadline`: the ring is looked at at least this often, whether or not the kernel wakes us.
    pub fn start(ring: MapHandle, deadline: Duration) -> Result<Drain> {
        let (sender, chunks) = mpsc::sync_channel(QUEUED);
        let (opened, is_open) = mpsc::channel();
        let running = Arc::new(AtomicBool::new(true));
        let waiting = Arc::new(AtomicUsize::new(0));
        let (flag, count) = (running.clone(), waiting.clone());
        thread::spawn(move || drain(&ring, deadline, &flag, &sender, &count, |result| drop(opened.send(result))));
        // A thread that ends before it answers has panicked; its channel is closed, as at the end of a recording.
        if let Ok(Err(source)) = is_open.recv() {
            return Err(Error::Bpf { what: "cannot open the ring buffer", source });
        }
        Ok(Drain { running, chunks, waiting })
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

    /// Chunks handed over and not taken yet; at most [`QUEUED`], and one that waits for room.
    pub fn waiting(&self) -> Arc<AtomicUsize> {
        self.waiting.clone()
    }

    fn took(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn drain(
    map: &MapHandle,
    deadline: Duration,
    running: &AtomicBool,
    chunks: &SyncSender<Chunk>,
    waiting: &AtomicUsize,
    opened: impl FnOnce(libbpf_rs::Result<()>),
) {
    let chunk = RefCell::new(Chunk::default());
    let hand_over = |at_bytes: usize| {
        let mut chunk = chunk.borrow_mut();
        if !chunk.ends.is_empty() && chunk.bytes.len() >= at_bytes {
            waiting.fetch_add(1, Ordering::Relaxed);
            // Blocks while the queue is full: the ring then fills, and the kernel counts. An error means nobody takes
            // chunks any more.
            let _ = chunks.send(std::mem::take(&mut chunk));
        }
    };
    let mut builder = RingBufferBuilder::new();
    let added = builder.add(map, |record| {
        chunk.borrow_mut().push(record);
        hand_over(CHUNK_BYTES);
        0
    });
    let ring = match added.map(|_| ()).and_then(|()| builder.build()) {
        Ok(ring) => ring,
        Err(error) => return opened(Err(error)),
    };
    opened(Ok(()));
    loop {
        let last = !running.load(Ordering::Acquire);
        // An interrupted wait is only an early look.
        let _ = ring.poll(deadline);
        let _ = ring.consume();
        hand_over(0);
        if last {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_gives_back_its_records() {
        let mut chunk = Chunk::default();
        let records: [&[u8]; 3] = [b"one", b"", b"three"];
        records.iter().for_each(|record| chunk.push(record));
        assert_eq!(chunk.records().collect::<Vec<_>>(), records);
    }
}
