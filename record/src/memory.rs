//! What a recording takes of memory: the recorder's own, and the BPF maps'.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};

use datasets::Memory;
use libbpf_rs::{MapCore, MapType, Object};

/// Keeps the peak; to be looked at a few times a second.
#[derive(Debug, Default)]
pub struct Gauge {
    memory: Memory,
}

impl Gauge {
    /// `rows_limit`: bytes that rows may take while they wait.
    pub fn new(object: &Object, rows_limit: u64) -> Gauge {
        let mut memory = Memory { rows_limit, ..Memory::default() };
        for map in object.maps() {
            let Some(bytes) = charged(map.as_fd().as_raw_fd()) else { continue };
            match map.map_type() {
                MapType::RingBuf => memory.ring += bytes,
                _ => memory.maps += bytes,
            }
        }
        Gauge { memory }
    }

    pub fn look(&mut self) {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        self.memory.user_peak = self.memory.user_peak.max(anonymous(&status).unwrap_or(0));
    }

    pub fn memory(&self) -> Memory {
        self.memory.clone()
    }
}

/// Bytes a map is charged for. Since 5.11 the kernel estimates them when asked; before, it accounts for them as locked memory.
fn charged(map: i32) -> Option<u64> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{map}")).ok()?;
    info.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok())
}

/// Pages without a file: heap and stacks. The mapped ring is not among them.
fn anonymous(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_memory_is_read_from_status() {
        assert_eq!(anonymous("VmHWM:\t  10 kB\nRssAnon:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(anonymous("VmHWM:\t  10 kB\n"), None);
        let mut gauge = Gauge::default();
        gauge.look();
        assert!(gauge.memory().user_peak > 100_000, "this very process has some");
    }
}
