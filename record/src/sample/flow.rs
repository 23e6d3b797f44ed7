//! Flows: packets, bytes and TCP flags per 5-tuple, counted at interfaces by XDP or tc, read at the end of every interval.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use datasets::{Event, FlowEvent};
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, ProgramMut, TC_EGRESS, TC_INGRESS, TcHook, libbpf_sys};
use record_bpf::Kind;
use record_bpf::abi::{Flow, FlowKey, Wire};

use super::{Every, Stream};
use crate::clock;
use crate::error::{Error, Result};

/// What to count, and where.
#[derive(Clone, Debug)]
pub struct FlowOptions {
    /// Names of network interfaces of this network namespace.
    pub interfaces: Vec<String>,
    pub hook: FlowHook,
    pub interval: Duration,
    /// Flows that an interval has room for.
    pub entries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FlowHook {
    /// Both directions, at the traffic control layer
    Tc,
    /// Packets received only, at the driver: cheaper, and before the kernel can drop any
    Xdp,
}

impl FlowHook {
    /// In the manifest's words.
    pub fn name(self) -> &'static str {
        match self {
            FlowHook::Tc => "tc ingress, tc egress",
            FlowHook::Xdp => "xdp",
        }
    }

    fn directions(self) -> &'static [u8] {
        match self {
            FlowHook::Tc => &[0, 1],
            FlowHook::Xdp => &[0],
        }
    }
}

/// The programs and maps of the loaded object that flows use.
pub struct FlowParts<'a> {
    pub xdp: &'a ProgramMut<'static>,
    pub ingress: &'a ProgramMut<'static>,
    pub egress: &'a ProgramMut<'static>,
    /// The one that holds the table being filled.
    pub outer: MapHandle,
    pub tables: [MapHandle; 2],
}

struct Interface {
    index: u32,
    name: Arc<str>,
    /// Detaches when dropped.
    attached: Option<Attached>,
}

enum Attached {
    Xdp(#[expect(dead_code, reason = "held until it is dropped")] Link),
    Tc(#[expect(dead_code, reason = "held until it is dropped")] Vec<Filter>),
}

/// A tc filter, taken away when dropped, with its qdisc if that was made for it.
struct Filter {
    hook: TcHook,
    made_qdisc: bool,
}

impl Drop for Filter {
    fn drop(&mut self) {
        // The interface may be gone, and the filter with it.
        let _ = self.hook.detach();
        if self.made_qdisc {
            let _ = self.hook.attach_point(TC_INGRESS | TC_EGRESS).destroy();
        }
    }
}

/// Flows being counted.
pub struct Flows {
    interfaces: Vec<Interface>,
    directions: &'static [u8],
    outer: MapHandle,
    tables: [MapHandle; 2],
    filling: usize,
    /// Begin of the interval, Unix time, ns.
    start: i64,
    pub every: Every,
    words: Words,
}

struct Words {
    directions: [Arc<str>; 2],
    inet: Arc<str>,
    inet6: Arc<str>,
}

impl Flows {
    /// Attaches to the interfaces; counting begins. `now`: Unix time, ns.
    ///
    /// # Errors
    /// An interface that is not there or does not take the program.
    pub fn begin(options: &FlowOptions, parts: FlowParts<'_>, now: i64) -> Result<Flows> {
        let indices = options.interfaces.iter().map(|name| {
            nix::net::if_::if_nametoindex(name.as_str())
                .map_err(|_| Error::prerequisite(format!("there is no network interface {name}"), "ip link lists them"))
        });
        let indices = indices.collect::<Result<Vec<u32>>>()?;
        let mut flows = Flows {
            interfaces: Vec::new(),
            directions: options.hook.directions(),
            outer: parts.outer,
            tables: parts.tables,
            filling: 0,
            start: now,
            every: Every::later(options.interval),
            words: Words { directions: ["in".into(), "out".into()], inet: "inet".into(), inet6: "inet6".into() },
        };
        for table in &flows.tables {
            flows.make_room_for_the_rest(table, &indices)?;
        }
        for (name, index) in options.interfaces.iter().zip(indices) {
            let attached = attach(options.hook, [parts.xdp, parts.ingress, parts.egress], index).map_err(|source| {
                Error::prerequisite(
                    format!("cannot count flows at {name}: {source}"),
                    "another program may hold the interface, or its driver knows no XDP: try --flow-hook tc",
                )
            })?;
            flows.interfaces.push(Interface { index, name: name.as_str().into(), attached: Some(attached) });
        }
        Ok(flows)
    }

    /// The entry that takes what has no room; see flow_count() in flow.h.
    fn make_room_for_the_rest(&self, table: &MapHandle, indices: &[u32]) -> Result<()> {
        for ifindex in indices {
            for egress in self.directions {
                let mut key = [0; size_of::<FlowKey>()];
                let at = std::mem::offset_of!(FlowKey, ifindex);
                key[at..at + 4].copy_from_slice(&ifindex.to_ne_bytes());
                key[std::mem::offset_of!(FlowKey, egress)] = *egress;
                table
                    .update(&key, &[0; size_of::<Flow>()], MapFlags::ANY)
                    .map_err(bpf("cannot prepare a flow table"))?;
            }
        }
        Ok(())
    }

    /// Stops counting: what was counted until now is the last interval's.
    pub fn detach(&mut self) {
        // Names and indices are still needed for the last rows.
        for interface in &mut self.interfaces {
            interface.attached = None;
        }
    }

    /// Ends an interval: every flow that had packets in it. `boot_offset`: Unix time minus CLOCK_BOOTTIME, ns.
    pub fn turn(&mut self, stream: &mut Stream, boot_offset: i64) -> Result<Vec<Event>> {
        let full = self.filling;
        self.filling = 1 - full;
        let next = self.tables[self.filling].as_fd().as_raw_fd();
        self.outer
            .update(&0u32.to_ne_bytes(), &next.to_ne_bytes(), MapFlags::ANY)
            .map_err(bpf("cannot turn over the flow tables"))?;
        // Nothing is counted in the old table after this moment.
        let now = clock::boottime_ns() + boot_offset;
        let table = &self.tables[full];
        // All in one system call: libbpf-rs 0.27 takes a batch that the kernel did not fill for the last one.
        let mut found: Vec<(FlowKey, Flow)> = table
            .lookup_and_delete_batch(table.max_entries(), MapFlags::ANY, MapFlags::ANY)
            .map_err(bpf("cannot read a flow table"))?
            .filter_map(|(key, value)| Some((FlowKey::read(&key)?.0, Flow::read(&value)?.0)))
            .filter(|(_, flow)| flow.packets > 0)
            .collect();
        // The table's order is the hash's.
        found.sort_by_key(|(key, flow)| (flow.first, key.ifindex, key.egress, key.src_addr, key.src_port));
        let indices: Vec<u32> = self.interfaces.iter().map(|interface| interface.index).collect();
        self.make_room_for_the_rest(&self.tables[full], &indices)?;
        let start = std::mem::replace(&mut self.start, now);
        let row = |(key, flow): &(FlowKey, Flow)| self.row(stream, start, now, boot_offset, key, flow);
        Ok(found.iter().map(row).map(Event::Flow).collect())
    }

    fn row(&self, stream: &mut Stream, start: i64, now: i64, offset: i64, key: &FlowKey, flow: &Flow) -> FlowEvent {
        let rest = key.ethertype == 0;
        let unix = |boottime: u64| (boottime != 0).then(|| boottime.cast_signed() + offset);
        let address = |bytes: &[u8; 16]| -> Option<Arc<str>> {
            match key.ethertype {
                ETH_IP => Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).to_string().into()),
                ETH_IPV6 => Some(Ipv6Addr::from(*bytes).to_string().into()),
                _ => None,
            }
        };
        let is_ip = matches!(key.ethertype, ETH_IP | ETH_IPV6);
        // Fragments after the first, and protocols without ports, have neither.
        let port = |port: u16| (key.src_port != 0 || key.dst_port != 0).then_some(port);
        let name = self.interfaces.iter().find(|interface| interface.index == key.ifindex);
        FlowEvent {
            common: stream.common(Kind::Flow, now),
            start,
            interface: name.map_or_else(|| key.ifindex.to_string().into(), |interface| interface.name.clone()),
            direction: self.words.directions[usize::from(key.egress != 0)].clone(),
            family: match key.ethertype {
                ETH_IP => self.words.inet.clone(),
                ETH_IPV6 => self.words.inet6.clone(),
                0 => "any".into(),
                other => format!("{other:#06x}").into(),
            },
            protocol: is_ip.then(|| crate::protocol::ip(key.protocol)),
            src_addr: address(&key.src_addr),
            src_port: port(key.src_port),
            dst_addr: address(&key.dst_addr),
            dst_port: port(key.dst_port),
            packets: flow.packets,
            bytes: flow.bytes,
            syn: flow.syn,
            syn_ack: flow.syn_ack,
            fin: flow.fin,
            rst: flow.rst,
            first: unix(flow.first),
            last: unix(flow.last),
            rest,
        }
    }
}

const ETH_IP: u16 = 0x0800;
const ETH_IPV6: u16 = 0x86dd;

fn attach(hook: FlowHook, [xdp, ingress, egress]: [&ProgramMut<'_>; 3], index: u32) -> libbpf_rs::Result<Attached> {
    let index = index.cast_signed();
    match hook {
        FlowHook::Xdp => xdp.attach_xdp(index).map(Attached::Xdp),
        FlowHook::Tc => {
            let filter = |program: &ProgramMut<'_>, point| {
                let mut hook = TcHook::new(program.as_fd());
                hook.ifindex(index).attach_point(point);
                let made_qdisc = make_qdisc(index);
                let mut filter = Filter { hook, made_qdisc };
                filter.hook.create()?;
                filter.hook.attach()?;
                Ok::<_, libbpf_rs::Error>(filter)
            };
            // Dropped in this order: the qdisc belongs to the first, and goes with it, so it comes last.
            let ingress = filter(ingress, TC_INGRESS)?;
            let egress = filter(egress, TC_EGRESS)?;
            Ok(Attached::Tc(vec![egress, ingress]))
        }
    }
}

/// Makes the clsact qdisc that filters hang on. False: there was one, or there can be none, which attaching tells.
fn make_qdisc(index: i32) -> bool {
    let mut hook = libbpf_sys::bpf_tc_hook {
        sz: size_of::<libbpf_sys::bpf_tc_hook>() as libbpf_sys::size_t,
        ifindex: index,
        attach_point: TC_INGRESS,
        ..Default::default()
    };
    // SAFETY: `hook` is a whole bpf_tc_hook and says its own size.
    unsafe { libbpf_sys::bpf_tc_hook_create(&raw mut hook) == 0 }
}

fn bpf(what: &'static str) -> impl Fn(libbpf_rs::Error) -> Error {
    move |source| Error::Bpf { what, source }
}
