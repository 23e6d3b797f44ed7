//! Plaintext of TLS: `openssl s_server` and `s_client` on loopback, without certificates. They use SSL_read and SSL_write.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use datasets::TlsEvent;
use record_bpf::Kind;
use serde_json::{Value, json};

use super::{Case, Checked, Facts, Rows, Scratch, Stop};
use crate::expect;

pub fn cases() -> Vec<Case> {
    vec![Case::new("tls-openssl", &[Kind::TlsRead, Kind::TlsWrite], exchange, check_exchange)]
}

const REQUEST: &str = "GET /selftest HTTP/1.1\r\nHost: retroscope.test\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\nServer: selftest\r\n\r\n";

/// Anonymous Diffie-Hellman: no certificate to make, and nothing here is secret.
const ANONYMOUS: [&str; 3] = ["-tls1_2", "-cipher", "AECDH:@SECLEVEL=0"];

/// Ends with the trigger, whatever becomes of it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended by itself
        let _ = self.0.wait();
    }
}

fn exchange(_: &Scratch) -> Result<Value, Stop> {
    if Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_err() {
        return Err(Stop::skip("there is no openssl program"));
    }
    let (mut server, mut server_out) = openssl(&["s_server", "-nocert", "-accept", "127.0.0.1:0", "-naccept", "1"])?;
    let said = read_until(&mut server_out, |said| said.find("ACCEPT ").is_some_and(|at| said[at..].contains('\n')))?;
    let address = said.split("ACCEPT ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let (mut client, mut client_out) = openssl(&["s_client", "-quiet", "-connect", address])?;
    write(&mut client, REQUEST)?;
    read_until(&mut server_out, |said| said.contains(REQUEST))?;
    write(&mut server, RESPONSE)?;
    read_until(&mut client_out, |said| said.contains(RESPONSE))?;
    Ok(json!({
        "client": client.0.id(), "client_fd": socket(&client)?,
        "server": server.0.id(), "server_fd": socket(&server)?,
    }))
}

fn openssl(args: &[&str]) -> Result<(Ended, ChildStdout), Stop> {
    let mut command = Command::new("openssl");
    let command = command.args(args).args(ANONYMOUS).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let out = child.stdout.take().expect("it was asked for");
    Ok((Ended(child), out))
}

fn write(child: &mut Ended, text: &str) -> Result<(), Stop> {
    Ok(child.0.stdin.as_mut().expect("it was asked for").write_all(text.as_bytes())?)
}

fn read_until(out: &mut ChildStdout, enough: impl Fn(&str) -> bool) -> Result<String, Stop> {
    let (mut said, mut buffer) = (String::new(), [0; 4096]);
    while !enough(&said) {
        match out.read(&mut buffer)? {
            0 => return Err(Stop::fail(format!("openssl ended after it had said {said:?}"))),
            n => said.push_str(&String::from_utf8_lossy(&buffer[..n])),
        }
    }
    Ok(said)
}

/// The connection's descriptor: of the server's two sockets the later one.
fn socket(child: &Ended) -> Result<i32, Stop> {
    let sockets = fs::read_dir(format!("/proc/{}/fd", child.0.id()))?.flatten().filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        target.to_str()?.starts_with("socket:").then(|| entry.file_name().to_str()?.parse().ok()).flatten()
    });
    sockets.max().ok_or(Stop::fail("openssl has no socket open"))
}

fn check_exchange(rows: &Rows, facts: &Facts) -> Checked {
    for (text, from, to) in [(REQUEST, "client", "server"), (RESPONSE, "server", "client")] {
        for (kind, who) in [(Kind::TlsWrite, from), (Kind::TlsRead, to)] {
            let pid = rows.host_pid(facts.number(who))?;
            let row = rows.one(kind, |row: &TlsEvent| row.data == text.as_bytes() && row.common.pid == pid)?;
            expect!((&*row.library, row.common.tid), ("openssl", pid));
            expect!(row.fd, Some(facts.number(&format!("{who}_fd"))));
            expect!((row.bytes, row.captured as usize, row.truncated), (text.len() as u64, text.len(), false));
            let process = rows.process(row.common.exec_id)?;
            expect!(process.exe.as_deref().is_some_and(|exe| exe.ends_with("/openssl")), true);
            let headers: Vec<&str> = row.http_headers.iter().flatten().map(|header| &**header).collect();
            expect!(row.http_version.as_deref(), Some("1.1"));
            if from == "client" {
                expect!((row.http_method.as_deref(), row.http_path.as_deref()), (Some("GET"), Some("/selftest")));
                expect!((row.http_host.as_deref(), row.http_status), (Some("retroscope.test"), None));
                expect!(headers, vec!["Host: retroscope.test"]);
            } else {
                expect!((row.http_method.as_deref(), row.http_path.as_deref()), (None, None));
                expect!((row.http_host.as_deref(), row.http_status), (None, Some(200)));
                expect!(headers, vec!["Server: selftest"]);
            }
        }
    }
    Ok(())
}
