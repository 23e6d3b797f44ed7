//! `enforce xdp` at the host's end of a container's veth pair: run as a user would run it, and heard through its lines of JSON.

use std::fs;
use std::io::{BufRead, BufReader, Read, Seek};
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::nft::Packets;
use crate::overhead::run;

/// For the program to load, to answer and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the program `enforce` is called.
#[derive(Clone, Debug)]
pub struct Call {
    pub program: PathBuf,
    /// New connections to a known peer that pass in a second; None: any number.
    pub max_syn_per_s: Option<u64>,
}

/// A policy in force. It ends when dropped.
#[derive(Debug)]
pub struct Enforcer {
    child: Child,
    lines: Receiver<Value>,
    /// What it says on stderr.
    said: fs::File,
}

impl Enforcer {
    /// Returns once the program is attached.
    ///
    /// # Errors
    /// It cannot be started, or what it said.
    pub fn begin(call: &Call, policy: &Path, interface: &str) -> Result<Enforcer, String> {
        let Call { program, max_syn_per_s } = call;
        let failed = |error: std::io::Error| format!("{}: {error}", program.display());
        let said = tempfile::tempfile().map_err(failed)?;
        let mut command = Command::new(program);
        command.arg("xdp").arg(policy).args(["--interface", interface, "--format", "json"]);
        command.args(max_syn_per_s.iter().flat_map(|n| ["--max-syn-per-s".to_owned(), n.to_string()]));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(said.try_clone().map_err(failed)?);
        // Ctrl-C reaches this program alone, which then ends things in order.
        command.process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        let (send, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            // Ends with the program.
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if serde_json::from_str(&line).is_ok_and(|line| send.send(line).is_err()) {
                        return;
                    }
                }
            });
        }
        let mut enforcer = Enforcer { child, lines, said };
        if enforcer.until("attached").1 {
            return Ok(enforcer);
        }
        Err(format!("{} xdp --interface {interface}: {}", program.display(), enforcer.last_words()))
    }

    /// What was refused since the last call, and whether it goes on: it ends with the container.
    ///
    /// # Errors
    /// It ended for another reason, or does not answer.
    pub fn take_refused(&mut self) -> Result<(Vec<Packets>, bool), String> {
        run::signal(&self.child, libc::SIGUSR1);
        let (lines, goes_on) = self.until("reported");
        if !goes_on && !lines.iter().any(|line| line["event"] == "interface_gone") {
            return Err(self.last_words());
        }
        Ok((lines.iter().filter_map(packets).collect(), goes_on))
    }

    /// The lines before that of an event, and whether it came.
    fn until(&mut self, event: &str) -> (Vec<Value>, bool) {
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line["event"] == event => return (lines, true),
                Ok(line) => lines.push(line),
                Err(_) => return (lines, false),
            }
        }
    }

    fn last_words(&mut self) -> String {
        let mut text = String::new();
        let read = self.said.rewind().and_then(|()| self.said.read_to_string(&mut text));
        let error = text.lines().find_map(|line| line.strip_prefix("error: "));
        match (read, error.or(text.lines().next_back())) {
            (Ok(_), Some(line)) => line.to_owned(),
            _ => "it said nothing".to_owned(),
        }
    }
}

impl Drop for Enforcer {
    fn drop(&mut self) {
        run::interrupt(&self.child);
        // What it printed last stays in the pipe, which has room for it or is read on.
        let _ = run::wait(&mut self.child, Some(PATIENCE));
    }
}

/// A line of the event `refused`.
fn packets(line: &Value) -> Option<Packets> {
    if line["event"] != "refused" {
        return None;
    }
    let inwards = line["answer"].as_bool()?;
    let rule = match line["reason"].as_str()? {
        "too_many_connections" => "--max-syn-per-s: too many new connections",
        "unknown" if inwards => "ingress: no rule lets it answer",
        "unknown" => "egress: no rule has it",
        _ => "not read, or out of order",
    };
    let peer = line["peer"].as_str().and_then(|peer| peer.parse().ok());
    Some(Packets {
        inwards,
        peer: peer.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        protocol: line["protocol"].as_str()?.to_owned(),
        port: line["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0),
        packets: line["packets"].as_u64()?,
        first_ns: line["first_ns"].as_i64()?,
        rule,
    })
}

/// The host's ends of the veth pairs of a container: names of interfaces. `pid`: a process of the container's, with its root.
///
/// # Errors
/// The container shows no interfaces, or the host has none of that number.
pub fn host_ends(pid: u32) -> Result<Vec<String>, String> {
    // sysfs shows the interfaces of the namespace that it was mounted in: the container's own mount.
    let dir = format!("/proc/{pid}/root/sys/class/net");
    let failed = |error: std::io::Error| format!("{dir}: {error}");
    let mut names = Vec::new();
    for interface in fs::read_dir(&dir).map_err(failed)? {
        let path = interface.map_err(failed)?.path();
        let number = |file: &str| fs::read_to_string(path.join(file)).ok()?.trim().parse::<u32>().ok();
        let (Some(own), Some(other)) = (number("ifindex"), number("iflink")) else { continue };
        if own != other {
            names.push(name_of(other).ok_or_else(|| format!("{}: no interface {other} on the host", path.display()))?);
        }
    }
    names.sort();
    if names.is_empty() { Err(format!("{dir}: no interface with another end")) } else { Ok(names) }
}

/// Of an interface of this network namespace.
fn name_of(index: u32) -> Option<String> {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the length that the function asks for.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    let bytes: Vec<u8> = name.iter().take_while(|byte| **byte != 0).map(|byte| byte.cast_unsigned()).collect();
    if found.is_null() { None } else { String::from_utf8(bytes).ok() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_read() {
        let line = json!({ "event": "refused", "peer": "10.9.0.3", "protocol": "udp", "port": 53, "answer": false,
            "reason": "unknown", "packets": 3, "bytes": 300, "first_ns": 1_005, "last_ns": 1_009 });
        let found = packets(&line).unwrap();
        let want = Packets {
            inwards: false,
            peer: "10.9.0.3".parse().unwrap(),
            protocol: "udp".to_owned(),
            port: 53,
            packets: 3,
            first_ns: 1_005,
            rule: "egress: no rule has it",
        };
        assert_eq!(found, want);
        let frame = json!({ "event": "refused", "peer": null, "protocol": "ethertype 0x88cc", "port": null, "answer": false,
            "reason": "unknown", "packets": 1, "bytes": 60, "first_ns": 5, "last_ns": 5 });
        let found = packets(&frame).unwrap();
        assert!(found.peer.is_unspecified() && found.port == 0);
        assert_eq!(packets(&json!({ "event": "policy" })), None);
    }

    #[test]
    fn a_program_that_ends_is_quoted() {
        let why = |program: &str| {
            let call = Call { program: program.into(), max_syn_per_s: None };
            Enforcer::begin(&call, Path::new("/no/such"), "lo").unwrap_err()
        };
        assert!(why("/no/such/enforce").contains("No such file"));
        assert!(why("/bin/false").contains("it said nothing"));
    }

    #[test]
    fn the_hosts_end_is_found_by_number() {
        assert_eq!(name_of(1).as_deref(), Some("lo"));
        assert_eq!(name_of(u32::MAX >> 1), None);
        assert!(host_ends(u32::MAX >> 1).unwrap_err().contains("/root/sys/class/net"));
    }
}
