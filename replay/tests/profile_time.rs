//! `--profile-time`: what is accounted for, and where it is told.

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{replay, stderr, stdout};
use replay::timing::{ONE_IN, Part, Phase, Task, account, each, events, part, stage, start};
use serde_json::Value;

fn spin(milliseconds: u64) {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(milliseconds) {}
}

/// The one test in this process that has an account.
#[test]
fn time_is_accounted_for_once_and_only_when_asked() {
    assert_eq!(each(Part::Rules, || 3), 3);
    drop(part(Part::Compare));
    assert!(account().is_none());
    start();
    stage(Task::Baseline, || {
        // On one thread events are taken while they are read: a call within another is measured or passed over with it.
        let _reading = part(Part::Read);
        (0..2 * ONE_IN).for_each(|_| {
            each(Part::Compare, || {
                spin(1);
                each(Part::Rules, || spin(1));
            });
        });
    });
    stage(Task::Stream, || {
        {
            let _reading = part(Part::Read);
            spin(20);
        }
        let _comparing = part(Part::Compare);
        events(2 * ONE_IN as usize);
        spin(20);
        // Of so many calls two are measured; each stands for as many.
        (0..2 * ONE_IN).for_each(|_| each(Part::Rules, || spin(1)));
        let _embedding = part(Part::Embed);
        spin(20);
    });
    let found = account().unwrap();
    let second = found.phases.iter().position(|phase| phase.name == "replay the events").unwrap();
    let (learned, streamed) = found.phases.split_at(second);
    let check = |phases: &[Phase], least: &[(&str, f64)]| {
        for (name, least) in least {
            let phase = phases.iter().find(|phase| phase.name == *name).unwrap();
            assert!(phase.wall_s >= *least && phase.cpu_s > 0.0, "{name}: {found:#?}");
        }
    };
    check(learned, &[("learn the baseline", 0.244), ("observe, learn, compare", 0.122), ("rules engine", 0.122)]);
    let parts = [("read and decode", 0.020), ("rules engine", 0.122), ("embed arguments", 0.020)];
    check(streamed, &[("replay the events", 0.182)]);
    check(streamed, &parts);
    assert!(!streamed[0].is_part && streamed[1..].iter().all(|phase| phase.is_part), "{found:#?}");
    assert_eq!(streamed[0].events, Some(2 * ONE_IN));
    assert!(found.render().contains("\n  rules engine "), "{}", found.render());
}

#[test]
fn the_program_says_where_its_time_went_and_only_when_asked() {
    let tmp = tempfile::tempdir().unwrap();
    let out = tmp.path().to_str().unwrap();
    let quick = ["--set", "args.embedding.enabled=false", "--set", "engines.weights.semantics=0"];
    let run = |more: &[&str]| {
        let output = replay(&[&["redis-pair-1", "--threads", "2", "-o", out], more, &quick[..]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let run: Value = serde_json::from_slice(&fs::read(tmp.path().join("run.json")).unwrap()).unwrap();
        (output, run["timings"]["profile"].clone(), run["counts"]["events"].as_u64().unwrap())
    };
    let (silent, none, _) = run(&[]);
    assert!(none.is_null() && !stderr(&silent).contains("where the time went"), "{}", stderr(&silent));

    let (told, account, _) = run(&["--profile-time", "--learn", "redis-pair-1"]);
    assert!(stderr(&told).contains("where the time went") && !stdout(&told).contains("where the time went"));
    let phases = account["phases"].as_array().unwrap();
    let names: Vec<&str> = phases.iter().map(|phase| phase["name"].as_str().unwrap()).collect();
    let stages: Vec<&str> =
        phases.iter().filter(|phase| phase["is_part"] == false).map(|phase| phase["name"].as_str().unwrap()).collect();
    for name in ["open and verify", "learn the baseline", "replay the events", "statistics engine", "write the results"]
    {
        assert!(stages.contains(&name), "{name}: {names:?}");
        assert!(stderr(&told).lines().any(|line| line.starts_with(name)), "{name}: {}", stderr(&told));
    }
    let streamed = phases.iter().find(|phase| phase["name"] == "replay the events").unwrap();
    let rows = datasets::Recording::shipped("redis-pair-1").unwrap().manifest().rows();
    assert_eq!(streamed["events"], rows, "{account:#}");
    assert!(names.contains(&"read and decode") && names.contains(&"rules engine"), "{names:?}");
}
