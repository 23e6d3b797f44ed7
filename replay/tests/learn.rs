//! `replay learn`: a profile and its learning curve, by the binary.

mod common;

use std::fs;
use std::path::Path;

use common::{BEGIN, SECOND, Script, attacked, ordinary, replay, stderr, stdout};
use serde_json::Value;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn learn(args: &[&str]) -> String {
    let output = replay(&[&["learn"], args].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

#[test]
fn the_curve_is_printed_and_kept_beside_the_profile() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = ordinary(&tmp.path().join("rec"));
    let profile = tmp.path().join("shop.json");
    let table = learn(&[text(&recording), "-o", text(&profile)]);
    for needle in ["localhost/shop/app:1", "process", "network", "after 6", "unseen mass", "▁", "shop.curve.svg"] {
        assert!(table.contains(needle), "{needle} is not in\n{table}");
    }
    let svg = fs::read_to_string(tmp.path().join("shop.curve.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("localhost/shop/web:1"));

    let file = fs::File::open(tmp.path().join("shop.curve.parquet")).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 65_536).unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    let rows: usize = batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
    let json: Value =
        serde_json::from_str(&learn(&[text(&recording), "-o", text(&profile), "--format", "json"])).unwrap();
    let images = json["images"].as_array().unwrap();
    let curves = || images.iter().flat_map(|image| image["trees"].as_array().unwrap());
    assert_eq!(curves().map(|tree| tree["curve"].as_array().unwrap().len()).sum::<usize>(), rows);
    for tree in curves() {
        let curve = tree["curve"].as_array().unwrap();
        let last = curve.last().unwrap();
        assert_eq!((&last["observations"], &last["nodes"]), (&tree["observations"], &tree["nodes"]), "{tree:#}");
        assert!(curve.windows(2).all(|pair| pair[0]["new_patterns"].as_u64() <= pair[1]["new_patterns"].as_u64()));
        let bound = |sample: &Value| sample["window"]["upper_bound"].as_f64().unwrap();
        assert!(curve.iter().all(|sample| bound(sample) >= sample["window"]["unseen_mass"].as_f64().unwrap().min(1.0)));
        assert!(tree["converged"]["after_s"].as_f64().unwrap() >= 60.0, "not before a window is full");
    }
    // What it says of the end is what the profile says.
    let saved: Value = serde_json::from_str(&fs::read_to_string(&profile).unwrap()).unwrap();
    for image in images {
        let locked = saved["images"][image["image"].as_str().unwrap()]["locked"].as_object().unwrap();
        let said = image["trees"].as_array().unwrap().iter().filter(|tree| tree["locked"] == true).count();
        assert_eq!(locked.len(), said);
    }
}

#[test]
fn a_profile_that_was_learned_finds_the_attack() {
    let tmp = tempfile::tempdir().unwrap();
    let directory = tmp.path().join("shop");
    learn(&[text(&ordinary(&tmp.path().join("a"))), "-o", text(&directory)]);
    for name in ["profile.json", "curve.parquet", "curve.svg"] {
        assert!(directory.join(name).is_file(), "{name}");
    }
    let out = tmp.path().join("out");
    let attacked = attacked(&tmp.path().join("b"));
    let sets = ["--set", "engines.weights.semantics=0"];
    let output = replay(&[&[text(&attacked), "--learn", text(&directory), "-o", text(&out)], &sets[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let alerts = fs::read_to_string(out.join("alerts.jsonl")).unwrap();
    assert!(alerts.contains("/tmp/.x/xmrig"));
    assert!(!alerts.contains("index.html"));
}

#[test]
fn the_same_bytes_for_any_threads_and_any_order_of_recordings() {
    let tmp = tempfile::tempdir().unwrap();
    let first = ordinary(&tmp.path().join("first"));
    let mut script = Script::new();
    script.ordinary(400, 520);
    script.exec(BEGIN + 450 * SECOND, 1, "/srv/app/bin/late", &["late", "--once"]);
    let second = script.write_with(&tmp.path().join("second"), |manifest| manifest.started.ns += 400 * SECOND);
    let bytes = |name: &str, args: &[&str]| {
        let directory = tmp.path().join(name);
        learn(&[args, &["-o", text(&directory)]].concat());
        ["profile.json", "curve.parquet", "curve.svg"].map(|file| fs::read(directory.join(file)).unwrap())
    };
    let one = bytes("one", &[text(&first), text(&second), "--threads", "1"]);
    let other = bytes("other", &[text(&second), text(&first), "--threads", "3"]);
    assert!(one == other);
    assert!(String::from_utf8_lossy(&one[0]).contains("/srv/app/bin/late"));
}

#[test]
fn no_time_passes_between_recordings() {
    let tmp = tempfile::tempdir().unwrap();
    let mut parts = Vec::new();
    // 40 s each, an hour apart: the window of 60 s is full only with the second.
    for (name, from) in [("a", 0), ("b", 3600)] {
        let mut script = Script::new();
        script.ordinary(from, from + 40);
        let path = tmp.path().join(name);
        parts.push(script.write_with(&path, |manifest| manifest.started.ns += from * SECOND));
    }
    let out = tmp.path().join("out.json");
    let report = |recordings: &[&str]| -> Value {
        let json = learn(&[recordings, &["-o", text(&out), "--format", "json"]].concat());
        serde_json::from_str(&json).unwrap()
    };
    let web = |report: &Value| report["images"][1]["trees"][1]["converged"].clone();
    assert!(web(&report(&[text(&parts[0])])).is_null());
    let after = web(&report(&[text(&parts[0]), text(&parts[1])]))["after_s"].as_f64().expect("converged in the second");
    assert!((60.0..80.0).contains(&after), "{after}");
}

#[test]
fn what_cannot_be_learned_is_said() {
    let tmp = tempfile::tempdir().unwrap();
    let missing = tmp.path().join("nowhere");
    let output = replay(&["learn", text(&missing), "-o", text(&tmp.path().join("p.json"))]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert_eq!(replay(&["learn", "-o", "x.json"]).status.code(), Some(2));
    let recording = ordinary(&tmp.path().join("rec"));
    let file = tmp.path().join("file");
    fs::write(&file, "").unwrap();
    let output = replay(&["learn", text(&recording), "-o", text(&file.join("p.json"))]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
}

#[test]
fn bounds_are_measured_on_recordings() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = attacked(&tmp.path().join("rec"));
    let args = ["profile", "bounds", text(&recording), "--bounds", "10,100,0", "--format", "json"];
    let output = replay(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let measured: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let rows = measured["rows"].as_array().unwrap();
    // /srv/app/data/items holds fifty names: `<num>.json` is one, masked before the tree sees them.
    assert_eq!(rows.iter().map(|row| row["bound"].as_u64()).collect::<Vec<_>>(), [Some(10), Some(100), None]);
    assert!(rows[0]["nodes"].as_u64() <= rows[2]["nodes"].as_u64());
    assert!(rows.iter().all(|row| row["attack_found"].as_u64() > Some(0)), "{rows:?}");
    assert_eq!(replay(&["profile", "bounds", text(&recording), "--share", "1.5"]).status.code(), Some(2));
    let table = stdout(&replay(&args[..args.len() - 2]));
    assert!(table.contains("attack paths found") && table.contains("none"), "{table}");
}
