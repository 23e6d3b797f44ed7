//! `replay forecast` on recordings that ship.

mod common;

use std::fs;

use common::{replay, stderr, stdout};
use serde_json::Value;

#[test]
fn a_shipped_recording_is_forecast_from_its_first_part() {
    let tmp = tempfile::tempdir().unwrap();
    let svg = tmp.path().join("traffic.svg");
    let args = ["forecast", "redis-pair-1", "--bucket", "1s", "--season", "10s", "--level", "0.95"];
    let found = replay(&[&args[..], &["--svg", svg.to_str().unwrap(), "--format", "json"]].concat());
    assert!(found.status.success(), "{}", stderr(&found));
    let json: Value = serde_json::from_str(&stdout(&found)).unwrap();
    let ns = |key: &str| json[key].as_i64().unwrap();
    let buckets = (ns("to") - ns("from")) / 1_000_000_000;
    assert!(buckets > 80, "{buckets}");
    assert_eq!((ns("until") - ns("from")) / 1_000_000_000, buckets * 3 / 4);
    let lines = json["lines"].as_array().unwrap();
    assert!(lines.len() > 2 && lines.iter().all(|line| line["unfit"].is_null()), "{}", lines.len());
    let (mut compared, mut inside) = (0, 0);
    for line in lines {
        assert_eq!((&line["tried"], &line["seasons_s"]), (&4.into(), &vec![10.0].into()));
        assert_eq!(line["held_back"].as_array().unwrap().len() as i64, buckets - buckets * 3 / 4);
        for held in line["held_back"].as_array().unwrap() {
            let number = |value: &Value| value.as_f64().unwrap();
            let expected = &held["expected"];
            compared += 1;
            let range = number(&expected["low"])..=number(&expected["high"]);
            inside += usize::from(range.contains(&number(&held["bytes"])));
        }
    }
    // The share that was asked for is one of buckets to come, and a short life is not quite like itself.
    assert!(inside * 10 > compared * 8, "{inside} of {compared}");
    let drawn = fs::read_to_string(&svg).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.contains("bytes in 1 s"));

    let table = replay(&args);
    assert!(table.status.success() && stdout(&table).contains("level 0.95"), "{}", stdout(&table));
    let again = replay(&[&args[..], &["--format", "json"]].concat());
    assert_eq!(stdout(&again), stdout(&found), "twice the same");
}

#[test]
fn what_cannot_be_forecast_is_said() {
    let days = replay(&["forecast", "redis-pair-1", "--bucket", "5s"]);
    assert!(days.status.success(), "{}", stderr(&days));
    assert!(stdout(&days).contains("the shortest season takes 1440"), "{}", stdout(&days));
    for (args, code, says) in [
        (&["--bucket", "1h"][..], 4, "less than two buckets"),
        (&["--bucket", "60s", "--season", "90s"], 2, "a season of 90 s"),
        (&["--bucket", "2d"], 2, "neither an hour nor a day"),
        (&["--bucket", "1s", "--until", "+1h"], 2, "nothing to compare"),
        (&["--bucket", "1s", "--until", "later"], 2, "later"),
        (&["--level", "1.5"], 2, "a share above 0"),
        (&["--bucket", "soon"], 2, "a length of time"),
    ] {
        let output = replay(&[&["forecast", "redis-pair-1"][..], args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
    }
}
