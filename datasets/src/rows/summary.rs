//! An event in a line.

use std::fmt::{Display, Write as _};

use record_bpf::Kind;

use crate::model::{
    DnsEvent, Event, FileEvent, FlowEvent, NetworkEvent, ProcessEvent, ResourceEvent, SecurityEvent, SyscallEvent,
    TlsEvent,
};
use crate::tree::quoted;

/// What an event did, without who did it and when: one line of printable text.
pub fn summary(event: &Event) -> String {
    let mut line = Line::default();
    match event {
        Event::Process(event) => process(&mut line, event),
        Event::Security(event) => security(&mut line, event),
        Event::File(event) => file(&mut line, event),
        Event::Network(event) => network(&mut line, event),
        Event::Dns(event) => dns(&mut line, event),
        Event::Tls(event) => tls(&mut line, event),
        Event::Flow(event) => flow(&mut line, event),
        Event::Syscall(event) => syscall(&mut line, event),
        Event::Resource(event) => resource(&mut line, event),
    }
    line.0
}

#[derive(Default)]
struct Line(String);

impl Line {
    fn say(&mut self, word: impl Display) -> &mut Line {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{word}");
        self
    }

    fn text(&mut self, text: Option<impl AsRef<str>>) -> &mut Line {
        match text {
            Some(text) => self.say(quoted(text.as_ref())),
            None => self,
        }
    }

    fn named(&mut self, name: &str, value: Option<impl Display>) -> &mut Line {
        match value {
            Some(value) => self.say(format_args!("{name}={value}")),
            None => self,
        }
    }

    /// Nothing of a call that succeeded.
    fn failed(&mut self, ret: i64) -> &mut Line {
        if ret < 0 { self.say(format_args!("= {ret}")) } else { self }
    }
}

fn process(line: &mut Line, event: &ProcessEvent) {
    match event.common.kind {
        Kind::Fork => {
            line.named("child", event.child_pid);
        }
        Kind::Exec => match &event.argv {
            Some(argv) if !argv.is_empty() => argv.iter().for_each(|arg| {
                line.text(Some(arg));
            }),
            _ => {
                line.text(event.exe.as_ref());
            }
        },
        _ => {
            line.named("code", event.exit_code).named("signal", event.exit_signal);
        }
    }
}

fn security(line: &mut Line, event: &SecurityEvent) {
    line.text(event.request.as_ref()).text(event.source.as_ref()).text(event.path.as_ref()).text(event.name.as_ref());
    line.named("type", event.fs_type.as_ref()).named("target", event.target_pid).named("signal", event.signal);
    line.named("euid", event.euid).named("length", event.length).failed(event.ret.into());
}

fn file(line: &mut Line, event: &FileEvent) {
    line.text(event.path.as_ref());
    if let Some(new) = &event.new_path {
        line.say("->").text(Some(new));
    }
    if event.common.kind == Kind::Chmod {
        line.named("mode", event.mode.map(|mode| format!("{:o}", mode & 0o7777)));
    }
    if event.common.kind == Kind::Chown {
        line.named("uid", event.uid).named("gid", event.gid);
    }
    line.named("read", event.bytes_read.filter(|n| *n > 0)).named("written", event.bytes_written.filter(|n| *n > 0));
    line.text(event.attribute.as_ref()).failed(event.ret.into());
}

/// Address and port as people write them.
pub(crate) fn endpoint(address: Option<&str>, port: Option<u16>) -> Option<String> {
    let address = address?;
    Some(match port {
        Some(port) if address.contains(':') => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
        None => address.to_owned(),
    })
}

fn network(line: &mut Line, event: &NetworkEvent) {
    line.say(&event.protocol);
    let local = endpoint(event.local_addr.as_deref(), event.local_port);
    let peer = endpoint(event.peer_addr.as_deref(), event.peer_port);
    line.text(local);
    if let Some(peer) = peer {
        line.say("->").text(Some(peer));
    }
    line.text(event.unix_path.as_ref());
    if let (Some(old), Some(state)) = (&event.old_state, &event.state) {
        line.say(format_args!("{old} => {state}"));
    }
    line.named("received", event.bytes_received.filter(|n| *n > 0)).named("sent", event.bytes_sent.filter(|n| *n > 0));
    line.failed(event.ret.into());
}

fn dns(line: &mut Line, event: &DnsEvent) {
    line.say(&event.direction).text(event.question.as_ref()).text(event.qtype.as_ref()).text(event.rcode.as_ref());
    for answer in event.answers.iter().flatten() {
        line.say(";").text(Some(answer));
    }
}

fn tls(line: &mut Line, event: &TlsEvent) {
    line.text(event.http_method.as_ref()).text(event.http_host.as_ref()).text(event.http_path.as_ref());
    line.named("status", event.http_status).named("bytes", Some(event.bytes));
}

fn flow(line: &mut Line, event: &FlowEvent) {
    line.text(Some(&event.interface)).say(&event.direction).text(event.protocol.as_ref());
    line.text(endpoint(event.src_addr.as_deref(), event.src_port));
    if let Some(destination) = endpoint(event.dst_addr.as_deref(), event.dst_port) {
        line.say("->").text(Some(destination));
    }
    line.named("packets", Some(event.packets)).named("bytes", Some(event.bytes));
}

fn syscall(line: &mut Line, event: &SyscallEvent) {
    match (&event.calls, &event.name, event.nr) {
        (Some(calls), ..) => {
            calls.iter().for_each(|call| {
                line.say(call);
            });
        }
        (None, Some(name), _) => {
            let arguments = [event.a0, event.a1, event.a2, event.a3, event.a4, event.a5];
            let arguments: Vec<String> = arguments.iter().flatten().map(|value| format!("{value:#x}")).collect();
            line.say(format_args!("{name}({})", arguments.join(", ")));
        }
        (None, None, nr) => {
            line.named("nr", nr);
        }
    }
    if let Some(ret) = event.ret {
        line.say(format_args!("= {ret}"));
    }
}

fn resource(line: &mut Line, event: &ResourceEvent) {
    let ms = |ns: Option<u64>| ns.map(|ns| format!("{} ms", ns / 1_000_000));
    line.named("cpu", ms(event.cpu_total)).named("memory", event.memory).named("processes", event.processes);
}
