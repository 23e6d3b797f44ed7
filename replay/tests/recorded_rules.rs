//! Every rule that ships on every recording that ships: `rules/recorded.tsv` is what came of it.
//! `UPDATE_GOLDEN=1 cargo test -p replay --test recorded_rules` writes it anew.
//!
//! Rules are asked about each event as a replay asks them, without profiles: what they say of deviations is not here.

use std::collections::BTreeMap;
use std::path::Path;

use replay::config;
use replay::engines::rules_load::Listed;
use replay::judge::Judges;
use replay::rules_hits::{self, Found};

fn table(judges: &Judges) -> String {
    let config = config::load(None, &[]).unwrap();
    let recordings: Vec<Found> = rules_hits::all(&datasets::shipped_names(), judges, &config).unwrap();
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
                .filter(|found| found.hits.get(&id).is_some_and(|hits| hits[which] > 0))
                .map(|found| found.recording.as_str())
                .collect();
            if names.is_empty() { "-".to_owned() } else { names.join(" ") }
        };
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        out.push_str(&format!("{stem}\t{}\t{}\t{}\n", listed.category, with(0), with(1)));
    }
    let attacks = recordings.iter().filter(|found| found.attack).count();
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
