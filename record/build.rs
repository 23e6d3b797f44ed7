//! Compiles the BPF programs into a skeleton. Needs clang; libbpf's headers come with libbpf-sys.
//!
//! Twice: kernels from 6.2 on read their structs directly, older ones by a helper (`read.h`). Both forms in one program would do,
//! and cost a quarter of a start's CPU time: for each read, the verifier takes out the one that the kernel does not need.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use libbpf_cargo::SkeletonBuilder;

fn main() {
    let var = |name: &str| PathBuf::from(env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}")));
    let (include, bpf) = (var("DEP_RETROSCOPE_BPF_INCLUDE"), var("DEP_RETROSCOPE_BPF_BPF"));
    if let Err(error) = compile(&include, &bpf, &var("OUT_DIR")) {
        eprintln!("cannot compile the BPF programs: {error:#}");
        eprintln!("hint: the recorder needs clang and libelf's headers: run ./dev setup");
        std::process::exit(1);
    }
    println!("cargo::rerun-if-changed={}", include.display());
    println!("cargo::rerun-if-changed={}", bpf.display());
}

fn compile(include: &Path, bpf: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let skeleton = |direct: u8| -> Result<String, Box<dyn Error>> {
        let dir = out.join(["helper", "direct"][usize::from(direct)]);
        fs::create_dir_all(&dir)?;
        // v3 has 32-bit operations and jumps: Linux 5.1.
        let mut args = vec!["-mcpu=v3".into(), format!("-DDIRECT_READS={direct}").into()];
        args.extend([include, bpf].into_iter().flat_map(|dir| ["-I".into(), dir.as_os_str().to_owned()]));
        // The object is kept beside the skeleton: a test compares its BTF with the Rust ABI.
        let file = dir.join("recorder.skel.rs");
        SkeletonBuilder::new()
            .source(bpf.join("recorder.bpf.c"))
            .obj(dir.join("recorder.bpf.o"))
            .reference_obj(true)
            .clang_args(args)
            .build_and_generate(&file)?;
        Ok(fs::read_to_string(file)?)
    };
    let (helper, direct) = (skeleton(0)?, skeleton(1)?);
    // One skeleton serves both, if their maps, programs and settings are the same.
    for part in ["fn build_skel_config(", "pub struct rodata {", "pub struct bss {"] {
        if block(&helper, part)? != block(&direct, part)? {
            return Err(format!("the two forms differ in more than their instructions: {part}").into());
        }
    }
    let (own, chosen) = ("::new(&DATA)", "::new(object(&DATA))");
    if direct.matches(own).count() != 1 {
        return Err(format!("the skeleton does not say {own} once").into());
    }
    Ok(fs::write(out.join("recorder.skel.rs"), direct.replace(own, chosen))?)
}

/// The lines from the one with `start` to the end of its block.
fn block<'a>(text: &'a str, start: &str) -> Result<&'a str, Box<dyn Error>> {
    let missing = || format!("the skeleton has no whole {start}");
    let at = text.find(start).ok_or_else(missing)?;
    let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = format!("\n{}}}\n", &text[line..at]);
    let length = text[at..].find(&end).ok_or_else(missing)?;
    Ok(&text[at..at + length])
}
