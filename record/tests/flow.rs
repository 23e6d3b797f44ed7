//! Flows at a veth pair of the test's own: a SYN flood from a network namespace, counted exactly.

mod common;

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{Recorded, can_record, python, record_with};
use datasets::{Event, FlowEvent};

/// Two ends of a cable: one here, at 10.203.N.1, the other in a network namespace, at 10.203.N.2. Gone when dropped.
struct Cable {
    here: String,
    namespace: String,
    net: u32,
}

fn ip(args: &str) {
    let output = Command::new("ip").args(args.split(' ')).output().expect("ip, from iproute2");
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Cable {
    fn new() -> Cable {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let net = NEXT.fetch_add(1, Ordering::Relaxed) + 1;
        let id = std::process::id();
        let cable = Cable { here: format!("rs{id}f{net}"), namespace: format!("retroscope-{id}-{net}"), net };
        let Cable { here, namespace, .. } = &cable;
        ip(&format!("netns add {namespace}"));
        ip(&format!("link add {here} type veth peer name there netns {namespace}"));
        ip(&format!("addr add 10.203.{net}.1/24 dev {here}"));
        ip(&format!("link set {here} up"));
        ip(&format!("-n {namespace} addr add 10.203.{net}.2/24 dev there"));
        ip(&format!("-n {namespace} link set there up"));
        cable
    }

    /// Records a Python program that runs at the other end, counting at this one.
    fn record(&self, options: &[&str], program: &str) -> Recorded {
        let options = [&["--events", "process", "--interface", &self.here], options].concat();
        let net = self.net.to_string();
        let argv = ["ip", "netns", "exec", &self.namespace, &python(), "-I", "-S", "-c", program, &net];
        record_with(&options, &argv)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // The pair goes with its far end.
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).status();
        let _ = Command::new("ip").args(["link", "del", &self.here]).stderr(std::process::Stdio::null()).status();
    }
}

/// Sends SYNs to port 9 of this end from 40,000 ports of two addresses, some of them twice, through a raw socket.
const FLOOD: &str = r#"
import socket, struct, sys
here = bytes([10, 203, int(sys.argv[1]), 1])
def checksum(data):
    s = sum(struct.unpack('!%dH' % (len(data) // 2), data)); s = (s >> 16) + (s & 0xffff); return ~(s + (s >> 16)) & 0xffff
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for source in (2, 77):
    them = here[:3] + bytes([source])
    for port in range(20000, 40000):
        tcp = struct.pack('!HHIIBBHHH', port, 9, 1, 0, 5 << 4, 2, 1024, 0, 0)
        tcp = tcp[:16] + struct.pack('!H', checksum(them + here + struct.pack('!HH', 6, 20) + tcp)) + tcp[18:]
        ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 40, 1, 0, 64, 6, 0, them, here)
        for _ in range(2 if port < 21000 else 1):
            raw.sendto(ip + tcp, (socket.inet_ntoa(here), 0))
"#;

fn flows(recorded: &Recorded) -> Vec<&FlowEvent> {
    let rows = recorded.events.iter().filter_map(|event| match event {
        Event::Flow(row) => Some(row),
        _ => None,
    });
    rows.collect()
}

fn assert_flood(recorded: &Recorded, net: u32) {
    let here = format!("10.203.{net}.1");
    let flood: Vec<_> = flows(recorded)
        .into_iter()
        .filter(|row| row.dst_addr.as_deref() == Some(&*here) && row.dst_port == Some(9))
        .collect();
    let sum = |of: fn(&FlowEvent) -> u64| flood.iter().map(|row| of(row)).sum::<u64>();
    assert_eq!((sum(|r| r.packets), sum(|r| r.syn)), (42_000, 42_000), "every SYN, and each once");
    assert_eq!(sum(|r| r.bytes), 42_000 * 54, "14 bytes of Ethernet, 20 of IP, 20 of TCP");
    assert_eq!((sum(|r| r.syn_ack), sum(|r| r.fin), sum(|r| r.rst)), (0, 0, 0));
    let tuples: std::collections::HashSet<_> = flood.iter().map(|row| (&row.src_addr, row.src_port)).collect();
    assert_eq!(tuples.len(), 40_000);
    for row in &flood {
        assert_eq!((&*row.direction, &*row.family, row.protocol.as_deref()), ("in", "inet", Some("tcp")));
        assert!(row.start <= row.common.ts && row.first <= row.last && row.last <= Some(row.common.ts));
        assert!(!row.rest);
    }
    let report = datasets::verify(&recorded.dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);
}

fn skipped(test: &str) -> bool {
    if !can_record(test) {
        return true;
    }
    let there = Command::new("ip").arg("-V").output().is_ok();
    if !there {
        eprintln!("\n*** SKIPPED {test}: ip (iproute2) is not installed ***\n");
    }
    !there
}

#[test]
fn a_syn_flood_is_counted_exactly_by_tc() {
    if skipped("a_syn_flood_is_counted_exactly_by_tc") {
        return;
    }
    let cable = Cable::new();
    let recorded = cable.record(&["--flow-interval", "300ms"], FLOOD);
    assert_flood(&recorded, cable.net);
    // This end answers each SYN to its closed port with a RST; those to the address that nobody has are not delivered.
    let answers: Vec<_> = flows(&recorded).into_iter().filter(|row| row.src_port == Some(9)).collect();
    assert!(answers.iter().all(|row| &*row.direction == "out" && row.rst == row.packets && row.syn == 0));
    assert_eq!(answers.iter().map(|row| row.rst).sum::<u64>(), 21_000);
    let manifest = &recorded.manifest.hooks["flow"];
    assert_eq!(manifest, &[format!("tc ingress, tc egress at {}", cable.here)]);
    // Nothing is left on the interface.
    let left = Command::new("tc").args(["qdisc", "show", "dev", &cable.here]).output().unwrap();
    assert!(!String::from_utf8_lossy(&left.stdout).contains("clsact"));
}

#[test]
fn a_syn_flood_is_counted_exactly_by_xdp() {
    if skipped("a_syn_flood_is_counted_exactly_by_xdp") {
        return;
    }
    let cable = Cable::new();
    let recorded = cable.record(&["--flow-hook", "xdp", "--flow-interval", "300ms"], FLOOD);
    assert_flood(&recorded, cable.net);
    assert!(flows(&recorded).iter().all(|row| &*row.direction == "in"));
}

#[test]
fn what_has_no_room_in_the_table_is_counted_together() {
    if skipped("what_has_no_room_in_the_table_is_counted_together") {
        return;
    }
    let cable = Cable::new();
    let recorded = cable.record(&["--flow-table", "1000", "--flow-interval", "1h"], FLOOD);
    let incoming: Vec<_> = flows(&recorded).into_iter().filter(|row| &*row.direction == "in").collect();
    assert_eq!(incoming.iter().map(|row| row.syn).sum::<u64>(), 42_000);
    let rest = common::one(incoming.iter().filter(|row| row.rest).collect());
    assert!(rest.syn > 30_000 && rest.src_addr.is_none() && rest.protocol.is_none(), "{rest:?}");
    assert!(flows(&recorded).len() <= 1_000);
}

/// A whole conversation: UDP and TCP over IPv4 and IPv6, between the two ends.
#[test]
fn conversations_have_both_directions_and_their_flags() {
    if skipped("conversations_have_both_directions_and_their_flags") {
        return;
    }
    let cable = Cable::new();
    let net = cable.net;
    ip(&format!("-6 addr add fd00:203:{net}::1/64 dev {} nodad", cable.here));
    ip(&format!("-n {} -6 addr add fd00:203:{net}::2/64 dev there nodad", cable.namespace));
    // The answering end is a thread of this test: it is not recorded, only what passes the interface is.
    let server = std::net::TcpListener::bind(format!("10.203.{net}.1:0")).unwrap();
    let server6 = std::net::UdpSocket::bind(format!("[fd00:203:{net}::1]:0")).unwrap();
    let (port, port6) = (server.local_addr().unwrap().port(), server6.local_addr().unwrap().port());
    let answer = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut client, _) = server.accept().unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
        client.write_all(b"answer").unwrap();
        client.read(&mut [0; 1]).unwrap()
    });
    let program = format!(
        "
import socket
c = socket.create_connection(('10.203.{net}.1', {port})); c.send(b'query'); c.recv(100); c.close()
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
for _ in range(3): u.sendto(b'x' * 100, ('fd00:203:{net}::1', {port6}))
"
    );
    let recorded = cable.record(&[], &program);
    assert_eq!(answer.join().unwrap(), 0, "the client closed");
    let of = |direction: &str, protocol: &str, ours: u16| {
        let matches = |row: &&FlowEvent| {
            &*row.direction == direction
                && row.protocol.as_deref() == Some(protocol)
                && (row.src_port == Some(ours) || row.dst_port == Some(ours))
        };
        let rows: Vec<_> = flows(&recorded).into_iter().filter(matches).collect();
        let sum = |of: fn(&FlowEvent) -> u64| rows.iter().map(|row| of(row)).sum::<u64>();
        (sum(|r| r.packets), sum(|r| r.bytes), sum(|r| r.syn), sum(|r| r.syn_ack), sum(|r| r.fin))
    };
    let (_, _, syn, syn_ack, fin) = of("in", "tcp", port);
    assert_eq!((syn, syn_ack, fin), (1, 0, 1));
    let (_, _, syn, syn_ack, fin) = of("out", "tcp", port);
    assert_eq!((syn, syn_ack, fin), (0, 1, 1));
    assert_eq!(of("in", "udp", port6), (3, 3 * (14 + 40 + 8 + 100), 0, 0, 0));
    let udp = flows(&recorded).into_iter().find(|row| row.protocol.as_deref() == Some("udp")).unwrap();
    assert_eq!(
        (udp.src_addr.clone(), udp.dst_addr.clone(), &*udp.family),
        (Some(format!("fd00:203:{net}::2").into()), Some(format!("fd00:203:{net}::1").into()), "inet6")
    );
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    if skipped("an_interface_that_is_not_there_is_named") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = common::recorder(dir.path(), &["--interface", "nosuch0", "--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("nosuch0") && text.contains("hint: "), "{text}");
    let output = common::recorder(dir.path(), &["--events", "flow", "--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--interface"));
}
