//! The binary: what it prints, where, and its exit codes.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::*;
use datasets::*;
use record_bpf::Kind;

fn datasets(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_datasets")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn incarnation(exec_id: u64, parent: Option<u64>, prev: Option<u64>, origin: Origin, argv: &[&str]) -> Process {
    Process {
        exec_id,
        parent_exec_id: parent,
        prev_exec_id: prev,
        origin,
        container: Some("c".repeat(64).into()),
        pid: prev.unwrap_or(exec_id) as u32,
        start: Some(START + exec_id as i64),
        exe: Some(format!("/bin/{}", argv[0]).into()),
        argv: Some(argv.iter().map(|arg| (*arg).into()).collect()),
        exit_code: None,
        exit_signal: None,
        exe_memfd: false,
        exe_deleted: false,
        argv_truncated: false,
        ..processes()[2].clone()
    }
}

/// A web server that ran three equal health checks, and a shell that became a miner.
fn attack(dir: &Path) {
    let mut writer = RecordingWriter::create(dir, manifest()).unwrap();
    let mut random = Random(1);
    let mut seqs = 0..;
    let mut push = |writer: &mut RecordingWriter, kind, exec_id| {
        let seq = seqs.next().unwrap();
        let mut row = event(&mut random, kind, START + seq as i64, 0, seq);
        row.common_mut().exec_id = exec_id;
        writer.push(&row).unwrap();
        Label {
            class: kind.class(),
            cpu: 0,
            seq,
            act: "drop".into(),
            step: "run".into(),
            technique: "T1496".into(),
            ambiguous: false,
        }
    };
    push(&mut writer, Kind::Open, Some(1));
    let label = push(&mut writer, Kind::Connect, Some(31));
    push(&mut writer, Kind::Exit, None);
    let mut rows = vec![incarnation(1, None, None, Origin::Snapshot, &["nginx", "-g", "daemon off;"])];
    for i in 10..13 {
        rows.push(incarnation(i, Some(1), None, Origin::Fork, &["nginx"]));
        rows.push(incarnation(i + 10, Some(1), Some(i), Origin::Exec, &["curl", "localhost"]));
    }
    rows.push(incarnation(30, Some(1), None, Origin::Exec, &["sh", "-c", "echo \x1b[31m"]));
    rows.push(incarnation(31, Some(1), Some(30), Origin::Exec, &["xmrig", "-o", "pool:3333"]));
    writer.write_processes(&rows).unwrap();
    writer.write_containers(&containers()).unwrap();
    let counts = |emitted| ClassAccount { emitted, ..ClassAccount::default() };
    let classes = [("file", 1), ("network", 1), ("process", 1)].map(|(name, n)| (name.to_owned(), counts(n)));
    let cpu = CpuAccount { cpu: 0, next_seq: 3, classes: classes.into_iter().collect(), ..CpuAccount::default() };
    writer.finish(Accounting { cpus: vec![cpu], ..Accounting::default() }, START + 2_000_000_000).unwrap();
    let step = Step {
        act: "drop".into(),
        step: "run".into(),
        technique: "T1496".into(),
        start_ns: START,
        end_ns: START + 1_500_000_000,
        container: Some("web".into()),
        description: "runs the miner".into(),
        ambiguous: false,
    };
    let scenario = Scenario {
        name: "xmrig".into(),
        description: "a miner".into(),
        seed: 4,
        steps: vec![step],
        ..Scenario::default()
    };
    add_labels(dir, &[label], scenario).unwrap();
}

#[test]
fn the_tree_folds_equal_siblings_joins_incarnations_and_marks_the_attack() {
    let dir = tempfile::tempdir().unwrap();
    attack(dir.path());
    let path = dir.path().to_str().unwrap();
    let out = datasets(&["tree", path]);
    assert!(out.status.success());
    let expected = "\
web (localhost/web:1, cccccccccccc)
└─ 1 nginx -g 'daemon off;'
   ├─ 10 curl localhost  ×3
   └─ 30 sh -c 'echo \\u{1b}[31m' => xmrig -o pool:3333  <== attack: drop/run T1496
";
    assert_eq!(text(&out.stdout), expected);
    let full = datasets(&["tree", path, "--container", "web", "--full"]);
    assert_eq!(text(&full.stdout).matches("curl localhost").count(), 3);
    let none = datasets(&["tree", path, "--container", "db"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(text(&none.stderr).contains("no container \"db\" here; there are: web"));
}

#[test]
fn info_sums_up_for_people_and_programs() {
    let dir = tempfile::tempdir().unwrap();
    attack(dir.path());
    let path = dir.path().to_str().unwrap();
    let out = datasets(&["info", path]);
    assert!(out.status.success());
    for part in ["complete", "2.0 s", "localhost/web:1", "Scenario xmrig (seed 4)", "T1496", "+1.5 s", "1 labelled"] {
        assert!(text(&out.stdout).contains(part), "{part} in {}", text(&out.stdout));
    }
    let json: serde_json::Value =
        serde_json::from_slice(&datasets(&["info", path, "--format", "json"]).stdout).unwrap();
    assert_eq!(json["rows"], 3);
    assert_eq!(json["duration_s"], 2.0);
    assert_eq!(json["events_per_s"], 1.5);
    let file = json["classes"].as_array().unwrap().iter().find(|class| class["class"] == "file").unwrap();
    assert_eq!(file["dropped"], 0);
    assert_eq!(json["scenario"]["steps"][0]["technique"], "T1496");
}

#[test]
fn verify_exits_with_what_it_found() {
    let dir = tempfile::tempdir().unwrap();
    attack(dir.path());
    let path = dir.path().to_str().unwrap();
    let out = datasets(&["verify", path]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stdout));
    assert!(text(&out.stdout).contains("intact"));
    assert!(out.stderr.is_empty(), "no progress bar off a terminal");

    let segment = dir.path().join("file/00000.parquet");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[10] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let out = datasets(&["verify", path]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stdout).contains("DAMAGED") && text(&out.stdout).contains("file/00000.parquet"));
    let json: serde_json::Value =
        serde_json::from_slice(&datasets(&["verify", path, "--format", "json"]).stdout).unwrap();
    assert_eq!(json["verdict"], "damaged");
    assert_eq!(json["findings"][0]["kind"], "altered");
    assert_eq!(json["findings"][0]["place"], "file/00000.parquet");
}

#[test]
fn bad_input_is_one_line_with_a_way_out_and_its_own_code() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    for (args, code, part) in [
        (vec!["verify", path], 4, "it has no manifest.json"),
        (vec!["info", "/no/such/recording"], 4, "it does not exist"),
        (vec!["tree", "no-such-name"], 4, "no recording called \"no-such-name\""),
        (vec!["verify"], 2, "PATH|NAME"),
        (vec!["schema", "--format", "xml"], 2, "xml"),
    ] {
        let out = datasets(&args);
        assert_eq!(out.status.code(), Some(code), "{args:?}");
        assert!(text(&out.stderr).contains(part), "{args:?}: {}", text(&out.stderr));
        assert!(out.stdout.is_empty());
        if code == 4 {
            let lines: Vec<&str> = text(&out.stderr).lines().collect();
            assert!(lines.len() == 2 && lines[0].starts_with("error: ") && lines[1].starts_with("hint: "), "{lines:?}");
        }
    }
}

#[test]
fn a_full_output_is_an_error_and_a_closed_one_is_not() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_datasets")).arg("schema").stdout(full).status().unwrap();
    assert_eq!(status.code(), Some(5));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_datasets")).arg("schema").stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn schema_md_is_what_the_program_prints() {
    let out = datasets(&["schema", "--format", "markdown"]);
    let file = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("SCHEMA.md")).unwrap();
    assert_eq!(text(&out.stdout), file, "run: cargo run -p datasets -- schema --format markdown > datasets/SCHEMA.md");
    let table = datasets(&["schema"]);
    let json: serde_json::Value = serde_json::from_slice(&datasets(&["schema", "--format", "json"]).stdout).unwrap();
    for doc in json["tables"].as_array().unwrap() {
        assert!(text(&table.stdout).contains(doc["name"].as_str().unwrap()));
        assert!(
            doc["columns"].as_array().unwrap().iter().all(|column| !column["meaning"].as_str().unwrap().is_empty())
        );
    }
}
