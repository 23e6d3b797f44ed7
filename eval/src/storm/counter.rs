//! A count of a storm that neither the recorder nor the callers have a part in: the kernel's own, by perf(1).

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::deed::Deed;
use crate::error::{Error, Result};
use crate::workload::which;

/// Who counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Counter {
    /// perf stat on the callers' process: the kernel counts what passes a tracepoint, without a buffer that could be full
    Perf,
}

impl Counter {
    /// # Errors
    /// It is not installed.
    pub fn find(self) -> Result<PathBuf> {
        which("perf").ok_or_else(|| Error::run("perf", "it is not installed (Debian: linux-perf)"))
    }

    /// The command line in front of that of the callers. It writes what it counted to `to`.
    ///
    /// # Errors
    /// It is not installed.
    pub(super) fn around(self, deed: Deed, to: &Path) -> Result<Vec<String>> {
        let (event, filter) = event(deed);
        let mut line =
            vec![self.find()?.display().to_string(), "stat".to_owned(), "-x".to_owned(), SEPARATOR.to_owned()];
        line.extend(["-o".to_owned(), to.display().to_string(), "-e".to_owned(), event.to_owned()]);
        if let Some(number) = filter {
            line.extend(["--filter".to_owned(), format!("id == {number}")]);
        }
        line.push("--".to_owned());
        Ok(line)
    }

    /// # Errors
    /// It left no count.
    pub(super) fn read(self, deed: Deed, from: &Path) -> Result<u64> {
        let text = fs::read_to_string(from).map_err(|error| Error::run("perf", error))?;
        parse(&text, event(deed).0).ok_or_else(|| Error::run("perf", format!("it did not count: {:?}", text.trim())))
    }
}

const SEPARATOR: &str = ";";

/// The tracepoint that each passes once, and the number of the system call where the tracepoint is that of all.
fn event(deed: Deed) -> (&'static str, Option<libc::c_long>) {
    match deed {
        Deed::Syscall => ("raw_syscalls:sys_enter", Some(libc::SYS_getppid)),
        // What the C library's open() calls.
        Deed::File => ("raw_syscalls:sys_enter", Some(libc::SYS_openat)),
        Deed::Network => ("raw_syscalls:sys_enter", Some(libc::SYS_connect)),
        Deed::Process => ("sched:sched_process_exec", None),
    }
}

/// A line of `perf stat -x` is "COUNT;UNIT;EVENT;..." (perf-stat(1), CSV FORMAT).
fn parse(text: &str, event: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split(SEPARATOR).nth(2) == Some(event))?;
    line.split(SEPARATOR).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_the_first_field_of_its_event() {
        let text = "# started on Sun Nov 22\n\n12345;;raw_syscalls:sys_enter;8000000;100.00;;\n";
        assert_eq!(parse(text, "raw_syscalls:sys_enter"), Some(12_345));
        assert_eq!(parse(text, "sched:sched_process_exec"), None);
        assert_eq!(parse("<not supported>;;raw_syscalls:sys_enter;0;100.00;;\n", "raw_syscalls:sys_enter"), None);
    }
}
