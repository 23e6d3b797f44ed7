//! The book (docs/book): every command in it is run, in order, and prints what the book says it prints.
//!
//! A block of code marked `sh` is run by bash in a directory of its chapter's own, which looks like the repository's root (links to what
//! is there), with the workspace's programs in PATH. More words behind `sh` say what it needs:
//!
//! | mark | is run |
//! |---|---|
//! | `sh` | always |
//! | `sh,exit=N` | always, and must end with that code |
//! | `sh,root` | where this is root and the kernel lets the recorder work |
//! | `sh,podman` | the same, and podman works |
//! | `sh,setup` | never: it builds, downloads or installs for minutes. Its syntax is checked, and that `./dev` has the command |
//!
//! A block marked `text` right behind one that was run holds lines of its output, in order; a line `...` stands for any number of them,
//! and within a line for any text.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn source() -> PathBuf {
    root().join("docs/book/src")
}

#[derive(Debug)]
struct Block {
    line: usize,
    /// What stands behind the fence, at its commas.
    marks: Vec<String>,
    text: String,
}

impl Block {
    fn is(&self, mark: &str) -> bool {
        self.marks.iter().any(|each| each == mark)
    }
}

/// The blocks of code of a page.
fn blocks(page: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut inside = false;
    for (at, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), inside) {
            (Some(marks), false) => {
                let marks = marks.split(',').map(|mark| mark.trim().to_owned()).collect();
                found.push(Block { line: at + 1, marks, text: String::new() });
                inside = true;
            }
            (Some(_), true) => inside = false,
            (None, true) => found.last_mut().unwrap().text += &format!("{line}\n"),
            (None, false) => {}
        }
    }
    assert!(!inside, "a block of code has no end");
    found
}

/// What this machine can do.
struct Able {
    root: bool,
    podman: Option<scenarios::PodmanEnv>,
}

fn able() -> Able {
    let root = Command::new(program("record")).arg("check").output().is_ok_and(|output| output.status.success())
        && std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let podman = if root { scenarios::preflight().and_then(|()| scenarios::podman_env()).ok() } else { None };
    Able { root, podman }
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_eval")).with_file_name(name)
}

/// What came of a page.
#[derive(Default)]
struct Tally {
    run: usize,
    compared: usize,
    /// Left out, and why.
    skipped: Vec<String>,
    failed: Vec<String>,
}

/// A directory that looks like the repository's root, and into which a chapter writes.
fn workplace() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in root().read_dir().unwrap().flatten() {
        let name = entry.file_name();
        if !["out", "target", ".git"].iter().any(|own| name == *own) {
            std::os::unix::fs::symlink(entry.path(), dir.path().join(name)).unwrap();
        }
    }
    dir
}

fn play(page: &str, able: &Able) -> Tally {
    let text = std::fs::read_to_string(source().join(page)).unwrap();
    let dir = workplace();
    let mut tally = Tally::default();
    let mut last: Option<String> = None;
    for block in blocks(&text) {
        let place = format!("{page}:{}", block.line);
        if block.is("text") {
            if let Some(output) = last.take() {
                tally.compared += 1;
                tally.failed.extend(missing(&block.text, &output).map(|line| {
                    format!(
                        "{place}: the output has no line (here, or after those before it)\n{line}\n--- output\n{output}"
                    )
                }));
            }
            continue;
        }
        last = None;
        if !block.is("sh") {
            continue;
        }
        if block.is("setup") {
            tally.failed.extend(unsound(&block.text).map(|wrong| format!("{place}: {wrong}")));
            tally.skipped.push(format!("{place}: sets up"));
        } else if block.is("podman") && able.podman.is_none() {
            tally.skipped.push(format!("{place}: needs root and podman"));
        } else if block.is("root") && !able.root {
            tally.skipped.push(format!("{place}: needs root and BPF"));
        } else {
            let wanted =
                block.marks.iter().find_map(|mark| mark.strip_prefix("exit=")).map_or(0, |code| code.parse().unwrap());
            let (code, output) = bash(&block.text, dir.path(), able);
            tally.run += 1;
            if code != Some(wanted) {
                tally
                    .failed
                    .push(format!("{place}: exit code {code:?}, not {wanted}\n{}--- output\n{output}", block.text));
                break;
            }
            last = Some(output);
        }
    }
    tally
}

/// Runs a block; its exit code, and stdout and stderr together.
fn bash(text: &str, dir: &Path, able: &Able) -> (Option<i32>, String) {
    let path = format!("{}:{}", program("").display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "120", "bash", "-euo", "pipefail", "-c", &format!("exec 2>&1\n{text}")]);
    command.current_dir(dir).env("PATH", path).env("COLUMNS", "80").env_remove("NO_COLOR");
    command.envs(able.podman.iter().flat_map(|podman| podman.vars.clone()));
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first line that the output does not have behind those before it.
fn missing(wanted: &str, output: &str) -> Option<String> {
    let mut left = output.lines().map(str::trim_end);
    let mut lines = wanted.lines().map(str::trim_end).filter(|line| !line.is_empty() && *line != "...");
    lines.find(|line| !left.any(|printed| is(printed, line))).map(str::to_owned)
}

/// Whether a line is as the book has it, where `...` stands for anything.
fn is(printed: &str, wanted: &str) -> bool {
    let mut parts = wanted.split("...");
    let mut left = match parts.next().and_then(|first| printed.strip_prefix(first)) {
        Some(left) => left,
        None => return false,
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return left.is_empty() };
    for part in between {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

/// What is wrong with commands that are not run.
fn unsound(text: &str) -> Option<String> {
    let checked = Command::new("bash").args(["-n", "-c", text]).output().unwrap();
    if !checked.status.success() {
        return Some(String::from_utf8_lossy(&checked.stderr).into_owned());
    }
    let door = std::fs::read_to_string(root().join("dev")).unwrap();
    let known = door.lines().find(|line| line.starts_with("setup | ")).expect("the list of ./dev's commands");
    let known: BTreeSet<&str> = known.split([' ', '|', ')']).collect();
    let asked = text.lines().filter_map(|line| line.split("./dev ").nth(1)?.split_whitespace().next());
    asked.filter(|command| !known.contains(command)).map(|command| format!("./dev has no {command}")).next()
}

/// The pages that SUMMARY.md lists, in order.
fn pages() -> Vec<String> {
    let summary = std::fs::read_to_string(source().join("SUMMARY.md")).unwrap();
    let target = |line: &str| Some(line.split_once("](")?.1.split_once(')')?.0.to_owned());
    summary.lines().filter_map(target).collect()
}

#[test]
fn every_page_is_listed() {
    let listed: BTreeSet<String> = pages().into_iter().chain(["SUMMARY.md".to_owned()]).collect();
    let there: BTreeSet<String> =
        source().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(listed, there);
}

#[test]
fn every_command_of_the_book_works() {
    let able = able();
    let (begin, left, done) = (Instant::now(), Mutex::new(pages()), Mutex::new(Vec::new()));
    let take = || left.lock().unwrap().pop();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(page) = take() {
                    let (start, tally) = (Instant::now(), play(&page, &able));
                    done.lock().unwrap().push((page, tally, start.elapsed()));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by(|one, other| one.0.cmp(&other.0));
    let sum = |of: fn(&Tally) -> usize| done.iter().map(|(_, tally, _)| of(tally)).sum::<usize>();
    let skipped: Vec<&String> = done.iter().flat_map(|(_, tally, _)| &tally.skipped).collect();
    for (page, tally, took) in done.iter().filter(|(_, tally, _)| tally.run > 0) {
        println!("{page}: {} blocks in {:.1} s", tally.run, took.as_secs_f64());
    }
    for line in &skipped {
        eprintln!("SKIPPED: {line}");
    }
    println!(
        "{} blocks run, {} outputs compared, {} left out, in {:.0} s",
        sum(|tally| tally.run),
        sum(|tally| tally.compared),
        skipped.len(),
        begin.elapsed().as_secs_f64()
    );
    let failed: Vec<&String> = done.iter().flat_map(|(_, tally, _)| &tally.failed).collect();
    assert!(failed.is_empty(), "{}", failed.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n\n"));
    // What sets up is the exception, and what is run is nearly all.
    let sets_up = skipped.iter().filter(|line| line.ends_with("sets up")).count();
    assert!(sets_up * 5 <= sum(|tally| tally.run), "{sets_up} blocks that set up are never run");
}

/// Every link from one of the project's texts to a file leads somewhere.
#[test]
fn links_lead_somewhere() {
    let listed = Command::new("git").args(["ls-files", "*.md"]).current_dir(root()).output().unwrap();
    assert!(listed.status.success(), "git: {}", String::from_utf8_lossy(&listed.stderr));
    let mut wrong = Vec::new();
    let files = String::from_utf8(listed.stdout).unwrap();
    for file in files.lines() {
        let Ok(text) = std::fs::read_to_string(root().join(file)) else { continue };
        let code: String = blocks(&text).into_iter().map(|block| block.text).collect();
        let links = text.match_indices("](").filter_map(|(at, _)| text[at + 2..].split([')', ' ', '\n']).next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with("mailto:") && !code.contains(*link))
        {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if path.is_empty() { root().join(file) } else { root().join(file).parent().unwrap().join(path) };
            if !target.exists() {
                wrong.push(format!("{file}: {link}: no such file"));
            } else if !heading.is_empty() && target.extension().is_some_and(|end| end == "md") {
                let headings = headings(&std::fs::read_to_string(&target).unwrap());
                if !headings.contains(heading) {
                    wrong.push(format!("{file}: {link}: no such heading"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The names that headings have in links.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    titles
        .map(|title| {
            let kept = title.to_lowercase();
            let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
            kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
        })
        .collect()
}

#[test]
fn the_test_of_the_book_sees_what_is_wrong() {
    let page = "a\n```sh\ntrue\n```\n```text\nx\n...\ny\n```\n```sh,exit=3\nexit 3\n```\n";
    let found = blocks(page);
    assert_eq!(
        found.iter().map(|block| (block.line, block.text.as_str())).collect::<Vec<_>>(),
        [(2, "true\n"), (5, "x\n...\ny\n"), (10, "exit 3\n")]
    );
    assert_eq!(missing("x\n...\ny\n", "x\na\nb\ny\n"), None);
    assert_eq!(missing("y\nx\n", "x\ny\n"), Some("x".to_owned()));
    assert_eq!(missing("...rec: ... events\n", "/tmp/rec: 12 events\n"), None);
    assert!(missing("rec: ... events\n", "/tmp/rec: 12 events\n").is_some());
    assert!(missing("...rec: ... events\n", "/tmp/rec: 12 events, 3 lost\n").is_some());
    assert_eq!(unsound("./dev nonsense"), Some("./dev has no nonsense".to_owned()));
    assert!(unsound("if true").is_some());
    assert_eq!(unsound("./dev demo && ls"), None);
    let able = Able { root: false, podman: None };
    let (code, output) = bash("false | true; echo no", &std::env::temp_dir(), &able);
    assert_eq!((code, output.as_str()), (Some(1), ""));
}
