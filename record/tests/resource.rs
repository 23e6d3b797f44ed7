//! Resource use of a command and of a container, against what they are known to have used.

mod common;

use common::podman::{Image, finish, podman, start};
use common::{Recorded, can_record, record_with};
use datasets::{Event, ResourceEvent};
use record_bpf::event::SAMPLED_CPU;

/// Burns 1.5 s of CPU time with 64 MiB of memory touched.
const BURN: &str = r#"
#include <stdlib.h>
#include <string.h>
#include <time.h>
int main(void) {
	char *memory = malloc(64 << 20);
	memset(memory, 1, 64 << 20);
	while (clock() < 3 * CLOCKS_PER_SEC / 2)
		memory[rand() % (64 << 20)]++;
	return 0;
}
"#;

fn usage(recorded: &Recorded) -> Vec<&ResourceEvent> {
    let rows = recorded.events.iter().filter_map(|event| match event {
        Event::Resource(row) => Some(row),
        _ => None,
    });
    rows.collect()
}

/// Sampled rows are a stream of their own, complete and accounted for.
fn assert_stream(recorded: &Recorded, rows: &[&ResourceEvent]) {
    assert!(rows.iter().all(|row| row.common.cpu == SAMPLED_CPU));
    assert!(rows.iter().map(|row| row.common.seq).eq(0..rows.len() as u64));
    let report = datasets::verify(&recorded.dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);
}

#[test]
fn a_commands_use_is_the_sum_of_its_processes() {
    if !can_record("a_commands_use_is_the_sum_of_its_processes") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (source, program) = (dir.path().join("burn.c"), dir.path().join("burn"));
    std::fs::write(&source, BURN).unwrap();
    let mut cc = std::process::Command::new("cc");
    assert!(cc.args(["-O1", "-o"]).arg(&program).arg(&source).status().unwrap().success());
    let burn = program.to_str().unwrap();
    let run = record_with(&["--events", "process,resource"], &["/bin/sh", "-c", &format!("{burn} & {burn} & wait")]);
    let rows = usage(&run);
    assert!(rows.len() >= 2, "one a second, and one at the end");
    assert_stream(&run, &rows);
    assert!(rows.iter().all(|row| &*row.source == "process" && row.common.container.is_none()));

    // The last row is taken when all have ended: it is the sum of their exit rows.
    let exits: Vec<_> = run.process(record_bpf::Kind::Exit).collect();
    let sum = |of: fn(&datasets::ProcessEvent) -> Option<u64>| exits.iter().filter_map(|row| of(row)).sum::<u64>();
    let last = rows.last().unwrap();
    assert_eq!((last.cpu_user, last.cpu_system), (Some(sum(|e| e.cpu_user)), Some(sum(|e| e.cpu_system))));
    assert!(last.cpu_total >= Some(2_900_000_000), "two of 1.5 s: {:?}", last.cpu_total);
    assert_eq!(last.processes, Some(0));
    let most = rows.iter().map(|row| row.memory_anon.unwrap()).max().unwrap();
    assert!((128 << 20..160 << 20).contains(&most), "two of 64 MiB and little else: {most}");
    assert!(rows.iter().any(|row| row.processes == Some(3)), "the shell and its two children");
}

#[test]
fn a_containers_use_is_its_cgroups() {
    let Some(podman) = podman("a_containers_use_is_its_cgroups") else { return };
    let image = Image::build(podman, "retroscope-test-resource", BURN);
    let dir = tempfile::tempdir().unwrap();
    let child = start(dir.path(), &["--events", "process,resource", "--container", "retroscope-test-burn"]);
    image.run("retroscope-test-burn", &[], &[]);
    let recorded = finish(child, dir);
    let rows = usage(&recorded);
    assert_stream(&recorded, &rows);
    let recording = datasets::Recording::open(recorded.dir.path().join("recording")).unwrap();
    let id = common::one(recording.containers().unwrap()).id;
    assert!(rows.iter().all(|row| row.common.container.as_ref() == Some(&id) && row.source.starts_with("cgroup v")));
    // It lives for 1.5 s at least, so a sample falls into it after a second at the latest.
    let last = rows.last().expect("a sample while it ran");
    assert!(last.cpu_total.unwrap() <= 2_500_000_000, "{:?}", last.cpu_total);
    assert!(rows.iter().any(|row| row.cpu_total > Some(200_000_000)), "it burns CPU from its first moment");
    assert!(rows.is_sorted_by_key(|row| row.cpu_total));
    if let Some(most) = rows.iter().filter_map(|row| row.memory).max() {
        assert!(most >= 64 << 20, "{most}");
    }
}
