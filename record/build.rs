//! Compiles the BPF programs into a skeleton. Needs clang; libbpf's headers come with libbpf-sys.

use std::env;
use std::path::PathBuf;

use libbpf_cargo::SkeletonBuilder;

fn main() {
    let var = |name: &str| PathBuf::from(env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}")));
    let (include, bpf) = (var("DEP_RETROSCOPE_BPF_INCLUDE"), var("DEP_RETROSCOPE_BPF_BPF"));
    let out = var("OUT_DIR");
    // v3 has 32-bit operations and jumps: Linux 5.1.
    let args =
        ["-mcpu=v3".into(), "-I".into(), include.clone().into_os_string(), "-I".into(), bpf.clone().into_os_string()];
    // The object is kept beside the skeleton: a test compares its BTF with the Rust ABI.
    if let Err(error) = SkeletonBuilder::new()
        .source(bpf.join("recorder.bpf.c"))
        .obj(out.join("recorder.bpf.o"))
        .clang_args(args)
        .build_and_generate(out.join("recorder.skel.rs"))
    {
        eprintln!("cannot compile the BPF programs: {error:#}");
        eprintln!("hint: the recorder needs clang and libelf's headers: run ./dev setup");
        std::process::exit(1);
    }
    println!("cargo::rerun-if-changed={}", include.display());
    println!("cargo::rerun-if-changed={}", bpf.display());
}
