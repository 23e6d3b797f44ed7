//! DNS on loopback, with messages made by hand: no resolver and no server is needed.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

use datasets::DnsEvent;
use record_bpf::Kind;
use serde_json::{Value, json};

use super::{Case, Checked, Facts, Rows, Scratch, Stop, sys};
use crate::expect;

/// Loopback is a whole /8: an address that no resolver of the machine uses.
const SERVER: &str = "127.83.83.83";
const SERVER_PORT: u16 = 53;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("dns-udp", &[Kind::DnsQuery, Kind::DnsAnswer], udp, check_udp),
        Case::new("dns-tcp", &[Kind::DnsQuery, Kind::DnsAnswer, Kind::DnsSegment], tcp, check_tcp),
        Case::new("dns-malformed", &[Kind::DnsQuery, Kind::DnsSegment], malformed, check_malformed),
    ]
}

/// "name type", and for an answer its only record's type and data; names are pointed at where RFC 1035 allows it.
fn message(id: u16, name: &str, qtype: u16, answer: Option<&[u8]>) -> Vec<u8> {
    let flags: u16 = if answer.is_some() { 0x8180 } else { 0x0100 };
    let words = [id, flags, 1, u16::from(answer.is_some()), 0, 0];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("a short label"));
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend([qtype, 1].iter().flat_map(|word: &u16| word.to_be_bytes()));
    if let Some(data) = answer {
        let length = u16::try_from(data.len()).expect("a short record");
        let words = [0xc00c, qtype, 1, 0, 60, length];
        bytes.extend(words.iter().flat_map(|word: &u16| word.to_be_bytes()));
        bytes.extend_from_slice(data);
    }
    bytes
}

fn server() -> Result<UdpSocket, Stop> {
    UdpSocket::bind((SERVER, SERVER_PORT)).map_err(|error| Stop::skip(format!("port 53 of {SERVER}: {error}")))
}

fn udp(_: &Scratch) -> Result<Value, Stop> {
    let (server, client) = (server()?, UdpSocket::bind("127.0.0.1:0")?);
    let mut buffer = [0; 512];
    client.send_to(&message(0x1234, "www.example.test", 1, None), (SERVER, SERVER_PORT))?;
    let (_, from) = server.recv_from(&mut buffer)?;
    server.send_to(&message(0x1234, "www.example.test", 1, Some(&[192, 0, 2, 7])), from)?;
    let (bytes, _) = client.recv_from(&mut buffer)?;
    Ok(json!({
        "client_fd": client.as_raw_fd(), "server_fd": server.as_raw_fd(), "client_port": from.port(), "pid": sys::pid(),
        "bytes": bytes,
    }))
}

fn check_udp(rows: &Rows, facts: &Facts) -> Checked {
    let client_port = facts.number::<u16>("client_port");
    let of = |direction: &'static str| move |row: &DnsEvent| &*row.direction == direction;
    let asked = rows.one(Kind::DnsQuery, of("sent"))?;
    expect!((asked.id, asked.opcode.as_deref(), asked.rcode.as_deref()), (Some(0x1234), Some("query"), None));
    expect!((asked.question.as_deref(), asked.qtype.as_deref()), (Some("www.example.test"), Some("A")));
    expect!((asked.peer_addr.as_deref(), asked.peer_port), (Some(SERVER), SERVER_PORT));
    expect!((asked.local_port, asked.fd, &*asked.protocol), (client_port, facts.number("client_fd"), "udp"));
    expect!((asked.peer_from_user, asked.malformed, asked.cut), (true, false, false));
    expect!((&asked.answers, asked.truncated), (&None, Some(false)));
    expect!(asked.common.pid, rows.host_pid(facts.number("pid"))?);
    let heard = rows.one(Kind::DnsQuery, of("received"))?;
    expect!((heard.local_addr.as_deref(), heard.local_port), (Some(SERVER), SERVER_PORT));
    expect!((heard.peer_addr.as_deref(), heard.peer_port), (Some("127.0.0.1"), client_port));
    expect!((heard.fd, heard.id), (facts.number("server_fd"), Some(0x1234)));
    for direction in ["sent", "received"] {
        let answer = rows.one(Kind::DnsAnswer, of(direction))?;
        expect!((answer.id, answer.rcode.as_deref(), answer.malformed), (Some(0x1234), Some("NOERROR"), false));
        let answers: Vec<&str> = answer.answers.iter().flatten().map(|record| &**record).collect();
        expect!(answers, vec!["www.example.test A 192.0.2.7"]);
        expect!(answer.bytes, facts.number::<u32>("bytes"));
    }
    Ok(())
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).expect("a short message").to_be_bytes()[..], message].concat()
}

fn tcp(_: &Scratch) -> Result<Value, Stop> {
    let server = TcpListener::bind((SERVER, SERVER_PORT))
        .map_err(|error| Stop::skip(format!("port 53 of {SERVER}: {error}")))?;
    let mut client = TcpStream::connect((SERVER, SERVER_PORT))?;
    let (mut peer, _) = server.accept()?;
    let query = framed(&message(7, "a.example.test", 16, None));
    client.write_all(&query[..2])?;
    client.write_all(&query[2..])?;
    // As glibc's resolver: the length first, then the rest.
    peer.read_exact(&mut [0; 2])?;
    peer.read_exact(&mut vec![0; query.len() - 2])?;
    let text = framed(&message(7, "a.example.test", 16, Some(b"\x05hello")));
    let mail = framed(&message(8, "example.test", 15, Some(b"\0\x0a\x04mail\xc0\x0c")));
    peer.write_all(&[&text[..], &mail].concat())?;
    let mut both = vec![0; text.len() + mail.len()];
    client.read_exact(&mut both)?;
    Ok(json!({ "client_fd": client.as_raw_fd(), "peer_fd": peer.as_raw_fd(), "bytes": query.len() - 2 }))
}

fn check_tcp(rows: &Rows, facts: &Facts) -> Checked {
    for (direction, fd) in [("sent", "client_fd"), ("received", "peer_fd")] {
        let of = |row: &DnsEvent| &*row.direction == direction;
        let piece = rows.one(Kind::DnsSegment, of)?;
        expect!((piece.bytes, piece.id, piece.malformed, &*piece.protocol), (2, None, false, "tcp"));
        let query = rows.one(Kind::DnsQuery, of)?;
        expect!(
            (query.id, query.question.as_deref(), query.qtype.as_deref()),
            (Some(7), Some("a.example.test"), Some("TXT"))
        );
        expect!((query.bytes, query.fd, query.malformed), (facts.number("bytes"), facts.number(fd), false));
        expect!((query.inode, query.peer_from_user), (piece.inode, false));
    }
    for direction in ["sent", "received"] {
        let answer = rows.one(Kind::DnsAnswer, |row: &DnsEvent| &*row.direction == direction)?;
        let answers: Vec<&str> = answer.answers.iter().flatten().map(|record| &**record).collect();
        expect!(answers, vec!["a.example.test TXT hello"]);
        let more: Vec<&str> = answer.more.iter().flatten().map(|message| &**message).collect();
        expect!(more, vec!["answer 8 NOERROR example.test MX; example.test MX 10 mail.example.test"]);
    }
    Ok(())
}

fn malformed(_: &Scratch) -> Result<Value, Stop> {
    let (server, client) = (server()?, UdpSocket::bind("127.0.0.1:0")?);
    client.connect((SERVER, SERVER_PORT))?;
    client.send(b"short")?;
    let whole = message(9, "cut.example.test", 28, None);
    client.send(&whole[..whole.len() - 3])?;
    Ok(json!({ "server_fd": server.as_raw_fd() }))
}

fn check_malformed(rows: &Rows, _: &Facts) -> Checked {
    let short = rows.one(Kind::DnsSegment, |_: &DnsEvent| true)?;
    expect!((short.bytes, short.malformed, short.id), (5, true, None));
    expect!((short.peer_addr.as_deref(), short.peer_from_user), (Some(SERVER), false));
    let query = rows.one(Kind::DnsQuery, |_: &DnsEvent| true)?;
    expect!((query.id, query.malformed, query.question.as_deref()), (Some(9), true, None));
    Ok(())
}
