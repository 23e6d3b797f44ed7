//! Loads the BPF programs with this recording's settings and hands out their maps.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::time::Duration;

use datasets::Container;
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, Object, OpenObject, UprobeOpts, libbpf_sys};
use record_bpf::Class;
use record_bpf::abi::{Counters, SOFT_STREAMS, Wire};

use crate::cgroup::Hierarchy;
use crate::error::{Error, Result};
use crate::hooks::HOOKS;
use crate::sample::flow::FlowParts;
use crate::thin::known::{Known, Profiles};

#[allow(clippy::all, clippy::undocumented_unsafe_blocks, rust_2018_idioms)]
mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/recorder.skel.rs"));

    /// The programs for kernels before 6.2.
    static BY_HELPER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/helper/recorder.bpf.o"));

    /// The form that this kernel takes. `direct`: the skeleton's own.
    fn object(direct: &'static [u8]) -> &'static [u8] {
        if crate::probe::reads_directly() { direct } else { BY_HELPER }
    }
}

// As in state.h.
const FILTER_TREE: u32 = 0x1;
const FILTER_CGROUP: u32 = 0x2;
// As in calls.h.
const SYSCALL_CALLS: u32 = 1;
const SYSCALL_SETS: u32 = 2;
/// Between two wake-ups from one CPU, under load. The ring holds far more than that: 64 MiB are 60 ms of 5 million events a second.
const WAKEUP_GAP: Duration = Duration::from_millis(1);
const VERDICT_IGNORE: u32 = 0;
const VERDICT_FOLLOW: u32 = 1;

/// Set it to see what libbpf and the kernel's verifier say.
pub const DEBUG_VARIABLE: &str = "RETROSCOPE_BPF_DEBUG";

/// What the programs are told before they load.
#[derive(Clone, Debug)]
pub struct Settings {
    pub follow_tree: bool,
    pub follow_cgroups: bool,
    pub classes: Vec<Class>,
    /// An event per read and write, besides the sums at close.
    pub file_io_calls: bool,
    /// Bytes; a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// Events per CPU before the consumer is woken.
    pub wakeup_batch: u32,
    /// Flows that an interval has room for.
    pub flow_entries: u32,
    /// Plaintext kept of each TLS call, bytes; at most [`record_bpf::abi::TLS_DATA_MAX`].
    pub tls_bytes: u32,
    /// For the syscall class.
    pub syscalls: SyscallForm,
    /// Classes may be thinned while the programs run.
    pub thin: bool,
    /// A filter of known behaviour: its key, and room for so many entries.
    pub known: Option<([u64; 2], u32)>,
}

/// How system calls are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SyscallForm {
    /// Every call, with arguments, result and duration
    #[default]
    Calls,
    /// The set of calls that each process made, when it ends
    Bitmap,
}

/// The calls that a process made which is still there when a recording ends (`struct call_set`).
pub struct OpenCallSet {
    pub pid: u32,
    pub exec_id: u64,
    pub cgroup_id: u64,
    /// A byte for each number, not 0 if the call was made.
    pub called: Vec<u8>,
}

/// The loaded programs. Dropping it detaches them.
pub struct Programs {
    skeleton: skeleton::RecorderSkel<'static>,
    probes: Vec<Link>,
    /// Which form of the programs that emit from uprobes was loaded.
    atomics: bool,
}

/// A place in user space that a program is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    SslRead,
    SslReadEx,
    SslWrite,
    SslWriteEx,
    /// When one of the four returns.
    SslReturn,
    GoRead,
    GoWrite,
    /// A RET instruction of one of both.
    GoReturn,
}

impl Programs {
    /// Opens, configures and loads; nothing runs until [`Programs::attach`].
    pub fn load(settings: &Settings, hierarchy: &Hierarchy) -> Result<Programs> {
        Programs::load_with(settings, hierarchy, |_| {})
    }

    /// As [`Programs::load`]; `prepare` has the last word on the programs before they are loaded.
    pub fn load_with(
        settings: &Settings,
        hierarchy: &Hierarchy,
        prepare: impl FnOnce(&mut OpenObject),
    ) -> Result<Programs> {
        // libbpf writes the verifier's log to stderr, thousands of lines; it is kept for who asks for it.
        if std::env::var_os(DEBUG_VARIABLE).is_none() {
            libbpf_rs::set_print(None);
        }
        let error = |what| move |source| Error::Bpf { what, source };
        // The skeleton borrows its storage for as long as it lives: one recorder, one leak of a few words.
        let storage: &'static mut MaybeUninit<OpenObject> = Box::leak(Box::new(MaybeUninit::uninit()));
        let mut open =
            skeleton::RecorderSkelBuilder::default().open(storage).map_err(error("cannot open the BPF programs"))?;
        let tls = settings.classes.contains(&Class::Tls);
        let rodata = open.maps.rodata_data.as_deref_mut().expect("the programs have settings");
        rodata.self_tgid = std::process::id();
        rodata.filter_mode =
            (u32::from(settings.follow_tree) * FILTER_TREE) | (u32::from(settings.follow_cgroups) * FILTER_CGROUP);
        rodata.wakeup_batch = settings.wakeup_batch;
        // Who asks for a wake-up per event gets it.
        rodata.wakeup_gap = if settings.wakeup_batch > 1 { WAKEUP_GAP.as_nanos() as u64 } else { 0 };
        rodata.hierarchy_id = hierarchy.id;
        rodata.controller = hierarchy.controller;
        rodata.classes = settings.classes.iter().fold(0, |bits, class| bits | (1 << (*class as u32)));
        rodata.file_io_calls = settings.file_io_calls.into();
        rodata.sampling = settings.thin.into();
        rodata.ring_reserve = settings.ring_bytes / 8 * 7;
        rodata.knows = settings.known.is_some().into();
        let (known_key, known_entries) = settings.known.unwrap_or_default();
        rodata.known_key = known_key;
        rodata.tls_bytes = settings.tls_bytes;
        let atomics = tls && atomics_return_values();
        let form = match settings.syscalls {
            _ if !settings.classes.contains(&Class::Syscall) => 0,
            SyscallForm::Calls => SYSCALL_CALLS,
            SyscallForm::Bitmap => SYSCALL_SETS,
        };
        rodata.syscall_form = form;
        let kernel_paths = HOOKS.iter().any(|hook| hook.is_fentry() && hook.serves(&settings.classes));
        rodata.kernel_paths = kernel_paths;
        open.maps.named.set_autocreate(kernel_paths).map_err(error("cannot leave out a map"))?;
        open.maps.named_empty.set_autocreate(kernel_paths).map_err(error("cannot leave out a map"))?;
        for mut program in open.open_object_mut().progs_mut() {
            // Two forms of one hook; see tls.h.
            let name = program.name().to_string_lossy();
            let (name, plain) = name.strip_suffix("_plain").map_or((&*name, false), |name| (name, true));
            let has_forms = matches!(name, "on_ssl_return" | "on_go_return");
            let hook = HOOKS.iter().find(|hook| name == hook.program);
            let wanted = hook.is_some_and(|hook| hook.serves(&settings.classes));
            let unused = form != SYSCALL_CALLS && name == "on_call_exit";
            program.set_autoload(wanted && !unused && (!has_forms || plain != atomics));
        }
        for table in [&mut open.maps.flows_even, &mut open.maps.flows_odd] {
            table.set_max_entries(settings.flow_entries).map_err(error("cannot size the flow tables"))?;
            table.set_autocreate(settings.classes.contains(&Class::Flow)).map_err(error("cannot leave out a map"))?;
        }
        let flows = settings.classes.contains(&Class::Flow);
        open.maps.flows.set_autocreate(flows).map_err(error("cannot leave out a map"))?;
        let cpus = libbpf_rs::num_possible_cpus().map_err(error("cannot count the CPUs"))?;
        let cpus = u32::try_from(cpus).expect("a CPU count fits 32 bits");
        open.maps.scratches.set_max_entries(cpus).map_err(error("cannot size the scratch map"))?;
        // Tables of the form that is not used take no memory.
        if form != SYSCALL_CALLS {
            open.maps.calls.set_max_entries(1).map_err(error("cannot size the table of calls"))?;
        }
        if form != SYSCALL_SETS {
            open.maps.call_sets.set_max_entries(1).map_err(error("cannot size the table of call sets"))?;
        }
        open.maps
            .known
            .set_max_entries(known_entries.max(1))
            .map_err(error("cannot size the filter of known behaviour"))?;
        open.maps.events.set_max_entries(settings.ring_bytes).map_err(error("cannot size the ring buffer"))?;
        if !tls {
            // Never used: as small as a map can be.
            for map in [&mut open.maps.tls_calls, &mut open.maps.tls_sockets_in_call, &mut open.maps.tls_sockets] {
                map.set_max_entries(1).map_err(error("cannot size the maps of the tls class"))?;
            }
        }
        prepare(open.open_object_mut());
        let skeleton = open.load().map_err(error("the kernel refused the BPF programs"))?;
        let rows = skeleton.maps.free_rows.max_entries();
        // Row 0 means none.
        for row in (1..rows).rev() {
            let push = skeleton.maps.free_rows.update(&[], &row.to_ne_bytes(), MapFlags::ANY);
            push.map_err(error("cannot fill a BPF map"))?;
        }
        Ok(Programs { skeleton, probes: Vec::new(), atomics })
    }

    /// The programs themselves.
    pub fn object(&self) -> &Object {
        self.skeleton.object()
    }

    pub fn attach(&mut self) -> Result<()> {
        self.skeleton.attach().map_err(|source| Error::Bpf { what: "cannot attach the BPF programs", source })
    }

    /// Stops emission: after this call no program starts any more.
    pub fn detach(&mut self) {
        self.skeleton.links = skeleton::RecorderLinks::default();
        self.probes.clear();
    }

    /// Watches an instruction, at an offset in the file `path`, of every process that runs it; the programs pick the
    /// followed ones.
    pub fn attach_probe(&mut self, probe: Probe, path: &Path, offset: usize) -> libbpf_rs::Result<()> {
        let programs = &self.skeleton.progs;
        let program = match (probe, self.atomics) {
            (Probe::SslRead, _) => &programs.on_ssl_read,
            (Probe::SslReadEx, _) => &programs.on_ssl_read_ex,
            (Probe::SslWrite, _) => &programs.on_ssl_write,
            (Probe::SslWriteEx, _) => &programs.on_ssl_write_ex,
            (Probe::SslReturn, true) => &programs.on_ssl_return,
            (Probe::SslReturn, false) => &programs.on_ssl_return_plain,
            (Probe::GoRead, _) => &programs.on_go_read,
            (Probe::GoWrite, _) => &programs.on_go_write,
            (Probe::GoReturn, true) => &programs.on_go_return,
            (Probe::GoReturn, false) => &programs.on_go_return_plain,
        };
        let options = UprobeOpts { retprobe: probe == Probe::SslReturn, ..UprobeOpts::default() };
        let every_process = -1;
        self.probes.push(program.attach_uprobe_with_opts(every_process, path, offset, options)?);
        Ok(())
    }

    pub fn ring(&self) -> Result<MapHandle> {
        handle(&self.skeleton.maps.events)
    }

    /// What counts flows; there only if that class was asked for.
    pub fn flow_parts(&self) -> Result<FlowParts<'_>> {
        let skeleton::RecorderSkel { progs, maps, .. } = &self.skeleton;
        Ok(FlowParts {
            xdp: &progs.on_flow_xdp,
            ingress: &progs.on_flow_ingress,
            egress: &progs.on_flow_egress,
            outer: handle(&maps.flows)?,
            tables: [handle(&maps.flows_even)?, handle(&maps.flows_odd)?],
        })
    }

    /// `profiles`: of known behaviour.
    pub fn verdicts(&self, profiles: Profiles) -> Result<Verdicts> {
        let maps = &self.skeleton.maps;
        Ok(Verdicts { map: handle(&maps.verdicts)?, epoch: handle(&maps.data_user)?, profiles })
    }

    /// Tells the kernel what is known; it takes effect with the verdict on a container.
    pub fn know(&self, known: &Known) -> Result<()> {
        let what = "cannot tell the kernel what is known";
        let set = |hash: u64| self.skeleton.maps.known.update(&hash.to_ne_bytes(), &[1], MapFlags::ANY);
        known.hashes().into_iter().try_for_each(set).map_err(|source| Error::Bpf { what, source })
    }

    /// How much of each class is kept (`thin_levels`).
    pub fn thin_levels(&self) -> Result<MapHandle> {
        handle(&self.skeleton.maps.data_thin)
    }

    /// The maps with the counters, for another thread.
    pub fn streams(&self) -> Result<Streams> {
        let maps = &self.skeleton.maps;
        Ok(Streams { cpus: handle(&maps.cpu_states)?, soft: handle(&maps.soft_states)? })
    }

    /// Follows a process and its descendants.
    pub fn follow_tree(&self, pid: u32) -> Result<()> {
        self.skeleton
            .maps
            .tree
            .update(&pid.to_ne_bytes(), &1u32.to_ne_bytes(), MapFlags::ANY)
            .and_then(|()| new_epoch(&self.skeleton.maps.data_user))
            .map_err(|source| Error::Bpf { what: "cannot follow the command", source })
    }

    /// The processes followed as a command's tree, now.
    pub fn tree(&self) -> Vec<u32> {
        self.skeleton.maps.tree.keys().filter_map(|key| key.try_into().ok().map(u32::from_ne_bytes)).collect()
    }

    /// What processes that are still there have called, in the bitmap form.
    pub fn open_call_sets(&self) -> Vec<OpenCallSet> {
        let sets = &self.skeleton.maps.call_sets;
        let read = |key: Vec<u8>| {
            // A set may go while it is looked for: its process ended then, and its row came through the ring.
            let value = sets.lookup(&key, MapFlags::ANY).ok().flatten()?;
            let (exec_id, rest) = value.split_first_chunk()?;
            let (cgroup_id, called) = rest.split_first_chunk()?;
            Some(OpenCallSet {
                pid: u32::from_ne_bytes(key.try_into().ok()?),
                exec_id: u64::from_ne_bytes(*exec_id),
                cgroup_id: u64::from_ne_bytes(*cgroup_id),
                called: called.to_owned(),
            })
        };
        sets.keys().filter_map(read).collect()
    }

    /// The counters of every stream of sequence numbers, with the `cpu` its events carry: the possible CPUs, and for each
    /// CPU and level of nesting what it emitted in softirq, if anything.
    pub fn counters(&self) -> Result<Vec<(u16, Counters)>> {
        counters(&self.skeleton.maps.cpu_states, &self.skeleton.maps.soft_states)
    }

    /// How often the kernel did not run a program because it was running on that CPU already. From 6.2 on (05b24ff9b2cf)
    /// a tracepoint program does not interrupt itself; before, and where the kernel does not count, it is 0.
    pub fn skipped_runs(&self) -> u64 {
        let loaded = self.skeleton.object().progs().map(|program| program.as_fd().as_raw_fd()).filter(|fd| *fd >= 0);
        loaded.map(recursion_misses).sum()
    }
}

fn recursion_misses(program: RawFd) -> u64 {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut len = u32::try_from(size_of_val(&info)).expect("a small struct");
    // SAFETY: `info` and `len` are valid for the call, and `len` is the size of `info`.
    let ret = unsafe { libbpf_sys::bpf_obj_get_info_by_fd(program, (&raw mut info).cast(), &raw mut len) };
    if ret == 0 { info.recursion_misses } else { 0 }
}

/// The counters of every stream, as [`Programs::counters`] has them.
pub struct Streams {
    cpus: MapHandle,
    soft: MapHandle,
}

impl Streams {
    pub fn counters(&self) -> Result<Vec<(u16, Counters)>> {
        counters(&self.cpus, &self.soft)
    }
}

fn counters(cpus: &impl MapCore, soft: &impl MapCore) -> Result<Vec<(u16, Counters)>> {
    let mut streams: Vec<_> = (0..).zip(per_cpu(cpus, 0)?).collect();
    for (level, first) in (0u32..).zip(SOFT_STREAMS) {
        let used = (first..).zip(per_cpu(soft, level)?).filter(|(_, counters)| counters.next_seq > 0);
        streams.extend(used);
    }
    Ok(streams)
}

/// The counters that open each CPU's value (struct cpu_state, struct soft_state).
fn per_cpu(map: &impl MapCore, key: u32) -> Result<Vec<Counters>> {
    let values = map
        .lookup_percpu(&key.to_ne_bytes(), MapFlags::ANY)
        .map_err(|source| Error::Bpf { what: "cannot read the kernel's counters", source })?
        .unwrap_or_default();
    Ok(values.iter().filter_map(|bytes| Counters::read(bytes)).map(|(counters, _)| counters).collect())
}

/// The kernel's table of judged cgroups.
pub struct Verdicts {
    map: MapHandle,
    profiles: Profiles,
    epoch: MapHandle,
}

impl Verdicts {
    /// `container`: the one whose cgroup it is.
    pub fn set(&self, cgroup_id: u64, follow: bool, container: Option<&Container>) -> Result<()> {
        let profile = u32::from(self.profiles.of(container));
        let verdict = if follow { VERDICT_FOLLOW | profile << 16 } else { VERDICT_IGNORE };
        self.map
            .update(&cgroup_id.to_ne_bytes(), &verdict.to_ne_bytes(), MapFlags::ANY)
            .and_then(|()| new_epoch(&self.epoch))
            .map_err(|source| Error::Bpf { what: "cannot tell the kernel which cgroups to follow", source })
    }
}

/// Tells the programs that what they know of the tasks at hand is old (`user_epoch`, the only value of its map). Only this
/// process writes it, from the thread that follows and judges.
fn new_epoch(map: &impl MapCore) -> libbpf_rs::Result<()> {
    let key = 0u32.to_ne_bytes();
    let epoch = map.lookup(&key, MapFlags::ANY)?.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_ne_bytes);
    map.update(&key, &(epoch + 1).to_ne_bytes(), MapFlags::ANY)
}

/// Whether the kernel has atomic operations that return the old value: Linux 5.12. Asked by loading a program that has one:
/// `r1 = 0; *(u64 *)(r10 - 8) = r1; r0 = 0; r1 = atomic_fetch_add((u64 *)(r10 - 8), r1); exit`.
fn atomics_return_values() -> bool {
    use libbpf_rs::libbpf_sys as sys;
    let instruction = |code: u32, registers: u8, off: i16, imm: i32| {
        let mut instruction = sys::bpf_insn { code: code as u8, off, imm, ..Default::default() };
        instruction.set_dst_reg(registers & 0xf);
        instruction.set_src_reg(registers >> 4);
        instruction
    };
    let program = [
        instruction(sys::BPF_ALU64 | sys::BPF_MOV | sys::BPF_K, 0x01, 0, 0),
        instruction(sys::BPF_STX | sys::BPF_DW | sys::BPF_MEM, 0x1a, -8, 0),
        instruction(sys::BPF_ALU64 | sys::BPF_MOV | sys::BPF_K, 0x00, 0, 0),
        instruction(sys::BPF_STX | sys::BPF_DW | sys::BPF_ATOMIC, 0x1a, -8, (sys::BPF_ADD | sys::BPF_FETCH) as i32),
        instruction(sys::BPF_JMP | sys::BPF_EXIT, 0x00, 0, 0),
    ];
    // SAFETY: name, license and instructions are valid for the call, and null options are allowed.
    let fd = unsafe {
        sys::bpf_prog_load(
            sys::BPF_PROG_TYPE_KPROBE,
            c"has_atomics".as_ptr(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as sys::size_t,
            std::ptr::null_mut(),
        )
    };
    if fd >= 0 {
        // SAFETY: the descriptor is ours, and closed once.
        unsafe { libc::close(fd) };
    }
    fd >= 0
}

fn handle(map: &impl MapCore) -> Result<MapHandle> {
    // A handle of its own: it goes to another thread than the skeleton.
    map.info()
        .and_then(|info| MapHandle::from_map_id(info.info.id))
        .map_err(|source| Error::Bpf { what: "cannot open a BPF map", source })
}
