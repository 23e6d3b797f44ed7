//! Finds the TLS code that followed processes run, and puts the uprobes there.
//!
//! Once for each file, however many processes or containers share it. A file is looked at as early as something is known of
//! it: when a container's bundle or a command's name says what will run, when a process starts a program, and when it
//! opens a library.

pub mod elf;
pub mod find;
mod golang;

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use record_bpf::abi;

use crate::bpf::{Probe, Programs};
use elf::Function;
use find::{Bundle, Identity, Root};

/// A moment at which TLS code may have come into sight.
#[derive(Debug, PartialEq, Eq)]
pub enum Sighting {
    /// A followed process runs a program: by exec, or it ran before it was followed.
    Program { pid: u32, dev: u32, inode: u64 },
    /// A followed process opened a TLS library; the path is in its root.
    Library { pid: u32, path: PathBuf },
    /// A container that is followed was found; its bundle, where that is known.
    Container { bundle: Option<PathBuf>, pids: Vec<u32> },
    /// File system trees of images that containers may be made of, when the recording begins.
    Layers(Vec<PathBuf>),
}

/// Plaintext kept of each call, bytes.
pub const DEFAULT_BYTES: u32 = 4096;
pub const MAX_BYTES: u32 = abi::TLS_DATA_MAX as u32;

/// Distinct programs remembered, so that each is opened once.
const PROGRAMS_MAX: usize = 1 << 16;

#[derive(Default)]
pub struct Watcher {
    files: HashSet<Identity>,
    programs: HashSet<(u32, u64)>,
    /// Files in which probes were set, and how many could not be.
    pub watched: u64,
    pub failed: u64,
}

impl Watcher {
    /// Looks at what came into sight, and attaches `programs` where plaintext passes.
    pub fn see(&mut self, sighting: &Sighting, programs: &mut Programs) {
        match sighting {
            Sighting::Program { pid, dev, inode } => {
                if self.programs.len() >= PROGRAMS_MAX {
                    self.programs.clear();
                }
                if self.programs.insert((*dev, *inode)) {
                    find::executable(*pid).into_iter().for_each(|file| self.file(file, programs));
                }
            }
            Sighting::Library { pid, path } => {
                let file = Root::of(*pid).and_then(|root| root.file(path));
                file.into_iter().for_each(|file| self.file(file, programs));
            }
            Sighting::Container { bundle, pids } => {
                if let Some(bundle) = bundle.as_deref().and_then(Bundle::read)
                    && let Some(root) = Root::open(&bundle.root)
                {
                    self.root(&root, bundle.program(&root), programs);
                }
                pids.iter().for_each(|pid| self.process(*pid, programs));
            }
            Sighting::Layers(layers) => {
                let roots = layers.iter().filter_map(|layer| Root::open(layer));
                for root in roots {
                    self.paths(&root, root.libraries().into_iter().chain(root.large_programs()), programs);
                }
            }
        }
    }

    /// A command that is about to be executed by `pid`.
    pub fn command(&mut self, pid: u32, argv0: &str, programs: &mut Programs) {
        let Some(root) = Root::of(pid) else { return };
        let path = std::env::var("PATH").ok();
        let cwd = std::env::current_dir().unwrap_or_default();
        let program = root.program(argv0, path.as_deref(), &cwd);
        self.root(&root, program, programs);
    }

    fn root(&mut self, root: &Root, program: Option<PathBuf>, programs: &mut Programs) {
        self.paths(root, root.libraries().into_iter().chain(program), programs);
    }

    fn paths(&mut self, root: &Root, paths: impl Iterator<Item = PathBuf>, programs: &mut Programs) {
        paths.filter_map(|path| root.file(&path)).for_each(|file| self.file(file, programs));
    }

    /// A process that runs already.
    fn process(&mut self, pid: u32, programs: &mut Programs) {
        find::executable(pid).into_iter().for_each(|file| self.file(file, programs));
        let Some(root) = Root::of(pid) else { return };
        self.paths(&root, find::mapped(pid).into_iter(), programs);
    }

    fn file(&mut self, file: File, programs: &mut Programs) {
        let Some(identity) = find::identity(&file) else { return };
        if !self.files.insert(identity) {
            return;
        }
        // The kernel resolves the name once more: through the descriptor it cannot be another file.
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let Ok(copy) = file.try_clone() else { return };
        let places = elf::places(copy);
        if places.is_empty() {
            return;
        }
        let probes = places.iter().flat_map(|place| {
            let entry = match place.function {
                Function::SslRead => Probe::SslRead,
                Function::SslReadEx => Probe::SslReadEx,
                Function::SslWrite => Probe::SslWrite,
                Function::SslWriteEx => Probe::SslWriteEx,
                Function::GoRead => Probe::GoRead,
                Function::GoWrite => Probe::GoWrite,
            };
            let returns = place.returns.iter().map(|at| (Probe::GoReturn, *at));
            let own_return = (!place.function.is_go()).then_some((Probe::SslReturn, place.entry));
            // The return first: an entry that is seen has its return seen.
            returns.chain(own_return).chain([(entry, place.entry)])
        });
        let mut complete = true;
        for (probe, offset) in probes {
            complete &= attach(programs, probe, &path, offset);
        }
        if complete { self.watched += 1 } else { self.failed += 1 }
    }
}

fn attach(programs: &mut Programs, probe: Probe, path: &Path, offset: u64) -> bool {
    usize::try_from(offset).is_ok_and(|offset| programs.attach_probe(probe, path, offset).is_ok())
}
