//! Trigger and assert: plaintext of real TLS connections, on loopback only: OpenSSL's four calls, HTTP/1, Go, loss.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Recorded, can_record, one, python, record_with};
use datasets::{Event, TlsEvent};
use record_bpf::Kind;

/// A certificate and key of its own, `cert.pem` and `key.pem`.
fn certificate(dir: &Path) {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(dir)
        .output()
        .expect("openssl runs");
    assert!(output.status.success(), "openssl req: {}", String::from_utf8_lossy(&output.stderr));
}

fn tls(run: &Recorded, kind: Kind) -> Vec<&TlsEvent> {
    let rows = run.events.iter().filter_map(|event| match event {
        Event::Tls(row) => Some(row),
        _ => None,
    });
    rows.filter(|row| row.common.kind == kind).collect()
}

fn with_data<'a>(run: &'a Recorded, kind: Kind, data: &[u8]) -> Vec<&'a TlsEvent> {
    tls(run, kind).into_iter().filter(|row| row.data == data).collect()
}

/// One object that every process prints as JSON on a line of its own.
fn facts(run: &Recorded) -> serde_json::Value {
    let stdout = String::from_utf8_lossy(&run.output.stdout).into_owned();
    let line = stdout.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("no facts in: {stdout}"));
    serde_json::from_str(line).unwrap()
}

fn intact(run: &Recorded) {
    let report = datasets::verify(&run.dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);
}

/// Python's ssl module: libssl's SSL_read_ex and SSL_write_ex on a socket of its own.
const PYTHON: &str = r#"
import json, socket, ssl, sys, threading
dir = sys.argv[1]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(dir + '/cert.pem', dir + '/key.pem')
listener = socket.socket(); listener.bind(('127.0.0.1', 0)); listener.listen(1)
facts = {}
def serve():
    accepted, _ = listener.accept()
    with context.wrap_socket(accepted, server_side=True) as peer:
        facts['server_fd'], facts['server_tid'] = peer.fileno(), threading.get_native_id()
        assert peer.recv(4096).startswith(b'POST')
        got = b''
        while len(got) < 10000: got += peer.recv(16384)
        peer.sendall(b'HTTP/1.1 201 Created\r\nServer: retro\r\nX-Raw: caf\xe9\r\n\r\n')
thread = threading.Thread(target=serve); thread.start()
trust = ssl.create_default_context(cafile=dir + '/cert.pem')
with trust.wrap_socket(socket.create_connection(listener.getsockname()), server_hostname='localhost') as client:
    facts['client_fd'], facts['client_tid'] = client.fileno(), threading.get_native_id()
    client.sendall(b'POST /orders?id=7 HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 10000\r\n\r\n')
    client.sendall(bytes(range(256)) * 39 + b'\0' * 16)
    assert client.recv(4096).startswith(b'HTTP/1.1 201')
    thread.join()
print(json.dumps(facts))
"#;

#[test]
fn pythons_calls_have_every_field_and_http_is_parsed() {
    if !can_record("pythons_calls_have_every_field_and_http_is_parsed") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path());
    let argv = [&*python(), "-I", "-S", "-c", PYTHON, dir.path().to_str().unwrap()];
    let run = record_with(&["--events", "process,network,tls", "--tls-bytes", "1000"], &argv);
    let facts = facts(&run);
    let number = |name: &str| facts[name].as_i64().unwrap();
    intact(&run);

    let request = &b"POST /orders?id=7 HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 10000\r\n\r\n"[..];
    let (sent, got) = (one(with_data(&run, Kind::TlsWrite, request)), one(with_data(&run, Kind::TlsRead, request)));
    for (row, who) in [(sent, "client"), (got, "server")] {
        assert_eq!(&*row.library, "openssl");
        assert_eq!(row.fd.map(i64::from), Some(number(&format!("{who}_fd"))), "{who}");
        assert_eq!(i64::from(row.common.tid), number(&format!("{who}_tid")), "{who}");
        assert_eq!((row.bytes, row.captured, row.truncated), (request.len() as u64, request.len() as u32, false));
        assert_eq!(row.http_method.as_deref(), Some("POST"));
        assert_eq!(row.http_path.as_deref(), Some("/orders?id=7"));
        assert_eq!(row.http_version.as_deref(), Some("1.1"));
        assert_eq!(row.http_host.as_deref(), Some("shop.example"));
        let headers: Vec<_> = row.http_headers.iter().flatten().map(|header| &**header).collect();
        assert_eq!(headers, ["Host: shop.example", "Content-Length: 10000"]);
        assert_eq!(row.http_status, None);
        let process = run.process_of(row.common.exec_id);
        assert_eq!(process.pid, row.common.pid);
        assert!(process.exe.as_deref().is_some_and(|exe| exe.contains("python")), "{:?}", process.exe);
    }
    assert_ne!(sent.connection, got.connection);

    // 10,000 bytes are kept up to --tls-bytes, and counted whole.
    let body = one(tls(&run, Kind::TlsWrite).into_iter().filter(|row| row.bytes == 10_000).collect());
    assert_eq!((body.captured, body.truncated, body.connection), (1000, true, sent.connection));
    let expected: Vec<u8> = (0..=255u8).cycle().take(1000).collect();
    assert_eq!(body.data, expected);
    assert_eq!((&body.http_method, &body.http_headers), (&None, &None));
    let reads = tls(&run, Kind::TlsRead).into_iter().filter(|row| row.connection == got.connection);
    assert_eq!(reads.map(|row| row.bytes).sum::<u64>(), request.len() as u64 + 10_000);

    let response = one(tls(&run, Kind::TlsRead).into_iter().filter(|row| row.http_status.is_some()).collect());
    assert_eq!((response.http_status, response.connection), (Some(201), sent.connection));
    assert_eq!((&response.http_method, &response.http_path, &response.http_host), (&None, &None, &None));
    let headers: Vec<_> = response.http_headers.iter().flatten().map(|header| &**header).collect();
    assert_eq!(headers, ["Server: retro", "X-Raw: caf\\xe9"]);
    // The request, the body and the response: nothing else was written.
    assert_eq!(tls(&run, Kind::TlsWrite).len(), 3);
}
