//! Records as the kernel side lays them out in the ring.

use std::mem::offset_of;

use record_bpf::{Kind, abi};

/// A record of zeros with its kind, lengths and tail set.
pub fn record(size: usize, kind: Kind, lengths: &[(usize, &[u8])], tail: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; size];
    let at = offset_of!(abi::Header, kind);
    bytes[at..at + 2].copy_from_slice(&(kind as u16).to_le_bytes());
    for (at, value) in lengths {
        bytes[*at..at + value.len()].copy_from_slice(value);
    }
    bytes.extend_from_slice(tail);
    bytes
}

/// /srv/app/data/item-17.json
pub fn open() -> Vec<u8> {
    // The kernel lays paths out leaf first, each name with its NUL.
    let path = b"item-17.json\0data\0app\0srv\0";
    let path_len = (path.len() as u16).to_le_bytes();
    record(size_of::<abi::File>(), Kind::Open, &[(offset_of!(abi::File, path_len), &path_len)], path)
}

/// /usr/bin/convert with five arguments.
pub fn exec() -> Vec<u8> {
    let (exe, cwd, argv) = (b"convert\0bin\0usr\0", b"srv\0", b"convert\0-resize\0large\0/srv/img/17.png\0o.png\0");
    let tail = [&exe[..], cwd, argv].concat();
    let (exe_len, cwd_len) = ((exe.len() as u16).to_le_bytes(), (cwd.len() as u16).to_le_bytes());
    let argv_len = (argv.len() as u32).to_le_bytes();
    let lengths: [(usize, &[u8]); 3] = [
        (offset_of!(abi::Exec, exe_len), &exe_len),
        (offset_of!(abi::Exec, cwd_len), &cwd_len),
        (offset_of!(abi::Exec, argv_len), &argv_len),
    ];
    record(size_of::<abi::Exec>(), Kind::Exec, &lengths, &tail)
}

/// getpid()
pub fn call() -> Vec<u8> {
    record(size_of::<abi::Syscall>(), Kind::Call, &[(offset_of!(abi::Syscall, nr), &[39])], &[])
}

/// Of a socket over IPv4.
pub fn connect() -> Vec<u8> {
    record(size_of::<abi::Network>(), Kind::Connect, &[(offset_of!(abi::Network, family), &[2])], &[])
}
