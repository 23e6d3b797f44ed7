//! `record selftest-trigger DIR CASE...`: runs triggers, each in a process and a directory of its own, and writes what they
//! did as JSON lines. It needs nothing but the program itself: the same runs on a host, in a container, in a bare VM.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Scratch, Stop};
use crate::error::{Error, Result};

/// In the directory that the triggers get.
pub const FACTS_FILE: &str = "facts.jsonl";

/// The flag before the one case that a process runs: [`super::Rows`] finds the process by it.
pub const CASE_FLAG: &str = "--case";

/// What one trigger may take; an emulated CPU is 10 to 20 times slower than a real one.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs each case in a child process. Only what concerns all cases is an error; one that fails has it in its line.
pub fn trigger(dir: &Path, names: &[String]) -> Result<()> {
    let write = |source| Error::Read { path: dir.to_owned(), source };
    let mut facts = File::create(dir.join(FACTS_FILE)).map_err(write)?;
    for name in names {
        let line = match run_child(dir, name) {
            Ok(line) => line,
            Err(error) => json!({ "case": name, "failed": error.to_string() }),
        };
        writeln!(facts, "{line}").map_err(write)?;
    }
    Ok(())
}

fn run_child(dir: &Path, name: &str) -> Result<Value, Stop> {
    let scratch = dir.join(name);
    fs::create_dir(&scratch)?;
    // Also for a trigger that gives up root; the umask may be stricter.
    fs::set_permissions(&scratch, fs::Permissions::from_mode(0o755))?;
    let mut command = Command::new("/proc/self/exe");
    let mut child = command.arg("selftest-trigger").arg(dir).args([CASE_FLAG, name]).stdin(Stdio::null()).spawn()?;
    let status = wait(&mut child)?;
    let text = fs::read_to_string(line_file(dir, name)).unwrap_or_default();
    serde_json::from_str(&text).map_err(|_| Stop::fail(format!("it left no facts and ended with {status}")))
}

fn line_file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.json"))
}

fn wait(child: &mut Child) -> Result<ExitStatus, Stop> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begun.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            return Err(Stop::fail(format!("it took longer than {} s", LIMIT.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs one trigger in this process and writes its line.
pub fn run_here(dir: &Path, name: &str) -> Result<()> {
    let line = match super::cases().iter().find(|case| case.name == name) {
        None => json!({ "case": name, "failed": "there is no case of that name" }),
        Some(case) => match (case.trigger)(&Scratch::new(dir.join(name))) {
            Ok(facts) => json!({ "case": name, "facts": facts }),
            Err(Stop::Skip(why)) => json!({ "case": name, "skipped": why }),
            Err(Stop::Fail(why)) => json!({ "case": name, "failed": why }),
        },
    };
    let file = line_file(dir, name);
    fs::write(&file, line.to_string()).map_err(|source| Error::Read { path: file, source })
}
