//! The page that a replay ends in: its structure, its colours, hostile names, the same bytes, and how it behaves in a
//! browser. `REPORT_PICTURES=DIR` keeps pictures of it.

#[path = "common/browser.rs"]
mod browser;
mod common;
#[path = "common/html.rs"]
mod html;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use browser::Browser;
use common::{BEGIN, SECOND, Script, attacked, replay, stderr};
use html::{Tag, tags};

const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&</script><script>alert(2)</script>";
/// Processes beside the attack that nothing has learned: more than the page lays out at once.
const OTHERS: i64 = 130;

/// An attack, names that want to be more than names, and more alerts than are shown at once.
fn hostile(dir: &Path) -> PathBuf {
    let mut script = Script::new();
    script.ordinary(0, 280);
    script.attack(180);
    let at = |i: i64| BEGIN + 250 * SECOND + i * 1_000_000;
    script.exec(at(0), 1, &format!("/tmp/{HOSTILE}"), &["x", HOSTILE]);
    script.exec(at(1), 1, "/tmp/turned", &["\u{202e}gpj.exe\u{2066}\u{200f}", "\u{1b}[2J\u{7}\0"]);
    script.exec(at(2), 1, "/tmp/long", &["long", &"w".repeat(100_000), &"words ".repeat(20_000)]);
    for i in 0..OTHERS {
        script.exec(
            at(10 + i),
            1,
            &format!("/tmp/.cache/tool-{i}"),
            &["/tmp/.cache/tool", "--run", &format!("job{i}")],
        );
    }
    script.connect(at(900), 1, "203.0.113.7", 4444);
    script.write(dir)
}

fn made(recording: &Path, out: &Path, options: &[&str]) -> PathBuf {
    let mut args = vec![recording.to_str().unwrap(), "-o", out.to_str().unwrap()];
    args.extend(options);
    let output = replay(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    out.join("report.html")
}

/// The page of [`hostile`], made once.
fn page() -> &'static Path {
    static PAGE: OnceLock<PathBuf> = OnceLock::new();
    PAGE.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-page");
        let _ = fs::remove_dir_all(&dir);
        made(&hostile(&dir.join("rec")), &dir.join("out"), &[])
    })
}

#[test]
fn the_page_is_well_formed_and_says_what_it_shows_to_those_who_do_not_see_it() {
    let page = fs::read_to_string(page()).unwrap();
    let tags = tags(&page);
    let mut ids = BTreeSet::new();
    for id in tags.iter().filter_map(|tag| tag.get("id")) {
        assert!(ids.insert(id), "{id} is there twice");
    }
    let named = |names: &str| names.split(' ').all(|name| ids.contains(name));
    for tag in &tags {
        for attribute in ["aria-labelledby", "aria-describedby", "for"] {
            assert!(tag.get(attribute).is_none_or(named), "{tag:?} names what is not there");
        }
        let link = tag.get("href").and_then(|link| link.strip_prefix('#'));
        assert!(link.is_none_or(|id| ids.contains(id)), "{tag:?} leads nowhere");
        assert!(tag.get("onclick").is_none() && tag.get("src").is_none() && tag.get("srcset").is_none(), "{tag:?}");
    }
    let count = |is: &dyn Fn(&&Tag) -> bool| tags.iter().filter(is).count();
    let of = |name: &'static str| move |tag: &&Tag| tag.name == name;
    assert_eq!((count(&of("main")), count(&of("h1")), count(&of("header")), count(&of("nav"))), (1, 1, 1, 1));
    assert_eq!(count(&of("table")), count(&of("caption")), "every table says what it is");
    let heads = tags.iter().filter(|tag| tag.name == "th");
    assert!(heads.clone().count() > 40 && heads.clone().all(|head| head.get("scope").is_some()));
    // What scrolls is reached by the keyboard and has a name.
    let scrolls =
        tags.iter().filter(|tag| tag.get("class").is_some_and(|class| class.split(' ').any(|own| own == "scroll")));
    assert!(scrolls.clone().all(|it| it.get("tabindex") == Some("0") && it.get("aria-label").is_some()));
    let fields = tags.iter().filter(|tag| matches!(tag.name.as_str(), "input" | "select"));
    assert!(
        fields.clone().all(|field| field.within.contains(&"label".to_owned()) || field.get("id") == Some("moment"))
    );
    assert_eq!(count(&|tag| tag.get("aria-live").is_some()), 2, "hits, and the moment");
    let mut regions = BTreeSet::new();
    let sections = tags.iter().filter(|tag| tag.name == "section" || tag.get("role") == Some("region"));
    for name in sections.filter_map(|tag| tag.get("aria-label").or(tag.get("aria-labelledby"))) {
        assert!(regions.insert(name.to_lowercase()), "two regions are called {name}");
    }
    assert!(tags[0].name == "html" && tags[0].get("lang") == Some("en"));
    // Two charts, a curve of each image that learned, the map.
    assert_eq!(count(&of("svg")), 2 + 2 + 1);
    assert!(
        [
            "process, file, network tree",
            "(alert A",
            "tcp&#x2f;6379 redis, either, by port: ",
            "tcp&#x2f;3333",
            "<strong>data store, no encryption seen</strong>",
            "<strong>outside</strong>"
        ]
        .iter()
        .all(|text| page.contains(text))
    );
}

#[test]
fn nothing_comes_from_elsewhere_and_only_the_page_s_own_script_may_run() {
    let page = fs::read_to_string(page()).unwrap();
    // An SVG names its namespace, the script makes elements of it; nothing loads it. Command lines hold addresses.
    let tags = tags(&page);
    for tag in &tags {
        for (name, value) in &tag.attributes {
            let loads = ["src", "href", "xlink:href", "action", "data", "poster", "style"].contains(&name.as_str());
            assert!(!loads || !(value.contains("//") || value.contains("url(")), "{tag:?}");
        }
        assert!(!matches!(tag.name.as_str(), "link" | "img" | "iframe" | "object" | "embed" | "base"), "{tag:?}");
    }
    let policy = tags.iter().find_map(|tag| tag.get("http-equiv").and(tag.get("content"))).unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("script-src 'unsafe"), "{policy}");
    assert_eq!(tags.iter().filter(|tag| tag.name == "script").count(), 2, "data and the script");
}

#[test]
fn hostile_names_are_shown_and_do_nothing() {
    let path = page();
    let page = fs::read_to_string(path).unwrap();
    assert!(
        !page.contains("<img")
            && !page.contains("<script>alert")
            && page.contains("&lt;img src=x onerror=alert(1)&gt;")
    );
    assert!(page.contains("\\x202egpj.exe\\x2066\\x200f") && page.contains("\\x1b[2J\\x07"));
    let acts = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert_eq!(page.chars().find(|c| acts(*c)), None);
    assert!(!page.contains(&"w".repeat(2001)), "what is long is cut");
    let alerts = fs::read_to_string(path.with_file_name("alerts.jsonl")).unwrap().lines().count();
    assert!(
        alerts > OTHERS as usize && page.len() < 200_000 + alerts * 10_000,
        "{} bytes of {alerts} alerts",
        page.len()
    );
}

#[test]
fn the_same_recording_gives_the_same_page() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = attacked(&tmp.path().join("rec"));
    let bytes = |threads: &str| fs::read(made(&recording, &tmp.path().join(threads), &["--threads", threads])).unwrap();
    assert_eq!(bytes("1"), bytes("3"));
}

/// Contrast as WCAG 2.2 defines it.
fn contrast(a: &str, b: &str) -> f64 {
    let light = |colour: &str| {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    };
    let (a, b) = (light(a), light(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn words_and_lines_stand_out_in_light_and_in_dark() {
    let style = include_str!("../templates/report/style.css");
    let mut colours: BTreeMap<&str, [&str; 2]> = BTreeMap::new();
    for part in style.split("--").skip(1) {
        if let Some((name, value)) = part.split_once(": light-dark(") {
            let (light, dark) = value.split_once(')').unwrap().0.split_once(", ").unwrap();
            colours.insert(name, [light, dark]);
        }
    }
    let check = |names: &[&str], grounds: &[&str], least: f64| {
        for (name, ground) in names.iter().flat_map(|name| grounds.iter().map(move |ground| (name, ground))) {
            for (scheme, (a, b)) in ["light", "dark"].iter().zip(colours[name].iter().zip(colours[ground])) {
                let ratio = contrast(a, b);
                assert!(ratio >= least, "{name} on {ground}, {scheme}: {ratio:.2}");
            }
        }
    };
    // 4.5 for words (1.4.3), 3 for what a chart or a control is made of (1.4.11).
    check(&["fg", "dim", "link", "critical", "high", "medium", "low"], &["bg", "card"], 4.5);
    check(&["fg"], &["mark"], 4.5);
    check(&["blue", "green", "purple", "amber", "yellow", "red", "edge"], &["bg"], 3.0);
    assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 1e-9);
}

/// Where the keyboard is.
const FOCUS: &str = "(document.activeElement.closest('details')?.id ?? document.activeElement.id)";
const SHOWN: &str = "document.querySelectorAll('#alert-list > details').length";
const HITS: &str = "document.getElementById('hits').textContent";

#[test]
fn a_browser_filters_follows_links_and_obeys_the_keyboard() {
    let Some(mut browser) = Browser::start() else {
        eprintln!(
            "SKIPPED: no chromium, chromium-browser or google-chrome in PATH: the page was not tried in a browser"
        );
        return;
    };
    let keep = std::env::var_os("REPORT_PICTURES").map(PathBuf::from);
    browser.view(1200, 900, "light");
    browser.open(page(), "");

    // Bounded at first, more on demand, and the keyboard goes to the first new one.
    let all = browser.eval("document.querySelectorAll('#alert-store > template').length").as_u64().unwrap();
    assert!(all > 0 && browser.eval(SHOWN) == 100, "{} {}", all, browser.eval(HITS));
    browser.eval("document.querySelector('select[name=group]').value = ''; document.querySelector('#filter').dispatchEvent(new Event('change'))");
    browser.eval("document.getElementById('more').click()");
    assert!(browser.eval(SHOWN).as_u64().unwrap() > 100);
    assert_eq!(browser.eval(&format!("{FOCUS} === document.querySelectorAll('#alert-list > details')[100].id")), true);

    // `/`, words, what is said of them, and the arrows.
    browser.press("/", 191);
    assert_eq!(browser.eval(FOCUS), "search");
    browser.call("Input.insertText", serde_json::json!({"text": "XMRIG donate"}));
    browser.until(&format!("{SHOWN} > 0 && {SHOWN} < 10"));
    assert!(browser.eval(HITS).as_str().unwrap().contains("alert"), "{}", browser.eval(HITS));
    assert_eq!(browser.eval("[...document.querySelectorAll('#alert-list > details')].every(it => it.textContent.toLowerCase().includes('xmrig'))"), true);
    browser.press("ArrowDown", 40);
    let first = browser.eval(FOCUS);
    assert!(first.as_str().unwrap().starts_with('A'));
    browser.press("ArrowDown", 40);
    assert_ne!(browser.eval(FOCUS), first);
    browser.press("Home", 36);
    assert_eq!(browser.eval(FOCUS), first);
    browser.press("Enter", 13);
    assert_eq!(browser.eval("document.activeElement.parentElement.open"), true);
    browser.press("ArrowUp", 38);
    browser.press("Escape", 27);
    browser.until("document.getElementById('search').value === '' && document.querySelectorAll('#alert-list > details').length >= 100");
    browser.eval("document.querySelector('#filter').elements.severity.value = 'critical'; document.querySelector('#filter').dispatchEvent(new Event('change'))");
    assert_eq!(
        browser.eval(
            "[...document.querySelectorAll('#alert-list > details')].every(it => it.dataset.severity === 'critical')"
        ),
        true
    );

    // A link to an alert that waits in the store, and one by its number.
    let last = browser
        .eval("[...document.querySelectorAll('#alert-store > template')].at(-1).content.firstElementChild?.id ?? ''");
    let id = if last == "" { first.as_str().unwrap().to_owned() } else { last.as_str().unwrap().to_owned() };
    browser.open(page(), &format!("#{id}"));
    browser.until(&format!("{FOCUS} === '{id}' && document.activeElement.parentElement.open"));
    let number = id[1..].parse::<u32>().unwrap();
    browser.open(page(), &format!("#alert-{number}"));
    browser.until(&format!("{FOCUS} === '{id}'"));

    // The timeline in numbers, by the keyboard.
    browser.eval("document.getElementById('moment').focus()");
    browser.press("End", 35);
    browser.until("document.getElementById('told').textContent.includes('events/s')");
    let told = browser.eval("document.getElementById('told').textContent");
    assert!(["process", "patterns", "locked"].iter().all(|word| told.as_str().unwrap().contains(word)), "{told}");

    // What a screen reader is given.
    let tree = browser.call("Accessibility.getFullAXTree", serde_json::json!({}));
    let roles: BTreeSet<&str> =
        tree["nodes"].as_array().unwrap().iter().filter_map(|node| node["role"]["value"].as_str()).collect();
    for role in ["main", "navigation", "banner", "search", "searchbox", "status", "slider", "table", "heading", "image"]
    {
        assert!(roles.contains(role), "no {role} among {roles:?}");
    }

    // Of each connection what can be read on the way, whether the profile knows it, and since when it is there.
    let cells = |service: &str| {
        format!(
            "(row => ['channel', 'profile', 'first seen', 'last seen'].map(name => row.cells[[...row.closest('table').tHead.rows[0].cells].findIndex(head => head.textContent === name)].textContent).join('|'))([...document.querySelectorAll('#connections ~ .scroll tbody tr')].find(row => row.textContent.includes('{service}')))"
        )
    };
    let told = |browser: &mut Browser, service: &str| -> Vec<String> {
        let told = browser.eval(&cells(service));
        told.as_str().unwrap().split('|').map(str::to_owned).collect()
    };
    let redis = told(&mut browser, "tcp/6379");
    assert!(redis[0].starts_with("either, by port") && redis[1].is_empty(), "{redis:?}");
    assert!(redis[2].contains('T') && redis[2] < redis[3], "{redis:?}");
    assert_eq!(told(&mut browser, "tcp/3333")[1], "outside");

    // Light and dark, by the system and by the button; nothing sticks out of a narrow page.
    let ground = "getComputedStyle(document.body).backgroundColor";
    let picture = |browser: &mut Browser, name: &str| keep.iter().for_each(|dir| browser.picture(&dir.join(name)));
    for (width, scheme, expected) in [(1200, "light", "rgb(255, 255, 255)"), (420, "dark", "rgb(20, 23, 26)")] {
        browser.view(width, 900, scheme);
        browser.open(page(), "");
        assert_eq!(browser.eval(ground), expected);
        browser.eval("document.querySelectorAll('details').forEach(it => { it.open = it.open || it.id === 'A0001' })");
        assert_eq!(browser.eval("document.documentElement.scrollWidth <= innerWidth"), true, "at {width}");
        let places = ["timeline", "alerts", "incidents", "flows", "traffic", "security"];
        for place in places.iter().filter(|_| keep.is_some()) {
            browser.eval(&format!("document.getElementById('{place}').scrollIntoView()"));
            picture(&mut browser, &format!("{scheme}-{width}-{place}.png"));
        }
        browser.eval("scrollTo(0, 0)");
        picture(&mut browser, &format!("{scheme}-{width}.png"));
    }
    browser.eval("document.getElementById('theme').click()");
    assert_eq!(browser.eval(ground), "rgb(255, 255, 255)", "light, though the system is dark");
    assert_eq!(browser.complaints, Vec::<String>::new());
}
