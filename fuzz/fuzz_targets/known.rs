//! A filter of known behaviour: refused with a reason, or written back alike.
#![no_main]

use std::cell::LazyCell;

use datasets::known::KnownBehaviour;
use libfuzzer_sys::fuzz_target;
use retroscope_fuzz::{dir, no_panic, put};

thread_local! {
    static DIR: LazyCell<tempfile::TempDir> = LazyCell::new(dir);
}

fuzz_target!(|data: &[u8]| DIR.with(|dir| {
    let path = put(dir.path(), "known.json", data);
    no_panic(|| {
        let Ok((known, _)) = KnownBehaviour::load(&path) else { return };
        std::hint::black_box(known.entries());
        put(dir.path(), "known.json", known.to_json());
        assert_eq!(KnownBehaviour::load(&path).expect("what was written is read").0, known);
    });
}));
