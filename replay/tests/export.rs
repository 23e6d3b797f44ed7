//! A profile as a filter of known behaviour, by the binary.

mod common;

use std::path::Path;

use common::{BEGIN, SECOND, Script, attacked, ordinary, replay, stderr, stdout};
use datasets::known::{FileOp, KnownBehaviour};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_filter_holds_exactly_what_was_seen_and_known() {
    let tmp = tempfile::tempdir().unwrap();
    let learned = ordinary(&tmp.path().join("ordinary"));
    let out = tmp.path().join("out");
    assert!(replay(&[text(&learned), "-o", text(&out)]).status.success());
    let filter = tmp.path().join("known.json");
    // Spelled out by a recording that also holds an attack: what the profile does not know is not in the filter.
    let seen = attacked(&tmp.path().join("attacked"));
    let args = ["profile", "export", text(&out), "--seen", text(&seen), "--filter", text(&filter)];
    let output = replay(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let (known, _) = KnownBehaviour::load(&filter).unwrap();

    let web = &known.images["localhost/shop/web:1"];
    assert_eq!(web.entries(), 1);
    assert!(web.file["/usr/sbin/nginx"][&FileOp::Read].contains("/srv/web/index.html"));
    let app = &known.images["localhost/shop/app:1"];
    assert!(app.file["/usr/bin/getent"][&FileOp::Read].contains("/etc/hosts"));
    assert!(app.file["/srv/app/bin/worker"][&FileOp::List].contains("/srv/app/data/items"));
    assert_eq!(app.file["/usr/bin/python3"][&FileOp::Read].len(), 50, "the names behind the pattern of items");
    let listed = app.not_expressed.iter().find(|entry| entry.path.contains("/items/")).expect("the pattern is listed");
    assert!(listed.why.contains("(50)"), "{listed:?}");
    assert!(!app.file.contains_key("/usr/bin/curl"), "the attack's program is not known");
    assert!(app.file.values().flat_map(|ops| ops.values()).flatten().all(|path| !path.starts_with("/tmp/")));
    assert!(stdout(&output).contains(&format!("localhost/shop/app:1: {} behaviours", app.entries())));

    // The same bytes again; and only the images asked for.
    let before = std::fs::read(&filter).unwrap();
    assert!(replay(&args).status.success());
    assert_eq!(std::fs::read(&filter).unwrap(), before);
    assert!(replay(&[&args[..], &["--image", "web"]].concat()).status.success());
    assert_eq!(KnownBehaviour::load(&filter).unwrap().0.images.len(), 1);
}

/// As if it had been made with a filter, and thinned.
fn filtered(dir: &Path) -> std::path::PathBuf {
    let mut script = Script::new();
    script.ordinary(0, 40);
    script.open(BEGIN + 41 * SECOND, 1, "/etc/shadow", 0, 4);
    script.write_with(dir, |manifest| {
        let images = vec!["localhost/shop/app:1".to_owned()];
        manifest.known = Some(datasets::KnownFilter { sha256: "ab".repeat(32), entries: 3, images });
        let at = datasets::Moment::from_ns(BEGIN);
        let change = datasets::SamplingChange { at, class: "file".to_owned(), from: 1, to: 8 };
        manifest.sampling = Some(datasets::Sampling { changes: vec![change], ..Default::default() });
    })
}

#[test]
fn a_recording_made_with_a_filter_is_not_learned_from_unwarned() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = filtered(&tmp.path().join("filtered"));
    let out = tmp.path().join("out");
    let output = replay(&[text(&recording), "-o", text(&out)]);
    assert!(output.status.success());
    let said = stderr(&output);
    assert!(said.contains("filter of known behaviour (abababababab") && said.contains("hint: "), "{said}");
    assert!(said.contains("one event in 8"), "{said}");

    // Compared with a profile there is nothing to warn of, but that it was thinned.
    let profile = out.join("profile.json");
    let output = replay(&[text(&recording), "--learn", text(&profile), "-o", text(&tmp.path().join("again"))]);
    assert!(!stderr(&output).contains("known behaviour") && stderr(&output).contains("one event in 8"));

    // Nor is it one to make a filter from.
    let filter = tmp.path().join("known.json");
    let output = replay(&["profile", "export", text(&profile), "--seen", text(&recording), "--filter", text(&filter)]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("without --known") && !filter.exists(), "{}", stderr(&output));
}
