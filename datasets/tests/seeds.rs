//! The fuzz targets' seeds, and copies of them with some bytes changed, as a test of seconds: none may panic.
//! `./dev fuzz` looks further.

mod common;
#[path = "../../fuzz/src/lib.rs"]
#[allow(dead_code, reason = "the targets use all of it")]
mod fuzz;

use std::fs;
use std::path::Path;

use common::Random;

/// Changed copies of each seed.
const COPIES: usize = 40;

/// Runs `work` on each seed of a target as it is (`true`) and on changed copies of it.
fn each(target: &str, mut work: impl FnMut(&[u8], bool)) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut random = Random(3);
    let mut seeds = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let seed = fs::read(entry.unwrap().path()).unwrap();
        work(&seed, true);
        seeds += 1;
        for _ in 0..COPIES {
            let mut copy = seed.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(copy.len() as u64) as usize;
                copy[at] = random.next() as u8;
            }
            copy.truncate(copy.len() - random.below(3) as usize * random.below(copy.len() as u64 / 2) as usize);
            work(&copy, false);
        }
    }
    assert!(seeds > 0, "{target} has seeds");
}

#[test]
fn segments_are_read_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    each("segment", |seed, whole| {
        let Some((class, bytes)) = fuzz::class(seed) else { return };
        fuzz::put(dir.path(), "manifest.json", fuzz::manifest("complete", class, Some(bytes.len() as u64)));
        fuzz::put(dir.path(), &format!("{}/00000.parquet", class.name()), bytes);
        fuzz::read(dir.path());
        if whole {
            let events = datasets::Recording::open(dir.path()).unwrap().events();
            assert!(events.map(Result::unwrap).count() > 0, "{class}");
        }
    });
}

#[test]
fn manifests_are_read_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    each("manifest", |seed, whole| {
        fuzz::put(dir.path(), "manifest.json", seed);
        fuzz::read(dir.path());
        if whole {
            assert!(datasets::verify(dir.path(), |_| {}).is_ok());
        }
    });
}

#[test]
fn journals_are_recovered_or_refused() {
    let mut recovered = 0;
    each("journal", |seed, whole| {
        let dir = tempfile::tempdir().unwrap();
        if fuzz::journal(dir.path(), seed).is_none() {
            return;
        }
        let outcome = datasets::recover(dir.path());
        recovered += u32::from(whole && outcome.is_ok());
        fuzz::read(dir.path());
    });
    assert!(recovered > 5, "{recovered}");
}

#[test]
fn filters_of_known_behaviour_are_read_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    each("known", |seed, whole| {
        let path = fuzz::put(dir.path(), "known.json", seed);
        let read = datasets::known::KnownBehaviour::load(&path);
        assert!(read.is_ok() || !whole, "{read:?}");
    });
}
