//! Which field is which column: every row type as a group of columns, in the order of [`record_bpf::schema`].

use std::sync::Arc;

use arrow::array::ArrayRef;

use crate::codec::{
    BadColumn, CauseName, ClassName, Codec, MaybeWords, Op, OrFalse, OriginName, PathSource, Signed, Source, Words,
};
use crate::losses::Loss;
use crate::model::{
    Address, Common, Container, DnsEvent, FileEvent, FlowEvent, Label, NetworkEvent, Process, ProcessEvent,
    ResourceEvent, SecurityEvent, SyscallEvent, TlsEvent,
};

type Str = Arc<str>;

/// A row type as columns. The pattern in `append` names every field, so that a new one fails to build until it is here.
macro_rules! table {
    ($row:ident, $builder:ident, $reader:ident { $($field:ident: $codec:ty,)* }) => {
        #[derive(Default)]
        pub(crate) struct $builder { $($field: <$codec as Codec>::Builder,)* }

        pub(crate) struct $reader { $(pub(crate) $field: <$codec as Codec>::Reader,)* }

        impl Codec for $row {
            type Value = $row;
            type Builder = $builder;
            type Reader = $reader;

            fn append(builder: &mut $builder, value: &$row) -> usize {
                let $row { $($field,)* } = value;
                0 $(+ <$codec as Codec>::append(&mut builder.$field, $field))*
            }

            fn finish(builder: &mut $builder, out: &mut Vec<ArrayRef>) {
                $(<$codec as Codec>::finish(&mut builder.$field, out);)*
            }

            fn reader(source: &mut Source<'_>) -> Result<$reader, BadColumn> {
                Ok($reader { $($field: <$codec as Codec>::reader(source)?,)* })
            }

            fn get(reader: &$reader, row: usize) -> $row {
                $row { $($field: <$codec as Codec>::get(&reader.$field, row),)* }
            }
        }
    };
}

table! { Common, CommonBuilder, CommonReader {
    ts: i64, cpu: u16, seq: u64, kind: Words::<Op>, container: Option::<Str>, pid: u32, tid: u32, exec_id: Option::<u64>,
}}

table! { ProcessEvent, ProcessEventBuilder, ProcessEventReader {
    common: Common, child_exec_id: Option::<u64>, child_pid: Option::<u32>, parent_exec_id: Option::<u64>,
    exe: Option::<Str>, exe_inode: Option::<u64>, exe_dev: Option::<u32>, exe_memfd: Option::<bool>,
    exe_deleted: Option::<bool>, argv: Option::<Vec<Str>>, argv_truncated: Option::<bool>, cwd: Option::<Str>,
    uid: Option::<u32>, gid: Option::<u32>, exit_code: Option::<i32>, exit_signal: Option::<i32>,
    cpu_user: Option::<u64>, cpu_system: Option::<u64>, max_rss: Option::<u64>, script: Option::<Str>,
    interpreter: Option::<Str>, caps_effective: Option::<u64>, pid_ns: Option::<u32>, mnt_ns: Option::<u32>,
    net_ns: Option::<u32>, user_ns: Option::<u32>, exe_upper: Option::<bool>,
}}

table! { SecurityEvent, SecurityEventBuilder, SecurityEventReader {
    common: Common, ret: i32, request: Option::<Str>, target_pid: Option::<u32>, target_container: Option::<Str>,
    signal: Option::<i32>, uid: Option::<u32>, euid: Option::<u32>, suid: Option::<u32>, fsuid: Option::<u32>,
    gid: Option::<u32>, egid: Option::<u32>, sgid: Option::<u32>, fsgid: Option::<u32>, caps_effective: Option::<u64>,
    caps_permitted: Option::<u64>, caps_inheritable: Option::<u64>, flags: Option::<u64>, path: Option::<Str>,
    source: Option::<Str>, fs_type: Option::<Str>, name: Option::<Str>, text_from_user: MaybeWords::<PathSource>,
    path_truncated: bool, address: Option::<u64>, length: Option::<u64>, namespace: Option::<u32>,
}}

table! { FileEvent, FileEventBuilder, FileEventReader {
    common: Common, path: Option::<Str>, new_path: Option::<Str>, path_from_user: Words::<PathSource>,
    path_truncated: bool, deleted: bool, ret: i32, fd: Option::<i32>, flags: Option::<u32>, mode: Option::<u32>,
    inode: Option::<u64>, dev: Option::<u32>, bytes_read: Option::<u64>, bytes_written: Option::<u64>,
    reads: Option::<u32>, writes: Option::<u32>, implicit: bool, host_path: Option::<Str>, offset: Option::<u64>,
    size: Option::<u64>, uid: Option::<u32>, gid: Option::<u32>, attribute: Option::<Str>, node_dev: Option::<u32>,
}}

table! { NetworkEvent, NetworkEventBuilder, NetworkEventReader {
    common: Common, family: Str, protocol: Str, local_addr: Option::<Str>, local_port: Option::<u16>,
    peer_addr: Option::<Str>, peer_port: Option::<u16>, unix_path: Option::<Str>, ret: i32, fd: i32,
    backlog: Option::<i32>, inode: Option::<u64>, bytes_received: Option::<u64>, bytes_sent: Option::<u64>,
    peer_from_user: bool, implicit: bool, socket_type: Option::<Str>, direction: Option::<Str>,
    old_state: Option::<Str>, state: Option::<Str>, tcp_bytes_received: Option::<u64>, tcp_bytes_sent: Option::<u64>,
    tcp_bytes_acked: Option::<u64>, retransmits: Option::<u32>, rtt: Option::<u32>, unix_local: Option::<Str>,
    unix_peer: Option::<Str>, peer_pid: Option::<u32>,
}}

table! { DnsEvent, DnsEventBuilder, DnsEventReader {
    common: Common, direction: Str, protocol: Str, local_addr: Option::<Str>, local_port: u16, peer_addr: Option::<Str>,
    peer_port: u16, peer_from_user: bool, fd: i32, inode: u64, bytes: u32, id: Option::<u16>, opcode: Option::<Str>,
    rcode: Option::<Str>, question: Option::<Str>, qtype: Option::<Str>, answers: Option::<Vec<Str>>,
    truncated: Option::<bool>, malformed: bool, cut: bool, more: Option::<Vec<Str>>,
}}

table! { TlsEvent, TlsEventBuilder, TlsEventReader {
    common: Common, library: Str, connection: u64, fd: Option::<i32>, bytes: u64, captured: u32, truncated: bool,
    data: Vec::<u8>, http_method: Option::<Str>, http_path: Option::<Str>, http_version: Option::<Str>,
    http_host: Option::<Str>, http_headers: Option::<Vec<Str>>, http_status: Option::<u16>,
}}

table! { FlowEvent, FlowEventBuilder, FlowEventReader {
    common: Common, start: i64, interface: Str, direction: Str, family: Str, protocol: Option::<Str>,
    src_addr: Option::<Str>, src_port: Option::<u16>, dst_addr: Option::<Str>, dst_port: Option::<u16>, packets: u64,
    bytes: u64, syn: u64, syn_ack: u64, fin: u64, rst: u64, first: Option::<i64>, last: Option::<i64>, rest: bool,
}}

table! { SyscallEvent, SyscallEventBuilder, SyscallEventReader {
    common: Common, nr: Option::<u16>, name: Option::<Str>, a0: Option::<u64>, a1: Option::<u64>, a2: Option::<u64>,
    a3: Option::<u64>, a4: Option::<u64>, a5: Option::<u64>, ret: Signed, duration: Option::<u64>,
    calls: Option::<Vec<Str>>,
}}

table! { ResourceEvent, ResourceEventBuilder, ResourceEventReader {
    common: Common, cpu_total: Option::<u64>, cpu_user: Option::<u64>, cpu_system: Option::<u64>,
    cpu_throttled: Option::<u64>, memory: Option::<u64>, memory_anon: Option::<u64>, memory_file: Option::<u64>,
    processes: Option::<u32>, source: Str,
}}

table! { Process, ProcessBuilder, ProcessReader {
    exec_id: u64, parent_exec_id: Option::<u64>, prev_exec_id: Option::<u64>, origin: Words::<OriginName>,
    container: Option::<Str>, pid: u32, ns_pid: Option::<u32>, start: Option::<i64>, end: Option::<i64>,
    exe: Option::<Str>, argv: Option::<Vec<Str>>, cwd: Option::<Str>, comm: Option::<Str>, uid: Option::<u32>,
    gid: Option::<u32>, exe_memfd: bool, exe_deleted: bool, argv_truncated: bool, exit_code: Option::<i32>,
    exit_signal: Option::<i32>,
}}

table! { Container, ContainerBuilder, ContainerReader {
    id: Str, runtime: Option::<String>, name: Option::<String>, image: Option::<String>, image_id: Option::<String>,
    addresses: Vec::<String>, aliases: Vec::<String>, labels: Option::<String>, cgroup: String, first_seen: i64,
    image_digest: Option::<String>, pod: Option::<String>, namespace: Option::<String>, pod_uid: Option::<String>,
    identity: Option::<String>,
}}

table! { Address, AddressBuilder, AddressReader {
    address: String, container: Str, net_ns: Option::<u32>, since: i64, until: Option::<i64>,
}}

table! { Loss, LossBuilder, LossReader {
    cpu: u16, class: Words::<ClassName>, cause: Words::<CauseName>, from: i64, to: i64, count: u64,
}}

table! { Label, LabelBuilder, LabelReader {
    class: Words::<ClassName>, cpu: u16, seq: u64, act: Str, step: Str, technique: Str, ambiguous: OrFalse,
}}

/// The place of a row in the recording's order, without decoding the rest of it.
impl CommonReader {
    /// (ts, cpu, seq)
    pub(crate) fn key(&self, row: usize) -> (i64, u16, u64) {
        (self.ts.value(row), self.cpu.value(row), self.seq.value(row))
    }
}
