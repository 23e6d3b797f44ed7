//! Bytes from the ring to owned values: records and bytes per second.

use std::hint::black_box;
use std::mem::offset_of;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use record::decode::{self, Record};
use record_bpf::Kind;
use record_bpf::abi;

/// A record of zeros with its kind, lengths and tail set.
fn record(size: usize, kind: Kind, lengths: &[(usize, &[u8])], tail: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; size];
    let at = offset_of!(abi::Header, kind);
    bytes[at..at + 2].copy_from_slice(&(kind as u16).to_le_bytes());
    for (at, value) in lengths {
        bytes[*at..at + value.len()].copy_from_slice(value);
    }
    bytes.extend_from_slice(tail);
    bytes
}

fn decode_records(c: &mut Criterion) {
    // The kernel lays paths out leaf first, each name with its NUL.
    let path = b"item-17.json\0data\0app\0srv\0";
    let path_len = (path.len() as u16).to_le_bytes();
    let open = record(size_of::<abi::File>(), Kind::Open, &[(offset_of!(abi::File, path_len), &path_len)], path);

    let (exe, cwd, argv) = (b"convert\0bin\0usr\0", b"srv\0", b"convert\0-resize\0large\0/srv/img/17.png\0o.png\0");
    let tail = [&exe[..], cwd, argv].concat();
    let (exe_len, cwd_len) = ((exe.len() as u16).to_le_bytes(), (cwd.len() as u16).to_le_bytes());
    let argv_len = (argv.len() as u32).to_le_bytes();
    let lengths: [(usize, &[u8]); 3] = [
        (offset_of!(abi::Exec, exe_len), &exe_len),
        (offset_of!(abi::Exec, cwd_len), &cwd_len),
        (offset_of!(abi::Exec, argv_len), &argv_len),
    ];
    let exec = record(size_of::<abi::Exec>(), Kind::Exec, &lengths, &tail);

    let mut group = c.benchmark_group("decode");
    let call = record(size_of::<abi::Syscall>(), Kind::Call, &[(offset_of!(abi::Syscall, nr), &[39])], &[]);
    let connect = record(size_of::<abi::Network>(), Kind::Connect, &[(offset_of!(abi::Network, family), &[2])], &[]);
    let size = |record: &[u8]| Throughput::ElementsAndBytes { elements: 1, bytes: record.len() as u64 };
    group.throughput(size(&call));
    group.bench_function("system call", |b| {
        b.iter(|| assert_eq!(decode::call(black_box(&call)).map(|call| call.nr), Some(39u32)));
    });
    group.throughput(size(&connect));
    group.bench_function("connect", |b| {
        b.iter(|| {
            let Ok(Record::Network(network)) = decode::record(black_box(&connect)) else { panic!("a network record") };
            assert_eq!(network.wire.family, 2);
        });
    });
    group.throughput(size(&open));
    group.bench_function("open", |b| {
        b.iter(|| {
            let Ok(Record::File(file)) = decode::record(black_box(&open)) else { panic!("a file record") };
            assert_eq!(file.path.as_deref(), Some("/srv/app/data/item-17.json"));
        });
    });
    group.throughput(size(&exec));
    group.bench_function("exec", |b| {
        b.iter(|| {
            let Ok(Record::Exec(program)) = decode::record(black_box(&exec)) else { panic!("an exec record") };
            assert_eq!((program.exe.as_deref(), program.argv.len()), (Some("/usr/bin/convert"), 5));
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = decode_records
}
criterion_main!(benches);
