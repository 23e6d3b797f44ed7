//! Rows of the syscall class.

use std::sync::Arc;

use datasets::{Common, SyscallEvent};
use record_bpf::Kind;
use record_bpf::abi;

use super::strings::Interner;
use crate::names::syscalls;

/// One row of nothing but what every event carries.
pub fn empty(common: Common) -> SyscallEvent {
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

/// A row to be filled.
pub fn scratch() -> SyscallEvent {
    let (ts, cpu, seq, pid, tid) = (0, 0, 0, 0, 0);
    empty(Common { ts, cpu, seq, kind: Kind::Call, container: None, pid, tid, exec_id: None })
}

/// Names by number, so that a row costs no search; filled as numbers are met.
#[derive(Default)]
pub struct Names {
    names: Vec<Option<Arc<str>>>,
    /// The number asked for last, and how many arguments it takes.
    last: Option<(u16, usize)>,
}

impl Names {
    fn get(&mut self, nr: u16) -> Option<Arc<str>> {
        let known = syscalls::name(nr.into())?;
        let nr = usize::from(nr);
        if self.names.len() <= nr {
            self.names.resize(nr + 1, None);
        }
        Some(self.names[nr].get_or_insert_with(|| known.into()).clone())
    }

    fn arguments(&mut self, nr: u16) -> usize {
        match self.last {
            Some((last, count)) if last == nr => count,
            _ => {
                let count = syscalls::arguments(nr.into());
                self.last = Some((nr, count));
                count
            }
        }
    }
}

/// Fills a row that is used again for every call: nothing is allocated, moved or counted for one.
pub fn fill(row: &mut SyscallEvent, ts: i64, wire: &abi::Syscall, container: Option<&Arc<str>>, names: &mut Names) {
    let has = |flag: u32| wire.flags & flag != 0;
    // -1 and the numbers of other tables do not fit.
    let nr = u16::try_from(wire.nr).unwrap_or(u16::MAX);
    let SyscallEvent { common, nr: row_nr, name, a0, a1, a2, a3, a4, a5, ret, duration, calls } = row;
    let h = &wire.h;
    (common.ts, common.cpu, common.seq, common.kind) = (ts, h.cpu, h.seq, Kind::Call);
    (common.pid, common.tid, common.exec_id) = (h.pid, h.tid, (h.exec_id != 0).then_some(h.exec_id));
    let same = match (&common.container, container) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new),
        (old, new) => old.is_none() && new.is_none(),
    };
    if !same {
        common.container = container.cloned();
    }
    if *row_nr != Some(nr) {
        *row_nr = Some(nr);
        *name = names.get(nr);
    }
    let count = names.arguments(nr);
    let arg = |i: usize| (i < count).then(|| wire.args[i]);
    (*a0, *a1, *a2, *a3, *a4, *a5) = (arg(0), arg(1), arg(2), arg(3), arg(4), arg(5));
    *ret = (!has(abi::SYSCALL_NO_RETURN)).then_some(wire.ret);
    *duration = (!has(abi::SYSCALL_NO_ENTRY)).then_some(wire.duration);
    *calls = None;
}

/// `called`: a byte for each number, not 0 if the call was made.
pub fn set(common: Common, called: &[u8], strings: &mut Interner) -> SyscallEvent {
    let numbers = called.iter().enumerate().filter(|(_, called)| **called != 0).map(|(nr, _)| nr);
    let names = numbers.map(|nr| strings.get(&syscalls::name_or_number(nr))).collect();
    SyscallEvent { calls: Some(names), ..empty(common) }
}
