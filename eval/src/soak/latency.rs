//! What those who ask a service notice: the time of one small HTTP request at a time, at a steady pace.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::overhead::stats::median;

/// Where a service answers inside its container.
const SERVICE: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 80);
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers within a window of time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Asked {
    pub answers: u64,
    /// No answer, or not one of status 200.
    pub failed: u64,
    /// From before the connection is made to the last byte of the answer, s.
    pub p50: f64,
    pub p99: f64,
}

#[derive(Default)]
struct Heard {
    seconds: Vec<f64>,
    failed: u64,
}

/// Asks until it is dropped.
pub struct Prober {
    heard: Arc<Mutex<Heard>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Prober {
    /// Asks from within a network namespace: a scenario's network is one that even the host is not on.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn begin(network: File, path: &str, pause: Duration) -> Result<Prober> {
        let address = SocketAddr::from(SERVICE);
        let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        let (heard, stop) = (Arc::new(Mutex::new(Heard::default())), Arc::new(AtomicBool::new(false)));
        let (to, until) = (heard.clone(), stop.clone());
        let (entered, wait) = mpsc::channel();
        let thread = thread::spawn(move || {
            // SAFETY: setns() takes any descriptor, and moves this thread alone.
            let inside = unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) } == 0;
            let _ = entered.send(if inside { Ok(()) } else { Err(std::io::Error::last_os_error()) });
            if !inside {
                return; // what it would ask is not the service
            }
            let mut next = Instant::now();
            while !until.load(Ordering::Relaxed) {
                next += pause;
                let answered = ask(address, &request);
                let mut heard = to.lock().unwrap_or_else(PoisonError::into_inner);
                match answered {
                    Ok(time) => heard.seconds.push(time.as_secs_f64()),
                    Err(_) => heard.failed += 1,
                }
                drop(heard);
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        wait.recv()
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|error| Error::run("entering the service's network", error))?;
        Ok(Prober { heard, stop, thread: Some(thread) })
    }

    /// What was heard since the last time.
    pub fn take(&self) -> Asked {
        let mut heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        heard.seconds.sort_by(f64::total_cmp);
        let last = heard.seconds.len().saturating_sub(1);
        let p99 = heard.seconds.get((last as f64 * 0.99).ceil() as usize).copied();
        Asked {
            answers: heard.seconds.len() as u64,
            failed: heard.failed,
            p50: median(&heard.seconds),
            p99: p99.unwrap_or(f64::NAN),
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // it does not panic
        }
    }
}

fn ask(address: SocketAddr, request: &str) -> std::io::Result<Duration> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let took = begun.elapsed();
    if answer.starts_with(b"HTTP/1.1 200 ") { Ok(took) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn only_whole_good_answers_count() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            for answer in ["HTTP/1.1 200 OK\r\n\r\nyes", "HTTP/1.1 404 Not Found\r\n\r\n"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 64];
                let _ = stream.read(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        assert!(ask(address, "GET /a HTTP/1.1\r\n\r\n").is_ok());
        assert!(ask(address, "GET /b HTTP/1.1\r\n\r\n").is_err());
        server.join().unwrap();
        assert!(ask(address, "GET /c HTTP/1.1\r\n\r\n").is_err(), "nobody listens any more");
    }
}
