//! Sockets, on loopback only: bind, listen, connect, accept, close with bytes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};

use datasets::NetworkEvent;
use record_bpf::Kind;
use serde_json::{Value, json};

use super::{Case, Checked, Facts, Rows, Scratch, Stop, sys};
use crate::expect;

const CONNECTION: &[Kind] = &[Kind::Bind, Kind::Listen, Kind::Connect, Kind::Accept, Kind::NetClose];

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("tcp4", CONNECTION, tcp4, check_tcp),
        Case::new("tcp6", CONNECTION, tcp6, check_tcp),
        Case::new("unix-stream", CONNECTION, unix_stream, check_unix_stream),
        Case::new("udp-connect", &[Kind::Connect, Kind::NetClose], udp, check_udp),
        Case::new("socket-kinds", &[Kind::Socket, Kind::NetClose], sockets, check_sockets),
        Case::new("udp-peers", &[Kind::Peer, Kind::NetClose], peers, check_peers),
        Case::new("connect-refused", &[Kind::Connect], refused, check_refused),
    ]
}

fn tcp4(_: &Scratch) -> Result<Value, Stop> {
    tcp("inet", "127.0.0.1")
}

fn tcp6(_: &Scratch) -> Result<Value, Stop> {
    sys::need_ipv6()?;
    tcp("inet6", "::1")
}

/// A connection that has carried 1,500 bytes one way and 2 the other.
pub(super) struct Talk {
    pub server: TcpListener,
    pub client: TcpStream,
    pub peer: TcpStream,
    pub port: u16,
    pub client_port: u16,
}

pub(super) fn talk(address: &str) -> Result<Talk, Stop> {
    let server = TcpListener::bind((address, 0))?;
    let port = server.local_addr()?.port();
    let mut client = TcpStream::connect((address, port))?;
    let (mut peer, from) = server.accept()?;
    client.write_all(&[b'x'; 1500])?;
    peer.read_exact(&mut [0; 1500])?;
    peer.write_all(b"ok")?;
    client.read_exact(&mut [0; 2])?;
    Ok(Talk { server, client, peer, port, client_port: from.port() })
}

fn tcp(family: &str, address: &str) -> Result<Value, Stop> {
    let Talk { server, client, peer, port, client_port } = talk(address)?;
    Ok(json!({
        "family": family, "address": address, "port": port, "client_port": client_port,
        "server_fd": server.as_raw_fd(), "client_fd": client.as_raw_fd(), "peer_fd": peer.as_raw_fd(),
    }))
}

fn check_tcp(rows: &Rows, facts: &Facts) -> Checked {
    let (address, family) = (Some(facts.text("address")), facts.text("family"));
    let (port, client_port) = (Some(facts.number::<u16>("port")), Some(facts.number::<u16>("client_port")));
    let inet = |row: &NetworkEvent| &*row.family == family;
    let bind = rows.one(Kind::Bind, inet)?;
    expect!((bind.local_addr.as_deref(), bind.local_port), (address, port));
    expect!((&*bind.protocol, bind.peer_addr.as_deref(), bind.ret), ("tcp", None, 0));
    expect!(bind.fd, facts.number("server_fd"));
    let listen = rows.one(Kind::Listen, inet)?;
    expect!((listen.local_addr.as_deref(), listen.local_port, listen.ret), (address, port, 0));
    expect!((listen.inode, listen.backlog.is_some()), (bind.inode, true));
    let connect = rows.one(Kind::Connect, inet)?;
    expect!((connect.peer_addr.as_deref(), connect.peer_port), (address, port));
    expect!((connect.local_addr.as_deref(), connect.local_port), (address, client_port));
    expect!((&*connect.protocol, connect.ret, connect.peer_from_user), ("tcp", 0, false));
    expect!(connect.fd, facts.number("client_fd"));
    let accept = rows.one(Kind::Accept, inet)?;
    expect!((accept.peer_addr.as_deref(), accept.peer_port), (address, client_port));
    expect!((accept.local_addr.as_deref(), accept.local_port), (address, port));
    expect!((accept.ret, accept.fd), (facts.number("peer_fd"), facts.number("peer_fd")));
    let close = |socket: &NetworkEvent| rows.one(Kind::NetClose, |row: &NetworkEvent| row.inode == socket.inode);
    let (client, peer) = (close(connect)?, close(accept)?);
    expect!((client.bytes_sent, client.bytes_received), (Some(1500), Some(2)));
    expect!((peer.bytes_sent, peer.bytes_received), (Some(2), Some(1500)));
    expect!((client.fd, client.implicit), (connect.fd, false));
    expect!((peer.fd, peer.implicit), (accept.fd, false));
    expect!(close(bind)?.fd, bind.fd);
    Ok(())
}

fn unix_stream(scratch: &Scratch) -> Result<Value, Stop> {
    let path = scratch.path("sock");
    let server = UnixListener::bind(&path)?;
    let mut client = UnixStream::connect(&path)?;
    let (mut peer, _) = server.accept()?;
    client.write_all(b"hello")?;
    peer.read_exact(&mut [0; 5])?;
    Ok(json!({ "path": path, "client_fd": client.as_raw_fd(), "peer_fd": peer.as_raw_fd(), "pid": sys::pid() }))
}

fn check_unix_stream(rows: &Rows, facts: &Facts) -> Checked {
    let path = Some(facts.text("path"));
    let unix = |row: &NetworkEvent| &*row.family == "unix";
    let bind = rows.one(Kind::Bind, unix)?;
    expect!((bind.unix_path.as_deref(), &*bind.protocol, bind.ret), (path, "stream", 0));
    expect!((bind.local_addr.as_deref(), bind.local_port, bind.peer_port), (None, None, None));
    expect!(rows.one(Kind::Listen, unix)?.unix_path.as_deref(), path);
    let connect = rows.one(Kind::Connect, unix)?;
    expect!((connect.unix_path.as_deref(), connect.fd, connect.ret), (path, facts.number("client_fd"), 0));
    let accept = rows.one(Kind::Accept, unix)?;
    expect!((accept.unix_path.as_deref(), accept.fd), (path, facts.number("peer_fd")));
    let close = |fd: i32| rows.one(Kind::NetClose, |row: &NetworkEvent| row.fd == fd && unix(row));
    expect!(close(connect.fd)?.bytes_sent, Some(5));
    expect!(close(accept.fd)?.bytes_received, Some(5));
    // Both ends: only the listening one has a name, and both are this process.
    let pid = Some(rows.host_pid(facts.number("pid"))?);
    let ends = |row: &NetworkEvent| (row.unix_local.clone(), row.unix_peer.clone(), row.peer_pid);
    expect!(ends(connect), (None, path.map(Into::into), pid));
    expect!(ends(accept), (path.map(Into::into), None, pid));
    Ok(())
}

fn udp(_: &Scratch) -> Result<Value, Stop> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect("127.0.0.1:9")?;
    socket.send(b"12345")?;
    Ok(json!({ "port": socket.local_addr()?.port(), "fd": socket.as_raw_fd() }))
}

fn check_udp(rows: &Rows, facts: &Facts) -> Checked {
    let row = rows.one(Kind::Connect, |row: &NetworkEvent| &*row.protocol == "udp")?;
    expect!((row.peer_addr.as_deref(), row.peer_port), (Some("127.0.0.1"), Some(9)));
    expect!((row.local_addr.as_deref(), row.local_port), (Some("127.0.0.1"), Some(facts.number::<u16>("port"))));
    expect!((row.fd, row.ret), (facts.number("fd"), 0));
    let close = rows.one(Kind::NetClose, |close: &NetworkEvent| close.inode == row.inode)?;
    expect!((close.bytes_sent, close.bytes_received), (Some(5), Some(0)));
    Ok(())
}

fn refused(_: &Scratch) -> Result<Value, Stop> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    match TcpStream::connect(("127.0.0.1", port)) {
        Ok(_) => Err(Stop::fail("a port that nobody listens at was connected to")),
        Err(_) => Ok(json!({ "port": port })),
    }
}

fn check_refused(rows: &Rows, facts: &Facts) -> Checked {
    let row = rows.one(Kind::Connect, |row: &NetworkEvent| row.peer_port == Some(facts.number("port")))?;
    expect!((row.ret, row.peer_addr.as_deref()), (-libc::ECONNREFUSED, Some("127.0.0.1")));
    Ok(())
}

/// Sockets of every family, each as a call `socket(family, type, protocol)`, and what it is called in the rows.
const SOCKETS: &[(i32, i32, i32, [&str; 3])] = &[
    (libc::AF_INET, libc::SOCK_STREAM, 0, ["inet", "stream", "tcp"]),
    (libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0, ["inet", "dgram", "udp"]),
    (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP, ["inet", "raw", "icmp"]),
    (libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE, ["netlink", "raw", "route"]),
    (libc::AF_PACKET, libc::SOCK_DGRAM, (libc::ETH_P_ARP as u16).to_be() as i32, ["packet", "dgram", "arp"]),
    (libc::AF_UNIX, libc::SOCK_SEQPACKET, 0, ["unix", "seqpacket", "seqpacket"]),
    (libc::AF_INET, libc::SOCK_RDM, 0, ["inet", "rdm", "ip"]), // there is none
];

fn sockets(_: &Scratch) -> Result<Value, Stop> {
    let mut made = Vec::new();
    for (family, kind, protocol, _) in SOCKETS {
        // SAFETY: socket has no preconditions.
        let fd = unsafe { libc::socket(*family, *kind, *protocol) };
        let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        made.push(if fd < 0 { -error } else { fd });
    }
    let mut pair = [0; 2];
    // SAFETY: the array has room for both descriptors.
    sys::call("socketpair", unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()) })?;
    for fd in made.iter().chain(&pair).filter(|fd| **fd >= 0) {
        // SAFETY: the descriptor is this function's own.
        sys::call("close", unsafe { libc::close(*fd) })?;
    }
    Ok(json!({ "made": made, "pair": pair }))
}

fn check_sockets(rows: &Rows, facts: &Facts) -> Checked {
    let numbers = |name: &str| {
        let list = facts.0[name].as_array().into_iter().flatten();
        list.filter_map(Value::as_i64).filter_map(|n| i32::try_from(n).ok()).collect::<Vec<_>>()
    };
    for ((.., [family, socket_type, protocol]), ret) in SOCKETS.iter().zip(numbers("made")) {
        let is_it = |row: &NetworkEvent| &*row.family == *family && row.socket_type.as_deref() == Some(socket_type);
        // Two may have the same type, as the pair; each result is one row.
        let row = rows.one(Kind::Socket, |row: &NetworkEvent| is_it(row) && row.ret == ret)?;
        expect!((&*row.protocol, row.local_port, row.peer_addr.is_some()), (*protocol, None, false));
        expect!((row.fd, row.inode.is_some()), (ret.max(-1), ret >= 0));
        if ret >= 0 {
            let close = rows.one(Kind::NetClose, |close: &NetworkEvent| close.inode == row.inode)?;
            expect!((close.fd, &*close.protocol, &close.family), (ret, *protocol, &row.family));
        }
    }
    for fd in numbers("pair") {
        let end = rows.one(Kind::Socket, |row: &NetworkEvent| row.fd == fd && &*row.protocol == "stream")?;
        expect!((&*end.family, end.ret), ("unix", 0));
    }
    Ok(())
}

/// One socket, two peers, two datagrams to each: by sendto, and by one sendmmsg.
fn peers(_: &Scratch) -> Result<Value, Stop> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    let ports = [one.local_addr()?.port(), other.local_addr()?.port()];
    socket.send_to(b"first", ("127.0.0.1", ports[0]))?;
    socket.send_to(b"again", ("127.0.0.1", ports[0]))?;
    send_two(&socket, ports[1])?;
    let mut buffer = [0; 16];
    for receiver in [&one, &one, &other, &other] {
        receiver.recv_from(&mut buffer)?;
    }
    let port = socket.local_addr()?.port();
    Ok(json!({ "fd": socket.as_raw_fd(), "port": port, "one": ports[0], "other": ports[1] }))
}

/// Two datagrams of 3 and 4 bytes in one call.
fn send_two(socket: &UdpSocket, port: u16) -> Result<(), Stop> {
    let mut to = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    let mut parts = [*b"abcd", *b"efgh"];
    let mut pieces =
        [(0, 3), (1, 4)].map(|(i, len)| libc::iovec { iov_base: parts[i as usize].as_mut_ptr().cast(), iov_len: len });
    // SAFETY: all zeroes are a valid mmsghdr.
    let mut messages: [libc::mmsghdr; 2] = unsafe { std::mem::zeroed() };
    for (message, piece) in messages.iter_mut().zip(&mut pieces) {
        message.msg_hdr.msg_name = (&raw mut to).cast();
        message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
        message.msg_hdr.msg_iov = piece;
        message.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: the messages, their address and their buffers outlive the call.
    let sent = sys::call("sendmmsg", unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), 2, 0) })?;
    if sent == 2 { Ok(()) } else { Err(Stop::fail(format!("sendmmsg sent {sent} of 2 datagrams"))) }
}

fn check_peers(rows: &Rows, facts: &Facts) -> Checked {
    let (port, peers) = (facts.number::<u16>("port"), [facts.number::<u16>("one"), facts.number::<u16>("other")]);
    for (peer, bytes) in peers.into_iter().zip([5, 3]) {
        let sent = rows.one(Kind::Peer, |row: &NetworkEvent| row.peer_port == Some(peer))?;
        expect!((sent.direction.as_deref(), sent.ret, sent.fd), (Some("sent"), bytes, facts.number("fd")));
        expect!((sent.peer_addr.as_deref(), sent.peer_from_user), (Some("127.0.0.1"), true));
        expect!((sent.local_port, &*sent.protocol), (Some(port), "udp"));
        let received = rows.one(Kind::Peer, |row: &NetworkEvent| row.local_port == Some(peer))?;
        expect!((received.direction.as_deref(), received.ret), (Some("received"), bytes));
        expect!((received.peer_addr.as_deref(), received.peer_port), (Some("127.0.0.1"), Some(port)));
    }
    let close = rows.one(Kind::NetClose, |row: &NetworkEvent| row.fd == facts.number::<i32>("fd"))?;
    expect!((close.bytes_sent, close.bytes_received), (Some(17), Some(0)));
    Ok(())
}
