//! Outcomes and metrics against numbers worked out by hand.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use record_bpf::Class;
use replay::deviation::RowRef;

use super::choice::choose;
use super::metrics::{Confusion, Counts, adp, average_precision, measure, roc_auc};
use super::outcome::{Graded, Outcome, Standing};
use super::scored::Scored;
use super::truth::{ActFacts, Facts, Mark, Mix, Seen, Truth};

const SECOND: i64 = 1_000_000_000;

fn row(seq: u64) -> RowRef {
    RowRef { class: Class::File, cpu: 0, seq }
}

/// Events at second 0 to 9, by (process, act); one act from second 4 on, in processes 2 and 3; the event of second 9 is
/// ambiguous.
fn truth() -> Truth {
    let plan =
        [(1, false), (1, false), (2, false), (2, false), (2, true), (2, true), (3, true), (4, false), (4, false)];
    let mut truth = Truth { facts: Arc::new(Facts::default()), rows: HashMap::new(), by_process: BTreeMap::new() };
    let mut note = |at: usize, process: u64, mark: Mark| {
        let seen = Seen { exec_id: Some(process), ts: at as i64 * SECOND, mark };
        truth.rows.insert(row(at as u64), seen);
        truth.by_process.entry(Some(process)).or_default().add(mark, 1);
    };
    for (at, (process, malicious)) in plan.into_iter().enumerate() {
        note(at, process, if malicious { Mark::Act { act: 0, technique: 0 } } else { Mark::Benign });
    }
    note(9, 5, Mark::Ambiguous);
    let act = ActFacts {
        act: "steal".to_owned(),
        techniques: vec!["T1005".to_owned()],
        events: 3,
        begin: Some(4 * SECOND),
        stealth: Some("quiet"),
    };
    truth.facts = Arc::new(Facts {
        recording: "made".to_owned(),
        acts: vec![act],
        malicious_events: 3,
        benign_events: 6,
        ambiguous_events: 1,
        container_hours: 0.5,
        ..Facts::default()
    });
    truth
}

fn scored(process: u64, steps: &[(i64, f64)], rows: &[u64]) -> Scored {
    Scored {
        exec_id: Some(process),
        container: "c".into(),
        steps: steps.iter().map(|(second, score)| (second * SECOND, *score)).collect(),
        rows: rows.iter().map(|seq| row(*seq)).collect(),
        technique: None,
    }
}

fn outcome() -> Outcome {
    let said = [
        // False whatever the cut-off.
        scored(1, &[(0, 20.0)], &[0]),
        // Raised before the act up to 30, in it from 31 to 60.
        scored(2, &[(2, 30.0), (5, 60.0)], &[2, 4, 5]),
        // Of the ambiguous event alone.
        scored(5, &[(9, 90.0)], &[9]),
    ];
    Outcome::new(&truth(), &said)
}

#[test]
fn an_alert_is_true_once_the_act_that_it_shows_has_begun() {
    let found = outcome();
    let standing = |at: usize, cut_off| found.standing(&found.alerts[at], cut_off);
    assert_eq!(
        [10.0, 20.0, 21.0].map(|cut_off| standing(0, cut_off)),
        [Standing::False, Standing::False, Standing::NotRaised]
    );
    assert_eq!(
        [30.0, 40.0, 61.0].map(|cut_off| standing(1, cut_off)),
        [Standing::False, Standing::True, Standing::NotRaised]
    );
    assert_eq!(standing(2, 40.0), Standing::Undecided);
    let detected = found.detected(40.0)[0].clone().unwrap();
    assert_eq!((detected.alert, detected.after_s), (1, 1.0));
    assert_eq!(found.detected(30.0), [None]);
    assert_eq!(found.highest(0), 60.0);
}

#[test]
fn events_and_processes_have_the_score_of_their_process() {
    let found = outcome();
    let of = |graded: &[Graded]| graded.iter().map(|g| (g.score, g.mix.malicious, g.mix.benign)).collect::<Vec<_>>();
    assert_eq!(of(&found.events), [(60.0, 2, 2), (20.0, 0, 2), (0.0, 1, 2)]);
    // The process of the ambiguous event is in no count.
    assert_eq!(of(&found.processes), [(60.0, 1, 0), (20.0, 0, 1), (0.0, 1, 1)]);
    // Evidence that is of another process takes the alert's score with it.
    let abroad = Outcome::new(&truth(), &[scored(2, &[(5, 60.0)], &[4, 6])]);
    assert_eq!(of(&abroad.events), [(60.0, 3, 2), (0.0, 0, 4)]);
}

#[test]
fn metrics_are_those_worked_out_by_hand() {
    let found = outcome();
    let metrics = measure(&[&found], 40.0);
    assert_eq!((metrics.acts, metrics.detected, metrics.true_alerts, metrics.false_alerts), (1, 1, 1, 0));
    assert_eq!(metrics.by_stealth["quiet"], [1, 1]);
    let events = &metrics.events;
    assert_eq!((events.true_positives, events.false_positives), (2, 2));
    assert_eq!((events.false_negatives, events.true_negatives), (1, 4));
    assert_eq!((events.precision, events.recall, events.f1), (Some(0.5), Some(2.0 / 3.0), Some(4.0 / 7.0)));
    // (2·4 − 2·1) / √(4·3·6·5)
    assert!((events.mcc.unwrap() - 6.0 / 360f64.sqrt()).abs() < 1e-12);
    // 2/3 · 2/4, nothing at 20, 1/3 · 3/9.
    assert!((events.pr_auc.unwrap() - (1.0 / 3.0 + 1.0 / 9.0)).abs() < 1e-12);
    // Of 18 pairs: two malicious above four benign, as high as two; one below four, as high as two.
    assert!((events.roc_auc.unwrap() - (8.0 + 2.0 + 1.0) / 18.0).abs() < 1e-12);
    let low = measure(&[&found], 20.0);
    assert_eq!((low.false_alerts, low.false_bursts, low.detected), (2, 1, 0), "both within a minute: one burst");
    assert_eq!(low.false_alerts_per_container_hour, Some(4.0));
    assert_eq!(low.false_alerts_per_benign_event, Some(2.0 / 6.0));
}

#[test]
fn areas_of_the_perfect_and_of_the_useless() {
    let graded = |score, malicious, benign| Graded { score, mix: Mix { malicious, benign } };
    let perfect = [graded(2.0, 5, 0), graded(0.0, 0, 95)];
    assert_eq!((average_precision(&perfect), roc_auc(&perfect)), (Some(1.0), Some(1.0)));
    let blind = [graded(0.0, 5, 95)];
    assert_eq!((average_precision(&blind), roc_auc(&blind)), (Some(0.05), Some(0.5)));
    assert_eq!((average_precision(&[graded(1.0, 0, 5)]), roc_auc(&[graded(1.0, 0, 5)])), (None, None));
    assert_eq!(Confusion::default().mcc(), None);
}

/// Two acts. From the top: a true alert (precision 1, half of the acts), a false one (1/2), another true one (2/3, all). So
/// half of the acts are found at any precision above 2/3, and all below: 1/3 · 1/2 + 2/3 · 1.
#[test]
fn attack_detection_precision_is_an_area() {
    let one = Outcome::new(&truth(), &[scored(2, &[(5, 90.0)], &[4]), scored(1, &[(0, 80.0)], &[0])]);
    let other = Outcome::new(&truth(), &[scored(2, &[(5, 70.0)], &[4])]);
    assert!((adp(&[&one, &other]).unwrap() - (1.0 / 6.0 + 2.0 / 3.0)).abs() < 1e-12);
    assert_eq!(adp(&[]), None);
}

#[test]
fn the_chosen_cut_off_is_the_lowest_that_the_budget_allows() {
    let lives: Vec<Outcome> = [&[(1, 35.0)][..], &[(1, 20.0), (4, 50.0)], &[]]
        .into_iter()
        .map(|scores| {
            let said: Vec<Scored> =
                scores.iter().map(|(process, score)| scored(*process, &[(0, *score)], &[0])).collect();
            Outcome::new(&truth(), &said)
        })
        .collect();
    let lives: Vec<&Outcome> = lives.iter().collect();
    assert_eq!([0, 1, 2, 3].map(|allowed| choose(&lives, 0.01, allowed)), [50.01, 35.01, 20.01, 0.01]);
    assert_eq!(choose(&[], 1.0, 0), 1.0);
    let false_alerts = |cut_off| lives.iter().map(|life| Counts::of(life, cut_off).false_alerts).sum::<u64>();
    assert_eq!([50.01, 35.01, 20.01].map(false_alerts), [0, 1, 2]);
}
