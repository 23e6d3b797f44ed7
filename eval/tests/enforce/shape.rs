//! An exported shaping between two network namespaces of the test's own: a known peer gets its minute's bytes at once, all others
//! together get what a stranger may have.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use replay::policy::{Options, allowed::Allowed, apply::Namespace, tc};
use replay::profile::store::Entry;

use crate::ruleset::{HERE, Pair, THERE, within};

const KNOWN: u16 = 5432;
const STRANGER: u16 = 5433;
/// Within the floor of a known peer, and far beyond what a stranger may have.
const BYTES: usize = 600_000;

/// Bytes that arrive within the time, and how long the last took.
fn send(port: u16, patience: Duration) -> (usize, Duration) {
    let listener = within(THERE, move || TcpListener::bind(("10.213.7.2", port)).unwrap()).join().unwrap();
    let begun = Instant::now();
    let sending = within(HERE, move || {
        let mut stream = TcpStream::connect(("10.213.7.2", port)).unwrap();
        stream.set_write_timeout(Some(patience)).unwrap();
        // What does not leave in time is the point.
        let _ = stream.write_all(&vec![7; BYTES]);
        stream
    });
    let (mut stream, _) = listener.accept().unwrap();
    let (mut got, mut last, mut buffer) = (0, begun, vec![0; 65_536]);
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    while got < BYTES && begun.elapsed() < patience {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => (got, last) = (got + read, Instant::now()),
            Err(_) => {}
        }
    }
    drop(stream);
    drop(sending.join());
    (got, last - begun)
}

#[test]
fn a_known_peer_gets_its_bytes_and_strangers_what_strangers_may_have() {
    if !Command::new("tc").arg("-V").output().is_ok_and(|output| output.status.success()) {
        eprintln!("\n*** SKIPPED the shaping in use: needs tc ***\n");
        return;
    }
    let Some(_pair) = Pair::new() else { return };
    let mut entry = Entry::default();
    entry.trees.network.insert(&["/app", "connect tcp", "image peer:1", "5432"].map(Arc::from), 50);
    entry.trees.sent.entry("/app".into()).or_default().insert(format!("image peer:1:{KNOWN}").into(), 1_000);
    let image: Arc<str> = "probe:1".into();
    let config = replay::config::load(None, &[]).unwrap();
    let addresses = [("peer:1".into(), ["10.213.7.2".parse().unwrap()].into())].into();
    let options = Options { config: &config, label: String::new(), enforce: true, addresses, interface: "rtn0".into() };
    let policy = tc::write(&Allowed::new(&image, &entry), &options);
    let namespace = Namespace::named(HERE.as_ref()).unwrap();
    // Before: nothing is held back.
    assert_eq!(send(STRANGER, Duration::from_secs(20)).0, BYTES);

    namespace.tc(&["-batch", "-"], &policy.text).unwrap();
    let (known, took) = send(KNOWN, Duration::from_secs(20));
    assert_eq!(known, BYTES, "after {took:?}");
    // A bucket of 20,000 bytes, and what was one packet of up to 64 KiB when the bucket still had something.
    let (stranger, _) = send(STRANGER, Duration::from_secs(3));
    assert!((1..=20_000 + 65_536).contains(&stranger), "{stranger} bytes");
    // A batch that cannot be carried out says at which line.
    let error = namespace.tc(&["-batch", "-"], &policy.text).unwrap_err().to_string();
    assert!(error.contains("tc: "), "{error}");
    eprintln!(
        "{BYTES} bytes: to the known peer all of them in {:.0} ms; to a stranger {stranger} within 3 s",
        took.as_secs_f64() * 1e3
    );
}
