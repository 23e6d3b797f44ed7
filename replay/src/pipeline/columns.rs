//! The columns of a recording that a replay reads: what trees, rules, alerts and the report look at, and nothing else.

use datasets::{Events, Recording};
use record_bpf::Class;

use super::JUDGED;

/// All events that a replay looks at, with what it looks at of them.
pub fn judged(recording: &Recording) -> Events {
    recording.events_with(&JUDGED, of)
}

/// By class; what gives an event its place and its kind is read of each.
pub fn of(class: Class) -> &'static [&'static str] {
    match class {
        Class::Process => &[
            "container",
            "pid",
            "exec_id",
            "parent_exec_id",
            "exe",
            "exe_memfd",
            "exe_deleted",
            "argv",
            "argv_truncated",
            "cwd",
            "uid",
            "exit_code",
            "exit_signal",
            "exe_upper",
        ],
        Class::Security => &[
            "container",
            "pid",
            "exec_id",
            "ret",
            "request",
            "target_pid",
            "target_container",
            "signal",
            "euid",
            "path",
            "source",
            "fs_type",
            "name",
        ],
        Class::File => &["container", "pid", "exec_id", "path", "new_path", "ret", "flags", "mode", "host_path"],
        Class::Network => &[
            "container",
            "pid",
            "exec_id",
            "family",
            "protocol",
            "local_addr",
            "local_port",
            "peer_addr",
            "peer_port",
            "fd",
            "unix_path",
            "ret",
            "bytes_received",
            "bytes_sent",
            "socket_type",
            "direction",
            "old_state",
            "state",
            "retransmits",
            "rtt",
        ],
        Class::Dns => &[
            "container",
            "pid",
            "exec_id",
            "direction",
            "protocol",
            "peer_addr",
            "peer_port",
            "rcode",
            "question",
            "qtype",
            "answers",
        ],
        Class::Tls => &["container", "pid", "exec_id", "fd", "http_method", "http_path", "http_host", "http_status"],
        Class::Flow => &[
            "container",
            "pid",
            "exec_id",
            "interface",
            "direction",
            "protocol",
            "src_addr",
            "src_port",
            "dst_addr",
            "dst_port",
            "packets",
            "bytes",
            "syn",
            "syn_ack",
            "rst",
        ],
        Class::Resource => &["container", "pid", "exec_id", "cpu_total", "memory", "processes"],
        // No replay reads it.
        Class::Syscall => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record_bpf::schema;

    #[test]
    fn each_is_a_column_of_its_class() {
        for class in Class::ALL {
            let columns = schema::COMMON.iter().chain(schema::class_columns(class));
            let known: Vec<&str> = columns.map(|column| column.name).collect();
            for name in of(class) {
                assert!(known.contains(name), "{class}: {name}");
            }
        }
    }
}
