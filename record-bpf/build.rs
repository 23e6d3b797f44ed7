//! Tells whoever compiles the BPF programs where they are (`DEP_RETROSCOPE_BPF_*`); compiles nothing itself.

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo::metadata=include={root}/include");
    println!("cargo::metadata=bpf={root}/bpf");
    println!("cargo::rerun-if-changed=build.rs");
}
