//! Trigger and assert: plaintext of real TLS connections, on loopback only: OpenSSL's four calls, HTTP/1, Go, loss.

mod common;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::podman::{Image, finish, podman, start};
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

/// Compiles `programs/tls.c` as `/probe` of the directory `root`.
fn compile(root: &Path, options: &[&str]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/tls.c");
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-Werror", "-o"]).arg(root.join("probe")).arg(source).args(options);
    assert!(cc.status().unwrap().success(), "cc {options:?}");
}

const SHARED: [&str; 3] = ["-pthread", "-l:libssl.so.3", "-l:libcrypto.so.3"];
const STATIC: [&str; 4] = ["-static", "-pthread", "-l:libssl.a", "-l:libcrypto.a"];

const REQUEST: &[u8] = b"GET /first HTTP/1.1\r\nHost: probe.test\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// `probe pair`: four rows, each of the process and the socket that it should be.
fn check_pair(run: &Recorded, facts: &serde_json::Value, pids_are_the_hosts: bool) {
    for (kind, data, who) in [
        (Kind::TlsWrite, REQUEST, "client"),
        (Kind::TlsRead, REQUEST, "server"),
        (Kind::TlsWrite, ANSWER, "server"),
        (Kind::TlsRead, ANSWER, "client"),
    ] {
        let row = one(with_data(run, kind, data));
        assert_eq!((&*row.library, row.bytes, row.truncated), ("openssl", data.len() as u64, false));
        assert_eq!(row.fd.map(i64::from), facts[&format!("{who}_fd")].as_i64(), "{who}");
        let process = run.process_of(row.common.exec_id);
        let pid = if pids_are_the_hosts { Some(process.pid) } else { process.ns_pid };
        assert_eq!(pid.map(i64::from), facts[who].as_i64(), "{who}");
        assert_eq!(process.exe.as_deref().map(|exe| exe.ends_with("/probe")), Some(true));
        assert_eq!(row.common.container, process.container);
        if data == REQUEST {
            assert_eq!((row.http_path.as_deref(), row.http_host.as_deref()), (Some("/first"), Some("probe.test")));
        } else {
            assert_eq!((row.http_status, row.http_path.as_deref()), (Some(204), None));
        }
    }
    assert_eq!(tls(run, Kind::TlsWrite).len() + tls(run, Kind::TlsRead).len(), 4);
    intact(run);
}

#[test]
fn a_statically_linked_openssl_is_watched_from_its_first_call() {
    if !can_record("a_statically_linked_openssl_is_watched_from_its_first_call") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    compile(dir.path(), &STATIC);
    let run = record_with(&["--events", "process,tls"], &[dir.path().join("probe").to_str().unwrap(), "pair", "0"]);
    check_pair(&run, &facts(&run), true);
}

#[test]
fn numbers_stay_unique_and_without_holes_under_load_on_every_cpu() {
    if !can_record("numbers_stay_unique_and_without_holes_under_load_on_every_cpu") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    compile(dir.path(), &SHARED);
    let (threads, calls) = (8, 4000);
    let (probe, numbers) = (dir.path().join("probe"), [threads.to_string(), calls.to_string()]);
    let argv = [probe.to_str().unwrap(), "storm", &numbers[0], &numbers[1]];
    let run = record_with(&["--events", "process,file,network,tls"], &argv);
    intact(&run);
    let mut expected: Vec<_> =
        (0..threads).flat_map(|t| (0..calls).map(move |call| format!("thread {t} call {call}").into_bytes())).collect();
    expected.sort();
    for kind in [Kind::TlsWrite, Kind::TlsRead] {
        let mut found: Vec<_> = tls(&run, kind).into_iter().map(|row| row.data.clone()).collect();
        found.sort();
        assert!(found == expected, "{kind:?}: every call exactly once ({} rows)", found.len());
        assert!(tls(&run, kind).iter().all(|row| row.fd.is_none()), "in memory: no socket");
        assert_eq!(tls(&run, kind).iter().map(|row| row.connection).collect::<HashSet<_>>().len(), threads);
    }
    // The tracepoint programs numbered their events in between.
    assert_eq!(run.file(Kind::Open, "/dev/null").len(), threads * calls);
    assert_eq!(run.file(Kind::Close, "/dev/null").len(), threads * calls);
}

#[test]
fn what_the_ring_has_no_room_for_is_accounted_for_exactly() {
    if !can_record("what_the_ring_has_no_room_for_is_accounted_for_exactly") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    compile(dir.path(), &SHARED);
    // A small ring that is looked at every two seconds: it overflows.
    let options = ["--events", "process,file,tls", "--ring", "1", "--batch", "1000000", "--deadline", "2000"];
    let run = record_with(&options, &[dir.path().join("probe").to_str().unwrap(), "storm", "8", "4000"]);
    intact(&run);
    let accounts = run.manifest.accounting.as_ref().unwrap().cpus.iter().map(|cpu| &cpu.classes["tls"]);
    let (mut emitted, mut stored, mut dropped) = (0, 0, 0);
    for account in accounts {
        emitted += account.emitted;
        stored += account.stored;
        dropped += account.dropped.ring_full;
    }
    assert_eq!(emitted, 2 * 8 * 4000, "every call was seen");
    assert!(dropped > 0, "the ring did overflow");
    assert_eq!(emitted, stored + dropped);
}

/// Builds `programs/tls.go`; None, said loudly, without Go.
fn go(test: &str, dir: &Path, flags: &[&str]) -> Option<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/tls.go");
    let program = dir.join("probe");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).args(flags).arg(source);
    // One file of the standard library's needs only: no modules, no network, no C.
    build.env("GO111MODULE", "off").env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0");
    build.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"));
    match build.output() {
        Err(error) => {
            eprintln!("\n*** SKIPPED {test}: go: {error} ***\n");
            None
        }
        Ok(output) => {
            assert!(output.status.success(), "go build: {}", String::from_utf8_lossy(&output.stderr));
            Some(program.to_str().unwrap().to_owned())
        }
    }
}

/// Every request and answer of every client, once written and once read, by the descriptor it should be.
fn check_go(run: &Recorded, fds: &serde_json::Value, clients: usize, calls: usize) {
    intact(run);
    let (writes, reads) = (tls(run, Kind::TlsWrite), tls(run, Kind::TlsRead));
    assert_eq!((writes.len(), reads.len()), (2 * clients * calls, 2 * clients * calls));
    for row in writes.iter().chain(&reads) {
        assert_eq!((&*row.library, row.bytes, row.truncated), ("go", row.data.len() as u64, false));
        assert_eq!(row.http_version.as_deref(), Some("1.1"), "{:?}", row.data);
        assert_eq!(row.http_host.as_deref(), row.http_path.is_some().then_some("go.test"));
        assert!(run.process_of(row.common.exec_id).exe.as_deref().is_some_and(|exe| exe.ends_with("/probe")));
    }
    for client in 0..clients {
        let paths: Vec<String> = (0..calls).map(|call| format!("/client/{client}/call/{call}")).collect();
        let own = |rows: &[&TlsEvent]| -> Vec<TlsEvent> {
            let prefix = format!("/client/{client}/");
            let own = |row: &&&TlsEvent| row.http_path.as_deref().is_some_and(|path| path.starts_with(&prefix));
            rows.iter().filter(own).map(|row| (*row).clone()).collect()
        };
        for rows in [own(&writes), own(&reads)] {
            let found: Vec<&str> = rows.iter().filter_map(|row| row.http_path.as_deref()).collect();
            assert_eq!(found, paths, "in order");
            assert!(rows.iter().all(|row| (row.connection, row.fd) == (rows[0].connection, rows[0].fd)));
        }
        let sent = &own(&writes)[0];
        assert_eq!(sent.fd.map(i64::from), fds[client].as_i64());
        // The client's reads are the answers on its connection.
        let answers = reads.iter().filter(|row| row.connection == sent.connection && row.fd == sent.fd);
        assert_eq!(answers.filter(|row| row.http_status == Some(200)).count(), calls);
    }
}

fn go_is_recorded(test: &str, flags: &[&str]) {
    if !can_record(test) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let Some(program) = go(test, dir.path(), flags) else { return };
    let run = record_with(&["--events", "process,network,tls"], &[&program, "40", "100"]);
    let facts = facts(&run);
    assert!(facts["collections"].as_u64().unwrap() > 10, "garbage was collected all the time");
    check_go(&run, &facts["fds"], 40, 100);
}

#[test]
fn go_is_recorded_and_keeps_working_while_its_stacks_move() {
    go_is_recorded("go_is_recorded_and_keeps_working_while_its_stacks_move", &[]);
}

#[test]
fn a_go_program_without_symbols_is_recorded_too() {
    go_is_recorded("a_go_program_without_symbols_is_recorded_too", &["-ldflags=-s -w"]);
}

/// A root file system of a program and the shared libraries it needs, libssl in `ssl_dir`.
fn root_of_probe(root: &Path, ssl_dir: &str) {
    compile(root, &SHARED);
    let ldd = Command::new("ldd").arg(root.join("probe")).output().unwrap();
    for path in String::from_utf8_lossy(&ldd.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
        let name = Path::new(path).file_name().unwrap().to_str().unwrap();
        let to = if name.starts_with("libssl") { format!("{ssl_dir}/{name}") } else { path.to_owned() };
        let to = root.join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
}

fn in_container(test: &str, container: &str, ssl_dir: &str, ms: &str) {
    let Some(podman) = podman(test) else { return };
    let root = tempfile::tempdir().unwrap();
    root_of_probe(root.path(), ssl_dir);
    let image = Image::import(podman, container, root.path());
    let dir = tempfile::tempdir().unwrap();
    let child = start(dir.path(), &["--container", container, "--events", "process,tls"]);
    let output = image.run(container, &["-e", "LD_LIBRARY_PATH=/opt/odd"], &["pair", ms]);
    let run = finish(child, dir);
    assert!(run.processes.iter().all(|process| process.container.is_some()));
    check_pair(&run, &serde_json::from_slice(&output.stdout).unwrap(), false);
}

#[test]
fn a_containers_libssl_is_watched_before_the_container_runs() {
    let test = "a_containers_libssl_is_watched_before_the_container_runs";
    in_container(test, "retroscope-test-tls", "/usr/lib/x86_64-linux-gnu", "0");
}

#[test]
fn a_library_in_an_odd_place_is_watched_once_it_is_opened() {
    let test = "a_library_in_an_odd_place_is_watched_once_it_is_opened";
    in_container(test, "retroscope-test-tls-odd", "/opt/odd", "500");
}

#[test]
fn a_containers_go_program_is_watched_from_its_first_call() {
    let test = "a_containers_go_program_is_watched_from_its_first_call";
    let Some(podman) = podman(test) else { return };
    let root = tempfile::tempdir().unwrap();
    if go(test, root.path(), &["-ldflags=-s -w"]).is_none() {
        return;
    }
    let name = "retroscope-test-tls-go";
    let image = Image::import(podman, name, root.path());
    let dir = tempfile::tempdir().unwrap();
    let child = start(dir.path(), &["--container", name, "--events", "process,tls"]);
    let output = image.run(name, &[], &["4", "25"]);
    let run = finish(child, dir);
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    check_go(&run, &facts["fds"], 4, 25);
}
