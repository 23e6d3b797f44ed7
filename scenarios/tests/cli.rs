//! The program as a user runs it, but for `run`, which needs root and minutes.

use std::path::Path;
use std::process::{Command, Output};

fn scenarios(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scenarios"));
    command.env_remove("RETROSCOPE_SCENARIOS").args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The shipped scenarios.
fn catalog() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_shipped_folder_passes_lint() {
    let output = scenarios(&["lint", catalog().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}

#[test]
fn list_names_what_can_be_run() {
    let output = scenarios(&["list", "--format", "json"]);
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let xmrig = listed.as_array().unwrap().iter().find(|each| each["name"] == "xmrig").unwrap();
    assert_eq!(xmrig["extends"], "webapp");
    assert_eq!(xmrig["acts"], serde_json::json!(["exploit-and-mine", "masquerade"]));
    assert!(xmrig["techniques"].as_array().unwrap().iter().any(|id| id == "T1496"));
    assert_eq!((&xmrig["benign"], &xmrig["duration_s"]), (&false.into(), &339.into()));
    assert_eq!(xmrig["definition"].as_str().map(str::len), Some(64));
    let table = stdout(&scenarios(&["list"]));
    assert!(
        table.lines().any(|line| line.starts_with("  webapp ") && line.contains("benign") && line.ends_with("4:00"))
    );
}

#[test]
fn show_tells_what_happens_when() {
    let text = stdout(&scenarios(&["show", "xmrig"]));
    for part in ["Extends webapp", "masquerade / mine-in-disguise", "T1036.005", "Match Legitimate", "3:10", "5:39"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let unknown = scenarios(&["show", "nosuch"]);
    assert_eq!(unknown.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&unknown.stderr).starts_with("error: unknown scenario 'nosuch'"));
}

/// A catalog of its own with a copy of webapp in it.
fn copy() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let done = Command::new("cp").arg("-r").arg(catalog().join("webapp")).arg(root.path()).status().unwrap();
    assert!(done.success());
    root
}

#[test]
fn a_new_scenario_is_sound_and_stays_alone() {
    let root = copy();
    let from = root.path().to_str().unwrap();
    let new = |name: &str, base: &str| scenarios(&["--from", from, "new", name, "--extends", base]);
    let made = new("mine", "webapp");
    assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
    let lint = scenarios(&["lint", root.path().join("mine").to_str().unwrap()]);
    assert_eq!(lint.status.code(), Some(0), "{}", stdout(&lint));
    assert!(stdout(&scenarios(&["--from", from, "show", "mine"])).contains("T1033 System Owner/User Discovery"));
    for (name, base) in [("mine", "webapp"), ("../mine", "webapp"), ("other", "nosuch")] {
        assert_eq!(new(name, base).status.code(), Some(4), "{name} {base}");
    }
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 2);
}

#[test]
fn lint_names_the_place_of_what_is_wrong() {
    let root = copy();
    let folder = root.path().join("webapp");
    let write = |file: &str, from: &str, to: &str| {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file}: {from}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    };
    let found = || {
        let output = scenarios(&["lint", folder.to_str().unwrap(), "--format", "json"]);
        let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(!findings.is_empty())));
        findings
            .iter()
            .map(|each| {
                let file =
                    Path::new(each["path"].as_str().unwrap()).strip_prefix(&folder).unwrap().display().to_string();
                (file, each["place"].as_str().unwrap().to_owned(), each["rule"].as_str().unwrap().to_owned())
            })
            .collect::<Vec<_>>()
    };
    let place = |file: &str, place: &str, rule: &str| (file.to_owned(), place.to_owned(), rule.to_owned());
    assert_eq!(found(), []);

    std::fs::write(folder.join("images/app/blob"), b"\x7fELF\0").unwrap();
    assert_eq!(found(), [place("images/app/blob", "1", "binary")]);
    std::fs::remove_file(folder.join("images/app/blob")).unwrap();

    write(
        "images/client/load.py",
        "TARGET = \"web\"",
        "TARGET = \"web\"\nOTHER = 'http://shop.example.org/'\nPEER = '8.8.8.8'",
    );
    assert_eq!(
        found(),
        [place("images/client/load.py", "20", "outside"), place("images/client/load.py", "21", "outside")]
    );
    write("images/client/load.py", "OTHER = 'http://shop.example.org/'\nPEER = '8.8.8.8'", "X = random.choice([1])");
    assert_eq!(found(), [place("images/client/load.py", "20", "seed")]);
    write("images/client/load.py", "X = random.choice([1])", "");
    write("images/client/load.py", "RETROSCOPE_SEED", "NO_SEED");
    write("images/client/load.py", "RETROSCOPE_SEED", "NO_SEED");
    assert_eq!(found(), [place("scenario.toml", "load", "seed")]);
    write("images/client/load.py", "NO_SEED", "RETROSCOPE_SEED");

    write("images/cache/Containerfile", "FROM ${BASE}", "FROM debian:12");
    assert_eq!(found(), [place("images/cache/Containerfile", "2", "build")]);
    write("images/cache/Containerfile", "FROM debian:12", "FROM ${BASE}");

    let step = "[[acts]]\nname = \"a\"\ntitle = \"t\"\n[[acts.steps]]\nname = \"s\"\ndescription = \"d\"\nservice = \"dns\"\n\
                technique = \"T1999\"\ncommand = [\"x\"]\nroots = [{ service = \"dns\", exe = \"*\" }]\n\n[[activities]]";
    write("scenario.toml", "[[activities]]", step);
    let rules: Vec<_> = found().into_iter().map(|(file, place, rule)| format!("{file} {place} {rule}")).collect();
    assert_eq!(
        rules,
        [
            "README.md 1 readme",
            "README.md 1 readme",
            "scenario.toml acts.a.s attack-id",
            "scenario.toml acts.a.s label",
            "scenario.toml acts.a.s label",
        ]
    );
    write("scenario.toml", "title = ", "titel = ");
    assert_eq!(found(), [place("scenario.toml", "1:1", "definition")]);
}
