//! find and grep over a tree of files, made once and the same for every run.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(super) const FOLDER: &str = "tree";

/// As many as the tree that the published figures of other recorders were measured over.
pub(super) const FILES: usize = 11_207;
const PER_FOLDER: usize = 57;

/// Files of 200 to 8,000 bytes of text, in two levels of folders; one in 100 holds the word that is looked for.
pub fn prepare(dir: &Path) -> io::Result<()> {
    let root = dir.join(FOLDER);
    for file in 0..FILES {
        let folder = root.join(format!("d{:02}/e{:03}", file / PER_FOLDER / 20, file / PER_FOLDER));
        if file % PER_FOLDER == 0 {
            fs::create_dir_all(&folder)?;
        }
        // Multiplication by an odd constant spreads the sizes without a table of random numbers.
        let lines = 5 + (file.wrapping_mul(2_654_435_761) >> 7) % 195;
        let mut text = "the quick brown fox jumps over the lazy dog\n".repeat(lines);
        if file % 100 == 0 {
            text.push_str("retroscope\n");
        }
        fs::write(folder.join(format!("f{file}.txt")), text)?;
    }
    Ok(())
}

pub fn run(dir: &Path) -> io::Result<(Duration, u64)> {
    let begun = Instant::now();
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"find "$1" -type f -print0 | xargs -0 grep -l retroscope"#, "sh"]).arg(dir.join(FOLDER));
    let output = shell.stderr(Stdio::inherit()).output()?;
    let elapsed = begun.elapsed();
    let found = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    // xargs ends with 123 when one of its greps found nothing.
    match output.status.code() {
        Some(0 | 123) if found == FILES.div_ceil(100) => Ok((elapsed, FILES as u64)),
        _ => Err(io::Error::other(format!("{} with {found} files found", output.status))),
    }
}
