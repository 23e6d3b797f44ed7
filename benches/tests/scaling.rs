//! `scaling` on short recordings: what it measures is there, and its checks fail when they should. No time is compared with a bound.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn scaling(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scaling")).args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The replay that was built with this; None: `cargo test -p benches` alone builds none.
fn replay() -> Option<PathBuf> {
    let replay = Path::new(env!("CARGO_BIN_EXE_scaling")).with_file_name("replay");
    if !replay.is_file() {
        eprintln!("left out: there is no {}", replay.display());
        return None;
    }
    Some(replay)
}

#[test]
fn every_length_is_replayed_and_the_costs_are_fitted() {
    if replay().is_none() {
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let to = out.path().to_str().unwrap();
    let lengths = ["--events", "9k,19k", "--rounds", "2", "--format", "json", "-o", to];
    let off = ["--", "--set", "args.embedding.enabled=false", "--set", "engines.weights.semantics=0"];
    let done = scaling(&[&["redis-pair-1", "--max-memory", "1"], &lengths[..], &off[..]].concat());
    assert_eq!(done.status.code(), Some(1), "a replay takes more than 1 MiB: {}", stderr(&done));
    assert!(stderr(&done).contains("check failed: a replay took"), "{}", stderr(&done));
    let found: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let points = found["points"].as_array().unwrap();
    let events: Vec<u64> = points.iter().map(|point| point["events"].as_u64().unwrap()).collect();
    assert_eq!(events, [9_522, 9_522, 19_044, 19_044]);
    for point in points {
        assert!(point["cpu_s"].as_f64().unwrap() > 0.0 && point["wall_s"].as_f64().unwrap() > 0.0, "{point}");
        // A replay has at least its program's pages, and a parent's large ones are not its own.
        assert!((5.0..500.0).contains(&point["memory_mib"].as_f64().unwrap()), "{point}");
    }
    assert!(found["fits"].as_array().unwrap().iter().all(|fit| fit["exponent"].is_f64()), "{}", found["fits"]);
    assert_eq!(
        found,
        serde_json::from_slice::<serde_json::Value>(&std::fs::read(out.path().join("scaling.json")).unwrap()).unwrap()
    );
    let svg = std::fs::read_to_string(out.path().join("scaling.svg")).unwrap();
    assert!(svg.contains("exponent") && svg.matches("<circle").count() == 3 * points.len(), "{svg}");
}

#[test]
fn what_is_missing_is_said_with_a_way_out() {
    let none = scaling(&["no-such-recording", "--events", "1k"]);
    assert_eq!(none.status.code(), Some(3), "{}", stderr(&none));
    assert!(stderr(&none).contains("no-such-recording") && stderr(&none).contains("\nhint: "), "{}", stderr(&none));
    let none = scaling(&["redis-pair-1", "--stretch", "/no/such/program"]);
    assert_eq!(none.status.code(), Some(5), "{}", stderr(&none));
    assert_eq!(scaling(&["redis-pair-1", "--events", "0"]).status.code(), Some(2));
}
