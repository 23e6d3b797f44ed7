//! CPU time used is CPU time found.

use datasets::ResourceEvent;
use record_bpf::Kind;
use serde_json::{Value, json};

use super::{Case, Checked, Facts, Rows, Scratch, Stop};

pub fn cases() -> Vec<Case> {
    vec![Case::new("cpu-time", &[Kind::Usage], burn, check_burn)]
}

/// 200 ms of CPU time, then long enough for a sample to be due.
fn burn(_: &Scratch) -> Result<Value, Stop> {
    let used = || -> Result<u64, std::io::Error> {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
        Ok(now.tv_sec().unsigned_abs() * 1_000_000_000 + now.tv_nsec().unsigned_abs())
    };
    while used()? < 200_000_000 {
        std::hint::spin_loop();
    }
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    Ok(json!({ "cpu": used()? }))
}

fn check_burn(rows: &Rows, facts: &Facts) -> Checked {
    let samples: Vec<&ResourceEvent> = rows.all(Kind::Usage, |_| true);
    let last = samples.last().ok_or("no usage row")?;
    let (found, used) = (last.cpu_total.unwrap_or_default(), facts.number::<u64>("cpu"));
    // The command runs other cases too. The clock of a process is a tick ahead of what is charged to it at most.
    if found + 10_000_000 < used {
        return Err(format!("cpu_total: {found} ns, and this case alone used {used}"));
    }
    match samples.iter().find(|row| row.memory_anon.or(row.memory) == Some(0) && row.processes > Some(0)) {
        Some(row) => Err(format!("no memory, and {:?} processes", row.processes)),
        None => Ok(()),
    }
}
