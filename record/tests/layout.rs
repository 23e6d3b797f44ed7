//! The Rust ABI against the BTF of the compiled BPF object: size of every struct, offset of every field.

use libbpf_rs::btf::types::Struct;
use libbpf_rs::btf::{Btf, BtfKind, HasSize};
use record_bpf::abi::{
    Cgroup, Counters, Dns, Exec, Exit, File, Flow, FlowKey, Fork, Header, Library, Network, Security, Syscall,
    SyscallSet, Tls, UnixNames, Wire,
};

const OBJECTS: [&[u8]; 2] = [
    include_bytes!(concat!(env!("OUT_DIR"), "/helper/recorder.bpf.o")),
    include_bytes!(concat!(env!("OUT_DIR"), "/direct/recorder.bpf.o")),
];

fn check<W: Wire>(btf: &Btf<'_>) {
    let c: Struct<'_> =
        btf.type_by_name(W::C_NAME).unwrap_or_else(|| panic!("{} is not in the object's BTF", W::C_NAME));
    assert_eq!(c.kind(), BtfKind::Struct);
    assert_eq!(c.size(), size_of::<W>(), "size of {}", W::C_NAME);
    let fields: Vec<(String, usize)> = c
        .iter()
        .map(|member| {
            let libbpf_rs::btf::types::MemberAttr::Normal { offset } = member.attr else { panic!("a bit field") };
            (member.name.expect("a named field").to_string_lossy().into_owned(), offset as usize / 8)
        })
        .collect();
    let ours: Vec<(String, usize)> = W::FIELDS.iter().map(|(name, offset)| ((*name).to_owned(), *offset)).collect();
    assert_eq!(fields, ours, "fields of {}", W::C_NAME);
}

#[test]
fn every_wire_struct_is_laid_out_as_the_kernel_side_has_it() {
    for object in OBJECTS {
        check_all(&Btf::from_raw("recorder", object).unwrap().expect("the object carries BTF"));
    }
}

fn check_all(btf: &Btf<'_>) {
    check::<Header>(btf);
    check::<Fork>(btf);
    check::<Exec>(btf);
    check::<Exit>(btf);
    check::<File>(btf);
    check::<Network>(btf);
    check::<Tls>(btf);
    check::<Library>(btf);
    check::<Security>(btf);
    check::<Syscall>(btf);
    check::<SyscallSet>(btf);
    check::<UnixNames>(btf);
    check::<Dns>(btf);
    check::<Cgroup>(btf);
    check::<FlowKey>(btf);
    check::<Flow>(btf);
    check::<Counters>(btf);
}
