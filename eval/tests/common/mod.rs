//! A small recording with ground truth, and alerts about it, made by hand.
//!
//! ```text
//! t/s        0         10        18        20        21        22        30        31        36
//! cpu 0      0 web     1 web               2 drop    3 drop    4 drop    5 mask    6 mask    7 web
//! cpu 1      0 job               1 job, 2 (incarnation unknown)
//! ```
//!
//! web, drop and mask are in container 1, job is in container 2. drop and mask are the attack: 5 of 11 events.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datasets::*;
use record_bpf::{Class, Kind};
use replay::alert::{Alert, Finding};
use replay::deviation::{DeviationKind, RowRef, Tier, Tree};
use replay::engines::Severity;

pub const START: i64 = 1_790_000_000_000_000_000;
pub const WEB: u64 = 10;
pub const DROP: u64 = 20;
pub const MASK: u64 = 30;
pub const JOB: u64 = 40;

/// Seconds after the start as Unix ns.
pub const fn at(seconds: i64) -> i64 {
    START + seconds * 1_000_000_000
}

fn common(kind: Kind, seconds: i64, cpu: u16, seq: u64, container: char, exec_id: Option<u64>) -> Common {
    let container: Arc<str> = container.to_string().repeat(64).into();
    Common { ts: at(seconds), cpu, seq, kind, container: Some(container), pid: 7, tid: 7, exec_id }
}

fn open(seconds: i64, cpu: u16, seq: u64, container: char, exec_id: Option<u64>) -> Event {
    file(common(Kind::Open, seconds, cpu, seq, container, exec_id), Some("/srv/data"), false)
}

pub fn file(common: Common, path: Option<&str>, path_truncated: bool) -> Event {
    Event::File(FileEvent {
        path: path.map(Arc::from),
        path_truncated,
        ret: 3,
        fd: Some(3),
        flags: Some(0),
        mode: Some(0o100_644),
        inode: Some(1),
        dev: Some(1),
        ..FileEvent::new(common)
    })
}

fn exec(seconds: i64, seq: u64, exec_id: u64, argv: Option<&[&str]>) -> Event {
    Event::Process(ProcessEvent {
        parent_exec_id: Some(WEB),
        exe: Some("/tmp/x".into()),
        exe_inode: Some(2),
        exe_dev: Some(1),
        exe_memfd: Some(false),
        exe_deleted: Some(false),
        argv: argv.map(|argv| argv.iter().copied().map(Arc::from).collect()),
        argv_truncated: Some(false),
        cwd: Some("/".into()),
        uid: Some(0),
        gid: Some(0),
        ..ProcessEvent::new(common(Kind::Exec, seconds, 0, seq, '1', Some(exec_id)))
    })
}

fn connect(seconds: i64, seq: u64, exec_id: u64, family: &str, peer: Option<&str>) -> Event {
    Event::Network(NetworkEvent {
        peer_addr: peer.map(Arc::from),
        peer_port: peer.map(|_| 3333),
        fd: 4,
        inode: Some(3),
        ..NetworkEvent::new(common(Kind::Connect, seconds, 0, seq, '1', Some(exec_id)), family, "tcp")
    })
}

/// The events of the picture above. One exec has no argv, one connect has no peer, one path is cut off.
pub fn events() -> Vec<Event> {
    let cut = common(Kind::Open, 36, 0, 7, '1', Some(WEB));
    vec![
        open(0, 0, 0, '1', Some(WEB)),
        open(10, 0, 1, '1', Some(WEB)),
        exec(20, 2, DROP, Some(&["x", "-o", "pool:3333"])),
        connect(21, 3, DROP, "inet", Some("10.0.0.2")),
        open(22, 0, 4, '1', Some(DROP)),
        exec(30, 5, MASK, None),
        connect(31, 6, MASK, "inet6", None),
        file(cut, Some("/srv/very"), true),
        open(0, 1, 0, '2', Some(JOB)),
        open(18, 1, 1, '2', Some(JOB)),
        open(18, 1, 2, '2', None),
    ]
}

pub fn labels() -> Vec<Label> {
    let label = |class, seq, act: &str, technique: &str| Label {
        class,
        cpu: 0,
        seq,
        act: act.into(),
        step: "run".into(),
        technique: technique.into(),
        ambiguous: false,
    };
    vec![
        label(Class::Process, 2, "drop", "T1105"),
        label(Class::Network, 3, "drop", "T1496"),
        label(Class::File, 4, "drop", "T1496"),
        label(Class::Process, 5, "mask", "T1036"),
        label(Class::Network, 6, "mask", "T1496"),
    ]
}

/// Writes a recording. `account`: what to say of emitted, dropped and filtered events; `None`: the recorder was killed.
pub fn record(dir: &Path, events: &[Event], labels: &[Label], account: Option<Accounting>) -> Recording {
    let recorder = Recorder { name: "test".to_owned(), version: "0".to_owned() };
    let kernel = Kernel { release: "6.1.0".to_owned(), machine: "x86_64".to_owned() };
    let manifest =
        Manifest::new(recorder, kernel, START, vec!["all".to_owned()], &[Class::Process, Class::File, Class::Network]);
    let mut writer = RecordingWriter::create(dir, manifest).unwrap();
    for event in events {
        writer.push(event).unwrap();
    }
    writer.write_processes(&[]).unwrap();
    writer.write_containers(&[]).unwrap();
    if !labels.is_empty() {
        writer.write_labels(labels).unwrap();
    }
    match account {
        Some(account) => drop(writer.finish(account, at(40)).unwrap()),
        None => writer.flush().unwrap(),
    }
    Recording::open(dir).unwrap()
}

/// The recording of the picture, finished and without loss.
pub fn labelled(dir: &Path) -> Recording {
    record(dir, &events(), &labels(), Some(Accounting::default()))
}

pub fn row(class: Class, cpu: u16, seq: u64) -> RowRef {
    RowRef { class, cpu, seq }
}

pub fn alert(id: &str, severity: Severity, exec_id: Option<u64>, raised: i64, rows: &[RowRef]) -> Alert {
    let finding = |row: &RowRef| Finding {
        tree: Tree::File,
        kind: DeviationKind::NewPath,
        tier: Tier::Structure,
        text: "x opens /tmp/x".into(),
        host_path: None,
        path: vec!["image".into(), "x".into()],
        at: 1,
        risk: None,
        changes: Vec::new(),
        token_novelty: None,
        nearest: None,
        ts: at(raised),
        count: 1,
        rows: vec![*row],
        reached: BTreeMap::new(),
        verdicts: Vec::new(),
        unanswered: Vec::new(),
    };
    Alert {
        id: id.to_owned(),
        incident: "I0001".to_owned(),
        severity,
        score: 50.0,
        ts: at(raised),
        time: "2026-09-21T00:00:00Z".to_owned(),
        raised_at: at(raised),
        image: "image".into(),
        image_digest: None,
        container: "1".repeat(64).into(),
        recording: None,
        container_name: None,
        runtime: None,
        pod: None,
        namespace: None,
        pid: 7,
        exec_id,
        process: "x".into(),
        ancestry: Vec::new(),
        engines: Vec::new(),
        rules: Vec::new(),
        technique: None,
        action: "look".to_owned(),
        commands: Vec::new(),
        deviations: rows.iter().map(finding).collect(),
        allowed: None,
        truth: None,
    }
}

/// A true critical alert, a false high one, a true medium one, and a false low one without an incarnation.
pub fn alerts() -> Vec<Alert> {
    use Class::{File, Network, Process};
    vec![
        alert("A0001", Severity::Low, None, 18, &[row(File, 1, 2)]),
        alert("A0002", Severity::Critical, Some(DROP), 21, &[row(Process, 0, 2), row(Network, 0, 3)]),
        alert("A0003", Severity::Medium, Some(MASK), 30, &[row(Process, 0, 5)]),
        alert("A0004", Severity::High, Some(WEB), 36, &[row(File, 0, 7)]),
    ]
}

/// Writes what a replay writes, as far as it is read here.
pub fn write_alerts(dir: &Path, alerts: &[Alert]) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("alerts.parquet"), replay::output::parquet::encode(alerts).unwrap()).unwrap();
}
