//! What policies refused in a run, told by the kernel's own traces and not by the policies: calls that returned EPERM without having
//! been entered, packets that a ruleset or a program counted, and packets that waited in a class of tc's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datasets::{Event, Recording};
use record_bpf::{Class, Kind as EventKind};
use replay::observe::peers::image_of;
use replay::policy::allowed::is_runtime;
use replay::policy::guards::{GUARDS, How};
use replay::policy::net::Who;
use replay::policy::net_rules::Peer;
use replay::policy::seccomp::Rules;
use scenarios::Timeline;

use super::run::Ran;
use super::shaped::Held;
use crate::error::Result;

/// As a policy's ERRNO action answers here.
const EPERM: i64 = -1;

/// Something that was refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Unix time of the first, ns.
    pub at: i64,
    /// How many calls or packets.
    pub count: u64,
    /// Service in whose container.
    pub service: String,
    pub what: String,
    /// Of the policy.
    pub line: String,
    /// Act and step that it belongs to; None: none.
    pub step: Option<Step>,
}

/// Act and step.
pub type Step = (String, String);

/// Who talks to whom in the attack: service, inwards or not, the peer as a service or an address, protocol, the service's port.
pub type Ends = BTreeMap<Step, BTreeSet<(String, bool, String, String, u16)>>;

/// Image and service of each watched container, by its id.
type Places = HashMap<Arc<str>, (Arc<str>, String)>;

/// Calls that seccomp refused. The filter is asked before a call is entered, so that the recorder sees it return only.
///
/// # Errors
/// A damaged recording.
pub fn calls(ran: &Ran, rules: &BTreeMap<Arc<str>, Rules>) -> Result<Vec<Refused>> {
    let containers: Places = containers(&ran.recording, ran.timeline.as_ref())?;
    let runtimes: BTreeSet<u64> = ran
        .recording
        .processes()?
        .into_iter()
        .filter(|process| process.exe.as_deref().is_some_and(is_runtime))
        .map(|process| process.exec_id)
        .collect();
    let mut found = Vec::new();
    for event in ran.recording.events_of(&[Class::Syscall]) {
        let Event::Syscall(event) = event? else { continue };
        let common = &event.common;
        if event.ret != Some(EPERM)
            || event.duration.is_some()
            || common.exec_id.is_some_and(|id| runtimes.contains(&id))
        {
            continue;
        }
        let place = common.container.as_ref().and_then(|id| containers.get(id));
        let (Some((image, service)), Some(name)) = (place, &event.name) else { continue };
        let Some(line) = rules.get(image).and_then(|rules| line_of(rules, name)) else { continue };
        let label = ran.labels.get(&(Class::Syscall, common.cpu, common.seq));
        found.push(Refused {
            at: common.ts,
            count: 1,
            service: service.clone(),
            what: name.to_string(),
            line,
            step: label.map(|label| (label.act.to_string(), label.step.to_string())),
        });
    }
    Ok(found)
}

/// The rule by which a call of this name may be refused. What else answers EPERM before a call is entered is not ours.
fn line_of(rules: &Rules, name: &str) -> Option<String> {
    let by_arguments = || {
        let held = |how: &How| match how {
            How::Names(names) | How::WriteExecute(names) => names.contains(&name),
            How::Namespaces => name == "clone",
        };
        GUARDS.iter().filter(|(_, how)| held(how)).find_map(|(guard, _)| rules.refuses_guarded(guard))
    };
    rules.refuses_call(name).or_else(by_arguments)
}

fn containers(recording: &Recording, timeline: Option<&Timeline>) -> Result<Places> {
    let service = |id: &str| {
        let run = timeline.into_iter().flat_map(|timeline| &timeline.containers).find(|each| each.id == id)?;
        Some(run.service.clone())
    };
    let all = recording.containers()?.into_iter();
    Ok(all
        .map(|container| {
            let named = || container.name.clone().unwrap_or_else(|| container.id.to_string());
            let service = service(&container.id).unwrap_or_else(named);
            (Arc::clone(&container.id), (image_of(&container), service))
        })
        .collect())
}

/// The ends of what the attack's processes connect to, are connected from and send, by labelled events.
///
/// # Errors
/// A damaged recording.
pub fn ends(ran: &Ran) -> Result<Ends> {
    let mut ends = Ends::new();
    let Some(timeline) = &ran.timeline else { return Ok(ends) };
    let containers = containers(&ran.recording, Some(timeline))?;
    for event in ran.recording.events_of(&[Class::Network]) {
        let Event::Network(event) = event? else { continue };
        let common = &event.common;
        let Some(label) = ran.labels.get(&(Class::Network, common.cpu, common.seq)) else { continue };
        let place = common.container.as_ref().and_then(|id| containers.get(id));
        let (Some((_, service)), Some(peer)) = (place, event.peer_addr.as_deref()) else { continue };
        let peer = peer_name(timeline, peer);
        let inwards = common.kind == EventKind::Accept || event.direction.as_deref() == Some("received");
        let port = if inwards { event.local_port } else { event.peer_port };
        let Some(port) = port else { continue };
        let of = ends.entry((label.act.to_string(), label.step.to_string())).or_default();
        of.insert((service.clone(), inwards, peer, event.protocol.to_string(), port));
    }
    Ok(ends)
}

/// The service that has an address in a run, or the address.
fn peer_name(timeline: &Timeline, address: &str) -> String {
    let known = timeline.containers.iter().find(|container| container.address == address);
    known.map_or_else(|| address.to_owned(), |container| container.service.clone())
}

/// Packets that nftables or XDP refused, and those that tc held back. `ends`: of the attack, without a policy and in this run: a peer that is not among them while a step
/// goes on was refused to ordinary life.
pub fn packets(ran: &Ran, ends: &[&Ends]) -> Vec<Refused> {
    let Some(timeline) = &ran.timeline else { return Vec::new() };
    let mut found = held(ran, timeline, ends);
    for seen in &ran.seen {
        for (service, packets) in &seen.packets {
            let peer = peer_name(timeline, &packets.peer.to_string());
            let end = (service.clone(), packets.inwards, peer.clone(), packets.protocol.clone(), packets.port);
            let attack = |step: &&Step| ends.iter().any(|ends| ends.get(*step).is_some_and(|of| of.contains(&end)));
            let verb = if packets.inwards { "from" } else { "to" };
            let port = if packets.port == 0 { String::new() } else { format!(" {}", packets.port) };
            found.push(Refused {
                at: packets.first_ns,
                count: packets.packets,
                service: service.clone(),
                what: format!("{verb} {peer}, {}{port}", packets.protocol),
                line: packets.rule.to_owned(),
                step: seen.step.as_ref().filter(attack).cloned(),
            });
        }
    }
    found
}

/// What classes held back: of the step, if what it sends belongs to the class; of an earlier one, if that left packets waiting there.
fn held(ran: &Ran, timeline: &Timeline, ends: &[&Ends]) -> Vec<Refused> {
    let mut found = Vec::new();
    let mut waiting: HashMap<(&str, Option<usize>), Step> = HashMap::new();
    for seen in &ran.seen {
        for (service, held) in &seen.held {
            let own = seen.step.as_ref().filter(|step| {
                let mut of = ends.iter().filter_map(|ends| ends.get(*step)).flatten();
                of.any(|(by, inwards, peer, protocol, port)| {
                    by == service && class_of(held, timeline, *inwards, peer, protocol, *port) == Some(held.class)
                })
            });
            let key = (service.as_str(), held.class);
            let step = own.cloned().or_else(|| waiting.get(&key).cloned());
            match &step {
                Some(step) if held.waiting > 0 => drop(waiting.insert(key, step.clone())),
                _ => drop(waiting.remove(&key)),
            }
            let Held { sent, dropped, waiting, waiting_bytes, .. } = held;
            found.push(Refused {
                at: held.first_ns,
                count: waiting + dropped,
                service: service.clone(),
                what: format!(
                    "{}: {sent} bytes left, {waiting_bytes} waited at the end, {dropped} packets were dropped",
                    held.shape.name(held.class)
                ),
                line: format!("{} bytes of a minute", held.shape.bytes(held.class)),
                step,
            });
        }
    }
    found
}

/// The class of what is sent to a service or an address; None: that is nobody's.
fn class_of(
    held: &Held,
    timeline: &Timeline,
    inwards: bool,
    peer: &str,
    protocol: &str,
    port: u16,
) -> Option<Option<usize>> {
    let container = timeline.containers.iter().find(|container| container.service == peer);
    let address = container.map_or(peer, |container| &container.address).parse().ok()?;
    let who = match container {
        Some(container) => Who::Image(container.image.as_str().into()),
        None => Who::Unknown(peer.into()),
    };
    Some(held.shape.class_of(inwards, &Peer { address, who, domain: None }, protocol, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_with_the_rule_that_refuses_it() {
        let allowed = ["read", "mmap", "clone"].map(str::to_owned);
        let rules = Rules { allowed: Some(allowed.into()), refused: ["mmap", "clone"].into() };
        assert!(line_of(&rules, "memfd_create").unwrap().contains("not in the list"));
        assert_eq!(line_of(&rules, "mmap").unwrap(), "mmap of writable and executable memory");
        assert_eq!(line_of(&rules, "clone").unwrap(), "clone with new namespaces is refused");
        assert_eq!(line_of(&rules, "read"), None);
        let short = Rules { allowed: None, refused: ["memfd_create"].into() };
        assert_eq!(line_of(&short, "memfd_create").unwrap(), "memfd_create is refused");
        assert_eq!(line_of(&short, "mmap"), None);
    }
}
