//! Does a recording hold what it says, and does it account for all it does not hold?

mod account;
mod bytes;
mod chain;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use record_bpf::{Class, schema};

use crate::codec::Strings;
use crate::events::{self, Key};
use crate::losses::Loss;
use crate::manifest::{Manifest, Segment, State, Table};
use crate::model::{Address, Container, Label, Process};
use crate::parquet_read::Batches;
use crate::read::{class_columns, read_table};
use crate::report::{FindingKind, Findings, Verdict, VerifyReport};
use crate::seqs::Seqs;
use crate::signature::PublicKey;
use crate::store::{self, Fault};
use crate::write::{ADDRESSES, CONTAINERS, LABELS, LOSSES, PROCESSES};
use crate::{Error, Result, manifest_file, segment_account, signature};
use bytes::Entry;

/// Bytes checked so far, and bytes to check in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
}

/// Checks the recording in the directory `path`.
///
/// Recomputes every SHA-256 and the chain; decodes every row and checks it against the schema, the order and the counts
/// of the manifest; and proves the accounting from the rows' sequence numbers: on each CPU what is missing is exactly
/// what the manifest says was dropped, filtered, sampled out or known, and for each class they and the stored ones add up
/// to the emitted ones.
///
/// Damage is in the report, not an error. Memory: one batch of rows, 4 bytes for each run of sequence numbers without a gap,
/// and a bit for each row of the segments whose neighbours in time were not read yet.
///
/// # Errors
/// When there is no manifest to check against; see [`Recording::open`](crate::Recording::open).
pub fn verify(path: &Path, progress: impl FnMut(Progress)) -> Result<VerifyReport> {
    verify_signed(path, None, progress)
}

/// As [`verify`]; the recording must be signed by `key`, if one is given.
///
/// # Errors
/// Those of [`verify`].
pub fn verify_signed(path: &Path, key: Option<&PublicKey>, mut progress: impl FnMut(Progress)) -> Result<VerifyReport> {
    store::forget(path);
    let (manifest, text) = manifest_file::load_text(path)?;
    let tables = manifest.tables.iter().map(|table| table.bytes);
    let total = tables.fold(manifest.bytes(), u64::saturating_add);
    let mut done = 0;
    let mut advance = |bytes| {
        done += bytes;
        progress(Progress { done, total });
    };

    let mut check = Check {
        dir: path,
        manifest: &manifest,
        findings: Findings::default(),
        seqs: Seqs::default(),
        losses: None,
        fault: None,
    };
    if !manifest_file::seal_holds(&manifest, &text) {
        let detail = "its digest differs: it was changed after it was written";
        check.findings.add(FindingKind::Altered, manifest_file::MANIFEST, detail);
    }
    signature::check(&manifest, key, &mut check.findings);
    check.chain();
    let mut rows = 0;
    for segment in &manifest.segments {
        if check.fault.is_some() {
            break;
        }
        rows += check.segment(segment, &mut advance);
    }
    for table in &manifest.tables {
        if check.fault.is_some() {
            break;
        }
        check.table(table, &mut advance);
    }
    check.unlisted();
    check.accounting();
    let Check { mut findings, seqs, losses, fault, .. } = check;
    if let Some(fault) = fault {
        return Err(fault);
    }
    if manifest.state == State::Recording {
        let last = manifest.segments.iter().map(|segment| segment.last_ts).max();
        let last = last.map_or("any row was written".to_owned(), |ts| crate::Moment::from_ns(ts).utc);
        let detail = format!("the recorder did not finish: what it held in memory after {last} is lost, uncounted");
        findings.add(FindingKind::Unfinished, manifest_file::MANIFEST, detail);
    }
    if let Some(recovered) = &manifest.recovered {
        findings.add(FindingKind::Recovered, manifest_file::MANIFEST, recovered.unknown());
    }
    let findings = findings.into_vec();
    let damaged = findings.iter().any(|finding| finding.kind.is_damage(manifest.state));
    let found = |kind| findings.iter().any(|finding| finding.kind == kind);
    let untrusted = found(FindingKind::Unsigned) || found(FindingKind::OtherKey);
    let broken = found(FindingKind::BrokenSignature);
    let verdict = match (damaged, manifest.state) {
        (true, _) => Verdict::Damaged,
        (false, _) if untrusted => Verdict::Untrusted,
        (false, State::Recording) => Verdict::Unfinished,
        (false, State::Complete) => Verdict::Intact,
        (false, State::Recovered) => Verdict::Recovered,
    };
    Ok(VerifyReport {
        path: path.to_owned(),
        verdict,
        state: manifest.state,
        started: manifest.started.clone(),
        segments: manifest.segments.len() as u64,
        tables: manifest.tables.len() as u64,
        rows,
        bytes: done,
        signed_by: manifest.signature.as_ref().filter(|_| !broken).map(|signature| signature.public_key.clone()),
        chain: manifest.chain_end(),
        derived: manifest.derived.clone(),
        cpus: seqs.report(path, &manifest, losses.as_deref()),
        findings,
    })
}

struct Check<'a> {
    dir: &'a Path,
    manifest: &'a Manifest,
    findings: Findings,
    seqs: Seqs,
    /// Once their table was read.
    losses: Option<Vec<Loss>>,
    /// The store failed: nothing can be said of the recording.
    fault: Option<Error>,
}

impl Check<'_> {
    /// Returns the rows found.
    fn segment(&mut self, segment: &Segment, advance: &mut impl FnMut(u64)) -> u64 {
        let Some(class) = Class::from_name(&segment.class) else {
            let detail = format!("{:?} is not a known event class", segment.class);
            self.findings.add(FindingKind::Schema, &segment.file, detail);
            return 0;
        };
        if !self.bytes(&Entry::from(segment), advance) {
            return 0;
        }
        let path = self.dir.join(&segment.file);
        match self.rows(&path, class) {
            Err(error) => {
                self.unreadable(&segment.file, error);
                0
            }
            Ok(found) => {
                if let Some((row, times)) = found.disorder {
                    let detail = format!("rows are out of (ts, cpu, seq) order, first at row {row}, {times} times");
                    self.findings.add(FindingKind::Reordered, &segment.file, detail);
                }
                self.expect(&segment.file, "rows", segment.rows, found.rows);
                self.note(segment, &path, &found);
                if found.rows > 0 {
                    self.expect(&segment.file, "first_ts", segment.first_ts, found.first_ts);
                    self.expect(&segment.file, "last_ts", segment.last_ts, found.last_ts);
                }
                found.rows
            }
        }
    }

    fn rows(&mut self, path: &Path, class: Class) -> Result<Found> {
        let mut batches = Batches::open(path, class_columns(class))?;
        let mut strings = Strings::default();
        let mut found = Found { rows: 0, first_ts: i64::MAX, last_ts: i64::MIN, disorder: None, cpus: BTreeMap::new() };
        let mut last: Option<Key> = None;
        while let Some((rows, n)) = events::decode(&mut batches, class, &mut strings)? {
            for key in (0..n).map(|row| rows.key(row)) {
                let (ts, cpu, seq) = key;
                if last.is_some_and(|last| key < last) {
                    found.disorder.get_or_insert((found.rows, 0)).1 += 1;
                }
                last = Some(key);
                found.rows += 1;
                found.first_ts = found.first_ts.min(ts);
                found.last_ts = found.last_ts.max(ts);
                self.seqs.insert(cpu, class, seq);
                let (n, first, last) = found.cpus.entry(cpu).or_insert((0, seq, seq));
                (*n, *first, *last) = (*n + 1, (*first).min(seq), (*last).max(seq));
            }
        }
        self.seqs.compact();
        Ok(found)
    }

    /// The account in the segment's own metadata says of its rows what is there, and adds up.
    fn note(&mut self, segment: &Segment, path: &Path, found: &Found) {
        let note = match segment_account::read(path) {
            Ok(Some(note)) => note,
            Ok(None) => return,
            Err(error) => return self.unreadable(&segment.file, error),
        };
        let mut said: BTreeMap<u16, (u64, u64, u64)> = BTreeMap::new();
        for cpu in &note.cpus {
            if let (Some(first), Some(last)) = (cpu.first_seq, cpu.last_seq) {
                said.insert(cpu.cpu, (cpu.rows, first, last));
            }
            if segment_account::in_flight(&cpu.account) != cpu.in_flight {
                let detail = format!("its account of cpu {} does not add up", cpu.cpu);
                self.findings.add(FindingKind::Miscounted, &segment.file, detail);
            }
        }
        if said != found.cpus {
            let detail = "its account has other rows or sequence numbers than its rows";
            self.findings.add(FindingKind::Miscounted, &segment.file, detail);
        }
    }

    fn table(&mut self, table: &Table, advance: &mut impl FnMut(u64)) {
        if !self.bytes(&Entry::from(table), advance) {
            return;
        }
        let path = self.dir.join(&table.file);
        let rows = match table.file.as_str() {
            PROCESSES => read_table::<Process>(&path, schema::PROCESSES).map(|rows| rows.len()),
            ADDRESSES => read_table::<Address>(&path, schema::ADDRESSES).map(|rows| rows.len()),
            CONTAINERS => read_table::<Container>(&path, schema::CONTAINERS).map(|rows| rows.len()),
            LOSSES => read_table::<Loss>(&path, schema::LOSSES).map(|rows| {
                let n = rows.len();
                self.losses = Some(rows);
                n
            }),
            LABELS => read_table::<Label>(&path, schema::LABELS).map(|labels| {
                let lost = labels.iter().filter(|label| !self.seqs.contains(label.cpu, label.seq)).count();
                if lost > 0 {
                    let detail = format!("{lost} labels name an event that is not in the recording");
                    self.findings.add(FindingKind::Miscounted, &table.file, detail);
                }
                labels.len()
            }),
            _ => {
                self.findings.add(FindingKind::Schema, &table.file, "it is not a table of this schema");
                return;
            }
        };
        match rows {
            Ok(rows) => self.expect(&table.file, "rows", table.rows, rows as u64),
            Err(error) => self.unreadable(&table.file, error),
        }
    }

    fn unreadable(&mut self, file: &str, error: Error) {
        let (kind, detail) = match error {
            error @ Error::Store { .. } => {
                self.fault.get_or_insert(error);
                return;
            }
            Error::Column { column, expected, found, .. } => {
                (FindingKind::Schema, format!("column {column}: expected {expected}, found {found}"))
            }
            Error::Value { column, reason, .. } => (FindingKind::Schema, format!("column {column}: {reason}")),
            Error::Parquet { reason, .. } => (FindingKind::Unreadable, reason),
            other => (FindingKind::Unreadable, other.to_string()),
        };
        self.findings.add(kind, file, detail);
    }

    fn expect<T: PartialEq + std::fmt::Display>(&mut self, file: &str, what: &str, manifest: T, found: T) {
        if manifest != found {
            let detail = format!("{what}: {manifest} in the manifest, {found} in the file");
            self.findings.add(FindingKind::Miscounted, file, detail);
        }
    }

    /// Files that a reader who globs the directory would take for part of the recording.
    fn unlisted(&mut self) {
        let folders = Class::ALL.map(Class::name).into_iter().chain([""]);
        let listed = |file: &str| {
            self.manifest.segments.iter().any(|segment| segment.file == file) || self.manifest.table(file).is_some()
        };
        let mut found: Vec<String> = Vec::new();
        if store::is_remote(self.dir) {
            match store::list(self.dir) {
                Ok(objects) => found.extend(objects.into_keys().filter(|file| {
                    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
                    folders.clone().any(|known| known == folder) && file.ends_with(".parquet") && !listed(file)
                })),
                // Whoever may read and not list is told of what is listed in the manifest only.
                Err(Error::Store { fault: Fault::Denied, .. }) => {}
                Err(fault) => self.fault = Some(fault),
            }
        }
        for folder in folders {
            let entries = fs::read_dir(self.dir.join(folder)).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            let files = names.map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") });
            found.extend(files.filter(|file| file.ends_with(".parquet") && !listed(file)));
        }
        found.sort();
        for file in found {
            self.findings.add(FindingKind::Unlisted, &file, "it is there and not listed in the manifest");
        }
    }
}

/// What a segment's rows say.
struct Found {
    rows: u64,
    first_ts: i64,
    last_ts: i64,
    /// First row that is smaller than the one before it, and how many are.
    disorder: Option<(u64, u64)>,
    /// (rows, smallest and largest sequence number) of each CPU.
    cpus: BTreeMap<u16, (u64, u64, u64)>,
}
