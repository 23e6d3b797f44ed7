//! What this kernel lets a program do, found by doing it.

use std::ffi::CStr;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use libbpf_rs::libbpf_sys as sys;

/// A function that every kernel with `CONFIG_SECURITY_PATH` has, and nobody calls while it is looked at.
const TARGET: &CStr = c"security_path_chroot";

/// Whether programs can be attached to the entry of kernel functions: loads one that does nothing, attaches it, and takes
/// it away again. The error says what the kernel refused.
pub fn fentry() -> Result<(), String> {
    // SAFETY: a C string; the function looks it up in the kernel's BTF.
    let id = unsafe { sys::libbpf_find_vmlinux_btf_id(TARGET.as_ptr(), sys::BPF_TRACE_FENTRY) };
    let id = u32::try_from(id).map_err(|_| format!("the kernel has no {}", TARGET.to_string_lossy()))?;
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
    let loaded = descriptor(loaded).map_err(|error| format!("the kernel refuses to load it: {error}"))?;
    // SAFETY: the program's descriptor is open; a program with a target of its own needs no name.
    let attached = unsafe { sys::bpf_raw_tracepoint_open(ptr::null(), std::os::fd::AsRawFd::as_raw_fd(&loaded)) };
    descriptor(attached).map(drop).map_err(|error| format!("the kernel refuses to attach it: {error}"))
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
        // Whatever it is here: it comes without a crash, and a refusal has a reason.
        if let Err(reason) = fentry() {
            assert!(reason.starts_with("the kernel "), "{reason}");
        }
    }
}
