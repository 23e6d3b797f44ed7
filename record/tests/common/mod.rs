//! Runs the real recorder on a real trigger and hands back what it stored.
#![allow(dead_code)] // each test program uses its own part

pub mod podman;
pub mod runtimes;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use datasets::{Event, FileEvent, NetworkEvent, Process, ProcessEvent, Recording};
use record_bpf::Kind;

/// Whether this machine can record. A test that cannot run says so, loudly.
pub fn can_record(test: &str) -> bool {
    let missing = record::check::require().err();
    if let Some(missing) = &missing {
        eprintln!("\n*** SKIPPED {test}: {missing} ***\n");
    }
    missing.is_none()
}

pub struct Recorded {
    pub events: Vec<Event>,
    pub processes: Vec<Process>,
    pub manifest: datasets::Manifest,
    pub output: Output,
    pub dir: tempfile::TempDir,
}

pub fn recorder(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_record"));
    command.arg("-o").arg(dir.join("recording")).args(args);
    // Tests that run in the background of a shell ignore Ctrl-C, and what they start would too.
    // SAFETY: signal(2) is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        });
    }
    command
}

/// Records `argv` and its children.
pub fn record(argv: &[&str]) -> Recorded {
    record_with(&[], argv)
}

pub fn record_with(options: &[&str], argv: &[&str]) -> Recorded {
    let dir = tempfile::tempdir().unwrap();
    let output = recorder(dir.path(), &[options, &["--"], argv].concat()).output().unwrap();
    assert!(output.status.success(), "record failed: {}", String::from_utf8_lossy(&output.stderr));
    read(dir, output)
}

pub fn read(dir: tempfile::TempDir, output: Output) -> Recorded {
    let recording = Recording::open(dir.path().join("recording")).unwrap();
    Recorded {
        events: recording.events().collect::<Result<_, _>>().unwrap(),
        processes: recording.processes().unwrap(),
        manifest: recording.manifest().clone(),
        output,
        dir,
    }
}

/// Records a Python program; its variables come as `sys.argv[1:]`.
pub fn record_python(program: &str, args: &[&str]) -> Recorded {
    record(&[&[&*python(), "-I", "-S", "-c", program], args].concat())
}

/// The interpreter itself: `python3` on the path may be a script that starts it.
pub fn python() -> String {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Recorded {
    pub fn process(&self, kind: Kind) -> impl Iterator<Item = &ProcessEvent> {
        self.events.iter().filter_map(move |event| match event {
            Event::Process(row) if row.common.kind == kind => Some(row),
            _ => None,
        })
    }

    pub fn files(&self, kind: Kind) -> impl Iterator<Item = &FileEvent> {
        self.events.iter().filter_map(move |event| match event {
            Event::File(row) if row.common.kind == kind => Some(row),
            _ => None,
        })
    }

    pub fn file(&self, kind: Kind, path: &str) -> Vec<&FileEvent> {
        self.files(kind).filter(|row| row.path.as_deref() == Some(path)).collect()
    }

    pub fn network(&self, kind: Kind) -> impl Iterator<Item = &NetworkEvent> {
        self.events.iter().filter_map(move |event| match event {
            Event::Network(row) if row.common.kind == kind => Some(row),
            _ => None,
        })
    }

    pub fn process_of(&self, exec_id: Option<u64>) -> &Process {
        let exec_id = exec_id.expect("an exec_id");
        self.processes.iter().find(|row| row.exec_id == exec_id).expect("the exec_id is in the process table")
    }
}

/// The only element.
pub fn one<T>(mut items: Vec<T>) -> T {
    assert_eq!(items.len(), 1, "exactly one row");
    items.pop().unwrap()
}
