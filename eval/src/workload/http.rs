//! A web server under load, on loopback: each request is a connection, a file and a line of the log.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const FOLDER: &str = "www";
const CLIENTS: usize = 4;
const PAGE: usize = 3_000;

pub fn prepare(dir: &Path) -> io::Result<()> {
    let folder = dir.join(FOLDER);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("page.html"), vec![b'p'; PAGE])
}

/// Ended and waited for when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `requests` to Python's own server, four at a time.
pub fn run(dir: &Path, requests: u64) -> io::Result<(Duration, u64)> {
    let mut command = Command::new("python3");
    command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(dir.join(FOLDER)).arg("0");
    let log = fs::File::create(dir.join(format!("www-{}.log", std::process::id())))?;
    let mut server = Server(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?);
    let stdout = server.0.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    // "Serving HTTP on 127.0.0.1 port 45123 (http://...) ..."
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let port = line.split(" port ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|port| port.parse().ok());
    let port: u16 = port.ok_or_else(|| io::Error::other(format!("the server said {line:?} instead of its port")))?;
    let begun = Instant::now();
    let left = AtomicU64::new(requests);
    let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    let client = || -> io::Result<()> {
        while take() {
            ask(port)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let ended =
            clients.into_iter().map(|client| client.join().map_err(|_| io::Error::other("a client panicked"))?);
        ended.collect::<io::Result<Vec<()>>>()
    })?;
    Ok((begun.elapsed(), requests))
}

fn ask(port: u16) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(b"GET /page.html HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::with_capacity(2 * PAGE);
    stream.read_to_end(&mut answer)?;
    let whole = answer.starts_with(b"HTTP/1.0 200") && answer.len() > PAGE;
    if whole { Ok(()) } else { Err(io::Error::other("not the whole page")) }
}
