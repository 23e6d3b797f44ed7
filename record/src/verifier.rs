//! `record check --verifier`: what the kernel's verifier had to do for each program, and the budget that keeps it small.
//!
//! A program that the verifier follows through too many paths is refused above a million instructions, and long before that
//! it makes every start slow. The budget (`record-bpf/verifier.toml`) is of one kernel: verifiers differ.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use libbpf_rs::{AsRawLibbpf, libbpf_sys};
use serde::{Deserialize, Serialize};

use crate::bpf::{Programs, Settings};
use crate::cgroup::Hierarchy;
use crate::error::{Error, Result};

/// The budget that ships.
pub const BUDGET: &str = record_bpf::VERIFIER_BUDGET;

/// BPF_LOG_STATS (include/linux/bpf_verifier.h): statistics only.
const LOG_STATS: u32 = 4;

/// The statistics take a few hundred bytes, but the kernel refuses a program whose log was ever longer than this before it
/// took lines back (log.c: ENOSPC; 64 KiB were too little). Memory that is not written to costs nothing.
const LOG_BYTES: usize = 16 << 20;

/// What the verifier reported about every program of the object that this kernel loads, with all classes on.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `uname -r`
    pub kernel: String,
    pub programs: Vec<Stats>,
}

/// One program, its functions included.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub program: String,
    /// Instructions after the verifier rewrote it.
    pub instructions: u32,
    /// Bytes of machine code; 0: not compiled, or not shown.
    pub machine_code: u32,
    /// Instructions that the verifier went through, over all paths; the kernel's limit is 1,000,000.
    pub verified: u64,
    /// States it kept in all, and at most at a time.
    pub states: u64,
    pub peak_states: u64,
    /// The largest frame of its functions, bytes; the kernel's limit is 512 along a chain of calls.
    pub stack: u32,
    pub verification_us: u64,
}

/// Loads the programs with the settings given, attaches none, and asks.
pub fn report(settings: &Settings) -> Result<Report> {
    let mut logs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let programs = Programs::load_with(settings, &Hierarchy::detect()?, |object| {
        for mut program in object.progs_mut() {
            let log = logs.entry(program.name().to_string_lossy().into_owned()).or_insert_with(|| vec![0; LOG_BYTES]);
            program.set_log_level(LOG_STATS);
            // SAFETY: the program is not loaded yet. The buffer is on the heap, never resized, and lives until this function
            // ends, after the load; libbpf writes to it in the load only. Fails only with a buffer above 4 GiB.
            unsafe {
                let buffer = log.as_mut_ptr().cast::<c_char>();
                libbpf_sys::bpf_program__set_log_buf(program.as_libbpf_object().as_ptr(), buffer, LOG_BYTES as u64);
            }
        }
    })?;
    let mut found = Vec::new();
    for program in programs.object().progs() {
        let name = program.name().to_string_lossy().into_owned();
        let log = logs.get(&name).and_then(|log| CStr::from_bytes_until_nul(log).ok());
        let log = log.map(|log| log.to_string_lossy().into_owned()).unwrap_or_default();
        // A program that was not loaded has no statistics.
        if let Some(stats) = Stats::parse(name, &log) {
            let (instructions, machine_code) = sizes(program.as_fd().as_raw_fd())?;
            found.push(Stats { instructions, machine_code, ..stats });
        }
    }
    Ok(Report { kernel: release(), programs: found })
}

/// (instructions, bytes of machine code)
fn sizes(fd: i32) -> Result<(u32, u32)> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut size = u32::try_from(size_of_val(&info)).expect("a small struct");
    // SAFETY: `info` is zeroed, and as long as `size` says.
    let error = unsafe { libbpf_sys::bpf_prog_get_info_by_fd(fd, &raw mut info, &raw mut size) };
    if error != 0 {
        let source = libbpf_rs::Error::from_raw_os_error(-error);
        return Err(Error::Bpf { what: "cannot ask the kernel about a BPF program", source });
    }
    Ok((info.xlated_prog_len / 8, info.jited_prog_len)) // 8 bytes an instruction
}

pub fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

impl Stats {
    /// From the verifier's log (print_verification_stats in kernel/bpf/verifier.c, the same from 5.10 to 6.18):
    /// `verification time 812 usec`, `stack depth 64+0+32`,
    /// `processed 2668 insns (limit 1000000) max_states_per_insn 2 total_states 203 peak_states 203 mark_read 9`.
    fn parse(program: String, log: &str) -> Option<Stats> {
        let mut stats = Stats {
            program,
            instructions: 0,
            machine_code: 0,
            verified: 0,
            states: 0,
            peak_states: 0,
            stack: 0,
            verification_us: 0,
        };
        let mut is_there = false;
        for line in log.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some("processed"), Some(verified), Some("insns")) => {
                    let rest: Vec<&str> = words.collect();
                    let after = |name: &str| rest.iter().skip_while(|word| **word != name).nth(1)?.parse().ok();
                    stats.verified = verified.parse().ok()?;
                    stats.states = after("total_states")?;
                    stats.peak_states = after("peak_states")?;
                    is_there = true;
                }
                (Some("stack"), Some("depth"), Some(frames)) => {
                    stats.stack = frames.split('+').filter_map(|frame| frame.parse().ok()).max()?;
                }
                (Some("verification"), Some("time"), Some(us)) => stats.verification_us = us.parse().ok()?,
                _ => {}
            }
        }
        is_there.then_some(stats)
    }
}

/// Verified instructions that each program may have, on the kernel they were measured on.
#[derive(Debug, Deserialize)]
pub struct Budget {
    /// Its first two numbers, as 6.18.
    pub kernel: String,
    pub programs: BTreeMap<String, u64>,
}

/// How far a program may grow over its budget, percent: what another compiler makes of the same source stays below.
const GROWTH: u64 = 10;

impl Budget {
    pub fn parse(text: &str) -> Result<Budget> {
        toml::from_str(text).map_err(|error| Error::Usage(format!("the verifier budget: {}", error.message())))
    }

    /// Whether it was measured on this kernel's series.
    pub fn is_for(&self, release: &str) -> bool {
        series(release) == self.kernel
    }

    /// What does not fit, in words.
    pub fn complaints(&self, report: &Report) -> Vec<String> {
        let grown = report.programs.iter().filter_map(|stats| {
            let Stats { program, verified, .. } = stats;
            match self.programs.get(program) {
                None => Some(format!("{program} is not in it ({verified} verified instructions)")),
                Some(budget) if *verified > budget + budget * GROWTH / 100 => Some(format!(
                    "{program} grew from {budget} to {verified} verified instructions, more than {GROWTH} %"
                )),
                Some(_) => None,
            }
        });
        let is_there = |name: &str| report.programs.iter().any(|stats| stats.program == name);
        let gone = self.programs.keys().filter(|name| !is_there(name));
        grown.chain(gone.map(|name| format!("{name} is in it but was not loaded"))).collect()
    }

    /// Writes what was measured as the new budget.
    pub fn write(report: &Report, path: &Path) -> Result<()> {
        let mut text = format!(
            "# Verified instructions of each BPF program on one kernel; a test fails when one grows more than {GROWTH} %.\n\
             # Make it smaller, or write this anew and say in the commit why: record check --verifier --update FILE\n\
             kernel = \"{}\"\n\n[programs]\n",
            series(&report.kernel)
        );
        let sorted: BTreeMap<&str, u64> =
            report.programs.iter().map(|stats| (stats.program.as_str(), stats.verified)).collect();
        sorted.into_iter().for_each(|(program, verified)| text += &format!("{program} = {verified}\n"));
        let failed = |source| datasets::Error::Write { path: PathBuf::from(path), source };
        std::fs::write(path, text).map_err(|source| failed(source).into())
    }
}

fn series(release: &str) -> String {
    release.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

pub fn table(report: &Report) -> String {
    let mut table = crate::check::new_table();
    table.set_header([
        "program",
        "instructions",
        "machine code",
        "verified",
        "budget",
        "states",
        "peak",
        "stack",
        "µs",
    ]);
    let budget = Budget::parse(BUDGET).ok().filter(|budget| budget.is_for(&report.kernel));
    for stats in &report.programs {
        let allowed = budget.as_ref().and_then(|budget| budget.programs.get(&stats.program));
        table.add_row([
            stats.program.clone(),
            stats.instructions.to_string(),
            stats.machine_code.to_string(),
            stats.verified.to_string(),
            allowed.map(u64::to_string).unwrap_or_default(),
            stats.states.to_string(),
            stats.peak_states.to_string(),
            stats.stack.to_string(),
            stats.verification_us.to_string(),
        ]);
    }
    let verified: u64 = report.programs.iter().map(|stats| stats.verified).sum();
    format!("{table}\n{} programs, {verified} instructions verified on {}\n", report.programs.len(), report.kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "func#0 @0\nverification time 812 usec\nstack depth 64+0+128+32 max 224\n\
        processed 2668 insns (limit 1000000) max_states_per_insn 2 total_states 203 peak_states 190 mark_read 9\n";

    fn stats(program: &str, verified: u64) -> Stats {
        let log = LOG.replace("2668", &verified.to_string());
        Stats::parse(program.to_owned(), &log).unwrap()
    }

    #[test]
    fn the_kernels_statistics_are_read() {
        let stats = stats("on_fork", 2668);
        assert_eq!((stats.verified, stats.states, stats.peak_states), (2668, 203, 190));
        assert_eq!((stats.stack, stats.verification_us), (128, 812));
        assert_eq!(Stats::parse("x".to_owned(), ""), None);
        assert_eq!(Stats::parse("x".to_owned(), "processed many insns"), None);
    }

    #[test]
    fn a_budget_is_kept_up_to_a_tenth() {
        let budget = Budget::parse("kernel = \"6.18\"\n[programs]\na = 1000\nb = 10\n").unwrap();
        assert!(budget.is_for("6.18.44-x") && !budget.is_for("6.1.0-18"));
        let report = |programs| Report { kernel: "6.18.1".to_owned(), programs };
        assert!(budget.complaints(&report(vec![stats("a", 1100), stats("b", 3)])).is_empty());
        let complaints = budget.complaints(&report(vec![stats("a", 1101), stats("c", 5)]));
        assert_eq!(complaints.len(), 3, "grown, unknown, gone: {complaints:?}");
    }

    #[test]
    fn a_budget_that_was_written_is_read_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let report = Report { kernel: "6.18.44-x".to_owned(), programs: vec![stats("b", 2), stats("a", 1)] };
        Budget::write(&report, file.path()).unwrap();
        let budget = Budget::parse(&std::fs::read_to_string(file.path()).unwrap()).unwrap();
        assert_eq!((budget.kernel.as_str(), budget.programs["a"], budget.programs["b"]), ("6.18", 1, 2));
        assert!(Budget::parse("kernel = 6").is_err());
    }
}
