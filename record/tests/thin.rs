//! Thinning under load: what is critical is never left out, what is left out is counted to the last event, and when the
//! storm is over everything is recorded again. The counts are checked against the workload's own.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Recorded, can_record, read, record_with, recorder};
use datasets::{ClassAccount, SamplingMode};
use record_bpf::{Class, Kind};

/// argv: seconds, execs, a file to make at the begin, seconds of calm. Two processes open and close a file and make and close a socket as fast as they can, for so long.
/// Meanwhile a third starts itself again so many times, spread over the time; each of those connects to a listener here.
/// Then, so long after the storm, opens /proc/self/status a hundred times. Prints rounds of the storm, connections accepted.
const STORM: &str = r#"
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
static void hammer(double end, unsigned long *rounds) {
	while (now() < end) {
		for (int i = 0; i < 20; i++) {
			int fd = open("/etc/passwd", O_RDONLY);
			if (fd < 0 || close(fd)) _exit(2);
			fd = socket(AF_INET, SOCK_STREAM, 0);
			if (fd < 0 || close(fd)) _exit(2);
			++*rounds;
		}
	}
	_exit(0);
}
int main(int argc, char **argv) {
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	if (argc == 2) { /* one of the execs: connect */
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		at.sin_port = htons(atoi(argv[1]));
		return fd < 0 || connect(fd, (void *)&at, sizeof(at));
	}
	close(open(argv[3], O_WRONLY | O_CREAT, 0600));
	double seconds = atof(argv[1]), end = now() + seconds;
	int execs = atoi(argv[2]), accepted = 0, status;
	socklen_t len = sizeof(at);
	char port[16];
	unsigned long *rounds = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (void *)&at, len) || listen(listener, 16) || getsockname(listener, (void *)&at, &len)) return 3;
	snprintf(port, sizeof(port), "%d", ntohs(at.sin_port));
	for (int i = 0; i < 2; i++)
		if (!fork()) hammer(end, &rounds[i]);
	for (int i = 0; i < execs; i++) {
		usleep(seconds * 1e6 / execs / 2);
		pid_t pid = fork();
		if (!pid) { execl("/proc/self/exe", "storm", port, (char *)0); _exit(4); }
		int fd = accept(listener, NULL, NULL);
		if (fd >= 0) { accepted++; close(fd); }
		if (waitpid(pid, &status, 0) != pid || status) return 5;
	}
	while (wait(&status) > 0)
		if (status) return 6;
	sleep(atoi(argv[4]));
	for (int i = 0; i < 100; i++) {
		close(open("/proc/self/status", O_RDONLY));
		usleep(2000);
	}
	printf("%lu %d\n", rounds[0] + rounds[1], accepted);
	return 0;
}
"#;

const EXECS: usize = 60;
const SECONDS: &str = "2";

fn compile(dir: &Path) -> String {
    let (from, to) = (dir.join("storm.c"), dir.join("storm"));
    std::fs::write(&from, STORM).unwrap();
    assert!(Command::new("cc").args(["-static", "-O1", "-w", "-o"]).arg(&to).arg(&from).status().unwrap().success());
    to.to_str().unwrap().to_owned()
}

struct Storm {
    run: Recorded,
    /// By the workload.
    rounds: u64,
    accepted: usize,
}

/// Records the storm with a ring of 1 MiB and a recorder that runs a seventh of the time.
fn storm(sample: &str, calm: &str) -> Storm {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path());
    let options =
        ["--ring", "1", "--events", "process,file,network", "--sample", sample, "-q", "--format", "json", "--"];
    let (execs, begun) = (EXECS.to_string(), dir.path().join("begun"));
    let mut command =
        recorder(dir.path(), &[&options[..], &[&program, SECONDS, &execs, begun.to_str().unwrap(), calm]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let started = Instant::now();
    while !begun.exists() {
        assert!(started.elapsed() < Duration::from_secs(20), "the recorder did not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    let signal = |signal| {
        // SAFETY: the process is our child and not waited for yet.
        unsafe { libc::kill(pid, signal) }
    };
    let end = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < end && child.try_wait().unwrap().is_none() {
        signal(libc::SIGSTOP);
        std::thread::sleep(Duration::from_millis(120));
        signal(libc::SIGCONT);
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "record failed: {}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8_lossy(&output.stdout);
    let counts: Vec<u64> = printed.lines().next().unwrap().split(' ').map(|n| n.parse().unwrap()).collect();
    Storm { rounds: counts[0], accepted: counts[1] as usize, run: read(dir, output) }
}

fn account(run: &Recorded, class: Class) -> ClassAccount {
    let cpus = &run.manifest.accounting.as_ref().unwrap().cpus;
    let mut sum = ClassAccount::default();
    for account in cpus.iter().filter_map(|cpu| cpu.classes.get(class.name())) {
        assert!(account.holds(), "{account:?}");
        sum.emitted += account.emitted;
        sum.stored += account.stored;
        sum.sampled_out += account.sampled_out;
        sum.dropped.ring_full += account.dropped.total();
    }
    sum
}

fn assert_intact(run: &Recorded) {
    let report = datasets::verify(&run.dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);
}

#[test]
fn a_storm_takes_no_critical_event_and_all_is_recorded_again_after_it() {
    if !can_record("a_storm_takes_no_critical_event_and_all_is_recorded_again_after_it") {
        return;
    }
    // Without the sampler a full ring loses whatever comes.
    let Storm { run, .. } = storm("off", "0");
    let [process, file, network] = [Class::Process, Class::File, Class::Network].map(|class| account(&run, class));
    eprintln!("off: process {process:?}\n     file {file:?}\n     network {network:?}");
    assert!(file.dropped.ring_full > 0 && process.dropped.ring_full > 0, "the storm was none");
    assert_eq!(file.sampled_out + network.sampled_out + process.sampled_out, 0);
    assert_eq!(run.manifest.sampling.as_ref().unwrap().mode, SamplingMode::Off);
    assert_intact(&run);

    let Storm { run, rounds, accepted } = storm("auto", "4");
    let [process, file, network] = [Class::Process, Class::File, Class::Network].map(|class| account(&run, class));
    let sampling = run.manifest.sampling.as_ref().unwrap();
    eprintln!("auto: process {process:?}\n      file {file:?}\n      network {network:?}\n      {rounds} rounds");
    sampling
        .changes
        .iter()
        .for_each(|change| eprintln!("{} {} 1/{} -> 1/{}", change.at.utc, change.class, change.from, change.to));

    // Critical: all of them, by the workload's own count.
    assert_eq!((process.stored, process.dropped.ring_full), (process.emitted, 0));
    let execs = run.process(Kind::Exec).filter(|row| row.argv.as_ref().is_some_and(|argv| argv.len() == 2));
    assert_eq!(execs.count(), EXECS);
    assert_eq!(run.process(Kind::Fork).count(), EXECS + 2);
    assert_eq!(run.process(Kind::Exit).count(), EXECS + 3);
    assert_eq!(accepted, EXECS);
    assert_eq!(run.network(Kind::Connect).filter(|row| row.ret == 0).count(), EXECS);
    assert_eq!(run.network(Kind::Accept).filter(|row| row.ret >= 0).count(), EXECS);
    assert_eq!(run.network(Kind::Bind).count() + run.network(Kind::Listen).count(), 2);

    // Thinned: every event of the workload took a number, and went where the account says.
    assert!(file.sampled_out > 0);
    assert!(file.emitted >= 2 * rounds && file.emitted < 2 * rounds + 20 * EXECS as u64 + 400, "{rounds} rounds");
    assert!(network.emitted >= 2 * rounds, "{rounds} rounds");
    assert_intact(&run);

    // The manifest says what was kept when; at the end it is everything again, and all of the calm is there.
    assert_eq!(sampling.mode, SamplingMode::Auto);
    for class in ["file", "network"] {
        let changes: Vec<_> = sampling.changes.iter().filter(|change| change.class == class).collect();
        assert!(changes.windows(2).all(|pair| pair[0].to == pair[1].from && pair[0].at.ns <= pair[1].at.ns));
        assert_eq!(changes.last().map_or(1, |change| change.to), 1, "{class} recovered");
    }
    let calm: Vec<_> = run.file(Kind::Open, "/proc/self/status");
    let calm = if calm.is_empty() { run.files(Kind::Open).filter(|row| is_status(row)).collect() } else { calm };
    assert_eq!(calm.len(), 100);
}

fn is_status(row: &datasets::FileEvent) -> bool {
    row.path.as_deref().is_some_and(|path| path.starts_with("/proc/") && path.ends_with("/status"))
}

/// argv: rounds. Opens, closes; getppid twice as often.
const ROUNDS: &str = r#"
import os, sys
for i in range(int(sys.argv[1])):
    os.close(os.open("/etc/passwd", os.O_RDONLY)); os.getppid(); os.getppid()
"#;

#[test]
fn a_thinned_class_can_be_scaled_up_and_keeps_together_what_belongs_together() {
    if !can_record("a_thinned_class_can_be_scaled_up_and_keeps_together_what_belongs_together") {
        return;
    }
    let rounds = 40_000u32;
    let python = common::python();
    let run = record_with(
        &["--events", "process,file,syscall", "--sample", "file=16,syscall=64"],
        &[&python, "-I", "-S", "-c", ROUNDS, &rounds.to_string()],
    );
    let sampling = run.manifest.sampling.as_ref().unwrap();
    assert_eq!(sampling.mode, SamplingMode::Fixed);
    let (file, syscall) = (account(&run, Class::File), account(&run, Class::Syscall));
    assert_eq!((file.dropped.ring_full, syscall.dropped.ring_full), (0, 0));
    assert_intact(&run);

    let opens = run.file(Kind::Open, "/etc/passwd");
    let estimate: u32 = opens.iter().map(|row| sampling.kept_one_in("file", row.common.ts)).sum();
    // A drawn share of 1/16: the standard deviation of the estimate is sqrt(15 * rounds), 1.9 % here; five of them.
    let off = (f64::from(estimate) - f64::from(rounds)).abs() / f64::from(rounds);
    assert!(off < 0.097, "{estimate} opens estimated, {rounds} made");
    // Each open has its close and each close its open: one draw for both.
    let closes = run.file(Kind::Close, "/etc/passwd");
    assert_eq!(opens.len(), closes.len());
    assert!(closes.iter().all(|row| row.path.is_some()));

    // Every 64th call of a number, on each CPU: no more than one off for each.
    let getppid = i64::from(libc::SYS_getppid as i32);
    let calls = run.events.iter().filter(
        |event| matches!(event, datasets::Event::Syscall(row) if row.nr.is_some_and(|nr| i64::from(nr) == getppid)),
    );
    let (calls, made) = (calls.count() as i64, i64::from(2 * rounds / 64));
    let cpus = run.manifest.accounting.as_ref().unwrap().cpus.len() as i64;
    assert!((calls - made).abs() <= cpus, "{calls} getppid rows, {made} expected");
}
