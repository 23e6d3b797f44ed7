//! TCP from the kernel's side, on loopback: states, counters of the connection, retransmissions.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use datasets::NetworkEvent;
use record_bpf::Kind;
use serde_json::{Value, json};

use super::network::{Talk, talk};
use super::{Case, Checked, Facts, Rows, Scratch, Stop, sys};
use crate::expect;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("tcp-states", &[Kind::TcpState, Kind::NetClose], states, check_states),
        Case::new("tcp-states6", &[Kind::TcpState, Kind::NetClose], states6, check_states),
        Case::new("tcp-retransmit", &[Kind::Retransmit], retransmit, check_retransmit),
    ]
}

fn states(_: &Scratch) -> Result<Value, Stop> {
    connection("127.0.0.1")
}

fn states6(_: &Scratch) -> Result<Value, Stop> {
    sys::need_ipv6()?;
    connection("::1")
}

fn connection(address: &str) -> Result<Value, Stop> {
    let Talk { server, client, mut peer, port, client_port } = talk(address)?;
    drop(client);
    peer.read_to_end(&mut Vec::new())?; // the client's FIN is there
    drop(peer);
    drop(server);
    std::thread::sleep(Duration::from_millis(50)); // the last ACK may wait for the kernel's own thread
    Ok(json!({ "address": address, "port": port, "client_port": client_port, "pid": sys::pid() }))
}

/// The changes of one socket, in order.
fn path(rows: &Rows, local: u16, peer: Option<u16>) -> Vec<(&str, &str)> {
    // A connection in the making has its peer already on 6.18, and not yet on 5.10.
    let made =
        |row: &NetworkEvent| row.old_state.as_deref() == Some("LISTEN") && row.state.as_deref() == Some("SYN_RECV");
    let of = |row: &NetworkEvent| row.local_port == Some(local) && row.peer_port == peer && !made(row);
    let mut path = Vec::new();
    for row in rows.all(Kind::TcpState, of) {
        path.extend(row.old_state.as_deref().zip(row.state.as_deref()));
    }
    path
}

fn check_states(rows: &Rows, facts: &Facts) -> Checked {
    let (port, client_port) = (facts.number::<u16>("port"), facts.number::<u16>("client_port"));
    let address = Some(facts.text("address"));
    // The port of a client is chosen after its first change of state.
    let first = rows.one(Kind::TcpState, |row: &NetworkEvent| row.state.as_deref() == Some("SYN_SENT"))?;
    expect!((first.old_state.as_deref(), first.peer_addr.as_deref()), (Some("CLOSE"), address));
    expect!((first.peer_port, first.common.pid), (Some(port), rows.host_pid(facts.number("pid"))?));
    let ends = [("ESTABLISHED", "FIN_WAIT1"), ("FIN_WAIT1", "FIN_WAIT2"), ("FIN_WAIT2", "CLOSE")];
    expect!(path(rows, client_port, Some(port)), [&[("SYN_SENT", "ESTABLISHED")][..], &ends].concat());
    expect!(path(rows, port, None), vec![("CLOSE", "LISTEN"), ("LISTEN", "CLOSE")]);
    // The server's end exists before anybody accepts it.
    let accepted = [("SYN_RECV", "ESTABLISHED"), ("ESTABLISHED", "CLOSE_WAIT"), ("CLOSE_WAIT", "LAST_ACK")];
    let accepted = [&accepted[..], &[("LAST_ACK", "CLOSE")]].concat();
    expect!(path(rows, port, Some(client_port)), accepted);
    let made = rows.one(Kind::TcpState, |row: &NetworkEvent| row.state.as_deref() == Some("SYN_RECV"))?;
    expect!((made.old_state.as_deref(), made.local_port, made.inode), (Some("LISTEN"), Some(port), None));
    for row in rows.all(Kind::TcpState, |_: &NetworkEvent| true) {
        expect!((row.common.pid, row.common.exec_id), (first.common.pid, first.common.exec_id));
        expect!((&*row.protocol, row.fd, row.ret), ("tcp", -1, 0));
    }

    let close = |peer| rows.one(Kind::NetClose, |row: &NetworkEvent| row.peer_port == Some(peer));
    let (client, server) = (close(port)?, close(client_port)?);
    // The SYN of the client, and its FIN at the server, count as a byte.
    expect!((client.tcp_bytes_sent, client.tcp_bytes_acked), (Some(1500), Some(1501)));
    expect!((client.tcp_bytes_received, client.retransmits), (Some(2), Some(0)));
    expect!((server.tcp_bytes_received, server.tcp_bytes_sent), (Some(1501), Some(2)));
    expect!((client.bytes_sent, server.bytes_received), (Some(1500), Some(1500)));
    match client.rtt {
        // A round trip on loopback.
        Some(1..=1_000_000) => Ok(()),
        other => Err(format!("client.rtt: expected microseconds of a loopback round trip, found {other:?}")),
    }
}

/// A socket filter that lets nothing in: what is sent to this socket is as lost as on a bad line.
fn drop_all(socket: &TcpStream) -> Result<(), Stop> {
    let mut nothing = [libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0 }]; // BPF_RET | BPF_K: keep 0 bytes
    let program = libc::sock_fprog { len: 1, filter: nothing.as_mut_ptr() };
    let len = libc::socklen_t::try_from(size_of_val(&program)).expect("a small struct");
    let at = (&raw const program).cast();
    // SAFETY: the program and its length are valid for the call.
    sys::call("setsockopt", unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, at, len)
    })?;
    Ok(())
}

/// Segments sent again so far, as the kernel tells the application.
fn retransmits(socket: &TcpStream) -> Result<u32, Stop> {
    // SAFETY: all zeroes are a valid tcp_info.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = libc::socklen_t::try_from(size_of_val(&info)).expect("a small struct");
    let at = (&raw mut info).cast();
    // SAFETY: the buffer and its length are valid for the call.
    sys::call("getsockopt", unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, at, &raw mut len)
    })?;
    Ok(info.tcpi_total_retrans)
}

fn retransmit(_: &Scratch) -> Result<Value, Stop> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    let port = server.local_addr()?.port();
    let mut client = TcpStream::connect(("127.0.0.1", port))?;
    let (peer, from) = server.accept()?;
    drop_all(&peer)?;
    client.write_all(b"never arrives")?;
    let end = Instant::now() + Duration::from_secs(10);
    while retransmits(&client)? < 2 {
        if end <= Instant::now() {
            return Err(Stop::fail("nothing was sent again in 10 s"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(json!({ "port": port, "client_port": from.port(), "client_fd": client.as_raw_fd(), "pid": sys::pid() }))
}

fn check_retransmit(rows: &Rows, facts: &Facts) -> Checked {
    let (port, client_port) = (Some(facts.number::<u16>("port")), Some(facts.number::<u16>("client_port")));
    let again = rows.all(Kind::Retransmit, |row: &NetworkEvent| row.local_port == client_port && row.peer_port == port);
    let close = rows.one(Kind::NetClose, |row: &NetworkEvent| row.local_port == client_port)?;
    // The socket itself counted what it sent again. More may have followed its close.
    let counted = close.retransmits.unwrap_or(0) as usize;
    if counted < 2 || again.len() < counted {
        return Err(format!("retransmit rows: expected {counted} at least, and 2 of them, found {}", again.len()));
    }
    for (before, row) in (0u32..).zip(again) {
        expect!((row.state.as_deref(), row.common.pid), (Some("ESTABLISHED"), rows.host_pid(facts.number("pid"))?));
        expect!((row.inode, row.common.exec_id), (close.inode, close.common.exec_id));
        expect!((row.peer_addr.as_deref(), row.retransmits), (Some("127.0.0.1"), Some(before + 1)));
        if before + 1 == close.retransmits.unwrap_or(0) {
            break;
        }
    }
    Ok(())
}
