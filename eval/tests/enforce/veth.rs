//! `enforce xdp` at the veth pair of a real container, as `eval enforce` puts it there: before the container's program begins, again
//! after a restart, and gone at the end.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eval::enforce::Kind;
use eval::enforce::applied::Applied;
use eval::enforce::xdp::Call;
use replay::profile::Profile;
use scenarios::{Attendant, Part, RunContainer};

use crate::podman::{Image, beside, podman};

/// Sends five datagrams to a port that is known, and five to one that is not; without an argument none.
const PROBE: &str = r#"
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv) {
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	for (int i = 0; argc > 1 && i < 10; i++) {
		struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9 + i % 2) };
		inet_pton(AF_INET, argv[1], &to.sin_addr);
		sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
	}
	sleep(600);
	return 0;
}
"#;

const IMAGE: &str = "localhost/retroscope-test-veth:probe";
const NAME: &str = "retroscope-test-veth-1";
const PEER: &str = "retroscope-test-veth-2";
const NETWORK: &str = "retroscope-test-veth";

/// Removed when dropped.
struct Container<'a>(&'a Image);

impl Container<'_> {
    fn podman(&self, words: &[&str]) -> String {
        let output = self.0.podman.command().args(words).output().unwrap();
        assert!(output.status.success(), "podman {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        for words in [&["rm", "--force", "--time", "0", NAME, PEER][..], &["network", "rm", "--force", NETWORK]] {
            let _ = self.0.podman.command().args(words).output();
        }
    }
}

/// Whether an XDP program is at the host's interface of that number; None: there is no such interface.
fn has_program(index: &str) -> Option<bool> {
    let output = Command::new("ip").args(["-d", "-o", "link", "show"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{index}: ")));
    line.map(|line| line.contains("prog/xdp"))
}

#[test]
fn a_container_is_held_at_its_veth_pair() {
    let Some(podman) = podman("a_container_is_held_at_its_veth_pair") else { return };
    let enforce = beside("enforce");
    if !enforce.is_file() {
        eprintln!("\n*** SKIPPED a_container_is_held_at_its_veth_pair: needs the program enforce built ***\n");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = Image::build(podman, dir.path(), IMAGE, PROBE);
    let container = Container(&image);
    container.podman(&["network", "create", "--internal", "--disable-dns", NETWORK]);
    container.podman(&["run", "--detach", "--name", PEER, "--network", NETWORK, IMAGE, "/probe"]);
    let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let peer = container.podman(&["inspect", "--format", address, PEER]);
    let id = container.podman(&["create", "--name", NAME, "--network", NETWORK, IMAGE, "/probe", &peer]);
    let mut profile = Profile::default();
    let entry = profile.images.entry(IMAGE.into()).or_default();
    entry.trees.network.insert(&["/probe", "connect udp", &format!("private {peer}/32"), "9"].map(Arc::from), 50);
    let config = replay::config::load(None, &[]).unwrap();
    let applied = Applied::new(
        Some(Kind::Xdp),
        Arc::new(profile),
        config,
        dir.path(),
        Call { program: enforce, max_syn_per_s: None },
    );
    assert!(applied.write().unwrap()[0].allows > 0);
    let watched = RunContainer {
        service: "probe".to_owned(),
        name: NAME.to_owned(),
        id,
        image: IMAGE.to_owned(),
        outside: false,
        aliases: Vec::new(),
        address: String::new(),
        removed: false,
    };
    let mut index = String::new();
    for round in 0..2 {
        container.podman(&["init", NAME]);
        let pid: u32 = container.podman(&["inspect", "--format", "{{.State.Pid}}", NAME]).parse().unwrap();
        applied.starting(&watched, pid).unwrap();
        let file = format!("/proc/{pid}/root/sys/class/net/eth0/iflink");
        index = std::fs::read_to_string(file).unwrap().trim().to_owned();
        assert_eq!(has_program(&index), Some(true));
        container.podman(&["start", NAME]);
        let begun = Instant::now();
        let mut count = 0;
        while count < 5 && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(200));
            applied.ended(Part::Life);
            let seen = applied.seen().unwrap();
            let all = seen.iter().flat_map(|seen| &seen.packets).filter(|(_, packets)| packets.protocol == "udp");
            assert!(all.clone().all(|(service, packets)| service == "probe" && packets.port == 10));
            count = all.map(|(_, packets)| packets.packets).sum::<u64>() - 5 * round;
        }
        assert_eq!(count, 5, "round {round}: {:?}", applied.seen());
        if round == 0 {
            container.podman(&["stop", "--time", "0", NAME]);
        }
    }
    drop(applied);
    assert_eq!(has_program(&index), Some(false));
}
