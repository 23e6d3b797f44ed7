//! One run of a workload, bare or under a recorder.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Plan;
use super::adapter::{Adapter, Places};
use crate::error::{Error, Result};
use crate::workload::{Measured, Workload};

/// One recorded run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Once {
    /// Of the workload.
    pub seconds: f64,
    pub events: Option<f64>,
    /// As the recorder itself says.
    pub dropped: Option<f64>,
    /// Events that name what the workload opened or executed; none where it has no such thing, or the recorder cannot say.
    pub named: Option<f64>,
    pub bytes: u64,
    /// Of the recorder alone.
    pub cpu_seconds: f64,
    /// Resident memory at most, of the recorder or the largest of its children, shared pages included, MiB.
    pub memory_mib: f64,
}

impl Once {
    pub fn bytes_per_event(&self) -> Option<f64> {
        self.events.filter(|events| *events > 0.0).map(|events| self.bytes as f64 / events)
    }
}

/// Where the workload leaves what it measured.
const RESULT: &str = "result.json";

/// Longest time for a recorder to begin, or to end after it was interrupted.
const PATIENCE: Duration = Duration::from_secs(60);

/// The command line of a run, which writes what it measured to `result`.
fn workload(workload: Workload, plan: &Plan, scale: f64, result: &Path) -> Vec<String> {
    let own = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    let text = |path: &Path| path.display().to_string();
    vec![
        text(&own),
        "workload".to_owned(),
        workload.name().to_owned(),
        text(&plan.dir),
        "--scale".to_owned(),
        scale.to_string(),
        "--result".to_owned(),
        text(result),
    ]
}

fn measured(result: &Path) -> Result<Measured, String> {
    let text = fs::read_to_string(result).map_err(|error| format!("the workload left no result: {error}"))?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// A run by itself.
pub fn bare(kind: Workload, plan: &Plan) -> Result<Measured> {
    let result = plan.dir.join("bare.json");
    let line = workload(kind, plan, plan.scale, &result);
    let output = Command::new(&line[0]).args(&line[1..]).output().map_err(|error| Error::run(kind.name(), error))?;
    if !output.status.success() {
        return Err(Error::run(kind.name(), String::from_utf8_lossy(&output.stderr).trim()));
    }
    measured(&result).map_err(|error| Error::run(kind.name(), error))
}

/// A run of `scale` of the usual work under a recorder. Err: why it could not be recorded.
pub fn recorded(kind: Workload, adapter: &Adapter, plan: &Plan, scale: f64) -> Result<Once, String> {
    let dir = plan.dir.join("run");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    let mut places = Places::new(&plan.record, &dir);
    let named = kind.named(&plan.dir);
    if let Some(path) = &named {
        places = places.with_path(path);
    }
    if !adapter.setup.is_empty() {
        places.shell(&adapter.setup)?;
    }
    let work = workload(kind, plan, scale, &dir.join(RESULT));
    let once = around(&work, adapter, &dir, &places, named.is_some());
    let torn_down = if adapter.teardown.is_empty() { Ok(String::new()) } else { places.shell(&adapter.teardown) };
    let once = once?;
    torn_down?;
    Ok(once)
}

/// `work`: the workload's command line; `named`: it has something that events name.
fn around(work: &[String], adapter: &Adapter, dir: &Path, places: &Places, named: bool) -> Result<Once, String> {
    let result = dir.join(RESULT);
    let words = adapter.command.iter().flat_map(|word| match word.as_str() {
        "{workload}" => work.to_vec(),
        word => vec![places.fill(word)],
    });
    let words: Vec<String> = words.collect();
    let log = fs::File::create(dir.join("log")).map_err(|error| error.to_string())?;
    let mut command = Command::new(places.program(&words[0]));
    command.args(&words[1..]).stdin(Stdio::null()).stderr(log).stdout(Stdio::null());
    // Where eval runs in the background of a shell, interrupts are ignored, and a child would inherit that.
    // SAFETY: signal() is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        })
    };
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", words[0]))?;
    let (cpu_seconds, memory_mib) = if adapter.wraps() {
        let (status, used) = wait(&mut child, None)?;
        if !status.success() {
            return Err(format!("{} ended with {status}: {}", adapter.name, last_line(&dir.join("log"))));
        }
        // The workload was its child; perf, for one, leaves it to others to wait for.
        let work = measured(&result)?.cpu_seconds;
        let counted = used.children_seconds > work / 2.0;
        (used.cpu_seconds - if counted { work } else { 0.0 }, used.memory_mib)
    } else {
        let ran = wait_for(&adapter.ready, "ready", &child, adapter, places).and_then(|()| {
            let run = Command::new(&work[0]).args(&work[1..]).status().map_err(|error| error.to_string())?;
            if !run.success() {
                return Err(format!("the workload ended with {run}"));
            }
            match adapter.settled.as_str() {
                "" => Ok(()),
                settled => wait_for(settled, "settled", &child, adapter, places),
            }
        });
        signal(&child, adapter.signal.number());
        let (_, used) = wait(&mut child, Some(PATIENCE))?;
        ran.map_err(|why| format!("{why}: {}", last_line(&dir.join("log"))))?;
        (used.cpu_seconds, used.memory_mib)
    };
    let number = |line: &str| -> Result<Option<f64>, String> {
        if line.is_empty() {
            return Ok(None);
        }
        let text = places.shell(line)?;
        text.parse().map(Some).map_err(|_| format!("{line:?} printed {text:?} instead of a number"))
    };
    Ok(Once {
        seconds: measured(&result)?.seconds,
        events: number(&adapter.events)?,
        dropped: number(&adapter.dropped)?,
        named: if named { number(&adapter.named)? } else { None },
        bytes: size(Path::new(&places.fill(&adapter.output))),
        cpu_seconds: cpu_seconds.max(0.0),
        memory_mib,
    })
}

/// `line`: shell that succeeds once the recorder is what it should be.
fn wait_for(line: &str, state: &str, child: &Child, adapter: &Adapter, places: &Places) -> Result<(), String> {
    let begun = Instant::now();
    while places.shell(line).is_err() {
        if has_ended(child) {
            return Err(format!("{} ended before it was {state}", adapter.name));
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("{} was not {state} after {} s", adapter.name, PATIENCE.as_secs()));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Leaves it to be waited for: its resource use is not known before.
pub(crate) fn has_ended(child: &Child) -> bool {
    ends(child, libc::WNOHANG)
}

/// `how`: WNOHANG, or 0 to wait. One that cannot be waited for has ended.
fn ends(child: &Child, how: libc::c_int) -> bool {
    // SAFETY: all-zero bytes are a valid siginfo_t.
    let mut info = unsafe { std::mem::zeroed::<libc::siginfo_t>() };
    let options = libc::WEXITED | libc::WNOWAIT | how;
    // SAFETY: `info` is valid for writing; the field read is one that waitid() sets.
    unsafe { libc::waitid(libc::P_PID, child.id(), &raw mut info, options) != 0 || info.si_pid() != 0 }
}

pub(crate) fn interrupt(child: &Child) {
    signal(child, libc::SIGINT);
}

pub(crate) fn signal(child: &Child, signal: libc::c_int) {
    // SAFETY: the process is our child and not waited for yet, so the number is its own.
    unsafe { libc::kill(child.id().cast_signed(), signal) };
}

/// What a process and the children it waited for used.
pub(crate) struct Used {
    pub cpu_seconds: f64,
    /// Of that the children's, to a hundredth of a second.
    pub children_seconds: f64,
    pub memory_mib: f64,
}

/// CPU time of the children that an ended process, not waited for yet, waited for itself, s: `cutime` and `cstime` of
/// proc_pid_stat(5).
fn children_seconds(child: &Child) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = after_name.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    // SAFETY: no preconditions.
    ticks / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64
}

/// Waits for a child; how it ended, and what it used. After `patience` it is killed.
pub(crate) fn wait(child: &mut Child, patience: Option<Duration>) -> Result<(std::process::ExitStatus, Used), String> {
    let begun = Instant::now();
    while !ends(child, if patience.is_some() { libc::WNOHANG } else { 0 }) {
        if patience.is_some_and(|patience| begun.elapsed() > patience) {
            let _ = child.kill();
            return wait(child, None);
        }
        thread::sleep(Duration::from_millis(20));
    }
    let children_seconds = children_seconds(child);
    let mut status = 0;
    // SAFETY: all-zero bytes are a valid rusage.
    let mut usage = unsafe { std::mem::zeroed::<libc::rusage>() };
    // SAFETY: the pointers are valid; nobody else waits for this child.
    if unsafe { libc::wait4(child.id().cast_signed(), &raw mut status, 0, &raw mut usage) } < 0 {
        return Err(std::io::Error::last_os_error().to_string());
    }
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    let cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    let used = Used { cpu_seconds, children_seconds, memory_mib: usage.ru_maxrss as f64 / 1024.0 };
    Ok((std::process::ExitStatus::from_raw(status), used))
}

/// Bytes of a file, or of all files below a directory.
fn size(path: &Path) -> u64 {
    let Ok(meta) = fs::symlink_metadata(path) else { return 0 };
    if meta.is_file() {
        return meta.len();
    }
    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size(&entry.path())).sum()
}

fn last_line(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().last().unwrap_or("it said nothing").trim().to_owned()
}
