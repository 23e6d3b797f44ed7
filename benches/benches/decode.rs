//! Bytes from the ring to owned values: records and bytes per second. Rows of the classes flow and resource do not come through
//! the ring.

use std::hint::black_box;
use std::mem::offset_of;
use std::time::Duration;

use benches::wire::{self, record};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use record::decode::{self, Record};
use record_bpf::Kind;
use record_bpf::abi;

fn decode_records(c: &mut Criterion) {
    let (open, exec, call, connect) = (wire::open(), wire::exec(), wire::call(), wire::connect());
    let mut group = c.benchmark_group("decode");
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

/// The other classes' records, and a DNS message.
fn decode_rare(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    let size = |record: &[u8]| Throughput::ElementsAndBytes { elements: 1, bytes: record.len() as u64 };

    let (path, source) = (b"/srv/data\0", b"tmpfs\0");
    let (path_len, source_len) = ((path.len() as u16).to_le_bytes(), (source.len() as u16).to_le_bytes());
    let flags = abi::SEC_TEXT_USER.to_le_bytes();
    let lengths: [(usize, &[u8]); 3] = [
        (offset_of!(abi::Security, path_len), &path_len),
        (offset_of!(abi::Security, path2_len), &source_len),
        (offset_of!(abi::Security, flags), &flags),
    ];
    let mount = record(size_of::<abi::Security>(), Kind::Mount, &lengths, &[&path[..], source].concat());
    group.throughput(size(&mount));
    group.bench_function("mount", |b| {
        b.iter(|| {
            let Ok(Record::Security(mount)) = decode::record(black_box(&mount)) else { panic!("a security record") };
            assert_eq!((mount.path.as_deref(), mount.source.as_deref()), (Some("/srv/data"), Some("tmpfs")));
        });
    });

    // An answer (RFC 1035, 4.1): one question, one address, the name a pointer to the question's.
    let mut message = vec![0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    message.extend(b"\x04pool\x04shop\x07example\0\0\x01\0\x01");
    message.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\x59\0\x03");
    let data_len = (message.len() as u32).to_le_bytes();
    let lengths: [(usize, &[u8]); 1] = [(offset_of!(abi::Dns, data_len), &data_len)];
    let answer = record(size_of::<abi::Dns>(), Kind::DnsAnswer, &lengths, &message);
    group.throughput(size(&answer));
    group.bench_function("DNS answer", |b| {
        b.iter(|| {
            let Ok(Record::Dns(dns)) = decode::record(black_box(&answer)) else { panic!("a DNS record") };
            let message = decode::dns::message(&dns.payload, false).expect("a message");
            assert_eq!(message.answers, ["pool.shop.example A 10.89.0.3"]);
        });
    });

    let plaintext = b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    let captured = (plaintext.len() as u32).to_le_bytes();
    let lengths: [(usize, &[u8]); 1] = [(offset_of!(abi::Tls, captured), &captured)];
    let write = record(size_of::<abi::Tls>(), Kind::TlsWrite, &lengths, plaintext);
    group.throughput(size(&write));
    group.bench_function("TLS plaintext", |b| {
        b.iter(|| {
            let Ok(Record::Tls(tls)) = decode::record(black_box(&write)) else { panic!("a TLS record") };
            assert_eq!(tls.data, plaintext);
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = decode_records, decode_rare
}
criterion_main!(benches);
