//! Names and argument counts of the x86-64 system calls.

use syscalls::x86_64::Sysno;

/// None: newer than the table.
pub fn name(nr: usize) -> Option<&'static str> {
    Sysno::new(nr).map(|call| call.name())
}

/// The name, or `sys_NNN` for a number newer than the table.
pub fn name_or_number(nr: usize) -> String {
    name(nr).map_or_else(|| format!("sys_{nr}"), str::to_owned)
}

/// How many arguments each call takes, a digit each from number 0 on: the fields of
/// `/sys/kernel/tracing/events/syscalls/sys_enter_*/format` on a 6.18 kernel; where that lacks a call (module and kexec
/// calls, and some long gone), the manual's count; 6 for numbers that stand for no call.
const COUNTS: &[u8; 470] = b"\
    33312223363214403443321505333333120221304333663323\
    23345550031421334124533211223211221221232233312221\
    14030110020002222333311112224322231122232322311122\
    21003215212101252214221363266436666603555444333222\
    21633621533631665310443421122241443266354155234554\
    53203244345343453433651236444646321442442132155455\
    25453214236653345332535133666421564006666666666666\
    66666666666666666666666666666666666666666666666666\
    66666666666666666666666642643525332234345654342125\
    44434644444336654555";

/// The registers beyond these hold what the caller happened to leave there.
pub fn arguments(nr: usize) -> usize {
    COUNTS.get(nr).map_or(6, |digit| usize::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_counts_are_those_of_the_manual() {
        for (nr, expected, count) in [
            (0, "read", 3),
            (9, "mmap", 6),
            (39, "getpid", 0),
            (59, "execve", 3),
            (231, "exit_group", 1),
            (257, "openat", 4),
            (435, "clone3", 2),
            (449, "futex_waitv", 5),
            (469, "file_setattr", 5),
        ] {
            assert_eq!((name(nr), arguments(nr)), (Some(expected), count));
        }
        assert_eq!((name_or_number(499), arguments(499)), ("sys_499".to_owned(), 6));
    }
}
