//! Which container a cgroup belongs to, and whether it is followed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use datasets::Container;

use super::{Enricher, Judged};
use crate::error::Result;
use crate::identity::{Identity, Inspected, Resolved, UNRESOLVED};
use crate::tls::Sighting;

/// A container's cgroup whose runtime wrote nothing down that could be found; looked at again for a while.
pub(super) struct Unresolved {
    id: u64,
    path: String,
    ts: i64,
    tries: u32,
    next: Instant,
}

/// How often, and after what time, an unresolved container is looked for again.
const TRIES: u32 = 5;
const RETRY: Duration = Duration::from_secs(1);

impl Enricher {
    /// `boottime`: of the event that names the cgroup.
    pub(super) fn judged(&mut self, cgroup_id: u64, boottime: u64) -> Result<Judged> {
        if let Some(judged) = self.cgroups.get(&cgroup_id) {
            return Ok(judged.clone());
        }
        // Its announcement was lost, or it is gone: look for it, once.
        let ts = self.unix(boottime);
        let path = self.hierarchy.walk().into_iter().find(|(id, _)| *id == cgroup_id).map(|(_, path)| path);
        self.judge(cgroup_id, path.as_deref().unwrap_or_default(), ts, None)
    }

    /// Decides about a cgroup and tells the kernel. `creator`: the process that made it just now.
    pub(super) fn judge(&mut self, id: u64, path: &str, ts: i64, creator: Option<u32>) -> Result<Judged> {
        let (container, bundle) = self.container_of(path, ts, creator).unzip();
        let judged = Judged {
            follow: self.filter.follows(path, container.as_ref()),
            container: container.as_ref().map(|container| container.id.clone()),
        };
        if self.filter.by_cgroup() {
            self.verdicts.set(id, judged.follow, container.as_ref())?;
        }
        if judged.follow {
            let pids = || self.hierarchy.processes(path);
            if let Some(sightings) = &mut self.sightings {
                sightings.push(Sighting::Container { bundle: bundle.flatten(), pids: pids() });
            }
        }
        if let Some(container) = container {
            if is_unresolved(&container) && !self.unresolved.iter().any(|known| known.id == id) {
                let (path, next) = (path.to_owned(), Instant::now() + RETRY);
                self.unresolved.push(Unresolved { id, path, ts, tries: TRIES, next });
            }
            if judged.follow {
                self.take_in(container);
            }
        }
        self.cgroups.insert(id, judged.clone());
        Ok(judged)
    }

    /// A followed container's row, new or known better than before.
    fn take_in(&mut self, container: Container) {
        let known = self.containers.get(&container.id);
        if known.is_some_and(|known| !is_unresolved(known) || is_unresolved(&container)) {
            return;
        }
        if let (Some(inspector), Some("podman")) = (&self.inspector, container.runtime.as_deref()) {
            inspector.ask(&container.id);
        }
        if known.is_none() && self.filter.by_cgroup() {
            self.addresses.follow(container.id.clone(), self.hierarchy.dir(&container.cgroup), container.first_seen);
        }
        self.containers.insert(container.id.clone(), container);
    }

    /// The container of a cgroup, and its bundle where it was resolved just now.
    fn container_of(&mut self, path: &str, ts: i64, creator: Option<u32>) -> Option<(Container, Option<PathBuf>)> {
        let known = self.resolver.known(path).and_then(|id| self.containers.get(id));
        if let Some(container) = known {
            return Some((container.clone(), None));
        }
        let Resolved { id, cgroup, identity } = self.resolver.resolve(path, creator)?;
        let known = self.containers.get(&*id);
        if let Some(known) = known.filter(|known| !is_unresolved(known)) {
            return Some((known.clone(), identity.bundle));
        }
        let first_seen = known.map_or(ts, |known| known.first_seen);
        let Identity { runtime, name, image, image_id, image_digest, labels, pod, namespace, pod_uid, bundle, source } =
            identity;
        let container = Container {
            id: self.strings.get(&id),
            runtime,
            name,
            image,
            image_id,
            addresses: Vec::new(),
            aliases: Vec::new(),
            labels,
            cgroup,
            first_seen,
            image_digest,
            pod,
            namespace,
            pod_uid,
            identity: Some(source.to_owned()),
        };
        Some((container, bundle))
    }

    /// Takes in what became known of containers since the last call.
    pub fn take_answers(&mut self) -> Result<()> {
        if let Some(inspector) = &self.inspector {
            let answers: Vec<_> = inspector.answers().collect();
            self.apply(answers);
        }
        let now = Instant::now();
        let due: Vec<Unresolved> = self.unresolved.extract_if(.., |one| one.next <= now).collect();
        for Unresolved { id, path, ts, tries, .. } in due {
            // Where the filter asked for a name, it may match now.
            self.judge(id, &path, ts, None)?;
            match self.unresolved.iter().position(|one| one.id == id) {
                Some(at) if tries > 1 => self.unresolved[at].tries = tries - 1,
                Some(at) => drop(self.unresolved.swap_remove(at)),
                None => {}
            }
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, answers: Vec<(String, Inspected)>) {
        for (id, Inspected { addresses, aliases, labels }) in answers {
            if let Some(container) = self.containers.get_mut(id.as_str()) {
                (container.addresses, container.aliases) = (addresses, aliases);
                container.labels = container.labels.take().or(labels.filter(|labels| labels != "{}"));
            }
        }
    }
}

fn is_unresolved(container: &Container) -> bool {
    container.identity.as_deref() == Some(UNRESOLVED)
}
