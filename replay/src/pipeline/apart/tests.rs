//! Folding apart and joining again is folding at once, whatever comes between.

use record_bpf::Class;

use super::*;
use crate::deviation::Tree;
use crate::engines::{Engine, Grounds, Verdict};

fn observation(ts: i64, what: &str) -> Observation {
    Observation {
        tree: Tree::File,
        ts,
        container: "c".into(),
        exec_id: Some(1),
        pid: 1,
        row: RowRef { class: Class::File, cpu: 0, seq: ts as u64 },
        steps: ["/bin/a".into(), what.into(), "read".into()].into(),
        args: None,
        raw: what.into(),
        host_path: None,
        reached: None,
    }
}

fn ruling(rules: &[&str], rows: &[u64]) -> Ruling {
    let verdict = |rule: &&str| Verdict {
        engine: Engine::Rules,
        score: 0.85,
        reason: format!("{rule} hit"),
        technique: None,
        judge: (*rule).to_owned(),
        level: None,
        grounds: Grounds::default(),
    };
    let row = |seq: &u64| RowRef { class: Class::Network, cpu: 1, seq: *seq };
    Ruling { verdicts: rules.iter().map(verdict).collect(), rows: rows.iter().map(row).collect(), ..Ruling::default() }
}

/// A small generator of numbers, the same in each run: Marsaglia's xorshift.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn folding_apart_and_joining_is_folding_at_once() {
    const ROWS: usize = 3;
    let rules: [&[&str]; 4] = [&["r1"], &["r2"], &["r1", "r2"], &["r3", "r1"]];
    let what = ["/x", "/y", "/z"];
    let (mut met_first, mut dropped) = (0, 0);
    for seed in 1..400 {
        let mut numbers = Numbers(seed);
        let mut at_once = Folds::new("image".into(), ROWS);
        let mut lane = Folds::new("image".into(), ROWS);
        lane.keep_apart();
        let mut abroad = Vec::new();
        let mut ts = 0;
        for chunk in 0..6 {
            lane.at_chunk(chunk);
            for _ in 0..numbers.below(12) {
                ts += 1;
                let seen = observation(ts, what[numbers.below(3) as usize]);
                let hit = ruling(rules[numbers.below(4) as usize], &[numbers.below(5)]);
                let departure = || match ts % 3 {
                    0 => Departure::plain(DeviationKind::NewPath, 2),
                    _ => departure(&seen),
                };
                at_once.add(&seen, departure(), &hit);
                lane.add(&seen, departure(), &hit);
            }
            // What is met at the end of the chunk is about one of its events, or one of before.
            for _ in 0..numbers.below(3) {
                let seen = observation(ts, what[numbers.below(3) as usize]);
                let met = ruling(&["met"], &[numbers.below(9), numbers.below(9)]);
                at_once.add(&seen, departure(&seen), &met);
                abroad.push((chunk, seen, met));
            }
        }
        let apart = lane.take_apart();
        dropped += apart.hits.iter().map(|hit| hit.more).sum::<u64>();
        let mut rejoined = Rejoined::new("image".into(), apart, ROWS);
        abroad.iter().for_each(|(chunk, seen, met)| rejoined.meet(*chunk, seen, met));
        let (joined, expected) = (rejoined.end(), at_once.take());
        met_first += usize::from(expected.iter().any(|folded| folded.hits[0].judge == "met" && folded.hits.len() > 1));
        assert_eq!(joined.len(), expected.len(), "seed {seed}");
        for (joined, expected) in joined.iter().zip(&expected) {
            assert_eq!(joined.deviation, expected.deviation, "seed {seed}");
            assert_eq!(joined.hits, expected.hits, "seed {seed}");
        }
    }
    // Both of what makes it hard happened.
    assert!(met_first > 10 && dropped > 100, "{met_first} {dropped}");
}
