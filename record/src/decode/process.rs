//! Programs: the exec record and the description of a running process.

use record_bpf::abi::{self, Wire};

use super::text::{kernel_path, text, until_nul, user_path};

/// An exec, or the description of a running program.
#[derive(Debug)]
pub struct Program {
    pub wire: abi::Exec,
    pub exe: Option<String>,
    pub cwd: Option<String>,
    /// What execve was given, when an interpreter runs instead; absolute.
    pub script: Option<String>,
    pub interpreter: Option<String>,
    pub argv: Vec<String>,
}

pub fn program(bytes: &[u8]) -> Option<Program> {
    let (wire, data) = abi::Exec::read(bytes)?;
    let (exe, data) = data.split_at_checked(wire.exe_len.into())?;
    let (cwd, data) = data.split_at_checked(wire.cwd_len.into())?;
    let (script, data) = data.split_at_checked(wire.script_len.into())?;
    let (interpreter, data) = data.split_at_checked(wire.interp_len.into())?;
    let (argv, _) = data.split_at_checked(usize::try_from(wire.argv_len).ok()?)?;
    Some(Program {
        wire,
        // A kernel thread has no executable, a file at the root of nothing no name.
        exe: (!exe.is_empty()).then(|| kernel_path(exe)),
        cwd: Some(kernel_path(cwd)),
        script: (!script.is_empty()).then(|| user_path(script, cwd)),
        interpreter: (!interpreter.is_empty()).then(|| text(until_nul(interpreter))),
        argv: arguments(argv),
    })
}

/// `argv` as the kernel lays it out: each argument ends with a NUL. A truncated last one has none.
fn arguments(bytes: &[u8]) -> Vec<String> {
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.strip_suffix(&[0]).unwrap_or(bytes).split(|&byte| byte == 0).map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_arguments_are_kept() {
        assert_eq!(arguments(b"sh\0-c\0\0"), ["sh", "-c", ""]);
        assert_eq!(arguments(b"cut\0of"), ["cut", "of"]);
        assert!(arguments(b"").is_empty());
    }
}
