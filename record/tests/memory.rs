//! Memory stays within its bound under a storm of every class, whatever the rate.

mod common;

use common::{can_record, python, record_with};

/// Opens of ever new names, and processes, on both cores.
const STORM: &str = "
import os, sys
if os.fork() == 0:
    for i in range(400):
        pid = os.fork()
        if pid == 0: os._exit(0)
        os.waitpid(pid, 0)
for i in range(int(sys.argv[1])):
    try: os.open(f'/storm/{os.getpid()}/{i}/a-name-that-takes-some-room-in-memory-{i * 7919}', os.O_RDONLY)
    except OSError: pass
";

#[test]
fn a_storm_takes_no_more_memory_than_the_flags_allow() {
    if !can_record("a_storm_takes_no_more_memory_than_the_flags_allow") {
        return;
    }
    let python = python();
    for (options, bound) in
        [(&["--events", "all"][..], 256), (&["--events", "all", "--ring", "8", "--memory", "16"], 150)]
    {
        let run = record_with(&[&["-q"], options].concat(), &[&python, "-I", "-S", "-c", STORM, "150000"]);
        let memory = run.manifest.memory.clone().unwrap();
        let mib = |bytes: u64| bytes >> 20;
        eprintln!(
            "{options:?}: {} rows; user {} MiB, ring {} MiB, maps {} MiB",
            run.manifest.rows(),
            mib(memory.user_peak),
            mib(memory.ring),
            mib(memory.maps)
        );
        assert!(run.manifest.rows() > 300_000);
        assert!(memory.user_peak > 0 && memory.ring > 0 && memory.maps > 0);
        assert!(mib(memory.total()) <= bound, "{} MiB: {memory:?}", mib(memory.total()));
    }
}
