//! The set that ships: as its sums say, small, of every scenario, without loss, and of nothing but the scenarios' own containers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use datasets::{Manifest, Recording, Split, Splits, Verdict, verify};
use sha2::{Digest, Sha256};

/// Of all files together, bytes.
const MOST: u64 = 60_000_000;
/// From before there were sets, of schema 1.0 and under the scenarios' plain names: examples for a first look.
const FIRST: [&str; 2] = ["webapp", "xmrig"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings")
}

/// Names of all that ship; what begins with a dot is being recorded.
fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.path().is_dir());
    let names = folders.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// Name and recording, of all that ship.
fn set() -> Vec<(String, Recording)> {
    let open = |name: String| {
        let recording = Recording::open(folder().join(&name)).unwrap();
        (name, recording)
    };
    names().into_iter().map(open).collect()
}

fn files(dir: &Path, out: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out);
        } else {
            out.insert(path);
        }
    }
}

fn scenario(manifest: &Manifest) -> &datasets::Scenario {
    manifest.scenario.as_ref().unwrap()
}

#[test]
fn every_file_is_small_and_as_the_sums_say() {
    let text = fs::read_to_string(folder().join("SHA256SUMS")).unwrap();
    let mut listed = BTreeSet::new();
    let mut bytes = 0;
    for line in text.lines() {
        let (sum, file) = line.split_once("  ").unwrap();
        let path = folder().join(file);
        let content = fs::read(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let found: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, sum, "{file}: make the sums anew with ./dev datasets, if it was meant to change");
        bytes += content.len() as u64;
        listed.insert(path);
    }
    assert!(bytes <= MOST, "{bytes} bytes");
    let mut there = BTreeSet::new();
    for name in names() {
        files(&folder().join(name), &mut there);
    }
    assert_eq!(there.symmetric_difference(&listed).collect::<Vec<_>>(), [] as [&PathBuf; 0]);
}

#[test]
fn every_scenario_is_there_and_no_moment_is_of_two_splits() {
    let set = set();
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let splits = Splits::shipped().unwrap();
    let is_there = |name: &str| {
        // The first two do not count: they show less.
        let others = set.iter().filter(|(folder, _)| !FIRST.contains(&folder.as_str()));
        others.into_iter().any(|(_, recording)| scenario(recording.manifest()).name == name)
    };
    let mut count = 0;
    for entry in fs::read_dir(scenarios).unwrap().map(|entry| entry.unwrap()) {
        if entry.path().join("scenario.toml").is_file() {
            let name = entry.file_name().into_string().unwrap();
            assert!(is_there(&name), "{name} has no recording");
            count += 1;
        }
    }
    assert!(count >= 60, "{count} scenarios");
    for (name, recording) in set.iter().filter(|(name, _)| !FIRST.contains(&name.as_str())) {
        let shown = scenario(recording.manifest());
        let split = splits.of_recording(recording.manifest());
        // Lives of all splits, and attacks to be found.
        let expected = if shown.steps.is_empty() { split.is_some() } else { split == Some(Split::Test) };
        assert!(expected, "{name} is of {split:?}");
        let plain = [format!("{}-{}", shown.name, shown.seed), format!("{}-life-{}", shown.name, shown.seed)];
        assert!(plain.contains(name), "{name} is {} with seed {}", shown.name, shown.seed);
    }
    let manifests: Vec<&Manifest> = set.iter().map(|(_, recording)| recording.manifest()).collect();
    assert_eq!(splits.overlaps(&manifests), []);
}

#[test]
fn each_is_intact_labelled_without_loss_and_of_its_own_containers() {
    let set = set();
    let each = set.len().div_ceil(std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| {
        for part in set.chunks(each) {
            scope.spawn(move || part.iter().for_each(|(name, recording)| check(name, recording)));
        }
    });
}

fn check(name: &str, recording: &Recording) {
    let report = verify(recording.dir(), |_| {}).unwrap();
    assert_eq!(report.verdict, Verdict::Intact, "{name}: {:?}", report.findings);
    let manifest = recording.manifest();
    let shown = scenario(manifest);
    for cpu in &manifest.accounting.as_ref().unwrap().cpus {
        for (class, account) in &cpu.classes {
            assert_eq!((account.dropped.total(), account.sampled_out), (0, 0), "{name}: {class} on CPU {}", cpu.cpu);
        }
    }
    let labels = recording.labels().unwrap();
    assert_eq!(labels.is_empty(), shown.steps.is_empty(), "{name}: {} labels", labels.len());
    let own = format!("retroscope-{}-", shown.name);
    for container in recording.containers().unwrap() {
        let found = container.name.unwrap_or_default();
        assert!(found.starts_with(&own), "{name}: {found} is none of its containers");
        assert!(container.image.unwrap_or_default().starts_with("localhost/retroscope/"), "{name}: {found}");
    }
}
