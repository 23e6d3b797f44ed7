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

fn tcp(family: &str, address: &str) -> Result<Value, Stop> {
    let server = TcpListener::bind((address, 0))?;
    let port = server.local_addr()?.port();
    let mut client = TcpStream::connect((address, port))?;
    let (mut peer, from) = server.accept()?;
    client.write_all(&[b'x'; 1500])?;
    peer.read_exact(&mut [0; 1500])?;
    peer.write_all(b"ok")?;
    client.read_exact(&mut [0; 2])?;
    Ok(json!({
        "family": family, "address": address, "port": port, "client_port": from.port(),
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
    Ok(json!({ "path": path, "client_fd": client.as_raw_fd(), "peer_fd": peer.as_raw_fd() }))
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
