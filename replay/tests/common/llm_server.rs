//! An HTTP server that speaks the part of the chat completions protocol that the llm judge uses, and fails as it is told to.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub at: Instant,
    pub path: String,
    pub authorization: Option<String>,
    pub body: Value,
}

impl Request {
    fn message(&self, role: &str) -> &str {
        let messages = self.body["messages"].as_array().map_or(&[][..], Vec::as_slice);
        messages.iter().find(|m| m["role"] == role).and_then(|m| m["content"].as_str()).unwrap_or_default()
    }

    pub fn system(&self) -> &str {
        self.message("system")
    }

    pub fn user(&self) -> &str {
        self.message("user")
    }

    /// The id that the question gives, after its evidence.
    pub fn id(&self) -> &str {
        let at = self.user().rfind("id \"").expect("the question gives an id") + 4;
        &self.user()[at..at + 16]
    }
}

/// What the server does with a request.
pub enum Reply {
    /// A completion whose content is this text.
    Content(String),
    /// This status, these header lines, this body.
    Http(u16, &'static str, String),
    /// First waits, then a completion.
    Slow(Duration, String),
    /// Promises more than it sends, and closes.
    Cut(String),
}

impl Reply {
    /// A verdict on the request, in the right form.
    pub fn verdict(request: &Request, score: u32) -> Reply {
        Reply::Content(
            json!({"id": request.id(), "score": score, "technique": "T1496", "reason": "because"}).to_string(),
        )
    }
}

pub struct Server {
    pub url: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Serves until the process ends. `reply` is given the number of the request, from 0, and the request.
    pub fn start(reply: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (taken, reply) = (Arc::clone(&seen), Arc::new(reply));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (taken, reply) = (Arc::clone(&taken), Arc::clone(&reply));
                // A client that goes away is no error of the server's.
                thread::spawn(move || drop(serve(&stream, &taken, &*reply)));
            }
        });
        Server { url, seen }
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(
    stream: &TcpStream,
    seen: &Mutex<Vec<Request>>,
    reply: &(dyn Fn(usize, &Request) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body).expect("the judge sends JSON");
    let request = Request { at: Instant::now(), path, authorization, body };
    let number = {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(request.clone());
        seen.len() - 1
    };
    match reply(number, &request) {
        Reply::Content(text) => send(stream, 200, "", &completion(&text)),
        Reply::Http(status, headers, body) => send(stream, status, headers, &body),
        Reply::Slow(pause, text) => {
            thread::sleep(pause);
            send(stream, 200, "", &completion(&text))
        }
        Reply::Cut(text) => {
            let body = completion(&text);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.len(), &body[..body.len() / 2]);
            let mut stream = stream;
            stream.write_all(head.as_bytes())
        }
    }
}

fn completion(content: &str) -> String {
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100},
    })
    .to_string()
}

fn send(mut stream: &TcpStream, status: u16, headers: &str, body: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}");
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
}
