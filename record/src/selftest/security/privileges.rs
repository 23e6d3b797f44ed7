//! Ids and capabilities.

use record_bpf::Kind;
use serde_json::{Value, json};

use super::{Case, Checked, Facts, Rows, Scratch, Stop, at, call, check_call, in_child, int, one};
use crate::expect;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("setuid", &[Kind::Setuid, Kind::Setgid], ids, check_ids),
        Case::new("capset", &[Kind::Capset], capset, check_capset),
    ]
}

fn ids(scratch: &Scratch) -> Result<Value, Stop> {
    in_child(scratch, || {
        Ok(json!({
            "setresgid": call(libc::SYS_setresgid, [2001, 2002, 2003]),
            "setfsgid": call(libc::SYS_setfsgid, [2003]),
            "setfsuid": call(libc::SYS_setfsuid, [1234]),
            "setresuid": call(libc::SYS_setresuid, [1001, 1002, 1003]),
            "setreuid": call(libc::SYS_setreuid, [int(-1), 1001]),
            "refused": call(libc::SYS_setuid, [0]),
        }))
    })
}

fn check_ids(rows: &Rows, facts: &Facts) -> Checked {
    let asked = |kind, request: &str| one(rows, kind, |row| row.request.as_deref() == Some(request));
    expect!((facts.number("setresuid"), facts.number("refused")), (0, -libc::EPERM));

    let row = asked(Kind::Setgid, "setresgid(2001,2002,2003)")?;
    check_call(rows, facts, row, "setresgid")?;
    expect!((row.gid, row.egid, row.sgid, row.fsgid), (Some(2001), Some(2002), Some(2003), Some(2002)));
    expect!((row.uid, row.euid), (Some(0), Some(0)));
    let root_caps = row.caps_permitted;
    expect!(row.caps_effective, root_caps);
    let row = asked(Kind::Setgid, "setfsgid(2003)")?;
    check_call(rows, facts, row, "setfsgid")?;
    expect!((row.egid, row.fsgid), (Some(2002), Some(2003)));
    let row = asked(Kind::Setuid, "setfsuid(1234)")?;
    check_call(rows, facts, row, "setfsuid")?;
    expect!((row.euid, row.fsuid), (Some(0), Some(1234)));

    let row = asked(Kind::Setuid, "setresuid(1001,1002,1003)")?;
    check_call(rows, facts, row, "setresuid")?;
    expect!((row.uid, row.euid, row.suid, row.fsuid), (Some(1001), Some(1002), Some(1003), Some(1002)));
    expect!((row.caps_effective, row.caps_permitted), (Some(0), Some(0)));
    let row = asked(Kind::Setuid, "setreuid(-1,1001)")?;
    check_call(rows, facts, row, "setreuid")?;
    expect!((row.uid, row.euid, row.suid), (Some(1001), Some(1001), Some(1003)));
    let row = asked(Kind::Setuid, "setuid(0)")?;
    check_call(rows, facts, row, "refused")?;
    expect!((row.uid, row.euid), (Some(1001), Some(1001)));
    Ok(())
}

const CAP_CHOWN: u32 = 1 << 0;
const CAP_KILL: u32 = 1 << 5;

fn capset(scratch: &Scratch) -> Result<Value, Stop> {
    in_child(scratch, || {
        // _LINUX_CAPABILITY_VERSION_3 and the caller itself; then effective, permitted, inheritable, low and high words.
        let header = [0x2008_0522u32, 0];
        let data = [CAP_CHOWN, CAP_CHOWN | CAP_KILL, 0, 0, 0, 0];
        let ret = call(libc::SYS_capset, [at(&header), at(&data)]);
        let back = [CAP_CHOWN, CAP_CHOWN | CAP_KILL, 0, 1, 1, 0];
        Ok(json!({ "ret": ret, "refused": call(libc::SYS_capset, [at(&header), at(&back)]) }))
    })
}

fn check_capset(rows: &Rows, facts: &Facts) -> Checked {
    let row = one(rows, Kind::Capset, |row| row.ret == 0)?;
    check_call(rows, facts, row, "ret")?;
    expect!(row.caps_effective, Some(CAP_CHOWN.into()));
    expect!(row.caps_permitted, Some((CAP_CHOWN | CAP_KILL).into()));
    expect!(row.caps_inheritable, Some(0));
    expect!((row.uid, row.gid), (Some(0), Some(0)));
    let row = one(rows, Kind::Capset, |row| row.ret != 0)?;
    check_call(rows, facts, row, "refused")?;
    expect!(row.caps_effective, Some(CAP_CHOWN.into()));
    Ok(())
}
