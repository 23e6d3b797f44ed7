//! System calls that an image makes, by program: the small fourth tree, which nothing is compared with and policies are made of.
//!
//! Two sources, each only as good as the recording. The class `syscall` (sets or single calls) tells every call: what is not in
//! the set was not made. The class `security`, which most recordings have, tells of those calls that change privileges,
//! namespaces, mounts and memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datasets::{Event, Recording, SecurityEvent};
use record_bpf::{Class, Kind};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::pipeline::World;

/// program → call → in how many rows it was seen.
pub type Made = BTreeMap<Arc<str>, BTreeMap<Arc<str>, u64>>;

/// What is known of an image's system calls. A source is null where some of what was learned had not recorded its class whole: then
/// a call that is missing may have been made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// Every system call, by name.
    pub syscall: Option<Made>,
    /// What the class security sees, by [`guarded`] name.
    pub security: Option<Made>,
}

impl Calls {
    /// The union; a source that one of the two does not know whole is not known whole.
    pub fn merge(&mut self, other: Calls) {
        let Calls { syscall, security } = other;
        for (own, theirs) in [(&mut self.syscall, syscall), (&mut self.security, security)] {
            *own = own.take().zip(theirs).map(|(mut own, theirs)| {
                for (program, calls) in theirs {
                    let made = own.entry(program).or_default();
                    calls.into_iter().for_each(|(call, count)| *made.entry(call).or_default() += count);
                }
                own
            });
        }
    }

    /// Names of all programs' calls of one source, with the programs.
    pub fn by_call(made: &Made) -> BTreeMap<&Arc<str>, BTreeSet<&Arc<str>>> {
        let mut calls: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (program, names) in made {
            names.keys().for_each(|name| {
                calls.entry(name).or_default().insert(program);
            });
        }
        calls
    }
}

/// The name under which a row of the class security is learned: the call's own, or the event's where several calls do the same or
/// the arguments are what counts (`mmap` and `mprotect` are those to memory that is writable and executable at once).
pub fn guarded(event: &SecurityEvent) -> &'static str {
    let request = event.request.as_deref().unwrap_or_default();
    match event.common.kind {
        Kind::Ptrace => {
            let others = ["process_vm_readv", "process_vm_writev", "pidfd_getfd"];
            others.into_iter().find(|name| *name == request).unwrap_or("ptrace")
        }
        kind => kind.op(),
    }
}

/// Whether all rows of a class were written, as far as the recording knows.
fn whole(recording: &Recording, class: Class) -> bool {
    let manifest = recording.manifest();
    let recorded = manifest.classes.iter().any(|name| name == class.name());
    let lost = |account: &datasets::ClassAccount| account.emitted > account.stored + account.filtered;
    let accounts = manifest.accounting.iter().flat_map(|accounting| &accounting.cpus);
    recorded && !accounts.filter_map(|cpu| cpu.classes.get(class.name())).any(lost)
}

/// What a recording teaches, by image. `withheld`: incarnations that teach nothing; neither do those that descend from them.
///
/// # Errors
/// Unreadable events.
pub fn learn(recording: &Recording, world: &World, withheld: &BTreeSet<u64>) -> Result<BTreeMap<Arc<str>, Calls>> {
    let source = |class| whole(recording, class).then(Made::new);
    let empty = Calls { syscall: source(Class::Syscall), security: source(Class::Security) };
    let mut images: BTreeMap<Arc<str>, Calls> =
        world.containers.keys().map(|id| (world.image(Some(id)), empty.clone())).collect();
    let mut tainted: BTreeMap<u64, bool> = BTreeMap::new();
    for event in recording.events_of(&[Class::Syscall, Class::Security]) {
        let event = event?;
        let common = event.common();
        let Some(calls) = images.get_mut(&world.image(common.container.as_ref())) else { continue };
        let taught = common.exec_id.is_none_or(|id| {
            let of = |id| world.processes.lineage(id).any(|process| withheld.contains(&process.exec_id));
            !*tainted.entry(id).or_insert_with(|| of(id))
        });
        if !taught {
            continue;
        }
        let program = world.processes.exe(common.exec_id);
        let (made, names): (_, Vec<Arc<str>>) = match &event {
            Event::Syscall(call) => {
                (&mut calls.syscall, call.name.iter().chain(call.calls.iter().flatten()).cloned().collect())
            }
            Event::Security(event) => (&mut calls.security, vec![guarded(event).into()]),
            _ => continue,
        };
        if let Some(made) = made {
            let made = made.entry(crate::args::path::mask_path(&program).into()).or_default();
            names.into_iter().for_each(|name| *made.entry(name).or_default() += 1);
        }
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(program: &str, names: &[&str]) -> Made {
        [(Arc::from(program), names.iter().map(|name| (Arc::from(*name), 1)).collect())].into()
    }

    #[test]
    fn a_source_that_one_part_lacks_is_not_whole() {
        let mut calls = Calls { syscall: Some(made("/a", &["read"])), security: Some(made("/a", &["ptrace"])) };
        calls.merge(Calls { syscall: None, security: Some(made("/a", &["ptrace", "mount"])) });
        assert_eq!(calls.syscall, None);
        let security = calls.security.unwrap();
        assert_eq!((security["/a"]["ptrace"], security["/a"]["mount"]), (2, 1));
        let by_call = Calls::by_call(&security);
        assert_eq!(by_call.len(), 2);
    }
}
