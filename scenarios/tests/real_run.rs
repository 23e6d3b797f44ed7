//! The runner in real containers. Needs root and the programs of `preflight`; says loudly when it does not run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use scenarios::definition::{Deed, Operation};
use scenarios::{Error, RunOptions, Runner};

/// Both tests build the same images.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn podman(env: &scenarios::PodmanEnv, arguments: &[&str]) -> String {
    let done = env.command().args(arguments).output().unwrap();
    assert!(done.status.success(), "podman {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn left_over(env: &scenarios::PodmanEnv) -> (String, String) {
    let filter = ["--quiet", "--filter", "label=io.retroscope.run=smoke"];
    let containers = podman(env, &[&["ps", "--all"], &filter[..]].concat());
    let networks = podman(env, &[&["network", "ls"], &filter[..]].concat());
    (containers, networks)
}

fn can_run() -> bool {
    let found = scenarios::preflight();
    if let Err(error) = &found {
        eprintln!("SKIPPED: the scenario runner was NOT tested: {error}. Way out: {}", error.hint());
    }
    found.is_ok()
}

#[test]
fn webapp_lives_and_leaves_nothing_behind() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if !can_run() {
        return;
    }
    let say = |line: &str| eprintln!("{line}");
    let options = || RunOptions { seed: 3, benign: Some(Duration::from_secs(20)) };
    // Under a name of its own, so that it never meets a recording of webapp that is being made.
    let webapp = || scenarios::Scenario { name: "smoke".into(), ..scenarios::load("webapp").unwrap() };

    let mut runner = Runner::prepare(webapp(), options(), &say).unwrap();
    let env = runner.podman_env().clone();
    // A second run would take the names of the first: it is refused, and the first is left alone.
    assert!(matches!(Runner::prepare(webapp(), options(), &say), Err(Error::Busy { .. })));
    assert!(runner.container_glob().starts_with("retroscope-smoke-{"), "{}", runner.container_glob());
    for container in runner.containers() {
        assert_eq!(container.name.starts_with("retroscope-smoke-"), !container.outside, "{}", container.name);
        let state = podman(&env, &["inspect", "--format", "{{.State.Status}}", &container.id]);
        assert_eq!(state.trim(), "created", "nothing runs before run()");
    }

    let stop = AtomicBool::new(false);
    let timeline = run(&mut runner, &stop);
    assert!(!timeline.interrupted && timeline.steps.is_empty());
    assert!(timeline.end_ns - timeline.start_ns >= 20_000_000_000);
    let ok = timeline.responses.get("200").copied().unwrap_or(0);
    let broken: u64 = timeline.responses.iter().filter(|(status, _)| status.starts_with('5')).map(|(_, n)| n).sum();
    assert!(ok >= 15 && broken == 0, "answers: {:?}", timeline.responses);
    assert!(timeline.responses.contains_key("201"), "uploads were answered: {:?}", timeline.responses);
    let health = timeline.activities["health check: web"];
    assert!(health.done >= 1 && health.failed == 0, "{health:?}");

    // The services are still there, as real programs, and reach nobody but each other.
    let processes = podman(&env, &["exec", "retroscope-smoke-cache", "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '"]);
    assert!(processes.starts_with("redis-server"), "{processes}");
    let shell =
        |script: &str| env.command().args(["exec", "retroscope-smoke-app", "sh", "-c", script]).output().unwrap();
    assert!(shell("ls /srv/app/data/thumbs | grep -q photo").status.success(), "the helper made thumbnails");
    assert!(shell("curl -sS -m 2 http://web/healthz").status.success());
    // The second column is the destination: all zeros is a default route.
    assert!(!shell("cut -f2 /proc/net/route | grep -qx 00000000").status.success(), "no way out by address");
    assert_eq!(shell("getent ahostsv4 www.debian.org").status.code(), Some(2), "no way out by name");
    let hosts = String::from_utf8(shell("cat /etc/hosts").stdout).unwrap();
    assert!(!hosts.contains("host.containers.internal"), "nothing of the host's own: {hosts}");
    assert!(shell("getent ahostsv4 shop.example").status.success(), "but names of its own");

    runner.cleanup().unwrap();
    assert_eq!(left_over(&env), (String::new(), String::new()));
    drop(runner);

    // Stopped at once, the timeline says so; dropped without cleanup, nothing stays either.
    let mut runner = Runner::prepare(webapp(), options(), &say).unwrap();
    stop.store(true, Ordering::Relaxed);
    let timeline = run(&mut runner, &stop);
    assert!(timeline.interrupted && timeline.end_ns - timeline.start_ns < 5_000_000_000);
    drop(runner);
    assert_eq!(left_over(&env), (String::new(), String::new()));
}

#[test]
fn services_are_restarted_crashed_deployed_and_scaled_while_customers_are_served() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if !can_run() {
        return;
    }
    let operation = |name: &str, service: &str, at_s, what| Operation {
        name: name.into(),
        service: service.into(),
        at_s,
        jitter: 0.0,
        what,
        image: (what == Deed::Deploy).then(|| service.into()),
        replicas: (what == Deed::Scale).then_some(3),
        for_s: (what == Deed::Scale).then_some(6.0),
    };
    let mut scenario = scenarios::Scenario { name: "smoke".into(), ..scenarios::load("webapp").unwrap() };
    scenario.operations = vec![
        operation("rush", "app", 1.0, Deed::Scale),
        operation("maintenance", "cache", 2.0, Deed::Restart),
        operation("crash", "app", 9.0, Deed::Crash),
        operation("release", "web", 12.0, Deed::Deploy),
    ];
    let options = RunOptions { seed: 3, benign: Some(Duration::from_secs(50)) };
    let mut runner = Runner::prepare(scenario, options, &|line: &str| eprintln!("{line}")).unwrap();
    let env = runner.podman_env().clone();
    let timeline = run(&mut runner, &AtomicBool::new(false));

    let done: Vec<(&str, &str)> = timeline.operations.iter().map(|run| (&*run.name, &*run.service)).collect();
    let wanted =
        [("rush", "app"), ("maintenance", "cache"), ("rush: the end", "app"), ("crash", "app"), ("release", "web")];
    assert_eq!(done, wanted);
    assert!(timeline.operations.iter().all(|run| run.start_ns < run.end_ns));
    // Who was there when: replicas that came and went, and a container of the release after the one before it.
    let of = |service: &str| timeline.containers.iter().filter(|c| c.service == service).collect::<Vec<_>>();
    for replica in ["app-2", "app-3"] {
        let [replica] = of(replica)[..] else { panic!("{:?}", timeline.containers) };
        assert!(replica.removed && replica.name.starts_with("retroscope-smoke-app-"), "{replica:?}");
    }
    let [before, after] = of("web")[..] else { panic!("{:?}", timeline.containers) };
    assert!(before.removed && !after.removed && before.id != after.id, "{before:?} {after:?}");
    assert_eq!((&before.name, &before.address), (&after.name, &after.address));
    // Crashed and restarted, they are the same containers, and serve.
    assert!(of("app").len() == 1 && of("cache").len() == 1, "{:?}", timeline.containers);
    let state = podman(&env, &["inspect", "--format", "{{.State.Status}}", &of("app")[0].id]);
    assert_eq!(state.trim(), "running");
    assert!(timeline.responses.get("200").copied().unwrap_or(0) >= 15, "answers: {:?}", timeline.responses);
    runner.cleanup().unwrap();
    assert_eq!(left_over(&env), (String::new(), String::new()));
}

fn run(runner: &mut Runner, stop: &AtomicBool) -> scenarios::Timeline {
    runner.run(stop, &|line: &str| eprintln!("{line}")).unwrap()
}
