//! The recordings that ship are whole, small, and hold what their scenario says.

use datasets::{Recording, Verdict, verify};
use record_bpf::Class;

#[test]
fn shipped_recordings_are_intact_small_and_found_by_name() {
    for name in ["webapp", "xmrig"] {
        let recording = Recording::shipped(name).unwrap();
        let report = verify(recording.dir(), |_| {}).unwrap();
        assert_eq!(report.verdict, Verdict::Intact, "{name}: {:?}", report.findings);
        let manifest = recording.manifest();
        assert_eq!(manifest.scenario.as_ref().map(|scenario| scenario.name.as_str()), Some(name));
        let tables: u64 = manifest.tables.iter().map(|table| table.bytes).sum();
        assert!(manifest.bytes() + tables < 10_000_000, "{name}: {} bytes", manifest.bytes() + tables);
        let (rows, bytes) =
            manifest.class_segments(Class::File).fold((0, 0), |(rows, bytes), s| (rows + s.rows, bytes + s.bytes));
        assert!(bytes <= 40 * rows, "{name}: {bytes} bytes for {rows} file events");
    }
}

#[test]
fn only_the_attack_is_labelled_and_every_step_of_it() {
    assert_eq!(Recording::shipped("webapp").unwrap().labels().unwrap(), []);
    let attack = Recording::shipped("xmrig").unwrap();
    let labels = attack.labels().unwrap();
    for step in &attack.manifest().scenario.as_ref().unwrap().steps {
        let of = |label: &&datasets::Label| *label.act == *step.act && *label.step == *step.step;
        assert!(labels.iter().any(|label| of(&label)), "{}/{} has no labelled event", step.act, step.step);
    }
}
