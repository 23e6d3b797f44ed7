//! `replay --follow` beside the real recorder: how long from an event to the line that tells of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Commands that look like a miner's and only print their arguments, each at a random moment, and each with a pool of its own: equal
/// deviations are one.
const ATTACKS: usize = 20;

/// Ordinary life: the same three commands over and over. `sys.argv[1]`: seconds; `sys.argv[2]`: attacks after that.
const LOAD: &str = "
import random, subprocess, sys, time
random.seed(5)
def run(*argv): subprocess.run(argv, stdout=subprocess.DEVNULL)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    run('/bin/ls', '/usr/share'); run('/bin/cat', '/etc/hosts'); run('/bin/date', '+%s')
    time.sleep(0.1)
names = 'alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa quebec romeo sierra tango'
for name in names.split()[:int(sys.argv[2])]:
    time.sleep(random.uniform(0.1, 0.7))
    run('/bin/echo', '-o', f'stratum+tcp://{name}.minexmr.com:3333', '-u', '4RetroscopeStandIn' + 'x' * 60, '--donate-level', '1')
";

/// The slack is for a machine that runs other tests; `replay/README.md` has what was measured on a quiet one.
const MOST: f64 = 60_000.0;

fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_eval")).with_file_name(name)
}

fn can_run(test: &str) -> bool {
    let (record, replay) = (beside("record"), beside("replay"));
    // SAFETY: geteuid() has no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root || !record.is_file() || !replay.is_file() {
        eprintln!("\n*** SKIPPED {test}: needs root, {} and {} ***\n", record.display(), replay.display());
        return false;
    }
    let checked = Command::new(&record).arg("check").output().unwrap();
    if checked.status.code() == Some(3) {
        eprintln!("\n*** SKIPPED {test}: this kernel cannot record ***\n");
    }
    checked.status.code() != Some(3)
}

fn record(dir: &Path, seconds: &str, attacks: &str) -> Command {
    let mut command = Command::new(beside("record"));
    command.args(["-q", "--events", "process,file,network", "-o"]).arg(dir);
    command.args(["--", "python3", "-I", "-S", "-c", LOAD, seconds, attacks]);
    command.stdout(Stdio::null());
    command
}

/// User and system time of a process, s.
fn cpu_time(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    // SAFETY: sysconf() has no preconditions.
    ticks / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64
}

#[test]
fn an_alert_comes_while_it_is_news_and_the_end_is_that_of_a_replay() {
    if !can_run("an_alert_comes_while_it_is_news_and_the_end_is_that_of_a_replay") {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let [baseline, live, out, offline] = ["baseline", "live", "out", "offline"].map(|name| tmp.path().join(name));
    assert!(record(&baseline, "3", "0").status().unwrap().success());

    let replay = |recording: &Path, out: &Path| {
        let mut command = Command::new(beside("replay"));
        command.arg(recording).arg("--learn").arg(&baseline).arg("-o").arg(out).args(["--format", "json"]);
        command.env("XDG_CACHE_HOME", tmp.path());
        command
    };
    let mut follower = replay(&live, &out);
    let mut follower = follower.args(["--follow", "--wait", "60"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut recorder = record(&live, "6", &ATTACKS.to_string()).spawn().unwrap();
    // From when the follower has learned the baseline and opened the model to before the first attack.
    std::thread::sleep(Duration::from_secs(4));
    let (before, began) = (cpu_time(follower.id()), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let busy = (cpu_time(follower.id()) - before) / began.elapsed().as_secs_f64();
    assert!(recorder.wait().unwrap().success());
    let mut text = String::new();
    std::io::Read::read_to_string(&mut follower.stdout.take().unwrap(), &mut text).unwrap();
    assert!(follower.wait().unwrap().success(), "{text}");

    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_miner = |line: &&Value| {
        // The load itself has all of it in its arguments.
        line["alert"]["process"].as_str().is_some_and(|it| it.contains("minexmr") && !it.contains("import"))
    };
    let told: Vec<&Value> = lines.iter().filter(|line| line["live"] == "alert").filter(is_miner).collect();
    assert_eq!(told.len(), ATTACKS, "{:#?}", told.iter().map(|line| &line["alert"]["process"]).collect::<Vec<_>>());
    let mut latencies: Vec<f64> = told.iter().map(|line| line["latency_ms"].as_f64().unwrap()).collect();
    latencies.sort_by(f64::total_cmp);
    let report = lines.last().unwrap();
    eprintln!(
        "event to line, {ATTACKS} alerts: p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms; {} of {} events late; {:.1} % of a core \
         while nothing departed",
        latencies[ATTACKS / 2 - 1],
        latencies[ATTACKS - 1],
        latencies[ATTACKS - 1],
        report["late"],
        report["events"],
        busy * 100.0
    );
    assert!(latencies[0] > 0.0 && latencies[ATTACKS - 1] < MOST, "{latencies:?}");
    assert_eq!(report["ended"], "complete");

    assert!(replay(&live, &offline).output().unwrap().status.success());
    for name in ["alerts.jsonl", "alerts.parquet", "profile.json", "report.html"] {
        let [followed, replayed] = [&out, &offline].map(|dir| std::fs::read(dir.join(name)).unwrap());
        assert!(followed == replayed, "{name} differs");
    }
}
