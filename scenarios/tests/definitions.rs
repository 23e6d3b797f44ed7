//! Scenario files: the shipped ones are sound, and broken ones are refused with file and place.

use std::fs;
use std::path::Path;
use std::time::Duration;

use scenarios::Error;

const GOOD: &str = r#"
title = "t"
description = """
two
lines"""
[benign]
duration_s = 30
[images.box]
recipe = "box"
[[services]]
name = "dns"
image = "box"
dns = true
[[services]]
name = "app"
image = "box"
[load]
image = "box"
phases = [{ name = "p", seconds = 1, rate = 1, burst = 0 }]
"#;

/// Writes `<root>/<name>/scenario.toml` and an image recipe called "box" beside it.
fn write(root: &Path, name: &str, text: &str) {
    let folder = root.join(name);
    fs::create_dir_all(folder.join("box")).unwrap();
    fs::write(folder.join("box/Containerfile"), "ARG BASE\nFROM ${BASE}\n").unwrap();
    fs::write(folder.join("scenario.toml"), text).unwrap();
}

#[test]
fn a_recorder_is_told_the_watched_containers_of_one_scenario_alone() {
    let shop = scenarios::load("node-shop").unwrap();
    assert_eq!(shop.container_glob(), "retroscope-node-shop-{app,front,app-[0-9]*}");
    // What the one is called begins like the other.
    assert_eq!(scenarios::load("web-shell").unwrap().container_glob(), "retroscope-web-shell-{agent,blog}");
    assert_eq!(scenarios::load("web-shell-quiet").unwrap().container_glob(), "retroscope-web-shell-quiet-{agent,blog}");
}

#[test]
fn without_its_attack_a_scenario_is_ordinary_life() {
    let whole = scenarios::load("web-shell").unwrap();
    let life = whole.clone().without_attack();
    assert!(life.acts.is_empty() && life.techniques().is_empty() && life.description.starts_with("Ordinary life"));
    assert_eq!((life.services.len(), life.benign), (whole.services.len(), whole.benign));
    assert_eq!(life.expected_duration(), whole.benign + whole.tail);
    assert_eq!(life.fingerprint().unwrap(), whole.fingerprint().unwrap());
}

#[test]
fn every_shipped_scenario_is_sound() {
    let scenarios = scenarios::list().unwrap();
    for scenario in &scenarios {
        assert!(!scenario.title.is_empty() && !scenario.description.contains('\n'));
    }
    let named = |name: &str| scenarios.iter().find(|scenario| scenario.name == name).unwrap();
    let (webapp, xmrig) = (named("webapp"), named("xmrig"));
    for scenario in [webapp, xmrig] {
        assert!(scenario.benign >= Duration::from_secs(180), "a profile needs time to converge");
        for activity in &scenario.activities {
            assert!(activity.every_s <= 50.0, "{}: at least three times in 150 s", activity.name);
        }
    }
    assert!(webapp.acts.is_empty());
    assert_eq!(xmrig.acts.iter().map(|act| act.name.as_str()).collect::<Vec<_>>(), ["exploit-and-mine", "masquerade"]);
    // The same life: a profile learned from one fits the other.
    assert_eq!(xmrig.images["app"].recipe, webapp.images["app"].recipe);
    assert_eq!(xmrig.images["app"].owner, "webapp");
    assert_eq!(xmrig.activities.len(), webapp.activities.len());
    assert!(
        xmrig
            .services
            .iter()
            .filter(|service| !webapp.services.iter().any(|w| w.name == service.name))
            .all(|s| s.outside)
    );
}

#[test]
fn the_last_step_has_the_helpers_path_and_a_made_up_wallet() {
    let xmrig = scenarios::load("xmrig").unwrap();
    let last = xmrig.acts.last().unwrap().steps.last().unwrap();
    assert_eq!(last.roots[0].exe, "/srv/app/bin/worker");
    let wallet = &xmrig.variables["wallet"];
    assert_eq!(wallet.len(), 95);
    assert!(wallet.contains("MadeUp"));
}

#[test]
fn an_unknown_scenario_is_answered_with_the_known_ones() {
    let error = scenarios::load("nosuch").unwrap_err();
    assert!(matches!(&error, Error::Unknown { known, .. } if known.iter().any(|name| name == "xmrig")));
    assert!(error.to_string().starts_with("unknown scenario 'nosuch'; known: "), "{error}");
    // Neither does a name lead out of the catalog.
    assert!(matches!(scenarios::load("../scenarios/webapp"), Err(Error::Unknown { .. })));
}

#[test]
fn a_scenario_takes_over_what_it_extends() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "base", GOOD);
    write(
        root.path(),
        "more",
        "title = \"m\"\ndescription = \"d\"\nextends = \"base\"\n[images.own]\nrecipe = \"box\"\n\
         [[services]]\nname = \"extra\"\nimage = \"own\"\n[benign]\ntail_s = 5\n[variables]\nx = \"1\"\n",
    );
    let more = scenarios::load_from(root.path(), "more").unwrap();
    assert_eq!((more.name.as_str(), more.title.as_str()), ("more", "m"));
    assert_eq!((more.benign, more.tail), (Duration::from_secs(30), Duration::from_secs(5)));
    assert_eq!(more.services.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["dns", "app", "extra"]);
    assert_eq!(more.images["box"].owner, "base");
    assert_eq!(more.images["box"].recipe, root.path().join("base/box"));
    assert_eq!(more.images["own"].recipe, root.path().join("more/box"));
    assert_eq!(scenarios::load_from(root.path(), "base").unwrap().description, "two lines");
}

#[test]
fn a_broken_file_is_named_with_its_place() {
    let step = "[[acts]]\nname = \"a\"\ntitle = \"t\"\n[[acts.steps]]\nname = \"s\"\ndescription = \"d\"\n";
    let cases = [
        ("title = 3\n", "1:9", "string"),
        ("title = \"t\"\ndescription = \"d\"\nnosuch = 1\n", "3:1", "unknown field"),
        ("title = \"t\"\n[[[", "2:", ""),
        ("", "1:1", "missing field"),
        ("title = \"t\"\ndescription = \"d\"\n", "load", "needs a load"),
        ("title = \"t\"\ndescription = \"d\"\nextends = \"gone\"\n", "extends", "no scenario 'gone'"),
        ("title = \"t\"\ndescription = \"d\"\nextends = \"bad\"\n", "extends", "extend each other"),
        (&GOOD.replace("image = \"box\"\ndns", "image = \"ox\"\ndns"), "services.dns", "no image 'ox'"),
        (&GOOD.replace("recipe = \"box\"", "recipe = \"ox\""), "images.box", "no Containerfile"),
        (&GOOD.replace("dns = true", ""), "services", "dns = true"),
        (&GOOD.replace("name = \"app\"", "name = \"dns\""), "services.dns", "taken"),
        (&GOOD.replace("name = \"app\"", "name = \"../app\""), "services.../app", "a name is made of"),
        (&GOOD.replace("rate = 1", "rate = 0"), "load.phases.p", "above 0"),
        (&GOOD.replace("rate = 1", "rate = nan"), "load.phases.p", "above 0"),
        (
            &format!("{GOOD}[[operations]]\nname = \"o\"\nservice = \"app\"\nat_s = 1.0\ndo = \"deploy\"\n"),
            "operations.o",
            "deploy needs",
        ),
        (
            &format!("{GOOD}[[operations]]\nname = \"o\"\nservice = \"dns\"\nat_s = 1.0\ndo = \"restart\"\n"),
            "operations.o",
            "name server",
        ),
        (&GOOD.replace("name = \"app\"", "name = \"app\"\ncaps = [\"SYS_ADMIN\"]"), "services.app", "SYS_ADMIN"),
        (
            &format!(
                "{GOOD}{step}technique = \"T14\"\nservice = \"app\"\ncommand = [\"x\"]\nroots = [{{ service = \"app\", exe = \"/x\" }}]\n"
            ),
            "acts.a.s",
            "'T14' is not",
        ),
        (
            &format!("{GOOD}{step}technique = \"T1496\"\nservice = \"app\"\ncommand = [\"x\"]\n"),
            "acts.a.s",
            "cannot be labelled",
        ),
        (
            &format!(
                "{GOOD}{step}technique = \"T1496\"\nservice = \"app\"\ncommand = [\"x\"]\nroots = [{{ service = \"no\", exe = \"/x\" }}]\n"
            ),
            "acts.a.s",
            "no service 'no'",
        ),
    ];
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "bad", GOOD);
    scenarios::load_from(root.path(), "bad").expect("the unbroken file is accepted");
    for (text, place, message) in cases {
        write(root.path(), "bad", text);
        let error = scenarios::load_from(root.path(), "bad").unwrap_err();
        let shown = error.to_string();
        let Error::Definition { path, place: at, message: said } = error else { panic!("{text}: {shown}") };
        assert_eq!(path, root.path().join("bad/scenario.toml"));
        assert!(at.starts_with(place), "{place} expected: {shown}");
        assert!(said.contains(message), "{message} expected: {shown}");
        assert!(!shown.contains('\n'), "one line: {shown}");
    }
}
