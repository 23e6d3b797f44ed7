//! Another filter while recording.

use std::collections::HashSet;

use super::Enricher;
use crate::error::Result;
use crate::filter::Filter;

impl Enricher {
    /// Judges every cgroup anew. A verdict is put in the place of the one before, never taken away, so that what matches both
    /// filters is followed all the time; what matches only now comes first. `now`: Unix time, ns.
    pub fn refilter(&mut self, filter: Filter, now: i64) -> Result<()> {
        self.filter = filter;
        let follows = |id: &u64| self.cgroups.get(id).is_some_and(|judged| judged.follow);
        let (before, fresh): (Vec<_>, Vec<_>) = self.hierarchy.walk().into_iter().partition(|(id, _)| follows(id));
        for (id, path) in fresh.into_iter().chain(before) {
            self.judge(id, &path, now, None)?;
        }
        // Their rows stay in the table; they are measured no more.
        let followed =
            self.cgroups.values().filter(|judged| judged.follow).filter_map(|judged| judged.container.as_ref());
        let followed: HashSet<_> = followed.collect();
        self.left = self.containers.keys().filter(|id| !followed.contains(id)).cloned().collect();
        Ok(())
    }
}
