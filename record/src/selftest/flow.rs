//! Packets sent through an interface of the case's own, and nowhere else: a dummy, which drops what it is given, or a cable
//! with nobody at the other end.

use std::path::Path;
use std::process::Command;

use datasets::FlowEvent;
use record_bpf::Kind;
use serde_json::{Value, json};

use super::{Arranged, Case, Checked, Facts, Rows, Scratch, Stop, sys};
use crate::expect;

pub fn cases() -> Vec<Case> {
    vec![Case::new("flow", &[Kind::Flow], send, check_send).arrange(make_interface)]
}

const NAME: &str = "rsselftest0";

/// Removes the interface when dropped.
struct Interface;

fn ip(args: &str) -> Result<(), Stop> {
    let output = Command::new("ip").args(args.split(' ')).output();
    let output = output.map_err(|_| Stop::skip("ip (iproute2 or busybox) is not installed"))?;
    let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(Stop::skip(format!("no interface can be made: {error}"))) }
}

impl Drop for Interface {
    fn drop(&mut self) {
        let _ = ip(&format!("link del {NAME}"));
    }
}

fn make_interface(_: &Path) -> Result<Arranged, Stop> {
    let cable = || {
        ip(&format!("link add {NAME} type veth peer name {NAME}b"))?;
        ip(&format!("link set {NAME}b up"))
    };
    ip(&format!("link add {NAME} type dummy")).or_else(|_| cable())?;
    let guard = Interface;
    ip(&format!("link set {NAME} up"))?;
    Ok(Arranged { options: vec!["--interface".to_owned(), NAME.to_owned()], guard: Some(Box::new(guard)) })
}

/// Ethernet and IPv4 headers of a packet between two documentation addresses, without checksums: nobody checks them.
fn packet(protocol: u8, transport: &[u8]) -> Vec<u8> {
    let mut packet = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let length = u16::try_from(20 + transport.len()).expect("a small packet").to_be_bytes();
    packet.extend([0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2]);
    packet.extend(transport);
    packet
}

fn tcp(flags: u8) -> Vec<u8> {
    let mut header = [0; 20];
    header[..4].copy_from_slice(&[0x9c, 0x40, 0x01, 0xbb]); // from port 40000 to 443
    (header[12], header[13]) = (5 << 4, flags);
    packet(6, &header)
}

/// 200 SYN, 3 FIN+ACK, 2 RST and 5 bare ACK; 70 UDP packets of 100 bytes.
fn send(_: &Scratch) -> Result<Value, Stop> {
    let index = nix::net::if_::if_nametoindex(NAME).map_err(|error| Stop::fail(format!("{NAME}: {error}")))?;
    // SAFETY: socket has no preconditions.
    let fd = sys::call("socket", unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) })?;
    // SAFETY: all-zero bytes are a valid sockaddr_ll.
    let mut to = unsafe { std::mem::zeroed::<libc::sockaddr_ll>() };
    to.sll_family = libc::AF_PACKET as u16;
    to.sll_ifindex = index.cast_signed();
    to.sll_halen = 6;
    let mut udp = vec![0x9c, 0x41, 0, 53, 0, 108, 0, 0]; // from port 40001 to 53
    udp.extend([0; 100]);
    let kinds = [(200, tcp(0x02)), (3, tcp(0x11)), (2, tcp(0x04)), (5, tcp(0x10)), (70, packet(17, &udp))];
    for (times, packet) in &kinds {
        for _ in 0..*times {
            let address = (&raw const to).cast();
            let size = size_of_val(&to) as libc::socklen_t;
            // SAFETY: the packet and the address are valid for their lengths.
            let sent = unsafe { libc::sendto(fd, packet.as_ptr().cast(), packet.len(), 0, address, size) };
            sys::call("sendto", sent)?;
        }
    }
    Ok(json!({ "tcp_bytes": 210 * 54, "udp_bytes": 70 * 142 }))
}

fn check_send(rows: &Rows, facts: &Facts) -> Checked {
    for (protocol, ports, packets, bytes) in
        [("tcp", (40_000, 443), 210, "tcp_bytes"), ("udp", (40_001, 53), 70, "udp_bytes")]
    {
        let own = |row: &FlowEvent| row.protocol.as_deref() == Some(protocol) && row.src_port == Some(ports.0);
        // An interval may end between two of them.
        let found = rows.all(Kind::Flow, own);
        let sum = |of: fn(&FlowEvent) -> u64| found.iter().map(|row| of(row)).sum::<u64>();
        expect!(sum(|row| row.packets), packets);
        expect!(sum(|row| row.bytes), facts.number::<u64>(bytes));
        if protocol == "tcp" {
            let flags = (sum(|row| row.syn), sum(|row| row.syn_ack), sum(|row| row.fin), sum(|row| row.rst));
            expect!(flags, (200, 0, 3, 2));
        }
        for row in found {
            expect!((&*row.interface, &*row.direction, &*row.family), (NAME, "out", "inet"));
            expect!((row.src_addr.as_deref(), row.dst_addr.as_deref()), (Some("192.0.2.1"), Some("198.51.100.2")));
            expect!(row.dst_port, Some(ports.1));
            expect!((row.rest, row.start <= row.common.ts, row.first <= row.last), (false, true, true));
        }
    }
    Ok(())
}
