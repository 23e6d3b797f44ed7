//! The rules engine in an image's lane: what hits an event, what hits together mean, and what becomes of a hit on an event
//! that no tree describes.
//!
//! A hit weighs on the deviation that its event is. Where the event is none, a hit of level high or critical makes a
//! deviation of it ([`DeviationKind::RuleHit`], or the known path that was hit), and so does every correlation that is met:
//! it says more than its last event. A medium hit on an event that no tree describes (a system call of class security, a
//! sample, a closed socket) is kept if its process, or one above it, deviates already; any other one is passed over, as it
//! is for events that the profile knows.

use std::collections::HashMap;
use std::sync::Arc;

use datasets::{Event, FileLook, NetworkLook, ResourceEvent};
use foldhash::quality::RandomState;
use serde::{Deserialize, Serialize};

use crate::deviation::{DeviationKind, RowRef, Tree};
use crate::engines::correlation::{Contribution, Correlations, Correlator, Met};
use crate::engines::rules::RuleHit;
use crate::engines::sight::Sight;
use crate::engines::sigma_fields::Known;
use crate::engines::{Level, Verdict};
use crate::observe::{Context, Domains, HOST, Observation};

/// The rules, with what they need to know of the recording.
pub trait Rules: Sync {
    /// The rules that hit an event.
    fn hits(&self, event: &Event, known: Known<'_>) -> Vec<RuleHit>;

    /// What they say of an event that is no deviation depends on.
    fn sight(&self, _event: &Event) -> Sight {
        Sight::Everything
    }

    /// The same of an event of class file.
    fn sight_of_file(&self, _look: &FileLook<'_>) -> Sight {
        Sight::Everything
    }

    /// The same of an event of class network.
    fn sight_of_network(&self, _look: &NetworkLook<'_>) -> Sight {
        Sight::Everything
    }

    /// Whether any rule asks for deviations.
    fn judges_deviations(&self) -> bool {
        false
    }

    fn correlations(&self) -> Option<&Correlations> {
        None
    }

    /// What the hits of an event meet, and what must be correlated over containers.
    fn correlate(
        &self,
        _correlator: &mut Correlator,
        _event: &Event,
        _known: Known<'_>,
        _hits: &[RuleHit],
    ) -> (Vec<Met>, Vec<Contribution>) {
        (Vec::new(), Vec::new())
    }
}

/// Rules without correlations, given as a function.
impl<F: Fn(&Event) -> Vec<Verdict> + Sync> Rules for F {
    fn hits(&self, event: &Event, known: Known<'_>) -> Vec<RuleHit> {
        if known.deviation.is_some() {
            return Vec::new();
        }
        let hit = |verdict: Verdict| RuleHit {
            id: verdict.judge.into(),
            title: verdict.reason.as_str().into(),
            level: verdict.level.unwrap_or(Level::Low),
            technique: verdict.technique.map(Into::into),
            reason: verdict.reason.into(),
            silent: false,
            feeds: Arc::default(),
        };
        self(event).into_iter().map(hit).collect()
    }
}

/// What the rules say of one event.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ruling {
    pub verdicts: Vec<Verdict>,
    /// Rows of the hits that a correlation joins.
    pub rows: Vec<RowRef>,
    /// A correlation was met.
    pub met: bool,
    /// Some rule hit, be it one that only serves a correlation.
    pub heard: bool,
    /// The highest level of what was hit, but for what is about deviations: were that a reason not to learn, nothing that
    /// departs would ever be learned.
    pub level: Option<Level>,
}

impl Ruling {
    /// Of a correlation over containers: it tells, and nothing else.
    pub fn of_met(met: Met) -> Self {
        Ruling { verdicts: vec![met.hit.verdict()], rows: met.rows, met: true, ..Ruling::default() }
    }

    /// Whether a rule is trusted enough that what it hits is never learned.
    pub fn is_high_confidence(&self) -> bool {
        self.level.is_some_and(Level::is_high_confidence)
    }

    pub fn is_suspect(&self) -> bool {
        self.level >= Some(Level::Medium)
    }

    pub fn extend(&mut self, other: Ruling) {
        self.verdicts.extend(other.verdicts);
        self.rows.extend(other.rows);
        self.met |= other.met;
        self.heard |= other.heard;
        self.level = self.level.max(other.level);
    }
}

/// What the profile says of an event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    /// How it left the profile, if that is what rules are asked about.
    pub deviation: Option<(Tree, DeviationKind)>,
    /// Bytes sent beyond what it allows.
    pub beyond: Option<u64>,
}

/// A lane's memory of hits.
#[derive(Debug, Default)]
pub struct Memory {
    correlator: Correlator,
    /// What addresses were asked for under.
    domains: Domains,
    /// Time and CPU time of each container's last sample; ns.
    samples: HashMap<Option<Arc<str>>, (i64, u64), RandomState>,
    /// Hits that take part in correlations over containers, to be taken after each chunk.
    pub abroad: Vec<Contribution>,
}

impl Memory {
    /// Incarnations are numbered within a recording: what was seen in another one does not count.
    pub fn clear(&mut self) {
        *self = Memory::default();
    }

    /// What the rules say of an event.
    pub fn judge(
        &mut self,
        event: &Event,
        Said { deviation, beyond }: Said,
        rules: &dyn Rules,
        context: &Context<'_>,
    ) -> Ruling {
        let cpu_percent = match event {
            Event::Resource(sample) => self.cpu_percent(sample),
            _ => None,
        };
        if let Event::Dns(answer) = event {
            self.domains.see(answer, context);
        }
        if deviation.is_none() && rules.sight(event) == Sight::Nothing {
            return Ruling::default();
        }
        let domain = match event {
            Event::Network(event) => event.peer_addr.as_deref().and_then(|address| {
                let container = event.common.container.as_ref()?;
                self.domains.name(container, event.common.exec_id, address)
            }),
            _ => None,
        };
        let known = Known { deviation, cpu_percent, beyond, domain: domain.map(|name| &**name) };
        let hits = rules.hits(event, known);
        if hits.is_empty() {
            return Ruling::default();
        }
        let (met, mut abroad) = rules.correlate(&mut self.correlator, event, known, &hits);
        for contribution in &mut abroad {
            contribution.observation = Some(Box::new(observation(event, context)));
        }
        self.abroad.append(&mut abroad);
        let mut ruling = Ruling { met: !met.is_empty(), heard: true, ..Ruling::default() };
        for hit in hits.iter().filter(|hit| !hit.silent) {
            ruling.verdicts.push(hit.verdict());
            ruling.level = ruling.level.max(Some(hit.level).filter(|_| deviation.is_none()));
        }
        for Met { hit, rows, of_deviations } in met {
            ruling.level = ruling.level.max(Some(hit.level).filter(|_| !of_deviations));
            ruling.verdicts.push(hit.verdict());
            ruling.rows.extend(rows);
        }
        ruling
    }

    /// CPU time since the sample before, in per cent of one CPU.
    fn cpu_percent(&mut self, sample: &ResourceEvent) -> Option<i64> {
        let (now, total) = (sample.common.ts, sample.cpu_total?);
        let (before, used) = self.samples.insert(sample.common.container.clone(), (now, total))?;
        let elapsed = u64::try_from(now - before).ok().filter(|elapsed| *elapsed > 0)?;
        i64::try_from(u128::from(total.checked_sub(used)?) * 100 / u128::from(elapsed)).ok()
    }
}

/// An event that no tree describes, as a path of its own: program, what it did, to what.
pub fn observation(event: &Event, context: &Context<'_>) -> Observation {
    let common = event.common();
    let process = common.exec_id.and_then(|id| context.processes.get(id));
    let program = context.processes.exe(common.exec_id);
    let op = common.kind.op();
    let (tree, object) = object(event);
    let class = common.kind.class();
    let what: Arc<str> = format!("{class} {op}").into();
    let steps: Arc<[Arc<str>]> = match tree {
        Tree::Process => {
            let parent = process.and_then(|process| process.parent_exec_id);
            [context.processes.parent_exe(parent, common.container.as_ref()), program.clone(), what].into()
        }
        Tree::File => [program.clone(), object.as_str().into(), op.into()].into(),
        Tree::Network => [program.clone(), what, object.as_str().into()].into(),
    };
    let raw = match tree {
        Tree::Process => {
            let program = program.rsplit('/').next().unwrap_or(&program);
            if object.is_empty() { format!("{program}: {op}") } else { format!("{program}: {op} {object}") }
        }
        Tree::File | Tree::Network => object,
    };
    Observation {
        tree,
        ts: common.ts,
        container: common.container.clone().unwrap_or_else(|| HOST.into()),
        exec_id: common.exec_id,
        pid: common.pid,
        row: RowRef { class, cpu: common.cpu, seq: common.seq },
        steps,
        args: None,
        raw: raw.into(),
        reached: None,
        host_path: None,
    }
}

/// The tree that an event is nearest to, and what it was about, in words.
fn object(event: &Event) -> (Tree, String) {
    let join = |parts: &[Option<&Arc<str>>]| parts.iter().flatten().map(|part| &***part).collect::<Vec<_>>().join(" ");
    let peer = |address: Option<&Arc<str>>, port: Option<u16>| match (address, port) {
        (Some(address), Some(port)) => format!("{address}:{port}"),
        (Some(address), None) => address.to_string(),
        _ => String::new(),
    };
    match event {
        Event::Security(event) => (
            Tree::Process,
            join(&[
                event.request.as_ref(),
                event.fs_type.as_ref(),
                event.source.as_ref(),
                event.path.as_ref(),
                event.name.as_ref(),
            ]),
        ),
        Event::File(event) => (Tree::File, join(&[event.path.as_ref(), event.new_path.as_ref()])),
        Event::Network(event) => {
            let to = peer(event.peer_addr.as_ref(), event.peer_port);
            let socket = join(&[event.socket_type.as_ref(), Some(&event.protocol)]);
            (Tree::Network, if to.is_empty() { socket } else { to })
        }
        Event::Dns(event) => (Tree::Network, join(&[event.question.as_ref()])),
        Event::Tls(event) => {
            let parts = [event.http_method.as_ref(), event.http_host.as_ref(), event.http_path.as_ref()];
            (Tree::Network, join(&parts))
        }
        Event::Flow(event) => (Tree::Network, peer(event.dst_addr.as_ref(), event.dst_port)),
        Event::Process(_) | Event::Resource(_) | Event::Syscall(_) => (Tree::Process, String::new()),
    }
}
