//! A replay remembers what an image did before, and reads no more columns than it looks at: the results are those of a replay that
//! looks at each event anew, with all its columns.

mod common;

use common::{BEGIN, SECOND, Script};
use datasets::{Event, Recording};
use replay::args::vectors::LazyModel;
use replay::config;
use replay::deviation::Tree;
use replay::engines::correlation::{Contribution, Correlations, Correlator, Met};
use replay::engines::rules::RuleHit;
use replay::engines::sigma_fields::Known;
use replay::gather::Gathered;
use replay::judge::{Judges, RulesOf};
use replay::pipeline::ruling::Rules;
use replay::pipeline::{JUDGED, Lanes, Stage, Start, World, judged};
use replay::profile::Profile;

/// The rules, without saying what they look at: then nothing is remembered.
struct Silent<'a>(RulesOf<'a>);

impl Rules for Silent<'_> {
    fn hits(&self, event: &Event, known: Known<'_>) -> Vec<RuleHit> {
        self.0.hits(event, known)
    }

    fn judges_deviations(&self) -> bool {
        self.0.judges_deviations()
    }

    fn correlations(&self) -> Option<&Correlations> {
        self.0.correlations()
    }

    fn correlate(
        &self,
        correlator: &mut Correlator,
        event: &Event,
        known: Known<'_>,
        hits: &[RuleHit],
    ) -> (Vec<Met>, Vec<Contribution>) {
        self.0.correlate(correlator, event, known, hits)
    }
}

/// The profile, and all that is found, as text.
fn found(recording: &Recording, start: Start<'_>, remembers: bool) -> (Profile, Vec<String>) {
    let config = config::load(None, &["args.embedding.enabled=false".to_owned()]).unwrap();
    let world = World::load(recording, &config).unwrap();
    let judges = Judges::open(&config).unwrap();
    let model = LazyModel::new(&config.model, 1);
    let (rules, silent) = (judges.of(&world), Silent(judges.of(&world)));
    let rules: &dyn Rules = if remembers { &rules } else { &silent };
    let stage = Stage { world: &world, start, config: &config, vectors: &model, rules };
    let mut lanes = Lanes::default();
    if remembers {
        lanes.take(judged(recording).given(), &stage, |_| {}).unwrap();
    } else {
        lanes.take(recording.events_of(&JUDGED), &stage, |_| {}).unwrap();
    }
    let mut streamed = lanes.end(&stage);
    let profile = streamed.profile();
    let mut lines = vec![profile.to_json(), format!("{:?} {:?}", streamed.span, streamed.per_second)];
    for image in &mut streamed.images {
        lines.push(format!("{} {:?} {:?}", image.image, image.counts, image.span));
        lines.push(format!("{:?}", image.siblings(&config, &|id| id.to_owned())));
        lines.push(format!("{:?} {:?}", Tree::ALL.map(|tree| image.lock_test(tree, &config)), image.curve()));
        lines.push(format!("{:?} {}", image.tuned(), image.on_probation()));
        lines.extend(image.take_folded().iter().map(|folded| format!("{folded:?}")));
    }
    (profile, lines)
}

/// Learned to the end, learned and locked, and compared with a baseline.
fn same(recording: &Recording, baseline: &Recording) {
    let (profile, anew) = found(baseline, Start::LearnAll, false);
    assert_eq!(anew, found(baseline, Start::LearnAll, true).1, "learned to the end");
    let starts = [("locked", Start::Learn), ("compared", Start::Baseline(&profile))];
    for (how, start) in starts {
        let (anew, remembered) = (found(recording, start, false).1, found(recording, start, true).1);
        assert!(anew.len() > 4, "something to compare");
        assert_eq!(anew, remembered, "{}: {how}", recording.dir().display());
    }
}

#[test]
fn shipped_recordings_are_replayed_as_if_nothing_were_remembered() {
    for (attack, baseline) in [("xmrig", "webapp"), ("ssh-worm-21", "ssh-fleet-21")] {
        same(&Recording::shipped(attack).unwrap(), &Recording::shipped(baseline).unwrap());
    }
}

/// Directories become wildcards while the same files are opened again and again, by three replicas of which one does more.
#[test]
fn a_tree_that_grows_counts_what_was_remembered_before() {
    let tmp = tempfile::tempdir().unwrap();
    let mut script = Script::new();
    script.replica(1_001, &"d".repeat(64), "app-2", "10.89.0.5");
    script.replica(1_002, &"e".repeat(64), "app-3", "10.89.0.6");
    script.ordinary(0, 200);
    for round in 0..3 {
        for i in 0..600 {
            let ts = BEGIN + (round * 60 + 5) * SECOND + i * 1_000_000;
            let who = [1, 1_001, 1_002][(i % 3) as usize];
            // 30 directories of up to 60 names, of which the first ones are opened again in each round.
            let names = 20 * (round + 1);
            script.open(ts, who, &format!("/srv/app/d{}/f{}", i % 30, i * 7 % names), 0, 3 + (i % 5) as i32);
            if i % 11 == 0 {
                script.open(ts + 1, who, &format!("/srv/app/d{}/out/f{}", i % 30, i % (9 + round)), 0o1101, 3);
            }
            if i % 50 == 0 && who == 1_002 {
                script.chmod(ts + 2, who, &format!("/srv/app/own/f{i}"), 0o755);
                script.open(ts + 3, who, "/etc/shadow", 0, if i % 100 == 0 { -13 } else { 3 });
            }
        }
    }
    script.attack(190);
    let attacked = Recording::open(script.write(&tmp.path().join("rec"))).unwrap();
    let ordinary = Recording::open(common::ordinary(&tmp.path().join("base"))).unwrap();
    same(&attacked, &ordinary);
    same(&ordinary, &attacked);
}

#[test]
fn the_report_counts_the_same_in_the_columns_that_are_read() {
    let config = config::load(None, &[]).unwrap();
    for name in ["xmrig", "port-scan-21"] {
        let recording = Recording::shipped(name).unwrap();
        let world = World::load(&recording, &config).unwrap();
        let gathered = |events: datasets::Events| {
            let mut gathered = Gathered::default();
            events.for_each(|event| gathered.see(&event.unwrap(), &world));
            gathered
        };
        let all = gathered(recording.events_of(&JUDGED));
        assert!(!all.containers.is_empty());
        assert!(all == gathered(judged(&recording)), "{name}");
    }
}
