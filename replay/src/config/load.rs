//! Reading the configuration. An unknown key is an error that names the nearest known one.

use std::path::Path;

use datasets::near;
use toml::{Table, Value};

use super::{Config, JudgeKind};
use crate::error::{Error, Result};
use crate::sink::SinkConfig;

/// The documented defaults; also the list of known keys.
pub const DEFAULT: &str = include_str!("../../replay.toml");

/// The configuration from the defaults, then `file`, then each `key=value` in order.
///
/// # Errors
/// An unreadable file, TOML that does not parse, an unknown key, a value of the wrong type or out of range.
pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Config> {
    let mut table: Table = toml::from_str(DEFAULT).expect("the embedded defaults are tested to parse");
    let mut sinks = Table::new();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::config(format!("cannot read the config {}: {error}", path.display()), "check the path of --config")
        })?;
        let over: Table = toml::from_str(&text).map_err(|error| {
            let message = error.message().to_owned();
            let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].lines().count().max(1));
            Error::config(format!("{}: line {line}: {message}", path.display()), "the file is TOML; see replay.toml")
        })?;
        layer(&mut table, &mut sinks, over)?;
    }
    for set in sets {
        let (key, value) = set
            .split_once('=')
            .ok_or_else(|| Error::config(format!("--set {set}: no '='"), "write it as --set convergence.window=30"))?;
        layer(&mut table, &mut sinks, nested(key.trim(), parse(value.trim())))?;
    }
    let mut config: Config = table.try_into().map_err(|error: toml::de::Error| {
        Error::config(format!("config: {}", error.message()), "see replay.toml for the keys, types and units")
    })?;
    check(&config)?;
    for (name, table) in sinks {
        let failed = |why: String| {
            Error::config(format!("config sinks.{name}: {why}"), "replay/sinks.md has an example of every type")
        };
        let table = table.as_table().ok_or_else(|| failed("it is no table".to_owned()))?;
        config.sinks.insert(name.clone(), SinkConfig::new(table).map_err(failed)?);
    }
    Ok(config)
}

/// Puts `over` over what is there. Sinks have names of their own, so they are apart from the keys that are known.
fn layer(base: &mut Table, sinks: &mut Table, mut over: Table) -> Result<()> {
    match over.remove("sinks") {
        Some(Value::Table(named)) => {
            for (name, value) in named {
                match (sinks.get_mut(&name), value) {
                    (Some(Value::Table(base)), Value::Table(over)) => base.extend(over),
                    (_, value) => {
                        sinks.insert(name, value);
                    }
                }
            }
        }
        Some(_) => return Err(Error::config("config key sinks is no table", "write [sinks.NAME]")),
        None => {}
    }
    merge(base, over, "")
}

/// `a.b.c` and a value as nested tables.
fn nested(key: &str, value: Value) -> Table {
    match key.split_once('.') {
        Some((head, rest)) => Table::from_iter([(head.to_owned(), Value::Table(nested(rest, value)))]),
        None => Table::from_iter([(key.to_owned(), value)]),
    }
}

/// A TOML value, or the text itself when it is none.
fn parse(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}")).ok();
    parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn merge(base: &mut Table, over: Table, prefix: &str) -> Result<()> {
    for (key, value) in over {
        let full = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let Some(slot) = base.get_mut(&key) else {
            return Err(unknown_key(&first_leaf(full, &value)));
        };
        match (slot, value) {
            (Value::Table(base), Value::Table(over)) => merge(base, over, &full)?,
            (slot @ Value::Float(_), Value::Integer(number)) => *slot = Value::Float(number as f64),
            (slot, value) if slot.same_type(&value) => *slot = value,
            (slot, value) => {
                return Err(Error::config(
                    format!("config key {full} is a {}, not a {}", slot.type_str(), value.type_str()),
                    format!("its default is {slot}"),
                ));
            }
        }
    }
    Ok(())
}

/// The whole key that the user wrote: down to the first value below an unknown section.
fn first_leaf(key: String, value: &Value) -> String {
    match value.as_table().and_then(|table| table.iter().next()) {
        Some((below, value)) => first_leaf(format!("{key}.{below}"), value),
        None => key,
    }
}

fn unknown_key(key: &str) -> Error {
    let defaults: Table = toml::from_str(DEFAULT).expect("the embedded defaults are tested to parse");
    let mut known = Vec::new();
    leaves(&defaults, "", &mut known);
    let nearest = known.iter().min_by_key(|name| key_distance(key, name)).map_or("", String::as_str);
    Error::config(format!("unknown config key {key}"), format!("the nearest known key is {nearest}"))
}

/// Distance to a full key, or to its last part (a user often leaves the section out); the full key wins a tie.
fn key_distance(key: &str, known: &str) -> (usize, usize) {
    let whole = near::distance(key, known);
    let last = known.rsplit('.').next().map_or(whole, |last| near::distance(key, last));
    (whole.min(last), whole)
}

fn leaves(table: &Table, prefix: &str, out: &mut Vec<String>) {
    for (key, value) in table {
        let full = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(table) => leaves(table, &full, out),
            _ => out.push(full),
        }
    }
}

fn check(config: &Config) -> Result<()> {
    let share = |value: f64| (0.0..=1.0).contains(&value);
    let checks = [
        (config.profile.collapse >= 2, "profile.collapse", "at least 2"),
        (config.profile.max_patterns >= 1, "profile.max_patterns", "at least 1"),
        (config.network.prefix_v4 <= 32, "network.prefix_v4", "0 to 32"),
        (config.network.prefix_v6 <= 128, "network.prefix_v6", "0 to 128"),
        (share(config.args.novelty.accept.into()), "args.novelty.accept", "0 to 1"),
        (
            share(config.args.novelty.reject.into()) && config.args.novelty.reject >= config.args.novelty.accept,
            "args.novelty.reject",
            "0 to 1 and not below args.novelty.accept",
        ),
        ((-1.0..=1.0).contains(&config.args.embedding.threshold), "args.embedding.threshold", "-1 to 1"),
        (config.model.batch <= 4096, "model.batch", "0 to 4096"),
        ((1..=1_000_000).contains(&config.model.cache_mb), "model.cache_mb", "1 to 1000000"),
        (seconds(config.convergence.window), "convergence.window", "more than 0 and at most a year, in seconds"),
        (seconds(config.convergence.timer), "convergence.timer", "more than 0 and at most a year, in seconds"),
        (config.tuning.occasions >= 2, "tuning.occasions", "at least 2"),
        (seconds(config.tuning.apart), "tuning.apart", "more than 0 and at most a year, in seconds"),
        (config.tuning.siblings >= 1, "tuning.siblings", "at least 1"),
        (
            seconds(config.tuning.forget) && config.tuning.forget > config.tuning.apart,
            "tuning.forget",
            "more than tuning.apart and at most a year, in seconds",
        ),
        (
            config.tuning.quarantine == 0.0 || seconds(config.tuning.quarantine),
            "tuning.quarantine",
            "0 to a year, in seconds",
        ),
        (share(config.tuning.risk.into()), "tuning.risk", "0 to 1"),
        (
            config.network.resolvers.iter().all(|address| address.parse::<std::net::IpAddr>().is_ok()),
            "network.resolvers",
            "a list of IP addresses, as [\"9.9.9.9\"]",
        ),
        ((1.0..=1e9).contains(&config.network.volume_factor), "network.volume_factor", "1 to 1000000000"),
        ((60..=604_800).contains(&config.forecast.bucket), "forecast.bucket", "60 to 604800, in seconds"),
        (
            config.forecast.season.is_multiple_of(config.forecast.bucket)
                && config
                    .forecast
                    .season
                    .checked_div(config.forecast.bucket)
                    .is_some_and(|n| (2..=10_000).contains(&n)),
            "forecast.season",
            "2 to 10000 times forecast.bucket, without a rest",
        ),
        (open_share(config.forecast.level), "forecast.level", "above 0 and below 1"),
        (open_share(config.convergence.epsilon), "convergence.epsilon", "above 0 and below 1"),
        (open_share(config.convergence.delta), "convergence.delta", "above 0 and below 1"),
        (
            [&config.engines.weights.rules, &config.engines.weights.statistics, &config.engines.weights.semantics]
                .into_iter()
                .all(|weight| (0.0..=1000.0).contains(weight)),
            "engines.weights",
            "0 to 1000",
        ),
        (
            seconds(config.engines.statistics.window),
            "engines.statistics.window",
            "more than 0 and at most a year, in seconds",
        ),
        (
            seconds(config.engines.statistics.gap),
            "engines.statistics.gap",
            "more than 0 and at most a year, in seconds",
        ),
        (
            [config.engines.statistics.half, config.engines.statistics.siblings]
                .iter()
                .all(|x| (1e-3..=1e6).contains(x)),
            "engines.statistics.half and engines.statistics.siblings",
            "0.001 to 1000000",
        ),
        (seconds(config.engines.llm.time), "engines.llm.time", "more than 0 and at most a year, in seconds"),
        (
            config.engines.llm.timeout >= 0.001 && config.engines.llm.timeout <= 3600.0,
            "engines.llm.timeout",
            "0.001 to 3600, in seconds",
        ),
        (
            config.engines.llm.backoff >= 0.001 && config.engines.llm.backoff <= 3600.0,
            "engines.llm.backoff",
            "0.001 to 3600, in seconds",
        ),
        (
            (0.01..=1e6).contains(&config.engines.llm.requests_per_minute),
            "engines.llm.requests_per_minute",
            "0.01 to 1000000",
        ),
        (config.engines.llm.retries <= 100, "engines.llm.retries", "at most 100"),
        ((1..=1 << 40).contains(&config.engines.llm.answer_tokens), "engines.llm.answer_tokens", "at least 1"),
        (config.engines.llm.max_text >= 16, "engines.llm.max_text", "at least 16"),
        (
            config.engines.judge == JudgeKind::Knn || !config.engines.llm.model.is_empty(),
            "engines.llm.model",
            "the name of a model, with engines.judge = \"llm\"",
        ),
        (
            ["http://", "https://"].iter().any(|scheme| config.engines.llm.url.starts_with(scheme))
                && !config.engines.llm.url.contains('@'),
            "engines.llm.url",
            "an http:// or https:// URL without credentials in it; a key goes into an environment variable",
        ),
        (
            (0.0..=2.0).contains(&config.engines.statistics.similar),
            "engines.statistics.similar",
            "0 to 1, or 2 for never",
        ),
        (
            config.severity.medium <= config.severity.high && config.severity.high <= config.severity.critical,
            "severity",
            "in order: medium, high, critical",
        ),
        (config.alerts.evidence_rows >= 1, "alerts.evidence_rows", "at least 1"),
        (config.alerts.lateral == 0.0 || seconds(config.alerts.lateral), "alerts.lateral", "0 to a year, in seconds"),
    ];
    match checks.into_iter().find(|(ok, _, _)| !ok) {
        Some((_, key, range)) => {
            Err(Error::config(format!("config key {key} is out of range"), format!("it must be {range}")))
        }
        None => Ok(()),
    }
}

fn seconds(value: f64) -> bool {
    value > 0.0 && value <= 365.0 * 86_400.0
}

fn open_share(value: f64) -> bool {
    value > 0.0 && value < 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rule;

    fn set(sets: &[&str]) -> Result<Config> {
        load(None, &sets.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn defaults_hold_and_single_values_replace_them() {
        assert_eq!(set(&[]).unwrap().engines.weights.rules, 40.0);
        let config = set(&["engines.weights.rules=50", "convergence.rule=window", "args.canonical=false"]).unwrap();
        assert_eq!(config.engines.weights.rules, 50.0);
        assert_eq!(config.convergence.rule, Rule::Window);
        assert!(!config.args.canonical);
    }

    #[test]
    fn mistakes_name_the_way_out() {
        for (set_value, message, hint) in [
            ("engines.weight.rules=1", "unknown config key engines.weight.rules", "is engines.weights.rules"),
            ("convergence.windov=1", "unknown config key convergence.windov", "convergence.window"),
            ("windw=1", "unknown config key windw", "convergence.window"),
            ("convergence.window=soon", "is a float, not a string", "60.0"),
            ("convergence.window=-1", "out of range", "more than 0"),
            ("convergence.rule=never", "never", "replay.toml"),
            ("convergence.window", "no '='", "--set"),
            ("convergence=3", "is a table", "default"),
            ("tuning.forget=60", "out of range", "more than tuning.apart"),
            ("forecast.bucket=0", "forecast.bucket is out of range", "in seconds"),
            ("forecast.season=5000", "forecast.season is out of range", "without a rest"),
            ("network.resolvers=[\"dns.example\"]", "network.resolvers is out of range", "IP addresses"),
            ("args.novelty.reject=nan", "out of range", "0 to 1"),
        ] {
            let error = set(&[set_value]).expect_err(set_value);
            assert!(error.to_string().contains(message), "{set_value}: {error}");
            assert!(error.hint().contains(hint), "{set_value}: {}", error.hint());
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn sinks_have_names_of_their_own() {
        let config = set(&["sinks.ops.type=slack", "sinks.ops.url=http://a/b", "sinks.ops.min_severity=high"]).unwrap();
        assert_eq!(config.sinks["ops"].min_severity, crate::engines::Severity::High);
        for (set_value, message) in
            [("sinks.ops.type=fax", "config sinks.ops: unknown type fax"), ("sinks=3", "no table")]
        {
            let error = set(&[set_value]).expect_err(set_value);
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn a_file_lies_between_defaults_and_sets() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[convergence]\nwindow = 5\ntimer = 7.5\n").unwrap();
        let config = load(Some(file.path()), &["convergence.timer=9".to_owned()]).unwrap();
        assert_eq!((config.convergence.window, config.convergence.timer), (5.0, 9.0));
        std::fs::write(file.path(), "[convergence]\nwindow = \n").unwrap();
        let error = load(Some(file.path()), &[]).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
