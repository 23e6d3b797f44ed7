//! The security class where it takes more than one process of ours: containers, seccomp. Each kind by itself is a case of
//! `record selftest`, which tests/selftest.rs runs.

mod common;

use std::process::{Child, Command};

use common::podman::{Image, finish, podman, start};
use common::{Recorded, can_record, one, python, record_with};
use datasets::{Event, SecurityEvent, SyscallEvent};
use record_bpf::Kind;

/// Sends a signal, or waits for one, or runs a copy of itself.
const PROBE: &str = r#"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
	static char code[4 << 20];
	int from, to;
	long n;
	if (!strcmp(argv[1], "kill"))
		return kill(atoi(argv[2]), atoi(argv[3]));
	if (!strcmp(argv[1], "wait"))
		sleep(60);
	if (!strcmp(argv[1], "copy")) {
		from = open("/probe", O_RDONLY);
		to = open("/tmp/copy", O_CREAT | O_WRONLY, 0755);
		n = read(from, code, sizeof(code));
		if (write(to, code, n) != n || close(to))
			return 1;
		execl("/tmp/copy", "copied", "end", NULL);
	}
	return 0;
}
"#;

fn security(recorded: &Recorded, kind: Kind) -> Vec<&SecurityEvent> {
    let rows = recorded.events.iter().filter_map(|event| match event {
        Event::Security(row) if row.common.kind == kind => Some(row),
        _ => None,
    });
    rows.collect()
}

/// A process outside containers, ended when dropped.
struct Outside(Child);

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_signal_out_of_a_container_tells_whom_it_reached() {
    let Some(podman) = podman("a_signal_out_of_a_container_tells_whom_it_reached") else { return };
    let image = Image::build(podman, "retroscope-test-security", PROBE);
    let outside = Outside(Command::new("sleep").arg("60").spawn().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let child = start(dir.path(), &["--events", "process,security", "--container", "retroscope-test-killer-*"]);

    let pid = outside.0.id().to_string();
    image.run("retroscope-test-killer-1", &["--pid=host"], &["kill", &pid, "18"]);
    let podman = scenarios::podman_env().unwrap();
    let run = |args: &[&str]| {
        let output = podman.command().args(args).output().unwrap();
        assert!(output.status.success(), "podman {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let name = "retroscope-test-neighbour";
    let neighbour = run(&["run", "-d", "--rm", "--network=none", "--name", name, image.name(), "/probe", "wait"]);
    let neighbour_pid = run(&["inspect", "--format", "{{.State.Pid}}", name]);
    image.run("retroscope-test-killer-2", &["--pid=host"], &["kill", &neighbour_pid, "23"]);
    run(&["rm", "-f", "-t", "0", name]);

    let recorded = finish(child, dir);
    let kill = |signal| one(security(&recorded, Kind::Kill).into_iter().filter(|r| r.signal == Some(signal)).collect());
    let (host, across) = (kill(18), kill(23));
    assert_eq!((host.ret, host.target_pid), (0, Some(outside.0.id())));
    assert_eq!(host.target_container, None, "outside containers");
    assert_eq!((across.ret, across.target_pid), (0, neighbour_pid.parse().ok()));
    assert_eq!(across.target_container.as_deref(), Some(&*neighbour));
    assert!(across.common.container.is_some() && across.common.container != across.target_container);
    // The neighbour is named, and nothing else of it is recorded.
    assert!(recorded.events.iter().all(|event| event.common().container.as_deref() != Some(&*neighbour)));
}

#[test]
fn a_program_written_in_a_container_is_told_from_the_images() {
    let Some(podman) = podman("a_program_written_in_a_container_is_told_from_the_images") else { return };
    let driver = podman.command().args(["info", "--format", "{{.Store.GraphDriverName}}"]).output().unwrap();
    if driver.stdout.trim_ascii() != b"overlay" {
        eprintln!("\n*** SKIPPED: podman stores containers without an overlayfs ***\n");
        return;
    }
    let image = Image::build(podman, "retroscope-test-layers", PROBE);
    let dir = tempfile::tempdir().unwrap();
    let child = start(dir.path(), &["--events", "process", "--container", "retroscope-test-layers"]);
    image.run("retroscope-test-layers", &[], &["copy"]);
    let recorded = finish(child, dir);
    let exec = |exe: &str| one(recorded.process(Kind::Exec).filter(|r| r.exe.as_deref() == Some(exe)).collect());
    assert_eq!(exec("/probe").exe_upper, Some(false));
    let copied = exec("/tmp/copy");
    assert_eq!(copied.exe_upper, Some(true));
    // Namespaces of its own, but not of users; few capabilities.
    let own = |name: &str| std::fs::metadata(format!("/proc/self/ns/{name}")).map(|m| inode(&m)).ok();
    assert!(copied.pid_ns != own("pid") && copied.mnt_ns != own("mnt") && copied.net_ns != own("net"));
    assert_eq!(copied.user_ns, own("user"));
    assert_eq!(copied.caps_effective.map(|caps| caps & (1 << 21)), Some(0), "no CAP_SYS_ADMIN");
}

fn inode(meta: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt;
    u32::try_from(meta.ino()).unwrap()
}

/// A filter that refuses memfd_create with EPERM, and then that call.
const SECCOMP: &str = "
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
code = b''.join(struct.pack('=HBBI', *i) for i in [(0x20, 0, 0, 0), (0x15, 0, 1, 319), (6, 0, 0, 0x50001), (6, 0, 0, 0x7fff0000)])
class Program(ctypes.Structure): _fields_ = [('len', ctypes.c_ushort), ('filter', ctypes.c_char_p)]
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(4, code)), 0, 0) == 0
assert libc.memfd_create(b'forbidden', 0) == -1 and ctypes.get_errno() == 1
";

#[test]
fn what_seccomp_refuses_is_recorded_with_its_error() {
    if !can_record("what_seccomp_refuses_is_recorded_with_its_error") {
        return;
    }
    let run = record_with(&["--events", "process,security,syscall"], &[&python(), "-I", "-S", "-c", SECCOMP]);
    let refused = one(security(&run, Kind::MemfdCreate));
    assert_eq!((refused.ret, refused.name.as_deref()), (-1, Some("forbidden")));
    assert_eq!(refused.text_from_user, Some(true), "there is no file to ask");
    let is_call = |event: &&Event| matches!(event, Event::Syscall(SyscallEvent { nr: Some(319), .. }));
    let Event::Syscall(call) = one(run.events.iter().filter(is_call).collect()) else { unreachable!() };
    assert_eq!((call.ret, call.duration), (Some(-1), None), "it was never entered");
}
