//! What the attack brings about in processes that are not its own.

use datasets::{Common, DnsEvent, Event, FileEvent, NetworkEvent, Recording, TlsEvent};
use record_bpf::Class;

use super::tree::{Marks, Tree};
use super::{Mark, in_window, is_of};
use crate::error::Error;
use crate::matchers::{DnsMatcher, FileMatcher, NetworkMatcher, TlsMatcher, fits};
use crate::timeline::{StepRun, Timeline};

/// `O_ACCMODE`: the access mode within open flags; 0 is `O_RDONLY`.
const ACCESS_MODE: u32 = 0o3;

/// A server that forks for each connection does so at once; ns.
const SERVED_WITHIN: i64 = 2_000_000_000;

/// One matcher of a step.
enum Of<'a> {
    File(&'a FileMatcher),
    Network(&'a NetworkMatcher),
    Dns(&'a DnsMatcher),
    Tls(&'a TlsMatcher),
}

struct Effect<'a> {
    step: &'a StepRun,
    of: Of<'a>,
    hit: bool,
}

pub(super) struct Effects<'a> {
    timeline: &'a Timeline,
    tree: &'a Tree<'a>,
    all: Vec<Effect<'a>>,
}

impl<'a> Effects<'a> {
    pub(super) fn new(timeline: &'a Timeline, tree: &'a Tree<'a>) -> Effects<'a> {
        let all = timeline.steps.iter().flat_map(|step| {
            let of = &step.matchers;
            let files = of.files.iter().map(Of::File).chain(of.network.iter().map(Of::Network));
            let messages = of.dns.iter().map(Of::Dns).chain(of.tls.iter().map(Of::Tls));
            files.chain(messages).map(move |of| Effect { step, of, hit: false })
        });
        Effects { timeline, tree, all: all.collect() }
    }

    /// Marks what serves the attacker's connections, where a matcher asks for it.
    pub(super) fn connections(&mut self, recording: &Recording, marks: &mut Marks) -> Result<(), Error> {
        let asked = |effect: &Effect<'_>| matches!(effect.of, Of::Network(NetworkMatcher { tree: true, .. }));
        if !self.all.iter().any(asked) {
            return Ok(());
        }
        for event in recording.events_of(&[Class::Network]) {
            let event = event?;
            for effect in self.all.iter_mut().filter(|effect| asked(effect)) {
                if !effect.fits(self.timeline, self.tree, &event) {
                    continue;
                }
                effect.hit = true;
                let ts = event.common().ts;
                let child = event.common().exec_id.and_then(|id| self.tree.first_fork(id, ts, ts + SERVED_WITHIN));
                if let Some(child) = child {
                    marks.entry(child).or_insert_with(|| effect.mark());
                }
            }
        }
        Ok(())
    }

    /// The mark of an event that a matcher names.
    pub(super) fn mark_of(&mut self, event: &Event) -> Option<Mark> {
        let (timeline, tree) = (self.timeline, self.tree);
        let effect = self.all.iter_mut().find(|effect| effect.fits(timeline, tree, event))?;
        effect.hit = true;
        Some(effect.mark())
    }

    /// Every matcher must have named something, where its class was recorded.
    pub(super) fn check(&self, recorded: impl Fn(&str) -> bool) -> Result<(), Error> {
        for Effect { step, of, hit } in &self.all {
            let (class, optional, what) = match of {
                Of::File(m) => (Class::File, m.optional, format!("file {}", m.path)),
                Of::Network(m) => {
                    let port = m.port.map_or(String::new(), |port| format!(" port {port}"));
                    (Class::Network, m.optional, format!("network {}{port}", m.peer.as_deref().unwrap_or("any peer")))
                }
                Of::Dns(m) => (Class::Dns, m.optional, format!("dns {}", m.question)),
                Of::Tls(m) => (Class::Tls, m.optional, format!("tls {}", m.contains)),
            };
            if !hit && !optional && recorded(class.name()) {
                return Err(Error::NoTrace { step: step.step.clone(), matcher: what });
            }
        }
        Ok(())
    }
}

impl Effect<'_> {
    fn mark(&self) -> Mark {
        let ambiguous = match self.of {
            Of::File(matcher) => matcher.ambiguous,
            Of::Network(matcher) => matcher.ambiguous,
            Of::Dns(matcher) => matcher.ambiguous,
            Of::Tls(matcher) => matcher.ambiguous,
        };
        Mark::new(self.step, None, ambiguous)
    }

    fn fits(&self, timeline: &Timeline, tree: &Tree<'_>, event: &Event) -> bool {
        let (service, exe, itself) = match (&self.of, event) {
            (Of::File(matcher), Event::File(event)) => (&matcher.service, &matcher.exe, file(matcher, event)),
            (Of::Network(matcher), Event::Network(event)) => {
                (&matcher.service, &matcher.exe, network(matcher, event, timeline))
            }
            (Of::Dns(matcher), Event::Dns(event)) => (&matcher.service, &matcher.exe, dns(matcher, event)),
            (Of::Tls(matcher), Event::Tls(event)) => (&matcher.service, &matcher.exe, tls(matcher, event)),
            _ => return false,
        };
        let Common { ts, container, exec_id, .. } = event.common();
        itself
            && in_window(self.step, *ts)
            && is_of(timeline, service, container.as_deref())
            && exe.as_ref().is_none_or(|pattern| tree.exe_of(*exec_id).is_some_and(|exe| fits(pattern, exe)))
    }
}

fn file(matcher: &FileMatcher, event: &FileEvent) -> bool {
    event.path.as_deref().is_some_and(|each| fits(&matcher.path, each))
        && matcher.ops.iter().any(|op| op == event.common.kind.op())
        && (!matcher.write || event.flags.is_some_and(|flags| flags & ACCESS_MODE != 0))
}

fn network(matcher: &NetworkMatcher, event: &NetworkEvent, timeline: &Timeline) -> bool {
    // A socket of both families shows an IPv4 peer as an IPv6 address that holds it (RFC 4291, section 2.5.5.2).
    let peer = event.peer_addr.as_deref().map(|addr| addr.strip_prefix("::ffff:").unwrap_or(addr));
    let is_peer = |wanted: &String| {
        let known = timeline.containers.iter().filter(|each| each.service == *wanted || each.aliases.contains(wanted));
        peer.is_some_and(|peer| peer == wanted || known.clone().any(|each| each.address == peer))
    };
    (matcher.ops.is_empty() || matcher.ops.iter().any(|op| op == event.common.kind.op()))
        && matcher.peer.as_ref().is_none_or(is_peer)
        && matcher.port.is_none_or(|port| event.peer_port == Some(port) || event.local_port == Some(port))
}

fn dns(matcher: &DnsMatcher, event: &DnsEvent) -> bool {
    event.question.as_deref().is_some_and(|name| fits(&matcher.question, name))
}

fn tls(matcher: &TlsMatcher, event: &TlsEvent) -> bool {
    let wanted = matcher.contains.as_bytes();
    event.data.windows(wanted.len().max(1)).any(|part| part == wanted)
}
