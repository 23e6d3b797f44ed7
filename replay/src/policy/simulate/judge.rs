//! Whether the policies of one image would have refused an event: decided with the rules that the files are written from.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use datasets::{Common, Event, FileEvent, NetworkEvent, ProcessEvent, SecurityEvent, SyscallEvent};
use record_bpf::Kind;

use crate::args::path::mask_path;
use crate::config::Config;
use crate::error::Error;
use crate::observe::{Context, Domains, Far, ServicePort, far};
use crate::policy::account::Account;
use crate::policy::allowed::Allowed;
use crate::policy::guards::GUARDS;
use crate::policy::net::Who;
use crate::policy::net_rules::{self, Dialect, Peer};
use crate::policy::{Format, apparmor, seccomp, tc};
use crate::profile::calls::guarded;

const O_ACCMODE: u32 = 0o3;
const O_WRONLY: u32 = 0o1;
const O_PATH: u32 = 0o10_000_000;
/// connect(2) of what reached nobody.
const EAGAIN: i32 = -11;
const EBADF: i32 = -9;
const EINVAL: i32 = -22;
const EAFNOSUPPORT: i32 = -97;

/// What a policy says of an event that it has a say in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub format: Format,
    /// None: it lets it pass.
    pub refused: Option<Refusal>,
}

/// What is refused, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What happened; values in names are masked, so that equal things are one.
    pub what: String,
    pub rule: String,
}

/// The policies of one image.
pub struct Judge {
    seccomp: Result<seccomp::Rules, Error>,
    apparmor: apparmor::Rules,
    network: [(Format, net_rules::Rules); 3],
    shape: tc::Shape,
    /// Ports from it on are nobody's service.
    ephemeral_from: u16,
    /// Paths that were judged, by permissions.
    known: HashMap<(Arc<str>, u8), bool>,
}

/// What has to be remembered of one recording.
#[derive(Default)]
pub struct Past {
    pub domains: Domains,
    /// Who began an exchange of datagrams: (container, own port, peer, peer's port) of what was sent, and of what was received first.
    sent: HashSet<Exchange>,
    received: HashSet<Exchange>,
    /// What is left to a container of each class's bytes.
    left: HashMap<(Option<Arc<str>>, Option<usize>), Left>,
}

/// Bytes of a bucket, and when it had them; Unix time, ns.
struct Left {
    bytes: f64,
    at: i64,
}

type Exchange = (Option<Arc<str>>, Option<u16>, Arc<str>, Option<u16>);

/// ns
const MINUTE: f64 = 60e9;
/// Paths remembered before the memory is emptied.
const KNOWN: usize = 100_000;

impl Judge {
    pub fn new(allowed: &Allowed<'_>, config: &Config) -> Judge {
        let account = &mut Account::default();
        let network = [
            (Format::NetworkPolicy, Dialect::NetworkPolicy),
            (Format::Cilium, Dialect::Cilium),
            (Format::Nftables, Dialect::Nftables),
        ];
        Judge {
            seccomp: seccomp::rules(allowed, account),
            apparmor: apparmor::rules(allowed, account),
            network: network.map(|(format, dialect)| (format, net_rules::rules(allowed, dialect, config, account))),
            shape: tc::Shape::of(allowed, config, account),
            ephemeral_from: config.network.ephemeral_from,
            known: HashMap::new(),
        }
    }

    /// Why there is no policy of a format.
    pub fn missing(&self, format: Format) -> Option<String> {
        self.seccomp.as_ref().err().filter(|_| format == Format::Seccomp).map(ToString::to_string)
    }

    /// What each policy says that has a say in the event; in order of formats.
    pub fn judge(&mut self, event: &Event, past: &mut Past, context: &Context<'_>) -> Vec<Verdict> {
        match event {
            Event::Process(event) => self.exec(event, context),
            Event::File(event) => self.file(event),
            Event::Network(event) => self.network(event, past, context),
            Event::Security(event) => self.security(event),
            Event::Syscall(event) => self.calls(event),
            _ => Vec::new(),
        }
    }

    fn exec(&mut self, event: &ProcessEvent, context: &Context<'_>) -> Vec<Verdict> {
        if event.common.kind != Kind::Exec {
            return Vec::new();
        }
        let exe = event.exe.clone().unwrap_or_else(|| context.processes.exe(event.common.exec_id));
        // The kernel asks of the script first, and then of its interpreter.
        let files = [event.script.clone(), Some(exe)];
        let refused = files.into_iter().flatten().find(|path| !self.may(path, apparmor::EXECUTE));
        let refused = refused.map(|path| Refusal {
            what: format!("execute {}", mask_path(&path)),
            rule: format!("no rule lets {} be executed", mask_path(&path)),
        });
        vec![Verdict { format: Format::Apparmor, refused }]
    }

    fn file(&mut self, event: &FileEvent) -> Vec<Verdict> {
        let flags = event.flags.unwrap_or(0);
        let (verb, permissions) = match event.common.kind {
            _ if event.ret < 0 => return Vec::new(),
            Kind::Close | Kind::Read | Kind::Write => return Vec::new(),
            Kind::Open if flags & O_PATH != 0 => return Vec::new(),
            Kind::Open => match flags & O_ACCMODE {
                0 => ("read", apparmor::READ),
                O_WRONLY => ("write", apparmor::WRITE),
                _ => ("read and write", apparmor::READ | apparmor::WRITE),
            },
            kind => (kind.op(), apparmor::WRITE),
        };
        // A name from the caller's memory may be relative, and of a link the first path is its text or another's file.
        let paths = [event.path.as_ref().filter(|_| event.common.kind != Kind::Symlink), event.new_path.as_ref()];
        let named: Vec<&Arc<str>> = paths.into_iter().flatten().filter(|path| path.starts_with('/')).collect();
        if named.is_empty() {
            return Vec::new();
        }
        let refused = named.into_iter().find(|path| !self.may(path, permissions));
        let refused = refused.map(|path| Refusal {
            what: format!("{verb} {}", mask_path(path)),
            rule: format!("no rule lets {} be used so", mask_path(path)),
        });
        vec![Verdict { format: Format::Apparmor, refused }]
    }

    fn may(&mut self, path: &Arc<str>, permissions: u8) -> bool {
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        let rules = &self.apparmor;
        *self.known.entry((Arc::clone(path), permissions)).or_insert_with(|| rules.allows(path, permissions))
    }

    fn security(&self, event: &SecurityEvent) -> Vec<Verdict> {
        // What failed by itself no policy has stopped.
        if event.ret < 0 {
            return Vec::new();
        }
        let name = guarded(event);
        let mut verdicts = Vec::new();
        let request = event.request.as_deref().filter(|request| *request != name);
        let what = request.map_or_else(|| name.to_owned(), |request| format!("{name} {request}"));
        if let Ok(rules) = &self.seccomp
            && GUARDS.iter().any(|(guard, _)| *guard == name)
        {
            let refused = rules.refuses_guarded(name);
            verdicts.push(Verdict {
                format: Format::Seccomp,
                refused: refused.map(|rule| Refusal { what: what.clone(), rule }),
            });
        }
        if apparmor::mediates(name) {
            let refused = self.apparmor.refuses_guarded(name);
            let rule = format!("no rule for {name}");
            verdicts.push(Verdict { format: Format::Apparmor, refused: refused.then_some(Refusal { what, rule }) });
        }
        verdicts
    }

    fn calls(&self, event: &SyscallEvent) -> Vec<Verdict> {
        let Ok(rules) = &self.seccomp else { return Vec::new() };
        if rules.allowed.is_none() {
            return Vec::new();
        }
        let names = event.name.iter().chain(event.calls.iter().flatten());
        let refused: Vec<&str> = names.map(|name| &**name).filter(|name| rules.refuses_call(name).is_some()).collect();
        let refused = (!refused.is_empty()).then(|| {
            let what = refused.join(", ");
            Refusal { rule: format!("defaultAction: not in the list: {what}"), what }
        });
        vec![Verdict { format: Format::Seccomp, refused }]
    }

    fn network(&self, event: &NetworkEvent, past: &mut Past, context: &Context<'_>) -> Vec<Verdict> {
        if !matches!(&*event.family, "inet" | "inet6") {
            return Vec::new();
        }
        let mut verdicts = Vec::new();
        if event.common.kind == Kind::Socket && event.ret >= 0 {
            let kind = event.socket_type.as_deref().unwrap_or_default();
            if let Some(index) = apparmor::KINDS.iter().position(|known| *known == kind) {
                let refused = (!self.apparmor.sockets[index]).then(|| Refusal {
                    what: format!("socket {} {kind}", event.family),
                    rule: format!("no rule network {} {kind}", event.family),
                });
                verdicts.push(Verdict { format: Format::Apparmor, refused });
            }
        }
        verdicts.extend(self.sent(event, past, context));
        let Some((inwards, port)) = past.begins(event) else { return verdicts };
        let Some(peer) = past.peer(event, context) else { return verdicts };
        let named = peer.named();
        let (verb, chain) = if inwards { ("accept from", "ingress") } else { ("connect to", "egress") };
        for (format, rules) in &self.network {
            let spoken = matches!(&*event.protocol, "tcp" | "udp" | "sctp") || *format == Format::Nftables;
            if spoken {
                let allowed = rules.allows(inwards, &peer, &event.protocol, port);
                let refused = (!allowed).then(|| Refusal {
                    what: format!("{verb} {} {named} port {port}", event.protocol),
                    rule: format!("no {chain} rule for {} port {port} of {named}", event.protocol),
                });
                verdicts.push(Verdict { format: *format, refused });
            }
        }
        verdicts
    }

    /// Whether the bytes that a closed connection sent had been there for its class: all at once, for nothing says when they went.
    fn sent(&self, event: &NetworkEvent, past: &mut Past, context: &Context<'_>) -> Option<Verdict> {
        let bytes = event.bytes_sent.filter(|bytes| *bytes > 0 && event.common.kind == Kind::NetClose)?;
        let Far { port, .. } = far(event, context, &past.domains)?;
        let (inwards, port) = match port {
            ServicePort::Theirs(port) => (false, port),
            ServicePort::Ours(port) => (true, port),
            ServicePort::Ephemeral => (false, self.ephemeral_from),
        };
        let peer = past.peer(event, context)?;
        let class = self.shape.class_of(inwards, &peer, &event.protocol, port);
        let (limit, named) = (self.shape.bytes(class), peer.named());
        let beyond = past.pour((event.common.container.clone(), class), limit, bytes, event.common.ts);
        let refused = beyond.then(|| Refusal {
            what: format!("send more than a minute's bytes to {named}, {} port {port}", event.protocol),
            rule: format!("{}: {limit} bytes of a minute", self.shape.name(class)),
        });
        Some(Verdict { format: Format::Tc, refused })
    }
}

impl Past {
    /// Who an event's peer is; None of loopback, which no policy restrains, and of multicast, which is left undecided.
    fn peer(&self, event: &NetworkEvent, context: &Context<'_>) -> Option<Peer<'_>> {
        let address = event.peer_addr.as_deref()?;
        let parsed: IpAddr = address.parse().ok()?;
        let Common { ts, container, exec_id, .. } = &event.common;
        let (step, _) = context.peers.step(address, *ts, || None);
        let who = Who::of_step(&step);
        if matches!(who, Who::Loopback | Who::Own) {
            return None;
        }
        let domain = container.as_ref().and_then(|container| self.domains.name(container, *exec_id, address));
        Some(Peer { address: parsed.to_canonical(), who, domain: domain.map(|domain| &**domain) })
    }

    /// Takes bytes out of a bucket of `limit`, which is filled within a minute. Whether it had fewer.
    fn pour(&mut self, bucket: (Option<Arc<str>>, Option<usize>), limit: u64, bytes: u64, ts: i64) -> bool {
        let (limit, bytes) = (limit as f64, bytes as f64);
        let left = self.left.entry(bucket).or_insert(Left { bytes: limit, at: ts });
        let filled = limit * (ts - left.at).max(0) as f64 / MINUTE;
        let there = (left.bytes + filled).min(limit);
        *left = Left { bytes: (there - bytes).max(0.0), at: ts.max(left.at) };
        bytes > there
    }

    /// Whether an event begins an exchange with a peer: inwards or not, and the service's port. Answers pass any policy.
    fn begins(&mut self, event: &NetworkEvent) -> Option<(bool, u16)> {
        let tcp = &*event.protocol == "tcp";
        match event.common.kind {
            // connect(2) on a datagram socket sends nothing.
            Kind::Connect if tcp && !matches!(event.ret, EAGAIN | EBADF | EINVAL | EAFNOSUPPORT) => {
                Some((false, event.peer_port?))
            }
            Kind::Accept if event.ret >= 0 => Some((true, event.local_port?)),
            Kind::Peer => {
                let exchange: Exchange =
                    (event.common.container.clone(), event.local_port, event.peer_addr.clone()?, event.peer_port);
                if event.direction.as_deref() == Some("received") {
                    let answer = self.sent.contains(&exchange);
                    let first = self.received.insert(exchange) && !answer;
                    first.then_some((true, event.local_port.unwrap_or(0)))
                } else {
                    let answer = self.received.contains(&exchange);
                    let first = self.sent.insert(exchange) && !answer;
                    first.then_some((false, event.peer_port.unwrap_or(0)))
                }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::allowed::tests::entry;
    use crate::profile::Calls;

    #[test]
    fn all_calls_of_a_set_that_are_refused_are_named() {
        let mut entry = entry(&[], &[], &[]);
        let made = [(Arc::from("/usr/bin/app"), [(Arc::from("sendfile"), 1)].into())].into();
        entry.trees.calls = Some(Calls { syscall: Some(made), security: None });
        let image: Arc<str> = "web".into();
        let config = crate::config::load(None, &[]).unwrap();
        let judge = Judge::new(&Allowed::new(&image, &entry), &config);
        let judged = |calls: &[&str]| {
            let common =
                Common { ts: 0, cpu: 0, seq: 0, kind: Kind::CallSet, container: None, pid: 1, tid: 1, exec_id: None };
            let calls = Some(calls.iter().map(|call| Arc::from(*call)).collect());
            let event = SyscallEvent {
                common,
                nr: None,
                name: None,
                a0: None,
                a1: None,
                a2: None,
                a3: None,
                a4: None,
                a5: None,
                ret: None,
                duration: None,
                calls,
            };
            judge.calls(&event).remove(0).refused
        };
        assert_eq!(judged(&["read", "sendfile"]), None);
        let refused = judged(&["read", "memfd_create", "sendfile", "symlink"]).unwrap();
        assert_eq!(refused.what, "memfd_create, symlink");
        assert!(refused.rule.contains("not in the list"));
    }
}
