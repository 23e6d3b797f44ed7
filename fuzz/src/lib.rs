//! What the targets that read files share: a recording in memory-backed files, and panics told from caught ones.

use std::cell::RefCell;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use record_bpf::Class;

/// Runs what must not panic. libFuzzer's hook would also abort on a panic that the code under test catches itself, as
/// `datasets` does around the Parquet crate: so that hook goes, and what arrives here is a finding.
pub fn no_panic(work: impl FnOnce()) {
    thread_local! {
        static LAST: RefCell<String> = const { RefCell::new(String::new()) };
    }
    panic::set_hook(Box::new(|panic| LAST.with_borrow_mut(|last| *last = panic.to_string())));
    if panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
        LAST.with_borrow(|last| eprintln!("{last}"));
        std::process::abort();
    }
}

/// A directory in memory, if the system has one.
pub fn dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}

/// A manifest that lists one file.
pub fn manifest(state: &str, class: Class, segment: Option<u64>) -> String {
    let name = class.name();
    let segments = segment.map(|bytes| {
        let zeros = "0".repeat(64);
        format!(
            r#"{{"file":"{name}/00000.parquet","class":"{name}","rows":1,"first_ts":0,"last_ts":0,"bytes":{bytes},
            "sha256":"{zeros}","chain":"{zeros}","blocks":{{"size":4096,"digests":"{}"}}}}"#,
            "0123456789abcdef".repeat(bytes.div_ceil(4096) as usize)
        )
    });
    let moment = r#"{"utc":"1970-01-01T00:00:00Z","ns":0}"#;
    format!(
        r#"{{"kind":"retroscope recording","format_version":"1","schema_version":"{}",
        "recorder":{{"name":"fuzz","version":"0"}},"kernel":{{"release":"6.1.0","machine":"x86_64"}},
        "state":"{state}","started":{moment},"ended":null,"filter":[],"classes":["{name}"],
        "segments":[{}],"tables":[],"accounting":null}}"#,
        record_bpf::schema::VERSION,
        segments.unwrap_or_default(),
    )
}

/// Puts a file into a directory, with the folders that it needs.
pub fn put(dir: &Path, file: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(file);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).expect("a folder");
    }
    fs::write(&path, bytes).expect("a file");
    path
}

/// Everything that reading and checking a recording does.
pub fn read(dir: &Path) {
    let _ = datasets::verify(dir, |_| {});
    let Ok(recording) = datasets::Recording::open(dir) else { return };
    let _ = recording.events().take_while(Result::is_ok).count();
    let _ = (recording.processes(), recording.containers(), recording.addresses(), recording.losses());
    let _ = (recording.labels(), recording.advice());
}

/// Splits a class off the input.
pub fn class(data: &[u8]) -> Option<(Class, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((Class::ALL[usize::from(*first) % Class::ALL.len()], rest))
}

const TABLES: [&str; 5] = ["processes.rows", "ended.rows", "containers.rows", "addresses.rows", "account-0"];

/// Makes what a killed recorder leaves, with one file in its journal. The first byte says which: with bit 7 the rest is that file,
/// else the payload of one whole frame, whose checksum a mutation would hardly hit.
pub fn journal(dir: &Path, data: &[u8]) -> Option<()> {
    let (first, bytes) = data.split_first()?;
    let which = usize::from(first & 0x7f) % (Class::ALL.len() + TABLES.len());
    let class = *Class::ALL.get(which).unwrap_or(&Class::File);
    let rows = format!("{}-00000.rows", class.name());
    let name = which.checked_sub(Class::ALL.len()).map_or(rows.as_str(), |table| TABLES[table]);
    let bytes = if first & 0x80 != 0 { bytes.to_vec() } else { frame(bytes) };
    put(dir, "manifest.json", manifest("recording", class, None));
    put(dir, &format!("journal/{name}"), bytes);
    Some(())
}

/// As datasets/src/frame.rs.
fn frame(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_le_bytes();
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&length);
    checksum.update(payload);
    [b"RSJ1", &length[..], &checksum.finalize().to_le_bytes(), payload].concat()
}
