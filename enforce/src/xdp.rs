//! `enforce xdp`: what a container sends to peers and ports that its policy does not know is dropped where it arrives, at the
//! host's end of its veth pair (`bpf/xdp.bpf.c`).

mod refused;

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{MapCore, MapFlags, OpenObject};
use serde_json::json;

use crate::cli::Format;
use crate::clock;
use crate::error::{Error, Result};
use crate::interface::{Interface, Mode};
use crate::known::{Entry, entries};
use crate::policy::Policy;
use crate::signals::Signals;
use crate::tries::{self, Turned};
use crate::watch::{InForce, Said, print, watch};
use refused::{Fate, Refused, Sum, Times, What};

#[allow(clippy::all, clippy::undocumented_unsafe_blocks, rust_2018_idioms)]
mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/xdp.skel.rs"));
}

const AFTER: &str = "\
Examples:
  enforce xdp app.bpf.json --interface veth0             until Ctrl-C, then who was refused
  enforce xdp app.bpf.json --interface veth0 --format json -d 1h > refused.jsonl
  enforce xdp app.bpf.json --interface veth0 --max-syn-per-s 100
  kill -HUP $(pidof enforce)                             the policy file was changed: read it again

The host's end of a container's pair is the interface that `ip link` shows with the number that
  podman exec NAME cat /sys/class/net/eth0/iflink
prints. The policy: replay policy export PROFILE --format bpf --image NAME -o app.bpf.json

Passes: what a rule of the policy knows, answers from the ports that it serves to those who may come in, ARP, IPv6
neighbour discovery, reports of multicast groups to the link, DHCP to all. All else is dropped and counted: other
protocols, raw sockets' and packet sockets' frames too.

SIGHUP reads the policy again: the new one takes the old one's place between two packets. One that cannot be read is
reported, and the old one stays. SIGUSR1 says now what was refused. It ends at SIGINT, SIGTERM, after --duration, and
when the interface is gone; with it ends the policy.";

/// Drop what a container sends to peers and ports that its policy does not know
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// The image's policy, by `replay policy export --format bpf`
    #[arg(value_name = "POLICY.json")]
    policy: PathBuf,
    /// The host's end of the container's veth pair
    #[arg(short, long, value_name = "IF")]
    interface: String,
    /// End after that time, as 10m [default: at Ctrl-C]
    #[arg(short, long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// New connections to one known peer that pass in a second; the others are dropped [default: any number]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_syn_per_s: Option<u64>,
    /// Packets to one known peer that pass in a second [default: any number]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_packets_per_s: Option<u64>,
    /// How often what was refused is read, and with --format json printed
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// json: an object a line, while it runs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Carries the command out until it is to end.
///
/// # Errors
/// The policy cannot be read, the interface cannot be had, or the kernel refuses the program.
pub fn run(args: &Args) -> Result<ExitCode> {
    let (policy, entries) = load(&args.policy)?;
    let interface = Interface::veth(&args.interface)?;
    let signals = Signals::take_over().map_err(|source| Error::Signals { source })?;
    let mut filter = Filter::load(args.max_syn_per_s, args.max_packets_per_s)?;
    filter.put(&entries)?;
    let mode = filter.attach(&interface)?;
    let (said, refused) = (Said::new(args.format), Refused::default());
    let mut running = Running { args, interface, filter, said, refused };
    running.attached(mode, &policy, &entries);
    let begun = clock::unix_ns();
    watch(&signals, args.duration, args.interval, &mut running)?;
    running.end(begun)?;
    Ok(ExitCode::SUCCESS)
}

fn load(path: &Path) -> Result<(Policy, Vec<Entry>)> {
    let policy = Policy::load(path)?;
    let entries = entries(&policy).map_err(|why| Error::policy(path, why))?;
    Ok((policy, entries))
}

struct Running<'a> {
    args: &'a Args,
    interface: Interface,
    filter: Filter,
    said: Said,
    refused: Refused,
}

impl InForce for Running<'_> {
    fn reload(&mut self) {
        let path = &self.args.policy;
        let put = load(path).and_then(|(policy, entries)| self.filter.put(&entries).map(|()| (policy, entries)));
        match put {
            Ok((policy, entries)) => self.policy(&policy, &entries),
            Err(error) => self.said.policy_refused(&error),
        }
    }

    fn turn(&mut self) -> Result<()> {
        for (what, times) in self.filter.take()? {
            self.refused.add(&what, times);
            self.said.line(&refused::line(&what, &times));
        }
        Ok(())
    }

    fn gone(&self) -> Option<&'static str> {
        (!self.interface.is_there()).then_some("interface")
    }

    fn said(&mut self) -> &mut Said {
        &mut self.said
    }
}

impl Running<'_> {
    /// `begun`: Unix time, ns.
    fn end(mut self, begun: i64) -> Result<()> {
        self.filter.detach();
        self.turn()?;
        let totals = self.filter.totals()?;
        let seconds = (clock::unix_ns() - begun) as f64 / 1e9;
        match self.args.format {
            Format::Json => {
                self.said.line(&json!({ "event": "ended", "seconds": seconds, "totals": refused::by_fate(&totals) }));
                Ok(())
            }
            Format::Table => print(&self.refused.table(&totals, begun)).map_err(Error::Output),
        }
    }

    fn attached(&mut self, mode: Mode, policy: &Policy, entries: &[Entry]) {
        policy.warn_of("network", &self.args.policy);
        let name = &self.interface.name;
        self.said.line(&json!({ "event": "attached", "interface": name, "mode": mode }));
        eprintln!("enforce: at {name}, {} mode; Ctrl-C ends it", mode.name());
        self.policy(policy, entries);
    }

    fn policy(&mut self, policy: &Policy, entries: &[Entry]) {
        let (out, back) = (policy.egress.len(), policy.ingress.len());
        let line = json!({ "event": "policy", "file": self.args.policy, "image": policy.image, "egress": out,
            "ingress": back, "entries": entries.len() });
        self.said.note(&format!("policy of {}: rules outwards {out}, inwards {back}", policy.image_name()), &line);
    }
}

/// The loaded program and its maps. It is detached when dropped.
struct Filter {
    skeleton: skeleton::XdpSkel<'static>,
    link: Option<OwnedFd>,
    turned: Turned,
}

impl Filter {
    fn load(max_connections: Option<u64>, max_packets: Option<u64>) -> Result<Filter> {
        crate::quiet();
        let error = |what| move |source| Error::Bpf { what, source };
        // The skeleton borrows its storage for as long as it lives: one program, one leak of a few words.
        let storage: &'static mut MaybeUninit<OpenObject> = Box::leak(Box::new(MaybeUninit::uninit()));
        let mut open =
            skeleton::XdpSkelBuilder::default().open(storage).map_err(error("cannot open the XDP program"))?;
        let rodata = open.maps.rodata_data.as_deref_mut().expect("the program has settings");
        rodata.max_connections = max_connections.unwrap_or(0);
        rodata.max_packets = max_packets.unwrap_or(0);
        let skeleton = open.load().map_err(error("the kernel refused the XDP program"))?;
        Ok(Filter { skeleton, link: None, turned: Turned::default() })
    }

    /// Puts a policy into force: all of it between two packets.
    fn put(&self, entries: &[Entry]) -> Result<()> {
        let trie = tries::trie(
            "known",
            &self.skeleton.maps.known_nothing,
            entries.iter().map(|entry| (entry.key, entry.value)),
        )?;
        tries::set(&self.skeleton.maps.known, &trie)
            .map_err(|source| Error::Bpf { what: "cannot put the policy into force", source })
    }

    fn attach(&mut self, interface: &Interface) -> Result<Mode> {
        let (link, mode) = interface.attach(self.skeleton.progs.on_sent.as_fd())?;
        self.link = Some(link);
        Ok(mode)
    }

    fn detach(&mut self) {
        self.link = None;
    }

    /// What was refused since the last call, in order of time.
    fn take(&mut self) -> Result<Vec<(What, Times)>> {
        let maps = &self.skeleton.maps;
        let table = self.turned.take(&maps.refused, [&maps.refused_even, &maps.refused_odd])?;
        let boot = clock::boot_offset_ns();
        let mut found: Vec<(What, Times)> =
            table.iter().filter_map(|(key, value)| refused::entry(key, value, boot)).collect();
        found.sort_by(|(one, first), (other, second)| (first.first_ns, one).cmp(&(second.first_ns, other)));
        Ok(found)
    }

    /// Since the program was loaded, by [`Fate::ALL`].
    fn totals(&self) -> Result<[Sum; 6]> {
        let mut totals = [Sum::default(); Fate::ALL.len()];
        for (at, total) in (0_u32..).zip(&mut totals) {
            let cpus = self.skeleton.maps.totals.lookup_percpu(&at.to_ne_bytes(), MapFlags::ANY);
            let cpus = cpus.map_err(|source| Error::Bpf { what: "cannot read the totals", source })?;
            for value in cpus.iter().flatten() {
                let (numbers, _) = value.as_chunks::<8>();
                if let [packets, bytes] = numbers {
                    total.packets += u64::from_ne_bytes(*packets);
                    total.bytes += u64::from_ne_bytes(*bytes);
                }
            }
        }
        Ok(totals)
    }
}
