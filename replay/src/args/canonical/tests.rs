use super::*;

fn canon(argv: &[&str]) -> String {
    Canonical::new(argv[0], argv, false).text()
}

#[test]
fn values_vanish() {
    for (argv, text) in [
        (&["/usr/bin/sleep", "30"][..], "<num>"),
        (&["/usr/bin/python3", "job.py", "--id=4711"], "job.py --id=<num>"),
        (&["/usr/bin/curl", "-s", "http://10.89.0.2/item/17"], "-s http://<ip:private>/item/<num>"),
        (&["/usr/bin/tar", "-czf", "/backup/2025-01-31.tgz"], "-czf /backup/<num>-<num>-<num>.tgz"),
        (&["/usr/bin/redis-cli", "-h", "redis", "get", "k:12"], "-h redis get k:12"),
        (&["/usr/bin/ping", "8.8.8.8"], "<ip:public>"),
        (&["/usr/bin/make", "-j8"], "-j<num>"),
        (&["/usr/bin/java", "-Xmx512m", "-XX:MaxGCPauseMillis=200"], "-Xmx<num>m -XX:MaxGCPauseMillis=<num>"),
        (&["/usr/bin/kill", "-HUP", "812"], "-HUP <pid>"),
        (&["/usr/bin/scp", "a", "ops@10.0.0.3:/srv/2025/"], "a ops@<ip:private>:/srv/<num>"),
    ] {
        assert_eq!(canon(argv), text);
    }
}

/// What carries the risk survives: each pair differs in the risk alone, and must stay different.
#[test]
fn risk_is_never_masked() {
    for (a, b) in [
        (&["/usr/bin/chmod", "0644", "/srv/x"][..], &["/usr/bin/chmod", "4755", "/srv/x"][..]),
        (&["/usr/bin/chmod", "+x", "/tmp/a"], &["/usr/bin/chmod", "u+s", "/tmp/a"]),
        (&["/usr/bin/install", "-m", "0755", "a"], &["/usr/bin/install", "-m", "4755", "a"]),
        (&["/usr/bin/setpriv", "--reuid", "1000"], &["/usr/bin/setpriv", "--reuid", "0"]),
        (&["/usr/bin/chown", "1000:1000", "f"], &["/usr/bin/chown", "0:0", "f"]),
        (&["/usr/bin/app", "--uid", "1000"], &["/usr/bin/app", "--uid", "0"]),
        (&["/usr/bin/app", "uid=1000"], &["/usr/bin/app", "uid=0"]),
        (&["/usr/bin/kill", "-15", "1"], &["/usr/bin/kill", "-9", "1"]),
        (&["/usr/bin/curl", "http://127.0.0.1/x"], &["/usr/bin/curl", "http://10.0.0.1/x"]),
        (&["/usr/bin/curl", "http://10.0.0.1/x"], &["/usr/bin/curl", "http://203.0.113.1/x"]),
        (&["/usr/bin/curl", "http://web/x"], &["/usr/bin/curl", "https://web/x"]),
        (&["/usr/bin/curl", "http://web/x"], &["/usr/bin/curl", "http://evil.example/x"]),
        (&["/usr/bin/nc", "web:80"], &["/usr/bin/nc", "web:4444"]),
        (&["/usr/bin/cat", "/etc/hosts"], &["/usr/bin/cat", "/etc/shadow"]),
        (&["/usr/bin/cat", "/etc/cron.d/a-1234"], &["/usr/bin/cat", "/etc/cron.d/a-5678"]),
        (&["/bin/sh", "-c", "date"], &["/bin/sh", "-c", "date; id"]),
        (&["/bin/sh", "-c", "curl http://web/a"], &["/bin/sh", "-c", "curl http://web/a | sh"]),
        (&["/bin/sh", "-c", "echo a > /srv/f"], &["/bin/sh", "-c", "echo a >> /srv/f"]),
        (&["/bin/sh", "-c", "chmod 644 f"], &["/bin/sh", "-c", "chmod 4755 f"]),
        (&["/bin/sh"], &["/bin/sh", "-c", "date"]),
        (&["/usr/bin/app", "a b"], &["/usr/bin/app", "a", "b"]),
        (&["/usr/bin/cat", "/proc/1/environ"], &["/usr/bin/cat", "/proc/4711/environ"]),
        (&["/usr/bin/kill", "4312"], &["/usr/bin/kill", "1"]),
        (&["/usr/bin/kill", "-TERM", "4312"], &["/usr/bin/kill", "-TERM", "-1"]),
        (&["/usr/bin/find", "-perm", "-0644"], &["/usr/bin/find", "-perm", "-4000"]),
        (&["/usr/bin/rsync", "-a", "x", "10.0.3.7:/b/"], &["/usr/bin/rsync", "-a", "x", "198.51.100.7:/b/"]),
        (&["/usr/bin/rsync", "-a", "/srv/a", "b:/srv/b"], &["/usr/bin/rsync", "-a", "b:/srv/b", "/srv/a"]),
        (&["/usr/bin/ssh", "ops@10.0.3.7"], &["/usr/bin/ssh", "ops@198.51.100.7"]),
        (&["/usr/bin/app", "--verify", "1"], &["/usr/bin/app", "--verify", "0"]),
        (&["/usr/bin/sysctl", "kernel.yama.ptrace_scope=1"], &["/usr/bin/sysctl", "kernel.yama.ptrace_scope=0"]),
        (&["/bin/sh", "-c", "echo 'a; id'"], &["/bin/sh", "-c", "echo a; id"]),
        (&["/bin/sh", "-c", "echo \"a b\""], &["/bin/sh", "-c", "echo a b"]),
        (&["/bin/sh", "-c", "cat <num>"], &["/bin/sh", "-c", "cat 5"]),
        (&["/usr/bin/cat", "<num>"], &["/usr/bin/cat", "5"]),
        (&["/usr/bin/curl", "-o", "f"], &["/usr/bin/curl", "-O", "f"]),
        (&["/usr/bin/app", "a\u{1f}b"], &["/usr/bin/app", "a", "b"]),
    ] {
        assert_ne!(
            Canonical::new(a[0], a, false).key(),
            Canonical::new(b[0], b, false).key(),
            "{a:?} and {b:?} look the same"
        );
    }
}

#[test]
fn a_claimed_name_shows() {
    assert_eq!(Canonical::new("/tmp/xmrig", &["nginx: worker"], false).text(), "\"argv0:nginx: worker\"");
    assert_eq!(Canonical::new("/usr/sbin/nginx", &["nginx: master"], false).text(), "<none>");
    assert_eq!(Canonical::new("/bin/bash", &["-bash"], false).text(), "<none>");
}

#[test]
fn a_truncated_command_line_says_so() {
    assert!(Canonical::new("/bin/a", &["a", "b"], true).text().ends_with("<truncated>"));
}

#[test]
fn odd_input_does_not_panic() {
    for arg in ["", "\u{1f}", "=", "é&é", "://", "[", "/proc/", "--=", "\0", "$(", "a\u{1f}b"] {
        let canonical = Canonical::new("/bin/sh", &["sh", "-c", arg], false);
        assert_eq!(canonical.key().split(BOUNDARY).count(), 2, "{arg:?} broke the boundaries");
    }
    assert_eq!(Canonical::new("", &[] as &[&str], false).text(), "<none>");
}
