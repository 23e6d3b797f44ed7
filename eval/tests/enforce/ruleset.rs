//! An exported nftables ruleset between two network namespaces of the test's own: what it refuses it remembers, and neither its sets
//! nor all of it can be changed with a gap in between.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use replay::policy::{Options, allowed::Allowed, nftables};
use replay::profile::store::Entry;

/// Two namespaces with a veth between them; removed when dropped. One at a time.
pub struct Pair(#[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

pub const HERE: &str = "retroscope-test-nft-a";
pub const THERE: &str = "retroscope-test-nft-b";

static ONE: Mutex<()> = Mutex::new(());

fn ip(words: &str) -> bool {
    Command::new("ip").args(words.split(' ')).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

impl Pair {
    pub fn new() -> Option<Pair> {
        // SAFETY: geteuid() has no preconditions.
        if unsafe { libc::geteuid() } != 0 || Command::new("nft").arg("--version").output().is_err() {
            eprintln!("\n*** SKIPPED the rulesets in use: needs root and nft ***\n");
            return None;
        }
        let pair = Pair(ONE.lock().unwrap_or_else(PoisonError::into_inner));
        pair.remove();
        let made = ip(&format!("netns add {HERE}"))
            && ip(&format!("netns add {THERE}"))
            && ip(&format!("-n {HERE} link add rtn0 type veth peer name rtn0 netns {THERE}"))
            && ip(&format!("-n {HERE} addr add 10.213.7.1/24 dev rtn0"))
            && ip(&format!("-n {THERE} addr add 10.213.7.2/24 dev rtn0"))
            && ip(&format!("-n {THERE} addr add 10.213.7.3/24 dev rtn0"))
            && ip(&format!("-n {THERE} addr add 10.213.7.4/24 dev rtn0"))
            && ip(&format!("-n {HERE} link set rtn0 up"))
            && ip(&format!("-n {THERE} link set rtn0 up"))
            && ip(&format!("-n {HERE} link set lo up"));
        if !made {
            eprintln!("\n*** SKIPPED the rulesets in use: ip netns cannot make namespaces here ***\n");
        }
        made.then_some(pair)
    }

    fn remove(&self) {
        ip(&format!("netns del {HERE}"));
        ip(&format!("netns del {THERE}"));
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.remove();
    }
}

fn nft(script: &str) -> String {
    nft_in(HERE, script)
}

pub fn nft_in(namespace: &str, script: &str) -> String {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, "nft", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "nft refuses {script}");
    String::from_utf8(output.stdout).unwrap()
}

/// A thread in a namespace.
pub fn within<T: Send + 'static>(namespace: &str, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let namespace = std::fs::File::open(format!("/run/netns/{namespace}")).unwrap();
    std::thread::spawn(move || {
        // SAFETY: the descriptor is open; only this thread changes its namespace, and ends with it.
        let entered = unsafe { libc::setns(std::os::fd::AsRawFd::as_raw_fd(&namespace), libc::CLONE_NEWNET) };
        assert_eq!(entered, 0, "{}", std::io::Error::last_os_error());
        work()
    })
}

fn socket(namespace: &str, address: &str) -> UdpSocket {
    let address = address.to_owned();
    within(namespace, move || UdpSocket::bind(address).unwrap()).join().unwrap()
}

/// Room for what comes while the receiver has no CPU.
fn room(socket: &UdpSocket) {
    let bytes: libc::c_int = 64 << 20;
    let size = size_of_val(&bytes) as libc::socklen_t;
    let fd = std::os::fd::AsRawFd::as_raw_fd(socket);
    // SAFETY: the value is valid for its size.
    let set = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, (&raw const bytes).cast(), size) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

/// Packets that the ruleset refused to send to an address.
fn refused(table: &str, address: &str) -> u64 {
    let text = nft(&format!("list set inet {table} refused_out4\n"));
    let elements = text.split(['{', ',', '}']).filter(|element| element.trim().starts_with(&format!("{address} .")));
    let packets =
        elements.filter_map(|element| element.split("packets ").nth(1)?.split(' ').next()?.parse::<u64>().ok());
    packets.sum()
}

/// A socket that sends one number after the other, and one that counts what arrives, for as long as `during` takes.
fn flood(to: &str, during: impl FnOnce()) -> (u64, u64, u64) {
    let sender = socket(HERE, "10.213.7.1:0");
    let receiver = socket(THERE, &format!("{to}:9"));
    room(&receiver);
    receiver.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let (over, begin) = (Arc::new(AtomicBool::new(false)), Arc::new(Barrier::new(2)));
    let eperm = Arc::new(AtomicU64::new(0));
    let sending = {
        let (over, begin, eperm, to) = (over.clone(), begin.clone(), eperm.clone(), format!("{to}:9"));
        std::thread::spawn(move || {
            let mut sent = 0u64;
            begin.wait();
            while !over.load(Ordering::Relaxed) {
                match sender.send_to(&sent.to_le_bytes(), &to) {
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                        eperm.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => panic!("{error}"),
                }
                sent += 1;
                std::thread::sleep(Duration::from_micros(150));
            }
            sent
        })
    };
    let receiving = std::thread::spawn(move || {
        let (mut seen, mut buffer) = (BTreeSet::new(), [0; 8]);
        while receiver.recv(&mut buffer).is_ok() {
            seen.insert(u64::from_le_bytes(buffer));
        }
        seen.len() as u64
    });
    begin.wait();
    during();
    over.store(true, Ordering::Relaxed);
    let sent = sending.join().unwrap();
    (sent, receiving.join().unwrap(), eperm.load(Ordering::Relaxed))
}

/// As an image's ruleset that may send to the containers of another, which has this address.
fn ruleset(address: &str) -> (String, String) {
    let mut entry = Entry::default();
    entry.trees.network.insert(&["/app", "connect udp", "image peer:1", "9"].map(Arc::from), 50);
    let image: Arc<str> = "probe:1".into();
    let config = replay::config::load(None, &[]).unwrap();
    let addresses = [("peer:1".into(), [address.parse().unwrap()].into())].into();
    let options = Options { config: &config, label: String::new(), enforce: true, addresses, interface: String::new() };
    (nftables::write(&Allowed::new(&image, &entry), &options).text, nftables::table(&image))
}

#[test]
fn a_ruleset_is_changed_in_use_without_a_gap_and_remembers_what_it_refused() {
    let Some(_pair) = Pair::new() else { return };
    let (text, table) = ruleset("10.213.7.2");
    nft(&text);
    let set = text.lines().find_map(|line| line.trim().strip_prefix("set v4_")).unwrap();
    let set = format!("v4_{}", set.trim_end_matches(" {"));

    // The set is emptied and filled again, in one transaction each time: no packet finds it empty.
    let mut times = Vec::new();
    let (sent, received, eperm) = flood("10.213.7.2", || {
        for round in 0..60 {
            let begun = Instant::now();
            nft(&format!(
                "flush set inet {table} {set}\nadd element inet {table} {set} {{ 10.213.7.2, 10.213.9.{round} }}\n"
            ));
            times.push(begun.elapsed());
        }
    });
    assert_eq!((received, eperm, refused(&table, "10.213.7.2")), (sent, 0, 0), "of {sent} packets");
    times.sort();
    eprintln!("60 changes of a set under {sent} packets: none refused, none lost; {:?} each (median)", times[30]);

    // All of it is replaced, likewise.
    let (sent, received, eperm) = flood("10.213.7.2", || (0..30).for_each(|_| drop(nft(&text))));
    assert_eq!((received, eperm), (sent, 0), "of {sent} packets");
    eprintln!("30 times the whole ruleset under {sent} packets: none refused, none lost");

    // The peer is taken out: from then on each packet is refused, and each is either received or counted.
    nft(&text);
    // Nothing of an exchange that was begun, which goes on.
    let (sent, received, eperm) = flood("10.213.7.3", || {
        std::thread::sleep(Duration::from_millis(100));
        nft(&format!("add element inet {table} {set} {{ 10.213.7.3 }}\n"));
        std::thread::sleep(Duration::from_millis(100));
    });
    assert_eq!((received + refused(&table, "10.213.7.3"), eperm), (sent, refused(&table, "10.213.7.3")));
    assert!(received > 0 && eperm > 0, "{received} {eperm}");
    eprintln!(
        "a peer that is let in while it is asked for: {eperm} packets refused and counted, then {received} received"
    );
}
