//! A short storm on a ring that is too small for it: what is lost is accounted for to the last call.

use std::path::Path;
use std::process::Command;

#[test]
fn every_call_of_a_storm_is_stored_or_accounted_for() {
    let eval = Path::new(env!("CARGO_BIN_EXE_eval"));
    let record = eval.with_file_name("record");
    // SAFETY: geteuid() has no preconditions.
    if !record.is_file() || unsafe { libc::geteuid() } != 0 {
        eprintln!(
            "\n*** SKIPPED every_call_of_a_storm_is_stored_or_accounted_for: needs root and {} ***\n",
            record.display()
        );
        return;
    }
    let checked = Command::new(&record).arg("check").output().unwrap();
    if checked.status.code() == Some(3) {
        eprintln!("\n*** SKIPPED every_call_of_a_storm_is_stored_or_accounted_for: this kernel cannot record ***\n");
        return;
    }
    for options in [&["--ring", "1"][..], &[]] {
        let mut command = Command::new(eval);
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
