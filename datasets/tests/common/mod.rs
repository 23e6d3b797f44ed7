//! Synthetic events: every column null and not null, strings shared and unique, several CPUs.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datasets::*;
use record_bpf::{Class, Kind};

/// splitmix64 (Steele, Lea and Flood 2014): the same seed gives the same events.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn chance(&mut self) -> bool {
        self.next() & 1 == 1
    }

    fn some<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance().then(|| value(self))
    }

    fn text(&mut self) -> Arc<str> {
        match self.below(4) {
            0 => "".into(),
            1 => format!("/tmp/é/{:x}", self.next()).into(),
            _ => format!("/usr/lib/{}", self.below(20)).into(),
        }
    }
}

pub const START: i64 = 1_790_000_000_000_000_000;

pub fn common(random: &mut Random, kind: Kind, ts: i64, cpu: u16, seq: u64) -> Common {
    Common {
        ts,
        cpu,
        seq,
        kind,
        container: random.some(|r| format!("{:064x}", r.below(3)).into()),
        pid: random.next() as u32,
        tid: random.next() as u32,
        exec_id: random.some(Random::next),
    }
}

pub fn event(random: &mut Random, kind: Kind, ts: i64, cpu: u16, seq: u64) -> Event {
    let common = common(random, kind, ts, cpu, seq);
    let r = random;
    match kind.class() {
        Class::Process => Event::Process(ProcessEvent {
            common,
            child_exec_id: r.some(Random::next),
            child_pid: r.some(|r| r.next() as u32),
            parent_exec_id: r.some(Random::next),
            exe: r.some(Random::text),
            exe_inode: r.some(Random::next),
            exe_dev: r.some(|r| r.next() as u32),
            exe_memfd: r.some(Random::chance),
            exe_deleted: r.some(Random::chance),
            argv: r.some(|r| (0..r.below(5)).map(|_| r.text()).collect()),
            argv_truncated: r.some(Random::chance),
            cwd: r.some(Random::text),
            uid: r.some(|r| r.next() as u32),
            gid: r.some(|r| r.next() as u32),
            exit_code: r.some(|r| r.below(256) as i32),
            exit_signal: r.some(|r| r.below(64) as i32),
            cpu_user: r.some(Random::next),
            cpu_system: r.some(Random::next),
            max_rss: r.some(Random::next),
            script: r.some(Random::text),
            interpreter: r.some(Random::text),
            caps_effective: r.some(Random::next),
            pid_ns: r.some(|r| r.next() as u32),
            mnt_ns: r.some(|r| r.next() as u32),
            net_ns: r.some(|r| r.next() as u32),
            user_ns: r.some(|r| r.next() as u32),
            exe_upper: r.some(Random::chance),
        }),
        Class::File => Event::File(FileEvent {
            common,
            path: r.some(Random::text),
            new_path: r.some(Random::text),
            path_from_user: r.chance(),
            path_truncated: r.chance(),
            deleted: r.chance(),
            ret: r.next() as i32,
            fd: r.some(|r| r.next() as i32),
            flags: r.some(|r| r.next() as u32),
            mode: r.some(|r| r.next() as u32),
            inode: r.some(Random::next),
            dev: r.some(|r| r.next() as u32),
            bytes_read: r.some(Random::next),
            bytes_written: r.some(Random::next),
            reads: r.some(|r| r.next() as u32),
            writes: r.some(|r| r.next() as u32),
            implicit: r.chance(),
            host_path: r.some(Random::text),
            offset: r.some(Random::next),
            size: r.some(Random::next),
            uid: r.some(|r| r.next() as u32),
            gid: r.some(|r| r.next() as u32),
            attribute: r.some(Random::text),
            node_dev: r.some(|r| r.next() as u32),
        }),
        Class::Network => Event::Network(NetworkEvent {
            common,
            family: if r.chance() { "inet".into() } else { "unix".into() },
            protocol: r.text(),
            local_addr: r.some(Random::text),
            local_port: r.some(|r| r.next() as u16),
            peer_addr: r.some(Random::text),
            peer_port: r.some(|r| r.next() as u16),
            unix_path: r.some(Random::text),
            ret: r.next() as i32,
            fd: r.next() as i32,
            backlog: r.some(|r| r.next() as i32),
            inode: r.some(Random::next),
            bytes_received: r.some(Random::next),
            bytes_sent: r.some(Random::next),
            peer_from_user: r.chance(),
            implicit: r.chance(),
            socket_type: r.some(Random::text),
            direction: r.some(Random::text),
            old_state: r.some(Random::text),
            state: r.some(Random::text),
            tcp_bytes_received: r.some(Random::next),
            tcp_bytes_sent: r.some(Random::next),
            tcp_bytes_acked: r.some(Random::next),
            retransmits: r.some(|r| r.next() as u32),
            rtt: r.some(|r| r.next() as u32),
            unix_local: r.some(Random::text),
            unix_peer: r.some(Random::text),
            peer_pid: r.some(|r| r.next() as u32),
        }),
        Class::Security => Event::Security(SecurityEvent {
            common,
            ret: r.next() as i32,
            request: r.some(Random::text),
            target_pid: r.some(|r| r.next() as u32),
            target_container: r.some(Random::text),
            signal: r.some(|r| r.below(65) as i32),
            uid: r.some(|r| r.next() as u32),
            euid: r.some(|r| r.next() as u32),
            suid: r.some(|r| r.next() as u32),
            fsuid: r.some(|r| r.next() as u32),
            gid: r.some(|r| r.next() as u32),
            egid: r.some(|r| r.next() as u32),
            sgid: r.some(|r| r.next() as u32),
            fsgid: r.some(|r| r.next() as u32),
            caps_effective: r.some(Random::next),
            caps_permitted: r.some(Random::next),
            caps_inheritable: r.some(Random::next),
            flags: r.some(Random::next),
            path: r.some(Random::text),
            source: r.some(Random::text),
            fs_type: r.some(Random::text),
            name: r.some(Random::text),
            text_from_user: r.some(Random::chance),
            path_truncated: r.chance(),
            address: r.some(Random::next),
            length: r.some(Random::next),
            namespace: r.some(|r| r.next() as u32),
        }),
        Class::Tls => Event::Tls(TlsEvent {
            common,
            library: r.text(),
            connection: r.next(),
            fd: r.some(|r| r.next() as i32),
            bytes: r.next(),
            captured: r.next() as u32,
            truncated: r.chance(),
            data: (0..r.below(40)).map(|_| r.next() as u8).collect(),
            http_method: r.some(Random::text),
            http_path: r.some(Random::text),
            http_version: r.some(Random::text),
            http_host: r.some(Random::text),
            http_headers: r.some(|r| (0..r.below(5)).map(|_| r.text()).collect()),
            http_status: r.some(|r| r.next() as u16),
        }),
        Class::Dns => Event::Dns(DnsEvent {
            common,
            direction: r.text(),
            protocol: r.text(),
            local_addr: r.some(Random::text),
            local_port: r.next() as u16,
            peer_addr: r.some(Random::text),
            peer_port: r.next() as u16,
            peer_from_user: r.chance(),
            fd: r.next() as i32,
            inode: r.next(),
            bytes: r.next() as u32,
            id: r.some(|r| r.next() as u16),
            opcode: r.some(Random::text),
            rcode: r.some(Random::text),
            question: r.some(Random::text),
            qtype: r.some(Random::text),
            answers: r.some(|r| vec![r.text(), r.text()]),
            truncated: r.some(Random::chance),
            malformed: r.chance(),
            cut: r.chance(),
            more: r.some(|r| vec![r.text()]),
        }),
        Class::Flow => Event::Flow(FlowEvent {
            common,
            start: START,
            interface: r.text(),
            direction: if r.chance() { "in".into() } else { "out".into() },
            family: r.text(),
            protocol: r.some(Random::text),
            src_addr: r.some(Random::text),
            src_port: r.some(|r| r.next() as u16),
            dst_addr: r.some(Random::text),
            dst_port: r.some(|r| r.next() as u16),
            packets: r.next(),
            bytes: r.next(),
            syn: r.next(),
            syn_ack: r.next(),
            fin: r.next(),
            rst: r.next(),
            first: r.some(|r| r.next() as i64 >> 1),
            last: r.some(|r| r.next() as i64 >> 1),
            rest: r.chance(),
        }),
        Class::Syscall => Event::Syscall(SyscallEvent {
            common,
            nr: r.some(|r| r.next() as u16),
            name: r.some(Random::text),
            a0: r.some(Random::next),
            a1: r.some(Random::next),
            a2: r.some(Random::next),
            a3: r.some(Random::next),
            a4: r.some(Random::next),
            a5: r.some(Random::next),
            ret: r.some(|r| r.next() as i64),
            duration: r.some(Random::next),
            calls: r.some(|r| (0..r.below(5)).map(|_| r.text()).collect()),
        }),
        Class::Resource => Event::Resource(ResourceEvent {
            common,
            cpu_total: r.some(Random::next),
            cpu_user: r.some(Random::next),
            cpu_system: r.some(Random::next),
            cpu_throttled: r.some(Random::next),
            memory: r.some(Random::next),
            memory_anon: r.some(Random::next),
            memory_file: r.some(Random::next),
            processes: r.some(|r| r.next() as u32),
            source: r.text(),
        }),
    }
}

/// `n` events of all kinds on `cpus` CPUs, without loss, in the order a recorder drains them: CPU by CPU, in bursts.
pub fn events(seed: u64, n: usize, cpus: u16) -> Vec<Event> {
    let mut random = Random(seed);
    let mut events = Vec::with_capacity(n);
    let mut next: Vec<(i64, u64)> = (0..cpus).map(|cpu| (START + i64::from(cpu), 0)).collect();
    while events.len() < n {
        let cpu = random.below(u64::from(cpus)) as u16;
        for _ in 0..random.below(40) + 1 {
            let (ts, seq) = &mut next[usize::from(cpu)];
            let kind = Kind::ALL[random.below(Kind::ALL.len() as u64) as usize];
            events.push(event(&mut random, kind, *ts, cpu, *seq));
            *seq += 1;
            // Equal timestamps happen.
            *ts += random.below(1000) as i64;
        }
    }
    events.truncate(n);
    events
}

pub fn manifest() -> Manifest {
    let recorder = Recorder { name: "test".to_owned(), version: "0".to_owned() };
    let kernel = Kernel { release: "6.1.0".to_owned(), machine: "x86_64".to_owned() };
    Manifest::new(recorder, kernel, START, vec!["all containers".to_owned()], &Class::ALL)
}

/// The accounting of a recording that lost nothing.
pub fn lossless(events: &[Event]) -> Accounting {
    let mut cpus: BTreeMap<u16, CpuAccount> = BTreeMap::new();
    for event in events {
        let cpu = event.common().cpu;
        let account = cpus.entry(cpu).or_insert_with(|| CpuAccount { cpu, ..CpuAccount::default() });
        account.next_seq += 1;
        account.classes.entry(event.class().name().to_owned()).or_default().emitted += 1;
    }
    Accounting { cpus: cpus.into_values().collect(), ..Accounting::default() }
}

/// Segments of at most `rows` rows.
pub fn rotation(rows: usize) -> Rotation {
    Rotation { rows, ..Rotation::default() }
}

/// Writes a complete recording of these events.
pub fn record(dir: &Path, events: &[Event], accounting: Accounting, rotation: Rotation) -> Manifest {
    let mut writer = RecordingWriter::create_with(dir, manifest(), rotation).unwrap();
    for event in events {
        writer.push(event).unwrap();
    }
    writer.write_processes(&processes()).unwrap();
    writer.write_containers(&containers()).unwrap();
    writer.write_addresses(&addresses()).unwrap();
    writer.finish(accounting, START + 60_000_000_000).unwrap()
}

pub fn read(dir: &Path) -> Vec<Event> {
    Recording::open(dir).unwrap().events().map(Result::unwrap).collect()
}

pub fn in_order(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by_key(|event| (event.common().ts, event.common().cpu, event.common().seq));
    events
}

pub fn processes() -> Vec<Process> {
    let full = Process {
        exec_id: 7,
        parent_exec_id: Some(1),
        prev_exec_id: Some(6),
        origin: Origin::Exec,
        container: Some("c".repeat(64).into()),
        pid: 42,
        ns_pid: Some(2),
        start: Some(START),
        end: Some(START + 1),
        exe: Some("/bin/sh".into()),
        argv: Some(vec!["sh".into(), "-c".into(), "".into()]),
        cwd: Some("/".into()),
        comm: Some("sh".into()),
        uid: Some(0),
        gid: Some(0),
        exe_memfd: false,
        exe_deleted: true,
        argv_truncated: false,
        exit_code: Some(1),
        exit_signal: Some(9),
    };
    let bare = Process {
        exec_id: 1,
        parent_exec_id: None,
        prev_exec_id: None,
        origin: Origin::Snapshot,
        container: None,
        pid: 1,
        ns_pid: None,
        start: None,
        end: None,
        exe: None,
        argv: None,
        cwd: None,
        comm: None,
        uid: None,
        gid: None,
        exe_memfd: true,
        exe_deleted: false,
        argv_truncated: true,
        exit_code: None,
        exit_signal: None,
    };
    let fork = Process { exec_id: 6, origin: Origin::Fork, ..bare.clone() };
    vec![bare, fork, full]
}

pub fn containers() -> Vec<Container> {
    let full = Container {
        id: "c".repeat(64).into(),
        runtime: Some("podman".to_owned()),
        name: Some("web".to_owned()),
        image: Some("localhost/web:1".to_owned()),
        image_id: Some("ab".repeat(32)),
        addresses: vec!["10.89.0.2".to_owned()],
        aliases: vec!["web".to_owned(), "www".to_owned()],
        labels: Some("{}".to_owned()),
        cgroup: "/libpod-c.scope".to_owned(),
        first_seen: START,
        image_digest: Some("sha256:ff".to_owned()),
        pod: Some("shop".to_owned()),
        namespace: Some("prod".to_owned()),
        pod_uid: Some("0b1c".to_owned()),
        identity: Some("docker config".to_owned()),
    };
    let bare =
        Container { id: "d".repeat(64).into(), cgroup: "/d".to_owned(), first_seen: START, ..Container::default() };
    vec![full, bare]
}

pub fn addresses() -> Vec<Address> {
    let (address, container) = ("10.89.0.2".to_owned(), "c".repeat(64).into());
    let full = Address { address, container, net_ns: Some(4_026_532_100), since: START, until: Some(START + 5) };
    vec![Address { net_ns: None, until: None, ..full.clone() }, full]
}

pub fn labels() -> Vec<Label> {
    Class::ALL
        .into_iter()
        .map(|class| Label {
            class,
            cpu: 1,
            seq: 3,
            act: "drop".into(),
            step: "download".into(),
            technique: "T1105".into(),
            ambiguous: class == Class::Tls,
        })
        .collect()
}
