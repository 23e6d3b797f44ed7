//! `eval report` on small results as commands write them.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

/// A name that would be an element, were it not escaped.
const HOSTILE: &str = "<script>alert('x')</script>";

fn report(inputs: &[&Path], output: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_eval")).arg("report").args(inputs).arg("-o").arg(output).output().unwrap()
}

fn machine(mut of: Value) -> Value {
    let facts = json!({"kernel": "6.1 x86_64", "cpu": "a", "cpus": 2, "memory_mib": 100, "load_before": 0.2, "load_after": null});
    of.as_object_mut().unwrap().extend(facts.as_object().unwrap().clone());
    of
}

fn overhead(ratio: f64) -> Value {
    let result = json!({"workload": "storm", "seconds": [2.0, 2.0], "ratio": ratio, "low": 1.125, "high": 2.75, "events": 90.0,
        "dropped": 10.0, "bytes_per_event": 3.25, "cpu_seconds": 0.375, "memory_mib": 7.5});
    machine(json!({"rounds": 2, "scale": 0.5,
        "bare": [{"workload": "storm", "seconds": [1.0, 1.0], "median": 1.0, "spread": 0.0}],
        "recorders": [{"name": HOSTILE, "about": "", "version": null, "idle_cpu_seconds": null, "results": [result]}],
        "absent": [{"name": "other", "why": "not installed"}]}))
}

fn method(name: &str, group: &str, cut_off: f64, rate: f64) -> Value {
    let quality = json!({"f1": 0.625, "pr_auc": 0.8125, "roc_auc": 0.9375});
    let point = json!({"cut_off": cut_off,
        "metrics": {"acts": 8, "detected": 3, "detection_rate": rate, "alert_precision": 0.5,
            "false_alerts_per_container_hour": 4.125, "events": quality, "adp": 0.71875, "time_to_detect": {"median_s": 1.375}},
        "intervals": {"event_f1": [0.561, 0.687]}, "detection_rate_wilson": [0.137, 0.694],
        "acts": [{"recording": "r", "scenario": HOSTILE, "detected": true, "after_s": 2.5},
                 {"recording": "r", "scenario": HOSTILE, "detected": false, "after_s": null}]});
    json!({"name": name, "group": group, "own": point, "chosen": [point]})
}

fn detection(rate: f64, curves: bool) -> Value {
    let curve = |name: &str| {
        let point = |cut_off: f64, detected: u64, tp: u64, fp: u64| json!({"cut_off": cut_off, "detected": detected, "false_alerts": fp, "events": [tp, fp], "processes": [1, 1]});
        json!({"name": name, "acts": 8, "container_hours": 2.0, "events": [16, 64], "processes": [4, 8],
            "points": [point(0.8, 1, 3, 0), point(0.05, 3, 11, 7), point(0.01, 8, 16, 40)]})
    };
    let mut run = json!({"kind": "retroscope detection benchmark", "model": "m", "machine": machine(json!({})),
        "results": {"learned_from": ["a"], "validation": ["b"], "test": ["r"], "budgets": [{"per_container_hour": 0.0}],
            "methods": [method("retroscope", "detector", 40.0, rate), method("cosine-0.95", "baselines", 0.05, rate)]}});
    if curves {
        run["curves"] = json!([curve("retroscope"), curve("cosine-0.95")]);
    }
    run
}

fn curve() -> Value {
    machine(json!({"recorder": null, "options": [], "counter": null, "seconds": 3.0, "points": [
        {"deed": "syscall", "cpus": [1], "rate": 5000, "callers": {"calls": 15000, "seconds": 3.0, "cpu_seconds": 1.0, "behind": 0},
         "calls_per_second": 4997.375, "counted": null, "stored": 14999, "stored_share": 0.938, "emitted": 15000, "dropped": 1, "left_out": 0,
         "accounted_share": 1.0, "verified": true, "complete": null, "bytes_per_event": 1.5625, "segments": 1, "bytes": 100,
         "cpu_seconds": 0.25, "cpu_ns_per_event": 100.0, "memory_mib": [1.0], "memory_peak_mib": 1.0, "ring_most_mib": 0.5,
         "lag_p50": 0.001, "lag_p99": 0.004125, "lag_max": 0.01}]}))
}

fn latency() -> Value {
    machine(
        json!({"recorder": null, "replay": null, "options": [], "seconds": 5.0, "rate": 100, "segment": 1.0, "events": 500,
        "dropped": 0, "attacks": 2, "told": 2, "stages": [{"name": "row", "place": HOSTILE, "count": 3, "p50": 0.002375,
        "p90": 0.003, "p99": 0.004, "max": 0.004, "histogram": [[0.002, 2], [0.004, 1]]}]}),
    )
}

fn growth() -> Value {
    let point = |rate: f64| {
        json!({"asked": rate, "round": 0, "seconds": 2.0, "events": 2000, "events_per_second": rate, "dropped": 0, "verified": true,
            "cpu_seconds": rate / 1e4, "memory_mib": 9.0, "bytes": 5000, "segments": 2})
    };
    let fit = json!({"cost": "CPU", "exponent": 0.844, "low": 0.75, "high": 0.875, "factor": 0.01, "of_points": 2});
    let series = |over: &str| json!({"over": over, "points": [point(100.0), point(1000.0)], "fits": [fit]});
    machine(json!({"recorder": null, "options": [], "deed": "file", "rounds": 1, "idle_cpu_seconds": 0.1,
        "series": [series("rate"), series("length")]}))
}

fn soak() -> Value {
    let sample = |at: f64| {
        json!({"at": at, "memory": 11.5, "resident": 60.0, "cpu": {"recorder": at / 50.0, "bpf": {"seconds": at / 90.0, "runs": 9},
            "containers": at / 3.0, "machine": at}, "emitted": 9, "stored": 9, "dropped": 0, "bytes": 4096, "ring": 0,
            "lag_p99": 0.01, "lag_max": 0.02, "load": 0.5})
    };
    let line = json!({"median": 11.4375, "most": 12.25, "slope": [0.5, 0.25, 0.75]});
    machine(
        json!({"scenario": HOSTILE, "recorder": null, "turns": null, "long": {"seconds": 301.5, "memory": line, "resident": line,
        "emitted": 9, "stored": 9, "dropped": 0, "left_out": 0, "verified": true, "classes": [], "bytes": 4096, "bytes_per_event": 455.125,
        "spent": {"seconds": 300.0, "containers": 100.0, "recorder": 6.0, "bpf": 3.0, "bpf_runs": 9, "machine": 300.0},
        "recorder_cpu_total": 6.5, "lag_p99_median": 0.01, "lag_max": 0.02, "asked": null, "others_share": 0.1,
        "samples": [sample(0.0), sample(60.0), sample(300.0)]}}),
    )
}

#[test]
fn every_kind_is_shown_with_its_numbers_and_nothing_comes_from_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, value: &Value| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, value.to_string()).unwrap();
        path
    };
    let files = [
        write("old/run.json", &detection(0.375, true)),
        write("new/run.json", &detection(0.5, true)),
        write("one/run.json", &overhead(1.5)),
        write("two/run.json", &overhead(1.75)),
        write("curve.json", &curve()),
        write("soak.json", &soak()),
        write("latency.json", &latency()),
        write("growth.json", &growth()),
    ];
    let output = dir.path().join("report.html");
    let mut inputs: Vec<&Path> = files.iter().map(|path| path.as_path()).collect();
    // A directory stands for the file in it.
    inputs[0] = files[0].parent().unwrap();
    let made = report(&inputs, &output);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let page = std::fs::read_to_string(&output).unwrap();
    let said = [
        // Detection: a rate with its interval, F1 with its own, areas, the grid, ROC and PR points, the mark, both runs.
        "0.375 [0.137, 0.694]",
        "0.625 [0.561, 0.687]",
        "<td>0.938</td>",
        "<td>1&#x2f;2, 2.5 s</td>",
        "0.10938",
        "0.68750",
        "0.61111",
        "cosine-0.95, 0.95 marked",
        "0.9500",
        "<td>+0.125</td>",
        // Overhead: both ratios and their difference, the interval, what is absent.
        "<td>1.500</td><td>1.750</td><td>+0.250</td>",
        "[1.125, 2.750]",
        "Not measured: other: not installed",
        // The rest.
        "4997.375",
        "4.125",
        "11.438",
        "2.375",
        "0.844",
        "<html lang=\"en\">",
        "prefers-color-scheme: dark",
    ];
    for text in said {
        assert!(page.contains(text), "{text} is not in the page");
    }
    // Two detection runs with three pictures of two methods each, two of overhead, four others.
    assert_eq!(page.matches("<svg").count(), 2 * 4 + 2 + 4);
    assert_eq!(page.matches("role=\"img\" aria-label=\"").count(), page.matches("<svg").count());
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "what is named is not what is done");
    // An SVG names its namespace; nothing loads it.
    let without = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for load in ["http://", "https://", "src=", "url(", "@import", "<link", "href=\"/", "xlink"] {
        assert!(!without.contains(load), "{load}");
    }
}

#[test]
fn a_run_without_curves_is_shown_and_what_is_no_result_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (run, output) = (dir.path().join("run.json"), dir.path().join("report.html"));
    std::fs::write(&run, detection(0.375, false).to_string()).unwrap();
    assert!(report(&[&run], &output).status.success());
    let page = std::fs::read_to_string(&output).unwrap();
    assert!(page.contains("no points of curves") && page.contains("0.375 [0.137, 0.694]") && !page.contains("<svg"));

    let empty = tempfile::tempdir().unwrap();
    let bad = |name: &str, text: &str| {
        let path = empty.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let cases = [
        (bad("other.json", "{\"kind\": \"another\"}"), "not a result that a report is made of"),
        (bad("text.json", "no"), "not JSON"),
        (bad("half.json", "{\"bare\": 1, \"recorders\": []}"), "damaged, or no result of `eval overhead`"),
        (empty.path().to_owned(), "holds none of run.json"),
        (empty.path().join("gone.json"), "cannot read"),
    ];
    for (path, why) in cases {
        let refused = report(&[&path], &output);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(4) && said.contains(why) && said.contains("hint: "), "{said}");
    }
}
