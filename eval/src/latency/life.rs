//! What is recorded: ordinary life at a pace, and then attacks at random moments, each a command that looks like a miner's and only
//! prints its arguments.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// In the command line of every attack, and nowhere else.
pub const MARK: &str = "minexmr";

/// The same three commands over and over.
const COMMANDS: [&[&str]; 3] = [&["/bin/ls", "/usr/share"], &["/bin/cat", "/etc/hosts"], &["/bin/date", "+%s"]];
/// Between them.
const PAUSE: Duration = Duration::from_millis(100);
/// Files are opened in bursts this far apart: below it a sleep is longer than it was asked to be.
const BURST: Duration = Duration::from_millis(5);
/// Before an attack, ms.
const WAIT: std::ops::Range<u64> = 100..700;

/// A file in `dir` is opened and closed `rate` times a second; then come the attacks.
///
/// # Errors
/// `dir` cannot be written to, or a command is missing.
pub fn live(dir: &Path, length: Duration, rate: u64, attacks: usize) -> io::Result<()> {
    let file = dir.join("ordinary");
    fs::write(&file, "hello")?;
    let begun = Instant::now();
    let (mut opened, mut commands) = (0u64, 0u32);
    while begun.elapsed() < length {
        if begun.elapsed() >= PAUSE * commands {
            run(COMMANDS[commands as usize % COMMANDS.len()])?;
            commands += 1;
        }
        let wanted = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        while opened < wanted {
            drop(File::open(&file)?);
            opened += 1;
        }
        thread::sleep(BURST);
    }
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..attacks {
        thread::sleep(Duration::from_millis(random.u64(WAIT)));
        // A pool of its own, of letters alone: equal deviations are one.
        let pool: String = (0..10).map(|_| random.lowercase()).collect();
        let address = format!("stratum+tcp://{pool}.{MARK}.com:3333");
        let wallet = format!("4RetroscopeStandIn{}", "x".repeat(60));
        run(&["/bin/echo", "-o", &address, "-u", &wallet, "--donate-level", "1"])?;
    }
    Ok(())
}

fn run(words: &[&str]) -> io::Result<()> {
    let status = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{} ended with {status}", words[0]))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_after_its_time() {
        let dir = tempfile::tempdir().unwrap();
        live(dir.path(), Duration::from_millis(150), 500, 1).unwrap();
        assert!(dir.path().join("ordinary").is_file());
        assert!(live(&dir.path().join("missing"), Duration::ZERO, 1, 0).is_err());
    }
}
