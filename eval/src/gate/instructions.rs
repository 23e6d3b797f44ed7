//! Instructions that a replay takes, counted by perf where the machine has counters, else by cachegrind.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::workload::which;

/// So many, and who counted; or why nobody could.
pub fn count(program: &Path, args: &[OsString]) -> Result<(u64, &'static str), String> {
    if let Some(counted) = by_perf(program, args) {
        return Ok((counted, "perf stat"));
    }
    if which("valgrind").is_none() {
        return Err("neither perf's counters nor valgrind are there".to_owned());
    }
    let mut command = Command::new("valgrind");
    command.args(["--tool=cachegrind", "--cachegrind-out-file=/dev/null"]).arg(program).args(args);
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match refs(&said).filter(|_| output.status.success()) {
        Some(counted) => Ok((counted, "cachegrind")),
        None => Err(format!("valgrind: {}", said.lines().last().unwrap_or_default())),
    }
}

fn by_perf(program: &Path, args: &[OsString]) -> Option<u64> {
    which("perf")?;
    let mut command = Command::new("perf");
    command.args(["stat", "-x,", "-e", "instructions:u", "--"]).arg(program).args(args);
    let output = command.stdin(Stdio::null()).output().ok().filter(|output| output.status.success())?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| line.contains("instructions:u"))?;
    line.split(',').next()?.parse().ok()
}

/// `==1== I   refs:      1,234`
fn refs(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains("I") && line.contains("refs:") && !line.contains("D"))?;
    line.rsplit(':').next()?.trim().replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_cachegrind_says_is_read() {
        let said = "==9== Cachegrind, a cache profiler\n==9== \n==9== I   refs:      12,345,678\n==9== I1  misses: 1\n==9== D   refs:  5\n";
        assert_eq!(super::refs(said), Some(12_345_678));
        assert_eq!(super::refs("valgrind: no such program"), None);
    }
}
