//! `eval overhead` with adapters that need neither root nor a recorder.

use std::path::Path;
use std::process::{Command, Output};

fn eval(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_eval")).args(args).output().unwrap()
}

fn adapter(dir: &Path, name: &str, body: &str) -> String {
    let path = dir.join(format!("{name}.toml"));
    std::fs::write(&path, format!("name = '{name}'\nabout = 'a test'\n{body}")).unwrap();
    path.display().to_string()
}

fn measure(recorders: &[String], workloads: &str) -> serde_json::Value {
    let recorders = recorders.join(",");
    let args = ["overhead", "--rounds", "3", "--scale", "0.01", "--format", "json", "--recorder", &recorders];
    let output = eval(&[&args[..], &["--workload", workloads]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn recorders_around_and_beside_the_workload_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let around = "command = ['env', '{workload}']\nevents = 'echo 4'\ndropped = 'echo 1'\noutput = '{dir}/result.json'";
    let beside = "setup = 'echo begun > {dir}/state'\nteardown = 'rm {dir}/state'\n\
                  command = ['sh', '-c', 'trap \"exit 0\" INT; touch {dir}/ready; while :; do sleep 0.01; done']\n\
                  ready = 'test -e {dir}/ready'\nevents = 'grep -c begun {dir}/state'\noutput = '{dir}/state'";
    let recorders = [adapter(dir.path(), "around", around), adapter(dir.path(), "beside", beside)];
    let found = measure(&recorders, "storm,forkexec");
    assert_eq!(found["absent"], serde_json::json!([]));
    assert_eq!(found["bare"].as_array().unwrap().len(), 2);
    for (at, (name, events, per_event)) in [("around", 4.0, None), ("beside", 1.0, Some(6.0))].iter().enumerate() {
        let recorder = &found["recorders"][at];
        assert_eq!(recorder["name"], *name);
        for result in recorder["results"].as_array().unwrap() {
            assert_eq!(result["seconds"].as_array().unwrap().len(), 3);
            assert_eq!(result["events"], *events);
            assert!(per_event.is_none_or(|bytes| result["bytes_per_event"] == bytes));
            let number = |key: &str| result[key].as_f64().unwrap();
            assert!(number("low") <= number("ratio") && number("ratio") <= number("high"), "{result}");
        }
    }
    assert_eq!(found["recorders"][0]["results"][0]["dropped"], 1.0);
}

#[test]
fn what_was_measured_is_kept_and_shown_again() {
    let dir = tempfile::tempdir().unwrap();
    let body = "command = ['env', '{workload}']\nevents = 'echo 40'\ndropped = 'echo 10'\nnamed = 'echo {path} | wc -l'\n\
                output = '{dir}/result.json'";
    let (one, two) = (adapter(dir.path(), "one", body), adapter(dir.path(), "two", body));
    let out = |name: &str| dir.path().join(name).display().to_string();
    let keep = |recorder: &str, workloads: &str, to: &str| {
        let args = ["overhead", "--rounds", "2", "--scale", "0.001", "--recorder", recorder, "--workload", workloads];
        let output = eval(&[&args[..], &["-o", to]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    keep(&one, "storm,pipe", &out("first"));
    keep(&format!("{one},{two}"), "storm", &out("second"));
    let kept = |name: &str| Path::new(&out("first")).join(name);
    let run: serde_json::Value = serde_json::from_slice(&std::fs::read(kept("run.json")).unwrap()).unwrap();
    let sum = run["recorders"][0]["sha256"].as_str().unwrap();
    assert!(
        sum.len() == 64 && run["eval"]["sha256"].as_str().unwrap() != sum,
        "of env(1), which is the recorder: {run}"
    );
    assert!(run["load_after"].is_number() && run["cpus"].is_number() && run["kernel"].is_string());
    assert_eq!(run["bare"][0]["operations"], 300, "a thousandth of the rounds");
    let result = &run["recorders"][0]["results"];
    assert_eq!(
        (&result[0]["named"], &result[1]["named"]),
        (&1.0.into(), &serde_json::Value::Null),
        "a pipe opens no file"
    );
    assert_eq!(result[0]["runs"].as_array().unwrap().len(), 2);
    let table = std::fs::File::open(kept("overhead.parquet")).unwrap();
    let table = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(table).unwrap();
    assert_eq!(table.metadata().file_metadata().num_rows(), 8, "two workloads, two rounds, bare and recorded");
    let picture = std::fs::read_to_string(kept("overhead.svg")).unwrap();
    assert!(["open-read-close", "pipe", "one"].iter().all(|word| picture.contains(word)));

    let [first, second] = ["first", "second"].map(|name| format!("{}/run.json", out(name)));
    let again = eval(&["overhead", "--from", &first, "--from", &second]);
    let text = String::from_utf8(again.stdout).unwrap();
    assert!(again.status.success() && text.contains("two *") && text.contains("80.00 %"), "{text}");
    assert!(text.contains("* in another run: 2 rounds, work x 0.001"), "{text}");
    assert_eq!(eval(&["overhead", "--from", &first, "--rounds", "3"]).status.code(), Some(2));
    let foreign = eval(&["overhead", "--from", &one]);
    assert_eq!(foreign.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&foreign.stderr).contains("no result of this command"));
}

#[test]
fn what_cannot_be_measured_is_named_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let rest = "events = 'echo 0'\noutput = '{dir}'";
    let recorders = [
        adapter(
            dir.path(),
            "missing",
            &format!("needs = ['no-such-recorder']\ncommand = ['x', '{{workload}}']\n{rest}"),
        ),
        adapter(
            dir.path(),
            "failing",
            &format!("command = ['sh', '-c', 'echo out of luck >&2; exit 3', '{{workload}}']\n{rest}"),
        ),
    ];
    let found = measure(&recorders, "storm");
    let absent = found["absent"].to_string();
    assert!(absent.contains("no-such-recorder is not installed"), "{absent}");
    assert!(absent.contains("failing on storm") && absent.contains("out of luck"), "{absent}");
    assert_eq!(found["recorders"][0]["results"], serde_json::json!([]));
}

#[test]
fn a_foreign_adapter_is_refused_with_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = adapter(dir.path(), "odd", "colour = 'red'");
    let output = eval(&["overhead", "--recorder", &file]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("odd.toml") && text.contains("colour") && text.contains("hint: "), "{text}");
}

#[test]
fn a_workload_runs_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    for workload in ["storm", "forkexec", "findgrep"] {
        let output = eval(&["workload", workload, path, "--prepare", "--scale", "0.01"]);
        assert!(output.status.success(), "{workload}: {}", String::from_utf8_lossy(&output.stderr));
        let measured: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(measured["seconds"].as_f64().unwrap() > 0.0);
    }
}
