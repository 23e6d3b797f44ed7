//! An address that one container hands to another during the recording: each event's peer is who held it at that moment.

mod common;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::podman::{Image, finish, podman, start};
use common::runtimes::ran;
use common::{Recorded, one};
use datasets::{Address, Container, Recording, Verdict};
use record_bpf::Kind;
use scenarios::PodmanEnv;

/// `hold MS`: waits. `call ADDRESS MS`: connects a datagram socket to the address over and over; nothing needs to be there.
const PROBE: &str = r#"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv) {
	int ms = atoi(argv[argc - 1]);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
	if (!strcmp(argv[1], "hold"))
		return usleep(ms * 1000);
	inet_pton(AF_INET, argv[2], &to.sin_addr);
	for (; ms > 0; ms -= 20) {
		int fd = socket(AF_INET, SOCK_DGRAM, 0);
		connect(fd, (struct sockaddr *)&to, sizeof(to));
		close(fd);
		usleep(20 * 1000);
	}
	return 0;
}
"#;

const NETWORK: &str = "retroscope-test-ident-net";
const CALLER: &str = "10.213.77.10";
const SHARED: &str = "10.213.77.20";

/// A network of the test's own, without a way out. Dropping it removes it and what is on it.
struct Network(PodmanEnv);

impl Network {
    fn create(podman: PodmanEnv) -> Network {
        let network = Network(podman);
        network.remove();
        let options = ["--internal", "--disable-dns", "--subnet", "10.213.77.0/24"];
        ran(network.0.command().args(["network", "create"]).args(options).arg(NETWORK));
        network
    }

    fn run(&self, name: &str, image: &Image, options: &[&str], args: &[&str]) {
        let mut command = self.0.command();
        let name = format!("retroscope-test-ident-addr-{name}");
        ran(command.args(["run", "--rm", "--name", &name]).args(options).args([image.name(), "/probe"]).args(args));
    }

    fn remove(&self) {
        let _ = self.0.command().args(["network", "rm", "--force", "--time", "0", NETWORK]).output();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.remove();
    }
}

/// From its /probe's exec to its exit.
fn life(recorded: &Recorded, container: &Arc<str>) -> (i64, i64) {
    let of_it = |row: &&datasets::ProcessEvent| row.common.container.as_ref() == Some(container);
    let exec = recorded.process(Kind::Exec).filter(of_it).find(|row| row.exe.as_deref() == Some("/probe")).unwrap();
    let exit = recorded.process(Kind::Exit).filter(of_it).find(|row| row.common.pid == exec.common.pid).unwrap();
    (exec.common.ts, exit.common.ts)
}

/// The tests use the same network, one after the other.
static TURN: Mutex<()> = Mutex::new(());

/// A container's row by its name.
fn named(recording: &Recording, name: &str) -> Container {
    let name = format!("retroscope-test-ident-addr-{name}");
    one(recording
        .containers()
        .unwrap()
        .into_iter()
        .filter(|container| container.name.as_ref() == Some(&name))
        .collect())
}

#[test]
fn a_killed_recording_still_knows_who_held_an_address() {
    let Some(podman) = podman("a_killed_recording_still_knows_who_held_an_address") else { return };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let image = Image::build(podman.clone(), "retroscope-test-ident-addr", PROBE);
    let network = Network::create(podman);
    let dir = tempfile::tempdir().unwrap();
    let mut child = start(dir.path(), &["--container", "retroscope-test-ident-addr-*", "--events", "process"]);
    let on = |address| ["--network", NETWORK, "--ip", address];
    network.run("gone", &image, &on(SHARED), &["hold", "700"]);
    network.run("stays", &image, &[&on(CALLER)[..], &["--detach"]].concat(), &["hold", "60000"]);
    // An address is looked at once a second, and the journal gets it within half a second.
    std::thread::sleep(Duration::from_secs(3));
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    network.remove();
    let recording = dir.path().join("recording");
    datasets::recover(&recording).unwrap();
    assert_eq!(datasets::verify(&recording, |_| {}).unwrap().verdict, Verdict::Recovered);
    let recording = Recording::open(&recording).unwrap();
    let (gone, stays) = (named(&recording, "gone"), named(&recording, "stays"));
    let addresses = recording.addresses().unwrap();
    let held: Vec<_> = addresses.iter().map(|row| (&*row.address, &row.container, row.until.is_some())).collect();
    assert_eq!(held, [(CALLER, &stays.id, false), (SHARED, &gone.id, true)]);
    assert_eq!((&gone.addresses[..], &stays.addresses[..]), (&[SHARED.to_owned()][..], &[CALLER.to_owned()][..]));
}

#[test]
fn a_peer_is_who_held_the_address_at_that_moment() {
    let Some(podman) = podman("a_peer_is_who_held_the_address_at_that_moment") else { return };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let image = Image::build(podman.clone(), "retroscope-test-ident-addr", PROBE);
    let network = Network::create(podman);
    let dir = tempfile::tempdir().unwrap();
    let child = start(dir.path(), &["--container", "retroscope-test-ident-addr-*", "--events", "process,network"]);
    let on = |address| ["--network", NETWORK, "--ip", address];
    network.run("caller", &image, &[&on(CALLER)[..], &["--detach"]].concat(), &["call", SHARED, "60000"]);
    network.run("first", &image, &on(SHARED), &["hold", "700"]);
    network.run("second", &image, &on(SHARED), &["hold", "700"]);
    network.run("host", &image, &["--network", "host"], &["hold", "300"]);
    network.remove();
    let recorded = finish(child, dir);

    let recording = Recording::open(recorded.dir.path().join("recording")).unwrap();
    let named = |name| named(&recording, name);
    let (caller, first, second, host) = (named("caller"), named("first"), named("second"), named("host"));

    let addresses = recording.addresses().unwrap();
    let held: BTreeSet<(&str, &str)> = addresses.iter().map(|row| (&*row.address, &*row.container)).collect();
    let expected = BTreeSet::from([(CALLER, &*caller.id), (SHARED, &*first.id), (SHARED, &*second.id)]);
    assert_eq!(held, expected, "the host's own addresses are not recorded, and nothing is missing");
    assert_eq!((&first.addresses, &host.addresses), (&vec![SHARED.to_owned()], &vec![]));
    let of = |container: &Container| -> Address {
        one(addresses.iter().filter(|row| row.container == container.id).cloned().collect())
    };
    let ((begun, _), span) = (life(&recorded, &first.id), of(&first));
    assert!(span.since <= begun && span.until.is_some());
    // The number of a namespace that is gone is used again, so `second` may have that of `first`.
    assert!(of(&first).net_ns.is_some() && of(&first).net_ns != of(&caller).net_ns);

    let holders = recording.holders().unwrap();
    let calls: Vec<i64> = recorded
        .network(Kind::Connect)
        .filter(|row| row.common.container.as_ref() == Some(&caller.id) && row.peer_addr.as_deref() == Some(SHARED))
        .map(|row| row.common.ts)
        .collect();
    for holder in [&first.id, &second.id] {
        let (begun, ended) = life(&recorded, holder);
        let during: Vec<i64> = calls.iter().copied().filter(|ts| (begun..ended).contains(ts)).collect();
        assert!(during.len() >= 10, "{} calls", during.len());
        for ts in during {
            assert_eq!(holders.at(SHARED, ts).map(|container| &container.id), Some(holder));
        }
    }
    let before = calls.first().copied().unwrap();
    assert!(before < first.first_seen && holders.at(SHARED, before).is_none(), "nobody had it yet");
}
