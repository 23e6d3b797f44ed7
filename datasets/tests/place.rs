//! `verify` names the place: the bytes that were altered, where a file was cut off, and what was put in whose place.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::*;
use datasets::*;

fn recorded(dir: &Path) -> Manifest {
    let events = events(9, 20_000, 2);
    let mut writer = RecordingWriter::create_with(dir, manifest(), rotation(6000)).unwrap();
    events.iter().for_each(|event| writer.push(event).unwrap());
    writer.write_processes(&processes()).unwrap();
    writer.write_containers(&containers()).unwrap();
    writer.finish(lossless(&events), START + 60_000_000_000).unwrap()
}

/// Paths of all files, and their parts' size.
fn files(dir: &Path, manifest: &Manifest) -> Vec<(PathBuf, u64)> {
    let segments = manifest.segments.iter().map(|segment| (&segment.file, &segment.blocks));
    let all = segments.chain(manifest.tables.iter().map(|table| (&table.file, &table.blocks)));
    all.map(|(file, blocks)| (dir.join(file), blocks.as_ref().unwrap().size)).collect()
}

/// What was found of a file, its rows aside.
fn found(dir: &Path, file: &Path) -> Vec<Finding> {
    let place = file.strip_prefix(dir).unwrap().to_str().unwrap();
    let kinds = [FindingKind::Altered, FindingKind::Truncated, FindingKind::Reordered];
    let findings = verify(dir, |_| {}).unwrap().findings;
    findings.into_iter().filter(|finding| finding.place == place && kinds.contains(&finding.kind)).collect()
}

#[test]
fn the_part_that_is_named_holds_the_changed_byte() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = recorded(dir.path());
    let (files, mut random) = (files(dir.path(), &manifest), Random(23));
    let (mut with_columns, mut large) = (0, 0);
    for _ in 0..200 {
        let (file, size) = &files[random.below(files.len() as u64) as usize];
        let original = fs::read(file).unwrap();
        let at = random.below(original.len() as u64);
        let mut bytes = original.clone();
        bytes[at as usize] ^= 1 << random.below(8);
        fs::write(file, bytes).unwrap();
        let findings = found(dir.path(), file);
        let [Finding { kind: FindingKind::Altered, detail, bytes: named, .. }] = &findings[..] else {
            panic!("{}: {findings:?}", file.display())
        };
        let [(first, last)] = named[..] else { panic!("{named:?}") };
        assert!(first <= at && at <= last && last - first < *size, "{at} is not in {first} to {last}: {detail}");
        assert!(detail.starts_with(&format!("bytes {first} to {last} are not as they were written")), "{detail}");
        with_columns += usize::from(detail.contains("(row group 0, column"));
        large += usize::from(original.len() as u64 > 2 * size);
        fs::write(file, original).unwrap();
    }
    assert!(with_columns > 20 && large > 50, "{with_columns} {large}");
    assert_eq!(verify(dir.path(), |_| {}).unwrap().verdict, Verdict::Intact);
}

#[test]
fn several_places_are_all_named_and_neighbours_are_one() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = recorded(dir.path());
    let (file, size) =
        files(dir.path(), &manifest).into_iter().max_by_key(|(file, _)| file.metadata().unwrap().len()).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    assert!(bytes.len() as u64 > 8 * size, "large enough: {}", bytes.len());
    let part = size as usize;
    [1, 3 * part + 5, 4 * part, 6 * part - 1].iter().for_each(|at| bytes[*at] ^= 4);
    fs::write(&file, &bytes).unwrap();
    let findings = found(dir.path(), &file);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].bytes, [(0, size - 1), (3 * size, 6 * size - 1)], "{}", findings[0].detail);
}

#[test]
fn a_file_cut_off_says_where_and_whether_the_rest_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = recorded(dir.path());
    let (file, size) = files(dir.path(), &manifest).remove(0);
    let original = fs::read(&file).unwrap();
    let cut = (2 * size + 17) as usize;
    fs::write(&file, &original[..cut]).unwrap();
    let findings = found(dir.path(), &file);
    assert_eq!(findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FindingKind::Truncated]);
    let told =
        format!("it has {cut} of {} bytes; what is left is as it was written, as far as can be told", original.len());
    assert_eq!(findings[0].detail, told);

    let mut bytes = original[..cut].to_vec();
    bytes[size as usize] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let findings = found(dir.path(), &file);
    let kinds: Vec<_> = findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::Truncated, FindingKind::Altered]);
    assert_eq!(findings[1].bytes, [(size, 2 * size - 1)]);

    fs::write(&file, [original.clone(), vec![0; 9]].concat()).unwrap();
    let findings = found(dir.path(), &file);
    assert_eq!(findings.len(), 1);
    assert!(findings[0].bytes.is_empty() && findings[0].detail.ends_with(", and 9 bytes too many"), "{findings:?}");
}

#[test]
fn files_that_were_exchanged_name_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = recorded(dir.path());
    let [a, b] = [0, 1].map(|at| dir.path().join(&manifest.segments[at].file));
    let aside = dir.path().join("aside");
    fs::rename(&a, &aside).unwrap();
    fs::rename(&b, &a).unwrap();
    fs::rename(&aside, &b).unwrap();
    for (file, other) in [(&a, 1), (&b, 0)] {
        let findings = found(dir.path(), file);
        assert_eq!(findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FindingKind::Reordered]);
        assert_eq!(findings[0].detail, format!("it holds what was written as {}", manifest.segments[other].file));
    }
}

#[test]
fn segments_in_another_order_are_told_from_removed_ones() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = recorded(dir.path());
    let path = dir.path().join("manifest.json");
    let stored = |change: &dyn Fn(&mut Vec<Segment>)| {
        let mut changed = manifest.clone();
        change(&mut changed.segments);
        fs::write(&path, serde_json::to_string(&changed).unwrap()).unwrap();
        let findings = verify(dir.path(), |_| {}).unwrap().findings;
        let order = [FindingKind::Chain, FindingKind::Reordered];
        let found = findings.into_iter().filter(|finding| order.contains(&finding.kind));
        found.map(|finding| (finding.kind, finding.place, finding.detail)).collect::<Vec<_>>()
    };
    let name = |at: usize| manifest.segments[at].file.clone();
    assert!(manifest.segments.len() > 4);
    assert_eq!(stored(&|_| {}), []);
    let found = stored(&|segments| segments.swap(1, 2));
    let told = |at: usize, after: usize, listed: usize| {
        let detail = format!("it was written after {} and is listed after {}", name(after), name(listed));
        (FindingKind::Reordered, name(at), detail)
    };
    assert_eq!(found, [told(2, 1, 0), told(1, 0, 2), told(3, 2, 1)]);
    let found = stored(&|segments| segments.swap(0, 1));
    assert_eq!(
        found[0],
        (FindingKind::Reordered, name(1), format!("it was written after {} and is listed after nothing", name(0)))
    );
    assert_eq!(
        found[1],
        (FindingKind::Reordered, name(0), format!("it was written before all others and is listed after {}", name(1)))
    );
    let found = stored(&|segments| drop(segments.remove(2)));
    let detail = "it does not follow the segment listed before it: one was replaced or removed";
    assert_eq!(found, [(FindingKind::Chain, name(3), detail.to_owned())]);
}

#[test]
fn a_recording_from_before_there_were_parts_is_judged_without_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = recorded(dir.path());
    manifest.segments.iter_mut().for_each(|segment| segment.blocks = None);
    manifest.tables.iter_mut().for_each(|table| table.blocks = None);
    let blank = serde_json::to_string_pretty(&Manifest { digest: String::new(), ..manifest.clone() }).unwrap() + "\n";
    let file = dir.path().join("blank");
    fs::write(&file, &blank).unwrap();
    let sum = std::process::Command::new("sha256sum").arg(&file).output().unwrap().stdout;
    fs::remove_file(file).unwrap();
    manifest.digest = String::from_utf8(sum).unwrap()[..64].to_owned();
    let text = serde_json::to_string_pretty(&manifest).unwrap() + "\n";
    assert!(!text.contains("blocks"));
    fs::write(dir.path().join("manifest.json"), text).unwrap();
    assert_eq!(verify(dir.path(), |_| {}).unwrap().verdict, Verdict::Intact);
    let file = dir.path().join(&manifest.segments[0].file);
    let mut bytes = fs::read(&file).unwrap();
    bytes[100] ^= 1;
    fs::write(&file, bytes).unwrap();
    let findings = found(dir.path(), &file);
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].detail.as_str(), findings[0].bytes.len()), ("its SHA-256 differs from the manifest's", 0));
}
