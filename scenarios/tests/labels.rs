//! Ground truth on a synthetic recording whose attack events are known one by one.

use std::path::Path;
use std::sync::Arc;

use datasets::{
    Common, Event, FileEvent, Kernel, Label, Manifest, NetworkEvent, Origin, Process, ProcessEvent, Recorder,
    Recording, RecordingWriter,
};
use record_bpf::{Class, Kind};
use scenarios::definition::{FileMatcher, Matchers, NetworkMatcher, RootMatcher};
use scenarios::{Error, RunContainer, StepRun, Timeline};

const T0: i64 = 1_790_000_000_000_000_000;
const S: i64 = 1_000_000_000;

fn id(digit: char) -> Arc<str> {
    digit.to_string().repeat(64).into()
}

/// Builds a recording: each event gets the next sequence number of its only CPU.
#[derive(Default)]
struct Script {
    processes: Vec<Process>,
    events: Vec<Event>,
    seq: u64,
}

impl Script {
    fn process(&mut self, at: Option<i64>, origin: Origin, [exec, parent, prev]: [u64; 3], exe: &str, argv: &str) {
        self.processes.push(Process {
            exec_id: exec,
            parent_exec_id: (parent > 0).then_some(parent),
            prev_exec_id: (prev > 0).then_some(prev),
            origin,
            container: Some(id('a')),
            pid: exec as u32,
            ns_pid: None,
            start: at.map(|at| T0 + at * S),
            end: None,
            exe: (!exe.is_empty()).then(|| exe.into()),
            argv: Some(argv.split(' ').map(Arc::from).collect()),
            cwd: None,
            comm: None,
            uid: None,
            gid: None,
            exe_memfd: false,
            exe_deleted: false,
            argv_truncated: false,
            exit_code: None,
            exit_signal: None,
        });
    }

    fn common(&mut self, at: i64, kind: Kind, exec: u64) -> Common {
        self.seq += 1;
        Common {
            ts: T0 + at * S,
            cpu: 0,
            seq: self.seq - 1,
            kind,
            container: Some(id('a')),
            pid: exec as u32,
            tid: exec as u32,
            exec_id: Some(exec),
        }
    }

    /// Returns the event's sequence number, as all of these do.
    fn life(&mut self, at: i64, kind: Kind, exec: u64, child: Option<u64>) -> u64 {
        let common = self.common(at, kind, exec);
        self.events.push(Event::Process(ProcessEvent {
            child_exec_id: child,
            child_pid: child.map(|child| child as u32),
            ..ProcessEvent::new(common)
        }));
        self.seq - 1
    }

    fn open(&mut self, at: i64, exec: u64, path: &str, flags: u32) -> u64 {
        let common = self.common(at, Kind::Open, exec);
        self.events.push(Event::File(FileEvent {
            path: Some(path.into()),
            ret: 3,
            fd: Some(3),
            flags: Some(flags),
            ..FileEvent::new(common)
        }));
        self.seq - 1
    }

    fn connect(&mut self, at: i64, exec: u64) -> u64 {
        let common = self.common(at, Kind::Connect, exec);
        self.events.push(Event::Network(NetworkEvent {
            peer_port: Some(3333),
            fd: 4,
            ..NetworkEvent::new(common, "inet", "tcp")
        }));
        self.seq - 1
    }

    fn accept(&mut self, at: i64, exec: u64, peer: &str) -> u64 {
        let common = self.common(at, Kind::Accept, exec);
        self.events.push(Event::Network(NetworkEvent {
            peer_addr: Some(peer.into()),
            peer_port: Some(50_000),
            local_port: Some(22),
            ..NetworkEvent::new(common, "inet6", "tcp")
        }));
        self.seq - 1
    }

    fn write(&self, dir: &Path) -> Recording {
        let recorder = Recorder { name: "test".into(), version: "0".into() };
        let kernel = Kernel { release: "6.1".into(), machine: "x86_64".into() };
        let manifest = Manifest::new(recorder, kernel, T0, Vec::new(), &Class::ALL);
        let mut writer = RecordingWriter::create(dir, manifest).unwrap();
        for event in &self.events {
            writer.push(event).unwrap();
        }
        writer.write_processes(&self.processes).unwrap();
        writer.finish(Default::default(), T0 + 100 * S).unwrap();
        Recording::open(dir).unwrap()
    }
}

fn root(exe: &str, parent: Option<&str>, argv: &str, technique: Option<&str>) -> RootMatcher {
    RootMatcher {
        service: "app".into(),
        exe: exe.into(),
        parent_exe: parent.map(str::to_owned),
        argv_contains: vec![argv.into()],
        technique: technique.map(str::to_owned),
        ..RootMatcher::default()
    }
}

fn step(name: &str, from: i64, to: i64, roots: Vec<RootMatcher>, files: Vec<FileMatcher>) -> StepRun {
    StepRun {
        act: "act".into(),
        step: name.into(),
        technique: "T1496".into(),
        description: String::new(),
        start_ns: T0 + from * S,
        end_ns: T0 + to * S,
        container: "retroscope-x-app".into(),
        attacker: "retroscope-outside-x-attacker".into(),
        ambiguous: false,
        matchers: Matchers { roots, files, ..Matchers::default() },
    }
}

fn timeline(steps: Vec<StepRun>) -> Timeline {
    let app = RunContainer {
        service: "app".into(),
        name: "retroscope-x-app".into(),
        id: id('a').to_string(),
        image: "app".into(),
        outside: false,
        aliases: Vec::new(),
        address: "10.89.0.11".into(),
        removed: false,
    };
    Timeline {
        scenario: "x".into(),
        seed: 1,
        start_ns: T0,
        end_ns: T0 + 100 * S,
        interrupted: false,
        responses: Default::default(),
        activities: Default::default(),
        operations: Vec::new(),
        steps,
        containers: vec![app],
    }
}

/// python (1) forks a worker (2, without an exe of its own). The worker runs a benign shell (3 → 4) at 5 s; at 20 s the
/// attack's shell (10 → 11), which forks (12) a miner (13) that outlives the step and forks a helper (14) at 50 s. At
/// 60 s it runs its own program with the attack's arguments (20 → 21), and at 65 s with ordinary ones (22 → 23).
fn script() -> Script {
    let mut script = Script::default();
    script.process(None, Origin::Snapshot, [1, 0, 0], "/usr/bin/python3.11", "python3 app");
    script.process(Some(1), Origin::Fork, [2, 1, 0], "", "python3 app");
    script.process(Some(5), Origin::Fork, [3, 2, 0], "", "python3 app");
    script.process(Some(5), Origin::Exec, [4, 2, 3], "/usr/bin/dash", "sh -c getent hosts cache");
    script.process(Some(20), Origin::Fork, [10, 2, 0], "", "python3 app");
    script.process(Some(20), Origin::Exec, [11, 2, 10], "/usr/bin/dash", "sh -c evil /tmp/xmrig -o stratum");
    script.process(Some(21), Origin::Fork, [12, 11, 0], "", "sh -c evil /tmp/xmrig -o stratum");
    script.process(Some(21), Origin::Exec, [13, 11, 12], "/tmp/xmrig", "/tmp/xmrig -o stratum");
    script.process(Some(50), Origin::Fork, [14, 13, 0], "", "/tmp/xmrig -o stratum");
    script.process(Some(60), Origin::Fork, [20, 2, 0], "", "python3 app");
    script.process(Some(60), Origin::Exec, [21, 2, 20], "/srv/worker", "/srv/worker -o stratum");
    script.process(Some(65), Origin::Fork, [22, 2, 0], "", "python3 app");
    script.process(Some(65), Origin::Exec, [23, 2, 22], "/srv/worker", "/srv/worker --job stratum");
    script
}

#[test]
fn the_attacks_tree_is_labelled_and_nothing_else() {
    let mut script = script();
    let mut expected: Vec<(u64, &str, &str)> = Vec::new();

    // Benign: the same program under the same parent, before the attack, and after it.
    script.life(5, Kind::Fork, 2, Some(3));
    script.life(5, Kind::Exec, 4, None);
    script.open(6, 4, "/etc/hosts", 0);
    script.open(6, 2, "/srv/worker", 0o1);

    expected.push((script.life(20, Kind::Fork, 2, Some(10)), "mine", "T1059.004"));
    expected.push((script.open(20, 10, "/dev/null", 0), "mine", "T1059.004"));
    expected.push((script.life(20, Kind::Exec, 11, None), "mine", "T1059.004"));
    // What the parent does at the same time is not the attack.
    script.open(20, 2, "/srv/data", 0);
    // The inner root: from its fork on, its own technique.
    expected.push((script.life(21, Kind::Fork, 11, Some(12)), "mine", "T1496"));
    expected.push((script.open(21, 12, "/dev/null", 0o1), "mine", "T1496"));
    expected.push((script.life(21, Kind::Exec, 13, None), "mine", "T1496"));
    expected.push((script.life(22, Kind::Exit, 11, None), "mine", "T1059.004"));
    expected.push((script.connect(23, 13), "mine", "T1496"));
    // After the step's window, still the tree.
    expected.push((script.life(50, Kind::Fork, 13, Some(14)), "mine", "T1496"));
    expected.push((script.connect(51, 14), "mine", "T1496"));

    // The overwritten file: only writes, by the application, in the window.
    expected.push((script.open(55, 2, "/srv/worker", 0o1001), "replace", "T1496"));
    script.open(55, 2, "/srv/worker", 0);
    script.open(55, 2, "/srv/other", 0o1);
    script.open(58, 2, "/srv/worker", 0o1);

    expected.push((script.life(60, Kind::Fork, 2, Some(20)), "disguise", "T1496"));
    expected.push((script.life(60, Kind::Exec, 21, None), "disguise", "T1496"));
    // The replaced program at its ordinary work.
    script.life(65, Kind::Fork, 2, Some(22));
    script.life(65, Kind::Exec, 23, None);

    let python = "/usr/bin/python3*";
    let file = FileMatcher {
        service: "app".into(),
        path: "/srv/worker".into(),
        ops: vec!["open".into()],
        exe: Some(python.into()),
        write: true,
        ..FileMatcher::default()
    };
    let timeline = timeline(vec![
        step(
            "mine",
            19,
            30,
            vec![
                root("/usr/bin/*sh", Some(python), "evil", Some("T1059.004")),
                root("/tmp/xmrig", None, "-o stratum", None),
            ],
            Vec::new(),
        ),
        step("replace", 54, 56, Vec::new(), vec![file]),
        step("disguise", 59, 70, vec![root("/srv/worker", Some(python), "-o stratum", None)], Vec::new()),
    ]);

    let folder = tempfile::tempdir().unwrap();
    let recording = script.write(&folder.path().join("recording"));
    let labels = scenarios::label(&recording, &timeline).unwrap();
    let got: Vec<(u64, &str, &str)> = labels.iter().map(|label| (label.seq, &*label.step, &*label.technique)).collect();
    assert_eq!(got, expected);
    assert!(labels.iter().all(|Label { cpu, act, .. }| *cpu == 0 && &**act == "act"));
    assert_eq!(labels.iter().filter(|label| label.class == Class::Network).count(), 2);
    assert_eq!(labels.iter().filter(|label| label.class == Class::File).count(), 3);
}

#[test]
fn side_effects_in_other_processes_are_labelled() {
    // sshd (1) accepts a customer at 10 s and the attacker at 20 s, and forks a child for each: 2, then 3, which starts a
    // shell (4 → 5).
    let mut script = Script::default();
    script.process(None, Origin::Snapshot, [1, 0, 0], "/usr/sbin/sshd", "sshd -D");
    script.process(Some(10), Origin::Fork, [2, 1, 0], "", "sshd -D");
    script.process(Some(20), Origin::Fork, [3, 1, 0], "", "sshd -D");
    script.process(Some(21), Origin::Fork, [4, 3, 0], "", "sshd -D");
    script.process(Some(21), Origin::Exec, [5, 3, 4], "/usr/bin/dash", "sh -c id");
    script.process(Some(30), Origin::Fork, [6, 1, 0], "", "sshd -D");
    script.accept(10, 1, "10.89.0.12");
    script.life(10, Kind::Fork, 1, Some(2));
    let accepted = script.accept(20, 1, "::ffff:10.89.0.13");
    let forked = script.life(20, Kind::Fork, 1, Some(3));
    let shadow = script.open(20, 3, "/etc/shadow", 0);
    let shell = script.life(21, Kind::Exec, 5, None);
    // The log is written for everybody.
    let log = script.open(21, 1, "/var/log/auth.log", 0o1);
    script.open(21, 2, "/etc/passwd", 0);
    script.life(30, Kind::Fork, 1, Some(6));
    // Too late for the step.
    script.accept(40, 1, "10.89.0.13");

    let matchers = |peer: &str| Matchers {
        network: vec![NetworkMatcher {
            service: "app".into(),
            ops: vec!["accept".into()],
            peer: Some(peer.into()),
            port: Some(22),
            exe: Some("/usr/sbin/sshd".into()),
            tree: true,
            ..NetworkMatcher::default()
        }],
        files: vec![FileMatcher {
            service: "app".into(),
            path: "/var/log/*".into(),
            ops: vec!["open".into()],
            ambiguous: true,
            ..FileMatcher::default()
        }],
        expect: vec!["network.accept".into(), "process.exec".into()],
        ..Matchers::default()
    };
    let with = |matchers: Matchers, ambiguous| {
        let mut run = timeline(vec![StepRun { matchers, ambiguous, ..step("login", 19, 25, Vec::new(), Vec::new()) }]);
        let mut attacker = run.containers[0].clone();
        attacker.service = "attacker".into();
        attacker.aliases = vec!["far.example".into()];
        attacker.address = "10.89.0.13".into();
        attacker.id = id('b').to_string();
        run.containers.push(attacker);
        run
    };
    let folder = tempfile::tempdir().unwrap();
    let recording = script.write(&folder.path().join("recording"));
    let found = |run: &Timeline| {
        let labels = scenarios::label(&recording, run).unwrap();
        labels.iter().map(|label| (label.seq, label.ambiguous)).collect::<Vec<_>>()
    };
    let expected = [(accepted, false), (forked, false), (shadow, false), (shell, false), (log, true)];
    for peer in ["attacker", "far.example", "10.89.0.13"] {
        assert_eq!(found(&with(matchers(peer), false)), expected, "{peer}");
    }
    assert_eq!(found(&with(matchers("attacker"), true)), expected.map(|(seq, _)| (seq, true)));

    let error = |matchers| scenarios::label(&recording, &with(matchers, false)).unwrap_err().to_string();
    let none = "step 'login' left no trace in the recording: nothing matches its";
    assert_eq!(error(matchers("10.89.0.99")), format!("{none} network 10.89.0.99 port 22"));
    let unseen = Matchers { expect: vec!["network.connect".into()], ..matchers("attacker") };
    assert_eq!(error(unseen), format!("{none} expected network.connect"));
    let mut optional = matchers("10.89.0.99");
    optional.network[0].optional = true;
    optional.expect.clear();
    assert_eq!(found(&with(optional, false)), [(log, true)]);
}

#[test]
fn a_step_without_a_trace_is_an_error() {
    let mut script = script();
    script.life(20, Kind::Exec, 11, None);
    script.open(20, 2, "/srv/data", 0);
    let folder = tempfile::tempdir().unwrap();
    let recording = script.write(&folder.path().join("recording"));
    let shell = |from, to| step("mine", from, to, vec![root("/usr/bin/dash", None, "evil", None)], Vec::new());
    let label = |steps| scenarios::label(&recording, &timeline(steps));

    assert_eq!(label(vec![shell(19, 30)]).unwrap().len(), 1);
    assert_eq!(label(Vec::new()).unwrap(), []);
    // Another time, another parent, another container.
    assert!(matches!(label(vec![shell(21, 30)]), Err(Error::NoTrace { .. })));
    let orphan = root("/usr/bin/dash", Some("/usr/sbin/nginx"), "evil", None);
    assert!(matches!(label(vec![step("mine", 19, 30, vec![orphan], Vec::new())]), Err(Error::NoTrace { .. })));
    let mut elsewhere = timeline(vec![shell(19, 30)]);
    elsewhere.containers[0].id = id('b').to_string();
    assert!(matches!(scenarios::label(&recording, &elsewhere), Err(Error::NoTrace { .. })));
    // A file that nobody wrote.
    let file = FileMatcher {
        service: "app".into(),
        path: "/x".into(),
        ops: vec!["open".into()],
        write: true,
        ..Default::default()
    };
    let error = label(vec![step("replace", 19, 30, Vec::new(), vec![file])]).unwrap_err();
    assert_eq!(error.to_string(), "step 'replace' left no trace in the recording: nothing matches its file /x");
}
