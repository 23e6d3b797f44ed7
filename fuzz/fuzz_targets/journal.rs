//! What a killed recorder left: `recover` completes the recording or refuses with a reason.
#![no_main]

use std::fs;

use datasets::State;
use libfuzzer_sys::fuzz_target;
use retroscope_fuzz::{dir, journal, no_panic, read};

fuzz_target!(|data: &[u8]| {
    let dir = dir();
    if journal(dir.path(), data).is_none() {
        return;
    }
    no_panic(|| {
        if datasets::recover(dir.path()).is_ok() {
            // Rows that are damage in themselves, as one number twice, are found there.
            let report = datasets::verify(dir.path(), |_| {}).expect("what was recovered has a manifest");
            assert_eq!(report.state, State::Recovered);
            assert!(!fs::exists(dir.path().join("journal")).unwrap_or(true), "the journal is gone");
        }
        read(dir.path());
    });
});
