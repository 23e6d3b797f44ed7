//! `datasets sql`, as a person runs it, on recordings that ship.
#![cfg(feature = "sql")]

use std::process::{Command, Output};

use datasets::Recording;
use record_bpf::Class;
use serde_json::{Value, json};

fn sql(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_datasets")).arg("sql").args(args).env("COLUMNS", "80").output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn rows(args: &[&str]) -> Vec<Value> {
    let output = sql(&[args, &["--format", "json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn counts_are_those_of_the_manifest_and_of_the_rows() {
    let recording = Recording::shipped("xmrig").unwrap();
    let manifest = recording.manifest();
    for class in [Class::Process, Class::File, Class::Network, Class::Dns] {
        let stored: u64 = manifest.class_segments(class).map(|segment| segment.rows).sum();
        let asked = rows(&["xmrig", &format!("select count(*) as n from {}", class.name())]);
        assert_eq!(asked, [json!({ "n": stored })], "{}", class.name());
    }
    assert_eq!(rows(&["xmrig", "select count(*) as n from events"]), [json!({ "n": manifest.rows() })]);
    assert_eq!(rows(&["xmrig", "select class from events limit 3"]).len(), 3);

    // Every type of column, against the reader of rows.
    let exec = recording.events_of(&[Class::Process]).map(Result::unwrap);
    let execs = exec.filter(|event| event.common().kind.op() == "exec").count();
    let asked = rows(&[
        "xmrig",
        "select ts, cpu, seq, exec_id, argv, exe, container from process where op = 'exec' order by ts, cpu, seq",
    ]);
    assert_eq!(asked.len(), execs);
    assert!(execs > 10);
    let first = &asked[0];
    assert!(first["argv"].as_array().is_some_and(|argv| argv.iter().all(Value::is_string)), "{first}");
    assert!(first["ts"].as_str().is_some_and(|ts| ts.starts_with("2026-") && ts.ends_with('Z')), "{first}");
    assert!(asked.windows(2).all(|pair| pair[0]["ts"].as_str() <= pair[1]["ts"].as_str()));
}

#[test]
fn tables_join_and_several_recordings_are_told_apart() {
    let names = "select distinct c.name from network n join containers c on n.container = c.container order by c.name";
    let asked = rows(&["xmrig", names]);
    assert!(asked.iter().any(|row| row["name"].as_str().is_some_and(|name| name.ends_with("-app"))), "{asked:?}");
    let per = "select recording, count(*) as n from process group by recording order by recording";
    let asked = rows(&["xmrig", "web-shell", per]);
    let stored = |name: &str| -> u64 {
        Recording::shipped(name).unwrap().manifest().class_segments(Class::Process).map(|segment| segment.rows).sum()
    };
    let expected = ["web-shell", "xmrig"].map(|name| json!({ "recording": name, "n": stored(name) }));
    assert_eq!(asked, expected);
}

#[test]
fn answers_are_tables_that_fit_csv_and_parquet() {
    let query = "select op, path, ts from file where path like '/etc/%' order by ts limit 5";
    let table = sql(&["xmrig", query]);
    let shown: Vec<&str> = text(&table.stdout).lines().collect();
    assert_eq!(shown.len(), 6, "{shown:?} {}", text(&table.stderr));
    assert!(shown[0].starts_with("op ") && shown.iter().all(|line| line.chars().count() <= 80), "{shown:?}");
    let csv = sql(&["xmrig", query, "--format", "csv"]);
    assert_eq!(text(&csv.stdout).lines().next(), Some("op,path,ts"));
    assert_eq!(text(&csv.stdout).lines().count(), 6);

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("etc.parquet");
    let path = file.to_str().unwrap();
    let written = sql(&["xmrig", query, "--format", "parquet", "-o", path]);
    assert!(written.status.success(), "{}", text(&written.stderr));
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&file).unwrap());
    let batches: Vec<_> = reader.unwrap().build().unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 5);
    let again = sql(&["xmrig", query, "--format", "parquet", "-o", path]);
    assert_eq!(again.status.code(), Some(5), "what is there is not overwritten: {}", text(&again.stderr));
}

#[test]
fn a_wrong_query_says_what_there_is() {
    for (query, says) in [
        ("select nothing from process", "nothing"),
        ("select * from nowhere", "the tables are: events, process"),
        ("selec op from process", "selec"),
        ("drop table process; select 1", "polars"),
    ] {
        let output = sql(&["xmrig", query]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{query}: {error} {}", text(&output.stdout));
        assert!(error.starts_with("error: ") && error.contains("\nhint: ") && error.lines().count() == 2, "{error}");
        if says != "polars" {
            assert!(error.to_lowercase().contains(says), "{query}: {error}");
        }
    }
    let output = sql(&["xmrig", "select 1", "--format", "parquet"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(sql(&["/nowhere", "select 1"]).status.code(), Some(4));
}
