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
