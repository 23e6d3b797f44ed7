//! HTTP as all sinks use it: one POST, judged by its status.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::Failure;
use super::config::{secret, shown};
use crate::output::text::{clean, shorten};

/// Of an answer's body: as much as anybody reads here, bytes.
const BODY: u64 = 256 * 1024;

/// A receiver's address, and what it takes to be let in.
pub struct Http {
    agent: Agent,
    url: String,
    authorization: Option<String>,
}

/// A good answer.
pub struct Answer {
    pub body: String,
}

impl Http {
    /// # Errors
    /// No HTTP URL; a variable that is not set; a certificate that cannot be read.
    pub fn open(url: &str, authorization_env: Option<&str>, ca_file: Option<&Path>) -> Result<Self, String> {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(format!("{} is no http:// or https:// URL", shown(url)));
        }
        let mut tls = TlsConfig::builder();
        if let Some(path) = ca_file {
            tls = tls.root_certs(RootCerts::from(certificates(path)?));
        }
        // A redirect would carry the alert, and what lets us in, to whom the answer names.
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("retroscope-replay/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build());
        let authorization = authorization_env.map(secret).transpose()?;
        if authorization.is_some() && url.starts_with("http://") && !is_loopback(url) {
            eprintln!("warning: {}: the Authorization header is sent without TLS", shown(url));
        }
        Ok(Self { agent: config.build().new_agent(), url: url.to_owned(), authorization })
    }

    /// The same receiver, at a path below its URL, unless the URL ends with that path.
    pub fn below(mut self, path: &str) -> Self {
        let (url, query) = self.url.split_once('?').map_or((self.url.as_str(), ""), |(url, query)| (url, query));
        let url = url.trim_end_matches('/');
        let joined = if url.ends_with(path) { url.to_owned() } else { format!("{url}{path}") };
        self.url = if query.is_empty() { joined } else { format!("{joined}?{query}") };
        self
    }

    pub fn post_json(&self, body: &Value, key: &str, within: Duration) -> Result<Answer, Failure> {
        self.post("application/json", body.to_string(), key, within)
    }

    /// `key`: goes into the header Idempotency-Key.
    pub fn post(&self, kind: &str, body: String, key: &str, within: Duration) -> Result<Answer, Failure> {
        let request = self.agent.post(&self.url).config().timeout_global(Some(within)).build();
        let mut request = request.content_type(kind).header("Idempotency-Key", key);
        if let Some(value) = &self.authorization {
            request = request.header("Authorization", value);
        }
        let mut response = request.send(body).map_err(|error| self.failure(&error))?;
        let status = response.status().as_u16();
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = response.body_mut().with_config().limit(BODY).lossy_utf8(true).read_to_string();
        if (200..300).contains(&status) {
            return Ok(Answer { body: body.map_err(|error| self.failure(&error))? });
        }
        let body = shorten(&clean(body.unwrap_or_default().trim()), 200);
        let why = if body.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {body}") };
        // Too many requests, too slow, and the receiver's own trouble.
        let may_pass = matches!(status, 408 | 425 | 429) || status >= 500;
        Err(Failure { why, may_pass, after: after.map(Duration::from_secs) })
    }

    /// An error's words may repeat the URL.
    fn failure(&self, error: &ureq::Error) -> Failure {
        let why = clean(&error.to_string().replace(&self.url, &shown(&self.url)));
        // A certificate that is not trusted comes as invalid data.
        let may_pass = match error {
            ureq::Error::Io(error) => error.kind() != std::io::ErrorKind::InvalidData,
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::Tls(_) | ureq::Error::InvalidProxyUrl => false,
            _ => true,
        };
        Failure { why, may_pass, after: None }
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let pem = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let items = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(format!("{}: {error}", path.display()))),
    });
    let found = items.collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() { Err(format!("{} holds no certificate in PEM", path.display())) } else { Ok(found) }
}

fn is_loopback(url: &str) -> bool {
    let host = url.split_once("://").map_or("", |(_, rest)| rest);
    ["127.", "localhost", "[::1]"].iter().any(|own| host.starts_with(own))
}
