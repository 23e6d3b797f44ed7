//! Syslog (RFC 5424) with a CEF line as its message, over UDP, TCP or a Unix socket.
//!
//! Syslog has no receipt. TCP connects for each message and waits until the receiver has closed in turn, which tells at
//! least that it was read; a datagram is gone unless the host itself answers that nobody listens.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use syslog::{Facility, Formatter5424, LogFormat, Severity as Level};

use super::config::shown;
use super::{Body, Failure, Message, Sink, cef};
use crate::engines::Severity;

/// Largest datagram: what every receiver should take is 2048 bytes (RFC 5424, 6.1), what rsyslog takes is 8 KiB.
const DATAGRAM: usize = 8 * 1024;

enum Way {
    Udp(String),
    Tcp(String),
    Unix(PathBuf),
}

pub struct Syslog {
    way: Way,
    format: Formatter5424,
}

impl Syslog {
    /// `url`: `udp://host:514`, `tcp://host:601` or `unix:///dev/log`.
    ///
    /// # Errors
    /// Another URL.
    pub fn open(url: &str) -> Result<Self, String> {
        let port = |host: &str| host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let way = match url.split_once("://") {
            Some(("udp", host)) if port(host) => Way::Udp(host.to_owned()),
            Some(("tcp", host)) if port(host) => Way::Tcp(host.to_owned()),
            Some(("unix", path)) if path.starts_with('/') => Way::Unix(path.into()),
            _ => {
                let shown = shown(url);
                return Err(format!("{shown} is none of udp://HOST:PORT, tcp://HOST:PORT and unix:///PATH"));
            }
        };
        let format = Formatter5424 {
            facility: Facility::LOG_AUTHPRIV,
            // RFC 5424's "not told": nothing here names the host.
            hostname: Some("-".to_owned()),
            process: "retroscope".to_owned(),
            pid: std::process::id(),
        };
        Ok(Self { way, format })
    }

    fn deliver(&self, line: &[u8], within: Duration) -> io::Result<()> {
        match &self.way {
            Way::Udp(host) => {
                let address = resolve(host)?;
                let own = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(own)?;
                socket.connect(address)?;
                socket.send(line)?;
                // The kernel tells the next call if nobody listens there.
                socket.set_read_timeout(Some(within.min(Duration::from_millis(50))))?;
                match socket.recv(&mut [0; 1]) {
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Err(error),
                    _ => Ok(()),
                }
            }
            Way::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(within))?;
                socket.connect(path)?;
                socket.send(line).map(|_| ())
            }
            Way::Tcp(host) => {
                let mut stream = TcpStream::connect_timeout(&resolve(host)?, within)?;
                stream.set_write_timeout(Some(within))?;
                stream.set_read_timeout(Some(within))?;
                stream.write_all(line)?;
                stream.write_all(b"\n")?;
                stream.shutdown(Shutdown::Write)?;
                stream.read_to_end(&mut Vec::new()).map(|_| ())
            }
        }
    }
}

fn resolve(host: &str) -> io::Result<std::net::SocketAddr> {
    let none = || io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    host.to_socket_addrs()?.next().ok_or_else(none)
}

impl Sink for Syslog {
    fn send(&mut self, message: &Message, within: Duration) -> Result<(), Failure> {
        let Body::Alert(alert) = &message.body else { return Ok(()) };
        let level = match alert.severity {
            Severity::Low => Level::LOG_NOTICE,
            Severity::Medium => Level::LOG_WARNING,
            Severity::High => Level::LOG_ERR,
            Severity::Critical => Level::LOG_CRIT,
        };
        let mut line = Vec::new();
        let text = (1, BTreeMap::new(), cef::line(message, alert));
        self.format.format(&mut line, level, text).map_err(|error| Failure::lasting(error.to_string()))?;
        if !matches!(self.way, Way::Tcp(_)) && line.len() > DATAGRAM {
            let end = (0..=DATAGRAM).rev().find(|end| std::str::from_utf8(&line[..*end]).is_ok()).unwrap_or(0);
            line.truncate(end);
        }
        self.deliver(&line, within).map_err(|error| Failure::passing(error.to_string()))
    }
}
