//! The manifest's way to the disk, and room for it on a full one.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use record_bpf::Class;

use super::RecordingWriter;
use crate::{Error, Result, manifest_file};

/// When the manifest was stored last, and what waits for the next time.
pub(super) struct Store {
    pub(super) at: Instant,
    pub(super) took: Duration,
    /// Segments in the manifest in memory only.
    pub(super) unlisted: Vec<(Class, u32)>,
    /// Removed from the manifest in memory only.
    pub(super) pruned: Vec<PathBuf>,
}

/// The manifest is replaced after each segment, but not more often than lets it take a hundredth of the time: a recording
/// of many thousand segments has a manifest of megabytes. Until then their rows stay in the journal.
const STORE_SHARE: u32 = 100;

impl RecordingWriter {
    pub(super) fn store_if_due(&mut self) -> Result<()> {
        if self.storage.background && self.store.at.elapsed() < self.store.took * STORE_SHARE {
            return Ok(());
        }
        self.store_manifest()
    }

    pub(super) fn store_manifest(&mut self) -> Result<()> {
        let began = Instant::now();
        let mut stored = manifest_file::store_signed(&self.dir, &mut self.manifest, self.signer.as_ref());
        if stored.as_ref().is_err_and(Error::is_full) {
            self.make_room();
            if manifest_file::store_signed(&self.dir, &mut self.manifest, self.signer.as_ref()).is_err() {
                self.give_back(1);
                let last = manifest_file::store_signed(&self.dir, &mut self.manifest, self.signer.as_ref());
                // It had to be made room for: the recording should end, with everything in it.
                if last.is_err() {
                    stored = last;
                }
            }
        }
        let on_disk = match &stored {
            Ok(()) => true,
            Err(_) => manifest_file::load(&self.dir).is_ok_and(|manifest| manifest.digest == self.manifest.digest),
        };
        if on_disk {
            for (class, index) in self.store.unlisted.drain(..) {
                self.journal.iter_mut().for_each(|journal| journal.done(class, index));
            }
            for file in self.store.pruned.drain(..) {
                let _ = fs::remove_file(file);
            }
            (self.store.at, self.store.took) = (Instant::now(), began.elapsed());
        }
        stored
    }

    /// Frees what the journal takes, whose rows are in memory. Returns whether there was anything.
    pub(super) fn make_room(&mut self) -> bool {
        match self.journal.take() {
            Some(mut journal) => {
                journal.give_up_rows();
                true
            }
            None => false,
        }
    }

    /// Frees the room kept for the tables (0) or the manifest (1).
    pub(super) fn give_back(&mut self, which: usize) {
        self.reserves.iter_mut().for_each(|reserves| reserves[which].give_back());
    }
}
