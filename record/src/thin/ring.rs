//! How full the ring is, and the table of levels: memory shared with the kernel, looked at without a system call.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use libbpf_rs::MapHandle;
use record_bpf::Class;
use record_bpf::abi::CLASS_MAX;

/// A part of a BPF map's memory.
struct Mapping {
    at: *mut libc::c_void,
    bytes: usize,
}

// SAFETY: the memory is valid until it is dropped, wherever that happens, and only atomics look at it.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(map: &MapHandle, bytes: usize, protection: libc::c_int) -> io::Result<Mapping> {
        let fd = map.as_fd().as_raw_fd();
        // SAFETY: a new mapping of an open descriptor at a place of the kernel's choice.
        let at = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, libc::MAP_SHARED, fd, 0) };
        if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Mapping { at, bytes }) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and not used after.
        unsafe { libc::munmap(self.at, self.bytes) };
    }
}

fn page() -> usize {
    // SAFETY: asks for a constant.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Both positions of a ring buffer: the consumer's is on its first page, the producers' on the second
/// (kernel/bpf/ringbuf.c; Documentation/bpf/ringbuf.rst).
pub struct RingFill {
    pages: Mapping,
    page: usize,
    size: f64,
}

impl RingFill {
    /// `size`: of the ring's data, bytes.
    pub fn open(ring: &MapHandle, size: u32) -> io::Result<RingFill> {
        let page = page();
        Ok(RingFill { pages: Mapping::new(ring, 2 * page, libc::PROT_READ)?, page, size: size.into() })
    }

    /// Share that is taken, 0 to 1.
    pub fn fill(&self) -> f64 {
        // The consumer first: seen the other way round it might be ahead.
        let consumer = self.position(0);
        self.reserved().saturating_sub(consumer) as f64 / self.size
    }

    /// Bytes for which places were reserved, ever.
    pub fn reserved(&self) -> u64 {
        self.position(self.page)
    }

    fn position(&self, page: usize) -> u64 {
        // SAFETY: two pages are mapped; each begins with an aligned 64-bit position, which the kernel writes atomically.
        let position = unsafe { &*self.pages.at.cast::<u8>().add(page).cast::<AtomicU64>() };
        position.load(Ordering::Acquire)
    }
}

/// `thin_levels` of bpf/thin.h.
pub struct Levels(Mapping);

impl Levels {
    pub fn open(map: &MapHandle) -> io::Result<Levels> {
        Ok(Levels(Mapping::new(map, page(), libc::PROT_READ | libc::PROT_WRITE)?))
    }

    /// From now on one in `2^level` is kept.
    pub fn set(&self, class: Class, level: u8) {
        let index = class as usize;
        assert!(index < CLASS_MAX);
        // SAFETY: a page is mapped, which begins with CLASS_MAX aligned u32.
        let levels = unsafe { &*self.0.at.cast::<AtomicU32>().add(index) };
        levels.store(level.into(), Ordering::Release);
    }
}
