//! Every event is in the account, where the recorder has it hardest: a ring that is too small, a consumer that is stopped,
//! a storm on both cores, a full disk. The kernel's count is held against the load's own.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::*;
use datasets::{Cause, ClassAccount, Event, Manifest, Recording, Verdict, VerifyReport};
use record_bpf::{Class, Kind};

/// Opens and closes a file: `N` times in each of `PROCS` processes; says when it begins.
const LOAD: &str = r"
import os, sys
path, n, procs, ready = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
os.close(os.open(ready, os.O_CREAT | os.O_WRONLY))
children = []
for _ in range(procs):
    child = os.fork()
    if child == 0:
        for _ in range(n):
            os.close(os.open(path, os.O_RDONLY))
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
";

struct Load<'a> {
    dir: &'a Path,
    opens: u64,
    procs: u64,
}

impl Load<'_> {
    fn path(&self) -> String {
        self.dir.join("opened").to_str().unwrap().to_owned()
    }

    fn recorder(&self, options: &[&str]) -> Command {
        std::fs::write(self.path(), "x").unwrap();
        let ready = self.dir.join("ready").to_str().unwrap().to_owned();
        let (python, n, procs) = (python(), self.opens.to_string(), self.procs.to_string());
        let load = [python.as_str(), "-I", "-S", "-c", LOAD, &self.path(), &n, &procs, &ready];
        let events = ["--events", "process,file", "--quiet"];
        recorder(self.dir, &[&events[..], options, &["--"], &load].concat())
    }

    fn run(&self, options: &[&str]) -> Checked {
        let output = self.recorder(options).output().unwrap();
        assert!(output.status.success(), "record failed: {}", String::from_utf8_lossy(&output.stderr));
        check(&self.dir.join("recording"))
    }
}

struct Checked {
    recording: Recording,
    report: VerifyReport,
    /// Of the file class, over all CPUs.
    file: ClassAccount,
}

fn sum(manifest: &Manifest, class: &str) -> ClassAccount {
    let mut sum = ClassAccount::default();
    let cpus = &manifest.accounting.as_ref().unwrap().cpus;
    for account in cpus.iter().filter_map(|cpu| cpu.classes.get(class)) {
        sum.emitted += account.emitted;
        sum.stored += account.stored;
        sum.dropped.ring_full += account.dropped.ring_full;
        sum.dropped.write_failed += account.dropped.write_failed;
        sum.dropped.undecodable += account.dropped.undecodable;
        sum.filtered += account.filtered;
        sum.sampled_out += account.sampled_out;
        sum.known += account.known;
    }
    sum
}

/// What holds of every finished recording, whatever it lost.
fn check(dir: &Path) -> Checked {
    let report = datasets::verify(dir, |_| {}).unwrap();
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    let recording = Recording::open(dir).unwrap();
    let manifest = recording.manifest().clone();
    let accounting = manifest.accounting.as_ref().unwrap();
    for cpu in &accounting.cpus {
        assert!(cpu.classes.values().all(ClassAccount::holds), "{cpu:?}");
        assert_eq!(cpu.next_seq, cpu.classes.values().map(|class| class.emitted).sum::<u64>());
    }
    let losses = recording.losses().unwrap();
    for (cpu, seen) in accounting.cpus.iter().zip(&report.cpus) {
        assert_eq!(cpu.cpu, seen.cpu);
        let without_row: u64 = cpu.classes.values().map(ClassAccount::without_row).sum();
        let lost: u64 = losses.iter().filter(|loss| loss.cpu == cpu.cpu).map(|loss| loss.count).sum();
        assert_eq!((without_row, lost), (seen.missing, seen.missing));
        assert_eq!(seen.duplicates, 0);
        // Each gap is explained by what the recorder noted while it ran.
        assert!(seen.gaps.iter().all(|gap| !gap.causes.is_empty()), "{:?}", seen.gaps);
    }
    let file = sum(&manifest, "file");
    Checked { recording, report, file }
}

impl Checked {
    /// Rows of the load's own opens or closes.
    fn rows(&self, kind: Kind, path: &str) -> u64 {
        let is_it = |event: &Event| matches!(event, Event::File(row) if row.common.kind == kind && row.path.as_deref() == Some(path));
        self.recording.events_of(&[Class::File]).map(Result::unwrap).filter(is_it).count() as u64
    }

    fn missing(&self) -> u64 {
        self.report.cpus.iter().map(|cpu| cpu.missing).sum()
    }
}

/// Events of the file class that the load takes beside its opens and closes: with none of them.
fn besides(procs: u64) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let found = Load { dir: dir.path(), opens: 0, procs }.run(&[]);
    assert_eq!(found.missing(), 0, "the smallest load loses nothing");
    found.file.emitted
}

#[test]
fn a_ring_too_small_loses_events_and_none_from_the_account() {
    if !can_record("a_ring_too_small_loses_events_and_none_from_the_account") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let load = Load { dir: dir.path(), opens: 60_000, procs: 2 };
    // Nobody wakes the recorder, and it looks once a second: 1 MiB is full long before.
    let found = load.run(&["--ring", "1", "--batch", "100000000", "--deadline", "1000", "--sample", "off"]);
    assert!(found.file.dropped.ring_full > 0, "{:?}", found.file);
    // The load's own count: an open and a close each.
    assert_eq!(found.file.emitted, besides(2) + 2 * load.opens * load.procs);
    let (done, opens) = (load.opens * load.procs, found.rows(Kind::Open, &load.path()));
    let closes = found.rows(Kind::Close, &load.path());
    assert!(opens <= done && closes <= done);
    eprintln!("{opens} opens and {closes} closes of {done}, {:?}", found.file);
    assert!(opens + closes + found.file.dropped.ring_full >= 2 * done);
    assert_eq!(found.file.sampled_out, 0);
    let gaps = found.report.cpus.iter().flat_map(|cpu| &cpu.gaps);
    assert!(gaps.flat_map(|gap| &gap.causes).all(|cause| cause.cause == "ring_full"));
    // One segment alone tells what was missing until then.
    let segment = found.recording.manifest().segments.iter().find(|segment| segment.class == "file").unwrap();
    let note = datasets::segment_account::read(&found.recording.dir().join(&segment.file)).unwrap().unwrap();
    assert_eq!(note.cpus.iter().map(|cpu| cpu.rows).sum::<u64>(), segment.rows);
    let dropped: u64 = note.cpus.iter().map(|cpu| cpu.account.dropped.ring_full).sum();
    assert!(dropped > 0 && dropped <= found.file.dropped.ring_full);
}

#[test]
fn a_recorder_that_is_stopped_knows_what_it_missed_and_when() {
    if !can_record("a_recorder_that_is_stopped_knows_what_it_missed_and_when") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let load = Load { dir: dir.path(), opens: 300_000, procs: 2 };
    let mut recorder = load.recorder(&["--ring", "4"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..1200 {
        if dir.path().join("ready").exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    let signal = |signal| {
        // SAFETY: the process is our child, and was not waited for.
        assert_eq!(unsafe { libc::kill(recorder.id().cast_signed(), signal) }, 0);
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64
    };
    let stopped = signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_secs(3));
    let resumed = signal(libc::SIGCONT);
    assert!(recorder.wait().unwrap().success());
    let found = check(&dir.path().join("recording"));
    assert!(found.file.dropped.ring_full > 0, "{:?}", found.file);
    assert_eq!(found.file.emitted, besides(2) + 2 * load.opens * load.procs);
    // The time of the loss: the tick before the stop to the one after it.
    let losses = found.recording.losses().unwrap();
    let at_stop =
        losses.iter().filter(|loss| loss.cause == Cause::RingFull && loss.from < resumed && loss.to > stopped);
    let (n, all) = (at_stop.map(|loss| loss.count).sum::<u64>(), found.missing());
    assert!(n > 0, "{losses:?}, stopped from {stopped} to {resumed}");
    eprintln!("{n} of {all} missing events while it was stopped");
}

#[test]
fn a_storm_on_both_cores_is_accounted_for() {
    if !can_record("a_storm_on_both_cores_is_accounted_for") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let load = Load { dir: dir.path(), opens: 100_000, procs: 2 };
    let found = load.run(&[]);
    assert_eq!(found.file.emitted, besides(2) + 2 * load.opens * load.procs);
    let (done, path) = (load.opens * load.procs, load.path());
    let (opens, closes) = (found.rows(Kind::Open, &path), found.rows(Kind::Close, &path));
    if found.missing() == 0 {
        assert_eq!((opens, closes), (done, done));
    }
    assert!(opens <= done && opens + found.missing() >= done);
    eprintln!("stored {} of {}", found.file.stored, found.file.emitted);
}

/// A file system of its own; gone with this.
struct Disk(std::path::PathBuf);

impl Disk {
    fn new(at: &Path, options: &str) -> Disk {
        std::fs::create_dir(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).status().unwrap();
        assert!(mounted.success());
        Disk(at.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_the_recording_with_every_event_in_the_account() {
    if !can_record("a_full_disk_ends_the_recording_with_every_event_in_the_account") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(&dir.path().join("disk"), "size=6m");
    // Rows of one loop compress to little more than a byte each: these are far more than fit.
    let load = Load { dir: &disk.0, opens: 2_000_000, procs: 2 };
    let output = load.recorder(&["--segment-size", "1", "--sample", "off"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains("No space left on device"), "{stderr}");
    let found = check(&disk.0.join("recording"));
    // The disk filled long before the load was done. What was taken up to then may all have been saved, or not.
    let of_load = 2 * load.opens * load.procs;
    assert!(found.file.stored > 0 && found.file.emitted < of_load, "{:?}", found.file);
    eprintln!("{:?}", found.file);
}
