//! The same recording, however many threads replay it and however its rows are laid out in segments and row groups, gives the same
//! results to the byte. `DETERMINISM_SEED=N` tries other layouts; every failure names the one it is of.

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{replay, stderr};
use datasets::{Manifest, Recording, RecordingWriter, Rotation};
use parquet::file::metadata::ParquetMetaDataReader;
use record_bpf::Class;
use serde_json::Value;

/// Seven classes, three containers, correlations, deviations and hits of rules.
const ATTACK: &str = "sql-injection-21";
const LIFE: &str = "sql-injection-life-1";
/// Threads of each layout that is tried.
const THREADS: [&str; 6] = ["1", "2", "4", "8", "2", "8"];
const FILES: [&str; 5] = ["alerts.parquet", "alerts.jsonl", "incidents.jsonl", "profile.json", "report.html"];

/// splitmix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    /// Its logarithm is evenly spread.
    fn between(&mut self, least: usize, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = (z ^ (z >> 31)) as f64 / u64::MAX as f64;
        (least as f64 * (most as f64 / least as f64).powf(share)) as usize
    }
}

#[derive(Clone, Copy, Debug)]
struct Layout {
    /// Rows of a segment.
    segment: usize,
    /// Rows of a row group.
    group: usize,
}

impl Layout {
    fn random(random: &mut Random) -> Layout {
        let segment = random.between(150, 20_000);
        Layout { segment, group: random.between(40, segment) }
    }

    /// The recording with its rows laid out like this.
    fn write(self, source: &Recording, dir: &Path) -> PathBuf {
        // Results name the recording by its directory.
        let dir = dir.join("rec");
        let Manifest { recorder, kernel, started, filter, .. } = source.manifest().clone();
        let rotation = Rotation { time: Duration::MAX, bytes: usize::MAX, rows: self.segment };
        let manifest = Manifest::new(recorder, kernel, started.ns, filter, &Class::ALL);
        let mut writer = RecordingWriter::create_with(&dir, manifest, rotation).unwrap();
        writer.set_group_rows(NonZeroUsize::new(self.group).unwrap());
        for class in Class::ALL {
            let mut open = 0;
            for batch in source.batches(class, None).unwrap() {
                let batch = batch.unwrap();
                let mut done = 0;
                while done < batch.num_rows() {
                    let rows = (self.segment - open).min(batch.num_rows() - done);
                    writer.push_batch(class, &batch.slice(done, rows)).unwrap();
                    (done, open) = (done + rows, (open + rows) % self.segment);
                }
            }
        }
        writer.write_processes(&source.processes().unwrap()).unwrap();
        writer.write_containers(&source.containers().unwrap()).unwrap();
        writer.write_addresses(&source.addresses().unwrap()).unwrap();
        writer.write_labels(&source.labels().unwrap()).unwrap();
        if let Some(scenario) = source.manifest().scenario.clone() {
            writer.set_scenario(scenario);
        }
        let manifest = source.manifest();
        let accounting = manifest.accounting.clone().unwrap();
        let written = writer.finish(accounting, manifest.ended.as_ref().unwrap().ns).unwrap();
        for class in Class::ALL {
            let rows: u64 = written.class_segments(class).map(|segment| segment.rows).sum();
            let segments = written.class_segments(class).count();
            assert_eq!(segments, (rows as usize).div_ceil(self.segment), "{class}, {self:?}");
            for segment in written.class_segments(class) {
                let file = File::open(dir.join(&segment.file)).unwrap();
                let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).unwrap();
                let groups = (segment.rows as usize).div_ceil(self.group);
                assert_eq!(metadata.num_row_groups(), groups, "{}, {self:?}", segment.file);
            }
        }
        dir
    }
}

/// A page without the rows of its table of input files: other files are what is tried here.
fn without_inputs(page: &str) -> String {
    let row = |piece: &str| match piece.split_once("</tr>") {
        Some((row, rest)) if row.contains(".parquet</td>") => rest.to_owned(),
        _ => format!("<tr>{piece}"),
    };
    page.split("<tr>").map(row).collect()
}

/// What a replay wrote, by file, without what says how long it took, where the input was and what its bytes were.
fn results(recording: &Path, profile: Option<&Path>, out: &Path, threads: &str) -> BTreeMap<String, Vec<u8>> {
    let mut args = vec![recording.to_str().unwrap(), "-o", out.to_str().unwrap(), "--threads", threads];
    // The embedding is no part of this.
    args.extend(["--set", "engines.weights.semantics=0", "--set", "args.embedding.enabled=false"]);
    args.extend(profile.iter().flat_map(|profile| ["--learn", profile.to_str().unwrap()]));
    let output = replay(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let mut found: BTreeMap<String, Vec<u8>> =
        FILES.iter().map(|name| ((*name).to_owned(), fs::read(out.join(name)).unwrap())).collect();
    let report = String::from_utf8(found["report.html"].clone()).unwrap();
    found.insert("report.html".to_owned(), without_inputs(&report).into_bytes());
    let mut run: Value = serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap();
    run.as_object_mut().unwrap().remove("timings").expect("timings are one object");
    let input = run["recording"].as_object_mut().unwrap();
    for key in ["dir", "files"] {
        input.remove(key).expect("the input says where and what it is");
    }
    found.insert("run.json".to_owned(), serde_json::to_vec_pretty(&run).unwrap());
    found
}

#[test]
fn threads_and_the_layout_of_a_recording_change_no_byte_of_the_results() {
    let tmp = tempfile::tempdir().unwrap();
    let seed = std::env::var("DETERMINISM_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    println!("DETERMINISM_SEED={seed}");
    let mut random = Random(seed);
    let source = Recording::shipped(ATTACK).unwrap();
    let profile = tmp.path().join("life.json");
    let learned = replay(&["learn", LIFE, "-o", profile.to_str().unwrap(), "--set", "args.embedding.enabled=false"]);
    assert!(learned.status.success(), "{}", stderr(&learned));

    // As it ships, under the name that the others have.
    let whole = Layout { segment: 1_000_000, group: 1_000_000 }.write(&source, &tmp.path().join("whole"));
    let mut expected = BTreeMap::new();
    for (how, profile) in [("against a baseline", Some(profile.as_path())), ("learning by itself", None)] {
        let found = results(&whole, profile, &tmp.path().join(format!("out {how}")), "1");
        let alerts = String::from_utf8(found["alerts.jsonl"].clone()).unwrap();
        assert!(alerts.lines().count() > 2, "{how}: something that could differ");
        expected.insert(how, (profile, found));
    }
    for (i, threads) in THREADS.into_iter().enumerate() {
        let layout = Layout::random(&mut random);
        let dir = tmp.path().join(format!("layout-{i}"));
        let recording = layout.write(&source, &dir);
        for (how, (profile, expected)) in &expected {
            let found = results(&recording, *profile, &dir.join(how), threads);
            for (name, bytes) in expected {
                let differs = || {
                    let (a, b) = (String::from_utf8_lossy(bytes), String::from_utf8_lossy(&found[name]));
                    a.lines().zip(b.lines()).find(|(a, b)| a != b).map(|(a, b)| format!("{a:.300}\n{b:.300}"))
                };
                assert!(
                    *bytes == found[name],
                    "{name} {how}: {threads} threads, {layout:?}, DETERMINISM_SEED={seed}: {:?}",
                    differs()
                );
            }
        }
    }
}
