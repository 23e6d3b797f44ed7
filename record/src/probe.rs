//! What this kernel lets a program do, found by doing it.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use libbpf_rs::libbpf_sys as sys;

use crate::hooks;

/// Since 6.2 it gives a pointer of ours a type, and its fields are then read by a load.
const CAST: &str = "bpf_rdonly_cast";

/// Whether programs of this kernel may read its structs without a helper.
pub fn reads_directly() -> bool {
    functions().as_ref().is_ok_and(|functions| functions.contains_key(CAST))
}

/// Whether a program attaches to the entry of each function that [`hooks`] has a program for: loads one for each that does
/// nothing, attaches one of them (which takes long to undo), and takes all away again. The errors say what the kernel
/// refused. Asked once.
pub fn fentry() -> &'static BTreeMap<&'static str, Result<(), String>> {
    static ANSWERS: OnceLock<BTreeMap<&str, Result<(), String>>> = OnceLock::new();
    ANSWERS.get_or_init(|| {
        let loaded: Vec<_> = hooks::fentry_targets().map(|target| (target, load(target))).collect();
        let attached = loaded.iter().find_map(|(_, program)| program.as_ref().ok()).map_or(Ok(()), attach);
        let answer = |program: Result<OwnedFd, String>| program.and_then(|_| attached.clone());
        loaded.into_iter().map(|(target, program)| (target, answer(program))).collect()
    })
}

/// Ids in the kernel's BTF of the functions that are asked about here, if it has them. Its types are parsed once: that takes
/// 5 ms, and libbpf's own look-up does it for each name.
fn functions() -> &'static Result<BTreeMap<&'static str, u32>, String> {
    static FUNCTIONS: OnceLock<Result<BTreeMap<&str, u32>, String>> = OnceLock::new();
    FUNCTIONS.get_or_init(|| {
        let kernel = Btf::of_kernel()?;
        let names = hooks::fentry_targets().chain([CAST]);
        Ok(names.filter_map(|name| Some((name, kernel.function(name)?))).collect())
    })
}

/// The kernel's types.
struct Btf(NonNull<sys::btf>);

impl Btf {
    fn of_kernel() -> Result<Btf, String> {
        // SAFETY: no arguments; what it returns is ours.
        let btf = unsafe { sys::btf__load_vmlinux_btf() };
        NonNull::new(btf).map(Btf).ok_or_else(|| "the kernel has no readable BTF".to_owned())
    }

    fn function(&self, name: &str) -> Option<u32> {
        let name = CString::new(name).ok()?;
        // SAFETY: a live BTF and a C string.
        let id = unsafe { sys::btf__find_by_name_kind(self.0.as_ptr(), name.as_ptr(), sys::BTF_KIND_FUNC) };
        u32::try_from(id).ok()
    }
}

impl Drop for Btf {
    fn drop(&mut self) {
        // SAFETY: made by `of_kernel`, and freed once.
        unsafe { sys::btf__free(self.0.as_ptr()) }
    }
}

fn load(target: &str) -> Result<OwnedFd, String> {
    let functions = functions().as_ref().map_err(Clone::clone)?;
    let id = *functions.get(target).ok_or_else(|| "the kernel has no such function".to_owned())?;
    // r0 = 0; exit
    let program = [instruction(0xb7), instruction(0x95)];
    let mut options = sys::bpf_prog_load_opts {
        sz: size_of::<sys::bpf_prog_load_opts>() as u64,
        expected_attach_type: sys::BPF_TRACE_FENTRY,
        attach_btf_id: id,
        ..Default::default()
    };
    // SAFETY: all pointers are to live values, and the count is that of the instructions.
    let loaded = unsafe {
        sys::bpf_prog_load(
            sys::BPF_PROG_TYPE_TRACING,
            ptr::null(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as u64,
            &raw mut options,
        )
    };
    descriptor(loaded).map_err(|error| format!("the kernel refuses to load a program for it: {error}"))
}

fn attach(program: &OwnedFd) -> Result<(), String> {
    // SAFETY: the program's descriptor is open; a program with a target of its own needs no name.
    let attached = unsafe { sys::bpf_raw_tracepoint_open(ptr::null(), program.as_raw_fd()) };
    descriptor(attached).map(drop).map_err(|error| format!("the kernel refuses to attach a program to it: {error}"))
}

fn instruction(code: u8) -> sys::bpf_insn {
    sys::bpf_insn { code, ..Default::default() }
}

/// libbpf returns the negative errno.
fn descriptor(result: i32) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    // SAFETY: a descriptor just made, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_the_kernels() {
        // Whatever it is here: there is one for each function, and a refusal has a reason.
        assert_eq!(fentry().len(), hooks::fentry_targets().count());
        for (target, answer) in fentry() {
            assert!(
                answer.as_ref().err().is_none_or(|reason| reason.starts_with("the kernel ")),
                "{target}: {answer:?}"
            );
        }
    }
}
