//! Logs of other tools as recordings. What a source does not say is null; what it says and the schema has no place for is counted.

mod auditd;
mod build;
mod falco;
mod sysmon;
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

/// A log of which so many lines are of no known format, and none before them, is none: a log that was cut begins within a line.
const FOREIGN: u64 = 100;

/// Malformed lines that are named; of the others only the number is kept.
const NAMED: usize = 10;

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `audit.log` of auditd, raw or enriched.
    Auditd,
    /// Falco's alerts as JSON, one a line.
    Falco,
    /// The events of Sysmon for Linux, as XML, one a line.
    Sysmon,
    /// The JSON export of Tetragon, an event a line.
    Tetragon,
    /// The JSON output of Tracee, an event a line.
    Tracee,
}

impl Format {
    /// What its events become.
    const fn kinds(self) -> &'static [Kind] {
        match self {
            Format::Auditd => &[
                Kind::Exec,
                Kind::Exit,
                Kind::Open,
                Kind::Rename,
                Kind::Unlink,
                Kind::Mkdir,
                Kind::Rmdir,
                Kind::Connect,
            ],
            Format::Falco => &[Kind::Exec, Kind::Open, Kind::Connect, Kind::Accept],
            Format::Sysmon => &[Kind::Exec, Kind::Exit, Kind::Open, Kind::Unlink, Kind::Connect, Kind::Accept],
            Format::Tetragon => &[Kind::Exec, Kind::Exit, Kind::Connect],
            Format::Tracee => &[Kind::Fork, Kind::Exec, Kind::Exit, Kind::Connect],
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Format::Auditd => "auditd",
            Format::Falco => "falco",
            Format::Sysmon => "sysmon",
            Format::Tetragon => "tetragon",
            Format::Tracee => "tracee",
        }
    }

    /// By what only this source's lines begin with or name.
    fn of(line: &str) -> Option<Format> {
        if line.starts_with("type=") || line.starts_with("node=") {
            return line.contains("msg=audit(").then_some(Format::Auditd);
        }
        if line.contains("<Event>") && line.contains("Linux-Sysmon") {
            return Some(Format::Sysmon);
        }
        let object: serde_json::Value = serde_json::from_str(line).ok()?;
        if object.get("rule").is_some() && object.get("priority").is_some() {
            return Some(Format::Falco);
        }
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
            Format::Falco => &[
                "not in the source: all that no rule of Falco speaks of; the boundaries of arguments; fork and exit; CPUs and losses (cpu is 0, seq the order of import)",
                "not in the source: what a rule does not print; where it is the result, ret is 0, and a connection's fd -1; classes other than process, file and network",
                "exe_memfd, exe_deleted and argv_truncated of processes are false because the source does not tell",
            ],
            Format::Sysmon => &[
                "not in the source: containers; the boundaries of arguments; fork, thread and user ids, exit codes; CPUs and losses (cpu is 0, seq the order of import)",
                "not in the source: files that are opened and not created; results and descriptors; classes other than process, file and network",
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
    Falco,
    Sysmon,
    Tetragon,
    Tracee,
}

/// Reads `input` to its end and writes it to `out`, which must not exist or be empty. `format`: told by the first line of a known one if none is
/// given. `progress` is called with the bytes read so far.
///
/// The same input gives the same bytes. Rows are brought into the order of time over 65,536 events; memory: these, and the table of
/// processes.
///
/// # Errors
/// [`Error::Import`]: no line of a known format; [`Error::Log`], [`Error::Exists`], [`Error::Write`].
pub fn import(
    mut input: impl BufRead,
    path: &Path,
    format: Option<Format>,
    out: &Path,
    mut progress: impl FnMut(u64),
) -> Result<Imported> {
    let refused = |reason: &str| Error::Import { path: path.to_owned(), reason: reason.to_owned() };
    let unread = |source| Error::Log { path: path.to_owned(), source };
    let (mut line, mut number, mut bytes) = (Vec::new(), 0_u64, 0_u64);
    let (mut malformed, mut named) = (0_u64, Vec::new());
    let mut format = format;
    let mut source = format.map(Source::new);
    let mut builder = Builder::new(out);
    loop {
        line.clear();
        let read = input.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).map_err(unread)?;
        if read == 0 {
            break;
        }
        let mut too_long = false;
        while line.last() != Some(&b'\n') && line.len() as u64 >= LINE_MAX {
            line.clear();
            too_long = true;
            if input.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).map_err(unread)? == 0 {
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
                match (&mut source, format) {
                    (Some(source), Some(format)) => {
                        builder.has(format.kinds());
                        source.line(text.trim_end(), &mut builder)?
                    }
                    _ if number < FOREIGN => Err("of no format that is known here".to_owned()),
                    _ => return Err(refused("its first hundred lines are of no format that is known here")),
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
    let Some(format) = format else {
        let reason = if number == 0 { "it is empty" } else { "no line of it is of a format that is known here" };
        return Err(refused(reason));
    };
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
    fn line(&mut self, text: &str, builder: &mut Builder) -> Result<Result<(), Malformed>> {
        match self {
            Source::Auditd(auditd) => auditd.line(text, builder),
            Source::Falco => falco::line(text, builder),
            Source::Sysmon => sysmon::line(text, builder),
            Source::Tetragon => tetragon::line(text, builder),
            Source::Tracee => tracee::line(text, builder),
        }
    }

    fn new(format: Format) -> Source {
        match format {
            Format::Auditd => Source::Auditd(auditd::Auditd::default()),
            Format::Falco => Source::Falco,
            Format::Sysmon => Source::Sysmon,
            Format::Tetragon => Source::Tetragon,
            Format::Tracee => Source::Tracee,
        }
    }
}
