//! Several recordings as one: nothing clashes, nothing is lost.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::*;
use datasets::*;

fn merged(sources: &[Recording]) -> (tempfile::TempDir, Recording, Merged) {
    let dir = tempfile::tempdir().unwrap();
    let made = merge(sources, dir.path(), |_| {}).unwrap();
    let report = verify(dir.path(), |_| {}).unwrap();
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    let whole = Recording::open(dir.path()).unwrap();
    assert_eq!(whole.manifest().rows(), sources.iter().map(|source| source.manifest().rows()).sum::<u64>());
    (dir, whole, made)
}

#[test]
fn shipped_recordings_merge_and_every_row_is_told_from_the_others_by_its_cpu() {
    let sources = ["webapp", "xmrig"].map(|name| Recording::shipped(name).unwrap());
    let (_dir, whole, made) = merged(&sources);
    let derived = whole.manifest().derived.as_ref().unwrap();
    let mut rows = BTreeMap::new();
    for event in whole.events() {
        let event = event.unwrap();
        // These have no sampled stream; softirq streams belong to their CPUs.
        let cpu = event.common().cpu & 0x3fff;
        let of = |cpus: CpuRange| (cpus.first..cpus.first + cpus.count).contains(&cpu);
        let source = derived.sources.iter().position(|source| of(source.cpus.unwrap())).unwrap();
        *rows.entry(source).or_insert(0) += 1;
    }
    assert_eq!(rows.into_values().collect::<Vec<u64>>(), sources.each_ref().map(|source| source.manifest().rows()));

    let table = whole.processes().unwrap();
    let ids: BTreeSet<u64> = table.iter().map(|row| row.exec_id).collect();
    assert_eq!(ids.len(), table.len(), "incarnations are unique");
    assert_eq!(table.len(), sources.iter().map(|source| source.processes().unwrap().len()).sum::<usize>());
    let labels: usize = sources.iter().map(|source| source.labels().unwrap().len()).sum();
    assert_eq!(whole.labels().unwrap().len(), labels);
    let names = |recording: &Recording| -> BTreeSet<_> {
        recording.labels().unwrap().into_iter().map(|label| (label.act, label.step, label.technique)).collect()
    };
    assert_eq!(names(&whole), names(&sources[1]));
    assert_eq!(whole.manifest().scenario.as_ref().unwrap().name, "webapp+xmrig");
    assert_eq!(made.manifest, *whole.manifest());
    // A labelled event is the same event, in the row that has its process.
    let label = &whole.labels().unwrap()[0];
    let labelled = whole.events_of(&[label.class]).map(Result::unwrap);
    let row = labelled.into_iter().find(|e| (e.common().cpu, e.common().seq) == (label.cpu, label.seq)).unwrap();
    assert!(row.common().exec_id.is_none_or(|id| ids.contains(&id)));
}

#[test]
fn softirq_and_sampled_streams_and_losses_of_all_sources_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut sources = Vec::new();
    for (at, streams) in [[0, 0x8001, 0xffff], [1, 0xc000, 0xffff]].into_iter().enumerate() {
        // Incarnations as the kernel's side makes them: the CPU in the high bits.
        let mut all = events(at as u64 + 1, 900, 3);
        for event in &mut all {
            if let Event::Process(row) = event {
                (row.child_exec_id, row.parent_exec_id) = (row.child_exec_id.map(|_| 7), None);
            }
            let common = event.common_mut();
            common.cpu = streams[usize::from(common.cpu)];
            common.exec_id = common.exec_id.map(|id| ((id % 2) << 48) | 6);
        }
        let path = dir.path().join(at.to_string());
        let mut accounting = lossless(&all);
        accounting.cpus[0].next_seq += 5;
        accounting.cpus[0].classes.values_mut().next().unwrap().emitted += 5;
        accounting.cpus[0].classes.values_mut().next().unwrap().dropped.ring_full += 5;
        record(&path, &all, accounting, rotation(100));
        sources.push(Recording::open(path).unwrap());
    }
    let (_dir, whole, made) = merged(&sources);
    let cpus: BTreeSet<u16> = whole.events().map(|event| event.unwrap().common().cpu).collect();
    assert_eq!(cpus.into_iter().collect::<Vec<_>>(), [0, 3, 0x8001, 0xc002, 0xffff]);
    // Both have the same containers, and the same addresses of them: these are no clash.
    assert_eq!(whole.containers().unwrap(), containers());
    assert_eq!(made.shared_addresses, [] as [String; 0]);
    let lost: u64 = whole.losses().unwrap().iter().map(|loss| loss.count).sum();
    assert_eq!(lost, 10);
}

#[test]
fn what_cannot_be_merged_is_said() {
    let open = |name: &str| Recording::shipped(name).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (sources, part) in [
        (vec![open("webapp")], "two recordings"),
        (vec![open("webapp"), open("webapp")], "given twice"),
        (vec![open("webapp-1"), open("webapp-11")], "of one split"),
    ] {
        let error = merge(&sources, &dir.path().join("out"), |_| {}).unwrap_err();
        assert!(matches!(error, Error::Merge { .. }) && error.to_string().contains(part), "{error}");
    }
    assert!(!dir.path().join("out").exists());
}
