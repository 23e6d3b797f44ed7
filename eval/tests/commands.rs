//! The six programs side by side: what their help says, what they say to bad input, and what they print where.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAMS: [&str; 6] = ["record", "enforce", "replay", "datasets", "scenarios", "eval"];

/// The program beside `eval`, where the workspace's programs are built.
fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_eval")).with_file_name(name);
    assert!(path.is_file(), "{} is not there: build the workspace's programs first", path.display());
    path
}

fn run(name: &str, args: &[&str]) -> Output {
    let dir = std::env::temp_dir();
    Command::new(program(name)).args(args).env("NO_COLOR", "1").current_dir(dir).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `--help` of a program and of every command of it, with the words that lead there.
fn helps() -> Vec<(Vec<String>, String)> {
    let mut left: Vec<Vec<String>> = PROGRAMS.map(|name| vec![name.to_owned()]).to_vec();
    let mut found = Vec::new();
    while let Some(words) = left.pop() {
        let args: Vec<&str> = words[1..].iter().map(String::as_str).chain(["--help"]).collect();
        let output = run(&words[0], &args);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", text(&output.stderr));
        let help = text(&output.stdout);
        let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        for name in commands.filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
            let name = name.split_whitespace().next().unwrap();
            if name != "help" {
                left.push(words.iter().cloned().chain([name.to_owned()]).collect());
            }
        }
        found.push((words, help));
    }
    assert!(found.len() > 60, "{} commands found", found.len());
    found
}

/// The examples of a help text, a line each.
fn examples(help: &str) -> Vec<&str> {
    let begin = |line: &&str| !(line.starts_with("Example") && line.ends_with(':'));
    help.lines().skip_while(begin).skip(1).take_while(|line| !line.is_empty()).map(str::trim).collect()
}

#[test]
fn every_command_has_examples_that_are_its_own() {
    let helps = helps();
    let long = |word: &str| {
        let word: String = word.chars().take_while(|letter| !matches!(letter, '=' | '\'' | '"' | ')' | '`')).collect();
        word.strip_prefix("--").is_some_and(|rest| !rest.is_empty()).then_some(word)
    };
    let mut wrong = Vec::new();
    for (words, help) in &helps {
        let lines = examples(help);
        if !lines.iter().any(|line| line.contains(&words[0])) {
            wrong.push(format!("{}: no example", words.join(" ")));
        }
        // Every option in an example is one of the command that the example calls.
        for line in lines {
            for part in line.split(['|', ';', '`']).flat_map(|part| part.split("&&")) {
                let mut called: Vec<&str> = part.split_whitespace().skip_while(|word| *word == "sudo").collect();
                if called.first().is_none_or(|name| !PROGRAMS.contains(name)) {
                    continue;
                }
                // Behind `--` is another program's command line, and behind two spaces what the example does.
                if let Some(end) = called.iter().position(|word| *word == "--") {
                    called.truncate(end);
                }
                let of = helps
                    .iter()
                    .filter(|(words, _)| called.starts_with(&words.iter().map(String::as_str).collect::<Vec<_>>()))
                    .max_by_key(|(words, _)| words.len());
                let (command, help) = of.unwrap();
                for option in called.iter().filter_map(|word| long(word)) {
                    let known = help.split([' ', ',', '\n', '[', ']']).any(|word| word == option);
                    if !known {
                        wrong.push(format!("{line:?}: {} has no {option}", command.join(" ")));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_option_and_command_is_described() {
    let mut wrong = Vec::new();
    for (words, help) in helps() {
        let lines: Vec<&str> = help.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let begins =
                line.trim_start().starts_with('-') && line.starts_with("  ") && !line.starts_with("          ");
            let described = line.trim_start().contains("  ")
                || lines.get(at + 1).is_some_and(|next| next.starts_with("          "));
            if begins && !described {
                wrong.push(format!("{}: {}", words.join(" "), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What stands in the place of a recording or a file, and is none.
struct Bad {
    dir: tempfile::TempDir,
}

impl Bad {
    fn new() -> Bad {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("empty")).unwrap();
        std::fs::write(path("text"), "no recording, no JSON\n").unwrap();
        std::fs::create_dir(path("foreign")).unwrap();
        std::fs::write(path("foreign/manifest.json"), "{\"name\": \"an app\"}").unwrap();
        std::fs::create_dir(path("broken")).unwrap();
        std::fs::write(path("broken/manifest.json"), "{\"schema_version\": \"1.").unwrap();
        std::fs::create_dir_all(path("unreadable/manifest.json")).unwrap();
        Bad { dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Each, as it is given on a command line.
    fn inputs(&self) -> Vec<String> {
        let paths = ["missing/rec", "empty", "text", "foreign", "broken", "unreadable"].map(|name| self.path(name));
        paths.into_iter().chain(["no-such-name".to_owned()]).collect()
    }
}

/// One line that says what and where, one with the way out, and nothing on stdout.
fn complaint(name: &str, args: &[&str], output: &Output, codes: &[i32], says: &str) -> Option<String> {
    let said = text(&output.stderr);
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("warning: ")).collect();
    let errors = lines.iter().filter(|line| line.starts_with("error: ")).count();
    let hint = lines.last().is_some_and(|line| line.starts_with("hint: ") && line.len() > 15);
    let code = output.status.code().unwrap_or(-1);
    let problem = if !codes.contains(&code) {
        format!("exit code {code}, not {codes:?}")
    } else if said.contains("panicked") {
        "a panic".to_owned()
    } else if errors != 1 || lines.len() != 2 {
        "not one line and a hint".to_owned()
    } else if !hint {
        "no hint".to_owned()
    } else if !lines[0].contains(says) {
        format!("{says:?} is not named")
    } else if !output.stdout.is_empty() {
        "something on stdout".to_owned()
    } else {
        return None;
    };
    Some(format!("{problem}: {name} {}\n    {}", args.join(" "), said.trim_end().replace('\n', "\n    ")))
}

/// Every command that reads something, with @ in its place.
const READERS: &[&str] = &[
    "replay @ -o OUT",
    "replay xmrig --learn @ -o OUT",
    "replay xmrig @ -o OUT",
    "replay learn @ -o OUT",
    "replay partitions @ -n 2",
    "replay merge @ -o OUT",
    "replay services @",
    "replay forecast @",
    "replay services xmrig --policy @",
    "replay rules --on @",
    "replay explain A0001 @",
    "replay allow A0001 --from @ --reason x --until 2027-01-31 --file OUT",
    "replay args ablate @",
    "replay profile show @",
    "replay profile diff @ @",
    "replay profile merge @ @ -o OUT",
    "replay profile bounds @",
    "replay profile export @ --seen xmrig --filter OUT",
    "replay policy lint @",
    "replay policy diff @ @",
    "replay policy export @ --format seccomp",
    "replay policy simulate @ xmrig",
    "replay policy apply @ --netns probe",
    "enforce xdp @ --interface lo",
    "enforce lsm @ --cgroup /",
    "datasets verify @",
    "datasets info @",
    "datasets tree @",
    "datasets head @",
    "datasets cat @",
    "datasets recover @",
    "datasets absent @ word",
    "datasets export @ --format jsonl",
    "datasets sql @ select(1)",
    "datasets copy @ OUT",
    "datasets import @ -o OUT",
    "datasets slice @ --from +1 -o OUT",
    "datasets merge @ xmrig -o OUT",
    "scenarios show @",
    "eval forecast @",
    "scenarios lint @",
    "scenarios --from @ list",
    "scenarios label @ TIMELINE",
    "scenarios label SHIPPED @",
    "eval detect @",
    "eval detect xmrig --alerts @",
    "eval capture @",
    "eval card @ -o OUT",
    "eval set @",
    "eval rerun @",
    "eval report @ -o OUT",
    "eval gate --baseline @ --short",
    "eval tune @ --grid severity.medium=30,40 -o OUT",
    "eval overhead --from @",
];

#[test]
fn bad_input_is_named_with_a_way_out() {
    let bad = Bad::new();
    let (out, timeline) = (bad.path("out/x"), bad.path("timeline.json"));
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../datasets/recordings/webapp-21");
    std::fs::write(&timeline, "{}").unwrap();
    let mut wrong = Vec::new();
    let mut tried = 0;
    for line in READERS {
        for input in bad.inputs() {
            let words: Vec<&str> = line
                .split_whitespace()
                .map(|word| match word {
                    "@" => &input,
                    "OUT" => &out,
                    "TIMELINE" => &timeline,
                    "SHIPPED" => shipped,
                    other => other,
                })
                .collect();
            let output = run(words[0], &words[1..]);
            let name = Path::new(&input).file_name().unwrap().to_str().unwrap();
            wrong.extend(complaint(words[0], &words[1..], &output, &[4], name));
            tried += 1;
        }
    }
    println!("{tried} commands on bad input");
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn slips_are_recognised() {
    let bad = Bad::new();
    let (config, key) = (bad.path("config.toml"), bad.path("text"));
    std::fs::write(&config, "[severity\nmedium = 3\n").unwrap();
    let cases: &[(&str, i32, &str)] = &[
        ("replay lern", 4, "replay learn"),
        ("replay xmirg", 4, "did you mean xmrig?"),
        ("replay --scenario xmirg", 4, "did you mean xmrig?"),
        ("replay port-scn", 4, "did you mean port-scan?"),
        ("replay", 2, "--scenario"),
        ("replay xmrig --set severity.hihg=3", 2, "severity.high"),
        ("replay xmrig --set severity.high=lots", 2, "severity.high"),
        ("replay xmrig --set severity", 2, "'='"),
        ("replay xmrig --config CONFIG", 2, "config.toml: line 1"),
        ("replay xmrig --config MISSING", 2, "missing.toml"),
        ("replay xmrig -o /proc/x", 5, "/proc/x"),
        ("replay xmrig --sink slak=x -o OUT", 2, "slack"),
        ("datasets tree xmrig --container ap1", 2, "ap1"),
        ("datasets head xmrig --columns clokc", 2, "clokc"),
        ("datasets slice xmrig --from yesterday -o OUT", 2, "yesterday"),
        ("datasets verify xmirg", 4, "did you mean xmrig?"),
        ("datasets verify xmrig --public-key KEY", 4, "text"),
        ("datasets export xmrig --format jsonl -o /proc/x", 5, "/proc/x"),
        ("scenarios show xmirg", 4, "did you mean xmrig?"),
        ("scenarios new Mine --extends webapp", 4, "Mine"),
        ("eval detect xmirg", 4, "did you mean xmrig?"),
        ("eval tune --grid severity.hihg=1,2 -o OUT", 2, "severity.high"),
        ("eval overhead --recorder strase", 2, "strase"),
        ("eval card xmrig -o /proc/x", 5, "/proc/x"),
    ];
    let (missing, out) = (bad.path("missing.toml"), bad.path("out/x"));
    let mut wrong = Vec::new();
    for (line, code, says) in cases {
        let words: Vec<&str> = line
            .split_whitespace()
            .map(|word| match word {
                "CONFIG" => &config,
                "MISSING" => &missing,
                "KEY" => &key,
                "OUT" => &out,
                other => other,
            })
            .collect();
        let output = run(words[0], &words[1..]);
        wrong.extend(complaint(words[0], &words[1..], &output, &[*code], ""));
        if !text(&output.stderr).contains(says) {
            wrong.push(format!("{line}: {says:?} is not in\n    {}", text(&output.stderr)));
        }
    }
    // What clap finds wrong ends with its own way out.
    for line in [
        "record chek",
        "record --events telepathy",
        "record --ring 3",
        "replay xmrig --frobnicate",
        "replay xmrig --fail-on hihg",
        "replay learn",
        "datasets veriyf xmrig",
        "datasets verify",
        "scenarios lst",
        "eval detct",
        "eval detect --at severe",
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let output = run(words[0], &words[1..]);
        let said = text(&output.stderr);
        if output.status.code() != Some(2) || !said.starts_with("error: ") || !said.contains("try '--help'") {
            wrong.push(format!("{line}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What people look at, and how wide it may be.
const SHOWN: &[&str] = &[
    "replay --help",
    "replay xmrig -o OUT",
    "replay explain I0003 OUT",
    "replay learn webapp-21 -o PROFILE",
    "replay services xmrig",
    "replay forecast xmrig --bucket 2s --season 30s",
    "replay rules",
    "replay profile show OUT",
    "replay policy lint OUT",
    "datasets info xmrig",
    "datasets verify xmrig",
    "datasets head xmrig",
    "datasets schema",
    "scenarios list",
    "scenarios show xmrig",
    "eval detect xmrig",
    "eval capture xmrig",
    "eval forecast redis-pair-1 --bucket 2s --season 20s",
];

/// On a terminal of 80 columns.
fn on_a_terminal(words: &[&str], no_color: bool) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let line = format!("stty cols 80 rows 40; {} {}", program(words[0]).display(), quoted[1..].join(" "));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm-256color");
    script.env_remove("NO_COLOR").env_remove("COLUMNS");
    if no_color {
        script.env("NO_COLOR", "1");
    }
    text(&script.output().expect("util-linux's script").stdout)
}

#[test]
fn output_fits_where_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (out, profile) = (dir.path().join("out"), dir.path().join("profile.json"));
    let (out, profile) = (out.to_str().unwrap(), profile.to_str().unwrap());
    let mut wrong = BTreeSet::new();
    let mut coloured = 0;
    for line in SHOWN {
        let words: Vec<&str> = line
            .split_whitespace()
            .map(|word| match word {
                "OUT" => out,
                "PROFILE" => profile,
                other => other,
            })
            .collect();
        let piped = text(&run(words[0], &words[1..]).stdout);
        if piped.contains('\x1b') {
            wrong.insert(format!("{line}: colours in a pipe"));
        }
        coloured += usize::from(on_a_terminal(&words, false).contains("\x1b["));
        let plain = on_a_terminal(&words, true);
        // A line of progress is written over itself.
        let plain: Vec<&str> =
            plain.lines().map(|line| line.rsplit('\r').find(|part| !part.is_empty()).unwrap_or("")).collect();
        if plain.iter().any(|line| line.contains("\x1b[3") || line.contains("\x1b[1m")) {
            wrong.insert(format!("{line}: colours in spite of NO_COLOR"));
        }
        // Commands that are there to be copied are never broken. What is no row of a table is the terminal's to wrap.
        let copied = |line: &str| line.trim_start().starts_with("$ ");
        let row = |line: &str| line.trim().split("  ").filter(|cell| !cell.trim().is_empty()).count() >= 3;
        for wide in plain.iter().filter(|line| line.chars().count() > 80 && row(line) && !copied(line)) {
            wrong.insert(format!("{line}: wider than 80 columns: {wide}"));
        }
    }
    assert!(coloured > 0, "no colour anywhere on a terminal");
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}
