//! Which BPF program serves which event class, and what the classes are recorded through.
//!
//! A program is loaded only when a class that was asked for needs it.

use std::collections::BTreeMap;

use record_bpf::Class;

use crate::probe;

const FENTRY: &str = "fentry/";

/// The kernel functions that programs attach to the entry of, where the kernel lets them.
pub fn fentry_targets() -> impl Iterator<Item = &'static str> {
    HOOKS.iter().filter_map(|hook| hook.attach.strip_prefix(FENTRY))
}

/// One BPF program of the object.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// The C function's name.
    pub program: &'static str,
    /// Where it attaches, in libbpf's terms.
    pub attach: &'static str,
    /// The classes that need it. Empty: every recording does.
    pub classes: &'static [Class],
}

impl Hook {
    const fn new(program: &'static str, attach: &'static str, classes: &'static [Class]) -> Hook {
        Hook { program, attach, classes }
    }

    pub fn serves(&self, classes: &[Class]) -> bool {
        // The kernel is asked last, and not at all where no class needs to know.
        (self.classes.is_empty() || self.classes.iter().any(|class| classes.contains(class))) && self.is_offered()
    }

    pub fn is_fentry(&self) -> bool {
        self.attach.starts_with(FENTRY)
    }

    /// Whether this kernel lets it attach. What is not offered has a substitute: see `record check`.
    fn is_offered(&self) -> bool {
        self.attach.strip_prefix(FENTRY).is_none_or(|target| probe::fentry()[target].is_ok())
    }
}

/// Process life is followed in every recording: it is what names a process.
pub const HOOKS: &[Hook] = &[
    Hook::new("on_fork", "tp_btf/sched_process_fork", &[]),
    Hook::new("on_exec", "tp_btf/sched_process_exec", &[]),
    Hook::new("on_exit", "tp_btf/sched_process_exit", &[]),
    Hook::new("on_cgroup_mkdir", "tp_btf/cgroup_mkdir", &[]),
    Hook::new("on_cgroup_attach", "tp_btf/cgroup_attach_task", &[]),
    Hook::new("on_sys_enter", "tp_btf/sys_enter", &[Class::File, Class::Network, Class::Dns]),
    Hook::new(
        "on_sys_exit",
        "tp_btf/sys_exit",
        &[Class::Security, Class::File, Class::Network, Class::Dns, Class::Tls],
    ),
    Hook::new("on_flow_xdp", "xdp", &[Class::Flow]),
    Hook::new("on_flow_ingress", "tc ingress", &[Class::Flow]),
    Hook::new("on_flow_egress", "tc egress", &[Class::Flow]),
    Hook::new("on_path_rename", "fentry/security_path_rename", &[Class::File]),
    Hook::new("on_path_link", "fentry/security_path_link", &[Class::File]),
    Hook::new("on_path_unlink", "fentry/security_path_unlink", &[Class::File]),
    Hook::new("on_path_rmdir", "fentry/security_path_rmdir", &[Class::File]),
    Hook::new("on_path_mkdir", "fentry/security_path_mkdir", &[Class::File]),
    Hook::new("on_path_mknod", "fentry/security_path_mknod", &[Class::File]),
    Hook::new("on_path_chmod", "fentry/security_path_chmod", &[Class::File]),
    Hook::new("on_path_chown", "fentry/security_path_chown", &[Class::File]),
    Hook::new("on_path_truncate", "fentry/security_path_truncate", &[Class::File]),
    Hook::new("on_ssl_read", "uprobe/SSL_read", &[Class::Tls]),
    Hook::new("on_ssl_read_ex", "uprobe/SSL_read_ex", &[Class::Tls]),
    Hook::new("on_ssl_write", "uprobe/SSL_write", &[Class::Tls]),
    Hook::new("on_ssl_write_ex", "uprobe/SSL_write_ex", &[Class::Tls]),
    Hook::new("on_ssl_return", "uretprobe/SSL_{read,write}{,_ex}", &[Class::Tls]),
    Hook::new("on_go_read", "uprobe/crypto/tls.(*Conn).Read", &[Class::Tls]),
    Hook::new("on_go_write", "uprobe/crypto/tls.(*Conn).Write", &[Class::Tls]),
    Hook::new("on_go_return", "uprobe at each RET of both", &[Class::Tls]),
    Hook::new("on_signal", "tp_btf/signal_generate", &[Class::Security]),
    Hook::new("on_call_enter", "tp_btf/sys_enter", &[Class::Syscall]),
    Hook::new("on_call_exit", "tp_btf/sys_exit", &[Class::Syscall]),
    Hook::new("on_tcp_state", "tp_btf/inet_sock_set_state", &[Class::Network]),
    Hook::new("on_tcp_retransmit", "tp_btf/tcp_retransmit_skb", &[Class::Network]),
];

/// What a class is recorded through, in words for people and for the manifest.
pub fn of(class: Class) -> Vec<&'static str> {
    let own = move |hook: &&Hook| {
        if hook.classes.is_empty() { class == Class::Process } else { hook.classes.contains(&class) }
    };
    let sampled: &[&str] = if class == Class::Resource { &["cgroup files, /proc"] } else { &[] };
    HOOKS
        .iter()
        .filter(own)
        .filter(|hook| hook.is_offered())
        .map(|hook| hook.attach)
        .chain(sampled.iter().copied())
        .collect()
}

/// For the manifest: class → where its programs attach.
pub fn by_class(classes: &[Class]) -> BTreeMap<String, Vec<String>> {
    let hooks = |class: Class| of(class).into_iter().map(str::to_owned).collect();
    classes.iter().map(|class| (class.name().to_owned(), hooks(*class))).collect()
}
