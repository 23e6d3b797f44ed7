//! Which column of an event is what. Every field is named, so that a new one fails to build until it is decided about.

use std::sync::Arc;

use super::names::{Kind, Names};
use crate::model::{
    Common, DnsEvent, Event, FileEvent, FlowEvent, NetworkEvent, ProcessEvent, ResourceEvent, SecurityEvent,
    SyscallEvent, TlsEvent,
};

impl Names {
    /// Replaces what tells people, hosts and networks apart.
    pub(super) fn event(&mut self, event: &mut Event) {
        match event {
            Event::Process(row) => self.process_event(row),
            Event::Security(row) => self.security(row),
            Event::File(row) => self.file(row),
            Event::Network(row) => self.network(row),
            Event::Dns(row) => self.dns(row),
            Event::Tls(row) => self.tls(row),
            Event::Flow(row) => self.flow(row),
            Event::Syscall(row) => self.syscall(row),
            Event::Resource(row) => self.resource(row),
        }
    }

    pub(super) fn each(&mut self, kind: Kind, texts: &mut [&mut Option<Arc<str>>]) {
        for text in texts {
            if let Some(text) = &mut **text {
                *text = self.shared(kind, text);
            }
        }
    }

    pub(super) fn list(&mut self, kind: Kind, texts: &mut Option<Vec<Arc<str>>>) {
        for text in texts.iter_mut().flatten() {
            *text = self.shared(kind, text);
        }
    }

    fn common(&mut self, common: &mut Common) {
        let Common { ts: _, cpu: _, seq: _, kind: _, container, pid: _, tid: _, exec_id: _ } = common;
        self.each(Kind::Id, &mut [container]);
    }

    fn process_event(&mut self, row: &mut ProcessEvent) {
        let ProcessEvent {
            common,
            child_exec_id: _,
            child_pid: _,
            parent_exec_id: _,
            exe,
            exe_inode: _,
            exe_dev: _,
            exe_memfd: _,
            exe_deleted: _,
            argv,
            argv_truncated: _,
            cwd,
            uid: _,
            gid: _,
            exit_code: _,
            exit_signal: _,
            cpu_user: _,
            cpu_system: _,
            max_rss: _,
            script,
            interpreter,
            caps_effective: _,
            pid_ns: _,
            mnt_ns: _,
            net_ns: _,
            user_ns: _,
            exe_upper: _,
        } = row;
        self.common(common);
        self.each(Kind::Path, &mut [exe, cwd, script, interpreter]);
        self.list(Kind::Text, argv);
    }

    fn security(&mut self, row: &mut SecurityEvent) {
        let SecurityEvent {
            common,
            ret: _,
            request: _,
            target_pid: _,
            target_container,
            signal: _,
            uid: _,
            euid: _,
            suid: _,
            fsuid: _,
            gid: _,
            egid: _,
            sgid: _,
            fsgid: _,
            caps_effective: _,
            caps_permitted: _,
            caps_inheritable: _,
            flags: _,
            path,
            source,
            fs_type: _,
            name,
            text_from_user: _,
            path_truncated: _,
            address: _,
            length: _,
            namespace: _,
        } = row;
        self.common(common);
        self.each(Kind::Id, &mut [target_container]);
        self.each(Kind::Path, &mut [path, source]);
        self.each(Kind::Text, &mut [name]);
    }

    fn file(&mut self, row: &mut FileEvent) {
        let FileEvent {
            common,
            path,
            new_path,
            path_from_user: _,
            path_truncated: _,
            deleted: _,
            ret: _,
            fd: _,
            flags: _,
            mode: _,
            inode: _,
            dev: _,
            bytes_read: _,
            bytes_written: _,
            reads: _,
            writes: _,
            implicit: _,
            host_path,
            offset: _,
            size: _,
            uid: _,
            gid: _,
            attribute,
            node_dev: _,
        } = row;
        self.common(common);
        self.each(Kind::Path, &mut [path, new_path, host_path]);
        self.each(Kind::Text, &mut [attribute]);
    }

    fn network(&mut self, row: &mut NetworkEvent) {
        let NetworkEvent {
            common,
            family: _,
            protocol: _,
            local_addr,
            local_port: _,
            peer_addr,
            peer_port: _,
            unix_path,
            ret: _,
            fd: _,
            backlog: _,
            inode: _,
            bytes_received: _,
            bytes_sent: _,
            peer_from_user: _,
            implicit: _,
            socket_type: _,
            direction: _,
            old_state: _,
            state: _,
            tcp_bytes_received: _,
            tcp_bytes_sent: _,
            tcp_bytes_acked: _,
            retransmits: _,
            rtt: _,
            unix_local,
            unix_peer,
            peer_pid: _,
        } = row;
        self.common(common);
        self.each(Kind::Text, &mut [local_addr, peer_addr]);
        self.each(Kind::Path, &mut [unix_path, unix_local, unix_peer]);
    }

    fn dns(&mut self, row: &mut DnsEvent) {
        let DnsEvent {
            common,
            direction: _,
            protocol: _,
            local_addr,
            local_port: _,
            peer_addr,
            peer_port: _,
            peer_from_user: _,
            fd: _,
            inode: _,
            bytes: _,
            id: _,
            opcode: _,
            rcode: _,
            question,
            qtype: _,
            answers,
            truncated: _,
            malformed: _,
            cut: _,
            more,
        } = row;
        self.common(common);
        self.each(Kind::Text, &mut [local_addr, peer_addr]);
        self.each(Kind::Domain, &mut [question]);
        self.answers(answers);
        self.list(Kind::Text, more);
    }

    /// Each as 'name type data'.
    fn answers(&mut self, answers: &mut Option<Vec<Arc<str>>>) {
        for answer in answers.iter_mut().flatten() {
            let mut parts = answer.splitn(3, ' ');
            let (Some(name), Some(ty), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
                *answer = self.shared(Kind::Text, answer);
                continue;
            };
            let names = matches!(ty, "CNAME" | "NS" | "PTR" | "DNAME");
            let data = if names { self.domain(data.trim_end_matches('.')) } else { self.text(data) };
            *answer = format!("{} {ty} {data}", self.domain(name.trim_end_matches('.'))).into();
        }
    }

    fn tls(&mut self, row: &mut TlsEvent) {
        let TlsEvent {
            common,
            library: _,
            connection: _,
            fd: _,
            bytes: _,
            captured: _,
            truncated: _,
            data,
            http_method: _,
            http_path,
            http_version: _,
            http_host,
            http_headers,
            http_status: _,
        } = row;
        self.common(common);
        // What a connection protected can be anything.
        data.clear();
        self.each(Kind::Text, &mut [http_path, http_host]);
        for header in http_headers.iter_mut().flatten() {
            *header = self.shared(Kind::Text, header);
        }
    }

    fn flow(&mut self, row: &mut FlowEvent) {
        let FlowEvent {
            common,
            start: _,
            interface,
            direction: _,
            family: _,
            protocol: _,
            src_addr,
            src_port: _,
            dst_addr,
            dst_port: _,
            packets: _,
            bytes: _,
            syn: _,
            syn_ack: _,
            fin: _,
            rst: _,
            first: _,
            last: _,
            rest: _,
        } = row;
        self.common(common);
        *interface = self.shared(Kind::Text, interface);
        self.each(Kind::Text, &mut [src_addr, dst_addr]);
    }

    fn syscall(&mut self, row: &mut SyscallEvent) {
        let SyscallEvent {
            common,
            nr: _,
            name: _,
            a0: _,
            a1: _,
            a2: _,
            a3: _,
            a4: _,
            a5: _,
            ret: _,
            duration: _,
            calls: _,
        } = row;
        self.common(common);
    }

    fn resource(&mut self, row: &mut ResourceEvent) {
        let ResourceEvent {
            common,
            cpu_total: _,
            cpu_user: _,
            cpu_system: _,
            cpu_throttled: _,
            memory: _,
            memory_anon: _,
            memory_file: _,
            processes: _,
            source: _,
        } = row;
        self.common(common);
    }
}
