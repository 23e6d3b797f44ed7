//! The cache of embeddings, from outside: it changes how long a replay takes and nothing else. With a tiny model, so that
//! each replay takes a fraction of a second.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{attacked, replay, stderr, stdout};

struct Runs {
    tmp: tempfile::TempDir,
    recording: PathBuf,
}

impl Runs {
    fn new() -> Runs {
        let tmp = tempfile::tempdir().unwrap();
        let recording = attacked(&tmp.path().join("rec"));
        Runs { tmp, recording }
    }

    /// Replays with this cache; the alerts, and what was said on stderr.
    fn run(&self, cache: &str, out: &str) -> (Vec<u8>, String) {
        let out = self.tmp.path().join(out);
        let output = replay(&[text(&self.recording), "-o", text(&out), "--embed-cache", cache, "--set", &model()]);
        assert_eq!(output.status.code(), Some(0), "{}{}", stderr(&output), stdout(&output));
        let files = ["alerts.jsonl", "alerts.parquet"].map(|name| fs::read(out.join(name)).unwrap());
        (files.concat(), stderr(&output))
    }
}

fn model() -> String {
    format!("model.path={}", text(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/bert")))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The one file of vectors.
fn vectors(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "vec")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn alerts_are_the_same_bytes_with_and_without_it_and_when_it_is_damaged() {
    let runs = Runs::new();
    let cache = runs.tmp.path().join("cache");
    let (without, said) = runs.run("off", "out");
    assert!(!cache.exists() && said.is_empty(), "{said}");
    assert_eq!(runs.run(text(&cache), "first"), (without.clone(), String::new()));
    let file = vectors(&cache);
    let bytes = fs::read(&file).unwrap();
    assert_eq!(runs.run(text(&cache), "second"), (without.clone(), String::new()));
    assert_eq!(fs::read(&file).unwrap(), bytes, "what is there is not written again");

    // A bit of each record's vector: header 44 bytes, record 32 + 4 + 16 numbers of 4 + 8.
    let mut damaged = bytes.clone();
    (0..damaged.len()).skip(44 + 40).step_by(108).for_each(|at| damaged[at] ^= 1);
    fs::write(&file, &damaged).unwrap();
    let (alerts, said) = runs.run(text(&cache), "damaged");
    assert_eq!(alerts, without);
    assert!(
        said.starts_with("warning: embedding cache") && said.contains("damaged") && said.lines().count() == 1,
        "{said}"
    );
    fs::write(&file, "").unwrap();
    assert_eq!(runs.run(text(&cache), "emptied"), (without, String::new()));
}

#[test]
fn processes_at_once_share_it() {
    let runs = Runs::new();
    let cache = runs.tmp.path().join("cache");
    let (alone, _) = runs.run("off", "alone");
    std::thread::scope(|scope| {
        let handles = ["a", "b", "c"].map(|out| scope.spawn(|| runs.run(text(&cache), out)));
        for handle in handles {
            assert_eq!(handle.join().unwrap(), (alone.clone(), String::new()));
        }
    });
    let bytes = fs::read(vectors(&cache)).unwrap();
    assert_eq!(runs.run(text(&cache), "after"), (alone, String::new()));
    assert_eq!(fs::read(vectors(&cache)).unwrap(), bytes);
}

#[test]
fn where_it_cannot_be_there_is_a_warning() {
    let runs = Runs::new();
    let (alerts, said) = runs.run(text(&runs.recording.join("manifest.json/cache")), "out");
    assert!(said.starts_with("warning: embedding cache") && said.contains("Not a directory"), "{said}");
    assert_eq!(alerts, runs.run("off", "off").0);
}

#[test]
fn the_device_is_a_flag() {
    let runs = Runs::new();
    let out = runs.tmp.path().join("out");
    let run = |device| {
        let args =
            [text(&runs.recording), "-o", text(&out), "--embed-cache", "off", "--device", device, "--set", &model()];
        replay(&args)
    };
    assert_eq!(run("cpu").status.code(), Some(0));
    let cuda = run("cuda");
    // On a machine with a GPU and a library for it there is nothing to complain about.
    if cuda.status.code() != Some(0) {
        assert_eq!(cuda.status.code(), Some(3));
        let said = stderr(&cuda);
        assert!(said.contains("cannot run on cuda") && said.contains("onnxruntime-gpu"), "{said}");
    }
    assert_eq!(run("tpu").status.code(), Some(2));
}
