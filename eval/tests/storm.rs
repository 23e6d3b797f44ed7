//! A short storm on a ring that is too small for it: what is lost is accounted for to the last call.

use std::path::Path;
use std::process::Command;

/// `eval`, where it and the recorder beside it can record.
fn recording(test: &str) -> Option<Command> {
    let eval = Path::new(env!("CARGO_BIN_EXE_eval"));
    let record = eval.with_file_name("record");
    // SAFETY: geteuid() has no preconditions.
    if !record.is_file() || unsafe { libc::geteuid() } != 0 {
        eprintln!("\n*** SKIPPED {test}: needs root and {} ***\n", record.display());
        return None;
    }
    let checked = Command::new(&record).arg("check").output().unwrap();
    if checked.status.code() == Some(3) {
        eprintln!("\n*** SKIPPED {test}: this kernel cannot record ***\n");
        return None;
    }
    Some(Command::new(eval))
}

/// What it prints as JSON.
fn found(mut command: Command) -> serde_json::Value {
    let output = command.args(["--format", "json"]).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_call_of_a_storm_is_stored_or_accounted_for() {
    for options in [&["--ring", "1"][..], &[]] {
        let Some(mut command) = recording("every_call_of_a_storm_is_stored_or_accounted_for") else { return };
        command.args([
            "storm",
            "--seconds",
            "1.5",
            "--rate",
            "0",
            "--cpu",
            "0",
            "--least",
            "0",
            "--format",
            "json",
            "--",
        ]);
        let output = command.args(options).output().unwrap();
        assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let number = |key: &str| found[key].as_u64().unwrap();
        let calls = found["callers"]["calls"].as_u64().unwrap();
        assert!(calls > 10_000 && number("stored") <= calls, "{found}");
        assert_eq!((found["accounted_share"].as_f64(), found["verified"].as_bool()), (Some(1.0), Some(true)));
        if number("dropped") == 0 {
            assert_eq!(number("stored"), calls, "nothing was lost, so that every call is there");
        }
    }
}

#[test]
fn the_curve_has_a_point_for_each_class_and_pace() {
    let Some(mut command) = recording("the_curve_has_a_point_for_each_class_and_pace") else { return };
    let tmp = tempfile::tempdir().unwrap();
    command.args(["curve", "--cpu", "0", "--rates", "50,400", "--seconds", "0.5", "-o"]).arg(tmp.path());
    let found = found(command);
    let points = found["points"].as_array().unwrap();
    let named: Vec<(&str, u64)> =
        points.iter().map(|point| (point["deed"].as_str().unwrap(), point["rate"].as_u64().unwrap())).collect();
    let classes = ["syscall", "file", "network", "process"];
    assert_eq!(named, classes.iter().flat_map(|class| [(*class, 50), (*class, 400)]).collect::<Vec<_>>());
    for point in points {
        let calls = point["callers"]["calls"].as_u64().unwrap();
        assert!((5..=250).contains(&calls), "{point}");
        // A few hundred events a second fit into any ring: each is a row, by its own name or path.
        assert_eq!((point["dropped"].as_u64(), point["stored"].as_u64()), (Some(0), Some(calls)), "{point}");
        assert_eq!(
            (point["accounted_share"].as_f64(), point["verified"].as_bool()),
            (Some(1.0), Some(true)),
            "{point}"
        );
        // Of system calls no field is promised; of the others all are there.
        let complete = (point["deed"] != "syscall").then_some(1.0);
        assert_eq!(point["complete"].as_f64(), complete, "{point}");
    }
    assert!(found["recorder"]["version"].as_str().unwrap().starts_with("record "), "{}", found["recorder"]);
    let stored: serde_json::Value =
        serde_json::from_slice(&std::fs::read(tmp.path().join("curve.json")).unwrap()).unwrap();
    assert_eq!(stored["points"].as_array().unwrap().len(), points.len());
    let table = std::fs::File::open(tmp.path().join("curve.parquet")).unwrap();
    let table = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(table).unwrap();
    assert_eq!(table.metadata().file_metadata().num_rows(), points.len() as i64);
    let picture = std::fs::read_to_string(tmp.path().join("curve.svg")).unwrap();
    assert!(picture.starts_with("<svg") && classes.iter().all(|class| picture.contains(&format!("{class} made"))));
}

#[test]
fn the_kernel_counts_as_many_calls_as_the_callers() {
    let test = "the_kernel_counts_as_many_calls_as_the_callers";
    let Some(mut command) = recording(test) else { return };
    if eval::workload::which("perf").is_none() {
        eprintln!("\n*** SKIPPED {test}: needs perf (Debian: linux-perf) ***\n");
        return;
    }
    command.args(["curve", "--class", "syscall,process", "--cpu", "0", "--rates", "300", "--seconds", "0.5"]);
    command.args(["--counter", "perf"]);
    let found = found(command);
    let points = found["points"].as_array().unwrap();
    let number = |point: &serde_json::Value, key: &str| point[key].as_u64().unwrap();
    for point in points {
        let calls = point["callers"]["calls"].as_u64().unwrap();
        assert!(calls > 0 && number(point, "stored") == calls, "{point}");
    }
    // Nobody else calls getppid(); and the one further exec is that of the callers' program.
    let more = |point: &serde_json::Value| number(point, "counted") - point["callers"]["calls"].as_u64().unwrap();
    assert_eq!(points.iter().map(more).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_recording_grows_with_its_rate_and_its_length() {
    let Some(mut command) = recording("a_recording_grows_with_its_rate_and_its_length") else { return };
    let tmp = tempfile::tempdir().unwrap();
    command.args(["growth", "--rates", "200,2000", "--seconds", "0.5", "--lengths", "0.5,1", "--rate", "500"]);
    command.args(["--rounds", "2", "--cpu", "0", "-o"]).arg(tmp.path());
    let found = found(command);
    for (series, over) in [(0, "rate"), (1, "length")] {
        let series = &found["series"][series];
        let points = series["points"].as_array().unwrap();
        assert!(series["over"] == over && points.len() == 4, "{series}");
        assert!(points.iter().all(|point| point["dropped"] == 0 && point["verified"] == true), "{series}");
        let fit = |cost: &str| series["fits"].as_array().unwrap().iter().find(|fit| fit["cost"] == cost).unwrap();
        // More events are more bytes; not as many more, as the same compresses well.
        let exponent = fit("bytes")["exponent"].as_f64().unwrap();
        assert!(exponent > 0.0 && exponent < 1.5, "{series}");
        assert_eq!(fit("bytes")["of_points"], 4);
        assert!(
            fit("bytes")["low"].as_f64().unwrap() <= exponent && exponent <= fit("bytes")["high"].as_f64().unwrap()
        );
    }
    let table = std::fs::File::open(tmp.path().join("growth.parquet")).unwrap();
    let table = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(table).unwrap();
    assert_eq!(table.metadata().file_metadata().num_rows(), 8);
    let picture = std::fs::read_to_string(tmp.path().join("growth.svg")).unwrap();
    assert!(["events a second", "seconds", "CPU time, s", "exponent"].iter().all(|word| picture.contains(word)));
}

#[test]
fn ages_are_taken_at_each_place_that_an_event_comes_to() {
    let Some(mut command) = recording("ages_are_taken_at_each_place_that_an_event_comes_to") else { return };
    let tmp = tempfile::tempdir().unwrap();
    command
        .args(["latency", "--seconds", "4", "--rate", "200", "--attacks", "0", "--segment-time", "1", "-o"])
        .arg(tmp.path());
    let found = found(command);
    let stages = found["stages"].as_array().unwrap();
    let names: Vec<&str> = stages.iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["row", "journal", "segment", "file"], "no replay follows");
    let value = |stage: usize, key: &str| stages[stage][key].as_f64().unwrap();
    for (at, stage) in stages.iter().enumerate() {
        assert!(value(at, "count") > 0.0, "{found}");
        let order = ["p50", "p90", "p99", "max"].map(|key| value(at, key));
        assert!(order[0] > 0.0 && order.is_sorted(), "{order:?}");
        let histogram = stage["histogram"].as_array().unwrap();
        assert_eq!(histogram.iter().map(|step| step[1].as_u64().unwrap()).sum::<u64>() as f64, value(at, "count"));
    }
    // The way of an event, one place after the other.
    assert!(value(0, "p50") < value(1, "p50") && value(1, "p50") < value(2, "p50"), "{found}");
    assert!(value(1, "count") <= found["events"].as_f64().unwrap());
    let picture = std::fs::read_to_string(tmp.path().join("latency.svg")).unwrap();
    assert!(names.iter().all(|name| picture.contains(&format!("to {name}:"))));
    assert!(tmp.path().join("latency.parquet").is_file() && tmp.path().join("latency.json").is_file());
}
