//! When segments are closed.

use record_bpf::Class;

use super::RecordingWriter;
use crate::Result;

impl RecordingWriter {
    pub(super) fn pushed(&mut self, class: Class, full: bool, bytes: usize) -> Result<()> {
        self.open_bytes += bytes;
        if full {
            return self.close_segment(class);
        }
        if self.storage.memory > 0 && self.open_bytes > self.storage.memory / 2 {
            let largest = Class::ALL.into_iter().max_by_key(|class| self.open.bytes(*class));
            return largest.map_or(Ok(()), |class| self.close_segment(class));
        }
        Ok(())
    }

    /// Closes the segments whose oldest row is older than [`Rotation::time`], and takes note of those that have been
    /// written. To be called a few times a second: a class without new rows would never notice by itself.
    pub fn tick(&mut self) -> Result<()> {
        let mut result = self.collect(false);
        let time = self.storage.rotation.time;
        let due = |class: &Class| self.open.since(*class).is_some_and(|since| since.elapsed() >= time);
        let due: Vec<Class> = Class::ALL.into_iter().filter(due).collect();
        result = result.and(self.close_all(due));
        if !self.store.unlisted.is_empty() {
            result = result.and(self.store_if_due());
        }
        result
    }

    /// Closes every open segment now, and waits until all are written.
    pub fn flush(&mut self) -> Result<()> {
        let closed = self.close_all(Class::ALL);
        let collected = closed.and(self.collect(true));
        if self.store.unlisted.is_empty() { collected } else { collected.and(self.store_manifest()) }
    }

    /// Tries all of them, and returns the first error.
    pub(super) fn close_all(&mut self, classes: impl IntoIterator<Item = Class>) -> Result<()> {
        classes.into_iter().map(|class| self.close_segment(class)).fold(Ok(()), Result::and)
    }
}
