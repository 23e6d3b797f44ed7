//! The stream through learning and comparing, with rules given by the test.

mod common;

use std::path::Path;

use common::{BEGIN, SECOND, Script};
use datasets::{Event, Recording};
use replay::args::vectors::LazyModel;
use replay::config::{self, Config};
use replay::deviation::{DeviationKind, Tree};
use replay::engines::{Engine, Grounds, Level, Verdict};
use replay::judge::Judges;
use replay::pipeline::fold::Folded;
use replay::pipeline::image::{ImageState, Phase};
use replay::pipeline::ruling::Rules;
use replay::pipeline::{self, Stage, Start, World};
use replay::rules_hits;

fn config(sets: &[&str]) -> Config {
    config::load(None, &sets.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
}

/// A high-confidence rule on programs whose path contains `marker`.
fn rule_on(marker: &'static str) -> impl Fn(&Event) -> Vec<Verdict> + Sync {
    move |event| match event {
        Event::Process(exec) if exec.exe.as_deref().is_some_and(|exe| exe.contains(marker)) => vec![Verdict {
            engine: Engine::Rules,
            score: 1.0,
            reason: marker.to_owned(),
            technique: None,
            judge: marker.to_owned(),
            level: Some(Level::High),
            grounds: Grounds::default(),
        }],
        _ => Vec::new(),
    }
}

/// The state of the app's image at the end, and its deviations.
fn run(script: Script, sets: &[&str], rules: &dyn Rules) -> (ImageState, Vec<Folded>) {
    let tmp = tempfile::tempdir().unwrap();
    let recording = Recording::open(script.write(&tmp.path().join("rec"))).unwrap();
    let config = config(sets);
    let world = World::load(&recording, &config).unwrap();
    let model = LazyModel::new(&config.model, 1);
    let stage = Stage { world: &world, start: Start::Learn, config: &config, vectors: &model, rules };
    let streamed = pipeline::stream(&recording, &stage, |_| {}).unwrap();
    let mut app = streamed.images.into_iter().find(|state| state.image.contains("app")).expect("the app's image");
    let folded = app.take_folded();
    (app, folded)
}

const fn second(n: i64) -> i64 {
    BEGIN + n * SECOND
}

#[test]
fn equal_deviations_fold_and_keep_their_first_rows() {
    let mut script = Script::new();
    script.ordinary(0, 200);
    for i in 0..40 {
        script.exec(second(150) + i, 1, "/usr/bin/id", &["id", "-u"]);
    }
    let (_, folded) = run(script, &["alerts.evidence_rows=5"], &|_: &Event| Vec::new());
    assert_eq!(folded.len(), 1, "{folded:#?}");
    let deviation = &folded[0].deviation;
    assert_eq!((deviation.count, deviation.rows.len(), deviation.kind), (40, 5, DeviationKind::NewProcess));
    assert_eq!(&*deviation.path[deviation.at], "/usr/bin/id");
    assert!(deviation.rows.windows(2).all(|pair| pair[0].seq < pair[1].seq));
}

#[test]
fn what_a_rule_hits_is_not_learned_nor_what_descends_from_it() {
    let mut script = Script::new();
    script.ordinary(0, 100);
    let shell = script.exec(second(5), 1, "/opt/implant", &["implant"]);
    let child = script.exec(second(5) + 1, shell, "/usr/bin/id", &["id"]);
    script.open(second(5) + 2, child, "/srv/secret", 0, 3);
    script.connect(second(5) + 3, child, "198.51.100.7", 4444);
    let (app, folded) = run(script, &[], &rule_on("implant"));
    let profile = format!("{:?}", app.profile);
    for never in ["implant", "/usr/bin/id", "secret", "198.51.100"] {
        assert!(!profile.contains(never), "{never} was learned");
    }
    assert_eq!(app.counts.withheld, 4);
    let kinds: Vec<_> = folded.iter().map(|folded| (folded.deviation.tree, folded.hits.len())).collect();
    assert_eq!(kinds, [(Tree::Process, 1), (Tree::Process, 0), (Tree::File, 0), (Tree::Network, 0)]);
}

#[test]
fn rules_know_a_peer_by_the_name_that_it_was_asked_for_under() {
    for (name, hit) in [("pool.supportxmr.com", true), ("mirror.example", false)] {
        let mut script = Script::new();
        script.ordinary(0, 20);
        script.answer(second(10), 1, "10.89.0.1", name, "198.51.100.7");
        script.connect(second(10) + 1, 1, "198.51.100.7", 443);
        let tmp = tempfile::tempdir().unwrap();
        let recording = Recording::open(script.write(&tmp.path().join("rec"))).unwrap();
        let config = config(&[]);
        let judges = Judges::open(&config).unwrap();
        let found = rules_hits::hits("rec", &recording, &judges, &config).unwrap().hits;
        let pool = judges.listed().iter().find(|listed| listed.file.ends_with("mining_pool.yml")).unwrap();
        assert_eq!(found.contains_key(pool.id.as_ref().unwrap()), hit, "{name}: {found:?}");
    }
}

#[test]
fn a_rule_that_hits_a_known_command_line_alerts_all_the_same() {
    let mut script = Script::new();
    script.ordinary(0, 200);
    let rule = rule_on("/srv/app/bin/worker");
    // The rule wakes up once the profile knows the program.
    let late = |event: &Event| if event.common().ts < second(150) { Vec::new() } else { rule(event) };
    let (_, folded) = run(script, &[], &late);
    let seen: Vec<_> = folded.iter().map(|f| (f.deviation.tree, f.deviation.count, f.hits.len())).collect();
    assert_eq!(seen, [(Tree::Process, 7, 1)], "{folded:#?}");
}

#[test]
fn a_deviating_process_teaches_the_trees_that_still_learn_nothing() {
    let mut script = Script::new();
    script.ordinary(0, 100);
    // A new path every ten seconds keeps the file tree learning while the process tree locks.
    for i in 0..20 {
        script.open(
            second(i * 10) + 17,
            1,
            &format!("/srv/app/{}", ["a", "b", "c", "d"][i as usize % 4].repeat(i as usize + 1)),
            1,
            3,
        );
    }
    script.ordinary(100, 200);
    let intruder = script.exec(second(150), 1, "/opt/implant", &["implant"]);
    script.open(second(150) + 1, intruder, "/srv/loot", 0, 3);
    let (app, folded) = run(script, &[], &|_: &Event| Vec::new());
    assert!(matches!(app.phases[&Tree::Process], Phase::Locked(_)));
    assert!(matches!(app.phases[&Tree::File], Phase::Learning(_)));
    assert_eq!(folded.len(), 1);
    assert_eq!(app.counts.withheld, 1);
    assert!(!format!("{:?}", app.profile).contains("loot"));
}

#[test]
fn kinds_and_marks_say_what_is_new() {
    let mut script = Script::new();
    script.ordinary(0, 200);
    let at = second(180);
    let worker = script.exec(
        at,
        1,
        "/srv/app/bin/worker",
        &["worker", "--job", "report", "--id", "5", "--format", "csv", "--input", "/srv/app/data/items"],
    );
    script.exec(at + 1, worker, "/usr/bin/dash", &["sh", "-c", "getent hosts web"]);
    script.exec(at + 2, 1, "/srv/app/bin/worker", &["worker", "--daemon", "--listen", "0.0.0.0:9999"]);
    script.open(at + 3, 1, "/srv/app/data/secrets/key", 0, 3);
    script.open(at + 4, 1, "/srv/app/data/items/3.json", 1, 3);
    script.connect(at + 5, 1, "10.89.0.4", 6380);
    script.connect(at + 6, 1, "203.0.113.50", 6379);
    script.open(at + 7, 1, "/srv/app/never/there", 0, -2);
    script.open(at + 8, 1, "/etc/shadow", 0, -13);
    let (_, folded) = run(script, &[], &|_: &Event| Vec::new());
    let got: Vec<_> = folded.iter().map(|f| (f.deviation.kind, f.deviation.path[f.deviation.at].to_string())).collect();
    let expected = [
        (DeviationKind::NewParent, "/srv/app/bin/worker"),
        (DeviationKind::NewArguments, "--daemon --listen <ip:any>:9999"),
        (DeviationKind::NewPath, "/secrets"),
        (DeviationKind::NewFileOperation, "write"),
        (DeviationKind::NewPort, "6380"),
        (DeviationKind::NewPeer, "public 203.0.113.0/24"),
        (DeviationKind::NewPath, "/etc"),
    ];
    assert_eq!(got, expected.map(|(kind, step)| (kind, step.to_owned())), "{folded:#?}");
}

#[test]
fn a_peer_outside_is_the_domain_it_was_asked_for_under() {
    let mut script = Script::new();
    script.ordinary(0, 200);
    // The same service under another address each time, as behind a load balancer.
    for i in 0..20 {
        let (ts, address) = (second(i * 10) + 100, format!("203.0.{}.7", 100 + i));
        script.answer(ts, 1, "10.89.0.1", "api.pay.example", &address);
        script.connect(ts + 1, 1, &address, 443);
    }
    let at = second(190) + 200;
    script.answer(at, 1, "10.89.0.1", "drop.evil.example", "203.0.119.7");
    script.connect(at + 1, 1, "203.0.119.7", 443);
    // A name server outside is not believed when it calls an address by a learned name.
    script.answer(at + 2, 1, "198.51.100.53", "api.pay.example", "198.51.100.9");
    script.connect(at + 3, 1, "198.51.100.9", 443);
    let (_, folded) = run(script, &[], &|_: &Event| Vec::new());
    let got: Vec<_> = folded.iter().map(|f| f.deviation.path[f.deviation.at].to_string()).collect();
    assert_eq!(got, ["domain drop.evil.example public", "public 198.51.100.0/24"], "{folded:#?}");
}

#[test]
fn a_timer_locks_by_the_clock_alone() {
    let mut script = Script::new();
    script.ordinary(0, 40);
    let (app, _) = run(script, &["convergence.rule=timer", "convergence.timer=20"], &|_: &Event| Vec::new());
    for phase in app.phases.values() {
        let Phase::Locked(locked) = phase else { panic!("still learning") };
        let after = (locked.at.unwrap() - BEGIN) as f64 / 1e9;
        assert!((20.0..21.0).contains(&after), "{after}");
    }
}

#[test]
fn a_merged_profile_knows_what_either_knew() {
    let tmp = tempfile::tempdir().unwrap();
    let config = config(&[]);
    let profile = |name: &str, program: &str| {
        let mut script = Script::new();
        script.ordinary(0, 10);
        script.exec(second(5), 1, program, &[program]);
        let recording = Recording::open(script.write(&Path::new(tmp.path()).join(name))).unwrap();
        let world = World::load(&recording, &config).unwrap();
        let model = LazyModel::new(&config.model, 1);
        let rules = |_: &Event| Vec::new();
        let stage = Stage { world: &world, start: Start::LearnAll, config: &config, vectors: &model, rules: &rules };
        pipeline::stream(&recording, &stage, |_| {}).unwrap().profile()
    };
    let (mut a, b) = (profile("a", "/bin/one"), profile("b", "/bin/two"));
    a.merge(b, &config);
    let text = a.to_json();
    assert!(text.contains("/bin/one") && text.contains("/bin/two"));
    assert_eq!(serde_json::from_str::<replay::profile::Profile>(&text).unwrap(), a);
}
