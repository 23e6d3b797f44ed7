//! The trials as tables.

use comfy_table::{CellAlignment, Table, presets};

use super::{REFUSING, Trial};
use crate::output::text::{clean, count, shorten};

/// Broken things shown of each format; JSON has all.
const SHOWN: usize = 5;
/// Characters of a broken thing.
const WIDTH: usize = 80;

/// A row for each step of an attack and for each recording's ordinary life.
pub fn render(trials: &[Trial]) -> String {
    let mut out = steps(trials);
    out.push('\n');
    out.push_str(&benign(trials));
    for trial in trials {
        out.push_str(&broken(trial));
    }
    for trial in trials {
        for image in &trial.without {
            out.push_str(&format!("note: {}: no policy for {}: not in the profile\n", trial.recording, clean(image)));
        }
        for (image, formats) in &trial.missing {
            for (format, why) in formats {
                out.push_str(&format!("note: {}: no {format} for {}: {}\n", trial.recording, clean(image), clean(why)));
            }
        }
    }
    out
}

fn table(header: impl IntoIterator<Item = String>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    table.set_header(header);
    table
}

fn lines(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// From a step's first event to the first refusal.
fn after(ns: i64) -> String {
    match ns {
        ..1_000_000 => "at once".to_owned(),
        1_000_000..1_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{:.1} s", ns as f64 / 1e9),
    }
}

fn steps(trials: &[Trial]) -> String {
    let formats = REFUSING.iter().map(|format| format.name().to_owned());
    let mut table =
        table(["recording", "act", "step", "technique", "events"].map(str::to_owned).into_iter().chain(formats));
    let mut blocked = [0; REFUSING.len()];
    let mut all = 0;
    for trial in trials {
        for step in &trial.steps {
            all += 1;
            let cells = REFUSING.iter().enumerate().map(|(i, format)| match step.blocked.get(format.name()) {
                Some(block) => {
                    blocked[i] += 1;
                    after(block.after_ns)
                }
                None if trial.missing.values().any(|formats| formats.contains_key(format.name())) => "none".to_owned(),
                None => "-".to_owned(),
            });
            let cells: Vec<String> = cells.collect();
            let first = [&*trial.recording, &*step.act, &*step.step, &*step.technique].map(clean);
            table.add_row(first.into_iter().chain([count(step.events)]).chain(cells));
        }
    }
    if all == 0 {
        return "no step of an attack is labelled in what was tried\n".to_owned();
    }
    let sums = blocked.iter().map(|blocked| format!("{blocked} of {all}"));
    let first = ["all", "", "", "", ""].map(str::to_owned);
    table.add_row(first.into_iter().chain(sums));
    format!("stopped, and when after the step's first event ('-': not, 'none': no such policy)\n{}", lines(&table))
}

fn benign(trials: &[Trial]) -> String {
    let formats = REFUSING.iter().map(|format| format.name().to_owned());
    let mut table = table(std::iter::once("recording".to_owned()).chain(formats));
    for trial in trials {
        let cells = REFUSING.iter().map(|format| {
            let benign = trial.benign.get(format.name());
            benign.map_or_else(String::new, |benign| format!("{} of {}", count(benign.refused), count(benign.decided)))
        });
        table.add_row(std::iter::once(trial.recording.clone()).chain(cells));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!(
        "broken: events of ordinary life that would have been refused, of those that the policy has a say in\n{}",
        lines(&table)
    )
}

fn broken(trial: &Trial) -> String {
    let mut out = String::new();
    for format in REFUSING {
        let Some(benign) = trial.benign.get(format.name()).filter(|benign| benign.refused > 0) else { continue };
        out.push_str(&format!("\n{}: {} would have broken\n", trial.recording, format.name()));
        for group in benign.broken.iter().take(SHOWN) {
            let image = crate::policy::names::short(&group.image);
            out.push_str(&format!(
                "  {:>7}  {}: {}\n",
                count(group.count),
                clean(image),
                shorten(&clean(&group.what), WIDTH)
            ));
        }
        if benign.broken.len() > SHOWN {
            out.push_str(&format!("           and {} more kinds\n", count((benign.broken.len() - SHOWN) as u64)));
        }
    }
    out
}
