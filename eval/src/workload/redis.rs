//! A server under load, on a Unix socket: no port, no network.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::which;

const CLIENTS: &str = "50";

/// Ended and waited for when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn run(dir: &Path, requests: u64) -> io::Result<(Duration, u64)> {
    let socket = dir.join(format!("redis-{}.sock", std::process::id()));
    let program = |name: &str| which(name).ok_or_else(|| io::Error::other(format!("{name} is not installed")));
    let mut server = Command::new(program("redis-server")?);
    server.args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning"]);
    server.arg("--unixsocket").arg(&socket).arg("--dir").arg(dir);
    let server = Server(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let begun = Instant::now();
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        if begun.elapsed() > Duration::from_secs(20) {
            return Err(io::Error::other("redis-server did not open its socket"));
        }
        thread::sleep(Duration::from_millis(10));
    }
    let begun = Instant::now();
    let mut benchmark = Command::new(program("redis-benchmark")?);
    benchmark.arg("-s").arg(&socket).args(["-t", "set,get", "-c", CLIENTS, "-q", "-n", &requests.to_string()]);
    let status = benchmark.stdout(Stdio::null()).stderr(Stdio::inherit()).status()?;
    let elapsed = begun.elapsed();
    drop(server);
    let _ = std::fs::remove_file(&socket);
    if status.success() { Ok((elapsed, 2 * requests)) } else { Err(io::Error::other(status.to_string())) }
}
