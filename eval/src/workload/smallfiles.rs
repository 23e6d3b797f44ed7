//! A mail server's life with small files, after PostMark (Katcher 1997, NetApp TR3022): a pool is made, then each transaction reads
//! or appends to a file and makes or removes one, then all are removed. The same choices every time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Sizes as PostMark's own defaults, bytes.
const SMALLEST: usize = 500;
const LARGEST: usize = 9_770;
/// A file for so many transactions.
const PER_FILE: u64 = 10;
const FOLDERS: u64 = 10;

/// `transactions` on a pool of a tenth as many files.
pub fn run(dir: &Path, transactions: u64) -> io::Result<(Duration, u64)> {
    let root = dir.join(format!("mail-{}", std::process::id()));
    let mut pool = Pool { root, random: fastrand::Rng::with_seed(7), files: Vec::new(), next: 0 };
    for folder in 0..FOLDERS {
        fs::create_dir_all(pool.root.join(folder.to_string()))?;
    }
    let begun = Instant::now();
    for _ in 0..(transactions / PER_FILE).max(2) {
        pool.make()?;
    }
    for _ in 0..transactions {
        pool.transaction()?;
    }
    while !pool.files.is_empty() {
        pool.remove()?;
    }
    let elapsed = begun.elapsed();
    fs::remove_dir_all(&pool.root)?;
    Ok((elapsed, transactions))
}

struct Pool {
    root: PathBuf,
    random: fastrand::Rng,
    files: Vec<PathBuf>,
    next: u64,
}

impl Pool {
    fn bytes(&mut self) -> Vec<u8> {
        vec![b'm'; self.random.usize(SMALLEST..=LARGEST)]
    }

    fn make(&mut self) -> io::Result<()> {
        let path = self.root.join(format!("{}/{}", self.next % FOLDERS, self.next));
        self.next += 1;
        let bytes = self.bytes();
        File::create_new(&path)?.write_all(&bytes)?;
        self.files.push(path);
        Ok(())
    }

    fn remove(&mut self) -> io::Result<()> {
        let at = self.random.usize(..self.files.len());
        fs::remove_file(self.files.swap_remove(at))
    }

    fn transaction(&mut self) -> io::Result<()> {
        let at = self.random.usize(..self.files.len());
        if self.random.bool() {
            File::open(&self.files[at])?.read_to_end(&mut Vec::with_capacity(LARGEST))?;
        } else {
            let bytes = self.bytes();
            OpenOptions::new().append(true).open(&self.files[at])?.write_all(&bytes)?;
        }
        // The last file stays, so that there is always one.
        if self.files.len() < 2 || self.random.bool() { self.make() } else { self.remove() }
    }
}
