//! `eval speed`: what it says, and that everything it times takes every event.

use std::process::{Command, Output};

use datasets::Recording;
use serde_json::Value;

fn eval(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_eval")).args(args).env("NO_COLOR", "1").output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn five_works_are_timed_and_compared_with_the_scan() {
    let output = eval(&["speed", "java-api-1", "--rounds", "2", "--format", "json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let works = found["works"].as_array().unwrap();
    let names: Vec<&str> = works.iter().map(|work| work["work"].as_str().unwrap()).collect();
    assert_eq!(names, ["scan", "read", "learn", "replay", "detect"]);
    let rows = Recording::shipped("java-api-1").unwrap().manifest().rows();
    let events = found["events"].as_u64().unwrap();
    // It has no system calls: a replay reads all classes of it.
    assert_eq!((events, found["rounds"].as_u64().unwrap()), (rows, 2));
    for work in works {
        assert_eq!(work["seconds"].as_array().unwrap().len(), 2);
        let rates: Vec<f64> =
            work["events_per_second"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        assert!(rates[1] > 0.0 && rates[1] <= rates[0] && rates[0] <= rates[2], "{work}");
        let interval: Vec<f64> =
            work["to_scan_interval"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        let ratio = work["to_scan"].as_f64().unwrap();
        assert!(interval[0] > 0.0 && interval[0] <= interval[1] && ratio > 0.0, "{work}");
    }
    assert_eq!(works[0]["to_scan"].as_f64(), Some(1.0));
}

#[test]
fn as_a_table_and_as_a_check() {
    let output = eval(&["speed", "java-api-1", "--learn", "java-api-11", "--rounds", "1", "--fail-over", "0"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("check failed: comparing takes"), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    for word in ["one thread", "events/s", "times scan", "polars scan", "learn, lock, compare", "detect"] {
        assert!(table.contains(word), "{word} is not in\n{table}");
    }
    assert!(table.lines().all(|line| line.chars().count() <= 80 || line.contains("CPUs")), "{table}");
    assert_eq!(eval(&["speed", "java-api-1", "--rounds", "0"]).status.code(), Some(2));
    assert_eq!(eval(&["speed", "/nowhere/at/all"]).status.code(), Some(4));
}
