//! The times that BPF programs write, as Unix time.

use nix::time::{ClockId, clock_gettime};

fn ns(clock: ClockId) -> i64 {
    // Both clocks are always there.
    clock_gettime(clock).map_or(0, |time| time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

/// Unix time, ns.
pub fn unix_ns() -> i64 {
    ns(ClockId::CLOCK_REALTIME)
}

/// Unix time minus CLOCK_BOOTTIME, ns.
pub fn boot_offset_ns() -> i64 {
    unix_ns() - ns(ClockId::CLOCK_BOOTTIME)
}
