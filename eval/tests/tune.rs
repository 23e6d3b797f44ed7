//! Sweeps over recordings that ship: what a configuration finds is what a replay with it finds, and a sweep goes on where it was
//! ended. Needs what `./dev setup base` sets up.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use datasets::{Recording, Split};
use eval::alerts::AlertRow;
use eval::detect::{Flagging, detect};
use eval::tune::bench::Bench;
use eval::tune::metrics::Metrics;
use replay::engines::Severity;

fn shipped(name: &str) -> Recording {
    Recording::shipped(name).unwrap()
}

/// What `replay --learn` with these values and `eval detect` make of the same recordings, one after the other.
fn by_replay(lives: &[&str], tried: &[&str], sets: &[String], at: Severity) -> Metrics {
    let config = replay::config::load(None, sets).unwrap();
    let mut baseline = replay::profile::Profile::default();
    for life in lives {
        baseline.merge(replay::run::learn(shipped(life), &config, 1).unwrap(), &config);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.json");
    std::fs::write(&file, baseline.to_json()).unwrap();
    let mut all = Metrics::default();
    for name in tried {
        let recording = shipped(name);
        let options = replay::cli::Replay {
            recording: Some((*name).to_owned()),
            learn: (!lives.is_empty()).then(|| file.to_string_lossy().into_owned()),
            sets: sets.to_vec(),
            ..replay::cli::Replay::default()
        };
        let alerts: Vec<AlertRow> = eval::alerts::replay_now(&options).unwrap();
        let found = detect(&recording, &alerts, Flagging::Evidence, at).unwrap();
        all.acts += found.acts.len() as u64;
        all.found += found.acts.iter().filter(|act| act.detected).count() as u64;
        all.false_alerts += found.false_alerts();
        all.container_hours += found.container_hours;
        all.times_to_detect.extend(found.acts.iter().filter_map(|act| act.time_to_detect_s));
    }
    all
}

fn same(mut a: Metrics, mut b: Metrics, what: &str) {
    a.times_to_detect.sort_by(f64::total_cmp);
    b.times_to_detect.sort_by(f64::total_cmp);
    assert!((a.container_hours - b.container_hours).abs() < 1e-9, "{what}");
    a.container_hours = b.container_hours;
    assert_eq!(a, b, "{what}");
}

/// Every stage in turn, and back: what was kept must not be taken for what it is not.
#[test]
fn a_configuration_finds_what_a_replay_with_it_finds() {
    let (lives, tried) = (["webapp-1"], ["xmrig", "webapp-11"]);
    let folder = tempfile::tempdir().unwrap();
    let named = |name: &str| (name.to_owned(), shipped(name));
    let base = replay::config::load(None, &[]).unwrap();
    let of = |name: &&str| (name.to_string(), Some(Split::Validation), shipped(name));
    let open = || {
        let lives = lives.iter().map(|name| named(name)).collect();
        Bench::open(lives, tried.iter().map(of).collect(), Severity::Medium, folder.path().to_owned(), &base, 2)
            .unwrap()
    };
    let bench = open();
    let configs = [
        "",
        "severity.medium=20 severity.high=30",
        "engines.weights.rules=10 engines.weights.statistics=60",
        "engines.weights.semantics=0",
        "engines.statistics.half=0.5 engines.statistics.siblings=0.1",
        "args.grammar.accept=0 args.grammar.reject=0.01 severity.medium=20",
        "args.grammar.accept=0 args.grammar.reject=1 args.novelty.reject=1 severity.medium=20",
        "args.grammar.accept=0.9 args.grammar.reject=0.95 severity.medium=20",
        "profile.collapse=3 severity.medium=20",
        "severity.medium=20 severity.high=30",
    ];
    let mut seen: BTreeMap<String, Metrics> = BTreeMap::new();
    for set in configs {
        let sets: Vec<String> = set.split_whitespace().map(str::to_owned).collect();
        let config = replay::config::load(None, &sets).unwrap();
        let found = bench.evaluate(&config).unwrap();
        let expected = seen.entry(set.to_owned()).or_insert_with(|| by_replay(&lives, &tried, &sets, Severity::Medium));
        same(found, expected.clone(), set);
    }
    let distinct: std::collections::BTreeSet<(u64, u64)> = seen.values().map(|m| (m.found, m.false_alerts)).collect();
    assert!(distinct.len() >= 3, "they do not differ enough to tell: {distinct:?}");
    let runs = |bench: &Bench, stage: &str| bench.spent.lock().unwrap().0.get(stage).map_or(0, |(runs, _)| *runs);
    assert_eq!(runs(&bench, "learn"), 2, "once for each value of profile.collapse");
    assert!(runs(&bench, "compare") < tried.len() as u64 * 6, "scores alone compare nothing anew");
    // What was learned is there for the next run.
    let again = open();
    same(again.evaluate(&base).unwrap(), seen[""].clone(), "after a restart");
    assert_eq!(runs(&again, "learn"), 0);
}

/// One comparison does for all thresholds between two measured values.
#[test]
fn thresholds_of_command_lines_are_compared_by_what_they_decide() {
    let folder = tempfile::tempdir().unwrap();
    let base = replay::config::load(None, &[]).unwrap();
    let tried = vec![("xmrig".to_owned(), Some(Split::Train), shipped("xmrig"))];
    let lives = vec![("webapp-1".to_owned(), shipped("webapp-1"))];
    let bench = Bench::open(lives, tried, Severity::Medium, folder.path().to_owned(), &base, 2).unwrap();
    for step in 0..200 {
        let accept = f64::from(step) / 200.0;
        let sets = [format!("args.grammar.reject={}", accept + 0.004), format!("args.grammar.accept={accept}")];
        bench.evaluate(&replay::config::load(None, &sets).unwrap()).unwrap();
    }
    let compared = bench.spent.lock().unwrap().0["compare"].0;
    assert!((2..=40).contains(&compared), "200 thresholds took {compared} comparisons");
}

fn eval(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_eval")).args(args).env("NO_COLOR", "1").output().unwrap()
}

fn sweep(folder: &Path, trials: &str, more: &[&str]) -> Output {
    let folder = folder.to_str().unwrap();
    let sweep = ["tune", "xmrig", "webapp-1", "webapp-11", "--method", "bayes", "--seed", "5", "--format", "json"];
    let ranges = ["--range", "severity.medium=5..60", "--range", "engines.weights.statistics=0..60"];
    let place = ["-o", folder, "--trials", trials];
    eval(&[&sweep[..], &ranges, &place, more].concat())
}

fn trials(folder: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("trials.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_interrupted_sweep_goes_on_to_the_same_result() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let output = sweep(whole.path(), "40", &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!((&report["trials"], &report["resumed"]), (&41.into(), &0.into()), "{said}");
    assert!(sweep(parts.path(), "15", &[]).status.success());
    // As if it had been killed while it wrote a line.
    let log = parts.path().join("trials.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, &text[..text.len() - 20]).unwrap();
    let output = sweep(parts.path(), "40", &[]);
    let resumed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(resumed["resumed"], 15, "the sixteenth line was cut off");
    assert_eq!(trials(whole.path()), trials(parts.path()));
    assert_eq!(report["chosen"], resumed["chosen"]);
    let front = |report: &serde_json::Value| report["front"].as_array().unwrap().len();
    assert!(front(&report) >= 1 && front(&report) < 41);

    let svg = std::fs::read_to_string(whole.path().join("front.svg")).unwrap();
    assert!(svg.contains("chosen") && svg.contains("where it started"));
    let config = whole.path().join("chosen.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(
        text.contains("# tuned-on: {\"recording\":\"webapp-11\"") && text.contains("# command: eval tune"),
        "{text}"
    );

    // What was tuned on a recording is said where it is reported on it, and not elsewhere.
    let config = config.to_str().unwrap();
    let warned = |name: &str| {
        let output = eval(&["detect", name, "--learn", "webapp-1", "--config", config]);
        String::from_utf8_lossy(&output.stderr).contains("was tuned on")
    };
    assert!(warned("xmrig") && warned("webapp-11") && !warned("mine-renamed-21"));

    let other = sweep(whole.path(), "40", &["--at", "high"]);
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(
        other.status.code() == Some(2) && said.contains("differs in found_at") && said.contains("--fresh"),
        "{said}"
    );
}

#[test]
fn nothing_is_tuned_on_test_and_mistakes_name_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    for (args, said) in [
        (
            &["webapp-11", "mine-renamed-21", "--grid", "severity.high=50,60"][..],
            "mine-renamed-21 is not there to tune on",
        ),
        (&["webapp-11", "--grid", "severity.hihg=50"], "nearest known key is severity.high"),
        (&["webapp-11"], "no key to sweep over"),
        (&["webapp-11", "--grid", "severity.high=50", "--range", "severity.high=1..2"], "is there twice"),
        (&["webapp-1", "--grid", "severity.high=50,60"], "webapp-1: none is of validation"),
        (&["webapp-11", "--grid", "severity.high=50", "--set", "alerts.allow=x"], "tuned away from"),
    ] {
        let output = eval(&[&["tune", "-o", place], args].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(said) && stderr.contains("hint: "), "{args:?}: {stderr}");
        assert!(matches!(output.status.code(), Some(2 | 4)), "{args:?}: {stderr}");
    }
}
