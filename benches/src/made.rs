//! Made-up rows of the classes that the shipped recordings have few or none of, with the columns filled that the recorder fills.

use std::sync::Arc;

use datasets::{Common, DnsEvent, Event, FlowEvent, ResourceEvent, SecurityEvent, TlsEvent};
use record_bpf::{Class, Kind};

use crate::{Random, START};

/// `n` rows of a class, of four containers on one CPU; none of the classes that have rows elsewhere.
pub fn rows(class: Class, n: usize) -> Vec<Event> {
    let mut random = Random(3);
    let containers: Vec<Arc<str>> = (1..=4).map(|i| format!("{i:064x}").into()).collect();
    let mut ts = START;
    let make = |i: usize| {
        ts += 20_000 + random.below(100_000) as i64;
        let process = random.below(12);
        let pid = 1_000 + process as u32;
        let container = Some(Arc::clone(&containers[(process % 4) as usize]));
        let common = |kind, exec_id| Common { ts, cpu: 0, seq: i as u64, kind, container, pid, tid: pid, exec_id };
        let of_process = Some(1 << 48 | process);
        match class {
            Class::Security => security(common(KINDS[i % KINDS.len()], of_process), &mut random),
            Class::Dns => dns(common([Kind::DnsQuery, Kind::DnsAnswer][i % 2], of_process), i, &mut random),
            Class::Tls => tls(common([Kind::TlsWrite, Kind::TlsRead][i % 2], of_process), &mut random),
            Class::Flow => flow(Common { container: None, pid: 0, tid: 0, ..common(Kind::Flow, None) }, &mut random),
            Class::Resource => resource(Common { pid: 0, tid: 0, ..common(Kind::Usage, None) }, &mut random),
            Class::Process | Class::File | Class::Network | Class::Syscall => {
                unreachable!("{class}: see the crate's root")
            }
        }
    };
    (0..n).map(make).collect()
}

const KINDS: [Kind; 5] = [Kind::Kill, Kind::Setuid, Kind::Capset, Kind::Mmap, Kind::Mount];

fn security(common: Common, random: &mut Random) -> Event {
    let kind = common.kind;
    let mut event = SecurityEvent::new(common, 0);
    match kind {
        Kind::Kill => {
            event.target_pid = Some(1_000 + random.below(12) as u32);
            event.target_container.clone_from(&event.common.container);
            event.signal = Some(15);
        }
        Kind::Mmap => {
            event.address = Some(0x7f00_0000_0000 + random.below(1 << 20) * 4_096);
            event.length = Some(4_096 * (1 + random.below(64)));
            event.flags = Some(0x22);
        }
        Kind::Mount => {
            event.path = Some("/mnt".into());
            event.source = Some("tmpfs".into());
            event.fs_type = Some("tmpfs".into());
            event.flags = Some(0);
            event.text_from_user = Some(true);
        }
        _ => {
            let id = Some(1_000 + random.below(3) as u32);
            for field in [&mut event.uid, &mut event.euid, &mut event.suid, &mut event.fsuid] {
                *field = id;
            }
            for field in [&mut event.gid, &mut event.egid, &mut event.sgid, &mut event.fsgid] {
                *field = id;
            }
            (event.caps_effective, event.caps_permitted, event.caps_inheritable) = (Some(0), Some(0), Some(0));
        }
    }
    Event::Security(event)
}

fn dns(common: Common, i: usize, random: &mut Random) -> Event {
    let answer = common.kind == Kind::DnsAnswer;
    let host = random.below(200);
    let name = format!("svc-{host}.shop.example");
    Event::Dns(DnsEvent {
        common,
        direction: if answer { "received" } else { "sent" }.into(),
        protocol: "udp".into(),
        local_addr: Some("10.89.0.2".into()),
        local_port: 32_768 + random.below(20_000) as u16,
        peer_addr: Some("10.89.0.1".into()),
        peer_port: 53,
        peer_from_user: false,
        fd: 7,
        inode: random.below(1 << 20),
        bytes: if answer { 60 } else { 38 },
        id: Some((i / 2) as u16),
        opcode: Some("query".into()),
        rcode: answer.then(|| "noerror".into()),
        question: Some(name.as_str().into()),
        qtype: Some("A".into()),
        answers: answer.then(|| vec![format!("{name} A 10.89.0.{}", host % 250).into()]),
        truncated: Some(false),
        malformed: false,
        cut: false,
        more: None,
    })
}

fn tls(common: Common, random: &mut Random) -> Event {
    let request = common.kind == Kind::TlsWrite;
    let item = random.below(5_000);
    let data = match request {
        true => format!("GET /items/{item} HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n\r\n").into_bytes(),
        false => format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {item}\r\n\r\n").into_bytes(),
    };
    let headers: [&str; 2] = match request {
        true => ["Host: shop.example", "Accept: */*"],
        false => ["Content-Type: text/html", "Content-Length: 1"],
    };
    Event::Tls(TlsEvent {
        common,
        library: "openssl".into(),
        connection: 0x5500_0000_0000 + random.below(16) * 4_096,
        fd: Some(5),
        bytes: data.len() as u64,
        captured: data.len() as u32,
        truncated: false,
        http_method: request.then(|| "GET".into()),
        http_path: request.then(|| format!("/items/{item}").into()),
        http_version: Some("HTTP/1.1".into()),
        http_host: request.then(|| "shop.example".into()),
        http_headers: Some(headers.map(Arc::from).into()),
        http_status: (!request).then_some(200),
        data,
    })
}

fn flow(common: Common, random: &mut Random) -> Event {
    let (start, packets) = (common.ts - 1_000_000_000, 1 + random.below(500));
    Event::Flow(FlowEvent {
        start,
        interface: "veth0".into(),
        direction: "ingress".into(),
        family: "inet".into(),
        protocol: Some("tcp".into()),
        src_addr: Some(format!("10.89.0.{}", 2 + random.below(20)).into()),
        src_port: Some(32_768 + random.below(20_000) as u16),
        dst_addr: Some("10.89.0.2".into()),
        dst_port: Some(6_379),
        packets,
        bytes: packets * (60 + random.below(1_400)),
        syn: random.below(2),
        syn_ack: 0,
        fin: random.below(2),
        rst: 0,
        first: Some(start + random.below(1_000_000) as i64),
        last: Some(common.ts - random.below(1_000_000) as i64),
        rest: false,
        common,
    })
}

fn resource(common: Common, random: &mut Random) -> Event {
    let cpu = (common.ts - START) as u64 / 10;
    Event::Resource(ResourceEvent {
        common,
        cpu_total: Some(cpu),
        cpu_user: Some(cpu / 10 * 7),
        cpu_system: Some(cpu / 10 * 3),
        cpu_throttled: Some(0),
        memory: Some(40_000_000 + random.below(1_000) * 4_096),
        memory_anon: Some(20_000_000 + random.below(1_000) * 4_096),
        memory_file: Some(10_000_000),
        processes: Some(3 + random.below(4) as u32),
        source: "cgroup v2".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_rows_of_their_class_and_come_back_as_they_were() {
        let classes = [Class::Security, Class::Dns, Class::Tls, Class::Flow, Class::Resource];
        let events: Vec<Event> = classes.into_iter().flat_map(|class| rows(class, 50)).collect();
        let dir = tempfile::tempdir().unwrap();
        crate::write(&dir.path().join("rec"), &events).unwrap();
        let recording = datasets::Recording::open(dir.path().join("rec")).unwrap();
        for class in classes {
            let made: Vec<&Event> = events.iter().filter(|event| event.class() == class).collect();
            let read: Vec<Event> = recording.events_of(&[class]).collect::<Result<_, _>>().unwrap();
            assert_eq!(made.len(), 50, "{class}");
            assert_eq!(read.iter().collect::<Vec<_>>(), made, "{class}");
        }
    }
}
