//! Bytes from here to there: a file read and written over and over, messages through a pipe, an archive of a tree.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::tree;

const BLOCK: usize = 4096;
/// The file that is read and written: 1 MiB, which the page cache holds.
const BLOCKS: u64 = 256;
const MESSAGE: usize = 64;

/// Reads a block of a file and writes it elsewhere in it, `times` times.
pub fn readwrite(dir: &Path, times: u64) -> io::Result<(Duration, u64)> {
    let path = dir.join(format!("blocks-{}", std::process::id()));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    file.set_len(BLOCKS * BLOCK as u64)?;
    let mut block = [0u8; BLOCK];
    let begun = Instant::now();
    for time in 0..times {
        file.read_exact_at(&mut block, (time % BLOCKS) * BLOCK as u64)?;
        block[0] = block[0].wrapping_add(1);
        // An odd factor visits every block before any comes again.
        file.write_all_at(&block, (time * 97 % BLOCKS) * BLOCK as u64)?;
    }
    let elapsed = begun.elapsed();
    fs::remove_file(&path)?;
    Ok((elapsed, times))
}

/// Sends `times` messages through a pipe, one write and one read each, to another thread.
pub fn pipe(times: u64) -> io::Result<(Duration, u64)> {
    let (mut from, mut to) = io::pipe()?;
    let begun = Instant::now();
    let reader = std::thread::spawn(move || -> io::Result<u64> {
        let mut message = [0u8; MESSAGE];
        let mut read = 0;
        while read < times {
            from.read_exact(&mut message)?;
            read += 1;
        }
        Ok(read)
    });
    for _ in 0..times {
        to.write_all(&[7; MESSAGE])?;
    }
    let read = reader.join().map_err(|_| io::Error::other("the reader panicked"))??;
    Ok((begun.elapsed(), read))
}

/// Packs the tree of `find+grep` into an archive.
pub fn tar(dir: &Path) -> io::Result<(Duration, u64)> {
    let archive = dir.join(format!("archive-{}.tar", std::process::id()));
    let begun = Instant::now();
    let mut command = Command::new("tar");
    command.arg("-cf").arg(&archive).arg("-C").arg(dir).arg(tree::FOLDER);
    let status = command.stdin(Stdio::null()).stderr(Stdio::inherit()).status()?;
    let elapsed = begun.elapsed();
    fs::remove_file(&archive)?;
    if status.success() { Ok((elapsed, tree::FILES as u64)) } else { Err(io::Error::other(status.to_string())) }
}
