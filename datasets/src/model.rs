//! The rows of a recording as typed values. Field names, units and meanings are those of [`record_bpf::schema`].

use std::sync::Arc;

use record_bpf::{Class, Kind};

/// What every event carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Common {
    /// Unix time, ns.
    pub ts: i64,
    pub cpu: u16,
    pub seq: u64,
    pub kind: Kind,
    pub container: Option<Arc<str>>,
    pub pid: u32,
    pub tid: u32,
    pub exec_id: Option<u64>,
}

/// Every class with its row type and the name of its field where there is one of each: calls `$with! { Class Row field, ... }`.
macro_rules! for_each_class {
    ($with:ident) => {
        $with! {
            Process ProcessEvent process,
            Security SecurityEvent security,
            File FileEvent file,
            Network NetworkEvent network,
            Dns DnsEvent dns,
            Tls TlsEvent tls,
            Flow FlowEvent flow,
            Syscall SyscallEvent syscall,
            Resource ResourceEvent resource,
        }
    };
}
pub(crate) use for_each_class;

macro_rules! event {
    ($($class:ident $row:ident $field:ident,)*) => {
        /// One event of any class.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Event { $($class($row),)* }

        impl Event {
            pub fn common(&self) -> &Common {
                match self { $(Event::$class(event) => &event.common,)* }
            }

            pub fn common_mut(&mut self) -> &mut Common {
                match self { $(Event::$class(event) => &mut event.common,)* }
            }
        }

        $(impl Row for $row {
            fn common(&self) -> &Common {
                &self.common
            }
        })*
    };
}
for_each_class!(event);

impl Event {
    pub fn class(&self) -> Class {
        self.common().kind.class()
    }
}

/// A row of an event table.
pub(crate) trait Row {
    fn common(&self) -> &Common;
}

#[derive(Clone, Debug, PartialEq)]
pub struct ProcessEvent {
    pub common: Common,
    pub child_exec_id: Option<u64>,
    pub child_pid: Option<u32>,
    pub parent_exec_id: Option<u64>,
    pub exe: Option<Arc<str>>,
    pub exe_inode: Option<u64>,
    pub exe_dev: Option<u32>,
    pub exe_memfd: Option<bool>,
    pub exe_deleted: Option<bool>,
    pub argv: Option<Vec<Arc<str>>>,
    pub argv_truncated: Option<bool>,
    pub cwd: Option<Arc<str>>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub exit_code: Option<i32>,
    pub exit_signal: Option<i32>,
    /// ns
    pub cpu_user: Option<u64>,
    /// ns
    pub cpu_system: Option<u64>,
    /// bytes
    pub max_rss: Option<u64>,
    pub script: Option<Arc<str>>,
    pub interpreter: Option<Arc<str>>,
    pub caps_effective: Option<u64>,
    pub pid_ns: Option<u32>,
    pub mnt_ns: Option<u32>,
    pub net_ns: Option<u32>,
    pub user_ns: Option<u32>,
    pub exe_upper: Option<bool>,
}

impl ProcessEvent {
    /// With nothing but what every event carries; each kind fills its own columns.
    pub fn new(common: Common) -> ProcessEvent {
        ProcessEvent {
            common,
            child_exec_id: None,
            child_pid: None,
            parent_exec_id: None,
            exe: None,
            exe_inode: None,
            exe_dev: None,
            exe_memfd: None,
            exe_deleted: None,
            argv: None,
            argv_truncated: None,
            cwd: None,
            uid: None,
            gid: None,
            exit_code: None,
            exit_signal: None,
            cpu_user: None,
            cpu_system: None,
            max_rss: None,
            script: None,
            interpreter: None,
            caps_effective: None,
            pid_ns: None,
            mnt_ns: None,
            net_ns: None,
            user_ns: None,
            exe_upper: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct SecurityEvent {
    pub common: Common,
    pub ret: i32,
    pub request: Option<Arc<str>>,
    pub target_pid: Option<u32>,
    pub target_container: Option<Arc<str>>,
    pub signal: Option<i32>,
    pub uid: Option<u32>,
    pub euid: Option<u32>,
    pub suid: Option<u32>,
    pub fsuid: Option<u32>,
    pub gid: Option<u32>,
    pub egid: Option<u32>,
    pub sgid: Option<u32>,
    pub fsgid: Option<u32>,
    pub caps_effective: Option<u64>,
    pub caps_permitted: Option<u64>,
    pub caps_inheritable: Option<u64>,
    pub flags: Option<u64>,
    pub path: Option<Arc<str>>,
    pub source: Option<Arc<str>>,
    pub fs_type: Option<Arc<str>>,
    pub name: Option<Arc<str>>,
    /// Where path, source and name come from: true for the caller's memory. None: the row has none.
    pub text_from_user: Option<bool>,
    pub path_truncated: bool,
    pub address: Option<u64>,
    /// bytes (io_uring_setup: entries)
    pub length: Option<u64>,
    pub namespace: Option<u32>,
}

impl SecurityEvent {
    /// With nothing but what every row has; each kind fills its own columns.
    pub fn new(common: Common, ret: i32) -> SecurityEvent {
        SecurityEvent {
            common,
            ret,
            request: None,
            target_pid: None,
            target_container: None,
            signal: None,
            uid: None,
            euid: None,
            suid: None,
            fsuid: None,
            gid: None,
            egid: None,
            sgid: None,
            fsgid: None,
            caps_effective: None,
            caps_permitted: None,
            caps_inheritable: None,
            flags: None,
            path: None,
            source: None,
            fs_type: None,
            name: None,
            text_from_user: None,
            path_truncated: false,
            address: None,
            length: None,
            namespace: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct FileEvent {
    pub common: Common,
    pub path: Option<Arc<str>>,
    pub new_path: Option<Arc<str>>,
    /// The path came from the caller's memory, not from the kernel's struct file.
    pub path_from_user: bool,
    pub path_truncated: bool,
    pub deleted: bool,
    pub ret: i32,
    pub fd: Option<i32>,
    pub flags: Option<u32>,
    pub mode: Option<u32>,
    pub inode: Option<u64>,
    pub dev: Option<u32>,
    pub bytes_read: Option<u64>,
    pub bytes_written: Option<u64>,
    pub reads: Option<u32>,
    pub writes: Option<u32>,
    pub implicit: bool,
    /// The path as the recorder's host sees it, where that differs.
    pub host_path: Option<Arc<str>>,
    /// bytes
    pub offset: Option<u64>,
    /// bytes
    pub size: Option<u64>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub attribute: Option<Arc<str>>,
    pub node_dev: Option<u32>,
}

impl FileEvent {
    /// With nothing but what every event carries; each kind fills its own columns.
    pub fn new(common: Common) -> FileEvent {
        FileEvent {
            common,
            path: None,
            new_path: None,
            path_from_user: false,
            path_truncated: false,
            deleted: false,
            ret: 0,
            fd: None,
            flags: None,
            mode: None,
            inode: None,
            dev: None,
            bytes_read: None,
            bytes_written: None,
            reads: None,
            writes: None,
            implicit: false,
            host_path: None,
            offset: None,
            size: None,
            uid: None,
            gid: None,
            attribute: None,
            node_dev: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct NetworkEvent {
    pub common: Common,
    pub family: Arc<str>,
    pub protocol: Arc<str>,
    pub local_addr: Option<Arc<str>>,
    pub local_port: Option<u16>,
    pub peer_addr: Option<Arc<str>>,
    pub peer_port: Option<u16>,
    pub unix_path: Option<Arc<str>>,
    pub ret: i32,
    pub fd: i32,
    pub backlog: Option<i32>,
    pub inode: Option<u64>,
    pub bytes_received: Option<u64>,
    pub bytes_sent: Option<u64>,
    pub peer_from_user: bool,
    pub implicit: bool,
    pub socket_type: Option<Arc<str>>,
    pub direction: Option<Arc<str>>,
    pub old_state: Option<Arc<str>>,
    pub state: Option<Arc<str>>,
    pub tcp_bytes_received: Option<u64>,
    pub tcp_bytes_sent: Option<u64>,
    pub tcp_bytes_acked: Option<u64>,
    pub retransmits: Option<u32>,
    /// µs
    pub rtt: Option<u32>,
    pub unix_local: Option<Arc<str>>,
    pub unix_peer: Option<Arc<str>>,
    pub peer_pid: Option<u32>,
}

impl NetworkEvent {
    /// Of a socket of this family and protocol; each kind fills its own columns.
    pub fn new(common: Common, family: &str, protocol: &str) -> NetworkEvent {
        NetworkEvent {
            common,
            family: family.into(),
            protocol: protocol.into(),
            local_addr: None,
            local_port: None,
            peer_addr: None,
            peer_port: None,
            unix_path: None,
            ret: 0,
            fd: -1,
            backlog: None,
            inode: None,
            bytes_received: None,
            bytes_sent: None,
            peer_from_user: false,
            implicit: false,
            socket_type: None,
            direction: None,
            old_state: None,
            state: None,
            tcp_bytes_received: None,
            tcp_bytes_sent: None,
            tcp_bytes_acked: None,
            retransmits: None,
            rtt: None,
            unix_local: None,
            unix_peer: None,
            peer_pid: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct DnsEvent {
    pub common: Common,
    pub direction: Arc<str>,
    pub protocol: Arc<str>,
    pub local_addr: Option<Arc<str>>,
    pub local_port: u16,
    pub peer_addr: Option<Arc<str>>,
    pub peer_port: u16,
    pub peer_from_user: bool,
    pub fd: i32,
    pub inode: u64,
    pub bytes: u32,
    pub id: Option<u16>,
    pub opcode: Option<Arc<str>>,
    pub rcode: Option<Arc<str>>,
    pub question: Option<Arc<str>>,
    pub qtype: Option<Arc<str>>,
    pub answers: Option<Vec<Arc<str>>>,
    pub truncated: Option<bool>,
    pub malformed: bool,
    pub cut: bool,
    pub more: Option<Vec<Arc<str>>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TlsEvent {
    pub common: Common,
    pub library: Arc<str>,
    pub connection: u64,
    pub fd: Option<i32>,
    pub bytes: u64,
    pub captured: u32,
    pub truncated: bool,
    pub data: Vec<u8>,
    pub http_method: Option<Arc<str>>,
    pub http_path: Option<Arc<str>>,
    pub http_version: Option<Arc<str>>,
    pub http_host: Option<Arc<str>>,
    /// As "name: value".
    pub http_headers: Option<Vec<Arc<str>>>,
    pub http_status: Option<u16>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FlowEvent {
    pub common: Common,
    pub start: i64,
    pub interface: Arc<str>,
    pub direction: Arc<str>,
    pub family: Arc<str>,
    pub protocol: Option<Arc<str>>,
    pub src_addr: Option<Arc<str>>,
    pub src_port: Option<u16>,
    pub dst_addr: Option<Arc<str>>,
    pub dst_port: Option<u16>,
    pub packets: u64,
    pub bytes: u64,
    pub syn: u64,
    pub syn_ack: u64,
    pub fin: u64,
    pub rst: u64,
    pub first: Option<i64>,
    pub last: Option<i64>,
    pub rest: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SyscallEvent {
    pub common: Common,
    pub nr: Option<u16>,
    pub name: Option<Arc<str>>,
    pub a0: Option<u64>,
    pub a1: Option<u64>,
    pub a2: Option<u64>,
    pub a3: Option<u64>,
    pub a4: Option<u64>,
    pub a5: Option<u64>,
    pub ret: Option<i64>,
    /// ns
    pub duration: Option<u64>,
    pub calls: Option<Vec<Arc<str>>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ResourceEvent {
    pub common: Common,
    /// ns
    pub cpu_total: Option<u64>,
    /// ns
    pub cpu_user: Option<u64>,
    /// ns
    pub cpu_system: Option<u64>,
    /// ns
    pub cpu_throttled: Option<u64>,
    /// bytes
    pub memory: Option<u64>,
    /// bytes
    pub memory_anon: Option<u64>,
    /// bytes
    pub memory_file: Option<u64>,
    pub processes: Option<u32>,
    pub source: Arc<str>,
}

/// How a process incarnation came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Fork,
    Exec,
    /// It ran before the recording began.
    Snapshot,
}

impl Origin {
    /// The value of the `origin` column.
    pub const fn name(self) -> &'static str {
        match self {
            Origin::Fork => "fork",
            Origin::Exec => "exec",
            Origin::Snapshot => "snapshot",
        }
    }

    pub fn from_name(name: &str) -> Option<Origin> {
        [Origin::Fork, Origin::Exec, Origin::Snapshot].into_iter().find(|origin| origin.name() == name)
    }
}

/// A row of `processes.parquet`.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    pub exec_id: u64,
    pub parent_exec_id: Option<u64>,
    pub prev_exec_id: Option<u64>,
    pub origin: Origin,
    pub container: Option<Arc<str>>,
    pub pid: u32,
    pub ns_pid: Option<u32>,
    pub start: Option<i64>,
    pub end: Option<i64>,
    pub exe: Option<Arc<str>>,
    pub argv: Option<Vec<Arc<str>>>,
    pub cwd: Option<Arc<str>>,
    pub comm: Option<Arc<str>>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub exe_memfd: bool,
    pub exe_deleted: bool,
    pub argv_truncated: bool,
    pub exit_code: Option<i32>,
    pub exit_signal: Option<i32>,
}

/// A row of `containers.parquet`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    pub id: Arc<str>,
    pub runtime: Option<String>,
    pub name: Option<String>,
    pub image: Option<String>,
    pub image_id: Option<String>,
    pub addresses: Vec<String>,
    pub aliases: Vec<String>,
    /// A JSON object.
    pub labels: Option<String>,
    pub cgroup: String,
    pub first_seen: i64,
    /// As `sha256:...`.
    pub image_digest: Option<String>,
    pub pod: Option<String>,
    /// Kubernetes namespace of the pod.
    pub namespace: Option<String>,
    pub pod_uid: Option<String>,
    /// Where runtime, name and image come from; `unresolved`: nowhere.
    pub identity: Option<String>,
}

impl Container {
    /// Enters an address that it held, once.
    pub fn held(&mut self, address: &str) {
        if !self.addresses.iter().any(|known| known == address) {
            self.addresses.push(address.to_owned());
        }
    }
}

/// A row of `addresses.parquet`: a container held an address for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub address: String,
    pub container: Arc<str>,
    /// Inode number of the network namespace.
    pub net_ns: Option<u32>,
    /// Unix time, ns.
    pub since: i64,
    /// Unix time, ns; None: to the end of the recording.
    pub until: Option<i64>,
}

/// A row of `labels.parquet`: this event belongs to the attack.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    pub class: Class,
    pub cpu: u16,
    pub seq: u64,
    pub act: Arc<str>,
    pub step: Arc<str>,
    /// MITRE ATT&CK id, as T1496.
    pub technique: Arc<str>,
    /// Nobody can say whether it is the attack's: it is neither malicious nor benign, and left out of every score.
    pub ambiguous: bool,
}
