//! Logs of other tools as recordings. The log of auditd was made by auditd; the other lines were written by hand, not by the tools.

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

const FALCO: &str = r#"{"hostname":"h","output":"a shell","output_fields":{"container.id":"cc33","container.image.repository":"docker.io/web","container.image.tag":"1","container.name":"web","evt.time":1700000000000000000,"evt.type":"execve","k8s.ns.name":"shop","k8s.pod.name":"web-0","proc.cmdline":"sh -c id","proc.exepath":"/usr/bin/dash","proc.name":"sh","proc.pid":70,"proc.ppid":69,"user.uid":0},"priority":"Notice","rule":"Terminal shell in container","source":"syscall","tags":["container"],"time":"2023-11-14T22:13:20.000000000Z"}
{"hostname":"h","output":"a read","output_fields":{"container.id":"cc33","evt.time":1700000000100000000,"evt.type":"openat","fd.name":"/etc/shadow","proc.name":"sh","proc.pid":70},"priority":"Warning","rule":"Read sensitive file untrusted","source":"syscall","time":"2023-11-14T22:13:20.1Z"}
{"hostname":"h","output":"a connection","output_fields":{"container.id":"host","evt.time":1700000000200000000,"evt.type":"connect","fd.l4proto":"tcp","fd.name":"10.0.0.2:4000->203.0.113.7:443","proc.pid":71},"priority":"Notice","rule":"Unexpected outbound","source":"syscall","time":"2023-11-14T22:13:20.2Z"}
{"hostname":"h","output":"no pid","output_fields":{"container.id":"cc33","evt.time":1700000000300000000,"evt.type":"execve","proc.cmdline":"id"},"priority":"Notice","rule":"Another","source":"syscall","time":"2023-11-14T22:13:20.3Z"}
{"hostname":"h","output":"k8s","output_fields":{"ka.verb":"create"},"priority":"Notice","rule":"Pod created","source":"k8s_audit","time":"2023-11-14T22:13:20.4Z"}
"#;

const SYSMON: &str = r#"e="x"/></Event>
Nov 14 22:13:20 h sysmon[9]: <Event><System><Provider Name="Linux-Sysmon" Guid="{ff032593-a8d3-4f13-b0d6-01fc615a0f97}"/><EventID>1</EventID><Version>5</Version><TimeCreated SystemTime="2023-11-14T22:13:20.500000000Z"/><Execution ProcessID="9" ThreadID="9"/><Computer>h</Computer></System><EventData><Data Name="RuleName">-</Data><Data Name="UtcTime">2023-11-14 22:13:20.500</Data><Data Name="ProcessId">80</Data><Data Name="Image">/usr/bin/dash</Data><Data Name="CommandLine">sh -c &quot;a&quot; &amp;&amp; b</Data><Data Name="CurrentDirectory">/srv</Data><Data Name="User">root</Data><Data Name="ParentProcessId">79</Data></EventData></Event>
<Event><System><Provider Name="Linux-Sysmon"/><EventID>11</EventID><TimeCreated SystemTime="2023-11-14T22:13:20.600000000Z"/></System><EventData><Data Name="ProcessId">80</Data><Data Name="Image">/usr/bin/dash</Data><Data Name="TargetFilename">/tmp/x</Data></EventData></Event>
<Event><System><Provider Name="Linux-Sysmon"/><EventID>3</EventID><TimeCreated SystemTime="2023-11-14T22:13:20.700000000Z"/></System><EventData><Data Name="ProcessId">80</Data><Data Name="Protocol">tcp</Data><Data Name="Initiated">false</Data><Data Name="SourceIsIpv6">false</Data><Data Name="SourceIp">10.0.0.9</Data><Data Name="SourcePort">50000</Data><Data Name="DestinationIsIpv6">false</Data><Data Name="DestinationIp">10.0.0.2</Data><Data Name="DestinationPort">22</Data></EventData></Event>
<Event><System><Provider Name="Linux-Sysmon"/><EventID>23</EventID><TimeCreated SystemTime="2023-11-14T22:13:20.800000000Z"/></System><EventData><Data Name="ProcessId">80</Data><Data Name="TargetFilename">/tmp/x</Data></EventData></Event>
<Event><System><Provider Name="Linux-Sysmon"/><EventID>5</EventID><TimeCreated SystemTime="2023-11-14T22:13:20.900000000Z"/></System><EventData><Data Name="ProcessId">80</Data><Data Name="Image">/usr/bin/dash</Data></EventData></Event>
<Event><System><Provider Name="Linux-Sysmon"/><EventID>16</EventID><TimeCreated SystemTime="2023-11-14T22:13:21Z"/></System><EventData><Data Name="Configuration">c</Data></EventData></Event>
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

/// What auditd 3.0.9 wrote (`log_format = ENRICHED`) of a script that a user of its own ran on Debian 12, with rules for execve, execveat,
/// open, openat, openat2, connect, exit_group and unlinkat. No line was changed; those of other users were never recorded.
#[test]
fn a_log_that_auditd_made_is_read_to_its_last_line() {
    let dir = tempfile::tempdir().unwrap();
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import-auditd.log.gz");
    let out = dir.path().join("out");
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_datasets"))
        .args(["import".as_ref(), log.as_os_str(), "-o".as_ref(), out.as_os_str()])
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.contains("120 rows of 485 lines of auditd, 0 malformed"), "{said}");
    assert!(!said.contains("left out"), "{said}");
    let recording = Recording::open(&out).unwrap();
    let events: Vec<Event> = recording.events().map(Result::unwrap).collect();
    let execs = events.iter().filter_map(|event| match event {
        Event::Process(row) if row.common.kind.op() == "exec" => Some(row.argv.clone().unwrap().join(" ")),
        _ => None,
    });
    assert_eq!(
        execs.collect::<Vec<_>>(),
        [
            "/bin/sh /tmp/shop/job.sh",
            "cat a file.txt nothing",
            "cat /etc/shadow",
            "bash -c exec 3<>/dev/tcp/127.0.0.1/9",
            "bash -c exec 3<>/dev/tcp/::1/9",
            "sh -c exit 3",
            "rm a file.txt"
        ]
    );
    let exits = events.iter().filter_map(|event| match event {
        Event::Process(row) if row.common.kind.op() == "exit" => row.exit_code,
        _ => None,
    });
    assert_eq!(exits.collect::<Vec<_>>(), [1, 1, 1, 1, 3, 0, 0]);
    let refused = events
        .iter()
        .any(|event| matches!(event, Event::File(row) if row.path.as_deref() == Some("/etc/shadow") && row.ret == -13));
    assert!(
        refused
            && events
                .iter()
                .any(|event| matches!(event, Event::File(row) if row.path.as_deref() == Some("/tmp/shop/a file.txt")))
    );
    let gone = events.iter().find_map(|event| match event {
        Event::File(row) if row.common.kind.op() == "unlink" => row.path.as_deref(),
        _ => None,
    });
    assert_eq!(gone, Some("/tmp/shop/a file.txt"));
    let peers = events.iter().filter_map(|event| match event {
        Event::Network(row) => row.peer_addr.as_deref().map(|peer| (peer.to_owned(), row.peer_port, row.ret)),
        _ => None,
    });
    let refused = -111;
    assert_eq!(
        peers.collect::<Vec<_>>(),
        [("127.0.0.1".to_owned(), Some(9), refused), ("::1".to_owned(), Some(9), refused)]
    );
}

#[test]
fn of_falcos_alerts_those_that_name_process_and_call_are_rows() {
    let dir = tempfile::tempdir().unwrap();
    let (made, events, recording) = imported(FALCO, dir.path());
    assert_eq!((made.format, made.malformed), (Format::Falco, 0));
    assert_eq!(ops(&events), ["exec", "open", "connect"]);
    let left: Vec<(&str, u64)> = made.left_out.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    assert_eq!(left, [("alert of source k8s_audit", 1), ("alert without proc.pid", 1)]);
    let Event::Network(row) = &events[2] else { panic!("{events:#?}") };
    assert_eq!((row.peer_addr.as_deref(), row.peer_port, row.local_port), (Some("203.0.113.7"), Some(443), Some(4000)));
    assert_eq!(row.common.container, None, "host is no container");
    let container = &recording.containers().unwrap()[0];
    assert_eq!((container.pod.as_deref(), container.image.as_deref()), (Some("web-0"), Some("docker.io/web:1")));
}

#[test]
fn sysmons_events_are_read_behind_what_syslog_puts_before_them_and_after_a_cut_line() {
    let dir = tempfile::tempdir().unwrap();
    let (made, events, _) = imported(SYSMON, dir.path());
    assert_eq!((made.format, made.lines, made.malformed, made.named[0].0), (Format::Sysmon, 7, 1, 1));
    assert_eq!(ops(&events), ["exec", "open", "accept", "unlink", "exit"]);
    assert_eq!(made.left_out["event 16 without ProcessId"], 1);
    let Event::Process(exec) = &events[0] else { panic!("{events:#?}") };
    assert_eq!(exec.argv.as_ref().unwrap().join(" "), "sh -c \"a\" && b");
    let Event::Network(row) = &events[2] else { panic!("{events:#?}") };
    assert_eq!((row.peer_addr.as_deref(), row.local_port), (Some("10.0.0.9"), Some(22)));
}
