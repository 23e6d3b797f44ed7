//! Unix time and the kernel's boot clock.

/// Unix time, ns.
pub fn unix_ns() -> i64 {
    read(libc::CLOCK_REALTIME)
}

/// The kernel's boot clock, which events are stamped with, ns.
pub fn boottime_ns() -> i64 {
    read(libc::CLOCK_BOOTTIME)
}

/// Unix time minus CLOCK_BOOTTIME, ns: the reading that took the shortest of several, so that a pause between the two
/// clocks does not shift every time stamp.
pub fn boot_offset_ns() -> i64 {
    (0..16)
        .map(|_| {
            let (before, unix, after) = (boottime_ns(), unix_ns(), boottime_ns());
            (after - before, unix - (before + (after - before) / 2))
        })
        .min()
        .map_or(0, |(_, offset)| offset)
}

fn read(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec; both clocks exist on every Linux since 2.6.39.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
