//! Every rule that ships on every recording that ships: `rules/recorded.tsv` is what came of it.
//! `UPDATE_GOLDEN=1 cargo test -p replay --test recorded_rules` writes it anew.
//!
//! Rules are asked about each event as a replay asks them, without profiles: what they say of deviations is not here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use datasets::{Recording, Result};
use rayon::prelude::*;
use record_bpf::Class;
use replay::config;
use replay::deviation::RowRef;
use replay::engines::correlation::{Contribution, Correlator};
use replay::engines::rules_load::Listed;
use replay::judge::Judges;
use replay::observe::Context;
use replay::pipeline::World;
use replay::pipeline::ruling::{Memory, Rules, Ruling};

/// The classes that rules are asked about.
const CLASSES: [Class; 8] = [
    Class::Process,
    Class::Security,
    Class::File,
    Class::Network,
    Class::Dns,
    Class::Tls,
    Class::Flow,
    Class::Resource,
];

/// Of one rule in one recording: hits on the attack's events, and on others.
type Hits = BTreeMap<String, [u64; 2]>;

/// Hits by rule's id, and whether the recording shows an attack.
fn hits(recording: &Recording, judges: &Judges) -> Result<(Hits, bool)> {
    let config = config::load(None, &[]).unwrap();
    let world = World::load(recording, &config).unwrap();
    let rules = judges.of(&world);
    // What is ambiguous may be the attack's.
    let labels: BTreeSet<RowRef> = recording
        .labels()?
        .into_iter()
        .map(|label| RowRef { class: label.class, cpu: label.cpu, seq: label.seq })
        .collect();
    let context = Context { processes: &world.processes, peers: &world.peers, config: &config };
    let mut lanes: HashMap<Arc<str>, Memory> = HashMap::new();
    let mut across = Correlator::default();
    let mut found = Hits::new();
    for event in recording.events_of(&CLASSES) {
        let event = event?;
        let common = event.common();
        let row = RowRef { class: event.class(), cpu: common.cpu, seq: common.seq };
        let lane = lanes.entry(world.image(common.container.as_ref())).or_default();
        let Ruling { verdicts, rows, .. } = lane.judge(&event, None, &rules, &context);
        let mut count = |id: String, rows: &[RowRef]| {
            let attack = labels.contains(&row) || rows.iter().any(|row| labels.contains(row));
            found.entry(id).or_default()[usize::from(!attack)] += 1;
        };
        verdicts.into_iter().for_each(|verdict| count(verdict.judge, &rows));
        for contribution in lane.abroad.drain(..) {
            let contribution: Contribution = contribution;
            if let Some(met) = rules.correlations().and_then(|known| across.join(known, contribution)) {
                count(met.hit.id.to_string(), &met.rows);
            }
        }
    }
    Ok((found, !labels.is_empty()))
}

fn table(judges: &Judges) -> String {
    let names = datasets::shipped_names();
    let of = |name: &String| {
        let (hits, attack) = hits(&Recording::shipped(name).unwrap(), judges).unwrap();
        (name.clone(), hits, attack)
    };
    let mut recordings: Vec<(String, Hits, bool)> = names.par_iter().map(of).collect();
    recordings.sort();
    let mut out =
        "# rule\tkind\tattacks in which it hits the attack\trecordings in which it hits something else\n".to_owned();
    let listed: Vec<&Listed> = judges.listed().iter().collect();
    // Those that only serve a correlation never speak.
    let mut last: BTreeMap<&Path, &Listed> = BTreeMap::new();
    listed.iter().for_each(|listed| {
        last.insert(&listed.file, listed);
    });
    for (file, listed) in last {
        let id = listed.id.clone().unwrap_or_else(|| listed.title.clone());
        let with = |which: usize| -> String {
            let names: Vec<&str> = recordings
                .iter()
                .filter(|(_, hits, _)| hits.get(&id).is_some_and(|hits| hits[which] > 0))
                .map(|(name, ..)| name.as_str())
                .collect();
            if names.is_empty() { "-".to_owned() } else { names.join(" ") }
        };
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        out.push_str(&format!("{stem}\t{}\t{}\t{}\n", listed.category, with(0), with(1)));
    }
    let attacks = recordings.iter().filter(|(.., attack)| *attack).count();
    println!("{} recordings, {attacks} of attacks", recordings.len());
    out
}

#[test]
fn each_rule_hits_the_recordings_that_the_table_names() {
    let judges = Judges::open(&config::load(None, &[]).unwrap()).unwrap();
    let found = table(&judges);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/recorded.tsv");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).expect("the table; UPDATE_GOLDEN=1 writes it");
    let differs: Vec<_> = expected.lines().zip(found.lines()).filter(|(a, b)| a != b).collect();
    assert!(expected == found, "{differs:#?}; UPDATE_GOLDEN=1 accepts it");
}
