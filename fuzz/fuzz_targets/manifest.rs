//! A manifest, over a directory that has nothing else: it is refused with a reason, or what it lists is missing.
#![no_main]

use std::cell::LazyCell;

use libfuzzer_sys::fuzz_target;
use retroscope_fuzz::{dir, no_panic, put, read};

thread_local! {
    static DIR: LazyCell<tempfile::TempDir> = LazyCell::new(dir);
}

fuzz_target!(|data: &[u8]| DIR.with(|dir| {
    put(dir.path(), "manifest.json", data);
    no_panic(|| read(dir.path()));
}));
