//! The llm judge against a real HTTP server: what it asks, what it takes for an answer, and what becomes of faults.

mod common;
#[path = "common/llm_server.rs"]
mod llm_server;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{attacked, replay, stderr, stdout};
use llm_server::{Reply, Request, Server};
use replay::config::{self, Llm};
use replay::deviation::{Deviation, DeviationKind, Tier, Tree};
use replay::engines::Verdict;
use replay::engines::llm::LlmJudge;
use serde_json::{Value, json};

/// Settings for a server on this machine, with pauses that a test can wait for.
fn settings(url: &str, dir: &Path) -> Llm {
    let mut llm = config::load(None, &[]).unwrap().engines.llm;
    llm.url = url.to_owned();
    llm.model = "test-model".to_owned();
    llm.verdicts = dir.join("verdicts.jsonl").to_str().unwrap().to_owned();
    llm.requests_per_minute = 1e6;
    llm.timeout = 5.0;
    llm.backoff = 0.01;
    llm.time = 20.0;
    llm
}

fn deviation(text: &str) -> Deviation {
    Deviation {
        ts: 0,
        tree: Tree::Process,
        kind: DeviationKind::NewProcess,
        image: "web".into(),
        container: "c".into(),
        exec_id: None,
        pid: 1,
        path: ["web", "/bin/sh", "/bin/x"].map(Arc::from).to_vec(),
        at: 2,
        text: text.into(),
        host_path: None,
        tier: Tier::Structure,
        risk: None,
        changes: Vec::new(),
        token_novelty: None,
        nearest: None,
        volume: None,
        count: 1,
        rows: vec![],
        reached: std::collections::BTreeMap::new(),
    }
}

fn ask(judge: &LlmJudge, texts: &[&str]) -> Vec<Result<Verdict, String>> {
    let deviations: Vec<Deviation> = texts.iter().map(|text| deviation(text)).collect();
    judge.judge(&deviations.iter().collect::<Vec<_>>(), &[])
}

#[test]
fn a_question_is_what_the_protocol_wants_and_its_answer_a_verdict() {
    let tmp = tempfile::tempdir().unwrap();
    let server = Server::start(|_, request| Reply::verdict(request, 87));
    let judge = LlmJudge::open(&settings(&server.url, tmp.path())).unwrap();
    // The same observation in many containers is one question.
    let texts: Vec<&str> = std::iter::repeat_n("/tmp/x -o pool:3333", 50).chain(["/usr/bin/id"]).collect();
    let said = ask(&judge, &texts);
    let verdict = said[0].as_ref().unwrap();
    assert_eq!((verdict.score, verdict.judge.as_str()), (0.87, "llm test-model"));
    assert_eq!((verdict.technique.as_deref(), verdict.reason.as_str()), (Some("T1496"), "because"));
    assert!(verdict.derivation()[0].ends_with("= 0.8700"), "{:?}", verdict.derivation());
    assert!(said[..50].iter().all(|other| other.as_ref() == Ok(verdict)) && said[50].is_ok());

    let seen = server.seen();
    assert_eq!(seen.len(), 2, "one request for each distinct prompt");
    let Request { path, authorization, body, .. } = &seen[0];
    assert_eq!((path.as_str(), authorization), ("/v1/chat/completions", &None));
    assert_eq!((&body["model"], &body["temperature"], &body["seed"]), (&json!("test-model"), &json!(0), &json!(1)));
    let schema = &body["response_format"]["json_schema"];
    assert_eq!((&body["response_format"]["type"], &schema["strict"]), (&json!("json_schema"), &json!(true)));
    assert_eq!(schema["schema"]["additionalProperties"], json!(false));
    assert_eq!((judge.spent().requests, judge.spent().tokens), (2, 200));
}

type Fault = fn(&Request) -> Reply;

#[test]
fn what_may_pass_is_asked_again() {
    let dropped = |_: &Request| Reply::Http(500, "", String::new());
    let busy = |_: &Request| Reply::Http(429, "Retry-After: 1\r\n", "{}".to_owned());
    let unavailable = |_: &Request| Reply::Http(503, "", "upstream".to_owned());
    let slow = |_: &Request| Reply::Slow(Duration::from_secs(2), String::new());
    let cut = |request: &Request| {
        let Reply::Content(text) = Reply::verdict(request, 1) else { unreachable!("a verdict is content") };
        Reply::Cut(text)
    };
    let faults: [(&str, Fault, f64); 5] = [
        ("500", dropped, 0.01),
        ("429", busy, 1.0),
        ("503", unavailable, 0.01),
        ("slow", slow, 0.2),
        ("cut", cut, 0.01),
    ];
    for (name, fault, least) in faults {
        let tmp = tempfile::tempdir().unwrap();
        let server = Server::start(
            move |number, request| if number == 0 { fault(request) } else { Reply::verdict(request, 60) },
        );
        let judge = LlmJudge::open(&Llm { timeout: 0.2, ..settings(&server.url, tmp.path()) }).unwrap();
        let begin = Instant::now();
        let said = ask(&judge, &["/usr/bin/x"]).remove(0);
        assert_eq!(said.map(|verdict| verdict.score), Ok(0.6), "{name}");
        assert_eq!((server.seen().len(), judge.spent().retries), (2, 1), "{name}");
        assert!(begin.elapsed().as_secs_f64() >= least, "{name}: after {:?}", begin.elapsed());
    }
}

#[test]
fn retries_end_and_an_endpoint_that_keeps_failing_is_given_up() {
    let tmp = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| Reply::Http(500, "", String::new()));
    let judge = LlmJudge::open(&Llm { retries: 1, ..settings(&server.url, tmp.path()) }).unwrap();
    let said = ask(&judge, &["a", "b", "c", "d", "e"]);
    let whys: Vec<String> = said.into_iter().map(Result::unwrap_err).collect();
    assert!(whys[..3].iter().all(|why| why == "HTTP 500"), "{whys:?}");
    assert!(whys[3..].iter().all(|why| why.contains("given up after 3 failures in a row: HTTP 500")), "{whys:?}");
    assert_eq!(server.seen().len(), 6, "three questions, two attempts each");

    // What will not pass is not tried again, and a wrong key ends it at once.
    let server = Server::start(|_, _| Reply::Http(401, "", "{\"error\": \"no such key\"}".to_owned()));
    let judge = LlmJudge::open(&settings(&server.url, tmp.path())).unwrap();
    let said = ask(&judge, &["a", "b"]);
    assert!(said[0].as_ref().is_err_and(|why| why.contains("HTTP 401") && why.contains("no such key")), "{said:?}");
    assert!(said[1].as_ref().is_err_and(|why| why.contains("given up")) && server.seen().len() == 1, "{said:?}");

    // Nobody there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let judge = LlmJudge::open(&settings(&format!("http://{closed}/v1"), tmp.path())).unwrap();
    assert!(ask(&judge, &["a"])[0].is_err());
}

#[test]
fn only_a_valid_answer_is_one() {
    let good = json!({"id": "ID", "score": 70, "technique": "T1496", "reason": "r"});
    let with = |key: &str, value: Value| {
        let mut answer = good.clone();
        answer[key] = value;
        answer.to_string()
    };
    let without = |key: &str| {
        let mut answer = good.clone();
        answer.as_object_mut().unwrap().remove(key);
        answer.to_string()
    };
    let bad = [
        ("prose", "This is harmless.".to_owned()),
        ("cut JSON", good.to_string()[..20].to_owned()),
        ("fenced", format!("```json\n{good}\n```")),
        ("two objects", format!("{good}{good}")),
        ("an unknown field", with("note", json!("x"))),
        ("a field twice", good.to_string().replacen('{', "{\"score\": 0, ", 1)),
        ("no technique", without("technique")),
        ("no id", without("id")),
        ("another id", with("id", json!("0123456789abcdef"))),
        ("too high", with("score", json!(101))),
        ("negative", with("score", json!(-1))),
        ("a fraction", with("score", json!(0.5))),
        ("a text", with("score", json!("70"))),
        ("no technique of ATT&CK", with("technique", json!("T9999"))),
        ("no technique at all", with("technique", json!("mining"))),
        ("a list", with("technique", json!(["T1496"]))),
        ("no reason", with("reason", json!(" "))),
        ("an endless reason", with("reason", json!("x".repeat(1001)))),
    ];
    for (name, text) in bad {
        let tmp = tempfile::tempdir().unwrap();
        let server =
            Server::start(move |_, request| Reply::Content(text.replace("\"ID\"", &json!(request.id()).to_string())));
        let judge = LlmJudge::open(&settings(&server.url, tmp.path())).unwrap();
        let said = ask(&judge, &["/usr/bin/x"]).remove(0);
        assert!(said.as_ref().is_err_and(|why| why.starts_with("no valid answer")), "{name}: {said:?}");
        assert_eq!(server.seen().len(), 1, "{name}: at temperature 0 the same would come again");
        assert_eq!(fs::read_to_string(tmp.path().join("verdicts.jsonl")).unwrap(), "", "{name}: it is not recorded");
    }
    let bodies = [
        ("not JSON", "<html>busy</html>".to_owned()),
        ("no choices", "{\"choices\": []}".to_owned()),
        ("no content", "{\"choices\": [{\"message\": {}}]}".to_owned()),
        ("refused", "{\"choices\": [{\"message\": {\"refusal\": \"I cannot\"}}]}".to_owned()),
        ("cut off", "{\"choices\": [{\"finish_reason\": \"length\", \"message\": {\"content\": \"{}\"}}]}".to_owned()),
        ("oversized", format!("{{\"choices\": [], \"padding\": \"{}\"}}", "x".repeat(300 * 1024))),
    ];
    for (name, body) in bodies {
        let tmp = tempfile::tempdir().unwrap();
        let server = Server::start(move |_, _| Reply::Http(200, "", body.clone()));
        let judge = LlmJudge::open(&settings(&server.url, tmp.path())).unwrap();
        let said = ask(&judge, &["/usr/bin/x"]).remove(0);
        assert!(said.as_ref().is_err_and(|why| why.starts_with("no valid answer")), "{name}: {said:?}");
    }
}

#[test]
fn nothing_is_spent_beyond_the_budget() {
    let server = || Server::start(|_, request| Reply::verdict(request, 50));
    let texts = ["a", "b", "c", "d"];
    let deviations: Vec<Deviation> = texts.iter().map(|text| deviation(text)).collect();
    let deviations: Vec<&Deviation> = deviations.iter().collect();
    let check = |change: &dyn Fn(&mut Llm), points: &[f32], answered: &[bool], why: &str| {
        let (tmp, server) = (tempfile::tempdir().unwrap(), server());
        let mut llm = settings(&server.url, tmp.path());
        change(&mut llm);
        let begin = Instant::now();
        let said = LlmJudge::open(&llm).unwrap().judge(&deviations, points);
        assert_eq!(said.iter().map(Result::is_ok).collect::<Vec<_>>(), answered, "{said:?}");
        let silent: Vec<&String> = said.iter().filter_map(|said| said.as_ref().err()).collect();
        assert!(silent.iter().all(|silent| silent.contains(why)), "{silent:?}");
        (server.seen(), begin.elapsed())
    };
    // Those that rules and statistics speak against come first.
    check(&|llm| llm.max_requests = 2, &[0.0, 30.0, 10.0, 40.0], &[false, true, false, true], "2 requests");
    // A question counts for what it may cost; an answer of this server costs 100.
    let (seen, _) = check(&|llm| llm.max_tokens = 10, &[], &[false; 4], "10 tokens");
    assert!(seen.is_empty());
    // At ten a second, four questions take three pauses.
    let (_, took) = check(&|llm| llm.requests_per_minute = 600.0, &[], &[true; 4], "");
    assert!(took >= Duration::from_millis(300), "{took:?}");
    // The next turn would come after the end.
    let slow_turns = |llm: &mut Llm| (llm.requests_per_minute, llm.time) = (60.0, 0.5);
    let (_, took) = check(&slow_turns, &[], &[true, false, false, false], "budget of 0.5 s");
    assert!(took < Duration::from_secs(1), "it does not wait for a turn that is too late: {took:?}");

    // A pause that the endpoint asks for is part of it.
    let tmp = tempfile::tempdir().unwrap();
    let busy = Server::start(|_, _| Reply::Http(429, "Retry-After: 3600\r\n", String::new()));
    let begin = Instant::now();
    let judge = LlmJudge::open(&settings(&busy.url, tmp.path())).unwrap();
    let said = ask(&judge, &["a", "b"]);
    assert!(said.iter().all(|said| said.as_ref().is_err_and(|why| why.contains("pause of 3600.000 s"))), "{said:?}");
    assert!(begin.elapsed() < Duration::from_secs(2) && busy.seen().len() == 1);
}

#[test]
fn recorded_verdicts_are_the_same_without_the_server() {
    let tmp = tempfile::tempdir().unwrap();
    let server =
        Server::start(|_, request| Reply::verdict(request, if request.user().contains("pool") { 90 } else { 5 }));
    let llm = settings(&server.url, tmp.path());
    let first = ask(&LlmJudge::open(&llm).unwrap(), &["x -o pool:3333", "id"]);
    assert!(first.iter().all(Result::is_ok));

    // Damage, and a line that a crash cut off.
    let mut text = fs::read_to_string(&llm.verdicts).unwrap();
    text.push_str("not ours\n{\"key\": \"");
    fs::write(&llm.verdicts, &text).unwrap();
    let offline = Llm { offline: true, url: "http://127.0.0.1:9/v1".to_owned(), ..llm.clone() };
    let judge = LlmJudge::open(&offline).unwrap();
    let again = ask(&judge, &["x -o pool:3333", "id", "whoami"]);
    assert_eq!(again[..2], first[..]);
    assert_eq!(again[2], Err("offline, and no verdict is recorded for it".to_owned()));
    assert_eq!(judge.spent().requests, 0);
    assert_eq!(fs::read_to_string(&llm.verdicts).unwrap(), text, "offline writes nothing");

    // Online, what is missing is asked and recorded after the torn line.
    assert!(ask(&LlmJudge::open(&llm).unwrap(), &["id", "whoami"]).iter().all(Result::is_ok));
    assert_eq!(server.seen().len(), 3);
    assert!(ask(&LlmJudge::open(&offline).unwrap(), &["whoami"])[0].is_ok());
    // Another model is another question.
    let other = Llm { model: "other".to_owned(), ..offline };
    assert!(ask(&LlmJudge::open(&other).unwrap(), &["id"])[0].is_err());
}

#[test]
fn a_replay_with_a_model_is_repeatable_and_says_what_is_missing() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = attacked(&tmp.path().join("rec"));
    let server = Server::start(|_, request| {
        if request.user().contains("observed: /usr/bin/curl") {
            Reply::Http(400, "", "bad".to_owned())
        } else {
            Reply::verdict(request, if request.user().contains("stratum") { 95 } else { 20 })
        }
    });
    let run = |out: &str, further: &[&str]| {
        let out = tmp.path().join(out);
        let sets = [
            "engines.judge=llm".to_owned(),
            format!("engines.llm.url={:?}", server.url),
            "engines.llm.model=test-model".to_owned(),
            format!("engines.llm.verdicts={:?}", tmp.path().join("verdicts.jsonl").to_str().unwrap()),
            "engines.llm.requests_per_minute=1e6".to_owned(),
        ];
        let mut args = vec![recording.to_str().unwrap(), "-o", out.to_str().unwrap()];
        sets.iter().map(String::as_str).chain(further.iter().copied()).for_each(|set| args.extend(["--set", set]));
        let output = replay(&args);
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
        let alerts = fs::read_to_string(out.join("alerts.jsonl")).unwrap();
        let run: Value = serde_json::from_str(&fs::read_to_string(out.join("run.json")).unwrap()).unwrap();
        (alerts, run, stderr(&output))
    };
    let (alerts, run_json, said) = run("first", &[]);
    let asked = server.seen().len();
    assert_eq!(
        (&run_json["judge"], &run_json["timings"]["judge"]["requests"]),
        (&json!("llm test-model"), &json!(asked))
    );
    assert!(said.contains("gave no answer about") && said.contains("no answer: /usr/bin/curl"), "{said}");
    assert!(!alerts.contains("\"judge\":\"knn\""), "nobody stands in");
    let alerts: Vec<Value> = alerts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let semantics = |process: &str| {
        let alert = alerts.iter().find(|alert| alert["process"].as_str().unwrap().starts_with(process)).unwrap();
        alert["engines"].as_array().unwrap().iter().find(|line| line["engine"] == "semantics").unwrap().clone()
    };
    assert_eq!(semantics("/tmp/.x/xmrig")["points"], json!(38.0));
    // Of curl's process there is no answer, of its files and connections there is.
    let curl = semantics("/usr/bin/curl");
    assert!(curl["reason"].as_str().unwrap().contains("because; no answer about 1 of "), "{curl}");
    assert_eq!(curl["points"], json!(8.0));

    // From the records alone: byte for byte the same, twice.
    let (once, _, said) = run("once", &["engines.llm.offline=true"]);
    let (twice, ..) = run("twice", &["engines.llm.offline=true"]);
    assert_eq!(once, twice);
    assert!(said.contains("gave no answer about"), "{said}");
    assert_eq!(server.seen().len(), asked, "offline asks nobody");
    let miner = |text: &str| text.lines().find(|line| line.contains("\"points\":38.0")).map(str::to_owned);
    assert!(miner(&once).is_some());
}

#[test]
fn the_key_comes_from_the_environment_and_goes_nowhere_else() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = attacked(&tmp.path().join("rec"));
    let server = Server::start(|_, request| Reply::verdict(request, 10));
    let out = tmp.path().join("out");
    let verdicts = tmp.path().join("verdicts.jsonl");
    let command = |key: Option<&str>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_replay"));
        command.args([recording.to_str().unwrap(), "-o", out.to_str().unwrap(), "--set", "engines.judge=llm"]);
        for set in [
            format!("engines.llm.url={:?}", server.url),
            "engines.llm.model=m".to_owned(),
            "engines.llm.api_key_env=JUDGE_KEY_OF_A_TEST".to_owned(),
            "engines.llm.requests_per_minute=1e6".to_owned(),
            format!("engines.llm.verdicts={:?}", verdicts.to_str().unwrap()),
        ] {
            command.args(["--set", &set]);
        }
        command.env_remove("JUDGE_KEY_OF_A_TEST");
        key.map(|key| command.env("JUDGE_KEY_OF_A_TEST", key));
        command.output().unwrap()
    };
    let output = command(None);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("JUDGE_KEY_OF_A_TEST is not set"), "{}", stderr(&output));
    let output = command(Some("sk-secret-of-a-test"));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(server.seen().iter().all(|request| request.authorization.as_deref() == Some("Bearer sk-secret-of-a-test")));
    let files = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path()).chain([verdicts]);
    for file in files {
        let content = fs::read(&file).unwrap();
        assert!(!String::from_utf8_lossy(&content).contains("sk-secret"), "{} has the key", file.display());
    }
}
