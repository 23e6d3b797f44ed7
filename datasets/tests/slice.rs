//! A part of a recording is a recording: it verifies, and says what it lacks.

mod common;

use std::collections::BTreeSet;

use common::*;
use datasets::select::Selection;
use datasets::*;
use record_bpf::Class;

/// Slices and checks that the result is intact and has exactly the rows that were chosen.
fn sliced(source: &Recording, selection: &Selection, keeps: impl Fn(&Event) -> bool) -> (tempfile::TempDir, Recording) {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    slice(source, selection, dir.path(), |read| last = read).unwrap();
    let report = verify(dir.path(), |_| {}).unwrap();
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    let part = Recording::open(dir.path()).unwrap();
    let expected: Vec<Event> = source.events().map(Result::unwrap).filter(|event| keeps(event)).collect();
    assert!(!expected.is_empty() && expected.len() < source.manifest().rows() as usize, "{}", expected.len());
    assert!(part.events().map(Result::unwrap).eq(expected));
    let derived = part.manifest().derived.as_ref().unwrap();
    assert_eq!((derived.by.as_str(), derived.sources.len()), ("slice", 1));
    assert_eq!(derived.sources[0].chain, source.manifest().chain_head());
    assert_eq!(derived.cut.values().sum::<u64>() + part.manifest().rows(), source.manifest().rows());
    (dir, part)
}

#[test]
fn a_slice_by_time_and_class_verifies_and_keeps_the_labels_of_its_rows() {
    let source = Recording::shipped("xmrig").unwrap();
    let step = &source.manifest().scenario.as_ref().unwrap().steps[0];
    let (from, to) = (step.start_ns, step.end_ns);
    let classes = vec![Class::Process, Class::Network];
    let selection = Selection { classes: classes.clone(), from: Some(from), to: Some(to), ..Selection::default() };
    let inside = |ts: i64| (from..to).contains(&ts);
    let (_dir, part) = sliced(&source, &selection, |e| classes.contains(&e.class()) && inside(e.common().ts));
    let kept: BTreeSet<_> =
        part.events().map(|e| e.unwrap()).map(|e| (e.class(), e.common().cpu, e.common().seq)).collect();
    let labels = source.labels().unwrap();
    let expected: Vec<_> = labels.into_iter().filter(|l| kept.contains(&(l.class, l.cpu, l.seq))).collect();
    assert!(!expected.is_empty());
    assert_eq!(part.labels().unwrap(), expected);
    assert_eq!(part.manifest().classes, ["process", "network"]);
    assert_eq!((part.manifest().started.ns, part.manifest().ended.as_ref().unwrap().ns), (from, to));
    // What was cut was cut within the source's time, and its ancestors are there to tell who started what.
    // The account and the table of losses, which the source is too old to have, agree.
    let filtered = |recording: &Recording| -> u64 {
        let accounting = recording.manifest().accounting.clone().unwrap();
        accounting.cpus.iter().flat_map(|cpu| cpu.classes.values()).map(|counts| counts.filtered).sum()
    };
    let cut: u64 = part.manifest().derived.as_ref().unwrap().cut.values().sum();
    assert_eq!(filtered(&part) - filtered(&source), cut);
    let losses = part.losses().unwrap().into_iter().filter(|loss| loss.cause.name() == "filtered");
    assert_eq!(losses.map(|loss| loss.count).sum::<u64>(), filtered(&part));
    let table: BTreeSet<u64> = part.processes().unwrap().iter().map(|row| row.exec_id).collect();
    let whole: BTreeSet<u64> = source.processes().unwrap().iter().map(|row| row.exec_id).collect();
    for row in part.processes().unwrap() {
        assert!(row.parent_exec_id.is_none_or(|id| table.contains(&id) || !whole.contains(&id)));
    }
    assert!(table.len() < whole.len());
}

#[test]
fn a_slice_by_container_and_one_of_a_slice_by_tree() {
    let source = Recording::shipped("port-scan").unwrap();
    let containers = source.containers().unwrap();
    let busy = source.events().map(Result::unwrap).find_map(|event| event.common().container.clone()).unwrap();
    let name = containers.iter().find(|row| row.id == busy).unwrap().name.clone().unwrap();
    let selection = Selection { containers: vec![name], ..Selection::default() };
    let (_dir, part) = sliced(&source, &selection, |event| event.common().container.as_ref() == Some(&busy));
    assert_eq!(part.containers().unwrap(), containers, "who the peers are is kept");

    let started = part.events_of(&[Class::Process]).map(Result::unwrap);
    let forked: Vec<u64> = started
        .filter_map(|event| match event {
            Event::Process(row) if row.child_exec_id.is_some() => row.common.exec_id,
            _ => None,
        })
        .collect();
    let root = forked[0];
    let mut tree = BTreeSet::from([root]);
    loop {
        let before = tree.len();
        for row in part.processes().unwrap() {
            let above = [row.parent_exec_id, row.prev_exec_id].into_iter().flatten();
            if above.into_iter().any(|id| tree.contains(&id)) {
                tree.insert(row.exec_id);
            }
        }
        if tree.len() == before {
            break;
        }
    }
    let selection = Selection { trees: vec![root], ..Selection::default() };
    let of = |event: &Event| event.common().exec_id.is_some_and(|id| tree.contains(&id));
    let (_dir, narrow) = sliced(&part, &selection, of);
    let history = narrow.manifest().derived.as_ref().unwrap().sources[0].derived.as_ref().unwrap();
    assert_eq!(history.sources[0].chain, source.manifest().chain_head());
}

#[test]
fn losses_of_the_source_stay_what_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let all = events(7, 3000, 2);
    // Every tenth event of cpu 1 was dropped.
    let is_lost = |event: &Event| event.common().cpu == 1 && event.common().seq % 10 == 3;
    let mut accounting = lossless(&all);
    for event in all.iter().filter(|event| is_lost(event)) {
        let cpu = accounting.cpus.iter_mut().find(|cpu| cpu.cpu == 1).unwrap();
        cpu.classes.get_mut(event.class().name()).unwrap().dropped.ring_full += 1;
    }
    let there: Vec<Event> = all.iter().filter(|event| !is_lost(event)).cloned().collect();
    record(&dir.path().join("whole"), &there, accounting, rotation(400));
    let source = Recording::open(dir.path().join("whole")).unwrap();
    let middle = all[all.len() / 2].common().ts;
    let selection = Selection { from: Some(middle), ..Selection::default() };
    let (_dir, part) = sliced(&source, &selection, |event| event.common().ts >= middle);
    let dropped = |recording: &Recording| -> u64 {
        let accounting = recording.manifest().accounting.clone().unwrap();
        accounting.cpus.iter().flat_map(|cpu| cpu.classes.values()).map(|counts| counts.dropped.total()).sum()
    };
    assert_eq!(dropped(&part), dropped(&source));
}

#[test]
fn what_cannot_be_sliced_is_said() {
    let source = Recording::shipped("xmrig").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let refused =
        |selection: Selection| slice(&source, &selection, &dir.path().join("out"), |_| {}).unwrap_err().to_string();
    let names = refused(Selection { containers: vec!["nobody".to_owned()], ..Selection::default() });
    assert!(names.contains("no container \"nobody\" here; there are: "), "{names}");
    assert!(refused(Selection { trees: vec![u64::MAX], ..Selection::default() }).contains("no process"));
    assert!(refused(Selection { from: Some(2), to: Some(1), ..Selection::default() }).contains("nothing is between"));
    assert!(!dir.path().join("out").exists());

    let unfinished = dir.path().join("unfinished");
    drop(RecordingWriter::create(&unfinished, manifest()).unwrap());
    let unfinished = Recording::open(&unfinished).unwrap();
    let selection = Selection { classes: vec![Class::File], ..Selection::default() };
    let error = slice(&unfinished, &selection, &dir.path().join("out"), |_| {}).unwrap_err();
    assert!(matches!(error, Error::Unfinished { .. }), "{error}");
}
