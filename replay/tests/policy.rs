//! Policies by the binary: exported from a learned profile and from one full of hostile names, checked by who reads them, compared,
//! looked over, and tried on a recording with an attack.

mod common;
mod receivers;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{BEGIN, SECOND, Script, attacked, ordinary, replay, stderr, stdout};
use receivers::{program, unpacked};
use serde_json::{Value, json};

const FORMATS: [&str; 9] =
    ["seccomp", "networkpolicy", "cilium", "apparmor", "falco", "tetragon", "nftables", "bpf", "tc"];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What ordinary life teaches.
fn learned(dir: &Path) -> PathBuf {
    let recording = ordinary(&dir.join("ordinary"));
    let profile = dir.join("life.json");
    let output = replay(&["learn", text(&recording), "-o", text(&profile)]);
    assert!(output.status.success(), "{}", stderr(&output));
    profile
}

/// Names with all that ends a string, a line, a comment, a rule or a document in some format.
const NASTY: [&str; 9] = [
    "a\",\n  /** rwlkix,\n\"",
    "a'b\"c\\d",
    "[slug]{x,y}?^~!@{HOME}",
    "a\u{2028}- b: c\u{85}---",
    "$(touch owned);`id`",
    "# comment }",
    "a: {b: [c, d]} & *e !!f",
    "accept; } chain x {",
    "é\u{202e}\t\r",
];

/// A profile of one image that holds them in every place.
fn hostile(dir: &Path) -> PathBuf {
    let image = format!("registry.example/{}:1", NASTY[3]);
    let leaf = |count: u64| json!({ "count": count });
    let (mut process, mut files, mut network) =
        (serde_json::Map::new(), serde_json::Map::new(), serde_json::Map::new());
    for name in NASTY {
        process.insert(format!("/usr/bin/{name}"), json!({ "patterns": {} }));
        files.insert(
            format!("/{}", name.replace('/', "_")),
            json!({ "children": { "read": leaf(1), "write": leaf(2) } }),
        );
        network.insert(format!("domain {name} public"), json!({ "children": { "443": leaf(1) } }));
        network.insert(format!("image {name}"), json!({ "children": { "443": leaf(1), "ephemeral": leaf(1) } }));
        network.insert(format!("private {name}"), json!({ "children": { "443": leaf(1) } }));
    }
    let calls: serde_json::Map<String, Value> =
        NASTY.iter().map(|name| ((*name).to_owned(), json!(1))).chain([("read".to_owned(), json!(1))]).collect();
    let entry = json!({
        "locked": {},
        "trees": {
            "process": { "(outside)": process },
            "file": { "children": { "/usr/bin/app": { "children": { "/srv": { "children": files } } } } },
            "network": { "children": { "/usr/bin/app": { "children": { "connect tcp": { "children": network } } } } },
            "calls": { "syscall": { "/usr/bin/app": calls }, "security": {} },
        },
    });
    let mut images = serde_json::Map::new();
    images.insert(image, entry);
    let profile = json!({ "kind": "retroscope profile", "version": 4, "images": images });
    let path = dir.join("hostile.json");
    std::fs::write(&path, profile.to_string()).unwrap();
    path
}

/// Policies of a profile, one directory for each format.
fn export(profile: &Path, format: &str, dir: &Path) -> Vec<PathBuf> {
    let directory = dir.join(format);
    std::fs::create_dir_all(&directory).unwrap();
    let output = replay(&["policy", "export", text(profile), "--format", format, "-o", text(&directory)]);
    assert!(output.status.success(), "{format}: {}", stderr(&output));
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// Policies of both profiles.
fn both(format: &str, dir: &Path) -> Vec<PathBuf> {
    let dir = &dir.join(format!("for {format}"));
    std::fs::create_dir(dir).unwrap();
    let mut files = export(&learned(dir), format, &dir.join("learned"));
    files.extend(export(&hostile(dir), format, &dir.join("hostile")));
    assert_eq!(files.len(), 3);
    files
}

#[test]
fn every_format_is_written_the_same_each_time_and_accounts_for_itself() {
    let tmp = tempfile::tempdir().unwrap();
    let profile = learned(tmp.path());
    for format in FORMATS {
        let args = ["policy", "export", text(&profile), "--format", format, "--image", "shop/app"];
        let (one, other) = (replay(&args), replay(&args));
        assert!(one.status.success(), "{format}: {}", stderr(&one));
        assert!(!one.stdout.is_empty() && one.stdout == other.stdout, "{format}");
        let output = replay(&[&args[..], &["--explain=json"]].concat());
        let account: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(account[0]["image"], "localhost/shop/app:1");
        assert!(!account[0]["cannot_say"].as_array().unwrap().is_empty());
        if format == "bpf" {
            let policy: Value = serde_json::from_slice(&one.stdout).unwrap();
            assert_eq!(policy["image"], "localhost/shop/app:1");
        } else if format != "seccomp" {
            assert!(stdout(&one).starts_with("# Policy of the image localhost/shop/app:1\n"), "{format}");
        }
    }
    // Several images have no one place.
    let output = replay(&["policy", "export", text(&profile), "--format", "apparmor"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--image"), "{}", stderr(&output));
}

#[test]
fn hostile_names_leave_every_document_whole() {
    let tmp = tempfile::tempdir().unwrap();
    let profile = hostile(tmp.path());
    for format in FORMATS {
        let [file] = &export(&profile, format, tmp.path())[..] else { panic!("{format}: one image") };
        let written = std::fs::read_to_string(file).unwrap();
        let header: Vec<&str> = written.lines().filter(|line| line.starts_with("# ")).collect();
        assert!(header.iter().all(|line| line.is_ascii()), "{format}: {header:?}");
        match format {
            "seccomp" => {
                let policy: Value = serde_json::from_str(&written).unwrap();
                let names =
                    policy["syscalls"].as_array().unwrap().iter().flat_map(|rule| rule["names"].as_array().unwrap());
                assert!(names.clone().count() > 10);
                for name in names {
                    let name = name.as_str().unwrap();
                    assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
                }
            }
            "networkpolicy" | "cilium" | "tetragon" | "falco" => {
                let documents: Vec<Value> = serde_norway::Deserializer::from_str(&written)
                    .map(|document| serde::Deserialize::deserialize(document).unwrap())
                    .collect();
                assert_eq!(documents.len(), 1, "{format}: a name begins no document");
            }
            _ => {}
        }
        let account = replay(&["policy", "export", text(&profile), "--format", format, "--explain=json"]);
        let account: Value = serde_json::from_str(&stdout(&account)).unwrap();
        let left_out = account[0]["account"]["left_out"].as_object().unwrap();
        assert!(!left_out.is_empty(), "{format}: what is not in the policy is said");
    }
}

/// apparmor_parser compiles them; nothing is loaded.
#[test]
fn apparmor_s_own_parser_compiles_the_profiles() {
    // Debian has it in /sbin.
    let unpacked = unpacked().join("../sbin/apparmor_parser");
    let Some(parser) = Some(unpacked).filter(|path| path.is_file()).or_else(|| program("apparmor_parser")) else {
        return;
    };
    let tmp = tempfile::tempdir().unwrap();
    for file in both("apparmor", tmp.path()) {
        let output = Command::new(&parser).args(["-Q", "-K", "-T"]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{}: {}", file.display(), stderr(&output));
    }
    let broken = tmp.path().join("broken");
    std::fs::write(&broken, "profile x {\n  /srv/a rw\n").unwrap();
    assert!(!Command::new(&parser).args(["-Q", "-K", "-T"]).arg(&broken).output().unwrap().status.success());
}

/// By the schemas that the kubernetes-models packages have of Kubernetes and of Cilium's resources.
#[test]
fn the_schemas_of_kubernetes_and_cilium_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/policies");
    let Some(node) = program("node") else { return };
    if !folder.join("node_modules").is_dir() {
        eprintln!("LEFT OUT: the schemas of policies are not there; ./dev setup installs them where there is npm");
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let mut files = both("networkpolicy", tmp.path());
    files.extend(both("cilium", tmp.path()));
    let check = |files: &[PathBuf]| {
        let output = Command::new(&node).arg(folder.join("check.mjs")).args(files).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", stderr(&output));
        (output.status.success(), stdout(&output))
    };
    let (valid, said) = check(&files);
    assert!(valid, "{said}");
    let broken = tmp.path().join("broken");
    let text = std::fs::read_to_string(&files[0]).unwrap().replace("protocol: TCP", "protocol: [1]");
    std::fs::write(&broken, text).unwrap();
    let (valid, said) = check(&[broken]);
    assert!(!valid && said.contains("NOT VALID"), "{said}");
}

/// nft checks them in a network namespace of its own; nothing is loaded.
#[test]
fn nft_accepts_the_rulesets() {
    let Some(nft) = program("nft") else { return };
    let check = |file: &Path| {
        let mut command = Command::new("unshare");
        command.args(["--net", "--map-root-user"]).arg(&nft).args(["--check", "--file"]).arg(file).output().unwrap()
    };
    let tmp = tempfile::tempdir().unwrap();
    let empty = tmp.path().join("empty");
    std::fs::write(&empty, "table inet x {\n}\n").unwrap();
    let able = check(&empty);
    if !able.status.success() {
        eprintln!("\n*** SKIPPED nft_accepts_the_rulesets: nft does not work here: {} ***\n", stderr(&able));
        return;
    }
    for file in both("nftables", tmp.path()) {
        let output = check(&file);
        assert!(output.status.success(), "{}: {}", file.display(), stderr(&output));
    }
    let broken = tmp.path().join("broken");
    std::fs::write(&broken, "table inet x {\n\tchain y {\n\t\ttcp dport http-no-such accept\n\t}\n}\n").unwrap();
    assert!(!check(&broken).status.success());
}

#[test]
fn tc_accepts_the_shapings() {
    let Some(tc) = program("tc") else { return };
    let tmp = tempfile::tempdir().unwrap();
    // In a network namespace of its own, with an interface to shape.
    let shape = |file: &Path| {
        let script = format!(
            "ip link add eth0 type veth peer name eth1 && {} -batch '{}' && {} filter show dev eth0 parent 1:",
            tc.display(),
            file.display(),
            tc.display()
        );
        Command::new("unshare").args(["--net", "--map-root-user", "sh", "-c", &script]).output().unwrap()
    };
    let plain = tmp.path().join("plain");
    std::fs::write(&plain, "# nothing\nqdisc add dev eth0 root handle 1: htb default 2\n").unwrap();
    let able = shape(&plain);
    if !able.status.success() {
        eprintln!("\n*** SKIPPED tc_accepts_the_shapings: tc does not work here: {} ***\n", stderr(&able));
        return;
    }
    for file in both("tc", tmp.path()) {
        let output = shape(&file);
        assert!(output.status.success(), "{}: {}", file.display(), stderr(&output));
        let made = std::fs::read_to_string(&file).unwrap().lines().filter(|line| line.starts_with("filter ")).count();
        assert_eq!(stdout(&output).matches("flowid").count(), made, "{}", file.display());
    }
    let broken = tmp.path().join("broken");
    std::fs::write(&broken, "qdisc add dev eth0 root handle 1: htb default no\n").unwrap();
    assert!(!shape(&broken).status.success());
}

#[test]
fn addresses_of_a_recording_fill_the_sets() {
    let tmp = tempfile::tempdir().unwrap();
    let profile = learned(tmp.path());
    let args = ["policy", "export", text(&profile), "--format", "nftables", "--image", "shop/web"];
    let recording = tmp.path().join("ordinary");
    let output = replay(&[&args[..], &["--addresses", text(&recording)]].concat());
    assert!(stdout(&output).contains("elements = { 10.89.0.2 }"), "{}", stdout(&output));
    assert!(!stdout(&replay(&args)).contains("elements"));
}

#[test]
fn an_attack_is_stopped_where_it_leaves_the_profile_and_ordinary_life_is_not() {
    let tmp = tempfile::tempdir().unwrap();
    let profile = learned(tmp.path());
    let attack = attacked(&tmp.path().join("attacked"));
    let args = ["policy", "simulate", text(&profile), text(&attack), "--format", "json"];
    let output = replay(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let trials: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let steps = trials[0]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 2);
    let first = &steps[0]["blocked"];
    assert!(first["apparmor"]["what"].as_str().unwrap().starts_with("execute /usr/bin/curl"), "{first}");
    assert!(first["apparmor"]["after_ns"].as_i64().unwrap() < 10_000_000);
    for format in ["networkpolicy", "cilium", "nftables"] {
        assert!(first[format]["what"].as_str().unwrap().contains("port 80"), "{first}");
    }
    // The same program as ever, to a peer it never had.
    let second = &steps[1]["blocked"];
    assert!(
        second.get("apparmor").is_none_or(|block| !block["what"].as_str().unwrap().contains("execute")),
        "{second}"
    );
    assert!(second["nftables"]["what"].as_str().unwrap().contains("port 3333"), "{second}");
    for (format, benign) in trials[0]["benign"].as_object().unwrap() {
        assert_eq!(benign["refused"], 0, "{format}: {benign}");
    }
    assert!(trials[0]["benign"]["apparmor"]["decided"].as_u64().unwrap() > 100);
    assert_eq!(stdout(&replay(&args)), stdout(&output), "the same bytes again");
    let table = stdout(&replay(&args[..4]));
    assert!(table.contains("exploit-and-mine") && table.contains("2 of 2"), "{table}");
}

#[test]
fn what_is_more_and_what_is_broad_is_told_with_an_exit_code() {
    let tmp = tempfile::tempdir().unwrap();
    let profile = learned(tmp.path());
    let same = replay(&["policy", "diff", text(&profile), text(&profile)]);
    assert_eq!(same.status.code(), Some(0), "{}", stdout(&same));
    let mut script = Script::new();
    script.ordinary(0, 280);
    script.open(BEGIN + 200 * SECOND, 1, "/srv/app/new", 0, 4);
    script.connect(BEGIN + 201 * SECOND, 1, "203.0.113.9", 8443);
    let recording = script.write(&tmp.path().join("released"));
    let released = tmp.path().join("released.json");
    assert!(replay(&["learn", text(&recording), "-o", text(&released)]).status.success());
    let more = replay(&["policy", "diff", text(&profile), text(&released), "--format", "json"]);
    assert_eq!(more.status.code(), Some(1), "{}", stderr(&more));
    let found: Value = serde_json::from_str(&stdout(&more)).unwrap();
    let what: Vec<&str> = found["more"].as_array().unwrap().iter().filter_map(|item| item["what"].as_str()).collect();
    assert_eq!(what, ["read /srv/app/new", "connect to tcp 203.0.113.0/24 port 8443"]);
    assert!(found["less"].as_array().unwrap().is_empty());

    let seccomp = tmp.path().join("s.json");
    std::fs::write(&seccomp, r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
    let broad = replay(&["policy", "lint", text(&seccomp)]);
    assert_eq!(broad.status.code(), Some(1));
    assert!(stdout(&broad).contains("ptrace") && stdout(&broad).contains("default-allow"));
    // What is exported is not broad: what no program made is not in it.
    let exported = tmp.path().join("app.json");
    let args =
        ["policy", "export", text(&profile), "--format", "seccomp", "--image", "shop/app", "-o", text(&exported)];
    assert!(replay(&args).status.success());
    let narrow = replay(&["policy", "lint", text(&exported)]);
    assert_eq!(narrow.status.code(), Some(0), "{}", stdout(&narrow));
    let nothing = replay(&["policy", "lint", text(&tmp.path().join("none"))]);
    assert_eq!(nothing.status.code(), Some(4));
}

/// There is no checker of these two in Debian, PyPI or npm: a YAML parser, and the structure that their manuals give.
#[test]
fn falco_and_tetragon_have_the_documented_structure() {
    let tmp = tempfile::tempdir().unwrap();
    let read = |file: &PathBuf| -> Value { serde_norway::from_str(&std::fs::read_to_string(file).unwrap()).unwrap() };
    for file in both("falco", tmp.path()) {
        for rule in read(&file).as_array().unwrap() {
            let text = |key: &str| rule[key].as_str().unwrap_or_else(|| panic!("{key}: {rule}"));
            for key in ["rule", "desc", "output", "source"] {
                assert!(!text(key).contains('\n'), "{rule}");
            }
            assert!(["WARNING", "NOTICE"].contains(&text("priority")));
            // Outside of quotes the brackets match, and every quote ends.
            let (mut depth, mut quoted) = (0, false);
            for c in text("condition").chars() {
                match c {
                    '\'' => quoted = !quoted,
                    '(' if !quoted => depth += 1,
                    ')' if !quoted => depth -= 1,
                    _ => {}
                }
                assert!(depth >= 0, "{rule}");
            }
            assert!(depth == 0 && !quoted, "{rule}");
            assert!(text("condition").contains("container.image = '"), "{rule}");
        }
    }
    for file in both("tetragon", tmp.path()) {
        let policy = read(&file);
        assert_eq!((&policy["apiVersion"], &policy["kind"]), (&json!("cilium.io/v1alpha1"), &json!("TracingPolicy")));
        let probes = policy["spec"]["kprobes"].as_array().unwrap();
        assert_eq!(probes.len(), 3);
        for selector in probes.iter().flat_map(|probe| probe["selectors"].as_array().unwrap()) {
            assert_eq!(selector["matchActions"], json!([{ "action": "Post" }]));
            for condition in selector["matchArgs"].as_array().unwrap() {
                let operator = condition["operator"].as_str().unwrap();
                assert!(["Equal", "NotEqual", "NotPrefix", "NotDAddr", "NotDPort"].contains(&operator), "{condition}");
                let values = condition["values"].as_array().unwrap();
                assert!(!values.is_empty() && values.iter().all(Value::is_string), "{condition}");
            }
        }
    }
}
