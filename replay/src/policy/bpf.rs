//! What the BPF programs of `enforce` are told, as JSON: programs and files by name or beginning, peers by block and port.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::account::{Account, Tally};
use super::allowed::Allowed;
use super::net::{self, Block};
use super::net_rules::{Dialect, Ports, To, rules};
use super::nftables::{Addresses, NO_ADDRESS};
use super::paths::Paths;
use super::{Format, Options, Policy};

pub const LIMITS: &[&str] = &[
    "arguments and system calls, and which program uses which file or peer",
    "patterns: all that begins with the text before the first of their open places is known",
    "domains: any public or any private address stands for one",
    "which image has an address: --addresses tells those that its containers have",
    "protocols other than tcp, udp and sctp",
];

/// Version of the form.
pub const VERSION: u32 = 1;

/// Bytes of a path that are compared, without the zero at its end.
const LONGEST: usize = 254;

/// The whole file.
#[derive(Debug, Serialize)]
struct Document<'a> {
    version: u32,
    image: &'a str,
    /// Learned items that it allows.
    allows: u64,
    not_locked: &'a [&'static str],
    wider: &'a BTreeMap<&'static str, Tally>,
    left_out: &'a BTreeMap<&'static str, Tally>,
    cannot_say: &'static [&'static str],
    programs: Paths,
    reads: Paths,
    writes: Paths,
    egress: Vec<Rule>,
    ingress: Vec<Rule>,
}

/// Peers that may be reached, or may come in, at ports.
#[derive(Debug, Serialize)]
struct Rule {
    peers: Vec<String>,
    /// Blocks of them that may not.
    except: Vec<String>,
    protocol: &'static str,
    /// Both included.
    from: u16,
    until: u16,
}

pub fn write(allowed: &Allowed<'_>, options: &Options<'_>) -> Policy {
    let mut account = allowed.account.clone();
    let done = |ops: &'static [&'static str]| {
        allowed.files.iter().filter(move |(_, done)| done.keys().any(|op| ops.contains(&&**op))).map(|(path, _)| path)
    };
    // The kernel asks about a script, and then about its interpreter. What a profile knows of scripts are first arguments, data among
    // them: what is written, or known by its beginning alone, would let too much be run.
    let written = |path| allowed.files.get(path).is_some_and(|done| done.contains_key("write"));
    let scripts = allowed.scripts.iter().filter(|script| script.literal().is_some() && !written(script));
    let programs = allowed.executables.keys().chain(scripts).collect::<BTreeSet<_>>().into_iter();
    let programs = Paths::of(programs, LONGEST, &mut account);
    let reads = Paths::of(done(&["read", "list", "write"]), LONGEST, &mut account);
    let writes = Paths::of(done(&["write"]), LONGEST, &mut account);
    let rules = rules(allowed, Dialect::Nftables, options.config, &mut account);
    let egress = side(&rules.egress, &options.addresses, &mut account);
    let ingress = side(&rules.ingress, &options.addresses, &mut account);
    let document = Document {
        version: VERSION,
        image: &allowed.image,
        allows: account.expressed,
        not_locked: &allowed.unlocked,
        wider: &account.widened,
        left_out: &account.left_out,
        cannot_say: Format::Bpf.limits(),
        programs,
        reads,
        writes,
        egress,
        ingress,
    };
    let text = serde_json::to_string_pretty(&document).expect("plain values serialize") + "\n";
    Policy { text, account }
}

fn side(rules: &BTreeMap<To, BTreeSet<Ports>>, addresses: &Addresses, account: &mut Account) -> Vec<Rule> {
    let mut out = Vec::new();
    for (to, ports) in rules {
        let (peers, except) = blocks(to, addresses);
        if peers.is_empty() {
            account.leave_out(NO_ADDRESS, to);
            continue;
        }
        let text = |blocks: &[Block]| blocks.iter().map(ToString::to_string).collect::<Vec<_>>();
        out.extend(ports.iter().map(|port| Rule {
            peers: text(&peers),
            except: text(&except),
            protocol: port.protocol,
            from: port.from,
            until: port.until,
        }));
    }
    out
}

/// Of a peer, and which of them are not meant.
pub(super) fn blocks(to: &To, addresses: &Addresses) -> (Vec<Block>, Vec<Block>) {
    let own = match to {
        To::Anyone => net::public(),
        // Any container is known here by its address alone.
        To::Private | To::Pods => net::private(),
        To::Public => return (net::public(), net::private()),
        To::Block(block) => vec![*block],
        To::Metadata => net::metadata(),
        To::Image(image) => addresses.get(image).into_iter().flatten().copied().map(Block::one).collect(),
        // No rule of this dialect has a name.
        To::Name { .. } => Vec::new(),
    };
    (own, Vec::new())
}
