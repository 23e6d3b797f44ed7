//! Logs of other tools as recordings. What a source does not say is null; what it says and the schema has no place for is counted.

mod auditd;
mod build;
mod tetragon;
mod tracee;

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::path::Path;

use record_bpf::Kind;

use crate::manifest::Manifest;
use crate::{Error, Result};
use build::Builder;

/// Lines beyond this are malformed, bytes: an argument vector of 128 KiB as hex, and room for the rest.
const LINE_MAX: u64 = 1 << 20;

/// Malformed lines that are named; of the others only the number is kept.
const NAMED: usize = 10;

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `audit.log` of auditd, raw or enriched.
    Auditd,
    /// The JSON export of Tetragon, an event a line.
    Tetragon,
    /// The JSON output of Tracee, an event a line.
    Tracee,
}

impl Format {
    /// What its events become.
    const fn kinds(self) -> &'static [Kind] {
        match self {
            Format::Auditd => &[Kind::Exec, Kind::Exit, Kind::Open, Kind::Connect],
            Format::Tetragon => &[Kind::Exec, Kind::Exit, Kind::Connect],
            Format::Tracee => &[Kind::Fork, Kind::Exec, Kind::Exit, Kind::Connect],
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Format::Auditd => "auditd",
            Format::Tetragon => "tetragon",
            Format::Tracee => "tracee",
        }
    }

    /// By what only this source's lines begin with or name.
    fn of(line: &str) -> Option<Format> {
        if line.starts_with("type=") || line.starts_with("node=") {
            return line.contains("msg=audit(").then_some(Format::Auditd);
        }
        let object: serde_json::Value = serde_json::from_str(line).ok()?;
        if object.get("eventName").is_some() && object.get("processId").is_some() {
            return Some(Format::Tracee);
        }
        let tetragon = object.as_object()?.iter().any(|(key, _)| key.starts_with("process_"));
        (tetragon && object.get("time").is_some()).then_some(Format::Tetragon)
    }

    /// What recordings of this source cannot have, for the manifest.
    const fn lacks(self) -> &'static [&'static str] {
        match self {
            Format::Auditd => &[
                "not in the source: containers; fork; thread ids (tid is the pid); CPUs and losses (cpu is 0, seq the order of import)",
                "not in the source: socket protocols; classes other than process, file and network",
                "exe_memfd, exe_deleted and argv_truncated of processes are false because the source does not tell",
            ],
            Format::Tetragon => &[
                "not in the source: argv[0], for which the binary stands; CPUs and losses (cpu is 0, seq the order of import)",
                "not in the source: fork; return values and descriptors of connections; classes other than process and network",
                "exe_memfd, exe_deleted and argv_truncated of processes are false because the source does not tell",
            ],
            Format::Tracee => &[
                "not in the source: losses (cpu is 0, seq the order of import)",
                "not in the source: protocols and results of connections; classes other than process and network",
                "exe_memfd, exe_deleted and argv_truncated of processes are false because the source does not tell",
            ],
        }
    }
}

/// What became of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    pub manifest: Manifest,
    pub format: Format,
    pub lines: u64,
    pub malformed: u64,
    /// The first of the malformed ones: line, from 1, and why.
    pub named: Vec<(u64, String)>,
    /// Events that the schema, or this import, has no row for, by their name in the source.
    pub left_out: BTreeMap<String, u64>,
}

/// Why a line is no event.
type Malformed = String;

enum Source {
    Auditd(auditd::Auditd),
    Tetragon,
    Tracee,
}

/// Reads `input` to its end and writes it to `out`, which must not exist or be empty. `format`: told by the first line if none is
/// given. `progress` is called with the bytes read so far.
///
/// The same input gives the same bytes. Rows are brought into the order of time over [`build::WINDOW`] events; memory: these, and
/// the table of processes.
///
/// # Errors
/// [`Error::Import`]: no line of a known format; [`Error::Read`], [`Error::Exists`], [`Error::Write`].
pub fn import(
    mut input: impl BufRead,
    path: &Path,
    format: Option<Format>,
    out: &Path,
    mut progress: impl FnMut(u64),
) -> Result<Imported> {
    let refused = |reason: &str| Error::Import { path: path.to_owned(), reason: reason.to_owned() };
    let (mut line, mut number, mut bytes) = (Vec::new(), 0_u64, 0_u64);
    let (mut malformed, mut named) = (0_u64, Vec::new());
    let mut format = format;
    let mut source = format.map(Source::new);
    let mut builder = Builder::new(out);
    loop {
        line.clear();
        let read = input.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).map_err(Error::read(path))?;
        if read == 0 {
            break;
        }
        let mut too_long = false;
        while line.last() != Some(&b'\n') && line.len() as u64 >= LINE_MAX {
            line.clear();
            too_long = true;
            if input.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).map_err(Error::read(path))? == 0 {
                break;
            }
        }
        number += 1;
        bytes += read as u64;
        if number.is_multiple_of(1024) {
            progress(bytes);
        }
        let taken = match std::str::from_utf8(&line) {
            _ if too_long => Err("longer than 1 MiB".to_owned()),
            Err(_) => Err("not UTF-8".to_owned()),
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => {
                if source.is_none() {
                    format = Format::of(text.trim());
                    source = format.map(Source::new);
                }
                let (Some(source), Some(format)) = (&mut source, format) else {
                    return Err(refused("its first line is of no format that is known here"));
                };
                builder.has(format.kinds());
                match source {
                    Source::Auditd(auditd) => auditd.line(text.trim_end(), &mut builder)?,
                    Source::Tetragon => tetragon::line(text, &mut builder)?,
                    Source::Tracee => tracee::line(text, &mut builder)?,
                }
            }
        };
        if let Err(why) = taken {
            malformed += 1;
            if named.len() < NAMED {
                named.push((number, why));
            }
        }
    }
    let Some(format) = format else { return Err(refused("it is empty")) };
    if let Some(Source::Auditd(auditd)) = &mut source {
        auditd.end(&mut builder)?;
    }
    let mut notes =
        vec![format!("format {}", format.name()), format!("lines {number}, of which malformed {malformed}")];
    notes.extend(builder.left_out().iter().map(|(name, n)| format!("left out {n} of {name}")));
    notes.extend(format.lacks().iter().map(|text| (*text).to_owned()));
    let left_out = builder.left_out().clone();
    let manifest = builder.finish(format.name(), notes)?.ok_or_else(|| refused("no line of it gives a row"))?;
    Ok(Imported { manifest, format, lines: number, malformed, named, left_out })
}

impl Source {
    fn new(format: Format) -> Source {
        match format {
            Format::Auditd => Source::Auditd(auditd::Auditd::default()),
            Format::Tetragon => Source::Tetragon,
            Format::Tracee => Source::Tracee,
        }
    }
}
