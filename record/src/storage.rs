//! How a recording is stored: rotation, journal, memory, and what is kept.

use std::time::Duration;

use clap::Args;
use datasets::{Keep, Rotation, Storage};

use crate::error::{Error, Result};

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Storage")]
pub struct StorageArgs {
    /// Close a segment (a Parquet file) when its oldest row is this old
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = segment_time)]
    pub segment_time: Duration,
    /// Close a segment when its rows take this much memory; the file is 5 to 20 times smaller
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub segment_size: u32,
    /// Memory of all rows that wait to be written: half of it for open segments, half for those being encoded
    #[arg(long, value_name = "MIB", default_value_t = 32, value_parser = clap::value_parser!(u32).range(2..=65_536))]
    pub memory: u32,
    /// Bring rows of open segments to a journal this often: what 'kill -9' loses, and 'datasets recover' need not miss; or off
    #[arg(long, value_name = "TIME|off", default_value = "500ms", value_parser = journal)]
    pub journal: Journal,
    /// Size of the recording, as 500M or 10GiB: when it is reached, the recording ends (see --keep)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_size: Option<u64>,
    /// Go on for ever, and remove the oldest segments: 'newest' when --max-size is reached, a TIME (as 24h) when they are
    /// older than that, or both
    #[arg(long, value_name = "newest|TIME", value_parser = kept)]
    pub keep: Option<Kept>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journal(pub Option<Duration>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Newest,
    For(Duration),
}

/// What is needed beside the rows: the room kept for the end, and a segment or two.
const LEAST_SIZE: u64 = 8 << 20;

impl StorageArgs {
    /// As the writer wants it.
    pub fn storage(&self) -> Result<Storage> {
        let usage = |text: &str| Err(Error::Usage(text.to_owned()));
        if self.max_size.is_some_and(|size| size < LEAST_SIZE) {
            return usage("--max-size: give 8MiB or more; 4.25 MiB of it are kept free for the recording's end");
        }
        let keep = match (self.keep, self.max_size) {
            (None, None) => Keep::All,
            (None, Some(bytes)) => Keep::Oldest(bytes),
            (Some(Kept::Newest), None) => {
                return usage("--keep newest: of how much? Add --max-size SIZE, or give a time");
            }
            (Some(Kept::Newest), bytes) => Keep::Newest { bytes, age: None },
            (Some(Kept::For(age)), bytes) => Keep::Newest { bytes, age: Some(age) },
        };
        let bytes = (self.segment_size as usize) << 20;
        let rotation = Rotation { time: self.segment_time, bytes, ..Rotation::default() };
        let memory = (self.memory as usize) << 20;
        Ok(Storage { rotation, memory, journal: self.journal.0, background: true, reserve: true, keep })
    }
}

fn segment_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time >= Duration::from_secs(1) => Ok(time),
        Ok(_) => Err("give 1s or more".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn journal(text: &str) -> Result<Journal, String> {
    match text {
        "off" => Ok(Journal(None)),
        text => match humantime::parse_duration(text) {
            Ok(time) if time >= Duration::from_millis(200) => Ok(Journal(Some(time))),
            Ok(_) => Err("give 200ms or more, or off".to_owned()),
            Err(error) => Err(format!("{error}; or off")),
        },
    }
}

fn kept(text: &str) -> Result<Kept, String> {
    match text {
        "newest" => Ok(Kept::Newest),
        text => humantime::parse_duration(text).map(Kept::For).map_err(|error| format!("{error}; or newest")),
    }
}

/// Bytes, or with a unit: K, M, G, T of 1,024 (also KiB, ...), and KB, MB, GB, TB of 1,000.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let power = |letter: &str| ["k", "m", "g", "t"].iter().position(|unit| *unit == letter).map(|at| at as u32 + 1);
    let factor = match unit.as_str() {
        "" | "b" => Some(1),
        unit => match (unit.strip_suffix("ib"), unit.strip_suffix('b')) {
            (Some(letter), _) => power(letter).map(|power| 1024u64.pow(power)),
            (None, Some(letter)) => power(letter).map(|power| 1000u64.pow(power)),
            (None, None) => power(unit).map(|power| 1024u64.pow(power)),
        },
    };
    let bytes = number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    bytes.ok_or_else(|| "give a size as 500M or 10GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [("0", 0), ("17", 17), ("500M", 500 << 20), ("10GiB", 10 << 30), ("2 GB", 2_000_000_000)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "1.5G", "-1", "10 apples", "99999999999T", "1iB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_kept_follows_from_both_flags() {
        use clap::Parser;
        let storage = |args: &[&str]| {
            crate::cli::Cli::try_parse_from([&["record"], args].concat()).unwrap().record.storage.storage()
        };
        let keep = |args: &[&str]| storage(args).unwrap().keep;
        let day = Duration::from_secs(86_400);
        assert_eq!(keep(&[]), Keep::All);
        assert_eq!(keep(&["--max-size", "1G"]), Keep::Oldest(1 << 30));
        assert_eq!(keep(&["--max-size", "1G", "--keep", "newest"]), Keep::Newest { bytes: Some(1 << 30), age: None });
        assert_eq!(keep(&["--keep", "24h"]), Keep::Newest { bytes: None, age: Some(day) });
        let both = Keep::Newest { bytes: Some(1 << 30), age: Some(day) };
        assert_eq!(keep(&["--max-size", "1G", "--keep", "1d"]), both);
        assert!(storage(&["--keep", "newest"]).is_err() && storage(&["--max-size", "1M"]).is_err());
        assert_eq!(storage(&["--journal", "off"]).unwrap().journal, None);
        assert_eq!(storage(&[]).unwrap().journal, Some(Duration::from_millis(500)));
    }
}
