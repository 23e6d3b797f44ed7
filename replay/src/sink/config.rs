//! `[sinks.NAME]` of the configuration, and `--sink TYPE=TARGET`.
//!
//! Secrets are never in the configuration: it names the environment variables that hold them. What is printed or written of
//! a target is its scheme and host.

use std::path::PathBuf;
use std::time::Duration;

use datasets::near;
use toml::{Table, Value};

use super::http::Http;
use super::{Sink, alertmanager, chat, ecs, email, lines, ocsf, syslog, webhook};
use crate::engines::Severity;

/// What speaks at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Jsonl,
    Webhook,
    Slack,
    Wecom,
    Email,
    Syslog,
    Alertmanager,
    Ecs,
    Ocsf,
}

impl Kind {
    pub const ALL: [Kind; 9] = [
        Kind::Jsonl,
        Kind::Webhook,
        Kind::Slack,
        Kind::Wecom,
        Kind::Email,
        Kind::Syslog,
        Kind::Alertmanager,
        Kind::Ecs,
        Kind::Ocsf,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Kind::Jsonl => "jsonl",
            Kind::Webhook => "webhook",
            Kind::Slack => "slack",
            Kind::Wecom => "wecom",
            Kind::Email => "email",
            Kind::Syslog => "syslog",
            Kind::Alertmanager => "alertmanager",
            Kind::Ecs => "ecs",
            Kind::Ocsf => "ocsf",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its keys besides those of every sink.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Kind::Jsonl => &["path", "send"],
            Kind::Webhook => &["url", "url_env", "authorization_env", "ca_file", "send"],
            Kind::Slack | Kind::Wecom => &["url", "url_env", "ca_file", "send"],
            Kind::Email => &["url", "from", "to", "username", "password_env", "ca_file", "send"],
            Kind::Syslog => &["url"],
            Kind::Alertmanager => &["url", "url_env", "authorization_env", "ca_file"],
            Kind::Ecs => &["path", "url", "url_env", "index", "authorization_env", "ca_file"],
            Kind::Ocsf => &["path", "url", "url_env", "authorization_env", "ca_file"],
        }
    }
}

/// Keys of every sink.
const COMMON: [&str; 6] = ["type", "min_severity", "queue", "attempts", "timeout", "deadline"];

/// A sink as configured. Times are wall time.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkConfig {
    pub kind: Kind,
    /// Alerts below it are not sent.
    pub min_severity: Severity,
    /// Messages that may wait; further ones are dropped and counted.
    pub queue: usize,
    /// Attempts at one message.
    pub attempts: usize,
    /// Longest time for one attempt.
    pub timeout: Duration,
    /// Longest time for what is left when the replay is over.
    pub deadline: Duration,
    pub alerts: bool,
    pub incidents: bool,
    pub path: Option<PathBuf>,
    pub url: Option<String>,
    /// Environment variables that hold the URL, the Authorization header and the password.
    pub url_env: Option<String>,
    pub authorization_env: Option<String>,
    pub password_env: Option<String>,
    /// PEM file with the certificates that the receiver's must descend from.
    pub ca_file: Option<PathBuf>,
    /// Elasticsearch index or data stream.
    pub index: Option<String>,
    pub from: Option<String>,
    pub to: Vec<String>,
    pub username: Option<String>,
}

impl SinkConfig {
    /// From the table of one sink.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn new(table: &Table) -> Result<Self, String> {
        let kind = match table.get("type") {
            Some(Value::String(name)) => Kind::from_name(name).ok_or_else(|| unknown_kind(name))?,
            _ => return Err(format!("`type` is missing; it is one of {}", kinds())),
        };
        let known: Vec<&str> = COMMON.iter().chain(kind.keys()).copied().collect();
        if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
            let nearest = known.iter().min_by_key(|name| near::distance(key, name)).copied().unwrap_or("");
            return Err(format!("unknown key `{key}` of type {}; the nearest is `{nearest}`", kind.name()));
        }
        let text = |key: &str| match table.get(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
            Some(_) => Err(format!("`{key}` must be text that is not empty")),
        };
        let send = match table.get("send") {
            None => vec!["alerts".to_owned()],
            Some(value) => words(value).ok_or("`send` must be a list of \"alerts\" and \"incidents\"")?,
        };
        if let Some(wrong) = send.iter().find(|word| !matches!(word.as_str(), "alerts" | "incidents")) {
            return Err(format!("`send` has {wrong}; it is a list of \"alerts\" and \"incidents\""));
        }
        let severity = text("min_severity")?.map_or(Ok(Severity::Medium), |name| {
            Severity::from_name(&name)
                .filter(|severity| severity.is_raised())
                .ok_or_else(|| format!("`min_severity` is {name}; it is medium, high or critical"))
        })?;
        let config = Self {
            kind,
            min_severity: severity,
            queue: whole(table, "queue", 1000, 1..=1_000_000)?,
            attempts: whole(table, "attempts", 5, 1..=100)?,
            timeout: seconds(table, "timeout", 10.0)?,
            deadline: seconds(table, "deadline", 30.0)?,
            alerts: send.iter().any(|word| word == "alerts"),
            incidents: send.iter().any(|word| word == "incidents"),
            path: text("path")?.map(PathBuf::from),
            url: text("url")?,
            url_env: text("url_env")?,
            authorization_env: text("authorization_env")?,
            password_env: text("password_env")?,
            ca_file: text("ca_file")?.map(PathBuf::from),
            index: text("index")?,
            from: text("from")?,
            to: table.get("to").map_or(Some(Vec::new()), words).ok_or("`to` must be a list of addresses")?,
            username: text("username")?,
        };
        config.check()?;
        Ok(config)
    }

    /// From `TYPE=TARGET`, a URL or a path.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn of_flag(kind: &str, target: &str) -> Result<Self, String> {
        let wanted = Kind::from_name(kind).ok_or_else(|| unknown_kind(kind))?;
        let is_url = target.contains("://") || wanted == Kind::Syslog;
        let key = if !is_url && wanted.keys().contains(&"path") { "path" } else { "url" };
        let entries = [("type".to_owned(), Value::from(kind)), (key.to_owned(), Value::from(target))];
        Self::new(&Table::from_iter(entries))
    }

    fn check(&self) -> Result<(), String> {
        let targets = [self.path.is_some(), self.url.is_some(), self.url_env.is_some()];
        if targets.iter().filter(|given| **given).count() != 1 {
            let keys: Vec<_> = self.kind.keys().iter().filter(|key| ["path", "url", "url_env"].contains(key)).collect();
            return Err(format!("give one of {keys:?} to say where it goes"));
        }
        if let Some(url) = &self.url {
            let rest = url.split_once("://").map_or("", |(_, rest)| rest);
            let host = rest.split(['/', '?', '#']).next().unwrap_or("");
            if host.is_empty() && !url.starts_with("unix://") {
                return Err("`url` has no scheme and host".to_owned());
            }
            if host.contains('@') {
                return Err("`url` holds a user name or password; name them with username, password_env or \
                            authorization_env"
                    .to_owned());
            }
        }
        Ok(())
    }

    /// The receiver, ready to be sent to.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn open(&self) -> Result<Box<dyn Sink>, String> {
        if let Some(path) = &self.path {
            let format = match self.kind {
                Kind::Ecs => lines::Format::Ecs,
                Kind::Ocsf => lines::Format::Ocsf,
                _ => lines::Format::Whole,
            };
            return Ok(Box::new(lines::Lines::open(path, format)?));
        }
        let http = || Http::open(&self.target()?, self.authorization_env.as_deref(), self.ca_file.as_deref());
        Ok(match self.kind {
            Kind::Jsonl => return Err("give `path`".to_owned()),
            Kind::Webhook => Box::new(webhook::Webhook(http()?)),
            Kind::Slack => Box::new(chat::Slack(http()?)),
            Kind::Wecom => Box::new(chat::Wecom(http()?)),
            Kind::Alertmanager => Box::new(alertmanager::Alertmanager::new(http()?)),
            Kind::Ecs => Box::new(ecs::Bulk::new(http()?, self.index.clone())),
            Kind::Ocsf => Box::new(ocsf::Ocsf(http()?)),
            Kind::Syslog => Box::new(syslog::Syslog::open(&self.target()?)?),
            Kind::Email => Box::new(email::Email::open(self, &self.target()?)?),
        })
    }

    fn target(&self) -> Result<String, String> {
        match (&self.url, &self.url_env) {
            (Some(url), _) => Ok(url.clone()),
            (None, Some(name)) => secret(name),
            (None, None) => Err("give `url`".to_owned()),
        }
    }

    /// Where it goes, without anything that may be secret: a chat's address is one.
    pub fn shown_target(&self) -> String {
        match (&self.path, &self.url, &self.url_env) {
            (Some(path), _, _) => path.display().to_string(),
            (None, Some(url), _) => shown(url),
            (None, None, name) => format!("${}", name.as_deref().unwrap_or_default()),
        }
    }
}

/// Scheme and host of a URL.
pub fn shown(url: &str) -> String {
    match url.split_once("://") {
        Some(("unix", path)) => format!("unix://{path}"),
        Some((scheme, rest)) => {
            let host = rest.split(['/', '?', '#']).next().unwrap_or("");
            format!("{scheme}://{}", host.rsplit('@').next().unwrap_or(host))
        }
        None => "(no URL)".to_owned(),
    }
}

/// The value of an environment variable.
pub fn secret(name: &str) -> Result<String, String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.ok_or_else(|| format!("the environment variable {name} is not set"))
}

fn kinds() -> String {
    Kind::ALL.map(Kind::name).join(", ")
}

fn unknown_kind(name: &str) -> String {
    let nearest = Kind::ALL.map(Kind::name).into_iter().min_by_key(|known| near::distance(name, known)).unwrap_or("");
    format!("unknown type {name}; the nearest of {} is {nearest}", kinds())
}

fn words(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|word| word.as_str().map(str::to_owned)).collect()
}

fn whole(table: &Table, key: &str, default: usize, range: std::ops::RangeInclusive<usize>) -> Result<usize, String> {
    let Some(value) = table.get(key) else { return Ok(default) };
    let number = value.as_integer().and_then(|number| usize::try_from(number).ok());
    let wrong = || format!("`{key}` must be a whole number from {} to {}", range.start(), range.end());
    number.filter(|number| range.contains(number)).ok_or_else(wrong)
}

fn seconds(table: &Table, key: &str, default: f64) -> Result<Duration, String> {
    let Some(value) = table.get(key) else { return Ok(Duration::from_secs_f64(default)) };
    let number = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
    let number = number.filter(|number| (0.05..=3600.0).contains(number));
    number.map(Duration::from_secs_f64).ok_or_else(|| format!("`{key}` must be 0.05 to 3600 seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SinkConfig, String> {
        SinkConfig::new(&toml::from_str(text).unwrap())
    }

    #[test]
    fn mistakes_are_named() {
        for (text, message) in [
            ("url = 'http://a'", "`type` is missing"),
            ("type = 'slak'\nurl = 'http://a'", "is slack"),
            ("type = 'slack'\nulr = 'http://a'", "nearest is `url`"),
            ("type = 'slack'", "give one of [\"url\", \"url_env\"]"),
            ("type = 'slack'\nurl = 'http://a'\nurl_env = 'B'", "give one of"),
            ("type = 'slack'\nurl = 'http://user:secret@a/'", "password_env"),
            ("type = 'slack'\nurl = 'nowhere'", "no scheme"),
            ("type = 'slack'\nurl = 'http://a'\nmin_severity = 'low'", "medium, high or critical"),
            ("type = 'slack'\nurl = 'http://a'\nqueue = 0", "1 to 1000000"),
            ("type = 'slack'\nurl = 'http://a'\ndeadline = -1", "0.05 to 3600"),
            ("type = 'webhook'\nurl = 'http://a'\nsend = ['news']", "send"),
            ("type = 'syslog'\nurl = 'udp://a:1'\nca_file = 'x'", "unknown key `ca_file`"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_shown_of_a_target_is_no_secret() {
        let slack =
            parse("type = 'slack'\nurl = 'https://hooks.slack.example/services/T0/B0/SECRET?key=SECRET'").unwrap();
        assert_eq!(slack.shown_target(), "https://hooks.slack.example");
        assert_eq!(shown("https://user:SECRET@host:1/SECRET"), "https://host:1");
        let hidden = parse("type = 'wecom'\nurl_env = 'RETROSCOPE_TEST_NOT_SET'").unwrap();
        assert_eq!(hidden.shown_target(), "$RETROSCOPE_TEST_NOT_SET");
        assert!(hidden.open().err().unwrap().contains("RETROSCOPE_TEST_NOT_SET is not set"));
    }

    #[test]
    fn a_flag_is_a_sink() {
        assert_eq!(SinkConfig::of_flag("jsonl", "-").unwrap().path, Some(PathBuf::from("-")));
        assert_eq!(SinkConfig::of_flag("ecs", "http://a:9200").unwrap().url.as_deref(), Some("http://a:9200"));
        assert_eq!(SinkConfig::of_flag("ocsf", "a/b.json").unwrap().path, Some(PathBuf::from("a/b.json")));
        assert!(SinkConfig::of_flag("fax", "http://a").is_err());
    }
}
