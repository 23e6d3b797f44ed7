//! Trigger and assert: bind, listen, connect, accept, close with bytes; on loopback and unix sockets only.

mod common;

use common::{can_record, one, record_python};
use record_bpf::Kind;

const TCP: &str = "
import os, socket, sys
family, address = (socket.AF_INET6, '::1') if sys.argv[1] == '6' else (socket.AF_INET, '127.0.0.1')
server = socket.socket(family); server.bind((address, 0)); server.listen(5)
port = server.getsockname()[1]
client = socket.socket(family); client.connect((address, port))
peer, who = server.accept()
client.sendall(b'x' * 1500); got = 0
while got < 1500: got += len(peer.recv(4096))
peer.send(b'ok'); client.recv(10)
print(port, who[1])
client.close(); peer.close(); server.close()
";

fn tcp(version: &str, family: &str, address: &str) {
    let run = record_python(TCP, &[version]);
    let stdout = String::from_utf8_lossy(&run.output.stdout).into_owned();
    let (server, client) = stdout.lines().next().unwrap().split_once(' ').unwrap();
    let (server, client): (u16, u16) = (server.parse().unwrap(), client.parse().unwrap());
    let inet = |kind| run.network(kind).filter(|row| &*row.family == family).collect::<Vec<_>>();

    let bind = one(inet(Kind::Bind));
    assert_eq!((bind.local_addr.as_deref(), bind.local_port, bind.ret), (Some(address), Some(server), 0));
    assert_eq!((&*bind.protocol, bind.peer_addr.as_deref()), ("tcp", None));
    let listen = one(inet(Kind::Listen));
    assert_eq!((listen.local_port, listen.backlog), (Some(server), Some(5)));
    let connect = one(inet(Kind::Connect));
    assert_eq!((connect.peer_addr.as_deref(), connect.peer_port), (Some(address), Some(server)));
    assert_eq!((connect.local_addr.as_deref(), connect.local_port), (Some(address), Some(client)));
    assert!(!connect.peer_from_user);
    let accept = one(inet(Kind::Accept));
    assert_eq!((accept.peer_addr.as_deref(), accept.peer_port), (Some(address), Some(client)));
    assert_eq!(accept.local_port, Some(server));

    let closes = inet(Kind::NetClose);
    let bytes =
        |fd| one(closes.iter().filter(|row| row.fd == fd).map(|row| (row.bytes_received, row.bytes_sent)).collect());
    assert_eq!(bytes(connect.fd), (Some(2), Some(1500)));
    assert_eq!(bytes(accept.fd), (Some(1500), Some(2)));
}

#[test]
fn a_tcp_connection_from_bind_to_close() {
    if can_record("a_tcp_connection_from_bind_to_close") {
        tcp("4", "inet", "127.0.0.1");
    }
}

#[test]
fn a_tcp_connection_over_ipv6() {
    if !can_record("a_tcp_connection_over_ipv6") {
        return;
    }
    if !std::path::Path::new("/proc/net/if_inet6").exists() {
        eprintln!("\n*** SKIPPED a_tcp_connection_over_ipv6: this machine has no IPv6 ***\n");
        return;
    }
    tcp("6", "inet6", "::1");
}

#[test]
fn a_refused_connection_tells_whom_and_why() {
    if !can_record("a_refused_connection_tells_whom_and_why") {
        return;
    }
    let run = record_python(
        "
import socket
s = socket.socket(); s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]; s.close()
c = socket.socket()
try: c.connect(('127.0.0.1', port))
except ConnectionRefusedError: pass
print(port)
",
        &[],
    );
    let port: u16 = String::from_utf8_lossy(&run.output.stdout).lines().next().unwrap().parse().unwrap();
    let connect = one(run.network(Kind::Connect).collect());
    assert_eq!(connect.ret, -libc::ECONNREFUSED);
    assert_eq!((connect.peer_addr.as_deref(), connect.peer_port), (Some("127.0.0.1"), Some(port)));
}

#[test]
fn udp_and_unix_sockets_have_their_peers() {
    if !can_record("udp_and_unix_sockets_have_their_peers") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sock");
    let run = record_python(
        "
import socket, sys
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect(('127.0.0.1', 9)); u.send(b'12345'); u.close()
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1)
c = socket.socket(socket.AF_UNIX); c.connect(sys.argv[1]); p, _ = s.accept()
c.send(b'hello'); p.recv(10); c.close(); p.close(); s.close()
a = socket.socket(socket.AF_UNIX); a.bind('\\0retroscope-test'); a.close()
",
        &[path.to_str().unwrap()],
    );
    let udp = one(run.network(Kind::Connect).filter(|row| &*row.protocol == "udp").collect());
    assert_eq!((udp.peer_addr.as_deref(), udp.peer_port), (Some("127.0.0.1"), Some(9)));
    let unix = one(run.network(Kind::Connect).filter(|row| &*row.family == "unix").collect());
    assert_eq!(unix.unix_path.as_deref(), path.to_str());
    assert_eq!((unix.peer_addr.as_deref(), unix.local_port), (None, None));
    let accept = one(run.network(Kind::Accept).collect());
    assert_eq!(accept.unix_path.as_deref(), path.to_str());
    let binds: Vec<_> = run.network(Kind::Bind).filter_map(|row| row.unix_path.as_deref()).collect();
    assert_eq!(binds, [path.to_str().unwrap(), "@retroscope-test"]);
    let close = one(run
        .network(Kind::NetClose)
        .filter(|row| row.fd == accept.fd && &*row.family == "unix" && row.bytes_received == Some(5))
        .collect());
    assert_eq!(close.bytes_sent, Some(0));
}
