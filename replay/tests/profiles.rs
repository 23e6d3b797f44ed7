//! Profiles compared and merged, by the binary.

mod common;

use std::path::Path;

use common::{attacked, ordinary, replay, stderr, stdout};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn learn(recording: &Path, out: &Path) {
    let output = replay(&["learn", text(recording), "-o", text(out)]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_union_knows_what_either_knows() {
    let tmp = tempfile::tempdir().unwrap();
    let (one, other) = (tmp.path().join("one"), tmp.path().join("other"));
    for (recording, out) in [(ordinary(&tmp.path().join("a")), &one), (attacked(&tmp.path().join("b")), &other)] {
        learn(&recording, out);
    }
    let diff = |old: &Path, new: &Path| {
        let output = replay(&["profile", "diff", text(old), text(new)]);
        (output.status.code(), stdout(&output))
    };
    assert_eq!(diff(&one, &one), (Some(0), String::new()));
    let (code, lines) = diff(&one, &other);
    assert_eq!(code, Some(1));
    assert!(lines.lines().any(|line| line.starts_with("+ ")), "{lines}");

    let union = tmp.path().join("union.json");
    let output = replay(&["profile", "merge", text(&one), text(&other), "-o", text(&union)]);
    assert!(output.status.success(), "{}", stderr(&output));
    for part in [&one, &other] {
        let (_, lines) = diff(&union, part);
        assert!(lines.lines().all(|line| line.starts_with("- ")), "the union lacks\n{lines}");
    }
    let again = tmp.path().join("again.json");
    assert!(replay(&["profile", "merge", text(&other), text(&one), "-o", text(&again)]).status.success());
    assert_eq!(diff(&union, &again).0, Some(0), "in either order");

    assert_eq!(replay(&["profile", "merge", text(&one), "-o", text(&again)]).status.code(), Some(2));
    assert_eq!(diff(&one, &tmp.path().join("nowhere")).0, Some(4));
}

#[test]
fn of_several_profiles_the_one_that_stands_out_is_named() {
    let tmp = tempfile::tempdir().unwrap();
    let paths = ["a", "b", "c"].map(|name| tmp.path().join(name));
    for (path, recording) in paths.iter().zip([ordinary, attacked, ordinary]) {
        learn(&recording(&path.join("rec")), path);
    }
    let union = tmp.path().join("union.json");
    let mut args = vec!["profile", "merge"];
    args.extend(paths.iter().map(|path| text(path)));
    args.extend(["-o", text(&union)]);
    let words = stdout(&replay(&args));
    let named: Vec<&str> = words.lines().filter(|line| line.contains("outlier")).collect();
    assert!(named.len() == 1 && named[0].contains(text(&paths[1])), "{words}");
    args.extend(["--format", "json"]);
    let merged: serde_json::Value = serde_json::from_str(&stdout(&replay(&args))).unwrap();
    let app = &merged["siblings"][0];
    assert_eq!(app["image"], "localhost/shop/app:1");
    let outliers: Vec<_> =
        app["replicas"].as_array().unwrap().iter().map(|replica| replica["outlier"] == true).collect();
    assert_eq!(outliers, [false, true, false], "{app:#}");
}
