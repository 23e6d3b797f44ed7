//! podman, asked by a process that keeps the recorder's first privileges when the recorder itself has dropped them.
//!
//! All it can be told is the id of a container, in hex.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::podman::Podman;

/// One line of JSON for each id. Strings in JSON have no raw newlines, so those of its layout can go.
const LOOP: &str = r#"while read -r id; do "$@" container inspect "$id" 2>/dev/null | tr -d '\n'; echo; done"#;

pub struct Helper {
    child: Child,
    ids: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Helper {
    /// To be called before privileges are dropped.
    pub fn start(podman: &Podman) -> io::Result<Helper> {
        let asked = podman.command();
        let mut command = Command::new("sh");
        command.args(["-c", LOOP, "sh"]).arg(asked.get_program()).args(asked.get_args());
        command.envs(asked.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Ctrl-C is for the recorder, which may still have questions then.
        let mut child = command.process_group(0).spawn()?;
        let (ids, answers) = (child.stdin.take(), child.stdout.take());
        let answers = answers.ok_or_else(|| io::Error::other("no pipe from the helper"))?;
        Ok(Helper { child, ids, answers: BufReader::new(answers) })
    }

    /// What `podman container inspect` says; None if it says nothing.
    pub fn inspect(&mut self, id: &str) -> Option<String> {
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        writeln!(self.ids.as_mut()?, "{id}").ok()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).ok()?;
        Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.ids = None; // it ends when it reads the end
        let _ = self.child.wait();
    }
}
