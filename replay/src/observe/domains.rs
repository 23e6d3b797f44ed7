//! Which name an address was asked for under, from the DNS answers that a container received.
//!
//! An answer is believed when it came from where the name servers of containers are: loopback, a private address or a known
//! container, or an address in `network.resolvers`. A name server of the attacker's could call any address by a learned name.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use datasets::DnsEvent;
use foldhash::quality::RandomState;

use super::Context;
use crate::args::address::AddressClass;

/// Names kept per container and address: of the processes that asked last. One address serves many names at a CDN.
const NAMES: usize = 16;

/// Addresses kept per image before all are forgotten; then peers are prefixes until they are asked for again.
const ADDRESSES: usize = 65_536;

/// Names by address, per container.
#[derive(Debug, Default)]
pub struct Domains {
    names: HashMap<(Arc<str>, IpAddr), VecDeque<Asked>, RandomState>,
}

#[derive(Debug)]
struct Asked {
    exec_id: Option<u64>,
    name: Arc<str>,
}

impl Domains {
    /// Takes in what an answer says.
    pub fn see(&mut self, event: &DnsEvent, context: &Context<'_>) {
        let (Some(question), Some(answers)) = (&event.question, &event.answers) else { return };
        if &*event.direction != "received" || question.is_empty() || !believed(event, context) {
            return;
        }
        let name: Arc<str> = generalised(question, context.config.network.domain_labels).into();
        let container = super::container(&event.common);
        for answer in answers {
            let Some(address) = address(answer) else { continue };
            if self.names.len() >= ADDRESSES {
                self.names.clear();
            }
            let names = self.names.entry((Arc::clone(&container), address)).or_default();
            names.retain(|asked| asked.exec_id != event.common.exec_id);
            if names.len() >= NAMES {
                names.pop_front();
            }
            names.push_back(Asked { exec_id: event.common.exec_id, name: Arc::clone(&name) });
        }
    }

    /// The name that this process asked for last and was answered with the address; else any of its container's, the last.
    pub fn name(&self, container: &Arc<str>, exec_id: Option<u64>, address: &str) -> Option<&Arc<str>> {
        if self.names.is_empty() {
            return None;
        }
        let address = address.parse::<IpAddr>().ok()?.to_canonical();
        let names = self.names.get(&(Arc::clone(container), address))?;
        let own = names.iter().rev().find(|asked| asked.exec_id == exec_id);
        own.or_else(|| names.back()).map(|asked| &asked.name)
    }
}

fn believed(event: &DnsEvent, context: &Context<'_>) -> bool {
    let Some(server) = event.peer_addr.as_deref() else { return false };
    let Ok(address) = server.parse::<IpAddr>().map(|address| address.to_canonical()) else { return false };
    matches!(AddressClass::of(address), AddressClass::Loopback | AddressClass::Private)
        || context.peers.of(&event.common).container(server, event.common.ts).is_some()
        || context.config.network.resolvers.iter().any(|text| text.parse() == Ok(address))
}

/// The address of an A or AAAA record, `name type data`.
fn address(answer: &str) -> Option<IpAddr> {
    let mut words = answer.split(' ');
    let (_, kind, data) = (words.next()?, words.next()?, words.next()?);
    matches!(kind, "A" | "AAAA").then(|| data.parse().ok()).flatten()
}

/// In lower case, without the last dot; `labels` of it from the right, `*` for those before. 0: all.
fn generalised(name: &str, labels: usize) -> String {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    if labels == 0 {
        return name;
    }
    match name.rmatch_indices('.').nth(labels - 1) {
        Some((at, _)) => format!("*{}", &name[at..]),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::observe::{Peers, ProcessTable};
    use datasets::Common;
    use record_bpf::Kind;

    fn answer(container: &str, exec_id: u64, server: &str, question: &str, answers: &[&str]) -> DnsEvent {
        DnsEvent {
            common: Common {
                ts: 1,
                cpu: 0,
                seq: 1,
                kind: Kind::DnsAnswer,
                container: Some(container.into()),
                pid: 1,
                tid: 1,
                exec_id: Some(exec_id),
            },
            direction: "received".into(),
            protocol: "udp".into(),
            local_addr: None,
            local_port: 40_000,
            peer_addr: Some(server.into()),
            peer_port: 53,
            peer_from_user: false,
            fd: 3,
            inode: 1,
            bytes: 60,
            id: Some(1),
            opcode: Some("query".into()),
            rcode: Some("NOERROR".into()),
            question: Some(question.into()),
            qtype: Some("A".into()),
            answers: Some(answers.iter().map(|text| Arc::from(*text)).collect()),
            truncated: Some(false),
            malformed: false,
            cut: false,
            more: None,
        }
    }

    #[test]
    fn an_address_has_the_name_that_was_asked_for() {
        let config = config::load(None, &["network.resolvers=[\"9.9.9.9\"]".to_owned()]).unwrap();
        let (processes, peers) = (ProcessTable::default(), Peers::default());
        let context = Context { processes: &processes, peers: &peers, config: &config };
        let mut domains = Domains::default();
        let chain = ["WWW.Shop.example CNAME edge.cdn.example", "edge.cdn.example A 203.0.113.7"];
        domains.see(&answer("a", 1, "10.0.0.2", "WWW.Shop.example", &chain), &context);
        domains.see(&answer("a", 2, "127.0.0.11", "other.example", &["other.example A 203.0.113.7"]), &context);
        domains.see(&answer("a", 3, "198.51.100.66", "www.shop.example", &["x A 198.51.100.67"]), &context);
        domains.see(&answer("a", 3, "9.9.9.9", "six.example", &["six.example AAAA 2001:db8::6"]), &context);
        let name = |container: &str, exec_id, address: &str| {
            domains.name(&Arc::from(container), Some(exec_id), address).map(|name| name.to_string())
        };
        assert_eq!(name("a", 1, "203.0.113.7").as_deref(), Some("www.shop.example"), "the name asked, not the alias");
        assert_eq!(name("a", 2, "203.0.113.7").as_deref(), Some("other.example"), "each process its own");
        assert_eq!(name("a", 9, "::ffff:203.0.113.7").as_deref(), Some("other.example"), "else the last");
        assert_eq!(name("b", 1, "203.0.113.7"), None, "another container asked nothing");
        assert_eq!(name("a", 3, "198.51.100.67"), None, "a name server outside is not believed");
        assert_eq!(name("a", 3, "2001:db8::6").as_deref(), Some("six.example"), "but one that is configured");
    }

    #[test]
    fn labels_are_kept_from_the_right() {
        assert_eq!(generalised("A.b.example.COM.", 0), "a.b.example.com");
        assert_eq!(generalised("a.b.example.com", 2), "*.example.com");
        assert_eq!(generalised("a.b.example.com", 4), "a.b.example.com");
        assert_eq!(generalised("example.com", 3), "example.com");
    }
}
