//! A storm of one kind of event on some CPUs, and the recorder on the others: what it stored, lost and cost, by its own account and
//! by the callers'.

pub mod calls;
pub mod counter;
pub mod deed;

use std::fs;
use std::io::Read as _;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use datasets::{ClassAccount, Recording, Verdict};
use record_bpf::Class;
use serde::{Deserialize, Serialize};

use crate::capture::completeness;
use crate::error::{Error, Result};
use calls::{Calls, pin};
use counter::Counter;
use deed::Deed;

/// What to do.
pub struct Plan {
    pub deed: Deed,
    pub cpus: Vec<usize>,
    pub length: Duration,
    /// Times per second and CPU; 0: as many as there can be.
    pub rate: u64,
    pub record: PathBuf,
    /// More arguments for it.
    pub options: Vec<String>,
    /// Who counts beside the callers; that takes some of their time.
    pub counter: Option<Counter>,
    /// For the recording.
    pub dir: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Storm {
    pub callers: Calls,
    pub calls_per_second: f64,
    /// How many the counter saw, those of the callers' begin and end included; none where nobody was asked.
    pub counted: Option<u64>,
    /// Rows of the recording that tell of them, one for each.
    pub stored: u64,
    /// stored / calls
    pub stored_share: f64,
    /// What the recorder says of the whole class, the few calls of its own making included.
    pub emitted: u64,
    pub dropped: u64,
    /// Thinned or known, if that was asked for.
    pub left_out: u64,
    /// (all rows of the class + what the recorder says it lost or left out) / (calls times the rows that each leaves), at most 1
    pub accounted_share: f64,
    /// `datasets verify`: every sequence number is stored or accounted for.
    pub verified: bool,
    /// Share of the class's rows with all fields that they should have; none where nothing is promised of the class.
    pub complete: Option<f64>,
    pub bytes_per_event: f64,
    /// Segments of the class, and their bytes.
    pub segments: u64,
    pub bytes: u64,
    /// The recorder's alone, s.
    pub cpu_seconds: f64,
    pub cpu_ns_per_event: f64,
    /// Resident memory of the recorder that is not shared, every fifth of a second, MiB.
    pub memory_mib: Vec<f64>,
    pub memory_peak_mib: f64,
    /// The most bytes that waited in the ring, MiB.
    pub ring_most_mib: f64,
    /// From kernel to row, s.
    pub lag_p50: f64,
    pub lag_p99: f64,
    pub lag_max: f64,
}

/// Records a storm. Needs root.
///
/// # Errors
/// The recorder cannot be run, or left no recording.
pub fn storm(plan: &Plan) -> Result<Storm> {
    let failed = |reason: &dyn std::fmt::Display| Error::run("the recorder", reason);
    plan.deed.prepare(&plan.dir).map_err(|error| failed(&error))?;
    let (dir, result) = (plan.dir.join("recording"), plan.dir.join("calls.json"));
    let own = std::env::current_exe().map_err(|error| failed(&error))?;
    let cpus: Vec<String> = plan.cpus.iter().map(usize::to_string).collect();
    let mut command = Command::new(&plan.record);
    command
        .args(["--quiet", "--format", "json", "--events", plan.deed.name(), "--output"])
        .arg(&dir)
        .args(&plan.options);
    let counted = plan.dir.join("counted");
    command.arg("--");
    if let Some(counter) = plan.counter {
        command.args(counter.around(plan.deed, &counted)?);
    }
    command.arg(own).args(["calls", plan.deed.name(), "--cpu", &cpus.join(",")]);
    command.args(["--rate", &plan.rate.to_string()]).arg("--dir").arg(&plan.dir);
    command.arg("--seconds").arg(plan.length.as_secs_f64().to_string()).arg("--result").arg(&result);
    let others: Vec<usize> = (0..cores()).filter(|cpu| !plan.cpus.contains(cpu)).collect();
    // SAFETY: sched_setaffinity() is async-signal-safe, and so is the rest.
    unsafe { command.pre_exec(move || if others.is_empty() { Ok(()) } else { pin(&others) }) };
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| failed(&e))?;
    let (memory, used) = watch(&mut child).map_err(|error| failed(&error))?;
    let text = fs::read_to_string(&result).map_err(|_| failed(&said(&mut child)))?;
    let callers: Calls = serde_json::from_str(&text).map_err(|error| failed(&error))?;
    let mut summary = String::new();
    child.stdout.take().map(|mut out| out.read_to_string(&mut summary)).transpose().map_err(|error| failed(&error))?;
    // The command's own output comes first; it has none.
    let summary: serde_json::Value = serde_json::from_str(&summary).map_err(|error| failed(&error))?;
    let number = |path: &str| summary.pointer(path).and_then(serde_json::Value::as_f64).unwrap_or_default();

    let recording = Recording::open(&dir)?;
    let verified = datasets::verify(&dir, |_| {})?.verdict == Verdict::Intact;
    let class = plan.deed.class();
    let account = account(&recording, class.name());
    let stored = rows(&recording, plan)?;
    let all: u64 = recording.manifest().class_segments(class).map(|segment| segment.rows).sum();
    let (dropped, left_out) = (account.dropped.total(), account.sampled_out + account.known);
    let calls = callers.calls as f64;
    let cpu_seconds = (used - callers.cpu_seconds).max(0.0);
    Ok(Storm {
        calls_per_second: calls / callers.seconds,
        counted: plan.counter.map(|counter| counter.read(plan.deed, &counted)).transpose()?,
        stored,
        stored_share: stored as f64 / calls,
        emitted: account.emitted,
        dropped,
        left_out,
        accounted_share: ((all + dropped + left_out) as f64 / (calls * plan.deed.rows() as f64)).min(1.0),
        verified,
        complete: complete(&recording, class)?,
        segments: recording.manifest().class_segments(class).count() as u64,
        bytes: recording.manifest().class_segments(class).map(|segment| segment.bytes).sum(),
        bytes_per_event: number(&format!("/classes/{}/bytes_per_event", class.name())),
        cpu_seconds,
        cpu_ns_per_event: cpu_seconds * 1e9 / calls,
        memory_peak_mib: memory.iter().copied().fold(0.0, f64::max),
        memory_mib: memory,
        ring_most_mib: number("/ring_most_bytes") / f64::from(1 << 20),
        lag_p50: number("/lag_s/p50"),
        lag_p99: number("/lag_s/p99"),
        lag_max: number("/lag_s/max"),
        callers,
    })
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn account(recording: &Recording, class: &str) -> ClassAccount {
    let accounting = recording.manifest().accounting.as_ref();
    let accounts = accounting.iter().flat_map(|a| &a.cpus).filter_map(|cpu| cpu.classes.get(class));
    accounts.fold(ClassAccount::default(), |mut sum, account| {
        sum.emitted += account.emitted;
        sum.dropped.ring_full += account.dropped.total();
        sum.sampled_out += account.sampled_out;
        sum.known += account.known;
        sum
    })
}

/// Rows that tell of the deed, which nobody but the callers does in numbers.
fn rows(recording: &Recording, plan: &Plan) -> Result<u64> {
    let mut count = 0;
    for batch in recording.batches(plan.deed.class(), Some(plan.deed.columns()))? {
        count += plan.deed.count(&batch?, &plan.dir);
    }
    Ok(count)
}

/// Complete rows of the class, of those that something is promised of.
fn complete(recording: &Recording, class: Class) -> Result<Option<f64>> {
    let found = completeness(recording, class)?;
    let (rows, complete) = found.iter().fold((0, 0), |sum, field| (sum.0 + field.rows, sum.1 + field.complete));
    Ok((rows > 0).then(|| complete as f64 / rows as f64))
}

/// Memory over time until it ends, and the CPU time of it and its waited-for children.
fn watch(child: &mut Child) -> std::io::Result<(Vec<f64>, f64)> {
    let pid = child.id().cast_signed();
    let status = PathBuf::from(format!("/proc/{pid}/status"));
    let (mut memory, mut next) = (Vec::new(), Instant::now());
    loop {
        // SAFETY: all-zero bytes are a valid rusage.
        let mut usage = unsafe { std::mem::zeroed::<libc::rusage>() };
        let mut code = 0;
        // SAFETY: the pointers are valid; nobody else waits for this child.
        let ended = unsafe { libc::wait4(pid, &raw mut code, libc::WNOHANG, &raw mut usage) };
        if ended < 0 {
            return Err(std::io::Error::last_os_error());
        }
        if ended == pid {
            let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
            let status = std::process::ExitStatus::from_raw(code);
            return match status.success() {
                true => Ok((memory, seconds(usage.ru_utime) + seconds(usage.ru_stime))),
                false => Err(std::io::Error::other(format!("it ended with {status}: {}", said(child)))),
            };
        }
        if next <= Instant::now() {
            next = Instant::now() + Duration::from_millis(200);
            memory.extend(anonymous(&status));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// `RssAnon` of /proc/PID/status, MiB.
fn anonymous(status: &Path) -> Option<f64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}

fn said(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(mut err) = child.stderr.take() {
        let _ = err.read_to_string(&mut text);
    }
    text.lines().last().unwrap_or("it said nothing").to_owned()
}
