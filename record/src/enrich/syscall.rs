//! Rows of the syscall class.

use std::sync::Arc;

use datasets::{Common, SyscallEvent};
use record_bpf::abi;

use super::strings::Interner;
use crate::names::syscalls;

/// One row of nothing but what every event carries.
fn empty(common: Common) -> SyscallEvent {
    SyscallEvent {
        common,
        nr: None,
        name: None,
        a0: None,
        a1: None,
        a2: None,
        a3: None,
        a4: None,
        a5: None,
        ret: None,
        duration: None,
        calls: None,
    }
}

/// Names by number, so that a row costs no search; filled as numbers are met.
#[derive(Default)]
pub struct Names(Vec<Option<Arc<str>>>);

impl Names {
    fn get(&mut self, nr: u16) -> Option<Arc<str>> {
        let known = syscalls::name(nr.into())?;
        let nr = usize::from(nr);
        if self.0.len() <= nr {
            self.0.resize(nr + 1, None);
        }
        Some(self.0[nr].get_or_insert_with(|| known.into()).clone())
    }
}

pub fn call(common: Common, wire: &abi::Syscall, names: &mut Names) -> SyscallEvent {
    let has = |flag: u32| wire.flags & flag != 0;
    // -1 and the numbers of other tables do not fit.
    let nr = u16::try_from(wire.nr).unwrap_or(u16::MAX);
    let count = syscalls::arguments(nr.into());
    let arg = |i: usize| (i < count).then(|| wire.args[i]);
    SyscallEvent {
        nr: Some(nr),
        name: names.get(nr),
        a0: arg(0),
        a1: arg(1),
        a2: arg(2),
        a3: arg(3),
        a4: arg(4),
        a5: arg(5),
        ret: (!has(abi::SYSCALL_NO_RETURN)).then_some(wire.ret),
        duration: (!has(abi::SYSCALL_NO_ENTRY)).then_some(wire.duration),
        ..empty(common)
    }
}

/// `called`: a byte for each number, not 0 if the call was made.
pub fn set(common: Common, called: &[u8], strings: &mut Interner) -> SyscallEvent {
    let numbers = called.iter().enumerate().filter(|(_, called)| **called != 0).map(|(nr, _)| nr);
    let names = numbers.map(|nr| strings.get(&syscalls::name_or_number(nr))).collect();
    SyscallEvent { calls: Some(names), ..empty(common) }
}
