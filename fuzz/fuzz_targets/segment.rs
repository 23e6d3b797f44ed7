//! A segment's file: the first byte says of which class. It is read, or refused with a reason.
#![no_main]

use std::cell::LazyCell;

use libfuzzer_sys::fuzz_target;
use retroscope_fuzz::{class, dir, manifest, no_panic, put, read};

thread_local! {
    static DIR: LazyCell<tempfile::TempDir> = LazyCell::new(dir);
}

fuzz_target!(|data: &[u8]| DIR.with(|dir| {
    let Some((class, bytes)) = class(data) else { return };
    put(dir.path(), "manifest.json", manifest("complete", class, Some(bytes.len() as u64)));
    put(dir.path(), &format!("{}/00000.parquet", class.name()), bytes);
    no_panic(|| read(dir.path()));
}));
