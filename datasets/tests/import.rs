//! Logs of other tools as recordings. The lines were written by hand, not by the tools.

use std::fs;
use std::path::Path;

use datasets::import::{Format, Imported, import};
use datasets::*;

const AUDITD: &str = "\
type=SYSCALL msg=audit(1700000000.100:7): arch=c000003e syscall=59 success=yes exit=0 a0=55d0 a1=55d1 a2=55d2 a3=8 items=1 ppid=400 pid=401 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=1 comm=\"xmrig\" exe=\"/tmp/xmrig\" key=\"exec\"
type=EXECVE msg=audit(1700000000.100:7): argc=4 a0=\"/tmp/xmrig\" a1=\"-o\" a2=\"stratum+tcp://pool.minexmr.com:4444\" a3=6120622063
type=CWD msg=audit(1700000000.100:7): cwd=\"/tmp\"
type=PATH msg=audit(1700000000.100:7): item=0 name=\"/tmp/xmrig\" inode=77 dev=fe:01 mode=0100755 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL
this is no record
type=SYSCALL msg=audit(1700000000.300:9): arch=c000003e syscall=42 success=no exit=-115 a0=3 a1=7ffc a2=10 a3=0 items=0 ppid=400 pid=401 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=1 comm=\"xmrig\" exe=\"/tmp/xmrig\" key=\"net\"
type=SYSCALL msg=audit(1700000000.200:8): arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7ffc a2=80000 a3=0 items=1 ppid=400 pid=401 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=1 comm=\"xmrig\" exe=\"/tmp/xmrig\" key=\"open\"
type=SOCKADDR msg=audit(1700000000.300:9): saddr=0200115CCB0071070000000000000000
type=CWD msg=audit(1700000000.200:8): cwd=\"/tmp\"
type=PATH msg=audit(1700000000.200:8): item=0 name=\"config.json\" inode=78 dev=fe:01 mode=0100644 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL
type=USER_LOGIN msg=audit(1700000000.350:10): pid=1 uid=0 auid=0 ses=1 msg='op=login res=success'
type=SYSCALL msg=audit(1700000000.400:11): arch=c000003e syscall=231 a0=3 a1=0 a2=0 a3=0 items=0 ppid=400 pid=401 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=1 comm=\"xmrig\" exe=\"/tmp/xmrig\" key=\"exit\"
";

const TETRAGON: &str = r#"{"process_exec":{"process":{"exec_id":"a","pid":50,"uid":0,"cwd":"/","binary":"/bin/curl","arguments":"-H \"a b\" http://203.0.113.7","pod":{"namespace":"shop","name":"web-0","container":{"id":"containerd://aa11","name":"web","image":{"id":"sha256:1","name":"web:1"}}}},"parent":{"pid":49,"binary":"/bin/sh"}},"time":"2023-11-14T22:13:20.5Z"}
{"process_kprobe":{"process":{"pid":50,"binary":"/bin/curl"},"parent":{},"function_name":"tcp_connect","args":[{"sock_arg":{"family":"AF_INET","saddr":"10.0.0.2","daddr":"203.0.113.7","sport":4000,"dport":80}}]},"time":"2023-11-14T22:13:20.6Z"}
{"process_exit":{"process":{"pid":50,"binary":"/bin/curl"},"parent":{},"signal":"SIGKILL"},"time":"2023-11-14T22:13:21Z"}
"#;

const TRACEE: &str = r#"{"timestamp":1700000000000000000,"processId":1,"hostProcessId":60,"hostThreadId":60,"hostParentProcessId":59,"userId":0,"processName":"sh","container":{"id":"bb22","name":"web","image":"web:1"},"eventName":"sched_process_exec","args":[{"name":"pathname","type":"const char*","value":"/bin/sh"},{"name":"argv","type":"const char**","value":["sh","-c","id"]}]}
{"timestamp":1700000000100000000,"processId":1,"hostProcessId":60,"hostThreadId":60,"hostParentProcessId":59,"userId":0,"processName":"sh","container":{"id":"bb22"},"eventName":"sched_process_fork","args":[{"name":"child_pid","type":"int","value":61},{"name":"child_tid","type":"int","value":61}]}
{"timestamp":1700000000200000000,"processId":2,"hostProcessId":61,"hostThreadId":61,"hostParentProcessId":60,"userId":0,"processName":"sh","container":{"id":"bb22"},"eventName":"security_socket_connect","args":[{"name":"sockfd","type":"int","value":3},{"name":"remote_addr","type":"struct sockaddr*","value":{"sa_family":"AF_INET","sin_addr":"203.0.113.7","sin_port":"443"}}]}
{"timestamp":1700000000300000000,"processId":2,"hostProcessId":61,"hostThreadId":61,"hostParentProcessId":60,"userId":0,"processName":"sh","container":{"id":"bb22"},"eventName":"magic_write","args":[]}
"#;

/// Twice, with the same bytes; whole both times.
fn imported(text: &str, dir: &Path) -> (Imported, Vec<Event>, Recording) {
    let [one, two] = ["one", "two"].map(|name| {
        let out = dir.join(name);
        let made = import(text.as_bytes(), "a.log".as_ref(), None, &out, |_| {}).unwrap();
        let report = verify(&out, |_| {}).unwrap();
        assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
        (out, made)
    });
    assert_eq!(fs::read(one.0.join("manifest.json")).unwrap(), fs::read(two.0.join("manifest.json")).unwrap());
    let recording = Recording::open(&one.0).unwrap();
    let events = recording.events().map(Result::unwrap).collect();
    (one.1, events, recording)
}

fn ops(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.common().kind.op()).collect()
}

#[test]
fn auditd_records_are_joined_by_their_id_and_ordered_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let (made, events, recording) = imported(AUDITD, dir.path());
    assert_eq!((made.format, made.lines, made.malformed), (Format::Auditd, 12, 1));
    assert_eq!(made.named[0].0, 5);
    assert_eq!(made.left_out.keys().collect::<Vec<_>>(), ["USER_LOGIN"]);
    assert_eq!(ops(&events), ["exec", "open", "connect", "exit"]);
    let [Event::Process(exec), Event::File(open), Event::Network(connect), Event::Process(exit)] = &events[..] else {
        panic!("{events:#?}")
    };
    let argv: Vec<&str> = exec.argv.as_ref().unwrap().iter().map(|word| &**word).collect();
    assert_eq!(argv, ["/tmp/xmrig", "-o", "stratum+tcp://pool.minexmr.com:4444", "a b c"]);
    assert_eq!((exec.exe.as_deref(), exec.cwd.as_deref(), exec.uid), (Some("/tmp/xmrig"), Some("/tmp"), Some(0)));
    assert_eq!(
        (open.path.as_deref(), open.inode, open.dev),
        (Some("/tmp/config.json"), Some(78), Some(0xfe << 20 | 1))
    );
    assert_eq!((open.mode, open.flags, open.fd), (Some(0o100_644), Some(0x80000), Some(3)));
    assert_eq!((connect.peer_addr.as_deref(), connect.peer_port), (Some("203.0.113.7"), Some(4444)));
    assert_eq!((connect.ret, connect.fd, &*connect.protocol), (-115, 3, "unknown"));
    assert_eq!(exit.exit_code, Some(3));
    assert!(events.iter().all(|event| event.common().container.is_none() && event.common().exec_id == Some(1)));
    let processes = recording.processes().unwrap();
    assert_eq!((processes.len(), processes[0].exit_code), (1, Some(3)));
    let derived = recording.manifest().derived.as_ref().unwrap();
    assert!(
        derived.by.contains("auditd") && derived.conditions.iter().any(|note| note.starts_with("not in the source"))
    );
}

#[test]
fn tetragon_says_pod_and_container() {
    let dir = tempfile::tempdir().unwrap();
    let (_, events, recording) = imported(TETRAGON, dir.path());
    assert_eq!(ops(&events), ["exec", "connect", "exit"]);
    let [Event::Process(exec), Event::Network(connect), Event::Process(exit)] = &events[..] else { panic!() };
    let argv: Vec<&str> = exec.argv.as_ref().unwrap().iter().map(|word| &**word).collect();
    assert_eq!(argv, ["/bin/curl", "-H", "a b", "http://203.0.113.7"]);
    assert_eq!(exec.common.container.as_deref(), Some("aa11"));
    assert_eq!((connect.peer_addr.as_deref(), connect.peer_port), (Some("203.0.113.7"), Some(80)));
    assert_eq!((exit.exit_code, exit.exit_signal), (None, Some(9)));
    assert_eq!(recording.manifest().classes, ["process", "network"], "it has no events of files");
    let container = &recording.containers().unwrap()[0];
    assert_eq!((container.pod.as_deref(), container.image.as_deref()), (Some("web-0"), Some("web:1")));
}

#[test]
fn tracee_says_who_forked_whom() {
    let dir = tempfile::tempdir().unwrap();
    let (made, events, recording) = imported(TRACEE, dir.path());
    assert_eq!(ops(&events), ["exec", "fork", "connect"]);
    assert_eq!(made.left_out["magic_write"], 1);
    assert_eq!(events[2].common().exec_id, Some(2));
    assert_eq!(recording.processes().unwrap()[1].parent_exec_id, Some(1));
}

#[test]
fn what_is_no_log_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["", "Rule: a shell was started\n", "type=USER_LOGIN msg=audit(1.000:1): pid=1\n"] {
        let out = dir.path().join("out");
        let error = import(text.as_bytes(), "a.log".as_ref(), None, &out, |_| {}).unwrap_err();
        assert!(matches!(error, Error::Import { .. }) && !out.exists(), "{error}");
    }
}

#[test]
fn a_name_relative_to_an_open_directory_stays_relative() {
    let dir = tempfile::tempdir().unwrap();
    let other = AUDITD.replace("a0=ffffff9c", "a0=5").replace("name=\"/tmp/config.json\"", "name=\"config.json\"");
    let here = AUDITD.replace("name=\"/tmp/config.json\"", "name=\"config.json\"");
    for (log, out, path) in [(other, "other", "config.json"), (here, "here", "/tmp/config.json")] {
        let (_, events, _) = imported(&log, &dir.path().join(out));
        let Event::File(open) = &events[1] else { panic!("{events:#?}") };
        assert_eq!((open.path.as_deref(), open.path_truncated), (Some(path), path != "/tmp/config.json"));
    }
}
