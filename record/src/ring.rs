//! The consumer's side of a BPF ring buffer, read in bulk.
//!
//! libbpf hands records over one by one, and tells the kernel after each how far it is: a write to a line that the producers
//! read at every record. Here a whole stretch of records is copied at once, headers and all, and then given back at once.
//! The layout is the kernel's ABI (`BPF_MAP_TYPE_RINGBUF` in Documentation/bpf/ringbuf.rst, `bpf_ringbuf_hdr` in
//! include/uapi/linux/bpf.h and kernel/bpf/ringbuf.c): the consumer's position on the first page, writable; the producers' on
//! the second; then the data, mapped twice in a row, so that no record is ever split.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// A record's header: its length with two flags, and four bytes of the kernel's own.
const HEADER: usize = 8;
/// Reserved, and not submitted yet (BPF_RINGBUF_BUSY_BIT).
const BUSY: u32 = 1 << 31;
/// To be passed over (BPF_RINGBUF_DISCARD_BIT).
const DISCARD: u32 = 1 << 30;

pub struct Ring<M: AsFd> {
    map: M,
    consumer: Mapping,
    producer: Mapping,
    page: usize,
    size: usize,
    /// Where the next record begins; only this consumer moves it.
    at: u64,
}

/// Memory of the kernel's; unmapped when dropped.
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping is this value's own, and its memory is only read and written through atomics or behind `&mut Ring`.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(map: BorrowedFd<'_>, length: usize, protection: libc::c_int, offset: usize) -> io::Result<Mapping> {
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), length, protection, libc::MAP_SHARED, map.as_raw_fd(), offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at 0"))?;
        Ok(Mapping { start, length })
    }

    fn position(&self) -> &AtomicU64 {
        // SAFETY: a page begins with an aligned position, and both sides only use it atomically.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().cast()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: what mmap() gave, once.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

impl<M: AsFd> Ring<M> {
    /// `size`: of the ring, bytes, as the map was made.
    ///
    /// # Errors
    /// The map is no ring buffer of that size, or may not be mapped.
    pub fn open(map: M, size: usize) -> io::Result<Ring<M>> {
        // SAFETY: sysconf() has no preconditions.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(io::Error::other)?;
        let consumer = Mapping::new(map.as_fd(), page, libc::PROT_READ | libc::PROT_WRITE, 0)?;
        let producer = Mapping::new(map.as_fd(), page + 2 * size, libc::PROT_READ, page)?;
        let at = consumer.position().load(Ordering::Relaxed);
        Ok(Ring { map, consumer, producer, page, size, at })
    }

    /// Bytes that wait.
    pub fn filled(&self) -> u64 {
        self.producer.position().load(Ordering::Relaxed).saturating_sub(self.at)
    }

    /// Appends whole records to `out`, headers and all, until there are no more or about `most` bytes were copied; returns how
    /// many bytes. 0: there is nothing, or the next record is still being written.
    pub fn take(&mut self, most: usize, out: &mut Vec<u8>) -> usize {
        let produced = self.producer.position().load(Ordering::Acquire);
        let offset = (self.at % self.size as u64) as usize;
        let mut length = 0;
        while self.at + (length as u64) < produced && length < most {
            match self.header(offset + length) {
                header if header & BUSY != 0 => break,
                header => length += stride(header),
            }
        }
        // SAFETY: less than the ring's size from within its first copy stays within the second, and the records up to here are
        // submitted: nobody writes there until the position below is moved.
        let bytes = unsafe { std::slice::from_raw_parts(self.data().add(offset), length) };
        out.extend_from_slice(bytes);
        self.at += length as u64;
        if length > 0 {
            self.consumer.position().store(self.at, Ordering::Release);
        }
        length
    }

    /// Waits until a program wakes this consumer, or `timeout` is over. Returns at once if there are records already.
    pub fn wait(&self, timeout: Duration) {
        let mut poll = libc::pollfd { fd: self.map.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
        // An interrupted wait is only an early look.
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&raw mut poll, 1, timeout) };
    }

    fn data(&self) -> *const u8 {
        // SAFETY: the data follows the producers' page within the mapping.
        unsafe { self.producer.start.as_ptr().add(self.page) }
    }

    fn header(&self, offset: usize) -> u32 {
        // SAFETY: records are aligned to 8 bytes and begin within the two copies; the kernel writes the word atomically.
        unsafe { AtomicU32::from_ptr(self.data().add(offset).cast_mut().cast()).load(Ordering::Acquire) }
    }
}

/// From one record to the next.
fn stride(header: u32) -> usize {
    ((header & !(BUSY | DISCARD)) as usize + HEADER).next_multiple_of(8)
}

/// The records in what [`Ring::take`] copied, without those that were discarded.
pub fn records(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let header = u32::from_ne_bytes(*bytes.first_chunk()?);
            let (record, rest) = bytes.split_at_checked(stride(header))?;
            bytes = rest;
            if header & DISCARD == 0 {
                return record.get(HEADER..HEADER + (header & !(BUSY | DISCARD)) as usize);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(record: &[u8], flags: u32) -> Vec<u8> {
        let mut bytes = (record.len() as u32 | flags).to_ne_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(record);
        bytes.resize(bytes.len().next_multiple_of(8), 0xee);
        bytes
    }

    #[test]
    fn records_come_back_without_what_was_discarded() {
        let bytes = [raw(b"one", 0), raw(b"dropped", DISCARD), raw(b"", 0), raw(b"eight by", 0)].concat();
        assert_eq!(records(&bytes).collect::<Vec<_>>(), [&b"one"[..], b"", b"eight by"]);
        for cut in 0..bytes.len() {
            let whole = records(&bytes[..cut]).count();
            assert!(whole < 3, "a record that was cut off is none");
        }
    }
}
