//! Data cards of the recordings that ship.

use datasets::{Recording, Splits};
use eval::card;

fn written(name: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let recording = Recording::shipped(name).unwrap();
    let paths = card::write(&recording, &Splits::shipped().unwrap(), &folder.path().join("new")).unwrap();
    assert_eq!(paths.len(), 2);
    let read = |file| std::fs::read_to_string(folder.path().join("new").join(file)).unwrap();
    (read("card.md"), read("rates.svg"))
}

#[test]
fn the_card_counts_what_is_in_the_recording() {
    let recording = Recording::shipped("xmrig").unwrap();
    let manifest = recording.manifest();
    let (text, svg) = written("xmrig");
    for class in ["process", "file", "network"] {
        let rows: u64 = manifest.segments.iter().filter(|s| s.class == class).map(|s| s.rows).sum();
        assert!(text.contains(&format!("| {class} | {rows} |")), "{class}: {text}");
        assert!(svg.contains(&format!("{class}/s")), "{class} has a lane");
    }
    // The containers' counts add up to all events.
    let table = text.split("## Containers").nth(1).unwrap().split("## The attack").next().unwrap();
    let numbers = table.split('|').filter_map(|cell| cell.trim().parse::<u64>().ok());
    assert_eq!(numbers.sum::<u64>(), manifest.rows());
    let labelled = text.split("## The attack").nth(1).unwrap().split("## Known gaps").next().unwrap();
    let rows: Vec<&str> = labelled.lines().filter(|line| line.contains("| T1")).collect();
    assert_eq!(rows.len(), manifest.scenario.as_ref().unwrap().steps.len());
    let events: u64 = rows.iter().map(|row| row.split('|').nth(6).unwrap().trim().parse::<u64>().unwrap()).sum();
    assert_eq!(events, recording.labels().unwrap().len() as u64);
    assert!(text.contains("| split | train |") && text.contains(&manifest.digest));
    assert!(text.contains("Not recorded: "), "the shipped ones lack classes");
}

#[test]
fn a_benign_recording_has_no_attack_in_its_card() {
    let (text, svg) = written("webapp");
    assert!(text.contains("Nothing in it is an attack.") && !text.contains("## The attack"));
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.len() < 64 << 10, "{} bytes", svg.len());
}
