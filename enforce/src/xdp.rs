//! `enforce xdp`: what a container sends to peers and ports that its policy does not know is dropped where it arrives, at the
//! host's end of its veth pair (`bpf/xdp.bpf.c`).

mod known;
mod refused;

use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType, OpenObject, libbpf_sys};
use serde_json::{Value, json};

use crate::cli::Format;
use crate::clock;
use crate::error::{Error, Result};
use crate::interface::{Interface, Mode};
use crate::policy::Policy;
use crate::signals::{Asked, Signals};
use known::{Entry, entries};
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
    let deadline = args.duration.map(|duration| Instant::now() + duration);
    let mut running = Running { args, filter, said: Said::new(args.format), refused: Refused::default() };
    running.said.attached(&interface, mode, &policy, &entries, &args.policy);
    let begun = clock::unix_ns();
    loop {
        let tick = Instant::now() + args.interval.max(Duration::from_millis(10));
        let asked = signals.wait(deadline.map_or(tick, |deadline| deadline.min(tick)));
        match asked {
            Some(Asked::End) => break,
            Some(Asked::Reload) => running.reload(),
            Some(Asked::Report) => {
                running.turn()?;
                running.said.line(&json!({ "event": "reported" }));
            }
            None => running.turn()?,
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break;
        }
        if !interface.is_there() {
            running.said.note("the interface is gone", &json!({ "event": "interface_gone" }));
            break;
        }
    }
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
    filter: Filter,
    said: Said,
    refused: Refused,
}

impl Running<'_> {
    fn reload(&mut self) {
        let path = &self.args.policy;
        let put = load(path).and_then(|(policy, entries)| self.filter.put(&entries).map(|()| (policy, entries)));
        match put {
            Ok((policy, entries)) => self.said.policy(&policy, &entries, path),
            Err(error) => {
                let line = json!({ "event": "policy_refused", "error": error.to_string() });
                self.said.note(&format!("the old policy stays in force: {error}\nhint: {}", error.hint()), &line);
            }
        }
    }

    fn turn(&mut self) -> Result<()> {
        for (what, times) in self.filter.take()? {
            self.refused.add(&what, times);
            self.said.line(&refused::line(&what, &times));
        }
        Ok(())
    }

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
}

/// A reader that closed the pipe has what it wanted.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// What is said while it runs.
struct Said {
    json: bool,
}

impl Said {
    fn new(format: Format) -> Said {
        Said { json: format == Format::Json }
    }

    fn line(&mut self, line: &Value) {
        // Nobody reads any more: the policy is in force all the same.
        if self.json && print(&format!("{line}\n")).is_err() {
            eprintln!("warning: stdout cannot be written to: nothing more is printed");
            self.json = false;
        }
    }

    fn note(&mut self, text: &str, line: &Value) {
        eprintln!("enforce: {text}");
        self.line(line);
    }

    fn attached(&mut self, interface: &Interface, mode: Mode, policy: &Policy, entries: &[Entry], path: &Path) {
        if policy.not_locked.iter().any(|tree| tree == "network") {
            eprintln!("warning: {}: the network was still being learned when the profile was saved", path.display());
        }
        self.line(&json!({ "event": "attached", "interface": interface.name, "mode": mode }));
        eprintln!("enforce: at {}, {} mode; Ctrl-C ends it", interface.name, mode.name());
        self.policy(policy, entries, path);
    }

    fn policy(&mut self, policy: &Policy, entries: &[Entry], path: &Path) {
        let (out, back) = (policy.egress.len(), policy.ingress.len());
        let line = json!({ "event": "policy", "file": path, "image": policy.image, "egress": out, "ingress": back,
            "entries": entries.len() });
        let image: String = policy.image.chars().filter(|c| !c.is_control()).collect();
        self.note(&format!("policy of {image}: rules outwards {out}, inwards {back}"), &line);
    }
}

/// The types of a map; None: it has none.
fn types(id: u32) -> Option<OwnedFd> {
    // SAFETY: no preconditions; a number of nothing is an error.
    let types = unsafe { libbpf_sys::bpf_btf_get_fd_by_id(id) };
    // SAFETY: the descriptor is new, and nobody else's.
    (types >= 0).then(|| unsafe { OwnedFd::from_raw_fd(types) })
}

/// The loaded program and its maps. It is detached when dropped.
struct Filter {
    skeleton: skeleton::XdpSkel<'static>,
    link: Option<OwnedFd>,
    /// The table being filled: even or odd.
    odd: bool,
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
        Ok(Filter { skeleton, link: None, odd: false })
    }

    /// Puts a policy into force: all of it between two packets.
    fn put(&self, entries: &[Entry]) -> Result<()> {
        let error = |what| move |source| Error::Bpf { what, source };
        // Types and all as the map that the slot was made for: kernels from 5.15 to 6.1 take no other (bpf_map_meta_equal() there
        // compares `timer_off`, which a map without types does not share with one that has them).
        let made_for =
            self.skeleton.maps.known_nothing.info().map_err(error("cannot look at the map of policies"))?.info;
        let types = types(made_for.btf_id);
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
            map_flags: libbpf_sys::BPF_F_NO_PREALLOC,
            btf_fd: types.as_ref().map_or(0, |types| types.as_raw_fd().cast_unsigned()),
            btf_key_type_id: types.as_ref().map_or(0, |_| made_for.btf_key_type_id),
            btf_value_type_id: types.as_ref().map_or(0, |_| made_for.btf_value_type_id),
            ..Default::default()
        };
        let room = u32::try_from(entries.len().max(1)).unwrap_or(u32::MAX);
        let (key, value) = (known::KEY as u32, known::VALUE as u32);
        let trie = MapHandle::create(MapType::LpmTrie, Some("known"), key, value, room, &options)
            .map_err(error("cannot make the map of a policy"))?;
        for Entry { key, value } in entries {
            trie.update(key, value, MapFlags::ANY).map_err(error("cannot fill the map of a policy"))?;
        }
        self.set(&self.skeleton.maps.known, &trie).map_err(error("cannot put the policy into force"))
    }

    fn set(&self, slot: &impl MapCore, map: &impl MapCore) -> libbpf_rs::Result<()> {
        slot.update(&0u32.to_ne_bytes(), &map.as_fd().as_raw_fd().to_ne_bytes(), MapFlags::ANY)
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
        let error = |what| move |source| Error::Bpf { what, source };
        let maps = &self.skeleton.maps;
        let tables = [&maps.refused_even, &maps.refused_odd];
        let full = tables[usize::from(self.odd)];
        self.odd = !self.odd;
        self.set(&maps.refused, tables[usize::from(self.odd)]).map_err(error("cannot turn over the tables"))?;
        // Nothing is counted in the old table after this moment.
        let boot = clock::boot_offset_ns();
        // All in one system call: libbpf-rs 0.27 takes a batch that the kernel did not fill for the last one.
        let mut found: Vec<(What, Times)> = full
            .lookup_and_delete_batch(full.max_entries(), MapFlags::ANY, MapFlags::ANY)
            .map_err(error("cannot read what was refused"))?
            .filter_map(|(key, value)| refused::entry(&key, &value, boot))
            .collect();
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
