//! The commands for daily work, as a person runs them, on recordings that ship.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use datasets::select::Selection;
use datasets::{Recording, slice};
use serde_json::Value;

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_datasets"));
    command.args(args).env_remove("COLUMNS");
    command
}

fn datasets(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

/// Eight seconds of a shipped attack, in a directory: every class it has, its labels, and few enough rows for many tries.
fn attack(dir: &Path) -> String {
    let source = Recording::shipped("exfil-dns").unwrap();
    let started = source.manifest().started.ns;
    let at = |seconds: i64| Some(started + seconds * 1_000_000_000);
    let selection = Selection { from: at(62), to: at(70), ..Selection::default() };
    let path = dir.join("attack");
    slice(&source, &selection, &path, |_| {}).unwrap();
    path.to_str().unwrap().to_owned()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn head_is_readable_fits_the_width_and_joins_container_and_process_in() {
    let output = command(&["head", "xmrig", "-n", "40", "--class", "process"]).env("COLUMNS", "80").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(shown.len(), 41, "a header and 40 rows");
    assert!(shown.iter().all(|line| line.chars().count() <= 80), "{shown:#?}");
    assert!(shown[0].starts_with("clock ") && shown[0].ends_with("what"), "{}", shown[0]);
    let recording = Recording::shipped("xmrig").unwrap();
    let names: Vec<String> = recording.containers().unwrap().into_iter().filter_map(|row| row.name).collect();
    let ends: Vec<&str> = names.iter().map(|name| &name[name.len() - 6..]).collect();
    assert!(shown[1..].iter().all(|line| ends.iter().any(|end| line.contains(end))), "{ends:?} {shown:#?}");

    let whole = datasets(&["head", "xmrig", "-n", "40", "--class", "process"]);
    assert!(text(&whole.stdout).lines().any(|line| line.chars().count() > 80), "nothing is cut in a pipe");
    assert_eq!(text(&datasets(&["head", "xmrig"]).stdout).lines().count(), 21);
}

#[test]
fn cat_gives_columns_as_json_and_csv_in_order_of_time() {
    let columns = "ts,class,op,image,process,command,label,argv,path";
    let dir = tempfile::tempdir().unwrap();
    let path = attack(dir.path());
    let rows = lines(&datasets(&["cat", &path, "--format", "json", "--columns", columns]));
    assert_eq!(rows.len() as u64, Recording::open(&path).unwrap().manifest().rows());
    assert!(rows.is_sorted_by_key(|row| row["ts"].as_i64().unwrap()));
    assert!(rows.iter().any(|row| row["label"].as_str().is_some_and(|label| label.contains(" T"))));
    assert!(rows.iter().any(|row| row["op"] == "exec" && row["argv"].is_array() && row["path"].is_null()));
    let csv = datasets(&["cat", &path, "--class", "process", "--format", "csv", "--columns", "pid,op,argv"]);
    let shown: Vec<&str> = text(&csv.stdout).lines().collect();
    assert_eq!(shown[0], "pid,op,argv");
    let exec = shown.iter().find(|line| line.contains(",exec,")).unwrap();
    assert!(exec.contains(",\"[\"\"") && exec.ends_with("]\""), "{exec}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    for args in [["cat", "xmrig", "--format", "json"], ["export", "xmrig", "--format", "jsonl"]] {
        let mut child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
        assert!(serde_json::from_str::<Value>(&first).is_ok(), "{first}");
    }
}

#[test]
fn export_has_a_line_for_each_row_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    let path = attack(dir.path());
    let recording = Recording::open(&path).unwrap();
    let count =
        |class: &str| recording.manifest().segments.iter().filter(|s| s.class == class).map(|s| s.rows).sum::<u64>();
    let rows = recording.manifest().rows();

    let jsonl = lines(&datasets(&["export", &path, "--format", "jsonl"]));
    assert_eq!(jsonl.len() as u64, rows);
    assert!(jsonl.iter().all(|line| line["time"].is_string() && line["seq"].is_u64() && line["op"].is_string()));

    let output = datasets(&["export", &path, "--format", "falco"]);
    assert!(text(&output.stderr).contains("class resource were left out"), "{}", text(&output.stderr));
    let falco = lines(&output);
    assert_eq!(falco.len() as u64, rows - count("resource"));
    for line in &falco {
        for field in ["output", "priority", "rule", "source", "time"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
        assert!(line["tags"].is_array() && line["output_fields"]["container.id"].is_string(), "{line}");
    }
    let exec = falco.iter().find(|line| line["output_fields"]["evt.type"] == "execve").unwrap();
    assert!(["proc.name", "proc.exepath", "proc.cmdline"].iter().all(|field| exec["output_fields"][field].is_string()));
    let mut fields = falco.iter().map(|line| &line["output_fields"]);
    let connect = fields.find(|fields| fields["evt.type"] == "connect" && fields["fd.typechar"] == "4");
    assert!(connect.unwrap()["fd.name"].as_str().unwrap().contains("->"));
    assert!(falco.iter().any(|line| !line["tags"].as_array().unwrap().is_empty()), "labels are tags");
}

#[test]
fn ocsf_events_are_of_the_class_that_fits_and_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let events = lines(&datasets(&["export", &attack(dir.path()), "--format", "ocsf"]));
    for event in &events {
        let number = |field: &str| event[field].as_u64().unwrap_or_else(|| panic!("{field} in {event}"));
        assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"));
        assert_eq!(number("category_uid"), number("class_uid") / 1000);
        assert_eq!(event["metadata"]["version"], datasets::export::OCSF_VERSION);
        assert!(event["time"].is_i64() && event["severity_id"] == 1 && event["device"]["type_id"] == 0);
        let own = match number("class_uid") {
            1001 => "file",
            1003 => "kernel",
            1004 | 1007 => "process",
            4001 => "connection_info",
            4003 => "query",
            other => panic!("class {other}"),
        };
        let malformed = own == "query" && event["activity_id"] == 6;
        assert!(event[own].is_object() || malformed, "{own} in {event}");
    }
    let of = |class: u64, activity: u64| {
        events.iter().filter(|e| e["class_uid"] == class && e["activity_id"] == activity).count()
    };
    for (class, activity) in [(1007, 1), (1007, 2), (1001, 14), (4001, 1), (4003, 1), (4003, 2)] {
        assert!(of(class, activity) > 0, "{class} {activity}");
    }
    let launch = events.iter().find(|e| e["class_uid"] == 1007 && e["activity_id"] == 1).unwrap();
    assert!(launch["process"]["cmd_line"].is_string() && launch["process"]["file"]["path"].is_string(), "{launch}");
    assert!(launch["process"]["container"]["image"]["name"].is_string(), "{launch}");
}

#[test]
fn slice_merge_and_anonymise_make_recordings_that_verify() {
    let dir = tempfile::tempdir().unwrap();
    let source = attack(dir.path());
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (begin, end, both, given) = (at("begin"), at("end"), at("both"), at("given"));
    let key = at("key");
    std::fs::write(&key, [7; 32]).unwrap();
    for args in [
        vec!["slice", &source, "--to", "+3s", "-o", &begin],
        vec!["slice", &source, "--from", "+5s", "-o", &end],
        vec!["merge", &begin, &end, "-o", &both],
        vec!["anonymise", &both, "--key", &key, "-o", &given],
    ] {
        let output = datasets(&args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains("rows"));
        let made = args.last().unwrap();
        assert!(text(&datasets(&["verify", made]).stdout).contains("intact"), "{made}");
        let note = format!("{} of the ", args[0]);
        for command in ["info", "verify"] {
            let shown = datasets(&[command, made]);
            assert!(
                text(&shown.stdout).contains(&note),
                "{command} says what it was made from: {}",
                text(&shown.stdout)
            );
        }
    }
    let names = Recording::open(&both).unwrap().containers().unwrap();
    for row in names.iter().filter_map(|row| row.name.as_deref()) {
        assert_eq!(datasets(&["absent", &given, row]).status.code(), Some(0), "{row}");
        assert_eq!(datasets(&["absent", &both, row]).status.code(), Some(1), "{row}");
    }
}

#[test]
fn what_makes_no_sense_is_bad_usage_and_what_is_there_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("there");
    std::fs::write(&file, "kept").unwrap();
    let (there, out) = (file.to_str().unwrap(), dir.path().join("out"));
    let out = out.to_str().unwrap();
    for (args, code, part) in [
        (vec!["head", "xmrig", "--columns", "nothing"], 2, "no column \"nothing\""),
        (vec!["head", "xmrig", "--container", "nobody"], 2, "no container \"nobody\" here; there are: "),
        (vec!["cat", "xmrig", "--class", "everything"], 2, "no such class"),
        (vec!["cat", "xmrig", "--from", "yesterday"], 2, "is no moment"),
        (vec!["slice", "xmrig", "-o", out], 2, "nothing is chosen"),
        (vec!["slice", "xmrig", "--to", "+1", "-o", there], 5, "exists"),
        (vec!["export", "xmrig", "--format", "jsonl", "-o", there], 5, "cannot write"),
        (vec!["anonymise", "xmrig", "--key", there, "-o", out], 4, "16 bytes or more"),
        (vec!["merge", "xmrig", "-o", out], 2, "2 values required"),
    ] {
        let output = datasets(&args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(part), "{args:?}: {}", text(&output.stderr));
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    for name in ["head", "cat", "slice", "merge", "anonymise", "export", "sql"] {
        if name == "sql" && !cfg!(feature = "sql") {
            continue;
        }
        let help = datasets(&[name, "--help"]);
        let (_, examples) = text(&help.stdout).split_once("Examples:\n").unwrap();
        assert!(examples.contains(&format!("  datasets {name} ")), "{name}");
    }
}
