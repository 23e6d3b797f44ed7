//! Bytes out beyond the profile: what is usual is learned by program and peer, and config says how far beyond it is too far; where days
//! were learned, what the hour's forecast has not.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{BEGIN, SECOND, Script, replay, stderr};
use serde_json::Value;

const CACHE: (&str, u16) = ("10.89.0.4", 6379);
const STRANGER: (&str, u16) = ("203.0.113.77", 443);
/// `replay/rules/bytes_beyond_profile.yml` and `unknown_peer_bytes.yml`
const BEYOND: &str = "8d0b3f52-44c7-5f5e-8f5b-6c0d9f2a1e37";
const UNKNOWN: &str = "d2c35bc5-fcc0-560d-9c29-1bac26b6b239";

/// Two minutes in which the app sends its cache 20,000 bytes a second: 1,200,000 within each.
fn life() -> Script {
    let mut script = Script::new();
    script.ordinary(0, 120);
    for second in 0..120 {
        script.close(BEGIN + second * SECOND + 20, 1, CACHE.0, CACHE.1, 20_000);
    }
    script
}

/// The ids of the rules that hit, in a life with one connection more, against the profile of an ordinary one.
fn rules(tmp: &Path, baseline: &Path, to: (&str, u16), bytes: u64, sets: &[&str]) -> Vec<String> {
    let mut script = life();
    let ts = BEGIN + 65 * SECOND + SECOND / 2;
    script.connect(ts, 1, to.0, to.1);
    script.close(ts + 1_000_000, 1, to.0, to.1, bytes);
    let name = format!("{}-{bytes}-{}", to.1, sets.len());
    let recording = script.write(&tmp.join(&name));
    let out = tmp.join(format!("{name}-out"));
    let mut args =
        vec![recording.to_str().unwrap(), "--learn", baseline.to_str().unwrap(), "-o", out.to_str().unwrap()];
    // The embedding is no part of this.
    args.extend(["--set", "engines.weights.semantics=0"]);
    args.extend(sets.iter().flat_map(|set| ["--set", set]));
    let output = replay(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = fs::read_to_string(out.join("alerts.jsonl")).unwrap();
    let alerts: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let deviations = alerts.iter().flat_map(|alert| alert["deviations"].as_array().unwrap());
    let verdicts = deviations.flat_map(|deviation| deviation["verdicts"].as_array().unwrap());
    verdicts.map(|verdict| verdict["judge"].as_str().unwrap().to_owned()).collect()
}

fn profile(tmp: &Path) -> PathBuf {
    let recording = life().write(&tmp.join("base"));
    let profile = tmp.join("base.json");
    let output = replay(&["learn", recording.to_str().unwrap(), "-o", profile.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    profile
}

#[test]
fn a_known_peer_gets_more_than_the_profile_has_seen() {
    let tmp = tempfile::tempdir().unwrap();
    let baseline = profile(tmp.path());
    let learned: Value = serde_json::from_str(&fs::read_to_string(&baseline).unwrap()).unwrap();
    let sent = learned["images"]["localhost/shop/app:1"]["trees"]["sent"].as_object().unwrap();
    assert_eq!(sent.values().next().unwrap().as_object().unwrap().values().next().unwrap(), 1_200_000, "{sent:?}");
    // Four times what was learned are 4,800,000; ordinary life sends 1,200,000 of it within this minute.
    let of = |bytes, sets: &[&str]| rules(tmp.path(), &baseline, CACHE, bytes, sets).iter().any(|id| id == BEYOND);
    assert!(of(4_800_000, &[]));
    assert!(!of(3_000_000, &[]));
    assert!(of(3_000_000, &["network.volume_factor=1.5"]), "the factor is config");
}

#[test]
fn an_unknown_peer_gets_more_than_it_may() {
    let tmp = tempfile::tempdir().unwrap();
    let baseline = profile(tmp.path());
    let of = |bytes, sets: &[&str]| rules(tmp.path(), &baseline, STRANGER, bytes, sets).iter().any(|id| id == UNKNOWN);
    assert!(of(20_001, &[]));
    assert!(!of(20_000, &[]));
    assert!(!of(20_001, &["network.volume_unknown=50000"]), "the bound is config");
}

const HOUR: i64 = 3600 * SECOND;

/// Days in which the app sends its cache 400,000 bytes an hour by day and 4,000 by night, a quarter of it at a time; the hours are
/// counted from the first day's. `more`: an hour, and bytes in its last quarter.
fn days(hours: std::ops::Range<i64>, more: Option<(i64, u64)>) -> Script {
    let mut script = Script::new();
    for hour in hours {
        let usual = if (8..20).contains(&(hour % 24)) { 400_000 } else { 4_000 };
        for quarter in 0..4 {
            // Begins 53 minutes past the hour of UTC.
            let ts = BEGIN + 400 * SECOND + hour * HOUR + quarter * (HOUR / 4);
            let extra = more.filter(|(at, _)| (*at, 3) == (hour, quarter)).map_or(0, |(_, bytes)| bytes);
            script.close(ts, 1, CACHE.0, CACHE.1, usual / 4 + (hour * 7919 % 13) as u64 * 10 + extra);
        }
    }
    script
}

/// Deviations of volume in an alerts.jsonl.
fn volumes(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("alerts.jsonl")).unwrap();
    let alerts: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let deviations = alerts.iter().flat_map(|alert| alert["deviations"].as_array().unwrap());
    deviations.filter(|deviation| deviation["kind"] == "new_volume").cloned().collect()
}

#[test]
fn what_is_usual_by_day_is_evidence_by_night_where_days_were_learned() {
    let tmp = tempfile::tempdir().unwrap();
    let learn = |name: &str, hours| {
        let recording = days(hours, None).write(&tmp.path().join(name));
        let profile = tmp.path().join(format!("{name}.json"));
        let output = replay(&["learn", recording.to_str().unwrap(), "-o", profile.to_str().unwrap()]);
        assert!(output.status.success(), "{}", stderr(&output));
        profile
    };
    let of = |profile: &Path, more, threads: &str| {
        let name = format!("{}-{more:?}-{threads}", profile.file_stem().unwrap().display());
        let recording = days(101..126, more).write(&tmp.path().join(&name));
        let out = tmp.path().join(name + "-out");
        let args = ["--learn", profile.to_str().unwrap(), "-o", out.to_str().unwrap(), "--threads", threads];
        let output =
            replay(&[&[recording.to_str().unwrap(), "--set", "engines.weights.semantics=0"][..], &args].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        volumes(&out)
    };
    let profile = learn("four", 0..97);
    let saved: Value = serde_json::from_str(&fs::read_to_string(&profile).unwrap()).unwrap();
    let traffic = &saved["images"]["localhost/shop/app:1"]["trees"]["traffic"];
    assert_eq!(traffic["bucket"], 3600, "{traffic}");
    let (first, end) = (traffic["whole"][0]["start"].as_i64().unwrap(), traffic["whole"][0]["end"].as_i64().unwrap());
    assert_eq!(end - first, 96, "hours that were learned whole");

    let shown = |profile: &Path| common::stdout(&replay(&["profile", "show", profile.to_str().unwrap()]));
    assert!(shown(&profile).contains("a forecast from 96 buckets of 3600 s"), "{}", shown(&profile));

    assert!(of(&profile, None, "1").is_empty(), "an ordinary day");
    // Hour 123 is the third of the sixth day. Of a minute, a million bytes are allowed to a known peer, and nothing was said of hours.
    let found = of(&profile, Some((123, 396_000)), "1");
    let [volume] = &found[..] else { panic!("{found:#?}") };
    assert!(volume["text"].as_str().unwrap().contains("sends to"), "{volume:#}");
    let verdicts = volume["verdicts"].as_array().unwrap();
    let rarity = verdicts.iter().find(|verdict| verdict["judge"] == "rarity").unwrap();
    assert!(rarity["score"].as_f64().unwrap() > 0.9, "{rarity:#}");
    assert!(rarity["reason"].as_str().unwrap().contains("bytes sent within 3600 s, where"), "{rarity:#}");
    assert_eq!(found, of(&profile, Some((123, 396_000)), "3"), "for any number of threads");
    // The same by day is no more than a day's hour has, and the bound of a minute is silent on both.
    assert!(of(&profile, Some((123 - 12, 3_000)), "1").is_empty());

    // A day and a half is no season learned twice: the plain bound stands alone.
    let short = learn("short", 0..36);
    let saved = fs::read_to_string(&short).unwrap();
    assert!(!saved.contains("\"traffic\""), "too little to keep");
    assert!(shown(&short).contains("a forecast takes two seasons"), "{}", shown(&short));
    assert!(of(&short, Some((123, 396_000)), "1").is_empty());
}
