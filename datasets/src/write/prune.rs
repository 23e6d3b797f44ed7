//! Room for newer segments.

use record_bpf::Class;

use super::RecordingWriter;

impl RecordingWriter {
    /// Removes the oldest segments that are not to be kept; their files go when the manifest on disk says so.
    pub(super) fn prune(&mut self) {
        while self.storage.keep.is_to_go(&self.manifest.segments, self.bytes()) {
            let segment = self.manifest.segments.remove(0);
            let cpus = self.rows_by_cpu.pop_front().unwrap_or_default();
            let class = Class::from_name(&segment.class);
            for (cpu, n) in cpus.iter() {
                if let Some(counts) = class.and_then(|class| self.counts.get_mut(&(cpu, class))) {
                    counts.stored -= n;
                    counts.pruned += n;
                }
            }
            self.store.pruned.push(self.dir.join(&segment.file));
            self.manifest.pruned.get_or_insert_default().add(&segment);
        }
        if let Some(pruned) = &mut self.manifest.pruned {
            let rows = self.counts.iter().filter(|(_, counts)| counts.pruned > 0);
            for ((cpu, class), counts) in rows {
                pruned.cpus.entry(*cpu).or_default().insert(class.name().to_owned(), counts.pruned);
            }
        }
    }
}
