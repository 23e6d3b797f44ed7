//! Trigger and assert: fork, exec, exit.

mod common;

use common::{can_record, one, record, record_python};
use datasets::Origin;
use record_bpf::Kind;

#[test]
fn an_exec_carries_exe_argv_cwd_ids_and_parent() {
    if !can_record("an_exec_carries_exe_argv_cwd_ids_and_parent") {
        return;
    }
    let run =
        record(&["sh", "-c", "cd /usr/share && /bin/true one '' 'two words' \"$(printf 'ca\\303\\251')\"; exit 3"]);
    let row =
        one(run.process(Kind::Exec).filter(|row| row.exe.as_deref().is_some_and(|e| e.ends_with("/true"))).collect());
    let argv: Vec<&str> = row.argv.as_ref().unwrap().iter().map(|a| &**a).collect();
    assert_eq!(argv, ["/bin/true", "one", "", "two words", "caé"]);
    assert_eq!(row.cwd.as_deref(), Some("/usr/share"));
    assert_eq!((row.uid, row.gid), (Some(0), Some(0)));
    assert_eq!((row.exe_memfd, row.exe_deleted, row.argv_truncated), (Some(false), Some(false), Some(false)));
    let process = run.process_of(row.common.exec_id);
    assert_eq!(process.origin, Origin::Exec);
    assert_eq!(process.exit_code, Some(0));
    let parent = run.process_of(row.parent_exec_id);
    assert_eq!(parent.comm.as_deref(), Some("sh"));
    assert_eq!(parent.exit_code, Some(3));
    // The fork that made it, the incarnation it replaced, and its place in the tree agree.
    let fork = one(run.process(Kind::Fork).filter(|fork| fork.child_pid == Some(row.common.pid)).collect());
    assert_eq!(fork.common.exec_id, Some(parent.exec_id));
    assert_eq!(fork.child_exec_id, process.prev_exec_id);
    assert_eq!(run.process_of(process.prev_exec_id).origin, Origin::Fork);
}

#[test]
fn an_exit_tells_code_signal_and_cost() {
    if !can_record("an_exit_tells_code_signal_and_cost") {
        return;
    }
    let program = "
import os, signal
for act in (lambda: os._exit(7), lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: sum(range(3_000_000)) and os._exit(0)):
    pid = os.fork()
    if pid == 0: act()
    print(pid, os.waitpid(pid, 0)[1])
";
    let run = record_python(program, &[]);
    let stdout = String::from_utf8_lossy(&run.output.stdout).into_owned();
    let pids: Vec<u32> = stdout.lines().filter_map(|line| line.split_once(' ')?.0.parse().ok()).take(3).collect();
    let exit = |pid| one(run.process(Kind::Exit).filter(|row| row.common.pid == pid).collect());
    assert_eq!((exit(pids[0]).exit_code, exit(pids[0]).exit_signal), (Some(7), None));
    assert_eq!((exit(pids[1]).exit_code, exit(pids[1]).exit_signal), (None, Some(9)));
    let busy = exit(pids[2]);
    assert!(busy.cpu_user.unwrap() > 1_000_000, "3 million additions take over 1 ms: {busy:?}");
    assert!(busy.max_rss.unwrap() > 1 << 20, "an interpreter needs over 1 MiB: {busy:?}");
}

#[test]
fn a_thread_is_not_a_process() {
    if !can_record("a_thread_is_not_a_process") {
        return;
    }
    let program = "
import threading
threads = [threading.Thread(target=lambda: open('/etc/hostname').close()) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
";
    let run = record_python(program, &[]);
    assert_eq!(run.process(Kind::Fork).count(), 0);
    assert_eq!(run.process(Kind::Exit).count(), 1);
    let opens = run.file(Kind::Open, "/etc/hostname");
    assert_eq!(opens.len(), 4);
    assert!(opens.iter().all(|row| row.common.tid != row.common.pid), "opened by other threads than the first");
}

#[test]
fn memfd_and_deleted_executables_are_marked() {
    if !can_record("memfd_and_deleted_executables_are_marked") {
        return;
    }
    let program = "
import os, shutil, sys
code = open('/bin/true', 'rb').read()
fd = os.memfd_create('payload')
os.write(fd, code)
pid = os.fork()
if pid == 0: os.execv(f'/proc/self/fd/{fd}', ['hidden'])
os.waitpid(pid, 0)
path = sys.argv[1] + '/gone'
shutil.copy('/bin/true', path)
held = os.open(path, os.O_RDONLY)
os.unlink(path)
pid = os.fork()
if pid == 0: os.execv(f'/proc/self/fd/{held}', ['deleted'])
os.waitpid(pid, 0)
";
    let dir = tempfile::tempdir().unwrap();
    let run = record_python(program, &[dir.path().to_str().unwrap()]);
    let exec = |name: &str| {
        one(run.process(Kind::Exec).filter(|row| row.argv.as_ref().is_some_and(|argv| &*argv[0] == name)).collect())
    };
    let hidden = exec("hidden");
    assert_eq!((hidden.exe_memfd, hidden.exe_deleted), (Some(true), Some(false)));
    assert_eq!(hidden.exe.as_deref(), Some("/memfd:payload"));
    let deleted = exec("deleted");
    assert_eq!((deleted.exe_memfd, deleted.exe_deleted), (Some(false), Some(true)));
    assert_eq!(deleted.exe.as_deref(), dir.path().join("gone").to_str());
}

#[test]
fn long_argument_vectors_are_whole_up_to_128_kib_and_marked_beyond() {
    if !can_record("long_argument_vectors_are_whole_up_to_128_kib_and_marked_beyond") {
        return;
    }
    let program = "
import os
for n in (30, 40):
    pid = os.fork()
    if pid == 0: os.execv('/bin/true', [f'true{n}'] + [chr(97 + i % 26) * 4000 for i in range(n)])
    os.waitpid(pid, 0)
";
    let run = record_python(program, &[]);
    let exec = |name: &str| {
        one(run.process(Kind::Exec).filter(|row| row.argv.as_ref().is_some_and(|argv| &*argv[0] == name)).collect())
    };
    let whole = exec("true30");
    let argv = whole.argv.as_ref().unwrap();
    assert_eq!((argv.len(), whole.argv_truncated), (31, Some(false)));
    assert!(argv[1..].iter().zip(0u8..).all(|(a, i)| **a == (char::from(97 + i % 26)).to_string().repeat(4000)));
    let cut = exec("true40");
    assert_eq!(cut.argv_truncated, Some(true));
    assert_eq!(cut.argv.as_ref().unwrap().iter().map(|a| a.len() + 1).sum::<usize>(), 131_072 + 1);
    assert_eq!(run.manifest.accounting.as_ref().unwrap().failures["argv_truncated"], 1);
}

#[test]
fn a_process_whose_threads_end_at_once_exits_once() {
    if !can_record("a_process_whose_threads_end_at_once_exits_once") {
        return;
    }
    let program = "
import os, threading
for _ in range(60):
    pid = os.fork()
    if pid == 0:
        stop = threading.Event()
        for _ in range(8): threading.Thread(target=stop.wait, daemon=True).start()
        os._exit(3)
    os.waitpid(pid, 0)
";
    let run = record_python(program, &[]);
    let mut pids: Vec<_> =
        run.process(Kind::Exit).filter(|row| row.exit_code == Some(3)).map(|row| row.common.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 60);
    assert_eq!(run.process(Kind::Exit).count(), 61, "and the interpreter's own");
}
