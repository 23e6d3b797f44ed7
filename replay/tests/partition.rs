//! A replay in parts gives what one replay gives, byte for byte; parts that do not belong together are refused.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{BEGIN, SECOND, Script, replay, stderr, stdout};
use datasets::Recording;
use replay::config::{self, Config};
use replay::output::OutputDir;
use replay::partition::{self, FILE, Part, Partial};
use replay::run::{self, Outcome, Sources};
use replay::{learn, many};
use serde_json::Value;

/// `replay/rules/peer_of_many_containers.yml`
const PEER_OF_MANY: &str = "0b549a64-ce30-5aa5-9477-18d5bb958676";
/// Opens between one connection and the next: twice as many are more than are taken at once.
const BETWEEN: i64 = 35_000;

/// Two threads are enough to go wrong.
const THREADS: usize = 2;

fn config() -> Config {
    // The judge by embedding is no part of this.
    config::load(None, &["engines.weights.semantics=0".to_owned()]).unwrap()
}

fn shipped(names: &[&str], learn: Option<&str>) -> Sources {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Sources::of(&names, learn).unwrap()
}

/// All files of an outcome, by name; of `run.json` what is the same each time.
fn files(outcome: &Outcome) -> BTreeMap<String, Vec<u8>> {
    let tmp = tempfile::tempdir().unwrap();
    outcome.write(&OutputDir::create(tmp.path()).unwrap()).unwrap();
    written(tmp.path())
}

fn written(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let mut content = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "run.json" {
            let mut run: Value = serde_json::from_slice(&content).unwrap();
            run.as_object_mut().unwrap().remove("timings").unwrap();
            content = serde_json::to_vec(&run).unwrap();
        }
        (name, content)
    };
    fs::read_dir(dir).unwrap().map(file).collect()
}

/// All parts, each by way of its file's bytes, and the last one first.
fn parts(sources: &Sources, config: &Config, of: u32) -> Vec<Partial> {
    let part = |index| {
        let partial = partition::run(sources, config, THREADS, Part { index, of }).unwrap();
        Partial::from_bytes(&partial.to_bytes().unwrap()).unwrap()
    };
    (1..=of).rev().map(part).collect()
}

/// Asserts that `of` parts give what one replay gives, and returns that.
fn same(sources: &Sources, config: &Config, counts: &[u32]) -> Outcome {
    let one = run::run(sources, config, THREADS).unwrap();
    let expected = files(&one);
    assert!(expected.len() >= 6, "{:?}", expected.keys());
    for of in counts {
        let found = files(&partition::merge(sources, config, THREADS, parts(sources, config, *of)).unwrap());
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (name, content) in &expected {
            assert!(found[name] == *content, "{}: {name} differs with {of} parts", sources.name());
        }
    }
    one
}

#[test]
fn parts_of_a_recording_of_several_images_give_what_one_replay_gives() {
    let sources = shipped(&["xmrig"], None);
    let plan = partition::plan(sources.recordings(), 2).unwrap();
    assert!(plan.iter().all(|part| !part.is_empty()), "both have something to do: {plan:?}");
    let one = same(&sources, &config(), &[1, 2, 3]);
    assert!(one.alerts.iter().any(|alert| alert.is_raised()));
}

#[test]
fn parts_with_a_baseline_and_of_several_recordings_give_what_one_replay_gives() {
    let one = same(&shipped(&["lateral-reused-keys-21", "xmrig"], None), &config(), &[1, 3]);
    assert!(one.run.images.len() > 2 && !one.alerts.is_empty(), "{}", one.run.images.len());
    same(&shipped(&["xmrig"], Some("webapp")), &config(), &[2]);
}

/// Three containers of two images turn to one unknown peer, far apart.
fn peer_of_many(dir: &Path) -> Recording {
    let mut script = Script::new();
    script.replica(1_001, &"d".repeat(64), "app-2", "10.89.0.5");
    script.ordinary(0, 30);
    for (i, main) in [1, 2, 1_001].into_iter().enumerate() {
        let ts = BEGIN + (40 + 40 * i as i64) * SECOND;
        script.connect(ts, main, "203.0.113.77", 443);
        for n in 1..=BETWEEN {
            script.open(ts + n * 1_000, 1 + (n as u64 & 1), "/srv/app/data/items/1.json", 0, 4);
        }
    }
    Recording::open(script.write(dir)).unwrap()
}

#[test]
fn what_containers_of_different_parts_do_with_each_other_is_found() {
    let tmp = tempfile::tempdir().unwrap();
    let baseline = common::ordinary(&tmp.path().join("base"));
    let recording = peer_of_many(&tmp.path().join("rec"));
    let named = [recording.dir().to_string_lossy().into_owned()];
    let sources = Sources::of(&named, Some(&baseline.to_string_lossy())).unwrap();
    let apart = partition::plan(sources.recordings(), 2).unwrap();
    assert!(apart.iter().all(|part| part.len() == 1), "each image is a part: {apart:?}");
    let one = same(&sources, &config(), &[2]);
    let verdicts = one.alerts.iter().flat_map(|alert| &alert.deviations).flat_map(|found| &found.verdicts);
    assert_eq!(verdicts.filter(|verdict| verdict.judge == PEER_OF_MANY).count(), 1, "met once");
}

#[test]
fn several_recordings_are_one_and_stay_apart() {
    let sources = shipped(&["webapp", "xmrig"], None);
    // Both orders of the same events: the names go along, and nothing else changes.
    let outcome = run::run(&sources, &config(), THREADS).unwrap();
    let alone = run::run(&shipped(&["xmrig"], None), &config(), THREADS).unwrap();
    let run = &outcome.run;
    assert_eq!(run.recordings.iter().map(|input| input.name.as_str()).collect::<Vec<_>>(), ["webapp", "xmrig"]);
    assert!(run.recordings.iter().all(|input| !input.files.is_empty()) && alone.run.recordings.is_empty());
    let raised: Vec<_> = outcome.alerts.iter().filter(|alert| alert.is_raised()).collect();
    assert!(!raised.is_empty());
    let table = Recording::shipped("xmrig").unwrap().processes().unwrap();
    for alert in raised.iter().filter(|alert| alert.recording.as_deref() == Some("xmrig")) {
        assert!(alert.rows().all(|row| row.recording() == Some(2) && row.own_seq() < 1 << 32), "{alert:?}");
        let own = alert
            .exec_id
            .is_none_or(|id| table.iter().any(|process| process.exec_id == id && process.pid == alert.pid));
        assert!(own, "the recorder's own number: {alert:?}");
    }
    let json: Value = serde_json::from_str(outcome.alerts_jsonl().lines().next().unwrap()).unwrap();
    assert!(json["recording"].is_string() && json["deviations"][0]["rows"][0]["recording"].is_number(), "{json}");
    let json: Value = serde_json::from_str(alone.alerts_jsonl().lines().next().unwrap()).unwrap();
    assert!(json.get("recording").is_none() && json["deviations"][0]["rows"][0].get("recording").is_none(), "{json}");

    let twice = Sources::of(&["xmrig".to_owned(), "xmrig".to_owned()], None);
    assert!(twice.err().unwrap().to_string().contains("the same recording"));
    let events = many::events(sources.recordings(), &replay::pipeline::JUDGED).map(Result::unwrap);
    let order: Vec<_> = events.map(|event| (event.ts(), many::of_row(event.seq()))).collect();
    assert!(order.is_sorted() && order.len() as u64 <= many::rows(sources.recordings()));
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let (sources, config) = (shipped(&["redis-pair-21"], None), config());
    let parts = parts(&sources, &config, 2);
    let merge = |sources: &Sources, config: &Config, parts: Vec<Partial>| {
        partition::merge(sources, config, THREADS, parts).err().map(|error| error.to_string()).unwrap()
    };
    let pick = |which: &[usize]| which.iter().map(|i| parts[*i].clone()).collect::<Vec<_>>();
    assert!(merge(&sources, &config, Vec::new()).contains("no part"));
    assert!(merge(&sources, &config, pick(&[0])).contains("parts are missing: 1/2"));
    assert!(merge(&sources, &config, pick(&[0, 1, 1])).contains("part 1/2 is there twice"));
    let other = partition::run(&sources, &config, THREADS, Part { index: 3, of: 3 }).unwrap();
    assert!(merge(&sources, &config, vec![parts[0].clone(), other]).contains("different plans"));
    let foreign = shipped(&["xmrig"], None);
    assert!(merge(&foreign, &config, pick(&[0, 1])).contains("of the recordings redis-pair-21, not xmrig"));
    let learned = shipped(&["redis-pair-21"], Some("webapp"));
    assert!(merge(&learned, &config, pick(&[0, 1])).contains("its baseline is none"));
    let mut changed = config.clone();
    changed.profile.collapse += 1;
    assert!(merge(&sources, &changed, pick(&[0, 1])).contains("another configuration"));
    assert!(
        Part::new(0, 2).is_err() && Part::new(3, 2).is_err() && "2/3".parse::<Part>() == Ok(Part { index: 2, of: 3 })
    );
    // What is weighed at the merge may be weighed otherwise, and gives what a replay gives.
    let mut heavier = config.clone();
    heavier.engines.weights.rules = 60.0;
    let merged = partition::merge(&sources, &heavier, THREADS, pick(&[1, 0])).unwrap();
    assert!(files(&merged) == files(&run::run(&sources, &heavier, THREADS).unwrap()));

    let bytes = parts[0].to_bytes().unwrap();
    let read = |bytes: &[u8]| Partial::from_bytes(bytes).err().map(|error| error.to_string()).unwrap();
    assert!(read(b"{}").contains("not a part"));
    assert!(read(&bytes[..20]).contains("ends too early"));
    assert!(read(&bytes[..bytes.len() - 1]).contains("checksum"));
    let mut newer = bytes.clone();
    newer[6] = 99;
    assert!(read(&newer).contains("version 99"));
}

#[test]
fn parts_learn_what_one_learns() {
    let named = || ["webapp", "xmrig"].map(|name| (name.to_owned(), Recording::shipped(name).unwrap())).to_vec();
    let whole = learn::learn(named(), &config(), THREADS).unwrap().profile;
    let part = |index| partition::learn(named(), &config(), THREADS, Part { index, of: 2 }).unwrap();
    let parts = [part(1), part(2)];
    assert!(parts.iter().all(|part| !part.images.is_empty() && part.images.len() < whole.images.len()));
    let union = partition::union(parts.to_vec()).unwrap();
    assert_eq!(union.to_json(), whole.to_json());
    assert!(partition::union(vec![parts[0].clone(), whole]).is_err());
}

#[test]
fn the_commands_do_the_same() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = |name: &str| tmp.path().join(name).to_string_lossy().into_owned();
    let silent = ["--set", "engines.weights.semantics=0"];
    let run = |args: &[&str]| {
        let output = replay(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        stdout(&output)
    };
    let pair = ["webapp", "xmrig"];
    let with = |more: &[&str]| run(&[&pair[..], &silent, more].concat());
    with(&["-o", &dir("one")]);
    for index in ["1", "2"] {
        with(&["--partition", &format!("{index}/2"), "-o", &dir(index)]);
        assert!(tmp.path().join(index).join(FILE).is_file());
    }
    let table = run(&["merge", &dir("2"), &dir("1"), "-o", &dir("merged")]);
    assert!(table.contains("deviations"), "{table}");
    assert_eq!(written(&tmp.path().join("merged")), written(&tmp.path().join("one")));

    let plan: Value =
        serde_json::from_str(&run(&["partitions", pair[0], pair[1], "-n", "2", "--format", "json"])).unwrap();
    assert_eq!((plan[0]["part"].as_u64(), plan[1]["of"].as_u64()), (Some(1), Some(2)), "{plan}");
    assert!(run(&["partitions", pair[0], pair[1], "-n", "2"]).starts_with("1/2  "));

    // Evidence of several recordings is found in each.
    let alerts = fs::read_to_string(tmp.path().join("one/alerts.jsonl")).unwrap();
    let named: Vec<Value> = alerts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |recording: &str| named.iter().find(|alert| alert["recording"] == recording);
    assert!(of("xmrig").is_some());
    for alert in pair.iter().filter_map(|recording| of(recording)) {
        run(&["explain", alert["id"].as_str().unwrap(), &dir("one")]);
    }

    let missing = replay(&["merge", &dir("1"), "-o", &dir("none")]);
    assert_eq!(missing.status.code(), Some(4));
    assert!(stderr(&missing).contains("parts are missing: 2/2"), "{}", stderr(&missing));
}
