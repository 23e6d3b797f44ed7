//! Every system call, and sets of them: exact counts, calls that do not return, processes that outlive a recording.

mod common;

use common::{Recorded, can_record, one, python, record_with};
use datasets::{Event, SyscallEvent};
use record_bpf::Kind;
use record_bpf::event::SAMPLED_CPU;

fn run(form: &str, program: &str) -> Recorded {
    let events = ["--events", "process,syscall", "--syscalls", form];
    let run = record_with(&events, &[&python(), "-I", "-S", "-c", program]);
    let report = datasets::verify(&run.dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);
    run
}

fn rows(recorded: &Recorded, kind: Kind) -> Vec<&SyscallEvent> {
    let rows = recorded.events.iter().filter_map(|event| match event {
        Event::Syscall(row) if row.common.kind == kind => Some(row),
        _ => None,
    });
    rows.collect()
}

fn named<'a>(recorded: &'a Recorded, name: &str) -> Vec<&'a SyscallEvent> {
    rows(recorded, Kind::Call).into_iter().filter(|row| row.name.as_deref() == Some(name)).collect()
}

fn printed(recorded: &Recorded) -> Vec<u32> {
    let stdout = String::from_utf8_lossy(&recorded.output.stdout).into_owned();
    stdout.lines().next().unwrap().split(' ').map(|word| word.parse().unwrap()).collect()
}

#[test]
fn every_call_is_counted_with_result_and_duration() {
    if !can_record("every_call_is_counted_with_result_and_duration") {
        return;
    }
    let program = "
import os, threading
print(os.getpid(), os.getppid(), flush=True)
def calls():
    for _ in range(5000): os.getppid()
threads = [threading.Thread(target=calls) for _ in range(2)]
[t.start() for t in threads]; [t.join() for t in threads]
";
    let run = run("calls", program);
    let [pid, parent] = printed(&run)[..] else { panic!("two numbers") };
    let calls = named(&run, "getppid");
    assert_eq!(calls.len(), 10_001);
    assert!(calls.iter().all(|row| row.ret == Some(parent.into()) && row.common.pid == pid && row.a0.is_none()));
    assert!(calls.iter().all(|row| row.duration.is_some_and(|ns| ns < 1_000_000_000)));
    // The very first row is the call in which the command waited for the recording to begin.
    let first = rows(&run, Kind::Call)[0];
    assert_eq!((first.name.as_deref(), first.duration), (Some("read"), None));
    // A child returns from the fork of its parent, but never called it.
    assert!(named(&run, "clone3").iter().chain(&named(&run, "clone")).all(|row| row.ret != Some(0)));
}

#[test]
fn a_thread_that_execs_keeps_its_call_and_a_killed_ones_is_marked() {
    if !can_record("a_thread_that_execs_keeps_its_call_and_a_killed_ones_is_marked") {
        return;
    }
    let program = "
import os, signal, threading, time
execs = os.fork()
if execs == 0:
    threading.Thread(target=lambda: time.sleep(0.2) or os.execv('/bin/true', ['true'])).start()
    time.sleep(60)
os.waitpid(execs, 0)
waits = os.fork()
if waits == 0: signal.pause()
time.sleep(0.3)
os.kill(waits, signal.SIGKILL)
os.waitpid(waits, 0)
print(execs, waits, flush=True)
";
    let run = run("calls", program);
    let [execs, waits] = printed(&run)[..] else { panic!("two numbers") };
    let exec: Vec<_> = named(&run, "execve").into_iter().filter(|row| row.common.pid == execs).collect();
    let exec = one(exec);
    assert_eq!((exec.ret, exec.common.tid), (Some(0), execs), "it returns as the first thread of the new program");
    assert!(exec.duration.is_some() && exec.a0.is_some(), "what it began as another thread");
    // Only what leaves the kernel for good does not return: a call that a signal ends does, with a restart code.
    let unreturned: Vec<_> = rows(&run, Kind::Call).into_iter().filter(|row| row.ret.is_none()).collect();
    assert!(unreturned.iter().all(|row| matches!(row.name.as_deref(), Some("exit" | "exit_group"))), "{unreturned:?}");
    assert!(unreturned.iter().all(|row| row.duration.is_some()));
    let ended: Vec<_> = unreturned.iter().filter(|row| row.name.as_deref() == Some("exit_group")).collect();
    assert_eq!(ended.iter().filter(|row| row.common.pid == execs).count(), 1, "the new program's");
    let asleep =
        |row: &&SyscallEvent| row.common.pid == execs && row.ret.is_some_and(|ret| (-516..=-512).contains(&ret));
    assert_eq!(rows(&run, Kind::Call).into_iter().filter(asleep).count(), 1, "the first thread's sleep");
    let pause = one(named(&run, "pause"));
    assert_eq!((pause.common.pid, pause.ret), (waits, Some(-514)), "ERESTARTNOHAND");
    assert!(pause.duration.unwrap() > 100_000_000, "{pause:?}");
    let last = rows(&run, Kind::Call).into_iter().rfind(|row| row.common.pid == waits).unwrap();
    assert_eq!(last.common.seq, pause.common.seq, "nothing after it");
}

#[test]
fn a_set_holds_each_call_once_and_processes_that_live_on_have_theirs() {
    if !can_record("a_set_holds_each_call_once_and_processes_that_live_on_have_theirs") {
        return;
    }
    // The recording interrupts its command when its time is up; this one does not listen, and ends soon after.
    let program = "
import os, signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print(os.getpid(), flush=True)
for _ in range(1000): os.getppid()
if os.fork() == 0:
    os.getpgid(0)
    os._exit(0)
os.wait()
time.sleep(3)
";
    let options = ["--events", "process,syscall", "--syscalls", "bitmap", "--duration", "1500ms"];
    let run = record_with(&options, &[&python(), "-I", "-S", "-c", program]);
    let report = datasets::verify(&run.dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);
    assert!(rows(&run, Kind::Call).is_empty());
    let pid = printed(&run)[0];
    let has = |row: &SyscallEvent, name: &str| row.calls.iter().flatten().filter(|call| &***call == name).count();
    let sets = rows(&run, Kind::CallSet);
    let own: Vec<_> = sets.iter().filter(|row| row.common.pid == pid).collect();
    let [held, living] = own[..] else { panic!("before its exec and at the end of the recording: {own:?}") };
    assert_eq!((has(held, "execve"), has(held, "getppid")), (1, 0));
    assert_eq!((has(living, "getppid"), has(living, "wait4"), has(living, "exit_group")), (1, 1, 0));
    assert_eq!(living.common.cpu, SAMPLED_CPU, "user space read it");
    assert_eq!(run.process_of(living.common.exec_id).pid, pid);
    let child = one(sets.iter().filter(|row| row.common.pid != pid).collect());
    assert_eq!((has(child, "getpgid"), has(child, "exit_group"), has(child, "getppid")), (1, 1, 0));
    assert!(run.process_of(child.common.exec_id).exit_code == Some(0));
}
