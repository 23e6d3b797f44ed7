//! Sinks against the programs that people run: Alertmanager, rsyslog, an SMTP server; and findings against OCSF's models.
//! What is not there is said and left out.

mod common;
mod receivers;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{attacked, stderr, stdout};
use receivers::{Running, free_port, get, program, python, unpacked, until};
use serde_json::Value;

/// Replays the attack into one sink; all its alerts must arrive. Returns the raised ones.
fn told(tmp: &Path, sink: &str) -> Vec<Value> {
    let recording = attacked(&tmp.join("rec"));
    let (file, out) = (tmp.join("replay.toml"), tmp.join("out"));
    fs::write(&file, format!("[sinks.it]\n{sink}\n")).unwrap();
    let [recording, file, out_text] = [&recording, &file, &out].map(|path| path.to_str().unwrap());
    let output = common::replay(&[recording, "-o", out_text, "--config", file, "--fail-on-sink"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let text = fs::read_to_string(out.join("alerts.jsonl")).unwrap();
    let alerts = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    alerts.filter(|alert| alert["severity"] != "low").collect()
}

/// It reads its templates from /usr/share. Where it is unpacked alone, it gets a /usr/share of its own that has them.
fn alertmanager(program: &Path) -> Option<Command> {
    if Path::new("/usr/share/prometheus/alertmanager/default.tmpl").exists() {
        return Some(Command::new(program));
    }
    let share = unpacked().join("share").canonicalize().unwrap();
    let mount = format!("mount -t overlay overlay -o lowerdir={}:/usr/share /usr/share", share.display());
    let own = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]);
        command
    };
    if !own(&mount).status().is_ok_and(|status| status.success()) {
        eprintln!(
            "LEFT OUT: Alertmanager is unpacked and not installed, and no /usr/share of its own can be mounted for it"
        );
        return None;
    }
    let mut command = own(&format!("{mount} && exec \"$@\""));
    command.arg(program);
    Some(command)
}

#[test]
fn alertmanager_has_the_alerts() {
    let Some(program) = program("prometheus-alertmanager") else { return };
    let tmp = tempfile::tempdir().unwrap();
    fs::write(tmp.path().join("am.yml"), "route: {receiver: none}\nreceivers: [{name: none}]\n").unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let Some(mut command) = alertmanager(&program) else { return };
    let _running = Running::start(
        command
            .arg("--config.file=am.yml")
            .arg("--storage.path=data")
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .current_dir(&tmp),
    );
    until("Alertmanager answers", || get(&address, "/-/ready"));
    let alerts = told(tmp.path(), &format!("type = 'alertmanager'\nurl = 'http://{address}'"));
    let held = until("Alertmanager has them all", || {
        let held: Value = serde_json::from_str(&get(&address, "/api/v2/alerts")?).ok()?;
        (held.as_array()?.len() == alerts.len()).then_some(held)
    });
    for alert in &alerts {
        let same = |held: &&Value| held["startsAt"] == alert["time"] && held["labels"]["image"] == alert["image"];
        let held = held.as_array().unwrap().iter().find(same).unwrap_or_else(|| panic!("{alert} is not in {held}"));
        assert_eq!(held["labels"]["alertname"], "RetroscopeAlert");
        assert_eq!(held["labels"]["severity"], alert["severity"]);
        assert_eq!(held["labels"]["technique"], alert["technique"]["id"]);
        assert_eq!(held["annotations"]["action"], alert["action"]);
    }
}

/// A private rsyslogd that writes each message as it came; lines as they are in its file.
fn syslog_lines(way: &str) -> Option<(Vec<Value>, Vec<String>)> {
    let program = program("rsyslogd")?;
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().display();
    let port = free_port();
    let socket = tmp.path().join("log.sock");
    let (module, input, url) = match way {
        "udp" => (
            "imudp",
            format!("input(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\")"),
            format!("udp://127.0.0.1:{port}"),
        ),
        "tcp" => (
            "imtcp",
            format!("input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")"),
            format!("tcp://127.0.0.1:{port}"),
        ),
        _ => (
            "imuxsock",
            format!("input(type=\"imuxsock\" Socket=\"{}\" CreatePath=\"on\")", socket.display()),
            format!("unix://{}", socket.display()),
        ),
    };
    let system = if way == "unix" { " SysSock.Use=\"off\"" } else { "" };
    let config = format!(
        "global(workDirectory=\"{dir}\" maxMessageSize=\"64k\" parser.escapeControlCharactersOnReceive=\"off\")\n\
         module(load=\"{module}\"{system})\n{input}\n\
         template(name=\"whole\" type=\"string\" string=\"%pri% %app-name% %msg%\\n\")\n\
         action(type=\"omfile\" file=\"{dir}/got\" template=\"whole\")\n"
    );
    fs::write(tmp.path().join("rsyslog.conf"), config).unwrap();
    let libraries = unpacked().join("lib/x86_64-linux-gnu");
    let mut command = Command::new(program);
    command.args(["-n", "-f"]).arg(tmp.path().join("rsyslog.conf")).arg("-i").arg(tmp.path().join("pid"));
    if libraries.join("rsyslog").is_dir() {
        command.arg("-M").arg(libraries.join("rsyslog")).env("LD_LIBRARY_PATH", &libraries);
    }
    let _running = Running::start(&mut command);
    // Ready when a message of ours comes out at the other end.
    let got = tmp.path().join("got");
    until("rsyslogd writes what it gets", || {
        let target = format!("syslog={url}");
        common::replay(&["sinks", "test", "--sink", &target]);
        fs::read_to_string(&got).ok().filter(|text| text.contains("CEF:0|Retroscope|"))
    });
    let alerts = told(tmp.path(), &format!("type = 'syslog'\nurl = '{url}'"));
    let lines = until("rsyslogd has them all", || {
        let text = fs::read_to_string(&got).ok()?;
        let lines: Vec<String> = text.lines().filter(|line| !line.contains("[TEST")).map(str::to_owned).collect();
        (lines.len() >= alerts.len()).then_some(lines)
    });
    Some((alerts, lines))
}

#[test]
fn rsyslog_writes_a_cef_line_for_each_alert() {
    for way in ["udp", "tcp", "unix"] {
        let Some((alerts, lines)) = syslog_lines(way) else { return };
        assert_eq!(lines.len(), alerts.len(), "{way}: {lines:#?}");
        for (line, alert) in lines.iter().zip(&alerts) {
            let technique = alert["technique"]["id"].as_str().unwrap();
            assert!(
                line.contains(&format!("CEF:0|Retroscope|replay|{}|{technique}|", env!("CARGO_PKG_VERSION"))),
                "{line}"
            );
            assert!(line.contains(" retroscope ") || way == "unix", "{line}");
            let ms = alert["ts"].as_i64().unwrap() / 1_000_000;
            assert!(line.contains(&format!("rt={ms} externalId=")), "{way}: {line}");
            let process = alert["process"].as_str().unwrap();
            assert!(
                line.contains(&format!("cs3={}", process.replace('\\', "\\\\").replace('=', "\\="))),
                "{way}: {line}"
            );
        }
    }
}

const SMTP: &str = r#"
import asyncio, sys
from aiosmtpd.controller import Controller
class Keep:
    def __init__(self): self.n = 0
    async def handle_DATA(self, server, session, envelope):
        self.n += 1
        if self.n == 1:
            return "451 come again"
        with open(sys.argv[2], "ab") as file:
            file.write(b"TO " + ",".join(envelope.rcpt_tos).encode() + b"\r\n" + envelope.content + b"\r\nEND\r\n")
        return "250 kept"
controller = Controller(Keep(), hostname="127.0.0.1", port=int(sys.argv[1]))
controller.start()
asyncio.new_event_loop().run_forever()
"#;

const READ: &str = r#"
import email, email.policy, json, sys
raw = open(sys.argv[1], "rb").read()
mails = []
for part in raw.split(b"\r\nEND\r\n")[:-1]:
    to, _, rest = part.partition(b"\r\n")
    mail = email.message_from_bytes(rest, policy=email.policy.default)
    mails.append({"to": to.decode(), "subject": mail["Subject"], "id": mail["Message-ID"], "text": mail.get_content()})
print(json.dumps(mails))
"#;

#[test]
fn an_smtp_server_keeps_a_mail_for_each_alert() {
    let (Some(mut server), Some(mut reader)) = (python(), python()) else { return };
    let tmp = tempfile::tempdir().unwrap();
    let (port, mails) = (free_port(), tmp.path().join("mails"));
    let _running = Running::start(server.args(["-c", SMTP, &port.to_string()]).arg(&mails));
    until("the SMTP server listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    let sink = format!(
        "type = 'email'\nurl = 'smtp+plain://127.0.0.1:{port}'\nfrom = 'Retroscope <alerts@shop.example>'\n\
         to = ['soc@shop.example', 'Ops <ops@shop.example>']"
    );
    let alerts = told(tmp.path(), &sink);
    let output = reader.args(["-c", READ]).arg(&mails).output().unwrap();
    let mails: Value = serde_json::from_slice(&output.stdout).expect("the mails as JSON");
    let mails = mails.as_array().unwrap();
    assert_eq!(mails.len(), alerts.len(), "the first was refused for a moment, and came again");
    for (mail, alert) in mails.iter().zip(&alerts) {
        assert_eq!(mail["to"], "TO soc@shop.example,ops@shop.example");
        let subject = mail["subject"].as_str().unwrap();
        let severity = alert["severity"].as_str().unwrap().to_uppercase();
        assert!(subject.starts_with(&severity) && subject.ends_with(" in app"), "{subject}");
        let text = mail["text"].as_str().unwrap();
        assert!(text.contains(alert["action"].as_str().unwrap()), "{text}");
        assert!(mail["id"].as_str().unwrap().ends_with("@retroscope.invalid>"), "{mail}");
    }
}

const OCSF: &str = r#"
import json, sys
from py_ocsf_models.events.findings.detection_finding import DetectionFinding
for line in open(sys.argv[1]):
    finding = DetectionFinding(**json.loads(line))
    print(finding.class_uid, finding.type_uid.value, finding.severity_id.value, finding.finding_info.uid, finding.metadata.version)
"#;

#[test]
fn findings_are_what_ocsfs_models_take() {
    let Some(mut python) = python() else { return };
    let tmp = tempfile::tempdir().unwrap();
    let file = tmp.path().join("findings.ndjson");
    let alerts = told(tmp.path(), &format!("type = 'ocsf'\npath = '{}'", file.display()));
    let output = python.args(["-c", OCSF]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert_eq!(text.lines().count(), alerts.len(), "{text}");
    for (line, alert) in text.lines().zip(&alerts) {
        let severity = if alert["severity"] == "critical" {
            5
        } else if alert["severity"] == "high" {
            4
        } else {
            3
        };
        assert!(line.starts_with(&format!("2004 200401 {severity} ")) && line.ends_with(" 1.5.0"), "{line}");
    }
}
