//! A box, which stands for a container, its host with addresses of peers, and the program at the host's end of their veth pair.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub const HOST: &str = "retroscope-test-xdp-a";
pub const BOX: &str = "retroscope-test-xdp-b";
/// The host's end.
pub const VETH: &str = "rtx0";
pub const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 8, 1];

/// Addresses of the host's, and the box's. From `STRANGER` the host reaches the box at `BOX_TOO`.
pub const KNOWN: &str = "10.213.8.1";
pub const STRANGER: &str = "10.213.8.3";
pub const LATER: &str = "10.213.8.4";
pub const BOX_AT: &str = "10.213.8.2";
pub const BOX_TOO: &str = "10.213.8.12";

static ONE: Mutex<()> = Mutex::new(());

/// Both namespaces; removed when dropped. One at a time.
pub struct Pair(#[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

fn ip(words: &str) -> bool {
    Command::new("ip").args(words.split(' ')).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

impl Pair {
    pub fn new(test: &str) -> Option<Pair> {
        // SAFETY: geteuid() has no preconditions.
        if unsafe { libc::geteuid() } != 0 {
            eprintln!("\n*** SKIPPED {test}: needs root ***\n");
            return None;
        }
        let pair = Pair(ONE.lock().unwrap_or_else(PoisonError::into_inner));
        pair.remove();
        let made = ip(&format!("netns add {HOST}"))
            && ip(&format!("netns add {BOX}"))
            && ip(&format!("-n {HOST} link add {VETH} address 02:00:00:00:08:01 type veth peer name eth0 netns {BOX}"))
            && [KNOWN, STRANGER, LATER].iter().all(|own| ip(&format!("-n {HOST} addr add {own}/24 dev {VETH}")))
            && [BOX_AT, BOX_TOO].iter().all(|own| ip(&format!("-n {BOX} addr add {own}/24 dev eth0")))
            && ip(&format!("-n {HOST} addr add fd00:213:8::1/64 dev {VETH} nodad"))
            && ip(&format!("-n {BOX} addr add fd00:213:8::2/64 dev eth0 nodad"))
            && ip(&format!("-n {HOST} link set {VETH} up"))
            && ip(&format!("-n {BOX} link set eth0 up"))
            // What waits for an answer of ARP may be dropped by the sender; the others' is asked for.
            && ip(&format!("-n {BOX} neigh add {STRANGER} lladdr 02:00:00:00:08:01 dev eth0"))
            && ip(&format!("-n {HOST} route add {BOX_TOO}/32 dev {VETH} src {STRANGER}"));
        if !made {
            eprintln!("\n*** SKIPPED {test}: ip netns cannot make namespaces here ***\n");
        }
        made.then_some(pair)
    }

    fn remove(&self) {
        ip(&format!("netns del {HOST}"));
        ip(&format!("netns del {BOX}"));
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A thread in a namespace.
pub fn within<T: Send + 'static>(namespace: &str, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let namespace = File::open(format!("/run/netns/{namespace}")).unwrap();
    std::thread::spawn(move || {
        // SAFETY: the descriptor is open; only this thread changes its namespace, and ends with it.
        let entered = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
        assert_eq!(entered, 0, "{}", std::io::Error::last_os_error());
        work()
    })
}

/// A socket of UDP in a namespace, with room for what comes while its reader has no CPU; it waits 300 ms for a datagram.
pub fn udp(namespace: &str, address: &str) -> UdpSocket {
    let address = address.to_owned();
    let socket = within(namespace, move || UdpSocket::bind(address).unwrap()).join().unwrap();
    let bytes: libc::c_int = 32 << 20;
    let size = size_of_val(&bytes) as libc::socklen_t;
    // SAFETY: the value is valid for its size.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, (&raw const bytes).cast(), size)
    };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket
}

/// Datagrams that came, until none does.
pub fn drain(socket: &UdpSocket) -> usize {
    let mut buffer = [0; 8192];
    std::iter::from_fn(|| socket.recv(&mut buffer).ok()).count()
}

/// A rule of a policy.
pub fn rule(peers: &[&str], protocol: &str, from: u16, until: u16) -> Value {
    json!({ "peers": peers, "except": [], "protocol": protocol, "from": from, "until": until })
}

pub fn policy(egress: &[Value], ingress: &[Value]) -> String {
    let none = json!({ "exact": [], "prefixes": [] });
    json!({ "version": 1, "image": "probe:1", "not_locked": [], "programs": none, "reads": none, "writes": none,
        "egress": egress, "ingress": ingress })
    .to_string()
}

/// Put there in one step.
pub fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// Peer, protocol, port, reason.
pub type What = (String, String, Option<u64>, String);

/// The program at work.
pub struct Enforcer {
    child: Child,
    lines: Receiver<Value>,
    pub refused: BTreeMap<What, u64>,
}

impl Enforcer {
    pub fn start(policy: &Path, options: &[&str]) -> Enforcer {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", HOST, env!("CARGO_BIN_EXE_enforce"), "xdp", "--format", "json"]);
        command.arg(policy).args(["--interface", VETH]).args(options).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (send, lines) = channel();
        let stdout = child.stdout.take().unwrap();
        // Ends with the program.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = send.send(serde_json::from_str(&line).unwrap());
            }
        });
        let mut enforcer = Enforcer { child, lines, refused: BTreeMap::new() };
        let attached = enforcer.wait_for("attached");
        assert_eq!((&attached["interface"], &attached["mode"]), (&json!(VETH), &json!("native")));
        enforcer.wait_for("policy");
        enforcer
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// The next line of that kind; what was refused before it is noted.
    pub fn wait_for(&mut self, event: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(20));
            let line = line.unwrap_or_else(|_| panic!("{event} was waited for"));
            if line["event"] == "refused" {
                let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
                let what = (text("peer"), text("protocol"), line["port"].as_u64(), text("reason"));
                *self.refused.entry(what).or_default() += line["packets"].as_u64().unwrap();
                assert!(line["first_ns"].as_i64() <= line["last_ns"].as_i64(), "{line}");
            }
            if line["event"] == event {
                return line;
            }
        }
    }

    /// How often something was refused until now.
    pub fn count(&mut self, peer: &str, protocol: &str, port: Option<u64>, reason: &str) -> u64 {
        self.signal("-USR1");
        self.wait_for("reported");
        let what = (peer.to_owned(), protocol.to_owned(), port, reason.to_owned());
        self.refused.get(&what).copied().unwrap_or(0)
    }

    /// As [`Enforcer::count`], once it is no less.
    pub fn until(&mut self, least: u64, peer: &str, protocol: &str, port: Option<u64>, reason: &str) -> u64 {
        let begun = Instant::now();
        loop {
            let count = self.count(peer, protocol, port, reason);
            if count >= least || begun.elapsed() > Duration::from_secs(10) {
                return count;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Interrupted: its last line, and how it ended.
    pub fn end(mut self) -> (Value, ExitStatus) {
        self.signal("-INT");
        let ended = self.wait_for("ended");
        (ended, self.child.wait().unwrap())
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Enforcer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the kernel says is attached to the host's end.
pub fn attached() -> String {
    let output = Command::new("ip").args(["-n", HOST, "-d", "link", "show", VETH]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

pub fn file(dir: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("policy.json");
    write(&path, text);
    path
}
