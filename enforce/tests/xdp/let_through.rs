//! What passes and what does not.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::box_and_host::{BOX, BOX_AT, BOX_TOO, Enforcer, HOST, KNOWN, LATER, Pair, STRANGER};
use crate::box_and_host::{attached, drain, file, policy, rule, udp, within};
use crate::frames::{ACK, FIN, Frames, RST, SYN, ethernet, ip4, tcp, udp as datagram};

const UNKNOWN: &str = "unknown";

fn usual() -> String {
    let peers = ["10.213.8.1/32", "fd00:213:8::1/128"];
    policy(
        &[rule(&peers, "udp", 9, 9), rule(&peers, "udp", 40000, 65535), rule(&["10.213.8.4/32"], "tcp", 9, 9)],
        &[rule(&["10.213.8.1/32"], "tcp", 8080, 8080)],
    )
}

fn connect(to: &str) -> bool {
    let to: SocketAddr = format!("{to}:8080").parse().unwrap();
    within(HOST, move || TcpStream::connect_timeout(&to, Duration::from_millis(500)).is_ok()).join().unwrap()
}

#[test]
fn known_peers_are_reached_and_strangers_are_not() {
    let Some(_pair) = Pair::new("known_peers_are_reached_and_strangers_are_not") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = Enforcer::start(&file(&dir, &usual()), &[]);
    let (sender4, sender6) = (udp(BOX, "0.0.0.0:0"), udp(BOX, "[::]:0"));
    let reach = |to: &str, bytes: usize| {
        let receiver = udp(HOST, to);
        let sender = if to.starts_with('[') { &sender6 } else { &sender4 };
        for _ in 0..3 {
            sender.send_to(&vec![7; bytes], to).unwrap();
        }
        let mut buffer = vec![0; 8192];
        let got: Vec<usize> = std::iter::from_fn(|| receiver.recv(&mut buffer).ok()).collect();
        assert!(got.iter().all(|length| *length == bytes), "{got:?}");
        got.len()
    };
    assert_eq!(reach(&format!("{KNOWN}:9"), 20), 3);
    assert_eq!(reach("[fd00:213:8::1]:9", 20), 3);
    assert_eq!(reach(&format!("{KNOWN}:45000"), 20), 3);
    assert_eq!(reach(&format!("{KNOWN}:9"), 4000), 3, "in fragments");
    assert_eq!(reach("[fd00:213:8::1]:9", 4000), 3, "in fragments");
    assert_eq!(reach(&format!("{KNOWN}:39999"), 20), 0);
    assert_eq!(reach(&format!("{STRANGER}:9"), 20), 0);
    assert_eq!(reach(&format!("{STRANGER}:9"), 4000), 0, "in fragments");
    assert_eq!(enforcer.count(KNOWN, "udp", Some(39999), UNKNOWN), 3);
    assert_eq!(enforcer.count(STRANGER, "udp", Some(9), UNKNOWN), 3 + 3);
    assert_eq!(enforcer.count(STRANGER, "udp", None, "fragment"), 3 * 2);

    // Answers: to who may come in, and no beginnings in their disguise.
    let listener = within(BOX, || TcpListener::bind("0.0.0.0:8080").unwrap()).join().unwrap();
    assert!(connect(BOX_AT), "a known client is answered");
    assert!(!connect(BOX_TOO), "a stranger is not");
    drop(listener);
    assert!(enforcer.count(STRANGER, "tcp", Some(8080), UNKNOWN) > 0, "{:?}", enforcer.refused);
    let (ended, status) = enforcer.end();
    assert!(status.success() && ended["totals"]["passed"]["packets"].as_u64() > Some(15), "{ended}");
}

#[test]
fn frames_of_packet_sockets_are_judged_alike() {
    let Some(_pair) = Pair::new("frames_of_packet_sockets_are_judged_alike") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = Enforcer::start(&file(&dir, &usual()), &[]);
    let frames = Frames::open();
    let receiver = udp(HOST, &format!("{KNOWN}:9"));
    let stranger = udp(HOST, &format!("{STRANGER}:9"));
    let of_udp = datagram(1000, 9, b"x");
    frames.send(&ip4(KNOWN, 17, &[], 0, &of_udp));
    assert_eq!(drain(&receiver), 1);
    // With a tag; with a source route; a protocol and an ethertype that no policy knows; cut off.
    let tagged = ip4(STRANGER, 17, &[], 0, &of_udp);
    frames.send(&ethernet(0x8100, &[&[0, 5], &tagged[12..]].concat()));
    frames.send(&ip4(KNOWN, 17, &[131, 7, 4, 10, 213, 8, 3, 0], 0, &of_udp));
    frames.send(&ip4(KNOWN, 47, &[], 0, &of_udp));
    frames.send(&ip4(KNOWN, 1, &[], 0, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]));
    frames.send(&ethernet(0x88cc, &[0; 46]));
    frames.send(&ethernet(0x0800, &[0x45; 12]));
    // A fragment without its first; one that would replace flags of TCP.
    frames.send(&ip4(KNOWN, 17, &[], 100, &[0; 64]));
    frames.send(&ip4(LATER, 6, &[], 0x2000, &tcp(1000, 9, ACK)));
    frames.send(&ip4(LATER, 6, &[], 1, &[0; 64]));
    for (want, peer, protocol, port, reason) in [
        (1, STRANGER, "udp", Some(9), UNKNOWN),
        (1, "-", "0", None, "unreadable"),
        (1, KNOWN, "47", None, UNKNOWN),
        (1, KNOWN, "icmp", None, UNKNOWN),
        (1, "-", "ethertype 0x88cc", None, UNKNOWN),
        (1, KNOWN, "udp", None, "fragment"),
        (1, LATER, "tcp", None, "fragment"),
    ] {
        let count = enforcer.until(want, peer, protocol, port, reason);
        assert!(count >= want, "{peer} {protocol} {reason}: {:?}", enforcer.refused);
    }

    // DHCP to any server of the link, and to one alone.
    frames.send(&ip4("255.255.255.255", 17, &[], 0, &datagram(68, 67, &[0; 240])));
    frames.send(&ip4(KNOWN, 17, &[], 0, &datagram(68, 67, &[0; 240])));
    assert_eq!(enforcer.until(1, KNOWN, "udp", Some(67), UNKNOWN), 1);
    assert_eq!(enforcer.count("255.255.255.255", "udp", Some(67), UNKNOWN), 0);

    // Answers of a service; what only looks like one; and to a peer that may be reached at another port.
    for (flags, sport, refused) in [
        (SYN | ACK, 8080, 0),
        (ACK, 8080, 0),
        (RST, 8080, 0),
        (SYN, 8080, 1),
        (0, 8080, 2),
        (FIN, 8080, 3),
        (ACK, 8081, 4),
    ] {
        frames.send(&ip4(KNOWN, 6, &[], 0, &tcp(sport, 5555, flags)));
        let count = enforcer.until(refused, KNOWN, "tcp", Some(5555), UNKNOWN);
        assert_eq!(count, refused, "flags {flags:#x} from {sport}: {:?}", enforcer.refused);
    }
    assert_eq!(drain(&stranger) + drain(&receiver), 0);
    enforcer.end();
}

#[test]
fn a_flood_to_a_stranger_stays_outside_and_every_packet_is_counted() {
    let Some(_pair) = Pair::new("a_flood_to_a_stranger_stays_outside_and_every_packet_is_counted") else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, &usual());
    let receiver = udp(HOST, &format!("{STRANGER}:9"));
    let frames = Frames::open();
    let (packets, syns) = (5_000_u64, 3_000_u64);
    let flood = || {
        for n in 0..packets {
            frames.send(&ip4(STRANGER, 17, &[], 0, &datagram(1000, 9, &n.to_le_bytes())));
        }
        for n in 0..syns {
            frames.send(&ip4(STRANGER, 6, &[], 0, &tcp(1024 + n as u16, 80, SYN)));
        }
    };
    let mut enforcer = Enforcer::start(&path, &["--interval", "50ms"]);
    assert!(attached().contains("prog/xdp"), "{}", attached());
    flood();
    assert_eq!(enforcer.until(packets, STRANGER, "udp", Some(9), UNKNOWN), packets);
    assert_eq!(enforcer.until(syns, STRANGER, "tcp", Some(80), UNKNOWN), syns);
    assert_eq!(drain(&receiver), 0);
    let (ended, _) = enforcer.end();
    assert!(ended["totals"]["unknown"]["packets"].as_u64() >= Some(packets + syns), "{ended}");

    // With the process went the program, whichever way it ended; and without it the flood arrives.
    assert!(!attached().contains("prog/xdp"), "{}", attached());
    let enforcer = Enforcer::start(&path, &[]);
    assert!(attached().contains("prog/xdp"));
    enforcer.kill();
    assert!(!attached().contains("prog/xdp"), "{}", attached());
    flood();
    assert!(drain(&receiver) > 1000);
}

#[test]
fn a_known_peer_is_not_flooded_either_beyond_a_bound() {
    let Some(_pair) = Pair::new("a_known_peer_is_not_flooded_either_beyond_a_bound") else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, &usual());
    let mut enforcer = Enforcer::start(&path, &["--max-syn-per-s", "20", "--max-packets-per-s", "100"]);
    let frames = Frames::open();
    let receiver = udp(HOST, &format!("{KNOWN}:9"));
    let begun = std::time::Instant::now();
    for n in 0..500 {
        frames.send(&ip4(LATER, 6, &[], 0, &tcp(1024 + n, 9, SYN)));
        frames.send(&ip4(KNOWN, 17, &[], 0, &datagram(1000, 9, b"x")));
    }
    // Each second that begins lets as many through again.
    let seconds = begun.elapsed().as_secs() + 1;
    let got = drain(&receiver) as u64;
    assert!(got >= 100 && got <= 100 * seconds, "{got} in {seconds} s");
    assert_eq!(enforcer.until(500 - got, KNOWN, "udp", Some(9), "too_many_packets"), 500 - got);
    let refused = enforcer.count(LATER, "tcp", Some(9), "too_many_connections");
    assert!(refused >= 500 - 20 * seconds && refused <= 480, "{refused} in {seconds} s");
    // What belongs to a connection is not a new one.
    frames.send(&ip4(LATER, 6, &[], 0, &tcp(1024, 9, ACK)));
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(enforcer.count(LATER, "tcp", Some(9), UNKNOWN), 0);
    enforcer.end();
}
