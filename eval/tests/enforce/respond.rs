//! Responses on a real container: cut off, killed in part, paused; and all taken back that can be.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::podman::{Image, beside, finish, podman, start};

/// The first process waits. With `mine` it has a child that looks like a miner, which has a child of its own.
const PROBE: &str = r#"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
	if (argc > 1 && !strcmp(argv[1], "mine")) {
		sleep(2);
		if (fork() == 0)
			execl("/probe", "/probe", "-o", "stratum+tcp://pool.minexmr.com:3333", "-u",
				"4RetroscopeStandInMadeUpWalletNotARealAddress0000000000000000", "--donate-level", "1", (char *)0);
	} else if (argc > 1 && fork() == 0) {
		sleep(600);
	}
	sleep(600);
	return 0;
}
"#;

const NAME: &str = "retroscope-test-respond-1";
const NETWORK: &str = "retroscope-test-respond";

/// Removed when dropped.
struct Container<'a>(&'a Image);

impl Container<'_> {
    fn podman(&self, words: &[&str]) -> Result<String, String> {
        let output = self.0.podman.command().args(words).output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn inspect(&self, format: &str) -> String {
        self.podman(&["inspect", "--format", format, NAME]).unwrap()
    }

    /// Programs that run in it.
    fn count(&self) -> usize {
        let pid: u32 = self.inspect("{{.State.Pid}}").parse().unwrap();
        let id = self.inspect("{{.Id}}");
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let ours = pids.filter(|each| *each != pid).filter(|each| {
            let read = |file: &str| std::fs::read_to_string(format!("/proc/{each}/{file}")).unwrap_or_default();
            read("cgroup").contains(&id) && read("cmdline").contains("probe")
        });
        ours.count()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.podman(&["unpause", NAME]);
        let _ = self.podman(&["rm", "--force", "--time", "0", NAME]);
        let _ = self.podman(&["network", "rm", "--force", NETWORK]);
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited a minute: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn replay(podman: &scenarios::PodmanEnv) -> Command {
    let mut command = Command::new(beside("replay"));
    command.envs(podman.vars.iter().cloned()).env("NO_COLOR", "1");
    command
}

#[test]
fn a_container_is_cut_off_its_miner_killed_and_all_but_the_kill_is_taken_back() {
    let test = "a_container_is_cut_off_its_miner_killed_and_all_but_the_kill_is_taken_back";
    let Some(podman) = podman(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let image = Image::build(podman.clone(), dir.path(), "localhost/retroscope-test-respond:probe", PROBE);
    let container = Container(&image);
    container.podman(&["network", "create", "--internal", "--disable-dns", NETWORK]).unwrap();
    let net = ["--network", NETWORK, "--network-alias", "miner", "--network-alias", "second"];
    let made = [&["create", "--name", NAME], &net[..], &["localhost/retroscope-test-respond:probe", "/probe", "mine"]];
    container.podman(&made.concat()).unwrap();

    let recorder = start(&dir.path().join("live"), "retroscope-test-respond-*", &[]);
    let mut follower = replay(&podman);
    follower.args(["--follow", &path("live"), "-o", &path("out"), "--format", "json"]);
    follower.args(["--respond", "isolate,kill,pause", "--really", "isolate,kill,pause"]);
    follower.args(["--respond-to", "retroscope-test-respond-*"]);
    let log = std::fs::File::create(path("said")).unwrap();
    let follower = follower.stdout(Stdio::null()).stderr(log).spawn().unwrap();
    // It has its model before it looks.
    std::thread::sleep(Duration::from_secs(3));
    container.podman(&["start", NAME]).unwrap();
    until("the miner and its child", || container.count() == 2);
    let networks = "{{range $n, $own := .NetworkSettings.Networks}}{{$n}} {{$own.IPAddress}} {{$own.Aliases}}{{end}}";
    let before = container.inspect(networks);
    assert!(before.contains(NETWORK) && before.contains("miner"), "{before}");

    let said = || std::fs::read_to_string(path("said")).unwrap();
    until("a response", || said().contains("pause"));
    assert_eq!(container.inspect("{{.State.Status}}"), "paused", "{}", said());
    assert!(!container.inspect(networks).contains(NETWORK), "{}", said());
    finish(recorder);
    let done = follower.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", said());

    let entries = || -> Vec<Value> {
        let text = std::fs::read_to_string(path("out/responses.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let of =
        |action: &str| entries().into_iter().find(|entry| entry["action"] == action && entry["done"] == true).unwrap();
    assert_eq!(of("kill")["killed"].as_array().unwrap().len(), 2, "{}", said());
    assert!(of("isolate")["alert"].as_str().unwrap().starts_with('A'));
    assert_eq!(of("isolate")["before"]["networks"][0]["name"], NETWORK);
    assert!(of("pause")["process"].as_str().unwrap().contains("stratum+tcp://"));

    let undo = |options: &[&str]| {
        let output = replay(&podman).args(["respond", "undo", &path("out")]).args(options).output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, text) = undo(&["--dry-run"]);
    assert!(code == 0 && text.contains("would be taken back"), "{text}");
    assert_eq!(container.inspect("{{.State.Status}}"), "paused");
    let (code, text) = undo(&[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("killed stays killed: 2"), "{text}");
    assert_eq!(container.inspect("{{.State.Status}}"), "running");
    assert_eq!(container.inspect(networks), before, "the same address and names");
    // Frozen, it could not end.
    until("the end of the miner", || container.count() == 0);
    let (code, text) = undo(&[]);
    assert!(code == 0 && !text.contains("taken back\n"), "a second time there is nothing left: {text}");

    // Of what is over, nothing is ever done.
    let dry = replay(&podman).args([&path("live"), "-o", &path("dry"), "--respond", "pause,kill"]).output().unwrap();
    let text = String::from_utf8_lossy(&dry.stderr);
    assert!(text.contains("would be done; --really pause does it"), "{text}");
    assert_eq!(container.inspect("{{.State.Status}}"), "running");
    let refused = replay(&podman)
        .args([&path("live"), "-o", &path("dry"), "--respond", "pause", "--really", "pause"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
}
