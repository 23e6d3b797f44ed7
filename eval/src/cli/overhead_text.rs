//! What `eval overhead` prints for people.

use std::fmt::Write as _;

use eval::overhead::{Bare, Overhead, Recorded, Recorder};

use super::text::{clean, count, or_none, table};

/// Bare runs that differ by more than this among themselves say more of the machine than of a recorder.
const NOISY_SPREAD: f64 = 0.05;

pub fn render(found: &Overhead) -> String {
    let machine = &found.machine;
    let mut out = format!(
        "Time under a recorder / time without, medians of {} rounds [95 % bootstrap interval]\n\
         kernel {}, {} CPUs ({}), load {:.1} before{}, work x {}\n",
        found.rounds,
        clean(&machine.kernel),
        machine.cpus,
        clean(&machine.cpu),
        machine.load_before,
        machine.load_after.map_or_else(String::new, |load| format!(" and {load:.1} after")),
        found.scale
    );
    out += &format!("\n{}", ratios(found));
    for bare in &found.bare {
        out += &of_workload(found, bare);
    }
    out + "\n" + &notes(found)
}

fn of<'a>(recorder: &'a Recorder, bare: &Bare) -> Option<&'a Recorded> {
    recorder.results.iter().find(|result| result.workload == bare.workload)
}

/// All workloads and recorders in one table.
fn ratios(found: &Overhead) -> String {
    // A long name takes two lines, so that ten recorders fit.
    let names: Vec<String> =
        found.recorders.iter().map(|recorder| clean(&recorder.marked_name()).replacen('-', "\n-", 1)).collect();
    let header: Vec<&str> = std::iter::once("overhead").chain(names.iter().map(String::as_str)).collect();
    let row = |bare: &Bare| {
        let cells =
            found.recorders.iter().map(|recorder| or_none(of(recorder, bare).map(|result| number(result.ratio))));
        std::iter::once(bare.workload.unit().to_owned()).chain(cells).collect()
    };
    table(&header, &found.bare.iter().map(row).collect::<Vec<_>>(), 1)
}

/// One workload under every recorder.
fn of_workload(found: &Overhead, bare: &Bare) -> String {
    let header = ["recorder", "overhead", "CPU, s", "MiB", "stored", "captured", "named", "B/event"];
    let row = |recorder: &Recorder| {
        let result = of(recorder, bare)?;
        Some(vec![
            clean(&recorder.marked_name()),
            format!("{} [{}, {}]", number(result.ratio), number(result.low), number(result.high)),
            format!("{:.2}", result.cpu_seconds),
            format!("{:.0}", result.memory_mib),
            or_none(result.events.map(|events| count(events.round() as u64))),
            or_none(result.stored_share().map(share)),
            or_none(result.named_share(bare).map(share)),
            or_none(result.bytes_per_event.map(number)),
        ])
    };
    let rows: Vec<_> = found.recorders.iter().filter_map(row).collect();
    let times = bare.operations.map_or_else(String::new, |times| format!(", {} times", count(times)));
    format!(
        "\n{}: {:.3} s bare (spread {:.1} %){times}\n{}",
        bare.workload.unit(),
        bare.median,
        bare.spread * 100.0,
        table(&header, &rows, 1)
    )
}

fn notes(found: &Overhead) -> String {
    let mut out = String::from(
        "  CPU: of the recorder, begin and end included. captured: stored / (stored + what it says it lost). named: events\n  \
         that name the file opened or the program executed / how often that was done.\n",
    );
    // Writing to a String cannot fail.
    for recorder in &found.recorders {
        let version = recorder.version.as_deref().unwrap_or("version not known");
        let ends =
            recorder.idle_cpu_seconds.map_or_else(String::new, |s| format!("; {s:.2} s of CPU to begin and end"));
        let apart = recorder.apart.as_ref().map_or_else(String::new, |how| format!("; * in another run: {how}"));
        let about = clean(&recorder.about);
        let _ = writeln!(out, "  {}: {about} ({}{ends}{apart})", clean(&recorder.name), clean(version));
    }
    for absent in &found.absent {
        let _ = writeln!(out, "  absent: {}: {}", clean(&absent.name), clean(&absent.why));
    }
    let spread = found.bare.iter().map(|bare| bare.spread).fold(0.0, f64::max);
    if found.machine.noise().is_some() || spread > NOISY_SPREAD {
        let _ = writeln!(
            out,
            "  A NOISY MACHINE: load {:.1} before the first run, spread of the bare runs up to {:.0} %. \
             Take the intervals seriously, not the ratios.",
            found.machine.load_before,
            spread * 100.0
        );
    }
    out
}

/// Three digits or so.
fn number(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") }
}

/// 1 as 100 %; never rounded up to a whole that it is not.
fn share(share: f64) -> String {
    match share * 100.0 {
        100.0 => "100 %".to_owned(),
        s if s < 100.0 => format!("{:.2} %", (s * 100.0).floor() / 100.0),
        s => format!("{s:.0} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_fits_a_terminal() {
        let names =
            ["retroscope", "retroscope-minimal", "retroscope-bystander", "auditd", "bpftrace", "strace", "perf"];
        let recorders = names.map(|name| {
            let result = serde_json::json!({
                "workload": "storm", "seconds": [25.0], "ratio": 31.251, "low": 27.51, "high": 33.49, "events": 1_234_567.0,
                "dropped": 9.0, "named": 0.0, "bytes_per_event": 634.04, "cpu_seconds": 120.755, "memory_mib": 1_960.2
            });
            serde_json::json!({
                "name": name, "about": "system calls", "version": "1", "idle_cpu_seconds": 0.2, "results": [result]
            })
        });
        let found = serde_json::json!({
            "rounds": 5, "scale": 1.0, "kernel": "6.18.5 x86_64", "cpu": "AMD EPYC", "cpus": 2, "memory_mib": 8_000, "load_before": 0.1,
            "bare": [{ "workload": "storm", "seconds": [0.8], "median": 0.8, "spread": 0.01, "operations": 300_000 }],
            "recorders": recorders, "absent": [{ "name": "other", "why": "other is not installed" }]
        });
        let text = render(&serde_json::from_value(found).unwrap());
        for line in text.lines().filter(|line| !line.contains(" (1; ")) {
            assert!(line.chars().count() <= 120, "{line}");
        }
        let tables = text.lines().filter(|line| line.starts_with("  retro") || line.starts_with("  open-read"));
        assert!(tables.clone().count() >= 4 && tables.clone().all(|line| line.chars().count() <= 100), "{text}");
        assert!(text.contains("99.99 %") && text.contains("0.00 %") && text.contains("31.3 [27.5, 33.5]"), "{text}");
        assert!(text.contains("absent: other: other is not installed") && !text.contains("NOISY"), "{text}");
    }
}
