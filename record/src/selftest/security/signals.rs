//! Signals from one process to another.

use record_bpf::Kind;
use serde_json::{Value, json};

use super::{Case, Checked, Facts, Rows, Scratch, Stop, at, call, one};
use crate::expect;
use crate::selftest::sys;

pub fn cases() -> Vec<Case> {
    vec![Case::new("kill", &[Kind::Kill], kill, check_kill)]
}

/// A child that blocks every signal and waits; it leads a process group of its own. Killed and waited for when dropped.
pub struct Waiting {
    pub pid: i32,
}

impl Waiting {
    pub fn start() -> Result<Waiting, Stop> {
        let mut pipe = [0; 2];
        // SAFETY: `pipe` is valid; a trigger has one thread, so that the child may do anything.
        let pid = unsafe {
            sys::call("pipe", libc::pipe(pipe.as_mut_ptr()))?;
            sys::call("fork", libc::fork())?
        };
        if pid == 0 {
            // SAFETY: all of it on memory of this function; the child never leaves it.
            unsafe {
                let mut all = std::mem::zeroed();
                libc::sigfillset(&raw mut all);
                libc::sigprocmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
                libc::setpgid(0, 0);
                libc::write(pipe[1], c".".as_ptr().cast(), 1);
                loop {
                    libc::pause();
                }
            }
        }
        let mut byte = [0u8];
        // SAFETY: the buffer has a byte; the descriptors are this function's.
        unsafe {
            sys::call("read", libc::read(pipe[0], byte.as_mut_ptr().cast(), 1))?;
            libc::close(pipe[0]);
            libc::close(pipe[1]);
        }
        Ok(Waiting { pid })
    }

    pub fn arg(&self) -> u64 {
        super::int(self.pid)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // SAFETY: the child is ours and waited for once.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

/// The start of a siginfo: signal, errno, code, and padding to 128 bytes.
fn siginfo(signal: i32) -> [i32; 32] {
    let mut info = [0; 32];
    (info[0], info[2]) = (signal, libc::SI_QUEUE);
    info
}

fn kill(_: &Scratch) -> Result<Value, Stop> {
    let child = Waiting::start()?;
    let pid = child.arg();
    let pidfd = call(libc::SYS_pidfd_open, [pid, 0]);
    let nobody = sys::fork_ok(|| Ok(()))?; // reaped: no such process any more
    // Neither is a signal to another process.
    call(libc::SYS_kill, [pid, 0]);
    call(libc::SYS_kill, [u64::from(sys::pid()), libc::SIGCHLD as u64]);
    let sent = [
        ("kill", call(libc::SYS_kill, [pid, 10])),
        ("kill group", call(libc::SYS_kill, [super::int(-child.pid), 12])),
        ("tkill", call(libc::SYS_tkill, [pid, 14])),
        ("tgkill", call(libc::SYS_tgkill, [pid, pid, 15])),
        ("rt_sigqueueinfo", call(libc::SYS_rt_sigqueueinfo, [pid, 40, at(&siginfo(40))])),
        ("rt_tgsigqueueinfo", call(libc::SYS_rt_tgsigqueueinfo, [pid, pid, 41, at(&siginfo(41))])),
        ("pidfd_send_signal", call(libc::SYS_pidfd_send_signal, [pidfd as u64, 42, 0, 0])),
        ("pidfd_send_signal with info", call(libc::SYS_pidfd_send_signal, [pidfd as u64, 43, at(&siginfo(43)), 0])),
    ];
    if let Some((what, ret)) = sent.iter().find(|(_, ret)| *ret != 0) {
        return Err(Stop::fail(format!("{what} returned {ret}")));
    }
    let refused = call(libc::SYS_kill, [u64::from(nobody), 44]);
    Ok(json!({ "pid": sys::pid(), "child": child.pid, "refused": refused }))
}

fn check_kill(rows: &Rows, facts: &Facts) -> Checked {
    let child = rows.host_pid(facts.number("child"))?;
    for signal in [10, 12, 14, 15, 40, 41, 42, 43, libc::SIGKILL] {
        let row = one(rows, Kind::Kill, |row| row.signal == Some(signal))?;
        expect!((row.ret, row.target_pid), (0, Some(child)));
        expect!(row.target_container, row.common.container);
        expect!(row.common.pid, rows.host_pid(facts.number("pid"))?);
    }
    let row = one(rows, Kind::Kill, |row| row.signal == Some(44))?;
    expect!((row.ret, row.target_pid), (facts.number("refused"), None));
    expect!(row.ret, -libc::ESRCH);
    expect!(rows.all(Kind::Kill, |_: &datasets::SecurityEvent| true).len(), 10);
    Ok(())
}
