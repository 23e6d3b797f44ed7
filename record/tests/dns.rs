//! DNS against a real server: dnsmasq on loopback, in a network and mount namespace of the test's own; asked by glibc's
//! getaddrinfo and by dig.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Recorded, can_record, one, record_with};
use datasets::{DnsEvent, Event};
use record_bpf::Kind;

const ZONE: &str = "\
--host-record=www.example.test,192.0.2.7,2001:db8::7
--cname=alias.example.test,www.example.test
--txt-record=text.example.test,v=spf1 -all
--mx-host=example.test,mail.example.test,10
--host-record=mail.example.test,192.0.2.25";

fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success();
    if !found {
        eprintln!("\n*** SKIPPED: {program} is not installed (setup/apt/record.txt) ***\n");
    }
    found
}

/// Records `asking`, with dnsmasq answering at 127.0.0.1 in the same namespaces. The server is recorded too.
fn ask(asking: &str) -> Recorded {
    let dir = tempfile::tempdir().unwrap();
    let (resolv, pid) = (dir.path().join("resolv.conf"), dir.path().join("pid"));
    std::fs::write(&resolv, "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n").unwrap();
    let script = format!(
        "set -e; ip link set lo up; mount --bind {} /etc/resolv.conf; {} --pid-file={}; {asking}; kill $(cat {})",
        resolv.display(),
        server(),
        pid.display(),
        pid.display(),
    );
    let options = ["--events", "process,network,dns"];
    record_with(&options, &["unshare", "--net", "--mount", "--propagation=private", "sh", "-c", &script])
}

/// dnsmasq returns when it listens, as a daemon; it knows the zone, and nobody else to ask.
fn server() -> String {
    let zone: Vec<String> = ZONE.lines().map(|line| format!("'{line}'")).collect();
    let base = "dnsmasq --conf-file=/dev/null --no-resolv --no-hosts --listen-address=127.0.0.1 --bind-interfaces \
                --user=root --local=/test/";
    format!("{base} {}", zone.join(" "))
}

/// Rows of programs of this name, in order.
fn rows<'a>(run: &'a Recorded, program: &str) -> Vec<&'a DnsEvent> {
    let rows = run.events.iter().filter_map(|event| match event {
        Event::Dns(row) => Some(row),
        _ => None,
    });
    let by = |row: &&DnsEvent| {
        let exe = run.process_of(row.common.exec_id).exe.clone().expect("an executable");
        Path::new(&*exe).file_name().is_some_and(|name| name.to_string_lossy().starts_with(program))
    };
    rows.filter(by).collect()
}

fn answers(row: &DnsEvent) -> Vec<&str> {
    let mut answers: Vec<&str> = row.answers.iter().flatten().map(|answer| &**answer).collect();
    answers.sort_unstable();
    answers
}

const QUESTIONS: &[(&str, &str, &[&str])] = &[
    ("www.example.test", "A", &["www.example.test A 192.0.2.7"]),
    ("www.example.test", "AAAA", &["www.example.test AAAA 2001:db8::7"]),
    ("alias.example.test", "CNAME", &["alias.example.test CNAME www.example.test"]),
    ("text.example.test", "TXT", &["text.example.test TXT v=spf1 -all"]),
    ("example.test", "MX", &["example.test MX 10 mail.example.test"]),
];

/// Every type of record, asked for by dig, at both ends.
fn every_type(transport: &str) {
    let option = if transport == "tcp" { "+tcp" } else { "+notcp" };
    let asking: Vec<String> =
        QUESTIONS.iter().map(|(name, kind, _)| format!("dig {option} +tries=1 @127.0.0.1 {name} {kind} >&2")).collect();
    let run = ask(&asking.join("; "));
    let (client, server) = (rows(&run, "dig"), rows(&run, "dnsmasq"));
    for (name, kind, expected) in QUESTIONS {
        let asked = |row: &&&DnsEvent| row.question.as_deref() == Some(name) && row.qtype.as_deref() == Some(kind);
        let of = |rows: &[&'_ DnsEvent], op: Kind| {
            let rows: Vec<_> =
                rows.iter().filter(asked).filter(|row| row.common.kind == op).map(|row| (*row).clone()).collect();
            one(rows)
        };
        let (query, answer) = (of(&client, Kind::DnsQuery), of(&client, Kind::DnsAnswer));
        assert_eq!((&*query.direction, &*answer.direction), ("sent", "received"));
        assert_eq!((&*query.protocol, &*answer.protocol), (transport, transport));
        assert_eq!((query.peer_addr.as_deref(), query.peer_port), (Some("127.0.0.1"), 53));
        assert_eq!((query.id, query.malformed, answer.malformed), (answer.id, false, false));
        assert_eq!((answer.rcode.as_deref(), &answers(&answer)[..]), (Some("NOERROR"), *expected));
        let (heard, told) = (of(&server, Kind::DnsQuery), of(&server, Kind::DnsAnswer));
        assert_eq!((&*heard.direction, &*told.direction, heard.local_port), ("received", "sent", 53));
        assert_eq!((heard.id, answers(&told)), (query.id, answers(&answer)));
        assert_eq!((heard.bytes, told.bytes), (query.bytes, answer.bytes));
        assert_eq!(heard.peer_port, query.local_port);
    }
}

#[test]
fn every_type_of_record_over_udp() {
    if can_record("every_type_of_record_over_udp") && has("dnsmasq") && has("dig") {
        every_type("udp");
    }
}

#[test]
fn every_type_of_record_over_tcp() {
    if can_record("every_type_of_record_over_tcp") && has("dnsmasq") && has("dig") {
        every_type("tcp");
    }
}

/// glibc sends both questions by one sendmmsg; each is a row, and each answer is its question's.
#[test]
fn getaddrinfo_asks_for_both_addresses_at_once() {
    if !can_record("getaddrinfo_asks_for_both_addresses_at_once") || !has("dnsmasq") {
        return;
    }
    let run = ask("getent ahosts alias.example.test >&2; getent ahosts nobody.example.test >&2 || true");
    let rows = rows(&run, "getent");
    let of = |op: Kind, name: &str, kind: &str| {
        let is_it = |row: &&&DnsEvent| {
            row.common.kind == op && row.question.as_deref() == Some(name) && row.qtype.as_deref() == Some(kind)
        };
        one(rows.iter().filter(is_it).map(|row| (*row).clone()).collect::<Vec<DnsEvent>>())
    };
    let mut sockets = Vec::new();
    for (kind, data) in [("A", "192.0.2.7"), ("AAAA", "2001:db8::7")] {
        let (query, answer) =
            (of(Kind::DnsQuery, "alias.example.test", kind), of(Kind::DnsAnswer, "alias.example.test", kind));
        assert_eq!((query.id, query.inode), (answer.id, answer.inode));
        let expected =
            ["alias.example.test CNAME www.example.test".to_owned(), format!("www.example.test {kind} {data}")];
        assert_eq!(answers(&answer), expected);
        sockets.push(query.inode);
        let nobody = of(Kind::DnsAnswer, "nobody.example.test", kind);
        assert_eq!((nobody.rcode.as_deref(), answers(&nobody).len()), (Some("NXDOMAIN"), 0));
    }
    assert_eq!(sockets[0], sockets[1]);
}

/// Twenty messages of one sendmmsg: sixteen are seen, and what was not looked at is a number.
#[test]
fn what_lies_beyond_sixteen_messages_is_counted() {
    if !can_record("what_lies_beyond_sixteen_messages_is_counted") {
        return;
    }
    let program = "
import ctypes, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind(('127.83.83.84', 53))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.83.83.84', 53))
class iovec(ctypes.Structure): _fields_ = [('base', ctypes.c_char_p), ('len', ctypes.c_size_t)]
class msghdr(ctypes.Structure): _fields_ = [('name', ctypes.c_void_p), ('namelen', ctypes.c_uint), ('iov', ctypes.POINTER(iovec)), ('iovlen', ctypes.c_size_t), ('control', ctypes.c_void_p), ('controllen', ctypes.c_size_t), ('flags', ctypes.c_int)]
class mmsghdr(ctypes.Structure): _fields_ = [('hdr', msghdr), ('len', ctypes.c_uint)]
q = b'\\x01\\x00\\x00\\x01' + bytes(6) + b'\\x01x\\x00\\x00\\x01\\x00\\x01'
parts = (iovec * 20)(*[iovec(struct.pack('>H', i) + q, 2 + len(q)) for i in range(20)])
messages = (mmsghdr * 20)()
for i in range(20): messages[i].hdr.iov = ctypes.pointer(parts[i]); messages[i].hdr.iovlen = 1
assert libc.sendmmsg(s.fileno(), messages, 20, 0) == 20, ctypes.get_errno()
";
    let run = record_with(&["--events", "dns"], &[&common::python(), "-I", "-S", "-c", program]);
    let rows = run.events.iter().filter_map(|event| match event {
        Event::Dns(row) => Some((row.common.kind, row.id.unwrap_or(u16::MAX), row.malformed)),
        _ => None,
    });
    let expected: Vec<_> = (0..16).map(|id| (Kind::DnsQuery, id, false)).collect();
    assert_eq!(rows.collect::<Vec<_>>(), expected);
    assert_eq!(run.manifest.accounting.unwrap().failures["messages_skipped"], 4);
}
