//! Live numbers: the metrics against a real Prometheus, and progress for machines.

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{can_record, python, recorder};
use record::live::metrics::METRICS;
use serde_json::Value;

/// A port that was free a moment ago.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The body of a page; None if it is not there.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.split(' ').nth(1).filter(|code| *code == "200").map(|_| body.to_owned())
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no {what} in 30 s");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

/// What a process opens and executes, again and again, until it is ended.
fn busy() -> Vec<String> {
    let program = "
import os, subprocess, time
while True:
    subprocess.run(['/bin/true', '--password', 'x'])
    for _ in range(200): os.close(os.open('/etc/hostname', os.O_RDONLY))
    time.sleep(0.05)
";
    [&*python(), "-I", "-S", "-c", program].map(str::to_owned).into()
}

fn record_busy(dir: &Path, options: &[&str]) -> Running {
    let busy = busy();
    let command: Vec<&str> = busy.iter().map(|word| &**word).collect();
    let args = [&["--events", "default,syscall"], options, &["--"], &command].concat();
    Running(recorder(dir, &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// The program of a Debian package: installed, or unpacked by `./dev setup`.
fn tool(name: &str, test: &str) -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/unpacked/usr/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).chain([unpacked]).map(|dir| dir.join(name)).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("\n*** SKIPPED {test}: there is no {name}; ./dev setup unpacks it ***\n");
    }
    found
}

#[test]
fn every_metric_is_served_and_well_formed() {
    let test = "every_metric_is_served_and_well_formed";
    if !can_record(test) {
        return;
    }
    let (dir, address) = (tempfile::tempdir().unwrap(), free());
    let running = record_busy(dir.path(), &["--metrics", &address.to_string()]);
    let stored =
        |page: &str| value(page, "retroscope_events_stored_total", "class=\"file\"").filter(|stored| *stored > 0.0);
    let page = wait_for("rows of the file class", || get(address, "/metrics").filter(|page| stored(page).is_some()));
    for metric in METRICS {
        assert!(page.contains(&format!("# TYPE {} ", metric.name)), "{} is not served:\n{page}", metric.name);
        assert!(page.contains(&format!("# HELP {} ", metric.name)), "{} has no help", metric.name);
    }
    let names = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    for line in names {
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(METRICS.iter().any(|metric| metric.name == name), "{name} is in no table");
        assert!(!line.contains("container=") && !line.contains("pid="), "{line}");
    }
    assert_eq!(value(&page, "retroscope_ring_size_bytes", ""), Some(f64::from(64 << 20)));
    assert!(value(&page, "retroscope_lag_seconds", "median").is_some_and(|lag| lag > 0.0 && lag < 5.0), "{page}");
    assert!(value(&page, "process_resident_memory_bytes", "").is_some_and(|rss| rss > 1e6));
    wait_for("a masked row", || {
        value(&get(address, "/metrics")?, "retroscope_rows_masked_total", "process").filter(|n| *n > 0.0)
    });
    if let Some(promtool) = tool("promtool", test) {
        let mut check = Command::new(promtool).args(["check", "metrics"]).stdin(Stdio::piped()).spawn().unwrap();
        check.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
        assert!(check.wait().unwrap().success(), "promtool check metrics");
    }
    drop(running);
}

/// The sample of a metric whose labels contain `label`.
fn value(page: &str, name: &str, label: &str) -> Option<f64> {
    let lines = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    lines.filter(|line| line.contains(label)).find_map(|line| line.rsplit_once(' ')?.1.parse().ok())
}

#[test]
fn every_expression_of_the_dashboard_has_data_in_prometheus() {
    let test = "every_expression_of_the_dashboard_has_data_in_prometheus";
    if !can_record(test) {
        return;
    }
    let (Some(prometheus), Some(promtool)) = (tool("prometheus", test), tool("promtool", test)) else { return };
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    let config = std::fs::read_to_string(dist.join("prometheus.yml")).unwrap();
    let check = Command::new(&promtool).args(["check", "config"]).arg(dist.join("prometheus.yml")).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));

    let (dir, metrics, api) = (tempfile::tempdir().unwrap(), free(), free());
    let here = dir.path().join("prometheus.yml");
    // The file that ships, at this test's address and pace.
    assert!(config.contains("127.0.0.1:9464") && config.contains("scrape_interval: 5s"));
    let config =
        config.replace("127.0.0.1:9464", &metrics.to_string()).replace("scrape_interval: 5s", "scrape_interval: 1s");
    std::fs::write(&here, config).unwrap();
    let _recorder = record_busy(dir.path(), &["--metrics", &metrics.to_string()]);
    let mut server = Command::new(prometheus);
    server.arg(format!("--config.file={}", here.display()));
    server.arg(format!("--storage.tsdb.path={}", dir.path().join("tsdb").display()));
    server.arg(format!("--web.listen-address={api}"));
    let _server = Running(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());

    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(dist.join("grafana.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let expressions: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(expressions.len() >= panels.len(), "every panel shows something");
    for metric in METRICS {
        assert!(
            expressions.iter().any(|expression| expression.contains(metric.name)),
            "{} is in no panel",
            metric.name
        );
    }
    for expression in expressions {
        // What Grafana puts in.
        let expression = expression.replace("$__rate_interval", "10s").replace("$instance", ".+");
        assert!(!expression.contains('$'), "{expression}");
        let query = format!("/api/v1/query?query={}", encoded(&expression));
        let found = wait_for(&expression, || {
            let answer: Value = serde_json::from_str(&get(api, &query)?).ok()?;
            let result = answer["data"]["result"].as_array()?.clone();
            (!result.is_empty()).then_some(result)
        });
        for series in found {
            let number: f64 = series["value"][1].as_str().unwrap().parse().unwrap();
            assert!(number.is_finite() && number >= 0.0, "{expression}: {series}");
        }
    }
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[test]
fn an_address_that_others_reach_is_refused_unless_asked_for() {
    if !can_record("an_address_that_others_reach_is_refused_unless_asked_for") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = recorder(dir.path(), &["--metrics", "0.0.0.0:0", "--", "true"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("--metrics-public"), "{stderr}");
    assert!(!dir.path().join("recording").exists(), "nothing was begun");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = recorder(dir.path(), &["--metrics", &address, "--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&address));
}

#[test]
fn progress_for_machines_is_json_lines_that_agree_with_the_summary() {
    if !can_record("progress_for_machines_is_json_lines_that_agree_with_the_summary") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let command = "for i in 1 2 3; do cat /etc/hostname > /dev/null; sleep 0.9; done";
    let args = ["--progress", "json", "--format", "json", "--", "sh", "-c", command];
    let output = recorder(dir.path(), &args).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect();
    assert!(lines.len() >= 2, "{text}");
    let mut before = BTreeMap::new();
    for line in &lines {
        assert_eq!(line["type"], "progress");
        for (class, account) in line["classes"].as_object().unwrap() {
            let emitted = account["emitted"].as_u64().unwrap();
            assert!(emitted >= before.insert(class.clone(), emitted).unwrap_or_default(), "counts never fall: {text}");
        }
    }
    let summary: Value = serde_json::from_slice(&output.stdout).expect("the summary's own lines are not in it");
    let last = lines.last().unwrap();
    for (class, account) in summary["classes"].as_object().unwrap() {
        let (stored, shown) = (account["stored"].as_u64().unwrap(), last["classes"][class]["stored"].as_u64().unwrap());
        assert!(shown <= stored, "{class}: {shown} of {stored}");
    }
    assert!(last["classes"]["process"]["stored"].as_u64().unwrap() > 3, "{text}");
}

/// A pseudo terminal of 80 columns: the side of who looks, and the recorder's.
fn terminal() -> (std::fs::File, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    let size = libc::winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the pointers are valid or null, which openpty(3) allows.
    let made = unsafe { libc::openpty(&mut ours, &mut theirs, std::ptr::null_mut(), std::ptr::null(), &size) };
    assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: openpty() has just made both.
    unsafe { (std::fs::File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) }
}

#[test]
fn the_view_fills_a_terminal_and_q_ends_the_recording() {
    if !can_record("the_view_fills_a_terminal_and_q_ends_the_recording") {
        return;
    }
    let (mut ours, theirs) = terminal();
    let dir = tempfile::tempdir().unwrap();
    let mut command =
        recorder(dir.path(), &[&["--live", "--"], &*busy().iter().map(String::as_str).collect::<Vec<_>>()].concat());
    let side = || Stdio::from(theirs.try_clone().unwrap());
    command.stdin(side()).stdout(side()).stderr(side());
    // SAFETY: setsid() and ioctl() are async-signal-safe; descriptor 0 is the terminal by then.
    unsafe {
        command.pre_exec(|| match libc::setsid() >= 0 && libc::ioctl(0, libc::TIOCSCTTY, 0) >= 0 {
            true => Ok(()),
            false => Err(std::io::Error::last_os_error()),
        })
    };
    let mut running = Running(command.spawn().unwrap());
    drop((command, theirs));
    let mut keys = ours.try_clone().unwrap();
    let (seen, shown) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut part = [0; 4096];
        // The end of the last one who has the other side open is an error on Linux.
        while let Ok(n @ 1..) = ours.read(&mut part) {
            let _ = seen.send(part[..n].to_vec());
        }
    });
    let mut screen = String::new();
    wait_for("screen with rates", || {
        shown.try_iter().for_each(|part| screen += &String::from_utf8_lossy(&part));
        ["events/s", "ring", "lag", "process", "q ends the recording"]
            .iter()
            .all(|text| screen.contains(text))
            .then_some(())
    });
    assert!(screen.contains("\x1b[?1049h"), "the view has a screen of its own");
    keys.write_all(b"q").unwrap();
    let status = wait_for("end", || running.0.try_wait().unwrap());
    shown.iter().for_each(|part| screen += &String::from_utf8_lossy(&part));
    assert!(status.success(), "{status}: {screen}");
    assert!(screen.contains("\x1b[?1049l"), "the terminal is given back");
    let report = datasets::verify(&dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact);
}
