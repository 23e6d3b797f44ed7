//! Compiles each `bpf/NAME.bpf.c` into a skeleton, `NAME.skel.rs`. Needs clang; libbpf's headers come with libbpf-sys.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use libbpf_cargo::SkeletonBuilder;

fn main() {
    let var = |name: &str| PathBuf::from(env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}")));
    let (include, bpf) = (var("DEP_RETROSCOPE_BPF_INCLUDE"), var("CARGO_MANIFEST_DIR").join("bpf"));
    if let Err(error) = compile(&include, &bpf, &var("OUT_DIR")) {
        eprintln!("cannot compile the BPF programs: {error:#}");
        eprintln!("hint: enforce needs clang and libelf's headers: run ./dev setup");
        std::process::exit(1);
    }
    println!("cargo::rerun-if-changed={}", include.display());
    println!("cargo::rerun-if-changed={}", bpf.display());
}

fn compile(include: &Path, bpf: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    for file in fs::read_dir(bpf)? {
        let file = file?.path();
        let Some(name) = file.file_name().and_then(|name| name.to_str()?.strip_suffix(".bpf.c")) else { continue };
        // v3 has 32-bit operations and jumps: Linux 5.1.
        SkeletonBuilder::new()
            .source(&file)
            .clang_args(["-mcpu=v3".as_ref(), "-I".as_ref(), include.as_os_str()])
            .build_and_generate(out.join(format!("{name}.skel.rs")))?;
    }
    Ok(())
}
