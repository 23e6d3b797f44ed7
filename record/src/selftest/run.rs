//! Records the cases with the recorder itself, as a user would: `record OPTIONS -- record selftest-trigger DIR CASE...`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use datasets::Recording;
use record_bpf::Class;

use super::judge::{Outcome, Verdict, judge};
use super::{Arranged, Case, FACTS_FILE, Report, Stop};
use crate::check;
use crate::cli::SelftestArgs;
use crate::error::{Error, Result};

/// Runs every case of the classes asked for.
///
/// # Errors
/// What is missing to record at all. A class that cannot be recorded is in the report instead, as long as another can.
pub fn run(args: &SelftestArgs) -> Result<Report> {
    check::require()?;
    let begun = Instant::now();
    let temporary = tempfile::tempdir().map_err(|source| Error::Read { path: std::env::temp_dir(), source })?;
    let dir = args.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    open_dir(&dir)?;
    let classes = args.classes();
    let chosen =
        super::cases().into_iter().filter(|case| case.kinds.iter().any(|kind| classes.contains(&kind.class())));
    let mut runner =
        Runner { dir, recordings: 0, verdicts: vec![], accounting: vec![], hooks: BTreeMap::new(), refused: None };
    for group in groups(chosen.collect()) {
        runner.record(&group)?;
    }
    let Runner { dir: _, recordings, verdicts, accounting, hooks, refused } = runner;
    match refused {
        Some(refused) if recordings == 0 => Err(refused),
        _ => Ok(Report::new(verdicts, accounting, hooks, begun.elapsed())),
    }
}

/// Cases that share a recording: all with the same options; one that arranges something is alone.
fn groups(cases: Vec<Case>) -> Vec<Vec<Case>> {
    let mut groups: Vec<Vec<Case>> = Vec::new();
    for case in cases {
        let shares = |group: &&mut Vec<Case>| {
            case.arrange.is_none() && group[0].arrange.is_none() && group[0].options == case.options
        };
        match groups.iter_mut().find(shares) {
            Some(group) => group.push(case),
            None => groups.push(vec![case]),
        }
    }
    groups
}

struct Runner {
    dir: PathBuf,
    /// Recordings that came to be.
    recordings: usize,
    verdicts: Vec<Verdict>,
    /// What is wrong with the recordings themselves.
    accounting: Vec<String>,
    /// As the manifests have them.
    hooks: BTreeMap<String, Vec<String>>,
    /// Why the last recording that did not come to be did not.
    refused: Option<Error>,
}

impl Runner {
    fn record(&mut self, cases: &[Case]) -> Result<()> {
        let arranged = match cases[0].arrange.map(|arrange| arrange(&self.dir)).transpose() {
            Ok(arranged) => arranged.unwrap_or_default(),
            Err(stop) => {
                let outcome = match stop {
                    Stop::Skip(why) => Outcome::Skipped(why),
                    Stop::Fail(why) => Outcome::Wrong(format!("it cannot be arranged: {why}")),
                };
                self.all(cases, &outcome);
                return Ok(());
            }
        };
        let dir = self.dir.join(format!("{:02}", self.recordings));
        open_dir(&dir)?;
        let recording = dir.join("recording");
        match record(cases, &arranged, &dir, &recording) {
            Ok(()) => {}
            // One class of them may be what this kernel refuses: the others are tried without it.
            Err(error) => {
                // Its number is the next one's.
                fs::remove_dir_all(&dir).map_err(|source| Error::Read { path: dir, source })?;
                if self.recordings == 0 || classes(cases).len() > 1 {
                    return self.record_apart(cases, error);
                }
                self.all(cases, &Outcome::Wrong(error.to_string()));
                return Ok(());
            }
        }
        self.recordings += 1;
        drop(arranged);
        let recorded = Recording::open(&recording)?;
        self.hooks.extend(recorded.manifest().hooks.clone());
        self.verdicts.extend(judge(cases, &recorded, &dir.join("triggers").join(FACTS_FILE))?);
        let report = datasets::verify(&recording, |_| {})?;
        if report.verdict != datasets::Verdict::Intact {
            let names: Vec<_> = cases.iter().map(|case| case.name).collect();
            self.accounting.push(format!("recording of {}: {:?}", names.join(", "), report.findings));
        }
        Ok(())
    }

    /// Class by class, after a recording of all was refused.
    fn record_apart(&mut self, cases: &[Case], error: Error) -> Result<()> {
        let all = classes(cases);
        if all.len() == 1 {
            self.all(cases, &Outcome::Wrong(error.to_string()));
            self.refused = Some(error);
            return Ok(());
        }
        for class in all {
            let own: Vec<Case> = cases.iter().filter(|case| case.kinds[0].class() == class).copied().collect();
            self.record(&own)?;
        }
        Ok(())
    }

    fn all(&mut self, cases: &[Case], outcome: &Outcome) {
        self.verdicts.extend(cases.iter().map(|case| Verdict { case: *case, outcome: outcome.clone() }));
    }
}

/// The classes of a case are those of its kinds; its first kind's is its own.
fn classes(cases: &[Case]) -> Vec<Class> {
    let wanted = |class: &Class| cases.iter().any(|case| case.kinds.iter().any(|kind| kind.class() == *class));
    Class::ALL.into_iter().filter(wanted).collect()
}

fn record(cases: &[Case], arranged: &Arranged, dir: &Path, output: &Path) -> Result<()> {
    let triggers = dir.join("triggers");
    open_dir(&triggers)?;
    let mut classes = classes(cases);
    // The process table tells whose a row is, and it is made from these.
    if !classes.contains(&Class::Process) {
        classes.push(Class::Process);
    }
    let names: Vec<_> = classes.iter().map(|class| class.name()).collect();
    let mut command = Command::new("/proc/self/exe");
    command.arg("--output").arg(output).args(["--events", &names.join(","), "--format", "json", "--quiet"]);
    command.args(cases[0].options).args(&arranged.options);
    command.args(["--", "/proc/self/exe", "selftest-trigger"]).arg(&triggers).args(cases.iter().map(|case| case.name));
    let done = command.output().map_err(|source| Error::Command { command: "record".to_owned(), source })?;
    let text = String::from_utf8_lossy(&done.stderr);
    if done.status.success() {
        // What a trigger or the recorder had to say.
        eprint!("{text}");
        return Ok(());
    }
    let part = |prefix: &str| text.lines().find_map(|line| line.strip_prefix(prefix)).map(str::to_owned);
    let what = part("error: ").unwrap_or_else(|| format!("the recorder ended with {}", done.status));
    Err(Error::prerequisite(
        what,
        part("hint: ").unwrap_or_else(|| "'record check' shows what this kernel offers".to_owned()),
    ))
}

/// A directory that a trigger which gave up root can pass through.
fn open_dir(dir: &Path) -> Result<()> {
    let made = fs::create_dir_all(dir).and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o755)));
    made.map_err(|source| Error::Read { path: dir.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::{Checked, Facts, Rows, Scratch};
    use record_bpf::Kind;

    fn trigger(_: &Scratch) -> Result<serde_json::Value, Stop> {
        Ok(serde_json::Value::Null)
    }

    fn check(_: &Rows, _: &Facts) -> Checked {
        Ok(())
    }

    #[test]
    fn cases_share_a_recording_unless_their_options_differ_or_they_arrange_something() {
        let case = |name| Case::new(name, &[Kind::Open], trigger, check);
        let arranged = |name| case(name).arrange(|_| Ok(Arranged::default()));
        let cases = vec![
            case("a"),
            case("b").options(&["--x"]),
            arranged("c"),
            case("d"),
            arranged("e"),
            case("f").options(&["--x"]),
        ];
        let names: Vec<Vec<_>> =
            groups(cases).iter().map(|group| group.iter().map(|case| case.name).collect()).collect();
        assert_eq!(names, [vec!["a", "d"], vec!["b", "f"], vec!["c"], vec!["e"]]);
    }
}
