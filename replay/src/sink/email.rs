//! E-mail over SMTP.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{SmtpTransport, Transport};

use super::config::{secret, shown};
use super::{Failure, Message, Sink, SinkConfig};

pub struct Email {
    from: Mailbox,
    to: Vec<Mailbox>,
    host: String,
    port: u16,
    tls: Tls,
    credentials: Option<Credentials>,
}

impl Email {
    /// `url`: `smtps://host` (TLS from the first byte), `smtp://host` (STARTTLS, required), or `smtp+plain://host` for a relay on
    /// this machine or one that has no TLS.
    ///
    /// # Errors
    /// Another URL, no addresses, a variable that is not set, a certificate that cannot be read.
    pub fn open(config: &SinkConfig, url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse::<u16>().map_err(|_| format!("{} has no port", shown(url)))?)),
            None => (rest, None),
        };
        let tls = || {
            let mut tls = TlsParameters::builder(host.to_owned());
            if let Some(path) = &config.ca_file {
                let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
                let pem = std::fs::read(path).map_err(|error| failed(&error))?;
                tls = tls.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| failed(&error))?);
            }
            tls.build().map_err(|error| error.to_string())
        };
        let (tls, usual) = match scheme {
            "smtps" => (Tls::Wrapper(tls()?), 465),
            "smtp" => (Tls::Required(tls()?), 587),
            "smtp+plain" => (Tls::None, 25),
            _ => return Err("`url` must be smtp://HOST, smtps://HOST or smtp+plain://HOST".to_owned()),
        };
        let address = |text: &str| text.parse::<Mailbox>().map_err(|error| format!("{text}: {error}"));
        let from = address(config.from.as_deref().ok_or("`from` is missing")?)?;
        let to = config.to.iter().map(|text| address(text)).collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() {
            return Err("`to` is missing".to_owned());
        }
        let credentials = match (&config.username, &config.password_env) {
            (Some(name), Some(variable)) => Some(Credentials::new(name.clone(), secret(variable)?)),
            (None, None) => None,
            _ => return Err("give both username and password_env, or none".to_owned()),
        };
        if credentials.is_some() && matches!(tls, Tls::None) {
            return Err("a password is not sent without TLS; use smtp:// or smtps://".to_owned());
        }
        Ok(Self { from, to, host: host.to_owned(), port: port.unwrap_or(usual), tls, credentials })
    }
}

impl Sink for Email {
    /// The Message-ID is the key, by which mail systems know a message that comes twice.
    fn send(&mut self, message: &Message, within: Duration) -> Result<(), Failure> {
        let mut mail = lettre::Message::builder()
            .from(self.from.clone())
            .subject(message.title())
            .message_id(Some(format!("<{}@retroscope.invalid>", message.key)))
            .header(ContentType::TEXT_PLAIN)
            .date_now();
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        let mail = mail.body(message.text()).map_err(|error| Failure::lasting(error.to_string()))?;
        let mut transport =
            SmtpTransport::builder_dangerous(&self.host).port(self.port).tls(self.tls.clone()).timeout(Some(within));
        if let Some(credentials) = &self.credentials {
            transport = transport.credentials(credentials.clone());
        }
        match transport.build().send(&mail) {
            Ok(_) => Ok(()),
            Err(error) => {
                // A certificate that is not trusted comes as invalid data.
                let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
                let untrusted = cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::InvalidData);
                let may_pass = !(untrusted || error.is_permanent() || error.is_tls() || error.is_client());
                let why = crate::output::text::clean(&error.to_string());
                Err(Failure { why, may_pass, after: None })
            }
        }
    }
}
