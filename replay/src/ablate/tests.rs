use super::*;
use crate::embed::Embedding;

/// A model to which all texts are alike.
struct Alike;

impl Vectors for Alike {
    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>> {
        Ok(texts.iter().map(|_| Embedding { vector: vec![1.0], truncated: false, unknown: false }).collect())
    }
}

fn shipped(name: &str) -> Vec<Pair> {
    read(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pairs").join(name)).unwrap()
}

fn rates(pairs: &[Pair], outcome: &Outcome) -> (f64, f64) {
    let flagged = table::flagged(outcome, pairs, Label::Benign);
    let caught = table::flagged(outcome, pairs, Label::Malicious);
    (flagged.hits as f64 / flagged.all as f64, 1.0 - caught.hits as f64 / caught.all as f64)
}

/// The split that no threshold was chosen on, and no model: at the defaults the grammar decides alone.
#[test]
fn the_shipped_pairs_are_told_apart() {
    let config = config::load(None, &[]).unwrap().args;
    for name in ["validation.tsv", "test.tsv"] {
        let pairs = shipped(name);
        let outcomes = run(&pairs, &config, &Alike).unwrap();
        let (flagged, missed) = rates(&pairs, outcomes.last().unwrap());
        assert!(flagged <= 0.10 && missed <= 0.03, "{name}: {flagged} of benign flagged, {missed} of malicious missed");
        // A model that finds everything alike shows nothing: half of what a coin gives on ties.
        let raw = outcomes.iter().find(|outcome| outcome.variant == Variant::RawCosine).unwrap();
        assert_eq!(rates(&pairs, raw), (0.0, 1.0));
    }
}

#[test]
fn pairs_are_many_and_of_many_programs() {
    let (validation, test) = (shipped("validation.tsv"), shipped("test.tsv"));
    let programs: std::collections::BTreeSet<&str> = test.iter().map(|pair| &*pair.learned[0]).collect();
    assert!(validation.len() + test.len() >= 300 && programs.len() >= 12);
    assert!(
        test.iter().all(|pair| !validation.iter().any(|other| other.text == pair.text)),
        "a pair is in both splits"
    );
}

#[test]
fn the_table_and_the_curves_have_every_variant() {
    let pairs = shipped("test.tsv");
    let outcomes = run(&pairs, &config::load(None, &[]).unwrap().args, &Alike).unwrap();
    let (text, svg) = (render(&pairs, &outcomes, true), draw(&pairs, &outcomes).unwrap());
    for variant in Variant::ALL {
        assert!(text.contains(variant.name()) && svg.contains(variant.name()), "{}", variant.name());
    }
    assert!(text.contains("benign value") && svg.starts_with("<svg"));
}
