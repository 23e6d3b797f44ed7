//! Receivers of alerts that tests start: HTTP servers that can also misbehave, and other people's programs.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a server does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    Answer(u16, String),
    /// Status 429 with Retry-After, s.
    TooMany(u64),
    /// Half of an answer.
    CutOff,
    /// Nothing for so long, then nothing.
    Hang(Duration),
}

#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub at: Instant,
}

impl Request {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// An HTTP server on a port of its own, that lives as long as the test's process.
pub struct Server {
    pub url: String,
    got: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers with `replies` in turn, and then with `last`.
    pub fn start(replies: Vec<Reply>, last: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<Request>>> = Arc::default();
        let requests = Arc::clone(&got);
        std::thread::spawn(move || {
            let replies = Arc::new(Mutex::new(replies.into_iter()));
            for stream in listener.incoming().flatten() {
                let (requests, replies, last) = (Arc::clone(&requests), Arc::clone(&replies), last.clone());
                std::thread::spawn(move || {
                    while let Some(request) = read(&stream) {
                        requests.lock().unwrap().push(request);
                        let reply = replies.lock().unwrap().next().unwrap_or_else(|| last.clone());
                        if !answer(&stream, &reply) {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, got }
    }

    pub fn ok(body: &str) -> Self {
        Self::start(Vec::new(), Reply::Answer(200, body.to_owned()))
    }

    pub fn requests(&self) -> Vec<Request> {
        self.got.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, headers, body: String::from_utf8(body).ok()?, at: Instant::now() })
}

/// False: the connection is to be closed.
fn answer(mut stream: &TcpStream, reply: &Reply) -> bool {
    let text = match reply {
        Reply::Answer(status, body) => {
            format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        }
        Reply::TooMany(after) => {
            format!("HTTP/1.1 429 Too Many\r\nRetry-After: {after}\r\nContent-Length: 0\r\n\r\n")
        }
        Reply::CutOff => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"half\":".to_owned(),
        Reply::Hang(time) => {
            std::thread::sleep(*time);
            return false;
        }
    };
    stream.write_all(text.as_bytes()).is_ok() && !matches!(reply, Reply::CutOff)
}

/// A program that ends with the test.
pub struct Running(Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the program starts"),
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The folder that set-up unpacks packages into that must not be installed.
pub fn unpacked() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/unpacked/usr")
}

/// A program that is installed, or unpacked by set-up. `None`: said loudly.
pub fn program(name: &str) -> Option<PathBuf> {
    let unpacked = unpacked();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), unpacked.join("bin"), unpacked.join("sbin")]);
    let found = installed.map(|dir| dir.join(name)).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("LEFT OUT: {name} is not there; ./dev setup unpacks it");
    }
    found
}

/// A Python that has the receivers' packages. `None`: said loudly.
pub fn python() -> Option<Command> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let packages = root.join(".cache/receivers");
    if !packages.join("aiosmtpd").is_dir() {
        eprintln!(
            "LEFT OUT: the Python packages of setup/python/receivers.txt are not there; ./dev setup installs them"
        );
        return None;
    }
    let mut command = Command::new(root.join(".venv/bin/python"));
    command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    Some(command)
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Tries until there is something, for a minute.
pub fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// GET, as text.
pub fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}
