//! What a sweep tries: keys of the configuration, with the values of each.

use replay::config::Config;
use serde::{Deserialize, Serialize};
use toml::Value;

use super::keys::{Stage, leaves, stage};
use crate::{Error, Result};

/// A key and its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    pub key: String,
    pub domain: Domain,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// As they are written after `--set key=`.
    Values(Vec<String>),
    Range {
        low: f64,
        high: f64,
        integer: bool,
        log: bool,
    },
}

/// Significant digits of a drawn value: a threshold is no more exact than that.
const DIGITS: i32 = 4;

impl Parameter {
    /// `key=a,b,c`
    ///
    /// # Errors
    /// [`Error::Sweep`]: no such key, no value, or one that the key cannot have.
    pub fn grid(text: &str, base: &Config) -> Result<Parameter> {
        let (key, list) = split(text)?;
        let default = default_of(key, base)?;
        let values: Vec<String> = list.split(',').map(|value| value.trim().to_owned()).collect();
        let fits = |value: &String| match &default {
            Value::Float(_) => value.parse::<f64>().is_ok_and(f64::is_finite),
            Value::Integer(_) => value.parse::<i64>().is_ok(),
            Value::Boolean(_) => value.parse::<bool>().is_ok(),
            _ => !value.is_empty(),
        };
        if let Some(bad) = values.iter().find(|value| !fits(value)) {
            return Err(sweep(format!("{key}: {bad:?} is no {}; its default is {default}", default.type_str())));
        }
        Ok(Parameter { key: key.to_owned(), domain: Domain::Values(values) })
    }

    /// `key=low..high`, or `key=low..high:log` for values whose order of magnitude counts.
    ///
    /// # Errors
    /// [`Error::Sweep`]: no such key, not a number, or the bounds are not in order.
    pub fn range(text: &str, base: &Config) -> Result<Parameter> {
        let (key, bounds) = split(text)?;
        let default = default_of(key, base)?;
        let integer = match default {
            Value::Float(_) => false,
            Value::Integer(_) => true,
            other => return Err(sweep(format!("{key} is a {}, which has no range: use --grid", other.type_str()))),
        };
        let (bounds, log) = bounds.strip_suffix(":log").map_or((bounds, false), |bounds| (bounds, true));
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        let parsed = bounds.split_once("..").and_then(|(low, high)| Some((number(low)?, number(high)?)));
        let (low, high) = parsed.ok_or_else(|| sweep(format!("{text}: not of the form KEY=LOW..HIGH")))?;
        if low >= high || (log && low <= 0.0) || (integer && (low.fract() != 0.0 || high.fract() != 0.0)) {
            return Err(sweep(format!(
                "{text}: LOW must be below HIGH, above 0 with :log, and whole where the key is"
            )));
        }
        Ok(Parameter { key: key.to_owned(), domain: Domain::Range { low, high, integer, log } })
    }

    /// The values that a grid has of it: of a range so many, evenly.
    pub fn steps(&self, steps: usize) -> Vec<String> {
        match &self.domain {
            Domain::Values(values) => values.clone(),
            Domain::Range { .. } => {
                let last = steps.saturating_sub(1).max(1) as f64;
                let mut values: Vec<String> = (0..steps).map(|step| self.at(step as f64 / last)).collect();
                values.dedup();
                values
            }
        }
    }

    /// The value at a place from 0 to 1.
    pub fn at(&self, place: f64) -> String {
        match &self.domain {
            Domain::Values(values) => {
                values[((place * values.len() as f64) as usize).min(values.len().saturating_sub(1))].clone()
            }
            Domain::Range { low, high, integer, log } => {
                let value = match log {
                    true => (low.ln() + place * (high.ln() - low.ln())).exp(),
                    false => low + place * (high - low),
                };
                let value = value.clamp(*low, *high);
                if *integer {
                    return format!("{}", value.round() as i64);
                }
                let scale = 10f64.powi(DIGITS - 1 - if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 });
                format!("{}", ((value * scale).round() / scale).clamp(*low, *high))
            }
        }
    }

    /// How far a value is from another, 0 to 1.
    pub fn distance(&self, a: &str, b: &str) -> f64 {
        match (&self.domain, a.parse::<f64>(), b.parse::<f64>()) {
            (Domain::Range { low, high, .. }, Ok(a), Ok(b)) => ((a - b).abs() / (high - low)).min(1.0),
            _ => f64::from(u8::from(a != b)),
        }
    }

    /// The value that the configuration has of it.
    pub fn value_in(&self, config: &Config) -> String {
        let value = leaves(config).into_iter().find(|(key, _)| *key == self.key).map(|(_, value)| value);
        match value {
            Some(Value::String(text)) => text,
            // Numbers of half the width are as short as they were written.
            Some(Value::Float(number)) => format!("{}", number as f32),
            Some(value) => value.to_string(),
            None => String::new(),
        }
    }
}

fn split(text: &str) -> Result<(&str, &str)> {
    let (key, rest) = text.split_once('=').ok_or_else(|| sweep(format!("{text}: no '='")))?;
    Ok((key.trim(), rest.trim()))
}

fn default_of(key: &str, base: &Config) -> Result<Value> {
    let all = leaves(base);
    if let Some((_, value)) = all.iter().find(|(known, _)| known == key) {
        if key == "alerts.allow" || stage(key) == Stage::Nothing {
            return Err(sweep(format!("{key} changes nothing of what detects or alarms falsely")));
        }
        return Ok(value.clone());
    }
    let nearest = all.iter().min_by_key(|(known, _)| datasets::near::distance(key, known));
    let nearest = nearest.map_or("", |(known, _)| known.as_str());
    Err(sweep(format!("unknown config key {key}; the nearest known key is {nearest}")))
}

fn sweep(reason: String) -> Error {
    Error::Sweep { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Config {
        replay::config::load(None, &[]).unwrap()
    }

    #[test]
    fn keys_have_values_of_their_type() {
        let grid = |text| Parameter::grid(text, &base());
        assert_eq!(grid("severity.high=50, 60").unwrap().steps(9), ["50", "60"]);
        assert_eq!(grid("convergence.rule=window,timer").unwrap().steps(9), ["window", "timer"]);
        for (text, said) in [
            ("severity.high=soon", "is no float; its default is 60"),
            ("profile.collapse=1.5", "is no integer"),
            ("severity.hihg=50", "nearest known key is severity.high"),
            ("alerts.allow=x", "changes nothing"),
            ("severity.high", "no '='"),
        ] {
            let error = grid(text).expect_err(text).to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn ranges_go_from_end_to_end() {
        let range = |text| Parameter::range(text, &base());
        assert_eq!(range("severity.high=50..70").unwrap().steps(3), ["50", "60", "70"]);
        assert_eq!(range("convergence.epsilon=0.0001..0.01:log").unwrap().steps(3), ["0.0001", "0.001", "0.01"]);
        assert_eq!(range("profile.collapse=2..3").unwrap().steps(5), ["2", "3"]);
        let grammar = range("args.grammar.accept=0..1").unwrap();
        assert_eq!((grammar.at(1.0 / 3.0), grammar.value_in(&base())), ("0.3333".to_owned(), "0.48".to_owned()));
        assert_eq!(grammar.distance("0.25", "0.75"), 0.5);
        for text in
            ["convergence.rule=1..2", "severity.high=70..50", "severity.high=a..b", "convergence.epsilon=0..1:log"]
        {
            assert!(range(text).is_err(), "{text}");
        }
    }
}
