//! What the selftest found: per event kind for people, per case and kind for programs.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use record_bpf::Kind;
use serde::Serialize;

use super::judge::{Outcome, Verdict};
#[derive(Debug, Serialize)]
pub struct Report {
    /// No row is missing and none is wrong, and the recordings are intact.
    pub ok: bool,
    /// As `uname -r`.
    pub kernel: String,
    pub seconds: f64,
    /// Findings of `datasets verify`; empty when every recording is intact.
    pub accounting: Vec<String>,
    pub kinds: Vec<KindResult>,
    pub cases: Vec<CaseResult>,
    /// Class → where its programs attached.
    pub hooks: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    Skipped,
    Ok,
    Wrong,
}

/// The worst of the cases that cover a kind: wrong before ok before skipped.
#[derive(Debug, Serialize)]
pub struct KindResult {
    pub class: &'static str,
    pub op: &'static str,
    pub result: Mark,
    /// What was wrong or skipped, by case.
    pub notes: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct CaseResult {
    pub case: &'static str,
    /// As `file.open`.
    pub kinds: Vec<String>,
    pub result: Mark,
    pub note: Option<String>,
}

impl Report {
    pub fn new(
        verdicts: Vec<Verdict>,
        accounting: Vec<String>,
        hooks: BTreeMap<String, Vec<String>>,
        elapsed: Duration,
    ) -> Report {
        let results: Vec<_> = verdicts.iter().map(|verdict| (verdict, mark(&verdict.outcome))).collect();
        let kinds: Vec<_> = Kind::ALL.iter().filter_map(|kind| kind_result(*kind, &results)).collect();
        let cases: Vec<_> = results
            .iter()
            .map(|(verdict, (result, note))| CaseResult {
                case: verdict.case.name,
                kinds: verdict.case.kinds.iter().map(|kind| format!("{}.{}", kind.class(), kind.op())).collect(),
                result: *result,
                note: note.map(str::to_owned),
            })
            .collect();
        Report {
            ok: accounting.is_empty() && cases.iter().all(|case| case.result != Mark::Wrong),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            seconds: elapsed.as_secs_f64(),
            accounting,
            hooks,
            kinds,
            cases,
        }
    }
}

fn mark(outcome: &Outcome) -> (Mark, Option<&str>) {
    match outcome {
        Outcome::Ok => (Mark::Ok, None),
        Outcome::Wrong(what) => (Mark::Wrong, Some(what)),
        Outcome::Skipped(why) => (Mark::Skipped, Some(why)),
    }
}

fn kind_result(kind: Kind, results: &[(&Verdict, (Mark, Option<&str>))]) -> Option<KindResult> {
    let own = || results.iter().filter(|(verdict, _)| verdict.case.kinds.contains(&kind));
    let result = own().map(|(_, (mark, _))| *mark).max()?;
    let note = |(verdict, (mark, note)): &(&Verdict, (Mark, Option<&str>))| {
        let skipped = if *mark == Mark::Skipped { "skipped: " } else { "" };
        note.map(|note| format!("{}: {skipped}{note}", verdict.case.name))
    };
    Some(KindResult { class: kind.class().name(), op: kind.op(), result, notes: own().filter_map(note).collect() })
}

/// 100 columns in a pipe, as wide as the terminal on one.
pub fn table(report: &Report) -> String {
    let mut kinds = new_table();
    kinds.set_header(["class", "event", "result", "what was wrong"]);
    let mut shown = HashSet::new();
    for kind in &report.kinds {
        // A case of several kinds has the same to say of each.
        let mut first = |note: &str| shown.insert(note.to_owned());
        let notes: Vec<_> =
            kind.notes.iter().map(|note| if first(note) { note.as_str() } else { "as above" }).collect();
        let result = match kind.result {
            Mark::Ok => "ok",
            Mark::Wrong => "WRONG",
            Mark::Skipped => "skipped",
        };
        kinds.add_row([kind.class, kind.op, result, &notes.join("\n")]);
    }
    let mut hooks = new_table();
    hooks.set_header(["class", "hooks"]);
    for (class, places) in &report.hooks {
        hooks.add_row([class, &places.join(", ")]);
    }
    let accounting = match &report.accounting[..] {
        [] => "every recording is intact, every event accounted for\n".to_owned(),
        problems => problems.iter().map(|problem| format!("NOT INTACT: {problem}\n")).collect(),
    };
    let count = |mark| report.cases.iter().filter(|case| case.result == mark).count();
    let (right, wrong, skipped) = (count(Mark::Ok), count(Mark::Wrong), count(Mark::Skipped));
    format!(
        "{kinds}\n\n{hooks}\n{accounting}kernel {}: {right} cases right, {wrong} wrong, {skipped} skipped, in {:.1} s\n",
        report.kernel, report.seconds
    )
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(100);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::cases;

    #[test]
    fn a_kind_is_as_good_as_its_worst_case_and_nothing_is_silent() {
        let verdicts = || {
            cases().into_iter().map(|case| Verdict {
                outcome: match case.name {
                    "tcp6" => Outcome::Skipped("no IPv6".to_owned()),
                    "chmod" => Outcome::Wrong("row.mode: expected 1, found 2".to_owned()),
                    _ => Outcome::Ok,
                },
                case,
            })
        };
        let report = Report::new(verdicts().collect(), vec![], BTreeMap::new(), Duration::from_secs(1));
        let kind = |class, op| report.kinds.iter().find(|kind| (kind.class, kind.op) == (class, op)).unwrap();
        assert!(!report.ok);
        assert_eq!(kind("file", "chmod").result, Mark::Wrong);
        assert_eq!(kind("network", "bind").result, Mark::Ok);
        assert_eq!(kind("network", "bind").notes, ["tcp6: skipped: no IPv6"]);
        let text = table(&report);
        assert!(text.contains("chmod: row.mode: expected 1, found 2"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        let lost = Report::new(vec![], vec!["a gap".to_owned()], BTreeMap::new(), Duration::ZERO);
        assert!(!lost.ok, "a recording that is not intact fails");
    }
}
